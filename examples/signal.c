/* SPDX-License-Identifier: MIT */
/* signal.c: what coalesces and what queues, a child's end, and a process that
 * has gone. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stoa_signal_target *target_of(pid_t pid)
{
	struct stoa_signal_target *target = NULL;

	if (stoa_signal_target_open(pid, STOA_SIGNAL_PROCESS, &target) < 0)
		errx(1, "%s", stoa_last_error());
	return target;
}

static void queue(struct stoa_signal_target *target, int number, int value)
{
	union sigval one = { .sival_int = value };

	if (stoa_signal_queue(target, number, one) < 0)
		errx(1, "%s", stoa_last_error());
}

static void show_queued(struct stoa_signal *signal)
{
	struct stoa_signal_target *self = target_of(getpid());
	char name[STOA_SIGNAL_NAME_MAX];
	struct stoa_signal_info info;

	queue(self, SIGUSR1, 21);
	queue(self, SIGUSR1, 22); /* lost: one is pending already */
	queue(self, SIGRTMIN + 1, 1);
	queue(self, SIGRTMIN + 1, 2);
	queue(self, SIGRTMIN, 11);
	while (stoa_signal_read(signal, &info, 1, STOA_NOW) == 1) {
		stoa_signal_name(info.number, name);
		printf("%s %d\n", name, info.value.sival_int);
	}
	stoa_signal_target_close(self);
}

static void show_child(struct stoa_signal *signal)
{
	struct stoa_signal_target *child;
	struct stoa_signal_info info;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(7);
	child = target_of(pid);
	if (stoa_signal_read(signal, &info, 1, STOA_FOREVER) == 1)
		printf("the child ended with status %d\n", info.status);
	if (stoa_signal_send(child, SIGTERM) == -ESRCH)
		printf("it has gone: no signal was sent\n");
	stoa_signal_target_close(child);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	struct stoa_signal *signal = NULL;

	if (stoa_signal_open(STOA_SIGNAL(SIGUSR1) | STOA_SIGNAL(SIGRTMIN) |
	                             STOA_SIGNAL(SIGRTMIN + 1) |
	                             STOA_SIGNAL(SIGCHLD),
	                     0, &signal) < 0)
		errx(1, "%s", stoa_last_error());
	show_queued(signal);
	show_child(signal);
	stoa_signal_close(signal);
	return 0;
}
