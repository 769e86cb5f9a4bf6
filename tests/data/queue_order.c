/* SPDX-License-Identifier: MIT */
/* Order by priority, and receiving by type with every selection, checked
 * against a plain list. */
#include "support.h"

static const struct queue_shape by_priority = { STOA_PRIORITY, 64, 100, 8192 };
static const struct queue_shape by_type = { STOA_TYPE, 64, 100, 8192 };

TEST(the_highest_priority_comes_first_and_equal_ones_in_order)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_priority);

	send_urgent(queue, 1, "low one");
	send_urgent(queue, 5, "high one");
	send_urgent(queue, 1, "low two");
	send_urgent(queue, 32767, "highest");
	send_urgent(queue, 0, "lowest");
	send_urgent(queue, 5, "high two");
	assert_receives(queue, "highest");
	assert_receives(queue, "high one");
	assert_receives(queue, "high two");
	assert_receives(queue, "low one");
	send_urgent(queue, 2, "between");
	assert_receives(queue, "between");
	assert_receives(queue, "low two");
	assert_receives(queue, "lowest");
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_plain_send_has_priority_zero)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_priority);

	send_text(queue, "plain");
	send_urgent(queue, 1, "first");
	send_urgent(queue, 0, "zero");
	assert_receives(queue, "first");
	assert_receives(queue, "plain");
	assert_receives(queue, "zero");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_priority_over_the_highest_is_refused)
{
	static const uint32_t wrong[] = { 32768, 65536, UINT32_MAX };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_priority);
	struct stoa_message message = { .data = NULL, .type = 1 };

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		message.priority = wrong[i];
		assert_result(stoa_queue_send_message(queue, &message,
		                                      STOA_NOW),
		              -EINVAL);
		assert_result(stoa_queue_send_many(queue, &message, 1,
		                                   STOA_NOW),
		              -EINVAL);
	}
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_type_under_one_is_refused)
{
	static const int64_t wrong[] = { 0, -1, INT64_MIN };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);
	struct stoa_message message = { .data = NULL };

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		message.type = wrong[i];
		assert_result(stoa_queue_send_message(queue, &message,
		                                      STOA_NOW),
		              -EINVAL);
	}
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(any_gives_the_oldest_whatever_its_type)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);

	send_typed(queue, 9, "a");
	send_typed(queue, 1, "b");
	send_typed(queue, 5, "c");
	assert_receives(queue, "a");
	assert_receives(queue, "b");
	assert_receives(queue, "c");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(exactly_gives_the_oldest_of_the_type)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);

	send_typed(queue, 1, "a");
	send_typed(queue, INT64_MAX, "b");
	send_typed(queue, 1, "c");
	send_typed(queue, INT64_MAX, "d");
	assert_receives_by(queue, STOA_EXACTLY, INT64_MAX, "b");
	assert_receives_by(queue, STOA_EXACTLY, 1, "a");
	assert_receives_by(queue, STOA_EXACTLY, 1, "c");
	assert_receives_by(queue, STOA_EXACTLY, INT64_MAX, "d");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_selection_that_nothing_fits_is_eagain)
{
	struct stoa_selector none[] = { { STOA_EXACTLY, 8 },
		                        { STOA_EXCEPT, 7 },
		                        { STOA_LOWEST, 6 } };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);
	struct stoa_message message;
	char buffer[8];

	send_typed(queue, 7, "seven");
	for (size_t i = 0; i < LENGTH(none); i++) {
		assert_result(stoa_queue_receive(queue, &none[i], buffer, 8,
		                                 STOA_NOW, NULL),
		              -EAGAIN);
		assert_result(stoa_queue_receive(queue, &none[i], buffer, 8,
		                                 stoa_deadline_in(MS), NULL),
		              -ETIMEDOUT);
		assert_result(stoa_queue_take(queue, &none[i], STOA_NOW,
		                              &message),
		              -EAGAIN);
		assert_result(stoa_queue_peek(queue, &none[i], 0, buffer, 8,
		                              NULL),
		              -ENOMSG);
	}
	assert_receives(queue, "seven");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(except_gives_the_oldest_of_any_other_type)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);

	send_typed(queue, 3, "a");
	send_typed(queue, 4, "b");
	send_typed(queue, 2, "c");
	send_typed(queue, 3, "d");
	assert_receives_by(queue, STOA_EXCEPT, 3, "b");
	assert_receives_by(queue, STOA_EXCEPT, 3, "c");
	assert_receives_by(queue, STOA_EXCEPT, 1, "a");
	assert_receives_by(queue, STOA_EXCEPT, 1, "d");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(lowest_gives_the_oldest_of_the_lowest_type_up_to_the_limit)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);

	send_typed(queue, 5, "five");
	send_typed(queue, 2, "two one");
	send_typed(queue, 9, "nine");
	send_typed(queue, 2, "two two");
	send_typed(queue, 3, "three");
	assert_receives_by(queue, STOA_LOWEST, 5, "two one");
	assert_receives_by(queue, STOA_LOWEST, 2, "two two");
	assert_receives_by(queue, STOA_LOWEST, INT64_MAX, "three");
	assert_receives_by(queue, STOA_LOWEST, 5, "five");
	assert_receives_by(queue, STOA_LOWEST, 9, "nine");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_selection_without_a_type_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);
	struct stoa_selector selector = { STOA_EXACTLY, 0 };
	char buffer[8];

	for (int kind = STOA_EXACTLY; kind <= STOA_LOWEST; kind++) {
		selector.selection = (enum stoa_selection)kind;
		assert_result(stoa_queue_receive(queue, &selector, buffer, 8,
		                                 STOA_NOW, NULL),
		              -EINVAL);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(selections_need_a_queue_ordered_by_type)
{
	static const enum stoa_queue_order orders[] = { STOA_FIFO,
		                                        STOA_PRIORITY };
	struct stoa_space *space = open_space();
	struct stoa_message message = { 0 };
	char buffer[8];

	message.data = buffer;
	message.buffer_bytes = sizeof(buffer);
	for (size_t i = 0; i < LENGTH(orders); i++) {
		struct stoa_queue *queue = make_queue(
			space, "q",
			(struct queue_shape){ orders[i], 4, 100, 4096 });

		send_text(queue, "x");
		for (int kind = STOA_EXACTLY; kind <= 4; kind++) {
			struct stoa_selector selector = {
				(enum stoa_selection)kind, 1
			};

			assert_result(stoa_queue_receive(queue, &selector,
			                                 buffer, 8, STOA_NOW,
			                                 NULL),
			              -EINVAL);
			assert_result(stoa_queue_receive_many(queue, &selector,
			                                      &message, 1,
			                                      STOA_NOW),
			              -EINVAL);
			assert_result(stoa_queue_take(queue, &selector,
			                              STOA_NOW, &message),
			              -EINVAL);
			assert_result(stoa_queue_peek(queue, &selector, 0,
			                              buffer, 8, NULL),
			              -EINVAL);
		}
		assert_receives_by(queue, STOA_ANY, 1, "x");
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

/* ---- Against a plain list --------------------------------------------- */

enum { LIST_MAX = 64, STEPS = 20000, KINDS = 6 };

struct entry {
	uint64_t id;
	uint32_t priority;
	int64_t type;
};

struct list {
	struct entry entries[LIST_MAX];
	size_t count;
};

static bool fits(const struct entry *entry, struct stoa_selector selector)
{
	switch (selector.selection) {
	case STOA_EXACTLY: return entry->type == selector.type;
	case STOA_EXCEPT: return entry->type != selector.type;
	case STOA_LOWEST: return entry->type <= selector.type;
	default: return true;
	}
}

static bool comes_before(const struct entry *a, const struct entry *b,
                         enum stoa_queue_order order,
                         struct stoa_selector selector)
{
	if (order == STOA_PRIORITY && a->priority != b->priority)
		return a->priority > b->priority;
	if (selector.selection == STOA_LOWEST && a->type != b->type)
		return a->type < b->type;
	return a->id < b->id;
}

/* Index of the entry that should come, or LIST_MAX. */
static size_t choose(const struct list *list, enum stoa_queue_order order,
                     struct stoa_selector selector)
{
	size_t best = LIST_MAX;

	for (size_t i = 0; i < list->count; i++) {
		if (!fits(&list->entries[i], selector))
			continue;
		if (best == LIST_MAX ||
		    comes_before(&list->entries[i], &list->entries[best], order,
		                 selector))
			best = i;
	}
	return best;
}

static void add(struct stoa_queue *queue, struct list *list, uint64_t id,
                uint64_t *seed)
{
	struct entry entry = { id, (uint32_t)random_below(seed, KINDS),
		               (int64_t)random_below(seed, KINDS) + 1 };
	struct stoa_message message = { .data = &entry,
		                        .bytes = sizeof(entry),
		                        .type = entry.type,
		                        .priority = entry.priority };

	if (list->count == LIST_MAX) {
		assert_result(stoa_queue_send_message(queue, &message,
		                                      STOA_NOW),
		              -EAGAIN);
		return;
	}
	assert_ok(stoa_queue_send_message(queue, &message, STOA_NOW));
	list->entries[list->count++] = entry;
}

static void remove_chosen(struct stoa_queue *queue, struct list *list,
                          enum stoa_queue_order order,
                          struct stoa_selector selector, unsigned how)
{
	size_t best = choose(list, order, selector);
	struct stoa_message message;
	struct entry entry;
	ssize_t expected = best == LIST_MAX ? -EAGAIN : (ssize_t)sizeof(entry);

	if (how == 0 || best == LIST_MAX) {
		assert_result(stoa_queue_receive(queue, &selector, &entry,
		                                 sizeof(entry), STOA_NOW,
		                                 &message),
		              expected);
		if (best == LIST_MAX)
			return;
	} else {
		assert_ok(
			stoa_queue_take(queue, &selector, STOA_NOW, &message));
		memcpy(&entry, message.data, sizeof(entry));
	}
	assert_int_equal(entry.id, list->entries[best].id);
	assert_int_equal(message.type, entry.type);
	if (how == 1) {
		assert_ok(stoa_queue_return(queue, &message));
		return;
	}
	if (how == 2)
		assert_ok(stoa_queue_acknowledge(queue, &message));
	list->count--;
	memmove(&list->entries[best], &list->entries[best + 1],
	        (list->count - best) * sizeof(entry));
}

static void compare(enum stoa_queue_order order)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q", (struct queue_shape){ order, LIST_MAX, 100, 8192 });
	struct list list = { .count = 0 };
	uint64_t seed = run_seed();
	uint64_t id = 0;

	for (int step = 0; step < STEPS; step++) {
		struct stoa_selector selector = { STOA_ANY, 0 };

		if (order == STOA_TYPE) {
			selector.selection =
				(enum stoa_selection)random_below(&seed, 4);
			selector.type =
				1 + (int64_t)random_below(&seed, KINDS + 1);
		}
		if (random_below(&seed, 100) < (step / 1000 % 2 ? 40U : 60U))
			add(queue, &list, id++, &seed);
		else
			remove_chosen(queue, &list, order, selector,
			              (unsigned)random_below(&seed, 3));
	}
	assert_int_equal(stat_of(queue).messages, list.count);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(any_sequence_gives_what_a_list_first_in_first_out_gives)
{
	compare(STOA_FIFO);
}

TEST(any_sequence_gives_what_a_list_by_priority_gives)
{
	compare(STOA_PRIORITY);
}

TEST(any_sequence_gives_what_a_list_by_type_gives)
{
	compare(STOA_TYPE);
}

static const struct CMUnitTest cases[] = {
	CASE(the_highest_priority_comes_first_and_equal_ones_in_order),
	CASE(a_plain_send_has_priority_zero),
	CASE(a_priority_over_the_highest_is_refused),
	CASE(a_type_under_one_is_refused),
	CASE(any_gives_the_oldest_whatever_its_type),
	CASE(exactly_gives_the_oldest_of_the_type),
	CASE(a_selection_that_nothing_fits_is_eagain),
	CASE(except_gives_the_oldest_of_any_other_type),
	CASE(lowest_gives_the_oldest_of_the_lowest_type_up_to_the_limit),
	CASE(a_selection_without_a_type_is_refused),
	CASE(selections_need_a_queue_ordered_by_type),
	CASE(any_sequence_gives_what_a_list_first_in_first_out_gives),
	CASE(any_sequence_gives_what_a_list_by_priority_gives),
	CASE(any_sequence_gives_what_a_list_by_type_gives),
};

MAIN(cases)
