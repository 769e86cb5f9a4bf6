/* SPDX-License-Identifier: MIT */
/* Semaphores wherever they stand: what each call does, and refuses. */
#include "support.h"

#include <poll.h>
#include <sys/mman.h>

enum where { NAMED, UNNAMED, PLACED, PLACES };

struct made {
	struct stoa_space *space;
	struct stoa_semaphore *semaphore;
	enum where where;
	void *memory;
};

static struct stoa_semaphore_attributes of(uint32_t value, uint32_t maximum,
                                           uint32_t undo)
{
	return (struct stoa_semaphore_attributes){
		.size = sizeof(struct stoa_semaphore_attributes),
		.value = value,
		.maximum = maximum,
		.undo = undo
	};
}

static void *shared_memory(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 0xa5, 4096); /* whatever was there before */
	return memory;
}

static struct made make(enum where where, uint32_t value, uint32_t maximum,
                        uint32_t undo)
{
	struct stoa_semaphore_attributes attributes = of(value, maximum, undo);
	struct made made = { .space = open_space(), .where = where };

	if (where == PLACED) {
		made.memory = shared_memory();
		assert_ok(stoa_semaphore_place(
			made.space, made.memory,
			undo || maximum ? STOA_SEMAPHORE_UNDO_BYTES :
					  STOA_SEMAPHORE_BYTES,
			STOA_CREATE, &attributes, &made.semaphore));
	} else {
		assert_ok(stoa_semaphore_open(
			made.space, where == NAMED ? "s" : NULL, STOA_CREATE,
			0600, &attributes, &made.semaphore));
	}
	return made;
}

static void put_away(struct made *made)
{
	stoa_semaphore_close(made->semaphore);
	if (made->where == NAMED)
		assert_ok(stoa_semaphore_unlink(made->space, "s"));
	if (made->memory)
		munmap(made->memory, 4096);
	stoa_space_close(made->space);
}

#define EVERYWHERE(value, maximum)                                            \
	for (int undo = 0; undo < 2; undo++)                                  \
		for (int where = NAMED; where < PLACES; where++)              \
			for (struct made made = make((enum where)where, value, \
		                                     maximum, (uint32_t)undo), \
		                         *once = &made;                        \
			     once; put_away(&made), once = NULL)

TEST(permits_are_taken_and_posted)
{
	EVERYWHERE(2, 0)
	{
		struct stoa_semaphore *semaphore = made.semaphore;

		assert_result(stoa_semaphore_value(semaphore), 2);
		assert_ok(stoa_semaphore_wait(semaphore, 1, STOA_NOW));
		assert_ok(stoa_semaphore_wait(semaphore, 1, STOA_FOREVER));
		assert_result(stoa_semaphore_value(semaphore), 0);
		assert_result(stoa_semaphore_wait(semaphore, 1, STOA_NOW),
		              -EAGAIN);
		assert_result(stoa_semaphore_wait(semaphore, 1,
		                                  stoa_deadline_in(MS)),
		              -ETIMEDOUT);
		assert_ok(stoa_semaphore_post(semaphore, 3));
		assert_result(stoa_semaphore_value(semaphore), 3);
		assert_ok(stoa_semaphore_wait(semaphore, 3, STOA_NOW));
		assert_result(stoa_semaphore_value(semaphore), 0);
	}
}

TEST(several_permits_are_taken_all_or_none)
{
	EVERYWHERE(4, 0)
	{
		assert_result(stoa_semaphore_wait(made.semaphore, 5, STOA_NOW),
		              -EAGAIN);
		assert_result(stoa_semaphore_wait(made.semaphore, 5,
		                                  stoa_deadline_in(300 * MS)),
		              -ETIMEDOUT);
		assert_result(stoa_semaphore_value(made.semaphore), 4);
		/* Nor is the gate left closed. */
		assert_ok(stoa_semaphore_wait(made.semaphore, 4, STOA_NOW));
	}
}

