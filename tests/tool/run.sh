#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh: the stoa command as a person types it, with real pipes and kills.
#
# BUILD=DIR  where stoa is; V=1 names every case; run.sh WORD... runs the
# cases whose sentence has a WORD in it. Each case is a bash of its own, in a
# space of its own, under a private directory of /dev/shm that goes at the end.

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-build}
[[ $build == /* ]] || build=$root/$build

if [[ ! -x $build/stoa ]]; then
	echo "run.sh: there is no $build/stoa; run make first" >&2
	exit 1
fi

scratch=$(mktemp -d /dev/shm/stoa-tool-test.XXXXXX) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap '[[ -z $pid ]] || kill -KILL -- "-$pid"; exit 1' INT TERM HUP
chmod 755 "$scratch"
mkdir "$scratch/bin"
cp "$build/stoa" "$build/libstoa-dropin.so" "$scratch/bin/"
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -o "$scratch/bin/json_check" \
	"$here/json_check.c" || exit 1

hang_seconds=300
pid=
passed=0 failed=0 skipped=0
words=("$@")

wanted()
{
	local word

	((${#words[@]})) || return 0
	for word in "${words[@]}"; do
		[[ $1 == *"$word"* ]] && return 0
	done
	return 1
}

# it SENTENCE: the case is on standard input.
it()
{
	local sentence=$1 status

	wanted "$sentence" || return 0
	mkdir -m 700 "$scratch/work"
	mkdir -m 700 "$scratch/work/space"
	{
		cat "$here/helpers.bash"
		cat
	} >"$scratch/case"
	(
		cd "$scratch/work" || exit 1
		unset NO_COLOR STOA_SPACE
		export LC_ALL=C.UTF-8 TERM=xterm TZ=UTC ROOT=$root
		export PATH=$scratch/bin:$PATH
		export STOA_SPACE=$scratch/work/space
		exec timeout --kill-after=5 "$hang_seconds" \
			bash "$scratch/case" >"$scratch/output" 2>&1 </dev/null
	) &
	pid=$!
	wait "$pid"
	status=$?
	# timeout leads a process group; what the case left running goes.
	kill -KILL -- "-$pid" 2>/dev/null
	pid=
	if ((status == 0)); then
		passed=$((passed + 1))
		[[ -z $V ]] || echo "ok: $sentence"
	elif ((status == 77)); then
		skipped=$((skipped + 1))
		echo "skipped: $sentence: $(tail -n 1 "$scratch/output")"
	else
		failed=$((failed + 1))
		echo "FAILED ($status): $sentence"
		sed 's/^/    /' "$scratch/output" | tail -n 40
	fi
	chmod -R u+rwX "$scratch/work"
	rm -rf "$scratch/work"
}

for file in "$here"/cases/*.bash; do
	. "$file"
done

echo "tool: $passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
