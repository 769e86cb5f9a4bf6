/* SPDX-License-Identifier: MIT */
/* dropin/poll_symbols.c: poll(), select() and epoll, where queues are among
 * what they wait for; libc's own elsewhere. */
#include "descriptor.h"
#include "mq_poll.h"
#include "symbol.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/select.h>
#include <time.h>

#define NS_PER_MS 1000000
#define NS_PER_US 1000
#define NS 1000000000

typedef int poll_call(struct pollfd *polled, nfds_t count, int ms);
typedef int select_call(int count, fd_set *reads, fd_set *writes,
                        fd_set *others, struct timeval *timeout);
typedef int pselect_call(int count, fd_set *reads, fd_set *writes,
                         fd_set *others, const struct timespec *timeout,
                         const sigset_t *mask);

LIBC_CALL int libc_poll(struct pollfd *polled, nfds_t count, int ms);
LIBC_CALL int libc_ppoll(struct pollfd *polled, nfds_t count,
                         const struct timespec *timeout, const sigset_t *mask);
LIBC_CALL int libc_poll_chk(struct pollfd *polled, nfds_t count, int ms,
                            size_t room);
LIBC_CALL int libc_ppoll_chk(struct pollfd *polled, nfds_t count,
                             const struct timespec *timeout,
                             const sigset_t *mask, size_t room);
LIBC_CALL int libc_select(int count, fd_set *reads, fd_set *writes,
                          fd_set *others, struct timeval *timeout);
LIBC_CALL int libc_pselect(int count, fd_set *reads, fd_set *writes,
                           fd_set *others, const struct timespec *timeout,
                           const sigset_t *mask);
LIBC_CALL int libc_epoll_ctl(int epoll, int operation, int fd,
                             struct epoll_event *event);
LIBC_CALL int libc_epoll_wait(int epoll, struct epoll_event *events, int room,
                              int ms);
LIBC_CALL int libc_epoll_pwait(int epoll, struct epoll_event *events, int room,
                               int ms, const sigset_t *mask);
LIBC_CALL int libc_epoll_pwait2(int epoll, struct epoll_event *events, int room,
                                const struct timespec *timeout,
                                const sigset_t *mask);

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

/* ---- poll ---------------------------------------------------------------------- */

static int real_ppoll(struct pollfd *polled, nfds_t count,
                      const struct timespec *timeout, const sigset_t *mask)
{
	return LIBC_REAL(mq_poll_wait *, ppoll)(polled, count, timeout, mask);
}

static int poll_with(struct pollfd *polled, nfds_t count, int64_t timeout_ns,
                     const sigset_t *mask)
{
	int before = errno;
	int result = mq_poll(polled, count, timeout_ns, mask, real_ppoll);

	errno = before;
	return (int)libc_result(result);
}

LIBC_CALL int libc_poll(struct pollfd *polled, nfds_t count, int ms)
{
	if (!mq_among(polled, count))
		return LIBC_REAL(poll_call *, poll)(polled, count, ms);
	return poll_with(polled, count, ms < 0 ? -1 : ms * (int64_t)NS_PER_MS,
	                 NULL);
}

/* -1: for ever; -2: no time. */
static int64_t nanoseconds(const struct timespec *time)
{
	if (!time)
		return -1;
	if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= NS)
		return -2;
	if (time->tv_sec > INT64_MAX / NS / 2)
		return -1;
	return (int64_t)time->tv_sec * NS + time->tv_nsec;
}

LIBC_CALL int libc_ppoll(struct pollfd *polled, nfds_t count,
                         const struct timespec *timeout, const sigset_t *mask)
{
	int64_t ns = nanoseconds(timeout);

	if (ns == -2 || !mq_among(polled, count))
		return real_ppoll(polled, count, timeout, mask);
	return poll_with(polled, count, ns, mask);
}

static void check_room(nfds_t count, size_t room)
{
	extern void __chk_fail(void) __attribute__((noreturn));

	if (room / sizeof(struct pollfd) < count)
		__chk_fail();
}

LIBC_CALL int libc_poll_chk(struct pollfd *polled, nfds_t count, int ms,
                            size_t room)
{
	check_room(count, room);
	return libc_poll(polled, count, ms);
}

LIBC_CALL int libc_ppoll_chk(struct pollfd *polled, nfds_t count,
                             const struct timespec *timeout,
                             const sigset_t *mask, size_t room)
{
	check_room(count, room);
	return libc_ppoll(polled, count, timeout, mask);
}

