/* SPDX-License-Identifier: MIT */
/* sync/range_lock.c: making and opening range locks; locking and unlocking.
 * Who may have what is in range_lock_table.c, the search for it in
 * range_lock_index.c; why it all holds is in range_lock_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <space/event.h>
#include <sync/range_lock_internal.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_DEFAULT 1024
#define OPEN_BURIES 64 /* of the dead at most, by who opens */
#define UNLOCK_NS INT64_C(1000000000) /* waited for a turn so long */
#define OPEN_FLAGS (STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE)

/* ---- Making and opening ------------------------------------------------------ */

static uint64_t file_bytes(uint64_t capacity)
{
	return OBJECT_KIND_OFFSET + RANGE_CONTROL_BYTES +
	       RANGE_WAITERS * sizeof(struct range_waiter) +
	       capacity * sizeof(struct range_record);
}

static int read_attributes(const char *name,
                           const struct stoa_range_lock_attributes *given,
                           uint64_t *ret_capacity)
{
	struct stoa_range_lock_attributes attributes = { 0 };

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(-EINVAL,
			                 "attributes of range lock %s: size "
			                 "must be sizeof(struct "
			                 "stoa_range_lock_attributes)",
			                 name);
		attributes = *given;
	}
	uint64_t reserved = attributes.unused;
	for (int i = 0; i < 4; i++)
		reserved |= attributes.reserved[i];
	if (reserved != 0)
		return stoa_fail(-EINVAL,
		                 "attributes of range lock %s: reserved fields "
		                 "must be zero",
		                 name);
	uint64_t capacity = attributes.capacity ?: CAPACITY_DEFAULT;
	if (capacity > RANGE_CAPACITY_MAX)
		return stoa_fail(-EINVAL,
		                 "attributes of range lock %s: the capacity is "
		                 "at most 2^24 ranges",
		                 name);
	*ret_capacity = capacity;
	return 0;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_range_lock *lock;
	int result = stoa_range_lock_open(space, name, flags & OPEN_FLAGS, 0,
	                                  NULL, &lock);

	if (result == 0)
		*ret_object = &lock->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_range_lock_close((struct stoa_range_lock *)object);
}

const struct stoa_object_kind stoa_range_lock_kind = {
	.name = "range_lock",
	.number = KIND_RANGE_LOCK,
	.bury = range_bury,
	.ready = range_ready,
	.open = open_object,
	.close = close_object,
};

static int set_places(struct stoa_range_lock *lock)
{
	const struct stoa_object_header *header = &lock->object.copy;
	uint64_t capacity = header->geometry[RANGE_GEOMETRY_CAPACITY];
	char *base = lock->object.base + OBJECT_KIND_OFFSET;

	if (capacity < 1 || capacity > RANGE_CAPACITY_MAX ||
	    file_bytes(capacity) != header->file_bytes)
		return stoa_fail(-EUCLEAN,
		                 "range lock %s is damaged: its header can't "
		                 "be true; remove it",
		                 lock->object.name);
	lock->capacity = (uint32_t)capacity;
	lock->control = (void *)base;
	lock->waiters = (void *)(base + RANGE_CONTROL_BYTES);
	lock->records = (void *)(lock->waiters + RANGE_WAITERS);
	return 0;
}

int stoa_range_lock_open(struct stoa_space *space, const char *name,
                         unsigned flags, mode_t mode,
                         const struct stoa_range_lock_attributes *attributes,
                         struct stoa_range_lock **ret_lock)
{
	struct stoa_object_plan plan = { .kind = &stoa_range_lock_kind,
		                         .mode = mode };
	struct stoa_range_lock *lock;
	const char *called = name ? name : "(unnamed)";
	int result = 0;

	if ((flags & ~OPEN_FLAGS) || (!name && !(flags & STOA_CREATE)))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for range lock %s: only "
		                 "STOA_CREATE (which one without a name needs), "
		                 "STOA_EXCLUSIVE and STOA_INTERRUPTIBLE",
		                 flags, called);
	if (flags & STOA_CREATE) {
		uint64_t *capacity = &plan.geometry[RANGE_GEOMETRY_CAPACITY];

		result = read_attributes(called, attributes, capacity);
		plan.file_bytes = file_bytes(*capacity);
	}
	if (result < 0)
		return result;
	lock = aligned_alloc(STOA_CACHE_LINE,
	                     (sizeof *lock + STOA_CACHE_LINE - 1) &
	                             ~(size_t)(STOA_CACHE_LINE - 1));
	if (!lock)
		return stoa_fail(-ENOMEM, "no memory to open range lock %s",
		                 called);
	memset(lock, 0, sizeof *lock);
	result = stoa_object_open(&lock->object, space, name,
	                          flags | STOA_READ | STOA_WRITE,
	                          &stoa_range_lock_kind, &plan);
	if (result < 0)
		goto free;
	result = set_places(lock);
	if (result >= 0)
		result = stoa_object_sit(&lock->object);
	if (result >= 0)
		result = stoa_object_bury(&lock->object, OPEN_BURIES);
	if (result < 0)
		goto close;
	*ret_lock = lock;
	return 0;

