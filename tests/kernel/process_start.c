/* SPDX-License-Identifier: MIT */
/* Starting commands: what they are given, and why they can't be started. */
#include "command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void assert_says(char *const *arguments,
                        struct stoa_process_attributes *attributes,
                        const char *text)
{
	struct stoa_process *process;

	attributes->out.how = STOA_PROCESS_PIPE;
	assert_ok(stoa_process_start(arguments, attributes, &process));
	assert_string_equal(
		read_all((int)assert_good(stoa_process_fd(process, 1))), text);
	assert_exits(process, 0);
	stoa_process_close(process);
}

/* ---- What it is given ------------------------------------------------------ */

TEST(its_exit_status_is_told)
{
	struct stoa_process *process;
	struct stoa_process_status status;

	assert_ok(stoa_process_start(ARGUMENTS("sh", "-c", "exit 7"), NULL,
	                             &process));
	status = wait_for(process);
	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, 7);
	assert_int_equal(status.pid, stoa_process_pid(process));
	assert_true(status.resident_bytes > 0);
	assert_true(status.ended_ns >= status.started_ns);
	status = wait_for(process);
	assert_int_equal(status.code, 7);
	stoa_process_close(process);
}

TEST(the_signal_that_killed_it_is_told)
{
	struct stoa_process_status status;
	struct stoa_process *process;

	assert_ok(
		stoa_process_start(ARGUMENTS("sleep", "600"), NULL, &process));
	assert_result(stoa_process_wait(process, STOA_NOW, NULL), -EAGAIN);
	assert_result(stoa_process_wait(process, stoa_deadline_in(MS), NULL),
	              -ETIMEDOUT);
	assert_ok(stoa_process_signal(process, SIGTERM));
	status = wait_for(process);
	assert_int_equal(status.state, STOA_PROCESS_KILLED);
	assert_int_equal(status.code, SIGTERM);
	assert_result(stoa_process_signal(process, SIGTERM), -ESRCH);
	stoa_process_close(process);
}

TEST(both_ways_by_pipes)
{
	struct stoa_process *process;
	int fd;

	assert_ok(stoa_process_start(ARGUMENTS("tr", "a-z", "A-Z"),
	                             ATTRIBUTES(.in = PIPED, .out = PIPED,
	                                        .err = NOTHING),
	                             &process));
	fd = (int)assert_good(stoa_process_fd(process, 0));
	assert_int_equal(write(fd, "hello", 5), 5);
	assert_ok(stoa_process_shut(process, 0));
	assert_result(stoa_process_fd(process, 0), -EBADF);
	assert_result(stoa_process_fd(process, 2), -EBADF);
	assert_string_equal(read_all(stoa_process_fd(process, 1)), "HELLO");
	assert_exits(process, 0);
	stoa_process_close(process);
}

TEST(error_is_the_same_as_output)
{
	assert_says(ARGUMENTS("echo one; echo two >&2"),
	            ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                       .err = { .how = STOA_PROCESS_SAME, .fd = 1 }),
	            "one\ntwo\n");
}

TEST(output_and_error_change_places)
{
	struct stoa_process *process;
	int fds[2], errors[2];

	assert_system(pipe2(fds, O_CLOEXEC));
	assert_system(pipe2(errors, O_CLOEXEC));
	assert_system(dup2(fds[1], 1));
	assert_system(dup2(errors[1], 2));
	assert_ok(stoa_process_start(
		ARGUMENTS("echo one; echo two >&2"),
		ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                   .out = { .how = STOA_PROCESS_FD, .fd = 2 },
	                   .err = { .how = STOA_PROCESS_FD, .fd = 1 }),
		&process));
	assert_exits(process, 0);
	stoa_process_close(process);
	close(fds[1]);
	close(errors[1]);
	close(1);
	close(2);
	assert_string_equal(read_all(fds[0]), "two\n");
	assert_string_equal(read_all(errors[0]), "one\n");
	/* So many as there were before. */
	dup2(fds[0], 1);
	dup2(fds[0], 2);
	close(fds[0]);
	close(errors[0]);
}

/* The numbers of open descriptors, in order. */
#define LIST_DESCRIPTORS                     \
	"cd /proc/self/fd; for fd in *; do " \
	"test -e /proc/$$/fd/$fd && printf '%s ' $fd; done; :"

