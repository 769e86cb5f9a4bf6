/* SPDX-License-Identifier: MIT */
/* sync/condition.c: waiting, signalling, broadcasting. Making and opening is
 * in condition_open.c, what people see in condition_inspect.c; why it holds
 * is in condition_layout.h. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <sync/condition_internal.h>

#define PATROL_ASKS 8u /* lives that a sleeper asks for at each slice */
#define TELL_TURNS 4096 /* in each another was told: enough of that is enough */
#define TELL_DEAD 4     /* found by a signal before it looks for all */

static int exchange(struct condition_record *record, uint64_t expected,
                    uint64_t desired)
{
	/* seq_cst: S1 of the layout's race; as acq_rel a signal pairs with the
	 * waiter's look at its word */
	return atomic_compare_exchange_strong_explicit(
	        &record->word, &expected, desired, memory_order_seq_cst,
	        memory_order_relaxed);
}

static uint64_t word_of(const struct condition_record *record)
{
	return atomic_load_explicit(&record->word, memory_order_seq_cst);
}

static uint64_t released(const struct stoa_condition *condition)
{
	return atomic_load_explicit(&condition->shared->released,
	                            memory_order_seq_cst);
}

static int alive(struct stoa_condition *condition, uint64_t agent)
{
	return stoa_life_alive(&condition->object.space->life,
	                       AGENT_PEER(agent));
}

/* ---- Telling --------------------------------------------------------------------- */

/* The bit of the record's sleeper among those on the event. */
static uint32_t bit_of(const struct stoa_condition *condition,
                       const struct condition_record *record)
{
	return 1u << (uint32_t)(record - condition->shared->records) %
	                       CONDITION_BITS;
}

struct choice {
	struct condition_record *record; /* NULL: nobody waits */
	uint64_t word, ticket;
};

/* The wait that began first of those not told. */
static struct choice choose(struct stoa_condition *condition)
{
	uint32_t used = condition_used(condition);
	uint64_t before = released(condition);
	struct choice best = { .ticket = UINT64_MAX };

	for (uint32_t i = 0; i < used; i++) {
		struct condition_record *record =
		        &condition->shared->records[i];
		uint64_t word = word_of(record);
		uint64_t ticket = atomic_load_explicit(&record->ticket,
		                                       memory_order_relaxed);

		if (word == 0 || (word & CONDITION_TOLD) || ticket <= before ||
		    ticket >= best.ticket)
			continue;
		best = (struct choice){ record, word, ticket };
	}
	return best;
}

/* S2 to S4. 0: it was asleep as far as it said, and nobody woke. */
static int wake(struct stoa_condition *condition,
                struct condition_record *record)
{
	if (!atomic_load_explicit(&record->asleep, memory_order_seq_cst))
		return 1;
	return stoa_event_raise_bits(&condition->object, STOA_READ,
	                             bit_of(condition, record)) > 0;
}

/* Those that were not told: their records are of no use to anybody. */
static void clear_dead(struct stoa_condition *condition)
{
	uint32_t used = condition_used(condition);

	for (uint32_t i = 0; i < used; i++) {
		struct condition_record *record =
		        &condition->shared->records[i];
		uint64_t word = word_of(record);

		if (word != 0 && !(word & CONDITION_TOLD) &&
		    !alive(condition, word))
			exchange(record, word, 0);
	}
}

/* A turn ends without telling anybody when another was told, gave up or died
 * meanwhile. Whoever scribbles could make that last: so not for ever. */
int condition_tell_one(struct stoa_condition *condition)
{
	int dead = 0;

	for (int turn = 0; turn < TELL_TURNS; turn++) {
		struct choice choice = choose(condition);
		uint64_t told = choice.word | CONDITION_TOLD;

		if (!choice.record)
			return 0;
		if (!exchange(choice.record, choice.word, told))
			continue;
		int woken = wake(condition, choice.record);
		if (released(condition) >= choice.ticket)
			continue; /* it was going anyway */
		if (woken || alive(condition, choice.word))
			return 1;
		/* Taken back, unless a sleeper has found it and passes it on. */
		if (!exchange(choice.record, told, 0))
			return 1;
		if (++dead == TELL_DEAD)
			clear_dead(condition);
	}
	return 1;
}

static void tell_observers(struct stoa_condition *condition)
{
	if (stoa_event_asked(&condition->object, STOA_READ) &
	    (EVENT_OBSERVERS | EVENT_BELL))
		stoa_event_raise(&condition->object, STOA_READ, STOA_FUTEX_ALL);
}

int stoa_condition_signal(struct stoa_condition *condition)
{
	uint64_t agent;
	int result = condition_begin(condition, &agent);

	if (stoa_unlikely(result < 0))
		return result;
	/* seq_cst: EVENT_DEKKER with observers */
	atomic_fetch_add_explicit(&condition->shared->count, 1,
	                          memory_order_seq_cst);
	result = condition_tell_one(condition);
	tell_observers(condition);
	return condition_end(condition, result);
}

