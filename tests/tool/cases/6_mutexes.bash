# Mutexes: making, locking while a command runs, deaths, and what stat shows.

it "a command runs while the mutex is locked, and its status is passed on" <<'CASE'
exits 0 stoa mutex create m
exits 7 stoa mutex lock m -- sh -c 'exit 7'
exits 137 stoa mutex lock m -- sh -c 'kill -KILL $$'
exits 127 stoa mutex lock m -- ./no-such-command
exits 5 stoa mutex lock -c 'exit 5' m
stoa mutex lock m.mutex stoa mutex stat -rno STATE,DEPTH,WAITING m >out
is "$(cat out)" "locked 1 0"
is "$(stoa mutex stat -rno STATE m)" free
CASE

it "who can't have it in time is answered no" <<'CASE'
exits 1 stoa mutex lock m -- stoa mutex lock -n m true
exits 4 stoa mutex lock m -- stoa mutex lock -w 0.05 -E 4 m true
exits 0 stoa mutex lock -w 5 m true
CASE

it "locks exclude one another" <<'CASE'
echo 0 >number
for i in 1 2 3 4; do
	( for j in 1 2 3 4 5; do
		stoa mutex lock m -- sh -c 'n=$(cat number); echo $((n + 1)) >number'
	done ) &
done
wait
is "$(cat number)" 20
CASE

it "a killed owner's death is told to commands until one has mended it" <<'CASE'
stoa mutex lock m -- sh -c 'touch has; exec sleep 100' &
victim=$!
until [[ -e has ]]; do :; done
is "$(stoa mutex stat -rno STATE,PID m)" "locked $victim"
kill -KILL $victim
wait $victim
is "$(stoa mutex stat -rno STATE m)" orphaned
complains 1 stoa mutex lock m -- sh -c 'exit $STOA_OWNER_DIED'
is "$(stoa mutex stat -rno STATE m)" orphaned
exits 0 stoa mutex lock m -- sh -c '[ "$STOA_OWNER_DIED" = 1 ]'
exits 0 stoa mutex lock m -- sh -c '[ -z "$STOA_OWNER_DIED" ]'
CASE

it "stat shows who has it and who waits, for eyes and as JSON" <<'CASE'
exits 0 stoa mutex create -k checked m
stoa mutex lock m -- sh -c 'touch has; until [ -e go ]; do sleep 0.01; done' &
owner=$!
until [[ -e has ]]; do :; done
stoa mutex lock m true &
waiter=$!
until [[ $(stoa mutex stat -rno WAITING m) == 1 ]]; do :; done
has "$(stoa stat m)" "$waiter"
stoa stat -J m.mutex >out
is "$(json_check objects.0.mutex.pid <out)" $owner
is "$(json_check objects.0.mutex.state <out)" locked
is "$(json_check objects.0.mutex.kind <out)" checked
is "$(json_check objects.0.waiters.0.pid <out)" $waiter
is "$(stoa mutex stat -J | json_check mutexes.0.pid)" $owner
touch go
wait
is "$(stoa ls -rno NAME,KIND)" "m mutex"
CASE

it "mutexes there already, wrong usage and strangers are answered" <<'CASE'
exits 0 stoa mutex create -k recursive m
exits 0 stoa mutex create m
exits 0 stoa mutex create -k recursive m
complains 1 stoa mutex create -k normal m
complains 1 stoa mutex create -x m
complains 2 stoa mutex create -k other m
complains 2 stoa mutex create
complains 2 stoa mutex lock
complains 2 stoa mutex lock m
complains 2 stoa mutex lock -c true m true
complains 2 stoa mutex frob
complains 3 stoa mutex stat nosuch
stoa queue create q
cp "$STOA_SPACE"/q.queue "$STOA_SPACE"/fake.mutex
complains 3 stoa mutex lock fake true
CASE
