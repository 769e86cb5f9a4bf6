/* SPDX-License-Identifier: MIT */
/* sync/rwlock.c: locking and unlocking. Why it holds: rwlock_layout.h, whose
 * transitions are named here. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <sync/rwlock_internal.h>

#include <limits.h>

#define TRIES 16 /* before a word that others keep changing */
#define USED_TRIES 1000 /* each lost to another who raised it */
#define SLOT_STRIDE 8 /* processes begin at entries so far apart */

enum { AGAIN = 1 }; /* what was seen has changed: look again */

static inline int change(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
	/* seq_cst: RWLOCK_DEKKER, EVENT_DEKKER; release for what was written
	 * under the lock, acquire for what the last holder wrote */
	return atomic_compare_exchange_strong_explicit(
	        word, &from, to, memory_order_seq_cst, memory_order_seq_cst);
}

/* ---- What this process holds ---------------------------------------------- */

static uint64_t holder(struct rwlock_hold *hold)
{
	return atomic_load_explicit(&hold->agent, memory_order_relaxed);
}

/* On a thread's list although the shared word is free: the thread doesn't know
 * yet that its process was taken for dead. A parent's means nothing here. */
static inline int in_use(struct stoa_rwlock *rwlock, struct rwlock_hold *hold)
{
	return holder(hold) != 0 &&
	       atomic_load_explicit(&hold->pid, memory_order_relaxed) ==
	               atomic_load_explicit(&rwlock->object.pid,
	                                    memory_order_relaxed);
}

static inline void take_hold(struct stoa_rwlock *rwlock,
                             struct rwlock_hold *hold, uint64_t me,
                             void (*abandon)(struct stoa_held *))
{
	hold->rwlock = rwlock;
	hold->count = 1;
	hold->told_of_death = 0;
	hold->held.abandon = abandon;
	atomic_store_explicit(&hold->pid,
	                      atomic_load_explicit(&rwlock->object.pid,
	                                           memory_order_relaxed),
	                      memory_order_relaxed);
	atomic_store_explicit(&hold->agent, me, memory_order_relaxed);
	stoa_thread_hold(&stoa_thread_here, &hold->held);
}

/* Before the shared word is freed: from then on it may be another thread's. */
static void drop_hold(struct rwlock_hold *hold)
{
	stoa_thread_let_go(&stoa_thread_here, &hold->held);
	atomic_store_explicit(&hold->agent, 0, memory_order_relaxed);
}

static void abandon_read(struct stoa_held *held);

/* Which of this handle's entries is the thread's, or NULL. */
static struct rwlock_hold *find_hold(struct stoa_rwlock *rwlock, uint64_t me)
{
	for (struct stoa_held *held = stoa_thread_here.held; held;
	     held = held->next) {
		struct rwlock_hold *hold = (struct rwlock_hold *)held;

		if (held->abandon == abandon_read && hold->rwlock == rwlock &&
		    holder(hold) == me)
			return hold;
	}
	return NULL;
}

/* ---- Wake-ups --------------------------------------------------------------- */

/* The writer word has become free. */
static void wake(struct stoa_rwlock *rwlock)
{
	struct stoa_object *object = &rwlock->object;
	int writers_first = rwlock->preference == STOA_RWLOCK_WRITERS;
	int woken = 0;

	if (stoa_likely(!stoa_event_asked(object, STOA_WRITE) &&
	                !stoa_event_asked(object, STOA_READ)))
		return;
	stoa_event_mark();
	if (writers_first && stoa_event_asked(object, STOA_WRITE))
		woken = stoa_event_raise(object, STOA_WRITE, 1);
	/* Those whom a waiting writer stops are woken when it is gone. */
	if (stoa_event_asked(object, STOA_READ) &&
	    (woken == 0 ||
	     atomic_load_explicit(&rwlock->shared->waiting,
	                          memory_order_seq_cst) == 0))
		stoa_event_raise(object, STOA_READ, INT_MAX);
	if (!writers_first && stoa_event_asked(object, STOA_WRITE))
		stoa_event_raise(object, STOA_WRITE, 1);
}

