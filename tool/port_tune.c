/* SPDX-License-Identifier: MIT */
/*
 * port_tune.c: stoa port tune: round trips with requests of each size, copied
 * through the port and mapped, to a server that reads every byte. Up to which
 * size is copying as good?
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "port.h"

#define LEAST 64u
#define MOST (1u << 20)
#define SIZES 15u
#define TRIPS_MOST 2001u
#define MEASURE_NS 20000000 /* of each size and way, about */
#define CALLS 2u

static const char help[] =
	"Usage: stoa port tune [OPTION]...\n"
	"\n"
	"Measures on this machine, between two processes, how long a call takes\n"
	"with requests of 64 bytes to 1 MiB that the server reads whole: copied\n"
	"through the port; copied into memory that the server maps; and filled\n"
	"there in place. Prints the times, and the size up to which copying\n"
	"through the port is no slower: what stoa port create --copy wants.\n"
	"\n"
	" -p, --plot FILE      draw the times into FILE, as SVG, by gnuplot\n"
	" -q, --quiet          print that size and nothing else\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_TABLE,
	{ "plot", required_argument, NULL, 'p' },
	{ "quiet", no_argument, NULL, 'q' },
	TOOL_LONG_END
};

enum way { COPIED, MAPPED, FILLED, WAYS };

struct tune {
	struct tool_common common;
	struct tool_table_options options;
	const char *plot;
	bool quiet;
	struct stoa_port *port;
	char name[64];
	char *data;
	uint64_t times[TRIPS_MOST];
	uint64_t median[SIZES][WAYS]; /* ns */
};

static uint64_t size_of(unsigned i)
{
	return (uint64_t)LEAST << i;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- The server ------------------------------------------------------------- */

static uint64_t sum(const void *data, size_t bytes)
{
	uint64_t total = 0, word;

	for (size_t at = 0; at + sizeof word <= bytes; at += sizeof word) {
		memcpy(&word, (const char *)data + at, sizeof word);
		total += word;
	}
	return total;
}

/* What is copied is copied on, so that nobody can change it. */
__attribute__((noreturn)) static void serve(struct stoa_space *space,
                                            const char *name, pid_t parent)
{
	struct stoa_port_request request;
	struct stoa_port *port;
	void *buffer = malloc(MOST);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || !buffer ||
	    stoa_port_open(space, name, STOA_READ, 0, NULL, &port) < 0)
		_exit(TOOL_FAILED);
	for (;;) {
		if (stoa_port_take(port, buffer, MOST, STOA_FOREVER,
		                   &request) < 0)
			_exit(TOOL_FAILED);
		uint64_t total = sum(request.data, request.bytes);
		if (stoa_port_reply(port, &request, 0, &total, sizeof total,
		                    STOA_FOREVER) < 0)
			_exit(TOOL_FAILED);
	}
}

/* ---- The client ------------------------------------------------------------- */

static int64_t call_once(struct tune *tune, enum way way, size_t bytes)
{
	struct stoa_port_ticket ticket;
	struct stoa_port_reply reply;
	void *place;
	int result = stoa_port_reserve(tune->port, bytes,
	                               way == COPIED ? 0 : STOA_PORT_MAPPED,
	                               STOA_FOREVER, &ticket, &place);

	if (result < 0)
		return result;
	if (way == FILLED)
		memset(place, 1, sizeof(uint64_t));
	else
		memcpy(place, tune->data, bytes);
	result = stoa_port_commit(tune->port, &ticket, bytes);
	if (result == 0)
		result = stoa_port_wait(tune->port, &ticket, STOA_FOREVER,
		                        &reply);
	return result < 0 ? result :
	                    stoa_port_finish(tune->port, &ticket, &reply);
}

static int by_time(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return a < b ? -1 : a > b;
}

