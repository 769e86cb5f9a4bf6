/* SPDX-License-Identifier: MIT */
/* space/life.c: joining a space, and asking who is alive in it. */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <space/life.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define SHARD_NAME_MAX 24
#define SHARDS_KEPT 16 /* descriptors for asking, at most */

/* A forked child lets go of its parent's lock, and is nobody yet. */
static void after_fork_in_child(struct stoa_fork *entry)
{
	struct stoa_life *life = (void *)((char *)entry -
	                                  offsetof(struct stoa_life, fork));

	if (life->lock_fd >= 0)
		stoa_sys_close_inode(life->lock_fd, life->lock_inode);
	life->lock_fd = -1;
	atomic_store_explicit(&life->self->peer, 0, memory_order_relaxed);
	atomic_store_explicit(&life->waits_taken, 0, memory_order_relaxed);
	pthread_mutex_init(&life->mutex, NULL);
}

int stoa_life_pid(struct stoa_life *life)
{
	int pid = atomic_load_explicit(&life->self->pid, memory_order_relaxed);

	if (pid == 0) {
		pid = stoa_sys_getpid();
		atomic_store_explicit(&life->self->pid, pid,
		                      memory_order_relaxed);
	}
	return pid;
}

/* A random number of the process's own to begin with, and then SplitMix64
 * (Steele, Lea, Flood 2014), which comes to each number once. */
uint64_t stoa_life_fresh(struct stoa_life *life)
{
	_Atomic uint64_t *seed = &life->self->seed;
	uint64_t none = 0, number = 0;

	if (atomic_load_explicit(seed, memory_order_relaxed) == 0) {
		if (stoa_system_call(SYS_getrandom, (long)&number,
		                     sizeof number, 0, 0, 0, 0) !=
		    sizeof number)
			number = (uint64_t)stoa_sys_clock_ns(CLOCK_REALTIME);
		atomic_compare_exchange_strong_explicit(
		        seed, &none, number, memory_order_relaxed,
		        memory_order_relaxed);
	}
	number = atomic_fetch_add_explicit(seed, UINT64_C(0x9e3779b97f4a7c15),
	                                   memory_order_relaxed);
	number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
	return number ^ number >> 31;
}

int stoa_life_init(struct stoa_life *life, int directory, const char *path,
                   int shared)
{
	void *page;
	int result = stoa_sys_mmap(NULL, sizeof *life->self,
	                           PROT_READ | PROT_WRITE,
	                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &page);

	if (result < 0)
		return result;
	result = (int)stoa_system_call(SYS_madvise, (long)page,
	                               sizeof *life->self, MADV_WIPEONFORK, 0,
	                               0, 0);
	if (result == -EINVAL) /* wants whole pages */
		result = (int)stoa_system_call(SYS_madvise, (long)page, 4096,
		                               MADV_WIPEONFORK, 0, 0, 0);
	if (result < 0) {
		stoa_sys_munmap(page, sizeof *life->self);
		return result;
	}
	struct stat stat;
	result = stoa_sys_fstat(directory, &stat);
	if (result < 0) {
		stoa_sys_munmap(page, sizeof *life->self);
		return result;
	}
	memset(life, 0, sizeof *life);
	life->directory = directory;
	life->directory_inode = stat.st_ino;
	life->path = path;
	life->shared = shared;
	life->self = page;
	life->lock_fd = -1;
	pthread_mutex_init(&life->mutex, NULL);
	life->fork.child = after_fork_in_child;
	stoa_fork_enlist(&life->fork);
	return 0;
}

static void shard_name(int shard, char name[SHARD_NAME_MAX])
{
	snprintf(name, SHARD_NAME_MAX, ".life.%d", shard);
}

static int no_life_file(const char *name)
{
	return stoa_fail(-EPERM, "%s in the space is not a life file; remove it",
	                 name);
}

