/* SPDX-License-Identifier: MIT */
/*
 * 64 KiB moved between a ring in shared memory and a descriptor: stoa's stream,
 * which lets the kernel copy (read, write), and the kernel's ways without a copy
 * (vmsplice, splice) on a ring of a file on tmpfs. One process fills and drains
 * what the descriptor leads to, the same in each pair of rows. The ring's bytes
 * are in the caches, as those of a stream that is read soon are.
 *
 * "unsafe" ways leave the ring's pages in the pipe or the socket when they
 * return; they are no choice, see src/data/stream_move.c, and show what it costs
 * to be safe. "given up" makes that safe by taking the pages from the ring.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE 65536
#define RING (16 * PIECE)
#define MOVE_MS 60

enum target { TO_PIPE, TO_SOCKET, TO_FILE, TO_NULL };

struct move {
	enum target target;
	struct stoa_space *space;
	struct stoa_stream *stream;
	int in, out;   /* of what the descriptor is: the same for a file */
	int way[2];    /* a pipe to splice by */
	int ring_fd;
	char *ring, *buffer;
	size_t at;     /* in the ring */
	uint64_t duration;
	int (*piece)(struct move *);
};

/* ---- The far side --------------------------------------------------------------- */

static int fill(struct move *move)
{
	if (move->target == TO_FILE)
		return lseek(move->in, 0, SEEK_SET) ? -errno : 0;
	return write(move->out, move->buffer, PIECE) == PIECE ? 0 : -EIO;
}

static int drain(struct move *move)
{
	size_t got = 0;

	if (move->target == TO_NULL)
		return 0;
	if (move->target == TO_FILE)
		return lseek(move->out, 0, SEEK_SET) ? -errno : 0;
	while (got < PIECE) {
		ssize_t more = read(move->in, move->buffer, PIECE - got);

		if (more <= 0)
			return -EIO;
		got += (size_t)more;
	}
	return 0;
}

/* ---- stoa ------------------------------------------------------------------------ */

/* What is reserved and not written is as old as what a writer wrote. */
static int stoa_to(struct move *move)
{
	struct stoa_region region;
	int result = stoa_stream_reserve(move->stream, PIECE, STOA_NOW,
	                                 &region);

	if (!result)
		result = stoa_stream_commit(move->stream, PIECE);
	if (result)
		return result;
	return stoa_stream_to_fd(move->stream, move->out, PIECE,
	                         STOA_FOREVER) == PIECE ?
	               drain(move) :
	               -EIO;
}

static int stoa_from(struct move *move)
{
	struct stoa_region region;
	int result = fill(move);

	if (result)
		return result;
	if (stoa_stream_from_fd(move->stream, move->in, PIECE, STOA_FOREVER) !=
	            PIECE ||
	    stoa_stream_peek(move->stream, PIECE, STOA_NOW, &region) < PIECE)
		return -EIO;
	return stoa_stream_consume(move->stream, PIECE);
}

/* ---- The kernel, without a copy ---------------------------------------------------- */

static char *next(struct move *move)
{
	char *data = move->ring + move->at;

	move->at = (move->at + PIECE) % RING;
	return data;
}

static int into_pipe(int pipe, char *data)
{
	struct iovec vector = { data, PIECE };

	return vmsplice(pipe, &vector, 1, 0) == PIECE ? 0 : -EIO;
}

static int along(int from, int to, loff_t *place)
{
	size_t moved = 0;

	while (moved < PIECE) {
		ssize_t more = splice(from, NULL, to, place, PIECE - moved, 0);

		if (more <= 0)
			return -EIO;
		moved += (size_t)more;
	}
	return 0;
}

static int splice_to(struct move *move)
{
	int result = into_pipe(move->target == TO_PIPE ? move->out :
	                                                 move->way[1],
	                       next(move));

	if (!result && move->target != TO_PIPE)
		result = along(move->way[0], move->out, NULL);
	return result ? result : drain(move);
}

/* The pages stay with the pipe, and the ring gets others before it is written
 * again, as a stream's memory is always there. */
static int give_up(struct move *move)
{
	loff_t place = (loff_t)move->at;
	char *data = next(move);
	int result = into_pipe(move->out, data);

	if (!result &&
	    (fallocate(move->ring_fd,
	               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, place,
	               PIECE) ||
	     fallocate(move->ring_fd, 0, place, PIECE)))
		result = -errno;
	for (size_t i = 0; i < PIECE; i += 4096)
		data[i] = 1;
	return result ? result : drain(move);
}

static int splice_from(struct move *move)
{
	loff_t place = (loff_t)move->at;
	int result = fill(move);

	next(move);
	if (result)
		return result;
	if (move->target == TO_PIPE)
		return along(move->in, move->ring_fd, &place);
	result = along(move->in, move->way[1], NULL);
	return result ? result : along(move->way[0], move->ring_fd, &place);
}

/* ---- Opening ------------------------------------------------------------------------- */

static int open_stream(struct move *move)
{
	struct stoa_stream_attributes attributes = {
		.size = sizeof(attributes), .capacity = RING
	};
	int result = stoa_space_open(bench_setup.space, 0, &move->space);

	return result ? result :
	                stoa_stream_open(move->space, NULL,
	                                 STOA_CREATE | STOA_READ | STOA_WRITE,
	                                 0600, &attributes, STOA_NOW,
	                                 &move->stream);
}

