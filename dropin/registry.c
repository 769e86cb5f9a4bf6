/* SPDX-License-Identifier: MIT */
/* dropin/registry.c: keys and identifiers of System V; see registry_layout.h.
 * Words of the registry are relaxed: the mutex orders them. Only states are
 * read without it: their stores are releases. */
#include "kernel.h"
#include "lock.h"
#include "registry.h"

#include <base/bug.h>

#include <base/system.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <stoa/mutex.h>
#include <stoa/queue.h>
#include <stoa/segment.h>
#include <stoa/semaphore_set.h>

#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), (value), memory_order_relaxed)

/* `plain`: its file is no object, but the memory itself. */
static const struct {
	const char *name, *suffix;
	uint32_t slots;
	int plain;
} kinds[REGISTRY_KINDS] = {
	{ "msg", "queue", REGISTRY_MESSAGE_SLOTS, 0 },
	{ "sem", "semaphore_set", REGISTRY_SEMAPHORE_SLOTS, 0 },
	{ "shm", "shared_memory", REGISTRY_MEMORY_SLOTS, 1 },
};

static struct stoa_lock open_lock;
static struct stoa_segment *segment;
static struct stoa_mutex *mutex;
static struct registry the_registry;
static const struct registry *_Atomic opened;
static __thread sigset_t mask_before;
static __thread int cancel_before;

uint32_t registry_slot_count(enum registry_kind kind)
{
	return kinds[kind].slots;
}

void registry_name(enum registry_kind kind, int id,
                   char ret_name[REGISTRY_NAME_BYTES])
{
	snprintf(ret_name, REGISTRY_NAME_BYTES, "sysv.%s.%d", kinds[kind].name,
	         id);
}

static void file_name(enum registry_kind kind, int id, char *ret_name,
                      size_t bytes)
{
	snprintf(ret_name, bytes, "sysv.%s.%d.%s", kinds[kind].name, id,
	         kinds[kind].suffix);
}

int registry_path(enum registry_kind kind, int id,
                  char ret_path[REGISTRY_PATH_BYTES])
{
	char name[REGISTRY_NAME_BYTES + 16];
	struct stoa_space *space;
	int result = dropin_space(&space);

	if (result < 0)
		return result;
	file_name(kind, id, name, sizeof(name));
	snprintf(ret_path, REGISTRY_PATH_BYTES, "%s/%s", stoa_space_path(space),
	         name);
	return 0;
}

/* ---- States ------------------------------------------------------------------ */

static void enter_state(struct registry_slot *slot, uint32_t serial,
                        enum registry_phase phase)
{
	uint64_t version = REGISTRY_VERSION(get(slot->state)) + 1;

	/* release: pairs with the acquire of whoever loads it */
	atomic_store_explicit(&slot->state,
	                      REGISTRY_STATE(serial, phase, version),
	                      memory_order_release);
}

void registry_touch(struct registry_slot *slot)
{
	enter_state(slot, REGISTRY_SERIAL(get(slot->state)), REGISTRY_LIVE);
}

static uint32_t index_of(const struct registry *registry,
                         enum registry_kind kind,
                         const struct registry_slot *slot)
{
	uint32_t block = (uint32_t)(((uintptr_t)slot -
	                             (uintptr_t)registry->blocks) /
	                            sizeof(struct registry_block));

	return block * REGISTRY_BLOCK_SLOTS +
	       (uint32_t)(slot - registry->blocks[block].slots[kind]);
}

/* Not from shared memory: where the slot is, and what its state says. */
int registry_slot_id(const struct registry *registry, enum registry_kind kind,
                     const struct registry_slot *slot)
{
	return registry_id(index_of(registry, kind, slot), get(slot->state));
}

/* Slots that have memory. */
static uint32_t slots_there(enum registry_kind kind)
{
	uint32_t slots = registry_blocks() * REGISTRY_BLOCK_SLOTS;

	return slots < kinds[kind].slots ? slots : kinds[kind].slots;
}

static uint32_t high_of(const struct registry *registry,
                        enum registry_kind kind)
{
	uint32_t high = get(registry->header->table[kind].high);
	uint32_t slots = slots_there(kind);

	return high <= slots ? high : slots;
}

/* ---- Blocks -------------------------------------------------------------------- */

