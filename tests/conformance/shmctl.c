/* SPDX-License-Identifier: MIT */
/* shmctl: state, changes, removal, locking, lists of all, and who may. */
#include "conformance.h"

#include <sys/resource.h>
#include <sys/shm.h>

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

static struct shmid_ds ds;
static int segment;

static void segment_new(size_t size)
{
	segment = keep_segment(need("shmget", shmget(IPC_PRIVATE, size, 0600)));
}

static struct shmid_ds *state(void)
{
	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", shmctl(segment, IPC_STAT, &ds));
	return &ds;
}

static void give_to(uid_t uid, int mode)
{
	state();
	ds.shm_perm.uid = uid;
	ds.shm_perm.mode = mode;
	need("IPC_SET", shmctl(segment, IPC_SET, &ds));
}

static void arguments(void)
{
	segment_new(100);
	FAILS("a negative id is invalid", shmctl(-1, IPC_STAT, &ds), EINVAL);
	FAILS("an id that never was is invalid",
	      shmctl(0x7ffffff0, IPC_STAT, &ds), EINVAL);
	FAILS("a command that isn't is invalid", shmctl(segment, 4711, &ds),
	      EINVAL);
	FAILS("a negative command is invalid", shmctl(segment, -1, &ds),
	      EINVAL);
	FAILS("IPC_STAT to nowhere faults", shmctl(segment, IPC_STAT, NULL),
	      EFAULT);
	FAILS("IPC_SET from nowhere faults", shmctl(segment, IPC_SET, NULL),
	      EFAULT);
	GIVES("IPC_STAT returns 0", shmctl(segment, IPC_STAT, &ds), 0);
	GIVES("IPC_RMID returns 0", shmctl(segment, IPC_RMID, NULL), 0);
	FAILS("what is removed has no state", shmctl(segment, IPC_STAT, &ds),
	      EINVAL);
	FAILS("and can't be removed again", shmctl(segment, IPC_RMID, NULL),
	      EINVAL);
}

static void sets(void)
{
	time_t before = time_before();

	segment_new(100);
	state();
	ds.shm_perm.mode = 07644;
	ds.shm_perm.uid = STRANGER;
	ds.shm_perm.gid = NOBODY;
	ds.shm_perm.cuid = 77;
	ds.shm_segsz = 4;
	ds.shm_cpid = 1;
	GIVES("IPC_SET returns 0", shmctl(segment, IPC_SET, &ds), 0);
	state();
	EQUAL("it sets nine bits of the mode", ds.shm_perm.mode, 0644);
	EQUAL("it sets the owner", ds.shm_perm.uid, STRANGER);
	EQUAL("it sets the group", ds.shm_perm.gid, NOBODY);
	EQUAL("it does not set the creator", ds.shm_perm.cuid, geteuid());
	EQUAL("it does not set the size", ds.shm_segsz, 100);
	EQUAL("it does not set the pid", ds.shm_cpid, getpid());
	HOLDS("it notes the time", time_within(ds.shm_ctime, before));
	ds.shm_perm.uid = (uid_t)-1;
	FAILS("no user is invalid", shmctl(segment, IPC_SET, &ds), EINVAL);
}

static void times(void)
{
	segment_new(100);
	time_t made = state()->shm_ctime, second = next_second();
	char *at = shmat(segment, NULL, 0);
	HOLDS("attaching is noted", state()->shm_atime >= second);
	EQUAL("and is no detaching", ds.shm_dtime, 0);
	EQUAL("nor a change", ds.shm_ctime, made);
	time_t attached = ds.shm_atime;
	second = next_second();
	shmdt(at);
	HOLDS("detaching is noted", state()->shm_dtime >= second);
	EQUAL("and is no attaching", ds.shm_atime, attached);
	EQUAL("nor a change", ds.shm_ctime, made);
	need("IPC_SET", shmctl(segment, IPC_SET, &ds));
	HOLDS("IPC_SET is a change", state()->shm_ctime >= second);
}

static void locks(void)
{
	segment_new(100);
	GIVES("SHM_LOCK returns 0", shmctl(segment, SHM_LOCK, NULL), 0);
	EQUAL("the mode says so", state()->shm_perm.mode, 02600);
	GIVES("it can be locked twice", shmctl(segment, SHM_LOCK, NULL), 0);
	ds.shm_perm.mode = 0640;
	shmctl(segment, IPC_SET, &ds);
	EQUAL("IPC_SET leaves it locked", state()->shm_perm.mode, 02640);
	GIVES("SHM_UNLOCK returns 0", shmctl(segment, SHM_UNLOCK, NULL), 0);
	EQUAL("the mode says so, too", state()->shm_perm.mode, 0640);
	FAILS("no id can't be locked", shmctl(0x7ffffff0, SHM_LOCK, NULL),
	      EINVAL);
	if (!may_become())
		return;
	FAILS_AS_NOBODY("locking takes the owner",
	                shmctl(segment, SHM_LOCK, NULL), EPERM);
	FAILS_AS_NOBODY("unlocking does", shmctl(segment, SHM_UNLOCK, NULL),
	                EPERM);
}

