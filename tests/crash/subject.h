/* SPDX-License-Identifier: MIT */
/*
 * subject.h: the sweep for any noun. A noun is a `struct subject`: its starting
 * states, its deeds (public operations), and an oracle. The driver does the
 * rest: suite "<noun>" kills a victim at every instruction and system call of
 * each deed in each state; "<noun>-nested" kills a second player in the deed
 * that meets what the first one's death left; "<noun>-blocked" kills waiters
 * asleep, waiters just woken, and those who should wake others, while somebody
 * else, alive, waits.
 *
 * To add a noun, write tests/crash/<noun>.c (see semaphore.c, the shortest):
 *
 *   1. HANDLE_PLUMBING(noun, bytes) makes open, close, unlink, remove and stat
 *      out of stoa_<noun>_open() and its like;
 *   2. states: each a function that brings the new object into the state by
 *      the survivor's handle, by living helpers (scene_helper: they do a deed
 *      and stay until they are let go) and by dead ones (scene_dead);
 *   3. deeds: `prepare` is not traced, `run` is. What the oracle must know
 *      beyond entered/returned/result a player writes into its note;
 *   4. check: with scene->deeds[] and scene->notes[] (what was certainly done,
 *      what may have been) it goes on as any program would, through
 *      scene->eye, and calls trouble() at what can't be;
 *   5. wakings: who waits for what, in which state, and who should give it;
 *      `stuck` says that a waiter waits rightly, `give` then satisfies it;
 *   6. list it in subjects.c, and two or more seeded bugs in src/base/bug.h
 *      and mutants.list.
 *
 * Order of one experiment: the object is made; the state's function runs; the
 * waiter, if there is one, goes to sleep; the victim opens, prepares, and is
 * run to its place and killed; the waiter comes to its end; the oracle checks
 * (in the survivor or in a newcomer that has the dead one's slot, with or
 * without a clean before); helpers are let go; the driver then checks that the
 * space lists well and that a second clean finds nothing.
 */
#ifndef CRASH_SUBJECT_H
#define CRASH_SUBJECT_H

#include <stdatomic.h>

#include "harness.h"

#define PLAYERS 20u
#define HELPERS_FROM 3u /* players 3 .. are helpers of the state */
#define WORDS 64u
#define NOTE_BYTES 4608u

enum player_number { VICTIM = 0, SECOND = 1, WAITER = 2 };

enum form {
	FORM_NAMED,  /* a file in the space; players open it by name */
	FORM_PLACED, /* in memory shared by fork; players inherit the handle */
	FORM_UNNAMED, /* a file without a name; players inherit the handle */
	FORMS
};

enum unnamed { NEVER_UNNAMED, ALSO_UNNAMED, ONLY_UNNAMED };

struct scene;
struct deed;

/* What a player leaves: in memory shared with the survivor. */
struct note {
	_Atomic uint32_t entered, returned, let_go, finished;
	_Atomic int64_t result;
	int64_t returned_ns, ready_ns; /* of one that isn't traced */
	_Atomic uint64_t words[WORDS]; /* the noun's own */
	unsigned char bytes[NOTE_BYTES];
};

struct player {
	struct scene *scene;
	struct note *note;
	const struct deed *deed;
	struct stoa_space *space;
	void *object; /* its handle */
	uint32_t number;
};

enum deed_flag {
	DEED_CORE = 1,     /* in many states, outside the full portion, too */
	DEED_REPAIRS = 2,  /* second deed of the nested suite */
	DEED_WAITS = 4,    /* may sleep for ever: the blocked suite only */
	DEED_REMOVES = 8,  /* afterwards all may get -EIDRM */
	DEED_UNLINKS = 16, /* the name may be gone */
	DEED_CLOSES = 32,  /* the handle is gone */
	DEED_NAMED = 64,   /* named objects only */
	DEED_FIRST = 128,  /* by the survivor's handle, inherited */
	DEED_IN_FILE = 256 /* not with placed objects */
};

struct deed {
	const char *name;
	unsigned flags;
	uint64_t states; /* bits of states where it makes sense; 0: all */
	void (*prepare)(struct player *player);
	int64_t (*run)(struct player *player);
	void (*finish)(struct player *player); /* of a helper that is let go */
};

struct situation {
	const char *name;
	void (*set_up)(struct scene *scene); /* or NULL */
};

struct waking {
	const struct deed *wait;
	const struct deed *waker; /* NULL: only the waiters die */
	uint32_t state;
	const struct deed *sleeper; /* of the waiter that dies; NULL: as wait */
};

struct subject {
	const char *name;    /* of the noun: the suite, and the file's kind */
	const char *kind;    /* the file's, if it is another; or NULL */
	size_t placed_bytes; /* 0: never placed */
	enum unnamed unnamed; /* made with the name NULL */
	const struct situation *states;
	uint32_t states_count;
	uint64_t named_states; /* bits of those of the named form alone */
	const struct deed *deeds;
	uint32_t deeds_count;
	const struct waking *wakings;
	uint32_t wakings_count;

	/* A new object: scene_name(), or in scene->memory. */
	int (*make)(struct scene *scene, void **ret_object);
	int (*open)(struct stoa_space *space, const char *name,
		    void **ret_object);
	void (*close)(void *object);
	int (*unlink)(struct stoa_space *space, const char *name);
	int (*remove)(void *object);
	int (*stat)(void *object); /* -EIDRM: removed */
	/* A waiter whom a death gives what it waits for has it within so long;
	 * 0: not promised. See prompt.c. */
	int64_t prompt_ns;
	/* The victim is there, at its beginning; or NULL. */
	void (*arrived)(struct scene *scene);
	/* The waiter sleeps, and will be stopped; or NULL. */
	void (*asleep)(struct scene *scene);

