/* SPDX-License-Identifier: MIT */
/* memory/mapping.c: mapping, unmapping and resizing. What is done to ranges is
 * in mapping_range.c, checked copies are in mapping_copy.c. */
#include <memory/mapping_internal.h>
#include <space/guard.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define ZERO_PATH "/dev/zero"
#define BYTES_MAX (UINT64_C(1) << 62)

/* ---- Checking --------------------------------------------------------------- */

int mapping_protection(uint32_t protection)
{
	if (protection & ~(STOA_READ | STOA_WRITE | STOA_MAPPING_EXECUTE))
		return stoa_fail(-EINVAL,
		                 "protection 0x%x of a mapping: STOA_READ, "
		                 "STOA_WRITE and STOA_MAPPING_EXECUTE only",
		                 protection);
	return (protection & STOA_READ ? PROT_READ : 0) |
	       (protection & STOA_WRITE ? PROT_WRITE : 0) |
	       (protection & STOA_MAPPING_EXECUTE ? PROT_EXEC : 0);
}

int mapping_health(struct stoa_mapping *mapping)
{
	if (!atomic_load_explicit(&mapping->poisoned, memory_order_relaxed))
		return 0;
	return stoa_fail(-EIO, "the mapped file was cut short by somebody; map "
	                       "it anew");
}

static int read_attributes(const struct stoa_mapping_attributes *given,
                           struct stoa_mapping_attributes *ret_attributes)
{
	struct stoa_mapping_attributes attributes;
	uint64_t reserved = 0;

	if (!given || given->size != sizeof attributes)
		return stoa_fail(-EINVAL,
		                 "attributes of a mapping: size must be "
		                 "sizeof(struct stoa_mapping_attributes)");
	attributes = *given;
	for (int i = 0; i < 4; i++)
		reserved |= attributes.reserved[i];
	if (reserved || attributes.shared > 1 || attributes.beyond > 1)
		return stoa_fail(-EINVAL,
		                 "attributes of a mapping: reserved fields must "
		                 "be zero, and shared and beyond 0 or 1");
	if (attributes.file < 0 && attributes.offset != 0)
		return stoa_fail(-EINVAL,
		                 "attributes of a mapping: anonymous memory has "
		                 "no offset");
	if (attributes.file < 0 && attributes.bytes == 0)
		return stoa_fail(-EINVAL, "attributes of a mapping: anonymous "
		                          "memory has 1 byte or more");
	if (attributes.file < STOA_MAPPING_ZERO)
		return stoa_fail(-EBADF,
		                 "attributes of a mapping: %d is neither a "
		                 "descriptor nor anonymous",
		                 attributes.file);
	if (attributes.bytes > BYTES_MAX || attributes.offset > BYTES_MAX)
		return stoa_fail(-EOVERFLOW,
		                 "%llu bytes from %llu on can't be mapped: no "
		                 "file is so large",
		                 (unsigned long long)attributes.bytes,
		                 (unsigned long long)attributes.offset);
	*ret_attributes = attributes;
	return 0;
}

/* Bytes of the file, or -errno. */
static int64_t file_bytes(int fd)
{
	struct stat stat;
	int result = stoa_sys_fstat(fd, &stat);

	if (result < 0)
		return stoa_fail(result, "descriptor %d can't be mapped: %s",
		                 fd, strerror(-result));
	if (S_ISREG(stat.st_mode))
		return stat.st_size;
	if (S_ISBLK(stat.st_mode) || S_ISCHR(stat.st_mode))
		return (int64_t)BYTES_MAX; /* its driver knows */
	return stoa_fail(-ENODEV,
	                 "descriptor %d is neither a file nor a device: it "
	                 "can't be mapped",
	                 fd);
}

static int check_end(int64_t there, uint64_t offset, uint64_t bytes)
{
	if (offset + bytes <= (uint64_t)there)
		return 0;
	return stoa_fail(-ENXIO,
	                 "the file has %lld bytes, so %llu from %llu on can't "
	                 "be mapped; ask for fewer, or for what is beyond",
	                 (long long)there, (unsigned long long)bytes,
	                 (unsigned long long)offset);
}

