/* SPDX-License-Identifier: MIT */
/* Beside flock(1), lockf(3) and fcntl(2), and who is in the way. */
#include "file_lock.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define SHARED STOA_RANGE_SHARED
#define EXCLUSIVE STOA_RANGE_EXCLUSIVE

enum { ROUNDS = 200, WRITERS = 3, LOOKS = 1000 };

struct job {
	const char *path;
	struct stoa_file_lock *lock, *holding;
};

/* ---- flock(1) ---------------------------------------------------------------- */

static int run_flock(const char *first, const char *second)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execlp("flock", "flock", first, second, case_path("f"), "true",
		       (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		skip_case("needs flock(1)");
	return status;
}

TEST(flock_sees_what_is_locked_whole)
{
	struct stoa_file_lock *lock = open_lock("f");

	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	assert_int_equal(WEXITSTATUS(run_flock("-n", "-s")), 1);
	assert_result(stoa_file_lock_lock(lock, SHARED, STOA_NOW), 1);
	assert_int_equal(WEXITSTATUS(run_flock("-n", "-s")), 0);
	assert_int_equal(WEXITSTATUS(run_flock("-n", "-x")), 1);
	assert_ok(stoa_file_lock_unlock(lock));
	assert_int_equal(WEXITSTATUS(run_flock("-n", "-x")), 0);
	close_lock(lock, "f");
}

/* Its command makes a file when it has begun. */
static void hold_by_flock(void *context)
{
	struct job *job = context;

	dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
	assert_system(chdir(case_directory()));
	execlp("flock", "flock", job->path, "sh", "-c",
	       ">begun; exec sleep 1000", (char *)NULL);
	_exit(EXIT_SKIPPED);
}

TEST(what_flock_has_is_waited_for_and_its_holder_named)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct stoa_file_lock_blocker blocker;
	struct job job = { .path = case_path("f") };
	struct child child;

	run_flock("-n", "-x");
	child = start_child(hold_by_flock, &job);
	while (access(case_path("begun"), F_OK) != 0)
		sched_yield();
	assert_result(stoa_file_lock_test(lock, SHARED, &blocker), 1);
	assert_int_equal(blocker.kind, STOA_FILE_LOCK_WHOLE);
	assert_int_equal(blocker.range.mode, EXCLUSIVE);
	assert_true(blocker.pid > 0);
	assert_true(blocker.command[0]);
	assert_result(stoa_file_lock_lock(lock, SHARED,
	                                  stoa_deadline_in(5 * MS)), -ETIMEDOUT);
	/* flock, whose number the kernel has, is gone; what it ran holds on. */
	kill_child(&child);
	assert_result(stoa_file_lock_test(lock, SHARED, &blocker), 1);
	assert_true(blocker.pid > 0);
	assert_int_not_equal(blocker.pid, child.pid);
	assert_system(kill(blocker.pid, SIGKILL));
	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_FOREVER));
	assert_system(unlink(case_path("begun")));
	close_lock(lock, "f");
}

/* ---- lockf and fcntl ------------------------------------------------------------ */

static void hold_by_lockf(void *context)
{
	struct job *job = context;
	int fd = open(job->path, O_RDWR | O_CLOEXEC);

	assert_system(lseek(fd, 100, SEEK_SET));
	assert_system(lockf(fd, F_TLOCK, 50));
	report(0);
	await_order();
	assert_system(lockf(fd, F_ULOCK, 50));
	report(0);
	await_order();
	assert_int_equal(lockf(fd, F_TEST, 50), -1);
	/* Waits for stoa's. */
	assert_system(lockf(fd, F_LOCK, 50));
	report(0);
	close(fd);
}

TEST(a_program_of_lockf_and_a_range_take_turns)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct stoa_file_lock_blocker blocker;
	struct stoa_range range = bytes_of(120, 100, SHARED);
	struct job job = { .path = case_path("f") };
	struct child child = start_child(hold_by_lockf, &job);

	await_report(&child);
	assert_result(stoa_file_lock_lock_range(lock, &range, STOA_NOW),
	              -EAGAIN);
	assert_result(stoa_file_lock_lock_range(lock, &range,
	                                        stoa_deadline_in(5 * MS)),
	              -ETIMEDOUT);
	assert_result(stoa_file_lock_test_range(lock, &range, NULL), 1);
	assert_result(stoa_file_lock_test_range(lock, &range, &blocker), 1);
	assert_int_equal(blocker.kind, STOA_FILE_LOCK_PROCESS);
	assert_int_equal(blocker.pid, child.pid);
	assert_int_equal(blocker.range.start, 100);
	assert_int_equal(blocker.range.length, 50);
	assert_int_equal(blocker.range.mode, EXCLUSIVE);
	assert_true(blocker.command[0]);
	give_order(&child, 0);
	await_report(&child);
	range.mode = EXCLUSIVE;
	assert_ok(stoa_file_lock_lock_range(lock, &range, STOA_FOREVER));
	give_order(&child, 0);
	until_child_waits(job.path, &child);
	assert_false(has_report(&child));
	assert_ok(stoa_file_lock_unlock_range(lock, &range));
	await_report(&child);
	end_child(&child);
	close_lock(lock, "f");
}

