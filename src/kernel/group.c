/* SPDX-License-Identifier: MIT */
/*
 * kernel/group.c: messages to a multicast group: published in packets, put
 * together again, and counted.
 *
 * Of each publisher that is followed, one message is put together at a time: a
 * fragment of a later one gives it up, as the network keeps the order but for
 * accidents. What was given up, and what never came, shows as a gap between
 * sequences when the next message is whole. A publisher is known by identity
 * and address: who forges packets of his must forge that as well.
 */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/group_internal.h>
#include <space/space.h>
#include <stoa/group.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_DEFAULT 65536
#define PACKET_DEFAULT 1400
#define PACKET_LEAST 512
#define PACKET_MOST_ASKED 65000
#define PUBLISHERS_DEFAULT 64
#define PUBLISHERS_MOST 65536
/* Packets passed over by a call that doesn't wait: a flood isn't looked
 * through. */
#define PASSED_OVER_MOST 1024
/* No network loses so many in a row: a sequence further on isn't true. */
#define GAP_MOST (UINT64_C(1) << 40)
#define GOOD_BYES 3 /* said, as one may be lost */

/* A publisher that is followed. */
struct publisher {
	uint64_t identity; /* 0: free */
	struct stoa_datagram_address from;
	uint64_t expected; /* sequence of the next message */
	uint64_t heard;    /* of group->heard: the least was heard long ago */
	uint64_t sequence; /* of the message being put together; 0: none */
	uint32_t bytes, chunk, missing; /* of it; fragments */
	char *data;
	uint8_t *have; /* a bit for each fragment */
	size_t room;   /* of data, with have behind it */
};

struct stoa_group {
	struct stoa_datagram *out, *in;
	unsigned flags;
	uint32_t message_bytes, packet_bytes, publisher_count;
	uint64_t identity, sequence; /* this one's own; the last published */
	int32_t owner;               /* process that has that identity */
	uint64_t lost, told, heard;
	struct publisher *publishers;
	struct publisher *whole; /* has a message to be received */
	struct stoa_group_message message;
	size_t topic_bytes;
	char topic[STOA_NAME_MAX + 1];
	char packet[65536]; /* none is larger: no look at its size is needed */
};

/* ---- Opening -------------------------------------------------------------------- */

static int check_range(const char *what, uint32_t value, uint32_t least,
                       uint32_t most)
{
	if (value < least || value > most)
		return stoa_fail(-EINVAL, "%s of a group is %u to %u, not %u",
		                 what, least, most, value);
	return 0;
}

static int check_attributes(const struct stoa_group_attributes *given,
                            struct stoa_group_attributes *attributes)
{
	*attributes =
	        (struct stoa_group_attributes){ .size = sizeof *attributes };
	if (given && given->size != sizeof *given)
		return stoa_fail(-EINVAL, "the attributes' size is %u, not %zu",
		                 given->size, sizeof *given);
	if (given)
		*attributes = *given;
	for (size_t i = 0; i < 4; i++)
		if (attributes->reserved[i])
			return stoa_fail(-EINVAL, "a reserved attribute of a "
			                          "group isn't 0");
	if (!attributes->message_bytes)
		attributes->message_bytes = MESSAGE_DEFAULT;
	if (!attributes->packet_bytes)
		attributes->packet_bytes = PACKET_DEFAULT;
	if (!attributes->publishers)
		attributes->publishers = PUBLISHERS_DEFAULT;
	int result = check_range("the largest message",
	                         attributes->message_bytes, 1,
	                         STOA_GROUP_MESSAGE_MAX);
	if (result == 0)
		result = check_range("the packet", attributes->packet_bytes,
		                     PACKET_LEAST, PACKET_MOST_ASKED);
	if (result == 0)
		result = check_range("the number of publishers",
		                     attributes->publishers, 1,
		                     PUBLISHERS_MOST);
	return result;
}

