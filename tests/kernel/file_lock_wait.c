/* SPDX-License-Identifier: MIT */
/* Waiting for a lock on a file: until when, what a signal does, what the caller
 * sees of it, and what is left of who was killed. */
#include "file_lock.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#define SHARED STOA_RANGE_SHARED
#define EXCLUSIVE STOA_RANGE_EXCLUSIVE

enum { ROUNDS = 60, KILLS = 40, LATE_US = 2000, KILL_US = 1500 };

/* The two kinds of lock, for what holds of both. */
static int lock_kind(struct stoa_file_lock *lock, int ranges, uint32_t mode,
                     struct stoa_deadline deadline)
{
	struct stoa_range range = bytes_of(3, 4, mode);

	return ranges ? stoa_file_lock_lock_range(lock, &range, deadline) :
	                stoa_file_lock_lock(lock, mode, deadline);
}

static int unlock_kind(struct stoa_file_lock *lock, int ranges)
{
	return ranges ? stoa_file_lock_unlock_range(lock, NULL) :
	                stoa_file_lock_unlock(lock);
}

struct holder {
	const char *path;
	int ranges;
	unsigned flags;
	struct stoa_deadline deadline;
};

static struct stoa_file_lock *open_path(const struct holder *holder)
{
	struct stoa_file_lock *lock;

	assert_ok(stoa_file_lock_open(holder->path,
	                              STOA_READ | STOA_WRITE | holder->flags, 0,
	                              &lock));
	return lock;
}

/* Reports the result of its wait, then unlocks on order. */
static void wait_and_hold(void *context)
{
	struct holder *holder = context;
	struct stoa_file_lock *lock = open_path(holder);

	report(0);
	report(lock_kind(lock, holder->ranges, EXCLUSIVE, holder->deadline));
	await_order();
	stoa_file_lock_close(lock);
}

static struct child start_waiter(const char *path, int ranges,
                                 struct stoa_deadline deadline, unsigned flags)
{
	struct holder holder = { path, ranges, flags, deadline };
	struct child child = start_child(wait_and_hold, &holder);

	await_report(&child);
	return child;
}

/* ---- Deadlines -------------------------------------------------------------- */

TEST(a_deadline_ends_the_wait_and_nothing_is_held)
{
	for (int ranges = 0; ranges < 2; ranges++) {
		struct stoa_file_lock *lock = open_lock("f");
		struct stoa_file_lock *other = open_lock("f");
		int64_t before = now_ns();

		assert_ok(lock_kind(lock, ranges, EXCLUSIVE, STOA_NOW));
		assert_result(lock_kind(other, ranges, EXCLUSIVE,
		                        stoa_deadline_in(20 * MS)),
		              -ETIMEDOUT);
		assert_true(now_ns() - before >= 20 * MS);
		assert_result(lock_kind(other, ranges, SHARED,
		                        stoa_deadline_in(-1)), -ETIMEDOUT);
		assert_result(lock_kind(other, ranges, SHARED, STOA_NOW),
		              -EAGAIN);
		assert_ok(unlock_kind(lock, ranges));
		assert_ok(lock_kind(lock, ranges, EXCLUSIVE, STOA_NOW));
		stoa_file_lock_close(other);
		close_lock(lock, "f");
	}
}

TEST(a_deadline_on_the_clock_of_the_day_ends_the_wait)
{
	struct stoa_file_lock *lock = open_lock("f"), *other = open_lock("f");
	struct stoa_deadline deadline;
	struct timespec now;

	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	assert_system(clock_gettime(CLOCK_REALTIME, &now));
	now.tv_nsec += 20 * MS;
	now.tv_sec += now.tv_nsec / SECOND;
	now.tv_nsec %= SECOND;
	assert_ok(stoa_deadline_at(CLOCK_REALTIME, &now, &deadline));
	assert_result(stoa_file_lock_lock(other, EXCLUSIVE, deadline),
	              -ETIMEDOUT);
	stoa_file_lock_close(other);
	close_lock(lock, "f");
}