int stoa_condition_broadcast(struct stoa_condition *condition)
{
	struct condition_shared *shared = condition->shared;
	uint64_t agent;
	int result = condition_begin(condition, &agent);

	if (stoa_unlikely(result < 0))
		return result;
	atomic_fetch_add_explicit(&shared->count, 1, memory_order_seq_cst);
	atomic_fetch_add_explicit(&shared->broadcasts, 1, memory_order_relaxed);
	uint64_t tickets = atomic_load_explicit(&shared->tickets,
	                                        memory_order_seq_cst);
	uint64_t before = released(condition);
	while (before < tickets &&
	       !atomic_compare_exchange_weak_explicit(
	               &shared->released, &before, tickets,
	               memory_order_seq_cst, memory_order_seq_cst))
		;
	if (before < tickets)
		stoa_event_raise_bits(&condition->object, STOA_READ,
		                      UINT32_MAX);
	tell_observers(condition);
	return condition_end(condition, 0);
}

/* ---- The dead -------------------------------------------------------------------- */

void condition_bury(struct stoa_condition *condition,
                    struct condition_record *record, uint64_t word,
                    uint64_t agent)
{
	uint64_t ticket = atomic_load_explicit(&record->ticket,
	                                       memory_order_relaxed);

	if (!(word & CONDITION_TOLD) || ticket <= released(condition) ||
	    STOA_BUG(24)) {
		exchange(record, word, 0);
		return;
	}
	/* Mine first, so that only one passes it on; and gone last, so that it
	 * isn't lost if I die. */
	if (!exchange(record, word, agent | CONDITION_TOLD))
		return;
	condition_tell_one(condition);
	exchange(record, agent | CONDITION_TOLD, 0);
}

void condition_bury_all(struct stoa_condition *condition, uint64_t agent)
{
	uint32_t used = condition_used(condition);

	for (uint32_t i = 0; i < used; i++) {
		struct condition_record *record =
		        &condition->shared->records[i];
		uint64_t word = word_of(record);

		if (word != 0 && !alive(condition, word))
			condition_bury(condition, record, word, agent);
	}
}

void condition_patrol(struct stoa_condition *condition, uint64_t agent)
{
	uint32_t used = condition_used(condition);
	uint32_t first = atomic_fetch_add_explicit(
	        &condition->cursor, PATROL_ASKS, memory_order_relaxed);
	uint32_t asked = 0;

	for (uint32_t i = 0; i < used; i++) {
		uint32_t index = (first + i) % used;
		struct condition_record *record =
		        &condition->shared->records[index];
		uint64_t word = word_of(record);

		if (word == 0 || AGENT_PEER(word) == AGENT_PEER(agent))
			continue;
		/* Those that were told matter; others only take up room. */
		if (!(word & CONDITION_TOLD) && asked >= PATROL_ASKS)
			continue;
		if (asked++ >= 4 * PATROL_ASKS)
			break;
		if (!alive(condition, word))
			condition_bury(condition, record, word, agent);
	}
}

/* ---- Waiting ---------------------------------------------------------------------- */

struct wait {
	struct stoa_condition *condition;
	struct condition_record *record;
	uint64_t agent, ticket;
};

static struct condition_record *claim(struct stoa_condition *condition,
                                      uint64_t agent)
{
	struct condition_shared *shared = condition->shared;

	for (uint32_t i = 0; i < condition->capacity; i++) {
		struct condition_record *record = &shared->records[i];
		uint32_t used;

		if (word_of(record) != 0 || !exchange(record, 0, agent))
			continue;
		used = atomic_load_explicit(&shared->used,
		                            memory_order_relaxed);
		/* release: pairs with the acquire in condition_used() */
		while (used <= i && !atomic_compare_exchange_weak_explicit(
		                            &shared->used, &used, i + 1,
		                            memory_order_release,
		                            memory_order_relaxed))
			;
		return record;
	}
	return NULL;
}

static int begin_wait(struct wait *wait)
{
	struct stoa_condition *condition = wait->condition;

	wait->ticket = atomic_fetch_add_explicit(&condition->shared->tickets, 1,
	                                         memory_order_seq_cst) +
	               1;
	wait->record = claim(condition, wait->agent);
	if (!wait->record && !STOA_BUG(25)) {
		condition_bury_all(condition, wait->agent);
		wait->record = claim(condition, wait->agent);
	}
	if (!wait->record)
		return stoa_fail(-EUSERS,
		                 "%u wait on condition %s already, as many as "
		                 "it was made for",
		                 condition->capacity, condition->object.name);
	/* relaxed: hints, and for people. `asleep` may be an earlier wait's:
	 * a wake too many. */
	atomic_store_explicit(&wait->record->ticket, wait->ticket,
	                      memory_order_relaxed);
	atomic_store_explicit(&wait->record->tid, stoa_thread_here.tid,
	                      memory_order_relaxed);
	atomic_store_explicit(&wait->record->since_ns,
	                      stoa_sys_clock_ns(CLOCK_REALTIME_COARSE),
	                      memory_order_relaxed);
	atomic_store_explicit(&wait->record->asleep, 0, memory_order_relaxed);
	return 0;
}

