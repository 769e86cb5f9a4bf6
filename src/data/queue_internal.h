/* SPDX-License-Identifier: MIT */
/* data/queue_internal.h: what the queue's sources share. */
#ifndef STOA_DATA_QUEUE_INTERNAL_H
#define STOA_DATA_QUEUE_INTERNAL_H

#include <base/bug.h>
#include <base/cpu.h>
#include <base/system.h>
#include <data/queue_layout.h>
#include <space/event.h>
#include <space/object.h>

#include <errno.h>
#include <string.h>
#include <sys/single_threaded.h>

struct stoa_queue {
	struct stoa_object object;

	/* Checked at open, constant since; never read from the file again. */
	enum stoa_queue_order order;
	uint32_t capacity;
	uint32_t index_bits; /* of a position: the rest is the lap */
	uint64_t index_mask;
	uint64_t era_mask;
	uint64_t max_message;
	size_t quick_bytes; /* messages of fewer bytes are sent the usual way */
	uint64_t limits; /* at first; 0: a queue without */
	uint32_t blocks;
	struct queue_control *control;
	struct queue_cell *cells;
	struct queue_payload *payloads;
	uint32_t spread, gather; /* an odd factor, and its inverse */
	struct queue_entry *entries; /* ordered queues */
	struct queue_node *nodes;    /* 2 x capacity, [0] unused */
	_Atomic uint64_t *block_words;
	_Atomic uint64_t *piece_words;
	char *arena;

	/* This handle's own. relaxed throughout: each is a hint. */
	_Alignas(STOA_CACHE_LINE) _Atomic uint64_t tail;
	_Atomic uint32_t sends; /* since it was looked whether they stream */
	_Atomic uint32_t waits; /* queue_waits then */
	_Atomic uint32_t streaming;
	_Atomic uint64_t grown_to; /* with limits: claims from this position
	                              on look whether it has to grow */
	_Atomic uint32_t arena_grown; /* so many blocks have memory at least */
	_Atomic uint32_t block_cursor;
	_Atomic uint32_t piece_cursor;
	_Alignas(STOA_CACHE_LINE) _Atomic uint64_t head;
	_Alignas(STOA_CACHE_LINE) _Atomic uint32_t held; /* taken, reserved */
	_Atomic uint32_t idle_calls;
	_Atomic uint32_t notify_count; /* of its last registration */
	_Atomic uint32_t met_holders;  /* cells somebody holds, looking for room */

	/* The last turn that found nothing: see QUEUE_TURNS. Of a process with
	 * one thread only. */
	struct {
		uint64_t turn;     /* 0: none */
		uint64_t ingested;
		enum stoa_selection selection;
		int64_t type;
	} vain;

	/* Under the selection lock, hints: messages up to `seen` were READY when
	 * this handle looked; it looks again from `look_at` on. */
	uint64_t seen, look_at;
	_Atomic uint32_t streak; /* received since a call last waited; relaxed */

	/* See L in LIMITS. The same. */
	struct {
		uint64_t admitted, left;
	} known;

	/* The last turn that found the queue full: see LIMITS. The same. */
	struct {
		uint64_t turn; /* 0: none */
		uint64_t admitted, left, doubts;
	} full;
};

/* ---- Positions ---------------------------------------------------------- */

static inline uint32_t queue_index_of(const struct stoa_queue *queue,
                                      uint64_t position)
{
	return (uint32_t)(position & queue->index_mask);
}

static inline uint64_t queue_lap_of(const struct stoa_queue *queue,
                                    uint64_t position)
{
	return position >> queue->index_bits;
}

static inline uint64_t queue_position(const struct stoa_queue *queue,
                                      uint64_t lap, uint32_t index)
{
	return lap << queue->index_bits | index;
}

static inline uint64_t queue_next(const struct stoa_queue *queue,
                                  uint64_t position)
{
	if (stoa_likely(queue_index_of(queue, position) + 1 < queue->capacity))
		return position + 1;
	return queue_position(queue, queue_lap_of(queue, position) + 1, 0);
}

/* A foreign position made safe: its index is in range. */
static inline uint64_t queue_sane(const struct stoa_queue *queue,
                                  uint64_t position)
{
	uint64_t first = queue_position(queue, QUEUE_FIRST_LAP, 0);

	if (stoa_likely(queue_index_of(queue, position) < queue->capacity &&
	                position >= first))
		return position;
	return first;
}

