# Terminals: sessions from real terminals (tmux's panes), ends of all kinds,
# recordings, lists, sizes.
# shellcheck disable=SC2016

# What the cases share: see terminal_helpers below.
terminal_helpers=$(cat <<'HELPERS'
# T ARGUMENT...: tmux, a server of the case's own
T()
{
	tmux -f /dev/null -S "$PWD/tmux" "$@"
}

# pane NAME SIZE COMMAND: a terminal of COLUMNSxROWS that runs COMMAND, the
# only one of a session. Its target is =NAME:, as a bare NAME may as well be
# the beginning of a window's name, which is that of what runs in it.
pane()
{
	T new-session -d -s "$1" -x "${2%x*}" -y "${2#*x}" "$3" ||
		fail "no pane"
	T set-option -t "=$1:" status off
	T resize-window -t "=$1:" -x "${2%x*}" -y "${2#*x}"
}

# screen PANE: what is to be seen there
screen()
{
	T capture-pane -p -t "=$1:"
}

# shows PANE TEXT: until it's to be seen there (the hang limit ends it)
shows()
{
	until [[ $(screen "$1") == *"$2"* ]]; do
		sleep 0.05
	done
}

# types PANE KEY...
types()
{
	T send-keys -t "=$1:" "${@:2}"
}

# clients SESSION NUMBER: until so many are attached
clients()
{
	until [[ $(stoa terminal ls -rno NAME,CLIENTS) == "$1 $2" ]]; do
		sleep 0.02
	done
}

# no_sessions: until all have gone
no_sessions()
{
	until [[ -z $(stoa terminal ls -rno NAME) ]]; do sleep 0.02; done
}

leave_nothing()
{
	T kill-server 2>/dev/null
	stoa terminal ls -rno KEEPER 2>/dev/null | while read -r keeper; do
		kill -KILL "$keeper" 2>/dev/null
	done
}
trap leave_nothing EXIT

# A shell whose prompt isn't on any command line, and that reads no files.
cat >shell <<'SHELL'
#!/bin/sh
PS1='in-$((40 + 2))> ' HISTFILE= exec bash --norc --noprofile
SHELL
# Its status, and the terminal's mode after it, as any shell would find it.
cat >then <<'THEN'
#!/bin/sh
"$@"
echo "status=$?"
until stty -a | grep -q ' icanon'; do sleep 0.05; done
until stty -a | grep -q ' echo '; do sleep 0.05; done
echo "mode is whole"
exec cat
THEN
chmod 755 shell then
HELPERS
)

# terminal SENTENCE: as `it`, with these at hand; those of tmux need it.
terminal()
{
	local body

	body=$(cat)
	it "$1" <<<"$terminal_helpers"$'\n'"$body"
}

terminal "a session is seen and typed into from several terminals" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
pane a 100x30 "./then stoa terminal start work -- ./shell"
shows a "in-42>"
pane b 80x24 "./then stoa terminal attach work"
shows b "in-42>"
types a 'echo from-$((1 + 1))-a' Enter
shows a "from-2-a"
shows b "from-2-a"
types b 'echo from-$((1 + 1))-b' Enter
shows a "from-2-b"
shows b "from-2-b"
clients work 2
types a 'C-\'
shows a "detached from 'work'"
shows a "status=0"
shows a "mode is whole"
clients work 1
pane c 90x28 "./then stoa terminal attach -r work"
shows c "from-2-b" # the past
types c 'echo not-$((1 + 1))-this' Enter
types b 'echo but-$((1 + 1))-this' Enter
shows c "but-2-this"
lacks "$(screen b)" "not-2-this"
types b 'exit 5' Enter
shows b "status=5"
shows c "status=5"
shows b "mode is whole"
shows c "mode is whole"
no_sessions
is "$(stoa ls -rno NAME)" ""
CASE

terminal "the size is that of who typed, or changed his, last" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
pane a 100x30 "./then stoa terminal start work -- ./shell"
shows a "in-42>"
until [[ $(stoa terminal size work) == "30 100" ]]; do sleep 0.05; done
pane b 80x20 "./then stoa terminal attach work"
shows b "in-42>"
until [[ $(stoa terminal size work) == "20 80" ]]; do sleep 0.05; done
types a 'echo size-$(stty size | tr " " x)' Enter
shows a "size-30x100"
T resize-window -t =b: -x 70 -y 18
until [[ $(stoa terminal size work) == "18 70" ]]; do sleep 0.05; done
exits 0 stoa terminal size work 40x120
until [[ $(stoa terminal size work) == "40 120" ]]; do sleep 0.05; done
complains 2 stoa terminal size work 40x
complains 2 stoa terminal size work 0x1
complains 2 stoa terminal size work 1x99999
exits 0 stoa terminal rm -k work
shows a "status=129"
CASE

