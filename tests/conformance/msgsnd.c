/* SPDX-License-Identifier: MIT */
/* msgsnd: arguments, room, blocking, and what it leaves in the state. */
#include "conformance.h"

#include <limits.h>
#include <sys/msg.h>

struct message {
	long type;
	char text[64];
};

static struct message message = { 1, "0123456789" };
static int queue;

static void queue_new(void)
{
	queue = keep_queue(need("msgget", msgget(IPC_PRIVATE, 0600)));
}

static struct msqid_ds state(void)
{
	struct msqid_ds ds;

	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", msgctl(queue, IPC_STAT, &ds));
	return ds;
}

static void shrink(unsigned long bytes)
{
	struct msqid_ds ds = state();

	ds.msg_qbytes = bytes;
	need("IPC_SET", msgctl(queue, IPC_SET, &ds));
}

static void arguments(void)
{
	struct message bad = { 0, "" };

	queue_new();
	FAILS("type 0 is invalid", msgsnd(queue, &bad, 1, 0), EINVAL);
	bad.type = -1;
	FAILS("a negative type is invalid", msgsnd(queue, &bad, 1, 0), EINVAL);
	bad.type = LONG_MIN;
	FAILS("the least type is invalid", msgsnd(queue, &bad, 1, 0), EINVAL);
	FAILS("a negative id is invalid", msgsnd(-1, &message, 1, 0), EINVAL);
	FAILS("an id that never was is invalid",
	      msgsnd(0x7ffffff0, &message, 1, 0), EINVAL);
	FAILS("a size that is negative is invalid",
	      msgsnd(queue, &message, (size_t)-1, 0), EINVAL);
	FAILS("more than msgmax is invalid", msgsnd(queue, &message, 8193, 0),
	      EINVAL);
	EQUAL("nothing was sent", state().msg_qnum, 0);
	FAILS("a message nowhere faults", msgsnd(queue, NULL, 1, 0), EFAULT);
}

static void sizes(void)
{
	static struct {
		long type;
		char text[8192];
	} large = { LONG_MAX, "" };

	queue_new();
	GIVES("an empty message is sent", msgsnd(queue, &message, 0, 0), 0);
	GIVES("a message of msgmax bytes is sent",
	      msgsnd(queue, &large, 8192, 0), 0);
	EQUAL("both are in the queue", state().msg_qnum, 2);
	EQUAL("their bytes are counted", state().__msg_cbytes, 8192);
	GIVES("the greatest type is a type",
	      msgrcv(queue, &large, 8192, LONG_MAX, 0), 8192);
}

static void account(void)
{
	time_t before = time_before();

	queue_new();
	GIVES("it returns 0", msgsnd(queue, &message, 10, 0), 0);
	EQUAL("it counts the message", state().msg_qnum, 1);
	EQUAL("it counts the bytes", state().__msg_cbytes, 10);
	EQUAL("it notes who sent", state().msg_lspid, getpid());
	EQUAL("it does not note a receiver", state().msg_lrpid, 0);
	HOLDS("it notes when", time_within(state().msg_stime, before));
	EQUAL("it does not note a receive", state().msg_rtime, 0);
	struct child child = START(msgsnd(queue, &message, 5, 0));
	pid_t pid = child.pid;
	ANSWERS("a child sends", &child, 0);
	EQUAL("the last sender is the child", state().msg_lspid, pid);
	EQUAL("the bytes are added", state().__msg_cbytes, 15);
}

static void full(void)
{
	queue_new();
	shrink(20);
	GIVES("it fits exactly",
	      msgsnd(queue, &message, 10, 0) +
	              msgsnd(queue, &message, 10, IPC_NOWAIT),
	      0);
	FAILS("a full queue says EAGAIN",
	      msgsnd(queue, &message, 1, IPC_NOWAIT), EAGAIN);
	GIVES("an empty message still fits",
	      msgsnd(queue, &message, 0, IPC_NOWAIT), 0);
	EQUAL("EAGAIN sends nothing", state().msg_qnum, 3);
	msgrcv(queue, &message, 10, 0, 0);
	message.type = 1;
	FAILS("half the room is not enough",
	      msgsnd(queue, &message, 11, IPC_NOWAIT), EAGAIN);
	GIVES("what was received makes room",
	      msgsnd(queue, &message, 10, IPC_NOWAIT), 0);
}

static void empties(void)
{
	queue_new();
	shrink(3);
	for (int i = 0; i < 3; i++)
		need("msgsnd", msgsnd(queue, &message, 0, IPC_NOWAIT));
	FAILS("there are no more messages than qbytes, empty ones too",
	      msgsnd(queue, &message, 0, IPC_NOWAIT), EAGAIN);
	shrink(4);
	GIVES("a greater qbytes lets one more in",
	      msgsnd(queue, &message, 0, IPC_NOWAIT), 0);
}

static void larger_than_queue(void)
{
	queue_new();
	shrink(5);
	FAILS("a message larger than the queue never fits",
	      msgsnd(queue, &message, 6, IPC_NOWAIT), EAGAIN);
	GIVES("one as large as the queue does",
	      msgsnd(queue, &message, 5, IPC_NOWAIT), 0);
}

