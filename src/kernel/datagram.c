/* SPDX-License-Identifier: MIT */
/* kernel/datagram.c: sockets for datagrams and packets: opened and closed. */
#include <base/error.h>
#include <base/system.h>
#include <kernel/datagram_internal.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LINE 4096

static int check_attributes(const struct stoa_datagram_attributes *given,
                            struct stoa_datagram_attributes *ret_attributes)
{
	*ret_attributes = (struct stoa_datagram_attributes){
		.size = sizeof *ret_attributes
	};
	if (!given)
		return 0;
	if (given->size != sizeof *given)
		return stoa_fail(-EINVAL, "the attributes' size is %u, not %zu",
		                 given->size, sizeof *given);
	for (size_t i = 0; i < 4; i++)
		if (given->reserved[i])
			return stoa_fail(-EINVAL, "a reserved attribute of a "
			                          "datagram socket isn't 0");
	*ret_attributes = *given;
	return 0;
}

static struct stoa_datagram *make_handle(struct stoa_space *space, int family,
                                         unsigned flags)
{
	struct stoa_datagram *datagram = calloc(1, sizeof *datagram);

	if (!datagram) {
		stoa_fail(-ENOMEM, "no memory for a datagram socket");
		return NULL;
	}
	datagram->space = space;
	datagram->family = family;
	datagram->flags = flags;
	datagram->fd = -1;
	datagram->owner = stoa_sys_getpid();
	return datagram;
}

void stoa_datagram_close(struct stoa_datagram *datagram)
{
	if (!datagram)
		return;
	if (datagram->inode && datagram->owner == stoa_sys_getpid())
		stoa_socket_unbind(datagram->space, datagram->file,
		                   datagram->inode);
	if (datagram->fd >= 0)
		stoa_sys_close(datagram->fd);
	free(datagram);
}

/* ---- By name ------------------------------------------------------------------- */

static int bind_name(struct stoa_datagram *datagram, const char *name,
                     const char *kind, mode_t mode, int line)
{
	stoa_name_join(name, kind, datagram->file);
	int result = stoa_socket_bind(datagram->space, datagram->fd,
	                              datagram->file, mode, line,
	                              &datagram->inode);

	if (result == -EADDRINUSE)
		return stoa_fail(result, "somebody receives as %s already",
		                 datagram->file);
	if (result == -EEXIST)
		return stoa_fail(result, "there is a %s that is no socket; "
		                         "remove it, or take another name",
		                 datagram->file);
	if (result < 0)
		return stoa_fail(result, "can't receive as %s in %s: %s",
		                 datagram->file, datagram->space->path,
		                 strerror(-result));
	datagram->own.kind = STOA_DATAGRAM_NAME;
	strcpy(datagram->own.name, name);
	return 0;
}

static int make_unix(struct stoa_datagram *datagram, int type,
                     const struct stoa_datagram_attributes *attributes)
{
	int result = stoa_socket_make(AF_UNIX, type, 0);

	if (result < 0)
		return stoa_fail(result, "can't make a socket: %s",
		                 strerror(-result));
	datagram->fd = result;
	result = stoa_socket_set(datagram->fd, SOL_SOCKET, SO_PASSCRED, 1);
	if (result == 0 && attributes->room_bytes)
		result = stoa_socket_set(
		        datagram->fd, SOL_SOCKET, SO_RCVBUF,
		        attributes->room_bytes > INT_MAX ?
		                INT_MAX :
		                (int)attributes->room_bytes);
	return result;
}

static int open_name(struct stoa_datagram *datagram, mode_t mode,
                     const struct stoa_datagram_attributes *attributes,
                     const struct stoa_datagram_address *address)
{
	int result = make_unix(datagram, SOCK_DGRAM, attributes);

	if (result < 0)
		return result;
	if (datagram->flags & STOA_READ)
		return bind_name(datagram, address->name, DATAGRAM_KIND, mode,
		                 0);
	datagram->to = *address;
	return 0;
}

/* ---- UDP ------------------------------------------------------------------------ */

static int bind_udp(struct stoa_datagram *datagram)
{
	char text[STOA_DATAGRAM_TEXT_MAX];
	union stoa_socket_address address;
	struct stoa_datagram_address bound = datagram->own;

	/* Groups of one link only are looked for on that link. */
	if (!bound.interface)
		bound.interface = datagram->interface;
	socklen_t bytes = stoa_datagram_to_socket(&bound, &address);
	long result = stoa_system_call(SYS_bind, datagram->fd, (long)&address,
	                               bytes, 0, 0, 0);
	if (result < 0)
		return stoa_fail((int)result, "can't receive at %s: %s",
		                 stoa_datagram_print(&datagram->own, text),
		                 strerror((int)-result));
	if (stoa_datagram_is_group(&datagram->own))
		return stoa_datagram_join(datagram, &datagram->own, NULL);
	return 0;
}

