/* SPDX-License-Identifier: MIT */
/* space/watch.c: callbacks from a thread, made only when asked for. */
#include <base/system.h>
#include <space/event.h>
#include <space/space.h>
#include <space/wait.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define WATCHED_MAX (STOA_WAIT_MAX - 1)

struct watched {
	struct stoa_wait condition;
	void (*callback)(int result, void *context);
	void *context;
};

struct stoa_watch {
	struct stoa_space *space;
	pthread_t thread;
	pthread_mutex_t mutex; /* private memory; guards what follows */
	struct watched watched[WATCHED_MAX];
	size_t count;
	int stop;
	uint64_t peers; /* the thread's: a sum over those alive */
	_Atomic uint32_t changed; /* counts; the thread's bystander word */
};

static void tell_thread(struct stoa_watch *watch)
{
	atomic_fetch_add(&watch->changed, 1);
	stoa_futex_wake(&watch->changed, STOA_FUTEX_ALL);
}

/* Takes out one watched condition that holds, or can't any more. */
static int take_due(struct stoa_watch *watch, struct watched *ret_due,
                    int *ret_result)
{
	int found = 0;

	pthread_mutex_lock(&watch->mutex);
	for (size_t i = 0; i < watch->count && !found && !watch->stop; i++) {
		int result =
		        stoa_wait_holds(&watch->watched[i].condition);

		if (result == 0)
			continue;
		*ret_result = result < 0 ? result : 0;
		*ret_due = watch->watched[i];
		watch->watched[i] = watch->watched[--watch->count];
		found = 1;
	}
	pthread_mutex_unlock(&watch->mutex);
	return found;
}

static size_t copy_conditions(struct stoa_watch *watch,
                              struct stoa_wait *conditions, int *ret_stop)
{
	size_t count;

	pthread_mutex_lock(&watch->mutex);
	count = watch->count;
	for (size_t i = 0; i < count; i++)
		conditions[i] = watch->watched[i].condition;
	*ret_stop = watch->stop;
	pthread_mutex_unlock(&watch->mutex);
	return count;
}

static int add_peer(const struct stoa_peer_info *info, void *context)
{
	uint64_t *sum = context;

	*sum += info->peer * UINT64_C(0x9e3779b97f4a7c15);
	return 0;
}

/* Cleans the space when the set of living peers is another than before. */
static void bury_after_deaths(struct stoa_watch *watch)
{
	uint64_t peers = 0;

	if (stoa_space_each_peer(watch->space, add_peer, &peers) < 0)
		return;
	if (peers != watch->peers)
		stoa_space_clean(watch->space, 0, NULL, NULL);
	watch->peers = peers;
}

static void *run(void *argument)
{
	struct stoa_wait conditions[WATCHED_MAX];
	struct stoa_watch *watch = argument;
	int stop = 0;

	while (!stop) {
		struct watched due;
		int result;
		struct stoa_futex_wait bystander = {
			&watch->changed, atomic_load(&watch->changed)
		};

		while (take_due(watch, &due, &result))
			due.callback(result, due.context);
		size_t count = copy_conditions(watch, conditions, &stop);
		if (stop)
			break;
		stoa_wait_several(conditions, count, &bystander,
		                     stoa_deadline_in(STOA_SLICE_NS));
		bury_after_deaths(watch);
	}
	return NULL;
}

int stoa_watch_start(struct stoa_space *space, struct stoa_watch **ret_watch)
{
	struct stoa_watch *watch = calloc(1, sizeof *watch);
	sigset_t all, before;
	int result;

	if (!watch)
		return -ENOMEM;
	watch->space = space;
	pthread_mutex_init(&watch->mutex, NULL);
	sigfillset(&all);
	/* Blocked, a fault would end the process whatever stoa_guard() does. */
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&watch->thread, NULL, run, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0) {
		pthread_mutex_destroy(&watch->mutex);
		free(watch);
		return -result;
	}
	*ret_watch = watch;
	return 0;
}

void stoa_watch_stop(struct stoa_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->mutex);
	watch->stop = 1;
	pthread_mutex_unlock(&watch->mutex);
	tell_thread(watch);
	pthread_join(watch->thread, NULL);
	pthread_mutex_destroy(&watch->mutex);
	free(watch);
}

int stoa_watch_once(struct stoa_watch *watch,
                    const struct stoa_wait *condition,
                    void (*callback)(int result, void *context), void *context)
{
	int result = -ENOSPC;

	pthread_mutex_lock(&watch->mutex);
	if (watch->count < WATCHED_MAX) {
		watch->watched[watch->count++] =
		        (struct watched){ *condition, callback, context };
		result = 0;
	}
	pthread_mutex_unlock(&watch->mutex);
	if (result == 0)
		tell_thread(watch);
	return result;
}
