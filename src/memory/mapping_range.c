/* SPDX-License-Identifier: MIT */
/* memory/mapping_range.c: what the kernel does to ranges of a mapping. */
#include <memory/mapping_internal.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define STEP_BYTES (UINT64_C(16) << 20) /* between two words on progress */
#define PAGES_AT_ONCE 4096u

/* ---- Ranges ------------------------------------------------------------------- */

static int check_range(struct stoa_mapping *mapping, uint64_t from,
                       uint64_t bytes)
{
	int result = mapping_health(mapping);

	if (result < 0)
		return result;
	if (from <= mapping->bytes && bytes <= mapping->bytes - from)
		return 0;
	return stoa_fail(-ERANGE,
	                 "%llu bytes from %llu on are not in a mapping of %llu",
	                 (unsigned long long)bytes, (unsigned long long)from,
	                 (unsigned long long)mapping->bytes);
}

int mapping_outer(struct stoa_mapping *mapping, uint64_t from, uint64_t bytes,
                  struct page_range *ret_range)
{
	uint64_t mask = mapping->page - 1;
	int result = check_range(mapping, from, bytes);

	if (result < 0)
		return result;
	uint64_t first = (mapping->slack + from) & ~mask;
	uint64_t end = (mapping->slack + from + bytes + mask) & ~mask;
	*ret_range = (struct page_range){ mapping->base + first,
		                          bytes > 0 ? end - first : 0 };
	return 0;
}

int mapping_inner(struct stoa_mapping *mapping, uint64_t from, uint64_t bytes,
                  struct page_range *ret_range)
{
	uint64_t mask = mapping->page - 1;
	int result = check_range(mapping, from, bytes);

	if (result < 0)
		return result;
	uint64_t first = (mapping->slack + from + mask) & ~mask;
	uint64_t end = (mapping->slack + from + bytes) & ~mask;
	/* At its ends there are no bytes next to it. */
	if (from == 0)
		first = 0;
	if (from + bytes == mapping->bytes)
		end = (mapping->slack + mapping->bytes + mask) & ~mask;
	*ret_range = (struct page_range){ mapping->base + first,
		                          end > first ? end - first : 0 };
	return 0;
}

uint64_t stoa_mapping_pages(const struct stoa_mapping *mapping, uint64_t from,
                            uint64_t bytes)
{
	uint64_t mask = mapping->page - 1;

	if (bytes == 0 || from > mapping->bytes ||
	    bytes > mapping->bytes - from)
		return 0;
	uint64_t first = (mapping->slack + from) & ~mask;
	uint64_t end = (mapping->slack + from + bytes + mask) & ~mask;
	return (end - first) / mapping->page;
}

/* ---- Protecting and writing out ------------------------------------------------- */

int stoa_mapping_protect(struct stoa_mapping *mapping, uint64_t from,
                         uint64_t bytes, unsigned protection)
{
	struct page_range range;
	int result = mapping_outer(mapping, from, bytes, &range);
	int bits = mapping_protection(protection);

	if (result < 0)
		return result;
	if (bits < 0)
		return bits;
	atomic_store_explicit(&mapping->restricted, 1, memory_order_relaxed);
	result = (int)stoa_system_call(SYS_mprotect, (long)range.start,
	                               (long)range.bytes, bits, 0, 0, 0);
	if (result == -EACCES)
		return stoa_fail(result,
		                 "the mapping can't be protected so: the file "
		                 "wasn't opened for that much");
	if (result < 0)
		return stoa_fail(result, "a mapping can't be protected: %s",
		                 strerror(-result));
	return 0;
}

int stoa_mapping_sync(struct stoa_mapping *mapping, uint64_t from,
                      uint64_t bytes, unsigned flags)
{
	struct page_range range;
	int result = mapping_outer(mapping, from, bytes, &range);

	if (result < 0)
		return result;
	if (flags & ~(unsigned)(STOA_MAPPING_ASYNC | STOA_MAPPING_INVALIDATE))
		return stoa_fail(-EINVAL, "flags 0x%x of sync: unknown ones",
		                 flags);
	result = (int)stoa_system_call(
	        SYS_msync, (long)range.start, (long)range.bytes,
	        (flags & STOA_MAPPING_ASYNC ? MS_ASYNC : MS_SYNC) |
	                (flags & STOA_MAPPING_INVALIDATE ? MS_INVALIDATE : 0),
	        0, 0, 0);
	if (result < 0)
		return stoa_fail(result, "a mapping can't be written out: %s",
		                 strerror(-result));
	return 0;
}

