#!/bin/sh
# SPDX-License-Identifier: MIT
# mutants.sh: is the harness awake? Builds the library with each seeded bug of
# src/base/bug.h and requires the harness to notice every one, and nothing in
# the library as it is.
#
# usage: mutants.sh BUILD [NUMBER...]

build=${1:?usage: mutants.sh BUILD [NUMBER...]}
shift
list=src/base/bug.h
link="${CC:-cc} -static -no-pie"

# "NUMBER DESCRIPTION", continued lines joined
bugs() {
	sed -n '/^ \*  *[0-9][0-9]* /,/^ \*\//p' "$list" |
	awk '/^ \*\// { next }
	     /^ \* +[0-9]+ / { if (line) print line; sub(/^ \* +/, "");
			       line = $0; next }
	     { sub(/^ \* */, ""); if ($0 != "") line = line " " $0 }
	     END { if (line) print line }'
}

numbers=${*:-$(bugs | awk '{ print $1 }')}
caught=0
missed=0

if ! "$build/crash" -p mutant -1 >"$build/mutant-0.log"; then
	echo "FAIL the library without a seeded bug does not pass:"
	cat "$build/mutant-0.log"
	echo "0 passed, 1 failed"
	exit 1
fi

for n in $numbers; do
	name=$(bugs | awk -v n="$n" '$1 == n { sub(/^[0-9]+ +/, ""); print }')
	dir=$build/bug-$n
	log=$dir/crash.log
	mkdir -p "$dir"
	if ! make -s BUILD="$dir" \
		CFLAGS="${CFLAGS:--O2 -g} -DSTOA_SEEDED_BUG=$n" \
		"$dir/libstoa.a" >"$log" 2>&1 ||
	   ! $link -o "$dir/crash" "$build"/tests/crash/*.o "$dir/libstoa.a" \
		-pthread >>"$log" 2>&1; then
		echo "FAIL bug $n does not build: see $log"
		missed=$((missed + 1))
		continue
	fi
	if "$dir/crash" -p mutant -1 >"$log" 2>&1; then
		echo "MISSED bug $n: $name"
		missed=$((missed + 1))
	else
		echo "caught bug $n: $name"
		grep -A 1 '^FAIL' "$log" | sed -n '1,2s/^ *\(FAIL \)\{0,1\}/    /p'
		caught=$((caught + 1))
	fi
done

echo "$caught passed, $missed failed"
[ "$missed" -eq 0 ]
