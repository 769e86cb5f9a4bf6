/* SPDX-License-Identifier: MIT */
/*
 * space/bell.c: poll descriptors. A bell is a FIFO beside the object, hidden,
 * one for each direction, made by the first who asks for a descriptor.
 *
 * Truth: the FIFO has a byte, or EVENT_BELL is set and nobody has made the
 * object ready since, or whoever did is about to ring. A byte too many is
 * harmless: the next vain call takes it out.
 *
 *     poller                              changer
 *     W event |= BELL                     W the change begins (claim)
 *     drain the FIFO                      R event: BELL? ring
 *     R truth: ready or beginning?        W the change is done (commit)
 *       then ring (stays readable)        R event: BELL? ring, clear
 *
 * The changer rings before it commits, too, so that one killed between commit
 * and ring leaves a byte and nobody sleeps in epoll on a full queue.
 */
#include <base/error.h>
#include <base/system.h>
#include <space/event.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

	if (fd < 0)
		return fd;
	int result = stoa_sys_fstat(fd, &stat);
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

void stoa_bell_ring(struct stoa_object *object, unsigned direction)
{
	int fd = bell_fd(object, direction, 0);

	if (fd >= 0)
		stoa_sys_write(fd, "", 1); /* full is loud enough */
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

void stoa_bell_rearm(struct stoa_object *object, unsigned direction)
{
	int fd;

	if (!(atomic_load_explicit(&object->polled, memory_order_relaxed) &
	      direction))
		return;
	fd = bell_fd(object, direction, 0);
	if (fd < 0)
		return;
	_Atomic uint32_t *word = stoa_event_word(object, direction);
	/* Counted up first, so that a ringer who saw the bit of before can't
	 * take this one away. seq_cst: EVENT_DEKKER */
	atomic_fetch_add_explicit(word, EVENT_COUNT, memory_order_seq_cst);
	atomic_fetch_or_explicit(word, EVENT_BELL, memory_order_seq_cst);
	drain(fd);
	if (object->kind->ready(object, direction) != 0)
		stoa_bell_ring(object, direction);
}

int stoa_bell_open(struct stoa_object *object, unsigned direction)
{
	int fd = bell_fd(object, direction, 1);

	if (fd < 0)
		return stoa_fail(fd, "can't make a poll descriptor for %s: %s",
		                 object->name, strerror(-fd));
	atomic_fetch_or_explicit(&object->polled, direction,
	                         memory_order_relaxed);
	stoa_bell_rearm(object, direction);
	return fd;
}

void stoa_bell_close(struct stoa_object *object)
{
	for (int i = 0; i < 2; i++) {
		int fd = atomic_load_explicit(&object->bell_fd[i],
		                              memory_order_relaxed);
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
