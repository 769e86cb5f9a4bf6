/* SPDX-License-Identifier: MIT */
/* stream.h: what the streams' tests share. */
#ifndef SUPPORT_STREAM_H
#define SUPPORT_STREAM_H

#include "support.h"

enum { SMALL = 4096 }; /* the least capacity */

/* Makes or opens, both ends; fails the case if it can't. `capacity` 0: the
 * default. */
struct stoa_stream *make_stream(struct stoa_space *space, const char *name,
                                uint64_t capacity);
/* Opens with these flags, not waiting. */
struct stoa_stream *join_stream(struct stoa_space *space, const char *name,
                                unsigned flags);
struct stoa_stream_attributes stream_attributes(uint64_t capacity);
struct stoa_stream_status stream_status(struct stoa_stream *stream);

void put_text(struct stoa_stream *stream, const char *text);
void assert_text(struct stoa_stream *stream, const char *text);
void assert_no_bytes(struct stoa_stream *stream);
void assert_end_of_file(struct stoa_stream *stream);

/* Bytes of the endless sequence that `seed` begins, from `position` on. */
void sequence_fill(void *data, size_t bytes, uint64_t seed, uint64_t position);
bool sequence_matches(const void *data, size_t bytes, uint64_t seed,
                      uint64_t position);

/* Waits until so many threads of other processes sleep in the stream. */
void until_stream_waiting(struct stoa_stream *stream, uint32_t readers,
                          uint32_t writers);

#endif
