/* SPDX-License-Identifier: MIT */
/* data/queue_inspect.c: looking at a queue, purging it, and notification. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <data/queue_internal.h>

#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#define PEEK_TRIES 100

/* ---- Statistics --------------------------------------------------------------- */

static void add_seat(struct stoa_queue *queue, uint32_t index,
                     struct stoa_queue_stat *stat)
{
	struct stoa_seat *seat = stoa_object_seat(&queue->object, index);

	if (!seat)
		return;
	int64_t in_ns = atomic_load(&seat->last_in_ns);
	int64_t out_ns = atomic_load(&seat->last_out_ns);
	stat->messages_in += atomic_load(&seat->messages_in);
	stat->bytes_in += atomic_load(&seat->bytes_in);
	stat->messages_out += atomic_load(&seat->messages_out);
	stat->bytes_out += atomic_load(&seat->bytes_out);
	if (in_ns > stat->last_send_ns) {
		stat->last_send_ns = in_ns;
		stat->last_sender_pid = atomic_load(&seat->last_in_pid);
	}
	if (out_ns > stat->last_receive_ns) {
		stat->last_receive_ns = out_ns;
		stat->last_receiver_pid = atomic_load(&seat->last_out_pid);
	}
	uint64_t owner = atomic_load(&seat->owner);
	if (owner >> 16 == 0 ||
	    !stoa_life_alive(&queue->object.space->life, owner >> 16))
		return;
	stat->users++;
	stat->receivers_waiting += atomic_load(&seat->readers_waiting);
	stat->senders_waiting += atomic_load(&seat->writers_waiting);
}

static void add_seats(struct stoa_queue *queue, struct stoa_queue_stat *stat)
{
	uint32_t seats = stoa_object_seats(&queue->object);

	for (uint32_t i = 0; i < seats; i++)
		add_seat(queue, i, stat);
}

static void add_cell(struct queue_cell *cell, struct stoa_queue_stat *stat)
{
	switch (QUEUE_WORD_PHASE(atomic_load_explicit(&cell->word,
	                                              memory_order_acquire))) {
	case QUEUE_READY:
	case QUEUE_RETURNED:
	case QUEUE_RETURNING:
		stat->messages++;
		stat->bytes += cell_get(cell, bytes);
		break;
	case QUEUE_TAKEN:
		stat->taken++;
		break;
	case QUEUE_RESERVED:
	case QUEUE_WRITING:
		stat->reserved++;
		break;
	default:
		break;
	}
}

int stoa_queue_stat(struct stoa_queue *queue, struct stoa_queue_stat *ret_stat)
{
	const struct stoa_object_header *header = &queue->object.copy;
	struct stoa_queue_stat stat = {
		.size = sizeof stat,
		.order = queue->order,
		.capacity = queue->capacity,
		.max_message_bytes = queue->max_message,
		.total_bytes = (uint64_t)queue->blocks * QUEUE_BLOCK_BYTES,
		.created_ns = header->created_ns,
		.creator_pid = header->creator_pid,
		.generation = header->generation,
		.label = { header->geometry[QUEUE_GEOMETRY_LABEL],
		           header->geometry[QUEUE_GEOMETRY_LABEL + 1] },
	};
	int result = stoa_object_enter(&queue->object);

	if (ret_stat->size != sizeof stat)
		return stoa_fail(-EINVAL, "stat of queue %s: size must be "
		                          "sizeof(struct stoa_queue_stat)",
		                 queue->object.name);
	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result < 0)
		return result;
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		add_cell(queue_cell_at(queue, i), &stat);
	add_seats(queue, &stat);
	stat.high_water = atomic_load(&queue->control->high_water);
	if (stat.high_water < stat.messages)
		stat.high_water = stat.messages;
	stat.returned = atomic_load(&queue->control->returned_total);
	result = (int)queue_end(queue, 0);
	if (result == 0)
		*ret_stat = stat;
	return result;
}

/* ---- Counting -------------------------------------------------------------------- */

/* What the index of an ordered queue lists. -EAGAIN: a stopped one has the
 * lock. */
