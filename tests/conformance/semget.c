/* SPDX-License-Identifier: MIT */
/* semget: keys, counts, flags, and what a new set looks like. */
#include "conformance.h"

#include <sys/sem.h>

static struct semid_ds state(int id)
{
	struct semid_ds ds;

	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", semctl(id, 0, IPC_STAT, &ds));
	return ds;
}

static int made(key_t key, int count, int flags)
{
	return keep_set(need("semget", semget(key, count, flags)));
}

static void private_sets(void)
{
	int first, second;

	SUCCEEDS("IPC_PRIVATE makes a set",
	         first = keep_set(semget(IPC_PRIVATE, 1, 0600)));
	SUCCEEDS("IPC_PRIVATE makes one again",
	         second = keep_set(semget(IPC_PRIVATE, 1, 0600)));
	HOLDS("it is another", first != second);
	EQUAL("a private set has key 0", state(first).sem_perm.__key, 0);
}

static void keys(void)
{
	key_t key = own_key(1);
	int id;

	FAILS("a key that has no set fails", semget(key, 1, 0600), ENOENT);
	SUCCEEDS("IPC_CREAT makes a set",
	         id = keep_set(semget(key, 3, IPC_CREAT | 0600)));
	GIVES("the key finds the set", semget(key, 0, 0), id);
	GIVES("with the count it has", semget(key, 3, 0), id);
	GIVES("or with less", semget(key, 2, 0), id);
	FAILS("but not with more", semget(key, 4, 0), EINVAL);
	FAILS("nor with more and IPC_CREAT", semget(key, 4, IPC_CREAT | 0600),
	      EINVAL);
	FAILS("IPC_CREAT with IPC_EXCL refuses a set that is there",
	      semget(key, 3, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	FAILS("EEXIST comes before too great a count",
	      semget(key, 4, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	EQUAL("the key is in the state", state(id).sem_perm.__key, key);
}

static void removed_keys(void)
{
	key_t key = own_key(2);
	int id = made(key, 1, IPC_CREAT | 0600);

	GIVES("IPC_RMID removes", semctl(id, 0, IPC_RMID), 0);
	FAILS("the key of a removed set has none", semget(key, 1, 0), ENOENT);
	HOLDS("an id is not used again at once",
	      made(key, 1, IPC_CREAT | IPC_EXCL | 0600) != id);
}

static void counts(void)
{
	FAILS("a set of none can't be made", semget(IPC_PRIVATE, 0, 0600),
	      EINVAL);
	FAILS("nor with a key", semget(own_key(3), 0, IPC_CREAT | 0600),
	      EINVAL);
	FAILS("nor looked for when it isn't there", semget(own_key(3), 0, 0),
	      ENOENT);
	FAILS("a negative count is invalid", semget(IPC_PRIVATE, -1, 0600),
	      EINVAL);
	FAILS("a negative count comes before ENOENT", semget(own_key(3), -1, 0),
	      EINVAL);
	FAILS("more than semmsl is invalid", semget(IPC_PRIVATE, 32001, 0600),
	      EINVAL);
	SUCCEEDS("semmsl itself can be made",
	         keep_set(semget(IPC_PRIVATE, 32000, 0600)));
}

static void fresh_state(void)
{
	time_t before = time_before();
	int id = made(IPC_PRIVATE, 5, 0640);
	struct semid_ds ds = state(id);
	unsigned short values[5] = { 9, 9, 9, 9, 9 }, none[5] = { 0 };

	EQUAL("the count is that of the call", ds.sem_nsems, 5);
	EQUAL("there was no operation", ds.sem_otime, 0);
	HOLDS("the time of change is now", time_within(ds.sem_ctime, before));
	EQUAL("the mode is that of the flags", ds.sem_perm.mode, 0640);
	EQUAL("the owner is the effective user", ds.sem_perm.uid, geteuid());
	EQUAL("the creator is the effective user", ds.sem_perm.cuid, geteuid());
	EQUAL("the group is the effective group", ds.sem_perm.gid, getegid());
	EQUAL("the creator's group is it too", ds.sem_perm.cgid, getegid());
	GIVES("GETALL", semctl(id, 0, GETALL, values), 0);
	HOLDS("the values are 0", memcmp(values, none, sizeof(none)) == 0);
	GIVES("nobody has operated", semctl(id, 4, GETPID), 0);
	umask(077);
	EQUAL("the umask is not applied",
	      state(made(IPC_PRIVATE, 1, 0666)).sem_perm.mode, 0666);
	EQUAL("bits above the mode are dropped",
	      state(made(IPC_PRIVATE, 1, 07777)).sem_perm.mode, 0777);
}

static void permissions(void)
{
	key_t key = own_key(4);

	if (!may_become())
		return;
	made(key, 2, IPC_CREAT | 0640);
	FAILS_AS_NOBODY("others without a right are refused",
	                semget(key, 1, 0400), EACCES);
	SUCCEEDS_AS_NOBODY("asking for nothing is granted", semget(key, 1, 0));
	FAILS_AS_NOBODY("EEXIST comes before EACCES",
	                semget(key, 1, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	FAILS_AS_NOBODY("EINVAL comes before EACCES", semget(key, 3, 0600),
	                EINVAL);
	FAILS_AS(STRANGER, 0, "the group may not alter", semget(key, 1, 0660),
	         EACCES);
	SUCCEEDS_AS(STRANGER, 0, "the group may read", semget(key, 1, 0440));
}

static void separate_keys(void)
{
	key_t key = own_key(5);
	int id = made(key, 1, IPC_CREAT | 0600);

	EQUAL("the same key elsewhere makes no difference", semget(key, 1, 0),
	      id);
	struct answer child = IN_CHILD(semget(key, 1, 0));
	EQUAL("another process finds it", child.value, id);
}

CONFORMANCE(GROUP(private_sets), GROUP(keys), GROUP(removed_keys),
            GROUP(counts), GROUP(fresh_state), GROUP(permissions),
            GROUP(separate_keys))