terminal "a size is told, however long the keeper takes nothing" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
exits 0 stoa terminal start -d work -- sh -c 'stty raw -echo; exec cat >/dev/null'
pane a 100x30 "./then stoa terminal attach work"
until [[ $(stoa terminal size work) == "30 100" ]]; do sleep 0.05; done
keeper=$(stoa terminal ls -rno KEEPER)
kill -STOP "$keeper"
# What makes no sense there takes room all the same.
while stoa queue send -w 0 work.terminal x; do :; done
T resize-window -t =a: -x 70 -y 18
kill -CONT "$keeper"
until [[ $(stoa terminal size work) == "18 70" ]]; do sleep 0.05; done
exits 0 stoa terminal rm -k work
shows a "status=129"
CASE

terminal "a full screen is drawn anew for who comes late" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
cat >screen <<'SCREEN'
#!/bin/bash
# It looks by itself: bash forgets a signal that comes while it handles one.
while [[ $line != end ]]; do
	size=$(stty size)
	[[ $size == "$drawn" ]] ||
		printf '\033[?1049h\033[H\033[2Jdrawn for %s' "$size"
	drawn=$size
	# Not by a read with a time limit: that may end within the line.
	if read -t 0; then
		read -r line
	else
		sleep 0.05
	fi
done
exit 6
SCREEN
chmod 755 screen
exits 0 stoa terminal start -d -s 10x40 work -- ./screen
pane a 77x22 "./then stoa terminal attach work"
shows a "drawn for 22 77"
pane b 66x21 "./then stoa terminal attach work"
shows b "drawn for 21 66"
types b -l end
types b Enter
shows a "status=6"
shows b "status=6"
is "$(T display-message -p -t =b: '#{alternate_on}')" 0
CASE

terminal "a killed keeper is told to its clients, and its name is free" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
exits 0 stoa terminal start -d work -- ./shell
for i in a b; do
	pane $i 80x24 "./then stoa terminal attach work"
	shows $i "in-42>"
done
kill -KILL "$(stoa terminal ls -rno KEEPER)"
for i in a b; do
	shows $i "status=3"
	shows $i "mode is whole"
	has "$(screen $i)" "keeper"
done
is "$(stoa terminal ls -rno NAME,HEALTH)" "work dead"
complains 3 stoa terminal attach work
complains 3 stoa terminal size work
exits 0 stoa terminal start -d work -- ./shell
is "$(stoa terminal ls -rno NAME,HEALTH)" "work ok"
kill -KILL "$(stoa terminal ls -rno KEEPER)"
until [[ $(stoa terminal ls -rno HEALTH) == dead ]]; do :; done
has "$(stoa clean -rno ACTION,NAME,RESULT -d)" 'remove work.terminal to\x20do'
has "$(stoa clean -rno ACTION,NAME,RESULT)" "remove work.terminal done"
is "$(stoa ls -rno NAME)" ""
CASE

terminal "a killed client changes nothing for others, and its terminal is whole" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
exits 0 stoa terminal start -d work -- ./shell
cat >one <<'ONE'
#!/bin/sh
echo $$ >pid
exec stoa terminal attach work
ONE
chmod 755 one
pane a 80x24 "./then ./one"
shows a "in-42>"
pane b 80x24 "./then stoa terminal attach work"
shows b "in-42>"
kill -KILL "$(<pid)"
shows a "status=137"
shows a "mode is whole"
types b 'echo on-$((1 + 1))-and-on' Enter
shows b "on-2-and-on"
# SIGTERM is met in order.
T respawn-pane -k -t =a: "./then ./one"
shows a "on-2-and-on"
kill -TERM "$(<pid)"
shows a "status=143"
shows a "mode is whole"
clients work 1
CASE

terminal "the past is shown, but asks nothing again" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
exits 0 stoa terminal start -d work -- sh -c \
	'stty -echo; printf "\033[6n\033]0;title\007\033[c\005before\n"; exec cat -v'
