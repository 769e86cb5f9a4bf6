/* SPDX-License-Identifier: MIT */
/* dropin/handle.c: opening the objects of identifiers; see handle.h. */
#include "handle.h"

#include "lock.h"

#include <stdlib.h>

static struct stoa_lock handles_lock; /* of the two lists */
static struct handle *free_handles, *made_handles;

/* The other threads, and their uses, are not in the child. */
static void forget_users(void)
{
	for (struct handle *handle = made_handles; handle;
	     handle = handle->next_made)
		atomic_fetch_and_explicit(&handle->users, HANDLE_CLOSING,
		                          memory_order_relaxed);
}

static struct dropin_fork forks = { .child = forget_users };

static struct handle *new_handle(void)
{
	static int enlisted;
	struct handle *handle;

	dropin_lock(&handles_lock);
	if (!enlisted) {
		enlisted = 1;
		dropin_fork_enlist(&forks);
	}
	handle = free_handles;
	if (handle) {
		free_handles = handle->next_free;
	} else {
		handle = calloc(1, sizeof(*handle));
		if (handle) {
			handle->next_made = made_handles;
			made_handles = handle;
		}
	}
	dropin_unlock(&handles_lock);
	return handle;
}

static void recycle(struct handle *handle)
{
	dropin_lock(&handles_lock);
	handle->next_free = free_handles;
	free_handles = handle;
	dropin_unlock(&handles_lock);
}

void handle_close(struct handle *handle)
{
	uint32_t nobody = HANDLE_CLOSING;

	if (!atomic_compare_exchange_strong(&handle->users, &nobody, 0))
		return;
	handle->kind->close(handle->object);
	handle->object = NULL;
	recycle(handle);
}

/* ---- With the registry's lock held ------------------------------------------- */

static struct handle *_Atomic *handles_of(struct handle_table *table)
{
	struct handle *_Atomic *handles =
	        atomic_load_explicit(&table->handles, memory_order_relaxed);

	if (handles)
		return handles;
	handles = calloc(1u << REGISTRY_INDEX_BITS, sizeof(*handles));
	/* release: pairs with the acquire in handle_get() */
	atomic_store_explicit(&table->handles, handles, memory_order_release);
	return handles;
}

static void give_up(struct handle *_Atomic *at)
{
	struct handle *handle = atomic_exchange(at, NULL);

	if (!handle)
		return;
	atomic_fetch_or(&handle->users, HANDLE_CLOSING);
	handle_close(handle);
}

static int open_handle(struct handle_table *table, struct handle *_Atomic *at,
                       int id, struct registry_slot *slot)
{
	char name[REGISTRY_NAME_BYTES];
	struct stoa_space *space;
	struct handle *handle = new_handle();
	int result = dropin_space(&space);

	if (!handle)
		return -ENOMEM;
	registry_name(table->kind->kind, id, name);
	if (result == 0)
		result = table->kind->open(space, name, slot, &handle->object);
	if (result < 0) {
		recycle(handle);
		return result == -ENOENT ? -EINVAL : registry_shortage(result);
	}
	handle->kind = table->kind;
	handle->slot = slot;
	/* relaxed: the table's store makes them known */
	atomic_store_explicit(&handle->state, 0, memory_order_relaxed);
	atomic_store(at, handle);
	return 0;
}

/* relaxed: a thread that sees only some of it finds a state, or an identity,
 * that doesn't hold, and comes here itself; `may` is taken away first. */
static void look_at(struct handle *handle, const struct registry_slot *slot)
{
	uint64_t state = atomic_load_explicit(&slot->state,
	                                      memory_order_relaxed);
	uint32_t identity = dropin_identity_now();
	struct dropin_permission permission;
	unsigned may = 0;

	registry_permission(slot, &permission);
	if (dropin_may(&permission, HANDLE_READ) == 0)
		may |= HANDLE_READ;
	if (dropin_may(&permission, HANDLE_WRITE) == 0)
		may |= HANDLE_WRITE;
	atomic_store(&handle->may, 0);
	atomic_store(&handle->state, state);
	atomic_store(&handle->identity, identity);
	atomic_store(&handle->may, may);
}

int handle_find_held(const struct registry *registry,
                     struct handle_table *table, int id, unsigned wanted,
                     struct handle **ret_handle)
{
	uint32_t index = (uint32_t)id & ((1u << REGISTRY_INDEX_BITS) - 1);
	struct handle *_Atomic *handles = handles_of(table);
	struct registry_slot *slot;
	struct handle *handle;
	int result = registry_find(registry, table->kind->kind, id, &slot);
	struct dropin_permission permission;

	if (!handles)
		return -ENOMEM;
	if (result < 0)
		return result;
	registry_permission(slot, &permission);
	result = wanted ? dropin_may(&permission, wanted) : 0;
	if (result < 0)
		return result;
	handle = atomic_load(&handles[index]);
	if (handle && REGISTRY_SERIAL(atomic_load(&handle->state)) !=
	                      ((uint32_t)id >> REGISTRY_INDEX_BITS)) {
		give_up(&handles[index]);
		handle = NULL;
	}
	if (!handle)
		result = open_handle(table, &handles[index], id, slot);
	if (result < 0)
		return result;
	handle = atomic_load(&handles[index]);
	look_at(handle, slot);
	atomic_fetch_add(&handle->users, 1);
	*ret_handle = handle;
	return 0;
}

int handle_find(struct handle_table *table, int id, unsigned wanted,
                struct handle **ret_handle)
{
	const struct registry *registry;
	int result;

	if (id < 0)
		return -EINVAL;
	result = registry_lock(&registry);
	if (result < 0)
		return result;
	result = handle_find_held(registry, table, id, wanted, ret_handle);
	registry_unlock();
	return result;
}

void handle_forget(struct handle_table *table, int id)
{
	struct handle *_Atomic *handles =
	        atomic_load_explicit(&table->handles, memory_order_acquire);

	if (handles && id >= 0)
		give_up(&handles[(uint32_t)id &
		                 ((1u << REGISTRY_INDEX_BITS) - 1)]);
}
