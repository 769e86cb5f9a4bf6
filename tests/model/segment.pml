/* SPDX-License-Identifier: MIT */
/*
 * segment.pml: attaching to write, and sealing against that.
 *
 * Mirrors src/memory/segment_attach.c (take_lock(), check_seals(),
 * segment_detach()) and segment_resize.c (segment_take_turn(), seal_write(),
 * seal()); see seals and ATTACHMENTS in segment_layout.h. What the kernel does
 * is one step each: a lock on a byte, a mapping, a death, which unmaps first and
 * then drops the lock. Counting looks at one lock after another.
 *
 * Three processes: two attach to write, some times, and each may then try to
 * seal, with its own attachment or after it has detached; the third only seals.
 * DEATHS of them are killed, at any step.
 *
 * Asserted: once it is sealed nobody has it mapped to write; whoever has it
 * mapped has a lock; and in the end nobody waits for the turn of a dead one.
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#define PROCESSES 3

bit alive[PROCESSES] = { 1, 1, 1 };
bit locked[PROCESSES], mapped[PROCESSES];
byte owner; /* of the turn: 1 + who */
bit asked, sealed;
byte deaths;

#define STEP(what)                                  \
	if                                          \
	:: atomic { alive[me] -> what }             \
	:: !alive[me] -> goto gone                  \
	fi

#define SOUND                                                              \
	assert(!sealed || (!mapped[0] && !mapped[1] && !mapped[2]));       \
	assert(!mapped[0] || locked[0]);                                   \
	assert(!mapped[1] || locked[1])

inline take_turn()
{
	do
	:: atomic { alive[me] && owner == 0 -> owner = 1 + me; break }
#ifndef MUTANT_TURN_OF_THE_DEAD
	:: atomic { alive[me] && owner != 0 && !alive[owner - 1] ->
		owner = 1 + me; break }
#endif
	:: !alive[me] -> goto gone
	od;
	STEP(asked = 0)
}

inline leave_turn()
{
	STEP(owner = 0)
}

inline attach()
{
#ifdef MUTANT_LOOK_BEFORE_LOCK
	STEP(found = sealed; wait = asked);
#endif
#ifndef MUTANT_LOCK_AFTER_MAP
	STEP(locked[me] = 1);
#endif
#ifndef MUTANT_LOOK_BEFORE_LOCK
	STEP(wait = asked);
#endif
#ifdef MUTANT_ASKED_IGNORED
	wait = 0;
#endif
	if
	:: wait ->
		take_turn();
		leave_turn()
	:: else
	fi;
#ifndef MUTANT_LOOK_BEFORE_LOCK
	STEP(found = sealed);
#endif
	if
	:: found -> STEP(locked[me] = 0)
	:: else ->
#ifdef MUTANT_LOCK_AFTER_MAP
		atomic { mapped[me] = 1; locked[me] = 0 };
		STEP(locked[me] = 1);
#else
		STEP(mapped[me] = 1; SOUND);
#endif
		has = 1
	fi;
	found = 0; wait = 0
}

inline detach()
{
#ifdef MUTANT_LOCK_DROPPED_FIRST
	STEP(locked[me] = 0; SOUND);
	STEP(mapped[me] = 0);
#else
	STEP(mapped[me] = 0; SOUND);
	STEP(locked[me] = 0);
#endif
	has = 0
}

inline seal()
{
	take_turn();
	if
	:: atomic { alive[me] && sealed -> skip }
	:: atomic { alive[me] && !sealed -> skip };
		busy = 0; other = 0;
#ifndef MUTANT_COUNTED_FIRST
		STEP(asked = 1);
#endif
		do
		:: other < PROCESSES ->
			STEP(busy = busy || (other != me && locked[other]));
			other++
		:: else -> break
		od;
		other = 0;
#ifdef MUTANT_COUNTED_FIRST
		STEP(asked = 1);
#endif
		if
		:: busy -> STEP(asked = 0)
		:: else ->
#ifndef MUTANT_OWN_LEFT
			STEP(mapped[me] = 0);
#endif
			STEP(sealed = 1; asked = 0; SOUND)
		fi;
		busy = 0
	:: !alive[me] -> goto gone
	fi;
	leave_turn()
}

proctype process(byte me; bit attaches)
{
	byte round, other;
	bit found, wait, busy, has;

	do
	:: round < ROUNDS ->
		round++;
		if
		:: attaches -> attach()
		:: else
		fi;
		if
		:: has -> detach()
		:: skip
		fi;
		if
		:: seal()
		:: skip
		fi;
		if
		:: has -> detach()
		:: else
		fi
	:: else -> break
	od;
	/* Whoever is left can have the turn. */
	take_turn();
	leave_turn();
gone:	skip
}

proctype killer()
{
	byte victim;

	do
	:: deaths < DEATHS ->
		if
		:: victim = 0
		:: victim = 1
		:: victim = 2
		fi;
		atomic {
			deaths++;
			if
			:: alive[victim] -> mapped[victim] = 0; alive[victim] = 0
			:: else
			fi
		};
		locked[victim] = alive[victim] && locked[victim]
	:: break
	od
}

init
{
	atomic {
		run process(0, 1);
		run process(1, 1);
		run process(2, 0);
		run killer()
	}
}
