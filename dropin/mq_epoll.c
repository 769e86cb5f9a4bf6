/* SPDX-License-Identifier: MIT */
/*
 * dropin/mq_epoll.c: queues in epoll descriptors.
 *
 * A queue added is a watch: for each direction asked for, a duplicate of
 * libstoa's poll descriptor is added to the program's epoll descriptor, for
 * EPOLLIN. What the kernel then gives bears the watch's tag where the
 * program's data would be: a number drawn by chance, with the watch's index.
 * It is made into the program's event, if the queue is ready indeed; else the
 * poll descriptor is asked to ring again, and the event falls away.
 *
 * EPOLLONESHOT is kept here: a watch that was told of sleeps until it is
 * modified. Watches and epoll descriptors are inherited by fork, as they are.
 * Changed under the lock.
 */
#include "mq_poll.h"

#include "kernel.h"
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define TAG_INDEX_BITS 20
#define WATCHES_MAX (1 << TAG_INDEX_BITS)
#define PASSED (EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE)

struct watch {
	int epoll, fd; /* 0, 0: free */
	int used;
	int asleep;  /* told of, and EPOLLONESHOT */
	int read_fd, write_fd; /* -1: none */
	struct epoll_event event; /* as asked for */
};

_Atomic int mq_watched;

static struct stoa_lock watches_lock;
static struct watch *watches;
static int watch_count; /* used or not */
static uint64_t tag;    /* the high bits; 0: not drawn yet */

static void draw_tag(void)
{
	while (tag == 0) {
		dropin_kernel(SYS_getrandom, (long)&tag, sizeof(tag), 0);
		tag &= ~(uint64_t)(WATCHES_MAX - 1);
	}
}

/* ---- In the kernel ------------------------------------------------------------------ */

static int tell_kernel(const struct watch *watch, int operation, int fd,
                       int sleeps)
{
	struct epoll_event event = {
		.events = sleeps ? 0 :
		                   EPOLLIN | (watch->event.events & PASSED),
		.data.u64 = tag | (uint64_t)(watch - watches)
	};

	return (int)dropin_kernel(SYS_epoll_ctl, watch->epoll, operation, fd,
	                          (long)&event);
}

static void leave(struct watch *watch, int *fd)
{
	if (*fd < 0)
		return;
	tell_kernel(watch, EPOLL_CTL_DEL, *fd, 0);
	dropin_kernel(SYS_close, *fd);
	*fd = -1;
}

/* Joins, or changes, one direction; or leaves it if it isn't asked for. */
static int join(struct watch *watch, struct mq *mq, unsigned direction,
                int *fd)
{
	unsigned wanted = direction == STOA_READ ? MQ_READS : MQ_WRITES;
	int result;

	if (!(watch->event.events & wanted)) {
		leave(watch, fd);
		return 0;
	}
	/* Asks to be rung, too. */
	result = stoa_queue_pollfd(mq->queue, direction);
	if (result < 0)
		return result;
	if (*fd >= 0)
		return tell_kernel(watch, EPOLL_CTL_MOD, *fd, 0);
	*fd = (int)dropin_kernel(SYS_fcntl, result, F_DUPFD_CLOEXEC, 0);
	if (*fd < 0)
		return *fd;
	result = tell_kernel(watch, EPOLL_CTL_ADD, *fd, 0);
	if (result < 0) {
		dropin_kernel(SYS_close, *fd);
		*fd = -1;
	}
	return result;
}

static void drop(struct watch *watch)
{
	leave(watch, &watch->read_fd);
	leave(watch, &watch->write_fd);
	watch->used = 0;
}

static int settle(struct watch *watch, struct mq *mq)
{
	int result;

	watch->asleep = 0;
	result = join(watch, mq, STOA_READ, &watch->read_fd);
	if (result == 0)
		result = join(watch, mq, STOA_WRITE, &watch->write_fd);
	return result;
}

/* ---- Watches ----------------------------------------------------------------------- */

/* Closed and opened again since: the kernel knows nothing of the watch. */
static int is_stale(struct watch *watch)
{
	int fd = watch->read_fd >= 0 ? watch->read_fd : watch->write_fd;

	return fd >= 0 &&
	       tell_kernel(watch, EPOLL_CTL_MOD, fd, watch->asleep) < 0;
}

static struct watch *find(int epoll, int fd)
{
	for (int i = 0; i < watch_count; i++) {
		struct watch *watch = &watches[i];

		if (!watch->used || watch->epoll != epoll || watch->fd != fd)
			continue;
		if (!is_stale(watch))
			return watch;
		drop(watch);
	}
	return NULL;
}

static struct watch *new_watch(void)
{
	struct watch *more;

