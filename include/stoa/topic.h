/* SPDX-License-Identifier: MIT */
/*
 * stoa/topic.h: publish and subscribe: what is published to a topic, every
 * subscriber sees.
 *
 * Use it to tell many. (For messages that one of several receivers is to get
 * see queue; for bytes without borders stream.) Any number of publishers and
 * subscribers, threads and processes alike; a handle opened with STOA_READ is
 * one subscriber, and sees each message from when it was opened, or from where
 * stoa_topic_seek() has put it.
 *
 * Order: one order for the whole topic, the same for all subscribers; in it
 * each publisher's messages stand as it published them. A message's place is
 * decided by the commit, not by the reservation; it is its `sequence`, which
 * counts from 0 without gaps.
 *
 * What happens when a subscriber is too slow is chosen when the topic is made:
 *   STOA_TOPIC_WAIT       publishers wait until the slowest living subscriber
 *                         has room. Nobody loses anything. A stopped process
 *                         lives; a dead one is asked about, and not waited for.
 *   STOA_TOPIC_OVERWRITE  the oldest is overwritten. Publishers never wait for
 *                         subscribers, living, stopped or dead; whoever was too
 *                         slow is told how many it has lost, exactly.
 *
 * A publisher writes nothing for any subscriber: its cost doesn't depend on how
 * many there are, unless some of them sleep (one system call for all).
 *
 * Subscribers have the messages mapped read-only, through a descriptor that is
 * open for reading alone, so that no mprotect() makes them writable.
 *
 * Death: a publish takes effect at one instant. A publisher killed before it
 * leaves nothing that anybody sees or waits for, whatever it had reserved; one
 * stopped before it holds up nobody. A subscriber's death frees what it held.
 *
 *   who may run at once     publish  receive  take/release  latest  stat  close
 *   any thread or process      -        -          -          -      -      X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *   Threads that receive through one handle share its messages among them. A
 *   handle that publishes and subscribes waits for itself, too.
 *
 * Limits: capacity 1 .. 2^24 messages, message 0 .. 1 GiB, 65,472 handles at
 * once, 64 messages taken at once by one handle. Memory: a cell (128 bytes,
 * unless inline_bytes asks for more) for each message of capacity, an eighth
 * more, rounded up to a power of two, and total_bytes. Messages over the
 * cell's room occupy a slot of max_message_bytes. Fork: the child may use the
 * handle, as itself: it is a subscriber of its own, from where the parent's
 * handle was; what the parent has taken or reserved stays the parent's. Not
 * async-signal-safe; no cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the topic was removed
 * (stoa_topic_remove, stoa rm --wake); -EUCLEAN its shared memory can't be
 * true; -EIO its file was truncated (needs stoa_guard); -EBADF the handle was
 * not opened for this; -EUSERS too many handles. With a deadline: -EAGAIN
 * (STOA_NOW), -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_TOPIC_H
#define STOA_TOPIC_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_TOPIC_INLINE 112 /* bytes of payload in a cell, at least */
#define STOA_TOPIC_LOANS 64   /* taken and not released, of one handle */

struct stoa_topic;

enum stoa_topic_overrun { STOA_TOPIC_WAIT = 0, STOA_TOPIC_OVERWRITE = 1 };

/* How a topic is made. Zero fields take the default. */
struct stoa_topic_attributes {
	uint32_t size;    /* sizeof this struct */
	uint32_t overrun; /* enum stoa_topic_overrun */
	uint64_t capacity;          /* messages kept, at least; default 1,024 */
	uint64_t max_message_bytes; /* default 65,536 */
	/* Payloads up to so many bytes stand in the cells; default 112, at most
	 * 4,080. The cell is the next power of two. */
	uint64_t inline_bytes;
	/* Room for larger ones, each in a slot of max_message_bytes; at least
	 * two. Of these, too, only so many are kept. Default: `capacity` of
	 * them, but at most 16 MiB, or 4 if that is more. */
	uint64_t total_bytes;
	uint64_t reserved[4]; /* zero */
};

