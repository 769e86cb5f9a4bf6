/* SPDX-License-Identifier: MIT */
/*
 * space/object_layout.h: what every object file begins with.
 *
 *   0      header: identity and geometry, constant once published
 *   256    events, state: the words that change
 *   512    of kinds without seats: what belongs to the kind, and changes
 *   4096   seats, chunk 0 (64 of 256 bytes)
 *   20480  what belongs to the kind, up to header.file_bytes
 *          (of kinds without seats, nothing stands from 4096 to here)
 *   ...    seats, chunk 1 (128), chunk 2 (256) ...: made when needed, at
 *          places that follow from file_bytes; their existence is the file's
 *          size, so that two growers do the same thing
 *
 * The header is complete before the file has a name (O_TMPFILE, linkat), and
 * constant from then on: nobody ever sees half an object. It is copied and
 * checked once, at open.
 *
 * Seats. A seat is one handle on this object. Words in shared memory that say
 * "mine" hold the seat's token: index and generation.
 *   Truth: seat.owner = peer << 16 | generation. peer 0: free.
 *   Transitions, all by compare-and-swap:
 *     free -> owned       by the owner; the generation goes up by one
 *     owned -> free       by the owner at close, or by anyone once the peer is
 *                         dead AND everything in the object that bears the
 *                         seat's token has been given back
 *   So a token never outlives its seat, and a late burier that slept through
 *   a reuse meets another generation.
 *   States a death may leave: owned by a dead peer. Anyone buries it.
 *   Everything else in a seat is written by its owner alone and informs
 *   people; counters go on from owner to owner, so that their sum over all
 *   seats is the object's total.
 *
 * Events. Bits 0 to 3 say who wants to be told; the rest counts. A waiter
 * sets its bit, looks at the truth again, and sleeps on the value that it
 * saw. Whoever changes the truth does so by a sequentially consistent
 * read-modify-write and then loads the event (EVENT_DEKKER): one of the two
 * sees the other.
 *
 *     waiter                         changer
 *     W event |= SLEEPERS            W truth (CAS, seq_cst)
 *     R truth (seq_cst)              R event (seq_cst)
 *
 *   A waker leaves SLEEPERS set while it finds sleepers, and takes it away by
 *   compare-and-swap only when a wake found none.
 *   States a death may leave: a bit too many (one vain system call). A waker
 *   that dies between its change and its wake delays sleepers by at most one
 *   slice (50 ms); who buries it wakes everyone.
 */
#ifndef STOA_SPACE_OBJECT_LAYOUT_H
#define STOA_SPACE_OBJECT_LAYOUT_H

#include <stoa/base.h>

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define OBJECT_MAGIC "stoaobj"
#define OBJECT_LAYOUT_VERSION STOA_LAYOUT_VERSION
#define OBJECT_BYTE_ORDER 0x01020304u
#define PLACE_MAGIC 0x616f7473u
#define OBJECT_HEADER_BYTES 4096
#define OBJECT_SEATS_OFFSET 4096
#define OBJECT_WORDS_OFFSET 512
#define OBJECT_GEOMETRY_WORDS 12

#define SEAT_FIRST_CHUNK 64
#define SEAT_CHUNKS 10
#define SEAT_MAX (SEAT_FIRST_CHUNK * ((1 << SEAT_CHUNKS) - 1))
#define SEAT_GENERATION_MASK 0x7fffu
#define OBJECT_KIND_OFFSET \
	(OBJECT_SEATS_OFFSET + SEAT_FIRST_CHUNK * sizeof(struct stoa_seat))

/* A token: generation (15 bits, never 0) above the seat's index (16 bits). */
#define SEAT_TOKEN(index, generation) ((uint32_t)(generation) << 16 | (index))
#define SEAT_INDEX(token) ((token)&0xffffu)
#define SEAT_GENERATION(token) ((token) >> 16 & SEAT_GENERATION_MASK)

enum {
	EVENT_SLEEPERS = 1,  /* somebody sleeps: wake one */
	EVENT_OBSERVERS = 2, /* somebody who may not act sleeps: wake all */
	EVENT_BELL = 4,      /* a poll descriptor waits to be rung */
	EVENT_NOTIFY = 8,    /* a notification is registered */
	EVENT_ANYBODY = 15,
	EVENT_COUNT = 16 /* one in the counting part */
};

