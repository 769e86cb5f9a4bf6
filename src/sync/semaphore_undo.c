/* SPDX-License-Identifier: MIT */
/*
 * sync/semaphore_undo.c: semaphores that know who holds their permits. See
 * WITH UNDO in semaphore_layout.h.
 */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <sync/semaphore_internal.h>

#define SPINS 1000
#define SPINS_PER_QUESTION 100 /* is the owner alive? */
/* Who must not wait for permits waits for the turn so long at most; turns last
 * less than a microsecond, unless their owner is preempted or stopped. */
#define TURN_NS INT64_C(10000000)

/* relaxed: changed under the turn only. */
#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), value, memory_order_relaxed)

/* Keeps the compiler from moving stores: what is before it is in memory before
 * what is after it, for whoever takes over from this process when it is dead. */
static void in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* ---- The turn ----------------------------------------------------------------- */

static int exchange(struct semaphore_extension *extension, uint64_t expected,
                    uint64_t desired)
{
	/* acquire: pairs with the release in release_turn(), or with nothing
	 * when the owner died (its writes ended before the kernel said so) */
	return atomic_compare_exchange_strong_explicit(
	        &extension->turn, &expected, desired, memory_order_acquire,
	        memory_order_relaxed);
}

static int dead(struct stoa_semaphore *semaphore, uint64_t turn)
{
	return AGENT_PEER(turn) == 0 ||
	       !stoa_life_alive(&semaphore->object.space->life,
	                        AGENT_PEER(turn));
}

/* A turn that nobody can have, and nobody would give back: the caller's own, as
 * calls keep none, or one of no thread of this process. */
static int false_turn(uint64_t turn, uint64_t agent)
{
	turn &= ~TURN_WAITERS;
	return AGENT_PEER(turn) == AGENT_PEER(agent) &&
	       (turn == agent || AGENT_THREAD(turn) == 0);
}

static void sleep_for_turn(struct semaphore_extension *extension,
                           uint64_t turn, int64_t left)
{
	/* acquire: not after the turn, which is given up before the event
	 * counts on */
	uint32_t event = atomic_load_explicit(&extension->turn_event,
	                                      memory_order_acquire);

	if (atomic_load_explicit(&extension->turn, memory_order_seq_cst) ==
	    (turn | TURN_WAITERS))
		stoa_futex_wait(&extension->turn_event, event,
		                left < STOA_SLICE_NS ? left : STOA_SLICE_NS);
}

/* 0: the turn is ours. 1: and was a dead one's. */
static int wait_for_turn(struct stoa_semaphore *semaphore, uint64_t agent,
                         struct stoa_deadline deadline)
{
	struct semaphore_extension *extension = semaphore->extension;
	uint64_t keep = 0; /* TURN_WAITERS once slept */
	int spins = get(semaphore->object.processors) > 1 ? SPINS : 1;

	for (;;) {
		uint64_t turn = get(extension->turn);

		if (turn == 0 && exchange(extension, 0, agent | keep))
			return 0;
		if (spins > 0 && --spins % SPINS_PER_QUESTION != 0) {
			stoa_cpu_pause();
			continue;
		}
		if (turn != 0 && dead(semaphore, turn) &&
		    exchange(extension, turn, agent | TURN_WAITERS))
			return 1;
		if (false_turn(turn, agent))
			return stoa_object_damaged(&semaphore->object,
			                           "the owner of its turn "
			                           "can't be true");
		int64_t left = stoa_deadline_left(deadline);
		if (left == 0)
			break;
		if (spins > 0 || turn == 0 ||
		    (!(turn & TURN_WAITERS) &&
		     !exchange(extension, turn, turn | TURN_WAITERS)))
			continue;
		sleep_for_turn(extension, turn, left);
		keep = TURN_WAITERS;
	}
	if (keep) /* this one may have been woken in another's stead */
		stoa_futex_wake(&extension->turn_event, 1);
	return -ETIMEDOUT;
}

static void release_turn(struct stoa_semaphore *semaphore, uint64_t agent)
{
	struct semaphore_extension *extension = semaphore->extension;
	uint64_t turn = agent;

	/* seq_cst: release, pairs with the acquire in exchange(); and
	 * EVENT_DEKKER: who posted looks at the event next */
	if (stoa_likely(atomic_compare_exchange_strong_explicit(
	            &extension->turn, &turn, 0, memory_order_seq_cst,
	            memory_order_relaxed)))
		return;
	turn = agent | TURN_WAITERS;
	if (!atomic_compare_exchange_strong_explicit(&extension->turn, &turn, 0,
	                                             memory_order_seq_cst,
	                                             memory_order_relaxed))
		return; /* others took us for dead, or somebody scribbled */
	atomic_fetch_add_explicit(&extension->turn_event, 1,
	                          memory_order_seq_cst);
	stoa_futex_wake(&extension->turn_event, 1);
}

