/* SPDX-License-Identifier: MIT */
/* kernel/terminal_json.c: reads JSON of one line. */
#include <kernel/terminal_json.h>
#include <kernel/terminal_text.h>

#include <errno.h>
#include <string.h>

#define EXPONENT_MOST 1000 /* beyond any number that is held */

int json_wrong(struct json *json, const char *what)
{
	if (!json->wrong)
		json->wrong = what;
	return -EBADMSG;
}

char json_peek(struct json *json)
{
	while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' ||
	                                *json->at == '\r' || *json->at == '\n'))
		json->at++;
	return json->at < json->end ? *json->at : '\0';
}

int json_maybe(struct json *json, char wanted)
{
	if (json_peek(json) != wanted || json->at == json->end)
		return 0;
	json->at++;
	return 1;
}

int json_take(struct json *json, char wanted)
{
	return json_maybe(json, wanted) ?
	               0 :
	               json_wrong(json, "it isn't JSON, or not what belongs "
	                                "there");
}

/* ---- Strings ------------------------------------------------------------------- */

static int hexadecimal(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Four digits at `at`, or -1. */
static int code_unit(const char *at, const char *end)
{
	int code = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hexadecimal(at[i]);

		if (digit < 0)
			return -1;
		code = code << 4 | digit;
	}
	return code;
}

/* After "\u". Two that make a pair are one character; one alone is none. */
static int take_code(struct json *json, char **out)
{
	int code = code_unit(json->at, json->end), low = -1;

	if (code < 0)
		return json_wrong(json, "\\u wants four digits");
	json->at += 4;
	if (code >= 0xd800 && code <= 0xdbff && json->end - json->at >= 6 &&
	    json->at[0] == '\\' && json->at[1] == 'u')
		low = code_unit(json->at + 2, json->end);
	if (low >= 0xdc00 && low <= 0xdfff) {
		json->at += 6;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	*out += terminal_utf8_put(*out, (unsigned)code);
	return 0;
}

static int take_escape(struct json *json, char **out)
{
	static const char names[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	const char *found;
	char name;

	if (json->at == json->end)
		return json_wrong(json, "a string has no end");
	name = *json->at++;
	if (name == 'u')
		return take_code(json, out);
	found = name ? strchr(names, name) : NULL;
	if (!found)
		return json_wrong(json, "a string has an unknown escape");
	*(*out)++ = meant[found - names];
	return 0;
}

static int take_plain(struct json *json, char **out)
{
	int length = terminal_utf8(json->at, (size_t)(json->end - json->at));

	if ((unsigned char)*json->at < 0x20)
		return json_wrong(json, "a string has a control character");
	if (length <= 0)
		return json_wrong(json, "a string isn't UTF-8");
	memmove(*out, json->at, (size_t)length);
	*out += length;
	json->at += length;
	return 0;
}

int json_string(struct json *json, const char **ret_text, size_t *ret_bytes)
{
	char *begin, *out;
	int result = 0;

	if (!json_maybe(json, '"'))
		return json_wrong(json, "a string was expected");
	begin = out = json->at;
	while (result == 0 && json->at < json->end && *json->at != '"') {
		if (*json->at == '\\') {
			json->at++;
			result = take_escape(json, &out);
		} else {
			result = take_plain(json, &out);
		}
	}
	if (result < 0)
		return result;
	if (json->at == json->end)
		return json_wrong(json, "a string has no end");
	json->at++;
	*out = '\0'; /* where the string ended, or before */
	*ret_text = begin;
	*ret_bytes = (size_t)(out - begin);
	return 0;
}

/* ---- Numbers -------------------------------------------------------------------- */

static int is_digit(const struct json *json)
{
	return json->at < json->end && *json->at >= '0' && *json->at <= '9';
}

/* Digits into the mantissa, as far as it has room. How many there were. */
static int take_digits(struct json *json, int64_t *mantissa, int *exponent,
                       int behind_point)
{
	int digits = 0;

	for (; is_digit(json); json->at++, digits = 1) {
		if (*mantissa <= INT64_MAX / 10 - 1) {
			*mantissa = *mantissa * 10 + (*json->at - '0');
			*exponent -= behind_point;
		} else if (*exponent < EXPONENT_MOST) {
			*exponent += !behind_point;
		}
	}
	return digits;
}

static int take_exponent(struct json *json, int *exponent)
{
	int negative = 0, given = 0;

	json->at++;
	if (json->at < json->end && (*json->at == '+' || *json->at == '-'))
		negative = *json->at++ == '-';
	if (!is_digit(json))
		return json_wrong(json, "a number has no exponent");
	for (; is_digit(json); json->at++)
		if (given < EXPONENT_MOST)
			given = given * 10 + (*json->at - '0');
	*exponent += negative ? -given : given;
	return 0;
}

static int64_t scale(int64_t mantissa, int exponent)
{
	for (; exponent > 0 && mantissa != 0; exponent--) {
		if (mantissa > INT64_MAX / 10)
			return INT64_MAX;
		mantissa *= 10;
	}
	for (; exponent < 0 && mantissa != 0; exponent++)
		mantissa /= 10;
	return mantissa;
}

int json_number(struct json *json, int64_t *ret_billionths)
{
	int64_t mantissa = 0;
	int exponent = 9, negative, zero;

	negative = json_maybe(json, '-');
	zero = json->at < json->end && *json->at == '0';
	if (!is_digit(json))
		return json_wrong(json, "a number was expected");
	if (zero)
		json->at++;
	else
		take_digits(json, &mantissa, &exponent, 0);
	if (zero && is_digit(json))
		return json_wrong(json, "a number begins with 0");
	if (json->at < json->end && *json->at == '.') {
		json->at++;
		if (!take_digits(json, &mantissa, &exponent, 1))
			return json_wrong(json, "a number has no digit behind "
			                        "its point");
	}
	if (json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
		int result = take_exponent(json, &exponent);

		if (result < 0)
			return result;
	}
	mantissa = scale(mantissa, exponent);
	*ret_billionths = negative ? -mantissa : mantissa;
	return 0;
}

/* ---- Any value ------------------------------------------------------------------- */

static int take_word(struct json *json)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		size_t length = strlen(words[i]);

		if ((size_t)(json->end - json->at) >= length &&
		    memcmp(json->at, words[i], length) == 0) {
			json->at += length;
			return 0;
		}
	}
	return json_wrong(json, "it isn't JSON");
}

