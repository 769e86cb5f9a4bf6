/* SPDX-License-Identifier: MIT */
/* sync/semaphore.c: counting semaphores. Those with undo go on in
 * semaphore_undo.c; why it all holds is in semaphore_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <sync/kinds.h>
#include <sync/semaphore_internal.h>

#include <stdlib.h>
#include <string.h>

#define PATIENCE 4 /* sleeps, before one who waits for several has a turn */
#define OPEN_BURIES 64

/* ---- Making and opening ----------------------------------------------------- */

/* What stands at the word, for a semaphore of these attributes. */
struct content {
	uint64_t word;
	struct semaphore_extension extension;
};

static int read_attributes(const char *name, uint32_t holders,
                           const struct stoa_semaphore_attributes *given,
                           struct content *content)
{
	struct stoa_semaphore_attributes attributes = { 0 };
	int zero = 1;

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(-EINVAL,
			                 "attributes of semaphore %s: size must "
			                 "be sizeof(struct "
			                 "stoa_semaphore_attributes)",
			                 name);
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		zero = zero && attributes.reserved[i] == 0;
	uint32_t maximum = attributes.maximum ?: STOA_SEMAPHORE_MAX;
	if (!zero || attributes.reserved_word != 0 || attributes.undo > 1)
		return stoa_fail(-EINVAL,
		                 "attributes of semaphore %s: undo is 0 or 1, "
		                 "and reserved fields must be zero",
		                 name);
	if (maximum > STOA_SEMAPHORE_MAX || attributes.value > maximum)
		return stoa_fail(-EINVAL,
		                 "attributes of semaphore %s: the value is at "
		                 "most the maximum, and that at most %d",
		                 name, STOA_SEMAPHORE_MAX);
	memset(content, 0, sizeof *content);
	content->word = attributes.value;
	if (!attributes.undo && maximum == STOA_SEMAPHORE_MAX)
		return 0;
	content->word |= SEMAPHORE_EXTENDED;
	content->extension.maximum = maximum;
	content->extension.holders = attributes.undo ? holders : 0;
	content->extension.total = attributes.value;
	return 0;
}

static uint64_t bytes_of(uint64_t word, uint64_t holders)
{
	if (!(word & SEMAPHORE_EXTENDED))
		return sizeof word;
	return sizeof(struct content) +
	       holders * sizeof(struct semaphore_holder);
}

/* Reads once what is constant, and checks the copy. `bytes` from the word on. */
static int adopt(struct stoa_semaphore *semaphore, void *at, uint64_t bytes)
{
	struct content *content = at;
	uint32_t maximum = STOA_SEMAPHORE_MAX, holders = 0;

	if (bytes < sizeof content->word)
		return -EUCLEAN;
	semaphore->word = at;
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_relaxed);
	if (word & SEMAPHORE_EXTENDED) {
		if (bytes < sizeof *content)
			return -EUCLEAN;
		maximum = __atomic_load_n(&content->extension.maximum,
		                          __ATOMIC_RELAXED);
		holders = __atomic_load_n(&content->extension.holders,
		                          __ATOMIC_RELAXED);
		semaphore->extension = &content->extension;
	}
	if (maximum == 0 || maximum > STOA_SEMAPHORE_MAX ||
	    holders > SEMAPHORE_FILE_HOLDERS || bytes < bytes_of(word, holders))
		return -EUCLEAN;
	semaphore->maximum = maximum;
	semaphore->holder_count = holders;
	if (holders != 0)
		semaphore->holders = (void *)(content + 1);
	return 0;
}

static int enter_first(struct stoa_semaphore *semaphore)
{
	int result = stoa_object_sit(&semaphore->object);

	if (result < 0)
		return result;
	if (semaphore->object.header)
		stoa_object_bury(&semaphore->object, OPEN_BURIES);
	return 0;
}

static int spoilt(struct stoa_semaphore *semaphore)
{
	return stoa_fail(-EUCLEAN,
	                 "semaphore %s is damaged: its content can't be true; "
	                 "remove it",
	                 semaphore->object.name);
}

