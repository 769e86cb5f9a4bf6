/* SPDX-License-Identifier: MIT */
/* pieces.c: see pieces.h. */
#include "pieces.h"

#include <errno.h>
#include <string.h>

static unsigned char pattern[LARGE];

int64_t pieces_write(struct stoa_stream *stream, uint32_t id, size_t bytes,
		     struct stoa_deadline deadline)
{
	ssize_t result;

	memset(pattern, (int)id, bytes);
	result = stoa_stream_write(stream, pattern, bytes, deadline);
	if (result >= 0 && (size_t)result != bytes)
		return -EPROTO;
	return result;
}

static uint32_t bytes_of(uint32_t id)
{
	return id >= OF_PLAYER_LARGE(0) && id < OF_GIFT ? LARGE : PIECE;
}

/* It lacks what a dead reader may have. */
static int ends_early(const struct tally *tally)
{
	return tally->left == PIECE && tally->id == tally->begun &&
	       !tally->surely_begun;
}

static int count_byte(struct tally *tally, uint32_t id)
{
	if (id != tally->id && ends_early(tally))
		tally->left = 0;
	if (tally->left == 0) {
		tally->id = id;
		tally->left = bytes_of(id);
		if (id == tally->begun && tally->surely_begun)
			tally->left -= PIECE;
		tally->seen[id]++;
		if (id <= FULL_PIECES && id < tally->last)
			return trouble("piece %u came after %u", id,
				       tally->last);
		tally->last = id <= FULL_PIECES ? id : tally->last;
	}
	tally->left--;
	return id == tally->id ? 0 : trouble("a byte of %u in piece %u", id,
					     tally->id);
}

int pieces_count(struct tally *tally, const unsigned char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (count_byte(tally, bytes[i]) != 0)
			return -1;
	return 0;
}

int pieces_drain(struct stoa_stream *stream, struct tally *tally,
		 struct stoa_deadline deadline, int wanted)
{
	static unsigned char buffer[512];
	ssize_t got;

	while ((got = stoa_stream_read(stream, buffer, sizeof(buffer),
				       deadline)) > 0)
		if (pieces_count(tally, buffer, (size_t)got) != 0)
			return -1;
	if (got != wanted)
		return trouble("read at the end gave %zd, not %d", got, wanted);
	return tally->left == 0 || ends_early(tally)
		       ? 0
		       : trouble("piece %u is cut short", tally->id);
}

/* One that did not return may have consumed it or not. */
void pieces_account_read(const struct scene *s, uint32_t player,
			 struct tally *tally)
{
	const unsigned char *bytes = s->notes[player].bytes;
	uint32_t id = bytes[0];
	int64_t result;

	if (id == 0)
		return;
	for (uint32_t i = 1; i < PIECE; i++)
		if (bytes[i] != id)
			return;
	if (bytes_of(id) > PIECE) {
		tally->begun = id;
		tally->surely_begun = note_done(s, player, &result) &&
				      result > 0;
		return;
	}
	if (!note_done(s, player, &result))
		tally->least[id] -= tally->least[id] > 0;
	else if (result > 0)
		tally->seen[id]++;
}

int pieces_settle(const struct tally *tally)
{
	for (uint32_t id = 0; id < IDS; id++)
		if (tally->seen[id] < tally->least[id] ||
		    tally->seen[id] > tally->most[id])
			return trouble("piece %u came %u times, not %u to %u",
				       id, tally->seen[id], tally->least[id],
				       tally->most[id]);
	return 0;
}

int pieces_end(struct scene *s, struct stoa_stream *stream,
	       struct tally *tally)
{
	if (pieces_drain(stream, tally, stoa_deadline_in(patient_ns()), 0) != 0)
		return -1;
	return prompt_check(s, "the end of file came");
}

int pieces_broken_pipe(struct scene *s, struct stoa_stream *stream)
{
	int64_t limit = clock_ns() + patient_ns(), result;

	do
		result = pieces_write(stream, OF_GIFT, PIECE,
				      stoa_deadline_in(patient_ns()));
	while (result > 0 && clock_ns() < limit);
	if (result != -EPIPE)
		return trouble("write without readers gave %lld",
			       (long long)result);
	return prompt_check(s, "-EPIPE came");
}
