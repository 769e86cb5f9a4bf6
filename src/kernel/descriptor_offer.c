/* SPDX-License-Identifier: MIT */
/*
 * kernel/descriptor_offer.c: descriptors offered under a name, and fetched.
 *
 *     fetcher                           offerer
 *     connect                           accept; who is it? admitted?
 *                                       send the message, in rounds
 *     receive it, whole
 *     thank: the commit point           receive the thanks: one less
 *     has them                          (no thanks within his patience:
 *                                        shut the socket, then look once more)
 *
 * A fetch is done when the thanks are in the offerer's socket, not when he
 * reads them: the kernel refuses thanks (-EPIPE) once the socket is shut, and
 * those that came before are read after. So both sides know the same, whoever
 * is slow, stopped or killed, and `count` is exact.
 */
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/descriptor_internal.h>
#include <kernel/socket.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define KIND "offer"
#define LINE 4096 /* fetchers that wait; net.core.somaxconn may be less */
#define PATIENCE_NS INT64_C(5000000000)

struct stoa_offer {
	struct stoa_space *space;
	int fd;
	int32_t owner; /* process id: a forked child doesn't take the name */
	unsigned flags;
	uint64_t inode;
	struct stoa_offer_attributes attributes;
	uint64_t fetched;
	uint64_t identity; /* of the last conversation */
	size_t count, bytes;
	int *descriptors;
	char *data;
	char file[STOA_FILE_NAME_MAX + 1];
};

static int check_attributes(const struct stoa_offer_attributes *given,
                            struct stoa_offer_attributes *ret_attributes)
{
	*ret_attributes = (struct stoa_offer_attributes){
		.size = sizeof *ret_attributes, .count = 1
	};
	if (given) {
		if (given->size != sizeof *given)
			return stoa_fail(-EINVAL,
			                 "the attributes' size is %u, not %zu",
			                 given->size, sizeof *given);
		for (size_t i = 0; i < 4; i++)
			if (given->reserved[i])
				return stoa_fail(-EINVAL, "a reserved attribute "
				                          "of an offer isn't 0");
		*ret_attributes = *given;
	}
	if (ret_attributes->patience_ns == 0)
		ret_attributes->patience_ns = PATIENCE_NS;
	if (ret_attributes->patience_ns < 0)
		return stoa_fail(-EINVAL, "an offer's patience can't be "
		                          "negative");
	return 0;
}

static int keep(struct stoa_offer *offer, const int *descriptors, size_t count,
                const void *data, size_t bytes)
{
	offer->descriptors = malloc((count ? count : 1) * sizeof(int));
	offer->data = malloc(bytes ? bytes : 1);
	if (!offer->descriptors || !offer->data)
		return stoa_fail(-ENOMEM, "no memory to offer %zu descriptors "
		                          "and %zu bytes",
		                 count, bytes);
	if (bytes)
		memcpy(offer->data, data, bytes);
	offer->bytes = bytes;
	for (size_t i = 0; i < count; i++) {
		long fd = stoa_system_call(SYS_fcntl, descriptors[i],
		                           F_DUPFD_CLOEXEC, 3, 0, 0, 0);

		if (fd < 0)
			return stoa_fail((int)fd, "can't offer descriptor %d: %s",
			                 descriptors[i], strerror((int)-fd));
		offer->descriptors[offer->count++] = (int)fd;
	}
	return 0;
}

static void free_offer(struct stoa_offer *offer)
{
	if (offer->fd >= 0)
		stoa_sys_close(offer->fd);
	stoa_descriptors_close(offer->descriptors, offer->count);
	free(offer->descriptors);
	free(offer->data);
	free(offer);
}

static int listen_as(struct stoa_offer *offer, mode_t mode)
{
	int result = stoa_socket_make(AF_UNIX, SOCK_SEQPACKET, 0);

	if (result >= 0) {
		offer->fd = result;
		result = stoa_socket_bind(offer->space, offer->fd, offer->file,
		                          mode, LINE, &offer->inode);
	}
	if (result == -EADDRINUSE)
		return stoa_fail(result, "%s is offered by somebody already",
		                 offer->file);
	if (result == -EEXIST)
		return stoa_fail(result, "there is a %s that is no socket; "
		                         "remove it, or take another name",
		                 offer->file);
	if (result < 0)
		return stoa_fail(result, "can't offer %s in %s: %s",
		                 offer->file, offer->space->path,
		                 strerror(-result));
	return 0;
}

