/* SPDX-License-Identifier: MIT */
/* space/guard.h: the mappings that stoa_guard() watches over. */
#ifndef STOA_SPACE_GUARD_H
#define STOA_SPACE_GUARD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Remembers a mapping; a fault in it sets *poisoned. -ENOMEM. */
int stoa_guard_add(void *start, size_t bytes, _Atomic uint32_t *poisoned);
void stoa_guard_remove(void *start);

#endif
