/* SPDX-License-Identifier: MIT */
/* Peers: each process is one, alive until the kernel says otherwise. */
#include "support.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	MANY = 70, /* more than one life file holds */
	FEW = 64,  /* descriptors */
};

TEST(a_process_is_one_peer)
{
	struct stoa_space *space = open_space();
	stoa_peer first = 0;
	stoa_peer second = 0;

	assert_ok(stoa_space_self(space, &first));
	assert_ok(stoa_space_self(space, &second));
	assert_true(first != 0);
	assert_true(first == second);
	assert_result(stoa_space_alive(space, first), 1);
	stoa_space_close(space);
}

TEST(nobody_is_not_alive)
{
	struct stoa_space *space = open_space();
	stoa_peer self;

	assert_ok(stoa_space_self(space, &self));
	assert_true(stoa_space_alive(space, 0) <= 0);
	assert_true(stoa_space_alive(space, UINT64_MAX) <= 0);
	assert_true(stoa_space_alive(space, self + (1ULL << 16)) <= 0);
	assert_true(stoa_space_alive(space, self ^ 0x8000) <= 0);
	stoa_space_close(space);
}

static void report_self(void *context)
{
	stoa_peer self;

	assert_ok(stoa_space_self(context, &self));
	report((int64_t)self);
	await_order();
}

/* As daemons do, whatever descriptors they are: its number may be another
 * file's afterwards. Reports as report_self does, by those of the harness. */
static void lose_directory(void *context)
{
	struct stoa_space *space = context;
	struct stat directory, other;

	assert_int_equal(stat(stoa_space_path(space), &directory), 0);
	for (int fd = 0; fd < FEW; fd++)
		if (fstat(fd, &other) == 0 && other.st_ino == directory.st_ino)
			assert_int_equal(dup2(STDERR_FILENO, fd), fd);
	report_self(space);
}

TEST(a_child_that_closed_the_space_without_knowing_joins_nevertheless)
{
	struct stoa_space *space = open_space();
	struct child child;
	stoa_peer self;
	stoa_peer peer;

	assert_ok(stoa_space_self(space, &self));
	child = start_child(lose_directory, space);
	peer = (stoa_peer)await_report(&child);
	assert_true(peer != self);
	assert_result(stoa_space_alive(space, peer), 1);
	kill_child(&child);
	assert_result(stoa_space_alive(space, peer), 0);
	stoa_space_close(space);
}

TEST(a_child_is_another_peer_and_dies_with_its_process)
{
	struct stoa_space *space = open_space();
	struct child child;
	stoa_peer self;
	stoa_peer peer;

	assert_ok(stoa_space_self(space, &self));
	child = start_child(report_self, space);
	peer = (stoa_peer)await_report(&child);
	assert_true(peer != self);
	assert_result(stoa_space_alive(space, peer), 1);
	kill_child(&child);
	assert_result(stoa_space_alive(space, peer), 0);
	assert_result(stoa_space_alive(space, self), 1);
	stoa_space_close(space);
}

TEST(a_child_that_ends_in_peace_is_dead_too)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(report_self, space);
	stoa_peer peer = (stoa_peer)await_report(&child);

	give_order(&child, 1);
	end_child(&child);
	assert_result(stoa_space_alive(space, peer), 0);
	stoa_space_close(space);
}

TEST(a_stopped_process_is_alive)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(report_self, space);
	stoa_peer peer = (stoa_peer)await_report(&child);

	stop_child(&child);
	assert_result(stoa_space_alive(space, peer), 1);
	continue_child(&child);
	give_order(&child, 1);
	end_child(&child);
	stoa_space_close(space);
}

static void close_and_stay(void *context)
{
	report_self(context);
	stoa_space_close(context);
	report(0);
	await_order();
}

TEST(closing_the_space_leaves_it)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(close_and_stay, space);
	stoa_peer peer = (stoa_peer)await_report(&child);

	give_order(&child, 1);
	await_report(&child);
	assert_result(stoa_space_alive(space, peer), 0);
	give_order(&child, 1);
	end_child(&child);
	stoa_space_close(space);
}

TEST(a_dead_parent_is_not_kept_alive_by_its_children)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(report_self, space);
	stoa_peer peer = (stoa_peer)await_report(&child);
	struct child other = start_child(report_self, space);

	await_report(&other);
	kill_child(&child);
	assert_result(stoa_space_alive(space, peer), 0);
	give_order(&other, 1);
	end_child(&other);
	stoa_space_close(space);
}

static void fork_and_wait(void *context)
{
	stoa_peer self;
	struct child grandchild;

	assert_ok(stoa_space_self(context, &self));
	grandchild = start_child(report_self, context);
	await_report(&grandchild);
	report((int64_t)self);
	await_order();
}

TEST(a_dead_process_is_dead_while_its_own_child_lives)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(fork_and_wait, space);
	stoa_peer peer = (stoa_peer)await_report(&child);

	kill_child(&child);
	assert_result(stoa_space_alive(space, peer), 0);
	stoa_space_close(space);
}

TEST(a_peer_is_never_used_again)
{
	struct stoa_space *space = open_space();
	stoa_peer peers[MANY];

	for (size_t i = 0; i < MANY; i++) {
		struct child child = start_child(report_self, space);

		peers[i] = (stoa_peer)await_report(&child);
		kill_child(&child);
		for (size_t j = 0; j < i; j++)
			assert_true(peers[i] != peers[j]);
		for (size_t j = 0; j <= i; j++)
			assert_result(stoa_space_alive(space, peers[j]), 0);
	}
	stoa_space_close(space);
}

