# Semaphores and sets: making, waiting, posting, running with permits held.

it "permits are taken, posted and shown" <<'CASE'
exits 0 stoa sem create -v 2 -m 3 s
is "$(stoa sem value s)" 2
exits 0 stoa sem wait s
exits 0 stoa sem wait -w 5 s.semaphore
exits 1 stoa sem wait -w 0 s
exits 7 stoa sem wait -w 0.01 -E 7 s
exits 0 stoa sem post -n 3 s
complains 3 stoa sem post s
has "$(cat err)" "maximum of 3"
is "$(stoa sem value -J s)" '{"s":3}'
complains 3 stoa sem wait nothing
exits 0 stoa sem wait -n 3 s
is "$(stoa sem stat -rno VALUE,MAXIMUM,UNDO s)" "0 3 0"
exits 0 stoa sem rm s
exits 3 stoa sem value s
CASE

it "a semaphore that is there must be the one asked for" <<'CASE'
exits 0 stoa sem create -m 3 s
exits 0 stoa sem create s
exits 0 stoa sem create -m 3 s
exits 1 stoa sem create -m 4 s
exits 1 stoa sem create -u s
exits 1 stoa sem create -x s
exits 2 stoa sem create -v many t
exits 2 stoa sem create -M 999 t
exits 3 stoa sem create -v 2 -m 1 t
exits 2 stoa sem
exits 2 stoa sem wait
CASE

it "a command runs with permits held, and its status is passed on" <<'CASE'
exits 0 stoa sem create -v 2 s
is "$(stoa sem wait -n 2 s -- sh -c 'stoa sem value s')" 0
is "$(stoa sem value s)" 2
exits 9 stoa sem wait s sh -c 'exit 9'
exits 143 stoa sem wait s -- sh -c 'kill $$'
is "$(stoa sem value s)" 2
CASE

it "permits of a killed one come back with undo" <<'CASE'
exits 0 stoa sem create -u -v 1 s
complains 3 stoa sem wait s
has "$(cat err)" "undo"
mkfifo gate
stoa sem wait s -- sh -c 'echo $PPID; read x <gate' >holder &
until [[ -s holder ]]; do :; done
exits 1 stoa sem wait -w 0 s true
is "$(stoa sem stat -rno HOLDERS,HELD s)" "1 1"
has "$(stoa stat s)" "holds 1"
is "$(stoa stat -J s | json_check objects.0.holders.0.does)" "holds 1"
kill -KILL "$(cat holder)"
exits 0 stoa sem wait -w 60 s true
is "$(stoa sem value s)" 1
wait
CASE

it "who waits is told that a semaphore was removed" <<'CASE'
exits 0 stoa sem create s
( stoa sem wait s 2>why; echo $? >code ) &
until [[ $(stoa sem stat -rno WAITING s) == 1 ]]; do :; done
exits 0 stoa sem rm -w s
wait
is "$(cat code)" 3
has "$(cat why)" "removed"
CASE

it "sets are changed all at once or not at all" <<'CASE'
exits 0 stoa semset create -v 1,0,5 t
is "$(stoa semset get t)" "1 0 5"
exits 0 stoa semset op t 0-1 1+2 2-5
is "$(stoa semset get -J t)" "[0,2,0]"
exits 1 stoa semset op -w 0 t 1-1 0-1
is "$(stoa semset get t 1 0)" "2 0"
exits 0 stoa semset op t 0=0 2=0 0+1
exits 0 stoa semset set t 1 7
exits 0 stoa semset set t 3,2,1
is "$(stoa semset get t)" "3 2 1"
exits 3 stoa semset op t 9+1
exits 2 stoa semset op t 1*2
exits 2 stoa semset op t 1=1
exits 2 stoa semset set t 7 1
exits 3 stoa semset set t 1,2
exits 2 stoa semset create -c 2 -v 1,2,3 u
exits 1 stoa semset create -c 4 t
is "$(stoa semset stat -rno COUNT,UNDOERS t)" "3 0"
CASE

it "what a command was run with is taken back" <<'CASE'
exits 0 stoa semset create -v 2,0 t
is "$(stoa semset op t 0-2 1+1 -- stoa semset get t)" "0 1"
is "$(stoa semset get t)" "2 0"
mkfifo gate
stoa semset op t 0-2 -- sh -c 'echo $PPID; read x <gate' >holder &
until [[ -s holder ]]; do :; done
has "$(stoa stat t)" "undo of 0: +2"
kill -KILL "$(cat holder)"
exits 0 stoa semset op -w 60 t 0-2
is "$(stoa semset get t)" "0 0"
wait
CASE
