/* SPDX-License-Identifier: MIT */
/* descriptor.c: stoa descriptor: open descriptors offered by name, fetched. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "noun.h"

#define KIND "offer"
#define FIRST 3 /* after the standard ones */
#define DESCRIPTORS_MOST 65536
#define DATA_MOST 65536
#define NOT_FOUND 127
#define NOT_RUN 126

static int run_offer(int argc, char **argv);
static int run_fetch(int argc, char **argv);
static int run_rm(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "offer", run_offer, "offer open descriptors until they are fetched" },
	{ "fetch", run_fetch, "run a command with descriptors offered" },
	{ "rm", run_rm, "remove offers" },
	{ NULL, NULL, NULL }
};

int tool_descriptor(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "descriptor", verbs);
}

static int descriptors[DESCRIPTORS_MOST];

/* ---- offer --------------------------------------------------------------- */

static const char offer_help[] =
	"Usage: stoa descriptor offer [OPTION]... NAME\n"
	"\n"
	"Offers the descriptors 3, 4, ... that are open, up to the first that\n"
	"isn't, as NAME, and stays until they have been fetched.\n"
	"\n"
	" -f, --fd LIST        these descriptors: 0,5,3\n"
	" -c, --count N        until fetched N times; 0 is without limit;\n"
	"                      default 1\n"
	" -d, --data TEXT      text that goes with them, into $STOA_DATA\n"
	" -p, --print          print process and user of each that fetched\n"
	" -M, --mode OCTAL     who may fetch; default 0600; set exactly\n"
	" -w, --timeout SEC    wait at most SEC seconds in all; the answer is no\n"
	"                      if it wasn't fetched N times\n"
	TOOL_HELP_COMMON;

static const struct option offer_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "fd", required_argument, NULL, 'f' },
	{ "count", required_argument, NULL, 'c' },
	{ "data", required_argument, NULL, 'd' },
	{ "print", no_argument, NULL, 'p' },
	{ "mode", required_argument, NULL, 'M' },
	TOOL_LONG_END
};

struct offer {
	struct tool_common common;
	struct stoa_offer_attributes attributes;
	const char *data;
	size_t count;
	mode_t mode;
	bool print, listed;
};

static int parse_list(struct offer *offer, const char *list)
{
	char text[TOOL_TEXT_MAX];

	for (offer->count = 0; *list; offer->count++) {
		size_t length = strcspn(list, ",");
		uint64_t number;

		snprintf(text, sizeof text, "%.*s", (int)length, list);
		if (offer->count == DESCRIPTORS_MOST || length >= sizeof text ||
		    tool_parse_number(text, INT_MAX, &number) < 0)
			return tool_usage(&offer->common,
			                  "'%s' is no list of descriptors",
			                  list);
		descriptors[offer->count] = (int)number;
		list += length + (list[length] == ',');
	}
	offer->listed = true;
	return TOOL_GO_ON;
}

static int offer_option(struct offer *offer, int option)
{
	uint64_t number;

	switch (option) {
	case 'f': return parse_list(offer, optarg);
	case 'c':
		if (tool_parse_number(optarg, UINT32_MAX, &number) < 0)
			return tool_usage(&offer->common,
			                  "'%s' is not a number of fetches",
			                  optarg);
		offer->attributes.count = (uint32_t)number;
		return TOOL_GO_ON;
	case 'd': offer->data = optarg; return TOOL_GO_ON;
	case 'p': offer->print = true; return TOOL_GO_ON;
	case 'M':
		return tool_parse_mode(&offer->common, optarg, &offer->mode);
	default: return tool_common_option(&offer->common, option);
	}
}

/* Before anything else is opened. */
static void find_descriptors(struct offer *offer)
{
	for (int fd = FIRST; offer->count < DESCRIPTORS_MOST &&
	                     fcntl(fd, F_GETFD) >= 0;
	     fd++)
		descriptors[offer->count++] = fd;
}

