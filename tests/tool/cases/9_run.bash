# stoa run: unmodified programs, and which can't be.

it "run gives the command its library and its space, and passes its status" <<'CASE'
is "$(stoa run -- sh -c 'echo $STOA_SPACE')" "$STOA_SPACE"
is "$(stoa run sh -c 'echo ${LD_PRELOAD##*/}')" libstoa-dropin.so
is "$(stoa run stoa run sh -c 'echo ${LD_PRELOAD##*/}')" libstoa-dropin.so
exits 7 stoa run -- sh -c 'exit 7'
exits 127 stoa run no-such-command 2>/dev/null
: >plain
exits 126 stoa run ./plain 2>/dev/null
is "$(stoa run sh -c 'echo a b' | tr b c)" "a c"
CASE

it "run keeps what was preloaded before, and before itself" <<'CASE'
is "$(LD_PRELOAD=libm.so.6 stoa run sh -c 'echo ${LD_PRELOAD%/*}')" \
	"libm.so.6:${PATH%%:*}"
CASE

it "run makes the space that it is told" <<'CASE'
unset STOA_SPACE
is "$(stoa run --space "$PWD/other" sh -c 'echo $STOA_SPACE')" "$PWD/other"
is "$(stat -c %a other)" 700
is "$(stoa run --space ./other sh -c 'echo $STOA_SPACE')" "$PWD/./other"
is "$(stoa run --shared --space ./all sh -c 'echo $STOA_SPACE')" "$PWD/./all"
is "$(stat -c %a all)" 1777
name=test-$$-$RANDOM
trap 'rm -rf "/dev/shm/stoa-$(id -u).$name"' EXIT
is "$(stoa run --space "$name" sh -c 'echo $STOA_SPACE')" \
	"/dev/shm/stoa-$(id -u).$name"
complains 3 stoa run --space .dot true
complains 3 stoa run --space /proc true
complains 2 stoa run --private --space x true
complains 2 stoa run --private
CASE

it "run hands limits on" <<'CASE'
is "$(stoa run --limits msgmax=100,msg_max=7 sh -c 'echo $STOA_LIMITS')" \
	msgmax=100,msg_max=7
complains 2 stoa run --limits msgmax true
complains 2 stoa run --limits msgmax=1x true
complains 2 stoa run --limits msgmax=1, true
complains 2 stoa run --limits =1 true
complains 2 stoa run --limits nonsense=1 true
CASE

it "a private space goes with the last process, not with the first" <<'CASE'
mkfifo go
stoa run --private sh -c '
	echo $STOA_SPACE >where
	(trap "" HUP; read x <go; ls -d "$STOA_SPACE" >late) &
	exit 5' &
runner=$!
until [[ -s where ]]; do :; done
[[ -d $(<where) ]] || fail "there is none"
echo >go
exits 5 wait $runner
is "$(<late)" "$(<where)"
[[ ! -e $(<where) ]] || fail "it is still there"
CASE

it "a private space that was left by a killed runner is swept, once unused" <<'CASE'
mkfifo go
stoa run --private sh -c 'echo $STOA_SPACE >where; read x <go; : >done' &
runner=$!
until [[ -s where ]]; do :; done
kill -KILL $runner
wait $runner
stoa run true
[[ -d $(<where) ]] || fail "swept while it was used"
echo >go
until [[ -e done ]]; do :; done
until [[ ! -e $(<where) ]]; do stoa run true; done
CASE

it "a private space is fresh, and not other users' unless shared" <<'CASE'
is "$(stoa run --private sh -c 'ls -A "$STOA_SPACE" | wc -l')" 0
is "$(stoa run --private stat -c %a .)" "$(stat -c %a .)"
is "$(stoa run --private sh -c 'stat -c %a "$STOA_SPACE"')" 700
is "$(stoa run --private --shared sh -c 'stat -c %a "$STOA_SPACE"')" 1777
one=$(stoa run --private sh -c 'echo $STOA_SPACE')
[[ $(stoa run --private sh -c 'echo $STOA_SPACE') != "$one" ]] || fail same
CASE

it "run --private hands signals on, also to who is left" <<'CASE'
stoa run --private bash -c 'trap "exit 9" TERM; echo >begun
	while :; do sleep 0.1; done' &
until [[ -e begun ]]; do :; done
kill -TERM $!
exits 9 wait $!
exits 143 stoa run --private sh -c 'kill -TERM $$'
[[ -e /proc/self/task/$$/children ]] || exit 0
stoa run --private sh -c '(trap "exit 0" USR1
	while kill -0 $$; do :; done 2>/dev/null
	: >left
	while :; do sleep 0.1; done) & exit 3' &
until [[ -e left ]]; do :; done
kill -USR1 $!
exits 3 wait $!
CASE


it "run refuses what it can't answer for, in one sentence" <<'CASE'
compile()
{
	echo 'int main(void) { return 0; }' | ${CC:-cc} -x c - "$@"
}
compile -o dynamic
exits 0 stoa run ./dynamic
if compile -static -o static 2>/dev/null; then
	complains 3 stoa run ./static
	has "$(<err)" "static is statically linked"
	printf '#!%s/static\n' "$PWD" >script
	chmod +x script
	complains 3 stoa run ./script
	has "$(<err)" "script is run by $PWD/static, which is statically"
	PATH=$PWD:$PATH complains 3 stoa run static
fi
printf '\177ELF\1\1\1' >narrow
head -c 64 /dev/zero >>narrow
chmod +x narrow
complains 3 stoa run ./narrow
has "$(<err)" "another architecture"
CASE

it "run refuses programs with rights of their own" <<'CASE'
[[ $(id -u) == 0 ]] || skip "only root can make such programs for others"
directory=$(mktemp -d -p /tmp)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
[[ $(findmnt -no OPTIONS -T .) != *nosuid* ]] || skip "no set-user-ID here"
echo 'int main(void) { return 0; }' | ${CC:-cc} -x c - -o program
chown 65534 program
chmod 4755 program
exits 3 stoa run ./program 2>err
has "$(<err)" "set-user-ID"
chown 0:65534 program
chmod 2755 program
exits 3 stoa run ./program 2>err
has "$(<err)" "set-group-ID"
chmod 0755 program
exits 0 stoa run ./program
CASE

it "what a program runs later without the library is told, and runs" <<'CASE'
printf '%s\n' '#include <stdio.h>' 'int main(void) { puts("ran"); }' >ran.c
${CC:-cc} -o dynamic ran.c
is "$(stoa run sh -c ./dynamic 2>&1)" ran
is "$(stoa run env -i ./dynamic 2>&1)" \
	"stoa: ./dynamic is run without LD_PRELOAD; its IPC is the kernel's
ran"
${CC:-cc} -static -o static ran.c 2>/dev/null || skip "no static libc here"
is "$(stoa run sh -c ./static 2>&1)" \
	"stoa: ./static is statically linked and loads no library that could \
answer its calls; its IPC is the kernel's
ran"
CASE
