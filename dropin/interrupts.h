/* SPDX-License-Identifier: MIT */
/* dropin/interrupts.h: the handlers of signals that have run in this thread;
 * see signal_symbols.c. */
#ifndef DROPIN_INTERRUPTS_H
#define DROPIN_INTERRUPTS_H

#include <stoa/base.h>

/* NULL where libc's names aren't the drop-in's: nobody counts. */
const struct stoa_interrupts *dropin_interrupts(void) __attribute__((weak));

static inline struct stoa_interrupts dropin_interrupts_now(void)
{
	const struct stoa_interrupts *now =
	        dropin_interrupts ? dropin_interrupts() : NULL;

	/* relaxed: this thread's own handlers change them */
	return (struct stoa_interrupts){
		.all = now ? __atomic_load_n(&now->all, __ATOMIC_RELAXED) : 0,
		.unrestarted = now ? __atomic_load_n(&now->unrestarted,
		                                     __ATOMIC_RELAXED) :
		                     0
	};
}

#endif
