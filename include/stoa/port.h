/* SPDX-License-Identifier: MIT */
/*
 * stoa/port.h: request and reply between processes: a local procedure call.
 * Servers open a name to serve, clients call it; many of both may share it.
 *
 * Use it for questions that have an answer. (For messages that nobody answers
 * see queue; for one message to many see topic; for bytes without end see
 * stream.)
 *
 * Shared: the port's file, and the files that carry large payloads. Per
 * process: the handle, and what it has mapped.
 *
 * Each request is executed at most once, and its call ends in exactly one way:
 * answered, reset, or given up by its caller.
 *   - A server that dies, closes, or executes another program after it took a
 *     request: -ECONNRESET to the client, as soon as the kernel knows. The
 *     request may have been executed.
 *   - A request that no server has taken yet when one of several servers dies
 *     goes to another.
 *   - With no server at all, calls wait for one until their deadline: servers
 *     are restarted. Handles opened with STOA_REFUSE get -ECONNREFUSED instead.
 *   - A client that dies: what no server has taken vanishes; a server that has
 *     it can ask stoa_port_cancelled(). Nothing else is left of it.
 *   - A stopped process isn't dead: clients of a stopped server wait until
 *     their deadline.
 * Requests are taken in the order in which they were committed (by the
 * processor's time counter); those of one thread exactly so.
 *
 * Payloads of up to `copy_bytes` (an attribute of the port) are copied through
 * the port's file. Larger ones are mapped: they stand in a file of the
 * sender's that the receiver maps read-only, kept mapped for the next. A
 * sender that fills such a grant in place (stoa_port_reserve,
 * stoa_port_reply_reserve) copies nothing, so size costs nothing. What is
 * larger than `grant_bytes` goes in rounds, by stoa_port_exchange() and
 * stoa_port_more().
 *
 *   who may run at once     start  wait  call  take  reply  stat  close
 *   any thread or process     -      -     -     -     -      -     X
 *   (- free; X the caller sees to it that nobody else uses that handle;
 *   one ticket, and one request, are used by one thread at a time)
 *
 * A process stopped at any instruction holds up its own calls only. Fork: the
 * child may use the handle, as itself; the parent's tickets and requests stay
 * the parent's (-ESTALE in the child). Not async-signal-safe. No cancellation
 * points.
 *
 * Errors that every call on a handle may give: -EIDRM the port was removed;
 * -EUCLEAN its shared memory can't be true; -EIO a file of it was truncated
 * (needs stoa_guard); -EBADF not opened for that; -EUSERS too many handles.
 * With a deadline: -EAGAIN (STOA_NOW), -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE).
 */
#ifndef STOA_PORT_H
#define STOA_PORT_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_PORT_CALLS_MAX 4096
#define STOA_PORT_COPY_MAX (UINT64_C(16) << 20)
#define STOA_PORT_GRANT_MAX (UINT64_C(1) << 36)
#define STOA_PORT_GRANTS 64 /* of one handle at once */

/* Open flag: with no server, calls fail with -ECONNREFUSED. */
#define STOA_REFUSE 0x100u

struct stoa_port;

/* How a port is made. Zero fields take the default. */
struct stoa_port_attributes {
	size_t size;          /* sizeof this struct */
	uint32_t calls;       /* that may be under way at once, default 32;
	                         twice as many, if no idle clients keep a place */
	uint32_t reserved_word;
	uint64_t copy_bytes;  /* payloads up to that are copied; default 16 KiB:
	                         see stoa-port(1), tune. Costs 4 times that in
	                         the file for each of `calls` */
	uint64_t grant_bytes; /* payloads up to that are mapped whole; default
	                         64 MiB */
	uint64_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the port `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` NULL = all defaults, and ignored when it
 * exists). Flags: STOA_READ to serve, STOA_WRITE to call, or both;
 * STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE, STOA_REFUSE. Does not
 * block. The caller closes *ret_port.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a port, or of a layout this build doesn't
 * know; -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_port_open(struct stoa_space *space, const char *name,
                            unsigned flags, mode_t mode,
                            const struct stoa_port_attributes *attributes,
                            struct stoa_port **ret_port);

