/* SPDX-License-Identifier: MIT */
/* kernel/descriptor.c: messages of descriptors over a socket. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/descriptor_internal.h>
#include <kernel/socket.h>

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#define PIECE_LEAST 512
#define COUNT_MOST (UINT32_C(1) << 31)
#define PASSED_OVER_MOST 16 /* without waiting: a flood isn't looked through */
/* While the other has not taken what is under way: there is no wake-up for
 * that in the kernel. */
#define UNDER_WAY_FIRST_NS 200000
#define UNDER_WAY_MOST_NS 20000000

/* So little goes in one part, copied: cheaper than two for the kernel. */
#define SMALL_BYTES 216

/* Room for SCM_RIGHTS, credentials, a pidfd, and a security label. */
#define CONTROL_BYTES                                            \
	(CMSG_SPACE(SOCKET_RIGHTS_MOST * sizeof(int)) +          \
	 CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) + \
	 CMSG_SPACE(256))

void stoa_descriptors_close(const int *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		stoa_sys_close(descriptors[i]);
}

static int check_socket(int socket)
{
	int type, domain;
	int result = stoa_socket_get(socket, SOL_SOCKET, SO_TYPE, &type);

	if (result == 0)
		result = stoa_socket_get(socket, SOL_SOCKET, SO_DOMAIN, &domain);
	if (result < 0)
		return stoa_fail(result == -ENOTSOCK ? -EPROTOTYPE : result,
		                 "descriptor %d is no socket to pass "
		                 "descriptors over: %s",
		                 socket, strerror(-result));
	if (type != SOCK_SEQPACKET || domain != AF_UNIX)
		return stoa_fail(-EPROTOTYPE,
		                 "descriptors are passed over UNIX sockets of "
		                 "type SOCK_SEQPACKET; make a pair by "
		                 "stoa_descriptor_pair()");
	return 0;
}

/* ---- Sending ---------------------------------------------------------------- */

struct sending {
	int socket;
	unsigned flags;
	struct stoa_deadline deadline;
	const int *descriptors;
	const char *data;
	struct round round;
	uint64_t bytes_left;
	uint32_t descriptors_left;
	uint32_t piece;
};

static void put_rights(struct msghdr *message, char *control,
                       const int *descriptors, uint32_t count)
{
	size_t bytes = count * sizeof *descriptors;

	if (count == 0)
		return;
	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(bytes);
	struct cmsghdr *rights = CMSG_FIRSTHDR(message);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(rights), descriptors, bytes);
}

/* Whether the other end has still to take something of this socket's. */
static int is_under_way(int socket)
{
	int bytes = 0;

	return stoa_system_call(SYS_ioctl, socket, SIOCOUTQ, (long)&bytes, 0, 0,
	                        0) == 0 &&
	       bytes > 0;
}

/* 0: try again. */
static int wait_under_way(const struct sending *sending, int64_t *pause_ns)
{
	int64_t left = stoa_deadline_left(sending->deadline);
	int64_t ns = *pause_ns < left ? *pause_ns : left;
	struct timespec pause = { 0, ns };

	if (!is_under_way(sending->socket))
		return stoa_fail(-ETOOMANYREFS,
		                 "too many descriptors of this user are under "
		                 "way already, and not over this socket; raise "
		                 "RLIMIT_NOFILE, or pass fewer at once");
	if (left == 0)
		return stoa_deadline_result(sending->deadline);
	long result = stoa_system_call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0,
	                               (long)&pause, 0, 0, 0);
	if (result == -EINTR && (sending->flags & STOA_INTERRUPTIBLE))
		return -EINTR;
	if (*pause_ns < UNDER_WAY_MOST_NS)
		*pause_ns *= 2;
	return 0;
}

static int refused(const struct sending *sending, int result)
{
	switch (result) {
	case -ECONNRESET: return -EPIPE;
	case -EBADF:
		return stoa_fail(-EBADF, "one of descriptors %u to %u of the "
		                         "message isn't open",
		                 sending->round.descriptors -
		                         sending->descriptors_left,
		                 sending->round.descriptors -
		                         sending->descriptors_left +
		                         sending->round.descriptors_here - 1);
	default: return result;
	}
}

