/* SPDX-License-Identifier: MIT */
/*
 * kernel/process_wait.c: the end of a command, and signals to it.
 *
 * All by its pidfd. The wait is waitid(P_PIDFD), which sees this child and no
 * other; when another waiter of the process was there first, the kernel (since
 * Linux 6.15) has kept the status with the pidfd.
 */
#include <base/bug.h>
#include <base/deadline.h>
#include <kernel/process_internal.h>

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NS_PER_SECOND 1000000000
#define NS_PER_MICROSECOND 1000
#define BYTES_PER_KILOBYTE 1024
#define SIGNAL_LAST 64
#define GROUP_PAUSE_NS 2000000

/* Of linux/pidfd.h, which may be older than the kernel. */
#define SIGNAL_PROCESS_GROUP (1u << 2)
#define INFO_EXIT (UINT64_C(1) << 3)

struct pidfd_information {
	uint64_t mask, cgroup;
	uint32_t ids[11];
	int32_t exit_code; /* as wait(2) has it */
};

#define PIDFD_GET_INFORMATION _IOWR(0xff, 11, struct pidfd_information)

/* ---- The end ----------------------------------------------------------------------- */

static int64_t time_ns(const struct timeval *time)
{
	return (int64_t)time->tv_sec * NS_PER_SECOND +
	       (int64_t)time->tv_usec * NS_PER_MICROSECOND;
}

static void note_use(struct stoa_process_status *status,
                     const struct rusage *used)
{
	status->user_ns = time_ns(&used->ru_utime);
	status->system_ns = time_ns(&used->ru_stime);
	status->resident_bytes = (uint64_t)used->ru_maxrss * BYTES_PER_KILOBYTE;
	status->minor_faults = (uint64_t)used->ru_minflt;
	status->major_faults = (uint64_t)used->ru_majflt;
	status->blocks_in = (uint64_t)used->ru_inblock;
	status->blocks_out = (uint64_t)used->ru_oublock;
	status->waits = (uint64_t)used->ru_nvcsw;
	status->preemptions = (uint64_t)used->ru_nivcsw;
}

static void note_end(struct process_member *member, const siginfo_t *info)
{
	struct stoa_process_status *status = &member->status;

	status->state = info->si_code == CLD_EXITED   ? STOA_PROCESS_EXITED
	                : info->si_code == CLD_DUMPED ? STOA_PROCESS_DUMPED
	                                              : STOA_PROCESS_KILLED;
	status->code = info->si_status;
	status->ended_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	member->ended = 1;
}

/* Somebody else has had the status. */
static int ask_kernel(struct process_member *member)
{
	struct pidfd_information known = { .mask = INFO_EXIT };
	long result = stoa_system_call(SYS_ioctl, member->pidfd,
	                               (long)PIDFD_GET_INFORMATION,
	                               (long)&known, 0, 0, 0);
	siginfo_t info = { .si_code = CLD_EXITED };

	if (result < 0 || !(known.mask & INFO_EXIT)) {
		member->ended = member->lost = 1;
		return -ECHILD;
	}
	info.si_status = WEXITSTATUS(known.exit_code);
	if (WIFSIGNALED(known.exit_code)) {
		info.si_code =
			WCOREDUMP(known.exit_code) ? CLD_DUMPED : CLD_KILLED;
		info.si_status = WTERMSIG(known.exit_code);
	}
	member->status.flags |= STOA_PROCESS_STOLEN;
	note_end(member, &info);
	return 1;
}

/* What is polled for is seen. */
static void leave_epoll(struct stoa_process *process,
                        const struct process_member *member)
{
	if (process->epoll >= 0)
		stoa_system_call(SYS_epoll_ctl, process->epoll, EPOLL_CTL_DEL,
		                 member->pidfd, 0, 0, 0);
}

int process_reap(struct stoa_process *process, struct process_member *member,
                 int block)
{
	siginfo_t info = { 0 };
	struct rusage used;
	long result;

	if (member->ended)
		return member->lost ? -ECHILD : 1;
	result = stoa_system_call(SYS_waitid, P_PIDFD, member->pidfd,
	                          (long)&info,
	                          WEXITED | __WALL | (block ? 0 : WNOHANG),
	                          (long)&used, 0);
	if (result == -ECHILD) {
		result = ask_kernel(member);
	} else if (result < 0) {
		return (int)result;
	} else if (info.si_pid == 0) {
		return 0;
	} else {
		note_use(&member->status, &used);
		note_end(member, &info);
		result = 1;
	}
	leave_epoll(process, member);
	return (int)result;
}

/* ---- Wait -------------------------------------------------------------------------- */

