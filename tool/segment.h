/* SPDX-License-Identifier: MIT */
/* segment.h: what the verbs of segments share. */
#ifndef STOA_TOOL_SEGMENT_H
#define STOA_TOOL_SEGMENT_H

#include "noun.h"

#define SEGMENT_KIND "segment"

/* Opens a segment whose name may carry ".segment". 0 or -errno. */
int tool_segment_open(struct stoa_space *space, const char *name,
                      unsigned flags, struct stoa_segment **ret_segment);

int tool_segment_read(int argc, char **argv);
int tool_segment_write(int argc, char **argv);

/* Bytes as `hexdump -C` shows them; lines that repeat are one "*". */
struct tool_hexdump {
	struct tool_out *out;
	uint64_t at;
	unsigned char line[16], last[16];
	size_t used;
	bool any, skipping;
};
void tool_hexdump_start(struct tool_hexdump *dump, struct tool_out *out,
                        uint64_t at);
void tool_hexdump_put(struct tool_hexdump *dump, const void *data,
                      size_t bytes);
void tool_hexdump_end(struct tool_hexdump *dump);

#endif
