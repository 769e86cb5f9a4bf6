/* SPDX-License-Identifier: MIT */
/* kernel/signal_names.c: signals by name and by number. */
#include <base/error.h>
#include <kernel/signal_internal.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_DIGITS 2

/* Second names, which libc's table hasn't. */
static const struct {
	const char *name;
	int number;
} aliases[] = {
	{ "CLD", SIGCHLD },
	{ "IO", SIGIO },
	{ "IOT", SIGIOT },
	{ "POLL", SIGPOLL },
};

int stoa_signal_name(int number, char *ret_name)
{
	const char *standard = number > 0 && number <= STOA_SIGNAL_MAX ?
	                               sigabbrev_np(number) :
	                               NULL;

	if (number < 1 || number > STOA_SIGNAL_MAX)
		return stoa_fail(-EINVAL, "signals are 1 to %d, not %d",
		                 STOA_SIGNAL_MAX, number);
	if (standard)
		snprintf(ret_name, STOA_SIGNAL_NAME_MAX, "SIG%s", standard);
	else if (number == SIGRTMIN)
		snprintf(ret_name, STOA_SIGNAL_NAME_MAX, "SIGRTMIN");
	else if (number > SIGRTMIN)
		snprintf(ret_name, STOA_SIGNAL_NAME_MAX, "SIGRTMIN+%u",
		         (unsigned)(number - SIGRTMIN) % STOA_SIGNAL_MAX);
	else
		snprintf(ret_name, STOA_SIGNAL_NAME_MAX, "SIG%d", number);
	return 0;
}

/* Of one or two digits; -1: it's none. */
static int parse_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > NUMBER_DIGITS || text[digits])
		return -1;
	return (int)strtol(text, NULL, 10);
}

/* "RTMIN", "RTMIN+3", "RTMAX-1". 0: it's none. */
static int parse_real_time(const char *name)
{
	int least = !strncasecmp(name, "RTMIN", 5);
	int base = least ? SIGRTMIN : SIGRTMAX;

	if (!least && strncasecmp(name, "RTMAX", 5))
		return 0;
	name += 5;
	if (!*name)
		return base;
	int distance = *name == (least ? '+' : '-') ? parse_number(name + 1) :
	                                              -1;
	if (distance < 0 || distance > SIGRTMAX - SIGRTMIN)
		return 0;
	return least ? base + distance : base - distance;
}

static int find_standard(const char *name)
{
	for (int number = 1; number < SIGNAL_LIBC_FIRST; number++) {
		const char *known = sigabbrev_np(number);

		if (known && !strcasecmp(known, name))
			return number;
	}
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (!strcasecmp(aliases[i].name, name))
			return aliases[i].number;
	return 0;
}

int stoa_signal_number(const char *name)
{
	int number = parse_number(name);
	const char *rest = strncasecmp(name, "SIG", 3) ? name : name + 3;

	if (number < 0 && rest != name) /* SIG32 */
		number = parse_number(rest);
	if (number < 0)
		number = find_standard(rest);
	if (number == 0)
		number = parse_real_time(rest);
	if (number < 1 || number > STOA_SIGNAL_MAX)
		return stoa_fail(-EINVAL,
		                 "there is no signal \"%.20s\"; stoa signal list "
		                 "shows them",
		                 name);
	return number;
}

const char *stoa_signal_first(stoa_signal_set set,
                              char name[STOA_SIGNAL_NAME_MAX])
{
	name[0] = '\0';
	if (set)
		stoa_signal_name(__builtin_ctzll(set) + 1, name);
	return name;
}
