/* SPDX-License-Identifier: MIT */
/*
 * dropin/memory_probe.h: can the caller's memory be read or written? So that
 * arguments that point nowhere get EFAULT, as from the kernel, rather than a
 * signal.
 *
 * The kernel is asked once for each page, and the answer remembered: programs
 * pass the same few buffers again and again. What was unmapped since it was
 * remembered is touched, and the program gets the signal.
 */
#ifndef DROPIN_MEMORY_PROBE_H
#define DROPIN_MEMORY_PROBE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_PAGE 4096u /* the least there is; larger ones are asked often */
#define PROBE_REMEMBERED 64u

enum probe { PROBE_READ, PROBE_WRITE };

/* The numbers of pages that were found good; 0: none. The first page of all is
 * nobody's. */
extern _Atomic uintptr_t probe_known[2][PROBE_REMEMBERED];

int probe_pages(enum probe how, uintptr_t address, size_t bytes);

static inline int probe(enum probe how, const void *memory, size_t bytes)
{
	uintptr_t address = (uintptr_t)memory, page = address / PROBE_PAGE;

	/* relaxed: each word stands for itself */
	if (__builtin_expect(
	            address % PROBE_PAGE + bytes <= PROBE_PAGE &&
	                    atomic_load_explicit(
	                            &probe_known[how][page % PROBE_REMEMBERED],
	                            memory_order_relaxed) == page &&
	                    page != 0,
	            1))
		return 1;
	return probe_pages(how, address, bytes);
}

/* 1: all `bytes` (none: yes) can be read, or written; 0: they can't. */
static inline int probe_readable(const void *memory, size_t bytes)
{
	return probe(PROBE_READ, memory, bytes);
}

static inline int probe_writable(void *memory, size_t bytes)
{
	return probe(PROBE_WRITE, memory, bytes);
}

#endif
