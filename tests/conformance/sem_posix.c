/* SPDX-License-Identifier: MIT */
/* sem_init, sem_open and what goes with them: values, names, waiting. */
#include "conformance.h"

#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>

static sem_t *sem;

/* sem_open() for FAILS() and others: -1 for SEM_FAILED, else 0. */
static long opened(const char *name, int flags, mode_t mode, unsigned int value)
{
	sem_t *new = sem_open(name, flags, mode, value);

	if (new == SEM_FAILED)
		return -1;
	sem = new;
	return 0;
}

static void sem_new(unsigned int value)
{
	sem = mmap(NULL, sizeof(*sem), PROT_READ | PROT_WRITE,
	           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need("sem_init", sem_init(sem, 1, value));
}

static int value_of(sem_t *which)
{
	int value = -4711;

	sem_getvalue(which, &value);
	return value;
}

static void private_values(void)
{
	sem_t own;
	int value;

	GIVES("sem_init returns 0", sem_init(&own, 0, 3), 0);
	GIVES("sem_getvalue returns 0", sem_getvalue(&own, &value), 0);
	EQUAL("the value is that of the call", value, 3);
	GIVES("sem_wait returns 0", sem_wait(&own), 0);
	EQUAL("it has taken one", value_of(&own), 2);
	GIVES("sem_post returns 0", sem_post(&own), 0);
	EQUAL("it has given one", value_of(&own), 3);
	GIVES("sem_trywait returns 0", sem_trywait(&own), 0);
	sem_trywait(&own);
	sem_trywait(&own);
	EQUAL("all are taken", value_of(&own), 0);
	FAILS("there is none to take", sem_trywait(&own), EAGAIN);
	EQUAL("and none is", value_of(&own), 0);
	GIVES("sem_destroy returns 0", sem_destroy(&own), 0);
	FAILS("so great a value is invalid",
	      sem_init(&own, 0, SEM_VALUE_MAX + 1u), EINVAL);
	GIVES("the greatest value", sem_init(&own, 0, SEM_VALUE_MAX), 0);
	FAILS("there can't be more", sem_post(&own), EOVERFLOW);
	EQUAL("and there aren't", value_of(&own), SEM_VALUE_MAX);
}

static void shared_between_processes(void)
{
	sem_new(0);
	struct child child = START(sem_wait(sem));
	asleep(&child);
	EQUAL("a sleeper doesn't make the value negative", value_of(sem), 0);
	sem_post(sem);
	ANSWERS("a post wakes another process", &child, 0);
	EQUAL("which has taken it", value_of(sem), 0);
	struct child first = START(sem_wait(sem));
	asleep(&first);
	struct child second = START(sem_wait(sem));
	asleep(&second);
	sem_post(sem);
	sem_post(sem);
	ANSWERS("two posts wake one", &first, 0);
	ANSWERS("and another", &second, 0);
	first = START(sem_wait(sem));
	asleep(&first);
	slay(&first);
	sem_post(sem);
	EQUAL("who is killed waiting takes none", value_of(sem), 1);
	GIVES("so another can", sem_trywait(sem), 0);
	struct answer answer = IN_CHILD(sem_post(sem));
	(void)answer;
	EQUAL("what a child gives outlives it", value_of(sem), 1);
}

static void time_limits(void)
{
	struct timespec past = { 0, 0 }, bad = { 0, 1000000000 };
	struct timespec soon = from_now(CLOCK_REALTIME, 20);
	struct timespec start = from_now(CLOCK_MONOTONIC, 0);

	sem_new(0);
	FAILS("the time runs out", sem_timedwait(sem, &soon), ETIMEDOUT);
	HOLDS("and not before", elapsed_ms(&start) >= 19);
	FAILS("a time that is over", sem_timedwait(sem, &past), ETIMEDOUT);
	FAILS("a second of nanoseconds is invalid", sem_timedwait(sem, &bad),
	      EINVAL);
	bad.tv_nsec = -1;
	FAILS("negative nanoseconds are invalid", sem_timedwait(sem, &bad),
	      EINVAL);
	sem_post(sem);
	GIVES("what is there is taken though the time is over",
	      sem_timedwait(sem, &past), 0);
	sem_post(sem);
	FAILS("an invalid time counts when there is no need to wait",
	      sem_timedwait(sem, &bad), EINVAL);
	EQUAL("nothing is taken then", value_of(sem), 1);
	past.tv_sec = -1;
	sem_wait(sem);
	FAILS("a time before all times is over", sem_timedwait(sem, &past),
	      ETIMEDOUT);
	struct timespec late = from_now(CLOCK_REALTIME, 1000000);
	struct child child = START(sem_timedwait(sem, &late));
	asleep(&child);
	sem_post(sem);
	ANSWERS("who waits with a time is woken", &child, 0);
}

static void ignore_it(int number)
{
	(void)number;
}

static long wait_with_handler(void)
{
	struct sigaction action = { .sa_handler = ignore_it };

	sigaction(SIGUSR1, &action, NULL);
	return sem_wait(sem);
}

static void interrupted(void)
{
	sem_new(0);
	struct child child = START(wait_with_handler());
	asleep(&child);
	kill(child.pid, SIGUSR1);
	ANSWERS_ERROR("a handler ends sem_wait", &child, EINTR);
}

static void clocks(void)
{
	struct timespec soon = from_now(CLOCK_MONOTONIC, 20);
	struct timespec start = from_now(CLOCK_MONOTONIC, 0);
	struct timespec bad = { 0, -1 };

	sem_new(0);
	FAILS("the monotonic time runs out",
	      sem_clockwait(sem, CLOCK_MONOTONIC, &soon), ETIMEDOUT);
	HOLDS("and not before", elapsed_ms(&start) >= 19);
	soon = from_now(CLOCK_REALTIME, 1);
	FAILS("the real time runs out",
	      sem_clockwait(sem, CLOCK_REALTIME, &soon), ETIMEDOUT);
	FAILS("no other clock is valid",
	      sem_clockwait(sem, CLOCK_PROCESS_CPUTIME_ID, &soon), EINVAL);
	FAILS("nor an invalid time", sem_clockwait(sem, CLOCK_MONOTONIC, &bad),
	      EINVAL);
	sem_post(sem);
	FAILS("nor such a clock when there is no need to wait",
	      sem_clockwait(sem, CLOCK_PROCESS_CPUTIME_ID, &soon), EINVAL);
	GIVES("what is there is taken",
	      sem_clockwait(sem, CLOCK_MONOTONIC, &soon), 0);
}

static void names(void)
{
	char longest[NAME_MAX + 3];

	FAILS("no name is invalid", opened("", O_CREAT, 0600, 0), EINVAL);
	FAILS("a slash alone is invalid", opened("/", O_CREAT, 0600, 0),
	      EINVAL);
	FAILS("a second slash is invalid", opened("/a/b", O_CREAT, 0600, 0),
	      EINVAL);
	memset(longest, 'n', sizeof(longest));
	longest[0] = '/';
	longest[252] = 0;
	FAILS("251 letters that aren't there", opened(longest, 0, 0, 0),
	      ENOENT);
	longest[252] = 'n';
	longest[253] = 0;
	FAILS("252 letters are too long", opened(longest, 0, 0, 0),
	      ENAMETOOLONG);
	FAILS("and can't be made", opened(longest, O_CREAT, 0600, 0),
	      ENAMETOOLONG);
	FAILS("nor unlinked", sem_unlink(longest), ENAMETOOLONG);
	FAILS("a name that isn't there can't be unlinked",
	      sem_unlink(own_name("none")), ENOENT);
	FAILS("nor a slash", sem_unlink("/"), ENOENT);
	FAILS("nor two", sem_unlink("/a/b"), ENOENT);
}

static void without_slash(void)
{
	const char *name = own_name("w");

	EQUAL("a name needs no slash", opened(name + 1, O_CREAT, 0600, 4), 0);
	EQUAL("it is the same name with one", opened(name, 0, 0, 0), 0);
	EQUAL("and the same semaphore", value_of(sem), 4);
	GIVES("it is unlinked without", sem_unlink(name + 1), 0);
}

static void creation(void)
{
	const char *name = own_name("a");

	FAILS("a name that isn't there fails", opened(name, 0, 0, 0), ENOENT);
	FAILS("O_EXCL alone makes nothing", opened(name, O_EXCL, 0600, 0),
	      ENOENT);
	FAILS("so great a value is invalid",
	      opened(name, O_CREAT, 0600, SEM_VALUE_MAX + 1u), EINVAL);
	EQUAL("O_CREAT makes it", opened(name, O_CREAT, 0600, 5), 0);
	sem_t *first = sem;
	EQUAL("with its value", value_of(first), 5);
	FAILS("O_EXCL refuses what is there",
	      opened(name, O_CREAT | O_EXCL, 0600, 1), EEXIST);
	EQUAL("O_CREAT finds what is there", opened(name, O_CREAT, 0600, 9), 0);
	EQUAL("at the same address", sem == first, 1);
	EQUAL("with the value it has", value_of(sem), 5);
	GIVES("it is closed once", sem_close(sem), 0);
	EQUAL("and still open once", value_of(first), 5);
	sem_post(first);
	GIVES("it is closed twice", sem_close(first), 0);
	FAILS("what is not open can't be closed", sem_close(first), EINVAL);
	EQUAL("it is there still", opened(name, 0, 0, 0), 0);
	EQUAL("with its value then", value_of(sem), 6);
	GIVES("it is unlinked", sem_unlink(name), 0);
	FAILS("once", sem_unlink(name), ENOENT);
	FAILS("and can't be found", opened(name, 0, 0, 0), ENOENT);
	GIVES("who has it goes on", sem_wait(sem), 0);
	sem_t *old = sem;
	EQUAL("the name can be used again",
	      opened(name, O_CREAT | O_EXCL, 0600, 1), 0);
	EQUAL("for another semaphore", value_of(sem), 1);
	EQUAL("elsewhere", sem != old, 1);
	EQUAL("and the old one is as it was", value_of(old), 5);
}

static long open_and_post(const char *name)
{
	return opened(name, 0, 0, 0) == 0 ? sem_post(sem) : -1;
}

static void between_processes(void)
{
	const char *name = own_name("b");

	opened(name, O_CREAT, 0600, 0);
	struct child child = START(sem_wait(sem));
	asleep(&child);
	struct answer other = IN_CHILD(open_and_post(name));
	EQUAL("another process opens and posts", other.value, 0);
	ANSWERS("and wakes who waits", &child, 0);
	EQUAL("which has taken it", value_of(sem), 0);
	other = IN_CHILD(sem_post(sem));
	EQUAL("a child posts to its parent's", other.value, 0);
	EQUAL("and it is there", value_of(sem), 1);
	other = IN_CHILD(sem_close(sem));
	EQUAL("a child closes its own", other.value, 0);
	GIVES("its parent's stays open", sem_wait(sem), 0);
}

int after_exec(const char *word)
{
	return open_and_post(word) == 0 ? value_of(sem) : -errno;
}

static void over_exec(void)
{
	const char *name = own_name("c");

	opened(name, O_CREAT, 0600, 6);
	struct child child = START_EXEC_AFTER((void)0, name);
	ANSWERS("what is executed opens it by its name", &child, 7);
	EQUAL("and it is the same", value_of(sem), 7);
}

static void permissions(void)
{
	const char *name = own_name("d");

	if (!may_become())
		return;
	umask(0);
	opened(name, O_CREAT, 0640, 0);
	FAILS_AS_NOBODY("others without a right are refused",
	                opened(name, 0, 0, 0), EACCES);
	FAILS_AS_NOBODY("with O_CREAT, too", opened(name, O_CREAT, 0600, 0),
	                EACCES);
	FAILS_AS_NOBODY("EEXIST comes before EACCES",
	                opened(name, O_CREAT | O_EXCL, 0600, 0), EEXIST);
	FAILS_AS(STRANGER, 0, "to read is not enough", opened(name, 0, 0, 0),
	         EACCES);
	FAILS_AS_NOBODY("another's can't be unlinked", sem_unlink(name),
	                EACCES);
	sem_unlink(name);
	opened(name, O_CREAT, 0666, 0);
	SUCCEEDS_AS_NOBODY("others with both rights open", open_and_post(name));
	EQUAL("and post", value_of(sem), 1);
	sem_unlink(name);
	umask(077);
	opened(name, O_CREAT, 0666, 0);
	FAILS_AS_NOBODY("the umask is applied", opened(name, 0, 0, 0), EACCES);
}

static void of_others(void)
{
	const char *name = own_name("e");

	if (!may_become())
		return;
	SUCCEEDS_AS_NOBODY("nobody makes his own",
	                   opened(name, O_CREAT, 0600, 2));
	EQUAL("root opens it", opened(name, 0, 0, 0), 0);
	EQUAL("with its value", value_of(sem), 2);
	FAILS_AS(STRANGER, STRANGER, "a stranger doesn't",
	         opened(name, 0, 0, 0), EACCES);
	SUCCEEDS_AS_NOBODY("who made it unlinks it", sem_unlink(name));
}

static sem_t thread_sem;

static void *post_in_thread(void *unused)
{
	sem_post(&thread_sem);
	return unused;
}

static void threads(void)
{
	pthread_t thread;

	sem_init(&thread_sem, 0, 0);
	pthread_create(&thread, NULL, post_in_thread, NULL);
	GIVES("a thread wakes another", sem_wait(&thread_sem), 0);
	pthread_join(thread, NULL);
	EQUAL("and nothing is left", value_of(&thread_sem), 0);
}

CONFORMANCE(GROUP(private_values), GROUP(shared_between_processes),
            GROUP(time_limits), GROUP(interrupted), GROUP(clocks), GROUP(names),
            GROUP(without_slash), GROUP(creation), GROUP(between_processes),
            GROUP(over_exec), GROUP(permissions), GROUP(of_others),
            GROUP(threads))
