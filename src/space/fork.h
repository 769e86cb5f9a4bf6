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

#endif
