/* SPDX-License-Identifier: MIT */
/* Opening a space: which directory, which are refused and why. */
#include "support.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define TMPFS_MAGIC 0x01021994
#define SOME_UID 54321
#define OWN_SPACE "/dev/shm/stoa-54321"

static void assert_opens(const char *path, unsigned flags)
{
	struct stoa_space *space = NULL;

	assert_ok(stoa_space_open(path, flags, &space));
	assert_string_equal(stoa_space_path(space), path);
	stoa_space_close(space);
}

static void assert_refused(const char *path, unsigned flags, int error)
{
	struct stoa_space *space = (struct stoa_space *)&space;

	assert_result(stoa_space_open(path, flags, &space), error);
	assert_ptr_equal(space, &space);
	assert_sentence(path);
}

static mode_t mode_of(const char *path)
{
	struct stat stat;

	assert_system(lstat(path, &stat));
	return stat.st_mode & 07777;
}

TEST(a_directory_of_ones_own_opens)
{
	assert_opens(case_directory(), 0);
	assert_opens(case_directory(), STOA_CREATE);
}

TEST(a_missing_directory_is_enoent_without_create)
{
	assert_refused(case_path("none"), 0, -ENOENT);
	assert_refused(case_path("none/deeper"), STOA_CREATE, -ENOENT);
	assert_int_equal(access(case_path("none"), F_OK), -1);
}

TEST(create_makes_a_private_directory_whatever_the_umask)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };

	for (size_t i = 0; i < LENGTH(masks); i++) {
		umask(masks[i]);
		assert_opens(case_path("made"), STOA_CREATE);
		assert_int_equal(mode_of(case_path("made")), 0700);
		assert_int_equal(count_stale_files(case_path("made"), true), 0);
		assert_opens(case_path("made"), 0);
		remove_tree(case_path("made"));
	}
}

TEST(shared_makes_a_directory_for_all_users_whatever_the_umask)
{
	umask(077);
	assert_opens(case_path("made"), STOA_CREATE | STOA_SHARED);
	assert_int_equal(mode_of(case_path("made")), 01777);
	assert_opens(case_path("made"), 0);
	remove_tree(case_path("made"));
}

TEST(the_mode_of_an_existing_directory_is_kept)
{
	assert_system(chmod(case_directory(), 0750));
	assert_opens(case_directory(), STOA_CREATE | STOA_SHARED);
	assert_int_equal(mode_of(case_directory()), 0750);
}

TEST(null_means_the_environments_space)
{
	struct stoa_space *space;

	setenv("STOA_SPACE", case_directory(), 1);
	assert_ok(stoa_space_open(NULL, 0, &space));
	assert_string_equal(stoa_space_path(space), case_directory());
	stoa_space_close(space);
}

TEST(a_wrong_environment_is_refused)
{
	struct stoa_space *space;

	setenv("STOA_SPACE", "relative/path", 1);
	assert_result(stoa_space_open(NULL, 0, &space), -EINVAL);
	assert_sentence("relative/path");
	setenv("STOA_SPACE", case_path("none"), 1);
	assert_result(stoa_space_open(NULL, 0, &space), -ENOENT);
}

static void open_own(void *context UNUSED)
{
	struct stoa_space *space;
	struct stat found;

	assert_system(setresuid(SOME_UID, SOME_UID, SOME_UID));
	unsetenv("STOA_SPACE");
	for (int i = 0; i < 2; i++) {
		assert_ok(stoa_space_open(NULL, 0, &space));
		assert_string_equal(stoa_space_path(space), OWN_SPACE);
		stoa_space_close(space);
		assert_system(stat(OWN_SPACE, &found));
		assert_int_equal(found.st_mode & 07777, 0700);
		assert_int_equal(found.st_uid, SOME_UID);
	}
}

TEST(without_an_environment_it_is_the_users_own_made_on_first_use)
{
	struct child child;

	skip_unless_root();
	remove_tree(OWN_SPACE);
	umask(0);
	child = start_child(open_own, NULL);
	end_child(&child);
	remove_tree(OWN_SPACE);
}

TEST(a_path_that_is_not_absolute_is_refused)
{
	assert_refused("relative", STOA_CREATE, -EINVAL);
	assert_refused("./relative", STOA_CREATE, -EINVAL);
	assert_refused("", STOA_CREATE, -EINVAL);
}

TEST(unknown_flags_are_refused)
{
	struct stoa_space *space;

	assert_result(stoa_space_open(case_directory(), 0x80000000u, &space),
	              -EINVAL);
	assert_sentence("0x80000000");
	assert_result(stoa_space_open(case_directory(), 0x40u, &space),
	              -EINVAL);
}

TEST(a_directory_that_others_may_write_is_refused)
{
	static const mode_t modes[] = { 0770, 0720, 0777, 0702, 0707 };

	for (size_t i = 0; i < LENGTH(modes); i++) {
		assert_system(chmod(case_directory(), modes[i]));
		assert_refused(case_directory(), 0, -EPERM);
		assert_refused(case_directory(), STOA_CREATE, -EPERM);
	}
}

TEST(a_sticky_directory_that_others_may_write_opens)
{
	static const mode_t modes[] = { 01770, 01777 };

	for (size_t i = 0; i < LENGTH(modes); i++) {
		assert_system(chmod(case_directory(), modes[i]));
		assert_opens(case_directory(), 0);
	}
}

