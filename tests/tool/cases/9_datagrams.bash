# stoa datagram: by name, as packets, and over UDP.

it "datagrams by name arrive, with their sender" <<'CASE'
stoa datagram recv -c 3 box >out &
receiver=$!
until [[ $(stoa ls -rno NAME,KIND,USERS) == "box datagram 1" ]]; do :; done
exits 0 stoa datagram send box one 'two words'
echo three | exits 0 stoa datagram send box.datagram
exits 0 wait $receiver
is "$(cat out)" $'one\ntwo words\nthree'
is "$(stoa ls -n)" ""
stoa datagram recv -J -c 1 box >out &
receiver=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
printf 'a\nb' | exits 0 stoa datagram send -a box
exits 0 wait $receiver
is "$(json_check text <out)" $'a\nb'
is "$(json_check uid <out)" $UID
is "$(json_check bytes <out)" 3
is "$(json_check from <out)" null
CASE

it "a sender can wait for the receiver to come, and no longer than it says" <<'CASE'
exits 1 stoa datagram send -W -w 0 box x
exits 1 stoa datagram send --await --timeout 0.01 box x
complains 3 stoa datagram send -w 0.01 box x
seq 100 | stoa datagram send -W box &
sender=$!
exits 0 stoa datagram recv -c 100 box >out
exits 0 wait $sender
seq 100 | same - out
stoa datagram send -pW desk one two &
sender=$!
is "$(stoa datagram recv -p desk)" $'one
two'
exits 0 wait $sender
CASE

it "a datagram of any size is received whole" <<'CASE'
bytes 150000 >sent
stoa datagram recv -r -c 1 box >got &
receiver=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
exits 0 stoa datagram send -a box <sent
exits 0 wait $receiver
same sent got
CASE

it "many datagrams wait for a slow receiver, and none is lost" <<'CASE'
stoa datagram recv -c 5000 box >out &
receiver=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
seq 5000 | exits 0 stoa datagram send box
exits 0 wait $receiver
seq 5000 | same - out
CASE

it "packets end with their sender" <<'CASE'
stoa datagram recv -p desk >out &
receiver=$!
until [[ $(stoa ls -rno NAME,KIND,USERS) == "desk packet 1" ]]; do :; done
seq 3 | exits 0 stoa datagram send -p desk
exits 0 wait $receiver
is "$(cat out)" $'1\n2\n3'
is "$(stoa ls -n)" ""
CASE

it "what nobody sends is a no, and what nobody receives a failure" <<'CASE'
exits 1 stoa datagram recv -w 0.01 box
exits 1 stoa datagram recv -w 0 box
exits 1 stoa datagram recv -p -w 0 box
complains 3 stoa datagram send box x
complains 3 stoa datagram send -p box x
stoa datagram recv box >out &
receiver=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
complains 3 stoa datagram recv box
kill -KILL $receiver
exits 137 wait $receiver
complains 3 stoa datagram send box x
exits 0 stoa datagram rm box
is "$(stoa ls -n)" ""
CASE

it "a receiver that is stopped takes its name away" <<'CASE'
stoa datagram recv box >out &
receiver=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
exits 0 stoa datagram send box last
until [[ -s out ]]; do :; done
kill -TERM $receiver
exits 143 wait $receiver
is "$(cat out)" last
is "$(stoa ls -n)" ""
CASE

it "datagrams go over UDP, and to a group" <<'CASE'
unshare -rn true 2>/dev/null || skip "no network namespace allowed"
unshare -rn bash -c '
	PATH=$PATH:/usr/sbin:/sbin
	ip link set lo up || exit 77
	stoa datagram recv -c 1 udp:127.0.0.1:5000 >out &
	# Not there yet: sent again until it has come.
	until [[ -s out ]]; do stoa datagram send udp:127.0.0.1:5000 hello 2>err; done
	wait $! || exit 1
	[[ $(cat out) == hello ]] || exit 2
	stoa datagram recv -c 1 -i lo udp:239.1.2.3:5000 >out2 &
	until [[ -s out2 ]]; do stoa datagram send -t 1 -i lo udp:239.1.2.3:5000 all || exit 3; done
	wait $! || exit 4
	[[ $(cat out2) == all ]] || exit 5
' || { s=$?; ((s == 77)) && skip "no ip(8)"; fail "exit $s"; }
CASE

it "datagram complains of what it doesn't understand" <<'CASE'
complains 2 stoa datagram
complains 2 stoa datagram send
complains 2 stoa datagram send -a box x
complains 2 stoa datagram send -a -0 box
complains 2 stoa datagram send -s 0 box
complains 2 stoa datagram send -t 0 box x
complains 2 stoa datagram send -t 256 box x
complains 2 stoa datagram recv
complains 2 stoa datagram recv a b
complains 2 stoa datagram recv -c 0 box
complains 2 stoa datagram recv -M 9 box
complains 3 stoa datagram recv udp:1.2.3.4
complains 3 stoa datagram recv udp:host.example:1
complains 3 stoa datagram send udp:1.2.3.4:0 x
complains 3 stoa datagram recv -i nosuch0 udp:239.1.1.1:5000
complains 3 stoa datagram recv .box
CASE
