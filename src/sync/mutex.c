/* SPDX-License-Identifier: MIT */
/* sync/mutex.c: locking and unlocking. Making and opening is in
 * mutex_open.c, what people see in mutex_inspect.c; why it holds is in
 * mutex_layout.h. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <sync/mutex_internal.h>

#define SPIN_FIRST 64u /* pauses before the first look; then twice as many */

/* ---- Locking ----------------------------------------------------------------- */

/* For people, and for close. */
static inline void note_owner(struct stoa_mutex *mutex, uint64_t agent)
{
	atomic_store_explicit(&mutex->shared->since, stoa_cpu_ticks(),
	                      memory_order_relaxed);
	atomic_store_explicit(&mutex->shared->tid, stoa_thread_here.tid,
	                      memory_order_relaxed);
	atomic_store_explicit(&mutex->locked, agent, memory_order_relaxed);
}

/* Transitions 2 and 3. */
static int take_over(struct stoa_mutex *mutex, uint64_t word, uint64_t agent)
{
	if (!mutex_exchange(mutex, word,
	                    STOA_BUG(22) ? agent : agent | MUTEX_DIED))
		return -EAGAIN;
	if (!STOA_BUG(23))
		atomic_store_explicit(&mutex->shared->depth, 0,
		                      memory_order_relaxed);
	note_owner(mutex, agent);
	return -EOWNERDEAD;
}

static int not_recoverable(struct stoa_mutex *mutex)
{
	return stoa_fail(-ENOTRECOVERABLE,
	                 "mutex %s: its owner died, and the next unlocked it "
	                 "without stoa_mutex_consistent(); make what it "
	                 "protects anew, and the mutex",
	                 mutex->object.name);
}

struct attempt {
	struct stoa_mutex *mutex;
	uint64_t agent;
	uint64_t found; /* the owner at the last try */
	uint64_t since; /* of that one */
	stoa_peer blocker;
	int ask; /* whether the owner lives, if it was there before */
	int ask_anyway;
};

/* One try. 0, -EOWNERDEAD: locked. -EAGAIN: somebody has it. */
static int try_lock(struct attempt *attempt)
{
	struct stoa_mutex *mutex = attempt->mutex;
	uint64_t word = mutex_owner(mutex);
	stoa_peer peer = AGENT_PEER(word);
	int again = word == attempt->found;

	attempt->found = word;
	attempt->since = atomic_load_explicit(&mutex->shared->since,
	                                      memory_order_relaxed);
	if (word == MUTEX_FREE) {
		if (!mutex_exchange(mutex, word, attempt->agent))
			return -EAGAIN;
		note_owner(mutex, attempt->agent);
		return 0;
	}
	if (word == MUTEX_ORPHANED)
		return take_over(mutex, word, attempt->agent);
	if (word == MUTEX_LOST)
		return not_recoverable(mutex);
	if (peer == 0)
		return stoa_object_damaged(&mutex->object,
		                           "its owner can't be true");
	/* One's own process would not be here if it were dead. */
	attempt->blocker = peer == AGENT_PEER(attempt->agent) ? 0 : peer;
	if (attempt->ask && (again || attempt->ask_anyway) &&
	    attempt->blocker != 0 &&
	    !stoa_life_alive(&mutex->object.space->life, peer))
		return take_over(mutex, word, attempt->agent);
	return -EAGAIN;
}

/* Asks about the owner, whoever it is. */
static int try_once_more(struct attempt *attempt)
{
	attempt->ask = 1;
	attempt->found = mutex_owner(attempt->mutex);
	return try_lock(attempt);
}

/* Woken, maybe in another's stead, and going without the mutex. */
static void pass_wake_on(struct stoa_mutex *mutex)
{
	/* seq_cst: MUTEX_WAKING, W1 */
	atomic_fetch_or_explicit(stoa_event_word(&mutex->object, STOA_READ),
	                         EVENT_SLEEPERS, memory_order_seq_cst);
	if (mutex_unowned(mutex_owner(mutex)))
		mutex_tell(mutex);
}

/*
 * The waiter's spins, but with fewer and fewer looks: each takes the cache
 * line from the owner. And only while it is one and the same lock that is
 * waited out: somebody who locks again and again does so faster if left alone,
 * and who sleeps gets its turn, too.
 */
