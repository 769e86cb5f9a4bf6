/* SPDX-License-Identifier: MIT */
/*
 * kernel/signal_handle.c: dispositions, and handlers with a context.
 *
 * The kernel tells a handler the number and no more; so what to call with which
 * context stands in one static table. A handler must not wait for a lock that
 * the thread it interrupted may have. So each entry has two slots:
 *
 *   turn t             slot[t & 1] is in force; the other may be being written
 *   writer (one, under the lock): writes slot[(t + 1) & 1], then turn = t + 1
 *   handler: reads turn, copies the slot, reads turn again. Unchanged: the copy
 *            is whole, as that slot isn't written before turn is t + 1.
 *            Changed: once more; so only who changes on and on holds it up.
 *
 * TURN: release at the writer's store, pairs with the handler's acquire.
 *
 * A handler that finds its entry empty came late: the signal was delivered just
 * before the disposition changed. It is sent to this thread again, and does what
 * is in force now; none is lost.
 */
#include <base/error.h>
#include <base/private_lock.h>
#include <base/system.h>
#include <kernel/signal_internal.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define CHAIN_MAX 64 /* handlers on one another */
#define KNOWN_FLAGS                                                          \
	(STOA_SIGNAL_RESTARTS | STOA_SIGNAL_CHAINS | STOA_SIGNAL_ONCE |      \
	 STOA_SIGNAL_NESTS | STOA_SIGNAL_ON_STACK | STOA_SIGNAL_ENDS_ONLY)

typedef void handler_fn(const struct stoa_signal_info *info, void *context);

struct entry {
	handler_fn *handler; /* NULL: none */
	void *context;
	const struct stoa_signal_saved *chained; /* CHAINS: what was before */
};

struct slot {
	_Atomic(handler_fn *) handler;
	_Atomic(void *) context;
	_Atomic(const struct stoa_signal_saved *) chained;
};

static struct {
	_Atomic uint32_t turn;
	struct slot slot[2];
} table[STOA_SIGNAL_MAX + 1];

static struct stoa_lock table_lock; /* of those who change it */

/* ---- The table -------------------------------------------------------------- */

/* relaxed within: TURN orders them, and the second look at it tells whether
 * they belong together. */
static struct entry read_entry(int number)
{
	struct entry entry;
	uint32_t turn, again;

	do {
		turn = atomic_load_explicit(&table[number].turn,
		                            memory_order_acquire);
		struct slot *slot = &table[number].slot[turn & 1];

		entry.handler = atomic_load_explicit(&slot->handler,
		                                     memory_order_acquire);
		entry.context = atomic_load_explicit(&slot->context,
		                                     memory_order_acquire);
		entry.chained = atomic_load_explicit(&slot->chained,
		                                     memory_order_acquire);
		/* The acquire loads above keep this one behind them; one that
		 * read a later store sees the turn before it, too. */
		again = atomic_load_explicit(&table[number].turn,
		                             memory_order_relaxed);
	} while (turn != again);
	return entry;
}

static void write_entry(int number, struct entry entry)
{
	uint32_t turn = atomic_load_explicit(&table[number].turn,
	                                     memory_order_relaxed);
	struct slot *slot = &table[number].slot[(turn + 1) & 1];

	/* release: whoever reads one of these before the turn is his finds the
	 * turn changed. Pairs with the acquire loads in read_entry(). */
	atomic_store_explicit(&slot->handler, entry.handler,
	                      memory_order_release);
	atomic_store_explicit(&slot->context, entry.context,
	                      memory_order_release);
	atomic_store_explicit(&slot->chained, entry.chained,
	                      memory_order_release);
	/* TURN: release, pairs with acquire in read_entry() */
	atomic_store_explicit(&table[number].turn, turn + 1,
	                      memory_order_release);
}

/* ---- In the handler ------------------------------------------------------------ */

static void on_signal(int number, siginfo_t *info, void *thread_context);

static int is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) &&
	       action->sa_sigaction == on_signal;
}

static void call_foreign(const struct sigaction *action, int number,
                         siginfo_t *info, void *thread_context)
{
	/* One that was to run once has SA_SIGINFO still. */
	if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN)
		return;
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(number, info, thread_context);
	else
		action->sa_handler(number);
}