static int new_handle(const char *name, struct stoa_semaphore **ret_semaphore)
{
	struct stoa_semaphore *semaphore = calloc(1, sizeof *semaphore);

	if (!semaphore)
		return stoa_fail(-ENOMEM, "no memory to open semaphore %s",
		                 name);
	*ret_semaphore = semaphore;
	return 0;
}

int stoa_semaphore_open(struct stoa_space *space, const char *name,
                        unsigned flags, mode_t mode,
                        const struct stoa_semaphore_attributes *attributes,
                        struct stoa_semaphore **ret_semaphore)
{
	const char *shown = name ? name : "(unnamed)";
	struct stoa_object_plan plan = { .kind = &stoa_semaphore_kind,
		                         .mode = mode };
	struct stoa_semaphore *semaphore = NULL;
	struct content content;
	int result = stoa_object_check_flags(&stoa_semaphore_kind, shown, flags);

	if (result == 0 && !name && !(flags & STOA_CREATE))
		result = stoa_name_check(name, &shown);
	if (result == 0 && (flags & STOA_CREATE)) {
		result = read_attributes(shown, SEMAPHORE_FILE_HOLDERS,
		                         attributes, &content);
		plan.content = &content;
		plan.content_bytes = sizeof content;
		plan.file_bytes = OBJECT_KIND_OFFSET + sizeof content +
		                  content.extension.holders *
		                          sizeof(struct semaphore_holder);
	}
	if (result == 0)
		result = new_handle(shown, &semaphore);
	if (result < 0)
		return result;
	struct stoa_object *object = &semaphore->object;
	result = stoa_object_open(object, space, name, flags,
	                          &stoa_semaphore_kind, &plan);
	if (result < 0)
		goto free;
	if (adopt(semaphore, object->base + OBJECT_KIND_OFFSET,
	          object->bytes - OBJECT_KIND_OFFSET) < 0)
		result = spoilt(semaphore);
	else
		result = enter_first(semaphore);
	if (result < 0)
		goto close;
	*ret_semaphore = semaphore;
	return 0;

close:
	stoa_object_close(object);
	stoa_object_abandon(object);
free:
	free(semaphore);
	return result;
}

static void make_place(void *memory, const void *context)
{
	const struct content *content = context;

	memcpy((char *)memory + sizeof(struct stoa_place), content,
	       content->word & SEMAPHORE_EXTENDED ? sizeof *content :
	                                            sizeof content->word);
}

int stoa_semaphore_place(struct stoa_space *space, void *memory, size_t bytes,
                         unsigned flags,
                         const struct stoa_semaphore_attributes *attributes,
                         struct stoa_semaphore **ret_semaphore)
{
	struct stoa_semaphore *semaphore = NULL;
	struct content content = { 0 };
	uint64_t needed = STOA_SEMAPHORE_BYTES;
	int result = stoa_object_check_flags(&stoa_semaphore_kind, "in memory", flags);

	if (result == 0 && (flags & STOA_CREATE)) {
		result = read_attributes("in memory", SEMAPHORE_PLACE_HOLDERS,
		                         attributes, &content);
		if (content.word & SEMAPHORE_EXTENDED)
			needed = STOA_SEMAPHORE_UNDO_BYTES;
	}
	if (result == 0)
		result = new_handle("in memory", &semaphore);
	if (result < 0)
		return result;
	result = stoa_object_place(&semaphore->object, space, memory, bytes,
	                           needed, flags, &stoa_semaphore_kind,
	                           make_place, &content);
	if (result < 0)
		goto free;
	if (adopt(semaphore, (char *)memory + sizeof(struct stoa_place),
	          bytes - sizeof(struct stoa_place)) < 0)
		result = spoilt(semaphore);
	else
		result = enter_first(semaphore);
	if (result < 0)
		goto close;
	*ret_semaphore = semaphore;
	return 0;

close:
	stoa_object_close(&semaphore->object);
free:
	free(semaphore);
	return result;
}

/* Whether this process has used the handle: a forked child that hasn't holds
 * nothing through it. */
