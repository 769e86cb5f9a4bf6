/* SPDX-License-Identifier: MIT */
/* Every operation on mappings while its n-th system call fails. */
#include "inject.h"

#include <fcntl.h>

enum { PAGE = 4096, BYTES = 3 * PAGE };

static struct stoa_mapping *mapping;
static int file = -1;

static struct stoa_mapping_attributes of(int from, uint32_t shared)
{
	return (struct stoa_mapping_attributes){
		.size = sizeof(struct stoa_mapping_attributes),
		.file = from,
		.shared = shared,
		.protection = STOA_READ | STOA_WRITE,
		.bytes = BYTES
	};
}

static void after_all(struct stage *stage, long long result)
{
	(void)stage;
	(void)result;
	stoa_mapping_unmap(mapping);
	mapping = NULL;
	if (file >= 0)
		close(file);
	file = -1;
}

static long long map(const struct stoa_mapping_attributes *attributes)
{
	struct stoa_mapping *made = (struct stoa_mapping *)&made;
	int result = stoa_mapping_map(attributes, &made);

	if (result == 0)
		mapping = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static void with_file(struct stage *stage)
{
	(void)stage;
	file = open(case_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_system(file);
	assert_system(ftruncate(file, 2 * BYTES));
}

static long long map_file(struct stage *stage)
{
	struct stoa_mapping_attributes attributes = of(file, 1);

	(void)stage;
	return map(&attributes);
}

static long long map_shared(struct stage *stage)
{
	struct stoa_mapping_attributes attributes = of(STOA_MAPPING_ANONYMOUS,
	                                               1);

	(void)stage;
	return map(&attributes);
}

static long long map_zero(struct stage *stage)
{
	struct stoa_mapping_attributes attributes = of(STOA_MAPPING_ZERO, 0);

	(void)stage;
	return map(&attributes);
}

static void with_shared(struct stage *stage)
{
	assert_int_equal(map_shared(stage), 0);
	fill_pattern(stoa_mapping_data(mapping), BYTES, 1);
}

static long long grow(struct stage *stage)
{
	(void)stage;
	return stoa_mapping_resize(mapping, 5 * BYTES, STOA_MAPPING_MAY_MOVE);
}

static void after_grow(struct stage *stage, long long result)
{
	char *data = stoa_mapping_data(mapping);
	uint64_t size = stoa_mapping_size(mapping);

	assert_int_equal(size, result == 0 ? 5 * BYTES : BYTES);
	assert_true(has_pattern(data, BYTES, 1));
	memset(data, 1, size);
	after_all(stage, result);
}

static long long protect(struct stage *stage)
{
	(void)stage;
	return stoa_mapping_protect(mapping, 0, PAGE, STOA_READ);
}

static void with_mapped_file(struct stage *stage)
{
	with_file(stage);
	assert_int_equal(map_file(stage), 0);
}

static long long copy(struct stage *stage)
{
	static char buffer[BYTES];

	(void)stage;
	return stoa_mapping_read(mapping, 0, buffer, BYTES);
}

static const struct operation operations[] = {
	OPERATION_AFTER(map_file, with_file, after_all),
	OPERATION_AFTER(map_shared, with_nothing, after_all),
	OPERATION_AFTER(map_zero, with_nothing, after_all),
	OPERATION_AFTER(grow, with_shared, after_grow),
	OPERATION_AFTER(protect, with_shared, after_all),
	OPERATION_AFTER(copy, with_mapped_file, after_all),
};

TEST(each_operation_survives_the_failure_of_each_call)
{
	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(each_operation_survives_the_failure_of_each_call),
};

MAIN(cases)
