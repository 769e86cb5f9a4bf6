/* SPDX-License-Identifier: MIT */
/* kernel/terminal_keep.c: the keeper's work: what the command writes goes to
 * clients, descriptor and recorder; what they type goes to the command. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/terminal_internal.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#define ROUND 16 /* reads between two looks at all else */
#define ROUNDS_MOST 1024 /* of a call that is not to wait */
/* Read after the command's end, at most: more than the kernel holds. Another
 * process may write for ever. */
#define DRAIN_MOST ((size_t)1 << 20)
#define PIECE_MOST (TERMINAL_MESSAGE_MOST - 1)
#define END_OF_FILE '\004'

/* ---- The size ------------------------------------------------------------------------ */

static int64_t recorded_ns(const struct stoa_terminal *terminal)
{
	return stoa_sys_clock_ns(CLOCK_MONOTONIC) - terminal->recorder_began_ns;
}

static void record_failed(struct stoa_terminal *terminal, int result)
{
	if (result < 0) {
		terminal->recorder = NULL;
		terminal->record_result = result;
	}
}

static int differs(const struct stoa_terminal *terminal,
                   const struct stoa_terminal_size *size)
{
	return memcmp(size, &terminal->window, sizeof(*size)) != 0;
}

static int resize(struct stoa_terminal *terminal,
                  const struct stoa_terminal_size *size)
{
	const struct terminal_window window = terminal_window_of(size);
	char message[1 + sizeof(window)] = { STOA_TERMINAL_SIZE };
	int result;

	if (!differs(terminal, size))
		return 0;
	result = stoa_terminal_set_size(terminal->controller, size);
	if (result < 0)
		return result;
	terminal->redraw_ns = 0;
	terminal->window = *size;
	terminal->session.now.window = window;
	terminal->session.state_is_old = 1;
	if (terminal->recorder)
		record_failed(terminal,
		              stoa_terminal_recorder_resize(
		                      terminal->recorder, recorded_ns(terminal),
		                      size));
	memcpy(message + 1, &window, sizeof(window));
	return terminal_session_publish(&terminal->session, message,
	                                sizeof(message));
}

int stoa_terminal_resize(struct stoa_terminal *terminal,
                         const struct stoa_terminal_size *size)
{
	if (!terminal_size_good(size))
		return stoa_fail(-EINVAL, "a terminal has 1 to %d rows and "
		                          "columns",
		                 TERMINAL_SIDE_MOST);
	return resize(terminal, size);
}

/* Many programs draw all anew only if the size is another than it was: it is
 * so for a moment. */
static void begin_redraw(struct stoa_terminal *terminal)
{
	struct stoa_terminal_size other = terminal->window;

	other.rows += other.rows > 1 ? -1 : 1;
	if (stoa_terminal_set_size(terminal->controller, &other) == 0)
		terminal->redraw_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC) +
		                      REDRAW_NS;
}

static void end_redraw(struct stoa_terminal *terminal)
{
	if (terminal->redraw_ns == 0 ||
	    stoa_sys_clock_ns(CLOCK_MONOTONIC) < terminal->redraw_ns)
		return;
	terminal->redraw_ns = 0;
	stoa_terminal_set_size(terminal->controller, &terminal->window);
}

/* ---- What the command writes ----------------------------------------------------------- */

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t got = stoa_sys_write(fd, data, bytes);
		struct pollfd poll = { .fd = fd, .events = POLLOUT };

		if (got == -EAGAIN)
			got = stoa_system_call(SYS_ppoll, (long)&poll, 1, 0, 0,
			                       0, 0) < 0 ?
			              -EINTR :
			              0;
		if (got < 0 && got != -EINTR)
			return (int)got;
		if (got > 0) {
			data += got;
			bytes -= (size_t)got;
		}
	}
	return 0;
}

static int pass_piece(struct stoa_terminal *terminal, size_t bytes)
{
	struct terminal_state *now = &terminal->session.now;
	const char *data = terminal->piece + 1;

	if (terminal->recorder)
		record_failed(terminal,
		              stoa_terminal_recorder_put(
		                      terminal->recorder, 'o',
		                      recorded_ns(terminal), data, bytes));
	if (terminal->output_fd >= 0 &&
	    write_all(terminal->output_fd, data, bytes) < 0)
		terminal->output_fd = -1;
	if (!terminal->session.output)
		return 0;
	if (terminal_title_look(&terminal->title, data, bytes, now->title,
	                        &now->title_bytes))
		terminal->session.state_is_old = 1;
	terminal->piece[0] = STOA_TERMINAL_OUTPUT;
	return terminal_session_publish(&terminal->session, terminal->piece,
	                                1 + bytes);
}

