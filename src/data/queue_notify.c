/* SPDX-License-Identifier: MIT */
/* data/queue_notify.c: one signal when a message comes to the empty queue; see
 * NOTIFICATION in queue_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <data/queue_internal.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

/* While a registration is being written its token has this bit, and fires
 * nothing. */
#define REGISTERING 0x80000000u
#define NOTIFIER_SENT 0x80000000u
#define AWAIT_SPINS 200
#define STATUS_BYTES 2048

/* ---- The registration ------------------------------------------------------------- */

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

/* ---- Signals that are on their way -------------------------------------------------- */

/* The half that is slept on: both of stoa's machines put it first. */
static _Atomic uint32_t *firing_word(struct queue_control *control)
{
	return (_Atomic uint32_t *)&control->firing;
}

/* What this thread has announced: a handler that has interrupted it doesn't wait
 * for it. */
static __thread uint64_t announced;

/* seq_cst: NOTIFICATION */
static void announce(struct stoa_queue *queue)
{
	announced = QUEUE_FIRING(atomic_load(&queue->control->notify_count),
	                         stoa_object_token(&queue->object));
	atomic_store(&queue->control->firing, announced);
}

static void end_firing(struct queue_control *control, uint64_t firing)
{
	firing &= ~(uint64_t)QUEUE_FIRING_AWAITED;
	if (atomic_compare_exchange_strong(&control->firing, &firing, 0))
		return;
	firing |= QUEUE_FIRING_AWAITED;
	if (atomic_compare_exchange_strong(&control->firing, &firing, 0))
		stoa_futex_wake(firing_word(control), STOA_FUTEX_ALL);
}

void queue_notify_over(struct stoa_queue *queue)
{
	uint64_t firing = announced;

	announced = 0;
	if (firing != 0)
		end_firing(queue->control, firing);
}

/* To this process, and from elsewhere? */
static int is_for_own(struct stoa_queue *queue, uint64_t firing)
{
	return (firing & ~(uint64_t)QUEUE_FIRING_AWAITED) != announced &&
	       QUEUE_FIRING_COUNT(firing) ==
	               atomic_load(&queue->control->notify_count) &&
	       atomic_load(&queue->control->notify_peer) ==
	               atomic_load_explicit(&queue->object.peer,
	                                    memory_order_relaxed);
}

static int sleep_until_fired(struct queue_control *control, uint64_t firing)
{
	uint64_t awaited = firing | QUEUE_FIRING_AWAITED;

	if (firing != awaited &&
	    !atomic_compare_exchange_strong(&control->firing, &firing, awaited))
		return 0;
	return stoa_futex_wait(firing_word(control), (uint32_t)awaited,
	                       STOA_SLICE_NS);
}

/* Whether it was on its way: handlers of signals may have run. */
int queue_await_signal(struct stoa_queue *queue)
{
	struct queue_control *control = queue->control;
	int64_t now, begun = 0;
	int looks = 0;

	for (;; looks++) {
		/* seq_cst: NOTIFICATION */
		uint64_t firing = atomic_load(&control->firing);
		uint32_t token = QUEUE_FIRING_TOKEN(firing);

		if (firing == 0 || !is_for_own(queue, firing))
			return looks != 0;
		if (looks < AWAIT_SPINS) {
			stoa_cpu_pause();
			continue;
		}
		if (!stoa_object_alive(&queue->object, token)) {
			queue_bury_firing(queue, token);
			continue;
		}
		now = stoa_sys_clock_ns(CLOCK_MONOTONIC);
		if (begun == 0)
			begun = now;
		if (now - begun > QUEUE_FIRING_NS)
			end_firing(control, firing);
		else
			sleep_until_fired(control, firing);
	}
}

/* The sender that it names is dead. Others may do the same at the same time:
 * then it may be signalled twice, but not never. */
