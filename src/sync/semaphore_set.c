/* SPDX-License-Identifier: MIT */
/* sync/semaphore_set.c: making, opening, setting and looking at sets.
 * Operations are in semaphore_set_operate.c, what makes them whole in
 * semaphore_set_intent.c; why it all holds is in semaphore_set_layout.h. */
#include <base/error.h>
#include <base/system.h>
#include <sync/kinds.h>
#include <sync/semaphore_set_internal.h>

#include <stdlib.h>
#include <string.h>

#define OPEN_BURIES 64
#define CLOSE_PATIENCE_NS INT64_C(1000000000)

/* ---- Making and opening ------------------------------------------------------ */

/* Where everything stands in the file; from the count alone. */
struct places {
	uint64_t rows, row, waiters, semaphores, records, record, adjustments, end;
};

static struct places places_of(uint64_t count)
{
	struct places at;

	at.rows = SET_ADJUSTMENTS_BYTES / (count * sizeof(int16_t));
	if (at.rows > SET_ROWS_MAX)
		at.rows = SET_ROWS_MAX;
	if (at.rows < SET_ROWS_MIN)
		at.rows = SET_ROWS_MIN;
	at.records = count > STOA_SEMAPHORE_SET_OPERATIONS ?
	                     count :
	                     STOA_SEMAPHORE_SET_OPERATIONS;
	at.row = OBJECT_KIND_OFFSET + SET_CONTROL_BYTES;
	at.waiters = at.row + at.rows * sizeof(struct set_row);
	at.semaphores = at.waiters + SET_WAITERS * sizeof(uint64_t);
	at.record = at.semaphores + count * sizeof(struct set_semaphore);
	at.adjustments = at.record + at.records * sizeof(uint64_t);
	at.end = at.adjustments + at.rows * count * sizeof(int16_t);
	return at;
}

static int read_attributes(const char *name,
                           const struct stoa_semaphore_set_attributes *given,
                           struct stoa_semaphore_set_attributes *ret_attributes)
{
	struct stoa_semaphore_set_attributes attributes = { 0 };
	int zero = 1;

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(-EINVAL,
			                 "attributes of set %s: size must be "
			                 "sizeof(struct "
			                 "stoa_semaphore_set_attributes)",
			                 name);
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		zero = zero && attributes.reserved[i] == 0;
	if (!zero || attributes.reserved_word != 0)
		return stoa_fail(-EINVAL,
		                 "attributes of set %s: reserved fields must be "
		                 "zero",
		                 name);
	if (attributes.count == 0)
		attributes.count = 1;
	if (attributes.count > STOA_SEMAPHORE_SET_MAX)
		return stoa_fail(-EINVAL,
		                 "attributes of set %s: a set has 1 to %d "
		                 "semaphores, not %u",
		                 name, STOA_SEMAPHORE_SET_MAX,
		                 attributes.count);
	for (uint32_t i = 0; attributes.values && i < attributes.count; i++)
		if (attributes.values[i] > STOA_SEMAPHORE_SET_VALUE_MAX)
			return stoa_fail(-EINVAL,
			                 "attributes of set %s: value %u of "
			                 "semaphore %u is over %d",
			                 name, attributes.values[i], i,
			                 STOA_SEMAPHORE_SET_VALUE_MAX);
	*ret_attributes = attributes;
	return 0;
}

/* The kind's bytes up to the last semaphore, which the caller frees. */
static int make_content(const struct stoa_semaphore_set_attributes *attributes,
                        struct stoa_object_plan *plan)
{
	struct places at = places_of(attributes->count);
	size_t bytes = at.record - OBJECT_KIND_OFFSET;
	char *content = calloc(1, bytes);

	if (!content)
		return stoa_fail(-ENOMEM, "no memory to make a set of %u",
		                 attributes->count);
	struct set_semaphore *semaphores =
	        (void *)(content + at.semaphores - OBJECT_KIND_OFFSET);
	for (uint32_t i = 0; attributes->values && i < attributes->count; i++)
		semaphores[i].word = SET_WORD(attributes->values[i], 0);
	plan->geometry[SET_GEOMETRY_COUNT] = attributes->count;
	plan->file_bytes = at.end;
	plan->content = content;
	plan->content_bytes = bytes;
	return 0;
}

