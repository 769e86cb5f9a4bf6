/* SPDX-License-Identifier: MIT */
/*
 * data/queue_select.c: receiving by priority or type: receivers take turns by
 * the selection lock and keep an index over the cells. See ORDERED in
 * queue_layout.h.
 */
#include <base/deadline.h>
#include <data/queue_internal.h>

#include <stdlib.h>

#define SPINS 1000
/* A call with STOA_NOW waits for its turn so long at most; turns last less
 * than a microsecond, unless their holder is preempted or stopped. */
#define TURN_NS INT64_C(10000000)

/* relaxed: changed under the selection lock only. */
#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), value, memory_order_relaxed)

enum { NOT_LISTED, LISTED, PENDING };
/* Values of dirty: being changed; and not to be trusted after the unlock. */
enum { INDEX_CHANGING = 1, INDEX_BROKEN = 2 };

uint64_t queue_key(const struct stoa_queue *queue, int64_t type,
                   uint32_t priority)
{
	if (queue->order == STOA_PRIORITY)
		return STOA_QUEUE_PRIORITIES - 1 -
		       (priority & (STOA_QUEUE_PRIORITIES - 1));
	return (uint64_t)type;
}

static int insert_cell(struct stoa_queue *queue, uint32_t cell,
                       uint64_t position)
{
	struct queue_cell *message = queue_cell_at(queue, cell);

	return queue_index_insert(queue, cell, position,
	                          queue_key(queue, cell_get(message, type),
	                                    cell_get(message, priority)));
}

/* ---- Pending: cells met while they were being written ---------------------- */

static void add_pending(struct stoa_queue *queue, uint32_t cell,
                        uint64_t position)
{
	struct queue_entry *entry = &queue->entries[cell];

	entry->position = position;
	entry->next = get(queue->control->pending);
	entry->listed = PENDING;
	set(queue->control->pending, cell + 1);
}

/* Goes through the pending list; keeps those that are still being written,
 * but not `unwanted` (a cell, or capacity for none). 1: some were
 * messages now, and were inserted. */
static int sift_pending(struct stoa_queue *queue, uint32_t unwanted)
{
	uint32_t number = get(queue->control->pending);
	int inserted = 0;

	set(queue->control->pending, 0);
	for (uint32_t i = 0; number != 0; i++) {
		uint32_t cell = number - 1;
		uint64_t word;
		int result = 0;

		if (cell >= queue->capacity || i > queue->capacity)
			return -EUCLEAN;
		struct queue_entry *entry = &queue->entries[cell];
		uint64_t position = queue_position(
		        queue, queue_lap_of(queue, entry->position), cell);
		number = entry->next;
		entry->listed = NOT_LISTED;
		if (cell == unwanted)
			continue;
		switch (queue_look(queue, position, &word)) {
		case PLACE_BUSY:
			add_pending(queue, cell, position);
			break;
		case PLACE_MESSAGE:
			result = insert_cell(queue, cell, position);
			inserted = 1;
			break;
		default:
			break;
		}
		if (result < 0)
			return result;
	}
	return inserted;
}

/* Forgets what the index says of a cell, but for `position`. 1: it says that
 * already. */
static int unlist(struct stoa_queue *queue, uint32_t cell, uint64_t position)
{
	struct queue_entry *entry = &queue->entries[cell];

	if (entry->listed == NOT_LISTED)
		return 0;
	if (entry->position == position)
		return 1;
	if (entry->listed == LISTED)
		return queue_index_remove(queue, cell);
	int result = sift_pending(queue, cell);
	return result < 0 ? result : 0;
}

/* ---- Bringing the index up to date ------------------------------------------ */

static int ingest_returned(struct stoa_queue *queue)
{
	uint64_t hint = atomic_load_explicit(&queue->control->returned,
	                                     memory_order_seq_cst);

	if (stoa_likely(!(hint & QUEUE_SCAN_ASKED)))
		return 0;
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
		uint64_t position = queue_position(
		        queue, queue_near(queue, cell_get(cell, lap)), i);
		int result = unlist(queue, i, position);
		if (result == 0)
			result = insert_cell(queue, i, position);
		if (result < 0)
			return result;
	}
	queue_scan_done(queue, hint);
	return 0;
}