/* Header and payload, as one part or two. */
struct small {
	struct round round;
	char data[SMALL_BYTES];
};

static ssize_t try_round(const struct sending *sending)
{
	_Alignas(struct cmsghdr) char
	        control[CMSG_SPACE(SOCKET_RIGHTS_MOST * sizeof(int))];
	const struct round *round = &sending->round;
	struct small small;
	struct iovec parts[2];
	struct msghdr message = { .msg_iov = parts };

	if (round->bytes_here <= SMALL_BYTES) {
		small.round = *round;
		if (round->bytes_here)
			memcpy(small.data, sending->data, round->bytes_here);
		parts[0] = (struct iovec){ &small,
			                   sizeof *round + round->bytes_here };
		message.msg_iovlen = 1;
	} else {
		parts[0] = (struct iovec){ (void *)round, sizeof *round };
		parts[1] = (struct iovec){ (void *)sending->data,
			                   round->bytes_here };
		message.msg_iovlen = 2;
	}
	put_rights(&message, control, sending->descriptors,
	           round->descriptors_here);
	return stoa_socket_send(sending->socket, &message, 0, sending->deadline,
	                        sending->flags);
}

/* Sends as large a round as goes. 0 or -errno. */
static int send_round(struct sending *sending)
{
	struct round *round = &sending->round;
	int64_t pause_ns = UNDER_WAY_FIRST_NS;

	for (;;) {
		round->bytes_here = sending->bytes_left < sending->piece ?
		                            (uint32_t)sending->bytes_left :
		                            sending->piece;
		round->descriptors_here =
		        sending->descriptors_left < SOCKET_RIGHTS_MOST ?
		                sending->descriptors_left :
		                SOCKET_RIGHTS_MOST;
		ssize_t sent = try_round(sending);
		if (sent >= 0)
			return 0;
		if (sent == -EMSGSIZE && sending->piece > PIECE_LEAST)
			sending->piece /= 2; /* a small SO_SNDBUF */
		else if (sent != -ETOOMANYREFS)
			return refused(sending, (int)sent);
		else if ((sent = wait_under_way(sending, &pause_ns)) < 0)
			return (int)sent;
	}
}

int stoa_rounds_send(int socket, unsigned flags, const int *descriptors,
                     size_t count, const void *data, size_t bytes,
                     uint64_t identity, struct stoa_deadline deadline)
{
	struct sending sending = {
		.socket = socket,
		.flags = flags,
		.deadline = deadline,
		.descriptors = descriptors,
		.data = data,
		.round = { .magic = ROUND_MAGIC,
		           .kind = ROUND_MESSAGE,
		           .identity = identity,
		           .bytes = bytes,
		           .descriptors = (uint32_t)count },
		.bytes_left = bytes,
		.descriptors_left = (uint32_t)count,
		.piece = ROUND_PIECE,
	};

	do {
		int result = send_round(&sending);

		if (result < 0)
			return result;
		/* Nothing may be at no address. */
		if (sending.round.bytes_here)
			sending.data += sending.round.bytes_here;
		sending.bytes_left -= sending.round.bytes_here;
		if (sending.round.descriptors_here)
			sending.descriptors += sending.round.descriptors_here;
		sending.descriptors_left -= sending.round.descriptors_here;
		sending.round.number++;
	} while (sending.bytes_left || sending.descriptors_left);
	return 0;
}

int stoa_descriptor_send(int socket, const int *descriptors, size_t count,
                         const void *data, size_t bytes,
                         struct stoa_deadline deadline)
{
	if (count > COUNT_MOST)
		return stoa_fail(-EINVAL, "%zu descriptors can't be passed in "
		                          "one message",
		                 count);
	/* Only several rounds need to be told from another message's. */
	uint64_t identity = count > SOCKET_RIGHTS_MOST || bytes > PIECE_LEAST ?
	                            (uint64_t)stoa_sys_clock_ns(
	                                    CLOCK_MONOTONIC) :
	                            0;
	int result = stoa_rounds_send(socket, 0, descriptors, count, data,
	                              bytes, identity, deadline);
	if (result == -ENOTSOCK || result == -EOPNOTSUPP ||
	    result == -EDESTADDRREQ)
		result = check_socket(socket);
	return result;
}

