/* SPDX-License-Identifier: MIT */
/* Who a process is when it calls: users, groups and capabilities that change. */
#include "conformance.h"

#include <grp.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

static struct msqid_ds ds;
static int queue;

static void queue_new(int mode)
{
	queue = keep_queue(NEED(msgget(IPC_PRIVATE, mode)));
}

/* Each of these runs in a child, and notes what it found. */
static void note(size_t place, long value)
{
	board->notes[place] = value < 0 ? -errno : 0;
}

static long read_state(void)
{
	return msgctl(queue, IPC_STAT, &ds);
}

static long switch_user(void)
{
	note(0, read_state());
	if (seteuid(NOBODY) != 0)
		return -1;
	note(1, read_state());
	if (seteuid(0) != 0)
		return -1;
	note(2, read_state());
	if (setresuid(NOBODY, NOBODY, 0) != 0)
		return -1;
	note(3, read_state());
	if (setreuid(-1, 0) != 0)
		return -1;
	note(4, read_state());
	return 0;
}

static void users(void)
{
	if (!may_become())
		return;
	queue_new(0600);
	struct answer child = IN_CHILD(switch_user());
	EQUAL("a process changes its user", child.value, 0);
	EQUAL("it may as root", board->notes[0], 0);
	EQUAL("it may not as nobody", board->notes[1], -EACCES);
	EQUAL("it may again as root", board->notes[2], 0);
	EQUAL("it may not when all but the saved user is nobody",
	      board->notes[3], -EACCES);
	EQUAL("it may again when it has taken the saved", board->notes[4], 0);
}

static long switch_groups(void)
{
	gid_t groups[] = { 7, 4242 };

	if (setgroups(0, NULL) != 0 || setegid(STRANGER) != 0 ||
	    seteuid(NOBODY) != 0)
		return -1;
	note(0, read_state());
	if (seteuid(0) != 0 || setgroups(2, groups) != 0 ||
	    seteuid(NOBODY) != 0)
		return -1;
	note(1, read_state());
	if (seteuid(0) != 0 || setgroups(1, groups) != 0 ||
	    seteuid(NOBODY) != 0)
		return -1;
	note(2, read_state());
	if (seteuid(0) != 0 || setegid(4242) != 0 || seteuid(NOBODY) != 0)
		return -1;
	note(3, read_state());
	return 0;
}

static void group_rights(void)
{
	if (!may_become())
		return;
	queue_new(0640);
	read_state();
	ds.msg_perm.gid = 4242;
	msgctl(queue, IPC_SET, &ds);
	struct answer child = IN_CHILD(switch_groups());
	EQUAL("a process changes its groups", child.value, 0);
	EQUAL("it may not without the group", board->notes[0], -EACCES);
	EQUAL("it may with it among others", board->notes[1], 0);
	EQUAL("it may no more when that has gone", board->notes[2], -EACCES);
	EQUAL("it may with it as its own", board->notes[3], 0);
}

static long drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2] = { 0 };

	note(0, read_state());
	if (syscall(SYS_capset, &header, data) != 0)
		return -1;
	note(1, read_state());
	note(2, msgctl(queue, IPC_RMID, NULL));
	return 0;
}

static void capabilities(void)
{
	if (!may_become())
		return;
	queue_new(0600);
	read_state();
	ds.msg_perm.uid = NOBODY;
	ds.msg_perm.mode = 0;
	msgctl(queue, IPC_SET, &ds);
	struct answer child = IN_CHILD(drop_capabilities());
	EQUAL("root gives up its capabilities", child.value, 0);
	EQUAL("with them it was held to no mode", board->notes[0], 0);
	EQUAL("without them it is", board->notes[1], -EACCES);
	EQUAL("but who made it may remove it", board->notes[2], 0);
}