TEST(it_has_no_other_descriptor)
{
	int plain = open("/dev/null", O_RDONLY), high;

	assert_system(plain);
	high = fcntl(plain, F_DUPFD, 200);
	assert_system(high);
	assert_says(ARGUMENTS(LIST_DESCRIPTORS),
	            ATTRIBUTES(.flags = STOA_PROCESS_SHELL), "0 1 2 ");
	close(plain);
	close(high);
}

TEST(it_has_the_further_descriptors_by_their_numbers)
{
	int plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stoa_process_end more[] = {
		{ .how = STOA_PROCESS_FD, .fd = plain, .number = 9 },
		{ .how = STOA_PROCESS_NULL, .number = 4 },
		{ .how = STOA_PROCESS_PIPE, .number = 7, .flags = STOA_WRITE },
		{ .how = STOA_PROCESS_SAME, .number = 5, .fd = 7 },
	};

	assert_says(ARGUMENTS(LIST_DESCRIPTORS),
	            ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .more = more,
	                       .more_count = LENGTH(more)),
	            "0 1 2 4 5 7 9 ");
	close(plain);
}

TEST(those_that_are_not_close_on_exec_stay_if_asked)
{
	int plain = open("/dev/null", O_RDONLY);
	int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_system(dup2(plain, 77));
	assert_system(dup3(closed, 78, O_CLOEXEC));
	close(plain);
	close(closed);
	assert_says(ARGUMENTS("test -e /proc/$$/fd/77 && echo 77; "
	                      "test -e /proc/$$/fd/78 && echo 78; :"),
	            ATTRIBUTES(.flags = STOA_PROCESS_SHELL |
	                                STOA_PROCESS_DESCRIPTORS),
	            "77\n");
	close(77);
	close(78);
}

TEST(a_closed_input_is_nothing)
{
	int kept = fcntl(0, F_DUPFD_CLOEXEC, 10);

	close(0);
	assert_says(ARGUMENTS("readlink", "/proc/self/fd/0"), ATTRIBUTES(),
	            "/dev/null\n");
	dup2(kept, 0);
	close(kept);
}

TEST(directory_environment_umask_and_name)
{
	char *const environment[] = { "PATH=/usr/bin:/bin", "GREETING=hello",
		                      NULL };

	assert_says(ARGUMENTS("pwd; umask; echo $GREETING $HOME"),
	            ATTRIBUTES(.flags = STOA_PROCESS_SHELL | STOA_PROCESS_UMASK,
	                       .umask = 027, .directory = "/usr",
	                       .environment = environment),
	            "/usr\n0027\nhello\n");
	assert_says(ARGUMENTS("other", "-c", "echo $0"),
	            ATTRIBUTES(.file = "/bin/sh"), "other\n");
}

TEST(signals_are_as_they_are_at_first)
{
	const uint64_t none[4] = { 0 }; /* the kernel's struct sigaction */
	sigset_t all, before;

	/* Whoever runs the tests may ignore some, also those that libc keeps
	 * for itself: a shell's background jobs ignore interrupts. */
	for (int number = 1; number < NSIG; number++)
		syscall(SYS_rt_sigaction, number, none, NULL, sizeof(none[0]));
	signal(SIGUSR1, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	assert_says(ARGUMENTS("sed", "-n", "/^Sig[BIC]/p", "/proc/self/status"),
	            ATTRIBUTES(),
	            "SigBlk:\t0000000000000000\n"
	            "SigIgn:\t0000000000000000\n"
	            "SigCgt:\t0000000000000000\n");
	assert_says(ARGUMENTS("grep", "SigIgn", "/proc/self/status"),
	            ATTRIBUTES(.flags = STOA_PROCESS_IGNORED),
	            "SigIgn:\t0000000000000200\n");
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGUSR1, SIG_DFL);
}

TEST(a_group_and_a_session_of_its_own)
{
	assert_says(ARGUMENTS("read -r pid a b c group session rest "
	                      "</proc/$$/stat; test $group = $$ && echo group; "
	                      "test $session = $$ || echo no session"),
	            ATTRIBUTES(.flags =
	                               STOA_PROCESS_SHELL | STOA_PROCESS_GROUP),
	            "group\nno session\n");
	assert_says(ARGUMENTS("read -r pid a b c group session rest "
	                      "</proc/$$/stat; test $session = $$ && "
	                      "echo session"),
	            ATTRIBUTES(.flags = STOA_PROCESS_SHELL |
	                                STOA_PROCESS_SESSION),
	            "session\n");
}