TEST(the_maximum_is_kept)
{
	EVERYWHERE(3, 5)
	{
		assert_result(stoa_semaphore_post(made.semaphore, 3),
		              -EOVERFLOW);
		assert_sentence("5");
		assert_result(stoa_semaphore_value(made.semaphore), 3);
		assert_ok(stoa_semaphore_post(made.semaphore, 2));
		assert_result(stoa_semaphore_post(made.semaphore, 1),
		              -EOVERFLOW);
		assert_result(stoa_semaphore_wait(made.semaphore, 6, STOA_NOW),
		              -EINVAL);
		assert_result(stoa_semaphore_wait(made.semaphore, 0, STOA_NOW),
		              -EINVAL);
		assert_result(stoa_semaphore_post(made.semaphore, 0), -EINVAL);
		assert_ok(stoa_semaphore_wait(made.semaphore, 5, STOA_NOW));
	}
	EVERYWHERE(STOA_SEMAPHORE_MAX, 0)
	{
		assert_result(stoa_semaphore_post(made.semaphore, 1),
		              -EOVERFLOW);
		assert_result(stoa_semaphore_value(made.semaphore),
		              STOA_SEMAPHORE_MAX);
		assert_ok(stoa_semaphore_wait(made.semaphore,
		                              STOA_SEMAPHORE_MAX, STOA_NOW));
		assert_ok(stoa_semaphore_post(made.semaphore,
		                              STOA_SEMAPHORE_MAX));
	}
}

TEST(a_plain_one_fits_32_bytes_and_writes_no_more)
{
	struct made made = make(PLACED, 1, 0, 0);
	unsigned char *bytes = made.memory;

	assert_ok(stoa_semaphore_wait(made.semaphore, 1, STOA_NOW));
	assert_result(stoa_semaphore_wait(made.semaphore, 2,
	                                  stoa_deadline_in(250 * MS)),
	              -ETIMEDOUT);
	assert_ok(stoa_semaphore_post(made.semaphore, 1));
	assert_ok(stoa_semaphore_remove(made.semaphore));
	for (size_t i = 32; i < 4096; i++)
		assert_int_equal(bytes[i], 0xa5);
	put_away(&made);
}

TEST(a_placed_one_is_found_again)
{
	for (uint32_t undo = 0; undo < 2; undo++) {
		struct made made = make(PLACED, 2, 0, undo);
		struct stoa_semaphore *other;

		assert_ok(stoa_semaphore_place(made.space, made.memory, 4096, 0,
		                               NULL, &other));
		assert_ok(stoa_semaphore_wait(other, 1, STOA_NOW));
		assert_result(stoa_semaphore_value(made.semaphore), 1);
		assert_ok(stoa_semaphore_post(other, 1));
		stoa_semaphore_close(other);
		put_away(&made);
	}
}

TEST(memory_that_will_not_do_is_refused)
{
	struct stoa_semaphore_attributes plain = of(1, 0, 0);
	struct stoa_semaphore_attributes undo = of(1, 0, 1);
	struct stoa_space *space = open_space();
	char *memory = shared_memory();
	struct stoa_semaphore *semaphore = (void *)memory;

	assert_result(stoa_semaphore_place(space, memory, 31, STOA_CREATE,
	                                   &plain, &semaphore),
	              -EINVAL);
	assert_result(stoa_semaphore_place(space, memory + 4, 64, STOA_CREATE,
	                                   &plain, &semaphore),
	              -EINVAL);
	assert_result(stoa_semaphore_place(space, memory, 2047, STOA_CREATE,
	                                   &undo, &semaphore),
	              -EINVAL);
	assert_sentence("2048");
	assert_result(stoa_semaphore_place(space, memory, 4096, 0, NULL,
	                                   &semaphore),
	              -EPROTO);
	assert_ptr_equal(semaphore, memory);
	assert_ok(stoa_semaphore_place(space, memory, 4096, STOA_CREATE, &undo,
	                               &semaphore));
	stoa_semaphore_close(semaphore);
	/* Cut off from its holders. */
	assert_result(stoa_semaphore_place(space, memory, 64, 0, NULL,
	                                   &semaphore),
	              -EUCLEAN);
	munmap(memory, 4096);
	stoa_space_close(space);
}

