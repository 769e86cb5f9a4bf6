/* SPDX-License-Identifier: MIT */
/* memory/segment_map.c: a segment's memory in this process. */
#include <memory/segment_internal.h>
#include <space/guard.h>

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static int sys_mprotect(void *address, uint64_t bytes, int protection)
{
	return (int)stoa_system_call(SYS_mprotect, (long)address, (long)bytes,
	                             protection, 0, 0, 0);
}

static int is_huge(const struct stoa_segment *segment)
{
	return segment->data_offset == SEGMENT_HUGE_PAGE;
}

/*
 * The system's setting for tmpfs may be "never" or "advise"; collapsing what
 * was reserved in small pages asks for huge ones whatever it is. What can't be
 * had stays in small pages.
 */
static void ask_for_huge_pages(struct stoa_segment *segment, uint64_t from,
                               uint64_t to)
{
	from &= ~(SEGMENT_HUGE_PAGE - 1);
	to &= ~(SEGMENT_HUGE_PAGE - 1);
	if (!is_huge(segment) || from >= to)
		return;
	stoa_system_call(SYS_madvise, (long)(segment->data + from),
	                 (long)(to - from), MADV_HUGEPAGE, 0, 0, 0);
	stoa_system_call(SYS_madvise, (long)(segment->data + from),
	                 (long)(to - from), MADV_COLLAPSE, 0, 0, 0);
}

/* ---- Placing ----------------------------------------------------------------- */

static int map_at(struct stoa_segment *segment, void *address, int flags,
                  int protection, void **ret_data)
{
	void *data;
	int result = stoa_sys_mmap(address, segment->limit, protection,
	                           MAP_SHARED | MAP_NORESERVE | flags,
	                           segment->object.fd,
	                           (off_t)segment->data_offset, &data);

	if (result < 0)
		return result;
	if (address && data != address) { /* a kernel without NOREPLACE */
		stoa_sys_munmap(data, segment->limit);
		return -EEXIST;
	}
	*ret_data = data;
	return 0;
}

/* A huge page can only be mapped where address and file agree on its borders. */
static int map_aligned(struct stoa_segment *segment, int protection,
                       void **ret_data)
{
	uint64_t bytes = segment->limit + SEGMENT_HUGE_PAGE;
	void *room;
	int result = stoa_sys_mmap(NULL, bytes, PROT_NONE,
	                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	                           -1, 0, &room);

	if (result < 0)
		return result;
	uint64_t skip = -(uint64_t)(uintptr_t)room & (SEGMENT_HUGE_PAGE - 1);
	char *data = (char *)room + skip;
	result = map_at(segment, data, MAP_FIXED, protection, ret_data);
	if (result < 0) {
		stoa_sys_munmap(room, bytes);
		return result;
	}
	if (skip > 0)
		stoa_sys_munmap(room, skip);
	if (skip < SEGMENT_HUGE_PAGE)
		stoa_sys_munmap(data + segment->limit,
		                SEGMENT_HUGE_PAGE - skip);
	return 0;
}

static int fail_to_map(struct stoa_segment *segment, void *address, int result)
{
	const char *name = segment->object.name;

	if (result == -EEXIST)
		return stoa_fail(-EADDRINUSE,
		                 "segment %s can't be attached at %p: something "
		                 "is mapped in the %llu bytes from there; ask "
		                 "for another address, or for none",
		                 name, address,
		                 (unsigned long long)segment->limit);
	if (result == -EINVAL && address)
		return stoa_fail(result,
		                 "segment %s can't be attached at %p: addresses "
		                 "are multiples of the page size",
		                 name, address);
	return stoa_fail(result, "can't map segment %s (%llu bytes): %s", name,
	                 (unsigned long long)segment->limit, strerror(-result));
}

/* Takes free room, so that nothing else comes to be there. */
static int reserve(char *start, char *end)
{
	void *room;
	int result;

	if (start >= end)
		return 0;
	result = stoa_sys_mmap(start, (uint64_t)(end - start), PROT_NONE,
	                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
	                               MAP_FIXED_NOREPLACE,
	                       -1, 0, &room);
	if (result == 0 && room != start) {
		stoa_sys_munmap(room, (uint64_t)(end - start));
		return -EEXIST;
	}
	return result;
}