/* Whether a living thread has an entry; the dead's are freed. */
static int anybody_reads(struct stoa_rwlock *rwlock)
{
	uint32_t used = rwlock_used(rwlock);

	for (uint32_t i = 0; i < used; i++) {
		/* seq_cst: of two who leave at once, one sees both gone */
		uint64_t owner = atomic_load_explicit(
		        &rwlock->entries[i].owner, memory_order_seq_cst);

		if (owner == 0)
			continue;
		if (rwlock_alive(rwlock, owner))
			return 1;
		change(&rwlock->entries[i].owner, owner, 0);
	}
	return 0;
}

/* Somebody may wait for the entry, or for the last reader. */
static __attribute__((noinline)) void
tell_of_entry(struct stoa_rwlock *rwlock)
{
	struct stoa_object *object = &rwlock->object;

	/* Who notes this thread as in its way must look again, woken or not. */
	stoa_event_mark();
	if (atomic_load_explicit(&rwlock->shared->full, memory_order_seq_cst)) {
		atomic_exchange_explicit(&rwlock->shared->full, 0,
		                         memory_order_seq_cst);
		stoa_event_raise(object, STOA_READ, INT_MAX);
	}
	if (stoa_event_asked(object, STOA_WRITE) && !anybody_reads(rwlock))
		stoa_event_raise(object, STOA_WRITE,
		                 rwlock->preference == STOA_RWLOCK_WRITERS ?
		                         INT_MAX :
		                         1);
}

/* E2. -EPERM: others took this process for dead. */
stoa_always_inline int leave_entry(struct stoa_rwlock *rwlock, uint32_t index,
                                   uint64_t me)
{
	if (stoa_unlikely(!change(&rwlock->entries[index].owner, me, 0)))
		return -EPERM;
	/* seq_cst: EVENT_DEKKER */
	if (stoa_unlikely(atomic_load_explicit(&rwlock->shared->full,
	                                       memory_order_seq_cst) |
	                  stoa_event_asked(&rwlock->object, STOA_WRITE)))
		tell_of_entry(rwlock);
	return 0;
}

/* ---- Threads that end ---------------------------------------------------------- */

static void abandon_read(struct stoa_held *held)
{
	struct rwlock_hold *hold = (struct rwlock_hold *)held;
	struct stoa_rwlock *rwlock = hold->rwlock;
	uint64_t me = holder(hold);

	atomic_store_explicit(&hold->agent, 0, memory_order_relaxed);
	leave_entry(rwlock, (uint32_t)(hold - rwlock->reader), me);
}

static void abandon_write(struct stoa_held *held)
{
	struct rwlock_hold *hold = (struct rwlock_hold *)held;
	struct stoa_rwlock *rwlock = hold->rwlock;
	uint64_t me = holder(hold);

	atomic_store_explicit(&hold->agent, 0, memory_order_relaxed);
	if (change(&rwlock->shared->writer, me, RWLOCK_ABANDONED))
		wake(rwlock);
}

void rwlock_give_up(struct stoa_rwlock *rwlock)
{
	struct stoa_held *held = stoa_thread_here.held;

	while (held) {
		struct stoa_held *next = held->next;
		struct rwlock_hold *hold = (struct rwlock_hold *)held;

		if ((held->abandon == abandon_read ||
		     held->abandon == abandon_write) &&
		    hold->rwlock == rwlock) {
			stoa_thread_let_go(&stoa_thread_here, held);
			held->abandon(held);
		}
		held = next;
	}
}

/* ---- Having it for writing -------------------------------------------------------- */

