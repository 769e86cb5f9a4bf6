/* SPDX-License-Identifier: MIT */
/*
 * kernel/datagram_move.c: sending and receiving.
 *
 * A receive looks at the size first (MSG_PEEK | MSG_TRUNC): what doesn't fit is
 * not touched. The look and the receive are of one datagram, as threads take
 * turns at them. Descriptors that came unasked are never made: the room for
 * control messages is exactly that of what is wanted.
 *
 * A sender to a name whose receiver's queue is full can't poll for that with a
 * socket that sends to anybody. It makes one that is connected to the receiver
 * alone, which the kernel wakes when there is room.
 */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/datagram_internal.h>
#include <space/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* ---- Sending -------------------------------------------------------------------- */

/* Where one datagram goes. */
struct destination {
	union stoa_socket_address address;
	socklen_t bytes; /* 0: where the socket is connected to */
	int located;     /* descriptor of a name's file, or -1 */
	char file[STOA_FILE_NAME_MAX + 1];
};

static void leave(struct destination *destination)
{
	if (destination->located >= 0)
		stoa_sys_close(destination->located);
}

/* In a space of one's own nobody else makes links, so a name that fits is told
 * to the kernel as it is. */
static int find_name(const struct stoa_datagram *datagram, const char *name,
                     struct destination *destination)
{
	struct stoa_space *space = datagram->space;
	struct sockaddr_un *address = &destination->address.name;
	int result = stoa_name_check(name, &name);

	if (result < 0)
		return result;
	stoa_name_join(name, DATAGRAM_KIND, destination->file);
	destination->bytes = sizeof *address;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!space->life.shared &&
	    snprintf(address->sun_path, sizeof address->sun_path,
	             "/proc/self/fd/%d/%s/" SOCKET_INNER, space->life.directory,
	             destination->file) < (int)sizeof address->sun_path)
		return 0;
	result = stoa_socket_locate(space->life.directory, destination->file,
	                            address);
	if (result >= 0)
		destination->located = result;
	return result < 0 ? result : 0;
}

static int find(const struct stoa_datagram *datagram,
                const struct stoa_datagram_address *to,
                struct destination *destination)
{
	char text[STOA_DATAGRAM_TEXT_MAX];
	int family;

	destination->located = -1;
	destination->bytes = 0;
	destination->file[0] = 0;
	if (datagram->connected && !to)
		return 0;
	if (!to)
		to = &datagram->to;
	if (to->kind == STOA_DATAGRAM_NONE)
		return stoa_fail(-EDESTADDRREQ,
		                 "where the datagram goes was said neither when "
		                 "the socket was opened nor now");
	family = to->kind == STOA_DATAGRAM_NAME ? AF_UNIX :
	         to->kind == STOA_DATAGRAM_UDP4 ? AF_INET :
	                                          AF_INET6;
	if (family != datagram->family)
		return stoa_fail(-EAFNOSUPPORT,
		                 "%s isn't of the kind of this socket's address",
		                 stoa_datagram_print(to, text));
	if (datagram->connected && family == AF_UNIX)
		return stoa_fail(-EINVAL, "a connection has its other end; "
		                          "packets go nowhere else");
	if (family == AF_UNIX)
		return find_name(datagram, to->name, destination);
	destination->bytes =
	        stoa_datagram_to_socket(to, &destination->address);
	return 0;
}

/* Until the receiver by that name has room. 0: try again. */
static int wait_for_receiver(const struct stoa_datagram *datagram,
                             const struct destination *destination,
                             struct stoa_deadline deadline)
{
	int fd = stoa_socket_make(AF_UNIX, SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	long result = stoa_system_call(SYS_connect, fd,
	                               (long)&destination->address,
	                               destination->bytes, 0, 0, 0);
	if (result == 0)
		result = stoa_socket_wait(fd, POLLOUT, deadline,
		                          datagram->flags);
	stoa_sys_close(fd);
	return result < 0 ? (int)result : 0;
}

static int wait_for_room(const struct stoa_datagram *datagram,
                         const struct destination *destination,
                         struct stoa_deadline deadline)
{
	int result = stoa_deadline_left(deadline) == 0 ?
	                     stoa_deadline_result(deadline) :
	                     0;

