/* SPDX-License-Identifier: MIT */
/* network.h: network namespaces of a case's own. */
#ifndef SUPPORT_NETWORK_H
#define SUPPORT_NETWORK_H

#include "support.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		skip_case("no user namespace allowed");
	close(fd);
}

static inline void bring_up(const char *interface)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_system(fd);
	strcpy(request.ifr_name, interface);
	assert_system(ioctl(fd, SIOCGIFFLAGS, &request));
	request.ifr_flags |= IFF_UP;
	assert_system(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

/* Until the cable is plugged in at both ends, and the kernel has taken note: it
 * does so later, and drops what is sent before. */
static inline void until_running(const char *interface)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_system(fd);
	strcpy(request.ifr_name, interface);
	do {
		usleep(1000);
		assert_system(ioctl(fd, SIOCGIFFLAGS, &request));
	} while (!(request.ifr_flags & IFF_RUNNING));
	close(fd);
	bring_up(interface); /* waits for who takes note */
}

/* The case has a network to itself, with nothing but lo, and rights in it. */
static inline void own_network(void)
{
	char map[32];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET) != 0)
		skip_case("no network namespace allowed");
	if (uid) {
		write_file("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_file("/proc/self/uid_map", map);
		snprintf(map, sizeof(map), "0 %u 1", gid);
		write_file("/proc/self/gid_map", map);
	}
	bring_up("lo");
}

static inline void skip_without_six(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || access("/proc/net/if_inet6", F_OK) != 0)
		skip_case("no IPv6 here");
	close(fd);
}

/* Runs ip(8). */
static inline void ip(const char *arguments)
{
	char command[256];

	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin ip %s",
	         arguments);
	if (system("PATH=$PATH:/usr/sbin:/sbin ip -V >/dev/null 2>&1") != 0)
		skip_case("ip(8) is not installed");
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline void set_host(const char *interface, int number)
{
	char command[128];

	snprintf(command, sizeof(command), "addr add 10.9.8.%d/24 dev %s brd +",
	         number, interface);
	ip(command);
	snprintf(command, sizeof(command), "link set %s up", interface);
	ip(command);
}

/* A child in a network of its own, at the other end of the cable. */
static inline struct child start_host(void (*run)(void *))
{
	char command[128];

	own_network();
	ip("link show lo >/dev/null");
	struct child child = start_child(run, NULL);
	await_report(&child); /* it has its network */
	snprintf(command, sizeof(command),
	         "PATH=$PATH:/usr/sbin:/sbin ip link add near type veth "
	         "peer name far netns %d 2>/dev/null",
	         child.pid);
	if (system(command) != 0) {
		kill_child(&child);
		skip_case("no veth pair allowed");
	}
	set_host("near", 1);
	give_order(&child, 0);
	await_report(&child); /* it is up */
	until_running("near");
	return child;
}

static inline void be_host(void)
{
	assert_system(unshare(CLONE_NEWNET));
	bring_up("lo");
	report(0);
	await_order();
	set_host("far", 2);
	until_running("far");
}

#endif