uint32_t registry_blocks(void)
{
	uint64_t bytes = stoa_segment_size(segment);
	uint64_t blocks = bytes < REGISTRY_BYTES(0) ?
	                          0 :
	                          (bytes - REGISTRY_BLOCKS_AT) /
	                                  sizeof(struct registry_block);

	return blocks < REGISTRY_BLOCKS ? (uint32_t)blocks : REGISTRY_BLOCKS;
}

/* Twice as many: a space with very many objects grows ten times. */
int registry_grow(void)
{
	uint32_t before = registry_blocks();
	uint32_t blocks = before < REGISTRY_BLOCKS / 2 ? before * 2 :
	                                                 REGISTRY_BLOCKS;

	if (before == REGISTRY_BLOCKS)
		return -ENOSPC;
	return stoa_segment_resize(segment, REGISTRY_BYTES(blocks ?: 1));
}

/* ---- Opening ------------------------------------------------------------------- */

static void set_limits(struct registry_limits *limits)
{
	set(limits->msgmax, 8192);
	set(limits->msgmnb, 16384);
	set(limits->msgmni, 32000);
	set(limits->semmsl, 32000);
	set(limits->semmns, 1024000000);
	set(limits->semopm, 500);
	set(limits->semmni, 32000);
	set(limits->shmmax, UINT64_MAX - (1 << 24));
	set(limits->shmall, UINT64_MAX - (1 << 24));
	set(limits->shmmni, 4096);
	set(limits->mq_queues_max, 256);
	set(limits->mq_msg_max, 10);
	set(limits->mq_msgsize_max, 8192);
}

/* As `stoa run --limits` has written them: "msgmax=65536,msgmnb=1000000". */
static void read_limits(struct registry_limits *limits, const char *text)
{
	const struct {
		const char *name;
		_Atomic uint64_t *limit;
	} known[] = { { "msgmax", &limits->msgmax },
		      { "msgmnb", &limits->msgmnb },
		      { "msgmni", &limits->msgmni },
		      { "semmsl", &limits->semmsl },
		      { "semmns", &limits->semmns },
		      { "semopm", &limits->semopm },
		      { "semmni", &limits->semmni },
		      { "shmmax", &limits->shmmax },
		      { "shmall", &limits->shmall },
		      { "shmmni", &limits->shmmni },
		      { "queues_max", &limits->mq_queues_max },
		      { "msg_max", &limits->mq_msg_max },
		      { "msgsize_max", &limits->mq_msgsize_max } };

	while (text && *text) {
		size_t length = strcspn(text, "=,");

		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (text[length] == '=' &&
			    strlen(known[i].name) == length &&
			    strncmp(text, known[i].name, length) == 0)
				set(*known[i].limit,
				    strtoull(text + length + 1, NULL, 0));
		text += strcspn(text, ",");
		text += *text == ',';
	}
}

/* The mutex is had, and its last owner died. */
static void repair(const struct registry *registry);

static int lock_mutex(const struct registry *registry)
{
	int result = stoa_mutex_lock(mutex, STOA_FOREVER);

	if (result == -EOWNERDEAD) {
		repair(registry);
		result = stoa_mutex_consistent(mutex);
	}
	return result;
}

static int begin(const struct registry *registry)
{
	int result = lock_mutex(registry);

	if (result < 0)
		return result;
	if (get(registry->header->magic) != REGISTRY_MAGIC) {
		set_limits(&registry->header->limits);
		read_limits(&registry->header->limits, getenv("STOA_LIMITS"));
		set(registry->header->magic, REGISTRY_MAGIC);
	}
	stoa_mutex_unlock(mutex);
	return 0;
}

static mode_t shared_mode(struct stoa_space *space)
{
	struct stat directory;

	/* libc's stat() may be another library's that calls msgget(). */
	return dropin_kernel(SYS_newfstatat, AT_FDCWD,
	                     (long)stoa_space_path(space), (long)&directory,
	                     0) == 0 &&
	                       directory.st_mode & S_ISVTX ?
	               0666 :
	               0600;
}

/* Another version's, as a rule: every call would fail, and nobody see why. */
static int tell_other_size(struct stoa_space *space, uint64_t bytes)
{
	static int told;

	if (!told)
		fprintf(stderr,
		        "stoa: no System V interprocess communication for "
		        "process %d: the registry of the space %s is made for "
		        "%llu bytes, this version's for %llu; end the programs "
		        "that use it and remove %s/sysv.segment, or use another "
		        "space\n",
		        getpid(), stoa_space_path(space),
		        (unsigned long long)bytes,
		        (unsigned long long)REGISTRY_BYTES_MOST,
		        stoa_space_path(space));
	told = 1;
	return -EUCLEAN;
}