static int serve(const struct offer *offer, struct stoa_offer *open)
{
	struct stoa_deadline deadline = tool_deadline(&offer->common);
	struct stoa_descriptor_peer peer;
	int left;

	do {
		left = stoa_descriptor_serve(open, deadline, &peer);
		if (left == -EINTR && !tool_stop_asked())
			left = 1; /* another signal */
		else if (left >= 0 && offer->print) {
			printf("%ld %lu\n", (long)peer.pid,
			       (unsigned long)peer.uid);
			fflush(stdout);
		}
	} while (left > 0);
	if (left == -EAGAIN || left == -ETIMEDOUT)
		return offer->common.no_exit;
	return left < 0 && left != -EINTR ? tool_failure(left, "serving") :
	                                    TOOL_DONE;
}

static int offer_name(const struct offer *offer, const char *typed)
{
	char buffer[STOA_NAME_MAX + 1];
	struct stoa_space *space;
	struct stoa_offer *open;
	int result = tool_open_space(&offer->common, STOA_CREATE, &space);

	if (result)
		return result;
	tool_stop_install();
	result = stoa_descriptor_offer(
		space, tool_bare_name(typed, KIND, buffer), STOA_INTERRUPTIBLE,
		offer->mode, &offer->attributes, descriptors, offer->count,
		offer->data, strlen(offer->data), &open);
	if (result < 0) {
		result = tool_failure(result, typed);
	} else {
		result = serve(offer, open);
		stoa_descriptor_withdraw(open);
	}
	stoa_space_close(space);
	tool_stop_die();
	return result;
}

static int run_offer(int argc, char **argv)
{
	struct offer offer = {
		.common = TOOL_COMMON("descriptor offer", offer_help),
		.attributes = { .size = sizeof offer.attributes, .count = 1 },
		.data = "",
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "f:c:d:pM:",
	                             offer_options, NULL)) != -1) {
		result = offer_option(&offer, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&offer.common,
		                  "one name for the offer is wanted");
	if (!offer.listed)
		find_descriptors(&offer);
	if (!offer.count)
		return tool_usage(&offer.common,
		                  "no descriptor is open to be offered; open one "
		                  "in the shell: 3<file");
	return offer_name(&offer, argv[optind]);
}

/* ---- fetch --------------------------------------------------------------- */

static const char fetch_help[] =
	"Usage: stoa descriptor fetch [OPTION]... NAME [--] COMMAND [ARGUMENT]...\n"
	"\n"
	"Becomes COMMAND with the descriptors that are offered as NAME: they are\n"
	"3, 4, ...; $LISTEN_FDS says how many, $LISTEN_PID is the command's\n"
	"process, $STOA_DATA the text that came with them.\n"
	"\n"
	" -u, --user USER      also take what this user offers; else only what\n"
	"                      oneself does, or root\n"
	" -W, --await          if nobody offers NAME, wait for somebody to\n"
	" -w, --timeout SEC    wait at most SEC seconds; 0 does not wait\n"
	TOOL_HELP_COMMON;

static const struct option fetch_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "await", no_argument, NULL, 'W' },
	{ "user", required_argument, NULL, 'u' },
	TOOL_LONG_END
};

struct fetch {
	struct tool_common common;
	unsigned flags;
	bool has_user;
	uid_t user;
	size_t count;
	char data[DATA_MOST + 1];
};

static int parse_user(struct fetch *fetch, const char *text)
{
	struct passwd *entry = getpwnam(text);
	uint64_t number;

	if (entry)
		fetch->user = entry->pw_uid;
	else if (tool_parse_number(text, UINT32_MAX - 1, &number) == 0)
		fetch->user = (uid_t)number;
	else
		return tool_usage(&fetch->common, "there is no user '%s'", text);
	fetch->has_user = true;
	return TOOL_GO_ON;
}

