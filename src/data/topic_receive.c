/* SPDX-License-Identifier: MIT */
/* data/topic_receive.c: subscribing: receiving, taking, seeking. Why it holds
 * that what is read is the message is in topic_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <data/topic_copy.h>
#include <data/topic_internal.h>

#include <limits.h>

#define FIND_TRIES 1000 /* overwritten so often: see the deadline */
#define SETTLE_TRIES 131072 /* more than there can be publishers */
#define FIRST_LINE 6
#define RUN_LOOK 32   /* received in a row: how far are the publishers? */
#define RUN_AHEAD 12  /* cells fetched ahead, if they are beyond that */

/* A message as it was found; by value, so that it stays in registers. */
struct found {
	uint64_t position;
	const uint64_t *words;
	size_t bytes;
	int32_t pid;
};

/* ---- Where the handle is -------------------------------------------------------- */

static inline uint64_t position_of(struct stoa_topic *topic)
{
	return atomic_load_explicit(&topic->position, memory_order_relaxed);
}

/* From `from`; 0: another thread has moved it. */
stoa_always_inline int move_on(struct stoa_topic *topic, uint64_t from,
                               uint64_t to)
{
	if (stoa_likely(__libc_single_threaded)) {
		atomic_store_explicit(&topic->position, to,
		                      memory_order_relaxed);
		return 1;
	}
	return atomic_compare_exchange_strong_explicit(
	        &topic->position, &from, to, memory_order_acq_rel,
	        memory_order_relaxed);
}

/* Under the lock: what this handle needs begins here. */
static uint64_t needed_from(struct stoa_topic *topic)
{
	uint64_t position = position_of(topic);

	if (atomic_load_explicit(&topic->loans, memory_order_relaxed) == 0)
		return position;
	for (int i = 0; i < STOA_TOPIC_LOANS; i++)
		if (topic->loan[i] != 0 && topic->loan[i] - 1 < position)
			position = topic->loan[i] - 1;
	return position;
}

/*
 * Says in the seat what isn't needed any more, and wakes the publishers if they
 * wait for just that. TOPIC_CURSOR
 */
static void publish_cursor(struct stoa_topic *topic)
{
	_Atomic uint64_t *cursor = &topic_seat(topic)->own[TOPIC_SEAT_CURSOR];

	int locked = topic_lock(topic);
	uint64_t before = atomic_load_explicit(&topic->published,
	                                       memory_order_relaxed);
	uint64_t now = needed_from(topic);
	if (now > before) {
		/* Monotone, but for seek, which goes by join. */
		atomic_store_explicit(cursor, now, memory_order_seq_cst);
		atomic_store_explicit(&topic->published, now,
		                      memory_order_relaxed);
	}
	topic_unlock(topic, locked);
	/* seq_cst, in this order: EVENT_DEKKER, TOPIC_CURSOR */
	if (now > before && topic->overrun == STOA_TOPIC_WAIT &&
	    stoa_event_asked(&topic->object, STOA_WRITE) != 0 &&
	    before <= topic_oldest(topic))
		stoa_event_raise(&topic->object, STOA_WRITE, INT_MAX);
}

static inline int cursor_lags(struct stoa_topic *topic, uint64_t position)
{
	return position - atomic_load_explicit(&topic->published,
	                                       memory_order_relaxed) >=
	       topic->slack;
}

/* Under the lock. */
static uint64_t settle_cursor(struct stoa_topic *topic, uint64_t position)
{
	struct stoa_seat *seat = topic_seat(topic);
	uint32_t crowd = atomic_load_explicit(topic_crowd(topic),
	                                      memory_order_relaxed);
	uint32_t index = SEAT_INDEX(stoa_object_token(&topic->object));
	uint64_t oldest = 0;
	int tries = 0;

	/* seq_cst: TOPIC_CURSOR, before the token */
	while (crowd <= index &&
	       !atomic_compare_exchange_weak_explicit(
	               topic_crowd(topic), &crowd, index + 1,
	               memory_order_seq_cst, memory_order_relaxed))
		;
	do {
		if (position < oldest)
			position = oldest;
		atomic_store_explicit(&seat->own[TOPIC_SEAT_CURSOR], position,
		                      memory_order_seq_cst);
		atomic_store_explicit(&seat->own[TOPIC_SEAT_TOKEN],
		                      stoa_object_token(&topic->object),
		                      memory_order_seq_cst);
		/* seq_cst: TOPIC_CURSOR. Publishers that had looked before
		 * raise it once more; whoever looks now waits for this cursor,
		 * or for nobody: then being late only loses more. */
		oldest = topic_oldest(topic);
	} while (oldest > position && ++tries < SETTLE_TRIES);
	if (stoa_unlikely(tries == SETTLE_TRIES) &&
	    topic->overrun == STOA_TOPIC_WAIT)
		topic_damaged(topic);
	atomic_store_explicit(&topic->published, position,
	                      memory_order_relaxed);
	return position;
}