static int check_size(struct stoa_space *space)
{
	struct stoa_segment_status status = { .size = sizeof(status) };
	int result = stoa_segment_stat(segment, &status);

	if (result < 0)
		return result;
	if (status.limit != REGISTRY_BYTES_MOST)
		return tell_other_size(space, status.limit);
	return registry_blocks() > 0 ? 0 : -EUCLEAN;
}

static int open_registry(void)
{
	struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes),
		.bytes = REGISTRY_BYTES(1),
		.limit = REGISTRY_BYTES_MOST
	};
	struct stoa_space *space;
	int result = dropin_space(&space);

	if (result < 0)
		return result;
	if (!mutex)
		result = stoa_mutex_open(space, "sysv", STOA_CREATE,
		                         shared_mode(space), NULL, &mutex);
	if (result == 0 && !segment)
		result = stoa_segment_open(
		        space, "sysv", STOA_CREATE | STOA_READ | STOA_WRITE,
		        shared_mode(space), &attributes, &segment);
	if (result == 0)
		result = check_size(space);
	if (result < 0)
		return result;
	the_registry.header = stoa_segment_data(segment);
	the_registry.blocks = (void *)((char *)the_registry.header +
	                               REGISTRY_BLOCKS_AT);
	return begin(&the_registry);
}

int registry_open(const struct registry **ret_registry)
{
	/* acquire: pairs with the release below */
	const struct registry *registry =
	        atomic_load_explicit(&opened, memory_order_acquire);
	int result = 0;

	if (!registry) {
		dropin_lock(&open_lock);
		if (!get(opened)) {
			result = open_registry();
			if (result == 0)
				atomic_store_explicit(&opened, &the_registry,
				                      memory_order_release);
		}
		dropin_unlock(&open_lock);
		registry = &the_registry;
	}
	if (result < 0)
		return registry_shortage(result);
	*ret_registry = registry;
	return 0;
}

/* Signals wait, as for a system call: a handler that used the registry would
 * wait for the thread it runs in. None of the calls that come here is a
 * cancellation point; what they call may be. */
int registry_lock(const struct registry **ret_registry)
{
	const struct registry *registry;
	int result = registry_open(&registry);
	sigset_t all;

	if (result < 0)
		return result;
	sigfillset(&all);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_before);
	pthread_sigmask(SIG_SETMASK, &all, &mask_before);
	result = lock_mutex(registry);
	if (result < 0) {
		pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
		pthread_setcancelstate(cancel_before, NULL);
	} else {
		*ret_registry = registry;
	}
	return result;
}

void registry_unlock(void)
{
	stoa_mutex_unlock(mutex);
	pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
	pthread_setcancelstate(cancel_before, NULL);
}

/* ---- The object's file --------------------------------------------------------- */

/* Who may do anything at all must be able to open the file for both: the mode's
 * finer meaning is checked at each call. */
mode_t registry_file_mode(mode_t mode)
{
	mode_t wide = 0;

	for (int shift = 0; shift <= 6; shift += 3)
		if (mode >> shift & 6)
			wide |= (mode_t)6 << shift;
	return wide | 0600;
}

/* What it can't, it needn't: dropin.md says what that means. */
static void set_file_mode(const struct registry *registry,
                          enum registry_kind kind,
                          const struct registry_slot *slot)
{
	char path[REGISTRY_PATH_BYTES];
	mode_t mode = get(slot->mode);

	if (registry_path(kind, registry_slot_id(registry, kind, slot), path) <
	    0)
		return;
	dropin_kernel(SYS_fchownat, AT_FDCWD, (long)path, get(slot->uid),
	              get(slot->gid), 0);
	dropin_kernel(SYS_fchmodat, AT_FDCWD, (long)path,
	              kinds[kind].plain ? mode & 0666 :
	                                  registry_file_mode(mode));
}

/* ---- Slots --------------------------------------------------------------------------- */

static void count_used(struct registry_table *table, int by)
{
	set(table->used, get(table->used) + (uint32_t)by);
}

/* release: it is raised before a slot beyond becomes used, and lowered after
 * those are free, also for whoever repairs after a death between the two. */
static void set_high(struct registry_table *table, uint32_t high)
{
	atomic_store_explicit(&table->high, high, memory_order_release);
}

