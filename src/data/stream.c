/* SPDX-License-Identifier: MIT */
/* data/stream.c: making and opening streams, and what their calls have in
 * common: turns, waiting, telling. Who has which end is in stream_ends.c, the
 * memory in stream_map.c; why it all holds is in stream_layout.h. */
#include <base/bug.h>
#include <base/error.h>
#include <data/kinds.h>
#include <data/stream_internal.h>

#include <limits.h>
#include <stdlib.h>

#define CAPACITY_DEFAULT 65536
#define MAX_DEFAULT (UINT64_C(16) << 20)
#define OPEN_BURIES 64 /* of the dead at most, by who opens */
#define SPINS 200
#define TURN_NS INT64_C(100000) /* who may not wait waits for so long */

/* ---- Making and opening ---------------------------------------------------- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + STREAM_PAGE - 1) & ~(STREAM_PAGE - 1);
}

static int read_attributes(const char *name,
                           const struct stoa_stream_attributes *given,
                           uint64_t *geometry)
{
	struct stoa_stream_attributes attributes = { 0 };
	uint64_t reserved = 0;

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(
			        -EINVAL,
			        "attributes of stream %s: size must be "
			        "sizeof(struct stoa_stream_attributes)",
			        name);
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		reserved |= attributes.reserved_more[i];
	if (attributes.reserved || reserved)
		return stoa_fail(-EINVAL,
		                 "attributes of stream %s: reserved fields "
		                 "must be zero",
		                 name);
	uint64_t capacity = attributes.capacity ?: CAPACITY_DEFAULT;
	uint64_t max = attributes.max_capacity ?:
	               capacity > MAX_DEFAULT    ? capacity :
	                                           MAX_DEFAULT;
	if (capacity > STREAM_CAPACITY_MAX || max > STREAM_CAPACITY_MAX ||
	    page_up(capacity) > page_up(max))
		return stoa_fail(-EINVAL,
		                 "attributes of stream %s: max_capacity is at "
		                 "most 64 GiB, and capacity at most that",
		                 name);
	geometry[STREAM_GEOMETRY_CAPACITY] = page_up(capacity);
	geometry[STREAM_GEOMETRY_MAX] = page_up(max);
	return 0;
}

static int geometry_in_range(const struct stoa_object_header *header)
{
	uint64_t capacity = header->geometry[STREAM_GEOMETRY_CAPACITY];
	uint64_t max = header->geometry[STREAM_GEOMETRY_MAX];

	return capacity >= STREAM_PAGE && capacity <= max &&
	       max <= STREAM_CAPACITY_MAX && capacity % STREAM_PAGE == 0 &&
	       max % STREAM_PAGE == 0 &&
	       header->file_bytes == STREAM_AREA_OFFSET + 2 * max;
}

static void set_fields(struct stoa_stream *stream)
{
	const uint64_t *geometry = stream->object.copy.geometry;

	stream->control = (void *)(stream->object.base + OBJECT_KIND_OFFSET);
	stream->first_capacity = geometry[STREAM_GEOMETRY_CAPACITY];
	stream->max_capacity = geometry[STREAM_GEOMETRY_MAX];
	for (int side = SIDE_READ; side <= SIDE_WRITE; side++)
		atomic_store_explicit(&stream->end[side].fd, -1,
		                      memory_order_relaxed);
}

static int map_side(struct stoa_stream *stream, enum stream_side side)
{
	return stream_map_make(stream,
	                       atomic_load_explicit(&stream->control->geometry,
	                                            memory_order_acquire),
	                       &stream->end[side].map);
}

static void drop_everything(struct stoa_stream *stream)
{
	for (int side = SIDE_READ; side <= SIDE_WRITE; side++) {
		stream_drop_end(stream, side);
		stream_map_drop(&stream->end[side].map);
	}
	stoa_object_close(&stream->object);
}

/* Takes the seat, maps, takes the ends that the flags name. */
static int join(struct stoa_stream *stream, unsigned ends)
{
	int result = geometry_in_range(&stream->object.copy) ?
	                     0 :
	                     stoa_fail(-EUCLEAN,
	                               "stream %s is damaged: its header "
	                               "can't be true; remove it",
	                               stream->object.name);

	set_fields(stream);
	if (result == 0)
		result = stoa_object_sit(&stream->object);
	if (result >= 0)
		result = stoa_object_bury(&stream->object, OPEN_BURIES);
	for (int side = SIDE_READ; side <= SIDE_WRITE && result >= 0; side++) {
		if (!(ends & stream_direction(side)))
			continue;
		result = map_side(stream, side);
		if (result == 0)
			result = stream_take_end(stream, side);
	}
	if (result < 0)
		drop_everything(stream);
	return result < 0 ? result : 0;
}

