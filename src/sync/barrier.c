/* SPDX-License-Identifier: MIT */
/* sync/barrier.c: coming, waiting and leaving. Why it holds:
 * barrier_layout.h, whose transitions are named here. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <sync/barrier_internal.h>

#include <limits.h>

#define TRIES 16 /* before words that others keep changing, and one each slot */
#define WITHDRAW_TRIES 1000000 /* others, one by one, withdraw too */
#define SLOT_STRIDE 8 /* processes begin at slots so far apart */

enum { AGAIN = 1 }; /* what was seen has changed: look again */

/* One who comes. */
struct call {
	struct stoa_barrier *barrier;
	uint64_t me;
	uint32_t round; /* in which it has come */
	uint32_t slot;
	int come;
	int look; /* all may have come, or somebody be dead */
	int ask;  /* whether who is in the way lives */
	stoa_peer blocker;
};

static int change(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
	/* seq_cst: the order of looks and changes decides, EVENT_DEKKER;
	 * release and acquire for what was written before coming */
	return atomic_compare_exchange_strong_explicit(
	        word, &from, to, memory_order_seq_cst, memory_order_seq_cst);
}

static int change_slot(struct call *call, uint32_t round, uint32_t slot,
                       uint64_t from, uint64_t to)
{
	struct stoa_barrier *barrier = call->barrier;

	return change(
	        &barrier->slots[barrier_slot_index(barrier, round, slot)],
	        from, to);
}

/* A slot has become free: somebody may wait for that. */
static void tell_held_up(struct stoa_barrier *barrier)
{
	_Atomic uint32_t *held_up = &barrier->shared->held_up;

	/* seq_cst: EVENT_DEKKER */
	if (stoa_likely(!atomic_load_explicit(held_up, memory_order_seq_cst)))
		return;
	atomic_exchange_explicit(held_up, 0, memory_order_seq_cst);
	stoa_event_raise(&barrier->object, STOA_READ, INT_MAX);
}

static void say_held_up(struct stoa_barrier *barrier)
{
	/* seq_cst: EVENT_DEKKER, who frees a slot is to tell */
	atomic_exchange_explicit(&barrier->shared->held_up, 1,
	                         memory_order_seq_cst);
}

/* ---- Ending a round ---------------------------------------------------------- */

/* Whether none of the living still has a slot of the round before `round`. */
static int last_round_left(struct call *call, uint32_t round)
{
	struct stoa_barrier *barrier = call->barrier;

	for (uint32_t i = 0; i < barrier->count; i++) {
		uint64_t word = barrier_slot(barrier, round + 1, i);

		if (stoa_likely(word == 0))
			continue;
		if (!barrier_alive(barrier, word)) {
			change_slot(call, round + 1, i, word, 0); /* B8 */
			continue;
		}
		say_held_up(barrier);
		if (barrier_slot(barrier, round + 1, i) == 0)
			continue;
		call->blocker = AGENT_PEER(word);
		return 0;
	}
	return 1;
}

/* B3. `word` was seen before what ends the round. 0: it has ended by this. */
static int end_round(struct call *call, uint64_t word, uint64_t broken)
{
	struct stoa_barrier *barrier = call->barrier;
	uint32_t round = BARRIER_ROUND(word);

	if (!last_round_left(call, round)) {
		call->look = 1;
		return -EAGAIN;
	}
	if (!change(&barrier->shared->round, word,
	            (uint64_t)(uint32_t)(round + 1) | broken))
		return AGAIN;
	if (stoa_event_asked(&barrier->object, STOA_READ))
		stoa_event_raise(&barrier->object, STOA_READ, INT_MAX);
	return 0;
}

static int all_have_come(struct call *call)
{
	struct stoa_barrier *barrier = call->barrier;
	uint32_t slot = call->slot;

	for (uint32_t i = 0; i < barrier->count; i++) {
		if (!barrier_has_come(
		            barrier_slot(barrier, call->round, slot)))
			return 0;
		if (++slot == barrier->count)
			slot = 0;
	}
	return 1;
}

/* The next one after this one who has a slot, of another process; 0: nobody.
 * Each looks after one other, so that together they look after all. */
