/* SPDX-License-Identifier: MIT */
/* data/stream_internal.h: what the stream's sources share. */
#ifndef STOA_DATA_STREAM_INTERNAL_H
#define STOA_DATA_STREAM_INTERNAL_H

#include <base/bug.h>
#include <base/cpu.h>
#include <base/deadline.h>
#include <base/system.h>
#include <data/stream_layout.h>
#include <space/event.h>
#include <space/object.h>

#include <errno.h>
#include <string.h>

enum stream_side { SIDE_READ, SIDE_WRITE };

/*
 * The memory of a stream, mapped twice, back to back: each stretch of it is
 * contiguous. Each side of a handle has a map of its own, changed under the
 * side's lock.
 */
struct stream_map {
	char *ring;        /* NULL: none */
	uint64_t geometry; /* the word that it was mapped by */
	uint64_t capacity;
	uint64_t base;     /* the position that is at ring[0] now */
};

struct stream_end {
	/* Touched under the side's lock alone. */
	_Alignas(STOA_CACHE_LINE) struct stream_map map;
	uint64_t other; /* position of the other side, when last looked at */
	int looked;     /* just now */
	int chased;     /* a reader: more came while it lingered */
	uint32_t looks;

	/* This turn was taken by favour, not by the lock. Cleared by release
	 * before the turn is given back, and read by acquire by the next who
	 * has the lock: `inside` may have been looked at by another handle, in
	 * another mapping, so that within a process this alone says the order. */
	_Atomic int favoured;
	/* See FAVOUR. */
	uint32_t favourite; /* the only thread that may be; 0: none yet */
	uint32_t streak;    /* so often the lock was taken in a row */
	uint32_t streak_due;
	int granted;          /* and not known to be lost */
	stoa_peer registered; /* this process, when it asked for barriers */

	/* relaxed throughout: hints. */
	_Atomic int64_t asked_ns; /* CLOCK_REALTIME_COARSE: who has the other end? */
	_Atomic uint32_t ends_seen;
	_Atomic uint32_t gone; /* nobody has */
	_Atomic uint32_t met;  /* somebody had */
	uint32_t opened_before; /* the other side's openings, before this one */
	_Atomic stoa_peer sole; /* stream_sole_other(), as of sole_seen */
	_Atomic uint32_t sole_seen;

	/* A reservation or a peek. Written under the side's lock. */
	_Atomic uint32_t held_token; /* 0: none */
	_Atomic uint64_t held_agent;
	uint64_t held_bytes;

	/* The open file description that is this end; -1: not had. */
	_Atomic int fd;
	uint64_t inode;
};

struct stoa_stream {
	struct stoa_object object;
	struct stream_control *control;
	uint64_t first_capacity, max_capacity; /* checked at open */
	_Atomic unsigned ends; /* STOA_READ, STOA_WRITE: had now */
	struct stoa_stream *twin; /* of a pair: what is written goes there */
	struct stream_end end[2];
};

#define STREAM_ASK_NS INT64_C(20000000) /* so often the kernel is asked */

static inline unsigned stream_direction(enum stream_side side)
{
	return side == SIDE_READ ? STOA_READ : STOA_WRITE;
}

static inline enum stream_side stream_other(enum stream_side side)
{
	return side == SIDE_READ ? SIDE_WRITE : SIDE_READ;
}

static inline _Atomic uint64_t *stream_position(struct stoa_stream *stream,
                                                enum stream_side side)
{
	return &stream->control->position[side].bytes;
}

/* The handle of the writing end: of a pair, the other object's. */
static inline struct stoa_stream *stream_writer(struct stoa_stream *stream)
{
	return stoa_likely(!stream->twin) ? stream : stream->twin;
}

/* ---- Ends (stream_ends.c) ------------------------------------------------ */

/* Takes the end of `side`. 0 or -errno. */
int stream_take_end(struct stoa_stream *stream, enum stream_side side);
void stream_drop_end(struct stoa_stream *stream, enum stream_side side);

/* Whether somebody has the end of `side`: 1, 0; -errno: can't be told. */
int stream_has_end(struct stoa_stream *stream, enum stream_side side);

/* Asks whether the side opposite to `side` was there and has gone. */
int stream_ask_gone(struct stoa_stream *stream, enum stream_side side);

/* The same; not asked anew within STREAM_ASK_NS. */
static inline int stream_gone(struct stoa_stream *stream,
                              enum stream_side side, int64_t now_ns)
{
	struct stream_end *end = &stream->end[side];

