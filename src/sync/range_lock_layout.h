/* SPDX-License-Identifier: MIT */
/*
 * sync/range_lock_layout.h: the shared bytes of a range lock, after the
 * object's own (header, seats; see space/object_layout.h).
 *
 *   control      4 KiB               the lock of the table, counters
 *   waiters      64 bytes each, 256  who waits, in line by ticket
 *   ranges       64 bytes each, as many as the capacity
 *
 * TRUTH: the words of the ranges and of the waiters, nothing else. A word is
 *
 *     63      49 48     34 33 32 31  30      0
 *     |    0    | thread | mode | 0 | token  |     0: nobody's, free
 *
 * and a word that isn't 0 says that the range in `start` and `last` (both
 * included) is locked, or waited for, by `owner` through the token's seat.
 * `owner` is the token, or the peer with the highest bit set: the process.
 *
 * Who writes: whoever has the table's lock writes words of its own token's
 * process, and the fields beside them; they are complete before the word
 * (release). All else is done to the dead: burial turns words with a dead
 * token to 0 by compare-and-swap, WITHOUT the table's lock (one who has no
 * seat yet buries, too), and touches nothing else. An owner does the same to
 * its own at close, and in an unlock when somebody is stopped over the
 * lock. A word is never turned
 * into another's, only to 0 and from 0.
 *
 * Transitions:
 *   range   0 -> mine       lock
 *           mine -> 0       unlock, convert, merge; burial of the token
 *           `last` alone is lowered in place (unlock of the end of a range);
 *           `start` moves while the index doesn't list the range
 *   waiter  0 -> mine       a request found somebody in its way
 *           mine -> 0       it has its range, or gave up; burial
 *
 * States a death may leave. An operation that changes several ranges (split,
 * merge, conversion, unlock of many) changes ranges of one owner only, the
 * one that runs it, and that owner dies with it: every prefix of its writes
 * is a set of ranges that all bear tokens of the dead process, and burial
 * frees them all. They may overlap one another until then, which hinders
 * nobody who isn't hindered anyway. So there is no intent to replay. What a
 * death may leave half done is
 *   - the table's lock, with a dead token: taken over (base/lock.h);
 *   - the index: `dirty` is CHANGING whenever the lock is held. Whoever gets
 *     the lock and finds it so rebuilds index, free list and counters from
 *     the words;
 *   - ranges that are free but still listed, by burial: they are no
 *     hindrance, as every use of the index looks at the word; `stale` tells
 *     the next who has the lock to sweep them out. Burial raises it after
 *     the last word was freed, and a burier that dies before that leaves the
 *     seat to the next, which raises it whether or not it finds a word.
 *     Who finds no room doesn't wait for that: it raises it, too, if any
 *     listed word is 0, and tries once more.
 *   - a waiter's place, with a dead token: those behind it ask for its life
 *     after each sleep and bury it; a wake that the dead owed comes from who
 *     buries it (stoa_event_broadcast).
 *
 * INDEX (a hint): each range is in two AVL trees, with links in the record:
 *   place   by start, with the largest `last` of each subtree, and the
 *           largest of its exclusive ranges: who is in the way of a range
 *   own     by owner and start: what an owner has in a range. An owner's
 *           ranges don't overlap. There are 512 of these trees, and a hash of
 *           the owner says which: who has few ranges finds them at once
 *           beside others who have many.
 *   An exclusive range overlaps nobody's but its owner's, so a shared request
 *   looks at exclusive ranges only, and never walks over the many that share.
 *   The ranges locked last are in no tree yet, but in `young`, unsorted: most
 *   are unlocked before they must go, and cost the trees one walk, which
 *   changes nothing. Who finds no room there puts one of them into the trees,
 *   each in turn (`young_next`), so ranges that stay get there.
 *   Links are record numbers + 1 (0: none) in 26 bits; above them the height
 *   (link[PLACE][0], link[OWN][0]), whether the subtree has an exclusive
 *   range (link[PLACE][1]), and whether the record is listed (link[OWN][1]).
 *   Every link is checked against the capacity, every path against
 *   RANGE_DEPTH_MAX, so that scribbled trees end in -EUCLEAN.
 *   Free records: a list by link[PLACE][0] from `spare`, and all from
 *   `fresh` on, which were never used.
 *
 * IN LINE. A request that finds somebody in the way takes a waiter's record
 * and a ticket, under the lock. It may be granted when no range of another
 * owner conflicts, and no waiter of another owner with a lower ticket, unless
 * the requester holds something that this waiter waits for. `waiters_used`
 * is a bound: no record from it on is in use.
 *
 * WAKING. No seq_cst is needed, as with EVENT_DEKKER, because both sides pass
 * through the table's lock: a waiter arms its event word, then looks at the
 * table under the lock; who unlocks changes the table under the lock, then
 * looks at the event word. If the look came before the change, the arming
 * came before it, too, and is seen.
 */
