/* SPDX-License-Identifier: MIT */
/*
 * data/topic_layout.h: the shared bytes of a topic. The object's own (header,
 * seats; see space/object_layout.h) are the part that everybody may write:
 * subscribers have their cursors in their seats. What follows is written by
 * publishers alone, and mapped read-only by subscribers:
 *
 *   control      4 KiB    two positions
 *   cell claims  8 bytes for each cell
 *   slot claims  8 bytes for each slot
 *   cells        cell_bytes each (a power of two, 128 or more): as many as the
 *                ring has places, and TOPIC_SPARE_CELLS more
 *   slots        payloads that are too large for a cell. Not whole pages apart:
 *                their first lines would all be in one set of the cache
 *
 * A *position* counts messages from 0. The ring has N places, a power of two;
 * position q is in place q mod N, in lap q / N + 1. The word of a place stands
 * at the head of the cell of that number, and says which cell holds the message
 * that was committed there last:
 *
 *     63                       28 27              0
 *     |           lap            |      cell       |      0: none yet
 *
 * TRUTH: the words, the claims, and `oldest`.
 *
 *   word    lap - 1 -> lap, by compare-and-swap: THE COMMIT POINT of a publish.
 *           Positions are committed one after the other: a publisher walks to
 *           the first that isn't, and tries there; whoever loses tries the
 *           next. So there are no gaps, no tickets, and nothing is ever claimed
 *           in the order before it is whole: a publisher that dies or is
 *           stopped is in nobody's way.
 *   claim   of a cell or slot; who may write what is in it
 *             0              nobody: never used, or given back
 *             RESERVED token  the token's publisher, until it is committed
 *             q + 1          nobody: belongs to the message at q, as long as
 *                            that may be read
 *           0, or q + 1 with q below `oldest` -> RESERVED by a publisher;
 *           RESERVED -> q + 1 by it after the commit; -> 0 by cancel; the same
 *           by burial of the token. All by compare-and-swap, but for a cell's
 *           change after the commit (CLAIMS).
 *   oldest  positions below it may not be read any more, as what holds them may
 *           be written again. Only rises, never above the first position that
 *           isn't committed.
 *
 * A message's bytes: a cell's header says how many, and who published; they
 * follow it there, or the first word says which slot they are in. They are
 * constant from before the commit until the claim is RESERVED anew.
 *
 * HOME. The publisher that expects to commit at q uses cell q mod N if it is
 * free: then one line or two carry word, header and payload. If others came in
 * between, the word at the place where it does commit names another cell, and
 * subscribers pay one miss more. Stopped publishers keep cells reserved; the
 * spare ones make up for them. Cells stand apart in memory as the queue's do.
 *
 * CLAIMS. A word that is RESERVED is changed by its token's publisher alone
 * while that lives, so after a commit it is plainly stored. A process that has
 * closed its descriptors unawares, and is taken for dead in the middle of a
 * publish, may thereby spoil another's reservation: that one finds its token
 * gone before it commits, and is told -ESTALE.
 *
 * OVERWRITING (TOPIC_OLDEST). Before the word of q - N or the bytes of a cell or
 * slot with claim r + 1 are changed, `oldest` is raised above q - N, or r: ahead
 * of need, by a batch, so that its line is seldom taken from subscribers. The
 * second look is a sequence lock's (Lamport, 1977); the counter raised ahead of
 * writing is the intent counter of Aeron's broadcast buffer.
 *
 *     publisher                        subscriber at p
 *     W oldest > p (CAS)               R word: lap of p (acquire)
 *     claim (CAS), release fence       R header, bytes (relaxed)
 *     W header, bytes (relaxed)        acquire fence
 *                                      R oldest > p? then they mean nothing
 *
 *   If the subscriber has read one of the new bytes, it sees `oldest`.
 *   Positions are dense, so the loss is counted exactly: oldest - p.
 *
 * WAITING (TOPIC_CURSOR; overrun is STOA_TOPIC_WAIT). Subscribers say in their
 * seats where they are:
 *     own[0] cursor   everything below it they don't need any more
 *     own[1] token    the seat's, as long as the subscription stands; else 0
 *   `oldest` is raised no higher than the least cursor of the living. What was
 *   reclaimed is then written only after another look at the cursors:
 *
 *     publisher                        one that subscribes, or goes back
 *     R cursors: least is m            W cursor = c, W token (seq_cst)
 *     W oldest = m (CAS, seq_cst)      R oldest (seq_cst) > c?
 *     R cursors (seq_cst): one < m?      then c = oldest, once more
 *       then that one is waited for
 *
 *   One of the two sees the other. So a subscriber's messages are there as long
 *   as its token stands: it needs no look at `oldest`, only at its own token
 *   (somebody who took it for dead would have taken that away).
 *   A cursor lags behind what was received, by `slack` messages at most, or
 *   until there is nothing more to receive; the ring is larger by as many.
 *   So that not all seats there may be are looked at, a subscriber first raises
 *   `crowd`, in the header's page, above its seat's index.
 *   Who moves the least cursor wakes publishers: a publisher that will sleep has
 *   raised `oldest` as far as it could, armed the event, and looked again; a
 *   subscriber stores its cursor (seq_cst), then looks at the event, and at
 *   whether the cursor was not above `oldest` before.
 *   The life of whoever is in the way is asked before it is waited for.
 *
 * STATES A DEATH MAY LEAVE
 *   publisher, from claim to commit: RESERVED by a dead token. In nobody's way
 *     but for the room; burial gives it back.
 *   publisher, between commit and the claim's change: RESERVED by a dead token,
 *     and a word that names the cell, at a position not below `oldest`. Burial
 *     looks at the words first. (A word below `oldest` may name a cell that has
 *     been claimed anew since.) The slot's claim is changed before the cell's.
 *   publisher, between commit and wake: sleepers look after a slice.
 *   publisher, after raising `oldest`: fewer messages are kept than could be.
 *   subscriber: a cursor with a dead token; whoever waits for it buries it.
 *
 * HINT: tail, a position such that all before it are committed. Plainly stored,
 * may lag or fall back; the walk from it, or from `oldest`, finds the truth.
 * Somebody who publishes without end may be faster than others walk. Readers
 * then do with a position that was passed; a publisher sets `hurry`, and who
 * finds that set after its commit pauses once (a courtesy, so a store suffices).
 */
