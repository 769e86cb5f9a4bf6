/* SPDX-License-Identifier: MIT */
/* A pool whose blocks are segments: when they have memory, and who may touch
 * what of them. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SEGMENTS = 20, BYTES = 5000 };

static uint64_t page, rounded;

static struct stoa_pool *make(struct stoa_space *space, const char *name,
                              uint64_t bytes, uint32_t segments)
{
	const struct stoa_pool_attributes wanted = { .size = sizeof(wanted),
		                                     .block_bytes = bytes,
		                                     .blocks = segments,
		                                     .threads = 8,
		                                     .segments = 1 };
	struct stoa_pool *pool;

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	rounded = (bytes + page - 1) / page * page;
	assert_ok(stoa_pool_open(space, name, STOA_CREATE, 0600, &wanted,
	                         &pool));
	return pool;
}

static struct stoa_pool *join(struct stoa_space *space, const char *name)
{
	struct stoa_pool *pool;

	assert_ok(stoa_pool_open(space, name, 0, 0, NULL, &pool));
	return pool;
}

static uint64_t acquire(struct stoa_pool *pool)
{
	uint64_t segment = UINT64_MAX;

	assert_ok(stoa_pool_acquire(pool, STOA_NOW, &segment));
	return segment;
}

static struct stoa_pool_status status_of(struct stoa_pool *pool)
{
	struct stoa_pool_status status = { .size = sizeof(status) };

	assert_ok(stoa_pool_stat(pool, &status));
	return status;
}

static void finish(struct stoa_space *space, struct stoa_pool *pool)
{
	stoa_pool_close(pool);
	stoa_space_close(space);
}

TEST(each_segment_is_had_once_and_keeps_what_is_in_it)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BYTES, SEGMENTS);
	uint64_t segment[SEGMENTS], more;

	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < SEGMENTS; i++) {
			segment[i] = acquire(pool);
			fill_pattern(stoa_pool_data(pool, segment[i]), BYTES,
			             i);
		}
		assert_result(stoa_pool_acquire(pool, STOA_NOW, &more),
		              -EAGAIN);
		for (uint64_t i = 0; i < SEGMENTS; i++) {
			char *data = stoa_pool_data(pool, segment[i]);

			assert_int_equal((uintptr_t)data % page, 0);
			assert_true(has_pattern(data, BYTES, i));
			assert_ok(stoa_pool_block(pool, data, &more));
			assert_int_equal(more, segment[i]);
			assert_ok(stoa_pool_release(pool, segment[i]));
			assert_null(stoa_pool_data(pool, segment[i]));
			assert_null(stoa_pool_view(pool, segment[i]));
		}
	}
	finish(space, pool);
}

TEST(memory_comes_with_the_first_use_and_goes_with_a_discard)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BYTES, SEGMENTS);
	uint64_t before = status_of(pool).memory_bytes, one, two;

	assert_int_equal(status_of(pool).segments, 1);
	assert_true(status_of(pool).bytes > SEGMENTS * rounded);
	assert_true(before < SEGMENTS * rounded);
	one = acquire(pool);
	two = acquire(pool);
	assert_int_equal(status_of(pool).memory_bytes, before + 2 * rounded);
	memset(stoa_pool_data(pool, one), 'x', BYTES);
	assert_ok(stoa_pool_release(pool, one));
	assert_int_equal(status_of(pool).memory_bytes, before + 2 * rounded);
	memset(stoa_pool_data(pool, two), 'x', BYTES);
	assert_ok(stoa_pool_discard(pool, two));
	assert_int_equal(status_of(pool).memory_bytes, before + rounded);
	for (int i = 0; i < SEGMENTS; i++) {
		const char *data = stoa_pool_data(pool, acquire(pool));

		assert_true(data[0] == 'x' || data[0] == 0);
	}
	assert_int_equal(status_of(pool).memory_bytes,
	                 before + SEGMENTS * rounded);
	finish(space, pool);
}

TEST(a_discarded_segment_is_zeros)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BYTES, 1);
	static const char zeros[BYTES];

	for (int i = 0; i < 5; i++) {
		uint64_t segment = acquire(pool);
		char *data = stoa_pool_data(pool, segment);

		assert_memory_equal(data, zeros, BYTES);
		memset(data, 'x', BYTES);
		assert_ok(stoa_pool_discard(pool, segment));
	}
	finish(space, pool);
}

TEST(what_is_not_ours_is_not_discarded)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BYTES, 2);
	uint64_t segment = acquire(pool);

	strcpy(stoa_pool_data(pool, segment), "in flight");
	assert_result(stoa_pool_discard(pool, 7), -EINVAL);
	assert_ok(stoa_pool_give(pool, segment));
	assert_result(stoa_pool_discard(pool, segment), -EPERM);
	assert_string_equal(stoa_pool_view(pool, segment), "in flight");
	assert_ok(stoa_pool_claim(pool, segment));
	assert_ok(stoa_pool_discard(pool, segment));
	assert_result(stoa_pool_discard(pool, segment), -ESTALE);
	finish(space, pool);
}

TEST(blocks_that_are_no_segments_are_released_by_a_discard)
{
	const struct stoa_pool_attributes wanted = { .size = sizeof(wanted),
		                                     .block_bytes = 8,
		                                     .blocks = 1 };
	struct stoa_space *space = open_space();
	struct stoa_pool *pool;
	uint64_t block;

	assert_ok(stoa_pool_open(space, "p", STOA_CREATE, 0600, &wanted,
	                         &pool));
	block = acquire(pool);
	assert_ptr_equal(stoa_pool_view(pool, block),
	                 stoa_pool_data(pool, block));
	assert_ok(stoa_pool_discard(pool, block));
	assert_int_equal(status_of(pool).free, 1);
	assert_int_equal(status_of(pool).segments, 0);
	assert_int_equal(status_of(pool).memory_bytes, status_of(pool).bytes);
	finish(space, pool);
}

/* ---- Who may touch what ------------------------------------------------------- */

