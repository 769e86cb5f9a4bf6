# Leaving: commands, signals, broken pipes, deaths. Nothing is lost.

it "exec gives the message on standard input and acknowledges" <<'CASE'
exits 0 $q create --max-message 1M jobs
bytes 1M >in
$q send --whole jobs <in || fail send
exits 0 $q recv --exec 'cat >out' jobs
same in out
is "$($q stat -rno MSGS,TAKEN,RETURNED jobs)" "0 0 0"
CASE

it "exec gives the message back if the command fails, and passes its code" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs first second
exits 42 $q recv --exec 'exit 42' jobs
is "$($q stat -rno MSGS,TAKEN,RETURNED jobs)" "2 0 1"
is "$($q peek --json jobs | json_check deliveries)" "1"
exits 137 $q recv --exec 'kill -KILL $$' jobs
exits 127 $q recv --exec 'no-such-command 2>/dev/null' jobs
is "$(echo $($q recv --all jobs))" "first second"
CASE

it "exec stops at the first failure" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs good bad more
exits 5 $q recv --follow -w 0 \
	--exec 'read -r job; echo $job >>done; [ $job = good ] || exit 5' jobs
is "$(echo $(cat done))" "good bad"
is "$(echo $($q recv --all jobs))" "bad more"
CASE

it "exec tells the command about the message" <<'CASE'
exits 0 $q create --order type jobs
exits 0 $q send --type 6 jobs hello
exits 1 $q recv --exec 'exit 1' jobs
exits 0 $q recv --exec 'echo $STOA_QUEUE $STOA_TYPE $STOA_BYTES $STOA_DELIVERIES' \
	jobs >out
is "$(cat out)" "jobs 6 5 1"
CASE

it "a command that doesn't read its input is no failure" <<'CASE'
exits 0 $q create --max-message 1M jobs
bytes 1M | $q send --whole jobs || fail send
exits 0 $q recv --exec 'exec <&-; exit 0' jobs
is "$(number MSGS jobs)" "0"
CASE

it "a receiver killed while its command works gives the message back" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs job
mkfifo begun go
$q recv --exec 'trap "echo told >told; exit" TERM; echo >begun; read x <go' \
	jobs &
receiver=$!
read -r x <begun
kill -KILL $receiver
wait $receiver
is "$($q recv jobs)" "job"
until [[ -s told ]]; do :; done
CASE

it "a receiver ended while its command works tells it, and gives back" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs job
mkfifo begun go
$q recv --exec 'trap "exit 9" TERM; echo >begun; read x <go' jobs &
read -r x <begun
kill -TERM $!
wait $!
is $? 143
is "$($q stat -rno MSGS,TAKEN jobs)" "1 0"
CASE

it "a command that copes with the signal has done its message" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs one two
mkfifo begun go
$q recv --follow --exec 'trap "" TERM; echo >begun; read x <go' jobs &
read -r x <begun
kill -TERM $!
echo >go
wait $!
is $? 143
is "$(echo $($q recv --all jobs))" "two"
CASE

it "a signal ends following between messages; none is lost or doubled" <<'CASE'
for signal in INT TERM HUP; do
	exits 0 $q create orders
	env --default-signal=INT stoa queue recv --follow orders >out &
	await RECEIVERS orders 1
	exits 0 $q send orders one two
	await MSGSOUT orders 2
	await RECEIVERS orders 1
	kill -$signal $!
	wait $!
	is $? $((128 + $(kill -l $signal)))
	is "$(echo $(cat out))" "one two"
	is "$($q stat -rno MSGS,TAKEN,USERS orders)" "0 0 0"
	exits 0 stoa rm orders
done
CASE

it "receivers ended at any instant lose and double nothing" <<'CASE'
exits 0 $q create --capacity 5000 orders
seq 3000 | $q send orders
: >out
for i in {1..30}; do
	stoa queue recv --follow orders >>out &
	until (($(number MSGSOUT orders) >= i * 20)); do :; done
	kill -TERM $!
	wait $!
	is $? 143
done
$q recv --all orders >>out
seq 3000 | same - out
CASE

it "receivers killed at any instant lose nothing" <<'CASE'
exits 0 $q create --capacity 5000 orders
seq 3000 | $q send orders
: >out
for i in {1..30}; do
	stoa queue recv --follow orders >>out &
	until (($(number MSGSOUT orders) >= i * 20)); do :; done
	kill -KILL $!
	wait $! 2>/dev/null
done
$q recv --all orders >>out
seq 3000 >expected
sort -nu out | same - expected
(($(wc -l <out) <= 3030)) || fail "more than one was doubled by a death"
CASE