/* The farther of an own position and a foreign one, if that is in range. */
static inline uint64_t queue_farther(const struct stoa_queue *queue,
                                     uint64_t own, uint64_t foreign)
{
	return foreign > own &&
	                       queue_index_of(queue, foreign) < queue->capacity ?
	               foreign :
	               own;
}

/* How many laps the word is ahead of the position (28 bits, signed). */
static inline int32_t queue_ahead(const struct stoa_queue *queue, uint64_t word,
                                  uint64_t position)
{
	uint32_t difference = QUEUE_WORD_LAP(word) -
	                      (uint32_t)queue_lap_of(queue, position);

	return (int32_t)(difference << 4) >> 4;
}

/* Whether a claim of this position begins an era: see ERAS. */
static inline int queue_begins_era(const struct stoa_queue *queue,
                                   uint64_t position)
{
	return (position & queue->era_mask) == 0;
}

/* Raises a mark that only rises. seq_cst: see QUEUE_VOID. */
static inline void queue_raise(_Atomic uint64_t *mark, uint64_t position)
{
	uint64_t seen = atomic_load_explicit(mark, memory_order_seq_cst);

	while (seen < position &&
	       !atomic_compare_exchange_weak_explicit(mark, &seen, position,
	                                              memory_order_seq_cst,
	                                              memory_order_seq_cst))
		;
}

static inline int queue_exchange(struct queue_cell *cell, uint64_t expected,
                                 uint64_t desired)
{
	/* seq_cst: QUEUE_VOID, EVENT_DEKKER; as acq_rel it pairs with the
	 * acquire loads of the word everywhere. */
	return atomic_compare_exchange_strong_explicit(&cell->word, &expected,
	                                               desired,
	                                               memory_order_seq_cst,
	                                               memory_order_relaxed);
}

/* ---- Cells ---------------------------------------------------------------- */

/* The cell of an index below the capacity; see PLACES in queue_layout.h. */
static inline struct queue_cell *queue_cell_at(const struct stoa_queue *queue,
                                               uint32_t index)
{
	return &queue->cells[index * queue->spread & queue->index_mask];
}

static inline uint32_t queue_index_at(const struct stoa_queue *queue,
                                      const struct queue_cell *cell)
{
	return (uint32_t)((uint32_t)(cell - queue->cells) * queue->gather &
	                  queue->index_mask);
}

/* Where the cell keeps a payload of up to STOA_QUEUE_INLINE bytes. */
static inline uint64_t *queue_inline(const struct stoa_queue *queue,
                                     const struct queue_cell *cell)
{
	return queue->payloads[cell - queue->cells].words;
}

/* ---- A message's fixed part --------------------------------------------- */

/* relaxed: a reader that lost its message to another may load what the next
 * sender stores; its compare-and-swap of the word then fails. */
#define cell_get(cell, field) __atomic_load_n(&(cell)->field, __ATOMIC_RELAXED)
#define cell_set(cell, field, value) \
	__atomic_store_n(&(cell)->field, value, __ATOMIC_RELAXED)

/* Patrols, if none was in the last millisecond, or tick of the coarse clock. */
void queue_patrol_seldom(struct stoa_queue *queue);

/* ---- The ring (queue_ring.c) -------------------------------------------- */

struct queue_found {
	uint64_t position;
	uint64_t word;
	struct queue_cell *cell;
	int out_of_order; /* something older is being written */
};

/* Gives a claim up: the place stays empty. */
void queue_give_up(struct stoa_queue *queue, struct queue_cell *cell,
                   uint64_t word);

/* The cell will be consumed or freed out of order: see FULL. */
void queue_note_disorder(struct stoa_queue *queue, struct queue_cell *cell,
                         uint64_t word);

/* A position such that everything before it is claimed or void. */
static inline uint64_t queue_tail(struct stoa_queue *queue)
{
	uint64_t own = atomic_load_explicit(&queue->tail, memory_order_relaxed);
	uint64_t tail = queue_farther(
	        queue, own,
	        atomic_load_explicit(&queue->control->tail,
	                             memory_order_relaxed));

	return queue_farther(queue, tail,
	                     atomic_load_explicit(&queue->control->void_mark,
	                                          memory_order_relaxed));
}

static inline void queue_advance_tail(struct stoa_queue *queue, uint64_t position)
{
	atomic_store_explicit(&queue->tail, position, memory_order_relaxed);
	if (atomic_load_explicit(&queue->control->tail, memory_order_relaxed) <
	    position)
		atomic_store_explicit(&queue->control->tail, position,
		                      memory_order_relaxed);
}