static int check_address(const char *text, unsigned flags)
{
	struct stoa_datagram_address address;
	int result = stoa_datagram_parse(text, &address);

	if (result < 0)
		return result;
	if (!stoa_datagram_is_group(&address) || address.port == 0)
		return stoa_fail(-EINVAL,
		                 "%s is no multicast group and port, as "
		                 "udp:239.1.2.3:5000",
		                 text);
	if (!(flags & (STOA_READ | STOA_WRITE)) ||
	    (flags & ~(STOA_READ | STOA_WRITE | STOA_INTERRUPTIBLE)))
		return stoa_fail(-EINVAL, "a group is opened with STOA_READ, "
		                          "STOA_WRITE or both, and "
		                          "STOA_INTERRUPTIBLE, not 0x%x",
		                 flags);
	return 0;
}

static int take_identity(struct stoa_group *group)
{
	long result;

	do
		result = stoa_system_call(SYS_getrandom, (long)&group->identity,
		                          sizeof group->identity, 0, 0, 0, 0);
	while (result == -EINTR || (result > 0 && group->identity == 0));
	group->sequence = 0;
	group->owner = stoa_sys_getpid();
	return result < 0 ? (int)result : 0;
}

static int open_sockets(struct stoa_group *group, const char *address,
                        const struct stoa_group_attributes *attributes)
{
	const struct stoa_datagram_attributes how = {
		.size = sizeof how,
		.interface = attributes->interface,
		.ttl = attributes->ttl,
		.loop = attributes->loop,
		.room_bytes = attributes->room_bytes,
	};
	unsigned extra = group->flags & STOA_INTERRUPTIBLE;
	int result = 0;

	if (group->flags & STOA_WRITE) {
		result = take_identity(group);
		if (result == 0)
			result = stoa_datagram_open(NULL, address,
			                            STOA_WRITE | extra, 0, &how,
			                            &group->out);
	}
	if (result == 0 && group->flags & STOA_READ) {
		group->publishers = calloc(attributes->publishers,
		                           sizeof *group->publishers);
		result = group->publishers ?
		                 stoa_datagram_open(NULL, address,
		                                    STOA_READ | extra, 0, &how,
		                                    &group->in) :
		                 stoa_fail(-ENOMEM, "no memory to follow %u "
		                                    "publishers",
		                           attributes->publishers);
	}
	return result;
}

static void free_group(struct stoa_group *group)
{
	for (uint32_t i = 0; group->publishers && i < group->publisher_count;
	     i++)
		free(group->publishers[i].data);
	free(group->publishers);
	stoa_datagram_close(group->in);
	stoa_datagram_close(group->out);
	free(group);
}

int stoa_group_open(const char *address, const char *topic, unsigned flags,
                    const struct stoa_group_attributes *attributes,
                    struct stoa_group **ret_group)
{
	struct stoa_group_attributes checked;
	int result = check_attributes(attributes, &checked);

	if (result == 0)
		result = stoa_name_check(topic, &topic);
	if (result == 0)
		result = check_address(address, flags);
	if (result < 0)
		return result;
	struct stoa_group *group = calloc(1, sizeof *group);
	if (!group)
		return stoa_fail(-ENOMEM, "no memory for the group %s",
		                 address);
	group->flags = flags;
	group->message_bytes = checked.message_bytes;
	group->packet_bytes = checked.packet_bytes;
	group->publisher_count = checked.publishers;
	group->topic_bytes = strlen(topic);
	memcpy(group->topic, topic, group->topic_bytes);
	result = open_sockets(group, address, &checked);
	if (result < 0) {
		free_group(group);
		return result;
	}
	*ret_group = group;
	return 0;
}

int stoa_group_pollfd(struct stoa_group *group)
{
	return group->in ? stoa_datagram_pollfd(group->in) :
	                   stoa_fail(-EBADF, "that group wasn't opened to "
	                                     "receive");
}

uint64_t stoa_group_lost(const struct stoa_group *group)
{
	return group->lost;
}

/* ---- Publishing ------------------------------------------------------------------ */

static struct packet own_packet(const struct stoa_group *group)
{
	return (struct packet){ .identity = group->identity,
		                .sequence = group->sequence,
		                .topic = group->topic,
		                .topic_bytes = group->topic_bytes };
}

void stoa_group_close(struct stoa_group *group)
{
	if (!group)
		return;
	if (group->out && group->sequence &&
	    group->owner == stoa_sys_getpid()) {
		struct packet packet = own_packet(group);
		size_t bytes;

		packet.closes = 1;
		packet.sequence++;
		bytes = stoa_packet_write(&packet, group->packet);
		for (int i = 0; i < GOOD_BYES; i++)
			stoa_datagram_send(group->out, NULL, group->packet,
			                   bytes, STOA_NOW);
	}
	free_group(group);
}

