/* SPDX-License-Identifier: MIT */
/*
 * json_check.c: is standard input JSON, and what does it say?
 *
 * json_check            exit status 0 if the input is one JSON value or more
 * json_check a.0.name   and prints what each has at that path: strings
 *                       decoded, everything else as written
 *
 * Strict RFC 8259 with UTF-8 checked. Recursion is bounded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64
#define ROOM_FIRST 65536

struct json {
	const unsigned char *text;
	size_t at, end;
	const char *path; /* what is left of the path; NULL: not on it */
	int found;
};

__attribute__((noreturn)) static void wrong(const struct json *json,
                                            const char *why)
{
	fprintf(stderr, "not JSON: %s at byte %zu\n", why, json->at);
	exit(1);
}

static int look(const struct json *json)
{
	return json->at < json->end ? json->text[json->at] : EOF;
}

static int next(struct json *json)
{
	int c = look(json);

	if (c == EOF)
		wrong(json, "it ends early");
	json->at++;
	return c;
}

static void skip_space(struct json *json)
{
	while (look(json) != EOF && strchr(" \t\r\n", look(json)))
		json->at++;
}

static void expect(struct json *json, int c)
{
	skip_space(json);
	if (next(json) != c)
		wrong(json, "a character is out of place");
}

/* ---- Strings --------------------------------------------------------------- */

static void emit_point(unsigned point, FILE *out)
{
	if (point < 0x80) {
		fputc((int)point, out);
		return;
	}
	if (point < 0x800) {
		fputc((int)(0xc0 | point >> 6), out);
	} else {
		if (point < 0x10000) {
			fputc((int)(0xe0 | point >> 12), out);
		} else {
			fputc((int)(0xf0 | point >> 18), out);
			fputc((int)(0x80 | (point >> 12 & 63)), out);
		}
		fputc((int)(0x80 | (point >> 6 & 63)), out);
	}
	fputc((int)(0x80 | (point & 63)), out);
}

static unsigned hex4(struct json *json)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		int c = next(json);
		const char *digit = c ? strchr(digits, c | 0x20) : NULL;

		if (!digit)
			wrong(json, "a hexadecimal digit is missing");
		value = value << 4 | (unsigned)(digit - digits);
	}
	return value;
}

static void escape(struct json *json, FILE *out)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	int c = next(json);
	const char *name = c ? strchr(names, c) : NULL;
	unsigned point;

	if (name) {
		fputc(means[name - names], out);
		return;
	}
	if (c != 'u')
		wrong(json, "there is no such escape");
	point = hex4(json);
	if (point >= 0xd800 && point < 0xdc00) {
		if (next(json) != '\\' || next(json) != 'u')
			wrong(json, "half a surrogate pair");
		point = 0x10000 + ((point - 0xd800) << 10)
		        + (hex4(json) - 0xdc00);
	}
	emit_point(point, out);
}

static void utf8(struct json *json, int first, FILE *out)
{
	int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;

	if (first < 0xc2 || first > 0xf4)
		wrong(json, "this is not UTF-8");
	fputc(first, out);
	while (more--) {
		int c = next(json);

		if ((c & 0xc0) != 0x80)
			wrong(json, "this is not UTF-8");
		fputc(c, out);
	}
}

static void string(struct json *json, FILE *out)
{
	expect(json, '"');
	for (;;) {
		int c = next(json);

		if (c == '"')
			return;
		if (c < ' ')
			wrong(json, "a control character");
		if (c == '\\')
			escape(json, out);
		else if (c >= 0x80)
			utf8(json, c, out);
		else
			fputc(c, out);
	}
}

static char *string_alone(struct json *json, size_t *ret_bytes)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_bytes);

	if (!out)
		exit(2);
	string(json, out);
	fclose(out);
	return text;
}

/* ---- Values ----------------------------------------------------------------- */

static size_t digits(struct json *json)
{
	size_t count = 0;

	for (; look(json) >= '0' && look(json) <= '9'; json->at++)
		count++;
	if (!count)
		wrong(json, "a digit is missing");
	return count;
}

static void number(struct json *json)
{
	int first;

	if (look(json) == '-')
		json->at++;
	first = look(json);
	if (digits(json) > 1 && first == '0')
		wrong(json, "a number begins with 0");
	if (look(json) == '.') {
		json->at++;
		digits(json);
	}
	if (look(json) == 'e' || look(json) == 'E') {
		json->at++;
		if (look(json) == '+' || look(json) == '-')
			json->at++;
		digits(json);
	}
}

static void word(struct json *json, const char *text)
{
	for (; *text; text++)
		if (next(json) != *text)
			wrong(json, "an unknown word");
}

static void value(struct json *json, int depth);

/* The value of the member or element `name`: on the path if it is the next
 * step of it. */
static void step(struct json *json, const char *name, int depth)
{
	const char *path = json->path;
	size_t length = strlen(name);

	if (path && !strncmp(path, name, length)
	    && (path[length] == '.' || !path[length]))
		json->path = path + length + (path[length] == '.');
	else
		json->path = NULL;
	value(json, depth + 1);
	json->path = path;
}

static void members(struct json *json, int depth, int close)
{
	char name[32];
	int count = 0;

	json->at++;
	skip_space(json);
	if (look(json) == close) {
		json->at++;
		return;
	}
	for (;; count++) {
		if (close == '}') {
			size_t bytes;
			char *key = string_alone(json, &bytes);

			expect(json, ':');
			step(json, key, depth);
			free(key);
		} else {
			snprintf(name, sizeof name, "%d", count);
			step(json, name, depth);
		}
		skip_space(json);
		if (look(json) == close)
			break;
		expect(json, ',');
	}
	json->at++;
}

static void scalar(struct json *json)
{
	switch (look(json)) {
	case 't': word(json, "true"); break;
	case 'f': word(json, "false"); break;
	case 'n': word(json, "null"); break;
	default: number(json); break;
	}
}

static void value(struct json *json, int depth)
{
	int asked = json->path && !*json->path;
	size_t start, bytes;
	char *text;

	if (depth > DEPTH_MAX)
		wrong(json, "it is too deep");
	skip_space(json);
	start = json->at;
	if (look(json) == '"') {
		text = string_alone(json, &bytes);
		if (asked)
			fwrite(text, 1, bytes, stdout);
		free(text);
	} else if (look(json) == '{' || look(json) == '[') {
		if (asked)
			json->path = NULL;
		members(json, depth, look(json) == '{' ? '}' : ']');
	} else {
		scalar(json);
	}
	if (!asked)
		return;
	if (json->text[start] != '"')
		fwrite(json->text + start, 1, json->at - start, stdout);
	putchar('\n');
	json->found = 1;
}

static unsigned char *read_all(size_t *ret_bytes)
{
	size_t room = ROOM_FIRST, used = 0, got;
	unsigned char *text = malloc(room);

	while (text && (got = fread(text + used, 1, room - used, stdin))) {
		used += got;
		if (used == room)
			text = realloc(text, room *= 2);
	}
	if (!text)
		exit(2);
	*ret_bytes = used;
	return text;
}

int main(int argc, char **argv)
{
	struct json json = { 0 };
	unsigned char *text = read_all(&json.end);

	json.text = text;
	json.path = argc > 1 ? argv[1] : NULL;
	skip_space(&json);
	if (look(&json) == EOF)
		wrong(&json, "there is nothing");
	while (look(&json) != EOF) {
		const char *path = json.path;

		value(&json, 0);
		json.path = path;
		skip_space(&json);
	}
	free(text);
	return json.path && !json.found;
}