/* The lap of which a cell keeps the low 32 bits; it is near the tail's. */
static inline uint64_t queue_near(struct stoa_queue *queue, uint32_t low)
{
	uint64_t now = queue_lap_of(queue, queue_tail(queue));

	return now + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)now);
}

int queue_claim_slowly(struct stoa_queue *queue, enum queue_phase phase,
                       struct queue_found *ret_claim);

/* Through memory, so that the usual *ret_claim may stay in registers. */
stoa_always_inline int queue_claim_after_all(struct stoa_queue *queue,
                                             enum queue_phase phase,
                                             struct queue_found *ret_claim)
{
	struct queue_found claim = { 0 };
	int result = queue_claim_slowly(queue, phase, &claim);

	*ret_claim = claim;
	return result;
}

/* Claims the next place for this handle, which then says so by
 * queue_advance_tail(). `phase` is QUEUE_WRITING or QUEUE_RESERVED. 0, or
 * -EAGAIN: full. */
stoa_always_inline int queue_claim(struct stoa_queue *queue,
                                   enum queue_phase phase,
                                   struct queue_found *ret_claim)
{
	uint64_t position = queue_farther(
	        queue,
	        atomic_load_explicit(&queue->tail, memory_order_relaxed),
	        atomic_load_explicit(&queue->control->tail,
	                             memory_order_relaxed));
	uint64_t lap = queue_lap_of(queue, position);
	struct queue_cell *cell = queue_cell_at(queue, queue_index_of(queue, position));
	uint64_t claim = QUEUE_WORD(lap, phase,
	                            stoa_object_token(&queue->object));

	/* Cell and payload cross at once, and to be written: loaded first, the
	 * cell would cross twice. */
	stoa_cpu_prefetch_write(&cell->word);
	stoa_cpu_prefetch_write(queue_inline(queue, cell));
	uint64_t word = atomic_load_explicit(&cell->word, memory_order_acquire);
	/* The mark is looked at after the word, too: see ERAS. */
	if (stoa_unlikely(queue_begins_era(queue, position) ||
	                  word != QUEUE_WORD(lap, QUEUE_FREE, 0) ||
	                  atomic_load_explicit(&queue->control->void_mark,
	                                       memory_order_seq_cst) >
	                          position ||
	                  !queue_exchange(cell, word, claim)))
		return queue_claim_after_all(queue, phase, ret_claim);
	/* seq_cst: QUEUE_VOID */
	if (stoa_unlikely(atomic_load_explicit(&queue->control->void_mark,
	                                       memory_order_seq_cst) >
	                  position)) {
		queue_give_up(queue, cell, claim);
		return queue_claim_after_all(queue, phase, ret_claim);
	}
	*ret_claim = (struct queue_found){ position, claim, cell, 0 };
	return 0;
}

/* No room was found: buries the dead who hold cells that were met. Whether
 * there were any. */
int queue_bury_holders(struct stoa_queue *queue);

/* Whether a claim would succeed. */
int queue_has_room(struct stoa_queue *queue);

/* Where a walk in the order of sending begins. */
static inline uint64_t queue_head(struct stoa_queue *queue)
{
	return queue_farther(
	        queue,
	        atomic_load_explicit(&queue->head, memory_order_relaxed),
	        atomic_load_explicit(&queue->control->head,
	                             memory_order_relaxed));
}

/* Everything before `position` is consumed. */
static inline void queue_advance_head(struct stoa_queue *queue, uint64_t position)
{
	if (atomic_load_explicit(&queue->head, memory_order_relaxed) < position)
		atomic_store_explicit(&queue->head, position,
		                      memory_order_relaxed);
	if (atomic_load_explicit(&queue->control->head, memory_order_relaxed) <
	    position)
		atomic_store_explicit(&queue->control->head, position,
		                      memory_order_relaxed);
}

/* relaxed: for people. The depth is greatest just before a receive, so the
 * cell that lies the high-water mark ahead is looked at. */
