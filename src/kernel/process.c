/* SPDX-License-Identifier: MIT */
/* kernel/process.c: the handle of one command or several: made, started, put
 * away. One command is in process_plan.c, from clone to exec process_child.c,
 * their end process_wait.c, bytes process_move.c. */
#include <base/bug.h>
#include <base/deadline.h>
#include <kernel/process_internal.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* A forked child isn't the parent. */
static void forked(struct stoa_fork *entry)
{
	struct stoa_process *process =
		(void *)((char *)entry - offsetof(struct stoa_process, fork));

	for (size_t i = 0; i < PROCESS_COMMANDS_MAX; i++) {
		struct process_member *member = &process->member[i];

		if (member->last)
			break;
		if (member->guard >= 0)
			stoa_sys_close(member->guard);
		member->guard = -1;
	}
}

static size_t count_ends(const struct stoa_process_command *commands,
                         size_t count)
{
	size_t ends = 0;

	for (size_t i = 0; i < count; i++) {
		const struct stoa_process_attributes *given =
			commands[i].attributes;

		ends += 3; /* a terminal's two are of these */
		if (given && given->size == sizeof *given &&
		    given->more_count <= PROCESS_MORE_MAX)
			ends += given->more_count;
	}
	return ends;
}

static struct stoa_process *
make_process(const struct stoa_process_command *commands, size_t count)
{
	size_t ends = count_ends(commands, count);
	struct stoa_process *process = calloc(
		1, sizeof *process + (count + 1) * sizeof *process->member);

	if (!process)
		return NULL;
	process->ends = calloc(ends, sizeof *process->ends);
	process->polls = calloc(2 * ends + count, sizeof *process->polls);
	if (!process->ends || !process->polls) {
		free(process->ends);
		free(process->polls);
		free(process);
		return NULL;
	}
	process->flags =
		commands[0].attributes ? commands[0].attributes->flags : 0;
	process->epoll = process->controller = process->terminal = -1;
	process->owner = stoa_sys_getpid();
	for (size_t i = 0; i < count; i++)
		process->member[i].pidfd = process->member[i].guard = -1;
	process->member[count].last = 1;
	process->fork.child = forked;
	return process;
}

void process_close_end(struct process_end *end)
{
	if (end->fd >= 0)
		stoa_sys_close(end->fd);
	end->fd = -1;
}

static void close_descriptors(struct stoa_process *process)
{
	for (size_t i = 0; i < process->end_count; i++)
		process_close_end(&process->ends[i]);
	for (struct process_member *at = process->member; !at->last; at++) {
		if (at->guard >= 0)
			stoa_sys_close(at->guard);
		if (at->pidfd >= 0)
			stoa_sys_close(at->pidfd);
	}
	if (process->epoll >= 0)
		stoa_sys_close(process->epoll);
	if (process->controller >= 0)
		stoa_sys_close(process->controller);
	if (process->terminal >= 0)
		stoa_sys_close(process->terminal);
}

static void end_commands(struct stoa_process *process)
{
	int running = 0;

	for (size_t i = 0; i < process->count; i++)
		running |= process_reap(process, &process->member[i], 0) == 0;
	if (running)
		process_kill(process);
	/* One that may not be killed might write to a pipe that is full. */
	for (size_t i = 0; i < process->end_count; i++)
		process_close_end(&process->ends[i]);
	for (size_t i = 0; i < process->count; i++)
		while (process_reap(process, &process->member[i], 1) == -EINTR)
			;
}

void stoa_process_close(struct stoa_process *process)
{
	if (!process)
		return;
	if (process->owner == stoa_sys_getpid())
		end_commands(process);
	if (process->guarded)
		stoa_fork_delist(&process->fork);
	close_descriptors(process);
	free(process->chunk);
	free(process->taking);
	free(process->polls);
	free(process->ends);
	free(process);
}

/* ---- Start ------------------------------------------------------------------------ */

static int start_all(struct stoa_process *process,
                     const struct stoa_process_command *commands, size_t count)
{
	int result = 0, in = -1;

	for (size_t i = 0; i < count && result == 0; i++) {
		int between[2] = { -1, -1 };

		if (i + 1 < count)
			result = process_make_pipe(between);
		if (result < 0)
			stoa_fail(result, "a pipe between two commands: %s",
			          strerror(-result));
		else
			result = process_start_member(process, &commands[i], in,
			                              between[1]);
		if (in >= 0)
			stoa_sys_close(in);
		if (between[1] >= 0)
			stoa_sys_close(between[1]);
		in = between[0];
	}
	if (in >= 0)
		stoa_sys_close(in);
	return result;
}

