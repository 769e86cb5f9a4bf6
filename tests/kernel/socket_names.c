/* SPDX-License-Identifier: MIT */
/* Names of sockets in a space: long ones, those that the dead left, those that
 * several want at once; listed, removed and cleaned as other names are. */
#include "descriptor.h"

#include <signal.h>
#include <sys/stat.h>

enum { RIVALS = 6, ROUNDS = 20 };

static struct stoa_space *space;

static int offer_nothing(const char *name, mode_t mode,
                         struct stoa_offer **ret_offer)
{
	return stoa_descriptor_offer(space, name, 0, mode, NULL, NULL, 0, NULL,
	                             0, ret_offer);
}

static void hold_name(void *context)
{
	struct stoa_offer *offer;

	assert_ok(offer_nothing(context, 0600, &offer));
	report(0);
	await_order();
	stoa_descriptor_withdraw(offer);
}

/* One that a dead process left. */
static void leave_name(char *name)
{
	struct child child = start_child(hold_name, name);

	await_report(&child);
	kill_child(&child);
}

static struct stoa_object_info info_of(const char *name)
{
	struct stoa_object_info info;

	assert_ok(stoa_space_find(space, name, &info));
	return info;
}

static ssize_t fetch(const char *name)
{
	struct stoa_descriptor_message message;

	return stoa_descriptor_fetch(space, name, 0, NULL, 0, NULL, 0, STOA_NOW,
	                             &message);
}

TEST(names_as_long_as_any_are_bound_and_found)
{
	char name[STOA_NAME_MAX + 2];
	struct stoa_offer *offer;

	space = open_space();
	memset(name, 'n', STOA_NAME_MAX + 1);
	name[STOA_NAME_MAX + 1] = 0;
	assert_result(offer_nothing(name, 0600, &offer), -EINVAL);
	name[STOA_NAME_MAX] = 0;
	assert_ok(offer_nothing(name, 0600, &offer));
	assert_result(fetch(name), -EAGAIN);
	stoa_descriptor_withdraw(offer);
	assert_result(fetch(name), -ENOENT);
	stoa_space_close(space);
}

static int count_one(const struct stoa_object_info *info, void *context)
{
	assert_string_equal(info->kind, "offer");
	++*(int *)context;
	return 0;
}

static int no_user(const struct stoa_user *user, void *context)
{
	(void)user, (void)context;
	return -EIO;
}

TEST(sockets_are_listed_with_their_kind_and_whether_somebody_has_them)
{
	struct stoa_object_info info;
	struct stoa_offer *offer;
	int listed = 0;

	space = open_space();
	umask(077);
	assert_ok(offer_nothing("open", 0666, &offer));
	umask(0);
	leave_name("dead");
	assert_result(stoa_space_each(space, count_one, &listed), 2);
	assert_int_equal(listed, 2);
	info = info_of("open");
	assert_int_equal(info.health, 0);
	assert_int_equal(info.mode, 0666);
	assert_int_equal(info.users, 1);
	assert_int_equal(info.dead, 0);
	info = info_of("dead.offer");
	assert_int_equal(info.health, 0);
	assert_int_equal(info.mode, 0600);
	assert_int_equal(info.users, 0);
	assert_int_equal(info.dead, 1);
	assert_result(stoa_space_each_user(space, "open", no_user, NULL), 0);
	assert_ok(stoa_space_remove(space, "dead", 0));
	assert_result(stoa_space_find(space, "dead", &info), -ENOENT);
	/* A removed name can be had by another, and stays his. */
	assert_ok(stoa_space_remove(space, "open", 1));
	struct stoa_offer *other;
	assert_ok(offer_nothing("open", 0600, &other));
	stoa_descriptor_withdraw(offer);
	assert_result(fetch("open"), -EAGAIN);
	stoa_descriptor_withdraw(other);
	stoa_space_close(space);
}

