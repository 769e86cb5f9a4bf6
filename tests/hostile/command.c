/* SPDX-License-Identifier: MIT */
/* command.c: the stoa command is run on the case's space, and judged by how it
 * ends and what it shows. */
#include "hostile.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { EXIT_MAX = 3, ARGUMENTS_MOST = 8 };

static char command_path[PATH_MAX];

/* BUILD/stoa, beside BUILD/tests/hostile/PROGRAM; a mutant's says where. */
void find_command(void)
{
	const char *given = getenv("HOSTILE_COMMAND");
	char self[PATH_MAX] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		finding("no /proc/self/exe");
	if (given != NULL)
		snprintf(command_path, sizeof(command_path), "%s", given);
	else
		snprintf(command_path, sizeof(command_path), "%s/../../stoa",
		         dirname(self));
	if (access(command_path, X_OK) != 0)
		finding("%s: %s", command_path, strerror(errno));
}

static void check_output(int fd, const char *what)
{
	char bytes[4096];
	ssize_t got;

	lseek(fd, 0, SEEK_SET);
	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < got; i++)
			if (((unsigned char)bytes[i] < ' ' &&
			     bytes[i] != '\n' && bytes[i] != '\t') ||
			    bytes[i] == 0x7f)
				finding("%s printed the byte 0x%02x", what,
				        (unsigned char)bytes[i]);
}

static void be_command(const char *const *arguments, int output)
{
	const char *argv[3 + ARGUMENTS_MOST] = { "stoa", "-S",
		                                 case_directory() };
	int nothing = open("/dev/null", O_RDONLY);

	for (size_t i = 0; arguments[i] != NULL; i++)
		argv[3 + i] = arguments[i];
	dup2(nothing, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	setenv("ASAN_OPTIONS", "exitcode=99:detect_leaks=0", 1);
	execv(command_path, (char **)argv);
	_exit(127);
}

/* Returns how it ended; its output is left in `output`. */
static int run_to_end(const char *const *arguments, int output)
{
	int status;
	pid_t pid;

	watch_operation(arguments[0], 0);
	pid = fork();
	if (pid == 0)
		be_command(arguments, output);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		finding("no process for the command");
	operation_done();
	return status;
}

static void ended_badly(const char *const *arguments, int output, int status)
{
	char text[2048] = "";

	if (pread(output, text, sizeof(text) - 1, 0) > 0)
		remark("%s", text);
	finding("stoa %s ended with status %#x", arguments[0], status);
}

void run_command(const char *const *arguments)
{
	int output = memfd_create("output", MFD_CLOEXEC);
	int status = run_to_end(arguments, output);

	if (!WIFEXITED(status) || WEXITSTATUS(status) > EXIT_MAX)
		ended_badly(arguments, output, status);
	check_output(output, arguments[0]);
	close(output);
}

void run_command_to(const char *const *arguments, int code)
{
	int output = memfd_create("output", MFD_CLOEXEC);
	int status = run_to_end(arguments, output);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		ended_badly(arguments, output, status);
	close(output);
}
