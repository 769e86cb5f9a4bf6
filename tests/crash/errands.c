/* SPDX-License-Identifier: MIT */
/* errands.c: the operations on a space, as victims do them. */
#include <errno.h>

#include "errands.h"

struct stoa_queue_attributes attributes_new(void)
{
	struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes), .capacity = CAPACITY
	};

	return attributes;
}

/* ---- Errands ------------------------------------------------------------- */

static int64_t run_open_create(struct visit *v)
{
	return stoa_space_open(v->yard->path, STOA_CREATE, &v->space);
}

static int64_t run_open(struct visit *v)
{
	return stoa_space_open(v->yard->path, 0, &v->space);
}

static int64_t run_join(struct visit *v)
{
	stoa_peer self;

	return stoa_space_self(v->space, &self);
}

static int64_t run_close(struct visit *v)
{
	stoa_space_close(v->space);
	return 0;
}

static int64_t run_make(struct visit *v)
{
	const struct stoa_queue_attributes attributes = attributes_new();

	return stoa_queue_open(v->space, "new",
			       BOTH | STOA_CREATE | STOA_EXCLUSIVE, NEW_MODE,
			       &attributes, &v->queue);
}

static int64_t run_open_or_make(struct visit *v)
{
	const struct stoa_queue_attributes attributes = attributes_new();

	return stoa_queue_open(v->space, "new", BOTH | STOA_CREATE, NEW_MODE,
			       &attributes, &v->queue);
}

static int64_t run_open_old(struct visit *v)
{
	return stoa_queue_open(v->space, "old", BOTH, 0, NULL, &v->queue);
}

static int64_t run_make_old(struct visit *v)
{
	return stoa_queue_open(v->space, "old", BOTH | STOA_CREATE, NEW_MODE,
			       NULL, &v->queue);
}

static int64_t run_unlink(struct visit *v)
{
	return stoa_queue_unlink(v->space, "old");
}

static int64_t run_remove(struct visit *v)
{
	return stoa_space_remove(v->space, "old", 0);
}

static int64_t run_remove_wake(struct visit *v)
{
	return stoa_space_remove(v->space, "old.queue", 1);
}

static int visit_nothing(const struct stoa_object_info *info, void *context)
{
	(void)info;
	(void)context;
	return 0;
}

static int64_t run_each(struct visit *v)
{
	return stoa_space_each(v->space, visit_nothing, NULL);
}

static int64_t run_find(struct visit *v)
{
	struct stoa_object_info info;

	return stoa_space_find(v->space, "old", &info);
}

static int visit_user(const struct stoa_user *user, void *context)
{
	(void)user;
	(void)context;
	return 0;
}

static int64_t run_each_user(struct visit *v)
{
	return stoa_space_each_user(v->space, "old", visit_user, NULL);
}

static int visit_peer(const struct stoa_peer_info *info, void *context)
{
	(void)info;
	(void)context;
	return 0;
}

static int64_t run_each_peer(struct visit *v)
{
	return stoa_space_each_peer(v->space, visit_peer, NULL);
}

static int64_t run_clean(struct visit *v)
{
	return stoa_space_clean(v->space, 0, NULL, NULL);
}

static int64_t run_clean_dry(struct visit *v)
{
	return stoa_space_clean(v->space, 1, NULL, NULL);
}

static int64_t run_pollfd(struct visit *v)
{
	int first = stoa_queue_pollfd(v->queue, STOA_READ);

	return first < 0 ? first : stoa_queue_pollfd(v->queue, STOA_WRITE);
}

static int64_t run_queue_close(struct visit *v)
{
	stoa_queue_close(v->queue);
	return 0;
}

static int64_t run_make_again(struct visit *v)
{
	int result = stoa_queue_open(v->space, "old",
				     BOTH | STOA_CREATE | STOA_EXCLUSIVE,
				     NEW_MODE, NULL, &v->queue);

	return result == -EEXIST ? 0 : -1;
}

static int64_t run_queue_remove(struct visit *v)
{
	return stoa_queue_remove(v->queue);
}

static int64_t run_alive(struct visit *v)
{
	return stoa_space_alive(v->space, v->yard->self) == 1 ? 0 : -1;
}

