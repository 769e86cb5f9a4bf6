/* SPDX-License-Identifier: MIT */
/* memory/kinds.h: the kinds of object that are memory. */
#ifndef STOA_MEMORY_KINDS_H
#define STOA_MEMORY_KINDS_H

#include <space/object.h>

extern const struct stoa_object_kind stoa_segment_kind;

#endif
