/* SPDX-License-Identifier: MIT */
/* kernel/datagram_internal.h: a socket for datagrams, between its files. */
#ifndef STOA_KERNEL_DATAGRAM_INTERNAL_H
#define STOA_KERNEL_DATAGRAM_INTERNAL_H

#include <base/private_lock.h>
#include <kernel/socket.h>
#include <stoa/datagram.h>

#include <netinet/in.h>

#define DATAGRAM_KIND "datagram"
#define PACKET_KIND "packet"

struct stoa_datagram {
	struct stoa_space *space; /* NULL: UDP alone */
	int fd;
	int family; /* AF_UNIX, AF_INET, AF_INET6 */
	int listener, connected; /* packets; connected: UDP, too */
	int32_t owner; /* process id: a forked child doesn't take the name */
	unsigned flags;
	uint64_t inode; /* of the name; 0: it has none */
	uint32_t interface;
	struct stoa_datagram_address own, to; /* kind NONE: none */
	struct stoa_lock receiving; /* from the look at a datagram to its end */
	char file[STOA_FILE_NAME_MAX + 1];
};

union stoa_socket_address {
	struct sockaddr any;
	struct sockaddr_un name;
	struct sockaddr_in udp4;
	struct sockaddr_in6 udp6;
};

/* UDP only. The bytes of it. */
socklen_t stoa_datagram_to_socket(const struct stoa_datagram_address *address,
                                  union stoa_socket_address *ret_address);
/* NONE, if it tells nothing. */
void stoa_datagram_from_socket(const union stoa_socket_address *address,
                               socklen_t bytes,
                               struct stoa_datagram_address *ret_address);

int stoa_datagram_interface(const char *name, uint32_t *ret_index);

/* What a UDP socket is set to before it is bound. 0 or -errno. */
int stoa_datagram_set(struct stoa_datagram *datagram,
                      const struct stoa_datagram_attributes *attributes);

#endif