static inline void queue_raise_high_water(struct stoa_queue *queue,
                                          uint64_t position)
{
	uint64_t high = atomic_load_explicit(&queue->control->high_water,
	                                     memory_order_relaxed);
	uint64_t before = high;

	while (high < queue->capacity) {
		uint64_t index = queue_index_of(queue, position) + high;
		uint64_t lap = queue_lap_of(queue, position);

		if (index >= queue->capacity) {
			index -= queue->capacity;
			lap++;
		}
		if (atomic_load_explicit(&queue_cell_at(queue, index)->word,
		                         memory_order_relaxed) !=
		    QUEUE_WORD(lap, QUEUE_READY, 0))
			break;
		high++;
	}
	if (high != before)
		atomic_store_explicit(&queue->control->high_water, high,
		                      memory_order_relaxed);
}

/* Whether a message may have come back: a scan of all cells is due. */
static inline int queue_scan_asked(struct stoa_queue *queue)
{
	return (atomic_load_explicit(&queue->control->returned,
	                             memory_order_seq_cst) &
	        QUEUE_SCAN_ASKED) != 0;
}
void queue_ask_scan(struct stoa_queue *queue);
/* A scan found nothing; `seen` was the hint before it. */
void queue_scan_done(struct stoa_queue *queue, uint64_t seen);

int queue_find_slowly(struct stoa_queue *queue, struct queue_found *ret_found,
                      int *ret_soon);

/* At first sight: 0: the message at the head; -EAGAIN: the end; -EBUSY: a walk
 * must tell. */
stoa_always_inline int queue_find_quickly(struct stoa_queue *queue,
                                          struct queue_found *ret_found)
{
	uint64_t position = queue_head(queue);
	uint64_t lap = queue_lap_of(queue, position);
	struct queue_cell *cell = queue_cell_at(queue, queue_index_of(queue, position));
	/* Never prefetched to be written before it is READY: that would take it
	 * from the sender between claim and commit. */
	uint64_t word = atomic_load_explicit(&cell->word, memory_order_acquire);

	if (stoa_likely(word == QUEUE_WORD(lap, QUEUE_READY, 0)) &&
	    stoa_likely(!queue_scan_asked(queue))) {
		/* Before the payload is waited for. */
		stoa_cpu_prefetch_write(&cell->word);
		*ret_found = (struct queue_found){ position, word, cell, 0 };
		return 0;
	}
	/* seq_cst, in this order, as in queue_look(). A poller is told so soon
	 * that it is back before the next message comes. */
	if (word == QUEUE_WORD(lap, QUEUE_FREE, 0) &&
	    atomic_load_explicit(&queue->control->void_mark,
	                         memory_order_seq_cst) <= position &&
	    atomic_load_explicit(&cell->word, memory_order_seq_cst) == word &&
	    !queue_scan_asked(queue))
		return -EAGAIN;
	return -EBUSY;
}

/* The oldest message of a FIFO queue. 0; -EAGAIN: none (*ret_soon: but one is
 * being written). */
static inline int queue_find(struct stoa_queue *queue,
                             struct queue_found *ret_found, int *ret_soon)
{
	int result = queue_find_quickly(queue, ret_found);

	*ret_soon = 0;
	return stoa_likely(result != -EBUSY) ?
	               result :
	               queue_find_slowly(queue, ret_found, ret_soon);
}

/* The end of the queue reached from `position`, or a message at it, or none
 * but go on. For walks over all positions. */
enum queue_place { PLACE_MESSAGE, PLACE_BUSY, PLACE_PASSED, PLACE_END };
enum queue_place queue_look(struct stoa_queue *queue, uint64_t position,
                            uint64_t *ret_word);

/* The oldest that came back. 1 found, 0 none. */
int queue_find_returned(struct stoa_queue *queue,
                        struct queue_found *ret_found);

/* The FREE word that follows `word`. */
uint64_t queue_freed(struct stoa_queue *queue, uint64_t word);

/* RETURNING -> RETURNED, by anybody. */
void queue_finish_return(struct stoa_queue *queue, struct queue_cell *cell,
                         uint64_t word);

/* Gives back all that bears the token. */
int queue_bury(struct stoa_object *object, uint32_t token);

/* ---- The arena (queue_arena.c) ------------------------------------------ */

/* Room for `bytes` bytes, used by the claimed cell in its lap. 1: claimed, and
 * other room let go that others may have taken for used: tell them. 0, or
 * -EAGAIN: no room now. */
int queue_arena_allocate(struct stoa_queue *queue, uint32_t cell, uint32_t lap,
                         size_t bytes, uint32_t *ret_payload);

/* Whether there is room now, without claiming it. */
int queue_arena_has_room(struct stoa_queue *queue, size_t bytes);

