# helpers.bash: what each case begins with.
set -u

# The line is counted in the case file, which begins with this one. A failure
# in a part of a pipeline is one of the case.
fail()
{
	echo "line ${BASH_LINENO[1]}: $*"
	((BASHPID == $$)) || kill -TERM $$
	exit 1
}

# skip WHY...: the case can't be tried here; run.sh says so.
skip()
{
	echo "$*"
	exit 77
}

# is ACTUAL EXPECTED
is()
{
	[[ $1 == "$2" ]] || fail "got '$1', expected '$2'"
}

# has TEXT PART
has()
{
	[[ $1 == *"$2"* ]] || fail "'$2' is not in '$1'"
}

lacks()
{
	[[ $1 != *"$2"* ]] || fail "'$2' is in '$1'"
}

# exits STATUS COMMAND...
exits()
{
	local expected=$1 status

	shift
	"$@"
	status=$?
	((status == expected)) ||
		fail "'$*' exited with $status, expected $expected"
}

# complains STATUS COMMAND...: one sentence on standard error, none elsewhere
complains()
{
	local expected=$1 status

	shift
	"$@" >out 2>err
	status=$?
	cat err
	((status == expected)) ||
		fail "'$*' exited with $status, expected $expected"
	[[ $(head -n 1 err) == "stoa: "* ]] || fail "'$*' said nothing"
	[[ ! -s out ]] || fail "'$*' printed something"
}

same()
{
	cmp "$1" "$2" || fail "$1 and $2 differ"
}

# number COLUMN QUEUE
number()
{
	stoa queue stat -rno "$1" "$2"
}

# await COLUMN QUEUE NUMBER: until the queue says so (the hang limit ends it)
await()
{
	until [[ $(number "$1" "$2") == "$3" ]]; do :; done
}

# subscribed TOPIC NUMBER: until so many subscribe
subscribed()
{
	until [[ $(stoa topic stat -rno SUBS "$1") == "$2" ]]; do :; done
}

# Bytes of every value, NULs and newlines among them: bytes COUNT
bytes()
{
	local file=$(type -P stoa)

	{
		while cat "$file"; do :; done
	} 2>/dev/null | head -c "$1"
}

# on_terminal COMMAND...: what a terminal would get, without carriage returns
on_terminal()
{
	script -qec "$*" /dev/null </dev/null | tr -d '\r'
}

q="stoa queue"
