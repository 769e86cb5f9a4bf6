#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD [full]: the protocols in spin: every instance must hold, and
# every mutant must be caught in one of them. NAME.list says which there are
# of NAME.pml. "full" has what takes minutes, too. Last line: "N passed, N
# failed".
set -u
build=$1/model
full=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
passed=0 failed=0

# search NAME FLAG...: prints the number of errors and of states.
search() {
	directory=$build/$1
	shift
	mkdir -p "$directory"
	(
		cd "$directory" || exit
		rm -f pan.log
		spin -a "$@" "$here/$model.pml" >spin.log 2>&1 &&
			gcc -O0 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=4096 \
				-DMEMLIM=4000 -o pan pan.c &&
			timeout 600 ./pan -m100000 >pan.log 2>&1
		# A search that was cut short has shown nothing.
		grep -q 'max search depth too small\|out of memory' pan.log &&
			exit
		sed -n 's/.*errors: \([0-9]*\).*/\1/p
			s/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log
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
	name=$model-$1
	shift
	# shellcheck disable=SC2046
	set -- $(search "$name" "$@")
	[ "${1:-1}" = 0 ] && say ok "$name: $2 states" || say FAILED "$name"
}

# Only if asked for.
holds_full() {
	[ -z "$full" ] || holds "$@"
}

caught() {
	name=$model-$1
	flag=-DMUTANT_$1
	shift
	# shellcheck disable=SC2046
	set -- $(search "$name" "$flag" "$@")
	[ "${1:-0}" -gt 0 ] && say ok "mutant $name is caught" ||
		say FAILED "mutant $name is not caught"
}

# The words of each instance are spin's flags, to be split.
# shellcheck disable=SC2086
for list in "$here"/*.list; do
	model=$(basename "$list" .list)
	. "$list"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
