/* SPDX-License-Identifier: MIT */
/*
 * wake.h: an event word, who sleeps on it, and who is woken: what event.pml
 * has shown, for models of what stands on it. PROCESSES of them; each has bits
 * ok, woken and slept. Of the event's count only this matters: whether it has
 * changed since a process saw it.
 *
 * A slice ends only if nothing else can happen, and SLICES times for each
 * sleeper and death, or stop. Who sleeps at the end is an invalid end state, unless the
 * model is JUDGED otherwise.
 */
#ifndef SLICES
#define SLICES 1
#endif
#define ME (1 << me)
#define EVERYBODY ((1 << PROCESSES) - 1)

bit sleepers;   /* EVENT_SLEEPERS */
byte moved;     /* a bit for each process: the event isn't what it saw */
byte asleep;    /* a bit for each process */
byte slices[PROCESSES];

#define CHANGED moved = EVERYBODY & ~ME

inline arm()
{
	SHARED(if
	       :: sleepers -> moved = moved & ~ME
	       :: else -> sleepers = 1; CHANGED
	       fi)
}

/* Until woken, for a slice, or with TIMEOUTS until late (MAY_BE_LATE). */
inline sleep()
{
	SHARED(asleep = (moved & ME -> asleep : asleep | ME));
#ifdef JUDGED
end_asleep:
#endif
	if
	:: !(asleep & ME)
	:: timeout && (asleep & ME) &&
	   slices[me] < SLICES * (DEATHS - deaths + STOPS - stops) ->
		slices[me]++;
		asleep = asleep & ~ME
#if TIMEOUTS > 0
	:: MAY_BE_LATE && (asleep & ME) -> asleep = asleep & ~ME
#endif
	fi;
	slept = 1
}

inline wake_all()
{
	SHARED(woken = (asleep != 0); asleep = 0)
}

inline wake_one()
{
	CHOICE(if
	       :: asleep & 1 -> asleep = asleep & ~1; woken = 1
	       :: asleep & 2 -> asleep = asleep & ~2; woken = 1
	       :: asleep & 4 -> asleep = asleep & ~4; woken = 1
	       :: asleep & 8 -> asleep = asleep & ~8; woken = 1
	       :: asleep == 0 -> woken = 0
	       fi)
}

/* stoa_event_raise(), for one, or for all */
inline raise(all)
{
	SHARED(ok = sleepers; woken = 0);
	if
	:: ok ->
		SHARED(CHANGED);
		if
		:: all -> wake_all()
		:: !(all) -> wake_one()
		fi;
		if
		:: !woken ->
			SHARED(ok = !(moved & ME);
			       if
			       :: ok -> sleepers = 0; CHANGED
			       :: else
			       fi);
			if
			:: ok -> wake_all()
			:: else
			fi
		:: else
		fi
	:: else
	fi
}

/* stoa_event_broadcast() */
inline broadcast()
{
	SHARED(CHANGED);
	wake_all()
}
