/* SPDX-License-Identifier: MIT */
/*
 * dropin.h: cases that use the drop-in. A process that does keeps its space
 * open for as long as it lives, so the body is a child's.
 */
#ifndef SUPPORT_DROPIN_H
#define SUPPORT_DROPIN_H

#include "support.h"

#define DROPIN_TEST(name)                                         \
	static void name##_body(void);                            \
	static void name##_child(void *context UNUSED)            \
	{                                                         \
		setenv("STOA_SPACE", case_directory(), 1);        \
		name##_body();                                    \
	}                                                         \
	TEST(name)                                                \
	{                                                         \
		struct child child_ = start_child(name##_child,   \
		                                  NULL);          \
		end_child(&child_);                               \
	}                                                         \
	static void name##_body(void)

#endif
