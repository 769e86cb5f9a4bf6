/* SPDX-License-Identifier: MIT */
/*
 * memory/segment_layout.h: the shared bytes of a segment. It has no seats.
 *
 *   0       the object's header (space/object_layout.h)
 *   512     control: the words below, in the header's page
 *   4096    nothing: a hole, so that the data begins with a page, whatever the
 *           size of one
 *   data    `limit` bytes of the file, of which memory is given to the first
 *           `size`; the rest is a hole. Data begins at 64 KiB, or at 2 MiB if
 *           huge pages were asked for. What can't grow is mapped with its
 *           header by one call, and the hole between them with it
 *
 * TRUTH: size and seals, one word each; and who is attached, the kernel's.
 *
 *   size   bytes; 0 is as it was made: the header's. Written under the turn
 *          alone, by one store (release; acquire by whoever looks): THE COMMIT
 *          POINT of a resize.
 *            grow     memory beyond the old size is given back (what strays and
 *                     the dead have left), new memory is given, then the store
 *            shrink   the store, then memory is given back
 *          States a death may leave: memory beyond the size. Zeros, or what
 *          strays wrote; the next resize gives it back first, and so nobody
 *          ever sees it.
 *   seals  bits, set under the turn alone. SEAL_ASKED says that somebody wants
 *          to set SEAL_WRITE and looks who may write:
 *
 *            who seals                    who attaches to write
 *            W seals |= ASKED (seq_cst)   takes its lock (a system call)
 *            R locks of writers           R seals (seq_cst)
 *
 *          One of the two sees the other. Who attaches and finds ASKED takes the
 *          turn: then it is answered, or its asker is dead and it is taken back.
 *          ASKED becomes WRITE, and all the others, by one store: THE COMMIT
 *          POINT of a seal. Before it the sealer's own mapping was replaced.
 *          States a death may leave: ASKED by a dead one, which whoever has the
 *          turn next takes back; sealed, and the file's mode not changed yet.
 *
 * TURN. owner is the agent (peer and thread) that has it, or 0. A dead peer's
 * is taken over by compare-and-swap; there is nothing to repair. Who waits
 * sleeps on `turned`, in slices; whoever gives the turn back raises it.
 *
 * ATTACHMENTS. One is one open file description of the file, with a shared
 * open-file-description lock on one byte that no other description has locked:
 *
 *   ATTACH_FIRST | writes << 61 | peer << 12 | number
 *
 * far beyond the file's bytes. The kernel drops it when the last descriptor is
 * closed, and nothing is mapped by the description any more: by close, exec and
 * death, after the memory was torn down.
 *   An attachment takes its byte before it maps, and drops it after it has
 * unmapped; so where no byte is locked there's no mapping. It maps by the
 * description that has its lock. A forked child would have that mapping, too,
 * and keep its dead parent attached; so what can wait until then is done before
 * the first fork: another description takes a lock on the same byte, and then
 * the one that things are mapped by gives its own up. Two locks on one byte
 * count as one, so the attachment is counted once at each instant.
 *   Fork: before it the parent opens a description for the child, and locks a
 * byte with it. The child has both, and closes the parent's; the parent closes
 * the child's. Whichever of them dies at whichever instant, its own goes with
 * it as soon as the other has left fork().
 *   Where there is no descriptor for that, the child shares its parent's, until
 * its next call: then it opens its own, and maps by it.
 *   The count is asked of the kernel: a lock in a range, then in what is left
 * of it on either side. No process and no memory is trusted with it, and those
 * who may only read take part.
 *   Of the same byte taken by two at once (numbers wrap around) both hear, and
 * move on.
 *
 * The rest informs people, and is written by whoever may, in no order.
 */
#ifndef STOA_MEMORY_SEGMENT_LAYOUT_H
#define STOA_MEMORY_SEGMENT_LAYOUT_H

#include <space/object_layout.h>
#include <stoa/segment.h>

#define SEGMENT_PAGE UINT64_C(4096)
#define SEGMENT_DATA UINT64_C(65536)
#define SEGMENT_HUGE_PAGE (UINT64_C(2) << 20)

/* Words of the object's geometry. */
enum { SEGMENT_GEOMETRY_BYTES, SEGMENT_GEOMETRY_LIMIT, SEGMENT_GEOMETRY_DATA };

#define SEAL_ASKED 0x80000000u
#define SEALS_ALL                                            \
	(STOA_SEGMENT_SEAL_GROW | STOA_SEGMENT_SEAL_SHRINK | \
	 STOA_SEGMENT_SEAL_WRITE)

#define ATTACH_FIRST (INT64_C(1) << 62)
#define ATTACH_WRITES (INT64_C(1) << 61)
#define ATTACH_END INT64_MAX
#define ATTACH_NUMBER_BITS 12
#define ATTACH_NUMBERS (1 << ATTACH_NUMBER_BITS)
#define ATTACH_PEER(byte) \
	((uint64_t)(byte) >> ATTACH_NUMBER_BITS & UINT64_C(0xffffffffffff))

struct segment_control {
	_Atomic uint64_t size;
	_Atomic uint32_t seals;
	_Atomic uint32_t turned;
	_Atomic uint64_t owner;
	_Atomic int64_t last_attach_ns;
	_Atomic int64_t last_detach_ns;
	_Atomic int64_t last_change_ns;
	_Atomic int32_t last_pid;
	uint32_t reserved;
};

AT(segment_control, size, 0);
AT(segment_control, seals, 8);
AT(segment_control, turned, 12);
AT(segment_control, owner, 16);
AT(segment_control, last_attach_ns, 24);
AT(segment_control, last_detach_ns, 32);
AT(segment_control, last_change_ns, 40);
AT(segment_control, last_pid, 48);
_Static_assert(sizeof(struct segment_control) <=
                       OBJECT_HEADER_BYTES - OBJECT_WORDS_OFFSET,
               "control stands in the header's page");
_Static_assert(SEGMENT_DATA >= OBJECT_KIND_OFFSET, "data follows the header");

#endif