/* ---- Receiving --------------------------------------------------------------- */

struct receiving {
	int socket;
	unsigned flags;
	struct stoa_deadline deadline;
	int *descriptors; /* the caller's room */
	char *data;
	size_t most, room;
	size_t got_descriptors, got_bytes;
	struct round first; /* checked: what each other is compared with */
	struct stoa_descriptor_peer sender;
	uint32_t passed_over; /* rounds of messages that were given up */
};

/* One packet, and what came with it. */
struct packet {
	struct round round;
	char small[SMALL_BYTES]; /* right behind the header */
	ssize_t bytes; /* without the header */
	int how; /* MSG_TRUNC, MSG_CTRUNC */
	uint32_t count;
	int descriptors[SOCKET_RIGHTS_MOST];
	struct stoa_descriptor_peer sender;
};

_Static_assert(offsetof(struct packet, small) == sizeof(struct round),
               "one part takes both");

static void take_control(struct packet *packet, struct cmsghdr *control)
{
	struct ucred credentials;

	if (control->cmsg_level != SOL_SOCKET)
		return;
	if (control->cmsg_type == SCM_CREDENTIALS) {
		memcpy(&credentials, CMSG_DATA(control), sizeof credentials);
		packet->sender = (struct stoa_descriptor_peer){
			credentials.pid, credentials.uid, credentials.gid
		};
	} else if (control->cmsg_type == SCM_RIGHTS) {
		/* The kernel merges all into one, of at most 253. */
		packet->count = (uint32_t)((control->cmsg_len - CMSG_LEN(0)) /
		                           sizeof(int));
		memcpy(packet->descriptors, CMSG_DATA(control),
		       packet->count * sizeof(int));
	} else if (control->cmsg_type == SCM_PIDFD) {
		int fd;

		memcpy(&fd, CMSG_DATA(control), sizeof fd);
		if (fd >= 0)
			stoa_sys_close(fd);
	}
}

/* An empty packet, or the end? */
static int what_was_empty(int socket)
{
	struct pollfd end = { socket, POLLRDHUP, 0 };
	struct timespec now = { 0, 0 };
	long ended = stoa_system_call(SYS_ppoll, (long)&end, 1, (long)&now, 0,
	                              0, 0);

	if (ended == 0)
		return stoa_fail(-EBADMSG, "an empty packet came over socket "
		                           "%d: its sender doesn't speak "
		                           "stoa's language",
		                 socket);
	return ended < 0 ? (int)ended : -EPIPE;
}

/* Receives one packet. 0; -errno, with nothing left open. */
static int receive_packet(const struct receiving *receiving,
                          struct packet *packet)
{
	_Alignas(struct cmsghdr) char control[CONTROL_BYTES];
	size_t room = receiving->room - receiving->got_bytes;
	char *data = room ? receiving->data + receiving->got_bytes : NULL;
	int small = room <= SMALL_BYTES;
	struct iovec parts[2] = {
		{ packet, sizeof packet->round + (small ? room : 0) },
		{ data, room },
	};
	struct msghdr message = { .msg_iov = parts,
		                  .msg_iovlen = small ? 1 : 2,
		                  .msg_control = control,
		                  .msg_controllen = sizeof control };
	ssize_t got;

	packet->count = 0;
	packet->sender = (struct stoa_descriptor_peer){ 0 };
	do /* the other closed with something unread: what it sent comes after */
		got = stoa_socket_receive(receiving->socket, &message, 0,
		                          receiving->deadline,
		                          receiving->flags);
	while (got == -ECONNRESET);
	if (got < 0)
		return (int)got;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at;
	     at = CMSG_NXTHDR(&message, at))
		take_control(packet, at);
	packet->how = message.msg_flags;
	packet->bytes = got - (ssize_t)sizeof packet->round;
	if (small && packet->bytes > 0)
		memcpy(data, packet->small, (size_t)packet->bytes);
	if (got > 0)
		return 0;
	stoa_descriptors_close(packet->descriptors, packet->count);
	return what_was_empty(receiving->socket);
}

