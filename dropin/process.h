/* SPDX-License-Identifier: MIT */
/*
 * dropin/process.h: what the drop-in knows of the process it is in: its space,
 * who it is for permission checks, and when it forks.
 */
#ifndef DROPIN_PROCESS_H
#define DROPIN_PROCESS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/types.h>

#include <stoa/space.h>

/* ---- The space ---------------------------------------------------------- */

/* The space that $STOA_SPACE names, or the user's own: opened at the first
 * call, the process's for as long as it lives. -ENOSYS if it can't be opened,
 * as a kernel without the calls would say; why is told once on stderr. */
int dropin_space(struct stoa_space **ret_space);

/* ---- Who asks ------------------------------------------------------------ */

/* As the kernel's struct ipc64_perm. */
struct dropin_permission {
	uid_t uid, cuid;
	gid_t gid, cgid;
	mode_t mode; /* the low nine bits count */
};

/* Rises whenever the process may have become somebody else. What was found
 * out with an older number must be found out again. */
extern _Atomic uint32_t dropin_identity;

static inline uint32_t dropin_identity_now(void)
{
	/* relaxed: whoever changes it in another thread does so at no moment
	 * that this one could know of */
	return atomic_load_explicit(&dropin_identity, memory_order_relaxed);
}

/* 0, or -EACCES: `wanted` is bits of 0777, of which each class's count as in
 * msgget(2): 0400 or 0040 or 0004 all ask to read. */
int dropin_may(const struct dropin_permission *permission, mode_t wanted);

/* 0, or -EPERM: neither owner nor creator, nor with CAP_SYS_ADMIN. */
int dropin_owns(const struct dropin_permission *permission);

/* Has it this capability (CAP_... of <linux/capability.h>)? */
int dropin_capable(int capability);

/* The same as the kernel checks a file: 0, or -EACCES. `wanted` is 4 to read,
 * 2 to write; the mode's first class that fits counts, and no other. */
int dropin_may_open(uid_t uid, gid_t gid, mode_t mode, unsigned wanted);

/* The mode bits that it masks in what it makes. */
mode_t dropin_umask(void);

/* Who it is: for what it makes. */
void dropin_self(struct dropin_permission *ret_permission, mode_t mode);

/* ---- Forks --------------------------------------------------------------- */

/* Called around fork() of libc, which no vfork, posix_spawn or raw clone is;
 * `before` and `parent` may be NULL. Enlisted for ever. */
struct dropin_fork {
	void (*before)(void);
	void (*parent)(void);
	void (*child)(void);
	struct dropin_fork *next;
};

void dropin_fork_enlist(struct dropin_fork *entry);

/* ---- Time ------------------------------------------------------------------ */

/* NULL is for ever. -EINVAL: no time. */
int dropin_deadline(clockid_t clock, const struct timespec *time,
                    struct stoa_deadline *ret_deadline);

#endif
