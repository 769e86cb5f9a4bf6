/* SPDX-License-Identifier: MIT */
/*
 * space/bell.c: poll descriptors. A bell is a FIFO beside the object, hidden,
 * one for each direction, made by the first who asks for a descriptor. What
 * the caller gets is an epoll descriptor over the FIFO and a timer: deaths
 * ring no bell, so a poller that was told nothing is told to look once a
 * slice, and its vain call patrols.
 *
 * Truth: the FIFO has a byte, or EVENT_BELL is set and nobody has made the
 * object ready since, or whoever did is about to ring. A byte too many is
 * harmless: the next vain call takes it out.
 *
 *     poller                              changer
 *     drain the FIFO                      W the change begins (claim)
 *     W event: count + 1, BELL            R event: BELL? ring
 *     R truth: ready or beginning?        W the change is done (commit)
 *       then ring (stays readable)        R event: BELL? ring, clear
 *
 * The ringer takes BELL from the very word that it loaded before it rang; a
 * ring that was drained was therefore of a word from before the count.
 *
 * Where every handle must see each change for itself (kind->each_bell: one
 * subscriber's draining would take another's ring away), nobody drains: each
 * poller is told of a ring by its edge, which its own epoll descriptor keeps
 * until the vain call takes it from there. Only who finds the FIFO full drains.
 *
 * The changer rings before it commits, too, so that one killed between commit
 * and ring leaves a byte and nobody sleeps in epoll on a full queue.
 */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <space/event.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define BELL_NAME_MAX 32
#define BELL_MODE 0666 /* a ring says "look": no secret, no harm */

static void bell_name(uint64_t generation, unsigned direction,
                      char name[BELL_NAME_MAX])
{
	snprintf(name, BELL_NAME_MAX, ".bell.%016llx.%c",
	         (unsigned long long)generation,
	         direction == STOA_READ ? 'r' : 'w');
}

int stoa_bell_name(const char *file, uint64_t *ret_generation)
{
	unsigned long long generation;
	char direction;
	int end = 0;

	if (sscanf(file, ".bell.%16llx.%c%n", &generation, &direction, &end) !=
	            2 ||
	    (size_t)end != strlen(file) ||
	    (direction != 'r' && direction != 'w'))
		return 0;
	*ret_generation = generation;
	return 1;
}

static int open_existing(struct stoa_object *object, const char *name)
{
	struct stat stat;
	int fd = stoa_sys_openat(object->space->life.directory, name,
	                         O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0);

	if (fd == -ENOENT)
		return fd;
	int result = fd < 0 ? fd : stoa_sys_fstat(fd, &stat);
	if (result == -EISDIR || result == -ELOOP || result == -ENXIO)
		return stoa_fail(-EPERM, "%s in the space should be a FIFO; "
		                         "remove it",
		                 name);
	if (fd < 0)
		return fd;
	if (result == 0 && !S_ISFIFO(stat.st_mode))
		result = stoa_fail(-EPERM, "%s in the space should be a FIFO; "
		                           "remove it",
		                   name);
	if (result < 0) {
		stoa_sys_close(fd);
		return result;
	}
	return fd;
}

static int open_or_make(struct stoa_object *object, const char *name)
{
	int fd = open_existing(object, name);

	if (fd != -ENOENT)
		return fd;
	int result = (int)stoa_system_call(SYS_mknodat,
	                                   object->space->life.directory,
	                                   (long)name, S_IFIFO | BELL_MODE, 0,
	                                   0, 0);
	if (result < 0 && result != -EEXIST)
		return result;
	fd = open_existing(object, name);
	if (fd >= 0 && result == 0)
		stoa_sys_fchmod(fd, BELL_MODE); /* whatever the umask */
	return fd;
}

static _Atomic int *bell_slot(struct stoa_object *object, unsigned direction)
{
	return &object->bell_fd[direction == STOA_READ ? 0 : 1];
}

/* The descriptor of a bell, kept in the handle. */
static int bell_fd(struct stoa_object *object, unsigned direction, int make)
{
	_Atomic int *slot = bell_slot(object, direction);
	int kept = atomic_load_explicit(slot, memory_order_acquire);
	char name[BELL_NAME_MAX];
	int none = 0;

	if (kept)
		return kept - 1;
	bell_name(object->copy.generation, direction, name);
	int fd = make ? open_or_make(object, name) :
	                open_existing(object, name);
	if (fd < 0)
		return fd;
	if (atomic_compare_exchange_strong_explicit(slot, &none, fd + 1,
	                                            memory_order_acq_rel,
	                                            memory_order_acquire))
		return fd;
	stoa_sys_close(fd);
	return none - 1;
}

/* One description for both reading and writing, as a FIFO opened so. */
static int nameless_bell(void)
{
	int ends[2];
	int result = (int)stoa_system_call(SYS_pipe2, (long)ends,
	                                   O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0);

	if (result < 0)
		return result;
	result = stoa_sys_reopen(ends[0], O_RDWR | O_NONBLOCK);
	stoa_sys_close(ends[0]);
	stoa_sys_close(ends[1]);
	return result;
}

int stoa_bell_inherit(struct stoa_object *object,
                      const struct stoa_object *from)
{
	for (int i = 0; i < 2; i++) {
		int fd = from ? stoa_sys_reopen(atomic_load_explicit(
		                                        &from->bell_fd[i],
		                                        memory_order_relaxed) -
		                                        1,
		                                O_RDWR | O_NONBLOCK) :
		                nameless_bell();

		if (fd < 0)
			return fd;
		atomic_store_explicit(&object->bell_fd[i], fd + 1,
		                      memory_order_relaxed);
	}
	return 0;
}

