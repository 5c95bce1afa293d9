#!/bin/sh
# Drives task-spooler: `task-spooler.sh shell|enqueue N`, in an empty directory; prints seconds.
set -eu
export TS_SOCKET="$PWD/socket" TMPDIR="$PWD" TS_MAXFINISHED=1000000 TS_SLOTS=1
trap 'tsp -K' EXIT
seconds() { awk "BEGIN { print ($(date +%s%N) - $begin) / 1e9 }"; }
# A gate holds back what is enqueued beforehand.
mkfifo gate
tsp sh -c 'read x < gate' >/dev/null
[ "$1" = enqueue ] && begin=$(date +%s%N)
n=0
while [ $n -lt "$2" ]; do
    tsp /bin/sh -c 'echo hi' >/dev/null
    n=$((n + 1))
done
[ "$1" = enqueue ] && seconds
[ "$1" = shell ] && begin=$(date +%s%N)
tsp -S 4
echo >gate
# They end in order, but for the last four.
last=$2
while [ "$last" -gt 0 ] && [ "$last" -gt $(($2 - 4)) ]; do
    tsp -w "$last" >/dev/null
    last=$((last - 1))
done
[ "$1" = shell ] && seconds
exit 0
