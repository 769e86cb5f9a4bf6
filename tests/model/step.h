/* SPDX-License-Identifier: MIT */
/*
 * step.h: what the models share: steps, kills and stops.
 *
 * SHARED(step) is one access to shared memory, with what follows from it in
 * private. Instead of making it, a process with me < MORTAL may be killed, or
 * stopped for ever, DEATHS and STOPS of them in all. It then goes to `out`,
 * and forgets its locals (FORGET), so that there are fewer states.
 *
 * Stopped and late to resume needs nothing: that's what interleaving means.
 */
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif

#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif

#define KILLED 1
#define STOPPED 2
#define ENDED 3

byte deaths = DEATHS, stops = STOPS;
byte gone[6]; /* by process; 0: at work */

#if DEATHS > 0 || STOPS > 0
#define OR_GO                                                  \
	:: d_step { me < MORTAL && deaths > 0 ->               \
		    deaths--; gone[me] = KILLED; FORGET }      \
	   goto out                                            \
	:: d_step { me < MORTAL && stops > 0 ->                \
		    stops--; gone[me] = STOPPED; FORGET }      \
	   goto out
#else
#define OR_GO
#endif

#define SHARED(step)                                           \
	if                                                     \
	:: d_step { step }                                     \
	OR_GO                                                  \
	fi

/* The same when the step is a choice, which in a d_step it can't be. */
#define CHOICE(step)                                           \
	if                                                     \
	:: atomic { step }                                     \
	OR_GO                                                  \
	fi

/* A compare-and-swap that tells in `ok` whether it was done. */
#define EXCHANGE(word, expected, desired)                      \
	SHARED(ok = ((word) == (expected));                    \
	       if                                              \
	       :: ok -> word = desired                         \
	       :: else                                         \
	       fi)