static int spin(struct attempt *attempt, struct stoa_waiter *waiter)
{
	uint32_t left = waiter->spins_left, pauses = SPIN_FIRST;
	int result = try_lock(attempt);
	uint64_t since = attempt->since;

	waiter->spins_left = 0;
	while (result == -EAGAIN && left >= pauses && !waiter->vain) {
		for (uint32_t i = 0; i < pauses; i++)
			stoa_cpu_pause();
		left -= pauses;
		waiter->spun += pauses;
		pauses *= 2;
		if (waiter->deadline.kind == STOA_DEADLINE_INSTANT &&
		    stoa_deadline_left(waiter->deadline) == 0)
			break;
		result = try_lock(attempt);
		waiter->vain = attempt->since != since;
	}
	return result;
}

static int wait_for_it(struct attempt *attempt, struct stoa_deadline deadline)
{
	struct stoa_mutex *mutex = attempt->mutex;
	struct stoa_wait_note note = { .blockers = 1 };
	struct mutex_waiter *listed = NULL;
	struct stoa_waiter waiter;
	int result, step;

	if (mutex->kind == STOA_MUTEX_CHECKED)
		note.flags = WAITS_DETECTS;
	stoa_waiter_init(&waiter, &mutex->object, STOA_READ, deadline);
	waiter.note = &note;
	result = spin(attempt, &waiter);
	attempt->ask = 1;
	while (result == -EAGAIN) {
		int armed = waiter.armed;

		waiter.blocker = attempt->blocker;
		note.blocker[0] = attempt->found & ~MUTEX_DIED;
		step = stoa_waiter_step(&waiter);
		if (step == -EAGAIN || step == -ETIMEDOUT) {
			result = try_once_more(attempt);
			result = result == -EAGAIN ? step : result;
			break;
		}
		if (step == 0 && !armed)
			listed = mutex_list_waiter(mutex, attempt->agent);
		attempt->ask_anyway = waiter.sliced;
		result = step == 0 ? try_lock(attempt) : step;
	}
	if (listed)
		mutex_unlist_waiter(listed, attempt->agent);
	stoa_waiter_fini(&waiter);
	if (waiter.slept && result < 0 && result != -EOWNERDEAD)
		pass_wake_on(mutex);
	return result;
}

/* The calling thread has it already. 0 or why not; 1: then wait. */
static int lock_again(struct stoa_mutex *mutex, uint64_t agent)
{
	uint32_t depth;

	if (mutex->kind == STOA_MUTEX_NORMAL ||
	    (mutex_owner(mutex) & ~MUTEX_DIED) != agent)
		return 1;
	if (mutex->kind == STOA_MUTEX_CHECKED)
		return stoa_fail(-EDEADLK,
		                 "mutex %s: this thread has locked it already",
		                 mutex->object.name);
	depth = atomic_load_explicit(&mutex->shared->depth,
	                             memory_order_relaxed);
	if (depth >= STOA_MUTEX_DEPTH_MAX - 1)
		return stoa_fail(-EOVERFLOW,
		                 "mutex %s: locked %d times by one thread, and "
		                 "no more are possible",
		                 mutex->object.name, STOA_MUTEX_DEPTH_MAX);
	atomic_store_explicit(&mutex->shared->depth, depth + 1,
	                      memory_order_relaxed);
	return 0;
}

static int lock_slowly(struct stoa_mutex *mutex, uint64_t agent,
                       struct stoa_deadline deadline)
{
	struct attempt attempt = { .mutex = mutex, .agent = agent };
	int result = lock_again(mutex, agent);

	if (result <= 0)
		return result;
	if (deadline.kind == STOA_DEADLINE_NOW)
		return try_once_more(&attempt);
	return wait_for_it(&attempt, deadline);
}

/* Removed, damaged, or cut short under us. */
static int give_back(struct stoa_mutex *mutex, uint64_t agent, int result)
{
	uint64_t word = result == -EOWNERDEAD ? agent | MUTEX_DIED : agent;

	atomic_store_explicit(&mutex->locked, 0, memory_order_relaxed);
	mutex_exchange(mutex, word,
	               result == 0 ? MUTEX_FREE : MUTEX_ORPHANED);
	return stoa_object_health(&mutex->object);
}

int stoa_mutex_lock(struct stoa_mutex *mutex, struct stoa_deadline deadline)
{
	uint64_t agent;
	int result = mutex_begin(mutex, &agent);

	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_likely(mutex_exchange(mutex, MUTEX_FREE, agent)))
		note_owner(mutex, agent);
	else
		result = lock_slowly(mutex, agent, deadline);
	if (stoa_unlikely(!stoa_object_healthy(&mutex->object)))
		return result == 0 || result == -EOWNERDEAD ?
		               give_back(mutex, agent, result) :
		               stoa_object_health(&mutex->object);
	return result;
}

