/* SPDX-License-Identifier: MIT */
/* kernel/process.c: starting a command, and putting its handle away. From clone
 * to exec is in process_child.c, its end in process_wait.c. */
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
	 STOA_PROCESS_DESCRIPTORS | STOA_PROCESS_UMASK)

/* What a start has made and what it is made from. */
struct preparation {
	const struct stoa_process_attributes *attributes;
	struct stoa_process *process;
	struct process_plan plan;
	const char **shell; /* arguments for it, or NULL */
	int *theirs; /* the child's ends of pipes, the caller's to close */
	size_t their_count;
};

/* ---- What was asked for ------------------------------------------------------- */

static int check_end(const char *name, const struct stoa_process_end *end,
                     int number)
{
	if (end->reserved || end->stream)
		return stoa_fail(-EINVAL,
		                 "descriptor %d of command %s: reserved fields "
		                 "must be zero",
		                 number, name);
	if (end->how < STOA_PROCESS_INHERIT || end->how > STOA_PROCESS_SAME)
		return stoa_fail(-EINVAL,
		                 "descriptor %d of command %s: there is no way "
		                 "%d to attach it (enum stoa_process_how)",
		                 number, name, end->how);
	if (number > STDERR_FILENO && end->how == STOA_PROCESS_PIPE &&
	    end->flags != STOA_READ && end->flags != STOA_WRITE)
		return stoa_fail(-EINVAL,
		                 "descriptor %d of command %s: a pipe needs "
		                 "STOA_READ (the command reads it) or "
		                 "STOA_WRITE in its flags",
		                 number, name);
	return 0;
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

	if (end->how == STOA_PROCESS_PIPE || end->how == STOA_PROCESS_SAME)
		return 0;
	if (end->how == STOA_PROCESS_NULL)
		fd = PROCESS_OPEN_NULL;
	else
		flags = stoa_system_call(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0);
	if (flags < 0 && number <= STDERR_FILENO &&
	    end->how == STOA_PROCESS_INHERIT)
		fd = PROCESS_OPEN_NULL;
	else if (flags < 0)
		return stoa_fail((int)flags,
		                 "descriptor %d of command %s: the caller's %d "
		                 "isn't open",
		                 number, made->process->name, fd);
	add_move(&made->plan, number, fd);
	return 0;
}

/* A program whose input is closed doesn't want a pipe's end there. */
static int make_pipe(int *fds)
{
	int result = (int)stoa_system_call(SYS_pipe2, (long)fds, O_CLOEXEC, 0,
	                                   0, 0, 0);

	for (int i = 0; i < 2 && result == 0; i++) {
		result = process_above_standard(&fds[i]);
		if (result < 0)
			stoa_sys_close(fds[!i]);
	}
	return result;
}

static int add_pipe(struct preparation *made, int number,
                    const struct stoa_process_end *end)
{
	struct stoa_process *process = made->process;
	int child_reads = number > STDERR_FILENO ? end->flags == STOA_READ
	                                         : number == STDIN_FILENO;
	int fds[2], result;

	if (end->how != STOA_PROCESS_PIPE)
		return 0;
	result = make_pipe(fds);
	if (result < 0)
		return stoa_fail(result,
		                 "a pipe for descriptor %d of command "
		                 "%s: %s",
		                 number, process->name, strerror(-result));
	process->ends[process->end_count++] =
		(struct process_end){ number, fds[child_reads], child_reads };
	made->theirs[made->their_count++] = fds[!child_reads];
	add_move(&made->plan, number, fds[!child_reads]);
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
	                 number, made->process->name, end->fd);
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
	made->theirs = calloc(count, sizeof *made->theirs);
	made->process->ends = calloc(count, sizeof *made->process->ends);
	return plan->moves && made->theirs && made->process->ends ? 0 : -ENOMEM;
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
			return stoa_fail(error,
			                 "no program %s in PATH (%s): give its "
			                 "path, or mend PATH",
			                 file, made->plan.path);
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
	                 plan->which, made->process->name, strerror(-error));
}

static int explain(const struct preparation *made, int error)
{
	const struct process_plan *plan = &made->plan;
	const char *name = made->process->name;

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

static int launch(struct preparation *made)
{
	struct stoa_process *process = made->process;
	pid_t pid;
	int result = add_ends(made, add_given);

	if (result == 0)
		result = add_ends(made, add_pipe);
	if (result == 0)
		result = add_ends(made, add_same);
	if (result < 0)
		return result;
	process->status.started_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	pid = process_launch(&made->plan, &process->pidfd);
	if (pid < 0)
		return explain(made, (int)pid);
	process->pid = pid;
	process->status.pid = pid;
	return 0;
}

static int prepare_and_launch(struct preparation *made, char *const arguments[])
{
	int result = check_attributes(made->process->name, made->attributes);

	if (result < 0)
		return result;
	result = plan_command(made, arguments);
	if (result == 0)
		result = launch(made);
	else
		stoa_fail(result, "no memory to start command %s",
		          made->process->name);
	undo_plan(made);
	return result;
}

static void free_process(struct stoa_process *process)
{
	for (size_t i = 0; i < process->end_count; i++)
		if (process->ends[i].fd >= 0)
			stoa_sys_close(process->ends[i].fd);
	if (process->pidfd >= 0)
		stoa_sys_close(process->pidfd);
	free(process->ends);
	free(process);
}

static struct stoa_process *make_process(const char *name, unsigned flags)
{
	struct stoa_process *process = calloc(1, sizeof *process);

	if (!process)
		return NULL;
	process->flags = flags;
	process->pidfd = -1;
	process->owner = stoa_sys_getpid();
	snprintf(process->name, sizeof process->name, "%s", name);
	return process;
}

int stoa_process_start(char *const arguments[],
                       const struct stoa_process_attributes *attributes,
                       struct stoa_process **ret_process)
{
	static const struct stoa_process_attributes defaults = {
		.size = sizeof defaults
	};
	struct preparation made = { .attributes = attributes ?: &defaults };
	int result;

	if (!arguments || !arguments[0] || !arguments[0][0])
		return stoa_fail(-EINVAL, "a command needs a name: the first "
		                          "of its arguments is missing or "
		                          "empty");
	made.process = make_process(arguments[0], made.attributes->flags);
	if (!made.process)
		return stoa_fail(-ENOMEM, "no memory to start command %s",
		                 arguments[0]);
	result = prepare_and_launch(&made, arguments);
	if (result < 0) {
		free_process(made.process);
		return result;
	}
	*ret_process = made.process;
	return 0;
}

/* ---- Close ------------------------------------------------------------------------- */

void stoa_process_close(struct stoa_process *process)
{
	if (!process)
		return;
	if (process->owner == stoa_sys_getpid() && !process->ended) {
		stoa_process_signal(process, SIGKILL);
		while (process_reap(process, 1) == -EINTR)
			;
	}
	free_process(process);
}
