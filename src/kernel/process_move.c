/* SPDX-License-Identifier: MIT */
/*
 * kernel/process_move.c: whoever waits for a command moves its bytes: between
 * pipes and streams, and between pipes and an exchange.
 *
 * One loop over one poll. A pipe's end that is the caller's is always waited for
 * before it is read or written, so nothing blocks in between and no two ends can
 * wait for each other. With a stream there are two to wait for, descriptor and
 * stream: first the descriptor, then the stream while the descriptor is ready,
 * else a poll that one of them satisfies would return for ever.
 *
 * The end: when a command has ended, what it wrote is all in its pipes; so many
 * bytes are counted then (FIONREAD), moved, and the pipe is closed. An heir may
 * write on, and isn't waited for, unless STOA_PROCESS_HEIRS.
 */
#include <base/deadline.h>
#include <base/futex.h>
#include <kernel/process_internal.h>

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

#define NS_PER_SECOND 1000000000
#define MOST_AT_ONCE (UINT64_C(1) << 20) /* so that all ends get their turn */
#define LIMIT_DEFAULT (UINT64_C(16) << 20)
#define PIPE_USUAL_BYTES 65536
#define PIPE_BYTES (1 << 17) /* what most programs write at once */
#define LEAST_ROOM 4096 /* what poll promises of a pipe that is writable */
#define MASK_BYTES 8
#define TERMINAL_MOST 65536 /* the kernel keeps 12 KiB */

/* ---- What is to be moved ----------------------------------------------------------- */

/* The ends that these calls are about; others are the caller's. */
static int is_ours(const struct process_end *end,
                   const struct stoa_process_exchange *exchange)
{
	if (end->fd < 0)
		return 0;
	if (end->stream)
		return 1;
	if (!exchange)
		return 0;
	return end->number <= STDERR_FILENO ||
	       (exchange->take && !end->child_reads);
}

/* Fewer sleeps and wakes for who moves more than the pipe holds. As it is, if
 * that isn't allowed. */
static void widen(struct process_end *end, uint64_t bytes)
{
	if (!end->widened && bytes >= PIPE_USUAL_BYTES) {
		stoa_system_call(SYS_fcntl, end->fd, F_SETPIPE_SZ, PIPE_BYTES,
		                 0, 0, 0);
		end->widened = 1;
	}
}

static short ready_events(const struct process_end *end)
{
	struct pollfd poll = { .fd = end->fd,
		               .events = end->child_reads ? POLLOUT : POLLIN };
	struct timespec none = { 0, 0 };

	return stoa_system_call(SYS_ppoll, (long)&poll, 1, (long)&none, 0, 0,
	                        0) > 0
	               ? poll.revents
	               : 0;
}

static void took(struct process_end *end, uint64_t bytes)
{
	if (!end->counted)
		return;
	end->left -= bytes < end->left ? bytes : end->left;
	if (end->left == 0)
		process_close_end(end);
}

/* ---- Streams ----------------------------------------------------------------------- */

/* It can't be moved now: which of the two is it waiting for? */
static void await_either(struct process_end *end)
{
	short events = ready_events(end);

	if (end->child_reads ? events & POLLERR
	                     : (events & POLLHUP) && !(events & POLLIN))
		process_close_end(end);
	else
		end->phase = events ? PROCESS_AWAIT_STREAM : PROCESS_AWAIT_FD;
}

static int move_stream(struct stoa_process *process, struct process_end *end)
{
	uint64_t most = MOST_AT_ONCE;
	int64_t moved;

	if (end->counted && end->left < most)
		most = end->left;
	process->broken |= end->child_reads; /* it may not tell */
	moved = end->child_reads ? stoa_stream_to_fd(end->stream, end->fd, most,
	                                             STOA_NOW)
	                         : stoa_stream_from_fd(end->stream, end->fd,
	                                               most, STOA_NOW);
	if (moved > 0) {
		end->phase = PROCESS_MOVE;
		widen(end, (uint64_t)moved);
		took(end, (uint64_t)moved);
	} else if (moved == -EAGAIN) {
		await_either(end);
	} else if (moved != -EINTR) {
		process_close_end(end);
		return moved == -EPIPE ? 0 : (int)moved;
	}
	return 0;
}

/* ---- What is given ------------------------------------------------------------------ */

/* 1: there are bytes in the chunk; 0: there will be none. */
static int fill_chunk(struct stoa_process *process,
                      struct stoa_process_exchange *exchange)
{
	ssize_t got;

