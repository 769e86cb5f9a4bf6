/* SPDX-License-Identifier: MIT */
/* memory/kinds.h: the kinds of object that are memory. */
#ifndef STOA_MEMORY_KINDS_H
#define STOA_MEMORY_KINDS_H

#include <space/object.h>

/* Numbers of those that may stand in the caller's memory: struct stoa_place. */
enum { KIND_POOL = 16, KIND_HEAP };

extern const struct stoa_object_kind stoa_heap_kind;
extern const struct stoa_object_kind stoa_pool_kind;
extern const struct stoa_object_kind stoa_segment_kind;

#endif
