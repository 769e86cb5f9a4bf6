/* SPDX-License-Identifier: MIT */
/* dropin/syscall_symbols.c: syscall() itself. What isn't the drop-in's goes to
 * the kernel as it came. */
#include "kernel.h"
#include "symbol.h"
#include "syscall.h"

#include <stdarg.h>
#include <unistd.h>

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
		result = dropin_kernel_call(number, argument);
	return libc_result(result);
}

LIBC_SYMBOL(libc_syscall, syscall, LIBC_BASE);
