/* SPDX-License-Identifier: MIT */
/* base/futex.c: sleeping on a shared word. */
#include <base/futex.h>
#include <base/system.h>

#include <errno.h>
#include <linux/futex.h>

#define NS_PER_SECOND INT64_C(1000000000)
#define WAIT_ANY_MAX 64
#define LONG_NS INT64_C(50000000) /* where a tick of the clock is nothing */

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* The kernel's struct futex_waitv, which older headers lack. */
struct waitv {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};
#define WAITV_32BIT 2

static int wait_until(_Atomic uint32_t *word, uint32_t value, int64_t until)
{
	struct timespec instant = { until / NS_PER_SECOND,
		                    until % NS_PER_SECOND };

	return (int)stoa_system_call(SYS_futex, (long)word, FUTEX_WAIT_BITSET,
	                             value, (long)&instant, 0,
	                             FUTEX_BITSET_MATCH_ANY);
}

int stoa_futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t timeout_ns)
{
	struct timespec timeout = { timeout_ns / NS_PER_SECOND,
		                    timeout_ns % NS_PER_SECOND };

	/* An instant costs the kernel less than a duration. By the coarse clock
	 * it may come some milliseconds early. */
	if (timeout_ns >= LONG_NS)
		return wait_until(word, value,
		                  stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE) +
		                          timeout_ns);
	return (int)stoa_system_call(SYS_futex, (long)word, FUTEX_WAIT, value,
	                             (long)&timeout, 0, 0);
}

int stoa_futex_wake(_Atomic uint32_t *word, int count)
{
	return (int)stoa_system_call(SYS_futex, (long)word, FUTEX_WAKE, count,
	                             0, 0, 0);
}

/* This one takes an instant, not a time. */
int stoa_futex_wait_bits(_Atomic uint32_t *word, uint32_t value, uint32_t bits,
                         int64_t timeout_ns)
{
	int64_t until = stoa_sys_clock_ns(CLOCK_MONOTONIC) + timeout_ns;
	struct timespec instant = { until / NS_PER_SECOND,
		                    until % NS_PER_SECOND };

	return (int)stoa_system_call(SYS_futex, (long)word, FUTEX_WAIT_BITSET,
	                             value, (long)&instant, 0, bits);
}

int stoa_futex_wake_bits(_Atomic uint32_t *word, int count, uint32_t bits)
{
	return (int)stoa_system_call(SYS_futex, (long)word, FUTEX_WAKE_BITSET,
	                             count, 0, 0, bits);
}

int stoa_futex_wait_any(const struct stoa_futex_wait *waits, size_t count,
                        int64_t timeout_ns)
{
	struct waitv list[WAIT_ANY_MAX];
	int64_t until = stoa_sys_clock_ns(CLOCK_MONOTONIC) + timeout_ns;
	struct timespec instant = { until / NS_PER_SECOND,
		                    until % NS_PER_SECOND };

	if (count > WAIT_ANY_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		list[i] = (struct waitv){ .value = waits[i].value,
			                  .address = (uintptr_t)waits[i].word,
			                  .flags = WAITV_32BIT };
	}
	long result = stoa_system_call(SYS_futex_waitv, (long)list, (long)count,
	                               0, (long)&instant, CLOCK_MONOTONIC, 0);
	return result == -EAGAIN || result >= 0 ? 0 : (int)result;
}
