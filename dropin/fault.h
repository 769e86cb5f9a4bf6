/* SPDX-License-Identifier: MIT */
/*
 * dropin/fault.h: seeded faults. A build with -DDROPIN_FAULTS is wrong in the
 * way that the environment variable STOA_DROPIN_FAULT=n chooses, and
 * tests/conformance must notice. Any other build has none of it.
 *
 *   1 ..  19  mq
 *  20 ..  49  message queues and semaphore sets of System V
 *  50 ..  79  shared memory of both kinds, POSIX semaphores
 *  90 ..  93  notification, the registry
 */
#ifndef DROPIN_FAULT_H
#define DROPIN_FAULT_H

#ifdef DROPIN_FAULTS
int dropin_fault_chosen(void);
#define DROPIN_FAULT(n) (dropin_fault_chosen() == (n))
#else
#define DROPIN_FAULT(n) 0
#endif

#endif