static int measure_one(struct tune *tune, enum way way, size_t bytes,
                       uint64_t *ret_median)
{
	uint64_t begin = now_ns();
	size_t trips = 0;

	while (trips < TRIPS_MOST &&
	       (trips < 5 || now_ns() - begin < MEASURE_NS)) {
		uint64_t first = now_ns();
		int64_t result = call_once(tune, way, bytes);

		if (result < 0)
			return (int)result;
		tune->times[trips++] = now_ns() - first;
	}
	qsort(tune->times, trips, sizeof tune->times[0], by_time);
	*ret_median = tune->times[trips / 2];
	return 0;
}

/* The ways take turns, so that what disturbs one disturbs all. The first round
 * warms up. */
static int measure(struct tune *tune)
{
	for (unsigned i = 0; i < SIZES; i++)
		for (int round = 0; round < 3; round++)
			for (int way = 0; way < WAYS; way++) {
				uint64_t median;
				int result = measure_one(tune, (enum way)way,
				                         size_of(i), &median);

				if (result < 0)
					return result;
				if (round == 0 || median < tune->median[i][way])
					tune->median[i][way] = median;
			}
	return 0;
}

/* The largest size such that copying is no slower there and at all smaller
 * ones; a twentieth is noise. */
static uint64_t threshold(const struct tune *tune)
{
	uint64_t size = LEAST;

	for (unsigned i = 0; i < SIZES; i++) {
		if (tune->median[i][COPIED] >
		    tune->median[i][MAPPED] + tune->median[i][MAPPED] / 20)
			break;
		size = size_of(i);
	}
	return size;
}

/* ---- Telling ------------------------------------------------------------------ */

enum column { SIZE, COPIED_NS, MAPPED_NS, FILLED_NS };

static const struct tool_column columns[] = {
	[SIZE] = { "SIZE", TOOL_SIZE, "bytes of the request" },
	[COPIED_NS] = { "COPIED", TOOL_NUMBER,
	                "ns of a call, copied through the port" },
	[MAPPED_NS] = { "MAPPED", TOOL_NUMBER,
	                "ns, copied into what the server maps" },
	[FILLED_NS] = { "FILLED", TOOL_NUMBER, "ns, filled there in place" },
};

static int start_table(struct tune *tune, struct tool_table *table)
{
	*table = (struct tool_table){ .name = "sizes",
		                      .columns = columns,
		                      .count = sizeof columns / sizeof *columns,
		                      .options = &tune->options };
	return tool_table_init(table, &tune->common,
	                       "SIZE,COPIED,MAPPED,FILLED");
}

static int print(const struct tune *tune, struct tool_table *table)
{
	for (unsigned i = 0; i < SIZES; i++) {
		tool_table_line(table);
		tool_table_size(table, SIZE, size_of(i));
		tool_table_number(table, COPIED_NS, tune->median[i][COPIED]);
		tool_table_number(table, MAPPED_NS, tune->median[i][MAPPED]);
		tool_table_number(table, FILLED_NS, tune->median[i][FILLED]);
	}
	int result = tool_table_print(table);
	if (!tune->options.json)
		printf("copy up to %" PRIu64 " bytes: stoa port create --copy "
		       "%" PRIu64 " NAME\n",
		       threshold(tune), threshold(tune));
	return result;
}

static void write_plot(const struct tune *tune, FILE *gnuplot)
{
	fprintf(gnuplot,
	        "set terminal svg size 800,500 background rgb 'white'\n"
	        "set output '%s'\n"
	        "set logscale xy\nset key left top\nset grid\n"
	        "set title 'A call to a port whose server reads the request'\n"
	        "set xlabel 'bytes of the request'\n"
	        "set ylabel 'ns, there and back'\n"
	        "set arrow from %" PRIu64 ", graph 0 to %" PRIu64
	        ", graph 1 nohead dashtype 2\n"
	        "set label ' copy up to %" PRIu64 "' at %" PRIu64
	        ", graph 0.05\n"
	        "plot '-' with linespoints title 'copied', "
	        "'-' with linespoints title 'mapped', "
	        "'-' with linespoints title 'filled in place'\n",
	        tune->plot, threshold(tune), threshold(tune), threshold(tune),
	        threshold(tune));
	for (int way = 0; way < WAYS; way++) {
		for (unsigned i = 0; i < SIZES; i++)
			fprintf(gnuplot, "%" PRIu64 " %" PRIu64 "\n",
			        size_of(i), tune->median[i][way]);
		fputs("e\n", gnuplot);
	}
}

