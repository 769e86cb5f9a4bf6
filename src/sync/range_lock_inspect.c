/* SPDX-License-Identifier: MIT */
/* sync/range_lock_inspect.c: who has what, and who waits for whom. */
#include <base/deadline.h>
#include <base/error.h>
#include <space/event.h>
#include <sync/range_lock_internal.h>

#include <errno.h>

#define BATCH 64 /* records looked at in one turn */

static pid_t pid_of(struct stoa_range_lock *lock, uint64_t word)
{
	struct stoa_seat *seat = stoa_object_seat(
	        &lock->object, SEAT_INDEX(RANGE_WORD_TOKEN(word)));

	return seat ? get(seat->pid) : 0;
}

static struct stoa_range_holder describe(struct stoa_range_lock *lock,
                                         const struct range_blocker *blocker,
                                         uint64_t owner)
{
	uint64_t word = blocker->word;

	return (struct stoa_range_holder){
		.range = { .start = blocker->start,
		           .length = blocker->last == UINT64_MAX ?
		                             0 :
		                             blocker->last - blocker->start + 1,
		           .mode = RANGE_WORD_MODE(word) |
		                   (owner & RANGE_OWNER_PROCESS ?
		                            STOA_RANGE_PROCESS :
		                            0) },
		.waiting = (uint32_t)blocker->waiting,
		.thread = RANGE_WORD_THREAD(word),
		.peer = range_peer_of(lock, word),
		.pid = pid_of(lock, word),
	};
}

/* Looks once. 0: free. -EAGAIN: not, or not known now (no blockers). */
static int look(struct stoa_range_lock *lock, struct range_request *request)
{
	int result = range_turn_begin(lock, STOA_NOW);

	request->blockers = 0;
	if (result < 0)
		return result;
	result = range_admit(lock, request);
	range_turn_end(lock);
	return result == -EUCLEAN ?
	               stoa_object_damaged(&lock->object,
	                                   "its ranges can't be true") :
	               result;
}

int stoa_range_lock_test(struct stoa_range_lock *lock,
                         const struct stoa_range *range,
                         struct stoa_range_holder *ret_holder)
{
	struct range_request request;
	int result = stoa_object_enter(&lock->object) ?:
	             stoa_object_health(&lock->object);

	if (result == 0)
		result = range_read_request(lock, range, &request);
	if (result < 0)
		return result;
	if (request.mode != STOA_RANGE_SHARED &&
	    request.mode != STOA_RANGE_EXCLUSIVE)
		return stoa_fail(-EINVAL,
		                 "whether a range of %s could be locked is asked "
		                 "for STOA_RANGE_SHARED or STOA_RANGE_EXCLUSIVE",
		                 lock->object.name);
	result = look(lock, &request);
	for (int i = 0; i < RANGE_BURIALS && result == -EAGAIN &&
	                range_bury_blockers(lock, &request);
	     i++)
		result = look(lock, &request);
	if (result == -EAGAIN && request.blockers) {
		if (ret_holder)
			*ret_holder = describe(lock, &request.blocker[0], 0);
		result = 1;
	}
	return range_end(lock, result);
}

int range_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait)
{
	struct stoa_range_lock *lock = (struct stoa_range_lock *)object;
	struct range_request request;
	int result = range_read_request(lock, wait ? wait->detail : NULL,
	                                &request);

	if (result < 0)
		return result;
	request.mode = direction == STOA_READ ? STOA_RANGE_SHARED :
	                                        STOA_RANGE_EXCLUSIVE;
	result = look(lock, &request);
	if (result == -EAGAIN)
		return request.blockers ? 0 : STOA_READY_SOON;
	return result == 0 ? 1 : result;
}

/* ---- All of them ------------------------------------------------------------- */

struct copies {
	int count;
	struct {
		struct range_blocker range;
		uint64_t owner, blocker;
	} entry[BATCH];
};

static void copy_record(struct stoa_range_lock *lock, uint32_t at,
                        struct copies *copies)
{
	struct range_record *record = &lock->records[at];
	uint64_t word = get(record->word);

	if (word == 0)
		return;
	copies->entry[copies->count].range = (struct range_blocker){
		word, get(record->start), get(record->last), 0
	};
	copies->entry[copies->count].blocker = 0;
	copies->entry[copies->count++].owner = get(record->owner);
}

static void copy_waiter(struct stoa_range_lock *lock, uint32_t at,
                        struct copies *copies)
{
	struct range_waiter *waiter = &lock->waiters[at];
	uint64_t word = get(waiter->word);

