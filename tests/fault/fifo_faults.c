/* SPDX-License-Identifier: MIT */
/* Every operation on FIFOs while its n-th system call fails, and on kernels that
 * lack what newer ones have: nothing leaks, nothing is lost. */
#define STOA_TESTING /* shows the hook */
#include "fifo.h"
#include "signals.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <base/system.h>

enum { RUNS_MAX = 200, WAIT_MS = 3, AMPLE_MS = 60000 };

/* ---- The hooks ---------------------------------------------------------------- */

static struct {
	int error;
	unsigned at, seen;
	bool old; /* a kernel without io_uring and writes without SIGPIPE */
} injection;

/* What each call could really give. */
static const struct plausible {
	long number;
	int errors[6];
} plausible[] = {
	{ SYS_openat, { EMFILE, ENFILE, ENOMEM, EACCES } },
	{ SYS_mknodat, { ENOSPC, ENOMEM, EACCES } },
	{ SYS_fchmodat, { EIO, ENOMEM, EACCES } },
	{ SYS_unlinkat, { EIO, ENOMEM, EACCES } },
	{ SYS_fstat, { ENOMEM, EIO } },
	{ SYS_fcntl, { ENOMEM } },
	{ SYS_pipe2, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_dup3, { ENOMEM, EINTR } },
	{ SYS_tee, { EINTR } },
	{ SYS_ppoll, { EINTR, ENOMEM } },
	{ SYS_read, { EINTR, EIO, EAGAIN } },
	{ SYS_write, { EINTR, EAGAIN, ENOMEM } },
	{ SYS_pwritev2, { EINTR, EAGAIN, ENOMEM } },
	{ SYS_rt_sigtimedwait, { EINTR } },
	{ SYS_epoll_create1, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_epoll_ctl, { ENOMEM, ENOSPC } },
	{ SYS_io_uring_setup, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_io_uring_enter, { EINTR, EAGAIN } },
	{ SYS_mmap, { ENOMEM } },
};

static bool could_give(long number, int error)
{
	for (size_t i = 0; i < LENGTH(plausible); i++)
		for (size_t e = 0; e < LENGTH(plausible[i].errors); e++)
			if (plausible[i].number == number &&
			    plausible[i].errors[e] == error)
				return true;
	return false;
}

static long inject(long number, const long argument[6], int *ret_handled)
{
	(void)argument;
	*ret_handled = 1;
	if (injection.old && number == SYS_io_uring_setup)
		return -ENOSYS;
	if (injection.old && number == SYS_pwritev2)
		return -EOPNOTSUPP;
	if (injection.error != 0 && could_give(number, injection.error) &&
	    ++injection.seen == injection.at)
		return -injection.error;
	*ret_handled = 0;
	return 0;
}

static void set_kernel(bool old)
{
	memset(&injection, 0, sizeof(injection));
	injection.old = old;
	stoa_system_hook = inject;
}

static void inject_at(int error, unsigned n)
{
	injection.error = error;
	injection.at = n;
	injection.seen = 0;
}

static bool injected(void)
{
	injection.error = 0;
	return injection.seen >= injection.at;
}

/* ---- Each operation ------------------------------------------------------------- */

static struct stoa_fifo *reader, *writer, *other;

struct case_ {
	const char *name;
	long long (*run)(void);
	void (*undo)(void); /* after a success */
};

static long long create(void)
{
	return stoa_fifo_create(case_path("new"), 0622);
}

static void undo_create(void)
{
	assert_ok(stoa_fifo_unlink(case_path("new")));
}

static long long open_end(unsigned flags, struct stoa_deadline deadline)
{
	return stoa_fifo_open(case_path("f"), flags, 0, deadline, &other);
}

static long long open_to_read(void)
{
	return open_end(STOA_READ, STOA_FOREVER);
}

static long long open_to_write(void)
{
	return open_end(STOA_WRITE, STOA_FOREVER);
}

static void close_other(void)
{
	stoa_fifo_close(other);
}

static long long open_in_vain(void)
{
	long long result = stoa_fifo_open(
	        case_path("lonely"), STOA_READ | STOA_CREATE, 0600,
	        stoa_deadline_in(WAIT_MS * MS), &other);
	int there = access(case_path("lonely"), F_OK) == 0;

	unlink(case_path("lonely"));
	if (result == -ETIMEDOUT)
		return there ? 0 : 1;
	return result;
}

static long long write_one(void)
{
	long long result = stoa_fifo_write(writer, "one", 3,
	                                   stoa_deadline_in(AMPLE_MS * MS));

	return result == 3 ? 0 : result;
}