static int count_listed(struct stoa_queue *queue,
                        struct stoa_queue_count *count)
{
	int result = queue_selection_lock(queue, STOA_NOW);

	if (result < 0)
		return result;
	result = queue_list_surely(queue);
	/* relaxed: changed under the selection lock only */
	count->messages = atomic_load_explicit(&queue->control->listed,
	                                       memory_order_relaxed);
	count->bytes = atomic_load_explicit(&queue->control->listed_bytes,
	                                    memory_order_relaxed);
	queue_selection_unlock(queue);
	return result;
}

static int count_messages(struct stoa_queue *queue,
                          struct stoa_queue_count *count)
{
	struct stoa_queue_stat stat = { 0 };
	int result = queue->order == STOA_FIFO ? -EAGAIN :
	                                         count_listed(queue, count);

	if (result != -EAGAIN)
		return result;
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		add_cell(queue_cell_at(queue, i), &stat);
	count->messages = stat.messages;
	count->bytes = stat.bytes;
	return 0;
}

static void count_last(struct stoa_queue *queue, struct stoa_queue_count *count)
{
	struct queue_control *control = queue->control;
	struct stoa_queue_stat stat = { 0 };

	if (queue->limits) {
		count->last_sender_pid = atomic_load(&control->last_sender_pid);
		count->last_send_ns = atomic_load(&control->last_send_ns);
		count->last_receiver_pid =
		        atomic_load(&control->last_receiver_pid);
		count->last_receive_ns = atomic_load(&control->last_receive_ns);
		return;
	}
	add_seats(queue, &stat);
	count->last_sender_pid = stat.last_sender_pid;
	count->last_send_ns = stat.last_send_ns;
	count->last_receiver_pid = stat.last_receiver_pid;
	count->last_receive_ns = stat.last_receive_ns;
}

/* As it was given: the most that fits is none. */
static uint64_t limit_or_none(uint64_t limit, uint64_t most)
{
	return limit == most ? STOA_QUEUE_UNLIMITED : limit;
}

int stoa_queue_count(struct stoa_queue *queue,
                     struct stoa_queue_count *ret_count)
{
	struct stoa_queue_count count = { .size = sizeof count };
	int result = stoa_object_enter(&queue->object);

	if (ret_count->size != sizeof count)
		return stoa_fail(-EINVAL,
		                 "count of queue %s: size must be "
		                 "sizeof(struct stoa_queue_count)",
		                 queue->object.name);
	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result == 0)
		result = count_messages(queue, &count);
	if (result < 0)
		return result;
	uint64_t limits = queue->limits ? queue_limits(queue) : UINT64_MAX;
	count.limit_bytes = limit_or_none(limits & QUEUE_LIMIT_BYTES,
	                                  QUEUE_LIMIT_BYTES);
	count.limit_messages = limit_or_none(limits >> QUEUE_LIMIT_BITS,
	                                     QUEUE_LIMIT_MESSAGES);
	count_last(queue, &count);
	result = (int)queue_end(queue, 0);
	if (result == 0)
		*ret_count = count;
	return result;
}

/* ---- Peeking -------------------------------------------------------------------- */

struct peeked {
	uint64_t key;
	struct queue_found found;
};

static int by_order(const void *a, const void *b)
{
	const struct peeked *left = a, *right = b;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return (left->found.position > right->found.position) -
	       (left->found.position < right->found.position);
}

/* What sorts before position: nothing, unless the order is by key. */
static uint64_t sort_key(struct stoa_queue *queue,
                         const struct stoa_selector *selector,
                         struct queue_cell *cell)
{
	if (queue->order == STOA_PRIORITY)
		return queue_key(queue, 0, cell_get(cell, priority));
	if (selector && selector->selection == STOA_LOWEST)
		return (uint64_t)cell_get(cell, type);
	return 0;
}

