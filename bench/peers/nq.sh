#!/bin/sh
# Drives nq: `nq.sh shell|enqueue N`, in an empty directory; prints seconds.
set -eu
export NQDIR="$PWD/queue"
mkdir -p "$NQDIR"
seconds() { awk "BEGIN { print ($(date +%s%N) - $begin) / 1e9 }"; }
# A gate holds back what is enqueued beforehand.
mkfifo gate
nq sh -c 'read x < gate' >/dev/null
[ "$1" = enqueue ] && begin=$(date +%s%N)
n=0
while [ $n -lt "$2" ]; do
    nq /bin/sh -c 'echo hi' >/dev/null
    n=$((n + 1))
done
[ "$1" = enqueue ] && seconds
[ "$1" = shell ] && begin=$(date +%s%N)
echo >gate
nq -w
[ "$1" = shell ] && seconds
exit 0