static void release(char *start, char *end)
{
	if (start < end)
		stoa_sys_munmap(start, (uint64_t)(end - start));
}

static int move_header(struct stoa_segment *segment)
{
	struct stoa_object *object = &segment->object;
	void *room;
	int result = stoa_sys_mmap(NULL, object->bytes, PROT_NONE,
	                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &room);
	long moved;

	if (result < 0)
		return result;
	stoa_guard_remove(object->base);
	moved = stoa_system_call(SYS_mremap, (long)object->base,
	                         (long)object->bytes, (long)object->bytes,
	                         MREMAP_MAYMOVE | MREMAP_FIXED, (long)room, 0);
	if (moved < 0 && moved > -4096) {
		stoa_sys_munmap(room, object->bytes);
		result = (int)moved;
	} else {
		object->base = room;
		object->header = room;
		object->events = &object->header->events;
		segment->control = (void *)(object->base + OBJECT_WORDS_OFFSET);
	}
	/* The slot is there: it was given up above. */
	stoa_guard_add(object->base, object->bytes, &object->poisoned);
	return result;
}

/* The kernel may have put the header just where the caller wants the data. */
static int clear_way(struct stoa_segment *segment, char *address)
{
	char *base = segment->object.base;
	char *end = base + segment->object.bytes, *limit;
	int result;

	if (__builtin_add_overflow((uintptr_t)address, segment->limit,
	                           (uintptr_t *)&limit) ||
	    base >= limit || end <= address || address > base || end > limit)
		return 0;
	result = reserve(address, base);
	if (result < 0)
		return result;
	result = reserve(end, limit);
	if (result == 0) {
		result = move_header(segment);
		release(end, limit);
	}
	release(address, base);
	return result;
}

/* All of it is mapped; what others have given back isn't to be touched. */
static int map_with_header(struct stoa_segment *segment, uint64_t size)
{
	char *data = segment->object.base + segment->data_offset;
	uint64_t pages = segment_page_up(size);
	int result = 0;

	if (pages < segment->limit)
		result = sys_mprotect(data + pages, segment->limit - pages,
		                      PROT_NONE);
	if (result < 0)
		return fail_to_map(segment, NULL, result);
	segment->data = data;
	segment_put(segment->mapped, pages);
	return 0;
}

static int maps_with_header(const struct stoa_segment *segment)
{
	return segment->object.bytes > OBJECT_HEADER_BYTES;
}

int segment_map(struct stoa_segment *segment)
{
	uint64_t size;
	void *data, *address = segment->address;
	int protection = segment->protection;
	int result = segment_load_size(segment, &size);

	if (result == 0 && address)
		result = clear_way(segment, address);
	if (result < 0)
		return result == -EUCLEAN || result == -EIO ?
		               result :
		               fail_to_map(segment, address, result);
	if (maps_with_header(segment))
		return map_with_header(segment, size);
	if (segment_page_up(size) < segment->limit)
		protection = PROT_NONE; /* until it is known to be there */
	if (!address && is_huge(segment))
		result = map_aligned(segment, protection, &data);
	else
		result = map_at(segment, address,
		                address ? MAP_FIXED_NOREPLACE : 0, protection,
		                &data);
	if (result < 0)
		return fail_to_map(segment, address, result);
	result = stoa_guard_add(data, segment->limit,
	                        &segment->object.poisoned);
	if (result < 0) {
		stoa_sys_munmap(data, segment->limit);
		return result;
	}
	segment->data = data;
	if (protection != PROT_NONE)
		segment_put(segment->mapped, segment->limit);
	else
		result = segment_extend(segment, size);
	if (result < 0) {
		segment_unmap(segment);
		return result;
	}
	ask_for_huge_pages(segment, 0, size);
	return 0;
}

void segment_unmap(struct stoa_segment *segment)
{
	if (!segment->data)
		return;
	if (!maps_with_header(segment)) {
		stoa_guard_remove(segment->data);
		stoa_sys_munmap(segment->data, segment->limit);
	}
	segment->data = NULL;
}

/* ---- Changing ----------------------------------------------------------------- */

