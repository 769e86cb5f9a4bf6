/* SPDX-License-Identifier: MIT */
/*
 * queue_bench.c: stoa queue bench: a quick look at what queues do on this
 * machine. (The benchmarks proper, with floors and peers, are in bench/.)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

#define SIZE_DEFAULT 64
#define COUNT_DEFAULT 200000
#define COUNT_MAX 1000000000
#define ROUNDS 5
#define CAPACITY 1024
#define TOTAL_ROOM (64ULL << 20)
#define NS_PER_SECOND 1e9
#define HANG_SECONDS 60

enum column { TEST, SIZE, COUNT, NS, RATE, BANDWIDTH };

static const struct tool_column columns[] = {
	[TEST] = { "TEST", TOOL_TEXT, "what was measured" },
	[SIZE] = { "SIZE", TOOL_SIZE, "size of each message" },
	[COUNT] = { "COUNT", TOOL_NUMBER, "messages in each of 5 rounds" },
	[NS] = { "NS", TOOL_NUMBER, "nanoseconds a message, median round" },
	[RATE] = { "RATE", TOOL_NUMBER, "messages a second" },
	[BANDWIDTH] = { "BANDWIDTH", TOOL_SIZE, "bytes a second" },
};

static const char help[] =
	"Usage: stoa queue bench [OPTION]...\n"
	"\n"
	"Measures send and receive in one process, one way between two\n"
	"processes that answer each other, and throughput from one to the\n"
	"other. Each number is the median of 5 rounds; the system places the\n"
	"processes on processors as it likes.\n"
	"\n"
	" -s, --size N         bytes of each message; default 64\n"
	" -c, --count N        messages in each round; default 200000\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_TABLE,
	{ "size", required_argument, NULL, 's' },
	{ "count", required_argument, NULL, 'c' },
	TOOL_LONG_END
};

struct bench {
	struct tool_common common;
	struct tool_table_options options;
	struct tool_table table;
	uint64_t size, count;
	struct stoa_space *space;
	struct stoa_queue *there, *back;
	char *buffer;
};

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * NS_PER_SECOND + (double)time.tv_nsec;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static int send_one(struct bench *bench, struct stoa_queue *queue)
{
	return stoa_queue_send(
		queue, bench->buffer, bench->size,
		stoa_deadline_in(HANG_SECONDS * (int64_t)NS_PER_SECOND));
}

static int receive_one(struct bench *bench, struct stoa_queue *queue)
{
	ssize_t size = stoa_queue_receive(
		queue, NULL, bench->buffer, bench->size,
		stoa_deadline_in(HANG_SECONDS * (int64_t)NS_PER_SECOND), NULL);

	return size < 0 ? (int)size : 0;
}

/* ---- The three tests: what this process does, what the other does -------- */

static int alone(struct bench *bench)
{
	int result = 0;

	for (uint64_t i = 0; i < bench->count && result >= 0; i++) {
		result = send_one(bench, bench->there);
		if (result >= 0)
			result = receive_one(bench, bench->there);
	}
	return result;
}

static int ask(struct bench *bench)
{
	int result = 0;

	for (uint64_t i = 0; i < bench->count && result >= 0; i++) {
		result = send_one(bench, bench->there);
		if (result >= 0)
			result = receive_one(bench, bench->back);
	}
	return result;
}

static int answer(struct bench *bench)
{
	int result = 0;

	for (uint64_t i = 0; i < bench->count && result >= 0; i++) {
		result = receive_one(bench, bench->there);
		if (result >= 0)
			result = send_one(bench, bench->back);
	}
	return result;
}

/* The last receive is told, so that the clock covers it. */
static int pour(struct bench *bench)
{
	int result = 0;

	for (uint64_t i = 0; i < bench->count && result >= 0; i++)
		result = send_one(bench, bench->there);
	return result < 0 ? result : receive_one(bench, bench->back);
}

static int drink(struct bench *bench)
{
	int result = 0;

	for (uint64_t i = 0; i < bench->count && result >= 0; i++)
		result = receive_one(bench, bench->there);
	return result < 0 ? result : send_one(bench, bench->back);
}

struct test {
	const char *name;
	int (*here)(struct bench *bench);
	int (*other)(struct bench *bench); /* NULL: nobody */
	double ways; /* messages that cross one after another in one turn */
};

static const struct test tests[] = {
	{ "send+receive, one process", alone, NULL, 1 },
	{ "one way, two processes", ask, answer, 2 },
	{ "throughput, two processes", pour, drink, 1 },
};

/* The other side says that it is ready before the clock starts. */
static pid_t start_other(struct bench *bench, const struct test *test)
{
	pid_t child = fork();

	if (child)
		return child < 0 ? -errno : child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (send_one(bench, bench->back) < 0 || test->other(bench) < 0)
		_exit(TOOL_FAILED);
	_exit(TOOL_DONE);
}

static int end_other(pid_t child, int result)
{
	int status;

	if (result < 0)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (result >= 0 && status)
		return -ECHILD;
	return result;
}

