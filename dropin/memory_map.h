/* SPDX-License-Identifier: MIT */
/*
 * dropin/memory_map.h: where segments of System V are mapped in this process.
 *
 * The kernel counts mappings, and so does this: a piece is a stretch of one
 * attachment that is still mapped. munmap() may take away part of one, or make
 * two of it; SHM_REMAP may put another segment there. `base` is where the
 * attachment began, which shmdt() knows it by.
 *
 * Private memory; the list's own lock comes after the registry's. A fork waits
 * for it, so that the child finds the list as the memory is.
 */
#ifndef DROPIN_MEMORY_MAP_H
#define DROPIN_MEMORY_MAP_H

#include "registry.h"

#include <stdint.h>

struct memory_piece {
	uintptr_t start, end, base;
	int id;
	struct memory_piece *next;
};

/* All with the registry's lock held. ------------------------------------------ */

/* This process's peer; if it's another than before, all that is mapped is
 * counted for the new one. */
int memory_map_settle(const struct registry *registry, stoa_peer *ret_peer);

/* The pid of the process that settled. */
pid_t memory_map_pid(void);

/* How a segment is mapped. */
struct memory_wish {
	uintptr_t address; /* with `fixed` */
	size_t bytes;
	int protection, fd, id;
	int fixed, replace; /* SHM_REMAP: what is mapped there goes */
};

/* Maps it, and notes where. As mmap(2); -EINVAL: something is there. */
int memory_map_attach(const struct registry *registry,
                      const struct memory_wish *wish, uintptr_t *ret_address);

/* Unmaps the attachment that begins at `base`. -EINVAL: none does. */
int memory_map_detach(const struct registry *registry, uintptr_t base);

/* munmap(2) of memory that has some of it. */
int memory_map_unmap(const struct registry *registry, uintptr_t address,
                     size_t bytes);

/* Before the first is mapped, once; without the lock. */
void memory_map_watch_forks(void);

/* Without the lock: may something of it be a segment's? ------------------------ */
int memory_map_touches(uintptr_t address, size_t bytes);

#endif
