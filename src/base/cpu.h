/* SPDX-License-Identifier: MIT */
/* base/cpu.h: what one instruction does and C has no word for. */
#ifndef STOA_BASE_CPU_H
#define STOA_BASE_CPU_H

#include <stdint.h>

#define STOA_CACHE_LINE 64

#define stoa_likely(x) __builtin_expect(!!(x), 1)
#define stoa_unlikely(x) __builtin_expect(!!(x), 0)
/* The way of each message: what it passes on stays in registers. */
#define stoa_always_inline static inline __attribute__((always_inline))

#if defined(__x86_64__)
static inline void stoa_cpu_pause(void)
{
	__builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void stoa_cpu_pause(void)
{
	__asm__ volatile("isb" ::: "memory");
}
#else
static inline void stoa_cpu_pause(void)
{
	__asm__ volatile("" ::: "memory");
}
#endif

/* A counter that goes on at an even rate and is the same for all processes:
 * cheaper than any clock. 0: there is none. */
#if defined(__x86_64__)
static inline uint64_t stoa_cpu_ticks(void)
{
	return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t stoa_cpu_ticks(void)
{
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
}
#else
static inline uint64_t stoa_cpu_ticks(void)
{
	return 0;
}
#endif

/* Orders everything before a read-modify-write that was just done with
 * everything after it: where such an instruction is a full barrier itself, the
 * compiler alone must be told. */
#if defined(__x86_64__)
static inline void stoa_cpu_fence_after_exchange(void)
{
	__asm__ volatile("" ::: "memory");
}
#else
static inline void stoa_cpu_fence_after_exchange(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#endif

/* Fetches a cache line with the intent to write it. gcc's builtin means
 * prefetchw only where it is told that the processor has it; all 64-bit ones
 * do, or take it for no operation. */
#if defined(__x86_64__)
static inline void stoa_cpu_prefetch_write(const void *address)
{
	__asm__ volatile("prefetchw %0" ::"m"(*(const char *)address));
}
#else
static inline void stoa_cpu_prefetch_write(const void *address)
{
	__builtin_prefetch(address, 1, 3);
}
#endif

static inline void stoa_cpu_prefetch(const void *address)
{
	__builtin_prefetch(address, 0, 3);
}

#endif