static int is_ours(struct stoa_object *object)
{
	stoa_peer self = atomic_load_explicit(&object->space->life.self->peer,
	                                      memory_order_relaxed);

	return self != 0 && atomic_load_explicit(&object->peer,
	                                         memory_order_relaxed) == self;
}

void stoa_semaphore_close(struct stoa_semaphore *semaphore)
{
	if (!semaphore)
		return;
	if (semaphore->holders && is_ours(&semaphore->object))
		semaphore_undo_give_up(semaphore);
	stoa_object_close(&semaphore->object);
	free(semaphore);
}

int stoa_semaphore_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_semaphore_kind);
}

int stoa_semaphore_remove(struct stoa_semaphore *semaphore)
{
	return stoa_object_remove(&semaphore->object);
}

struct stoa_object *stoa_semaphore_object(struct stoa_semaphore *semaphore)
{
	return &semaphore->object;
}

/* ---- The gate ---------------------------------------------------------------- */

static uint32_t lease_now(void)
{
	return (uint32_t)(stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE) >>
	                  SEMAPHORE_LEASE_SHIFT);
}

int semaphore_gate_closed(uint64_t word, uint32_t tag)
{
	uint32_t gate = SEMAPHORE_GATE_TAG(word);

	if (stoa_likely(gate == 0) || gate == tag)
		return 0;
	uint32_t left = (SEMAPHORE_GATE_LEASE(word) - lease_now()) &
	                SEMAPHORE_LEASE_MASK;
	return left != 0 && left <= SEMAPHORE_LEASE_UNITS;
}

static uint32_t tag_of(struct stoa_semaphore *semaphore)
{
	uint64_t agent = stoa_object_agent(&semaphore->object);

	return SEMAPHORE_TAG(LIFE_SLOT(agent), AGENT_THREAD(agent));
}

/* Closes it, or keeps it closed, for `tag`, unless another has it. */
static void close_gate(struct stoa_semaphore *semaphore, uint32_t tag)
{
	uint32_t lease = (lease_now() + SEMAPHORE_LEASE_UNITS) &
	                 SEMAPHORE_LEASE_MASK;
	uint64_t gate = SEMAPHORE_GATE(tag, lease);
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_relaxed);

	/* relaxed: gives and takes nothing */
	while (!semaphore_gate_closed(word, tag) &&
	       !atomic_compare_exchange_weak_explicit(
	               semaphore->word, &word,
	               (word & ~SEMAPHORE_GATE_MASK) | gate,
	               memory_order_relaxed, memory_order_relaxed))
		;
}

static void wake_all(struct stoa_semaphore *semaphore)
{
	if (stoa_event_asked(&semaphore->object, STOA_READ))
		stoa_event_raise(&semaphore->object, STOA_READ, STOA_FUTEX_ALL);
}

/* By one who gives up. */
static void open_gate(struct stoa_semaphore *semaphore, uint32_t tag)
{
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_relaxed);

	while (SEMAPHORE_GATE_TAG(word) == tag)
		/* seq_cst: EVENT_DEKKER, for those whom it kept out */
		if (atomic_compare_exchange_weak_explicit(
		            semaphore->word, &word,
		            word & ~SEMAPHORE_GATE_MASK, memory_order_seq_cst,
		            memory_order_relaxed)) {
			wake_all(semaphore);
			return;
		}
}

/* Whether whoever has the gate is dead. Of a life only the slot is known:
 * another that has it by now is taken for the owner, for a lease. */
static int gate_of_the_dead(struct stoa_semaphore *semaphore, uint64_t word)
{
	struct stoa_life *life = &semaphore->object.space->life;
	uint32_t slot = SEMAPHORE_TAG_SLOT(SEMAPHORE_GATE_TAG(word));
	struct life_record record;

	if (!semaphore_gate_closed(word, 0))
		return 0;
	int result = stoa_life_record(life, slot, &record);
	if (result < 0)
		return result == -ENOENT; /* else it can't be asked for */
	return !stoa_life_alive(life, LIFE_PEER(slot, record.generation));
}