static int dies_of(void (*deed)(void *context), void *context)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		deed(context);
		_exit(0);
	}
	assert_system(waitpid(pid, &status, 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void write_byte(void *context)
{
	*(volatile char *)context = 1;
}

static void read_byte(void *context)
{
	(void)*(volatile char *)context;
}

TEST(a_view_can_not_be_written_nor_made_writable)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BYTES, SEGMENTS);
	struct stoa_pool *other = join(space, "p");
	uint64_t segment = acquire(pool);
	char *view = (char *)(uintptr_t)stoa_pool_view(other, segment);

	strcpy(stoa_pool_data(pool, segment), "seen");
	assert_string_equal(view, "seen");
	assert_ptr_equal(stoa_pool_view(other, segment), view);
	assert_int_equal(dies_of(write_byte, view), SIGSEGV);
	assert_int_equal(mprotect(view, rounded, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_string_equal(stoa_pool_data(other, segment), "seen");
	stoa_pool_close(other);
	finish(space, pool);
}

TEST(what_lies_behind_a_segment_is_nobodys)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BYTES, SEGMENTS);

	for (int i = 0; i < SEGMENTS; i++) {
		uint64_t segment = acquire(pool);
		char *data = stoa_pool_data(pool, segment);
		char *view = (char *)(uintptr_t)stoa_pool_view(pool, segment);

		assert_int_equal(dies_of(write_byte, data + rounded - 1), 0);
		assert_int_equal(dies_of(write_byte, data + rounded), SIGSEGV);
		assert_int_equal(dies_of(read_byte, data + rounded), SIGSEGV);
		assert_int_equal(dies_of(read_byte, view + rounded), SIGSEGV);
	}
	finish(space, pool);
}

static void claim_and_answer(void *context)
{
	struct stoa_pool *pool = context;
	uint64_t segment = (uint64_t)await_order();

	assert_string_equal(stoa_pool_view(pool, segment), "to the child");
	assert_ok(stoa_pool_claim(pool, segment));
	strcpy(stoa_pool_data(pool, segment), "to the parent");
	assert_ok(stoa_pool_give(pool, segment));
	report(0);
}

TEST(an_unnamed_one_is_shared_with_forked_children)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, NULL, BYTES, SEGMENTS);
	struct child child = start_child(claim_and_answer, pool);
	uint64_t segment = acquire(pool);

	strcpy(stoa_pool_data(pool, segment), "to the child");
	assert_ok(stoa_pool_give(pool, segment));
	give_order(&child, (int64_t)segment);
	await_report(&child);
	end_child(&child);
	assert_ok(stoa_pool_claim(pool, segment));
	assert_string_equal(stoa_pool_data(pool, segment), "to the parent");
	finish(space, pool);
}

/* ---- What is refused ------------------------------------------------------------ */

