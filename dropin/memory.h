/* SPDX-License-Identifier: MIT */
/* dropin/memory.h: segments of System V among themselves; see calls.h for the
 * calls, memory_layout.h for what is shared. */
#ifndef DROPIN_MEMORY_H
#define DROPIN_MEMORY_H

#include "memory_layout.h"
#include "registry.h"

/* ---- With the registry's lock held ------------------------------------------- */

/* As registry_find(); one that was removed and that nobody is attached to any
 * more is freed, and isn't there. *ret_count (may be NULL): its attachments. */
int memory_find(const struct registry *registry, int id,
                struct registry_slot **ret_slot, uint32_t *ret_count);

/* Process `pid` attached just now. */
void memory_attached(const struct registry *registry, int id, pid_t pid);

/* This process detached; if it was the last of a removed one, that is freed. */
void memory_detached(const struct registry *registry, int id);

/* The identifier is there for as long as anybody is attached, the key isn't. */
int memory_remove(const struct registry *registry, struct registry_slot *slot,
                  int id);

/* Frees what was removed and whose last attachment died. How many. */
int memory_sweep(const struct registry *registry);

/* ---- Without ------------------------------------------------------------------- */

/* munmap(2), also of what is attached. */
int memory_munmap(void *address, size_t bytes);

#endif
