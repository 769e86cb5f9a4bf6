/* SPDX-License-Identifier: MIT */
/* operations.c: operations on the victim's space and its handle, how each
 * answer is judged, and what the nouns' own operations share. */
#include "hostile.h"

#include <poll.h>
#include <signal.h>

enum { SPACE_TURN = 64 }; /* one operation on the space in so many */

static _Atomic unsigned notifications;

static void on_notification(int number)
{
	(void)number;
	atomic_fetch_add(&notifications, 1);
}

void catch_notifications(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_notification;
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
}

struct victim victim_of(struct stoa_space *space, const struct noun *noun,
                        unsigned shape, int64_t patience_ns)
{
	struct victim victim;

	memset(&victim, 0, sizeof(victim));
	victim.space = space;
	victim.noun = noun;
	victim.name = "q";
	victim.shape = shape;
	victim.chance = run_seed();
	victim.patience_ns = patience_ns;
	catch_notifications();
	return victim;
}

/* ---- For operations ----------------------------------------------------- */

bool one_in(struct victim *victim, unsigned n)
{
	return random_below(&victim->chance, n) == 0;
}

uint64_t some(struct victim *victim, uint64_t bound)
{
	return random_below(&victim->chance, bound);
}

struct stoa_deadline soon(struct victim *victim)
{
	if (victim->patience_ns == 0)
		return STOA_NOW;
	switch (random_below(&victim->chance, 4)) {
	case 0: return stoa_deadline_in(victim->patience_ns);
	case 1: return stoa_deadline_in(victim->patience_ns / 16);
	default: return STOA_NOW;
	}
}

void *exact(size_t bytes)
{
	void *data = malloc(bytes);

	if (data == NULL)
		finding("no memory");
	if (bytes > 0)
		memset(data, 'v', bytes);
	return data;
}

unsigned sum_of(const void *data, size_t bytes)
{
	const volatile unsigned char *at = data;
	unsigned sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum += at[i];
	return sum;
}

void check_loan(struct victim *victim, const void *data, size_t bytes,
                const void *base, size_t base_bytes)
{
	const char *at = data, *first = base;

	victim->whole_at_loan = atomic_load(&victim->object->poisoned) == 0;
	if (at < first || bytes > base_bytes ||
	    at > first + (base_bytes - bytes))
		finding("loaned %zu bytes at %p, outside the mapping of %zu "
		        "at %p",
		        bytes, data, base_bytes, base);
}

long long wait_for(struct victim *victim, uint64_t amount, const void *detail)
{
	const struct stoa_wait conditions[] = {
		{ .kind = STOA_READABLE,
		  .object = victim->object,
		  .amount = amount,
		  .detail = one_in(victim, 2) ? detail : NULL },
		{ .kind = STOA_WRITABLE,
		  .object = victim->object,
		  .amount = amount,
		  .detail = one_in(victim, 2) ? detail : NULL },
		{ .kind = STOA_DEATH,
		  .space = victim->space,
		  .peer = next_random(&victim->chance) },
	};
	size_t first = some(victim, 2);
	size_t count = 1 + some(victim, LENGTH(conditions) - first);

	return stoa_wait_any(conditions + first, count, soon(victim));
}

long long poll_descriptor(int fd)
{
	struct pollfd poller = { fd, POLLIN, 0 };

	if (fd < 0)
		return fd;
	poll(&poller, 1, 0);
	return 0;
}

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

static int see_waiting(const struct stoa_waiting *waiting, void *context)
{
	size_t *seen = context;

	*seen += strnlen(waiting->name, sizeof(waiting->name));
	if (waiting->blockers > LENGTH(waiting->blocker))
		finding("%u blockers", waiting->blockers);
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

static long long list_waiting(struct victim *victim)
{
	size_t seen = 0;

	return stoa_space_each_waiting(victim->space, 0, see_waiting, &seen);
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
	int result;

	if (victim->handle == NULL)
		return 0;
	result = stoa_watch_start(victim->space, &watch);
	if (result < 0)
		return result;
	condition.object = victim->object;
	result = stoa_watch_once(watch, &condition, on_condition, &called);
	stoa_watch_stop(watch);
	return result;
}

/* ---- On the handle ------------------------------------------------------ */

long long victim_open(struct victim *victim)
{
	int result;

	victim->handle = NULL;
	victim->object = NULL;
	if (victim->noun->placed)
		victim->place =
			map_place(victim->space, victim->noun, victim->name, 0);
	result = victim->noun->open(victim);
	if (result < 0 && victim->handle != NULL)
		finding("a failed open touched its output");
	if (result < 0)
		unmap_place(&victim->place);
	return result;
}

void victim_close(struct victim *victim)
{
	if (victim->handle != NULL)
		victim->noun->close(victim);
	unmap_place(&victim->place);
	victim->handle = NULL;
	victim->object = NULL;
}

static long long reopen(struct victim *victim)
{
	victim_close(victim);
	return victim_open(victim);
}

const struct operation space_operations[] = {
	{ "space_each", list, 2, true, true },
	{ "space_find", find, 2, true, true },
	{ "space_each_user", list_users, 2, true, true },
	{ "space_each_waiting", list_waiting, 1, true, true },
	{ "space_each_peer", list_peers, 1, true, true },
	{ "space_self", know_self, 1, true, true },
	{ "space_alive", ask_alive, 2, false, true },
	{ "watch", watch, 1, true, true },
	{ "space_clean", clean, 1, true, true },
	{ "close and open", reopen, 8, true, true },
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
	static const int always[] = { EUCLEAN, EAGAIN, ETIMEDOUT, EIDRM,
		                      ENOMEM,  EBUSY,  EUSERS,    ENOSPC };
	static const int at_opening[] = { EPROTO, ENOENT,   EPERM,
		                          EACCES, ENOTUNIQ, EMFILE,
		                          EXDEV };

	if (result >= 0 || is_among(result, always, LENGTH(always)))
		return true;
	if (result == -EIO)
		return victim->may_be_cut;
	for (const int *error = victim->noun->errors; *error != 0; error++)
		if (result == -*error)
			return true;
	return operation->opens &&
	       is_among(result, at_opening, LENGTH(at_opening));
}

long long operate(struct victim *victim, const struct operation *operation)
{
	long long result;

	if (!operation->on_space && victim->handle == NULL)
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
	bool on_space = victim->handle == NULL ||
	                random_below(&victim->chance, SPACE_TURN) == 0;
	const struct noun *noun = victim->noun;

	return operate(victim,
	               on_space ? weighted(&victim->chance, space_operations,
	                                   space_operation_count)
	                        : weighted(&victim->chance, noun->operations,
	                                   operations_of(noun)));
}

void operate_on_object(struct victim *victim)
{
	for (const struct operation *operation = victim->noun->operations;
	     operation->name != NULL; operation++)
		operate(victim, operation);
}

void operate_all(struct victim *victim)
{
	operate_on_object(victim);
	for (size_t i = 0; i < space_operation_count; i++)
		operate(victim, &space_operations[i]);
}
