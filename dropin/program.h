/* SPDX-License-Identifier: MIT */
/*
 * dropin/program.h: whether a program would load the drop-in at all. The
 * loader takes LD_PRELOAD only into programs that it links, and not into
 * those that run with more rights than their caller has.
 *
 * Safe between vfork() and exec: no memory is allocated, no lock taken.
 */
#ifndef DROPIN_PROGRAM_H
#define DROPIN_PROGRAM_H

#include <stddef.h>

enum dropin_program {
	DROPIN_PROGRAM_FITS,
	DROPIN_PROGRAM_STATIC, /* makes its system calls itself */
	DROPIN_PROGRAM_FOREIGN, /* another architecture or byte order */
	DROPIN_PROGRAM_LOADER, /* another C library's */
	DROPIN_PROGRAM_SETUID,
	DROPIN_PROGRAM_SETGID,
	DROPIN_PROGRAM_CAPABLE, /* file capabilities */
};

#define DROPIN_PROGRAM_PATH 512 /* bytes; longer ones aren't looked at */

/*
 * Looks at the file that exec(path) would load: of a script, the interpreter.
 * That one's path, cut to DROPIN_PROGRAM_PATH, is in `loaded`, also on
 * failure. What isn't ELF and has no "#!" is taken for a script of /bin/sh, as
 * execvp() takes it.
 *
 * Returns one of enum dropin_program, or -errno: the file can't be read
 * (-ENOENT, -EACCES, ...), -ENOEXEC: a broken ELF file, -ELOOP: interpreters
 * of interpreters.
 */
int dropin_program_check(const char *path, char loaded[DROPIN_PROGRAM_PATH]);

/* "is statically linked: ...", to stand after the name of the program. */
const char *dropin_program_reason(int program);

#endif