static void call_chain(const struct stoa_signal_saved *saved,
                       const struct stoa_signal_info *told, siginfo_t *info,
                       void *thread_context)
{
	for (int i = 0; saved && i < CHAIN_MAX; i++) {
		const struct stoa_signal_saved *next = saved->chained;

		if (!is_ours(&saved->before)) {
			call_foreign(&saved->before, told->number, info,
			             thread_context);
			return;
		}
		if (saved->handler)
			saved->handler(told, saved->context);
		saved = next;
	}
}

/* A fault comes back by itself. */
static void send_again(int number, siginfo_t *info)
{
	if (info->si_code > 0 && number != SIGCHLD)
		return;
	stoa_system_call(SYS_rt_tgsigqueueinfo, stoa_sys_getpid(),
	                 stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0), number,
	                 (long)info, 0, 0);
}

static void on_signal(int number, siginfo_t *info, void *thread_context)
{
	int kept = errno;
	struct entry entry = read_entry(number);

	if (entry.handler) {
		struct stoa_signal_info told = stoa_signal_translate(info);

		entry.handler(&told, entry.context);
		call_chain(entry.chained, &told, info, thread_context);
	} else {
		send_again(number, info);
	}
	errno = kept;
}

/* ---- Changing ------------------------------------------------------------------- */

static sigset_t to_libc(stoa_signal_set set)
{
	sigset_t libc;

	sigemptyset(&libc);
	for (int number = 1; number <= STOA_SIGNAL_MAX; number++)
		if (set & STOA_SIGNAL(number) & STOA_SIGNAL_ALL)
			sigaddset(&libc, number);
	return libc;
}

static stoa_signal_set from_libc(const sigset_t *libc)
{
	stoa_signal_set set = 0;

	for (int number = 1; number <= STOA_SIGNAL_MAX; number++)
		if ((STOA_SIGNAL(number) & STOA_SIGNAL_ALL) &&
		    sigismember(libc, number) == 1)
			set |= STOA_SIGNAL(number);
	return set;
}

static const struct {
	uint32_t ours;
	int libc;
} flag_pairs[] = {
	{ STOA_SIGNAL_RESTARTS, SA_RESTART },
	{ STOA_SIGNAL_ONCE, (int)SA_RESETHAND },
	{ STOA_SIGNAL_NESTS, SA_NODEFER },
	{ STOA_SIGNAL_ON_STACK, SA_ONSTACK },
	{ STOA_SIGNAL_ENDS_ONLY, SA_NOCLDSTOP },
};
#define FLAG_PAIRS (sizeof flag_pairs / sizeof *flag_pairs)

static struct sigaction action_of(const struct stoa_signal_action *action)
{
	struct sigaction libc = { .sa_mask = to_libc(action->blocked) };

	for (size_t i = 0; i < FLAG_PAIRS; i++)
		if (action->flags & flag_pairs[i].ours)
			libc.sa_flags |= flag_pairs[i].libc;
	if (action->disposition == STOA_SIGNAL_HANDLE) {
		libc.sa_flags |= SA_SIGINFO;
		libc.sa_sigaction = on_signal;
	} else {
		libc.sa_handler = action->disposition == STOA_SIGNAL_IGNORE ?
		                          SIG_IGN :
		                          SIG_DFL;
	}
	return libc;
}

static int check_action(int number, const struct stoa_signal_action *action,
                        const struct stoa_signal_saved *saved)
{
	int result = stoa_signal_check(number, 0, "handled");

	if (result < 0)
		return result;
	if (action->size != sizeof *action || action->reserved ||
	    (action->flags & ~KNOWN_FLAGS) ||
	    action->disposition > STOA_SIGNAL_HANDLE)
		return stoa_fail(-EINVAL,
		                 "an action for signal %d has an unknown size, "
		                 "disposition or flag, or reserved isn't zero",
		                 number);
	if (action->disposition == STOA_SIGNAL_HANDLE ?
	            !action->handler :
	            (action->flags & STOA_SIGNAL_CHAINS) != 0)
		return stoa_fail(-EINVAL,
		                 "an action for signal %d that handles needs a "
		                 "handler, and no other chains",
		                 number);
	if ((action->flags & STOA_SIGNAL_CHAINS) && !saved)
		return stoa_fail(-EINVAL,
		                 "a handler for signal %d that chains needs a "
		                 "place for what it chains to",
		                 number);
	return stoa_signal_check_set(action->blocked, "blocked");
}

/* A handler of this thread that changes dispositions must not meet the lock. */
static int enter(stoa_signal_set *ret_before)
{
	int result = stoa_signal_mask(SIG_BLOCK, STOA_SIGNAL_ALL, ret_before);

	if (result == 0)
		stoa_private_lock(&table_lock);
	return result;
}

