#!/bin/sh
# Drives task-spooler: `task-spooler.sh shell|enqueue N`, in an empty directory; prints seconds.
set -eu
export TS_SOCKET="$PWD/socket" TMPDIR="$PWD" TS_MAXFINISHED=1000000 TS_SLOTS=1
seconds() { awk "BEGIN { print ($(date +%s%N) - $begin) / 1e9 }"; }
# A gate holds back what is enqueued beforehand.
mkfifo gate
trap 'tsp -K; : 3<>gate' EXIT
tsp sh -c 'read x < gate' >/dev/null
[ "$1" = enqueue ] && begin=$(date +%s%N)
n=0
while [ $n -lt "$2" ]; do
    tsp /bin/sh -c 'echo hi' >/dev/null
    n=$((n + 1))
done
if [ "$1" = enqueue ]; then
    seconds
    queued=$(tsp -l | awk '$2 == "queued"' | wc -l)
    [ "$queued" -eq "$2" ] || { echo "$queued of $2 jobs are queued" >&2; exit 1; }
    exit 0
fi
begin=$(date +%s%N)
tsp -S 4
echo >gate
# They end in order, but for the last four.
last=$2
while [ "$last" -gt 0 ] && [ "$last" -gt $(($2 - 4)) ]; do
    tsp -w "$last" >/dev/null
    last=$((last - 1))
done
seconds
ran=$(grep -lx 'hi' ts-out.* | wc -l)
well=$(tsp -l | awk '$2 == "finished" && $4 == 0' | wc -l)
# The gate is one of them.
[ "$ran" -eq "$2" ] && [ "$well" -eq $(($2 + 1)) ] || { echo "$ran of $2 jobs ran, $well well" >&2; exit 1; }