enum { OBJECT_REMOVED = 1, OBJECT_DAMAGED = 2 }; /* bits of state */

struct stoa_events {
	_Atomic uint32_t readable; /* event: messages have come */
	_Atomic uint32_t writable; /* event: room has come */
	_Atomic uint32_t state;    /* OBJECT_REMOVED, OBJECT_DAMAGED */
};

struct stoa_object_header {
	char magic[8];
	uint32_t layout_version;
	uint32_t byte_order;
	char kind[16];
	uint8_t boot_id[16];
	uint64_t generation;
	uint64_t file_bytes; /* without later chunks of seats */
	int64_t created_ns;
	uint64_t creator;
	int32_t creator_pid;
	uint32_t creator_uid;
	uint64_t geometry[OBJECT_GEOMETRY_WORDS]; /* the kind's own */
	uint8_t unused[72];

	struct stoa_events events; /* at 256, a line that is mostly read */
};

/*
 * What a small object begins with that stands in memory of the caller's: no
 * file, no name, no seats. Whoever holds something in it is named by peer and
 * thread. The magic is written last, when all of it is made.
 */
struct stoa_place {
	_Atomic uint32_t magic;
	uint16_t kind; /* number of the kind */
	uint16_t layout_version;
	uint32_t space; /* the one whose peers it names: see place.c */
	struct stoa_events events;
};

struct stoa_seat {
	_Atomic uint64_t owner;
	_Atomic int32_t pid;
	_Atomic uint32_t uid;
	_Atomic int64_t opened_ns;
	_Atomic uint32_t flags;
	_Atomic uint32_t readers_waiting; /* threads of the owner */
	_Atomic uint32_t writers_waiting;
	uint32_t reserved;
	_Atomic int64_t waiting_since_ns;
	/* What the counters below were when the owner sat down. */
	_Atomic uint64_t first_messages_in;
	_Atomic uint64_t first_bytes_in;
	_Atomic uint64_t first_messages_out;
	_Atomic uint64_t first_bytes_out;
	uint64_t unused[6];

	/* At 128, the owner's own line. */
	_Atomic uint64_t messages_in;
	_Atomic uint64_t bytes_in;
	_Atomic int64_t last_in_ns;
	_Atomic uint64_t messages_out;
	_Atomic uint64_t bytes_out;
	_Atomic int64_t last_out_ns;
	_Atomic int32_t last_in_pid; /* may be an earlier owner's */
	_Atomic int32_t last_out_pid;
	_Atomic uint32_t inside[2]; /* the kind's own: see stream_layout.h */
	_Atomic uint64_t own[3]; /* the kind's own: see topic_layout.h */
	uint64_t unused_hot[5];
};

#define AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #field)
AT(stoa_object_header, magic, 0);
AT(stoa_object_header, layout_version, 8);
AT(stoa_object_header, byte_order, 12);
AT(stoa_object_header, kind, 16);
AT(stoa_object_header, boot_id, 32);
AT(stoa_object_header, generation, 48);
AT(stoa_object_header, file_bytes, 56);
AT(stoa_object_header, created_ns, 64);
AT(stoa_object_header, creator, 72);
AT(stoa_object_header, creator_pid, 80);
AT(stoa_object_header, creator_uid, 84);
AT(stoa_object_header, geometry, 88);
AT(stoa_object_header, events, 256);
AT(stoa_events, readable, 0);
AT(stoa_events, writable, 4);
AT(stoa_events, state, 8);
AT(stoa_place, magic, 0);
AT(stoa_place, kind, 4);
AT(stoa_place, layout_version, 6);
AT(stoa_place, space, 8);
AT(stoa_place, events, 12);
AT(stoa_seat, owner, 0);
AT(stoa_seat, pid, 8);
AT(stoa_seat, uid, 12);
AT(stoa_seat, opened_ns, 16);
AT(stoa_seat, flags, 24);
AT(stoa_seat, readers_waiting, 28);
AT(stoa_seat, writers_waiting, 32);
AT(stoa_seat, waiting_since_ns, 40);
AT(stoa_seat, first_messages_in, 48);
AT(stoa_seat, messages_in, 128);
AT(stoa_seat, messages_out, 152);
AT(stoa_seat, last_in_pid, 176);
AT(stoa_seat, own, 192);
_Static_assert(sizeof(struct stoa_seat) == 256, "seat size");
_Static_assert(sizeof(struct stoa_place) == 24, "place size");

#endif