static uint64_t collect(struct stoa_queue *queue,
                        const struct stoa_selector *selector, int by_age,
                        struct peeked *peeked)
{
	uint64_t count = 0;

	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		struct queue_cell *cell = queue_cell_at(queue, i);
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_acquire);
		enum queue_phase phase = QUEUE_WORD_PHASE(word);

		if ((phase != QUEUE_READY && phase != QUEUE_RETURNED) ||
		    !queue_matches(selector, cell_get(cell, type)))
			continue;
		peeked[count++] = (struct peeked){
			by_age ? 0 : sort_key(queue, selector, cell),
			{ queue_position(queue,
			                 queue_near(queue,
			                            cell_get(cell, lap)),
			                 i),
			  word, cell, 0 }
		};
	}
	qsort(peeked, count, sizeof *peeked, by_order);
	return count;
}

/*
 * Copies what another process, or thread, may be overwriting: the caller looks
 * at the word after, and throws a torn copy away. That race is meant, so the
 * thread sanitizer is told to let it be; and the compiler, not to make a call
 * of memcpy from it, which the sanitizer would watch.
 */
__attribute__((no_sanitize("thread"))) static void
copy_racing(char *to, const char *from, size_t bytes)
{
	uint64_t word;

	for (; bytes >= sizeof word; bytes -= sizeof word) {
		__builtin_memcpy(&word, from, sizeof word);
		__builtin_memcpy(to, &word, sizeof word);
		from += sizeof word;
		to += sizeof word;
		__asm__ volatile("" ::: "memory");
	}
	for (; bytes > 0; bytes--) {
		*to++ = *from++;
		__asm__ volatile("" ::: "memory");
	}
}

/* Copies, then looks whether the message was there all the while. */
static int copy_out(struct stoa_queue *queue, const struct queue_found *found,
                    void *buffer, size_t buffer_bytes,
                    struct stoa_message *message)
{
	struct queue_cell *cell = found->cell;
	uint32_t payload = cell_get(cell, payload);

	queue_describe(queue, found, message);
	char *data = payload ? queue_arena_at(queue, payload, message->bytes) :
	                       (char *)queue_inline(queue, cell);
	int sound = data && (payload || message->bytes <= STOA_QUEUE_INLINE);
	if (sound && buffer_bytes != 0)
		copy_racing(buffer, data,
		            message->bytes < buffer_bytes ? message->bytes :
		                                            buffer_bytes);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&cell->word, memory_order_relaxed) !=
	    found->word)
		return -EAGAIN;
	if (!sound)
		return stoa_object_damaged(&queue->object,
		                           "a message's size or place can't be "
		                           "true");
	message->data = buffer;
	message->word = 0;
	return 0;
}

static ssize_t peek(struct stoa_queue *queue,
                    const struct stoa_selector *selector, int by_age,
                    uint64_t n, void *buffer, size_t buffer_bytes,
                    struct stoa_message *ret_message)
{
	struct stoa_message message = { 0 };
	int result = stoa_object_enter(&queue->object);

	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result == 0)
		result = queue_check_selector(queue, selector);
	if (result < 0)
		return result;
	if (!(queue->object.flags & STOA_READ))
		return stoa_fail(-EBADF,
		                 "queue %s was not opened to receive: open it "
		                 "with STOA_READ to peek",
		                 queue->object.name);
	struct peeked *peeked = malloc(queue->capacity * sizeof *peeked);
	if (!peeked)
		return stoa_fail(-ENOMEM, "no memory to peek into queue %s",
		                 queue->object.name);
	for (int tries = 0; tries < PEEK_TRIES; tries++) {
		uint64_t count = collect(queue, selector, by_age, peeked);

		result = n < count ? copy_out(queue, &peeked[n].found, buffer,
		                              buffer_bytes, &message) :
		                     -ENOMSG;
		if (result != -EAGAIN)
			break;
	}
	free(peeked);
	result = (int)queue_end(queue, result);
	if (result < 0)
		return result;
	if (ret_message)
		*ret_message = message;
	return (ssize_t)message.bytes;
}

ssize_t stoa_queue_peek(struct stoa_queue *queue,
                        const struct stoa_selector *selector, uint64_t n,
                        void *buffer, size_t buffer_bytes,
                        struct stoa_message *ret_message)
{
	return peek(queue, selector, 0, n, buffer, buffer_bytes, ret_message);
}