static int adopt(struct stoa_semaphore_set *set)
{
	struct stoa_object *object = &set->object;
	uint64_t count = object->copy.geometry[SET_GEOMETRY_COUNT];

	if (count < 1 || count > STOA_SEMAPHORE_SET_MAX ||
	    places_of(count).end != object->copy.file_bytes)
		return stoa_fail(-EUCLEAN,
		                 "set %s is damaged: its header can't be true; "
		                 "remove it",
		                 object->name);
	struct places at = places_of(count);
	set->count = (uint32_t)count;
	set->rows = (uint32_t)at.rows;
	set->records = (uint32_t)at.records;
	set->control = (void *)(object->base + OBJECT_KIND_OFFSET);
	set->row = (void *)(object->base + at.row);
	set->waiters = (void *)(object->base + at.waiters);
	set->record = (void *)(object->base + at.record);
	set->adjustments = (void *)(object->base + at.adjustments);
	set->semaphores = (void *)(object->base + at.semaphores);
	return 0;
}

int stoa_semaphore_set_open(
        struct stoa_space *space, const char *name, unsigned flags, mode_t mode,
        const struct stoa_semaphore_set_attributes *attributes,
        struct stoa_semaphore_set **ret_set)
{
	const char *shown = name ? name : "(unnamed)";
	struct stoa_object_plan plan = { .kind = &stoa_semaphore_set_kind,
		                         .mode = mode };
	struct stoa_semaphore_set_attributes wanted = { 0 };
	struct stoa_semaphore_set *set = NULL;
	int result = 0;

	if (flags & ~(STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for set %s: STOA_CREATE, "
		                 "STOA_EXCLUSIVE and STOA_INTERRUPTIBLE only",
		                 flags, shown);
	if (!name && !(flags & STOA_CREATE))
		return stoa_name_check(name, &shown);
	if (flags & STOA_CREATE) {
		result = read_attributes(shown, attributes, &wanted);
		if (result == 0)
			result = make_content(&wanted, &plan);
		if (result < 0)
			return result;
	}
	set = calloc(1, sizeof *set);
	result = set ? stoa_object_open(&set->object, space, name, flags,
	                                &stoa_semaphore_set_kind, &plan) :
	               stoa_fail(-ENOMEM, "no memory to open set %s", shown);
	if (result < 0)
		goto free;
	result = adopt(set);
	if (result == 0)
		result = stoa_object_sit(&set->object);
	if (result < 0)
		goto close;
	stoa_object_bury(&set->object, OPEN_BURIES);
	free((void *)plan.content);
	*ret_set = set;
	return 0;

close:
	stoa_object_close(&set->object);
	stoa_object_abandon(&set->object);
free:
	free((void *)plan.content);
	free(set);
	return result;
}

/* Whether this process has used the handle: a forked child that hasn't has no
 * undo through it. */
static int is_ours(struct stoa_object *object)
{
	stoa_peer self = atomic_load_explicit(&object->space->life.self->peer,
	                                      memory_order_relaxed);

	return self != 0 && atomic_load_explicit(&object->peer,
	                                         memory_order_relaxed) == self;
}

void stoa_semaphore_set_close(struct stoa_semaphore_set *set)
{
	if (!set)
		return;
	if (is_ours(&set->object) && set_own_row(set) != SET_NO_ROW)
		set_bury(set, stoa_object_token(&set->object),
		         stoa_deadline_in(CLOSE_PATIENCE_NS));
	stoa_object_close(&set->object);
	free(set);
}

int stoa_semaphore_set_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_semaphore_set_kind);
}

int stoa_semaphore_set_remove(struct stoa_semaphore_set *set)
{
	return stoa_object_remove(&set->object);
}

struct stoa_object *stoa_semaphore_set_object(struct stoa_semaphore_set *set)
{
	return &set->object;
}

uint32_t stoa_semaphore_set_count(const struct stoa_semaphore_set *set)
{
	return set->count;
}

/* ---- What calls have in common ----------------------------------------------- */

int set_begin(struct stoa_semaphore_set *set)
{
	int result = stoa_object_enter(&set->object);

	if (result == 0)
		result = stoa_object_health(&set->object);
	if (result == 0)
		set_bury_rows(set);
	if (result == 0)
		result = set_lock(set, STOA_FOREVER);
	return result;
}

int set_end(struct stoa_semaphore_set *set, int result)
{
	if (stoa_likely(stoa_object_healthy(&set->object)))
		return result;
	return stoa_object_health(&set->object);
}