/* Old locks of this process are others', too: the owner is the description. */
TEST(a_range_is_not_lost_when_another_descriptor_of_the_file_is_closed)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct flock old = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(case_path("f"), O_RDWR | O_CLOEXEC);

	assert_ok(stoa_file_lock_lock_range(lock, NULL, STOA_NOW));
	assert_int_equal(fcntl(fd, F_SETLK, &old), -1);
	close(fd);
	assert_false(can_lock_range("f", bytes_of(0, 0, SHARED)));
	close_lock(lock, "f");
}

/* ---- Who has a description -------------------------------------------------------- */

static void hold_range(void *context)
{
	struct stoa_range range = bytes_of(10, 0, SHARED);
	struct job *job = context;
	struct stoa_file_lock *lock;

	assert_system(prctl(PR_SET_NAME, "a holder"));
	assert_ok(stoa_file_lock_open(job->path, STOA_READ, 0, &lock));
	assert_ok(stoa_file_lock_lock_range(lock, &range, STOA_NOW));
	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_NOW));
	report(0);
	await_order();
	stoa_file_lock_close(lock);
}

TEST(the_holder_of_a_description_is_found_though_the_kernel_does_not_name_it)
{
	struct stoa_file_lock *lock = open_lock("f"), *decoy = open_lock("g");
	struct stoa_range own = bytes_of(0, 5, EXCLUSIVE);
	struct stoa_file_lock_blocker blocker;
	struct job job = { .path = case_path("f") };
	struct child child;

	assert_ok(stoa_file_lock_lock_range(decoy, NULL, STOA_NOW));
	assert_ok(stoa_file_lock_lock(decoy, EXCLUSIVE, STOA_NOW));
	/* What the handle has itself is not in its way. */
	assert_ok(stoa_file_lock_lock_range(lock, &own, STOA_NOW));
	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_NOW));
	assert_result(stoa_file_lock_test(lock, EXCLUSIVE, &blocker), 0);
	assert_result(stoa_file_lock_test_range(lock, NULL, &blocker), 0);
	child = start_child(hold_range, &job);
	await_report(&child);
	assert_result(stoa_file_lock_test_range(lock, NULL, &blocker), 1);
	assert_int_equal(blocker.kind, STOA_FILE_LOCK_RANGE);
	assert_int_equal(blocker.range.start, 10);
	assert_int_equal(blocker.range.length, 0);
	assert_int_equal(blocker.range.mode, SHARED);
	assert_int_equal(blocker.pid, child.pid);
	assert_string_equal(blocker.command, "a holder");
	memset(&blocker, 0, sizeof(blocker));
	assert_result(stoa_file_lock_test(lock, SHARED, &blocker), 0);
	assert_result(stoa_file_lock_test(lock, EXCLUSIVE, &blocker), 1);
	assert_int_equal(blocker.pid, child.pid);
	assert_int_equal(blocker.range.mode, SHARED);
	give_order(&child, 0);
	end_child(&child);
	assert_result(stoa_file_lock_test(lock, EXCLUSIVE, &blocker), 0);
	close_lock(decoy, "g");
	close_lock(lock, "f");
}

TEST(another_handle_of_this_process_is_in_the_way_by_this_name)
{
	struct stoa_file_lock *lock = open_lock("f"), *other = open_lock("f");
	struct stoa_file_lock_blocker blocker;

	assert_ok(stoa_file_lock_lock_range(other, NULL, STOA_NOW));
	assert_ok(stoa_file_lock_lock(other, EXCLUSIVE, STOA_NOW));
	assert_result(stoa_file_lock_test_range(lock, NULL, &blocker), 1);
	assert_int_equal(blocker.pid, getpid());
	assert_result(stoa_file_lock_test(lock, SHARED, &blocker), 1);
	assert_int_equal(blocker.pid, getpid());
	stoa_file_lock_close(other);
	close_lock(lock, "f");
}

static void look_as_nobody(void *context)
{
	struct job *job = context;
	struct stoa_file_lock_blocker blocker;

	stoa_file_lock_close(job->holding); /* else this process has it, too */
	become_nobody();
	assert_result(stoa_file_lock_test(job->lock, SHARED, &blocker), 1);
	/* The kernel's table says who took it. */
	assert_int_equal(blocker.pid, getppid());
	assert_result(stoa_file_lock_test_range(job->lock, NULL, &blocker), 1);
	assert_int_equal(blocker.kind, STOA_FILE_LOCK_RANGE);
	assert_int_equal(blocker.pid, 0);
	assert_string_equal(blocker.command, "");
}

