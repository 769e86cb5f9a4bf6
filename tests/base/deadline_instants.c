/* SPDX-License-Identifier: MIT */
/* Deadlines: instants on their clock, now, forever, and saturation. */
#include "support.h"

TEST(an_instant_from_now_is_on_the_monotonic_clock)
{
	int64_t before = now_ns();
	struct stoa_deadline deadline = stoa_deadline_in(5 * SECOND);
	int64_t after = now_ns();

	assert_int_equal(deadline.clock, CLOCK_MONOTONIC);
	assert_int_equal(deadline.kind, 0);
	assert_true(deadline.ns >= before + 5 * SECOND);
	assert_true(deadline.ns <= after + 5 * SECOND);
}

TEST(an_instant_too_far_away_saturates)
{
	assert_true(stoa_deadline_in(INT64_MAX).ns == INT64_MAX);
	assert_true(stoa_deadline_in(INT64_MAX - 1).ns == INT64_MAX);
	assert_int_equal(stoa_deadline_in(INT64_MAX).kind, 0);
}

TEST(an_instant_in_the_past_can_be_asked_for)
{
	assert_true(stoa_deadline_in(-1).ns < now_ns());
	assert_true(stoa_deadline_in(INT64_MIN).ns < 0);
}

TEST(a_time_on_either_clock_becomes_an_instant)
{
	static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_REALTIME };
	struct timespec time = { 12, 999999999 };
	struct stoa_deadline deadline;

	for (size_t i = 0; i < LENGTH(clocks); i++) {
		assert_ok(stoa_deadline_at(clocks[i], &time, &deadline));
		assert_int_equal(deadline.ns, 12999999999);
		assert_int_equal(deadline.clock, clocks[i]);
		assert_int_equal(deadline.kind, 0);
	}
}

TEST(a_time_too_far_away_saturates)
{
	struct timespec time = { INT64_MAX, 999999999 };
	struct stoa_deadline deadline;

	assert_ok(stoa_deadline_at(CLOCK_REALTIME, &time, &deadline));
	assert_true(deadline.ns == INT64_MAX);
	time.tv_sec = INT64_MIN;
	assert_ok(stoa_deadline_at(CLOCK_REALTIME, &time, &deadline));
	assert_true(deadline.ns < 0);
}

TEST(another_clock_is_refused)
{
	static const clockid_t clocks[] = { CLOCK_BOOTTIME,
		                            CLOCK_PROCESS_CPUTIME_ID,
		                            CLOCK_MONOTONIC_RAW, -1, 1000 };
	struct timespec time = { 1, 1 };
	struct stoa_deadline deadline = { 1, 2, 3 };

	for (size_t i = 0; i < LENGTH(clocks); i++)
		assert_result(stoa_deadline_at(clocks[i], &time, &deadline),
		              -EINVAL);
	assert_int_equal(deadline.ns, 1);
	assert_int_equal(deadline.clock, 2);
	assert_int_equal(deadline.kind, 3);
}

TEST(nanoseconds_outside_a_second_are_refused)
{
	static const long wrong[] = { -1, 1000000000, INT64_MIN, INT64_MAX };
	struct stoa_deadline deadline = { 1, 2, 3 };

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		struct timespec time = { 1, wrong[i] };

		assert_result(stoa_deadline_at(CLOCK_REALTIME, &time,
		                               &deadline),
		              -EINVAL);
	}
	assert_int_equal(deadline.ns, 1);
}

TEST(now_and_forever_are_kinds_of_their_own)
{
	assert_int_equal(STOA_NOW.kind, 1);
	assert_int_equal(STOA_FOREVER.kind, 2);
}

static const struct CMUnitTest cases[] = {
	CASE(an_instant_from_now_is_on_the_monotonic_clock),
	CASE(an_instant_too_far_away_saturates),
	CASE(an_instant_in_the_past_can_be_asked_for),
	CASE(a_time_on_either_clock_becomes_an_instant),
	CASE(a_time_too_far_away_saturates),
	CASE(another_clock_is_refused),
	CASE(nanoseconds_outside_a_second_are_refused),
	CASE(now_and_forever_are_kinds_of_their_own),
};

MAIN(cases)
