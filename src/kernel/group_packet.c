/* SPDX-License-Identifier: MIT */
/* kernel/group_packet.c: writing packets, and reading foreign ones. */
#include <kernel/group_internal.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#define NAME_MOST 200

static void put32(char *at, uint32_t number)
{
	number = htobe32(number);
	memcpy(at, &number, sizeof number);
}

static void put64(char *at, uint64_t number)
{
	number = htobe64(number);
	memcpy(at, &number, sizeof number);
}

static uint32_t get32(const char *at)
{
	uint32_t number;

	memcpy(&number, at, sizeof number);
	return be32toh(number);
}

static uint64_t get64(const char *at)
{
	uint64_t number;

	memcpy(&number, at, sizeof number);
	return be64toh(number);
}

size_t stoa_packet_write(const struct packet *packet,
                         char header[PACKET_HEADER + 256])
{
	memcpy(header, PACKET_MAGIC, 4);
	header[4] = PACKET_VERSION;
	header[5] = packet->closes ? PACKET_CLOSES : 0;
	header[6] = (char)packet->topic_bytes;
	header[7] = 0;
	put64(header + 8, packet->identity);
	put64(header + 16, packet->sequence);
	put32(header + 24, packet->bytes);
	put32(header + 28, packet->offset);
	put32(header + 32, packet->chunk);
	memcpy(header + PACKET_HEADER, packet->topic, packet->topic_bytes);
	return PACKET_HEADER + packet->topic_bytes;
}

/* Whether the fragment is one of that message. */
static int fits(const struct packet *packet, uint32_t most)
{
	uint32_t left;

	if (packet->bytes > most || packet->offset > packet->bytes)
		return 0;
	left = packet->bytes - packet->offset;
	if (packet->offset == 0 && packet->data_bytes == packet->bytes)
		return packet->chunk >= packet->bytes; /* all of it */
	return packet->chunk >= PACKET_CHUNK_LEAST && left > 0 &&
	       packet->offset % packet->chunk == 0 &&
	       packet->data_bytes ==
	               (left < packet->chunk ? left : packet->chunk);
}

int stoa_packet_read(const char *bytes, size_t count, uint32_t most,
                     struct packet *ret_packet)
{
	struct packet packet;
	unsigned char flags, name;

	if (count < PACKET_HEADER || count > PACKET_MOST ||
	    memcmp(bytes, PACKET_MAGIC, 4) != 0 || bytes[4] != PACKET_VERSION ||
	    bytes[7] != 0)
		return -EBADMSG;
	flags = (unsigned char)bytes[5];
	name = (unsigned char)bytes[6];
	if (flags & ~PACKET_CLOSES || name < 1 || name > NAME_MOST ||
	    count < (size_t)PACKET_HEADER + name)
		return -EBADMSG;
	packet = (struct packet){
		.closes = flags & PACKET_CLOSES,
		.identity = get64(bytes + 8),
		.sequence = get64(bytes + 16),
		.bytes = get32(bytes + 24),
		.offset = get32(bytes + 28),
		.chunk = get32(bytes + 32),
		.topic = bytes + PACKET_HEADER,
		.topic_bytes = name,
		.data = bytes + PACKET_HEADER + name,
		.data_bytes = (uint32_t)(count - PACKET_HEADER - name),
	};
	if (packet.identity == 0 || packet.sequence == 0)
		return -EBADMSG;
	if (packet.closes ? packet.data_bytes != 0 || packet.bytes != 0 ||
	                            packet.offset != 0 :
	                    !fits(&packet, most))
		return -EBADMSG;
	*ret_packet = packet;
	return 0;
}
