#!/bin/sh
# Drives GNU parallel: `parallel.sh shell N`, in an empty directory; prints seconds.
set -eu
export HOME="$PWD"
seq "$2" >numbers
begin=$(date +%s%N)
parallel --will-cite -j4 -N0 echo hi <numbers >output
awk "BEGIN { print ($(date +%s%N) - $begin) / 1e9 }"
[ "$(wc -l <output)" -eq "$2" ]
