/* SPDX-License-Identifier: MIT */
/* Making and opening FIFOs, and waiting for the other side. */
#include "fifo.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { OURS, THEIRS }; /* whose way of opening */

struct side {
	unsigned end;
	int way;
};

static void come(void *context)
{
	struct side *side = context;

	if (side->way == OURS) {
		stoa_fifo_close(open_fifo(side->end, STOA_FOREVER));
	} else {
		int fd = open(case_path("f"), side->end == STOA_READ ?
		                                      O_RDONLY :
		                                      O_WRONLY);

		assert_true(fd >= 0);
		close(fd);
	}
}

/* Whoever comes first, and whichever way the other opens. */
TEST(each_end_waits_for_the_other)
{
	for (int way = OURS; way <= THEIRS; way++)
		for (unsigned end = STOA_READ; end <= STOA_WRITE; end++)
			for (int first = 0; first < 2; first++) {
				struct side other = {
					end == STOA_READ ? STOA_WRITE :
					                   STOA_READ,
					way
				};

				assert_ok(stoa_fifo_create(case_path("f"),
				                           0600));
				struct child child = start_child(come, &other);
				if (first && way == OURS)
					until_blocked(child.pid);
				stoa_fifo_close(open_fifo(end, STOA_FOREVER));
				end_child(&child);
				remove_fifo();
			}
}

TEST(a_wait_in_vain_leaves_nothing)
{
	struct stoa_fifo *fifo = NULL;
	int64_t began = now_ns();

	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	for (unsigned end = STOA_READ; end <= STOA_WRITE; end++) {
		assert_result(stoa_fifo_open(case_path("f"), end, 0,
		                             stoa_deadline_in(20 * MS), &fifo),
		              -ETIMEDOUT);
		assert_null(fifo);
		/* No reader was left that a writer would find. */
		assert_result(stoa_fifo_open(case_path("f"), STOA_WRITE, 0,
		                             STOA_NOW, &fifo),
		              -EAGAIN);
	}
	assert_true(now_ns() - began >= 40 * MS);
	struct timespec soon;
	struct stoa_deadline deadline;
	clock_gettime(CLOCK_REALTIME, &soon);
	assert_ok(stoa_deadline_at(CLOCK_REALTIME, &soon, &deadline));
	deadline.ns += 60 * MS;
	assert_result(stoa_fifo_open(case_path("f"), STOA_READ, 0, deadline,
	                             &fifo),
	              -ETIMEDOUT);
	remove_fifo();
}

static void wait_for_reader(void *context)
{
	struct stoa_fifo *fifo = open_fifo(STOA_WRITE, STOA_FOREVER);

	(void)context;
	put_bytes(fifo, "a");
	report(1);
	stoa_fifo_close(fifo);
}

TEST(waiting_writers_do_not_wake_each_other)
{
	struct stoa_fifo *fifo = NULL;

	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	struct child child = start_child(wait_for_reader, NULL);
	until_blocked(child.pid);
	for (int i = 0; i < 5; i++)
		assert_result(stoa_fifo_open(case_path("f"), STOA_WRITE, 0,
		                             stoa_deadline_in(10 * MS), &fifo),
		              -ETIMEDOUT);
	assert_false(has_report(&child));
	fifo = open_fifo(STOA_READ, STOA_FOREVER);
	assert_int_equal(await_report(&child), 1);
	end_child(&child);
	assert_bytes(fifo, "a");
	assert_read(fifo, 0);
	stoa_fifo_close(fifo);
	remove_fifo();
}

static void killed_while_waiting(void *context)
{
	open_fifo(*(unsigned *)context, STOA_FOREVER);
	report(1);
}

TEST(who_is_killed_while_it_waits_is_not_found)
{
	struct stoa_fifo *fifo = NULL;

	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	for (int i = 0; i < 20; i++) {
		unsigned end = i % 2 ? STOA_READ : STOA_WRITE;
		unsigned other = i % 2 ? STOA_WRITE : STOA_READ;
		struct child child = start_child(killed_while_waiting, &end);

		if (i >= 10)
			until_blocked(child.pid);
		kill_child(&child);
		assert_result(stoa_fifo_open(case_path("f"), other, 0,
		                             stoa_deadline_in(2 * MS), &fifo),
		              -ETIMEDOUT);
	}
	remove_fifo();
}

static void nothing(int number)
{
	(void)number;
}

static void open_interruptibly(void *context)
{
	struct sigaction action = { .sa_handler = nothing };
	struct stoa_fifo *fifo;
	unsigned end = *(unsigned *)context;

	assert_system(sigaction(SIGUSR1, &action, NULL));
	report(0);
	assert_result(stoa_fifo_open(case_path("f"),
	                             end | STOA_INTERRUPTIBLE, 0, STOA_FOREVER,
	                             &fifo),
	              -EINTR);
	report(1);
}

static void open_in_spite(void *context)
{
	struct sigaction action = { .sa_handler = nothing };

	assert_system(sigaction(SIGUSR1, &action, NULL));
	report(0);
	stoa_fifo_close(open_fifo(*(unsigned *)context, STOA_FOREVER));
}