/* Where a payload begins, or NULL when payload and bytes can't be true. */
char *queue_arena_at(struct stoa_queue *queue, uint32_t payload, size_t bytes);

/* ---- Selection (queue_select.c, queue_index.c) --------------------------- */

int queue_selection_lock(struct stoa_queue *queue,
                         struct stoa_deadline deadline);
void queue_selection_unlock(struct stoa_queue *queue);
/* Without the lock: there is still nothing for the selector. */
int queue_select_vain(struct stoa_queue *queue,
                      const struct stoa_selector *selector);
/* Under the lock: there is nothing for the selector. */
void queue_note_vain(struct stoa_queue *queue,
                     const struct stoa_selector *selector);

/* Under the lock: brings the index up to date, then finds the message that the
 * selector means. 0, -EAGAIN, -EUCLEAN, -ENOMEM. */
int queue_select(struct stoa_queue *queue, const struct stoa_selector *selector,
                 struct queue_found *ret_found);
/* Under the lock, when nothing was found: whether something soon will be. */
int queue_select_soon(struct stoa_queue *queue);
/* Under the lock: the message found was taken. */
void queue_deselect(struct stoa_queue *queue, const struct queue_found *found);

/* The key by which messages of this queue are ordered; the least is first. */
uint64_t queue_key(const struct stoa_queue *queue, int64_t type,
                   uint32_t priority);

/* Index primitives, under the lock. -EUCLEAN: what can't be; rebuild. */
void queue_index_clear(struct stoa_queue *queue);
int queue_index_insert(struct stoa_queue *queue, uint32_t cell,
                       uint64_t position, uint64_t key);
int queue_index_remove(struct stoa_queue *queue, uint32_t cell);
int queue_index_pick(struct stoa_queue *queue,
                     const struct stoa_selector *selector, uint32_t *ret_cell);
/* Fetches what will be picked next, if that is known and far. */
void queue_index_prefetch(struct stoa_queue *queue);

/* Under the lock: brings the index up to date. 0, -EUCLEAN, -ENOMEM. */
int queue_list_all(struct stoa_queue *queue);
/* The same, and nothing stays listed that is gone. */
int queue_list_surely(struct stoa_queue *queue);
/* Under the lock: the next turn makes the index anew. */
void queue_distrust_index(struct stoa_queue *queue);
/* Under the lock: how many are being written by the living; gives up what the
 * dead were writing, and adds their number to *buried. */
uint32_t queue_sift_writing(struct stoa_queue *queue, uint32_t *buried);

/* ---- Limits (queue_limit.c): see LIMITS in queue_layout.h ---------------- */

static inline uint64_t queue_unit(uint64_t bytes)
{
	return (UINT64_C(1) << QUEUE_LIMIT_BITS) + (bytes & QUEUE_LIMIT_BYTES);
}

static inline uint64_t queue_pack_limits(uint64_t bytes, uint64_t messages)
{
	if (bytes > QUEUE_LIMIT_BYTES)
		bytes = QUEUE_LIMIT_BYTES;
	if (messages > QUEUE_LIMIT_MESSAGES)
		messages = QUEUE_LIMIT_MESSAGES;
	return messages << QUEUE_LIMIT_BITS | bytes;
}

/* seq_cst: EVENT_DEKKER, with who raises them. */
static inline uint64_t queue_limits(struct stoa_queue *queue)
{
	return atomic_load_explicit(&queue->control->limits,
	                            memory_order_seq_cst) ^
	       queue->limits;
}

/* Whether a message of `bytes` fits to `content`. */
static inline int queue_fits(uint64_t limits, uint64_t content, uint64_t bytes)
{
	return (content >> QUEUE_LIMIT_BITS) + 1 <=
	               limits >> QUEUE_LIMIT_BITS &&
	       (content & QUEUE_LIMIT_BYTES) + bytes <=
	               (limits & QUEUE_LIMIT_BYTES);
}

/* What is in, or more. In this order: see L in LIMITS; acquire: left isn't
 * loaded before. */
static inline uint64_t queue_content(struct stoa_queue *queue,
                                     uint64_t *ret_admitted)
{
	*ret_admitted = atomic_load_explicit(&queue->control->admitted,
	                                     memory_order_seq_cst);
	return *ret_admitted - atomic_load_explicit(&queue->control->left,
	                                            memory_order_acquire);
}

