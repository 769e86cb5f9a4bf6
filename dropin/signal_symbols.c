/* SPDX-License-Identifier: MIT */
/*
 * dropin/signal_symbols.c: handlers of signals are counted.
 *
 * A wait of libstoa's sleeps in slices, and a handler that runs between two of
 * them leaves no trace: but mq_receive(), msgrcv() and semop() end with EINTR
 * whenever one has run. So each handler that the program installs is called by
 * one of the drop-in's, which counts it for its thread; and how it was
 * installed, as SA_RESTART matters to some of the calls.
 *
 *   user[number]   the program's handler, and the flags that it asked for;
 *                  written before the kernel is told
 *
 * What is asked for, the program is told: it never sees the drop-in's handler.
 * A child of vfork(), which shares all this, installs SIG_DFL and SIG_IGN,
 * which are only the kernel's.
 */
#include "descriptor.h"
#include "interrupts.h"
#include "symbol.h"

#include <signal.h>
#include <stdint.h>

#include <stoa/base.h>

typedef void handler_of_three(int number, siginfo_t *info, void *context);
typedef int sigaction_call(int number, const struct sigaction *action,
                           struct sigaction *ret_before);

/* relaxed: a handler that runs while it is being replaced may be either. */
static struct {
	_Atomic(handler_of_three *) handler;
	_Atomic int flags;
} user[_NSIG];

static __thread struct stoa_interrupts interrupts
        __attribute__((tls_model("initial-exec")));
static sigset_t interrupting; /* as siginterrupt(number, 1) wants signal() */

LIBC_CALL int libc_sigaction(int number, const struct sigaction *action,
                             struct sigaction *ret_before);
LIBC_CALL sighandler_t libc_signal(int number, sighandler_t handler);
LIBC_CALL sighandler_t libc_sysv_signal(int number, sighandler_t handler);
LIBC_CALL int libc_siginterrupt(int number, int interrupts);

/* See interrupts.h. */
const struct stoa_interrupts *dropin_interrupts(void)
{
	return &interrupts;
}

static void handle(int number, siginfo_t *info, void *context)
{
	handler_of_three *handler = atomic_load_explicit(
	        &user[number].handler, memory_order_relaxed);
	int flags = atomic_load_explicit(&user[number].flags,
	                                 memory_order_relaxed);

	interrupts.all++;
	if (!(flags & SA_RESTART))
		interrupts.unrestarted++;
	handler(number, info, context);
}

static int is_handler(const struct sigaction *action)
{
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN &&
	       action->sa_sigaction != handle;
}

/* The kernel's answer, as the program knows it. */
static void tell(struct sigaction *before, handler_of_three *handler)
{
	if (before && before->sa_sigaction == handle)
		before->sa_sigaction = handler;
}

LIBC_CALL int libc_sigaction(int number, const struct sigaction *action,
                             struct sigaction *ret_before)
{
	sigaction_call *real = LIBC_REAL(sigaction_call *, sigaction);
	handler_of_three *handler;
	struct sigaction wrapped;
	int flags, result;

	if (number < 1 || number >= _NSIG)
		return real(number, action, ret_before);
	handler = atomic_load_explicit(&user[number].handler,
	                               memory_order_relaxed);
	flags = atomic_load_explicit(&user[number].flags, memory_order_relaxed);
	if (!action || !is_handler(action)) {
		result = real(number, action, ret_before);
		if (result == 0)
			tell(ret_before, handler);
		return result;
	}
	stoa_count_interrupts(dropin_interrupts);
	wrapped = *action;
	wrapped.sa_sigaction = handle;
	atomic_store_explicit(&user[number].handler, action->sa_sigaction,
	                      memory_order_relaxed);
	atomic_store_explicit(&user[number].flags, action->sa_flags,
	                      memory_order_relaxed);
	result = real(number, &wrapped, ret_before);
	if (result == 0) {
		tell(ret_before, handler);
		return result;
	}
	atomic_store_explicit(&user[number].handler, handler,
	                      memory_order_relaxed);
	atomic_store_explicit(&user[number].flags, flags, memory_order_relaxed);
	return result;
}

static sighandler_t install(int number, sighandler_t handler, int flags,
                            int blocks_itself)
{
	struct sigaction action = { .sa_flags = flags }, before;

	if (handler == SIG_ERR || number < 1 || number >= _NSIG) {
		errno = EINVAL;
		return SIG_ERR;
	}
	action.sa_handler = handler;
	if (blocks_itself)
		sigaddset(&action.sa_mask, number);
	return libc_sigaction(number, &action, &before) ? SIG_ERR :
	                                                  before.sa_handler;
}

LIBC_CALL sighandler_t libc_signal(int number, sighandler_t handler)
{
	int restarts = number >= 1 && number < _NSIG &&
	               sigismember(&interrupting, number) != 1;

	return install(number, handler, restarts ? SA_RESTART : 0, 1);
}

LIBC_CALL sighandler_t libc_sysv_signal(int number, sighandler_t handler)
{
	return install(number, handler,
	               (int)(SA_RESETHAND | SA_NODEFER | SA_INTERRUPT), 0);
}

LIBC_CALL int libc_siginterrupt(int number, int interrupts_calls)
{
	struct sigaction action;

	if (libc_sigaction(number, NULL, &action))
		return -1;
	if (interrupts_calls) {
		sigaddset(&interrupting, number);
		action.sa_flags &= ~SA_RESTART;
	} else {
		sigdelset(&interrupting, number);
		action.sa_flags |= SA_RESTART;
	}
	return libc_sigaction(number, &action, NULL);
}

LIBC_SYMBOL(libc_sigaction, sigaction, LIBC_BASE);
LIBC_SYMBOL(libc_signal, signal, LIBC_BASE);
LIBC_SYMBOL(libc_sysv_signal, __sysv_signal, LIBC_BASE);
LIBC_SYMBOL(libc_siginterrupt, siginterrupt, LIBC_BASE);

#define ALIAS(function, alias_name, name)                                  \
	extern __typeof__(function) alias_name                             \
	        __attribute__((alias(#function), visibility("default"))); \
	LIBC_SYMBOL(alias_name, name, LIBC_BASE)

ALIAS(libc_sigaction, libc_sigaction_too, __sigaction);
ALIAS(libc_signal, libc_bsd_signal, bsd_signal);
ALIAS(libc_signal, libc_ssignal, ssignal);
ALIAS(libc_sysv_signal, libc_sysv_signal_too, sysv_signal);