static int open_shard(struct stoa_life *life, int shard, int flags)
{
	char name[SHARD_NAME_MAX];
	struct stat stat;

	shard_name(shard, name);
	/* What isn't a life file may block, or be anything. */
	int fd = stoa_sys_openat(life->directory, name,
	                         flags | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd == -EISDIR || fd == -ELOOP || fd == -ENXIO)
		return no_life_file(name);
	if (fd < 0)
		return fd;
	int result = stoa_sys_fstat(fd, &stat);
	if (result == 0 && !S_ISREG(stat.st_mode))
		result = no_life_file(name);
	if (result < 0) {
		stoa_sys_close(fd);
		return result;
	}
	return stoa_sys_keep(fd);
}

/* Complete before it has a name, as every file in a space. */
static int make_shard(struct stoa_life *life, int shard)
{
	char name[SHARD_NAME_MAX];
	int fd = stoa_sys_openat(life->directory, ".", O_TMPFILE | O_RDWR,
	                         0600);

	if (fd < 0)
		return fd;
	shard_name(shard, name);
	int result = stoa_sys_fallocate(fd, 0, LIFE_FILE_BYTES);
	if (result == 0)
		result = stoa_sys_fchmod(fd, life->shared ? 0666 : 0600);
	if (result == 0)
		result = stoa_sys_publish(fd, life->directory, name);
	stoa_sys_close(fd);
	return result == -EEXIST ? 0 : result;
}

/* A descriptor for asking, never the one that bears the lock. Unless kept, it
 * is the caller's to close: forged peers of many shards must not eat up the
 * program's descriptors. */
static int asking_fd(struct stoa_life *life, int shard, int *ret_kept)
{
	int fd = atomic_load_explicit(&life->shard_fd[shard],
	                              memory_order_acquire);
	int none = 0;

	*ret_kept = 1;
	if (fd)
		return fd - 1;
	fd = open_shard(life, shard, O_RDONLY);
	*ret_kept = shard < SHARDS_KEPT;
	if (fd < 0 || !*ret_kept)
		return fd;
	if (!atomic_compare_exchange_strong_explicit(
	            &life->shard_fd[shard], &none, fd + 1,
	            memory_order_acq_rel, memory_order_acquire)) {
		stoa_sys_close(fd);
		return none - 1;
	}
	return fd;
}

static int write_record(int fd, uint32_t slot, stoa_peer *ret_peer)
{
	struct life_record record = { 0 };
	off_t offset = (off_t)(slot % LIFE_SLOTS * sizeof record);
	ssize_t got = stoa_sys_pread(fd, &record, sizeof record, offset);

	if (got != sizeof record)
		return got < 0 ? (int)got :
		                 stoa_fail(-EUCLEAN, "a life file of the space "
		                                     "is too short; remove "
		                                     "the space");
	uint32_t generation = record.generation + 1;
	record = (struct life_record){
		.generation = generation ? generation : 1,
		.pid = stoa_sys_getpid(),
		.uid = (uint32_t)stoa_sys_getuid(),
		.joined_ns = stoa_sys_clock_ns(CLOCK_REALTIME),
	};
	prctl(PR_GET_NAME, record.command);
	got = stoa_sys_pwrite(fd, &record, sizeof record, offset);
	if (got != sizeof record)
		return got < 0 ? (int)got : -EIO;
	*ret_peer = LIFE_PEER(slot, record.generation);
	return 0;
}

/* 0: joined. -EAGAIN: every slot of the shard is taken. */
static int join_shard(struct stoa_life *life, int shard, stoa_peer *ret_peer)
{
	struct stat stat;
	int fd = open_shard(life, shard, O_RDWR);

	if (fd == -ENOENT) {
		int result = make_shard(life, shard);
		if (result < 0)
			return result;
		fd = open_shard(life, shard, O_RDWR);
	}
	if (fd < 0)
		return fd;
	int result = stoa_sys_fstat(fd, &stat);
	if (result < 0)
		goto close;
	result = -EAGAIN;
	for (int slot = 0; slot < LIFE_SLOTS && result == -EAGAIN; slot++)
		result = stoa_sys_lock_byte(fd, LIFE_LOCK_OFFSET + slot,
		                            F_WRLCK) ?:
		         write_record(fd, (uint32_t)(shard * LIFE_SLOTS + slot),
		                      ret_peer);
	if (result < 0)
		goto close;
	life->lock_fd = fd;
	life->lock_inode = stat.st_ino;
	return 0;

close:
	stoa_sys_close(fd);
	return result;
}

