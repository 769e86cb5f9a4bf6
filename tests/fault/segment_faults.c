/* SPDX-License-Identifier: MIT */
/* Every operation on segments while its n-th system call fails. */
#include "inject.h"
#include "segment.h"

#include <sys/wait.h>

enum { BYTES = 3 * PAGE, LIMIT = 8 * PAGE };

static struct stoa_segment *segment, *other;

static const struct stoa_segment_attributes attributes = {
	.size = sizeof(attributes), .bytes = BYTES, .limit = LIMIT
};

static void after_all(struct stage *stage, long long result)
{
	(void)result;
	stoa_segment_close(segment);
	stoa_segment_close(other);
	segment = other = NULL;
	stoa_segment_unlink(stage->space, "s");
}

/* ---- Lifecycle ---------------------------------------------------------- */

static long long create_as(struct stage *stage, unsigned flags)
{
	struct stoa_segment *made = (struct stoa_segment *)&made;
	int result = stoa_segment_open(stage->space, "s", flags | STOA_CREATE,
	                               0640, &attributes, &made);

	if (result == 0)
		segment = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static long long create_to_write(struct stage *stage)
{
	return create_as(stage, STOA_WRITE);
}

static long long create_to_read(struct stage *stage)
{
	return create_as(stage, STOA_READ);
}

static long long create_to_look(struct stage *stage)
{
	return create_as(stage, 0);
}

static void after_create(struct stage *stage, long long result)
{
	bool stale = access(case_path("s.segment"), F_OK) == 0;

	if (result < 0 && stale && !stage->lasting)
		complain(stage, "left a stale name", 0);
	after_all(stage, result);
	assert_int_equal(create_to_write(stage), 0);
	assert_result(stoa_segment_attached(segment), 1);
	after_all(stage, result);
}

static void with_segment(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(create_to_write(stage), 0);
	memset(stoa_segment_data(segment), 'x', BYTES);
}

static long long open_to_write(struct stage *stage)
{
	return stoa_segment_open(stage->space, "s", STOA_WRITE, 0, NULL,
	                         &other);
}

static long long open_to_read(struct stage *stage)
{
	return stoa_segment_open(stage->space, "s", STOA_READ, 0, NULL, &other);
}

static void after_open(struct stage *stage, long long result)
{
	assert_result(stoa_segment_attached(segment), result == 0 ? 2 : 1);
	after_all(stage, result);
}

static void with_two(struct stage *stage)
{
	with_segment(stage);
	assert_int_equal(open_to_write(stage), 0);
}

static long long close_one(struct stage *stage)
{
	(void)stage;
	stoa_segment_close(other);
	other = NULL;
	return 0;
}

static void after_close(struct stage *stage, long long result)
{
	assert_result(stoa_segment_attached(segment), 1);
	after_all(stage, result);
}

static long long remove_it(struct stage *stage)
{
	(void)stage;
	return stoa_segment_remove(segment);
}

/* The name may have stayed; then it's a removed one's, and is used again. */
static void after_remove(struct stage *stage, long long result)
{
	struct stoa_segment *fresh;

	if (result == 0)
		assert_int_equal(segment_status(segment).removed, 1);
	assert_ok(stoa_segment_open(stage->space, "s", STOA_CREATE | STOA_WRITE,
	                            0600, NULL, &fresh));
	assert_result(stoa_segment_attached(fresh),
	              segment_status(segment).removed ? 1 : 2);
	stoa_segment_close(fresh);
	after_all(stage, result);
}

/* ---- Use ------------------------------------------------------------------ */

static long long grow(struct stage *stage)
{
	(void)stage;
	return stoa_segment_resize(segment, LIMIT);
}

static long long shrink(struct stage *stage)
{
	(void)stage;
	return stoa_segment_resize(segment, PAGE + 1);
}

static void after_resize(struct stage *stage, long long result)
{
	const char *data = stoa_segment_data(segment);
	uint64_t size = stoa_segment_size(segment);

	if (result < 0 && result != -ENOMEM && size != BYTES)
		complain(stage, "failed, but has %lld bytes", (long long)size);
	assert_ok(stoa_segment_resize(segment, PAGE + 1));
	assert_int_equal(segment_status(segment).memory_bytes, 3 * PAGE);
	assert_ok(stoa_segment_resize(segment, LIMIT));
	assert_int_equal(stoa_segment_size(segment), LIMIT);
	assert_int_equal(data[PAGE], 'x');
	assert_true(all_zeros(data + PAGE + 1, LIMIT - PAGE - 1));
	after_all(stage, result);
}

static long long seal(struct stage *stage)
{
	(void)stage;
	return stoa_segment_seal(segment, STOA_SEGMENT_SEAL_WRITE);
}

static void after_seal(struct stage *stage, long long result)
{
	uint32_t seals = segment_status(segment).seals;

	if ((result == 0) != (seals == 7))
		complain(stage, "has seals %lld", seals);
	assert_int_equal(*(char *)stoa_segment_data(segment), 'x');
	after_all(stage, result);
}

static long long count(struct stage *stage)
{
	(void)stage;
	return stoa_segment_attached(segment);
}

static long long look(struct stage *stage)
{
	struct stoa_segment_status status = { .size = sizeof(status) };

	(void)stage;
	return stoa_segment_stat(segment, &status);
}

/* A child is counted, or counts as one with its parent; never else. */
static long long fork_one(struct stage *stage)
{
	pid_t pid = fork();
	int status;

	(void)stage;
	if (pid == 0) {
		injected(); /* no more of it */
		_exit(stoa_segment_attached(segment) == 2 ? 0 : 1);
	}
	injected();
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -EIO;
	return status == 0 ? 0 : -EPROTO;
}

static const struct operation operations[] = {
	OPERATION_AFTER(create_to_write, with_space, after_create),
	OPERATION_AFTER(create_to_read, with_space, after_create),
	OPERATION_AFTER(create_to_look, with_space, after_create),
	OPERATION_AFTER(open_to_write, with_segment, after_open),
	OPERATION_AFTER(open_to_read, with_segment, after_open),
	OPERATION_AFTER(close_one, with_two, after_close),
	OPERATION_AFTER(remove_it, with_segment, after_remove),
	OPERATION_AFTER(grow, with_segment, after_resize),
	OPERATION_AFTER(shrink, with_segment, after_resize),
	OPERATION_AFTER(seal, with_segment, after_seal),
	OPERATION_AFTER(count, with_segment, after_close),
	OPERATION_AFTER(look, with_segment, after_close),
};

TEST(each_operation_survives_the_failure_of_each_call)
{
	sweep(operations, LENGTH(operations), STOA_FIFO);
}

TEST(a_fork_survives_the_failure_of_each_call)
{
	static const int errors[] = { EMFILE, ENOMEM, ENOLCK, EIO };
	struct stage stage = { .operation = "fork" };

	with_segment(&stage);
	for (size_t e = 0; e < LENGTH(errors); e++) {
		for (unsigned n = 1; n < 8; n++) {
			inject_at(errors[e], n, false);
			assert_int_equal(fork_one(&stage), 0);
			assert_result(stoa_segment_attached(segment), 1);
		}
	}
	after_all(&stage, 0);
	stoa_space_close(stage.space);
}

static const struct CMUnitTest cases[] = {
	CASE(each_operation_survives_the_failure_of_each_call),
	CASE(a_fork_survives_the_failure_of_each_call),
};

MAIN(cases)