/* A handle with `ends`; flags and plan as for stoa_object_open(). */
static int open_handle(struct stoa_space *space, const char *name,
                       unsigned flags, unsigned ends,
                       struct stoa_object_plan *plan,
                       struct stoa_stream **ret_stream)
{
	struct stoa_stream *stream = aligned_alloc(STOA_CACHE_LINE,
	                                           sizeof *stream);
	int result;

	if (!stream)
		return stoa_fail(-ENOMEM, "no memory to open stream %s",
		                 name ? name : "(unnamed)");
	memset(stream, 0, sizeof *stream);
	plan->kind = &stoa_stream_kind;
	plan->mapped_bytes = STREAM_AREA_OFFSET;
	plan->reserved_bytes = STREAM_AREA_OFFSET +
	                       plan->geometry[STREAM_GEOMETRY_CAPACITY];
	plan->file_bytes = STREAM_AREA_OFFSET +
	                   2 * plan->geometry[STREAM_GEOMETRY_MAX];
	result = stoa_object_open(&stream->object, space, name, flags,
	                          &stoa_stream_kind, plan);
	if (result == 0) {
		result = join(stream, ends);
		if (result < 0)
			stoa_object_abandon(&stream->object);
	}
	if (result < 0) {
		free(stream);
		return result;
	}
	*ret_stream = stream;
	return 0;
}

/* A stream without a name, or another handle on that of `again`. */
static int open_unnamed(struct stoa_space *space, unsigned flags, unsigned ends,
                        const struct stoa_stream_attributes *attributes,
                        struct stoa_stream *again,
                        struct stoa_stream **ret_stream)
{
	struct stoa_object_plan plan = { .mode = 0600 };
	struct stoa_stream *stream;
	int result = read_attributes("(unnamed)", attributes, plan.geometry);

	if (again)
		plan.again = &again->object;
	if (result == 0)
		result = open_handle(space, NULL, flags, ends, &plan, &stream);
	if (result < 0)
		return result;
	result = stoa_bell_inherit(&stream->object, plan.again);
	if (result < 0) {
		stoa_stream_close(stream);
		return stoa_fail(result, "can't make an unnamed stream: %s",
		                 strerror(-result));
	}
	/* Both ends were here. */
	for (int side = SIDE_READ; side <= SIDE_WRITE; side++)
		stream->end[side].met = 1;
	*ret_stream = stream;
	return 0;
}

#define END_FLAGS (STOA_READ | STOA_WRITE)
#define OPEN_FLAGS \
	(END_FLAGS | STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE)

int stoa_stream_open(struct stoa_space *space, const char *name, unsigned flags,
                     mode_t mode,
                     const struct stoa_stream_attributes *attributes,
                     struct stoa_deadline deadline,
                     struct stoa_stream **ret_stream)
{
	struct stoa_object_plan plan = { .mode = mode };
	unsigned ends = flags & END_FLAGS;
	struct stoa_stream *stream;
	int result = 0;

