/* SPDX-License-Identifier: MIT */
/*
 * harness.h: what the parts of the crash harness share.
 *
 * The supervisor (main.c) runs one worker process for each job: an operation
 * in a starting state. The worker makes the state anew for each kill, forks
 * the victim, kills it at one place, and is itself the survivor that checks
 * with the oracle. A worker that hangs or crashes is a failure too; the
 * supervisor starts the next one behind it.
 */
#ifndef CRASH_HARNESS_H
#define CRASH_HARNESS_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/types.h>

#include "trace.h"

/*
 * So long may one kill and its check take, and so long the oracle waits for
 * what must come. Nothing but a hang takes so long, on however busy a machine;
 * with a seeded bug switched on much hangs, and that is to be told soon.
 */
#define HANG_SECONDS 300
#define HANG_SECONDS_SEEDED 15
#define PATIENT_SECONDS 60
#define PATIENT_SECONDS_SEEDED 5

extern unsigned stoa_seeded_bug; /* 0: none is switched on */

/* ---- Letters: the messages, and what may have become of them ------------- */

#define LETTER_MAX_BYTES 8192u
#define LETTERS_MAX 128u
#define BATCH 3u /* messages in one send_many and receive_many */

enum fate {
	FATE_STAYS = 0, /* in the queue exactly once */
	FATE_MAYBE,     /* in the queue once or not at all */
	FATE_GONE       /* not in the queue */
};

struct letter {
	uint64_t id; /* never used again; grows in the order of sending */
	uint32_t bytes;
	uint32_t priority;
	int64_t type;
	enum fate fate;
	uint32_t deliveries_min, deliveries_max;
	uint32_t seen;   /* times drained */
	uint32_t copied; /* whole in a dead receiver's buffer */
	uint8_t held;    /* the survivor holds it, nobody may see it */
	uint8_t batched; /* sent together with the letter before */
	uint8_t loose;   /* sent at the same time as other loose ones */
};

struct ledger {
	uint64_t next_id;
	uint32_t order; /* enum stoa_queue_order */
	uint32_t count;
	struct letter letters[LETTERS_MAX];
};

/* What a victim leaves: in a page shared with the survivor. */
struct page {
	volatile uint32_t entered, returned;
	volatile int64_t result;
	uint64_t held_id;  /* taken before the operation began */
	uint64_t taken_id; /* by the operation, once returned */
	uint32_t outgoing_count;
	uint32_t outgoing[BATCH]; /* indexes of letters it may send */
	struct stoa_message messages[BATCH];
	unsigned char buffers[BATCH][LETTER_MAX_BYTES];
};

/* ---- Starting states ----------------------------------------------------- */

struct stage;

struct state {
	const char *name;
	enum stoa_queue_order order;
	void (*fill)(struct stage *stage);
	unsigned tags;
};

enum state_tag {
	STATE_CORE = 1,   /* in the default portion */
	STATE_EMPTY = 2,  /* nothing to receive */
	STATE_LARGE = 4,  /* messages in pieces */
	STATE_HELD = 8,   /* the survivor holds a message */
	STATE_NESTED = 16 /* nested kills in the default portion too */
};

extern const struct state states[];
extern const size_t states_count;

/* ---- Operations ---------------------------------------------------------- */

enum operation_flag {
	OP_SEND = 0x1,     /* outgoing letters may be in the queue */
	OP_RECEIVE = 0x2,  /* letters may be in its buffers instead */
	OP_TAKE = 0x4,     /* deliveries may rise by one */
	OP_ACK = 0x8,      /* the held letter may be gone */
	OP_RETURN = 0x10,  /* the held letter came back by itself */
	OP_PURGE = 0x20,
	OP_REMOVE = 0x40,  /* the queue may answer -EIDRM */
	OP_UNLINK = 0x80,  /* the name may be gone */
	OP_CLOSE = 0x100,
	OP_FIRST = 0x200,  /* by the handle that came with the fork */
	OP_LOCK_FREE = 0x400, /* in FIFO: swept with SIGSTOP too */
	OP_TYPE = 0x800,   /* only for queues ordered by type */
	OP_CORE = 0x1000,  /* in the default portion with every core state */
	OP_BURY = 0x2000,  /* a repair, for the nested sweep */
	OP_MESSAGE = 0x4000 /* sends with priority and type */
};