TEST(who_waits_has_the_lock_when_it_is_free)
{
	const struct stoa_deadline deadlines[] = { STOA_FOREVER,
		                                   stoa_deadline_in(AMPLE) };
	const char *path = case_path("f");

	for (int i = 0; i < 8; i++) {
		int ranges = i & 1;
		struct stoa_file_lock *lock = open_lock("f");
		struct child child;

		assert_ok(lock_kind(lock, ranges, EXCLUSIVE, STOA_NOW));
		child = start_waiter(path, ranges, deadlines[i / 2 % 2],
		                     i / 4 ? STOA_INTERRUPTIBLE : 0);
		until_child_waits(path, &child);
		assert_false(has_report(&child));
		assert_ok(unlock_kind(lock, ranges));
		assert_int_equal(await_report(&child), 0);
		assert_result(lock_kind(lock, ranges, SHARED, STOA_NOW),
		              -EAGAIN);
		give_order(&child, 0);
		end_child(&child);
		assert_ok(lock_kind(lock, ranges, EXCLUSIVE, STOA_NOW));
		close_lock(lock, "f");
	}
}

/* Neither lies: who is told that he has it has it, who isn't hasn't. */
TEST(a_lock_granted_as_the_deadline_comes_is_had_or_not_had)
{
	uint64_t random = run_seed();
	int had = 0;

	for (int round = 0; round < ROUNDS; round++) {
		int ranges = round & 1;
		struct stoa_file_lock *lock = open_lock("f");
		struct stoa_file_lock *third = open_lock("f");
		int64_t late = (int64_t)random_below(&random, LATE_US) * 1000;
		struct stoa_deadline deadline = stoa_deadline_in(MS + late);
		struct child child;
		int64_t result;

		assert_ok(lock_kind(lock, ranges, EXCLUSIVE, STOA_NOW));
		child = start_waiter(case_path("f"), ranges, deadline, 0);
		while (now_ns() < deadline.ns - (int64_t)random_below(
		                                        &random, LATE_US / 10) *
		                                        1000)
			;
		assert_ok(unlock_kind(lock, ranges));
		result = await_report(&child);
		assert_true(result == 0 || result == -ETIMEDOUT);
		had += result == 0;
		assert_result(lock_kind(third, ranges, EXCLUSIVE, STOA_NOW),
		              result == 0 ? -EAGAIN : 0);
		give_order(&child, 0);
		end_child(&child);
		stoa_file_lock_close(third);
		close_lock(lock, "f");
	}
	printf("had in %d of %d\n", had, ROUNDS);
}

static void lock_both(void *context)
{
	struct stoa_file_lock *lock = open_path(context);
	struct stoa_range mine = bytes_of(1, 1, EXCLUSIVE);
	struct stoa_range other = bytes_of(0, 1, EXCLUSIVE);

	assert_ok(stoa_file_lock_lock_range(lock, &mine, STOA_NOW));
	report(0);
	await_order();
	report(stoa_file_lock_lock_range(lock, &other, stoa_deadline_in(AMPLE)));
	stoa_file_lock_close(lock);
}

TEST(two_who_wait_for_one_another_are_not_told_and_a_deadline_is_the_way_out)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct stoa_range mine = bytes_of(0, 1, EXCLUSIVE);
	struct stoa_range other = bytes_of(1, 1, EXCLUSIVE);
	struct holder holder = { .path = case_path("f") };
	struct child child;

	assert_ok(stoa_file_lock_lock_range(lock, &mine, STOA_NOW));
	child = start_child(lock_both, &holder);
	await_report(&child);
	give_order(&child, 0);
	until_child_waits(holder.path, &child);
	assert_result(stoa_file_lock_lock_range(lock, &other,
	                                        stoa_deadline_in(10 * MS)),
	              -ETIMEDOUT);
	assert_ok(stoa_file_lock_unlock_range(lock, &mine));
	assert_int_equal(await_report(&child), 0);
	end_child(&child);
	close_lock(lock, "f");
}

/* ---- Signals, and what the caller sees ----------------------------------------- */

static _Atomic int handled;

static void count_signal(int number)
{
	(void)number;
	handled++;
}

static void wait_with_handler(void *context)
{
	struct sigaction action = { .sa_handler = count_signal,
		                    .sa_flags = SA_RESTART };

	assert_system(sigaction(SIGUSR1, &action, NULL));
	wait_and_hold(context);
}

