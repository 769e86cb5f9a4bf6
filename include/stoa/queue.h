/* SPDX-License-Identifier: MIT */
/*
 * stoa/queue.h: a bounded message queue between any number of senders and
 * receivers, threads and processes alike.
 *
 * Use it when each message is for one receiver. (For bytes without borders
 * see stream, for every subscriber seeing every message see topic.)
 *
 * Order is chosen when the queue is made:
 *   STOA_FIFO      first in, first out. Lock-free: a process stopped at any
 *                  instruction of a send, receive, take or acknowledge blocks
 *                  nobody else.
 *   STOA_PRIORITY  highest priority first, FIFO within one priority (POSIX).
 *                  Sends are lock-free (but who finds the queue at its limit
 *                  takes a turn, too); receivers take turns.
 *   STOA_TYPE      receivers may ask for types (System V). The same.
 *
 * Death: a send takes effect at one instant. A sender killed before it leaves
 * nothing; killed after, its message is whole and in the queue. A receive
 * takes effect at one instant too; the message is then in the receiver's
 * buffer. What a receiver has *taken* and not acknowledged comes back, in its
 * old place and with its delivery count raised, when the receiver dies or
 * closes the queue. A slow taker holds back only what it has taken.
 *
 *   who may run at once     send  receive  take/ack  peek  stat  close
 *   any thread or process     -      -        -       -     -      X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * Limits: capacity 1 .. 2^28 messages, message 0 .. 1 GiB, 65,472 handles at
 * once. Memory: 256 bytes for each message of capacity rounded up to a power
 * of two (96 more if ordered by priority or type), and total_bytes. Messages up to STOA_QUEUE_INLINE bytes
 * need nothing else. Fork: the child may use the handle, as itself; what the
 * parent has taken or reserved stays the parent's. Not async-signal-safe; no
 * cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the queue was removed
 * (stoa_queue_remove, stoa rm --wake); -EUCLEAN its shared memory can't be
 * true; -EIO its file was truncated (needs stoa_guard); -EBADF the handle was
 * not opened for this; -EUSERS too many handles. With a deadline: -EAGAIN
 * (STOA_NOW), -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_QUEUE_H
#define STOA_QUEUE_H

#include <signal.h>
#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_QUEUE_INLINE 80 /* bytes of payload beside the message's state */
#define STOA_QUEUE_PRIORITIES 32768
#define STOA_QUEUE_UNLIMITED UINT64_MAX

struct stoa_queue;

enum stoa_queue_order { STOA_FIFO = 0, STOA_PRIORITY = 1, STOA_TYPE = 2 };

/* How a queue is made. Zero fields take the default. */
struct stoa_queue_attributes {
	uint32_t size;  /* sizeof this struct */
	uint32_t order; /* enum stoa_queue_order */
	uint64_t capacity;          /* messages; default 1,024 */
	uint64_t max_message_bytes; /* default 65,536 */
	/* Room for payloads over STOA_QUEUE_INLINE bytes. A payload takes a run
	 * of 256-byte pieces within one 4 KiB block, or, over 3 KiB, a run of
	 * blocks. Default: twice `capacity` of the largest, so that any mixture
	 * finds room whatever the gaps; but at most 16 MiB, or twice 4 of the
	 * largest if that is more. */
	uint64_t total_bytes;
	/* At most so many bytes and messages in the queue at once, as
	 * msg_qbytes of System V; zero: STOA_QUEUE_UNLIMITED. With either of
	 * them the queue is one with limits, which alone may be changed by
	 * stoa_queue_set_limit(); it is ordered STOA_PRIORITY or STOA_TYPE. It
	 * never has more than 64 GiB in messages. Its memory is
	 * taken from the tmpfs as places and total_bytes are first used: a send
	 * may give -ENOSPC. */
	uint64_t limit_bytes;
	uint64_t limit_messages;
	uint64_t reserved[2]; /* zero */
	uint64_t label[2]; /* the maker's own: kept, and told by stat */
};

