/* SPDX-License-Identifier: MIT */
/* space/event.c: waiting for a change of an object's truth. */
#include <base/deadline.h>
#include <base/futex.h>
#include <base/ring.h>
#include <base/system.h>
#include <space/event.h>

#include <errno.h>

#define SPINS_PROBE 200u
#define SPINS_MAX 2000u
#define SPINS_PER_CLOCK 64u        /* deadline looked at so often */
#define WAITS_PER_PROBE 32u /* without a budget, spun at so often */
#define NAP_NS INT64_C(1000000) /* before somebody's death is listened for */

void stoa_event_init(struct stoa_object *object)
{
	/* Not those that this process may run on: pinned to one, it waits for
	 * peers on others. Spinning in vain costs its budget soon. */
	atomic_store_explicit(&object->processors, object->space->processors,
	                      memory_order_relaxed);
	atomic_store_explicit(&object->spin_budget, SPINS_MAX,
	                      memory_order_relaxed);
	atomic_store_explicit(&object->yielding.gap, STOA_YIELD_GAP_MIN,
	                      memory_order_relaxed);
}

void stoa_event_fini(struct stoa_object *object)
{
	stoa_bell_close(object);
}

/* ---- Handlers of signals ------------------------------------------------------- */

static const struct stoa_interrupts *(*_Atomic interrupts_of_thread)(void);

void stoa_count_interrupts(
        const struct stoa_interrupts *(*of_this_thread)(void))
{
	atomic_store_explicit(&interrupts_of_thread, of_this_thread,
	                      memory_order_release);
}

/* relaxed: handlers of this very thread change it. 0: nobody counts. */
static int count_interrupts(struct stoa_interrupts *ret_interrupts)
{
	/* acquire: pairs with the release above */
	const struct stoa_interrupts *(*here)(void) =
	        atomic_load_explicit(&interrupts_of_thread,
	                             memory_order_acquire);
	const struct stoa_interrupts *count = here ? here() : NULL;

	if (!count)
		return 0;
	ret_interrupts->all = __atomic_load_n(&count->all, __ATOMIC_RELAXED);
	ret_interrupts->unrestarted = __atomic_load_n(&count->unrestarted,
	                                              __ATOMIC_RELAXED);
	return 1;
}

/* Whether a handler has run that ends the wait. `result` is the sleep's: a
 * handler that nobody counted shows there only. */
static int was_interrupted(struct stoa_waiter *waiter, int result)
{
	struct stoa_interrupts now, before = waiter->interrupts;

	if (!(waiter->object->flags & STOA_INTERRUPTIBLE))
		return 0;
	if (!count_interrupts(&now))
		return result == -EINTR;
	waiter->interrupts = now;
	if (now.all == before.all)
		return result == -EINTR;
	return now.unrestarted != before.unrestarted ||
	       !(waiter->object->flags & STOA_RESTART);
}

/* ---- Waiting -------------------------------------------------------------------- */

/* Such a wait ends before it sleeps or yields: nothing is to be learnt by it. */
static int long_past(struct stoa_deadline deadline)
{
	return deadline.kind == STOA_DEADLINE_INSTANT && deadline.ns <= 0;
}

void stoa_waiter_init(struct stoa_waiter *waiter, struct stoa_object *object,
                      unsigned direction, struct stoa_deadline deadline)
{
	*waiter = (struct stoa_waiter){ .object = object,
		                        .direction = direction,
		                        .word = stoa_event_word(object,
		                                                direction),
		                        .deadline = deadline,
		                        .pidfd = -1 };
	if (object->flags & STOA_INTERRUPTIBLE)
		count_interrupts(&waiter->interrupts);
	if (deadline.kind == STOA_DEADLINE_NOW ||
	    atomic_load_explicit(&object->processors, memory_order_relaxed) < 2)
		return;
	waiter->spins_left = atomic_load_explicit(&object->spin_budget,
	                                          memory_order_relaxed);
	if (waiter->spins_left == 0 && !long_past(deadline) &&
	    atomic_fetch_add_explicit(&object->waits, 1,
	                              memory_order_relaxed) %
	                    WAITS_PER_PROBE ==
	            0)
		waiter->spins_left = SPINS_PROBE;
}

void stoa_waiter_forgive(struct stoa_waiter *waiter)
{
	if (waiter->object->flags & STOA_INTERRUPTIBLE)
		count_interrupts(&waiter->interrupts);
}

