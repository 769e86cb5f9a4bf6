/* SPDX-License-Identifier: MIT */
/*
 * data/topic_copy.h: copying what somebody may be overwriting: the copy means
 * nothing until `oldest` was looked at (TOPIC_OLDEST). So that it's no race in
 * C's sense, all loads and stores of the topic's bytes are relaxed atomics, or
 * an instruction that the compiler doesn't look into.
 */
#ifndef STOA_DATA_TOPIC_COPY_H
#define STOA_DATA_TOPIC_COPY_H

#include <base/cpu.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

stoa_always_inline void topic_put_word(uint64_t *to, const char *from,
                                       size_t bytes)
{
	uint64_t word = 0;

	memcpy(&word, from, bytes);
	__atomic_store_n(to, word, __ATOMIC_RELAXED);
}

stoa_always_inline void topic_put_words(uint64_t *to, const char *from,
                                        size_t bytes)
{
	for (; bytes >= 32; bytes -= 32, from += 32, to += 4) {
		topic_put_word(to, from, 8);
		topic_put_word(to + 1, from + 8, 8);
		topic_put_word(to + 2, from + 16, 8);
		topic_put_word(to + 3, from + 24, 8);
	}
	for (; bytes >= 8; bytes -= 8, from += 8)
		topic_put_word(to++, from, 8);
	if (bytes != 0)
		topic_put_word(to, from, bytes);
}

stoa_always_inline void topic_get_word(const uint64_t *from, char *to,
                                       size_t bytes)
{
	uint64_t word = __atomic_load_n(from, __ATOMIC_RELAXED);

	memcpy(to, &word, bytes);
}

stoa_always_inline void topic_get_words(const uint64_t *from, char *to,
                                        size_t bytes)
{
	for (; bytes >= 32; bytes -= 32, from += 4, to += 32) {
		topic_get_word(from, to, 8);
		topic_get_word(from + 1, to + 8, 8);
		topic_get_word(from + 2, to + 16, 8);
		topic_get_word(from + 3, to + 24, 8);
	}
	for (; bytes >= 8; bytes -= 8, to += 8)
		topic_get_word(from++, to, 8);
	if (bytes != 0)
		topic_get_word(from, to, bytes);
}

/* Of slots: aligned to 64 bytes, and large. */
#if defined(__x86_64__)
static inline void topic_copy(void *to, const void *from, size_t bytes)
{
	__asm__ volatile("rep movsb"
	                 : "+D"(to), "+S"(from), "+c"(bytes)
	                 :
	                 : "memory");
}

static inline void topic_copy_in(void *to, const void *from, size_t bytes)
{
	topic_copy(to, from, bytes);
}

static inline void topic_copy_out(void *to, const void *from, size_t bytes)
{
	topic_copy(to, from, bytes);
}
#else
static inline void topic_copy_in(void *to, const void *from, size_t bytes)
{
	topic_put_words(to, from, bytes);
}

static inline void topic_copy_out(void *to, const void *from, size_t bytes)
{
	topic_get_words(from, to, bytes);
}
#endif

#endif
