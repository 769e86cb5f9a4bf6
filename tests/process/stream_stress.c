/* SPDX-License-Identifier: MIT */
/* Many processes at once: atomic records of many writers, many readers, random
 * kills of both, and the books balanced at the end. */
#include "stream.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

enum { WRITERS = 4, READERS = 3, ROUNDS = 6, KILLS = 25, LINES = 100000 };

/* What was written and read, in memory of the test's own: a writer notes a
 * number before and after it writes it, a reader before and after it consumes
 * it. */
struct books {
	_Atomic uint32_t next_writer;
	struct {
		_Atomic uint64_t begun, done;
	} writer[WRITERS + ROUNDS * KILLS];
	/* Of each writer: numbers read, by all readers; and those that a reader
	 * was about to consume when it was killed. */
	_Atomic uint8_t read[WRITERS + ROUNDS * KILLS][LINES / 8];
};

struct record {
	uint32_t writer, bytes;
	uint64_t number;
};

struct play {
	struct stoa_stream *stream;
	struct books *books;
};

static void write_records(void *context)
{
	struct play *play = context;
	uint32_t self = atomic_fetch_add(&play->books->next_writer, 1);
	uint64_t chance = self;
	static char buffer[STOA_ATOMIC];

	assert_ok(stoa_stream_shutdown(play->stream, STOA_READ));
	for (uint64_t number = 0; number < LINES; number++) {
		struct record record = { self, 0, number };
		size_t more = random_below(&chance, 700);

		record.bytes = (uint32_t)(sizeof(record) + more);
		memcpy(buffer, &record, sizeof(record));
		sequence_fill(buffer + sizeof(record), more, self, number);
		atomic_store(&play->books->writer[self].begun, number + 1);
		ssize_t put = stoa_stream_write(play->stream, buffer,
		                                record.bytes, STOA_FOREVER);
		if (put == -EPIPE)
			return;
		assert_int_equal(put, record.bytes);
		atomic_store(&play->books->writer[self].done, number + 1);
	}
	await_order(); /* to be killed */
}

/* Returns false at the end. */
static bool read_record(struct play *play)
{
	struct stoa_region region;
	struct record record;
	ssize_t got = stoa_stream_peek(play->stream, sizeof(record),
	                               STOA_FOREVER, &region);

	if (got == 0)
		return false;
	assert_true(got >= (ssize_t)sizeof(record));
	memcpy(&record, region.data, sizeof(record));
	assert_true(record.bytes <= region.bytes);
	assert_true(record.number < LINES);
	assert_true(sequence_matches((char *)region.data + sizeof(record),
	                             record.bytes - sizeof(record),
	                             record.writer, record.number));
	/* Between the note and the consuming a reader may be killed, and the
	 * record comes again: to nobody else in between. */
	atomic_fetch_or(&play->books->read[record.writer][record.number / 8],
	                (uint8_t)(1u << record.number % 8));
	assert_ok(stoa_stream_consume(play->stream, record.bytes));
	return true;
}

static void read_records(void *context)
{
	struct play *play = context;

	assert_ok(stoa_stream_shutdown(play->stream, STOA_WRITE));
	while (read_record(play))
		;
}

static uint64_t numbers_read(struct books *books, uint32_t writer)
{
	uint64_t numbers = 0;

	while (numbers < LINES && (books->read[writer][numbers / 8] >>
	                           (numbers % 8) & 1))
		numbers++;
	for (uint64_t i = numbers; i < LINES; i++)
		assert_false(books->read[writer][i / 8] >> (i % 8) & 1);
	return numbers;
}

static void play_round(struct play *play, uint64_t *chance)
{
	struct child writers[WRITERS], readers[READERS];

	for (int i = 0; i < WRITERS; i++)
		writers[i] = start_child(write_records, play);
	for (int i = 0; i < READERS; i++)
		readers[i] = start_child(read_records, play);
	for (int i = 0; i < KILLS; i++) {
		struct timespec time = {
			0, (long)random_below(chance, 3 * MS)
		};
		uint64_t who = random_below(chance, WRITERS + READERS);

		nanosleep(&time, NULL);
		if (who < WRITERS) {
			kill_child(&writers[who]);
			writers[who] = start_child(write_records, play);
		} else {
			kill_child(&readers[who - WRITERS]);
			readers[who - WRITERS] = start_child(read_records,
			                                     play);
		}
	}
	for (int i = 0; i < WRITERS; i++)
		kill_child(&writers[i]);
	assert_ok(stoa_stream_shutdown(play->stream, STOA_WRITE));
	for (int i = 0; i < READERS; i++)
		end_child(&readers[i]);
}

TEST(every_committed_record_is_read_whole_and_in_order)
{
	struct stoa_space *space = open_space();
	uint64_t chance = run_seed();
	struct play play;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t number;

		play.books = mmap(NULL, sizeof(*play.books),
		                  PROT_READ | PROT_WRITE,
		                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		play.stream = make_stream(space, NULL,
		                          (1 + random_below(&chance, 8)) *
		                                  SMALL);
		play_round(&play, &chance);
		assert_true(stream_status(play.stream).bytes == 0);
		number = atomic_load(&play.books->next_writer);
		for (uint32_t i = 0; i < number; i++) {
			uint64_t read = numbers_read(play.books, i);

			assert_true(read >=
			            atomic_load(&play.books->writer[i].done));
			assert_true(read <=
			            atomic_load(&play.books->writer[i].begun));
		}
		stoa_stream_close(play.stream);
		munmap(play.books, sizeof(*play.books));
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_committed_record_is_read_whole_and_in_order),
};

MAIN(cases)
