/* SPDX-License-Identifier: MIT */
/* Names as POSIX has them become names of objects: valid ones, and no two the
 * same. */
#include "support.h"

#include <dropin/name.h>

enum { LONGEST = 255, ROUNDS = 3000 };

static const char *object(const char *name)
{
	static char objects[4][DROPIN_NAME_BYTES];
	static unsigned next;
	char *one = objects[next++ % 4];

	dropin_object_name("sem.", name, one);
	return one;
}

static void assert_valid(const char *name)
{
	size_t length = strlen(name);

	assert_in_range(length, 1, STOA_NAME_MAX);
	assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"
	                              "OPQRSTUVWXYZ0123456789._-"),
	                 length);
}

TEST(plain_names_are_themselves)
{
	assert_string_equal(object("my-queue_1"), "sem.my-queue_1");
	assert_string_equal(object("a.txt"), "sem.a.txt");
}

TEST(other_bytes_are_escaped)
{
	assert_string_equal(object("my queue"), "sem.my.20queue");
	assert_string_equal(object("\xff"), "sem..ff");
	assert_string_equal(object("my.20queue"), "sem.my.2e20queue");
	assert_string_equal(object("x.20"), "sem.x.2e20");
	assert_string_equal(object("x.2"), "sem.x.2");
}

TEST(long_names_are_told_apart)
{
	char first[LONGEST + 1], second[LONGEST + 1];

	memset(first, 'x', LONGEST);
	first[LONGEST] = 0;
	strcpy(second, first);
	second[LONGEST - 1] = 'y';
	assert_valid(object(first));
	assert_string_not_equal(object(first), object(second));
	second[LONGEST - 1] = 0;
	assert_string_not_equal(object(first), object(second));
	memset(first, ' ', LONGEST);
	assert_valid(object(first));
}

/* Of few bytes, so that names are alike. */
static void make_name(uint64_t *chance, char name[LONGEST + 1])
{
	static const char bytes[] = ".20ae x";
	size_t length = 1 + random_below(chance, 5);

	for (size_t i = 0; i < length; i++)
		name[i] = bytes[random_below(chance, sizeof(bytes) - 1)];
	name[length] = 0;
}

TEST(no_two_names_are_one_object)
{
	char first[LONGEST + 1], second[LONGEST + 1];
	uint64_t chance = run_seed();

	for (int i = 0; i < ROUNDS; i++) {
		make_name(&chance, first);
		make_name(&chance, second);
		assert_valid(object(first));
		assert_int_equal(strcmp(first, second) == 0,
		                 strcmp(object(first), object(second)) == 0);
	}
}

TEST(names_are_checked_as_libc_does)
{
	char name[LONGEST + 8] = "/";
	const char *rest;

	assert_int_equal(dropin_name_check("", 255, &rest), -EINVAL);
	assert_int_equal(dropin_name_check("//", 255, &rest), -EINVAL);
	assert_int_equal(dropin_name_check("a/b", 255, &rest), -EINVAL);
	assert_int_equal(dropin_name_check("//a", 255, &rest), 0);
	assert_string_equal(rest, "a");
	memset(name, 'x', LONGEST);
	assert_int_equal(dropin_name_check(name, LONGEST, &rest), 0);
	name[LONGEST] = 'x';
	assert_int_equal(dropin_name_check(name, LONGEST, &rest),
	                 -ENAMETOOLONG);
	memset(name, 'x', LONGEST + 5);
	assert_int_equal(dropin_name_check(name, LONGEST, &rest), -EINVAL);
}

static const struct CMUnitTest cases[] = {
	CASE(plain_names_are_themselves),
	CASE(other_bytes_are_escaped),
	CASE(long_names_are_told_apart),
	CASE(no_two_names_are_one_object),
	CASE(names_are_checked_as_libc_does),
};
MAIN(cases)