	if (word == 0)
		return;
	copies->entry[copies->count].range = (struct range_blocker){
		word, get(waiter->start), get(waiter->last), 1
	};
	copies->entry[copies->count].blocker = get(waiter->blocker);
	copies->entry[copies->count++].owner = get(waiter->owner);
}

/* Copies what there is among a batch of records, then of waiters. 0: that was
 * the end of them. */
static int copy_batch(struct stoa_range_lock *lock, uint32_t from,
                      struct copies *copies)
{
	int result = range_turn_begin(lock, STOA_NOW);

	copies->count = 0;
	if (result < 0)
		return result;
	uint32_t records = range_fresh(lock);
	uint32_t waiters = from < lock->capacity ? 0 : from - lock->capacity;
	uint32_t used = range_waiters_used(lock);
	for (uint32_t i = 0; i < BATCH; i++) {
		if (from < lock->capacity && from + i < records)
			copy_record(lock, from + i, copies);
		else if (from >= lock->capacity && waiters + i < used)
			copy_waiter(lock, waiters + i, copies);
	}
	range_turn_end(lock);
	return from < lock->capacity || waiters + BATCH < used;
}

static int visit_batch(struct stoa_range_lock *lock,
                       const struct copies *copies,
                       int (*visit)(const struct stoa_range_holder *, void *),
                       void *context, int *visited)
{
	for (int i = 0; i < copies->count; i++) {
		struct stoa_range_holder holder =
		        describe(lock, &copies->entry[i].range,
		                 copies->entry[i].owner);
		uint64_t blocker = copies->entry[i].blocker;

		if (blocker) {
			holder.blocker = range_peer_of(lock, blocker);
			holder.blocker_pid = pid_of(lock, blocker);
		}
		++*visited;
		int result = visit(&holder, context);
		if (result != 0)
			return result;
	}
	return 0;
}

int stoa_range_lock_each(struct stoa_range_lock *lock,
                         int (*visit)(const struct stoa_range_holder *,
                                      void *context),
                         void *context)
{
	struct copies copies;
	int visited = 0, more = 1;
	int result = stoa_object_enter(&lock->object) ?:
	             stoa_object_health(&lock->object);

	for (uint32_t from = 0; result == 0 && more;) {
		more = copy_batch(lock, from, &copies);
		if (more < 0)
			return range_end(lock, more);
		result = visit_batch(lock, &copies, visit, context, &visited);
		from += BATCH;
		if (from < lock->capacity && from >= range_fresh(lock))
			from = lock->capacity;
		else if (from > lock->capacity && from - BATCH < lock->capacity)
			from = lock->capacity;
	}
	return result != 0 ? result : range_end(lock, visited);
}

static void count_ranges(struct stoa_range_lock *lock,
                         struct stoa_range_lock_status *status)
{
	uint32_t fresh = range_fresh(lock), used = range_waiters_used(lock);

	for (uint32_t i = 0; i < fresh; i++) {
		uint64_t word = get(lock->records[i].word);

		status->ranges += word != 0;
		status->exclusive += word != 0 && RANGE_WORD_MODE(word) ==
		                                          STOA_RANGE_EXCLUSIVE;
	}
	for (uint32_t i = 0; i < used; i++)
		status->waiting += get(lock->waiters[i].word) != 0;
}

static uint32_t count_users(struct stoa_object *object)
{
	uint32_t seats = stoa_object_seats(object), users = 0;

	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(object, i);
		uint64_t owner = seat ? get(seat->owner) : 0;

		users += owner >> 16 != 0 &&
		         stoa_life_alive(&object->space->life, owner >> 16);
	}
	return users;
}

int stoa_range_lock_stat(struct stoa_range_lock *lock,
                         struct stoa_range_lock_status *ret_status)
{
	const struct stoa_object_header *header = &lock->object.copy;
	struct stoa_range_lock_status status = {
		.size = sizeof status,
		.capacity = lock->capacity,
		.created_ns = header->created_ns,
		.creator_pid = header->creator_pid,
		.generation = header->generation,
	};
	int result = stoa_object_enter(&lock->object) ?:
	             stoa_object_health(&lock->object);

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "stat of range lock %s: size must be "
		                 "sizeof(struct stoa_range_lock_status)",
		                 lock->object.name);
	if (result == 0)
		result = range_turn_begin(lock, STOA_NOW);
	if (result < 0)
		return result;
	count_ranges(lock, &status);
	range_turn_end(lock);
	status.users = count_users(&lock->object);
	result = range_end(lock, 0);
	if (result == 0)
		*ret_status = status;
	return result;
}
