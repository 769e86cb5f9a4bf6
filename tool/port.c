/* SPDX-License-Identifier: MIT */
/* port.c: stoa port: picks its verb; create and stat. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "port.h"

#define KIND "port"

static const struct tool_verb verbs[] = {
	{ "create", tool_port_create, "make a port" },
	{ "serve", tool_port_serve, "answer each request by a command" },
	{ "call", tool_port_call, "ask, and print the answer" },
	{ "stat", tool_port_stat, "show the numbers of ports" },
	{ "tune", tool_port_tune, "measure up to which size to copy" },
	{ NULL, NULL, NULL }
};

int tool_port(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "port", verbs);
}

int tool_port_open(struct stoa_space *space, const char *name, unsigned flags,
                   struct stoa_port **ret_port)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_port_open(space, tool_bare_name(name, KIND, buffer), flags,
	                      0, NULL, ret_port);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa port create [OPTION]... NAME...\n"
	"\n"
	"Makes ports, and the directory of the space if there is none. A port\n"
	"that is there already is left as it is; the answer is no if it takes\n"
	"fewer calls or smaller payloads than asked.\n"
	"\n"
	" -n, --calls N        calls that may be under way; default 32\n"
	" -c, --copy N         payloads of up to N bytes are copied, larger ones\n"
	"                      mapped; default 16K; see stoa port tune\n"
	" -g, --grant N        payloads of up to N bytes are mapped whole, larger\n"
	"                      ones go in rounds; default 64M\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	"N may carry K, M, G (or KiB, MiB: 1024; KB, MB: 1000).\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "calls", required_argument, NULL, 'n' },
	{ "copy", required_argument, NULL, 'c' },
	{ "grant", required_argument, NULL, 'g' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_port_attributes attributes;
	mode_t mode;
	bool exclusive;
};

static int parse_size(const struct tool_common *common, const char *text,
                      uint64_t *ret_size)
{
	if (tool_parse_size(text, ret_size) < 0 || !*ret_size)
		return tool_usage(common, "'%s' is not a size", text);
	return TOOL_GO_ON;
}

static int parse_calls(struct create *create)
{
	uint64_t calls;

	if (tool_parse_number(optarg, STOA_PORT_CALLS_MAX, &calls) < 0 ||
	    !calls)
		return tool_usage(&create->common, "'%s' is not 1 to %d calls",
		                  optarg, STOA_PORT_CALLS_MAX);
	create->attributes.calls = (uint32_t)calls;
	return TOOL_GO_ON;
}

static int create_option(struct create *create, int option)
{
	switch (option) {
	case 'n': return parse_calls(create);
	case 'c':
		return parse_size(&create->common, optarg,
		                  &create->attributes.copy_bytes);
	case 'g':
		return parse_size(&create->common, optarg,
		                  &create->attributes.grant_bytes);
	case 'M': return tool_parse_mode(&create->common, optarg,
	                                 &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int read_numbers(struct stoa_space *space, const char *name,
                        struct stoa_port_status *ret_status)
{
	struct stoa_port *port;
	int result = tool_port_open(space, name, STOA_READ, &port);

	if (result < 0)
		return result;
	ret_status->size = sizeof *ret_status;
	result = stoa_port_stat(port, ret_status);
	stoa_port_close(port);
	/* Its own handle is none to tell of. */
	ret_status->servers -= result == 0 && ret_status->servers > 0;
	return result;
}

static int check_found(const struct create *create, struct stoa_space *space,
                       const char *name)
{
	struct stoa_port_status found;
	int result = read_numbers(space, name, &found);

	if (result < 0)
		return tool_failure(result, name);
	if (found.calls >= create->attributes.calls &&
	    found.copy_bytes >= create->attributes.copy_bytes &&
	    found.grant_bytes >= create->attributes.grant_bytes)
		return TOOL_DONE;
	tool_error("port '%s' is there already, but for %" PRIu32 " calls, "
	           "copies %" PRIu64 " bytes and maps %" PRIu64,
	           name, found.calls, found.copy_bytes, found.grant_bytes);
	return create->common.no_exit;
}

static int create_one(const struct create *create, struct stoa_space *space,
                      const char *typed)
{
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, KIND, buffer);
	struct stoa_port *port;
	int result = stoa_port_open(space, name,
	                            STOA_READ | STOA_CREATE | STOA_EXCLUSIVE,
	                            create->mode, &create->attributes, &port);

	if (result >= 0) {
		stoa_port_close(port);
		return TOOL_DONE;
	}
	if (result != -EEXIST)
		return tool_failure(result, typed);
	if (create->exclusive) {
		tool_failure(result, typed);
		return create->common.no_exit;
	}
	return check_found(create, space, typed);
}

int tool_port_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("port create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	struct stoa_space *space;
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "n:c:g:M:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&create.common,
		                  "the name of the port is missing");
	result = tool_open_space(&create.common, STOA_CREATE, &space);
	if (result)
		return result;
	for (; optind < argc; optind++) {
		result = create_one(&create, space, argv[optind]);
		worst = result > worst ? result : worst;
	}
	stoa_space_close(space);
	return worst;
}

/* ---- stat ---------------------------------------------------------------- */

