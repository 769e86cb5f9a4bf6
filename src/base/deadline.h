/* SPDX-License-Identifier: MIT */
/* base/deadline.h: what is left until a deadline. */
#ifndef STOA_BASE_DEADLINE_H
#define STOA_BASE_DEADLINE_H

#include <stoa/base.h>

enum { STOA_DEADLINE_INSTANT, STOA_DEADLINE_NOW, STOA_DEADLINE_FOREVER };

/* Nanoseconds until `deadline`; 0 if it has passed, INT64_MAX if never. */
int64_t stoa_deadline_left(struct stoa_deadline deadline);

/* What a wait that found nothing by its deadline answers: -EAGAIN for
 * STOA_NOW, else -ETIMEDOUT. */
int stoa_deadline_result(struct stoa_deadline deadline);

#endif