static int check_size(const struct stoa_process *process,
                      const struct stoa_process_status *status)
{
	if (!status || status->size == sizeof *status)
		return 0;
	return stoa_fail(-EINVAL,
	                 "status of command %s: size must be "
	                 "sizeof(struct stoa_process_status)",
	                 process->member[0].name);
}

int process_check_wait(const struct stoa_process *process,
                       const struct stoa_process_status *status)
{
	int result = check_size(process, status);

	if (result < 0 || process->owner == stoa_sys_getpid())
		return result;
	return stoa_fail(-ECHILD,
	                 "command %s was started by process %d, and only that "
	                 "one can wait for it",
	                 process->member[0].name, process->owner);
}

static int copy_status(const struct process_member *member,
                       struct stoa_process_status *ret_status)
{
	if (member->lost)
		return stoa_fail(-ECHILD,
		                 "command %s has ended, but somebody else of "
		                 "this process waited for it (wait(2), or "
		                 "SIGCHLD is ignored)",
		                 member->name);
	if (!ret_status)
		return 0;
	*ret_status = member->status;
	ret_status->size = sizeof *ret_status;
	return 0;
}

static int has_failed(const struct process_member *member)
{
	return member->lost || member->status.state != STOA_PROCESS_EXITED ||
	       member->status.code != 0;
}

int process_give_status(struct stoa_process *process,
                        struct stoa_process_status *ret_status)
{
	size_t last = process->count - 1;

	for (size_t i = process->count; i-- > 0;) {
		if (!has_failed(&process->member[i]))
			continue;
		last = i;
		if (!STOA_BUG(123))
			break;
	}
	return copy_status(&process->member[last], ret_status);
}

int stoa_process_wait(struct stoa_process *process,
                      struct stoa_deadline deadline,
                      struct stoa_process_status *ret_status)
{
	int result = process_check_wait(process, ret_status);

	if (result == 0)
		result = process_settle(process, NULL, deadline);
	return result < 0 ? result : process_give_status(process, ret_status);
}

int stoa_process_communicate(struct stoa_process *process,
                             struct stoa_process_exchange *exchange,
                             struct stoa_deadline deadline,
                             struct stoa_process_status *ret_status)
{
	int result = process_check_wait(process, ret_status);

	if (result == 0)
		result = process_check_exchange(process, exchange);
	if (result == 0)
		result = process_settle(process, exchange, deadline);
	return result < 0 ? result : process_give_status(process, ret_status);
}

int stoa_process_stat(struct stoa_process *process, size_t command,
                      struct stoa_process_status *ret_status)
{
	int result = process_check_wait(process, ret_status);

	if (result < 0)
		return result;
	if (command >= process->count)
		return stoa_fail(-EINVAL,
		                 "there is no command %zu: %s and so on are "
		                 "%zu, from 0",
		                 command, process->member[0].name,
		                 process->count);
	do
		result = process_reap(process, &process->member[command], 0);
	while (result == -EINTR);
	if (result < 0 && result != -ECHILD)
		return stoa_fail(result, "command %s: %s",
		                 process->member[command].name,
		                 strerror(-result));
	return copy_status(&process->member[command], ret_status);
}

/* ---- Signals ----------------------------------------------------------------------- */

static long signal_group(const struct process_member *member, int number)
{
	long result = stoa_system_call(SYS_pidfd_send_signal, member->pidfd,
	                               number, 0, SIGNAL_PROCESS_GROUP, 0, 0);

	if (result != -EINVAL || number < 0 || number > SIGNAL_LAST)
		return result;
	/* Before Linux 6.9. Until it has been waited for, the number is its. */
	if (member->ended)
		return -ESRCH;
	return stoa_system_call(SYS_kill, -member->pid, number, 0, 0, 0, 0);
}

/* Its number means it until it has been waited for; if somebody else did that,
 * the pidfd reaches nobody. */
static int has_left_group(const struct process_member *member)
{
	return !member->ended &&
	       stoa_system_call(SYS_getpgid, member->pid, 0, 0, 0, 0, 0) !=
	               member->group;
}

static long signal_itself(const struct process_member *member, int number)
{
	return stoa_system_call(SYS_pidfd_send_signal, member->pidfd, number, 0,
	                        0, 0, 0);
}

/* To its group, once for all of it; and to itself, if it is in none that is
 * ours. It may leave at any instant: SIGKILL isn't lost by that. */
static long signal_member(const struct process_member *member, int number)
{
	long result = -ESRCH;

	if (member->leads)
		result = signal_group(member, number);
	if (!member->group || number == SIGKILL || has_left_group(member)) {
		long alone = signal_itself(member, number);

		if (alone == 0 || result == -ESRCH)
			result = alone;
	}
	return result;
}

