/* SPDX-License-Identifier: MIT */
/*
 * dropin_undo.c: victims are killed in semop() and semctl() on a set of System V
 * with SEM_UNDO. Whatever the instruction: what the dead one did with it is
 * undone, once; what it did without stays; who sets a value takes away what
 * others would have undone, with the value and not before or after.
 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include <dropin/calls.h>

#include "dropin_sweep.h"

#define KEY 0x55
#define COUNT 3
#define SET_TO 7
#define ROUNDS 3 /* of others that have something to undo */

static const unsigned short first_values[COUNT] = { 5, 0, 3 };

/* Words of the slate: the set; the ground's and the helper's are ready. */
enum word { SET, READY };

enum deed_kind {
	HOLDS = 1,   /* the victim has undo before */
	DEAD = 2,    /* somebody died and left some */
	HELPER = 4,  /* somebody alive has some */
	SETS_ONE = 8,
	SETS_ALL = 16,
	REMOVES = 32,
	LEAVES = 64 /* the third is lowered without undo */
};

static int set(void)
{
	return (int)slate->words[SET];
}

static int change(unsigned short semaphore, short amount, short flags)
{
	struct sembuf operation = { semaphore, amount,
		                    (short)(flags | IPC_NOWAIT) };

	return dropin_semtimedop(set(), &operation, 1, NULL);
}

static int value(int semaphore)
{
	return dropin_semctl(set(), semaphore, GETVAL, 0);
}

/* ---- The ground --------------------------------------------------------------------- */

static void lay_ground(const struct dropin_deed *deed)
{
	unsigned short values[COUNT];

	slate->words[SET] = dropin_semget(KEY, COUNT, IPC_CREAT | 0600);
	for (int i = 0; i < COUNT; i++)
		values[i] = first_values[i];
	if (set() < 0 ||
	    dropin_semctl(set(), 0, SETALL, (unsigned long)values) != 0)
		_exit(1);
	if (deed->kind & DEAD && change(0, -1, SEM_UNDO) != 0)
		_exit(1);
}

static void hold(void)
{
	if (change(0, -1, SEM_UNDO) != 0)
		_exit(1);
	slate->words[READY] = 1;
	for (;;)
		pause();
}

static void begin(const struct dropin_deed *deed)
{
	if (!(deed->kind & HELPER))
		return;
	dropin_helper(0, hold);
	while (!slate->words[READY])
		if (trace_await_sleep(slate->helpers[0]) != 0)
			broken("the helper ended");
}

static void prepare(const struct dropin_deed *deed)
{
	int result = value(2); /* the set is open */

	if (result >= 0 && deed->kind & HOLDS)
		result = change(0, -2, SEM_UNDO);
	if (result >= 0 && deed->kind & HOLDS)
		result = change(1, 1, SEM_UNDO);
	if (result < 0)
		_exit(1);
}

/* ---- The deeds ------------------------------------------------------------------------ */

static int64_t take(void)
{
	return change(0, -2, SEM_UNDO);
}

static int64_t give_back(void)
{
	return change(0, 2, SEM_UNDO);
}

static int64_t take_all(void)
{
	return change(0, -5, SEM_UNDO);
}

static int64_t move(void)
{
	struct sembuf changes[] = { { 0, -1, SEM_UNDO | IPC_NOWAIT },
		                       { 1, 1, SEM_UNDO | IPC_NOWAIT },
		                       { 2, -1, IPC_NOWAIT } };

	return dropin_semtimedop(set(), changes, 3, NULL);
}

static int64_t set_one(void)
{
	return dropin_semctl(set(), 0, SETVAL, SET_TO);
}

static int64_t set_all(void)
{
	unsigned short values[COUNT] = { SET_TO, 0, 3 };

	return dropin_semctl(set(), 0, SETALL, (unsigned long)values);
}

static int64_t get_one(void)
{
	return value(0) == first_values[0] ? 0 : -ERANGE;
}

static int64_t remove_set(void)
{
	return dropin_semctl(set(), 0, IPC_RMID, 0);
}

