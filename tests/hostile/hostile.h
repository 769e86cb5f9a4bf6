/* SPDX-License-Identifier: MIT */
/*
 * hostile.h: what the hostile tests share. A *victim* uses the library as any
 * program does while its memory and its files are overwritten. It must never
 * crash, touch memory out of bounds, answer an error that isn't promised, or
 * come back long after its deadline. Whatever is wrong ends the process with
 * a sentence that names the operation and the trial.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <support.h>

#include <data/queue_internal.h>

/* ---- The watchdog (watchdog.c) ------------------------------------------ */

/* An operation hangs when it takes so long; or computes for so long, which a
 * busy machine doesn't change. What is slow, but ends, is reported. */
enum {
	OPERATION_HANGS_S = 60,
	OPERATION_COMPUTES_S = 20, /* or $HOSTILE_COMPUTE_SECONDS */
	OPERATION_SLOW_MS = 1000, /* of computing */
	OPERATION_LATE_MS = 30000, /* past its deadline */
};

#define HOSTILE_MAIN(cases)                                         \
	int main(int argc, char **argv)                             \
	{                                                           \
		watchdog_start();                                   \
		return run_cases(argc, argv, cases, LENGTH(cases)); \
	}

/* Once for a program: a PID namespace of its own, if that is allowed, and a
 * copy of stderr for what must be seen whatever becomes of the case. */
void watchdog_start(void);
/* Names what is being tried, for the report of a failure. */
void trial(const char *format, ...) __attribute__((format(printf, 1, 2)));
void watch_operation(const char *name, int64_t patience_ns);
void operation_done(void);
/* Something is wrong: tells, and ends the process with a stack. */
void finding(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
/* Prints a line that is seen whatever becomes of the case. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Walls around the library (walls.c) --------------------------------- */

/* Signals that the library was about to send to somebody outside this process
 * group, or with a number that no test asks for. They are not sent. */
unsigned forged_signals(void);

/* ---- Operations (operations.c, operations_space.c) ---------------------- */

enum { HELD_MAX = 4 };

struct victim {
	struct stoa_space *space;
	struct stoa_queue *queue; /* NULL: it couldn't be opened */
	const char *name;
	enum stoa_queue_order order; /* for reports */
	uint64_t chance;
	uint64_t message_max;
	int64_t patience_ns; /* longest wait of an operation; 0: none */
	bool may_be_cut; /* -EIO is expected */
	bool whole_at_loan; /* the last loan was made before any fault */
	struct stoa_message taken[HELD_MAX];
	struct stoa_message reserved[HELD_MAX];
	unsigned taken_count;
	unsigned reserved_count;
};

struct operation {
	const char *name;
	long long (*run)(struct victim *victim);
	unsigned weight; /* how often, by chance */
	bool needs_queue;
	bool opens; /* may answer what opening files answers */
};

extern const struct operation queue_operations[];
extern const size_t queue_operation_count;
extern const struct operation space_operations[];
extern const size_t space_operation_count;

/* Runs one operation under the watchdog and checks what it answers. */
long long operate(struct victim *victim, const struct operation *operation);
long long operate_by_chance(struct victim *victim);
/* Every operation once, in the tables' order, and those that open files too. */
void operate_all(struct victim *victim);
void operate_on_queue(struct victim *victim);

long long victim_open(struct victim *victim);
void victim_close(struct victim *victim);
/* Signals that notifications raise in tests are caught and counted. */
void catch_notifications(void);
struct stoa_deadline soon(struct victim *victim);

/* ---- Images of object files (image.c) ----------------------------------- */

enum region_name {
	REGION_HEADER,
	REGION_STATE,
	REGION_SEATS,
	REGION_CONTROL,
	REGION_CELLS,
	REGION_PAYLOADS,
	REGION_ENTRIES,
	REGION_NODES,
	REGION_BLOCK_WORDS,
	REGION_PIECE_WORDS,
	REGION_ARENA,
	REGIONS
};

struct region {
	size_t offset;
	size_t bytes;
};

/* A populated queue's file: mapped as an attacker maps it, and a copy. */
struct image {
	char path[256];
	int fd;
	char *base;
	char *copy;
	size_t bytes;
	uint32_t capacity, blocks;
	uint32_t slots; /* cells: capacity, or some more */
	struct region regions[REGIONS];
};

extern const char *const region_names[REGIONS];

/* Makes directory/name.queue with messages in every state: sent, taken,
 * reserved, come back, by the living and by the dead. */
void populate(struct stoa_space *space, const char *name,
              struct queue_shape shape);
void image_open(struct image *image, struct stoa_space *space,
                const char *name);
void image_restore(struct image *image);
void image_close(struct image *image);

/* ---- Hostile stores (scribble.c) ---------------------------------------- */

enum { TOKENS_MAX = 16 };

struct scribbler {
	char *base;
	const char *copy;
	size_t bytes;
	uint32_t capacity, blocks, slots;
	struct region regions[REGIONS];
	bool spare_header; /* identity and geometry are left alone */
	uint64_t chance;
	uint64_t stored; /* bytes */
	uint32_t tokens[TOKENS_MAX]; /* as found in the seats */
	uint64_t owners[TOKENS_MAX];
};

void scribbler_init(struct scribbler *scribbler, const struct image *image,
                    uint64_t seed);
/* Some hundred stores of one kind, chosen by chance. */
void scribble(struct scribbler *scribbler);

#endif