/* What is in, or more, by the `left` that this handle knows; see L in LIMITS. Of
 * a process with one thread only. */
static inline uint64_t queue_known_content(struct stoa_queue *queue,
                                           uint64_t *ret_admitted)
{
	if (!__libc_single_threaded)
		return queue_content(queue, ret_admitted);
	*ret_admitted = atomic_load_explicit(&queue->control->admitted,
	                                     memory_order_seq_cst);
	if (STOA_BUG(162))
		return queue->known.admitted - queue->known.left;
	if (stoa_unlikely(*ret_admitted != queue->known.admitted)) {
		queue->known.left = atomic_load_explicit(
		        &queue->control->left, memory_order_acquire);
		queue->known.admitted = *ret_admitted;
	}
	return *ret_admitted - queue->known.left;
}

/* Whether a message of `bytes` fits; and what admitted was. */
static inline int queue_would_fit(struct stoa_queue *queue, uint64_t bytes,
                                  uint64_t *ret_admitted)
{
	uint64_t limits = queue_limits(queue);

	if (stoa_likely(queue_fits(
	            limits, queue_known_content(queue, ret_admitted), bytes)))
		return 1;
	uint64_t content = queue_content(queue, ret_admitted);
	if (__libc_single_threaded) {
		queue->known.admitted = *ret_admitted;
		queue->known.left = *ret_admitted - content;
	}
	return queue_fits(limits, content, bytes);
}

/* After the claim: lets the cell's message in. 0, or -EAGAIN: full, perhaps;
 * the cell is still claimed. */
static inline int queue_admit(struct stoa_queue *queue, struct queue_cell *cell,
                              uint64_t word, uint64_t bytes)
{
	uint64_t admitted;

	cell_set(cell, counted, (uint64_t)QUEUE_WORD_LAP(word) << 32 | bytes);
	do {
		if (!queue_would_fit(queue, bytes, &admitted))
			return -EAGAIN;
		/* seq_cst, and so release: `counted` is seen by who counts */
	} while (!atomic_compare_exchange_weak_explicit(
	        &queue->control->admitted, &admitted,
	        admitted + queue_unit(bytes), memory_order_seq_cst,
	        memory_order_relaxed));
	if (__libc_single_threaded)
		queue->known.admitted = admitted + queue_unit(bytes);
	return 0;
}

/* What admitting a cell's message has added. Foreign. */
static inline uint64_t queue_counted(const struct queue_cell *cell)
{
	return queue_unit((uint32_t)cell_get(cell, counted));
}

/* Under the lock, after the cell was freed. release: L in LIMITS. */
static inline void queue_leave(struct stoa_queue *queue, uint64_t unit)
{
	atomic_store_explicit(&queue->control->left,
	                      atomic_load_explicit(&queue->control->left,
	                                           memory_order_relaxed) +
	                              unit,
	                      memory_order_release);
}

/* Reserves memory for the next places: see GROWTH. 0, or -ENOSPC. */
int queue_grow(struct stoa_queue *queue);

/* Before a claim. */
static inline int queue_grow_in_time(struct stoa_queue *queue)
{
	if (stoa_likely(queue_tail(queue) <
	                atomic_load_explicit(&queue->grown_to,
	                                     memory_order_relaxed)))
		return 0;
	return queue_grow(queue);
}

/* Reserves memory for the arena's first `blocks` at least. 0, or -ENOSPC. */
int queue_grow_arena(struct stoa_queue *queue, uint64_t blocks);

/* So many indexes may have been used; not less than `grown` of it. */
uint32_t queue_used(struct stoa_queue *queue);

/* Before what may have been let in goes, unheard of. */
void queue_doubt(struct stoa_queue *queue);
/* Under the lock: puts `left` right. */
void queue_recount(struct stoa_queue *queue);
/* The queue seems to be at its limit. 0: it is not; -EAGAIN: full; -EUCLEAN,
 * -ENOMEM. */
int queue_full(struct stoa_queue *queue, uint64_t bytes);
/* Frees a cell that was let in. 0: it wasn't in `word` any more. */
int queue_free_cell(struct stoa_queue *queue, struct queue_cell *cell,
                    uint64_t word);

/* ---- What calls have in common (queue.c) -------------------------------- */

int queue_refuse(struct stoa_queue *queue, unsigned direction);

