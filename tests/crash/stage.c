/* SPDX-License-Identifier: MIT */
/* stage.c: letters, the ledger of their fates, and the queue they are in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define ID_BYTES sizeof(uint64_t)
#define PATTERN_FACTOR 0x9e3779b97f4a7c15u
#define TABLE 6u

static const uint32_t priorities[TABLE] = { 3, 7, 3, 0, 7, 1 };
static const int64_t types[TABLE] = { 2, 1, 3, 2, 4, 1 };

const uint32_t stage_sizes[SIZES] = { 81, 300, 1000, 4096 };

/* ---- Letters ------------------------------------------------------------- */

struct letter *ledger_add(struct ledger *ledger, uint32_t bytes)
{
	struct letter *letter;
	uint32_t index = ledger->count;

	if (index == LETTERS_MAX)
		broken("more than %u letters", LETTERS_MAX);
	letter = &ledger->letters[index];
	memset(letter, 0, sizeof(*letter));
	letter->id = ++ledger->next_id;
	letter->bytes = bytes;
	letter->priority = priorities[index % TABLE];
	letter->type = types[index % TABLE];
	ledger->count++;
	return letter;
}

static unsigned char pattern(uint64_t id, uint32_t at)
{
	return (unsigned char)((id * PATTERN_FACTOR + at * 7u + (at >> 8)) >> 3);
}

void letter_write(const struct letter *letter, void *buffer)
{
	unsigned char *bytes = buffer;

	memcpy(bytes, &letter->id, ID_BYTES);
	for (uint32_t i = ID_BYTES; i < letter->bytes; i++)
		bytes[i] = pattern(letter->id, i);
}

uint64_t letter_id(const void *buffer)
{
	uint64_t id;

	memcpy(&id, buffer, ID_BYTES);
	return id;
}

int letter_whole(const struct letter *letter, const void *buffer)
{
	const unsigned char *bytes = buffer;

	if (letter_id(buffer) != letter->id)
		return 0;
	for (uint32_t i = ID_BYTES; i < letter->bytes; i++)
		if (bytes[i] != pattern(letter->id, i))
			return 0;
	return 1;
}

int letter_send(struct stoa_queue *queue, const struct letter *letter,
		struct stoa_deadline deadline)
{
	unsigned char buffer[LETTER_MAX_BYTES];
	struct stoa_message message = {
		.data = buffer,
		.bytes = letter->bytes,
		.type = letter->type,
		.priority = letter->priority
	};

	letter_write(letter, buffer);
	return stoa_queue_send_message(queue, &message, deadline);
}

/* ---- The stage ----------------------------------------------------------- */

void stage_attributes(const struct state *state,
		      struct stoa_queue_attributes *ret_attributes)
{
	struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes),
		.order = state->order,
		.capacity = CAPACITY,
		.max_message_bytes = LETTER_MAX_BYTES,
		.total_bytes = TOTAL_BYTES
	};

	*ret_attributes = attributes;
}

static void make_queue(struct stage *s, enum stoa_queue_order order)
{
	const struct state state = { .order = order };
	struct stoa_queue_attributes attributes;
	int result;

	stage_attributes(&state, &attributes);
	snprintf(s->name, sizeof(s->name), "q%llu",
		 (unsigned long long)++s->serial);
	result = stoa_queue_open(s->space, s->name,
				 STOA_READ | STOA_WRITE | STOA_CREATE |
				 STOA_EXCLUSIVE, 0600, &attributes, &s->queue);
	if (result != 0)
		broken("can't make %s: %d %s", s->name, result,
		       stoa_last_error());
}

static void measure_room(struct stage *s, enum stoa_queue_order order,
			 uint32_t size)
{
	struct ledger ledger = { .order = order };
	uint32_t fits = 0;

	make_queue(s, order);
	while (letter_send(s->queue, ledger_add(&ledger, stage_sizes[size]),
			   STOA_NOW) == 0)
		fits++;
	s->room[order][size] = fits;
	stage_drop(s);
}

