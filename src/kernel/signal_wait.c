/* SPDX-License-Identifier: MIT */
/* kernel/signal_wait.c: blocking signals, and waiting for one of a set. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <kernel/signal_internal.h>

#include <errno.h>

#define NS_PER_SECOND INT64_C(1000000000)

/* ---- Checks --------------------------------------------------------------------- */

int stoa_signal_check(int number, int any, const char *done)
{
	char name[STOA_SIGNAL_NAME_MAX];
	int result = stoa_signal_name(number, name);

	if (result < 0)
		return result;
	if (number >= SIGNAL_LIBC_FIRST && number <= SIGNAL_LIBC_LAST)
		return stoa_fail(-EINVAL,
		                 "signal %d is libc's own and can't be %s; "
		                 "SIGRTMIN is %d",
		                 number, done, SIGRTMIN);
	if (!any && (number == SIGKILL || number == SIGSTOP))
		return stoa_fail(-EINVAL, "%s can't be %s by anybody", name,
		                 done);
	return 0;
}

int stoa_signal_check_set(stoa_signal_set set, const char *done)
{
	stoa_signal_set wrong = set & ~STOA_SIGNAL_ALL;

	return wrong ? stoa_signal_check(__builtin_ctzll(wrong) + 1, 0, done) :
	               0;
}

int stoa_signal_check_blocked(stoa_signal_set set)
{
	stoa_signal_set blocked = 0;
	char name[STOA_SIGNAL_NAME_MAX];
	int result = stoa_signal_mask(SIG_BLOCK, 0, &blocked);

	if (result < 0)
		return result;
	if (set & ~blocked)
		return stoa_fail(-EINVAL,
		                 "%s isn't blocked in this thread, and would do "
		                 "what its disposition says; call "
		                 "stoa_signal_block() before threads are started",
		                 stoa_signal_first(set & ~blocked, name));
	return 0;
}

int64_t stoa_signal_patience(struct stoa_deadline deadline)
{
	int64_t left = stoa_deadline_left(deadline);

	if (deadline.clock == CLOCK_REALTIME && left > STOA_SLICE_NS)
		return STOA_SLICE_NS;
	return left;
}

/* ---- Masks ------------------------------------------------------------------------ */

int stoa_signal_mask(int how, stoa_signal_set set,
                     stoa_signal_set *ret_before)
{
	stoa_signal_set before = 0;
	int result = (int)stoa_system_call(SYS_rt_sigprocmask, how, (long)&set,
	                                   (long)&before, SIGNAL_SET_BYTES, 0,
	                                   0);

	if (result < 0)
		return stoa_fail(result, "the signals that are blocked can't be "
		                         "changed");
	if (ret_before)
		*ret_before = before;
	return 0;
}

int stoa_signal_block(stoa_signal_set set, stoa_signal_set *ret_before)
{
	int result = stoa_signal_check_set(set, "blocked");

	return result < 0 ? result :
	                    stoa_signal_mask(SIG_BLOCK, set, ret_before);
}

int stoa_signal_unblock(stoa_signal_set set, stoa_signal_set *ret_before)
{
	int result = stoa_signal_check_set(set, "unblocked");

	return result < 0 ? result :
	                    stoa_signal_mask(SIG_UNBLOCK, set, ret_before);
}

int stoa_signal_set_blocked(stoa_signal_set set)
{
	stoa_signal_set ours = set & ~(STOA_SIGNAL(32) | STOA_SIGNAL(33));
	int result = stoa_signal_check_set(ours, "blocked");

	return result < 0 ? result : stoa_signal_mask(SIG_SETMASK, ours, NULL);
}

int stoa_signal_blocked(stoa_signal_set *ret_set)
{
	return stoa_signal_mask(SIG_BLOCK, 0, ret_set);
}

int stoa_signal_pending(stoa_signal_set *ret_set)
{
	stoa_signal_set set = 0;
	int result = (int)stoa_system_call(SYS_rt_sigpending, (long)&set,
	                                   SIGNAL_SET_BYTES, 0, 0, 0, 0);

	if (result < 0)
		return stoa_fail(result, "what is pending can't be told");
	*ret_set = set;
	return 0;
}

/* ---- Wait --------------------------------------------------------------------------- */

enum stoa_signal_origin stoa_signal_origin_of(int code)
{
	if (code == SI_USER || code == SI_TKILL)
		return STOA_SIGNAL_BY_PROCESS;
	return code < 0 && code != SI_TIMER ? STOA_SIGNAL_BY_VALUE :
	                                      STOA_SIGNAL_BY_KERNEL;
}

static int is_fault(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGILL ||
	       number == SIGFPE || number == SIGTRAP;
}

struct stoa_signal_info stoa_signal_translate(const siginfo_t *info)
{
	struct stoa_signal_info told = { .number = info->si_signo,
		                         .code = info->si_code };

	told.origin = stoa_signal_origin_of(told.code);
	if (told.code == SI_TIMER) {
		told.timer = info->si_timerid;
		told.overrun = (uint32_t)info->si_overrun;
		told.value = info->si_value;
	} else if (told.origin != STOA_SIGNAL_BY_KERNEL) {
		told.pid = info->si_pid;
		told.uid = info->si_uid;
		if (told.origin == STOA_SIGNAL_BY_VALUE)
			told.value = info->si_value;
	} else if (told.number == SIGCHLD) {
		told.pid = info->si_pid;
		told.uid = info->si_uid;
		told.status = info->si_status;
	} else if (is_fault(told.number)) {
		told.address = (uint64_t)(uintptr_t)info->si_addr;
	} else if (told.code >= POLL_IN && told.code <= POLL_HUP) {
		told.fd = info->si_fd;
	}
	return told;
}

/* Once. Its number, -EAGAIN after `left_ns`, or -EINTR. */
static int take_one(stoa_signal_set set, int64_t left_ns, siginfo_t *info)
{
	struct timespec left = { left_ns / NS_PER_SECOND,
		                 left_ns % NS_PER_SECOND };

	return (int)stoa_system_call(
	        SYS_rt_sigtimedwait, (long)&set, (long)info,
	        left_ns == INT64_MAX ? 0 : (long)&left, SIGNAL_SET_BYTES, 0, 0);
}

int stoa_signal_wait(stoa_signal_set set, unsigned flags,
                     struct stoa_deadline deadline,
                     struct stoa_signal_info *ret_info)
{
	int result = stoa_signal_check_set(set, "waited for");
	siginfo_t info = { 0 };

	if (result == 0 && (!set || (flags & ~STOA_INTERRUPTIBLE)))
		result = stoa_fail(-EINVAL, set ? "unknown flags of a wait for "
		                                  "signals" :
		                                  "no signal to wait for");
	if (result == 0)
		result = stoa_signal_check_blocked(set);
	if (result < 0)
		return result;
	for (;;) {
		int64_t left = stoa_signal_patience(deadline);

		result = take_one(set, left, &info);
		if (result > 0)
			break;
		if (result == -EINTR && (flags & STOA_INTERRUPTIBLE))
			return -EINTR;
		if (result != -EAGAIN && result != -EINTR)
			return stoa_fail(result, "waiting for signals");
		if (stoa_deadline_left(deadline) == 0 && result == -EAGAIN)
			return stoa_deadline_result(deadline);
	}
	if (ret_info) {
		*ret_info = stoa_signal_translate(&info);
		ret_info->when_ns = stoa_sys_clock_ns(CLOCK_REALTIME);
	}
	return result;
}
