/* SPDX-License-Identifier: MIT */
/* Queues of POSIX that somebody scribbles over, or that aren't any: each call
 * returns, with an errno if need be. And names, all of them. */
#include "dropin.h"

#include <dropin/calls.h>
#include <dropin/mq.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { ROUNDS = 30, CALLS = 60, SCRIBBLES = 400, BYTES = 300 };

/* ---- Scribbles -------------------------------------------------------------------- */

static mqd_t open_queue(void)
{
	struct mq_attr attributes = { .mq_maxmsg = 5, .mq_msgsize = BYTES };

	return dropin_mq_open("q", O_RDWR | O_CREAT | O_NONBLOCK, 0600,
	                      &attributes);
}

static void scribble(uint64_t *chance)
{
	int fd = (int)assert_system(open(case_path("mq.q.queue"), O_RDWR));
	struct stat status;
	uint64_t *words;

	assert_system(fstat(fd, &status));
	words = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
	             MAP_SHARED, fd, 0);
	assert_true(words != MAP_FAILED);
	for (int i = 0; i < SCRIBBLES; i++) {
		uint64_t at =
			random_below(chance, (uint64_t)status.st_size / 8);

		words[at] =
			random_below(chance, 2)
				? next_random(chance)
				: words[at] ^ 1ull << random_below(chance, 64);
	}
	munmap(words, (size_t)status.st_size);
	close(fd);
}

static void call_everything(void *context)
{
	static const struct sigevent none = { .sigev_notify = SIGEV_NONE };
	mqd_t queue = *(mqd_t *)context;
	char text[BYTES] = "";
	struct mq_attr attributes;
	unsigned priority;

	for (int i = 0; i < CALLS; i++) {
		dropin_mq_timedsend(queue, text, (size_t)i * 5, 3, NULL);
		dropin_mq_timedreceive(queue, text, BYTES, &priority, NULL);
		dropin_mq_getsetattr(queue, NULL, &attributes);
		dropin_mq_notify(queue, &none);
		dropin_mq_notify(queue, NULL);
	}
	dropin_mq_close(queue);
	queue = open_queue();
	if (queue >= 0)
		dropin_mq_close(queue);
}

DROPIN_TEST(each_call_on_a_scribbled_queue_returns)
{
	uint64_t chance = run_seed();

	for (int i = 0; i < ROUNDS; i++) {
		mqd_t queue = (mqd_t)assert_good(open_queue());
		struct child child;

		for (int n = 0; n < 3; n++)
			dropin_mq_timedsend(queue, "text", 4, 1, NULL);
		scribble(&chance);
		child = start_child(call_everything, &queue);
		end_child(&child);
		dropin_mq_close(queue);
		assert_int_equal(dropin_mq_unlink("q"), 0);
	}
}

DROPIN_TEST(what_is_no_queue_is_refused)
{
	struct stoa_queue *queue;
	struct stoa_space *space;
	int fd;

	space = open_space();
	queue = make_queue(space, "mq.q",
	                   (struct queue_shape){ .order = STOA_FIFO,
	                                         .capacity = 2,
	                                         .max_message_bytes = 8 });
	stoa_queue_close(queue);
	assert_int_equal(dropin_mq_open("q", O_RDWR, 0, NULL), -EINVAL);
	assert_ok(stoa_queue_unlink(space, "mq.q"));
	fd = (int)assert_system(
		open(case_path("mq.q.queue"), O_CREAT | O_RDWR, 0600));
	assert_system(write(fd, "nonsense", 8));
	close(fd);
	assert_true(dropin_mq_open("q", O_RDWR, 0, NULL) < 0);
	assert_int_equal(dropin_mq_unlink("q"), 0);
	stoa_space_close(space);
}

/* ---- Labels --------------------------------------------------------------------------- */

#define LABEL (UINT64_C(0x716d) << 48) /* dropin/mq_open.c: then the mode */

/* By whoever may write the space: a queue as the drop-in makes them, but for
 * what its label says. */
static void make_labelled(uint64_t mode, uint64_t owner)
{
	const struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes),
		.order = STOA_PRIORITY,
		.capacity = 2,
		.max_message_bytes = BYTES,
		.label = { mode, owner },
	};
	struct stoa_space *space = open_space();
	struct stoa_queue *queue;

	assert_ok(stoa_queue_open(space, "mq.q",
	                          STOA_READ | STOA_WRITE | STOA_CREATE |
	                                  STOA_EXCLUSIVE,
	                          0600, &attributes, &queue));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

