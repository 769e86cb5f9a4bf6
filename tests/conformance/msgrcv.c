/* SPDX-License-Identifier: MIT */
/* msgrcv: selectors, flags, sizes, and what it leaves in the state. */
#include "conformance.h"

#include <limits.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct message {
	long type;
	char text[64];
};

static struct message got;
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

static void put(long type, const char *text)
{
	struct message message = { type, "" };

	strncpy(message.text, text, sizeof(message.text) - 1);
	need("msgsnd", msgsnd(queue, &message, strlen(text), 0));
}

/* The first letter of what is received, or minus the error. */
static int letter(long type, int flags)
{
	memset(&got, 0, sizeof(got));
	if (msgrcv(queue, &got, sizeof(got.text), type, flags | IPC_NOWAIT) < 0)
		return -errno;
	return got.text[0];
}

static void put_many(void)
{
	queue_new();
	put(5, "a");
	put(3, "b");
	put(9, "c");
	put(3, "d");
	put(1, "e");
	put(5, "f");
}

static void any_type(void)
{
	put_many();
	EQUAL("type 0 takes the first", letter(0, 0), 'a');
	EQUAL("its type comes with it", got.type, 5);
	EQUAL("then the second", letter(0, 0), 'b');
	EQUAL("then the third", letter(0, 0), 'c');
	EQUAL("then the fourth", letter(0, 0), 'd');
	EQUAL("then the fifth", letter(0, 0), 'e');
	EQUAL("then the sixth", letter(0, 0), 'f');
	EQUAL("then there is none", letter(0, 0), -ENOMSG);
}

static void one_type(void)
{
	put_many();
	EQUAL("a type takes the first of its type", letter(3, 0), 'b');
	EQUAL("its type comes with it", got.type, 3);
	EQUAL("then the second", letter(3, 0), 'd');
	EQUAL("then there is none", letter(3, 0), -ENOMSG);
	EQUAL("a type that isn't there has none", letter(4, 0), -ENOMSG);
	EQUAL("the rest is where it was", letter(0, 0), 'a');
	EQUAL("in its order", letter(0, 0), 'c');
}

static void all_but_one_type(void)
{
	put_many();
	EQUAL("MSG_EXCEPT takes the first of other types",
	      letter(5, MSG_EXCEPT), 'b');
	EQUAL("of any other", letter(3, MSG_EXCEPT), 'a');
	EQUAL("and on", letter(3, MSG_EXCEPT), 'c');
	EQUAL("and on to the end", letter(3, MSG_EXCEPT), 'e');
	EQUAL("and the last", letter(3, MSG_EXCEPT), 'f');
	EQUAL("then there is none", letter(3, MSG_EXCEPT), -ENOMSG);
	EQUAL("the type that was not wanted is there", letter(0, MSG_EXCEPT),
	      'd');
}

static void lowest_type(void)
{
	put_many();
	EQUAL("-4 takes the lowest type up to 4", letter(-4, 0), 'e');
	EQUAL("its type comes with it", got.type, 1);
	EQUAL("then the first of the next lowest", letter(-4, 0), 'b');
	EQUAL("then the next of it", letter(-4, 0), 'd');
	EQUAL("then there is none, though others are there", letter(-4, 0),
	      -ENOMSG);
	EQUAL("the bound itself is wanted", letter(-5, 0), 'a');
	EQUAL("MSG_EXCEPT means nothing with it", letter(-5, MSG_EXCEPT), 'f');
	EQUAL("the least number wants every type", letter(LONG_MIN, 0), 'c');
	EQUAL("and there is none left", letter(LONG_MIN, 0), -ENOMSG);
}

