/* SPDX-License-Identifier: MIT */
/* objects.c: finding objects and queues by what a person types. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define ROOM_FIRST 64
#define QUEUE_SUFFIX ".queue"

static int add_object(const struct stoa_object_info *info, void *context)
{
	struct tool_objects *objects = context;

	if (objects->count == objects->room) {
		size_t room = objects->room ? objects->room * 2 : ROOM_FIRST;
		void *list = reallocarray(objects->list, room,
		                          sizeof *objects->list);

		if (!list)
			return -ENOMEM;
		objects->list = list;
		objects->room = room;
	}
	objects->list[objects->count++] = *info;
	return 0;
}

static int compare_objects(const void *left, const void *right)
{
	const struct stoa_object_info *a = left, *b = right;
	int by_name = strcmp(a->name, b->name);

	return by_name ? by_name : strcmp(a->kind, b->kind);
}

int tool_objects_read(struct stoa_space *space, struct tool_objects *objects)
{
	int result;

	memset(objects, 0, sizeof *objects);
	result = stoa_space_each(space, add_object, objects);
	if (result < 0) {
		tool_objects_free(objects);
		return result;
	}
	if (objects->count)
		qsort(objects->list, objects->count, sizeof *objects->list,
		      compare_objects);
	return 0;
}

void tool_objects_free(struct tool_objects *objects)
{
	free(objects->list);
	objects->list = NULL;
	objects->count = 0;
}

bool tool_object_matches(const struct stoa_object_info *object,
                         const char *pattern)
{
	char full[sizeof object->name + sizeof object->kind + 1];

	if (*pattern == '/')
		pattern++;
	snprintf(full, sizeof full, "%s.%s", object->name, object->kind);
	return !fnmatch(pattern, object->name, 0) || !fnmatch(pattern, full, 0);
}

const char *tool_queue_name(const char *name, char *buffer)
{
	size_t bytes = strlen(name), suffix = strlen(QUEUE_SUFFIX);

	if (bytes <= suffix || strcmp(name + bytes - suffix, QUEUE_SUFFIX))
		return name;
	if (bytes - suffix > STOA_NAME_MAX)
		return name;
	memcpy(buffer, name, bytes - suffix);
	buffer[bytes - suffix] = '\0';
	return buffer;
}

int tool_queue_open(struct stoa_space *space, const char *name, unsigned flags,
                    struct stoa_queue **ret_queue)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_queue_open(space, tool_queue_name(name, buffer), flags, 0,
	                       NULL, ret_queue);
}

/* Who may only send may look as well. */
int tool_queue_numbers(struct stoa_space *space, const char *name,
                       struct stoa_queue_stat *ret_stat)
{
	struct stoa_queue_stat numbers = { .size = sizeof numbers };
	struct stoa_queue *queue;
	int result;

	result = tool_queue_open(space, name, STOA_READ, &queue);
	if (result == -EACCES)
		result = tool_queue_open(space, name, STOA_WRITE, &queue);
	if (result < 0)
		return result;
	result = stoa_queue_stat(queue, &numbers);
	stoa_queue_close(queue);
	if (result < 0)
		return result;
	*ret_stat = numbers;
	return 0;
}
