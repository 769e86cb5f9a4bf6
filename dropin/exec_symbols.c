/* SPDX-License-Identifier: MIT */
/*
 * dropin/exec_symbols.c: exec and posix_spawn, which are libc's own, and what
 * the `stoa` command asks of programs. libc calls none of these names itself,
 * so each is here; those that take a list make an array of it.
 */
#include "exec.h"
#include "program.h"
#include "symbol.h"

#include <alloca.h>
#include <dlfcn.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

extern char **environ;

/* ---- For the command ------------------------------------------------------ */

LIBC_CALL int stoa_dropin_check_program(const char *path, char *loaded);
LIBC_CALL int stoa_dropin_check_program(const char *path, char *loaded)
{
	return dropin_program_check(path, loaded);
}

LIBC_CALL const char *stoa_dropin_reason(int program);
LIBC_CALL const char *stoa_dropin_reason(int program)
{
	return dropin_program_reason(program);
}

/* ---- exec ----------------------------------------------------------------- */

/* Found when the library is loaded: between vfork() and exec, dlsym() might
 * take a lock of the parent's. */
static struct {
	int (*execve)(const char *, char *const[], char *const[]);
	int (*execvpe)(const char *, char *const[], char *const[]);
	int (*posix_spawn)(pid_t *, const char *,
	                   const posix_spawn_file_actions_t *,
	                   const posix_spawnattr_t *, char *const[],
	                   char *const[]);
	int (*posix_spawnp)(pid_t *, const char *,
	                    const posix_spawn_file_actions_t *,
	                    const posix_spawnattr_t *, char *const[],
	                    char *const[]);
} real;

__attribute__((constructor)) static void find_real(void)
{
	if (real.execve)
		return;
	dropin_exec_note();
	*(void **)&real.execve = dlsym(RTLD_NEXT, "execve");
	*(void **)&real.execvpe = dlsym(RTLD_NEXT, "execvpe");
	*(void **)&real.posix_spawn = dlsym(RTLD_NEXT, "posix_spawn");
	*(void **)&real.posix_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
}

LIBC_CALL int libc_execve(const char *path, char *const arguments[],
                          char *const environment[]);
LIBC_CALL int libc_execve(const char *path, char *const arguments[],
                          char *const environment[])
{
	find_real();
	dropin_exec_tell(path, environment);
	return real.execve(path, arguments, environment);
}
LIBC_SYMBOL(libc_execve, execve, LIBC_BASE);

LIBC_CALL int libc_execv(const char *path, char *const arguments[]);
LIBC_CALL int libc_execv(const char *path, char *const arguments[])
{
	return libc_execve(path, arguments, environ);
}
LIBC_SYMBOL(libc_execv, execv, LIBC_BASE);

LIBC_CALL int libc_execvpe(const char *name, char *const arguments[],
                           char *const environment[]);
LIBC_CALL int libc_execvpe(const char *name, char *const arguments[],
                           char *const environment[])
{
	find_real();
	dropin_exec_tell_searched(name, environment);
	return real.execvpe(name, arguments, environment);
}
LIBC_SYMBOL(libc_execvpe, execvpe, LIBC_2_11);

LIBC_CALL int libc_execvp(const char *name, char *const arguments[]);
LIBC_CALL int libc_execvp(const char *name, char *const arguments[])
{
	return libc_execvpe(name, arguments, environ);
}
LIBC_SYMBOL(libc_execvp, execvp, LIBC_BASE);

/* ---- Lists ----------------------------------------------------------------- */

/* The arguments after `first`, up to and with the NULL, as an array in the
 * caller's frame. */
#define GATHER(array, last, list)                                             \
	do {                                                                  \
		va_list counted;                                              \
		size_t count = 0;                                             \
		va_start(list, last);                                         \
		va_copy(counted, list);                                       \
		for (const char *at = last; at; at = va_arg(counted, char *)) \
			count++;                                              \
		va_end(counted);                                              \
		array = alloca((count + 1) * sizeof *array);                  \
		array[0] = (char *)last;                                      \
		for (size_t i = 1; i <= count; i++)                           \
			array[i] = va_arg(list, char *);                      \
	} while (0)

LIBC_CALL int libc_execl(const char *path, const char *first, ...);
LIBC_CALL int libc_execl(const char *path, const char *first, ...)
{
	char **arguments;
	va_list list;

	GATHER(arguments, first, list);
	va_end(list);
	return libc_execve(path, arguments, environ);
}
LIBC_SYMBOL(libc_execl, execl, LIBC_BASE);

LIBC_CALL int libc_execlp(const char *name, const char *first, ...);
LIBC_CALL int libc_execlp(const char *name, const char *first, ...)
{
	char **arguments;
	va_list list;

	GATHER(arguments, first, list);
	va_end(list);
	return libc_execvpe(name, arguments, environ);
}
LIBC_SYMBOL(libc_execlp, execlp, LIBC_BASE);

LIBC_CALL int libc_execle(const char *path, const char *first, ...);
LIBC_CALL int libc_execle(const char *path, const char *first, ...)
{
	char **arguments, *const *environment;
	va_list list;

	GATHER(arguments, first, list);
	environment = va_arg(list, char *const *);
	va_end(list);
	return libc_execve(path, arguments, environment);
}
LIBC_SYMBOL(libc_execle, execle, LIBC_BASE);

/* ---- posix_spawn ----------------------------------------------------------- */

LIBC_CALL int libc_posix_spawn(pid_t *ret_pid, const char *path,
                               const posix_spawn_file_actions_t *actions,
                               const posix_spawnattr_t *attributes,
                               char *const arguments[],
                               char *const environment[]);
LIBC_CALL int libc_posix_spawn(pid_t *ret_pid, const char *path,
                               const posix_spawn_file_actions_t *actions,
                               const posix_spawnattr_t *attributes,
                               char *const arguments[],
                               char *const environment[])
{
	find_real();
	dropin_exec_tell(path, environment);
	return real.posix_spawn(ret_pid, path, actions, attributes, arguments,
	                        environment);
}
LIBC_SYMBOL(libc_posix_spawn, posix_spawn, LIBC_2_15);

LIBC_CALL int libc_posix_spawnp(pid_t *ret_pid, const char *name,
                                const posix_spawn_file_actions_t *actions,
                                const posix_spawnattr_t *attributes,
                                char *const arguments[],
                                char *const environment[]);
LIBC_CALL int libc_posix_spawnp(pid_t *ret_pid, const char *name,
                                const posix_spawn_file_actions_t *actions,
                                const posix_spawnattr_t *attributes,
                                char *const arguments[],
                                char *const environment[])
{
	find_real();
	dropin_exec_tell_searched(name, environment);
	return real.posix_spawnp(ret_pid, name, actions, attributes, arguments,
	                         environment);
}
LIBC_SYMBOL(libc_posix_spawnp, posix_spawnp, LIBC_2_15);
