/* SPDX-License-Identifier: MIT */
/* kernel/datagram_address.c: addresses as text, and as the kernel has them. */
#include <base/error.h>
#include <base/system.h>
#include <kernel/datagram_internal.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define UDP "udp:"
#define HOST_MAX (INET6_ADDRSTRLEN + IFNAMSIZ)
#define PORT_MAX 65535
#define UDP6_ANY_HOST "*"

static int no_address(const char *text)
{
	return stoa_fail(-EINVAL,
	                 "'%.80s' is no address: a name, udp:192.0.2.1:5000, "
	                 "udp:[2001:db8::1]:5000, udp:*:5000 or udp:[*]:5000",
	                 text);
}

int stoa_datagram_interface(const char *name, uint32_t *ret_index)
{
	struct ifreq request = { 0 };

	if (!name || !*name) {
		*ret_index = 0;
		return 0;
	}
	int fd = strlen(name) < IFNAMSIZ ?
	                 stoa_socket_make(AF_INET, SOCK_DGRAM, 0) :
	                 -ENODEV;
	long result = fd;
	if (fd >= 0) {
		strcpy(request.ifr_name, name);
		result = stoa_system_call(SYS_ioctl, fd, SIOCGIFINDEX,
		                          (long)&request, 0, 0, 0);
		stoa_sys_close(fd);
	}
	if (result == -ENODEV)
		return stoa_fail(-ENODEV, "there is no network interface "
		                          "'%.15s' here",
		                 name);
	if (result < 0)
		return stoa_fail((int)result, "can't look for the network "
		                              "interface %.15s: %s",
		                 name, strerror((int)-result));
	*ret_index = (uint32_t)request.ifr_ifindex;
	return 0;
}

/* Digits only: no sign, no blank, no 0x. */
static int parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long port = 0;

	if (!*text || strlen(text) > 5)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > PORT_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

/* "2001:db8::1", "fe80::1%eth0", "*" */
static int parse_six(char *host, struct stoa_datagram_address *address)
{
	char *interface = strchr(host, '%');

	address->kind = STOA_DATAGRAM_UDP6;
	if (interface) {
		*interface++ = 0;
		int result = stoa_datagram_interface(interface,
		                                     &address->interface);
		if (result < 0)
			return result;
	}
	if (strcmp(host, UDP6_ANY_HOST) == 0)
		return 0;
	return inet_pton(AF_INET6, host, address->host) == 1 ? 0 : -EINVAL;
}

static int parse_four(const char *host, struct stoa_datagram_address *address)
{
	address->kind = STOA_DATAGRAM_UDP4;
	if (strcmp(host, "*") == 0)
		return 0;
	return inet_pton(AF_INET, host, address->host) == 1 ? 0 : -EINVAL;
}

static int parse_udp(const char *text, struct stoa_datagram_address *address)
{
	char host[HOST_MAX];
	int six = *text == '[';
	const char *start = text + six;
	const char *end = six ? strchr(start, ']') : strrchr(start, ':');

	if (!end || end == start || (size_t)(end - start) >= sizeof host)
		return -EINVAL;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = 0;
	end += six;
	if (*end != ':' || parse_port(end + 1, &address->port) < 0)
		return -EINVAL;
	return six ? parse_six(host, address) : parse_four(host, address);
}

int stoa_datagram_parse(const char *text,
                        struct stoa_datagram_address *ret_address)
{
	struct stoa_datagram_address address = { 0 };
	const char *name;

	if (!text)
		return stoa_fail(-EINVAL, "no address was given");
	if (strncmp(text, UDP, strlen(UDP)) == 0) {
		int result = parse_udp(text + strlen(UDP), &address);

		if (result == -EINVAL)
			return no_address(text);
		if (result < 0)
			return result;
	} else {
		if (stoa_name_check(text, &name) < 0)
			return no_address(text);
		address.kind = STOA_DATAGRAM_NAME;
		strcpy(address.name, name);
	}
	*ret_address = address;
	return 0;
}

static int is_any(const struct stoa_datagram_address *address)
{
	static const uint8_t zeros[16];

	return memcmp(address->host, zeros, sizeof zeros) == 0;
}