TEST(a_handler_ends_a_wait_that_may_be_interrupted)
{
	struct stoa_file_lock *lock = open_lock("f");

	for (int i = 0; i < 4; i++) {
		struct holder holder = { case_path("f"), i & 1,
			                 STOA_INTERRUPTIBLE,
			                 i & 2 ? STOA_FOREVER :
			                         stoa_deadline_in(AMPLE) };
		struct child child;

		assert_ok(lock_kind(lock, holder.ranges, EXCLUSIVE, STOA_NOW));
		child = start_child(wait_with_handler, &holder);
		await_report(&child);
		signal_until_report(&child, SIGUSR1);
		assert_int_equal(await_report(&child), -EINTR);
		/* Nobody waits for it any more. */
		assert_int_equal(count_kernel_waiters(holder.path), 0);
		give_order(&child, 0);
		end_child(&child);
		assert_ok(unlock_kind(lock, holder.ranges));
	}
	close_lock(lock, "f");
}

TEST(a_handler_ends_no_other_wait)
{
	struct stoa_file_lock *lock = open_lock("f");

	for (int i = 0; i < 4; i++) {
		struct holder holder = { case_path("f"), i & 1, 0,
			                 i & 2 ? STOA_FOREVER :
			                         stoa_deadline_in(AMPLE) };
		struct child child;

		assert_ok(lock_kind(lock, holder.ranges, EXCLUSIVE, STOA_NOW));
		child = start_child(wait_with_handler, &holder);
		await_report(&child);
		for (int n = 0; n < 5; n++) {
			until_child_waits(holder.path, &child);
			assert_system(kill(child.pid, SIGUSR1));
		}
		assert_false(has_report(&child));
		assert_ok(unlock_kind(lock, holder.ranges));
		assert_int_equal(await_report(&child), 0);
		give_order(&child, 0);
		end_child(&child);
	}
	close_lock(lock, "f");
}

struct thread_wait {
	struct stoa_file_lock *lock;
	_Atomic int result;
};

enum { NO_RESULT = 1 };

static void *wait_in_thread(void *context)
{
	struct thread_wait *wait = context;

	wait->result = stoa_file_lock_lock(wait->lock, EXCLUSIVE,
	                                   stoa_deadline_in(AMPLE));
	return NULL;
}

/* Signals for the whole group run the caller's handler once, in the caller: the
 * process that waits has them blocked. */
TEST(the_caller_sees_no_child_and_its_handlers_run_in_it_alone)
{
	struct sigaction action = { .sa_handler = count_signal };
	struct stoa_file_lock *lock = open_lock("f"), *other = open_lock("f");
	struct thread_wait wait = { other, NO_RESULT };
	pthread_t thread;

	assert_system(sigaction(SIGCHLD, &action, NULL));
	assert_system(sigaction(SIGUSR1, &action, NULL));
	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, &wait), 0);
	while (count_kernel_waiters(case_path("f")) != 1)
		assert_int_equal(wait.result, NO_RESULT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_system(kill(0, SIGUSR1));
	assert_int_equal(count_kernel_waiters(case_path("f")), 1);
	assert_ok(stoa_file_lock_unlock(lock));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(wait.result, 0);
	assert_int_equal(handled, 1);
	/* No zombie either, which only this would see. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
	stoa_file_lock_close(other);
	close_lock(lock, "f");
}

TEST(a_wait_keeps_the_mask_of_signals_and_takes_no_descriptor_with_it)
{
	struct stoa_file_lock *lock = open_lock("f"), *other = open_lock("f");
	sigset_t mine, after;
	int descriptors = count_descriptors();

	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR2);
	assert_system(sigprocmask(SIG_SETMASK, &mine, NULL));
	assert_result(stoa_file_lock_lock(other, SHARED, stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	assert_system(sigprocmask(SIG_SETMASK, NULL, &after));
	for (int number = 1; number < SIGRTMAX; number++)
		assert_int_equal(sigismember(&after, number),
		                 number == SIGUSR2);
	assert_int_equal(count_descriptors(), descriptors);
	stoa_file_lock_close(other);
	close_lock(lock, "f");
}

/* ---- Walls ------------------------------------------------------------------------ */

static void wait_against_walls(void *context)
{
	struct stoa_file_lock *lock = open_path(context);
	struct rlimit limit = { 0, 0 };

	report(0);
	await_order();
	assert_result(stoa_file_lock_lock(lock, SHARED, STOA_NOW), -EAGAIN);
	assert_system(setrlimit(RLIMIT_SIGPENDING, &limit));
	assert_result(stoa_file_lock_lock(lock, SHARED, stoa_deadline_in(AMPLE)),
	              -EUSERS);
	assert_sentence("RLIMIT_SIGPENDING");
	become_nobody();
	assert_system(setrlimit(RLIMIT_NPROC, &limit));
	assert_result(stoa_file_lock_lock(lock, SHARED, stoa_deadline_in(AMPLE)),
	              -EUSERS);
	assert_sentence("RLIMIT_NPROC");
	report(0);
	/* Without a deadline nothing is needed. */
	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_FOREVER));
	report(0);
	await_order();
}