static uint64_t find_neighbour(struct call *call, uint32_t *ret_slot)
{
	struct stoa_barrier *barrier = call->barrier;
	uint32_t slot = call->slot;

	for (uint32_t i = 1; i < barrier->count; i++) {
		uint64_t word;

		if (++slot == barrier->count)
			slot = 0;
		word = barrier_slot(barrier, call->round, slot);
		if (word == 0 || AGENT_PEER(word) == AGENT_PEER(call->me))
			continue;
		*ret_slot = slot;
		return word;
	}
	return 0;
}

static struct barrier_info *info_of(struct stoa_barrier *barrier,
                                    uint32_t round, uint32_t slot)
{
	return &barrier->infos[barrier_slot_index(barrier, round, slot)];
}

/* One who has a slot and died; 0: nobody. `*ret_living`: how many live. */
static uint64_t find_dead(struct call *call, uint32_t *ret_slot,
                          uint32_t *ret_living)
{
	struct stoa_barrier *barrier = call->barrier;
	uint64_t found = 0;

	*ret_living = 0;
	for (uint32_t i = 0; i < barrier->count; i++) {
		uint64_t word = barrier_slot(barrier, call->round, i);

		if (word == 0)
			continue;
		if (barrier_alive(barrier, word)) {
			++*ret_living;
			continue;
		}
		*ret_slot = i;
		found = word;
	}
	return found;
}

/* B4 to B6 for a dead one, from wherever it or another who did this died. */
static int forget(struct call *call, uint64_t round_word, uint32_t slot,
                  uint64_t word)
{
	struct stoa_barrier *barrier = call->barrier;
	uint64_t leaving = BARRIER_AGENT(word) | BARRIER_LEAVING;

	if (word & BARRIER_COMING) {
		change_slot(call, call->round, slot, word, 0);
		tell_held_up(barrier);
		return AGAIN;
	}
	if (word != leaving &&
	    !change_slot(call, call->round, slot, word, leaving))
		return AGAIN;
	if (!change(&barrier->shared->round, round_word,
	            round_word + BARRIER_VERSION))
		return AGAIN;
	change_slot(call, call->round, slot, leaving, 0);
	tell_held_up(barrier);
	return AGAIN;
}

static int meet_dead(struct call *call, uint64_t round_word, uint32_t slot,
                     uint64_t word)
{
	if (STOA_BUG(33))
		return -EAGAIN;
	if (call->barrier->death == STOA_BARRIER_BREAKS || STOA_BUG(32))
		return end_round(call, round_word, BARRIER_BROKEN);
	return forget(call, round_word, slot, word);
}

/* All have come, but where somebody has slept, somebody may have died. */
static int end_with_all(struct call *call, uint64_t round_word)
{
	uint32_t slow = atomic_load_explicit(&call->barrier->shared->slow,
	                                     memory_order_relaxed);
	uint32_t slot = 0, living;
	uint64_t word = 0;

	if (slow == call->round + 1)
		word = find_dead(call, &slot, &living);
	if (stoa_unlikely(word))
		return meet_dead(call, round_word, slot, word);
	return end_round(call, round_word, 0);
}

/* 0: the round has ended by this. AGAIN, -EAGAIN. */
static int look_once(struct call *call)
{
	struct stoa_barrier *barrier = call->barrier;
	uint64_t round_word = barrier_round(barrier);
	uint64_t word;
	uint32_t slot = 0;

	if (BARRIER_ROUND(round_word) != call->round)
		return AGAIN;
	if (all_have_come(call))
		return end_with_all(call, round_word);
	word = find_neighbour(call, &slot);
	call->blocker = AGENT_PEER(word);
	if (word == 0 || !call->ask || barrier_alive(barrier, word))
		return -EAGAIN;
	return meet_dead(call, round_word, slot, word);
}

/* By one who finds no slot: if nobody lives to look after the others. The
 * living are left to end their round, as one of them is to be told. */
static int look_for_others(struct call *call)
{
	uint64_t round_word = barrier_round(call->barrier);
	uint32_t slot = 0, living;
	uint64_t word;

	if (BARRIER_ROUND(round_word) != call->round)
		return AGAIN;
	if (!call->ask)
		return -EAGAIN;
	word = find_dead(call, &slot, &living);
	if (word == 0 || living > 0)
		return -EAGAIN;
	return meet_dead(call, round_word, slot, word);
}

