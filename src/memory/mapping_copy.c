/* SPDX-License-Identifier: MIT */
/*
 * memory/mapping_copy.c: copies that fail where a load or store would be a
 * signal. The kernel copies between two places of this process: a page that
 * can't be had ends the copy, and not the program.
 */
#include <memory/mapping_internal.h>

#include <sys/mman.h>
#include <sys/uio.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#define STEP_BYTES (UINT64_C(1) << 30) /* the kernel's limit is 2 GiB */

int mapping_fault(struct stoa_mapping *mapping, const struct page_range *range)
{
	int may_be_protection =
	        !(mapping->protection & PROT_READ) ||
	        atomic_load_explicit(&mapping->restricted,
	                             memory_order_relaxed);

	/* -EFAULT: a touch would be SIGBUS. Else the kernel is too old to say,
	 * or a touch would be SIGSEGV. */
	if (may_be_protection &&
	    sys_madvise(range->start, range->bytes, MADV_POPULATE_READ) !=
	            -EFAULT)
		return stoa_fail(-EACCES, "a page of the mapping is protected "
		                          "against that");
	return stoa_fail(-EIO, "the mapped file was cut short by somebody, or "
	                       "can't be read");
}

/* Where `at` is within pages. */
static struct page_range page_of(struct stoa_mapping *mapping, char *at)
{
	uint64_t offset = (uint64_t)(at - mapping->base);

	return (struct page_range){
		mapping->base + (offset & ~(mapping->page - 1)), mapping->page
	};
}

static int64_t copy(struct stoa_mapping *mapping, long call, char *at,
                    char *buffer, uint64_t bytes)
{
	uint64_t done = 0;

	while (done < bytes) {
		uint64_t step = bytes - done < STEP_BYTES ? bytes - done :
		                                            STEP_BYTES;
		struct iovec here = { buffer + done, step };
		struct iovec there = { at + done, step };
		long moved = stoa_system_call(call, stoa_sys_getpid(),
		                              (long)&here, 1, (long)&there, 1,
		                              0);

		if (moved > 0) {
			done += (uint64_t)moved;
			continue;
		}
		if (moved < 0 && moved != -EFAULT)
			return stoa_fail((int)moved,
			                 "the kernel copies nothing for this "
			                 "process: %s",
			                 strerror((int)-moved));
		struct page_range page = page_of(mapping, at + done);
		if (call == SYS_process_vm_writev &&
		    sys_madvise(page.start, page.bytes, MADV_POPULATE_READ) ==
		            0)
			return stoa_fail(-EACCES, "a page of the mapping is "
			                          "protected against that");
		return mapping_fault(mapping, &page);
	}
	return (int64_t)bytes;
}

/* Nobody can take away memory that has no file, nor was any of it protected. */
static int is_certain(struct stoa_mapping *mapping, int protection)
{
	return mapping->kind != 0 && (mapping->protection & protection) &&
	       !atomic_load_explicit(&mapping->restricted,
	                             memory_order_relaxed);
}

int64_t stoa_mapping_read(struct stoa_mapping *mapping, uint64_t from,
                          void *ret_buffer, uint64_t bytes)
{
	struct page_range range;
	int result = mapping_outer(mapping, from, bytes, &range);

	if (result < 0)
		return result;
	if (is_certain(mapping, PROT_READ)) {
		memcpy(ret_buffer, mapping->base + mapping->slack + from,
		       bytes);
		return (int64_t)bytes;
	}
	int64_t moved = copy(mapping, SYS_process_vm_readv,
	                     mapping->base + mapping->slack + from, ret_buffer,
	                     bytes);
	result = mapping_health(mapping);
	return result < 0 ? result : moved;
}

int64_t stoa_mapping_write(struct stoa_mapping *mapping, uint64_t from,
                           const void *buffer, uint64_t bytes)
{
	struct page_range range;
	int result = mapping_outer(mapping, from, bytes, &range);

	if (result < 0)
		return result;
	if (is_certain(mapping, PROT_WRITE)) {
		memcpy(mapping->base + mapping->slack + from, buffer, bytes);
		return (int64_t)bytes;
	}
	int64_t moved = copy(mapping, SYS_process_vm_writev,
	                     mapping->base + mapping->slack + from,
	                     (char *)(uintptr_t)buffer, bytes);
	result = mapping_health(mapping);
	return result < 0 ? result : moved;
}