/* After W2 or W5. */
static int got_write(struct rwlock_call *call, int told_of_death)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	struct rwlock_shared *shared = rwlock->shared;

	if (stoa_unlikely(in_use(rwlock, &rwlock->writer))) {
		change(&shared->writer, call->me,
		       told_of_death ? RWLOCK_ABANDONED : 0);
		wake(rwlock);
		return stoa_fail(-EBUSY,
		                 "rwlock %s: another thread of this process "
		                 "lost it unawares, as its descriptors were "
		                 "closed; it must unlock first",
		                 rwlock->object.name);
	}
	take_hold(rwlock, &rwlock->writer, call->me, abandon_write);
	rwlock->writer.told_of_death = told_of_death;
	atomic_store_explicit(&shared->mending, (uint32_t)told_of_death,
	                      memory_order_relaxed);
	atomic_store_explicit(&shared->tid, stoa_thread_here.tid,
	                      memory_order_relaxed);
	atomic_store_explicit(&shared->since, stoa_cpu_ticks(),
	                      memory_order_relaxed);
	/* release: pairs with the acquire of who shows them */
	atomic_store_explicit(&shared->told, call->me, memory_order_release);
	return told_of_death ? -EOWNERDEAD : 0;
}

/* W5. */
static int take_over(struct rwlock_call *call, uint64_t word)
{
	if (!change(&call->rwlock->shared->writer, word, call->me))
		return AGAIN;
	return got_write(call, !STOA_BUG(28));
}

/* Somebody must go before this one can have the lock; the highest bit may mean
 * anything. Also one who but wants to write: there is no way past it. */
static void meet(struct rwlock_call *call, uint64_t agent)
{
	call->blocker = call->edge = agent & ~RWLOCK_PENDING;
}

/* The word says that another writes, or wants to. Who doesn't live any more is
 * in nobody's way. */
static int meet_writer(struct rwlock_call *call, uint64_t word)
{
	struct stoa_rwlock *rwlock = call->rwlock;

	if (word == RWLOCK_BROKEN)
		return stoa_fail(-ENOTRECOVERABLE,
		                 "rwlock %s was unlocked by one who had been "
		                 "told of a death and hadn't mended what it "
		                 "protects; remove it",
		                 rwlock->object.name);
	if (word == RWLOCK_ABANDONED)
		return take_over(call, word);
	if (word == call->me)
		return stoa_fail(-EDEADLK,
		                 "this thread has rwlock %s for writing "
		                 "already",
		                 rwlock->object.name);
	meet(call, word);
	if (!call->ask || rwlock_alive(rwlock, word))
		return -EAGAIN;
	if (!(word & RWLOCK_PENDING) || STOA_BUG(29))
		return take_over(call, word);
	if (change(&rwlock->shared->writer, word, 0)) /* W3 */
		wake(rwlock);
	return AGAIN;
}

/* 0: nobody reads. */
static int look_for_readers(struct rwlock_call *call)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	uint32_t used = rwlock_used(rwlock);

	for (uint32_t i = 0; i < used; i++) {
		struct rwlock_entry *entry = &rwlock->entries[i];
		/* seq_cst: RWLOCK_DEKKER */
		uint64_t owner = atomic_load_explicit(&entry->owner,
		                                      memory_order_seq_cst);

		if (stoa_likely(owner == 0))
			continue;
		if (owner == call->me)
			return stoa_fail(-EDEADLK,
			                 "this thread has rwlock %s for "
			                 "reading; unlock or upgrade",
			                 rwlock->object.name);
		meet(call, owner);
		if (!call->ask || rwlock_alive(rwlock, owner))
			return -EAGAIN;
		change(&entry->owner, owner, 0);
	}
	return 0;
}

/* W3, by who has no more use for W1. */
static void withdraw(struct rwlock_call *call)
{
	if (change(&call->rwlock->shared->writer, call->me | RWLOCK_PENDING, 0))
		wake(call->rwlock);
}

/*
 * A writer that isn't preferred looks before it takes the word, so that two of
 * them don't wake each other in turn while somebody reads; and doesn't keep
 * the word, which would stop other writers only.
 */
static int try_write_once(struct rwlock_call *call)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	_Atomic uint64_t *writer = &rwlock->shared->writer;
	uint64_t mine = call->me | RWLOCK_PENDING;
	uint64_t word = atomic_load_explicit(writer, memory_order_relaxed);
	int polite = call->brief || rwlock->preference == STOA_RWLOCK_READERS;
	int result;

	if (word != mine) {
		if (word != 0)
			return meet_writer(call, word);
		result = polite ? look_for_readers(call) : 0;
		if (result < 0)
			return result;
		if (!change(writer, 0, mine)) /* W1 */
			return AGAIN;
	}
	result = look_for_readers(call);
	if (result == 0 && !change(writer, mine, call->me)) /* W2 */
		return AGAIN;
	if (result == 0)
		return got_write(call, 0);
	if (polite || result != -EAGAIN)
		withdraw(call);
	return result;
}

