/* SPDX-License-Identifier: MIT */
/*
 * kernel/process_wait.c: the end of a command, and signals to it.
 *
 * All by its pidfd. The wait is waitid(P_PIDFD), which sees this child and no
 * other; when another waiter of the process was there first, the kernel (since
 * Linux 6.15) has kept the status with the pidfd.
 */
#include <base/deadline.h>
#include <base/futex.h>
#include <kernel/process_internal.h>

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NS_PER_SECOND 1000000000
#define NS_PER_MICROSECOND 1000
#define BYTES_PER_KILOBYTE 1024

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

static void note_end(struct stoa_process *process, const siginfo_t *info)
{
	struct stoa_process_status *status = &process->status;

	status->state = info->si_code == CLD_EXITED   ? STOA_PROCESS_EXITED
	                : info->si_code == CLD_DUMPED ? STOA_PROCESS_DUMPED
	                                              : STOA_PROCESS_KILLED;
	status->code = info->si_status;
	status->ended_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	process->ended = 1;
}

/* Somebody else has had the status. */
static int ask_kernel(struct stoa_process *process)
{
	struct pidfd_information known = { .mask = INFO_EXIT };
	long result = stoa_system_call(SYS_ioctl, process->pidfd,
	                               (long)PIDFD_GET_INFORMATION,
	                               (long)&known, 0, 0, 0);
	siginfo_t info = { .si_code = CLD_EXITED };

	process->ended = 1;
	if (result < 0 || !(known.mask & INFO_EXIT))
		return -ECHILD;
	info.si_status = WEXITSTATUS(known.exit_code);
	if (WIFSIGNALED(known.exit_code)) {
		info.si_code =
			WCOREDUMP(known.exit_code) ? CLD_DUMPED : CLD_KILLED;
		info.si_status = WTERMSIG(known.exit_code);
	}
	process->status.flags |= STOA_PROCESS_STOLEN;
	note_end(process, &info);
	return 1;
}

int process_reap(struct stoa_process *process, int block)
{
	siginfo_t info = { 0 };
	struct rusage used;
	long result;

	if (process->ended)
		return process->status.state == STOA_PROCESS_RUNNING ? -ECHILD
		                                                     : 1;
	result = stoa_system_call(SYS_waitid, P_PIDFD, process->pidfd,
	                          (long)&info,
	                          WEXITED | __WALL | (block ? 0 : WNOHANG),
	                          (long)&used, 0);
	if (result == -ECHILD)
		return ask_kernel(process);
	if (result < 0)
		return (int)result;
	if (info.si_pid == 0)
		return 0;
	note_use(&process->status, &used);
	note_end(process, &info);
	return 1;
}

/* ---- Wait -------------------------------------------------------------------------- */

static int await_end(struct stoa_process *process,
                     struct stoa_deadline deadline)
{
	struct pollfd poll = { .fd = process->pidfd, .events = POLLIN };
	int64_t left = stoa_deadline_left(deadline);

	if (left == 0)
		return stoa_deadline_result(deadline);
	/* The clock may be set. */
	if (deadline.clock != CLOCK_MONOTONIC && left > STOA_SLICE_NS)
		left = STOA_SLICE_NS;
	struct timespec time = { left / NS_PER_SECOND, left % NS_PER_SECOND };
	long result = stoa_system_call(SYS_ppoll, (long)&poll, 1, (long)&time,
	                               0, 0, 0);

	return result < 0 ? (int)result : 0;
}

static int wait_for_end(struct stoa_process *process,
                        struct stoa_deadline deadline)
{
	int block = deadline.kind == STOA_DEADLINE_FOREVER;

	for (;;) {
		int result = process_reap(process, block);

		if (result == 0)
			result = await_end(process, deadline);
		if (result == -EINTR && !(process->flags & STOA_INTERRUPTIBLE))
			continue;
		if (result != 0)
			return result < 0 ? result : 0;
	}
}

static void give_status(const struct stoa_process *process,
                        struct stoa_process_status *ret_status)
{
	uint32_t size = ret_status->size;

	*ret_status = process->status;
	ret_status->size = size;
}

static int check_status(const struct stoa_process *process,
                        const struct stoa_process_status *status)
{
	if (!status || status->size == sizeof *status)
		return 0;
	return stoa_fail(-EINVAL,
	                 "status of command %s: size must be "
	                 "sizeof(struct stoa_process_status)",
	                 process->name);
}

static int check_owner(const struct stoa_process *process)
{
	if (process->owner == stoa_sys_getpid())
		return 0;
	return stoa_fail(-ECHILD,
	                 "command %s was started by process %d, and only that "
	                 "one can wait for it",
	                 process->name, process->owner);
}

int stoa_process_wait(struct stoa_process *process,
                      struct stoa_deadline deadline,
                      struct stoa_process_status *ret_status)
{
	int result = check_status(process, ret_status);

	if (result == 0)
		result = check_owner(process);
	if (result == 0)
		result = wait_for_end(process, deadline);
	if (result == -ECHILD && process->ended)
		return stoa_fail(result,
		                 "command %s has ended, but somebody else of "
		                 "this process waited for it (wait(2), or "
		                 "SIGCHLD is ignored)",
		                 process->name);
	if (result == 0 && ret_status)
		give_status(process, ret_status);
	return result;
}

/* ---- Signals ----------------------------------------------------------------------- */

static long signal_group(struct stoa_process *process, int number)
{
	long result = stoa_system_call(SYS_pidfd_send_signal, process->pidfd,
	                               number, 0, SIGNAL_PROCESS_GROUP, 0, 0);

	if (result != -EINVAL || number < 0 || number > 64)
		return result;
	/* Before Linux 6.9. Until it has been waited for, the number is its. */
	if (process->ended)
		return -ESRCH;
	return stoa_system_call(SYS_kill, -process->pid, number, 0, 0, 0, 0);
}

int stoa_process_signal(struct stoa_process *process, int number)
{
	long result;

	if (process->flags & (STOA_PROCESS_GROUP | STOA_PROCESS_SESSION))
		result = signal_group(process, number);
	else
		result = stoa_system_call(SYS_pidfd_send_signal, process->pidfd,
		                          number, 0, 0, 0, 0);
	if (result < 0)
		return stoa_fail((int)result, "signal %d to command %s: %s",
		                 number, process->name,
		                 result == -ESRCH ? "it has ended"
		                                  : strerror((int)-result));
	return 0;
}

/* ---- The caller's ends ------------------------------------------------------------- */

static struct process_end *find_end(struct stoa_process *process, int number)
{
	for (size_t i = 0; i < process->end_count; i++)
		if (process->ends[i].number == number &&
		    process->ends[i].fd >= 0)
			return &process->ends[i];
	stoa_fail(-EBADF,
	          "descriptor %d of command %s is no pipe, or is closed here",
	          number, process->name);
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
	stoa_sys_close(end->fd);
	end->fd = -1;
	return 0;
}

int stoa_process_pollfd(struct stoa_process *process)
{
	return process->pidfd;
}

pid_t stoa_process_pid(struct stoa_process *process)
{
	return process->pid;
}
