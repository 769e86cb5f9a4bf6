/* SPDX-License-Identifier: MIT */
/* Every operation on spaces while its n-th system call fails. */
#include "inject.h"

#include <sys/stat.h>

static long long open_space_again(struct stage *stage)
{
	struct stoa_space *space = (struct stoa_space *)&space;
	int result = stoa_space_open(case_directory(), 0, &space);

	if (result == 0)
		stage->space = space;
	else
		assert_ptr_equal(space, &space);
	return result;
}

static long long make_space(struct stage *stage)
{
	return stoa_space_open(case_path("made"), STOA_CREATE | STOA_SHARED,
	                       &stage->space);
}

static void after_make_space(struct stage *stage, long long result)
{
	struct stat found;

	if (result < 0)
		assert_ok(stoa_space_open(case_path("made"),
		                          STOA_CREATE | STOA_SHARED,
		                          &stage->space));
	assert_system(stat(case_path("made"), &found));
	if (!stage->lasting && (found.st_mode & 07777) != 01777)
		complain(stage, "left a directory of mode %llo",
		         found.st_mode & 07777);
	stoa_space_close(stage->space);
	stage->space = NULL;
	remove_tree(case_path("made"));
}

static long long close_space(struct stage *stage)
{
	stoa_peer self;

	stoa_space_self(stage->space, &self);
	stoa_space_close(stage->space);
	stage->space = NULL;
	return 0;
}

static long long ask_self(struct stage *stage)
{
	return stoa_space_self(stage->space, &stage->peer);
}

static void after_ask_self(struct stage *stage, long long result)
{
	if (result < 0)
		assert_ok(stoa_space_self(stage->space, &stage->peer));
	assert_result(stoa_space_alive(stage->space, stage->peer), 1);
}

static void know_self(struct stage *stage)
{
	with_space(stage);
	assert_ok(stoa_space_self(stage->space, &stage->peer));
}

/* One that can't be asked about is not given up. */
static long long ask_alive(struct stage *stage)
{
	return stoa_space_alive(stage->space, stage->peer);
}

static void report_self(void *context)
{
	stoa_peer self;

	assert_ok(stoa_space_self(context, &self));
	report((int64_t)self);
	await_order();
}

static void know_child(struct stage *stage)
{
	with_space(stage);
	stage->child = start_child(report_self, stage->space);
	stage->peer = (stoa_peer)await_report(&stage->child);
}

static void end_known_child(struct stage *stage, long long result)
{
	(void)result;
	assert_result(stoa_space_alive(stage->space, stage->peer), 1);
	kill_child(&stage->child);
	assert_result(stoa_space_alive(stage->space, stage->peer), 0);
}

static int see_peer(const struct stoa_peer_info *info, void *context)
{
	(void)info;
	(void)context;
	return 0;
}

static long long visit_peers(struct stage *stage)
{
	return stoa_space_each_peer(stage->space, see_peer, NULL);
}

static int see_object(const struct stoa_object_info *info, void *context)
{
	(void)info;
	(void)context;
	return 0;
}

static long long visit_objects(struct stage *stage)
{
	return stoa_space_each(stage->space, see_object, NULL);
}

static long long find_object(struct stage *stage)
{
	struct stoa_object_info info;

	return stoa_space_find(stage->space, "q", &info);
}

static int see_user(const struct stoa_user *user, void *context)
{
	(void)user;
	(void)context;
	return 0;
}

static long long visit_users(struct stage *stage)
{
	return stoa_space_each_user(stage->space, "q", see_user, NULL);
}

static long long remove_name(struct stage *stage)
{
	return stoa_space_remove(stage->space, "q", 0);
}

static long long remove_and_wake(struct stage *stage)
{
	return stoa_space_remove(stage->space, "q", 1);
}

/* Removed or not: never a queue under the name that nobody can use. */
static void after_removal(struct stage *stage, long long result)
{
	struct stoa_queue *queue;

	stoa_queue_close(stage->queue);
	stage->queue = NULL;
	if (result >= 0) {
		if (access(case_path("q.queue"), F_OK) == 0)
			complain(stage, "the name is still there", 0);
		return;
	}
	if (stoa_queue_open(stage->space, "q", STOA_READ | STOA_WRITE, 0, NULL,
	                    &queue) == 0)
		stage->queue = queue;
	else
		assert_result(stoa_queue_open(stage->space, "q", STOA_READ, 0,
		                              NULL, &queue),
		              -ENOENT);
}

static long long clean_dead(struct stage *stage)
{
	int result = stoa_space_clean(stage->space, 0, NULL, NULL);

	return result < 0 ? result : 0;
}

static void after_clean(struct stage *stage, long long result)
{
	(void)result;
	assert_good(stoa_space_clean(stage->space, 0, NULL, NULL));
	assert_receives(stage->queue, "one");
}

static void wake(int result, void *context)
{
	(void)result;
	(void)context;
}

static long long watch_and_stop(struct stage *stage)
{
	struct stoa_wait condition = {
		.kind = STOA_READABLE, .object = stoa_queue_object(stage->queue)
	};
	struct stoa_watch *watch;
	int result = stoa_watch_start(stage->space, &watch);

	if (result < 0)
		return result;
	result = stoa_watch_once(watch, &condition, wake, NULL);
	stoa_watch_stop(watch);
	return result;
}

static const struct operation opening[] = {
	OPERATION(open_space_again, with_nothing),
	OPERATION_AFTER(make_space, with_nothing, after_make_space),
	OPERATION(close_space, with_space),
	OPERATION_AFTER(ask_self, with_space, after_ask_self),
};

static const struct operation peers[] = {
	OPERATION(ask_alive, know_self),
	OPERATION_AFTER(ask_alive, know_child, end_known_child),
	OPERATION_AFTER(visit_peers, know_child, end_known_child),
};

static const struct operation objects[] = {
	OPERATION(visit_objects, with_queue),
	OPERATION(find_object, with_queue),
	OPERATION(visit_users, with_queue),
	OPERATION_AFTER(remove_name, with_queue, after_removal),
	OPERATION_AFTER(remove_and_wake, with_queue, after_removal),
	OPERATION_AFTER(clean_dead, with_dead_taker, after_clean),
	OPERATION(watch_and_stop, with_empty_queue),
};

TEST(opening_a_space_fails_whole_or_not)
{
	sweep(opening, LENGTH(opening), STOA_FIFO);
}

TEST(asking_for_peers_fails_whole_or_not)
{
	sweep(peers, LENGTH(peers), STOA_FIFO);
}

TEST(looking_at_objects_and_removing_them_fails_whole_or_not)
{
	sweep(objects, LENGTH(objects), STOA_TYPE);
}

static const struct CMUnitTest cases[] = {
	CASE(opening_a_space_fails_whole_or_not),
	CASE(asking_for_peers_fails_whole_or_not),
	CASE(looking_at_objects_and_removing_them_fails_whole_or_not),
};

MAIN(cases)