	for (int i = 0; i < watch_count; i++)
		if (!watches[i].used)
			return &watches[i];
	if (watch_count == WATCHES_MAX)
		return NULL;
	more = realloc(watches, ((size_t)watch_count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	watches = more;
	return &watches[watch_count++];
}

static int add(int epoll, int fd, struct mq *mq,
               const struct epoll_event *event)
{
	struct watch *watch = new_watch();
	int result;

	if (!watch)
		return -ENOMEM;
	draw_tag();
	*watch = (struct watch){ .epoll = epoll,
		                 .fd = fd,
		                 .used = 1,
		                 .read_fd = -1,
		                 .write_fd = -1,
		                 .event = *event };
	atomic_store_explicit(&mq_watched, 1, memory_order_relaxed);
	result = settle(watch, mq);
	if (result < 0)
		drop(watch);
	return result;
}

static int change(int epoll, int operation, int fd, struct mq *mq,
                  const struct epoll_event *event)
{
	struct watch *watch = find(epoll, fd);

	if (operation == EPOLL_CTL_ADD)
		return watch ? -EEXIST : add(epoll, fd, mq, event);
	if (!watch)
		return -ENOENT;
	if (operation == EPOLL_CTL_DEL) {
		drop(watch);
		return 0;
	}
	if (operation != EPOLL_CTL_MOD)
		return -EINVAL;
	if ((event->events | watch->event.events) & EPOLLEXCLUSIVE)
		return -EINVAL;
	watch->event = *event;
	return settle(watch, mq);
}

/* Is it an epoll descriptor? By its number, libstoa's poll descriptor is never
 * added to one. */
static int check_epoll(int epoll, struct mq *mq)
{
	struct epoll_event none = { 0 };
	int fd = stoa_queue_pollfd(mq->queue, STOA_READ);
	int result = fd < 0 ? fd :
	                      (int)dropin_kernel(SYS_epoll_ctl, epoll,
	                                         EPOLL_CTL_MOD, fd,
	                                         (long)&none);

	return result == -ENOENT ? 0 : result < 0 ? result : -EINVAL;
}

int mq_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	struct mq *mq;
	int result;

	if (!event && operation != EPOLL_CTL_DEL)
		return -EFAULT;
	mq = mq_get(fd);
	if (!mq)
		return -EBADF;
	result = check_epoll(epoll, mq);
	if (result == 0) {
		dropin_lock(&watches_lock);
		result = change(epoll, operation, fd, mq, event);
		dropin_unlock(&watches_lock);
	}
	mq_put(mq);
	return result;
}

void mq_epoll_forget(int fd)
{
	dropin_lock(&watches_lock);
	for (int i = 0; i < watch_count; i++)
		if (watches[i].used && watches[i].fd == fd)
			drop(&watches[i]);
	dropin_unlock(&watches_lock);
}

/* ---- Events ------------------------------------------------------------------------ */

static void ring_again(struct watch *watch, struct mq *mq)
{
	if (watch->event.events & MQ_READS)
		stoa_queue_pollfd(mq->queue, STOA_READ);
	if (watch->event.events & MQ_WRITES)
		stoa_queue_pollfd(mq->queue, STOA_WRITE);
}

/* What the program is told of the watch: 0: nothing. */
static unsigned hear(struct watch *watch)
{
	struct mq *mq = mq_get(watch->fd);
	unsigned ready = 0;

	if (mq && !watch->asleep)
		ready = mq_ready(mq, watch->event.events);
	if (mq && !watch->asleep && !ready)
		ring_again(watch, mq);
	if (mq)
		mq_put(mq);
	if (!ready || !(watch->event.events & EPOLLONESHOT))
		return ready;
	watch->asleep = 1;
	if (watch->read_fd >= 0)
		tell_kernel(watch, EPOLL_CTL_MOD, watch->read_fd, 1);
	if (watch->write_fd >= 0)
		tell_kernel(watch, EPOLL_CTL_MOD, watch->write_fd, 1);
	return ready;
}

/* The same watch may have rung for both directions. */
static int told_already(const struct watch *watch, const uint32_t *told,
                        int count)
{
	for (int i = 0; i < count; i++)
		if (told[i] == (uint32_t)(watch - watches) + 1)
			return 1;
	return 0;
}

int mq_epoll_events(struct epoll_event *events, int count)
{
	uint32_t *told = count > 0 ? calloc((size_t)count, sizeof(*told)) : NULL;
	int kept = 0;

	if (!told)
		return count;
	dropin_lock(&watches_lock);
	for (int i = 0; i < count; i++) {
		uint64_t index = events[i].data.u64 & (WATCHES_MAX - 1);
		struct watch *watch = &watches[index];
		unsigned ready;

		if (!tag || (events[i].data.u64 & ~(uint64_t)(WATCHES_MAX - 1)) !=
		                    tag) {
			events[kept++] = events[i];
			continue;
		}
		if (index >= (uint64_t)watch_count || !watch->used ||
		    told_already(watch, told, kept))
			continue;
		ready = hear(watch);
		if (!ready)
			continue;
		told[kept] = (uint32_t)index + 1;
		events[kept].events = ready;
		events[kept++].data = watch->event.data;
	}
	dropin_unlock(&watches_lock);
	free(told);
	return kept;
}
