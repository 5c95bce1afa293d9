#!/bin/sh
# Drives nq: `nq.sh shell|enqueue N`, in an empty directory; prints seconds.
set -eu
export NQDIR="$PWD/queue"
mkdir -p "$NQDIR"
seconds() { awk "BEGIN { print ($(date +%s%N) - $begin) / 1e9 }"; }
# A gate holds back what is enqueued beforehand.
mkfifo gate
# Each has a file, with its process's number at the end of its name, that says when it has exited.
left() { grep -L '^\[exited' "$NQDIR"/,* || true; }
leave() {
    for file in $(left); do
        kill "${file##*.}" 2>/dev/null || true
    done
    : 3<>gate
}
trap leave EXIT
nq sh -c 'read x < gate' >/dev/null
[ "$1" = enqueue ] && begin=$(date +%s%N)
n=0
while [ $n -lt "$2" ]; do
    nq /bin/sh -c 'echo hi' >/dev/null
    n=$((n + 1))
done
if [ "$1" = enqueue ]; then
    seconds
    waiting=$(left | wc -l)
    [ "$waiting" -eq $(($2 + 1)) ] || { echo "$waiting of $2 and a gate wait" >&2; exit 1; }
    exit 0
fi
begin=$(date +%s%N)
echo >gate
nq -w
seconds
ran=$(grep -rlx 'hi' "$NQDIR" | xargs grep -lF '[exited with status 0.]' | wc -l)
[ "$ran" -eq "$2" ] || { echo "$ran of $2 jobs ran" >&2; exit 1; }
