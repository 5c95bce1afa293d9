#!/bin/sh
# Installs the peers that `queuectl-bench` measures beside us, as far as this machine's package registries have them:
# `bench/peers.sh [DIR]`, by default target/peers. Debian's packages go where apt puts them, all else below DIR.
# What cannot be installed is skipped, with a line that says so.
set -u
cd "$(dirname "$0")/.."
dir=${1:-target/peers}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# Versions that the drivers in bench/peers were written for.
PUEUE=4.0.4
BUN=1.4.4
BUNQUEUE=2.9.5
PLAINJOB=0.0.14
LITEQUE=0.8.0
HUEY=3.5.4
LITEQUEUE=0.9
HYPERQUEUE=0.27.0

# skip_unless NAME COMMAND...: runs the command; its last lines are the reason if it fails.
# The version that is found then goes into $dir/versions.
skip_unless() {
    name=$1
    shift
    log=$dir/$name.log
    if "$@" >"$log" 2>&1 </dev/null; then
        echo "$name $(version "$name")" >>"$dir/versions"
        echo "installed: $name"
    else
        echo "skipped: $name ($(grep -v '^[[:space:]]*$' "$log" | tail -n 1); see $log)"
    fi
}

version() {
    case $1 in
    task-spooler | nq | parallel) dpkg-query -W -f '${Version}' "$1" ;;
    huey) echo "$HUEY" ;;
    litequeue) echo "$LITEQUEUE" ;;
    hyperqueue) echo "$HYPERQUEUE" ;;
    bunqueue) echo "$BUNQUEUE on Bun $BUN" ;;
    plainjob) echo "$PLAINJOB on Node $(command node --version)" ;;
    liteque) echo "$LITEQUE on Node $(command node --version)" ;;
    pueue) echo "$PUEUE" ;;
    esac
}

debian() {
    command -v "$2" && return
    command -v apt-get || { echo "no apt-get"; return 1; }
    [ "$(id -u)" -eq 0 ] || { echo "not root"; return 1; }
    apt-get install -y --no-install-recommends "$1"
}

python() {
    command -v python3 || { echo "no python3"; return 1; }
    python3 -m pip install --disable-pip-version-check --upgrade --target "$dir/python" "$@"
}

node() {
    command -v npm || { echo "no npm"; return 1; }
    npm install --prefix "$dir/npm" --no-audit --no-fund "$@"
}

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update >"$dir/apt.log" 2>&1 || echo "apt-get update failed; see $dir/apt.log"
fi
: >"$dir/versions"
skip_unless task-spooler debian task-spooler tsp
skip_unless nq debian nq nq
skip_unless parallel debian parallel parallel
skip_unless huey python "huey==$HUEY"
skip_unless litequeue python "litequeue==$LITEQUEUE"
skip_unless hyperqueue python "hyperqueue==$HYPERQUEUE"
skip_unless bunqueue node "bun@$BUN" "bunqueue@$BUNQUEUE"
skip_unless plainjob node "plainjob@$PLAINJOB" better-sqlite3
skip_unless liteque node "liteque@$LITEQUE"
skip_unless pueue cargo install --locked --root "$dir/cargo" --version "$PUEUE" pueue
