/* SPDX-License-Identifier: MIT */
/* subjects.c: the nouns that the generic sweep knows. */
#include "subject.h"

const struct subject *const subjects[] = {
	NULL
};
