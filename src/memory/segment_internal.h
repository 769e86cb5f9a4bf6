/* SPDX-License-Identifier: MIT */
/* memory/segment_internal.h: what the segment's sources share. */
#ifndef STOA_MEMORY_SEGMENT_INTERNAL_H
#define STOA_MEMORY_SEGMENT_INTERNAL_H

#include <base/error.h>
#include <base/system.h>
#include <memory/segment_layout.h>
#include <space/fork.h>
#include <space/object.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct stoa_segment {
	struct stoa_object object; /* fd: to resize by, if it may be written */
	struct segment_control *control;
	uint64_t first_size, limit, data_offset; /* checked at open */
	int may_write; /* the file; the control words, too */

	/* The attachment; NULL: none. Part of the object's mapping if that has
	 * room for it. */
	void *address; /* asked for */
	int attaches;
	char *data;
	int protection;
	_Atomic uint64_t mapped; /* bytes at data that can be touched */
	pthread_mutex_t mutex;   /* for changing that */

	/* Whose lock says that it's there: object.fd, or one of its own if that
	 * alone may write. -1: none. */
	int attach_fd;
	int64_t attach_byte;
	int pinned; /* by the mapping, as never forked */
	struct stoa_fork fork;
	int child_fd; /* between the fork handlers */
	int64_t child_byte;
	_Atomic int shares; /* the description, with the parent */
};

/* ---- Attachments (segment_attach.c) --------------------------------------- */

/* Becomes one: locks (before anything is mapped); then maps what isn't yet, and
 * is known to fork. */
int segment_lock(struct stoa_segment *segment);
int segment_attach(struct stoa_segment *segment);
void segment_detach(struct stoa_segment *segment);

/* How many there are, and how many of them may write. */
int segment_count(struct stoa_segment *segment, uint32_t *ret_writers);

/* For `stoa ls` and its like. */
int segment_each_user(struct stoa_space *space, int fd,
                      int (*visit)(const struct stoa_user *user, void *context),
                      void *context);

/* A forked child that shares its parent's takes one of its own: it locks, and
 * maps by it. */
int segment_part(struct stoa_segment *segment);

/* ---- Memory (segment_map.c) ------------------------------------------------ */

int segment_map(struct stoa_segment *segment);
/* Maps all of it once more, in its place, by this descriptor. */
int segment_map_again(struct stoa_segment *segment, int fd);
void segment_unmap(struct stoa_segment *segment);
/* Lets so many bytes be touched. */
int segment_extend(struct stoa_segment *segment, uint64_t size);
/* Puts a read-only mapping in place of a writable one. */
int segment_map_read_only(struct stoa_segment *segment);
/* Bytes of the attachment in huge pages; 0: none, or not known. */
uint64_t segment_huge_bytes(struct stoa_segment *segment);

/* ---- Size and seals (segment_resize.c) --------------------------------------- */

/* 0, -EUCLEAN. */
int segment_load_size(struct stoa_segment *segment, uint64_t *ret_size);

/* The turn. 0, or what stoa_object_enter gives. */
int segment_take_turn(struct stoa_segment *segment, uint64_t *ret_agent);
void segment_leave_turn(struct stoa_segment *segment, uint64_t agent);

/* ---- What calls have in common (segment.c) ----------------------------------- */

/* Removal doesn't hinder anyone here. 0, -EUCLEAN, -EIO. */
int segment_health(struct stoa_segment *segment);
int segment_begin(struct stoa_segment *segment);
/* The same, of a call that writes: -EBADF. */
int segment_begin_write(struct stoa_segment *segment);
int segment_damaged(struct stoa_segment *segment, const char *what);

/* Without the descriptor, which a program may have closed and used again, the
 * file is out of reach. 0, -EBADF. */
int segment_check_descriptor(struct stoa_segment *segment);

static inline uint64_t segment_page_up(uint64_t bytes)
{
	return (bytes + SEGMENT_PAGE - 1) & ~(SEGMENT_PAGE - 1);
}

#define segment_put(word, value) \
	atomic_store_explicit(&(word), (value), memory_order_relaxed)
#define segment_get(word) atomic_load_explicit(&(word), memory_order_relaxed)

#endif
