/* SPDX-License-Identifier: MIT */
/* dropin.h: for the verbs that use the drop-in: run, ipcs, ipcmk, ipcrm. */
#ifndef STOA_TOOL_DROPIN_H
#define STOA_TOOL_DROPIN_H

#include <limits.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "tool.h"

union tool_semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

/* libstoa-dropin.so, loaded beside the C library: its calls by name. */
struct tool_dropin {
	void *library;
	char path[PATH_MAX];
	int (*check_program)(const char *path, char *loaded);
	const char *(*reason)(int program);
	int (*msgget)(key_t key, int flags);
	int (*msgctl)(int id, int command, struct msqid_ds *ds);
	int (*semget)(key_t key, int count, int flags);
	int (*semctl)(int id, int index, int command, ...);
	int (*shmget)(key_t key, size_t bytes, int flags);
	int (*shmctl)(int id, int command, struct shmid_ds *ds);
};

#define TOOL_PROGRAM_LOADED 512

/* Finds the library beside this program, in ../lib or where the loader looks,
 * and loads it. 0 or an exit code. */
int tool_dropin_load(struct tool_dropin *dropin);

/* The space's path for a NAME, a PATH or NULL (the default), into `path` of
 * PATH_MAX; empty: stoa's default. 0 or an exit code. */
int tool_dropin_space(const char *typed, char *path);

/* For ipcs, ipcmk and ipcrm: chooses the space, which must be there, and loads
 * the library. 0 or an exit code. */
int tool_dropin_open(const char *space, struct tool_dropin *dropin);

/* ---- Private spaces (private.c) ----------------------------------------- */

struct tool_private {
	int parent_fd, space_fd; /* both locked: this one is in use */
	char path[PATH_MAX];
};

/* Makes a fresh space; `shared`: for all users. 0 or an exit code. */
int tool_private_make(bool shared, struct tool_private *ret_space);
void tool_private_remove(struct tool_private *space);
/* Removes the private spaces of this user that nobody uses any more. */
void tool_private_sweep(void);

/* Runs the command as tool_run does, and waits for all its descendants. */
int tool_run_all(char **command);

#endif