void queue_bury_firing(struct stoa_queue *queue, uint32_t token)
{
	struct queue_control *control = queue->control;
	uint64_t firing = atomic_load(&control->firing);
	uint32_t nobody = 0;

	if (firing == 0 || QUEUE_FIRING_TOKEN(firing) != token)
		return;
	if (QUEUE_FIRING_COUNT(firing) == atomic_load(&control->notify_count) &&
	    (atomic_load(&control->notifier) & NOTIFIER_SENT) &&
	    !STOA_BUG(150)) {
		atomic_compare_exchange_strong(
		        &control->notify_token, &nobody,
		        atomic_load(&control->notify_owner) & ~REGISTERING);
		atomic_fetch_or(&queue->object.header->events.readable,
		                EVENT_NOTIFY);
	}
	end_firing(control, firing);
	queue_notify_late(queue);
}

/* ---- Registering ------------------------------------------------------------------ */

/*
 * Whom to signal is said by shared memory, and done with this process's right.
 * So it's believed only where nobody but the file's owner can have written it.
 * 1, 0, or -errno.
 */
static int only_owner_writes(struct stoa_queue *queue, uid_t *ret_owner)
{
	struct stat stat;
	int result = stoa_sys_fstat(queue->object.fd, &stat);

	if (result < 0)
		return result;
	*ret_owner = stat.st_uid;
	return stat.st_ino == queue->object.inode &&
	       !(stat.st_mode & (S_IWGRP | S_IWOTH));
}

static int check_registrant(struct stoa_queue *queue, int number)
{
	uid_t owner = 0;
	int result = stoa_object_health(&queue->object);

	if (result < 0 || number == 0)
		return result;
	result = only_owner_writes(queue, &owner);
	if (result < 0)
		return result;
	if (result == 1 && owner == (uid_t)stoa_sys_getuid())
		return 0;
	return stoa_fail(-EPERM,
	                 "queue %s may be written by other users, who "
	                 "could forge whom to signal; make it of mode "
	                 "0600, or ask for no signal, and wait",
	                 queue->object.name);
}

static void write_registration(struct stoa_queue *queue, uint32_t own,
                               const struct stoa_notification *notification)
{
	struct queue_control *control = queue->control;
	_Atomic uint32_t *event = &queue->object.header->events.readable;

	atomic_store(&control->notify_pid, stoa_sys_getpid());
	atomic_store(&control->notify_signal, notification->signal_number);
	atomic_store(&control->notify_value,
	             (uint64_t)(uintptr_t)notification->value.sival_ptr);
	atomic_store(&control->notify_peer, atomic_load(&queue->object.peer));
	atomic_store(&control->notify_owner, own);
	/* The count first: whoever still reads the last one's notifier. */
	atomic_store(&queue->notify_count,
	             atomic_fetch_add(&control->notify_count, 1) + 1);
	atomic_store(&control->notifier, 0);
	/* seq_cst: EVENT_DEKKER; senders look for the bit after committing. It
	 * counts, so that whoever takes the last one's bit away fails. */
	atomic_store(&control->notify_token, own);
	atomic_fetch_add(event, EVENT_COUNT);
	atomic_fetch_or(event, EVENT_NOTIFY);
}

static int give_up_registration(struct stoa_queue *queue, uint32_t own)
{
	drop(queue->control, own);
	/* One that was used up is over when its signal was sent; one whose
	 * sender died is there again. */
	if (queue_await_signal(queue))
		drop(queue->control, own);
	return (int)queue_end(queue, 0);
}

int stoa_queue_notify(struct stoa_queue *queue,
                      const struct stoa_notification *notification)
{
	int result = stoa_object_enter(&queue->object);
	uint32_t own = stoa_object_token(&queue->object);

	if (result < 0)
		return result;
	if (!notification)
		return give_up_registration(queue, own);
	if (notification->size != sizeof *notification ||
	    notification->signal_number < 0 ||
	    notification->signal_number > SIGRTMAX ||
	    notification->signal_number == SIGKILL ||
	    notification->signal_number == SIGSTOP)
		return stoa_fail(-EINVAL,
		                 "notification on queue %s: size or signal "
		                 "number is wrong",
		                 queue->object.name);
	result = check_registrant(queue, notification->signal_number);
	queue_await_signal(queue); /* whose handler may register */
	if (result == 0)
		result = claim_registration(queue, own);
	if (result < 0)
		return result;
	queue_await_signal(queue);
	write_registration(queue, own, notification);
	return (int)queue_end(queue, 0);
}