static void free_slot(const struct registry *registry, enum registry_kind kind,
                      struct registry_slot *slot)
{
	struct registry_table *table = &registry->header->table[kind];
	uint32_t high = high_of(registry, kind);

	uint32_t index = index_of(registry, kind, slot);

	set(slot->key, IPC_PRIVATE);
	enter_state(slot, REGISTRY_SERIAL(get(slot->state)), REGISTRY_FREE);
	count_used(table, -1);
	if (index < get(table->free_from))
		set(table->free_from, index);
	while (high > 0 &&
	       REGISTRY_PHASE(get(registry_slot(registry, kind, high - 1)->state)) ==
	               REGISTRY_FREE)
		high--;
	set_high(table, high);
}

/* What can't be opened is damaged or others': its name goes, if it may. Nobody
 * who can open it is asleep on it then. */
static int remove_queue(struct stoa_space *space, const char *name)
{
	struct stoa_queue *queue;
	int result = stoa_queue_open(space, name, STOA_READ | STOA_WRITE, 0,
	                             NULL, &queue);

	if (result < 0)
		return result == -ENOENT ? result :
		                           stoa_queue_unlink(space, name);
	result = stoa_queue_remove(queue);
	stoa_queue_close(queue);
	return result;
}

static int remove_set(struct stoa_space *space, const char *name)
{
	struct stoa_semaphore_set *set;
	int result = stoa_semaphore_set_open(space, name, 0, 0, NULL, &set);

	if (result < 0)
		return result == -ENOENT ?
		               result :
		               stoa_semaphore_set_unlink(space, name);
	result = stoa_semaphore_set_remove(set);
	stoa_semaphore_set_close(set);
	return result;
}

static int remove_object(enum registry_kind kind, int id)
{
	char name[REGISTRY_NAME_BYTES], path[REGISTRY_PATH_BYTES];
	struct stoa_space *space;
	int result = dropin_space(&space);

	if (result < 0)
		return result;
	registry_name(kind, id, name);
	if (kind == REGISTRY_MESSAGE)
		result = remove_queue(space, name);
	else if (kind == REGISTRY_SEMAPHORE)
		result = remove_set(space, name);
	/* Of a queue or set, if it could be removed, and its name could not. */
	if (result == 0 || result == -ENOENT) {
		registry_path(kind, id, path);
		result = stoa_sys_unlinkat(AT_FDCWD, path);
	}
	return result == -ENOENT ? 0 : result;
}

/* Amid registry_change() a process may have died that had changed some of the
 * permission and not told: all who remember the slot look again, and the file's
 * mode is set as the slot has it. */
static void finish_change(const struct registry *registry,
                          enum registry_kind kind, struct registry_slot *slot)
{
	if (!STOA_BUG(101))
		registry_touch(slot);
	/* Or it was removing a segment that others are attached to. */
	if (kind == REGISTRY_MEMORY && get(slot->mode) & SHM_DEST)
		set(slot->key, IPC_PRIVATE);
	set_file_mode(registry, kind, slot);
}

static int repair_slot(const struct registry *registry,
                       enum registry_kind kind, uint32_t index)
{
	struct registry_slot *slot = registry_slot(registry, kind, index);
	uint64_t state = get(slot->state);

	switch (REGISTRY_PHASE(state)) {
	case REGISTRY_FREE:
		return 0;
	case REGISTRY_LIVE:
		finish_change(registry, kind, slot);
		return 1;
	default: /* REGISTRY_MAKING, REGISTRY_REMOVING, or what can't be */
		if (!STOA_BUG(100))
			remove_object(kind, registry_id(index, state));
		set(slot->key, IPC_PRIVATE);
		enter_state(slot, REGISTRY_SERIAL(state), REGISTRY_FREE);
		return 0;
	}
}

static void repair(const struct registry *registry)
{
	for (int kind = 0; kind < REGISTRY_KINDS; kind++) {
		struct registry_table *table = &registry->header->table[kind];
		uint32_t used = 0, high = 0;
		uint32_t end = high_of(registry, (enum registry_kind)kind);

		for (uint32_t i = 0; i < end; i++) {
			if (!repair_slot(registry, (enum registry_kind)kind, i))
				continue;
			used++;
			high = i + 1;
		}
		set(table->used, used);
		set_high(table, high);
		set(table->free_from, 0);
	}
}

