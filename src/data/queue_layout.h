/* SPDX-License-Identifier: MIT */
/*
 * data/queue_layout.h: the shared bytes of a queue, after the object's own
 * (header, seats; see space/object_layout.h).
 *
 *   control      4 KiB      positions, marks, the selection lock
 *   cells        128 bytes each, as many as the power of two from capacity up
 *   payloads     128 bytes for each cell: up to 80 bytes inline
 *   index        if ordered: capacity entries, 2 × capacity nodes
 *   block words  8 bytes for each 4 KiB of the arena
 *   piece words  8 bytes for each 256 bytes of the arena
 *   arena        payloads over 80 bytes
 *
 * With limits block words and piece words come before the cells.
 *
 * A *position* counts places in the order of sending: the lap above the cell's
 * index (as many bits as indexes need), beginning at lap 1. Cell i serves the
 * positions (1,i), (2,i), (3,i) ..., one at a time.
 *
 * TRUTH: the words of the cells, nothing else. A word is
 *
 *     63        36 35 34 33   31 30                0
 *     |   lap      |  0 | phase | token or deliveries |
 *
 * Phases, and the compare-and-swap that leads on from each (never a store):
 *
 *   FREE      lap = the first lap that may claim the cell; a claim may be of
 *             any later lap. -> WRITING, RESERVED by a sender
 *   RESERVED  token's sender fills it, for as long as it likes.
 *             -> WRITING; -> FREE by cancel, or by burial of the token
 *   WRITING   token's sender fills it, or is about to commit.
 *             -> READY: THE COMMIT POINT of a send; -> FREE as above
 *   READY     a message. -> TAKEN; -> FREE: THE COMMIT POINT of a receive of
 *             an inline message, which was copied out before
 *   TAKEN     token's receiver has it. -> FREE: the commit point of
 *             acknowledge, and of a receive that copied from the arena;
 *             -> RETURNING by the owner, or by burial of the token
 *   RETURNING -> RETURNED by anybody; the returned hint is raised in between
 *   RETURNED  a message that came back; the low bits count deliveries.
 *             -> TAKEN, -> FREE as READY
 *
 *   FREE carries lap + 1 after lap. As the lap is in every word, no word comes
 *   twice within 2^28 laps, and a compare-and-swap by someone who slept is in
 *   vain (or, after exactly 2^28 laps, as valid as a fresh one).
 *
 * Who writes: WRITING, RESERVED and TAKEN words are changed by their token's
 * seat alone while its peer lives; by anyone once the kernel says it is dead.
 * The rest of a cell belongs to whoever's token is in the word, and is
 * constant while READY and RETURNED.
 * States a death may leave: RESERVED, WRITING, TAKEN with a dead token, and
 * RETURNING. Whoever meets one in its way, patrols, joins or cleans repairs
 * it with one compare-and-swap of the exact word.
 *
 * PLACES. Cells of neighbouring indexes stand far apart (index times an odd
 * factor, modulo the number of cells), and a cell apart from its payload: the
 * processor fetches lines beside those that are used, and would take what the
 * next sender is writing from under its hands. Measured: half the latency.
 *
 * HINTS: head and tail are positions such that everything before them was
 * claimed (tail), or consumed (head), or voided. They are plainly stored, may
 * lag or fall back, and are never too high. The walk from them finds the
 * truth.
 *
 * SKIPPING. A sender that finds a cell held by an older message (a slow
 * taker's, or one that came back) goes past it. It first raises void_mark to
 * the position that it claims (QUEUE_VOID): every position before void_mark
 * that is not claimed yet is void, for ever. A claim is good only if
 * void_mark, loaded after it, is not above it:
 *
 *     late sender at p                 receiver at p
 *     W word(p): claim (CAS, seq_cst)  R void_mark > p (seq_cst)
 *     R void_mark (seq_cst) > p?       R word(p): not claimed (seq_cst)
 *       then give the claim up           then pass p
 *
 *   One of the two sees the other, so no message is committed behind the
 *   head. A receiver that finds an unclaimed position not below void_mark has
 *   reached the end of the queue.
 *
 * ERAS. Words keep 28 bits of the lap, so whoever slept for 2^27 laps would
 * take ahead for behind. Whoever claims the first place of a lap divisible by
 * 2^20 therefore raises void_mark to it first, as one who skips does; and a
 * claim looks at void_mark after it has loaded the word. So no walk goes on
 * that is more than 2^20 laps behind. FREE of a cell held for longer is given
 * a lap near the tail's.
 *
 * LOOKING AHEAD. A receiver that meets WRITING or RESERVED at p goes on to the
 * next READY at q, then looks at all positions from p to q once more: if none
 * is READY, then q was the oldest message committed at that moment. So a
 * stopped sender blocks nobody. Without the second look, a message committed
 * behind the cursor would be overtaken by its own sender's next one.
 *
 * FULL. If the cell at the tail is READY from the lap before, and nothing was
 * consumed or given up out of order since (disorder, the highest such
 * position), all cells are full: one look. Otherwise a sender looks at all.
 *
 * ARENA. A piece (256 bytes) or block (4 KiB, 16 pieces) is claimed by
 * writing the cell and lap that use it into its word. It is free when that
 * cell is no longer in that lap: so one compare-and-swap of the cell's word
 * frees all of a message's bytes, and a death leaves nothing to give back.
 * A block word says
 *     0                  never used
 *     USED cell, lap     one message has the whole block
 *     SPLIT version      its pieces are claimed one by one
 *   Whoever claims a piece looks at the block word again (QUEUE_SPLIT): only
 *   if it is still the same SPLIT does the piece count. Whoever wants a SPLIT
 *   block whole claims all 16 pieces first. Runs are claimed upwards, so that
 *   two who collide can't both be in the other's way.
 *
 * ORDERED queues (priority, type). Senders do as above. Receivers take turns
 * by the selection lock and keep an index over READY cells. The index is a
 * hint, too: `dirty` is set while it is being changed, and whoever gets the
 * lock and finds it set rebuilds the index from the cells. Each entry is
 * checked against its cell before use.
 *   turns counts the holders of the lock; each raises it before anything else.
 * A receiver whose turn found nothing for its selector, and nothing pending,
 * remembers the turn's number, the selector, and `ingested` as it left it.
 * There is still nothing for that selector, and no need for the lock, if it
 * then sees, in this order: the end of the queue at `ingested`; no scan asked
 * for; and turns as it was (QUEUE_TURNS). For at the first of these instants
 * nothing was committed from `ingested` on; what lay before it was in the
 * index, and not meant; and had anything come back since that turn, then the
 * scan would still be asked for, as only the holder of a later turn ends it,
 * by a seq_cst read-modify-write after raising turns.
 *   LEVEL. With nothing pending, and no scan asked for after all looks, what has
 * come since needn't be listed. Where a selector goes by age, what the index has
 * of it is older; and if that is nothing, the message at `ingested` is the oldest.
 * Where the least key is meant, it is the index's or the one at `ingested`, if
 * nothing with a lesser key than that one's has come since. `level` is a position:
 * the messages from `ingested` up to it have the key of the first, or are gone.
 * Each turn looks at those beyond, and raises it; so each is looked at once. It
 * stops
 *   - at one of another key: then all are listed.
 *   - at the end of the queue. At that instant nothing was committed from level
 *     on, so the choice was right.
 *   - at one that is being written, if the place after it is the end of the
 *     queue (QUEUE_LEVEL):
 *
 *         senders                      receiver
 *         W word(p): READY             R word(p): WRITING
 *         W word(p+1): claim           R word(p+1): not claimed
 *
 *     As claimed never becomes unclaimed, p+1 was unclaimed when p was loaded,
 *     and nothing committed from p on. Else all are listed: a message behind
 *     one that is being written may be committed already.
 * A turn that found nothing is remembered over one that is being written for the
 * same reason. level may say too little, and never too much: READY's key doesn't
 * change, and no position has two messages. What came back asks for a scan. See
 * tests/model/queue_level.pml.
 *
 * LIMITS (of ordered queues that were made with one). A message's unit is 2^36
 * plus its bytes. `admitted` is the sum, modulo 2^64, of the units of all
 * messages that were ever let in, `left` of those that went. So their
 * difference is what is in, as messages above 36 bits of bytes, whatever was
 * carried over. It may be too much, after a death; never too little.
 *   admitted: senders', by compare-and-swap. left: the lock's holder's, stored.
 *
 *     sender                              receiver, holding the lock
 *     claims: WRITING or RESERVED         loads counted
 *     counted = its lap and bytes         READY, RETURNED, TAKEN -> FREE
 *  L  loads admitted, then left: fits?    left += unit
 *  A  admitted += unit, if it is as at L
 *     WRITING -> READY
 *
 *   At L the difference was right, or too much: what left says is gone was
 * gone; and admitted is the same at A. So no moment sees more than the limit.
 *   At L an earlier `left` will do, too: what was gone is gone. So a sender
 * keeps the one that it loaded, as long as admitted is what it made of it itself
 * (so that the difference can't have gone round), and loads it again only when a
 * message wouldn't fit: the line stays with the receiver.
 *   Who gives up before A takes nothing back, and nobody ever takes from
 * admitted. Who dies from A on, before READY, has left it too much; burial
 * can't know, and says so: it raises `doubts` before the cell is FREE. So does
 * whoever frees without the lock (which may be a stopped one's) for good; and
 * a sender whose cell was buried under it, living. A receiver that dies before
 * `left` has left it too much, and dirty.
 *   `settled` are the doubts that a count has dealt with. A count, under the
 * lock, loads doubts, admitted, all cells, and admitted again: if that is what
 * it was, then the units of all that isn't FREE are what is in, and left
 * follows. What is WRITING or RESERVED and of a living one counts if `counted`
 * is of its lap, else it isn't at L yet; as it may be before A, a count that
 * met such leaves the doubt, or raises one: before it stores left. Of a dead one,
 * it is buried. Who finds dirty counts, in doubt or not. See
 * tests/model/queue_limit.pml.
 *   FULL, for certain: who may wait believes what it sees, until it is about
 * to sleep and has armed. Only a holder of the lock may say so, when it has
 * listed all that was committed, buried the dead among those pending, and
 * counted if there is doubt. For a process with one thread it goes on being
 * true while turns, admitted, doubts and the limits are what they were: see
 * QUEUE_TURNS. What the index lists should be what is in; if it isn't for long
 * (scribbled, or the living were taken for dead), it is counted, too.
 *   GROWTH. The memory of cells, payloads and index is reserved as it is first
 * needed: `grown` indexes have it. Whoever is to claim a place within
 * QUEUE_GROW_AHEAD of it in the first lap reserves more first, then raises it;
 * twice is harmless. Cells stand in the order of their indexes (spread is 1),
 * and block and piece words before them. Nobody looks further than one place
 * beyond the tail, and who looks at all cells at those that are grown. Likewise
 * `arena_grown` blocks of the arena have memory; whoever has claimed room beyond
 * reserves more before he writes there, or lets the claim go.
 *   Plain receives copy before they free, large messages too: nothing that was
 * received comes back, over the limit.
 *   `left` is plainly stored before the unlock, and who waits for room is looked
 * for after it: EVENT_DEKKER, as the unlock is a locked instruction (x86), or
 * a release before an acquire (aarch64), which keep that order.
 *
 * NOTIFICATION. Who is registered gets one signal when a message comes to the
 * empty queue and no receiver waits. The kernel sends it under the queue's
 * lock, with the message: it is pending before anybody has that message. Here
 * the sender says that he is `firing` before he uses the registration up and
 * signals; and whoever has received a message waits, if the signal is for his
 * process, until it was sent. So no later wait of his is interrupted by it.
 *
 *     sender                              receiver
 *     R event: EVENT_NOTIFY?
 *  1  if the queue is empty, and nobody
 *     waits: W firing = registration, own token
 *     cell: WRITING -> READY              W cell: READY -> FREE, TAKEN
 *     R event: EVENT_NOTIFY?              R event: EVENT_NOTIFY?
 *     looks if it came to the empty queue R firing: for this process?
 *  2  if not at 1: W firing, as there       waits until it isn't
 *       R cell: still READY?
 *     R readers_waiting: nobody?          (who goes to sleep:
 *     W notify_token: token -> 0           W readers_waiting, W event,
 *     signals                              R cells, R firing)
 *     W firing = 0; wakes
 *
 *   All are seq_cst, so one of the two sees the other: at 1 the receiver sees
 * firing for certain. At 2 are those who find a registration that wasn't there
 * before the commit, or a queue that was not empty before. Who finds his message
 * gone then, or somebody waiting, leaves the registration alone: the receiver
 * may as well have waited for the message before it came, and the kernel would
 * have told nobody. But of those that are there some sender has to tell. If the
 * queue has a message older than his own, a sender leaves it to that one's
 * sender; who finds his own gone looks, after that, at all others; and a
 * receiver that has waited, whom senders may have counted on, looks when it is
 * done (late). In doubt there is a signal too much.
 *   firing is the number of the registration, above a bit that is set when
 * somebody sleeps on it, above the sender's token. Written by senders at will
 * (of several who signal for one registration after another, the last), taken
 * away by compare-and-swap. While the sender signals, all its own signals are
 * blocked. Who waits for it does so for QUEUE_FIRING_NS, as a stopped sender
 * may not stop others, and then takes it away.
 *   States a death may leave: a dead sender's firing. Whoever meets it, or
 * buries the token, puts the registration (notify_owner's) back where it stood,
 * if nobody has registered since, as it isn't known if the signal was sent;
 * tells it of what is there; and takes firing away. A registration that isn't
 * signalled by the sender is used up, and its registrant knows by that.
 *   EVENT_NOTIFY is taken away by senders who find, after they have loaded the
 * event, no token and then nobody firing. Registering counts the event up, so
 * that they can't take a new one's.
 */
