/* SPDX-License-Identifier: MIT */
/* Dispositions: handlers with a context, chains, restoring, and what a child
 * that executes another program is left with. */
#include "signals.h"

#include <fcntl.h>

struct seen {
	int calls;
	int number, origin;
	uint64_t value;
	int order; /* among all handlers of the case */
};

static int calls; /* of the case, which has one thread */

static void note(const struct stoa_signal_info *info, void *context)
{
	struct seen *seen = context;

	seen->calls++;
	seen->number = info->number;
	seen->origin = (int)info->origin;
	seen->value = number_in(info);
	seen->order = ++calls;
	errno = EXDEV; /* isn't seen by who was interrupted */
}

static struct seen foreign;

static void foreign_plain(int number)
{
	foreign.calls++;
	foreign.number = number;
	foreign.order = ++calls;
}

static void foreign_told(int number, siginfo_t *info, void *context)
{
	assert_non_null(context);
	foreign_plain(number);
	foreign.value = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
}

static struct stoa_signal_action handle(struct seen *seen, uint32_t flags)
{
	return (struct stoa_signal_action){ .size = sizeof(
		                                    struct stoa_signal_action),
		                            .disposition = STOA_SIGNAL_HANDLE,
		                            .handler = note,
		                            .context = seen,
		                            .flags = flags };
}

static struct stoa_signal_action simple(enum stoa_signal_disposition what)
{
	return (struct stoa_signal_action){ .size = sizeof(
		                                    struct stoa_signal_action),
		                            .disposition = what };
}

/* One that isn't blocked is delivered before this returns. */
static void send_here(int number, uint64_t value)
{
	struct stoa_signal_target *target = target_of(getpid());

	assert_ok(stoa_signal_queue(target, number, value_of(value)));
	stoa_signal_target_close(target);
}

TEST(a_handler_gets_context_value_and_sender)
{
	struct seen one = { 0 }, other = { 0 };
	struct stoa_signal_action action = handle(&one, STOA_SIGNAL_RESTARTS);
	struct stoa_signal_action told = { .size = sizeof(told) };

	action.blocked = STOA_SIGNAL(SIGUSR2);
	assert_ok(stoa_signal_set_action(RT, &action, NULL));
	assert_ok(stoa_signal_get_action(RT, &told));
	assert_memory_equal(&told, &action, sizeof(told));
	action = handle(&other, 0);
	assert_ok(stoa_signal_set_action(SIGUSR1, &action, NULL));
	/* Which asserts that errno is kept, too. */
	send_here(RT, 42);
	assert_int_equal(one.calls, 1);
	assert_int_equal(one.number, RT);
	assert_int_equal(one.origin, STOA_SIGNAL_BY_VALUE);
	assert_int_equal(one.value, 42);
	assert_int_equal(other.calls, 0);
	assert_system(kill(getpid(), SIGUSR1));
	assert_int_equal(other.calls, 1);
	assert_int_equal(other.origin, STOA_SIGNAL_BY_PROCESS);
	assert_int_equal(other.value, 0);
}

TEST(restoring_goes_back_step_by_step)
{
	struct seen one = { 0 }, other = { 0 };
	struct stoa_signal_action first = handle(&one, 0);
	struct stoa_signal_action second = handle(&other, 0);
	struct stoa_signal_action ignore = simple(STOA_SIGNAL_IGNORE);
	struct stoa_signal_action told = { .size = sizeof(told) };
	struct stoa_signal_saved saved[3];

	assert_ok(stoa_signal_set_action(SIGUSR1, &first, &saved[0]));
	assert_ok(stoa_signal_set_action(SIGUSR1, &second, &saved[1]));
	assert_ok(stoa_signal_set_action(SIGUSR1, &ignore, &saved[2]));
	send_here(SIGUSR1, 1);
	assert_ok(stoa_signal_get_action(SIGUSR1, &told));
	assert_int_equal(told.disposition, STOA_SIGNAL_IGNORE);
	assert_ok(stoa_signal_restore(&saved[2]));
	send_here(SIGUSR1, 2);
	assert_int_equal(other.value, 2);
	assert_ok(stoa_signal_restore(&saved[1]));
	send_here(SIGUSR1, 3);
	assert_int_equal(one.value, 3);
	assert_ok(stoa_signal_restore(&saved[0]));
	assert_int_equal(one.calls, 1);
	assert_int_equal(other.calls, 1);
	assert_ok(stoa_signal_get_action(SIGUSR1, &told));
	assert_int_equal(told.disposition, STOA_SIGNAL_DEFAULT);
	assert_null(told.handler);
}

