/* SPDX-License-Identifier: MIT */
/* sync/rwlock_inspect.c: who waits, and how an rwlock stands. */
#include <base/error.h>
#include <base/system.h>
#include <sync/rwlock_internal.h>

#include <limits.h>

/* ---- Those who wait ---------------------------------------------------------- */

static int take_place(struct rwlock_call *call, uint64_t agent)
{
	struct stoa_rwlock *rwlock = call->rwlock;

	for (int i = 0; i < RWLOCK_WAITERS; i++) {
		_Atomic uint64_t *word = &rwlock->waiters[i].agent;
		uint64_t old = atomic_load_explicit(word, memory_order_relaxed);

		if (old != 0 && (!call->ask || rwlock_alive(rwlock, old)))
			continue;
		/* A dead writer's bit is found to be nobody's by readers. */
		if (!atomic_compare_exchange_strong_explicit(
		            word, &old, agent, memory_order_acq_rel,
		            memory_order_relaxed))
			continue;
		atomic_store_explicit(&rwlock->waiters[i].since_ns,
		                      stoa_sys_clock_ns(CLOCK_REALTIME_COARSE),
		                      memory_order_relaxed);
		atomic_store_explicit(&rwlock->waiters[i].tid,
		                      stoa_thread_here.tid,
		                      memory_order_relaxed);
		return i;
	}
	return -1;
}

static int has_bit(struct rwlock_call *call, unsigned direction)
{
	return direction == STOA_WRITE &&
	       call->rwlock->preference == STOA_RWLOCK_WRITERS;
}

int rwlock_enlist(struct rwlock_call *call, unsigned direction, int place)
{
	_Atomic uint32_t *waiting = &call->rwlock->shared->waiting;

	if (place < 0)
		place = take_place(call,
		                   call->me | (direction == STOA_WRITE ?
		                                       RWLOCK_WRITES :
		                                       0));
	if (place >= 0 && has_bit(call, direction) &&
	    !(atomic_load_explicit(waiting, memory_order_relaxed) >> place & 1))
		atomic_fetch_or_explicit(waiting, 1u << place,
		                         memory_order_seq_cst);
	return place;
}

void rwlock_delist(struct rwlock_call *call, unsigned direction, int place)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	uint64_t agent = call->me | (direction == STOA_WRITE ? RWLOCK_WRITES :
	                                                        0);

	/* The bit first: a newcomer's must not go with it. seq_cst:
	 * EVENT_DEKKER */
	if (has_bit(call, direction))
		atomic_fetch_and_explicit(&rwlock->shared->waiting,
		                          ~(1u << place), memory_order_seq_cst);
	atomic_compare_exchange_strong_explicit(
	        &rwlock->waiters[place].agent, &agent, 0, memory_order_release,
	        memory_order_relaxed);
	if (has_bit(call, direction) &&
	    atomic_load_explicit(&rwlock->shared->writer,
	                         memory_order_seq_cst) == 0 &&
	    stoa_event_asked(&rwlock->object, STOA_READ))
		stoa_event_raise(&rwlock->object, STOA_READ, INT_MAX);
}

/* ---- Readiness --------------------------------------------------------------------- */

static int entry_is_free(struct stoa_rwlock *rwlock, uint32_t index)
{
	/* seq_cst: EVENT_DEKKER */
	uint64_t owner = atomic_load_explicit(&rwlock->entries[index].owner,
	                                      memory_order_seq_cst);

	return owner == 0 || !rwlock_alive(rwlock, owner);
}

static int any_free_entry(struct stoa_rwlock *rwlock)
{
	for (uint32_t i = 0; i < rwlock->readers; i++)
		if (entry_is_free(rwlock, i))
			return 1;
	return 0;
}

static int ready_for_reader(struct stoa_rwlock *rwlock)
{
	uint32_t bits = atomic_load_explicit(&rwlock->shared->waiting,
	                                     memory_order_seq_cst);

	for (uint32_t i = 0; i < RWLOCK_WAITERS; i++) {
		uint64_t agent;

		if (!(bits >> i & 1) ||
		    rwlock->preference == STOA_RWLOCK_READERS)
			continue;
		agent = atomic_load_explicit(&rwlock->waiters[i].agent,
		                             memory_order_acquire);
		if ((agent & RWLOCK_WRITES) && rwlock_alive(rwlock, agent))
			return 0;
	}
	if (any_free_entry(rwlock))
		return 1;
	/* seq_cst: EVENT_DEKKER, whoever frees one is to tell */
	atomic_exchange_explicit(&rwlock->shared->full, 1,
	                         memory_order_seq_cst);
	return any_free_entry(rwlock);
}

