/* SPDX-License-Identifier: MIT */
/*
 * data/queue_arena.c: room for payloads over 80 bytes. Lock-free; nothing is
 * ever freed here: a claim ends when its cell goes on to another lap. See
 * ARENA in queue_layout.h.
 */
#include <data/queue_internal.h>

/* The message for which room is sought. */
struct claimant {
	uint32_t cell;
	uint64_t word; /* ARENA_WORD(cell, lap) */
	int let_go;    /* of room that it had claimed by the way */
};

static int exchange(_Atomic uint64_t *word, uint64_t expected, uint64_t desired)
{
	/* seq_cst: QUEUE_SPLIT. As acquire it pairs, through the load of the
	 * cell in is_free(), with the release that ended the last use. */
	return atomic_compare_exchange_strong_explicit(word, &expected, desired,
	                                               memory_order_seq_cst,
	                                               memory_order_relaxed);
}

static uint64_t load(_Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_seq_cst);
}

/* Whether the cell that a word names has gone on. */
static int is_free(struct stoa_queue *queue, uint64_t word)
{
	uint32_t cell = ARENA_CELL(word);

	if (word == 0)
		return 1;
	if (!(word & ARENA_USED))
		return 0;
	if (cell >= queue->capacity)
		return 1; /* scribble */
	/* seq_cst: EVENT_DEKKER, for who waits for room */
	uint64_t state = atomic_load_explicit(&queue_cell_at(queue, cell)->word,
	                                      memory_order_seq_cst);
	enum queue_phase phase = QUEUE_WORD_PHASE(state);

	if (STOA_BUG(10) && phase == QUEUE_WRITING)
		return 1;
	return QUEUE_WORD_LAP(state) != ARENA_LAP(word) || phase == QUEUE_FREE;
}

static int claim_word(struct stoa_queue *queue, _Atomic uint64_t *word,
                      const struct claimant *claimant)
{
	uint64_t seen = load(word);

	return is_free(queue, seen) && exchange(word, seen, claimant->word);
}

static void undo_words(_Atomic uint64_t *words, uint32_t count,
                       struct claimant *claimant)
{
	for (uint32_t i = 0; i < count; i++)
		if (exchange(&words[i], claimant->word, 0))
			claimant->let_go = 1;
}

/* ---- Pieces of a split block ---------------------------------------------- */

/* Claims `count` pieces in a row in a SPLIT block, from `first` on. Returns the
 * piece's index in the block, or -EAGAIN. */
static int claim_run(struct stoa_queue *queue, _Atomic uint64_t *pieces,
                     uint32_t first, uint32_t count,
                     struct claimant *claimant)
{
	uint32_t run = 0;

	for (uint32_t i = first; i < QUEUE_BLOCK_PIECES; i++) {
		if (claim_word(queue, &pieces[i], claimant)) {
			if (++run == count)
				return (int)(i + 1 - count);
			continue;
		}
		undo_words(&pieces[i - run], run, claimant);
		run = 0;
	}
	undo_words(&pieces[QUEUE_BLOCK_PIECES - run], run, claimant);
	return -EAGAIN;
}

/* Makes a free block SPLIT; the splitter's cell and lap are its version. */
static int split(struct stoa_queue *queue, uint32_t block,
                 const struct claimant *claimant)
{
	_Atomic uint64_t *word = &queue->block_words[block];
	uint64_t seen = load(word);

	if (seen & ARENA_SPLIT)
		return 1;
	return is_free(queue, seen) &&
	       exchange(word, seen,
	                (claimant->word & ~ARENA_USED) | ARENA_SPLIT);
}

static int claim_pieces(struct stoa_queue *queue, uint32_t block,
                        uint32_t first, uint32_t count,
                        struct claimant *claimant)
{
	_Atomic uint64_t *pieces =
	        &queue->piece_words[(size_t)block * QUEUE_BLOCK_PIECES];

	if (!split(queue, block, claimant))
		return -EAGAIN;
	uint64_t version = load(&queue->block_words[block]);
	if (!(version & ARENA_SPLIT))
		return -EAGAIN;
	int piece = claim_run(queue, pieces, first, count, claimant);
	if (piece < 0)
		return piece;
	if (load(&queue->block_words[block]) == version)
		return piece;
	/* Claimed whole under our hands: the pieces mean nothing. */
	undo_words(&pieces[piece], count, claimant);
	return -EAGAIN;
}