	if ((flags & ~OPEN_FLAGS) ||
	    (!name && (!ends || !(flags & STOA_CREATE))))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for stream %s: no unknown ones, "
		                 "and for one without a name STOA_CREATE and "
		                 "an end, STOA_READ or STOA_WRITE",
		                 flags, name ? name : "(unnamed)");
	if (!name)
		return open_unnamed(space, flags, ends, attributes, NULL,
		                    ret_stream);
	if (flags & STOA_CREATE)
		result = read_attributes(name, attributes, plan.geometry);
	if (result == 0)
		result = open_handle(space, name, flags, ends, &plan, &stream);
	if (result < 0)
		return result;
	if (ends == STOA_READ)
		result = stream_await_other(stream, SIDE_READ, deadline);
	else if (ends == STOA_WRITE)
		result = stream_await_other(stream, SIDE_WRITE, deadline);
	if (result < 0) {
		stoa_stream_close(stream);
		return result;
	}
	*ret_stream = stream;
	return 0;
}

int stoa_stream_pipe(struct stoa_space *space,
                     const struct stoa_stream_attributes *attributes,
                     struct stoa_stream **ret_reader,
                     struct stoa_stream **ret_writer)
{
	struct stoa_stream *reader, *writer;
	int result = open_unnamed(space, STOA_CREATE | STOA_READ, STOA_READ,
	                          attributes, NULL, &reader);

	if (result < 0)
		return result;
	result = open_unnamed(space, STOA_CREATE | STOA_WRITE, STOA_WRITE,
	                      attributes, reader, &writer);
	if (result < 0) {
		stoa_stream_close(reader);
		return result;
	}
	*ret_reader = reader;
	*ret_writer = writer;
	return 0;
}

int stoa_stream_pair(struct stoa_space *space,
                     const struct stoa_stream_attributes *attributes,
                     struct stoa_stream **ret_one,
                     struct stoa_stream **ret_other)
{
	struct stoa_stream *reader[2], *writer[2];
	int result = stoa_stream_pipe(space, attributes, &reader[0], &writer[0]);

	if (result < 0)
		return result;
	result = stoa_stream_pipe(space, attributes, &reader[1], &writer[1]);
	if (result < 0) {
		stoa_stream_close(reader[0]);
		stoa_stream_close(writer[0]);
		return result;
	}
	reader[0]->twin = writer[1];
	reader[1]->twin = writer[0];
	*ret_one = reader[0];
	*ret_other = reader[1];
	return 0;
}

/* What this process holds through the handle; not what it has inherited. */
static void give_up_turns(struct stoa_stream *stream)
{
	struct stoa_object *object = &stream->object;

	if (atomic_load_explicit(&object->peer, memory_order_relaxed) !=
	    atomic_load_explicit(&object->space->life.self->peer,
	                         memory_order_relaxed))
		return;
	if (stream_bury(object, stoa_object_token(object)) > 0)
		stoa_event_broadcast(object);
}

void stoa_stream_close(struct stoa_stream *stream)
{
	if (!stream)
		return;
	if (!STOA_BUG(39))
		stoa_stream_close(stream->twin);
	give_up_turns(stream);
	drop_everything(stream);
	free(stream);
}

int stoa_stream_shutdown(struct stoa_stream *stream, unsigned direction)
{
	enum stream_side side = direction == STOA_READ ? SIDE_READ : SIDE_WRITE;

	if (direction != STOA_READ && direction != STOA_WRITE)
		return stoa_fail(-EINVAL,
		                 "the end of stream %s to shut down is "
		                 "STOA_READ or STOA_WRITE",
		                 stream->object.name);
	if (side == SIDE_WRITE)
		stream = stream_writer(stream);
	int result = stoa_object_enter(&stream->object);
	if (result < 0)
		return result;
	if (!(atomic_load(&stream->ends) & direction))
		return stream_refuse(stream, side);
	struct stoa_seat *seat = atomic_load(&stream->object.seat);
	atomic_fetch_and(&seat->flags, ~direction);
	atomic_fetch_and(&stream->object.directions, ~direction);
	if (atomic_load(&stream->end[side].held_token) ==
	    stoa_object_token(&stream->object))
		stream_leave_held(stream, side);
	stream_drop_end(stream, side);
	return 0;
}

