/* SPDX-License-Identifier: MIT */
/*
 * dropin_semaphore.c: victims are killed in sem_post() and sem_wait() on a sem_t
 * in shared memory. Whatever the instruction: no permit is lost but one that the
 * dead one had taken; none comes from nowhere; and none lies there while
 * somebody who lives sleeps. And one who may stand anywhere in sem_wait() while
 * another comes, sleeps, is woken and dies, has the permit that one was woken
 * for.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <dropin/posix_semaphore.h>

#include "dropin_sweep.h"

/* Words of the slate: permits that helpers had and posted; that the survivor
 * and the ground posted. */
enum word { GOT, POSTED, STANDS };

enum deed_kind {
	POSTS = 1,
	WAITS = 2,
	SLEEPER = 4, /* somebody sleeps before the victim begins */
	LATER = 8,   /* somebody falls asleep behind the victim */
	POSTER = 16, /* somebody posts when all sleep */
	THERE = 32,  /* a permit is there */
	BEHIND = 64  /* somebody comes while the victim stands */
};

enum helper_number { WHO_SLEEPS, WHO_POSTS };

#define LATE_NS 20000000
#define PATIENT_NS INT64_C(5000000000)

static struct semaphore *semaphore(void)
{
	return (struct semaphore *)&slate->semaphore;
}

static uint32_t permits(void)
{
	return SEMAPHORE_VALUE(atomic_load(&semaphore()->data));
}

static void post(void)
{
	slate->words[POSTED]++;
	dropin_sem_post(semaphore());
}

static int wait_for_one(const struct timespec *deadline)
{
	if (dropin_sem_take(semaphore()))
		return 0;
	return dropin_sem_wait(&slate->semaphore, CLOCK_MONOTONIC, deadline);
}

/* Asleep in the kernel, and not just stopped? */
static int sleeps(pid_t pid)
{
	char file[64], line[256];
	const char *after = NULL;
	FILE *stat;

	if (pid <= 0)
		return 0;
	snprintf(file, sizeof(file), "/proc/%d/stat", (int)pid);
	stat = fopen(file, "re");
	if (stat && fgets(line, sizeof(line), stat))
		after = strrchr(line, ')');
	if (stat)
		fclose(stat);
	return after && after[1] && after[2] == 'S';
}

static int is_waiter(uint32_t number)
{
	return SEMAPHORE_WAITERS(atomic_load(&semaphore()->data)) >= number;
}

/* ---- Helpers ---------------------------------------------------------------------------- */

static void take_one(void)
{
	if (wait_for_one(NULL) == 0)
		slate->words[GOT]++;
}

static void take_one_later(void)
{
	while (!slate->dead && !(is_waiter(1) && sleeps(slate->victim)))
		sched_yield();
	take_one();
}

/* For the victim, which sleeps first; else it would sleep for ever. */
static void post_when_all_sleep(void)
{
	while (!slate->dead &&
	       !(is_waiter(2) && sleeps(slate->victim) &&
	         sleeps(slate->helpers[WHO_SLEEPS])))
		sched_yield();
	if (slate->dead)
		return;
	post();
	while (!slate->dead && !slate->returned && slate->words[GOT] == 0)
		sched_yield();
	if (!slate->dead && slate->words[GOT])
		post();
}

/* So that the victim goes all its way. */
static void post_when_it_sleeps(void)
{
	while (!slate->words[STANDS] && !(is_waiter(1) && sleeps(slate->victim)))
		sched_yield();
	if (!slate->words[STANDS])
		post();
}

static void begin(const struct dropin_deed *deed)
{
	dropin_sem_init(&slate->semaphore, 1, 0);
	if (deed->kind & THERE)
		post();
	if (deed->kind & SLEEPER) {
		dropin_helper(WHO_SLEEPS, take_one);
		while (!is_waiter(1) || !sleeps(slate->helpers[WHO_SLEEPS]))
			sched_yield();
	}
	if (deed->kind & LATER)
		dropin_helper(WHO_SLEEPS, take_one_later);
	if (deed->kind & BEHIND)
		dropin_helper(WHO_POSTS, post_when_it_sleeps);
	if (deed->kind & POSTER)
		dropin_helper(WHO_POSTS, post_when_all_sleep);
}

static void other_body(void *context)
{
	(void)context;
	trace_begin();
	take_one();
}

static pid_t other; /* 0: it had a permit, and has ended */

