/* SPDX-License-Identifier: MIT */
/* Semaphores and sets whose memory another process overwrites meanwhile: calls
 * come back with an answer that is promised, whatever is there. */
#include "support.h"

#include <fcntl.h>
#include <sync/semaphore_layout.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { ROUNDS = 5000, SEMAPHORES = 5, PLACE = 4096 };

struct target {
	unsigned char *bytes;
	size_t count;
	uint64_t seed;
};

/* Bytes, words, and words that were there before. */
static void scribble(void *context)
{
	struct target *target = context;
	uint64_t *words = (uint64_t *)target->bytes;
	size_t count = target->count / sizeof(*words);
	uint64_t kept = 0;

	report(1);
	for (;;) {
		uint64_t chance = next_random(&target->seed);
		size_t at = (size_t)random_below(&target->seed,
		                                 chance & 16 ? count :
		                                 count < 64  ? count :
		                                               64);
		uint64_t word = __atomic_load_n(&words[at], __ATOMIC_RELAXED);

		switch (chance & 7) {
		case 0: word = next_random(&target->seed); break;
		case 1: word = 0; break;
		case 2: word = ~(uint64_t)0; break;
		case 3: word = kept; break;
		default: word ^= (uint64_t)1 << (chance >> 8 & 63);
		}
		kept = words[random_below(&target->seed, count)];
		__atomic_store_n(&words[at], word, __ATOMIC_RELAXED);
	}
}

static void expect(long long result)
{
	if (result >= 0 || result == -EAGAIN || result == -ETIMEDOUT ||
	    result == -EIDRM || result == -EUCLEAN || result == -EOVERFLOW ||
	    result == -ENOSPC || result == -ERANGE)
		return;
	fail_msg("answered %lld: %s", result, stoa_last_error());
}

/* What marks it removed or damaged would end the test at once. */
static void heal(struct stoa_events *events)
{
	atomic_store(&events->state, 0);
}

static void use_semaphore(struct stoa_semaphore *semaphore, uint64_t *seed)
{
	struct stoa_semaphore_status status = { .size = sizeof(status) };
	uint32_t permits = 1 + (uint32_t)random_below(seed, 3);
	struct stoa_deadline soon = stoa_deadline_in(
		(int64_t)random_below(seed, 2) * MS);

	switch (random_below(seed, 5)) {
	case 0: expect(stoa_semaphore_post(semaphore, permits)); break;
	case 1: expect(stoa_semaphore_value(semaphore)); break;
	case 2: expect(stoa_semaphore_stat(semaphore, &status)); break;
	default: expect(stoa_semaphore_wait(semaphore, permits, soon));
	}
}

TEST(a_semaphore_that_is_scribbled_on_answers)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (uint32_t undo = 0; undo < 2; undo++) {
		struct stoa_semaphore_attributes attributes = {
			.size = sizeof(attributes), .value = 3, .undo = undo
		};
		void *memory = mmap(NULL, PLACE, PROT_READ | PROT_WRITE,
		                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		struct target target = { memory,
			                 undo ? STOA_SEMAPHORE_UNDO_BYTES :
			                        STOA_SEMAPHORE_BYTES,
			                 seed };
		struct stoa_semaphore *semaphore;
		struct child scribbler;

		assert_ptr_not_equal(memory, MAP_FAILED);
		assert_ok(stoa_semaphore_place(space, memory, PLACE,
		                               STOA_CREATE, &attributes,
		                               &semaphore));
		scribbler = start_child(scribble, &target);
		await_report(&scribbler);
		for (int i = 0; i < ROUNDS; i++) {
			use_semaphore(semaphore, &seed);
			heal(&((struct stoa_place *)memory)->events);
		}
		kill_child(&scribbler);
		stoa_semaphore_close(semaphore);
		munmap(memory, PLACE);
	}
	stoa_space_close(space);
}

/* As long as its header says, but without a byte of the semaphore. */
TEST(a_file_without_a_semaphore_is_refused)
{
	static const uint64_t none = OBJECT_KIND_OFFSET;
	struct stoa_space *space = open_space();
	struct stoa_semaphore *semaphore;
	int fd;

	assert_ok(stoa_semaphore_open(space, "s", STOA_CREATE, 0600, NULL,
	                              &semaphore));
	stoa_semaphore_close(semaphore);
	fd = open(case_path("s.semaphore"), O_RDWR | O_CLOEXEC);
	assert_system(fd);
	assert_int_equal(
		pwrite(fd, &none, sizeof(none),
	               offsetof(struct stoa_object_header, file_bytes)),
		sizeof(none));
	close(fd);
	assert_result(stoa_semaphore_open(space, "s", 0, 0, NULL, &semaphore),
	              -EUCLEAN);
	unlink(case_path("s.semaphore"));
	stoa_space_close(space);
}