/* A message: what to send, or what was received. */
struct stoa_message {
	void *data;
	size_t bytes;
	size_t buffer_bytes; /* receive_many: room at data */
	int64_t type;        /* STOA_TYPE: 1 or more. Else kept as given */
	uint32_t priority;   /* STOA_PRIORITY: 0 .. 32767 */
	uint32_t deliveries; /* times it was taken and came back */
	uint64_t sequence;   /* grows with the order of sending; may have gaps */
	stoa_peer sender;
	pid_t sender_pid;
	uint32_t cell; /* private: names the message until acknowledged */
	uint64_t word; /* private */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the queue `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` NULL = all defaults, and ignored when the
 * queue exists). Does not block.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a queue, or of a layout this build doesn't
 * know; -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_queue_open(struct stoa_space *space, const char *name,
                             unsigned flags, mode_t mode,
                             const struct stoa_queue_attributes *attributes,
                             struct stoa_queue **ret_queue);

/* Gives back what the handle has taken, drops what it has reserved and its
 * notification, and frees it. NULL is fine. */
STOA_API void stoa_queue_close(struct stoa_queue *queue);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_queue_unlink(struct stoa_space *space, const char *name);

/* As IPC_RMID: removes the name if it is still this queue's, and everyone who
 * waits or calls from now on gets -EIDRM. */
STOA_API int stoa_queue_remove(struct stoa_queue *queue);

/* For stoa_wait_any and stoa_watch_once. */
STOA_API struct stoa_object *stoa_queue_object(struct stoa_queue *queue);

/* ---- Send --------------------------------------------------------------- */

/* Sends `bytes` bytes at `data`, priority 0, type 1. Blocks while there is no
 * room. A message sent is visible to receivers before this returns (release;
 * pairs with receive). -EMSGSIZE: over the queue's maximum. */
STOA_API int stoa_queue_send(struct stoa_queue *queue, const void *data,
                             size_t bytes, struct stoa_deadline deadline);

/* The same with message->priority or message->type. -EINVAL: priority over
 * 32,767, type under 1. */
STOA_API int stoa_queue_send_message(struct stoa_queue *queue,
                                     const struct stoa_message *message,
                                     struct stoa_deadline deadline);

/* Sends as many of the `count` messages as there is room for, in order, and
 * waits only for room for the first. Returns the number sent, 1 or more. */
STOA_API int stoa_queue_send_many(struct stoa_queue *queue,
                                  const struct stoa_message *messages,
                                  size_t count, struct stoa_deadline deadline);

/* Reserves room for `bytes` bytes in the queue; the caller writes them at
 * ret_message->data, sets priority or type, and commits. Its place among
 * concurrent messages is that of the reservation if nothing later was received
 * meanwhile. */
STOA_API int stoa_queue_reserve(struct stoa_queue *queue, size_t bytes,
                                struct stoa_deadline deadline,
                                struct stoa_message *ret_message);

/* Sends what was reserved; message->bytes may have been lowered. Does not
 * block. -EMSGSIZE: bytes were raised. -ESTALE: not reserved by this handle. */
STOA_API int stoa_queue_commit(struct stoa_queue *queue,
                               const struct stoa_message *message);

/* Drops what was reserved. -ESTALE. */
STOA_API int stoa_queue_cancel(struct stoa_queue *queue,
                               const struct stoa_message *message);

/*
 * From now on a send waits while the queue's messages and itself are more than
 * `messages`, or their bytes more than `bytes`. 0 lets nothing in (`bytes`: but
 * empty messages), STOA_QUEUE_UNLIMITED everything that there is room for.
 * What is in the queue already stays; who sleeps looks again. Does not block.
 *   What is taken or reserved counts, by the size that was reserved; what a
 * dead sender left does not. A send waits, or gets -EAGAIN, only if at some
 * moment of its call the queue was full; or if a receiver was stopped in the
 * midst of its turn.
 * -EINVAL: the queue was made without limits.
 */
STOA_API int stoa_queue_set_limit(struct stoa_queue *queue, uint64_t bytes,
                                  uint64_t messages);

/* ---- Receive ------------------------------------------------------------ */