TEST(a_terminal_of_its_own)
{
	struct stoa_process *process;
	int controller, terminal;
	char text[64];

	assert_ok(stoa_terminal_pair(NULL, &controller, &terminal));
	process = start(ARGUMENTS("sh", "-c", "echo hello >/dev/tty"),
	                ATTRIBUTES(.flags = STOA_PROCESS_SESSION |
	                                    STOA_PROCESS_CONTROL,
	                           .in = GIVEN(terminal)));
	assert_exits(process, 0);
	assert_int_equal(read(controller, text, sizeof(text)), 7);
	assert_memory_equal(text, "hello\r\n", 7);
	stoa_process_close(process);
	close(controller);
	close(terminal);
	assert_result(
		stoa_process_start(ARGUMENTS("true"),
	                           ATTRIBUTES(.flags = STOA_PROCESS_SESSION |
	                                               STOA_PROCESS_CONTROL,
	                                      .in = NOTHING),
	                           &process),
		-ENOTTY);
	assert_sentence("terminal");
}

TEST(close_kills_it)
{
	struct stoa_process *process;
	int fds[2];
	char byte;

	assert_system(pipe2(fds, O_CLOEXEC));
	assert_ok(stoa_process_start(
		ARGUMENTS("sleep 600 & sleep 600 & wait"),
		ATTRIBUTES(.flags = STOA_PROCESS_SHELL | STOA_PROCESS_GROUP,
	                   .out = { .how = STOA_PROCESS_FD, .fd = fds[1] }),
		&process));
	close(fds[1]);
	stoa_process_close(process);
	/* All of the group are gone. */
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	stoa_process_close(NULL);
}

/* ---- Why it can't be started ------------------------------------------------ */

