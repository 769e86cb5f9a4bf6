/* SPDX-License-Identifier: MIT */
/* sync/mutex_inspect.c: who has a mutex and who waits for it; whether a lock
 * would wait. */
#include <base/error.h>
#include <base/system.h>
#include <sync/mutex_internal.h>

#define STAT_TRIES 8
#define ASK_NS INT64_C(4000000) /* observers ask for the owner's life so often */

/* ---- The owner --------------------------------------------------------------------- */

struct owner_view {
	uint64_t word, since;
	int32_t tid;
	uint32_t depth;
};

/* What belongs together, unless it changes each time. relaxed throughout, but
 * the fence: for people. */
static struct owner_view look_at_owner(struct stoa_mutex *mutex)
{
	struct mutex_shared *shared = mutex->shared;
	struct owner_view view;

	for (int i = 0; i < STAT_TRIES; i++) {
		view.word = atomic_load_explicit(&shared->owner,
		                                 memory_order_acquire);
		view.since = atomic_load_explicit(&shared->since,
		                                  memory_order_relaxed);
		view.tid = atomic_load_explicit(&shared->tid,
		                                memory_order_relaxed);
		view.depth = atomic_load_explicit(&shared->depth,
		                                  memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (mutex_owner(mutex) == view.word)
			break;
	}
	return view;
}

/*
 * The instant of a tick count, between two instants of which both ticks and
 * time are known: that of the making and now. So the rate of the ticks needs
 * not be known, and an error can't leave that interval.
 */
static int64_t realtime_of(const struct stoa_mutex *mutex, uint64_t ticks)
{
	int64_t now_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	int64_t real_ns = stoa_sys_clock_ns(CLOCK_REALTIME);
	uint64_t now = stoa_cpu_ticks();
	double whole = (double)(now - mutex->made_ticks);
	double part = (double)(now - ticks);

	if (ticks < mutex->made_ticks || ticks > now ||
	    now <= mutex->made_ticks || mutex->made_ns < 0 ||
	    now_ns < mutex->made_ns)
		return real_ns;
	return real_ns -
	       (int64_t)((double)(now_ns - mutex->made_ns) * part / whole);
}

static int32_t pid_of(struct stoa_mutex *mutex, stoa_peer peer)
{
	struct life_record record;

	if (stoa_life_record(&mutex->object.space->life, LIFE_SLOT(peer),
	                     &record) < 0 ||
	    record.generation != LIFE_GENERATION(peer))
		return 0;
	return record.pid;
}

static void tell_owner(struct stoa_mutex *mutex, const struct owner_view *view,
                       struct stoa_mutex_status *status)
{
	stoa_peer peer = AGENT_PEER(view->word);

	if (view->word == MUTEX_FREE)
		return;
	status->state = view->word == MUTEX_LOST ? STOA_MUTEX_NOT_RECOVERABLE :
	                view->word == MUTEX_ORPHANED ? STOA_MUTEX_ORPHANED :
	                view->word & MUTEX_DIED ? STOA_MUTEX_INCONSISTENT :
	                                          STOA_MUTEX_LOCKED;
	if (peer == 0)
		return;
	if (!stoa_life_alive(&mutex->object.space->life, peer))
		status->state = STOA_MUTEX_ORPHANED;
	status->owner = peer;
	status->owner_pid = pid_of(mutex, peer);
	status->owner_tid = view->tid;
	status->owner_since_ns = realtime_of(mutex, view->since);
	status->depth = mutex->kind == STOA_MUTEX_RECURSIVE ? view->depth + 1 :
	                                                      1;
}

/* ---- Waiters ----------------------------------------------------------------------- */

static int claim(struct mutex_waiter *waiter, uint64_t from, uint64_t agent)
{
	if (!atomic_compare_exchange_strong_explicit(
	            &waiter->agent, &from, agent, memory_order_relaxed,
	            memory_order_relaxed))
		return 0;
	atomic_store_explicit(&waiter->tid, stoa_thread_here.tid,
	                      memory_order_relaxed);
	atomic_store_explicit(&waiter->since_ns,
	                      stoa_sys_clock_ns(CLOCK_REALTIME_COARSE),
	                      memory_order_relaxed);
	return 1;
}

struct mutex_waiter *mutex_list_waiter(struct stoa_mutex *mutex, uint64_t agent)
{
	struct mutex_waiter *waiters = mutex->shared->waiters;
	struct stoa_life *life = &mutex->object.space->life;

