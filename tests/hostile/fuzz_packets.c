/* SPDX-License-Identifier: MIT */
/*
 * fuzz_packets.c: libFuzzer's bytes are packets for a group, each behind two
 * bytes that say how long it is: read one by one (kernel/group_packet.c), and
 * sent to a group that puts its messages together, where a network of one's own
 * is allowed. Nothing is told that isn't in the packet, and what is written of
 * it again is the same.
 */
#include "fuzz.h"

#include <kernel/group_internal.h>
#include <sched.h>

#include <network.h>

enum { MOST = 3000, ROOM = 1 << 16, SEEDS = 4 };

static const char where[] = "udp:239.7.7.9:5000";
static struct stoa_group *group; /* NULL: no network */
static struct stoa_datagram *bare;

void fuzz_make_seeds(const char *directory)
{
	for (unsigned i = 0; i < SEEDS; i++) {
		FILE *file = fuzz_seed(directory, i);
		struct packet packet = { .closes = i == 3,
			                 .identity = 7,
			                 .sequence = 1 + i,
			                 .bytes = i == 3  ? 0
			                          : i > 0 ? 164
			                                  : 100,
			                 .offset = i == 2 ? 100 : 0,
			                 .chunk = 100,
			                 .topic = "news",
			                 .topic_bytes = 4 };
		char bytes[2 + PACKET_HEADER + 256 + 100] = { 0 };
		size_t count = stoa_packet_write(&packet, bytes + 2) +
		               (i == 3   ? 0
		                : i == 2 ? 64
		                         : 100);

		bytes[0] = (char)(count >> 8);
		bytes[1] = (char)count;
		fwrite(bytes, 1, 2 + count, file);
		fclose(file);
	}
}

static void open_group(void)
{
	const struct stoa_group_attributes attributes = {
		.size = sizeof(attributes),
		.interface = "lo",
		.message_bytes = MOST,
		.room_bytes = ROOM,
	};
	const struct stoa_datagram_attributes from = { .size = sizeof(from),
		                                       .interface = "lo" };

	if (unshare(CLONE_NEWNET) != 0)
		return;
	bring_up("lo");
	must(stoa_group_open(where, "news", STOA_READ, &attributes, &group),
	     "open the group");
	must(stoa_datagram_open(NULL, where, STOA_WRITE, 0, &from, &bare),
	     "open a sender");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *seeds = getenv("STOA_FUZZ_SEEDS");

	(void)argc, (void)argv;
	if (seeds != NULL) {
		fuzz_make_seeds(seeds);
		exit(EXIT_SUCCESS);
	}
	open_group();
	return 0;
}

static void check_packet(const struct packet *packet, const char *bytes,
                         size_t count)
{
	char again[PACKET_HEADER + 256];

	if (packet->topic_bytes == 0 || packet->topic < bytes ||
	    packet->data < packet->topic + packet->topic_bytes ||
	    packet->data + packet->data_bytes != bytes + count ||
	    packet->bytes > MOST ||
	    (uint64_t)packet->offset + packet->data_bytes > packet->bytes)
		finding("a packet says what it isn't");
	sum_of(packet->topic, packet->topic_bytes);
	sum_of(packet->data, packet->data_bytes);
	if (stoa_packet_write(packet, again) + packet->data_bytes != count ||
	    memcmp(again, bytes, count - packet->data_bytes) != 0)
		finding("a packet that is written again is another");
}

static void hear_all(void)
{
	struct stoa_group_message message;
	char *buffer = exact(MOST);
	ssize_t got;

	while ((got = stoa_group_receive(group, buffer, MOST, STOA_NOW,
	                                 &message)) >= 0)
		if (got > MOST || message.bytes != (size_t)got)
			finding("a message of %zd bytes", got);
	if (got != -EAGAIN)
		finding("receive answered %zd", got);
	free(buffer);
}

static void take_packet(const uint8_t *data, size_t count)
{
	struct packet packet;
	char *bytes = exact(count);

	memcpy(bytes, data, count);
	if (stoa_packet_read(bytes, count, MOST, &packet) == 0)
		check_packet(&packet, bytes, count);
	if (group != NULL) {
		stoa_datagram_send(bare, NULL, bytes, count, STOA_NOW);
		hear_all();
	}
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	while (bytes >= 2) {
		size_t count = (size_t)data[0] << 8 | data[1];

		data += 2;
		bytes -= 2;
		if (count > bytes)
			count = bytes;
		take_packet(data, count);
		data += count;
		bytes -= count;
	}
	return 0;
}
