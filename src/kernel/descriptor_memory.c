/* SPDX-License-Identifier: MIT */
/*
 * kernel/descriptor_memory.c: memory that is passed by descriptor between those
 * who don't trust each other. What the receiver must know before it touches a
 * byte: that the file can't be cut (a load beyond its end is SIGBUS), and, of
 * what it parses in place, that it can't be changed after the look. Both are
 * seals of the kernel's, which nobody can take off.
 */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <stoa/descriptor.h>

#include <errno.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>

#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEALS_ALL (SEALS_SIZE | F_SEAL_WRITE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

static int make_memory(void)
{
	static const char name[] = "stoa";
	long fd = stoa_system_call(SYS_memfd_create, (long)name,
	                           MFD_CLOEXEC | MFD_ALLOW_SEALING |
	                                   MFD_NOEXEC_SEAL,
	                           0, 0, 0, 0);

	if (fd == -EINVAL)
		fd = stoa_system_call(SYS_memfd_create, (long)name,
		                      MFD_CLOEXEC | MFD_ALLOW_SEALING, 0, 0, 0,
		                      0);
	return (int)fd;
}

static int fill(int fd, const char *data, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes;) {
		ssize_t put = stoa_sys_pwrite(fd, data + at, bytes - at,
		                              (off_t)at);

		if (put == -EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? (int)put : -ENOSPC;
		at += (uint64_t)put;
	}
	return 0;
}

/* The kernel would go about it, and kill processes for want of memory. */
static int check_size(uint64_t bytes)
{
	struct sysinfo machine = { 0 };
	long result;

	if (bytes == 0)
		return stoa_fail(-EINVAL, "memory of no bytes can't be made");
	if (bytes > INT64_MAX)
		return stoa_fail(-EFBIG, "memory can't have so many bytes");
	result = stoa_system_call(SYS_sysinfo, (long)&machine, 0, 0, 0, 0, 0);
	if (result == 0 && bytes / machine.mem_unit >=
	                           machine.totalram + machine.totalswap)
		return stoa_fail(-ENOMEM, "this machine has not %llu bytes of "
		                          "memory",
		                 (unsigned long long)bytes);
	return (int)result;
}

int stoa_descriptor_memory(const void *data, uint64_t bytes)
{
	int result = check_size(bytes);

	if (result < 0)
		return result;
	int fd = make_memory();
	if (fd < 0)
		return stoa_fail(fd, "can't make memory to pass: %s",
		                 strerror(-fd));
	result = stoa_sys_ftruncate(fd, (off_t)bytes);
	/* No load or store of anybody's shall find no memory. */
	if (result == 0)
		result = stoa_sys_fallocate(fd, 0, (off_t)bytes);
	if (result == 0 && data)
		result = fill(fd, data, bytes);
	if (result == 0 && !STOA_BUG(116))
		result = (int)stoa_system_call(SYS_fcntl, fd, F_ADD_SEALS,
		                               data ? SEALS_ALL : SEALS_SIZE, 0,
		                               0, 0);
	if (result == 0)
		return fd;
	stoa_sys_close(fd);
	return stoa_fail(result, "can't make memory of %llu bytes to pass: %s%s",
	                 (unsigned long long)bytes, strerror(-result),
	                 result == -EFBIG ? " (ulimit -f)" : "");
}

/* The seals are looked at first: from then on nothing else changes. */
static int check_seals(int fd, int writing)
{
	long seals = stoa_system_call(SYS_fcntl, fd, F_GET_SEALS, 0, 0, 0, 0);
	struct statfs filesystem;
	long needed = F_SEAL_SHRINK | (writing ? 0 : F_SEAL_WRITE);

	if (seals == -EINVAL)
		return stoa_fail(-EMEDIUMTYPE,
		                 "descriptor %d is no memory that can be "
		                 "sealed, as memfd_create(2) makes",
		                 fd);
	if (seals < 0)
		return stoa_fail((int)seals, "can't look at descriptor %d: %s",
		                 fd, strerror((int)-seals));
	if ((seals & needed) != needed && !STOA_BUG(117))
		return stoa_fail(-EPERM,
		                 "the memory of descriptor %d isn't sealed: its "
		                 "sender can still %s it",
		                 fd, seals & F_SEAL_SHRINK ? "change" : "cut");
	/* Pages of a hugetlbfs may be missing though its size is sealed. */
	long result = stoa_system_call(SYS_fstatfs, fd, (long)&filesystem, 0, 0,
	                               0, 0);
	if (result == 0 && filesystem.f_type != TMPFS_MAGIC)
		return stoa_fail(-EMEDIUMTYPE,
		                 "the memory of descriptor %d is of huge pages, "
		                 "which may be missing",
		                 fd);
	return (int)result;
}

int stoa_descriptor_map(int fd, unsigned flags, uint64_t most,
                        void **ret_address, uint64_t *ret_bytes)
{
	int writing = !!(flags & STOA_WRITE);
	struct stat stat;
	void *address;

	if (flags != STOA_READ && flags != (STOA_READ | STOA_WRITE))
		return stoa_fail(-EINVAL, "memory is mapped with STOA_READ, or "
		                          "STOA_READ | STOA_WRITE, not 0x%x",
		                 flags);
	int result = check_seals(fd, writing);
	if (result == 0)
		result = stoa_sys_fstat(fd, &stat);
	if (result < 0)
		return result;
	if (stat.st_size <= 0 || (uint64_t)stat.st_size > most)
		return stoa_fail(-EFBIG,
		                 "the memory of descriptor %d has %lld bytes; "
		                 "1 to %llu were expected",
		                 fd, (long long)stat.st_size,
		                 (unsigned long long)most);
	result = stoa_sys_mmap(NULL, (size_t)stat.st_size,
	                       writing ? PROT_READ | PROT_WRITE : PROT_READ,
	                       MAP_SHARED, fd, 0, &address);
	/* One opened to be read only, or sealed against writing, can't be. */
	if (result == -EPERM)
		result = -EACCES;
	if (result < 0)
		return stoa_fail(result, "can't map descriptor %d: %s", fd,
		                 strerror(-result));
	*ret_address = address;
	*ret_bytes = (uint64_t)stat.st_size;
	return 0;
}
