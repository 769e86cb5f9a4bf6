/* SPDX-License-Identifier: MIT */
/* dropin/syscall_symbols.c: syscall() itself. What isn't the drop-in's goes to
 * the kernel as it came. */
#include "symbol.h"
#include "syscall.h"

#include <stdarg.h>
#include <unistd.h>

#if defined(__x86_64__)
static long to_kernel(long number, const long a[6])
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
static long to_kernel(long number, const long a[6])
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

LIBC_CALL long libc_syscall(long number, ...);

/* Six arguments are fetched whatever was passed, as libc's does: those that
 * weren't are whatever their registers held, and the kernel ignores them. */
LIBC_CALL long libc_syscall(long number, ...)
{
	long argument[6], result;
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	if (!dropin_syscall(number, argument, &result))
		result = to_kernel(number, argument);
	return libc_result(result);
}

LIBC_SYMBOL(libc_syscall, syscall, LIBC_BASE);