/* Every call on a handle begins so. `direction`: opened for it? */
static inline int queue_begin(struct stoa_queue *queue, unsigned direction)
{
	int result = stoa_object_enter(&queue->object);

	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(!(queue->object.flags & direction)))
		return queue_refuse(queue, direction);
	return stoa_object_healthy(&queue->object) ?
	               0 :
	               stoa_object_health(&queue->object);
}

#define QUEUE_STREAM_CALLS 16
#define QUEUE_STREAM_PLACES 16 /* cells fetched ahead of a stream of sends, */
#define QUEUE_BATCH_PLACES 24  /* and of a batch */
#define QUEUE_STREAM_CAPACITY 64 /* of fewer, the next ones may be full */

/* How often this thread found nothing to receive. initial-exec: one load, in
 * the shared library, too. */
extern _Thread_local uint32_t queue_waits
        __attribute__((tls_model("initial-exec")));

/* Whether this thread sends without end: then the next cells are fetched
 * before their turn. But one that waits for answers would delay the very
 * message that is on its way by that (by a fifth). relaxed: hints. */
static inline int queue_streams(struct stoa_queue *queue)
{
	uint32_t sends = 1 + atomic_load_explicit(&queue->sends,
	                                          memory_order_relaxed);

	if (stoa_unlikely(sends == QUEUE_STREAM_CALLS)) {
		uint32_t before = atomic_load_explicit(&queue->waits,
		                                       memory_order_relaxed);

		atomic_store_explicit(&queue->waits, queue_waits,
		                      memory_order_relaxed);
		atomic_store_explicit(&queue->streaming, queue_waits == before,
		                      memory_order_relaxed);
		sends = 0;
	}
	atomic_store_explicit(&queue->sends, sends, memory_order_relaxed);
	return (int)atomic_load_explicit(&queue->streaming,
	                                 memory_order_relaxed);
}

/* Fetches the cell so many places on, to be written. */
static inline void queue_prefetch(struct stoa_queue *queue, uint64_t position,
                                  uint32_t places)
{
	uint64_t index = (uint64_t)queue_index_of(queue, position) + places;

	if (index >= queue->capacity)
		index -= queue->capacity;
	if (stoa_unlikely(index >= queue->capacity))
		return;
	struct queue_cell *cell = queue_cell_at(queue, (uint32_t)index);
	stoa_cpu_prefetch_write(&cell->word);
	stoa_cpu_prefetch_write(queue_inline(queue, cell));
}

#define QUEUE_IDLE_CALLS 16 /* so often the clock is looked at */

/* A call with STOA_NOW found nothing. The dead must be met by somebody who
 * never sleeps, too. */
static inline void queue_idle(struct stoa_queue *queue, unsigned direction)
{
	uint32_t calls = atomic_load_explicit(&queue->idle_calls,
	                                      memory_order_relaxed);

	atomic_store_explicit(&queue->idle_calls, calls + 1,
	                      memory_order_relaxed);
	if (direction == STOA_READ)
		queue_waits++;
	if (stoa_unlikely(calls % QUEUE_IDLE_CALLS == 0))
		queue_patrol_seldom(queue);
	if (stoa_unlikely(atomic_load_explicit(&queue->object.polled,
	                                       memory_order_relaxed)))
		stoa_bell_rearm(&queue->object, direction);
}
/* relaxed: for people. Threads that share a handle share the seat. */
static inline void queue_count(_Atomic uint64_t *counter, uint64_t amount)
{
	if (__libc_single_threaded)
		atomic_store_explicit(counter,
		                      atomic_load_explicit(
		                              counter, memory_order_relaxed) +
		                              amount,
		                      memory_order_relaxed);
	else
		atomic_fetch_add_explicit(counter, amount,
		                          memory_order_relaxed);
}

static inline int64_t queue_now(void)
{
	return stoa_sys_clock_ns(CLOCK_REALTIME_COARSE);
}

/* When the message was sent (received) that just was: a queue with limits knows
 * already, or of a later one. relaxed: for people. */
static inline int64_t queue_sent_at(struct stoa_queue *queue)
{
	return stoa_unlikely(queue->limits) ?
	               atomic_load_explicit(&queue->control->last_send_ns,
	                                    memory_order_relaxed) :
	               queue_now();
}

static inline int64_t queue_received_at(struct stoa_queue *queue)
{
	return stoa_unlikely(queue->limits) ?
	               atomic_load_explicit(&queue->control->last_receive_ns,
	                                    memory_order_relaxed) :
	               queue_now();
}

