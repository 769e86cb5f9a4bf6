/* SPDX-License-Identifier: MIT */
/* data/kinds.c: the kinds of object that this build knows. */
#include <data/kinds.h>

const struct stoa_object_kind *const stoa_object_kinds[] = {
	&stoa_queue_kind,
	&stoa_stream_kind,
	NULL,
};
