/* SPDX-License-Identifier: MIT */
/* ipcs_memory.c: the shared memory segments of stoa ipcs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipcs.h"

#define KIBI 1024

static uint64_t times(uint64_t number, uint64_t factor)
{
	uint64_t most = UINT64_MAX / factor;

	return (number < most ? number : most) * factor;
}

static void print_limits(const struct ipcs *ipcs, const struct shminfo *info)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char text[TOOL_TEXT_MAX];

	printf("max number of segments = %lu\n", info->shmmni);
	if (ipcs->human || ipcs->bytes) {
		const char *unit = ipcs->human ? "" : " (bytes)";

		printf("max seg size%s = %s\n", unit,
		       ipcs_size(ipcs, info->shmmax, text));
		printf("max total shared memory%s = %s\n", unit,
		       ipcs_size(ipcs, times(info->shmall, page), text));
		printf("min seg size%s = %s\n", unit,
		       ipcs_size(ipcs, info->shmmin, text));
		return;
	}
	printf("max seg size (kbytes) = %lu\n", info->shmmax / KIBI);
	printf("max total shared memory (kbytes) = %" PRIu64 "\n",
	       times(info->shmall, page / KIBI));
	printf("min seg size (bytes) = %lu\n", info->shmmin);
}

static void print_summary(const struct shm_info *info)
{
	printf("segments allocated %d\n", info->used_ids);
	printf("pages allocated %lu\n", info->shm_tot);
	printf("pages resident  %lu\n", info->shm_rss);
	printf("pages swapped   %lu\n", info->shm_swp);
	printf("Swap performance: %lu attempts\t %lu successes\n",
	       info->swap_attempts, info->swap_successes);
}

static void print_head(const struct ipcs *ipcs)
{
	switch (ipcs->form) {
	case IPCS_TIME:
		puts("------ Shared Memory Attach/Detach/Change Times "
		     "--------");
		printf("%-10s %-10s %-20s %-20s %-20s\n", "shmid", "owner",
		       "attached", "detached", "changed");
		break;
	case IPCS_PID:
		puts("------ Shared Memory Creator/Last-op PIDs --------");
		printf("%-10s %-10s %-10s %-10s\n", "shmid", "owner", "cpid",
		       "lpid");
		break;
	case IPCS_CREATOR:
		puts("------ Shared Memory Segment Creators/Owners --------");
		ipcs_print_creator_head("shmid");
		break;
	default:
		puts("------ Shared Memory Segments --------");
		printf("%-10s %-10s %-10s %-10s %-10s %-10s %-12s\n", "key",
		       "shmid", "owner", "perms",
		       ipcs->human ? "size" : "bytes", "nattch", "status");
		break;
	}
}

static void print_line(const struct ipcs *ipcs, int id,
                       const struct shmid_ds *memory)
{
	const struct ipc_perm *permission = &memory->shm_perm;

	switch (ipcs->form) {
	case IPCS_TIME:
		ipcs_print_owner(10, id, permission->uid);
		ipcs_print_short_time(memory->shm_atime);
		ipcs_print_short_time(memory->shm_dtime);
		ipcs_print_short_time(memory->shm_ctime);
		putchar('\n');
		break;
	case IPCS_PID:
		ipcs_print_owner(10, id, permission->uid);
		printf(" %-10d %-10d\n", memory->shm_cpid, memory->shm_lpid);
		break;
	case IPCS_CREATOR: ipcs_print_creator(id, permission); break;
	default:
		printf("0x%08x ", permission->__key);
		ipcs_print_owner(10, id, permission->uid);
		printf(" %-10o ", permission->mode & 0777);
		ipcs_print_size(ipcs, 10, memory->shm_segsz);
		printf("%-10lu %-6s %-6s\n", memory->shm_nattch,
		       permission->mode & SHM_DEST ? "dest" : " ",
		       permission->mode & SHM_LOCKED ? "locked" : " ");
		break;
	}
}

int ipcs_list_memory(const struct ipcs *ipcs)
{
	struct shm_info summary;
	struct shminfo limits;
	struct shmid_ds memory;
	int highest = ipcs->dropin.shmctl(0, SHM_INFO, (void *)&summary);

	if (highest < 0 ||
	    ipcs->dropin.shmctl(0, IPC_INFO, (void *)&limits) < 0)
		return tool_error("shared memory: %s", strerror(errno));
	if (ipcs->form == IPCS_LIMITS) {
		puts("------ Shared Memory Limits --------");
		print_limits(ipcs, &limits);
		return 0;
	}
	if (ipcs->form == IPCS_SUMMARY) {
		puts("------ Shared Memory Status --------");
		print_summary(&summary);
		return 0;
	}
	print_head(ipcs);
	for (int index = 0; index <= highest; index++) {
		int id = ipcs->dropin.shmctl(index, SHM_STAT_ANY, &memory);

		if (id >= 0)
			print_line(ipcs, id, &memory);
	}
	return 0;
}

int ipcs_show_memory(const struct ipcs *ipcs)
{
	char text[TOOL_TEXT_MAX];
	struct shmid_ds memory;

	if (ipcs->dropin.shmctl(ipcs->id, IPC_STAT, &memory) < 0)
		return -1;
	const struct ipc_perm *permission = &memory.shm_perm;
	printf("\nShared memory Segment shmid=%d\n", ipcs->id);
	printf("uid=%u\tgid=%u\tcuid=%u\tcgid=%u\n", permission->uid,
	       permission->gid, permission->cuid, permission->cgid);
	printf("mode=%#o\taccess_perms=%#o\n", permission->mode,
	       permission->mode & 0777);
	printf("%s=%s\tlpid=%d\tcpid=%d\tnattch=%lu\n",
	       ipcs->human ? "size" : "bytes",
	       ipcs_size(ipcs, memory.shm_segsz, text), memory.shm_lpid,
	       memory.shm_cpid, memory.shm_nattch);
	ipcs_print_long_time("att_time=", memory.shm_atime, "\n");
	ipcs_print_long_time("det_time=", memory.shm_dtime, "\n");
	ipcs_print_long_time("change_time=", memory.shm_ctime, "\n\n");
	return 0;
}
