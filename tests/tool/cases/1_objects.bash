# Objects: making, listing, showing, removing, cleaning.

it "an empty space lists nothing and that is no failure" <<'CASE'
is "$(stoa ls)" ""
exits 0 stoa ls
stoa ls --json | json_check || fail "no JSON"
is "$(stoa ls --json | tr -d ' \n')" '{"objects":[]}'
CASE

it "a queue created is listed, sound, as the person's own" <<'CASE'
exits 0 $q create orders
has "$(stoa ls)" "NAME"
is "$(stoa ls -rno NAME,KIND,PERMS,OWNER,HEALTH)" \
	"orders queue rw------- $(id -un) ok"
is "$(stoa ls -rno UID,GID,USERS,WAITING,DEAD)" "$(id -u) $(id -g) 0 0 0"
CASE

it "objects are listed by name" <<'CASE'
exits 0 $q create b c a
is "$(echo $(stoa ls -rno NAME))" "a b c"
CASE

it "ls takes names and patterns, and says no if one means none" <<'CASE'
exits 0 $q create orders.new orders.old jobs
is "$(echo $(stoa ls -rno NAME 'orders*'))" "orders.new orders.old"
is "$(stoa ls -rno NAME jobs.queue)" "jobs"
exits 0 stoa ls jobs
exits 1 stoa ls jobs nothing
exits 9 stoa ls -E 9 nothing
CASE

it "columns are chosen, added, listed, and unknown ones refused" <<'CASE'
exits 0 $q create orders
is "$(stoa ls -n -r -o kind,NAME)" "queue orders"
is "$(stoa ls -ro +MSGS | head -n 1)" "$(stoa ls -r | head -n 1) MSGS"
has "$(stoa ls -O | head -n 1)" "GENERATION"
has "$(stoa ls -H)" "HEALTH"
stoa ls -HJ | json_check columns.0.description >out || fail "no JSON"
complains 2 stoa ls -o NAME,PRICE
has "$(cat err)" "PRICE"
complains 2 stoa ls -o ''
is "$(stoa ls -o NAME,NAME -rn)" "orders"
CASE

it "sizes have suffixes for people, and are bytes with --bytes or --json" <<'CASE'
exits 0 $q create --capacity 100 --max-message 1M orders
size=$(stat -c %s "$STOA_SPACE/orders.queue")
is "$(stoa ls -brno SIZE)" "$size"
is "$(stoa ls --json -o SIZE | json_check objects.0.size)" "$size"
is "$($q stat -rno MAXMESSAGE orders)" "1M"
is "$($q stat -brno MAXMESSAGE orders)" "1048576"
while read -r typed bytes; do
	exits 0 $q create --max-message $typed of-$typed
	is "$($q stat -brno MAXMESSAGE of-$typed)" "$bytes"
done <<'SIZES'
2000 2000
2000B 2000
2K 2048
2k 2048
2KiB 2048
2KB 2000
1.5K 1536
.5M 524288
0.002GB 2000000
SIZES
CASE

it "ls --json is JSON with numbers, and null for what is unknown" <<'CASE'
exits 0 $q create orders
echo junk >"$STOA_SPACE/junk.queue"
stoa ls -JO >out
json_check <out || fail "no JSON"
is "$(json_check objects.0.name <out)" "junk"
is "$(json_check objects.0.health <out)" "foreign"
is "$(json_check objects.0.users <out)" "null"
is "$(json_check objects.1.users <out)" "0"
is "$(json_check objects.1.creator <out | tr -d 0-9)" ""
has "$(json_check objects.1.created <out)" "+00:00"
CASE

it "a queue that is there already is left as it is" <<'CASE'
exits 0 $q create --capacity 10 orders
exits 0 $q send orders hello
exits 0 $q create orders
exits 0 $q create --capacity 10 --order fifo orders
is "$($q recv orders)" "hello"
complains 1 $q create --capacity 1000000 orders
complains 1 $q create --order priority orders
complains 1 $q create --max-message 1G orders
complains 1 $q create --exclusive orders
complains 7 $q create --exclusive -E 7 orders
CASE

it "of many who create exclusively one succeeds" <<'CASE'
for i in {1..20}; do
	( $q create --exclusive race 2>/dev/null; echo $? >>codes ) &