static struct registry_slot *find_key(const struct registry *registry,
                                      enum registry_kind kind, key_t key)
{
	uint32_t high = high_of(registry, kind);

	for (uint32_t i = 0; i < high; i++) {
		struct registry_slot *slot = registry_slot(registry, kind, i);

		if (get(slot->key) == key &&
		    REGISTRY_PHASE(get(slot->state)) == REGISTRY_LIVE)
			return slot;
	}
	return NULL;
}

static struct registry_slot *find_free_between(const struct registry *registry,
                                               enum registry_kind kind,
                                               uint32_t from, uint32_t to)
{
	struct registry_table *table = &registry->header->table[kind];

	for (uint32_t i = from; i < to; i++) {
		struct registry_slot *slot = registry_slot(registry, kind, i);

		if (REGISTRY_PHASE(get(slot->state)) != REGISTRY_FREE)
			continue;
		set(table->free_from, i + 1);
		if (i >= high_of(registry, kind))
			set_high(table, i + 1);
		return slot;
	}
	return NULL;
}

/* The lowest that is free of those that are there. The hint may be anything. */
static struct registry_slot *find_free(const struct registry *registry,
                                       enum registry_kind kind)
{
	uint32_t from = get(registry->header->table[kind].free_from);
	uint32_t slots = slots_there(kind);
	struct registry_slot *slot;

	if (from > slots)
		from = 0;
	slot = find_free_between(registry, kind, from, slots);
	return slot ?: find_free_between(registry, kind, 0, from);
}

/* -ENOSPC, -ENOMEM. */
static int find_or_grow(const struct registry *registry, enum registry_kind kind,
                        struct registry_slot **ret_slot)
{
	struct registry_slot *slot = find_free(registry, kind);
	int result = slot ? 0 : registry_grow();

	if (!slot && result == 0)
		slot = find_free(registry, kind);
	if (result < 0 || !slot)
		return result ?: -ENOSPC;
	*ret_slot = slot;
	return 0;
}

int registry_find(const struct registry *registry, enum registry_kind kind,
                  int id, struct registry_slot **ret_slot)
{
	uint32_t index = (uint32_t)id & ((1u << REGISTRY_INDEX_BITS) - 1);
	struct registry_slot *slot;

	if (id < 0 || index >= slots_there(kind))
		return -EINVAL;
	slot = registry_slot(registry, kind, index);
	if (REGISTRY_PHASE(get(slot->state)) != REGISTRY_LIVE ||
	    registry_id(index, get(slot->state)) != id)
		return -EINVAL;
	*ret_slot = slot;
	return 0;
}

int registry_find_index(const struct registry *registry,
                        enum registry_kind kind, int index,
                        struct registry_slot **ret_slot)
{
	struct registry_slot *slot;

	if (index < 0)
		return -EINVAL;
	/* As the kernel's: an identifier's index is good, too. */
	index &= (1 << REGISTRY_INDEX_BITS) - 1;
	if ((uint32_t)index >= slots_there(kind))
		return -EINVAL;
	slot = registry_slot(registry, kind, (uint32_t)index);
	if (REGISTRY_PHASE(get(slot->state)) != REGISTRY_LIVE)
		return -EINVAL;
	*ret_slot = slot;
	return 0;
}

int registry_highest(const struct registry *registry, enum registry_kind kind)
{
	uint32_t high = high_of(registry, kind);

	return high > 0 ? (int)high - 1 : 0;
}

/* ---- Making and removing ------------------------------------------------------------------ */

static int make(const struct registry *registry, enum registry_kind kind,
                key_t key, int flags, const struct registry_maker *maker,
                void *context)
{
	struct registry_table *table = &registry->header->table[kind];
	struct registry_slot *slot;
	struct dropin_permission self;
	struct stoa_space *space;
	char name[REGISTRY_NAME_BYTES];
	int id, result = dropin_space(&space);

	if (result == 0 && maker->admit)
		result = maker->admit(context);
	if (result < 0)
		return result;
	if (get(table->used) >= maker->most)
		return -ENOSPC;
	result = find_or_grow(registry, kind, &slot);
	if (result < 0)
		return result;
	uint32_t serial = REGISTRY_SERIAL(get(slot->state)) + 1;
	if (serial > REGISTRY_SERIAL_MAX)
		serial = 1;
	enter_state(slot, serial, REGISTRY_MAKING);
	count_used(table, 1);
	id = registry_slot_id(registry, kind, slot);
	dropin_self(&self, (mode_t)flags);
	set(slot->uid, self.uid);
	set(slot->cuid, self.cuid);
	set(slot->gid, self.gid);
	set(slot->cgid, self.cgid);
	set(slot->mode, self.mode);
	set(slot->changed, time(NULL));
	for (int i = 0; i < REGISTRY_WORDS; i++)
		set(slot->word[i], 0);
	registry_name(kind, id, name);
	result = maker->make(space, name, slot, context);
	if (result == -EEXIST) { /* of a registry that was lost */
		remove_object(kind, id);
		result = maker->make(space, name, slot, context);
	}
	if (result < 0) {
		free_slot(registry, kind, slot);
		return result;
	}
	set(slot->key, key);
	enter_state(slot, serial, REGISTRY_LIVE);
	return id;
}

