/* SPDX-License-Identifier: MIT */
/*
 * stoa/file_lock.h: locks on real files, kept by the kernel: the whole file as
 * flock(1) locks it, or ranges of its bytes as lockf(3) and fcntl(2) do.
 *
 * Use it to take turns with programs that know nothing of stoa, or on a file
 * that lies wherever it lies. (Among programs that use stoa see range_lock: ten
 * times as fast, with a place in line and with detection of deadlocks.)
 *
 * Two kinds of locks, which on a local file system don't know of one another:
 *
 *                      whole                    range
 *   calls              stoa_file_lock_lock      stoa_file_lock_lock_range
 *   of the kernel's    flock(2)                 F_OFD_SETLK
 *   in turns with      flock(1), flock(2)       fcntl(2), lockf(3), F_OFD_SETLK
 *   descriptor needs   nothing                  STOA_READ for a shared range,
 *                                               STOA_WRITE for an exclusive
 *   other mode         not at one instant:      at one instant
 *                      see there
 *
 * The owner of either is the kernel's open file description, so the handle: two
 * handles exclude one another, in one process, too. None of fcntl's old traps
 * is here: closing another descriptor of the file loses nothing. A forked child
 * has its parent's handle and with it the same locks, shared with the parent:
 * they end when one of them unlocks, or when all of them have closed or ended.
 * The descriptor is close-on-exec: a command executed doesn't hold the lock.
 *
 * Death: the kernel ends the locks of who was killed, once nobody has the
 * description any more.
 *
 * Deadlock: the kernel looks for circles of waits only among fcntl's old locks
 * of processes, not for either of these: two who wait for one another wait on.
 * A deadline is the way out. (-EDEADLK is never given.)
 *
 * Fairness: none. Who waits is woken when the lock is free, and has it if nobody
 * was quicker.
 *
 * A wait with a deadline, or one that a signal may interrupt, is made by a
 * process: a thread can wait for the kernel's file locks without bound only.
 * It shares memory and descriptors with the caller, is there only if the lock
 * isn't free at once, is gone when the call returns, and isn't seen by the
 * caller's wait(2) (unless that asks for __WALL or __WCLONE); ps(1) shows it.
 * It is killed by the kernel at the deadline, and if the caller dies. It costs
 * about 70 us, and must be allowed (RLIMIT_NPROC, seccomp; RLIMIT_SIGPENDING for
 * its timer). A process that has called unshare(CLONE_NEWPID) should fork before
 * it waits: the first child is the new namespace's init.
 *
 * Network file systems: NFS makes a whole lock of a range over all bytes, so
 * the two kinds meet there, and an exclusive one needs STOA_WRITE; a lock may be
 * lost while the server can't be reached (-EIO afterwards); others (SMB, FUSE)
 * may keep locks to one machine. status.remote says that a file lies on one.
 *
 *   who may run at once     lock  unlock  test  stat  close
 *   lock, unlock              X     X       -     -     X
 *   test, stat                -     -       -     -     X
 *   (- free; X the caller sees to it that nobody else uses that handle: it is
 *    one owner, so threads that exclude one another have a handle each)
 *
 * Limits: ranges end below 2^63. A lock costs one system call. Not
 * async-signal-safe; no cancellation points.
 */
#ifndef STOA_FILE_LOCK_H
#define STOA_FILE_LOCK_H

#include <stoa/base.h>
#include <stoa/range_lock.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_file_lock;

/* Modes: STOA_RANGE_SHARED and STOA_RANGE_EXCLUSIVE. */

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens `path` for locking: with STOA_READ, STOA_WRITE, or both; STOA_CREATE
 * (`mode` less the umask, as open(2)), STOA_EXCLUSIVE, STOA_INTERRUPTIBLE. A
 * directory can be opened STOA_READ, and locked as a whole. Nothing is read or
 * written, and a FIFO is not waited for.
 * What open(2) says: -ENOENT, -EEXIST, -EACCES, -EISDIR, -EROFS, -ELOOP, ...;
 * -EINVAL: flags; -EMFILE, -ENOMEM.
 */
STOA_API int stoa_file_lock_open(const char *path, unsigned flags, mode_t mode,
                                 struct stoa_file_lock **ret_lock);

/* A handle on a descriptor that the caller has, and keeps, and closes after
 * the handle. What it may lock is decided by how it was opened; `flags` is 0 or
 * STOA_INTERRUPTIBLE. -EBADF, -EINVAL, -ENOMEM. */
STOA_API int stoa_file_lock_adopt(int fd, unsigned flags,
                                  struct stoa_file_lock **ret_lock);

/* Frees the handle. Its locks end, unless somebody else has its description (a
 * forked child, or who was given the descriptor). NULL is fine. */
STOA_API void stoa_file_lock_close(struct stoa_file_lock *lock);