TEST(cleaning_removes_what_the_dead_left_and_nothing_else)
{
	struct stoa_offer *offer;
	struct stoa_object_info info;

	space = open_space();
	assert_ok(offer_nothing("alive", 0600, &offer));
	leave_name("dead");
	leave_name("dead.too");
	/* What a binder leaves that is killed before it has its name. */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	assert_system(mkdir(case_path(".socket.0123456789abcdef"), 0700));
	strcpy(address.sun_path, case_path(".socket.0123456789abcdef/socket"));
	assert_system(bind(fd, (void *)&address, sizeof(address)));
	assert_result(stoa_space_clean(space, 1, NULL, NULL), 2);
	close(fd);
	/* Or between the dead one's end and its own; and what isn't a name's. */
	assert_system(mkdir(case_path("empty.offer"), 0755));
	assert_system(mkdir(case_path("others"), 0755));
	assert_system(mkdir(case_path("others.too"), 0755));
	assert_system(mkdir(case_path("others.too/within"), 0755));
	assert_result(stoa_space_clean(space, 1, NULL, NULL), 4);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 4);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 0);
	assert_system(rmdir(case_path("others.too/within")));
	assert_system(rmdir(case_path("others.too")));
	assert_system(rmdir(case_path("others")));
	assert_result(stoa_space_find(space, "dead", &info), -ENOENT);
	assert_result(fetch("alive"), -EAGAIN);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

