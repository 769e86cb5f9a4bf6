/* SPDX-License-Identifier: MIT */
/* semctl: values, state, changes, removal, lists of all, and who may. */
#include "conformance.h"

#include <sys/sem.h>

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

static struct semid_ds ds;
static int set;

static void set_new(int count)
{
	set = keep_set(need("semget", semget(IPC_PRIVATE, count, 0600)));
}

static struct semid_ds *state(void)
{
	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", semctl(set, 0, IPC_STAT, &ds));
	return &ds;
}

static void give_to(uid_t uid, int mode)
{
	state();
	ds.sem_perm.uid = uid;
	ds.sem_perm.mode = mode;
	need("IPC_SET", semctl(set, 0, IPC_SET, &ds));
}

static void one_value(void)
{
	time_t before = time_before();

	set_new(3);
	GIVES("SETVAL returns 0", semctl(set, 1, SETVAL, 7), 0);
	GIVES("GETVAL returns the value", semctl(set, 1, GETVAL), 7);
	GIVES("the others have theirs", semctl(set, 0, GETVAL), 0);
	EQUAL("SETVAL notes who", semctl(set, 1, GETPID), getpid());
	EQUAL("there only", semctl(set, 2, GETPID), 0);
	EQUAL("SETVAL is no operation", state()->sem_otime, 0);
	HOLDS("SETVAL is a change", time_within(ds.sem_ctime, before));
	GIVES("0 is a value", semctl(set, 1, SETVAL, 0), 0);
	GIVES("the greatest value", semctl(set, 1, SETVAL, 32767), 0);
	FAILS("one more is out of range", semctl(set, 1, SETVAL, 32768),
	      ERANGE);
	FAILS("a negative value is out of range", semctl(set, 1, SETVAL, -1),
	      ERANGE);
	GIVES("the value is as it was", semctl(set, 1, GETVAL), 32767);
}

static void all_values(void)
{
	unsigned short values[3] = { 1, 2, 3 }, got[3] = { 9, 9, 9 };

	set_new(3);
	GIVES("SETALL returns 0", semctl(set, 0, SETALL, values), 0);
	GIVES("GETALL returns 0", semctl(set, 0, GETALL, got), 0);
	HOLDS("the values are those", memcmp(got, values, sizeof(got)) == 0);
	EQUAL("SETALL notes who", semctl(set, 2, GETPID), getpid());
	values[2] = 32768;
	values[0] = 5;
	FAILS("one out of range fails all", semctl(set, 0, SETALL, values),
	      ERANGE);
	GIVES("and nothing is set", semctl(set, 0, GETVAL), 1);
	FAILS("GETALL to nowhere faults", semctl(set, 0, GETALL, NULL), EFAULT);
	FAILS("SETALL from nowhere faults", semctl(set, 0, SETALL, NULL),
	      EFAULT);
	GIVES("GETALL takes any number", semctl(set, 4711, GETALL, got), 0);
}

static void times(void)
{
	unsigned short values[1] = { 3 };
	struct sembuf add = { 0, 1, 0 };
	struct timespec turn = { .tv_sec = time_before() + 1 };

	/* As a second begins: not all clocks have noticed. */
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &turn, NULL) != 0)
		;
	set_new(1);
	time_t made = state()->sem_ctime, second = next_second();
	semop(set, &add, 1);
	HOLDS("an operation is noted", state()->sem_otime >= second);
	EQUAL("and is no change", ds.sem_ctime, made);
	semctl(set, 0, GETVAL);
	semctl(set, 0, SETVAL, 2);
	HOLDS("SETVAL is a change", state()->sem_ctime >= second);
	set_new(1);
	second = next_second();
	semctl(set, 0, SETALL, values);
	HOLDS("SETALL is a change", state()->sem_ctime >= second);
	EQUAL("and no operation", ds.sem_otime, 0);
	time_t changed = ds.sem_ctime;
	second = next_second();
	semctl(set, 0, GETALL, values);
	EQUAL("GETALL is none", state()->sem_ctime, changed);
	need("IPC_SET", semctl(set, 0, IPC_SET, &ds));
	HOLDS("IPC_SET is a change", state()->sem_ctime >= second);
}

