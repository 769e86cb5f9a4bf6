/* SPDX-License-Identifier: MIT */
/* dropin/cancel_symbols.c: pthread_cancel() reaches the drop-in's waits. */
#include "cancel.h"
#include "symbol.h"

#include <dlfcn.h>

LIBC_CALL int libc_pthread_cancel(pthread_t thread);

LIBC_CALL int libc_pthread_cancel(pthread_t thread)
{
	int (*real)(pthread_t) = (int (*)(pthread_t))dlsym(RTLD_NEXT,
	                                                   "pthread_cancel");
	int result = real(thread);

	if (result == 0)
		dropin_cancel_interrupt(thread);
	return result;
}

LIBC_SYMBOL(libc_pthread_cancel, pthread_cancel, LIBC_2_34);
LIBC_OLD_SYMBOL(libc_pthread_cancel, libc_pthread_cancel_old, pthread_cancel,
                LIBC_BASE);