static int ready_for_writer(struct stoa_rwlock *rwlock)
{
	uint32_t used = rwlock_used(rwlock);

	for (uint32_t i = 0; i < used; i++)
		if (!entry_is_free(rwlock, i))
			return 0;
	return 1;
}

int rwlock_ready(struct stoa_object *object, unsigned direction,
                 const struct stoa_wait *wait)
{
	struct stoa_rwlock *rwlock = (struct stoa_rwlock *)object;
	uint64_t word = atomic_load_explicit(&rwlock->shared->writer,
	                                     memory_order_seq_cst);

	(void)wait;
	/* What can't be had any more, nobody waits for either. */
	if (word == RWLOCK_BROKEN || word == RWLOCK_ABANDONED)
		return 1;
	if (word != 0 && !(word & RWLOCK_PENDING))
		return !rwlock_alive(rwlock, word);
	if (word != 0 &&
	    (direction == STOA_WRITE ||
	     rwlock->preference == STOA_RWLOCK_WRITERS) &&
	    rwlock_alive(rwlock, word))
		return 0;
	return direction == STOA_WRITE ? ready_for_writer(rwlock) :
	                                 ready_for_reader(rwlock);
}

/* ---- For people ----------------------------------------------------------------------- */

static pid_t pid_of(struct stoa_rwlock *rwlock, uint64_t word)
{
	struct life_record record;

	if (stoa_life_record(&rwlock->object.space->life,
	                     LIFE_SLOT(AGENT_PEER(word)), &record) < 0 ||
	    record.generation != LIFE_GENERATION(AGENT_PEER(word)))
		return 0;
	return record.pid;
}

/*
 * The instant of a tick count, between two instants of which both ticks and
 * time are known: that of the making and now. So the rate of the ticks needs
 * not be known, and an error can't leave that interval.
 */
static int64_t realtime_of(const struct stoa_rwlock *rwlock, uint64_t ticks)
{
	int64_t now_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	int64_t real_ns = stoa_sys_clock_ns(CLOCK_REALTIME);
	uint64_t now = stoa_cpu_ticks();
	double whole = (double)(now - rwlock->made_ticks);
	double part = (double)(now - ticks);

	if (ticks < rwlock->made_ticks || ticks > now ||
	    now <= rwlock->made_ticks || rwlock->made_ns < 0 ||
	    now_ns < rwlock->made_ns)
		return real_ns;
	return real_ns -
	       (int64_t)((double)(now_ns - rwlock->made_ns) * part / whole);
}

static struct stoa_rwlock_user user_of(struct stoa_rwlock *rwlock,
                                       uint64_t word, unsigned mode)
{
	return (struct stoa_rwlock_user){ .peer = AGENT_PEER(word),
		                          .pid = pid_of(rwlock, word),
		                          .mode = mode,
		                          .alive = rwlock_alive(rwlock, word) };
}

/* One who writes, not one who wants to. */
static int writes(uint64_t word)
{
	return word != 0 && word != RWLOCK_ABANDONED &&
	       !(word & RWLOCK_PENDING);
}

static int find_writer(struct stoa_rwlock *rwlock,
                       struct stoa_rwlock_user *ret_user)
{
	struct rwlock_shared *shared = rwlock->shared;
	uint64_t word = atomic_load_explicit(&shared->writer,
	                                     memory_order_acquire);

	if (!writes(word))
		return 0;
	*ret_user = user_of(rwlock, word, STOA_WRITE);
	/* acquire: pairs with the release in got_write() */
	if (atomic_load_explicit(&shared->told, memory_order_acquire) == word) {
		ret_user->tid = atomic_load_explicit(&shared->tid,
		                                     memory_order_relaxed);
		ret_user->since_ns = realtime_of(
		        rwlock, atomic_load_explicit(&shared->since,
		                                     memory_order_relaxed));
	}
	return 1;
}

static int find_reader(struct stoa_rwlock *rwlock, uint32_t index,
                       struct stoa_rwlock_user *ret_user)
{
	struct rwlock_entry *entry = &rwlock->entries[index];
	uint64_t owner = atomic_load_explicit(&entry->owner,
	                                      memory_order_acquire);

	if (owner == 0)
		return 0;
	*ret_user = user_of(rwlock, owner, STOA_READ);
	/* acquire: pairs with the release in got_read() */
	if (atomic_load_explicit(&entry->told, memory_order_acquire) == owner) {
		ret_user->tid = atomic_load_explicit(&entry->tid,
		                                     memory_order_relaxed);
		ret_user->since_ns = realtime_of(
		        rwlock, atomic_load_explicit(&entry->since,
		                                     memory_order_relaxed));
	}
	return 1;
}

