#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mutants.sh BUILD [NAME]: breaks a copy of the library in one known way at a
# time; the hostile tests must notice each. Wants CC, CFLAGS, WALLS and LIBS.
# One more: a line at the end, with the noun that it is in after the programs
# that may notice it (aimed:stream).
set -uo pipefail

build=$1
only=${2:-}
place=$build/mutants
passed=0 failed=0
caught_by=
export HOSTILE_COMPUTE_SECONDS=8 HOSTILE_HANG_SECONDS=60
export HOSTILE_SECONDS=${HOSTILE_SECONDS:-18}
export HOSTILE_COMMAND=$PWD/$build/stoa

# As linked into every program.
shared=()
for source in tests/hostile/*.c; do
	case ${source##*/} in
	fuzz* | scribbler.c | bytes.c | aimed.c | aimed_queue.c | \
		aimed_port.c | files.c | mapped.c | tool.c | session.c) ;;
	*) shared+=("$build/${source%.c}.o") ;;
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
			$CC -I"$place/src" $CFLAGS -Wno-unused \
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
	local program noun
	for program in "$@"; do
		noun=
		[[ $program != *:* ]] || noun=${program#*:}
		program=${program%%:*}
		# shellcheck disable=SC2086
		$CC $CFLAGS $WALLS -o "$place/$program" \
			"$build/tests/hostile/$program.o" "${shared[@]}" \
			"$build/tests/libsupport.a" "${objects[@]}" $LIBS ||
			return 1
		[[ -z $noun || $program == scribbler ]] || noun=$noun:
		caught_by=$program
		HOSTILE_FULL=1 "$place/$program" "$noun" \
			>"$place/$program.log" 2>&1 || return 0
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
	for program in bytes files mapped aimed aimed_queue aimed_port session \
		scribbler; do
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
	's/ || bytes > arena - offset//' bytes:queue scribbler:queue
mutant "an arena place is not checked for its start" src/data/queue_arena.c \
	's/offset > arena || bytes > arena - offset/bytes > arena/' \
	bytes:queue scribbler:queue
mutant "the size of a small message is loaded twice" \
	src/data/queue_receive.c \
	's/get_inline(queue_inline(queue, found.cell), buffer, bytes);/get_inline(queue_inline(queue, found.cell), buffer, cell_get(found.cell, bytes));/' \
	aimed_queue
mutant "the place of a large message is loaded twice" \
	src/data/queue_receive.c \
	's/^\tif (stoa_unlikely(!request->message.data))/\tif (payload \&\& request->message.data)\n\t\trequest->message.data = queue->arena + QUEUE_PIECE_BYTES * ((uint64_t)cell_get(found->cell, payload) - 1);\n&/' \
	aimed_queue
mutant "the size of a large message is loaded twice" \
	src/data/queue_receive.c \
	'/^static void finish_receive/,/^}/s/^\tcopy_message/\trequest->message.bytes = cell_get(cell, bytes);\n&/' \
	aimed_queue
mutant "a small message may have any size" src/data/queue.c \
	's/return bytes <= STOA_QUEUE_INLINE ?/return bytes ?/' aimed:queue scribbler:queue
mutant "numbers of nodes are not clamped" src/data/queue_index.c \
	's/if (number == 0 || number >= 2 \* (uint64_t)queue->capacity)/if (number == 0)/' \
	bytes:queue scribbler:queue
mutant "numbers of cells in the index are not clamped" \
	src/data/queue_index.c \
	's/return cell < queue->capacity ? &queue->entries\[cell\] : NULL/return \&queue->entries[cell]/' \
	bytes:queue scribbler:queue
mutant "numbers of pending cells are not clamped" src/data/queue_select.c \
	's/if (cell >= queue->capacity || i > queue->capacity)/if (i > queue->capacity)/' \
	bytes:queue scribbler:queue
mutant "a walk down the index has no end" src/data/queue_index.c \
	's/while (way->depth < DEPTH_MAX)/while (1)/' bytes:queue aimed:queue
mutant "a walk over the cells has no end" src/data/queue_ring.c \
	's/; i < limit; i++)/;; i++)/' bytes:queue aimed:queue
mutant "the geometry may not fit the file" src/data/queue.c \
	's/places_of(geometry).end != queue->object.copy.file_bytes/0/' \
	bytes:queue files:queue
mutant "the file may be shorter than its header says" src/space/object.c \
	's/header->file_bytes > file_bytes ||/0 ||/' files:queue
mutant "numbers of seats are not clamped" src/space/seat.c \
	's/if (index >= first + seats)/if (chunk > 9)/' \
	bytes scribbler
mutant "symbolic links are followed" src/space/object.c \
	's/O_NOFOLLOW | //' files:queue
mutant "a life file that is a FIFO is waited for" src/space/life.c \
	's/ | O_NONBLOCK//' files:queue aimed_queue
mutant "a fault leaves the handle in use" src/space/guard.c \
	's/atomic_store(poisoned, 1)/(void)poisoned/' mapped
mutant "every fault counts as the library's" src/space/guard.c \
	's/|| fault < start || fault >= end//' mapped
mutant "a peek fills more than the buffer" src/data/queue_inspect.c \
	's/message->bytes < buffer_bytes ? message->bytes :/1 ? message->bytes :/' \
	bytes:queue
mutant "a capacity may be more than the file has" src/data/stream_map.c \
	's/return capacity <= stream->max_capacity ? capacity : 0;/return capacity;/' \
	bytes:stream aimed:stream scribbler:stream
mutant "positions may be any distance apart" src/data/stream.c \
	's/if (stoa_unlikely(used > end->map.capacity)) {/if (0) {/' \
	bytes:stream aimed:stream
mutant "what the kernel says of a hole is passed on" src/data/stream_move.c \
	's/if (moved == -EFAULT)/if (0)/' mapped:stream
mutant "a segment may say any size" src/memory/segment_resize.c \
	's/if (size > segment->limit)/if (0)/' bytes:segment aimed:segment
mutant "a segment's limit may be more than its file has" src/memory/segment.c \
	's/object->copy.file_bytes != data + limit)/0)/' \
	bytes:segment files:segment
mutant "holders in use are not clamped" src/sync/semaphore_undo.c \
	's/return count < semaphore->holder_count ? count :/return 1 ? count :/' \
	bytes:semaphore aimed:semaphore
mutant "more holders may be said than there is room for" src/sync/semaphore.c \
	's/holders > SEMAPHORE_FILE_HOLDERS || bytes < bytes_of(word, holders)/0/' \
	bytes:semaphore
mutant "a file may hold no semaphore" src/sync/semaphore.c \
	's/if (bytes < sizeof content->word)/if (0)/' bytes:semaphore
mutant "numbers of semaphores in an intent are not checked" \
	src/sync/semaphore_set_intent.c \
	's/if (stoa_unlikely(semaphore >= set->count))/if (0)/' \
	bytes:semaphore_set aimed:semaphore_set
mutant "rows in use are not clamped" src/sync/semaphore_set_intent.c \
	's/return used < set->rows ? used : set->rows;/return used;/' \
	bytes:semaphore_set aimed:semaphore_set
mutant "a mutex may have been made before all time" src/sync/mutex_inspect.c \
	's/mutex->made_ns < 0 ||/0 ||/' bytes:mutex
mutant "an owner is asked for after the health" src/sync/mutex.c \
	's/^\tuint64_t owner = mutex_owner(mutex);$/\tif (stoa_object_healthy(\&mutex->object) \&\& mutex_owner(mutex) == 0)\n\t\treturn 0;\n&/' \
	mapped:mutex
mutant "records in use are not clamped" src/sync/condition_internal.h \
	's/return used < condition->capacity ? used : condition->capacity;/return used;/' \
	bytes:condition aimed:condition
mutant "entries in use are not clamped" src/sync/rwlock_internal.h \
	's/return used < rwlock->readers ? used : rwlock->readers;/return used;/' \
	bytes:rwlock aimed:rwlock
mutant "an rwlock may have been made before all time" \
	src/sync/rwlock_inspect.c 's/rwlock->made_ns < 0 ||//' bytes:rwlock
mutant "a barrier may be larger than its memory" src/sync/barrier_open.c \
	's/STOA_BARRIER_BYTES_FOR(geometry\[BARRIER_GEOMETRY_COUNT\]) > bytes) {/0) {/' \
	bytes:barrier
mutant "numbers of ranges are not clamped" src/sync/range_lock_internal.h \
	's/return stoa_likely(number - 1 < lock->capacity) ?/return stoa_likely(1) ?/' \
	bytes:range_lock aimed:range_lock
mutant "ranges in use are not clamped" src/sync/range_lock_internal.h \
	's/return fresh < lock->capacity ? fresh : lock->capacity;/return fresh;/' \
	bytes:range_lock aimed:range_lock
mutant "a path through a tree has no end" src/sync/range_lock_index.c \
	's/if (stoa_unlikely(!node || path->depth == RANGE_DEPTH_MAX))/if (!node)/' \
	aimed:range_lock scribbler:range_lock
mutant "a replaced life file costs two descriptors" src/space/life.c \
	's/if (fd && ours)/if (0)/' files:mutex
mutant "a reply of a port may have any size" src/data/port_call.c \
	's/if (reply.bytes > (grant.number ? port->grant_bytes : port->copy_bytes))/if (0)/' \
	aimed_port
mutant "a view of a port may be shorter than what it holds" \
	src/data/port_grant.c 's/view->bytes < bytes/0/' \
	aimed_port
mutant "a part of a request may be longer than its view" \
	src/data/port_rounds.c \
	's/bytes > port_view_bytes(port, request->view)/0/' \
	aimed_port
mutant "numbers of cells in a topic's places are not clamped" \
	src/data/topic_receive.c \
	's/if (stoa_unlikely(TOPIC_WORD_CELL(word) >=$/if (stoa_unlikely(0 \&\& TOPIC_WORD_CELL(word) >=/' \
	bytes:topic aimed:topic
mutant "numbers of a topic's slots are not clamped" src/data/topic_receive.c \
	's/if (slot >= topic->slots || /if (/' aimed:topic scribbler:topic
mutant "a topic's message in a cell may have any size" \
	src/data/topic_receive.c \
	's/return found->bytes <= topic->inline_bytes;/return 1;/' \
	bytes:topic aimed:topic
mutant "a topic's geometry may not fit its file" src/data/topic.c \
	's/ topic->object.copy.file_bytes ?$/ places_of(geometry).end + TOPIC_DATA_OFFSET ?/' \
	bytes:topic
mutant "a topic's poll descriptor is made of a hole" src/data/topic_inspect.c \
	's/return (int)topic_end(topic, result);/return result;/' mapped:topic
mutant "a request of a session may be shorter than its head" \
	src/kernel/terminal_keep.c \
	'/^static int obey/,/^}/s/bytes < sizeof(request)/0/' session
mutant "a request of a session may ask for any size" \
	src/kernel/terminal_keep.c 's/terminal_size_good(&size) && differs/differs/' \
	session
mutant "a session may tell of any size" src/kernel/terminal_client.c \
	's/return terminal_size_good(&event->window);/return 1;/' session
mutant "a size that is told may be cut short" src/kernel/terminal_client.c \
	's/ && bytes == 1 + sizeof(window)/ \&\& 1/' session
mutant "a session may end in any way" src/kernel/terminal_session.c \
	'/^int terminal_end_read/,/^}/s/return 0;/;/' session
mutant "a session's state may have any window" src/kernel/terminal_session.c \
	's/ && terminal_size_good(&size) &&/ \&\&/' session
mutant "a session's texts may have any length" src/kernel/terminal_session.c \
	's/state->title_bytes <= TERMINAL_TEXT_MOST/1/' session
mutant "a session's texts are told as they are" src/kernel/terminal_text.c \
	's/return at\[0\] < 0x20 || at\[0\] == 0x7f;/return 0;/' session
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