/* ---- Truth and index ---------------------------------------------------------- */

static uint32_t used(struct stoa_semaphore *semaphore)
{
	uint32_t count = get(semaphore->extension->used);

	return count < semaphore->holder_count ? count :
	                                         semaphore->holder_count;
}

/* relaxed: who takes permits acquires the turn. */
static void set_value(struct stoa_semaphore *semaphore, uint64_t value)
{
	uint64_t word = get(*semaphore->word);

	set(*semaphore->word, (word & ~SEMAPHORE_VALUE_MASK) | value);
}

static uint32_t value_of(struct stoa_semaphore *semaphore)
{
	return (uint32_t)(get(*semaphore->word) & SEMAPHORE_VALUE_MASK);
}

/* The word from the truth; total is cut to what the maximum allows. */
static void work_out(struct stoa_semaphore *semaphore)
{
	struct semaphore_extension *extension = semaphore->extension;
	uint64_t total = get(extension->total);
	uint64_t held = 0;
	uint32_t holders = used(semaphore);

	for (uint32_t i = 0; i < holders; i++)
		held += get(semaphore->holders[i].held);
	if (total > held + semaphore->maximum) {
		total = held + semaphore->maximum;
		set(extension->total, total);
		in_order();
	}
	set_value(semaphore, total > held ? total - held : 0);
}

/* Takes the turn and sees to it that the word is what the truth says. 0 and
 * the agent, or -EUSERS, -ETIMEDOUT. */
static int take_turn(struct stoa_semaphore *semaphore,
                     struct stoa_deadline deadline, uint64_t *ret_agent)
{
	uint64_t agent = stoa_object_agent(&semaphore->object);
	int result = 0;

	if (agent == 0)
		return stoa_fail(-EUSERS,
		                 "this process has more threads than semaphore "
		                 "%s can tell apart",
		                 semaphore->object.name);
	if (stoa_unlikely(!exchange(semaphore->extension, 0, agent))) {
		if (deadline.kind == STOA_DEADLINE_NOW)
			deadline = stoa_deadline_in(TURN_NS);
		result = wait_for_turn(semaphore, agent, deadline);
		if (result < 0)
			return result;
	}
	if (result == 1)
		work_out(semaphore);
	*ret_agent = agent;
	return 0;
}

/* ---- Holders -------------------------------------------------------------------- */

/* This handle's holder, NULL if it has none. */
static struct semaphore_holder *own(struct stoa_semaphore *semaphore)
{
	stoa_peer peer = get(semaphore->object.peer);
	struct semaphore_holder *holder =
	        &semaphore->holders[semaphore->own_index];

	if (semaphore->own_peer != peer || get(holder->peer) != peer ||
	    get(holder->serial) != semaphore->own_serial)
		return NULL;
	return holder;
}

/* Who holds nothing may be told to claim again. */
static struct semaphore_holder *claim(struct stoa_semaphore *semaphore)
{
	uint32_t count = semaphore->holder_count, found = count;

	for (uint32_t i = 0; i < count && found == count; i++)
		if (get(semaphore->holders[i].peer) == 0)
			found = i;
	for (uint32_t i = 0; i < count && found == count; i++)
		if (get(semaphore->holders[i].held) == 0)
			found = i;
	if (found == count)
		return NULL;
	struct semaphore_holder *holder = &semaphore->holders[found];
	if (found >= get(semaphore->extension->used))
		set(semaphore->extension->used, found + 1);
	semaphore->own_peer = get(semaphore->object.peer);
	semaphore->own_index = found;
	semaphore->own_serial = get(holder->serial) + 1;
	set(holder->held, 0);
	set(holder->serial, semaphore->own_serial);
	in_order();
	set(holder->peer, semaphore->own_peer);
	return holder;
}

/* The first holder from `first` on whose peer is dead; used() if none. */
static uint32_t find_dead(struct stoa_semaphore *semaphore, uint32_t first)
{
	struct stoa_life *life = &semaphore->object.space->life;
	stoa_peer self = get(semaphore->object.peer);
	uint32_t holders = used(semaphore);

	for (uint32_t i = first; i < holders; i++) {
		stoa_peer peer = get(semaphore->holders[i].peer);

		if (peer != 0 && peer != self && !stoa_life_alive(life, peer))
			return i;
	}
	return holders;
}

/* Under the turn. */
static uint32_t free_holder(struct stoa_semaphore *semaphore,
                            struct semaphore_holder *holder)
{
	uint32_t held = get(holder->held);

