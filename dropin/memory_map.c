/* SPDX-License-Identifier: MIT */
/* dropin/memory_map.c: where segments of System V are mapped; see
 * memory_map.h. */
#include "memory_map.h"

#include "fault.h"
#include "lock.h"
#include "memory.h"
#include "memory_table.h"

#include <base/bug.h>
#include <base/private_lock.h>
#include <base/system.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define SETTLE_AGAIN 8
#define LOOKS 1000      /* at a list that changes, before it is taken for yes */
#define LOOK_PIECES 65536 /* in one look: more are a list in the midst of change */
#define NEW_PIECES 64   /* at once */

/* relaxed: see memory_map.h */
#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), (value), memory_order_relaxed)

static struct stoa_lock map_lock;
static struct memory_piece *_Atomic pieces;
static struct memory_piece *unused_pieces;
static _Atomic unsigned changes; /* odd: the list is being changed */
static stoa_peer settled_as; /* whose entries count them */
static pid_t settled_pid;
/* Nothing is mapped below and above. */
static _Atomic uintptr_t lowest = UINTPTR_MAX, highest;

/* ---- Looking -------------------------------------------------------------------- */

/* -1: that was no list. */
static int look(uintptr_t address, uintptr_t last)
{
	struct memory_piece *piece = get(pieces);

	if (address >= get(highest) || last < get(lowest))
		return 0;
	for (int i = 0; i < LOOK_PIECES; i++) {
		if (!piece)
			return 0;
		if (address < get(piece->end) && last >= get(piece->start))
			return 1;
		piece = get(piece->next);
	}
	return -1;
}

int memory_map_touches(uintptr_t address, size_t bytes)
{
	if (bytes == 0)
		return 0;
	for (int i = 0; i < LOOKS; i++) {
		/* acquire: pairs with the release in end_change() */
		unsigned before = atomic_load_explicit(&changes,
		                                       memory_order_acquire);
		int found = before & 1 ? -1 :
		                         look(address, address + (bytes - 1));

		/* acquire: pairs with the fence in begin_change() */
		atomic_thread_fence(memory_order_acquire);
		if (found >= 0 && get(changes) == before)
			return found;
		sched_yield();
	}
	return 1;
}

/* ---- The list, under its lock ------------------------------------------------------ */

static void begin_change(void)
{
	set(changes, get(changes) + 1);
	/* release: who sees what comes now sees an odd number, too */
	atomic_thread_fence(memory_order_release);
}

static void set_bounds(void)
{
	uintptr_t low = UINTPTR_MAX, high = 0;

	for (struct memory_piece *piece = get(pieces); piece;
	     piece = get(piece->next)) {
		low = get(piece->start) < low ? get(piece->start) : low;
		high = get(piece->end) > high ? get(piece->end) : high;
	}
	set(lowest, low);
	set(highest, high);
}

static void end_change(void)
{
	set_bounds();
	/* release: pairs with the acquire in memory_map_touches() */
	atomic_store_explicit(&changes, get(changes) + 1,
	                      memory_order_release);
}

/* The first are there from the beginning: what is mapped here may take the
 * address that the program has found free, and asks for. */
static struct memory_piece *more_pieces(void)
{
	static struct memory_piece first[NEW_PIECES];
	static int given;
	void *memory = first;

	if (given && stoa_sys_mmap(NULL, sizeof(first), PROT_READ | PROT_WRITE,
	                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0,
	                           &memory) < 0)
		return NULL;
	given = 1;
	return memory;
}

/* NULL: no memory. */
static struct memory_piece *new_piece(void)
{
	struct memory_piece *piece;

	if (!unused_pieces) {
		piece = more_pieces();
		if (!piece)
			return NULL;
		for (int i = 0; i < NEW_PIECES; i++) {
			set(piece[i].next, unused_pieces);
			unused_pieces = &piece[i];
		}
	}
	piece = unused_pieces;
	unused_pieces = get(piece->next);
	return piece;
}

static void put_back(struct memory_piece *piece)
{
	set(piece->next, unused_pieces);
	unused_pieces = piece;
}

static void add_piece(struct memory_piece *piece, uintptr_t start,
                      uintptr_t end, uintptr_t base, int id)
{
	begin_change();
	set(piece->start, start);
	set(piece->end, end);
	piece->base = base;
	piece->id = id;
	set(piece->next, get(pieces));
	set(pieces, piece);
	end_change();
}

