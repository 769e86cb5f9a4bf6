/* SPDX-License-Identifier: MIT */
/*
 * file_lock_wait.c: waiting for the kernel's file locks with a deadline.
 *
 * The kernel has two calls each: one that doesn't wait, and one that waits for
 * ever (flock(LOCK_EX), F_OFD_SETLKW). What could end the latter:
 *
 *   - A signal. Only one that has a handler ends a call, and handlers are the
 *     program's. It also ends nothing if it comes an instant before the call,
 *     so it would have to be sent again and again. What ends a call without a
 *     handler (an io_uring's notification) restarts it, too.
 *   - Asking again and again, asleep in between: either late or busy, and always
 *     behind those who wait in the kernel. Nothing can be slept on: /proc/locks
 *     doesn't poll, io_uring has no such operation, and a pidfd of the owner
 *     tells of its death, not of its unlock.
 *   - A thread that waits instead. It can't be killed alone.
 *   - A process that waits instead, on the same open file description. The lock
 *     belongs to the description, not to who asks for it: what it is granted is
 *     the caller's. And a process can be killed: the wait is interruptible.
 *
 * So a wait with a deadline is made by a process of our own:
 *
 *   clone(CLONE_VM | CLONE_FILES | CLONE_FS): no page tables are copied and no
 *     descriptor is held by the waiter that the caller closes meanwhile. About
 *     70 us from the clone to the end of its zombie, which a fork of a large
 *     process takes many times. Its stack is in the caller's frame, which stays
 *     until the waiter is dead.
 *   No exit signal: there is no SIGCHLD, and the caller's wait(2) and waitpid(-1)
 *     don't see it (eligible only by __WCLONE or __WALL). It is waited for by
 *     its pidfd, which no reuse of numbers can confuse.
 *   All signals blocked, from before the clone: what is sent to the process
 *     group (Ctrl-C) must not run the program's handlers in it.
 *   A POSIX timer of its own that sends SIGKILL, set to the deadline, on the
 *     deadline's own clock: the kernel ends the wait, whether the caller runs, is
 *     stopped or has changed its user since, and clocks that are set are
 *     heeded.
 *   PR_SET_PDEATHSIG, also SIGKILL: if the caller's process is killed, or
 *     executes another program, at any instant, the waiter dies with it; before
 *     that was set it finds another parent than it had, and ends. So a death
 *     leaves nothing: the descriptors that the two shared are closed with the
 *     second of them. (The signal is for the death of the parent's thread,
 *     which is in this call.)
 *
 * Was the lock granted? The waiter may be killed after the kernel granted it, and
 * before it could say so. But once it is dead, the same request made without
 * waiting tells: if the description has the lock, the kernel finds that it has
 * it, and says yes; if it hasn't, and others do, it says no, and nothing is held;
 * if it is free just then, it is had, and that is no lie either. So this is what
 * is answered in every case, and nothing ever has to be given back.
 *
 * The waiter shares the caller's thread-local storage, errno among it, so
 * it calls nothing of libc's.
 */
#include "file_lock_internal.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>

enum {
	STACK_BYTES = 4096,
	WAITING = 1, /* no result of a call */
	NS = 1000000000,
	SIGNALS_BYTES = 8, /* the kernel's sigset_t */
};

/* What the waiter reads, and its stack. The caller reads `result` once the
 * waiter is dead, which orders it. */
struct waiter {
	struct stoa_file_request request;
	long result;
	long parent;
	bool bounded;
	clockid_t clock;
	struct itimerspec end;
	struct sigevent kill;
	int timer;
	_Alignas(16) char stack[STACK_BYTES];
};

/* ---- The waiter -------------------------------------------------------------- */

#if defined(__x86_64__)
static inline __attribute__((always_inline)) long bare_call(long number, long a,
                                                            long b, long c,
                                                            long d)
{
	register long fourth __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
	                 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline __attribute__((always_inline)) long bare_call(long number, long a,
                                                            long b, long c,
                                                            long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
	                 : "memory");
	return x0;
}
#endif

/* A parent of number 0 is one outside the PID namespace. */
static __attribute__((no_sanitize("address", "thread", "undefined"))) int
wait_for_caller(void *context)
{
	struct waiter *waiter = context;
	const struct stoa_file_request *request = &waiter->request;
	long parent, result;

	bare_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
	parent = bare_call(SYS_getppid, 0, 0, 0, 0);
	if (parent != waiter->parent && parent != 0)
		return 0;
	result = 0;
	if (waiter->bounded)
		result = bare_call(SYS_timer_create, waiter->clock,
		                   (long)&waiter->kill, (long)&waiter->timer, 0);
	if (result == 0 && waiter->bounded)
		result = bare_call(SYS_timer_settime, waiter->timer,
		                   TIMER_ABSTIME, (long)&waiter->end, 0);
	if (result == 0)
		result = request->operation ?
		                 bare_call(SYS_flock, request->fd,
		                           request->operation, 0, 0) :
		                 bare_call(SYS_fcntl, request->fd, F_OFD_SETLKW,
		                           (long)&request->range, 0);
	waiter->result = result;
	return 0;
}

