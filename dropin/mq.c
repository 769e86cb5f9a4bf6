/* SPDX-License-Identifier: MIT */
/* dropin/mq.c: sending, receiving, attributes. Checks come in the order of the
 * kernel's (ipc/mqueue.c). */
#include "mq.h"

#include "calls.h"
#include "cancel.h"
#include "fault.h"
#include "kernel.h"
#include "memory_probe.h"
#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

/* Of the description: looked at only where it matters. -EBADF: the number was
 * closed where the drop-in couldn't see it. */
static int status_flags(mqd_t fd)
{
	return (int)dropin_kernel(SYS_fcntl, fd, F_GETFL);
}

/* May the call wait? */
static int may_wait(mqd_t fd, struct mq *mq)
{
	int flags = status_flags(fd);

	if (flags < 0)
		return flags;
	/* relaxed: a hint. Most descriptions stay what they are. */
	atomic_store_explicit(&mq->waits, !(flags & O_NONBLOCK),
	                      memory_order_relaxed);
	return (flags & O_NONBLOCK) && !DROPIN_FAULT(5) ? -EAGAIN : 0;
}

/* For the first try. */
static struct stoa_deadline at_first(struct mq *mq)
{
	return atomic_load_explicit(&mq->waits, memory_order_relaxed) ?
	               DROPIN_SOON :
	               STOA_NOW;
}

static int found_nothing(long result)
{
	return result == -EAGAIN || result == -ETIMEDOUT;
}

static void put_cancelled(void *mq)
{
	mq_put(mq);
}

static int refuse_timeout(const struct timespec *time,
                          struct stoa_deadline *ret_deadline)
{
	*ret_deadline = STOA_FOREVER;
	if (!time || DROPIN_FAULT(6))
		return 0;
	if (!probe(PROBE_READ, time, sizeof(*time)))
		return -EFAULT;
	return dropin_deadline(CLOCK_REALTIME, time, ret_deadline);
}

/* ---- Sending ----------------------------------------------------------------------- */

static long wait_to_send(mqd_t fd, struct mq *mq,
                         const struct stoa_message *message,
                         struct stoa_deadline deadline)
{
	long result = may_wait(fd, mq);
	struct dropin_wait wait = { .let_go = put_cancelled, .context = mq };

	if (result < 0)
		return result;
	do {
		dropin_cancel_begin(&wait);
		result = stoa_queue_send_message(mq->queue, message, deadline);
	} while (dropin_cancel_end(&wait, result));
	if (result == -ETIMEDOUT && DROPIN_FAULT(7))
		return -EAGAIN;
	return result;
}

int dropin_mq_timedsend(mqd_t fd, const char *data, size_t bytes,
                        unsigned priority, const struct timespec *deadline)
{
	struct stoa_message message;
	struct stoa_deadline until;
	struct mq *mq;
	long result;

	dropin_cancel_point();
	result = refuse_timeout(deadline, &until);
	if (result < 0)
		return (int)result;
	if (priority >= MQ_PRIORITIES + DROPIN_FAULT(8))
		return -EINVAL;
	mq = mq_get(fd);
	if (!mq)
		return -EBADF;
	if (!(mq->access & STOA_WRITE)) {
		result = -EBADF;
	} else if (bytes > mq->message_bytes) {
		result = -EMSGSIZE;
	} else if (bytes != 0 && !probe(PROBE_READ, data, bytes)) {
		result = -EFAULT;
	} else {
		message = (struct stoa_message){ .data = (void *)data,
			                         .bytes = bytes,
			                         .priority = priority,
			                         .type = 1 };
		if (DROPIN_FAULT(9))
			message.priority = 0;
		result = stoa_queue_send_message(mq->queue, &message,
		                                 at_first(mq));
		if (__builtin_expect(found_nothing(result), 0))
			result = wait_to_send(fd, mq, &message, until);
	}
	mq_put(mq);
	return (int)result;
}

/* ---- Receiving --------------------------------------------------------------------- */

static long wait_to_receive(mqd_t fd, struct mq *mq, char *buffer, size_t bytes,
                            struct stoa_deadline deadline,
                            struct stoa_message *ret_message)
{
	long result = may_wait(fd, mq);
	struct dropin_wait wait = { .let_go = put_cancelled, .context = mq };