until [[ $(stoa terminal ls -rno TITLE) == title ]]; do :; done
pane a 80x24 "./then stoa terminal attach work"
shows a "before"
types a 'typed' Enter
shows a "typed"
lacks "$(screen a)" "^["
types a C-d
shows a "status=0"
CASE

terminal "the key that detaches can be chosen, or be none" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
exits 0 stoa terminal start -d work -- sh -c \
	'stty raw -echo; echo all-keys-are-read; exec cat -v'
pane a 80x24 "./then stoa terminal attach -e none work"
shows a "all-keys-are-read" # and a's own keys are, too
types a 'C-\' x
shows a '^\x'
pane b 80x24 "./then stoa terminal attach -e ^] work"
shows b '^\x'
types b y 'C-]'
shows b "detached from 'work'"
shows a '^\xy'
complains 2 stoa terminal attach -e '^' -e '' work
complains 2 stoa terminal attach -e long work
CASE

terminal "without terminals a session is a filter" <<'CASE'
printf 'one\ntwo\n' >in
exits 4 stoa terminal start work -- sh -c \
	'stty -echo; read a; read b; echo "$b $a"; exit 4' <in >out
has "$(<out)" "two one"
no_sessions
exits 0 stoa terminal start -d work -- sh -c 'read a; exit 9'
stoa terminal attach work </dev/null >out &
clients work 1
exits 1 stoa terminal start -d work -- true 2>err
has "$(<err)" "work"
exits 1 stoa terminal rm work 2>err
exits 9 stoa terminal start -A work -- true <<<x >out
wait $!
is $? 9
no_sessions
complains 3 stoa terminal attach work
complains 3 stoa terminal rm work
exits 0 stoa terminal rm -f work
complains 3 stoa terminal start work -- /no/such/command
exits 1 stoa terminal ls
is "$(stoa ls -rno NAME)" ""
CASE

terminal "who starts a command that ends at once gets its status" <<'CASE'
for i in 1 2 3 4 5 6 7 8; do
	exits $i stoa terminal start work -- sh -c "echo quick; exit $i" \
		</dev/null >out
	has "$(<out)" quick
	no_sessions
done
CASE

terminal "a keeper in the foreground ends when it's told" <<'CASE'
stoa terminal start -f work -- sleep 1000 &
until [[ $(stoa terminal ls -rno HEALTH) == ok ]]; do :; done
is "$(stoa terminal ls -rno KEEPER)" $!
kill -TERM $!
wait $!
no_sessions
exits 3 stoa terminal start -f work -- sh -c 'exit 3'
CASE

terminal "what a command says of itself is made printable" <<'CASE'
exits 0 stoa terminal start -d work -- sh -c \
	'printf "\033]2;a\tb\302\233c\303\244\007"; read a' $'x\033[31my'
until [[ $(stoa terminal ls -rno TITLE) ]]; do :; done
has "$(stoa terminal ls)" 'a?b?cä'
lacks "$(stoa terminal ls)" $'\033'
lacks "$(stoa terminal ls -J)" $'\033'
stoa terminal ls -J | json_check || fail "it isn't JSON"
CASE

terminal "a recording has what a command writes, and is shown again" <<'CASE'
exits 7 stoa terminal record -i -t 'a "title"' --idle-limit 2 -s 30x90 day -- \
	sh -c 'stty size; printf "\033[1m\303\244\377"; exit 7' </dev/null >out
has "$(<out)" "30 90"
is "$(head -n 1 day | tr , '\n' | grep -c '"width": 90\|"height": 30')" 2
has "$(<day)" '"title": "a \"title\""'
while read -r line; do
	json_check <<<"$line" || fail "'$line' isn't JSON"
done <day
exits 0 stoa terminal replay -s 0 day >again
has "$(<again)" "30 90"
has "$(<again)" $'\033[1mä\357\277\275'
exits 0 stoa terminal replay -s 0 <day >once
same again once
complains 3 stoa terminal record day -- true
exits 0 stoa terminal record -f day -- true </dev/null
exits 0 stoa terminal start -d -R session work -- sh -c 'echo recorded'
no_sessions
until [[ $(stoa terminal replay -s 0 session 2>/dev/null) == *recorded* ]]; do
	:
done
complains 3 stoa terminal start -R session work -- true
is "$(stoa ls -rno NAME)" ""
CASE

