/* SPDX-License-Identifier: MIT */
/* kernel/terminal_list.c: the sessions of a space: listed, described, and what
 * dead keepers left, taken away. */
#include <base/error.h>
#include <kernel/terminal_internal.h>
#include <kernel/terminal_text.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Describing ------------------------------------------------------------------- */

static void fill(struct stoa_terminal_info *info,
                 const struct terminal_state *state)
{
	info->window = terminal_size_of(&state->window);
	info->pid = state->pid;
	info->keeper_pid = state->keeper_pid;
	info->keeper = state->keeper;
	info->started_ns = state->started_ns;
	if (state->ended)
		terminal_end_read(&state->end, &info->status);
	terminal_printable(info->command, sizeof(info->command),
	                   state->command, state->command_bytes);
	terminal_printable(info->title, sizeof(info->title), state->title,
	                   state->title_bytes);
}

/* Clients are who has the output's topic open to read. */
static int count_client(const struct stoa_user *user, void *context)
{
	struct stoa_terminal_info *info = context;

	info->clients += user->alive && (user->flags & STOA_READ);
	return 0;
}

/* 0: there is such a session; info->health says more. */
static int describe(struct stoa_space *space, const char *session,
                    const char *state_name, struct stoa_terminal_info *info)
{
	char output[STOA_NAME_MAX + 16];
	struct terminal_state state;
	struct stoa_topic *topic;
	int result = stoa_topic_open(space, state_name, STOA_READ, 0, NULL,
	                             &topic);

	if (result < 0)
		return result;
	result = terminal_state_read(topic, &state);
	stoa_topic_close(topic);
	if (result == -ENOMSG || result == -EIDRM)
		result = -ECONNRESET;
	if (result == 0) {
		fill(info, &state);
		if (!stoa_space_alive(space, state.keeper))
			result = -ECONNRESET;
	}
	info->health = result;
	snprintf(output, sizeof(output), "%s.topic", session);
	stoa_space_each_user(space, output, count_client, info);
	return 0;
}

/* Is any object of it there? */
static int anything_left(struct stoa_space *space, const char *session,
                         const char *state)
{
	static const char *const kinds[] = { "topic", "topic", "queue",
		                             "range_lock" };
	struct stoa_object_info info;
	char file[STOA_NAME_MAX + 16];

	for (int i = 0; i < 4; i++) {
		snprintf(file, sizeof(file), "%s.%s", i == 0 ? state : session,
		         kinds[i]);
		if (stoa_space_find(space, file, &info) == 0)
			return 1;
	}
	return 0;
}

/* 1: nobody keeps it. */
static int is_left(struct stoa_space *space, const char *name)
{
	char session[STOA_NAME_MAX + 1], state[STOA_NAME_MAX + 1];
	struct stoa_range_lock *lock;
	int result = terminal_names(name, session, state);

	if (result == 0)
		result = stoa_range_lock_open(space, session, 0, 0, NULL,
		                              &lock);
	if (result < 0)
		return result == -ENOENT;
	result = stoa_range_lock_test(lock, NULL, NULL);
	stoa_range_lock_close(lock);
	return result == 0;
}

static int absent(const char *name)
{
	return stoa_fail(-ENOENT, "there is no session %s; see stoa terminal "
	                          "ls",
	                 name);
}

int stoa_terminal_find(struct stoa_space *space, const char *name,
                       struct stoa_terminal_info *ret_info)
{
	char session[STOA_NAME_MAX + 1], state[STOA_NAME_MAX + 1];
	struct stoa_terminal_info info = { .health = 0 };
	int result = terminal_names(name, session, state);

	if (result < 0)
		return result;
	snprintf(info.name, sizeof(info.name), "%s",
	         name[0] == '/' ? name + 1 : name);
	result = describe(space, session, state, &info);
	/* One that begins or ends just now has no state either. */
	if (result == -ENOENT && anything_left(space, session, state) &&
	    is_left(space, name))
		info.health = -ECONNRESET;
	else if (result == -ENOENT)
		return absent(name);
	else if (result < 0)
		info.health = result;
	*ret_info = info;
	return 0;
}

/* ---- All of them -------------------------------------------------------------------- */

struct names {
	char (*list)[STOA_NAME_MAX + 1];
	size_t count, room;
};

static int cut_suffix(char *name, const char *suffix)
{
	size_t length = strlen(name), cut = strlen(suffix);

	if (length <= cut || strcmp(name + length - cut, suffix) != 0)
		return 0;
	name[length - cut] = '\0';
	return 1;
}

static int add(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->list[i], name) == 0)
			return 0;
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 16;
		void *more = realloc(names->list, room * sizeof(*names->list));

		if (!more)
			return -ENOMEM;
		names->list = more;
		names->room = room;
	}
	snprintf(names->list[names->count++], sizeof(*names->list), "%s", name);
	return 0;
}

/* The lock is the first that is made and the last that goes; the state tells of
 * a session whose lock somebody has removed. */
static int note(const struct stoa_object_info *info, void *context)
{
	char name[STOA_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%s", info->name);
	if ((strcmp(info->kind, "topic") == 0 &&
	     cut_suffix(name, TERMINAL_STATE_SUFFIX)) ||
	    (strcmp(info->kind, "range_lock") == 0 &&
	     cut_suffix(name, TERMINAL_SUFFIX)))
		return add(context, name);
	return 0;
}

static int read_names(struct stoa_space *space, struct names *names)
{
	int result = stoa_space_each(space, note, names);

	if (result < 0)
		free(names->list);
	return result;
}

int stoa_terminal_each(struct stoa_space *space,
                       int (*visit)(const struct stoa_terminal_info *info,
                                    void *context),
                       void *context)
{
	struct names names = { .list = NULL };
	int result = read_names(space, &names), visited = 0;

	if (result < 0)
		return result;
	result = 0;
	for (size_t i = 0; result == 0 && i < names.count; i++) {
		struct stoa_terminal_info info;

		/* One that has gone meanwhile isn't told. */
		if (stoa_terminal_find(space, names.list[i], &info) < 0)
			continue;
		visited++;
		result = visit(&info, context);
	}
	free(names.list);
	return result ? result : visited;
}

/* ---- Taking away ---------------------------------------------------------------------- */

int stoa_terminal_remove(struct stoa_space *space, const char *name)
{
	char session[STOA_NAME_MAX + 1], state[STOA_NAME_MAX + 1];
	int result = terminal_names(name, session, state);

	if (result < 0)
		return result;
	if (!anything_left(space, session, state))
		return absent(name);
	return terminal_session_bury(space, name);
}

int stoa_terminal_clean(struct stoa_space *space, int dry_run,
                        void (*visit)(const char *name, int result,
                                      void *context),
                        void *context)
{
	struct names names = { .list = NULL };
	int result = read_names(space, &names), done = 0;

	if (result < 0)
		return result;
	for (size_t i = 0; i < names.count; i++) {
		if (!is_left(space, names.list[i]))
			continue;
		result = dry_run ? 0 : stoa_terminal_remove(space,
		                                            names.list[i]);
		/* Somebody else was quicker, or has taken it over. */
		if (result == -EBUSY || result == -ENOENT)
			continue;
		done++;
		if (visit)
			visit(names.list[i], result, context);
	}
	free(names.list);
	return done;
}