static void sizes(void)
{
	queue_new();
	put(1, "abcdef");
	put(2, "");
	memset(&got, 'x', sizeof(got));
	FAILS("a message longer than the buffer stays",
	      msgrcv(queue, &got, 5, 0, 0), E2BIG);
	EQUAL("nothing was taken", state().msg_qnum, 2);
	FAILS("E2BIG comes rather than ENOMSG",
	      msgrcv(queue, &got, 5, 1, IPC_NOWAIT), E2BIG);
	GIVES("MSG_NOERROR cuts it", msgrcv(queue, &got, 5, 0, MSG_NOERROR), 5);
	HOLDS("what fits is there, and no more",
	      memcmp(got.text, "abcdex", 6) == 0);
	EQUAL("the rest of it is lost", state().__msg_cbytes, 0);
	GIVES("an empty message is received", msgrcv(queue, &got, 64, 0, 0), 0);
	EQUAL("with its type", got.type, 2);
	put(7, "xyz");
	GIVES("MSG_NOERROR cuts down to nothing",
	      msgrcv(queue, &got, 0, 0, MSG_NOERROR), 0);
	EQUAL("and gives the type", got.type, 7);
	put(1, "abc");
	GIVES("the size that is exactly right is enough",
	      msgrcv(queue, &got, 3, 0, 0), 3);
}

static void arguments(void)
{
	queue_new();
	put(1, "a");
	FAILS("a negative id is invalid", msgrcv(-1, &got, 64, 0, 0), EINVAL);
	FAILS("an id that never was is invalid",
	      msgrcv(0x7ffffff0, &got, 64, 0, 0), EINVAL);
	FAILS("a negative size is invalid",
	      msgrcv(queue, &got, (size_t)-1, 0, 0), EINVAL);
	FAILS("a size that is negative comes before IPC_NOWAIT",
	      msgrcv(queue, &got, (size_t)-1, 2, IPC_NOWAIT), EINVAL);
	FAILS("a buffer nowhere faults", msgrcv(queue, NULL, 64, 0, 0), EFAULT);
	EQUAL("and the message is lost", state().msg_qnum, 0);
}

static void account(void)
{
	time_t before = time_before();

	queue_new();
	put(1, "abc");
	put(1, "de");
	GIVES("it returns the bytes", msgrcv(queue, &got, 64, 0, 0), 3);
	EQUAL("it takes the message off the count", state().msg_qnum, 1);
	EQUAL("it takes its bytes off", state().__msg_cbytes, 2);
	EQUAL("it notes who received", state().msg_lrpid, getpid());
	HOLDS("it notes when", time_within(state().msg_rtime, before));
	struct child child = START(msgrcv(queue, &got, 64, 0, 0));
	pid_t pid = child.pid;
	ANSWERS("a child receives", &child, 2);
	EQUAL("the last receiver is the child", state().msg_lrpid, pid);
	EQUAL("the last sender is still who sent", state().msg_lspid, getpid());
	EQUAL("it notes no one who finds nothing", letter(0, 0), -ENOMSG);
	EQUAL("so the last receiver stays", state().msg_lrpid, pid);
}

static long receive_letter(long type, int flags)
{
	if (msgrcv(queue, &got, sizeof(got.text), type, flags) < 0)
		return -1;
	return got.text[0];
}

static void waits(void)
{
	queue_new();
	struct child child = START(receive_letter(0, 0));
	pid_t pid = child.pid;
	asleep(&child);
	put(4, "z");
	ANSWERS("a receiver waits for a message", &child, 'z');
	EQUAL("which doesn't stay in the queue", state().msg_qnum, 0);
	EQUAL("the receiver is noted", state().msg_lrpid, pid);
	EQUAL("and the sender", state().msg_lspid, getpid());
}

static void waits_for_type(void)
{
	queue_new();
	struct child child = START(receive_letter(6, 0));
	asleep(&child);
	put(5, "a");
	put(7, "b");
	EQUAL("other types do not go to who waits for one", state().msg_qnum,
	      2);
	put(6, "c");
	ANSWERS("its type does", &child, 'c');
	child = START(receive_letter(-4, 0));
	asleep(&child);
	put(5, "d");
	put(4, "e");
	ANSWERS("who waits for types up to 4 gets one", &child, 'e');
	EQUAL("and the others stay", state().msg_qnum, 3);
}

static void waits_for_others(void)
{
	queue_new();
	struct child child = START(receive_letter(6, MSG_EXCEPT));
	asleep(&child);
	put(6, "a");
	put(5, "b");
	ANSWERS("who waits for all but a type gets another", &child, 'b');
	EQUAL("and the type stays", state().msg_qnum, 1);
}

