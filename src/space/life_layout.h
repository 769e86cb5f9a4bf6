/* SPDX-License-Identifier: MIT */
/*
 * space/life_layout.h: the life files of a space, which say who is alive.
 *
 * A space has up to 1,024 life files, ".life.0" and so on, each of 64 slots.
 * Few locks on one inode keep the question cheap (0.3 us; 3.5 us at 1,024).
 *
 * Truth: slot s is alive if and only if the kernel holds an open-file-
 * description lock on byte LIFE_LOCK_OFFSET + s of its file, and the record's
 * generation is the one asked for. The kernel drops the lock at exit, exec
 * and kill, after it has torn down the memory of the process: so when a peer
 * is dead, its writes have stopped.
 *
 * Who writes: a record is written only by the holder of its lock, with the
 * generation first. States a death may leave: lock gone, record as it was.
 * Nothing needs repair; the next holder raises the generation and so is
 * another peer. A lock held with the old generation (a newcomer between its
 * lock and its first write) makes the dead look alive for that moment only.
 *
 * Nothing is mapped from these files: a mapping would pin the lock's open
 * file description, and a forked child would keep its dead parent alive.
 *
 *      0         4096                     1 << 20
 *      | 64 records | (end of file)          | lock bytes, beyond the end
 *      | 64 bytes each
 */
#ifndef STOA_SPACE_LIFE_LAYOUT_H
#define STOA_SPACE_LIFE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define LIFE_SHARDS 1024
#define LIFE_SLOTS 64 /* in one shard */
#define LIFE_LOCK_OFFSET (1 << 20)
#define LIFE_FILE_BYTES 4096

/* A peer: slot in the low 16 bits, generation (1 ..) in the 32 above. */
#define LIFE_SLOT_BITS 16
#define LIFE_SLOT(peer) ((uint32_t)((peer)&0xffff))
#define LIFE_GENERATION(peer) ((uint32_t)((peer) >> LIFE_SLOT_BITS))
#define LIFE_PEER(slot, generation) \
	((uint64_t)(generation) << LIFE_SLOT_BITS | (slot))
#define LIFE_PEER_BITS 48

struct life_record {
	uint32_t generation; /* of the last life in this slot; 0 = none yet */
	int32_t pid;
	uint32_t uid;
	uint32_t reserved;
	int64_t joined_ns; /* CLOCK_REALTIME */
	char command[16];
	uint64_t unused[3];
};

_Static_assert(sizeof(struct life_record) == 64, "record size");
_Static_assert(offsetof(struct life_record, generation) == 0, "layout");
_Static_assert(offsetof(struct life_record, pid) == 4, "layout");
_Static_assert(offsetof(struct life_record, joined_ns) == 16, "layout");
_Static_assert(offsetof(struct life_record, command) == 24, "layout");
_Static_assert(sizeof(struct life_record) * LIFE_SLOTS == LIFE_FILE_BYTES,
               "records fill the file");

#endif