static void count_lost(struct stoa_topic *topic, uint64_t lost)
{
	topic_count(&topic->lost, lost);
	topic_count(&topic->lost_now, lost);
	topic_count(&topic_seat(topic)->own[TOPIC_SEAT_LOST], lost);
}

/* A seat that this process has taken anew: by fork, or as it was taken for
 * dead. It goes on from where it was; what is gone is lost. */
static int subscribe_again(struct stoa_topic *topic)
{
	uint32_t token = stoa_object_token(&topic->object);

	int locked = topic_lock(topic);
	if (atomic_load_explicit(&topic->joined, memory_order_relaxed) !=
	    token) {
		uint64_t was = position_of(topic);

		memset(topic->loan, 0, sizeof topic->loan);
		atomic_store_explicit(&topic->loans, 0, memory_order_relaxed);
		atomic_store(&topic_seat(topic)->own[TOPIC_SEAT_LOST], 0);
		uint64_t now = settle_cursor(topic, was);
		atomic_store_explicit(&topic->position, now,
		                      memory_order_relaxed);
		if (now > was)
			count_lost(topic, now - was);
		atomic_store_explicit(&topic->joined, token,
		                      memory_order_release);
	}
	topic_unlock(topic, locked);
	return 0;
}

void topic_leave(struct stoa_topic *topic)
{
	uint64_t token = atomic_load_explicit(&topic->joined,
	                                      memory_order_relaxed);

	if (token == 0 || token != stoa_object_token(&topic->object))
		return;
	/* seq_cst: EVENT_DEKKER */
	atomic_compare_exchange_strong_explicit(
	        &topic_seat(topic)->own[TOPIC_SEAT_TOKEN], &token, 0,
	        memory_order_seq_cst, memory_order_relaxed);
	if (stoa_event_asked(&topic->object, STOA_WRITE) != 0)
		stoa_event_raise(&topic->object, STOA_WRITE, INT_MAX);
}

stoa_always_inline int begin_receive(struct stoa_topic *topic)
{
	int result = topic_begin(topic, STOA_READ);

	if (stoa_likely(result == 0) &&
	    stoa_unlikely(atomic_load_explicit(&topic->joined,
	                                       memory_order_acquire) !=
	                  stoa_object_token(&topic->object)))
		result = subscribe_again(topic);
	return result;
}

/* ---- Finding --------------------------------------------------------------------- */

/* What was read at `position` was the message, all of it. */
stoa_always_inline int still_there(struct stoa_topic *topic, uint64_t position)
{
	/* Pairs with the publisher's release fence: TOPIC_OLDEST */
	atomic_thread_fence(memory_order_acquire);
	if (stoa_likely(atomic_load_explicit(&topic->seen->oldest,
	                                     memory_order_relaxed) <= position))
		return 1;
	/* A subscriber that is waited for is waited for in spite of that; its
	 * seat says whether it is. */
	return topic->overrun == STOA_TOPIC_WAIT &&
	       atomic_load_explicit(&topic_seat(topic)->own[TOPIC_SEAT_TOKEN],
	                            memory_order_relaxed) ==
	               stoa_object_token(&topic->object) &&
	       position >= atomic_load_explicit(
	                           &topic_seat(topic)->own[TOPIC_SEAT_CURSOR],
	                           memory_order_relaxed);
}

/* The handle was overtaken at `position`: it goes on from the oldest that is
 * kept, and knows how many it has lost. 0: look again. */
static int overtaken(struct stoa_topic *topic, uint64_t position)
{
	uint64_t oldest = topic_oldest(topic);
	int result;

	if (position_of(topic) != position)
		return 0; /* another thread has moved it */
	if (oldest <= position)
		return topic_damaged(topic);
	/* Whoever took this one for dead has taken its cursor's meaning. */
	if (topic->overrun == STOA_TOPIC_WAIT) {
		stoa_life_reprobe(&topic->object.space->life);
		result = stoa_object_enter(&topic->object);
		if (result < 0)
			return result;
		int locked = topic_lock(topic);
		oldest = settle_cursor(topic, oldest);
		topic_unlock(topic, locked);
	}
	if (move_on(topic, position, oldest))
		count_lost(topic, oldest - position);
	return 0;
}

