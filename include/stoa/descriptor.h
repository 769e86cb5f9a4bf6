/* SPDX-License-Identifier: MIT */
/*
 * stoa/descriptor.h: passing open descriptors from process to process, with a
 * payload: over a pair of sockets, or by name in a space; and sealed memory
 * for pairs that distrust each other.
 *
 * Use it for what only the kernel can hand over: an open file, a listening
 * socket, a memfd. (For bytes see queue and stream; for memory that all of a
 * space may see, segment.)
 *
 * A message is any number of descriptors and a payload. It goes in rounds, as
 * the kernel passes at most 253 descriptors and a limited number of bytes at
 * once; it is received whole or not at all: on any failure what had come of it
 * is closed, and the next receive begins with the next message. Received
 * descriptors are close-on-exec. Descriptors that the sender passed without
 * saying so, or not as it said, are closed: -EBADMSG.
 *
 * Who the other is, is what the kernel says, and not what he says.
 *
 * Death: a message of one round (at most 253 descriptors and 64 KiB less 64
 * bytes) is sent at one instant. Of one of several rounds whose sender is killed
 * in between the receiver gets -EPIPE and nothing. An offer is fetched when the
 * fetcher's acknowledgement is in the offerer's socket, which is one instant
 * for both: whoever is killed before it has fetched nothing, and doesn't count.
 *
 *   who may run at once          send   receive  serve  withdraw
 *   threads and processes          -       -       X       X
 *   (- free, if messages are of one round; else one at a time at each end.
 *    X the caller sees to it that nobody else uses that handle)
 *
 * Fork: the child inherits sockets as any descriptor; a child's
 * stoa_descriptor_withdraw() closes its own only, and leaves the name. As long
 * as a child has an offer's socket, the name counts as somebody's.
 *
 * Limits: descriptors of a message: the receiver's RLIMIT_NOFILE; under way at
 * once, of one user: the sender's (-ETOOMANYREFS). Payload: memory. Not
 * async-signal-safe. No SIGPIPE.
 *
 * Errors of all that can wait: -EAGAIN (STOA_NOW), -ETIMEDOUT; -EINTR with
 * STOA_INTERRUPTIBLE.
 */
#ifndef STOA_DESCRIPTOR_H
#define STOA_DESCRIPTOR_H

#include <stoa/space.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_DESCRIPTOR_ROUND 253 /* descriptors that go at one instant */

/* Who is at the other end, as the kernel says. */
struct stoa_descriptor_peer {
	pid_t pid; /* in this process's PID namespace; 0: not visible in it */
	uid_t uid;
	gid_t gid;
};

/* What a message has, or had. */
struct stoa_descriptor_message {
	size_t descriptors, bytes;
	struct stoa_descriptor_peer sender;
};

/* ---- Over sockets --------------------------------------------------------- */

/*
 * Two connected sockets (SOCK_SEQPACKET, close-on-exec): what is sent to one is
 * received from the other. One is for a child, which inherits it. The caller
 * closes them. -EMFILE, -ENFILE, -ENOMEM.
 */
STOA_API int stoa_descriptor_pair(int ret_sockets[2]);

/*
 * Sends `count` descriptors and `bytes` bytes (either may be 0) over `socket`:
 * one of a pair, or any connected UNIX socket of type SOCK_SEQPACKET. The
 * descriptors stay open here. Waits while the other's socket is full, and, in
 * messages of several rounds, while too many descriptors are under way.
 *
 * On failure nothing of the message is ever received, except that who had begun
 * to wait for the rest of it goes on waiting, until another message comes.
 *
 * -EPIPE: the other end is closed. -EBADF: one of the descriptors is none.
 * -ETOOMANYREFS: too many of this user's are under way, and those of this
 * socket are none of them. -EPROTOTYPE: not a socket (that it is of another
 * type is told by receiving). -EINVAL: more than 2^31 descriptors. -ENOTCONN,
 * -ENOMEM, -ENOBUFS.
 */
STOA_API int stoa_descriptor_send(int socket, const int *descriptors,
                                  size_t count, const void *data, size_t bytes,
                                  struct stoa_deadline deadline);

/*
 * Receives a message: up to `most` descriptors into `ret_descriptors`, up to
 * `room` bytes into `ret_data` (whose content is undefined after a failure).
 * How many of each it was is in *ret_message (not NULL); the caller closes the
 * descriptors. Returns the number of bytes.
 *
 * -EMSGSIZE: it has more than there is room for; it is gone, its descriptors
 * closed; *ret_message says what it would have taken. (To know before:
 * stoa_descriptor_peek.) So is one of several rounds whose last ones weren't
 * there by the deadline, also STOA_NOW. -EMFILE: this process can't have so many descriptors;
 * gone, too. -EPIPE: the other end is closed, and all it had sent received.
 * -EBADMSG: not a message, or not what its header says. -EPROTOTYPE, -ENOTCONN.
 */
STOA_API ssize_t stoa_descriptor_receive(
        int socket, int *ret_descriptors, size_t most, void *ret_data,
        size_t room, struct stoa_deadline deadline,
        struct stoa_descriptor_message *ret_message);

/* Waits for a message and says what it has, without receiving it; the sender
 * is not known yet (zeros). Errors as stoa_descriptor_receive. */
STOA_API int stoa_descriptor_peek(int socket, struct stoa_deadline deadline,
                                  struct stoa_descriptor_message *ret_message);

