/* SPDX-License-Identifier: MIT */
/* The figures to reach, and the names of the groups. */
#include "harness.h"

static const struct {
	const char *title, *work;
} groups[BENCH_GROUPS] = {
	[BENCH_LATENCY] = { "64 B one way, spinning, two cores",
		"half a round trip; percentiles of single trips" },
	[BENCH_THROUGHPUT_64] = { "64 B, one sender, one receiver",
		"spinning unless it says sleeping" },
	[BENCH_THROUGHPUT_4K] = { "4 KiB, one sender, one receiver",
		"copied in and copied out" },
	[BENCH_THROUGHPUT_64K] = { "64 KiB, one writer, one reader",
		"copied in and copied out; who waits may sleep" },
	[BENCH_THROUGHPUT_1M] = { "1 MiB, one sender, one receiver",
		"copied in and copied out" },
	[BENCH_TAKE] = { "zero copy",
		"one process: the take alone; handoffs: two cores" },
	[BENCH_PAIR] = { "64 B sent and received in one process",
		"one pair, nobody else there" },
	[BENCH_BLOCK] = { "a block allocated and freed",
		"one process; of 256 at once: each" },
	[BENCH_SEMAPHORE] = { "a permit taken and posted", "one process" },
	[BENCH_SEMAPHORE_SET] = { "an operation on semaphores of a set",
		"one process; handed on: 8 processes on two cores, who wait "
		"each on a semaphore of its own" },
	[BENCH_BLOCK_TWO] = { "blocking, two cores, both asleep",
		"half a round trip, each side waits 200 us before it answers" },
	[BENCH_BLOCK_ONE] = { "blocking, both on one core",
		"half a round trip" },
	[BENCH_MANY] = { "4 senders, 4 receivers, two cores, 64 B",
		"sleeping; the gap is the longest from send to receipt" },
	[BENCH_DEPTH] = { "one receive from a queue of a given depth",
		"one process; a message of the same kind is then sent again" },
	[BENCH_LOCK] = { "a mutex locked and unlocked", "one process" },
	[BENCH_CONTEND] = { "a mutex that several processes want",
		"each adds to a counter; p99 and p99.9 are of one lock, in ns" },
	[BENCH_HEIR] = { "its owner, of a given size in memory, is killed",
		"from the kill on; the middle of 5" },
	[BENCH_RANGE] = { "a range locked and unlocked, others being held",
		"one process, at random places; the others don't conflict" },
	[BENCH_FILE_LOCK] = { "a file locked and unlocked", "one process" },
	[BENCH_MOVE] = { "64 KiB between a ring and a descriptor",
		"one process, which fills and drains the far side, too" },
	[BENCH_IDLE] = { "a receiver that waits and gets nothing",
		"CPU time, per cent of a core" },
	[BENCH_RWLOCK_ONE] = { "rwlock: lock and unlock, one process",
		"nobody else there" },
	[BENCH_RWLOCK_TWO] = { "rwlock: lock and unlock, two cores",
		"nothing done under the lock" },
	[BENCH_BARRIER] = { "barrier: one round, two cores",
		"nothing done between; who waits may sleep" },
	[BENCH_SEGMENT] = { "a segment made, attached, detached and removed",
		"one process; stoa's memory is always reserved" },
	[BENCH_MAPPING] = { "bytes copied out of a mapping", "one process" },
	[BENCH_TOPIC] = { "topic: 64 B published, two cores",
		"subscribers spin on the other core; too slow ones lose" },
	[BENCH_PORT] = { "port: a request of some size, two cores",
		"a whole call, the answer is 64 B; mapped: filled in place" },
	[BENCH_DESCRIPTOR] = { "descriptors passed, with 64 B",
		"sent, received and closed again" },
	[BENCH_TERMINAL] = { "64 MiB written to a terminal, and read",
		"the command on the other core; GB/s of what it wrote" },
	[BENCH_DROPIN] = { "the drop-in beside the kernel",
		"the same program, natively and with the drop-in preloaded" },
	[BENCH_PROCESS] = { "a command run, input and output by pipes",
		"from start to its end; both cores" },
};

const char *bench_group_title(enum bench_group group)
{
	return groups[group].title;
}

const char *bench_group_work(enum bench_group group)
{
	return groups[group].work;
}