static int send_fragment(struct stoa_group *group, const struct packet *packet,
                         const char *data, uint32_t bytes,
                         struct stoa_deadline deadline)
{
	size_t header = stoa_packet_write(packet, group->packet);

	if (bytes)
		memcpy(group->packet + header, data, bytes);
	return stoa_datagram_send(group->out, NULL, group->packet,
	                          header + bytes, deadline);
}

int stoa_group_publish(struct stoa_group *group, const void *data, size_t bytes,
                       struct stoa_deadline deadline)
{
	const char *from = data;
	int result = 0;

	if (!group->out)
		return stoa_fail(-EBADF, "that group wasn't opened to publish");
	if (bytes > group->message_bytes)
		return stoa_fail(-EMSGSIZE,
		                 "a message of %zu bytes is more than the %u "
		                 "that were agreed on for this group",
		                 bytes, group->message_bytes);
	if (group->owner != stoa_sys_getpid())
		result = take_identity(group); /* a forked child */
	if (result < 0)
		return result;
	group->sequence++;
	struct packet packet = own_packet(group);
	uint32_t room = group->packet_bytes - PACKET_HEADER -
	                (uint32_t)group->topic_bytes;
	packet.bytes = (uint32_t)bytes;
	packet.chunk = room;
	do {
		uint32_t left = packet.bytes - packet.offset;
		uint32_t now = left < room ? left : room;

		result = send_fragment(group, &packet,
		                       from ? from + packet.offset : NULL, now,
		                       deadline);
		packet.offset += now;
	} while (result == 0 && packet.offset < packet.bytes);
	return result;
}

/* ---- Following publishers --------------------------------------------------------- */

static int same_address(const struct stoa_datagram_address *a,
                        const struct stoa_datagram_address *b)
{
	return a->kind == b->kind && a->port == b->port &&
	       memcmp(a->host, b->host, sizeof a->host) == 0;
}

static void begin_following(struct publisher *publisher,
                            const struct packet *packet,
                            const struct stoa_datagram_address *from)
{
	publisher->identity = packet->identity;
	publisher->from = *from;
	publisher->sequence = 0;
	/* Heard from the midst on, that message can't be had, nor is it lost
	 * to who wasn't there when it began. */
	publisher->expected = packet->sequence + (packet->offset != 0);
}

/* The publisher of the packet: followed from now on, if it wasn't. */
static struct publisher *follow(struct stoa_group *group,
                                const struct packet *packet,
                                const struct stoa_datagram_address *from)
{
	struct publisher *oldest = NULL, *found = NULL;

	for (uint32_t i = 0; i < group->publisher_count && !found; i++) {
		struct publisher *one = &group->publishers[i];

		if (one->identity == packet->identity &&
		    same_address(&one->from, from))
			found = one;
		else if (!oldest || one->heard < oldest->heard)
			oldest = one;
	}
	if (!found) {
		found = oldest;
		begin_following(found, packet, from);
	}
	found->heard = ++group->heard;
	return found;
}

static void count_lost(struct stoa_group *group, struct publisher *publisher,
                       uint64_t sequence)
{
	if (!STOA_BUG(119))
		group->lost += sequence - publisher->expected;
	publisher->expected = sequence;
}

/* ---- Putting together --------------------------------------------------------------- */

static uint32_t fragments_of(uint32_t bytes, uint32_t chunk)
{
	return bytes <= chunk ? 1 : (bytes - 1) / chunk + 1;
}

/* Room for that message. 0; -ENOMEM. */
static int begin_message(struct publisher *publisher,
                         const struct packet *packet)
{
	uint32_t fragments = fragments_of(packet->bytes, packet->chunk);
	size_t needed = (size_t)packet->bytes + fragments / 8 + 1;

	publisher->sequence = 0;
	if (needed > publisher->room) {
		char *more = malloc(needed);

		if (!more)
			return stoa_fail(-ENOMEM, "no memory for a message of "
			                          "%u bytes of a group",
			                 packet->bytes);
		free(publisher->data);
		publisher->data = more;
		publisher->room = needed;
	}
	publisher->have = (uint8_t *)publisher->data + packet->bytes;
	memset(publisher->have, 0, fragments / 8 + 1);
	publisher->sequence = packet->sequence;
	publisher->bytes = packet->bytes;
	publisher->chunk = packet->chunk;
	publisher->missing = fragments;
	return 0;
}

