/* SPDX-License-Identifier: MIT */
/*
 * kernel/group_layout.h: the packets of messages to a group. One datagram of UDP
 * each; numbers are big-endian.
 *
 *    0  4  magic "stoG"
 *    4  1  version, 1
 *    5  1  flags: 1, the publisher closes; `sequence` is what would come next
 *    6  1  bytes of the topic's name, 1 to 200
 *    7  1  zero
 *    8  8  identity of the publisher, by chance; not 0
 *   16  8  sequence of the message, from 1
 *   24  4  bytes of the whole message
 *   28  4  offset of this fragment, a multiple of `chunk`
 *   32  4  chunk: bytes of each fragment but the last
 *   36     the topic's name, and then the fragment: all the rest of the packet
 *
 * The receiver holds no packet for true before all of this has been checked,
 * and each against the others: group_packet.c.
 */
#ifndef STOA_KERNEL_GROUP_LAYOUT_H
#define STOA_KERNEL_GROUP_LAYOUT_H

#define PACKET_MAGIC "stoG"
#define PACKET_VERSION 1
#define PACKET_CLOSES 1
#define PACKET_HEADER 36
#define PACKET_MOST 65507
/* Of messages in several: so bitmaps of fragments stay small. */
#define PACKET_CHUNK_LEAST 64

#endif