#ifndef STOA_DATA_QUEUE_LAYOUT_H
#define STOA_DATA_QUEUE_LAYOUT_H

#include <space/object_layout.h>
#include <stoa/queue.h>
#include <base/lock.h>

#define QUEUE_CONTROL_BYTES 4096
#define QUEUE_CAPACITY_MAX (UINT64_C(1) << 28)
#define QUEUE_MESSAGE_MAX (UINT64_C(1) << 30)
#define QUEUE_PIECE_BYTES 256
#define QUEUE_BLOCK_BYTES 4096
#define QUEUE_BLOCK_PIECES (QUEUE_BLOCK_BYTES / QUEUE_PIECE_BYTES)
#define QUEUE_PIECES_MAX_BYTES 3072 /* larger payloads get whole blocks */
#define QUEUE_FIRST_LAP 1
#define QUEUE_ERA_LAPS (UINT64_C(1) << 20)
#define QUEUE_LIMIT_BITS 36 /* of bytes; the rest of a unit's word: messages */
#define QUEUE_LIMIT_BYTES ((UINT64_C(1) << QUEUE_LIMIT_BITS) - 1)
#define QUEUE_LIMIT_MESSAGES ((UINT64_C(1) << (64 - QUEUE_LIMIT_BITS)) - 1)
#define QUEUE_GROW_AHEAD 64u /* more than senders between a claim and the tail */
#define QUEUE_GROW_BY 256u
#define QUEUE_GROW_BLOCKS 8u
#define QUEUE_FIRING_NS INT64_C(1000000000)
#define QUEUE_FIRING_AWAITED 0x80000000u
#define QUEUE_FIRING(count, token) ((uint64_t)(count) << 32 | (token))
#define QUEUE_FIRING_COUNT(firing) ((uint32_t)((firing) >> 32))
#define QUEUE_FIRING_TOKEN(firing) ((uint32_t)(firing)&QUEUE_TOKEN_MASK)
#define QUEUE_SCAN_ASKED 1 /* low bit of returned; above it, a count */