	if (process->chunk_bytes > 0)
		return 1;
	if (process->given)
		return 0;
	if (!process->chunk)
		process->chunk = malloc(PROCESS_CHUNK);
	if (!process->chunk)
		return -ENOMEM;
	got = exchange->give(process->chunk, PROCESS_CHUNK, exchange->context);
	if (got < 0)
		return (int)got;
	process->given = got == 0;
	process->chunk_at = 0;
	process->chunk_bytes =
		(size_t)got < PROCESS_CHUNK ? (size_t)got : PROCESS_CHUNK;
	return got > 0;
}

/* Without blocking; before a poll, perhaps in vain. */
static ssize_t put(struct process_end *end, const void *data, size_t bytes)
{
	int unasked = end->phase == PROCESS_MOVE;
	struct iovec vector = { (void *)data, bytes };
	ssize_t result = stoa_system_call(SYS_pwritev2, end->fd, (long)&vector,
	                                  1, -1, -1, RWF_NOWAIT);

	end->phase = PROCESS_AWAIT_FD;
	if (result != -EOPNOTSUPP && result != -ENOSYS && result != -EINVAL)
		return result;
	if (unasked)
		return -EAGAIN;
	return stoa_sys_write(end->fd, data,
	                      bytes < LEAST_ROOM ? bytes : LEAST_ROOM);
}

static int give(struct stoa_process *process, struct process_end *end,
                struct stoa_process_exchange *exchange)
{
	const char *data = exchange->input;
	size_t bytes = exchange->input_bytes - exchange->taken_bytes;
	ssize_t result;

	if (exchange->give) {
		int there = fill_chunk(process, exchange);

		if (there < 0)
			return there;
		data = (const char *)process->chunk + process->chunk_at;
		bytes = process->chunk_bytes;
	} else if (bytes) {
		data += exchange->taken_bytes;
	}
	widen(end, bytes);
	result = bytes ? put(end, data, bytes) : 0;
	if (result == -EIO && end->terminal) {
		end->phase = PROCESS_AWAIT_FD;
		result = put(end, data, bytes); /* has nobody got it, really? */
	}
	if (result > 0) {
		exchange->taken_bytes += (size_t)result;
		if (exchange->give) {
			process->chunk_at += (size_t)result;
			process->chunk_bytes -= (size_t)result;
		}
		end->last = data[result - 1];
		bytes -= (size_t)result;
	}
	if (result == -EIO && end->terminal)
		result = -EPIPE;
	if (end->terminal && result != -EPIPE &&
	    (process->given || (bytes == 0 && !exchange->give))) {
		int typed = process_terminal_type_end(end);

		if (typed == 0)
			return 0;
		result = typed < 0 ? typed : 0;
	}
	if (result == -EPIPE || (bytes == 0 && !exchange->give) ||
	    process->given)
		process_close_end(end);
	process->broken |= result == -EPIPE;
	if (result == -EPIPE || result == -EAGAIN || result == -EINTR)
		return 0;
	return result < 0 ? (int)result : 0;
}

/* ---- What is taken ------------------------------------------------------------------ */

struct gathering {
	char **text;
	size_t *bytes, *room;
};

static struct gathering gathering_of(struct stoa_process_exchange *exchange,
                                     int number)
{
	if (number == STDOUT_FILENO)
		return (struct gathering){ &exchange->output,
			                   &exchange->output_bytes,
			                   &exchange->output_room };
	return (struct gathering){ &exchange->error, &exchange->error_bytes,
		                   &exchange->error_room };
}

/* Room for a chunk, or what is left of the limit, and for a NUL. */
static int make_room(struct gathering *to, uint64_t limit)
{
	size_t least = *to->bytes + PROCESS_CHUNK, room;
	char *text;

	if (least > limit)
		least = (size_t)limit;
	if (*to->room > least)
		return 0;
	room = least + *to->room;
	if (room > limit)
		room = (size_t)limit;
	text = realloc(*to->text, room + 1);
	if (!text)
		return -ENOMEM;
	*to->text = text;
	*to->room = room + 1;
	return 0;
}

/* A terminal that nobody has open says EIO; and may say so of one that was closed
 * just after it was written, the first time. */