/* ---- Coming and leaving --------------------------------------------------------- */

static int is_over(struct call *call, uint64_t *ret_round_word)
{
	*ret_round_word = barrier_round(call->barrier);
	return BARRIER_ROUND(*ret_round_word) != call->round;
}

/* B7, or B6 after the end: the round is over, and this one was counted. */
static int leave(struct call *call, uint64_t round_word, uint64_t word)
{
	change_slot(call, call->round, call->slot, word, 0);
	tell_held_up(call->barrier);
	return round_word & BARRIER_BROKEN ? -EOWNERDEAD : 0;
}

/* B1, of a slot that is free; or B9. */
static int take_slot(struct call *call, uint32_t round, uint32_t slot,
                     int evict)
{
	struct stoa_barrier *barrier = call->barrier;
	uint64_t word = barrier_slot(barrier, round, slot);

	if (word != 0 && !(evict && (word & BARRIER_COMING)))
		return 0;
	return change_slot(call, round, slot, word,
	                   call->me | BARRIER_COMING);
}

static int take_any_slot(struct call *call, uint32_t round, int evict,
                         uint32_t *ret_slot)
{
	struct stoa_barrier *barrier = call->barrier;
	_Atomic uint32_t *hint =
	        &barrier->hint[AGENT_THREAD(call->me) % BARRIER_HINTS];
	uint32_t slot = atomic_load_explicit(hint, memory_order_relaxed);

	if (slot == 0)
		slot = (LIFE_SLOT(call->me) * SLOT_STRIDE +
		        AGENT_THREAD(call->me) - 1) %
		       barrier->count;
	else
		slot--;
	for (uint32_t i = 0; i < barrier->count; i++) {
		if (take_slot(call, round, slot, evict)) {
			atomic_store_explicit(hint, slot + 1,
			                      memory_order_relaxed);
			*ret_slot = slot;
			return 0;
		}
		if (++slot == barrier->count)
			slot = 0;
	}
	return -EAGAIN;
}

static void inform(struct call *call, uint32_t round, uint32_t slot)
{
	struct stoa_barrier *barrier = call->barrier;
	struct barrier_info *info = info_of(barrier, round, slot);

	atomic_store_explicit(&info->since_ns,
	                      stoa_sys_clock_ns(CLOCK_REALTIME_COARSE),
	                      memory_order_relaxed);
	atomic_store_explicit(&info->tid, stoa_thread_here.tid,
	                      memory_order_relaxed);
	/* release: pairs with the acquire of who shows them */
	atomic_store_explicit(&info->told, call->me, memory_order_release);
}

/* 0: it has come. AGAIN. -EAGAIN: every slot is taken, by more threads than it
 * takes to end a round. */
static int come_once(struct call *call)
{
	struct stoa_barrier *barrier = call->barrier;
	uint64_t coming = call->me | BARRIER_COMING;
	uint32_t round = BARRIER_ROUND(barrier_round(barrier));
	uint32_t slot;
	int result = take_any_slot(call, round, 0, &slot);

	if (stoa_unlikely(result < 0)) {
		say_held_up(barrier);
		result = take_any_slot(call, round, call->ask, &slot);
	}
	if (result < 0) {
		call->round = round;
		call->slot = 0;
		call->blocker = AGENT_PEER(barrier_slot(barrier, round, 0));
		return look_for_others(call) == -EAGAIN ? -EAGAIN : AGAIN;
	}
	if (stoa_unlikely(BARRIER_ROUND(barrier_round(barrier)) != round)) {
		change_slot(call, round, slot, coming, 0);
		tell_held_up(barrier);
		return AGAIN;
	}
	inform(call, round, slot);
	if (!change_slot(call, round, slot, coming, call->me)) /* B2 */
		return AGAIN;
	call->round = round;
	call->slot = slot;
	call->come = call->look = 1;
	if (stoa_unlikely(stoa_event_asked(&barrier->object, STOA_WRITE)))
		stoa_event_raise(&barrier->object, STOA_WRITE, INT_MAX);
	return 0;
}

