/* SPDX-License-Identifier: MIT */
/* case.c: runs each case in its own process and looks for what it left. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define DIRECTORY_TEMPLATE "/dev/shm/stoa-test-XXXXXX"

enum { PATH_BYTES = 512, PATHS = 8, ENDING_LIMIT_MS = 60000 };
enum outcome { PASSED, FAILED, SKIPPED };

/* Present only in a build with the leak sanitizer. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static char directory[] = DIRECTORY_TEMPLATE;
static bool case_skipped;
static char skip_reason[PATH_BYTES];

const char *case_directory(void)
{
	return directory;
}

const char *case_path(const char *name)
{
	static char paths[PATHS][PATH_BYTES];
	static unsigned next;
	char *path = paths[next++ % PATHS];

	snprintf(path, PATH_BYTES, "%s/%s", directory, name);
	return path;
}

void skip_case(const char *why)
{
	case_skipped = true;
	snprintf(skip_reason, sizeof(skip_reason), "%s", why);
	skip();
	abort();
}

void skip_unless_root(void)
{
	if (geteuid() != 0)
		skip_case("needs root");
}

/* Objects are put away first, as a user of the library would. */
static int remove_one(const struct stoa_object_info *info, void *context)
{
	struct stoa_space *space = context;
	char name[STOA_NAME_MAX + sizeof(info->kind) + 2];

	snprintf(name, sizeof(name), "%s.%s", info->name, info->kind);
	stoa_space_remove(space, name, 0);
	return 0;
}

static int count_leaks_in_space(void)
{
	struct stoa_space *space;
	int left;

	if (access(directory, F_OK) == 0 &&
	    stoa_space_open(directory, 0, &space) == 0) {
		stoa_space_clean(space, 0, NULL, NULL);
		stoa_space_each(space, remove_one, space);
		stoa_space_close(space);
	}
	left = count_stale_files(directory, true);
	if (left > 0)
		fprintf(stderr, "left in the space: %d files\n", left);
	return left > 0;
}

static int count_leaks(int descriptors_before)
{
	int leaks = 0;
	int descriptors = count_descriptors();
	int mappings = count_mappings("stoa-test-");

	if (descriptors > descriptors_before) {
		fprintf(stderr, "left open: %d descriptors\n",
		        descriptors - descriptors_before);
		leaks++;
	}
	if (mappings > 0) {
		fprintf(stderr, "left mapped: %d mappings\n", mappings);
		leaks++;
	}
	if (__lsan_do_recoverable_leak_check != NULL &&
	    __lsan_do_recoverable_leak_check() != 0)
		leaks++;
	return leaks;
}

/* Children that the case neither awaited nor killed. */
static int count_running_children(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		;
	if (pid < 0)
		return 0;
	fprintf(stderr, "left running: a child\n");
	return 1;
}

