/* SPDX-License-Identifier: MIT */
/* demo.c: `stoa demo`: a real stream worked on by several processes, one of
 * which is killed; proof that the stream is whole; and the same through what
 * the kernel has. */

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo.h"

#define COPY_BYTES (1u << 18)
#define WORKERS_MIN 2 /* one survives */
#define WORKERS_DEFAULT 4

struct options {
	const char *file; /* NULL: the tar stream */
	uint32_t seed;
	unsigned workers;
	bool compare;
	struct tool_table_options table;
};

struct input {
	int descriptor;
	uint64_t bytes;
	const char *name;
	uint8_t digest[DEMO_DIGEST_BYTES];
};

static const char help[] =
	"Usage: stoa demo [OPTION]... [FILE]\n"
	"\n"
	"Cuts FILE (- is standard input; default: a tar stream of\n"
	"/usr/include and /usr/share/doc) into messages on a queue, has\n"
	"worker processes hash them, kills one of these while it holds\n"
	"messages, and proves that what a collector received is whole.\n"
	"Then does the same through a POSIX queue, a System V queue and a\n"
	"pipe, without the kill.\n"
	"\n"
	"     --seed N          cut and kill as in an earlier run\n"
	"     --workers N       worker processes, 2 to 64; default 4\n"
	"     --no-compare      stoa only\n"
	TOOL_HELP_TABLE
	" -E, --no-exit-code N exit with N, not 1, if it is not whole\n"
	" -h, --help           this text\n"
	" -V, --version        the version\n"
	"\n"
	"Exit codes: 0 the stream is proven whole, 1 it is not, 2 usage,\n"
	"3 the demo could not run.\n";

/* ---- Options ------------------------------------------------------------ */

enum { OPTION_SEED = TOOL_OPTION_FIRST, OPTION_WORKERS, OPTION_NO_COMPARE };

static const struct option long_options[] = {
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "workers", required_argument, NULL, OPTION_WORKERS },
	{ "no-compare", no_argument, NULL, OPTION_NO_COMPARE },
	{ "no-exit-code", required_argument, NULL, 'E' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	TOOL_LONG_TABLE,
	TOOL_LONG_END
};

static int take_option(struct options *options, struct tool_common *common,
                       int option)
{
	uint64_t number;

	switch (option) {
	case OPTION_SEED:
		if (tool_parse_number(optarg, UINT32_MAX, &number) < 0)
			return tool_usage(common, "'%s' is not a seed, 0 to %u",
			                  optarg, UINT32_MAX);
		options->seed = (uint32_t)number;
		return TOOL_GO_ON;
	case OPTION_WORKERS:
		if (tool_parse_number(optarg, DEMO_WORKERS_MAX, &number) < 0 ||
		    number < WORKERS_MIN)
			return tool_usage(common, "'%s' is not a number of "
			                  "workers, %d to %d", optarg,
			                  WORKERS_MIN, DEMO_WORKERS_MAX);
		options->workers = (unsigned)number;
		return TOOL_GO_ON;
	case OPTION_NO_COMPARE:
		options->compare = false;
		return TOOL_GO_ON;
	default:
		if (tool_table_option(&options->table, option))
			return TOOL_GO_ON;
		return tool_common_option(common, option);
	}
}

static int parse(struct options *options, struct tool_common *common,
                 int argc, char **argv)
{
	int option;

	*options = (struct options){ .workers = WORKERS_DEFAULT,
		                     .compare = true };
	if (getrandom(&options->seed, sizeof(options->seed), 0) < 0)
		options->seed = (uint32_t)demo_now_ns();
	while ((option = getopt_long(argc, argv, TOOL_SHORT_TABLE "E:hV",
	                             long_options, NULL)) != -1) {
		int status = take_option(options, common, option);

		if (status != TOOL_GO_ON)
			return status;
	}
	if (argc - optind > 1)
		return tool_usage(common, "one FILE at most");
	options->file = argv[optind];
	return TOOL_GO_ON;
}

/* ---- Input -------------------------------------------------------------- */

/* A private file that vanishes with this process: so that every round reads
 * the same bytes, from any place. */
static int make_spool(void)
{
	FILE *file = tmpfile();
	int descriptor;

	if (!file)
		return -errno;
	descriptor = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
	if (descriptor < 0)
		descriptor = -errno;
	fclose(file);
	return descriptor;
}

static int write_all(int descriptor, const uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t written = write(descriptor, data, bytes);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written < 0)
			continue;
		data += written;
		bytes -= (size_t)written;
	}
	return 0;
}

