/* SPDX-License-Identifier: MIT */
/* dropin/memory.c: shmget(), shmat(), shmdt(): segments of System V; see
 * memory_layout.h. Words are relaxed: the registry's mutex orders them. */
#include "memory.h"

#include "calls.h"
#include "fault.h"
#include "kernel.h"
#include "memory_map.h"
#include "memory_table.h"

#include <base/bug.h>
#include <base/system.h>

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), (value), memory_order_relaxed)

#define HUGE_SHIFT 26 /* of the flags: the logarithm of a huge page's size */
#define HUGE_MASK 0x3fu
#define HUGE_DEFAULT 21
#define PIDS_MADE(pids) ((uint32_t)(pids))

/* Keeps the compiler from moving stores, for whoever finds what a death left. */
static void in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* ---- With the registry's lock held ------------------------------------------- */

static void note_last(struct registry_slot *slot, enum memory_word when,
                      pid_t pid)
{
	uint64_t pids = PIDS_MADE(get(slot->word[MEMORY_PIDS]));

	set(slot->word[when], (uint64_t)time(NULL));
	if (!DROPIN_FAULT(55))
		pids |= (uint64_t)(uint32_t)pid << 32;
	set(slot->word[MEMORY_PIDS], pids);
}

static int free_if_left(const struct registry *registry,
                        struct registry_slot *slot, int id,
                        uint32_t *ret_count)
{
	uint32_t count = memory_table_count(registry, slot, id);

	if (ret_count)
		*ret_count = count;
	if (count > 0 || !(get(slot->mode) & SHM_DEST) || DROPIN_FAULT(56))
		return 0;
	registry_remove(registry, REGISTRY_MEMORY, slot);
	return 1;
}

int memory_find(const struct registry *registry, int id,
                struct registry_slot **ret_slot, uint32_t *ret_count)
{
	struct registry_slot *slot;
	int result = registry_find(registry, REGISTRY_MEMORY, id, &slot);

	if (result < 0)
		return result;
	/* Else nobody asks how many, and nothing follows from it. */
	if ((ret_count || get(slot->mode) & SHM_DEST) &&
	    free_if_left(registry, slot, id, ret_count))
		return -EINVAL;
	*ret_slot = slot;
	return 0;
}

void memory_attached(const struct registry *registry, int id, pid_t pid)
{
	struct registry_slot *slot;

	if (registry_find(registry, REGISTRY_MEMORY, id, &slot) == 0)
		note_last(slot, MEMORY_ATTACHED, pid);
}

void memory_detached(const struct registry *registry, int id)
{
	struct registry_slot *slot;

	if (registry_find(registry, REGISTRY_MEMORY, id, &slot) < 0)
		return;
	if (!DROPIN_FAULT(57))
		note_last(slot, MEMORY_DETACHED, memory_map_pid());
	if (get(slot->mode) & SHM_DEST)
		free_if_left(registry, slot, id, NULL);
}

int memory_remove(const struct registry *registry, struct registry_slot *slot,
                  int id)
{
	if (memory_table_count(registry, slot, id) == 0 || DROPIN_FAULT(58))
		return registry_remove(registry, REGISTRY_MEMORY, slot);
	/* In this order: see memory_layout.h */
	if (!STOA_BUG(143))
		set(registry->header->removed, get(registry->header->removed) + 1);
	if (STOA_BUG(142))
		set(slot->key, IPC_PRIVATE);
	in_order();
	set(slot->mode, get(slot->mode) | SHM_DEST); /* commits */
	in_order();
	if (!DROPIN_FAULT(59))
		set(slot->key, IPC_PRIVATE);
	if (STOA_BUG(143))
		set(registry->header->removed, get(registry->header->removed) + 1);
	return 0;
}

int memory_sweep(const struct registry *registry)
{
	int highest = registry_highest(registry, REGISTRY_MEMORY), freed = 0;
	uint32_t left = 0;

	if (get(registry->header->removed) == 0)
		return 0;
	for (int i = 0; i <= highest; i++) {
		struct registry_slot *slot;

		if (registry_find_index(registry, REGISTRY_MEMORY, i, &slot) <
		            0 ||
		    !(get(slot->mode) & SHM_DEST))
			continue;
		if (free_if_left(registry, slot,
		                 registry_slot_id(registry, REGISTRY_MEMORY,
		                                  slot),
		                 NULL))
			freed++;
		else
			left++;
	}
	set(registry->header->removed, left);
	return freed;
}

/* ---- shmget -------------------------------------------------------------------- */

struct making {
	const struct registry *registry;
	uint64_t bytes;
	int flags;
};

static uint64_t pages_of(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return bytes / page + (bytes % page != 0);
}