	/* The oracle: -1 and trouble(), or 0. */
	int (*check)(struct scene *scene, uint32_t variant);
	/* 1: there is nothing for the waiter, who waits rightly. */
	int (*stuck)(struct scene *scene, const struct deed *wait);
	/* Gives the waiter what it waits for; -1 and trouble(). */
	int (*give)(struct scene *scene, const struct deed *wait);
};

#define SCENE_NEW_NAME "new" /* of what the deed "make" makes */

#define IMAGES 4u

struct image {
	unsigned char *bytes;
	size_t count;
};

struct scene {
	const struct subject *subject;
	const struct situation *state;
	uint32_t state_number;
	enum form form;
	char path[64]; /* of the space */
	char name[32]; /* of the object */
	struct stoa_space *space;
	void *object; /* the survivor's handle, made it */
	void *eye;    /* the one the oracle is to use */
	void *memory; /* of a placed object */
	struct note *notes;                 /* PLAYERS of them, shared */
	const struct deed *deeds[PLAYERS]; /* NULL: that one did nothing */
	pid_t pids[PLAYERS];               /* of living helpers and waiter */
	uint32_t helpers;                  /* made by the state */
	uint32_t sleepers;                 /* bits of those that just wait */
	int died_asleep;                   /* the victim, so it had nothing */
	int newcomer;                      /* the oracle is not who made it */
	_Atomic uint64_t words[WORDS];     /* the noun's own */
	uint64_t serial;
	int64_t dead_ns, ready_ns; /* see prompt.c */
	uint32_t files; /* in the space when all is well */
	struct image images[IMAGES]; /* of the object, to be observed */
	uint32_t images_count;
	unsigned char *seen;
};

extern const struct subject *const subjects[];
extern struct scene scene;

/* ---- For nouns ------------------------------------------------------------ */

/* What the object is to be made as: NULL in FORM_UNNAMED. */
const char *scene_name(const struct scene *scene);
/* A living player that does the deed and stays; its number. */
uint32_t scene_helper(struct scene *scene, const struct deed *deed);
/* One that does the deed and dies without closing. */
void scene_dead(struct scene *scene, const struct deed *deed);
/* The helper does its deed's `finish` and ends; -1: trouble. */
int scene_let_go(struct scene *scene, uint32_t helper);
int scene_let_all_go(struct scene *scene);
/* A living player asleep in a deed that waits; its number. */
uint32_t scene_sleeper(struct scene *scene, const struct deed *deed);
/* One that is not awaited: the deed may sleep or not. */
uint32_t scene_start(struct scene *scene, const struct deed *deed);
/* Kills it, and waits for its end; -1: it did not return from its deed. */
void scene_kill(struct scene *scene, uint32_t player);
int scene_await(struct scene *scene, uint32_t player);
int scene_ended(const struct scene *scene, uint32_t player);
/* Has this player returned from its deed, and with that result? */
int note_done(const struct scene *scene, uint32_t player, int64_t *ret_result);
/* Is it prepared, and has not returned: was it killed in its deed? */
int note_torn(const struct scene *scene, uint32_t player);
/* What is promised so soon after the death has just come; -1: too late. */
int prompt_check(struct scene *scene, const char *what);
/* For a deed that has nothing to do in this state. */
void player_skip(void) __attribute__((noreturn));

#define HANDLE_PLUMBING(noun)                                                 \
	static int plumb_open(struct stoa_space *space, const char *name,     \
			      void **ret_object)                              \
	{                                                                     \
		struct stoa_##noun *object;                                   \
		int result = stoa_##noun##_open(space, name, OPEN_FLAGS, 0,   \
						NULL, &object);               \
									      \
		if (result == 0)                                              \
			*ret_object = object;                                 \
		return result;                                                \
	}                                                                     \
	static void plumb_close(void *object)                                 \
	{                                                                     \
		stoa_##noun##_close(object);                                  \
	}                                                                     \
	static int plumb_remove(void *object)                                 \
	{                                                                     \
		return stoa_##noun##_remove(object);                          \
	}

/* ---- For the driver -------------------------------------------------------- */

/* The victim has died: who checks is to be told something, or the waiter. */
void prompt_begin(struct scene *scene);
void prompt_watch(struct scene *scene);
/* The waiter has come to its end by itself; -1: too late. */
int prompt_waiter(struct scene *scene);
/* How long it has stood ready to run while others ran. */
int64_t ready_ns(pid_t pid);
/* Ends the experiment; 0: it is to be done again, as it was but late. */
int judged(int result, uint32_t *tries);

void scene_open(const struct subject *subject, enum form form,
		const char *path);
int has_form(const struct subject *subject, uint32_t state, unsigned form);
/* The form of which there are most jobs. */
enum form first_form(const struct subject *subject);
extern const char *const form_names[FORMS];
void scene_close(void);
void scene_make(uint32_t state);
void scene_drop(void);
int scene_observe(void *context);

/* A player at the beginning of its deed, traced (0: skipped, -1: failed) ... */
pid_t scene_spawn(uint32_t player, const struct deed *deed);
/* ... or not traced; the waiter, until it sleeps. */
void scene_start_waiter(const struct deed *deed);
/* The waiter's end; -1: trouble. */
int scene_await_waiter(void);
int scene_waiter_ended(void);

/* The oracle and what the driver checks for every noun. */
int scene_check(uint32_t variant, int thorough);

/* Deeds that every noun has: open, close, unlink, remove, stat, clean. */
extern const struct deed common_deeds[];
extern const uint32_t common_deeds_count;

#endif