TEST(a_process_that_may_make_no_other_is_told_and_waits_without_a_deadline)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct holder holder = { .path = case_path("f") };
	struct child child;

	skip_unless_root();
	assert_system(chmod(case_directory(), 0777));
	child = start_child(wait_against_walls, &holder);
	await_report(&child);
	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	give_order(&child, 0);
	await_report(&child);
	assert_ok(stoa_file_lock_unlock(lock));
	await_report(&child);
	give_order(&child, 0);
	end_child(&child);
	close_lock(lock, "f");
}

TEST(a_process_without_descriptors_is_told)
{
	struct stoa_file_lock *lock = open_lock("f"), *other = open_lock("f");
	struct rlimit before, limit;

	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	assert_system(getrlimit(RLIMIT_NOFILE, &before));
	limit = before;
	limit.rlim_cur = (rlim_t)stoa_file_lock_fd(other) + 1;
	assert_system(setrlimit(RLIMIT_NOFILE, &limit));
	assert_result(stoa_file_lock_lock(other, SHARED,
	                                  stoa_deadline_in(AMPLE)), -EMFILE);
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	assert_ok(stoa_file_lock_unlock(lock));
	assert_ok(stoa_file_lock_lock(other, SHARED, stoa_deadline_in(AMPLE)));
	stoa_file_lock_close(other);
	close_lock(lock, "f");
}

/* ---- Death ----------------------------------------------------------------------- */

static void pass_time(uint64_t *random)
{
	int64_t end = now_ns() + (int64_t)random_below(random, KILL_US) * 1000;

	while (now_ns() < end)
		;
}

/* The waiter's end of a pipe is closed when all who share its descriptors are
 * dead. */
struct victim {
	struct holder holder;
	int ends[2];
};

static void wait_over_and_over(void *context)
{
	struct victim *victim = context;
	struct stoa_file_lock *lock = open_path(&victim->holder);

	close(victim->ends[0]);
	report(0);
	for (;;) {
		lock_kind(lock, victim->holder.ranges, EXCLUSIVE,
		          stoa_deadline_in(AMPLE));
		unlock_kind(lock, victim->holder.ranges);
	}
}

static void assert_all_gone(int fd)
{
	struct pollfd poll_fd = { fd, POLLIN, 0 };

	assert_int_equal(poll(&poll_fd, 1, HANG_LIMIT_SECONDS * 1000), 1);
	assert_true(poll_fd.revents & POLLHUP);
	close(fd);
}

TEST(a_waiter_killed_at_any_moment_leaves_neither_lock_nor_process)
{
	uint64_t random = run_seed();
	struct stoa_file_lock *lock = open_lock("f");

	for (int i = 0; i < KILLS; i++) {
		struct victim victim = { .holder = { .path = case_path("f"),
			                             .ranges = i & 1 } };
		struct child child;

		assert_system(pipe2(victim.ends, O_CLOEXEC));
		assert_ok(lock_kind(lock, i & 1, EXCLUSIVE, STOA_FOREVER));
		child = start_child(wait_over_and_over, &victim);
		close(victim.ends[1]);
		await_report(&child);
		if (i & 2)
			until_kernel_waiters(victim.holder.path, 1);
		if (i & 4)
			assert_ok(unlock_kind(lock, i & 1));
		pass_time(&random);
		kill_child(&child);
		assert_all_gone(victim.ends[0]);
		assert_int_equal(count_kernel_waiters(victim.holder.path), 0);
		assert_ok(lock_kind(lock, i & 1, EXCLUSIVE, STOA_FOREVER));
		assert_ok(unlock_kind(lock, i & 1));
	}
	close_lock(lock, "f");
}

