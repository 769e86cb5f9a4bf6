/* SPDX-License-Identifier: MIT */
/* stoa-bench: runs the rows asked for, and what they are compared with. */
#include "harness.h"

#include <fnmatch.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUICK_ROUNDS 3
#define USAGE_STATUS 2
#define FAILURE_STATUS 3
#define TREE_DEPTH 8
#define PATTERNS_MAX 16

static const char usage[] =
	"Usage: stoa-bench [options]\n"
	"Measures stoa beside floors, the kernel and peers. Never gates.\n\n"
	"  --rows PATTERN   rows whose name matches (latency/*), and what\n"
	"                   they are compared with; may be given again\n"
	"  --list           list the rows\n"
	"  --json FILE      write the report as JSON too (- = only that)\n"
	"  --quick          3 rounds of a third of the time\n"
	"  --rounds N       rounds, 1 to 5\n"
	"  --cores A,B      the two cores to use\n"
	"  -h, --help       this\n"
	"  -V, --version    version\n";

enum { OPTION_ROWS = 256, OPTION_LIST, OPTION_JSON, OPTION_QUICK,
       OPTION_ROUNDS, OPTION_CORES, OPTION_ONCE };

static const struct option options[] = {
	{ "rows", required_argument, NULL, OPTION_ROWS },
	{ "list", no_argument, NULL, OPTION_LIST },
	{ "json", required_argument, NULL, OPTION_JSON },
	{ "quick", no_argument, NULL, OPTION_QUICK },
	{ "rounds", required_argument, NULL, OPTION_ROUNDS },
	{ "cores", required_argument, NULL, OPTION_CORES },
	{ "once", required_argument, NULL, OPTION_ONCE }, /* for twins */
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

struct request {
	const char *pattern[PATTERNS_MAX];
	int patterns;
	const char *json;
	const char *once;
	bool list;
};

/* ---- The bench's own space ----------------------------------------------- */

static int remove_entry(const char *path, const struct stat *status, int type,
                        struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path) && errno != ENOENT;
}

static void remove_space(void)
{
	if (bench_setup.space[0])
		nftw(bench_setup.space, remove_entry, TREE_DEPTH,
		     FTW_DEPTH | FTW_PHYS);
	bench_setup.space[0] = '\0';
}

static volatile sig_atomic_t stopping;

/* The children end with their parent; what is left is the directory. nftw is
 * not async-signal-safe, but this process only waits while it can come. */
static void stop(int signal_number)
{
	if (stopping++)
		_exit(128 + signal_number);
	remove_space();
	_exit(128 + signal_number);
}

static int make_space(void)
{
	snprintf(bench_setup.space, sizeof(bench_setup.space),
	         "/dev/shm/stoa-bench-XXXXXX");
	if (!mkdtemp(bench_setup.space)) {
		bench_setup.space[0] = '\0';
		return -errno;
	}
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	signal(SIGHUP, stop);
	return 0;
}

static void find_directory(void)
{
	char *slash;
	ssize_t bytes = readlink("/proc/self/exe", bench_setup.directory,
	                         sizeof(bench_setup.directory) - 1);

	bench_setup.directory[bytes > 0 ? bytes : 0] = '\0';
	slash = strrchr(bench_setup.directory, '/');
	if (slash)
		*slash = '\0';
}

/* ---- Selection ----------------------------------------------------------- */

static bool matches(const struct request *request, const char *name)
{
	for (int i = 0; i < request->patterns; i++)
		if (!fnmatch(request->pattern[i], name, 0) ||
		    !strncmp(request->pattern[i], name,
		             strlen(request->pattern[i])))
			return true;
	return !request->patterns;
}

static bool select_name(bool *selected, const char *name)
{
	size_t count;
	struct bench_record *first = bench_records(&count);
	struct bench_record *record = name ? bench_find(name) : NULL;

	if (!record || selected[record - first])
		return false;
	selected[record - first] = true;
	return true;
}

/* What the selected rows and their aims are compared with. One pass more is
 * made while one has added something. */
static void select_bases(bool *selected)
{
	size_t count;
	struct bench_record *records = bench_records(&count);
	bool added;

	do {
		added = false;
		for (size_t i = 0; i < count; i++)
			if (selected[i])
				added |= select_name(selected,
				                     records[i].row->base);
		for (size_t i = 0; i < bench_aims_count; i++) {
			const struct bench_aim *aim = &bench_aims[i];
			struct bench_record *record = bench_find(aim->row);

			if (!record || !selected[record - records])
				continue;
			added |= select_name(selected, aim->base[0]);
			added |= select_name(selected, aim->base[1]);
		}
	} while (added);
}