/* 1: the message is whole. 0: not yet. */
static int add_fragment(struct publisher *publisher,
                        const struct packet *packet)
{
	uint32_t number = packet->bytes <= packet->chunk ?
	                          0 :
	                          packet->offset / packet->chunk;
	uint8_t bit = (uint8_t)(1u << number % 8);

	if (packet->bytes != publisher->bytes ||
	    packet->chunk != publisher->chunk)
		return 0; /* not what the first one said */
	if (publisher->have[number / 8] & bit)
		return 0; /* came twice */
	publisher->have[number / 8] |= bit;
	if (packet->data_bytes)
		memcpy(publisher->data + packet->offset, packet->data,
		       packet->data_bytes);
	return --publisher->missing == 0;
}

/* 1: a message is whole; 0: not yet, or nothing to it; -ENOMEM. */
static int take_packet(struct stoa_group *group, const struct packet *packet,
                       const struct stoa_datagram_address *from)
{
	struct publisher *publisher = follow(group, packet, from);

	/* Late, twice, or not to be believed. */
	if (packet->sequence < publisher->expected ||
	    packet->sequence - publisher->expected > GAP_MOST)
		return 0;
	if (packet->closes) {
		count_lost(group, publisher, packet->sequence);
		publisher->sequence = 0;
		return 0;
	}
	if (packet->sequence < publisher->sequence)
		return 0; /* of one that was given up */
	if (packet->sequence != publisher->sequence) {
		int result = begin_message(publisher, packet);

		if (result < 0)
			return result;
	}
	if (!add_fragment(publisher, packet))
		return 0;
	count_lost(group, publisher, packet->sequence);
	publisher->expected++;
	group->whole = publisher;
	group->message = (struct stoa_group_message){
		.bytes = publisher->bytes,
		.publisher = publisher->identity,
		.sequence = publisher->sequence,
		.lost = group->lost - group->told,
		.from = publisher->from,
	};
	publisher->sequence = 0;
	return 1;
}

/* ---- Receiving ---------------------------------------------------------------------- */

/* One packet from the network. As take_packet; -errno of the socket. */
static int receive_packet(struct stoa_group *group,
                          struct stoa_deadline deadline)
{
	struct stoa_datagram_message message;
	struct packet packet;
	ssize_t got = stoa_datagram_receive(group->in, group->packet,
	                                    sizeof group->packet, deadline,
	                                    &message);

	if (got < 0)
		return (int)got;
	if (stoa_packet_read(group->packet, (size_t)got, group->message_bytes,
	                     &packet) < 0 ||
	    packet.topic_bytes != group->topic_bytes ||
	    memcmp(packet.topic, group->topic, group->topic_bytes) != 0)
		return 0;
	return take_packet(group, &packet, &message.from);
}

static ssize_t give(struct stoa_group *group, void *buffer, size_t room,
                    struct stoa_group_message *ret_message)
{
	*ret_message = group->message;
	if (group->message.bytes > room)
		return stoa_fail(-EMSGSIZE,
		                 "a message of %zu bytes came, and there was "
		                 "room for %zu; it can be received with more",
		                 group->message.bytes, room);
	if (group->message.bytes)
		memcpy(buffer, group->whole->data, group->message.bytes);
	group->whole = NULL;
	group->told = group->lost;
	return (ssize_t)group->message.bytes;
}

ssize_t stoa_group_receive(struct stoa_group *group, void *buffer, size_t room,
                           struct stoa_deadline deadline,
                           struct stoa_group_message *ret_message)
{
	if (!group->in)
		return stoa_fail(-EBADF, "that group wasn't opened to receive");
	for (uint32_t passed_over = 0; !group->whole; passed_over++) {
		int result = receive_packet(group, deadline);

		if (result < 0)
			return result;
		if (result > 0)
			break;
		if (deadline.kind == STOA_DEADLINE_NOW ?
		            passed_over >= PASSED_OVER_MOST :
		            stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
	}
	return give(group, buffer, room, ret_message);
}
