/* SPDX-License-Identifier: MIT */
/*
 * space/fork.h: who has something to do when the process forks. The handlers
 * run while no other thread of the process can fork, enlist or delist; they may
 * make system calls, and nothing that takes a lock or memory.
 */
#ifndef STOA_SPACE_FORK_H
#define STOA_SPACE_FORK_H

struct stoa_fork {
	void (*before)(struct stoa_fork *entry); /* in the parent; or NULL */
	void (*parent)(struct stoa_fork *entry); /* after it; or NULL */
	void (*child)(struct stoa_fork *entry);
	struct stoa_fork *next, **link;
};

void stoa_fork_enlist(struct stoa_fork *entry);
void stoa_fork_delist(struct stoa_fork *entry);

/* Between the two no thread of the process forks (by fork(3)): for what is made
 * and noted where a handler finds it. Not held over anything that blocks. */
void stoa_fork_hold(void);
void stoa_fork_release(void);

#endif
