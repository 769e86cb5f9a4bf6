# Heaps: making, numbers, names.

it "a heap is made, shown and removed" <<'CASE'
exits 0 stoa heap create -s 1M shelf
exits 0 stoa heap create -s 1M shelf
exits 1 stoa heap create -x -s 1M shelf
is "$(stoa heap stat -rno USED,HELD,PUBLISHED,ROOTS,REFS shelf)" "0 0 0 0 0"
is "$(stoa heap stat -rnbo LARGEST shelf)" "$(stoa heap stat -rnbo SIZE shelf)"
has "$(stoa stat shelf)" "LARGEST"
is "$(stoa heap roots -rn)" ""
exits 0 stoa heap rm shelf
is "$(stoa heap stat -rn)" ""
exits 3 stoa heap stat shelf
CASE

it "a heap that can't be is refused in a sentence" <<'CASE'
exits 3 stoa heap create -s 1K small
has "$(stoa heap create -s 1K small 2>&1)" "65536 bytes or more"
exits 2 stoa heap create -s much small
exits 2 stoa heap create
is "$(stoa ls -rn)" ""
CASE
