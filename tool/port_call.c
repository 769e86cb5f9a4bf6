/* SPDX-License-Identifier: MIT */
/* port_call.c: stoa port call: asks, and prints the answer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port.h"

#define REPLY_MAX_DEFAULT (UINT64_C(1) << 30)

static const char help[] =
	"Usage: stoa port call [OPTION]... NAME [DATA | -]\n"
	"\n"
	"Sends DATA, or standard input, as a request and prints the reply, byte\n"
	"by byte as it is. The exit code is the status that the server gave; the\n"
	"answer is no if none comes in time, or if nobody serves.\n"
	"\n"
	" -w, --timeout SEC    wait at most SEC seconds; decimals are fine\n"
	" -r, --refuse         don't wait for a server to come\n"
	" -m, --max-reply N    no reply may be larger; default 1G\n"
	" -p, --progress       tell on standard error how far it is\n"
	TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "refuse", no_argument, NULL, 'r' },
	{ "max-reply", required_argument, NULL, 'm' },
	{ "progress", no_argument, NULL, 'p' },
	TOOL_LONG_END
};

struct call {
	struct tool_common common;
	unsigned flags;
	uint64_t room;
	bool progress;
	const char *name;
	char *request;
	size_t bytes;
};

static int call_option(struct call *call, int option)
{
	switch (option) {
	case 'r': call->flags |= STOA_REFUSE; return TOOL_GO_ON;
	case 'p': call->progress = true; return TOOL_GO_ON;
	case 'm':
		if (tool_parse_size(optarg, &call->room) < 0 || !call->room)
			return tool_usage(&call->common, "'%s' is not a size",
			                  optarg);
		return TOOL_GO_ON;
	default: return tool_common_option(&call->common, option);
	}
}

/* Standard input whole. */
static int read_all(struct call *call)
{
	size_t room = 0;

	for (;;) {
		if (call->bytes == room) {
			room = room ? 2 * room : 65536;
			char *larger = realloc(call->request, room);

			if (!larger)
				return -ENOMEM;
			call->request = larger;
		}
		ssize_t got = read(STDIN_FILENO, call->request + call->bytes,
		                   room - call->bytes);

		if (got == 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		call->bytes += got > 0 ? (size_t)got : 0;
	}
}

static void print_progress(uint64_t done, uint64_t total, void *context)
{
	(void)context;
	fprintf(stderr, "%" PRIu64 " of %" PRIu64 " bytes\n", done, total);
}

static int finish(const struct call *call,
                  const struct stoa_port_exchange *exchange, int result)
{
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return call->common.no_exit;
	if (result == -ECONNREFUSED) {
		tool_failure(result, call->name);
		return call->common.no_exit;
	}
	if (result < 0)
		return tool_failure(result, call->name);
	if (exchange->ret_bytes &&
	    fwrite(exchange->reply, 1, exchange->ret_bytes, stdout) !=
	            exchange->ret_bytes)
		return tool_error("writing the reply: %s", strerror(errno));
	/* What no exit code can say is a failure. */
	return exchange->ret_status < 0 || exchange->ret_status > 255 ?
	               TOOL_FAILED :
	               exchange->ret_status;
}

/* Room for the reply costs memory only as far as it is used. */
static int ask(struct call *call, struct stoa_space *space)
{
	struct stoa_port_exchange exchange = {
		.size = sizeof exchange,
		.request = call->request,
		.request_bytes = call->bytes,
		.reply_room = call->room,
		.progress = call->progress ? print_progress : NULL,
	};
	struct stoa_deadline deadline = tool_deadline(&call->common);
	struct stoa_port *port;
	int result = tool_port_open(space, call->name, call->flags, &port);

	if (result < 0)
		return tool_failure(result, call->name);
	exchange.reply = mmap(NULL, call->room, PROT_READ | PROT_WRITE,
	                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
	                      0);
	if (exchange.reply == MAP_FAILED) {
		result = tool_error("no memory for a reply of %" PRIu64
		                    " bytes",
		                    call->room);
	} else {
		result = stoa_port_exchange(port, &exchange, deadline);
		result = finish(call, &exchange, result);
		munmap(exchange.reply, call->room);
	}
	stoa_port_close(port);
	return result;
}

int tool_port_call(int argc, char **argv)
{
	struct call call = { .common = TOOL_COMMON("port call", help),
		             .flags = STOA_WRITE,
		             .room = REPLY_MAX_DEFAULT };
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_WAIT
	                             "rm:p",
	                             options, NULL)) != -1) {
		result = call_option(&call, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&call.common,
		                  "the name of the port is missing");
	call.name = argv[optind++];
	if (argc - optind > 1)
		return tool_usage(&call.common, "more than one request");
	if (optind < argc && strcmp(argv[optind], "-")) {
		call.bytes = strlen(argv[optind]);
		call.request = strdup(argv[optind]);
		result = call.request ? 0 : -ENOMEM;
	} else {
		result = read_all(&call);
	}
	if (result < 0) {
		free(call.request);
		return tool_failure(result, "reading the request");
	}
	result = tool_open_space(&call.common, 0, &space);
	if (!result) {
		result = ask(&call, space);
		stoa_space_close(space);
	}
	free(call.request);
	return result;
}
