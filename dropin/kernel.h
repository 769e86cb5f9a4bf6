/* SPDX-License-Identifier: MIT */
/*
 * dropin/kernel.h: system calls as the kernel has them: past libc's names,
 * which may be the drop-in's own. 0 or more, or -errno; errno is kept.
 */
#ifndef DROPIN_KERNEL_H
#define DROPIN_KERNEL_H

#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long dropin_kernel_call(long number, const long a[6])
{
	register long d __asm__("r10") = a[3];
	register long e __asm__("r8") = a[4];
	register long f __asm__("r9") = a[5];
	long result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]),
	                   "r"(d), "r"(e), "r"(f)
	                 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long dropin_kernel_call(long number, const long a[6])
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a[0];
	register long x1 __asm__("x1") = a[1];
	register long x2 __asm__("x2") = a[2];
	register long x3 __asm__("x3") = a[3];
	register long x4 __asm__("x4") = a[4];
	register long x5 __asm__("x5") = a[5];

	__asm__ volatile("svc 0"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
	                 : "memory");
	return x0;
}
#endif

/* dropin_kernel(SYS_close, fd): what isn't given is zero. */
#define dropin_kernel(number, ...)                      \
	dropin_kernel_call((number), (const long[6]){ __VA_ARGS__ })

#endif
