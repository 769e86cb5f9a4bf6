# Segments and mappings: bytes in and out, sizes, who is attached, files.

it "bytes go in and come out" <<'CASE'
exits 0 stoa segment create -s 100000 s
bytes 100000 >in
exits 0 stoa segment write s <in
stoa segment read s >out
same in out
printf abc | exits 0 stoa segment write -f 500 s
is "$(stoa segment read -f 499 -c 5 s | tr '\000' . | cut -c 2-4)" abc
is "$(stoa segment read -f 200000 s | wc -c)" 0
is "$(stoa segment ls -rnbo NAME,SIZE,NATTCH s)" "s 100000 0"
CASE

it "what does not fit is told, and grows if it may" <<'CASE'
exits 0 stoa segment create -s 10 -l 64K s
bytes 5000 >in
complains 3 stoa segment write s <in
has "$(cat err)" "ends after 10 bytes"
cmp <(stoa segment read s) <(head -c 10 in) || fail "not what came before"
exits 0 stoa segment write -g s <in
stoa segment read s >out
same in out
bytes 70000 >in
complains 3 stoa segment write --grow s <in
has "$(cat err)" "higher limit"
CASE

it "a person sees hexadecimal" <<'CASE'
exits 0 stoa segment create -s 100 s
printf 'one\ntwo' | stoa segment write -f 32 s
stoa segment read -x s >out
stoa segment read -r s | hexdump -C >want 2>/dev/null || {
	is "$(sed -n 3p out)" \
		"00000020  6f 6e 65 0a 74 77 6f 00  00 00 00 00 00 00 00 00  |one.two.........|"
	exit
}
diff want out || fail "not as hexdump"
has "$(on_terminal stoa segment read s)" "|one.two........."
CASE

it "sizes change up to the limit" <<'CASE'
exits 0 stoa segment create -s 4K -l 1M s
exits 0 stoa segment resize s 1M
is "$(stoa segment stat -rnbo SIZE,LIMIT,MEMORY s)" "1048576 1048576 1052672"
exits 0 stoa segment resize s 100
is "$(stoa segment stat -rnbo SIZE,LIMIT,MEMORY s)" "100 1048576 8192"
complains 3 stoa segment resize s 2M
has "$(cat err)" "up to 1048576 bytes"
complains 2 stoa segment resize s many
complains 2 stoa segment resize s
CASE

it "seals stay" <<'CASE'
exits 0 stoa segment create -s 4K -l 1M s
exits 0 stoa segment seal s grow
is "$(stoa segment ls -rno SEALS s)" grow
complains 1 stoa segment resize s 1M
has "$(cat err)" sealed
exits 0 stoa segment seal s write
is "$(stoa segment ls -rno SEALS,PERMS s)" "grow,shrink,write r--------"
echo x >in
complains 3 stoa segment write s <in
exits 0 stoa segment read -c 4 s >out
complains 2 stoa segment seal s everything
CASE

it "attachments are counted, also after kill -9" <<'CASE'
exits 0 stoa segment create s t
mkfifo hold
exec 8<>hold
stoa segment write s <hold &
until [[ $(stoa segment attach-count s) == 1 ]]; do :; done
is "$(stoa segment attach-count s.segment t)" "$(printf '1\n0')"
complains 1 stoa segment seal s write
has "$(stoa stat s)" "$!"
is "$(stoa ls -rno USERS s)" 1
kill -9 $!
wait $! 2>/dev/null
is "$(stoa segment attach-count s)" 0
CASE

it "removal takes the name at once" <<'CASE'
exits 0 stoa segment create s
mkfifo hold
exec 8<>hold
stoa segment write s <hold &
until [[ $(stoa segment attach-count s) == 1 ]]; do :; done
exits 0 stoa segment rm s
complains 3 stoa segment read s
exits 0 stoa segment create -x s
is "$(stoa segment attach-count s)" 0
kill -9 $!
complains 1 stoa segment create -x s
exits 0 stoa segment rm --wake s.segment
complains 3 stoa segment rm s
exits 0 stoa segment rm -f s
CASE

it "stat shows the inside, also as JSON" <<'CASE'
exits 0 stoa segment create -s 8K s
has "$(stoa stat s)" "NATTCH      0"
stoa stat -J s >out
json_check <out >/dev/null || fail "not JSON"
has "$(cat out)" '"nattch":0'
stoa segment stat -J >out
json_check <out >/dev/null || fail "not JSON"
CASE

it "files are mapped, looked at and advised" <<'CASE'
bytes 100001 >in
stoa mapping cat in >out
same in out
stoa mapping cat -f 1 -c 5000 in in >out
cmp out <(for i in 1 2; do tail -c +2 in | head -c 5000; done) || fail range
: >empty
is "$(stoa mapping cat empty | wc -c)" 0
exits 0 stoa mapping advise will-need in empty
exits 0 stoa mapping advise --from 4K --count 8K populate-read in
is "$(stoa mapping resident -rnbo SIZE,PAGES,RESIDENT in)" "100001 25 25"
is "$(stoa mapping resident -rno MAP in)" "#########################"
is "$(stoa mapping resident -rno PAGES,RESIDENT empty)" "0 0"
has "$(stoa mapping advise --list)" page-out
complains 2 stoa mapping advise hurry in
complains 3 stoa mapping cat nowhere
complains 3 stoa mapping cat -c 1M in
has "$(cat err)" "has 100001 bytes"
complains 2 stoa mapping cat
CASE
