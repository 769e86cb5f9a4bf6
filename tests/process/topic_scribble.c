/* SPDX-License-Identifier: MIT */
/* A topic whose file is overwritten while it is used: calls return, with
 * answers that are promised, and nothing outside is touched. */
#include "topic.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
	ROUNDS = 60,
	CALLS = 600,
	KIND_OFFSET = 4096 + 64 * 256, /* where the topic's own bytes begin */
	PAGE = 4096,
	LARGEST = 1000
};

struct attack {
	char *base;
	size_t bytes;
	uint64_t random;
	_Atomic int stop;
};

static uint64_t some_value(struct attack *attack)
{
	uint64_t value = next_random(&attack->random);

	switch (value % 6) {
	case 0: return value >> 58; /* small */
	case 1: return 0;
	case 2: return UINT64_MAX;
	case 3: /* another word of the file */
		return *(uint64_t *)(attack->base +
		                     random_below(&attack->random,
		                                  attack->bytes / 8) *
		                             8);
	case 4: return value & 0x3ffffff; /* like a position, or a word */
	default: return value;
	}
}

/* Mostly the control page, claims and cells; seldom the seats. */
static void *scribble(void *context)
{
	struct attack *attack = context;

	while (!atomic_load(&attack->stop)) {
		uint64_t value = some_value(attack);
		size_t from = random_below(&attack->random, 16) == 0 ?
		                      PAGE :
		                      KIND_OFFSET;
		size_t at = from + random_below(&attack->random,
		                                attack->bytes - from - 8);

		if (random_below(&attack->random, 8) == 0)
			at = KIND_OFFSET +
			     random_below(&attack->random, 2) * 128;
		memcpy(attack->base + at, &value,
		       random_below(&attack->random, 2) ? 8 : 4);
		if (random_below(&attack->random, 64) == 0)
			usleep(100);
	}
	return NULL;
}

static void assert_promised(long long result)
{
	static const int errors[] = { EUCLEAN, EAGAIN,   ETIMEDOUT, EMSGSIZE,
		                      EIDRM,   EUSERS,   ENOSPC,    ESTALE,
		                      ENOMSG,  EMFILE,   EOVERFLOW, EBUSY };

	for (size_t i = 0; i < LENGTH(errors); i++)
		if (result == -errors[i])
			return;
	if (result < 0)
		fail_msg("gave %lld, \"%s\"", result, stoa_last_error());
}

static long long publish_some(struct stoa_topic *topic, uint64_t *random)
{
	static char data[LARGEST];
	struct stoa_topic_message message;
	size_t bytes = random_below(random, LARGEST + 1);
	long long result;

	if (random_below(random, 2))
		return stoa_topic_publish(topic, data, bytes,
		                          stoa_deadline_in(MS));
	result = stoa_topic_reserve(topic, bytes, STOA_NOW, &message);
	if (result < 0)
		return result;
	memset(message.data, 1, bytes);
	if (random_below(random, 4) == 0)
		return stoa_topic_cancel(topic, &message);
	return stoa_topic_commit(topic, &message, STOA_NOW);
}

static long long read_some(struct stoa_topic *topic, uint64_t *random)
{
	static char buffer[2 * LARGEST];
	struct stoa_topic_message message;
	long long result;
	uint64_t sum = 0;

	switch (random_below(random, 4)) {
	case 0:
		return stoa_topic_latest(topic, buffer, sizeof(buffer), NULL);
	case 1:
		return stoa_topic_seek(topic, (enum stoa_topic_place)
		                                      random_below(random, 3));
	case 2:
		result = stoa_topic_take(topic, STOA_NOW, &message);
		if (result < 0)
			return result;
		for (size_t i = 0; i < message.bytes; i++)
			sum += ((unsigned char *)message.data)[i];
		result = stoa_topic_release(topic, &message);
		return sum == 1 && result == 0 ? 1 : result;
	default:
		return stoa_topic_receive(topic, buffer, sizeof(buffer),
		                          stoa_deadline_in(MS), &message);
	}
}

static long long call_once(struct stoa_topic *in, struct stoa_topic *out,
                           uint64_t *random)
{
	struct stoa_topic_stat stat = { .size = sizeof(stat) };

	switch (random_below(random, 8)) {
	case 0: return stoa_topic_stat(in, &stat);
	case 1:
	case 2:
	case 3: return read_some(in, random);
	default: return publish_some(out, random);
	}
}

static void map_file(struct attack *attack, const char *name)
{
	struct stat stat;
	int fd = (int)assert_system(open(case_path(name), O_RDWR | O_CLOEXEC));

	assert_system(fstat(fd, &stat));
	attack->bytes = (size_t)stat.st_size;
	attack->base = mmap(NULL, attack->bytes, PROT_READ | PROT_WRITE,
	                    MAP_SHARED, fd, 0);
	assert_ptr_not_equal(attack->base, MAP_FAILED);
	close(fd);
}

static void run_round(struct stoa_space *space, uint32_t overrun,
                      uint64_t *random)
{
	struct attack attack = { .random = next_random(random) };
	struct stoa_topic *out = make_topic_of(space, "t", STOA_WRITE, overrun,
	                                       8, LARGEST);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	pthread_t attacker;
	long long result = 0;

	map_file(&attack, "t.topic");
	assert_int_equal(pthread_create(&attacker, NULL, scribble, &attack), 0);
	for (int i = 0; i < CALLS && result != -EUCLEAN; i++) {
		result = call_once(in, out, random);
		assert_promised(result);
	}
	atomic_store(&attack.stop, 1);
	assert_int_equal(pthread_join(attacker, NULL), 0);
	stoa_topic_close(in);
	stoa_topic_close(out);
	munmap(attack.base, attack.bytes);
	assert_ok(stoa_topic_unlink(space, "t"));
}

TEST(calls_on_a_scribbled_topic_return_what_is_promised)
{
	struct stoa_space *space = open_space();
	uint64_t random = run_seed();

	for (uint32_t i = 0; i < ROUNDS; i++)
		run_round(space, i % 2, &random);
	stoa_space_close(space);
}

TEST(a_truncated_topic_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, 8);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	char buffer[8];

	assert_ok(stoa_guard());
	publish_text(out, "x");
	assert_system(truncate(case_path("t.topic"), KIND_OFFSET));
	assert_result(stoa_topic_receive(in, buffer, 8, STOA_NOW, NULL), -EIO);
	assert_result(stoa_topic_publish(out, "x", 1, STOA_NOW), -EIO);
	assert_result(stoa_topic_receive(in, buffer, 8, STOA_NOW, NULL), -EIO);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(calls_on_a_scribbled_topic_return_what_is_promised),
	CASE(a_truncated_topic_is_told),
};

MAIN(cases)
