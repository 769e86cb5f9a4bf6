/* SPDX-License-Identifier: MIT */
/* kernel/terminal_text.h: UTF-8, looked at byte by byte. */
#ifndef STOA_KERNEL_TERMINAL_TEXT_H
#define STOA_KERNEL_TERMINAL_TEXT_H

#include <stddef.h>

#define UTF8_LONGEST 4
#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/*
 * What `text`, of `bytes` > 0, begins with: n > 0: a character of n bytes.
 * 0: the first bytes of one, and no more. n < 0: -n bytes that can't be part of
 * any (as Unicode recommends: the longest beginning of a character, or one).
 */
int terminal_utf8(const char *text, size_t bytes);

/* The character `code` as UTF-8 into `out`; how many bytes. Not one: U+FFFD. */
size_t terminal_utf8_put(char *out, unsigned code);

/* Copies the foreign `text` into `out` of `room` bytes, ended by NUL, cut
 * between characters; what would move or change a terminal becomes "?". */
void terminal_printable(char *out, size_t room, const char *text, size_t bytes);

#endif
