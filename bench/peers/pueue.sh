#!/bin/sh
# Drives pueue: `pueue.sh shell|enqueue N`, in an empty directory; prints seconds.
set -eu
export HOME="$PWD" XDG_RUNTIME_DIR="$PWD" XDG_DATA_HOME="$PWD/data" XDG_CONFIG_HOME="$PWD/config"
pueued >daemon.log 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
until pueue status >/dev/null 2>&1; do
    kill -0 $daemon
done
seconds() { awk "BEGIN { print ($1 - $begin) / 1e9 }"; }
# In its state, so many times.
count() { pueue status --json | grep -oE "$1" | wc -l; }
pueue parallel 4 >/dev/null
pueue pause >/dev/null
[ "$1" = enqueue ] && begin=$(date +%s%N)
n=0
while [ $n -lt "$2" ]; do
    pueue add -- echo hi >/dev/null
    n=$((n + 1))
done
if [ "$1" = enqueue ]; then
    seconds "$(date +%s%N)"
    queued=$(count '"Queued": *\{')
    [ "$queued" -eq "$2" ] || { echo "$queued of $2 jobs are queued" >&2; exit 1; }
    exit 0
fi
begin=$(date +%s%N)
pueue start >/dev/null
# It looks every two seconds: when the last job ended, its state says.
pueue wait --quiet >/dev/null
well=$(count '"result": *"Success"')
[ "$well" -eq "$2" ] || { echo "$well of $2 jobs ended well" >&2; exit 1; }
end=$(pueue status --json | grep -oE '"end": *"[^"]*"' | cut -d'"' -f4 | sort | tail -n 1)
seconds "$(date -d "$end" +%s%N)"