#ifndef STOA_DATA_TOPIC_LAYOUT_H
#define STOA_DATA_TOPIC_LAYOUT_H

#include <space/object_layout.h>
#include <stoa/topic.h>

#define TOPIC_DATA_OFFSET OBJECT_KIND_OFFSET
#define TOPIC_CONTROL_BYTES 4096
#define TOPIC_CAPACITY_MAX (UINT64_C(1) << 24)
#define TOPIC_MESSAGE_MAX (UINT64_C(1) << 30)
#define TOPIC_INLINE_MAX 4080
#define TOPIC_SLOTS_MAX (UINT64_C(1) << 24)
#define TOPIC_SPARE_CELLS 32
#define TOPIC_PLACES_MIN 4

/* Words of the object's geometry. */
enum {
	TOPIC_GEOMETRY_OVERRUN,
	TOPIC_GEOMETRY_CAPACITY,
	TOPIC_GEOMETRY_MAX_MESSAGE,
	TOPIC_GEOMETRY_CELL_BYTES,
	TOPIC_GEOMETRY_SLOTS
};

/* In the header's page, which everybody may write: no seat from this index on
 * has a subscriber. Only rises. */
#define TOPIC_CROWD_OFFSET 2048

/* Words of a subscriber's seat. */
enum { TOPIC_SEAT_CURSOR, TOPIC_SEAT_TOKEN, TOPIC_SEAT_LOST };

#define TOPIC_CELL_BITS 28
#define TOPIC_LAP_MASK ((UINT64_C(1) << 36) - 1)
#define TOPIC_WORD(lap, cell) \
	(((lap)&TOPIC_LAP_MASK) << TOPIC_CELL_BITS | (cell))
#define TOPIC_WORD_LAP(word) ((word) >> TOPIC_CELL_BITS)
#define TOPIC_WORD_CELL(word) ((uint32_t)(word)&0xfffffffu)

#define TOPIC_RESERVED (UINT64_C(1) << 63)
#define TOPIC_TAKEN(position) ((position) + 1)

/* A header: size, the mark of one in a slot, the publisher's process. */
#define TOPIC_IN_SLOT (UINT64_C(1) << 31)
#define TOPIC_HEADER(bytes, pid) ((uint64_t)(uint32_t)(pid) << 32 | (bytes))
#define TOPIC_HEADER_BYTES(header) ((size_t)((header)&0x7fffffffu))
#define TOPIC_HEADER_PID(header) ((int32_t)((header) >> 32))

struct topic_control {
	_Alignas(128) _Atomic uint64_t tail; /* hint, publishers' */
	_Atomic uint32_t hurry; /* a publisher can't catch up: let it pass */
	_Alignas(128) _Atomic uint64_t oldest; /* mostly read */
};

struct topic_cell {
	_Atomic uint64_t word; /* the place's */
	uint64_t header;       /* the message's that is in this cell */
	uint64_t payload[14];  /* and on, as cell_bytes says */
};

AT(topic_control, tail, 0);
AT(topic_control, hurry, 8);
AT(topic_control, oldest, 128);
AT(topic_cell, word, 0);
AT(topic_cell, header, 8);
AT(topic_cell, payload, 16);
_Static_assert(sizeof(struct topic_cell) == 128, "cell size");
_Static_assert(sizeof(struct topic_cell) -
                               offsetof(struct topic_cell, payload) ==
                       STOA_TOPIC_INLINE,
               "inline");
_Static_assert(sizeof(struct topic_control) <= TOPIC_CONTROL_BYTES, "control");
_Static_assert(TOPIC_CROWD_OFFSET > sizeof(struct stoa_object_header) &&
                       TOPIC_CROWD_OFFSET < OBJECT_HEADER_BYTES,
               "crowd");
_Static_assert(TOPIC_DATA_OFFSET % 4096 == 0, "data is mapped apart");

#endif
