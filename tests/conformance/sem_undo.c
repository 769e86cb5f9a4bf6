/* SPDX-License-Identifier: MIT */
/* SEM_UNDO: by exit, kill and exec, with fork, threads, SETVAL and limits. */
#include "conformance.h"

#include <sys/sem.h>

static int set;

static void set_new(int count)
{
	set = keep_set(need("semget", semget(IPC_PRIVATE, count, 0600)));
}

static long one(int number, int by, int flags)
{
	struct sembuf operation = { (unsigned short)number, (short)by,
		                    (short)flags };

	return semop(set, &operation, 1);
}

static int value(int number)
{
	return semctl(set, number, GETVAL);
}

static void at_exit(void)
{
	set_new(2);
	struct child child = START(one(0, 3, SEM_UNDO));
	pid_t pid = child.pid;
	ANSWERS("a child adds with undo", &child, 0);
	EQUAL("its end takes it back", value(0), 0);
	EQUAL("the child is noted", semctl(set, 0, GETPID), pid);
	child = START(one(0, 3, 0));
	finish(&child);
	EQUAL("without the flag it stays", value(0), 3);
	child = START(one(0, -2, SEM_UNDO));
	finish(&child);
	EQUAL("what was taken is given back", value(0), 3);
	child = START(one(0, -2, SEM_UNDO) + one(0, 1, 0));
	finish(&child);
	EQUAL("only what had the flag is undone", value(0), 4);
	child = START(one(0, -2, SEM_UNDO) + one(0, 2, SEM_UNDO));
	finish(&child);
	EQUAL("what is given back with the flag is not given twice", value(0),
	      4);
	child = START(one(0, 1, SEM_UNDO) + one(1, 2, SEM_UNDO));
	finish(&child);
	EQUAL("each semaphore has its own", value(0) * 10 + value(1), 40);
}

static long take_and_wait(int by)
{
	if (one(0, by, SEM_UNDO) != 0)
		return -1;
	__atomic_store_n(&board->notes[0], 1, __ATOMIC_SEQ_CST);
	return pause();
}

static void at_kill(void)
{
	set_new(1);
	semctl(set, 0, SETVAL, 5);
	struct child child = START(take_and_wait(-3));
	await_note(0, 1);
	EQUAL("a child takes with undo", value(0), 2);
	slay(&child);
	EQUAL("its kill gives it back", value(0), 5);
	board->notes[0] = 0;
	child = START(take_and_wait(-5));
	await_note(0, 1);
	struct child sleeper = START(one(0, -4, 0));
	asleep(&sleeper);
	slay(&child);
	ANSWERS("the kill of a holder wakes a sleeper", &sleeper, 0);
	EQUAL("which has taken", value(0), 1);
}

static void at_kill_asleep(void)
{
	set_new(2);
	struct child child = START(one(0, 1, SEM_UNDO) + one(1, -1, SEM_UNDO));
	asleep(&child);
	EQUAL("a child adds and waits", value(0), 1);
	EQUAL("it is counted", semctl(set, 1, GETNCNT), 1);
	slay(&child);
	EQUAL("its kill takes back what it added", value(0), 0);
	EQUAL("it is counted no more", semctl(set, 1, GETNCNT), 0);
	EQUAL("what it only wanted is not given", value(1), 0);
	one(1, 1, 0);
	EQUAL("and isn't taken when it comes", value(1), 1);
}

static void bounds(void)
{
	set_new(1);
	struct child child = START(one(0, 5, SEM_UNDO) + one(0, -3, 0));
	finish(&child);
	EQUAL("undo goes no lower than 0", value(0), 0);
	semctl(set, 0, SETVAL, 10);
	child = START(one(0, -10, SEM_UNDO) + one(0, 32767, 0));
	finish(&child);
	EQUAL("undo goes no higher than the greatest value", value(0), 32767);
}

static void ranges(void)
{
	set_new(1);
	semctl(set, 0, SETVAL, 32767);
	GIVES("undo up to the greatest", one(0, -32767, SEM_UNDO), 0);
	semctl(set, 0, SETVAL, 0);
	need("semop", one(0, 32767, 0));
	GIVES("SETVAL has forgotten it", one(0, -32767, SEM_UNDO), 0);
	need("semop", one(0, 1, 0));
	FAILS("no undo above the greatest", one(0, -1, SEM_UNDO), ERANGE);
	EQUAL("the value is as it was", value(0), 1);
	GIVES("without undo it can be taken", one(0, -1, 0), 0);
}