static void leave(stoa_signal_set before)
{
	stoa_private_unlock(&table_lock);
	stoa_signal_mask(SIG_SETMASK, before, NULL);
}

/* An entry is there before the kernel may call for it, and no more only after
 * the kernel doesn't. */
static int install(int number, const struct sigaction *libc,
                   struct entry entry)
{
	if (is_ours(libc))
		write_entry(number, entry);
	int result = sigaction(number, libc, NULL) < 0 ? -errno : 0;
	if (!is_ours(libc) && result == 0)
		write_entry(number, (struct entry){ NULL, NULL, NULL });
	return result;
}

static struct stoa_signal_saved save(int number)
{
	struct stoa_signal_saved saved = { .number = number };

	sigaction(number, NULL, &saved.before);
	if (is_ours(&saved.before)) {
		struct entry entry = read_entry(number);

		saved.handler = entry.handler;
		saved.context = entry.context;
		saved.chained = entry.chained;
		saved.flags = entry.chained ? STOA_SIGNAL_CHAINS : 0;
	}
	return saved;
}

int stoa_signal_set_action(int number, const struct stoa_signal_action *action,
                           struct stoa_signal_saved *ret_saved)
{
	int result = check_action(number, action, ret_saved);
	struct entry entry = { action->handler, action->context, NULL };
	stoa_signal_set before;
	int kept = errno;

	if (result < 0)
		return result;
	result = enter(&before);
	if (result < 0)
		return result;
	struct sigaction libc = action_of(action);
	struct stoa_signal_saved saved = save(number);
	if (ret_saved)
		*ret_saved = saved;
	if (action->flags & STOA_SIGNAL_CHAINS)
		entry.chained = ret_saved;
	result = install(number, &libc, entry);
	leave(before);
	errno = kept;
	return result < 0 ? stoa_fail(result, "signal %d can't be handled",
	                              number) :
	                    0;
}

int stoa_signal_get_action(int number, struct stoa_signal_action *ret_action)
{
	int result = stoa_signal_check(number, 1, "looked at");
	struct stoa_signal_action told = { .size = sizeof told };
	stoa_signal_set before;
	int kept = errno;

	if (result == 0 && ret_action->size != sizeof told)
		result = stoa_fail(-EINVAL, "an action's size is %zu, not %u",
		                   sizeof told, ret_action->size);
	if (result == 0)
		result = enter(&before);
	if (result < 0)
		return result;
	struct stoa_signal_saved saved = save(number);
	leave(before);
	errno = kept;
	if (is_ours(&saved.before))
		told.disposition = STOA_SIGNAL_HANDLE;
	else if (saved.before.sa_handler == SIG_IGN)
		told.disposition = STOA_SIGNAL_IGNORE;
	else if (saved.before.sa_handler != SIG_DFL)
		told.disposition = STOA_SIGNAL_FOREIGN;
	told.handler = saved.handler;
	told.context = saved.context;
	told.flags = saved.flags;
	told.blocked = from_libc(&saved.before.sa_mask);
	for (size_t i = 0; i < FLAG_PAIRS; i++)
		if (saved.before.sa_flags & flag_pairs[i].libc)
			told.flags |= flag_pairs[i].ours;
	*ret_action = told;
	return 0;
}

int stoa_signal_restore(const struct stoa_signal_saved *saved)
{
	int result = stoa_signal_check(saved->number, 0, "handled");
	struct entry entry = { saved->handler, saved->context, saved->chained };
	stoa_signal_set before;
	int kept = errno;

	if (result == 0)
		result = enter(&before);
	if (result < 0)
		return result;
	result = install(saved->number, &saved->before, entry);
	leave(before);
	errno = kept;
	return result;
}

int stoa_signal_reset(stoa_signal_set also)
{
	int kept = errno;

	for (int number = 1; number <= STOA_SIGNAL_MAX; number++) {
		struct sigaction action;

		if (!(STOA_SIGNAL(number) & STOA_SIGNAL_ALL) ||
		    sigaction(number, NULL, &action) < 0)
			continue;
		if (action.sa_handler == SIG_DFL ||
		    (action.sa_handler == SIG_IGN &&
		     !(also & STOA_SIGNAL(number))))
			continue;
		memset(&action, 0, sizeof action);
		action.sa_handler = SIG_DFL;
		sigaction(number, &action, NULL);
	}
	errno = kept;
	return stoa_signal_mask(SIG_SETMASK, 0, NULL);
}