/* Connected, the kernel tells when nobody listened. */
static int connect_udp(struct stoa_datagram *datagram)
{
	union stoa_socket_address address;
	socklen_t bytes = stoa_datagram_to_socket(&datagram->to, &address);
	char text[STOA_DATAGRAM_TEXT_MAX];

	if (stoa_datagram_is_group(&datagram->to))
		return 0;
	long result = stoa_system_call(SYS_connect, datagram->fd,
	                               (long)&address, bytes, 0, 0, 0);
	if (result < 0)
		return stoa_fail((int)result, "can't send to %s: %s",
		                 stoa_datagram_print(&datagram->to, text),
		                 strerror((int)-result));
	datagram->connected = 1;
	return 0;
}

static int open_udp(struct stoa_datagram *datagram,
                    const struct stoa_datagram_attributes *attributes,
                    const struct stoa_datagram_address *address)
{
	int result = stoa_datagram_interface(attributes->interface,
	                                     &datagram->interface);

	if (result < 0)
		return result;
	if (datagram->flags & STOA_READ)
		datagram->own = *address;
	else
		datagram->to = *address;
	datagram->fd = stoa_socket_make(datagram->family, SOCK_DGRAM, 0);
	if (datagram->fd < 0)
		return stoa_fail(datagram->fd, "can't make a socket for UDP: %s",
		                 strerror(-datagram->fd));
	result = stoa_datagram_set(datagram, attributes);
	if (result == 0 && attributes->room_bytes)
		result = stoa_socket_set(
		        datagram->fd, SOL_SOCKET, SO_RCVBUF,
		        attributes->room_bytes > INT_MAX ?
		                INT_MAX :
		                (int)attributes->room_bytes);
	if (result < 0)
		return result;
	return datagram->flags & STOA_READ ? bind_udp(datagram) :
	                                     connect_udp(datagram);
}

/* ---- Opening -------------------------------------------------------------------- */

static int family_of(const struct stoa_datagram_address *address)
{
	return address->kind == STOA_DATAGRAM_UDP4 ? AF_INET :
	       address->kind == STOA_DATAGRAM_UDP6 ? AF_INET6 :
	                                             AF_UNIX;
}

static int check_open(const struct stoa_space *space, const char *text,
                      unsigned flags,
                      const struct stoa_datagram_address *address)
{
	if (flags & ~(STOA_READ | STOA_WRITE | STOA_INTERRUPTIBLE |
	              STOA_AWAIT) ||
	    !(flags & (STOA_READ | STOA_WRITE)))
		return stoa_fail(-EINVAL, "a datagram socket is opened with "
		                          "STOA_READ, STOA_WRITE or both, "
		                          "STOA_INTERRUPTIBLE and STOA_AWAIT, "
		                          "not 0x%x",
		                 flags);
	if (!text && (flags & STOA_READ))
		return stoa_fail(-EINVAL, "to receive, a datagram socket needs "
		                          "an address");
	if (family_of(address) == AF_UNIX && !space)
		return stoa_fail(-EINVAL, "datagrams by name need a space");
	if (!(flags & STOA_READ) && family_of(address) != AF_UNIX &&
	    address->port == 0)
		return stoa_fail(-EINVAL, "port 0 can't be sent to: %s", text);
	return 0;
}

int stoa_datagram_open(struct stoa_space *space, const char *address,
                       unsigned flags, mode_t mode,
                       const struct stoa_datagram_attributes *attributes,
                       struct stoa_datagram **ret_datagram)
{
	struct stoa_datagram_attributes checked;
	struct stoa_datagram_address parsed = { 0 };
	int result = check_attributes(attributes, &checked);

	if (result == 0 && address)
		result = stoa_datagram_parse(address, &parsed);
	if (result == 0)
		result = check_open(space, address, flags, &parsed);
	if (result < 0)
		return result;
	struct stoa_datagram *datagram =
	        make_handle(space, family_of(&parsed), flags);
	if (!datagram)
		return -ENOMEM;
	result = datagram->family == AF_UNIX ?
	                 open_name(datagram, mode, &checked, &parsed) :
	                 open_udp(datagram, &checked, &parsed);
	if (result < 0) {
		stoa_datagram_close(datagram);
		return result;
	}
	*ret_datagram = datagram;
	return 0;
}

int stoa_datagram_own_address(struct stoa_datagram *datagram,
                              struct stoa_datagram_address *ret_address)
{
	union stoa_socket_address address;
	socklen_t bytes = sizeof address;

