/* SPDX-License-Identifier: MIT */
/* dropin/semaphore_set.c: semop() and semtimedop(). Each set is a semaphore set
 * of libstoa. Order of checks: as ipc/sem.c of Linux has it. */
#include "semaphore_set.h"

#include "calls.h"
#include "fault.h"
#include "memory_probe.h"

#include <limits.h>

#include <stoa/semaphore_set.h>

/* ---- The sets that this process has open --------------------------------------- */

static int open_set(struct stoa_space *space, const char *name,
                    const struct registry_slot *slot, void **ret_object)
{
	struct stoa_semaphore_set *set;
	int result = stoa_semaphore_set_open(space, name, STOA_INTERRUPTIBLE, 0,
	                                     NULL, &set);

	(void)slot;
	if (result == 0)
		*ret_object = set;
	return result;
}

static void close_set(void *object)
{
	stoa_semaphore_set_close(object);
}

static const struct handle_kind kind = { REGISTRY_SEMAPHORE, open_set,
	                                 close_set };
struct handle_table semaphore_handles = { .kind = &kind };

/* ---- Operating -------------------------------------------------------------------- */

static inline struct stoa_semaphore_change change_of(const struct sembuf *given)
{
	return (struct stoa_semaphore_change){
		.semaphore = given->sem_num,
		.amount = given->sem_op,
		.flags = (given->sem_flg & IPC_NOWAIT ?
		                  (uint32_t)STOA_SEMAPHORE_NO_WAIT :
		                  0) |
		         (given->sem_flg & SEM_UNDO && !DROPIN_FAULT(32) ?
		                  (uint32_t)STOA_SEMAPHORE_UNDO :
		                  0)
	};
}

static struct stoa_deadline deadline_of(const struct timespec *timeout)
{
	int64_t most = INT64_MAX / 1000000000 - 1;

	return stoa_deadline_in(timeout->tv_sec > most ?
	                                INT64_MAX :
	                                timeout->tv_sec * 1000000000 +
	                                        timeout->tv_nsec);
}

/* EINTR whatever SA_RESTART says; a time that has passed is EAGAIN. */
static int operate(struct handle *handle,
                   const struct stoa_semaphore_change *changes, size_t count,
                   const struct timespec *timeout)
{
	struct stoa_semaphore_set *set = handle->object;
	int result;

	if (__builtin_expect(!timeout, 1)) {
		do
			result = stoa_semaphore_set_operate(
			        set, changes, count, STOA_FOREVER);
		while (DROPIN_FAULT(33) && result == -EINTR);
		return result;
	}
	result = stoa_semaphore_set_operate(set, changes, count, STOA_NOW);
	if (result == -EAGAIN)
		result = stoa_semaphore_set_operate(set, changes, count,
		                                    deadline_of(timeout));
	if (result == -ETIMEDOUT && !DROPIN_FAULT(34))
		return -EAGAIN;
	return result;
}

int semaphore_count(int id)
{
	const struct registry *registry;
	struct registry_slot *slot;
	int result = registry_lock(&registry);

	if (result < 0)
		return result;
	result = registry_find(registry, REGISTRY_SEMAPHORE, id, &slot);
	if (result == 0)
		result = (int)(atomic_load_explicit(
		                       &slot->word[SEMAPHORE_COUNT],
		                       memory_order_relaxed) &
		               0xffff);
	registry_unlock();
	return result;
}

/* Why there is no handle: that a semaphore doesn't exist is told before that
 * the set may not be touched. */
static int refusal(int id, int result, const struct sembuf *operations,
                   size_t count)
{
	int most = result == -EACCES ? semaphore_count(id) : 0;

	if (most <= 0)
		return most < 0 ? most : result;
	for (size_t i = 0; i < count; i++)
		if (operations[i].sem_num >= most)
			return DROPIN_FAULT(40) ? -EINVAL : -EFBIG;
	return result;
}

static int too_many(size_t count)
{
	const struct registry *registry;
	int result = registry_open(&registry);

	if (result < 0)
		return result;
	/* relaxed: written once, before the registry was known */
	return count > STOA_SEMAPHORE_SET_OPERATIONS ||
	                       count > atomic_load_explicit(
	                                       &registry->header->limits.semopm,
	                                       memory_order_relaxed) ?
	               -E2BIG :
	               0;
}

/* One less than a value can ever be is taken in two changes, which together
 * wait for ever, as they should; if there is room for two. */
static size_t changes_of(const struct sembuf *operations, size_t count,
                         struct stoa_semaphore_change *changes,
                         unsigned *ret_wanted)
{
	size_t made = 0;

	*ret_wanted = HANDLE_READ;
	for (size_t i = 0; i < count; i++) {
		struct stoa_semaphore_change change = change_of(&operations[i]);

		if (change.amount != 0)
			*ret_wanted = HANDLE_WRITE;
		if (change.amount == SHRT_MIN &&
		    made + count - i < STOA_SEMAPHORE_SET_OPERATIONS) {
			change.amount = -1;
			changes[made++] = change;
			change.amount = SHRT_MIN + 1;
		}
		changes[made++] = change;
	}
	return made;
}

static __attribute__((noinline)) int
operate_many(int id, const struct sembuf *operations, size_t count,
             const struct timespec *timeout)
{
	struct stoa_semaphore_change changes[STOA_SEMAPHORE_SET_OPERATIONS];
	struct handle *handle;
	unsigned wanted;
	size_t made = changes_of(operations, count, changes, &wanted);
	int result = handle_get(&semaphore_handles, id, wanted, &handle);

	if (result < 0)
		return refusal(id, result, operations, count);
	result = operate(handle, changes, made, timeout);
	handle_put(handle);
	return result;
}

static int check(const struct sembuf *operations, size_t count,
                 const struct timespec *timeout)
{
	int result = count > 1 ? too_many(count) : 0;

	if (result < 0)
		return result;
	if (!probe_readable(operations, count * sizeof(*operations)))
		return -EFAULT;
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 ||
	                timeout->tv_nsec > 999999999))
		return -EINVAL;
	return 0;
}

int dropin_semtimedop(int id, struct sembuf *operations, size_t count,
                      const struct timespec *timeout)
{
	struct stoa_semaphore_change change;
	struct handle *handle;
	int result;

	/* As the system call has it. */
	count = (unsigned)count;
	if (timeout && !probe_readable(timeout, sizeof(*timeout)))
		return -EFAULT;
	if (count < 1 || id < 0)
		return -EINVAL;
	result = check(operations, count, timeout);
	if (__builtin_expect(result < 0, 0))
		return result;
	if (count > 1 || operations->sem_op == SHRT_MIN)
		return operate_many(id, operations, count, timeout);
	change = change_of(operations);
	result = handle_get(&semaphore_handles, id,
	                    change.amount != 0 ? HANDLE_WRITE : HANDLE_READ,
	                    &handle);
	if (__builtin_expect(result < 0, 0))
		return refusal(id, result, operations, count);
	result = operate(handle, &change, 1, timeout);
	handle_put(handle);
	return result;
}
