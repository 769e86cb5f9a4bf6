/* SPDX-License-Identifier: MIT */
/* kernel/signal_internal.h: what the files of the noun signal share. */
#ifndef STOA_KERNEL_SIGNAL_INTERNAL_H
#define STOA_KERNEL_SIGNAL_INTERNAL_H

#include <stoa/signal.h>

#include <stddef.h>

#define SIGNAL_LIBC_FIRST 32 /* what glibc and musl keep for threads */
#define SIGNAL_LIBC_LAST 33
#define SIGNAL_SET_BYTES sizeof(stoa_signal_set) /* as the kernel has it */

_Static_assert(sizeof(struct stoa_signal_info) == 64, "message size");
_Static_assert(offsetof(struct stoa_signal_info, number) == 0, "layout");
_Static_assert(offsetof(struct stoa_signal_info, code) == 4, "layout");
_Static_assert(offsetof(struct stoa_signal_info, pid) == 8, "layout");
_Static_assert(offsetof(struct stoa_signal_info, uid) == 12, "layout");
_Static_assert(offsetof(struct stoa_signal_info, value) == 16, "layout");
_Static_assert(offsetof(struct stoa_signal_info, address) == 24, "layout");
_Static_assert(offsetof(struct stoa_signal_info, status) == 32, "layout");
_Static_assert(offsetof(struct stoa_signal_info, fd) == 36, "layout");
_Static_assert(offsetof(struct stoa_signal_info, timer) == 40, "layout");
_Static_assert(offsetof(struct stoa_signal_info, origin) == 44, "layout");
_Static_assert(offsetof(struct stoa_signal_info, when_ns) == 48, "layout");
_Static_assert(offsetof(struct stoa_signal_info, overrun) == 56, "layout");

/* Who says what the fields say: only a process can give negative codes, except
 * SI_TKILL, which the kernel fills itself. */
enum stoa_signal_origin stoa_signal_origin_of(int code);

/* In words of signal.h, without the instant. Async-signal-safe. */
struct stoa_signal_info stoa_signal_translate(const siginfo_t *info);

/* 0, or -EINVAL with a sentence: not 1 to 64, libc's own, or, unless `any`,
 * SIGKILL and SIGSTOP, which can't be `done` ("blocked"). */
int stoa_signal_check(int number, int any, const char *done);
int stoa_signal_check_set(stoa_signal_set set, const char *done);

/* rt_sigprocmask(2), which libc's would give another set. */
int stoa_signal_mask(int how, stoa_signal_set set,
                     stoa_signal_set *ret_before);

/* 0, or -EINVAL with a sentence: the calling thread doesn't block all. */
int stoa_signal_check_blocked(stoa_signal_set set);

/* For sentences: the first of a set, by name, into `name`. */
const char *stoa_signal_first(stoa_signal_set set,
                              char name[STOA_SIGNAL_NAME_MAX]);

/* How long to sleep by a deadline: a clock that may be set is looked at each
 * slice. INT64_MAX: for ever. */
int64_t stoa_signal_patience(struct stoa_deadline deadline);

#endif