done
wait
is "$(sort codes | uniq -c | tr -s ' ' | tr '\n' ';')" " 1 0; 19 1;"
CASE

it "modes are set exactly, whatever the umask" <<'CASE'
umask 077
exits 0 $q create --mode 666 open
exits 0 $q create -M 0640 half
is "$(stoa ls -rno PERMS open)" "rw-rw-rw-"
is "$(stat -c %a "$STOA_SPACE/half.queue")" "640"
CASE

it "bad names are refused with a sentence" <<'CASE'
for name in '' . .. .hidden 'a b' a/b $'a\nb' ünde "$(printf 'x%.0s' {1..201})"
do
	complains 3 $q create "$name"
	complains 3 $q send "$name" text
	complains 3 $q recv -w 0 "$name"
	complains 3 stoa stat "$name"
	complains 3 stoa rm "$name"
done
is "$(stoa ls)" ""
exits 0 $q create "$(printf 'x%.0s' {1..200})" /slash 0
exits 0 stoa ls slash
CASE

it "objects that aren't there are a failure that names them" <<'CASE'
for command in "$q recv" "$q send" "$q peek" "$q take" "$q purge" \
	"$q stat" "stoa stat" "stoa rm"
do
	complains 3 $command nothing
	has "$(cat err)" nothing
done
exits 0 stoa rm --force nothing
CASE

it "wrong usage exits with 2 and points to the help" <<'CASE'
exits 0 $q create orders
while read -r line; do
	complains 2 stoa $line
	has "$(cat err)" "--help"
done <<'LINES'
frobnicate
queue frobnicate
queue
ls --frobnicate
ls -o
ls -o FROB
stat
rm
clean now
queue create
queue create --order random orders
queue create --mode 999 orders
queue create --mode -1 orders
queue create --capacity 0 orders
queue create --capacity 5X orders
queue create --capacity -5 orders
queue create --max-message 99999999999999999999 orders
queue send
queue send --priority 32768 orders hi
queue send --priority -1 orders hi
queue send --type 0 orders hi
queue send --whole --null orders
queue send --whole orders hi
queue send --size 0 orders
queue send -w soon orders
queue send -w -1 orders
queue send -w 1e3 orders
queue send -w . orders
queue recv
queue recv orders jobs
queue recv --count many orders
queue recv -E 256 orders
queue recv --type 0 orders
queue recv --type 1 --except 2 orders
queue peek --index -1 orders
queue bench --count 0
queue bench now
LINES
complains 2 stoa
CASE

it "help and version are printed, and exit with 0" <<'CASE'
for verb in "" ls stat rm clean queue "queue create" "queue send" \
	"queue recv" "queue take" "queue peek" "queue purge" "queue stat" \
	"queue bench"
do
	has "$(stoa $verb --help)" "Usage: stoa ${verb:-[}"
	exits 0 stoa $verb -h >out
	is "$(stoa $verb -V)" "$(stoa --version)"
done
CASE

it "every long option is in the help and in the manual" <<'CASE'
man=$ROOT/man
manual()
{
	sed 's/\\-/-/g' "$man/$1" | tr -s ' ' '\n' | grep -A1 -x Fl |
		grep -vx -e Fl -e --
}
for verb in ls stat rm clean "queue create" "queue send" "queue recv" \
	"queue take" "queue peek" "queue purge" "queue stat" "queue bench"
do
	manual stoa.1 >known
	manual "stoa-${verb%% *}.1" >>known
	for option in $(stoa $verb --help | grep -oE -- ' --[a-z-]+'); do
		grep -qx "${option#--}" known ||
			fail "the manual of '$verb' has no $option"
	done
done
CASE

it "the manual pages have no fault that mandoc knows of" <<'CASE'
type mandoc >/dev/null || exit 0
for page in stoa stoa-ls stoa-stat stoa-rm stoa-clean stoa-queue; do
	mandoc -Tlint -Wwarning "$ROOT/man/$page.1" || fail "$page"
done
CASE

