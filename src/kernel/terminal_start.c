/* SPDX-License-Identifier: MIT */
/* kernel/terminal_start.c: a command on a terminal: begun, asked about, ended. */
#include <base/error.h>
#include <base/system.h>
#include <kernel/terminal_internal.h>
#include <kernel/terminal_text.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- Starting -------------------------------------------------------------------- */

static int check(struct stoa_space *space, const char *name,
                 const struct stoa_terminal_attributes *attributes,
                 char *const argv[])
{
	uint64_t reserved = attributes->reserved_word;

	for (int i = 0; i < 4; i++)
		reserved |= attributes->reserved[i];
	if (attributes->size != sizeof(*attributes) || reserved)
		return stoa_fail(-EINVAL,
		                 "attributes of a terminal: size must be "
		                 "sizeof(struct stoa_terminal_attributes), "
		                 "reserved fields zero");
	if (attributes->window.rows != 0 &&
	    !terminal_size_good(&attributes->window))
		return stoa_fail(-EINVAL, "a terminal has 1 to %d rows and "
		                          "columns",
		                 TERMINAL_SIDE_MOST);
	if (!argv || !argv[0] || !argv[0][0])
		return stoa_fail(-EINVAL, "there is no command to run on the "
		                          "terminal");
	if (name && !space)
		return stoa_fail(-EINVAL, "a session with a name needs a space");
	return 0;
}

/* "vi letter.txt" */
static void describe_command(struct terminal_state *state, char *const argv[])
{
	char text[2 * TERMINAL_TEXT_MOST];
	size_t used = 0;

	for (int i = 0; argv[i] && used < sizeof(text); i++) {
		size_t length = strnlen(argv[i], sizeof(text));

		if (i > 0)
			text[used++] = ' ';
		if (length > sizeof(text) - used)
			length = sizeof(text) - used;
		memcpy(text + used, argv[i], length);
		used += length;
	}
	terminal_printable(state->command, sizeof(state->command), text, used);
	state->command_bytes = (uint32_t)strlen(state->command);
}

static int make_pair(struct stoa_terminal *terminal,
                     const struct stoa_terminal_attributes *attributes)
{
	int result, flags;

	terminal->window = attributes->window;
	if (terminal->window.rows == 0)
		terminal->window = (struct stoa_terminal_size){ 24, 80, 0, 0 };
	result = stoa_terminal_pair(&terminal->window, &terminal->controller,
	                            &terminal->terminal);
	if (result < 0)
		return result;
	/* Its description is our own: nobody else is surprised. */
	flags = (int)stoa_system_call(SYS_fcntl, terminal->controller, F_GETFL,
	                              0, 0, 0, 0);
	if (flags >= 0)
		flags = (int)stoa_system_call(SYS_fcntl, terminal->controller,
		                              F_SETFL, flags | O_NONBLOCK, 0, 0,
		                              0);
	return flags < 0 ? stoa_fail(flags, "can't set up a terminal: %s",
	                             strerror(-flags)) :
	                   0;
}

static int run_command(struct stoa_terminal *terminal,
                       const struct stoa_terminal_attributes *attributes,
                       char *const argv[])
{
	const struct stoa_process_end end = { .how = STOA_PROCESS_FD,
		                              .fd = terminal->terminal };
	const struct stoa_process_attributes process = {
		.size = sizeof(process),
		.flags = STOA_PROCESS_SESSION | STOA_PROCESS_CONTROL,
		.in = end,
		.out = end,
		.err = end,
		.directory = attributes->directory,
		.environment = attributes->environment,
	};

	return stoa_process_start(argv, &process, &terminal->process);
}

static int begin(struct stoa_terminal *terminal, struct stoa_space *space,
                 const char *name,
                 const struct stoa_terminal_attributes *attributes,
                 char *const argv[])
{
	struct terminal_session *session = &terminal->session;
	int result = make_pair(terminal, attributes);

	if (result == 0 && name)
		result = terminal_session_open(session, space, name,
		                               attributes);
	if (result == 0)
		result = run_command(terminal, attributes, argv);
	if (result < 0 || !name)
		return result;
	session->now.window = terminal_window_of(&terminal->window);
	session->now.pid = stoa_process_pid(terminal->process);
	describe_command(&session->now, argv);
	return terminal_session_show(session);
}

int stoa_terminal_start(struct stoa_space *space, const char *name,
                        const struct stoa_terminal_attributes *attributes,
                        char *const argv[], struct stoa_terminal **ret_terminal)
{
	static const struct stoa_terminal_attributes usual = {
		.size = sizeof(usual)
	};
	struct stoa_terminal *terminal;
	int result;

	if (!attributes)
		attributes = &usual;
	result = check(space, name, attributes, argv);
	if (result < 0)
		return result;
	terminal = calloc(1, sizeof(*terminal));
	if (!terminal)
		return stoa_fail(-ENOMEM, "no memory for a terminal");
	terminal->controller = terminal->terminal = -1;
	terminal->input_fd = terminal->output_fd = -1;
	result = begin(terminal, space, name, attributes, argv);
	if (result < 0) {
		stoa_terminal_close(terminal, STOA_NOW);
		return result;
	}
	*ret_terminal = terminal;
	return 0;
}

/* ---- Asking ------------------------------------------------------------------------ */

void stoa_terminal_join(struct stoa_terminal *terminal, int input_fd,
                        int output_fd)
{
	terminal->input_fd = input_fd;
	terminal->output_fd = output_fd;
}

void stoa_terminal_record(struct stoa_terminal *terminal,
                          struct stoa_terminal_recorder *recorder, int input)
{
	terminal->recorder = recorder;
	terminal->records_input = input;
	terminal->recorder_began_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
}

void stoa_terminal_status(struct stoa_terminal *terminal,
                          struct stoa_terminal_status *ret_status)
{
	*ret_status = terminal->status;
}

int stoa_terminal_controller(struct stoa_terminal *terminal)
{
	return terminal->controller;
}

int terminal_ended(struct stoa_terminal *terminal,
                   struct stoa_deadline deadline)
{
	struct stoa_process_status ended = { .size = sizeof(ended) };
	struct stoa_terminal_status *status = &terminal->status;
	int result;

	if (status->ended || !terminal->process)
		return 1;
	result = stoa_process_wait(terminal->process, deadline, &ended);
	if (result < 0 && result != -ECHILD)
		return 0;
	status->ended = 1;
	status->unknown = result == -ECHILD;
	if (ended.state == STOA_PROCESS_EXITED)
		status->code = ended.code;
	else
		status->number = ended.code;
	return 1;
}

int stoa_terminal_signal(struct stoa_terminal *terminal, int number)
{
	if (terminal->status.ended)
		return -ESRCH;
	return stoa_process_signal(terminal->process, number);
}

/* ---- Ending ------------------------------------------------------------------------- */

static void close_descriptor(int *fd)
{
	if (*fd >= 0)
		stoa_sys_close(*fd);
	*fd = -1;
}

/* Closing a process that runs still kills it. */
void stoa_terminal_close(struct stoa_terminal *terminal,
                         struct stoa_deadline deadline)
{
	if (!terminal)
		return;
	close_descriptor(&terminal->controller);
	close_descriptor(&terminal->terminal);
	if (!terminal_ended(terminal, deadline)) {
		stoa_terminal_signal(terminal, SIGKILL);
		terminal_ended(terminal, STOA_FOREVER);
	}
	stoa_process_close(terminal->process);
	if (!terminal->finished)
		terminal_session_end(&terminal->session, &terminal->status);
	terminal_session_close(&terminal->session);
	free(terminal);
}
