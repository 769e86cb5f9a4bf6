/* SPDX-License-Identifier: MIT */
/* Signals that come to who waits in a call, with and without SA_RESTART. */
#include "conformance.h"

#include <mqueue.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>

struct message {
	long type;
	char text[8];
};

static struct message message = { 1, "" };
static int id;
static mqd_t queue;
static sem_t *sem;
static char text[8];
static struct timespec late;

#define INTERRUPTED(rule, flags, call)                                   \
	do {                                                             \
		struct child sleeper_ = START_HANDLING(flags, call);     \
		struct answer answer_ = interrupt(&sleeper_, SIGUSR1);   \
		tell_failure(rule, answer_.value, answer_.error, EINTR); \
	} while (0)

/* Handles a signal and goes on to wait; what is done then ends the wait. */
#define RESTARTED(rule, call, end, wanted)                                \
	do {                                                              \
		struct child sleeper_ = START_HANDLING(SA_RESTART, call); \
		disturb(&sleeper_, SIGUSR1);                              \
		end;                                                      \
		ANSWERS(rule, &sleeper_, wanted);                         \
	} while (0)

static void mq_new(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	const char *name = own_name("s");

	queue = need("mq_open", mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
	late = from_now(CLOCK_REALTIME, 1000000);
}

static void msgrcv_waits(void)
{
	id = keep_queue(NEED(msgget(IPC_PRIVATE, 0600)));
	INTERRUPTED("msgrcv is interrupted", 0, msgrcv(id, &message, 8, 0, 0));
	INTERRUPTED("msgrcv with SA_RESTART is, too", SA_RESTART,
	            msgrcv(id, &message, 8, 0, 0));
	INTERRUPTED("msgrcv of a type is", SA_RESTART,
	            msgrcv(id, &message, 8, 5, 0));
	GIVES("a message that comes then stays", msgsnd(id, &message, 1, 0), 0);
	GIVES("and can be received", msgrcv(id, &message, 8, 0, IPC_NOWAIT), 1);
}

static void msgsnd_waits(void)
{
	struct msqid_ds ds;

	id = keep_queue(NEED(msgget(IPC_PRIVATE, 0600)));
	msgctl(id, IPC_STAT, &ds);
	ds.msg_qbytes = 1;
	msgctl(id, IPC_SET, &ds);
	msgsnd(id, &message, 1, 0);
	INTERRUPTED("msgsnd is interrupted", 0, msgsnd(id, &message, 1, 0));
	INTERRUPTED("msgsnd with SA_RESTART is, too", SA_RESTART,
	            msgsnd(id, &message, 1, 0));
	msgctl(id, IPC_STAT, &ds);
	EQUAL("nothing was sent", ds.msg_qnum, 1);
}

static long take(struct timespec *limit)
{
	struct sembuf operation = { 0, -1, SEM_UNDO };

	return semtimedop(id, &operation, 1, limit);
}

static long until_zero(void)
{
	struct sembuf operation = { 0, 0, 0 };

	return semop(id, &operation, 1);
}

static void semop_waits(void)
{
	struct timespec limit = { 1000, 0 };

	id = keep_set(NEED(semget(IPC_PRIVATE, 1, 0600)));
	INTERRUPTED("semop is interrupted", 0, take(NULL));
	INTERRUPTED("semop with SA_RESTART is, too", SA_RESTART, take(NULL));
	INTERRUPTED("semtimedop is interrupted", 0, take(&limit));
	INTERRUPTED("semtimedop with SA_RESTART is, too", SA_RESTART,
	            take(&limit));
	EQUAL("nobody waits any more", semctl(id, 0, GETNCNT), 0);
	semctl(id, 0, SETVAL, 1);
	INTERRUPTED("waiting for 0 is interrupted", SA_RESTART, until_zero());
	EQUAL("nobody waits for 0 any more", semctl(id, 0, GETZCNT), 0);
	EQUAL("nothing was taken", semctl(id, 0, GETVAL), 1);
}

static void mq_receive_waits(void)
{
	mq_new();
	INTERRUPTED("mq_receive is interrupted", 0,
	            mq_receive(queue, text, 8, NULL));
	RESTARTED("mq_receive with SA_RESTART goes on",
	          mq_receive(queue, text, 8, NULL), mq_send(queue, "abc", 3, 0),
	          3);
	INTERRUPTED("mq_timedreceive is interrupted", 0,
	            mq_timedreceive(queue, text, 8, NULL, &late));
	RESTARTED("mq_timedreceive with SA_RESTART goes on",
	          mq_timedreceive(queue, text, 8, NULL, &late),
	          mq_send(queue, "ab", 2, 0), 2);
}

static void mq_send_waits(void)
{
	mq_new();
	mq_send(queue, "a", 1, 0);
	INTERRUPTED("mq_send is interrupted", 0, mq_send(queue, "b", 1, 0));
	RESTARTED("mq_send with SA_RESTART goes on", mq_send(queue, "c", 1, 0),
	          mq_receive(queue, text, 8, NULL), 0);
	INTERRUPTED("mq_timedsend is interrupted", 0,
	            mq_timedsend(queue, "d", 1, 0, &late));
	RESTARTED("mq_timedsend with SA_RESTART goes on",
	          mq_timedsend(queue, "e", 1, 0, &late),
	          mq_receive(queue, text, 8, NULL), 0);
	mq_receive(queue, text, 8, NULL);
	EQUAL("what is there is what was sent last", text[0], 'e');
}

static void sem_waits(void)
{
	struct timespec monotonic = from_now(CLOCK_MONOTONIC, 1000000);

	late = from_now(CLOCK_REALTIME, 1000000);
	sem = mmap(NULL, sizeof(*sem), PROT_READ | PROT_WRITE,
	           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(sem_init(sem, 1, 0));
	INTERRUPTED("sem_wait is interrupted", 0, sem_wait(sem));
	RESTARTED("sem_wait with SA_RESTART goes on", sem_wait(sem),
	          sem_post(sem), 0);
	INTERRUPTED("sem_timedwait is interrupted", 0,
	            sem_timedwait(sem, &late));
	INTERRUPTED("sem_clockwait is interrupted", 0,
	            sem_clockwait(sem, CLOCK_MONOTONIC, &monotonic));
	sem_post(sem);
	GIVES("nothing was taken", sem_trywait(sem), 0);
}

static void named_sem_waits(void)
{
	sem = sem_open(own_name("n"), O_CREAT, 0600, 0);
	INTERRUPTED("sem_wait of a named one is interrupted", 0, sem_wait(sem));
	RESTARTED("and with SA_RESTART goes on", sem_wait(sem), sem_post(sem),
	          0);
}

static void ignored(void)
{
	id = keep_queue(NEED(msgget(IPC_PRIVATE, 0600)));
	struct child child = START_AFTER(signal(SIGUSR1, SIG_IGN),
	                                 msgrcv(id, &message, 8, 0, 0));
	asleep(&child);
	kill(child.pid, SIGUSR1);
	kill(child.pid, SIGCHLD);
	msgsnd(id, &message, 3, 0);
	ANSWERS("a signal that is ignored interrupts nothing", &child, 3);
}

static struct answer stop_and_go(struct child *child)
{
	int status;

	asleep(child);
	kill(child->pid, SIGSTOP);
	waitpid(child->pid, &status, WUNTRACED);
	kill(child->pid, SIGCONT);
	msgsnd(id, &message, 3, 0);
	return finish(child);
}

static void stopped(void)
{
	mq_new();
	id = keep_queue(NEED(msgget(IPC_PRIVATE, 0600)));
	struct child child = START(msgrcv(id, &message, 8, 0, 0));
	EQUAL("who is stopped in msgrcv and goes on, goes on",
	      stop_and_go(&child).value, 3);
	child = START(mq_receive(queue, text, 8, NULL));
	asleep(&child);
	kill(child.pid, SIGSTOP);
	kill(child.pid, SIGCONT);
	mq_send(queue, "a", 1, 0);
	ANSWERS("and who is stopped in mq_receive", &child, 1);
}

static void handler_calls(int signal)
{
	(void)signal;
	board->notes[0] = msgrcv(id, &message, 8, 2, IPC_NOWAIT);
	board->notes[1] = errno;
	__atomic_store_n(&board->handled, 1, __ATOMIC_SEQ_CST);
}

static void in_handlers(void)
{
	id = keep_queue(NEED(msgget(IPC_PRIVATE, 0600)));
	struct child child = START_AFTER(signal(SIGUSR1, handler_calls),
	                                 msgrcv(id, &message, 8, 1, 0));
	struct answer answer = interrupt(&child, SIGUSR1);
	tell_failure("who calls in a handler is interrupted after it",
	             answer.value, answer.error, EINTR);
	EQUAL("the call in the handler has its own answer", board->notes[1],
	      ENOMSG);
}

/* Notes: what the handler received, and whether it is there. */
static void handler_receives(int signal)
{
	char own[8] = "";

	(void)signal;
	__atomic_store_n(&board->notes[0], 1, __ATOMIC_SEQ_CST);
	long bytes = mq_receive(queue, own, sizeof(own), NULL);
	__atomic_store_n(&board->notes[1], bytes == 1 ? own[0] : -errno,
	                 __ATOMIC_SEQ_CST);
}

static void receive_by_handler(int flags)
{
	struct sigaction action = { .sa_handler = handler_receives,
		                    .sa_flags = flags };

	sigaction(SIGUSR1, &action, NULL);
}

/* Asleep in mq_receive, and then in its handler's. */
static struct child receive_in_receive(int flags)
{
	memset(board->notes, 0, sizeof(board->notes));
	struct child child = START_AFTER(
	        receive_by_handler(flags),
	        mq_receive(queue, text, 8, NULL) == 1 ? text[0] : -1);
	asleep(&child);
	kill(child.pid, SIGUSR1);
	await_note(0, 1);
	thread_asleep(child.pid);
	return child;
}

static void receiving_in_handlers(void)
{
	mq_new();
	struct child child = receive_in_receive(SA_RESTART);
	mq_send(queue, "a", 1, 0);
	await_note(1, 'a');
	HOLDS("the handler of who waits in mq_receive receives", true);
	thread_asleep(child.pid);
	mq_send(queue, "b", 1, 0);
	ANSWERS("and who waited goes on to wait for another", &child, 'b');

	child = receive_in_receive(0);
	mq_send(queue, "c", 1, 0);
	ANSWERS_ERROR("without SA_RESTART he is interrupted", &child, EINTR);
	EQUAL("when his handler has received", board->notes[1], 'c');

	child = receive_in_receive(SA_RESTART);
	slay(&child);
	GIVES("if he is killed there", mq_send(queue, "d", 1, 0), 0);
	GIVES("the next message is another's",
	      mq_receive(queue, text, 8, NULL), 1);
}

CONFORMANCE(GROUP(msgrcv_waits), GROUP(msgsnd_waits), GROUP(semop_waits),
            GROUP(mq_receive_waits), GROUP(mq_send_waits), GROUP(sem_waits),
            GROUP(named_sem_waits), GROUP(ignored), GROUP(stopped),
            GROUP(in_handlers), GROUP(receiving_in_handlers))
