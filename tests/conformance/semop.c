/* SPDX-License-Identifier: MIT */
/* semop, semtimedop: arguments, atomicity, waiting, counts, times. */
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

static long two(int number, int by, int flags, int number2, int by2, int flags2)
{
	struct sembuf operations[] = {
		{ (unsigned short)number, (short)by, (short)flags },
		{ (unsigned short)number2, (short)by2, (short)flags2 },
	};

	return semop(set, operations, 2);
}

static long timed(int number, int by, long seconds, long nanoseconds)
{
	struct sembuf operation = { (unsigned short)number, (short)by, 0 };
	struct timespec limit = { seconds, nanoseconds };

	return semtimedop(set, &operation, 1, &limit);
}

static int value(int number)
{
	return semctl(set, number, GETVAL);
}

static struct semid_ds state(void)
{
	struct semid_ds ds;

	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", semctl(set, 0, IPC_STAT, &ds));
	return ds;
}

static void arguments(void)
{
	struct sembuf operations[501];

	memset(operations, 0, sizeof(operations));
	set_new(2);
	FAILS("no operations are invalid", semop(set, operations, 0), EINVAL);
	FAILS("more than semopm are too many", semop(set, operations, 501),
	      E2BIG);
	GIVES("semopm are not", semop(set, operations, 500), 0);
	FAILS("a negative id is invalid", semop(-1, operations, 1), EINVAL);
	FAILS("an id that never was is invalid",
	      semop(0x7ffffff0, operations, 1), EINVAL);
	FAILS("E2BIG comes before a bad id", semop(0x7ffffff0, operations, 501),
	      E2BIG);
	FAILS("no operations come before a bad id", semop(-1, operations, 0),
	      EINVAL);
	FAILS("operations nowhere fault", semop(set, NULL, 1), EFAULT);
	FAILS("a semaphore that isn't is too great", one(2, 1, 0), EFBIG);
	FAILS("wherever it comes", two(0, 1, 0, 2, 1, 0), EFBIG);
	EQUAL("and nothing is done", value(0), 0);
	FAILS("a bad id comes before it", semop(0x7ffffff0, operations, 1),
	      EINVAL);
}

static void values(void)
{
	set_new(1);
	GIVES("adding returns 0", one(0, 5, 0), 0);
	EQUAL("it has added", value(0), 5);
	GIVES("taking returns 0", one(0, -3, 0), 0);
	EQUAL("it has taken", value(0), 2);
	FAILS("what isn't there can't be taken", one(0, -3, IPC_NOWAIT),
	      EAGAIN);
	EQUAL("and nothing is", value(0), 2);
	FAILS("waiting for 0 fails", one(0, 0, IPC_NOWAIT), EAGAIN);
	GIVES("taking all", one(0, -2, IPC_NOWAIT), 0);
	GIVES("waiting for 0 succeeds at 0", one(0, 0, IPC_NOWAIT), 0);
	GIVES("up to the greatest value", one(0, 32767, 0), 0);
	FAILS("and no further", one(0, 1, 0), ERANGE);
	EQUAL("the value is as it was", value(0), 32767);
	FAILS("ERANGE without IPC_NOWAIT, too", one(0, 32767, 0), ERANGE);
}

static void atomicity(void)
{
	set_new(2);
	FAILS("one that fails fails all", two(0, 1, 0, 1, -1, IPC_NOWAIT),
	      EAGAIN);
	EQUAL("the first is not done", value(0), 0);
	FAILS("the flag of another does not count",
	      two(0, -1, IPC_NOWAIT, 1, -1, 0), EAGAIN);
	GIVES("what an earlier one gives a later one may take",
	      two(0, 2, 0, 0, -2, IPC_NOWAIT), 0);
	EQUAL("that is nothing in sum", value(0), 0);
	FAILS("but not in the other order",
	      two(0, -2, IPC_NOWAIT, 0, 2, IPC_NOWAIT), EAGAIN);
	one(1, 32767, 0);
	FAILS("ERANGE undoes what came before", two(0, 1, 0, 1, 1, 0), ERANGE);
	EQUAL("the first is not done then", value(0), 0);
	FAILS("the first that can't be done says what is wrong",
	      two(0, -1, IPC_NOWAIT, 1, 1, 0), EAGAIN);
	GIVES("a lock in one call: wait for 0 and add 1",
	      two(0, 0, IPC_NOWAIT, 0, 1, 0), 0);
	FAILS("and who comes second has it not", two(0, 0, IPC_NOWAIT, 0, 1, 0),
	      EAGAIN);
	EQUAL("and adds nothing", value(0), 1);
}

static void account(void)
{
	time_t before = time_before();

	set_new(3);
	EQUAL("there was no operation", state().sem_otime, 0);
	one(0, -1, IPC_NOWAIT);
	EQUAL("what fails is none", state().sem_otime, 0);
	EQUAL("and notes nobody", semctl(set, 0, GETPID), 0);
	GIVES("an operation", two(0, 1, 0, 2, 0, 0), 0);
	HOLDS("is noted with its time", time_within(state().sem_otime, before));
	EQUAL("and who did it", semctl(set, 0, GETPID), getpid());
	EQUAL("also where it only waited for 0", semctl(set, 2, GETPID),
	      getpid());
	EQUAL("but not where it did nothing", semctl(set, 1, GETPID), 0);
	struct child child = START(one(1, 1, 0));
	pid_t pid = child.pid;
	ANSWERS("a child adds", &child, 0);
	EQUAL("it is noted", semctl(set, 1, GETPID), pid);
	EQUAL("where it added", semctl(set, 0, GETPID), getpid());
}