/* Words of the object's geometry. */
enum {
	QUEUE_GEOMETRY_ORDER,
	QUEUE_GEOMETRY_CAPACITY,
	QUEUE_GEOMETRY_MAX_MESSAGE,
	QUEUE_GEOMETRY_BLOCKS,
	QUEUE_GEOMETRY_LIMITS, /* at first; 0: a queue without */
	QUEUE_GEOMETRY_LABEL = 10 /* two; see stoa_queue_attributes */
};

enum queue_phase {
	QUEUE_FREE,
	QUEUE_RESERVED,
	QUEUE_WRITING,
	QUEUE_READY,
	QUEUE_TAKEN,
	QUEUE_RETURNING,
	QUEUE_RETURNED
};

#define QUEUE_LAP_MASK 0xfffffffu
#define QUEUE_TOKEN_MASK 0x7fffffffu
#define QUEUE_WORD(lap, phase, token)                                      \
	((uint64_t)((lap)&QUEUE_LAP_MASK) << 36 | (uint64_t)(phase) << 31 | \
	 (token))
#define QUEUE_WORD_LAP(word) ((uint32_t)((word) >> 36))
#define QUEUE_WORD_PHASE(word) ((enum queue_phase)((word) >> 31 & 7))
#define QUEUE_WORD_TOKEN(word) ((uint32_t)(word)&QUEUE_TOKEN_MASK)

