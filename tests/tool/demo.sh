#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# demo.sh: `stoa demo` proves what it says, and says so in its exit status.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

stoa=$(realpath "${BUILD:-build}")/stoa
seed=${STOA_TEST_SEED:-$RANDOM}
hang_limit=300
input=/dev/null
pid=0
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ok() {
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		[ -z "${V:-}" ] || echo "ok $name"
	else
		echo "FAILED: $name" >&2
		sed 's/^/    /' "$work/out" "$work/err" >&2
		failed=$((failed + 1))
	fi
}

# demo WANTED ARGUMENT...: runs it; is that its exit status?
demo() {
	local wanted=$1 status=0
	shift
	"$stoa" demo "$@" >"$work/out" 2>"$work/err" <"$input" &
	pid=$!
	wait "$pid" || status=$?
	[ "$status" = "$wanted" ] || echo "exit status $status" >>"$work/err"
	[ "$status" = "$wanted" ]
}

# value KEY [ROW]: from the JSON of the last run.
value() {
	awk -v key="\"$1\":" -v row="${2:-1}" '
		BEGIN { RS = "," }
		index($0, key) && ++seen == row {
			sub(".*" key, "")
			gsub(/["{}\] \n]/, "")
			print
			exit
		}' "$work/out"
}

is() {
	[ "$(value "$1" "${3:-1}")" = "$2" ]
}

at_least() {
	[ "$(value "$1")" -ge "$2" ]
}

nothing_left() {
	! compgen -G "/dev/shm/stoa-demo-$pid-*" >/dev/null &&
		! pgrep -P "$pid" >/dev/null
}

says() {
	grep -q "$1" "$work/err" "$work/out"
}

# Every seed cuts and kills elsewhere; half of the kills come after the
# message's result was passed on, so that a repetition must be recognised: at
# least 12 seeds, and until both have been seen.
many_seeds() {
	local i repeated=0 plain=0
	for i in $(seq 64); do
		[ "$i" -le 12 ] || [ "$repeated" = 0 ] || [ "$plain" = 0 ] ||
			break
		demo 0 --json --no-compare --seed $((seed + i)) \
			"$work/stream" || return 1
		is stream whole && is killed 1 && at_least returned 1 ||
			return 1
		if [ "$(value repeated)" -gt 0 ]; then
			repeated=$((repeated + 1))
		else
			plain=$((plain + 1))
		fi
	done
	echo "$repeated with a repetition, $plain without" >>"$work/err"
	[ "$repeated" -gt 0 ] && [ "$plain" -gt 0 ]
}

digest_is_of() {
	is sha256 "$(sha256sum "$1" | cut -d ' ' -f 1)"
}

# The demo gets SIGTERM once its space is there, long before it is done.
stopped_cleanly() {
	local status=0 end=$((SECONDS + hang_limit))
	"$stoa" demo --no-compare "$work/large" >"$work/out" 2>"$work/err" &
	pid=$!
	until compgen -G "/dev/shm/stoa-demo-$pid-*/work.queue" >/dev/null; do
		[ "$SECONDS" -lt "$end" ] || return 1
	done
	kill -TERM "$pid"
	wait "$pid" || status=$?
	[ "$status" = 143 ] && nothing_left
}

echo "seed $seed"
head -c 8000000 /dev/urandom >"$work/stream"
printf x >"$work/tiny"
: >"$work/empty"
truncate -s 4G "$work/large"

ok 'a stream is proven whole' demo 0 --seed "$seed" "$work/stream"
ok 'it says so' says 'Whole, nothing lost, nothing doubled'
ok 'it says who was killed' says 'was killed, SIGKILL'
ok 'JSON of all ways' demo 0 --json --seed "$seed" "$work/stream"
ok 'stoa without a kill' is through stoaqueue 2
ok 'through a POSIX queue' is through POSIXqueue 3
ok 'through a System V queue' is through SystemVqueue 4
ok 'through a pipe' is through pipe 5
ok 'the bytes are those of the file' is bytes 8000000
ok 'the hash is that of the file' digest_is_of "$work/stream"
messages=$(value messages)
ok 'the same seed runs' demo 0 -J --no-compare --seed "$seed" "$work/stream"
ok 'and cuts alike' is messages "$messages"
ok 'kills at many instants' many_seeds
ok 'one byte is a stream' demo 0 --json --no-compare "$work/tiny"
ok 'even there a worker was killed' is killed 1
ok 'and gave its message back' is returned 1
ok 'two workers' demo 0 --json --no-compare --workers 2 "$work/stream"
ok 'many workers' demo 0 --json --workers 32 "$work/stream"
input=$work/stream
ok 'standard input' demo 0 --json --no-compare -
input=/dev/null
ok 'its hash' digest_is_of "$work/stream"
ok 'nothing is left behind' nothing_left

# This file reads differently each time, so what arrives is not what was read.
ok 'a stream that is not whole is 1' \
	demo 1 --no-compare /proc/sys/kernel/random/uuid
ok 'and it says why' says 'NOT WHOLE: .*SHA-256'
ok 'no such file is 3' demo 3 "$work/none"
ok 'it names the file' says "$work/none: No such file"
ok 'an empty file is 3' demo 3 "$work/empty"
ok 'one worker is usage' demo 2 --workers 1 "$work/tiny"
ok 'a seed that is none is usage' demo 2 --seed x "$work/tiny"
ok 'two files are usage' demo 2 "$work/tiny" "$work/tiny"
ok 'SIGTERM ends it and leaves nothing' stopped_cleanly

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
