#!/bin/sh
# The contract of the command line, point by point. Run it by hand:
#   QUEUECTL=target/release/queuectl tests/part_a.sh
# It works in a directory of its own and ends only what it starts.
set -eu

queuectl=$(realpath "${QUEUECTL:-target/release/queuectl}")
here=$(mktemp -d)
export QUEUECTL_DB="$here/queue.db"
cd "$here"
workers=""
cleanup() {
    for pid in $workers; do kill -KILL "$pid" 2>/dev/null || true; done
    cd / && rm -rf "$here"
}
trap cleanup EXIT

q() { "$queuectl" "$@" 2>>"$here/stderr"; }
say() { printf '%s\n' "ok: $*"; }
fail() { printf '%s\n' "FAILED: $*" >&2; [ ! -s "$here/stderr" ] || tail -n 20 "$here/stderr" >&2; exit 1; }
is() { [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"; say "$1"; }
has() { case "$2" in *"$3"*) say "$1" ;; *) fail "$1: '$3' is not in: $2" ;; esac; }
code() { set +e; "$@" >/dev/null 2>>"$here/stderr"; code=$?; set -e; }
state() { q show "$1" --json | sed 's/.*"state": "\([a-z]*\)".*/\1/'; }
field() { q show "$1" --json | sed "s/.*\"$2\": \"\{0,1\}\([^,\"}]*\).*/\1/"; }
now() { date +%s%N | cut -c1-13; }
# Waits until a command prints a text; every wait has a bound.
until_is() {
    i=0
    while [ "$("$1" "$2")" != "$3" ]; do
        i=$((i + 1))
        [ $i -lt 1200 ] || fail "$1 $2 never became '$3', it is '$("$1" "$2")'"
        sleep 0.05
    done
}
start() { "$queuectl" worker start "$@" 2>>"$here/stderr" & workers="$workers $!"; }
active() { q status | sed -n 's/^Workers: \([0-9]*\) active.*/\1/p'; }
active_is() { active; }

# 1. enqueue adds a job; an id may be left out: then one is generated, and printed.
has '1. enqueue with an id' "$(q enqueue '{"id":"job1","command":"sleep 2"}')" job1
id=$(q enqueue '{"command":"true"}' --quiet)
has '1. a generated id is printed and works' "$(q show "$id" --json)" '"command": "true"'

# 5. list --json is one array on one line, and nothing else; an empty one when there is none.
is '5. list --state completed is empty' "$(q list --state completed --json)" '[]'
is '5. list --json is one line' "$(q list --json | wc -l | tr -d ' ')" 1
has '5. list shows whole ids' "$(q list --state pending)" "$id"

# 8. A job has the seven fields, with instants in UTC ending in Z.
for name in id command state attempts max_retries created_at updated_at; do
    has "8. field $name" "$(q show job1 --json)" "\"$name\": "
done
case "$(field job1 created_at)" in ????-??-??T??:??:??*Z) say '8. created_at is ISO-8601 in UTC' ;; *) fail '8. created_at' ;; esac

# 4. status counts every shown state, also those at zero, names the active workers and the store.
for name in pending processing completed failed dead; do has "4. status counts $name" "$(q status)" "$name:"; done
has '4. status names the store' "$(q status)" "$QUEUECTL_DB"

# 3. worker stop with none running says so and exits 0.
has '3. worker stop with nobody there' "$(q worker stop)" 'No workers'

# 2. and 4. Three workers in the foreground; status counts slots and processes.
start --count 3
until_is active_is - 3
has '4. status: 3 workers in 1 process' "$(q status)" '3 active in 1 process'
until_is state job1 completed
say '2. a worker runs jobs'
is '10. attempts counts the success' "$(field job1 attempts)" 1

# 3. worker stop: the running job is finished, and the stop waits for it.
q enqueue '{"id":"long","command":"sleep 1.5"}' >/dev/null
until_is state long processing
before=$(now)
q worker stop >/dev/null
[ $(($(now) - before)) -ge 700 ] || fail '3. worker stop did not wait'
is '3. worker stop lets the running job finish' "$(state long)" completed
is '3. and no worker is left' "$(active)" 0

