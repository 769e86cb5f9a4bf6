# stoa lock: flock(1)'s manners.

it "lock runs the command, passes its status, and is free after it" <<'CASE'
is "$(stoa lock jobs -- echo done)" "done"
exits 7 stoa lock jobs -- sh -c 'exit 7'
exits 137 stoa lock jobs -- sh -c 'kill -KILL $$'
exits 127 stoa lock jobs -- no-such-command 2>/dev/null
exits 5 stoa lock jobs -c 'exit 5'
exits 5 stoa lock -c 'exit 5' jobs
exits 0 stoa lock jobs.range_lock true
is "$(stoa ls -rno NAME,KIND,USERS)" "jobs range_lock 0"
CASE

it "lock says no when it is held, with the exit code of one's choice" <<'CASE'
mkfifo begun
stoa lock jobs -- sh -c 'echo >begun; exec sleep 1000' &
holder=$!
read -r x <begun
exits 1 stoa lock -n jobs -- true
exits 9 stoa lock -n -E 9 jobs -- true
exits 1 stoa lock -w 0.1 jobs -- true
exits 1 stoa lock -s -n jobs -- true
kill -TERM $holder
exits 143 wait $holder
exits 0 stoa lock -n jobs -- true
CASE

it "lock shares, and locks ranges" <<'CASE'
exits 0 stoa lock -s jobs -- stoa lock -s -n jobs -- true
exits 1 stoa lock -s jobs -- stoa lock -n jobs -- true
exits 0 stoa lock jobs:0-9 -- stoa lock -n jobs:10-19 -- true
exits 0 stoa lock jobs:10- -- stoa lock -n jobs:9 -- true
exits 1 stoa lock jobs:10- -- stoa lock -n jobs:18446744073709551615 -- true
exits 1 stoa lock jobs:0-9 -- stoa lock -n jobs:9-10 -- true
CASE

it "lock complains of what it doesn't understand" <<'CASE'
complains 2 stoa lock
complains 2 stoa lock jobs
complains 2 stoa lock jobs:9-8 -- true
complains 2 stoa lock jobs:x -- true
complains 2 stoa lock jobs: -- true
complains 2 stoa lock -w soon jobs -- true
complains 2 stoa lock -c true jobs -- true
complains 3 stoa lock '.jobs' -- true
CASE

it "a lock is free when stoa lock is killed, and its command is told" <<'CASE'
mkfifo begun
stoa lock jobs -- sh -c 'trap "echo told >told; exit" TERM; echo >begun
	while :; do sleep 0.1; done' &
holder=$!
read -r x <begun
kill -KILL $holder
exits 0 stoa lock jobs -- true
until [[ -s told ]]; do :; done
CASE

it "the command's children don't hold the lock" <<'CASE'
exits 0 stoa lock jobs -- sh -c 'sleep 1000 >&- 2>&- & echo $! >pid'
exits 0 stoa lock -n jobs -- true
kill "$(cat pid)"
CASE

it "stat shows who holds the lock, and who waits for whom" <<'CASE'
mkfifo begun
stoa lock jobs:0-9 -- sh -c 'echo >begun; exec sleep 1000' &
holder=$!
read -r x <begun
stoa lock -s jobs:5- -- true &
waiter=$!
: >out
until [[ $(json_check objects.0.waiting.0.pid <out 2>/dev/null) == "$waiter" ]]
do stoa stat -J jobs >out; done
json_check <out || fail "no JSON"
is "$(json_check objects.0.holders.0.pid <out)" "$holder"
is "$(json_check objects.0.holders.0.mode <out)" "exclusive"
is "$(json_check objects.0.holders.0.start <out)" "0"
is "$(json_check objects.0.holders.0.end <out)" "9"
is "$(json_check objects.0.waiting.0.blockers <out)" "$holder"
is "$(json_check objects.0.waiting.0.mode <out)" "shared"
is "$(json_check objects.0.waiting.0.start <out)" "5"
is "$(json_check objects.0.waiting.0.end <out)" "null"
has "$(stoa stat jobs)" "BLOCKERS"
kill -TERM $holder
exits 143 wait $holder
exits 0 wait $waiter
CASE
