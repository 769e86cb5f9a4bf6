/* SPDX-License-Identifier: MIT */
/* The stoa command looks at objects that are false, and at such as are being
 * overwritten: it must end, in one of the ways it promises, and show nothing
 * that a terminal would obey. */
#include "hostile.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { STILL_ROUNDS = 2, LIVE_ROUNDS = 2, EXIT_MAX = 3, BURSTS = 6 };

static char command_path[PATH_MAX];

/* BUILD/stoa, beside BUILD/tests/hostile/tool. */
static void find_command(void)
{
	char self[PATH_MAX] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		finding("no /proc/self/exe");
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
			if ((unsigned char)bytes[i] < ' ' && bytes[i] != '\n' &&
			    bytes[i] != '\t')
				finding("%s printed the byte 0x%02x", what,
				        (unsigned char)bytes[i]);
}

static void run_command(const char *const *arguments)
{
	const char *argv[8] = { "stoa", "-S", case_directory() };
	int output = memfd_create("output", MFD_CLOEXEC);
	int status;
	pid_t pid;

	for (size_t i = 0; arguments[i] != NULL; i++)
		argv[3 + i] = arguments[i];
	watch_operation(arguments[0], 0);
	pid = fork();
	if (pid == 0) {
		dup2(output, STDOUT_FILENO);
		dup2(output, STDERR_FILENO);
		setenv("ASAN_OPTIONS", "exitcode=99:detect_leaks=0", 1);
		execv(command_path, (char **)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		finding("no process for the command");
	operation_done();
	if (!WIFEXITED(status) || WEXITSTATUS(status) > EXIT_MAX) {
		char text[2048] = "";

		if (pread(output, text, sizeof(text) - 1, 0) > 0)
			remark("%s", text);
		finding("stoa %s ended with status %#x", arguments[0], status);
	}
	check_output(output, arguments[0]);
	close(output);
}

static void put_name_back(const struct image *image)
{
	char kept[300];

	snprintf(kept, sizeof(kept), "%s/.kept", case_directory());
	if (link(image->path, kept) != 0 && errno == ENOENT &&
	    link(kept, image->path) != 0)
		finding("link: %s", strerror(errno));
}

static void look(const struct image *image)
{
	char name[64];
	const char *const commands[][4] = {
		{ "ls", NULL },           { "stat", name, NULL },
		{ "ls", "--json", NULL }, { "stat", "--json", name, NULL },
		{ "clean", NULL },
	};

	snprintf(name, sizeof(name), "q.%s", image->noun->kind);
	for (size_t i = 0; i < LENGTH(commands); i++) {
		run_command(commands[i]);
		put_name_back(image);
	}
}

static void store_for_ever(void *context)
{
	struct scribbler *scribbler = context;

	report(0);
	for (;;)
		scribble(scribbler);
}

static void the_command_looks_at_false_objects(const struct noun *noun)
{
	unsigned shape = (unsigned)run_seed() % noun->shapes;
	struct stoa_space *space = open_space();
	struct scribbler scribbler;
	struct image image;
	struct child child;

	find_command();
	noun->populate(space, "q", shape);
	image_open(&image, space, noun, "q", shape);
	put_name_back(&image);
	scribbler_init(&scribbler, &image, run_seed());
	learn_tokens(&scribbler);
	for (int i = 0; i < STILL_ROUNDS; i++) {
		trial("shape %u, still, round %d", shape, i);
		for (int j = 0; j < BURSTS; j++)
			scribble(&scribbler);
		look(&image);
		image_restore(&image);
	}
	child = start_child(store_for_ever, &scribbler);
	await_report(&child);
	for (int i = 0; i < LIVE_ROUNDS; i++) {
		trial("shape %u, live, round %d", shape, i);
		look(&image);
	}
	kill_child(&child);
	image_close(&image);
	stoa_space_close(space);
	remove_tree(case_directory());
}

static const struct noun_case cases[] = {
	{ "the_command_looks_at_false_objects",
	  the_command_looks_at_false_objects },
};

int main(int argc, char **argv)
{
	return run_noun_cases(argc, argv, cases, LENGTH(cases), false, NULL, 0);
}
