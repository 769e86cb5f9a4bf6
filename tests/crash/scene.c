/* SPDX-License-Identifier: MIT */
/* scene.c: an object in its state, and the players around it; see subject.h. */
#include "subject.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define IMAGE_MAX 131072u /* of a file that is observed at each step */

struct scene scene;

const char *const form_names[FORMS] = {
	[FORM_NAMED] = "named", [FORM_PLACED] = "placed",
	[FORM_UNNAMED] = "unnamed"
};

int has_form(const struct subject *subject, uint32_t state, unsigned form)
{
	if (form != FORM_NAMED && subject->named_states >> state & 1)
		return 0;
	switch (form) {
	case FORM_NAMED: return subject->unnamed != ONLY_UNNAMED;
	case FORM_PLACED: return subject->placed_bytes != 0;
	default: return subject->unnamed != NEVER_UNNAMED;
	}
}

enum form first_form(const struct subject *subject)
{
	return has_form(subject, 0, FORM_NAMED) ? FORM_NAMED : FORM_UNNAMED;
}

const char *scene_name(const struct scene *s)
{
	return s->form == FORM_UNNAMED ? NULL : s->name;
}

/* ---- Notes ---------------------------------------------------------------- */

int note_done(const struct scene *s, uint32_t player, int64_t *ret_result)
{
	const struct note *note = &s->notes[player];

	if (s->deeds[player] == NULL || !atomic_load(&note->returned))
		return 0;
	if (ret_result != NULL)
		*ret_result = atomic_load(&note->result);
	return 1;
}

int note_torn(const struct scene *s, uint32_t player)
{
	const struct note *note = &s->notes[player];

	return s->deeds[player] != NULL && !atomic_load(&note->returned);
}

void player_skip(void)
{
	_exit(TRACE_SKIP);
}

