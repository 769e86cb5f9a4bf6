/* SPDX-License-Identifier: MIT */
/*
 * data/queue_ring.c: the cells: claiming a place, finding the oldest message,
 * giving back what the dead held. Lock-free; see queue_layout.h.
 */
#include <data/queue_internal.h>

#define FIND_TRIES 1000

/* Every walk over shared words ends, whatever others write into them. */
static uint64_t walk_limit(const struct stoa_queue *queue)
{
	return (uint64_t)queue->capacity * 4 + 4096;
}

/* ---- Claiming ------------------------------------------------------------ */

/* All cells are full for certain: see FULL in queue_layout.h. */
static int full_at(struct stoa_queue *queue, uint64_t position, uint64_t word)
{
	uint64_t before = position - (UINT64_C(1) << queue->index_bits);

	return queue->order == STOA_FIFO &&
	       QUEUE_WORD_PHASE(word) == QUEUE_READY &&
	       queue_ahead(queue, word, position) == -1 &&
	       atomic_load_explicit(&queue->control->disorder,
	                            memory_order_seq_cst) < before;
}

/* The position that a cell's word is of: near the tail's. */
static uint64_t position_of(struct stoa_queue *queue, struct queue_cell *cell,
                            uint64_t word)
{
	uint64_t tail = queue_tail(queue);
	int32_t ahead = queue_ahead(queue, word, tail);

	return queue_position(queue,
	                      queue_lap_of(queue, tail) + (uint64_t)ahead,
	                      queue_index_at(queue, cell));
}

void queue_note_disorder(struct stoa_queue *queue, struct queue_cell *cell,
                         uint64_t word)
{
	queue_raise(&queue->control->disorder, position_of(queue, cell, word));
}

void queue_give_up(struct stoa_queue *queue, struct queue_cell *cell,
                   uint64_t word)
{
	/* Before the cell is free: a sender that finds all full must not trust
	 * in order. */
	queue_note_disorder(queue, cell, word);
	queue_exchange(cell, word, queue_freed(queue, word));
}

enum claim { CLAIM_GOOD, CLAIM_LOST, CLAIM_VOID };

static enum claim try_claim(struct stoa_queue *queue, uint64_t position,
                            uint64_t word, enum queue_phase phase, int skipped,
                            struct queue_found *ret_claim)
{
	uint32_t index = queue_index_of(queue, position);
	struct queue_cell *cell = queue_cell_at(queue, index);
	uint64_t claim = QUEUE_WORD(queue_lap_of(queue, position), phase,
	                            stoa_object_token(&queue->object));

	if (skipped || queue_begins_era(queue, position)) {
		/* disorder first: who dies in between has skipped nothing */
		queue_raise(&queue->control->disorder, position);
		if (!STOA_BUG(9))
			queue_raise(&queue->control->void_mark, position);
	}
	/* After the word was loaded: see ERAS. */
	if (atomic_load_explicit(&queue->control->void_mark,
	                         memory_order_seq_cst) > position)
		return CLAIM_VOID;
	if (!queue_exchange(cell, word, claim))
		return CLAIM_LOST;
	/* seq_cst: QUEUE_VOID */
	if (stoa_unlikely(atomic_load_explicit(&queue->control->void_mark,
	                                       memory_order_seq_cst) >
	                  position)) {
		queue_give_up(queue, cell, claim);
		return CLAIM_VOID;
	}
	*ret_claim = (struct queue_found){ position, claim, cell, 0 };
	return CLAIM_GOOD;
}

/* From a cell that is ahead of a lagging walk to where it was claimed last:
 * everything before that is claimed or void. */
static uint64_t catch_up(struct stoa_queue *queue, uint64_t position,
                         int32_t ahead, int is_free)
{
	uint64_t lap = queue_lap_of(queue, position) + (uint64_t)ahead;

	return queue_position(queue, is_free ? lap - 1 : lap,
	                      queue_index_of(queue, position));
}

int queue_claim_slowly(struct stoa_queue *queue, enum queue_phase phase,
                       struct queue_found *ret_claim)
{
	uint64_t position = queue_tail(queue);
	uint64_t limit = walk_limit(queue);
	uint32_t busy = 0;
	int skipped = 0;

