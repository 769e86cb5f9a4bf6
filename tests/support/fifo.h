/* SPDX-License-Identifier: MIT */
/* fifo.h: what the FIFOs' tests share. */
#ifndef SUPPORT_FIFO_H
#define SUPPORT_FIFO_H

#include "support.h"

static inline struct stoa_fifo *open_fifo(unsigned flags,
                                          struct stoa_deadline deadline)
{
	struct stoa_fifo *fifo;

	assert_ok(stoa_fifo_open(case_path("f"), flags, 0600, deadline, &fifo));
	return fifo;
}

static inline struct stoa_fifo *open_reader(void)
{
	return open_fifo(STOA_READ | STOA_CREATE, STOA_NOW);
}

static inline struct stoa_fifo *open_writer(void)
{
	return open_fifo(STOA_WRITE, STOA_NOW);
}

static inline void put_bytes(struct stoa_fifo *fifo, const char *text)
{
	assert_result(stoa_fifo_write(fifo, text, strlen(text), STOA_NOW),
	              strlen(text));
}

static inline void assert_bytes(struct stoa_fifo *fifo, const char *text)
{
	char buffer[64] = "";

	assert_result(stoa_fifo_read(fifo, buffer, sizeof(buffer), STOA_NOW),
	              strlen(text));
	assert_string_equal(buffer, text);
}

static inline void assert_read(struct stoa_fifo *fifo, int expected)
{
	char buffer[64];

	assert_result(stoa_fifo_read(fifo, buffer, sizeof(buffer), STOA_NOW),
	              expected);
}

static inline void remove_fifo(void)
{
	assert_ok(stoa_fifo_unlink(case_path("f")));
}

#endif
