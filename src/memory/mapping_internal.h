/* SPDX-License-Identifier: MIT */
/* memory/mapping_internal.h: what the mapping's sources share. */
#ifndef STOA_MEMORY_MAPPING_INTERNAL_H
#define STOA_MEMORY_MAPPING_INTERNAL_H

#include <base/error.h>
#include <base/system.h>
#include <stoa/mapping.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* Whole pages are mapped; data is `slack` bytes into the first. */
struct stoa_mapping {
	char *base;
	uint64_t page;
	uint64_t slack, bytes;
	uint64_t file_offset; /* of base */
	int kind;             /* STOA_MAPPING_ANONYMOUS, _ZERO; 0: a file */
	uint32_t shared;
	int protection; /* PROT_*, of what is mapped from now on */
	uint64_t most;  /* bytes that the file had for it; else no limit */
	int fd;         /* of shared anonymous memory; -1 */
	_Atomic uint32_t restricted; /* some may be protected, or not there */
	_Atomic uint32_t poisoned;   /* a fault was met: see stoa_guard */
};

struct page_range {
	char *start;
	uint64_t bytes;
};

int mapping_health(struct stoa_mapping *mapping);

/* 0, -ERANGE, -EIO. The pages that have a byte of the range. */
int mapping_outer(struct stoa_mapping *mapping, uint64_t from, uint64_t bytes,
                  struct page_range *ret_range);
/* Those that have no other byte of the mapping; may be none. */
int mapping_inner(struct stoa_mapping *mapping, uint64_t from, uint64_t bytes,
                  struct page_range *ret_range);

/* The kernel's protection bits, or -EINVAL. */
int mapping_protection(uint32_t protection);

/* What a fault in these pages meant: -EIO, the file isn't there; -EACCES. */
int mapping_fault(struct stoa_mapping *mapping, const struct page_range *range);

static inline int sys_madvise(void *address, uint64_t bytes, int advice)
{
	return (int)stoa_system_call(SYS_madvise, (long)address, (long)bytes,
	                             advice, 0, 0, 0);
}

#endif
