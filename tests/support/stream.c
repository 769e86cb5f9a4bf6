/* SPDX-License-Identifier: MIT */
/* stream.c: streams made, filled and read by the tests. */
#include "stream.h"

#include <sched.h>

struct stoa_stream_attributes stream_attributes(uint64_t capacity)
{
	return (struct stoa_stream_attributes){
		.size = sizeof(struct stoa_stream_attributes),
		.capacity = capacity
	};
}

struct stoa_stream *make_stream(struct stoa_space *space, const char *name,
                                uint64_t capacity)
{
	struct stoa_stream_attributes attributes = stream_attributes(capacity);
	struct stoa_stream *stream;

	assert_ok(stoa_stream_open(space, name,
	                           STOA_CREATE | STOA_READ | STOA_WRITE, 0600,
	                           &attributes, STOA_NOW, &stream));
	return stream;
}

struct stoa_stream *join_stream(struct stoa_space *space, const char *name,
                                unsigned flags)
{
	struct stoa_stream *stream;

	assert_ok(stoa_stream_open(space, name, flags, 0600, NULL, STOA_NOW,
	                           &stream));
	return stream;
}

struct stoa_stream_status stream_status(struct stoa_stream *stream)
{
	struct stoa_stream_status status = { .size = sizeof(status) };

	assert_ok(stoa_stream_stat(stream, &status));
	return status;
}

void put_text(struct stoa_stream *stream, const char *text)
{
	assert_result(stoa_stream_write(stream, text, strlen(text),
	                                STOA_FOREVER),
	              (long long)strlen(text));
}

void assert_text(struct stoa_stream *stream, const char *text)
{
	char buffer[4096];
	size_t got = 0;

	while (got < strlen(text)) {
		ssize_t result = stoa_stream_read(stream, buffer + got,
		                                  strlen(text) - got,
		                                  STOA_FOREVER);

		assert_true(result > 0);
		got += (size_t)result;
	}
	assert_memory_equal(buffer, text, got);
}

void assert_no_bytes(struct stoa_stream *stream)
{
	char byte;

	assert_result(stoa_stream_read(stream, &byte, 1, STOA_NOW), -EAGAIN);
}

void assert_end_of_file(struct stoa_stream *stream)
{
	char byte;

	assert_result(stoa_stream_read(stream, &byte, 1, STOA_FOREVER), 0);
}

static unsigned char sequence_byte(uint64_t seed, uint64_t position)
{
	uint64_t mixed = (seed + position) * UINT64_C(0x9e3779b97f4a7c15);

	return (unsigned char)(mixed >> 56);
}

void sequence_fill(void *data, size_t bytes, uint64_t seed, uint64_t position)
{
	unsigned char *to = data;

	for (size_t i = 0; i < bytes; i++)
		to[i] = sequence_byte(seed, position + i);
}

bool sequence_matches(const void *data, size_t bytes, uint64_t seed,
                      uint64_t position)
{
	const unsigned char *from = data;

	for (size_t i = 0; i < bytes; i++)
		if (from[i] != sequence_byte(seed, position + i))
			return false;
	return true;
}

void until_stream_waiting(struct stoa_stream *stream, uint32_t readers,
                          uint32_t writers)
{
	struct stoa_stream_status status;

	do {
		sched_yield();
		status = stream_status(stream);
	} while (status.readers_waiting < readers ||
	         status.writers_waiting < writers);
}
