/* SPDX-License-Identifier: MIT */
/* Objects as the directory shows them: each, find, remove, and who uses
 * them. */
#include "support.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static const struct queue_shape tiny = { STOA_FIFO, 4, 200, 8192 };

struct seen {
	size_t count;
	size_t stop_at;
	const char *look_for;
	struct stoa_object_info found;
};

static int see(const struct stoa_object_info *info, void *context)
{
	struct seen *seen = context;

	seen->count++;
	if (seen->look_for != NULL && strcmp(info->name, seen->look_for) == 0)
		seen->found = *info;
	return seen->count == seen->stop_at ? -42 : 0;
}

static void make_closed(struct stoa_space *space, const char *name)
{
	stoa_queue_close(make_queue(space, name, tiny));
}

TEST(an_empty_space_has_no_objects)
{
	struct stoa_space *space = open_space();
	struct seen seen = { 0 };

	assert_result(stoa_space_each(space, see, &seen), 0);
	assert_int_equal(seen.count, 0);
	stoa_space_close(space);
}

TEST(each_visits_every_object_once)
{
	struct stoa_space *space = open_space();
	struct seen seen = { .look_for = "n17" };
	char name[16];

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		make_closed(space, name);
	}
	assert_result(stoa_space_each(space, see, &seen), 50);
	assert_int_equal(seen.count, 50);
	assert_string_equal(seen.found.name, "n17");
	stoa_space_close(space);
}

TEST(each_stops_at_the_first_result_and_returns_it)
{
	struct stoa_space *space = open_space();
	struct seen seen = { .stop_at = 2 };

	make_closed(space, "a");
	make_closed(space, "b");
	make_closed(space, "c");
	assert_result(stoa_space_each(space, see, &seen), -42);
	assert_int_equal(seen.count, 2);
	stoa_space_close(space);
}

TEST(an_object_is_described_as_it_is)
{
	struct stoa_space *space = open_space();
	struct stoa_object_info info;
	struct timespec now;
	struct stat stat_;

	make_closed(space, "orders");
	assert_system(chmod(case_path("orders.queue"), 0640));
	assert_system(stat(case_path("orders.queue"), &stat_));
	clock_gettime(CLOCK_REALTIME, &now);
	assert_ok(stoa_space_find(space, "orders.queue", &info));
	assert_string_equal(info.name, "orders");
	assert_string_equal(info.kind, "queue");
	assert_int_equal(info.health, 0);
	assert_int_equal(info.mode & 07777, 0640);
	assert_int_equal(info.uid, getuid());
	assert_int_equal(info.gid, getgid());
	assert_int_equal(info.size_bytes, stat_.st_size);
	assert_int_equal(info.creator_pid, getpid());
	assert_true(info.created_ns <= now.tv_sec * SECOND + now.tv_nsec);
	assert_true(info.created_ns > (now.tv_sec - 60) * SECOND);
	assert_int_equal(info.users, 0);
	assert_int_equal(info.waiting, 0);
	assert_int_equal(info.dead, 0);
	stoa_space_close(space);
}

TEST(generations_differ_for_each_object_ever_made)
{
	struct stoa_space *space = open_space();
	struct stoa_object_info info;
	uint64_t generations[20];

	for (size_t i = 0; i < LENGTH(generations); i++) {
		make_closed(space, "again");
		assert_ok(stoa_space_find(space, "again", &info));
		generations[i] = info.generation;
		for (size_t j = 0; j < i; j++)
			assert_true(generations[i] != generations[j]);
		assert_ok(stoa_space_remove(space, "again", 0));
	}
	stoa_space_close(space);
}

TEST(find_takes_a_name_with_or_without_its_kind)
{
	struct stoa_space *space = open_space();
	struct stoa_object_info info;
	struct stoa_object_info untouched;

	make_closed(space, "orders");
	make_closed(space, "dotted.name");
	assert_ok(stoa_space_find(space, "orders", &info));
	assert_string_equal(info.name, "orders");
	assert_ok(stoa_space_find(space, "orders.queue", &info));
	assert_string_equal(info.name, "orders");
	assert_ok(stoa_space_find(space, "dotted.name", &info));
	assert_string_equal(info.name, "dotted.name");
	untouched = info;
	assert_result(stoa_space_find(space, "none", &info), -ENOENT);
	assert_sentence("none");
	assert_result(stoa_space_find(space, "orders.stream", &info), -ENOENT);
	assert_memory_equal(&info, &untouched, sizeof(info));
	stoa_space_close(space);
}