TEST(of_another_users_descriptors_only_the_table_tells)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct job job = { .lock = open_lock("f"), .holding = lock };
	struct child child;

	skip_unless_root();
	assert_ok(stoa_file_lock_lock_range(lock, NULL, STOA_NOW));
	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	child = start_child(look_as_nobody, &job);
	end_child(&child);
	stoa_file_lock_close(job.lock);
	close_lock(lock, "f");
}

/* Takes locks and gives them back, of so many files that the table is long. */
static void change_the_table(void *context)
{
	enum { FILES = 400 };
	uint64_t random = run_seed();
	int fds[FILES];

	(void)context;
	for (int i = 0; i < FILES; i++)
		fds[i] = (int)assert_system(memfd_create("f", MFD_CLOEXEC));
	report(0);
	for (;;)
		assert_system(flock(fds[random_below(&random, FILES)],
		                    random_below(&random, 2) ? LOCK_EX :
		                                               LOCK_UN));
}

static void look_often(void *context)
{
	struct job *job = context;

	stoa_file_lock_close(job->holding);
	become_nobody();
	for (int i = 0; i < LOOKS; i++)
		assert_result(stoa_file_lock_test(job->lock, SHARED, NULL), 1);
}

TEST(a_long_table_that_changes_tells_all_the_same)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct job job = { .lock = open_lock("f"), .holding = lock };
	struct child child, other;

	skip_unless_root();
	other = start_child(change_the_table, NULL);
	await_report(&other);
	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	child = start_child(look_often, &job);
	end_child(&child);
	kill_child(&other);
	stoa_file_lock_close(job.lock);
	close_lock(lock, "f");
}

/* ---- Taking turns --------------------------------------------------------------------- */

/* Adds to the number in the file; whoever comes between loses one. */
static void add_one(int fd)
{
	long number = 0;

	assert_int_equal(pread(fd, &number, sizeof(number), 0), sizeof(number));
	number++;
	sched_yield();
	assert_int_equal(pwrite(fd, &number, sizeof(number), 0), sizeof(number));
}

static void add_by_stoa(void *context)
{
	struct job *job = context;
	struct stoa_range range = bytes_of(0, 8, EXCLUSIVE);
	struct stoa_file_lock *lock;

	assert_ok(stoa_file_lock_open(job->path, STOA_READ | STOA_WRITE, 0,
	                              &lock));
	for (int i = 0; i < ROUNDS; i++) {
		assert_ok(stoa_file_lock_lock_range(
		        lock, &range,
		        i & 1 ? STOA_FOREVER : stoa_deadline_in(AMPLE)));
		add_one(stoa_file_lock_fd(lock));
		assert_ok(stoa_file_lock_unlock_range(lock, &range));
	}
	stoa_file_lock_close(lock);
}

static void add_by_lockf(void *context)
{
	struct job *job = context;
	int fd = open(job->path, O_RDWR | O_CLOEXEC);

	for (int i = 0; i < ROUNDS; i++) {
		assert_system(lockf(fd, F_LOCK, 8));
		add_one(fd);
		assert_system(lockf(fd, F_ULOCK, 8));
	}
	close(fd);
}

TEST(programs_of_both_kinds_take_turns_at_one_number)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct job job = { .path = case_path("f") };
	struct child children[2 * WRITERS];
	long number = 0;

	assert_int_equal(pwrite(stoa_file_lock_fd(lock), &number,
	                        sizeof(number), 0), sizeof(number));
	for (int i = 0; i < 2 * WRITERS; i++)
		children[i] = start_child(i & 1 ? add_by_lockf : add_by_stoa,
		                          &job);
	for (int i = 0; i < 2 * WRITERS; i++)
		end_child(&children[i]);
	assert_int_equal(pread(stoa_file_lock_fd(lock), &number,
	                       sizeof(number), 0), sizeof(number));
	assert_int_equal(number, 2 * WRITERS * ROUNDS);
	close_lock(lock, "f");
}

static const struct CMUnitTest cases[] = {
	CASE(flock_sees_what_is_locked_whole),
	CASE(what_flock_has_is_waited_for_and_its_holder_named),
	CASE(a_program_of_lockf_and_a_range_take_turns),
	CASE(a_range_is_not_lost_when_another_descriptor_of_the_file_is_closed),
	CASE(the_holder_of_a_description_is_found_though_the_kernel_does_not_name_it),
	CASE(another_handle_of_this_process_is_in_the_way_by_this_name),
	CASE(of_another_users_descriptors_only_the_table_tells),
	CASE(a_long_table_that_changes_tells_all_the_same),
	CASE(programs_of_both_kinds_take_turns_at_one_number),
};

MAIN(cases)
