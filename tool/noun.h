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

/* Runs `one` for each of the names, in the space that it opens with `flags`;
 * complains if there are none (`what` is missing). `one` returns an exit code;
 * so does this: the worst of them. */
int tool_each_name(const struct tool_common *common, unsigned flags,
                   char **names, const char *what,
                   int (*one)(void *context, struct stoa_space *space,
                              const char *typed),
                   void *context);

/* After an exclusive creation that returned `result` < 0: an exit code; or
 * TOOL_GO_ON, if it is there already, which may be what was asked for. */
int tool_create_failed(const struct tool_common *common, bool exclusive,
                       const char *typed, int result);

/* The verb rm of a kind, or of all kinds (NULL). */
int tool_run_rm(int argc, char **argv, const char *kind, const char *verb,
                const char *help);
#define TOOL_HELP_RM \
	" -w, --wake           who waits on it, or uses it later, gets EIDRM\n" \
	" -f, --force          say nothing of what isn't there\n"

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