	for (uint64_t i = 0; i < limit; i++) {
		struct queue_cell *cell =
		        queue_cell_at(queue, queue_index_of(queue, position));
		/* seq_cst: EVENT_DEKKER, as for who waits for room */
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_seq_cst);
		int32_t ahead = queue_ahead(queue, word, position);
		int is_free = QUEUE_WORD_PHASE(word) == QUEUE_FREE;

		busy = is_free ? 0 : busy + 1;
		if (is_free && ahead <= 0) {
			enum claim claim = try_claim(queue, position, word,
			                             phase, skipped, ret_claim);

			if (claim == CLAIM_GOOD)
				return 0;
			if (claim == CLAIM_VOID)
				position = queue_tail(queue);
			/* Lost: what was skipped lies before the mark now, and
			 * raising it again would void the winner's claim. */
			skipped = 0;
			continue;
		}
		if (ahead > 0) {
			position = catch_up(queue, position, ahead, is_free);
		} else if (ahead < 0) {
			if (!skipped && full_at(queue, position, word))
				return -EAGAIN;
			if (QUEUE_WORD_PHASE(word) != QUEUE_READY) {
				queue_patrol_seldom(queue);
				atomic_store_explicit(
				        &queue->met_holders, 1,
				        memory_order_relaxed);
			}
			skipped = 1;
		}
		if (busy >= queue->capacity)
			return -EAGAIN;
		position = queue_next(queue, position);
	}
	return -EAGAIN;
}

int queue_has_room(struct stoa_queue *queue)
{
	uint64_t position = queue_tail(queue);

	for (uint32_t i = 0; i < queue->capacity; i++) {
		/* seq_cst: EVENT_DEKKER */
		uint64_t word = atomic_load_explicit(
		        &queue_cell_at(queue, queue_index_of(queue, position))->word,
		        memory_order_seq_cst);

		if (QUEUE_WORD_PHASE(word) == QUEUE_FREE)
			return 1;
		if (full_at(queue, position, word))
			return 0;
		position = queue_next(queue, position);
	}
	return 0;
}

/* ---- Finding ------------------------------------------------------------- */

enum queue_place queue_look(struct stoa_queue *queue, uint64_t position,
                            uint64_t *ret_word)
{
	struct queue_cell *cell = queue_cell_at(queue, queue_index_of(queue, position));
	uint64_t word = atomic_load_explicit(&cell->word, memory_order_acquire);
	const uint64_t ready =
	        QUEUE_WORD(queue_lap_of(queue, position), QUEUE_READY, 0);

	*ret_word = word;
	if (stoa_likely(word == ready))
		return PLACE_MESSAGE;
	/* seq_cst, in this order: QUEUE_VOID */
	uint64_t mark = atomic_load_explicit(&queue->control->void_mark,
	                                     memory_order_seq_cst);
	word = atomic_load_explicit(&cell->word, memory_order_seq_cst);
	*ret_word = word;
	int32_t ahead = queue_ahead(queue, word, position);
	enum queue_phase phase = QUEUE_WORD_PHASE(word);

	if (ahead > 0)
		return PLACE_PASSED;
	if (ahead < 0 || phase == QUEUE_FREE)
		return mark > position ? PLACE_PASSED : PLACE_END;
	if (phase == QUEUE_READY)
		return PLACE_MESSAGE;
	if (phase == QUEUE_WRITING || phase == QUEUE_RESERVED)
		return PLACE_BUSY;
	return PLACE_PASSED;
}

/*
 * The second look of LOOKING AHEAD: a message committed meanwhile between
 * `from` and the one found is older, and is found instead. As it in turn may
 * be younger than one committed behind this look, the look starts again.
 */
static void look_again(struct stoa_queue *queue, uint64_t from,
                       struct queue_found *found)
{
	uint64_t position = from;

	while (position < found->position) {
		uint64_t word;

		if (queue_look(queue, position, &word) == PLACE_MESSAGE) {
			found->position = position;
			found->word = word;
			found->cell =
			        queue_cell_at(queue, queue_index_of(queue, position));
			position = from;
			continue;
		}
		position = queue_next(queue, position);
	}
}