/* ---- Rebuilding --------------------------------------------------------------- */

static int by_position(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* The positions of all messages, sorted; and those being written are made
 * pending. */
static uint32_t collect(struct stoa_queue *queue, uint64_t tail,
                        uint64_t *positions)
{
	uint32_t count = 0;

	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		struct queue_cell *cell = queue_cell_at(queue, i);
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_seq_cst);
		uint64_t lap = queue_lap_of(queue, tail) +
		               (uint64_t)queue_ahead(queue, word, tail);

		if (STOA_BUG(12) && QUEUE_WORD_PHASE(word) == QUEUE_RETURNED)
			continue;
		switch (QUEUE_WORD_PHASE(word)) {
		case QUEUE_READY:
		case QUEUE_RETURNED:
			positions[count++] = queue_position(queue, lap, i);
			break;
		case QUEUE_RESERVED:
		case QUEUE_WRITING:
			add_pending(queue, i, queue_position(queue, lap, i));
			break;
		default:
			break;
		}
	}
	qsort(positions, count, sizeof *positions, by_position);
	return count;
}

/*
 * From the cells alone. Whatever is claimed after the tail was read has a
 * position from it on, so ingesting goes on from there.
 */
static int rebuild(struct stoa_queue *queue)
{
	uint64_t *positions = malloc(queue->capacity * sizeof *positions);
	int result = 0;

	if (!positions)
		return -ENOMEM;
	if (queue->limits && !STOA_BUG(45))
		queue_recount(queue);
	uint64_t tail = queue_tail(queue);
	queue_index_clear(queue);
	uint32_t count = collect(queue, tail, positions);
	for (uint32_t i = 0; i < count && result == 0; i++)
		result = insert_cell(queue, queue_index_of(queue, positions[i]),
		                     positions[i]);
	set(queue->control->ingested, tail);
	free(positions);
	return result;
}

/* ---- New ones --------------------------------------------------------------- */

static int ingest_place(struct stoa_queue *queue, uint64_t position,
                        enum queue_place place)
{
	uint32_t cell = queue_index_of(queue, position);
	int result = unlist(queue, cell, position);

	if (result != 0)
		return result < 0 ? result : 0;
	if (place == PLACE_MESSAGE)
		return insert_cell(queue, cell, position);
	add_pending(queue, cell, position);
	return 0;
}

static int ingest_new(struct stoa_queue *queue)
{
	uint64_t position = queue_sane(queue, get(queue->control->ingested));
	uint64_t tail = queue_tail(queue);

	/* Purged from under the index for laps: the cells are quicker. */
	if (stoa_unlikely(position < tail && tail - position >
	                          UINT64_C(2) << queue->index_bits))
		return rebuild(queue);
	for (uint64_t i = 0; i < 4 * (uint64_t)queue->capacity + 4096; i++) {
		uint64_t word;
		enum queue_place place = queue_look(queue, position, &word);
		int result = 0;

		if (place == PLACE_END)
			break;
		if (place == PLACE_MESSAGE || place == PLACE_BUSY)
			result = ingest_place(queue, position, place);
		if (result < 0)
			return result;
		position = queue_next(queue, position);
		set(queue->control->ingested, position);
	}
	return 0;
}

/*
 * The pending ones last, and again until none of them has become a message:
 * that is the second look of LOOKING AHEAD. Without it one that was committed
 * after it had been passed would be overtaken by its own sender's next.
 */
static int bring_up_to_date(struct stoa_queue *queue)
{
	int result = ingest_returned(queue);

	if (result == 0)
		result = ingest_new(queue);
	while (result == 0 && get(queue->control->pending) != 0) {
		result = sift_pending(queue, queue->capacity);
		if (result == 0)
			return 0;
		result = result < 0 ? result : 0;
	}
	return result;
}