/* The range that is meant, in a file that is long enough. */
static int check_file(struct stoa_mapping_attributes *attributes,
                      uint64_t *ret_most)
{
	int64_t there;

	*ret_most = BYTES_MAX;
	if (attributes->file < 0)
		return 0;
	there = file_bytes(attributes->file);
	if (there < 0)
		return (int)there;
	if (attributes->bytes == 0) {
		if ((uint64_t)there <= attributes->offset)
			return stoa_fail(-ENODATA,
			                 "the file has %lld bytes, so there is "
			                 "nothing to map from %llu on",
			                 (long long)there,
			                 (unsigned long long)attributes->offset);
		attributes->bytes = (uint64_t)there - attributes->offset;
		if (there == (int64_t)BYTES_MAX)
			return stoa_fail(-EINVAL, "how much of the device is "
			                          "to be mapped must be "
			                          "said");
	}
	if (attributes->beyond)
		return 0;
	*ret_most = (uint64_t)there - attributes->offset;
	return check_end(there, attributes->offset, attributes->bytes);
}

/* ---- Mapping ----------------------------------------------------------------- */

static uint64_t length(const struct stoa_mapping *mapping, uint64_t bytes)
{
	return (mapping->slack + bytes + mapping->page - 1) &
	       ~(mapping->page - 1);
}

/* Shared memory that can grow has a file of its own, without a name. */
static int make_shared_file(uint64_t bytes)
{
	int fd = (int)stoa_system_call(SYS_memfd_create, (long)"stoa",
	                               MFD_CLOEXEC, 0, 0, 0, 0);

	if (fd < 0)
		return fd;
	int result = stoa_sys_ftruncate(fd, (off_t)bytes);
	if (result < 0) {
		stoa_sys_close(fd);
		return result;
	}
	return fd;
}

/* The descriptor to map, which may have to be closed then. */
static int choose_file(struct stoa_mapping *mapping, int file, int *ret_close)
{
	*ret_close = -1;
	if (file == STOA_MAPPING_ZERO)
		return *ret_close = stoa_sys_openat(AT_FDCWD, ZERO_PATH,
		                                    O_RDWR, 0);
	if (file == STOA_MAPPING_ANONYMOUS && mapping->shared)
		return mapping->fd = make_shared_file(
		               length(mapping, mapping->bytes));
	return file;
}

static int fail_to_map(const struct stoa_mapping_attributes *attributes,
                       int result)
{
	void *address = attributes->address;

	if (result == -EEXIST)
		return stoa_fail(-EADDRINUSE,
		                 "nothing can be mapped at %p: something is "
		                 "there; ask for another address, or for none",
		                 address);
	if (result == -EACCES)
		return stoa_fail(result,
		                 "descriptor %d wasn't opened for that: to map "
		                 "a file it must be open to be read, and to be "
		                 "written if it's mapped shared and to be "
		                 "written",
		                 attributes->file);
	if (result == -EINVAL && address)
		return stoa_fail(result,
		                 "nothing can be mapped at %p: addresses are "
		                 "multiples of the page size",
		                 address);
	return stoa_fail(result, "can't map %llu bytes: %s",
	                 (unsigned long long)attributes->bytes,
	                 strerror(-result));
}

static int map_pages(struct stoa_mapping *mapping,
                     const struct stoa_mapping_attributes *attributes)
{
	uint64_t bytes = length(mapping, mapping->bytes);
	int flags = mapping->shared ? MAP_SHARED : MAP_PRIVATE;
	int to_close, fd;
	void *base;

	fd = choose_file(mapping, attributes->file, &to_close);
	if (fd < 0 && attributes->file != STOA_MAPPING_ANONYMOUS)
		return fd;
	if (fd < 0 && mapping->shared)
		return fd;
	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	if (attributes->address)
		flags |= MAP_FIXED_NOREPLACE;
	int result = stoa_sys_mmap(attributes->address, bytes,
	                           mapping->protection, flags, fd,
	                           (off_t)mapping->file_offset, &base);
	if (to_close >= 0)
		stoa_sys_close(to_close);
	if (result < 0)
		goto close;
	if (attributes->address && base != attributes->address) {
		stoa_sys_munmap(base, bytes);
		result = -EEXIST; /* a kernel without NOREPLACE */
		goto close;
	}
	result = stoa_guard_add(base, bytes, &mapping->poisoned);
	if (result < 0) {
		stoa_sys_munmap(base, bytes);
		goto close;
	}
	mapping->base = base;
	return 0;

close:
	if (mapping->fd >= 0)
		stoa_sys_close(mapping->fd);
	return result;
}

int stoa_mapping_map(const struct stoa_mapping_attributes *given,
                     struct stoa_mapping **ret_mapping)
{
	struct stoa_mapping_attributes attributes = { 0 };
	struct stoa_mapping *mapping;
	uint64_t most = 0;
	int result = read_attributes(given, &attributes);