static void set_piece(struct memory_piece *piece, uintptr_t start,
                      uintptr_t end)
{
	begin_change();
	set(piece->start, start);
	set(piece->end, end);
	end_change();
}

static void take_out(struct memory_piece *_Atomic *at)
{
	struct memory_piece *piece = get(*at);

	begin_change();
	set(*at, get(piece->next));
	end_change();
	begin_change();
	put_back(piece);
	end_change();
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
		for (struct memory_piece *piece = get(pieces); piece;
		     piece = get(piece->next))
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

/* A hole in the middle: two of one. Without memory for the second nobody
 * counts it. */
static void split(const struct registry *registry, struct memory_piece *piece,
                  uintptr_t from, uintptr_t to)
{
	struct memory_piece *upper = new_piece();

	if (upper) {
		add_piece(upper, to, get(piece->end), piece->base, piece->id);
		memory_table_add(registry, settled_as, piece->id, settled_pid);
	}
	set_piece(piece, get(piece->start), from);
}

/* What was mapped there isn't any more. */
static void carve(const struct registry *registry, uintptr_t from, uintptr_t to)
{
	struct memory_piece *_Atomic *at = &pieces;
	struct memory_piece *piece;

	while ((piece = get(*at)) != NULL) {
		uintptr_t start = get(piece->start), end = get(piece->end);
		int id = piece->id;

		if (start >= from && end <= to) {
			take_out(at);
			drop(registry, id);
			continue;
		}
		at = &piece->next;
		if (end <= from || start >= to)
			continue;
		if (start < from && end > to)
			split(registry, piece, from, to);
		else if (start < from)
			set_piece(piece, start, from);
		else
			set_piece(piece, to, end);
	}
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
	struct memory_piece *piece;
	uintptr_t start, end;
	void *at;
	int result = -ENOMEM;

	dropin_lock(&map_lock);
	piece = new_piece();
	if (piece)
		result = map(wish, &at);
	if (result == 0) {
		start = (uintptr_t)at;
		end = start + page_up(wish->bytes);
		if (wish->replace)
			carve(registry, start, end);
		add_piece(piece, start, end, start, wish->id);
		*ret_address = start;
	} else if (piece) {
		put_back(piece);
	}
	dropin_unlock(&map_lock);
	return result;
}

/* The lowest piece of those that are there. */
static struct memory_piece *first_of(uintptr_t base)
{
	struct memory_piece *first = NULL;

	for (struct memory_piece *piece = get(pieces); piece;
	     piece = get(piece->next))
		if (piece->base == base &&
		    (!first || get(piece->start) < get(first->start)))
			first = piece;
	return first;
}

static void unmap_all(const struct registry *registry, uintptr_t base, int id)
{
	struct memory_piece *_Atomic *at = &pieces;
	struct memory_piece *piece;

	while ((piece = get(*at)) != NULL) {
		uintptr_t start = get(piece->start), end = get(piece->end);

		if (piece->base != base || piece->id != id) {
			at = &piece->next;
			continue;
		}
		take_out(at);
		stoa_sys_munmap((void *)start, end - start);
		drop(registry, id);
	}
}

int memory_map_detach(const struct registry *registry, uintptr_t base)
{
	struct memory_piece *first;

	dropin_lock(&map_lock);
	first = first_of(base);
	if (first)
		unmap_all(registry, base, first->id);
	dropin_unlock(&map_lock);
	return first ? 0 : -EINVAL;
}

int memory_map_unmap(const struct registry *registry, uintptr_t address,
                     size_t bytes)
{
	int result;

	dropin_lock(&map_lock);
	result = stoa_sys_munmap((void *)address, bytes);
	if (result == 0)
		carve(registry, address, address + page_up(bytes));
	dropin_unlock(&map_lock);
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
	if (!get(pieces) || stoa_system_call(SYS_pipe2, (long)forking.pipe,
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
		if (!STOA_BUG(144))
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
	if (get(pieces) && !DROPIN_FAULT(54) && registry_lock(&registry) == 0) {
		memory_map_settle(registry, &peer);
		for (struct memory_piece *piece = get(pieces); piece;
		     piece = get(piece->next))
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
