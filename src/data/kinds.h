/* SPDX-License-Identifier: MIT */
/* data/kinds.h: the kinds of object that this build knows. */
#ifndef STOA_DATA_KINDS_H
#define STOA_DATA_KINDS_H

#include <space/object.h>

extern const struct stoa_object_kind stoa_port_kind;
extern const struct stoa_object_kind stoa_queue_kind;
extern const struct stoa_object_kind stoa_stream_kind;
extern const struct stoa_object_kind stoa_topic_kind;

#endif
