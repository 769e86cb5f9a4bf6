/* SPDX-License-Identifier: MIT */
/* check.c: assertions that say what a stoa call answered, and counts of what
 * a process has open. */
#include "support.h"

#include <dirent.h>
#include <pthread.h>

enum { LINE_BYTES = 1024 };

static const char *name_of(long long result)
{
	const char *name = NULL;

	if (result < 0 && result > -4096)
		name = strerrorname_np((int)-result);
	return name != NULL ? name : "";
}

void check_result(long long result, long long expected, int errno_after,
                  const char *what, const char *file, int line)
{
	if (result != expected) {
		print_error("%s\n gave %lld %s, not %lld %s (\"%s\")\n", what,
		            result, name_of(result), expected,
		            name_of(expected), stoa_last_error());
		_fail(file, line);
	}
	if (errno_after != ERRNO_MARK) {
		print_error("%s changed errno to %d\n", what, errno_after);
		_fail(file, line);
	}
}

long long check_good(long long result, const char *what, const char *file,
                     int line)
{
	if (result < 0) {
		print_error("%s\n gave %lld %s (\"%s\")\n", what, result,
		            name_of(result), stoa_last_error());
		_fail(file, line);
	}
	return result;
}

long long check_system(long long result, const char *what, const char *file,
                       int line)
{
	if (result == -1) {
		print_error("%s: %s\n", what, strerror(errno));
		_fail(file, line);
	}
	return result;
}

void require_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s is not so (\"%s\")\n", file, line, what,
	        stoa_last_error());
	_exit(EXIT_FAILURE);
}

void assert_sentence(const char *part)
{
	const char *sentence = stoa_last_error();

	if (strlen(sentence) < 10 || strchr(sentence, ' ') == NULL ||
	    strstr(sentence, part) == NULL)
		fail_msg("\"%s\" is no sentence with \"%s\"", sentence, part);
}

int count_descriptors(void)
{
	DIR *stream = opendir("/proc/self/fd");
	int count = -1; /* the stream's own */

	if (stream == NULL)
		return -1;
	while (readdir(stream) != NULL)
		count++;
	closedir(stream);
	return count - 2; /* . and .. */
}

int count_mappings(const char *part)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[LINE_BYTES];
	int count = 0;

	if (maps == NULL)
		return -1;
	while (fgets(line, sizeof(line), maps) != NULL)
		if (strstr(line, part) != NULL)
			count++;
	fclose(maps);
	return count;
}

/* Life and wait files stay as long as the space does. */
static bool may_stay(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || name[1] == '.' ||
	                          strncmp(name, ".life", 5) == 0 ||
	                          strncmp(name, ".waits", 6) == 0);
}

int count_stale_files(const char *directory, bool print)
{
	DIR *stream = opendir(directory);
	struct dirent *entry;
	int count = 0;

	if (stream == NULL)
		return 0;
	while ((entry = readdir(stream)) != NULL) {
		if (may_stay(entry->d_name))
			continue;
		count++;
		if (print)
			fprintf(stderr, "stale: %s\n", entry->d_name);
	}
	closedir(stream);
	return count;
}