TEST(who_waits_for_a_holder_that_is_killed_has_the_lock)
{
	uint64_t random = run_seed();
	struct stoa_file_lock *lock = open_lock("f");

	for (int i = 0; i < KILLS; i++) {
		struct child holder = start_waiter(case_path("f"), i & 1,
		                                   STOA_FOREVER, 0);
		struct child waiter;

		assert_int_equal(await_report(&holder), 0);
		waiter = start_waiter(case_path("f"), i & 1,
		                      stoa_deadline_in(AMPLE), 0);
		if (i & 2)
			until_child_waits(case_path("f"), &waiter);
		pass_time(&random);
		kill_child(&holder);
		assert_int_equal(await_report(&waiter), 0);
		kill_child(&waiter);
		assert_ok(lock_kind(lock, i & 1, EXCLUSIVE, STOA_FOREVER));
		assert_ok(unlock_kind(lock, i & 1));
	}
	close_lock(lock, "f");
}

static void *execute(void *context)
{
	(void)context;
	until_kernel_waiters(case_path("f"), 1);
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	return NULL;
}

static void wait_and_execute(void *context)
{
	struct victim *victim = context;
	struct stoa_file_lock *lock = open_path(&victim->holder);
	pthread_t thread;

	close(victim->ends[0]);
	pthread_create(&thread, NULL, execute, NULL);
	lock_kind(lock, victim->holder.ranges, EXCLUSIVE,
	          stoa_deadline_in(AMPLE));
}

TEST(another_program_executed_amid_a_wait_ends_it)
{
	struct stoa_file_lock *lock = open_lock("f");

	for (int ranges = 0; ranges < 2; ranges++) {
		struct victim victim = { .holder = { .path = case_path("f"),
			                             .ranges = ranges } };
		struct child child;

		assert_system(pipe2(victim.ends, O_CLOEXEC));
		assert_ok(lock_kind(lock, ranges, EXCLUSIVE, STOA_NOW));
		child = start_child(wait_and_execute, &victim);
		close(victim.ends[1]);
		/* Close-on-exec, and held by nobody else. */
		assert_all_gone(victim.ends[0]);
		assert_int_equal(count_kernel_waiters(victim.holder.path), 0);
		assert_ok(unlock_kind(lock, ranges));
		assert_ok(lock_kind(lock, ranges, EXCLUSIVE, STOA_FOREVER));
		assert_ok(unlock_kind(lock, ranges));
		kill_child(&child);
	}
	close_lock(lock, "f");
}

static const struct CMUnitTest cases[] = {
	CASE(a_deadline_ends_the_wait_and_nothing_is_held),
	CASE(a_deadline_on_the_clock_of_the_day_ends_the_wait),
	CASE(who_waits_has_the_lock_when_it_is_free),
	CASE(a_lock_granted_as_the_deadline_comes_is_had_or_not_had),
	CASE(two_who_wait_for_one_another_are_not_told_and_a_deadline_is_the_way_out),
	CASE(a_handler_ends_a_wait_that_may_be_interrupted),
	CASE(a_handler_ends_no_other_wait),
	CASE(the_caller_sees_no_child_and_its_handlers_run_in_it_alone),
	CASE(a_wait_keeps_the_mask_of_signals_and_takes_no_descriptor_with_it),
	CASE(a_process_that_may_make_no_other_is_told_and_waits_without_a_deadline),
	CASE(a_process_without_descriptors_is_told),
	CASE(a_waiter_killed_at_any_moment_leaves_neither_lock_nor_process),
	CASE(who_waits_for_a_holder_that_is_killed_has_the_lock),
	CASE(another_program_executed_amid_a_wait_ends_it),
};

MAIN(cases)
