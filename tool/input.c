/* SPDX-License-Identifier: MIT */
/* input.c: standard input cut into records, whatever bytes it holds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define ROOM_FIRST 65536

void tool_in_init(struct tool_in *in, int fd, enum tool_cut cut, uint64_t size,
                  uint64_t limit)
{
	memset(in, 0, sizeof *in);
	in->fd = fd;
	in->cut = cut;
	in->size = size;
	in->limit = limit;
}

static int give(struct tool_in *in, size_t bytes, size_t skip, char **ret_data,
                size_t *ret_bytes)
{
	*ret_data = in->room + in->start;
	*ret_bytes = bytes;
	in->start += bytes + skip;
	in->seen = in->start;
	return 1;
}

static int next_delimited(struct tool_in *in, int delimiter, char **ret_data,
                          size_t *ret_bytes)
{
	char *found = NULL;

	if (in->seen < in->end)
		found = memchr(in->room + in->seen, delimiter,
		               in->end - in->seen);
	if (found)
		return give(in, (size_t)(found - (in->room + in->start)), 1,
		            ret_data, ret_bytes);
	in->seen = in->end;
	if (in->ended && in->start < in->end)
		return give(in, in->end - in->start, 0, ret_data, ret_bytes);
	return 0;
}

static int next_block(struct tool_in *in, char **ret_data, size_t *ret_bytes)
{
	size_t have = in->end - in->start;

	if (have >= in->size)
		return give(in, (size_t)in->size, 0, ret_data, ret_bytes);
	if (in->ended && have)
		return give(in, have, 0, ret_data, ret_bytes);
	return 0;
}

/* The whole input is one record even if it is empty. */
static int next_whole(struct tool_in *in, char **ret_data, size_t *ret_bytes)
{
	if (!in->ended || in->gave_whole)
		return 0;
	in->gave_whole = true;
	return give(in, in->end - in->start, 0, ret_data, ret_bytes);
}

int tool_in_next(struct tool_in *in, char **ret_data, size_t *ret_bytes)
{
	switch (in->cut) {
	case TOOL_CUT_SIZE: return next_block(in, ret_data, ret_bytes);
	case TOOL_CUT_NONE: return next_whole(in, ret_data, ret_bytes);
	case TOOL_CUT_NULLS:
		return next_delimited(in, '\0', ret_data, ret_bytes);
	case TOOL_CUT_LINES:
	default: return next_delimited(in, '\n', ret_data, ret_bytes);
	}
}

/* Moves what is left to the front, and doubles the room when that is full. */
static int make_room(struct tool_in *in)
{
	size_t bytes = in->room_bytes ? in->room_bytes * 2 : ROOM_FIRST;
	char *room;

	if (in->start) {
		memmove(in->room, in->room + in->start, in->end - in->start);
		in->end -= in->start;
		in->seen -= in->start;
		in->start = 0;
	}
	if (in->end < in->room_bytes)
		return 0;
	room = realloc(in->room, bytes);
	if (!room)
		return -ENOMEM;
	in->room = room;
	in->room_bytes = bytes;
	return 0;
}

int tool_in_read(struct tool_in *in)
{
	ssize_t got;
	int result;

	if (in->end - in->start > in->limit)
		return -EMSGSIZE;
	result = make_room(in);
	if (result < 0)
		return result;
	do
		got = read(in->fd, in->room + in->end,
		           in->room_bytes - in->end);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	in->end += (size_t)got;
	in->ended = got == 0;
	return 0;
}

void tool_in_fini(struct tool_in *in)
{
	free(in->room);
}
