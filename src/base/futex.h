/* SPDX-License-Identifier: MIT */
/*
 * base/futex.h: sleeping on a shared 32-bit word, and waking sleepers.
 */
#ifndef STOA_BASE_FUTEX_H
#define STOA_BASE_FUTEX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define STOA_FUTEX_ALL INT32_MAX

/* Nobody sleeps longer without looking again. The library whose calls are made
 * to fail is less patient: a thousand times its tests wait in vain. */
#ifdef STOA_TESTING
#define STOA_SLICE_NS INT64_C(10000000)
#else
#define STOA_SLICE_NS INT64_C(50000000)
#endif

/* Sleeps while *word is `value`, at most `timeout_ns`; of 50 ms and more a tick
 * of the coarse clock may be missing. 0: woken. -EAGAIN: the word had another
 * value. -ETIMEDOUT, -EINTR. */
int stoa_futex_wait(_Atomic uint32_t *word, uint32_t value,
                    int64_t timeout_ns);

/* Wakes up to `count` sleepers; returns how many there were. */
int stoa_futex_wake(_Atomic uint32_t *word, int count);

/* The same for sleepers that differ in a mask: a wake is for those that have a
 * bit of its in theirs; one without a mask is for all. */
int stoa_futex_wait_bits(_Atomic uint32_t *word, uint32_t value, uint32_t bits,
                         int64_t timeout_ns);
int stoa_futex_wake_bits(_Atomic uint32_t *word, int count, uint32_t bits);

struct stoa_futex_wait {
	_Atomic uint32_t *word;
	uint32_t value;
};

/* Sleeps until one of up to 64 words is woken or differs from its value.
 * 0: go and look. -ETIMEDOUT, -EINTR. */
int stoa_futex_wait_any(const struct stoa_futex_wait *waits, size_t count,
                        int64_t timeout_ns);

#endif
