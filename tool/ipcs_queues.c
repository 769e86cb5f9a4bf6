/* SPDX-License-Identifier: MIT */
/* ipcs_queues.c: the message queues of stoa ipcs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ipcs.h"

static void print_limits(const struct ipcs *ipcs, const struct msginfo *info)
{
	const char *unit = ipcs->human ? "" : " (bytes)";
	char text[TOOL_TEXT_MAX];

	printf("max queues system wide = %d\n", info->msgmni);
	printf("max size of message%s = %s\n", unit,
	       ipcs_size(ipcs, (uint64_t)info->msgmax, text));
	printf("default max size of queue%s = %s\n", unit,
	       ipcs_size(ipcs, (uint64_t)info->msgmnb, text));
}

static void print_summary(const struct ipcs *ipcs, const struct msginfo *info)
{
	char text[TOOL_TEXT_MAX];

	printf("allocated queues = %d\n", info->msgpool);
	printf("used headers = %d\n", info->msgmap);
	printf("used space = %s%s\n",
	       ipcs_size(ipcs, (uint64_t)info->msgtql, text),
	       ipcs->human ? "" : " bytes");
}

static void print_head(const struct ipcs *ipcs)
{
	switch (ipcs->form) {
	case IPCS_TIME:
		puts("------ Message Queues Send/Recv/Change Times --------");
		printf("%-8s %-10s %-20s %-20s %-20s\n", "msqid", "owner",
		       "send", "recv", "change");
		break;
	case IPCS_PID:
		puts("------ Message Queues PIDs --------");
		printf("%-10s %-10s %-10s %-10s\n", "msqid", "owner", "lspid",
		       "lrpid");
		break;
	case IPCS_CREATOR:
		puts("------ Message Queues Creators/Owners --------");
		ipcs_print_creator_head("msqid");
		break;
	default:
		puts("------ Message Queues --------");
		printf("%-10s %-10s %-10s %-10s %-12s %-12s\n", "key", "msqid",
		       "owner", "perms", ipcs->human ? "size" : "used-bytes",
		       "messages");
		break;
	}
}

static void print_line(const struct ipcs *ipcs, int id,
                       const struct msqid_ds *queue)
{
	const struct ipc_perm *permission = &queue->msg_perm;

	switch (ipcs->form) {
	case IPCS_TIME:
		ipcs_print_owner(8, id, permission->uid);
		ipcs_print_short_time(queue->msg_stime);
		ipcs_print_short_time(queue->msg_rtime);
		ipcs_print_short_time(queue->msg_ctime);
		putchar('\n');
		break;
	case IPCS_PID:
		ipcs_print_owner(8, id, permission->uid);
		printf("  %5d     %5d\n", queue->msg_lspid, queue->msg_lrpid);
		break;
	case IPCS_CREATOR: ipcs_print_creator(id, permission); break;
	default:
		printf("0x%08x ", permission->__key);
		ipcs_print_owner(10, id, permission->uid);
		printf(" %-10o ", permission->mode & 0777);
		ipcs_print_size(ipcs, 12, queue->__msg_cbytes);
		printf("%-12lu\n", queue->msg_qnum);
		break;
	}
}

int ipcs_list_queues(const struct ipcs *ipcs)
{
	int command = ipcs->form == IPCS_LIMITS ? IPC_INFO : MSG_INFO;
	struct msginfo info;
	struct msqid_ds queue;
	int highest = ipcs->dropin.msgctl(0, command, (void *)&info);

	if (highest < 0)
		return tool_error("message queues: %s", strerror(errno));
	if (ipcs->form == IPCS_LIMITS) {
		puts("------ Messages Limits --------");
		print_limits(ipcs, &info);
		return 0;
	}
	if (ipcs->form == IPCS_SUMMARY) {
		puts("------ Messages Status --------");
		print_summary(ipcs, &info);
		return 0;
	}
	print_head(ipcs);
	for (int index = 0; index <= highest; index++) {
		int id = ipcs->dropin.msgctl(index, MSG_STAT_ANY, &queue);

		if (id >= 0)
			print_line(ipcs, id, &queue);
	}
	return 0;
}

int ipcs_show_queue(const struct ipcs *ipcs)
{
	const char *word = ipcs->human ? "size" : "bytes";
	char used[TOOL_TEXT_MAX], most[TOOL_TEXT_MAX];
	struct msqid_ds queue;

	if (ipcs->dropin.msgctl(ipcs->id, IPC_STAT, &queue) < 0)
		return -1;
	const struct ipc_perm *permission = &queue.msg_perm;
	printf("\nMessage Queue msqid=%d\n", ipcs->id);
	printf("uid=%u\tgid=%u\tcuid=%u\tcgid=%u\tmode=%#o\n", permission->uid,
	       permission->gid, permission->cuid, permission->cgid,
	       permission->mode);
	printf("c%s=%s\tq%s=%s\tqnum=%lu\tlspid=%d\tlrpid=%d\n", word,
	       ipcs_size(ipcs, queue.__msg_cbytes, used), word,
	       ipcs_size(ipcs, queue.msg_qbytes, most), queue.msg_qnum,
	       queue.msg_lspid, queue.msg_lrpid);
	ipcs_print_long_time("send_time=", queue.msg_stime, "\n");
	ipcs_print_long_time("rcv_time=", queue.msg_rtime, "\n");
	ipcs_print_long_time("change_time=", queue.msg_ctime, "\n\n");
	return 0;
}