TEST(handlers_end_an_open_only_if_that_was_asked_for)
{
	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	for (unsigned end = STOA_READ; end <= STOA_WRITE; end++) {
		struct child child = start_child(open_interruptibly, &end);

		assert_int_equal(await_report(&child), 0);
		signal_until_report(&child, SIGUSR1);
		assert_int_equal(await_report(&child), 1);
		end_child(&child);
		child = start_child(open_in_spite, &end);
		assert_int_equal(await_report(&child), 0);
		for (int i = 0; i < 50; i++) {
			assert_system(kill(child.pid, SIGUSR1));
			sched_yield();
		}
		stoa_fifo_close(open_fifo(end ^ (STOA_READ | STOA_WRITE),
		                          STOA_FOREVER));
		end_child(&child);
	}
	remove_fifo();
}

/* ---- What is there --------------------------------------------------------------- */

TEST(what_is_no_fifo_is_left_alone)
{
	struct stoa_fifo *fifo = NULL;
	struct stat before, after;
	int file = open(case_path("f"), O_CREAT | O_WRONLY, 0600);

	assert_int_equal(write(file, "text", 4), 4);
	close(file);
	assert_system(stat(case_path("f"), &before));
	assert_result(stoa_fifo_open(case_path("f"), STOA_WRITE | STOA_CREATE,
	                             0666, STOA_NOW, &fifo),
	              -EPROTO);
	assert_sentence("is no FIFO");
	assert_result(stoa_fifo_create(case_path("f"), 0666), -EEXIST);
	assert_sentence("is no FIFO");
	assert_result(stoa_fifo_unlink(case_path("f")), -EPROTO);
	assert_system(stat(case_path("f"), &after));
	assert_memory_equal(&before, &after, sizeof(before));
	assert_system(unlink(case_path("f")));
	assert_result(stoa_fifo_open(case_directory(), STOA_READ, 0, STOA_NOW,
	                             &fifo),
	              -EPROTO);
	assert_result(stoa_fifo_open(case_path("f"), STOA_READ, 0, STOA_NOW,
	                             &fifo),
	              -ENOENT);
	assert_result(stoa_fifo_unlink(case_path("f")), -ENOENT);
	assert_result(stoa_fifo_create(case_path("none/f"), 0600), -ENOENT);
	assert_sentence("none/f");
	assert_null(fifo);
}

TEST(flags_and_modes_that_can_not_be_are_refused)
{
	static const unsigned wrong[] = { 0, STOA_READ | STOA_WRITE,
		                          STOA_CREATE, STOA_READ | STOA_SHARED,
		                          STOA_WRITE | STOA_FIFO_STAYS };
	struct stoa_fifo *fifo = NULL;

	for (size_t i = 0; i < LENGTH(wrong); i++)
		assert_result(stoa_fifo_open(case_path("f"),
		                             wrong[i] | STOA_CREATE, 0600,
		                             STOA_NOW, &fifo),
		              -EINVAL);
	assert_result(stoa_fifo_create(case_path("f"), 010000), -EINVAL);
	assert_int_equal(access(case_path("f"), F_OK), -1);
	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	assert_result(stoa_fifo_open(case_path("f"),
	                             STOA_READ | STOA_CREATE | STOA_EXCLUSIVE,
	                             0600, STOA_NOW, &fifo),
	              -EEXIST);
	assert_sentence("already");
	stoa_fifo_close(NULL);
	remove_fifo();
}

TEST(the_mode_is_exact)
{
	struct stat stat;
	mode_t before = umask(077);

	assert_ok(stoa_fifo_create(case_path("f"), 0666));
	assert_system(lstat(case_path("f"), &stat));
	assert_int_equal(stat.st_mode, S_IFIFO | 0666);
	umask(before);
	remove_fifo();
}

static void open_as_nobody(void *context)
{
	struct stoa_fifo *fifo;

	(void)context;
	become_nobody();
	assert_result(stoa_fifo_open(case_path("f"), STOA_READ, 0, STOA_NOW,
	                             &fifo),
	              -EACCES);
	assert_sentence("mode 600");
	assert_sentence("user 65534");
}

TEST(who_may_not_is_told_why)
{
	skip_unless_root();
	assert_system(chmod(case_directory(), 0755));
	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	struct child child = start_child(open_as_nobody, NULL);
	end_child(&child);
	assert_system(chmod(case_directory(), 0700));
	remove_fifo();
}

static void tell_descriptors(void *context)
{
	(void)context;
	execlp("sh", "sh", "-c", "ls -l /proc/self/fd | grep -c 'stoa-test'",
	       (char *)NULL);
	_exit(127);
}

TEST(no_descriptor_goes_through_exec)
{
	struct stoa_fifo *reader = open_reader();
	struct stoa_fifo *writer = open_writer();

	assert_good(stoa_fifo_pollfd(reader));
	struct child child = start_child(tell_descriptors, NULL);
	int status;
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1); /* grep found none */
	close(child.reports);
	close(child.orders);
	stoa_fifo_close(writer);
	stoa_fifo_close(reader);
	remove_fifo();
}

static const struct CMUnitTest cases[] = {
	CASE(each_end_waits_for_the_other),
	CASE(a_wait_in_vain_leaves_nothing),
	CASE(waiting_writers_do_not_wake_each_other),
	CASE(who_is_killed_while_it_waits_is_not_found),
	CASE(handlers_end_an_open_only_if_that_was_asked_for),
	CASE(what_is_no_fifo_is_left_alone),
	CASE(flags_and_modes_that_can_not_be_are_refused),
	CASE(the_mode_is_exact),
	CASE(who_may_not_is_told_why),
	CASE(no_descriptor_goes_through_exec),
};

MAIN(cases)
