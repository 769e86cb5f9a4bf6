/* SPDX-License-Identifier: MIT */
/* memory/pool_segment.c: pools whose blocks are segments: their memory, and
 * their mappings. See Segments in pool_layout.h. */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <memory/pool_internal.h>
#include <space/guard.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t room(const struct stoa_pool *pool)
{
	return pool->shape.blocks * pool->shape.stride;
}

static off_t file_offset(const struct stoa_pool *pool, uint32_t index)
{
	return (off_t)(OBJECT_KIND_OFFSET + pool->shape.data_at +
	               index * pool->shape.stride);
}

/* Without the page that follows. */
static uint64_t segment_bytes(const struct stoa_pool *pool)
{
	return pool->shape.stride - pool->shape.page;
}

static int check_descriptor(struct stoa_pool *pool)
{
	struct stat stat;
	int result = stoa_sys_fstat(pool->object.fd, &stat);

	if (result == 0 && stat.st_ino == pool->object.inode)
		return 0;
	if (result < 0 && result != -EBADF)
		return stoa_fail(result, "can't look at the file of pool %s: %s",
		                 pool->object.name, strerror(-result));
	return stoa_fail(-EBADF,
	                 "the descriptor of pool %s was closed by the "
	                 "program; open it anew",
	                 pool->object.name);
}

/* ---- Memory ------------------------------------------------------------------ */

static int give_memory(struct stoa_pool *pool, uint64_t block)
{
	uint32_t index = POOL_INDEX(block);
	int result = check_descriptor(pool);

	if (STOA_BUG(65))
		atomic_store_explicit(&pool->given[index], 1,
		                      memory_order_relaxed);
	if (result == 0)
		result = stoa_sys_fallocate(pool->object.fd,
		                            file_offset(pool, index),
		                            (off_t)segment_bytes(pool));
	/* relaxed: the block's word is released after it */
	if (result == 0)
		atomic_store_explicit(&pool->given[index], 1,
		                      memory_order_relaxed);
	return result;
}

/* Holds all that are free until it comes to one with memory. */
static int find_furnished(struct stoa_pool *pool, uint64_t *block)
{
	uint64_t *held = calloc(pool->shape.blocks, sizeof *held), more;
	uint32_t count = 0;
	int result = -ENOSPC;

	while (held && count < pool->shape.blocks &&
	       pool_take(pool, &more) == 0) {
		held[count++] = more;
		if (!pool_furnished(pool, more))
			continue;
		held[count - 1] = *block;
		*block = more;
		result = 0;
		break;
	}
	while (count > 0)
		stoa_pool_release(pool, held[--count]);
	free(held);
	return result;
}

int pool_furnish(struct stoa_pool *pool, uint64_t *block)
{
	int result = stoa_object_health(&pool->object);

	if (result < 0)
		return result; /* what was read of it may not be true */
	result = give_memory(pool, *block);
	if (result == -ENOSPC)
		result = find_furnished(pool, block);
	if (result == 0)
		return 0;
	stoa_pool_release(pool, *block);
	if (result == -EBADF)
		return check_descriptor(pool);
	return stoa_fail(result,
	                 "a segment of pool %s needs %llu bytes, for which there "
	                 "is no room: %s; discard some, or make the tmpfs "
	                 "larger",
	                 pool->object.name,
	                 (unsigned long long)segment_bytes(pool),
	                 strerror(-result));
}

/* What it can't take away it leaves: the next who has the block uses it. */
static void take_away(struct stoa_pool *pool, uint32_t index)
{
	int result;

	/* release: before the memory goes, also for who looks on */
	if (!STOA_BUG(66))
		atomic_store_explicit(&pool->given[index], 0,
		                      memory_order_release);
	do
		result = stoa_sys_punch(pool->object.fd,
		                        file_offset(pool, index),
		                        (off_t)segment_bytes(pool));
	while (result == -EINTR);
}

int stoa_pool_discard(struct stoa_pool *pool, uint64_t block)
{
	uint64_t word = 0;
	int result = pool_enter(pool);

	if (result == 0)
		result = pool_look_up(pool, block, &word);
	if (result == 0 &&
	    word != slab_held_word(word,
	                           atomic_load_explicit(&pool->object.peer,
	                                                memory_order_relaxed)))
		result = pool_not_ours(pool, block);
	if (stoa_unlikely(!stoa_object_healthy(&pool->object)))
		return stoa_object_health(&pool->object);
	if (result < 0)
		return result;
	if (pool->given) {
		result = check_descriptor(pool);
		if (result < 0)
			return result;
		take_away(pool, POOL_INDEX(block));
	}
	result = stoa_pool_release(pool, block);
	if (STOA_BUG(66) && pool->given)
		atomic_store_explicit(&pool->given[POOL_INDEX(block)], 0,
		                      memory_order_release);
	return result;
}

