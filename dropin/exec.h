/* SPDX-License-Identifier: MIT */
/*
 * dropin/exec.h: tells of programs that a process is about to become, and that
 * the drop-in won't be in: their calls would reach the kernel's objects beside
 * the space's, and nobody would know why they don't meet.
 */
#ifndef DROPIN_EXEC_H
#define DROPIN_EXEC_H

/* When the library is loaded: whether it was preloaded. Programs linked to it
 * may run what they like. */
void dropin_exec_note(void);

/*
 * One line on stderr if exec(path, environment) would leave stoa; else
 * nothing. errno is kept. Safe between vfork() and exec.
 */
void dropin_exec_tell(const char *path, char *const environment[]);

/* The same for a name that is searched for in $PATH, as execvp() does. */
void dropin_exec_tell_searched(const char *name, char *const environment[]);

#endif