it "a message that can't be printed stays in the queue" <<'CASE'
exits 0 $q create orders
exits 0 $q send orders one
exits 3 $q recv orders >/dev/full 2>err
has "$(cat err)" "No space left"
is "$($q stat -rno MSGS,TAKEN orders)" "1 0"
exits 3 $q recv orders >&- 2>err
exits 3 $q recv orders <&- >&- 2>err
is "$($q recv orders)" "one"
CASE

it "a broken pipe ends quietly, and what didn't fit stays" <<'CASE'
exits 0 $q create --capacity 5000 --max-message 4K --total 64M orders
for i in {1..1000}; do printf '%04000d\n' $i; done | $q send orders
$q recv --follow orders 2>err | head -n 1 >out
is "${PIPESTATUS[0]}" 141
[[ ! -s err ]] || fail "it said: $(cat err)"
left=$(number MSGS orders)
((left >= 900 && left < 1000)) || fail "$left are left"
is "$(number TAKEN orders)" "0"
is "$($q recv --all orders | wc -l)" "$left"
CASE

it "a broken pipe with SIGPIPE ignored is a failure that is told" <<'CASE'
exits 0 $q create orders
exits 0 $q send orders one
mkfifo pipe
: <pipe &
exec 3>pipe
wait $!
(trap '' PIPE; exec stoa queue recv orders) >&3 2>err
is $? 3
has "$(cat err)" "Broken pipe"
is "$($q recv orders)" "one"
CASE

it "a reader that is slow, then gone, costs no message" <<'CASE'
exits 0 $q create --max-message 1M --capacity 4 orders
bytes 1M >in
$q send --whole orders <in || fail send
mkfifo pipe
stoa queue recv --raw orders >pipe 2>err &
exec 3<pipe
head -c 1000 <&3 >part
kill -TERM $!
wait $!
is $? 143
exec 3<&-
is "$($q stat -rno MSGS,TAKEN orders)" "1 0"
$q recv --raw orders >out
same in out
CASE

it "take holds a message until it is acknowledged" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs first second
coproc job { exec stoa queue take jobs; }
pid=$job_PID
exec 5>&${job[1]} {job[1]}>&-
read -r message <&${job[0]}
is "$message" "first"
is "$($q stat -rno MSGS,TAKEN jobs)" "1 1"
is "$($q peek jobs)" "second"
echo ack >&5
wait $pid
is $? 0
is "$($q stat -rno MSGS,TAKEN,RETURNED jobs)" "1 0 0"
CASE

it "take gives back on 'return', at the end of input, and not before" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs first second
exits 1 $q take jobs </dev/null >out
is "$(cat out)" "first"
echo return | $q take jobs >out
is $? 1
printf 'what?\n\nack\n' | $q take jobs >out 2>err
is $? 0
has "$(cat err)" "what?"
exits 0 $q take --acknowledge jobs </dev/null >out
is "$(cat out)" "second"
is "$(number MSGS jobs)" "0"
exits 1 $q take -w 0 jobs
CASE

it "take gives back on a signal" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs first
mkfifo hold
for signal in TERM HUP; do
	stoa queue take jobs <hold >out &
	exec 3>hold
	await TAKEN jobs 1
	kill -$signal $!
	wait $!
	is $? $((128 + $(kill -l $signal)))
	exec 3>&-
	is "$($q stat -rno MSGS,TAKEN jobs)" "1 0"
done
CASE

it "take killed gives back, in the old place" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs first second
mkfifo hold
stoa queue take jobs <hold >out &
exec 3>hold
await TAKEN jobs 1
kill -KILL $!
wait $!
exec 3>&-
is "$(echo $($q recv -c 2 jobs))" "first second"
is "$(number RETURNED jobs)" "1"
CASE

it "a receiver that waits gets what a killed one held" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs first
mkfifo hold
stoa queue take jobs <hold >out &
taker=$!
exec 3>hold
await TAKEN jobs 1
$q recv --json jobs >json &
await RECEIVERS jobs 1
kill -KILL $taker
wait $!  || fail recv
is "$(json_check text <json)" "first"
is "$(json_check deliveries <json)" "1"
CASE

it "take --exec acknowledges on success only" <<'CASE'
exits 0 $q create jobs
exits 0 $q send jobs first
exits 3 $q take --exec 'exit 3' jobs
is "$(number MSGS jobs)" "1"
exits 0 $q take --exec 'cat' jobs >out
is "$(cat out)" "first"
is "$(number MSGS jobs)" "0"
CASE

it "a killed sender leaves a queue that works" <<'CASE'
exits 0 $q create --capacity 4 orders
yes | $q send orders &
await SENDERS orders 1
kill -KILL $!
wait $! 2>/dev/null
exits 0 $q recv --all orders >out
exits 0 $q send orders fine
is "$($q recv orders)" "fine"
CASE