int segment_extend(struct stoa_segment *segment, uint64_t size)
{
	uint64_t pages = segment_page_up(size), mapped;
	int result = 0;

	if (!segment->data)
		return 0;
	pthread_mutex_lock(&segment->mutex);
	mapped = segment_get(segment->mapped);
	if (pages > mapped)
		result = sys_mprotect(segment->data + mapped, pages - mapped,
		                      segment->protection);
	if (pages > mapped && result == 0) {
		ask_for_huge_pages(segment, mapped, pages);
		segment_put(segment->mapped, pages);
	}
	pthread_mutex_unlock(&segment->mutex);
	if (result < 0)
		stoa_fail(result, "can't map what segment %s has grown by: %s",
		          segment->object.name, strerror(-result));
	return result;
}

/* Puts a mapping by `fd` in place of the one there is. */
static int map_data_again(struct stoa_segment *segment, int fd, int protection)
{
	const int flags = MAP_SHARED | MAP_NORESERVE | MAP_FIXED;
	uint64_t mapped;
	void *data;
	int result;

	pthread_mutex_lock(&segment->mutex);
	mapped = segment_get(segment->mapped);
	result = stoa_sys_mmap(segment->data, mapped, protection, flags, fd,
	                       (off_t)segment->data_offset, &data);
	if (result == 0 && mapped < segment->limit)
		result = stoa_sys_mmap(
		        segment->data + mapped, segment->limit - mapped,
		        PROT_NONE, flags, fd,
		        (off_t)(segment->data_offset + mapped), &data);
	if (result == 0)
		segment->protection = protection;
	pthread_mutex_unlock(&segment->mutex);
	return result;
}

int segment_map_again(struct stoa_segment *segment, int fd)
{
	struct stoa_object *object = &segment->object;
	void *base;
	int result = stoa_sys_mmap(
	        object->base, OBJECT_HEADER_BYTES,
	        segment->may_write ? PROT_READ | PROT_WRITE : PROT_READ,
	        MAP_SHARED | MAP_FIXED, fd, 0, &base);

	return result < 0 ? result :
	                    map_data_again(segment, fd, segment->protection);
}

int segment_map_read_only(struct stoa_segment *segment)
{
	struct stoa_object *object = &segment->object;
	int fd = stoa_sys_reopen(object->fd, O_RDONLY);
	int result = fd;

	if (fd >= 0) {
		result = map_data_again(segment, fd, PROT_READ);
		stoa_sys_close(fd);
	}
	if (result < 0)
		stoa_fail(result, "can't map segment %s read-only: %s",
		          object->name, strerror(-result));
	return result;
}

/* ---- Huge pages --------------------------------------------------------------- */

#ifndef PAGEMAP_SCAN
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages,
	        category_inverted, category_mask, category_anyof_mask,
	        return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_HUGE (1 << 6)
#endif

uint64_t segment_huge_bytes(struct stoa_segment *segment)
{
	struct page_region regions[16];
	uint64_t bytes = 0;
	long found;

	if (!segment->data || !is_huge(segment))
		return 0;
	int fd = stoa_sys_openat(AT_FDCWD, "/proc/self/pagemap", O_RDONLY, 0);
	if (fd < 0)
		return 0;
	struct pm_scan_arg scan = {
		.size = sizeof scan,
		.start = (uint64_t)(uintptr_t)segment->data,
		.end = (uint64_t)(uintptr_t)segment->data +
		       segment_get(segment->mapped),
		.vec = (uint64_t)(uintptr_t)regions,
		.vec_len = sizeof regions / sizeof regions[0],
		.category_mask = PAGE_IS_HUGE,
		.return_mask = PAGE_IS_HUGE,
	};
	do {
		found = stoa_system_call(SYS_ioctl, fd, PAGEMAP_SCAN,
		                         (long)&scan, 0, 0, 0);
		for (long i = 0; i < found; i++)
			bytes += regions[i].end - regions[i].start;
		if (scan.walk_end <= scan.start)
			break;
		scan.start = scan.walk_end;
	} while (found > 0 && scan.start < scan.end);
	stoa_sys_close(fd);
	return bytes;
}
