#!/bin/sh
# Drives GNU parallel: `parallel.sh shell N`, in an empty directory; prints seconds.
set -eu
export HOME="$PWD"
seq "$2" >numbers
begin=$(date +%s%N)
parallel --will-cite -j4 -N0 echo hi <numbers >output
end=$(date +%s%N)
ran=$(grep -cx 'hi' output)
[ "$ran" -eq "$2" ] || { echo "$ran of $2 jobs ran" >&2; exit 1; }
awk "BEGIN { print ($end - $begin) / 1e9 }"