TEST(attributes_and_flags_that_make_no_sense_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_attributes attributes = of(6, 5, 0);
	struct stoa_semaphore *semaphore = (void *)space;

	assert_result(stoa_semaphore_open(space, "s", STOA_CREATE, 0600,
	                                  &attributes, &semaphore),
	              -EINVAL);
	attributes = of(0, (uint32_t)STOA_SEMAPHORE_MAX + 1, 0);
	assert_result(stoa_semaphore_open(space, "s", STOA_CREATE, 0600,
	                                  &attributes, &semaphore),
	              -EINVAL);
	attributes = of(0, 0, 2);
	assert_result(stoa_semaphore_open(space, "s", STOA_CREATE, 0600,
	                                  &attributes, &semaphore),
	              -EINVAL);
	attributes = of(0, 0, 0);
	attributes.reserved[3] = 1;
	assert_result(stoa_semaphore_open(space, "s", STOA_CREATE, 0600,
	                                  &attributes, &semaphore),
	              -EINVAL);
	attributes.size = 4;
	assert_result(stoa_semaphore_open(space, "s", STOA_CREATE, 0600,
	                                  &attributes, &semaphore),
	              -EINVAL);
	assert_result(stoa_semaphore_open(space, "s", STOA_CREATE | STOA_READ,
	                                  0600, NULL, &semaphore),
	              -EINVAL);
	assert_result(stoa_semaphore_open(space, "s", 0, 0, NULL, &semaphore),
	              -ENOENT);
	assert_result(stoa_semaphore_open(space, NULL, 0, 0, NULL, &semaphore),
	              -EINVAL);
	assert_ptr_equal(semaphore, space);
	stoa_space_close(space);
}

TEST(a_named_one_is_made_once_and_opened_often)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_attributes attributes = of(7, 9, 1);
	struct stoa_semaphore *first, *second;
	struct stoa_semaphore_status status = { .size = sizeof(status) };

	assert_ok(stoa_semaphore_open(space, "/s", STOA_CREATE, 0640,
	                              &attributes, &first));
	attributes = of(1, 1, 0);
	assert_result(stoa_semaphore_open(space, "s",
	                                  STOA_CREATE | STOA_EXCLUSIVE, 0640,
	                                  &attributes, &second),
	              -EEXIST);
	assert_ok(stoa_semaphore_open(space, "s", STOA_CREATE, 0640,
	                              &attributes, &second));
	assert_result(stoa_semaphore_value(second), 7);
	assert_ok(stoa_semaphore_stat(second, &status));
	assert_int_equal(status.maximum, 9);
	assert_int_equal(status.undo, 1);
	assert_int_equal(status.users, 2);
	assert_int_equal(status.creator_pid, getpid());
	stoa_semaphore_close(second);
	stoa_semaphore_close(first);
	assert_ok(stoa_semaphore_unlink(space, "s"));
	assert_result(stoa_semaphore_unlink(space, "s"), -ENOENT);
	stoa_semaphore_close(NULL);
	stoa_space_close(space);
}

TEST(removal_ends_every_call)
{
	EVERYWHERE(1, 0)
	{
		struct stoa_semaphore_status status = { .size = sizeof(status) };

		assert_ok(stoa_semaphore_remove(made.semaphore));
		assert_result(stoa_semaphore_wait(made.semaphore, 1, STOA_NOW),
		              -EIDRM);
		assert_result(stoa_semaphore_wait(made.semaphore, 1,
		                                  STOA_FOREVER),
		              -EIDRM);
		assert_result(stoa_semaphore_post(made.semaphore, 1), -EIDRM);
		assert_result(stoa_semaphore_value(made.semaphore), -EIDRM);
		assert_result(stoa_semaphore_stat(made.semaphore, &status),
		              -EIDRM);
		assert_result(stoa_semaphore_remove(made.semaphore), -EIDRM);
		made.where = UNNAMED; /* the name is gone */
	}
}

TEST(stat_tells_who_holds)
{
	for (int where = NAMED; where < PLACES; where++) {
		struct made made = make((enum where)where, 5, 0, 1);
		struct stoa_semaphore_status status = { .size = sizeof(status) };

		assert_ok(stoa_semaphore_wait(made.semaphore, 3, STOA_NOW));
		assert_ok(stoa_semaphore_stat(made.semaphore, &status));
		assert_int_equal(status.value, 2);
		assert_int_equal(status.holders, 1);
		assert_int_equal(status.held, 3);
		assert_ok(stoa_semaphore_post(made.semaphore, 4));
		assert_ok(stoa_semaphore_stat(made.semaphore, &status));
		assert_int_equal(status.value, 6);
		assert_int_equal(status.holders, 0);
		status.size = 1;
		assert_result(stoa_semaphore_stat(made.semaphore, &status),
		              -EINVAL);
		put_away(&made);
	}
}

static int expect_holder(const struct stoa_semaphore_holder *holder,
                         void *context)
{
	assert_int_equal(holder->pid, getpid());
	assert_int_equal(holder->alive, 1);
	*(uint32_t *)context += holder->permits;
	return 0;
}

