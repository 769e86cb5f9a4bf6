/* SPDX-License-Identifier: MIT */
/*
 * stoa/space.h: a space is a directory on tmpfs that holds objects: the unit
 * of naming and of isolation. Each process that uses a space joins it and is
 * known in it as a peer, alive until the kernel says otherwise.
 *
 * Shared: the directory, its life files, its objects. Per process: the
 * handle. A process killed at any instruction leaves nothing that others wait
 * for; what it held is given back by whoever meets it.
 *
 * Threads: every function may be called by several threads at once, except
 * that stoa_space_close() must come after all use of the handle and of the
 * objects opened through it. Fork: the child may use the handle; it joins the
 * space under its own identity at its first operation. (A child made by raw
 * clone() without exec keeps its parent looking alive until it exits.)
 * Not async-signal-safe.
 */
#ifndef STOA_SPACE_H
#define STOA_SPACE_H

#include <stoa/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_NAME_MAX 200 /* bytes: A-Z a-z 0-9 . _ -, no leading dot */

struct stoa_space;

/* One life of one process in one space. Never reused within a boot. 0 = none. */
typedef uint64_t stoa_peer;

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the space in directory `path` (absolute). NULL: $STOA_SPACE, else
 * /dev/shm/stoa-<uid>, which is made (mode 0700) on first use. With
 * STOA_CREATE a missing directory is made, mode 0700, or 1777 with
 * STOA_SHARED. Does not block. The caller closes *ret_space.
 *
 * -ENOENT: no such directory. -EINVAL: not an absolute path, unknown flags.
 * -EPERM: the directory could be tampered with (foreign owner, group- or
 * world-writable without the sticky bit, a symbolic link).
 * -EMEDIUMTYPE: not on tmpfs. -ENOTDIR, -EACCES, -ENOMEM, -EMFILE.
 */
STOA_API int stoa_space_open(const char *path, unsigned flags,
                             struct stoa_space **ret_space);

/* Leaves the space and frees the handle. NULL is fine. */
STOA_API void stoa_space_close(struct stoa_space *space);

/* The directory's path, owned by the handle. */
STOA_API const char *stoa_space_path(const struct stoa_space *space);

/* ---- Peers -------------------------------------------------------------- */

/* This process's identity in the space (joins first if it must).
 * -EUSERS: all 65,536 life slots of the space are taken. -EPERM: what lies
 * under a life file's name (.life.0) is none. -EUCLEAN: it is too short.
 * -EACCES, -ENOSPC, -EMFILE; -EFBIG: more than a file may have (RLIMIT_FSIZE;
 * no SIGXFSZ). Every call that must join first may answer so, and all that make
 * objects or let them grow give -EFBIG, too. */
STOA_API int stoa_space_self(struct stoa_space *space, stoa_peer *ret_peer);

/* 1: alive (also when stopped). 0: dead, and its memory torn down. */
STOA_API int stoa_space_alive(struct stoa_space *space, stoa_peer peer);

struct stoa_peer_info {
	stoa_peer peer;
	pid_t pid; /* as the peer itself saw it, in its own PID namespace */
	uid_t uid;
	int64_t joined_ns; /* CLOCK_REALTIME */
	char command[16];
};

/* Calls `visit` for each living peer; stops at its first non-zero result and
 * returns that; else returns the number visited. */
STOA_API int stoa_space_each_peer(struct stoa_space *space,
                                  int (*visit)(const struct stoa_peer_info *,
                                               void *context),
                                  void *context);

/* ---- Objects ------------------------------------------------------------ */

/* One object as the directory shows it. */
struct stoa_object_info {
	char name[STOA_NAME_MAX + 1]; /* without the kind */
	char kind[16];                /* "queue" */
	int health;   /* 0, or -EPROTO, -EUCLEAN, -EIDRM, -EACCES ... */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t size_bytes; /* of the file, without holes */
	uint64_t generation; /* differs for each object ever made */
	int64_t created_ns;  /* CLOCK_REALTIME */
	pid_t creator_pid;
	uint32_t users;   /* living handles */
	uint32_t waiting; /* of these, waiting */
	uint32_t dead;    /* handles of the dead, not buried yet */
};

