/* SPDX-License-Identifier: MIT */
/* Many threads on one handle, and on handles of their own. */
#include "stream.h"

#include <pthread.h>

enum { THREADS = 3, RECORDS = 3000 };

struct record {
	uint32_t writer, number;
	uint64_t check;
};

struct crew {
	struct stoa_stream *stream;
	uint32_t index;
	uint64_t records, sum;
};

static uint64_t check_of(const struct record *record)
{
	return (record->writer * UINT64_C(1000003) + record->number) *
	       UINT64_C(0x9e3779b97f4a7c15);
}

static void *write_records(void *context)
{
	struct crew *crew = context;

	for (uint32_t i = 0; i < RECORDS; i++) {
		struct record record = { crew->index, i, 0 };

		record.check = check_of(&record);
		require(stoa_stream_write(crew->stream, &record, sizeof(record),
		                          STOA_FOREVER) == sizeof(record));
	}
	return NULL;
}

static void *read_records(void *context)
{
	struct crew *crew = context;
	ssize_t got;

	for (;;) {
		struct stoa_region region;
		struct record record;

		got = stoa_stream_peek(crew->stream, sizeof(record),
		                       STOA_FOREVER, &region);
		if (got == 0)
			return NULL;
		require(got >= (ssize_t)sizeof(record));
		memcpy(&record, region.data, sizeof(record));
		require(stoa_stream_consume(crew->stream, sizeof(record)) == 0);
		require(record.check == check_of(&record));
		crew->records++;
		crew->sum += record.number;
	}
}

static void *resize_often(void *context)
{
	struct crew *crew = context;

	for (uint64_t i = 0; i < 60; i++) {
		int result = stoa_stream_resize(crew->stream,
		                                (1 + i * 7 % 5) * SMALL,
		                                stoa_deadline_in(SECOND));

		require(result == 0 || result == -ETIMEDOUT);
	}
	return NULL;
}

static void run_crew(struct stoa_stream *reader, struct stoa_stream *writer,
                     struct stoa_stream *resizer)
{
	pthread_t writers[THREADS], readers[THREADS], third;
	struct crew in[THREADS], out[THREADS], resizing = { .stream = resizer };
	uint64_t records = 0, sum = 0;

	for (uint32_t i = 0; i < THREADS; i++) {
		in[i] = (struct crew){ writer, i, 0, 0 };
		out[i] = (struct crew){ reader, i, 0, 0 };
		require(!pthread_create(&writers[i], NULL, write_records,
		                        &in[i]));
		require(!pthread_create(&readers[i], NULL, read_records,
		                        &out[i]));
	}
	require(!pthread_create(&third, NULL, resize_often, &resizing));
	for (int i = 0; i < THREADS; i++)
		pthread_join(writers[i], NULL);
	pthread_join(third, NULL);
	assert_ok(stoa_stream_shutdown(writer, STOA_WRITE));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(readers[i], NULL);
		records += out[i].records;
		sum += out[i].sum;
	}
	assert_int_equal(records, THREADS * RECORDS);
	assert_int_equal(sum, THREADS * (uint64_t)RECORDS * (RECORDS - 1) / 2);
}

TEST(threads_share_one_handle)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, NULL, SMALL);

	run_crew(stream, stream, stream);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(threads_have_handles_of_their_own)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer;

	assert_ok(stoa_stream_pipe(space, NULL, &reader, &writer));
	run_crew(reader, writer, reader);
	stoa_stream_close(reader);
	stoa_stream_close(writer);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_share_one_handle),
	CASE(threads_have_handles_of_their_own),
};

MAIN(cases)
