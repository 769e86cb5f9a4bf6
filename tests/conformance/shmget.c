/* SPDX-License-Identifier: MIT */
/* shmget: keys, sizes, flags, and what a new segment looks like. */
#include "conformance.h"

#include <limits.h>
#include <sys/shm.h>

static struct shmid_ds state(int id)
{
	struct shmid_ds ds;

	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", shmctl(id, IPC_STAT, &ds));
	return ds;
}

static int made(key_t key, size_t size, int flags)
{
	return keep_segment(need("shmget", shmget(key, size, flags)));
}

static void private_segments(void)
{
	int first, second;

	SUCCEEDS("IPC_PRIVATE makes a segment",
	         first = keep_segment(shmget(IPC_PRIVATE, 1, 0600)));
	SUCCEEDS("IPC_PRIVATE makes one again",
	         second = keep_segment(shmget(IPC_PRIVATE, 1, 0600)));
	HOLDS("it is another", first != second);
	EQUAL("a private segment has key 0", state(first).shm_perm.__key, 0);
	EQUAL("its size is not rounded", state(first).shm_segsz, 1);
}

static void keys(void)
{
	key_t key = own_key(1);
	int id;

	FAILS("a key that has no segment fails", shmget(key, 10, 0600), ENOENT);
	SUCCEEDS("IPC_CREAT makes a segment",
	         id = keep_segment(shmget(key, 5000, IPC_CREAT | 0600)));
	GIVES("the key finds the segment", shmget(key, 5000, 0), id);
	GIVES("with any lesser size", shmget(key, 1, 0), id);
	GIVES("or none", shmget(key, 0, 0), id);
	GIVES("or none with IPC_CREAT", shmget(key, 0, IPC_CREAT | 0600), id);
	FAILS("but not a greater size", shmget(key, 5001, 0), EINVAL);
	FAILS("though the page has it", shmget(key, 8192, IPC_CREAT | 0600),
	      EINVAL);
	FAILS("IPC_CREAT with IPC_EXCL refuses a segment that is there",
	      shmget(key, 10, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	FAILS("EEXIST comes before too great a size",
	      shmget(key, 50000, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	EQUAL("the key is in the state", state(id).shm_perm.__key, key);
}

static void sizes(void)
{
	FAILS("a segment of no size can't be made",
	      shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	FAILS("nor with a key", shmget(own_key(2), 0, IPC_CREAT | 0600),
	      EINVAL);
	FAILS("ENOENT comes before the size", shmget(own_key(2), 0, 0), ENOENT);
	FAILS("the greatest size is too great",
	      shmget(IPC_PRIVATE, SIZE_MAX, 0600), EINVAL);
	int id = made(IPC_PRIVATE, 4096, 0600);
	EQUAL("the size is that of the call", state(id).shm_segsz, 4096);
	SUCCEEDS("a large segment costs nothing before it is used",
	         keep_segment(shmget(IPC_PRIVATE, 1 << 28, 0600)));
}

static void huge_pages(void)
{
	/* Whether there are huge pages is the machine's affair: only what is
	 * wrong in any case is asked for. */
	FAILS("no page has such a size",
	      shmget(IPC_PRIVATE, 4096, SHM_HUGETLB | 63 << 26 | 0600), EINVAL);
	SUCCEEDS("SHM_NORESERVE makes a segment",
	         keep_segment(shmget(IPC_PRIVATE, 4096,
	                             SHM_NORESERVE | 0600)));
}

static void removed_keys(void)
{
	key_t key = own_key(3);
	int id = made(key, 10, IPC_CREAT | 0600);

	GIVES("IPC_RMID removes", shmctl(id, IPC_RMID, NULL), 0);
	FAILS("the key of a removed segment has none", shmget(key, 0, 0),
	      ENOENT);
	HOLDS("an id is not used again at once",
	      made(key, 10, IPC_CREAT | IPC_EXCL | 0600) != id);
}

static void fresh_state(void)
{
	time_t before = time_before();
	struct shmid_ds ds = state(made(IPC_PRIVATE, 100, 0640));

	EQUAL("nobody is attached", ds.shm_nattch, 0);
	EQUAL("the creator's pid", ds.shm_cpid, getpid());
	EQUAL("nobody was the last", ds.shm_lpid, 0);
	EQUAL("no time of attaching", ds.shm_atime, 0);
	EQUAL("no time of detaching", ds.shm_dtime, 0);
	HOLDS("the time of change is now", time_within(ds.shm_ctime, before));
	EQUAL("the mode is that of the flags", ds.shm_perm.mode, 0640);
	EQUAL("the owner is the effective user", ds.shm_perm.uid, geteuid());
	EQUAL("the creator is the effective user", ds.shm_perm.cuid, geteuid());
	EQUAL("the group is the effective group", ds.shm_perm.gid, getegid());
	EQUAL("the creator's group is it too", ds.shm_perm.cgid, getegid());
	umask(077);
	EQUAL("the umask is not applied",
	      state(made(IPC_PRIVATE, 1, 0666)).shm_perm.mode, 0666);
	struct child child = START(shmget(own_key(4), 1, IPC_CREAT | 0600));
	pid_t pid = child.pid;
	struct answer answer = finish(&child);
	keep_segment(answer.value);
	EQUAL("a child's segment has its pid",
	      state((int)answer.value).shm_cpid, pid);
}

static void permissions(void)
{
	key_t key = own_key(5);

	if (!may_become())
		return;
	made(key, 100, IPC_CREAT | 0640);
	FAILS_AS_NOBODY("others without a right are refused",
	                shmget(key, 1, 0400), EACCES);
	SUCCEEDS_AS_NOBODY("asking for nothing is granted", shmget(key, 1, 0));
	FAILS_AS_NOBODY("EEXIST comes before EACCES",
	                shmget(key, 1, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	FAILS_AS_NOBODY("EINVAL comes before EACCES", shmget(key, 101, 0600),
	                EINVAL);
	FAILS_AS(STRANGER, 0, "the group may not write", shmget(key, 1, 0660),
	         EACCES);
	SUCCEEDS_AS(STRANGER, 0, "the group may read", shmget(key, 1, 0440));
}

static void number(void)
{
	struct shminfo info;
	int made_now = 0;

	shmctl(0, IPC_INFO, (struct shmid_ds *)&info);
	int *ids = calloc(info.shmmni + 1, sizeof(*ids));
	while (made_now <= (int)info.shmmni) {
		ids[made_now] = shmget(IPC_PRIVATE, 1, 0600);
		if (ids[made_now] < 0)
			break;
		made_now++;
	}
	FAILS("there is room for shmmni segments", shmget(IPC_PRIVATE, 1, 0600),
	      ENOSPC);
	HOLDS("and no less, but for those of others",
	      made_now <= (int)info.shmmni &&
	              made_now > (int)info.shmmni - 100);
	FAILS("EINVAL comes before ENOSPC", shmget(IPC_PRIVATE, 0, 0600),
	      EINVAL);
	shmctl(ids[0], IPC_RMID, NULL);
	SUCCEEDS("one that goes makes room",
	         ids[0] = shmget(IPC_PRIVATE, 1, 0600));
	while (made_now-- > 0)
		shmctl(ids[made_now], IPC_RMID, NULL);
}

CONFORMANCE(GROUP(private_segments), GROUP(keys), GROUP(sizes), GROUP(huge_pages),
            GROUP(removed_keys), GROUP(fresh_state), GROUP(permissions),
            GROUP(number))