/* By one whom it keeps out. 1: it is open now. */
static int open_dead_gate(struct stoa_semaphore *semaphore)
{
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_relaxed);

	if (stoa_likely(SEMAPHORE_GATE_TAG(word) == 0) ||
	    !gate_of_the_dead(semaphore, word))
		return 0;
	uint64_t gate = word & SEMAPHORE_GATE_MASK;
	do {
		/* seq_cst: as in open_gate() */
		if (atomic_compare_exchange_weak_explicit(
		            semaphore->word, &word,
		            word & ~SEMAPHORE_GATE_MASK, memory_order_seq_cst,
		            memory_order_relaxed)) {
			wake_all(semaphore);
			return 1;
		}
	} while ((word & SEMAPHORE_GATE_MASK) == gate);
	return 1;
}

/* ---- Waiting ----------------------------------------------------------------- */

static int take(struct stoa_semaphore *semaphore, uint32_t permits,
                uint32_t tag)
{
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_relaxed);
	for (;;) {
		if ((word & SEMAPHORE_VALUE_MASK) < permits ||
		    semaphore_gate_closed(word, tag))
			return -EAGAIN;
		/* acquire: pairs with the post's release. seq_cst: who opens
		 * the gate looks at the event */
		if (atomic_compare_exchange_weak_explicit(
		            semaphore->word, &word,
		            semaphore_gate_after(word, tag) - permits,
		            memory_order_seq_cst, memory_order_relaxed))
			break;
	}
	if (SEMAPHORE_GATE_TAG(word) != 0 &&
	    (word & SEMAPHORE_VALUE_MASK) > permits)
		wake_all(semaphore);
	return 0;
}

static int try_once(struct stoa_semaphore *semaphore, uint32_t permits,
                    uint32_t tag, struct stoa_deadline deadline)
{
	if (!semaphore->holders)
		return take(semaphore, permits, tag);
	return semaphore_undo_take(semaphore, permits, tag, deadline);
}

/* What the dead held may be what is missing, or what they kept. 0: nothing has
 * changed. */
static int bury(struct stoa_semaphore *semaphore)
{
	int opened = open_dead_gate(semaphore);

	if (!semaphore->holders)
		return opened;
	if (semaphore_undo_bury(semaphore) > 0)
		wake_all(semaphore);
	return 1;
}

/* seq_cst: EVENT_DEKKER, the permits are looked at next. A post then wakes
 * all. */
static void observe(struct stoa_semaphore *semaphore)
{
	_Atomic uint32_t *word = stoa_event_word(&semaphore->object, STOA_READ);

	if (!(atomic_load_explicit(word, memory_order_relaxed) &
	      EVENT_OBSERVERS))
		atomic_fetch_or_explicit(word, EVENT_OBSERVERS,
		                         memory_order_seq_cst);
}

/* Between a vain try and the next. */
static int await_change(struct stoa_semaphore *semaphore, uint32_t permits,
                        uint32_t tag, struct stoa_waiter *waiter)
{
	int slept = waiter->slept;

	if (semaphore->holders && waiter->armed)
		waiter->blocker = semaphore_undo_somebody(semaphore);
	int result = stoa_waiter_step(waiter);
	if (result < 0)
		return result;
	if (waiter->slept != slept)
		bury(semaphore);
	if (permits > 1 && waiter->armed) {
		observe(semaphore);
		if (waiter->slept >= PATIENCE)
			close_gate(semaphore, tag);
	}
	return 0;
}

static int take_or_wait(struct stoa_semaphore *semaphore, uint32_t permits,
                        struct stoa_deadline deadline)
{
	struct stoa_object *object = &semaphore->object;
	struct stoa_waiter waiter;
	int result = stoa_object_enter(object);

