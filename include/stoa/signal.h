/* SPDX-License-Identifier: MIT */
/*
 * stoa/signal.h: the signals of the kernel without their traps: sent to whom
 * they were meant for, with a value, and told of if they can't be; handled with
 * a context; or waited for, with a deadline, by epoll or as messages of a queue.
 *
 * Use it for what only the kernel can say (SIGTERM, SIGCHLD, SIGWINCH), and for
 * programs that know nothing of stoa. (Between programs that do, a queue has
 * more room, larger messages and no limits of a user; see queue.)
 *
 * How signals are kept by the kernel, until they are taken:
 *   standard (1 to 31)             one of each: a second one that comes before
 *                                  the first was taken is lost, and its value
 *                                  with it, and nobody is told;
 *   real-time (SIGRTMIN to SIGRTMAX)  each is queued with its value; those of
 *                                  one number are taken in the order of
 *                                  sending, and lower numbers first.
 * What is queued counts against the limit of the receiver's user
 * (RLIMIT_SIGPENDING). A real-time signal over that limit is -EAGAIN for who
 * sends it; of a standard one only the value is lost.
 *
 * Threads: a signal to a process is taken by any one of its threads that
 * doesn't block it; so whoever waits for a signal blocks it in ALL threads, best
 * before the first is started: threads and children inherit what is blocked.
 * Dispositions belong to the process. Fork: the child inherits dispositions and
 * what is blocked, not what is pending. Exec: handlers become the default; what
 * is ignored or blocked STAYS so, for a program that may not expect it: see
 * stoa_signal_reset().
 *
 * A process killed at any instruction leaves nothing: all of it is the
 * kernel's, or private memory. No function is a cancellation point.
 * Async-signal-safe: stoa_signal_send, _queue, _block, _unblock, _set_blocked,
 * _blocked, _pending and _reset; but on failure they change
 * stoa_last_error()'s sentence.
 */
#ifndef STOA_SIGNAL_H
#define STOA_SIGNAL_H

#include <signal.h>
#include <stoa/queue.h>
#include <stoa/space.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Sets, numbers and names -------------------------------------------- */

/* A set of signals: bit N - 1 is signal N, as in /proc/PID/status. */
typedef uint64_t stoa_signal_set;

#define STOA_SIGNAL(number) (UINT64_C(1) << ((number)-1))
/* All that can be blocked, waited for or handled: without SIGKILL, SIGSTOP, and
 * 32 and 33, which libc keeps for itself. */
#define STOA_SIGNAL_ALL                                                      \
	(~(STOA_SIGNAL(SIGKILL) | STOA_SIGNAL(SIGSTOP) | STOA_SIGNAL(32) |   \
	   STOA_SIGNAL(33)))
#define STOA_SIGNAL_MAX 64
#define STOA_SIGNAL_NAME_MAX 16 /* bytes, with the NUL */

/* "SIGTERM", "SIGRTMIN+3", "SIG32". Into `ret_name`, of STOA_SIGNAL_NAME_MAX.
 * -EINVAL: not 1 to 64. */
STOA_API int stoa_signal_name(int number, char *ret_name);

/* Returns the number of "SIGTERM", "term", "15", "RTMIN+3", "SIGRTMAX-1" ...;
 * -EINVAL: there is none. Of numbers, 1 to 64. */
STOA_API int stoa_signal_number(const char *name);

/* ---- What came -------------------------------------------------------------- */

/* Who said what stands in the fields pid, uid and value. */
enum stoa_signal_origin {
	STOA_SIGNAL_BY_KERNEL = 0, /* the kernel: a child ended, a timer, ... */
	STOA_SIGNAL_BY_PROCESS = 1, /* the kernel, of the process that sent it */
	STOA_SIGNAL_BY_VALUE = 2 /* the sender: queued, and pid, uid and value
	                            are what it says */
};

/*
 * One signal that was taken. This is also the message that
 * stoa_signal_forward() sends: 64 bytes, in the machine's byte order; fields
 * that a signal has no use for are 0.
 *
 *     0      4      8      12     16       24         32       36
 *     | number| code | pid  | uid  | value  | address  | status | fd   |
 *     40      44       48       56
 *     | timer | origin | when   | overrun | reserved |
 */