it "stat shows an object, its numbers, and who waits since when" <<'CASE'
exits 0 $q create orders
exits 0 $q send orders one two
$q recv --count 3 orders >out &
receiver=$!
await RECEIVERS orders 1
has "$(stoa stat orders)" "receive"
stoa stat --json orders >json
json_check <json || fail "no JSON"
is "$(json_check objects.0.name <json)" "orders"
is "$(json_check objects.0.queue.msgsin <json)" "2"
is "$(json_check objects.0.queue.lspid <json | tr -d 0-9)" ""
is "$(json_check objects.0.users.0.pid <json)" "$receiver"
is "$(json_check objects.0.users.0.waits <json)" "receive"
is "$(json_check objects.0.users.0.state <json)" "alive"
is "$(json_check objects.0.users.0.msgsout <json)" "2"
is "$(json_check objects.0.users.0.msgsin <json)" "0"
has "$(json_check objects.0.users.0.since <json)" "T"
is "$(stoa ls -rno USERS,WAITING orders)" "1 1"
exits 0 $q send orders three
wait "$receiver" || fail "the receiver failed"
is "$(echo $(cat out))" "one two three"
CASE

it "stat of several is one JSON, without those that aren't there" <<'CASE'
exits 0 $q create a b
stoa stat --json a nothing b >json 2>err
is $? 3
is "$(json_check objects.0.name <json)" "a"
is "$(json_check objects.1.name <json)" "b"
has "$(cat err)" nothing
has "$(stoa stat -H)" "WAITS"
CASE

it "rm removes the name, and whoever has it open goes on" <<'CASE'
exits 0 $q create orders
$q recv orders >out &
await RECEIVERS orders 1
exits 0 stoa rm orders
is "$(stoa ls)" ""
exits 0 $q create orders
kill -0 $! || fail "the receiver is gone"
CASE

it "rm --wake ends the waits of others" <<'CASE'
exits 0 $q create orders
$q recv orders >out 2>err &
await RECEIVERS orders 1
exits 0 stoa rm --wake orders
wait $!
is $? 3
has "$(cat err)" "stoa: "
is "$(stoa ls)" ""
CASE

it "rm removes the others if one can't be" <<'CASE'
exits 0 $q create a b
complains 3 stoa rm a nothing b
is "$(stoa ls)" ""
CASE

it "files that aren't objects are told as such, and harm nobody" <<'CASE'
echo junk >"$STOA_SPACE/junk.queue"
: >"$STOA_SPACE/empty.queue"
ln -s /etc/passwd "$STOA_SPACE/link.queue"
mkfifo "$STOA_SPACE/pipe.queue"
mkdir "$STOA_SPACE/directory.queue"
exits 0 $q create good
exits 0 stoa ls >out
for name in junk empty link pipe; do
	is "$(stoa ls -rno HEALTH $name)" "foreign"
	complains 3 $q recv -w 0 $name
	complains 3 $q send $name text
	stoa stat $name >out 2>err
	is $? 3
	has "$(cat err)" "stoa: "
done
is "$(stoa ls -rno HEALTH good)" "ok"
exits 0 stoa rm junk empty link pipe
[[ -s /etc/passwd ]] || fail "rm followed the link"
CASE

it "a truncated or scribbled queue is a failure, not a crash" <<'CASE'
exits 0 $q create short scribbled
truncate -s 4096 "$STOA_SPACE/short.queue"
size=$(stat -c %s "$STOA_SPACE/scribbled.queue")
bytes "$size" >"$STOA_SPACE/scribbled.queue"
for name in short scribbled; do
	exits 0 stoa ls >out
	[[ $(stoa ls -rno HEALTH $name) != ok ]] || fail "$name looks sound"
	complains 3 $q recv -w 0 $name
	complains 3 $q peek $name
done
CASE

it "a queue truncated under a waiting receiver ends it with a sentence" <<'CASE'
exits 0 $q create orders
$q recv orders >out 2>err &
await RECEIVERS orders 1
: >"$STOA_SPACE/orders.queue"
wait $!
is $? 3
has "$(cat err)" "stoa: "
CASE

it "an object of another kind is not taken for a queue" <<'CASE'
exits 0 $q create orders
cp "$STOA_SPACE/orders.queue" "$STOA_SPACE/orders.mutex"
complains 3 $q recv -w 0 orders.mutex
complains 3 $q send orders.mutex text
complains 3 stoa rm orders.semaphore
exits 0 $q send orders.queue hello
is "$($q recv orders)" "hello"
CASE

