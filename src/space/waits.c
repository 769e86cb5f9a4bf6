/* SPDX-License-Identifier: MIT */
/* space/waits.c: showing what a thread waits for, and finding circles. */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <space/event.h>
#include <space/waits.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 24
#define NODES 64 /* of a walk, at most */
#define READS 4  /* of a record that is being written */
#define AGAIN_NS (STOA_SLICE_NS / 2) /* told again so often */
#define SENTENCE_MAX 400
#define PASSES_MAX 3 /* then it sleeps again in between */

/* ---- Files ------------------------------------------------------------------- */

static void file_name(uint32_t slot, char name[NAME_MAX_BYTES])
{
	snprintf(name, NAME_MAX_BYTES, ".waits.%u", slot / LIFE_SLOTS);
}

static off_t place_of(uint32_t slot, uint32_t place)
{
	return (off_t)(slot % LIFE_SLOTS * WAITS_RECORDS + place) *
	       (off_t)sizeof(struct waits_record);
}

/* Never kept open: the program might close it, and the number be another
 * file's when the next record is written. */
static int open_file(struct stoa_life *life, uint32_t slot, int flags)
{
	char name[NAME_MAX_BYTES];
	struct stat stat;

	file_name(slot, name);
	int fd = stoa_sys_openat(life->directory, name,
	                         flags | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	int result = stoa_sys_fstat(fd, &stat);
	if (result == 0 && !S_ISREG(stat.st_mode))
		result = -EPERM;
	if (result == 0)
		return fd;
	stoa_sys_close(fd);
	return result;
}

static int make_file(struct stoa_life *life, uint32_t slot)
{
	char name[NAME_MAX_BYTES];
	int fd = stoa_sys_openat(life->directory, ".", O_TMPFILE | O_RDWR,
	                         0600);

	if (fd < 0)
		return fd;
	file_name(slot, name);
	int result = stoa_sys_fchmod(fd, life->shared ? 0666 : 0600);
	if (result == 0)
		result = stoa_sys_publish(fd, life->directory, name);
	stoa_sys_close(fd);
	return result == -EEXIST ? 0 : result;
}

static int write_record(struct stoa_life *life, stoa_peer peer,
                        uint32_t place, const struct waits_record *record)
{
	uint32_t slot = LIFE_SLOT(peer);
	int fd = open_file(life, slot, O_WRONLY);

	if (fd == -ENOENT && record->agent != 0) {
		int result = make_file(life, slot);

		fd = result < 0 ? result : open_file(life, slot, O_WRONLY);
	}
	if (fd < 0)
		return fd;
	ssize_t put = stoa_sys_pwrite(fd, record, sizeof *record,
	                              place_of(slot, place));
	stoa_sys_close(fd);
	return put == sizeof *record ? 0 : put < 0 ? (int)put : -EIO;
}

static uint64_t check_of(const struct waits_record *record)
{
	uint64_t words[sizeof *record / 8], check = 0x73746f61;

	memcpy(words, record, sizeof words);
	for (size_t i = 1; i < sizeof words / sizeof *words; i++) {
		check = (check ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
		check ^= check >> 29;
	}
	return check;
}

/* 1: a record that can be true. 0: nobody waits there. */
static int sound(const struct waits_record *record)
{
	return record->agent != 0 && record->check == check_of(record) &&
	       record->blockers <= WAITS_BLOCKERS &&
	       memchr(record->name, 0, sizeof record->name);
}

/* Reads one record until it isn't being written. */
static int read_again(int fd, uint32_t slot, uint32_t place,
                      struct waits_record *record)
{
	for (int i = 0; i < READS; i++) {
		if (stoa_sys_pread(fd, record, sizeof *record,
		                   place_of(slot, place)) != sizeof *record)
			return 0;
		if (sound(record) || record->agent == 0)
			return record->agent != 0;
	}
	return 0;
}

/* Visits the sound records of a peer until `visit` returns other than 0. */
static int each_record(struct stoa_life *life, uint32_t slot, stoa_peer peer,
                       int (*visit)(const struct waits_record *, uint32_t place,
                                    void *context),
                       void *context)
{
	struct waits_record page[WAITS_RECORDS / 4];
	int result = 0;
	int fd = open_file(life, slot, O_RDONLY);

	for (uint32_t at = 0; fd >= 0 && at < WAITS_RECORDS && result == 0;
	     at += WAITS_RECORDS / 4) {
		ssize_t got = stoa_sys_pread(fd, page, sizeof page,
		                             place_of(slot, at));
		uint32_t count = got < 0 ? 0 : (uint32_t)got / sizeof page[0];

		for (uint32_t i = 0; i < count && result == 0; i++) {
			struct waits_record *record = &page[i];

			if (AGENT_PEER(record->agent) != peer ||
			    record->agent == 0)
				continue;
			if (sound(record) ||
			    (read_again(fd, slot, at + i, record) &&
			     AGENT_PEER(record->agent) == peer))
				result = visit(record, at + i, context);
		}
	}
	if (fd >= 0)
		stoa_sys_close(fd);
	return fd < 0 && fd != -ENOENT ? fd : result;
}

/* ---- Telling ------------------------------------------------------------------ */

/* A bit of the process's for each record; none is free: not shown. */
static int take_place(struct stoa_life *life, uint32_t thread,
                      uint32_t *ret_place)
{
	uint64_t taken = atomic_load_explicit(&life->waits_taken,
	                                      memory_order_relaxed);

	while (~taken) {
		uint32_t place = thread % WAITS_RECORDS;

		while (taken >> place & 1)
			place = (place + 1) % WAITS_RECORDS;
		/* relaxed: who wrote there last wrote by system calls */
		if (!atomic_compare_exchange_weak_explicit(
		            &life->waits_taken, &taken,
		            taken | UINT64_C(1) << place, memory_order_relaxed,
		            memory_order_relaxed))
			continue;
		*ret_place = place;
		return 0;
	}
	return -EAGAIN;
}

static void give_place(struct stoa_life *life, uint32_t place)
{
	atomic_fetch_and_explicit(&life->waits_taken, ~(UINT64_C(1) << place),
	                          memory_order_relaxed);
}

static void fill_record(struct stoa_waiter *waiter,
                        struct waits_record *ret_record)
{
	struct stoa_wait_note *note = waiter->note;
	struct stoa_object *object = waiter->object;
	uint32_t blockers = note->blockers < WAITS_BLOCKERS ? note->blockers :
	                                                      WAITS_BLOCKERS;

	if (stoa_thread_here.gave_up)
		stoa_event_mark();
	stoa_thread_here.gave_up = 0;
	memset(ret_record, 0, sizeof *ret_record);
	*ret_record = (struct waits_record){
		.sequence = atomic_fetch_add_explicit(
		                    &object->space->life.waits_sequence, 1,
		                    memory_order_relaxed) +
		            1,
		.agent = stoa_object_agent(object),
		.since_ns = note->since_ns,
		.asked_ns = note->asked_ns,
		.looked = waiter->looked,
		.raised = stoa_thread_here.raised,
		.object = object->header ? object->copy.generation : 0,
		.start = note->start,
		.last = note->last,
		.pid = stoa_sys_getpid(),
		.tid = stoa_thread_here.tid,
		.flags = note->flags,
		.mode = note->mode,
		.blockers = blockers,
	};
	memcpy(ret_record->blocker, note->blocker,
	       blockers * sizeof *note->blocker);
	snprintf(ret_record->name, sizeof ret_record->name, "%.*s.%s",
	         WAITS_NAME_BYTES - STOA_KIND_MAX - 2, object->name,
	         object->kind->name);
	ret_record->check = check_of(ret_record);
}

static int must_tell(const struct stoa_wait_note *note, int64_t now)
{
	return !note->listed || now - note->told_ns >= AGAIN_NS ||
	       note->told_blockers != note->blockers ||
	       memcmp(note->told_blocker, note->blocker,
	              sizeof note->blocker) != 0;
}

/* Where it can't be shown, it still looks for circles itself. */
static void show(struct stoa_waiter *waiter, const struct waits_record *record,
                 int64_t now)
{
	struct stoa_wait_note *note = waiter->note;
	struct stoa_life *life = &waiter->object->space->life;
	stoa_peer peer = AGENT_PEER(record->agent);

	if (note->listed && note->peer != peer)
		stoa_waits_clear(waiter); /* another life since */
	if (!note->listed &&
	    take_place(life, AGENT_THREAD(record->agent), &note->place) < 0)
		return;
	note->listed = 1;
	note->peer = peer;
	if (write_record(life, peer, note->place, record) < 0) {
		give_place(life, note->place);
		note->listed = 0;
		return;
	}
	note->told_ns = now;
	note->told_blockers = note->blockers;
	memcpy(note->told_blocker, note->blocker, sizeof note->blocker);
}

void stoa_waits_clear(struct stoa_waiter *waiter)
{
	static const struct waits_record nobody;
	struct stoa_wait_note *note = waiter->note;
	struct stoa_life *life = &waiter->object->space->life;

	if (!note || !note->listed)
		return;
	/* If it isn't this process's slot any more, it may be another's. */
	if (note->peer == atomic_load_explicit(&life->self->peer,
	                                       memory_order_relaxed))
		write_record(life, note->peer, note->place, &nobody);
	give_place(life, note->place);
	note->listed = 0;
}

/* ---- Circles -------------------------------------------------------------------- */

struct node {
	int from; /* who waits for it; -1: nobody, it's the asker */
	uint64_t agent;
	struct waits_record record;
};

struct search {
	struct stoa_life *life;
	int count;
	struct node node[NODES];
};

struct lookup {
	uint64_t agent;
	struct waits_record *ret_record;
};

static int match_agent(const struct waits_record *record, uint32_t place,
                       void *context)
{
	struct lookup *lookup = context;

	(void)place;
	if (record->agent != lookup->agent)
		return 0;
	*lookup->ret_record = *record;
	return 1;
}

static int record_of(struct stoa_life *life, uint64_t agent,
                     struct waits_record *ret_record)
{
	struct lookup lookup = { agent, ret_record };
	stoa_peer peer = AGENT_PEER(agent);

	if (LIFE_SLOT(peer) >= LIFE_SHARDS * LIFE_SLOTS || peer == 0)
		return 0;
	return each_record(life, LIFE_SLOT(peer), peer, match_agent, &lookup) ==
	       1;
}

/* `waiting` has looked since the other gave up anything. */
static int established(const struct waits_record *waiting,
                       const struct waits_record *other)
{
	return waiting->looked > other->raised &&
	       waiting->looked - other->raised > WAITS_SLACK;
}

static int known(const struct search *search, uint64_t agent)
{
	for (int i = 0; i < search->count; i++)
		if (search->node[i].agent == agent)
			return 1;
	return 0;
}

/* Adds those whom `from` waits for and who wait themselves. 1: the asker is
 * one of them. */
static int follow(struct search *search, int from)
{
	const struct waits_record *waits = &search->node[from].record;
	const struct waits_record *asker = &search->node[0].record;

	for (uint32_t i = 0; i < waits->blockers; i++) {
		uint64_t agent = waits->blocker[i] & ~STOA_NOTE_IN_LINE;
		struct node *node = &search->node[search->count];

		/* Others in line look after themselves. */
		if (from != 0 && agent != waits->blocker[i])
			continue;
		if (agent == asker->agent) {
			if (established(waits, asker))
				return 1;
			continue;
		}
		if (search->count == NODES || known(search, agent) ||
		    !record_of(search->life, agent, &node->record) ||
		    !established(waits, &node->record))
			continue;
		node->agent = agent;
		node->from = from;
		search->count++;
	}
	return 0;
}

/* Whether the circle from the asker to node `end` is one still. */
static int verify(const struct search *search, int end)
{
	for (int i = end; i > 0; i = search->node[i].from) {
		const struct node *node = &search->node[i];
		struct waits_record again;

		if (!record_of(search->life, node->agent, &again) ||
		    again.sequence != node->record.sequence ||
		    (!STOA_BUG(41) &&
		     !stoa_life_alive(search->life, AGENT_PEER(node->agent))))
			return 0;
	}
	return 1;
}

/* Of those in the circle that may be refused, the one that asked last. */
static int is_victim(const struct search *search, int end)
{
	const struct waits_record *asker = &search->node[0].record;

	for (int i = end; i > 0; i = search->node[i].from) {
		const struct waits_record *other = &search->node[i].record;

		if ((other->flags & WAITS_DETECTS) &&
		    (other->asked_ns > asker->asked_ns ||
		     (other->asked_ns == asker->asked_ns &&
		      other->agent > asker->agent)))
			return 0;
	}
	return 1;
}

struct text {
	char bytes[SENTENCE_MAX];
	size_t length;
};

static void __attribute__((format(printf, 2, 3)))
say(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text->bytes + text->length,
	                       sizeof text->bytes - text->length, format,
	                       arguments);
	va_end(arguments);
	if (length > 0)
		text->length += (size_t)length;
	if (text->length >= sizeof text->bytes)
		text->length = sizeof text->bytes - 1;
}

/* Names in records are foreign, and don't go to a terminal as they are. */
static void say_wait(struct text *text, const struct waits_record *record)
{
	say(text, " waits for ");
	for (const char *c = record->name; *c; c++)
		say(text, "%c", *c >= ' ' && *c <= '~' ? *c : '?');
	if (!(record->flags & WAITS_RANGE))
		return;
	if (record->last == UINT64_MAX)
		say(text, " [%llu, end)", (unsigned long long)record->start);
	else
		say(text, " [%llu, %llu)", (unsigned long long)record->start,
		    (unsigned long long)record->last + 1);
}

/* The circle in words: it was found backwards, and is told forwards. */
static int refuse(const struct search *search, int end)
{
	const struct waits_record *asker = &search->node[0].record;
	struct text text = { .length = 0 };
	int order[NODES], count = 0;

	for (int i = end; i > 0; i = search->node[i].from)
		order[count++] = i;
	say(&text, "pid %d", asker->pid);
	say_wait(&text, asker);
	while (count > 0) {
		const struct waits_record *record =
		        &search->node[order[--count]].record;

		say(&text, " held by pid %d, which", record->pid);
		say_wait(&text, record);
	}
	return stoa_fail(-EDEADLK, "to wait would be a deadlock: %s held by "
	                           "%s %d",
	                 text.bytes, end == 0 ? "the same pid" : "pid",
	                 asker->pid);
}

static int find_circle(struct stoa_life *life,
                       const struct waits_record *asker,
                       struct stoa_wait_note *note)
{
	struct search *search = malloc(sizeof *search);
	int result = 0, end = 0, found = 0;

	if (!search) /* looked for again after the next slice */
		return 0;
	search->life = life;
	search->count = 1;
	search->node[0] = (struct node){ -1, asker->agent, *asker };
	while (end < search->count && !(found = follow(search, end)))
		end++;
	if (found && verify(search, end)) {
		if (note->blocker[0] & STOA_NOTE_IN_LINE)
			result = note->pass = note->passes++ < PASSES_MAX;
		else if ((note->flags & WAITS_DETECTS) &&
		         is_victim(search, end))
			result = refuse(search, end);
	}
	free(search);
	return result;
}

int stoa_waits_tell(struct stoa_waiter *waiter)
{
	struct stoa_wait_note *note = waiter->note;
	struct stoa_object *object = waiter->object;
	struct waits_record record;

	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC);

	if (note->asked_ns == 0) {
		note->asked_ns = now;
		note->since_ns = stoa_sys_clock_ns(CLOCK_REALTIME) -
		                 (note->asked_ns - waiter->began_ns);
	}
	fill_record(waiter, &record);
	if (record.agent == 0)
		return 0;
	if (must_tell(note, now))
		show(waiter, &record, now);
	if (note->blockers == 0 ||
	    !(note->flags & WAITS_DETECTS ||
	      note->blocker[0] & STOA_NOTE_IN_LINE))
		return 0;
	/* seq_cst: written before it looks, as the other does */
	atomic_thread_fence(memory_order_seq_cst);
	int result = find_circle(&object->space->life, &record, note);
	if (result == 0)
		note->passes = 0;
	return result;
}