static void drain(int fd)
{
	char bytes[512];
	/* Bounded: ringers may go on as long as they like. */
	for (int i = 0; i < 256; i++)
		if (stoa_sys_read(fd, bytes, sizeof bytes) <
		    (ssize_t)sizeof bytes)
			return;
}

int stoa_bell_ring(struct stoa_object *object, unsigned direction)
{
	int fd = bell_fd(object, direction, 0);
	ssize_t result;

	if (fd == -ENOENT)
		return 0; /* whoever had it is gone */
	if (fd < 0)
		return fd;
	result = stoa_sys_write(fd, "", 1);
	if (result == -EAGAIN && object->kind->each_bell) {
		drain(fd);
		result = stoa_sys_write(fd, "", 1);
	}
	return result == -EAGAIN ? 0 : (int)result; /* full is loud enough */
}

static int slot_of(unsigned direction)
{
	return direction == STOA_READ ? 0 : 1;
}

/* Takes out what was rung. Where each is told for itself, nobody else's bytes
 * are touched: the epoll descriptor is what falls back. */
static void hear(struct stoa_object *object, unsigned direction, int bell)
{
	struct epoll_event events[2];

	if (object->kind->each_bell)
		stoa_system_call(SYS_epoll_pwait,
		                 object->poll_fd[slot_of(direction)] - 1,
		                 (long)events, 2, 0, 0, 0);
	else
		drain(bell);
}

static void set_timer(struct stoa_object *object, unsigned direction)
{
	struct itimerspec slice = { .it_value.tv_nsec = STOA_SLICE_NS };

	if (STOA_BUG(42))
		return;
	stoa_system_call(SYS_timerfd_settime,
	                 object->timer_fd[slot_of(direction)] - 1, 0,
	                 (long)&slice, 0, 0, 0);
}

void stoa_bell_rearm(struct stoa_object *object, unsigned direction)
{
	_Atomic uint32_t *word = stoa_event_word(object, direction);
	uint32_t event;
	int fd;

	if (!(atomic_load_explicit(&object->polled, memory_order_relaxed) &
	      direction))
		return;
	fd = bell_fd(object, direction, 0);
	if (fd < 0)
		return;
	set_timer(object, direction);
	hear(object, direction, fd);
	event = atomic_load_explicit(word, memory_order_relaxed);
	/* seq_cst: EVENT_DEKKER */
	while (!atomic_compare_exchange_weak_explicit(
	        word, &event, (event + EVENT_COUNT) | EVENT_BELL,
	        memory_order_seq_cst, memory_order_relaxed))
		;
	if (object->kind->ready(object, direction, NULL) != 0)
		stoa_bell_ring(object, direction);
}

static int watch_fd(int epoll, int fd, uint32_t how)
{
	struct epoll_event event = { .events = EPOLLIN | how };

	return (int)stoa_system_call(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd,
	                             (long)&event, 0, 0);
}

/* The epoll descriptor over bell and timer; both are the object's. */
static int make_poll(struct stoa_object *object, unsigned direction, int bell)
{
	int slot = slot_of(direction);
	int timer = (int)stoa_system_call(SYS_timerfd_create, CLOCK_MONOTONIC,
	                                  TFD_CLOEXEC | TFD_NONBLOCK, 0, 0, 0,
	                                  0);

	if (timer < 0)
		return timer;
	int poll = (int)stoa_system_call(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0,
	                                 0, 0, 0);
	int result = poll;
	if (result >= 0)
		result = watch_fd(poll, bell,
		                  object->kind->each_bell ? EPOLLET : 0);
	if (result >= 0)
		result = watch_fd(poll, timer, 0);
	if (result < 0) {
		if (poll >= 0)
			stoa_sys_close(poll);
		stoa_sys_close(timer);
		return result;
	}
	object->timer_fd[slot] = timer + 1;
	object->poll_fd[slot] = poll + 1;
	atomic_fetch_or_explicit(&object->polled, direction,
	                         memory_order_release);
	return 0;
}

int stoa_bell_open(struct stoa_object *object, unsigned direction)
{
	int slot = slot_of(direction);
	int bell = bell_fd(object, direction, 1);
	int result = 0;

	if (bell >= 0) {
		stoa_private_lock(&object->seat_lock);
		if (!object->poll_fd[slot])
			result = make_poll(object, direction, bell);
		stoa_private_unlock(&object->seat_lock);
	}
	if (bell < 0 || result < 0)
		return stoa_fail(bell < 0 ? bell : result,
		                 "can't make a poll descriptor for %s: %s",
		                 object->name,
		                 strerror(bell < 0 ? -bell : -result));
	stoa_bell_rearm(object, direction);
	return object->poll_fd[slot] - 1;
}

void stoa_bell_close(struct stoa_object *object)
{
	for (int i = 0; i < 2; i++) {
		int fd = atomic_load_explicit(&object->bell_fd[i],
		                              memory_order_relaxed);
		if (object->poll_fd[i]) {
			stoa_sys_close(object->poll_fd[i] - 1);
			stoa_sys_close(object->timer_fd[i] - 1);
		}
		if (fd)
			stoa_sys_close(fd - 1);
	}
}

void stoa_bell_remove(int directory, uint64_t generation)
{
	char name[BELL_NAME_MAX];

	bell_name(generation, STOA_READ, name);
	stoa_sys_unlinkat(directory, name);
	bell_name(generation, STOA_WRITE, name);
	stoa_sys_unlinkat(directory, name);
}