static int open_ring(struct move *move)
{
	move->buffer = calloc(1, PIECE);
	move->ring_fd = memfd_create("ring", MFD_CLOEXEC);
	if (!move->buffer || ftruncate(move->ring_fd, RING))
		return -ENOMEM;
	move->ring = mmap(NULL, RING, PROT_READ | PROT_WRITE, MAP_SHARED,
	                  move->ring_fd, 0);
	if (move->ring == MAP_FAILED)
		return -errno;
	memset(move->ring, 1, RING);
	if (pipe2(move->way, O_CLOEXEC) ||
	    fcntl(move->way[1], F_SETPIPE_SZ, RING) < 0)
		return -errno;
	return 0;
}

static int open_target(struct move *move)
{
	int fds[2], room = RING;

	switch (move->target) {
	case TO_PIPE:
		if (pipe2(fds, O_CLOEXEC) ||
		    fcntl(fds[1], F_SETPIPE_SZ, RING) < 0)
			return -errno;
		break;
	case TO_SOCKET:
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ||
		    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room,
		               sizeof(room)))
			return -errno;
		break;
	case TO_FILE:
		fds[0] = fds[1] = memfd_create("file", MFD_CLOEXEC);
		if (write(fds[0], move->buffer, PIECE) != PIECE)
			return -EIO;
		break;
	default:
		fds[0] = fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	move->in = fds[0];
	move->out = fds[1];
	return 0;
}

/* ---- Measuring -------------------------------------------------------------------------- */

static int play(void *context, struct bench_part *part, int index)
{
	struct move *move = context;
	uint32_t samples = 0;
	uint64_t end;
	int result = open_ring(move);

	(void)index;
	if (!result)
		result = open_stream(move);
	if (!result)
		result = open_target(move);
	bench_ready();
	end = bench_tick() + move->duration;
	while (!result && samples < BENCH_SAMPLES) {
		uint64_t first = bench_tick();

		if (first >= end)
			break;
		result = move->piece(move);
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	}
	part->messages = samples;
	bench_shared->samples = samples;
	stoa_stream_close(move->stream);
	stoa_space_close(move->space);
	return result ? bench_fail(part, result, "moving bytes") : 0;
}

static int measure(const struct bench_row *row, struct bench_result *result,
                   enum target target, int (*piece)(struct move *))
{
	struct move move = { .target = target, .piece = piece };
	struct bench_role role = { 0, play };
	int failure;

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	move.duration = bench_duration_ticks(MOVE_MS);
	failure = bench_play(&role, 1, &move);
	if (failure)
		return failure;
	bench_percentiles(result, 1);
	bench_account(row, 1, (double)bench_shared->part[0].messages, result);
	return 0;
}

#define WAY(name, target, piece)                                        \
	static int name(const struct bench_row *row,                    \
	                struct bench_result *result)                    \
	{                                                               \
		return measure(row, result, target, piece);             \
	}
WAY(to_pipe, TO_PIPE, stoa_to)
WAY(to_pipe_splice, TO_PIPE, splice_to)
WAY(to_pipe_give_up, TO_PIPE, give_up)
WAY(to_socket, TO_SOCKET, stoa_to)
WAY(to_socket_splice, TO_SOCKET, splice_to)
WAY(to_file, TO_FILE, stoa_to)
WAY(to_file_splice, TO_FILE, splice_to)
WAY(to_null, TO_NULL, stoa_to)
WAY(to_null_splice, TO_NULL, splice_to)
WAY(from_pipe, TO_PIPE, stoa_from)
WAY(from_pipe_splice, TO_PIPE, splice_from)
WAY(from_socket, TO_SOCKET, stoa_from)
WAY(from_socket_splice, TO_SOCKET, splice_from)
WAY(from_file, TO_FILE, stoa_from)
WAY(from_file_splice, TO_FILE, splice_from)

#define ROW(name, what, base, kind, way)                             \
	{                                                            \
		"move/" name, what, base, BENCH_MOVE, kind,          \
		BENCH_UNIT_NS, way, { .bytes = PIECE, .alone = true } \
	}
#define PAIR(name, what, way)                                             \
	ROW(name "-splice", what, NULL, BENCH_KERNEL, way##_splice),      \
	ROW(name "-stoa", "stoa, copied", "move/" name "-splice", BENCH_STOA, \
	    way)

static const struct bench_row rows[] = {
	ROW("to-pipe-given-up", "vmsplice, pages given up", NULL, BENCH_KERNEL,
	    to_pipe_give_up),
	PAIR("to-pipe", "vmsplice, unsafe", to_pipe),
	PAIR("to-socket", "vmsplice, splice, unsafe", to_socket),
	PAIR("to-file", "vmsplice, splice", to_file),
	PAIR("to-null", "vmsplice, splice", to_null),
	PAIR("from-pipe", "splice into the ring's file", from_pipe),
	PAIR("from-socket", "splice by a pipe", from_socket),
	PAIR("from-file", "splice by a pipe", from_file),
};

BENCH_ADD(rows)