/* ---- Whom to signal ----------------------------------------------------------------- */

/* Are the real, the effective and the saved user of the process all `owner`?
 * Then he could have sent the signal himself. */
static int is_owners(pid_t pid, uid_t owner)
{
	char path[sizeof "/proc//status" + 12], text[STATUS_BYTES];
	unsigned real, effective, saved;
	ssize_t bytes = -1;
	const char *line;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	fd = stoa_sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		bytes = stoa_sys_read(fd, text, sizeof text - 1);
		stoa_sys_close(fd);
	}
	if (bytes <= 0)
		return 0;
	text[bytes] = 0;
	line = strstr(text, "\nUid:");
	return line &&
	       sscanf(line, "\nUid: %u %u %u", &real, &effective, &saved) ==
	               3 &&
	       real == owner && effective == owner && saved == owner;
}

/*
 * A pidfd of whom to signal, or -errno: nobody. By pidfd, and asking for the
 * peer's life after it was opened, as the number may be another process's by
 * then. In a queue of another user's, which only he may write, no more is done
 * for him than he could do: who may signal all (root) signals his processes
 * only.
 */
static int open_target(struct stoa_queue *queue, stoa_peer peer, pid_t pid,
                       int number)
{
	uid_t owner = 0;
	int fd;

	if (pid <= 0 || number <= 0 || number > SIGRTMAX ||
	    number == SIGKILL || number == SIGSTOP ||
	    only_owner_writes(queue, &owner) != 1)
		return -EPERM;
	fd = (int)stoa_system_call(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
	if (fd < 0)
		return fd;
	if ((owner == (uid_t)stoa_sys_getuid() || is_owners(pid, owner)) &&
	    stoa_life_alive(&queue->object.space->life, peer) &&
	    stoa_system_call(SYS_pidfd_send_signal, fd, 0, 0, 0, 0, 0) == 0)
		return fd;
	stoa_sys_close(fd);
	return -EPERM;
}

static void signal_target(int fd, int number, uint64_t value)
{
	siginfo_t info = { 0 };

	info.si_signo = number;
	info.si_code = SI_MESGQ;
	info.si_pid = stoa_sys_getpid();
	info.si_uid = (uid_t)stoa_sys_getuid();
	info.si_value.sival_ptr = (void *)(uintptr_t)value;
	stoa_system_call(SYS_pidfd_send_signal, fd, number, (long)&info, 0, 0,
	                 0);
}

/* Uses the registration up that has the token. */
static void notify(struct stoa_queue *queue, uint32_t token)
{
	struct queue_control *control = queue->control;
	int number = atomic_load(&control->notify_signal);
	uint64_t value = atomic_load(&control->notify_value);
	int fd = number == 0 ? -ENOENT :
	                       open_target(queue,
	                                   atomic_load(&control->notify_peer),
	                                   atomic_load(&control->notify_pid),
	                                   number);

	atomic_store(&control->notifier,
	             (uint64_t)stoa_sys_getuid() << 32 |
	                     (fd >= 0 ? NOTIFIER_SENT : 0) |
	                     (uint32_t)stoa_sys_getpid());
	if (drop(control, token) && fd >= 0)
		signal_target(fd, number, value);
	if (fd >= 0)
		stoa_sys_close(fd);
}

/* ---- Whether to ---------------------------------------------------------------------- */

static int is_message(uint64_t word)
{
	enum queue_phase phase = QUEUE_WORD_PHASE(word);

	return phase == QUEUE_READY || phase == QUEUE_RETURNED;
}

/* acquire; NOTIFICATION needs the order of the sender's own steps, which the
 * read-modify-writes before give */
static uint64_t word_at(struct stoa_queue *queue, uint32_t index)
{
	return atomic_load(&queue_cell_at(queue, index)->word);
}

static int has_message(struct stoa_queue *queue)
{
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		if (is_message(word_at(queue, i)))
			return 1;
	return 0;
}

/* Whether the cell's message was sent before the one at the position. */
static int is_older(struct stoa_queue *queue, uint64_t word, uint32_t index,
                    uint64_t position)
{
	int32_t laps = queue_ahead(queue, word, position);

	return laps < 0 ||
	       (laps == 0 && index < queue_index_of(queue, position));
}

/*
 * Whether `messages` came to the empty queue, the last of them at `position`.
 * Younger ones don't count: their senders leave it to this one. But if it came
 * back it's no sender's.
 */
static int came_to_empty(struct stoa_queue *queue, uint64_t position,
                         int messages)
{
	uint32_t own = queue_index_of(queue, position);
	int came_back = QUEUE_WORD_PHASE(word_at(queue, own)) == QUEUE_RETURNED;

	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		uint64_t word = word_at(queue, i);

		if (i == own || !is_message(word))
			continue;
		if ((came_back || is_older(queue, word, i, position)) &&
		    --messages == 0)
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

		/* seq_cst: NOTIFICATION */
		if (!seat || atomic_load(&seat->readers_waiting) == 0)
			continue;
		owner = atomic_load(&seat->owner);
		if (owner >> 16 != 0 &&
		    stoa_life_alive(&queue->object.space->life, owner >> 16))
			return 1;
	}
	return 0;
}