static int64_t run_guard(struct visit *v)
{
	(void)v;
	return stoa_guard();
}

/* ---- Waiting for several, and the watch's thread --------------------------- */

static struct stoa_wait readable(const struct visit *v)
{
	const struct stoa_wait condition = {
		.kind = STOA_READABLE, .object = stoa_queue_object(v->queue)
	};

	return condition;
}

static int64_t run_wait_any(struct visit *v)
{
	const struct stoa_wait conditions[] = {
		{ .kind = STOA_DEATH, .space = v->space,
		  .peer = v->yard->self },
		readable(v)
	};

	return stoa_wait_any(conditions, 2, STOA_NOW) == 1 ? 0 : -1;
}

static int64_t run_watch_start(struct visit *v)
{
	return stoa_watch_start(v->space, &v->watch);
}

static int64_t run_watch_stop(struct visit *v)
{
	stoa_watch_stop(v->watch);
	return 0;
}

static void watched(int result, void *context)
{
	(void)result;
	(void)context;
}

static int64_t run_watch_once(struct visit *v)
{
	const struct stoa_wait condition = readable(v);

	return stoa_watch_once(v->watch, &condition, watched, NULL);
}

#define ON_NOTHING (1u << GROUND_NOTHING)
#define ON_EMPTY (1u << GROUND_EMPTY)
#define ON_PEOPLED (1u << GROUND_PEOPLED)
#define ON_DIRECTORY (ON_EMPTY | ON_PEOPLED)

const struct errand errands[] = {
	{ "space-open-create", ON_NOTHING | ON_DIRECTORY, ERRAND_OPENS,
	  run_open_create },
	{ "space-open", ON_DIRECTORY, ERRAND_OPENS, run_open },
	{ "space-join", ON_DIRECTORY, 0, run_join },
	{ "space-close", ON_DIRECTORY, 0, run_close },
	{ "queue-make", ON_DIRECTORY, ERRAND_MAKES, run_make },
	{ "queue-open-or-make", ON_DIRECTORY, ERRAND_MAKES, run_open_or_make },
	{ "queue-open", ON_PEOPLED, 0, run_open_old },
	{ "queue-open-made", ON_PEOPLED, 0, run_make_old },
	{ "queue-close", ON_PEOPLED, ERRAND_QUEUE, run_queue_close },
	{ "queue-pollfd", ON_PEOPLED, ERRAND_QUEUE, run_pollfd },
	{ "queue-unlink", ON_PEOPLED, ERRAND_REMOVES, run_unlink },
	{ "space-remove", ON_PEOPLED, ERRAND_REMOVES, run_remove },
	{ "space-remove-wake", ON_PEOPLED, ERRAND_REMOVES | ERRAND_REMOVED,
	  run_remove_wake },
	{ "space-each", ON_DIRECTORY, 0, run_each },
	{ "space-find", ON_PEOPLED, 0, run_find },
	{ "space-each-user", ON_PEOPLED, 0, run_each_user },
	{ "space-each-peer", ON_DIRECTORY, 0, run_each_peer },
	{ "space-clean", ON_DIRECTORY, 0, run_clean },
	{ "space-clean-dry", ON_PEOPLED, 0, run_clean_dry },
	{ "space-alive", ON_PEOPLED, 0, run_alive },
	{ "space-guard", ON_EMPTY, 0, run_guard },
	{ "queue-make-again", ON_PEOPLED, 0, run_make_again },
	{ "queue-remove", ON_PEOPLED,
	  ERRAND_QUEUE | ERRAND_REMOVES | ERRAND_REMOVED, run_queue_remove },
	{ "wait-any", ON_PEOPLED, ERRAND_QUEUE, run_wait_any },
	{ "watch-start", ON_DIRECTORY, 0, run_watch_start },
	{ "watch-stop", ON_DIRECTORY, ERRAND_WATCH, run_watch_stop },
	{ "watch-once", ON_PEOPLED, ERRAND_QUEUE | ERRAND_WATCH,
	  run_watch_once }
};

const size_t errands_count = sizeof(errands) / sizeof(errands[0]);