static long lock_without_limit(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_MEMLOCK, &none);
	become(NOBODY, NOBODY);
	return shmctl(segment, SHM_LOCK, NULL);
}

static void lock_limits(void)
{
	if (!may_become())
		return;
	segment_new(100);
	give_to(NOBODY, 0600);
	struct child child = START(lock_without_limit());
	ANSWERS_ERROR("an owner who may lock nothing may not", &child, EPERM);
	SUCCEEDS_AS_NOBODY("an owner who may lock may",
	                   shmctl(segment, SHM_LOCK, NULL));
	EQUAL("and it is", state()->shm_perm.mode, 02600);
}

static void permissions(void)
{
	if (!may_become())
		return;
	segment_new(100);
	FAILS_AS_NOBODY("IPC_STAT takes the right to read",
	                shmctl(segment, IPC_STAT, &ds), EACCES);
	give_to(0, 0666);
	SUCCEEDS_AS_NOBODY("and with it may", shmctl(segment, IPC_STAT, &ds));
	FAILS_AS_NOBODY("IPC_SET takes the owner",
	                shmctl(segment, IPC_SET, &ds), EPERM);
	FAILS_AS_NOBODY("IPC_RMID takes the owner",
	                shmctl(segment, IPC_RMID, NULL), EPERM);
	give_to(NOBODY, 0);
	FAILS_AS_NOBODY("the owner is held to the mode",
	                shmctl(segment, IPC_STAT, &ds), EACCES);
	SUCCEEDS_AS_NOBODY("the owner may set", shmctl(segment, IPC_SET, &ds));
	SUCCEEDS_AS_NOBODY("the owner may remove",
	                   shmctl(segment, IPC_RMID, NULL));
}

static int index_of(int id)
{
	struct shm_info info;
	int last = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);

	for (int i = 0; i <= last; i++)
		if (shmctl(i, SHM_STAT_ANY, &ds) == id)
			return i;
	return -1;
}

static void lists(void)
{
	segment_new(12345);
	int place = index_of(segment);
	HOLDS("SHM_STAT_ANY finds every segment by its place", place >= 0);
	GIVES("SHM_STAT gives the id of a place", shmctl(place, SHM_STAT, &ds),
	      segment);
	EQUAL("and its state", ds.shm_segsz, 12345);
	FAILS("a place with no segment is invalid",
	      shmctl(place + 20000, SHM_STAT, &ds), EINVAL);
	if (!may_become())
		return;
	FAILS_AS_NOBODY("SHM_STAT takes the right to read",
	                shmctl(place, SHM_STAT, &ds), EACCES);
	SUCCEEDS_AS_NOBODY("SHM_STAT_ANY takes no right",
	                   shmctl(place, SHM_STAT_ANY, &ds));
}

static void limits(void)
{
	struct shminfo info;

	memset(&info, 0, sizeof(info));
	SUCCEEDS("IPC_INFO", shmctl(0, IPC_INFO, (struct shmid_ds *)&info));
	EQUAL("shmmax", info.shmmax, 18446744073692774399UL);
	EQUAL("shmmin", info.shmmin, 1);
	EQUAL("shmmni", info.shmmni, 4096);
	EQUAL("shmseg", info.shmseg, 4096);
	EQUAL("shmall", info.shmall, 18446744073692774399UL);
	FAILS("IPC_INFO to nowhere faults", shmctl(0, IPC_INFO, NULL), EFAULT);
}

static void totals(void)
{
	struct shm_info info;

	memset(&info, 0, sizeof(info));
	shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	int count = info.used_ids;
	unsigned long pages = info.shm_tot, resident = info.shm_rss;
	segment_new(3 * 4096 + 1);
	SUCCEEDS("SHM_INFO", shmctl(0, SHM_INFO, (struct shmid_ds *)&info));
	EQUAL("it counts the segments", info.used_ids, count + 1);
	EQUAL("it counts their pages", info.shm_tot, pages + 4);
	char *at = shmat(segment, NULL, 0);
	at[0] = at[4096] = 1;
	shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	EQUAL("it counts the pages in use", info.shm_rss, resident + 2);
	shmctl(segment, IPC_RMID, NULL);
	shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	EQUAL("a removed segment counts while it is attached", info.used_ids,
	      count + 1);
	shmdt(at);
	shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	EQUAL("and then no more", info.used_ids, count);
	EQUAL("nor do its pages", info.shm_tot, pages);
}

CONFORMANCE(GROUP(arguments), GROUP(sets), GROUP(times), GROUP(locks), GROUP(lock_limits),
            GROUP(permissions), GROUP(lists), GROUP(limits), GROUP(totals))
