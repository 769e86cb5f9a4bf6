/* SPDX-License-Identifier: MIT */
/* operations_space.c: operations on the victim's space and its handle, and how
 * each answer is judged. */
#include "hostile.h"

enum { SPACE_TURN = 64 }; /* one operation on the space in so many */

/* ---- On the space ------------------------------------------------------- */

static int see_object(const struct stoa_object_info *info, void *context)
{
	size_t *seen = context;

	*seen += strnlen(info->name, sizeof(info->name)) +
	         strnlen(info->kind, sizeof(info->kind));
	return 0;
}

static int see_user(const struct stoa_user *user, void *context)
{
	size_t *seen = context;

	*seen += (size_t)user->pid;
	return 0;
}

static int see_peer(const struct stoa_peer_info *info, void *context)
{
	size_t *seen = context;

	*seen += strnlen(info->command, sizeof(info->command));
	return 0;
}

static void see_cleaning(const struct stoa_cleaning *cleaning, void *context)
{
	size_t *seen = context;

	*seen += strlen(cleaning->name) + strlen(cleaning->action);
}

static long long list(struct victim *victim)
{
	size_t seen = 0;

	return stoa_space_each(victim->space, see_object, &seen);
}

static long long find(struct victim *victim)
{
	struct stoa_object_info info;

	return stoa_space_find(victim->space, victim->name, &info);
}

static long long list_users(struct victim *victim)
{
	size_t seen = 0;

	return stoa_space_each_user(victim->space, victim->name, see_user,
	                            &seen);
}

static long long list_peers(struct victim *victim)
{
	size_t seen = 0;

	return stoa_space_each_peer(victim->space, see_peer, &seen);
}

static long long clean(struct victim *victim)
{
	size_t seen = 0;

	return stoa_space_clean(victim->space,
	                        (int)random_below(&victim->chance, 2),
	                        see_cleaning, &seen);
}

static long long know_self(struct victim *victim)
{
	stoa_peer self = 0;
	int result = stoa_space_self(victim->space, &self);

	return result < 0 ? result : stoa_space_alive(victim->space, self);
}

static long long ask_alive(struct victim *victim)
{
	return stoa_space_alive(victim->space, next_random(&victim->chance));
}

static void on_condition(int result, void *context)
{
	atomic_int *called = context;

	atomic_store(called, result == 0 ? 1 : result);
}

static long long watch(struct victim *victim)
{
	struct stoa_watch *watch;
	struct stoa_wait condition = { .kind = STOA_READABLE };
	atomic_int called = 0;
	int result = stoa_watch_start(victim->space, &watch);

	if (result < 0)
		return result;
	condition.object = stoa_queue_object(victim->queue);
	result = stoa_watch_once(watch, &condition, on_condition, &called);
	stoa_watch_stop(watch);
	return result;
}

/* ---- On the handle ------------------------------------------------------ */

long long victim_open(struct victim *victim)
{
	int result;

	victim->queue = NULL;
	result = stoa_queue_open(victim->space, victim->name,
	                         STOA_READ | STOA_WRITE, 0, NULL,
	                         &victim->queue);
	if (result < 0 && victim->queue != NULL)
		finding("a failed open touched its output");
	return result;
}

void victim_close(struct victim *victim)
{
	stoa_queue_close(victim->queue);
	victim->queue = NULL;
	victim->taken_count = 0;
	victim->reserved_count = 0;
}

static long long reopen(struct victim *victim)
{
	victim_close(victim);
	return victim_open(victim);
}

const struct operation space_operations[] = {
	{ "space_each", list, 2, false, true },
	{ "space_find", find, 2, false, true },
	{ "space_each_user", list_users, 2, false, true },
	{ "space_each_peer", list_peers, 1, false, true },
	{ "space_self", know_self, 1, false, true },
	{ "space_alive", ask_alive, 2, false, false },
	{ "watch", watch, 1, true, true },
	{ "space_clean", clean, 1, false, true },
	{ "close and open", reopen, 8, false, true },
};
const size_t space_operation_count = LENGTH(space_operations);

/* ---- Judging ------------------------------------------------------------ */

static bool is_among(long long result, const int *errors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (result == -errors[i])
			return true;
	return false;
}

static bool is_promised(const struct victim *victim,
                        const struct operation *operation, long long result)
{
	static const int always[] = { EUCLEAN,  EAGAIN, ETIMEDOUT, ESTALE,
		                      EMSGSIZE, ENOMSG, EIDRM,     ENOMEM,
		                      EBUSY,    EUSERS, ENOSPC };
	static const int at_opening[] = { EPROTO, ENOENT,   EPERM,
		                          EACCES, ENOTUNIQ, EMFILE,
		                          EISDIR, ELOOP,    ENXIO };

	if (result >= 0 || is_among(result, always, LENGTH(always)))
		return true;
	if (result == -EIO)
		return victim->may_be_cut;
	return operation->opens &&
	       is_among(result, at_opening, LENGTH(at_opening));
}

long long operate(struct victim *victim, const struct operation *operation)
{
	long long result;

	if (operation->needs_queue && victim->queue == NULL)
		return 0;
	watch_operation(operation->name, victim->patience_ns);
	result = operation->run(victim);
	if (!is_promised(victim, operation, result))
		finding("%s gave %lld, %s, which is not promised",
		        operation->name, result,
		        strerrorname_np((int)-result) ?: "no errno");
	operation_done();
	return result;
}

static const struct operation *
weighted(uint64_t *chance, const struct operation *operations, size_t count)
{
	uint64_t total = 0, number;

	for (size_t i = 0; i < count; i++)
		total += operations[i].weight;
	number = random_below(chance, total);
	for (size_t i = 0; i < count; i++) {
		if (number < operations[i].weight)
			return &operations[i];
		number -= operations[i].weight;
	}
	return &operations[0];
}

long long operate_by_chance(struct victim *victim)
{
	bool on_space = victim->queue == NULL ||
	                random_below(&victim->chance, SPACE_TURN) == 0;

	return operate(victim,
	               on_space ? weighted(&victim->chance, space_operations,
	                                   space_operation_count)
	                        : weighted(&victim->chance, queue_operations,
	                                   queue_operation_count));
}

void operate_on_queue(struct victim *victim)
{
	for (size_t i = 0; i < queue_operation_count; i++)
		operate(victim, &queue_operations[i]);
}

void operate_all(struct victim *victim)
{
	operate_on_queue(victim);
	for (size_t i = 0; i < space_operation_count; i++)
		operate(victim, &space_operations[i]);
}