ssize_t stoa_queue_peek_at(struct stoa_queue *queue, uint64_t n, void *buffer,
                           size_t buffer_bytes,
                           struct stoa_message *ret_message)
{
	return peek(queue, NULL, 1, n, buffer, buffer_bytes, ret_message);
}

/* ---- Purging ---------------------------------------------------------------------- */

static int purge_cell(struct stoa_queue *queue, struct queue_cell *cell,
                      int locked)
{
	uint64_t word = atomic_load_explicit(&cell->word, memory_order_acquire);
	enum queue_phase phase = QUEUE_WORD_PHASE(word);
	uint64_t unit = queue_counted(cell);

	if (phase != QUEUE_READY && phase != QUEUE_RETURNED)
		return 0;
	queue_note_disorder(queue, cell, word);
	if (!queue_exchange(cell, word, queue_freed(queue, word)))
		return 0;
	if (locked && queue->limits)
		queue_leave(queue, unit);
	return 1;
}

int stoa_queue_purge(struct stoa_queue *queue)
{
	int result = stoa_object_enter(&queue->object);
	int purged = 0;

	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result < 0)
		return result;
	if (!(queue->object.flags & STOA_READ))
		return stoa_fail(-EBADF, "queue %s was not opened to receive",
		                 queue->object.name);
	/* Without the lock only if a stopped one has it. */
	int locked = queue->order != STOA_FIFO &&
	             queue_selection_lock(queue, STOA_NOW) == 0;
	if (queue->order != STOA_FIFO && !locked)
		queue_doubt(queue);
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		if (purge_cell(queue, queue_cell_at(queue, i), locked) &&
		    purged < INT_MAX)
			purged++;
	if (locked) {
		queue_distrust_index(queue);
		queue_selection_unlock(queue);
	}
	if (stoa_event_asked(&queue->object, STOA_WRITE))
		stoa_event_raise(&queue->object, STOA_WRITE, INT_MAX);
	return (int)queue_end(queue, purged);
}

/* ---- Notification ------------------------------------------------------------------- */

/* While a registration is being written its token has this bit, and fires
 * nothing. */
#define REGISTERING 0x80000000u
#define NOTIFIER_SENT 0x80000000u

static int drop(struct queue_control *control, uint32_t token)
{
	/* acq_rel: the registration's words are the token's */
	if (!atomic_compare_exchange_strong_explicit(
	            &control->notify_token, &token, 0, memory_order_acq_rel,
	            memory_order_relaxed))
		return 0;
	stoa_futex_wake(&control->notify_token, STOA_FUTEX_ALL);
	return 1;
}

static int claim_registration(struct stoa_queue *queue, uint32_t own)
{
	struct queue_control *control = queue->control;

	for (int tries = 0; tries < 100; tries++) {
		uint32_t holder = 0;

		if (atomic_compare_exchange_strong_explicit(
		            &control->notify_token, &holder, own | REGISTERING,
		            memory_order_acq_rel, memory_order_acquire))
			return 0;
		if (stoa_object_alive(&queue->object, holder & ~REGISTERING))
			break;
		drop(control, holder);
	}
	return stoa_fail(-EBUSY,
	                 "another handle is registered for notification on "
	                 "queue %s",
	                 queue->object.name);
}

/*
 * Whom to signal is said by shared memory, and done with this process's right.
 * So it's believed only where nobody of another user can have written it.
 * 1, 0, or -errno.
 */
static int only_own_user_writes(struct stoa_queue *queue)
{
	struct stat stat;
	int result = stoa_sys_fstat(queue->object.fd, &stat);

	if (result < 0)
		return result;
	return stat.st_ino == queue->object.inode &&
	       stat.st_uid == (uid_t)stoa_sys_getuid() &&
	       !(stat.st_mode & (S_IWGRP | S_IWOTH));
}

