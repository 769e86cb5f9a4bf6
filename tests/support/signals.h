/* SPDX-License-Identifier: MIT */
/* signals.h: what the signals' tests share. */
#ifndef SUPPORT_SIGNALS_H
#define SUPPORT_SIGNALS_H

#include "support.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define RT (SIGRTMIN + 1)

static inline struct stoa_signal_target *target_of(pid_t pid)
{
	struct stoa_signal_target *target;

	assert_ok(stoa_signal_target_open(pid, STOA_SIGNAL_PROCESS, &target));
	return target;
}

static inline union sigval value_of(uint64_t number)
{
	union sigval value;

	memset(&value, 0, sizeof(value));
	memcpy(&value, &number, sizeof(number));
	return value;
}

static inline uint64_t number_in(const struct stoa_signal_info *info)
{
	uint64_t number;

	memcpy(&number, &info->value, sizeof(number));
	return number;
}

static inline void block(stoa_signal_set set)
{
	assert_ok(stoa_signal_block(set, NULL));
}

/* A user that nobody else is, if it can be: the kernel counts what is queued for
 * all processes of a user. */
static inline void become_somebody(void)
{
	uid_t uid = (uid_t)(1000000000 + getpid());

	if (getuid() != 0)
		return;
	assert_system(setresuid(uid, uid, uid));
	assert_system(prctl(PR_SET_DUMPABLE, 1)); /* may look at itself */
	assert_system(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

/* Raises the limit of queued signals to `count`, as far as it may be; gives
 * what it is now. */
static inline rlim_t allow_queued(rlim_t count)
{
	struct rlimit limit, more;

	assert_system(getrlimit(RLIMIT_SIGPENDING, &limit));
	more = (struct rlimit){ count, count };
	if (limit.rlim_cur < count &&
	    setrlimit(RLIMIT_SIGPENDING, &more) != 0) {
		more = (struct rlimit){ limit.rlim_max, limit.rlim_max };
		assert_system(setrlimit(RLIMIT_SIGPENDING, &more));
	}
	assert_system(getrlimit(RLIMIT_SIGPENDING, &limit));
	return limit.rlim_cur < count ? limit.rlim_cur : count;
}

static inline void limit_queued(rlim_t count)
{
	struct rlimit limit;

	assert_system(getrlimit(RLIMIT_SIGPENDING, &limit));
	limit.rlim_cur = count;
	assert_system(setrlimit(RLIMIT_SIGPENDING, &limit));
}

#endif
