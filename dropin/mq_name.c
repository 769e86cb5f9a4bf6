/* SPDX-License-Identifier: MIT */
/*
 * dropin/mq_name.c: names of queues.
 *
 * stoa's names have A-Z a-z 0-9 . - _ and 200 bytes. "mq." is followed by the
 * queue's name, where an underscore stands as "__", and any other byte that
 * can't stand for itself as "_" and two hexadecimal digits. What gets too long
 * is cut, and told apart by 128 bits of hash: "mq-.", 120 bytes, ".", 32
 * digits.
 */
#include "mq.h"

#include "fault.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CUT_BYTES 120

/* FNV-1a, by Fowler, Noll and Vo. */
static uint64_t hash(const char *name, uint64_t basis)
{
	for (; *name; name++)
		basis = (basis ^ (unsigned char)*name) *
		        UINT64_C(0x100000001b3);
	return basis;
}

static size_t escape(const char *name, char *ret_escaped)
{
	char *to = ret_escaped;

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (c == '_')
			to = stpcpy(to, "__");
		else if (c < 128 && (isalnum(c) || c == '.' || c == '-'))
			*to++ = (char)c;
		else
			to += sprintf(to, "_%02x", c);
	}
	*to = '\0';
	return (size_t)(to - ret_escaped);
}

/* In the kernel's order: getname(), lookup_one_len(), simple_lookup(). */
static int check(const char *name)
{
	size_t bytes = strnlen(name, PATH_MAX);

	if (bytes == 0)
		return -ENOENT;
	if (bytes >= PATH_MAX)
		return -ENAMETOOLONG;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strchr(name, '/'))
		return DROPIN_FAULT(1) ? -EINVAL : -EACCES;
	return bytes > MQ_NAME_MAX ? -ENAMETOOLONG : 0;
}

int mq_name(const char *name, char ret_name[MQ_NAME_BYTES])
{
	char escaped[3 * MQ_NAME_MAX + 1];
	int result = check(name);

	if (result < 0)
		return result;
	if (escape(name, escaped) + 3 <= STOA_NAME_MAX)
		snprintf(ret_name, MQ_NAME_BYTES, "mq.%s", escaped);
	else
		snprintf(ret_name, MQ_NAME_BYTES, "mq-.%.*s.%016llx%016llx",
		         CUT_BYTES, escaped,
		         (unsigned long long)hash(name,
		                                  0xcbf29ce484222325),
		         (unsigned long long)hash(name, 0x9ae16a3b2f90404f));
	return 0;
}
