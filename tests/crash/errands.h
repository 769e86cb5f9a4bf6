/* SPDX-License-Identifier: MIT */
/* errands.h: what victims do to a space, and on what ground. */
#ifndef CRASH_ERRANDS_H
#define CRASH_ERRANDS_H

#include "harness.h"

#define BOTH (STOA_READ | STOA_WRITE)
#define NEW_MODE 0640 /* of the queue "new" */

/* What is there before the victim comes. */
enum ground { GROUND_NOTHING, GROUND_EMPTY, GROUND_PEOPLED, GROUNDS };

struct yard {
	char path[96];
	enum ground ground;
	struct stoa_space *space; /* the survivor's */
	stoa_peer self;		  /* the survivor */
	struct ledger ledger;
	struct page *page;
	uint32_t serial, files; /* files when nobody dies */
};

struct errand;

/* The victim's. */
struct visit {
	struct yard *yard;
	const struct errand *errand;
	struct stoa_space *space;
	struct stoa_queue *queue;
	struct stoa_watch *watch;
};

enum errand_flag {
	ERRAND_OPENS = 1,   /* it opens the space itself */
	ERRAND_MAKES = 2,   /* "new" may be there */
	ERRAND_REMOVES = 4, /* "old" may be gone */
	ERRAND_REMOVED = 8, /* "old" may be marked removed */
	ERRAND_QUEUE = 16,  /* it has "old" open */
	ERRAND_WATCH = 32   /* it has a watch's thread */
};

struct errand {
	const char *name;
	unsigned grounds; /* bits */
	unsigned flags;
	int64_t (*run)(struct visit *visit);
};

extern const struct errand errands[];
extern const size_t errands_count;

struct stoa_queue_attributes attributes_new(void);

#endif