/* 1: there may be more. 0: there isn't now. -EIDRM, ...: the session's. */
static int pass_output(struct stoa_terminal *terminal, size_t most)
{
	for (size_t passed = 0; passed < most;) {
		ssize_t got = terminal->hung ?
		                      -EAGAIN :
		                      stoa_sys_read(terminal->controller,
		                                    terminal->piece + 1,
		                                    PIECE_MOST);

		if (got == -EAGAIN)
			return 0;
		if (got == -EINTR)
			continue;
		if (got <= 0) {
			terminal->hung = 1;
			return 0;
		}
		passed += (size_t)got;
		int result = pass_piece(terminal, (size_t)got);

		if (result < 0)
			return result;
	}
	return 1;
}

/* ---- What is typed ----------------------------------------------------------------------- */

/* 1: there is something to be typed at typed[]. */
static int obey(struct stoa_terminal *terminal, size_t bytes)
{
	struct terminal_request request;
	struct stoa_terminal_size size;

	if (bytes < sizeof(request))
		return 0;
	memcpy(&request, terminal->typed, sizeof(request));
	size = terminal_size_of(&request.window);
	if (terminal_size_good(&size) && differs(terminal, &size))
		resize(terminal, &size); /* draws anew, too */
	else if (request.kind == STOA_TERMINAL_REDRAW)
		begin_redraw(terminal);
	if (request.kind == STOA_TERMINAL_HANG_UP)
		stoa_terminal_signal(terminal, SIGHUP);
	if (request.kind != 'i')
		return 0;
	terminal->typed_at = sizeof(request);
	terminal->typed_bytes = bytes - sizeof(request);
	return terminal->typed_bytes > 0;
}

static int take_requests(struct stoa_terminal *terminal)
{
	for (int i = 0; terminal->session.input && i < ROUND; i++) {
		ssize_t got = stoa_queue_receive(terminal->session.input, NULL,
		                                 terminal->typed,
		                                 sizeof(terminal->typed),
		                                 STOA_NOW, NULL);

		if (got == -EAGAIN)
			return 0;
		if (got < 0)
			return (int)got;
		if (obey(terminal, (size_t)got))
			break;
	}
	return 0;
}

/* At the end of a file ^D: twice if a line was begun, as the first only sends
 * that off. */
static void take_typed(struct stoa_terminal *terminal)
{
	ssize_t got = stoa_sys_read(terminal->input_fd, terminal->typed,
	                            TYPED_MOST);

	if (got == -EAGAIN || got == -EINTR)
		return;
	terminal->typed_at = 0;
	if (got > 0) {
		terminal->typed_bytes = (size_t)got;
		terminal->last_typed = terminal->typed[got - 1];
		return;
	}
	terminal->input_fd = -1;
	memset(terminal->typed, END_OF_FILE, 2);
	terminal->typed_bytes = terminal->last_typed == '\n' ||
	                                        terminal->last_typed == '\0' ?
	                                1 :
	                                2;
}

/* Gives the command what it takes of typed[]. 1: all of it. */
static int give_typed(struct stoa_terminal *terminal)
{
	while (terminal->typed_bytes > 0) {
		const char *data = terminal->typed + terminal->typed_at;
		ssize_t got = stoa_sys_write(terminal->controller, data,
		                             terminal->typed_bytes);

		if (got == -EINTR)
			continue;
		if (got == -EAGAIN || got == 0)
			return 0;
		if (got < 0)
			got = (ssize_t)terminal->typed_bytes; /* hung up */
		else if (terminal->recorder && terminal->records_input)
			record_failed(terminal,
			              stoa_terminal_recorder_put(
			                      terminal->recorder, 'i',
			                      recorded_ns(terminal), data,
			                      (size_t)got));
		terminal->typed_at += (size_t)got;
		terminal->typed_bytes -= (size_t)got;
	}
	return 1;
}

ssize_t stoa_terminal_type(struct stoa_terminal *terminal, const void *data,
                           size_t bytes, struct stoa_deadline deadline)
{
	struct pollfd poll = { .fd = terminal->controller, .events = POLLOUT };

	if (terminal->status.ended)
		return -EIO;
	if (bytes == 0)
		return 0;
	for (;;) {
		ssize_t got = -EAGAIN;
		int64_t left = stoa_deadline_left(deadline);
		const struct timespec time = { left / 1000000000,
			                       left % 1000000000 };

		if (give_typed(terminal))
			got = stoa_sys_write(terminal->controller, data, bytes);
		if (got != -EAGAIN && got != -EINTR)
			return got;
		if (left == 0)
			return stoa_deadline_result(deadline);
		stoa_system_call(SYS_ppoll, (long)&poll, 1,
		                 left == INT64_MAX ? 0 : (long)&time, 0, 0, 0);
	}
}

/* ---- Round and round ------------------------------------------------------------------------ */

enum { CONTROLLER, COMMAND, WAKE, REQUESTS, INPUT, WATCHED };

/* What can be waited for now. */
static void watch(struct stoa_terminal *terminal, int wake_fd,
                  struct pollfd poll[WATCHED])
{
	int wants = terminal->typed_bytes == 0;