static int try_write(struct rwlock_call *call)
{
	int result = AGAIN;

	for (int i = 0; i < TRIES && result == AGAIN; i++)
		result = try_write_once(call);
	return result == AGAIN ? -EAGAIN : result;
}

/* ---- Having it for reading ---------------------------------------------------------- */

/* Writers are preferred, and bits say that some wait. */
static int meet_waiting(struct rwlock_call *call, uint32_t bits)
{
	struct stoa_rwlock *rwlock = call->rwlock;

	if (rwlock->preference == STOA_RWLOCK_READERS)
		return 0;
	for (uint32_t i = 0; i < RWLOCK_WAITERS; i++) {
		struct rwlock_waiter *waiter = &rwlock->waiters[i];
		uint64_t agent;

		if (!(bits >> i & 1))
			continue;
		agent = atomic_load_explicit(&waiter->agent,
		                             memory_order_acquire);
		meet(call, agent);
		if ((agent & RWLOCK_WRITES) &&
		    (!call->ask || rwlock_alive(rwlock, agent)))
			return -EAGAIN;
		/* A hint: a newcomer's may go with it, who sets it again. */
		atomic_fetch_and_explicit(&rwlock->shared->waiting,
		                          ~(1u << i), memory_order_relaxed);
		if (agent & RWLOCK_WRITES)
			change(&waiter->agent, agent, 0);
	}
	return 0;
}

/* 0: nothing keeps a reader that has its entry (`inside`) from having the lock,
 * or one that hasn't from trying. */
static int look_for_writer(struct rwlock_call *call, int inside)
{
	struct rwlock_shared *shared = call->rwlock->shared;
	/* seq_cst: RWLOCK_DEKKER */
	uint64_t word = atomic_load_explicit(&shared->writer,
	                                     memory_order_seq_cst);
	/* seq_cst: EVENT_DEKKER */
	uint32_t bits = atomic_load_explicit(&shared->waiting,
	                                     memory_order_seq_cst);

	if (stoa_likely((word | bits) == 0))
		return 0;
	if (word == 0)
		return meet_waiting(call, bits);
	if ((word & RWLOCK_PENDING) && word != RWLOCK_BROKEN &&
	    call->rwlock->preference == STOA_RWLOCK_READERS) {
		if (!inside)
			return 0;
		return change(&shared->writer, word, 0) ? 0 : AGAIN; /* W3 */
	}
	return inside ? AGAIN : meet_writer(call, word);
}

/* 0: others change it all the time, and not to more. */
static int raise_used(struct stoa_rwlock *rwlock, uint32_t index)
{
	_Atomic uint32_t *used = &rwlock->shared->used;
	/* acquire: it was raised before, as RWLOCK_DEKKER needs it */
	uint32_t now = atomic_load_explicit(used, memory_order_acquire);

	for (int i = 0; i < USED_TRIES; i++)
		if (now > index ||
		    atomic_compare_exchange_strong_explicit(
		            used, &now, index + 1, memory_order_seq_cst,
		            memory_order_acquire))
			return 1;
	return 0;
}

/* E1. */
static int take_entry(struct rwlock_call *call, uint32_t index)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	struct rwlock_entry *entry = &rwlock->entries[index];
	/* seq_cst: EVENT_DEKKER, when all were taken */
	uint64_t owner = atomic_load_explicit(&entry->owner,
	                                      memory_order_seq_cst);

	if (owner != 0) {
		call->blocker = owner; /* others may make room as well */
		call->edge = 0;
		if (!call->ask || rwlock_alive(rwlock, owner))
			return 0;
		change(&entry->owner, owner, 0);
	}
	if (stoa_unlikely(in_use(rwlock, &rwlock->reader[index])))
		return 0;
	return raise_used(rwlock, index) &&
	       change(&entry->owner, 0, call->me);
}