int stage_open(struct stage *s, const char *path)
{
	stoa_peer self;
	int result;

	snprintf(s->path, sizeof(s->path), "%s", path);
	result = stoa_space_open(path, STOA_CREATE, &s->space);
	if (result != 0)
		return trouble("open space %s: %d %s", path, result,
			       stoa_last_error());
	s->pages = mmap(NULL, PAGES * sizeof(*s->pages),
			PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (s->pages == MAP_FAILED)
		return trouble("no memory");
	stoa_space_self(s->space, &self);
	for (unsigned order = STOA_FIFO; order <= STOA_TYPE; order++)
		for (uint32_t size = 0; size < SIZES; size++)
			measure_room(s, (enum stoa_queue_order)order, size);
	s->files = count_files(s->path);
	return 0;
}

static void unmap_image(struct stage *s)
{
	if (s->image != NULL)
		munmap(s->image, s->image_bytes);
	free(s->seen);
	s->image = s->seen = NULL;
}

void stage_drop(struct stage *s)
{
	unmap_image(s);
	if (s->queue == NULL)
		return;
	stoa_queue_close(s->queue);
	stoa_queue_unlink(s->space, s->name);
	s->queue = NULL;
}

void stage_close(struct stage *s)
{
	stage_drop(s);
	stoa_space_close(s->space);
	s->space = NULL;
}

void stage_make(struct stage *s, const struct state *state)
{
	stage_drop(s);
	s->state = state;
	memset(s->ledger.letters, 0, sizeof(s->ledger.letters));
	s->ledger.count = 0;
	s->ledger.order = state->order;
	memset(&s->held, 0, sizeof(s->held));
	s->held_id = 0;
	s->concurrent = 0;
	s->there = s->most = 0;
	make_queue(s, state->order);
	if (state->fill != NULL)
		state->fill(s);
}

void stage_announce(struct stage *s, uint32_t index,
		    const struct operation *operation)
{
	struct page *page = &s->pages[index];

	memset(page, 0, offsetof(struct page, buffers));
	for (uint32_t i = 0; i < BATCH; i++)
		memset(page->buffers[i], 0, ID_BYTES);
	page->outgoing_count = operation->outgoing_count;
	for (uint32_t i = 0; i < operation->outgoing_count; i++) {
		struct letter *letter =
			ledger_add(&s->ledger, operation->outgoing_bytes);

		if (!(operation->flags & OP_MESSAGE)) {
			letter->priority = 0;
			letter->type = 1;
		}
		letter->fate = FATE_GONE;
		letter->batched = i > 0;
		page->outgoing[i] = s->ledger.count - 1;
	}
}

/* ---- What others can see ------------------------------------------------- */

static void map_image(struct stage *s)
{
	char path[128];
	struct stat status;
	int fd;

	snprintf(path, sizeof(path), "%s/%s.queue", s->path, s->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) != 0)
		broken("can't observe %s", path);
	s->image_bytes = (size_t)status.st_size;
	s->image = mmap(NULL, s->image_bytes, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	s->seen = malloc(s->image_bytes + PAGES * sizeof(*s->pages));
	if (s->image == MAP_FAILED || s->seen == NULL)
		broken("can't observe %s", path);
	memcpy(s->seen, s->image, s->image_bytes);
	memcpy(s->seen + s->image_bytes, s->pages, PAGES * sizeof(*s->pages));
}

static int differs(unsigned char *seen, const void *now, size_t bytes)
{
	if (memcmp(seen, now, bytes) == 0)
		return 0;
	memcpy(seen, now, bytes);
	return 1;
}

int stage_observe(void *context)
{
	struct stage *s = context;
	int changed;

	if (s->image == NULL)
		map_image(s);
	changed = differs(s->seen, s->image, s->image_bytes);
	changed |= differs(s->seen + s->image_bytes, s->pages,
			   PAGES * sizeof(*s->pages));
	return changed;
}

uint32_t count_files(const char *path)
{
	DIR *directory = opendir(path);
	uint32_t files = 0;

	if (directory == NULL)
		return 0;
	while (readdir(directory) != NULL)
		files++;
	closedir(directory);
	return files;
}

/* ---- The victim's side --------------------------------------------------- */

/* The victim ends without closing: to the others that is a death as well. */
void act_body(void *context)
{
	const struct act *act = context;
	struct stage *s = act->stage;
	struct victim victim = {
		.stage = s,
		.page = &s->pages[act->page],
		.space = s->space,
		.queue = s->queue,
		.operation = act->operation
	};

	if (!(act->operation->flags & OP_FIRST) &&
	    stoa_queue_open(s->space, s->name, STOA_READ | STOA_WRITE, 0, NULL,
			    &victim.queue) != 0)
		_exit(1);
	if (act->operation->prepare != NULL)
		act->operation->prepare(&victim);
	if (!act->untraced)
		trace_begin();
	victim.page->entered = 1;
	act->operation->run(&victim);
	victim.page->returned = 1;
	trace_end();
	_exit(0);
}