void stoa_waiter_may_yield(struct stoa_waiter *waiter)
{
	/* Whoever is to be notified of an arrival would be, beside a waiter that
	 * doesn't sleep. */
	if (waiter->deadline.kind != STOA_DEADLINE_NOW &&
	    !long_past(waiter->deadline) &&
	    !(atomic_load_explicit(waiter->word, memory_order_relaxed) &
	      EVENT_NOTIFY))
		stoa_yielding_begin(&waiter->object->yielding, &waiter->yields);
}

static _Atomic uint32_t *waiting_count(struct stoa_waiter *waiter,
                                       struct stoa_seat *seat)
{
	return waiter->direction == STOA_READ ? &seat->readers_waiting :
	                                        &seat->writers_waiting;
}

/* For people: who waits, and since when. */
static void tell_waiting(struct stoa_waiter *waiter, int begins)
{
	struct stoa_seat *seat = atomic_load_explicit(&waiter->object->seat,
	                                              memory_order_relaxed);

	if (!seat)
		return;
	if (begins) {
		atomic_store_explicit(&seat->waiting_since_ns,
		                      stoa_sys_clock_ns(CLOCK_REALTIME_COARSE),
		                      memory_order_relaxed);
		/* release: who sees one waiting sees since when */
		atomic_fetch_add_explicit(waiting_count(waiter, seat), 1,
		                          memory_order_release);
	} else {
		atomic_fetch_sub_explicit(waiting_count(waiter, seat), 1,
		                          memory_order_relaxed);
		atomic_store_explicit(&seat->waiting_since_ns, 0,
		                      memory_order_relaxed);
	}
}

/* seq_cst: EVENT_DEKKER, the truth is looked at next. */
void stoa_waiter_arm(struct stoa_waiter *waiter)
{
	waiter->seen = atomic_fetch_or_explicit(waiter->word, EVENT_SLEEPERS,
	                                        memory_order_seq_cst) |
	               EVENT_SLEEPERS;
}

int stoa_waiter_move(struct stoa_waiter *waiter, _Atomic uint32_t *word)
{
	if (waiter->word == word)
		return 0;
	waiter->word = word;
	if (waiter->armed)
		stoa_waiter_arm(waiter);
	return waiter->armed;
}

/* Wakes may come all the time, and none be for this one. */
static int patrol_due(struct stoa_object *object)
{
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE);

	return now - atomic_load_explicit(&object->patrol_ns,
	                                  memory_order_relaxed) >
	       STOA_SLICE_NS;
}

static void stop_listening(struct stoa_waiter *waiter)
{
	stoa_ring_close(waiter->ring);
	if (waiter->pidfd >= 0)
		stoa_sys_close(waiter->pidfd);
	waiter->ring = NULL;
	waiter->pidfd = -1;
}

/*
 * The blocker's death is a matter of its pidfd: a hint, as a process number
 * may mean another process here, or none. Whoever sleeps on it looks at the
 * life table again.
 */
static void listen_for_death(struct stoa_waiter *waiter)
{
	struct stoa_life *life = &waiter->object->space->life;
	struct life_record record = { 0 };

	if (waiter->watched == waiter->blocker)
		return;
	stop_listening(waiter);
	waiter->watched = waiter->blocker;
	/* Who is in the way of its own process's threads dies with them. */
	if (waiter->blocker == 0 ||
	    waiter->blocker == atomic_load_explicit(&life->self->peer,
	                                            memory_order_relaxed) ||
	    stoa_life_record(life, LIFE_SLOT(waiter->blocker), &record) < 0 ||
	    record.generation != LIFE_GENERATION(waiter->blocker))
		return;
	waiter->pidfd = (int)stoa_system_call(SYS_pidfd_open, record.pid, 0, 0,
	                                      0, 0, 0);
	if (waiter->pidfd >= 0 && stoa_ring_open(&waiter->ring) < 0)
		stop_listening(waiter);
}

static int sleep_on(struct stoa_waiter *waiter, int64_t slice)
{
	_Atomic uint32_t *word = waiter->word;
	int result = -ENOSYS;

	if (waiter->bits)
		return stoa_futex_wait_bits(word, waiter->seen, waiter->bits,
		                            slice);
	if (waiter->slept > 1 && waiter->blocker != 0)
		listen_for_death(waiter);
	else if (slice > NAP_NS &&
	         (waiter->blocker != 0 ||
	          (waiter->note && waiter->note->blockers)))
		slice = NAP_NS;
	if (waiter->ring)
		result = stoa_ring_wait(waiter->ring, word, waiter->seen,
		                        waiter->pidfd, slice);
	if (result == -ENOSYS)
		return stoa_futex_wait(word, waiter->seen, slice);
	if (result != 1)
		return result;
	stop_listening(waiter);
	return -ETIMEDOUT; /* the patrol is due */
}

