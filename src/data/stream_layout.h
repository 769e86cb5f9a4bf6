/* SPDX-License-Identifier: MIT */
/*
 * data/stream_layout.h: the shared bytes of a stream, after the object's own
 * (header, seats; see space/object_layout.h).
 *
 *   control   4 KiB    geometry, positions, the locks of both sides
 *   area 0    max_capacity bytes of the file, of which memory is given to the
 *   area 1    first `capacity` of one; the rest is a hole
 *
 * TRUTH: tail, head and geometry.
 *   tail      bytes ever written. Written by the owner of the writers' lock
 *             alone, by a plain store (release): THE COMMIT POINT of a write.
 *   head      bytes ever read. Written by the owner of the readers' lock alone,
 *             by a plain store (release): THE COMMIT POINT of a read.
 *   geometry  version (32 bits) above pages (32 bits); 0 is as it was made:
 *             version 0, the header's capacity. Written by the owner of both
 *             locks, by one store: THE COMMIT POINT of a resize.
 *   Both positions only rise; head <= tail <= head + capacity, always. The byte
 *   of position p is in area (version & 1), at p modulo capacity.
 *
 * Who writes what:
 *   bytes of [tail, head + capacity)    owner of the writers' lock
 *   bytes of [head, tail)               nobody; read by the owner of the
 *                                       readers' lock
 *   the other area                      owner of both locks
 *
 * Orders (STREAM_BYTES): a writer stores bytes, then tail (release); a reader
 * loads tail (acquire), then bytes; then stores head (release); a writer loads
 * head (acquire) before it stores there again. Each side keeps a private copy
 * of the other's position, which is never ahead of it, and looks again only
 * when that isn't enough.
 *
 * LOCKS. base/lock.h, with seats' tokens; one for each side. With one writer
 * and one reader nobody else ever touches their lines. `kept` says, while the
 * lock is held, that it is for long (a reservation, a peek): a hint for
 * readiness. Order: writers' before readers'; only a resize has both.
 *
 * FAVOUR. Locked instructions would wait for every store before them to cross
 * to the other core. So a thread that has taken a side's lock often enough in a
 * row, with nobody else there, is favoured: it takes its turns with plain
 * loads and stores, and whoever else wants one pays for both. `favour` names
 * the thread (token, and number of the thread); it is written under the lock
 * alone. `inside[side]` of the thread's seat is written by that thread alone.
 *
 *     favoured thread                  another, having the lock
 *     W inside = 1                     W favour |= REVOKED
 *     (no barrier)                     membarrier(2): (STREAM_FAVOUR)
 *     R favour: still mine?            R inside: waits until 0, or the
 *       its turn: ... W tail             kernel says the thread's dead
 *     W inside = 0 (release)           W favour = 0; its turn, by the lock
 *       no longer mine: W inside = 0,
 *       and goes by the lock
 *
 *   The kernel's barrier makes the favoured thread, if it runs, pass a full
 *   barrier; else it has passed one. So either its load of favour comes after,
 *   and sees REVOKED, or its inside = 1 came before, and is seen.
 *   Of one handle only one thread is ever favoured in one process, so nobody
 *   else writes that seat's word: one that slept between its first look at
 *   favour and its store can spoil nothing.
 *   States a death may leave: favour with a dead token, REVOKED or not, and
 *   inside at 1. Whoever has the lock next and finds a favour revokes it, from
 *   the beginning. A favour's owner that is stopped inside holds up its side,
 *   as one that has the lock does.
 *   Where membarrier(2) is refused to the one who revokes, a pause of 10 ms
 *   stands for it; where it is refused to the one who'd be favoured, nobody is.
 *
 *   A favoured thread looks at events without a barrier after its commit. So
 *   whoever arms an event and finds a favour on the other side calls
 *   membarrier(2) before it looks at the positions again (EVENT_DEKKER). A
 *   favour that is granted after that look: the granter's release of the lock
 *   is a full barrier, and it sees the event.
 *
 * States a death may leave, in the lock's owner: the lock with a dead token.
 *   Whoever wants it takes it over at once (burial frees it, too). No repair:
 *   - in the middle of copying in: bytes beyond tail, which nobody reads;
 *   - in the middle of copying out: nothing;
 *   - in the middle of a resize, before the commit point: bytes in the other
 *     area, which the next resize gives back first;
 *   - after it: memory of the old area not given back, until the next resize
 *     or removal.
 *   A death between commit point and wake: sleepers look after a slice.
 *
 * ENDS. Who has an end is the kernel's knowledge, not these bytes': each open
 * end is an open file description of the object's file of its own, which has a
 * shared open-file-description lock on one byte, STREAM_END + 0 for readers, 1
 * for writers; far beyond the file's bytes. A forked child shares it; close,
 * exec and death drop it once the memory of the process is torn down, and so
 * its writes have ended. "Is anybody at the other end" is one F_OFD_GETLK.
 *   Nothing is ever mapped through such a descriptor: a mapping would pin it.
 *   ends_changed  counts openings and orderly closings: a hint to ask at once
 *                 (release after the change; acquire before asking)
 *   opened[i]     openings ever, readers' and writers': so that one who waits
 *                 for somebody to come knows of one who came and went
 *   End of file:  tail == head, loaded after the kernel said that no writer is
 *                 there any more. So committed bytes come first:
 *
 *     writer                       reader
 *     W tail                       asks for writers: none
 *     drops the end, or dies       R tail: all that was ever committed
 *
 * EVENTS. readable: tail has risen, or writers have gone; raised for all.
 * writable: room has come, or readers have gone. room_wanted is the least room
 * that any sleeper waits for (0: unknown), so that a reader of small pieces
 * wakes a writer once for many of them:
 *
 *     writer that will sleep            reader
 *     W event |= SLEEPERS (arms)        W head
 *     W room_wanted: minimum            full barrier (the lock's release)
 *     R head (seq_cst): enough room?    R event, room_wanted; enough? then
 *                                       W room_wanted = 0, wake all
 *
 *   One of the two sees the other (EVENT_DEKKER); who is woken in vain
 *   publishes anew. A writer sleeps only when the stream is full, or has no
 *   room for the whole of an atomic write.
 *   States a death may leave: a room_wanted that is too small (vain wakes), or
 *   0 with sleepers not woken yet (a slice).
 */