static bool has_gnuplot(void)
{
	return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

static int no_gnuplot(void)
{
	return tool_error("the plot wants gnuplot, which isn't installed; "
	                  "install the package gnuplot (or gnuplot-nox)");
}

/* Before a minute is spent. What is there already stays until it's drawn. */
static int check_plot(const struct tune *tune)
{
	FILE *file;

	if (strpbrk(tune->plot, "'\n\\"))
		return tool_usage(&tune->common, "the plot's name has a quote, "
		                                 "a backslash or a newline in "
		                                 "it");
	if (!has_gnuplot())
		return no_gnuplot();
	file = fopen(tune->plot, "ae");
	if (!file)
		return tool_error("can't write the plot '%s': %s", tune->plot,
		                  strerror(errno));
	fclose(file);
	return TOOL_DONE;
}

static int draw(const struct tune *tune)
{
	FILE *gnuplot = popen("gnuplot", "we");

	if (!gnuplot)
		return no_gnuplot();
	write_plot(tune, gnuplot);
	return pclose(gnuplot) == 0 ? TOOL_DONE :
	                              tool_error("gnuplot could not draw '%s'",
	                                         tune->plot);
}

/* ---- All of it ------------------------------------------------------------------ */

static int with_server(struct tune *tune, struct stoa_space *space)
{
	const struct stoa_port_attributes attributes = {
		.size = sizeof attributes,
		.calls = CALLS,
		.copy_bytes = MOST,
	};
	pid_t parent = getpid(), server;
	int result = stoa_port_open(space, tune->name,
	                            STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE,
	                            TOOL_MODE_DEFAULT, &attributes,
	                            &tune->port);

	if (result < 0)
		return tool_failure(result, tune->name);
	tune->data = malloc(MOST);
	server = tune->data ? fork() : -1;
	if (server == 0)
		serve(space, tune->name, parent);
	if (server < 0) {
		result = tool_error("no memory for a second process");
	} else {
		memset(tune->data, 1, MOST);
		result = measure(tune);
		if (result < 0)
			result = tool_failure(result, tune->name);
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	free(tune->data);
	stoa_port_close(tune->port);
	stoa_space_remove(space, tune->name, 0);
	stoa_space_clean(space, 0, NULL, NULL);
	return result;
}

static int report(struct tune *tune)
{
	struct tool_table table;
	int result = TOOL_DONE;

	if (tune->quiet) {
		printf("%" PRIu64 "\n", threshold(tune));
	} else {
		result = start_table(tune, &table);
		if (result != TOOL_GO_ON)
			return result;
		result = print(tune, &table);
		tool_table_fini(&table);
	}
	fflush(stdout);
	return tune->plot && result == TOOL_DONE ? draw(tune) : result;
}

int tool_port_tune(int argc, char **argv)
{
	static struct tune tune = { .common = TOOL_COMMON("port tune", help) };
	struct tool_table table;
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_TABLE "p:q", options,
	                             NULL)) != -1) {
		if (option == 'p')
			tune.plot = optarg;
		else if (option == 'q')
			tune.quiet = true;
		else if (!tool_table_option(&tune.options, option)) {
			result = tool_common_option(&tune.common, option);
			if (result != TOOL_GO_ON)
				return result;
		}
	}
	if (optind < argc)
		return tool_usage(&tune.common, "'%s' is too much",
		                  argv[optind]);
	result = start_table(&tune, &table);
	if (result != TOOL_GO_ON)
		return result;
	tool_table_fini(&table);
	result = tune.plot ? check_plot(&tune) : TOOL_DONE;
	if (result != TOOL_DONE)
		return result;
	result = tool_open_space(&tune.common, STOA_CREATE, &space);
	if (result)
		return result;
	snprintf(tune.name, sizeof tune.name, "tune-%d", (int)getpid());
	result = with_server(&tune, space);
	stoa_space_close(space);
	return result ? result : report(&tune);
}
