/* SPDX-License-Identifier: MIT */
/* kernel/group_internal.h: packets, between the group's files. */
#ifndef STOA_KERNEL_GROUP_INTERNAL_H
#define STOA_KERNEL_GROUP_INTERNAL_H

#include <kernel/group_layout.h>
#include <stddef.h>
#include <stdint.h>

struct packet {
	int closes;
	uint64_t identity, sequence;
	uint32_t bytes, offset, chunk;
	const char *topic; /* not ended by a zero */
	size_t topic_bytes;
	const char *data; /* the fragment */
	uint32_t data_bytes;
};

/* Writes the header and the name; the fragment follows. Bytes written. */
size_t stoa_packet_write(const struct packet *packet,
                         char header[PACKET_HEADER + 256]);

/* Reads and checks foreign bytes; `most`: of a message. 0; -EBADMSG. */
int stoa_packet_read(const char *bytes, size_t count, uint32_t most,
                     struct packet *ret_packet);

#endif
