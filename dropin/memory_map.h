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
 *
 * Each munmap() of the process asks whether it takes away some of a piece, and
 * mustn't wait for any lock to find out: an allocator may call it with a lock of
 * its own, which a thread that attaches may be waiting for. So it reads the list
 * as it is, and looks whether that changed meanwhile (after Lameter's sequence
 * counters); pieces are used again, and never freed. And whoever has one of the
 * two locks neither allocates nor frees for the list.
 *
 *     changes the list                 looks
 *     W changes = odd                  R changes: even? (acquire)
 *     (release fence)                  R pieces (relaxed)
 *     W pieces (relaxed)               (acquire fence)
 *     W changes = even (release)       R changes: the same?
 */
#ifndef DROPIN_MEMORY_MAP_H
#define DROPIN_MEMORY_MAP_H

#include "registry.h"

#include <stdint.h>

struct memory_piece {
	_Atomic uintptr_t start, end;
	uintptr_t base;
	int id;
	struct memory_piece *_Atomic next;
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

/* Without the lock: is something of it a segment's? Waits for no lock, and may
 * say 1 in vain if others attach and detach all the time. ---------------------- */
int memory_map_touches(uintptr_t address, size_t bytes);

#endif
