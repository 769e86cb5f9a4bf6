/* SPDX-License-Identifier: MIT */
/*
 * space/waits_layout.h: the wait files of a space, which say what each
 * sleeping thread waits for, and who is in its way. People read them, and
 * whoever is about to sleep looks for a circle in them.
 *
 * ".waits.0" and so on stand beside the life files: 64 peers each, and for
 * each peer 64 records, the first tried being that of the thread's number.
 * The files have holes where nobody waits. They are written by pwrite and read
 * by pread only: on a full tmpfs a wait isn't shown, and nothing else fails.
 *
 *      0                 16384
 *      | peer's 64 records | next peer's ...
 *      | 256 bytes each
 *
 * HINT: nothing that anybody holds depends on these files.
 * Who writes: the process of the slot alone, each of its threads its own
 * record; written when a wait outlasts its first nap (1 ms), again when
 * somebody else comes in the way or a slice has passed, and cleared at its
 * end. Files are as writable as life files: in a space for all users, others
 * can forge records, and so provoke -EDEADLK; they can hold the locks, too.
 * States a death may leave: a record of a dead peer, which its generation and
 * the life table tell. The next peer in the slot writes over it. A record that
 * is read while it is written has a wrong `check`, and is read again.
 *
 * CIRCLES. A record's edge "X waits for Y" is as old as X's last look. It is
 * established if X began that look (`looked`) after Y last gave anything up that
 * somebody slept on (`raised` in Y's record; by WAITS_SLACK after it, as the
 * counter may be read a little early): X had announced its sleep before it
 * looked, so had Y given it up since then, it would say so.
 * (Y: the very thread that took it. If another gives it up, X may be on its
 * way, and the circle none: see stoa/range_lock.h.) Y's record is there, so Y
 * waits, and as long as it stays the same, Y has given up nothing. So a circle
 * of established edges whose records are the same when they are read a second
 * time was one at the moment between.
 *
 *     A closes the circle              B closes it, too
 *     W its record (pwrite, seq_cst)   W its record (pwrite, seq_cst)
 *     R others' records                R others' records
 *
 *   Where reading the counter would be felt (every unlock of a mutex), a thread
 *   only notes that it gave something up, and counts that as done when its next
 *   wait is written. That is late, so it hides edges for a slice at most, and
 *   never makes one.
 *
 *   At least one sees it. If both do, the one that asked last is refused; all
 *   look again after each slice, so if it had seen nothing, it sees it then.
 *   An edge to somebody who is but before X in line is X's own to cut: X goes
 *   past. Others don't count it.
 */
#ifndef STOA_SPACE_WAITS_LAYOUT_H
#define STOA_SPACE_WAITS_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define WAITS_RECORDS 64 /* of one peer */
#define WAITS_BLOCKERS 7
#define WAITS_NAME_BYTES 96
#define WAITS_SLACK 10000 /* ticks */

enum { WAITS_DETECTS = 1, WAITS_RANGE = 2 }; /* flags */

struct waits_record {
	uint64_t check;    /* of all that follows */
	uint64_t sequence; /* another with each writing */
	uint64_t agent;    /* peer and thread; 0: nobody waits */
	int64_t since_ns;  /* CLOCK_REALTIME */
	int64_t asked_ns;  /* CLOCK_MONOTONIC: when it was first written */
	uint64_t looked;   /* stoa_cpu_ticks() */
	uint64_t raised;   /* stoa_cpu_ticks() */
	uint64_t object;   /* generation of its file */
	uint64_t start, last; /* WAITS_RANGE */
	int32_t pid, tid;
	uint32_t flags;
	uint32_t mode; /* the kind's own */
	uint32_t blockers;
	uint32_t reserved;
	uint64_t blocker[WAITS_BLOCKERS]; /* agents; highest bit: in line */
	char name[WAITS_NAME_BYTES];      /* with its kind; may be cut */
};

_Static_assert(sizeof(struct waits_record) == 256, "record size");
_Static_assert(offsetof(struct waits_record, object) == 56, "layout");
_Static_assert(offsetof(struct waits_record, pid) == 80, "layout");
_Static_assert(offsetof(struct waits_record, blocker) == 104, "layout");
_Static_assert(offsetof(struct waits_record, name) == 160, "layout");

#endif
