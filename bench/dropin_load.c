/* SPDX-License-Identifier: MIT */
/* dropin-load LOAD MILLISECONDS CORE CORE: runs one load and prints its figure,
 * in nanoseconds an operation. */
#include "dropin_load.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOADS_MAX 64
#define BATCHES_MAX 100000
#define ARGUMENTS 5
#define USAGE_STATUS 2

int load_ms, load_core[2];

static const struct load *known[LOADS_MAX];
static int known_count;

void load_add(const struct load *loads, int count)
{
	for (int i = 0; i < count && known_count < LOADS_MAX; i++)
		known[known_count++] = &loads[i];
}

void load_pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)core, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double load_repeat(int (*once)(void *context), void *context, int batch)
{
	static double figure[BATCHES_MAX];
	int64_t end = load_now() + load_ms * INT64_C(1000000), first, last;
	int count = 0;

	do {
		first = load_now();
		for (int i = 0; i < batch; i++)
			if (once(context) != 0)
				return -1;
		last = load_now();
		figure[count++] = (double)(last - first) / batch;
	} while (last < end && count < BATCHES_MAX);
	qsort(figure, (size_t)count, sizeof(*figure), by_size);
	return figure[count / 2];
}

double load_pair(void (*child)(void *context), int core,
                 double (*parent)(void *context), void *context)
{
	pid_t pid = fork();
	double figure;

	if (pid < 0)
		return -1;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		load_pin(load_core[core]);
		child(context);
		_exit(0);
	}
	figure = parent(context);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return figure;
}

int main(int argc, char **argv)
{
	if (argc != ARGUMENTS) {
		fprintf(stderr, "usage: %s LOAD MILLISECONDS CORE CORE\n",
		        argv[0]);
		return USAGE_STATUS;
	}
	load_ms = atoi(argv[2]);
	load_core[0] = atoi(argv[3]);
	load_core[1] = atoi(argv[4]);
	load_pin(load_core[0]);
	for (int i = 0; i < known_count; i++) {
		double figure;

		if (strcmp(known[i]->name, argv[1]) != 0)
			continue;
		figure = known[i]->run();
		if (figure < 0) {
			fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
			return 1;
		}
		printf("%.3f\n", figure);
		return 0;
	}
	fprintf(stderr, "%s: there is no load %s\n", argv[0], argv[1]);
	return USAGE_STATUS;
}
