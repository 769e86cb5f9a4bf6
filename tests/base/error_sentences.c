/* SPDX-License-Identifier: MIT */
/* The sentence on the last failure: there, per thread, and left alone by what
 * fails in the ordinary course. */
#include "support.h"

#include <pthread.h>
#include <signal.h>

TEST(there_is_no_sentence_before_the_first_failure)
{
	assert_non_null(stoa_last_error());
	assert_string_equal(stoa_last_error(), "");
}

TEST(a_failure_names_the_object)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue;

	assert_result(stoa_queue_open(space, "orders", STOA_READ, 0, NULL,
	                              &queue),
	              -ENOENT);
	assert_sentence("orders");
	assert_result(stoa_queue_open(space, "bad name", STOA_READ, 0, NULL,
	                              &queue),
	              -EINVAL);
	assert_sentence("bad name");
	stoa_space_close(space);
}

TEST(ordinary_failures_leave_the_sentence_alone)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue =
		make_queue(space, "q", (struct queue_shape){ 0 });
	char sentence[1024];
	char buffer[8];

	assert_result(stoa_queue_unlink(space, "missing"), -ENOENT);
	assert_sentence("missing");
	snprintf(sentence, sizeof(sentence), "%s", stoa_last_error());
	assert_result(stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                                 STOA_NOW, NULL),
	              -EAGAIN);
	assert_string_equal(stoa_last_error(), sentence);
	assert_result(stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                                 stoa_deadline_in(MS), NULL),
	              -ETIMEDOUT);
	assert_string_equal(stoa_last_error(), sentence);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void *fail_in_thread(void *context)
{
	struct stoa_queue *queue;

	require(strcmp(stoa_last_error(), "") == 0);
	require(stoa_queue_open(context, "theirs", STOA_READ, 0, NULL,
	                        &queue) == -ENOENT);
	require(strstr(stoa_last_error(), "theirs") != NULL);
	return NULL;
}

TEST(each_thread_has_its_own_sentence)
{
	struct stoa_space *space = open_space();
	pthread_t thread;

	assert_result(stoa_queue_unlink(space, "mine"), -ENOENT);
	assert_int_equal(pthread_create(&thread, NULL, fail_in_thread, space),
	                 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_sentence("mine");
	stoa_space_close(space);
}

/* Every failure that is no ordinary one has a sentence of its own. */
TEST(every_refusal_has_a_sentence)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q", (struct queue_shape){ STOA_FIFO, 4, 100, 4096 });
	struct stoa_selector typed = { STOA_EXACTLY, 5 };
	struct stoa_message message = { 0 };
	struct stoa_deadline deadline;
	struct timespec time = { 0, -1 };
	struct stoa_notification notification = { 0 };
	char big[101] = { 0 };

	message.data = big;
	message.bytes = 1;
	message.type = 1;
#define REFUSED(call, error)                                                \
	do {                                                                \
		assert_result(stoa_queue_unlink(space, "marker"), -ENOENT); \
		assert_result(call, error);                                 \
		assert_null(strstr(stoa_last_error(), "marker"));           \
		assert_sentence("");                                        \
	} while (0)
	REFUSED(stoa_queue_send(queue, big, 101, STOA_NOW), -EMSGSIZE);
	REFUSED(stoa_queue_receive(queue, &typed, big, 10, STOA_NOW, NULL),
	        -EINVAL);
	REFUSED(stoa_queue_acknowledge(queue, &message), -ESTALE);
	REFUSED(stoa_queue_return(queue, &message), -ESTALE);
	REFUSED(stoa_queue_commit(queue, &message), -ESTALE);
	REFUSED(stoa_queue_cancel(queue, &message), -ESTALE);
	REFUSED(stoa_queue_notify(queue, &notification), -EINVAL);
	REFUSED(stoa_queue_pollfd(queue, 0), -EINVAL);
	REFUSED(stoa_wait_any(NULL, 0, STOA_NOW), -EINVAL);
	REFUSED(stoa_space_remove(space, "a/b", 0), -EINVAL);
	REFUSED(stoa_deadline_at(CLOCK_REALTIME, &time, &deadline), -EINVAL);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(the_version_is_told)
{
	assert_non_null(stoa_version());
	assert_string_equal(stoa_version(), "0.1.0");
	assert_int_equal(stoa_layout_version(), STOA_LAYOUT_VERSION);
}

static const struct CMUnitTest cases[] = {
	CASE(there_is_no_sentence_before_the_first_failure),
	CASE(a_failure_names_the_object),
	CASE(ordinary_failures_leave_the_sentence_alone),
	CASE(each_thread_has_its_own_sentence),
	CASE(every_refusal_has_a_sentence),
	CASE(the_version_is_told),
};

MAIN(cases)
