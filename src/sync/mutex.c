/* SPDX-License-Identifier: MIT */
/* sync/mutex.c: locking and unlocking. Making and opening is in
 * mutex_open.c, what people see in mutex_inspect.c; why it holds is in
 * mutex_layout.h. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <sync/mutex_internal.h>

/* Of who waits awake: see STANDING BACK in mutex_layout.h. */
#define PATIENCE_NS INT64_C(100000) /* it stands back */
#define IMPATIENCE_NS INT64_C(5000) /* and then takes whatever moment comes */
#define CALM_NS UINT64_C(800)       /* nobody has locked it for so long */
#define IDLE_LOOKS 10               /* or so often in turn it was free */
#define HELD_NS INT64_C(30000)      /* one lock lasts so long: rather sleep */
#define LOOK_NS INT64_C(250)        /* to the next look; then twice as long */
#define LOOK_MOST_NS INT64_C(4000)
#define SPIN_NS INT64_C(50) /* of patience for each spin of the budget */

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

/* One who waits awake. */
struct watch {
	int64_t began_ns, now_ns; /* CLOCK_MONOTONIC */
	uint64_t began_ticks;
	int64_t patient_ns, end_ns; /* until then */
	uint64_t since;   /* of the lock seen last */
	int64_t since_ns; /* when it was first seen */
	int64_t pause_ns; /* to the next look */
	int idle;         /* looks in turn that found it free, locked between */
};

static struct watch begin_watch(int64_t patience_ns, int woken)
{
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC);

	/* Who has just come, and finds the lock that it met gone at its first
	 * look, has seen nobody lock again and again. */
	return (struct watch){
		.began_ns = now,
		.now_ns = now,
		.began_ticks = stoa_cpu_ticks(),
		.patient_ns = now + patience_ns,
		.end_ns = now + (patience_ns ? patience_ns + IMPATIENCE_NS : 0),
		.since_ns = now,
		.pause_ns = woken ? 0 : LOOK_NS,
		.idle = woken ? 0 : IDLE_LOOKS - 1
	};
}

static void rest(struct watch *watch)
{
	int64_t until = watch->now_ns + watch->pause_ns;

	do {
		stoa_cpu_pause();
		watch->now_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	} while (watch->now_ns < until);
}

/* Nobody has locked it for CALM_NS. The rate of the counter is what it was
 * since the watch began. */
static int is_calm(const struct watch *watch)
{
	uint64_t now = stoa_cpu_ticks();
	uint64_t age = now > watch->since ? now - watch->since : 0;
	uint64_t passed_ns = (uint64_t)(watch->now_ns - watch->began_ns);

	return age > UINT32_MAX || passed_ns > UINT32_MAX ||
	       age * passed_ns >= CALM_NS * (now - watch->began_ticks);
}

/* -EAGAIN: look again. -EBUSY: it is of no use. Else as try_lock(). */
static int look(struct watch *watch, struct attempt *attempt,
                struct stoa_waiter *waiter)
{
	struct stoa_mutex *mutex = attempt->mutex;
	uint64_t word = mutex_owner(mutex);
	uint64_t since = atomic_load_explicit(&mutex->shared->since,
	                                      memory_order_relaxed);
	int taken = AGENT_PEER(word) != 0, result = -EAGAIN;

	attempt->found = word;
	if (since != watch->since) {
		watch->since = since;
		watch->since_ns = watch->now_ns;
		watch->idle = taken ? 0 : watch->idle + 1;
	}
	if (taken && watch->now_ns - watch->since_ns > HELD_NS)
		return -EBUSY;
	if (!taken && (watch->now_ns >= watch->patient_ns ||
	               watch->idle >= IDLE_LOOKS || is_calm(watch))) {
		if (waiter->slept)
			stoa_waiter_arm(waiter); /* W1 of MUTEX_WAKING */
		result = try_lock(attempt);
	}
	if (watch->now_ns >= watch->patient_ns)
		watch->pause_ns = 0;
	else if (!taken || watch->pause_ns == 0)
		watch->pause_ns = LOOK_NS;
	else if (watch->pause_ns < LOOK_MOST_NS)
		watch->pause_ns *= 2;
	return result == -EAGAIN && watch->now_ns >= watch->end_ns ? -EBUSY :
	                                                             result;
}

/* Instead of sleeping, or before it sleeps again. -EAGAIN: now sleep. */
static int spin(struct attempt *attempt, struct stoa_waiter *waiter,
                int64_t patience_ns)
{
	struct watch watch = begin_watch(patience_ns, waiter->slept);
	int result;

	do {
		if (patience_ns > 0) {
			rest(&watch);
			waiter->spun++;
		}
		result = look(&watch, attempt, waiter);
	} while (result == -EAGAIN &&
	         (waiter->deadline.kind != STOA_DEADLINE_INSTANT ||
	          stoa_deadline_left(waiter->deadline) > 0));
	return result == -EBUSY ? -EAGAIN : result;
}

/* After a step: the event is armed, and the truth looked at. */
static int try_again(struct attempt *attempt, struct stoa_waiter *waiter)
{
	struct stoa_object *object = &attempt->mutex->object;
	int result = -EAGAIN;

	if (waiter->slept && !waiter->sliced &&
	    atomic_load_explicit(&object->processors, memory_order_relaxed) > 1)
		result = spin(attempt, waiter, PATIENCE_NS);
	if (result != -EAGAIN)
		return result;
	if (waiter->slept)
		stoa_waiter_arm(waiter);
	return try_lock(attempt);
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
	waiter.lingers = 1;
	result = spin(attempt, &waiter, waiter.spins_left * SPIN_NS);
	waiter.spins_left = 0;
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
		result = step == 0 ? try_again(attempt, &waiter) : step;
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