	/* acquire: the change that was counted has been made */
	if (stoa_likely(atomic_load_explicit(&stream->control->ends_changed,
	                                     memory_order_acquire) ==
	                        atomic_load_explicit(&end->ends_seen,
	                                             memory_order_relaxed) &&
	                (uint64_t)(now_ns -
	                           atomic_load_explicit(&end->asked_ns,
	                                                memory_order_relaxed)) <
	                        (STOA_BUG(38) ? 50 : 1) * STREAM_ASK_NS &&
	                !atomic_load_explicit(&end->gone,
	                                      memory_order_relaxed)))
		return 0;
	return stream_ask_gone(stream, side);
}

/* Waits by the deadline until somebody has come to the other end. */
int stream_await_other(struct stoa_stream *stream, enum stream_side side,
                       struct stoa_deadline deadline);

/* Whose death would end a wait of this side, if it is one peer's; or 0. */
stoa_peer stream_sole_other(struct stoa_stream *stream, enum stream_side side);

/* ---- Memory (stream_map.c) ----------------------------------------------- */

/* The capacity that a geometry word tells of, or 0: it can't be true. */
uint64_t stream_capacity_of(const struct stoa_stream *stream, uint64_t word);

int stream_map_make(struct stoa_stream *stream, uint64_t word,
                    struct stream_map *ret_map);
void stream_map_drop(struct stream_map *map);
/* Under the side's lock: maps what the geometry says now. */
int stream_remap(struct stoa_stream *stream, enum stream_side side);

/* Where the byte of a position is: `capacity` bytes from there are mapped,
 * whatever the position. */
static inline char *stream_at(struct stream_map *map, uint64_t position)
{
	uint64_t offset = position - map->base;

	if (stoa_unlikely(offset >= map->capacity)) {
		offset = position % map->capacity;
		map->base = position - offset;
	}
	return map->ring + offset;
}

/* ---- Turns (stream.c) ---------------------------------------------------- */

int stream_take_lock_slowly(struct stoa_stream *stream, enum stream_side side,
                            struct stoa_deadline deadline);
void stream_leave_slowly(struct stoa_stream *stream, enum stream_side side,
                         uint32_t token);

/* Under the side's lock: takes the favour away from whoever has it. 0, or the
 * lock is given back: -EBUSY, -ETIMEDOUT, ... */
int stream_revoke(struct stoa_stream *stream, enum stream_side side,
                  struct stoa_deadline deadline);
/* Under the side's lock, about to give it back: it was taken so often in a
 * row. */
void stream_grant(struct stoa_stream *stream, enum stream_side side);
/* An event was armed: makes a favoured thread of the other side see it. */
void stream_fence(struct stoa_stream *stream, enum stream_side side);

/* Takes the side's lock. 0; -EBUSY: another has it, and the deadline is
 * STOA_NOW; -ETIMEDOUT, -EINTR, -EDEADLK, and what every call may give. */
static inline int stream_take_lock(struct stoa_stream *stream,
                                   enum stream_side side,
                                   struct stoa_deadline deadline)
{
	struct stream_turn *turn = &stream->control->turn[side];
	int result = 0;

	if (stoa_unlikely(!stoa_lock_try(&turn->lock,
	                                 stoa_object_token(&stream->object))))
		result = stream_take_lock_slowly(stream, side, deadline);
	/* relaxed: written under the lock alone */
	if (stoa_unlikely(result == 0 &&
	                  atomic_load_explicit(&turn->favour,
	                                       memory_order_relaxed) != 0))
		result = stream_revoke(stream, side, deadline);
	if (stoa_unlikely(result < 0))
		return result;
	/* Not before: a thread that shares the handle may have been inside. It
	 * still is, in the copy that fork() made of it.
	 * acquire: pairs with the release in stream_leave_turn() */
	if (stoa_unlikely(atomic_load_explicit(&stream->end[side].favoured,
	                                       memory_order_acquire)))
		atomic_store_explicit(&stream->end[side].favoured, 0,
		                      memory_order_relaxed);
	return 0;
}

static inline _Atomic uint32_t *stream_inside(struct stoa_stream *stream,
                                              enum stream_side side)
{
	return &atomic_load_explicit(&stream->object.seat,
	                             memory_order_relaxed)
	                ->inside[side];
}

/* Takes the turn by favour, if the calling thread has it. */
static inline int stream_enter_favoured(struct stoa_stream *stream,
                                        enum stream_side side)
{
	_Atomic uint64_t *favour = &stream->control->turn[side].favour;
	uint64_t mine = STREAM_FAVOUR(stoa_object_token(&stream->object),
	                              stoa_thread_here.number);

