/* SPDX-License-Identifier: MIT */
/* space/wait.h: what stoa_wait_any and the watch share. */
#ifndef STOA_SPACE_WAIT_H
#define STOA_SPACE_WAIT_H

#include <base/futex.h>
#include <stoa/wait.h>

/* As stoa_wait_any; -ECANCELED when the bystander's word has changed. */
int stoa_wait_several(const struct stoa_wait *conditions, size_t count,
                         const struct stoa_futex_wait *bystander,
                         struct stoa_deadline deadline);

/* 1, 0, or why it can't hold any more. */
int stoa_wait_holds(const struct stoa_wait *condition);

#endif