	if (result == 0)
		result = check_file(&attributes, &most);
	if (result == 0)
		result = mapping_protection(attributes.protection);
	if (result < 0)
		return result;
	mapping = calloc(1, sizeof *mapping);
	if (!mapping)
		return stoa_fail(-ENOMEM, "no memory for a mapping");
	mapping->protection = result;
	mapping->page = (uint64_t)getpagesize();
	mapping->slack = attributes.offset & (mapping->page - 1);
	mapping->file_offset = attributes.offset - mapping->slack;
	mapping->bytes = attributes.bytes;
	mapping->kind = attributes.file < 0 ? attributes.file : 0;
	mapping->shared = attributes.shared;
	mapping->most = most;
	mapping->fd = -1;
	result = map_pages(mapping, &attributes);
	if (result < 0) {
		free(mapping);
		return fail_to_map(&attributes, result);
	}
	*ret_mapping = mapping;
	return 0;
}

void stoa_mapping_unmap(struct stoa_mapping *mapping)
{
	if (!mapping)
		return;
	stoa_guard_remove(mapping->base);
	stoa_sys_munmap(mapping->base, length(mapping, mapping->bytes));
	if (mapping->fd >= 0)
		stoa_sys_close(mapping->fd);
	free(mapping);
}

void *stoa_mapping_data(const struct stoa_mapping *mapping)
{
	return mapping->base + mapping->slack;
}

uint64_t stoa_mapping_size(const struct stoa_mapping *mapping)
{
	return mapping->bytes;
}

uint64_t stoa_mapping_page(const struct stoa_mapping *mapping)
{
	return mapping->page;
}

/* ---- Resizing ----------------------------------------------------------------- */

/* Shared anonymous memory grows with its file; a forked child may have made it
 * larger already. */
static int grow_shared_file(struct stoa_mapping *mapping, uint64_t bytes)
{
	struct stat stat;
	int result = stoa_sys_fstat(mapping->fd, &stat);

	if (result == 0 && (uint64_t)stat.st_size < bytes)
		result = stoa_sys_ftruncate(mapping->fd, (off_t)bytes);
	return result;
}

static int fail_to_resize(int result, uint64_t bytes, unsigned flags)
{
	if (result == -ENOMEM && !(flags & STOA_MAPPING_MAY_MOVE))
		return stoa_fail(result,
		                 "a mapping can't have %llu bytes where it is: "
		                 "what follows is in use, or there is no "
		                 "memory; let it move",
		                 (unsigned long long)bytes);
	return stoa_fail(result, "a mapping can't have %llu bytes: %s",
	                 (unsigned long long)bytes, strerror(-result));
}

/* The file's descriptor isn't kept, so what counts is how long it was. */
static int check_growth(struct stoa_mapping *mapping, uint64_t bytes)
{
	if (bytes <= mapping->bytes)
		return 0;
	if (mapping->kind == STOA_MAPPING_ZERO && mapping->shared)
		return stoa_fail(-EOPNOTSUPP,
		                 "shared memory of /dev/zero can't grow; map "
		                 "anonymous memory instead");
	if (bytes > mapping->most)
		return stoa_fail(-ENXIO,
		                 "the file had %llu bytes for the mapping, so "
		                 "it can't have %llu; map it anew, or with "
		                 "what is beyond allowed",
		                 (unsigned long long)mapping->most,
		                 (unsigned long long)bytes);
	return 0;
}

int stoa_mapping_resize(struct stoa_mapping *mapping, uint64_t bytes,
                        unsigned flags)
{
	uint64_t old = length(mapping, mapping->bytes);
	uint64_t fresh = length(mapping, bytes);
	int result = mapping_health(mapping);
	long base;

	if (result < 0)
		return result;
	if (bytes == 0 || bytes > BYTES_MAX || flags & ~STOA_MAPPING_MAY_MOVE)
		return stoa_fail(-EINVAL, "a mapping can't have %llu bytes, "
		                          "flags 0x%x",
		                 (unsigned long long)bytes, flags);
	result = check_growth(mapping, bytes);
	if (result < 0)
		return result;
	if (mapping->fd >= 0 && fresh > old)
		result = grow_shared_file(mapping, fresh);
	if (result < 0)
		return fail_to_resize(result, bytes, flags);
	base = stoa_system_call(SYS_mremap, (long)mapping->base, (long)old,
	                        (long)fresh,
	                        flags & STOA_MAPPING_MAY_MOVE ? MREMAP_MAYMOVE :
	                                                        0,
	                        0, 0);
	if (base < 0 && base > -4096)
		return fail_to_resize((int)base, bytes, flags);
	/* With no slot in the guard's table before, there is one now. */
	stoa_guard_remove(mapping->base);
	mapping->base = (char *)base;
	mapping->bytes = bytes;
	stoa_guard_add(mapping->base, fresh, &mapping->poisoned);
	return 0;
}