static int check_flags(const char *name, unsigned flags, unsigned known)
{
	if (flags & ~known)
		return stoa_fail(-EINVAL, "unknown flags for the offer %s: 0x%x",
		                 name, flags);
	return 0;
}

int stoa_descriptor_offer(struct stoa_space *space, const char *name,
                          unsigned flags, mode_t mode,
                          const struct stoa_offer_attributes *attributes,
                          const int *descriptors, size_t count,
                          const void *data, size_t bytes,
                          struct stoa_offer **ret_offer)
{
	int result = stoa_name_check(name, &name);

	if (result == 0)
		result = check_flags(name, flags, STOA_INTERRUPTIBLE);
	if (result < 0)
		return result;
	struct stoa_offer *offer = calloc(1, sizeof *offer);
	if (!offer)
		return stoa_fail(-ENOMEM, "no memory to offer %s", name);
	offer->space = space;
	offer->flags = flags;
	offer->fd = -1;
	offer->owner = stoa_life_pid(&space->life);
	stoa_name_join(name, KIND, offer->file);
	result = check_attributes(attributes, &offer->attributes);
	if (result == 0)
		result = keep(offer, descriptors, count, data, bytes);
	if (result == 0)
		result = listen_as(offer, mode);
	if (result < 0) {
		free_offer(offer);
		return result;
	}
	*ret_offer = offer;
	return 0;
}

int stoa_descriptor_offer_pollfd(struct stoa_offer *offer)
{
	return offer->fd;
}

void stoa_descriptor_withdraw(struct stoa_offer *offer)
{
	if (!offer)
		return;
	if (offer->owner == stoa_life_pid(&offer->space->life))
		stoa_socket_unbind(offer->space, offer->file, offer->inode);
	free_offer(offer);
}

/* ---- Serving ------------------------------------------------------------------ */

static int accept_one(struct stoa_offer *offer, struct stoa_deadline deadline)
{
	for (;;) {
		long fd = stoa_system_call(SYS_accept4, offer->fd, 0, 0,
		                           SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0);

		if (fd >= 0 || (fd != -EAGAIN && fd != -EINTR &&
		                fd != -ECONNABORTED))
			return (int)fd;
		int ready = stoa_socket_wait(offer->fd, POLLIN, deadline,
		                             offer->flags);
		if (ready < 0)
			return ready;
	}
}

/* The thanks that were in time, though nobody read them in time. */
static int last_look(int fd, uint64_t identity)
{
	stoa_system_call(SYS_shutdown, fd, SHUT_RDWR, 0, 0, 0, 0);
	return stoa_rounds_await_thanks(fd, 0, identity, STOA_NOW);
}

/* 0: he has them. */
static int converse(struct stoa_offer *offer, int fd)
{
	uint64_t identity = ++offer->identity;
	struct stoa_deadline patience =
	        stoa_deadline_in(offer->attributes.patience_ns);
	int result = stoa_rounds_send(fd, offer->flags, offer->descriptors,
	                              offer->count, offer->data, offer->bytes,
	                              identity, patience);

	if (result < 0)
		return result;
	result = stoa_rounds_await_thanks(fd, offer->flags, identity, patience);
	return result < 0 && last_look(fd, identity) == 0 ? 0 : result;
}

/* Whether a failed conversation is the offerer's affair. */
static int concerns_offerer(int result)
{
	return result == -ETOOMANYREFS || result == -EMFILE ||
	       result == -ENFILE || result == -ENOMEM || result == -ENOBUFS ||
	       result == -EBADF || result == -EINTR;
}

static int left_of(const struct stoa_offer *offer)
{
	uint64_t count = offer->attributes.count;

	if (count == 0)
		return INT_MAX;
	count -= offer->fetched;
	return count > INT_MAX ? INT_MAX : (int)count;
}

/* One fetcher. 1: served; 0: he doesn't count; -errno: of the offerer. */
static int serve_one(struct stoa_offer *offer, struct stoa_deadline deadline,
                     struct stoa_descriptor_peer *ret_peer)
{
	struct stoa_descriptor_peer peer;
	int fd = accept_one(offer, deadline);

	if (fd < 0)
		return fd;
	int result = stoa_descriptor_peer(fd, &peer);
	if (result == 0 && offer->attributes.admit &&
	    !offer->attributes.admit(&peer, offer->attributes.context))
		result = -EACCES;
	if (result == 0)
		result = converse(offer, fd);
	stoa_sys_close(fd);
	if (result < 0)
		return concerns_offerer(result) ? result : 0;
	*ret_peer = peer;
	return 1;
}