/* ---- The lock -------------------------------------------------------------------- */

static int holder_alive(void *context, uint32_t token)
{
	return stoa_object_alive(context, token);
}

/* The usual try has failed. */
static int wait_for_turn(struct stoa_queue *queue, struct stoa_deadline deadline)
{
	struct stoa_object *object = &queue->object;
	struct stoa_lock_owner owner = {
		.token = stoa_object_token(object),
		.spins = get(object->processors) > 1 ? SPINS : 0,
		.alive = holder_alive,
		.context = object
	};
	int now = deadline.kind == STOA_DEADLINE_NOW;

	if (now)
		deadline = stoa_deadline_in(TURN_NS);
	int result = stoa_lock_acquire(&queue->control->selection, &owner,
	                               deadline);
	return result < 0 && now ? -EAGAIN : result;
}

/* Its last holder died while changing the index. */
static int rebuild_or_leave(struct stoa_queue *queue)
{
	int result = rebuild(queue);

	if (result == 0)
		return 0;
	stoa_lock_release(&queue->control->selection,
	                  stoa_object_token(&queue->object));
	return result == -EUCLEAN ?
	               stoa_object_damaged(&queue->object,
	                                   "its index can't be rebuilt") :
	               result;
}

int queue_selection_lock(struct stoa_queue *queue,
                         struct stoa_deadline deadline)
{
	int result = 0;

	if (stoa_unlikely(!stoa_lock_try(&queue->control->selection,
	                                 stoa_object_token(&queue->object))))
		result = wait_for_turn(queue, deadline);
	if (stoa_unlikely(result < 0))
		return result;
	set(queue->control->turns, get(queue->control->turns) + 1);
	if (stoa_unlikely(get(queue->control->dirty) != 0) && !STOA_BUG(11)) {
		result = rebuild_or_leave(queue);
		if (result < 0)
			return result;
	}
	set(queue->control->dirty, INDEX_CHANGING);
	atomic_signal_fence(memory_order_seq_cst); /* before any change */
	return 0;
}

void queue_selection_unlock(struct stoa_queue *queue)
{
	atomic_signal_fence(memory_order_seq_cst); /* after every change */
	if (get(queue->control->dirty) != INDEX_BROKEN)
		set(queue->control->dirty, 0);
	stoa_lock_release(&queue->control->selection,
	                  stoa_object_token(&queue->object));
}

/* ---- Selecting -------------------------------------------------------------------- */

static enum stoa_selection selection_of(const struct stoa_selector *selector)
{
	return selector ? selector->selection : STOA_ANY;
}

/* As queue_look(); PLACE_END, too, if what is being written there is the last:
 * see QUEUE_LEVEL. */
static enum queue_place look_for_end(struct stoa_queue *queue,
                                     uint64_t position)
{
	uint64_t word;
	enum queue_place place = queue_look(queue, position, &word);

	if (place == PLACE_BUSY &&
	    (STOA_BUG(161) || queue_look(queue, queue_next(queue, position),
	                                 &word) == PLACE_END))
		return PLACE_END;
	return place;
}

int queue_select_vain(struct stoa_queue *queue,
                      const struct stoa_selector *selector)
{
	if (stoa_likely(queue->vain.turn == 0) || !__libc_single_threaded)
		return 0;
	/* In this order: QUEUE_TURNS. acquire: turns isn't loaded before. */
	if (queue->vain.selection == selection_of(selector) &&
	    (!selector || queue->vain.type == selector->type) &&
	    look_for_end(queue, queue->vain.ingested) == PLACE_END &&
	    !queue_scan_asked(queue) &&
	    atomic_load_explicit(&queue->control->turns,
	                         memory_order_acquire) == queue->vain.turn)
		return 1;
	/* Nor look there again: it's a line that senders write. */
	queue->vain.turn = 0;
	return 0;
}

