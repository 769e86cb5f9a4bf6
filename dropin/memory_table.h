/* SPDX-License-Identifier: MIT */
/* dropin/memory_table.h: who is attached to segments of System V; see
 * memory_layout.h. All with the registry's lock held. */
#ifndef DROPIN_MEMORY_TABLE_H
#define DROPIN_MEMORY_TABLE_H

#include "memory_layout.h"
#include "registry.h"

/* One attachment more of this process, `peer` and `pid`. -ENOMEM: the table is full. */
int memory_table_add(const struct registry *registry, stoa_peer peer, int id,
                     pid_t pid);

/* One less. */
void memory_table_drop(const struct registry *registry, stoa_peer peer, int id);

/* The attachments of the living to the segment, which `slot` is of. Those of
 * the dead are taken out, and noted in the slot as the last that detached. */
uint32_t memory_table_count(const struct registry *registry,
                            struct registry_slot *slot, int id);

#endif