int stoa_stream_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_stream_kind);
}

int stoa_stream_remove(struct stoa_stream *stream)
{
	int result = stoa_object_remove(&stream->object);

	/* Somebody may have been killed between the two. */
	if (stream->twin && (result == 0 || result == -EIDRM)) {
		int other = stoa_object_remove(&stream->twin->object);

		if (other != -EIDRM)
			result = other;
	}
	return result;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_object_plan plan = { 0 };
	struct stoa_stream *stream;
	int result = open_handle(space, name,
	                         flags & ~(STOA_CREATE | END_FLAGS), 0, &plan,
	                         &stream);

	if (result == 0)
		*ret_object = &stream->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_stream_close((struct stoa_stream *)object);
}

const struct stoa_object_kind stoa_stream_kind = {
	.name = "stream",
	.bury = stream_bury,
	.ready = stream_ready,
	.open = open_object,
	.close = close_object,
};

/* ---- Turns ------------------------------------------------------------------ */

/* A side's lock that bears the token is freed. Returns how many were. */
int stream_bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_stream *stream = (struct stoa_stream *)object;
	int freed = 0;

	for (int side = SIDE_READ; side <= SIDE_WRITE; side++) {
		struct stream_turn *turn = &stream->control->turn[side];
		uint64_t favour = atomic_load_explicit(&turn->favour,
		                                       memory_order_relaxed);

		/* The seat's next owner writes other tokens; but they come
		 * round. */
		if (STREAM_FAVOUR_TOKEN(favour) == token)
			atomic_compare_exchange_strong_explicit(
			        &turn->favour, &favour, 0, memory_order_acq_rel,
			        memory_order_relaxed);
		if (!stoa_lock_held_by(&turn->lock, token))
			continue;
		atomic_store_explicit(&turn->kept, 0, memory_order_relaxed);
		stoa_lock_release(&turn->lock, token);
		freed++;
	}
	return freed;
}

static int holder_alive(void *context, uint32_t token)
{
	return stoa_object_alive(context, token);
}

/* Whether the calling thread itself has it. */
static int mine(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];

	return atomic_load_explicit(&end->held_token, memory_order_relaxed) ==
	               stoa_object_token(&stream->object) &&
	       atomic_load_explicit(&end->held_agent, memory_order_relaxed) ==
	               stoa_object_agent(&stream->object);
}

static int take_lock_in_slices(struct stoa_stream *stream,
                               enum stream_side side,
                               const struct stoa_lock_owner *owner,
                               struct stoa_deadline deadline)
{
	struct stoa_lock *lock = &stream->control->turn[side].lock;
	int result;

	for (;;) {
		struct stoa_deadline slice = deadline;
		int64_t left = stoa_deadline_left(deadline);

		if (left > STOA_SLICE_NS)
			slice = stoa_deadline_in(STOA_SLICE_NS);
		result = stoa_lock_acquire(lock, owner, slice);
		if (result != -ETIMEDOUT || left <= STOA_SLICE_NS)
			return result;
		result = stoa_object_health(&stream->object);
		if (result == 0)
			stoa_life_reprobe(&stream->object.space->life);
		if (result < 0)
			return result;
	}
}

int stream_take_lock_slowly(struct stoa_stream *stream, enum stream_side side,
                            struct stoa_deadline deadline)
{
	struct stoa_object *object = &stream->object;
	struct stream_turn *turn = &stream->control->turn[side];
	int now = deadline.kind == STOA_DEADLINE_NOW;
	int kept = atomic_load_explicit(&turn->kept, memory_order_relaxed) != 0;
	struct stoa_lock_owner owner = {
		.token = stoa_object_token(object),
		.spins = atomic_load_explicit(&object->processors,
		                              memory_order_relaxed) > 1 &&
		                         !kept ?
		                 SPINS :
		                 0,
		.alive = holder_alive,
		.context = object,
		.interruptible = (object->flags & STOA_INTERRUPTIBLE) != 0,
	};

