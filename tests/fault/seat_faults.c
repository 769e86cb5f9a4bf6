/* SPDX-License-Identifier: MIT */
/* More handles than an object has room for at first, while system calls
 * fail: nobody is overlooked, and nobody waits for ever. */
#include "inject.h"

#include <signal.h>

enum { FIRST_SEATS = 64, HANDLES = FIRST_SEATS + 8 };

static struct stoa_queue *handles[HANDLES];
static size_t opened;

static void open_handles(struct stage *stage, size_t count)
{
	for (opened = 0; opened < count; opened++)
		handles[opened] = join_queue(stage->space, "q");
}

static void close_handles(struct stage *stage, long long result)
{
	(void)stage;
	(void)result;
	while (opened > 0)
		stoa_queue_close(handles[--opened]);
}

static void with_all_seats_taken(struct stage *stage)
{
	with_queue(stage);
	open_handles(stage, FIRST_SEATS - 1);
}

static long long open_one_more(struct stage *stage)
{
	struct stoa_queue *queue = (struct stoa_queue *)&queue;
	int result = stoa_queue_open(stage->space, "q", STOA_READ | STOA_WRITE,
	                             0, NULL, &queue);

	if (result == 0)
		stage->other = queue;
	else
		assert_ptr_equal(queue, &queue);
	return result;
}

static void after_one_more(struct stage *stage, long long result)
{
	if (result < 0)
		assert_int_equal(open_one_more(stage), 0);
	assert_receives(stage->other, "one");
	close_handles(stage, result);
}

TEST(a_handle_that_finds_no_seat_is_refused_and_does_not_hang)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(open_one_more, with_all_seats_taken,
		                after_one_more),
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static struct stoa_notification ask_for_nothing(void)
{
	struct stoa_notification ask = { .size = sizeof(ask) };

	return ask;
}

/* The one registered sits where the first handle has not looked yet. */
static void with_registrant_far_away(struct stage *stage)
{
	struct stoa_notification ask = ask_for_nothing();

	with_queue(stage);
	open_handles(stage, HANDLES);
	assert_ok(stoa_queue_notify(handles[HANDLES - 1], &ask));
}

static long long register_too(struct stage *stage)
{
	struct stoa_notification ask = ask_for_nothing();

	return stoa_queue_notify(stage->queue, &ask);
}

TEST(a_living_registrant_who_cannot_be_looked_at_is_not_replaced)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(register_too, with_registrant_far_away,
		                close_handles),
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static void take_far_away(struct stage *stage)
{
	with_queue(stage);
	open_handles(stage, HANDLES);
	assert_ok(stoa_queue_take(handles[HANDLES - 1], NULL, STOA_NOW,
	                          &stage->message));
}

static long long clean_and_receive(struct stage *stage)
{
	char buffer[8];

	stoa_space_clean(stage->space, 0, NULL, NULL);
	return stoa_queue_receive(stage->queue, NULL, buffer, sizeof(buffer),
	                          stoa_deadline_in(SHORT_MS * MS), NULL);
}

static void after_clean_and_receive(struct stage *stage, long long result)
{
	(void)result;
	assert_ok(
		stoa_queue_acknowledge(handles[HANDLES - 1], &stage->message));
	close_handles(stage, result);
}

TEST(a_living_taker_who_cannot_be_looked_at_is_not_robbed)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(clean_and_receive, take_far_away,
		                after_clean_and_receive),
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(a_handle_that_finds_no_seat_is_refused_and_does_not_hang),
	CASE(a_living_registrant_who_cannot_be_looked_at_is_not_replaced),
	CASE(a_living_taker_who_cannot_be_looked_at_is_not_robbed),
};

MAIN(cases)