static bool *select_rows(const struct request *request)
{
	size_t count;
	struct bench_record *records = bench_records(&count);
	bool *selected = calloc(count + 1, sizeof(*selected)), any = false;

	if (!selected)
		return NULL;
	for (size_t i = 0; i < count; i++)
		any |= selected[i] = matches(request, records[i].row->name);
	if (!any) {
		fprintf(stderr, "stoa-bench: no row matches; "
		        "see stoa-bench --list\n");
		free(selected);
		return NULL;
	}
	if (request->patterns && !request->list)
		select_bases(selected);
	return selected;
}

static void list_rows(const bool *selected)
{
	size_t count;
	struct bench_record *records = bench_records(&count);

	for (size_t i = 0; i < count; i++)
		if (selected[i])
			printf("%-26s %s: %s\n", records[i].row->name,
			       bench_group_title(records[i].row->group),
			       records[i].row->what);
}

/* ---- Modes --------------------------------------------------------------- */

/* One run of one row for another stoa-bench, which reads the line. */
static int run_once(const char *name)
{
	struct bench_record *record = bench_find(name);
	struct bench_result result = { .value = 0 };

	if (!record)
		return USAGE_STATUS;
	if (record->row->measure(record->row, &result)) {
		fprintf(stderr, "stoa-bench: %s: %s\n", name,
		        bench_last_note());
		return FAILURE_STATUS;
	}
	printf("%.6f %.6f %.6f %.6f %.6f %u\n", result.value, result.p99,
	       result.p999, result.cpu_ns, result.gap_ms, result.marks);
	return 0;
}

static int run_all(const struct request *request)
{
	bool *selected = select_rows(request);
	bool only_json = request->json && !strcmp(request->json, "-");
	int failure;

	if (!selected)
		return USAGE_STATUS;
	if (request->list) {
		list_rows(selected);
		free(selected);
		return 0;
	}
	bench_judge_begin();
	for (int group = 0; group < BENCH_GROUPS; group++)
		bench_judge_group((enum bench_group)group, selected);
	failure = bench_report(selected, only_json ? NULL : stdout,
	                       request->json);
	if (failure)
		fprintf(stderr, "stoa-bench: cannot write %s: %s\n",
		        request->json, strerror(-failure));
	free(selected);
	return failure ? FAILURE_STATUS : 0;
}

/* ---- Options ------------------------------------------------------------- */

static int read_cores(const char *text)
{
	if (sscanf(text, "%d,%d", &bench_setup.core[0],
	           &bench_setup.core[1]) != 2)
		return -EINVAL;
	bench_setup.cores = 2;
	return 0;
}

/* -1: go on; else the status to end with. */
static int read_option(int option, struct request *request)
{
	switch (option) {
	case OPTION_ROWS:
		if (request->patterns < PATTERNS_MAX)
			request->pattern[request->patterns++] = optarg;
		return -1;
	case OPTION_LIST:
		request->list = true;
		return -1;
	case OPTION_JSON:
		request->json = optarg;
		return -1;
	case OPTION_QUICK:
		bench_setup.quick = true;
		bench_setup.rounds = QUICK_ROUNDS;
		return -1;
	case OPTION_ROUNDS:
		bench_setup.rounds = atoi(optarg);
		return bench_setup.rounds >= 1 &&
		       bench_setup.rounds <= BENCH_RUNS ? -1 : USAGE_STATUS;
	case OPTION_CORES:
		return read_cores(optarg) ? USAGE_STATUS : -1;
	case OPTION_ONCE:
		request->once = optarg;
		return -1;
	case 'h':
		fputs(usage, stdout);
		return 0;
	case 'V':
		puts("stoa-bench");
		return 0;
	}
	return USAGE_STATUS;
}

int main(int argc, char **argv)
{
	struct request request = { .patterns = 0 };
	int option, status = -1, failure;

	while ((option = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		status = read_option(option, &request);
		if (status >= 0)
			break;
	}
	if (status < 0 && optind < argc)
		status = USAGE_STATUS;
	if (status == USAGE_STATUS)
		fputs(usage, stderr);
	if (status >= 0)
		return status;
	find_directory();
	failure = bench_begin();
	if (!failure)
		failure = make_space();
	if (failure) {
		fprintf(stderr, "stoa-bench: cannot start: %s\n",
		        strerror(-failure));
		return FAILURE_STATUS;
	}
	status = request.once ? run_once(request.once) : run_all(&request);
	remove_space();
	bench_end();
	return status;
}