static void waits_for_more(void)
{
	set_new(1);
	struct child child = START(one(0, -3, 0));
	pid_t pid = child.pid;
	asleep(&child);
	EQUAL("who waits for more is counted", semctl(set, 0, GETNCNT), 1);
	EQUAL("and not as waiting for 0", semctl(set, 0, GETZCNT), 0);
	one(0, 2, 0);
	EQUAL("less than it wants stays", value(0), 2);
	EQUAL("and it waits on", semctl(set, 0, GETNCNT), 1);
	one(0, 2, 0);
	ANSWERS("enough lets it go on", &child, 0);
	EQUAL("with what it wanted", value(0), 1);
	EQUAL("it is counted no more", semctl(set, 0, GETNCNT), 0);
	EQUAL("it is who operated last", semctl(set, 0, GETPID), pid);
}

static void waits_for_zero(void)
{
	set_new(1);
	one(0, 2, 0);
	struct child child = START(one(0, 0, 0));
	asleep(&child);
	EQUAL("who waits for 0 is counted", semctl(set, 0, GETZCNT), 1);
	EQUAL("and not as waiting for more", semctl(set, 0, GETNCNT), 0);
	one(0, -1, 0);
	EQUAL("1 is not 0", semctl(set, 0, GETZCNT), 1);
	one(0, -1, 0);
	ANSWERS("0 lets it go on", &child, 0);
	EQUAL("it is counted no more", semctl(set, 0, GETZCNT), 0);
}

/* Whether a sleeper comes to be counted here, which may take it a moment. */
static bool counted(int number)
{
	struct timespec start = from_now(CLOCK_MONOTONIC, 0);

	while (semctl(set, number, GETNCNT) != 1)
		if (elapsed_ms(&start) > 20000)
			return false;
	return true;
}

static void waits_for_both(void)
{
	set_new(2);
	struct child child = START(two(0, -1, 0, 1, -1, 0));
	asleep(&child);
	EQUAL("it waits for the first that is missing", semctl(set, 0, GETNCNT),
	      1);
	EQUAL("and not for the other", semctl(set, 1, GETNCNT), 0);
	one(0, 1, 0);
	EQUAL("half of it takes nothing", value(0), 1);
	HOLDS("then it waits for the second", counted(1));
	EQUAL("and no more for the first", semctl(set, 0, GETNCNT), 0);
	one(1, 1, 0);
	ANSWERS("both let it go on", &child, 0);
	EQUAL("both are taken", value(0) + value(1), 0);
}

static void many_wake(void)
{
	set_new(1);
	struct child first = START(one(0, -1, 0));
	asleep(&first);
	struct child second = START(one(0, -1, 0));
	asleep(&second);
	EQUAL("both are counted", semctl(set, 0, GETNCNT), 2);
	one(0, 2, 0);
	ANSWERS("two wake one sleeper", &first, 0);
	ANSWERS("and the other", &second, 0);
	EQUAL("and are taken", value(0), 0);
	first = START(one(0, -5, 0));
	asleep(&first);
	second = START(one(0, -1, 0));
	asleep(&second);
	one(0, 1, 0);
	ANSWERS("who wants little passes who wants much", &second, 0);
	EQUAL("who waits on", semctl(set, 0, GETNCNT), 1);
	semctl(set, 0, SETVAL, 5);
	ANSWERS("SETVAL wakes, too", &first, 0);
	EQUAL("and is taken from", value(0), 0);
}

static void one_of_many(void)
{
	set_new(1);
	struct child first = START(one(0, -1, 0));
	asleep(&first);
	struct child second = START(one(0, -1, 0));
	asleep(&second);
	one(0, 1, 0);
	HOLDS("one that is given lets one of two go on", counted(0));
	one(0, 1, 0);
	ANSWERS("another the other: this", &first, 0);
	ANSWERS("and that", &second, 0);
	first = START(two(0, -2, 0, 0, 0, 0));
	asleep(&first);
	one(0, 2, 0);
	ANSWERS("a sleeper's operations are done in one", &first, 0);
	HOLDS("and are operations", state().sem_otime > 0);
}

static void chain(void)
{
	set_new(2);
	struct child first = START(two(0, -1, 0, 1, 1, 0));
	asleep(&first);
	struct child second = START(one(1, -1, 0));
	asleep(&second);
	one(0, 1, 0);
	ANSWERS("one that is woken", &first, 0);
	ANSWERS("wakes another", &second, 0);
	one(0, 1, 0);
	first = START(one(0, 0, 0));
	asleep(&first);
	unsigned short none[2] = { 0, 0 };
	semctl(set, 0, SETALL, none);
	ANSWERS("SETALL wakes who waits for 0", &first, 0);
}