/* The least position of a READY cell; of WRITING and RESERVED ones, too, if
 * `busy`. 1 found, 0 none. */
static int least_cell(struct stoa_queue *queue, int busy,
                      struct queue_found *ret_found)
{
	int found = 0;

	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		struct queue_cell *cell = queue_cell_at(queue, i);
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_seq_cst);
		enum queue_phase phase = QUEUE_WORD_PHASE(word);

		if (phase != QUEUE_READY &&
		    !(busy &&
		      (phase == QUEUE_WRITING || phase == QUEUE_RESERVED)))
			continue;
		uint64_t position = position_of(queue, cell, word);
		if (found && position >= ret_found->position)
			continue;
		*ret_found = (struct queue_found){ position, word, cell, 1 };
		found = 1;
	}
	return found;
}

/* When a place has been written for more than a lap, there are fewer cells to
 * look at than positions. The second look is another pass. */
static int find_by_cells(struct stoa_queue *queue,
                         struct queue_found *ret_found)
{
	struct queue_found again;

	if (!least_cell(queue, 0, ret_found))
		return -EAGAIN;
	while (least_cell(queue, 0, &again) &&
	       again.position < ret_found->position)
		*ret_found = again;
	return 0;
}

/* A head hint that lags by more than all cells. */
static uint64_t least_position(struct stoa_queue *queue)
{
	uint64_t tail = queue_tail(queue);
	struct queue_found found;

	return least_cell(queue, 1, &found) && found.position < tail ?
	               found.position :
	               tail;
}

/* What a walk from the head came to. */
struct walk {
	uint64_t position;
	uint64_t word;
	uint64_t busy_from; /* 0: nothing is being written before it */
	uint64_t busy;      /* sum over the words of what is */
	int writing;        /* one of them is WRITING */
};

static enum queue_place walk_from_head(struct stoa_queue *queue,
                                       struct walk *walk)
{
	uint64_t limit = (uint64_t)queue->capacity + 1;
	int jumped = 0;

	*walk = (struct walk){ .position = queue_head(queue) };
	for (uint64_t i = 0; i < limit; i++) {
		enum queue_place place =
		        queue_look(queue, walk->position, &walk->word);

		if (place == PLACE_MESSAGE || place == PLACE_END)
			return place;
		if (place == PLACE_BUSY) {
			walk->writing |= QUEUE_WORD_PHASE(walk->word) ==
			                 QUEUE_WRITING;
			walk->busy += walk->word * (i + 1);
			if (walk->busy_from == 0)
				walk->busy_from = walk->position;
		} else if (walk->busy_from == 0) {
			queue_advance_head(queue,
			                   queue_next(queue, walk->position));
		}
		walk->position = queue_next(queue, walk->position);
		if (i + 1 == limit && walk->busy_from == 0 && !jumped) {
			jumped = 1;
			limit *= 2;
			walk->position = least_position(queue);
			queue_advance_head(queue, walk->position);
		}
	}
	return PLACE_BUSY;
}

/* The oldest message by position, but for those that came back. */
static int find_in_order(struct stoa_queue *queue,
                         struct queue_found *ret_found, int *ret_soon)
{
	struct walk walk;
	uint64_t busy = 0;

	for (int tries = 0; tries < FIND_TRIES; tries++) {
		enum queue_place place = walk_from_head(queue, &walk);

		*ret_soon = walk.writing;
		if (walk.busy_from != 0)
			queue_patrol_seldom(queue);
		if (place == PLACE_BUSY)
			return find_by_cells(queue, ret_found);
		if (place == PLACE_MESSAGE) {
			*ret_found = (struct queue_found){
				walk.position, walk.word,
				queue_cell_at(queue, queue_index_of(queue, walk.position)),
				walk.busy_from != 0
			};
			if (walk.busy_from != 0)
				look_again(queue, walk.busy_from, ret_found);
			return 0;
		}
		/* The end. If one that was being written was committed, and
		 * a later one received meanwhile, it was never empty. */
		if (walk.busy == busy)
			return -EAGAIN;
		busy = walk.busy;
	}
	return -EAGAIN;
}