	set(holder->held, 0); /* commits */
	in_order();
	if (held != 0 && !STOA_BUG(21))
		work_out(semaphore);
	in_order();
	set(holder->peer, 0);
	return held;
}

/* ---- What the calls do --------------------------------------------------------------- */

static int take(struct stoa_semaphore *semaphore, uint32_t permits,
                uint32_t tag)
{
	uint64_t word = get(*semaphore->word);
	uint32_t value = (uint32_t)(word & SEMAPHORE_VALUE_MASK);
	struct semaphore_holder *holder = own(semaphore);

	if (value < permits || semaphore_gate_closed(word, tag))
		return -EAGAIN;
	if (!holder)
		holder = claim(semaphore);
	if (!holder || get(holder->held) > UINT32_MAX - permits)
		return stoa_fail(-ENOSPC,
		                 "as many handles hold permits of semaphore %s "
		                 "as it can tell apart",
		                 semaphore->object.name);
	set(holder->held, get(holder->held) + permits); /* commits */
	in_order();
	set(*semaphore->word, semaphore_gate_after(word, tag) - permits);
	return 0;
}

int semaphore_undo_take(struct stoa_semaphore *semaphore, uint32_t permits,
                        uint32_t tag, struct stoa_deadline deadline)
{
	uint64_t agent;
	int result = take_turn(semaphore, deadline, &agent);

	if (result == -ETIMEDOUT)
		return -EAGAIN; /* the wait's deadline will tell */
	if (result < 0)
		return result;
	result = take(semaphore, permits, tag);
	release_turn(semaphore, agent);
	return result;
}

static int post(struct stoa_semaphore *semaphore, uint32_t permits)
{
	struct semaphore_extension *extension = semaphore->extension;
	struct semaphore_holder *holder = own(semaphore);
	uint32_t held = holder ? get(holder->held) : 0;
	uint32_t value = value_of(semaphore);

	if (value > semaphore->maximum ||
	    permits > semaphore->maximum - value)
		return -EOVERFLOW;
	if (permits > held) {
		set(extension->total,
		    get(extension->total) + (permits - held)); /* commits */
		in_order();
	}
	if (held != 0) /* commits, if it's enough */
		set(holder->held, permits > held ? 0 : held - permits);
	in_order();
	set_value(semaphore, value + permits);
	return 0;
}

int semaphore_undo_post(struct stoa_semaphore *semaphore, uint32_t permits)
{
	uint64_t agent;
	int result = take_turn(semaphore, STOA_FOREVER, &agent);

	if (result < 0)
		return result;
	result = post(semaphore, permits);
	release_turn(semaphore, agent);
	return result;
}

/* One who died in a post may have committed it, and not said so in the word;
 * it need not be a holder. */
static int turn_is_dead(struct stoa_semaphore *semaphore)
{
	uint64_t turn = get(semaphore->extension->turn);

	return stoa_unlikely(turn != 0) && dead(semaphore, turn) &&
	       !STOA_BUG(20);
}

int64_t semaphore_undo_bury(struct stoa_semaphore *semaphore)
{
	uint32_t index = find_dead(semaphore, 0);
	uint32_t value = value_of(semaphore);
	uint64_t agent;
	int64_t came = 0;

	if (index >= used(semaphore) && !turn_is_dead(semaphore))
		return 0;
	int result = take_turn(semaphore, STOA_NOW, &agent);
	if (result < 0)
		return result;
	int rose = value_of(semaphore) > value;
	/* Looked for again: another may have buried it, and a third have
	 * claimed it since. */
	while ((index = find_dead(semaphore, index)) < used(semaphore))
		came += free_holder(semaphore, &semaphore->holders[index++]);
	set(semaphore->extension->undone,
	    get(semaphore->extension->undone) + (uint64_t)came);
	release_turn(semaphore, agent);
	return came + rose;
}

void semaphore_undo_give_up(struct stoa_semaphore *semaphore)
{
	uint64_t agent;

	if (semaphore->own_peer == 0 ||
	    take_turn(semaphore, STOA_FOREVER, &agent) < 0)
		return;
	struct semaphore_holder *holder = own(semaphore);
	uint32_t held = holder ? free_holder(semaphore, holder) : 0;
	release_turn(semaphore, agent);
	if (held != 0 && stoa_event_asked(&semaphore->object, STOA_READ))
		stoa_event_raise(&semaphore->object, STOA_READ,
		                 STOA_FUTEX_ALL);
}

stoa_peer semaphore_undo_somebody(struct stoa_semaphore *semaphore)
{
	uint32_t holders = used(semaphore);

	for (uint32_t i = 0; i < holders; i++)
		if (get(semaphore->holders[i].held) != 0)
			return get(semaphore->holders[i].peer);
	return 0;
}