static void assert_fails(char *const *arguments,
                         const struct stoa_process_attributes *attributes,
                         int error, const char *part)
{
	struct stoa_process *process = (void *)&process;
	int descriptors = count_descriptors();

	assert_result(stoa_process_start(arguments, attributes, &process),
	              error);
	assert_sentence(part);
	assert_ptr_equal(process, &process);
	assert_int_equal(count_descriptors(), descriptors);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

static const char *make_file(const char *name, const char *text, mode_t mode)
{
	const char *path = case_path(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	assert_system(fd);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

TEST(what_cannot_be_executed_is_the_error_of_start)
{
	size_t bytes = 3 << 20;
	char *large = malloc(bytes + 1);

	memset(large, 'x', bytes);
	large[bytes] = '\0';
	assert_fails(ARGUMENTS("no-such-program-at-all"),
	             ATTRIBUTES(.in = PIPED, .out = PIPED, .err = PIPED),
	             -ENOENT, "no-such-program-at-all in PATH");
	assert_fails(ARGUMENTS("/no/such"), NULL, -ENOENT, "/no/such");
	assert_fails(ARGUMENTS((char *)make_file("plain", "#!/bin/sh\n", 0600)),
	             NULL, -EACCES, "chmod");
	assert_fails(ARGUMENTS((char *)make_file("text", "hello\n", 0700)),
	             NULL, -ENOEXEC, "#!");
	assert_fails(ARGUMENTS((char *)make_file("lost", "#!/no/such\n", 0700)),
	             NULL, -ENOENT, "first line");
	assert_fails(ARGUMENTS("true", large), NULL, -E2BIG, "too large");
	assert_fails(ARGUMENTS("true"), ATTRIBUTES(.directory = "/no/such"),
	             -ENOENT, "/no/such");
	assert_fails(ARGUMENTS("true"), ATTRIBUTES(.directory = "/dev/null"),
	             -ENOTDIR, "/dev/null");
	free(large);
	unlink(case_path("plain"));
	unlink(case_path("text"));
	unlink(case_path("lost"));
}

TEST(attributes_are_checked)
{
	struct stoa_process_attributes wrong = { .size = 1 };
	struct stoa_process_end twice[] = {
		{ .how = STOA_PROCESS_NULL, .number = 5 },
		{ .how = STOA_PROCESS_NULL, .number = 5 },
	};
	struct stoa_process_end no_way = { .how = STOA_PROCESS_PIPE,
		                           .number = 3 };
	struct stoa_process_end high = { .how = STOA_PROCESS_NULL,
		                         .number = 1 << 30 };

	assert_fails(ARGUMENTS("true"), &wrong, -EINVAL, "size");
	assert_fails(ARGUMENTS(NULL), NULL, -EINVAL, "name");
	assert_fails(ARGUMENTS("true"), ATTRIBUTES(.flags = 1u << 31), -EINVAL,
	             "flags");
	assert_fails(ARGUMENTS("true"), ATTRIBUTES(.reserved = 1), -EINVAL,
	             "reserved");
	assert_fails(ARGUMENTS("true"), ATTRIBUTES(.in = { .how = 99 }),
	             -EINVAL, "99");
	assert_fails(ARGUMENTS("true"),
	             ATTRIBUTES(.out = { .how = STOA_PROCESS_FD, .fd = -1 }),
	             -EBADF, "descriptor 1");
	assert_fails(ARGUMENTS("true"),
	             ATTRIBUTES(.out = { .how = STOA_PROCESS_FD, .fd = 999 }),
	             -EBADF, "descriptor 1");
	assert_fails(ARGUMENTS("true"),
	             ATTRIBUTES(.err = { .how = STOA_PROCESS_SAME, .fd = 9 }),
	             -EINVAL, "the same as 9");
	assert_fails(ARGUMENTS("true"),
	             ATTRIBUTES(.flags = STOA_PROCESS_CONTROL), -EINVAL,
	             "STOA_PROCESS_SESSION");
	assert_fails(ARGUMENTS("true"),
	             ATTRIBUTES(.more = twice, .more_count = 2), -EINVAL,
	             "twice");
	assert_fails(ARGUMENTS("true"),
	             ATTRIBUTES(.more = &no_way, .more_count = 1), -EINVAL,
	             "STOA_READ");
	assert_fails(ARGUMENTS("true"),
	             ATTRIBUTES(.more = &high, .more_count = 1), -EBADF,
	             "ulimit -n");
}

static void start_without_processes(void *context)
{
	struct rlimit none = { 0, 0 };

	(void)context;
	become_nobody();
	assert_system(setrlimit(RLIMIT_NPROC, &none));
	assert_fails(ARGUMENTS("true"), ATTRIBUTES(.out = PIPED), -EAGAIN,
	             "ulimit -u");
}

/* In a child, as what looks for leaks in the end needs a process, too. */
TEST(no_more_processes)
{
	struct child child;

	skip_unless_root();
	child = start_child(start_without_processes, NULL);
	end_child(&child);
}

TEST(no_more_descriptors_at_each_of_them)
{
	int free_from = dup(0), tries = 0;
	struct stoa_process *process;

	close(free_from);
	for (;; tries++) {
		struct rlimit limit = { (rlim_t)(free_from + tries), 4096 };
		int descriptors = count_descriptors(), result;

		assert_true(tries < 20);
		assert_system(setrlimit(RLIMIT_NOFILE, &limit));
		result = stoa_process_start(
			ARGUMENTS("cat"),
			ATTRIBUTES(.in = PIPED, .out = PIPED, .err = NOTHING),
			&process);
		limit.rlim_cur = 1024;
		assert_system(setrlimit(RLIMIT_NOFILE, &limit));
		if (result == 0)
			break;
		assert_int_equal(result, -EMFILE);
		assert_int_equal(count_descriptors(), descriptors);
	}
	assert_true(tries >= 5);
	assert_ok(stoa_process_shut(process, 0));
	assert_exits(process, 0);
	stoa_process_close(process);
}

/* The last two that there may be are to be the other way round. */
TEST(descriptors_are_turned_round_at_the_limit)
{
	enum { LAST = 40 };
	struct stoa_process_end more[] = {
		{ .how = STOA_PROCESS_FD, .fd = LAST, .number = LAST - 1 },
		{ .how = STOA_PROCESS_FD, .fd = LAST - 1, .number = LAST },
	};
	struct stoa_process_attributes *both =
		ATTRIBUTES(.more = more, .more_count = 2);
	const struct rlimit limit = { LAST + 1, 4096 };
	struct stoa_process *process;
	int ends[2];

	assert_system(pipe2(ends, O_CLOEXEC));
	assert_system(dup3(ends[0], LAST - 1, O_CLOEXEC));
	assert_system(dup3(ends[1], LAST, O_CLOEXEC));
	assert_system(setrlimit(RLIMIT_NOFILE, &limit));
	process = start(ARGUMENTS("bash", "-c",
	                          "echo round >&39; read -r x <&40; "
	                          "test $x = round"),
	                both);
	assert_exits(process, 0);
	stoa_process_close(process);
	while (dup(STDERR_FILENO) >= 0)
		;
	assert_int_equal(errno, EMFILE);
	close(ends[0]); /* for the pidfd; two are needed */
	assert_result(stoa_process_start(ARGUMENTS("true"), both, &process),
	              -EMFILE);
	assert_sentence("ulimit -n");
	close_range((unsigned)ends[0], LAST, 0);
}

/* ---- Other waiters ------------------------------------------------------------- */

TEST(another_waiter_does_not_take_the_status)
{
	struct stoa_process_status status = { .size = sizeof(status) };
	struct stoa_process *process;
	int result;

	assert_ok(stoa_process_start(ARGUMENTS("sh", "-c", "exit 9"), NULL,
	                             &process));
	assert_int_equal(waitpid(-1, NULL, 0), stoa_process_pid(process));
	result = stoa_process_wait(process, STOA_FOREVER, &status);
	if (result == -ECHILD)
		assert_sentence("waited"); /* Linux before 6.15 */
	else
		assert_int_equal(result, 0);
	if (result == 0) {
		assert_int_equal(status.state, STOA_PROCESS_EXITED);
		assert_int_equal(status.code, 9);
		assert_int_equal(status.flags, STOA_PROCESS_STOLEN);
	}
	stoa_process_close(process);
}

TEST(sigchld_may_be_ignored)
{
	struct stoa_process *process;
	struct stoa_process_status status = { .size = sizeof(status) };
	int result;

	signal(SIGCHLD, SIG_IGN);
	assert_ok(stoa_process_start(ARGUMENTS("sh", "-c", "kill -9 $$"), NULL,
	                             &process));
	result = stoa_process_wait(process, STOA_FOREVER, &status);
	if (result == 0) {
		assert_int_equal(status.state, STOA_PROCESS_KILLED);
		assert_int_equal(status.code, SIGKILL);
	} else {
		assert_int_equal(result, -ECHILD);
	}
	stoa_process_close(process);
	signal(SIGCHLD, SIG_DFL);
}

static void look_at_it(void *context)
{
	struct stoa_process *process = context;

	assert_result(stoa_process_wait(process, STOA_NOW, NULL), -ECHILD);
	assert_sentence("started by process");
	stoa_process_close(process);
}

TEST(a_forked_child_closes_the_handle_and_not_the_command)
{
	struct stoa_process *process;
	struct child child;

	assert_ok(stoa_process_start(ARGUMENTS("cat"),
	                             ATTRIBUTES(.in = PIPED, .out = NOTHING),
	                             &process));
	child = start_child(look_at_it, process);
	end_child(&child);
	assert_result(stoa_process_wait(process, STOA_NOW, NULL), -EAGAIN);
	assert_ok(stoa_process_shut(process, 0));
	assert_exits(process, 0);
	stoa_process_close(process);
}

static const struct CMUnitTest cases[] = {
	CASE(its_exit_status_is_told),
	CASE(the_signal_that_killed_it_is_told),
	CASE(both_ways_by_pipes),
	CASE(error_is_the_same_as_output),
	CASE(output_and_error_change_places),
	CASE(it_has_no_other_descriptor),
	CASE(it_has_the_further_descriptors_by_their_numbers),
	CASE(those_that_are_not_close_on_exec_stay_if_asked),
	CASE(a_closed_input_is_nothing),
	CASE(directory_environment_umask_and_name),
	CASE(signals_are_as_they_are_at_first),
	CASE(a_group_and_a_session_of_its_own),
	CASE(a_terminal_of_its_own),
	CASE(close_kills_it),
	CASE(what_cannot_be_executed_is_the_error_of_start),
	CASE(attributes_are_checked),
	CASE(no_more_processes),
	CASE(no_more_descriptors_at_each_of_them),
	CASE(descriptors_are_turned_round_at_the_limit),
	CASE(another_waiter_does_not_take_the_status),
	CASE(sigchld_may_be_ignored),
	CASE(a_forked_child_closes_the_handle_and_not_the_command),
};

MAIN(cases)
