/* SPDX-License-Identifier: MIT */
/*
 * kernel/socket.h: UNIX sockets by name in a space: binding, connecting,
 * waiting with a deadline, and who is at the other end. What a name is, and
 * how two who want one don't both get it: space/socket.h.
 *
 * Traps that are taken out here: a path of more than 107 bytes (names go by
 * way of /proc/self/fd); permissions that the umask cuts, or that are wider
 * between bind() and chmod(); a listener that is seen before it listens;
 * SIGPIPE; EINTR; descriptors without O_CLOEXEC; connect() to a full listener,
 * which has no poll; a link in the directory that leads elsewhere.
 */
#ifndef STOA_KERNEL_SOCKET_H
#define STOA_KERNEL_SOCKET_H

#include <space/space.h>

#include <sys/socket.h>
#include <sys/un.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* Linux 6.5 */
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* What the kernel may add to a message of SCM_RIGHTS. */
#define SOCKET_RIGHTS_MOST 253 /* SCM_MAX_FD */

#define SOCKET_TOLD_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/* A socket, close-on-exec and not blocking. */
int stoa_socket_make(int family, int type, int protocol);

int stoa_socket_set(int fd, int level, int option, int value);
int stoa_socket_get(int fd, int level, int option, int *ret_value);

/*
 * Gives `fd` the name `file` in the space, with exactly that mode; with
 * `backlog`, listening. A name that the dead left is taken over. The name's
 * inode is for stoa_socket_unbind.
 *
 * -EADDRINUSE: somebody has the name. -EACCES: the dead one's was another
 * user's. -EEXIST: something is there that is no socket. -EBUSY: cleaners took
 * the socket for a dead one's, again and again, before it was bound. -ENOSPC,
 * -ENOMEM, -EMFILE.
 */
int stoa_socket_bind(struct stoa_space *space, int fd, const char *file,
                     mode_t mode, int backlog, uint64_t *ret_inode);

/* Takes the name away, if it is still that one's. */
void stoa_socket_unbind(struct stoa_space *space, const char *file,
                        uint64_t inode);

/* The file name that a socket's address tells, which may be anything: foreign.
 * In `room`; NULL: none; names of more than 50 bytes, with their kind, aren't
 * told. */
const char *stoa_socket_told(const struct sockaddr_un *address, size_t bytes,
                             char room[SOCKET_TOLD_BYTES]);

/*
 * Connects, waiting by the deadline while a listener's line is full, and, with
 * STOA_AWAIT, until there is one.
 * -ENOENT, -ENOTSOCK, -EACCES; -ECONNREFUSED: it was the name of one who is
 * dead; -EPROTOTYPE: a socket of another type; -EAGAIN, -ETIMEDOUT, -EINTR.
 */
int stoa_socket_connect(struct stoa_space *space, int fd, const char *file,
                        struct stoa_deadline deadline, unsigned flags);

/*
 * Calls `look`, and with STOA_AWAIT in `flags` again whenever somebody has come
 * to the name, as long as it says -ENOENT or -ECONNREFUSED: nobody has. What it
 * says else; -EAGAIN, -ETIMEDOUT, -EINTR as below; -EMFILE, -ENOSPC: no more
 * watches.
 */
int stoa_socket_await(struct stoa_space *space, const char *file,
                      int (*look)(void *context), void *context,
                      struct stoa_deadline deadline, unsigned flags);

/*
 * Waits for `events` of poll(2). The events that came; -EAGAIN (STOA_NOW),
 * -ETIMEDOUT; -EINTR only with STOA_INTERRUPTIBLE in `flags`.
 */
int stoa_socket_wait(int fd, short events, struct stoa_deadline deadline,
                     unsigned flags);

/* As sendmsg and recvmsg, by the deadline; whether `fd` blocks or not doesn't
 * matter. `how`: MSG_* besides the usual. Received descriptors are
 * close-on-exec. -EINTR as above. */
ssize_t stoa_socket_send(int fd, const struct msghdr *message, int how,
                         struct stoa_deadline deadline, unsigned flags);
ssize_t stoa_socket_receive(int fd, struct msghdr *message, int how,
                            struct stoa_deadline deadline, unsigned flags);

#endif