/* Who comes later is refused, who waits in line told at once. */
static void refuse_others(const struct stoa_offer *offer)
{
	stoa_system_call(SYS_shutdown, offer->fd, SHUT_RDWR, 0, 0, 0, 0);
	for (int i = 0; i < LINE; i++) {
		long fd = stoa_system_call(SYS_accept4, offer->fd, 0, 0,
		                           SOCK_CLOEXEC, 0, 0);

		if (fd < 0)
			return;
		stoa_sys_close((int)fd);
	}
}

int stoa_descriptor_serve(struct stoa_offer *offer,
                          struct stoa_deadline deadline,
                          struct stoa_descriptor_peer *ret_peer)
{
	struct stoa_descriptor_peer peer;
	int result;

	if (left_of(offer) == 0)
		return stoa_fail(-ESHUTDOWN, "%s was fetched %llu times, as "
		                             "often as was offered",
		                 offer->file,
		                 (unsigned long long)offer->fetched);
	do {
		result = serve_one(offer, deadline, &peer);
		if (result == 0 && deadline.kind == STOA_DEADLINE_INSTANT &&
		    stoa_deadline_left(deadline) == 0)
			result = -ETIMEDOUT;
	} while (result == 0);
	if (result < 0) {
		if (result != -EAGAIN && result != -ETIMEDOUT &&
		    result != -EINTR && result != -ETOOMANYREFS)
			stoa_fail(result, "can't serve %s: %s", offer->file,
			          strerror(-result));
		return result;
	}
	offer->fetched++;
	if (left_of(offer) == 0)
		refuse_others(offer);
	if (ret_peer)
		*ret_peer = peer;
	return left_of(offer);
}

/* ---- Fetching ------------------------------------------------------------------ */

static int explain(int result, const char *file, const struct stoa_space *space)
{
	switch (result) {
	case -EAGAIN:
	case -ETIMEDOUT:
	case -EINTR:
	case -EMSGSIZE: /* said already */
	case -EMFILE:
	case -EBADMSG: return result;
	case -ENOENT:
		return stoa_fail(result, "nobody offers %s in the space %s",
		                 file, space->path);
	case -ECONNREFUSED:
		return stoa_fail(result, "who offered %s is gone, or it was fetched as "
		                 "often as it was offered",
		                 file);
	case -EPIPE:
	case -ECONNRESET:
		return stoa_fail(-ECONNRESET,
		                 "who offers %s withdrew it, doesn't admit this "
		                 "process, or had no more patience",
		                 file);
	default:
		return stoa_fail(result, "can't fetch %s: %s", file,
		                 strerror(-result));
	}
}

/* Fetched only if the thanks arrived. */
static ssize_t fetch_from(int fd, unsigned flags, int *ret_descriptors,
                          size_t most, void *ret_data, size_t room,
                          struct stoa_deadline deadline,
                          struct stoa_descriptor_message *ret_message)
{
	struct stoa_descriptor_message message;
	uint64_t identity;
	ssize_t got = stoa_rounds_receive(fd, flags, ret_descriptors, most,
	                                  ret_data, room, deadline, &message,
	                                  &identity);

	if (got == -EMSGSIZE)
		*ret_message = message;
	if (got < 0)
		return got;
	int result = stoa_rounds_thank(fd, identity);
	if (result < 0) {
		stoa_descriptors_close(ret_descriptors, message.descriptors);
		return result;
	}
	*ret_message = message;
	return got;
}

ssize_t stoa_descriptor_fetch(struct stoa_space *space, const char *name,
                              unsigned flags, int *ret_descriptors, size_t most,
                              void *ret_data, size_t room,
                              struct stoa_deadline deadline,
                              struct stoa_descriptor_message *ret_message)
{
	char file[STOA_FILE_NAME_MAX + 1];
	int result = stoa_name_check(name, &name);

	if (result == 0)
		result = check_flags(name, flags,
		                     STOA_INTERRUPTIBLE | STOA_AWAIT);
	if (result < 0)
		return result;
	stoa_name_join(name, KIND, file);
	int fd = stoa_socket_make(AF_UNIX, SOCK_SEQPACKET, 0);
	if (fd < 0)
		return explain(fd, file, space);
	ssize_t got = stoa_socket_connect(space, fd, file, deadline, flags);
	if (got == 0)
		got = fetch_from(fd, flags, ret_descriptors, most, ret_data,
		                 room, deadline, ret_message);
	stoa_sys_close(fd);
	return got < 0 ? explain((int)got, file, space) : got;
}
