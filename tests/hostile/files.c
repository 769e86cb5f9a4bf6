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

enum { PAGE_BYTES = 4096, NOISE_FILES = 100, ROUNDS = 3 };

/* Of the object under the victim's name. */
static const char *path_of(const struct victim *victim)
{
	static char path[300];

	object_path(path, sizeof(path), victim->space, victim->noun,
	            victim->name);
	return path;
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
	long long result;

	trial("%s", what);
	for (int create = 0; create < 2; create++) {
		watch_operation("open", 0);
		victim->flags = create ? STOA_CREATE : 0;
		result = victim_open(victim);
		if (result != -EPROTO && result != -EUCLEAN &&
		    result != -EACCES)
			finding("open%s gave %lld",
			        create ? " with STOA_CREATE" : "", result);
		operation_done();
	}
	victim->flags = 0;
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

static void make_link_to_object(const char *path)
{
	char other[64];

	snprintf(other, sizeof(other), "other%s", strrchr(path, '.'));
	assert_system(symlink(other, path));
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
	{ "a link to an object", make_link_to_object },
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

static void what_is_no_object_is_refused(const struct noun *noun)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space, noun, 0, MS);

	noun->populate(space, "other", 0);
	for (size_t i = 0; i < LENGTH(makers); i++) {
		const char *path = path_of(&victim);

		makers[i].make(path);
		assert_refused(&victim, makers[i].name);
		remove_any(path);
	}
	leave(space);
}

/* ---- Cut before it is opened -------------------------------------------- */

static void cut_everywhere(const struct noun *noun, unsigned shape)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space, noun, shape, MS);
	struct image image;

	noun->populate(space, "q", shape);
	image_open(&image, space, noun, "q", shape);
	for (size_t page = 0; page * PAGE_BYTES < image.bytes; page++) {
		static const int around[] = { 0, 1, 271, 272, 4095 };

		for (size_t i = 0; i < LENGTH(around); i++) {
			size_t bytes = page * PAGE_BYTES + (size_t)around[i];
			char what[64];

			if (bytes >= image.bytes)
				break;
			snprintf(what, sizeof(what), "cut to %zu bytes", bytes);
			assert_system(ftruncate(image.fd, (off_t)bytes));
			assert_refused(&victim, what);
			assert_system(ftruncate(image.fd, (off_t)image.bytes));
			image_restore(&image);
		}
	}
	must(victim_open(&victim), "open");
	victim_close(&victim);
	image_close(&image);
	leave(space);
}

static void a_file_cut_anywhere_is_refused(const struct noun *noun)
{
	for (unsigned shape = 0; shape < noun->shapes; shape++)
		cut_everywhere(noun, shape);
}

/* More seats than the file began with, in holes. */
static void a_file_that_grew_is_used_as_before(const struct noun *noun)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space, noun, 0, MS);

	noun->populate(space, "q", 0);
	for (int shift = 0; shift < 26; shift += 5) {
		struct stat found;

		trial("grown by 1 << %d bytes", shift);
		assert_system(stat(path_of(&victim), &found));
		assert_system(truncate(path_of(&victim),
		                       found.st_size + (1 << shift)));
		must(victim_open(&victim), "open");
		operate_all(&victim);
		victim_close(&victim);
	}
	leave(space);
}

static void noise_is_refused(const struct noun *noun)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space, noun, 0, MS);
	static char noise[3 * PAGE_BYTES];
	static const char head[] = OBJECT_MAGIC "\0\1\0\0\0\4\3\2\1";
	char what[64];

	for (int i = 0; i < NOISE_FILES; i++) {
		size_t bytes = random_below(&victim.chance, sizeof(noise));
		int fd = open(path_of(&victim),
		              O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

		fill_pattern(noise, bytes, victim.chance);
		if (i % 2 == 0) { /* looks like an object for longer */
			memcpy(noise, head, sizeof(head) - 1);
			memset(noise + 16, 0, 16);
			strcpy(noise + 16, noun->kind);
		}
		assert_int_equal(pwrite(fd, noise, bytes, 0), bytes);
		close(fd);
		snprintf(what, sizeof(what), "noise %d of %zu bytes", i, bytes);
		assert_refused(&victim, what);
	}
	leave(space);
}

/* ---- Life files --------------------------------------------------------- */

static void use(struct victim *victim)
{
	if (victim->handle == NULL && victim_open(victim) < 0)
		return;
	for (int i = 0; i < ROUNDS; i++)
		operate_on_object(victim);
	operate_all(victim);
}

