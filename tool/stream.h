/* SPDX-License-Identifier: MIT */
/* stream.h: what the verbs of `stoa stream` share. */
#ifndef STOA_TOOL_STREAM_H
#define STOA_TOOL_STREAM_H

#include "noun.h"

int tool_stream_create(int argc, char **argv);
int tool_stream_resize(int argc, char **argv);
int tool_stream_rm(int argc, char **argv);
int tool_stream_write(int argc, char **argv);
int tool_stream_read(int argc, char **argv);
int tool_stream_copy(int argc, char **argv);
int tool_stream_stat(int argc, char **argv);

/* Opens it as no end, to look at. 0 or -errno. */
int tool_stream_look(struct stoa_space *space, const char *name,
                     struct stoa_stream **ret_stream);

#endif