static int not_a_message(const struct receiving *receiving, const char *why)
{
	return stoa_fail(-EBADMSG,
	                 "what came over socket %d is not a message of "
	                 "descriptors: %s",
	                 receiving->socket, why);
}

/* What the header says of itself. */
static int check_round(const struct receiving *receiving,
                       const struct packet *packet)
{
	const struct round *round = &packet->round;

	if (packet->bytes < 0 || round->magic != ROUND_MAGIC ||
	    round->kind != ROUND_MESSAGE || round->reserved != 0)
		return not_a_message(receiving, "no such header");
	if (packet->count != round->descriptors_here &&
	    !(packet->how & MSG_CTRUNC))
		return not_a_message(receiving,
		                     "other descriptors than it says");
	if ((size_t)packet->bytes != round->bytes_here &&
	    !(packet->how & MSG_TRUNC))
		return not_a_message(receiving, "other bytes than it says");
	if (round->descriptors_here > round->descriptors ||
	    round->bytes_here > round->bytes)
		return not_a_message(receiving, "a part larger than the whole");
	if (round->number != 0 && round->bytes_here == 0 &&
	    round->descriptors_here == 0)
		return not_a_message(receiving, "a round of nothing");
	return 0;
}

/* Whether it is the round that comes next of what has been begun. */
static int is_next(const struct receiving *receiving, const struct round *round,
                   uint32_t number)
{
	const struct round *first = &receiving->first;

	return round->number == number && round->identity == first->identity &&
	       round->bytes == first->bytes &&
	       round->descriptors == first->descriptors &&
	       round->bytes_here <= first->bytes - receiving->got_bytes &&
	       round->descriptors_here <=
	               first->descriptors - receiving->got_descriptors;
}

static void forget(struct receiving *receiving)
{
	stoa_descriptors_close(receiving->descriptors,
	                       receiving->got_descriptors);
	receiving->got_descriptors = 0;
	receiving->got_bytes = 0;
}

/* -EMFILE: the kernel gave fewer descriptors than there were, or -EMSGSIZE. */
static int check_room(const struct receiving *receiving,
                      const struct packet *packet)
{
	const struct round *round = &packet->round;

	if (round->descriptors > receiving->most ||
	    round->bytes > receiving->room)
		return stoa_fail(-EMSGSIZE,
		                 "a message of %u descriptors and %llu bytes "
		                 "came, and there was room for %zu and %zu",
		                 round->descriptors,
		                 (unsigned long long)round->bytes,
		                 receiving->most, receiving->room);
	if (packet->how & MSG_CTRUNC)
		return stoa_fail(-EMFILE,
		                 "a message of %u descriptors came, and this "
		                 "process may not have so many more; raise "
		                 "RLIMIT_NOFILE",
		                 round->descriptors);
	return packet->how & MSG_TRUNC ?
	               not_a_message(receiving, "more bytes than it says") :
	               0;
}

/*
 * Judges a packet and keeps what is in it. 1: it was the last round; 0: more
 * to come; -errno: the message is lost, and nothing of it left open.
 */
static int take_packet(struct receiving *receiving, struct packet *packet,
                       uint32_t *number)
{
	const struct round *round = &packet->round;
	int result = check_round(receiving, packet);

	if (result == 0 && round->number == 0) {
		receiving->passed_over += *number != 0;
		forget(receiving); /* its sender had given it up */
		receiving->first = *round;
		receiving->sender = packet->sender;
		*number = 0;
	} else if (result == 0 && *number == 0) {
		receiving->passed_over++;
		stoa_descriptors_close(packet->descriptors, packet->count);
		return 0; /* of one that was given up here */
	} else if (result == 0 && !is_next(receiving, round, *number)) {
		result = not_a_message(receiving, "not the round that is next");
	}
	if (result == 0)
		result = check_room(receiving, packet);
	if (result < 0) {
		if (!STOA_BUG(114))
			stoa_descriptors_close(packet->descriptors,
			                       packet->count);
		if (!STOA_BUG(115))
			forget(receiving);
		return result;
	}
	if (packet->count)
		memcpy(receiving->descriptors + receiving->got_descriptors,
		       packet->descriptors, packet->count * sizeof(int));
	receiving->got_descriptors += packet->count;
	receiving->got_bytes += (size_t)packet->bytes;
	++*number;
	return receiving->got_descriptors == receiving->first.descriptors &&
	       receiving->got_bytes == receiving->first.bytes;
}