void queue_note_vain(struct stoa_queue *queue,
                     const struct stoa_selector *selector)
{
	if (!__libc_single_threaded)
		return;
	queue->vain.turn = get(queue->control->pending) == 0 ?
	                           get(queue->control->turns) :
	                           0;
	queue->vain.ingested = queue_sane(queue, get(queue->control->ingested));
	queue->vain.selection = selection_of(selector);
	queue->vain.type = selector ? selector->type : 0;
}

/* Messages are told apart by their keys before their ages. */
static int key_first(const struct stoa_queue *queue,
                     const struct stoa_selector *selector)
{
	return queue->order == STOA_PRIORITY ||
	       selection_of(selector) == STOA_LOWEST;
}

/* ---- Level: see LEVEL in queue_layout.h -------------------------------------- */

#define LEVEL_AHEAD 16u /* so many cells are fetched at once, at most */

static void fetch(struct stoa_queue *queue, uint64_t position)
{
	struct queue_cell *cell =
	        queue_cell_at(queue, queue_index_of(queue, position));

	stoa_cpu_prefetch_write(&cell->word);
	stoa_cpu_prefetch(queue_inline(queue, cell));
}

/* Fetches what will be received next, if it is there: a few at once, and seldom,
 * as the last look is at a line that a sender is about to write. */
static void look_ahead(struct stoa_queue *queue, uint64_t position)
{
	uint64_t word;

	if (position < queue->look_at && position < queue->seen)
		return;
	queue_raise_high_water(queue, position);
	if (queue->seen <= position || queue->seen > position + queue->capacity)
		queue->seen = queue_next(queue, position);
	queue->look_at = 0;
	for (uint32_t i = 0; i < LEVEL_AHEAD && queue->look_at == 0; i++) {
		word = atomic_load_explicit(
		        &queue_cell_at(queue,
		                       queue_index_of(queue, queue->seen))
		                 ->word,
		        memory_order_relaxed);
		if (word != QUEUE_WORD(queue_lap_of(queue, queue->seen),
		                       QUEUE_READY, 0)) {
			queue->look_at = queue->seen;
			return;
		}
		fetch(queue, queue->seen);
		queue->seen = queue_next(queue, queue->seen);
	}
	queue->look_at = position + LEVEL_AHEAD / 2;
}

/* Whether nothing with a lesser key than the message's at `position` has come
 * since: raises level to where that is seen. */
static int is_level(struct stoa_queue *queue, uint64_t position, uint64_t key)
{
	uint64_t level = queue_sane(queue, get(queue->control->level));
	uint64_t from = level;

	if (level <= position)
		level = from = queue_next(queue, position);
	for (uint32_t i = 0; i <= queue->capacity; i++) {
		enum queue_place place = look_for_end(queue, level);
		const struct queue_cell *cell = queue_cell_at(
		        queue, queue_index_of(queue, level));

		if (place == PLACE_END || STOA_BUG(160)) {
			if (level != from)
				set(queue->control->level, level);
			return 1;
		}
		if (place == PLACE_BUSY ||
		    (place == PLACE_MESSAGE &&
		     queue_key(queue, cell_get(cell, type),
		               cell_get(cell, priority)) != key))
			return 0;
		if (i < LEVEL_AHEAD)
			fetch(queue, level);
		level = queue_next(queue, level);
	}
	return 0;
}

/* The picked cell's message, if it still is what the index says. */
static int confirm(struct stoa_queue *queue, uint32_t cell,
                   struct queue_found *ret_found)
{
	struct queue_entry *entry = &queue->entries[cell];
	uint64_t position = queue_position(
	        queue, queue_lap_of(queue, entry->position), cell);
	uint64_t word = atomic_load_explicit(&queue_cell_at(queue, cell)->word,
	                                     memory_order_acquire);
	enum queue_phase phase = QUEUE_WORD_PHASE(word);

	if (queue_ahead(queue, word, position) != 0 ||
	    (phase != QUEUE_READY && phase != QUEUE_RETURNED))
		return 0;
	*ret_found = (struct queue_found){ position, word, queue_cell_at(queue, cell),
		                           0 };
	return 1;
}

