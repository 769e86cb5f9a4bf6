/* SPDX-License-Identifier: MIT */
/* kernel/terminal_text.c: UTF-8, looked at byte by byte. */
#include <base/bug.h>
#include <kernel/terminal_text.h>

#include <string.h>

/* The second byte of a character may only be in [low, high] (Unicode 15, table
 * 3-7): no surrogates, nothing over U+10FFFF, nothing longer than needed. */
static int shape_of(unsigned char first, unsigned char *ret_low,
                    unsigned char *ret_high)
{
	*ret_low = 0x80;
	*ret_high = 0xbf;
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	if (first < 0xe0)
		return 2;
	if (first == 0xe0)
		*ret_low = 0xa0;
	if (first == 0xed)
		*ret_high = 0x9f;
	if (first == 0xf0)
		*ret_low = 0x90;
	if (first == 0xf4)
		*ret_high = 0x8f;
	return first < 0xf0 ? 3 : 4;
}

int terminal_utf8(const char *text, size_t bytes)
{
	const unsigned char *at = (const unsigned char *)text;
	unsigned char low, high;
	int length = shape_of(at[0], &low, &high);

	if (length == 0)
		return -1;
	for (int i = 1; i < length; i++) {
		if ((size_t)i == bytes)
			return 0;
		if (at[i] < low || at[i] > high)
			return -i;
		low = 0x80;
		high = 0xbf;
	}
	return length;
}

size_t terminal_utf8_put(char *out, unsigned code)
{
	if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		code = 0xfffd;
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* Of a whole character: C0, DEL, and C1, which some terminals obey (U+0080 to
 * U+009F, C2 80 to C2 9F); and what turns the direction of writing. */
static int is_obeyed(const char *text, int length)
{
	const unsigned char *at = (const unsigned char *)text;

	if (STOA_BUG(126))
		return 0;
	if (length == 1)
		return at[0] < 0x20 || at[0] == 0x7f;
	if (length == 2)
		return at[0] == 0xc2 && at[1] < 0xa0;
	if (length != 3 || at[0] != 0xe2)
		return 0;
	return (at[1] == 0x80 && ((at[2] >= 0x8e && at[2] <= 0x8f) ||
	                          (at[2] >= 0xa8 && at[2] <= 0xae))) ||
	       (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9);
}

void terminal_printable(char *out, size_t room, const char *text, size_t bytes)
{
	size_t used = 0;

	while (bytes > 0) {
		int length = terminal_utf8(text, bytes);
		size_t taken = length > 0 ? (size_t)length :
		               length < 0 ? (size_t)-length :
		                            bytes;
		size_t wanted = taken;

		if (length <= 0 || is_obeyed(text, length))
			wanted = 1;
		if (used + wanted >= room)
			break;
		if (wanted == taken && length > 0 && !is_obeyed(text, length))
			memcpy(out + used, text, taken);
		else
			out[used] = '?';
		used += wanted;
		text += taken;
		bytes -= taken;
	}
	out[used] = '\0';
}
