#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mutants.sh BUILD [NAME]: breaks a copy of the library in one known way at a
# time; the hostile tests must notice each. Wants CC, CFLAGS, WALLS and LIBS.
set -uo pipefail

build=$1
only=${2:-}
place=$build/mutants
passed=0 failed=0
caught_by=
export HOSTILE_COMPUTE_SECONDS=8 HOSTILE_SECONDS=${HOSTILE_SECONDS:-18}

# As linked into every program.
shared=()
for object in "$build"/tests/hostile/*.o; do
	case ${object##*/} in
	fuzz* | scribbler.o | bytes.o | aimed.o | aimed_queue.o | files.o | \
		mapped.o | tool.o) ;;
	*) shared+=("$object") ;;
	esac
done

# Compiles what the change touches: one source, or all for a header.
compile() {
	local source object
	objects=()
	for source in src/*/*.c; do
		object=$build/${source%.c}.o
		if [[ $1 == *.h || $1 == "$source" ]]; then
			object=$place/${source//\//-}.o
			# shellcheck disable=SC2086
			$CC $CFLAGS -I"$place/src" -Wno-unused \
				-Wno-error -c "$place/$source" -o "$object" \
				2>"$place/errors" || {
				cat "$place/errors"
				return 1
			}
		fi
		objects+=("$object")
	done
}

# Runs the test programs on the broken library until one notices.
notice() {
	local program
	for program in "$@"; do
		# shellcheck disable=SC2086
		$CC $CFLAGS $WALLS -o "$place/$program" \
			"$build/tests/hostile/$program.o" "${shared[@]}" \
			"$build/tests/libsupport.a" "${objects[@]}" $LIBS ||
			return 1
		caught_by=$program
		"$place/$program" >"$place/$program.log" 2>&1 || return 0
	done
	return 1
}

# mutant NAME FILE SED-EXPRESSION PROGRAM...
mutant() {
	local name=$1 file=$2 change=$3 start=$SECONDS
	shift 3
	[ -z "$only" ] || [[ $name == *"$only"* ]] || return 0
	rm -rf "$place"
	mkdir -p "$place" && cp -r src "$place/src"
	sed -i -e "$change" "$place/$file"
	if cmp -s "$file" "$place/$file"; then
		echo "  FAILED  $name: nothing to change in $file"
		failed=$((failed + 1))
	elif compile "$file" && notice "$@"; then
		echo "  caught  $name, by $caught_by, $((SECONDS - start)) s"
		passed=$((passed + 1))
	else
		echo "  MISSED  $name"
		failed=$((failed + 1))
	fi
}

# What fails by itself notices nothing.
sound() {
	local program
	for program in bytes files mapped aimed scribbler; do
		"$build/tests/hostile/$program" >"$build/$program.log" 2>&1 ||
			{
				tail -n 40 "$build/$program.log"
				echo "0 passed, 1 failed"
				exit 1
			}
	done
}

[ -n "$only" ] || sound

mutant "an arena place is not checked for length" src/data/queue_arena.c \
	's/ || bytes > arena - offset//' bytes scribbler
mutant "an arena place is not checked for its start" src/data/queue_arena.c \
	's/offset > arena || bytes > arena - offset/bytes > arena/' \
	bytes scribbler
mutant "the size of a small message is loaded twice" \
	src/data/queue_receive.c \
	's/get_inline(queue_inline(queue, found.cell), buffer, bytes);/get_inline(queue_inline(queue, found.cell), buffer, cell_get(found.cell, bytes));/' \
	aimed scribbler
mutant "the place of a large message is loaded twice" \
	src/data/queue_receive.c \
	's/^\tif (stoa_unlikely(!request->message.data))/\tif (payload \&\& request->message.data)\n\t\trequest->message.data = queue->arena + QUEUE_PIECE_BYTES * ((uint64_t)cell_get(found->cell, payload) - 1);\n&/' \
	aimed scribbler
mutant "the size of a large message is loaded twice" \
	src/data/queue_receive.c \
	's/memcpy(request->buffer, request->message.data, request->message.bytes);/memcpy(request->buffer, request->message.data, cell_get(cell, bytes));/' \
	aimed scribbler
mutant "a small message may have any size" src/data/queue.c \
	's/return bytes <= STOA_QUEUE_INLINE ?/return bytes ?/' aimed scribbler
mutant "numbers of nodes are not clamped" src/data/queue_index.c \
	's/if (number == 0 || number >= 2 \* (uint64_t)queue->capacity)/if (number == 0)/' \
	bytes scribbler
mutant "numbers of cells in the index are not clamped" \
	src/data/queue_index.c \
	's/return cell < queue->capacity ? &queue->entries\[cell\] : NULL/return \&queue->entries[cell]/' \
	bytes scribbler
mutant "numbers of pending cells are not clamped" src/data/queue_select.c \
	's/if (cell >= queue->capacity || i > queue->capacity)/if (i > queue->capacity)/' \
	bytes scribbler
mutant "a walk down the index has no end" src/data/queue_index.c \
	's/while (way->depth < DEPTH_MAX)/while (1)/' bytes aimed
mutant "a walk over the cells has no end" src/data/queue_ring.c \
	's/; i < limit; i++)/;; i++)/' bytes aimed
mutant "the geometry may not fit the file" src/data/queue.c \
	's/places_of(geometry).end != queue->object.copy.file_bytes/0/' \
	bytes files
mutant "the file may be shorter than its header says" src/space/object.c \
	's/header->file_bytes > file_bytes ||/0 ||/' files
mutant "numbers of seats are not clamped" src/space/seat.c \
	's/if (index >= first + seats)/if (chunk > 9)/' \
	bytes scribbler
mutant "symbolic links are followed" src/space/object.c \
	's/O_NOFOLLOW | //' files
mutant "a life file that is a FIFO is waited for" src/space/life.c \
	's/ | O_NONBLOCK//' files aimed
mutant "a fault leaves the handle in use" src/space/guard.c \
	's/atomic_store(poisoned, 1)/(void)poisoned/' mapped
mutant "every fault counts as the library's" src/space/guard.c \
	's/|| fault < start || fault >= end//' mapped
mutant "a peek fills more than the buffer" src/data/queue_inspect.c \
	's/message->bytes < buffer_bytes ? message->bytes :/1 ? message->bytes :/' \
	bytes
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
