/* SPDX-License-Identifier: MIT */
/* base/deadline.c: absolute instants, and what is left until them. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>

#include <errno.h>

#define NS_PER_SECOND INT64_C(1000000000)

struct stoa_deadline stoa_deadline_in(int64_t ns)
{
	struct stoa_deadline deadline = { 0, CLOCK_MONOTONIC, 0 };

	if (__builtin_add_overflow(stoa_sys_clock_ns(CLOCK_MONOTONIC), ns,
	                           &deadline.ns))
		deadline.ns = ns < 0 ? INT64_MIN : INT64_MAX;
	return deadline;
}

int stoa_deadline_at(clockid_t clock, const struct timespec *time,
                     struct stoa_deadline *ret_deadline)
{
	struct stoa_deadline deadline = { 0, clock, 0 };

	if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
		return stoa_fail(-EINVAL, "a deadline's clock is CLOCK_MONOTONIC "
		                          "or CLOCK_REALTIME, not %d",
		                 (int)clock);
	if (time->tv_nsec < 0 || time->tv_nsec >= NS_PER_SECOND)
		return stoa_fail(-EINVAL, "a deadline's tv_nsec is 0 to "
		                          "999,999,999, not %ld",
		                 time->tv_nsec);
	if (__builtin_mul_overflow((int64_t)time->tv_sec, NS_PER_SECOND,
	                           &deadline.ns) ||
	    __builtin_add_overflow(deadline.ns, (int64_t)time->tv_nsec,
	                           &deadline.ns))
		deadline.ns = time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	*ret_deadline = deadline;
	return 0;
}

int64_t stoa_deadline_left(struct stoa_deadline deadline)
{
	int64_t left;

	if (deadline.kind == STOA_DEADLINE_NOW)
		return 0;
	if (deadline.kind == STOA_DEADLINE_FOREVER)
		return INT64_MAX;
	if (__builtin_sub_overflow(deadline.ns,
	                           stoa_sys_clock_ns(deadline.clock), &left))
		return deadline.ns < 0 ? 0 : INT64_MAX;
	return left < 0 ? 0 : left;
}

int stoa_deadline_result(struct stoa_deadline deadline)
{
	return deadline.kind == STOA_DEADLINE_NOW ? -EAGAIN : -ETIMEDOUT;
}