#ifndef STOA_SYNC_RANGE_LOCK_LAYOUT_H
#define STOA_SYNC_RANGE_LOCK_LAYOUT_H

#include <base/lock.h>
#include <space/object_layout.h>
#include <stoa/range_lock.h>

#define RANGE_CONTROL_BYTES 4096
#define RANGE_WAITERS 256
#define RANGE_CAPACITY_MAX (UINT64_C(1) << 24)
#define RANGE_DEPTH_MAX 40 /* AVL: 1.45 × log2 of the capacity */

/* Words of the object's geometry. */
enum { RANGE_GEOMETRY_CAPACITY };

#define RANGE_TOKEN_MASK 0x7fffffffu
#define RANGE_WORD(token, mode, thread)                            \
	((uint64_t)(thread) << 34 | (uint64_t)((mode)&3) << 32 | (token))
#define RANGE_WORD_TOKEN(word) ((uint32_t)(word)&RANGE_TOKEN_MASK)
#define RANGE_WORD_MODE(word) ((uint32_t)((word) >> 32) & 3)
#define RANGE_WORD_THREAD(word) ((uint32_t)((word) >> 34) & 0x7fff)

#define RANGE_OWNER_PROCESS (UINT64_C(1) << 63) /* above a peer */

enum { RANGE_PLACE, RANGE_OWN }; /* the trees */
#define RANGE_OWN_TREES 512 /* of the owner's hash */
#define RANGE_YOUNG 4
#define RANGE_LINK_MASK 0x3ffffffu
#define RANGE_LINK_BITS 26

/* Values of dirty. */
enum { RANGE_CHANGING = 1 };

struct range_control {
	struct stoa_lock turn;
	_Atomic uint32_t dirty;
	_Atomic uint32_t stale; /* burial freed ranges that are listed */
	_Atomic uint32_t changes; /* raised when a waiter should look again */
	_Atomic uint32_t place_root; /* record + 1 */
	_Atomic uint32_t spare;   /* list of free records; record + 1 */
	_Atomic uint32_t fresh;   /* records from here on were never used */
	_Atomic uint32_t waiters_used;
	_Atomic uint32_t young_next;
	uint32_t reserved;
	_Atomic uint64_t next_ticket;
	_Atomic uint32_t young[RANGE_YOUNG]; /* record + 1; 0: none */
	uint64_t unused[120];
	_Atomic uint32_t own_root[RANGE_OWN_TREES]; /* record + 1 */
};

struct range_record {
	_Alignas(64) _Atomic uint64_t word;
	_Atomic uint64_t owner;
	_Atomic uint64_t start, last;
	_Atomic uint64_t most;           /* index: of `last` in the subtree */
	_Atomic uint64_t most_exclusive; /* the same, of exclusive ranges */
	_Atomic uint32_t link[2][2];
};

struct range_waiter {
	_Alignas(64) _Atomic uint64_t word;
	_Atomic uint64_t owner;
	_Atomic uint64_t start, last;
	_Atomic uint64_t ticket;
	_Atomic uint64_t blocker; /* for people: word of the first in the way */
	uint64_t unused[2];
};

AT(range_control, turn, 0);
AT(range_control, dirty, 4);
AT(range_control, stale, 8);
AT(range_control, changes, 12);
AT(range_control, place_root, 16);
AT(range_control, spare, 20);
AT(range_control, fresh, 24);
AT(range_control, waiters_used, 28);
AT(range_control, young_next, 32);
AT(range_control, next_ticket, 40);
AT(range_control, young, 48);
AT(range_control, own_root, 1024);
AT(range_record, word, 0);
AT(range_record, owner, 8);
AT(range_record, start, 16);
AT(range_record, last, 24);
AT(range_record, most, 32);
AT(range_record, most_exclusive, 40);
AT(range_record, link, 48);
AT(range_waiter, ticket, 32);
AT(range_waiter, blocker, 40);
_Static_assert(sizeof(struct range_record) == 64, "range size");
_Static_assert(sizeof(struct range_waiter) == 64, "waiter size");
_Static_assert(sizeof(struct range_control) <= RANGE_CONTROL_BYTES, "control");

#endif
