/* SPDX-License-Identifier: MIT */
/*
 * ipcs.c: stoa ipcs: the System V objects of a space, as ipcs(1) shows the
 * kernel's: the same columns, so that scripts can read either.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ipcs.h"

static const char help[] =
	"Usage: stoa ipcs [RESOURCE]... [OUTPUT] [OPTION]...\n"
	"       stoa ipcs -m|-q|-s -i ID\n"
	"\n"
	"Shows what programs run by stoa run have made with the calls of\n"
	"System V IPC, as ipcs(1) shows the kernel's objects.\n"
	"\n"
	" -m, --shmems         shared memory segments\n"
	" -q, --queues         message queues\n"
	" -s, --semaphores     semaphores\n"
	" -a, --all            all (default)\n"
	"\n"
	" -t, --time           when they were used and changed\n"
	" -p, --pid            who made them and used them last\n"
	" -c, --creator        creators and owners\n"
	" -l, --limits         limits\n"
	" -u, --summary        how many there are\n"
	" -i, --id ID          all about one\n"
	"     --human          sizes with K, M, G\n"
	" -b, --bytes          sizes in bytes\n"
	"\n"
	"     --space NAME|DIR the space; default $STOA_SPACE, else\n"
	"                      /dev/shm/stoa-UID\n"
	" -h, --help           this text\n"
	" -V, --version        the version\n";

enum { HUMAN = TOOL_OPTION_FIRST };

static const struct option options[] = {
	{ "shmems", no_argument, NULL, 'm' },
	{ "queues", no_argument, NULL, 'q' },
	{ "semaphores", no_argument, NULL, 's' },
	{ "all", no_argument, NULL, 'a' },
	{ "time", no_argument, NULL, 't' },
	{ "pid", no_argument, NULL, 'p' },
	{ "creator", no_argument, NULL, 'c' },
	{ "limits", no_argument, NULL, 'l' },
	{ "summary", no_argument, NULL, 'u' },
	{ "id", required_argument, NULL, 'i' },
	{ "human", no_argument, NULL, HUMAN },
	{ "bytes", no_argument, NULL, 'b' },
	{ "space", required_argument, NULL, 'S' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	TOOL_LONG_END
};

/* ---- Parts of lines ------------------------------------------------------- */

void ipcs_print_owner(int width, int id, uid_t uid)
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		printf("%-*d %-10.10s", width, id, user->pw_name);
	else
		printf("%-*d %-10u", width, id, uid);
}

static void print_user(uid_t uid)
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		printf(" %-10s", user->pw_name);
	else
		printf(" %-10u", uid);
}

static void print_group(gid_t gid)
{
	const struct group *group = getgrgid(gid);

	if (group)
		printf(" %-10s", group->gr_name);
	else
		printf(" %-10u", gid);
}

void ipcs_print_creator(int id, const struct ipc_perm *permission)
{
	printf("%-10d %-10o", id, permission->mode & 0777);
	print_user(permission->cuid);
	print_group(permission->cgid);
	print_user(permission->uid);
	print_group(permission->gid);
	putchar('\n');
}

void ipcs_print_short_time(time_t when)
{
	char text[TOOL_TEXT_MAX];
	struct tm broken;

	if (when && localtime_r(&when, &broken) &&
	    strftime(text, sizeof text, "%b %e %H:%M:%S", &broken))
		printf(" %-20s", text);
	else
		printf(" %-20s", "Not set");
}

void ipcs_print_long_time(const char *before, time_t when, const char *after)
{
	char text[TOOL_TEXT_MAX] = "Not set";
	struct tm broken;

	if (when && localtime_r(&when, &broken))
		strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &broken);
	printf("%s%-26s%s", before, text, after);
}

const char *ipcs_size(const struct ipcs *ipcs, uint64_t bytes, char *text)
{
	if (ipcs->human)
		return tool_human_size(bytes, text);
	snprintf(text, TOOL_TEXT_MAX, "%" PRIu64, bytes);
	return text;
}

void ipcs_print_size(const struct ipcs *ipcs, int width, uint64_t bytes)
{
	char text[TOOL_TEXT_MAX], aligned[TOOL_TEXT_MAX + 8];

	ipcs_size(ipcs, bytes, text);
	snprintf(aligned, sizeof aligned, ipcs->human ? "%6s" : "%s", text);
	printf("%-*s ", width, aligned);
}

