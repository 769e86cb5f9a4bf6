/* SPDX-License-Identifier: MIT */
/* dropin/memory_table.c: who is attached to segments of System V; see
 * memory_layout.h. Relaxed throughout: the registry's mutex orders it all. */
#include "memory_table.h"

#include "fault.h"

#include <errno.h>
#include <time.h>

#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), (value), memory_order_relaxed)

static uint32_t entries_there(void)
{
	uint32_t entries = registry_blocks() * REGISTRY_BLOCK_ATTACHMENTS;

	return entries < REGISTRY_ATTACHMENTS ? entries : REGISTRY_ATTACHMENTS;
}

static uint32_t high_of(const struct registry *registry)
{
	uint32_t high = get(registry->header->attachments_high);
	uint32_t entries = entries_there();

	return high <= entries ? high : entries;
}

static int alive(stoa_peer peer)
{
	struct stoa_space *space;

	return dropin_space(&space) < 0 || stoa_space_alive(space, peer);
}

static void free_entry(const struct registry *registry, uint32_t index)
{
	uint32_t high = high_of(registry);

	set(registry_attachment(registry, index)->owner, 0);
	while (high > 0 &&
	       get(registry_attachment(registry, high - 1)->owner) == 0)
		high--;
	set(registry->header->attachments_high, high);
}

/* NULL: it has none. */
static struct registry_attachment *find(const struct registry *registry,
                                        stoa_peer peer, int id,
                                        uint32_t *ret_index)
{
	uint32_t high = high_of(registry);

	for (uint32_t i = 0; i < high; i++) {
		struct registry_attachment *entry =
		        registry_attachment(registry, i);

		if (MEMORY_PEER(get(entry->owner)) != peer ||
		    get(entry->id) != id)
			continue;
		*ret_index = i;
		return entry;
	}
	return NULL;
}

/* Takes out what the dead have left; nobody is told of it. */
static void prune(const struct registry *registry)
{
	for (uint32_t i = high_of(registry); i-- > 0;) {
		uint64_t owner = get(registry_attachment(registry, i)->owner);

		if (owner != 0 && !alive(MEMORY_PEER(owner)))
			free_entry(registry, i);
	}
}

static struct registry_attachment *find_free(const struct registry *registry)
{
	uint32_t high = high_of(registry);

	for (uint32_t i = 0; i < high; i++)
		if (get(registry_attachment(registry, i)->owner) == 0)
			return registry_attachment(registry, i);
	if (high == entries_there()) {
		prune(registry);
		high = high_of(registry);
	}
	if (high == entries_there() &&
	    (high == REGISTRY_ATTACHMENTS || registry_grow() < 0))
		return NULL;
	/* Before the entry: who dies between the two has raised it too far. */
	set(registry->header->attachments_high, high + 1);
	return registry_attachment(registry, high);
}

int memory_table_add(const struct registry *registry, stoa_peer peer, int id,
                     pid_t pid)
{
	uint32_t index;
	struct registry_attachment *entry = find(registry, peer, id, &index);
	uint32_t count = entry ? MEMORY_COUNT(get(entry->owner)) : 0;

	if (!entry)
		entry = find_free(registry);
	if (!entry || count == MEMORY_COUNT_MAX)
		return -ENOMEM;
	if (count == 0) {
		set(entry->id, id);
		set(entry->pid, pid);
	}
	set(entry->owner, MEMORY_OWNER(peer, count + 1));
	return 0;
}

void memory_table_drop(const struct registry *registry, stoa_peer peer, int id)
{
	uint32_t index;
	struct registry_attachment *entry = find(registry, peer, id, &index);
	uint32_t count = entry ? MEMORY_COUNT(get(entry->owner)) : 0;

	if (count > 1)
		set(entry->owner, MEMORY_OWNER(peer, count - 1));
	else if (entry)
		free_entry(registry, index);
}

static void note_death(struct registry_slot *slot, uint32_t pid)
{
	set(slot->word[MEMORY_DETACHED], (uint64_t)time(NULL));
	set(slot->word[MEMORY_PIDS],
	    (uint32_t)get(slot->word[MEMORY_PIDS]) | (uint64_t)pid << 32);
}

uint32_t memory_table_count(const struct registry *registry,
                            struct registry_slot *slot, int id)
{
	uint32_t sum = 0;

	for (uint32_t i = high_of(registry); i-- > 0;) {
		struct registry_attachment *entry =
		        registry_attachment(registry, i);
		uint64_t owner = get(entry->owner);

		if (owner == 0 || get(entry->id) != id)
			continue;
		if (alive(MEMORY_PEER(owner)) || DROPIN_FAULT(50)) {
			sum += MEMORY_COUNT(owner);
			continue;
		}
		if (!DROPIN_FAULT(51))
			note_death(slot, (uint32_t)get(entry->pid));
		free_entry(registry, i);
	}
	return sum + (DROPIN_FAULT(52) ? 1 : 0);
}