/* The handle's descriptor, close-on-exec: whoever inherits it holds the locks,
 * too. */
STOA_API int stoa_file_lock_fd(const struct stoa_file_lock *lock);

/* ---- Lock --------------------------------------------------------------- */

/*
 * Locks the whole file, as flock(2). Returns 0; or 1: the handle had it in the
 * other mode. Then, between the two, there was an instant at which it had
 * neither, and somebody else may have had the lock: look again at what it
 * protects. For that same reason, when the mode can't be changed the old one is
 * lost. (The mode asked for twice: 0, and nothing happens.) What the last owner
 * wrote before its unlock is visible.
 * -EAGAIN (STOA_NOW), -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE): held by others; a
 * lock granted as the deadline came is either told as had, or not had. -EINVAL:
 * mode. -EBADF: a network file system that needs the descriptor to be open for
 * writing. -ENOLCK: the kernel, or the server, has no more locks. -EUSERS: a
 * deadline needs a process and a timer, and no more may be made (RLIMIT_NPROC,
 * RLIMIT_SIGPENDING). -ENOMEM, -EMFILE, -EPERM;
 * -EIO, -ESTALE: the server.
 */
STOA_API int stoa_file_lock_lock(struct stoa_file_lock *lock, uint32_t mode,
                                 struct stoa_deadline deadline);

/* Unlocks the whole file; not having it is no error. Does not block. -EIO,
 * -ENOLCK: the server. */
STOA_API int stoa_file_lock_unlock(struct stoa_file_lock *lock);

/*
 * Locks bytes `range` (NULL: all, exclusively; length 0: up to the end,
 * wherever that comes to be). What the handle has in it gets the new mode at the
 * instant at which all of it can be had; until then, and if the call fails, the
 * handle keeps what it has. Manners of fcntl(2): parts are converted, split and
 * joined.
 * -EINVAL: the range ends above 2^63, or the mode. -EBADF: the descriptor isn't
 * open for what the mode needs. Others as stoa_file_lock_lock.
 */
STOA_API int stoa_file_lock_lock_range(struct stoa_file_lock *lock,
                                       const struct stoa_range *range,
                                       struct stoa_deadline deadline);

/* Unlocks what the handle has of the bytes (NULL: of all); having none is no
 * error. Does not block. -EINVAL; -ENOLCK: to split a range takes one more. */
STOA_API int stoa_file_lock_unlock_range(struct stoa_file_lock *lock,
                                         const struct stoa_range *range);

/* ---- Inspect ------------------------------------------------------------ */

enum stoa_file_lock_kind {
	STOA_FILE_LOCK_WHOLE = 1,   /* flock(2) */
	STOA_FILE_LOCK_RANGE = 2,   /* an open file description's range */
	STOA_FILE_LOCK_PROCESS = 3, /* a process's: fcntl(2), lockf(3) */
};

/* Who is in the way. */
struct stoa_file_lock_blocker {
	struct stoa_range range; /* what it has; of a whole: 0, 0 */
	uint32_t kind;           /* STOA_FILE_LOCK_* */
	pid_t pid; /* one that holds it; 0: the kernel won't tell this process
	              (another user's, another namespace's, another machine's) */
	char command[16]; /* its name, cut; "" if unknown */
	uint64_t reserved[2];
};

/*
 * Whether the whole file could be locked in `mode` now. 0: yes. 1: no, and
 * *ret_blocker (may be NULL) is one that is in the way. From /proc/locks, where
 * those of other machines and of processes outside this PID namespace don't
 * stand. Outdated when it comes; takes a walk over /proc. -EINVAL; -ENOSYS:
 * there is no /proc/locks; -EIO, -EMFILE, -ENOMEM.
 */
STOA_API int stoa_file_lock_test(struct stoa_file_lock *lock, uint32_t mode,
                                 struct stoa_file_lock_blocker *ret_blocker);

/* The same of a range (NULL: all bytes, exclusively), as F_OFD_GETLK has it.
 * Who holds it is looked for only with `ret_blocker`. */
STOA_API int
stoa_file_lock_test_range(struct stoa_file_lock *lock,
                          const struct stoa_range *range,
                          struct stoa_file_lock_blocker *ret_blocker);

struct stoa_file_lock_status {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t whole; /* the mode in which this handle has locked the whole; 0:
	                   it hasn't (what others did to the description isn't
	                   known) */
	int32_t current; /* 1: the path that was opened still leads to this file;
	                    0: it was removed or replaced; -1: adopted */
	int32_t remote;  /* 1: it lies on a network file system, or FUSE */
	uint64_t device, inode;
	uint64_t reserved[4];
};

/* -EINVAL: size. -EIO, -ENOMEM. */
STOA_API int stoa_file_lock_stat(struct stoa_file_lock *lock,
                                 struct stoa_file_lock_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif
