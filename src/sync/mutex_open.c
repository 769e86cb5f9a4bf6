/* SPDX-License-Identifier: MIT */
/* sync/mutex_open.c: making, opening and closing mutexes, and giving up what
 * a thread holds when it ends. */
#include <base/error.h>
#include <base/system.h>
#include <sync/kinds.h>
#include <sync/mutex_internal.h>

#include <stdlib.h>
#include <string.h>

#define OPEN_FLAGS (STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE)
#define FILE_BYTES (OBJECT_KIND_OFFSET + sizeof(struct mutex_shared))

_Static_assert(sizeof(struct mutex_place) <= STOA_MUTEX_BYTES, "place size");

/* ---- All handles of this process --------------------------------------------- */

/*
 * A thread that ends must give up what it has, and only this process can know
 * that it does. Instead of keeping a list of what each thread holds, at the
 * price of two list operations for each lock, the ending thread looks at each
 * handle's owner. So the list of handles is the library's, as the list of
 * spaces is (space/life.c).
 */
static pthread_mutex_t mutex_list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct stoa_mutex *mutex_list;
static int fork_error;

__thread struct mutex_thread mutex_thread_here;

static void before_fork(void)
{
	pthread_mutex_lock(&mutex_list_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&mutex_list_lock);
}

static void register_fork_handlers(void)
{
	fork_error = pthread_atfork(before_fork, after_fork, after_fork);
}

int mutex_enlist(struct stoa_mutex *mutex)
{
	pthread_once(&once, register_fork_handlers);
	if (fork_error)
		return -fork_error;
	pthread_mutex_lock(&mutex_list_lock);
	mutex->next = mutex_list;
	mutex->link = &mutex_list;
	if (mutex_list)
		mutex_list->link = &mutex->next;
	mutex_list = mutex;
	pthread_mutex_unlock(&mutex_list_lock);
	return 0;
}

void mutex_delist(struct stoa_mutex *mutex)
{
	pthread_mutex_lock(&mutex_list_lock);
	*mutex->link = mutex->next;
	if (mutex->next)
		mutex->next->link = mutex->link;
	pthread_mutex_unlock(&mutex_list_lock);
}

static void thread_ends(struct stoa_held *held)
{
	struct mutex_thread *here = (struct mutex_thread *)held;

	here->tid = 0;
	pthread_mutex_lock(&mutex_list_lock);
	for (struct stoa_mutex *mutex = mutex_list; mutex; mutex = mutex->next)
		if (stoa_object_enter(&mutex->object) == 0)
			mutex_abandon(mutex, stoa_object_agent(&mutex->object));
	pthread_mutex_unlock(&mutex_list_lock);
}

void mutex_watch_thread(struct stoa_thread *thread)
{
	mutex_thread_here.held.abandon = thread_ends;
	mutex_thread_here.tid = thread->tid;
	stoa_thread_hold(thread, &mutex_thread_here.held);
}

/* ---- Making and opening -------------------------------------------------------- */

static int read_attributes(const char *name,
                           const struct stoa_mutex_attributes *given,
                           uint32_t *ret_kind)
{
	if (!given) {
		*ret_kind = STOA_MUTEX_NORMAL;
		return 0;
	}
	if (given->size != sizeof *given)
		return stoa_fail(-EINVAL,
		                 "attributes of mutex %s: size must be "
		                 "sizeof(struct stoa_mutex_attributes)",
		                 name);
	for (size_t i = 0;
	     i < sizeof given->reserved / sizeof given->reserved[0]; i++)
		if (given->reserved[i] != 0)
			return stoa_fail(-EINVAL,
			                 "attributes of mutex %s: reserved "
			                 "fields must be zero",
			                 name);
	if (given->kind > STOA_MUTEX_CHECKED)
		return stoa_fail(-EINVAL,
		                 "attributes of mutex %s: kind is "
		                 "STOA_MUTEX_NORMAL, _RECURSIVE or _CHECKED",
		                 name);
	*ret_kind = given->kind;
	return 0;
}

/* The object is there: checks what it says of itself, and takes a seat. */
static int set_up(struct stoa_mutex *mutex, uint32_t kind)
{
	int result;

	if (kind > STOA_MUTEX_CHECKED)
		return stoa_fail(-EUCLEAN,
		                 "mutex %s is damaged: its kind can't be true; "
		                 "remove it",
		                 mutex->object.name);
	mutex->kind = (enum stoa_mutex_kind)kind;
	result = stoa_object_sit(&mutex->object);
	return result < 0 ? result : mutex_enlist(mutex);
}

static struct stoa_mutex *new_handle(const char *name)
{
	struct stoa_mutex *mutex = calloc(1, sizeof *mutex);

	if (!mutex)
		stoa_fail(-ENOMEM, "no memory to open mutex %s", name);
	return mutex;
}

int stoa_mutex_open(struct stoa_space *space, const char *name, unsigned flags,
                    mode_t mode, const struct stoa_mutex_attributes *attributes,
                    struct stoa_mutex **ret_mutex)
{
	struct stoa_object_plan plan = { .kind = &stoa_mutex_kind,
		                         .mode = mode,
		                         .file_bytes = FILE_BYTES };
	const char *shown = name ? name : "(unnamed)";
	struct stoa_mutex *mutex;
	uint32_t kind = 0;
	int result = stoa_object_check_flags(&stoa_mutex_kind, shown, flags);

