/* SPDX-License-Identifier: MIT */
/* Who takes a socket's name, gives it up or cleans, stopped and killed at each
 * of his system calls: nobody waits for him, and no name is had by two. */
#define STOA_TESTING /* shows the hook */
#include "descriptor.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <base/system.h>

enum { STEPS_MAX = 500, HAD = 1, REFUSED = 2, NO_OFFER = 3 };

struct step {
	unsigned at; /* which system call */
	int number; /* the signal that comes before it */
	int (*run)(struct stoa_space *space);
};

static struct stoa_space *space;
static unsigned calls;
static struct step step;

static long count_call(long number, const long argument[6], int *ret_handled)
{
	(void)number, (void)argument, (void)ret_handled;
	if (++calls == step.at)
		syscall(SYS_kill, getpid(), step.number);
	return 0;
}

static int offer_nothing(struct stoa_space *where, struct stoa_offer **ret_offer)
{
	return stoa_descriptor_offer(where, "box", 0, 0600, NULL, NULL, 0, NULL,
	                             0, ret_offer);
}

static ssize_t fetch(void)
{
	struct stoa_descriptor_message message;

	return stoa_descriptor_fetch(space, "box", 0, NULL, 0, NULL, 0,
	                             STOA_NOW, &message);
}

/* ---- What is stopped ------------------------------------------------------------ */

static int take_and_give(struct stoa_space *where)
{
	struct stoa_offer *offer;
	int result = offer_nothing(where, &offer);

	if (result == 0)
		stoa_descriptor_withdraw(offer);
	assert_true(result == 0 || result == -EADDRINUSE);
	return result == 0 ? HAD : REFUSED;
}

static int clean(struct stoa_space *where)
{
	assert_good(stoa_space_clean(where, 0, NULL, NULL));
	return NO_OFFER;
}

static void run_to_step(void *context)
{
	struct step *given = context;
	struct stoa_space *own;

	assert_ok(stoa_space_open(case_directory(), 0, &own));
	calls = 0;
	step = *given;
	stoa_system_hook = count_call;
	int outcome = given->run(own);
	stoa_system_hook = NULL;
	report(outcome);
	stoa_space_close(own);
}

/* 1: it is stopped, or killed, at its step; 0: it has fewer. */
static int reaches_step(struct child *child)
{
	siginfo_t info = { 0 };

	assert_system(waitid(P_PID, (id_t)child->pid, &info,
	                     WEXITED | WSTOPPED | WNOWAIT));
	return info.si_code == CLD_STOPPED || info.si_code == CLD_KILLED;
}

static void hold_name(void *context)
{
	struct stoa_offer *offer;

	(void)context;
	assert_ok(offer_nothing(space, &offer));
	report(0);
	await_order();
}

static void leave_name(void)
{
	struct child child = start_child(hold_name, NULL);

	await_report(&child);
	kill_child(&child);
}

static ino_t socket_inode(void)
{
	struct stat stat;

	assert_system(lstat(case_path("box.offer/socket"), &stat));
	assert_true(S_ISSOCK(stat.st_mode));
	return stat.st_ino;
}

/* While the other is stopped at its step, and after it has gone on. */
static int stopped_at(unsigned at, int (*run)(struct stoa_space *))
{
	struct step given = { at, SIGSTOP, run };
	struct stoa_offer *offer;
	struct child child;
	ino_t inode = 0;

	leave_name();
	child = start_child(run_to_step, &given);
	int reached = reaches_step(&child);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	int result = offer_nothing(space, &offer);
	assert_true(result == 0 || (result == -EADDRINUSE && reached));
	if (result == 0)
		inode = socket_inode();
	kill(child.pid, SIGCONT);
	int64_t outcome = await_report(&child);
	end_child(&child);
	if (result == 0) {
		/* Ours: whatever the other did after. */
		assert_int_equal(socket_inode(), inode);
		assert_result(fetch(), -EAGAIN);
		stoa_descriptor_withdraw(offer);
	} else {
		assert_int_equal(outcome, HAD);
	}
	assert_result(fetch(), -ENOENT);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	return reached;
}

static int killed_at(unsigned at, int (*run)(struct stoa_space *))
{
	struct step given = { at, SIGKILL, run };
	struct stoa_offer *offer;
	struct child child;

	leave_name();
	child = start_child(run_to_step, &given);
	int reached = reaches_step(&child);
	if (reached)
		kill_child(&child);
	else
		end_child(&child);
	assert_ok(offer_nothing(space, &offer));
	assert_result(fetch(), -EAGAIN);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	assert_result(fetch(), -EAGAIN);
	stoa_descriptor_withdraw(offer);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	return reached;
}

static void sweep_steps(int (*run_one)(unsigned, int (*)(struct stoa_space *)),
                        int (*run)(struct stoa_space *))
{
	unsigned at = 1;

	space = open_space();
	while (run_one(at, run)) {
		at++;
		assert_true(at < STEPS_MAX);
	}
	assert_true(at > 5);
	stoa_space_close(space);
}

TEST(a_binder_stopped_at_any_step_hinders_nobody_and_takes_nothing_over)
{
	sweep_steps(stopped_at, take_and_give);
}

TEST(a_cleaner_stopped_at_any_step_hinders_nobody_and_removes_nobody)
{
	sweep_steps(stopped_at, clean);
}

TEST(a_binder_killed_at_any_step_leaves_a_name_that_others_take)
{
	sweep_steps(killed_at, take_and_give);
}

TEST(a_cleaner_killed_at_any_step_leaves_a_name_that_others_take)
{
	sweep_steps(killed_at, clean);
}

static const struct CMUnitTest cases[] = {
	CASE(a_binder_stopped_at_any_step_hinders_nobody_and_takes_nothing_over),
	CASE(a_cleaner_stopped_at_any_step_hinders_nobody_and_removes_nobody),
	CASE(a_binder_killed_at_any_step_leaves_a_name_that_others_take),
	CASE(a_cleaner_killed_at_any_step_leaves_a_name_that_others_take),
};

MAIN(cases)