static int allocate_pieces(struct stoa_queue *queue, uint32_t count,
                           struct claimant *claimant,
                           uint32_t *ret_payload)
{
	uint32_t cursor = atomic_load_explicit(&queue->piece_cursor,
	                                       memory_order_relaxed);
	uint32_t block = cursor / QUEUE_BLOCK_PIECES % queue->blocks;
	uint32_t first = cursor % QUEUE_BLOCK_PIECES;

	for (uint32_t i = 0; i <= queue->blocks; i++) {
		int piece = claim_pieces(queue, block, first, count, claimant);

		if (piece >= 0) {
			uint32_t at = block * QUEUE_BLOCK_PIECES +
			              (uint32_t)piece;
			atomic_store_explicit(&queue->piece_cursor, at + count,
			                      memory_order_relaxed);
			*ret_payload = at + 1;
			return 0;
		}
		first = 0;
		block = block + 1 < queue->blocks ? block + 1 : 0;
	}
	return -EAGAIN;
}

/* ---- Looking only --------------------------------------------------------- */

/* Whether a block has `count` free pieces in a row. */
static int pieces_free(struct stoa_queue *queue, uint32_t block, uint32_t count)
{
	_Atomic uint64_t *pieces =
	        &queue->piece_words[(size_t)block * QUEUE_BLOCK_PIECES];
	uint32_t run = 0;

	for (uint32_t i = 0; i < QUEUE_BLOCK_PIECES && run < count; i++)
		run = is_free(queue, load(&pieces[i])) ? run + 1 : 0;
	return run == count;
}

static int block_has(struct stoa_queue *queue, uint32_t block, uint32_t count)
{
	uint64_t word = load(&queue->block_words[block]);

	return word & ARENA_SPLIT ? pieces_free(queue, block, count) :
	                            is_free(queue, word);
}

int queue_arena_has_room(struct stoa_queue *queue, size_t bytes)
{
	uint32_t pieces = QUEUE_BLOCK_PIECES, blocks = 1, run = 0;

	if (bytes <= QUEUE_PIECES_MAX_BYTES)
		pieces = (uint32_t)((bytes + QUEUE_PIECE_BYTES - 1) /
		                    QUEUE_PIECE_BYTES);
	else
		blocks = (uint32_t)((bytes + QUEUE_BLOCK_BYTES - 1) /
		                    QUEUE_BLOCK_BYTES);
	_Atomic uint32_t *cursor = blocks == 1 ? &queue->piece_cursor :
	                                         &queue->block_cursor;
	uint32_t start = atomic_load_explicit(cursor, memory_order_relaxed);
	if (bytes <= QUEUE_PIECES_MAX_BYTES)
		start /= QUEUE_BLOCK_PIECES;
	if (start + blocks > queue->blocks)
		start = 0;
	/* From the cursor to the end, then from the beginning; runs don't go
	 * round. */
	for (uint64_t i = 0; i < (uint64_t)queue->blocks + start + blocks;
	     i++) {
		uint64_t block = start + i;

		block %= queue->blocks;
		if (block == 0)
			run = 0;
		run = block_has(queue, (uint32_t)block, pieces) ? run + 1 : 0;
		if (run >= blocks)
			return 1;
		if (block + 1 == queue->blocks && start == 0)
			return 0;
	}
	return 0;
}

/* ---- Whole blocks ---------------------------------------------------------- */

static int claim_split_block(struct stoa_queue *queue, uint32_t block,
                             uint64_t seen, struct claimant *claimant)
{
	_Atomic uint64_t *pieces =
	        &queue->piece_words[(size_t)block * QUEUE_BLOCK_PIECES];
	uint32_t claimed = 0;

	/* Claiming in vain would hide free pieces from others meanwhile. */
	if (!pieces_free(queue, block, QUEUE_BLOCK_PIECES))
		return 0;
	while (claimed < QUEUE_BLOCK_PIECES &&
	       claim_word(queue, &pieces[claimed], claimant))
		claimed++;
	if (claimed == QUEUE_BLOCK_PIECES &&
	    exchange(&queue->block_words[block], seen, claimant->word))
		return 1;
	undo_words(pieces, claimed, claimant);
	return 0;
}

static int claim_block(struct stoa_queue *queue, uint32_t block,
                       struct claimant *claimant)
{
	uint64_t seen = load(&queue->block_words[block]);

	if (seen & ARENA_SPLIT)
		return claim_split_block(queue, block, seen, claimant);
	return is_free(queue, seen) &&
	       exchange(&queue->block_words[block], seen, claimant->word);
}