/* Cancels its calls, resets the requests that it took and did not answer, and
 * frees the handle. Views that it gave are gone. NULL is fine. */
STOA_API void stoa_port_close(struct stoa_port *port);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_port_unlink(struct stoa_space *space, const char *name);

/* Everyone who waits or calls from now on gets -EIDRM; the name goes too, if
 * it is still this port's. */
STOA_API int stoa_port_remove(struct stoa_port *port);

/*
 * For stoa_wait_any and stoa_watch_once. STOA_READABLE holds while a request
 * waits (opened to serve), or one of this handle's calls has ended (opened to
 * call); with `detail` a struct stoa_port_ticket *, while that call has ended.
 * STOA_WRITABLE holds while a call could be started.
 */
STOA_API struct stoa_object *stoa_port_object(struct stoa_port *port);

/* ---- Call --------------------------------------------------------------- */

/*
 * Sends the request and blocks until the reply has been copied to `reply`.
 * Returns its bytes. At the deadline the call is cancelled: a server that has
 * taken it may still execute it. Request and reply may be of any size.
 * -ECONNRESET: its server died or closed. -ECONNREFUSED: see STOA_REFUSE.
 * -EREMOTEIO: the server answered with a status other than 0 (see
 * stoa_port_exchange). -EMSGSIZE: the reply is larger than `room`; it is lost.
 * -ENOSPC: no room in the tmpfs for a mapped payload. -ENOBUFS: too many
 * grants of this handle are in use. -EAGAIN, -ETIMEDOUT, -EINTR.
 */
STOA_API int64_t stoa_port_call(struct stoa_port *port, const void *request,
                                uint64_t bytes, void *reply, uint64_t room,
                                struct stoa_deadline deadline);

/* A call, with all that there is to say of it. */
struct stoa_port_exchange {
	size_t size; /* sizeof this struct */
	const void *request;
	uint64_t request_bytes;
	void *reply;
	uint64_t reply_room;
	/* Told of what goes in rounds, after each: bytes there and back so far,
	 * of how many. NULL: nobody. */
	void (*progress)(uint64_t done, uint64_t total, void *context);
	void *context;
	uint64_t ret_bytes; /* of the reply */
	int ret_status;     /* that the server gave with it */
	uint32_t reserved;  /* zero */
};

/* As stoa_port_call(); 0 when it was answered, whatever the status. -EMSGSIZE:
 * ret_bytes says how large the reply was. -EINVAL: size, reserved. */
STOA_API int stoa_port_exchange(struct stoa_port *port,
                                struct stoa_port_exchange *exchange,
                                struct stoa_deadline deadline);

/* ---- Call and go on ------------------------------------------------------ */

/* One call under way. Opaque; plain memory, may be copied. */
struct stoa_port_ticket {
	uint64_t word;
	uint32_t cell;
	uint32_t grant;
	void *data;
	uint64_t room;
};

#define STOA_PORT_MAPPED 1u /* map it, however small */

/* Copies the request and commits it; blocks only while `calls` are under way.
 * -EMSGSIZE: larger than grant_bytes. -ENOSPC, -ENOBUFS, -EAGAIN, ... as
 * stoa_port_call(). */
STOA_API int stoa_port_start(struct stoa_port *port, const void *request,
                             uint64_t bytes, struct stoa_deadline deadline,
                             struct stoa_port_ticket *ret_ticket);

/* A place for a request of up to `bytes`, to be filled at *ret_data, which is
 * mapped if it is over copy_bytes or `flags` say so. Then commit or cancel.
 * Errors as stoa_port_start(). */
STOA_API int stoa_port_reserve(struct stoa_port *port, uint64_t bytes,
                               unsigned flags, struct stoa_deadline deadline,
                               struct stoa_port_ticket *ret_ticket,
                               void **ret_data);

/* The first `bytes` are the request: servers may take it (release; pairs with
 * take). Does not block. -EMSGSIZE: more than reserved. -ESTALE: the ticket is
 * no such reservation of this process (any more). */
STOA_API int stoa_port_commit(struct stoa_port *port,
                              struct stoa_port_ticket *ticket, uint64_t bytes);

/* The reply to a call. */
struct stoa_port_reply {
	const void *data; /* in the port, or mapped read-only */
	uint64_t bytes;
	int status;
	uint32_t mapped;
	uint64_t view; /* the library's */
};

/*
 * Blocks until the call has ended. On 0 the reply may be looked at in place
 * until stoa_port_finish(). -ECONNRESET, -ECONNREFUSED: the call is over, and
 * the ticket with it. After -EAGAIN, -ETIMEDOUT and -EINTR it goes on, and may
 * be waited for again. -ESTALE: the ticket is no call of this process (any
 * more). -EFBIG: the reply comes in rounds, which takes stoa_port_exchange();
 * the call is cancelled.
 */
STOA_API int stoa_port_wait(struct stoa_port *port,
                            struct stoa_port_ticket *ticket,
                            struct stoa_deadline deadline,
                            struct stoa_port_reply *ret_reply);

/* The reply was read: its place is given back, and the view is gone. */
STOA_API int stoa_port_finish(struct stoa_port *port,
                              struct stoa_port_ticket *ticket,
                              struct stoa_port_reply *reply);

/* Gives up a call, or a reservation. 0: no server has or had it. 1: a server
 * had taken it; it is told, if it asks. -ESTALE as above. */
STOA_API int stoa_port_cancel(struct stoa_port *port,
                              struct stoa_port_ticket *ticket);

/* ---- Serve -------------------------------------------------------------- */

/* One request that this handle has taken. */
struct stoa_port_request {
	const void *data;
	uint64_t bytes;       /* of this part */
	uint64_t offset;      /* of this part: 0 unless it comes in rounds */
	uint64_t total_bytes; /* of the request */
	uint32_t mapped;      /* data is a read-only view of the caller's memory */
	uint32_t cell;
	/* The library's. */
	uint64_t word;
	uint32_t client, grant;
	uint64_t view;
	uint64_t reserved[2];
};

/*
 * Blocks until there is a request and takes the oldest: it is this handle's to
 * answer, or to return. A request that was copied is copied on to `buffer`, if
 * that has room for it; else data is a view of shared memory: the caller of a
 * mapped request, and whoever may write the port, can change it meanwhile.
 * `buffer` may be NULL, with room 0. The view lasts until the reply.
 */
STOA_API int stoa_port_take(struct stoa_port *port, void *buffer, size_t room,
                            struct stoa_deadline deadline,
                            struct stoa_port_request *ret_request);

/* The next part of a request that comes in rounds; the part before is gone.
 * 1: there it is. 0: the request was complete. -ECONNRESET: its client died;
 * -ECANCELED: it gave up. (Reply all the same: that ends it.) -EAGAIN,
 * -ETIMEDOUT, -EINTR: ask again. */
STOA_API int stoa_port_more(struct stoa_port *port,
                            struct stoa_port_request *request,
                            struct stoa_deadline deadline);

/* Room for a reply of up to `bytes`, to be filled at *ret_data and then given
 * to stoa_port_reply(). Mapped if it is over copy_bytes. -EMSGSIZE: larger than
 * grant_bytes; -ENOSPC, -ENOBUFS, -ESTALE. */
STOA_API int stoa_port_reply_reserve(struct stoa_port *port,
                                     struct stoa_port_request *request,
                                     uint64_t bytes, void **ret_data);

/*
 * Answers: `status` is 0 or the server's own number for what went wrong. The
 * bytes are copied, unless they stand where stoa_port_reply_reserve() said.
 * What is larger than grant_bytes goes in rounds, and blocks until the client
 * has all but the last of them; else the call doesn't block. It ends the
 * request, unless it fails with -ENOSPC or -ENOBUFS. -ECANCELED: the client
 * gave up or died, nobody will read it. -ESTALE: not a request of this process
 * (any more). -EIO: the client cut its grant short; it is told -ECONNRESET.
 * -EAGAIN, -ETIMEDOUT, -EINTR: in rounds; the client is told -ECONNRESET.
 */
STOA_API int stoa_port_reply(struct stoa_port *port,
                             struct stoa_port_request *request, int status,
                             const void *data, uint64_t bytes,
                             struct stoa_deadline deadline);

