/* SPDX-License-Identifier: MIT */
/* dropin/name.c: from POSIX names to objects'; see name.h. */
#include "name.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_MAX 8
#define HASH_DIGITS 35 /* ".00" and 32 */
#define ESCAPED_MAX (PREFIX_MAX + 3 * 255 + 1)

static int is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static int is_plain(const char *c)
{
	if (*c == '.')
		return !(is_hex(c[1]) && is_hex(c[2]));
	return (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
	       (*c >= '0' && *c <= '9') || *c == '_' || *c == '-';
}

/* FNV-1a of 128 bits: Fowler, Noll, Vo. */
static void hash(const char *name, uint64_t ret_hash[2])
{
	const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;
	unsigned __int128 sum =
	        (unsigned __int128)UINT64_C(0x6c62272e07bb0142) << 64 |
	        UINT64_C(0x62b821756295c58d);

	for (; *name; name++)
		sum = (sum ^ (unsigned char)*name) * prime;
	ret_hash[0] = (uint64_t)(sum >> 64);
	ret_hash[1] = (uint64_t)sum;
}

void dropin_object_name(const char *prefix, const char *name,
                        char ret_object[DROPIN_NAME_BYTES])
{
	char escaped[ESCAPED_MAX];
	size_t length = strnlen(prefix, PREFIX_MAX);
	uint64_t sum[2];

	memcpy(escaped, prefix, length);
	for (const char *c = name; *c && length + 4 < sizeof(escaped); c++) {
		if (is_plain(c))
			escaped[length++] = *c;
		else
			length += (size_t)snprintf(escaped + length, 4,
			                           ".%02x", (unsigned char)*c);
	}
	escaped[length] = 0;
	if (length > STOA_NAME_MAX) {
		hash(name, sum);
		snprintf(escaped + STOA_NAME_MAX - HASH_DIGITS, HASH_DIGITS + 1,
		         ".00%016llx%016llx", (unsigned long long)sum[0],
		         (unsigned long long)sum[1]);
	}
	strcpy(ret_object, escaped);
}

int dropin_name_check(const char *name, size_t most, const char **ret_name)
{
	size_t length;

	while (*name == '/')
		name++;
	length = strlen(name);
	if (length == 0 || memchr(name, '/', length) || length > most + 4)
		return -EINVAL;
	if (length > most)
		return -ENAMETOOLONG;
	*ret_name = name;
	return 0;
}
