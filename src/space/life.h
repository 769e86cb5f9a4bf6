/* SPDX-License-Identifier: MIT */
/* space/life.h: joining a space, and asking who is alive in it. */
#ifndef STOA_SPACE_LIFE_H
#define STOA_SPACE_LIFE_H

#include <space/fork.h>
#include <space/life_layout.h>
#include <stoa/space.h>

#include <pthread.h>
#include <stdatomic.h>

/* In a page of its own that the kernel empties in a forked child. */
struct stoa_life_self {
	_Atomic stoa_peer peer; /* 0: not joined, or forked since */
	_Atomic uint64_t seed;  /* of generations; 0: none yet */
	_Atomic int32_t pid;    /* 0: not asked yet */
};

struct stoa_life {
	_Atomic int directory; /* opened anew if the program closed it */
	uint64_t directory_inode;
	const char *path; /* of the same directory */
	int shared; /* the space is for all users */
	struct stoa_life_self *self;
	int lock_fd; /* bears the lock, and nothing else */
	uint64_t lock_inode;
	pthread_mutex_t mutex; /* private memory: joining, opening shards */
	_Atomic int shard_fd[LIFE_SHARDS]; /* for asking; 0 = not open, else
	                                      fd + 1 */
	_Atomic uint64_t waits_taken;    /* records: see waits.c */
	_Atomic uint64_t waits_sequence; /* of the last one written */
	struct stoa_fork fork;
};

int stoa_life_init(struct stoa_life *life, int directory, const char *path,
                   int shared);
void stoa_life_fini(struct stoa_life *life);

/* This process's peer; joins if it has not, or has forked since. */
int stoa_life_join(struct stoa_life *life, stoa_peer *ret_peer);

/* Takes the lock again if the program has closed its descriptor unawares.
 * 1: this process is another peer now. */
int stoa_life_reprobe(struct stoa_life *life);

/* This process's id, and a number that nobody has had before; seldom by a
 * system call. */
int stoa_life_pid(struct stoa_life *life);
uint64_t stoa_life_fresh(struct stoa_life *life);

/* 1 alive, 0 dead. When the kernel can't be asked: alive. */
int stoa_life_alive(struct stoa_life *life, stoa_peer peer);

/* The record of a slot. -ENOENT: no such shard. */
int stoa_life_record(struct stoa_life *life, uint32_t slot,
                     struct life_record *ret_record);

#endif