/* What the cell says of the message in it. 0: that can't be, now. */
stoa_always_inline int describe(struct stoa_topic *topic, uint64_t word,
                                struct found *found)
{
	if (stoa_unlikely(TOPIC_WORD_CELL(word) >=
	                  topic->places + TOPIC_SPARE_CELLS))
		return 0;
	const struct topic_cell *cell = topic_cell(topic, TOPIC_WORD_CELL(word));
	uint64_t header = topic_get(&cell->header);

	found->bytes = TOPIC_HEADER_BYTES(header);
	found->pid = TOPIC_HEADER_PID(header);
	found->words = cell->payload;
	if (stoa_likely(!(header & TOPIC_IN_SLOT)))
		return found->bytes <= topic->inline_bytes;
	uint64_t slot = topic_get(&cell->payload[0]);
	if (slot >= topic->slots || found->bytes > topic->slot_bytes)
		return 0;
	found->words = (const void *)(topic->slots_at + slot * topic->slot_stride);
	return 1;
}

/* The message at `position`. 0; -EAGAIN: there is none yet; -EOVERFLOW: it was
 * overwritten; -EUCLEAN. */
stoa_always_inline int find(struct stoa_topic *topic, uint64_t position,
                            struct found *found)
{
	const struct topic_cell *place =
	        topic_cell(topic, topic_home(topic, position));

	/* Both lines at once; whatever else the message is in comes later. */
	stoa_cpu_prefetch(&place->payload[FIRST_LINE]);
	/* seq_cst: EVENT_DEKKER; as acquire it pairs with the commit. */
	uint64_t word = atomic_load_explicit(&place->word,
	                                     memory_order_seq_cst);
	int64_t ahead = topic_ahead(topic, word, position);
	if (ahead < 0)
		return ahead == -1 ? -EAGAIN : topic_damaged(topic);
	if (stoa_unlikely(ahead > 0))
		return -EOVERFLOW;
	found->position = position;
	if (stoa_likely(describe(topic, word, found)))
		return 0;
	return still_there(topic, position) ? topic_damaged(topic) : -EOVERFLOW;
}

/* ---- Receiving -------------------------------------------------------------------- */

stoa_always_inline void copy_out(struct stoa_topic *topic,
                                 const struct found *found, char *to)
{
	if (stoa_likely(found->bytes <= topic->inline_bytes))
		topic_get_words(found->words, to, found->bytes);
	else
		topic_copy_out(to, found->words, found->bytes);
}

/* 0; -EAGAIN; -EMSGSIZE with found->bytes; -EOVERFLOW: look again. */
stoa_always_inline int try_copy(struct stoa_topic *topic, void *buffer,
                                size_t buffer_bytes, struct found *found)
{
	uint64_t position = position_of(topic);
	int result = find(topic, position, found);

	if (stoa_unlikely(result < 0))
		return result == -EOVERFLOW ?
		               (overtaken(topic, position) ?: -EOVERFLOW) :
		               result;
	if (stoa_unlikely(found->bytes > buffer_bytes))
		return still_there(topic, position) ?
		               -EMSGSIZE :
		               (overtaken(topic, position) ?: -EOVERFLOW);
	copy_out(topic, found, buffer);
	if (stoa_unlikely(!still_there(topic, position)))
		return overtaken(topic, position) ?: -EOVERFLOW;
	return move_on(topic, position, position + 1) ? 0 : -EOVERFLOW;
}

/* There is nothing now: publishers may have all that was received. */
static void catch_up(struct stoa_topic *topic)
{
	if (position_of(topic) !=
	    atomic_load_explicit(&topic->published, memory_order_relaxed))
		publish_cursor(topic);
}

static int copy_again(struct stoa_topic *topic, void *buffer,
                      size_t buffer_bytes, struct found *found)
{
	int result = -EOVERFLOW;

	for (int tries = 0; result == -EOVERFLOW && tries < FIND_TRIES; tries++)
		result = try_copy(topic, buffer, buffer_bytes, found);
	if (result == -EAGAIN)
		catch_up(topic);
	return result == -EOVERFLOW ? -EAGAIN : result;
}

static int copy_slowly(struct stoa_topic *topic, void *buffer,
                       size_t buffer_bytes, struct stoa_deadline deadline,
                       struct found *found)
{
	struct stoa_waiter waiter;
	int result = copy_again(topic, buffer, buffer_bytes, found);
	int step = 0;