/* A message that was received, taken or reserved. */
struct stoa_topic_message {
	void *data; /* reserve: to be written. take: to be read only */
	size_t bytes;
	size_t buffer_bytes; /* reserve: what was reserved */
	uint64_t sequence;
	uint64_t lost; /* messages lost to this handle just before this one */
	pid_t sender_pid;
	uint32_t cell; /* private: names the message until done with */
	uint64_t word; /* private */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the topic `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` NULL = all defaults, and ignored when the
 * topic exists). STOA_WRITE: to publish. STOA_READ: to subscribe, from the next
 * message on. Does not block. Users need read and write permission for either.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a topic, or of a layout this build doesn't
 * know; -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_topic_open(struct stoa_space *space, const char *name,
                             unsigned flags, mode_t mode,
                             const struct stoa_topic_attributes *attributes,
                             struct stoa_topic **ret_topic);

/* Unsubscribes, releases what was taken, drops what was reserved, and frees
 * the handle. NULL is fine. */
STOA_API void stoa_topic_close(struct stoa_topic *topic);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_topic_unlink(struct stoa_space *space, const char *name);

/* As IPC_RMID: removes the name if it is still this topic's, and everyone who
 * waits or calls from now on gets -EIDRM. */
STOA_API int stoa_topic_remove(struct stoa_topic *topic);

/* For stoa_wait_any and stoa_watch_once. */
STOA_API struct stoa_object *stoa_topic_object(struct stoa_topic *topic);

/* ---- Publish ------------------------------------------------------------ */

/* Publishes `bytes` bytes at `data`. Blocks while there is no room: with
 * STOA_TOPIC_WAIT until the slowest living subscriber has received or released
 * enough; with STOA_TOPIC_OVERWRITE only while every place is reserved. What
 * is published is visible to subscribers before this returns (release; pairs
 * with receive). -EMSGSIZE: over the topic's maximum. */
STOA_API int stoa_topic_publish(struct stoa_topic *topic, const void *data,
                                size_t bytes, struct stoa_deadline deadline);

/* Lends room for `bytes` bytes of the topic's memory; the caller writes them at
 * ret_message->data and commits. Blocks while there is no room for the bytes. */
STOA_API int stoa_topic_reserve(struct stoa_topic *topic, size_t bytes,
                                struct stoa_deadline deadline,
                                struct stoa_topic_message *ret_message);

/* Publishes what was reserved, in time independent of its size; message->bytes
 * may have been lowered. Blocks while there is no place in the order, as
 * publish does; whatever it answers but 0 and -ESTALE, the reservation stands.
 * -EMSGSIZE: bytes were raised. -ESTALE: not reserved by this handle. */
STOA_API int stoa_topic_commit(struct stoa_topic *topic,
                               const struct stoa_topic_message *message,
                               struct stoa_deadline deadline);

/* Drops what was reserved. -ESTALE. */
STOA_API int stoa_topic_cancel(struct stoa_topic *topic,
                               const struct stoa_topic_message *message);

/* ---- Subscribe ---------------------------------------------------------- */

/*
 * Receives the next message into `buffer`; returns its size. Blocks while there
 * is none. `ret_message` (may be NULL) gets sequence, sender and the number
 * lost just before it, with data = buffer. On failure the buffer's bytes are
 * undefined. -EMSGSIZE: the message is larger than the buffer; it stays the
 * next one, and ret_message->bytes says how large it is (the one output
 * written on failure).
 */
STOA_API ssize_t stoa_topic_receive(struct stoa_topic *topic, void *buffer,
                                    size_t buffer_bytes,
                                    struct stoa_deadline deadline,
                                    struct stoa_topic_message *ret_message);

/*
 * Takes the next message without copying: ret_message->data points into the
 * topic, and may be read until released. With STOA_TOPIC_WAIT it is pinned:
 * publishers wait for its release. With STOA_TOPIC_OVERWRITE it is not: it may
 * be overwritten while it's being read, and release says whether it was; what
 * was read until then must not be believed before. -EMFILE: STOA_TOPIC_LOANS
 * are out.
 */
STOA_API int stoa_topic_take(struct stoa_topic *topic,
                             struct stoa_deadline deadline,
                             struct stoa_topic_message *ret_message);

/* 0: the message is done with, and all that was read of it was the message.
 * -EOVERFLOW: done with, but it was overwritten meanwhile: what was read may
 * be garbage. -ESTALE: not taken by this handle, or released already. */
STOA_API int stoa_topic_release(struct stoa_topic *topic,
                                const struct stoa_topic_message *message);