static int sleep_a_slice(struct stoa_waiter *waiter, int64_t left)
{
	struct stoa_object *object = waiter->object;
	int64_t slice = left < STOA_SLICE_NS ? left : STOA_SLICE_NS;
	int result;

	if (waiter->note && waiter->slept == 1)
		waiter->began_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	if (waiter->note && waiter->slept > 1) {
		result = stoa_waits_tell(waiter);
		if (result != 0)
			return result < 0 ? result : 0;
	}
	if (was_interrupted(waiter, 0))
		return -EINTR;
	result = sleep_on(waiter, slice);
	waiter->sliced = result == -ETIMEDOUT;
	/* Before the event is armed again, and the truth looked at. */
	if (waiter->note)
		waiter->looked = stoa_cpu_ticks();
	if (was_interrupted(waiter, result))
		return -EINTR;
	if (result == -ETIMEDOUT || patrol_due(object)) {
		stoa_life_reprobe(&object->space->life);
		result = stoa_object_enter(object);
		if (result < 0)
			return result;
		stoa_object_patrol(object);
	}
	return 0;
}

int stoa_waiter_step(struct stoa_waiter *waiter)
{
	int result;

	if (waiter->deadline.kind == STOA_DEADLINE_NOW)
		return -EAGAIN;
	if (waiter->spins_left > 0) {
		waiter->spins_left--;
		waiter->spun++;
		stoa_cpu_pause();
		if (waiter->deadline.kind == STOA_DEADLINE_INSTANT &&
		    waiter->spun % SPINS_PER_CLOCK == 0 &&
		    stoa_deadline_left(waiter->deadline) == 0) {
			waiter->in_vain = 1;
			return -ETIMEDOUT;
		}
		return 0;
	}
	result = stoa_object_health(waiter->object);
	if (result < 0)
		return result;
	int64_t left = stoa_deadline_left(waiter->deadline);
	if (left == 0) {
		waiter->in_vain = 1;
		return -ETIMEDOUT;
	}
	if (waiter->yields.left > 0) {
		stoa_yield(&waiter->yields);
		return 0;
	}
	if (!waiter->armed) {
		waiter->armed = 1;
		tell_waiting(waiter, 1);
		stoa_waiter_arm(waiter);
		return 0;
	}
	waiter->slept++;
	result = sleep_a_slice(waiter, left);
	if (result < 0)
		return result;
	result = stoa_object_health(waiter->object);
	if (!waiter->lingers)
		stoa_waiter_arm(waiter);
	return result;
}

void stoa_waiter_fini(struct stoa_waiter *waiter)
{
	struct stoa_object *object = waiter->object;
	uint32_t budget = atomic_load_explicit(&object->spin_budget,
	                                       memory_order_relaxed);

	if (waiter->armed)
		tell_waiting(waiter, 0);
	stoa_waits_clear(waiter);
	stop_listening(waiter);
	stoa_yielding_learn(&object->yielding, &waiter->yields, waiter->slept);
	/* Spinning was in vain, too, if it took a yield. */
	if (waiter->slept || waiter->yields.done)
		budget = budget / 2 < SPINS_PROBE / 8 ? 0 : budget / 2;
	else if (waiter->in_vain)
		return; /* cut short, it says nothing */
	else if (waiter->spun)
		budget = budget * 2 + SPINS_PROBE < SPINS_MAX ?
		                 budget * 2 + SPINS_PROBE :
		                 SPINS_MAX;
	else
		return;
	atomic_store_explicit(&object->spin_budget, budget,
	                      memory_order_relaxed);
}

int stoa_event_raise_bits(struct stoa_object *object, unsigned direction,
                          uint32_t bits)
{
	_Atomic uint32_t *word = stoa_event_word(object, direction);

	atomic_fetch_add_explicit(word, EVENT_COUNT, memory_order_seq_cst);
	return stoa_futex_wake_bits(word, STOA_FUTEX_ALL, bits);
}