static int skip_simple(struct json *json)
{
	const char *text;
	int64_t number;
	size_t bytes;
	char next = json_peek(json);

	if (next == '"')
		return json_string(json, &text, &bytes);
	if (next == '-' || (next >= '0' && next <= '9'))
		return json_number(json, &number);
	return take_word(json);
}

/* The name before a value of an object. */
static int skip_name(struct json *json)
{
	const char *text;
	size_t bytes;
	int result = json_string(json, &text, &bytes);

	return result < 0 ? result : json_take(json, ':');
}

/* What follows a whole value: closes what ends there. 1: another value comes
 * next; 0: all is closed. */
static int close_levels(struct json *json, const char *closer, int *depth)
{
	while (*depth > 0) {
		if (json_maybe(json, ',')) {
			int result = closer[*depth - 1] == '}' ?
			                     skip_name(json) :
			                     0;

			return result < 0 ? result : 1;
		}
		int result = json_take(json, closer[*depth - 1]);

		if (result < 0)
			return result;
		--*depth;
	}
	return 0;
}

/* Opens the array or object that comes next. 1: a value comes next; 0: it was
 * empty, and is a whole value. */
static int open_level(struct json *json, char *closer, int *depth)
{
	char kind = json_peek(json) == '{' ? '}' : ']';
	int result;

	if (*depth == JSON_DEPTH)
		return json_wrong(json, "it is nested too deeply");
	json->at++;
	if (json_maybe(json, kind))
		return 0;
	closer[(*depth)++] = kind;
	if (kind != '}')
		return 1;
	result = skip_name(json);
	return result < 0 ? result : 1;
}

int json_skip(struct json *json)
{
	char closer[JSON_DEPTH], next;
	int depth = 0, result = 1;

	while (result == 1) {
		next = json_peek(json);
		result = next == '{' || next == '[' ?
		                 open_level(json, closer, &depth) :
		                 skip_simple(json);
		if (result == 0)
			result = close_levels(json, closer, &depth);
	}
	return result;
}

int json_member(struct json *json, int *first, const char **ret_name)
{
	size_t bytes;
	int result;

	if (json_maybe(json, '}'))
		return 0;
	if (!*first) {
		result = json_take(json, ',');
		if (result < 0)
			return result;
	}
	*first = 0;
	result = json_string(json, ret_name, &bytes);
	if (result == 0)
		result = json_take(json, ':');
	return result < 0 ? result : 1;
}
