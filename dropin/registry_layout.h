/* SPDX-License-Identifier: MIT */
/*
 * dropin/registry_layout.h: keys and identifiers of System V, in the segment
 * "sysv" of a space, under the mutex "sysv".
 *
 *      header | block 0 | block 1 | ...
 *      0        4096      32768
 *
 * A block has 64 slots of queues, of sets, and of segments, and 256 entries for
 * attachments of segments. The first is there from the beginning; whoever finds
 * no free slot in those that are makes the segment grow, with the mutex. So a
 * space pays for the objects that it has had at once, not for all it may have.
 *
 * A segment begins as zeros, and so does what it grows by; a slot of zeros is
 * FREE. Whoever has the mutex and finds no magic sets the limits, and then the
 * magic.
 *
 * Truth: the state of each slot.
 *
 *     63        48 47      40 39                0
 *     |   serial   |  phase   |     version     |
 *
 *   identifier = serial << 15 | index of the slot. The serial grows with each
 *   object of the slot, so that an identifier isn't used again before 65,535
 *   others of the slot; it is never 0 in use.
 *   version grows with whatever is changed in the slot (IPC_SET), so that who
 *   remembers a state knows by one load that all he remembers still holds.
 *
 *   FREE      key, permission and the rest mean nothing
 *   MAKING    the object's file may exist or not; nobody else knows of it
 *   LIVE      all of it is true
 *   REMOVING  the object is being removed; for all others it is gone
 *
 *   FREE -> MAKING -> LIVE -> REMOVING -> FREE; MAKING -> FREE; REMOVING -> LIVE if
 *   there was no memory to remove it
 *
 * Who writes: the holder of the mutex, and nobody else, but for `word` (see
 * each kind), whose fields say themselves who does. Everything is read under
 * the mutex, too, except for `state`, which is loaded by each call (acquire;
 * pairs with the release of each store).
 *
 * States a death may leave: MAKING, REMOVING, and a LIVE slot with fields half
 * changed by IPC_SET: each a word by itself that was asked for, so no more than
 * some of what the dead wanted. Who gets the mutex with -EOWNERDEAD removes the
 * objects of slots in MAKING and REMOVING, and frees these; and raises the
 * version of all that are LIVE, as the dead one may have changed a permission
 * and told nobody. `used` and `high` are counted anew. Who repairs may die as
 * well: the mutex tells the next one, until stoa_mutex_consistent().
 *
 * Objects are named "sysv.KIND.IDENTIFIER": "sysv.msg.32768".
 */
#ifndef DROPIN_REGISTRY_LAYOUT_H
#define DROPIN_REGISTRY_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#define REGISTRY_MAGIC UINT64_C(0x3276737973616f74)
#define REGISTRY_INDEX_BITS 15
#define REGISTRY_MESSAGE_SLOTS 32000u
#define REGISTRY_SEMAPHORE_SLOTS 32000u
#define REGISTRY_MEMORY_SLOTS 32000u
#define REGISTRY_ATTACHMENTS 65536u
#define REGISTRY_WORDS 8
#define REGISTRY_BLOCKS 500u
#define REGISTRY_BLOCK_SLOTS 64u
#define REGISTRY_BLOCK_ATTACHMENTS 256u

enum registry_phase {
	REGISTRY_FREE,
	REGISTRY_MAKING,
	REGISTRY_LIVE,
	REGISTRY_REMOVING
};

#define REGISTRY_STATE(serial, phase, version)                  \
	((uint64_t)(serial) << 48 | (uint64_t)(phase) << 40 | \
	 ((version)&UINT64_C(0xffffffffff)))
#define REGISTRY_SERIAL(state) ((uint32_t)((state) >> 48))
#define REGISTRY_PHASE(state) ((enum registry_phase)((state) >> 40 & 0xff))
#define REGISTRY_VERSION(state) ((state)&UINT64_C(0xffffffffff))
#define REGISTRY_SERIAL_MAX 0xffffu

struct registry_slot {
	_Atomic uint64_t state;
	_Atomic int32_t key;
	_Atomic uint32_t mode; /* nine bits, and the kind's own above */
	_Atomic uint32_t uid, gid, cuid, cgid;
	_Atomic int64_t changed; /* CLOCK_REALTIME, seconds: ctime */
	_Atomic uint64_t word[REGISTRY_WORDS]; /* the kind's own */
	uint64_t unused[3];
};

/* See memory_layout.h. */
struct registry_attachment {
	_Atomic uint64_t owner;
	_Atomic int32_t id;
	_Atomic int32_t pid;
};

/* One for each kind. */
struct registry_table {
	_Atomic uint32_t used; /* slots that are not FREE */
	_Atomic uint32_t high; /* all from here on are FREE */
	_Atomic uint32_t free_from; /* hint: none before it is FREE */
	uint32_t unused_word;
	uint64_t unused[2];
};

/* What sysctl has for the kernel's. */
struct registry_limits {
	_Atomic uint64_t msgmax, msgmnb, msgmni;
	_Atomic uint64_t semmsl, semmns, semopm, semmni;
	_Atomic uint64_t shmmax, shmall, shmmni;
	_Atomic uint64_t mq_queues_max, mq_msg_max, mq_msgsize_max;
	_Atomic uint64_t unused[3];
};

struct registry_header {
	_Atomic uint64_t magic; /* last, when all else is there */
	uint64_t unused[3];
	struct registry_table table[3];
	struct registry_limits limits;
	/* Entries from here on are free; segments that were removed. */
	_Atomic uint32_t attachments_high, removed;
};

struct registry_block {
	struct registry_slot slots[3][REGISTRY_BLOCK_SLOTS];
	struct registry_attachment attachments[REGISTRY_BLOCK_ATTACHMENTS];
};

#define REGISTRY_BLOCKS_AT 4096
#define REGISTRY_BYTES(blocks) \
	(REGISTRY_BLOCKS_AT + sizeof(struct registry_block) * (uint64_t)(blocks))
#define REGISTRY_BYTES_MOST REGISTRY_BYTES(REGISTRY_BLOCKS)

_Static_assert(sizeof(struct registry_slot) == 128, "two lines");
_Static_assert(sizeof(struct registry_attachment) == 16, "entry");
_Static_assert(sizeof(struct registry_header) <= REGISTRY_BLOCKS_AT, "header");
_Static_assert(sizeof(struct registry_block) == 7 * 4096, "whole pages");
_Static_assert(REGISTRY_BLOCKS *REGISTRY_BLOCK_SLOTS == REGISTRY_MESSAGE_SLOTS,
               "of each kind as many");
_Static_assert(REGISTRY_BLOCKS *REGISTRY_BLOCK_ATTACHMENTS >=
                       REGISTRY_ATTACHMENTS,
               "attachments");

#endif
