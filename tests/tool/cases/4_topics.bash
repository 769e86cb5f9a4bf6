# Topics: through the command; patterns, rates, recordings, removal.

it "every subscriber prints every message" <<'CASE'
exits 0 stoa topic create t
for i in 1 2 3; do stoa topic sub -c 1000 t >out.$i & done
subscribed t 3
seq 1000 >in
exits 0 stoa topic pub t <in
wait
for i in 1 2 3; do same in out.$i; done
is "$(stoa topic stat -rno PUBLISHED,MSGSOUT,LOST t)" "1000 3000 0"
CASE

it "messages of every kind come whole" <<'CASE'
exits 0 stoa topic create -m 300000 t
bytes 200000 >in
stoa topic sub -r -c 1 t >out &
subscribed t 1
exits 0 stoa topic pub -a t <in
wait
same in out
stoa topic sub -0 -c 2 t >out &
subscribed t 1
printf 'a\nb\0c\0' | stoa topic pub -0 t
wait
printf 'a\nb\0c\0' >in
same in out
stoa topic sub -c 3 t >out &
subscribed t 1
printf abcdefgh | stoa topic pub -s 3 t
wait
is "$(cat out)" $'abc\ndef\ngh'
complains 3 stoa topic pub -a t < <(bytes 300001)
CASE

it "a subscriber begins where it's told" <<'CASE'
exits 0 stoa topic create t
exits 0 stoa topic pub t one two three
is "$(stoa topic sub --oldest -c 3 t)" $'one\ntwo\nthree'
is "$(stoa topic sub --last -c 1 t)" three
is "$(stoa topic latest t)" three
exits 1 stoa topic sub -w 0 t
exits 7 stoa topic sub -E 7 -w 0.05 t
exits 0 stoa topic sub --oldest -w 0 t
exits 1 stoa topic sub --oldest -c 4 -w 0 t
exits 0 stoa topic create empty
exits 1 stoa topic latest empty
CASE

it "slow subscribers are waited for, or lose what is told" <<'CASE'
exits 0 stoa topic create -c 4 wait
exits 0 stoa topic create -o -c 4 lose
is "$(stoa topic stat -rno NAME,SLOW)" $'lose lose\nwait wait'
# One that sleeps in the midst of its output.
mkfifo slow
for t in wait lose; do
	stoa topic sub -r $t >slow &
	exec 9<slow
	subscribed $t 1
	kill -STOP $!
	if [[ $t == wait ]]; then
		exits 1 stoa topic pub -w 0.1 $t $(seq 100) 2>err
		has "$(cat err)" "were published before that"
	else
		exits 0 stoa topic pub -w 0.1 $t $(seq 100)
	fi
	kill -KILL $!
	wait $!
	exec 9<&-
	exits 0 stoa topic pub -w 0 $t $(seq 100)
done 2>/dev/null
CASE

it "a pattern means all that match, and those that come" <<'CASE'
exits 0 stoa topic create prices.a weather
stoa topic echo -J -c 4 'prices.*' >out &
subscribed prices.a 1
exits 0 stoa topic pub weather rain
exits 0 stoa topic pub prices.a 1 2
exits 0 stoa topic create prices.b
exits 0 stoa topic pub prices.b 3 4
wait
is "$(grep -c '"topic":"prices.a","sequence":[01],' out)" 2
is "$(grep -c '"topic":"prices.b","sequence":[01],' out)" 2
lacks "$(cat out)" rain
CASE

it "what is recorded is replayed" <<'CASE'
exits 0 stoa topic create -m 5000 a b
stoa topic record -f day -c 12 '?' &
subscribed a 1
subscribed b 1
exits 0 stoa topic pub a $(seq 10)
bytes 5000 >in
exits 0 stoa topic pub -a b <in
exits 0 stoa topic pub b last
wait
is "$(stoa topic replay -p day | wc -l)" 12
has "$(stoa topic replay -p day)" " a 9 "
has "$(stoa topic replay -p <day)" " b 0 "
stoa topic sub -r -c 2 b >out &
subscribed b 1
exits 0 stoa topic replay -r 0 day
wait
cat in <(printf last) | same - out
stoa topic sub -c 10 a >out &
stoa topic sub -w 1 b >/dev/null &
subscribed a 1
exits 0 stoa topic replay -r 1000 day
wait
is "$(cat out)" "$(seq 10)"
exits 0 stoa topic create -m 5000 other
exits 0 stoa topic replay -t other -r 0 day
is "$(stoa topic latest other)" last
CASE

it "a recording that isn't one is refused, and a cut one told" <<'CASE'
exits 0 stoa topic create a
exits 0 stoa topic pub a one two
exits 0 stoa topic record --oldest -c 2 a >day
complains 3 stoa topic replay /dev/null
complains 3 stoa topic replay missing
head -c 90 day >cut
stoa topic replay -p cut >out 2>err
is $? 3
has "$(cat err)" "cut short"
is "$(wc -l <out)" 1
printf 'STOATOP1%040d' 0 >bad
complains 3 stoa topic replay -p bad
complains 2 stoa topic replay -r fast day
complains 2 stoa topic replay day day
CASE

it "rates are told" <<'CASE'
exits 0 stoa topic create a
stoa topic hz -i 0.2 -c 2 a >out &
subscribed a 1
exits 0 stoa topic pub a $(seq 100)
wait
is "$(wc -l <out)" 2
has "$(cat out)" "messages/s"
has "$(stoa topic hz -J -i 0.01 -c 1 a)" '"messages_per_second":0.0'
CASE

it "stoa stat tells of a topic" <<'CASE'
exits 0 stoa topic create -o -c 8 -m 64 a
exits 0 stoa topic pub a hello
has "$(stoa stat a)" "PUBLISHED   1"
stoa stat -J a | json_check || fail "no JSON"
has "$(stoa stat -J a)" '"topic":{'
CASE

it "topics are removed, and who waits is told" <<'CASE'
exits 0 stoa topic create a b
stoa topic sub a 2>err &
subscribed a 1
exits 0 stoa topic rm -w a
wait $!
is $? 3
has "$(cat err)" "was removed"
complains 3 stoa topic rm a
exits 0 stoa topic rm -f a b
is "$(stoa ls -rno NAME)" ""
CASE

it "what can't be is refused" <<'CASE'
complains 2 stoa topic
complains 2 stoa topic fly
complains 2 stoa topic create
complains 2 stoa topic create -c 0 a
complains 2 stoa topic create -c x a
complains 3 stoa topic create -i 5000 a
complains 2 stoa topic pub
complains 2 stoa topic sub
complains 2 stoa topic sub a b
complains 3 stoa topic pub missing x
complains 3 stoa topic sub missing
exits 0 stoa topic create a
exits 0 stoa topic create a
exits 1 stoa topic create -x a 2>/dev/null
exits 1 stoa topic create -o a 2>/dev/null
exits 1 stoa topic create -c 2000 a 2>/dev/null
CASE
