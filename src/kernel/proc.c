/* SPDX-License-Identifier: MIT */
/* kernel/proc.c: reading /proc. */
#include <base/system.h>
#include <kernel/proc.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_BYTES 4096
#define STATUS_LINE_MAX 255

ssize_t stoa_proc_read(const char *path, char *text, size_t room)
{
	int fd = stoa_sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	size_t length = 0;
	ssize_t got = 1;

	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	while (got > 0 && length < room - 1) {
		got = stoa_sys_read(fd, text + length, room - 1 - length);
		if (got > 0)
			length += (size_t)got;
		else if (got == -EINTR)
			got = 1;
	}
	stoa_sys_close(fd);
	if (got < 0)
		return got;
	text[length] = '\0';
	return (ssize_t)length;
}

const char *stoa_proc_value(const char *text, const char *name)
{
	size_t length = strlen(name);

	while (text) {
		if (!strncmp(text, name, length) && text[length] == ':')
			return text + length + 1 +
			       strspn(text + length + 1, " \t");
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

int64_t stoa_proc_number(const char *text, const char *name, int base,
                         int64_t otherwise)
{
	const char *value = stoa_proc_value(text, name);
	char *end;

	if (!value)
		return otherwise;
	/* Masks have all 64 bits. */
	int64_t number = base == 16 ? (int64_t)strtoull(value, &end, base) :
	                              strtoll(value, &end, base);
	return end == value ? otherwise : number;
}

pid_t stoa_proc_pidfd(int pidfd)
{
	char path[PROC_PATH_MAX], text[512];

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	ssize_t result = stoa_proc_read(path, text, sizeof text);
	if (result < 0)
		return (pid_t)result;
	/* -1: gone; 0: of a PID namespace that isn't below ours. */
	int64_t pid = stoa_proc_number(text, "Pid", 10, 0);
	return pid > 0 ? (pid_t)pid : -ESRCH;
}

int stoa_proc_ended(int pidfd)
{
	struct pollfd asked = { pidfd, POLLIN, 0 };
	struct timespec now = { 0, 0 };
	long result;

	do
		result = stoa_system_call(SYS_ppoll, (long)&asked, 1,
		                          (long)&now, 0, 0, 0);
	while (result == -EINTR);
	return result < 0 ? (int)result : (asked.revents & POLLIN) != 0;
}

struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

static int visit_numbers(const char *entries, long bytes,
                         int (*visit)(int number, void *context), void *context)
{
	int result = 0;

	for (long at = 0; at < bytes && !result;) {
		const struct entry *entry = (const void *)(entries + at);
		char *end;
		long number = strtol(entry->name, &end, 10);

		if (entry->name[0] >= '0' && entry->name[0] <= '9' && !*end)
			result = visit((int)number, context);
		at += entry->bytes;
	}
	return result;
}

int stoa_proc_each(const char *path, int (*visit)(int number, void *context),
                   void *context)
{
	char entries[ENTRIES_BYTES] __attribute__((aligned(8)));
	int fd = stoa_sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	int result = 0;

	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	while (!result) {
		long got = stoa_system_call(SYS_getdents64, fd, (long)entries,
		                            sizeof entries, 0, 0, 0);

		if (got <= 0) {
			result = (int)got;
			break;
		}
		result = visit_numbers(entries, got, visit, context);
	}
	stoa_sys_close(fd);
	return result == -ENOENT ? -ESRCH : result;
}

/* ---- Lines ------------------------------------------------------------------ */

int stoa_proc_open(struct stoa_proc_lines *lines, const char *path)
{
	int fd = stoa_sys_openat(AT_FDCWD, path, O_RDONLY, 0);

	if (fd < 0)
		return fd;
	lines->fd = fd;
	lines->start = lines->end = 0;
	lines->pieces = 0;
	lines->ended = false;
	lines->error = 0;
	return 0;
}

/* Room for the NUL is kept. */
static void read_more(struct stoa_proc_lines *lines)
{
	size_t left = lines->end - lines->start;
	ssize_t got;

	memmove(lines->bytes, lines->bytes + lines->start, left);
	lines->start = 0;
	lines->end = left;
	do
		got = stoa_sys_read(lines->fd, lines->bytes + left,
		                    sizeof(lines->bytes) - 1 - left);
	while (got == -EINTR);
	if (got > 0) {
		lines->end += (size_t)got;
		lines->pieces++;
		return;
	}
	lines->ended = true;
	lines->error = (int)got;
}

char *stoa_proc_line(struct stoa_proc_lines *lines)
{
	for (;;) {
		char *from = lines->bytes + lines->start;
		size_t left = lines->end - lines->start;
		char *newline = memchr(from, '\n', left);
		bool full = left == sizeof(lines->bytes) - 1;

		if (newline) {
			*newline = '\0';
			lines->start += (size_t)(newline - from) + 1;
			return from;
		}
		if (full || lines->ended) {
			lines->start = lines->end;
			from[left] = '\0';
			return left ? from : NULL;
		}
		read_more(lines);
	}
}

void stoa_proc_close(struct stoa_proc_lines *lines)
{
	stoa_sys_close(lines->fd);
}

ssize_t stoa_proc_status(const char *path, char *text, size_t room)
{
	struct stoa_proc_lines lines;
	bool goes_on = false; /* the piece before had no end */
	size_t length = 0;
	char *line;
	int result = stoa_proc_open(&lines, path);

	if (result < 0)
		return result == -ENOENT ? -ESRCH : result;
	while ((line = stoa_proc_line(&lines))) {
		size_t bytes = strlen(line);
		bool left_out = goes_on || bytes > STATUS_LINE_MAX ||
		                length + bytes + 2 > room;

		goes_on = bytes == sizeof lines.bytes - 1;
		if (left_out)
			continue;
		memcpy(text + length, line, bytes);
		length += bytes;
		text[length++] = '\n';
	}
	text[length] = '\0';
	stoa_proc_close(&lines);
	return lines.error < 0 ? lines.error : (ssize_t)length;
}

void stoa_proc_command(pid_t pid, char *name, size_t bytes)
{
	struct stoa_proc_lines lines;
	char path[PROC_PATH_MAX];
	char *line;

	name[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (stoa_proc_open(&lines, path) < 0)
		return;
	line = stoa_proc_line(&lines);
	if (line)
		snprintf(name, bytes, "%s", line);
	stoa_proc_close(&lines);
}