	if (datagram->family == AF_UNIX) {
		*ret_address = datagram->own;
		return 0;
	}
	long result = stoa_system_call(SYS_getsockname, datagram->fd,
	                               (long)&address, (long)&bytes, 0, 0, 0);
	if (result == 0)
		stoa_datagram_from_socket(&address, bytes, ret_address);
	return (int)result;
}

int stoa_datagram_pollfd(struct stoa_datagram *datagram)
{
	return datagram->fd;
}

/* ---- Packets -------------------------------------------------------------------- */

static int check_packet(const char *name, unsigned flags, unsigned known,
                        const char **ret_name)
{
	if (flags & ~known)
		return stoa_fail(-EINVAL, "unknown flags for %s: 0x%x", name,
		                 flags);
	return stoa_name_check(name, ret_name);
}

static int make_packet(struct stoa_space *space, unsigned flags,
                       struct stoa_datagram **ret_datagram)
{
	const struct stoa_datagram_attributes none = { 0 };
	struct stoa_datagram *datagram =
	        make_handle(space, AF_UNIX, flags | STOA_READ | STOA_WRITE);

	if (!datagram)
		return -ENOMEM;
	int result = make_unix(datagram, SOCK_SEQPACKET, &none);
	if (result < 0) {
		stoa_datagram_close(datagram);
		return result;
	}
	*ret_datagram = datagram;
	return 0;
}

int stoa_datagram_listen(struct stoa_space *space, const char *name,
                         unsigned flags, mode_t mode,
                         struct stoa_datagram **ret_listener)
{
	struct stoa_datagram *listener;
	int result = check_packet(name, flags, STOA_INTERRUPTIBLE, &name);

	if (result == 0)
		result = make_packet(space, flags, &listener);
	if (result < 0)
		return result;
	listener->listener = 1;
	result = bind_name(listener, name, PACKET_KIND, mode, LINE);
	if (result < 0) {
		stoa_datagram_close(listener);
		return result;
	}
	*ret_listener = listener;
	return 0;
}

static int accept_one(struct stoa_datagram *listener,
                      struct stoa_deadline deadline)
{
	for (;;) {
		long fd = stoa_system_call(SYS_accept4, listener->fd, 0, 0,
		                           SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0);

		if (fd >= 0 || (fd != -EAGAIN && fd != -EINTR &&
		                fd != -ECONNABORTED))
			return (int)fd;
		int ready = stoa_socket_wait(listener->fd, POLLIN, deadline,
		                             listener->flags);
		if (ready < 0)
			return ready;
	}
}

int stoa_datagram_accept(struct stoa_datagram *listener,
                         struct stoa_deadline deadline,
                         struct stoa_datagram **ret_datagram)
{
	struct stoa_datagram *datagram;

	if (!listener->listener)
		return stoa_fail(-EINVAL, "nobody can connect to that socket: "
		                          "it wasn't opened to listen");
	datagram = make_handle(listener->space, AF_UNIX, listener->flags);
	if (!datagram)
		return -ENOMEM;
	/* It has SO_PASSCRED from the listener. */
	datagram->fd = accept_one(listener, deadline);
	datagram->connected = 1;
	if (datagram->fd < 0) {
		int result = datagram->fd;

		stoa_datagram_close(datagram);
		if (result == -EMFILE || result == -ENFILE || result == -ENOMEM)
			stoa_fail(result, "can't accept a connection to %s: %s",
			          listener->file, strerror(-result));
		return result;
	}
	*ret_datagram = datagram;
	return 0;
}

static int explain(int result, const char *file, const struct stoa_space *space)
{
	switch (result) {
	case -EAGAIN:
	case -ETIMEDOUT:
	case -EINTR: return result;
	case -ENOENT:
		return stoa_fail(result, "there is no %s in the space %s", file,
		                 space->path);
	case -ECONNREFUSED:
		return stoa_fail(result, "who listened as %s is gone", file);
	default:
		return stoa_fail(result, "can't connect to %s: %s", file,
		                 strerror(-result));
	}
}

int stoa_datagram_connect(struct stoa_space *space, const char *name,
                          unsigned flags, struct stoa_deadline deadline,
                          struct stoa_datagram **ret_datagram)
{
	struct stoa_datagram *datagram;
	char file[STOA_FILE_NAME_MAX + 1];
	int result = check_packet(
	        name, flags, STOA_INTERRUPTIBLE | STOA_AWAIT, &name);

	if (result == 0)
		result = make_packet(space, flags, &datagram);
	if (result < 0)
		return result;
	stoa_name_join(name, PACKET_KIND, file);
	datagram->connected = 1;
	result = stoa_socket_connect(space, datagram->fd, file, deadline,
	                             flags);
	if (result < 0) {
		stoa_datagram_close(datagram);
		return explain(result, file, space);
	}
	*ret_datagram = datagram;
	return 0;
}
