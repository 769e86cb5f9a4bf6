/* SPDX-License-Identifier: MIT */
/*
 * space/socket.h: names that UNIX sockets have in a space. "box.datagram" is a
 * directory, and in it is the socket's file, "socket", as bind(2) made it. The
 * name is that of who has the socket bound for as long as one descriptor of it
 * is open anywhere. Then the directory stays, and is dead.
 *
 *     box.datagram/           the name; anybody may look, its maker may write
 *         socket              whose mode says who may connect
 *
 * Why a directory: a file's name can be replaced, or removed, but not on the
 * condition that it leads to this file still; and somebody may have put a living
 * one there since it was found dead. Of directories the kernel does both only if
 * they are empty, at one instant: rename(2), rmdir(2). And what is in a
 * directory is reached by a descriptor of the directory, whatever name it has by
 * then. As no directory ever gets a second socket, to take the socket away from
 * one is always to take away that very socket, and never a later one.
 *
 * Truth: the space's directory entries, those within, and the kernel's table of
 * bound sockets, which is by inode. Whether a socket is bound says connect(2)
 * from a datagram socket: -ECONNREFUSED if there is none to that inode, else
 * success or -EPROTOTYPE; neither sends anything to whoever has it, nor wakes
 * it. Who is dead once is dead for good, as bind(2) always makes a new inode.
 *
 *   A name is            which means          and becomes
 *   absent               nobody's             had: rename() of a made one
 *   had: socket, bound   somebody's           dead: its last descriptor closed
 *                                             empty: unlink() by who has it, or
 *                                             by who removes names by force
 *   dead: socket, not    nobody's             empty: unlink() by who takes it
 *     bound                                   over, or cleans
 *   empty                nobody's             had: rename() of a made one
 *                                             absent: rmdir()
 *
 * Nothing is held meanwhile, so nobody waits for anybody, stopped or dead:
 *
 *     binder A                              binder B
 *     mkdir, bind, listen: .socket.1        mkdir, bind, listen: .socket.2
 *     rename .socket.1 to box: not empty
 *     opens box; its socket is dead
 *                                           rename .socket.2 to box: not empty
 *                                           opens box; its socket is dead
 *     takes it from the opened directory    (it is gone already)
 *     rename .socket.1 to box: had
 *                                           rename .socket.2 to box: not empty
 *                                           opens box; it is alive: -EADDRINUSE
 *
 * Each look of a binder at a name follows a rename that found it full. So who
 * looks again has met another one that came and died meanwhile.
 *
 * One in the making, ".socket.*", looks dead until it is bound. Its binder has a
 * flock(2) on the directory before, and cleaners (who never wait) leave what is
 * locked. A binder that finds its directory locked or removed, as it had not
 * yet locked it, makes another.
 *
 * States a death may leave: ".socket.*", empty or dead, whose lock the kernel has
 * given back: cleaners remove it. "box" dead or empty: the next binder takes it,
 * and cleaners remove it.
 */
#ifndef STOA_SPACE_SOCKET_H
#define STOA_SPACE_SOCKET_H

#include <space/space.h>

#include <sys/un.h>

#define SOCKET_PREFIX ".socket." /* not published yet: 16 hex digits follow */
#define SOCKET_INNER "socket"

/* Locks the directory of one in the making. 0; -EAGAIN: another has, now. */
int stoa_socket_lock(int name);

/* Publishes the made directory as `file`, unless somebody has that name. 0;
 * -EADDRINUSE: somebody has; -EEXIST: something is there that is no socket;
 * -EACCES: a dead one's, who was another user; -ENOENT: the made one is gone. */
int stoa_socket_publish(int directory, const char *made, const char *file);

/* Opens the socket's file (O_PATH), following no link; the address leads to
 * it, however long its name is. A descriptor; -ENOENT; -ENOTSOCK. */
int stoa_socket_locate(int directory, const char *file,
                       struct sockaddr_un *ret_address);

/* What the socket's file is. -ENOENT; -ENOTSOCK: something else is there. */
int stoa_socket_stat(int directory, const char *file, struct stat *ret_stat);

/* 1: somebody has the socket of that name. 0: nobody has, any more.
 * -ENOENT; -ENOTSOCK; -EACCES: may not be asked; -EMFILE, -ENOMEM. */
int stoa_socket_bound(int directory, const char *file);

/* 1: cleaners may remove it: dead, or left empty, and not in the making. */
int stoa_socket_stale(int directory, const char *file);

/* Takes the name away, if it leads to that inode (0: to any), and, if `dead`,
 * only when it is stale. 0; -ENOENT: it doesn't. */
int stoa_socket_remove(int directory, const char *file, uint64_t inode,
                       int dead);

#endif