TEST(a_name_that_somebody_has_is_refused_and_one_of_the_dead_taken)
{
	struct stoa_offer *offer, *other = NULL;

	space = open_space();
	leave_name("box");
	assert_result(fetch("box"), -ECONNREFUSED);
	assert_ok(offer_nothing("box", 0600, &offer));
	assert_result(fetch("box"), -EAGAIN);
	assert_result(offer_nothing("box", 0600, &other), -EADDRINUSE);
	assert_sentence("box.offer");
	assert_null(other);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

TEST(what_is_no_socket_is_left_alone)
{
	struct stoa_offer *offer = NULL;
	int fd;

	space = open_space();
	fd = open(case_path("box.offer"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_system(fd);
	close(fd);
	assert_result(offer_nothing("box", 0600, &offer), -EEXIST);
	assert_true(fetch("box") < 0);
	assert_system(unlink(case_path("box.offer")));
	assert_system(mkdir(case_path("box.offer"), 0700));
	assert_result(fetch("box"), -ENOENT);
	assert_system(mkdir(case_path("box.offer/within"), 0700));
	assert_result(offer_nothing("box", 0600, &offer), -EEXIST);
	assert_sentence("box.offer");
	assert_system(rmdir(case_path("box.offer/within")));
	assert_system(rmdir(case_path("box.offer")));
	assert_ok(offer_nothing("real", 0600, &offer));
	/* A link could lead to anybody's socket. */
	assert_system(symlink("real.offer", case_path("box.offer")));
	assert_true(fetch("box") < 0);
	assert_system(unlink(case_path("box.offer")));
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

static void contend(void *context)
{
	struct stoa_offer *offer = NULL;
	int result;

	(void)context;
	await_order();
	result = offer_nothing("box", 0600, &offer);
	assert_true(result == 0 || result == -EADDRINUSE);
	report(result);
	await_order();
	if (result == 0)
		stoa_descriptor_withdraw(offer);
}

TEST(of_several_who_take_over_a_dead_name_exactly_one_has_it)
{
	space = open_space();
	for (int round = 0; round < ROUNDS; round++) {
		struct child children[RIVALS];
		int winners = 0;

		leave_name("box");
		for (int i = 0; i < RIVALS; i++)
			children[i] = start_child(contend, NULL);
		for (int i = 0; i < RIVALS; i++)
			give_order(&children[i], 0);
		for (int i = 0; i < RIVALS; i++)
			winners += await_report(&children[i]) == 0;
		assert_int_equal(winners, 1);
		assert_int_equal(info_of("box").users, 1);
		assert_result(fetch("box"), -EAGAIN);
		for (int i = 0; i < RIVALS; i++)
			give_order(&children[i], 0);
		for (int i = 0; i < RIVALS; i++)
			end_child(&children[i]);
		assert_result(fetch("box"), -ENOENT);
	}
	stoa_space_close(space);
}

/* Holds the name for an instant, again and again. */
static void take_and_give(void *context)
{
	struct stoa_offer *offer;

	(void)context;
	report(0);
	for (;;)
		if (offer_nothing("box", 0600, &offer) == 0)
			stoa_descriptor_withdraw(offer);
}

TEST(binders_killed_at_any_instant_leave_a_name_that_others_can_take)
{
	uint64_t seed = run_seed();

	space = open_space();
	for (int round = 0; round < ROUNDS; round++) {
		struct child children[3];
		struct stoa_offer *offer;

		for (int i = 0; i < 3; i++) {
			children[i] = start_child(take_and_give, NULL);
			await_report(&children[i]);
		}
		struct timespec pause = { 0, (long)random_below(&seed, 3 * MS) };
		nanosleep(&pause, NULL);
		for (int i = 0; i < 3; i++)
			kill_child(&children[i]);
		assert_ok(offer_nothing("box", 0600, &offer));
		assert_result(fetch("box"), -EAGAIN);
		stoa_descriptor_withdraw(offer);
	}
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

static void connect_as_nobody(void *context)
{
	struct stoa_space *again;
	struct stoa_descriptor_message message;

	(void)context;
	become_nobody();
	assert_ok(stoa_space_open(case_directory(), 0, &again));
	assert_result(stoa_descriptor_fetch(again, "mine", 0, NULL, 0, NULL, 0,
	                                    STOA_NOW, &message),
	              -EACCES);
	assert_result(stoa_descriptor_fetch(again, "all", 0, NULL, 0, NULL, 0,
	                                    STOA_NOW, &message),
	              -EAGAIN);
	space = again;
	struct stoa_offer *offer = NULL;
	/* May not be asked whether its owner lives: taken for alive. */
	assert_true(offer_nothing("mine", 0600, &offer) < 0);
	assert_true(offer_nothing("dead", 0600, &offer) < 0);
	assert_ok(offer_nothing("new", 0600, &offer));
	stoa_descriptor_withdraw(offer);
	stoa_space_close(again);
}

TEST(the_mode_says_who_may_connect)
{
	struct stoa_offer *mine, *all;
	struct child child;

	skip_unless_root();
	assert_system(chmod(case_directory(), 01777));
	space = open_space();
	assert_ok(offer_nothing("mine", 0600, &mine));
	assert_ok(offer_nothing("all", 0666, &all));
	leave_name("dead");
	child = start_child(connect_as_nobody, NULL);
	end_child(&child);
	stoa_descriptor_withdraw(mine);
	stoa_descriptor_withdraw(all);
	stoa_space_close(space);
}

TEST(a_forked_child_that_withdraws_leaves_the_name)
{
	struct stoa_offer *offer;
	int status;
	pid_t pid;

	space = open_space();
	assert_ok(offer_nothing("box", 0600, &offer));
	pid = fork();
	if (pid == 0) {
		stoa_descriptor_withdraw(offer);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_result(fetch("box"), -EAGAIN);
	stoa_descriptor_withdraw(offer);
	assert_result(fetch("box"), -ENOENT);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(names_as_long_as_any_are_bound_and_found),
	CASE(sockets_are_listed_with_their_kind_and_whether_somebody_has_them),
	CASE(cleaning_removes_what_the_dead_left_and_nothing_else),
	CASE(a_name_that_somebody_has_is_refused_and_one_of_the_dead_taken),
	CASE(what_is_no_socket_is_left_alone),
	CASE(of_several_who_take_over_a_dead_name_exactly_one_has_it),
	CASE(binders_killed_at_any_instant_leave_a_name_that_others_can_take),
	CASE(the_mode_says_who_may_connect),
	CASE(a_forked_child_that_withdraws_leaves_the_name),
};

MAIN(cases)