static int find_waiter(struct stoa_rwlock *rwlock, uint32_t index,
                       struct stoa_rwlock_user *ret_user)
{
	struct rwlock_waiter *waiter = &rwlock->waiters[index];
	uint64_t agent = atomic_load_explicit(&waiter->agent,
	                                      memory_order_acquire);

	if (agent == 0)
		return 0;
	*ret_user = user_of(rwlock, agent,
	                    agent & RWLOCK_WRITES ? STOA_WRITE : STOA_READ);
	ret_user->tid = atomic_load_explicit(&waiter->tid,
	                                     memory_order_relaxed);
	ret_user->since_ns = atomic_load_explicit(&waiter->since_ns,
	                                          memory_order_relaxed);
	return ret_user->alive;
}

static int begin(struct stoa_rwlock *rwlock)
{
	int result = stoa_object_enter(&rwlock->object);

	return result < 0 ? result : stoa_object_health(&rwlock->object);
}

static int finish(struct stoa_rwlock *rwlock, int result)
{
	if (atomic_load_explicit(&rwlock->object.poisoned,
	                         memory_order_relaxed))
		return stoa_object_health(&rwlock->object);
	return result;
}

int stoa_rwlock_each_holder(struct stoa_rwlock *rwlock,
                            int (*visit)(const struct stoa_rwlock_user *user,
                                         void *context),
                            void *context)
{
	struct stoa_rwlock_user user;
	int visited = 0, result = begin(rwlock);

	if (result < 0)
		return result;
	if (find_writer(rwlock, &user)) {
		visited++;
		result = visit(&user, context);
	}
	for (uint32_t i = 0; i < rwlock_used(rwlock) && result == 0; i++) {
		if (!find_reader(rwlock, i, &user))
			continue;
		visited++;
		result = visit(&user, context);
	}
	return finish(rwlock, result != 0 ? result : visited);
}

int stoa_rwlock_each_waiter(struct stoa_rwlock *rwlock,
                            int (*visit)(const struct stoa_rwlock_user *user,
                                         void *context),
                            void *context)
{
	struct stoa_rwlock_user user;
	int visited = 0, result = begin(rwlock);

	for (uint32_t i = 0; i < RWLOCK_WAITERS && result == 0; i++) {
		if (!find_waiter(rwlock, i, &user))
			continue;
		visited++;
		result = visit(&user, context);
	}
	return finish(rwlock, result != 0 ? result : visited);
}

static int count_user(const struct stoa_rwlock_user *user, void *context)
{
	uint32_t *counts = context; /* reading, writing */

	if (user->alive)
		counts[user->mode == STOA_WRITE]++;
	return 0;
}

static uint32_t state_of(struct stoa_rwlock *rwlock,
                         const struct stoa_rwlock_status *status,
                         int writer_alive)
{
	uint64_t word = atomic_load_explicit(&rwlock->shared->writer,
	                                     memory_order_relaxed);

	if (word == RWLOCK_BROKEN)
		return STOA_RWLOCK_NOT_RECOVERABLE;
	if (word == RWLOCK_ABANDONED || (status->writer && !writer_alive))
		return STOA_RWLOCK_ORPHANED;
	if (status->writer)
		return atomic_load_explicit(&rwlock->shared->mending,
		                            memory_order_relaxed) ?
		               STOA_RWLOCK_INCONSISTENT :
		               STOA_RWLOCK_WRITTEN;
	return status->readers ? STOA_RWLOCK_READ : STOA_RWLOCK_FREE;
}

int stoa_rwlock_stat(struct stoa_rwlock *rwlock,
                     struct stoa_rwlock_status *ret_status)
{
	struct stoa_rwlock_status status = { .size = sizeof status };
	struct stoa_rwlock_user writer = { 0 };
	uint32_t holders[2] = { 0, 0 }, waiters[2] = { 0, 0 };
	int result;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL, "rwlock %s: the size of what "
		                          "stoa_rwlock_stat fills in is not "
		                          "that of struct stoa_rwlock_status",
		                 rwlock->object.name);
	result = stoa_rwlock_each_holder(rwlock, count_user, holders);
	if (result >= 0)
		result = stoa_rwlock_each_waiter(rwlock, count_user, waiters);
	if (result < 0)
		return result;
	status.preference = rwlock->preference;
	status.readers_max = rwlock->readers;
	if (find_writer(rwlock, &writer)) {
		status.writer = writer.peer;
		status.writer_pid = writer.pid;
		status.writer_tid = writer.tid;
		status.writer_since_ns = writer.since_ns;
	} else {
		status.readers = holders[0];
	}
	status.readers_waiting = waiters[0];
	status.writers_waiting = waiters[1];
	status.state = state_of(rwlock, &status, writer.alive);
	result = finish(rwlock, 0);
	if (result == 0)
		*ret_status = status;
	return result;
}
