/* SPDX-License-Identifier: MIT */
/* msgctl: state, changes, removal, lists of all, and who may. */
#include "conformance.h"

#include <sys/msg.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

struct message {
	long type;
	char text[8192];
};

static struct message message = { 1, "" };
static struct msqid_ds ds;
static int queue;

static void queue_new(int mode)
{
	queue = keep_queue(need("msgget", msgget(IPC_PRIVATE, mode)));
}

static struct msqid_ds *state(void)
{
	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", msgctl(queue, IPC_STAT, &ds));
	return &ds;
}

static void arguments(void)
{
	queue_new(0600);
	FAILS("a negative id is invalid", msgctl(-1, IPC_STAT, &ds), EINVAL);
	FAILS("an id that never was is invalid",
	      msgctl(0x7ffffff0, IPC_STAT, &ds), EINVAL);
	FAILS("a command that isn't is invalid", msgctl(queue, 4711, &ds),
	      EINVAL);
	FAILS("a negative command is invalid", msgctl(queue, -1, &ds), EINVAL);
	FAILS("IPC_STAT to nowhere faults", msgctl(queue, IPC_STAT, NULL),
	      EFAULT);
	FAILS("IPC_SET from nowhere faults", msgctl(queue, IPC_SET, NULL),
	      EFAULT);
	FAILS("IPC_SET of no id faults first", msgctl(-5, IPC_SET, NULL),
	      EINVAL);
	GIVES("IPC_RMID wants no buffer", msgctl(queue, IPC_RMID, NULL), 0);
	FAILS("what is removed has no state", msgctl(queue, IPC_STAT, &ds),
	      EINVAL);
	FAILS("what is removed can't be sent to", msgsnd(queue, &message, 1, 0),
	      EINVAL);
	FAILS("what is removed can't be received from",
	      msgrcv(queue, &message, 1, 0, IPC_NOWAIT), EINVAL);
}

static void sets(void)
{
	time_t before = time_before();

	queue_new(0600);
	state();
	ds.msg_perm.mode = 0644;
	ds.msg_perm.uid = STRANGER;
	ds.msg_perm.gid = NOBODY;
	ds.msg_qbytes = 1000;
	ds.msg_perm.cuid = 77;
	ds.msg_perm.cgid = 78;
	ds.msg_qnum = 5;
	GIVES("IPC_SET returns 0", msgctl(queue, IPC_SET, &ds), 0);
	state();
	EQUAL("it sets the mode", ds.msg_perm.mode, 0644);
	EQUAL("it sets the owner", ds.msg_perm.uid, STRANGER);
	EQUAL("it sets the group", ds.msg_perm.gid, NOBODY);
	EQUAL("it sets the room", ds.msg_qbytes, 1000);
	EQUAL("it does not set the creator", ds.msg_perm.cuid, geteuid());
	EQUAL("it does not set the creator's group", ds.msg_perm.cgid,
	      getegid());
	EQUAL("it does not set the messages", ds.msg_qnum, 0);
	HOLDS("it notes the time", time_within(ds.msg_ctime, before));
	ds.msg_perm.mode = 07777;
	need("IPC_SET", msgctl(queue, IPC_SET, &ds));
	EQUAL("it keeps nine bits of the mode", state()->msg_perm.mode, 0777);
	ds.msg_perm.uid = (uid_t)-1;
	FAILS("no user is invalid", msgctl(queue, IPC_SET, &ds), EINVAL);
	EQUAL("and nothing was set", state()->msg_perm.uid, STRANGER);
}

static void times(void)
{
	queue_new(0600);
	time_t made = state()->msg_ctime, second = next_second();
	need("msgsnd", msgsnd(queue, &message, 1, 0));
	HOLDS("a send is noted", state()->msg_stime >= second);
	EQUAL("and is no receive", ds.msg_rtime, 0);
	EQUAL("nor a change", ds.msg_ctime, made);
	time_t sent = ds.msg_stime;
	second = next_second();
	need("msgrcv", msgrcv(queue, &message, 1, 0, 0));
	HOLDS("a receive is noted", state()->msg_rtime >= second);
	EQUAL("and is no send", ds.msg_stime, sent);
	EQUAL("nor a change", ds.msg_ctime, made);
	need("IPC_SET", msgctl(queue, IPC_SET, &ds));
	HOLDS("IPC_SET is a change", state()->msg_ctime >= second);
}