/* Copies `from` to `to` if that is not negative, and hashes it. */
static int read_through(int from, int to, struct input *input)
{
	EVP_MD_CTX *stream = EVP_MD_CTX_new();
	uint8_t *data = malloc(COPY_BYTES);
	ssize_t bytes = -1;
	int result = 0;

	if (!stream || !data ||
	    !EVP_DigestInit_ex(stream, EVP_sha256(), NULL))
		result = -ENOMEM;
	input->bytes = 0;
	while (!result && (bytes = read(from, data, COPY_BYTES)) != 0) {
		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0) {
			result = -errno;
			break;
		}
		EVP_DigestUpdate(stream, data, (size_t)bytes);
		input->bytes += (uint64_t)bytes;
		if (to >= 0)
			result = write_all(to, data, (size_t)bytes);
	}
	if (!result)
		EVP_DigestFinal_ex(stream, input->digest, NULL);
	EVP_MD_CTX_free(stream);
	free(data);
	return result;
}

static int spool(int from, struct input *input)
{
	int result;

	input->descriptor = make_spool();
	if (input->descriptor < 0)
		return input->descriptor;
	result = read_through(from, input->descriptor, input);
	if (result < 0)
		close(input->descriptor);
	return result;
}

static int open_file(const char *path, struct input *input)
{
	int is_standard = !strcmp(path, "-");
	int descriptor = is_standard ? STDIN_FILENO
				     : open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	int result;

	input->name = is_standard ? "standard input" : path;
	if (descriptor < 0 || fstat(descriptor, &status) < 0)
		return -errno;
	if (S_ISREG(status.st_mode) && !is_standard) {
		input->descriptor = descriptor;
		return read_through(descriptor, -1, input);
	}
	result = spool(descriptor, input);
	if (!is_standard)
		close(descriptor);
	return result;
}

static const char *const tar_directories[] = { "usr/include",
	                                       "usr/share/doc" };

/* The child's side: becomes tar of those directories that there are. */
static void exec_tar(int output)
{
	char *arguments[sizeof(tar_directories) / sizeof(char *) + 6] = {
		"tar", "-C", "/", "-cf", "-",
	};
	size_t count = 5;

	for (size_t i = 0; i < sizeof(tar_directories) / sizeof(char *); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/%s", tar_directories[i]);
		if (!access(path, R_OK | X_OK))
			arguments[count++] = (char *)tar_directories[i];
	}
	dup2(output, STDOUT_FILENO);
	execvp(*arguments, arguments);
	tool_error("tar can't be run: %s; give a FILE", strerror(errno));
	_exit(TOOL_FAILED);
}

/* tar's 1 is "a file changed while it was read": the stream is good. */
static int tar_result(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) <= 1 ? 0 : -ECHILD;
}

static int open_tar(struct input *input)
{
	int ends[2], result, ended;
	pid_t pid;

	input->name = "tar of /usr/include and /usr/share/doc";
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (!pid)
		exec_tar(ends[1]);
	close(ends[1]);
	result = pid < 0 ? -errno : spool(ends[0], input);
	close(ends[0]);
	if (pid < 0)
		return result;
	ended = tar_result(pid);
	return result < 0 ? result : ended;
}

static int open_input(const struct options *options, struct input *input)
{
	int result;

	if (!options->file && isatty(STDERR_FILENO))
		fputs("reading /usr/include and /usr/share/doc", stderr);
	result = options->file ? open_file(options->file, input)
			       : open_tar(input);
	demo_progress_clear();
	if (result == -ECHILD)
		return tool_error("tar failed; give a FILE");
	if (result < 0)
		return tool_error("%s: %s", input->name, strerror(-result));
	if (!input->bytes)
		return tool_error("%s is empty; give a file with something "
		                  "in it", input->name);
	return TOOL_GO_ON;
}

/* ---- Rounds -------------------------------------------------------------- */

static const struct {
	const char *name;
	const struct demo_operations *operations;
	bool kill;
} ways[] = {
	{ "stoa queue, a kill", &demo_stoa, true },
	{ "stoa queue", &demo_stoa, false },
	{ "POSIX queue", &demo_mq, false },
	{ "System V queue", &demo_sysv, false },
	{ "pipe", &demo_pipe, false },
};

#define WAYS (sizeof(ways) / sizeof(*ways))

/* Small inputs go through several times, for the median. */
#define RUNS_MAX 9
#define RUNS_BYTES (256u << 20)

/* All rounds; of those that ran several times the first, with the median of
 * the seconds. */