/*
 * A wake that finds nobody takes the bits away. A waiter that armed before
 * that, with the value that the waker had left, may go to sleep after the
 * vain wake and have its bit taken from under it: so everyone is woken once
 * more after the bits are gone, and arms again.
 */
static int wake(_Atomic uint32_t *word, int count)
{
	uint32_t sleeping = EVENT_SLEEPERS | EVENT_OBSERVERS;
	uint32_t event = atomic_fetch_add_explicit(word, EVENT_COUNT,
	                                           memory_order_seq_cst) +
	                 EVENT_COUNT;

	if (event & EVENT_OBSERVERS)
		count = STOA_FUTEX_ALL;
	stoa_event_mark();
	int woken = stoa_futex_wake(word, count);
	if (woken > 0) {
		/* An observer that came meanwhile may have been woken in the
		 * stead of one who may act. */
		if (count != STOA_FUTEX_ALL &&
		    (atomic_load_explicit(word, memory_order_relaxed) &
		     EVENT_OBSERVERS))
			woken += stoa_futex_wake(word, STOA_FUTEX_ALL);
		return woken;
	}
	if (atomic_compare_exchange_strong_explicit(word, &event,
	                                            event & ~sleeping,
	                                            memory_order_seq_cst,
	                                            memory_order_relaxed))
		woken = stoa_futex_wake(word, STOA_FUTEX_ALL);
	return woken > 0 ? woken : 0;
}

/*
 * Whoever is woken sets the bit again (arm), then looks. A waiter that armed,
 * but doesn't sleep yet, finds the event changed. So there is no need to wake
 * again when nobody was found.
 */
void stoa_event_raise_one(struct stoa_object *object, unsigned direction)
{
	_Atomic uint32_t *word = stoa_event_word(object, direction);
	uint32_t event = atomic_load_explicit(word, memory_order_seq_cst);

	while ((event & EVENT_ANYBODY) == EVENT_SLEEPERS) {
		if (!atomic_compare_exchange_weak_explicit(
		            word, &event,
		            (event & ~(uint32_t)EVENT_SLEEPERS) + EVENT_COUNT,
		            memory_order_seq_cst, memory_order_seq_cst))
			continue;
		stoa_event_mark();
		stoa_futex_wake(word, 1);
		/* An observer that came meanwhile may have been woken in the
		 * stead of one who may act. */
		event = atomic_load_explicit(word, memory_order_relaxed);
		break;
	}
	if (event & (EVENT_OBSERVERS | EVENT_BELL))
		stoa_event_raise(object, direction, STOA_FUTEX_ALL);
}

int stoa_event_raise_word(_Atomic uint32_t *word, int count)
{
	uint32_t event = atomic_load_explicit(word, memory_order_relaxed);

	if (!(event & (EVENT_SLEEPERS | EVENT_OBSERVERS)))
		return 0;
	return wake(word, count);
}

int stoa_event_raise(struct stoa_object *object, unsigned direction, int count)
{
	int woken = 0;
	_Atomic uint32_t *word = stoa_event_word(object, direction);
	uint32_t event = atomic_load_explicit(word, memory_order_relaxed);

	if (event & (EVENT_SLEEPERS | EVENT_OBSERVERS))
		woken = wake(word, count);
	event = atomic_load_explicit(word, memory_order_relaxed);
	if (event & EVENT_BELL) {
		/* Rung before the bit goes: dying in between rings twice. The
		 * bit is taken from this very word only: a poller that was
		 * rung, found nothing and asks again has counted it up. */
		if (stoa_bell_ring(object, direction) >= 0)
			atomic_compare_exchange_strong_explicit(
			        word, &event, event & ~(uint32_t)EVENT_BELL,
			        memory_order_relaxed, memory_order_relaxed);
	}
	return woken;
}

void stoa_event_broadcast(struct stoa_object *object)
{
	static const unsigned directions[2] = { STOA_READ, STOA_WRITE };

	for (int i = 0; i < 2; i++) {
		_Atomic uint32_t *word = stoa_event_word(object, directions[i]);

		atomic_fetch_add_explicit(word, EVENT_COUNT,
		                          memory_order_seq_cst);
		stoa_futex_wake(word, STOA_FUTEX_ALL);
		if (atomic_load_explicit(word, memory_order_relaxed) &
		    EVENT_BELL)
			stoa_bell_ring(object, directions[i]);
	}
	if (object->kind->broadcast)
		object->kind->broadcast(object);
}
