/* SPDX-License-Identifier: MIT */
/*
 * space/guard.c: SIGBUS in stoa's mappings becomes -EIO.
 *
 * The handler must find the mapping without locks, so ranges stand in tables
 * that only grow. A slot is taken by its start (compare-and-swap from 0) and
 * valid once its end is set; the handler reads the end first.
 */
#include <base/system.h>
#include <space/guard.h>
#include <stoa/space.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#define TABLE_RANGES 64

struct range {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
	_Atomic uint32_t *_Atomic poisoned;
};

struct table {
	struct range range[TABLE_RANGES];
	struct table *_Atomic next;
};

static struct table first_table;
static struct sigaction previous;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;

static int take_slot(struct table *table, uintptr_t start, uintptr_t end,
                     _Atomic uint32_t *poisoned)
{
	for (int i = 0; i < TABLE_RANGES; i++) {
		struct range *range = &table->range[i];
		uintptr_t none = 0;

		if (!atomic_compare_exchange_strong(&range->start, &none,
		                                    start))
			continue;
		atomic_store(&range->poisoned, poisoned);
		atomic_store(&range->end, end);
		return 1;
	}
	return 0;
}

int stoa_guard_add(void *start, size_t bytes, _Atomic uint32_t *poisoned)
{
	struct table *table = &first_table;
	uintptr_t address = (uintptr_t)start;

	while (!take_slot(table, address, address + bytes, poisoned)) {
		struct table *next = atomic_load(&table->next);

		if (!next) {
			struct table *fresh = calloc(1, sizeof *fresh);

			if (!fresh)
				return -ENOMEM;
			if (atomic_compare_exchange_strong(&table->next, &next,
			                                   fresh))
				next = fresh;
			else
				free(fresh);
		}
		table = next;
	}
	return 0;
}

void stoa_guard_remove(void *start)
{
	for (struct table *table = &first_table; table;
	     table = atomic_load(&table->next)) {
		for (int i = 0; i < TABLE_RANGES; i++) {
			struct range *range = &table->range[i];

			if (atomic_load(&range->start) != (uintptr_t)start)
				continue;
			atomic_store(&range->end, 0);
			atomic_store(&range->poisoned, NULL);
			atomic_store(&range->start, 0);
			return;
		}
	}
}

/* Async-signal-safe: loads, one mmap, stores. */
static int cover(uintptr_t fault)
{
	for (struct table *table = &first_table; table;
	     table = atomic_load(&table->next)) {
		for (int i = 0; i < TABLE_RANGES; i++) {
			struct range *range = &table->range[i];
			uintptr_t end = atomic_load(&range->end);
			uintptr_t start = atomic_load(&range->start);
			_Atomic uint32_t *poisoned =
			        atomic_load(&range->poisoned);
			void *address;

			if (!start || fault < start || fault >= end)
				continue;
			if (stoa_sys_mmap((void *)start, end - start,
			                  PROT_READ | PROT_WRITE,
			                  MAP_FIXED | MAP_PRIVATE |
			                          MAP_ANONYMOUS |
			                          MAP_NORESERVE,
			                  -1, 0, &address) < 0)
				return 0;
			if (poisoned)
				atomic_store(poisoned, 1);
			return 1;
		}
	}
	return 0;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (info->si_code > 0 && cover((uintptr_t)info->si_addr))
		return;
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(number, info, context);
	else if (previous.sa_handler == SIG_DFL ||
	         (previous.sa_handler == SIG_IGN && info->si_code > 0)) {
		signal(SIGBUS, SIG_DFL); /* the fault comes again, and kills */
		if (info->si_code <= 0)
			raise(SIGBUS); /* was sent: comes when this returns */
	}
	else if (previous.sa_handler != SIG_IGN)
		previous.sa_handler(number);
}

static void install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
		                    .sa_flags = SA_SIGINFO | SA_RESTART |
		                                SA_ONSTACK };

	sigfillset(&action.sa_mask);
	sigaction(SIGBUS, &action, &previous);
}

int stoa_guard(void)
{
	return -pthread_once(&install_once, install);
}