int stoa_queue_notify(struct stoa_queue *queue,
                      const struct stoa_notification *notification)
{
	struct queue_control *control = queue->control;
	uint32_t own = stoa_object_token(&queue->object);
	int result = stoa_object_enter(&queue->object);

	if (result < 0)
		return result;
	own = stoa_object_token(&queue->object);
	if (!notification) {
		drop(control, own);
		return (int)queue_end(queue, 0);
	}
	if (notification->size != sizeof *notification ||
	    notification->signal_number < 0 ||
	    notification->signal_number > SIGRTMAX ||
	    notification->signal_number == SIGKILL ||
	    notification->signal_number == SIGSTOP)
		return stoa_fail(-EINVAL,
		                 "notification on queue %s: size or signal "
		                 "number is wrong",
		                 queue->object.name);
	result = stoa_object_health(&queue->object);
	if (result == 0)
		result = notification->signal_number == 0 ?
		                 1 :
		                 only_own_user_writes(queue);
	if (result == 0)
		return stoa_fail(-EPERM,
		                 "queue %s may be written by other users, who "
		                 "could forge whom to signal; make it of mode "
		                 "0600, or ask for no signal, and wait",
		                 queue->object.name);
	if (result > 0)
		result = claim_registration(queue, own);
	if (result < 0)
		return result;
	atomic_store(&control->notify_pid, stoa_sys_getpid());
	atomic_store(&control->notify_signal, notification->signal_number);
	atomic_store(&control->notify_value,
	             (uint64_t)(uintptr_t)notification->value.sival_ptr);
	atomic_store(&control->notify_peer,
	             atomic_load(&queue->object.peer));
	/* The count first: whoever still reads the last one's notifier. */
	atomic_store(&queue->notify_count,
	             atomic_fetch_add(&control->notify_count, 1) + 1);
	atomic_store(&control->notifier, 0);
	/* seq_cst: EVENT_DEKKER; senders look for the bit after committing */
	atomic_store(&control->notify_token, own);
	atomic_fetch_or(&queue->object.header->events.readable, EVENT_NOTIFY);
	return (int)queue_end(queue, 0);
}

/* By pidfd, and asking for the peer's life after it was opened: the number
 * can't have become another process's. */
static void signal_peer(struct stoa_queue *queue, stoa_peer peer, pid_t pid,
                        int number, uint64_t value)
{
	siginfo_t info = { 0 };
	int fd;

	if (pid <= 0 || number <= 0 || number > SIGRTMAX ||
	    number == SIGKILL || number == SIGSTOP)
		return;
	fd = (int)stoa_system_call(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
	if (fd < 0)
		return;
	if (stoa_life_alive(&queue->object.space->life, peer)) {
		info.si_signo = number;
		info.si_code = SI_MESGQ;
		info.si_pid = stoa_sys_getpid();
		info.si_uid = (uid_t)stoa_sys_getuid();
		info.si_value.sival_ptr = (void *)(uintptr_t)value;
		stoa_system_call(SYS_pidfd_send_signal, fd, number,
		                 (long)&info, 0, 0, 0);
	}
	stoa_sys_close(fd);
}

#define NO_INDEX UINT32_MAX

/* Whether the queue has no message, but for the one at `index`. */
static int was_empty(struct stoa_queue *queue, uint32_t index)
{
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		enum queue_phase phase = QUEUE_WORD_PHASE(atomic_load_explicit(
		        &queue_cell_at(queue, i)->word, memory_order_acquire));

		if ((phase == QUEUE_READY || phase == QUEUE_RETURNED) &&
		    i != index)
			return 0;
	}
	return 1;
}

/* Whether a receiver waits that was awake just now, between two slices of its
 * sleep: it is told by the event that it is about to look at. */
static int receiver_waits(struct stoa_queue *queue)
{
	uint32_t seats = stoa_object_seats(&queue->object);

	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(&queue->object, i);
		uint64_t owner;

		if (!seat || atomic_load(&seat->readers_waiting) == 0)
			continue;
		owner = atomic_load(&seat->owner);
		if (owner >> 16 != 0 &&
		    stoa_life_alive(&queue->object.space->life, owner >> 16))
			return 1;
	}
	return 0;
}

