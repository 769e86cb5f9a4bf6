/* SPDX-License-Identifier: MIT */
/* Who counts as attached to a segment of System V: kill -9 at random moments,
 * fork beside threads, hostile bytes in the table, and what frees a segment
 * whose last attachment died. */
#include "support.h"

#include <dirent.h>
#include <dropin/calls.h>
#include <dropin/memory.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { BYTES = 10000, KILLS = 60, FORKS = 60, PAUSE_NS = 2000000 };

/* The space and the registry are the process's for as long as it lives: so each
 * case has one of its own, whose end closes them. */
#define ALONE(name)                                                   \
	static void name##_alone(void *context);                      \
	TEST(name)                                                    \
	{                                                             \
		struct child alone = start_child(name##_alone, NULL); \
		end_child(&alone);                                    \
	}                                                             \
	static void name##_alone(void *context UNUSED)

static int segment;

static void use_space(void)
{
	setenv("STOA_SPACE", case_directory(), 1);
}

static int make_segment(key_t key)
{
	use_space();
	return (int)assert_good(dropin_shmget(key, BYTES, IPC_CREAT | 0600));
}

static struct shmid_ds state_of(int id)
{
	struct shmid_ds ds;

	assert_int_equal(dropin_shmctl(id, IPC_STAT, &ds), 0);
	return ds;
}

static char *attach(int id, int flags)
{
	void *at;

	assert_int_equal(dropin_shmat(id, NULL, flags, &at), 0);
	return at;
}

static int count_files(void)
{
	DIR *stream = opendir(case_directory());
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(stream)) != NULL)
		count += strstr(entry->d_name, ".shared_memory") != NULL;
	closedir(stream);
	return count;
}

static void attach_and_wait(void *context UNUSED)
{
	attach(segment, 0);
	attach(segment, SHM_RDONLY);
	report(1);
	await_order();
}

ALONE(a_key_goes_with_its_removal)
{
	struct shmid_ds ds;

	segment = make_segment(0x1234);
	attach(segment, 0);
	assert_int_equal(dropin_shmctl(segment, IPC_RMID, NULL), 0);
	ds = state_of(segment);
	assert_int_equal(ds.shm_perm.__key, IPC_PRIVATE);
	assert_true(ds.shm_perm.mode & SHM_DEST);
	assert_int_equal(dropin_shmget(0x1234, 0, 0), -ENOENT);
}

ALONE(the_dead_are_not_attached)
{
	struct child child;

	segment = make_segment(IPC_PRIVATE);
	child = start_child(attach_and_wait, NULL);
	await_report(&child);
	pid_t pid = child.pid;
	assert_int_equal(state_of(segment).shm_nattch, 2);
	kill_child(&child);
	assert_int_equal(state_of(segment).shm_nattch, 0);
	assert_int_equal(state_of(segment).shm_lpid, pid);
	assert_int_equal(dropin_shmctl(segment, IPC_RMID, NULL), 0);
	assert_int_equal(count_files(), 0);
}

ALONE(who_makes_one_frees_what_the_dead_had_left)
{
	struct child child;

	segment = make_segment(IPC_PRIVATE);
	child = start_child(attach_and_wait, NULL);
	await_report(&child);
	assert_int_equal(dropin_shmctl(segment, IPC_RMID, NULL), 0);
	assert_int_equal(count_files(), 1);
	kill_child(&child);
	assert_int_equal(count_files(), 1); /* nobody has looked */
	int other = make_segment(IPC_PRIVATE);
	assert_int_equal(count_files(), 1);
	assert_int_equal(dropin_shmctl(segment, IPC_STAT, NULL), -EINVAL);
	dropin_shmctl(other, IPC_RMID, NULL);
}