static void print_six(const struct stoa_datagram_address *address, char *text)
{
	char host[INET6_ADDRSTRLEN] = UDP6_ANY_HOST, scope[16] = "";

	if (!is_any(address))
		inet_ntop(AF_INET6, address->host, host, sizeof host);
	if (address->interface) {
		char name[IFNAMSIZ];

		if (if_indextoname(address->interface, name))
			snprintf(scope, sizeof scope, "%%%.14s", name);
		else
			snprintf(scope, sizeof scope, "%%%u",
			         address->interface);
	}
	snprintf(text, STOA_DATAGRAM_TEXT_MAX, UDP "[%s%s]:%u", host, scope,
	         address->port);
}

const char *stoa_datagram_print(const struct stoa_datagram_address *address,
                                char text[STOA_DATAGRAM_TEXT_MAX])
{
	char host[INET_ADDRSTRLEN] = "*";
	int kept = errno;

	switch (address->kind) {
	case STOA_DATAGRAM_NAME:
		snprintf(text, STOA_DATAGRAM_TEXT_MAX, "%.*s", STOA_NAME_MAX,
		         address->name);
		break;
	case STOA_DATAGRAM_UDP4:
		if (!is_any(address))
			inet_ntop(AF_INET, address->host, host, sizeof host);
		snprintf(text, STOA_DATAGRAM_TEXT_MAX, UDP "%s:%u", host,
		         address->port);
		break;
	case STOA_DATAGRAM_UDP6: print_six(address, text); break;
	default: strcpy(text, "-");
	}
	errno = kept;
	return text;
}

int stoa_datagram_is_group(const struct stoa_datagram_address *address)
{
	return address->kind == STOA_DATAGRAM_UDP4 ?
	               address->host[0] >= 224 && address->host[0] <= 239 :
	               address->kind == STOA_DATAGRAM_UDP6 &&
	                       address->host[0] == 0xff;
}

socklen_t stoa_datagram_to_socket(const struct stoa_datagram_address *address,
                                  union stoa_socket_address *ret_address)
{
	memset(ret_address, 0, sizeof *ret_address);
	if (address->kind == STOA_DATAGRAM_UDP4) {
		struct sockaddr_in *four = &ret_address->udp4;

		four->sin_family = AF_INET;
		four->sin_port = htons(address->port);
		memcpy(&four->sin_addr, address->host, 4);
		return sizeof *four;
	}
	struct sockaddr_in6 *six = &ret_address->udp6;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(address->port);
	six->sin6_scope_id = address->interface;
	memcpy(&six->sin6_addr, address->host, 16);
	return sizeof *six;
}

static void from_name(const struct sockaddr_un *name, socklen_t bytes,
                      struct stoa_datagram_address *address)
{
	char room[SOCKET_TOLD_BYTES];
	const char *file = stoa_socket_told(name, bytes, room);
	char stem[STOA_NAME_MAX + 1], kind[STOA_KIND_MAX + 1];

	if (!file || !stoa_name_split(file, stem, kind) ||
	    strcmp(kind, DATAGRAM_KIND) != 0)
		return;
	address->kind = STOA_DATAGRAM_NAME;
	strcpy(address->name, stem);
}

void stoa_datagram_from_socket(const union stoa_socket_address *address,
                               socklen_t bytes,
                               struct stoa_datagram_address *ret_address)
{
	memset(ret_address, 0, sizeof *ret_address);
	if (bytes < sizeof(sa_family_t))
		return;
	if (address->any.sa_family == AF_UNIX) {
		from_name(&address->name, bytes, ret_address);
	} else if (address->any.sa_family == AF_INET &&
	           bytes >= sizeof address->udp4) {
		ret_address->kind = STOA_DATAGRAM_UDP4;
		ret_address->port = ntohs(address->udp4.sin_port);
		memcpy(ret_address->host, &address->udp4.sin_addr, 4);
	} else if (address->any.sa_family == AF_INET6 &&
	           bytes >= sizeof address->udp6) {
		ret_address->kind = STOA_DATAGRAM_UDP6;
		ret_address->port = ntohs(address->udp6.sin6_port);
		ret_address->interface = address->udp6.sin6_scope_id;
		memcpy(ret_address->host, &address->udp6.sin6_addr, 16);
	}
}