struct queue_control {
	_Alignas(128) _Atomic uint64_t tail; /* hint, senders' */

	_Alignas(128) _Atomic uint64_t head; /* hint, receivers' */
	_Atomic uint64_t high_water;         /* for people */

	/* Mostly read. */
	_Alignas(128) _Atomic uint64_t void_mark; /* only rises */
	_Atomic uint64_t returned; /* hint: counts what comes back, above a bit
	                              that asks for a scan of the cells. The
	                              count is never given back, or a slow
	                              scanner could end a later scan */

	_Alignas(128) _Atomic uint64_t disorder; /* only rises */
	_Atomic uint64_t returned_total;         /* for people */

	_Alignas(128) struct stoa_lock selection;
	_Atomic uint32_t dirty;
	_Atomic uint64_t ingested; /* positions before it are in the index,
	                              pending, or consumed */
	_Atomic uint32_t root;     /* node; 0 = empty */
	_Atomic uint32_t spare;    /* list of free nodes */
	_Atomic uint32_t fresh;    /* nodes from here on were never used; 0
	                              is 1 */
	_Atomic uint32_t pending;  /* list of cells met in WRITING; + 1 */
	_Atomic uint32_t listed;   /* cells in leaves */
	_Atomic uint64_t turns;    /* of the lock so far: see QUEUE_TURNS */
	_Atomic uint64_t listed_bytes; /* of these messages */
	_Atomic uint64_t level;    /* see LEVEL */