static const struct dropin_deed deeds[] = {
	{ "take", 0, take },
	{ "take-more", HOLDS, take },
	{ "give-back", HOLDS, give_back },
	{ "move", LEAVES, move },
	{ "move-more", HOLDS | LEAVES, move },
	{ "take-beside", HELPER, take },
	{ "meet-dead", DEAD, take_all },
	{ "look-at-dead", DEAD, get_one },
	{ "set-one", HELPER | SETS_ONE, set_one },
	{ "set-all", HELPER | SETS_ALL, set_all },
	{ "remove", HOLDS | HELPER | REMOVES, remove_set },
};

/* ---- The survivor ------------------------------------------------------------------------ */

static int expect(int semaphore, int first, int second, const char *when)
{
	int found = value(semaphore);

	if (found != first && found != second)
		return trouble("%s semaphore %d is %d, not %d or %d", when,
		               semaphore, found, first, second);
	return 0;
}

/* As nobody has any undo left, it doesn't change any more. */
static int check_settled(int first)
{
	pid_t pid;

	for (int i = 0; i < ROUNDS; i++) {
		pid = fork();
		if (pid == 0)
			_exit(change(0, -1, SEM_UNDO) != 0 ||
			      change(1, 2, SEM_UNDO) != 0);
		if (pid < 0 || trace_reap(pid) != 0)
			return trouble("others can't undo");
		if (expect(0, first, first, "then") != 0 ||
		    expect(1, 0, 0, "then") != 0)
			return -1;
	}
	if (change(0, (short)-first, 0) != 0 || change(0, -1, 0) != -EAGAIN ||
	    change(0, 0, 0) != 0)
		return trouble("semaphore 0 has not just %d", first);
	return 0;
}

static int check_removed(void)
{
	int found = dropin_semget(KEY, 0, 0);

	if (slate->returned && found != -ENOENT)
		return trouble("what was removed is there: %d", found);
	if (found >= 0 && dropin_semctl(found, 0, IPC_RMID, 0) != 0)
		return trouble("the set can't be removed");
	if (value(0) != -EINVAL)
		return trouble("a removed set has a value");
	if (dropin_count_files("sysv.", ".semaphore_set") != 0)
		return trouble("the file of a removed set is there");
	return 0;
}

static int check(const struct dropin_deed *deed)
{
	int first = first_values[0], third = first_values[2];
	int helped = deed->kind & HELPER ? 1 : 0, was_set = 0;

	if (slate->returned && slate->result != 0)
		return trouble("the victim's call gave %lld",
		               (long long)slate->result);
	if (deed->kind & REMOVES && dropin_semget(KEY, 0, 0) < 0)
		return check_removed();
	if (deed->kind & (SETS_ONE | SETS_ALL))
		was_set = value(0) == SET_TO;
	if (slate->returned && deed->kind & (SETS_ONE | SETS_ALL) && !was_set)
		return trouble("what was set is not there");
	if (!was_set && expect(0, first - helped, first - helped,
	                       "after the death") != 0)
		return -1;
	if (helped)
		dropin_helper_end(slate->helpers[0]);
	if (was_set)
		first = SET_TO;
	if (expect(0, first, first, "in the end") != 0 ||
	    expect(1, 0, 0, "in the end") != 0 ||
	    expect(2, deed->kind & LEAVES ? third - 1 : third,
	           slate->returned && deed->kind & LEAVES ? third - 1 : third,
	           "in the end") != 0)
		return -1;
	if (check_settled(first) != 0)
		return -1;
	return deed->kind & REMOVES ? check_removed() : 0;
}

/* The set's control, rows, semaphores and records. */
static size_t parts(struct dropin_part parts[PARTS_MAX])
{
	parts[0] = (struct dropin_part){ .at = 20480, .bytes = PART_BYTES };
	snprintf(parts[0].file, sizeof(parts[0].file),
	         "sysv.sem.%d.semaphore_set", set());
	parts[1] = (struct dropin_part){ .at = 20480 + 256 + 2 * 1024 * 8,
		                         .bytes = PART_BYTES };
	snprintf(parts[1].file, sizeof(parts[1].file),
	         "sysv.sem.%d.semaphore_set", set());
	return 2;
}

const struct dropin_noun dropin_undo_noun = {
	.suite = "dropin_undo",
	.where = "set",
	.deeds = deeds,
	.count = sizeof(deeds) / sizeof(deeds[0]),
	.begin = begin,
	.ground = lay_ground,
	.prepare = prepare,
	.check = check,
	.parts = parts
};
