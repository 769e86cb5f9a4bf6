/* SPDX-License-Identifier: MIT */
/* kernel/process_plan.c: what was asked for, checked and made into a plan for
 * the child; and why it failed. */
#include <kernel/process_internal.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHELL "/bin/sh"
#define PATH_DEFAULT "/bin:/usr/bin" /* as execvp(3) */
#define KNOWN_FLAGS                                                           \
	(STOA_INTERRUPTIBLE | STOA_PROCESS_SHELL | STOA_PROCESS_GROUP |       \
	 STOA_PROCESS_SESSION | STOA_PROCESS_CONTROL | STOA_PROCESS_IGNORED | \
	 STOA_PROCESS_DESCRIPTORS | STOA_PROCESS_UMASK | STOA_PROCESS_HEIRS | \
	 STOA_PROCESS_WITH_PARENT)

/* What a start has made and what it is made from. */
struct preparation {
	const struct stoa_process_attributes *attributes;
	struct stoa_process *process;
	struct process_member *member;
	struct process_plan plan;
	int in, out; /* ends of pipes to its neighbours, or -1 */
	const char **shell; /* arguments for it, or NULL */
	int *theirs; /* the child's ends of pipes, the caller's to close */
	size_t their_count;
};

/* ---- What was asked for ------------------------------------------------------- */

static int makes_pipe(const struct stoa_process_end *end)
{
	return end->how == STOA_PROCESS_PIPE || end->how == STOA_PROCESS_STREAM;
}

static int child_reads(const struct stoa_process_end *end, int number)
{
	return number > STDERR_FILENO ? end->flags == STOA_READ
	                              : number == STDIN_FILENO;
}

static int check_stream(const char *name, const struct stoa_process_end *end,
                        int number)
{
	unsigned needed = child_reads(end, number) ? STOA_READ : STOA_WRITE;

	if (end->stream && stoa_stream_object(end->stream, needed))
		return 0;
	return stoa_fail(-EINVAL,
	                 "descriptor %d of command %s: it needs a stream that "
	                 "was opened for %s",
	                 number, name,
	                 needed == STOA_READ ? "reading" : "writing");
}

static int check_end(const char *name, const struct stoa_process_end *end,
                     int number)
{
	if (end->reserved || (end->stream && end->how != STOA_PROCESS_STREAM))
		return stoa_fail(-EINVAL,
		                 "descriptor %d of command %s: reserved fields "
		                 "must be zero",
		                 number, name);
	if (end->how < STOA_PROCESS_INHERIT || end->how > STOA_PROCESS_TERMINAL)
		return stoa_fail(-EINVAL,
		                 "descriptor %d of command %s: there is no way "
		                 "%d to attach it (enum stoa_process_how)",
		                 number, name, end->how);
	if (number > STDERR_FILENO && makes_pipe(end) &&
	    end->flags != STOA_READ && end->flags != STOA_WRITE)
		return stoa_fail(-EINVAL,
		                 "descriptor %d of command %s: a pipe needs "
		                 "STOA_READ (the command reads it) or "
		                 "STOA_WRITE in its flags",
		                 number, name);
	return end->how == STOA_PROCESS_STREAM ? check_stream(name, end, number)
	                                       : 0;
}

static int check_more(const char *name,
                      const struct stoa_process_attributes *attributes)
{
	if (attributes->more_count > PROCESS_MORE_MAX)
		return stoa_fail(-EINVAL,
		                 "command %s: %zu further descriptors, over "
		                 "the limit of %d",
		                 name, attributes->more_count,
		                 PROCESS_MORE_MAX);
	for (size_t i = 0; i < attributes->more_count; i++) {
		int number = attributes->more[i].number;
		int result = check_end(name, &attributes->more[i], number);

		if (result < 0)
			return result;
		if (number <= STDERR_FILENO)
			return stoa_fail(-EINVAL,
			                 "command %s: further descriptors have "
			                 "numbers above 2, not %d",
			                 name, number);
		for (size_t j = 0; j < i; j++)
			if (attributes->more[j].number == number)
				return stoa_fail(-EINVAL,
				                 "command %s: descriptor %d is "
				                 "there twice",
				                 name, number);
	}
	return 0;
}

static int check_links(const struct preparation *made)
{
	const struct stoa_process_attributes *attributes = made->attributes;

	if ((made->in < 0 || attributes->in.how == STOA_PROCESS_INHERIT) &&
	    (made->out < 0 || attributes->out.how == STOA_PROCESS_INHERIT))
		return 0;
	return stoa_fail(-EINVAL,
	                 "command %s stands in a pipeline: its input or output "
	                 "can't be something else",
	                 made->member->name);
}