/* W3. Also when others have taken this process for dead, and the record. */
static int told(const struct wait *wait)
{
	return word_of(wait->record) != wait->agent ||
	       released(wait->condition) >= wait->ticket;
}

/* Whether a wait that ends so may still turn out to have been told. */
static int only_late(int result)
{
	return result == -ETIMEDOUT || result == -EAGAIN || result == -EINTR;
}

/* 0: told. Else why the sleep ended: -ETIMEDOUT, -EAGAIN, -EINTR, -EIDRM ... */
static int sleep_until_told(struct wait *wait, struct stoa_deadline deadline)
{
	struct condition_record *record = wait->record;
	struct stoa_waiter waiter;
	int slept = 0, step = 0;

	stoa_waiter_init(&waiter, &wait->condition->object, STOA_READ,
	                 deadline);
	waiter.bits = bit_of(wait->condition, record);
	while (!told(wait)) {
		/* seq_cst: W1, before the step that reads the event */
		if (waiter.spins_left == 0 && !waiter.armed)
			atomic_store_explicit(&record->asleep, 1,
			                      memory_order_seq_cst);
		step = stoa_waiter_step(&waiter);
		if (step < 0)
			break;
		if (waiter.slept > slept && !told(wait))
			condition_patrol(wait->condition, wait->agent);
		slept = waiter.slept;
	}
	stoa_waiter_fini(&waiter);
	return only_late(step) && told(wait) ? 0 : step;
}

static int lock_again(struct stoa_mutex *mutex, int depth)
{
	int died = 0;

	for (int i = 0; i < depth; i++) {
		int result;

		do {
			result = stoa_mutex_lock(mutex, STOA_FOREVER);
		} while (result == -EINTR);
		if (result == -EOWNERDEAD)
			died = result;
		else if (result < 0)
			return result;
	}
	return died;
}

static int unlock_all(struct stoa_mutex *mutex, int depth)
{
	for (int i = 0; i < depth; i++) {
		int result = stoa_mutex_unlock(mutex);

		if (result < 0)
			return result;
	}
	return 0;
}

/* The wait is over, with `result`. If it was told after all, and this one
 * can't have it, another gets it. */
static void end_wait(struct wait *wait, int has_had_it)
{
	uint64_t word = wait->agent | CONDITION_TOLD;

	if (exchange(wait->record, wait->agent, 0))
		return;
	if (!has_had_it && word_of(wait->record) == word &&
	    released(wait->condition) < wait->ticket)
		condition_tell_one(wait->condition);
	exchange(wait->record, word, 0);
}

static int wait_and_lock(struct wait *wait, struct stoa_mutex *mutex,
                         int depth, struct stoa_deadline deadline)
{
	int result = sleep_until_told(wait, deadline);
	int gone = 0, locked;

	/* Gives up before it locks: no signal shall find one who went. */
	if (result < 0)
		gone = exchange(wait->record, wait->agent, 0);
	if (only_late(result) && !gone)
		result = 0;
	locked = lock_again(mutex, depth);
	if (!gone)
		end_wait(wait, locked == 0 || locked == -EOWNERDEAD);
	if (locked < 0)
		return locked;
	/* Where the file was cut short, what was read proves nothing. */
	if (stoa_unlikely(atomic_load(&wait->condition->object.poisoned)))
		return stoa_object_health(&wait->condition->object);
	return result;
}

int stoa_condition_wait(struct stoa_condition *condition,
                        struct stoa_mutex *mutex, struct stoa_deadline deadline)
{
	struct wait wait = { .condition = condition };
	int result = condition_begin(condition, &wait.agent);
	int depth = result < 0 ? result : stoa_mutex_held(mutex);

	if (depth <= 0)
		return depth < 0 ? depth :
		                   stoa_fail(-EPERM,
		                             "condition %s: this thread has "
		                             "not locked the mutex",
		                             condition->object.name);
	result = condition_end(condition, 0);
	if (result == 0)
		result = begin_wait(&wait);
	if (result < 0)
		return result;
	result = unlock_all(mutex, depth);
	if (result < 0) {
		end_wait(&wait, 0);
		return result;
	}
	return wait_and_lock(&wait, mutex, depth, deadline);
}