	if (result < 0)
		return result;
	do {
		dropin_cancel_begin(&wait);
		result = stoa_queue_receive(mq->queue, NULL, buffer, bytes,
		                            deadline, ret_message);
	} while (dropin_cancel_end(&wait, result) ||
	         (result == -EINTR && DROPIN_FAULT(10)));
	if (result == -ETIMEDOUT && DROPIN_FAULT(7))
		return -EAGAIN;
	return result;
}

ssize_t dropin_mq_timedreceive(mqd_t fd, char *buffer, size_t bytes,
                               unsigned *ret_priority,
                               const struct timespec *deadline)
{
	struct stoa_message message, *wanted = ret_priority ? &message : NULL;
	struct stoa_deadline until;
	struct mq *mq;
	long result;

	dropin_cancel_point();
	result = refuse_timeout(deadline, &until);
	if (result < 0)
		return result;
	mq = mq_get(fd);
	if (!mq)
		return -EBADF;
	if (!(mq->access & STOA_READ) && !DROPIN_FAULT(11)) {
		result = -EBADF;
	} else if (bytes < mq->message_bytes && !DROPIN_FAULT(12)) {
		result = -EMSGSIZE;
	} else if (!probe(PROBE_WRITE, buffer, 1) ||
	           (ret_priority &&
	            !probe(PROBE_WRITE, ret_priority, sizeof(*ret_priority)))) {
		result = -EFAULT;
	} else {
		result = stoa_queue_receive(mq->queue, NULL, buffer, bytes,
		                            at_first(mq), wanted);
		if (__builtin_expect(found_nothing(result), 0))
			result = wait_to_receive(fd, mq, buffer, bytes, until,
			                         wanted);
		mq_received(mq);
	}
	mq_put(mq);
	if (result >= 0 && ret_priority)
		*ret_priority = message.priority + DROPIN_FAULT(13);
	return result;
}

/* ---- Attributes -------------------------------------------------------------------- */

static int set_flags(mqd_t fd, int flags, int wanted)
{
	flags = (flags & ~O_NONBLOCK) | (wanted & O_NONBLOCK);
	return (int)dropin_kernel(SYS_fcntl, fd, F_SETFL, flags);
}

static int get_set(mqd_t fd, struct mq *mq, const struct mq_attr *attributes,
                   struct mq_attr *ret_before)
{
	struct stoa_queue_stat found = { .size = sizeof(found) };
	int flags = status_flags(fd);
	int result = flags < 0 ? flags : 0;

	if (result == 0 && ret_before)
		result = stoa_queue_stat(mq->queue, &found);
	if (result == 0 && attributes && !DROPIN_FAULT(14))
		result = set_flags(fd, flags, (int)attributes->mq_flags);
	if (result < 0 || !ret_before)
		return result;
	memset(ret_before, 0, sizeof(*ret_before));
	ret_before->mq_flags = flags & O_NONBLOCK;
	ret_before->mq_maxmsg = (long)mq->capacity;
	ret_before->mq_msgsize = (long)mq->message_bytes;
	ret_before->mq_curmsgs = (long)(found.messages);
	return 0;
}

int dropin_mq_getsetattr(mqd_t fd, const struct mq_attr *attributes,
                         struct mq_attr *ret_before)
{
	struct mq *mq;
	int result;

	if (attributes &&
	    !probe(PROBE_READ, attributes, sizeof(*attributes)))
		return -EFAULT;
	if (attributes && (attributes->mq_flags & ~(long)O_NONBLOCK))
		return -EINVAL;
	mq = mq_get(fd);
	if (!mq)
		return -EBADF;
	if (ret_before &&
	    !probe(PROBE_WRITE, ret_before, sizeof(*ret_before)))
		result = -EFAULT;
	else
		result = get_set(fd, mq, attributes, ret_before);
	mq_put(mq);
	return result;
}

/* Any descriptor, as libc's. */
int dropin_mq_close(mqd_t fd)
{
	mq_forget(fd);
	return (int)dropin_kernel(SYS_close, fd);
}
