/* SPDX-License-Identifier: MIT */
/* The same calls by their numbers, through syscall(). */
#include "conformance.h"

#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

struct message {
	long type;
	char text[8];
};

static struct message message = { 1, "raw" };

static void messages(void)
{
	struct message got;
	struct msqid_ds ds;
	key_t key = own_key(1);
	int id;

	FAILS("msgget of no queue", syscall(SYS_msgget, key, 0), ENOENT);
	SUCCEEDS("msgget",
	         id = keep_queue(syscall(SYS_msgget, key, IPC_CREAT | 0600)));
	GIVES("msgget of the library finds it", msgget(key, 0), id);
	GIVES("msgsnd", syscall(SYS_msgsnd, id, &message, 3, 0), 0);
	GIVES("msgrcv of the library", msgrcv(id, &got, 8, 0, 0), 3);
	msgsnd(id, &message, 2, 0);
	GIVES("msgctl", syscall(SYS_msgctl, id, IPC_STAT, &ds), 0);
	EQUAL("gives the state", ds.msg_qnum, 1);
	GIVES("msgrcv", syscall(SYS_msgrcv, id, &got, 8, 0, 0), 2);
	FAILS("msgrcv of nothing",
	      syscall(SYS_msgrcv, id, &got, 8, 0, IPC_NOWAIT), ENOMSG);
	FAILS("msgsnd of type 0",
	      syscall(SYS_msgsnd, id, &(struct message){ 0, "" }, 0, 0),
	      EINVAL);
	struct child child = START(syscall(SYS_msgrcv, id, &got, 8, 0, 0));
	asleep(&child);
	GIVES("msgctl removes", syscall(SYS_msgctl, id, IPC_RMID, NULL), 0);
	ANSWERS_ERROR("who sleeps in msgrcv is told", &child, EIDRM);
	FAILS("the library finds it no more", msgget(key, 0), ENOENT);
}

static void semaphores(void)
{
	struct sembuf up = { 0, 2, 0 }, down = { 0, -3, IPC_NOWAIT };
	struct timespec limit = { 0, 1000000 };
	struct sembuf wait = { 0, -3, 0 };
	key_t key = own_key(2);
	int id;

	SUCCEEDS("semget",
	         id = keep_set(syscall(SYS_semget, key, 1, IPC_CREAT | 0600)));
	GIVES("semget of the library finds it", semget(key, 1, 0), id);
	GIVES("semop", syscall(SYS_semop, id, &up, 1), 0);
	GIVES("semctl of the library", semctl(id, 0, GETVAL), 2);
	FAILS("semop of what isn't there", syscall(SYS_semop, id, &down, 1),
	      EAGAIN);
	FAILS("semtimedop", syscall(SYS_semtimedop, id, &wait, 1, &limit),
	      EAGAIN);
	GIVES("semctl sets", syscall(SYS_semctl, id, 0, SETVAL, 9), 0);
	GIVES("semctl gets", syscall(SYS_semctl, id, 0, GETVAL), 9);
	GIVES("semctl removes", syscall(SYS_semctl, id, 0, IPC_RMID), 0);
	FAILS("it is gone", semctl(id, 0, GETVAL), EINVAL);
}

static void segments(void)
{
	struct shmid_ds ds;
	key_t key = own_key(3);
	int id;
	char *at;

	SUCCEEDS("shmget", id = keep_segment(syscall(SYS_shmget, key, 100,
	                                             IPC_CREAT | 0600)));
	GIVES("shmget of the library finds it", shmget(key, 0, 0), id);
	SUCCEEDS("shmat", (long)(at = (char *)syscall(SYS_shmat, id, NULL, 0)));
	GIVES("shmctl", syscall(SYS_shmctl, id, IPC_STAT, &ds), 0);
	EQUAL("counts it", ds.shm_nattch, 1);
	strcpy(at, "raw");
	char *other = shmat(id, NULL, 0);
	HOLDS("shmat of the library has the same", strcmp(other, "raw") == 0);
	GIVES("shmdt", syscall(SYS_shmdt, at), 0);
	FAILS("shmdt once", syscall(SYS_shmdt, at), EINVAL);
	GIVES("shmdt of the library", shmdt(other), 0);
	GIVES("shmctl removes", syscall(SYS_shmctl, id, IPC_RMID, NULL), 0);
	FAILS("it is gone", shmget(key, 0, 0), ENOENT);
}

static void queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 8 };
	const char *name = own_name("raw");
	char text[8];
	unsigned int priority = 0;
	int queue;

	SUCCEEDS("mq_open", queue = syscall(SYS_mq_open, name + 1,
	                                    O_CREAT | O_RDWR, 0600, &attr));
	SUCCEEDS("mq_open of the library finds it", mq_open(name, O_RDWR));
	GIVES("mq_timedsend",
	      syscall(SYS_mq_timedsend, queue, "abc", 3, 7, NULL), 0);
	GIVES("mq_receive of the library",
	      mq_receive(queue, text, 8, &priority), 3);
	EQUAL("has its priority", priority, 7);
	mq_send(queue, "x", 1, 0);
	attr.mq_flags = O_NONBLOCK;
	GIVES("mq_getsetattr", syscall(SYS_mq_getsetattr, queue, &attr, &attr),
	      0);
	EQUAL("gives what is held", attr.mq_curmsgs, 1);
	GIVES("mq_timedreceive",
	      syscall(SYS_mq_timedreceive, queue, text, 8, NULL, NULL), 1);
	FAILS("mq_timedreceive of nothing",
	      syscall(SYS_mq_timedreceive, queue, text, 8, NULL, NULL), EAGAIN);
	GIVES("mq_unlink", syscall(SYS_mq_unlink, name + 1), 0);
	FAILS("it is gone", mq_open(name, O_RDWR), ENOENT);
}

static void notifications(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	mqd_t queue = mq_open(own_name("notify"), O_CREAT | O_RDWR, 0600, NULL);

	GIVES("mq_notify", syscall(SYS_mq_notify, queue, &event), 0);
	FAILS("mq_notify of the library", mq_notify(queue, &event), EBUSY);
	GIVES("mq_notify gives up", syscall(SYS_mq_notify, queue, NULL), 0);
}

static void others(void)
{
	GIVES("other numbers are what they were", syscall(SYS_getpid),
	      getpid());
	FAILS("with their errors", syscall(SYS_close, -1), EBADF);
	FAILS("and those that aren't are not", syscall(4711), ENOSYS);
}

CONFORMANCE(GROUP(messages), GROUP(semaphores), GROUP(segments), GROUP(queues),
            GROUP(notifications), GROUP(others))
