/* SPDX-License-Identifier: MIT */
/* dropin/semaphore_set.h: what the files of the semaphore sets share. */
#ifndef DROPIN_SEMAPHORE_SET_H
#define DROPIN_SEMAPHORE_SET_H

#include "handle.h"

#define SEMAPHORE_COUNT 0 /* the slot's word: sem_nsems */

extern struct handle_table semaphore_handles;

/* sem_nsems, whoever asks. -EINVAL. */
int semaphore_count(int id);

#endif
