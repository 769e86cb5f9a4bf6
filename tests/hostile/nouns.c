/* SPDX-License-Identifier: MIT */
/* nouns.c: the nouns that the hostile tests know, and cases for each. */
#include "hostile.h"

#include <signal.h>

extern const struct noun barrier_noun;
extern const struct noun condition_noun;
extern const struct noun heap_noun;
extern const struct noun mutex_noun;
extern const struct noun port_noun;
extern const struct noun pool_noun;
extern const struct noun queue_noun;
extern const struct noun range_lock_noun;
extern const struct noun rwlock_noun;
extern const struct noun segment_noun;
extern const struct noun semaphore_noun;
extern const struct noun semaphore_set_noun;
extern const struct noun stream_noun;
extern const struct noun topic_noun;
extern const struct noun placed_barrier_noun;
extern const struct noun placed_condition_noun;
extern const struct noun placed_heap_noun;
extern const struct noun placed_mutex_noun;
extern const struct noun placed_pool_noun;
extern const struct noun placed_rwlock_noun;
extern const struct noun placed_semaphore_noun;

/* clang-format off: a line for each */
const struct noun *const nouns[] = {
	&barrier_noun,
	&condition_noun,
	&heap_noun,
	&mutex_noun,
	&port_noun,
	&pool_noun,
	&queue_noun,
	&range_lock_noun,
	&rwlock_noun,
	&segment_noun,
	&semaphore_noun,
	&semaphore_set_noun,
	&stream_noun,
	&topic_noun,
	&placed_barrier_noun,
	&placed_condition_noun,
	&placed_heap_noun,
	&placed_mutex_noun,
	&placed_pool_noun,
	&placed_rwlock_noun,
	&placed_semaphore_noun,
};
/* clang-format on */
const size_t noun_count = LENGTH(nouns);

enum { CASE_NAME_BYTES = 160 };

const struct noun *find_noun(const char *kind)
{
	for (size_t i = 0; i < noun_count; i++)
		if (strcmp(nouns[i]->kind, kind) == 0)
			return nouns[i];
	return NULL;
}

size_t operations_of(const struct noun *noun)
{
	size_t count = 0;

	while (noun->operations[count].name != NULL)
		count++;
	return count;
}

const struct operation *operation_of(const struct noun *noun, const char *name)
{
	for (const struct operation *operation = noun->operations;
	     operation->name != NULL; operation++)
		if (strcmp(operation->name, name) == 0)
			return operation;
	finding("%s has no operation \"%s\"", noun->kind, name);
}

/* ---- Cases -------------------------------------------------------------- */

struct noun_run {
	const struct noun *noun;
	void (*run)(const struct noun *noun);
};

/* The sanitizer's handlers, which tell more than cmocka's. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
static struct sigaction handlers[LENGTH(faults)];

static void run_on_noun(void **state)
{
	struct noun_run *this = *state;

	for (size_t i = 0; i < LENGTH(faults); i++)
		sigaction(faults[i], &handlers[i], NULL);
	this->run(this->noun);
}

int run_noun_cases(int argc, char **argv, const struct noun_case *cases,
                   size_t count, bool placed, const struct CMUnitTest *more,
                   size_t more_count)
{
	size_t most = count * noun_count, number = 0;
	struct noun_run *runs = calloc(most, sizeof(*runs));
	char(*names)[CASE_NAME_BYTES] = calloc(most, sizeof(*names));
	struct CMUnitTest *tests = calloc(most + more_count, sizeof(*tests));
	int result;

	watchdog_start();
	for (size_t i = 0; i < LENGTH(faults); i++)
		sigaction(faults[i], NULL, &handlers[i]);
	for (size_t i = 0; i < noun_count; i++) {
		if (nouns[i]->placed && !placed)
			continue;
		for (size_t j = 0; j < count; j++, number++) {
			snprintf(names[number], CASE_NAME_BYTES, "%s: %s",
			         nouns[i]->kind, cases[j].name);
			runs[number] =
				(struct noun_run){ nouns[i], cases[j].run };
			tests[number].name = names[number];
			tests[number].test_func = run_on_noun;
			tests[number].initial_state = &runs[number];
		}
	}
	if (more_count > 0)
		memcpy(tests + number, more, more_count * sizeof(*more));
	result = run_cases(argc, argv, tests, number + more_count);
	free(runs);
	free(names);
	free(tests);
	return result;
}