static _Atomic uint32_t *hint_of(struct stoa_rwlock *rwlock, uint64_t me)
{
	return &rwlock->hint[AGENT_THREAD(me) % RWLOCK_HINTS];
}

/* Where the thread had its entry, or, the first time, where others hardly
 * begin. */
static inline uint32_t first_entry(struct stoa_rwlock *rwlock, uint64_t me)
{
	uint32_t hint = atomic_load_explicit(hint_of(rwlock, me),
	                                     memory_order_relaxed);

	if (stoa_likely(hint != 0))
		return hint - 1;
	return (LIFE_SLOT(me) * SLOT_STRIDE + AGENT_THREAD(me) - 1) %
	       rwlock->readers;
}

static int take_any_entry(struct rwlock_call *call, uint32_t *ret_index)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	uint32_t first = first_entry(rwlock, call->me);

	for (uint32_t i = 0; i < rwlock->readers; i++) {
		uint32_t index = first + i < rwlock->readers ?
		                         first + i :
		                         first + i - rwlock->readers;

		if (!take_entry(call, index))
			continue;
		atomic_store_explicit(hint_of(rwlock, call->me), index + 1,
		                      memory_order_relaxed);
		*ret_index = index;
		return 0;
	}
	return -EAGAIN;
}

/* Every entry is taken: whoever frees one is to tell. */
static int take_entry_when_full(struct rwlock_call *call, uint32_t *ret_index)
{
	atomic_exchange_explicit(&call->rwlock->shared->full, 1,
	                         memory_order_seq_cst); /* EVENT_DEKKER */
	return take_any_entry(call, ret_index);
}

stoa_always_inline int got_read(struct stoa_rwlock *rwlock, uint64_t me,
                                uint32_t index)
{
	struct rwlock_entry *entry = &rwlock->entries[index];

	take_hold(rwlock, &rwlock->reader[index], me, abandon_read);
	atomic_store_explicit(&entry->since, stoa_cpu_ticks(),
	                      memory_order_relaxed);
	atomic_store_explicit(&entry->tid, stoa_thread_here.tid,
	                      memory_order_relaxed);
	/* release: pairs with the acquire of who shows them */
	atomic_store_explicit(&entry->told, me, memory_order_release);
	return 0;
}

/* The way of most: the thread's entry of last time is free, and nobody writes
 * or wants to. Else 0, and nothing was changed. */
stoa_always_inline int read_at_once(struct stoa_rwlock *rwlock, uint64_t me,
                                    uint32_t index)
{
	struct rwlock_shared *shared = rwlock->shared;
	struct rwlock_entry *entry = &rwlock->entries[index];

	/* relaxed: seen to be so again after E1; acquire: raise_used() */
	if (atomic_load_explicit(&shared->writer, memory_order_relaxed) != 0 ||
	    atomic_load_explicit(&entry->owner, memory_order_relaxed) != 0 ||
	    atomic_load_explicit(&shared->used, memory_order_acquire) <=
	            index ||
	    in_use(rwlock, &rwlock->reader[index]) ||
	    !change(&entry->owner, 0, me)) /* E1 */
		return 0;
	/* seq_cst: RWLOCK_DEKKER, EVENT_DEKKER */
	if (stoa_likely((atomic_load_explicit(&shared->writer,
	                                      memory_order_seq_cst) |
	                 atomic_load_explicit(&shared->waiting,
	                                      memory_order_seq_cst)) == 0)) {
		got_read(rwlock, me, index);
		return 1;
	}
	leave_entry(rwlock, index, me);
	return 0;
}

static int try_read_once(struct rwlock_call *call)
{
	uint32_t index;
	int result = look_for_writer(call, 0);

	if (result != 0)
		return result;
	result = take_any_entry(call, &index);
	if (stoa_unlikely(result < 0))
		result = take_entry_when_full(call, &index);
	if (result < 0)
		return result;
	result = look_for_writer(call, 1);
	if (stoa_likely(result == 0))
		return got_read(call->rwlock, call->me, index);
	leave_entry(call->rwlock, index, call->me);
	return result;
}

