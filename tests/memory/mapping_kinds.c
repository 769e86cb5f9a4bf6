/* SPDX-License-Identifier: MIT */
/* Mapping files and memory: the four kinds, resizing, what is refused. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { PAGE = 4096 };

static struct stoa_mapping_attributes of(int file, uint32_t shared,
                                         uint64_t offset, uint64_t bytes)
{
	return (struct stoa_mapping_attributes){
		.size = sizeof(struct stoa_mapping_attributes),
		.file = file,
		.shared = shared,
		.protection = STOA_READ | STOA_WRITE,
		.offset = offset,
		.bytes = bytes
	};
}

static struct stoa_mapping *
map(const struct stoa_mapping_attributes *attributes)
{
	struct stoa_mapping *mapping;

	assert_ok(stoa_mapping_map(attributes, &mapping));
	return mapping;
}

static void refuse(const struct stoa_mapping_attributes *attributes,
                   int expected, const char *part)
{
	struct stoa_mapping *mapping;

	assert_result(stoa_mapping_map(attributes, &mapping), expected);
	assert_sentence(part);
}

/* A file of a pattern, open to be read and written. */
static int make_file(const char *name, size_t bytes)
{
	int fd = open(case_path(name), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	char *data = malloc(bytes);

	assert_system(fd);
	fill_pattern(data, bytes, 1);
	assert_int_equal(write(fd, data, bytes), bytes);
	free(data);
	return fd;
}

static void drop_file(const char *name, int fd)
{
	close(fd);
	assert_system(unlink(case_path(name)));
}

TEST(any_offset_and_length_of_a_file)
{
	static const uint64_t ranges[][2] = {
		{ 0, 1 }, { 1, PAGE }, { PAGE - 1, 2 }, { 5000, 9000 },
		{ 2 * PAGE, 0 }, { 20000, 0 }
	};
	int fd = make_file("f", 20001);
	char *bytes = malloc(20001);

	assert_int_equal(pread(fd, bytes, 20001, 0), 20001);
	for (size_t i = 0; i < LENGTH(ranges); i++) {
		struct stoa_mapping_attributes attributes =
			of(fd, 0, ranges[i][0], ranges[i][1]);
		struct stoa_mapping *mapping = map(&attributes);
		uint64_t size = stoa_mapping_size(mapping);

		assert_int_equal(size, ranges[i][1] ? ranges[i][1] :
		                                      20001 - ranges[i][0]);
		assert_memory_equal(stoa_mapping_data(mapping),
		                    bytes + ranges[i][0], size);
		stoa_mapping_unmap(mapping);
	}
	free(bytes);
	drop_file("f", fd);
}

TEST(shared_goes_to_the_file_and_private_does_not)
{
	int fd = make_file("f", 3 * PAGE);
	struct stoa_mapping_attributes attributes = of(fd, 0, 100, 5000);
	struct stoa_mapping *own = map(&attributes);
	struct stoa_mapping *common;
	char byte = 0;

	attributes.shared = 1;
	common = map(&attributes);
	memset(stoa_mapping_data(own), 'p', 5000);
	assert_int_equal(pread(fd, &byte, 1, 100), 1);
	assert_int_not_equal(byte, 'p');
	memset(stoa_mapping_data(common), 's', 5000);
	assert_ok(stoa_mapping_sync(common, 0, 5000, 0));
	assert_ok(stoa_mapping_sync(common, 1, 4999,
	                            STOA_MAPPING_ASYNC));
	assert_ok(stoa_mapping_sync(common, 0, 0, STOA_MAPPING_INVALIDATE));
	assert_result(stoa_mapping_sync(common, 0, 1, 8), -EINVAL);
	assert_int_equal(pread(fd, &byte, 1, 5099), 1);
	assert_int_equal(byte, 's');
	assert_int_equal(*(char *)stoa_mapping_data(own), 'p');
	stoa_mapping_unmap(common);
	stoa_mapping_unmap(own);
	drop_file("f", fd);
}

static void write_there(void *context)
{
	struct stoa_mapping **mappings = context;

	for (int i = 0; i < 4; i++)
		strcpy(stoa_mapping_data(mappings[i]), "from the child");
}

TEST(shared_memory_is_the_familys_and_private_is_ones_own)
{
	struct stoa_mapping *mappings[4];
	struct child child;

	for (int i = 0; i < 4; i++) {
		struct stoa_mapping_attributes attributes =
			of(i & 1 ? STOA_MAPPING_ZERO : STOA_MAPPING_ANONYMOUS,
		           i >= 2, 0, 10000);

		mappings[i] = map(&attributes);
		for (int j = 0; j < 10000; j++)
			assert_int_equal(
				((char *)stoa_mapping_data(mappings[i]))[j], 0);
	}
	child = start_child(write_there, mappings);
	end_child(&child);
	for (int i = 0; i < 4; i++) {
		assert_string_equal(stoa_mapping_data(mappings[i]),
		                    i >= 2 ? "from the child" : "");
		stoa_mapping_unmap(mappings[i]);
	}
}

TEST(it_grows_and_shrinks_and_moves_only_if_it_may)
{
	for (int i = 0; i < 4; i++) {
		struct stoa_mapping_attributes attributes =
			of(i & 1 ? STOA_MAPPING_ZERO : STOA_MAPPING_ANONYMOUS,
		           i >= 2, 0, 3 * PAGE);
		struct stoa_mapping *mapping = map(&attributes);
		char *data = stoa_mapping_data(mapping);
		char *wall;

		fill_pattern(data, 3 * PAGE, 9);
		assert_ok(stoa_mapping_resize(mapping, PAGE + 1, 0));
		assert_ptr_equal(stoa_mapping_data(mapping), data);
		wall = mmap(data + 2 * PAGE, PAGE, PROT_NONE,
		            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		assert_ptr_equal(wall, data + 2 * PAGE);
		if (i == 3) {
			assert_result(stoa_mapping_resize(
					      mapping, 100 * PAGE,
					      STOA_MAPPING_MAY_MOVE),
			              -EOPNOTSUPP);
			assert_sentence("/dev/zero");
		} else {
			assert_result(stoa_mapping_resize(mapping, 100 * PAGE,
			                                  0),
			              -ENOMEM);
			assert_sentence("let it move");
			assert_int_equal(stoa_mapping_size(mapping), PAGE + 1);
			assert_ok(stoa_mapping_resize(mapping, 100 * PAGE,
			                              STOA_MAPPING_MAY_MOVE));
			data = stoa_mapping_data(mapping);
			assert_true(has_pattern(data, PAGE + 1, 9));
			memset(data + 50 * PAGE, 1, 50 * PAGE);
		}
		assert_result(stoa_mapping_resize(mapping, 0, 0), -EINVAL);
		assert_result(stoa_mapping_resize(mapping, 1, 8), -EINVAL);
		assert_system(munmap(wall, PAGE));
		stoa_mapping_unmap(mapping);
	}
}

TEST(of_a_file_it_grows_to_its_end)
{
	int fd = make_file("f", 10 * PAGE);
	struct stoa_mapping_attributes attributes = of(fd, 1, 10, 100);
	struct stoa_mapping *mapping = map(&attributes);
	char *bytes = malloc(10 * PAGE);

	assert_int_equal(pread(fd, bytes, 10 * PAGE, 0), 10 * PAGE);
	assert_ok(stoa_mapping_resize(mapping, 10 * PAGE - 10,
	                              STOA_MAPPING_MAY_MOVE));
	assert_memory_equal(stoa_mapping_data(mapping), bytes + 10,
	                    10 * PAGE - 10);
	assert_result(stoa_mapping_resize(mapping, 10 * PAGE - 9,
	                                  STOA_MAPPING_MAY_MOVE),
	              -ENXIO);
	stoa_mapping_unmap(mapping);
	attributes.beyond = 1;
	attributes.bytes = 20 * PAGE;
	mapping = map(&attributes);
	assert_system(ftruncate(fd, 30 * PAGE));
	strcpy((char *)stoa_mapping_data(mapping) + 15 * PAGE, "beyond");
	assert_int_equal(pread(fd, bytes, 7, 15 * PAGE + 10), 7);
	assert_string_equal(bytes, "beyond");
	stoa_mapping_unmap(mapping);
	free(bytes);
	drop_file("f", fd);
}

TEST(nothing_is_mapped_over)
{
	char *room = mmap(NULL, 4 * PAGE, PROT_NONE,
	                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stoa_mapping_attributes attributes =
		of(STOA_MAPPING_ANONYMOUS, 0, 0, 2 * PAGE);
	struct stoa_mapping *mapping;

	assert_system(munmap(room + PAGE, 2 * PAGE));
	attributes.address = room;
	refuse(&attributes, -EADDRINUSE, "another address");
	attributes.address = room + PAGE + 1;
	refuse(&attributes, -EINVAL, "page size");
	attributes.address = room + PAGE;
	mapping = map(&attributes);
	assert_ptr_equal(stoa_mapping_data(mapping), room + PAGE);
	stoa_mapping_unmap(mapping);
	assert_system(munmap(room, 4 * PAGE));
}

TEST(what_cannot_be_is_refused)
{
	int fd = make_file("f", PAGE);
	int reader = open(case_path("f"), O_RDONLY | O_CLOEXEC);
	int directory = open(case_directory(), O_RDONLY | O_CLOEXEC);
	struct stoa_mapping_attributes attributes = of(fd, 0, 0, 10);

	attributes.size = 1;
	refuse(&attributes, -EINVAL, "size");
	attributes = of(fd, 2, 0, 10);
	refuse(&attributes, -EINVAL, "shared");
	attributes = of(fd, 0, 0, 10);
	attributes.reserved[2] = 1;
	refuse(&attributes, -EINVAL, "reserved");
	attributes = of(fd, 0, 0, 10);
	attributes.protection = 0x80;
	refuse(&attributes, -EINVAL, "protection");
	attributes = of(STOA_MAPPING_ANONYMOUS, 0, 0, 0);
	refuse(&attributes, -EINVAL, "1 byte");
	attributes = of(STOA_MAPPING_ANONYMOUS, 0, 1, 1);
	refuse(&attributes, -EINVAL, "offset");
	attributes = of(-3, 0, 0, 1);
	refuse(&attributes, -EBADF, "-3");
	attributes = of(9999, 0, 0, 1);
	refuse(&attributes, -EBADF, "9999");
	attributes = of(fd, 0, UINT64_MAX - 5, 10);
	refuse(&attributes, -EOVERFLOW, "can't be mapped");
	attributes = of(fd, 0, 0, UINT64_MAX - 5);
	refuse(&attributes, -EOVERFLOW, "can't be mapped");
	attributes = of(fd, 0, 10, PAGE);
	refuse(&attributes, -ENXIO, "has 4096 bytes");
	attributes = of(fd, 0, PAGE, 0);
	refuse(&attributes, -ENODATA, "nothing to map");
	attributes = of(directory, 0, 0, 10);
	refuse(&attributes, -ENODEV, "neither");
	attributes = of(reader, 1, 0, 10);
	refuse(&attributes, -EACCES, "wasn't opened for that");
	attributes = of(STOA_MAPPING_ANONYMOUS, 0, 0, UINT64_C(1) << 60);
	refuse(&attributes, -ENOMEM, "can't map");
	close(reader);
	close(directory);
	drop_file("f", fd);
}

static const struct CMUnitTest cases[] = {
	CASE(any_offset_and_length_of_a_file),
	CASE(shared_goes_to_the_file_and_private_does_not),
	CASE(shared_memory_is_the_familys_and_private_is_ones_own),
	CASE(it_grows_and_shrinks_and_moves_only_if_it_may),
	CASE(of_a_file_it_grows_to_its_end),
	CASE(nothing_is_mapped_over),
	CASE(what_cannot_be_is_refused),
};

MAIN(cases)