static int wants_guard(const struct stoa_process_command *commands,
                       size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (commands[i].attributes &&
		    (commands[i].attributes->flags & STOA_PROCESS_WITH_PARENT))
			return 1;
	return 0;
}

int stoa_process_start_pipeline(const struct stoa_process_command *commands,
                                size_t count, struct stoa_process **ret_process)
{
	struct stoa_process *process;
	int result;

	if (count == 0 || count > PROCESS_COMMANDS_MAX)
		return stoa_fail(-EINVAL,
		                 "a pipeline has 1 to %d commands, not %zu",
		                 PROCESS_COMMANDS_MAX, count);
	process = make_process(commands, count);
	if (!process)
		return stoa_fail(-ENOMEM, "no memory to start a command");
	if (wants_guard(commands, count)) {
		stoa_fork_enlist(&process->fork);
		process->guarded = 1;
	}
	result = process_terminal_make(process, commands, count);
	if (result == 0)
		result = start_all(process, commands, count);
	if (result == 0)
		result = process_terminal_begin(process, commands, count);
	if (result < 0) {
		stoa_process_close(process);
		return result;
	}
	*ret_process = process;
	return 0;
}

int stoa_process_start(char *const arguments[],
                       const struct stoa_process_attributes *attributes,
                       struct stoa_process **ret_process)
{
	struct stoa_process_command command = { arguments, attributes };

	return stoa_process_start_pipeline(&command, 1, ret_process);
}

/* ---- All at once ------------------------------------------------------------------ */

static int timed_out(int result)
{
	return result == -ETIMEDOUT || result == -EAGAIN;
}

/* What pipes still hold of commands that have ended. */
static uint64_t bytes_held(const struct stoa_process *process)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < process->end_count; i++)
		if (process->ends[i].fd >= 0 && process->ends[i].counted)
			bytes += process->ends[i].left;
	return bytes;
}

/* They are killed: what they left is moved as far as it goes at once. Heirs
 * aren't waited for, nor somebody who would make room in a stream. */
static int move_the_rest(struct stoa_process *process,
                         struct stoa_process_exchange *exchange)
{
	uint64_t held = UINT64_MAX, before;
	int result;

	process->flags &= ~STOA_PROCESS_HEIRS;
	for (size_t i = 0; i < process->count; i++)
		while (process_reap(process, &process->member[i], 1) == -EINTR)
			;
	do {
		before = held;
		result = process_settle(process, exchange, STOA_NOW);
		held = bytes_held(process);
	} while (timed_out(result) && held < before);
	return timed_out(result) ? 0 : result;
}

static int run_out(struct stoa_process *process,
                   struct stoa_process_exchange *exchange, int64_t grace_ns)
{
	struct stoa_deadline grace = stoa_deadline_in(grace_ns);
	int result;

	for (size_t i = 0; i < process->count; i++)
		if (!STOA_BUG(122))
			process->member[i].status.flags |= STOA_PROCESS_EXPIRED;
	result = process_terminate(process, exchange, grace, grace);
	return timed_out(result) ? move_the_rest(process, exchange) : result;
}

int stoa_process_run(const struct stoa_process_command *commands, size_t count,
                     struct stoa_process_exchange *exchange,
                     struct stoa_deadline deadline, int64_t grace_ns,
                     struct stoa_process_status *ret_status)
{
	struct stoa_process *process;
	int result = stoa_process_start_pipeline(commands, count, &process);

	if (result < 0)
		return result;
	result = process_check_wait(process, ret_status);
	if (result == 0)
		result = process_check_exchange(process, exchange);
	if (result == 0)
		result = process_settle(process, exchange, deadline);
	/* A callback of the exchange may say so, too. */
	if (timed_out(result) && stoa_deadline_left(deadline) == 0)
		result = run_out(process, exchange, grace_ns);
	if (result == 0)
		result = process_give_status(process, ret_status);
	stoa_process_close(process);
	return result;
}