	if (result == -EAGAIN && deadline.kind == STOA_DEADLINE_NOW)
		topic_idle(topic, STOA_READ);
	if (result != -EAGAIN || deadline.kind == STOA_DEADLINE_NOW)
		return result;
	topic_vain++;
	stoa_waiter_init(&waiter, &topic->object, STOA_READ, deadline);
	stoa_waiter_may_yield(&waiter);
	while (result == -EAGAIN && (step = stoa_waiter_step(&waiter)) == 0)
		result = copy_again(topic, buffer, buffer_bytes, found);
	stoa_waiter_fini(&waiter);
	return step < 0 ? step : result;
}

static void fill(struct stoa_topic *topic, const struct found *found,
                 const void *data, struct stoa_topic_message *message)
{
	*message = (struct stoa_topic_message){
		.data = (void *)(uintptr_t)data,
		.bytes = found->bytes,
		.sequence = found->position,
		.sender_pid = found->pid,
	};
	if (stoa_unlikely(atomic_load_explicit(&topic->lost_now,
	                                       memory_order_relaxed) != 0))
		message->lost = atomic_exchange_explicit(&topic->lost_now, 0,
		                                         memory_order_relaxed);
}

static inline void account(struct stoa_topic *topic, const struct found *found)
{
	struct stoa_seat *seat = topic_seat(topic);

	topic_count(&seat->messages_out, 1);
	topic_count(&seat->bytes_out, found->bytes);
	if (stoa_unlikely(cursor_lags(topic, found->position + 1)))
		publish_cursor(topic);
}

/*
 * Of a backlog the next cells are fetched before their turn, but none that is
 * not published yet: that would take it from under the publisher's hands.
 * relaxed: hints.
 */
stoa_always_inline void fetch_ahead(struct stoa_topic *topic, uint64_t position)
{
	uint32_t run = atomic_load_explicit(&topic->run, memory_order_relaxed) +
	               1;

	atomic_store_explicit(&topic->run, run, memory_order_relaxed);
	if (stoa_unlikely(run % RUN_LOOK == 0))
		atomic_store_explicit(
		        &topic->known,
		        atomic_load_explicit(&topic->seen->tail,
		                             memory_order_relaxed),
		        memory_order_relaxed);
	if (position + RUN_AHEAD < atomic_load_explicit(&topic->known,
	                                                memory_order_relaxed)) {
		const struct topic_cell *cell = topic_cell(
		        topic, topic_home(topic, position + RUN_AHEAD));

		stoa_cpu_prefetch(cell);
		stoa_cpu_prefetch(&cell->payload[FIRST_LINE]);
	}
}

ssize_t stoa_topic_receive(struct stoa_topic *topic, void *buffer,
                           size_t buffer_bytes, struct stoa_deadline deadline,
                           struct stoa_topic_message *ret_message)
{
	struct found found = { 0 };
	int result = begin_receive(topic);

	if (stoa_unlikely(result < 0))
		return result;
	result = try_copy(topic, buffer, buffer_bytes, &found);
	if (result == -EAGAIN && deadline.kind == STOA_DEADLINE_NOW) {
		catch_up(topic);
		topic_idle(topic, STOA_READ);
		atomic_store_explicit(&topic->run, 0, memory_order_relaxed);
	} else if (stoa_unlikely(result == -EAGAIN || result == -EOVERFLOW))
		result = copy_slowly(topic, buffer, buffer_bytes, deadline,
		                     &found);
	if (stoa_unlikely(result < 0)) {
		result = (int)topic_end(topic, result);
		if (result == -EMSGSIZE && ret_message)
			ret_message->bytes = found.bytes;
		return result;
	}
	account(topic, &found);
	fetch_ahead(topic, found.position);
	result = (int)topic_end(topic, 0);
	if (stoa_unlikely(result < 0))
		return result;
	if (ret_message)
		fill(topic, &found, buffer, ret_message);
	else
		atomic_store_explicit(&topic->lost_now, 0,
		                      memory_order_relaxed);
	return (ssize_t)found.bytes;
}

/* ---- Taking ----------------------------------------------------------------------- */

/* Under the lock. */
static void add_loans(struct stoa_topic *topic, int count)
{
	atomic_store_explicit(&topic->loans,
	                      atomic_load_explicit(&topic->loans,
	                                           memory_order_relaxed) +
	                              (uint32_t)count,
	                      memory_order_relaxed);
}

