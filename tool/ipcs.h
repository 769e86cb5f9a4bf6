/* SPDX-License-Identifier: MIT */
/* ipcs.h: what stoa ipcs prints with. */
#ifndef STOA_TOOL_IPCS_H
#define STOA_TOOL_IPCS_H

#include "dropin.h"

/* In the order in which they are shown. */
enum ipcs_kind { IPCS_QUEUES, IPCS_MEMORY, IPCS_SEMAPHORES, IPCS_KINDS };
#define IPCS_ALL ((1u << IPCS_KINDS) - 1)

enum ipcs_form {
	IPCS_USUAL,
	IPCS_TIME,
	IPCS_PID,
	IPCS_CREATOR,
	IPCS_LIMITS,
	IPCS_SUMMARY
};

struct ipcs {
	struct tool_dropin dropin;
	unsigned kinds; /* bits */
	enum ipcs_form form;
	bool human, bytes, one;
	int id; /* if `one` */
};

/* 0 or an exit code. */
int ipcs_list_queues(const struct ipcs *ipcs);
int ipcs_list_memory(const struct ipcs *ipcs);
int ipcs_list_semaphores(const struct ipcs *ipcs);
/* All about ipcs->id. 0, or -1 and errno. */
int ipcs_show_queue(const struct ipcs *ipcs);
int ipcs_show_memory(const struct ipcs *ipcs);
int ipcs_show_semaphores(const struct ipcs *ipcs);

/* The parts of a line: identifier and owner; all of a line about creators;
 * times; sizes in a column. */
void ipcs_print_owner(int width, int id, uid_t uid);
void ipcs_print_creator_head(const char *id);
void ipcs_print_creator(int id, const struct ipc_perm *permission);
void ipcs_print_short_time(time_t when);
void ipcs_print_long_time(const char *before, time_t when, const char *after);
void ipcs_print_size(const struct ipcs *ipcs, int width, uint64_t bytes);
/* Into `text`, of TOOL_TEXT_MAX. */
const char *ipcs_size(const struct ipcs *ipcs, uint64_t bytes, char *text);

#endif