/* ---- select: as poll, of all that the sets have ------------------------------------ */

#define SELECTS_READ (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECTS_WRITE (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define SETS 3

static const short set_events[SETS] = { POLLIN | POLLRDNORM | POLLRDBAND,
	                                POLLOUT | POLLWRNORM | POLLWRBAND,
	                                POLLPRI };
static const short set_answers[SETS] = { SELECTS_READ, SELECTS_WRITE, POLLPRI };

/* FD_ISSET() and its like, of sets that the program made larger. */
static unsigned long *word_of(fd_set *set, int fd)
{
	return (unsigned long *)set + fd / (8 * (int)sizeof(unsigned long));
}

static unsigned long bit_of(int fd)
{
	return 1ul << fd % (8 * (int)sizeof(unsigned long));
}

static int has(fd_set *set, int fd)
{
	return set && (*word_of(set, fd) & bit_of(fd));
}

static int among_sets(int count, fd_set *const sets[SETS])
{
	if (!atomic_load_explicit(&mq_any, memory_order_relaxed))
		return 0;
	for (int fd = 0; fd < count; fd++)
		if (mq_is(fd) && (has(sets[0], fd) || has(sets[1], fd) ||
		                  has(sets[2], fd)))
			return 1;
	return 0;
}

static nfds_t to_poll(int count, fd_set *const sets[SETS],
                      struct pollfd *polled)
{
	nfds_t used = 0;

	for (int fd = 0; fd < count; fd++) {
		short events = 0;

		for (int i = 0; i < SETS; i++)
			if (has(sets[i], fd))
				events |= set_events[i];
		if (events)
			polled[used++] = (struct pollfd){ .fd = fd,
				                          .events = events };
	}
	return used;
}

static int from_poll(const struct pollfd *polled, nfds_t used,
                     fd_set *const sets[SETS])
{
	int bits = 0;

	for (nfds_t k = 0; k < used; k++)
		if (polled[k].revents & POLLNVAL)
			return -EBADF;
	for (nfds_t k = 0; k < used; k++)
		for (int i = 0; i < SETS; i++) {
			int fd = polled[k].fd;

			if (!has(sets[i], fd))
				continue;
			if (polled[k].revents & set_answers[i])
				bits++;
			else
				*word_of(sets[i], fd) &= ~bit_of(fd);
		}
	return bits;
}

struct selecting {
	fd_set *const *sets;
	struct pollfd *polled;
	nfds_t used;
};

static int select_polled(struct selecting *selecting, int64_t timeout_ns,
                         const sigset_t *mask)
{
	int result;

	pthread_cleanup_push(free, selecting->polled);
	result = mq_poll(selecting->polled, selecting->used, timeout_ns, mask,
	                 real_ppoll);
	if (result >= 0)
		result = from_poll(selecting->polled, selecting->used,
		                   selecting->sets);
	pthread_cleanup_pop(1);
	return result;
}

static int select_with(int count, fd_set *const sets[SETS], int64_t timeout_ns,
                       const sigset_t *mask)
{
	struct selecting selecting = { .sets = sets };

	selecting.polled = calloc((size_t)count, sizeof(*selecting.polled));
	if (!selecting.polled)
		return -ENOMEM;
	selecting.used = to_poll(count, sets, selecting.polled);
	return select_polled(&selecting, timeout_ns, mask);
}

LIBC_CALL int libc_select(int count, fd_set *reads, fd_set *writes,
                          fd_set *others, struct timeval *timeout)
{
	fd_set *const sets[SETS] = { reads, writes, others };
	int64_t begin, left, ns = -1;
	int before = errno, result;

	if ((timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0)) ||
	    !among_sets(count, sets))
		return LIBC_REAL(select_call *, select)(count, reads, writes,
		                                        others, timeout);
	begin = now_ns();
	if (timeout && timeout->tv_sec < INT64_MAX / NS / 2)
		ns = (int64_t)timeout->tv_sec * NS +
		     (int64_t)timeout->tv_usec * NS_PER_US;
	result = select_with(count, sets, ns, NULL);
	if (timeout) { /* Linux tells what is left of it */
		left = ns - (now_ns() - begin);
		left = left > 0 ? left : 0;
		timeout->tv_sec = left / NS;
		timeout->tv_usec = left % NS / NS_PER_US;
	}
	errno = before;
	return (int)libc_result(result);
}

