/* SPDX-License-Identifier: MIT */
/* segment.h: what tests of segments share. */
#ifndef SUPPORT_SEGMENT_H
#define SUPPORT_SEGMENT_H

#include "support.h"

enum { PAGE = 4096 };

/* Makes it with these bytes and this limit (0: no more), attached by `flags`. */
static inline struct stoa_segment *make_segment(struct stoa_space *space,
                                                const char *name,
                                                unsigned flags, uint64_t bytes,
                                                uint64_t limit)
{
	struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes), .bytes = bytes, .limit = limit
	};
	struct stoa_segment *segment;

	assert_ok(stoa_segment_open(space, name, flags | STOA_CREATE, 0600,
	                            &attributes, &segment));
	return segment;
}

static inline struct stoa_segment *
join_segment(struct stoa_space *space, const char *name, unsigned flags)
{
	struct stoa_segment *segment;

	assert_ok(stoa_segment_open(space, name, flags, 0, NULL, &segment));
	return segment;
}

static inline struct stoa_segment_status
segment_status(struct stoa_segment *segment)
{
	struct stoa_segment_status status = { .size = sizeof(status) };

	assert_ok(stoa_segment_stat(segment, &status));
	return status;
}

static inline bool all_zeros(const void *data, size_t bytes)
{
	const char *at = data;

	for (size_t i = 0; i < bytes; i++)
		if (at[i] != 0)
			return false;
	return true;
}

static inline void close_segment(struct stoa_space *space,
                                 struct stoa_segment *segment, const char *name)
{
	stoa_segment_close(segment);
	if (name)
		assert_ok(stoa_segment_unlink(space, name));
	stoa_space_close(space);
}

#endif
