#!/bin/sh
# SPDX-License-Identifier: MIT
# fuzz.sh BUILD SECONDS "NOUN..." NAME...: runs each fuzzer for so long on each
# noun, on the seeds that it makes itself and on what earlier runs have found
# (BUILD/corpus). What breaks the library is kept in BUILD/artifacts.

build=$1 seconds=$2 nouns=$3
shift 3
passed=0 failed=0

fuzz() {
	fuzzer=$build/tests/hostile/$1
	name=$1-$2
	corpus=$build/corpus/$name
	log=$build/$name.log
	mkdir -p "$corpus" "$build/artifacts" || exit 1
	STOA_FUZZ_NOUN=$2
	export STOA_FUZZ_NOUN
	STOA_FUZZ_SEEDS=$corpus "$fuzzer" >"$log" 2>&1 || cat "$log"
	if "$fuzzer" -max_total_time="$seconds" -max_len=20000 -timeout=0 \
		-handle_usr1=0 -handle_usr2=0 -print_final_stats=1 \
		-artifact_prefix="$build/artifacts/$name-" \
		"$corpus" >"$log" 2>&1; then
		passed=$((passed + 1))
		sed -n "s/stat::number_of_executed_units: */  ok      $name: \
inputs tried: /p" "$log"
	else
		failed=$((failed + 1))
		tail -n 50 "$log"
		echo "  FAILED  $name: see $build/artifacts"
	fi
}

for target in "$@"; do
	for noun in $nouns; do
		fuzz "$target" "$noun"
	done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