	if (mine(stream, side))
		return stoa_fail(-EDEADLK,
		                 "this thread has %s of stream %s already; "
		                 "%s first",
		                 side == SIDE_WRITE ? "a reservation" : "a peek",
		                 object->name,
		                 side == SIDE_WRITE ? "commit or cancel" :
		                                      "consume");
	if (now)
		deadline = stoa_deadline_in(kept ? 0 : TURN_NS);
	int result = take_lock_in_slices(stream, side, &owner, deadline);
	if (result < 0)
		return now && result == -ETIMEDOUT ? -EBUSY : result;
	/* Taken over from a dead one, perhaps. */
	if (atomic_load_explicit(&turn->kept, memory_order_relaxed))
		atomic_store_explicit(&turn->kept, 0, memory_order_relaxed);
	return 0;
}

void stream_leave_slowly(struct stoa_stream *stream, enum stream_side side,
                         uint32_t token)
{
	stoa_lock_release(&stream->control->turn[side].lock, token);
}

/* ---- Favour -------------------------------------------------------------------- */

#define REVOKE_SPINS 1000
#define REVOKE_NAP_NS 50000
#define NO_BARRIER_NS 10000000
#define STREAK_DUE_MAX 65536u

static void nap(long ns)
{
	struct timespec time = { 0, ns };

	stoa_system_call(SYS_nanosleep, (long)&time, 0, 0, 0, 0, 0);
}

/* Waits until the favoured thread is out, and sees that it will not be in. */
static int await_outside(struct stoa_stream *stream, enum stream_side side,
                         uint32_t token, struct stoa_deadline deadline)
{
	struct stoa_seat *seat = stoa_object_seat(&stream->object,
	                                          SEAT_INDEX(token));
	int spins = 0;

	/* acquire: pairs with the release in stream_leave_turn() */
	while (seat && atomic_load_explicit(&seat->inside[side],
	                                    memory_order_acquire) != 0) {
		stoa_cpu_pause();
		if (++spins < REVOKE_SPINS)
			continue;
		if (!stoa_object_alive(&stream->object, token))
			return 0;
		int result = stoa_object_health(&stream->object);
		if (result < 0)
			return result;
		if (stoa_deadline_left(deadline) == 0)
			return deadline.kind == STOA_DEADLINE_NOW ? -EBUSY :
			                                            -ETIMEDOUT;
		nap(REVOKE_NAP_NS);
	}
	return 0;
}

int stream_revoke(struct stoa_stream *stream, enum stream_side side,
                  struct stoa_deadline deadline)
{
	_Atomic uint64_t *favour = &stream->control->turn[side].favour;
	uint64_t had = atomic_load_explicit(favour, memory_order_relaxed);
	uint32_t token = STREAM_FAVOUR_TOKEN(had);
	int result = 0;

	/* One's own needs no barrier: this thread isn't inside. */
	if ((had & ~STREAM_REVOKED) !=
	    STREAM_FAVOUR(stoa_object_token(&stream->object),
	                  stoa_thread_here.number)) {
		/* seq_cst: STREAM_FAVOUR */
		atomic_store_explicit(favour, had | STREAM_REVOKED,
		                      memory_order_seq_cst);
		if (stoa_sys_barrier() < 0)
			nap(NO_BARRIER_NS);
		result = await_outside(stream, side, token, deadline);
	}
	if (result < 0)
		stoa_lock_release(&stream->control->turn[side].lock,
		                  stoa_object_token(&stream->object));
	else /* release: the next to have the lock finds all done */
		atomic_store_explicit(favour, 0, memory_order_release);
	return result;
}

