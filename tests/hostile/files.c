/* SPDX-License-Identifier: MIT */
/* What may lie in a space under an object's, a life file's or a bell's name. */
#include "hostile.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <space/life_layout.h>

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, 16, 9000, 65536 },
	{ STOA_TYPE, 6, 80, 0 },
};

enum { PAGE_BYTES = 4096, NOISE_FILES = 200, MESSAGES = 4 };

static struct victim victim_of(struct stoa_space *space)
{
	struct victim victim;

	memset(&victim, 0, sizeof(victim));
	victim.space = space;
	victim.name = "q";
	victim.chance = run_seed();
	victim.message_max = shapes[0].max_message_bytes;
	victim.patience_ns = MS;
	catch_notifications();
	return victim;
}

static void leave(struct stoa_space *space)
{
	stoa_space_close(space);
	remove_tree(case_directory());
	assert_system(mkdir(case_directory(), 0700));
}

/* Opening must refuse, with or without STOA_CREATE, and all else that looks
 * at the space must go on. */
static void assert_refused(struct victim *victim, const char *what)
{
	struct stoa_queue *queue;
	int result;

	trial("%s", what);
	watch_operation("open", 0);
	result =
		stoa_queue_open(victim->space, "q", STOA_READ, 0, NULL, &queue);
	if (result != -EPROTO && result != -EUCLEAN && result != -EACCES)
		finding("open gave %d", result);
	result = stoa_queue_open(victim->space, "q", STOA_READ | STOA_CREATE,
	                         0600, NULL, &queue);
	if (result != -EPROTO && result != -EUCLEAN && result != -EACCES)
		finding("open with STOA_CREATE gave %d", result);
	operation_done();
	for (size_t i = 0; i < space_operation_count; i++)
		operate(victim, &space_operations[i]);
}

/* ---- Under an object's name --------------------------------------------- */

static void make_directory(const char *path)
{
	assert_system(mkdir(path, 0700));
}

static void make_fifo(const char *path)
{
	assert_system(mkfifo(path, 0666));
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_system(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
}

static void make_link_to_queue(const char *path)
{
	assert_system(symlink("other.queue", path));
}

static void make_link_to_file(const char *path)
{
	assert_system(symlink("/etc/passwd", path));
}

static void make_dangling_link(const char *path)
{
	assert_system(symlink("nowhere", path));
}

static void make_link_to_itself(const char *path)
{
	assert_system(symlink(strrchr(path, '/') + 1, path));
}

static void make_empty_file(const char *path)
{
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

/* Where that isn't allowed, there is a file that may not be opened. */
static void make_device(const char *path)
{
	if (mknod(path, S_IFCHR | 0666, makedev(1, 3)) != 0)
		make_empty_file(path);
}

static void make_huge_file(const char *path)
{
	make_empty_file(path);
	assert_system(truncate(path, INT64_C(1) << 40));
}

static const struct maker {
	const char *name;
	void (*make)(const char *path);
} makers[] = {
	{ "a directory", make_directory },
	{ "a FIFO", make_fifo },
	{ "a socket", make_socket },
	{ "a link to a queue", make_link_to_queue },
	{ "a link to a file", make_link_to_file },
	{ "a dangling link", make_dangling_link },
	{ "a link to itself", make_link_to_itself },
	{ "an empty file", make_empty_file },
	{ "a device", make_device },
	{ "a huge file", make_huge_file },
};

static void remove_any(const char *path)
{
	if (unlink(path) != 0)
		rmdir(path);
}

TEST(what_is_no_object_is_refused_and_disturbs_nothing)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);

	populate(space, "other", shapes[0]);
	for (size_t i = 0; i < LENGTH(makers); i++) {
		makers[i].make(case_path("q.queue"));
		assert_refused(&victim, makers[i].name);
		remove_any(case_path("q.queue"));
	}
	leave(space);
}

/* ---- Cut before it is opened -------------------------------------------- */

