/* SPDX-License-Identifier: MIT */
/* stoa/stoa.h: everything. */
#ifndef STOA_STOA_H
#define STOA_STOA_H

#include <stoa/barrier.h>
#include <stoa/base.h>
#include <stoa/condition.h>
#include <stoa/datagram.h>
#include <stoa/descriptor.h>
#include <stoa/file_lock.h>
#include <stoa/fifo.h>
#include <stoa/group.h>
#include <stoa/heap.h>
#include <stoa/mapping.h>
#include <stoa/mutex.h>
#include <stoa/port.h>
#include <stoa/pool.h>
#include <stoa/process.h>
#include <stoa/queue.h>
#include <stoa/semaphore.h>
#include <stoa/semaphore_set.h>
#include <stoa/range_lock.h>
#include <stoa/rwlock.h>
#include <stoa/segment.h>
#include <stoa/signal.h>
#include <stoa/space.h>
#include <stoa/stream.h>
#include <stoa/terminal.h>
#include <stoa/topic.h>
#include <stoa/wait.h>

#endif
