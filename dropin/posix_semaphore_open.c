/* SPDX-License-Identifier: MIT */
/* dropin/posix_semaphore_open.c: named semaphores; see
 * posix_semaphore_layout.h. */
#include "name.h"
#include "lock.h"
#include "posix_semaphore.h"
#include "process.h"

#include <base/system.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PATH_BYTES (PATH_MAX + 256)
#define NAME_LONGEST (NAME_MAX - 4) /* libc's file has "sem." before it */

/* A semaphore that is mapped here: one address for as many opens as there are.
 * The same file under another name would be another, as libc has it. */
struct opened {
	dev_t device;
	ino_t inode;
	unsigned references;
	sem_t *at;
	struct opened *next;
	char name[];
};

static struct stoa_lock opened_lock;
static struct opened *opened;

/* ---- What is open ---------------------------------------------------------------- */

static struct opened *find_opened(const char *name, const struct stat *stat)
{
	struct opened *entry = opened;

	while (entry && (entry->device != stat->st_dev ||
	                 entry->inode != stat->st_ino ||
	                 strcmp(entry->name, name) != 0))
		entry = entry->next;
	return entry;
}

/* Maps the file, unless it is mapped. */
static int add(const char *name, int fd, const struct stat *stat,
               sem_t **ret_semaphore)
{
	size_t length = strlen(name) + 1;
	struct opened *entry = malloc(sizeof(*entry) + length);
	void *at;
	int result;

	if (!entry)
		return -ENOMEM;
	result = stoa_sys_mmap(NULL, sizeof(sem_t), PROT_READ | PROT_WRITE,
	                       MAP_SHARED, fd, 0, &at);
	if (result < 0) {
		free(entry);
		return result;
	}
	*entry = (struct opened){ .device = stat->st_dev,
		                  .inode = stat->st_ino,
		                  .references = 1,
		                  .at = at,
		                  .next = opened };
	memcpy(entry->name, name, length);
	opened = entry;
	*ret_semaphore = at;
	return 0;
}

static int find_or_add(const char *name, int fd, sem_t **ret_semaphore)
{
	struct opened *entry;
	struct stat stat;
	int result = stoa_sys_fstat(fd, &stat);

	if (result < 0)
		return result;
	if (!S_ISREG(stat.st_mode) || stat.st_size < (off_t)sizeof(sem_t))
		return -EINVAL;
	dropin_lock(&opened_lock);
	entry = DROPIN_FAULT(74) ? NULL : find_opened(name, &stat);
	if (entry && entry->references == UINT_MAX) {
		result = -EMFILE;
	} else if (entry) {
		entry->references++;
		*ret_semaphore = entry->at;
	} else {
		result = add(name, fd, &stat, ret_semaphore);
	}
	dropin_unlock(&opened_lock);
	return result;
}

int dropin_sem_close(sem_t *semaphore)
{
	struct opened **at = &opened, *entry;

	dropin_lock(&opened_lock);
	while ((entry = *at) && entry->at != semaphore)
		at = &entry->next;
	if (entry && --entry->references == 0) {
		*at = entry->next;
		stoa_sys_munmap(entry->at, sizeof(sem_t));
		free(entry);
	}
	dropin_unlock(&opened_lock);
	return entry || DROPIN_FAULT(75) ? 0 : -EINVAL;
}

/* ---- Opening ---------------------------------------------------------------------- */

static int find_path(const char *name, char ret_path[PATH_BYTES])
{
	char object[DROPIN_NAME_BYTES];
	struct stoa_space *space;
	int result = dropin_name_check(name, NAME_LONGEST, &name);

	if (result == 0)
		result = dropin_space(&space);
	if (result < 0)
		return result;
	dropin_object_name("sem.", name, object);
	snprintf(ret_path, PATH_BYTES, "%s/%s.posix_semaphore",
	         stoa_space_path(space), object);
	return 0;
}

static int open_existing(const char *name, const char *path,
                         sem_t **ret_semaphore)
{
	int fd = stoa_sys_openat(AT_FDCWD, path,
	                         O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
	int result;

	if (fd < 0)
		return fd;
	result = find_or_add(name, fd, ret_semaphore);
	stoa_sys_close(fd);
	return result;
}

/* Complete before it has a name. The umask counts. */
static int make(const char *name, const char *path, mode_t mode, unsigned value,
                sem_t **ret_semaphore)
{
	struct stoa_space *space;
	sem_t content;
	int result = dropin_space(&space), fd;
	ssize_t written;

	if (result == 0)
		result = dropin_sem_init(&content, 1, value);
	if (result < 0)
		return result;
	fd = stoa_sys_openat(AT_FDCWD, stoa_space_path(space),
	                     O_TMPFILE | O_RDWR, mode);
	if (fd < 0)
		return fd;
	written = stoa_sys_write(fd, &content, sizeof(content));
	if (written != sizeof(content))
		result = written < 0 ? (int)written : -ENOSPC;
	if (result == 0)
		result = stoa_sys_publish(fd, AT_FDCWD, path);
	if (result == 0)
		result = find_or_add(name, fd, ret_semaphore);
	stoa_sys_close(fd);
	return result;
}

int dropin_sem_open(const char *name, int flags, mode_t mode, unsigned value,
                    sem_t **ret_semaphore)
{
	int exclusive = flags & O_CREAT && flags & O_EXCL, result;
	char path[PATH_BYTES];

	result = find_path(name, path);
	if (result < 0)
		return result;
	/* Others make it and take it away meanwhile. */
	for (;;) {
		if (!exclusive) {
			result = open_existing(name, path, ret_semaphore);
			if (result != -ENOENT || !(flags & O_CREAT))
				return result;
		}
		result = make(name, path, mode, value, ret_semaphore);
		if (result != -EEXIST || exclusive)
			return result;
	}
}

int dropin_sem_unlink(const char *name)
{
	char path[PATH_BYTES];
	int result = find_path(name, path);

	if (result == -EINVAL)
		return -ENOENT;
	if (result == 0)
		result = stoa_sys_unlinkat(AT_FDCWD, path);
	return result == -EPERM ? -EACCES : result;
}
