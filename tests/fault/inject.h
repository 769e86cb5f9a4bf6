/* SPDX-License-Identifier: MIT */
/*
 * inject.h: makes the n-th system call of the library fail, for each n and
 * each error that the call could really give, and looks at what is left.
 */
#ifndef INJECT_H
#define INJECT_H

#include "support.h"

enum {
	SHORT_MS = 16, /* more than one slice of a wait, which is of 10 here */
	AMPLE_MS = 60000, /* of what comes, however busy the machine */
};

struct stage {
	const char *operation;
	int descriptors; /* open before it */
	struct stoa_space *space;
	struct stoa_queue *queue;
	struct stoa_queue *other;
	struct stoa_message message;
	struct stoa_watch *watch;
	stoa_peer peer;
	struct child child;
	enum stoa_queue_order order;
	bool lasting; /* what undoes a half-done operation fails, too */
};

/* One public operation. `prepare` may be NULL; the stage then has an open
 * space and a queue "q" with one message. */
struct operation {
	const char *name;
	void (*prepare)(struct stage *stage);
	long long (*run)(struct stage *stage);
	/* After a failure, without injection: the operation must now do what it
	 * does; after success: its undoing. */
	void (*after)(struct stage *stage, long long result);
	bool once; /* no lasting failures */
};

#define OPERATION(name, prepare)                  \
	{                                         \
#name, prepare, name, NULL, false \
	}
#define OPERATION_ONCE(name, prepare)            \
	{                                        \
#name, prepare, name, NULL, true \
	}
#define OPERATION_AFTER(name, prepare, after)      \
	{                                          \
#name, prepare, name, after, false \
	}

/* What is wrong is told, and fails the case in the end. `format` may have one
 * %lld. */
void complain(const struct stage *stage, const char *format, long long got);

/* Runs each operation with each error at each call, on queues of each order
 * up to `last_order`. */
void sweep(const struct operation *operations, size_t count, int last_order);

/* The n-th call from now that could give `error` fails with it; `lasting`: and
 * all such calls after it. */
void inject_at(int error, unsigned n, bool lasting);
/* No more; whether that call came. */
bool injected(void);
/* The n-th allocation from now fails; then whether it came. */
void inject_allocation_at(unsigned n);
bool allocation_injected(void);

/* Stages that operations begin with. */
void with_nothing(struct stage *stage);
void with_space(struct stage *stage);
void with_queue(struct stage *stage); /* one message in it */
void with_empty_queue(struct stage *stage);
void with_full_queue(struct stage *stage);
void with_dead_taker(struct stage *stage);

extern const struct queue_shape fault_shape;

#endif