/* ---- For people -------------------------------------------------------------------- */

struct listing {
	struct stoa_space *space;
	uint64_t generation;
	int (*visit)(const struct stoa_waiting *, void *);
	void *context;
	int visited;
};

static pid_t pid_of(struct stoa_life *life, stoa_peer peer)
{
	struct life_record record;

	if (stoa_life_record(life, LIFE_SLOT(peer), &record) < 0 ||
	    record.generation != LIFE_GENERATION(peer))
		return 0;
	return record.pid;
}

static int tell_one(const struct waits_record *record, uint32_t place,
                    void *context)
{
	struct listing *listing = context;
	struct stoa_waiting waiting = {
		.generation = record->object,
		.peer = AGENT_PEER(record->agent),
		.pid = record->pid,
		.tid = record->tid,
		.thread = AGENT_THREAD(record->agent),
		.since_ns = record->since_ns,
		.mode = record->mode,
		.start = record->start,
		.last = record->last,
		.is_range = !!(record->flags & WAITS_RANGE),
		.blockers = record->blockers,
	};

	(void)place;
	if (listing->generation && listing->generation != record->object)
		return 0;
	snprintf(waiting.name, sizeof waiting.name, "%s", record->name);
	for (uint32_t i = 0; i < record->blockers; i++) {
		uint64_t agent = record->blocker[i];

		waiting.blocker[i] = AGENT_PEER(agent);
		waiting.blocker_thread[i] = AGENT_THREAD(agent);
		waiting.blocker_pid[i] = pid_of(&listing->space->life,
		                                AGENT_PEER(agent));
	}
	listing->visited++;
	return listing->visit(&waiting, listing->context);
}

int stoa_space_each_waiting(struct stoa_space *space, uint64_t generation,
                            int (*visit)(const struct stoa_waiting *, void *),
                            void *context)
{
	struct listing listing = { space, generation, visit, context, 0 };

	for (uint32_t slot = 0; slot < LIFE_SHARDS * LIFE_SLOTS; slot++) {
		struct life_record life;
		int result = stoa_life_record(&space->life, slot, &life);

		if (result == -ENOENT)
			break; /* shards are made in order */
		if (result < 0)
			return result;
		stoa_peer peer = LIFE_PEER(slot, life.generation);
		if (life.generation == 0 ||
		    !stoa_life_alive(&space->life, peer))
			continue;
		result = each_record(&space->life, slot, peer, tell_one,
		                     &listing);
		if (result != 0)
			return result;
	}
	return listing.visited;
}
