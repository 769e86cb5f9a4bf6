/* SPDX-License-Identifier: MIT */
/* space/space.h: the handle on a space, and names. */
#ifndef STOA_SPACE_SPACE_H
#define STOA_SPACE_SPACE_H

#include <space/life.h>
#include <stoa/space.h>

#define STOA_KIND_MAX 15
#define STOA_FILE_NAME_MAX (STOA_NAME_MAX + 1 + STOA_KIND_MAX)

struct stoa_space {
	char *path;
	uint8_t boot_id[16];
	uint32_t processors; /* that are online, when it was opened */
	struct stoa_life life;
};

/* Strips a leading "/" and checks. 0 or -EINVAL with a sentence. */
int stoa_name_check(const char *name, const char **ret_name);

/* Whether foreign bytes may go into a sentence: they are a name's, and end
 * within `most`. */
int stoa_name_printable(const char *text, size_t most);

/* "orders" and "queue" make "orders.queue". */
void stoa_name_join(const char *name, const char *kind,
                    char file[STOA_FILE_NAME_MAX + 1]);

/* "orders.queue" splits; 0 when it's no object's file name. */
int stoa_name_split(const char *file, char name[STOA_NAME_MAX + 1],
                    char kind[STOA_KIND_MAX + 1]);

/* Removes the name `file` if it leads to the object of this generation still
 * (0: to whatever); `inode` is its file's, if the caller holds that, or 0. Removers take turns, so that none removes a newer object
 * that got the name meanwhile. 0 also when there is nothing to remove.
 * -EACCES. */
int stoa_space_unlink(struct stoa_space *space, const char *file,
                      uint64_t generation, uint64_t inode);

/* Calls `visit` for each file name in the directory, hidden ones too. */
int stoa_directory_each(int directory,
                        int (*visit)(const char *file, void *context),
                        void *context);

#endif