enum unlisted { UNLISTED_FOUND, UNLISTED_NOTHING, UNLISTED_UNSURE };

/* Of what isn't listed: the oldest, or what is in the index (`listed`; NULL:
 * nothing that matches). */
static enum unlisted weigh_oldest(struct stoa_queue *queue,
                                  const struct stoa_selector *selector,
                                  const struct queue_entry *listed,
                                  struct queue_found *ret_found)
{
	uint64_t position = queue_sane(queue, get(queue->control->ingested));
	struct queue_cell *cell =
	        queue_cell_at(queue, queue_index_of(queue, position));
	enum queue_place place = look_for_end(queue, position);

	if (place == PLACE_END)
		return UNLISTED_NOTHING;
	if (place != PLACE_MESSAGE ||
	    !queue_matches(selector, cell_get(cell, type)))
		return UNLISTED_UNSURE;
	fetch(queue, position);
	if (key_first(queue, selector)) {
		uint64_t key = queue_key(queue, cell_get(cell, type),
		                         cell_get(cell, priority));

		if (!is_level(queue, position, key))
			return UNLISTED_UNSURE;
		if (listed && listed->key <= key)
			return UNLISTED_NOTHING;
		if (position + get(queue->control->high_water) <
		    get(queue->control->level))
			queue_raise_high_water(queue, position);
	} else {
		look_ahead(queue, position);
	}
	*ret_found = (struct queue_found){
		position,
		QUEUE_WORD(queue_lap_of(queue, position), QUEUE_READY, 0),
		cell, 0
	};
	return UNLISTED_FOUND;
}

/* What is meant, without listing what has come: see LEVEL. */
static enum unlisted select_unlisted(struct stoa_queue *queue,
                                     const struct stoa_selector *selector,
                                     struct queue_found *ret_found)
{
	enum unlisted result = UNLISTED_NOTHING;
	uint32_t picked = 0;
	int listed = 0;

	if (get(queue->control->pending) != 0)
		return UNLISTED_UNSURE;
	if (get(queue->control->root) != 0) {
		int pick = queue_index_pick(queue, selector, &picked);

		if (pick < 0 && pick != -EAGAIN)
			return UNLISTED_UNSURE;
		listed = pick == 0;
	}
	if (!listed || key_first(queue, selector))
		result = weigh_oldest(queue, selector,
		                      listed ? &queue->entries[picked] : NULL,
		                      ret_found);
	if (result == UNLISTED_NOTHING && listed)
		result = confirm(queue, picked, ret_found) ? UNLISTED_FOUND :
		                                             UNLISTED_UNSURE;
	/* After the looks: whoever sends after a return is found after it. */
	return queue_scan_asked(queue) ? UNLISTED_UNSURE : result;
}

/* The picked cell has no message: it goes from the index; to be looked at
 * again, if one is being written there. */
static int drop_picked(struct stoa_queue *queue, uint32_t cell)
{
	struct queue_entry *entry = &queue->entries[cell];
	uint64_t position = queue_position(
	        queue, queue_lap_of(queue, entry->position), cell);
	uint64_t word;

	if (entry->listed != LISTED)
		return -EUCLEAN;
	int result = queue_index_remove(queue, cell);
	if (result == 0 && queue_look(queue, position, &word) == PLACE_BUSY)
		add_pending(queue, cell, position);
	return result;
}

static int pick_confirmed(struct stoa_queue *queue,
                          const struct stoa_selector *selector,
                          struct queue_found *ret_found)
{
	for (uint64_t i = 0; i <= 2 * (uint64_t)queue->capacity; i++) {
		uint32_t cell;
		int result = queue_index_pick(queue, selector, &cell);

		if (result < 0)
			return result;
		if (confirm(queue, cell, ret_found))
			return 0;
		result = drop_picked(queue, cell);
		if (result < 0)
			return result;
	}
	return -EUCLEAN;
}

/* For people. */
static void raise_high_water(struct stoa_queue *queue, uint64_t messages)
{
	if (get(queue->control->high_water) < messages)
		set(queue->control->high_water, messages);
}