it "a space that others could tamper with is refused" <<'CASE'
mkdir -m 777 loose
complains 3 stoa -S "$PWD/loose" ls
mkdir -m 770 group
complains 3 stoa ls --space "$PWD/group"
ln -s "$STOA_SPACE" link
complains 3 stoa ls -S "$PWD/link"
: >file
complains 3 stoa ls -S "$PWD/file"
complains 3 stoa ls -S "$PWD/nothing"
mkdir -m 1777 shared
exits 0 stoa -S "$PWD/shared" ls
CASE

it "create makes the space, and paths may be relative" <<'CASE'
exits 0 $q create -S "$PWD/new" orders
is "$(stat -c %a new)" "700"
exits 0 stoa -S newer queue create orders
exits 0 stoa -S newer queue send orders hello
is "$(cd /; stoa queue recv -S "$OLDPWD/newer" orders)" "hello"
is "$(stoa ls)" ""
CASE

it "a space or a queue without permission is a failure" <<'CASE'
as()
{
	if (($(id -u) == 0)); then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}
chmod 755 .
exits 0 $q create orders
chmod 000 "$STOA_SPACE"
complains 3 as stoa ls
(($(id -u) == 0)) || exit 0
chmod 1777 "$STOA_SPACE"
complains 3 as stoa queue recv -w 0 orders
is "$(as stoa ls -rno HEALTH orders)" "unreadable"
complains 3 as stoa rm orders
is "$(stoa ls -rno NAME)" "orders"
CASE

it "clean gives back what a killed process held, and --dry-run only tells" <<'CASE'
exits 0 stoa clean
exits 0 $q create jobs
exits 0 $q send jobs first second
mkfifo hold
$q take jobs <hold >out &
taker=$!
exec 3>hold
await TAKEN jobs 1
kill -KILL "$taker"
wait "$taker"
exec 3>&-
is "$(stoa ls -rno DEAD jobs)" "1"
stoa clean --dry-run -J >json || fail "dry run"
is "$(json_check actions.0.action <json)" "bury"
is "$(json_check actions.0.pid <json)" "$taker"
is "$(json_check actions.0.result <json)" "to do"
is "$(stoa ls -rno DEAD jobs)" "1"
has "$(stoa clean -rn)" "bury"
is "$(stoa ls -rno DEAD jobs)" "0"
is "$(number MSGS jobs)" "2"
is "$(number RETURNED jobs)" "1"
is "$($q recv jobs)" "first"
CASE

it "a terminal gets colour for what is wrong, a pipe and NO_COLOR none" <<'CASE'
echo junk >"$STOA_SPACE/junk.queue"
red=$'\e[31m'
has "$(on_terminal stoa ls)" "$red"
has "$(on_terminal stoa ls)" "NAME"
lacks "$(stoa ls)" $'\e'
lacks "$(NO_COLOR=1 on_terminal stoa ls)" $'\e'
lacks "$(TERM=dumb on_terminal stoa ls)" $'\e'
lacks "$(on_terminal stoa ls --json)" $'\e'
CASE

it "output that can't be written is a failure" <<'CASE'
exits 0 $q create orders
exits 3 stoa ls >/dev/full
exits 3 stoa stat orders >/dev/full
exits 3 stoa stat --json orders >/dev/full
exits 3 stoa --help >/dev/full
CASE

it "the completion knows verbs, options, columns and names" <<'CASE'
exits 0 $q create orders jobs
. "$ROOT/completions/stoa"
complete_()
{
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	_stoa 2>/dev/null
	echo "${COMPREPLY[*]}"
}
is "$(complete_ stoa l)" "ls lock"
is "$(complete_ stoa queue re)" "recv"
is "$(complete_ stoa queue recv o)" "orders"
is "$(complete_ stoa rm j)" "jobs"
is "$(complete_ stoa queue recv --cou)" "--count"
is "$(complete_ stoa queue create --order p)" "priority"
is "$(complete_ stoa ls -o HEA)" "HEALTH"
is "$(complete_ stoa ls -o NAME,HEA)" "NAME,HEALTH"
CASE