TEST(a_directory_that_others_may_only_read_opens)
{
	assert_system(chmod(case_directory(), 0755));
	assert_opens(case_directory(), 0);
}

TEST(a_directory_of_a_foreign_owner_is_refused)
{
	skip_unless_root();
	assert_system(chown(case_directory(), SOME_UID, 0));
	assert_refused(case_directory(), 0, -EPERM);
	assert_system(chmod(case_directory(), 01777));
	assert_refused(case_directory(), 0, -EPERM);
}

static void open_roots(void *context UNUSED)
{
	become_nobody();
	assert_opens(case_directory(), 0);
}

TEST(a_sticky_directory_of_root_opens_for_everybody)
{
	struct child child;

	skip_unless_root();
	assert_system(chmod(case_directory(), 01777));
	child = start_child(open_roots, NULL);
	end_child(&child);
}

static void open_closed(void *context UNUSED)
{
	become_nobody();
	assert_refused(case_directory(), 0, -EACCES);
}

TEST(a_directory_without_permission_is_eacces)
{
	struct child child;

	skip_unless_root();
	child = start_child(open_closed, NULL);
	end_child(&child);
}

TEST(a_symbolic_link_is_refused)
{
	struct stoa_space *space;
	char slashed[300];

	assert_system(mkdir(case_path("real"), 0700));
	assert_system(symlink("real", case_path("link")));
	assert_refused(case_path("link"), 0, -EPERM);
	assert_refused(case_path("link"), STOA_CREATE, -EPERM);
	snprintf(slashed, sizeof(slashed), "%s/", case_path("link"));
	assert_result(stoa_space_open(slashed, 0, &space), -EPERM);
	assert_sentence(case_path("link"));
	assert_system(symlink("nowhere", case_path("dangling")));
	assert_refused(case_path("dangling"), STOA_CREATE, -EPERM);
	assert_int_equal(access(case_path("nowhere"), F_OK), -1);
	unlink(case_path("dangling"));
	unlink(case_path("link"));
	assert_system(rmdir(case_path("real")));
}

TEST(what_is_no_directory_is_refused)
{
	int fd = open(case_path("file"), O_CREAT | O_WRONLY, 0600);

	assert_system(fd);
	close(fd);
	assert_refused(case_path("file"), 0, -ENOTDIR);
	assert_refused(case_path("file"), STOA_CREATE, -ENOTDIR);
	assert_refused(case_path("file/below"), STOA_CREATE, -ENOTDIR);
	unlink(case_path("file"));
}

TEST(a_directory_that_is_not_on_tmpfs_is_refused)
{
	char template[] = "/var/tmp/stoa-test-XXXXXX";
	struct statfs type;

	if (mkdtemp(template) == NULL || statfs(template, &type) != 0 ||
	    type.f_type == TMPFS_MAGIC) {
		rmdir(template);
		skip_case("there is no disk file system at /var/tmp");
	}
	assert_refused(template, 0, -EMEDIUMTYPE);
	assert_int_equal(rmdir(template), 0);
}

TEST(too_few_descriptors_is_emfile)
{
	struct rlimit limit;
	struct rlimit none;

	assert_system(getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = 3;
	while (none.rlim_cur < 64 && fcntl((int)none.rlim_cur, F_GETFD) >= 0)
		none.rlim_cur++;
	assert_system(setrlimit(RLIMIT_NOFILE, &none));
	assert_refused(case_directory(), 0, -EMFILE);
	assert_system(setrlimit(RLIMIT_NOFILE, &limit));
}

TEST(closing_nothing_is_fine)
{
	stoa_space_close(NULL);
}

TEST(a_space_opens_many_times_in_one_process)
{
	struct stoa_space *spaces[50];

	for (size_t i = 0; i < LENGTH(spaces); i++)
		spaces[i] = open_space();
	for (size_t i = 0; i < LENGTH(spaces); i++)
		stoa_space_close(spaces[i]);
}

static const struct CMUnitTest cases[] = {
	CASE(a_directory_of_ones_own_opens),
	CASE(a_missing_directory_is_enoent_without_create),
	CASE(create_makes_a_private_directory_whatever_the_umask),
	CASE(shared_makes_a_directory_for_all_users_whatever_the_umask),
	CASE(the_mode_of_an_existing_directory_is_kept),
	CASE(null_means_the_environments_space),
	CASE(a_wrong_environment_is_refused),
	CASE(without_an_environment_it_is_the_users_own_made_on_first_use),
	CASE(a_path_that_is_not_absolute_is_refused),
	CASE(unknown_flags_are_refused),
	CASE(a_directory_that_others_may_write_is_refused),
	CASE(a_sticky_directory_that_others_may_write_opens),
	CASE(a_directory_that_others_may_only_read_opens),
	CASE(a_directory_of_a_foreign_owner_is_refused),
	CASE(a_sticky_directory_of_root_opens_for_everybody),
	CASE(a_directory_without_permission_is_eacces),
	CASE(a_symbolic_link_is_refused),
	CASE(what_is_no_directory_is_refused),
	CASE(a_directory_that_is_not_on_tmpfs_is_refused),
	CASE(too_few_descriptors_is_emfile),
	CASE(closing_nothing_is_fine),
	CASE(a_space_opens_many_times_in_one_process),
};

MAIN(cases)
