/* SPDX-License-Identifier: MIT */
/* kernel/signal_look.c: what a process's threads do with signals, as
 * /proc/PID/task/TID/status says: all of one moment. */
#include <base/error.h>
#include <base/system.h>
#include <kernel/proc.h>
#include <kernel/signal_internal.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_MAX 4096

static stoa_signal_set mask_of(const char *status, const char *name)
{
	return (stoa_signal_set)stoa_proc_number(status, name, 16, 0);
}

/* "3/96365" */
static void read_queued(const char *status, struct stoa_signal_state *state)
{
	const char *value = stoa_proc_value(status, "SigQ");
	char *end;

	if (!value)
		return;
	state->queued = strtoull(value, &end, 10);
	if (*end == '/')
		state->queue_limit = strtoull(end + 1, NULL, 10);
}

static void read_state(const char *status, struct stoa_signal_state *state)
{
	const char *command = stoa_proc_value(status, "Name");
	const char *letter = stoa_proc_value(status, "State");

	state->pid = (pid_t)stoa_proc_number(status, "Tgid", 10, 0);
	state->tid = (pid_t)stoa_proc_number(status, "Pid", 10, 0);
	state->uid = (uid_t)stoa_proc_number(status, "Uid", 10, 0);
	state->threads = (uint32_t)stoa_proc_number(status, "Threads", 10, 0);
	state->state = letter ? *letter : '?';
	if (command)
		snprintf(state->command, sizeof state->command, "%.*s",
		         (int)strcspn(command, "\n"), command);
	state->blocked = mask_of(status, "SigBlk");
	state->pending = mask_of(status, "SigPnd");
	state->shared_pending = mask_of(status, "ShdPnd");
	state->ignored = mask_of(status, "SigIgn");
	state->caught = mask_of(status, "SigCgt");
	read_queued(status, state);
}

int stoa_signal_look(pid_t pid, pid_t tid,
                     struct stoa_signal_state *ret_state)
{
	struct stoa_signal_state state = { .size = sizeof state };
	char path[PROC_PATH_MAX], status[STATUS_MAX];

	if (ret_state->size != sizeof state)
		return stoa_fail(-EINVAL, "a state's size is %zu, not %u",
		                 sizeof state, ret_state->size);
	if (pid == 0)
		pid = stoa_sys_getpid();
	snprintf(path, sizeof path, "/proc/%d/task/%d/status", (int)pid,
	         (int)(tid ? tid : pid));
	ssize_t result = stoa_proc_status(path, status, sizeof status);
	if (result == -ESRCH)
		return stoa_fail(-ESRCH,
		                 tid && tid != pid ?
		                         "process %d has no thread %d" :
		                         "there is no process %d",
		                 (int)pid, (int)tid);
	if (result < 0)
		return stoa_fail((int)result, "%s: %s", path,
		                 strerrordesc_np((int)-result));
	read_state(status, &state);
	*ret_state = state;
	return 0;
}

struct walk {
	pid_t pid;
	int visited, result;
	int (*visit)(const struct stoa_signal_state *state, void *context);
	void *context;
};

static int visit_thread(int number, void *context)
{
	struct stoa_signal_state state = { .size = sizeof state };
	struct walk *walk = context;
	int result = stoa_signal_look(walk->pid, (pid_t)number, &state);

	if (result == -ESRCH) /* it ended meanwhile */
		return 0;
	if (result < 0) {
		walk->result = result;
		return 1;
	}
	walk->visited++;
	walk->result = walk->visit(&state, walk->context);
	return walk->result != 0;
}

int stoa_signal_each_thread(
        pid_t pid,
        int (*visit)(const struct stoa_signal_state *state, void *context),
        void *context)
{
	struct walk walk = { .pid = pid ? pid : stoa_sys_getpid(),
		             .visit = visit,
		             .context = context };
	char path[PROC_PATH_MAX];

	snprintf(path, sizeof path, "/proc/%d/task", (int)walk.pid);
	int result = stoa_proc_each(path, visit_thread, &walk);
	if (result < 0)
		return result == -ESRCH ? stoa_fail(-ESRCH,
		                                    "there is no process %d",
		                                    (int)walk.pid) :
		                          stoa_fail(result, "%s: %s", path,
		                                    strerrordesc_np(-result));
	return walk.result ? walk.result : walk.visited;
}
