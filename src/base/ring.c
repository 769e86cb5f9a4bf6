/* SPDX-License-Identifier: MIT */
/* base/ring.c: sleeping on a word and a descriptor at once. */
#include <base/deadline.h>
#include <base/futex.h>
#include <base/ring.h>
#include <base/system.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NS_PER_SECOND INT64_C(1000000000)
#define ENTRIES 4u

/* What headers older than the kernel lack. */
#define RING_SETUP_SINGLE_ISSUER (1u << 12)
#define RING_SETUP_NO_SQARRAY (1u << 16)
#define RING_OP_FUTEX_WAIT 51
#define FUTEX2_32BIT 2
#define FUTEX_MATCH_ANY 0xffffffffu

#define RESTARTSYS 512 /* the kernel's own: a call that a signal interrupted */

enum { ABOUT_WORD = 1, ABOUT_FD, ABOUT_CANCEL, ABOUT_OPEN };

struct stoa_ring {
	int fd;
	char *rings; /* head, tail and completions; shared with the kernel */
	size_t ring_bytes;
	struct io_uring_sqe *entries;
	size_t entry_bytes;
	struct io_uring_params params;
	unsigned to_submit;
	int word_asked, fd_asked; /* the kernel has yet to answer */
	int word_told, fd_told;   /* it has */
	int open_asked, open_result;
};

static _Atomic uint32_t *shared(struct stoa_ring *ring, uint32_t offset)
{
	return (_Atomic uint32_t *)(ring->rings + offset);
}

int stoa_ring_open(struct stoa_ring **ret_ring)
{
	struct stoa_ring *ring = calloc(1, sizeof *ring);
	void *address;
	int result;

	if (!ring)
		return -ENOMEM;
	ring->params.flags = RING_SETUP_SINGLE_ISSUER | RING_SETUP_NO_SQARRAY;
	ring->fd = (int)stoa_system_call(SYS_io_uring_setup, ENTRIES,
	                                 (long)&ring->params, 0, 0, 0, 0);
	result = ring->fd;
	if (result < 0)
		goto free;
	ring->ring_bytes = ring->params.cq_off.cqes +
	                   ring->params.cq_entries *
	                           sizeof(struct io_uring_cqe);
	result = stoa_sys_mmap(NULL, ring->ring_bytes, PROT_READ | PROT_WRITE,
	                       MAP_SHARED, ring->fd, IORING_OFF_SQ_RING,
	                       &address);
	if (result < 0)
		goto close;
	ring->rings = address;
	ring->entry_bytes = ring->params.sq_entries *
	                    sizeof(struct io_uring_sqe);
	result = stoa_sys_mmap(NULL, ring->entry_bytes, PROT_READ | PROT_WRITE,
	                       MAP_SHARED, ring->fd, IORING_OFF_SQES, &address);
	if (result < 0)
		goto unmap;
	ring->entries = address;
	*ret_ring = ring;
	return 0;

unmap:
	stoa_sys_munmap(ring->rings, ring->ring_bytes);
close:
	stoa_sys_close(ring->fd);
free:
	free(ring);
	return result;
}

void stoa_ring_close(struct stoa_ring *ring)
{
	if (!ring)
		return;
	stoa_sys_munmap(ring->entries, ring->entry_bytes);
	stoa_sys_munmap(ring->rings, ring->ring_bytes);
	stoa_sys_close(ring->fd);
	free(ring);
}

static void submit(struct stoa_ring *ring, const struct io_uring_sqe *entry)
{
	_Atomic uint32_t *tail = shared(ring, ring->params.sq_off.tail);
	uint32_t at = atomic_load_explicit(tail, memory_order_relaxed);

	ring->entries[at & (ring->params.sq_entries - 1)] = *entry;
	/* release: pairs with the kernel's acquire in enter() */
	atomic_store_explicit(tail, at + 1, memory_order_release);
	ring->to_submit++;
}

static void ask_word(struct stoa_ring *ring, _Atomic uint32_t *word,
                     uint32_t value)
{
	struct io_uring_sqe entry = { .opcode = RING_OP_FUTEX_WAIT,
		                      .fd = FUTEX2_32BIT,
		                      .off = value,
		                      .addr = (uintptr_t)word,
		                      .user_data = ABOUT_WORD };

	entry.addr3 = FUTEX_MATCH_ANY;
	submit(ring, &entry);
	ring->word_asked = 1;
	ring->word_told = 0;
}

static void ask_fd(struct stoa_ring *ring, int fd)
{
	struct io_uring_sqe entry = { .opcode = IORING_OP_POLL_ADD,
		                      .fd = fd,
		                      .poll32_events = POLLIN,
		                      .user_data = ABOUT_FD };

	submit(ring, &entry);
	ring->fd_asked = 1;
	ring->fd_told = 0;
}

static int enter(struct stoa_ring *ring, int64_t timeout_ns)
{
	struct timespec timeout = { timeout_ns / NS_PER_SECOND,
		                    timeout_ns % NS_PER_SECOND };
	struct io_uring_getevents_arg argument = {
		.ts = timeout_ns < 0 ? 0 : (uintptr_t)&timeout
	};
	long result = stoa_system_call(
	        SYS_io_uring_enter, ring->fd, ring->to_submit, 1,
	        IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (long)&argument,
	        sizeof argument);

	if (result >= 0)
		ring->to_submit -= (unsigned)result;
	return result < 0 ? (int)result : 0;
}

