/* SPDX-License-Identifier: MIT */
/* noun.c: what the verbs of all nouns share. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "noun.h"

#define MODE_MOST 0777

int tool_dispatch(int argc, char **argv, const char *noun,
                 const struct tool_verb *verbs)
{
	static const struct option options[] = { TOOL_LONG, TOOL_LONG_END };
	const struct tool_common common = TOOL_COMMON(noun, "");
	const struct tool_verb *verb;
	int option;

	while ((option = getopt_long(argc, argv, "+S:hV", options, NULL)) !=
	       -1) {
		switch (option) {
		case 'S': tool_space_path = optarg; break;
		case 'h':
			printf("Usage: stoa %s VERB [OPTION]... "
			       "[ARGUMENT]...\n\nVerbs:\n",
			       noun);
			tool_print_verbs(verbs);
			printf("\nMore: stoa %s VERB --help.\n", noun);
			return TOOL_DONE;
		case 'V': printf("stoa %s\n", stoa_version()); return TOOL_DONE;
		default: return tool_usage(&common, NULL);
		}
	}
	if (optind == argc)
		return tool_usage(&common, "a verb is missing");
	verb = tool_find_verb(verbs, argv[optind]);
	if (!verb)
		return tool_usage(&common, "there is no verb '%s %s'", noun,
		                  argv[optind]);
	argc -= optind;
	argv += optind;
	argv[0] = "stoa";
	optind = 0;
	return verb->run(argc, argv);
}

const char *tool_bare_name(const char *name, const char *kind, char *buffer)
{
	size_t bytes = strlen(name), suffix = strlen(kind) + 1;

	if (bytes <= suffix || name[bytes - suffix] != '.' ||
	    strcmp(name + bytes - suffix + 1, kind) ||
	    bytes - suffix > STOA_NAME_MAX)
		return name;
	memcpy(buffer, name, bytes - suffix);
	buffer[bytes - suffix] = '\0';
	return buffer;
}

int tool_parse_mode(const struct tool_common *common, const char *text,
                   mode_t *ret_mode)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (end == text || *end || mode > MODE_MOST || *text == '-')
		return tool_usage(common, "'%s' is not an octal mode, 0 to 777",
		                  text);
	*ret_mode = (mode_t)mode;
	return TOOL_GO_ON;
}

int tool_each_name(const struct tool_common *common, unsigned flags,
                   char **names, const char *what,
                   int (*one)(void *context, struct stoa_space *space,
                              const char *typed),
                   void *context)
{
	struct stoa_space *space;
	int result, worst = TOOL_DONE;

	if (!*names)
		return tool_usage(common, "%s is missing", what);
	result = tool_open_space(common, flags, &space);
	if (result)
		return result;
	for (; *names; names++) {
		result = one(context, space, *names);
		worst = result > worst ? result : worst;
	}
	stoa_space_close(space);
	return worst;
}

int tool_create_failed(const struct tool_common *common, bool exclusive,
                       const char *typed, int result)
{
	if (result == -EEXIST && !exclusive)
		return TOOL_GO_ON;
	tool_failure(result, typed);
	return result == -EEXIST ? common->no_exit : TOOL_FAILED;
}

/* ---- rm ------------------------------------------------------------------ */

struct removal {
	const char *kind;
	bool wake, force;
};

static int remove_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct removal *removal = context;
	char buffer[STOA_NAME_MAX + 1], file[2 * STOA_NAME_MAX];
	int result;

	if (removal->kind) {
		snprintf(file, sizeof file, "%.*s.%s", STOA_NAME_MAX,
		         tool_bare_name(typed, removal->kind, buffer),
		         removal->kind);
		result = stoa_space_remove(space, file, removal->wake);
	} else {
		result = stoa_space_remove(space, typed, removal->wake);
	}
	if (result == -ENOENT && removal->force)
		return TOOL_DONE;
	return result < 0 ? tool_failure(result, typed) : TOOL_DONE;
}

int tool_run_rm(int argc, char **argv, const char *kind, const char *verb,
                const char *help)
{
	static const struct option options[] = {
		TOOL_LONG,
		{ "wake", no_argument, NULL, 'w' },
		{ "force", no_argument, NULL, 'f' },
		TOOL_LONG_END
	};
	struct tool_common common = TOOL_COMMON(verb, help);
	struct removal removal = { .kind = kind };
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "wf", options,
	                             NULL)) != -1) {
		if (option == 'w' || option == 'f') {
			*(option == 'w' ? &removal.wake : &removal.force) =
				true;
			continue;
		}
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc && removal.force)
		return TOOL_DONE;
	return tool_each_name(&common, 0, argv + optind, "a name", remove_one,
	                      &removal);
}

/* ---- stat ---------------------------------------------------------------- */

static int add_matching(struct tool_table *table, struct stoa_space *space,
                        const struct tool_objects *objects,
                        const char *pattern, const struct tool_noun_stat *stat,
                        size_t *found)
{
	int worst = TOOL_DONE;

	for (size_t i = 0; i < objects->count; i++) {
		const struct stoa_object_info *object = &objects->list[i];
		int result;

		if (strcmp(object->kind, stat->kind) ||
		    (pattern && !tool_object_matches(object, pattern)))
			continue;
		++*found;
		result = stat->add(table, space, object);
		if (result < 0 && result != -ENOENT)
			worst = tool_failure(result, object->name);
	}
	return worst;
}

static int show(struct tool_table *table, struct stoa_space *space,
                char **names, const struct tool_noun_stat *stat)
{
	struct tool_objects objects;
	size_t found = 0;
	int worst, result = tool_objects_read(space, &objects);

	if (result < 0)
		return tool_failure(result, "reading the space");
	worst = *names ? TOOL_DONE :
	                 add_matching(table, space, &objects, NULL, stat,
	                              &found);
	for (; *names; names++) {
		found = 0;
		result = add_matching(table, space, &objects, *names, stat,
		                      &found);
		if (!found)
			result = tool_error("there is no %s '%s' in '%s'",
			                    stat->noun, *names,
			                    stoa_space_path(space));
		worst = result > worst ? result : worst;
	}
	tool_objects_free(&objects);
	result = tool_table_print(table);
	return result > worst ? result : worst;
}

int tool_run_stat(int argc, char **argv, const struct tool_noun_stat *stat,
                 struct tool_table table, const char *verb, const char *help)
{
	static const struct option long_options[] = { TOOL_LONG,
		                                      TOOL_LONG_TABLE,
		                                      TOOL_LONG_END };
	struct tool_common common = TOOL_COMMON(verb, help);
	struct tool_table_options options = { 0 };
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_TABLE,
	                             long_options, NULL)) != -1) {
		if (tool_table_option(&options, option))
			continue;
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	table.options = &options;
	result = tool_table_init(&table, &common, stat->usual);
	if (result != TOOL_GO_ON)
		return result;
	result = tool_open_space(&common, 0, &space);
	if (!result) {
		result = show(&table, space, argv + optind, stat);
		stoa_space_close(space);
	}
	tool_table_fini(&table);
	return result;
}