int stoa_mapping_populate(struct stoa_mapping *mapping, uint64_t from,
                          uint64_t bytes, unsigned access,
                          int (*progress)(uint64_t, uint64_t, void *),
                          void *context)
{
	struct page_range range;
	int result = mapping_outer(mapping, from, bytes, &range);
	uint64_t done = 0;

	if (result < 0)
		return result;
	if (access != STOA_READ && access != STOA_WRITE)
		return stoa_fail(-EINVAL, "populate to read or to write: "
		                          "STOA_READ or STOA_WRITE");
	while (done < range.bytes) {
		struct page_range step = { range.start + done, STEP_BYTES };

		if (step.bytes > range.bytes - done)
			step.bytes = range.bytes - done;
		result = sys_madvise(step.start, step.bytes,
		                     access == STOA_WRITE ?
		                             MADV_POPULATE_WRITE :
		                             MADV_POPULATE_READ);
		if (result == -EFAULT)
			return mapping_fault(mapping, &step);
		if (result < 0)
			return stoa_fail(result,
			                 "a mapping can't be populated: %s; it "
			                 "may be protected, or the kernel be "
			                 "older than Linux 5.14",
			                 strerror(-result));
		done += step.bytes;
		result = progress ? progress(done < range.bytes ?
		                                     done * bytes /
		                                             range.bytes :
		                                     bytes,
		                             bytes, context) :
		                    0;
		if (result != 0)
			return result;
	}
	return 0;
}

/* ---- Pinning ---------------------------------------------------------------------- */

/* The limit may be the reason: tells it. */
static int fail_to_pin(int result, uint64_t bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY &&
	    (result == -EPERM || result == -ENOMEM || result == -EAGAIN))
		return stoa_fail(
		        result,
		        "%llu bytes can't be pinned: this process may pin %llu "
		        "bytes in all (RLIMIT_MEMLOCK); raise that with `ulimit "
		        "-l` (in KiB; up to %llu), LimitMEMLOCK= in a systemd "
		        "unit, or memlock in /etc/security/limits.conf",
		        (unsigned long long)bytes,
		        (unsigned long long)limit.rlim_cur,
		        (unsigned long long)limit.rlim_max / 1024);
	return stoa_fail(result, "%llu bytes can't be pinned: %s",
	                 (unsigned long long)bytes, strerror(-result));
}

int stoa_mapping_pin(struct stoa_mapping *mapping, uint64_t from,
                     uint64_t bytes)
{
	struct page_range range;
	int result = mapping_outer(mapping, from, bytes, &range);

	if (result < 0)
		return result;
	result = (int)stoa_system_call(SYS_mlock, (long)range.start,
	                               (long)range.bytes, 0, 0, 0, 0);
	if (result == 0)
		return 0;
	/* Pages that can't be had are ENOMEM too; and what could be is pinned
	 * then. */
	int touch = sys_madvise(range.start, range.bytes, MADV_POPULATE_READ);
	stoa_mapping_unpin(mapping, from, bytes);
	if (touch == -EFAULT)
		return mapping_fault(mapping, &range);
	return fail_to_pin(result, range.bytes);
}

int stoa_mapping_unpin(struct stoa_mapping *mapping, uint64_t from,
                       uint64_t bytes)
{
	struct page_range range;
	int result = mapping_outer(mapping, from, bytes, &range);

	if (result == 0)
		result = (int)stoa_system_call(SYS_munlock, (long)range.start,
		                               (long)range.bytes, 0, 0, 0, 0);
	return result;
}

int stoa_mapping_pin_process(unsigned flags)
{
	int what = (flags & STOA_PIN_PRESENT ? MCL_CURRENT : 0) |
	           (flags & STOA_PIN_FUTURE ? MCL_FUTURE : 0) |
	           (flags & STOA_PIN_ON_TOUCH ? MCL_ONFAULT : 0);
	int result;

	if (!(flags & (STOA_PIN_PRESENT | STOA_PIN_FUTURE)) ||
	    flags & ~(unsigned)(STOA_PIN_PRESENT | STOA_PIN_FUTURE |
	                        STOA_PIN_ON_TOUCH))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for pinning the process: "
		                 "STOA_PIN_PRESENT, STOA_PIN_FUTURE or both, "
		                 "and STOA_PIN_ON_TOUCH",
		                 flags);
	result = (int)stoa_system_call(SYS_mlockall, what, 0, 0, 0, 0, 0);
	if (result == 0)
		return 0;
	struct rlimit limit = { 0 };
	getrlimit(RLIMIT_MEMLOCK, &limit);
	return stoa_fail(result,
	                 "the process can't be pinned: it may pin %llu bytes in "
	                 "all (RLIMIT_MEMLOCK), and has more mapped; raise that "
	                 "with `ulimit -l`, LimitMEMLOCK= in a systemd unit, or "
	                 "memlock in /etc/security/limits.conf",
	                 (unsigned long long)limit.rlim_cur);
}

int stoa_mapping_unpin_process(void)
{
	return (int)stoa_system_call(SYS_munlockall, 0, 0, 0, 0, 0, 0);
}

/* ---- Residency --------------------------------------------------------------------- */

