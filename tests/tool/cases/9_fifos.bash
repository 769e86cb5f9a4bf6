# FIFOs of the kernel: making, writing, reading; whoever comes first.

it "a FIFO is made with its mode" <<'CASE'
umask 077
exits 0 stoa fifo create -M 622 box
is "$(stat -c '%A' box)" "prw--w--w-"
exits 0 stoa fifo create box
exits 1 stoa fifo create -x box 2>/dev/null
exits 4 stoa fifo create -x -E 4 box 2>/dev/null
echo text >file
complains 3 stoa fifo create file
has "$(cat err)" "is no FIFO"
is "$(cat file)" text
CASE

it "bytes go from FIFO writer to FIFO reader, whoever comes first" <<'CASE'
bytes 300000 >in
stoa fifo write box <in &
exits 0 stoa fifo read box >out
wait $! || fail "the writer failed"
same in out
stoa fifo read box >out &
exits 0 stoa fifo write -p box <in 2>err
wait $! || fail "the reader failed"
same in out
has "$(cat err)" "293K"
CASE

it "a FIFO's other end may be any program" <<'CASE'
exits 0 stoa fifo create box
cat box >out &
exits 0 stoa fifo write box <<<hello
wait $!
is "$(cat out)" hello
echo back >box &
is "$(stoa fifo read box)" back
wait $!
CASE

it "a FIFO's reader stays" <<'CASE'
exits 0 stoa fifo create box
stoa fifo read --stay -n 12 box >out &
for i in 1 2 3; do echo "$i.." >box; done
wait $! || fail "the reader failed"
is "$(cat out)" $'1..\n2..\n3..'
CASE

it "waiting for a FIFO has an end" <<'CASE'
exits 1 stoa fifo read -w 0.02 box
exits 1 stoa fifo write -w 0.02 box </dev/null
exits 7 stoa fifo read -E 7 -w 0 box
mkfifo never
sleep 1000 >never &
exec 9<never
stoa fifo read -w 60 box >out &
exits 1 stoa fifo write -w 0.05 box <&9
kill $! %1
wait
CASE

it "a FIFO that nobody reads any more is told" <<'CASE'
bytes 300000 >in
stoa fifo write box <in 2>err &
exits 0 stoa fifo read -n 10 box >out
wait $!
is $? 3
has "$(cat err)" "nobody reads the FIFO 'box' any more"
is "$(stat -c %s out)" 10
CASE

it "what is wrong with a FIFO is said" <<'CASE'
complains 2 stoa fifo
complains 2 stoa fifo fly
complains 2 stoa fifo create
complains 2 stoa fifo create -M 9 box
complains 3 stoa fifo create none/box
complains 2 stoa fifo write
complains 2 stoa fifo write a b
complains 2 stoa fifo write -s box
complains 2 stoa fifo read
complains 2 stoa fifo read -n x box
complains 3 stoa fifo read .
has "$(cat err)" "is no FIFO"
CASE