	if (result == 0)
		result = stoa_object_health(object);
	if (result < 0)
		return result;
	uint32_t tag = tag_of(semaphore);
	result = try_once(semaphore, permits, tag, deadline);
	if (result == -EAGAIN && bury(semaphore))
		result = try_once(semaphore, permits, tag, deadline);
	if (result == -EAGAIN && deadline.kind == STOA_DEADLINE_NOW)
		stoa_bell_rearm(object, STOA_READ);
	if (result != -EAGAIN || deadline.kind == STOA_DEADLINE_NOW)
		return result;
	stoa_waiter_init(&waiter, object, STOA_READ, deadline);
	stoa_waiter_may_yield(&waiter);
	for (;;) {
		int step = await_change(semaphore, permits, tag, &waiter);

		if (step < 0) {
			result = step;
			break;
		}
		result = try_once(semaphore, permits, tag, deadline);
		if (result != -EAGAIN)
			break;
	}
	if (result < 0 && permits > 1)
		open_gate(semaphore, tag);
	stoa_waiter_fini(&waiter);
	return result;
}

static int finish(struct stoa_semaphore *semaphore, int result)
{
	if (stoa_likely(stoa_object_healthy(&semaphore->object)))
		return result;
	return stoa_object_health(&semaphore->object);
}

/* All that needs a stack frame is kept out of the quick way: what it pushes
 * has to be in memory before a locked instruction begins. */
#define SLOW __attribute__((noinline))

static SLOW int bad_permits(struct stoa_semaphore *semaphore)
{
	return stoa_fail(-EINVAL,
	                 "semaphore %s gives and takes 1 to %u permits at a "
	                 "time",
	                 semaphore->object.name, semaphore->maximum);
}

static SLOW int wait_slowly(struct stoa_semaphore *semaphore, uint32_t permits,
                            struct stoa_deadline deadline)
{
	return finish(semaphore, take_or_wait(semaphore, permits, deadline));
}

/*
 * The swap is the last thing on the way that need not wait: loads after it
 * would wait for it, and whoever comes next for them. Health is looked at
 * before; a file that is cut short at the swap itself reads as zeros, so that
 * the swap fails.
 */
int stoa_semaphore_wait(struct stoa_semaphore *semaphore, uint32_t permits,
                        struct stoa_deadline deadline)
{
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_relaxed);

	if (stoa_unlikely(permits - 1 >= semaphore->maximum))
		return bad_permits(semaphore);
	/* acquire: pairs with add()'s release */
	if (stoa_likely(stoa_object_healthy(&semaphore->object) &&
	                !semaphore->holders && !(word & SEMAPHORE_GATE_MASK) &&
	                (word & SEMAPHORE_VALUE_MASK) >= permits &&
	                atomic_compare_exchange_strong_explicit(
	                        semaphore->word, &word, word - permits,
	                        memory_order_acquire, memory_order_relaxed)))
		return 0;
	return wait_slowly(semaphore, permits, deadline);
}

/* ---- Posting ----------------------------------------------------------------- */

static int overflow(struct stoa_semaphore *semaphore)
{
	return stoa_fail(-EOVERFLOW,
	                 "semaphore %s would have more than its maximum of %u "
	                 "permits",
	                 semaphore->object.name, semaphore->maximum);
}

/* The permits are there: EVENT_DEKKER's second half. */
static SLOW int tell(struct stoa_semaphore *semaphore, uint32_t permits)
{
	if (stoa_event_asked(&semaphore->object, STOA_READ))
		stoa_event_raise(&semaphore->object, STOA_READ, (int)permits);
	return finish(semaphore, 0);
}

static int add_with_undo(struct stoa_semaphore *semaphore, uint32_t permits)
{
	int result = stoa_object_enter(&semaphore->object);

	if (result == 0)
		result = stoa_object_health(&semaphore->object);
	if (result < 0)
		return result;
	return semaphore_undo_post(semaphore, permits);
}

static int add(struct stoa_semaphore *semaphore, uint32_t permits)
{
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_relaxed);
	do {
		if ((word & SEMAPHORE_VALUE_MASK) + permits >
		    semaphore->maximum)
			return -EOVERFLOW;
		/* seq_cst: as in stoa_semaphore_post() */
	} while (!atomic_compare_exchange_weak_explicit(
	        semaphore->word, &word, word + permits, memory_order_seq_cst,
	        memory_order_relaxed));
	return 0;
}