static void undo_write(void)
{
	assert_bytes(reader, "one");
}

static long long write_to_nobody(void)
{
	long long result = stoa_fifo_write(other, "one", 3,
	                                   stoa_deadline_in(AMPLE_MS * MS));

	return result == -EPIPE ? 0 : result;
}

static long long poll_descriptor(void)
{
	long long result = open_end(STOA_READ, STOA_NOW);

	if (result < 0)
		return result;
	result = stoa_fifo_pollfd(other);
	stoa_fifo_close(other);
	return result < 0 ? result : 0;
}

static long long tell(void)
{
	struct stoa_fifo_status status = { .size = sizeof(status) };

	return stoa_fifo_stat(reader, &status);
}

static long long await(void)
{
	return stoa_fifo_await(writer, STOA_FOREVER);
}

static const struct case_ operations[] = {
	{ "create", create, undo_create },
	{ "open to read", open_to_read, close_other },
	{ "open to write", open_to_write, close_other },
	{ "open in vain", open_in_vain, NULL },
	{ "write", write_one, undo_write },
	{ "poll", poll_descriptor, NULL },
	{ "stat", tell, NULL },
	{ "await", await, NULL },
};

static void run_one(const struct case_ *operation, int error)
{
	for (unsigned n = 1; n < RUNS_MAX; n++) {
		int descriptors = count_descriptors();
		long long result;
		bool came;

		inject_at(error, n);
		result = operation->run();
		came = injected();
		if (result == 0 && operation->undo)
			operation->undo();
		if (result > 0 || (result < 0 && result != -error) ||
		    (result < 0 && error == EINTR))
			fail_msg("%s: error %d at call %u gave %lld",
			         operation->name, error, n, result);
		if (operation->run == create && result < 0 &&
		    access(case_path("new"), F_OK) == 0) {
			/* If its removal failed, too, it may be there. */
			assert_system(unlink(case_path("new")));
			assert_int_not_equal(error, 0);
		}
		if (count_descriptors() != descriptors)
			fail_msg("%s: error %d at call %u leaks a descriptor",
			         operation->name, error, n);
		if (!came) {
			assert_int_equal(result, 0);
			return;
		}
	}
	fail_msg("%s has no end", operation->name);
}

static const int errors[] = { EMFILE, ENFILE, ENOMEM, EINTR,
	                      EAGAIN, EIO,    EACCES, ENOSPC };

static void sweep_all(bool old)
{
	reader = open_reader();
	writer = open_writer();
	set_kernel(old);
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			run_one(&operations[i], errors[e]);
	stoa_system_hook = NULL;
	stoa_fifo_close(writer);
	stoa_fifo_close(reader);
	remove_fifo();
}

TEST(every_operation_survives_every_failing_call)
{
	sweep_all(false);
}

TEST(so_it_does_on_an_old_kernel)
{
	sweep_all(true);
}

/* Reading on over an end of file, which opens the FIFO anew. */
static void read_over_an_end(int error, unsigned n, bool *ret_came)
{
	char byte;
	ssize_t result;
	int tries = 0;

	put_bytes(writer, "a");
	stoa_fifo_close(writer);
	inject_at(error, n);
	do
		result = stoa_fifo_read(reader, &byte, 1, STOA_NOW);
	while (result < 0 && ++tries < 3);
	assert_int_equal(result, 1);
	do
		result = stoa_fifo_read(reader, &byte, 1, STOA_NOW);
	while (result < 0 && ++tries < 3);
	assert_int_equal(result, 0);
	*ret_came = injected();
	/* It may say the end once more if it couldn't begin anew. */
	result = stoa_fifo_read(reader, &byte, 1, STOA_NOW);
	assert_true(result == -EAGAIN || (*ret_came && result == 0));
	writer = open_writer();
}

TEST(an_end_of_file_is_told_whatever_fails)
{
	reader = open_reader();
	writer = open_writer();
	assert_good(stoa_fifo_pollfd(reader));
	set_kernel(false);
	for (size_t e = 0; e < LENGTH(errors); e++) {
		bool came = true;

		for (unsigned n = 1; came && n < RUNS_MAX; n++) {
			int descriptors = count_descriptors();

			read_over_an_end(errors[e], n, &came);
			assert_int_equal(count_descriptors(), descriptors);
		}
	}
	stoa_system_hook = NULL;
	stoa_fifo_close(writer);
	stoa_fifo_close(reader);
	remove_fifo();
}

/* ---- Old kernels ---------------------------------------------------------------- */

