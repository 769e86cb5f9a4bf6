/* SPDX-License-Identifier: MIT */
/*
 * sync/semaphore_set_layout.h: the shared bytes of a semaphore set of N
 * semaphores, R rows of undo and W waiters; N is in the header's geometry, the
 * rest follows from it.
 *
 *   20480  control    256 bytes
 *          rows       R x 8
 *          waiters    W x 8
 *          semaphores N x 16
 *          records    max(N, STOA_SEMAPHORE_SET_OPERATIONS) x 8
 *          adjustments R x N x 2
 *
 * Truth: the semaphores' words, the rows' tokens and the adjustments, together
 * with the intent if there is one. All of them are written under the lock
 * (base/lock.h, by the token of the seat).
 *
 *   semaphore.word   value (15 bits used) | pid of the last operation << 32
 *   row.token        seat whose undo the row is; 0: free, and then all of the
 *                    row's adjustments are 0
 *   adjustment[r][s] what is added to s when the seat r's token names is gone
 *
 * INTENT. An operation that changes more than one word first writes down what
 * will be: records of absolute new values. Under the lock:
 *
 *     W records, intent.count, intent.row, intent.pid
 *     W intent.kind != 0            the commit point
 *     W semaphores, adjustments, row: as the records say
 *     W intent.kind = 0
 *     release the lock
 *
 *   Whoever takes the lock and finds a kind there, finishes: everything is
 *   absolute, so doing it twice, or half and then again, is the same as once;
 *   whoever finishes may be killed as well.
 *
 *     OPERATE  each record: word = value | pid, and if it says so
 *              adjustment[intent.row][semaphore] = adjustment
 *     SET_ONE  record 0's word; its semaphore's adjustment in all rows = 0
 *     SET_ALL  records' words; all adjustments of all rows = 0
 *     BURY     records' words; all adjustments of intent.row = 0; then its
 *              token = 0. Exactly once: the token that would make somebody
 *              do it again goes last, and the records are absolute
 *
 *   An operation that changes one word and no adjustment needs no intent: the
 *   store of the word is its commit point. Claiming a row is the store of its
 *   token.
 *
 *   Before its commit point an operation has changed nothing but records, which
 *   mean nothing while intent.kind is 0.
 *
 * States a death may leave: the lock taken; an intent; a row of a dead token.
 * The row is undone by kind->bury(token), before the seat can become another's:
 * so a row's token names its bearer and nobody else. (Should a closing handle
 * not get its turn within a second, its seat is given up with the row left: the
 * token is nobody's then, and whoever waits or looks at the set undoes it, as
 * those look at the bearers of all rows.)
 *
 * EVENTS. Each semaphore has two, with the protocol of struct stoa_events
 * (EVENT_DEKKER; the lock orders truth and event: of two
 * turns the later one sees what the earlier one's owner had done before it, be
 * it a change or the arming of an event): `increased` for those who
 * wait until its value is larger, `zero` for those who wait for zero. One who
 * sleeps does so on the event of the first change, in array order, that can't
 * be made. One whose operation is anything but one change of -1 also sets
 * EVENT_OBSERVERS, as it may be woken and yet take nothing. The object's own
 * `readable` is for stoa_wait_any, the set's removal wakes all.
 *
 * Waiters, for counting: a word for each thread that sleeps: token, whether for
 * zero, and semaphore. Written by compare-and-swap from 0, by its owner, and by
 * who buries the token. A dead one's counts for nothing.
 *
 * Not truth, for people or as hints: times, undone. rows_used bounds
 * searches (no row from there on was ever claimed; it is raised before one is).
 */
#ifndef STOA_SYNC_SEMAPHORE_SET_LAYOUT_H
#define STOA_SYNC_SEMAPHORE_SET_LAYOUT_H

#include <base/lock.h>
#include <space/object_layout.h>
#include <stoa/semaphore_set.h>

enum { SET_GEOMETRY_COUNT };

#define SET_CONTROL_BYTES 256
#define SET_ROWS_MAX 1024u
#define SET_ROWS_MIN 64u
#define SET_ADJUSTMENTS_BYTES (UINT64_C(4) << 20) /* at most, from ROWS_MIN on */
#define SET_WAITERS 1024u

#define SET_WORD(value, pid) ((uint64_t)(uint32_t)(pid) << 32 | (value))
#define SET_WORD_VALUE(word) ((uint32_t)(word))
#define SET_WORD_PID(word) ((int32_t)((word) >> 32))

/* A waiter: never 0, as no token is. */
#define SET_WAITER(token, zero, semaphore) \
	((uint64_t)(token) << 32 | (uint64_t)(zero) << 31 | (semaphore))
#define SET_WAITER_TOKEN(word) ((uint32_t)((word) >> 32))
#define SET_WAITER_ZERO(word) ((uint32_t)((word) >> 31) & 1)
#define SET_WAITER_SEMAPHORE(word) ((uint32_t)(word)&0x7fffffffu)

enum set_intent {
	SET_NOTHING,
	SET_OPERATE,
	SET_SET_ONE,
	SET_SET_ALL,
	SET_BURY
};

struct set_control {
	struct stoa_lock lock;
	_Atomic uint32_t intent_kind; /* enum set_intent */
	_Atomic uint32_t intent_count;
	_Atomic uint32_t intent_row;
	_Atomic int32_t intent_pid;
	_Atomic uint32_t rows_used;
	uint32_t reserved[2];
	_Atomic int64_t last_operation_ns; /* CLOCK_REALTIME_COARSE */
	_Atomic int64_t last_change_ns; /* 0: never set since it was made */
	_Atomic uint64_t undone;
};

struct set_row {
	_Atomic uint32_t token;
	uint32_t reserved;
};

struct set_semaphore {
	_Atomic uint64_t word;
	_Atomic uint32_t increased; /* event */
	_Atomic uint32_t zero;      /* event */
};

/* A record: semaphore, value, adjustment, and whether that is part of it. */
#define SET_RECORD(semaphore, value, adjustment, adjusts)              \
	((uint64_t)(semaphore) | (uint64_t)(value) << 16 |             \
	 (uint64_t)(uint16_t)(adjustment) << 32 | (uint64_t)(adjusts) << 48)
#define SET_RECORD_SEMAPHORE(record) ((uint32_t)(record)&0xffffu)
#define SET_RECORD_VALUE(record) ((uint32_t)((record) >> 16) & 0xffffu)
#define SET_RECORD_ADJUSTMENT(record) ((int16_t)((record) >> 32))
#define SET_RECORD_ADJUSTS(record) ((uint32_t)((record) >> 48) & 1)

AT(set_control, lock, 0);
AT(set_control, intent_kind, 4);
AT(set_control, intent_count, 8);
AT(set_control, intent_row, 12);
AT(set_control, intent_pid, 16);
AT(set_control, rows_used, 20);
AT(set_control, last_operation_ns, 32);
AT(set_control, last_change_ns, 40);
AT(set_control, undone, 48);
AT(set_semaphore, increased, 8);
AT(set_semaphore, zero, 12);
_Static_assert(sizeof(struct set_control) <= SET_CONTROL_BYTES, "control");
_Static_assert(sizeof(struct set_row) == 8, "row size");
_Static_assert(sizeof(struct set_semaphore) == 16, "semaphore size");
_Static_assert(STOA_SEMAPHORE_SET_MAX < 1 << 16 &&
                       STOA_SEMAPHORE_SET_VALUE_MAX < 1 << 15,
               "a record holds them");
_Static_assert(OBJECT_KIND_OFFSET % 64 == 0, "alignment");

#endif