static int check_attributes(const char *name,
                            const struct stoa_process_attributes *attributes)
{
	uint64_t reserved = attributes->reserved;
	int result;

	if (attributes->size != sizeof *attributes)
		return stoa_fail(-EINVAL,
		                 "attributes of command %s: size must be "
		                 "sizeof(struct stoa_process_attributes)",
		                 name);
	for (int i = 0; i < 4; i++)
		reserved |= attributes->reserved_more[i];
	if (reserved || (attributes->flags & ~KNOWN_FLAGS))
		return stoa_fail(-EINVAL,
		                 "attributes of command %s: reserved fields "
		                 "must be zero, and flags known ones",
		                 name);
	if ((attributes->flags & STOA_PROCESS_CONTROL) &&
	    !(attributes->flags & STOA_PROCESS_SESSION))
		return stoa_fail(
			-EINVAL,
			"command %s: STOA_PROCESS_CONTROL needs "
			"STOA_PROCESS_SESSION: only a session's leader "
			"gets a controlling terminal",
			name);
	result = check_end(name, &attributes->in, STDIN_FILENO);
	if (result == 0)
		result = check_end(name, &attributes->out, STDOUT_FILENO);
	if (result == 0)
		result = check_end(name, &attributes->err, STDERR_FILENO);
	return result < 0 ? result : check_more(name, attributes);
}

/* ---- Descriptors ----------------------------------------------------------------- */

static void add_move(struct process_plan *plan, int number, int fd)
{
	size_t at = plan->count++;

	for (; at > 0 && plan->moves[at - 1].number > number; at--)
		plan->moves[at] = plan->moves[at - 1];
	plan->moves[at] = (struct process_move){ number, fd };
}

/* What the caller has: looked at before a pipe could take a closed one's
 * number. */
static int add_given(struct preparation *made, int number,
                     const struct stoa_process_end *end)
{
	int fd = end->how == STOA_PROCESS_FD ? end->fd : number;
	long flags = 0;

	if (number == STDIN_FILENO && made->in >= 0)
		fd = made->in;
	if (number == STDOUT_FILENO && made->out >= 0)
		fd = made->out;
	if (makes_pipe(end) || end->how == STOA_PROCESS_SAME)
		return 0;
	if (end->how == STOA_PROCESS_TERMINAL)
		fd = made->process->terminal;
	if (end->how == STOA_PROCESS_NULL)
		fd = PROCESS_OPEN_NULL;
	else
		flags = stoa_system_call(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0);
	if (flags == -EBADF && number <= STDERR_FILENO &&
	    end->how == STOA_PROCESS_INHERIT)
		fd = PROCESS_OPEN_NULL;
	else if (flags < 0)
		return stoa_fail((int)flags,
		                 "descriptor %d of command %s: the caller's "
		                 "%d: %s",
		                 number, made->member->name, fd,
		                 strerror((int)-flags));
	add_move(&made->plan, number, fd);
	return 0;
}

static int add_pipe(struct preparation *made, int number,
                    const struct stoa_process_end *end)
{
	struct stoa_process *process = made->process;
	int reads = child_reads(end, number), fds[2], result;

	if (!makes_pipe(end))
		return 0;
	result = process_make_pipe(fds);
	if (result < 0)
		return stoa_fail(result,
		                 "a pipe for descriptor %d of command "
		                 "%s: %s",
		                 number, made->member->name, strerror(-result));
	process->ends[process->end_count++] = (struct process_end){
		.number = number,
		.fd = fds[reads],
		.child_reads = reads,
		.member = process->count,
		.stream = end->stream,
		.phase = end->stream || reads ? PROCESS_MOVE : PROCESS_AWAIT_FD,
	};
	made->theirs[made->their_count++] = fds[!reads];
	add_move(&made->plan, number, fds[!reads]);
	return 0;
}

/* After all others, whose sources it takes. */
static int add_same(struct preparation *made, int number,
                    const struct stoa_process_end *end)
{
	const struct process_plan *plan = &made->plan;

	if (end->how != STOA_PROCESS_SAME)
		return 0;
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->moves[i].number != end->fd)
			continue;
		add_move(&made->plan, number, plan->moves[i].fd);
		return 0;
	}
	return stoa_fail(-EINVAL,
	                 "descriptor %d of command %s is to be the same as %d, "
	                 "which isn't there, or is itself the same as another",
	                 number, made->member->name, end->fd);
}