static void waits_for_receiver(void)
{
	struct message got;

	queue_new();
	shrink(10);
	need("msgsnd", msgsnd(queue, &message, 10, 0));
	struct child child = START(msgsnd(queue, &message, 10, 0));
	pid_t pid = child.pid;
	asleep(&child);
	EQUAL("a sender without room waits", state().msg_qnum, 1);
	GIVES("a receive makes room", msgrcv(queue, &got, 64, 0, 0), 10);
	ANSWERS("the sender goes on", &child, 0);
	EQUAL("its message is in the queue", state().msg_qnum, 1);
	EQUAL("it is noted as sender", state().msg_lspid, pid);
}

static void waits_for_room(void)
{
	queue_new();
	shrink(10);
	need("msgsnd", msgsnd(queue, &message, 10, 0));
	struct child child = START(msgsnd(queue, &message, 10, 0));
	asleep(&child);
	shrink(20);
	ANSWERS("IPC_SET of qbytes wakes a sender", &child, 0);
	EQUAL("both messages are there", state().msg_qnum, 2);
}

static void passes_sleepers(void)
{
	struct message got;

	queue_new();
	shrink(10);
	need("msgsnd", msgsnd(queue, &message, 8, 0));
	struct child child = START(msgsnd(queue, &message, 5, 0));
	asleep(&child);
	GIVES("what fits passes who waits for more room",
	      msgsnd(queue, &message, 2, IPC_NOWAIT), 0);
	need("msgrcv", msgrcv(queue, &got, 64, 0, 0));
	ANSWERS("who goes on when there is", &child, 0);
	EQUAL("and is last", state().__msg_cbytes, 7);
	msgrcv(queue, &got, 64, 0, 0);
	GIVES("in the queue", msgrcv(queue, &got, 64, 0, 0), 5);
}

static void killed_asleep(void)
{
	queue_new();
	shrink(1);
	need("msgsnd", msgsnd(queue, &message, 1, 0));
	struct child child = START(msgsnd(queue, &message, 1, 0));
	asleep(&child);
	slay(&child);
	msgrcv(queue, &message, 10, 0, 0);
	EQUAL("who is killed waiting sends nothing", state().msg_qnum, 0);
	EQUAL("and is not who sent", state().msg_lspid, getpid());
	child = START(msgrcv(queue, &message, 10, 0, 0));
	asleep(&child);
	slay(&child);
	message.type = 1;
	need("msgsnd", msgsnd(queue, &message, 1, 0));
	EQUAL("who is killed waiting takes nothing", state().msg_qnum, 1);
}

static void snapshot(void)
{
	struct message sent = { 3, "abc" }, got;

	queue_new();
	need("msgsnd", msgsnd(queue, &sent, 3, 0));
	memset(&sent, 0, sizeof(sent));
	memset(&got, 'x', sizeof(got));
	GIVES("the bytes are those of the call", msgrcv(queue, &got, 64, 0, 0),
	      3);
	HOLDS("and unchanged", memcmp(got.text, "abcx", 4) == 0);
	EQUAL("and so is the type", got.type, 3);
}

static void order_of_errors(void)
{
	struct message bad = { 0, "" };

	queue_new();
	shrink(1);
	FAILS("EINVAL of the type comes before EAGAIN",
	      msgsnd(queue, &bad, 5, IPC_NOWAIT), EINVAL);
	FAILS("EINVAL of the size comes before EAGAIN",
	      msgsnd(queue, &message, 8193, IPC_NOWAIT), EINVAL);
	FAILS("EFAULT comes before a bad size", msgsnd(queue, NULL, 8193, 0),
	      EFAULT);
	FAILS("EFAULT comes before a bad id", msgsnd(-1, NULL, 1, 0), EFAULT);
	if (!may_become())
		return;
	FAILS_AS_NOBODY("EACCES comes before EAGAIN",
	                msgsnd(queue, &message, 5, IPC_NOWAIT), EACCES);
	FAILS_AS_NOBODY("EINVAL comes before EACCES",
	                msgsnd(queue, &bad, 5, IPC_NOWAIT), EINVAL);
}

static void owner_sends(void)
{
	struct msqid_ds ds;

	if (!may_become())
		return;
	queue_new();
	ds = state();
	ds.msg_perm.uid = NOBODY;
	ds.msg_perm.mode = 0402;
	need("IPC_SET", msgctl(queue, IPC_SET, &ds));
	FAILS_AS_NOBODY("who owns it isn't served as one of the others",
	                msgsnd(queue, &message, 1, 0), EACCES);
	SUCCEEDS_AS(STRANGER, STRANGER, "the others may write",
	            msgsnd(queue, &message, 1, 0));
	SUCCEEDS("root may write whatever the mode",
	         msgsnd(queue, &message, 1, 0));
}

CONFORMANCE(GROUP(arguments), GROUP(sizes), GROUP(account), GROUP(full),
            GROUP(empties), GROUP(larger_than_queue), GROUP(waits_for_receiver),
            GROUP(waits_for_room), GROUP(passes_sleepers), GROUP(killed_asleep), GROUP(snapshot), GROUP(order_of_errors),
            GROUP(owner_sends))
