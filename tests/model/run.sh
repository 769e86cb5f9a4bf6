#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD [full]: the protocols in spin: every instance must hold, and
# every mutant must be caught in one of them. NAME.list says which there are
# of NAME.pml. "full" has what takes minutes, too. $JOBS searches run at once,
# by default one on each processor. Last line: "N passed, N failed".
set -u

# search BUILD NAME FLAG...: prints the number of errors and of states.
search() {
	directory=$1/$2
	shift 2
	mkdir -p "$directory"
	(
		cd "$directory" || exit
		rm -f pan.log
		spin -a "$@" "$here/$model.pml" >spin.log 2>&1 &&
			"$compiler" -O0 -w -DSAFETY $store \
				-DVECTORSZ=4096 -DMEMLIM=4000 -o pan pan.c &&
			timeout 600 ./pan -m100000 >pan.log 2>&1
		# A search that was cut short has shown nothing.
		grep -q 'max search depth too small\|out of memory' pan.log &&
			exit
		sed -n 's/.*errors: \([0-9]*\).*/\1/p
			s/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log
	)
}

say() {
	printf '%-7s %s\n' "$1" "$2"
}

# one BUILD MODEL holds|caught NAME FLAG...: a search and what is wanted of it.
one() {
	build=$1 model=$2 wanted=$3 name=$2-$4 mutant=-DMUTANT_$4
	shift 4
	[ "$wanted" = holds ] || set -- "$mutant" "$@"
	# shellcheck disable=SC2046
	set -- $(search "$build" "$name" "$@")
	case $wanted in
	holds)
		[ "${1:-1}" = 0 ] && say ok "$name: $2 states" ||
			say FAILED "$name"
		;;
	caught)
		[ "${1:-0}" -gt 0 ] && say ok "mutant $name is caught" ||
			say FAILED "mutant $name is not caught"
		;;
	esac
}

here=$(cd "$(dirname "$0")" && pwd)
# Most of the time goes into compiling, where clang takes a third of gcc's.
compiler=$(command -v clang || echo gcc)
if [ "$1" = --one ]; then
	shift
	# shellcheck disable=SC2086 # the words of a line of the searches
	one $1
	exit 0
fi

build=$1/model
full=${2:-}
# How states are stored: small costs half as much time again.
store=
[ -z "$full" ] || store=-DCOLLAPSE
export store
searches=$build/searches
said=$build/said
mkdir -p "$build"
: >"$searches"

# What the lists call.
holds() {
	echo "$build $model holds $*" >>"$searches"
}

caught() {
	echo "$build $model caught $*" >>"$searches"
}

# Only if asked for.
holds_full() {
	[ -z "$full" ] || holds "$@"
}

# The words of each instance are spin's flags, to be split.
# shellcheck disable=SC2086
for list in "$here"/*.list; do
	model=$(basename "$list" .list)
	. "$list"
done
xargs -d '\n' -n 1 -P "${JOBS:-$(nproc)}" sh "$0" --one <"$searches" |
	tee "$said"
passed=$(grep -c '^ok ' "$said")
failed=$(($(wc -l <"$searches") - passed))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
