# Messages: sending and receiving.

it "each argument is a message" <<'CASE'
exits 0 $q create orders
exits 0 $q send orders one 'two words' '' -- --four
is "$($q recv -c 4 orders)" $'one\ntwo words\n\n--four'
is "$(number MSGS orders)" "0"
CASE

it "each line is a message, empty ones and an unended last one too" <<'CASE'
exits 0 $q create orders
printf 'one\n\nthree' | $q send orders || fail send
is "$(number MSGS orders)" "3"
is "$($q recv --all orders)" $'one\n\nthree'
: | $q send orders || fail "empty input"
is "$(number MSGS orders)" "0"
CASE

it "lines come out as they went in, whatever bytes they hold" <<'CASE'
exits 0 $q create --capacity 100K --max-message 1M --total 64M orders
{ bytes 1000000; echo; } >in
$q send orders <in || fail send
$q recv --all orders >out || fail recv
same in out
CASE

it "NUL-ended messages may hold newlines" <<'CASE'
exits 0 $q create orders
printf 'a\nb\0\0c' | $q send --null orders || fail send
is "$(number MSGS orders)" "3"
$q recv --null --count 3 orders >out || fail recv
printf 'a\nb\0\0c\0' >expected
same out expected
CASE

it "the whole input is one message, also an empty one" <<'CASE'
exits 0 $q create orders
printf 'a\n\0b\n' >in
$q send --whole orders <in || fail send
$q recv --raw orders >out || fail recv
same in out
$q send --whole orders </dev/null || fail "send nothing"
is "$(number MSGS orders)" "1"
$q recv --raw orders >out || fail "recv nothing"
[[ ! -s out ]] || fail "something came"
CASE

it "input is cut in blocks, and the rest is the last one" <<'CASE'
exits 0 $q create --max-message 64K --total 16M orders
bytes 1000000 >in
$q send --size 4K orders <in || fail send
is "$(number MSGS orders)" "245"
is "$($q peek --raw orders | wc -c)" "4096"
$q recv --all --raw orders >out || fail recv
same in out
: | $q send --size 4K orders || fail "send nothing"
is "$(number MSGS orders)" "0"
CASE

it "a message of 1 MiB goes through whole" <<'CASE'
exits 0 $q create --max-message 1M --capacity 8 orders
bytes 1M >in
$q send --whole orders <in || fail send
is "$($q stat -brno USEDBYTES orders)" "1048576"
$q recv --raw orders >out || fail recv
same in out
CASE

it "messages of 1 MiB flow through a small queue as room comes" <<'CASE'
exits 0 $q create --max-message 1M --capacity 2 --total 2M orders
bytes 16M >in
$q send --size 1M orders <in &
$q recv --count 16 --raw orders >out || fail recv
wait $! || fail send
same in out
CASE

it "a message too large is refused, and what went before it is told" <<'CASE'
exits 0 $q create --max-message 100 orders
long=$(printf 'x%.0s' {1..101})
complains 3 $q send orders "$long"
printf 'one\ntwo\n%s\nfour\n' "$long" | $q send orders 2>err
is $? 3
has "$(cat err)" "2"
is "$($q recv --all orders)" $'one\ntwo'
head -c 101 /dev/zero | $q send --whole orders 2>err
is $? 3
exits 0 $q send orders "${long%x}"
CASE

it "an endless line doesn't fill the memory" <<'CASE'
exits 0 $q create orders
head -c 64M /dev/zero | $q send orders 2>err
is "${PIPESTATUS[*]}" "141 3"
has "$(cat err)" "larger"
CASE

it "many lines pass between a sender and a receiver in order" <<'CASE'
exits 0 $q create --capacity 16 orders
seq 20000 | $q send orders &
$q recv --count 20000 orders >out || fail recv
wait $! || fail send
seq 20000 | same - out
CASE

it "several senders and receivers share a queue; each line comes once" <<'CASE'
exits 0 $q create --capacity 8 orders
for i in 1 2 3; do
	$q recv --follow --timeout 200 orders >out.$i &
	receivers+=($!)
	await USERS orders "$i"
done
for i in 1 2 3; do
	seq $((i * 10000)) $((i * 10000 + 999)) | $q send orders &
	senders+=($!)
done
wait "${senders[@]}"
sort -n out.* | wc -l >/dev/null
until (($(cat out.* | wc -l) >= 3000)); do :; done
stoa rm --wake orders
wait "${receivers[@]}"
for i in 1 2 3; do seq $((i * 10000)) $((i * 10000 + 999)); done >expected
sort -n out.* | same - expected
CASE