int queue_find_slowly(struct stoa_queue *queue, struct queue_found *ret_found,
                      int *ret_soon)
{
	struct queue_found returned;
	int result = -EAGAIN;

	for (int tries = 0; tries < FIND_TRIES; tries++) {
		result = find_in_order(queue, ret_found, ret_soon);
		/* After the walk: whoever sends after a return is found after
		 * it. */
		if (stoa_likely(!queue_scan_asked(queue)) ||
		    (STOA_BUG(15) && result == 0))
			return result;
		if (queue_find_returned(queue, &returned)) {
			if (result < 0 ||
			    returned.position < ret_found->position)
				*ret_found = returned;
			return 0;
		}
		/* What had come back went to another since the walk, and one
		 * may have been sent before it went: walk again. */
		if (result == 0)
			return 0;
	}
	return result;
}

/* ---- What came back ------------------------------------------------------ */

/*
 * Looks at all cells, as returning is rare. The hint goes back to 0 only if it
 * is what it was before the scan, and the scan found nothing: whoever returns
 * a message raises it between RETURNING and RETURNED, and the scan finishes
 * what it finds in RETURNING.
 */
static int oldest_returned(struct stoa_queue *queue,
                           struct queue_found *ret_found)
{
	int found = 0;

	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		struct queue_cell *cell = queue_cell_at(queue, i);
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_seq_cst);

		if (QUEUE_WORD_PHASE(word) == QUEUE_RETURNING) {
			queue_finish_return(queue, cell, word);
			word = atomic_load_explicit(&cell->word,
			                            memory_order_seq_cst);
		}
		if (QUEUE_WORD_PHASE(word) != QUEUE_RETURNED)
			continue;
		uint64_t position = position_of(queue, cell, word);
		if (found && position >= ret_found->position)
			continue;
		*ret_found = (struct queue_found){ position, word, cell, 0 };
		found = 1;
	}
	return found;
}

/* Once more as long as it changes: an older one may have come back behind the
 * pass, before a younger one did in front of it. */
int queue_find_returned(struct stoa_queue *queue, struct queue_found *ret_found)
{
	uint64_t seen = atomic_load_explicit(&queue->control->returned,
	                                     memory_order_seq_cst);
	struct queue_found again;

	if (!oldest_returned(queue, ret_found)) {
		queue_scan_done(queue, seen);
		return 0;
	}
	while (oldest_returned(queue, &again) &&
	       again.position < ret_found->position)
		*ret_found = again;
	return 1;
}

void queue_ask_scan(struct stoa_queue *queue)
{
	uint64_t seen = atomic_load_explicit(&queue->control->returned,
	                                     memory_order_seq_cst);

	while (!atomic_compare_exchange_weak_explicit(
	        &queue->control->returned, &seen,
	        (seen + 2) | QUEUE_SCAN_ASKED, memory_order_seq_cst,
	        memory_order_seq_cst))
		;
}

void queue_scan_done(struct stoa_queue *queue, uint64_t seen)
{
	atomic_compare_exchange_strong_explicit(
	        &queue->control->returned, &seen,
	        seen & ~(uint64_t)QUEUE_SCAN_ASKED, memory_order_seq_cst,
	        memory_order_relaxed);
}

uint64_t queue_freed(struct stoa_queue *queue, uint64_t word)
{
	/* A line that is seldom written, unlike the tail's. */
	uint64_t mark = atomic_load_explicit(&queue->control->void_mark,
	                                     memory_order_relaxed);

	/* Held for so long that it would soon look like one ahead: ERAS. */
	if (stoa_unlikely(queue_ahead(queue, word, mark) <
	                  -(int32_t)QUEUE_ERA_LAPS))
		return QUEUE_WORD(queue_lap_of(queue, mark), QUEUE_FREE, 0);
	return QUEUE_WORD(QUEUE_WORD_LAP(word) + 1, QUEUE_FREE, 0);
}

