/* SPDX-License-Identifier: MIT */
/*
 * space/socket.h: names that UNIX sockets have in a space. The socket's file,
 * "box.datagram", is what bind(2) makes, and the name is that of who has the
 * socket bound for as long as one descriptor of it is open anywhere. Then the
 * file stays, and is dead.
 *
 * Truth: the directory entry, and the kernel's table of bound sockets, which
 * is by inode: renaming changes neither who is bound nor who is connected.
 * Whether a name's socket is bound says connect(2) from a datagram socket:
 * -ECONNREFUSED if there is none to that inode, else success or -EPROTOTYPE;
 * neither sends anything to whoever has it, nor wakes it.
 *
 * Who changes an entry: binders, closers, removers, cleaners, all in the
 * name's turn, a lock of the kernel's on one byte of ".life.0" far beyond the
 * life slots. Why two who replace a dead name can't both have it:
 *
 *     binder A                          binder B
 *     bind(".socket.1"), listen         bind(".socket.2"), listen
 *     has the turn                      waits for it
 *     "box" is there; dead
 *     rename ".socket.1" to "box"
 *     ends the turn                     has the turn
 *                                       "box" is there; alive: -EADDRINUSE
 *
 * Between A's look and A's rename nobody can have put a living socket there,
 * as whoever does has the turn. Renaming replaces at one instant: who connects
 * meets the dead socket or A's, which listens by then, and never no name.
 *
 * States a death may leave: ".socket.*", whose socket is dead: cleaners remove
 * it. "box" dead: the next binder takes it. The turn: the kernel ends it with
 * the process. A process stopped in its turn (a few system calls) holds up
 * those who want that very name; they go away with -EBUSY, after a second.
 */
#ifndef STOA_SPACE_SOCKET_H
#define STOA_SPACE_SOCKET_H

#include <space/space.h>

#include <sys/un.h>

#define SOCKET_PREFIX ".socket." /* not published yet: 16 hex digits follow */

struct stoa_socket_turn {
	int fd; /* -1: nobody has ever joined the space */
	off_t byte;
};

/* 0; -EBUSY: somebody is at that name, and stopped; -EACCES, -EMFILE. */
int stoa_socket_turn_begin(struct stoa_space *space, const char *file,
                           struct stoa_socket_turn *ret_turn);
void stoa_socket_turn_end(const struct stoa_socket_turn *turn);

/* Opens the socket's file (O_PATH), following no link; the address leads to
 * it, however long its name is. A descriptor; -ENOENT; -ENOTSOCK. */
int stoa_socket_locate(int directory, const char *file,
                       struct sockaddr_un *ret_address);

/* 1: somebody has the socket of that name. 0: nobody has, any more.
 * -ENOENT; -ENOTSOCK; -EACCES: may not be asked; -EMFILE, -ENOMEM. */
int stoa_socket_bound(int directory, const char *file);

/* Takes the name away in its turn, if it leads to that inode (0: to any), and,
 * if `dead`, only when nobody has its socket. 0; -ENOENT: it doesn't. */
int stoa_socket_remove(struct stoa_space *space, const char *file,
                       uint64_t inode, int dead);

#endif
