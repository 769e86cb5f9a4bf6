#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD: the protocols in spin: every instance must hold, and every
# mutant must be caught in one of them. Last line: "N passed, N failed".
set -u
build=$1/model
here=$(cd "$(dirname "$0")" && pwd)
passed=0 failed=0

# search NAME FLAG...: prints the number of errors that spin finds.
search() {
	directory=$build/$1
	shift
	mkdir -p "$directory"
	(
		cd "$directory" || exit
		spin -a "$@" "$here/$model.pml" >spin.log 2>&1 &&
			gcc -O0 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=4096 \
				-DMEMLIM=2500 -o pan pan.c &&
			timeout 300 ./pan -m100000 >pan.log 2>&1
		# A search that was cut short has shown nothing.
		grep -q 'max search depth too small\|out of memory' pan.log &&
			exit
		sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
	)
}

say() {
	if [ "$1" = ok ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	printf '%-7s %s\n' "$1" "$2"
}

holds() {
	name=$1
	shift
	[ "$(search "$name" "$@")" = 0 ] && say ok "$name" || say FAILED "$name"
}

caught() {
	mutant=$1
	shift
	errors=$(search "$mutant" "-DMUTANT_$mutant" "$@")
	[ "${errors:-0}" -gt 0 ] && say ok "mutant $mutant is caught" ||
		say FAILED "mutant $mutant is not caught"
}

model=slot
# One sender, two receivers.
stream="-DSENDS=2,0,0 -DRECEIVES=0,1,1 -DTAKES=0,0,0"
# Two senders, one receiver, two deaths.
merge="-DSENDS=1,1,0 -DRECEIVES=0,0,1 -DTAKES=0,0,0 -DDEATHS=2"
# A sender, a taker that acknowledges or returns, a receiver; two deaths.
taker="-DSENDS=1,0,0 -DRECEIVES=0,0,1 -DTAKES=0,1,0 -DDEATHS=2"
# The same sender twice, a taker, a receiver; one death.
order="-DSENDS=2,0,0 -DRECEIVES=0,0,1 -DTAKES=0,1,0 -DDEATHS=1"
# One sends, one sends and receives, one receives.
mixed="-DSENDS=1,1,0 -DRECEIVES=0,1,1 -DTAKES=0,0,0"
# One that is stopped for ever, anywhere.
stopped="-DSENDS=1,1,0 -DRECEIVES=0,0,1 -DTAKES=0,0,0 -DSTOPS=1"

# The words of each instance are spin's flags, to be split.
# shellcheck disable=SC2086
{
	holds stream $stream
	holds merge-two-deaths $merge
	holds taker-two-deaths $taker
	holds stopped $stopped
	caught COMMIT_FIRST $stream
	caught NO_BURIAL $merge
	caught TAKEN_DROPPED $taker
	caught HINT_AFTER $order
	caught HINT_FIRST $order
	caught NO_SECOND_LOOK $stream
	caught EMPTY_AT_FIRST_SIGHT $mixed
	model=returned
	holds returned-hint
	caught COUNT_GOES_BACK
	caught RETURNING_PASSED
}
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