struct stoa_signal_info {
	int32_t number;
	int32_t code;  /* si_code: SI_USER, SI_QUEUE, CLD_EXITED, ... */
	int32_t pid;   /* sender; SIGCHLD: the child. 0: not to be seen from
	                  this PID namespace, or lost for want of room */
	uint32_t uid;
	union sigval value; /* of queued ones; another process's pointer is a
	                       number here */
	uint64_t address; /* SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP */
	int32_t status;   /* SIGCHLD: exit status, or signal */
	int32_t fd;       /* SIGIO */
	int32_t timer;    /* SI_TIMER: its number */
	uint32_t origin;  /* enum stoa_signal_origin */
	int64_t when_ns;  /* CLOCK_REALTIME at which it was taken. 0 in
	                     handlers */
	uint32_t overrun; /* SI_TIMER: expirations missed */
	uint32_t reserved;
};

/* ---- Send -------------------------------------------------------------------- */

/* A process, a thread or a process group, held by a pidfd: who takes its number
 * after it has gone is never signalled. */
struct stoa_signal_target;

enum stoa_signal_scope {
	STOA_SIGNAL_PROCESS = 0, /* any thread of it */
	STOA_SIGNAL_THREAD = 1,  /* Linux 6.9 */
	STOA_SIGNAL_GROUP = 2    /* every process of the group; Linux 6.9 */
};

/*
 * Names the process `id`, the thread `id`, or the group whose leader is `id`.
 * The number is looked up once, here: a child that hasn't been waited for, and
 * one's own, can't have been taken by another. The caller closes *ret_target.
 * -ESRCH: there is none, or (a group) its leader has gone; -ENOENT: a thread,
 * and STOA_SIGNAL_PROCESS was asked for; -ENOSYS: the kernel is older than
 * `scope` needs; -EINVAL: id or scope; -EMFILE, -ENFILE, -ENOMEM.
 */
STOA_API int stoa_signal_target_open(pid_t id, enum stoa_signal_scope scope,
                                     struct stoa_signal_target **ret_target);

/* The process of a pidfd that the caller has, and keeps. -EBADF: it is none;
 * -EINVAL, -EMFILE, -ENOMEM. */
STOA_API int stoa_signal_target_pidfd(int pidfd, enum stoa_signal_scope scope,
                                      struct stoa_signal_target **ret_target);

/*
 * The process that is `peer` in the space. Not by its record, which whoever may
 * write the space could forge: it is the process that has the lock which the
 * kernel holds for the peer; so one in another PID namespace is found, too, if
 * it is to be seen from here. -ESRCH: the peer is dead; -EACCES: it can't be
 * looked at (another user's: root may); as stoa_signal_target_open.
 */
STOA_API int stoa_signal_target_peer(struct stoa_space *space, stoa_peer peer,
                                     struct stoa_signal_target **ret_target);

/* NULL is fine. */
STOA_API void stoa_signal_target_close(struct stoa_signal_target *target);

/* For poll and epoll: readable once the process (the leader, the thread) has
 * ended. Owned by the target, close-on-exec. */
STOA_API int stoa_signal_target_pollfd(
        const struct stoa_signal_target *target);

/* Returns its number as this process sees it. -ESRCH: it has gone. */
STOA_API pid_t stoa_signal_target_id(const struct stoa_signal_target *target);

/*
 * Sends signal `number`; 0 sends nothing and only asks whether it could. The
 * receiver learns pid and uid of this process from the kernel (SI_USER); from
 * real-time signals as stoa_signal_queue() with the value 0, as the kernel would
 * lose them in silence. Does not block. A group: 0 if anybody of it was sent
 * the signal.
 * -ESRCH: it has gone, or (process, thread) ended and wasn't waited for yet.
 * -EPERM: this user may not. -EAGAIN: real-time, and the receiver's user has
 * reached the limit of queued signals. -EINVAL: not 0 to 64, or 32 or 33.
 * -ENOSYS: a group, and the kernel is older than 6.9.
 */
STOA_API int stoa_signal_send(const struct stoa_signal_target *target,
                              int number);

/* The same with a value: an integer, or a pointer, which means something only
 * to a process that shares the memory. si_code is SI_QUEUE. */
STOA_API int stoa_signal_queue(const struct stoa_signal_target *target,
                               int number, union sigval value);

/* ---- Block ------------------------------------------------------------------- */

/* Blocks signals in the calling thread, too: they wait. *ret_before (may be
 * NULL) is what was blocked before. -EINVAL: one of the set can't be blocked. */
STOA_API int stoa_signal_block(stoa_signal_set set,
                               stoa_signal_set *ret_before);

/* Unblocks signals in the calling thread. Those that wait are delivered before
 * this returns. */
STOA_API int stoa_signal_unblock(stoa_signal_set set,
                                 stoa_signal_set *ret_before);

