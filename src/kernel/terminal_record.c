/* SPDX-License-Identifier: MIT */
/*
 * kernel/terminal_record.c: writes recordings: asciicast v2
 * (docs.asciinema.org/manual/asciicast/v2). Each event is one line, and one
 * write(2): what a death cuts is at most the last line.
 */
#include <base/error.h>
#include <base/system.h>
#include <kernel/terminal_text.h>
#include <stoa/terminal.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 4096  /* bytes of an event in one line, at most */
#define ESCAPED 6   /* bytes that one becomes, at most: \u001b */
#define LINE_ROOM (ESCAPED * (PIECE + UTF8_LONGEST) + 64)
#define TEXT_MOST 4096 /* of a command or title */
#define NS_PER_US 1000
#define NS_PER_SECOND INT64_C(1000000000)

/* The beginning of a character whose rest has not come. */
struct held {
	char text[UTF8_LONGEST];
	size_t bytes;
};

struct stoa_terminal_recorder {
	int fd;
	int failed; /* -errno of the first write that did */
	int64_t last_ns;
	struct held output, input;
	size_t used;
	char line[LINE_ROOM];
};

/* ---- A line ------------------------------------------------------------------ */

static void put_format(struct stoa_terminal_recorder *recorder,
                       const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void put_format(struct stoa_terminal_recorder *recorder,
                       const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	recorder->used += (size_t)vsnprintf(recorder->line + recorder->used,
	                                    LINE_ROOM - recorder->used, format,
	                                    arguments);
	va_end(arguments);
}

static void put_character(struct stoa_terminal_recorder *recorder,
                          const char *text, size_t bytes)
{
	static const char named[] = "\b\t\n\f\r\"\\";
	static const char names[] = "btnfr\"\\";
	const unsigned char first = (unsigned char)text[0];
	const char *name = first ? strchr(named, first) : NULL;

	if (name)
		put_format(recorder, "\\%c", names[name - named]);
	else if (first < 0x20 || first == 0x7f)
		put_format(recorder, "\\u%04x", first);
	else {
		memcpy(recorder->line + recorder->used, text, bytes);
		recorder->used += bytes;
	}
}

/* As a string's content. Gives how many bytes were left: the beginning of a
 * character. */
static size_t put_text(struct stoa_terminal_recorder *recorder,
                       const char *text, size_t bytes)
{
	while (bytes > 0) {
		int length = terminal_utf8(text, bytes);
		size_t taken;

		if (length == 0)
			break;
		taken = (size_t)(length < 0 ? -length : length);
		if (length > 0)
			put_character(recorder, text, taken);
		else
			put_character(recorder, UTF8_REPLACEMENT, 3);
		text += taken;
		bytes -= taken;
	}
	return bytes;
}

static int write_line(struct stoa_terminal_recorder *recorder)
{
	size_t written = 0;

	while (recorder->failed == 0 && written < recorder->used) {
		ssize_t got = stoa_sys_write(recorder->fd,
		                             recorder->line + written,
		                             recorder->used - written);

		if (got >= 0)
			written += (size_t)got;
		else if (got != -EINTR)
			recorder->failed = (int)got;
	}
	recorder->used = 0;
	if (recorder->failed)
		return stoa_fail(recorder->failed,
		                 "can't write the recording: %s; it ends there",
		                 strerror(-recorder->failed));
	return 0;
}

/* ---- The first line ------------------------------------------------------------ */

static void put_member(struct stoa_terminal_recorder *recorder,
                       const char *before, const char *name, const char *text)
{
	size_t left;

	put_format(recorder, "%s\"%s\": \"", before, name);
	left = put_text(recorder, text, strnlen(text, TEXT_MOST / 4));
	if (left > 0)
		put_character(recorder, UTF8_REPLACEMENT, 3);
	put_format(recorder, "\"");
}

static void put_environment(struct stoa_terminal_recorder *recorder,
                            const struct stoa_terminal_cast *cast)
{
	if (!cast->shell && !cast->term)
		return;
	put_format(recorder, ", \"env\": {");
	if (cast->shell)
		put_member(recorder, "", "SHELL", cast->shell);
	if (cast->term)
		put_member(recorder, cast->shell ? ", " : "", "TERM",
		           cast->term);
	put_format(recorder, "}");
}

static int write_header(struct stoa_terminal_recorder *recorder,
                        const struct stoa_terminal_cast *cast)
{
	put_format(recorder, "{\"version\": 2, \"width\": %u, \"height\": %u",
	           cast->window.columns, cast->window.rows);
	if (cast->started_ns > 0)
		put_format(recorder, ", \"timestamp\": %" PRId64,
		           cast->started_ns / NS_PER_SECOND);
	if (cast->idle_limit_ns > 0)
		put_format(recorder, ", \"idle_time_limit\": %" PRId64
		                     ".%06" PRId64,
		           cast->idle_limit_ns / NS_PER_SECOND,
		           cast->idle_limit_ns % NS_PER_SECOND / NS_PER_US);
	if (cast->command)
		put_member(recorder, ", ", "command", cast->command);
	if (cast->title)
		put_member(recorder, ", ", "title", cast->title);
	put_environment(recorder, cast);
	put_format(recorder, "}\n");
	return write_line(recorder);
}

static int check_cast(const struct stoa_terminal_cast *cast)
{
	uint64_t reserved = cast->reserved_word;

	for (int i = 0; i < 4; i++)
		reserved |= cast->reserved[i];
	if (cast->size != sizeof(*cast) || reserved)
		return stoa_fail(-EINVAL,
		                 "recording: size must be sizeof(struct "
		                 "stoa_terminal_cast), reserved fields zero");
	if (cast->window.rows == 0 || cast->window.columns == 0)
		return stoa_fail(-EINVAL, "recording: a terminal of 0 rows or "
		                          "columns can't be recorded");
	return 0;
}

int stoa_terminal_recorder_open(int fd, const struct stoa_terminal_cast *cast,
                                struct stoa_terminal_recorder **ret_recorder)
{
	int result = check_cast(cast);

	if (result < 0)
		return result;
	struct stoa_terminal_recorder *recorder = calloc(1, sizeof(*recorder));

	if (!recorder)
		return stoa_fail(-ENOMEM, "no memory to record a terminal");
	recorder->fd = fd;
	result = write_header(recorder, cast);
	if (result < 0) {
		free(recorder);
		return result;
	}
	*ret_recorder = recorder;
	return 0;
}

/* ---- Events --------------------------------------------------------------------- */

static void begin_event(struct stoa_terminal_recorder *recorder, char kind,
                        int64_t ns)
{
	if (ns < recorder->last_ns)
		ns = recorder->last_ns;
	recorder->last_ns = ns;
	put_format(recorder, "[%" PRId64 ".%06" PRId64 ", \"%c\", \"",
	           ns / NS_PER_SECOND, ns % NS_PER_SECOND / NS_PER_US, kind);
}

static int end_event(struct stoa_terminal_recorder *recorder)
{
	put_format(recorder, "\"]\n");
	return write_line(recorder);
}

/* The character that was begun, with what has come of it. 1: done with. */
static int put_held(struct stoa_terminal_recorder *recorder, struct held *held,
                    const char **text, size_t *bytes)
{
	while (held->bytes > 0) {
		int length = terminal_utf8(held->text, held->bytes);

		if (length == 0 && *bytes == 0)
			return 0;
		if (length == 0) {
			held->text[held->bytes++] = *(*text)++;
			(*bytes)--;
			continue;
		}
		/* Only the last byte may not belong to it: it stays. */
		size_t taken = (size_t)(length < 0 ? -length : length);

		if (length > 0)
			put_character(recorder, held->text, taken);
		else
			put_character(recorder, UTF8_REPLACEMENT, 3);
		held->bytes -= taken;
		memmove(held->text, held->text + taken, held->bytes);
	}
	return 1;
}

static int put_piece(struct stoa_terminal_recorder *recorder, char kind,
                     int64_t ns, struct held *held, const char *text,
                     size_t bytes)
{
	size_t before;

	begin_event(recorder, kind, ns);
	before = recorder->used;
	if (put_held(recorder, held, &text, &bytes)) {
		size_t left = put_text(recorder, text, bytes);

		memcpy(held->text, text + bytes - left, left);
		held->bytes = left;
	}
	if (recorder->used == before) {
		recorder->used = 0;
		return 0;
	}
	return end_event(recorder);
}

int stoa_terminal_recorder_put(struct stoa_terminal_recorder *recorder,
                               char kind, int64_t ns, const void *data,
                               size_t bytes)
{
	struct held none = { .bytes = 0 };
	struct held *held = kind == 'o' ? &recorder->output :
	                    kind == 'i' ? &recorder->input :
	                    kind == 'm' ? &none :
	                                  NULL;
	const char *text = data;
	int result = recorder->failed;

	if (!held)
		return stoa_fail(-EINVAL, "recording: events of kind 0x%02x "
		                          "can't be put",
		                 (unsigned char)kind);
	while (result == 0 && bytes > 0) {
		size_t piece = bytes < PIECE ? bytes : PIECE;

		result = put_piece(recorder, kind, ns, held, text, piece);
		text += piece;
		bytes -= piece;
	}
	return result;
}

int stoa_terminal_recorder_resize(struct stoa_terminal_recorder *recorder,
                                  int64_t ns,
                                  const struct stoa_terminal_size *size)
{
	if (recorder->failed)
		return recorder->failed;
	begin_event(recorder, 'r', ns);
	put_format(recorder, "%ux%u", size->columns, size->rows);
	return end_event(recorder);
}

static void flush_held(struct stoa_terminal_recorder *recorder, char kind,
                       const struct held *held)
{
	if (held->bytes == 0 || recorder->failed)
		return;
	begin_event(recorder, kind, recorder->last_ns);
	put_character(recorder, UTF8_REPLACEMENT, 3);
	end_event(recorder);
}

int stoa_terminal_recorder_close(struct stoa_terminal_recorder *recorder)
{
	int result;

	if (!recorder)
		return 0;
	flush_held(recorder, 'o', &recorder->output);
	flush_held(recorder, 'i', &recorder->input);
	result = recorder->failed;
	free(recorder);
	return result;
}
