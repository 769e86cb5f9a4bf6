/* SPDX-License-Identifier: MIT */
/* base/cpu.h: what one instruction does and C has no word for. */
#ifndef STOA_BASE_CPU_H
#define STOA_BASE_CPU_H

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