static void copy_file(const char *from, const char *to)
{
	char command[1200];

	snprintf(command, sizeof(command), "cp %s %s", from, to);
	assert_int_equal(system(command), 0);
}

TEST(a_name_that_several_kinds_have_is_enotuniq)
{
	struct stoa_space *space = open_space();
	struct stoa_object_info info;

	make_closed(space, "orders");
	copy_file(case_path("orders.queue"), case_path("orders.stream"));
	assert_result(stoa_space_find(space, "orders", &info), -ENOTUNIQ);
	assert_sentence("orders");
	assert_result(stoa_space_remove(space, "orders", 0), -ENOTUNIQ);
	assert_ok(stoa_space_find(space, "orders.queue", &info));
	assert_int_equal(unlink(case_path("orders.stream")), 0);
	assert_ok(stoa_space_find(space, "orders", &info));
	stoa_space_close(space);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_system(fd);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

TEST(health_says_what_is_wrong_with_a_file)
{
	struct stoa_space *space = open_space();
	struct stoa_object_info info;

	write_file(case_path("foreign.queue"), "no object at all");
	write_file(case_path("empty.queue"), "");
	make_closed(space, "cut");
	assert_system(truncate(case_path("cut.queue"), 5000));
	assert_ok(stoa_space_find(space, "foreign", &info));
	assert_int_equal(info.health, -EPROTO);
	assert_ok(stoa_space_find(space, "empty", &info));
	assert_int_equal(info.health, -EPROTO);
	assert_ok(stoa_space_find(space, "cut", &info));
	assert_int_equal(info.health, -EUCLEAN);
	assert_result(stoa_space_remove(space, "foreign", 1), 0);
	assert_result(stoa_space_remove(space, "empty", 0), 0);
	assert_result(stoa_space_remove(space, "cut", 1), 0);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(a_removed_name_is_gone_and_handles_go_on)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = join_queue(space, "q");

	assert_ok(stoa_space_remove(space, "q", 0));
	assert_int_equal(access(case_path("q.queue"), F_OK), -1);
	send_text(queue, "still");
	assert_receives(other, "still");
	stoa_queue_close(other);
	stoa_queue_close(queue);
	assert_result(stoa_space_remove(space, "q", 0), -ENOENT);
	assert_result(stoa_space_remove(space, "q", 1), -ENOENT);
	stoa_space_close(space);
}

static void wait_for_removal(void *context)
{
	struct stoa_queue *queue = context;
	char buffer[8];

	report(0);
	assert_result(stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                                 STOA_FOREVER, NULL),
	              -EIDRM);
}

TEST(removal_with_wake_ends_waits_with_eidrm)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child = start_child(wait_for_removal, queue);

	until_waiting(queue, 1, 0);
	until_blocked(child.pid);
	assert_ok(stoa_space_remove(space, "q.queue", 1));
	end_child(&child);
	assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW), -EIDRM);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

struct users {
	size_t count;
	struct stoa_user last;
	pid_t look_for;
};

static int see_user(const struct stoa_user *user, void *context)
{
	struct users *users = context;

	users->count++;
	if (users->look_for == 0 || user->pid == users->look_for)
		users->last = *user;
	return 0;
}

TEST(users_are_described)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct users users = { 0 };
	stoa_peer self;

	assert_ok(stoa_space_self(space, &self));
	send_text(queue, "four");
	send_text(queue, "letters");
	assert_receives(queue, "four");
	assert_result(stoa_space_each_user(space, "q", see_user, &users), 1);
	assert_int_equal(users.count, 1);
	assert_true(users.last.peer == self);
	assert_int_equal(users.last.pid, getpid());
	assert_int_equal(users.last.uid, getuid());
	assert_int_equal(users.last.alive, 1);
	assert_int_equal(users.last.flags & (STOA_READ | STOA_WRITE),
	                 STOA_READ | STOA_WRITE);
	assert_int_equal(users.last.waiting, 0);
	assert_int_equal(users.last.waiting_since_ns, 0);
	assert_int_equal(users.last.messages_in, 2);
	assert_int_equal(users.last.messages_out, 1);
	assert_int_equal(users.last.bytes_in, 11);
	assert_int_equal(users.last.bytes_out, 4);
	assert_true(users.last.opened_ns > 0);
	stoa_queue_close(queue);
	users.count = 0;
	assert_result(stoa_space_each_user(space, "q", see_user, &users), 0);
	assert_result(stoa_space_each_user(space, "none", see_user, &users),
	              -ENOENT);
	stoa_space_close(space);
}

