/* SPDX-License-Identifier: MIT */
/* stoa/stoa.h: everything. */
#ifndef STOA_STOA_H
#define STOA_STOA_H

#include <stoa/base.h>
#include <stoa/queue.h>
#include <stoa/space.h>
#include <stoa/stream.h>
#include <stoa/wait.h>

#endif
