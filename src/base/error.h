/* SPDX-License-Identifier: MIT */
/* base/error.h: the sentence behind stoa_last_error(). */
#ifndef STOA_BASE_ERROR_H
#define STOA_BASE_ERROR_H

/* Sets this thread's sentence and returns `result`, so that a failing function
 * can end with: return stoa_fail(-ENOSPC, "...", ...); */
int stoa_fail(int result, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

#endif