#define LATENCY_AIM 1.25
#define ORDERED_AIM 2.0
#define RATE_AIM 0.65
#define BACKLOG_AIM 1.5
#define SLEEPING_AIM 0.9
#define BANDWIDTH_AIM 0.8
#define TAKE_AIM 1.5
#define PAIR_AIM 15.0
#define BLOCK_AIM 1.1
#define AWAKE_NS_AIM 80.0
#define MANY_AIM 5.0
#define GAP_MS_AIM 1000.0
#define DEPTH_AIM 3.0
#define ROBUST_AIM 1.1
#define HEAP_AIM 2.0
#define POOL_AIM 1.0
#define SEMAPHORE_AIM 1.1
#define SEMAPHORE_SET_AIM 10.0
#define STREAM_PIPE_AIM 8.0
#define STREAM_RING_AIM 0.6
#define STREAM_PIPE_BANDWIDTH_AIM 4.0
#define TOPIC_RATE_AIM 50.0
#define TOPIC_LOAN_AIM 2.0
#define TOPIC_FAN_AIM 1.25
#define MUTEX_AIM 1.1
#define SEGMENT_AIM 1.2
#define TAIL_AIM 1.0
#define RANGE_AIM 10.0
#define FILE_LOCK_AIM 1.1
#define HEIR_NS_AIM 1e6
#define PORT_AIM 2.5
#define PORT_BLOCK_AIM 1.15
#define PORT_SIZE_AIM 1.5
#define IDLE_PERCENT_AIM 0.1
#define DESCRIPTOR_AIM 0.9
#define TERMINAL_AIM 0.9
#define DROPIN_PAIR_AIM 12.0
#define DROPIN_STREAM_AIM 10.0
#define DROPIN_PING_AIM 1.0
#define DROPIN_SEM_AIM 0.95
#define DROPIN_CYCLE_AIM 0.5

#define PROCESS_AIM 1.0

#define MOST(what, row, base, compare, limit, unit) \
	{ what, row, { base, NULL }, compare, false, limit, unit }
#define LEAST(what, row, base, compare, limit, unit) \
	{ what, row, { base, NULL }, compare, true, limit, unit }

