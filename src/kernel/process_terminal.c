/* SPDX-License-Identifier: MIT */
/*
 * kernel/process_terminal.c: a terminal that commands are attached to.
 *
 * One pair for a handle. The caller has a descriptor of the controller to read
 * from and, if an input is attached, another to type into.
 *
 * Who has the terminal itself:
 *   started   the commands. The caller closes his own, since a terminal that is
 *             open when its session's leader ends is hung up by the kernel, and
 *             what wasn't read yet is thrown away.
 *   EIO       reads of the controller say so once all that was written is read
 *             and nobody has the terminal: a command that is about to end closes
 *             its output first. It may also open it anew (/dev/tty), and while
 *             nobody has it poll(2) would never sleep. So the caller opens it.
 *             Nothing is left then that could be thrown away.
 *   ended     all commands have: the caller closes his, and EIO is the end of
 *             file. Without STOA_PROCESS_HEIRS so is a read with nothing there.
 *             Only then he closes the controller: earlier, it would be SIGHUP for
 *             a command that is about to end.
 */
#include <kernel/process_internal.h>
#include <stoa/terminal.h>

#include <sys/ioctl.h>
#include <unistd.h>

#define END_OF_FILE 4 /* ^D, as new terminals have it */

/* Which numbers of a command are attached to it: the lowest of each way; -1:
 * none. */
struct attached {
	int input, output;
};

static void note(struct attached *attached, const struct stoa_process_end *end,
                 int number)
{
	int reads = number == STDIN_FILENO || (number > STDERR_FILENO &&
	                                       end->flags == STOA_READ);
	int *at = reads ? &attached->input : &attached->output;

	if (end->how == STOA_PROCESS_TERMINAL && (*at < 0 || number < *at))
		*at = number;
}

static struct attached find(const struct stoa_process_command *commands,
                            size_t count)
{
	struct attached attached = { -1, -1 };

	for (size_t i = 0; i < count; i++) {
		const struct stoa_process_attributes *given =
			commands[i].attributes;

		if (!given || given->size != sizeof *given)
			continue;
		note(&attached, &given->in, STDIN_FILENO);
		note(&attached, &given->out, STDOUT_FILENO);
		note(&attached, &given->err, STDERR_FILENO);
		if (given->more_count > PROCESS_MORE_MAX)
			continue; /* refused later */
		for (size_t j = 0; j < given->more_count; j++)
			note(&attached, &given->more[j], given->more[j].number);
	}
	return attached;
}

int process_terminal_make(struct stoa_process *process,
                          const struct stoa_process_command *commands,
                          size_t count)
{
	struct attached attached = find(commands, count);
	int result;

	if (attached.input < 0 && attached.output < 0)
		return 0;
	if (attached.output < 0)
		return stoa_fail(-EINVAL,
		                 "an input that is a terminal needs an output "
		                 "that is: what is typed is echoed there");
	result = stoa_terminal_pair(NULL, &process->controller,
	                            &process->terminal);
	if (result < 0)
		return result;
	result = process_make_above(&process->controller);
	if (result == 0)
		result = process_make_above(&process->terminal);
	/* Its description is our own. */
	if (result == 0)
		result = (int)stoa_system_call(SYS_fcntl, process->controller,
		                               F_SETFL, O_RDWR | O_NONBLOCK, 0,
		                               0, 0);
	return result < 0 ? stoa_fail(result, "can't set up a terminal: %s",
	                              strerror(-result))
	                  : 0;
}

static void add_end(struct stoa_process *process, int number, int reads, int fd)
{
	process->ends[process->end_count++] =
		(struct process_end){ .number = number,
		                      .fd = fd,
		                      .child_reads = reads,
		                      .terminal = 1,
		                      .phase = PROCESS_AWAIT_FD };
}

int process_terminal_begin(struct stoa_process *process,
                           const struct stoa_process_command *commands,
                           size_t count)
{
	struct attached attached = find(commands, count);
	long fd;

	if (process->controller < 0)
		return 0;
	process_terminal_release(process);
	if (attached.input >= 0) {
		fd = stoa_system_call(SYS_fcntl, process->controller,
		                      F_DUPFD_CLOEXEC, STDERR_FILENO + 1, 0, 0,
		                      0);
		if (fd < 0)
			return stoa_fail((int)fd,
			                 "a descriptor to type into the "
			                 "terminal: %s",
			                 strerror((int)-fd));
		add_end(process, attached.input, 1, (int)fd);
	}
	add_end(process, attached.output, 0, process->controller);
	process->controller = -1;
	return 0;
}

int process_terminal_hold(struct stoa_process *process, int controller)
{
	long fd;

	if (process->terminal >= 0)
		return 0;
	fd = stoa_system_call(SYS_ioctl, controller, TIOCGPTPEER,
	                      O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return stoa_fail((int)fd,
		                 "can't keep the terminal of commands open: %s",
		                 strerror((int)-fd));
	process->terminal = (int)fd;
	return 0;
}

void process_terminal_release(struct stoa_process *process)
{
	if (process->terminal >= 0)
		stoa_sys_close(process->terminal);
	process->terminal = -1;
}

/* Within a line the first one only ends what is typed so far. */
int process_terminal_type_end(struct process_end *end)
{
	int wanted = end->last && end->last != '\n' ? 2 : 1;

	while (end->typed_ends < wanted) {
		const char byte = END_OF_FILE;
		ssize_t result = stoa_sys_write(end->fd, &byte, 1);

		if (result == -EIO)
			result = stoa_sys_write(end->fd, &byte, 1);
		if (result == -EAGAIN || result == -EINTR)
			return 0;
		if (result < 0 && result != -EIO)
			return (int)result;
		end->typed_ends++;
	}
	return 1;
}
