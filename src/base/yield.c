/* SPDX-License-Identifier: MIT */
/* base/yield.c: when it pays to leave the processor to others. */
#include <base/system.h>
#include <base/yield.h>

#define YIELDS_MAX 2u
#define LONG_NS INT64_C(100000) /* somebody else had the processor */
#define LONG_TIMES 64u /* so much longer the gap after each that was long */
#define GAP_MAX (1u << 16)
#define LONG_GAP_MAX (1u << 20)

static uint32_t load(_Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

void stoa_yielding_begin(struct stoa_yielding *yielding,
                         struct stoa_yields *ret_yields)
{
	uint32_t waits;

	*ret_yields = (struct stoa_yields){ .left = load(&yielding->budget) };
	if (ret_yields->left > 0)
		return;
	waits = load(&yielding->waits) + 1;
	if (waits >= load(&yielding->gap)) {
		waits = 0;
		ret_yields->left = 1;
	}
	store(&yielding->waits, waits);
}

void stoa_yield(struct stoa_yields *yields)
{
	int64_t before = stoa_sys_clock_ns(CLOCK_MONOTONIC);

	yields->left--;
	yields->done++;
	stoa_system_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	if (stoa_sys_clock_ns(CLOCK_MONOTONIC) - before <= LONG_NS)
		return;
	yields->was_long = 1;
	yields->left = 0;
}

static uint32_t widen(uint32_t gap, uint32_t times, uint32_t most)
{
	if (gap >= most)
		return gap;
	return gap < most / times ? gap * times : most;
}

void stoa_yielding_learn(struct stoa_yielding *yielding,
                         const struct stoa_yields *yields, int in_vain)
{
	uint32_t budget = load(&yielding->budget), gap = load(&yielding->gap);

	if (yields->done == 0)
		return;
	if (yields->was_long) {
		budget = 0;
		gap = widen(gap, LONG_TIMES, LONG_GAP_MAX);
	} else if (in_vain) {
		budget = budget / 2;
		gap = widen(gap, 2, GAP_MAX);
	} else {
		budget = budget < YIELDS_MAX ? budget + 1 : YIELDS_MAX;
		gap = gap / 2 < STOA_YIELD_GAP_MIN ? STOA_YIELD_GAP_MIN :
		                                     gap / 2;
	}
	store(&yielding->budget, budget);
	store(&yielding->gap, gap);
}
