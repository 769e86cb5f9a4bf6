# Signals: sending, waiting, listing, watching.

it "signals are listed" <<'CASE'
is "$(stoa signal list -rno NUMBER,NAME,DEFAULT | head -n 2)" \
	$'1 SIGHUP ends\n2 SIGINT ends'
is "$(stoa signal list -rno NAME,QUEUES | grep RTMIN+30)" "SIGRTMIN+30 yes"
has "$(stoa signal list)" "dumps core"
stoa signal list -J | json_check || fail "no JSON"
complains 2 stoa signal list 9
CASE

it "a signal is sent with a value and waited for" <<'CASE'
stoa signal wait -p -c 4 USR1 RTMIN+1 >out &
until [[ -s out ]]; do :; done
pid=$(head -n 1 out)
is "$pid" $!
exits 0 stoa signal send -s 0 "$pid"
exits 0 stoa signal send -s rtmin+1 -v 7 "$pid"
exits 0 stoa signal send -s SIGRTMIN+1 -v -8 "$pid"
exits 0 stoa signal send -s RTMIN+1 -v 0x10 "$pid"
until [[ $(grep -c RTMIN out) == 3 ]]; do :; done
exits 0 stoa signal send --signal USR1 "$pid"
wait "$pid" || fail "it failed"
is "$(sed -E '1d; s/from [0-9]+/from X/' out)" "SIGRTMIN+1 from X value 7
SIGRTMIN+1 from X value -8
SIGRTMIN+1 from X value 16
SIGUSR1 from X"
exits 1 stoa signal send -s 0 "$pid"
exits 7 stoa signal send -E 7 -s 0 "$pid"
complains 3 stoa signal send "$pid"
has "$(cat err)" "there is no process $pid"
CASE

it "a wait has an end" <<'CASE'
exits 1 stoa signal wait -w 0 USR1
exits 5 stoa signal wait -E 5 -w 0.02 all
stoa signal wait -J -p -w 60 TERM HUP >out &
until [[ -s out ]]; do :; done
kill -HUP $!
wait $! || fail "it failed"
sed 1d out | json_check || fail "no JSON"
has "$(cat out)" '"signal":"SIGHUP","number":1,"code":0,"origin":"process","pid":'
CASE

it "signals become messages of a queue" <<'CASE'
exits 0 stoa queue create -O type -m 64 signals
stoa signal wait -p -q signals -c 2 RTMIN RTMIN+1 >out &
until [[ -s out ]]; do :; done
exits 0 stoa signal send -s RTMIN+1 -v 3 $!
exits 0 stoa signal send -s RTMIN -v 4 $!
wait $! || fail "it failed"
is "$(number MSGS signals)" 2
is "$(stoa queue recv -r -w 0 --type 34 signals | od -An -td4 -N4 | tr -d ' ')" 34
is "$(stoa queue recv -r -w 0 signals | od -An -td8 -j16 -N8 | tr -d ' ')" 3
complains 3 stoa signal wait -q missing USR1
CASE

it "a group gets it all" <<'CASE'
set -m
{ stoa signal wait -p -c 1 USR1 >one & stoa signal wait -p -c 1 USR1 >two & wait; } &
set +m
until [[ -s one && -s two ]]; do :; done
stoa signal send -g -s USR1 $! 2>err || {
	grep -q 'Linux 6.9' err && skip "no signals to groups by descriptor"
	fail "$(cat err)"
}
until [[ $(cat one two | grep -c SIGUSR1) == 2 ]]; do :; done
CASE

it "what a process does with signals is shown" <<'CASE'
stoa signal wait -p USR1 >out &
until [[ -s out ]]; do :; done
is "$(stoa signal watch -rno TID,BLOCKED,PENDING $!)" "$! USR1 "
is "$(stoa signal watch -rno COMMAND,QUEUED --once $! | cut -d ' ' -f 1)" stoa
stoa signal watch -J $! | json_check || fail "no JSON"
has "$(stoa signal watch -H)" "handled"
has "$(stoa signal watch -rno CAUGHT $$)" CHLD
exits 0 stoa signal send -s KILL $!
wait $!
complains 3 stoa signal watch $!
CASE

it "a watch on a terminal ends with the process" <<'CASE'
stoa signal wait -p USR1 >out &
until [[ -s out ]]; do :; done
on_terminal "stoa signal watch -i 0.05 -o TID,BLOCKED $!" >shown &
watching=$!
until grep -q USR1 shown; do :; done
kill -KILL "$(head -n 1 out)"
wait "$watching"
has "$(cat shown)" "BLOCKED"
CASE

it "what is wrong with a signal is said" <<'CASE'
complains 2 stoa signal
complains 2 stoa signal fly
complains 2 stoa signal send
complains 2 stoa signal send -s FLY $$
complains 2 stoa signal send -v x $$
complains 2 stoa signal send x
complains 2 stoa signal send 0
complains 2 stoa signal send -- -1
complains 3 stoa signal send 2147483647
complains 2 stoa signal wait
complains 2 stoa signal wait FLY
complains 3 stoa signal wait KILL
has "$(cat err)" "SIGKILL can't be"
complains 2 stoa signal wait -c x USR1
complains 2 stoa signal watch
complains 2 stoa signal watch x
complains 2 stoa signal watch -i 0 $$
complains 3 stoa signal watch 2147483647
CASE