	if (result == 0 && !name && !(flags & STOA_CREATE))
		return stoa_name_check(name, &name);
	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes(shown, attributes, &kind);
	if (result < 0)
		return result;
	plan.geometry[MUTEX_GEOMETRY_KIND] = kind;
	plan.geometry[MUTEX_GEOMETRY_MADE_TICKS] = stoa_cpu_ticks();
	plan.geometry[MUTEX_GEOMETRY_MADE_NS] =
	        (uint64_t)stoa_sys_clock_ns(CLOCK_MONOTONIC);
	mutex = new_handle(shown);
	if (!mutex)
		return -ENOMEM;
	result = stoa_object_open(&mutex->object, space, name,
	                          flags | STOA_READ | STOA_WRITE,
	                          &stoa_mutex_kind, &plan);
	if (result < 0)
		goto free;
	const struct stoa_object_header *header = &mutex->object.copy;
	if (header->file_bytes != FILE_BYTES ||
	    header->geometry[MUTEX_GEOMETRY_KIND] > STOA_MUTEX_CHECKED) {
		result = stoa_fail(-EUCLEAN,
		                   "mutex %s is damaged: its header can't be "
		                   "true; remove it",
		                   shown);
		goto close;
	}
	mutex->shared = (void *)(mutex->object.base + OBJECT_KIND_OFFSET);
	mutex->made_ticks = header->geometry[MUTEX_GEOMETRY_MADE_TICKS];
	mutex->made_ns = (int64_t)header->geometry[MUTEX_GEOMETRY_MADE_NS];
	result = set_up(mutex, (uint32_t)header->geometry[MUTEX_GEOMETRY_KIND]);
	if (result < 0)
		goto close;
	*ret_mutex = mutex;
	return 0;

close:
	stoa_object_close(&mutex->object);
	stoa_object_abandon(&mutex->object);
free:
	free(mutex);
	return result;
}

static void make_place(void *memory, const void *context)
{
	struct mutex_shared *shared = &((struct mutex_place *)memory)->shared;

	shared->kind = *(const uint32_t *)context;
	shared->made_ticks = stoa_cpu_ticks();
	shared->made_ns = stoa_sys_clock_ns(CLOCK_MONOTONIC);
}

int stoa_mutex_place(struct stoa_space *space, void *memory, size_t bytes,
                     unsigned flags,
                     const struct stoa_mutex_attributes *attributes,
                     struct stoa_mutex **ret_mutex)
{
	struct stoa_mutex *mutex;
	uint32_t kind = 0;
	int result = stoa_object_check_flags(&stoa_mutex_kind, "in memory", flags);

	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes("in memory", attributes, &kind);
	if (result < 0)
		return result;
	mutex = new_handle("in memory");
	if (!mutex)
		return -ENOMEM;
	result = stoa_object_place(&mutex->object, space, memory, bytes,
	                           STOA_MUTEX_BYTES, flags, &stoa_mutex_kind,
	                           make_place, &kind);
	if (result < 0)
		goto free;
	mutex->shared = &((struct mutex_place *)memory)->shared;
	mutex->made_ticks = mutex->shared->made_ticks;
	mutex->made_ns = mutex->shared->made_ns;
	result = set_up(mutex, mutex->shared->kind);
	if (result < 0)
		goto close;
	*ret_mutex = mutex;
	return 0;

close:
	stoa_object_close(&mutex->object);
free:
	free(mutex);
	return result;
}

void stoa_mutex_close(struct stoa_mutex *mutex)
{
	if (!mutex)
		return;
	struct stoa_object *object = &mutex->object;
	stoa_peer self = atomic_load_explicit(&object->space->life.self->peer,
	                                      memory_order_relaxed);
	uint64_t locked = atomic_load_explicit(&mutex->locked,
	                                       memory_order_relaxed);
	/* A forked child has the handle, but not what its parent locked. */
	if (locked != 0 && AGENT_PEER(locked) == self)
		mutex_abandon(mutex, locked);
	mutex_delist(mutex);
	stoa_object_close(object);
	free(mutex);
}

int stoa_mutex_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_mutex_kind);
}

int stoa_mutex_remove(struct stoa_mutex *mutex)
{
	return stoa_object_remove(&mutex->object);
}

struct stoa_object *stoa_mutex_object(struct stoa_mutex *mutex)
{
	return &mutex->object;
}

/* ---- The kind --------------------------------------------------------------------- */

/* Nothing of a mutex bears a token: whoever locks it next finds the dead. */
static int bury(struct stoa_object *object, uint32_t token)
{
	(void)object;
	(void)token;
	return 0;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_mutex *mutex;
	int result = stoa_mutex_open(space, name, flags & OPEN_FLAGS, 0, NULL,
	                             &mutex);

	if (result == 0)
		*ret_object = &mutex->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_mutex_close((struct stoa_mutex *)object);
}

const struct stoa_object_kind stoa_mutex_kind = {
	.name = "mutex",
	.number = KIND_MUTEX,
	.bury = bury,
	.ready = mutex_ready,
	.open = open_object,
	.close = close_object,
};