static void arguments(void)
{
	set_new(2);
	FAILS("a negative id is invalid", semctl(-1, 0, GETVAL), EINVAL);
	FAILS("an id that never was is invalid", semctl(0x7ffffff0, 0, GETVAL),
	      EINVAL);
	FAILS("a number that is too great is invalid", semctl(set, 2, GETVAL),
	      EINVAL);
	FAILS("a negative number is invalid", semctl(set, -1, GETVAL), EINVAL);
	FAILS("for SETVAL", semctl(set, 2, SETVAL, 1), EINVAL);
	FAILS("for GETPID", semctl(set, 2, GETPID), EINVAL);
	FAILS("for GETNCNT", semctl(set, 2, GETNCNT), EINVAL);
	FAILS("for GETZCNT", semctl(set, -1, GETZCNT), EINVAL);
	FAILS("a command that isn't is invalid", semctl(set, 0, 4711), EINVAL);
	FAILS("ERANGE comes before a bad number", semctl(set, 2, SETVAL, 32768),
	      ERANGE);
	FAILS("ERANGE comes before a bad id", semctl(-1, 0, SETVAL, -1),
	      EINVAL);
	FAILS("ERANGE comes before an id that isn't",
	      semctl(0x7ffffff0, 0, SETVAL, -1), ERANGE);
	FAILS("IPC_STAT to nowhere faults", semctl(set, 0, IPC_STAT, NULL),
	      EFAULT);
	FAILS("IPC_SET from nowhere faults", semctl(set, 0, IPC_SET, NULL),
	      EFAULT);
	GIVES("IPC_RMID takes any number", semctl(set, 4711, IPC_RMID), 0);
	FAILS("what is removed is no more", semctl(set, 0, GETVAL), EINVAL);
	FAILS("and can't be removed again", semctl(set, 0, IPC_RMID), EINVAL);
}

static void sets(void)
{
	time_t before = time_before();

	set_new(4);
	state();
	ds.sem_perm.mode = 07644;
	ds.sem_perm.uid = STRANGER;
	ds.sem_perm.gid = NOBODY;
	ds.sem_perm.cuid = 77;
	ds.sem_nsems = 9;
	GIVES("IPC_SET returns 0", semctl(set, 0, IPC_SET, &ds), 0);
	state();
	EQUAL("it sets nine bits of the mode", ds.sem_perm.mode, 0644);
	EQUAL("it sets the owner", ds.sem_perm.uid, STRANGER);
	EQUAL("it sets the group", ds.sem_perm.gid, NOBODY);
	EQUAL("it does not set the creator", ds.sem_perm.cuid, geteuid());
	EQUAL("it does not set the count", ds.sem_nsems, 4);
	HOLDS("it notes the time", time_within(ds.sem_ctime, before));
	EQUAL("it is no operation", ds.sem_otime, 0);
	ds.sem_perm.gid = (gid_t)-1;
	FAILS("no group is invalid", semctl(set, 0, IPC_SET, &ds), EINVAL);
}

static void readers(void)
{
	unsigned short values[2] = { 0, 0 };

	if (!may_become())
		return;
	set_new(2);
	FAILS_AS_NOBODY("GETVAL takes the right to read",
	                semctl(set, 0, GETVAL), EACCES);
	FAILS_AS_NOBODY("GETPID, too", semctl(set, 0, GETPID), EACCES);
	FAILS_AS_NOBODY("GETNCNT, too", semctl(set, 0, GETNCNT), EACCES);
	FAILS_AS_NOBODY("GETZCNT, too", semctl(set, 0, GETZCNT), EACCES);
	FAILS_AS_NOBODY("GETALL, too", semctl(set, 0, GETALL, values), EACCES);
	FAILS_AS_NOBODY("IPC_STAT, too", semctl(set, 0, IPC_STAT, &ds), EACCES);
	FAILS_AS_NOBODY("EACCES comes before a bad number",
	                semctl(set, 7, GETVAL), EACCES);
	give_to(0, 0604);
	SUCCEEDS_AS_NOBODY("with it GETVAL may", semctl(set, 0, GETVAL));
	SUCCEEDS_AS_NOBODY("and GETALL", semctl(set, 0, GETALL, values));
	FAILS_AS_NOBODY("but not SETVAL", semctl(set, 0, SETVAL, 1), EACCES);
	FAILS_AS_NOBODY("nor SETALL", semctl(set, 0, SETALL, values), EACCES);
}

static void writers(void)
{
	unsigned short values[2] = { 0, 0 };

	if (!may_become())
		return;
	set_new(2);
	give_to(0, 0602);
	SUCCEEDS_AS_NOBODY("SETVAL takes the right to write",
	                   semctl(set, 0, SETVAL, 1));
	SUCCEEDS_AS_NOBODY("SETALL takes it", semctl(set, 0, SETALL, values));
	FAILS_AS_NOBODY("GETVAL may not with it", semctl(set, 0, GETVAL),
	                EACCES);
	FAILS_AS_NOBODY("SETVAL: a bad number comes before EACCES",
	                semctl(set, 2, SETVAL, 1), EINVAL);
	give_to(0, 0600);
	FAILS_AS_NOBODY("SETVAL: ERANGE comes before EACCES",
	                semctl(set, 0, SETVAL, -1), ERANGE);
	values[0] = 40000;
	FAILS_AS_NOBODY("SETALL: EACCES comes before ERANGE",
	                semctl(set, 0, SETALL, values), EACCES);
}

