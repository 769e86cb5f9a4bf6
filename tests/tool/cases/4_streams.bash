# Streams: bytes through the command, both ends, progress, numbers, removal.

it "tar goes through a stream, whichever end comes first" <<'CASE'
mkdir from to
bytes 300000 >from/a
seq 1000 >from/b
tar -C from -c . | stoa stream write s &
stoa stream read s | tar -C to -x
wait
diff -r from to || fail "they differ"
rm to/*
stoa stream read s | tar -C to -x &
tar -C from -c . | stoa stream write s
wait
diff -r from to || fail "they differ"
is "$(stoa stream stat -brno BYTES,READER,WRITER s)" "0 no no"
CASE

it "every byte comes out of a small stream" <<'CASE'
bytes 200000 >in
exits 0 stoa stream create -c 4K s
stoa stream write s <in &
stoa stream read s >out
wait
same in out
is "$(stoa stream stat -brno CAPACITY,BYTESIN,BYTESOUT s)" "4096 200000 200000"
CASE

it "progress is told on standard error alone" <<'CASE'
seq 1000 >in
stoa stream write -p s <in 2>err.write &
stoa stream read --progress s >out 2>err.read
wait
same in out
has "$(cat err.write)" "3.8K 0:"
has "$(cat err.read)" "/s]"
CASE

it "a number of bytes is read and the rest stays" <<'CASE'
exits 0 stoa stream create s
printf abcdefgh | stoa stream write s &
is "$(stoa stream read -n 3 s)" abc
wait
is "$(stoa stream stat -brno BYTES s)" 5
is "$(stoa stream read s)" defgh
CASE

it "one stream is copied into another" <<'CASE'
bytes 100000 >in
stoa stream write a <in &
stoa stream copy a b &
stoa stream read b >out
wait
same in out
CASE

it "who waits in vain says no" <<'CASE'
exits 1 stoa stream write -w 0.1 s </dev/null
exits 1 stoa stream read -w 0.1 s
exits 7 stoa stream read -E 7 -w 0 s
exits 1 stoa stream copy -w 0.1 s t
CASE

it "a writer whose reader has gone fails and says how far it came" <<'CASE'
exits 0 stoa stream create -c 4K s
stoa stream read -n 1 s >/dev/null &
complains 3 stoa stream write s </dev/zero
has "$(cat err)" "nobody reads"
wait
CASE

it "a killed writer's bytes are read, and then the end" <<'CASE'
mkfifo in
stoa stream write s <in &
writer=$!
exec 6>in
exec 5< <(stoa stream read s)
printf early >&6
read -r -N 5 -u 5 text
is "$text" early
kill -KILL $writer
is "$(cat <&5)" ""
CASE

it "capacity is changed, listed and shown, and streams are removed" <<'CASE'
exits 0 stoa stream create s t
exits 0 stoa stream create -c 64K s
exits 1 stoa stream create -c 1M s
exits 1 stoa stream create -x s
exits 0 stoa stream resize s t 1M
is "$(stoa stream stat -rno NAME,CAPACITY)" "s 1M
t 1M"
complains 3 stoa stream resize s 17M
complains 2 stoa stream resize s nothing
complains 2 stoa stream resize 1M s
complains 2 stoa stream resize s
stoa stat --json s | json_check objects.0.stream.capacity >out ||
	fail "no JSON"
is "$(cat out)" 1048576
stoa stream stat --json | json_check || fail "no JSON"
is "$(stoa ls -rno NAME,KIND s)" "s stream"
exits 0 stoa stream rm s
complains 3 stoa stream rm s
exits 0 stoa stream rm -f s
exits 0 stoa rm t.stream
is "$(stoa ls)" ""
CASE

it "each verb explains itself" <<'CASE'
for verb in create write read copy stat resize rm; do
	has "$(stoa stream $verb --help)" "Usage: stoa stream $verb"
	has "$(stoa stream --help)" " $verb "
done
complains 2 stoa stream
complains 2 stoa stream sing
complains 2 stoa stream write
complains 2 stoa stream copy a
CASE
