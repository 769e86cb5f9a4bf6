/* SPDX-License-Identifier: MIT */
/*
 * stoa/datagram.h: datagrams: messages that arrive whole, between processes by
 * name in a space (UNIX), and between machines (UDP: to one, to all by broadcast,
 * to a group by multicast; IPv4 and IPv6); and sequenced packets, which are
 * messages over a connection.
 *
 * Use it for what sockets are for: other machines, programs that speak no stoa.
 * (Within a machine queue, topic and port are faster and lose nothing.)
 *
 *                        arrive          in order   who waits when it's full
 *   datagram, by name    all             yes        the sender, by the deadline
 *   packets, by name     all             yes        the sender, by the deadline
 *   UDP                  or not          mostly     nobody: the kernel drops
 *
 * A datagram is never cut: one that has no room at the receiver is -EMSGSIZE,
 * which says the size, and stays where it is for a larger buffer. An empty one
 * is a datagram as any other.
 *
 * Addresses, as text: "box" is a name in the space; "udp:192.0.2.1:5000",
 * "udp:[2001:db8::1]:5000", "udp:[fe80::1%eth0]:5000" are UDP; as the address of
 * one's own, "udp:*:5000" and "udp:[*]:5000" take what comes to any of the
 * machine's, and port 0 takes a port that is free. Hosts are numbers:
 * resolving names would wait without a deadline.
 *
 * Death: what was sent is the receiver's; when he dies it is gone with him, and
 * senders get -ECONNREFUSED (by name). A name that the dead left is taken over
 * by the next who opens it.
 *
 *   who may run at once     send   receive   join, leave   close
 *   threads                   -       -           -           X
 *   processes (forked)        -       *           -           -
 *   (- free; X the caller sees to it that nobody else uses that handle; * each
 *    gets some, and one that finds too large a datagram may lose it)
 *
 * Fork: the child has the same socket; its stoa_datagram_close() leaves the
 * name. Not async-signal-safe. No SIGPIPE. Descriptors: one for a handle.
 *
 * Errors of all that can wait: -EAGAIN (STOA_NOW), -ETIMEDOUT; -EINTR
 * (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_DATAGRAM_H
#define STOA_DATAGRAM_H

#include <stoa/space.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_DATAGRAM_UDP_MAX 65507 /* bytes, over IPv4 */

struct stoa_datagram;

enum stoa_datagram_kind {
	STOA_DATAGRAM_NONE = 0, /* a sender without an address */
	STOA_DATAGRAM_NAME = 1, /* in a space */
	STOA_DATAGRAM_UDP4 = 4,
	STOA_DATAGRAM_UDP6 = 6
};

struct stoa_datagram_address {
	uint16_t kind; /* enum stoa_datagram_kind */
	uint16_t port;
	uint32_t interface; /* index; of UDP6 link-local addresses; 0: none */
	uint8_t host[16];   /* in network order; of UDP4 the first 4 */
	char name[STOA_NAME_MAX + 1];
};

#define STOA_DATAGRAM_TEXT_MAX 256

/* Reads an address as above. -EINVAL. -ENODEV: no such interface. */
STOA_API int stoa_datagram_parse(const char *text,
                                 struct stoa_datagram_address *ret_address);

/* Writes it so; returns text. */
STOA_API const char *
stoa_datagram_print(const struct stoa_datagram_address *address,
                    char text[STOA_DATAGRAM_TEXT_MAX]);

/* 1: a multicast group; 0: not. */
STOA_API int
stoa_datagram_is_group(const struct stoa_datagram_address *address);

/* How a socket is opened. Zero fields take the default. */
struct stoa_datagram_attributes {
	uint32_t size;       /* sizeof this struct */
	uint32_t broadcast;  /* 1: may send to broadcast addresses */
	uint64_t room_bytes; /* of what has come and wasn't received yet; the
	                        kernel may grant less */
	const char *interface; /* "eth0": groups are joined, and sent to, there;
	                          NULL: where the kernel's routes lead */
	uint32_t ttl;   /* of multicast: machines on the way; default 1 */
	uint32_t loop;  /* STOA_DATAGRAM_LOOP_* */
	uint64_t reserved[4]; /* zero */
};

/* Whether what is sent to a group comes to this machine's members, too. */
enum { STOA_DATAGRAM_LOOP = 0, STOA_DATAGRAM_NO_LOOP = 1 };

/* ---- Lifecycle ------------------------------------------------------------- */

/*
 * Opens a socket.
 *   STOA_READ   under `address`, to receive (and to send from): a name in the
 *               space (a socket "box.datagram/socket" with that mode, exactly,
 *               to which others may send by that path), a UDP address of this
 *               machine, or a group and port, which are joined: several on one
 *               machine may be members, and each gets what comes to that
 *               group, and nothing else.
 *   STOA_WRITE  only: to send. `address` is where to, unless a send says
 *               otherwise; NULL: sends say, by name.
 * With STOA_INTERRUPTIBLE waits end on a signal. With STOA_AWAIT, who sends to a
 * name that nobody has waits for somebody to. `space` may be NULL for UDP.
 * Does not block. The caller closes *ret_datagram.
 *
 * -EADDRINUSE: somebody has the name or the port. -EADDRNOTAVAIL: not an
 * address of this machine. -EEXIST: the name is something else's. -ENODEV: no
 * such interface. -EINVAL: address, flags, attributes. -EBUSY: cleaners
 * took what was in the making, eight times. -EAFNOSUPPORT, -EACCES, -ENOSPC, -ENOMEM, -EMFILE.
 */