	/* Registered for one signal, or, with signal 0, to be woken where the
	 * registrant sleeps, on notify_token. Truth: notify_token; the rest is
	 * the token's, but for the notifier, which whoever is about to use the
	 * registration up sets first: of several, any. A dead token's
	 * registration is anybody's to replace. Each has another count. */
	_Alignas(128) _Atomic uint32_t notify_token;
	_Atomic int32_t notify_pid;
	_Atomic int32_t notify_signal;
	_Atomic uint32_t notify_count;
	_Atomic uint64_t notify_value;
	_Atomic uint64_t notify_peer;
	_Atomic uint64_t notifier; /* uid << 32 | sent << 31 | pid */
	_Atomic uint64_t firing;   /* see NOTIFICATION */
	_Atomic uint32_t notify_owner; /* the last registration's token */

	/* See LIMITS. Senders': */
	_Alignas(128) _Atomic uint64_t admitted;
	_Atomic uint64_t limits; /* xor the geometry's */
	_Atomic uint64_t doubts; /* only rises */
	_Atomic int64_t last_send_ns;
	_Atomic int32_t last_sender_pid;
	_Atomic uint32_t grown; /* only rises */
	_Atomic uint32_t arena_grown; /* only rises */
	/* The lock's holder's: */
	_Alignas(128) _Atomic uint64_t left;
	_Atomic uint64_t settled;
	_Atomic int64_t counted_ns; /* when; 0: never */
	_Atomic int64_t last_receive_ns;
	_Atomic int32_t last_receiver_pid;
};

struct queue_cell {
	_Alignas(128) _Atomic uint64_t word;
	uint32_t lap; /* low 32 bits of it */
	uint32_t bytes;
	int64_t type;
	uint32_t priority;
	uint32_t payload; /* in the arena: offset / 256 + 1; 0 = inline */
	uint64_t sender;  /* peer */
	int32_t sender_pid;
	uint32_t deliveries;
	uint64_t counted; /* with limits: lap above 32 bits of bytes admitted */
	uint64_t unused[9];
};

