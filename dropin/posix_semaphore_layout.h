/* SPDX-License-Identifier: MIT */
/*
 * dropin/posix_semaphore_layout.h: the bytes of a sem_t, which are glibc's on
 * 64-bit machines (struct new_sem of its sysdeps/nptl/internaltypes.h): so a
 * process without the drop-in can use the same sem_t of any shared memory.
 *
 *   0    data     value (low half: permits) and waiters (high half)
 *   8    shared   0: of this process's threads; 128: of any process's. Written
 *                 by sem_init() and sem_open() alone
 *
 * A named one is a plain file of 32 bytes, "sem.NAME.posix_semaphore", made
 * complete before it has its name.
 *
 * TRUTH: value. Commit points are the compare-and-swaps of `data`:
 *
 *   post    value + 1 (release); where there are waiters it is the kernel that
 *           adds, and wakes one, in one system call
 *   take    value - 1 (acquire), if it isn't 0
 *   wait    waiters + 1; then as often as it takes: with a value, value - 1 and
 *           waiters - 1 at once (acquire), else sleep while value is 0
 *   waiters - 1 by who gives up waiting; if there is a value, he wakes another,
 *           as he may have been woken for it himself
 *
 *   Nobody who was woken is promised a permit, and who comes by may take it
 *   first. Post and the count of waiters are one word, so a post that finds none
 *   precedes any waiter that could miss it: that one's sleep finds the value.
 *
 * States a death may leave, of a shared one:
 *
 *   waiters too high    forever: each post asks the kernel in vain. Nobody can
 *                       tell a dead one's share of the count
 *   permits, and others asleep: the dead had been woken and not taken yet. So
 *                       sleepers look at the value every 50 ms, but for one who
 *                       is ALONE. A poster without the drop-in may die between
 *                       its post and its wake
 *   a permit taken      gone with the dead, as POSIX has it
 *
 * ALONE is who the kernel finds to be the only waiter as it lets him fall
 * asleep, and who sleeps on the count of waiters as well as on the value.
 *
 *     sleeps                               comes
 *     kernel: waiters is 1, or back        waiters + 1
 *     kernel: in the queue of waiters      wakes all who sleep on waiters
 *     kernel: value is 0, or back          (falls asleep, in slices)
 *     kernel: in the queue of the value
 *
 *   So nobody who lives sleeps together with one who sleeps alone; and nobody can
 *   die in his place, having been woken before him (for a real-time priority,
 *   or as he looked at the count by himself and was late to fall asleep).
 *   Looked at in the other order, one who gives up could lower the count, and
 *   die with a permit left, between the kernel's two looks. All of it is in
 *   tests/model/posix_semaphore.pml.
 *
 * A private one's threads die together; its sleepers aren't disturbed.
 */
#ifndef DROPIN_POSIX_SEMAPHORE_LAYOUT_H
#define DROPIN_POSIX_SEMAPHORE_LAYOUT_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SEMAPHORE_SHARED 128
#define SEMAPHORE_WAITER (UINT64_C(1) << 32)
#define SEMAPHORE_VALUE(data) ((uint32_t)(data))
#define SEMAPHORE_WAITERS(data) ((uint32_t)((data) >> 32))
#define SEMAPHORE_VALUE_MAX 0x7fffffffu

struct semaphore {
	_Atomic uint64_t data;
	int32_t shared;
	int32_t unused[5];
};

_Static_assert(sizeof(struct semaphore) == sizeof(sem_t), "32 bytes");
_Static_assert(offsetof(struct semaphore, shared) == 8, "as glibc's");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "value first");

#endif