static int fetch_option(struct fetch *fetch, int option)
{
	switch (option) {
	case 'u': return parse_user(fetch, optarg);
	case 'W': fetch->flags |= STOA_AWAIT; return TOOL_GO_ON;
	default: return tool_common_option(&fetch->common, option);
	}
}

static void set_number(const char *name, uint64_t number)
{
	char text[TOOL_TEXT_MAX];

	snprintf(text, sizeof text, "%" PRIu64, number);
	setenv(name, text, 1);
}

/* They may lie in each other's places: first all go out of the way. */
static int put_in_place(size_t count)
{
	int beyond = FIRST + (int)count;

	for (size_t i = 0; i < count; i++) {
		if (descriptors[i] >= beyond)
			continue;
		int fd = fcntl(descriptors[i], F_DUPFD_CLOEXEC, beyond);

		if (fd < 0)
			return -errno;
		close(descriptors[i]);
		descriptors[i] = fd;
	}
	for (size_t i = 0; i < count; i++) {
		if (dup2(descriptors[i], FIRST + (int)i) < 0)
			return -errno;
		close(descriptors[i]);
	}
	return 0;
}

static int become(const struct fetch *fetch, char **command)
{
	int result = put_in_place(fetch->count);

	if (result < 0)
		return tool_error("putting %zu descriptors in their places: %s",
		                  fetch->count, strerror(-result));
	set_number("LISTEN_FDS", fetch->count);
	set_number("LISTEN_PID", (uint64_t)getpid());
	setenv("STOA_DATA", fetch->data, 1);
	fflush(stdout);
	execvp(command[0], command);
	result = errno;
	tool_error("can't run '%s': %s", command[0], strerror(result));
	return result == ENOENT ? NOT_FOUND : NOT_RUN;
}

static int fetch_name(struct fetch *fetch, const char *typed)
{
	struct stoa_descriptor_message message;
	char buffer[STOA_NAME_MAX + 1];
	struct stoa_space *space;
	int code = tool_open_space(&fetch->common,
	                           fetch->flags ? STOA_CREATE : 0, &space);

	if (code)
		return code;
	ssize_t result = stoa_descriptor_fetch(
		space, tool_bare_name(typed, KIND, buffer), fetch->flags,
		descriptors, DESCRIPTORS_MOST, fetch->data, DATA_MOST,
		tool_deadline(&fetch->common), &message);
	stoa_space_close(space);
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return fetch->common.no_exit;
	if (result < 0)
		return tool_failure((int)result, typed);
	fetch->data[result] = '\0';
	fetch->count = message.descriptors;
	if (message.sender.uid != geteuid() && message.sender.uid != 0 &&
	    !(fetch->has_user && message.sender.uid == fetch->user))
		return tool_error("'%s' is offered by user %lu; say --user %lu "
		                  "to take it from him",
		                  typed, (unsigned long)message.sender.uid,
		                  (unsigned long)message.sender.uid);
	return TOOL_GO_ON;
}

static int run_fetch(int argc, char **argv)
{
	static struct fetch fetch = {
		.common = TOOL_COMMON("descriptor fetch", fetch_help),
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             "+" TOOL_SHORT TOOL_SHORT_WAIT "u:W",
	                             fetch_options, NULL)) != -1) {
		result = fetch_option(&fetch, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&fetch.common,
		                  "the name of the offer is missing");
	const char *name = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	if (optind == argc)
		return tool_usage(&fetch.common, "the command is missing");
	result = fetch_name(&fetch, name);
	return result != TOOL_GO_ON ? result : become(&fetch, argv + optind);
}

/* ---- rm ------------------------------------------------------------------ */

static const char rm_help[] =
	"Usage: stoa descriptor rm [OPTION]... NAME...\n"
	"\n"
	"Removes the names of offers. Who offers them is not told.\n"
	"\n"
	" -f, --force          say nothing of what isn't there\n"
	TOOL_HELP_COMMON;

static int run_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, KIND, "descriptor rm", rm_help);
}
