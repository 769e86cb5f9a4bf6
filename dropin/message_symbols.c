/* SPDX-License-Identifier: MIT */
/* dropin/message_symbols.c: libc's names of the message queues. */
#include "calls.h"
#include "symbol.h"

LIBC_CALL int libc_msgget(key_t key, int flags);
LIBC_CALL int libc_msgsnd(int id, const void *message, size_t bytes, int flags);
LIBC_CALL ssize_t libc_msgrcv(int id, void *message, size_t bytes, long type,
                              int flags);
LIBC_CALL int libc_msgctl(int id, int command, struct msqid_ds *ds);

LIBC_CALL int libc_msgget(key_t key, int flags)
{
	return (int)libc_result(dropin_msgget(key, flags));
}

LIBC_CALL int libc_msgsnd(int id, const void *message, size_t bytes, int flags)
{
	return (int)libc_result(dropin_msgsnd(id, message, bytes, flags));
}

LIBC_CALL ssize_t libc_msgrcv(int id, void *message, size_t bytes, long type,
                              int flags)
{
	return libc_result(dropin_msgrcv(id, message, bytes, type, flags));
}

LIBC_CALL int libc_msgctl(int id, int command, struct msqid_ds *ds)
{
	return (int)libc_result(dropin_msgctl(id, command, ds));
}

LIBC_SYMBOL(libc_msgget, msgget, LIBC_BASE);
LIBC_SYMBOL(libc_msgsnd, msgsnd, LIBC_BASE);
LIBC_SYMBOL(libc_msgrcv, msgrcv, LIBC_BASE);
LIBC_SYMBOL(libc_msgctl, msgctl, LIBC_BASE);
