# SPDX-License-Identifier: MIT
# What run and mutants have in common: running one program, natively or under
# the drop-in in a space of its own, and telling what is different.

build=${BUILD:-build}
here=tests/conformance
hang_limit=900 # seconds for one program: far more than any needs

programs() {
	local source
	for source in "$here"/*.c; do
		source=${source##*/}
		[ "$source" = conformance.c ] || echo "${source%.c}"
	done
}

# usage: run_native PROGRAM OUTPUT
run_native() {
	timeout -k 5 "$hang_limit" "$build/$here/$1" >"$2" 2>"$2.errors" </dev/null
}

# usage: run_dropin PROGRAM OUTPUT LIBRARY [GROUP]
# Machine-wide, so that other users reach it; gone when the program has ended.
run_dropin() {
	local space status
	space=$(mktemp -d /dev/shm/conformance.XXXXXX) && chmod 1777 "$space" ||
		return 1
	CONFORMANCE_NO_KERNEL=1 STOA_SPACE=$space LD_PRELOAD=$3 \
		timeout -k 5 "$hang_limit" "$build/$here/$1" ${4:+"$4"} >"$2" \
		2>"$2.errors" </dev/null
	status=$?
	rm -rf "$space"
	return "$status"
}

# usage: unlike PROGRAM NATIVE DROPIN
# The drop-in's lines that aren't the kernel's, and the kernel's that it lacks,
# but for those of the list of differences. Where the kernel has no such calls
# (ENOSYS), the drop-in's own lines must all be well.
unlike() {
	if no_calls "$2"; then
		grep '^not ok' "$3" | leave_known "$1"
	else
		diff "$2" "$3" | sed -n 's/^< /kernel:  /p; s/^> /drop-in: /p' |
			leave_known "$1"
	fi
}

no_calls() {
	grep -q 'got ENOSYS wanted' "$1"
}

# usage: leave_known PROGRAM: drops the lines that the list of differences has.
leave_known() {
	awk -v program="$1" '
		FILENAME != "-" {
			if ($1 == program) {
				sub(/^[^ ]+ +/, "")
				known[$0] = 1
			}
			next
		}
		{
			line = $0
			sub(/^(kernel: +|drop-in: +)/, "", line)
			sub(/^(not ok|ok) /, "", line)
			sub(/: got .*/, "", line)
			sub(/ [0-9]+:/, ":", line)
			if (!(line in known))
				print
		}' <(grep -v '^#' "$here/differences") -
}