static int add_ends(struct preparation *made,
                    int (*add)(struct preparation *, int,
                               const struct stoa_process_end *))
{
	const struct stoa_process_attributes *attributes = made->attributes;
	int result = add(made, STDIN_FILENO, &attributes->in);

	if (result == 0)
		result = add(made, STDOUT_FILENO, &attributes->out);
	if (result == 0)
		result = add(made, STDERR_FILENO, &attributes->err);
	for (size_t i = 0; result == 0 && i < attributes->more_count; i++)
		result = add(made, attributes->more[i].number,
		             &attributes->more[i]);
	return result;
}

static void close_theirs(struct preparation *made)
{
	for (size_t i = 0; i < made->their_count; i++)
		stoa_sys_close(made->theirs[i]);
	made->their_count = 0;
}

/* ---- The plan -------------------------------------------------------------------- */

static const char *find_path(char *const *environment)
{
	for (; environment && *environment; environment++)
		if (!strncmp(*environment, "PATH=", 5))
			return *environment + 5;
	return PATH_DEFAULT;
}

static int plan_shell(struct preparation *made, char *const arguments[])
{
	size_t count = 0;

	while (arguments[count])
		count++;
	made->shell = calloc(count + 3, sizeof *made->shell);
	if (!made->shell)
		return -ENOMEM;
	made->shell[0] = SHELL;
	made->shell[1] = "-c";
	memcpy(made->shell + 2, arguments, count * sizeof *made->shell);
	made->plan.file = SHELL;
	made->plan.arguments = (char *const *)made->shell;
	return 0;
}

static int plan_command(struct preparation *made, char *const arguments[])
{
	const struct stoa_process_attributes *attributes = made->attributes;
	struct process_plan *plan = &made->plan;
	size_t count = 3 + attributes->more_count;

	plan->flags = attributes->flags;
	plan->umask = attributes->umask;
	plan->directory = attributes->directory;
	plan->environment = attributes->environment ?: environ;
	plan->arguments = arguments;
	plan->file = attributes->file ?: arguments[0];
	if (plan->flags & STOA_PROCESS_SHELL) {
		int result = plan_shell(made, arguments);

		if (result < 0)
			return result;
	}
	if (!strchr(plan->file, '/')) {
		plan->path = find_path(plan->environment);
		plan->candidate =
			malloc(strlen(plan->path) + strlen(plan->file) + 2);
		if (!plan->candidate)
			return -ENOMEM;
	}
	plan->moves = calloc(count, sizeof *plan->moves);
	made->theirs = calloc(count + 1, sizeof *made->theirs);
	return plan->moves && made->theirs ? 0 : -ENOMEM;
}

static void undo_plan(struct preparation *made)
{
	close_theirs(made);
	free(made->theirs);
	free(made->shell);
	free(made->plan.candidate);
	free(made->plan.moves);
}

/* ---- Why it can't be started -------------------------------------------------- */

static int explain_exec(const struct preparation *made, int error)
{
	const char *file = made->plan.file;

	switch (error) {
	case -ENOENT:
		if (made->plan.path)
			return stoa_fail(
				error,
				"no program %s in PATH: give its path, "
				"or mend PATH",
				file);
		return stoa_fail(error,
		                 "%s can't be run: it isn't there, or the "
		                 "program that its first line names isn't",
		                 file);
	case -EACCES:
		return stoa_fail(error,
		                 "%s may not be executed: it needs chmod +x, "
		                 "and a file system that isn't noexec",
		                 file);
	case -ENOEXEC:
		return stoa_fail(error,
		                 "%s is no program: a script needs a first "
		                 "line such as #!/bin/sh",
		                 file);
	case -E2BIG:
		return stoa_fail(error,
		                 "arguments and environment of %s are too "
		                 "large: give them by its input or in a file",
		                 file);
	default:
		return stoa_fail(error, "%s can't be run: %s", file,
		                 strerror(-error));
	}
}

static int explain_descriptor(const struct preparation *made, int error)
{
	const struct process_plan *plan = &made->plan;

	return stoa_fail(error,
	                 "descriptor %d of command %s: %s: what it is attached "
	                 "to isn't open, or the number is over the limit "
	                 "(ulimit -n)",
	                 plan->which, made->member->name, strerror(-error));
}

