/* SPDX-License-Identifier: MIT */
/* dropin/memory_map.c: where segments of System V are mapped; see
 * memory_map.h. */
#include "memory_map.h"

#include "fault.h"
#include "memory.h"
#include "memory_table.h"

#include <base/private_lock.h>
#include <base/system.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SETTLE_AGAIN 8

static struct stoa_lock map_lock;
static struct memory_piece *pieces;
static stoa_peer settled_as; /* whose entries count them */
static pid_t settled_pid;
/* Nothing is mapped below and above. */
static _Atomic uintptr_t lowest = UINTPTR_MAX, highest;

int memory_map_touches(uintptr_t address, size_t bytes)
{
	/* relaxed: whoever attaches at the same time as another unmaps there
	 * has no order with it */
	return address < atomic_load_explicit(&highest, memory_order_relaxed) &&
	       bytes > 0 &&
	       address + (bytes - 1) >=
	               atomic_load_explicit(&lowest, memory_order_relaxed);
}

static void set_bounds(void)
{
	uintptr_t low = UINTPTR_MAX, high = 0;

	for (struct memory_piece *piece = pieces; piece; piece = piece->next) {
		low = piece->start < low ? piece->start : low;
		high = piece->end > high ? piece->end : high;
	}
	atomic_store_explicit(&lowest, low, memory_order_relaxed);
	atomic_store_explicit(&highest, high, memory_order_relaxed);
}

/* ---- Who counts them ----------------------------------------------------------- */

/* Asked anew by a forked child, and now and then: who closes all descriptors
 * becomes another peer, too. */
static int is_settled(void)
{
	static unsigned calls;

	return settled_as != 0 && ++calls % SETTLE_AGAIN &&
	       settled_pid == getpid();
}

int memory_map_settle(const struct registry *registry, stoa_peer *ret_peer)
{
	struct stoa_space *space;
	stoa_peer peer;
	int result;

	if (is_settled()) {
		*ret_peer = settled_as;
		return 0;
	}
	result = dropin_space(&space);
	if (result == 0)
		result = stoa_space_self(space, &peer);
	if (result < 0)
		return result;
	if (settled_as != peer) {
		settled_as = peer;
		settled_pid = getpid();
		for (struct memory_piece *piece = pieces; piece;
		     piece = piece->next)
			memory_table_add(registry, peer, piece->id,
			                 settled_pid);
	}
	*ret_peer = peer;
	return 0;
}

pid_t memory_map_pid(void)
{
	return settled_pid;
}

/* ---- Changing ------------------------------------------------------------------- */

static void drop(const struct registry *registry, int id)
{
	memory_table_drop(registry, settled_as, id);
	memory_detached(registry, id);
}

static void add_piece(struct memory_piece *piece)
{
	piece->next = pieces;
	pieces = piece;
}

/* A hole in the middle: two of one. Without memory for the second nobody
 * counts it. */
static void split(const struct registry *registry, struct memory_piece *piece,
                  uintptr_t from, uintptr_t to)
{
	struct memory_piece *upper = malloc(sizeof(*upper));

	if (upper) {
		*upper = *piece;
		upper->start = to;
		add_piece(upper);
		memory_table_add(registry, settled_as, piece->id, settled_pid);
	}
	piece->end = from;
}

/* What was mapped there isn't any more. */
static void carve(const struct registry *registry, uintptr_t from, uintptr_t to)
{
	struct memory_piece **at = &pieces, *piece;

	while ((piece = *at) != NULL) {
		if (piece->end <= from || piece->start >= to) {
			at = &piece->next;
		} else if (piece->start >= from && piece->end <= to) {
			*at = piece->next;
			drop(registry, piece->id);
			free(piece);
		} else {
			at = &piece->next;
			if (piece->start < from && piece->end > to)
				split(registry, piece, from, to);
			else if (piece->start < from)
				piece->end = from;
			else
				piece->start = to;
		}
	}
	set_bounds();
}

static uintptr_t page_up(uintptr_t bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) & ~(page - 1);
}

static int map(const struct memory_wish *wish, void **ret_at)
{
	int flags = MAP_SHARED, result;
	void *at;

	if (wish->fixed)
		flags |= wish->replace ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	result = stoa_sys_mmap((void *)wish->address, wish->bytes,
	                       wish->protection, flags, wish->fd, 0, &at);
	if (result == -EEXIST)
		return -EINVAL;
	if (result == 0)
		*ret_at = at;
	return result;
}