/* The victim's own side. */
struct victim {
	struct stage *stage;
	struct page *page;
	struct stoa_space *space;
	struct stoa_queue *queue;
	const struct operation *operation;
};

struct operation {
	const char *name;
	unsigned flags;
	uint32_t outgoing_count;           /* letters that it may send */
	uint32_t outgoing_bytes;           /* of each */
	void (*prepare)(struct victim *v); /* before the operation; or NULL */
	void (*run)(struct victim *v);
};

extern const struct operation operations[];
extern const size_t operations_count;

/* ---- The stage: one queue in its state ----------------------------------- */

#define PAGES 3u /* victims in one experiment */
#define CAPACITY 8u
#define TOTAL_BYTES 24576u /* less than CAPACITY of the largest size */
#define SIZES 4u

struct stage {
	char path[64]; /* of the space */
	char name[32]; /* of the queue */
	struct stoa_space *space;
	struct stoa_queue *queue; /* the survivor's */
	const struct state *state;
	struct ledger ledger;
	struct page *pages; /* PAGES, shared */
	struct stoa_message held; /* by the survivor, if data is not NULL */
	uint64_t held_id;
	uint64_t serial;
	uint32_t there, most; /* letters in the queue while it was made */
	int concurrent; /* victims and survivors were at it at once */
	/* The queue's file and the first pages as last observed. */
	unsigned char *image, *seen;
	size_t image_bytes;
	/* Messages of each size that fit into an empty queue. */
	uint32_t room[3][SIZES];
	uint32_t files; /* in the space's directory when all is well */
};

extern const uint32_t stage_sizes[SIZES];

int stage_open(struct stage *stage, const char *path);
void stage_close(struct stage *stage);
/* A new queue in that state; aborts the worker if that fails. */
void stage_make(struct stage *stage, const struct state *state);
void stage_drop(struct stage *stage);
void stage_attributes(const struct state *state,
		      struct stoa_queue_attributes *ret_attributes);
/* Announces the letters that the victim may send; clears its page. */
void stage_announce(struct stage *stage, uint32_t page,
		    const struct operation *operation);
int stage_observe(void *stage);
uint32_t count_files(const char *path);

struct letter *ledger_add(struct ledger *ledger, uint32_t bytes);
void letter_write(const struct letter *letter, void *buffer);
int letter_whole(const struct letter *letter, const void *buffer);
uint64_t letter_id(const void *buffer);

/* Sends the letter from this process: 0 or -errno. */
int letter_send(struct stoa_queue *queue, const struct letter *letter,
		struct stoa_deadline deadline);

/* The body of a victim: opens, prepares, runs. */
struct act {
	struct stage *stage;
	const struct operation *operation;
	uint32_t page;
	int untraced;
};
void act_body(void *act);

/* ---- Oracle -------------------------------------------------------------- */

#define VARIANTS 4u /* ways for the survivor to go about it */

/* Applies what is known of a victim to the ledger; -1: that can't be. */
int oracle_account(struct stage *stage, uint32_t page,
		    const struct operation *operation);

/* Checks everything; -1 and a report if something is wrong. */
int oracle_check(struct stage *stage, unsigned flags, uint32_t variant,
		 int thorough);

/* Compares what was drained with the ledger. */
int oracle_settle(struct stage *stage);
/* Cleans twice, and looks at what the space lists. */
int oracle_space(struct stage *stage);

/* ---- Jobs ---------------------------------------------------------------- */

struct counts {
	uint64_t kills, instructions, points, nested, schedules, stops;
	uint64_t blocked, syscalls, passed, failed, missed, jobs, skipped;
	uint64_t cut; /* jobs that the time limit ended */
	uint64_t late; /* tried again, see prompt.c */
};

enum portion { PORTION_MUTANT, PORTION_DEFAULT, PORTION_FULL };

#define STACK_MAX 24