/* Whether one is on the point of being committed (RESERVED may take long). */
int queue_select_soon(struct stoa_queue *queue)
{
	uint32_t number = get(queue->control->pending);

	for (uint32_t i = 0; number != 0 && number <= queue->capacity &&
	                     i <= queue->capacity;
	     i++) {
		uint64_t word = atomic_load_explicit(
		        &queue_cell_at(queue, number - 1)->word, memory_order_acquire);

		if (QUEUE_WORD_PHASE(word) == QUEUE_WRITING)
			return 1;
		number = queue->entries[number - 1].next;
	}
	return 0;
}

/* Brings the index up to date; then picks, if ret_found isn't NULL. */
static int list_and_pick(struct stoa_queue *queue,
                         const struct stoa_selector *selector,
                         struct queue_found *ret_found)
{
	int result;

	for (int tries = 0; tries < 2; tries++) {
		result = bring_up_to_date(queue);
		raise_high_water(queue, get(queue->control->listed));
		if (result == 0 && ret_found)
			result = pick_confirmed(queue, selector, ret_found);
		if (result != -EUCLEAN)
			return result;
		result = rebuild(queue);
		if (result < 0)
			break;
	}
	set(queue->control->dirty, INDEX_BROKEN);
	if (result == -ENOMEM)
		return result;
	return stoa_object_damaged(&queue->object,
	                           "its index doesn't fit its messages");
}

int queue_select(struct stoa_queue *queue, const struct stoa_selector *selector,
                 struct queue_found *ret_found)
{
	switch (select_unlisted(queue, selector, ret_found)) {
	case UNLISTED_FOUND:
		return 0;
	case UNLISTED_NOTHING:
		queue->look_at = 0;
		return -EAGAIN;
	default:
		queue->look_at = 0;
	}
	return list_and_pick(queue, selector, ret_found);
}

int queue_list_all(struct stoa_queue *queue)
{
	return list_and_pick(queue, NULL, NULL);
}

/* Purged without the lock. */
int queue_list_surely(struct stoa_queue *queue)
{
	uint64_t doubts = atomic_load_explicit(&queue->control->doubts,
	                                       memory_order_seq_cst);

	if (doubts != get(queue->control->settled) && rebuild(queue) == 0 &&
	    !queue->limits)
		set(queue->control->settled, doubts);
	return queue_list_all(queue);
}

void queue_distrust_index(struct stoa_queue *queue)
{
	set(queue->control->dirty, INDEX_BROKEN);
}

uint32_t queue_sift_writing(struct stoa_queue *queue, uint32_t *buried)
{
	uint32_t number = get(queue->control->pending);
	uint32_t living = 0;

	for (uint32_t i = 0; number != 0 && number <= queue->capacity &&
	                     i <= queue->capacity;
	     i++) {
		struct queue_cell *cell = queue_cell_at(queue, number - 1);
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_acquire);
		enum queue_phase phase = QUEUE_WORD_PHASE(word);

		number = queue->entries[number - 1].next;
		if (phase != QUEUE_WRITING && phase != QUEUE_RESERVED)
			continue;
		if (stoa_object_alive(&queue->object,
		                      QUEUE_WORD_TOKEN(word))) {
			living++;
			continue;
		}
		queue_doubt(queue);
		queue_give_up(queue, cell, word);
		++*buried;
	}
	return living;
}

void queue_deselect(struct stoa_queue *queue, const struct queue_found *found)
{
	uint32_t cell = queue_index_at(queue, found->cell);

	/* What is listed lies before `ingested`. */
	if (found->position ==
	    queue_sane(queue, get(queue->control->ingested))) {
		set(queue->control->ingested,
		    queue_next(queue, found->position));
	} else if (queue->entries[cell].listed == LISTED) {
		if (queue_index_remove(queue, cell) < 0)
			set(queue->control->dirty, INDEX_BROKEN);
		queue_index_prefetch(queue);
	}
}