static void undo_blocks(struct stoa_queue *queue, uint32_t first,
                        uint32_t count, struct claimant *claimant)
{
	for (uint32_t i = first; i < first + count; i++) {
		undo_words(&queue->piece_words[(size_t)i * QUEUE_BLOCK_PIECES],
		           QUEUE_BLOCK_PIECES, claimant);
		exchange(&queue->block_words[i], claimant->word, 0);
	}
}

/* Claims `count` blocks in a row beginning at or after `*first`; on a
 * collision moves *first past it. */
static int claim_blocks_at(struct stoa_queue *queue, uint32_t *first,
                           uint32_t count, struct claimant *claimant)
{
	for (uint32_t i = 0; i < count; i++) {
		if (claim_block(queue, *first + i, claimant))
			continue;
		undo_blocks(queue, *first, i, claimant);
		*first += i + 1;
		return 0;
	}
	return 1;
}

static int allocate_blocks(struct stoa_queue *queue, uint32_t count,
                           struct claimant *claimant,
                           uint32_t *ret_payload)
{
	uint32_t start = atomic_load_explicit(&queue->block_cursor,
	                                      memory_order_relaxed) %
	                 queue->blocks;
	uint32_t first = start;
	int wrapped = 0;

	while (!wrapped || first <= start) {
		if (first + count > queue->blocks) {
			if (wrapped)
				return -EAGAIN;
			wrapped = 1;
			first = 0;
			continue;
		}
		if (!claim_blocks_at(queue, &first, count, claimant))
			continue;
		atomic_store_explicit(&queue->block_cursor, first + count,
		                      memory_order_relaxed);
		*ret_payload = first * QUEUE_BLOCK_PIECES + 1;
		return 0;
	}
	return -EAGAIN;
}

/* The claim stands, whatever this says: it ends as the cell goes on. */
static int back_with_memory(struct stoa_queue *queue, uint32_t payload,
                            size_t bytes)
{
	uint64_t end = ((uint64_t)payload - 1) * QUEUE_PIECE_BYTES + bytes;
	uint64_t blocks = (end + QUEUE_BLOCK_BYTES - 1) / QUEUE_BLOCK_BYTES;

	if (stoa_likely(blocks <=
	                atomic_load_explicit(&queue->arena_grown,
	                                     memory_order_relaxed)))
		return 0;
	return queue_grow_arena(queue, blocks);
}

static int allocate(struct stoa_queue *queue, size_t bytes,
                    struct claimant *claimant, uint32_t *ret_payload)
{
	size_t blocks = (bytes + QUEUE_BLOCK_BYTES - 1) / QUEUE_BLOCK_BYTES;
	size_t pieces = (bytes + QUEUE_PIECE_BYTES - 1) / QUEUE_PIECE_BYTES;
	int result;

	if (blocks > queue->blocks)
		return -EAGAIN;
	if (bytes <= QUEUE_PIECES_MAX_BYTES)
		result = allocate_pieces(queue, (uint32_t)pieces, claimant,
		                         ret_payload);
	else
		result = allocate_blocks(queue, (uint32_t)blocks, claimant,
		                         ret_payload);
	return result < 0 ? result :
	                    back_with_memory(queue, *ret_payload, bytes);
}

int queue_arena_allocate(struct stoa_queue *queue, uint32_t cell, uint32_t lap,
                         size_t bytes, uint32_t *ret_payload)
{
	struct claimant claimant = { cell, ARENA_WORD(cell, lap), 0 };
	int result = allocate(queue, bytes, &claimant, ret_payload);

	if (result == -ENOSPC) { /* what has memory comes first */
		atomic_store_explicit(&queue->piece_cursor, 0,
		                      memory_order_relaxed);
		atomic_store_explicit(&queue->block_cursor, 0,
		                      memory_order_relaxed);
		result = allocate(queue, bytes, &claimant, ret_payload);
		result = result == -EAGAIN ? -ENOSPC : result;
	}
	return result < 0 ? result : claimant.let_go;
}

char *queue_arena_at(struct stoa_queue *queue, uint32_t payload, size_t bytes)
{
	uint64_t arena = (uint64_t)queue->blocks * QUEUE_BLOCK_BYTES;
	uint64_t offset = ((uint64_t)payload - 1) * QUEUE_PIECE_BYTES;

	if (payload == 0 || offset > arena || bytes > arena - offset)
		return NULL;
	return queue->arena + offset;
}