/* Whether this thread may be favoured; sees to it that barriers reach it. */
static int may_be_favoured(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	struct stoa_thread *thread = stoa_thread_self();
	stoa_peer peer = atomic_load_explicit(&stream->object.peer,
	                                      memory_order_relaxed);

	if (!thread)
		return 0;
	if (end->registered != peer) {
		if (stoa_sys_barrier_register() < 0)
			return 0;
		end->registered = peer;
		end->favourite = thread->number;
		end->streak_due = 0;
		end->granted = 0;
	}
	return end->favourite == thread->number;
}

void stream_grant(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	struct stream_turn *turn = &stream->control->turn[side];
	uint32_t token = stoa_object_token(&stream->object);

	end->streak = 0;
	/* Nor when others wait, or somebody took us for dead, or it is revoked
	 * half way. */
	if (atomic_load_explicit(&turn->kept, memory_order_relaxed) ||
	    atomic_load_explicit(&turn->lock.word, memory_order_relaxed) !=
	            token ||
	    atomic_load_explicit(&turn->favour, memory_order_relaxed) ||
	    !may_be_favoured(stream, side))
		return;
	/* It was lost before: longer next time. */
	if (end->granted && end->streak_due < STREAK_DUE_MAX)
		end->streak_due = 2 * end->streak_due + STREAM_STREAK;
	end->granted = 1;
	atomic_store_explicit(stream_inside(stream, side), 0,
	                      memory_order_relaxed);
	/* Seen by this thread alone, or by whoever has the lock next. */
	atomic_store_explicit(&turn->favour,
	                      STREAM_FAVOUR(token, stoa_thread_here.number),
	                      memory_order_release);
}

void stream_fence(struct stoa_stream *stream, enum stream_side side)
{
	/* seq_cst: EVENT_DEKKER. Refused: the slice is left. */
	if (atomic_load_explicit(
	            &stream->control->turn[stream_other(side)].favour,
	            memory_order_seq_cst) != 0)
		stoa_sys_barrier();
}

/* ---- Reservations and peeks ---------------------------------------------------- */

void stream_hold(struct stoa_stream *stream, enum stream_side side,
                 uint64_t bytes)
{
	struct stream_end *end = &stream->end[side];

	atomic_store_explicit(&stream->control->turn[side].kept, 1,
	                      memory_order_relaxed);
	end->held_bytes = bytes;
	atomic_store_explicit(&end->held_agent,
	                      stoa_object_agent(&stream->object),
	                      memory_order_relaxed);
	atomic_store_explicit(&end->held_token,
	                      stoa_object_token(&stream->object),
	                      memory_order_release);
}

int stream_check_held(struct stoa_stream *stream, enum stream_side side,
                      uint64_t bytes)
{
	struct stream_end *end = &stream->end[side];
	uint32_t token = stoa_object_token(&stream->object);
	const char *what = side == SIDE_WRITE ? "reservation" : "peek";

	/* acquire: pairs with the release in stream_hold() */
	if (atomic_load_explicit(&end->held_token, memory_order_acquire) !=
	            token ||
	    !stoa_lock_held_by(&stream->control->turn[side].lock, token))
		return stoa_fail(-ESTALE,
		                 "this process has no %s of stream %s (any "
		                 "more)",
		                 what, stream->object.name);
	if (bytes > end->held_bytes)
		return stoa_fail(-EMSGSIZE,
		                 "%llu bytes of stream %s, but the %s has %llu",
		                 (unsigned long long)bytes,
		                 stream->object.name, what,
		                 (unsigned long long)end->held_bytes);
	return 0;
}

void stream_leave_held(struct stoa_stream *stream, enum stream_side side)
{
	atomic_store_explicit(&stream->end[side].held_token, 0,
	                      memory_order_relaxed);
	atomic_store_explicit(&stream->control->turn[side].kept, 0,
	                      memory_order_relaxed);
	stream_leave_turn(stream, side);
	/* Those of the own side who didn't wait for the lock, but poll. */
	if (stoa_event_asked(&stream->object, stream_direction(side)))
		stoa_event_raise(&stream->object, stream_direction(side),
		                 INT_MAX);
}

