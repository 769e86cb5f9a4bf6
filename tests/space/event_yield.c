/* SPDX-License-Identifier: MIT */
/* What a waiter learns from leaving the processor to others. */
#include "support.h"

#include <space/event.h>

enum { WAITS_MOST = 1 << 22 };

static struct stoa_space *space;
static struct stoa_queue *queue;

static struct stoa_object *begin(void)
{
	struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes),
		.order = STOA_FIFO,
		.capacity = 2,
		.max_message_bytes = 8
	};

	space = open_space();
	assert_ok(stoa_queue_open(space, "q",
	                          STOA_CREATE | STOA_READ | STOA_WRITE, 0600,
	                          &attributes, &queue));
	return stoa_queue_object(queue);
}

static void end(void)
{
	assert_ok(stoa_queue_remove(queue));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void begin_wait(struct stoa_object *object, struct stoa_waiter *waiter)
{
	stoa_waiter_init(waiter, object, STOA_READ, STOA_FOREVER);
	stoa_waiter_may_yield(waiter);
}

/* How many waits go by before one may yield. */
static int waits_until_yield(struct stoa_object *object,
                             struct stoa_waiter *waiter)
{
	for (int waits = 1; waits < WAITS_MOST; waits++) {
		begin_wait(object, waiter);
		if (waiter->yields.left > 0)
			return waits;
		stoa_waiter_fini(waiter);
	}
	return WAITS_MOST;
}

/* As if the waiter had yielded, and what it waited for was there then. */
static void succeed(struct stoa_waiter *waiter)
{
	waiter->yields.done = 1;
	stoa_waiter_fini(waiter);
}

static void be_away_for_long(struct stoa_waiter *waiter)
{
	waiter->yields.done = 1;
	waiter->yields.was_long = 1;
	stoa_waiter_fini(waiter);
}

static void yield_in_vain(struct stoa_waiter *waiter)
{
	waiter->yields.done = 1;
	waiter->slept = 1;
	stoa_waiter_fini(waiter);
}

TEST(goes_on_while_it_succeeds)
{
	struct stoa_object *object = begin();
	struct stoa_waiter waiter;

	waits_until_yield(object, &waiter);
	for (int i = 0; i < 100; i++) {
		succeed(&waiter);
		begin_wait(object, &waiter);
		assert_true(waiter.yields.left > 0);
	}
	stoa_waiter_fini(&waiter);
	end();
}

TEST(is_tried_more_seldom_after_each_failure)
{
	struct stoa_object *object = begin();
	struct stoa_waiter waiter;
	int first = waits_until_yield(object, &waiter), second;

	yield_in_vain(&waiter);
	second = waits_until_yield(object, &waiter);
	assert_true(second > first && second < WAITS_MOST);
	stoa_waiter_fini(&waiter);
	end();
}

/* A time slice was lost: some thousand waits' worth. */
TEST(is_not_tried_for_long_where_another_wants_the_processor)
{
	struct stoa_object *object = begin();
	struct stoa_waiter waiter;
	int waits;

	waits_until_yield(object, &waiter);
	be_away_for_long(&waiter);
	waits = waits_until_yield(object, &waiter);
	assert_true(waits >= 1000);
	/* One that comes back soon proves little: it lost a slice, too. */
	succeed(&waiter);
	begin_wait(object, &waiter);
	be_away_for_long(&waiter);
	assert_true(waits_until_yield(object, &waiter) >= 10 * waits);
	for (int i = 0; i < 10; i++) {
		be_away_for_long(&waiter);
		assert_true(waits_until_yield(object, &waiter) < WAITS_MOST);
	}
	stoa_waiter_fini(&waiter);
	end();
}

static const struct CMUnitTest cases[] = {
	CASE(goes_on_while_it_succeeds),
	CASE(is_tried_more_seldom_after_each_failure),
	CASE(is_not_tried_for_long_where_another_wants_the_processor),
};

MAIN(cases)
