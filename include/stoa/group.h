/* SPDX-License-Identifier: MIT */
/*
 * stoa/group.h: messages under the name of a topic to a multicast group: one
 * sends, all members on the network hear it, and each knows what he lost.
 *
 * Use it to take a topic to other machines. (Within a machine topic is faster,
 * loses nothing unless asked to, and is read by who may; whoever is on the
 * network may hear a group, and send to it.)
 *
 * A message of more than one packet's bytes goes in fragments. Networks lose
 * packets: a message of which one is lost is lost. Each publisher numbers its
 * messages under an identity of its own, made by chance when it opens; so a
 * subscriber counts what it lost of each publisher, from the first that it
 * heard. One that starts again is another publisher. Messages of one publisher
 * come in order; one that the network let others overtake counts as lost. The
 * last ones that were lost are counted when a publisher closes, or publishes
 * again; a killed one says nothing.
 *
 *   who may run at once      publish   receive   close
 *   on one handle               X         X        X
 *   (X the caller sees to it that nobody else uses that handle)
 *
 * Fork: a child that publishes is another publisher. Limits: a message, 64 KiB
 * if not set otherwise, at most 16 MiB; the publishers that a subscriber follows
 * at once, 64 if not set; beyond them the one longest not heard is forgotten.
 * Memory: for each followed, the largest message it sends. What comes from the
 * network is foreign: whatever isn't a sound packet of this topic is passed over.
 * There is no secrecy, and nothing proves who sent: not for networks that
 * strangers are on. Not async-signal-safe.
 *
 * Errors of all that can wait: -EAGAIN (STOA_NOW), -ETIMEDOUT; -EINTR
 * (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_GROUP_H
#define STOA_GROUP_H

#include <stoa/datagram.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_GROUP_MESSAGE_MAX (16u << 20) /* bytes */

struct stoa_group;

/* How a group is opened. Zero fields take the default. */
struct stoa_group_attributes {
	uint32_t size;          /* sizeof this struct */
	uint32_t message_bytes; /* of the largest message; default 65,536 */
	uint32_t packet_bytes;  /* of one packet, as UDP counts, 512 to 65,000;
	                           default 1,400 */
	uint32_t publishers;    /* followed at once; default 64, at most 65,536 */
	const char *interface;  /* as stoa_datagram_attributes has them */
	uint32_t ttl;
	uint32_t loop;
	uint64_t room_bytes;
	uint64_t reserved[4]; /* zero */
};

/*
 * Opens the group `address` ("udp:239.1.2.3:5000") for messages of `topic` (a
 * name as objects have): STOA_READ to receive, STOA_WRITE to publish, or both.
 * With STOA_INTERRUPTIBLE waits end on a signal. Does not block. The caller
 * closes *ret_group. -EINVAL: no group, no name, flags, attributes; and as
 * stoa_datagram_open.
 */
STOA_API int stoa_group_open(const char *address, const char *topic,
                             unsigned flags,
                             const struct stoa_group_attributes *attributes,
                             struct stoa_group **ret_group);

/* Says good-bye, so that others count what they lost, and closes. NULL is
 * fine. */
STOA_API void stoa_group_close(struct stoa_group *group);

/* Publishes. -EMSGSIZE: larger than `message_bytes`. -EBADF: not opened for it.
 * After a failure in the midst of a message's packets it is lost to all, who
 * count it. Else as stoa_datagram_send. */
STOA_API int stoa_group_publish(struct stoa_group *group, const void *data,
                                size_t bytes, struct stoa_deadline deadline);

struct stoa_group_message {
	size_t bytes;
	uint64_t publisher; /* its identity */
	uint64_t sequence;  /* among those of its publisher, from 1 */
	uint64_t lost;      /* since the message received before this */
	struct stoa_datagram_address from;
};

/*
 * Receives a message of any publisher and returns its size. -EMSGSIZE: there is
 * no room for it; *ret_message (not NULL) says its size, and it is received by
 * the next call. -EBADF: not opened for it. -ENOMEM.
 */
STOA_API ssize_t stoa_group_receive(struct stoa_group *group, void *buffer,
                                    size_t room, struct stoa_deadline deadline,
                                    struct stoa_group_message *ret_message);

/* What was lost in all, so far as is known. */
STOA_API uint64_t stoa_group_lost(const struct stoa_group *group);

/* Readable when a packet is there: receive with STOA_NOW until -EAGAIN. The
 * group's own. -EBADF: not opened to receive. */
STOA_API int stoa_group_pollfd(struct stoa_group *group);

#ifdef __cplusplus
}
#endif
#endif