struct queue_payload {
	_Alignas(128) uint64_t words[16]; /* the first 10 are used */
};

/* Words of blocks and pieces. */
#define ARENA_USED (UINT64_C(1) << 63)
#define ARENA_SPLIT (UINT64_C(1) << 62)
#define ARENA_WORD(cell, lap) \
	(ARENA_USED | (uint64_t)(cell) << 28 | ((lap)&QUEUE_LAP_MASK))
#define ARENA_CELL(word) ((uint32_t)((word) >> 28) & 0xfffffffu)
#define ARENA_LAP(word) ((uint32_t)(word)&QUEUE_LAP_MASK)

/* Index of ordered queues: a crit-bit tree over distinct keys, each leaf with
 * a list of cells by position. Changed only under the selection lock. */
struct queue_entry { /* one for each cell */
	uint64_t position;
	uint64_t key;
	uint32_t next; /* cell + 1, in a leaf's or the pending list */
	uint32_t listed; /* 0 no, 1 in a leaf, 2 pending */
	uint32_t bytes;  /* in a leaf: the message's */
	uint32_t reserved;
};

struct queue_node {
	uint64_t oldest; /* position: least in this subtree; by type only */
	union {
		uint64_t key;      /* leaf */
		uint32_t child[2]; /* inner; free nodes: next in [0] */
	};
	uint32_t first, last; /* leaf: cells + 1 */
	uint32_t bit;         /* inner: 0 .. 63; leaf: QUEUE_LEAF */
	uint32_t reserved;
};
#define QUEUE_LEAF 64u

AT(queue_control, tail, 0);
AT(queue_control, head, 128);
AT(queue_control, high_water, 136);
AT(queue_control, void_mark, 256);
AT(queue_control, returned, 264);
AT(queue_control, disorder, 384);
AT(queue_control, returned_total, 392);
AT(queue_control, selection, 512);
AT(queue_control, dirty, 516);
AT(queue_control, ingested, 520);
AT(queue_control, root, 528);
AT(queue_control, spare, 532);
AT(queue_control, fresh, 536);
AT(queue_control, pending, 540);
AT(queue_control, listed, 544);
AT(queue_control, turns, 552);
AT(queue_control, listed_bytes, 560);
AT(queue_control, level, 568);
AT(queue_control, notify_token, 640);
AT(queue_control, notify_pid, 644);
AT(queue_control, notify_signal, 648);
AT(queue_control, notify_value, 656);
AT(queue_control, notify_count, 652);
AT(queue_control, notify_peer, 664);
AT(queue_control, notifier, 672);
AT(queue_control, firing, 680);
AT(queue_control, notify_owner, 688);
AT(queue_control, admitted, 768);
AT(queue_control, limits, 776);
AT(queue_control, doubts, 784);
AT(queue_control, last_send_ns, 792);
AT(queue_control, last_sender_pid, 800);
AT(queue_control, grown, 804);
AT(queue_control, arena_grown, 808);
AT(queue_control, left, 896);
AT(queue_control, settled, 904);
AT(queue_control, counted_ns, 912);
AT(queue_control, last_receive_ns, 920);
AT(queue_control, last_receiver_pid, 928);
AT(queue_cell, word, 0);
AT(queue_cell, lap, 8);
AT(queue_cell, bytes, 12);
AT(queue_cell, type, 16);
AT(queue_cell, priority, 24);
AT(queue_cell, payload, 28);
AT(queue_cell, sender, 32);
AT(queue_cell, sender_pid, 40);
AT(queue_cell, deliveries, 44);
AT(queue_cell, counted, 48);
AT(queue_node, key, 8);
AT(queue_node, first, 16);
AT(queue_node, bit, 24);
_Static_assert(sizeof(struct queue_cell) == 128, "cell size");
_Static_assert(sizeof(struct queue_payload) == 128, "payload size");
_Static_assert(sizeof(struct queue_entry) == 32, "entry size");
_Static_assert(sizeof(struct queue_node) == 32, "node size");
_Static_assert(sizeof(struct queue_control) <= QUEUE_CONTROL_BYTES, "control");
_Static_assert(OBJECT_KIND_OFFSET % 4096 == 0, "control is on its own page");

#endif