static int run_round(struct bench *bench, const struct test *test,
                     double *ret_ns)
{
	pid_t child = 0;
	double start;
	int result = 0;

	if (test->other) {
		child = start_other(bench, test);
		if (child < 0)
			return child;
		result = receive_one(bench, bench->back);
	}
	start = now_ns();
	if (result >= 0)
		result = test->here(bench);
	*ret_ns = (now_ns() - start) / (double)bench->count / test->ways;
	return child ? end_other(child, result) : result;
}

static int run_test(struct bench *bench, const struct test *test)
{
	double ns[ROUNDS], median;

	for (int i = 0; i < ROUNDS; i++) {
		int result = run_round(bench, test, &ns[i]);

		if (result < 0)
			return result;
	}
	qsort(ns, ROUNDS, sizeof *ns, compare);
	median = ns[ROUNDS / 2];
	tool_table_line(&bench->table);
	tool_table_text(&bench->table, TEST, test->name);
	tool_table_size(&bench->table, SIZE, bench->size);
	tool_table_number(&bench->table, COUNT, bench->count);
	tool_table_real(&bench->table, NS, 1, median);
	tool_table_number(&bench->table, RATE,
	                  (uint64_t)(NS_PER_SECOND / median));
	tool_table_size(
		&bench->table, BANDWIDTH,
		(uint64_t)(NS_PER_SECOND / median * (double)bench->size));
	return 0;
}

/* ---- Queues without a name: nothing is left behind ----------------------- */

static int make_queue(struct bench *bench, const char *which,
                      struct stoa_queue **ret_queue)
{
	struct stoa_queue_attributes attributes = {
		.size = sizeof attributes,
		.capacity = CAPACITY,
		.max_message_bytes = bench->size,
	};
	char name[TOOL_TEXT_MAX];
	int result;

	if (bench->size * CAPACITY > TOTAL_ROOM)
		attributes.total_bytes = TOTAL_ROOM > 4 * bench->size
		                                 ? TOTAL_ROOM
		                                 : 4 * bench->size;
	snprintf(name, sizeof name, "bench-%ld-%s", (long)getpid(), which);
	result = stoa_queue_open(bench->space, name,
	                         STOA_READ | STOA_WRITE | STOA_CREATE |
	                                 STOA_EXCLUSIVE,
	                         S_IRUSR | S_IWUSR, &attributes, ret_queue);
	if (result >= 0)
		stoa_queue_unlink(bench->space, name);
	return result;
}

static int run_tests(struct bench *bench)
{
	int result = make_queue(bench, "there", &bench->there);

	if (result >= 0)
		result = make_queue(bench, "back", &bench->back);
	for (size_t i = 0; i < sizeof tests / sizeof *tests && result >= 0; i++)
		result = run_test(bench, &tests[i]);
	stoa_queue_close(bench->back);
	stoa_queue_close(bench->there);
	if (result < 0)
		return tool_failure(result, "measuring");
	return tool_table_print(&bench->table);
}

static int bench_option(struct bench *bench, int option)
{
	if (tool_table_option(&bench->options, option))
		return TOOL_GO_ON;
	if (option == 's') {
		if (tool_parse_size(optarg, &bench->size) < 0 || !bench->size)
			return tool_usage(&bench->common, "'%s' is not a size",
			                  optarg);
		return TOOL_GO_ON;
	}
	if (option == 'c') {
		if (tool_parse_number(optarg, COUNT_MAX, &bench->count) < 0 ||
		    !bench->count)
			return tool_usage(&bench->common,
			                  "'%s' is not a number of messages",
			                  optarg);
		return TOOL_GO_ON;
	}
	return tool_common_option(&bench->common, option);
}

static int bench_open(struct bench *bench)
{
	int result;

	bench->buffer = calloc(1, bench->size);
	if (!bench->buffer)
		return tool_error("out of memory");
	result = tool_open_space(&bench->common, 0, &bench->space);
	if (!result) {
		result = run_tests(bench);
		stoa_space_close(bench->space);
	}
	free(bench->buffer);
	return result;
}

int tool_queue_bench(int argc, char **argv)
{
	static struct bench bench = {
		.common = TOOL_COMMON("queue bench", help),
		.size = SIZE_DEFAULT,
		.count = COUNT_DEFAULT,
	};
	int option, result;

	while ((option = getopt_long(
			argc, argv, TOOL_SHORT TOOL_SHORT_TABLE "s:c:", options,
			NULL)) != -1) {
		result = bench_option(&bench, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind < argc)
		return tool_usage(&bench.common,
		                  "'%s' is one argument too many",
		                  argv[optind]);
	bench.table =
		(struct tool_table){ .name = "tests",
		                     .columns = columns,
		                     .count = sizeof columns / sizeof *columns,
		                     .options = &bench.options };
	result = tool_table_init(&bench.table, &bench.common,
	                         "TEST,SIZE,NS,RATE,BANDWIDTH");
	if (result != TOOL_GO_ON)
		return result;
	result = bench_open(&bench);
	tool_table_fini(&bench.table);
	return result;
}