const struct bench_aim bench_aims[] = {
	MOST("64 B one way, FIFO", "latency/stoa-fifo", NULL,
	     BENCH_TIMES_LINE, LATENCY_AIM, "x line"),
	MOST("64 B one way, by priority", "latency/stoa-priority",
	     NULL, BENCH_TIMES_LINE, ORDERED_AIM, "x line"),
	MOST("64 B one way, by type, depth 10", "latency/stoa-type", NULL,
	     BENCH_TIMES_LINE, ORDERED_AIM, "x line"),
	LEAST("64 B 1 to 1, one message a call", "rate64/stoa-fifo",
	      "rate64/ring", BENCH_TIMES, RATE_AIM, "x ring"),
	LEAST("64 B 1 to 1, batches of 32", "rate64/stoa-batch",
	      "rate64/ring", BENCH_TIMES, BACKLOG_AIM, "x ring"),
	LEAST("64 B 1 to 1, backlog drained", "rate64/stoa-backlog",
	      "rate64/ring", BENCH_TIMES, BACKLOG_AIM, "x ring"),
	LEAST("64 B 1 to 1, who waits may sleep", "rate64/stoa-sleeping",
	      "rate64/stoa-fifo", BENCH_TIMES, SLEEPING_AIM, "x spinning"),
	LEAST("4 KiB 1 to 1", "rate4k/stoa", "rate4k/ring", BENCH_TIMES,
	      BANDWIDTH_AIM, "x ring"),
	LEAST("1 MiB 1 to 1", "rate1m/stoa", "rate1m/ring", BENCH_TIMES,
	      BANDWIDTH_AIM, "x ring"),
	MOST("zero-copy take of 1 MiB", "take/stoa-1m", "take/stoa-64",
	     BENCH_TIMES, TAKE_AIM, "x 64 B"),
	{ "send and receive in one process", "pair/stoa",
	  { "pair/mq", "pair/msg" }, BENCH_FASTER, true, PAIR_AIM,
	  "x faster" },
	MOST("blocking, both asleep, two cores", "block2/stoa",
	     "block2/futex", BENCH_TIMES, BLOCK_AIM, "x futex"),
	MOST("blocking, both on one core", "block1/stoa", "block1/futex",
	     BENCH_TIMES, BLOCK_AIM, "x futex"),
	MOST("default waiting, the peer active", "latency/stoa-waiting",
	     NULL, BENCH_ABSOLUTE, AWAKE_NS_AIM, "ns"),
	{ "4 senders, 4 receivers", "many/stoa", { "many/mq", "many/msg" },
	  BENCH_TIMES, true, MANY_AIM, "x kernel" },
	MOST("4 senders, 4 receivers: longest gap", "many/stoa", NULL,
	     BENCH_GAP, GAP_MS_AIM, "ms"),
	MOST("receive by priority, depth 100,000", "depth/priority-100000",
	     "depth/priority-10", BENCH_TIMES, DEPTH_AIM, "x depth 10"),
	MOST("receive by exact type, depth 100,000", "depth/exactly-100000",
	     "depth/exactly-10", BENCH_TIMES, DEPTH_AIM, "x depth 10"),
	MOST("receive by lowest type, depth 100,000", "depth/lowest-100000",
	     "depth/lowest-10", BENCH_TIMES, DEPTH_AIM, "x depth 10"),
	MOST("robustness: 64 B one way", "latency/stoa-fifo",
	     "latency/stoa-constant", BENCH_TIMES, ROBUST_AIM,
	     "x constant tokens"),
	LEAST("robustness: 64 B 1 to 1", "rate64/stoa-fifo",
	      "rate64/stoa-constant", BENCH_TIMES, 1 / ROBUST_AIM,
	      "x constant tokens"),
	MOST("robustness: in one process", "pair/stoa",
	     "pair/stoa-constant", BENCH_TIMES, ROBUST_AIM,
	     "x constant tokens"),
	MOST("heap, allocate and free", "block/heap-64", "block/glibc-64",
	     BENCH_TIMES, HEAP_AIM, "x malloc"),
	MOST("heap, 256 of 64 B to 4 KiB", "block/heap-mixed",
	     "block/glibc-mixed", BENCH_TIMES, HEAP_AIM, "x malloc"),
	MOST("heap, allocate and free 64 KiB", "block/heap-64k",
	     "block/glibc-64k", BENCH_TIMES, HEAP_AIM, "x malloc"),
	MOST("pool, acquire and release", "block/pool-64", "block/glibc-64",
	     BENCH_TIMES, POOL_AIM, "x malloc"),
	MOST("pool, 256 at once", "block/pool-many", "block/glibc-many",
	     BENCH_TIMES, POOL_AIM, "x malloc"),
	MOST("semaphore, wait and post", "sem/stoa", "sem/glibc", BENCH_TIMES,
	     SEMAPHORE_AIM, "x glibc"),
	MOST("semaphore in a file, wait and post", "sem/stoa-named",
	     "sem/glibc", BENCH_TIMES, SEMAPHORE_AIM, "x glibc"),
	LEAST("set, 1 semaphore", "semset/stoa-1", "semset/semop-1",
	      BENCH_FASTER, SEMAPHORE_SET_AIM, "x faster"),
	LEAST("set, 8 semaphores", "semset/stoa-8", "semset/semop-8",
	      BENCH_FASTER, SEMAPHORE_SET_AIM, "x faster"),
	LEAST("stream, 64 B", "rate64/stoa-stream", "rate64/pipe", BENCH_TIMES,
	      STREAM_PIPE_AIM, "x pipe"),
	LEAST("stream, 64 B, who waits may sleep",
	      "rate64/stoa-stream-sleeping", "rate64/pipe-sleeping",
	      BENCH_TIMES, STREAM_PIPE_AIM, "x pipe"),
	LEAST("stream, 64 B", "rate64/stoa-stream", "rate64/ring", BENCH_TIMES,
	      STREAM_RING_AIM, "x ring"),
	MOST("topic, 64 B one way", "latency/stoa-topic", NULL,
	     BENCH_TIMES_LINE, LATENCY_AIM, "x line"),
	LEAST("topic, 64 B, 1 to 1", "rate64/stoa-topic", NULL, BENCH_ABSOLUTE,
	      TOPIC_RATE_AIM, "M/s"),
	MOST("topic, 1 MiB loaned", "latency/stoa-topic-loan-1m",
	     "latency/stoa-topic", BENCH_TIMES, TOPIC_LOAN_AIM, "x 64 B"),
	MOST("topic, publish to 8", "topic/publish-8", "topic/publish-1",
	     BENCH_TIMES, TOPIC_FAN_AIM, "x to 1"),
	LEAST("stream, 64 KiB", "rate64k/stoa-stream", "rate64k/pipe",
	      BENCH_TIMES, STREAM_PIPE_BANDWIDTH_AIM, "x pipe"),
	LEAST("stream, 64 KiB", "rate64k/stoa-stream", "rate64k/ring",
	      BENCH_TIMES, BANDWIDTH_AIM, "x ring"),
	MOST("mutex, alone", "lock/stoa-mutex", "lock/glibc", BENCH_TIMES,
	     MUTEX_AIM, "x glibc"),
	MOST("mutex, alone, named", "lock/stoa-mutex-named", "lock/glibc",
	     BENCH_TIMES, MUTEX_AIM, "x glibc"),
	LEAST("mutex, 2 processes", "contend/stoa-2", "contend/glibc-2",
	      BENCH_TIMES, 1.0, "x glibc"),
	LEAST("mutex, 8 processes", "contend/stoa-8", "contend/glibc-8",
	      BENCH_TIMES, 1.0, "x glibc"),
	MOST("mutex, 2 processes: p99.9", "contend/stoa-2", "contend/glibc-2",
	     BENCH_TAIL, TAIL_AIM, "x glibc"),
	MOST("mutex, 8 processes: p99.9", "contend/stoa-8", "contend/glibc-8",
	     BENCH_TAIL, TAIL_AIM, "x glibc"),
	MOST("segment made to removed", "segment/stoa-4k", "segment/shm-4k",
	     BENCH_TIMES, SEGMENT_AIM, "x shm_open"),
	MOST("segment made to removed, written", "segment/stoa-4k-written",
	     "segment/shm-4k-written", BENCH_TIMES, SEGMENT_AIM,
	     "x shm_open"),
	MOST("segment of a pool, its memory discarded",
	     "segment/pool-4k-discarded", "segment/shm-4k-written",
	     BENCH_TIMES, SEGMENT_AIM, "x shm_open"),
	{ "range lock, beside 1 other", "range/stoa-1", { "range/fcntl-1" },
	  BENCH_FASTER, true, RANGE_AIM, "x faster" },
	{ "range lock, beside 30 others", "range/stoa-30", { "range/fcntl-30" },
	  BENCH_FASTER, true, RANGE_AIM, "x faster" },
	{ "range lock, beside 200 others", "range/stoa-200",
	  { "range/fcntl-200" }, BENCH_FASTER, true, RANGE_AIM, "x faster" },
	{ "range lock, beside 1,000 others", "range/stoa-1000",
	  { "range/fcntl-1000" }, BENCH_FASTER, true, RANGE_AIM, "x faster" },
	MOST("file lock, whole", "file-lock/stoa-whole", "file-lock/flock",
	     BENCH_TIMES, FILE_LOCK_AIM, "x flock"),
	MOST("file lock, a range", "file-lock/stoa-range", "file-lock/ofd",
	     BENCH_TIMES, FILE_LOCK_AIM, "x fcntl"),
	MOST("owner of 10 MiB killed", "heir/beyond-10M", NULL,
	     BENCH_ABSOLUTE, HEIR_NS_AIM, "ns after teardown"),
	MOST("owner of 1 GiB killed", "heir/beyond-1G", NULL,
	     BENCH_ABSOLUTE, HEIR_NS_AIM, "ns after teardown"),
	MOST("port, a call of 64 B, half of it", "latency/stoa-port", NULL,
	     BENCH_TIMES_LINE, PORT_AIM, "x line"),
	MOST("port, both asleep, two cores", "block2/stoa-port",
	     "block2/futex", BENCH_TIMES, PORT_BLOCK_AIM, "x futex"),
	MOST("port, both on one core", "block1/stoa-port", "block1/futex",
	     BENCH_TIMES, PORT_BLOCK_AIM, "x futex"),
	LEAST("port, 16 MiB from private memory", "port/copy-16m",
	      "port/memcpy-16m", BENCH_TIMES, BANDWIDTH_AIM, "x memcpy"),
	MOST("port, 16 MiB mapped", "port/loan-16m", "port/loan-64",
	     BENCH_TIMES, PORT_SIZE_AIM, "x 64 B"),
	MOST("CPU of a blocked receiver, 10 s", "idle/stoa", NULL,
	     BENCH_ABSOLUTE, IDLE_PERCENT_AIM, "% of a core"),
	LEAST("terminal, to a descriptor", "terminal/stoa", "terminal/bare",
	      BENCH_TIMES, TERMINAL_AIM, "x bare"),
	LEAST("descriptors, one, in one process", "descriptor/stoa-1",
	      "descriptor/bare-1", BENCH_FASTER, DESCRIPTOR_AIM, "x sendmsg"),
	LEAST("descriptors, 253, in one process", "descriptor/stoa-253",
	      "descriptor/bare-253", BENCH_FASTER, DESCRIPTOR_AIM,
	      "x sendmsg"),
	LEAST("descriptors, one, two cores", "descriptor/stoa-1-way",
	      "descriptor/bare-1-way", BENCH_FASTER, DESCRIPTOR_AIM,
	      "x sendmsg"),
	LEAST("drop-in: mq_send and mq_receive, one process", "dropin/mq-pair",
	      "dropin/mq-pair-kernel", BENCH_FASTER, DROPIN_PAIR_AIM,
	      "x faster"),
	LEAST("drop-in: mq, 64 B from one process to another",
	      "dropin/mq-stream", "dropin/mq-stream-kernel", BENCH_FASTER,
	      DROPIN_STREAM_AIM, "x faster"),
	LEAST("drop-in: mq, ping-pong on one core", "dropin/mq-ping-1",
	      "dropin/mq-ping-1-kernel", BENCH_FASTER, DROPIN_PING_AIM,
	      "x faster"),
	LEAST("drop-in: mq, ping-pong on two cores", "dropin/mq-ping-2",
	      "dropin/mq-ping-2-kernel", BENCH_FASTER, DROPIN_PING_AIM,
	      "x faster"),
	LEAST("drop-in: msgsnd and msgrcv, one process",
	      "dropin/msg-pair", "dropin/msg-pair-kernel", BENCH_FASTER,
	      DROPIN_PAIR_AIM, "x faster"),
	LEAST("drop-in: msgsnd, 64 B from one process to another",
	      "dropin/msg-stream", "dropin/msg-stream-kernel", BENCH_FASTER,
	      DROPIN_STREAM_AIM, "x faster"),
	LEAST("drop-in: msgsnd, ping-pong on one core",
	      "dropin/msg-ping-1", "dropin/msg-ping-1-kernel", BENCH_FASTER,
	      DROPIN_PING_AIM, "x faster"),
	LEAST("drop-in: msgsnd, ping-pong on two cores",
	      "dropin/msg-ping-2", "dropin/msg-ping-2-kernel", BENCH_FASTER,
	      DROPIN_PING_AIM, "x faster"),
	LEAST("drop-in: semop, nobody waits",
	      "dropin/semop", "dropin/semop-kernel", BENCH_FASTER,
	      DROPIN_STREAM_AIM, "x faster"),
	LEAST("drop-in: semop, ping-pong on one core",
	      "dropin/semop-ping-1", "dropin/semop-ping-1-kernel", BENCH_FASTER,
	      DROPIN_PING_AIM, "x faster"),
	LEAST("drop-in: semop, ping-pong on two cores",
	      "dropin/semop-ping-2", "dropin/semop-ping-2-kernel", BENCH_FASTER,
	      DROPIN_PING_AIM, "x faster"),
	LEAST("drop-in: sem_wait and sem_post, nobody waits", "dropin/sem",
	      "dropin/sem-kernel", BENCH_FASTER, DROPIN_SEM_AIM, "x libc's"),
	LEAST("drop-in: sem_wait, ping-pong on one core",
	      "dropin/sem-ping-1", "dropin/sem-ping-1-kernel", BENCH_FASTER,
	      DROPIN_PING_AIM, "x faster"),
	LEAST("drop-in: sem_wait, ping-pong on two cores",
	      "dropin/sem-ping-2", "dropin/sem-ping-2-kernel", BENCH_FASTER,
	      DROPIN_PING_AIM, "x faster"),
	LEAST("drop-in: shmget, shmat, shmdt, IPC_RMID", "dropin/shm-cycle",
	      "dropin/shm-cycle-kernel", BENCH_FASTER, DROPIN_CYCLE_AIM,
	      "x the kernel's"),
	LEAST("command run: /bin/true", "process/stoa-true",
	      "process/spawn-true", BENCH_FASTER, PROCESS_AIM,
	      "x posix_spawn"),
	LEAST("command run: /bin/true, by one of 2 GiB", "process/stoa-true-2g",
	      "process/spawn-true-2g", BENCH_FASTER, PROCESS_AIM,
	      "x posix_spawn"),
	LEAST("command run: cat, 1 MiB both ways", "process/stoa-cat-1m",
	      "process/spawn-cat-1m", BENCH_FASTER, PROCESS_AIM,
	      "x posix_spawn"),
};

const size_t bench_aims_count = sizeof(bench_aims) / sizeof(bench_aims[0]);