/* Whether there is time for another round: one is always there, of a sender
 * that sends for ever. 0 or -errno. */
static int go_on(const struct receiving *receiving)
{
	if (receiving->deadline.kind == STOA_DEADLINE_NOW)
		return receiving->passed_over > PASSED_OVER_MOST ? -EAGAIN : 0;
	return stoa_deadline_left(receiving->deadline) == 0 ?
	               stoa_deadline_result(receiving->deadline) :
	               0;
}

/* Where the socket adds no credentials, who made its other end. */
static int know_sender(struct receiving *receiving)
{
	if (receiving->sender.pid || receiving->sender.uid)
		return 0;
	return stoa_descriptor_peer(receiving->socket, &receiving->sender);
}

ssize_t stoa_rounds_receive(int socket, unsigned flags, int *ret_descriptors,
                            size_t most, void *ret_data, size_t room,
                            struct stoa_deadline deadline,
                            struct stoa_descriptor_message *ret_message,
                            uint64_t *ret_identity)
{
	struct receiving receiving = { .socket = socket,
		                       .flags = flags,
		                       .deadline = deadline,
		                       .descriptors = ret_descriptors,
		                       .data = ret_data,
		                       .most = most,
		                       .room = room };
	struct packet packet;
	uint32_t number = 0;
	int result;

	do {
		result = receive_packet(&receiving, &packet);
		if (result == 0)
			result = take_packet(&receiving, &packet, &number);
		if (result == 0)
			result = go_on(&receiving);
	} while (result == 0);
	if (result > 0)
		result = know_sender(&receiving);
	if (result < 0 && !STOA_BUG(115))
		forget(&receiving);
	if (result < 0 && result != -EMSGSIZE)
		return result;
	*ret_message = (struct stoa_descriptor_message){
		receiving.first.descriptors, receiving.first.bytes,
		receiving.sender
	};
	if (result < 0)
		return result;
	if (ret_identity)
		*ret_identity = receiving.first.identity;
	return (ssize_t)receiving.got_bytes;
}

ssize_t stoa_descriptor_receive(int socket, int *ret_descriptors, size_t most,
                                void *ret_data, size_t room,
                                struct stoa_deadline deadline,
                                struct stoa_descriptor_message *ret_message)
{
	ssize_t result = stoa_rounds_receive(socket, 0, ret_descriptors, most,
	                                     ret_data, room, deadline,
	                                     ret_message, NULL);

	/* Of a socket of another kind anything may be said. */
	if (result < 0 && result != -EMSGSIZE && result != -EMFILE) {
		int checked = check_socket(socket);

		if (checked < 0)
			return checked;
	}
	return result;
}

/* The header of the packet that is next, which stays there. Without room for
 * them no descriptors are made. 0, -errno. */
static int peek_round(const struct receiving *receiving, struct round *ret_round)
{
	struct iovec part = { ret_round, sizeof *ret_round };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t got;

	do
		got = stoa_socket_receive(receiving->socket, &message, MSG_PEEK,
		                          receiving->deadline, 0);
	while (got == -ECONNRESET);
	if (got >= 0 && (got < (ssize_t)sizeof *ret_round ||
	                 ret_round->magic != ROUND_MAGIC ||
	                 ret_round->kind != ROUND_MESSAGE))
		ret_round->magic = 0;
	return got < 0 ? (int)got : 0;
}

