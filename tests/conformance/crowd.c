/* SPDX-License-Identifier: MIT */
/* Many processes and threads at once: nothing is lost, nothing comes twice. */
#include "conformance.h"

#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

enum {
	CROWD = 4,
	ROUNDS = 250,
};

struct message {
	long type;
	int number;
};

static int id;
static mqd_t queue;
static sem_t *sem;

static long send_many(int from)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct message message = { 1 + from, from * ROUNDS + i };
		if (msgsnd(id, &message, sizeof(message.number), 0) != 0)
			return -1;
	}
	return 0;
}

/* The sum of what comes, if each sender's numbers come in order. */
static long receive_many(void)
{
	int last[CROWD] = { -1, -1, -1, -1 };
	long sum = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct message message;
		if (msgrcv(id, &message, sizeof(message.number), 0, 0) !=
		    sizeof(message.number))
			return -1;
		int from = message.number / ROUNDS;
		if (message.number <= last[from])
			return -2;
		last[from] = message.number;
		sum += message.number;
	}
	return sum;
}

static void messages(void)
{
	struct child senders[CROWD], receivers[CROWD];
	long total = CROWD * ROUNDS, sum = 0;

	id = keep_queue(NEED(msgget(IPC_PRIVATE, 0600)));
	for (int i = 0; i < CROWD; i++) {
		senders[i] = START(send_many(i));
		receivers[i] = START(receive_many());
	}
	for (int i = 0; i < CROWD; i++) {
		ANSWERS("a sender sends all", &senders[i], 0);
		struct answer got = finish(&receivers[i]);
		HOLDS("a receiver has each sender's in order", got.value >= 0);
		sum += got.value;
	}
	EQUAL("each comes once", sum, total * (total - 1) / 2);
}

static long mq_send_many(int from)
{
	for (int i = 0; i < ROUNDS; i++) {
		int number = from * ROUNDS + i;
		if (mq_send(queue, (char *)&number, sizeof(number), 0) != 0)
			return -1;
	}
	return 0;
}

static long mq_receive_many(void)
{
	long sum = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int number;
		if (mq_receive(queue, (char *)&number, sizeof(number), NULL) !=
		    sizeof(number))
			return -1;
		sum += number;
	}
	return sum;
}

static void queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 3, .mq_msgsize = sizeof(int) };
	struct child senders[CROWD], receivers[CROWD];
	long total = CROWD * ROUNDS, sum = 0;

	queue = need("mq_open",
	             mq_open(own_name("crowd"), O_RDWR | O_CREAT, 0600, &attr));
	for (int i = 0; i < CROWD; i++) {
		senders[i] = START(mq_send_many(i));
		receivers[i] = START(mq_receive_many());
	}
	for (int i = 0; i < CROWD; i++) {
		ANSWERS("a sender sends all", &senders[i], 0);
		sum += finish(&receivers[i]).value;
	}
	EQUAL("each comes once", sum, total * (total - 1) / 2);
	GIVES("nothing is left", mq_getattr(queue, &attr), 0);
	EQUAL("not one", attr.mq_curmsgs, 0);
}

/* Not atomic on purpose: whoever isn't alone loses some. */
static void count_up(void)
{
	long seen = __atomic_load_n(&board->notes[0], __ATOMIC_RELAXED);

	sched_yield();
	__atomic_store_n(&board->notes[0], seen + 1, __ATOMIC_RELAXED);
}

static long count_in_set(int flags)
{
	struct sembuf take = { 0, -1, (short)flags };
	struct sembuf give = { 0, 1, (short)flags };

	for (int i = 0; i < ROUNDS; i++) {
		if (semop(id, &take, 1) != 0)
			return -1;
		count_up();
		if (semop(id, &give, 1) != 0)
			return -1;
	}
	return 0;
}

static void sets(void)
{
	struct child children[CROWD];

	id = keep_set(NEED(semget(IPC_PRIVATE, 1, 0600)));
	semctl(id, 0, SETVAL, 1);
	for (int flags = 0; flags <= SEM_UNDO; flags += SEM_UNDO) {
		board->notes[0] = 0;
		for (int i = 0; i < CROWD; i++)
			children[i] = START(count_in_set(flags));
		for (int i = 0; i < CROWD; i++)
			ANSWERS("a process counts with a set", &children[i], 0);
		EQUAL("one at a time", board->notes[0], CROWD * ROUNDS);
		EQUAL("and the set is free", semctl(id, 0, GETVAL), 1);
	}
}