TEST(a_chain_calls_who_was_there_before)
{
	struct seen one = { 0 }, other = { 0 };
	struct stoa_signal_action first = handle(&one, STOA_SIGNAL_CHAINS);
	struct stoa_signal_action second = handle(&other, STOA_SIGNAL_CHAINS);
	struct sigaction plain = { .sa_handler = foreign_plain };
	struct sigaction telling = { .sa_sigaction = foreign_told,
		                     .sa_flags = SA_SIGINFO };
	struct stoa_signal_action told = { .size = sizeof(told) };
	struct stoa_signal_saved saved[2];

	assert_system(sigaction(RT, &telling, NULL));
	assert_ok(stoa_signal_get_action(RT, &told));
	assert_int_equal(told.disposition, STOA_SIGNAL_FOREIGN);
	assert_ok(stoa_signal_set_action(RT, &first, &saved[0]));
	assert_ok(stoa_signal_set_action(RT, &second, &saved[1]));
	assert_ok(stoa_signal_get_action(RT, &told));
	assert_int_equal(told.flags, STOA_SIGNAL_CHAINS);
	send_here(RT, 6);
	assert_int_equal(other.order, 1);
	assert_int_equal(one.order, 2);
	assert_int_equal(foreign.order, 3);
	assert_int_equal(foreign.value, 6);
	assert_int_equal(one.value, 6);
	assert_ok(stoa_signal_restore(&saved[1]));
	send_here(RT, 7);
	assert_int_equal(other.calls, 1);
	assert_int_equal(one.calls, 2);
	assert_int_equal(foreign.calls, 2);
	assert_ok(stoa_signal_restore(&saved[0]));
	send_here(RT, 8);
	assert_int_equal(one.calls, 2);
	assert_int_equal(foreign.value, 8);

	assert_system(sigaction(SIGUSR1, &plain, NULL));
	assert_ok(stoa_signal_set_action(SIGUSR1, &first, &saved[0]));
	send_here(SIGUSR1, 9);
	assert_int_equal(foreign.number, SIGUSR1);
	assert_int_equal(one.number, SIGUSR1);
}

TEST(once_is_once)
{
	struct seen one = { 0 };
	struct stoa_signal_action action = handle(&one, STOA_SIGNAL_ONCE);
	struct stoa_signal_action told = { .size = sizeof(told) };

	/* SIGWINCH does nothing by default. */
	assert_ok(stoa_signal_set_action(SIGWINCH, &action, NULL));
	send_here(SIGWINCH, 0);
	send_here(SIGWINCH, 0);
	assert_int_equal(one.calls, 1);
	assert_ok(stoa_signal_get_action(SIGWINCH, &told));
	assert_int_equal(told.disposition, STOA_SIGNAL_DEFAULT);
}