TEST(a_full_tmpfs_is_told_and_costs_nothing)
{
	struct stoa_space *space;
	struct stoa_pool *pool;
	uint64_t segment[SEGMENTS], more = 7;
	uint32_t had = 0;
	int result;

	mount_small_space("1m");
	space = open_space();
	pool = make(space, "p", 100000, SEGMENTS);
	while ((result = stoa_pool_acquire(pool, STOA_NOW, &segment[had])) == 0)
		memset(stoa_pool_data(pool, segment[had++]), 'x', 100000);
	assert_int_equal(result, -ENOSPC);
	assert_in_range(had, 5, 10);
	assert_result(stoa_pool_acquire(pool, STOA_FOREVER, &more), -ENOSPC);
	assert_sentence("discard");
	assert_int_equal(more, 7);
	assert_int_equal(status_of(pool).held, had);
	/* Those that have memory are had all the same. */
	assert_ok(stoa_pool_release(pool, segment[0]));
	assert_ok(stoa_pool_acquire(pool, STOA_NOW, &segment[0]));
	for (uint32_t i = 0; i < had; i++)
		assert_ok(stoa_pool_discard(pool, segment[i]));
	for (uint32_t i = 0; i < had; i++)
		segment[i] = acquire(pool);
	finish(space, pool);
}

TEST(it_is_not_made_in_memory_of_the_callers)
{
	struct stoa_pool_attributes wanted = { .size = sizeof(wanted),
		                               .block_bytes = 8,
		                               .blocks = 1,
		                               .segments = 1 };
	struct stoa_space *space = open_space();
	static _Alignas(4096) char memory[65536];
	struct stoa_pool *pool;

	assert_result(stoa_pool_bytes(&wanted), -EINVAL);
	assert_sentence("stoa_pool_open");
	assert_result(stoa_pool_place(space, memory, sizeof(memory),
	                              STOA_CREATE, &wanted, &pool),
	              -EINVAL);
	wanted.segments = 2;
	assert_result(stoa_pool_open(space, "p", STOA_CREATE, 0600, &wanted,
	                             &pool),
	              -EINVAL);
	stoa_space_close(space);
}

static int descriptor_of(const char *file)
{
	struct stat wanted, stat;

	assert_system(lstat(case_path(file), &wanted));
	for (int fd = 3; fd < 1024; fd++) /* kept ones are high */
		if (fstat(fd, &stat) == 0 && stat.st_ino == wanted.st_ino)
			return fd;
	fail_msg("no descriptor of %s", file);
	return -1;
}

TEST(a_descriptor_that_the_program_closed_is_not_used)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BYTES, 2);
	uint64_t segment = acquire(pool), more;
	int fd = descriptor_of("p.pool");
	int other = assert_system(open("/dev/null", O_RDWR | O_CLOEXEC));

	assert_int_equal(dup3(other, fd, O_CLOEXEC), fd);
	assert_system(close(other));
	assert_result(stoa_pool_acquire(pool, STOA_NOW, &more), -EBADF);
	assert_result(stoa_pool_discard(pool, segment), -EBADF);
	assert_null(stoa_pool_view(pool, segment));
	assert_non_null(stoa_pool_data(pool, segment));
	assert_ok(stoa_pool_release(pool, segment));
	finish(space, pool);
	assert_system(close(fd));
}

/* Bytes of it that are taken: sanitizers take much. */
static uint64_t address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

TEST(more_address_space_than_there_is_is_refused)
{
	struct stoa_space *space = open_space();
	const struct stoa_pool_attributes wanted = {
		.size = sizeof(wanted), .block_bytes = 1 << 30,
		.blocks = 1000, .segments = 1
	};
	rlim_t most = address_space() + (UINT64_C(1) << 38);
	struct rlimit limit = { most, most };
	struct stoa_pool *pool;

	assert_system(setrlimit(RLIMIT_AS, &limit));
	assert_result(stoa_pool_open(space, "p", STOA_CREATE, 0600, &wanted,
	                             &pool),
	              -ENOMEM);
	assert_int_equal(access(case_path("p.pool"), F_OK), -1);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(each_segment_is_had_once_and_keeps_what_is_in_it),
	CASE(memory_comes_with_the_first_use_and_goes_with_a_discard),
	CASE(a_discarded_segment_is_zeros),
	CASE(what_is_not_ours_is_not_discarded),
	CASE(blocks_that_are_no_segments_are_released_by_a_discard),
	CASE(a_view_can_not_be_written_nor_made_writable),
	CASE(what_lies_behind_a_segment_is_nobodys),
	CASE(an_unnamed_one_is_shared_with_forked_children),
	CASE(a_full_tmpfs_is_told_and_costs_nothing),
	CASE(it_is_not_made_in_memory_of_the_callers),
	CASE(a_descriptor_that_the_program_closed_is_not_used),
	CASE(more_address_space_than_there_is_is_refused),
};

MAIN(cases)