static long count_and_die(void)
{
	struct sembuf take = { 0, -1, SEM_UNDO };

	if (semop(id, &take, 1) != 0)
		return -1;
	count_up();
	return raise(SIGKILL);
}

static void deaths(void)
{
	struct child children[20];

	id = keep_set(NEED(semget(IPC_PRIVATE, 1, 0600)));
	semctl(id, 0, SETVAL, 1);
	for (size_t i = 0; i < COUNT(children); i++)
		children[i] = START(count_and_die());
	int died = 0;
	for (size_t i = 0; i < COUNT(children); i++)
		died += finish(&children[i]).error == -SIGKILL;
	EQUAL("who dies with it gives it to the next", died, COUNT(children));
	EQUAL("one at a time", board->notes[0], COUNT(children));
	EQUAL("and the last gives it back", semctl(id, 0, GETVAL), 1);
}

static long count_in_sem(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (sem_wait(sem) != 0)
			return -1;
		count_up();
		if (sem_post(sem) != 0)
			return -1;
	}
	return 0;
}

static void semaphores(void)
{
	struct child children[CROWD];
	int value = 0;

	sem = sem_open(own_name("crowd"), O_CREAT, 0600, 1);
	for (int i = 0; i < CROWD; i++)
		children[i] = START(count_in_sem());
	for (int i = 0; i < CROWD; i++)
		ANSWERS("a process counts with a semaphore", &children[i], 0);
	EQUAL("one at a time", board->notes[0], CROWD * ROUNDS);
	sem_getvalue(sem, &value);
	EQUAL("and it is free", value, 1);
}

static void *count_in_thread(void *unused)
{
	(void)unused;
	return (void *)count_in_set(SEM_UNDO);
}

static void threads(void)
{
	pthread_t crowd[CROWD];
	void *result;

	id = keep_set(NEED(semget(IPC_PRIVATE, 1, 0600)));
	semctl(id, 0, SETVAL, 1);
	for (int i = 0; i < CROWD; i++)
		pthread_create(&crowd[i], NULL, count_in_thread, NULL);
	for (int i = 0; i < CROWD; i++) {
		pthread_join(crowd[i], &result);
		EQUAL("a thread counts with a set", result == NULL, 1);
	}
	EQUAL("one at a time", board->notes[0], CROWD * ROUNDS);
	EQUAL("and the set is free", semctl(id, 0, GETVAL), 1);
}

static long attach_often(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		char *at = shmat(id, NULL, 0);
		if (at == (char *)-1 || shmdt(at) != 0)
			return -1;
	}
	return 0;
}

static void segments(void)
{
	struct child children[CROWD];
	struct shmid_ds ds;

	id = keep_segment(NEED(shmget(IPC_PRIVATE, 4096, 0600)));
	for (int i = 0; i < CROWD; i++)
		children[i] = START(attach_often());
	for (int i = 0; i < CROWD; i++)
		ANSWERS("a process attaches and detaches", &children[i], 0);
	shmctl(id, IPC_STAT, &ds);
	EQUAL("and none is counted in the end", ds.shm_nattch, 0);
}

static long get_by_key(int number)
{
	return msgget(own_key(number), IPC_CREAT | IPC_EXCL | 0600) >= 0;
}

static void one_maker(void)
{
	for (int round = 0; round < 10; round++) {
		struct child children[CROWD];
		long makers = 0;
		for (int i = 0; i < CROWD; i++)
			children[i] = START(get_by_key(round));
		for (int i = 0; i < CROWD; i++)
			makers += finish(&children[i]).value;
		keep_queue(msgget(own_key(round), 0));
		EQUAL("of many with IPC_EXCL one makes the queue", makers, 1);
	}
}

CONFORMANCE(GROUP(messages), GROUP(queues), GROUP(sets), GROUP(deaths),
            GROUP(semaphores), GROUP(threads), GROUP(segments),
            GROUP(one_maker))