/* More than there could ever be: the kernel's heuristic of overcommitment. */
static int is_absurd(uint64_t bytes)
{
	static _Atomic uint64_t most; /* 0: not known yet */
	uint64_t limit = atomic_load_explicit(&most, memory_order_relaxed);
	struct stoa_space *space;
	struct statfs filesystem;
	struct sysinfo machine;

	if (limit == 0 && sysinfo(&machine) == 0 && dropin_space(&space) == 0 &&
	    statfs(stoa_space_path(space), &filesystem) == 0) {
		limit = (machine.totalram + machine.totalswap) *
		        machine.mem_unit;
		if (filesystem.f_blocks > 0 &&
		    filesystem.f_blocks * (uint64_t)filesystem.f_bsize < limit)
			limit = filesystem.f_blocks *
			        (uint64_t)filesystem.f_bsize;
		atomic_store_explicit(&most, limit, memory_order_relaxed);
	}
	return bytes > limit;
}

/* Of all segments; the limit is seldom one, so no sum is kept. */
static uint64_t pages_of_all(const struct registry *registry)
{
	int highest = registry_highest(registry, REGISTRY_MEMORY);
	uint64_t sum = 0;

	for (int i = 0; i <= highest; i++) {
		struct registry_slot *slot;

		if (registry_find_index(registry, REGISTRY_MEMORY, i, &slot) ==
		    0)
			sum += pages_of(get(slot->word[MEMORY_BYTES]));
	}
	return sum;
}

/* Whether the system would grant huge pages is asked by taking some; what is
 * served then are those of the tmpfs, as far as it has any. */
static int check_huge(const struct making *making, uint64_t *bytes)
{
	unsigned shift = (unsigned)making->flags >> HUGE_SHIFT & HUGE_MASK;
	uint64_t page = UINT64_C(1) << (shift ? shift : HUGE_DEFAULT);
	void *at;
	int result;

	*bytes = (making->bytes + page - 1) & ~(page - 1);
	result = stoa_sys_mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
	                       MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB |
	                               (int)(shift << HUGE_SHIFT),
	                       -1, 0, &at);
	if (result == -ENOMEM && !dropin_capable(CAP_IPC_LOCK))
		return -EPERM;
	if (result < 0)
		return result;
	return stoa_sys_munmap(at, *bytes);
}

static int check_new(const struct making *making, uint64_t *bytes)
{
	const struct registry_limits *limits =
	        &making->registry->header->limits;
	uint64_t most = get(limits->shmall);

	if (making->bytes < 1 || making->bytes > get(limits->shmmax))
		return -EINVAL;
	if (pages_of(making->bytes) > most ||
	    (most < UINT32_MAX &&
	     pages_of(making->bytes) + pages_of_all(making->registry) > most))
		return -ENOSPC;
	*bytes = making->bytes;
	if (making->flags & SHM_HUGETLB) {
		int result = check_huge(making, bytes);

		if (result < 0)
			return result;
	}
	return is_absurd(*bytes) ? -ENOMEM : 0;
}