terminal "a recording that is none, or was cut, is told" <<'CASE'
exits 0 stoa terminal record day -- echo whole </dev/null >/dev/null
printf '[1000000, "o", "hal' | cat day - >cut
exits 3 stoa terminal replay -s 0 cut >out 2>err
has "$(<err)" "cut short"
has "$(<out)" whole
echo '{"version": 1}' >old
complains 3 stoa terminal replay old
complains 3 stoa terminal replay /dev/null
complains 3 stoa terminal replay missing
complains 2 stoa terminal replay -s fast day
complains 2 stoa terminal replay --idle-limit x day
complains 2 stoa terminal replay a b
CASE

terminal "a recording keeps its times" <<'CASE'
{
	echo '{"version": 2, "width": 80, "height": 24}'
	echo '[0.1, "o", "a"]'
	echo '[0.9, "o", "b"]'
	echo '[1000000, "o", "c"]'
} >day
before=${EPOCHREALTIME/./}
is "$(stoa terminal replay --idle-limit 0.4 day)" abc
after=${EPOCHREALTIME/./}
((after - before >= 900000)) || fail "it took $((after - before)) us"
before=${EPOCHREALTIME/./}
is "$(stoa terminal replay -s 4 --idle-limit 0.4 day)" abc
after=${EPOCHREALTIME/./}
((after - before >= 225000)) || fail "it took $((after - before)) us"
CASE

terminal "a replay is held, and ended, by keys" <<'CASE'
type -P tmux >/dev/null || skip "there is no tmux"
{
	echo '{"version": 2, "width": 80, "height": 24}'
	echo '[0, "o", "begun\u001b[?25l\u001b[6n"]'
	echo '[1000, "o", "never"]'
} >day
pane a 80x24 "./then stoa terminal replay day"
shows a begun
types a ' ' q
shows a "status=0"
shows a "mode is whole"
is "$(T display-message -p -t =a: '#{cursor_flag}')" 1
lacks "$(screen a)" "^["
CASE

terminal "a keeper holds nothing of who started it" <<'CASE'
exec 8> >(cat >ended; echo ended >>ended) 9>held
flock 9
stoa terminal start -d -R day work -- sh -c 'echo said; exec cat'
exec 8>&- 9>&-
exits 0 flock -n held true
until [[ -s ended ]]; do sleep 0.02; done
until grep -q said day; do sleep 0.02; done
CASE

terminal "a recording that may not grow ends, and the session goes on" <<'CASE'
seq 800000 >numbers
ulimit -f 4096
exits 5 stoa terminal start -f -R day work -- sh -c 'cat numbers; exit 5'
is "$(stat -c %s day)" 4194304
CASE

# It is killed while the program is waited for: who has a lease on it is told,
# and lets go later.
terminal "a session outlives a starter that was killed before it knew" <<'CASE'
type -P perl >/dev/null || skip "there is no perl"
printf '#!/bin/sh\nexec cat\n' >program
chmod 755 program
perl -e '
	my ($set, $write, $none) = (1024, 1, 2); # F_SETLEASE
	$SIG{IO} = sub { $told = 1 };
	open my $file, "<", "program" or die;
	fcntl $file, $set, $write or die "no lease: $!";
	my $pid = fork // die;
	exec qw(stoa terminal start -d work -- ./program) unless $pid;
	select undef, undef, undef, 0.01 until $told;
	kill KILL => $pid;
	waitpid $pid, 0;
	fcntl $file, $set, $none or die;
' || skip "there are no leases here"
until [[ $(stoa terminal ls -rno NAME) == work ]]; do sleep 0.02; done
keeper=$(stoa terminal ls -rno KEEPER)
exits 0 stoa terminal size work 31x77
until [[ $(stoa terminal ls -rno SIZE) == 31x77 ]]; do
	kill -0 "$keeper" || fail "the keeper is dead"
	sleep 0.02
done
CASE

terminal "what is typed wrong is told" <<'CASE'
complains 2 stoa terminal
complains 2 stoa terminal fly
complains 2 stoa terminal start
complains 2 stoa terminal start -s big work
complains 2 stoa terminal start --history x work
complains 2 stoa terminal attach
complains 2 stoa terminal attach a b
complains 2 stoa terminal ls x
complains 2 stoa terminal record
complains 2 stoa terminal rm
complains 2 stoa terminal size a 1x1 b
complains 3 stoa terminal start .work -- true
complains 3 stoa terminal start a/b -- true
complains 3 stoa terminal size
for verb in start attach ls record replay size rm; do
	has "$(stoa terminal $verb --help)" "Usage: stoa terminal $verb"
done
CASE
