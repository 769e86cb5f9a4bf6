/* SPDX-License-Identifier: MIT */
/*
 * pieces.h: bytes are written to a stream in pieces of one value each, so that
 * what comes out shows which pieces are whole, in order, and there once.
 */
#ifndef CRASH_PIECES_H
#define CRASH_PIECES_H

#include "subject.h"

#define CAPACITY_BYTES 4096u
#define PIECE 100u
#define LARGE 3000u
#define FULL_PIECES 40u
#define IDS 256u
#define OF_PLAYER(number) (100u + (number))
#define OF_PLAYER_LARGE(number) (130u + (number))
#define OF_GIFT 200u
/* Promised, of end of file and -EPIPE after the last one's death. */
#define STREAM_PROMPT_NS INT64_C(100000000)

struct tally {
	uint32_t seen[IDS], least[IDS], most[IDS];
	uint32_t last;	   /* of the state's, as they came */
	uint32_t id, left; /* of a piece that has not all come yet */
	/* A large piece of which a dead reader has the first PIECE bytes, or
	 * may have. */
	uint32_t begun;
	int surely_begun;
};

int64_t pieces_write(struct stoa_stream *stream, uint32_t id, size_t bytes,
		     struct stoa_deadline deadline);

/* Counts bytes that came out, in their order. -1: trouble. */
int pieces_count(struct tally *tally, const unsigned char *bytes, size_t count);

/* Reads until a read gives `wanted`: nothing (STOA_NOW), or the end. */
int pieces_drain(struct stoa_stream *stream, struct tally *tally,
		 struct stoa_deadline deadline, int wanted);

/* A piece that a reader has whole, though it may not have returned. */
void pieces_account_read(const struct scene *scene, uint32_t player,
			 struct tally *tally);
int pieces_settle(const struct tally *tally);

/* The last writer has died: what is there, then the end, promptly. */
int pieces_end(struct scene *scene, struct stoa_stream *stream,
	       struct tally *tally);
/* The last reader has died: -EPIPE, promptly. */
int pieces_broken_pipe(struct scene *scene, struct stoa_stream *stream);

#endif
