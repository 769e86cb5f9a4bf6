/* SPDX-License-Identifier: MIT */
/*
 * walls.c: stands between the library and the kernel (ld --wrap). Each mapping
 * of a file, and each reserved range, is set amid memory that can't be touched,
 * more of it than any 32-bit number of 256-byte pieces can reach past: whatever
 * is out of bounds faults. And no forged notification leaves the test.
 */
#include "hostile.h"

#include <base/system.h>

#include <signal.h>
#include <sys/mman.h>

#define WALL_BYTES (UINT64_C(1100) << 30)
#define PAGE_BYTES UINT64_C(4096)

enum { WALLED_MAX = 4096 };

static struct walled {
	_Atomic uintptr_t start; /* 0: no entry */
	size_t bytes;
} walled[WALLED_MAX];

static _Atomic unsigned forged;

int __real_stoa_sys_mmap(void *address, size_t bytes, int protection, int flags,
                         int fd, off_t offset, void **ret_address);
int __wrap_stoa_sys_mmap(void *address, size_t bytes, int protection, int flags,
                         int fd, off_t offset, void **ret_address);
int __real_stoa_sys_munmap(void *address, size_t bytes);
int __wrap_stoa_sys_munmap(void *address, size_t bytes);
long __real_stoa_system_call(long number, long a, long b, long c, long d,
                             long e, long f);
long __wrap_stoa_system_call(long number, long a, long b, long c, long d,
                             long e, long f);

unsigned forged_signals(void)
{
	return atomic_load(&forged);
}

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static void remember(void *start, size_t bytes)
{
	for (int i = 0; i < WALLED_MAX; i++) {
		uintptr_t none = 0;

		if (!atomic_compare_exchange_strong(&walled[i].start, &none,
		                                    (uintptr_t)start))
			continue;
		walled[i].bytes = bytes;
		return;
	}
	finding("more than %d mappings", WALLED_MAX);
}

static bool forget(void *start)
{
	for (int i = 0; i < WALLED_MAX; i++) {
		uintptr_t known = (uintptr_t)start;

		if (atomic_compare_exchange_strong(&walled[i].start, &known, 0))
			return true;
	}
	return false;
}

int __wrap_stoa_sys_mmap(void *address, size_t bytes, int protection, int flags,
                         int fd, off_t offset, void **ret_address)
{
	size_t whole = whole_pages(bytes);
	char *wall;
	int result;

	if ((fd < 0 && protection != PROT_NONE) || address != NULL ||
	    whole < bytes || whole > WALL_BYTES)
		return __real_stoa_sys_mmap(address, bytes, protection, flags,
		                            fd, offset, ret_address);
	wall = mmap(NULL, 2 * WALL_BYTES + whole, PROT_NONE,
	            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (wall == MAP_FAILED)
		finding("no room for a wall");
	result = __real_stoa_sys_mmap(wall + WALL_BYTES, bytes, protection,
	                              flags | MAP_FIXED, fd, offset,
	                              ret_address);
	if (result < 0)
		munmap(wall, 2 * WALL_BYTES + whole);
	else
		remember(*ret_address, bytes);
	return result;
}

int __wrap_stoa_sys_munmap(void *address, size_t bytes)
{
	if (!forget(address))
		return __real_stoa_sys_munmap(address, bytes);
	return munmap((char *)address - WALL_BYTES,
	              2 * WALL_BYTES + whole_pages(bytes));
}

static bool is_own_group(pid_t pid)
{
	return pid > 0 && getpgid(pid) == getpgid(0);
}

static bool is_forged(long number, long a, long b)
{
	switch (number) {
	case SYS_pidfd_open: return !is_own_group((pid_t)a);
	case SYS_pidfd_send_signal: return b != SIGUSR1 && b != SIGUSR2;
	case SYS_kill:
	case SYS_tkill:
	case SYS_rt_sigqueueinfo:
		return !is_own_group((pid_t)a) ||
		       (b != SIGUSR1 && b != SIGUSR2);
	default: return false;
	}
}

long __wrap_stoa_system_call(long number, long a, long b, long c, long d,
                             long e, long f)
{
	if (is_forged(number, a, b)) {
		atomic_fetch_add(&forged, 1);
		return -ESRCH;
	}
	return __real_stoa_system_call(number, a, b, c, d, e, f);
}