int set_no_such(struct stoa_semaphore_set *set, uint32_t semaphore)
{
	return stoa_fail(-EFBIG, "set %s has %u semaphores, and no number %u",
	                 set->object.name, set->count, semaphore);
}

int set_damaged(struct stoa_semaphore_set *set)
{
	return stoa_object_damaged(&set->object,
	                           "a semaphore's value can't be true");
}

/* ---- Setting ------------------------------------------------------------------- */

static int bad_value(struct stoa_semaphore_set *set, uint32_t value)
{
	return stoa_fail(-ERANGE, "values of set %s are 0 to %d, not %u",
	                 set->object.name, STOA_SEMAPHORE_SET_VALUE_MAX, value);
}

static void changed(struct stoa_semaphore_set *set)
{
	set_put(set->control->last_change_ns,
	        stoa_sys_clock_ns(CLOCK_REALTIME_COARSE));
}

int stoa_semaphore_set_set(struct stoa_semaphore_set *set, uint32_t semaphore,
                           uint32_t value)
{
	if (semaphore >= set->count)
		return set_no_such(set, semaphore);
	if (value > STOA_SEMAPHORE_SET_VALUE_MAX)
		return bad_value(set, value);
	int result = set_begin(set);
	if (result < 0)
		return result;
	struct set_semaphore *at = &set->semaphores[semaphore];
	uint32_t before = SET_WORD_VALUE(set_get(at->word));
	set_commit_one(set, semaphore, value);
	changed(set);
	set_unlock(set);
	set_wake(at, (int64_t)value - before);
	if (stoa_event_asked(&set->object, STOA_READ))
		stoa_event_raise(&set->object, STOA_READ, INT32_MAX);
	return set_end(set, 0);
}

static int bad_count(struct stoa_semaphore_set *set, size_t count)
{
	return stoa_fail(-EINVAL,
	                 "set %s has %u semaphores, and all of them are asked "
	                 "for, not %zu",
	                 set->object.name, set->count, count);
}

int stoa_semaphore_set_set_all(struct stoa_semaphore_set *set,
                               const uint16_t *values, size_t count)
{
	if (count != set->count)
		return bad_count(set, count);
	for (size_t i = 0; i < count; i++)
		if (values[i] > STOA_SEMAPHORE_SET_VALUE_MAX)
			return bad_value(set, values[i]);
	int result = set_begin(set);
	if (result < 0)
		return result;
	set_commit_all(set, values);
	changed(set);
	set_unlock(set);
	stoa_event_broadcast(&set->object);
	return set_end(set, 0);
}

/* ---- Looking ------------------------------------------------------------------- */

int stoa_semaphore_set_get(struct stoa_semaphore_set *set, uint32_t semaphore)
{
	if (semaphore >= set->count)
		return set_no_such(set, semaphore);
	int result = set_begin(set);
	if (result < 0)
		return result;
	result = set_value(set, set_get(set->semaphores[semaphore].word));
	set_unlock(set);
	return set_end(set, result);
}

int stoa_semaphore_set_get_all(struct stoa_semaphore_set *set,
                               uint16_t *ret_values, size_t count)
{
	if (count != set->count)
		return bad_count(set, count);
	uint16_t *values = malloc(count * sizeof *values);
	if (!values)
		return stoa_fail(-ENOMEM, "no memory for the values of set %s",
		                 set->object.name);
	int result = set_begin(set);
	if (result == 0) {
		for (uint32_t i = 0; i < count && result >= 0; i++) {
			result = set_value(set,
			                   set_get(set->semaphores[i].word));
			values[i] = (uint16_t)result;
		}
		set_unlock(set);
		result = set_end(set, result < 0 ? result : 0);
	}
	if (result == 0)
		memcpy(ret_values, values, count * sizeof *values);
	free(values);
	return result;
}

/* Counts the threads of the living that wait; of one semaphore, or of all. */
static void count_waiters(struct stoa_semaphore_set *set, uint32_t semaphore,
                          uint32_t *increase, uint32_t *zero)
{
	for (uint32_t i = 0; i < SET_WAITERS; i++) {
		uint64_t word = set_get(set->waiters[i]);

		if (word == 0 ||
		    (semaphore < set->count &&
		     SET_WAITER_SEMAPHORE(word) != semaphore) ||
		    !stoa_object_alive(&set->object, SET_WAITER_TOKEN(word)))
			continue;
		if (SET_WAITER_ZERO(word))
			(*zero)++;
		else
			(*increase)++;
	}
}