/* The turn is said to be this very thread's, or of no thread: a post, which
 * waits for it as long as it takes, must not wait for that. */
TEST(a_turn_of_ones_own_is_no_turn)
{
	static const struct stoa_semaphore_attributes attributes = {
		.size = sizeof(attributes), .value = 3, .undo = 1
	};
	struct stoa_space *space = open_space();

	for (uint64_t thread = 0; thread < 2; thread++) {
		void *memory = mmap(NULL, PLACE, PROT_READ | PROT_WRITE,
		                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		struct semaphore_extension *extension;
		struct stoa_semaphore *semaphore;
		stoa_peer self;

		assert_ptr_not_equal(memory, MAP_FAILED);
		extension = (void *)((char *)memory + STOA_SEMAPHORE_BYTES);
		assert_ok(stoa_semaphore_place(space, memory, PLACE,
		                               STOA_CREATE, &attributes,
		                               &semaphore));
		assert_ok(stoa_semaphore_wait(semaphore, 1, STOA_NOW));
		assert_ok(stoa_space_self(space, &self));
		atomic_store(&extension->turn, self | thread << 48);
		assert_result(stoa_semaphore_post(semaphore, 1), -EUCLEAN);
		stoa_semaphore_close(semaphore);
		munmap(memory, PLACE);
	}
	stoa_space_close(space);
}

static void use_set(struct stoa_semaphore_set *set, uint64_t *seed)
{
	struct stoa_semaphore_set_status status = { .size = sizeof(status) };
	struct stoa_semaphore_change changes[4];
	struct stoa_semaphore_state one;
	uint16_t values[SEMAPHORES] = { 1, 2, 3, 4, 5 };
	size_t count = 1 + random_below(seed, LENGTH(changes));

	for (size_t i = 0; i < count; i++)
		changes[i] = (struct stoa_semaphore_change){
			(uint32_t)random_below(seed, SEMAPHORES),
			(int32_t)random_below(seed, 5) - 2,
			random_below(seed, 2) ? STOA_SEMAPHORE_UNDO : 0, 0
		};
	switch (random_below(seed, 8)) {
	case 0: expect(stoa_semaphore_set_set(set, 1, 7)); break;
	case 1:
		expect(stoa_semaphore_set_set_all(set, values, SEMAPHORES));
		break;
	case 2:
		expect(stoa_semaphore_set_get_all(set, values, SEMAPHORES));
		break;
	case 3: expect(stoa_semaphore_set_describe(set, 2, &one)); break;
	case 4: expect(stoa_semaphore_set_stat(set, &status)); break;
	default:
		expect(stoa_semaphore_set_operate(
			set, changes, count,
			stoa_deadline_in((int64_t)random_below(seed, 2) * MS)));
	}
}

TEST(a_set_that_is_scribbled_on_answers)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = SEMAPHORES
	};
	uint64_t seed = run_seed();
	struct stoa_semaphore_set *set;
	struct child scribbler;
	struct stat status;
	char *file;
	int fd;

	assert_ok(stoa_semaphore_set_open(space, "s", STOA_CREATE, 0600,
	                                  &attributes, &set));
	fd = open(case_path("s.semaphore_set"), O_RDWR | O_CLOEXEC);
	assert_system(fd);
	assert_system(fstat(fd, &status));
	file = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
	            MAP_SHARED, fd, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	close(fd);
	struct target target = { (unsigned char *)file + OBJECT_KIND_OFFSET,
		                 (size_t)status.st_size - OBJECT_KIND_OFFSET,
		                 seed };
	target.count &= ~(size_t)7;
	scribbler = start_child(scribble, &target);
	await_report(&scribbler);
	for (int i = 0; i < ROUNDS; i++) {
		use_set(set, &seed);
		heal(&((struct stoa_object_header *)file)->events);
	}
	kill_child(&scribbler);
	stoa_semaphore_set_close(set);
	munmap(file, (size_t)status.st_size);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_semaphore_that_is_scribbled_on_answers),
	CASE(a_file_without_a_semaphore_is_refused),
	CASE(a_turn_of_ones_own_is_no_turn),
	CASE(a_set_that_is_scribbled_on_answers),
};

MAIN(cases)