int64_t stoa_mapping_resident(struct stoa_mapping *mapping, uint64_t from,
                              uint64_t bytes, uint8_t *ret_bitmap)
{
	unsigned char there[PAGES_AT_ONCE];
	struct page_range range;
	int64_t resident = 0;
	int result = mapping_outer(mapping, from, bytes, &range);
	uint64_t pages;

	if (result < 0)
		return result;
	pages = range.bytes / mapping->page;
	for (uint64_t first = 0; first < pages; first += PAGES_AT_ONCE) {
		uint64_t count = pages - first < PAGES_AT_ONCE ?
		                         pages - first :
		                         PAGES_AT_ONCE;

		result = (int)stoa_system_call(
		        SYS_mincore,
		        (long)(range.start + first * mapping->page),
		        (long)(count * mapping->page), (long)there, 0, 0, 0);
		if (result < 0)
			return stoa_fail(result, "the kernel doesn't say what "
			                         "is in memory: %s",
			                 strerror(-result));
		for (uint64_t i = 0; i < count; i++)
			resident += there[i] & 1;
		for (uint64_t i = 0; i < count && ret_bitmap; i += 8) {
			uint8_t bits = 0;

			for (uint64_t j = 0; j < 8 && i + j < count; j++)
				bits |= (uint8_t)((there[i + j] & 1) << j);
			ret_bitmap[(first + i) / 8] = bits;
		}
	}
	return resident;
}

/* ---- Advice -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int advice;
} advices[] = {
	[STOA_ADVISE_DONT_NEED] = { "dont-need", MADV_DONTNEED },
	[STOA_ADVISE_FREE] = { "free", MADV_FREE },
	[STOA_ADVISE_REMOVE] = { "remove", MADV_REMOVE },
	[STOA_ADVISE_NORMAL] = { "normal", MADV_NORMAL },
	[STOA_ADVISE_SEQUENTIAL] = { "sequential", MADV_SEQUENTIAL },
	[STOA_ADVISE_RANDOM] = { "random", MADV_RANDOM },
	[STOA_ADVISE_WILL_NEED] = { "will-need", MADV_WILLNEED },
	[STOA_ADVISE_COLD] = { "cold", MADV_COLD },
	[STOA_ADVISE_PAGE_OUT] = { "page-out", MADV_PAGEOUT },
	[STOA_ADVISE_HUGE_PAGE] = { "huge-page", MADV_HUGEPAGE },
	[STOA_ADVISE_NO_HUGE_PAGE] = { "no-huge-page", MADV_NOHUGEPAGE },
	[STOA_ADVISE_COLLAPSE] = { "collapse", MADV_COLLAPSE },
	[STOA_ADVISE_MERGEABLE] = { "mergeable", MADV_MERGEABLE },
	[STOA_ADVISE_UNMERGEABLE] = { "unmergeable", MADV_UNMERGEABLE },
	[STOA_ADVISE_DONT_FORK] = { "dont-fork", MADV_DONTFORK },
	[STOA_ADVISE_DO_FORK] = { "do-fork", MADV_DOFORK },
	[STOA_ADVISE_WIPE_ON_FORK] = { "wipe-on-fork", MADV_WIPEONFORK },
	[STOA_ADVISE_KEEP_ON_FORK] = { "keep-on-fork", MADV_KEEPONFORK },
	[STOA_ADVISE_DONT_DUMP] = { "dont-dump", MADV_DONTDUMP },
	[STOA_ADVISE_DO_DUMP] = { "do-dump", MADV_DODUMP },
	[STOA_ADVISE_POPULATE_READ] = { "populate-read", MADV_POPULATE_READ },
	[STOA_ADVISE_POPULATE_WRITE] = { "populate-write",
	                                 MADV_POPULATE_WRITE },
};

const char *stoa_mapping_advice_name(enum stoa_advice advice)
{
	return (size_t)advice < sizeof advices / sizeof advices[0] ?
	               advices[advice].name :
	               NULL;
}

int stoa_mapping_advise(struct stoa_mapping *mapping, uint64_t from,
                        uint64_t bytes, enum stoa_advice advice)
{
	const char *name = stoa_mapping_advice_name(advice);
	struct page_range range = { NULL, 0 };
	int result;

	if (!name)
		return stoa_fail(-EINVAL, "there is no advice %d", (int)advice);
	result = advice <= STOA_ADVISE_REMOVE ?
	                 mapping_inner(mapping, from, bytes, &range) :
	                 mapping_outer(mapping, from, bytes, &range);
	if (result < 0 || range.bytes == 0)
		return result;
	if (advice == STOA_ADVISE_DONT_FORK) /* a child hasn't got it */
		atomic_store_explicit(&mapping->restricted, 1,
		                      memory_order_relaxed);
	result = sys_madvise(range.start, range.bytes, advices[advice].advice);
	if (result == -EFAULT)
		return mapping_fault(mapping, &range);
	if (result == -EINVAL)
		return stoa_fail(result,
		                 "advice %s: this kernel, or a mapping of this "
		                 "sort (%s, %s), can't take it",
		                 name, mapping->shared ? "shared" : "private",
		                 mapping->kind ? "anonymous" : "of a file");
	if (result < 0)
		return stoa_fail(result, "advice %s: %s", name,
		                 strerror(-result));
	return 0;
}
