/* SPDX-License-Identifier: MIT */
/* message.c: how a message is printed. */
#include <inttypes.h>
#include <unistd.h>

#include "tool.h"

bool tool_style_option(struct tool_style *style, int option)
{
	switch (option) {
	case '0': style->form = TOOL_NULLS; return true;
	case 'r': style->form = TOOL_RAW; return true;
	case 'J': style->form = TOOL_JSON; return true;
	case 'p': style->priority = true; return true;
	default: return false;
	}
}

void tool_style_settle(struct tool_style *style, int fd)
{
	style->visible = style->form == TOOL_LINES && isatty(fd);
}

static void print_json(struct tool_out *out, const struct stoa_message *message)
{
	tool_out_format(out,
	                "{\"sequence\":%" PRIu64 ",\"type\":%" PRId64
	                ",\"priority\":%" PRIu32 ",\"deliveries\":%" PRIu32
	                ",\"sender_pid\":%ld,\"bytes\":%zu,",
	                message->sequence, message->type, message->priority,
	                message->deliveries, (long)message->sender_pid,
	                message->bytes);
	if (tool_is_utf8(message->data, message->bytes)) {
		tool_out_text(out, "\"text\":");
		tool_out_json(out, message->data, message->bytes);
	} else {
		tool_out_text(out, "\"base64\":");
		tool_out_base64(out, message->data, message->bytes);
	}
	tool_out_text(out, "}\n");
}

void tool_print_message(struct tool_out *out, const struct tool_style *style,
                        const struct stoa_message *message)
{
	if (style->form == TOOL_JSON) {
		print_json(out, message);
		return;
	}
	if (style->priority)
		tool_out_format(out, "%" PRIu32 "\t", message->priority);
	if (style->visible)
		tool_out_visible(out, message->data, message->bytes);
	else
		tool_out_put(out, message->data, message->bytes);
	if (style->form == TOOL_LINES)
		tool_out_put(out, "\n", 1);
	else if (style->form == TOOL_NULLS)
		tool_out_put(out, "\0", 1);
}
