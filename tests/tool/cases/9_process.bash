# Commands run with their input, output and error attached.

it "exit codes are those of env and timeout" <<'CASE'
exits 0 stoa process run true
exits 7 stoa process run sh -c 'exit 7'
exits 143 stoa process run -- sh -c 'kill $$'
exits 124 stoa process run -w 0.1 sleep 600
(trap '' TERM; exits 137 stoa process run -w 0.1 -k 0.1 sleep 600) || exit
complains 127 stoa process run no-such-program-at-all
complains 126 stoa process run /etc/passwd
complains 125 stoa process run
complains 125 stoa process run --in no/such/file cat
complains 125 stoa process run true --pipe
complains 125 stoa process run -w x true
CASE

it "several commands in a row, and how each ended" <<'CASE'
printf '%s\n' b a c >in
is "$(stoa process run --in in sort --pipe tr a-z A-Z --pipe tail -n 2)" \
	$'B\nC'
exits 3 stoa process run --status=table -rno NUMBER,STATE,CODE,SIGNAL \
	sh -c 'kill -9 $$' --pipe sh -c 'cat; exit 3' --pipe cat
is "$(cat table)" $'0 killed  SIGKILL\n1 exited 3 \n2 exited 0 '
stoa process run -J true 2>table
json_check <table || fail "no JSON"
stoa process run --status true 2>table
has "$(cat table)" "exited"
stoa process run -H | grep -q RESIDENT || fail "no list of columns"
CASE

it "a terminal stands between a command and what it is sent" <<'CASE'
exits 0 stoa process run --out terminal --err out --in null -c \
	'test -t 1 && test -t 2 && ! test -t 0 && echo yes' >out
is "$(cat out)" $'yes\r'
seq 20000 >numbers
exits 0 stoa process run --out terminal cat numbers | tr -d '\r' | same - numbers
printf 'one\ntwo' >in
exits 0 stoa process run --in terminal --err terminal --out pipe cat <in >out \
	2>/dev/null
same in out
exits 0 stoa process run --in terminal --out terminal -- sh -c \
	'tty </dev/tty >/dev/null && echo controlling' </dev/null >out
has "$(cat out)" controlling
exits 3 stoa process run --out terminal -- sh -c 'exit 3'
exits 124 stoa process run -w 0.1 --in terminal --out terminal sleep 600 </dev/null
complains 125 stoa process run --in terminal true
CASE

it "input, output and error go where they are sent" <<'CASE'
echo hello >in
exits 0 stoa process run --in in --out out --err err -c \
	'cat; echo error >&2'
is "$(cat out)" hello
is "$(cat err)" error
exits 0 stoa process run --in null --out append:out --err out -c \
	'cat; echo more; echo error >&2'
is "$(cat out)" $'hello\nmore\nerror'
exits 0 stoa process run --out fd:7 -- echo seven 7>seven
is "$(cat seven)" seven
is "$(echo through | stoa process run --in pipe --out pipe cat)" through
exits 0 stoa process run --err pipe -c 'echo error >&2' 2>err
is "$(cat err)" error
is "$(stoa process run -d /usr pwd)" /usr
CASE

it "streams are read and written" <<'CASE'
bytes 300000 >in
stoa stream write a <in &
stoa stream read b >out &
exits 0 stoa process run --in stream:a --out stream:b cat
wait
same in out
exits 125 stoa process run -w 0.1 --out stream:nobody true
CASE

it "when the time is over no heir is waited for" <<'CASE'
mkfifo held
exec 8<>held # what the heir reads for ever
exits 124 stoa process run -w 1 -k 0.1 --heirs --out pipe -c \
	'cat <&8 & exec sleep 600' >out
CASE

it "with its parent everything dies" <<'CASE'
mkfifo gone
stoa process run -p -g -c 'echo ready; sleep 600 & sleep 600' >gone &
pid=$!
exec 5<gone
read -r line <&5
kill -9 $pid
# Until nobody has it any more.
cat <&5
wait $pid 2>/dev/null
:
CASE

it "signals are handed on" <<'CASE'
mkfifo ready
stoa process run -c 'trap "exit 9" USR1; echo >ready
	while :; do sleep 0.01; done' &
pid=$!
read -r line <ready
kill -USR1 $pid
wait $pid
is $? 9
CASE
