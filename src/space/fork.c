/* SPDX-License-Identifier: MIT */
/*
 * space/fork.c: who has something to do when the process forks.
 *
 * A forked child must let go of its parent's lock on life, or the parent would
 * stay alive in it; and it has its parent's attachments from its first instant.
 * Only handlers that run at fork can see to that, and they can only find what
 * there is from here: the one list that the library keeps.
 */
#include <base/private_lock.h>
#include <space/fork.h>

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct stoa_fork *list;

static void before(void)
{
	pthread_mutex_lock(&mutex);
	for (struct stoa_fork *entry = list; entry; entry = entry->next)
		if (entry->before)
			entry->before(entry);
}

static void in_parent(void)
{
	for (struct stoa_fork *entry = list; entry; entry = entry->next)
		if (entry->parent)
			entry->parent(entry);
	pthread_mutex_unlock(&mutex);
}

static void in_child(void)
{
	stoa_private_forked();
	for (struct stoa_fork *entry = list; entry; entry = entry->next)
		entry->child(entry);
	pthread_mutex_unlock(&mutex);
}

static void register_handlers(void)
{
	pthread_atfork(before, in_parent, in_child);
}

void stoa_fork_enlist(struct stoa_fork *entry)
{
	pthread_once(&once, register_handlers);
	pthread_mutex_lock(&mutex);
	entry->next = list;
	entry->link = &list;
	if (list)
		list->link = &entry->next;
	list = entry;
	pthread_mutex_unlock(&mutex);
}

void stoa_fork_delist(struct stoa_fork *entry)
{
	pthread_mutex_lock(&mutex);
	*entry->link = entry->next;
	if (entry->next)
		entry->next->link = entry->link;
	pthread_mutex_unlock(&mutex);
}

void stoa_fork_hold(void)
{
	pthread_once(&once, register_handlers);
	pthread_mutex_lock(&mutex);
}

void stoa_fork_release(void)
{
	pthread_mutex_unlock(&mutex);
}
