/* SPDX-License-Identifier: MIT */
/* terminal.h: what the terminals' tests share. */
#ifndef SUPPORT_TERMINAL_H
#define SUPPORT_TERMINAL_H

#include "support.h"

#include <fcntl.h>
#include <signal.h>

static inline struct stoa_terminal *
start_with(struct stoa_space *space, const char *name,
           const struct stoa_terminal_attributes *attributes,
           const char *script)
{
	char *const argv[] = { "sh", "-c", (char *)script, NULL };
	struct stoa_terminal *terminal = NULL;

	assert_ok(stoa_terminal_start(space, name, attributes, argv,
	                              &terminal));
	return terminal;
}

static inline struct stoa_terminal *
start_session(struct stoa_space *space, const char *name, const char *script)
{
	return start_with(space, name, NULL, script);
}

static inline struct stoa_terminal *start_alone(const char *script)
{
	return start_with(NULL, NULL, NULL, script);
}

static inline void assert_ended(struct stoa_terminal *terminal, int code,
                                int number)
{
	struct stoa_terminal_status status;

	stoa_terminal_status(terminal, &status);
	assert_int_equal(status.ended, 1);
	assert_int_equal(status.unknown, 0);
	assert_int_equal(status.code, code);
	assert_int_equal(status.number, number);
}

static inline void make_pipe(int ends[2])
{
	assert_system(pipe2(ends, O_CLOEXEC));
}

/* Reads all there is until the end of file, which is `text`; closes. */
static inline void assert_pipe(int fd, const char *text)
{
	char got[65536];
	size_t bytes = 0;
	ssize_t more;

	while ((more = assert_system(
	                read(fd, got + bytes, sizeof(got) - 1 - bytes))) > 0)
		bytes += (size_t)more;
	got[bytes] = '\0';
	assert_string_equal(got, text);
	close(fd);
}

/* Keeps the session until `fd`, joined to it, has given exactly `text`. */
static inline void run_until(struct stoa_terminal *terminal, int fd,
                             const char *text)
{
	char got[256];
	size_t bytes = 0, wanted = strlen(text);

	while (bytes < wanted) {
		assert_result(stoa_terminal_run(terminal, fd, STOA_FOREVER), 1);
		bytes += (size_t)assert_system(
		        read(fd, got + bytes, wanted - bytes));
	}
	assert_memory_equal(got, text, wanted);
}

/* What a client has seen, as far as it matters: the last bytes. */
struct seen {
	char text[8192];
	size_t bytes;
};

static inline void see(struct seen *seen, const char *data, size_t bytes)
{
	if (seen->bytes + bytes >= sizeof(seen->text)) {
		size_t keep = seen->bytes < 1024 ? seen->bytes : 1024;

		memmove(seen->text, seen->text + seen->bytes - keep, keep);
		seen->bytes = keep;
	}
	memcpy(seen->text + seen->bytes, data, bytes);
	seen->bytes += bytes;
	seen->text[seen->bytes] = '\0';
}

/* Reads events until the output has `part`. */
static inline void assert_sees(struct stoa_terminal_client *client,
                               const char *part)
{
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];
	struct seen seen = { .bytes = 0 };

	seen.text[0] = '\0';
	while (!strstr(seen.text, part)) {
		assert_ok(stoa_terminal_next(client, buffer, sizeof(buffer),
		                             STOA_FOREVER, &event));
		assert_int_not_equal(event.kind, STOA_TERMINAL_END);
		if (event.kind == STOA_TERMINAL_OUTPUT)
			see(&seen, event.data, event.bytes);
	}
}

static inline void assert_sees_end(struct stoa_terminal_client *client,
                                   int code, int number)
{
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];

	do
		assert_ok(stoa_terminal_next(client, buffer, sizeof(buffer),
		                             STOA_FOREVER, &event));
	while (event.kind != STOA_TERMINAL_END);
	assert_int_equal(event.status.ended, 1);
	assert_int_equal(event.status.code, code);
	assert_int_equal(event.status.number, number);
	assert_result(stoa_terminal_next(client, buffer, sizeof(buffer),
	                                 STOA_FOREVER, &event),
	              -EPIPE);
}

/* Keeps the session, in this thread, until the client has seen `part`. */
static inline void run_until_seen(struct stoa_terminal *terminal,
                                  struct stoa_terminal_client *client,
                                  const char *part)
{
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];
	struct seen seen = { .bytes = 0 };

	seen.text[0] = '\0';
	while (!strstr(seen.text, part)) {
		int result = stoa_terminal_run(
		        terminal, stoa_terminal_pollfd(client, STOA_READ),
		        STOA_FOREVER);

		assert_true(result >= 0);
		while (stoa_terminal_next(client, buffer, sizeof(buffer),
		                          STOA_NOW, &event) == 0)
			if (event.kind == STOA_TERMINAL_OUTPUT)
				see(&seen, event.data, event.bytes);
	}
}

/* Keeps it until the terminal has so many rows. */
static inline void run_until_size(struct stoa_terminal *terminal, uint16_t rows)
{
	struct stoa_terminal_size size = { .rows = 0 };
	int fd = stoa_terminal_controller(terminal);

	while (size.rows != rows) {
		stoa_terminal_run(terminal, -1, stoa_deadline_in(MS));
		assert_ok(stoa_terminal_get_size(fd, &size));
	}
}

static inline int count_session(const struct stoa_terminal_info *info UNUSED,
                                void *context)
{
	++*(int *)context;
	return 0;
}

static inline int count_sessions(struct stoa_space *space)
{
	int count = 0, visited = stoa_terminal_each(space, count_session,
	                                            &count);

	assert_int_equal(visited, count);
	return count;
}

#endif