/* Comes to wait while the victim may be about to fall asleep. */
static void come_behind(const struct dropin_deed *deed)
{
	(void)deed;
	slate->words[STANDS] = 1;
	trace_reap(slate->helpers[WHO_POSTS]);
	slate->helpers[WHO_POSTS] = 0;
	other = trace_spawn(other_body, NULL);
	if (other <= 0)
		broken("nobody comes");
	if (trace_run_to_sleep(other) != 0)
		other = 0;
}

/* And dies having been woken, but before it could take the permit. */
static void die_behind(const struct dropin_deed *deed)
{
	(void)deed;
	while (!slate->returned && !sleeps(slate->victim))
		sched_yield();
	post();
	if (other > 0 && trace_run_to_return(other) == 0)
		trace_kill(other);
}

/* ---- The deeds ------------------------------------------------------------------------ */

static int64_t run_post(void)
{
	return dropin_sem_post(semaphore());
}

static int64_t run_wait(void)
{
	return wait_for_one(NULL);
}

static int64_t run_late(void)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += LATE_NS;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_nsec -= 1000000000;
		deadline.tv_sec++;
	}
	return wait_for_one(&deadline) == -ETIMEDOUT ? 0 : -EAGAIN;
}

static const struct dropin_deed deeds[] = {
	{ "post", POSTS, run_post },
	{ "post-more", POSTS | THERE, run_post },
	{ "post-wakes", POSTS | SLEEPER, run_post },
	{ "take", WAITS | THERE, run_wait },
	{ "wait", WAITS | LATER | POSTER, run_wait },
	{ "wait-before", BEHIND | DEED_LET_GO, run_wait },
	{ "late", SLEEPER, run_late },
	{ "late-first", LATER, run_late },
};

/* ---- The survivor ------------------------------------------------------------------------ */

/* Who sleeps while a permit is there has it before long. */
static int await_sleeper(void)
{
	int64_t limit = clock_ns() + PATIENT_NS;

	while (slate->words[GOT] == 0) {
		if (clock_ns() > limit)
			return trouble("%u permits are there, and somebody "
			               "sleeps", permits());
		sched_yield();
	}
	return 0;
}

/* The poster has done what it was to do, or won't. */
static void await_poster(void)
{
	if (slate->helpers[WHO_POSTS] > 0)
		dropin_helper_await(slate->helpers[WHO_POSTS]);
}

static int check_sleeper(const struct dropin_deed *deed)
{
	int64_t limit = clock_ns() + PATIENT_NS;

	if (!(deed->kind & (SLEEPER | LATER)))
		return 0;
	/* It may be about to take the last. */
	while (slate->words[GOT] == 0 && permits() > 0 && clock_ns() < limit)
		sched_yield();
	if (slate->words[GOT] == 0 && permits() > 0)
		return await_sleeper();
	if (slate->words[GOT] == 0)
		post();
	return await_sleeper();
}

/* All others are dead, and a permit is there. */
static int check_victim(void)
{
	int64_t limit = clock_ns() + PATIENT_NS;

	while (!slate->returned && clock_ns() < limit)
		sched_yield();
	return slate->returned && slate->result == 0 ?
	               0 :
	               trouble("%u permits are there, and the victim sleeps",
	                       permits());
}

static int check(const struct dropin_deed *deed)
{
	int64_t posted, had, may = deed->kind & (POSTS | WAITS) ? 1 : 0;
	int64_t must = may && slate->returned;

	if (slate->returned && slate->result != 0)
		return trouble("the victim's call gave %lld",
		               (long long)slate->result);
	if (deed->kind & BEHIND)
		return check_victim();
	await_poster();
	if (check_sleeper(deed) != 0)
		return -1;
	posted = slate->words[POSTED];
	had = slate->words[GOT];
	while (dropin_sem_take(semaphore()))
		had++;
	/* The victim's part. */
	if (deed->kind & WAITS)
		had += must, may -= must;
	else
		posted += must, may -= must;
	if (deed->kind & WAITS ? had > posted || had + may < posted :
	                         had < posted || had > posted + may)
		return trouble("%lld permits were posted, and %lld had; the "
		               "victim's call %s", (long long)posted,
		               (long long)had,
		               slate->returned ? "had returned" :
		                                 "had not returned");
	post();
	return wait_for_one(NULL) == 0 ? 0 : trouble("it doesn't serve");
}

const struct dropin_noun dropin_semaphore_noun = {
	.suite = "dropin_semaphore",
	.where = "sem_t",
	.deeds = deeds,
	.count = sizeof(deeds) / sizeof(deeds[0]),
	.begin = begin,
	.standing = come_behind,
	.gone_on = die_behind,
	.check = check
};
