/* SPDX-License-Identifier: MIT */
/*
 * dropin_registry.c: victims are killed in the drop-in's calls that change its
 * registry of System V objects: making, changing and removing them, and
 * repairing what another death left. Whatever the instruction: an identifier
 * has its object, an object its identifier; keys can be made again; who
 * remembers a permission that was changed is told.
 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include <dropin/calls.h>
#include <dropin/registry.h>

#include "dropin_sweep.h"

#define KEY_OLD 0x51
#define KEY_NEW 0x52
#define MODE_OLD 0600
#define MODE_SET 0640
#define TEXT_BYTES 5

struct text {
	long type;
	char text[TEXT_BYTES];
};

/* Words of the slate: the old objects, and the version of the queue's slot. */
enum word { QUEUE, SET, VERSION };

enum deed_kind { MAKES_QUEUE = 1, MAKES_SET = 2, SETS = 4, REMOVES_QUEUE = 8,
	         REMOVES_SET = 16, AFTER_DEATH = 32 };

static int word(enum word number)
{
	return (int)slate->words[number];
}

/* ---- The ground --------------------------------------------------------------------- */

/* One who has the registry's mutex, with a queue in making, and dies. */
static void die_in_the_midst(void)
{
	const struct registry *registry;
	struct registry_slot *slot;
	int id = dropin_msgget(KEY_NEW, IPC_CREAT | 0600);

	if (id < 0 || registry_lock(&registry) != 0 ||
	    registry_find(registry, REGISTRY_MESSAGE, id, &slot) != 0)
		_exit(1);
	atomic_store(&slot->state,
	             REGISTRY_STATE((uint32_t)id >> REGISTRY_INDEX_BITS,
	                            REGISTRY_MAKING, 7));
	_exit(0);
}

static void lay_ground(const struct dropin_deed *deed)
{
	const struct registry *registry;
	struct registry_slot *slot;
	struct text text = { .type = 3 };

	slate->words[QUEUE] = dropin_msgget(KEY_OLD, IPC_CREAT | MODE_OLD);
	slate->words[SET] = dropin_semget(KEY_OLD, 2, IPC_CREAT | MODE_OLD);
	if (word(QUEUE) < 0 || word(SET) < 0 ||
	    dropin_msgsnd(word(QUEUE), &text, TEXT_BYTES, IPC_NOWAIT) != 0 ||
	    dropin_semctl(word(SET), 1, SETVAL, 4) != 0 ||
	    registry_lock(&registry) != 0 ||
	    registry_find(registry, REGISTRY_MESSAGE, word(QUEUE), &slot) != 0)
		_exit(1);
	slate->words[VERSION] = (int64_t)REGISTRY_VERSION(atomic_load(&slot->state));
	registry_unlock();
	if (deed->kind & AFTER_DEATH)
		die_in_the_midst();
	_exit(0);
}

/* ---- The deeds ------------------------------------------------------------------------ */

static int64_t make_queue(void)
{
	return dropin_msgget(KEY_NEW, IPC_CREAT | IPC_EXCL | 0600);
}

static int64_t make_set(void)
{
	return dropin_semget(KEY_NEW, 3, IPC_CREAT | IPC_EXCL | 0600);
}

static int64_t set_queue(void)
{
	struct msqid_ds ds = { .msg_perm.mode = MODE_SET, .msg_qbytes = 500 };

	ds.msg_perm.uid = geteuid();
	ds.msg_perm.gid = getegid();
	return dropin_msgctl(word(QUEUE), IPC_SET, &ds);
}

static int64_t remove_queue(void)
{
	return dropin_msgctl(word(QUEUE), IPC_RMID, NULL);
}

static int64_t remove_set(void)
{
	return dropin_semctl(word(SET), 0, IPC_RMID, 0);
}

static const struct dropin_deed deeds[] = {
	{ "make-queue", MAKES_QUEUE, make_queue },
	{ "make-set", MAKES_SET, make_set },
	{ "set", SETS, set_queue },
	{ "remove-queue", REMOVES_QUEUE, remove_queue },
	{ "remove-set", REMOVES_SET, remove_set },
	{ "repair", MAKES_QUEUE | AFTER_DEATH, make_queue },
	{ "first", MAKES_QUEUE | DEED_FIRST_USE, make_queue },
};

static void prepare(const struct dropin_deed *deed)
{
	const struct registry *registry;

	if (!(deed->kind & DEED_FIRST_USE) && registry_open(&registry) != 0 &&
	    !(deed->kind & AFTER_DEATH))
		_exit(1);
}

/* ---- The survivor ------------------------------------------------------------------------ */

static int count_ends(const char *end)
{
	return dropin_count_files("sysv.", end);
}

static int check_files(void)
{
	struct msginfo messages;
	struct seminfo semaphores;

	if (dropin_msgctl(0, MSG_INFO, (void *)&messages) < 0 ||
	    dropin_semctl(0, 0, SEM_INFO, (unsigned long)&semaphores) < 0)
		return trouble("the registry can't be asked");
	if (count_ends(".queue") != messages.msgpool ||
	    count_ends(".semaphore_set") != semaphores.semusz)
		return trouble("%d files for %d queues, %d for %d sets",
		               count_ends(".queue"), messages.msgpool,
		               count_ends(".semaphore_set"), semaphores.semusz);
	return 0;
}

