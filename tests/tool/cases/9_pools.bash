# Pools: making, numbers, blocks.

it "a pool is made, shown and removed" <<'CASE'
exits 0 stoa pool create -s 64 -c 10 frames
exits 0 stoa pool create -s 64 -c 10 frames
exits 1 stoa pool create -x -s 64 -c 10 frames
is "$(stoa pool stat -rnbo SIZE,BLOCKS,FREE,HELD,FLIGHT,SEGMENTS frames)" \
	"64 10 10 0 0 no"
has "$(stoa stat frames)" "FLIGHT"
is "$(stoa pool blocks -rn)" ""
exits 0 stoa pool rm frames
is "$(stoa pool stat -rn)" ""
exits 3 stoa pool stat frames
CASE

it "a pool of segments takes no memory for them at first" <<'CASE'
exits 0 stoa pool create -g -s 1M -c 1000 frames
is "$(stoa pool stat -rnbo SIZE,BLOCKS,SEGMENTS frames)" "1048576 1000 yes"
(($(stoa pool stat -rnbo MEMORY frames) < 1000000)) ||
	fail "there is memory for the segments"
stoa pool stat -J frames | json_check || fail "that is no JSON"
exits 0 stoa pool rm frames
CASE

it "a pool that can't be is refused in a sentence" <<'CASE'
exits 3 stoa pool create -c 0 none
has "$(stoa pool create -c 0 none 2>&1)" "1 to 16777216 blocks"
exits 2 stoa pool create -c many none
exits 2 stoa pool create -s much none
exits 2 stoa pool create
is "$(stoa ls -rn)" ""
CASE
