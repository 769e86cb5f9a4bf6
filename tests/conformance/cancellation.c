/* SPDX-License-Identifier: MIT */
/* Which calls are cancellation points, asleep and on entry. */
#include "conformance.h"

#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

struct message {
	long type;
	char text[8];
};

static int id, set;
static mqd_t queue;
static sem_t sem;
static struct timespec late;

static void do_msgrcv(void)
{
	struct message message;

	msgrcv(id, &message, 8, 0, 0);
}

static void do_msgsnd(void)
{
	struct message message = { 1, "" };

	msgsnd(id, &message, 1, 0);
}

static void do_semop(void)
{
	struct sembuf operation = { 0, -1, 0 };

	semop(set, &operation, 1);
}

static void do_mq_receive(void)
{
	char text[8];

	mq_receive(queue, text, 8, NULL);
}

static void do_mq_timedreceive(void)
{
	char text[8];

	mq_timedreceive(queue, text, 8, NULL, &late);
}

static void do_mq_send(void)
{
	mq_send(queue, "x", 1, 0);
}

static void do_mq_timedsend(void)
{
	mq_timedsend(queue, "x", 1, 0, &late);
}

static void do_sem_wait(void)
{
	sem_wait(&sem);
}

static void do_sem_timedwait(void)
{
	sem_timedwait(&sem, &late);
}

static void do_sem_clockwait(void)
{
	sem_clockwait(&sem, CLOCK_REALTIME, &late);
}

static void do_sem_post(void)
{
	sem_post(&sem);
}

static void do_sem_trywait(void)
{
	sem_trywait(&sem);
}

static void do_msgctl(void)
{
	struct msqid_ds ds;

	msgctl(id, IPC_STAT, &ds);
}

static void do_msgget(void)
{
	msgget(own_key(1), 0);
}

static void do_semget(void)
{
	semget(own_key(1), 1, 0);
}

static void do_semctl(void)
{
	semctl(set, 0, GETVAL);
}

static void do_shmget(void)
{
	shmget(own_key(1), 1, 0);
}

static void do_mq_open(void)
{
	mq_open("/conform-none", O_RDWR);
}

static void do_mq_getattr(void)
{
	struct mq_attr attr;

	mq_getattr(queue, &attr);
}

static void objects_new(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 };

	id = keep_queue(NEED(msgget(IPC_PRIVATE, 0600)));
	set = keep_set(NEED(semget(IPC_PRIVATE, 1, 0600)));
	queue = need("mq_open",
	             mq_open(own_name("x"), O_RDWR | O_CREAT, 0600, &attr));
	NEED(sem_init(&sem, 0, 0));
	late = from_now(CLOCK_REALTIME, 1000000);
}

static long held(void)
{
	struct mq_attr attr;

	mq_getattr(queue, &attr);
	return attr.mq_curmsgs;
}

static void asleep_in_messages(void)
{
	struct message message = { 1, "" };
	struct msqid_ds ds;

	objects_new();
	cancelled_asleep("msgrcv", do_msgrcv);
	msgsnd(id, &message, 1, 0);
	GIVES("msgrcv has taken nothing",
	      msgrcv(id, &message, 8, 0, IPC_NOWAIT), 1);
	msgctl(id, IPC_STAT, &ds);
	ds.msg_qbytes = 1;
	msgctl(id, IPC_SET, &ds);
	msgsnd(id, &message, 1, 0);
	cancelled_asleep("msgsnd", do_msgsnd);
	msgrcv(id, &message, 8, 0, 0);
	FAILS("msgsnd has sent nothing", msgrcv(id, &message, 8, 0, IPC_NOWAIT),
	      ENOMSG);
}

static void asleep_in_queues(void)
{
	objects_new();
	cancelled_asleep("mq_receive", do_mq_receive);
	cancelled_asleep("mq_timedreceive", do_mq_timedreceive);
	GIVES("a message then", mq_send(queue, "a", 1, 0), 0);
	EQUAL("is taken by neither", held(), 1);
	cancelled_asleep("mq_send", do_mq_send);
	cancelled_asleep("mq_timedsend", do_mq_timedsend);
	do_mq_receive();
	EQUAL("nothing was sent", held(), 0);
}

