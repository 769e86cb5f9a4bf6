/* SPDX-License-Identifier: MIT */
/*
 * dropin/handle.h: from identifiers of System V to libstoa's handles, as this
 * process has opened them.
 *
 * The way that each msgsnd() and semop() goes costs three loads: the handle of
 * the index, the slot's state in the registry, and whether the process is still
 * who it was. All three as remembered: the object is the one meant, and the
 * permission was looked at. Anything else is found out under the registry's
 * mutex.
 *
 * Several threads at once, and removal beside: a handle's memory is never freed
 * but used again, so that a thread may raise `users` of one that was just given
 * up, see that it isn't the index's any more, and lower it again without having
 * touched the object. `users` is one word: how many, and HANDLE_CLOSING.
 *
 *     uses                                gives up
 *     R table[index]                      W table[index] = NULL (seq_cst)
 *     W users + 1 (seq_cst)               W users |= CLOSING (seq_cst)
 *     R table[index]: the same? (seq_cst) nobody: W users: CLOSING -> 0
 *
 *   One of the two sees the other. Who lowers users to CLOSING closes as well:
 *   by the same compare-and-swap, as the handle may have been closed, used for
 *   another identifier and given up again since.
 */
#ifndef DROPIN_HANDLE_H
#define DROPIN_HANDLE_H

#include "registry.h"

#include <errno.h>
#include <sys/single_threaded.h>

#define HANDLE_READ 0400u /* as the mode's bits, for dropin_may() */
#define HANDLE_WRITE 0200u

#define HANDLE_CLOSING 0x80000000u

struct handle {
	_Atomic uint32_t users; /* and HANDLE_CLOSING */
	_Atomic uint64_t state;   /* of the slot, when opened or looked at */
	_Atomic uint32_t identity; /* of the process, when `may` was found */
	_Atomic uint32_t may;     /* HANDLE_READ | HANDLE_WRITE */
	void *object;             /* libstoa's */
	const struct handle_kind *kind; /* the object's */
	struct registry_slot *slot;
	struct handle *next_free, *next_made;
};

struct handle_kind {
	enum registry_kind kind;
	/* Opens the object `name`. -ENOENT: it was removed. */
	int (*open)(struct stoa_space *space, const char *name,
	            const struct registry_slot *slot, void **ret_object);
	void (*close)(void *object);
};

struct handle_table {
	const struct handle_kind *kind;
	struct handle *_Atomic *_Atomic handles; /* by index */
};

/* Everything that isn't remembered. -EINVAL: no such identifier; -EACCES. */
int handle_find(struct handle_table *table, int id, unsigned wanted,
                struct handle **ret_handle);

/* The same with the registry's lock held. */
int handle_find_held(const struct registry *registry,
                     struct handle_table *table, int id, unsigned wanted,
                     struct handle **ret_handle);

/* Closes the object, if nobody uses it and nobody else closes it. It may be of
 * another kind than whoever was the last to use the handle took it for. */
void handle_close(struct handle *handle);

/* Forgets what is remembered of the index: after a removal by this process. */
void handle_forget(struct handle_table *table, int id);

static inline void handle_put(struct handle *handle)
{
	uint32_t users;

	/* relaxed: alone, but for handlers of signals, which nest. (One that
	 * removes the object between the two leaves its handle open.) */
	if (__libc_single_threaded) {
		users = atomic_load_explicit(&handle->users,
		                             memory_order_relaxed) -
		        1;
		atomic_store_explicit(&handle->users, users,
		                      memory_order_relaxed);
	} else {
		users = atomic_fetch_sub(&handle->users, 1) - 1;
	}
	if (__builtin_expect(users == HANDLE_CLOSING, 0))
		handle_close(handle);
}

/*
 * The handle of an identifier, to be put back by handle_put(). `wanted`: 0,
 * HANDLE_READ, HANDLE_WRITE. -EINVAL: there is none (any more); -EACCES; or
 * what opening its object said.
 */
static inline int handle_get(struct handle_table *table, int id,
                             unsigned wanted, struct handle **ret_handle)
{
	uint32_t index = (uint32_t)id & ((1u << REGISTRY_INDEX_BITS) - 1);
	/* acquire: pairs with the release when it was made */
	struct handle *_Atomic *handles =
	        atomic_load_explicit(&table->handles, memory_order_acquire);
	struct handle *handle;
	uint64_t state;

	if (__builtin_expect(!handles || id < 0, 0))
		return handle_find(table, id, wanted, ret_handle);
	handle = atomic_load(&handles[index]);
	if (__builtin_expect(!handle, 0))
		return handle_find(table, id, wanted, ret_handle);
	if (__libc_single_threaded)
		atomic_store_explicit(
		        &handle->users,
		        atomic_load_explicit(&handle->users,
		                             memory_order_relaxed) +
		                1,
		        memory_order_relaxed);
	else
		atomic_fetch_add(&handle->users, 1);
	/* acquire: pairs with the release in the registry: what was changed
	 * before the state is seen */
	state = atomic_load_explicit(&handle->slot->state,
	                             memory_order_acquire);
	if (__builtin_expect(
	            atomic_load(&handles[index]) == handle &&
	                    atomic_load_explicit(&handle->state,
	                                         memory_order_relaxed) ==
	                            state &&
	                    registry_id(index, state) == id &&
	                    atomic_load_explicit(&handle->identity,
	                                         memory_order_relaxed) ==
	                            dropin_identity_now() &&
	                    !(wanted & ~atomic_load_explicit(
	                                       &handle->may,
	                                       memory_order_relaxed)),
	            1)) {
		*ret_handle = handle;
		return 0;
	}
	handle_put(handle);
	return handle_find(table, id, wanted, ret_handle);
}

#endif