TEST(each_handle_holds_for_itself_and_gives_up_at_close)
{
	for (int where = NAMED; where < PLACES; where += 2) {
		struct made made = make((enum where)where, 5, 0, 1);
		struct stoa_semaphore *other;
		uint32_t held = 0;

		assert_ok(where == NAMED ?
		                  stoa_semaphore_open(made.space, "s", 0, 0,
		                                      NULL, &other) :
		                  stoa_semaphore_place(made.space, made.memory,
		                                       4096, 0, NULL, &other));
		assert_ok(stoa_semaphore_wait(made.semaphore, 1, STOA_NOW));
		assert_ok(stoa_semaphore_wait(other, 2, STOA_NOW));
		assert_result(stoa_semaphore_each_holder(made.semaphore,
		                                         expect_holder, &held),
		              2);
		assert_int_equal(held, 3);
		/* Not its own to give back: a new permit. */
		assert_ok(stoa_semaphore_post(made.semaphore, 2));
		assert_result(stoa_semaphore_value(made.semaphore), 4);
		stoa_semaphore_close(other);
		assert_result(stoa_semaphore_value(made.semaphore), 6);
		put_away(&made);
	}
}

TEST(what_comes_back_is_cut_to_the_maximum)
{
	struct made made = make(NAMED, 5, 5, 1);
	struct stoa_semaphore *other;

	assert_ok(stoa_semaphore_open(made.space, "s", 0, 0, NULL, &other));
	assert_ok(stoa_semaphore_wait(other, 4, STOA_NOW));
	assert_ok(stoa_semaphore_post(made.semaphore, 3));
	stoa_semaphore_close(other);
	assert_result(stoa_semaphore_value(made.semaphore), 5);
	assert_result(stoa_semaphore_post(made.semaphore, 1), -EOVERFLOW);
	assert_ok(stoa_semaphore_wait(made.semaphore, 5, STOA_NOW));
	assert_result(stoa_semaphore_wait(made.semaphore, 1, STOA_NOW),
	              -EAGAIN);
	put_away(&made);
}

TEST(several_conditions_count_permits)
{
	EVERYWHERE(2, 0)
	{
		struct stoa_wait condition = {
			.kind = STOA_READABLE,
			.object = stoa_semaphore_object(made.semaphore),
			.amount = 3
		};

		assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EAGAIN);
		condition.amount = 0;
		assert_ok(stoa_wait_any(&condition, 1, STOA_NOW));
		condition.amount = 3;
		assert_ok(stoa_semaphore_post(made.semaphore, 1));
		assert_ok(stoa_wait_any(&condition, 1, STOA_FOREVER));
	}
}

TEST(a_poll_descriptor_follows_the_permits)
{
	struct made made = make(NAMED, 0, 0, 0);
	int fd = (int)assert_good(stoa_semaphore_pollfd(made.semaphore));
	struct pollfd pollfd = { fd, POLLIN, 0 };

	assert_result(stoa_semaphore_wait(made.semaphore, 1, STOA_NOW),
	              -EAGAIN);
	assert_int_equal(poll(&pollfd, 1, 0), 0);
	assert_ok(stoa_semaphore_post(made.semaphore, 1));
	assert_int_equal(poll(&pollfd, 1, -1), 1);
	assert_ok(stoa_semaphore_wait(made.semaphore, 1, STOA_NOW));
	assert_result(stoa_semaphore_wait(made.semaphore, 1, STOA_NOW),
	              -EAGAIN);
	assert_int_equal(poll(&pollfd, 1, 0), 0);
	put_away(&made);
	made = make(PLACED, 0, 0, 0);
	assert_result(stoa_semaphore_pollfd(made.semaphore), -EOPNOTSUPP);
	put_away(&made);
}

static const struct CMUnitTest cases[] = {
	CASE(permits_are_taken_and_posted),
	CASE(several_permits_are_taken_all_or_none),
	CASE(the_maximum_is_kept),
	CASE(a_plain_one_fits_32_bytes_and_writes_no_more),
	CASE(a_placed_one_is_found_again),
	CASE(memory_that_will_not_do_is_refused),
	CASE(attributes_and_flags_that_make_no_sense_are_refused),
	CASE(a_named_one_is_made_once_and_opened_often),
	CASE(removal_ends_every_call),
	CASE(stat_tells_who_holds),
	CASE(each_handle_holds_for_itself_and_gives_up_at_close),
	CASE(what_comes_back_is_cut_to_the_maximum),
	CASE(several_conditions_count_permits),
	CASE(a_poll_descriptor_follows_the_permits),
};

MAIN(cases)