	for (int i = 0; i < MUTEX_WAITERS; i++)
		if (atomic_load_explicit(&waiters[i].agent,
		                         memory_order_relaxed) == 0 &&
		    claim(&waiters[i], 0, agent))
			return &waiters[i];
	for (int i = 0; i < MUTEX_WAITERS; i++) {
		uint64_t there = atomic_load_explicit(&waiters[i].agent,
		                                      memory_order_relaxed);

		if (!stoa_life_alive(life, AGENT_PEER(there)) &&
		    claim(&waiters[i], there, agent))
			return &waiters[i];
	}
	return NULL;
}

void mutex_unlist_waiter(struct mutex_waiter *waiter, uint64_t agent)
{
	atomic_compare_exchange_strong_explicit(&waiter->agent, &agent, 0,
	                                        memory_order_relaxed,
	                                        memory_order_relaxed);
}

int stoa_mutex_each_waiter(struct stoa_mutex *mutex,
                           int (*visit)(const struct stoa_mutex_waiter *waiter,
                                        void *context),
                           void *context)
{
	struct stoa_life *life = &mutex->object.space->life;
	uint64_t caller;
	int visited = 0;
	int result = mutex_begin(mutex, &caller);

	if (result < 0)
		return result;
	for (int i = 0; i < MUTEX_WAITERS; i++) {
		struct mutex_waiter *waiter = &mutex->shared->waiters[i];
		uint64_t agent = atomic_load_explicit(&waiter->agent,
		                                      memory_order_relaxed);
		struct stoa_mutex_waiter shown = { .peer = AGENT_PEER(agent) };

		if (shown.peer == 0 || !stoa_life_alive(life, shown.peer))
			continue;
		shown.pid = pid_of(mutex, shown.peer);
		shown.tid = atomic_load_explicit(&waiter->tid,
		                                 memory_order_relaxed);
		shown.since_ns = atomic_load_explicit(&waiter->since_ns,
		                                      memory_order_relaxed);
		result = visit(&shown, context);
		if (result != 0)
			return result;
		visited++;
	}
	if (!stoa_object_healthy(&mutex->object))
		return stoa_object_health(&mutex->object);
	return visited;
}

static int count_waiter(const struct stoa_mutex_waiter *waiter, void *context)
{
	(void)waiter;
	(void)context;
	return 0;
}

int stoa_mutex_stat(struct stoa_mutex *mutex,
                    struct stoa_mutex_status *ret_status)
{
	struct stoa_mutex_status status = { .size = sizeof status,
		                            .kind = mutex->kind };
	struct owner_view view;
	int waiters;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "status of mutex %s: size must be "
		                 "sizeof(struct stoa_mutex_status)",
		                 mutex->object.name);
	waiters = stoa_mutex_each_waiter(mutex, count_waiter, NULL);
	if (waiters < 0)
		return waiters;
	view = look_at_owner(mutex);
	tell_owner(mutex, &view, &status);
	status.waiters = (uint32_t)waiters;
	if (!stoa_object_healthy(&mutex->object))
		return stoa_object_health(&mutex->object);
	*ret_status = status;
	return 0;
}

/* ---- For stoa_wait_any ------------------------------------------------------------- */

/* It is asked many times in a row: the kernel need not be each time. */
static int owner_dead(struct stoa_mutex *mutex, stoa_peer peer)
{
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE);

	if (now - atomic_load_explicit(&mutex->asked_ns, memory_order_relaxed) <
	    ASK_NS)
		return 0;
	if (!stoa_life_alive(&mutex->object.space->life, peer))
		return 1; /* and asked again the next time */
	atomic_store_explicit(&mutex->asked_ns, now, memory_order_relaxed);
	return 0;
}

int mutex_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait)
{
	struct stoa_mutex *mutex = (struct stoa_mutex *)object;
	uint64_t word = mutex_owner(mutex);
	stoa_peer peer = AGENT_PEER(word);

	(void)wait;
	if (direction != STOA_READ)
		return stoa_fail(-EINVAL,
		                 "mutex %s: only STOA_READABLE can be waited "
		                 "for, that a lock would succeed",
		                 object->name);
	if (mutex_unowned(word))
		return 1;
	if (word == MUTEX_LOST)
		return stoa_fail(-ENOTRECOVERABLE,
		                 "mutex %s can't be locked by anybody any more",
		                 object->name);
	if (peer == 0)
		return stoa_object_damaged(object, "its owner can't be true");
	if ((word & ~MUTEX_DIED) == stoa_object_agent(object))
		return mutex->kind == STOA_MUTEX_RECURSIVE;
	return owner_dead(mutex, peer);
}