/* ---- Telling ------------------------------------------------------------------------- */

#define SOMEWHERE UINT64_MAX

/* The message itself is looked at before the others: see NOTIFICATION. */
static int is_there(struct stoa_queue *queue, uint64_t position)
{
	return (position != SOMEWHERE &&
	        is_message(word_at(queue, queue_index_of(queue, position)))) ||
	       has_message(queue);
}

/* All of them: the handler of the very signal runs when that is over, or others
 * would wait for it. Returns those that were blocked. */
static uint64_t block_signals(void)
{
	uint64_t all = UINT64_MAX, before = 0;

	stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all,
	                 (long)&before, sizeof all, 0, 0);
	return before;
}

static void tell(struct stoa_queue *queue, uint32_t token, uint64_t position)
{
	uint64_t before = block_signals();
	int certain = announced != 0 && position != SOMEWHERE;

	if (!certain)
		announce(queue);
	if ((certain || is_there(queue, position)) && !receiver_waits(queue))
		notify(queue, token);
	queue_notify_over(queue);
	stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0,
	                 sizeof before, 0, 0);
}

void queue_notify_expect(struct stoa_queue *queue)
{
	uint32_t token = atomic_load(&queue->control->notify_token);

	if (token != 0 && !(token & REGISTERING) && !has_message(queue) &&
	    !receiver_waits(queue))
		announce(queue);
}

/* Nobody is registered any more: senders needn't look. The event first, then
 * the token, then who may still be signalling by it. */
static void forget_registrations(struct stoa_queue *queue)
{
	_Atomic uint32_t *word = &queue->object.header->events.readable;
	uint32_t event = atomic_load(word);

	if (atomic_load(&queue->control->notify_token) == 0 &&
	    atomic_load(&queue->control->firing) == 0)
		atomic_compare_exchange_strong(word, &event,
		                               event & ~(uint32_t)EVENT_NOTIFY);
}

void queue_notify_arrival(struct stoa_queue *queue, uint64_t position,
                          int messages)
{
	uint32_t token = atomic_load(&queue->control->notify_token);

	if (token == 0)
		forget_registrations(queue);
	else if (!(token & REGISTERING) &&
	         came_to_empty(queue, position, messages) &&
	         !receiver_waits(queue))
		tell(queue, token, position);
}

void queue_notify_late(struct stoa_queue *queue)
{
	uint32_t token = atomic_load(&queue->control->notify_token);

	if (token != 0 && !(token & REGISTERING) && has_message(queue) &&
	    !receiver_waits(queue))
		tell(queue, token, SOMEWHERE);
}

/* ---- Waiting for it ------------------------------------------------------------------ */

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

/* A sender that used it up and died signalling has left it there again. */
static int is_registered(struct stoa_queue *queue, uint32_t own,
                         uint32_t registration)
{
	return still_registered(queue, own, registration) ||
	       (queue_await_signal(queue) &&
	        still_registered(queue, own, registration));
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
	while (result == 0 && is_registered(queue, own, registration)) {
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
