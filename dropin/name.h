/* SPDX-License-Identifier: MIT */
/*
 * dropin/name.h: names as POSIX has them, and the names of their objects.
 *
 * A POSIX name has any byte but '/', up to 255 of them; an object's has 200 of
 * A-Z a-z 0-9 . _ -. So "/my queue" is the object "mq.my.20queue":
 *
 *   a letter, a digit, '_', '-'   is itself
 *   '.'                           is itself, unless two of 0-9 a-f follow
 *   any other byte                is '.' and two of 0-9 a-f
 *
 * What would be too long ends in ".00" and 32 digits instead: a hash (FNV-1a,
 * 128 bits) of the whole name. No two names are one object's, but for long ones
 * that somebody made collide; who can do that could have taken the name, too.
 */
#ifndef DROPIN_NAME_H
#define DROPIN_NAME_H

#include <stddef.h>

#include <stoa/space.h>

#define DROPIN_NAME_BYTES (STOA_NAME_MAX + 1)

/* The object of the POSIX name `name`, without its slash and not empty.
 * `prefix` keeps those of one family apart from others': "mq.", "sem.". At most
 * 8 characters; what is too long is told by its caller. */
void dropin_object_name(const char *prefix, const char *name,
                        char ret_object[DROPIN_NAME_BYTES]);

/* A name of sem_open() or shm_open() as libc looks at it: any number of slashes
 * before it are nothing, and `most` bytes of it may follow. Points into `name`.
 * -EINVAL: nothing is left, or a slash within, or more than four bytes too many
 * (libc has room for "sem." with either); -ENAMETOOLONG. */
int dropin_name_check(const char *name, size_t most, const char **ret_name);

#endif