int process_signal(struct stoa_process *process, int number)
{
	long all = -ESRCH;

	for (size_t i = 0; i < process->count; i++) {
		long result = signal_member(&process->member[i], number);

		if (result == 0 || (all == -ESRCH && result != -ESRCH))
			all = result;
	}
	return (int)all;
}

void process_kill(struct stoa_process *process)
{
	int result;

	do
		result = process_signal(process, SIGKILL);
	while (result == -ENOMEM || result == -EAGAIN);
}

int stoa_process_signal(struct stoa_process *process, int number)
{
	int result = process_signal(process, number);

	if (result < 0)
		return stoa_fail(result, "signal %d to command %s: %s", number,
		                 process->member[0].name,
		                 result == -ESRCH ? "it has ended"
		                                  : strerror(-result));
	return 0;
}

/* ---- Terminate --------------------------------------------------------------------- */

static int timed_out(int result)
{
	return result == -ETIMEDOUT || result == -EAGAIN;
}

static int group_is_there(const struct stoa_process *process)
{
	for (size_t i = 0; i < process->count; i++)
		if (process->member[i].leads &&
		    signal_group(&process->member[i], 0) == 0)
			return 1;
	return 0;
}

/* The others of a group, which the kernel tells nobody of. 1: they are gone. */
static int await_group(const struct stoa_process *process,
                       struct stoa_deadline grace)
{
	struct timespec pause = { 0, GROUP_PAUSE_NS };

	while (group_is_there(process)) {
		if (stoa_deadline_left(grace) == 0)
			return 0;
		stoa_system_call(SYS_ppoll, 0, 0, (long)&pause, 0, 0, 0);
	}
	return 1;
}

int process_terminate(struct stoa_process *process,
                      struct stoa_process_exchange *exchange,
                      struct stoa_deadline grace, struct stoa_deadline deadline)
{
	int result;

	if (stoa_deadline_left(deadline) < stoa_deadline_left(grace))
		grace = deadline;
	result = process_signal(process, SIGTERM);
	if (result < 0 && result != -ESRCH)
		return stoa_fail(result, "command %s can't be ended: %s",
		                 process->member[0].name, strerror(-result));
	process_signal(process, SIGCONT);
	result = process_settle(process, exchange, grace);
	if (result < 0 && !timed_out(result))
		return result;
	if (result == 0 && await_group(process, grace))
		return 0;
	process_kill(process);
	return process_settle(process, exchange, deadline);
}

int stoa_process_terminate(struct stoa_process *process,
                           struct stoa_deadline grace,
                           struct stoa_deadline deadline,
                           struct stoa_process_status *ret_status)
{
	int result = process_check_wait(process, ret_status);

	if (result == 0)
		result = process_terminate(process, NULL, grace, deadline);
	return result < 0 ? result : process_give_status(process, ret_status);
}

/* ---- The caller's ends ------------------------------------------------------------- */

static struct process_end *find_end(struct stoa_process *process, int number)
{
	for (size_t i = 0; i < process->end_count; i++)
		if (process->ends[i].number == number &&
		    process->ends[i].fd >= 0 && !process->ends[i].stream)
			return &process->ends[i];
	stoa_fail(-EBADF,
	          "descriptor %d of command %s is no pipe, or is closed here",
	          number, process->member[0].name);
	return NULL;
}

int stoa_process_fd(struct stoa_process *process, int number)
{
	struct process_end *end = find_end(process, number);

	return end ? end->fd : -EBADF;
}

int stoa_process_shut(struct stoa_process *process, int number)
{
	struct process_end *end = find_end(process, number);

	if (!end)
		return -EBADF;
	process_close_end(end);
	return 0;
}

static int make_epoll(struct stoa_process *process)
{
	long result = stoa_system_call(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0,
	                               0, 0, 0);
	int fd = (int)result;

	for (size_t i = 0; result >= 0 && i < process->count; i++) {
		struct epoll_event event = { .events = EPOLLIN };

		if (!process->member[i].ended)
			result = stoa_system_call(SYS_epoll_ctl, fd,
			                          EPOLL_CTL_ADD,
			                          process->member[i].pidfd,
			                          (long)&event, 0, 0);
	}
	if (result < 0) {
		if (fd >= 0)
			stoa_sys_close(fd);
		return stoa_fail((int)result,
		                 "a poll descriptor for command %s: %s",
		                 process->member[0].name,
		                 strerror((int)-result));
	}
	process->epoll = fd;
	return fd;
}

int stoa_process_pollfd(struct stoa_process *process)
{
	if (process->count == 1)
		return process->member[0].pidfd;
	return process->epoll >= 0 ? process->epoll : make_epoll(process);
}

pid_t stoa_process_pid(struct stoa_process *process)
{
	return process->member[0].pid;
}
