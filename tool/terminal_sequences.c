/* SPDX-License-Identifier: MIT */
/*
 * terminal_sequences.c: follows the control sequences (ECMA-48, and xterm's)
 * that a command writes: so that who leaves its session gets his terminal back
 * as it was, and who comes late sees what was written before without his
 * terminal answering questions that were asked of others, or being told to take
 * a clipboard.
 */
#include <stdio.h>
#include <string.h>

#include "terminal.h"

enum state { GROUND, ESCAPE, SHORT, SEQUENCE, STRING, STRING_ESCAPE };

#define ESC '\033'
#define BEL '\a'
#define ENQ '\005'

/* DEC's private modes that we give back; which of them are usually on. */
static const struct {
	unsigned number;
	bool usual;
} modes[] = {
	{ 1, false },    { 7, true },     { 9, false },    { 25, true },
	{ 47, false },   { 1000, false }, { 1002, false }, { 1003, false },
	{ 1004, false }, { 1005, false }, { 1006, false }, { 1015, false },
	{ 1047, false }, { 1049, false }, { 2004, false },
};

#define MODES (sizeof modes / sizeof *modes)

static void set_mode(struct tool_sequences *sequences, unsigned number, bool on)
{
	for (size_t i = 0; i < MODES; i++) {
		if (modes[i].number != number)
			continue;
		if (on == modes[i].usual)
			sequences->changed &= ~(UINT32_C(1) << i);
		else
			sequences->changed |= UINT32_C(1) << i;
	}
}

/* "?25;1000h": of ESC [ ? ... h or l. */
static void note_modes(struct tool_sequences *sequences, const char *text,
                       size_t bytes)
{
	bool on = text[bytes - 1] == 'h';
	unsigned number = 0;

	for (size_t i = 1; i < bytes; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			if (number < 100000)
				number = number * 10 + (unsigned)(text[i] - '0');
			continue;
		}
		set_mode(sequences, number, on);
		number = 0;
	}
}

/* Of ESC [ ...: does a terminal answer it, or do something that is no
 * drawing? */
static bool asks(const char *text, size_t bytes)
{
	char last = text[bytes - 1];

	if (last == 'm' && text[0] == '?')
		return true;
	return memchr("cnxtiqpuy", last, 9) != NULL;
}

struct follow {
	struct tool_sequences *sequences;
	char *out;
	size_t used;
};

static void put(struct follow *follow, const char *data, size_t bytes)
{
	if (!follow->out)
		return;
	memcpy(follow->out + follow->used, data, bytes);
	follow->used += bytes;
}

/* A whole ESC [ sequence stands in text, without these two. */
static void end_sequence(struct follow *follow)
{
	struct tool_sequences *sequences = follow->sequences;
	const char *text = sequences->text;
	size_t bytes = sequences->bytes;
	bool mode = text[0] == '?' &&
	            (text[bytes - 1] == 'h' || text[bytes - 1] == 'l');

	sequences->state = GROUND;
	if (sequences->too_long)
		return;
	if (mode)
		note_modes(sequences, text, bytes);
	if (asks(text, bytes))
		return;
	put(follow, "\033[", 2);
	put(follow, text, bytes);
}

static void in_sequence(struct follow *follow, char c)
{
	struct tool_sequences *sequences = follow->sequences;

	if (c == ESC || c == 0x18 || c == 0x1a) { /* cancelled */
		sequences->state = c == ESC ? ESCAPE : GROUND;
		return;
	}
	if (sequences->bytes + 2 < TOOL_SEQUENCE_MOST)
		sequences->text[sequences->bytes++] = c;
	else
		sequences->too_long = true;
	if (c >= 0x40 && c <= 0x7e)
		end_sequence(follow);
}

static void after_escape(struct follow *follow, char c)
{
	struct tool_sequences *sequences = follow->sequences;
	const char both[2] = { ESC, c };

	sequences->state = GROUND;
	sequences->bytes = 0;
	sequences->too_long = false;
	if (c == '[')
		sequences->state = SEQUENCE;
	else if (memchr("]PX^_", c, 5))
		sequences->state = STRING;
	else if (c >= 0x20 && c <= 0x2f) {
		sequences->state = SHORT;
		put(follow, both, 2);
	} else if (c == ESC)
		sequences->state = ESCAPE;
	else if (c != 'Z') /* "what are you?" */
		put(follow, both, 2);
	if (c == 'c') /* all as it usually is */
		sequences->changed = 0;
}

static void follow_one(struct follow *follow, char c)
{
	struct tool_sequences *sequences = follow->sequences;

	switch (sequences->state) {
	case ESCAPE: after_escape(follow, c); break;
	case SEQUENCE: in_sequence(follow, c); break;
	case SHORT:
		put(follow, &c, 1);
		if (c < 0x20 || c > 0x2f)
			sequences->state = GROUND;
		break;
	case STRING:
		if (c == ESC)
			sequences->state = STRING_ESCAPE;
		else if (c == BEL || c == 0x18 || c == 0x1a)
			sequences->state = GROUND;
		break;
	case STRING_ESCAPE:
		if (c == '\\')
			sequences->state = GROUND;
		else
			after_escape(follow, c);
		break;
	}
}

size_t tool_sequences_follow(struct tool_sequences *sequences,
                             const char *data, size_t bytes, char *old)
{
	struct follow follow = { sequences, old, 0 };
	const char *end = data + bytes;

	while (data < end) {
		if (sequences->state != GROUND) {
			follow_one(&follow, *data++);
			continue;
		}
		const char *next = memchr(data, ESC, (size_t)(end - data));
		const char *stop = next ? next : end;

		for (; old && data < stop; data++)
			if (*data != ENQ)
				put(&follow, data, 1);
		data = stop;
		if (next) {
			sequences->state = ESCAPE;
			data++;
		}
	}
	return follow.used;
}

size_t tool_sequences_undo(const struct tool_sequences *sequences, char *out,
                           size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < MODES; i++)
		if (sequences->changed >> i & 1)
			used += (size_t)snprintf(out + used, room - used,
			                         "\033[?%u%c", modes[i].number,
			                         modes[i].usual ? 'h' : 'l');
	return used;
}