/* Uses the registration up that has the token. */
static void notify(struct stoa_queue *queue, uint32_t token)
{
	struct queue_control *control = queue->control;
	int32_t pid = atomic_load(&control->notify_pid);
	int32_t number = atomic_load(&control->notify_signal);
	uint64_t value = atomic_load(&control->notify_value);
	stoa_peer peer = atomic_load(&control->notify_peer);
	int sends = number != 0 && only_own_user_writes(queue) > 0;

	atomic_store(&control->notifier,
	             (uint64_t)stoa_sys_getuid() << 32 |
	                     (sends ? NOTIFIER_SENT : 0) |
	                     (uint32_t)stoa_sys_getpid());
	if (drop(control, token) && sends)
		signal_peer(queue, peer, pid, number, value);
}

void queue_notify_arrival(struct stoa_queue *queue, uint64_t position)
{
	struct queue_control *control = queue->control;
	uint32_t token = atomic_load(&control->notify_token);

	if (token & REGISTERING)
		return;
	if (token == 0) {
		atomic_fetch_and(&queue->object.header->events.readable,
		                 ~(uint32_t)EVENT_NOTIFY);
		/* A registration made in between has its bit taken away. */
		if (atomic_load(&control->notify_token) != 0)
			atomic_fetch_or(&queue->object.header->events.readable,
			                EVENT_NOTIFY);
		return;
	}
	if (was_empty(queue, queue_index_of(queue, position)) &&
	    !receiver_waits(queue))
		notify(queue, token);
}

void queue_notify_late(struct stoa_queue *queue)
{
	uint32_t token = atomic_load(&queue->control->notify_token);

	if (token != 0 && !(token & REGISTERING) &&
	    !was_empty(queue, NO_INDEX) && !receiver_waits(queue))
		notify(queue, token);
}

uint32_t stoa_queue_registration(struct stoa_queue *queue)
{
	return atomic_load(&queue->notify_count);
}

/* Whether this handle's registration is still there. */
static int still_registered(struct stoa_queue *queue, uint32_t own,
                            uint32_t registration)
{
	struct queue_control *control = queue->control;

	return atomic_load(&control->notify_token) == own &&
	       atomic_load(&control->notify_count) == registration;
}

/* As long as nobody else has registered, the notifier is this one's. */
static void tell_notifier(struct stoa_queue *queue, uint32_t registration,
                          struct stoa_notifier *notifier)
{
	uint64_t word = atomic_load(&queue->control->notifier);

	notifier->pid = (pid_t)((uint32_t)word & ~NOTIFIER_SENT);
	notifier->uid = (uid_t)(word >> 32);
	notifier->signalled = (word & NOTIFIER_SENT) != 0;
	if (atomic_load(&queue->control->notify_count) == registration)
		return;
	notifier->pid = 0;
	notifier->signalled = 1;
}

int stoa_queue_await(struct stoa_queue *queue, uint32_t registration,
                     struct stoa_deadline deadline,
                     struct stoa_notifier *ret_notifier)
{
	uint32_t own = stoa_object_token(&queue->object);
	int result = 0;

	if (ret_notifier && ret_notifier->size != sizeof *ret_notifier)
		return stoa_fail(-EINVAL, "notifier of queue %s: size must be "
		                          "sizeof(struct stoa_notifier)",
		                 queue->object.name);
	while (result == 0 && still_registered(queue, own, registration)) {
		int64_t left = stoa_deadline_left(deadline);

		if (left == 0)
			return stoa_deadline_result(deadline);
		/* Who used it up may have died before it woke anybody. */
		result = stoa_futex_wait(&queue->control->notify_token, own,
		                         left < STOA_SLICE_NS ? left :
		                                                STOA_SLICE_NS);
		if (result != -EINTR ||
		    !(queue->object.flags & STOA_INTERRUPTIBLE))
			result = stoa_object_health(&queue->object);
	}
	result = (int)queue_end(queue, result);
	if (result < 0)
		return result;
	if (ret_notifier)
		tell_notifier(queue, registration, ret_notifier);
	return 0;
}