static void futex_wait_zero(_Atomic uint32_t *word)
{
	while (atomic_load(word) == 0)
		syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void futex_set(_Atomic uint32_t *word)
{
	atomic_store(word, 1);
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* ---- Players ---------------------------------------------------------------- */

struct role {
	struct player player;
	int stays;  /* a helper, until it is let go */
	int traced;
};

static void role_body(void *context)
{
	struct role role = *(struct role *)context;
	struct player *p = &role.player;
	struct scene *s = p->scene;

	if (s->form == FORM_NAMED && !(p->deed->flags & DEED_FIRST) &&
	    s->subject->open(s->space, s->name, &p->object) != 0)
		_exit(1);
	if (p->deed->prepare != NULL)
		p->deed->prepare(p);
	if (role.traced)
		trace_begin();
	atomic_store(&p->note->entered, 1);
	atomic_store(&p->note->result, p->deed->run(p));
	atomic_store(&p->note->returned, 1);
	trace_end();
	p->note->returned_ns = clock_ns();
	p->note->ready_ns = ready_ns(getpid());
	if (!role.stays)
		_exit(0);
	futex_set(&p->note->finished);
	futex_wait_zero(&p->note->let_go);
	atomic_store(&p->note->finished, 0);
	if (p->deed->finish != NULL)
		p->deed->finish(p);
	futex_set(&p->note->finished);
	_exit(0);
}

static struct role role_for(uint32_t number, const struct deed *deed)
{
	struct scene *s = &scene;
	struct role role = {
		.player = {
			.scene = s,
			.note = &s->notes[number],
			.deed = deed,
			.space = s->space,
			.object = s->object,
			.number = number
		}
	};

	s->deeds[number] = deed;
	return role;
}

pid_t scene_spawn(uint32_t number, const struct deed *deed)
{
	struct role role = role_for(number, deed);

	pid_t pid;

	role.traced = 1;
	pid = trace_spawn(role_body, &role);
	if (pid > 0 && number == VICTIM && scene.subject->arrived != NULL)
		scene.subject->arrived(&scene);
	return pid;
}

uint32_t scene_helper(struct scene *s, const struct deed *deed)
{
	uint32_t number = HELPERS_FROM + s->helpers++;
	struct role role = role_for(number, deed);

	if (number >= PLAYERS)
		broken("more than %u players", PLAYERS);
	role.stays = 1;
	s->pids[number] = trace_fork(role_body, &role);
	futex_wait_zero(&s->notes[number].finished);
	if (atomic_load(&s->notes[number].result) < 0)
		broken("the helper's %s in %s gave %lld", deed->name,
		       s->state->name,
		       (long long)atomic_load(&s->notes[number].result));
	return number;
}

void scene_dead(struct scene *s, const struct deed *deed)
{
	uint32_t number = HELPERS_FROM + s->helpers++;
	struct role role = role_for(number, deed);
	int status;

	if (number >= PLAYERS)
		broken("more than %u players", PLAYERS);
	status = trace_reap(trace_fork(role_body, &role));
	if (status != 0 || atomic_load(&s->notes[number].result) < 0)
		broken("%s in %s: the dead one ended with status %x and %lld",
		       deed->name, s->state->name, status,
		       (long long)atomic_load(&s->notes[number].result));
}

/* Whether it ends within so long (-1: however long); who isn't its parent can
 * ask that, too. */
static int ends(pid_t pid, int milliseconds)
{
	struct pollfd ended = {
		.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN
	};
	int result = 1;

	while (ended.fd >= 0 &&
	       (result = poll(&ended, 1, milliseconds)) < 0)
		;
	close(ended.fd);
	return result > 0;
}

int scene_ended(const struct scene *s, uint32_t number)
{
	return s->pids[number] <= 0 || ends(s->pids[number], 0);
}

int scene_await(struct scene *s, uint32_t number)
{
	if (s->pids[number] > 0)
		ends(s->pids[number], -1);
	return note_done(s, number, NULL)
		       ? 0
		       : trouble("player %u did not come to its end", number);
}

void scene_kill(struct scene *s, uint32_t number)
{
	if (s->pids[number] <= 0)
		return;
	kill(s->pids[number], SIGKILL);
	ends(s->pids[number], -1);
}

/* The one who made them reaps them later: the oracle may be another. */
int scene_let_go(struct scene *s, uint32_t number)
{
	struct note *note = &s->notes[number];

	if (s->pids[number] <= 0 || atomic_load(&note->let_go) ||
	    s->sleepers & 1u << number)
		return 0;
	atomic_store(&note->finished, 0);
	futex_set(&note->let_go);
	ends(s->pids[number], -1);
	return atomic_load(&note->finished)
		       ? 0
		       : trouble("a helper that was let go did not finish");
}

int scene_let_all_go(struct scene *s)
{
	int result = 0;

	for (uint32_t i = HELPERS_FROM; i < HELPERS_FROM + s->helpers; i++)
		result |= scene_let_go(s, i);
	return result;
}

/* ---- The waiter ------------------------------------------------------------- */

static void start_sleeper(uint32_t number, const struct deed *deed)
{
	struct role role = role_for(number, deed);
	pid_t pid = trace_fork(role_body, &role);

	scene.pids[number] = pid;
	while (!atomic_load(&scene.notes[number].entered))
		if (scene_ended(&scene, number))
			broken("%s can't wait in %s", deed->name,
			       scene.state->name);
		else
			sched_yield();
	if (trace_await_waiting(pid) != 0)
		broken("%s does not sleep in %s", deed->name,
		       scene.state->name);
}

uint32_t scene_start(struct scene *s, const struct deed *deed)
{
	uint32_t number = HELPERS_FROM + s->helpers++;
	struct role role = role_for(number, deed);

	if (number >= PLAYERS)
		broken("more than %u players", PLAYERS);
	memset(&s->notes[number], 0, sizeof(s->notes[number]));
	s->pids[number] = trace_fork(role_body, &role);
	s->sleepers |= 1u << number;
	return number;
}

uint32_t scene_sleeper(struct scene *s, const struct deed *deed)
{
	uint32_t number = HELPERS_FROM + s->helpers++;

	if (number >= PLAYERS)
		broken("more than %u players", PLAYERS);
	start_sleeper(number, deed);
	s->sleepers |= 1u << number;
	return number;
}

void scene_start_waiter(const struct deed *deed)
{
	start_sleeper(WAITER, deed);
}

int scene_waiter_ended(void)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)scene.pids[WAITER], &info,
		      WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

int scene_await_waiter(void)
{
	int status = trace_reap(scene.pids[WAITER]);

	scene.pids[WAITER] = 0;
	if (status != 0 || !note_done(&scene, WAITER, NULL))
		return trouble("the waiter ended with status %x", status);
	return 0;
}

/* ---- Making and dropping ---------------------------------------------------- */

static int join(struct scene *s)
{
	stoa_peer self;

	return stoa_space_self(s->space, &self);
}

void scene_open(const struct subject *subject, enum form form,
		const char *path)
{
	struct scene *s = &scene;

	memset(s, 0, sizeof(*s));
	s->subject = subject;
	s->form = form;
	snprintf(s->path, sizeof(s->path), "%s", path);
	if (stoa_space_open(path, STOA_CREATE, &s->space) != 0 || join(s) != 0)
		broken("open space %s: %s", path, stoa_last_error());
	s->notes = mmap(NULL, PLAYERS * sizeof(*s->notes),
			PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	s->memory = mmap(NULL, subject->placed_bytes + 4096,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	if (s->notes == MAP_FAILED || s->memory == MAP_FAILED)
		broken("no memory");
	s->files = count_files(s->path);
}

void scene_close(void)
{
	scene_drop();
	stoa_space_close(scene.space);
}

void scene_make(uint32_t state)
{
	struct scene *s = &scene;
	int result;

	scene_drop();
	s->state = &s->subject->states[state];
	s->state_number = state;
	s->helpers = s->sleepers = 0;
	s->newcomer = s->died_asleep = 0;
	memset(s->deeds, 0, sizeof(s->deeds));
	memset(s->words, 0, sizeof(s->words));
	memset(s->notes, 0, PLAYERS * sizeof(*s->notes));
	snprintf(s->name, sizeof(s->name), "x%llu",
		 (unsigned long long)++s->serial);
	result = s->subject->make(s, &s->object);
	if (result != 0)
		broken("can't make %s: %d %s", s->name, result,
		       stoa_last_error());
	s->eye = s->object;
	if (s->state->set_up != NULL)
		s->state->set_up(s);
	prompt_begin(s);
}

static void unmap_images(struct scene *s)
{
	for (uint32_t i = 0; i < s->images_count; i++)
		if (s->form == FORM_NAMED)
			munmap(s->images[i].bytes, s->images[i].count);
	s->images_count = 0;
	free(s->seen);
	s->seen = NULL;
}

void scene_drop(void)
{
	struct scene *s = &scene;

	unmap_images(s);
	for (uint32_t i = 0; i < PLAYERS; i++)
		if (s->pids[i] > 0)
			trace_kill(s->pids[i]);
	memset(s->pids, 0, sizeof(s->pids));
	if (s->object == NULL)
		return;
	s->subject->close(s->object);
	s->object = NULL;
	if (s->form == FORM_NAMED)
		s->subject->unlink(s->space, s->name);
	if (s->form == FORM_NAMED)
		s->subject->unlink(s->space, SCENE_NEW_NAME);
}

/* ---- What others can see ------------------------------------------------------ */

static struct image image_of_file(const struct scene *s)
{
	struct image image;
	char path[128];
	struct stat status;
	int fd;

	snprintf(path, sizeof(path), "%s/%s.%s", s->path, s->name,
		 s->subject->kind ? s->subject->kind : s->subject->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) != 0)
		broken("can't observe %s", path);
	image.count = (size_t)status.st_size < IMAGE_MAX
			      ? (size_t)status.st_size
			      : IMAGE_MAX;
	image.bytes = mmap(NULL, image.count, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (image.bytes == MAP_FAILED)
		broken("can't observe %s", path);
	return image;
}

/* What this process has mapped of files of the space that have no name. */
static void find_unnamed(struct scene *s)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], start[80], rights[5];
	unsigned long from, to;

	snprintf(start, sizeof(start), "%s/#", s->path);
	while (maps != NULL && s->images_count < IMAGES &&
	       fgets(line, sizeof(line), maps) != NULL) {
		if (strstr(line, start) == NULL ||
		    sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 ||
		    strncmp(rights, "rw", 2) != 0)
			continue;
		s->images[s->images_count++] = (struct image){
			(unsigned char *)from,
			to - from < IMAGE_MAX ? to - from : IMAGE_MAX
		};
	}
	if (maps == NULL || s->images_count == 0)
		broken("can't observe what has no name");
	fclose(maps);
}

static size_t observed_bytes(const struct scene *s)
{
	size_t bytes = sizeof(*s->notes);

	for (uint32_t i = 0; i < s->images_count; i++)
		bytes += s->images[i].count;
	return bytes;
}

static void find_images(struct scene *s)
{
	switch (s->form) {
	case FORM_NAMED:
		s->images[0] = image_of_file(s);
		s->images_count = 1;
		break;
	case FORM_PLACED:
		s->images[0] = (struct image){ s->memory,
					       s->subject->placed_bytes };
		s->images_count = 1;
		break;
	default:
		find_unnamed(s);
	}
	s->seen = calloc(1, observed_bytes(s));
	if (s->seen == NULL)
		broken("can't observe %s", s->name);
}

static int differs(unsigned char *seen, const void *now, size_t bytes)
{
	if (memcmp(seen, now, bytes) == 0)
		return 0;
	memcpy(seen, now, bytes);
	return 1;
}

/* The object, and the victim's note. (The first time, all is new.) */
int scene_observe(void *context)
{
	struct scene *s = context;
	unsigned char *seen;
	int changed = 0;

	if (s->seen == NULL)
		find_images(s);
	seen = s->seen;
	for (uint32_t i = 0; i < s->images_count; i++) {
		changed |= differs(seen, s->images[i].bytes,
				   s->images[i].count);
		seen += s->images[i].count;
	}
	return changed | differs(seen, s->notes, sizeof(*s->notes));
}