enum stoa_selection {
	STOA_ANY = 0,    /* the queue's own order */
	STOA_EXACTLY = 1, /* oldest of this type */
	STOA_EXCEPT = 2, /* oldest of any other type */
	STOA_LOWEST = 3  /* oldest of the lowest type that is at most this */
};

/* Which message. NULL wherever it is asked for: STOA_ANY. Others need a queue
 * ordered STOA_TYPE and a type of 1 or more (else -EINVAL). */
struct stoa_selector {
	enum stoa_selection selection;
	int64_t type;
};

/*
 * Receives one message into `buffer`; returns its size. Blocks while there is
 * none. On failure the buffer's bytes are undefined. `ret_message` (may be NULL) gets type, priority, sequence, sender,
 * with data = buffer. -EMSGSIZE: the message is larger than the buffer; it
 * stays in the queue, and ret_message->bytes says how large it is (the one
 * output written on failure).
 */
STOA_API ssize_t stoa_queue_receive(struct stoa_queue *queue,
                                    const struct stoa_selector *selector,
                                    void *buffer, size_t buffer_bytes,
                                    struct stoa_deadline deadline,
                                    struct stoa_message *ret_message);

/* The same, but a message larger than the buffer is cut to it, in the same
 * step, and the rest of it is lost (MSG_NOERROR). Returns the message's whole
 * size, which may be more than buffer_bytes. */
STOA_API ssize_t stoa_queue_receive_cut(struct stoa_queue *queue,
                                        const struct stoa_selector *selector,
                                        void *buffer, size_t buffer_bytes,
                                        struct stoa_deadline deadline,
                                        struct stoa_message *ret_message);

/* Receives up to `count` messages, each into its message's data of
 * buffer_bytes; waits only for the first. Returns the number received. */
STOA_API int stoa_queue_receive_many(struct stoa_queue *queue,
                                     const struct stoa_selector *selector,
                                     struct stoa_message *messages,
                                     size_t count,
                                     struct stoa_deadline deadline);

/* Takes one message without copying: ret_message->data points into the queue
 * and may be read (not written) until acknowledged or returned. Until then
 * nobody else sees the message. */
STOA_API int stoa_queue_take(struct stoa_queue *queue,
                             const struct stoa_selector *selector,
                             struct stoa_deadline deadline,
                             struct stoa_message *ret_message);

/* The message is done with and gone. -ESTALE: not taken by this handle, or
 * already acknowledged or returned. */
STOA_API int stoa_queue_acknowledge(struct stoa_queue *queue,
                                    const struct stoa_message *message);

/* The message goes back to its old place, deliveries raised. -ESTALE. */
STOA_API int stoa_queue_return(struct stoa_queue *queue,
                               const struct stoa_message *message);

/* Copies the n-th message (0 = the one that receive would give) without
 * consuming it; returns its size. Copies at most buffer_bytes; a larger
 * message is cut, and the result still is its size. -ENOMSG: there are fewer.
 * Does not block. */
STOA_API ssize_t stoa_queue_peek(struct stoa_queue *queue,
                                 const struct stoa_selector *selector,
                                 uint64_t n, void *buffer, size_t buffer_bytes,
                                 struct stoa_message *ret_message);

/* The same with the n-th in the order of sending, whatever the queue's own
 * order (MSG_COPY). */
STOA_API ssize_t stoa_queue_peek_at(struct stoa_queue *queue, uint64_t n,
                                    void *buffer, size_t buffer_bytes,
                                    struct stoa_message *ret_message);

/* Drops every message that is in the queue and not taken; returns how many
 * (saturating at INT_MAX). Does not block. */
STOA_API int stoa_queue_purge(struct stoa_queue *queue);

/* ---- Inspect and be told ------------------------------------------------- */

