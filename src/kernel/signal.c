/* SPDX-License-Identifier: MIT */
/*
 * kernel/signal.c: a set of signals as a descriptor, and as messages.
 *
 * The traps of signalfd(2), and what is done about them:
 *   a signal that isn't blocked goes past it        open blocks, read looks
 *   another thread doesn't block it, and gets it    open looks at all threads
 *   a forked child's epoll watches the parent       the handle knows its maker
 *   what is blocked is inherited by exec            stoa_signal_reset()
 */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/proc.h>
#include <kernel/signal_internal.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#define NS_PER_SECOND INT64_C(1000000000)
#define BATCH 32
#define OPEN_FLAGS (STOA_INTERRUPTIBLE | STOA_SIGNAL_THIS_THREAD)

struct stoa_signal {
	int fd;
	unsigned flags;
	stoa_signal_set set;
	stoa_signal_set blocked; /* by open, to be unblocked by close */
	pid_t pid, tid;          /* who opened it */
};

/* ---- Opening -------------------------------------------------------------------- */

struct look {
	stoa_signal_set set, open; /* not blocked by `tid` */
	pid_t tid;
};

static int look_at_thread(const struct stoa_signal_state *state, void *context)
{
	struct look *look = context;

	look->open = look->set & ~state->blocked;
	look->tid = state->tid;
	return look->open && state->state != 'Z' && state->state != 'X';
}

static int check_threads(stoa_signal_set set)
{
	struct look look = { .set = set };
	char name[STOA_SIGNAL_NAME_MAX];
	int result = stoa_signal_each_thread(0, look_at_thread, &look);

	if (result >= 0 && look.open)
		return stoa_fail(-EBUSY,
		                 "thread %d doesn't block %s, and would get it "
		                 "instead; block it before threads are started",
		                 (int)look.tid,
		                 stoa_signal_first(look.open, name));
	return result < 0 ? result : 0;
}

static int check_open(stoa_signal_set set, unsigned flags)
{
	if (!set || (flags & ~OPEN_FLAGS))
		return stoa_fail(-EINVAL, set ? "unknown flags of signals" :
		                                "no signals to take");
	return stoa_signal_check_set(set, "taken");
}

int stoa_signal_open(stoa_signal_set set, unsigned flags,
                     struct stoa_signal **ret_signal)
{
	struct stoa_signal *signal;
	stoa_signal_set before = 0;
	int result = check_open(set, flags);

	if (result < 0)
		return result;
	signal = malloc(sizeof *signal);
	if (!signal)
		return stoa_fail(-ENOMEM, "no memory to take signals");
	result = stoa_signal_mask(SIG_BLOCK, set, &before);
	if (result < 0)
		goto free;
	if (!(flags & STOA_SIGNAL_THIS_THREAD))
		result = check_threads(set);
	if (result < 0)
		goto unblock;
	result = (int)stoa_system_call(SYS_signalfd4, -1, (long)&set,
	                               SIGNAL_SET_BYTES,
	                               SFD_CLOEXEC | SFD_NONBLOCK, 0, 0);
	if (result < 0) {
		stoa_fail(result, "no descriptor for signals: %s",
		          strerrordesc_np(-result));
		goto unblock;
	}
	*signal = (struct stoa_signal){
		.fd = result,
		.flags = flags,
		.set = set,
		.blocked = set & ~before,
		.pid = stoa_sys_getpid(),
		.tid = (pid_t)stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0),
	};
	*ret_signal = signal;
	return 0;

unblock:
	stoa_signal_mask(SIG_UNBLOCK, set & ~before, NULL);
free:
	free(signal);
	return result;
}

void stoa_signal_close(struct stoa_signal *signal)
{
	if (!signal)
		return;
	stoa_sys_close(signal->fd);
	if (signal->tid ==
	    stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0))
		stoa_signal_mask(SIG_UNBLOCK, signal->blocked, NULL);
	free(signal);
}

int stoa_signal_pollfd(const struct stoa_signal *signal)
{
	return signal->fd;
}

/* ---- Taking ----------------------------------------------------------------------- */

static struct stoa_signal_info from_record(const struct signalfd_siginfo *one,
                                           int64_t when_ns)
{
	struct stoa_signal_info told = {
		.number = (int32_t)one->ssi_signo,
		.code = one->ssi_code,
		.pid = (int32_t)one->ssi_pid,
		.uid = one->ssi_uid,
		.address = one->ssi_addr,
		.status = one->ssi_status,
		.fd = one->ssi_fd,
		.timer = (int32_t)one->ssi_tid,
		.origin = stoa_signal_origin_of(one->ssi_code),
		.when_ns = when_ns,
		.overrun = one->ssi_overrun,
	};

	/* The integer is half of the pointer, and the kernel fills both. */
	if (told.origin == STOA_SIGNAL_BY_VALUE || one->ssi_code == SI_TIMER)
		memcpy(&told.value, &one->ssi_ptr, sizeof one->ssi_ptr);
	return told;
}