/* ---- Mappings ------------------------------------------------------------------ */

static int map_room(struct stoa_pool *pool, int fd, char **ret_room)
{
	void *data;
	int result = stoa_sys_mmap(NULL, room(pool), PROT_NONE,
	                           MAP_SHARED | MAP_NORESERVE, fd,
	                           file_offset(pool, 0), &data);

	if (result == 0) {
		result = stoa_guard_add(data, room(pool),
		                        &pool->object.poisoned);
		if (result < 0)
			stoa_sys_munmap(data, room(pool));
	}
	if (result < 0)
		return stoa_fail(result,
		                 "can't map the segments of pool %s (%llu "
		                 "bytes): %s",
		                 pool->object.name,
		                 (unsigned long long)room(pool),
		                 strerror(-result));
	*ret_room = data;
	return 0;
}

static void unmap_room(struct stoa_pool *pool, char *data)
{
	if (!data)
		return;
	stoa_guard_remove(data);
	stoa_sys_munmap(data, room(pool));
}

int pool_map(struct stoa_pool *pool)
{
	pool->opened = calloc(pool->shape.blocks, sizeof *pool->opened);
	if (!pool->opened)
		return stoa_fail(-ENOMEM, "no memory to use pool %s",
		                 pool->object.name);
	return map_room(pool, pool->object.fd, &pool->data);
}

void pool_unmap(struct stoa_pool *pool)
{
	if (!pool->opened)
		return;
	unmap_room(pool, atomic_load_explicit(&pool->view,
	                                      memory_order_relaxed));
	unmap_room(pool, pool->data);
	free((void *)pool->opened);
	pool->opened = NULL;
}

/* Through a description that can't be written by, so that nobody can make the
 * mapping writable. */
static char *find_view(struct stoa_pool *pool)
{
	/* acquire: pairs with the exchange, whoever made it */
	char *view = atomic_load_explicit(&pool->view, memory_order_acquire);
	char *none = NULL;
	int result, fd;

	if (view)
		return view;
	result = check_descriptor(pool);
	if (result < 0)
		return NULL;
	fd = stoa_sys_reopen(pool->object.fd, O_RDONLY);
	if (fd < 0) {
		stoa_fail(fd, "can't open pool %s to read it: %s",
		          pool->object.name, strerror(-fd));
		return NULL;
	}
	result = map_room(pool, fd, &view);
	stoa_sys_close(fd);
	if (result < 0)
		return NULL;
	if (atomic_compare_exchange_strong_explicit(&pool->view, &none, view,
	                                            memory_order_acq_rel,
	                                            memory_order_acquire))
		return view;
	unmap_room(pool, view); /* another thread was quicker */
	return none;
}

char *pool_open_segment(struct stoa_pool *pool, uint32_t index, unsigned how)
{
	char *base = how == POOL_READS ? find_view(pool) : pool->data;
	_Atomic uint8_t *opened = &pool->opened[index];
	int result;

	if (!base)
		return NULL;
	base += index * pool->shape.stride;
	/* relaxed: who finds it could touch the memory before */
	if (stoa_likely(atomic_load_explicit(opened, memory_order_relaxed) &
	                how))
		return base;
	result = (int)stoa_system_call(
	        SYS_mprotect, (long)base, (long)segment_bytes(pool),
	        how == POOL_READS ? PROT_READ : PROT_READ | PROT_WRITE, 0, 0,
	        0);
	if (result < 0) {
		stoa_fail(result,
		          "can't map one more segment of pool %s: %s; see "
		          "/proc/sys/vm/max_map_count",
		          pool->object.name, strerror(-result));
		return NULL;
	}
	atomic_fetch_or_explicit(opened, (uint8_t)how, memory_order_relaxed);
	return base;
}

const void *stoa_pool_view(struct stoa_pool *pool, uint64_t block)
{
	uint64_t word;

	if (!pool->opened)
		return stoa_pool_data(pool, block);
	if (stoa_unlikely(!stoa_object_healthy(&pool->object)) ||
	    stoa_unlikely(pool_look_up(pool, block, &word) < 0)) {
		stoa_object_health(&pool->object);
		return NULL;
	}
	return pool_open_segment(pool, POOL_INDEX(block), POOL_READS);
}
