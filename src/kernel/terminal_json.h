/* SPDX-License-Identifier: MIT */
/*
 * kernel/terminal_json.h: reads JSON (RFC 8259) of one line, as foreign bytes:
 * every step looks at the end first, and nesting has a bound. A failure is
 * -EBADMSG, and says at `wrong` what it was.
 */
#ifndef STOA_KERNEL_TERMINAL_JSON_H
#define STOA_KERNEL_TERMINAL_JSON_H

#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 32

struct json {
	char *at, *end;
	const char *wrong; /* a sentence's part of ours, no foreign bytes */
};

int json_wrong(struct json *json, const char *what);
/* The next character that isn't blank; 0 at the end. Stays before it. */
char json_peek(struct json *json);
/* Takes `wanted`, or fails. */
int json_take(struct json *json, char wanted);
/* Takes `wanted` if it's next: 1, else 0. */
int json_maybe(struct json *json, char wanted);

/* A string: decoded where it stands, which is never longer, and ended by NUL
 * (it may have others in it). */
int json_string(struct json *json, const char **ret_text, size_t *ret_bytes);

/* A number times 10^9, cut towards zero; held at INT64_MIN and INT64_MAX. */
int json_number(struct json *json, int64_t *ret_billionths);

/* Passes any value over. */
int json_skip(struct json *json);

/* The next member of an object after '{' or the last: 1 with its name, then
 * comes its value; 0: '}' was taken. */
int json_member(struct json *json, int *first, const char **ret_name);

#endif