	/* This socket's own queue first, which one may well wait for. */
	if (result == 0)
		result = stoa_socket_wait(datagram->fd, POLLOUT, deadline,
		                          datagram->flags);
	if (result >= 0 && datagram->family == AF_UNIX && destination->bytes)
		result = wait_for_receiver(datagram, destination, deadline);
	return result < 0 ? result : 0;
}

static int refused(const struct stoa_datagram *datagram,
                   const struct destination *destination, int result,
                   size_t bytes)
{
	char text[STOA_DATAGRAM_TEXT_MAX];
	const char *where = "the other end";
	struct stoa_datagram_address to;

	if (result == -EAGAIN || result == -ETIMEDOUT || result == -EINTR ||
	    result == -EPIPE)
		return result;
	if (result == -ECONNRESET)
		return -EPIPE;
	if (datagram->family == AF_UNIX && destination->bytes) {
		where = destination->file;
	} else if (destination->bytes) {
		stoa_datagram_from_socket(&destination->address,
		                          destination->bytes, &to);
		where = stoa_datagram_print(&to, text);
	}
	switch (result) {
	case -EMSGSIZE:
		return stoa_fail(result, "%zu bytes are too many for one "
		                         "datagram to %s",
		                 bytes, where);
	case -ECONNREFUSED:
		return stoa_fail(result, "nobody receives at %s any more",
		                 where);
	case -ENOENT:
		return stoa_fail(result, "there is no %s in the space %s",
		                 where, datagram->space->path);
	default:
		return stoa_fail(result, "can't send to %s: %s", where,
		                 strerror(-result));
	}
}

static int send_to(const struct stoa_datagram *datagram,
                   struct destination *destination, const void *data,
                   size_t bytes, struct stoa_deadline deadline)
{
	struct iovec part = { (void *)data, bytes };
	struct msghdr message = {
		.msg_name = destination->bytes ? &destination->address : NULL,
		.msg_namelen = destination->bytes,
		.msg_iov = &part,
		.msg_iovlen = 1
	};

	for (;;) {
		ssize_t sent = stoa_socket_send(datagram->fd, &message,
		                                MSG_DONTWAIT, STOA_NOW,
		                                datagram->flags);
		if (sent >= 0)
			return 0;
		if (sent != -EAGAIN)
			return (int)sent;
		int result = wait_for_room(datagram, destination, deadline);
		if (result < 0)
			return result;
	}
}

struct sending {
	const struct stoa_datagram *datagram;
	const struct stoa_datagram_address *to;
	const void *data;
	size_t bytes;
	struct stoa_deadline deadline;
	struct destination destination;
	int told; /* what is wrong has been said */
};

static int find_and_send(void *context)
{
	struct sending *sending = context;
	struct destination *destination = &sending->destination;
	int result = find(sending->datagram, sending->to, destination);

	sending->told = result == -EDESTADDRREQ || result == -EAFNOSUPPORT ||
	                result == -EINVAL;
	if (result == 0)
		result = send_to(sending->datagram, destination, sending->data,
		                 sending->bytes, sending->deadline);
	leave(destination);
	return result;
}

int stoa_datagram_send(struct stoa_datagram *datagram,
                       const struct stoa_datagram_address *to,
                       const void *data, size_t bytes,
                       struct stoa_deadline deadline)
{
	struct sending sending = { datagram, to, data, bytes, deadline,
		                   .destination.located = -1 };
	int result = find_and_send(&sending);

	/* A connection, and what isn't by name, is what it is. */
	if ((datagram->flags & STOA_AWAIT) && sending.destination.file[0] &&
	    (result == -ENOENT || result == -ECONNREFUSED))
		result = stoa_socket_await(datagram->space,
		                           sending.destination.file,
		                           find_and_send, &sending, deadline,
		                           datagram->flags);
	if (result == 0 || sending.told)
		return result;
	return refused(datagram, &sending.destination, result, bytes);
}

/* ---- Receiving ------------------------------------------------------------------- */

/* Of UDP the interface and where it went to; else the sender. No room for
 * descriptors. */
union control {
	struct cmsghdr align;
	char udp[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	char name[CMSG_SPACE(sizeof(struct ucred))];
};

static void read_control(const struct cmsghdr *control,
                         struct stoa_datagram_message *message)
{
	const void *data = CMSG_DATA(control);