/* What there is. How many, or -EAGAIN, -errno. */
static ssize_t take_some(struct stoa_signal *signal,
                         struct stoa_signal_info *ret_infos, size_t count)
{
	struct signalfd_siginfo records[BATCH];
	size_t most = count < BATCH ? count : BATCH;
	ssize_t got = stoa_sys_read(signal->fd, records, most * sizeof *records);

	if (got == -EAGAIN || got == -EINTR)
		return got;
	if (got < 0)
		return stoa_fail((int)got, "taking signals: %s",
		                 strerrordesc_np((int)-got));
	got /= (ssize_t)sizeof *records;
	int64_t now = stoa_sys_clock_ns(CLOCK_REALTIME);
	for (ssize_t i = 0; i < got; i++)
		ret_infos[i] = from_record(&records[i], now);
	return got;
}

/* Until a signal is there. 0: go and look; -EAGAIN, -ETIMEDOUT, -EINTR. */
static int wait_for_one(struct stoa_signal *signal,
                        struct stoa_deadline deadline)
{
	struct pollfd asked = { signal->fd, POLLIN, 0 };

	for (;;) {
		int64_t left = stoa_signal_patience(deadline);
		struct timespec timeout = { left / NS_PER_SECOND,
			                    left % NS_PER_SECOND };
		long result = stoa_system_call(
		        SYS_ppoll, (long)&asked, 1,
		        left == INT64_MAX ? 0 : (long)&timeout, 0, 0, 0);

		if (result > 0)
			return 0;
		if (result == -EINTR && (signal->flags & STOA_INTERRUPTIBLE))
			return -EINTR;
		if (result < 0 && result != -EINTR)
			return stoa_fail((int)result, "waiting for signals: %s",
			                 strerrordesc_np((int)-result));
		if (result == 0 && stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
	}
}

static int check_reader(const struct stoa_signal *signal)
{
	if (signal->pid != stoa_sys_getpid())
		return stoa_fail(-ESTALE,
		                 "signals opened by process %d before it forked "
		                 "are that process's; open your own",
		                 (int)signal->pid);
	return stoa_signal_check_blocked(signal->set);
}

ssize_t stoa_signal_read(struct stoa_signal *signal,
                         struct stoa_signal_info *ret_infos, size_t count,
                         struct stoa_deadline deadline)
{
	ssize_t result = check_reader(signal);

	if (result < 0)
		return result;
	if (!count)
		return stoa_fail(-EINVAL, "no room for a signal");
	do {
		result = take_some(signal, ret_infos, count);
		if (result == -EAGAIN)
			result = wait_for_one(signal, deadline);
		else if (result == -EINTR &&
		         !(signal->flags & STOA_INTERRUPTIBLE))
			result = 0;
	} while (result == 0);
	return result;
}

/* ---- Into a queue ------------------------------------------------------------------- */

/* Room first: a signal that was taken must not find the queue full. */
static int forward_one(struct stoa_signal *signal, struct stoa_queue *queue,
                       struct stoa_deadline deadline)
{
	struct stoa_message message = { 0 };
	struct stoa_signal_info info;
	int result = wait_for_one(signal, deadline);

	if (result == 0 && STOA_BUG(111))
		stoa_signal_read(signal, &info, 1, STOA_NOW);
	if (result == 0)
		result = stoa_queue_reserve(queue, sizeof info, deadline,
		                            &message);
	if (result < 0)
		return result;
	ssize_t got = stoa_signal_read(signal, &info, 1, STOA_NOW);
	if (got < 0) {
		stoa_queue_cancel(queue, &message);
		return (int)got;
	}
	memcpy(message.data, &info, sizeof info);
	message.type = info.number;
	message.priority = (uint32_t)(STOA_SIGNAL_MAX - info.number);
	return stoa_queue_commit(queue, &message);
}

int64_t stoa_signal_forward(struct stoa_signal *signal,
                            struct stoa_queue *queue, uint64_t most,
                            struct stoa_deadline deadline)
{
	int64_t sent = 0;
	int result = check_reader(signal);

	while (result >= 0 && (uint64_t)sent < most && sent < INT64_MAX) {
		result = forward_one(signal, queue, deadline);
		if (result >= 0)
			sent++;
		/* Another thread took it meanwhile. */
		else if (result == -EAGAIN && stoa_deadline_left(deadline))
			result = 0;
	}
	return sent ? sent : result;
}