/* Copies the newest message, whatever this handle has received; its place in
 * the order stays where it is. Returns its size. Needs STOA_READ. -ENOMSG:
 * nothing was published, or all that was has been overwritten. -EMSGSIZE: as
 * receive. Does not block. */
STOA_API ssize_t stoa_topic_latest(struct stoa_topic *topic, void *buffer,
                                   size_t buffer_bytes,
                                   struct stoa_topic_message *ret_message);

enum stoa_topic_place {
	STOA_TOPIC_NEXT = 0,   /* what will be published from now on */
	STOA_TOPIC_OLDEST = 1, /* the oldest that is kept */
	STOA_TOPIC_LAST = 2    /* the newest that is kept, if there is one */
};

/* Goes on from there. Nothing counts as lost. -EINVAL: no such place. -EBUSY:
 * messages are taken and not released. */
STOA_API int stoa_topic_seek(struct stoa_topic *topic,
                             enum stoa_topic_place place);

/* ---- Inspect and be told ------------------------------------------------- */

struct stoa_topic_stat {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t overrun;
	uint64_t capacity, max_message_bytes, inline_bytes, total_bytes;
	uint64_t published; /* ever: the next message's sequence */
	uint64_t oldest;    /* sequence of the oldest that is kept */
	uint64_t reserved;  /* not committed yet */
	uint64_t lag;  /* of the slowest subscriber, in messages: at most an
	                  eighth of capacity more than it is */
	uint64_t lost; /* by subscribers that are there */
	uint64_t messages_in, bytes_in, messages_out, bytes_out;
	uint32_t publishers, subscribers; /* living handles */
	uint32_t publishers_waiting, subscribers_waiting;
	uint32_t users;
	pid_t slowest_pid; /* 0: nobody lags */
	int64_t created_ns; /* CLOCK_REALTIME */
	pid_t creator_pid;
	uint64_t generation;
};

/* Each number is true of some moment during the call. */
STOA_API int stoa_topic_stat(struct stoa_topic *topic,
                             struct stoa_topic_stat *ret_stat);

/* What this handle has lost since it was opened. */
STOA_API int stoa_topic_lost(struct stoa_topic *topic, uint64_t *ret_lost);

/*
 * A descriptor for poll and epoll that is readable while there is a message for
 * this handle (STOA_READ), or while the topic has room (STOA_WRITE).
 * Level-triggered: it falls back when a receive (publish) with STOA_NOW has
 * answered -EAGAIN. It may be readable once too often, never once too seldom.
 * Owned by the handle, close-on-exec, good in this process only.
 */
STOA_API int stoa_topic_pollfd(struct stoa_topic *topic, unsigned direction);

/* ---- Many topics by pattern ---------------------------------------------- */

struct stoa_topic_set;

/*
 * Subscribes to all topics of the space whose names match the shell pattern
 * (`prices.*`: see glob(7)), and to those that come later, as soon as they are
 * noticed (at the latest when somebody next receives or waits). Topics that are
 * there already are read from their next message on, later ones from their
 * oldest. One that is removed is dropped from the set. A topic that may not be
 * opened is left out. One thread at a time may use a set; it's good in the
 * process that opened it. -EINVAL: no pattern. -EMFILE, -ENOMEM.
 */
STOA_API int stoa_topic_set_open(struct stoa_space *space, const char *pattern,
                                 unsigned flags,
                                 struct stoa_topic_set **ret_set);
STOA_API void stoa_topic_set_close(struct stoa_topic_set *set);

/*
 * Receives the next message of any of the topics, as stoa_topic_receive() does.
 * Topics with messages take turns; between messages of different topics there
 * is no order. `*ret_name` (ret_name may be NULL) is the topic's name, good
 * until the set's next call.
 */
STOA_API ssize_t stoa_topic_set_receive(struct stoa_topic_set *set,
                                        void *buffer, size_t buffer_bytes,
                                        struct stoa_deadline deadline,
                                        struct stoa_topic_message *ret_message,
                                        const char **ret_name);

/* How many topics are in it now. */
STOA_API int stoa_topic_set_count(struct stoa_topic_set *set);

/* As stoa_topic_pollfd(): readable while one of the topics is, and when there
 * may be a new one. */
STOA_API int stoa_topic_set_pollfd(struct stoa_topic_set *set);

#ifdef __cplusplus
}
#endif
#endif