LIBC_CALL int libc_pselect(int count, fd_set *reads, fd_set *writes,
                           fd_set *others, const struct timespec *timeout,
                           const sigset_t *mask)
{
	fd_set *const sets[SETS] = { reads, writes, others };
	int64_t ns = nanoseconds(timeout);
	int before = errno, result;

	if (ns == -2 || !among_sets(count, sets))
		return LIBC_REAL(pselect_call *, pselect)(
		        count, reads, writes, others, timeout, mask);
	result = select_with(count, sets, ns, mask);
	errno = before;
	return (int)libc_result(result);
}

/* ---- epoll ---------------------------------------------------------------------- */

LIBC_CALL int libc_epoll_ctl(int epoll, int operation, int fd,
                             struct epoll_event *event)
{
	int before = errno, result;

	if (!mq_is(fd))
		return LIBC_REAL(
		        int (*)(int, int, int, struct epoll_event *),
		        epoll_ctl)(epoll, operation, fd, event);
	result = mq_epoll_ctl(epoll, operation, fd, event);
	errno = before;
	return (int)libc_result(result);
}

LIBC_CALL int libc_epoll_pwait(int epoll, struct epoll_event *events, int room,
                               int ms, const sigset_t *mask)
{
	int64_t until = ms < 0 ? -1 : now_ns() + ms * (int64_t)NS_PER_MS;
	int64_t left;
	int result, kept, before = errno;

	for (;;) {
		result = LIBC_REAL(int (*)(int, struct epoll_event *, int, int,
		                           const sigset_t *),
		                   epoll_pwait)(epoll, events, room, ms, mask);
		if (result <= 0 ||
		    !atomic_load_explicit(&mq_watched, memory_order_relaxed))
			return result;
		kept = mq_epoll_events(events, result);
		errno = before;
		if (kept > 0)
			return kept;
		/* Called for nothing. */
		left = until < 0 ? 0 : until - now_ns();
		if (until >= 0)
			ms = left > 0 ? (int)((left + NS_PER_MS - 1) /
			                      NS_PER_MS) :
			                0;
		if (until >= 0 && left <= 0)
			return 0;
	}
}

LIBC_CALL int libc_epoll_wait(int epoll, struct epoll_event *events, int room,
                              int ms)
{
	if (atomic_load_explicit(&mq_watched, memory_order_relaxed))
		return libc_epoll_pwait(epoll, events, room, ms, NULL);
	return LIBC_REAL(int (*)(int, struct epoll_event *, int, int),
	                 epoll_wait)(epoll, events, room, ms);
}

LIBC_CALL int libc_epoll_pwait2(int epoll, struct epoll_event *events, int room,
                                const struct timespec *timeout,
                                const sigset_t *mask)
{
	int64_t ns = nanoseconds(timeout);

	/* To the millisecond, if there are queues. */
	if (ns >= -1 && ns / NS_PER_MS < INT_MAX &&
	    atomic_load_explicit(&mq_watched, memory_order_relaxed))
		return libc_epoll_pwait(epoll, events, room,
		                        ns < 0 ? -1 :
		                                 (int)((ns + NS_PER_MS - 1) /
		                                       NS_PER_MS),
		                        mask);
	return LIBC_REAL(int (*)(int, struct epoll_event *, int,
	                         const struct timespec *, const sigset_t *),
	                 epoll_pwait2)(epoll, events, room, timeout, mask);
}

LIBC_SYMBOL(libc_poll, poll, LIBC_BASE);
LIBC_SYMBOL(libc_ppoll, ppoll, LIBC_2_4);
LIBC_SYMBOL(libc_poll_chk, __poll_chk, LIBC_2_16);
LIBC_SYMBOL(libc_ppoll_chk, __ppoll_chk, LIBC_2_16);
LIBC_SYMBOL(libc_select, select, LIBC_BASE);
LIBC_SYMBOL(libc_pselect, pselect, LIBC_BASE);
LIBC_SYMBOL(libc_epoll_ctl, epoll_ctl, LIBC_2_3_2);
LIBC_SYMBOL(libc_epoll_wait, epoll_wait, LIBC_2_3_2);
LIBC_SYMBOL(libc_epoll_pwait, epoll_pwait, LIBC_2_6);
LIBC_SYMBOL(libc_epoll_pwait2, epoll_pwait2, LIBC_2_35);