	poll[CONTROLLER] = (struct pollfd){
		.fd = terminal->hung && wants ? -1 : terminal->controller,
		.events = (short)((terminal->hung ? 0 : POLLIN) |
		                  (wants ? 0 : POLLOUT)),
	};
	poll[COMMAND] =
	        (struct pollfd){ .fd = stoa_process_pollfd(terminal->process),
		                 .events = POLLIN };
	poll[WAKE] = (struct pollfd){ .fd = wake_fd, .events = POLLIN };
	poll[REQUESTS] = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (wants && terminal->session.input)
		poll[REQUESTS].fd = stoa_queue_pollfd(terminal->session.input,
		                                      STOA_READ);
	poll[INPUT] = (struct pollfd){ .fd = wants ? terminal->input_fd : -1,
		                       .events = POLLIN };
}

/* `left`: at most so long, and not longer than until the true size is due. */
static int wait(struct stoa_terminal *terminal, struct pollfd poll[WATCHED],
                int64_t left)
{
	struct timespec time;

	if (terminal->redraw_ns != 0) {
		int64_t due = terminal->redraw_ns -
		              stoa_sys_clock_ns(CLOCK_MONOTONIC);

		if (due < left)
			left = due > 0 ? due : 0;
	}
	time = (struct timespec){ left / 1000000000, left % 1000000000 };
	return (int)stoa_system_call(SYS_ppoll, (long)poll, WATCHED,
	                             left == INT64_MAX ? 0 : (long)&time, 0, 0,
	                             0);
}

/* It has ended: what it wrote before is read first. 1: it has, and all is
 * told. */
static int meet_end(struct stoa_terminal *terminal)
{
	int result;

	if (!terminal_ended(terminal, STOA_NOW))
		return 0;
	result = pass_output(terminal, DRAIN_MOST);
	terminal_session_end(&terminal->session, &terminal->status);
	terminal_session_close(&terminal->session);
	terminal->finished = 1;
	return result < 0 ? result : 1;
}

/* One round. 1: it has ended; 0; -errno. `*ret_wake`: wake_fd is readable. */
static int go_round(struct stoa_terminal *terminal, int wake_fd, int64_t left,
                    int *ret_busy, int *ret_wake)
{
	struct pollfd poll[WATCHED];
	int result = pass_output(terminal, ROUND * PIECE_MOST), more = result;

	if (result >= 0)
		result = terminal_session_publish(&terminal->session, NULL, 0);
	if (result >= 0 && give_typed(terminal)) {
		result = take_requests(terminal);
		give_typed(terminal);
	}
	if (result < 0)
		return result;
	watch(terminal, wake_fd, poll);
	*ret_busy = wait(terminal, poll, more ? 0 : left) > 0 || more;
	if (poll[INPUT].revents && terminal->typed_bytes == 0)
		take_typed(terminal);
	end_redraw(terminal);
	*ret_wake = poll[WAKE].revents != 0;
	return poll[COMMAND].revents ? meet_end(terminal) : 0;
}

/* A command may write, and a peer ask, faster than it can be passed on: who is
 * not to wait takes what is there, but not for ever. */
static int is_over(struct stoa_deadline deadline, int busy, unsigned rounds)
{
	return stoa_deadline_left(deadline) == 0 &&
	       (!busy || rounds >= ROUNDS_MOST ||
	        stoa_deadline_result(deadline) != -EAGAIN);
}

static int keep(struct stoa_terminal *terminal, int wake_fd,
                struct stoa_deadline deadline)
{
	for (unsigned rounds = 1; !terminal->finished; rounds++) {
		int busy = 0, wake = 0;
		int result = go_round(terminal, wake_fd,
		                      stoa_deadline_left(deadline), &busy,
		                      &wake);

		if (terminal->record_result < 0) {
			result = terminal->record_result;
			terminal->record_result = 0;
		}
		if (result < 0)
			return result;
		if (result > 0)
			break;
		if (wake)
			return 1;
		if (is_over(deadline, busy, rounds))
			return stoa_deadline_result(deadline);
	}
	return 0;
}

/* Those that writing raises. */
static const int write_signals[] = { SIGPIPE, SIGXFSZ };

static uint64_t bit_of(int number)
{
	return UINT64_C(1) << (number - 1);
}

/* What came in between is taken away; what was there before stays. */
static void forget_signals(const sigset_t *pending)
{
	const struct timespec none = { 0, 0 };

	for (size_t i = 0; i < 2; i++) {
		uint64_t set = bit_of(write_signals[i]);

		if (!sigismember(pending, write_signals[i]))
			stoa_system_call(SYS_rt_sigtimedwait, (long)&set, 0,
			                 (long)&none, sizeof(set), 0, 0);
	}
}

/* One of output_fd's readers may be gone, or a recording be as large as a file
 * may be: that is no reason to die. */
int stoa_terminal_run(struct stoa_terminal *terminal, int wake_fd,
                      struct stoa_deadline deadline)
{
	sigset_t set, before, pending;
	int result;

	sigemptyset(&set);
	for (size_t i = 0; i < 2; i++)
		sigaddset(&set, write_signals[i]);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	result = keep(terminal, wake_fd, deadline);
	forget_signals(&pending);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}