STOA_API int
stoa_datagram_open(struct stoa_space *space, const char *address,
                   unsigned flags, mode_t mode,
                   const struct stoa_datagram_attributes *attributes,
                   struct stoa_datagram **ret_datagram);

/* Closes, and takes the name away. NULL is fine. */
STOA_API void stoa_datagram_close(struct stoa_datagram *datagram);

/* The socket's own address: the port that was free, the name. */
STOA_API int
stoa_datagram_own_address(struct stoa_datagram *datagram,
                          struct stoa_datagram_address *ret_address);

/* ---- Sequenced packets ------------------------------------------------------ */

/* Listens as "name.packet" in the space. Flags: 0 or STOA_INTERRUPTIBLE. Errors
 * as stoa_datagram_open. */
STOA_API int stoa_datagram_listen(struct stoa_space *space, const char *name,
                                  unsigned flags, mode_t mode,
                                  struct stoa_datagram **ret_listener);

/* Waits for one who connects. -EMFILE, -ENFILE, -ENOMEM; -EINVAL: that isn't a
 * listener. */
STOA_API int stoa_datagram_accept(struct stoa_datagram *listener,
                                  struct stoa_deadline deadline,
                                  struct stoa_datagram **ret_datagram);

/* Connects to "name.packet", waiting while too many are in line, and, with
 * STOA_AWAIT, for one who listens. Flags: those, and STOA_INTERRUPTIBLE. -EACCES;
 * without STOA_AWAIT, -ENOENT; -ECONNREFUSED: nobody listens any more. */
STOA_API int stoa_datagram_connect(struct stoa_space *space, const char *name,
                                   unsigned flags, struct stoa_deadline deadline,
                                   struct stoa_datagram **ret_datagram);

/* ---- Use -------------------------------------------------------------------- */

/*
 * Sends one datagram to `to`; NULL: where the handle says, or its connection.
 * Waits while the receiver's queue (by name), or this socket's, is full.
 *
 * -EMSGSIZE: larger than such a socket sends. -EDESTADDRREQ: no `to`, and the
 * handle says none. -ENOENT: no such name. -ECONNREFUSED: its receiver is dead
 * (neither with STOA_AWAIT: the send waits; -ENOSPC: no watches are left);
 * UDP, where the handle says where to: nobody listened, of one sent before.
 * -EPIPE: the connection's other end is closed. -EACCES: a broadcast address
 * without `broadcast`; a name that this user may not send to. -EAFNOSUPPORT: an
 * address of another kind than the socket's. -ENETUNREACH, -EHOSTUNREACH,
 * -EPERM (a firewall), -ENOBUFS, -ENOMEM.
 */
STOA_API int stoa_datagram_send(struct stoa_datagram *datagram,
                                const struct stoa_datagram_address *to,
                                const void *data, size_t bytes,
                                struct stoa_deadline deadline);

/* What is known of a datagram. */
struct stoa_datagram_message {
	size_t bytes;
	struct stoa_datagram_address from; /* kind NONE: it has no address */
	struct stoa_datagram_address to;   /* UDP: what it was sent to, no port */
	uint32_t interface; /* UDP: index of that where it came in */
	uint32_t has_sender; /* not UDP: who sent it, as the kernel says */
	pid_t pid; /* in this process's PID namespace; 0: not visible in it */
	uid_t uid;
	gid_t gid;
};

/*
 * Receives one datagram into `buffer` and returns its size. `ret_message` may be
 * NULL. -EMSGSIZE: it doesn't fit; *ret_message says what it is, and it stays.
 * -EPIPE: the connection's other end is closed, and all it sent received.
 * -ECONNREFUSED: UDP, see stoa_datagram_send. -EBADF: opened to send by name.
 */
STOA_API ssize_t
stoa_datagram_receive(struct stoa_datagram *datagram, void *buffer,
                      size_t room, struct stoa_deadline deadline,
                      struct stoa_datagram_message *ret_message);

/* A descriptor for poll and epoll: readable when a datagram, or one who
 * connects, is there. The handle's own: not to be closed. */
STOA_API int stoa_datagram_pollfd(struct stoa_datagram *datagram);

/* ---- Groups ----------------------------------------------------------------- */

/* Takes part in another group, at the port of the handle, which must have been
 * opened STOA_READ at "*"; on `interface` (NULL: as opened). -EALREADY: does
 * already. -EINVAL: no group. -ENODEV, -ENOBUFS: too many groups. */
STOA_API int stoa_datagram_join(struct stoa_datagram *datagram,
                                const struct stoa_datagram_address *group,
                                const char *interface);

/* -ENOENT: takes no part in it. */
STOA_API int stoa_datagram_leave(struct stoa_datagram *datagram,
                                 const struct stoa_datagram_address *group,
                                 const char *interface);

#ifdef __cplusplus
}
#endif
#endif