/* Under the lock: a place for the loan of `position`, or -EMFILE. */
static int note_loan(struct stoa_topic *topic, uint64_t position)
{
	for (int i = 0; i < STOA_TOPIC_LOANS; i++) {
		if (topic->loan[i] != 0)
			continue;
		topic->loan[i] = position + 1;
		add_loans(topic, 1);
		return i;
	}
	return stoa_fail(-EMFILE,
	                 "%d messages of topic %s are taken by this handle; "
	                 "release some",
	                 STOA_TOPIC_LOANS, topic->object.name);
}

static void forget_loan(struct stoa_topic *topic, int index)
{
	topic->loan[index] = 0;
	add_loans(topic, -1);
}

/* The loan is noted before the message is this thread's: the cursor must not
 * pass it in between. */
static int try_take(struct stoa_topic *topic, struct found *found,
                    uint32_t *ret_loan)
{
	uint64_t position = position_of(topic);
	int result = find(topic, position, found);

	if (result == -EOVERFLOW ||
	    (result == 0 && !still_there(topic, position)))
		return overtaken(topic, position) ?: -EOVERFLOW;
	if (result < 0)
		return result;
	int locked = topic_lock(topic);
	int loan = note_loan(topic, position);
	if (loan >= 0 && !move_on(topic, position, position + 1)) {
		forget_loan(topic, loan);
		loan = -EOVERFLOW;
	}
	topic_unlock(topic, locked);
	if (loan >= 0)
		*ret_loan = (uint32_t)loan;
	return loan < 0 ? loan : 0;
}

static int take_again(struct stoa_topic *topic, struct found *found,
                      uint32_t *ret_loan)
{
	int result = -EOVERFLOW;

	for (int tries = 0; result == -EOVERFLOW && tries < FIND_TRIES; tries++)
		result = try_take(topic, found, ret_loan);
	if (result == -EAGAIN)
		catch_up(topic);
	return result == -EOVERFLOW ? -EAGAIN : result;
}

int stoa_topic_take(struct stoa_topic *topic, struct stoa_deadline deadline,
                    struct stoa_topic_message *ret_message)
{
	struct found found = { 0 };
	struct stoa_waiter waiter;
	uint32_t loan = 0;
	int result = begin_receive(topic), step = 0;

	if (result == 0)
		result = take_again(topic, &found, &loan);
	if (result == -EAGAIN && deadline.kind == STOA_DEADLINE_NOW)
		topic_idle(topic, STOA_READ);
	else if (result == -EAGAIN) {
		topic_vain++;
		stoa_waiter_init(&waiter, &topic->object, STOA_READ, deadline);
		while (result == -EAGAIN &&
		       (step = stoa_waiter_step(&waiter)) == 0)
			result = take_again(topic, &found, &loan);
		stoa_waiter_fini(&waiter);
	}
	result = (int)topic_end(topic, step < 0 ? step : result);
	if (result < 0)
		return result;
	account(topic, &found);
	fill(topic, &found, found.words, ret_message);
	ret_message->cell = loan;
	ret_message->word = found.position + 1;
	return 0;
}

int stoa_topic_release(struct stoa_topic *topic,
                       const struct stoa_topic_message *message)
{
	uint64_t position = message->word - 1;
	uint32_t loan = message->cell;
	int result = begin_receive(topic);

	if (result < 0)
		return result;
	int locked = topic_lock(topic);
	if (loan >= STOA_TOPIC_LOANS || message->word == 0 ||
	    topic->loan[loan] != message->word) {
		topic_unlock(topic, locked);
		return topic_stale(topic);
	}
	int sound = still_there(topic, position);
	forget_loan(topic, (int)loan);
	topic_unlock(topic, locked);
	/* What it held back. */
	if (cursor_lags(topic, position_of(topic)))
		publish_cursor(topic);
	result = (int)topic_end(topic, 0);
	if (result < 0 || sound)
		return result;
	return stoa_fail(-EOVERFLOW,
	                 "message %llu of topic %s was overwritten while it "
	                 "was taken; make the topic larger, or one that waits",
	                 (unsigned long long)position, topic->object.name);
}

/* ---- Latest, and elsewhere ------------------------------------------------------------ */