it "nothing there, or not in time, is no, and says nothing" <<'CASE'
exits 0 $q create orders
exits 1 $q recv -w 0 orders 2>err
exits 1 $q recv -w 0.05 orders 2>>err
exits 1 $q recv --timeout .05 orders 2>>err
exits 9 $q recv -w 0 -E 9 orders 2>>err
exits 0 $q recv -w 0 -E 0 orders 2>>err
exits 1 $q recv --all orders 2>>err
exits 1 $q recv --follow -w 0.05 orders 2>>err
exits 1 $q take -w 0 orders 2>>err
exits 1 $q peek orders 2>>err
exits 1 $q purge -q orders 2>>err
[[ ! -s err ]] || fail "it said: $(cat err)"
CASE

it "fewer than asked for is no; an end of following is not" <<'CASE'
exits 0 $q create orders
exits 0 $q send orders one two
exits 1 $q recv -w 0 --count 3 orders >out
is "$(echo $(cat out))" "one two"
exits 0 $q send orders one two
exits 0 $q recv --follow -w 0.05 orders >out
is "$(echo $(cat out))" "one two"
CASE

it "a full queue is no; what was sent before is told" <<'CASE'
exits 0 $q create --capacity 4 orders
i=0
while $q send -w 0 orders $i 2>err; do ((++i < 100)) || fail "never full"; done
[[ ! -s err ]] || fail "it said: $(cat err)"
is "$(number MSGS orders)" "$i"
exits 1 $q send -w 0.05 orders more
exits 5 $q send -w 0 -E 5 orders more
exits 0 $q recv orders >out
seq 10 | $q send -w 0 orders 2>err
is $? 1
has "$(cat err)" "1 messages were sent"
CASE

it "a sender waits for room" <<'CASE'
exits 0 $q create --capacity 1 orders
while $q send -w 0 orders x; do :; done
$q send orders last &
await SENDERS orders 1
is "$(stoa ls -rno WAITING orders)" "1"
$q recv orders >out
wait $! || fail send
exits 0 $q recv --all orders >out
is "$(tail -n 1 out)" "last"
CASE

it "a receiver waits for a message" <<'CASE'
exits 0 $q create orders
$q recv orders >out &
await RECEIVERS orders 1
exits 0 $q send orders hello
wait $! || fail recv
is "$(cat out)" "hello"
CASE

it "what has been read is sent before more is waited for" <<'CASE'
exits 0 $q create orders
mkfifo lines
$q send orders <lines &
exec 3>lines
echo one >&3
is "$($q recv orders)" "one"
echo two >&3
is "$($q recv orders)" "two"
exec 3>&-
wait $! || fail send
CASE

it "the highest priority comes first, and in order within one" <<'CASE'
exits 0 $q create --order priority alarms
exits 0 $q send alarms low1
exits 0 $q send --priority 9 alarms high1
exits 0 $q send alarms low2
exits 0 $q send -p 9 alarms high2
exits 0 $q send -p 32767 alarms top
is "$(echo $($q recv -c 5 alarms))" "top high1 high2 low1 low2"
exits 0 $q send -p 7 alarms seven
is "$($q recv --priority alarms)" $'7\tseven'
CASE

it "messages are chosen by type" <<'CASE'
exits 0 $q create --order type mixed
for type in 5 3 4 3; do
	exits 0 $q send --type $type mixed "of $type"
done
is "$($q peek --type 4 mixed)" "of 4"
is "$($q recv --type 3 mixed)" "of 3"
is "$($q recv --except 5 mixed)" "of 4"
is "$($q recv --lowest 9 mixed)" "of 3"
exits 1 $q recv --lowest 4 -w 0 mixed
exits 1 $q recv --type 3 -w 0 mixed
is "$($q recv mixed)" "of 5"
exits 0 $q create plain
complains 3 $q recv --type 3 -w 0 plain
CASE

it "peek leaves messages where they are" <<'CASE'
exits 0 $q create orders
exits 0 $q send orders one two three
is "$($q peek orders)" "one"
is "$($q peek --index 2 orders)" "three"
is "$(echo $($q peek --count 2 orders))" "one two"
is "$(echo $($q peek --all orders))" "one two three"
exits 1 $q peek --index 3 orders
exits 1 $q peek --count 4 orders >out
is "$(echo $($q recv --all orders))" "one two three"
CASE