/* Calls `visit` for each object in no particular order; stops at its first
 * non-zero result and returns that; else returns the number visited. Does not
 * disturb the objects. */
STOA_API int stoa_space_each(struct stoa_space *space,
                             int (*visit)(const struct stoa_object_info *,
                                          void *context),
                             void *context);

/* Describes one object. `name` is "orders.queue"; or "orders" if only one
 * kind has that name. -ENOENT; -EINVAL: not a name; -ENOTUNIQ: several kinds
 * have that name. */
STOA_API int stoa_space_find(struct stoa_space *space, const char *name,
                             struct stoa_object_info *ret_info);

/* Removes a name. Handles go on working. With `wake`, as IPC_RMID does: the
 * object is also marked removed, and all who wait on it get -EIDRM.
 * -ENOENT, -EINVAL, -ENOTUNIQ, -EACCES. */
STOA_API int stoa_space_remove(struct stoa_space *space, const char *name,
                               int wake);

/* One living or dead handle on an object. */
struct stoa_user {
	stoa_peer peer;
	pid_t pid;
	uid_t uid;
	int alive;
	int64_t opened_ns; /* CLOCK_REALTIME */
	unsigned flags;    /* STOA_READ, STOA_WRITE */
	uint32_t waiting;  /* STOA_READ: to receive; STOA_WRITE: to send */
	int64_t waiting_since_ns; /* CLOCK_REALTIME, 0 = not waiting */
	uint64_t messages_in, messages_out; /* sent and received through it */
	uint64_t bytes_in, bytes_out;
};

/* Calls `visit` for each handle on the object `name`, as stoa_space_each. */
STOA_API int stoa_space_each_user(struct stoa_space *space, const char *name,
                                  int (*visit)(const struct stoa_user *,
                                               void *context),
                                  void *context);

/* A thread that waits, and for whom: of the kinds that say so (locks). */
struct stoa_waiting {
	char name[96]; /* of the object, with its kind; may be cut. Foreign */
	uint64_t generation; /* of the object; 0: it has no file */
	stoa_peer peer;
	pid_t pid, tid;  /* as the process sees itself */
	uint32_t thread; /* number within its process */
	uint32_t mode;   /* the kind's own: STOA_RANGE_EXCLUSIVE ... */
	int64_t since_ns; /* CLOCK_REALTIME */
	uint64_t start, last; /* of a range, both included */
	uint32_t is_range;
	uint32_t blockers; /* in the way, as far as there is room */
	stoa_peer blocker[7];
	uint32_t blocker_thread[7];
	pid_t blocker_pid[7]; /* 0: not known */
};

/* Calls `visit` for each thread of the space that has waited for a
 * millisecond or longer on the object of that generation (0: on any), as
 * stoa_space_each. Up to 64 of a process are shown, and none on a full
 * tmpfs. */
STOA_API int stoa_space_each_waiting(struct stoa_space *space,
                                     uint64_t generation,
                                     int (*visit)(const struct stoa_waiting *,
                                                  void *context),
                                     void *context);

/* What stoa_space_clean did, or would do. */
struct stoa_cleaning {
	const char *name;   /* file in the space */
	const char *action; /* "bury" or "remove" */
	pid_t pid;          /* of the dead, 0 if not about one */
	int result;         /* 0 or -errno */
};

/*
 * Buries every dead peer in every object that this process may write: what
 * they had taken comes back, what they had half made vanishes, who waited for
 * them wakes; and removes the helper files that the dead left. Objects stay.
 * With `dry_run` only tells. `visit` may be NULL. Returns the number of
 * things done (or to do).
 */
STOA_API int stoa_space_clean(struct stoa_space *space, int dry_run,
                              void (*visit)(const struct stoa_cleaning *,
                                            void *context),
                              void *context);

/* ---- Distrust ----------------------------------------------------------- */

/*
 * Installs, once per process, a SIGBUS handler that turns faults in stoa's
 * own mappings (a peer truncated the file) into -EIO from the call that met
 * it, and hands every other fault to the handler that was there before.
 * Without it such a fault ends the process, as for any mapping.
 */
STOA_API int stoa_guard(void);

#ifdef __cplusplus
}
#endif
#endif