/* Blocks exactly `set` in the calling thread: to restore what was. */
STOA_API int stoa_signal_set_blocked(stoa_signal_set set);

/* What the calling thread blocks. */
STOA_API int stoa_signal_blocked(stoa_signal_set *ret_set);

/* What waits for the calling thread or for the process. */
STOA_API int stoa_signal_pending(stoa_signal_set *ret_set);

/*
 * In a forked child, before it executes another program, which inherits what is
 * blocked and ignored: handlers become the default, so does what is ignored of
 * `also` (0: what is ignored stays so, as nohup(1) wants), and nothing is
 * blocked. After vfork(2), too.
 */
STOA_API int stoa_signal_reset(stoa_signal_set also);

/* ---- Dispositions: what a signal does that isn't blocked ------------------- */

enum stoa_signal_disposition {
	STOA_SIGNAL_DEFAULT = 0, /* what the kernel does; stoa signal list */
	STOA_SIGNAL_IGNORE = 1,
	STOA_SIGNAL_HANDLE = 2,  /* calls handler(info, context) */
	STOA_SIGNAL_FOREIGN = 3  /* a handler that isn't stoa's (told only) */
};

/* Flags of an action. */
#define STOA_SIGNAL_RESTARTS 0x1u /* system calls go on (SA_RESTART) */
#define STOA_SIGNAL_CHAINS 0x2u   /* then calls the handler that was before */
#define STOA_SIGNAL_ONCE 0x4u     /* the default after the first */
#define STOA_SIGNAL_NESTS 0x8u    /* isn't blocked while it runs */
#define STOA_SIGNAL_ON_STACK 0x10u /* of sigaltstack(2) */
#define STOA_SIGNAL_ENDS_ONLY 0x20u /* SIGCHLD: not of children stopped */

struct stoa_signal_action {
	uint32_t size;        /* sizeof this struct */
	uint32_t disposition; /* enum stoa_signal_disposition */
	/* Runs in whichever thread the kernel chose, amid whatever it does:
	 * calls only what is async-signal-safe. errno is kept for it. */
	void (*handler)(const struct stoa_signal_info *info, void *context);
	void *context;
	stoa_signal_set blocked; /* too, while it runs */
	uint32_t flags;
	uint32_t reserved; /* zero */
};

/* What was before. The caller's; only for stoa_signal_restore(). */
struct stoa_signal_saved {
	int32_t number;
	uint32_t flags;
	void (*handler)(const struct stoa_signal_info *info, void *context);
	void *context;
	const struct stoa_signal_saved *chained;
	struct sigaction before;
};

/*
 * Sets what signal `number` does, for the whole process. *ret_saved (may be
 * NULL, except with STOA_SIGNAL_CHAINS) is for undoing it. With
 * STOA_SIGNAL_CHAINS the handler that was there is called after this one; so
 * *ret_saved must stay as it is until it is restored, and restoring goes in
 * reverse order. A default or an ignored signal before is not made up for.
 *
 * A handler may be running in another thread when it is replaced: its context
 * must outlive that. (The one table of libstoa that is the process's, and not a
 * handle's: the kernel gives a handler nothing but the number, so handler and
 * context of each number are kept in a static one of 64 entries.)
 *
 * -EINVAL: number, SIGKILL, SIGSTOP, 32, 33; size, flags or reserved.
 */
STOA_API int stoa_signal_set_action(int number,
                                    const struct stoa_signal_action *action,
                                    struct stoa_signal_saved *ret_saved);

/* What signal `number` does. Of one that isn't stoa's, handler and context are
 * NULL. ret_action->size is set by the caller. -EINVAL. */
STOA_API int stoa_signal_get_action(int number,
                                    struct stoa_signal_action *ret_action);

/* As it was before; a foreign handler, too. -EINVAL. */
STOA_API int stoa_signal_restore(const struct stoa_signal_saved *saved);

/* ---- Wait ----------------------------------------------------------------------- */

/*
 * Takes one signal of `set`, which the calling thread must block (in the other
 * threads, too: else they may get it). Waits by `deadline` until there is one.
 * Returns its number; *ret_info (may be NULL) says the rest. Handlers of other
 * signals don't end the wait; with STOA_INTERRUPTIBLE in `flags` they do. Of
 * those to this thread and those to the process, the former first. A signal that
 * the process ignores, and the main thread doesn't block, never comes.
 * -EINVAL: a signal of `set` isn't blocked here, or can't be waited for.
 * -EAGAIN (STOA_NOW), -ETIMEDOUT, -EINTR.
 */
STOA_API int stoa_signal_wait(stoa_signal_set set, unsigned flags,
                              struct stoa_deadline deadline,
                              struct stoa_signal_info *ret_info);

/* A set of signals as a descriptor, for epoll. */
struct stoa_signal;

/* With it, stoa_signal_open() doesn't look at other threads. */
#define STOA_SIGNAL_THIS_THREAD 0x100u

/*
 * Blocks `set` in the calling thread and makes a descriptor from which its
 * signals are taken. `flags`: 0, STOA_INTERRUPTIBLE, STOA_SIGNAL_THIS_THREAD.
 * The caller closes *ret_signal.
 * -EBUSY: another thread of the process doesn't block one of them, and would
 * get it: block them before threads are started, or, for signals that are sent
 * to this thread alone, give STOA_SIGNAL_THIS_THREAD.
 * -EINVAL: flags, an empty set, or one of it can't be blocked; -EMFILE,
 * -ENFILE, -ENOMEM.
 */
STOA_API int stoa_signal_open(stoa_signal_set set, unsigned flags,
                              struct stoa_signal **ret_signal);

/* Closes it. In the thread that opened it, what that blocked is unblocked; then
 * signals that still wait do what their dispositions say. NULL is fine. */
STOA_API void stoa_signal_close(struct stoa_signal *signal);

/*
 * Takes up to `count` signals, as many as there are, and waits only for the
 * first. Returns how many, 1 or more. Signals to the process are taken by any
 * thread that calls; those to a thread only by that thread.
 * -EINVAL: the calling thread doesn't block the set, or count is 0; -ESTALE: a
 * forked child has to open its own; -EAGAIN, -ETIMEDOUT, -EINTR, -ENOMEM.
 */
STOA_API ssize_t stoa_signal_read(struct stoa_signal *signal,
                                  struct stoa_signal_info *ret_infos,
                                  size_t count, struct stoa_deadline deadline);

/* For poll and epoll: readable while a signal of the set waits for the process,
 * or for the thread that polls. Level-triggered, owned by the handle,
 * close-on-exec. A forked child must not use it, nor an epoll that has it. */
STOA_API int stoa_signal_pollfd(const struct stoa_signal *signal);

/*
 * Turns signals into messages of `queue` (open STOA_WRITE), until `most` were
 * sent or the deadline: each a struct stoa_signal_info, of type `number` (queues
 * STOA_TYPE), or of priority 64 - `number` (STOA_PRIORITY: so that lower numbers
 * come first, as from the kernel). Returns how many; if that is 0, why:
 * -EAGAIN, -ETIMEDOUT, -EINTR, what stoa_signal_read or stoa_queue_reserve give.
 * A signal is taken from the kernel only when the queue has room for it; so a
 * full queue loses none, and standard signals coalesce meanwhile. A kill between
 * taking and sending loses that one, with all that waited for the process.
 */
STOA_API int64_t stoa_signal_forward(struct stoa_signal *signal,
                                     struct stoa_queue *queue, uint64_t most,
                                     struct stoa_deadline deadline);

/* ---- Look ------------------------------------------------------------------------ */

/* A thread's signals, from the kernel's own tables (/proc/PID/task/TID/status),
 * all of one moment. */
struct stoa_signal_state {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t threads; /* that the process has */
	pid_t pid, tid;
	uid_t uid; /* real */
	char state; /* R, S, D, T, Z, ... */
	char command[17]; /* of the thread; foreign */
	stoa_signal_set blocked;        /* by the thread */
	stoa_signal_set pending;        /* for the thread */
	stoa_signal_set shared_pending; /* for the process */
	stoa_signal_set ignored;        /* by the process */
	stoa_signal_set caught;         /* by the process */
	uint64_t queued, queue_limit; /* of the user, RLIMIT_SIGPENDING */
};

/* Looks at thread `tid` of process `pid`; `tid` 0: its main thread. `pid` 0:
 * this process. -ESRCH: there is none. -EINVAL: size. */
STOA_API int stoa_signal_look(pid_t pid, pid_t tid,
                              struct stoa_signal_state *ret_state);

/* Calls `visit` for each thread of the process; stops at its first non-zero
 * result and returns that; else returns the number visited. -ESRCH. */
STOA_API int stoa_signal_each_thread(
        pid_t pid,
        int (*visit)(const struct stoa_signal_state *state, void *context),
        void *context);

#ifdef __cplusplus
}
#endif
#endif
