/* SPDX-License-Identifier: MIT */
/* output.c: bytes out, whole whatever the kernel accepts at once. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define FORMAT_MAX 256
#define ASCII_END 0x80
#define DELETE 0x7f
#define C1_END 0xa0

void tool_out_init(struct tool_out *out, int fd)
{
	out->fd = fd;
	out->error = 0;
	out->used = 0;
}

static void write_all(struct tool_out *out, const char *data, size_t bytes)
{
	while (bytes && !out->error) {
		ssize_t written = write(out->fd, data, bytes);

		if (written >= 0) {
			data += written;
			bytes -= (size_t)written;
			if (bytes && tool_stop_asked())
				out->error = -EINTR;
		} else if (errno != EINTR) {
			out->error = -errno;
		} else if (tool_stop_asked()) {
			out->error = -EINTR;
		}
	}
}

int tool_out_flush(struct tool_out *out)
{
	write_all(out, out->room, out->used);
	out->used = 0;
	return out->error;
}

void tool_out_put(struct tool_out *out, const void *data, size_t bytes)
{
	if (bytes > sizeof out->room - out->used)
		tool_out_flush(out);
	if (bytes > sizeof out->room) {
		write_all(out, data, bytes);
		return;
	}
	if (bytes)
		memcpy(out->room + out->used, data, bytes);
	out->used += bytes;
}

void tool_out_text(struct tool_out *out, const char *text)
{
	tool_out_put(out, text, strlen(text));
}

void tool_out_format(struct tool_out *out, const char *format, ...)
{
	char text[FORMAT_MAX];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	tool_out_text(out, text);
}

/* ---- UTF-8 --------------------------------------------------------------- */

/* The bytes of the character at `data`; 0: not UTF-8 (RFC 3629: no overlong
 * form, no surrogate, nothing over U+10FFFF). */
static size_t utf8_step(const unsigned char *data, size_t bytes,
                        uint32_t *ret_point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t point = data[0];
	size_t length;

	if (point < ASCII_END) {
		*ret_point = point;
		return 1;
	}
	length = point >= 0xf0 ? 4 : point >= 0xe0 ? 3 : 2;
	if (point < 0xc2 || point > 0xf4 || length > bytes)
		return 0;
	point &= 0x7fu >> length;
	for (size_t i = 1; i < length; i++) {
		if ((data[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (data[i] & 0x3f);
	}
	if (point < least[length] || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return length;
}

bool tool_is_utf8(const void *data, size_t bytes)
{
	const unsigned char *at = data;
	uint32_t point;

	while (bytes) {
		size_t step = utf8_step(at, bytes, &point);

		if (!step)
			return false;
		at += step;
		bytes -= step;
	}
	return true;
}

void tool_out_visible(struct tool_out *out, const void *data, size_t bytes)
{
	const unsigned char *at = data;
	uint32_t point = 0;

	while (bytes) {
		size_t step = utf8_step(at, bytes, &point);
		bool shown = step && (point == '\n' || point == '\t' ||
		                      (point >= ' ' && point < DELETE) ||
		                      point >= C1_END);

		if (shown)
			tool_out_put(out, at, step);
		else
			for (size_t i = 0; i < (step ? step : 1); i++)
				tool_out_format(out, "\\x%02x", at[i]);
		at += step ? step : 1;
		bytes -= step ? step : 1;
	}
}

/* ---- JSON ---------------------------------------------------------------- */

static bool json_plain(unsigned char byte)
{
	return byte >= ' ' && byte != '"' && byte != '\\';
}

static void json_escape(struct tool_out *out, unsigned char byte)
{
	switch (byte) {
	case '"': tool_out_text(out, "\\\""); break;
	case '\\': tool_out_text(out, "\\\\"); break;
	case '\n': tool_out_text(out, "\\n"); break;
	case '\r': tool_out_text(out, "\\r"); break;
	case '\t': tool_out_text(out, "\\t"); break;
	default: tool_out_format(out, "\\u%04x", byte); break;
	}
}

void tool_out_json(struct tool_out *out, const void *data, size_t bytes)
{
	const unsigned char *at = data;
	size_t start = 0;

	tool_out_text(out, "\"");
	for (size_t i = 0; i < bytes; i++) {
		if (json_plain(at[i]))
			continue;
		tool_out_put(out, at + start, i - start);
		json_escape(out, at[i]);
		start = i + 1;
	}
	tool_out_put(out, at + start, bytes - start);
	tool_out_text(out, "\"");
}

void tool_out_base64(struct tool_out *out, const void *data, size_t bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *at = data;

	tool_out_text(out, "\"");
	while (bytes) {
		size_t have = bytes < 3 ? bytes : 3;
		uint32_t bits = (uint32_t)at[0] << 16;
		char text[4];

		bits |= have > 1 ? (uint32_t)at[1] << 8 : 0;
		bits |= have > 2 ? (uint32_t)at[2] : 0;
		text[0] = digits[bits >> 18];
		text[1] = digits[bits >> 12 & 63];
		text[2] = have > 1 ? digits[bits >> 6 & 63] : '=';
		text[3] = have > 2 ? digits[bits & 63] : '=';
		tool_out_put(out, text, sizeof text);
		at += have;
		bytes -= have;
	}
	tool_out_text(out, "\"");
}