static void cut_everywhere(struct queue_shape shape)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	struct image image;

	populate(space, "q", shape);
	image_open(&image, space, "q");
	for (size_t page = 0; page * PAGE_BYTES < image.bytes; page++) {
		static const int around[] = { 0, 1, 271, 272, 4095 };

		for (size_t i = 0; i < LENGTH(around); i++) {
			size_t bytes = page * PAGE_BYTES + (size_t)around[i];
			char what[64];

			snprintf(what, sizeof(what), "cut to %zu bytes", bytes);
			assert_system(ftruncate(image.fd, (off_t)bytes));
			assert_refused(&victim, what);
			assert_system(ftruncate(image.fd, (off_t)image.bytes));
			image_restore(&image);
		}
	}
	assert_ok(victim_open(&victim));
	victim_close(&victim);
	image_close(&image);
	leave(space);
}

TEST(a_file_cut_anywhere_is_refused_and_disturbs_nothing)
{
	for (size_t i = 0; i < LENGTH(shapes); i++)
		cut_everywhere(shapes[i]);
}

/* More seats than the file began with, in holes. */
TEST(a_file_that_grew_is_used_as_before)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);

	populate(space, "q", shapes[0]);
	for (int shift = 0; shift < 26; shift += 5) {
		struct stat found;

		trial("grown by 1 << %d bytes", shift);
		assert_system(stat(case_path("q.queue"), &found));
		assert_system(truncate(case_path("q.queue"),
		                       found.st_size + (1 << shift)));
		assert_ok(victim_open(&victim));
		operate_all(&victim);
		victim_close(&victim);
	}
	leave(space);
}

TEST(noise_is_refused)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	static char noise[3 * PAGE_BYTES];
	char what[64];

	for (int i = 0; i < NOISE_FILES; i++) {
		size_t bytes = random_below(&victim.chance, sizeof(noise));
		int fd = open(case_path("q.queue"),
		              O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

		fill_pattern(noise, bytes, victim.chance);
		if (i % 2 == 0) /* looks like an object for longer */
			memcpy(noise, OBJECT_MAGIC "\1\0\0\0\4\3\2\1queue",
			       sizeof(OBJECT_MAGIC) + 12);
		assert_int_equal(pwrite(fd, noise, bytes, 0), bytes);
		close(fd);
		snprintf(what, sizeof(what), "noise %d of %zu bytes", i, bytes);
		assert_refused(&victim, what);
	}
	leave(space);
}

/* ---- Life files --------------------------------------------------------- */

static void send_and_receive(struct victim *victim)
{
	if (victim->queue == NULL && victim_open(victim) < 0)
		return;
	for (int i = 0; i < MESSAGES; i++) {
		operate(victim, &queue_operations[0]);
		operate(victim, &queue_operations[2]);
	}
	operate_all(victim);
}

/* Whoever has joined already must go on; newcomers may be refused. */
TEST(life_files_may_be_replaced_by_anything)
{
	for (size_t i = 0; i < LENGTH(makers); i++) {
		struct stoa_space *space = open_space();
		struct victim victim = victim_of(space);
		struct victim newcomer;
		struct stoa_space *other;

		populate(space, "q", shapes[0]);
		assert_ok(victim_open(&victim));
		for (int shard = 0; shard < 3; shard++) {
			char name[32];

			trial("%s as life file %d", makers[i].name, shard);
			snprintf(name, sizeof(name), ".life.%d", shard);
			unlink(case_path(name));
			makers[i].make(case_path(name));
			send_and_receive(&victim);
			other = open_space();
			newcomer = victim_of(other);
			send_and_receive(&newcomer);
			victim_close(&newcomer);
			stoa_space_close(other);
		}
		victim_close(&victim);
		leave(space);
	}
}

static void cut_life(int fd, uint64_t *chance)
{
	assert_system(
		ftruncate(fd, (off_t)random_below(chance, LIFE_FILE_BYTES)));
}

static void grow_life(int fd, uint64_t *chance)
{
	assert_system(ftruncate(fd, (off_t)(next_random(chance) >> 24)));
}

static void scribble_life(int fd, uint64_t *chance)
{
	for (int i = 0; i < 64; i++) {
		uint64_t word = next_random(chance) >> random_below(chance, 64);

		assert_int_equal(
			pwrite(fd, &word, sizeof(word),
		               (off_t)random_below(chance, LIFE_FILE_BYTES)),
			sizeof(word));
	}
}