static ssize_t read_end(struct stoa_process *process, struct process_end *end,
                        void *to, size_t most)
{
	ssize_t got = stoa_sys_read(end->fd, to, most);

	if (!end->terminal)
		return got;
	if (got == -EIO)
		got = stoa_sys_read(end->fd, to, most);
	end->phase = end->counted ? PROCESS_MOVE : PROCESS_AWAIT_FD;
	if (got == -EAGAIN && end->counted)
		return 0;
	if (got != -EIO)
		return got;
	int result = end->over ? 0 : process_terminal_hold(process, end->fd);
	return end->over || result < 0 ? result : -EAGAIN;
}

static int gather(struct stoa_process *process, struct process_end *end,
                  struct stoa_process_exchange *exchange)
{
	struct gathering to = gathering_of(exchange, end->number);
	uint64_t limit = exchange->limit_bytes ?: LIMIT_DEFAULT, most;
	int result = make_room(&to, limit);
	ssize_t got;

	if (result < 0)
		return result;
	most = *to.room - 1 - *to.bytes;
	if (most == 0 && (ready_events(end) & POLLIN))
		return -EMSGSIZE;
	if (end->counted && end->left < most)
		most = end->left;
	got = most ? read_end(process, end, *to.text + *to.bytes, most) : 0;
	if (got == -EAGAIN || got == -EINTR)
		return 0;
	if (got < 0)
		return (int)got;
	*to.bytes += (size_t)got;
	(*to.text)[*to.bytes] = '\0';
	widen(end, (uint64_t)got);
	if (got == 0)
		process_close_end(end);
	else
		took(end, (uint64_t)got);
	return 0;
}

static int hand_over(struct stoa_process *process, struct process_end *end,
                     struct stoa_process_exchange *exchange)
{
	size_t most = PROCESS_CHUNK;
	ssize_t got;
	int result;

	if (!process->taking)
		process->taking = malloc(PROCESS_CHUNK);
	if (!process->taking)
		return -ENOMEM;
	if (end->counted && end->left < most)
		most = (size_t)end->left;
	got = read_end(process, end, process->taking, most);
	if (got == -EAGAIN || got == -EINTR)
		return 0;
	if (got < 0)
		return (int)got;
	result = got > 0 ? exchange->take(end->number, process->taking,
	                                  (size_t)got, exchange->context)
	                 : 0;
	widen(end, (uint64_t)got);
	if (got == 0)
		process_close_end(end);
	else
		took(end, (uint64_t)got);
	return result < 0 ? result : 0;
}

static int move_end(struct stoa_process *process, struct process_end *end,
                    struct stoa_process_exchange *exchange, short events)
{
	if (end->stream)
		return move_stream(process, end);
	if (end->child_reads)
		return give(process, end, exchange);
	if (events && !(events & POLLIN) && !end->terminal) {
		process_close_end(end); /* end of file */
		return 0;
	}
	return exchange->take ? hand_over(process, end, exchange)
	                      : gather(process, end, exchange);
}

/* ---- The loop ----------------------------------------------------------------------- */

struct loop {
	struct stoa_process *process;
	struct stoa_process_exchange *exchange;
	struct stoa_deadline deadline;
	nfds_t count; /* of polls */
	int busy; /* an end needs no waiting for */
	int ended; /* somebody has, as far as is known */
	int open; /* how many ends are to be moved */
};

/* Its command has ended: what is still to come is there. */
static void count_what_is_left(struct process_end *end)
{
	int bytes = 0;

	if (end->counted)
		return;
	end->counted = 1;
	if (end->terminal) {
		/* The kernel counts a part of it only; but a read that doesn't
		 * wait fails once there is no more. An heir may write on. */
		end->left = end->child_reads ? 0 : TERMINAL_MOST;
		end->phase = PROCESS_MOVE;
		if (end->left == 0)
			process_close_end(end);
		return;
	}
	if (!end->child_reads && stoa_system_call(SYS_ioctl, end->fd, FIONREAD,
	                                          (long)&bytes, 0, 0, 0) < 0)
		bytes = 0;
	end->left = bytes > 0 ? (uint64_t)bytes : 0;
	if (end->left == 0)
		process_close_end(end);
}

