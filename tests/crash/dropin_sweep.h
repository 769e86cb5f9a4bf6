/* SPDX-License-Identifier: MIT */
/*
 * dropin_sweep.h: the sweep for the drop-in's calls. The drop-in belongs to the
 * process that uses it: so the ground is laid, and the survivor looks, in
 * processes of their own, beside the victim's.
 *
 * Order of one experiment: a new space; the ground, by a process that ends; the
 * victim prepares itself and is run to its place; it is killed; the survivor
 * checks; what still lives is killed.
 */
#ifndef CRASH_DROPIN_SWEEP_H
#define CRASH_DROPIN_SWEEP_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "harness.h"

#define SLATE_WORDS 16u
#define SLATE_HELPERS 3u

/* What the processes of an experiment tell one another: zero at first. */
struct slate {
	_Atomic int returned; /* the victim, from its call */
	_Atomic int64_t result;
	_Atomic int dead; /* the victim is */
	_Atomic pid_t victim, helpers[SLATE_HELPERS];
	_Atomic int64_t words[SLATE_WORDS]; /* the noun's own */
	sem_t semaphore;
};

struct dropin_deed {
	const char *name;
	unsigned kind; /* the noun's own bits, and these: */
	int64_t (*run)(void);
};
#define DEED_FIRST_USE 0x40000000u /* there is no ground */
#define DEED_FORKED 0x20000000u    /* see trace_spawn_forked() */
#define DEED_LET_GO 0x10000000u    /* the victim isn't killed at its place */

/* Bytes of a file of the space that others can see. */
struct dropin_part {
	char file[64];
	int64_t at; /* below 0: from the end */
	size_t bytes;
};
#define PARTS_MAX 3u
#define PART_BYTES 1024u

struct dropin_noun {
	const char *suite, *where;
	const struct dropin_deed *deeds;
	size_t count;
	/* In the worker, before anything else; may start helpers. Or NULL. */
	void (*begin)(const struct dropin_deed *deed);
	/* In a process that ends with it. Or NULL. */
	void (*ground)(const struct dropin_deed *deed);
	/* In the victim, not yet traced. Or NULL. */
	void (*prepare)(const struct dropin_deed *deed);
	/* With DEED_LET_GO: in the worker, the victim standing at its place, and
	 * when it goes on. */
	void (*standing)(const struct dropin_deed *deed);
	void (*gone_on)(const struct dropin_deed *deed);
	/* In the survivor: -1 and trouble(), or 0. */
	int (*check)(const struct dropin_deed *deed);
	/* Which parts; how many. Or NULL: the slate's semaphore. */
	size_t (*parts)(struct dropin_part parts[PARTS_MAX]);
};

extern struct slate *slate;
extern const char *dropin_path; /* the space's */

/* A process beside the victim's, with the space as its own; it is killed in the
 * end. Only in `begin`. */
void dropin_helper(unsigned number, void (*body)(void));
/* In the survivor: waits until it has ended, and the kernel has torn it down;
 * the other one kills it. */
void dropin_helper_await(pid_t pid);
void dropin_helper_end(pid_t pid);
/* Files of the space whose names begin and end so. */
int dropin_count_files(const char *begin, const char *end);

extern const struct dropin_noun dropin_registry_noun, dropin_undo_noun,
	dropin_attach_noun, dropin_semaphore_noun;

#endif