static int try_read(struct rwlock_call *call)
{
	int result = AGAIN;

	for (int i = 0; i < TRIES && result == AGAIN; i++)
		result = try_read_once(call);
	return result == AGAIN ? -EAGAIN : result;
}

/* Once more what the thread has already. A writer that waits would else wait
 * for it, and it for the writer. */
static int lock_again(struct rwlock_hold *hold)
{
	if (hold->count == UINT32_MAX)
		return stoa_fail(-EOVERFLOW,
		                 "this thread has rwlock %s for reading "
		                 "4,294,967,295 times",
		                 hold->rwlock->object.name);
	hold->count++;
	return 0;
}

/* ---- Waiting ---------------------------------------------------------------------------- */

stoa_always_inline int begin(struct stoa_rwlock *rwlock,
                             struct rwlock_call *call)
{
	struct stoa_object *object = &rwlock->object;
	int result = stoa_object_enter(object);

	*call = (struct rwlock_call){ .rwlock = rwlock };
	if (stoa_unlikely(result != 0))
		return result;
	if (stoa_unlikely(!stoa_object_healthy(object)))
		return stoa_object_health(object);
	call->me = stoa_object_agent(object);
	if (stoa_unlikely(call->me == 0))
		return stoa_fail(-EAGAIN, "%d threads of this process use "
		                          "stoa, and no more can",
		                 STOA_THREAD_MAX);
	return 0;
}

static int wait_for(struct rwlock_call *call, int (*try)(struct rwlock_call *),
                    unsigned direction, struct stoa_deadline deadline)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	struct stoa_wait_note note = { .mode = direction };
	struct stoa_waiter waiter;
	int place = -1, result = -EAGAIN, step;

	stoa_waiter_init(&waiter, &rwlock->object, direction, deadline);
	waiter.note = &note;
	while (result == -EAGAIN) {
		waiter.blocker = AGENT_PEER(call->blocker);
		note.blockers = call->edge != 0;
		note.blocker[0] = call->edge;
		step = stoa_waiter_step(&waiter);
		if (step < 0)
			break;
		/* The process may have lost its old self, and what that had. */
		call->me = stoa_object_agent(&rwlock->object);
		if (waiter.armed)
			place = rwlock_enlist(call, direction, place);
		call->ask = waiter.slept > 0;
		call->blocker = call->edge = 0;
		result = try(call);
	}
	stoa_waiter_fini(&waiter);
	if (direction == STOA_WRITE && result == -EAGAIN && !call->brief)
		withdraw(call);
	if (place >= 0)
		rwlock_delist(call, direction, place);
	stoa_event_mark(); /* no more in the way of those after it */
	if (result != -EAGAIN)
		return result;
	/* What woke this one may have been meant for another writer. */
	if (direction == STOA_WRITE && waiter.slept &&
	    stoa_event_asked(&rwlock->object, STOA_WRITE))
		stoa_event_raise(&rwlock->object, STOA_WRITE, 1);
	return step;
}

static int release(struct stoa_rwlock *rwlock, uint64_t me);

/* The file may have been cut short on the way: nothing was locked then. */
static inline int finish(struct rwlock_call *call, int result)
{
	if (stoa_likely(!atomic_load_explicit(&call->rwlock->object.poisoned,
	                                      memory_order_relaxed)))
		return result;
	if (result == 0 || result == -EOWNERDEAD)
		release(call->rwlock, call->me);
	return stoa_object_health(&call->rwlock->object);
}

/* ---- Calls -------------------------------------------------------------------------------- */

static __attribute__((noinline)) int
lock_read_slowly(struct rwlock_call *call, struct stoa_deadline deadline)
{
	struct rwlock_hold *hold;
	int result;

	call->ask = call->brief = deadline.kind == STOA_DEADLINE_NOW;
	result = try_read(call);
	if (result == -EAGAIN) {
		hold = find_hold(call->rwlock, call->me);
		if (hold)
			return lock_again(hold);
		result = wait_for(call, try_read, STOA_READ, deadline);
	}
	return finish(call, result);
}

