/* SPDX-License-Identifier: MIT */
/* hexdump.c: bytes for people. */
#include <stdio.h>
#include <string.h>

#include "segment.h"

#define LINE 16

void tool_hexdump_start(struct tool_hexdump *dump, struct tool_out *out,
                        uint64_t at)
{
	*dump = (struct tool_hexdump){ .out = out, .at = at };
}

static void print_line(struct tool_hexdump *dump)
{
	char text[LINE + 1] = "";

	tool_out_format(dump->out, "%08llx ", (unsigned long long)dump->at);
	for (size_t i = 0; i < LINE; i++) {
		if (i % 8 == 0)
			tool_out_text(dump->out, " ");
		if (i >= dump->used) {
			tool_out_text(dump->out, "   ");
			continue;
		}
		unsigned char byte = dump->line[i];
		tool_out_format(dump->out, "%02x ", byte);
		text[i] = byte >= ' ' && byte <= '~' ? (char)byte : '.';
	}
	tool_out_format(dump->out, " |%s|\n", text);
}

static void put_line(struct tool_hexdump *dump)
{
	if (dump->any && dump->used == LINE &&
	    !memcmp(dump->line, dump->last, LINE)) {
		if (!dump->skipping)
			tool_out_text(dump->out, "*\n");
		dump->skipping = true;
	} else {
		print_line(dump);
		dump->skipping = false;
	}
	dump->any = true;
	memcpy(dump->last, dump->line, LINE);
	dump->at += dump->used;
	dump->used = 0;
}

void tool_hexdump_put(struct tool_hexdump *dump, const void *data, size_t bytes)
{
	const unsigned char *from = data;

	while (bytes--) {
		dump->line[dump->used++] = *from++;
		if (dump->used == LINE)
			put_line(dump);
	}
}

void tool_hexdump_end(struct tool_hexdump *dump)
{
	if (dump->used)
		put_line(dump);
	tool_out_format(dump->out, "%08llx\n", (unsigned long long)dump->at);
}