DROPIN_TEST(a_label_may_say_anything)
{
	static const uint64_t modes[] = { 0,
		                          1,
		                          UINT64_MAX,
		                          LABEL,
		                          LABEL | 0600,
		                          LABEL | 0777,
		                          LABEL | 01000,
		                          ~LABEL };
	static const uint64_t owners[] = { 0, 1, UINT64_MAX,
		                           (uint64_t)NOBODY << 32 | NOBODY };
	char text[BYTES];

	for (size_t i = 0; i < LENGTH(modes); i++)
		for (size_t j = 0; j < LENGTH(owners); j++) {
			mqd_t queue;

			make_labelled(modes[i], owners[j]);
			queue = dropin_mq_open("q", O_RDWR, 0, NULL);
			if (queue >= 0) {
				assert_int_equal(dropin_mq_timedsend(queue, "x",
				                                     1, 1,
				                                     NULL),
				                 0);
				assert_int_equal(dropin_mq_timedreceive(
							 queue, text, BYTES,
							 NULL, NULL),
				                 1);
				dropin_mq_close(queue);
			} else {
				assert_int_equal(queue, -EACCES);
			}
			assert_int_equal(dropin_mq_unlink("q"), 0);
		}
}

static void open_as_nobody(void *context UNUSED)
{
	setenv("STOA_SPACE", case_directory(), 1);
	become_nobody();
	assert_int_equal(dropin_mq_open("q", O_RDONLY, 0, NULL), -EACCES);
	assert_int_equal(dropin_mq_open("q", O_RDWR, 0, NULL), -EACCES);
}

/* It says that the queue is nobody's own, and open to all; the file is not. */
TEST(a_label_gives_nothing_that_the_file_does_not)
{
	struct child child;

	skip_unless_root();
	assert_system(chmod(case_directory(), 01777));
	make_labelled(LABEL | 0777, (uint64_t)NOBODY << 32 | NOBODY);
	child = start_child(open_as_nobody, NULL);
	end_child(&child);
	assert_system(unlink(case_path("mq.q.queue")));
}

/* ---- Names --------------------------------------------------------------------------- */

DROPIN_TEST(each_name_has_a_name_of_its_own)
{
	char name[MQ_NAME_MAX + 2], first[MQ_NAME_BYTES], second[MQ_NAME_BYTES];

	for (int c = 1; c < 256; c++) {
		name[0] = (char)c;
		name[1] = '\0';
		if (c == '/' || c == '.') {
			assert_int_equal(mq_name(name, first), -EACCES);
			continue;
		}
		assert_int_equal(mq_name(name, first), 0);
		assert_true(strncmp(first, "mq.", 3) == 0);
		snprintf(name, sizeof(name), "_%02x", c);
		assert_int_equal(mq_name(name, second), 0);
		assert_string_not_equal(first, second);
	}
}

DROPIN_TEST(long_names_that_differ_at_the_end_are_two)
{
	char name[MQ_NAME_MAX + 2], first[MQ_NAME_BYTES], second[MQ_NAME_BYTES];

	memset(name, '*', sizeof(name));
	name[MQ_NAME_MAX] = '\0';
	assert_int_equal(mq_name(name, first), 0);
	name[MQ_NAME_MAX - 1] = '+';
	assert_int_equal(mq_name(name, second), 0);
	assert_string_not_equal(first, second);
	name[MQ_NAME_MAX] = '+';
	name[MQ_NAME_MAX + 1] = '\0';
	assert_int_equal(mq_name(name, first), -ENAMETOOLONG);
	assert_int_equal(mq_name("", first), -ENOENT);
	assert_int_equal(mq_name("..", first), -EACCES);
}

static const struct CMUnitTest cases[] = {
	CASE(each_call_on_a_scribbled_queue_returns),
	CASE(what_is_no_queue_is_refused),
	CASE(a_label_may_say_anything),
	CASE(a_label_gives_nothing_that_the_file_does_not),
	CASE(each_name_has_a_name_of_its_own),
	CASE(long_names_that_differ_at_the_end_are_two),
};
MAIN(cases)