close:
	stoa_object_close(&lock->object);
	stoa_object_abandon(&lock->object);
free:
	free(lock);
	return result;
}

int stoa_range_lock_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_range_lock_kind);
}

int stoa_range_lock_remove(struct stoa_range_lock *lock)
{
	return stoa_object_remove(&lock->object);
}

struct stoa_object *stoa_range_lock_object(struct stoa_range_lock *lock)
{
	return &lock->object;
}

/* ---- Requests ----------------------------------------------------------------- */

/* As whom: the handle's seat may be another than it was, after a wait. */
static void set_owner(struct stoa_range_lock *lock,
                      struct range_request *request)
{
	struct stoa_object *object = &lock->object;

	request->token = stoa_object_token(object);
	request->owner = request->token;
	if (request->process)
		request->owner = get(object->peer) | RANGE_OWNER_PROCESS;
}

int range_read_request(struct stoa_range_lock *lock,
                       const struct stoa_range *range,
                       struct range_request *request)
{
	static const struct stoa_range whole = { .mode = STOA_RANGE_EXCLUSIVE };
	struct stoa_thread *thread = stoa_thread_self();

	if (!range)
		range = &whole;
	request->start = range->start;
	request->last = UINT64_MAX;
	if (stoa_unlikely(range->reserved != 0 ||
	                  (range->length != 0 &&
	                   __builtin_add_overflow(range->start,
	                                          range->length - 1,
	                                          &request->last))))
		return stoa_fail(-EINVAL,
		                 "a range of %s ends at 2^64 at most; length 0 "
		                 "means up to there; reserved fields are zero",
		                 lock->object.name);
	request->mode = range->mode & ~STOA_RANGE_PROCESS;
	request->process = !!(range->mode & STOA_RANGE_PROCESS);
	request->thread = thread ? thread->number : 0;
	request->place = 0;
	request->queueing = 0;
	request->pass = 0;
	request->eased = 0;
	request->blockers = 0;
	set_owner(lock, request);
	return 0;
}

static int check_mode(struct stoa_range_lock *lock, uint32_t mode)
{
	if (stoa_likely(mode == STOA_RANGE_SHARED ||
	                mode == STOA_RANGE_EXCLUSIVE))
		return 0;
	return stoa_fail(-EINVAL,
	                 "a range of %s is locked STOA_RANGE_SHARED or "
	                 "STOA_RANGE_EXCLUSIVE, with STOA_RANGE_PROCESS if "
	                 "wanted; 0x%x is neither",
	                 lock->object.name, mode);
}

/* Whatever was done to a poisoned or damaged lock was in vain. */
int range_end(struct stoa_range_lock *lock, int result)
{
	if (stoa_likely(stoa_object_healthy(&lock->object)))
		return result;
	return stoa_object_health(&lock->object);
}

static int begin(struct stoa_range_lock *lock)
{
	int result = stoa_object_enter(&lock->object);

	if (stoa_unlikely(result < 0))
		return result;
	return stoa_likely(stoa_object_healthy(&lock->object)) ?
	               0 :
	               stoa_object_health(&lock->object);
}

/* ---- Locking and unlocking ------------------------------------------------------ */

static void wake(struct stoa_range_lock *lock)
{
	struct stoa_object *object = &lock->object;

	if (stoa_event_asked(object, STOA_READ))
		stoa_event_raise(object, STOA_READ, INT_MAX);
	if (stoa_event_asked(object, STOA_WRITE))
		stoa_event_raise(object, STOA_WRITE, INT_MAX);
}

static void tell_spinners(struct stoa_range_lock *lock)
{
	atomic_fetch_add_explicit(&lock->control->changes, 1,
	                          memory_order_release);
}

/* Ends the turn of a request, which may have made room for others. */
static int end_turn(struct stoa_range_lock *lock,
                    struct range_request *request, int result)
{
	if (request->eased && get(lock->control->waiters_used) != 0)
		tell_spinners(lock);
	range_turn_end(lock);
	if (stoa_unlikely(result == -EUCLEAN))
		return stoa_object_damaged(&lock->object,
		                           "its ranges can't be true");
	if (request->eased)
		wake(lock);
	request->eased = 0;
	return result;
}

