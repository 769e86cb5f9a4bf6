/* SPDX-License-Identifier: MIT */
/*
 * dropin/memory_layout.h: what System V's shared memory keeps in the registry
 * (see registry_layout.h), all of it under the registry's mutex.
 *
 * A segment is a plain file of the space, "sysv.shm.ID.shared_memory", of the
 * size that was asked for: a hole until it is written to, as the kernel's. Its
 * mode is the segment's, so that whoever may only read can't map it to write.
 *
 * The slot's words:
 *
 *   BYTES     as asked for. Informs only: who attaches asks the file
 *   ATTACHED, DETACHED   seconds since 1970 of the last; 0: never
 *   PIDS      of the maker (low half), and of whoever attached or detached last
 *
 * and in the slot's mode, above the nine bits, SHM_DEST and SHM_LOCKED.
 *
 * ATTACHMENTS are a table of entries. TRUTH: `owner` of each.
 *
 *   owner   0: free; else peer << 16 | number of its attachments to `id`
 *   id      of the segment
 *   pid     of the peer, as it sees itself: told as lpid once it is dead
 *
 *   nattch of a segment is the sum over its entries whose peers live. No number
 *   of all is kept anywhere. A peer dies by exit, kill and exec alike, after its
 *   memory was torn down; its entries mean nothing from then on, whoever gets
 *   its life slot next, as a peer has a generation.
 *
 *   An entry is made by writing id and pid, and then owner: THE COMMIT POINT.
 *   attach   the entry counts one more, then the memory is mapped
 *   detach   the memory is unmapped, then the entry counts one less
 *   Whoever dies between the two is dead, and its entry counts no more.
 *
 *   fork     the child makes entries of its own in its fork handler, for all
 *            that is mapped; its parent stays in fork() until it has, or is
 *            dead. A child that no handler saw (clone, _Fork) makes them at its
 *            next call.
 *
 * REMOVED (SHM_DEST) segments have lost their key, and are freed by whoever
 * brings the sum to zero. If that was a death nobody has: whoever looks at the
 * segment by its identifier finds it so and frees it; so does each shmget(), and
 * SHM_INFO (`stoa ipcs`), for all of them. `removed` counts them: a hint that is
 * never too low. Who removes raises it; then sets SHM_DEST: THE COMMIT POINT;
 * then takes the key away. Who looks through all sets it anew.
 *
 * States a death may leave: an entry of the dead (whoever counts frees it); a
 * removed segment with its key (who repairs the registry takes it away); a
 * slot with a word of time or pid not set; a file in MAKING or REMOVING (see
 * registry_layout.h); a file with no slot, if the registry was lost.
 */
#ifndef DROPIN_MEMORY_LAYOUT_H
#define DROPIN_MEMORY_LAYOUT_H

#include "registry_layout.h"

enum memory_word {
	MEMORY_BYTES,
	MEMORY_ATTACHED,
	MEMORY_DETACHED,
	MEMORY_PIDS
};

#define MEMORY_OWNER(peer, count) ((uint64_t)(peer) << 16 | (count))
#define MEMORY_PEER(owner) ((owner) >> 16)
#define MEMORY_COUNT(owner) ((uint32_t)((owner)&0xffff))
#define MEMORY_COUNT_MAX 0xffffu /* more mappings than the kernel allows */

#endif