static int come(struct call *call)
{
	int result = AGAIN;

	for (uint32_t i = 0; i < TRIES + call->barrier->count; i++) {
		result = come_once(call);
		if (result != AGAIN)
			break;
	}
	return result == AGAIN ? -EAGAIN : result;
}

/* 0 or more: the round is over. -EOWNERDEAD: it is, and was broken. */
static int try_wait(struct call *call)
{
	uint64_t round_word;
	int result = call->come ? 0 : come(call);

	if (result < 0)
		return result;
	for (uint32_t i = 0; i < TRIES + call->barrier->count; i++) {
		if (is_over(call, &round_word))
			return leave(call, round_word, call->me);
		if (!call->look)
			return -EAGAIN;
		call->look = 0;
		result = look_once(call);
		if (result == 0) {
			is_over(call, &round_word);
			result = leave(call, round_word, call->me);
			return result < 0 ? result : STOA_BARRIER_SERIAL;
		}
		if (result != AGAIN)
			return result;
		call->look = 1;
	}
	return -EAGAIN;
}

/* The wait ends with `why`, unless the round has ended first: the round word
 * decides (B5). */
static int withdraw(struct call *call, int why)
{
	struct stoa_barrier *barrier = call->barrier;
	uint64_t leaving = call->me | BARRIER_LEAVING;
	uint64_t round_word;
	uint32_t tries = 0;

	if (!call->come ||
	    !change_slot(call, call->round, call->slot, call->me,
	                 leaving)) /* B4; else taken for dead */
		return why;
	do {
		if (is_over(call, &round_word))
			return leave(call, round_word, leaving);
		if (tries++ > WITHDRAW_TRIES)
			return stoa_object_damaged(&barrier->object,
			                           "its round word never "
			                           "rests");
	} while (!change(&barrier->shared->round, round_word,
	                 round_word + BARRIER_VERSION)); /* B5 */
	change_slot(call, call->round, call->slot, leaving, 0); /* B6 */
	tell_held_up(barrier);
	return why;
}

/* This round lasts: who ends it asks whether all live. */
static void say_slow(struct call *call)
{
	_Atomic uint32_t *slow = &call->barrier->shared->slow;

	/* relaxed: too late, it is as if the death had come later */
	if (atomic_load_explicit(slow, memory_order_relaxed) != call->round + 1)
		atomic_store_explicit(slow, call->round + 1,
		                      memory_order_relaxed);
}

static int wait_for_end(struct call *call, struct stoa_deadline deadline)
{
	struct stoa_waiter waiter;
	int result = -EAGAIN;

	stoa_waiter_init(&waiter, &call->barrier->object, STOA_READ, deadline);
	while (result == -EAGAIN) {
		int step;

		waiter.blocker = call->blocker;
		step = stoa_waiter_step(&waiter);
		if (step < 0) {
			result = withdraw(call, step);
			break;
		}
		call->ask = waiter.slept > 0;
		/* Asleep, it isn't there to see who comes last, or dies. */
		call->look |= waiter.armed;
		if (waiter.armed && call->come)
			say_slow(call);
		result = try_wait(call);
	}
	stoa_waiter_fini(&waiter);
	return result;
}

int stoa_barrier_wait(struct stoa_barrier *barrier,
                      struct stoa_deadline deadline)
{
	struct stoa_object *object = &barrier->object;
	struct call call = { .barrier = barrier };
	int result = stoa_object_enter(object);

	if (result < 0)
		return result;
	if (stoa_unlikely(!stoa_object_healthy(object)))
		return stoa_object_health(object);
	call.me = stoa_object_agent(object);
	if (stoa_unlikely(call.me == 0 ||
	                  AGENT_THREAD(call.me) > BARRIER_THREAD_MAX))
		return stoa_fail(-EAGAIN,
		                 "more than %u threads of this process use "
		                 "stoa: too many for barrier %s",
		                 BARRIER_THREAD_MAX, object->name);
	call.ask = deadline.kind == STOA_DEADLINE_NOW;
	result = try_wait(&call);
	if (result == -EAGAIN)
		result = wait_for_end(&call, deadline);
	if (stoa_unlikely(atomic_load_explicit(&object->poisoned,
	                                       memory_order_relaxed)))
		return stoa_object_health(object);
	return result;
}
