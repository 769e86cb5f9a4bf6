/* SPDX-License-Identifier: MIT */
/* base/error.c: the last failure's sentence, one for each thread. */
#include <base/error.h>
#include <stoa/base.h>

#include <stdarg.h>
#include <stdio.h>

#define SENTENCE_MAX 512

static _Thread_local char sentence[SENTENCE_MAX];

int stoa_fail(int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof sentence, format, arguments);
	va_end(arguments);
	return result;
}

const char *stoa_last_error(void)
{
	return sentence;
}

const char *stoa_version(void)
{
	return "0.1.0";
}

int stoa_layout_version(void)
{
	return STOA_LAYOUT_VERSION;
}
