/* SPDX-License-Identifier: MIT */
/* ipcs_semaphores.c: the semaphore sets of stoa ipcs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ipcs.h"

static void print_limits(const struct seminfo *info)
{
	puts("------ Semaphore Limits --------");
	printf("max number of arrays = %d\n", info->semmni);
	printf("max semaphores per array = %d\n", info->semmsl);
	printf("max semaphores system wide = %d\n", info->semmns);
	printf("max ops per semop call = %d\n", info->semopm);
	printf("semaphore max value = %d\n", info->semvmx);
}

static void print_summary(const struct seminfo *info)
{
	puts("------ Semaphore Status --------");
	printf("used arrays = %d\n", info->semusz);
	printf("allocated semaphores = %d\n", info->semaem);
}

static void print_head(const struct ipcs *ipcs)
{
	switch (ipcs->form) {
	case IPCS_TIME:
		puts("------ Semaphore Operation/Change Times --------");
		printf("%-8s %-10s %-26s %-26s\n", "semid", "owner", "last-op",
		       "last-changed");
		break;
	case IPCS_PID: break; /* the kernel has no such thing for them */
	case IPCS_CREATOR:
		puts("------ Semaphore Arrays Creators/Owners --------");
		ipcs_print_creator_head("semid");
		break;
	default:
		puts("------ Semaphore Arrays --------");
		printf("%-10s %-10s %-10s %-10s %-10s\n", "key", "semid",
		       "owner", "perms", "nsems");
		break;
	}
}

static void print_line(const struct ipcs *ipcs, int id,
                       const struct semid_ds *set)
{
	const struct ipc_perm *permission = &set->sem_perm;

	switch (ipcs->form) {
	case IPCS_TIME:
		ipcs_print_owner(8, id, permission->uid);
		ipcs_print_long_time("  ", set->sem_otime, " ");
		ipcs_print_long_time("", set->sem_ctime, "\n");
		break;
	case IPCS_PID: break;
	case IPCS_CREATOR: ipcs_print_creator(id, permission); break;
	default:
		printf("0x%08x ", permission->__key);
		ipcs_print_owner(10, id, permission->uid);
		printf(" %-10o %-10lu\n", permission->mode & 0777,
		       set->sem_nsems);
		break;
	}
}

int ipcs_list_semaphores(const struct ipcs *ipcs)
{
	int command = ipcs->form == IPCS_LIMITS ? IPC_INFO : SEM_INFO;
	struct seminfo info;
	struct semid_ds set;
	int highest = ipcs->dropin.semctl(0, 0, command,
	                                  (union tool_semun){ .info = &info });

	if (highest < 0)
		return tool_error("semaphores: %s", strerror(errno));
	if (ipcs->form == IPCS_LIMITS) {
		print_limits(&info);
		return 0;
	}
	if (ipcs->form == IPCS_SUMMARY) {
		print_summary(&info);
		return 0;
	}
	print_head(ipcs);
	for (int index = 0; index <= highest; index++) {
		int id = ipcs->dropin.semctl(index, 0, SEM_STAT_ANY,
		                             (union tool_semun){ .buf = &set });

		if (id >= 0)
			print_line(ipcs, id, &set);
	}
	return 0;
}

/* A set that is removed meanwhile shows -1. */
static void print_semaphore(const struct ipcs *ipcs, int index)
{
	static const int commands[] = { GETVAL, GETNCNT, GETZCNT, GETPID };

	printf("%-10d", index);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		printf(" %-10d",
		       ipcs->dropin.semctl(ipcs->id, index, commands[i],
		                           (union tool_semun){ 0 }));
	putchar('\n');
}

int ipcs_show_semaphores(const struct ipcs *ipcs)
{
	struct semid_ds set;

	if (ipcs->dropin.semctl(ipcs->id, 0, IPC_STAT,
	                        (union tool_semun){ .buf = &set }) < 0)
		return -1;
	const struct ipc_perm *permission = &set.sem_perm;
	printf("\nSemaphore Array semid=%d\n", ipcs->id);
	printf("uid=%u\t gid=%u\t cuid=%u\t cgid=%u\n", permission->uid,
	       permission->gid, permission->cuid, permission->cgid);
	printf("mode=%#o, access_perms=%#o\n", permission->mode,
	       permission->mode & 0777);
	printf("nsems = %lu\n", set.sem_nsems);
	ipcs_print_long_time("otime = ", set.sem_otime, "\n");
	ipcs_print_long_time("ctime = ", set.sem_ctime, "\n");
	printf("%-10s %-10s %-10s %-10s %-10s\n", "semnum", "value", "ncount",
	       "zcount", "pid");
	for (int i = 0; i < (int)set.sem_nsems; i++)
		print_semaphore(ipcs, i);
	putchar('\n');
	return 0;
}