static void forgotten(void)
{
	unsigned short values[2] = { 4, 4 };

	set_new(2);
	struct child child =
		START(one(0, 2, SEM_UNDO) + semctl(set, 0, SETVAL, 7));
	finish(&child);
	EQUAL("SETVAL forgets what is to be undone", value(0), 7);
	child = START(one(0, 2, SEM_UNDO) + one(1, 1, SEM_UNDO) +
	              semctl(set, 0, SETVAL, 7));
	finish(&child);
	EQUAL("of its own semaphore only", value(1), 0);
	child = START(one(0, 2, SEM_UNDO) + one(1, 2, SEM_UNDO) +
	              semctl(set, 0, SETALL, values));
	finish(&child);
	EQUAL("SETALL forgets all", value(0) * 10 + value(1), 44);
	board->notes[0] = 0;
	child = START(take_and_wait(-1));
	await_note(0, 1);
	semctl(set, 0, SETVAL, 9);
	slay(&child);
	EQUAL("SETVAL of another forgets, too", value(0), 9);
}

static void of_parents(void)
{
	set_new(1);
	need("semop", one(0, 4, SEM_UNDO));
	struct child child = START(0);
	finish(&child);
	EQUAL("a child doesn't undo what its parent did", value(0), 4);
	child = START(one(0, 1, SEM_UNDO));
	finish(&child);
	EQUAL("but what it did itself", value(0), 4);
}

static long grandchild_adds(void)
{
	struct child child = START(take_and_wait(2));

	await_note(0, 1);
	board->notes[1] = child.pid;
	return 0;
}

static void of_children(void)
{
	set_new(1);
	struct child child = START(grandchild_adds());
	finish(&child);
	EQUAL("the end of a parent undoes nothing of its child's", value(0), 2);
	kill((pid_t)board->notes[1], SIGKILL);
	while (value(0) != 0)
		if (value(0) < 0)
			break;
	EQUAL("the child's does", value(0), 0);
}

static void *add_in_thread(void *unused)
{
	(void)unused;
	one(0, 2, SEM_UNDO);
	return NULL;
}

static long thread_ends(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, add_in_thread, NULL);
	pthread_join(thread, NULL);
	board->notes[0] = value(0);
	one(0, -2, SEM_UNDO);
	return 0;
}

static void of_threads(void)
{
	set_new(1);
	struct child child = START(thread_ends());
	finish(&child);
	EQUAL("the end of a thread undoes nothing", board->notes[0], 2);
	EQUAL("threads share what is to be undone", value(0), 0);
}

static void of_removed(void)
{
	int old;

	set_new(1);
	old = set;
	struct child child =
		START(one(0, 1, SEM_UNDO) + semctl(set, 0, IPC_RMID));
	ANSWERS("a set with something to undo is removed", &child, 0);
	set_new(1);
	HOLDS("a new set has another id", set != old);
	EQUAL("nothing is undone in it", value(0), 0);
}

static long add_to(int which)
{
	struct sembuf operation = { 0, 1, SEM_UNDO };

	return semop(which, &operation, 1);
}

static void several(void)
{
	struct sembuf both[] = { { 0, 1, SEM_UNDO }, { 1, 1, 0 } };

	set_new(2);
	struct child child = START(semop(set, both, 2));
	finish(&child);
	EQUAL("the flag is each operation's own", value(0) * 10 + value(1), 1);
	int first = set;
	set_new(2);
	int second = set;
	child = START(add_to(first) + add_to(second));
	finish(&child);
	EQUAL("several sets are undone: one", semctl(first, 0, GETVAL), 0);
	EQUAL("several sets are undone: another", semctl(second, 0, GETVAL), 0);
}

static void when_woken(void)
{
	set_new(1);
	struct child child = START(one(0, -1, SEM_UNDO));
	asleep(&child);
	one(0, 1, 0);
	ANSWERS("a sleeper takes with undo", &child, 0);
	EQUAL("its end gives it back", value(0), 1);
}

int after_exec(const char *word)
{
	set = atoi(word);
	board->notes[0] = value(0);
	return 0;
}

static void over_exec(void)
{
	char word[32];

	set_new(1);
	snprintf(word, sizeof(word), "%d", set);
	struct child child = START_EXEC_AFTER(one(0, 5, SEM_UNDO), word);
	ANSWERS("a program is executed", &child, 0);
	EQUAL("exec undoes nothing", board->notes[0], 5);
	EQUAL("the end of what was executed does", value(0), 0);
}

static long add_as_nobody(void)
{
	long added = one(0, 3, SEM_UNDO);

	become(NOBODY, NOBODY);
	return added;
}

static void rights(void)
{
	if (!may_become())
		return;
	set_new(1);
	struct child child = START(add_as_nobody());
	finish(&child);
	EQUAL("undo takes no right", value(0), 0);
}

CONFORMANCE(GROUP(at_exit), GROUP(at_kill), GROUP(at_kill_asleep),
            GROUP(bounds), GROUP(ranges), GROUP(forgotten), GROUP(of_parents),
            GROUP(of_children), GROUP(of_threads), GROUP(of_removed),
            GROUP(several), GROUP(when_woken), GROUP(over_exec), GROUP(rights))