enum column {
	NAME,
	CALLS,
	WAITING,
	TAKEN,
	ENDED,
	SERVERS,
	CLIENTS,
	IDLE,
	ASKING,
	COPY,
	GRANT,
	MADE,
	SERVED,
	BYTESIN,
	BYTESOUT,
	CREATED,
	CREATOR,
	GENERATION
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the port" },
	[CALLS] = { "CALLS", TOOL_NUMBER, "calls that may be under way" },
	[WAITING] = { "WAITING", TOOL_NUMBER, "requests nobody has taken" },
	[TAKEN] = { "TAKEN", TOOL_NUMBER, "requests that a server has" },
	[ENDED] = { "ENDED", TOOL_NUMBER, "calls that ended, not collected" },
	[SERVERS] = { "SERVERS", TOOL_NUMBER, "living handles that serve" },
	[CLIENTS] = { "CLIENTS", TOOL_NUMBER, "living handles that call" },
	[IDLE] = { "IDLE", TOOL_NUMBER, "servers that wait for a request" },
	[ASKING] = { "ASKING", TOOL_NUMBER, "clients that wait" },
	[COPY] = { "COPY", TOOL_SIZE, "up to so many bytes are copied" },
	[GRANT] = { "GRANT", TOOL_SIZE, "up to so many are mapped whole" },
	[MADE] = { "MADE", TOOL_NUMBER, "calls ever made" },
	[SERVED] = { "SERVED", TOOL_NUMBER, "requests ever taken" },
	[BYTESIN] = { "BYTESIN", TOOL_SIZE, "bytes of all requests" },
	[BYTESOUT] = { "BYTESOUT", TOOL_SIZE, "bytes of all replies" },
	[CREATED] = { "CREATED", TOOL_TIME, "when the port was made" },
	[CREATOR] = { "CREATOR", TOOL_NUMBER, "process that made it" },
	[GENERATION] = { "GENERATION", TOOL_TEXT,
	                 "differs for each object ever made" },
};

#define USUAL                                                             \
	"NAME,CALLS,WAITING,TAKEN,ENDED,SERVERS,CLIENTS,IDLE,MADE,SERVED," \
	"COPY,GRANT"
#define FULL                                                               \
	"CALLS,WAITING,TAKEN,ENDED,SERVERS,CLIENTS,IDLE,ASKING,COPY,GRANT," \
	"MADE,SERVED,BYTESIN,BYTESOUT"

static const char stat_help[] =
	"Usage: stoa port stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the ports named (shell patterns are fine), or of\n"
	"all ports, one a line.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static void start_table(struct tool_table *table,
                        const struct tool_table_options *table_options)
{
	*table = (struct tool_table){ .name = "ports",
		                      .columns = columns,
		                      .count = sizeof columns / sizeof *columns,
		                      .options = table_options };
}

static void fill(struct tool_table *table,
                 const struct stoa_port_status *status)
{
	char text[TOOL_TEXT_MAX];

	tool_table_number(table, CALLS, status->calls);
	tool_table_number(table, WAITING, status->waiting);
	tool_table_number(table, TAKEN, status->taken);
	tool_table_number(table, ENDED, status->ended);
	tool_table_number(table, SERVERS, status->servers);
	tool_table_number(table, CLIENTS, status->clients);
	tool_table_number(table, IDLE, status->servers_waiting);
	tool_table_number(table, ASKING, status->clients_waiting);
	tool_table_size(table, COPY, status->copy_bytes);
	tool_table_size(table, GRANT, status->grant_bytes);
	tool_table_number(table, MADE, status->calls_made);
	tool_table_number(table, SERVED, status->calls_taken);
	tool_table_size(table, BYTESIN, status->bytes_asked);
	tool_table_size(table, BYTESOUT, status->bytes_answered);
	tool_table_time(table, CREATED, status->created_ns);
	tool_table_number(table, CREATOR, (uint64_t)status->creator_pid);
	snprintf(text, sizeof text, "%" PRIu64, status->generation);
	tool_table_text(table, GENERATION, text);
}

/* What stoa stat shows of it. */
int tool_port_inside(struct stoa_space *space, const char *name,
                     const struct tool_table_options *given,
                     struct tool_out *out)
{
	struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options part = tool_inside_options(given);
	struct stoa_port_status status;
	struct tool_table table;
	int result = read_numbers(space, name, &status);

	if (result < 0)
		return tool_failure(result, name);
	start_table(&table, &part);
	if (tool_table_init(&table, &common, FULL) != TOOL_GO_ON)
		return TOOL_FAILED;
	tool_table_line(&table);
	fill(&table, &status);
	tool_inside_print(&table, KIND, out);
	tool_table_fini(&table);
	return TOOL_DONE;
}

static int add_port(struct tool_table *table, struct stoa_space *space,
                    const struct stoa_object_info *object)
{
	struct stoa_port_status status;
	int result = read_numbers(space, object->name, &status);

	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, object->name);
	fill(table, &status);
	return 0;
}

int tool_port_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { KIND, KIND, USUAL,
		                                    add_port };
	struct tool_table table;

	start_table(&table, NULL);
	return tool_run_stat(argc, argv, &stat, table, "port stat", stat_help);
}