static int stop_at_once(const struct stoa_user *user, void *context)
{
	(void)user;
	++*(int *)context;
	return 7;
}

TEST(each_user_stops_at_the_first_result_and_returns_it)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = join_queue(space, "q");
	int visited = 0;

	assert_result(stoa_space_each_user(space, "q", stop_at_once, &visited),
	              7);
	assert_int_equal(visited, 1);
	stoa_queue_close(other);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(waiting_users_and_dead_ones_are_told_apart)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child = start_child(wait_for_removal, queue);
	struct users users = { .look_for = child.pid };
	struct stoa_object_info info;

	until_waiting(queue, 1, 0);
	assert_good(stoa_space_each_user(space, "q", see_user, &users));
	assert_int_equal(users.last.pid, child.pid);
	assert_int_equal(users.last.waiting, STOA_READ);
	assert_true(users.last.waiting_since_ns > 0);
	assert_int_equal(users.last.alive, 1);
	assert_ok(stoa_space_find(space, "q", &info));
	assert_int_equal(info.users, 2);
	assert_int_equal(info.waiting, 1);
	assert_int_equal(info.dead, 0);
	kill_child(&child);
	assert_ok(stoa_space_find(space, "q", &info));
	assert_int_equal(info.users, 1);
	assert_int_equal(info.waiting, 0);
	assert_true(info.dead <= 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(looking_at_objects_does_not_disturb_them)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue_stat before;
	struct stoa_queue_stat after;
	struct seen seen = { 0 };

	send_text(queue, "x");
	before = stat_of(queue);
	assert_result(stoa_space_each(space, see, &seen), 1);
	after = stat_of(queue);
	assert_memory_equal(&before, &after, sizeof(before));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void look_as_nobody(void *context UNUSED)
{
	struct stoa_space *space;
	struct stoa_object_info info;

	become_nobody();
	assert_ok(stoa_space_open(case_directory(), 0, &space));
	assert_ok(stoa_space_find(space, "q", &info));
	assert_int_equal(info.health, -EACCES);
	assert_int_equal(info.uid, 0);
	assert_int_equal(info.mode & 07777, 0600);
	assert_result(stoa_space_remove(space, "q", 0), -EACCES);
	assert_result(stoa_queue_unlink(space, "q"), -EACCES);
	stoa_space_close(space);
}

TEST(what_may_not_be_read_is_listed_with_eacces)
{
	struct stoa_space *space;
	struct child child;

	skip_unless_root();
	assert_system(chmod(case_directory(), 01777));
	space = open_space();
	make_closed(space, "q");
	child = start_child(look_as_nobody, NULL);
	end_child(&child);
	assert_int_equal(access(case_path("q.queue"), F_OK), 0);
	stoa_space_close(space);
}

/* SIGXFSZ would end this test. */
TEST(the_limit_of_files_is_an_error_and_no_signal)
{
	struct stoa_space *space = open_space();
	const struct rlimit limit = { 4096, RLIM_INFINITY };
	struct stoa_queue *queue;

	assert_system(setrlimit(RLIMIT_FSIZE, &limit));
	assert_result(stoa_queue_open(space, "q",
	                              STOA_CREATE | STOA_READ | STOA_WRITE,
	                              0600, NULL, &queue),
	              -EFBIG);
	assert_sentence("ulimit -f");
	assert_int_equal(access(case_path("q.queue"), F_OK), -1);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(an_empty_space_has_no_objects),
	CASE(each_visits_every_object_once),
	CASE(each_stops_at_the_first_result_and_returns_it),
	CASE(an_object_is_described_as_it_is),
	CASE(generations_differ_for_each_object_ever_made),
	CASE(find_takes_a_name_with_or_without_its_kind),
	CASE(a_name_that_several_kinds_have_is_enotuniq),
	CASE(health_says_what_is_wrong_with_a_file),
	CASE(a_removed_name_is_gone_and_handles_go_on),
	CASE(removal_with_wake_ends_waits_with_eidrm),
	CASE(users_are_described),
	CASE(each_user_stops_at_the_first_result_and_returns_it),
	CASE(waiting_users_and_dead_ones_are_told_apart),
	CASE(looking_at_objects_does_not_disturb_them),
	CASE(what_may_not_be_read_is_listed_with_eacces),
	CASE(the_limit_of_files_is_an_error_and_no_signal),
};

MAIN(cases)