int stoa_rwlock_lock_read(struct stoa_rwlock *rwlock,
                          struct stoa_deadline deadline)
{
	struct rwlock_call call;
	uint32_t index;
	int result = begin(rwlock, &call);

	if (stoa_unlikely(result < 0))
		return result;
	index = first_entry(rwlock, call.me);
	if (holder(&rwlock->reader[index]) == call.me)
		return lock_again(&rwlock->reader[index]);
	if (stoa_likely(read_at_once(rwlock, call.me, index)))
		return finish(&call, 0);
	return lock_read_slowly(&call, deadline);
}

int stoa_rwlock_lock_write(struct stoa_rwlock *rwlock,
                           struct stoa_deadline deadline)
{
	struct rwlock_call call;
	int result = begin(rwlock, &call);

	if (result < 0)
		return result;
	if (stoa_thread_here.held && find_hold(rwlock, call.me))
		return stoa_fail(-EDEADLK,
		                 "this thread has rwlock %s for reading; "
		                 "unlock or upgrade",
		                 rwlock->object.name);
	call.ask = call.brief = deadline.kind == STOA_DEADLINE_NOW;
	result = try_write(&call);
	if (stoa_unlikely(result == -EAGAIN))
		result = wait_for(&call, try_write, STOA_WRITE, deadline);
	return finish(&call, result);
}

static int nothing_held(struct stoa_rwlock *rwlock, const char *what)
{
	return stoa_fail(-EPERM, "this thread hasn't locked rwlock %s%s (or "
	                         "lost it, its descriptors having been closed)",
	                 rwlock->object.name, what);
}

/* W4. */
static int release_write(struct stoa_rwlock *rwlock, uint64_t me)
{
	struct rwlock_hold *hold = &rwlock->writer;
	uint64_t next = hold->told_of_death ? RWLOCK_BROKEN : 0;

	drop_hold(hold);
	if (!change(&rwlock->shared->writer, me, next))
		return nothing_held(rwlock, "");
	if (stoa_unlikely(next))
		stoa_event_broadcast(&rwlock->object);
	else
		wake(rwlock);
	return 0;
}

stoa_always_inline int release_read(struct stoa_rwlock *rwlock,
                                    struct rwlock_hold *hold, uint64_t me)
{
	if (hold->count > 1) {
		hold->count--;
		return 0;
	}
	drop_hold(hold);
	if (leave_entry(rwlock, (uint32_t)(hold - rwlock->reader), me) < 0)
		return nothing_held(rwlock, "");
	return 0;
}

static int release(struct stoa_rwlock *rwlock, uint64_t me)
{
	struct rwlock_hold *hold = &rwlock->reader[first_entry(rwlock, me)];

	if (holder(&rwlock->writer) == me)
		return release_write(rwlock, me);
	if (stoa_unlikely(holder(hold) != me))
		hold = find_hold(rwlock, me);
	if (!hold)
		return nothing_held(rwlock, "");
	return release_read(rwlock, hold, me);
}

int stoa_rwlock_unlock(struct stoa_rwlock *rwlock)
{
	struct stoa_object *object = &rwlock->object;
	struct rwlock_hold *hold;
	uint64_t me;
	int result = stoa_object_enter(object);

	/* Also of a lock that was removed meanwhile. */
	me = result < 0 ? 0 : stoa_object_agent(object);
	if (stoa_unlikely(me == 0))
		return result < 0 ? result : nothing_held(rwlock, "");
	hold = &rwlock->reader[first_entry(rwlock, me)];
	result = stoa_likely(holder(hold) == me) ?
	                 release_read(rwlock, hold, me) :
	                 release(rwlock, me);
	if (stoa_unlikely(atomic_load_explicit(&object->poisoned,
	                                       memory_order_relaxed)))
		return stoa_object_health(object);
	return result;
}

