/* SPDX-License-Identifier: MIT */
/* dropin/memory_probe.c: asking the kernel about memory; see memory_probe.h. */
#include "memory_probe.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Atomic uintptr_t probe_known[2][PROBE_REMEMBERED];

static int can_read(uintptr_t address)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)address, 1 };

	return syscall(SYS_process_vm_readv, getpid(), &here, 1UL, &there, 1UL,
	               0UL) == 1;
}

/* To write what is there already: the kernel's atomic "or 0", which changes
 * nothing under anybody's hands. That the first word is ours alone, and the
 * comparison hardly ever true, means that nobody is woken. */
static int can_write(uintptr_t address)
{
	uint32_t nobody = 0;
	int operation = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0x7ff);

	return syscall(SYS_futex, &nobody, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG,
	               0, 0UL, (void *)(address & ~(uintptr_t)3),
	               operation) >= 0;
}

int probe_pages(enum probe how, uintptr_t address, size_t bytes)
{
	uintptr_t page = address / PROBE_PAGE;
	int saved = errno;

	if (bytes == 0)
		return 1;
	if (address + (bytes - 1) < address)
		return 0;
	for (; page <= (address + (bytes - 1)) / PROBE_PAGE; page++) {
		_Atomic uintptr_t *known =
		        &probe_known[how][page % PROBE_REMEMBERED];
		uintptr_t at = page * PROBE_PAGE;

		/* relaxed: each word stands for itself */
		if (page != 0 && atomic_load_explicit(
		                         known, memory_order_relaxed) == page)
			continue;
		if (!(how == PROBE_READ ? can_read(at) : can_write(at))) {
			errno = saved;
			return 0;
		}
		atomic_store_explicit(known, page, memory_order_relaxed);
	}
	errno = saved;
	return 1;
}