int stoa_semaphore_set_describe(struct stoa_semaphore_set *set,
                                uint32_t semaphore,
                                struct stoa_semaphore_state *ret_state)
{
	struct stoa_semaphore_state state = { 0 };

	if (semaphore >= set->count)
		return set_no_such(set, semaphore);
	int result = set_begin(set);
	if (result < 0)
		return result;
	uint64_t word = set_get(set->semaphores[semaphore].word);
	set_unlock(set);
	result = set_value(set, word);
	state.value = (uint32_t)result;
	state.last_pid = SET_WORD_PID(word);
	count_waiters(set, semaphore, &state.waiting_increase,
	              &state.waiting_zero);
	result = set_end(set, result < 0 ? result : 0);
	if (result == 0)
		*ret_state = state;
	return result;
}

static uint32_t count_users(struct stoa_object *object)
{
	uint32_t seats = stoa_object_seats(object), users = 0;

	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(object, i);
		stoa_peer peer = seat ? atomic_load(&seat->owner) >> 16 : 0;

		users += peer != 0 &&
		         stoa_life_alive(&object->space->life, peer);
	}
	return users;
}

int stoa_semaphore_set_stat(struct stoa_semaphore_set *set,
                            struct stoa_semaphore_set_status *ret_status)
{
	struct stoa_semaphore_set_status status = { .size = sizeof status };
	uint32_t increase = 0, zero = 0;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "status of set %s: size must be sizeof(struct "
		                 "stoa_semaphore_set_status)",
		                 set->object.name);
	int result = set_begin(set);
	if (result < 0)
		return result;
	for (uint32_t i = 0; i < set->rows; i++)
		status.undoers += set_get(set->row[i].token) != 0;
	status.last_operation_ns = set_get(set->control->last_operation_ns);
	status.last_change_ns = set_get(set->control->last_change_ns);
	status.undone = set_get(set->control->undone);
	set_unlock(set);
	count_waiters(set, set->count, &increase, &zero);
	status.waiting = increase + zero;
	status.count = set->count;
	status.users = count_users(&set->object);
	status.created_ns = set->object.copy.created_ns;
	/* None, or of the same tick. */
	if (status.last_change_ns < status.created_ns)
		status.last_change_ns = status.created_ns;
	status.creator_pid = set->object.copy.creator_pid;
	status.generation = set->object.copy.generation;
	result = set_end(set, 0);
	if (result == 0)
		*ret_status = status;
	return result;
}

int stoa_semaphore_set_each_adjustment(
        struct stoa_semaphore_set *set,
        int (*visit)(const struct stoa_semaphore_adjustment *adjustment,
                     void *context),
        void *context)
{
	int visited = 0;
	int result = stoa_object_enter(&set->object);

	if (result == 0)
		result = stoa_object_health(&set->object);
	for (uint32_t row = 0; row < set->rows && result == 0; row++) {
		uint32_t token = set_get(set->row[row].token);
		struct stoa_seat *seat =
		        token ? stoa_object_seat(&set->object,
		                                 SEAT_INDEX(token)) :
		                NULL;

		for (uint32_t i = 0; seat && i < set->count && result == 0;
		     i++) {
			struct stoa_semaphore_adjustment adjustment = {
				.peer = atomic_load(&seat->owner) >> 16,
				.pid = atomic_load(&seat->pid),
				.semaphore = i,
				.amount = set_get(*set_adjustment(set, row, i))
			};

			if (adjustment.amount == 0)
				continue;
			result = visit(&adjustment, context);
			visited++;
		}
	}
	return set_end(set, result != 0 ? result : visited);
}

/* ---- As a kind ------------------------------------------------------------------- */

static int bury_token(struct stoa_object *object, uint32_t token)
{
	return set_bury((struct stoa_semaphore_set *)object, token, STOA_NOW);
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_semaphore_set *set;
	int result = stoa_semaphore_set_open(space, name,
	                                     flags & ~(STOA_READ | STOA_WRITE),
	                                     0, NULL, &set);

	if (result == 0)
		*ret_object = &set->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_semaphore_set_close((struct stoa_semaphore_set *)object);
}

const struct stoa_object_kind stoa_semaphore_set_kind = {
	.name = "semaphore_set",
	.number = KIND_SEMAPHORE_SET,
	.bury = bury_token,
	.ready = set_ready,
	.open = open_object,
	.close = close_object,
	.broadcast = set_broadcast,
};
