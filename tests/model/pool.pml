/* SPDX-License-Identifier: MIT */
/*
 * pool.pml: SLAB_INSIDE of slab_layout.h: who has the lease of a slab takes
 * blocks with plain stores, and others take the lease away with a membarrier.
 *
 * Mirrors src/memory/slab.c and slab.h: slab_take(), slab_lease(), call(),
 * slab_bury(), and freeing by a plain store. One slab of BLOCKS blocks, three
 * processes with a desk each. Not here: desks that change their owner, several
 * slabs, handing over (one exchange), waiting.
 *
 * The store T1 may be seen as late as T3 or T4 by others: it is in a buffer
 * (`late`) until then, or until a membarrier. That's what processors do. T3 is
 * in it, too, but behind T1 and before T4, so it need not be modelled.
 *
 * Asserted: a block is used by one living process at a time; in the end all
 * blocks are free or a dead one's, and nobody is inside who isn't dead.
 */
#define MORTAL 3
#define BLOCKS 2
#ifndef ROUNDS
#define ROUNDS 2, 1, 1
#endif
#define LOCALS byte desk, number, held, block, w; bit called, ok, got
#define FORGET desk = 0; number = 0; held = 0; block = 0; w = 0; \
	called = 0; ok = 0; got = 0
#include "step.h"

#define ME (me + 1)
#define DEAD(who) (gone[(who) - 1] == KILLED)

byte lease_desk, lease_number;
bit lease_called;
byte word[BLOCKS];  /* 0: free; 1 + who */
byte used[BLOCKS];
bit inside[3], late[3];
byte rounds[3] = { ROUNDS };

#ifdef MUTANT_NO_GENERATION
#define SAME_LEASE (lease_desk == desk && lease_called == called)
#define NEXT_NUMBER number
#else
#define SAME_LEASE \
	(lease_desk == desk && lease_number == number && \
	 lease_called == called)
#define NEXT_NUMBER ((number + 1) % 8)
#endif

#define DRAIN(who) inside[who] = inside[who] || late[who]; late[who] = 0

inline exchange_lease(to, is_called, to_number)
{
	SHARED(ok = SAME_LEASE;
	       if
	       :: ok ->
			lease_desk = to;
			lease_called = is_called;
			lease_number = to_number
	       :: else
	       fi)
}

/* C1 to C3; ok: the desk's owner is outside. */
inline call()
{
	if
	:: !called -> exchange_lease(desk, 1, number); called = 1
	:: else -> ok = 1
	fi;
	if
	:: ok ->
#ifndef MUTANT_NO_BARRIER
		SHARED(DRAIN(0); DRAIN(1); DRAIN(2));
#endif
#ifdef MUTANT_NOT_ASKED
		skip
#else
		SHARED(ok = !inside[desk - 1])
#endif
	:: else
	fi
}

/* held: the number of the lease that is ours; 0 in got: it isn't. */
inline take_lease()
{
	SHARED(desk = lease_desk; number = lease_number;
	       called = lease_called);
	if
	:: desk == 0 || desk == ME -> ok = 1
	:: else ->
		SHARED(ok = DEAD(desk));
		if
		:: !ok -> call()
		:: else
		fi
	fi;
	if
	:: ok ->
		held = NEXT_NUMBER;
		exchange_lease(ME, 0, held)
	:: else
	fi
}

inline bury()
{
	SHARED(w = word[block]; ok = (w != 0 && DEAD(w)));
	if
	:: ok -> EXCHANGE(word[block], w, 0)
	:: else
	fi
}

/* Any of the blocks may be the one that it knows of. */
inline take_block()
{
	if
	:: block = 0
	:: block = 1
	fi;
	SHARED(late[me] = 1); /* T1 */
	SHARED(ok = (lease_desk == ME && lease_number == held &&
	             !lease_called)); /* T2 */
	if
	:: ok ->
		SHARED(w = word[block]);
		if
		:: w == 0 ->
			SHARED(DRAIN(me); word[block] = ME); /* T3 */
			got = 1
		:: else
		fi
	:: else
	fi;
	SHARED(DRAIN(me); inside[me] = 0) /* T4 */
}

inline use()
{
	SHARED(assert(used[block] == 0 || DEAD(used[block]));
	       used[block] = ME);
	SHARED(assert(used[block] == ME && word[block] == ME);
	       used[block] = 0);
	SHARED(word[block] = 0)
}

proctype process(byte me)
{
	LOCALS;

	do
	:: rounds[me] > 0 ->
		rounds[me]--;
		take_block();
		if
		:: got -> use()
		:: else ->
			bury();
			take_lease();
			if
			:: ok ->
				take_block();
				if
				:: got -> use()
				:: else
				fi
			:: else
			fi
		fi;
		d_step { desk = 0; number = 0; block = 0; w = 0;
			 called = 0; ok = 0; got = 0 }
	:: else -> break
	od;
	gone[me] = ENDED;
out:
	skip
}

init
{
	atomic {
		run process(0);
		run process(1);
		run process(2)
	}
	(gone[0] != 0 && gone[1] != 0 && gone[2] != 0);
	d_step {
		assert(word[0] == 0 || DEAD(word[0]));
		assert(word[1] == 0 || DEAD(word[1]));
		assert(!inside[0] || DEAD(1));
		assert(!inside[1] || DEAD(2));
		assert(!inside[2] || DEAD(3))
	}
}
