# stoa lock --file and --fd: locks on real files, beside flock(1) and lockf(3).

it "a file is locked while the command runs, and its status is passed on" <<'CASE'
is "$(stoa lock --file f -- echo done)" "done"
exits 7 stoa lock --file f -- sh -c 'exit 7'
exits 137 stoa lock --file f sh -c 'kill -KILL $$'
exits 127 stoa lock --file f -- no-such-command 2>/dev/null
exits 5 stoa lock --file f -c 'exit 5'
exits 5 stoa lock -c 'exit 5' --file f
exits 0 stoa lock --file . -- true
[[ -f f ]] || fail "no file"
exits 1 stoa lock --file f -- stoa lock -n --file f -- true
exits 9 stoa lock --file f -- stoa lock -n -E 9 --file f -- true
exits 1 stoa lock --file f -- stoa lock -w 0.05 --file f -- true
exits 1 stoa lock --file f -- stoa lock -s -n --file f -- true
exits 0 stoa lock -s --file f -- stoa lock -s -n --file f -- true
exits 1 stoa lock -s --file f -- stoa lock -n --file f -- true
CASE

it "ranges of bytes, and names with colons" <<'CASE'
exits 0 stoa lock --file f:0-9 -- stoa lock -n --file f:10-19 -- true
exits 1 stoa lock --file f:0-9 -- stoa lock -n --file f:9-10 -- true
exits 1 stoa lock --file f:10- -- stoa lock -w 0.05 --file f:9223372036854775806 -- true
exits 0 stoa lock --file f:10- -- stoa lock -n --file f:9 -- true
exits 0 stoa lock -s --file f:0- -- stoa lock -s -n --file f:5 -- true
exits 0 stoa lock --file f -- stoa lock -n --file f:0- -- true
exits 0 stoa lock --file a:b -- true
exits 0 stoa lock --file a:5: -- true
[[ -f a:b && -f a:5 && ! -e a ]] || fail "other files: $(ls)"
CASE

it "flock(1) takes turns with the whole" <<'CASE'
type flock >/dev/null || skip "needs flock(1)"
exits 1 stoa lock --file f -- flock -n f true
exits 0 stoa lock -s --file f -- flock -n -s f true
exits 1 flock f stoa lock -n --file f -- true
exits 1 flock -s f stoa lock -w 0.05 --file f -- true
exits 0 flock -s f stoa lock -s -n --file f -- true
exits 0 stoa lock --file f:0- -- flock -n f true
CASE

it "who is in the way is named" <<'CASE'
mkfifo begun
stoa lock --file f -- sh -c 'echo >begun; exec sleep 1000' &
holder=$!
read -r x <begun
exits 1 stoa lock -n -v --file f -- true 2>err
is "$(cat err)" "stoa: f is locked by process $holder (stoa)"
kill -TERM $holder
exits 143 wait $holder
stoa lock --file f:3-4 -- sh -c 'echo >begun; exec sleep 1000' &
holder=$!
read -r x <begun
exits 1 stoa lock -n -v --file f:0-3 -- true 2>err
is "$(cat err)" "stoa: f is locked by process $holder (stoa)"
exits 0 stoa lock -n -v --file f:0-2 -- true 2>err
is "$(cat err)" ""
kill -TERM $holder
exits 143 wait $holder
CASE

it "the command's children hold the lock only with --inherit" <<'CASE'
exits 0 stoa lock --file f -- sh -c 'sleep 1000 >&- 2>&- & echo $! >pid'
exits 0 stoa lock -n --file f -- true
kill "$(cat pid)"
exits 0 stoa lock --inherit --file f -- sh -c 'sleep 1000 >&- 2>&- & echo $! >pid'
exits 1 stoa lock -n --file f -- true
until [[ $(<"/proc/$(cat pid)/comm") == sleep ]]; do :; done # no more the shell
exits 1 stoa lock -n -v --file f -- true 2>err
is "$(cat err)" "stoa: f is locked by process $(cat pid) (sleep)"
kill "$(cat pid)"
exits 0 stoa lock --file f -- true
CASE

it "a shell's descriptor is locked for the shell" <<'CASE'
exec 8>f 9>f
exits 0 stoa lock --fd 9
exits 1 stoa lock -n --fd 8
exits 1 stoa lock -n --file f -- true
exits 0 stoa lock -u --fd 9
exits 0 stoa lock -n --fd 8:0-4
exits 1 stoa lock -n --fd 9:4-
exits 0 stoa lock -u --fd 8:4-
exits 0 stoa lock -n --fd 9:4- -- true
exits 1 stoa lock -n --file f:4 -- true
exec 8>&- 9>&-
exits 0 stoa lock --file f:0- -- true
CASE

it "a lock is free when stoa lock is killed, and a replaced file is noticed" <<'CASE'
mkfifo begun
stoa lock --file f -- sh -c 'echo >begun; exec sleep 1000' &
holder=$!
read -r x <begun
stoa lock -v --file f -- sh -c '[ -e f ]; echo $? >there; exec sleep 1000' 2>told &
waiter=$!
until [[ -s told ]]; do :; done
rm f
kill -KILL $holder
until [[ -s there ]]; do :; done
is "$(cat there)" 0
exits 1 stoa lock -n --file f -- true
kill -TERM $waiter
exits 143 wait $waiter
CASE

it "lock --file complains of what it doesn't understand" <<'CASE'
complains 2 stoa lock --file
complains 2 stoa lock --file f
complains 2 stoa lock --file f:9-8 -- true
complains 2 stoa lock --file f --fd 3 -- true
complains 2 stoa lock --fd x
complains 2 stoa lock --file f -u
complains 2 stoa lock --fd 0 -u true
complains 2 stoa lock --inherit jobs -- true
complains 2 stoa lock -v jobs -- true
complains 3 stoa lock --file no/such/directory -- true
complains 3 stoa lock --fd 77
has "$(cat err)" "descriptor 77"
complains 3 stoa lock --file .:0-4 -- true
exec 9</dev/null
complains 3 stoa lock --fd 9:0-4
has "$(cat err)" "open for reading only"
[[ ! -e f ]] || fail "a file was made"
CASE