# 2. SIGTERM: the running job is finished, then exit 0.
start
pid=${workers##* }
q enqueue '{"id":"term","command":"sleep 1"}' >/dev/null
until_is state term processing
kill -TERM "$pid"
set +e; wait "$pid"; status=$?; set -e
is '2. SIGTERM ends with 0' "$status" 0
is '2. after the running job' "$(state term)" completed

# 7. config: bare values as given, shared, checked; jobs take the values in force when they are enqueued.
q config set max-retries 2 >/dev/null
q config set backoff-base 1.5 >/dev/null
is '7. config get prints the bare value' "$(q config get backoff-base)" 1.5
is '7. another spelling is the same key' "$(q config get max_retries)" 2
code "$queuectl" config set nonsense 1; is '7. an unknown key is refused' "$code" 2
code "$queuectl" config set max-retries many; is '7. a bad value is refused' "$code" 2
q enqueue '{"id":"before","command":"false"}' >/dev/null
q config set max-retries 3 >/dev/null
q config set backoff-base 2 >/dev/null
is '7. a job keeps the values of its enqueue' "$(field before max_retries)" 2
q cancel before >/dev/null

# 9. 10. 6. Failures: shown as failed while they back off (2 s, then 4 s), dead after three, then in the DLQ.
q enqueue '{"id":"bad","command":"date +%s%N | cut -c1-13 >> times; exit 3"}' >/dev/null
q enqueue '{"id":"unknown","command":"no-such-command-anywhere","max_retries":1}' >/dev/null
start --count 2
until_is state bad failed
say '9. failed while it waits for its backoff'
until_is state unknown dead
say '10. an unknown command is a failed attempt; max_retries 1 means one'
until_is state bad dead
is '10. three executions' "$(wc -l < times | tr -d ' ')" 3
is '10. attempts' "$(field bad attempts)" 3
gap() { echo $(($(sed -n "$2p" times) - $(sed -n "$1p" times))); }
within() { [ "$2" -ge $(($3 - 500)) ] && [ "$2" -le $(($3 + 500)) ] || fail "$1: $2 ms"; say "$1 ($2 ms)"; }
within '10. the first wait is 2 s' "$(gap 1 2)" 2000
within '10. the second wait is 4 s' "$(gap 2 3)" 4000
has '6. dlq list' "$(q dlq list --json)" '"id": "bad"'
has '6. logs keep all three runs' "$(q logs bad | grep -c '^==>')" 3
q queue pause >/dev/null
has '6. dlq retry says what it did' "$(q dlq retry bad)" 'pending'
is '6. back to pending' "$(state bad)" pending
is '6. attempts are 0 again' "$(field bad attempts)" 0
code "$queuectl" dlq retry job1; is '6. a job that is not dead: exit 1' "$code" 1
q cancel bad >/dev/null
q queue resume >/dev/null
q worker stop >/dev/null

# 2. Several processes at once: claims are atomic, every job runs once.
i=0
while [ $i -lt 200 ]; do echo "{\"id\":\"n$i\",\"command\":\"echo n$i >> ran\",\"queue\":\"many\"}"; i=$((i + 1)); done | q enqueue - >/dev/null
start --count 2 --drain
start --count 2 --drain
start --count 2 --drain
for pid in $workers; do wait "$pid" 2>/dev/null || true; done
is '2. 200 jobs over three processes ran' "$(wc -l < ran | tr -d ' ')" 200
is '2. each of them once' "$(sort -u ran | wc -l | tr -d ' ')" 200

# 11. A SIGKILLed worker's job runs on; the next worker takes it over. It does not stay in processing.
q enqueue '{"id":"adopted","command":"echo run >> adoptions; until [ -e go-on ]; do sleep 0.05; done"}' >/dev/null
start
pid=${workers##* }
i=0; while [ ! -s adoptions ]; do i=$((i + 1)); [ $i -lt 1200 ] || fail '11. the job never started'; sleep 0.05; done
kill -KILL "$pid"
touch go-on
start
before=$(now)
until_is state adopted completed
[ $(($(now) - before)) -lt 60000 ] || fail '11. more than 60 s'
is '11. it ran once' "$(wc -l < adoptions | tr -d ' ')" 1
is '11. one attempt' "$(field adopted attempts)" 1
q worker stop >/dev/null

# 11. With --on-crash kill it runs again, and the interrupted attempt is not charged.
q enqueue '{"id":"crash","command":"echo run >> crashes; [ $(wc -l < crashes) -gt 1 ] || sleep 60"}' >/dev/null
start --on-crash kill
pid=${workers##* }
until_is state crash processing
i=0; while [ ! -s crashes ]; do i=$((i + 1)); [ $i -lt 1200 ] || fail '11. the job never started'; sleep 0.05; done
kill -KILL "$pid"
start
before=$(now)
until_is state crash completed
[ $(($(now) - before)) -lt 60000 ] || fail '11. more than 60 s'
is '11. the interrupted attempt is not charged' "$(field crash attempts)" 1
q worker stop >/dev/null

# 12. Everything survived: all of it is in the store, whoever asks.
has '12. job1 is still completed' "$(q list --state completed --json)" '"id": "job1"'

# Errors begin with Error: on stderr, and their codes are fixed.
code "$queuectl" enqueue '{"id":"job1","command":"true"}'; is 'a duplicate id: exit 4' "$code" 4
code "$queuectl" enqueue '{not json'; is 'invalid JSON: exit 2' "$code" 2
code "$queuectl" show nobody; is 'no such job: exit 3' "$code" 3
case "$("$queuectl" list --state nonsense 2>&1 || true)" in Error:*pending*) say 'an invalid state lists the valid ones' ;; *) fail 'invalid state' ;; esac

echo 'The contract holds.'
