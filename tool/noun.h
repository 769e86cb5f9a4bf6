/* SPDX-License-Identifier: MIT */
/* noun.h: what the verbs of all nouns share. */
#ifndef STOA_TOOL_NOUN_H
#define STOA_TOOL_NOUN_H

#include "tool.h"

#define TOOL_MODE_DEFAULT 0600

/* Picks the verb after `noun` ("sem") and runs it. */
int tool_dispatch(int argc, char **argv, const char *noun,
                 const struct tool_verb *verbs);

/* The name without ".kind", in `buffer` of STOA_NAME_MAX + 1. */
const char *tool_bare_name(const char *name, const char *kind, char *buffer);

/* TOOL_GO_ON, or an exit code. */
int tool_parse_mode(const struct tool_common *common, const char *text,
                   mode_t *ret_mode);

/* What stat does for each object of a kind. 0 or -errno. */
struct tool_noun_stat {
	const char *kind, *noun, *usual;
	int (*add)(struct tool_table *table, struct stoa_space *space,
	           const struct stoa_object_info *object);
};

/* The verb stat of a kind. */
int tool_run_stat(int argc, char **argv, const struct tool_noun_stat *stat,
                 struct tool_table table, const char *verb, const char *help);

#endif
