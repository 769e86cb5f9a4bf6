/* SPDX-License-Identifier: MIT */
/* munmap() beside attachments of System V: an allocator calls it with a lock of
 * its own, so it must wait for nobody who may allocate. */
#include "dropin.h"

#include <dropin/calls.h>
#include <dropin/memory.h>
#include <dropin/memory_map.h>
#include <dropin/registry.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { PAGE = 4096, AREA = 64 * PAGE, LOOKS = 20000, THREADS = 2 };

static int make_segment(void)
{
	return (int)assert_good(
	        dropin_shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
}

static char *attach_at(int id, char *address)
{
	void *at;

	assert_int_equal(dropin_shmat(id, address, 0, &at), 0);
	return at;
}

DROPIN_TEST(between_two_it_waits_for_nobody)
{
	const struct registry *registry;
	int id = make_segment();
	char *area = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);
	char *middle = area + AREA / 2;
	struct shmid_ds ds;

	assert_ptr_not_equal(area, MAP_FAILED);
	/* What the drop-in maps for itself is mapped before there are holes. */
	assert_int_equal(dropin_shmdt(attach_at(id, NULL)), 0);
	assert_system(munmap(area, PAGE));
	assert_system(munmap(area + AREA - PAGE, PAGE));
	attach_at(id, area);
	attach_at(id, area + AREA - PAGE);
	assert_int_equal(registry_lock(&registry), 0);
	assert_int_equal(memory_munmap(middle, PAGE), 0);
	registry_unlock();
	assert_int_equal(msync(middle, PAGE, MS_ASYNC), -1);
	/* And what it takes from an attachment is counted. */
	assert_int_equal(memory_munmap(area, 2 * PAGE), 0);
	assert_int_equal(dropin_shmctl(id, IPC_STAT, &ds), 0);
	assert_int_equal(ds.shm_nattch, 1);
	assert_int_equal(memory_munmap(area, AREA), 0);
	assert_int_equal(dropin_shmctl(id, IPC_RMID, NULL), 0);
}

static _Atomic int finished;

static void *come_and_go(void *context)
{
	while (!atomic_load_explicit(&finished, memory_order_relaxed))
		assert_int_equal(
		        dropin_shmdt(attach_at(*(int *)context, NULL)), 0);
	return NULL;
}

DROPIN_TEST(what_is_attached_is_seen_while_others_come_and_go)
{
	int id = make_segment();
	char *own = attach_at(id, NULL);
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, come_and_go, &id);
	for (int i = 0; i < LOOKS; i++)
		assert_true(memory_map_touches((uintptr_t)own + i % PAGE, 1));
	atomic_store_explicit(&finished, 1, memory_order_relaxed);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_false(memory_map_touches((uintptr_t)own - PAGE, PAGE));
	assert_false(memory_map_touches((uintptr_t)own + PAGE, PAGE));
	assert_int_equal(dropin_shmdt(own), 0);
	assert_false(memory_map_touches(0, SIZE_MAX));
	assert_int_equal(dropin_shmctl(id, IPC_RMID, NULL), 0);
}

static const struct CMUnitTest cases[] = {
	CASE(between_two_it_waits_for_nobody),
	CASE(what_is_attached_is_seen_while_others_come_and_go),
};
MAIN(cases)