/* ---- Unlocking --------------------------------------------------------------- */

/* U2 to U4 of MUTEX_WAKING. */
void mutex_tell(struct stoa_mutex *mutex)
{
	stoa_event_raise_one(&mutex->object, STOA_READ);
}

static int not_owner(struct stoa_mutex *mutex)
{
	return stoa_fail(-EPERM, "mutex %s: this thread has not locked it",
	                 mutex->object.name);
}

/* Transition 6. All who wait are to find out. */
static int lose(struct stoa_mutex *mutex, uint64_t agent)
{
	if (!mutex_exchange(mutex, agent | MUTEX_DIED, MUTEX_LOST))
		return not_owner(mutex);
	atomic_store_explicit(&mutex->locked, 0, memory_order_relaxed);
	stoa_event_broadcast(&mutex->object);
	return 0;
}

/* 1: a lock of many was taken away, and the mutex stays locked. */
static int unlock_again(struct stoa_mutex *mutex)
{
	uint32_t depth = atomic_load_explicit(&mutex->shared->depth,
	                                      memory_order_relaxed);

	if (depth == 0)
		return 0;
	atomic_store_explicit(&mutex->shared->depth, depth - 1,
	                      memory_order_relaxed);
	return 1;
}

static int unlock(struct stoa_mutex *mutex, uint64_t agent)
{
	uint64_t word = mutex_owner(mutex);

	if (stoa_unlikely((word & ~MUTEX_DIED) != agent))
		return not_owner(mutex);
	if (mutex->kind == STOA_MUTEX_RECURSIVE && unlock_again(mutex))
		return 0;
	if (stoa_unlikely(word & MUTEX_DIED))
		return lose(mutex, agent);
	atomic_store_explicit(&mutex->locked, 0, memory_order_relaxed);
	if (stoa_unlikely(!mutex_exchange(mutex, agent, MUTEX_FREE)))
		return not_owner(mutex);
	/* With a wake in flight the sleepers' bit is gone, and who sleeps isn't
	 * told of this unlock. */
	stoa_event_mark_cheaply();
	if (stoa_unlikely(stoa_event_asked(&mutex->object, STOA_READ)))
		mutex_tell(mutex);
	return 0;
}

int stoa_mutex_unlock(struct stoa_mutex *mutex)
{
	uint64_t agent;
	int result = mutex_begin(mutex, &agent);

	if (stoa_unlikely(result < 0))
		return result;
	result = unlock(mutex, agent);
	if (stoa_unlikely(!stoa_object_healthy(&mutex->object)))
		return stoa_object_health(&mutex->object);
	return result;
}

void mutex_abandon(struct stoa_mutex *mutex, uint64_t agent)
{
	uint64_t word = mutex_owner(mutex);

	if (agent == 0 || (word & ~MUTEX_DIED) != agent)
		return;
	atomic_store_explicit(&mutex->locked, 0, memory_order_relaxed);
	if (mutex_exchange(mutex, word, MUTEX_ORPHANED))
		mutex_tell(mutex);
}

int stoa_mutex_consistent(struct stoa_mutex *mutex)
{
	uint64_t agent, word;
	int result = mutex_begin(mutex, &agent);

	if (result < 0)
		return result;
	word = mutex_owner(mutex);
	if (!stoa_object_healthy(&mutex->object))
		return stoa_object_health(&mutex->object);
	if ((word & ~MUTEX_DIED) != agent)
		return not_owner(mutex);
	if (word == agent)
		return stoa_fail(-EINVAL,
		                 "mutex %s: no owner of it has died, so there "
		                 "is nothing to declare mended",
		                 mutex->object.name);
	return mutex_exchange(mutex, word, agent) ? 0 : not_owner(mutex);
}

int stoa_mutex_held(struct stoa_mutex *mutex)
{
	uint64_t agent;
	int result = mutex_begin(mutex, &agent);

	if (result < 0)
		return result;
	if (!stoa_object_healthy(&mutex->object))
		return stoa_object_health(&mutex->object);
	uint64_t owner = mutex_owner(mutex);
	uint32_t depth = atomic_load_explicit(&mutex->shared->depth,
	                                      memory_order_relaxed);
	if (stoa_unlikely(!stoa_object_healthy(&mutex->object)))
		return stoa_object_health(&mutex->object);
	if ((owner & ~MUTEX_DIED) != agent)
		return 0;
	if (mutex->kind != STOA_MUTEX_RECURSIVE)
		return 1;
	return depth < STOA_MUTEX_DEPTH_MAX ? (int)depth + 1 : -EUCLEAN;
}
