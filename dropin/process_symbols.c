/* SPDX-License-Identifier: MIT */
/* dropin/process_symbols.c: the calls that make a process somebody else. They
 * are libc's own; the drop-in only notes that who may do what must be asked
 * again. */
#include "process.h"
#include "symbol.h"

#include <dlfcn.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <unistd.h>

/* The real one, and then the note: both, whether it succeeded or not. */
#define BECOMES(name, parameters, arguments)                                \
	LIBC_CALL int libc_##name parameters;                               \
	LIBC_CALL int libc_##name parameters                                \
	{                                                                   \
		int(*real) parameters =                                     \
		        (int(*) parameters)dlsym(RTLD_NEXT, #name);         \
		int result = real arguments;                                \
		atomic_fetch_add_explicit(&dropin_identity, 1,              \
		                          memory_order_relaxed);            \
		return result;                                              \
	}                                                                   \
	LIBC_SYMBOL(libc_##name, name, LIBC_BASE)

BECOMES(setuid, (uid_t uid), (uid));
BECOMES(setgid, (gid_t gid), (gid));
BECOMES(seteuid, (uid_t uid), (uid));
BECOMES(setegid, (gid_t gid), (gid));
BECOMES(setreuid, (uid_t real_uid, uid_t effective), (real_uid, effective));
BECOMES(setregid, (gid_t real_gid, gid_t effective), (real_gid, effective));
BECOMES(setresuid, (uid_t real_uid, uid_t effective, uid_t saved),
        (real_uid, effective, saved));
BECOMES(setresgid, (gid_t real_gid, gid_t effective, gid_t saved),
        (real_gid, effective, saved));
BECOMES(setfsuid, (uid_t uid), (uid));
BECOMES(setfsgid, (gid_t gid), (gid));
BECOMES(setgroups, (size_t count, const gid_t *groups), (count, groups));
BECOMES(initgroups, (const char *user, gid_t group), (user, group));
BECOMES(capset, (void *header, const void *data), (header, data));
