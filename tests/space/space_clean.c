/* SPDX-License-Identifier: MIT */
/* Cleaning: the dead are buried, what they held comes back, and a dry run only
 * tells. */
#include "support.h"

static const struct queue_shape tiny = { STOA_FIFO, 4, 200, 8192 };

struct told {
	size_t buried;
	size_t removed;
	size_t failed;
	pid_t pid;
};

static void tell(const struct stoa_cleaning *cleaning, void *context)
{
	struct told *told = context;

	assert_non_null(cleaning->name);
	if (strcmp(cleaning->action, "bury") == 0) {
		told->buried++;
		told->pid = cleaning->pid;
	} else {
		assert_string_equal(cleaning->action, "remove");
		told->removed++;
	}
	told->failed += cleaning->result != 0;
}

static void take_and_wait(void *context)
{
	struct stoa_message message;

	assert_ok(stoa_queue_take(context, NULL, STOA_NOW, &message));
	assert_ok(stoa_queue_reserve(context, 100, STOA_NOW, &message));
	report(0);
	await_order();
}

TEST(a_clean_space_needs_nothing)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct told told = { 0 };

	assert_result(stoa_space_clean(space, 1, tell, &told), 0);
	assert_result(stoa_space_clean(space, 0, tell, &told), 0);
	assert_int_equal(told.buried + told.removed, 0);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_dry_run_tells_and_does_nothing)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct told told = { 0 };
	struct stoa_object_info info;
	struct child child;
	pid_t pid;
	int count;

	send_text(queue, "one");
	child = start_child(take_and_wait, queue);
	await_report(&child);
	pid = child.pid;
	stoa_queue_close(queue);
	kill_child(&child);
	count = stoa_space_clean(space, 1, tell, &told);
	assert_true(count >= 1);
	assert_int_equal(told.buried, 1);
	assert_int_equal(told.buried + told.removed, count);
	assert_int_equal(told.failed, 0);
	assert_int_equal(told.pid, pid);
	assert_ok(stoa_space_find(space, "q", &info));
	assert_int_equal(info.dead, 1);
	assert_result(stoa_space_clean(space, 1, NULL, NULL), count);
	stoa_space_close(space);
}

TEST(cleaning_gives_back_what_the_dead_held)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_object_info info;
	struct told told = { 0 };
	struct child child;

	send_text(queue, "one");
	child = start_child(take_and_wait, queue);
	await_report(&child);
	kill_child(&child);
	stoa_queue_close(queue);
	assert_true(stoa_space_clean(space, 0, tell, &told) >= 1);
	assert_int_equal(told.buried, 1);
	assert_int_equal(told.failed, 0);
	assert_ok(stoa_space_find(space, "q", &info));
	assert_int_equal(info.dead, 0);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 0);
	queue = join_queue(space, "q");
	assert_int_equal(stat_of(queue).messages, 1);
	assert_int_equal(stat_of(queue).reserved, 0);
	assert_int_equal(stat_of(queue).returned, 1);
	assert_receives(queue, "one");
	assert_capacity(queue, 4);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(cleaning_does_not_rob_the_stopped)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child;

	send_text(queue, "one");
	child = start_child(take_and_wait, queue);
	await_report(&child);
	stop_child(&child);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 0);
	assert_int_equal(stat_of(queue).taken, 1);
	assert_int_equal(stat_of(queue).reserved, 1);
	kill_child(&child);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(objects_stay)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);

	send_text(queue, "kept");
	stoa_queue_close(queue);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 0);
	queue = join_queue(space, "q");
	assert_receives(queue, "kept");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void ask_for_descriptors(void *context)
{
	assert_good(stoa_queue_pollfd(context, STOA_READ));
	assert_good(stoa_queue_pollfd(context, STOA_WRITE));
	report(0);
	await_order();
}

TEST(the_files_that_the_dead_left_are_removed)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child = start_child(ask_for_descriptors, queue);

	await_report(&child);
	kill_child(&child);
	stoa_queue_close(queue);
	stoa_space_clean(space, 0, NULL, NULL);
	assert_ok(stoa_queue_unlink(space, "q"));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_clean_space_needs_nothing),
	CASE(a_dry_run_tells_and_does_nothing),
	CASE(cleaning_gives_back_what_the_dead_held),
	CASE(cleaning_does_not_rob_the_stopped),
	CASE(objects_stay),
	CASE(the_files_that_the_dead_left_are_removed),
};

MAIN(cases)
