/* SPDX-License-Identifier: MIT */
/*
 * kernel/proc.h: reading /proc: what the kernel says of processes. Common
 * ground of this room. A process number means whoever has it now: whoever acts
 * on what he read holds a pidfd, and asks that after reading.
 */
#ifndef STOA_KERNEL_PROC_H
#define STOA_KERNEL_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_PATH_MAX 64

/* Reads the file `path` into `text`, of `room` bytes, as one string; what there
 * is no room for is left out. Its length, or -errno: -ESRCH too, for one whose
 * process has gone. */
ssize_t stoa_proc_read(const char *path, char *text, size_t room);

/* The same of a file of "name: value" lines, without those of more than 255
 * bytes, which may be of any length: a user can be of 65,536 groups. */
ssize_t stoa_proc_status(const char *path, char *text, size_t room);

/* The value of the line "name:" in `text`, which ends with its line. NULL:
 * there is none. */
const char *stoa_proc_value(const char *text, const char *name);

/* The same as a number of base 10 or 16; `otherwise` if there is none. */
int64_t stoa_proc_number(const char *text, const char *name, int base,
                         int64_t otherwise);

/* The process that a pidfd is of, as this process sees it. -ESRCH: it has
 * ended and been waited for, or isn't to be seen from here. */
pid_t stoa_proc_pidfd(int pidfd);

/* 1: the process (or thread) of the pidfd has ended; 0: not yet. -errno. */
int stoa_proc_ended(int pidfd);

/* Calls `visit` for each number in the directory `path` (/proc itself, or a
 * task or fd directory); stops at its first non-zero result and returns that,
 * else 0. -errno. */
int stoa_proc_each(const char *path, int (*visit)(int number, void *context),
                   void *context);

/* A file of lines, of any length. */
struct stoa_proc_lines {
	int fd;
	size_t start, end;
	unsigned int pieces; /* that the kernel gave it in */
	bool ended;
	int error; /* why it ended before its end; 0 */
	char bytes[4096];
};

/* -errno of openat. */
int stoa_proc_open(struct stoa_proc_lines *lines, const char *path);
/* The next line, without its end, valid until the next call; NULL: no more, or
 * lines->error. A line of more than 4,095 bytes comes in pieces. */
char *stoa_proc_line(struct stoa_proc_lines *lines);
void stoa_proc_close(struct stoa_proc_lines *lines);

/* The name of the process, cut to `bytes` with its end; "" if there is none. */
void stoa_proc_command(pid_t pid, char *name, size_t bytes);

#endif