/* 1: all have ended and all is moved. */
static int take_stock(struct loop *loop)
{
	struct stoa_process *process = loop->process;
	int finished = 1;

	loop->open = 0;
	for (size_t i = 0; i < process->count; i++) {
		int result = loop->ended ? process_reap(process,
		                                        &process->member[i], 0)
		                         : 0;

		if (result < 0 && result != -ECHILD && result != -EINTR)
			return stoa_fail(result, "waiting for command %s: %s",
			                 process->member[i].name,
			                 strerror(-result));
		finished &= process->member[i].ended;
	}
	for (size_t i = 0; i < process->end_count; i++) {
		struct process_end *end = &process->ends[i];

		if (!is_ours(end, loop->exchange))
			continue;
		if (end->terminal && finished) {
			process_terminal_release(process);
			end->over = 1;
		}
		if ((end->terminal ? finished
		                   : process->member[end->member].ended) &&
		    !(process->flags & STOA_PROCESS_HEIRS))
			count_what_is_left(end);
		loop->open += end->fd >= 0;
	}
	return finished && !loop->open;
}

static struct pollfd *add_poll(struct loop *loop, int fd, short events)
{
	struct pollfd *poll = &loop->process->polls[loop->count++];

	*poll = (struct pollfd){ .fd = fd, .events = events };
	return poll;
}

/* Two places for each end, so that they are found again. */
static int list_polls(struct loop *loop)
{
	struct stoa_process *process = loop->process;

	loop->count = 0;
	loop->busy = 0;
	for (size_t i = 0; i < process->end_count; i++) {
		struct process_end *end = &process->ends[i];
		int ours = is_ours(end, loop->exchange), stream = -1;
		short events = end->child_reads ? POLLOUT : POLLIN;

		if (ours && end->phase == PROCESS_AWAIT_STREAM) {
			stream = stoa_stream_pollfd(
				end->stream,
				end->child_reads ? STOA_READ : STOA_WRITE);
			if (stream < 0)
				return stream;
			events = 0;
		}
		if (ours && end->phase == PROCESS_MOVE)
			loop->busy = 1;
		/* poll(2) tells of an error whether asked or not */
		if (!ours || (stream >= 0 && !end->child_reads))
			add_poll(loop, -1, 0);
		else
			add_poll(loop, end->fd, events);
		add_poll(loop, stream, POLLIN);
	}
	for (size_t i = 0; i < process->count; i++)
		if (!process->member[i].ended)
			add_poll(loop, process->member[i].pidfd, POLLIN);
	return 0;
}

/* Moves what the poll said is ready. */
static int move_ready(struct loop *loop)
{
	struct stoa_process *process = loop->process;

	for (size_t i = 0; i < process->end_count; i++) {
		const struct pollfd *polls = &process->polls[2 * i];
		struct process_end *end = &process->ends[i];
		int result;

		if (!is_ours(end, loop->exchange) ||
		    (end->phase != PROCESS_MOVE && !polls[0].revents &&
		     !polls[1].revents))
			continue;
		result = move_end(process, end, loop->exchange,
		                  polls[0].revents);
		if (result == -EMSGSIZE)
			return stoa_fail(result,
			                 "command %s writes more than "
			                 "limit_bytes to %d: raise it, or take "
			                 "what there is by a callback",
			                 process->member[end->member].name,
			                 end->number);
		if (result < 0)
			return result;
	}
	return 0;
}

/* What may be ready, and doesn't block if it isn't. */
static int move_unasked(struct loop *loop)
{
	struct stoa_process *process = loop->process;
	int result = 0;

	for (size_t i = 0; i < process->end_count && result >= 0; i++)
		if (is_ours(&process->ends[i], loop->exchange) &&
		    process->ends[i].phase == PROCESS_MOVE)
			result = move_end(process, &process->ends[i],
			                  loop->exchange, 0);
	return result;
}

static int poll_all(struct loop *loop, int64_t left)
{
	/* The clock may be set. */
	if (loop->deadline.clock != CLOCK_MONOTONIC && left > STOA_SLICE_NS)
		left = STOA_SLICE_NS;
	if (loop->busy)
		left = 0;
	struct timespec time = { left / NS_PER_SECOND, left % NS_PER_SECOND };
	long result =
		stoa_system_call(SYS_ppoll, (long)loop->process->polls,
	                         (long)loop->count,
	                         left == INT64_MAX ? 0 : (long)&time, 0, 0, 0);

	if (result == -EINTR && !(loop->process->flags & STOA_INTERRUPTIBLE)) {
		for (nfds_t i = 0; i < loop->count; i++)
			loop->process->polls[i].revents = 0;
		return 0;
	}
	if (result < 0)
		return (int)result;
	loop->ended = left == 0;
	for (nfds_t i = 2 * loop->process->end_count; i < loop->count; i++)
		loop->ended |= loop->process->polls[i].revents;
	return 0;
}