/* Gives the request to another server, as if it had not been taken: nothing of
 * it was executed. -ECANCELED, -ESTALE. -EALREADY: a part was asked for. */
STOA_API int stoa_port_return(struct stoa_port *port,
                              struct stoa_port_request *request);

/* 1: the client gave the call up, or is dead. 0: it waits. -ESTALE. Asks the
 * kernel about the client's life (0.3 us). */
STOA_API int stoa_port_cancelled(struct stoa_port *port,
                                 const struct stoa_port_request *request);

/*
 * Who called, as the kernel says. Each client handle has a file in the space
 * that its process made, and in which it notes each of its requests before it
 * commits it.
 *   uid, gid  owner of that file: the file system's user and group of the
 *             caller when it made it (its effective ones, as a rule). Only
 *             that user can write the file. The group is the directory's, if
 *             that has the set-group-id bit.
 *   pid       holder of a record lock on that file, in the numbers of the
 *             server's PID namespace: a process of that user. 0: the kernel
 *             names none here (another namespace, or the program closed the
 *             descriptor).
 * So nobody can pass for another user, not even one who may write the port, but
 * for this: as long as a call of that user's is under way (or was given up when
 * a server had it, and its handle has not called since), one who may write the
 * port can change the bytes of its *copied* request, and have it taken once
 * more. Those of a mapped one stand in a file of the caller's, whose owner is
 * checked, too.
 */
struct stoa_port_caller {
	stoa_peer peer; /* as the port says it: a hint, for STOA_DEATH */
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uint32_t bytes_checked; /* 1: the request's bytes are that user's, too */
};

/* -EPERM: nobody vouches for the request: don't trust it. -ECONNRESET: its
 * client has died. -ESTALE. Some microseconds. */
STOA_API int stoa_port_caller(struct stoa_port *port,
                              const struct stoa_port_request *request,
                              struct stoa_port_caller *ret_caller);

/* ---- Inspect and be told ------------------------------------------------- */

struct stoa_port_status {
	size_t size; /* set by the caller: sizeof this struct */
	uint32_t calls;          /* that may be under way at once */
	uint32_t waiting;        /* requests that no server has taken */
	uint32_t taken;          /* that one has */
	uint32_t ended;          /* answered or reset, and not collected; those
	                            that an idle client keeps count, too */
	uint32_t servers, clients; /* living handles */
	uint32_t servers_waiting, clients_waiting;
	uint64_t copy_bytes, grant_bytes;
	uint64_t calls_made, calls_taken; /* ever */
	uint64_t bytes_asked, bytes_answered;
	pid_t creator_pid;
	uint32_t reserved;
	int64_t created_ns; /* CLOCK_REALTIME */
	uint64_t generation;
};

/* Each number is true of some moment during the call. -EINVAL: size. */
STOA_API int stoa_port_stat(struct stoa_port *port,
                            struct stoa_port_status *ret_status);

/* One call under way. */
struct stoa_port_under_way {
	uint32_t cell;
	uint32_t phase; /* 0 being written, 1 waits, 2 taken, 3 ended */
	stoa_peer client, server; /* server 0: none */
	pid_t client_pid, server_pid; /* as each saw itself */
	uint64_t bytes;       /* of the request */
	uint64_t done, total; /* of what goes in rounds; total 0: doesn't */
};

/* Calls `visit` for each call under way; stops at its first non-zero result
 * and returns that; else returns the number visited. */
STOA_API int stoa_port_each_call(
        struct stoa_port *port,
        int (*visit)(const struct stoa_port_under_way *call, void *context),
        void *context);

/* A descriptor for poll and epoll: STOA_READ, STOA_WRITE as in
 * stoa_port_object(). It falls back when stoa_port_take(), stoa_port_wait(), or
 * stoa_port_start() with STOA_NOW has answered -EAGAIN. Owned by the handle,
 * close-on-exec. -EINVAL: not one direction. */
STOA_API int stoa_port_pollfd(struct stoa_port *port, unsigned direction);

#ifdef __cplusplus
}
#endif
#endif
