/* SPDX-License-Identifier: MIT */
/*
 * dropin/registry.h: keys and identifiers of System V, of all three kinds. See
 * registry_layout.h for what is shared and why it holds.
 */
#ifndef DROPIN_REGISTRY_H
#define DROPIN_REGISTRY_H

#include "process.h"
#include "registry_layout.h"

#include <errno.h>
#include <stdint.h>
#include <sys/ipc.h>

enum registry_kind { REGISTRY_MESSAGE, REGISTRY_SEMAPHORE, REGISTRY_MEMORY };
#define REGISTRY_KINDS 3
#define REGISTRY_NAME_BYTES 40

/* The space's registry, opened (and made) at the first call. -errno. */
struct registry {
	struct registry_header *header;
	struct registry_block *blocks;
};
int registry_open(const struct registry **ret_registry);

/* Takes turns with all processes of the space. Signals and cancellation wait
 * until it is given back. */
int registry_lock(const struct registry **ret_registry);
void registry_unlock(void);

uint32_t registry_slot_count(enum registry_kind kind);

/* How many blocks there are now, for all who use the space; each is where it was
 * when there were fewer. */
uint32_t registry_blocks(void);

static inline struct registry_slot *
registry_slot(const struct registry *registry, enum registry_kind kind,
              uint32_t index)
{
	return &registry->blocks[index / REGISTRY_BLOCK_SLOTS]
	                .slots[kind][index % REGISTRY_BLOCK_SLOTS];
}

static inline struct registry_attachment *
registry_attachment(const struct registry *registry, uint32_t index)
{
	return &registry->blocks[index / REGISTRY_BLOCK_ATTACHMENTS]
	                .attachments[index % REGISTRY_BLOCK_ATTACHMENTS];
}

/* The mode of an object's file whose permission has this one: wider, as whoever
 * uses an object at all must be able to write it. */
mode_t registry_file_mode(mode_t mode);

/* The path of the object's file. */
#define REGISTRY_PATH_BYTES 4224
int registry_path(enum registry_kind kind, int id,
                  char ret_path[REGISTRY_PATH_BYTES]);

/* "sysv.msg.32768", as objects are opened by. */
void registry_name(enum registry_kind kind, int id,
                   char ret_name[REGISTRY_NAME_BYTES]);

static inline int registry_id(uint32_t index, uint64_t state)
{
	return (int)(REGISTRY_SERIAL(state) << REGISTRY_INDEX_BITS | index);
}

/* What the kernel does without, and so none of its calls says. */
static inline int registry_shortage(int result)
{
	return result == -EMFILE || result == -ENFILE || result == -ENOSPC ?
	               -ENOMEM :
	               result;
}

/* ---- With the lock held ------------------------------------------------------ */

/* More blocks. -ENOSPC: there are as many as there may be, or the tmpfs is full;
 * -ENOMEM: no memory here. */
int registry_grow(void);

/* How objects of a kind are made; each with the caller's context. */
struct registry_maker {
	/* Before anything else: may there be one such as is wanted? NULL: yes. */
	int (*admit)(void *context);
	/* Makes the object `name`, which there isn't, and sets the slot's words
	 * (all zero). */
	int (*make)(struct stoa_space *space, const char *name,
	            struct registry_slot *slot, void *context);
	/* Of one that exists and has the key: does it serve? NULL: yes. */
	int (*check)(const struct registry_slot *slot, void *context);
	uint64_t most; /* objects of the kind: -ENOSPC */
};

/* As msgget(2) and its like, whole: takes the lock itself. The identifier;
 * -ENOENT, -EEXIST, -EACCES, -ENOSPC, or what `make` and `check` say. */
int registry_get(enum registry_kind kind, key_t key, int flags,
                 const struct registry_maker *maker, void *context);

/* The slot with that identifier. -EINVAL. */
int registry_find(const struct registry *registry, enum registry_kind kind,
                  int id, struct registry_slot **ret_slot);

/* The slot with that index, if there is an object: as MSG_STAT. -EINVAL. */
int registry_find_index(const struct registry *registry,
                        enum registry_kind kind, int index,
                        struct registry_slot **ret_slot);

int registry_slot_id(const struct registry *registry, enum registry_kind kind,
                     const struct registry_slot *slot);

/* Its permission, checked no further. */
void registry_permission(const struct registry_slot *slot,
                         struct dropin_permission *ret_permission);

/* As IPC_SET: owner, group, mode, and the time of change; and all who remember
 * the slot look again. The object's file gets them, too, as far as the process
 * may. */
void registry_change(const struct registry *registry, enum registry_kind kind,
                     struct registry_slot *slot, uid_t uid, gid_t gid,
                     mode_t mode);

/* All who remember the slot look again. */
void registry_touch(struct registry_slot *slot);

/* The identifier is gone, then the object: those asleep get -EIDRM. -ENOMEM: it
 * is there, as it was; other errors: its file is left. */
int registry_remove(const struct registry *registry, enum registry_kind kind,
                    struct registry_slot *slot);

/* Highest index in use, as IPC_INFO returns it: 0 if there is none. */
int registry_highest(const struct registry *registry, enum registry_kind kind);

/* What ds fields of struct ipc_perm say. */
void registry_describe(const struct registry *registry, enum registry_kind kind,
                       const struct registry_slot *slot,
                       struct ipc_perm *ret_permission);

#endif