/* Nothing to move, and no hurry: the kernel waits for one after the other. */
static int wait_for_all(struct stoa_process *process)
{
	for (size_t i = 0; i < process->count; i++) {
		int result = process_reap(process, &process->member[i], 1);

		if (result == -EINTR && !(process->flags & STOA_INTERRUPTIBLE))
			i--;
		else if (result < 0 && result != -ECHILD)
			return result;
	}
	return 0;
}

static int move_or_wait(struct loop *loop, int64_t left)
{
	int result = list_polls(loop);

	if (result == 0)
		result = poll_all(loop, left);
	return result < 0 ? result : move_ready(loop);
}

static int run_loop(struct loop *loop)
{
	int result = move_unasked(loop);

	while (result >= 0) {
		int64_t left;

		result = take_stock(loop);
		if (result != 0)
			break;
		if (!loop->open && loop->deadline.kind == STOA_DEADLINE_FOREVER)
			return wait_for_all(loop->process);
		left = stoa_deadline_left(loop->deadline);
		result = move_or_wait(loop, left);
		if (result < 0 || left > 0)
			continue;
		result = take_stock(loop);
		if (result == 0)
			result = stoa_deadline_result(loop->deadline);
		break;
	}
	return result < 0 ? result : 0;
}

/* ---- Without SIGPIPE ----------------------------------------------------------------- */

/* A command that doesn't read its input to the end is no reason to die. Blocked
 * in this thread meanwhile, and taken away if it came. */
static int loop_without_signal(struct loop *loop)
{
	const uint64_t pipe = UINT64_C(1) << (SIGPIPE - 1);
	const struct timespec none = { 0, 0 };
	uint64_t before = 0, pending = 0;
	long blocked =
		stoa_system_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&pipe,
	                         (long)&before, MASK_BYTES, 0, 0);

	if (blocked < 0)
		return (int)blocked;
	/* One that isn't blocked can't be pending. */
	if (before & pipe)
		stoa_system_call(SYS_rt_sigpending, (long)&pending, MASK_BYTES,
		                 0, 0, 0, 0);
	int result = run_loop(loop);
	if (loop->process->broken && !(pending & pipe))
		while (stoa_system_call(SYS_rt_sigtimedwait, (long)&pipe, 0,
		                        (long)&none, MASK_BYTES, 0,
		                        0) == -EINTR)
			;
	if (!(before & pipe))
		stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before,
		                 0, MASK_BYTES, 0, 0);
	return result;
}

/* Whether bytes may be written to a pipe. */
static int feeds(const struct process_end *end,
                 const struct stoa_process_exchange *exchange)
{
	return end->child_reads &&
	       (end->stream || exchange->give ||
	        exchange->input_bytes > exchange->taken_bytes);
}

int process_settle(struct stoa_process *process,
                   struct stoa_process_exchange *exchange,
                   struct stoa_deadline deadline)
{
	struct loop loop = { .process = process,
		             .exchange = exchange,
		             .deadline = deadline };
	int fed = 0;

	for (size_t i = 0; i < process->end_count; i++) {
		const struct process_end *end = &process->ends[i];

		fed |= is_ours(end, exchange) && feeds(end, exchange);
	}
	return fed ? loop_without_signal(&loop) : run_loop(&loop);
}

/* ---- Exchange ------------------------------------------------------------------------ */

int process_check_exchange(const struct stoa_process *process,
                           const struct stoa_process_exchange *exchange)
{
	uint64_t reserved;

	if (!exchange)
		return 0;
	if (exchange->size != sizeof *exchange)
		return stoa_fail(-EINVAL,
		                 "exchange with command %s: size must be "
		                 "sizeof(struct stoa_process_exchange)",
		                 process->member[0].name);
	reserved = exchange->reserved;
	for (int i = 0; i < 4; i++)
		reserved |= exchange->reserved_more[i];
	if (reserved || (!exchange->input && exchange->input_bytes) ||
	    exchange->taken_bytes >
	            (exchange->give ? UINT64_MAX : exchange->input_bytes))
		return stoa_fail(
			-EINVAL,
			"exchange with command %s: reserved fields must "
			"be zero, and input_bytes those of input",
			process->member[0].name);
	return 0;
}

void stoa_process_exchange_fini(struct stoa_process_exchange *exchange)
{
	free(exchange->output);
	free(exchange->error);
	exchange->output = exchange->error = NULL;
	exchange->output_bytes = exchange->error_bytes = 0;
	exchange->output_room = exchange->error_room = 0;
}