/* Who made the other end of a connected UNIX socket, or listened for it. */
STOA_API int stoa_descriptor_peer(int socket,
                                  struct stoa_descriptor_peer *ret_peer);

/* The same as a pidfd (close-on-exec), which can mean no other process later.
 * -ENOPROTOOPT: a kernel before Linux 6.5. -ESRCH: it is gone already. */
STOA_API int stoa_descriptor_peer_pidfd(int socket);

/* ---- By name -------------------------------------------------------------- */

struct stoa_offer;

/* How descriptors are offered. Zero fields take the default. */
struct stoa_offer_attributes {
	uint32_t size;      /* sizeof this struct */
	uint32_t count;     /* how often they may be fetched; 0: no limit */
	int64_t patience_ns; /* that each fetcher is given; default 5 s */
	/* 1: he may have them; 0: not. NULL: whoever may write the socket. */
	int (*admit)(const struct stoa_descriptor_peer *peer, void *context);
	void *context;
	uint64_t reserved[4]; /* zero */
};

/*
 * Offers descriptors and a payload under `name` in the space: a socket
 * "name.offer/socket", whose `mode` (set exactly, whatever the umask) says who
 * may fetch. Descriptors are duplicated and the payload copied: the caller may close
 * his own. A name that a dead process left is taken over. Flags:
 * STOA_INTERRUPTIBLE or 0. Does not block. Fetchers wait until they are served:
 * see stoa_descriptor_serve.
 *
 * -EADDRINUSE: somebody has the name. -EEXIST: something else is there. -EBUSY:
 * cleaners took what was in the making, eight times. -EINVAL: name, flags,
 * attributes. -EBADF, -EACCES, -ENOSPC, -ENOMEM, -EMFILE.
 */
STOA_API int stoa_descriptor_offer(
        struct stoa_space *space, const char *name, unsigned flags, mode_t mode,
        const struct stoa_offer_attributes *attributes, const int *descriptors,
        size_t count, const void *data, size_t bytes,
        struct stoa_offer **ret_offer);

/*
 * Waits by the deadline for a fetcher and serves it; who has come is given his
 * patience_ns, also with STOA_NOW. Returns how many more fetches there may be;
 * INT_MAX: no limit; 0: that was the last, and others are refused from now on.
 * Fetchers that went away, failed, or weren't admitted, and those with whom
 * patience ended, don't count. ret_peer: who it was; may be NULL.
 *
 * -ESHUTDOWN: it was fetched `count` times already. -ETOOMANYREFS as
 * stoa_descriptor_send; -EMFILE, -ENFILE, -ENOMEM: fetchers go on waiting.
 */
STOA_API int stoa_descriptor_serve(struct stoa_offer *offer,
                                   struct stoa_deadline deadline,
                                   struct stoa_descriptor_peer *ret_peer);

/* A descriptor that is readable while a fetcher waits; the offer's own. */
STOA_API int stoa_descriptor_offer_pollfd(struct stoa_offer *offer);

/* Takes the name away, closes and frees. NULL is fine. */
STOA_API void stoa_descriptor_withdraw(struct stoa_offer *offer);

/*
 * Fetches what is offered under `name`: as stoa_descriptor_receive, from
 * whoever offers it; ret_message->sender says who that is. Flags:
 * STOA_INTERRUPTIBLE; STOA_AWAIT: if nobody offers it, waits for somebody to.
 * After a failure the offer is as it was.
 *
 * Without STOA_AWAIT: -ENOENT: no such offer. -ECONNREFUSED: who offered it is
 * dead, or done. With it: -ENOSPC: this user has no more watches (inotify(7)).
 * -ECONNRESET: he went away, doesn't admit this process, or lost patience.
 * -EACCES; -EMSGSIZE, -EMFILE, -EBADMSG as stoa_descriptor_receive.
 */
STOA_API ssize_t stoa_descriptor_fetch(
        struct stoa_space *space, const char *name, unsigned flags,
        int *ret_descriptors, size_t most, void *ret_data, size_t room,
        struct stoa_deadline deadline,
        struct stoa_descriptor_message *ret_message);

/* ---- Memory for pairs that distrust each other ----------------------------- */

/*
 * Makes memory of `bytes` bytes that is passed by descriptor (close-on-exec; the
 * caller closes it). With `data`: a copy of it, sealed for good: nobody, not
 * this process either, can change, cut or lengthen it. With `data` NULL: zeros
 * that all who have it may write, but nobody can cut or lengthen; its memory is
 * there. -EINVAL: 0 bytes. -EFBIG, -ENOSPC, -ENOMEM, -EMFILE.
 */
STOA_API int stoa_descriptor_memory(const void *data, uint64_t bytes);

/*
 * Checks that `fd` is such memory, and maps all of it: with STOA_READ only if it
 * can't be changed any more; with STOA_READ | STOA_WRITE if it can't be cut. So
 * no load from it is ever a signal. More than `most` bytes are refused. The
 * caller unmaps by munmap(2), and may close `fd` before.
 *
 * -EPERM: the seals for that are missing. -EMEDIUMTYPE: not such memory.
 * -EFBIG. -EINVAL: flags. -EACCES: not open for that. -ENOMEM.
 */
STOA_API int stoa_descriptor_map(int fd, unsigned flags, uint64_t most,
                                 void **ret_address, uint64_t *ret_bytes);

#ifdef __cplusplus
}
#endif
#endif