static int try(struct stoa_range_lock *lock, struct range_request *request,
               struct stoa_deadline deadline)
{
	int result = range_turn_begin(lock, deadline);

	request->blockers = 0;
	if (stoa_unlikely(result < 0))
		return result;
	result = range_admit(lock, request);
	if (result == 0) {
		result = range_apply(lock, request);
		request->eased |= result < 0 && request->place;
		range_line_leave(lock, request);
	} else if (result == -EAGAIN && request->queueing) {
		range_line_enter(lock, request);
	}
	return end_turn(lock, request, result);
}

int range_bury_blockers(struct stoa_range_lock *lock,
                        const struct range_request *request)
{
	int buried = 0;

	for (uint32_t i = 0; i < request->blockers; i++) {
		uint32_t token = RANGE_WORD_TOKEN(request->blocker[i].word);

		if (!stoa_object_alive_or_bury(&lock->object, token))
			buried = 1;
	}
	return buried;
}

stoa_peer range_peer_of(struct stoa_range_lock *lock, uint64_t word)
{
	uint32_t token = RANGE_WORD_TOKEN(word);
	struct stoa_seat *seat = stoa_object_seat(&lock->object,
	                                          SEAT_INDEX(token));
	uint64_t owner = seat ? get(seat->owner) : 0;

	return ((uint32_t)owner & SEAT_GENERATION_MASK) ==
	                       SEAT_GENERATION(token) ?
	               owner >> 16 :
	               0;
}

/* Goes on from a try with this result. Behind the dead that hold a range others
 * may be, dead in line for it, and more than one try takes note of. */
static int try_past_dead(struct stoa_range_lock *lock,
                         struct range_request *request,
                         struct stoa_deadline deadline, int result)
{
	for (int i = 0; i < RANGE_BURIALS && result == -EAGAIN &&
	                range_bury_blockers(lock, request);
	     i++)
		result = try(lock, request, deadline);
	return result;
}

/* Who is in the way, for the sleep and for others who look for circles. */
static void note_blockers(struct stoa_range_lock *lock,
                          const struct range_request *request,
                          struct stoa_waiter *waiter)
{
	struct stoa_wait_note *note = waiter->note;

	note->blockers = request->blockers;
	memset(note->blocker, 0, sizeof note->blocker);
	for (uint32_t i = 0; i < request->blockers; i++) {
		const struct range_blocker *blocker = &request->blocker[i];
		uint64_t thread = RANGE_WORD_THREAD(blocker->word);

		note->blocker[i] = range_peer_of(lock, blocker->word) |
		                   thread << 48 |
		                   (blocker->waiting ? STOA_NOTE_IN_LINE : 0);
	}
	waiter->blocker = AGENT_PEER(note->blocker[0]);
}

static int try_again(struct stoa_range_lock *lock,
                     struct range_request *request,
                     struct stoa_waiter *waiter)
{
	int result;

	set_owner(lock, request);
	request->pass = waiter->note->pass;
	waiter->note->pass = 0;
	result = try(lock, request, waiter->deadline);
	if (waiter->slept)
		result = try_past_dead(lock, request, waiter->deadline, result);
	if (result == -EAGAIN)
		note_blockers(lock, request, waiter);
	return result;
}

static int wait_for(struct stoa_range_lock *lock,
                    struct range_request *request,
                    struct stoa_deadline deadline)
{
	struct stoa_wait_note note = { .flags = WAITS_DETECTS | WAITS_RANGE,
		                       .mode = request->mode,
		                       .start = request->start,
		                       .last = request->last };
	struct stoa_waiter waiter;
	uint32_t seen = 0;
	int result = -EAGAIN, step;

	stoa_waiter_init(&waiter, &lock->object,
	                 request->mode == STOA_RANGE_SHARED ? STOA_READ :
	                                                      STOA_WRITE,
	                 deadline);
	waiter.note = &note;
	request->queueing = 1;
	do {
		/* acquire: pairs with the release in tell_spinners() */
		uint32_t changes = atomic_load_explicit(
		        &lock->control->changes, memory_order_acquire);

		if (waiter.armed || !request->place || changes != seen)
			result = try_again(lock, request, &waiter);
		seen = changes;
		step = result == -EAGAIN ? stoa_waiter_step(&waiter) : result;
	} while (result == -EAGAIN && step == 0);
	stoa_waiter_fini(&waiter);
	if (result == -EAGAIN && request->place) {
		range_line_leave(lock, request);
		tell_spinners(lock);
		wake(lock);
	}
	return step;
}

