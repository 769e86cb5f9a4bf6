/* SPDX-License-Identifier: MIT */
/* space/name.c: names of objects and of their files. */
#include <base/error.h>
#include <space/space.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

int stoa_name_printable(const char *text, size_t most)
{
	size_t length = strnlen(text, most);

	for (size_t i = 0; i < length; i++)
		if (!name_character(text[i]))
			return 0;
	return length > 0 && length < most;
}

static int valid(const char *name, size_t length)
{
	if (length < 1 || length > STOA_NAME_MAX || name[0] == '.')
		return 0;
	for (size_t i = 0; i < length; i++)
		if (!name_character(name[i]))
			return 0;
	return 1;
}

int stoa_name_check(const char *name, const char **ret_name)
{
	if (!name)
		return stoa_fail(-EINVAL, "no name was given");
	if (name[0] == '/')
		name++;
	if (!valid(name, strnlen(name, STOA_NAME_MAX + 1)))
		return stoa_fail(-EINVAL,
		                 "'%.40s' is no name: 1 to %d characters of "
		                 "A-Z a-z 0-9 . _ -, not starting with a dot",
		                 name, STOA_NAME_MAX);
	*ret_name = name;
	return 0;
}

void stoa_name_join(const char *name, const char *kind,
                    char file[STOA_FILE_NAME_MAX + 1])
{
	snprintf(file, STOA_FILE_NAME_MAX + 1, "%s.%s", name, kind);
}

int stoa_name_split(const char *file, char name[STOA_NAME_MAX + 1],
                    char kind[STOA_KIND_MAX + 1])
{
	const char *dot = strrchr(file, '.');

	if (!dot || !valid(file, (size_t)(dot - file)) ||
	    strlen(dot + 1) > STOA_KIND_MAX || dot[1] == 0)
		return 0;
	memcpy(name, file, (size_t)(dot - file));
	name[dot - file] = 0;
	strcpy(kind, dot + 1);
	return 1;
}
