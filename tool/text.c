/* SPDX-License-Identifier: MIT */
/* text.c: numbers, sizes, times and words, from and to text. */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "tool.h"

#define NS_PER_SECOND 1000000000LL
#define SECONDS_MAX (INT64_MAX / NS_PER_SECOND - 1)
#define SECONDS_A_DAY 86400

static const char suffixes[] = "KMGTPE";

/* Digits with at most one point: no sign, no exponent, no locale. */
static bool is_decimal(const char *text, size_t bytes)
{
	size_t digits = 0, points = 0;

	for (size_t i = 0; i < bytes; i++) {
		if (isdigit((unsigned char)text[i]))
			digits++;
		else if (text[i] == '.')
			points++;
		else
			return false;
	}
	return digits && points <= 1;
}

int tool_parse_number(const char *text, uint64_t most, uint64_t *ret_number)
{
	unsigned long long number;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || number > most)
		return -ERANGE;
	if (*end)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

/* "K", "KiB" and "k" are 1,024; "KB" is 1,000; "B" and "" are 1. */
static int parse_suffix(const char *text, uint64_t *ret_factor)
{
	const char *found;
	uint64_t base = 1024, factor = 1;

	if (!*text || !strcasecmp(text, "B")) {
		*ret_factor = 1;
		return 0;
	}
	found = strchr(suffixes, toupper((unsigned char)*text));
	if (!found)
		return -EINVAL;
	if (!strcasecmp(text + 1, "B"))
		base = 1000;
	else if (text[1] && strcasecmp(text + 1, "iB"))
		return -EINVAL;
	for (const char *at = suffixes; at <= found; at++)
		factor *= base;
	*ret_factor = factor;
	return 0;
}

int tool_parse_size(const char *text, uint64_t *ret_size)
{
	size_t digits = strspn(text, "0123456789.");
	uint64_t factor, whole = 0, size;
	double fraction = 0;
	char *point;

	if (!is_decimal(text, digits) ||
	    parse_suffix(text + digits, &factor) < 0)
		return -EINVAL;
	errno = 0;
	if (*text != '.')
		whole = strtoull(text, NULL, 10);
	if (errno)
		return -ERANGE;
	point = memchr(text, '.', digits);
	if (point)
		fraction = strtod(point, NULL);
	if (__builtin_mul_overflow(whole, factor, &size) ||
	    __builtin_add_overflow(size, (uint64_t)(fraction * (double)factor),
	                           &size))
		return -ERANGE;
	*ret_size = size;
	return 0;
}

int tool_parse_seconds(const char *text, int64_t *ret_ns)
{
	double seconds;

	if (!is_decimal(text, strlen(text)))
		return -EINVAL;
	seconds = strtod(text, NULL);
	if (seconds > (double)SECONDS_MAX)
		seconds = (double)SECONDS_MAX;
	*ret_ns = (int64_t)(seconds * (double)NS_PER_SECOND);
	return 0;
}

const char *tool_human_size(uint64_t bytes, char *text)
{
	size_t unit = 0;
	double size = (double)bytes;

	if (bytes < 1024) {
		snprintf(text, TOOL_TEXT_MAX, "%" PRIu64 "B", bytes);
		return text;
	}
	for (size /= 1024; size >= 1023.95 && unit + 1 < strlen(suffixes);
	     unit++)
		size /= 1024;
	snprintf(text, TOOL_TEXT_MAX, "%.1f", size);
	if (!strcmp(text + strlen(text) - 2, ".0"))
		text[strlen(text) - 2] = '\0';
	snprintf(text + strlen(text), TOOL_TEXT_MAX - strlen(text), "%c",
	         suffixes[unit]);
	return text;
}

static const char *format_time(int64_t ns, const char *format, char *text)
{
	time_t seconds = (time_t)(ns / NS_PER_SECOND);
	struct tm parts;

	text[0] = '\0';
	if (ns > 0 && localtime_r(&seconds, &parts))
		strftime(text, TOOL_TEXT_MAX, format, &parts);
	return text;
}

/* strftime writes the zone as +hhmm; ISO 8601's extended form has +hh:mm. */
const char *tool_iso_time(int64_t ns, char *text)
{
	size_t length;

	format_time(ns, "%Y-%m-%dT%H:%M:%S%z", text);
	length = strlen(text);
	if (length < 2)
		return text;
	memmove(text + length - 1, text + length - 2, 3);
	text[length - 2] = ':';
	return text;
}

const char *tool_short_time(int64_t ns, char *text)
{
	int64_t age = (int64_t)time(NULL) - ns / NS_PER_SECOND;

	return format_time(
		ns, age >= 0 && age < SECONDS_A_DAY ? "%H:%M:%S" : "%Y-%m-%d",
		text);
}

const char *tool_permissions(mode_t mode, char *text)
{
	static const char letters[] = "rwxrwxrwx";
	size_t count = sizeof letters - 1;

	for (size_t i = 0; i < count; i++)
		text[i] = mode & (1u << (count - 1 - i)) ? letters[i] : '-';
	text[count] = '\0';
	return text;
}

const char *tool_user_name(uid_t uid, char *text)
{
	struct passwd *entry = getpwuid(uid);

	if (entry)
		snprintf(text, TOOL_TEXT_MAX, "%s", entry->pw_name);
	else
		snprintf(text, TOOL_TEXT_MAX, "%u", (unsigned)uid);
	return text;
}

const char *tool_group_name(gid_t gid, char *text)
{
	struct group *entry = getgrgid(gid);

	if (entry)
		snprintf(text, TOOL_TEXT_MAX, "%s", entry->gr_name);
	else
		snprintf(text, TOOL_TEXT_MAX, "%u", (unsigned)gid);
	return text;
}

const char *tool_health(int health)
{
	const char *name;

	switch (-health) {
	case 0: return "ok";
	case EPROTO: return "foreign";
	case EUCLEAN: return "damaged";
	case EIDRM: return "removed";
	case EACCES: return "unreadable";
	case EIO: return "truncated";
	default:
		name = strerrorname_np(-health);
		return name ? name : "unknown";
	}
}

static const char *const orders[] = {
	[STOA_FIFO] = "fifo",
	[STOA_PRIORITY] = "priority",
	[STOA_TYPE] = "type",
};

#define ORDER_COUNT (sizeof orders / sizeof *orders)

const char *tool_order(unsigned order)
{
	return order < ORDER_COUNT ? orders[order] : "unknown";
}

int tool_parse_order(const char *text, uint32_t *ret_order)
{
	for (uint32_t i = 0; i < ORDER_COUNT; i++) {
		if (!strcasecmp(text, orders[i])) {
			*ret_order = i;
			return 0;
		}
	}
	return -EINVAL;
}