/* 1: the program had closed it, and whatever else was open, as daemons do
 * before or after they fork. */
static int reopen_directory(struct stoa_life *life)
{
	struct stat stat;
	int result = stoa_sys_fstat(life->directory, &stat), fd;

	/* What can't be asked now is still open. */
	if (result == 0 ? stat.st_ino == life->directory_inode :
	                  result != -EBADF)
		return 0;
	fd = stoa_sys_openat(AT_FDCWD, life->path,
	                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return 1;
	if (stoa_sys_fstat(fd, &stat) == 0 &&
	    stat.st_ino == life->directory_inode)
		life->directory = stoa_sys_keep(fd);
	else
		stoa_sys_close(fd);
	return 1;
}

static int join_locked(struct stoa_life *life, stoa_peer *ret_peer)
{
	stoa_peer peer = 0;
	int result = -EAGAIN;

	if (life->lock_fd >= 0) { /* _Fork() or clone() skipped the handler */
		stoa_sys_close_inode(life->lock_fd, life->lock_inode);
		life->lock_fd = -1;
	}
	if (reopen_directory(life))
		for (int i = 0; i < LIFE_SHARDS; i++)
			/* relaxed: an answer through an old one is a hint */
			atomic_store_explicit(&life->shard_fd[i], 0,
			                      memory_order_relaxed);
	for (int shard = 0; shard < LIFE_SHARDS && result == -EAGAIN; shard++)
		result = join_shard(life, shard, &peer);
	if (result == -EAGAIN)
		return stoa_fail(-EUSERS, "all %d life slots of the space are "
		                          "taken; end some processes",
		                 LIFE_SHARDS * LIFE_SLOTS);
	if (result < 0)
		return result;
	atomic_store_explicit(&life->self->peer, peer, memory_order_release);
	*ret_peer = peer;
	return 0;
}

int stoa_life_join(struct stoa_life *life, stoa_peer *ret_peer)
{
	stoa_peer peer =
	        atomic_load_explicit(&life->self->peer, memory_order_acquire);
	int result = 0;

	if (!peer) {
		pthread_mutex_lock(&life->mutex);
		peer = atomic_load_explicit(&life->self->peer,
		                            memory_order_acquire);
		if (!peer)
			result = join_locked(life, &peer);
		pthread_mutex_unlock(&life->mutex);
	}
	if (result < 0)
		return result;
	*ret_peer = peer;
	return 0;
}

/* Whether lock_fd still is the description that bears our lock. */
static int holds_lock(struct stoa_life *life, stoa_peer peer)
{
	struct stat stat;
	int result = stoa_sys_fstat(life->lock_fd, &stat);

	if (result < 0 && result != -EBADF)
		return 1; /* can't tell now */
	if (result < 0 || stat.st_ino != life->lock_inode)
		return 0;
	/* Our own description does not conflict with its own lock; another
	 * one does, if the lock is there. */
	int kept;
	int fd = asking_fd(life, (int)LIFE_SLOT(peer) / LIFE_SLOTS, &kept);
	int held = fd < 0 ||
	           stoa_sys_byte_locked(fd, LIFE_LOCK_OFFSET +
	                                    LIFE_SLOT(peer) % LIFE_SLOTS);
	if (!kept && fd >= 0)
		stoa_sys_close(fd);
	return held;
}

/* The program closed them, and the numbers may be other files' now; or it
 * didn't, and somebody has put another life file in the place of ours. */
static void forget_descriptors(struct stoa_life *life)
{
	struct stat stat;
	int ours = stoa_sys_fstat(life->lock_fd, &stat) == 0 &&
	           stat.st_ino == life->lock_inode;

	if (ours)
		stoa_sys_close(life->lock_fd);
	life->lock_fd = -1;
	for (int i = 0; i < LIFE_SHARDS; i++) {
		/* relaxed: an answer through an old one is a hint */
		int fd = atomic_exchange_explicit(&life->shard_fd[i], 0,
		                                  memory_order_relaxed);
		if (fd && ours)
			stoa_sys_close(fd - 1);
	}
}

void stoa_life_fini(struct stoa_life *life)
{
	stoa_peer peer = life->self->peer;

	stoa_fork_delist(&life->fork);
	if (peer != 0 && life->lock_fd >= 0 && !holds_lock(life, peer))
		forget_descriptors(life);
	if (life->lock_fd >= 0)
		stoa_sys_close(life->lock_fd);
	for (int i = 0; i < LIFE_SHARDS; i++) {
		int fd = atomic_load_explicit(&life->shard_fd[i],
		                              memory_order_relaxed);
		if (fd)
			stoa_sys_close(fd - 1);
	}
	stoa_sys_close_inode(life->directory, life->directory_inode);
	stoa_sys_munmap(life->self, sizeof *life->self);
	pthread_mutex_destroy(&life->mutex);
}

int stoa_life_reprobe(struct stoa_life *life)
{
	stoa_peer peer =
	        atomic_load_explicit(&life->self->peer, memory_order_acquire);
	int changed = 0;

	if (!peer)
		return 0;
	pthread_mutex_lock(&life->mutex);
	if (life->lock_fd >= 0 && !holds_lock(life, peer)) {
		forget_descriptors(life);
		reopen_directory(life);
		atomic_store_explicit(&life->self->peer, 0,
		                      memory_order_release);
		changed = join_locked(life, &peer) == 0;
	}
	pthread_mutex_unlock(&life->mutex);
	return changed;
}

static int read_record(int fd, uint32_t slot, struct life_record *ret_record)
{
	struct life_record record;
	ssize_t got = stoa_sys_pread(fd, &record, sizeof record,
	                             (off_t)(slot % LIFE_SLOTS *
	                                     sizeof record));

	if (got < 0)
		return (int)got;
	if (got != sizeof record)
		return -ENOENT;
	*ret_record = record;
	return 0;
}

int stoa_life_record(struct stoa_life *life, uint32_t slot,
                     struct life_record *ret_record)
{
	if (slot >= LIFE_SHARDS * LIFE_SLOTS)
		return -ENOENT;
	int kept;
	int fd = asking_fd(life, (int)slot / LIFE_SLOTS, &kept);
	if (fd < 0)
		return fd;
	int result = read_record(fd, slot, ret_record);
	if (!kept)
		stoa_sys_close(fd);
	return result;
}

static int alive_by(int fd, stoa_peer peer)
{
	struct life_record record = { 0 };
	uint32_t slot = LIFE_SLOT(peer);
	int result = read_record(fd, slot, &record);

	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return 1;
	if (record.generation != LIFE_GENERATION(peer) && !STOA_BUG(16))
		return 0;
	return stoa_sys_byte_locked(fd, LIFE_LOCK_OFFSET + slot % LIFE_SLOTS) !=
	       0;
}

/*
 * The cached descriptor may have been closed by the program and its number be
 * another file's by now. A verdict of death is therefore confirmed through a
 * file just opened by name.
 */
static int alive_by_name(struct stoa_life *life, stoa_peer peer)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/.life.%u", life->path,
	         LIFE_SLOT(peer) / LIFE_SLOTS);
	int fd = stoa_sys_openat(AT_FDCWD, path,
	                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0) /* nobody can hold a lock on what isn't there */
		return fd != -ENOENT && fd != -ELOOP && fd != -ENXIO;
	struct stat stat;
	int alive = stoa_sys_fstat(fd, &stat) < 0 ||
	            (S_ISREG(stat.st_mode) && alive_by(fd, peer));
	stoa_sys_close(fd);
	return alive;
}

int stoa_life_alive(struct stoa_life *life, stoa_peer peer)
{
	if (peer == atomic_load_explicit(&life->self->peer,
	                                 memory_order_acquire))
		return peer != 0;
	if (LIFE_SLOT(peer) >= LIFE_SHARDS * LIFE_SLOTS)
		return 0;
	int kept;
	int fd = asking_fd(life, (int)LIFE_SLOT(peer) / LIFE_SLOTS, &kept);
	int alive = fd >= 0 && alive_by(fd, peer);
	if (fd >= 0 && !kept)
		stoa_sys_close(fd);
	return alive || alive_by_name(life, peer);
}