it "peek prints large messages whole" <<'CASE'
exits 0 $q create --max-message 1M orders
bytes 1M >in
$q send --whole orders <in || fail send
$q peek --raw orders >out || fail peek
same in out
CASE

it "purge drops what is there, and counts it" <<'CASE'
exits 0 $q create orders
exits 0 $q send orders one two three
is "$($q purge orders)" "3"
is "$(number MSGS orders)" "0"
exits 1 $q purge orders >out
is "$(cat out)" "0"
CASE

it "JSON has the numbers, and text or base64" <<'CASE'
exits 0 $q create --order type orders
exits 0 $q send --type 7 orders 'a "quoted" \ line'
printf 'nul \0 tab \t bell \a ü' | $q send --whole orders
printf '\xff\xfe\n' | $q send --whole orders
printf '\xed\xa0\x80' | $q send --whole orders
$q send orders ''
$q recv --json --all orders >json || fail recv
is "$(wc -l <json)" "5"
is "$(sed -n 1p json | json_check text)" 'a "quoted" \ line'
is "$(sed -n 1p json | json_check type)" "7"
is "$(sed -n 1p json | json_check bytes)" "17"
sed -n 2p json | json_check text >out
printf 'nul \0 tab \t bell \a ü\n' | same - out
is "$(sed -n 3p json | json_check base64)" "//4K"
is "$(sed -n 4p json | json_check base64)" "7aCA"
is "$(sed -n 5p json | json_check text)" ""
is "$(sed -n 5p json | json_check deliveries)" "0"
CASE

it "base64 is what base64 makes of every length" <<'CASE'
exits 0 $q create orders
for length in {1..9} 1000 1001 1002; do
	{ printf '\xff'; bytes $((length - 1)); } >in
	$q send --whole orders <in || fail send
	is "$($q recv --json orders | json_check base64)" "$(base64 -w 0 in)"
done
CASE

it "JSON of 1 MiB of text and of bytes is whole" <<'CASE'
exits 0 $q create --max-message 2M orders
seq 150000 >text
$q send --whole orders <text || fail send
$q recv --json orders | json_check text >out
{ cat text; echo; } | same - out
bytes 1M >in
$q send --whole orders <in || fail send
$q recv --json orders | json_check base64 | base64 -d >out
same in out
CASE

it "a terminal is shown what it would obey; a pipe and --raw are not" <<'CASE'
exits 0 $q create orders
message=$'\e[31mred\xff ü\x07'
for i in 1 2 3; do exits 0 $q send orders "$message"; done
has "$(on_terminal stoa queue peek orders)" '\x1b[31mred\xff ü\x07'
is "$($q recv orders)" "$message"
has "$(on_terminal stoa queue recv --raw orders)" $'\e[31mred'
has "$(on_terminal stoa queue recv --json orders)" '"base64"'
CASE

it "queue stat counts" <<'CASE'
exits 0 $q create --capacity 10 orders
exits 0 $q send orders one two three
exits 0 $q recv orders >out
is "$($q stat -brno MSGS,USEDBYTES,MSGSIN,BYTESIN,MSGSOUT,BYTESOUT orders)" \
	"2 8 3 11 1 3"
is "$($q stat -rno CAPACITY,ORDER,USERS orders)" "10 fifo 0"
$q stat -JO | json_check queues.0.msgs >out || fail "no JSON"
is "$(cat out)" "2"
exits 0 $q create other
is "$(echo $($q stat -rno NAME))" "orders other"
is "$(echo $($q stat -rno NAME 'ot*'))" "other"
CASE

it "queue stat tells who sent and received last, also when they are gone" <<'CASE'
exits 0 $q create orders
stoa queue send orders one two &
sender=$!
wait $sender
stoa queue recv orders >out &
receiver=$!
wait $receiver
$q peek orders >out
is "$(number LSPID,LRPID orders)" "$sender $receiver"
CASE

it "bench measures, in JSON too, and leaves nothing behind" <<'CASE'
$q bench --count 50 --json >json || fail bench
for i in 0 1 2; do
	ns=$(json_check tests.$i.ns <json) || fail "test $i is missing"
	[[ $ns =~ ^[0-9]+\.[0-9]$ && $ns != 0.0 ]] || fail "ns is $ns"
done
stoa bench --count 20 --size 100K -rn >out || fail "large"
is "$(wc -l <out)" "3"
is "$(stoa ls)" ""
CASE