static void impossible_while_asleep(void)
{
	set_new(2);
	semctl(set, 1, SETVAL, 32767);
	struct child child = START(two(0, -1, 0, 1, 1, 0));
	asleep(&child);
	one(0, 1, 0);
	ANSWERS_ERROR("a sleeper is told ERANGE when it comes to it", &child,
	              ERANGE);
	EQUAL("and nothing was done", value(0), 1);
	child = START(two(0, -2, 0, 1, -1, IPC_NOWAIT));
	asleep(&child);
	semctl(set, 1, SETVAL, 0);
	one(0, 1, 0);
	ANSWERS_ERROR("IPC_NOWAIT of a later one counts when it comes to it",
	              &child, EAGAIN);
	EQUAL("and nothing was done then", value(0), 2);
}

static void removal(void)
{
	set_new(2);
	one(1, 1, 0);
	struct child first = START(one(0, -1, 0));
	asleep(&first);
	struct child second = START(one(1, 0, 0));
	asleep(&second);
	struct child third = START(two(1, -1, 0, 0, -1, 0));
	asleep(&third);
	GIVES("a set with sleepers is removed", semctl(set, 0, IPC_RMID), 0);
	ANSWERS_ERROR("who waits for more is told", &first, EIDRM);
	ANSWERS_ERROR("who waits for 0 is told", &second, EIDRM);
	ANSWERS_ERROR("who waits for both is told", &third, EIDRM);
	FAILS("later calls have no such set", one(0, 1, 0), EINVAL);
}

static void time_limits(void)
{
	struct timespec start = from_now(CLOCK_MONOTONIC, 0);

	set_new(1);
	FAILS("the time runs out", timed(0, -1, 0, 20000000), EAGAIN);
	HOLDS("and not before", elapsed_ms(&start) >= 19);
	FAILS("no time at all", timed(0, -1, 0, 0), EAGAIN);
	FAILS("a negative time is invalid", timed(0, -1, -1, 0), EINVAL);
	FAILS("as are negative nanoseconds", timed(0, -1, 0, -1), EINVAL);
	FAILS("as is a second of nanoseconds", timed(0, -1, 0, 1000000000),
	      EINVAL);
	FAILS("an invalid time counts when there's nothing to wait for",
	      timed(0, 1, -1, 0), EINVAL);
	EQUAL("and nothing is done", value(0), 0);
	GIVES("with time, what can be done is done", timed(0, 1, 100, 0), 0);
	FAILS("who gave up is counted no more", timed(0, -2, 0, 1000000),
	      EAGAIN);
	EQUAL("not for more", semctl(set, 0, GETNCNT), 0);
	struct child child = START(timed(0, -2, 1000, 0));
	asleep(&child);
	one(0, 1, 0);
	ANSWERS("a timed sleeper is woken", &child, 0);
	struct sembuf take = { 0, -1, IPC_NOWAIT };
	FAILS("no limit is as semop", semtimedop(set, &take, 1, NULL), EAGAIN);
}

static void order_of_errors(void)
{
	if (!may_become())
		return;
	set_new(1);
	FAILS_AS_NOBODY("altering takes the right to write", one(0, 1, 0),
	                EACCES);
	FAILS_AS_NOBODY("EACCES comes before EAGAIN", one(0, -1, IPC_NOWAIT),
	                EACCES);
	FAILS_AS_NOBODY("EFBIG comes before EACCES", one(1, 1, 0), EFBIG);
	FAILS_AS_NOBODY("EACCES comes before ERANGE", one(0, 32767, 0), EACCES);
	FAILS_AS_NOBODY("EINVAL of the time comes before EACCES",
	                timed(0, 1, -1, 0), EINVAL);
	struct semid_ds ds = state();
	ds.sem_perm.mode = 0604;
	semctl(set, 0, IPC_SET, &ds);
	SUCCEEDS_AS_NOBODY("waiting for 0 takes the right to read",
	                   one(0, 0, IPC_NOWAIT));
	FAILS_AS_NOBODY("which is not enough to alter", one(0, 1, 0), EACCES);
	FAILS_AS_NOBODY("nor if only one of them alters", two(0, 0, 0, 0, 1, 0),
	                EACCES);
	ds.sem_perm.mode = 0602;
	semctl(set, 0, IPC_SET, &ds);
	SUCCEEDS_AS_NOBODY("the right to write is enough to alter",
	                   one(0, 1, 0));
	FAILS_AS_NOBODY("but not to wait for 0", one(0, 0, IPC_NOWAIT), EACCES);
	SUCCEEDS_AS_NOBODY("but it is if another of them alters",
	                   two(0, -1, 0, 0, 0, 0));
}

CONFORMANCE(GROUP(arguments), GROUP(values), GROUP(atomicity), GROUP(account),
            GROUP(waits_for_more), GROUP(waits_for_zero), GROUP(waits_for_both),
            GROUP(many_wake), GROUP(one_of_many), GROUP(chain),
            GROUP(impossible_while_asleep), GROUP(removal), GROUP(time_limits),
            GROUP(order_of_errors))