#ifndef STOA_DATA_STREAM_LAYOUT_H
#define STOA_DATA_STREAM_LAYOUT_H

#include <base/lock.h>
#include <space/object_layout.h>
#include <stoa/stream.h>

#define STREAM_PAGE UINT64_C(4096)
#define STREAM_CAPACITY_MAX (UINT64_C(1) << 36)
#define STREAM_CONTROL_BYTES 4096
#define STREAM_AREA_OFFSET (OBJECT_KIND_OFFSET + STREAM_CONTROL_BYTES)
#define STREAM_END (INT64_C(1) << 62)

/* Words of the object's geometry. */
enum { STREAM_GEOMETRY_CAPACITY, STREAM_GEOMETRY_MAX };

#define STREAM_SHAPE(version, pages) ((uint64_t)(version) << 32 | (pages))
#define STREAM_SHAPE_VERSION(word) ((uint32_t)((word) >> 32))
#define STREAM_SHAPE_PAGES(word) ((word)&0xffffffffu)

/* What the owner of a side's lock has for itself. */
struct stream_turn {
	_Alignas(128) struct stoa_lock lock;
	_Atomic uint32_t kept;
	_Atomic uint32_t last; /* token that had the lock last: a hint */
	uint32_t reserved;
	_Atomic uint64_t favour;
};

#define STREAM_REVOKED (UINT64_C(1) << 63)
#define STREAM_FAVOUR(token, thread) ((uint64_t)(thread) << 32 | (token))
#define STREAM_FAVOUR_TOKEN(favour) ((uint32_t)(favour)&0x7fffffffu)

struct stream_position {
	_Alignas(128) _Atomic uint64_t bytes;
};

struct stream_control {
	/* Mostly read. */
	_Alignas(128) _Atomic uint64_t geometry;
	_Atomic uint32_t ends_changed;
	_Atomic uint32_t opened[2]; /* readers, writers */

	/* By side: 0 the readers', 1 the writers'. */
	struct stream_turn turn[2];
	struct stream_position position[2]; /* head, tail */

	_Alignas(128) _Atomic uint64_t room_wanted;
};

AT(stream_control, geometry, 0);
AT(stream_control, ends_changed, 8);
AT(stream_control, opened, 12);
AT(stream_control, turn, 128);
AT(stream_control, position, 384);
AT(stream_control, room_wanted, 640);
AT(stream_turn, lock, 0);
AT(stream_turn, kept, 4);
AT(stream_turn, last, 8);
AT(stream_turn, favour, 16);
_Static_assert(sizeof(struct stream_turn) == 128, "turn size");
_Static_assert(sizeof(struct stream_position) == 128, "position size");
_Static_assert(sizeof(struct stream_control) <= STREAM_CONTROL_BYTES,
               "control size");
_Static_assert(STREAM_AREA_OFFSET % 4096 == 0, "areas begin with a page");

#endif
