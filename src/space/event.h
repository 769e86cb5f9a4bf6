/* SPDX-License-Identifier: MIT */
/*
 * space/event.h: waiting for a change of an object's truth, and telling of
 * one. See object_layout.h for the protocol (EVENT_DEKKER).
 *
 * A wait looks like this:
 *
 *	stoa_waiter_init(&waiter, object, STOA_READ, deadline);
 *	while ((result = try(...)) == -EAGAIN &&
 *	       (step = stoa_waiter_step(&waiter)) == 0)
 *		;
 *	stoa_waiter_fini(&waiter);
 *
 * The first steps spin, later ones arm the event, sleep, and patrol.
 */
#ifndef STOA_SPACE_EVENT_H
#define STOA_SPACE_EVENT_H

#include <base/futex.h>
#include <space/object.h>
#include <space/waits.h>

struct stoa_ring;

struct stoa_waiter {
	struct stoa_object *object;
	unsigned direction;
	_Atomic uint32_t *word; /* the event to sleep on */
	struct stoa_deadline deadline;
	uint32_t spins_left;
	uint32_t spun;
	struct stoa_yields yields; /* see stoa_waiter_may_yield() */
	int in_vain;      /* the deadline has passed */
	uint32_t seen; /* the event's value to sleep on */
	int lingers; /* once woken, the kind arms when it is ready to try */
	int armed;
	int slept;
	int sliced; /* the last sleep ended with nobody waking */
	uint32_t bits; /* mask of the sleep; 0: any wake is for this one */
	/* In the way: its death ends a sleep at once, wherever the kernel has
	 * io_uring and shows the process, and after a slice elsewhere. Set by
	 * whoever finds it there; 0: nobody in particular. */
	stoa_peer blocker;
	stoa_peer watched; /* whose pidfd it is; 0: none */
	int pidfd;         /* -1: none */
	struct stoa_ring *ring;
	/* What it waits for, to be shown to others: the kind's own; NULL: not
	 * shown. See waits.h. */
	struct stoa_wait_note *note;
	struct stoa_interrupts interrupts; /* of the thread, as last seen */
	int64_t began_ns;  /* CLOCK_MONOTONIC: when it first slept */
	uint64_t looked;   /* stoa_cpu_ticks() when it last woke */
};

void stoa_event_init(struct stoa_object *object);
void stoa_event_fini(struct stoa_object *object);

static inline _Atomic uint32_t *stoa_event_word(struct stoa_object *object,
                                                unsigned direction)
{
	return direction == STOA_READ ? &object->events->readable :
	                                &object->events->writable;
}

void stoa_waiter_init(struct stoa_waiter *waiter, struct stoa_object *object,
                      unsigned direction, struct stoa_deadline deadline);
/* Before the waiter sleeps it may leave the processor to others once or twice,
 * if that has been of use. For waits that others on the same processor end, and
 * whose looks are short. */
void stoa_waiter_may_yield(struct stoa_waiter *waiter);
/* 0: look again. Else what the wait ends with: -EAGAIN, -ETIMEDOUT, -EINTR,
 * -EIDRM, -EUCLEAN, -EIO, -EDEADLK (with a note that asks for it). */
int stoa_waiter_step(struct stoa_waiter *waiter);
/* For those that linger, after each sleep: then look at the truth. */
void stoa_waiter_arm(struct stoa_waiter *waiter);
void stoa_waiter_fini(struct stoa_waiter *waiter);
/* Handlers of signals that have run up to now don't end it. */
void stoa_waiter_forgive(struct stoa_waiter *waiter);

/* From now on the waiter sleeps on another event: one of the kind's own, that
 * follows the same protocol and that kind->broadcast wakes. 1: look at the truth again
 * before the next step. */
int stoa_waiter_move(struct stoa_waiter *waiter, _Atomic uint32_t *word);

/* Tells up to `count` waiters; call it when stoa_event_asked() says so.
 * Returns how many slept. */
int stoa_event_raise(struct stoa_object *object, unsigned direction,
                     int count);

/* Tells one waiter, and takes EVENT_SLEEPERS away with it: until that one arms
 * again, which it does before it looks, nobody else is woken for nothing. For
 * truths that one waiter at a time can have, and that call this each time it
 * is given up. */
void stoa_event_raise_one(struct stoa_object *object, unsigned direction);

/* Wakes the sleepers that have one of these bits in their mask, or none; and
 * leaves all else as it is. Returns how many slept. */
int stoa_event_raise_bits(struct stoa_object *object, unsigned direction,
                          uint32_t bits);
/* The same for sleepers on an event of the kind's own. */
int stoa_event_raise_word(_Atomic uint32_t *word, int count);

/* Whether anybody wants to be told. seq_cst: EVENT_DEKKER; the change came
 * before as a seq_cst read-modify-write. */
static inline uint32_t stoa_event_asked(struct stoa_object *object,
                                        unsigned direction)
{
	return atomic_load_explicit(stoa_event_word(object, direction),
	                            memory_order_seq_cst) &
	       EVENT_ANYBODY;
}

/* To be called after something was given up that others wait for, and before
 * the thread waits again: stoa_event_raise() does, so only by kinds that leave
 * a wake to somebody else. See CIRCLES in waits_layout.h. */
static inline void stoa_event_mark(void)
{
	stoa_thread_here.raised = stoa_cpu_ticks();
}

/* The same where reading the counter would be felt. When the thread waits, it
 * counts as done just then, so a circle may be found a slice later. */
static inline void stoa_event_mark_cheaply(void)
{
	stoa_thread_here.gave_up = 1;
}

/* Wakes all waiters of both directions, and rings both bells. */
void stoa_event_broadcast(struct stoa_object *object);

/* ---- Bells (bell.c) ------------------------------------------------------ */

/* The poll descriptor of a direction; made on first use. */
int stoa_bell_open(struct stoa_object *object, unsigned direction);
/* Bells for an object without a name: no file that others could find, so made
 * at once, and inherited; or, for another handle on it, that one's. */
int stoa_bell_inherit(struct stoa_object *object,
                      const struct stoa_object *from);
/* A call with STOA_NOW has found nothing: let the descriptor fall back, and
 * ask to be rung. */
void stoa_bell_rearm(struct stoa_object *object, unsigned direction);
/* Makes poll descriptors of the direction readable. 0 or -errno. */
int stoa_bell_ring(struct stoa_object *object, unsigned direction);
void stoa_bell_close(struct stoa_object *object);
/* Removes an object's bell files; `generation` names them. */
void stoa_bell_remove(int directory, uint64_t generation);
/* 1 and the generation, if `file` is a bell file's name. */
int stoa_bell_name(const char *file, uint64_t *ret_generation);

#endif