TEST(what_can_not_be_is_refused)
{
	struct seen one = { 0 };
	struct stoa_signal_action action = handle(&one, 0);
	struct stoa_signal_action told = { .size = 1 };
	struct stoa_signal_saved saved = { .number = 0 };

	assert_result(stoa_signal_set_action(SIGKILL, &action, NULL), -EINVAL);
	assert_sentence("SIGKILL can't be handled");
	assert_result(stoa_signal_set_action(0, &action, NULL), -EINVAL);
	assert_result(stoa_signal_set_action(33, &action, NULL), -EINVAL);
	assert_result(stoa_signal_restore(&saved), -EINVAL);
	assert_result(stoa_signal_get_action(SIGUSR1, &told), -EINVAL);
	action.flags = STOA_SIGNAL_CHAINS;
	assert_result(stoa_signal_set_action(SIGUSR1, &action, NULL), -EINVAL);
	action.flags = 0x80000000u;
	assert_result(stoa_signal_set_action(SIGUSR1, &action, &saved), -EINVAL);
	action = handle(&one, 0);
	action.handler = NULL;
	assert_result(stoa_signal_set_action(SIGUSR1, &action, NULL), -EINVAL);
	action = handle(&one, 0);
	action.blocked = STOA_SIGNAL(SIGSTOP);
	assert_result(stoa_signal_set_action(SIGUSR1, &action, NULL), -EINVAL);
	action = simple(STOA_SIGNAL_FOREIGN);
	assert_result(stoa_signal_set_action(SIGUSR1, &action, NULL), -EINVAL);
	action = simple(STOA_SIGNAL_IGNORE);
	action.size = 0;
	assert_result(stoa_signal_set_action(SIGUSR1, &action, NULL), -EINVAL);
	action.size = sizeof(action);
	action.reserved = 1;
	assert_result(stoa_signal_set_action(SIGUSR1, &action, NULL), -EINVAL);
}

/* ---- What exec hands on -------------------------------------------------------------- */

static void look_after_exec(void *context)
{
	int reset = *(int *)context;
	struct stoa_signal_action ignore = simple(STOA_SIGNAL_IGNORE);
	struct seen one = { 0 };
	struct stoa_signal_action action = handle(&one, 0);

	assert_ok(stoa_signal_set_action(SIGUSR1, &action, NULL));
	assert_ok(stoa_signal_set_action(SIGUSR2, &ignore, NULL));
	assert_ok(stoa_signal_set_action(SIGPIPE, &ignore, NULL));
	block(STOA_SIGNAL(SIGTERM) | STOA_SIGNAL(RT));
	if (reset)
		assert_ok(stoa_signal_reset(STOA_SIGNAL(SIGPIPE)));
	int file = open(case_path("status"), O_CREAT | O_WRONLY | O_TRUNC,
	                0600);
	dup2(file, STDOUT_FILENO);
	execlp("cat", "cat", "/proc/self/status", (char *)NULL);
	_exit(127);
}

static stoa_signal_set mask_in(const char *name)
{
	FILE *file = fopen(case_path("status"), "re");
	char line[256];
	unsigned long long mask = 0;
	bool found = false;

	assert_non_null(file);
	while (!found && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, strlen(name)) == 0) {
			mask = strtoull(line + strlen(name) + 1, NULL, 16);
			found = true;
		}
	fclose(file);
	assert_true(found);
	return mask;
}

TEST(a_child_may_begin_anew)
{
	for (int reset = 0; reset < 2; reset++) {
		struct child child = start_child(look_after_exec, &reset);

		end_child(&child);
		stoa_signal_set blocked = mask_in("SigBlk");
		stoa_signal_set ignored = mask_in("SigIgn");

		assert_int_equal((blocked & STOA_SIGNAL(RT)) != 0, !reset);
		assert_int_equal((blocked & STOA_SIGNAL(SIGTERM)) != 0, !reset);
		assert_int_equal((ignored & STOA_SIGNAL(SIGPIPE)) != 0, !reset);
		assert_true((ignored & STOA_SIGNAL(SIGUSR2)) != 0);
		assert_int_equal(mask_in("SigCgt"), 0);
		assert_system(unlink(case_path("status")));
	}
}

static const struct CMUnitTest cases[] = {
	CASE(a_handler_gets_context_value_and_sender),
	CASE(restoring_goes_back_step_by_step),
	CASE(a_chain_calls_who_was_there_before),
	CASE(once_is_once),
	CASE(what_can_not_be_is_refused),
	CASE(a_child_may_begin_anew),
};

MAIN(cases)