void ipcs_print_creator_head(const char *id)
{
	printf("%-10s %-10s %-10s %-10s %-10s %-10s\n", id, "perms", "cuid",
	       "cgid", "uid", "gid");
}

/* ---- stoa ipcs ------------------------------------------------------------ */

static int show_all(const struct ipcs *ipcs)
{
	static int (*const list[])(const struct ipcs *) = {
		[IPCS_QUEUES] = ipcs_list_queues,
		[IPCS_MEMORY] = ipcs_list_memory,
		[IPCS_SEMAPHORES] = ipcs_list_semaphores,
	};

	putchar('\n');
	for (unsigned kind = 0; kind < IPCS_KINDS; kind++) {
		if (!(ipcs->kinds & 1u << kind))
			continue;
		int result = list[kind](ipcs);
		if (result)
			return result;
		putchar('\n');
	}
	return TOOL_DONE;
}

/* What a call said of one identifier. An exit code. */
static int id_failure(int id)
{
	if (errno == EINVAL || errno == EIDRM) {
		tool_error("id %d not found", id);
		return TOOL_NO;
	}
	return tool_error("id %d: %s", id, strerror(errno));
}

static int show_one(const struct ipcs *ipcs)
{
	int result;

	switch (ipcs->kinds) {
	case 1u << IPCS_QUEUES: result = ipcs_show_queue(ipcs); break;
	case 1u << IPCS_MEMORY: result = ipcs_show_memory(ipcs); break;
	default: result = ipcs_show_semaphores(ipcs); break;
	}
	return result < 0 ? id_failure(ipcs->id) : TOOL_DONE;
}

static int parse_id(const struct tool_common *common, struct ipcs *ipcs)
{
	uint64_t number;

	if (tool_parse_number(optarg, INT32_MAX, &number) < 0)
		return tool_usage(common, "failed to parse id: '%s'", optarg);
	ipcs->id = (int)number;
	ipcs->one = true;
	return TOOL_GO_ON;
}

static int parse_option(struct tool_common *common, struct ipcs *ipcs,
                        int option)
{
	switch (option) {
	case 'm': ipcs->kinds |= 1u << IPCS_MEMORY; return TOOL_GO_ON;
	case 'q': ipcs->kinds |= 1u << IPCS_QUEUES; return TOOL_GO_ON;
	case 's': ipcs->kinds |= 1u << IPCS_SEMAPHORES; return TOOL_GO_ON;
	case 'a': ipcs->kinds = IPCS_ALL; return TOOL_GO_ON;
	case 't': ipcs->form = IPCS_TIME; return TOOL_GO_ON;
	case 'p': ipcs->form = IPCS_PID; return TOOL_GO_ON;
	case 'c': ipcs->form = IPCS_CREATOR; return TOOL_GO_ON;
	case 'l': ipcs->form = IPCS_LIMITS; return TOOL_GO_ON;
	case 'u': ipcs->form = IPCS_SUMMARY; return TOOL_GO_ON;
	case 'i': return parse_id(common, ipcs);
	case HUMAN: ipcs->human = true; return TOOL_GO_ON;
	case 'b': ipcs->bytes = true; return TOOL_GO_ON;
	default: return tool_common_option(common, option);
	}
}

int tool_ipcs(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("ipcs", help);
	struct ipcs ipcs = { 0 };
	int option, result;

	while ((option = getopt_long(argc, argv, "mqsatpcluhVbi:", options,
	                             NULL)) != -1) {
		result = parse_option(&common, &ipcs, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind < argc)
		return tool_usage(&common, "'%s' is one argument too many",
		                  argv[optind]);
	if (ipcs.one && (!ipcs.kinds || (ipcs.kinds & (ipcs.kinds - 1))))
		return tool_usage(&common, "with an id, one resource must be "
		                           "named: -m, -q or -s");
	if (!ipcs.kinds)
		ipcs.kinds = IPCS_ALL;
	result = tool_dropin_open(common.space, &ipcs.dropin);
	if (result)
		return result;
	return ipcs.one ? show_one(&ipcs) : show_all(&ipcs);
}