static int explain(const struct preparation *made, int error)
{
	const struct process_plan *plan = &made->plan;
	const char *name = made->member->name;

	switch (plan->step) {
	case PROCESS_STEP_NONE:
		return stoa_fail(error, "no process for command %s: %s%s", name,
		                 strerror(-error),
		                 error == -EAGAIN ? ": too many are running "
		                                    "(ulimit -u, pids.max)"
		                                  : "");
	case PROCESS_STEP_EXEC: return explain_exec(made, error);
	case PROCESS_STEP_DESCRIPTOR: return explain_descriptor(made, error);
	case PROCESS_STEP_DIRECTORY:
		return stoa_fail(error, "directory %s for command %s: %s",
		                 plan->directory, name, strerror(-error));
	case PROCESS_STEP_CONTROL:
		return stoa_fail(error,
		                 "command %s: its input can't be its "
		                 "controlling terminal: %s",
		                 name, strerror(-error));
	case PROCESS_STEP_GUARD:
		return stoa_fail(error,
		                 "command %s can't be made to end with its "
		                 "parent: %s",
		                 name, strerror(-error));
	case PROCESS_STEP_CLOSE:
		return stoa_fail(error,
		                 "command %s: close_range(2): %s: Linux 5.9 is "
		                 "needed",
		                 name, strerror(-error));
	default:
		return stoa_fail(error,
		                 "command %s: group, session or "
		                 "signals: %s",
		                 name, strerror(-error));
	}
}

/* ---- Start ------------------------------------------------------------------------ */

/* No child that is forked now may miss it, since it would have the end that
 * only this process is to have. */
static int make_guard(struct preparation *made)
{
	int fds[2], result;

	made->plan.guard = -1;
	if (!(made->attributes->flags & STOA_PROCESS_WITH_PARENT))
		return 0;
	stoa_fork_hold();
	result = process_make_pipe(fds);
	if (result == 0)
		made->member->guard = fds[1];
	stoa_fork_release();
	if (result < 0)
		return stoa_fail(result,
		                 "a pipe to end command %s with its parent: %s",
		                 made->member->name, strerror(-result));
	made->theirs[made->their_count++] = fds[0];
	made->plan.guard = fds[0];
	return 0;
}

static pid_t group_of(const struct stoa_process *process)
{
	for (size_t i = 0; i < process->count; i++)
		if (process->member[i].leads && !(process->member[i].session))
			return process->member[i].pid;
	return 0;
}

static int launch(struct preparation *made)
{
	struct process_member *member = made->member;
	unsigned flags = made->attributes->flags;
	int result = add_ends(made, add_given);
	pid_t pid;

	if (result == 0)
		result = add_ends(made, add_pipe);
	if (result == 0)
		result = add_ends(made, add_same);
	if (result == 0)
		result = make_guard(made);
	if (result < 0)
		return result;
	if ((flags & STOA_PROCESS_GROUP) && !(flags & STOA_PROCESS_SESSION))
		made->plan.group = group_of(made->process);
	member->status.started_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	pid = process_launch(&made->plan, &member->pidfd);
	if (pid < 0)
		return explain(made, (int)pid);
	member->pid = pid;
	member->leads = made->plan.leads;
	member->group = member->leads ? pid : made->plan.group;
	member->session = (flags & STOA_PROCESS_SESSION) != 0;
	member->status.pid = pid;
	member->status.command = (uint32_t)made->process->count;
	return 0;
}

static int prepare_and_launch(struct preparation *made, char *const arguments[])
{
	int result = check_attributes(made->member->name, made->attributes);

	if (result == 0)
		result = check_links(made);
	if (result < 0)
		return result;
	result = plan_command(made, arguments);
	if (result == 0)
		result = launch(made);
	else
		stoa_fail(result, "no memory to start command %s",
		          made->member->name);
	undo_plan(made);
	return result;
}

int process_start_member(struct stoa_process *process,
                         const struct stoa_process_command *command, int in,
                         int out)
{
	static const struct stoa_process_attributes defaults = {
		.size = sizeof defaults
	};
	struct process_member *member = &process->member[process->count];
	struct preparation made = { .attributes =
		                            command->attributes ?: &defaults,
		                    .process = process,
		                    .member = member,
		                    .in = in,
		                    .out = out };
	char *const *arguments = command->arguments;
	int result;

	if (!arguments || !arguments[0] || !arguments[0][0])
		return stoa_fail(-EINVAL, "a command needs a name: the first "
		                          "of its arguments is missing or "
		                          "empty");
	snprintf(member->name, sizeof member->name, "%s", arguments[0]);
	result = prepare_and_launch(&made, arguments);
	if (result == 0)
		process->count++;
	return result;
}
