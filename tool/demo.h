/* SPDX-License-Identifier: MIT */
/*
 * demo.h: what the files of `stoa demo` share.
 *
 * A feeder cuts an input into messages on the channel WORK; workers take them,
 * hash them, pass header, hash and data on through the channel RESULTS, and
 * acknowledge; a collector puts the stream together again. The carrier is what
 * the channels are made of: stoa queues, or one of the kernel's mechanisms.
 */
#ifndef STOA_TOOL_DEMO_H
#define STOA_TOOL_DEMO_H

#include <stdatomic.h>
#include <stdint.h>
#include <stoa/stoa.h>
#include <sys/types.h>

#include "tool.h"

#define DEMO_PIECE_MIN 64u
#define DEMO_PIECE_MAX 65536u
#define DEMO_DIGEST_BYTES 32 /* SHA-256 */
#define DEMO_WORKERS_MAX 64
#define DEMO_HAND 8 /* messages that a worker holds at once */
#define DEMO_NOTE_BYTES 512

enum demo_kind { DEMO_DATA = 1, DEMO_STOP = 2 };

/* Heads every message; the data follows. */
struct demo_header {
	uint64_t sequence;
	uint32_t bytes; /* of data */
	uint16_t kind;
	uint16_t deliveries; /* of the message that this is the result of */
	uint8_t digest[DEMO_DIGEST_BYTES];
};

#define DEMO_MESSAGE_MAX (sizeof(struct demo_header) + DEMO_PIECE_MAX)

/* A message in the hands of this process. */
struct demo_parcel {
	struct demo_header *header;
	uint8_t *data;
	struct stoa_message message; /* stoa only */
};

enum demo_end { DEMO_WORK, DEMO_RESULTS, DEMO_ENDS };

/* One direction. What a mechanism doesn't need is unused. */
struct demo_channel {
	struct stoa_queue *queue;
	int descriptor[2]; /* pipe: read, write */
	int id;            /* mqd_t, System V queue */
	void *out, *in;    /* each process's own after fork */
};

struct demo_carrier {
	const char *name;
	unsigned hand; /* messages that may be held unacknowledged at once */
	bool own_limits; /* the kernel's are in a private namespace */
	struct demo_channel channel[DEMO_ENDS];
	struct stoa_space *space;
	char path[64];    /* the private space's directory */
	size_t piece_max; /* data in one message: set by open */
	char limits[64];  /* messages x bytes, for people: set by open */
	const struct demo_operations *operations;
};

/* All return 0 or -errno. */
struct demo_operations {
	/* Before the processes are forked; they inherit the channels. */
	int (*open)(struct demo_carrier *carrier);
	void (*close)(struct demo_carrier *carrier);
	/* Room for one message of `bytes` data; blocks. */
	int (*reserve)(struct demo_channel *channel, size_t bytes,
	               struct demo_parcel *ret_parcel);
	int (*commit)(struct demo_channel *channel,
	              const struct demo_parcel *parcel);
	/* The next message. wait 0: -EAGAIN if there is none. */
	int (*take)(struct demo_channel *channel, int wait,
	            struct demo_parcel *ret_parcel);
	int (*acknowledge)(struct demo_channel *channel,
	                   const struct demo_parcel *parcel);
};

extern const struct demo_operations demo_stoa, demo_mq, demo_sysv, demo_pipe;

/* Cuts the input into messages of mixed sizes; the same seed and limit give
 * the same cuts in every process and every round. */
struct demo_cutter {
	uint16_t random[3];
	uint64_t offset, total;
	size_t limit;
	uint32_t rest; /* of a cut that was larger than the limit */
};

void demo_cutter_init(struct demo_cutter *cutter, uint32_t seed,
                      uint64_t total, size_t limit);
size_t demo_cutter_next(struct demo_cutter *cutter); /* 0 at the end */

/* What the collector says; in memory shared by the round's processes. */
struct demo_board {
	_Atomic uint64_t fed;
	_Atomic uint64_t messages, bytes; /* collected, each counted once */
	_Atomic int64_t started_ns, finished_ns, killed_ns;
	int64_t last_redelivery_ns;
	uint64_t redelivered, redelivered_bytes;
	uint64_t repeated;   /* redelivered, though passed on already */
	uint64_t doubled;    /* twice without a redelivery: never right */
	uint64_t bad_digest; /* hash and data of a result disagree */
	uint8_t digest[DEMO_DIGEST_BYTES];
};

/* One run of the whole input through one carrier. */
struct demo_round {
	struct demo_carrier carrier;
	struct demo_board *board;
	uint32_t seed;
	int input;
	uint64_t total;    /* bytes of input */
	uint64_t messages; /* that it's cut into */
	unsigned workers;
	int kill;
	uint64_t kill_sequence; /* whoever takes it is killed */
	int pass_on_first;      /* before or after passing that one on */
	long kill_delay_ns;
	int tell[2]; /* the victim's pipe to the parent */
	const uint8_t *digest; /* of the input */

	/* outcome */
	int result; /* 0 whole, 1 not, -errno not run */
	double seconds;
	unsigned killed_worker;
	pid_t killed_pid;
	uint64_t returned;
	char note[DEMO_NOTE_BYTES]; /* why not whole or not run */
};

/* The processes' work; each returns an exit status. */
int demo_feeder(struct demo_round *round);
int demo_worker(struct demo_round *round, unsigned index);
int demo_collector(struct demo_round *round);

/* Runs the round, fills its outcome. Returns 0, or the signal that ended it. */
int demo_round_run(struct demo_round *round);
void demo_round_fini(struct demo_round *round);

int64_t demo_now_ns(void);
/* The sentence for a failed call of the carrier's. */
const char *demo_reason(const struct demo_carrier *carrier, int result);

/* Chooses the columns. TOOL_GO_ON, or an exit code. */
int demo_table_init(struct tool_table *table,
                    const struct tool_common *common,
                    struct tool_table_options *options);
/* Returns an exit code. rounds[0] has the kill, rounds[1] is stoa without;
 * each but the first ran `runs` times. */
int demo_report_print(struct tool_table *table,
                      const struct demo_round *rounds, size_t count,
                      size_t runs, const char *input);
void demo_progress(const struct demo_round *round);
void demo_progress_clear(void);

#endif
