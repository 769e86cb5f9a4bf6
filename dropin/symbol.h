/* SPDX-License-Identifier: MIT */
/*
 * dropin/symbol.h: glibc's names and versions for the drop-in's functions.
 *
 * A call msgget() is dropin_msgget(), which returns 0 or more, or -errno, and
 * stands in the noun's source; and libc_msgget() in <noun>_symbols.c, which
 * sets errno, and which the linker knows as msgget. The first can be linked
 * into any program (the `stoa` command does), the second into the drop-in only.
 */
#ifndef DROPIN_SYMBOL_H
#define DROPIN_SYMBOL_H

#include <errno.h>

/* Where glibc began on the architecture: what has no other version has this. */
#if defined(__x86_64__)
#define LIBC_BASE "GLIBC_2.2.5"
#define LIBC_2_3_2 "GLIBC_2.3.2"
#define LIBC_2_3_3 "GLIBC_2.3.3"
#define LIBC_2_3_4 "GLIBC_2.3.4"
#define LIBC_2_4 "GLIBC_2.4"
#define LIBC_2_6 "GLIBC_2.6"
#define LIBC_2_7 "GLIBC_2.7"
#define LIBC_2_9 "GLIBC_2.9"
#define LIBC_2_16 "GLIBC_2.16"
#else
#define LIBC_BASE "GLIBC_2.17"
#define LIBC_2_3_2 "GLIBC_2.17"
#define LIBC_2_3_3 "GLIBC_2.17"
#define LIBC_2_3_4 "GLIBC_2.17"
#define LIBC_2_4 "GLIBC_2.17"
#define LIBC_2_6 "GLIBC_2.17"
#define LIBC_2_7 "GLIBC_2.17"
#define LIBC_2_9 "GLIBC_2.17"
#define LIBC_2_16 "GLIBC_2.17"
#endif
#define LIBC_2_28 "GLIBC_2.28"
#define LIBC_2_30 "GLIBC_2.30"
#define LIBC_2_34 "GLIBC_2.34"
#define LIBC_2_35 "GLIBC_2.35"

#define LIBC_CALL __attribute__((visibility("default")))

/* `function` is what `name` of that version is, and what it is for programs
 * that are linked now. One for each name. */
#define LIBC_SYMBOL(function, name, version) \
	__asm__(".symver " #function "," #name "@@" version)
/* The same for programs linked long ago: `alias` is a second name of it. */
#define LIBC_OLD_SYMBOL(function, alias_name, name, version)              \
	extern __typeof__(function) alias_name __attribute__(           \
	        (alias(#function), visibility("default")));             \
	__asm__(".symver " #alias_name "," #name "@" version)

/* -errno as libc tells it. errno is untouched by what succeeds. */
static inline long libc_result(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

#endif