static void asleep_in_semaphores(void)
{
	objects_new();
	cancelled_asleep("sem_wait", do_sem_wait);
	cancelled_asleep("sem_timedwait", do_sem_timedwait);
	cancelled_asleep("sem_clockwait", do_sem_clockwait);
	sem_post(&sem);
	GIVES("none has taken one", sem_trywait(&sem), 0);
}

static void on_entry_of_waits(void)
{
	struct message message = { 1, "" };

	objects_new();
	msgsnd(id, &message, 1, 0);
	cancelled_on_entry("msgrcv", do_msgrcv, true);
	cancelled_on_entry("msgsnd", do_msgsnd, true);
	GIVES("msgrcv has taken nothing",
	      msgrcv(id, &message, 8, 0, IPC_NOWAIT), 1);
	FAILS("msgsnd has sent nothing", msgrcv(id, &message, 8, 0, IPC_NOWAIT),
	      ENOMSG);
	cancelled_on_entry("mq_send", do_mq_send, true);
	cancelled_on_entry("mq_timedsend", do_mq_timedsend, true);
	EQUAL("nothing was sent", held(), 0);
	mq_send(queue, "x", 1, 0);
	cancelled_on_entry("mq_receive", do_mq_receive, true);
	cancelled_on_entry("mq_timedreceive", do_mq_timedreceive, true);
	EQUAL("nothing was received", held(), 1);
	sem_post(&sem);
	cancelled_on_entry("sem_wait", do_sem_wait, true);
	cancelled_on_entry("sem_timedwait", do_sem_timedwait, true);
	GIVES("nothing was taken", sem_trywait(&sem), 0);
}

static void on_entry_of_others(void)
{
	objects_new();
	semctl(set, 0, SETVAL, 1);
	cancelled_on_entry("semop is none", do_semop, false);
	EQUAL("and takes", semctl(set, 0, GETVAL), 0);
	cancelled_on_entry("sem_post is none", do_sem_post, false);
	cancelled_on_entry("sem_trywait is none", do_sem_trywait, false);
	cancelled_on_entry("msgctl is none", do_msgctl, false);
	cancelled_on_entry("msgget is none", do_msgget, false);
	cancelled_on_entry("semget is none", do_semget, false);
	cancelled_on_entry("semctl is none", do_semctl, false);
	cancelled_on_entry("shmget is none", do_shmget, false);
	cancelled_on_entry("mq_open is none", do_mq_open, false);
	cancelled_on_entry("mq_getattr is none", do_mq_getattr, false);
}

struct sleeper {
	pid_t tid;
	int went_on;
};

static void *sleep_in_semop(void *argument)
{
	struct sleeper *sleeper = argument;

	__atomic_store_n(&sleeper->tid, gettid(), __ATOMIC_SEQ_CST);
	do_semop();
	sleeper->went_on = 1;
	return NULL;
}

static void asleep_in_semop(void)
{
	struct sleeper sleeper = { 0, 0 };
	pthread_t thread;

	objects_new();
	pthread_create(&thread, NULL, sleep_in_semop, &sleeper);
	while (!__atomic_load_n(&sleeper.tid, __ATOMIC_SEQ_CST))
		sched_yield();
	thread_asleep(sleeper.tid);
	pthread_cancel(thread);
	thread_asleep(sleeper.tid);
	EQUAL("semop waits on", semctl(set, 0, GETNCNT), 1);
	semctl(set, 0, SETVAL, 1);
	pthread_join(thread, NULL);
	EQUAL("and ends with what it waited for", sleeper.went_on, 1);
	EQUAL("which it has taken", semctl(set, 0, GETVAL), 0);
}

CONFORMANCE(GROUP(asleep_in_messages), GROUP(asleep_in_queues),
            GROUP(asleep_in_semaphores), GROUP(on_entry_of_waits),
            GROUP(on_entry_of_others), GROUP(asleep_in_semop))
