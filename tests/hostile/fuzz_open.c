/* SPDX-License-Identifier: MIT */
/*
 * fuzz_open.c: libFuzzer's bytes become an object file, which is opened and
 * used. An input holds only what matters of a file, piece by piece:
 *
 *   1     size of the file: 0 as the header says, else so many pages
 *   272   header and events      at 0
 *   512   four seats             at 4096
 *   672   control                at 12288
 *   ...   cells and what follows at 16384
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { SIZE_BYTES = 1, PAGE_BYTES = 4096, HIGHEST_BYTES = 1 << 20 };

static const struct region pieces[] = {
	{ 0, 272 },
	{ OBJECT_SEATS_OFFSET, 512 },
	{ OBJECT_KIND_OFFSET, sizeof(struct queue_control) },
	{ OBJECT_KIND_OFFSET + QUEUE_CONTROL_BYTES, 16384 },
};

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, 2, 80, 0 },     { STOA_FIFO, 4, 5000, 16384 },
	{ STOA_PRIORITY, 3, 80, 0 }, { STOA_PRIORITY, 4, 5000, 16384 },
	{ STOA_TYPE, 3, 80, 0 },     { STOA_TYPE, 4, 5000, 16384 },
};

static struct fuzz fuzz;

static void write_seed(const struct image *image, const char *directory,
                       size_t number)
{
	char path[300];
	uint8_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/open-%zu", directory, number);
	file = fopen(path, "we");
	if (file == NULL)
		finding("%s: %s", path, strerror(errno));
	fwrite(&size, 1, sizeof(size), file);
	for (size_t i = 0; i < LENGTH(pieces); i++) {
		size_t bytes = pieces[i].bytes;

		if (pieces[i].offset + bytes > image->bytes)
			bytes = image->bytes - pieces[i].offset;
		fwrite(image->copy + pieces[i].offset, 1, bytes, file);
	}
	fclose(file);
}

void fuzz_make_seeds(const char *directory)
{
	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct image image;

		populate(fuzz.space, "seed", shapes[i]);
		image_open(&image, fuzz.space, "seed");
		write_seed(&image, directory, i);
		unlink(image.path);
		image_close(&image);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_start(&fuzz);
	return 0;
}

/* The file's size, from the first byte or the header itself. */
static off_t size_of(uint8_t size, const uint8_t *data, size_t bytes)
{
	uint64_t said = 0;
	size_t at = offsetof(struct stoa_object_header, file_bytes);

	if (size != 0)
		return (off_t)size * PAGE_BYTES;
	if (bytes >= at + sizeof(said))
		memcpy(&said, data + at, sizeof(said));
	return said < HIGHEST_BYTES ? (off_t)said : HIGHEST_BYTES;
}

static void write_file(const char *path, const uint8_t *data, size_t bytes)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	uint8_t size = bytes > 0 ? data[0] : 0;

	if (fd < 0)
		finding("%s: %s", path, strerror(errno));
	data += bytes > 0 ? SIZE_BYTES : 0;
	bytes -= bytes > 0 ? SIZE_BYTES : 0;
	for (size_t i = 0, at = 0; i < LENGTH(pieces) && at < bytes; i++) {
		size_t part = bytes - at < pieces[i].bytes ? bytes - at
		                                           : pieces[i].bytes;

		if (pwrite(fd, data + at, part, (off_t)pieces[i].offset) !=
		    (ssize_t)part)
			finding("write: %s", strerror(errno));
		at += part;
	}
	if (ftruncate(fd, size_of(size, data, bytes)) != 0)
		finding("ftruncate: %s", strerror(errno));
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct victim *victim = &fuzz.victim;

	write_file(fuzz.path, data, bytes);
	fuzz_begin(&fuzz, bytes);
	victim->message_max = shapes[1].max_message_bytes;
	watch_operation("open", 0);
	victim_open(victim);
	operation_done();
	operate_on_queue(victim);
	if (bytes % 16 == 0)
		operate_all(victim);
	victim_close(victim);
	unlink(fuzz.path);
	return 0;
}
