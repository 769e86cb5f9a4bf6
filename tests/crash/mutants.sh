#!/bin/sh
# SPDX-License-Identifier: MIT
# mutants.sh: is the harness awake? Builds the library with all seeded bugs of
# src/base/bug.h in it, switches each on in turn, and requires the harness to
# notice it where mutants.list says, or else anywhere; and to notice nothing
# there when none is switched on. Of a room without crashes to try, the list
# names the tests that must notice: test:kernel/fifo_move. $JOBS at once, by
# default one on each processor.
#
# usage: mutants.sh BUILD [NUMBER...]

build=${1:?usage: mutants.sh BUILD [NUMBER...]}
shift
list=src/base/bug.h
hints=tests/crash/mutants.list
dir=$build/mutants
hang_limit=900 # seconds for one bug: far more than any needs

# "NUMBER DESCRIPTION", continued lines joined
bugs() {
	sed -n '/^ \*  *[0-9][0-9]* /,/^ \*\//p' "$list" |
	awk '/^ \*\// { next }
	     /^ \* +[0-9]+ / { if (line) print line; sub(/^ \* +/, "");
			       line = $0; next }
	     { sub(/^ \* */, ""); if ($0 != "") line = line " " $0 }
	     END { if (line) print line }'
}

# The harness's arguments for one bug's place in the list; none if it has none.
hint() {
	awk -v n="$1" '$1 == n {
		if ($2 != "-") printf "-s %s ", $2
		if ($3 != "-") printf "-o %s ", $3
		if ($4 != "-") printf "-t %s", $4
	}' "$hints"
}

# The tests for one bug, none if it has none; for all without a number.
test_of() {
	awk -v n="${1:-}" '(n == "" || $1 == n) && sub(/^test:/, "", $2) {
		print $2
	}' "$hints" | sort -u
}

build_tests() {
	mkdir -p "$dir/tests/kernel" "$dir/tests/data" &&
	# shellcheck disable=SC2046 # several words
	make -s -j"$(nproc)" BUILD="$build" "$build/tests/libsupport.a" \
		$(test_of | sed "s|.*|$build/tests/&.o|") || return
	for program in $(test_of); do
		${CC:-cc} -no-pie -o "$dir/tests/$program" \
			"$build/tests/$program.o" "$build/tests/libsupport.a" \
			"$dir/libstoa.a" "$build/tests/libsupport.a" \
			-lcmocka -pthread || return
	done
}

build_mutants() {
	mkdir -p "$dir" &&
	make -s -j"$(nproc)" BUILD="$dir" CFLAGS="${CFLAGS:--O2 -g} \
		-include tests/crash/seeded.h \
		-DSTOA_SEEDED_BUG=stoa_seeded_bug" "$dir/libstoa.a" \
		"$dir/libdropin.a" &&
	${CC:-cc} -static -no-pie -o "$dir/crash" "$build"/tests/crash/*.o \
		"$dir/libdropin.a" "$dir/libstoa.a" -pthread &&
	build_tests
}

# usage: run LOG ARGUMENT...
run() {
	log=$1
	shift
	timeout "$hang_limit" "$dir/crash" -p mutant -1 "$@" >"$log" 2>&1
}

noticed() {
	! run "$@" && grep -q '^FAIL' "$log"
}

say_caught() {
	echo "caught bug $1: $2"
	grep -A 1 '^FAIL' "$log" | sed -n '1,2s/^ *\(FAIL \)\{0,1\}/    /p'
}

# usage: run_tests LOG BUG PROGRAM SECONDS
run_tests() {
	STOA_SEEDED_BUG=$2 timeout -k 1 "$4" "$dir/tests/$3" >"$1" 2>&1
}

try_tests() {
	if ! run_tests "$dir/control-$1.log" 0 "$2" "$hang_limit"; then
		echo "FAIL without bug $1, in $2"
		cat "$dir/control-$1.log"
	elif run_tests "$dir/bug-$1.log" "$1" "$2" 60; then
		echo "MISSED bug $1: $3"
	else
		echo "caught bug $1: $3"
		grep -m 1 'FAILED' "$dir/bug-$1.log" | sed 's/^ */    /'
		[ -s "$dir/bug-$1.log" ] || echo "    hang"
	fi
}

try_one() {
	n=$1
	name=$(bugs | awk -v n="$n" '$1 == n { sub(/^[0-9]+ +/, ""); print }')
	program=$(test_of "$n")
	if [ -n "$program" ]; then
		try_tests "$n" "$program" "$name"
		return
	fi
	place=$(hint "$n")
	# shellcheck disable=SC2086 # the place is several arguments
	if [ -n "$place" ] && ! run "$dir/control-$n.log" -b 0 $place; then
		echo "FAIL without bug $n, at $place"
		cat "$log"
	elif [ -n "$place" ] && noticed "$dir/bug-$n.log" -b "$n" $place; then
		say_caught "$n" "$name"
	elif noticed "$dir/bug-$n.log" -b "$n"; then
		say_caught "$n" "$name"
		[ -z "$place" ] || echo "    (elsewhere than $hints says)"
	else
		echo "MISSED bug $n: $name"
	fi
}

if [ "${1:-}" = --one ]; then
	try_one "$2" >"$dir/said-$2"
	cat "$dir/said-$2"
	exit 0
fi

if ! build_mutants >"$build/mutants.log" 2>&1; then
	tail -n 20 "$build/mutants.log"
	echo "FAIL the library with the seeded bugs does not build"
	echo "0 passed, 1 failed"
	exit 1
fi

rm -f "$dir"/said-*
numbers=${*:-$(bugs | awk '{ print $1 }')}
echo "$numbers" | tr ' ' '\n' |
	xargs -n 1 -P "${JOBS:-$(nproc)}" sh "$0" "$build" --one
caught=$(cat "$dir"/said-* | grep -c '^caught bug')
missed=$(($(echo "$numbers" | wc -w) - caught))
echo "$caught passed, $missed failed"
[ "$missed" -eq 0 ]