	if (atomic_load_explicit(favour, memory_order_relaxed) != mine)
		return 0;
	atomic_store_explicit(stream_inside(stream, side), 1,
	                      memory_order_relaxed);
	/* For the compiler; the processor's part is the revoker's. */
	atomic_signal_fence(memory_order_seq_cst);
	/* relaxed: STREAM_FAVOUR */
	if (stoa_likely(atomic_load_explicit(favour, memory_order_relaxed) ==
	                mine)) {
		atomic_store_explicit(&stream->end[side].favoured, 1,
		                      memory_order_relaxed);
		return 1;
	}
	atomic_store_explicit(stream_inside(stream, side), 0,
	                      memory_order_release);
	return 0;
}

/* Takes the turn, by favour unless it may be for long, and sees to it that the
 * right memory is mapped. */
static inline int stream_take_turn(struct stoa_stream *stream,
                                   enum stream_side side, int lasting,
                                   struct stoa_deadline deadline)
{
	struct stream_map *map = &stream->end[side].map;

	if (lasting || stoa_unlikely(!stream_enter_favoured(stream, side))) {
		int result = stream_take_lock(stream, side, deadline);

		if (stoa_unlikely(result < 0))
			return result;
	}
	/* relaxed: it changes under both locks alone, without favours */
	if (stoa_likely(atomic_load_explicit(&stream->control->geometry,
	                                     memory_order_relaxed) ==
	                        map->geometry &&
	                map->ring))
		return 0;
	return stream_remap(stream, side);
}

#define STREAM_STREAK 32u

/* Gives the turn back. By the lock, a full barrier; else see FAVOUR. */
static inline void stream_leave_turn(struct stoa_stream *stream,
                                     enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	struct stream_turn *turn = &stream->control->turn[side];
	uint32_t token = stoa_object_token(&stream->object);
	uint32_t word = token;

	if (stoa_likely(atomic_load_explicit(&end->favoured,
	                                     memory_order_relaxed))) {
		/* release: stream_take_lock() */
		atomic_store_explicit(&end->favoured, 0, memory_order_release);
		/* release: STREAM_FAVOUR */
		atomic_store_explicit(stream_inside(stream, side), 0,
		                      memory_order_release);
		atomic_signal_fence(memory_order_seq_cst);
		return;
	}
	if (atomic_load_explicit(&turn->last, memory_order_relaxed) != token) {
		atomic_store_explicit(&turn->last, token, memory_order_relaxed);
		end->streak = 0;
	} else if (stoa_unlikely(++end->streak >=
	                         STREAM_STREAK + end->streak_due)) {
		stream_grant(stream, side);
	}
	/* seq_cst: with the fence after it, the position that was stored before
	 * is seen by whoever arms an event after it is looked at */
	if (stoa_unlikely(!atomic_compare_exchange_strong_explicit(
	            &turn->lock.word, &word, 0, memory_order_seq_cst,
	            memory_order_relaxed)))
		stream_leave_slowly(stream, side, token);
	stoa_cpu_fence_after_exchange();
}

/* The turn, taken, is kept for the caller's use: a reservation or a peek of so
 * many bytes. */
void stream_hold(struct stoa_stream *stream, enum stream_side side,
                 uint64_t bytes);
/* 0; -ESTALE: this process keeps none; -EMSGSIZE: of fewer bytes. */
int stream_check_held(struct stoa_stream *stream, enum stream_side side,
                      uint64_t bytes);
void stream_leave_held(struct stoa_stream *stream, enum stream_side side);

/* ---- What calls have in common (stream.c) -------------------------------- */

int stream_refuse(struct stoa_stream *stream, enum stream_side side);

static inline int stream_begin(struct stoa_stream *stream,
                               enum stream_side side)
{
	int result = stoa_object_enter(&stream->object);

	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(!(atomic_load_explicit(&stream->ends,
	                                         memory_order_relaxed) &
	                    stream_direction(side))))
		return stream_refuse(stream, side);
	return stoa_object_healthy(&stream->object) ?
	               0 :
	               stoa_object_health(&stream->object);
}

/* Every call that has touched the mapping ends so: a fault in it makes zeros
 * of all that was read since. */
static inline int64_t stream_end_call(struct stoa_stream *stream,
                                      int64_t result)
{
	if (stoa_likely(!atomic_load_explicit(&stream->object.poisoned,
	                                      memory_order_relaxed)))
		return result == -EBUSY ? -EAGAIN : result;
	return stoa_object_health(&stream->object);
}

static inline int64_t stream_clock(void)
{
	return stoa_sys_clock_ns(CLOCK_REALTIME_COARSE);
}