static long set_room(unsigned long bytes)
{
	if (msgctl(queue, IPC_STAT, &ds) != 0)
		return -1;
	ds.msg_qbytes = bytes;
	return msgctl(queue, IPC_SET, &ds);
}

static void give_to(uid_t uid, int mode)
{
	state();
	ds.msg_perm.uid = uid;
	ds.msg_perm.mode = mode;
	need("IPC_SET", msgctl(queue, IPC_SET, &ds));
}

static void room(void)
{
	if (!may_become())
		return;
	queue_new(0600);
	EQUAL("who may exceed limits may set more than msgmnb, others not",
	      set_room(20000), may_exceed() ? 0 : -1);
	set_room(16384);
	give_to(NOBODY, 0600);
	FAILS_AS_NOBODY("an owner may not set more than msgmnb",
	                set_room(16385), EPERM);
	SUCCEEDS_AS_NOBODY("an owner may set msgmnb", set_room(16384));
	SUCCEEDS_AS_NOBODY("an owner may set less", set_room(100));
	EQUAL("and it is less", state()->msg_qbytes, 100);
}

static void permissions(void)
{
	if (!may_become())
		return;
	queue_new(0600);
	state();
	FAILS_AS_NOBODY("IPC_STAT takes the right to read",
	                msgctl(queue, IPC_STAT, &ds), EACCES);
	FAILS_AS_NOBODY("IPC_SET takes the owner", msgctl(queue, IPC_SET, &ds),
	                EPERM);
	FAILS_AS_NOBODY("IPC_RMID takes the owner",
	                msgctl(queue, IPC_RMID, NULL), EPERM);
	give_to(0, 0666);
	SUCCEEDS_AS_NOBODY("the right to read is enough for IPC_STAT",
	                   msgctl(queue, IPC_STAT, &ds));
	FAILS_AS_NOBODY("a right to write is not enough for IPC_RMID",
	                msgctl(queue, IPC_RMID, NULL), EPERM);
	FAILS_AS_NOBODY("nor for IPC_SET", msgctl(queue, IPC_SET, &ds), EPERM);
	give_to(NOBODY, 0);
	SUCCEEDS_AS_NOBODY("who owns it sets it without any right",
	                   msgctl(queue, IPC_SET, &ds));
	FAILS_AS_NOBODY("but doesn't read its state",
	                msgctl(queue, IPC_STAT, &ds), EACCES);
	SUCCEEDS_AS_NOBODY("who owns it removes it",
	                   msgctl(queue, IPC_RMID, NULL));
}

static long creator_removes(void)
{
	queue = msgget(IPC_PRIVATE, 0600);
	if (queue < 0 || msgctl(queue, IPC_STAT, &ds) != 0)
		return -1;
	ds.msg_perm.uid = STRANGER;
	if (msgctl(queue, IPC_SET, &ds) != 0)
		return -2;
	if (msgsnd(queue, &message, 1, 0) != 0)
		return -3;
	return msgctl(queue, IPC_RMID, NULL);
}

static void creators(void)
{
	if (!may_become())
		return;
	struct answer made = AS(NOBODY, NOBODY, creator_removes());
	EQUAL("who made it keeps his rights when it is given away", made.value,
	      0);
}

static int index_of(int id)
{
	struct msginfo info;
	int last = msgctl(0, MSG_INFO, (struct msqid_ds *)&info);

	for (int i = 0; i <= last; i++)
		if (msgctl(i, MSG_STAT_ANY, &ds) == id)
			return i;
	return -1;
}