struct seen {
	size_t count;
	size_t stop_at;
	stoa_peer look_for;
	struct stoa_peer_info found;
};

static int see(const struct stoa_peer_info *info, void *context)
{
	struct seen *seen = context;

	seen->count++;
	if (info->peer == seen->look_for)
		seen->found = *info;
	return seen->count == seen->stop_at ? 42 : 0;
}

TEST(each_peer_visits_the_living_and_only_them)
{
	struct stoa_space *space = open_space();
	struct child children[MANY];
	struct seen seen = { 0 };
	stoa_peer self;

	assert_ok(stoa_space_self(space, &self));
	for (size_t i = 0; i < MANY; i++)
		children[i] = start_child(report_self, space);
	for (size_t i = 0; i < MANY; i++)
		await_report(&children[i]);
	assert_result(stoa_space_each_peer(space, see, &seen), MANY + 1);
	assert_int_equal(seen.count, MANY + 1);
	for (size_t i = 0; i < MANY; i++)
		kill_child(&children[i]);
	seen = (struct seen){ .look_for = self };
	assert_result(stoa_space_each_peer(space, see, &seen), 1);
	assert_true(seen.found.peer == self);
	stoa_space_close(space);
}

TEST(each_peer_stops_at_the_first_result_and_returns_it)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(report_self, space);
	struct seen seen = { .stop_at = 1 };
	stoa_peer self;

	assert_ok(stoa_space_self(space, &self));
	await_report(&child);
	assert_result(stoa_space_each_peer(space, see, &seen), 42);
	assert_int_equal(seen.count, 1);
	kill_child(&child);
	stoa_space_close(space);
}

/* Under its feet, by somebody who may. */
static void replace_life_file(void)
{
	int fd;

	assert_system(unlink(case_path(".life.0")));
	fd = open(case_path(".life.0"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_system(fd);
	assert_system(ftruncate(fd, 1 << 16));
	close(fd);
}

TEST(a_life_file_that_is_replaced_costs_no_descriptors)
{
	struct stoa_space *space = open_space();
	stoa_peer self, before;
	int descriptors;

	assert_ok(stoa_space_self(space, &before));
	replace_life_file();
	assert_ok(stoa_space_self(space, &self));
	descriptors = count_descriptors();
	for (int i = 0; i < 8; i++) {
		replace_life_file();
		assert_ok(stoa_space_self(space, &self));
	}
	assert_true(count_descriptors() <= descriptors);
	assert_result(stoa_space_alive(space, self), 1);
	stoa_space_close(space);
}

static void put_directory(const char *path)
{
	assert_system(mkdir(path, 0700));
}

static void put_link(const char *path)
{
	assert_system(symlink("/etc/passwd", path));
}

static void put_fifo(const char *path)
{
	assert_system(mkfifo(path, 0600));
}

static void put_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_system(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
}

/* The kernel answers an open of each differently. */
TEST(whatever_lies_in_a_life_files_place_is_refused_alike)
{
	static void (*const put[])(const char *path) = {
		put_directory, put_link, put_fifo, put_socket
	};
	const char *path = case_path(".life.0");

	for (size_t i = 0; i < LENGTH(put); i++) {
		struct stoa_space *space = open_space();
		struct stoa_segment *segment;
		stoa_peer self = 0;

		put[i](path);
		assert_result(stoa_space_self(space, &self), -EPERM);
		assert_sentence(".life.0");
		assert_int_equal(self, 0);
		/* Who attaches need not join; who changes something must. */
		assert_ok(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE,
		                            0600, NULL, &segment));
		assert_result(stoa_segment_seal(segment,
		                                STOA_SEGMENT_SEAL_GROW),
		              -EPERM);
		assert_sentence(".life.0");
		assert_ok(stoa_segment_remove(segment));
		stoa_segment_close(segment);
		if (unlink(path) != 0)
			assert_system(rmdir(path));
		assert_ok(stoa_space_self(space, &self));
		stoa_space_close(space);
		assert_system(unlink(path));
	}
}

TEST(a_peer_is_described)
{
	struct stoa_space *space = open_space();
	struct seen seen = { 0 };
	struct timespec now;

	prctl(PR_SET_NAME, "peer-test");
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	assert_ok(stoa_space_self(space, &seen.look_for));
	assert_result(stoa_space_each_peer(space, see, &seen), 1);
	assert_int_equal(seen.found.pid, getpid());
	assert_int_equal(seen.found.uid, getuid());
	assert_string_equal(seen.found.command, "peer-test");
	assert_true(seen.found.joined_ns >=
	            (now.tv_sec - 1) * SECOND + now.tv_nsec);
	clock_gettime(CLOCK_REALTIME, &now);
	assert_true(seen.found.joined_ns <= now.tv_sec * SECOND + now.tv_nsec);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_process_is_one_peer),
	CASE(nobody_is_not_alive),
	CASE(a_child_that_closed_the_space_without_knowing_joins_nevertheless),
	CASE(a_child_is_another_peer_and_dies_with_its_process),
	CASE(a_child_that_ends_in_peace_is_dead_too),
	CASE(a_stopped_process_is_alive),
	CASE(closing_the_space_leaves_it),
	CASE(a_dead_parent_is_not_kept_alive_by_its_children),
	CASE(a_dead_process_is_dead_while_its_own_child_lives),
	CASE(a_peer_is_never_used_again),
	CASE(each_peer_visits_the_living_and_only_them),
	CASE(each_peer_stops_at_the_first_result_and_returns_it),
	CASE(a_life_file_that_is_replaced_costs_no_descriptors),
	CASE(whatever_lies_in_a_life_files_place_is_refused_alike),
	CASE(a_peer_is_described),
};

MAIN(cases)