static SLOW int post_slowly(struct stoa_semaphore *semaphore, uint32_t permits)
{
	int result = semaphore->holders ? add_with_undo(semaphore, permits) :
	                                  add(semaphore, permits);

	if (result == -EOVERFLOW)
		result = overflow(semaphore);
	return result < 0 ? finish(semaphore, result) :
	                    tell(semaphore, permits);
}

int stoa_semaphore_post(struct stoa_semaphore *semaphore, uint32_t permits)
{
	struct stoa_events *events = semaphore->object.events;
	_Atomic uint64_t *at = semaphore->word;
	uint64_t word = atomic_load_explicit(at, memory_order_relaxed);

	if (stoa_unlikely(permits - 1 >= semaphore->maximum))
		return bad_permits(semaphore);
	/* seq_cst: EVENT_DEKKER, the event is looked at next; and release,
	 * pairs with the wait's acquire */
	if (stoa_unlikely(semaphore->holders ||
	                  (word & SEMAPHORE_VALUE_MASK) + permits >
	                          semaphore->maximum ||
	                  !atomic_compare_exchange_strong_explicit(
	                          at, &word, word + permits,
	                          memory_order_seq_cst, memory_order_relaxed)))
		return post_slowly(semaphore, permits);
	if (stoa_likely(!((atomic_load_explicit(&events->readable,
	                                        memory_order_seq_cst) &
	                   EVENT_ANYBODY) |
	                  atomic_load_explicit(&events->state,
	                                       memory_order_relaxed) |
	                  atomic_load_explicit(&semaphore->object.poisoned,
	                                       memory_order_relaxed))))
		return 0;
	return tell(semaphore, permits);
}

/* ---- Looking ----------------------------------------------------------------- */

static int look(struct stoa_semaphore *semaphore)
{
	int result = stoa_object_enter(&semaphore->object);

	if (result == 0)
		result = stoa_object_health(&semaphore->object);
	if (result == 0)
		bury(semaphore);
	return result;
}

static uint32_t value_now(struct stoa_semaphore *semaphore)
{
	return (uint32_t)(atomic_load_explicit(semaphore->word,
	                                       memory_order_acquire) &
	                  SEMAPHORE_VALUE_MASK);
}

int stoa_semaphore_value(struct stoa_semaphore *semaphore)
{
	int result = look(semaphore);

	if (result == 0)
		result = (int)value_now(semaphore);
	return finish(semaphore, result);
}

int stoa_semaphore_pollfd(struct stoa_semaphore *semaphore)
{
	int result = look(semaphore);

	if (result == 0 && !semaphore->object.header)
		return stoa_fail(-EOPNOTSUPP,
		                 "semaphore %s has no file beside which a poll "
		                 "descriptor's bell could stand; use one with "
		                 "a name",
		                 semaphore->object.name);
	if (result == 0)
		result = stoa_bell_open(&semaphore->object, STOA_READ);
	return finish(semaphore, result);
}

static void count_seats(struct stoa_semaphore *semaphore,
                        struct stoa_semaphore_status *status)
{
	struct stoa_object *object = &semaphore->object;
	uint32_t seats = stoa_object_seats(object);

	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(object, i);
		stoa_peer peer = seat ? atomic_load(&seat->owner) >> 16 : 0;

		if (peer == 0 || !stoa_life_alive(&object->space->life, peer))
			continue;
		status->users++;
		status->waiting += atomic_load(&seat->readers_waiting) != 0;
	}
}

static void count_holders(struct stoa_semaphore *semaphore,
                          struct stoa_semaphore_status *status)
{
	for (uint32_t i = 0; i < semaphore->holder_count; i++) {
		uint32_t held = atomic_load(&semaphore->holders[i].held);

		if (atomic_load(&semaphore->holders[i].peer) == 0 || held == 0)
			continue;
		status->holders++;
		status->held += held;
	}
}