int memory_map_attach(const struct registry *registry,
                      const struct memory_wish *wish, uintptr_t *ret_address)
{
	struct memory_piece *piece = malloc(sizeof(*piece));
	void *at;
	int result;

	if (!piece)
		return -ENOMEM;
	stoa_private_lock(&map_lock);
	result = map(wish, &at);
	if (result == 0) {
		*piece = (struct memory_piece){
			.start = (uintptr_t)at,
			.end = (uintptr_t)at + page_up(wish->bytes),
			.base = (uintptr_t)at,
			.id = wish->id
		};
		if (wish->replace)
			carve(registry, piece->start, piece->end);
		add_piece(piece);
		set_bounds();
		*ret_address = (uintptr_t)at;
	}
	stoa_private_unlock(&map_lock);
	if (result < 0)
		free(piece);
	return result;
}

/* The lowest piece of those that are there. */
static struct memory_piece *first_of(uintptr_t base)
{
	struct memory_piece *first = NULL;

	for (struct memory_piece *piece = pieces; piece; piece = piece->next)
		if (piece->base == base &&
		    (!first || piece->start < first->start))
			first = piece;
	return first;
}

static void unmap_all(const struct registry *registry, uintptr_t base, int id)
{
	struct memory_piece **at = &pieces, *piece;

	while ((piece = *at) != NULL) {
		if (piece->base != base || piece->id != id) {
			at = &piece->next;
			continue;
		}
		*at = piece->next;
		stoa_sys_munmap((void *)piece->start,
		                piece->end - piece->start);
		drop(registry, id);
		free(piece);
	}
	set_bounds();
}

int memory_map_detach(const struct registry *registry, uintptr_t base)
{
	struct memory_piece *first;

	stoa_private_lock(&map_lock);
	first = first_of(base);
	if (first)
		unmap_all(registry, base, first->id);
	stoa_private_unlock(&map_lock);
	return first ? 0 : -EINVAL;
}

int memory_map_unmap(const struct registry *registry, uintptr_t address,
                     size_t bytes)
{
	int result;

	stoa_private_lock(&map_lock);
	result = stoa_sys_munmap((void *)address, bytes);
	if (result == 0)
		carve(registry, address, address + page_up(bytes));
	stoa_private_unlock(&map_lock);
	return result;
}

/* ---- Fork ------------------------------------------------------------------------- */

static struct {
	int pipe[2]; /* [0] < 0: nothing is mapped */
	sigset_t mask;
	pid_t parent;
} forking;

/* By this thread: another may have enlisted the handlers amid its fork. */
static __thread int forks_now;

static void before_fork(void)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	stoa_private_lock(&map_lock);
	forks_now = 1;
	forking.mask = before; /* under the lock: others may fork, too */
	forking.parent = getpid();
	if (!pieces || stoa_system_call(SYS_pipe2, (long)forking.pipe,
	                                O_CLOEXEC, 0, 0, 0, 0) < 0)
		forking.pipe[0] = forking.pipe[1] = -1;
}

/* Until the child has counted what it has mapped, or died. The lock goes first:
 * another thread may wait for it with the registry's, which the child needs. */
static void in_parent(void)
{
	int reading = forking.pipe[0], writing = forking.pipe[1];
	sigset_t mask = forking.mask;
	char done;

	if (!forks_now)
		return;
	forks_now = 0;
	stoa_private_unlock(&map_lock);
	if (reading >= 0) {
		stoa_sys_close(writing);
		while (stoa_sys_read(reading, &done, 1) == -EINTR)
			;
		stoa_sys_close(reading);
	}
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void in_child(void)
{
	const struct registry *registry;
	stoa_peer peer;

	settled_as = 0;
	if (!forks_now)
		return;
	forks_now = 0;
	map_lock = (struct stoa_lock){ 0 };
	if (pieces && !DROPIN_FAULT(54) && registry_lock(&registry) == 0) {
		memory_map_settle(registry, &peer);
		for (struct memory_piece *piece = pieces; piece;
		     piece = piece->next)
			memory_attached(registry, piece->id, forking.parent);
		registry_unlock();
	}
	if (forking.pipe[0] >= 0) {
		stoa_sys_write(forking.pipe[1], "", 1);
		stoa_sys_close(forking.pipe[0]);
		stoa_sys_close(forking.pipe[1]);
	}
	pthread_sigmask(SIG_SETMASK, &forking.mask, NULL);
}

static struct dropin_fork forks = { .before = before_fork,
	                            .parent = in_parent,
	                            .child = in_child };

void memory_map_watch_forks(void)
{
	dropin_fork_enlist(&forks);
}