struct stoa_queue_stat {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t order;
	uint64_t capacity, max_message_bytes, total_bytes;
	uint64_t messages;  /* that a receive could give */
	uint64_t bytes;     /* in these */
	uint64_t taken;     /* not acknowledged yet */
	uint64_t reserved;  /* not committed yet */
	uint64_t high_water; /* most messages ever seen waiting by a receiver */
	uint64_t messages_in, bytes_in, messages_out, bytes_out;
	uint64_t returned;  /* came back, by death or by return */
	uint32_t senders_waiting, receivers_waiting;
	uint32_t users;
	pid_t last_sender_pid, last_receiver_pid;
	int64_t last_send_ns, last_receive_ns; /* CLOCK_REALTIME, by the tick */
	int64_t created_ns;
	pid_t creator_pid;
	uint64_t generation;
	uint64_t label[2]; /* as the maker gave it */
};

/* Each number is true of some moment during the call, and all of them of one
 * moment if nothing changes meanwhile. Looks at every cell: O(capacity). */
STOA_API int stoa_queue_stat(struct stoa_queue *queue,
                             struct stoa_queue_stat *ret_stat);

/* What IPC_STAT and mq_getattr ask for. */
struct stoa_queue_count {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t reserved;
	uint64_t messages; /* that a receive could give */
	uint64_t bytes;    /* in these */
	uint64_t limit_bytes, limit_messages; /* STOA_QUEUE_UNLIMITED: none */
	pid_t last_sender_pid, last_receiver_pid; /* 0: nobody yet */
	int64_t last_send_ns, last_receive_ns; /* CLOCK_REALTIME, by the tick;
	                                          0: never */
};

/*
 * messages and bytes are true of one moment during the call. Of a queue with
 * limits the last sender is that of the message sent last, or of one that is
 * being sent; of others, if two sent within a tick of the clock, either.
 *   Ordered queues: takes a receiver's turn, and costs what has come since the
 * last turn. STOA_FIFO: looks at every cell.
 */
STOA_API int stoa_queue_count(struct stoa_queue *queue,
                              struct stoa_queue_count *ret_count);

/*
 * A descriptor for poll and epoll that is readable while the queue is
 * (direction STOA_READ), or while it has room (STOA_WRITE). Level-triggered:
 * it falls back when a receive (send) with STOA_NOW has answered -EAGAIN. It
 * may be readable once too often, never once too seldom. Owned by the handle,
 * close-on-exec, good in this process only.
 */
STOA_API int stoa_queue_pollfd(struct stoa_queue *queue, unsigned direction);

struct stoa_notification {
	uint32_t size;         /* sizeof this struct */
	int32_t signal_number; /* 0: no signal; see the next call */
	union sigval value;    /* si_value; si_code is SI_MESGQ */
};

/* Asks for one signal to this process when a message next arrives at the empty
 * queue while no receiver waits. One registration a queue; it is used up when
 * it fires, and dropped at close or death. NULL drops this handle's own.
 * A receive that has a message answers after the signal that it brought to this
 * process was sent. A sender killed amid it leaves the registration, or the
 * signal, to whoever meets its death: there may be two.
 * -EBUSY: another living handle is registered. -EINVAL: size; no signal, or
 * SIGKILL or SIGSTOP. -EPERM: a signal is asked for, and other users may write
 * the queue: they could forge whom to signal. */
STOA_API int stoa_queue_notify(struct stoa_queue *queue,
                               const struct stoa_notification *notification);

/* Who sent the message that used a registration up. */
struct stoa_notifier {
	uint32_t size; /* set by the caller: sizeof this struct */
	pid_t pid;     /* 0: not known */
	uid_t uid;     /* both as the sender says */
	int32_t signalled; /* 1: and sent the signal that was asked for */
};

/* Names the registration that this handle made last. */
STOA_API uint32_t stoa_queue_registration(struct stoa_queue *queue);

/* Waits until that registration is no more: it was used up (*ret_notifier,
 * which may be NULL, says by whom) or dropped, which is for the caller to know. A sender that has become another user than the
 * queue's can't signal: then this is the registrant's only word of it. If
 * somebody has registered since, it isn't known who sent, and taken for granted
 * that he signalled. */
STOA_API int stoa_queue_await(struct stoa_queue *queue, uint32_t registration,
                              struct stoa_deadline deadline,
                              struct stoa_notifier *ret_notifier);

#ifdef __cplusplus
}
#endif
#endif