int stoa_descriptor_peek(int socket, struct stoa_deadline deadline,
                         struct stoa_descriptor_message *ret_message)
{
	struct receiving receiving = { .socket = socket, .deadline = deadline };
	struct packet packet;
	struct round round;
	int result = check_socket(socket);

	while (result == 0) {
		result = peek_round(&receiving, &round);
		if (result < 0)
			break;
		if (round.magic == ROUND_MAGIC && round.number == 0) {
			*ret_message = (struct stoa_descriptor_message){
				.descriptors = round.descriptors,
				.bytes = round.bytes
			};
			return 0;
		}
		/* The end, no message, or a round of one that was given up. */
		result = receive_packet(&receiving, &packet);
		if (result < 0)
			break;
		stoa_descriptors_close(packet.descriptors, packet.count);
		if (round.magic != ROUND_MAGIC)
			return not_a_message(&receiving, "no such header");
		receiving.passed_over++;
		result = go_on(&receiving);
	}
	return result;
}

/* ---- Thanks ----------------------------------------------------------------- */

int stoa_rounds_thank(int socket, uint64_t identity)
{
	struct round round = { .magic = ROUND_MAGIC,
		               .kind = ROUND_TAKEN,
		               .identity = identity };
	struct iovec part = { &round, sizeof round };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t sent = stoa_socket_send(socket, &message, 0, STOA_NOW, 0);

	return sent < 0 ? (int)sent : 0;
}

int stoa_rounds_await_thanks(int socket, unsigned flags, uint64_t identity,
                             struct stoa_deadline deadline)
{
	struct receiving receiving = { .socket = socket,
		                       .flags = flags,
		                       .deadline = deadline };
	struct packet packet;
	int result = receive_packet(&receiving, &packet);

	if (result < 0)
		return result;
	stoa_descriptors_close(packet.descriptors, packet.count);
	if (packet.bytes != 0 || packet.round.magic != ROUND_MAGIC ||
	    packet.round.kind != ROUND_TAKEN ||
	    packet.round.identity != identity)
		return not_a_message(&receiving, "no thanks");
	return 0;
}

/* ---- Pairs and peers ----------------------------------------------------------- */

int stoa_descriptor_pair(int ret_sockets[2])
{
	int sockets[2];
	long result = stoa_system_call(SYS_socketpair, AF_UNIX,
	                               SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	                               (long)sockets, 0, 0);

	for (int i = 0; i < 2 && result == 0; i++) {
		result = stoa_socket_set(sockets[i], SOL_SOCKET, SO_PASSCRED, 1);
		if (result < 0)
			stoa_descriptors_close(sockets, 2);
	}
	if (result < 0)
		return stoa_fail((int)result, "can't make a pair of sockets: %s",
		                 strerror((int)-result));
	ret_sockets[0] = sockets[0];
	ret_sockets[1] = sockets[1];
	return 0;
}

int stoa_descriptor_peer(int socket, struct stoa_descriptor_peer *ret_peer)
{
	struct ucred credentials = { 0 };
	socklen_t bytes = sizeof credentials;
	long result = stoa_system_call(SYS_getsockopt, socket, SOL_SOCKET,
	                               SO_PEERCRED, (long)&credentials,
	                               (long)&bytes, 0);

	if (result == 0 && credentials.uid == (uid_t)-1)
		result = -ENOTCONN;
	if (result < 0)
		return stoa_fail((int)result,
		                 "can't say who is at the other end of "
		                 "descriptor %d: %s",
		                 socket, strerror((int)-result));
	*ret_peer = (struct stoa_descriptor_peer){
		credentials.pid, credentials.uid, credentials.gid
	};
	return 0;
}

int stoa_descriptor_peer_pidfd(int socket)
{
	int fd = -1;
	int result = stoa_socket_get(socket, SOL_SOCKET, SO_PEERPIDFD, &fd);

	if (result == -EINVAL || result == -ENODATA)
		result = -ESRCH;
	if (result < 0)
		return stoa_fail(result,
		                 "can't have a pidfd of the other end of "
		                 "descriptor %d: %s",
		                 socket, strerror(-result));
	return fd;
}