static int check_queue(int id, int has_text)
{
	struct text text = { .type = 8 };

	if (has_text && dropin_msgrcv(id, &text, TEXT_BYTES, 3, IPC_NOWAIT) !=
	                        TEXT_BYTES)
		return trouble("the old queue has lost its message");
	if (dropin_msgrcv(id, &text, TEXT_BYTES, 0, IPC_NOWAIT) != -ENOMSG)
		return trouble("a queue has more than was sent");
	text.type = 8;
	if (dropin_msgsnd(id, &text, TEXT_BYTES, IPC_NOWAIT) != 0 ||
	    dropin_msgrcv(id, &text, TEXT_BYTES, 8, IPC_NOWAIT) != TEXT_BYTES)
		return trouble("a queue that is there doesn't serve");
	return 0;
}

static int check_set(int id, int value)
{
	struct sembuf change = { 1, 1, IPC_NOWAIT };

	if (dropin_semtimedop(id, &change, 1, NULL) != 0 ||
	    dropin_semctl(id, 1, GETVAL, 0) != value + 1)
		return trouble("a set that is there doesn't serve");
	return 0;
}

/* Whoever remembers an older version must not see another mode. */
static int check_permission(void)
{
	const struct registry *registry;
	struct registry_slot *slot;
	uint64_t version;
	mode_t mode;
	int result = registry_lock(&registry);

	if (result == 0)
		result = registry_find(registry, REGISTRY_MESSAGE, word(QUEUE),
		                       &slot);
	if (result < 0)
		return trouble("the old queue's slot: %d", result);
	version = REGISTRY_VERSION(atomic_load(&slot->state));
	mode = atomic_load(&slot->mode) & 0777;
	registry_unlock();
	if (mode != MODE_OLD && mode != MODE_SET)
		return trouble("the mode is %o", mode);
	if (mode != MODE_OLD && version == (uint64_t)slate->words[VERSION])
		return trouble("the mode was changed, and nobody is told");
	return 0;
}

/* An object of the key: there as it should be, and then removed. */
static int check_key(const struct dropin_deed *deed, key_t key)
{
	int old = key == KEY_OLD && !(deed->kind & DEED_FIRST_USE);
	int queue = dropin_msgget(key, 0), set = dropin_semget(key, 0, 0);
	unsigned may_miss = old ? REMOVES_QUEUE | REMOVES_SET : ~0u;

	if (queue < 0 && (queue != -ENOENT ||
	                  (old && !(deed->kind & may_miss & REMOVES_QUEUE))))
		return trouble("key %x has no queue: %d", key, queue);
	if (set < 0 && (set != -ENOENT ||
	                (old && !(deed->kind & may_miss & REMOVES_SET))))
		return trouble("key %x has no set: %d", key, set);
	if (queue >= 0 && (check_queue(queue, old) != 0 ||
	                   dropin_msgctl(queue, IPC_RMID, NULL) != 0))
		return trouble("the queue of key %x can't be removed", key);
	if (set >= 0 && (check_set(set, old ? 4 : 0) != 0 ||
	                 dropin_semctl(set, 0, IPC_RMID, 0) != 0))
		return trouble("the set of key %x can't be removed", key);
	return 0;
}

static int check_result(const struct dropin_deed *deed)
{
	int result = (int)slate->result;

	if (!slate->returned)
		return 0;
	if (result < 0)
		return trouble("the victim's call gave %d", result);
	if (deed->kind & MAKES_QUEUE && dropin_msgget(KEY_NEW, 0) != result)
		return trouble("the queue that was made is not there");
	if (deed->kind & MAKES_SET && dropin_semget(KEY_NEW, 0, 0) != result)
		return trouble("the set that was made is not there");
	if (deed->kind & REMOVES_QUEUE && dropin_msgget(KEY_OLD, 0) != -ENOENT)
		return trouble("the queue that was removed is there");
	if (deed->kind & REMOVES_SET && dropin_semget(KEY_OLD, 0, 0) != -ENOENT)
		return trouble("the set that was removed is there");
	return 0;
}

static int check(const struct dropin_deed *deed)
{
	if (check_files() != 0 || check_result(deed) != 0)
		return -1;
	if (deed->kind & SETS && check_permission() != 0)
		return -1;
	if (check_key(deed, KEY_OLD) != 0 || check_key(deed, KEY_NEW) != 0)
		return -1;
	/* And once more, in the places that are free now. */
	slate->words[QUEUE] = make_queue();
	slate->words[SET] = make_set();
	if (word(QUEUE) < 0 || word(SET) < 0)
		return trouble("can't make again: %d, %d", word(QUEUE),
		               word(SET));
	if (check_key(deed, KEY_NEW) != 0)
		return -1;
	if (count_ends(".queue") + count_ends(".semaphore_set") != 0)
		return trouble("files are left that no identifier has");
	return 0;
}

/* The header, and the first slots of each kind. */
static size_t parts(struct dropin_part parts[PARTS_MAX])
{
	const size_t at[] = { 0, REGISTRY_BLOCKS_AT,
		              REGISTRY_BLOCKS_AT +
		                      offsetof(struct registry_block,
		                               slots[REGISTRY_SEMAPHORE]) };

	for (size_t i = 0; i < PARTS_MAX; i++)
		parts[i] = (struct dropin_part){
			.file = "sysv.segment",
			.at = (int64_t)at[i] - (int64_t)REGISTRY_BYTES_MOST,
			.bytes = 512
		};
	return PARTS_MAX;
}

const struct dropin_noun dropin_registry_noun = {
	.suite = "dropin_registry",
	.where = "registry",
	.deeds = deeds,
	.count = sizeof(deeds) / sizeof(deeds[0]),
	.ground = lay_ground,
	.prepare = prepare,
	.check = check,
	.parts = parts
};
