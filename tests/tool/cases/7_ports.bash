# Ports: serving by a command, calling, deaths, and what stat shows.

it "a command answers what is asked" <<'CASE'
stoa port serve -c -e 'tr a-z A-Z' up &
server=$!
until stoa port stat -rno IDLE up 2>/dev/null | grep -q 1; do :; done
is "$(stoa port call up hello)" HELLO
is "$(echo -n piped | stoa port call up)" PIPED
is "$(echo -n dashed | stoa port call up -)" DASHED
is "$(stoa port call up "")" ""
is "$(stoa port stat -rno MADE,SERVED,SERVERS,WAITING up)" "4 4 1 0"
kill -TERM $server
wait $server
is $? 143
CASE

it "bytes of every size and value go there and back" <<'CASE'
exits 0 stoa port create -c 1000 -g 64K -n 4 echo
stoa port serve -e cat -n 4 echo &
for size in 0 999 50000 1000000; do
	bytes $size >sent
	exits 0 stoa port call echo <sent >got
	same sent got
done
wait
CASE

it "the exit code of the command is the status of the call" <<'CASE'
stoa port serve -c -e 'cat; exit 7' -n 2 seven &
until [[ -e $STOA_SPACE/seven.port ]]; do :; done
is "$(stoa port call seven text; echo $?)" "text7"
exits 7 stoa port call seven text >/dev/null
wait
CASE

it "the command knows who called, by the kernel" <<'CASE'
stoa port serve -c -n 1 \
	-e 'echo $STOA_PORT $STOA_BYTES $STOA_CALLER_UID $STOA_CALLER_GID $STOA_CALLER_PID' \
	who &
until [[ -e $STOA_SPACE/who.port ]]; do :; done
stoa port call who text >out &
caller=$!
wait
is "$(cat out)" "who 4 $(id -u) $(id -g) $caller"
CASE

it "with nobody there the answer is no" <<'CASE'
exits 0 stoa port create lonely
exits 1 stoa port call -w 0.05 lonely text
exits 5 stoa port call -w 0 -E 5 lonely text
complains 1 stoa port call -r lonely text
has "$(cat err)" "nobody serves"
exits 1 stoa port serve -w 0 -e cat lonely
exits 1 stoa port serve -w 0.05 -e cat lonely
CASE

it "a server that is killed is told of at once" <<'CASE'
stoa port serve -c -e 'echo started >started; sleep 1000' slow &
server=$!
until [[ -e $STOA_SPACE/slow.port ]]; do :; done
( stoa port call slow text 2>err; echo $? >code ) &
until [[ -s started ]]; do :; done
kill -KILL $server
wait
is "$(cat code)" 3
has "$(cat err)" "has died"
CASE

it "a caller that gives up ends the command" <<'CASE'
stoa port serve -c -n 1 -e 'trap "echo told >told; exit" TERM; sleep 1000 & echo $! >sleeper; wait' slow &
until [[ -e $STOA_SPACE/slow.port ]]; do :; done
stoa port call slow text &
caller=$!
until [[ -s sleeper ]]; do :; done
kill -KILL $caller
until [[ -s told ]]; do :; done
kill "$(cat sleeper)"
wait
CASE

it "create says what is there, stat shows it for eyes and as JSON" <<'CASE'
exits 0 stoa port create -n 4 -c 512 -g 8K p
exits 0 stoa port create -n 4 p
complains 1 stoa port create -n 5 p
complains 1 stoa port create -x p
is "$(stoa port stat -brno CALLS,COPY,GRANT p)" "4 512 8192"
stoa stat -J p >out
is "$(json_check objects.0.port.calls <out)" 4
has "$(stoa stat p)" "GRANT"
exits 0 stoa rm p.port
CASE

it "port verbs explain what is wrong with what is typed" <<'CASE'
complains 2 stoa port create
complains 2 stoa port create -n 0 p
complains 2 stoa port create -c x p
complains 2 stoa port serve p
complains 2 stoa port serve -e cat
complains 2 stoa port serve -e cat -n 0 p
complains 2 stoa port call
complains 2 stoa port call p one two
complains 2 stoa port tune p
complains 2 stoa port what
complains 3 stoa port call none text
complains 3 stoa port serve -e cat none
CASE

it "tune prints times and a size that create takes" <<'CASE'
stoa port tune >out || fail "tune failed"
has "$(cat out)" "copy up to"
size=$(sed -n 's/.*--copy \([0-9]*\) NAME/\1/p' out)
exits 0 stoa port create --copy "$size" p
is "$(stoa ls -rno NAME)" p
CASE

it "tune wants gnuplot to plot, and says so" <<'CASE'
mkdir bare
ln -s "$(type -P sh)" "$(type -P stoa)" bare
complains 3 env PATH="$PWD/bare" stoa port tune -p plot.svg
has "$(<err)" "install"
[[ ! -e plot.svg ]] || fail "there is a plot"
CASE

it "tune draws what it has measured" <<'CASE'
type -P gnuplot >/dev/null || skip "gnuplot isn't installed"
complains 2 stoa port tune -p "it's.svg"
complains 3 stoa port tune -p none/plot.svg
has "$(<err)" "none/plot.svg"
echo old >plot.svg
exits 0 stoa port tune -q -p plot.svg >out
is "$(wc -l <out)" 1
has "$(head -n 3 plot.svg)" "<svg"
has "$(tail -n 2 plot.svg)" "</svg>"
for part in copied mapped "filled in place" "copy up to $(<out)"; do
	has "$(<plot.svg)" "$part<"
done
is "$(grep -c gnuplot_plot_ plot.svg)" 3
CASE