static int copy_latest(struct stoa_topic *topic, void *buffer,
                       size_t buffer_bytes, struct found *found)
{
	uint64_t tail = 0, word = 0;
	int result = topic_find_tail(topic, &tail, &word);

	if (result < 0)
		return result;
	if (tail == 0 || topic_oldest(topic) >= tail)
		return -ENOMSG;
	result = find(topic, tail - 1, found);
	if (result == 0 && found->bytes > buffer_bytes)
		result = -EMSGSIZE;
	if (result == 0)
		copy_out(topic, found, buffer);
	if (result != 0 && result != -EMSGSIZE)
		return result;
	/* Nobody waits for this one: `oldest` alone tells. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&topic->seen->oldest,
	                            memory_order_relaxed) < tail ?
	               result :
	               -EOVERFLOW;
}

ssize_t stoa_topic_latest(struct stoa_topic *topic, void *buffer,
                          size_t buffer_bytes,
                          struct stoa_topic_message *ret_message)
{
	struct found found = { 0 };
	int result = begin_receive(topic);

	if (result < 0)
		return result;
	result = -EOVERFLOW;
	for (int tries = 0; result == -EOVERFLOW && tries < FIND_TRIES; tries++)
		result = copy_latest(topic, buffer, buffer_bytes, &found);
	if (result == -EOVERFLOW)
		result = -ENOMSG;
	result = (int)topic_end(topic, result);
	if (result == -EMSGSIZE && ret_message)
		ret_message->bytes = found.bytes;
	if (result < 0)
		return result;
	if (ret_message)
		*ret_message = (struct stoa_topic_message){
			.data = buffer,
			.bytes = found.bytes,
			.sequence = found.position,
			.sender_pid = found.pid,
		};
	return (ssize_t)found.bytes;
}

/* Under the lock. What is kept is held first, then looked at. */
static int seek(struct stoa_topic *topic, enum stoa_topic_place place)
{
	uint64_t tail = 0, word = 0;
	uint64_t oldest = settle_cursor(topic, topic_oldest(topic));
	int result = topic_find_tail(topic, &tail, &word);

	if (result < 0)
		return result;
	if (tail < oldest)
		tail = oldest;
	uint64_t position = place == STOA_TOPIC_OLDEST ? oldest :
	                    place == STOA_TOPIC_LAST && tail > oldest ?
	                                                 tail - 1 :
	                                                 tail;
	atomic_store_explicit(&topic->position, position, memory_order_relaxed);
	atomic_store_explicit(&topic->joined, stoa_object_token(&topic->object),
	                      memory_order_release);
	return 0;
}

int stoa_topic_seek(struct stoa_topic *topic, enum stoa_topic_place place)
{
	int result = topic_begin(topic, STOA_READ);

	if (result < 0)
		return result;
	if (place != STOA_TOPIC_NEXT && place != STOA_TOPIC_OLDEST &&
	    place != STOA_TOPIC_LAST)
		return stoa_fail(-EINVAL, "%d is no place in topic %s", place,
		                 topic->object.name);
	int locked = topic_lock(topic);
	if (atomic_load_explicit(&topic->loans, memory_order_relaxed) != 0)
		result = stoa_fail(-EBUSY,
		                   "messages of topic %s are taken by this "
		                   "handle; release them first",
		                   topic->object.name);
	else
		result = seek(topic, place);
	topic_unlock(topic, locked);
	if (result == 0)
		publish_cursor(topic);
	return (int)topic_end(topic, result);
}

/* ---- Readiness ---------------------------------------------------------------------- */

static int message_ready(struct stoa_topic *topic)
{
	uint64_t position;
	struct found found;
	int result = begin_receive(topic);

	if (result < 0)
		return result;
	position = position_of(topic);
	result = find(topic, position, &found);
	if (result == -EAGAIN)
		catch_up(topic);
	return result == 0 || result == -EOVERFLOW ? 1 :
	       result == -EAGAIN                   ? 0 :
	                                             result;
}

static int room_ready(struct stoa_topic *topic)
{
	uint64_t tail = 0, word = 0;
	int result = topic_find_tail(topic, &tail, &word);

	if (result < 0)
		return result;
	/* As who publishes does: subscribers must see that it's waited for. */
	if (tail >= topic->places)
		result = topic_reclaim(topic, tail - topic->places + 1, 0);
	if (result < 0)
		return result == -EAGAIN ? 0 : result;
	return topic_pool_has_room(topic, &topic->written.cell_pool);
}

int topic_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait)
{
	struct stoa_topic *topic = (struct stoa_topic *)object;

	(void)wait;
	if (!(object->flags & direction))
		return topic_refuse(topic, direction);
	return direction == STOA_READ ? message_ready(topic) : room_ready(topic);
}