/* ---- The caller --------------------------------------------------------------- */

static void prepare(struct waiter *waiter,
                    const struct stoa_file_request *request,
                    struct stoa_deadline deadline)
{
	waiter->request = *request;
	waiter->result = WAITING;
	waiter->parent = stoa_sys_getpid();
	waiter->bounded = deadline.kind == STOA_DEADLINE_INSTANT;
	waiter->clock = deadline.clock;
	memset(&waiter->end, 0, sizeof(waiter->end));
	/* Zero would disarm the timer: the deadline hasn't passed, so it isn't. */
	waiter->end.it_value.tv_sec = deadline.ns / NS;
	waiter->end.it_value.tv_nsec = deadline.ns % NS;
	memset(&waiter->kill, 0, sizeof(waiter->kill));
	waiter->kill.sigev_notify = SIGEV_SIGNAL;
	waiter->kill.sigev_signo = SIGKILL;
}

static int explain_start(int error)
{
	if (error == -EAGAIN)
		return stoa_fail(-EUSERS,
		                 "a wait for a file lock with a deadline takes "
		                 "a process, and no more may be made: raise "
		                 "RLIMIT_NPROC (ulimit -u) or the container's "
		                 "limit, or wait without a deadline");
	return stoa_fail(error,
	                 "a wait for a file lock with a deadline takes a "
	                 "process, and clone(2) says: %s",
	                 strerrordesc_np(-error));
}

static int explain_timer(void)
{
	return stoa_fail(-EUSERS,
	                 "a wait for a file lock with a deadline takes a timer, "
	                 "and this user may have no more (ulimit -i, "
	                 "RLIMIT_SIGPENDING): raise that, or wait without a "
	                 "deadline");
}

/* The waiter inherits the mask; in the caller it lasts for the clone. */
static int start(struct waiter *waiter, int *ret_pidfd)
{
	const uint64_t all = UINT64_MAX;
	uint64_t before = 0;
	int result;

	stoa_system_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all,
	                 (long)&before, SIGNALS_BYTES, 0, 0);
	result = stoa_sys_clone(wait_for_caller, waiter->stack + STACK_BYTES,
	                        CLONE_VM | CLONE_FILES | CLONE_FS |
	                                CLONE_UNTRACED | CLONE_PIDFD,
	                        waiter, ret_pidfd);
	stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0,
	                 SIGNALS_BYTES, 0, 0);
	return result < 0 ? explain_start(result) : 0;
}

/* Until it is dead, and no zombie. Somebody else's __WALL may have been
 * quicker: -ECHILD. */
static void await_end(int pidfd)
{
	siginfo_t info;
	long result;

	do
		result = stoa_system_call(SYS_waitid, P_PIDFD, pidfd,
		                          (long)&info, WEXITED | __WCLONE, 0, 0);
	while (result == -EINTR || result == -EAGAIN);
	stoa_sys_close(pidfd);
}

/* -EINTR: a handler has run, and the waiter is told to die. poll is never
 * restarted after one; waitid may be. */
static int await_interruptibly(int pidfd)
{
	struct pollfd poll = { .fd = pidfd, .events = POLLIN };
	long result = stoa_system_call(SYS_ppoll, (long)&poll, 1, 0, 0, 0, 0);

	if (result >= 0)
		return 0;
	stoa_system_call(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0, 0, 0);
	return result == -EINTR ? -EINTR : 0;
}

/* WAITING: the waiter was killed, by its timer or by somebody. */
static int wait_by_process(const struct stoa_file_request *request,
                           struct stoa_deadline deadline, bool interruptible)
{
	struct waiter waiter;
	int pidfd, interrupted = 0;
	int result;

	prepare(&waiter, request, deadline);
	result = start(&waiter, &pidfd);
	if (result < 0)
		return result;
	if (interruptible)
		interrupted = await_interruptibly(pidfd);
	await_end(pidfd);
	atomic_signal_fence(memory_order_seq_cst);
	if (waiter.result == 0)
		return 0;
	if (stoa_file_lock_ask(request) == 0)
		return 0;
	if (waiter.result == -EAGAIN)
		return explain_timer();
	return waiter.result == WAITING && interrupted ? interrupted :
	                                                 (int)waiter.result;
}

/* Handlers run; those installed without SA_RESTART end the call, not the wait. */
static int wait_for_ever(const struct stoa_file_request *request)
{
	long result;

	do
		result = request->operation ?
		                 stoa_system_call(SYS_flock, request->fd,
		                                  request->operation, 0, 0, 0,
		                                  0) :
		                 stoa_system_call(SYS_fcntl, request->fd,
		                                  F_OFD_SETLKW,
		                                  (long)&request->range, 0, 0,
		                                  0);
	while (result == -EINTR);
	return (int)result;
}

int stoa_file_lock_wait(const struct stoa_file_request *request,
                        struct stoa_deadline deadline, bool interruptible)
{
	int result;

	if (deadline.kind == STOA_DEADLINE_FOREVER && !interruptible)
		return wait_for_ever(request);
	do {
		if (stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
		result = wait_by_process(request, deadline, interruptible);
	} while (result == WAITING);
	return result;
}
