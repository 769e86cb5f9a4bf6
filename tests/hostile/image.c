/* SPDX-License-Identifier: MIT */
/* image.c: a populated object's file, where everything in it is, and a copy to
 * go back to. */
#include "hostile.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <base/system.h>

void must(long long result, const char *what)
{
	if (result < 0)
		finding("can't populate an object: %s gave %lld", what, result);
}

void hold_and_die(void (*hold)(void *handle), void *handle)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		hold(handle);
		_exit(EXIT_SUCCESS);
	}
	must(pid, "fork");
	must(waitpid(pid, &status, 0), "waitpid");
	must(-status, "the holder");
}

void object_path(char *path, size_t bytes, struct stoa_space *space,
                 const struct noun *noun, const char *name)
{
	snprintf(path, bytes, "%s/%s.%s", stoa_space_path(space), name,
	         noun->kind);
}

/* Through the walls, as the library's own mappings. */
struct place map_place(struct stoa_space *space, const struct noun *noun,
                       const char *name, size_t bytes)
{
	struct place place;
	char path[300];
	struct stat found;
	int fd;

	object_path(path, sizeof(path), space, noun, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || (bytes > 0 && ftruncate(fd, (off_t)bytes) != 0) ||
	    fstat(fd, &found) != 0 ||
	    stoa_sys_mmap(NULL, (size_t)found.st_size, PROT_READ | PROT_WRITE,
	                  MAP_SHARED, fd, 0, &place.memory) < 0)
		finding("%s can't be mapped", path);
	close(fd);
	place.bytes = (size_t)found.st_size;
	return place;
}

void unmap_place(struct place *place)
{
	if (place->memory != NULL)
		stoa_sys_munmap(place->memory, place->bytes);
	place->memory = NULL;
}

/* ---- Where things are --------------------------------------------------- */

static struct region *add_region(struct image *image, const char *name,
                                 const struct victim *victim, const void *first,
                                 size_t bytes)
{
	struct region *region = &image->regions[image->region_count++];
	const char *base = victim->object->base;

	if (image->region_count > REGIONS_MAX)
		finding("more than %d regions", REGIONS_MAX);
	if (image->noun->placed)
		base = (const char *)victim->object->events -
		       offsetof(struct stoa_place, events);
	region->name = name;
	region->bytes = bytes;
	if (bytes > 0)
		region->offset = (size_t)((const char *)first - base);
	if (bytes > 0 && region->offset + bytes > image->bytes)
		finding("%s isn't in the file", name);
	return region;
}

void image_region(struct image *image, const char *name,
                  const struct victim *victim, const void *first, size_t bytes,
                  size_t item)
{
	add_region(image, name, victim, first, bytes)->item = item;
}

void image_idle_region(struct image *image, const char *name,
                       const struct victim *victim, const void *first,
                       size_t bytes)
{
	add_region(image, name, victim, first, bytes)->idle = true;
}

void image_number(struct image *image, uint64_t number)
{
	if (image->number_count == NUMBERS_MAX)
		finding("more than %d numbers", NUMBERS_MAX);
	image->numbers[image->number_count++] = number;
}

static void place_object_regions(struct image *image)
{
	static const size_t events =
		offsetof(struct stoa_object_header, events);

	image->regions[REGION_HEADER] =
		(struct region){ "header", 0, events, 0, false };
	image->regions[REGION_STATE] =
		(struct region){ "events and state", events,
		                 sizeof(struct stoa_events), 0, false };
	image->regions[REGION_SEATS] =
		(struct region){ "seats", OBJECT_SEATS_OFFSET,
		                 OBJECT_KIND_OFFSET - OBJECT_SEATS_OFFSET,
		                 sizeof(struct stoa_seat), false };
	image->state =
		&((struct stoa_object_header *)image->base)->events.state;
}

static void place_placed_regions(struct image *image)
{
	static const size_t events = offsetof(struct stoa_place, events);

	image->regions[REGION_HEADER] =
		(struct region){ "place", 0, events, 0, false };
	image->regions[REGION_STATE] =
		(struct region){ "events and state", events,
		                 sizeof(struct stoa_events), 0, false };
	image->regions[REGION_SEATS] =
		(struct region){ "seats", 0, 0, 0, false };
	image->state = &((struct stoa_place *)image->base)->events.state;
}

static void check_fields(const struct image *image)
{
	for (const struct field *field = image->noun->fields;
	     field->name != NULL; field++) {
		const struct region *region =
			&image->regions[REGION_OWN + field->region];
		size_t item = region->item == 0 ? region->bytes : region->item;

		if (REGION_OWN + field->region >= image->region_count ||
		    (field->bytes != 4 && field->bytes != 8) ||
		    (region->bytes > 0 && field->offset + field->bytes > item))
			finding("field %s of %s can't be there", field->name,
			        image->noun->kind);
	}
}

static void place_regions(struct image *image, struct stoa_space *space,
                          const char *name)
{
	struct victim victim = victim_of(space, image->noun, image->shape, 0);

	victim.name = name;
	must(victim_open(&victim), "open");
	if (image->noun->placed)
		place_placed_regions(image);
	else
		place_object_regions(image);
	image->region_count = REGION_OWN;
	image->noun->locate(image, &victim);
	check_fields(image);
	victim_close(&victim);
}

/* ---- Images ------------------------------------------------------------- */

static void map_image(struct image *image)
{
	struct stat stat;

	image->fd = open(image->path, O_RDWR | O_CLOEXEC);
	if (image->fd < 0 || fstat(image->fd, &stat) != 0)
		finding("%s: %s", image->path, strerror(errno));
	image->bytes = (size_t)stat.st_size;
	image->base = mmap(NULL, image->bytes, PROT_READ | PROT_WRITE,
	                   MAP_SHARED, image->fd, 0);
	image->copy = malloc(image->bytes);
	if (image->base == MAP_FAILED || image->copy == NULL)
		finding("%s can't be mapped", image->path);
	memcpy(image->copy, image->base, image->bytes);
}

/* The regions come from a handle; the copy is from before it was opened. */
void image_open(struct image *image, struct stoa_space *space,
                const struct noun *noun, const char *name, unsigned shape)
{
	memset(image, 0, sizeof(*image));
	image->noun = noun;
	image->shape = shape;
	object_path(image->path, sizeof(image->path), space, noun, name);
	map_image(image);
	place_regions(image, space, name);
	image_restore(image);
}

void image_restore(struct image *image)
{
	memcpy(image->base, image->copy, image->bytes);
}

void image_revive(struct image *image)
{
	atomic_store(image->state, 0);
}

void image_close(struct image *image)
{
	munmap(image->base, image->bytes);
	free(image->copy);
	close(image->fd);
}
