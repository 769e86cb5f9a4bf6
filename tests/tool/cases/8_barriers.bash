# Barriers: making, waiting, deaths, and what stat shows of them and of rwlocks.

it "those who wait at a barrier go on when all have come" <<'CASE'
exits 0 stoa barrier create 3 start
for i in 1 2 3; do
	( stoa barrier wait -s 9 start; echo $? >>codes ) &
done
wait
is "$(sort codes | uniq -c | tr -s ' ' | tr '\n' ';')" " 2 0; 1 9;"
is "$(stoa barrier stat -rno COUNT,WAITING,ROUNDS,BROKEN,DEATH start)" \
	"3 0 1 0 breaks"
CASE

it "who waits no longer has not come" <<'CASE'
exits 0 stoa barrier create 2 start
exits 1 stoa barrier wait -w 0 start
exits 5 stoa barrier wait -w 0.05 -E 5 start
is "$(stoa barrier wait -w 0 -J start)" '{"barrier":"start","result":"timeout"}'
is "$(stoa barrier stat -rno WAITING,ROUNDS start)" "0 0"
CASE

it "a death among those who wait is told, or forgotten" <<'CASE'
for how in breaks forgets; do
	exits 0 stoa barrier create -d $how 3 $how
	stoa barrier wait $how 2>/dev/null &
	victim=$!
	until [[ $(stoa barrier stat -rno WAITING $how) == 1 ]]; do :; done
	( stoa barrier wait -J $how >$how.out 2>$how.err; echo $? >$how.code ) &
	other=$!
	until [[ $(stoa barrier stat -rno WAITING $how) == 2 ]]; do :; done
	kill -KILL $victim
	wait $victim
	if [[ $how == forgets ]]; then
		until [[ $(stoa stat $how) != *dead* ]]; do :; done
		stoa barrier wait $how &
		exits 0 stoa barrier wait $how
	fi
	wait $other
done
wait
is "$(cat breaks.code)" 1
has "$(cat breaks.err)" "died"
is "$(json_check result <breaks.out)" "broken"
is "$(cat forgets.code)" 0
is "$(stoa barrier stat -rno BROKEN,ROUNDS breaks forgets | tr '\n' ';')" \
	"1 1;0 1;"
CASE

it "who leaves by a signal is not missed as dead" <<'CASE'
exits 0 stoa barrier create 2 start
stoa barrier wait start &
until [[ $(stoa barrier stat -rno WAITING start) == 1 ]]; do :; done
kill -TERM $!
wait $!
is $? 143
is "$(stoa barrier stat -rno WAITING,ROUNDS,BROKEN start)" "0 0 0"
CASE

it "stat shows who waits at a barrier, for eyes and as JSON" <<'CASE'
exits 0 stoa barrier create 2 start
stoa barrier wait start &
waiter=$!
until [[ $(stoa barrier stat -rno WAITING start) == 1 ]]; do :; done
has "$(stoa stat start)" "$waiter"
stoa stat -J start.barrier >out
is "$(json_check objects.0.barrier.waiting <out)" 1
is "$(json_check objects.0.waiters.0.pid <out)" $waiter
is "$(json_check objects.0.waiters.0.state <out)" alive
is "$(stoa ls -rno NAME,KIND)" "start barrier"
exits 0 stoa barrier wait start
wait
stoa barrier stat -J | json_check barriers.0.rounds >rounds
is "$(cat rounds)" 1
CASE

it "barriers there already, wrong usage and strangers are answered" <<'CASE'
exits 0 stoa barrier create 2 start
exits 0 stoa barrier create 2 start
complains 1 stoa barrier create 3 start
complains 1 stoa barrier create -d forgets 2 start
complains 1 stoa barrier create -x 2 start
complains 7 stoa barrier create -x -E 7 2 start
complains 2 stoa barrier
complains 2 stoa barrier frobnicate
complains 2 stoa barrier create start
complains 2 stoa barrier create 0 start
complains 2 stoa barrier create -d sleeps 2 start
complains 2 stoa barrier create -M 999 2 start
complains 2 stoa barrier wait
complains 2 stoa barrier wait start start
complains 2 stoa barrier wait -s 900 start
complains 3 stoa barrier wait nothing
complains 3 stoa barrier stat nothing
exits 0 stoa rm --wake start
complains 3 stoa barrier wait start
CASE

it "removal tells those who wait" <<'CASE'
exits 0 stoa barrier create 2 start
( stoa barrier wait start 2>err; echo $? >code ) &
until [[ $(stoa barrier stat -rno WAITING start) == 1 ]]; do :; done
exits 0 stoa rm --wake start
wait
is "$(cat code)" 3
has "$(cat err)" "removed"
CASE
