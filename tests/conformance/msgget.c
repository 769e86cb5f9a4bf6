/* SPDX-License-Identifier: MIT */
/* msgget: keys, flags, modes, and what a new queue looks like. */
#include "conformance.h"

#include <sys/msg.h>
#include <sys/stat.h>

static struct msqid_ds state(int id)
{
	struct msqid_ds ds;

	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", msgctl(id, IPC_STAT, &ds));
	return ds;
}

static int made(key_t key, int flags)
{
	return keep_queue(need("msgget", msgget(key, flags)));
}

static void private_queues(void)
{
	int first, second;

	SUCCEEDS("IPC_PRIVATE makes a queue",
	         first = keep_queue(msgget(IPC_PRIVATE, 0600)));
	SUCCEEDS("IPC_PRIVATE makes one without IPC_CREAT",
	         second = keep_queue(msgget(IPC_PRIVATE, 0600)));
	HOLDS("IPC_PRIVATE makes another each time", first != second);
	SUCCEEDS("IPC_PRIVATE with IPC_EXCL makes a queue",
	         keep_queue(msgget(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | 0600)));
	EQUAL("a private queue has key 0", state(first).msg_perm.__key, 0);
}

static void keys(void)
{
	key_t key = own_key(1);
	int id;

	FAILS("a key that has no queue fails", msgget(key, 0600), ENOENT);
	FAILS("IPC_EXCL alone makes nothing", msgget(key, IPC_EXCL | 0600),
	      ENOENT);
	SUCCEEDS("IPC_CREAT makes a queue",
	         id = keep_queue(msgget(key, IPC_CREAT | 0600)));
	GIVES("the key finds the queue", msgget(key, 0), id);
	GIVES("IPC_CREAT finds a queue that is there",
	      msgget(key, IPC_CREAT | 0600), id);
	GIVES("IPC_EXCL alone finds a queue that is there",
	      msgget(key, IPC_EXCL), id);
	FAILS("IPC_CREAT with IPC_EXCL refuses a queue that is there",
	      msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	GIVES("root is not held to the mode", msgget(key, 0777), id);
	EQUAL("the key is in the state", state(id).msg_perm.__key, key);
	HOLDS("two keys have two queues",
	      keep_queue(msgget(own_key(2), IPC_CREAT | 0600)) != id);
}

static void removed_keys(void)
{
	key_t key = own_key(3);
	int id = made(key, IPC_CREAT | 0600);

	SUCCEEDS("IPC_RMID removes", msgctl(id, IPC_RMID, NULL));
	FAILS("the key of a removed queue has none", msgget(key, 0), ENOENT);
	FAILS("the id of a removed queue is invalid",
	      msgctl(id, IPC_RMID, NULL), EINVAL);
	HOLDS("an id is not used again at once",
	      made(key, IPC_CREAT | IPC_EXCL | 0600) != id);
}

static void negative_keys(void)
{
	int id;

	SUCCEEDS("a negative key is a key",
	         id = keep_queue(msgget(-own_key(4), IPC_CREAT | 0600)));
	GIVES("a negative key finds its queue", msgget(-own_key(4), 0), id);
}

static void modes(void)
{
	int id = made(IPC_PRIVATE, 0640);

	EQUAL("the mode is that of the flags", state(id).msg_perm.mode, 0640);
	umask(077);
	id = made(IPC_PRIVATE, 0666);
	EQUAL("the umask is not applied", state(id).msg_perm.mode, 0666);
	id = made(IPC_PRIVATE, 0);
	EQUAL("a mode of none is a mode", state(id).msg_perm.mode, 0);
	id = made(IPC_PRIVATE, 07777);
	EQUAL("bits above the mode are dropped", state(id).msg_perm.mode, 0777);
}

static void fresh_state(void)
{
	time_t before = time_before();
	struct msqid_ds ds = state(made(IPC_PRIVATE, 0600));

	EQUAL("a new queue has no messages", ds.msg_qnum, 0);
	EQUAL("a new queue has no bytes", ds.__msg_cbytes, 0);
	EQUAL("a new queue has room for msgmnb bytes", ds.msg_qbytes, 16384);
	EQUAL("nobody has sent to a new queue", ds.msg_lspid, 0);
	EQUAL("nobody has received from a new queue", ds.msg_lrpid, 0);
	EQUAL("no time of a send", ds.msg_stime, 0);
	EQUAL("no time of a receive", ds.msg_rtime, 0);
	HOLDS("the time of change is now", time_within(ds.msg_ctime, before));
	EQUAL("the owner is the effective user", ds.msg_perm.uid, geteuid());
	EQUAL("the creator is the effective user", ds.msg_perm.cuid, geteuid());
	EQUAL("the group is the effective group", ds.msg_perm.gid, getegid());
	EQUAL("the creator's group is it too", ds.msg_perm.cgid, getegid());
}

static void file_keys(void)
{
	char path[] = "/tmp/conform-ftok-XXXXXX";
	int fd = NEED(mkstemp(path));
	struct stat file;
	key_t key = ftok(path, 'a');

	fstat(fd, &file);
	EQUAL("ftok is made of inode, device and number", key,
	      (key_t)((file.st_ino & 0xffff) | (file.st_dev & 0xff) << 16 |
	              (unsigned)'a' << 24));
	EQUAL("ftok gives the same key again", ftok(path, 'a'), key);
	HOLDS("ftok gives another key for another number",
	      ftok(path, 'b') != key);
	int id = made(key, IPC_CREAT | 0600);
	struct answer other = IN_CHILD(msgget(ftok(path, 'a'), 0));
	EQUAL("another process finds the queue by ftok", other.value, id);
	unlink(path);
	FAILS("ftok of no file fails", ftok(path, 'a'), ENOENT);
	close(fd);
}

static void permissions(void)
{
	key_t key = own_key(5);

	if (!may_become())
		return;
	int id = made(key, IPC_CREAT | 0640);
	FAILS_AS_NOBODY("others without a right are refused", msgget(key, 0400),
	                EACCES);
	FAILS_AS_NOBODY("asking for more than others have is refused",
	                msgget(key, 0666), EACCES);
	SUCCEEDS_AS_NOBODY("asking for nothing is granted", msgget(key, 0));
	FAILS_AS_NOBODY("EEXIST comes before EACCES",
	                msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	FAILS_AS(STRANGER, 0, "the group may not write", msgget(key, 0060),
	         EACCES);
	struct answer group = AS(STRANGER, 0, msgget(key, 0040));
	EQUAL("the group may read", group.value, id);
	FAILS_AS_NOBODY("any bit asked for counts, in any place",
	                msgget(key, 0004), EACCES);
}

static long queues_as_nobody(void)
{
	struct msqid_ds ds;
	int id = msgget(own_key(6), IPC_CREAT | 0600);

	if (id < 0 || msgctl(id, IPC_STAT, &ds) != 0)
		return -1;
	board->notes[0] = ds.msg_perm.uid;
	board->notes[1] = ds.msg_perm.cgid;
	return id;
}

static void owners(void)
{
	if (!may_become())
		return;
	struct answer made_by = AS(NOBODY, STRANGER, queues_as_nobody());
	keep_queue(made_by.value);
	HOLDS("nobody makes queues of his own", made_by.value >= 0);
	EQUAL("the owner is who made it", board->notes[0], NOBODY);
	EQUAL("the group is who made it", board->notes[1], STRANGER);
	SUCCEEDS("root reaches what others have made",
	         msgget(own_key(6), 0600));
	FAILS_AS(STRANGER, NOBODY, "a stranger doesn't",
	         msgget(own_key(6), 0400), EACCES);
}

static void other_processes(void)
{
	struct answer child = IN_CHILD(msgget(own_key(7), IPC_CREAT | 0600));

	keep_queue(child.value);
	GIVES("a queue outlives who made it", msgget(own_key(7), 0),
	      child.value);
}

CONFORMANCE(GROUP(private_queues), GROUP(keys), GROUP(removed_keys),
            GROUP(negative_keys), GROUP(modes), GROUP(fresh_state),
            GROUP(file_keys), GROUP(permissions), GROUP(owners),
            GROUP(other_processes))