/* In the case's process: runs it and says by its exit status how it went. */
static void run_here(const struct CMUnitTest *test, int output)
{
	struct CMUnitTest alone = *test;
	int descriptors;
	int failures;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	close(output);
	setvbuf(stdout, NULL, _IONBF, 0);
	descriptors = count_descriptors();
	failures = _cmocka_run_group_tests(test->name, &alone, 1, NULL, NULL);
	if (case_skipped) {
		printf("%s", skip_reason);
		_exit(EXIT_SKIPPED);
	}
	if (failures == 0)
		failures = count_running_children() + count_leaks(descriptors) +
		           count_leaks_in_space();
	_exit(failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void show_file(const char *path)
{
	char text[PATH_BYTES];
	ssize_t bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (bytes > 0)
		fprintf(stderr, "  %s: %.*s\n", path, (int)bytes, text);
}

/* What the processes of a hanging case are about. */
static void show_hanging(pid_t group)
{
	char path[PATH_BYTES];
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		pid_t pid = atoi(entry->d_name);

		if (pid <= 0 || getpgid(pid) != group)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		show_file(path);
		snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
		show_file(path);
	}
	if (proc != NULL)
		closedir(proc);
}

static int hang_limit_ms(void)
{
	const char *given = getenv("STOA_TEST_HANG_SECONDS");

	return (given != NULL ? atoi(given) : HANG_LIMIT_SECONDS) * 1000;
}

/* Waits for the end of the case; -1 if it hangs. */
static int await_end(pid_t pid)
{
	struct pollfd end = { (int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0 };
	int status;
	int ready;

	do {
		ready = poll(&end, 1, hang_limit_ms());
	} while (ready < 0 && errno == EINTR);
	close(end.fd);
	if (ready == 0) {
		fprintf(stderr, "hangs:\n");
		show_hanging(pid);
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		return -1;
	}
	waitpid(pid, &status, 0);
	return status;
}

/* Whether processes of the case are left; ends them. Children of children die
 * with their parents, but take their time about it on a busy machine. */
static bool left_processes(pid_t group, int limit_ms)
{
	struct timespec pause = { 0, MS };
	bool any;

	for (int ms = 0;; ms++) {
		while (waitpid(-group, NULL, WNOHANG) > 0)
			;
		any = kill(-group, 0) == 0;
		if (!any || ms >= limit_ms)
			break;
		nanosleep(&pause, NULL);
	}
	kill(-group, SIGKILL);
	while (waitpid(-group, NULL, 0) > 0)
		;
	return any;
}

void remove_tree(const char *path)
{
	struct dirent *entry;
	DIR *stream = opendir(path);
	char inner[PATH_BYTES];

	while (stream != NULL && (entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		if (unlink(inner) != 0)
			remove_tree(inner);
	}
	if (stream != NULL)
		closedir(stream);
	rmdir(path);
}

static void copy_output(int output)
{
	char text[4096];
	ssize_t bytes;

	lseek(output, 0, SEEK_SET);
	while ((bytes = read(output, text, sizeof(text))) > 0)
		fwrite(text, 1, (size_t)bytes, stderr);
}

static void print_outcome(const char *name, enum outcome outcome, int output)
{
	static const char *const words[] = { "ok", "FAILED", "skipped" };
	char sentence[PATH_BYTES];

	if (outcome == PASSED && getenv("V") == NULL)
		return;
	snprintf(sentence, sizeof(sentence), "%s", name);
	for (char *at = sentence; *at != '\0'; at++)
		*at = *at == '_' ? ' ' : *at;
	fprintf(stderr, "  %-7s %s\n", words[outcome], sentence);
	if (outcome == FAILED)
		copy_output(output);
}

/* A machine that is full for a moment fails nothing; -1 must not get to kill(),
 * where it means all processes. */
static pid_t fork_case(void)
{
	struct timespec pause = { 0, 100 * MS };
	pid_t pid;

	for (int ms = 0; (pid = fork()) < 0; ms += 100) {
		if (ms >= hang_limit_ms()) {
			perror("no process for a case");
			exit(EXIT_FAILURE);
		}
		nanosleep(&pause, NULL);
	}
	return pid;
}

static enum outcome run_case(const struct CMUnitTest *test)
{
	int output = memfd_create("output", MFD_CLOEXEC);
	enum outcome outcome = FAILED;
	int status;
	pid_t pid;

	strcpy(directory, DIRECTORY_TEMPLATE);
	if (output < 0 || mkdtemp(directory) == NULL)
		abort();
	pid = fork_case();
	if (pid == 0)
		run_here(test, output);
	setpgid(pid, pid);
	status = await_end(pid);
	if (status == 0)
		outcome = PASSED;
	else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
		outcome = SKIPPED;
	else if (status > 0 && WIFSIGNALED(status))
		dprintf(output, "ended by signal %d\n", WTERMSIG(status));
	if (left_processes(pid, outcome == PASSED ? ENDING_LIMIT_MS : 0) &&
	    outcome == PASSED) {
		dprintf(output, "left processes running\n");
		outcome = FAILED;
	}
	print_outcome(test->name, outcome, output);
	close(output);
	remove_tree(directory);
	return outcome;
}

/* What nohup(1) and shells ignore for what they start, cases find as usual. */
static void reset_signals(void)
{
	static const int numbers[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		signal(numbers[i], SIG_DFL);
}

int run_cases(int argc, char **argv, const struct CMUnitTest *cases,
              size_t count)
{
	const char *part = argc > 1 ? argv[1] : "";
	unsigned numbers[3] = { 0, 0, 0 };
	const char *name = strstr(argv[0], "tests/");

	reset_signals();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	run_seed();
	for (size_t i = 0; i < count; i++)
		if (strstr(cases[i].name, part) != NULL)
			numbers[run_case(&cases[i])]++;
	printf("%s: %u passed, %u failed, %u skipped (seed %llu)\n",
	       name != NULL ? name : argv[0], numbers[PASSED], numbers[FAILED],
	       numbers[SKIPPED], (unsigned long long)run_seed());
	if (numbers[FAILED] > 0)
		return EXIT_FAILURE;
	return numbers[PASSED] == 0 && numbers[SKIPPED] > 0 ? EXIT_SKIPPED
	                                                    : EXIT_SUCCESS;
}