	if (control->cmsg_level == SOL_SOCKET &&
	    control->cmsg_type == SCM_CREDENTIALS) {
		struct ucred sender;

		memcpy(&sender, data, sizeof sender);
		message->has_sender = 1;
		message->pid = sender.pid;
		message->uid = sender.uid;
		message->gid = sender.gid;
	} else if (control->cmsg_level == IPPROTO_IP &&
	           control->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo four;

		memcpy(&four, data, sizeof four);
		message->interface = (uint32_t)four.ipi_ifindex;
		message->to.kind = STOA_DATAGRAM_UDP4;
		memcpy(message->to.host, &four.ipi_addr, 4);
	} else if (control->cmsg_level == IPPROTO_IPV6 &&
	           control->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo six;

		memcpy(&six, data, sizeof six);
		message->interface = six.ipi6_ifindex;
		message->to.kind = STOA_DATAGRAM_UDP6;
		memcpy(message->to.host, &six.ipi6_addr, 16);
	}
}

/* Its size, also when that is more than `room`; -errno. */
static ssize_t take(const struct stoa_datagram *datagram, void *buffer,
                    size_t room, int how, struct stoa_datagram_message *message)
{
	union stoa_socket_address from;
	union control control;
	struct iovec part = { buffer, room };
	struct msghdr header = {
		.msg_name = &from,
		.msg_namelen = sizeof from,
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = datagram->family == AF_UNIX ?
		                          sizeof control.name :
		                          sizeof control.udp,
	};
	long got;

	do
		got = stoa_system_call(SYS_recvmsg, datagram->fd, (long)&header,
		                       MSG_DONTWAIT | MSG_TRUNC |
		                               MSG_CMSG_CLOEXEC | how,
		                       0, 0, 0);
	while (got == -EINTR || (got == -ECONNRESET && datagram->family == AF_UNIX));
	if (got < 0)
		return got;
	memset(message, 0, sizeof *message);
	message->bytes = (size_t)got;
	stoa_datagram_from_socket(&from, header.msg_namelen, &message->from);
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&header); at;
	     at = CMSG_NXTHDR(&header, at))
		read_control(at, message);
	/* An empty packet has a sender; the end of a connection has none. */
	if (got == 0 && datagram->family == AF_UNIX && datagram->connected &&
	    !message->has_sender)
		return -EPIPE;
	return got;
}

static int too_large(const struct stoa_datagram_message *message, size_t room)
{
	return stoa_fail(-EMSGSIZE,
	                 "a datagram of %zu bytes came, and there was room for "
	                 "%zu; it can be received with more",
	                 message->bytes, room);
}

/* The look, and the receive if it fits. */
static ssize_t look_and_take(const struct stoa_datagram *datagram, void *buffer,
                             size_t room, struct stoa_datagram_message *message)
{
	ssize_t got = 0;

	/* No datagram of UDP is larger than 64 KiB. */
	if (datagram->family == AF_UNIX || room < UINT16_MAX) {
		got = take(datagram, NULL, 0, MSG_PEEK, message);
		if (got > (ssize_t)room && !STOA_BUG(118))
			return too_large(message, room);
	}
	if (got >= 0)
		got = take(datagram, buffer, room, 0, message);
	if (got > (ssize_t)room)
		return too_large(message, room); /* another process was first */
	return got;
}

ssize_t stoa_datagram_receive(struct stoa_datagram *datagram, void *buffer,
                              size_t room, struct stoa_deadline deadline,
                              struct stoa_datagram_message *ret_message)
{
	struct stoa_datagram_message message;

	if (datagram->listener ||
	    (datagram->family == AF_UNIX && !(datagram->flags & STOA_READ)))
		return stoa_fail(-EBADF, "that socket wasn't opened to receive");
	for (;;) {
		stoa_private_lock(&datagram->receiving);
		ssize_t got = look_and_take(datagram, buffer, room, &message);
		stoa_private_unlock(&datagram->receiving);

		if (got >= 0 || got == -EMSGSIZE) {
			if (ret_message)
				*ret_message = message;
			return got;
		}
		if (got != -EAGAIN)
			return got;
		int ready = stoa_socket_wait(datagram->fd, POLLIN, deadline,
		                             datagram->flags);
		if (ready < 0)
			return ready;
	}
}
