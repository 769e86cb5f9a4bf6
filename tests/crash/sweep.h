/* SPDX-License-Identifier: MIT */
/* sweep.h: one victim doing one operation in one state; for all sweeps. */
#ifndef CRASH_SWEEP_H
#define CRASH_SWEEP_H

#include "harness.h"

struct play {
	const struct operation *operation;
	const struct state *state;
	struct trace trace;
};

/* Makes the state; a victim in it, at its beginning; or both. 0: nothing to
 * do here. */
void play_set_up(struct play *play);
pid_t play_begin(struct play *play);
pid_t play_spawn(struct play *play);

/* Lists the places; -1: nothing to do here. */
int play_record(struct play *play);

/* Makes the state and a victim stopped at that place; 0: it was missed. */
pid_t play_to(struct play *play, const struct trace_point *point);

/* Is this pair in the present portion? */
int applies(const struct operation *operation, const struct state *state);

#endif