void queue_finish_return(struct stoa_queue *queue, struct queue_cell *cell,
                         uint64_t word)
{
	uint32_t deliveries = cell_get(cell, deliveries);

	if (!STOA_BUG(6))
		deliveries++;
	if (!STOA_BUG(7))
		queue_ask_scan(queue);
	/* A poller that looks from here on finishes this itself: bell.c. */
	if (stoa_event_asked(&queue->object, STOA_READ) & EVENT_BELL)
		stoa_bell_ring(&queue->object, STOA_READ);
	if (queue_exchange(cell, word,
	                   QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_RETURNED,
	                              deliveries & QUEUE_TOKEN_MASK)))
		atomic_fetch_add_explicit(&queue->control->returned_total, 1,
		                          memory_order_relaxed);
}

/* ---- Burial -------------------------------------------------------------- */

static void bury_taken(struct stoa_queue *queue, struct queue_cell *cell,
                       uint64_t word)
{
	uint64_t returning = QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_RETURNING,
	                                QUEUE_WORD_TOKEN(word));

	if (STOA_BUG(5)) {
		queue_exchange(cell, word, queue_freed(queue, word));
		return;
	}
	if (queue_exchange(cell, word, returning))
		queue_finish_return(queue, cell, returning);
}

/* It may have been let in, or not. */
static void bury_claim(struct stoa_queue *queue, struct queue_cell *cell,
                       uint64_t word)
{
	if (queue->limits && !STOA_BUG(43))
		queue_doubt(queue);
	if (!STOA_BUG(4))
		queue_give_up(queue, cell, word);
}

/* It may have died signalling, or in a wait that others counted on; and what it
 * had taken is there again, which is an arrival. */
static void bury_notification(struct stoa_queue *queue, uint32_t token,
                              int came_back)
{
	struct stoa_seat *seat = stoa_object_seat(&queue->object,
	                                          SEAT_INDEX(token));

	if (!(stoa_event_asked(&queue->object, STOA_READ) & EVENT_NOTIFY))
		return;
	queue_bury_firing(queue, token);
	if (came_back ||
	    (seat && atomic_load_explicit(&seat->readers_waiting,
	                                  memory_order_relaxed) != 0))
		queue_notify_late(queue);
}

int queue_bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_queue *queue = (struct stoa_queue *)object;
	uint32_t registered = token;
	int came_back = 0;

	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		struct queue_cell *cell = queue_cell_at(queue, i);
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_acquire);

		if (QUEUE_WORD_TOKEN(word) != token)
			continue;
		switch (QUEUE_WORD_PHASE(word)) {
		case QUEUE_RESERVED:
		case QUEUE_WRITING:
			bury_claim(queue, cell, word);
			break;
		case QUEUE_TAKEN:
			bury_taken(queue, cell, word);
			came_back = 1;
			break;
		case QUEUE_RETURNING:
			queue_finish_return(queue, cell, word);
			came_back = 1;
			break;
		default:
			break;
		}
	}
	/* acq_rel: nothing else of the registration is touched */
	atomic_compare_exchange_strong_explicit(&queue->control->notify_token,
	                                        &registered, 0,
	                                        memory_order_acq_rel,
	                                        memory_order_relaxed);
	bury_notification(queue, token, came_back);
	return 0;
}

int queue_bury_holders(struct stoa_queue *queue)
{
	int buried = 0;

	if (!atomic_exchange_explicit(&queue->met_holders, 0,
	                              memory_order_relaxed))
		return 0;
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		uint64_t word = atomic_load_explicit(
		        &queue_cell_at(queue, i)->word, memory_order_acquire);
		uint32_t token = QUEUE_WORD_TOKEN(word);

		switch (QUEUE_WORD_PHASE(word)) {
		case QUEUE_RESERVED:
		case QUEUE_WRITING:
		case QUEUE_TAKEN:
		case QUEUE_RETURNING:
			if (token != stoa_object_token(&queue->object) &&
			    !stoa_object_alive_or_bury(&queue->object, token))
				buried = 1;
			break;
		default:
			break;
		}
	}
	return buried;
}