static void use_as_newcomer(const struct noun *noun)
{
	struct stoa_space *other = open_space();
	struct victim newcomer = victim_of(other, noun, 0, MS);

	use(&newcomer);
	victim_close(&newcomer);
	stoa_space_close(other);
}

/* Whoever has joined already must go on; newcomers may be refused. */
static void life_files_may_be_replaced_by_anything(const struct noun *noun)
{
	for (size_t i = 0; i < LENGTH(makers); i++) {
		struct stoa_space *space = open_space();
		struct victim victim = victim_of(space, noun, 0, MS);

		noun->populate(space, "q", 0);
		must(victim_open(&victim), "open");
		for (int shard = 0; shard < 3; shard++) {
			char name[32];

			trial("%s as life file %d", makers[i].name, shard);
			snprintf(name, sizeof(name), ".life.%d", shard);
			unlink(case_path(name));
			makers[i].make(case_path(name));
			use(&victim);
			use_as_newcomer(noun);
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

static void life_files_may_be_cut_and_overwritten(const struct noun *noun)
{
	static void (*const ways[])(int fd, uint64_t *chance) = {
		cut_life, scribble_life, grow_life, scribble_life
	};
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space, noun, 0, MS);

	noun->populate(space, "q", 0);
	must(victim_open(&victim), "open");
	for (int i = 0; i < 40; i++) {
		int fd = open(case_path(".life.0"), O_RDWR | O_CLOEXEC);

		trial("way %d, round %d", i % 4, i);
		ways[i % 4](fd, &victim.chance);
		close(fd);
		use(&victim);
		use_as_newcomer(noun);
	}
	victim_close(&victim);
	leave(space);
}

/* ---- Bells -------------------------------------------------------------- */

static void bell_path(const struct victim *victim, char direction, char *path,
                      size_t bytes)
{
	snprintf(path, bytes, "%s/.bell.%016llx.%c", case_directory(),
	         (unsigned long long)victim->object->copy.generation,
	         direction);
}

static void poll_and_ring(struct victim *victim, bool is_bell)
{
	for (unsigned direction = STOA_READ; direction <= STOA_WRITE;
	     direction++) {
		int fd = victim->noun->pollfd(victim, direction);

		if (fd >= 0 && !is_bell)
			finding("took what is no bell for one");
		else if (fd >= 0)
			poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 0);
		else if (fd != -EPERM && fd != -EACCES && fd != -EISDIR &&
		         fd != -ELOOP && fd != -ENXIO)
			finding("pollfd gave %d", fd);
	}
	use(victim);
}

static void bells_may_be_replaced_by_anything(const struct noun *noun)
{
	for (size_t i = 0; noun->pollfd != NULL && i < LENGTH(makers); i++) {
		struct stoa_space *space = open_space();
		struct victim victim = victim_of(space, noun, 0, MS);

		noun->populate(space, "q", 0);
		for (int late = 0; late < 2; late++) {
			char path[2][300];

			trial("%s instead of a bell%s", makers[i].name,
			      late ? ", late" : "");
			must(victim_open(&victim), "open");
			bell_path(&victim, 'r', path[0], sizeof(path[0]));
			bell_path(&victim, 'w', path[1], sizeof(path[1]));
			for (unsigned way = 1; late && way <= 2; way++)
				noun->pollfd(&victim, way);
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
static void a_bell_that_is_always_full_ends_every_call(const struct noun *noun)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space, noun, 0, MS);
	static char bytes[1 << 20];
	char path[300];
	int fd;

	if (noun->pollfd == NULL) {
		leave(space);
		return;
	}
	noun->populate(space, "q", 0);
	must(victim_open(&victim), "open");
	assert_good(noun->pollfd(&victim, STOA_READ));
	bell_path(&victim, 'r', path, sizeof(path));
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

static const struct noun_case cases[] = {
	{ "what_is_no_object_is_refused", what_is_no_object_is_refused },
	{ "a_file_cut_anywhere_is_refused", a_file_cut_anywhere_is_refused },
	{ "a_file_that_grew_is_used_as_before",
	  a_file_that_grew_is_used_as_before },
	{ "noise_is_refused", noise_is_refused },
	{ "life_files_may_be_replaced_by_anything",
	  life_files_may_be_replaced_by_anything },
	{ "life_files_may_be_cut_and_overwritten",
	  life_files_may_be_cut_and_overwritten },
	{ "bells_may_be_replaced_by_anything",
	  bells_may_be_replaced_by_anything },
	{ "a_bell_that_is_always_full_ends_every_call",
	  a_bell_that_is_always_full_ends_every_call },
};

int main(int argc, char **argv)
{
	return run_noun_cases(argc, argv, cases, LENGTH(cases), false, NULL, 0);
}