static int get_or_make(const struct registry *registry, enum registry_kind kind,
                       key_t key, int flags,
                       const struct registry_maker *maker, void *context)
{
	struct registry_slot *slot =
	        key == IPC_PRIVATE ? NULL : find_key(registry, kind, key);
	struct dropin_permission permission;
	int result = 0;

	if (!slot)
		return key != IPC_PRIVATE && !(flags & IPC_CREAT) ?
		               -ENOENT :
		               make(registry, kind, key, flags, maker, context);
	if (flags & IPC_CREAT && flags & IPC_EXCL)
		return -EEXIST;
	if (maker->check)
		result = maker->check(slot, context);
	registry_permission(slot, &permission);
	if (result == 0)
		result = dropin_may(&permission, (mode_t)flags & 0777);
	return result < 0 ? result : registry_slot_id(registry, kind, slot);
}

int registry_get(enum registry_kind kind, key_t key, int flags,
                 const struct registry_maker *maker, void *context)
{
	const struct registry *registry;
	int result = registry_lock(&registry);

	if (result < 0)
		return result;
	result = get_or_make(registry, kind, key, flags, maker, context);
	registry_unlock();
	/* That there is no room is what the kernel says, too. */
	return result == -ENOSPC ? result : registry_shortage(result);
}

int registry_remove(const struct registry *registry, enum registry_kind kind,
                    struct registry_slot *slot)
{
	int id = registry_slot_id(registry, kind, slot), result;

	enter_state(slot, REGISTRY_SERIAL(get(slot->state)), REGISTRY_REMOVING);
	if (STOA_BUG(102))
		free_slot(registry, kind, slot);
	result = remove_object(kind, id);
	if (registry_shortage(result) == -ENOMEM) {
		enter_state(slot, REGISTRY_SERIAL(get(slot->state)),
		            REGISTRY_LIVE);
		return -ENOMEM;
	}
	free_slot(registry, kind, slot);
	return result;
}

/* ---- Permission ------------------------------------------------------------------------------- */

void registry_permission(const struct registry_slot *slot,
                         struct dropin_permission *ret_permission)
{
	*ret_permission = (struct dropin_permission){
		.uid = get(slot->uid),
		.cuid = get(slot->cuid),
		.gid = get(slot->gid),
		.cgid = get(slot->cgid),
		.mode = get(slot->mode) & 0777
	};
}

void registry_describe(const struct registry *registry, enum registry_kind kind,
                       const struct registry_slot *slot,
                       struct ipc_perm *ret_permission)
{
	*ret_permission = (struct ipc_perm){
		.__key = get(slot->key),
		.uid = get(slot->uid),
		.gid = get(slot->gid),
		.cuid = get(slot->cuid),
		.cgid = get(slot->cgid),
		.mode = (unsigned short)get(slot->mode),
		.__seq = (unsigned short)REGISTRY_SERIAL(get(slot->state))
	};
	(void)registry, (void)kind;
}

void registry_change(const struct registry *registry, enum registry_kind kind,
                     struct registry_slot *slot, uid_t uid, gid_t gid,
                     mode_t mode)
{
	mode_t all = (get(slot->mode) & ~0777u) | (mode & 0777);
	int same = uid == get(slot->uid) && gid == get(slot->gid) &&
	           all == get(slot->mode);

	set(slot->changed, time(NULL));
	if (same) /* nothing that anybody remembers, nor the file has */
		return;
	set(slot->uid, uid);
	set(slot->gid, gid);
	set(slot->mode, all);
	registry_touch(slot);
	set_file_mode(registry, kind, slot);
}