static void owners(void)
{
	if (!may_become())
		return;
	set_new(2);
	give_to(0, 0666);
	FAILS_AS_NOBODY("IPC_SET takes the owner", semctl(set, 0, IPC_SET, &ds),
	                EPERM);
	FAILS_AS_NOBODY("IPC_RMID takes the owner", semctl(set, 0, IPC_RMID),
	                EPERM);
	give_to(NOBODY, 0);
	FAILS_AS_NOBODY("the owner is held to the mode", semctl(set, 0, GETVAL),
	                EACCES);
	SUCCEEDS_AS_NOBODY("the owner may set", semctl(set, 0, IPC_SET, &ds));
	SUCCEEDS_AS_NOBODY("the owner may remove", semctl(set, 0, IPC_RMID));
}

static int index_of(int id)
{
	struct seminfo info;
	int last = semctl(0, 0, SEM_INFO, &info);

	for (int i = 0; i <= last; i++)
		if (semctl(i, 0, SEM_STAT_ANY, &ds) == id)
			return i;
	return -1;
}

static void lists(void)
{
	set_new(6);
	int place = index_of(set);
	HOLDS("SEM_STAT_ANY finds every set by its place", place >= 0);
	GIVES("SEM_STAT gives the id of a place",
	      semctl(place, 0, SEM_STAT, &ds), set);
	EQUAL("and its state", ds.sem_nsems, 6);
	FAILS("a place with no set is invalid",
	      semctl(place + 20000, 0, SEM_STAT, &ds), EINVAL);
	if (!may_become())
		return;
	FAILS_AS_NOBODY("SEM_STAT takes the right to read",
	                semctl(place, 0, SEM_STAT, &ds), EACCES);
	SUCCEEDS_AS_NOBODY("SEM_STAT_ANY takes no right",
	                   semctl(place, 0, SEM_STAT_ANY, &ds));
}

static void limits(void)
{
	struct seminfo info;

	memset(&info, 0, sizeof(info));
	SUCCEEDS("IPC_INFO", semctl(0, 0, IPC_INFO, &info));
	EQUAL("semmsl", info.semmsl, 32000);
	EQUAL("semmns", info.semmns, 1024000000);
	EQUAL("semopm", info.semopm, 500);
	EQUAL("semmni", info.semmni, 32000);
	EQUAL("semvmx", info.semvmx, 32767);
	EQUAL("semaem", info.semaem, 32767);
	EQUAL("semmnu", info.semmnu, 1024000000);
	EQUAL("semmap", info.semmap, 1024000000);
	EQUAL("semume", info.semume, 500);
	EQUAL("semusz", info.semusz, 20);
	FAILS("IPC_INFO to nowhere faults", semctl(0, 0, IPC_INFO, NULL),
	      EFAULT);
}

static void totals(void)
{
	struct seminfo info;

	memset(&info, 0, sizeof(info));
	semctl(0, 0, SEM_INFO, &info);
	int count = info.semusz, semaphores = info.semaem;
	set_new(7);
	SUCCEEDS("SEM_INFO", semctl(0, 0, SEM_INFO, &info));
	EQUAL("it counts the sets", info.semusz, count + 1);
	EQUAL("it counts the semaphores", info.semaem, semaphores + 7);
	semctl(set, 0, IPC_RMID);
	semctl(0, 0, SEM_INFO, &info);
	EQUAL("a removed set counts no more", info.semusz, count);
	EQUAL("nor do its semaphores", info.semaem, semaphores);
}

static long wait_one(void)
{
	struct sembuf operation = { 0, -1, 0 };

	return semop(set, &operation, 1);
}

static void changed_rights(void)
{
	if (!may_become())
		return;
	set_new(1);
	give_to(0, 0666);
	struct child child = START_AFTER(become(NOBODY, NOBODY), wait_one());
	asleep(&child);
	give_to(0, 0600);
	semctl(set, 0, SETVAL, 1);
	ANSWERS("a sleeper keeps the right it came with", &child, 0);
}

CONFORMANCE(GROUP(one_value), GROUP(all_values), GROUP(times), GROUP(arguments), GROUP(sets),
            GROUP(readers), GROUP(writers), GROUP(owners), GROUP(lists),
            GROUP(limits), GROUP(totals), GROUP(changed_rights))
