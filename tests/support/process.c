/* SPDX-License-Identifier: MIT */
/* process.c: children that report and obey, and waiting for what others do. */
#include "support.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

enum { POLL_NS = 200000 }; /* how often the state of another task is read */

static int report_fd = -1;
static int order_fd = -1;

struct body {
	void (*run)(void *context);
	void *context;
};

static void run_body(void **state)
{
	struct body *body = *state;

	body->run(body->context);
}

struct child start_child(void (*run)(void *context), void *context)
{
	struct body body = { run, context };
	struct CMUnitTest test = { "child", run_body, NULL, NULL, &body };
	int reports[2];
	int orders[2];
	pid_t pid;

	assert_system(pipe2(reports, O_CLOEXEC));
	assert_system(pipe2(orders, O_CLOEXEC));
	pid = fork();
	assert_system(pid);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(reports[0]);
		close(orders[1]);
		report_fd = reports[1];
		order_fd = orders[0];
		_exit(_cmocka_run_group_tests("child", &test, 1, NULL, NULL));
	}
	close(reports[1]);
	close(orders[0]);
	return (struct child){ pid, reports[0], orders[1] };
}

struct child watch_child(pid_t pid)
{
	return (struct child){ pid, -1, -1 };
}

void report(int64_t value)
{
	assert_int_equal(write(report_fd, &value, sizeof(value)),
	                 sizeof(value));
}

int64_t await_order(void)
{
	int64_t value;

	assert_int_equal(read(order_fd, &value, sizeof(value)), sizeof(value));
	return value;
}

int64_t await_report(struct child *child)
{
	int64_t value;
	ssize_t bytes;

	do {
		bytes = read(child->reports, &value, sizeof(value));
	} while (bytes < 0 && errno == EINTR);
	if (bytes != sizeof(value))
		fail_msg("child %d ended without a report", child->pid);
	return value;
}

void give_order(struct child *child, int64_t value)
{
	assert_int_equal(write(child->orders, &value, sizeof(value)),
	                 sizeof(value));
}

static int reap(struct child *child)
{
	int status;
	pid_t pid;

	do {
		pid = waitpid(child->pid, &status, 0);
	} while (pid < 0 && errno == EINTR);
	assert_int_equal(pid, child->pid);
	if (child->reports >= 0) {
		close(child->reports);
		close(child->orders);
	}
	child->pid = -1;
	return status;
}

void end_child(struct child *child)
{
	int status = reap(child);

	if (status != 0)
		fail_msg("the child ended with status %#x", status);
}

void kill_child(struct child *child)
{
	int status;

	assert_system(kill(child->pid, SIGKILL));
	status = reap(child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the child ended by itself: %#x", status);
}

void stop_child(struct child *child)
{
	int status;

	assert_system(kill(child->pid, SIGSTOP));
	assert_int_equal(waitpid(child->pid, &status, WUNTRACED), child->pid);
	assert_true(WIFSTOPPED(status));
}

void continue_child(struct child *child)
{
	assert_system(kill(child->pid, SIGCONT));
}

static void pause_briefly(void)
{
	struct timespec pause = { 0, POLL_NS };

	nanosleep(&pause, NULL);
}

static bool is_blocking_call(long number)
{
	static const long calls[] = {
		SYS_futex, SYS_futex_wait,  SYS_futex_waitv,
		SYS_ppoll, SYS_epoll_pwait, SYS_io_uring_enter,
#ifdef SYS_poll
		SYS_poll,  SYS_epoll_wait,
#endif
	};

	for (size_t i = 0; i < LENGTH(calls); i++)
		if (calls[i] == number)
			return true;
	return false;
}

static bool is_blocked(pid_t task)
{
	char path[64];
	long number;
	FILE *file;
	int matched;

	snprintf(path, sizeof(path), "/proc/%d/syscall", task);
	file = fopen(path, "re");
	if (file == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	matched = fscanf(file, "%ld", &number);
	fclose(file);
	return matched == 1 && is_blocking_call(number);
}

void until_blocked(pid_t task)
{
	while (!is_blocked(task)) {
		if (kill(task, 0) != 0)
			fail_msg("task %d is gone", task);
		pause_briefly();
	}
}

bool has_report(struct child *child)
{
	struct pollfd report = { child->reports, POLLIN, 0 };

	return poll(&report, 1, 0) != 0;
}

void signal_until_report(struct child *child, int number)
{
	while (!has_report(child)) {
		if (is_blocked(child->pid))
			assert_system(kill(child->pid, number));
		pause_briefly();
	}
}

void until_waiting(struct stoa_queue *queue, uint32_t receivers,
                   uint32_t senders)
{
	for (;;) {
		struct stoa_queue_stat stat = stat_of(queue);

		if (stat.receivers_waiting == receivers &&
		    stat.senders_waiting == senders)
			return;
		pause_briefly();
	}
}

void become_nobody(void)
{
	assert_system(setgroups(0, NULL));
	assert_system(setresgid(NOBODY, NOBODY, NOBODY));
	assert_system(setresuid(NOBODY, NOBODY, NOBODY));
}

void mount_small_space(const char *bytes)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%s,mode=0700", bytes);
	if (unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", case_directory(), "tmpfs", 0, options) != 0)
		skip_case("no mount of a small tmpfs allowed");
}

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}
