# stoa descriptor: open files from one process to another, by name.

it "an offered file is fetched, with its place in it" <<'CASE'
printf 'one\ntwo\n' >file
exec 3<file
read -r line <&3
stoa descriptor offer --print box >who &
offer=$!
until [[ $(stoa ls -rno NAME,KIND,USERS box) == "box offer 1" ]]; do :; done
exec 3<&-
is "$(stoa descriptor fetch box -- sh -c 'cat <&3; echo $LISTEN_FDS; [ $LISTEN_PID = $$ ] && echo mine')" $'two\n1\nmine'
exits 0 wait $offer
has "$(cat who)" " $UID"
is "$(stoa ls -n)" ""
CASE

it "several descriptors come in their order, and nothing else is open" <<'CASE'
for i in 1 2 3; do echo $i >file$i; done
stoa descriptor offer -d 'some text' -f 5,3,4 box 3<file1 4<file2 5<file3 &
offer=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
is "$(stoa descriptor fetch box.offer sh -c 'cat <&3; cat <&4; cat <&5; echo "$STOA_DATA"; ls -l /proc/self/fd | grep -c -e socket: -e "$STOA_SPACE"' | tr '\n' ' ')" \
	"3 1 2 some text 0 "
exits 0 wait $offer
CASE

it "an offer can be fetched as often as it says" <<'CASE'
echo text >file
stoa descriptor offer -c 3 box 3<file &
offer=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
for i in 1 2 3; do exits 0 stoa descriptor fetch box true; done
exits 0 wait $offer
complains 3 stoa descriptor fetch box true
CASE

it "an offer that nobody fetches ends with a no, and one that is stopped goes" <<'CASE'
exits 1 stoa descriptor offer -w 0.01 box 3</dev/null
exits 1 stoa descriptor offer -w 0 box 3</dev/null
exits 7 stoa descriptor offer -E 7 -w 0 box 3</dev/null
stoa descriptor offer box 3</dev/null &
offer=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
kill -TERM $offer
exits 143 wait $offer
is "$(stoa ls -n)" ""
CASE

it "what a killed offerer left is seen, cleaned, or taken over" <<'CASE'
stoa descriptor offer box 3</dev/null &
offer=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
complains 3 stoa descriptor offer box 3</dev/null
kill -KILL $offer
exits 137 wait $offer
is "$(stoa ls -rno NAME,USERS,DEAD,HEALTH box)" "box 0 1 ok"
complains 3 stoa descriptor fetch box true
has "$(stoa clean -n)" "box.offer"
exits 1 stoa descriptor offer -w 0 box 3</dev/null
is "$(stoa ls -n)" ""
stoa descriptor offer box 3</dev/null &
offer=$!
until [[ $(stoa ls -rno USERS box) == 1 ]]; do :; done
kill -KILL $offer
exits 137 wait $offer
stoa clean
is "$(stoa ls -n)" ""
exits 3 stoa descriptor rm box 2>/dev/null
exits 0 stoa descriptor rm -f box
CASE

it "a fetch can wait for the offer to come, and no longer than it says" <<'CASE'
echo text >file
exits 1 stoa descriptor fetch -W -w 0 box true
exits 1 stoa descriptor fetch --await --timeout 0.01 box true
exits 7 stoa descriptor fetch -W -w 0.01 -E 7 box true
complains 3 stoa descriptor fetch -w 0.01 box true
stoa descriptor fetch -W box cat /dev/fd/3 >out &
fetcher=$!
exits 0 stoa descriptor offer box 3<file
exits 0 wait $fetcher
is "$(cat out)" text
CASE

it "what is offered by another user is not taken unasked" <<'CASE'
((UID == 0)) || skip "needs root"
chmod 1777 "$STOA_SPACE"
chmod 755 .. .
setpriv --reuid 65534 --regid 65534 --clear-groups \
	stoa descriptor offer -c 1 -M 666 box 3</dev/null &
offer=$!
until [[ $(stoa ls -rno USERS box 2>/dev/null) == 1 ]]; do :; done
exits 0 stoa descriptor fetch -u 65534 box true
exits 0 wait $offer
setpriv --reuid 65534 --regid 65534 --clear-groups \
	stoa descriptor offer -M 666 box 3</dev/null &
offer=$!
until [[ $(stoa ls -rno USERS box 2>/dev/null) == 1 ]]; do :; done
complains 3 stoa descriptor fetch box true
exits 0 wait $offer
CASE

it "descriptor complains of what it doesn't understand" <<'CASE'
complains 2 stoa descriptor
complains 2 stoa descriptor offer
complains 2 stoa descriptor offer box 3<&-
complains 2 stoa descriptor offer a b 3</dev/null
complains 2 stoa descriptor offer -f 3,x box
complains 2 stoa descriptor offer -c x box
complains 3 stoa descriptor offer -f 77 box
complains 3 stoa descriptor offer .box 3</dev/null
complains 2 stoa descriptor fetch
complains 2 stoa descriptor fetch box
complains 2 stoa descriptor fetch box --
complains 2 stoa descriptor fetch -u no-such-user box true
complains 3 stoa descriptor fetch box true
CASE