/* ---- Room, bytes, and waiting for them ----------------------------------------- */

int64_t stream_usable_slowly(struct stoa_stream *stream, enum stream_side side,
                             uint64_t own)
{
	struct stream_end *end = &stream->end[side];
	/* acquire: STREAM_BYTES. seq_cst: EVENT_DEKKER */
	uint64_t other = atomic_load_explicit(
	        stream_position(stream, stream_other(side)),
	        memory_order_seq_cst);
	uint64_t used = side == SIDE_WRITE ? own - other : other - own;

	if (stoa_unlikely(used > end->map.capacity)) {
		if (stoa_object_healthy(&stream->object))
			return stoa_object_damaged(&stream->object,
			                           "its positions were "
			                           "overwritten");
		return stoa_object_health(&stream->object);
	}
	end->other = other;
	end->looked = 1;
	return (int64_t)(side == SIDE_WRITE ? end->map.capacity - used : used);
}

void stream_want_room(struct stoa_stream *stream, uint64_t bytes)
{
	_Atomic uint64_t *wanted = &stream->control->room_wanted;
	uint64_t least = atomic_load_explicit(wanted, memory_order_relaxed);

	/* seq_cst: EVENT_DEKKER; the truth is looked at next */
	while ((least == 0 || least > bytes) &&
	       !atomic_compare_exchange_weak_explicit(wanted, &least, bytes,
	                                              memory_order_seq_cst,
	                                              memory_order_relaxed))
		;
}

void stream_wake_readers(struct stoa_stream *stream)
{
	stoa_event_raise(&stream->object, STOA_READ, INT_MAX);
}

/* Bytes of room, whoever asks; made safe. */
static uint64_t room_now(struct stoa_stream *stream)
{
	uint64_t capacity = stream_capacity_of(
	        stream, atomic_load_explicit(&stream->control->geometry,
	                                     memory_order_relaxed));
	uint64_t head = atomic_load_explicit(stream_position(stream, SIDE_READ),
	                                     memory_order_seq_cst);
	uint64_t used = atomic_load_explicit(stream_position(stream,
	                                                     SIDE_WRITE),
	                                     memory_order_seq_cst) -
	                head;

	return used < capacity ? capacity - used : 0;
}

void stream_wake_writers(struct stoa_stream *stream)
{
	_Atomic uint64_t *wanted = &stream->control->room_wanted;
	uint64_t room = room_now(stream);
	uint32_t asked = stoa_event_asked(&stream->object, STOA_WRITE);

	if (!(asked & EVENT_OBSERVERS) &&
	    !((asked & EVENT_BELL) && room >= STOA_ATOMIC) &&
	    room < atomic_load_explicit(wanted, memory_order_seq_cst))
		return;
	atomic_exchange_explicit(wanted, 0, memory_order_seq_cst);
	stoa_event_raise(&stream->object, STOA_WRITE, INT_MAX);
}

/* Nothing was usable for one who may not wait. */
static int step_now(struct stoa_stream *stream, enum stream_side side)
{
	if (stream_gone(stream, side, stream_clock()))
		return 1;
	stoa_bell_rearm(&stream->object, stream_direction(side));
	return -EAGAIN;
}

/* 0: try again; 1: try once more, as the other side has gone; -errno. */
static int wait_step(struct stoa_waiter *waiter, const struct stream_need *need)
{
	struct stoa_stream *stream = (struct stoa_stream *)waiter->object;
	int slept = waiter->slept;

	if (need->deadline.kind == STOA_DEADLINE_NOW)
		return step_now(stream, need->side);
	int result = stoa_waiter_step(waiter);
	if (result < 0)
		return result;
	if (!waiter->armed)
		return 0;
	if (need->side == SIDE_WRITE)
		stream_want_room(stream, need->wanted);
	stream_fence(stream, need->side);
	waiter->blocker = stream_sole_other(stream, need->side);
	return waiter->slept != slept && !STOA_BUG(38) ?
	               stream_ask_gone(stream, need->side) :
	               stream_gone(stream, need->side, stream_clock());
}