/* For people: so many messages of so many bytes together were sent
 * (STOA_WRITE) or received, at `now`. */
static inline void queue_account(struct stoa_queue *queue, unsigned direction,
                                 uint64_t messages, uint64_t bytes, int64_t now)
{
	struct stoa_seat *seat = atomic_load_explicit(&queue->object.seat,
	                                              memory_order_relaxed);
	int32_t pid = atomic_load_explicit(&queue->object.pid,
	                                   memory_order_relaxed);

	if (direction == STOA_WRITE) {
		queue_count(&seat->messages_in, messages);
		queue_count(&seat->bytes_in, bytes);
		atomic_store_explicit(&seat->last_in_ns, now,
		                      memory_order_relaxed);
		atomic_store_explicit(&seat->last_in_pid, pid,
		                      memory_order_relaxed);
	} else {
		queue_count(&seat->messages_out, messages);
		queue_count(&seat->bytes_out, bytes);
		atomic_store_explicit(&seat->last_out_ns, now,
		                      memory_order_relaxed);
		atomic_store_explicit(&seat->last_out_pid, pid,
		                      memory_order_relaxed);
	}
}

void queue_wake_receivers(struct stoa_queue *queue, uint32_t asked,
                          uint64_t position, int messages);
void queue_wake_senders(struct stoa_queue *queue, int cells);

/* Messages were committed, the last of them at `position`. */
static inline void queue_tell_receivers(struct stoa_queue *queue,
                                        uint64_t position, int messages)
{
	uint32_t asked = stoa_event_asked(&queue->object, STOA_READ);

	if (stoa_unlikely(asked != 0))
		queue_wake_receivers(queue, asked, position, messages);
}

/* Cells became free. */
static inline void queue_tell_senders(struct stoa_queue *queue, int cells)
{
	if (stoa_unlikely(stoa_event_asked(&queue->object, STOA_WRITE) != 0))
		queue_wake_senders(queue, cells);
}

/* Every call that has touched the mapping ends so: a fault in it makes zeros of
 * all that was read since. */
static inline long queue_end(struct stoa_queue *queue, long result)
{
	if (stoa_likely(!atomic_load_explicit(&queue->object.poisoned,
	                                      memory_order_relaxed)))
		return result;
	return stoa_object_health(&queue->object);
}

int queue_bad_count(struct stoa_queue *queue);
int queue_stale(struct stoa_queue *queue);
/* The cell that a caller's message names, if it is in `phase` and this
 * handle's by the word that it was given; or NULL. */
struct queue_cell *queue_cell_of(struct stoa_queue *queue,
                                 const struct stoa_message *message,
                                 enum queue_phase phase);
uint64_t queue_with_phase(uint64_t word, enum queue_phase phase);
/* Where a cell's payload is, or NULL when that can't be true. */
char *queue_payload_at(struct stoa_queue *queue, struct queue_cell *cell,
                       uint32_t payload, size_t bytes);

/* ---- Messages ------------------------------------------------------------ */

int queue_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait);
int queue_check_selector(const struct stoa_queue *queue,
                         const struct stoa_selector *selector);
int queue_matches(const struct stoa_selector *selector, int64_t type);
/* Fills everything but data from a cell. */
void queue_describe(struct stoa_queue *queue, const struct queue_found *found,
                    struct stoa_message *message);
/* ---- Notification (queue_notify.c) ---------------------------------------- */

/* Tells the registrant that messages came, if they came to the empty queue; the
 * last of them at the position. */
void queue_notify_arrival(struct stoa_queue *queue, uint64_t position,
                          int messages);
/* Before a message is committed that may be told of; and when all is done. */
void queue_notify_expect(struct stoa_queue *queue);
void queue_notify_over(struct stoa_queue *queue);
/* A receiver has waited, for whose sake an arrival may have told nobody. */
void queue_notify_late(struct stoa_queue *queue);
/* If a signal to this process is on its way, waits until it was sent. Whether
 * there was one. */
int queue_await_signal(struct stoa_queue *queue);
/* Whoever has this token is dead, and may have been about to signal. */
void queue_bury_firing(struct stoa_queue *queue, uint32_t token);

/* After a message was received. seq_cst: NOTIFICATION */
static inline void queue_received(struct stoa_queue *queue)
{
	if (stoa_unlikely(stoa_event_asked(&queue->object, STOA_READ) &
	                  EVENT_NOTIFY))
		queue_await_signal(queue);
}

#endif
