/* SPDX-License-Identifier: MIT */
/* subjects.c: the nouns that the generic sweep knows. */
#include "subject.h"

extern const struct subject queue_subject;

const struct subject *const subjects[] = {
	&queue_subject,
	NULL
};