static long make_as_effective(void)
{
	if (setegid(STRANGER) != 0 || seteuid(NOBODY) != 0)
		return -1;
	int id = msgget(IPC_PRIVATE, 0600);
	if (id < 0 || msgctl(id, IPC_STAT, &ds) != 0)
		return -1;
	board->notes[0] = ds.msg_perm.uid;
	board->notes[1] = ds.msg_perm.cgid;
	int set = semget(IPC_PRIVATE, 1, 0600);
	struct semid_ds sem;
	semctl(set, 0, IPC_STAT, &sem);
	board->notes[2] = sem.sem_perm.cuid;
	int segment = shmget(IPC_PRIVATE, 1, 0600);
	struct shmid_ds shm;
	shmctl(segment, IPC_STAT, &shm);
	board->notes[3] = shm.shm_perm.gid;
	semctl(set, 0, IPC_RMID);
	shmctl(segment, IPC_RMID, NULL);
	return msgctl(id, IPC_RMID, NULL);
}

static void makers(void)
{
	if (!may_become())
		return;
	struct answer child = IN_CHILD(make_as_effective());
	EQUAL("what is made is the effective user's", child.value, 0);
	EQUAL("a queue's owner", board->notes[0], NOBODY);
	EQUAL("a queue's group", board->notes[1], STRANGER);
	EQUAL("a set's maker", board->notes[2], NOBODY);
	EQUAL("a segment's group", board->notes[3], STRANGER);
}

static long notify_as_nobody(mqd_t to)
{
	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		return -1;
	return mq_send(to, "x", 1, 0);
}

static long wait_as_nobody(const char *name, const sigset_t *signals)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
		                  .sigev_signo = SIGUSR1 };
	struct timespec limit = { 60, 0 };
	siginfo_t info = { 0 };

	become(NOBODY, NOBODY);
	mqd_t own = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
	if (own == (mqd_t)-1 || mq_notify(own, &event) != 0)
		return -1;
	__atomic_store_n(&board->notes[0], 1, __ATOMIC_SEQ_CST);
	return sigtimedwait(signals, &info, &limit) > 0 ? (long)info.si_uid :
	                                                  -2;
}

static void senders_to_others(const sigset_t *signals)
{
	const char *name = own_name("v");

	mq_unlink(name);
	struct child child = START(wait_as_nobody(name, signals));
	await_note(0, 1);
	mqd_t to = need("mq_open", mq_open(name, O_RDWR));
	GIVES("root sends to nobody", mq_send(to, "x", 1, 0), 0);
	ANSWERS("who is notified of root", &child, 0);
	mq_unlink(name);
}

static void senders(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
		                  .sigev_signo = SIGUSR1 };
	struct timespec limit = { 60, 0 };
	siginfo_t info = { 0 };
	sigset_t signals;

	if (!may_become())
		return;
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	mqd_t to = need("mq_open",
	                mq_open(own_name("u"), O_RDWR | O_CREAT, 0600, NULL));
	NEED(mq_notify(to, &event));
	struct child child = START(notify_as_nobody(to));
	ANSWERS("nobody sends to root", &child, 0);
	HOLDS("root is notified", sigtimedwait(&signals, &info, &limit) > 0);
	EQUAL("of nobody", info.si_uid, NOBODY);
	senders_to_others(&signals);
}

static long sleeper_changes(void)
{
	struct sembuf take = { 0, -1, SEM_UNDO };

	if (semop(queue, &take, 1) != 0)
		return -1;
	become(NOBODY, NOBODY);
	return semop(queue, &take, 1) == -1 ? errno : 0;
}

static void calls_of_others(void)
{
	if (!may_become())
		return;
	queue = keep_set(NEED(semget(IPC_PRIVATE, 1, 0600)));
	semctl(queue, 0, SETVAL, 1);
	struct child child = START(sleeper_changes());
	ANSWERS("who has become nobody may no longer", &child, EACCES);
	EQUAL("what it did as root is undone", semctl(queue, 0, GETVAL), 1);
}

CONFORMANCE(GROUP(users), GROUP(group_rights), GROUP(capabilities),
            GROUP(makers), GROUP(senders), GROUP(calls_of_others))