static void work(void *context)
{
	uint64_t chance = *(uint64_t *)context;

	use_space();
	report(0);
	for (;;) {
		int id = dropin_shmget(0x77 + (key_t)random_below(&chance, 4),
		                       BYTES, IPC_CREAT | 0600);
		void *at;

		assert_true(id >= 0 || id == -ENOENT || id == -EINVAL);
		if (id < 0 || dropin_shmat(id, NULL, 0, &at) < 0)
			continue;
		*(char *)at = 1;
		if (random_below(&chance, 3) == 0)
			dropin_shmctl(id, IPC_RMID, NULL);
		if (random_below(&chance, 4) == 0 && fork() == 0)
			_exit(0);
		dropin_shmdt(at);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

ALONE(kills_at_random_leave_nothing_attached)
{
	const struct timespec pause = { 0, PAUSE_NS };
	uint64_t seed = run_seed();

	use_space();
	for (int i = 0; i < KILLS; i++) {
		struct child children[2];

		for (int j = 0; j < 2; j++) {
			next_random(&seed);
			children[j] = start_child(work, &seed);
			await_report(&children[j]);
		}
		/* A moment by chance, no more. */
		nanosleep(&(struct timespec){ 0, (long)random_below(
			                                 &seed, PAUSE_NS) },
		          NULL);
		for (int j = 0; j < 2; j++)
			kill_child(&children[j]);
	}
	/* Children of the killed may be on their way out. */
	for (int key = 0x77; key < 0x77 + 4; key++) {
		int id = dropin_shmget(key, 0, 0);

		if (id < 0)
			continue;
		while (state_of(id).shm_nattch > 0)
			nanosleep(&pause, NULL);
		assert_int_equal(dropin_shmctl(id, IPC_RMID, NULL), 0);
	}
	int last = make_segment(IPC_PRIVATE);
	while (count_files() > 1) {
		dropin_shmctl(last, IPC_RMID, NULL);
		nanosleep(&pause, NULL);
		last = make_segment(IPC_PRIVATE);
	}
	assert_int_equal(state_of(last).shm_nattch, 0);
	dropin_shmctl(last, IPC_RMID, NULL);
}

static _Atomic int enough;

static void *attach_and_detach(void *context UNUSED)
{
	void *at;

	while (!enough) {
		require(dropin_shmat(segment, NULL, 0, &at) == 0);
		require(dropin_shmdt(at) == 0);
	}
	return NULL;
}

/* The child has what its parent had at one instant, and is counted by then. */
ALONE(forks_beside_threads_are_counted_exactly)
{
	pthread_t thread;

	segment = make_segment(IPC_PRIVATE);
	attach(segment, 0);
	assert_int_equal(
	        pthread_create(&thread, NULL, attach_and_detach, NULL), 0);
	for (int i = 0; i < FORKS; i++) {
		int held[2], status;
		char byte;

		assert_system(pipe(held));
		pid_t pid = (pid_t)assert_system(fork());
		if (pid == 0) {
			close(held[1]);
			_exit(read(held[0], &byte, 1) == 0 ? 0 : 1);
		}
		close(held[0]);
		/* the parent's one or two, the child's one or two */
		assert_in_range(state_of(segment).shm_nattch, 2, 4);
		close(held[1]);
		assert_system(waitpid(pid, &status, 0));
		assert_int_equal(status, 0);
		assert_in_range(state_of(segment).shm_nattch, 1, 2);
	}
	enough = 1;
	pthread_join(thread, NULL);
	assert_int_equal(state_of(segment).shm_nattch, 1);
	dropin_shmctl(segment, IPC_RMID, NULL);
}

ALONE(parts_that_are_unmapped_are_counted_as_the_kernel_does)
{
	char *at;

	use_space();
	segment = (int)assert_good(dropin_shmget(IPC_PRIVATE, 5 * 4096, 0600));
	at = attach(segment, 0);
	assert_int_equal(memory_munmap(at, 4096), 0);
	assert_int_equal(state_of(segment).shm_nattch, 1);
	assert_int_equal(memory_munmap(at + 2 * 4096, 4096), 0);
	assert_int_equal(state_of(segment).shm_nattch, 2);
	assert_int_equal(memory_munmap(at + 4096, 4096), 0);
	assert_int_equal(state_of(segment).shm_nattch, 1);
	assert_int_equal(dropin_shmdt(at), 0);
	assert_int_equal(state_of(segment).shm_nattch, 0);
	assert_int_equal(dropin_shmdt(at), -EINVAL);
	dropin_shmctl(segment, IPC_RMID, NULL);
}

/* No call may fault, loop for ever, or unmap what isn't its own. */
ALONE(hostile_bytes_are_survived)
{
	const struct registry *registry;
	uint64_t seed = run_seed();

	segment = make_segment(0x4242);
	assert_int_equal(registry_open(&registry), 0);
	for (int round = 0; round < 300; round++) {
		uint64_t *words = (void *)registry->blocks[0].attachments;
		struct shmid_ds ds;
		void *at;
		int id;

		for (int i = 0; i < 20; i++)
			words[random_below(&seed, 64)] = next_random(&seed);
		registry->header->attachments_high =
		        (uint32_t)next_random(&seed);
		registry->header->removed = (uint32_t)next_random(&seed);
		words = (void *)registry->blocks[0].slots[REGISTRY_MEMORY];
		for (int i = 3; i < 9; i++)
			words[i] = next_random(&seed);
		id = dropin_shmget(0x4242, 0, 0);
		if (id >= 0 && dropin_shmat(id, NULL, 0, &at) == 0) {
			*(char *)at = 1;
			dropin_shmctl(id, IPC_STAT, &ds);
			assert_int_equal(dropin_shmdt(at), 0);
		}
		dropin_shmctl(0, SHM_INFO, &ds);
		dropin_shmctl(0, SHM_STAT, &ds);
	}
}

static sem_t forking, attached;

static void before_fork(void)
{
	sem_post(&forking);
	while (sem_wait(&attached) != 0)
		;
}

static void *attach_amid_fork(void *context)
{
	while (sem_wait(&forking) != 0)
		;
	attach(*(int *)context, 0);
	sem_post(&attached);
	return NULL;
}

/* Its handlers must not run for the second half of that fork alone. */
ALONE(the_first_is_attached_amid_a_fork)
{
	int id = make_segment(IPC_PRIVATE), status;
	int queue = (int)assert_good(dropin_msgget(IPC_PRIVATE, 0600));
	struct {
		long type;
		char text[8];
	} message = { .type = 1 };
	struct stat before, after;
	pthread_t thread;
	pid_t pid;

	/* Handlers before a fork run the last first: ours after the drop-in's,
	 * which the first handle registers. */
	sem_init(&forking, 0, 0);
	sem_init(&attached, 0, 0);
	assert_int_equal(pthread_atfork(before_fork, NULL, NULL), 0);
	assert_int_equal(dropin_msgsnd(queue, &message, 1, 0), 0);
	assert_system(fstat(STDIN_FILENO, &before));
	pthread_create(&thread, NULL, attach_amid_fork, &id);
	pid = (pid_t)assert_system(fork());
	if (pid == 0)
		_exit(fstat(STDIN_FILENO, &after) != 0);
	assert_system(fstat(STDIN_FILENO, &after));
	assert_int_equal(before.st_ino, after.st_ino);
	assert_system(waitpid(pid, &status, 0));
	assert_int_equal(status, 0);
	pthread_join(thread, NULL);
	assert_int_equal(state_of(id).shm_nattch, 1);
	assert_int_equal(dropin_msgctl(queue, IPC_RMID, NULL), 0);
	assert_int_equal(dropin_shmctl(id, IPC_RMID, NULL), 0);
}

static const struct CMUnitTest cases[] = {
	CASE(a_key_goes_with_its_removal),
	CASE(the_dead_are_not_attached),
	CASE(who_makes_one_frees_what_the_dead_had_left),
	CASE(kills_at_random_leave_nothing_attached),
	CASE(forks_beside_threads_are_counted_exactly),
	CASE(parts_that_are_unmapped_are_counted_as_the_kernel_does),
	CASE(hostile_bytes_are_survived),
	CASE(the_first_is_attached_amid_a_fork),
};
MAIN(cases)
