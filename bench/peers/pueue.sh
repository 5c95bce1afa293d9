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
seconds() { awk "BEGIN { print ($(date +%s%N) - $begin) / 1e9 }"; }
pueue parallel 4 >/dev/null
pueue pause >/dev/null
[ "$1" = enqueue ] && begin=$(date +%s%N)
n=0
while [ $n -lt "$2" ]; do
    pueue add -- echo hi >/dev/null
    n=$((n + 1))
done
[ "$1" = enqueue ] && seconds
[ "$1" = shell ] && begin=$(date +%s%N)
pueue start >/dev/null
pueue wait --quiet >/dev/null
[ "$1" = shell ] && seconds
exit 0
