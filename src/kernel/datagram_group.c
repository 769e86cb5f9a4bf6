/* SPDX-License-Identifier: MIT */
/* kernel/datagram_group.c: options of UDP sockets, and multicast groups. */
#include <base/error.h>
#include <base/system.h>
#include <kernel/datagram_internal.h>

#include <errno.h>
#include <string.h>

#define TTL_DEFAULT 1
#define TTL_MOST 255

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

struct setting {
	int level, option, value;
};

static int set_all(int fd, const struct setting *settings, size_t count)
{
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++)
		result = stoa_socket_set(fd, settings[i].level,
		                         settings[i].option, settings[i].value);
	return result;
}

#define SET_ALL(fd, settings) \
	set_all(fd, settings, sizeof(settings) / sizeof *(settings))

/* Without ..._ALL = 0 a socket gets what comes to groups that others on the
 * machine have joined. */
static int set_four(const struct stoa_datagram *datagram, int ttl, int loop)
{
	struct ip_mreqn out = { .imr_ifindex = (int)datagram->interface };
	const struct setting settings[] = {
		{ IPPROTO_IP, IP_MULTICAST_ALL, 0 },
		{ IPPROTO_IP, IP_PKTINFO, 1 },
		{ IPPROTO_IP, IP_MULTICAST_TTL, ttl },
		{ IPPROTO_IP, IP_MULTICAST_LOOP, loop },
	};
	int result = SET_ALL(datagram->fd, settings);

	if (result == 0 && datagram->interface)
		result = (int)stoa_system_call(SYS_setsockopt, datagram->fd,
		                               IPPROTO_IP, IP_MULTICAST_IF,
		                               (long)&out, sizeof out, 0);
	return result;
}

/* Without IPV6_V6ONLY it would take IPv4's ports, too. */
static int set_six(const struct stoa_datagram *datagram, int ttl, int loop)
{
	const struct setting settings[] = {
		{ IPPROTO_IPV6, IPV6_V6ONLY, 1 },
		{ IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0 },
		{ IPPROTO_IPV6, IPV6_RECVPKTINFO, 1 },
		{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ttl },
		{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP, loop },
		{ IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)datagram->interface },
	};

	return SET_ALL(datagram->fd, settings);
}

int stoa_datagram_set(struct stoa_datagram *datagram,
                      const struct stoa_datagram_attributes *attributes)
{
	int ttl = attributes->ttl ? (int)attributes->ttl : TTL_DEFAULT;
	int loop = attributes->loop != STOA_DATAGRAM_NO_LOOP;
	int result = 0;

	if (attributes->ttl > TTL_MOST)
		return stoa_fail(-EINVAL, "a time to live is 1 to %d, not %u",
		                 TTL_MOST, attributes->ttl);
	if (attributes->broadcast && datagram->family == AF_INET)
		result = stoa_socket_set(datagram->fd, SOL_SOCKET, SO_BROADCAST,
		                         1);
	/* Members of a group share its port; nobody else shares one. */
	if (result == 0 && stoa_datagram_is_group(&datagram->own))
		result = stoa_socket_set(datagram->fd, SOL_SOCKET, SO_REUSEADDR,
		                         1);
	if (result == 0)
		result = datagram->family == AF_INET ?
		                 set_four(datagram, ttl, loop) :
		                 set_six(datagram, ttl, loop);
	return result;
}

/* ---- Joining ----------------------------------------------------------------- */

static int change_four(const struct stoa_datagram *datagram,
                       const struct stoa_datagram_address *group,
                       uint32_t interface, int join)
{
	struct ip_mreqn request = { .imr_ifindex = (int)interface };

	memcpy(&request.imr_multiaddr, group->host, 4);
	return (int)stoa_system_call(
	        SYS_setsockopt, datagram->fd, IPPROTO_IP,
	        join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, (long)&request,
	        sizeof request, 0);
}

static int change_six(const struct stoa_datagram *datagram,
                      const struct stoa_datagram_address *group,
                      uint32_t interface, int join)
{
	struct ipv6_mreq request = {
		.ipv6mr_interface = interface ? interface : group->interface
	};

	memcpy(&request.ipv6mr_multiaddr, group->host, 16);
	return (int)stoa_system_call(
	        SYS_setsockopt, datagram->fd, IPPROTO_IPV6,
	        join ? IPV6_ADD_MEMBERSHIP : IPV6_DROP_MEMBERSHIP,
	        (long)&request, sizeof request, 0);
}

static int change(struct stoa_datagram *datagram,
                  const struct stoa_datagram_address *group,
                  const char *interface, int join)
{
	char text[STOA_DATAGRAM_TEXT_MAX];
	uint32_t index = datagram->interface;
	int six = group->kind == STOA_DATAGRAM_UDP6;
	int result = 0;

	if (!stoa_datagram_is_group(group))
		return stoa_fail(-EINVAL, "%s is no multicast group: these are "
		                          "224.0.0.0 to 239.255.255.255, and "
		                          "ff00::/8",
		                 stoa_datagram_print(group, text));
	if (datagram->family != (six ? AF_INET6 : AF_INET))
		return stoa_fail(-EAFNOSUPPORT,
		                 "%s isn't of the kind of this socket's address",
		                 stoa_datagram_print(group, text));
	if (interface)
		result = stoa_datagram_interface(interface, &index);
	if (result < 0)
		return result;
	result = six ? change_six(datagram, group, index, join) :
	               change_four(datagram, group, index, join);
	if (result == -EADDRINUSE)
		result = -EALREADY;
	if (result == -EADDRNOTAVAIL)
		result = -ENOENT;
	if (result < 0)
		return stoa_fail(result, "can't %s the group %s: %s",
		                 join ? "join" : "leave",
		                 stoa_datagram_print(group, text),
		                 result == -ENODEV && !index ?
		                         "no route says where it is; name the "
		                         "interface" :
		                         strerror(-result));
	return 0;
}

int stoa_datagram_join(struct stoa_datagram *datagram,
                       const struct stoa_datagram_address *group,
                       const char *interface)
{
	return change(datagram, group, interface, 1);
}

int stoa_datagram_leave(struct stoa_datagram *datagram,
                        const struct stoa_datagram_address *group,
                        const char *interface)
{
	return change(datagram, group, interface, 0);
}