int stoa_semaphore_stat(struct stoa_semaphore *semaphore,
                        struct stoa_semaphore_status *ret_status)
{
	struct stoa_semaphore_status status = { .size = sizeof status };
	struct stoa_object *object = &semaphore->object;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "status of semaphore %s: size must be "
		                 "sizeof(struct stoa_semaphore_status)",
		                 object->name);
	int result = look(semaphore);
	if (result < 0)
		return result;
	uint64_t word = atomic_load(semaphore->word);
	status.value = (uint32_t)(word & SEMAPHORE_VALUE_MASK);
	status.gate_closed = (uint32_t)semaphore_gate_closed(word, 0);
	status.maximum = semaphore->maximum;
	status.undo = semaphore->holders != NULL;
	status.created_ns = object->copy.created_ns;
	status.creator_pid = object->copy.creator_pid;
	status.generation = object->copy.generation;
	if (semaphore->holders)
		status.undone = atomic_load(&semaphore->extension->undone);
	count_seats(semaphore, &status);
	count_holders(semaphore, &status);
	result = finish(semaphore, 0);
	if (result == 0)
		*ret_status = status;
	return result;
}

int stoa_semaphore_each_holder(
        struct stoa_semaphore *semaphore,
        int (*visit)(const struct stoa_semaphore_holder *holder, void *context),
        void *context)
{
	struct stoa_life *life = &semaphore->object.space->life;
	int visited = 0;
	int result = stoa_object_enter(&semaphore->object);

	if (result == 0)
		result = stoa_object_health(&semaphore->object);
	for (uint32_t i = 0; i < semaphore->holder_count && result == 0; i++) {
		struct semaphore_holder *entry = &semaphore->holders[i];
		struct stoa_semaphore_holder holder = {
			.peer = atomic_load(&entry->peer) & AGENT_PEER(~0ull),
			.permits = atomic_load(&entry->held)
		};
		struct life_record record;

		if (holder.peer == 0 || holder.permits == 0)
			continue;
		holder.alive = stoa_life_alive(life, holder.peer);
		if (stoa_life_record(life, LIFE_SLOT(holder.peer), &record) ==
		            0 &&
		    record.generation == LIFE_GENERATION(holder.peer))
			holder.pid = record.pid;
		result = visit(&holder, context);
		visited++;
	}
	return finish(semaphore, result != 0 ? result : visited);
}

/* ---- As a kind ---------------------------------------------------------------- */

static int ready(struct stoa_object *object, unsigned direction,
                 const struct stoa_wait *wait)
{
	struct stoa_semaphore *semaphore = (struct stoa_semaphore *)object;
	uint64_t amount = wait && wait->amount ? wait->amount : 1;

	/* seq_cst: EVENT_DEKKER, the event was asked before */
	uint64_t word = atomic_load_explicit(semaphore->word,
	                                     memory_order_seq_cst);
	uint64_t value = word & SEMAPHORE_VALUE_MASK;
	if (direction == STOA_WRITE)
		return value < semaphore->maximum;
	if ((value < amount || semaphore_gate_closed(word, 0)) &&
	    bury(semaphore)) {
		word = atomic_load_explicit(semaphore->word,
		                            memory_order_seq_cst);
		value = word & SEMAPHORE_VALUE_MASK;
	}
	return value >= amount && !semaphore_gate_closed(word, 0);
}

static int bury_seat(struct stoa_object *object, uint32_t token)
{
	struct stoa_semaphore *semaphore = (struct stoa_semaphore *)object;
	(void)token; /* holders are peers */

	if (!semaphore->holders)
		return 0;
	return semaphore_undo_bury(semaphore) < 0 ? -EAGAIN : 0;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_semaphore *semaphore;
	int result = stoa_semaphore_open(space, name,
	                                 flags & ~(STOA_READ | STOA_WRITE), 0,
	                                 NULL, &semaphore);

	if (result == 0)
		*ret_object = &semaphore->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_semaphore_close((struct stoa_semaphore *)object);
}

const struct stoa_object_kind stoa_semaphore_kind = {
	.name = "semaphore",
	.number = KIND_SEMAPHORE,
	.bury = bury_seat,
	.ready = ready,
	.open = open_object,
	.close = close_object,
};
