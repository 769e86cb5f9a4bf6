/* SPDX-License-Identifier: MIT */
/*
 * kernel/descriptor_layout.h: what goes over a socket. A message is rounds, one
 * packet of SOCK_SEQPACKET each: this header, a piece of the payload, and a
 * piece of the descriptors as SCM_RIGHTS. Packets arrive whole, in order, or
 * not at all; the socket belongs to one sender at a time.
 *
 * The receiver believes nothing of it: the first round's totals are checked
 * against the room that the caller gave, and each further round must be the
 * next of the same message, with exactly the bytes and descriptors that it
 * says. A first round in the midst of a message means that its sender gave
 * that up: it is forgotten, its descriptors closed, and the new one begun. A
 * later round without a first belongs to a message that the receiver gave up:
 * it is passed over. So neither end needs a memory of what went wrong.
 *
 * States a death may leave: a message without its last rounds. The end of file
 * that follows closes what had come.
 */
#ifndef STOA_KERNEL_DESCRIPTOR_LAYOUT_H
#define STOA_KERNEL_DESCRIPTOR_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define ROUND_MAGIC 0x64665473u /* "sTfd", as it stands in memory */
#define ROUND_PIECE (65536 - 64) /* bytes of payload in one round, at most */

enum { ROUND_MESSAGE = 1, ROUND_TAKEN = 2 /* the fetcher's thanks */ };

struct round {
	uint32_t magic;
	uint16_t kind;
	uint16_t reserved; /* zero */
	uint64_t identity; /* of the message, among those of one sender */
	uint64_t bytes;       /* of the whole message */
	uint32_t descriptors; /* of the whole message */
	uint32_t number;      /* of this round, from 0 */
	uint32_t bytes_here;
	uint32_t descriptors_here;
};

_Static_assert(sizeof(struct round) == 40, "a round's header");
_Static_assert(offsetof(struct round, identity) == 8, "layout");
_Static_assert(offsetof(struct round, bytes) == 16, "layout");
_Static_assert(offsetof(struct round, descriptors) == 24, "layout");
_Static_assert(offsetof(struct round, bytes_here) == 32, "layout");

#endif