TEST(life_files_may_be_cut_and_overwritten)
{
	static void (*const ways[])(int fd, uint64_t *chance) = {
		cut_life, scribble_life, grow_life, scribble_life
	};
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);

	populate(space, "q", shapes[0]);
	assert_ok(victim_open(&victim));
	for (int i = 0; i < 200; i++) {
		int fd = open(case_path(".life.0"), O_RDWR | O_CLOEXEC);
		struct victim newcomer;
		struct stoa_space *other;

		trial("way %d, round %d", i % 4, i);
		ways[i % 4](fd, &victim.chance);
		close(fd);
		send_and_receive(&victim);
		other = open_space();
		newcomer = victim_of(other);
		send_and_receive(&newcomer);
		victim_close(&newcomer);
		stoa_space_close(other);
	}
	victim_close(&victim);
	leave(space);
}

/* ---- Bells -------------------------------------------------------------- */

static void bell_path(const struct stoa_queue *queue, char direction,
                      char *path, size_t bytes)
{
	snprintf(path, bytes, "%s/.bell.%016llx.%c", case_directory(),
	         (unsigned long long)queue->object.copy.generation, direction);
}

static void poll_and_ring(struct victim *victim, bool is_bell)
{
	for (unsigned direction = STOA_READ; direction <= STOA_WRITE;
	     direction++) {
		int fd = stoa_queue_pollfd(victim->queue, direction);

		if (fd >= 0 && !is_bell)
			finding("took what is no bell for one");
		else if (fd >= 0)
			poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 0);
		else if (fd != -EPERM && fd != -EACCES && fd != -EISDIR &&
		         fd != -ELOOP && fd != -ENXIO)
			finding("pollfd gave %d", fd);
	}
	send_and_receive(victim);
}

TEST(bells_may_be_replaced_by_anything)
{
	for (size_t i = 0; i < LENGTH(makers); i++) {
		struct stoa_space *space = open_space();
		struct victim victim = victim_of(space);

		populate(space, "q", shapes[0]);
		for (int late = 0; late < 2; late++) {
			char path[2][300];

			trial("%s instead of a bell%s", makers[i].name,
			      late ? ", late" : "");
			assert_ok(victim_open(&victim));
			bell_path(victim.queue, 'r', path[0], sizeof(path[0]));
			bell_path(victim.queue, 'w', path[1], sizeof(path[1]));
			for (unsigned way = 1; late && way <= 2; way++)
				stoa_queue_pollfd(victim.queue, way);
			for (int j = 0; j < 2; j++) {
				remove_any(path[j]);
				makers[i].make(path[j]);
			}
			watch_operation("pollfd", 0);
			poll_and_ring(&victim,
			              late || makers[i].make == make_fifo);
			operation_done();
			victim_close(&victim);
			remove_any(path[0]);
			remove_any(path[1]);
		}
		leave(space);
	}
}

/* Full of bytes, and as large as a FIFO gets: no call drains for ever. */
TEST(a_bell_that_is_always_full_ends_every_call)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	static char bytes[1 << 20];
	char path[300];
	int fd;

	populate(space, "q", shapes[0]);
	assert_ok(victim_open(&victim));
	assert_good(stoa_queue_pollfd(victim.queue, STOA_READ));
	bell_path(victim.queue, 'r', path, sizeof(path));
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_system(fd);
	fcntl(fd, F_SETPIPE_SZ, sizeof(bytes));
	for (int i = 0; i < 20; i++) {
		trial("round %d", i);
		while (write(fd, bytes, sizeof(bytes)) > 0)
			;
		poll_and_ring(&victim, true);
	}
	close(fd);
	victim_close(&victim);
	leave(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_is_no_object_is_refused_and_disturbs_nothing),
	CASE(a_file_cut_anywhere_is_refused_and_disturbs_nothing),
	CASE(a_file_that_grew_is_used_as_before),
	CASE(noise_is_refused),
	CASE(life_files_may_be_replaced_by_anything),
	CASE(life_files_may_be_cut_and_overwritten),
	CASE(bells_may_be_replaced_by_anything),
	CASE(a_bell_that_is_always_full_ends_every_call),
};

HOSTILE_MAIN(cases)