static void lists(void)
{
	queue_new(0600);
	need("msgsnd", msgsnd(queue, &message, 7, 0));
	int place = index_of(queue);
	HOLDS("MSG_STAT_ANY finds every queue by its place", place >= 0);
	GIVES("MSG_STAT gives the id of a place", msgctl(place, MSG_STAT, &ds),
	      queue);
	EQUAL("and its state", ds.__msg_cbytes, 7);
	FAILS("a place with no queue is invalid",
	      msgctl(place + 20000, MSG_STAT, &ds), EINVAL);
	FAILS("a negative place is invalid", msgctl(-1, MSG_STAT, &ds), EINVAL);
	if (!may_become())
		return;
	FAILS_AS_NOBODY("MSG_STAT takes the right to read",
	                msgctl(place, MSG_STAT, &ds), EACCES);
	SUCCEEDS_AS_NOBODY("MSG_STAT_ANY takes no right",
	                   msgctl(place, MSG_STAT_ANY, &ds));
}

static void limits(void)
{
	struct msginfo info;

	memset(&info, 0, sizeof(info));
	SUCCEEDS("IPC_INFO", msgctl(0, IPC_INFO, (struct msqid_ds *)&info));
	EQUAL("msgmax", info.msgmax, 8192);
	EQUAL("msgmnb", info.msgmnb, 16384);
	EQUAL("msgmni", info.msgmni, 32000);
	EQUAL("msgssz", info.msgssz, 16);
	EQUAL("msgseg", info.msgseg, 0xffff);
	EQUAL("msgpool", info.msgpool, 512000);
	FAILS("IPC_INFO to nowhere faults", msgctl(0, IPC_INFO, NULL), EFAULT);
}

static void totals(void)
{
	struct msginfo info;

	memset(&info, 0, sizeof(info));
	msgctl(0, MSG_INFO, (struct msqid_ds *)&info);
	int queues = info.msgpool, messages = info.msgmap, bytes = info.msgtql;
	queue_new(0600);
	need("msgsnd", msgsnd(queue, &message, 7, 0));
	need("msgsnd", msgsnd(queue, &message, 5, 0));
	SUCCEEDS("MSG_INFO", msgctl(0, MSG_INFO, (struct msqid_ds *)&info));
	EQUAL("it counts the queues", info.msgpool, queues + 1);
	EQUAL("it counts the messages", info.msgmap, messages + 2);
	EQUAL("it counts their bytes", info.msgtql, bytes + 12);
	msgctl(queue, IPC_RMID, NULL);
	msgctl(0, MSG_INFO, (struct msqid_ds *)&info);
	EQUAL("a removed queue counts no more", info.msgpool, queues);
	EQUAL("nor do its messages", info.msgmap, messages);
	EQUAL("nor their bytes", info.msgtql, bytes);
}

static void removal_of_sleepers(void)
{
	queue_new(0600);
	struct child child = START(msgrcv(queue, &message, 1, 0, 0));
	asleep(&child);
	struct child other = START(msgrcv(queue, &message, 1, 5, 0));
	asleep(&other);
	GIVES("a queue with sleepers is removed", msgctl(queue, IPC_RMID, NULL),
	      0);
	ANSWERS_ERROR("a receiver is told", &child, EIDRM);
	ANSWERS_ERROR("and every other", &other, EIDRM);
	queue_new(0600);
	set_room(1);
	need("msgsnd", msgsnd(queue, &message, 1, 0));
	child = START(msgsnd(queue, &message, 1, 0));
	asleep(&child);
	msgctl(queue, IPC_RMID, NULL);
	ANSWERS_ERROR("a sender is told", &child, EIDRM);
}

static void changed_rights(void)
{
	if (!may_become())
		return;
	queue_new(0666);
	struct child child = START_AFTER(become(NOBODY, NOBODY),
	                                 msgrcv(queue, &message, 1, 0, 0));
	asleep(&child);
	give_to(0, 0600);
	ANSWERS_ERROR("IPC_SET takes a sleeper's right", &child, EACCES);
}

CONFORMANCE(GROUP(arguments), GROUP(sets), GROUP(times), GROUP(room), GROUP(permissions),
            GROUP(creators), GROUP(lists), GROUP(limits), GROUP(totals),
            GROUP(removal_of_sleepers), GROUP(changed_rights))