int stoa_rwlock_downgrade(struct stoa_rwlock *rwlock)
{
	struct rwlock_call call;
	uint32_t index;
	int result = begin(rwlock, &call);

	if (result < 0)
		return result;
	call.ask = 1;
	if (holder(&rwlock->writer) != call.me)
		return nothing_held(rwlock, " for writing");
	if (rwlock->writer.told_of_death)
		return stoa_fail(-EINVAL,
		                 "rwlock %s: its last writer died; "
		                 "stoa_rwlock_consistent() comes before a "
		                 "downgrade",
		                 rwlock->object.name);
	result = take_any_entry(&call, &index);
	if (result < 0)
		return result;
	drop_hold(&rwlock->writer);
	got_read(rwlock, call.me, index);
	if (!change(&rwlock->shared->writer, call.me, 0)) { /* W4 */
		release_read(rwlock, &rwlock->reader[index], call.me);
		return nothing_held(rwlock, " for writing");
	}
	wake(rwlock);
	return finish(&call, 0);
}

/* 0: nobody reads but through entry `index`. */
static int look_for_others(struct rwlock_call *call, uint32_t index)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	uint32_t used = rwlock_used(rwlock);

	for (uint32_t i = 0; i < used; i++) {
		/* seq_cst: RWLOCK_DEKKER */
		uint64_t owner = atomic_load_explicit(
		        &rwlock->entries[i].owner, memory_order_seq_cst);

		if (owner == 0 || i == index)
			continue;
		if (rwlock_alive(rwlock, owner))
			return -EAGAIN;
		change(&rwlock->entries[i].owner, owner, 0);
	}
	return 0;
}

static int try_upgrade(struct rwlock_call *call, struct rwlock_hold *hold)
{
	struct stoa_rwlock *rwlock = call->rwlock;
	_Atomic uint64_t *writer = &rwlock->shared->writer;
	uint32_t index = (uint32_t)(hold - rwlock->reader);
	uint64_t word = atomic_load_explicit(writer, memory_order_relaxed);

	if ((word & RWLOCK_PENDING) && word != RWLOCK_BROKEN &&
	    !rwlock_alive(rwlock, word))
		change(writer, word, 0);                           /* W3 */
	if (!change(writer, 0, call->me | RWLOCK_PENDING))         /* W1 */
		return -EAGAIN;
	if (look_for_others(call, index) < 0 ||
	    !change(writer, call->me | RWLOCK_PENDING, call->me)) { /* W2 */
		withdraw(call);
		return -EAGAIN;
	}
	drop_hold(hold);
	if (leave_entry(rwlock, index, call->me) == 0)
		return got_write(call, 0);
	/* Taken for dead, it may not have read all the time. */
	if (change(writer, call->me, 0))
		wake(rwlock);
	return nothing_held(rwlock, " for reading");
}

int stoa_rwlock_upgrade(struct stoa_rwlock *rwlock)
{
	struct rwlock_call call;
	struct rwlock_hold *hold;
	int result = begin(rwlock, &call);

	if (result < 0)
		return result;
	hold = find_hold(rwlock, call.me);
	if (!hold)
		return nothing_held(rwlock, " for reading");
	if (hold->count > 1)
		return stoa_fail(-EINVAL,
		                 "this thread has rwlock %s for reading %u "
		                 "times; only once can be upgraded",
		                 rwlock->object.name, hold->count);
	return finish(&call, try_upgrade(&call, hold));
}

int stoa_rwlock_consistent(struct stoa_rwlock *rwlock)
{
	struct rwlock_call call;
	int result = begin(rwlock, &call);

	if (result < 0)
		return result;
	if (holder(&rwlock->writer) != call.me)
		return nothing_held(rwlock, " for writing");
	if (!rwlock->writer.told_of_death)
		return stoa_fail(-EINVAL, "rwlock %s: nobody died with it",
		                 rwlock->object.name);
	rwlock->writer.told_of_death = 0;
	atomic_store_explicit(&rwlock->shared->mending, 0,
	                      memory_order_relaxed);
	return finish(&call, 0);
}

int stoa_rwlock_held(struct stoa_rwlock *rwlock)
{
	struct rwlock_call call;
	int result = begin(rwlock, &call);

	if (result < 0)
		return result;
	if (holder(&rwlock->writer) == call.me)
		return STOA_WRITE;
	return find_hold(rwlock, call.me) ? STOA_READ : 0;
}