/* What a worker tells the supervisor, shared. */
struct board {
	struct counts counts;
	char where[512];  /* the present experiment, for a hang or crash */
	char trouble[1024]; /* the first thing found wrong in it */
	uint64_t step; /* experiments begun in this job */
	uint64_t pc;   /* the place of the kill */
	void *stack[STACK_MAX]; /* of a worker that hung or crashed */
	uint32_t stack_count;
	uint64_t worst_ns; /* slowest check by a survivor, as it ran */
	int64_t newcomer_ns; /* that a newcomer stood ready to run */
	uint64_t slowest_ns; /* of those that are to be prompt */
	uint32_t late; /* what is wrong is but that it came late */
	uint32_t failures_here;
	uint32_t done;
};

struct settings {
	enum portion portion;
	uint64_t seed;
	const char *operation, *state, *suite; /* NULL: all */
	int first_only; /* end at the first failure */
	int verbose;
	uint64_t only_step; /* replay one experiment; UINT64_MAX: all */
	int64_t until_ns;   /* no experiment begins after it; 0: no limit */
};

extern struct board *board;
extern struct settings settings;

/* A job: runs in a worker of its own. */
struct job {
	const char *suite, *name, *where;
	const struct operation *operation;
	const struct state *state; /* then the worker opens the stage */
	void (*run)(const struct job *job);
	const void *extra;
	unsigned number;
};

const char *job_name(const struct job *job);
const char *job_where(const struct job *job);

/* Around a job, in its worker. `path`: see worker_path. */
void worker_begin(const struct job *job, const char *path);
void worker_end(void) __attribute__((noreturn));
/* For the supervisor: 0: all is done; 1: it died, and the next is to go on. */
int worker_ended(int status);
void job_ended(void);

/* A process that checks in the worker's stead: it hangs and crashes as the
 * worker would; and its end, when it has. */
void survivor_start(void);
void survivor_ended(int status);

typedef size_t job_list(struct job *jobs, size_t room);

size_t list_calm_jobs(struct job *jobs, size_t room);
size_t list_kill_jobs(struct job *jobs, size_t room);
size_t list_nested_jobs(struct job *jobs, size_t room);
size_t list_stop_jobs(struct job *jobs, size_t room);
size_t list_blocked_jobs(struct job *jobs, size_t room);
size_t list_schedule_jobs(struct job *jobs, size_t room);
size_t list_space_jobs(struct job *jobs, size_t room);
size_t list_dropin_jobs(struct job *jobs, size_t room);
size_t list_toy_jobs(struct job *jobs, size_t room);
size_t list_subject_jobs(struct job *jobs, size_t room);
size_t list_subject_nested_jobs(struct job *jobs, size_t room);
size_t list_subject_blocked_jobs(struct job *jobs, size_t room);

/* The worker's own stage, opened by main.c before the job runs. */
extern struct stage stage;
/* A directory of its own on tmpfs, not made yet; removed afterwards. */
extern const char *worker_path;

/*
 * Begins one experiment: 1 if it is to be run, 0 if it was behind us already
 * (a restarted worker, a replay of another). Arms the hang limit.
 */
int experiment(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends it. */
void experiment_passed(void);
void experiment_failed(void);
/* Or does it once more, from its beginning. */
void experiment_again(void);
/* The victim did not get to the place. */
void experiment_missed(void);

/* Notes what is wrong; -1. Only the first note of an experiment is kept. */
int trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A failure of the harness itself: ends the worker. */
void broken(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

uint64_t random_next(uint64_t *state);
int64_t clock_ns(void);
int64_t patient_ns(void);
int out_of_time(void);

/* In the full portion all have their turn, else one of so many. */
int portion_turn(size_t n, size_t stride);
/* Is the n-th stop at a system call? */
int portion_wants_stop(size_t n);
/*
 * Time and chance steer a few executions (a slice ends, a tick of the clock is
 * seen, a waiter comes in between), so that a victim may not pass a place as
 * often as the one that was recorded. So it is tried again, the last time for
 * the first arrival at the instruction instead of the recorded one.
 */
#define TRIES 4
struct trace_point trial(const struct trace_point *point, int number);

/* Is the n-th point to be tried in this portion? */
int portion_wants(const struct trace_point *point, size_t n);

#endif