struct rounds {
	struct demo_round first[WAYS];
	double seconds[WAYS][RUNS_MAX];
	size_t count, runs;
	bool own_limits;
};

static void prepare(struct demo_round *round, size_t way,
                    const struct rounds *rounds,
                    const struct options *options, const struct input *input)
{
	bool is_stoa = ways[way].operations == &demo_stoa;

	*round = (struct demo_round){
		.carrier = { .name = ways[way].name,
		             .operations = ways[way].operations,
		             .hand = is_stoa ? DEMO_HAND : 1,
		             .own_limits = rounds->own_limits },
		.seed = options->seed,
		.input = input->descriptor,
		.total = input->bytes,
		.workers = options->workers,
		.kill = ways[way].kill,
		.digest = input->digest,
	};
}

/* Keeps the first, or the first that failed. */
static void keep(struct rounds *rounds, size_t way, size_t run,
                 struct demo_round *round)
{
	struct demo_round *first = &rounds->first[way];

	rounds->seconds[way][run] = round->seconds;
	if (!run || round->result) {
		demo_round_fini(first);
		*first = *round;
	} else {
		demo_round_fini(round);
	}
}

/* Returns TOOL_GO_ON, or an exit code. */
static int run_way(struct rounds *rounds, size_t way, size_t run,
                   const struct options *options, const struct input *input)
{
	struct demo_round round;
	int stopped_by;

	if (run && (ways[way].kill || rounds->first[way].result))
		return TOOL_GO_ON;
	prepare(&round, way, rounds, options, input);
	stopped_by = demo_round_run(&round);
	keep(rounds, way, run, &round);
	if (stopped_by) {
		signal(stopped_by, SIG_DFL);
		raise(stopped_by);
		return TOOL_SIGNAL_EXIT + stopped_by;
	}
	if (!way && round.result < 0)
		return tool_error("%s", round.note);
	return TOOL_GO_ON;
}

static int by_size(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static int run_rounds(struct rounds *rounds, const struct options *options,
                      const struct input *input)
{
	uint64_t runs = RUNS_BYTES / input->bytes;

	/* Where it's allowed, the kernel's queues get a namespace of their
	 * own: their limits can be raised there, and nothing is left in the
	 * system's. */
	rounds->own_limits = !unshare(CLONE_NEWIPC);
	rounds->count = options->compare ? WAYS : 1;
	rounds->runs = runs > RUNS_MAX ? RUNS_MAX : runs ? runs : 1;
	for (size_t run = 0; run < rounds->runs; run++)
		for (size_t way = 0; way < rounds->count; way++) {
			int status = run_way(rounds, way, run, options, input);

			if (status != TOOL_GO_ON)
				return status;
		}
	for (size_t way = 0; way < rounds->count; way++) {
		if (ways[way].kill || rounds->first[way].result)
			continue;
		qsort(rounds->seconds[way], rounds->runs, sizeof(double),
		      by_size);
		rounds->first[way].seconds =
			rounds->seconds[way][rounds->runs / 2];
	}
	return TOOL_GO_ON;
}

static int status_of(const struct rounds *rounds, int no_exit)
{
	for (size_t i = 0; i < rounds->count; i++)
		if (rounds->first[i].result > 0)
			return no_exit;
	return TOOL_DONE;
}

static int run(const struct options *options, const struct input *input,
               struct tool_table *table, int no_exit)
{
	struct rounds rounds = { .count = 0 };
	int status = run_rounds(&rounds, options, input);

	if (status == TOOL_GO_ON) {
		status = demo_report_print(table, rounds.first, rounds.count,
		                           rounds.runs, input->name);
		status = tool_close_stdout(status);
		if (status == TOOL_DONE)
			status = status_of(&rounds, no_exit);
	}
	for (size_t i = 0; i < rounds.count; i++)
		demo_round_fini(&rounds.first[i]);
	return status;
}

int stoa_tool_demo(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("demo", help);
	struct input input = { .descriptor = -1 };
	struct tool_table table;
	struct options options;
	int status = parse(&options, &common, argc, argv);

	if (status != TOOL_GO_ON)
		return status;
	status = demo_table_init(&table, &common, &options.table);
	if (status != TOOL_GO_ON)
		return status;
	status = open_input(&options, &input);
	if (status == TOOL_GO_ON)
		status = run(&options, &input, &table, common.no_exit);
	if (input.descriptor >= 0)
		close(input.descriptor);
	tool_table_fini(&table);
	return status;
}
