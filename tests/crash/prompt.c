/* SPDX-License-Identifier: MIT */
/*
 * prompt.c: is what must follow on a death there in time? The time counts from
 * the kernel's word that the victim is gone (waitpid) to the return of whoever
 * was to be told, less what it stood ready to run while others had the
 * processor (/proc/PID/schedstat): that is the machine's doing, not ours. What
 * else the machine may do (it ran a kernel thread, the tracer, or wrote to a
 * disk) is not known so well, so a late one is tried again by itself, and
 * fails when it is late LATE_TRIES times in a row.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "subject.h"

#define LATE_TRIES 8u

int64_t ready_ns(pid_t pid)
{
	char path[64], text[128];
	char *at;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return 0; /* not told here: nothing is allowed for */
	text[got] = '\0';
	strtoll(text, &at, 10); /* how long it ran */
	return strtoll(at, NULL, 10);
}

void prompt_begin(struct scene *s)
{
	s->dead_ns = clock_ns();
	s->ready_ns = ready_ns(getpid());
}

static int judge(struct scene *s, const char *what, int64_t spent)
{
	if (spent > (int64_t)board->slowest_ns)
		board->slowest_ns = (uint64_t)spent;
	if (spent <= s->subject->prompt_ns)
		return 0;
	board->late = 1;
	return trouble("%s %.1f ms after the death, of %.1f", what,
		       (double)spent / 1e6,
		       (double)s->subject->prompt_ns / 1e6);
}

int prompt_check(struct scene *s, const char *what)
{
	return judge(s, what, clock_ns() - s->dead_ns -
				      (ready_ns(getpid()) - s->ready_ns));
}

void prompt_watch(struct scene *s)
{
	s->dead_ns = clock_ns();
	s->ready_ns = ready_ns(s->pids[WAITER]);
}

int prompt_waiter(struct scene *s)
{
	const struct note *note = &s->notes[WAITER];

	return judge(s, "the waiter ended",
		     note->returned_ns - s->dead_ns -
			     (note->ready_ns - s->ready_ns));
}

int judged(int result, uint32_t *tries)
{
	if (result == 0) {
		experiment_passed();
		return 1;
	}
	if (!board->late || ++*tries == LATE_TRIES) {
		experiment_failed();
		return 1;
	}
	board->counts.late++;
	if (settings.verbose)
		printf("late %s: %s\n", board->where, board->trouble);
	experiment_again();
	return 0;
}