static void waits_with_little_room(void)
{
	queue_new();
	struct child child = START(msgrcv(queue, &got, 3, 0, 0));
	asleep(&child);
	put(1, "abcd");
	ANSWERS_ERROR("too large a message wakes who has too little room",
	              &child, E2BIG);
	EQUAL("and stays in the queue", state().msg_qnum, 1);
	child = START(msgrcv(queue, &got, 3, 2, MSG_NOERROR));
	asleep(&child);
	put(2, "abcd");
	ANSWERS("MSG_NOERROR cuts it for a sleeper, too", &child, 3);
}

static void serves_in_order(void)
{
	queue_new();
	struct child first = START(receive_letter(0, 0));
	asleep(&first);
	struct child second = START(receive_letter(0, 0));
	asleep(&second);
	put(1, "a");
	put(1, "b");
	ANSWERS("who waits longest is served first", &first, 'a');
	ANSWERS("then who came after", &second, 'b');
}

static void copies(void)
{
	put_many();
	struct msqid_ds before = state();
	EQUAL("MSG_COPY gives a message by its number", letter(2, MSG_COPY),
	      'c');
	EQUAL("with its type", got.type, 9);
	EQUAL("from 0 on", letter(0, MSG_COPY), 'a');
	EQUAL("to the last", letter(5, MSG_COPY), 'f');
	EQUAL("and no further", letter(6, MSG_COPY), -ENOMSG);
	EQUAL("it leaves the messages", state().msg_qnum, 6);
	EQUAL("it notes no receiver", state().msg_lrpid, before.msg_lrpid);
	EQUAL("it notes no time", state().msg_rtime, 0);
	FAILS("MSG_COPY wants IPC_NOWAIT", msgrcv(queue, &got, 64, 0, MSG_COPY),
	      EINVAL);
	FAILS("MSG_COPY goes with no MSG_EXCEPT",
	      msgrcv(queue, &got, 64, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT),
	      EINVAL);
	queue_new();
	put(1, "abcdef");
	FAILS("MSG_COPY of too large a message fails",
	      msgrcv(queue, &got, 5, 0, MSG_COPY | IPC_NOWAIT), E2BIG);
	FAILS("MSG_COPY doesn't cut",
	      msgrcv(queue, &got, 5, 0, MSG_COPY | IPC_NOWAIT | MSG_NOERROR),
	      EINVAL);
	GIVES("MSG_COPY gives the bytes",
	      msgrcv(queue, &got, 6, 0, MSG_COPY | IPC_NOWAIT), 6);
}

static void permissions(void)
{
	struct msqid_ds ds;

	if (!may_become())
		return;
	queue_new();
	put(1, "abc");
	FAILS_AS_NOBODY("others without a right are refused",
	                msgrcv(queue, &got, 64, 0, IPC_NOWAIT), EACCES);
	FAILS_AS_NOBODY("EACCES comes before ENOMSG",
	                msgrcv(queue, &got, 64, 8, IPC_NOWAIT), EACCES);
	FAILS_AS_NOBODY("EACCES comes before E2BIG",
	                msgrcv(queue, &got, 1, 0, IPC_NOWAIT), EACCES);
	FAILS_AS_NOBODY("EINVAL comes before EACCES",
	                msgrcv(queue, &got, (size_t)-1, 0, 0), EINVAL);
	ds = state();
	ds.msg_perm.mode = 0604;
	need("IPC_SET", msgctl(queue, IPC_SET, &ds));
	SUCCEEDS_AS_NOBODY("others with the right to read receive",
	                   msgrcv(queue, &got, 64, 0, IPC_NOWAIT));
	FAILS_AS(STRANGER, 0, "the group isn't served as one of the others",
	         msgrcv(queue, &got, 64, 0, IPC_NOWAIT), EACCES);
}

CONFORMANCE(GROUP(any_type), GROUP(one_type), GROUP(all_but_one_type),
            GROUP(lowest_type), GROUP(sizes), GROUP(arguments), GROUP(account),
            GROUP(waits), GROUP(waits_for_type), GROUP(waits_for_others),
            GROUP(waits_with_little_room), GROUP(serves_in_order),
            GROUP(copies), GROUP(permissions))