/* Nothing was waited for, but the dead are in nobody's way. */
static int try_once(struct stoa_range_lock *lock,
                    struct range_request *request)
{
	return try_past_dead(lock, request, STOA_NOW,
	                     try(lock, request, STOA_NOW));
}

static int no_room(struct stoa_range_lock *lock)
{
	return stoa_fail(-ENOLCK,
	                 "range lock %s has no room for more than its %u "
	                 "ranges; unlock some, or make it with a larger "
	                 "capacity",
	                 lock->object.name, lock->capacity);
}

/* What the dead have may be the room that is missing; or what was freed
 * without the table's lock, by one who has not said so yet: who buries, or
 * closes, and is stopped or died over it. Then another try. */
static void make_room(struct stoa_range_lock *lock)
{
	stoa_object_bury(&lock->object, INT_MAX);
	range_find_freed(lock);
}

static int lock_range(struct stoa_range_lock *lock,
                      const struct stoa_range *range,
                      struct stoa_deadline deadline)
{
	struct range_request request;
	int result = range_read_request(lock, range, &request);

	if (stoa_likely(result == 0))
		result = check_mode(lock, request.mode);
	if (stoa_unlikely(result < 0))
		return result;
	if (get(lock->used) <= (uint32_t)request.process)
		set(lock->used, 1u + (uint32_t)request.process);
	if (deadline.kind == STOA_DEADLINE_NOW)
		return try_once(lock, &request);
	result = try(lock, &request, deadline);
	if (result == -EAGAIN)
		result = wait_for(lock, &request, deadline);
	return result;
}

int stoa_range_lock_lock(struct stoa_range_lock *lock,
                         const struct stoa_range *range,
                         struct stoa_deadline deadline)
{
	int result = begin(lock) ?: lock_range(lock, range, deadline);

	if (stoa_unlikely(result == -ENOLCK)) {
		make_room(lock);
		result = lock_range(lock, range, deadline);
	}
	if (stoa_unlikely(result == -ENOLCK))
		result = no_room(lock);
	return range_end(lock, result);
}

/* Somebody was stopped in the middle of its turn. */
static int unlock_unturned(struct stoa_range_lock *lock,
                           struct range_request *request)
{
	int result = range_release_unturned(lock, request);

	if (request->eased) {
		tell_spinners(lock);
		wake(lock);
	}
	if (result < 0)
		return stoa_fail(result,
		                 "a part of a range of %s can't be unlocked: a "
		                 "process that was changing its table is "
		                 "stopped; continue or end that",
		                 lock->object.name);
	return 0;
}

static int unlock(struct stoa_range_lock *lock, struct range_request *request)
{
	int result = range_turn_begin(lock, STOA_NOW); /* reads no clock */

	request->mode = 0;
	if (stoa_unlikely(result == -EAGAIN))
		result = range_turn_begin(lock, stoa_deadline_in(UNLOCK_NS));
	if (stoa_unlikely(result == -ETIMEDOUT))
		return unlock_unturned(lock, request);
	if (stoa_unlikely(result < 0))
		return result;
	return end_turn(lock, request, range_apply(lock, request));
}

int stoa_range_lock_unlock(struct stoa_range_lock *lock,
                           const struct stoa_range *range)
{
	struct range_request request;
	int result = begin(lock) ?: range_read_request(lock, range, &request);

	if (stoa_unlikely(result < 0))
		return result;
	result = unlock(lock, &request);
	if (stoa_unlikely(result == -ENOLCK)) {
		make_room(lock);
		result = unlock(lock, &request);
	}
	if (stoa_unlikely(result == -ENOLCK))
		result = no_room(lock);
	return range_end(lock, result);
}

/* ---- Closing ---------------------------------------------------------------------- */

/* In its turn if it can be had soon, so that the index needs no sweep. What
 * is the process's is found by its token. */
static void give_up(struct stoa_range_lock *lock)
{
	struct range_request request;

	if (get(lock->used) == 0 ||
	    range_read_request(lock, NULL, &request) < 0)
		return;
	if (get(lock->used) == 1 && range_turn_begin(lock, STOA_NOW) == 0) {
		request.mode = 0;
		end_turn(lock, &request, range_apply(lock, &request));
		return;
	}
	range_bury(&lock->object, request.token);
	stoa_event_broadcast(&lock->object);
}

void stoa_range_lock_close(struct stoa_range_lock *lock)
{
	if (!lock)
		return;
	struct stoa_object *object = &lock->object;
	stoa_peer self = get(object->space->life.self->peer);

	/* In a forked child the seat is the parent's, and what it holds. */
	if (self != 0 && get(object->peer) == self)
		give_up(lock);
	stoa_object_close(object);
	free(lock);
}