/* Returns the word's answer, if it has come: 0 woken, -EAGAIN, other. */
static void reap(struct stoa_ring *ring, int *ret_word_result)
{
	_Atomic uint32_t *head = shared(ring, ring->params.cq_off.head);
	/* acquire: pairs with the kernel's release of what it tells */
	uint32_t tail = atomic_load_explicit(
	        shared(ring, ring->params.cq_off.tail), memory_order_acquire);
	const struct io_uring_cqe *told =
	        (const void *)(ring->rings + ring->params.cq_off.cqes);
	uint32_t at = atomic_load_explicit(head, memory_order_relaxed);

	for (; at != tail; at++) {
		const struct io_uring_cqe *one =
		        &told[at & (ring->params.cq_entries - 1)];

		if (one->user_data == ABOUT_WORD) {
			ring->word_asked = 0;
			ring->word_told = 1;
			*ret_word_result = one->res;
		} else if (one->user_data == ABOUT_FD) {
			ring->fd_asked = 0;
			ring->fd_told = 1;
		} else if (one->user_data == ABOUT_OPEN) {
			ring->open_asked = 0;
			ring->open_result = one->res;
		}
	}
	atomic_store_explicit(head, at, memory_order_release);
}

/* A wake that comes meanwhile is this sleeper's: it is told, not lost. */
static void take_word_back(struct stoa_ring *ring, int *ret_word_result)
{
	struct io_uring_sqe entry = { .opcode = IORING_OP_ASYNC_CANCEL,
		                      .fd = -1,
		                      .addr = ABOUT_WORD,
		                      .user_data = ABOUT_CANCEL };

	submit(ring, &entry);
	while (ring->word_asked) {
		int result = enter(ring, -1);

		if (result < 0 && result != -EINTR)
			return;
		reap(ring, ret_word_result);
	}
}

int stoa_ring_wait(struct stoa_ring *ring, _Atomic uint32_t *word,
                   uint32_t value, int fd, int64_t timeout_ns)
{
	int told = -ECANCELED;
	int result;

	ask_word(ring, word, value);
	if (fd >= 0 && !ring->fd_asked)
		ask_fd(ring, fd);
	ring->fd_told = 0;
	result = enter(ring, timeout_ns);
	reap(ring, &told);
	if (ring->word_asked)
		take_word_back(ring, &told);
	if (told == -EINVAL || told == -EOPNOTSUPP)
		return -ENOSYS;
	if (ring->fd_told)
		return 1;
	if (told == 0 || told == -EAGAIN)
		return 0;
	return result == -EINTR ? -EINTR : -ETIMEDOUT;
}

/* ---- Opening ---------------------------------------------------------------- */

/* ASYNC: else the kernel would try it with O_NONBLOCK first, which is another
 * thing for a FIFO. */
static void ask_open(struct stoa_ring *ring, const char *path, int flags)
{
	struct io_uring_sqe entry = { .opcode = IORING_OP_OPENAT,
		                      .flags = IOSQE_ASYNC,
		                      .fd = AT_FDCWD,
		                      .addr = (uintptr_t)path,
		                      .open_flags = (uint32_t)(flags |
		                                               O_CLOEXEC),
		                      .user_data = ABOUT_OPEN };

	submit(ring, &entry);
	ring->open_asked = 1;
}

/* What was submitted last, and the kernel hasn't looked at: it does so only when
 * it is entered. */
static void withdraw(struct stoa_ring *ring)
{
	_Atomic uint32_t *tail = shared(ring, ring->params.sq_off.tail);

	atomic_store_explicit(tail,
	                      atomic_load_explicit(tail, memory_order_relaxed) -
	                              1,
	                      memory_order_release);
	ring->to_submit--;
	ring->open_asked = 0;
}

/* The kernel interrupts the open, and answers for it in any case. */
static void take_open_back(struct stoa_ring *ring)
{
	struct io_uring_sqe entry = { .opcode = IORING_OP_ASYNC_CANCEL,
		                      .fd = -1,
		                      .addr = ABOUT_OPEN,
		                      .user_data = ABOUT_CANCEL };
	int word;

	submit(ring, &entry);
	while (ring->open_asked) {
		int result = enter(ring, -1);

		reap(ring, &word);
		if (result < 0 && result != -EINTR && result != -EAGAIN &&
		    result != -EBUSY)
			return;
	}
}

int stoa_ring_open_path(struct stoa_ring *ring, const char *path, int flags,
                        struct stoa_deadline deadline, int interruptible)
{
	int result, word;

	ring->open_result = -ECANCELED;
	ask_open(ring, path, flags);
	/* Alone: an enter that has submitted something tells of no signal. */
	result = (int)stoa_system_call(SYS_io_uring_enter, ring->fd,
	                               ring->to_submit, 0, 0, 0, 0);
	if (result < 0) {
		withdraw(ring);
		return result;
	}
	ring->to_submit -= (unsigned)result;
	result = 0;
	while (ring->open_asked) {
		int64_t left = stoa_deadline_left(deadline);

		if (left == 0)
			result = -ETIMEDOUT;
		if (result < 0)
			break;
		/* A clock that may be set is looked at each slice. */
		if (deadline.clock == CLOCK_REALTIME && left > STOA_SLICE_NS)
			left = STOA_SLICE_NS;
		result = enter(ring, left == INT64_MAX ? -1 : left);
		reap(ring, &word);
		if (result == -ETIME || (result == -EINTR && !interruptible))
			result = 0;
	}
	if (ring->open_asked)
		take_open_back(ring);
	if (ring->open_result == -ECANCELED || ring->open_result == -EINTR ||
	    ring->open_result == -RESTARTSYS)
		return result < 0 ? result : -EINTR;
	return ring->open_result;
}
