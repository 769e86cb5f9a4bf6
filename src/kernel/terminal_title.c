/* SPDX-License-Identifier: MIT */
/*
 * kernel/terminal_title.c: the title that a command gives its window: ESC ] 0 or
 * 2 ; text, ended by BEL or ESC \ (xterm's control sequences, "Operating System
 * Commands"). What it writes may be cut anywhere.
 */
#include <kernel/terminal_internal.h>
#include <kernel/terminal_text.h>

#include <string.h>

enum { GROUND, ESCAPE, NUMBER, SEMICOLON, TEXT, TEXT_ESCAPE };

#define ESC '\033'
#define BEL '\a'

/* 1: the text is whole. */
static int step(struct terminal_title *title, char c)
{
	switch (title->state) {
	case ESCAPE:
		title->state = c == ']' ? NUMBER : c == ESC ? ESCAPE : GROUND;
		break;
	case NUMBER:
		title->state = c == '0' || c == '2' ? SEMICOLON : GROUND;
		break;
	case SEMICOLON:
		title->state = c == ';' ? TEXT : GROUND;
		title->bytes = 0;
		break;
	case TEXT:
		if (c == BEL) {
			title->state = GROUND;
			return 1;
		}
		if (c == ESC)
			title->state = TEXT_ESCAPE;
		else if (title->bytes < TERMINAL_TEXT_MOST)
			title->text[title->bytes++] = c;
		break;
	case TEXT_ESCAPE:
		title->state = c == '\\' || c != ']' ? GROUND : NUMBER;
		return c == '\\';
	}
	return 0;
}

int terminal_title_look(struct terminal_title *title, const char *data,
                        size_t bytes, char *text, uint32_t *text_bytes)
{
	const char *end = data + bytes;
	int changed = 0;

	while (data < end) {
		if (title->state == GROUND) {
			data = memchr(data, ESC, (size_t)(end - data));
			if (!data)
				break;
			data++;
			title->state = ESCAPE;
			continue;
		}
		if (!step(title, *data++))
			continue;
		terminal_printable(text, TERMINAL_TEXT_MOST + 1, title->text,
		                   title->bytes);
		*text_bytes = (uint32_t)strlen(text);
		changed = 1;
	}
	return changed;
}