int64_t stream_enter_slowly(struct stoa_stream *stream,
                            const struct stream_need *need, int64_t usable,
                            uint64_t *ret_own)
{
	struct stoa_waiter waiter;
	int step = 0;

	stoa_waiter_init(&waiter, &stream->object,
	                 stream_direction(need->side), need->deadline);
	stoa_waiter_may_yield(&waiter);
	while (usable >= 0 && usable < (int64_t)need->least) {
		if (step == 1 && need->side == SIDE_READ && usable > 0)
			break;
		stream_leave_turn(stream, need->side);
		if (step == 1) {
			usable = need->side == SIDE_READ ? 0 : -EPIPE;
			goto done;
		}
		step = wait_step(&waiter, need);
		if (step < 0) {
			usable = step;
			goto done;
		}
		usable = stream_take_turn(stream, need->side, need->lasting,
		                          need->deadline);
		if (usable < 0)
			goto done;
		usable = stream_usable(stream, need->side, need->least,
		                       ret_own);
	}
	if (usable < 0)
		stream_leave_turn(stream, need->side);
done:
	stoa_waiter_fini(&waiter);
	return usable;
}

/* ---- Readiness ------------------------------------------------------------------ */

int stream_ready(struct stoa_object *object, unsigned direction,
                 const struct stoa_wait *wait)
{
	struct stoa_stream *stream = (struct stoa_stream *)object;
	enum stream_side side = direction == STOA_READ ? SIDE_READ : SIDE_WRITE;
	struct stream_turn *turn = &stream->control->turn[side];
	uint64_t needed = wait && wait->amount ? wait->amount : STOA_ATOMIC;
	int ready;

	stream_fence(stream, side);
	if (side == SIDE_WRITE)
		ready = room_now(stream) >= needed;
	else /* seq_cst: EVENT_DEKKER */
		ready = atomic_load_explicit(stream_position(stream, SIDE_READ),
		                             memory_order_seq_cst) !=
		        atomic_load_explicit(stream_position(stream, SIDE_WRITE),
		                             memory_order_seq_cst);
	if (ready)
		return !atomic_load_explicit(&turn->kept,
		                             memory_order_relaxed) ||
		       !stoa_lock_taken(&turn->lock);
	return stream_gone(stream, side, stream_clock());
}

struct stoa_object *stoa_stream_object(struct stoa_stream *stream,
                                       unsigned direction)
{
	if (direction == STOA_WRITE)
		stream = stream_writer(stream);
	return atomic_load_explicit(&stream->ends, memory_order_relaxed) &
	                       direction ?
	               &stream->object :
	               NULL;
}

int stoa_stream_pollfd(struct stoa_stream *stream, unsigned direction)
{
	enum stream_side side = direction == STOA_READ ? SIDE_READ : SIDE_WRITE;

	if (direction != STOA_READ && direction != STOA_WRITE)
		return stoa_fail(-EINVAL,
		                 "poll descriptor of stream %s: the direction "
		                 "is STOA_READ or STOA_WRITE",
		                 stream->object.name);
	if (side == SIDE_WRITE)
		stream = stream_writer(stream);
	int result = stream_begin(stream, side);
	if (result == 0)
		result = stoa_bell_open(&stream->object, direction);
	return (int)stream_end_call(stream, result);
}

int stream_refuse(struct stoa_stream *stream, enum stream_side side)
{
	return stoa_fail(-EBADF, "this handle on stream %s has no end to %s",
	                 stream->object.name,
	                 side == SIDE_READ ? "read" : "write");
}