/* For people. Under the side's lock: nobody else counts in this seat then. */
static inline void stream_account(struct stoa_stream *stream,
                                  enum stream_side side, uint64_t bytes,
                                  int64_t now_ns)
{
	struct stoa_seat *seat = atomic_load_explicit(&stream->object.seat,
	                                              memory_order_relaxed);
	_Atomic uint64_t *pieces = side == SIDE_WRITE ? &seat->messages_in :
	                                                &seat->messages_out;
	_Atomic uint64_t *total = side == SIDE_WRITE ? &seat->bytes_in :
	                                               &seat->bytes_out;

#define ADD(counter, amount)                                             \
	atomic_store_explicit(                                           \
	        counter,                                                 \
	        atomic_load_explicit(counter, memory_order_relaxed) +    \
	                (amount),                                        \
	        memory_order_relaxed)
	ADD(pieces, 1);
	ADD(total, bytes);
#undef ADD
	atomic_store_explicit(side == SIDE_WRITE ? &seat->last_in_ns :
	                                           &seat->last_out_ns,
	                      now_ns, memory_order_relaxed);
	atomic_store_explicit(side == SIDE_WRITE ? &seat->last_in_pid :
	                                           &seat->last_out_pid,
	                      atomic_load_explicit(&stream->object.pid,
	                                           memory_order_relaxed),
	                      memory_order_relaxed);
}

/* ---- Room and bytes ------------------------------------------------------ */

/* Under the side's lock: how many bytes this side may use now, at least
 * `least` if there are so many. *ret_own: its position. -EUCLEAN. */
int64_t stream_usable_slowly(struct stoa_stream *stream, enum stream_side side,
                             uint64_t own);

static inline int64_t stream_usable(struct stoa_stream *stream,
                                    enum stream_side side, uint64_t least,
                                    uint64_t *ret_own)
{
	struct stream_end *end = &stream->end[side];
	uint64_t own = atomic_load_explicit(stream_position(stream, side),
	                                    memory_order_relaxed);
	/* The same for both: how much this side could have used already. */
	uint64_t used = side == SIDE_WRITE ? own - end->other :
	                                     end->other - own;
	uint64_t usable = side == SIDE_WRITE ? end->map.capacity - used : used;

	*ret_own = own;
	if (stoa_likely(used <= end->map.capacity && usable >= least))
		return (int64_t)usable;
	return stream_usable_slowly(stream, side, own);
}

/* Tell the other side. Call it after the turn was left. */
void stream_wake_readers(struct stoa_stream *stream);
void stream_wake_writers(struct stoa_stream *stream);

static inline void stream_tell(struct stoa_stream *stream,
                               enum stream_side side)
{
	if (side == SIDE_WRITE) {
		if (stoa_unlikely(stoa_event_asked(&stream->object,
		                                   STOA_READ) != 0))
			stream_wake_readers(stream);
	} else if (stoa_unlikely(stoa_event_asked(&stream->object,
	                                          STOA_WRITE) != 0)) {
		stream_wake_writers(stream);
	}
}

/* A writer is going to sleep until there is room for so many bytes. */
void stream_want_room(struct stoa_stream *stream, uint64_t bytes);

/* What a call needs before it can go on. */
struct stream_need {
	enum stream_side side;
	uint64_t least;  /* bytes usable */
	uint64_t wanted; /* a writer that sleeps is woken for so many */
	struct stoa_deadline deadline;
	int lasting; /* the turn is for longer than a copy */
};

int64_t stream_enter_slowly(struct stoa_stream *stream,
                            const struct stream_need *need, int64_t usable,
                            uint64_t *ret_own);

/*
 * Takes the turn once at least need->least bytes are usable. Returns how many
 * are, with the turn taken. Without the turn: 0, end of file; -EPIPE; -EBUSY or
 * -EAGAIN (STOA_NOW); -ETIMEDOUT, -EINTR, ... At end of file a reader gets
 * fewer than need->least, if there are any.
 */
static inline int64_t stream_enter(struct stoa_stream *stream,
                                   const struct stream_need *need,
                                   uint64_t *ret_own)
{
	int64_t usable = stream_take_turn(stream, need->side, need->lasting,
	                                  need->deadline);

	if (stoa_unlikely(usable < 0))
		return usable;
	usable = stream_usable(stream, need->side, need->least, ret_own);
	if (stoa_likely(usable >= (int64_t)need->least))
		return usable;
	return stream_enter_slowly(stream, need, usable, ret_own);
}

/* The commit point, under the side's lock. release: STREAM_BYTES */
static inline void stream_advance(struct stoa_stream *stream,
                                  enum stream_side side, uint64_t position)
{
	atomic_store_explicit(stream_position(stream, side), position,
	                      memory_order_release);
}

/* Whether a reservation or peek of `least` bytes can be had at all. 0,
 * -EINVAL. */
int stream_check_least(struct stoa_stream *stream, enum stream_side side,
                       uint64_t least);

int stream_ready(struct stoa_object *object, unsigned direction,
                 const struct stoa_wait *wait);

int stream_bury(struct stoa_object *object, uint32_t token);

#endif