static int make_file(const char *path, mode_t mode, uint64_t bytes)
{
	int fd = stoa_sys_openat(AT_FDCWD, path,
	                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	int result;

	if (fd < 0)
		return registry_shortage(fd);
	/* Whatever the umask; which spares its owner's bits, or see below. */
	result = mode & 0077 ? stoa_sys_fchmod(fd, mode) : 0;
	if (result == 0)
		result = stoa_sys_ftruncate(fd, (off_t)bytes);
	stoa_sys_close(fd);
	if (result < 0)
		stoa_sys_unlinkat(AT_FDCWD, path);
	return result == -EFBIG || result == -EINVAL ? -ENOMEM : result;
}

static int make(struct stoa_space *space, const char *name,
                struct registry_slot *slot, void *context)
{
	struct making *making = context;
	char path[REGISTRY_PATH_BYTES];
	uint64_t bytes;
	int result = check_new(making, &bytes);

	(void)space, (void)name;
	if (result == 0)
		result = registry_path(REGISTRY_MEMORY,
		                       registry_slot_id(making->registry,
		                                        REGISTRY_MEMORY, slot),
		                       path);
	if (result == 0)
		result = make_file(path, get(slot->mode) & 0666, bytes);
	if (result < 0)
		return result;
	set(slot->word[MEMORY_BYTES], making->bytes);
	set(slot->word[MEMORY_PIDS], (uint32_t)getpid());
	return 0;
}

static int check(const struct registry_slot *slot, void *context)
{
	struct making *making = context;

	return making->bytes > get(slot->word[MEMORY_BYTES]) &&
	                       !DROPIN_FAULT(60) ?
	               -EINVAL :
	               0;
}

int dropin_shmget(key_t key, size_t bytes, int flags)
{
	struct making making = { .bytes = bytes, .flags = flags };
	struct registry_maker maker = { .make = make, .check = check };
	int result = registry_open(&making.registry);

	if (result < 0)
		return result;
	/* Room for one more is asked for last: of none that can't be. */
	maker.most = bytes < 1 ? UINT64_MAX :
	                         get(making.registry->header->limits.shmmni);
	if (get(making.registry->header->removed) > 0) {
		const struct registry *registry;

		result = registry_lock(&registry);
		if (result < 0)
			return result;
		memory_sweep(registry);
		registry_unlock();
	}
	return registry_get(REGISTRY_MEMORY, key, flags, &maker, &making);
}

/* ---- shmat ----------------------------------------------------------------------- */

/* The address that is meant; 0: any. */
static int choose_address(const void *address, int flags, uintptr_t *ret_at)
{
	uintptr_t at = (uintptr_t)address, part;

	part = at & ((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	if (!at && flags & SHM_REMAP)
		return -EINVAL;
	if (part != 0 && !(flags & SHM_RND) && !DROPIN_FAULT(61))
		return -EINVAL;
	if (part != 0 && part == at && flags & SHM_REMAP)
		return -EINVAL;
	*ret_at = at - part;
	return 0;
}

static int open_memory(int id, int flags, mode_t mode,
                       struct memory_wish *wish)
{
	char path[REGISTRY_PATH_BYTES];
	int result = registry_path(REGISTRY_MEMORY, id, path);
	int access = flags & SHM_RDONLY && !DROPIN_FAULT(62) ? O_RDONLY :
	                                                       O_RDWR;
	struct stat stat;
	int fd;

	if (result < 0)
		return result;
	access |= O_NOFOLLOW | O_NONBLOCK;
	fd = stoa_sys_openat(AT_FDCWD, path, access, 0);
	/* The owner's, whose umask left him nothing. */
	if (fd == -EACCES &&
	    dropin_kernel(SYS_fchmodat, AT_FDCWD, (long)path, mode) == 0)
		fd = stoa_sys_openat(AT_FDCWD, path, access, 0);
	if (fd < 0)
		return fd == -ENOENT ? -EINVAL : registry_shortage(fd);
	result = stoa_sys_fstat(fd, &stat);
	if (result == 0 && (!S_ISREG(stat.st_mode) || stat.st_size <= 0))
		result = -EINVAL;
	if (result < 0) {
		stoa_sys_close(fd);
		return result;
	}
	wish->fd = fd;
	wish->bytes = (size_t)stat.st_size;
	return 0;
}

static mode_t rights_wanted(int flags)
{
	return (flags & SHM_RDONLY ? 0444 : 0666) |
	       (flags & SHM_EXEC ? 0111 : 0);
}

static int attach(const struct registry *registry, int flags,
                  struct memory_wish *wish, uintptr_t *ret_address)
{
	struct dropin_permission permission;
	struct registry_slot *slot;
	stoa_peer peer;
	int result = memory_find(registry, wish->id, &slot, NULL);

	if (result < 0)
		return result;
	registry_permission(slot, &permission);
	result = dropin_may(&permission, rights_wanted(flags));
	if (result == 0 && memory_map_settle(registry, &peer) < 0)
		result = -ENOMEM;
	if (result == 0)
		result = open_memory(wish->id, flags, permission.mode & 0666,
		                     wish);
	if (result < 0)
		return result;
	result = memory_table_add(registry, peer, wish->id, memory_map_pid());
	if (result < 0)
		return result;
	if (wish->fixed && !wish->replace &&
	    wish->address + wish->bytes < wish->address)
		result = -EINVAL;
	else
		result = memory_map_attach(registry, wish, ret_address);
	if (result == 0) {
		note_last(slot, MEMORY_ATTACHED, memory_map_pid());
		return 0;
	}
	memory_table_drop(registry, peer, wish->id);
	if (get(slot->mode) & SHM_DEST)
		free_if_left(registry, slot, wish->id, NULL);
	return result;
}

static void watch_forks(void)
{
	memory_map_watch_forks();
}

int dropin_shmat(int id, const void *address, int flags, void **ret_address)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct memory_wish wish = { .id = id, .fd = -1 };
	const struct registry *registry;
	uintptr_t at;
	int result = id < 0 ? -EINVAL :
	                      choose_address(address, flags, &wish.address);

	if (result == 0)
		result = registry_open(&registry);
	if (result < 0)
		return result;
	wish.fixed = address != NULL;
	wish.replace = (flags & SHM_REMAP) != 0 || (address && !wish.address);
	wish.protection = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) |
	                  (flags & SHM_EXEC ? PROT_EXEC : 0);
	pthread_once(&once, watch_forks);
	result = registry_lock(&registry);
	if (result < 0)
		return result;
	result = attach(registry, flags, &wish, &at);
	registry_unlock();
	if (wish.fd >= 0)
		stoa_sys_close(wish.fd);
	if (result == 0)
		*ret_address = (void *)at;
	return result;
}

/* ---- shmdt ------------------------------------------------------------------------ */

int dropin_shmdt(const void *address)
{
	uintptr_t at = (uintptr_t)address;
	const struct registry *registry;
	int result;

	if (at & ((uintptr_t)sysconf(_SC_PAGESIZE) - 1))
		return -EINVAL;
	if (!memory_map_touches(0, SIZE_MAX)) /* nothing is attached */
		return -EINVAL;
	result = registry_lock(&registry);
	if (result < 0)
		return result;
	result = memory_map_detach(registry, at);
	registry_unlock();
	return result;
}

int memory_munmap(void *address, size_t bytes)
{
	const struct registry *registry;
	int result;

	if (!memory_map_touches((uintptr_t)address, bytes) ||
	    registry_lock(&registry) < 0)
		return stoa_sys_munmap(address, bytes);
	result = memory_map_unmap(registry, (uintptr_t)address, bytes);
	registry_unlock();
	return result;
}