TEST(an_old_kernel_sends_no_sigpipe_either)
{
	stoa_signal_set before = 0, after = 0;

	signal(SIGPIPE, SIG_DFL);
	set_kernel(true);
	reader = open_reader();
	other = open_writer();
	stoa_fifo_close(reader);
	for (int blocked = 0; blocked < 2; blocked++) {
		if (blocked) {
			/* One that is there already stays. */
			block(STOA_SIGNAL(SIGPIPE));
			assert_system(raise(SIGPIPE));
		}
		assert_ok(stoa_signal_blocked(&before));
		for (size_t e = 0; e < LENGTH(errors); e++)
			run_one(&(struct case_){ "write to nobody",
			                         write_to_nobody, NULL },
			        errors[e]);
		assert_ok(stoa_signal_blocked(&after));
		assert_true(before == after);
		assert_ok(stoa_signal_pending(&after));
		assert_int_equal((after & STOA_SIGNAL(SIGPIPE)) != 0, blocked);
	}
	stoa_system_hook = NULL;
	signal(SIGPIPE, SIG_IGN);
	stoa_fifo_close(other);
	remove_fifo();
}

struct side {
	unsigned end;
	bool old;
};

static void come(void *context)
{
	struct side *side = context;

	if (side->old)
		set_kernel(true);
	report(0);
	stoa_fifo_close(open_fifo(side->end, STOA_FOREVER));
}

TEST(old_and_new_kernels_wait_alike)
{
	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	for (unsigned end = STOA_READ; end <= STOA_WRITE; end++)
		for (int theirs = 0; theirs < 2; theirs++) {
			struct side side = { end, theirs };
			struct child child = start_child(come, &side);

			assert_int_equal(await_report(&child), 0);
			set_kernel(true);
			stoa_fifo_close(
			        open_fifo(end ^ (STOA_READ | STOA_WRITE),
			                  STOA_FOREVER));
			stoa_system_hook = NULL;
			end_child(&child);
		}
	set_kernel(true);
	assert_result(open_end(STOA_READ, stoa_deadline_in(25 * MS)),
	              -ETIMEDOUT);
	assert_result(open_end(STOA_WRITE, stoa_deadline_in(25 * MS)),
	              -ETIMEDOUT);
	stoa_system_hook = NULL;
	remove_fifo();
}

/* As a process without room for descriptors sees it. */
TEST(walls_are_told)
{
	struct rlimit limit, before;

	reader = open_reader();
	assert_system(getrlimit(RLIMIT_NOFILE, &before));
	limit = before;
	int next = (int)assert_system(dup(STDIN_FILENO));
	close(next);
	limit.rlim_cur = (rlim_t)next;
	assert_system(setrlimit(RLIMIT_NOFILE, &limit));
	assert_result(open_end(STOA_WRITE, STOA_NOW), -EMFILE);
	assert_sentence("Too many open files");
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	stoa_fifo_close(reader);
	remove_fifo();
}

/* ---- Another's under its name --------------------------------------------------- */

static int (*replace)(const char *path);

static int by_a_link(const char *path)
{
	return link(case_path("f"), path);
}

static int by_a_file(const char *path)
{
	return symlink("nowhere", path);
}

static long replace_made(long number, const long argument[6], int *ret_handled)
{
	const char *path = (const char *)argument[1];

	*ret_handled = number == SYS_mknodat;
	if (!*ret_handled)
		return 0;
	assert_system(mkfifo(path, 0600));
	assert_system(unlink(path));
	return assert_system(replace(path));
}

/* Where others may rename, what was made may be gone at once. */
TEST(another_file_under_its_name_is_left_alone)
{
	static int (*const ways[])(const char *) = { by_a_link, by_a_file };
	struct stat stat;

	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	for (size_t i = 0; i < LENGTH(ways); i++) {
		replace = ways[i];
		stoa_system_hook = replace_made;
		assert_result(stoa_fifo_create(case_path("new"), 0666),
		              -EEXIST);
		stoa_system_hook = NULL;
		assert_system(lstat(case_path("f"), &stat));
		assert_int_equal(stat.st_mode & 07777, 0600);
		assert_system(unlink(case_path("new")));
	}
	remove_fifo();
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_survives_every_failing_call),
	CASE(so_it_does_on_an_old_kernel),
	CASE(an_end_of_file_is_told_whatever_fails),
	CASE(an_old_kernel_sends_no_sigpipe_either),
	CASE(old_and_new_kernels_wait_alike),
	CASE(walls_are_told),
	CASE(another_file_under_its_name_is_left_alone),
};

MAIN(cases)
