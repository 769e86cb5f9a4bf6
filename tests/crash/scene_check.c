/* SPDX-License-Identifier: MIT */
/*
 * scene_check.c: the deeds that every noun has, and what must be true of any
 * object and its space after a death.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define SPARE_FILES 2u /* life files grow by shards */
#define STATUS_TROUBLE 9

/* ---- Deeds ------------------------------------------------------------------ */

static int64_t run_open(struct player *p)
{
	void *object;

	return p->scene->subject->open(p->space, p->scene->name, &object);
}

static int64_t run_make(struct player *p)
{
	struct scene other = *p->scene;
	void *object;

	snprintf(other.name, sizeof(other.name), SCENE_NEW_NAME);
	return other.subject->make(&other, &object);
}

static int64_t run_close(struct player *p)
{
	p->scene->subject->close(p->object);
	return 0;
}

static int64_t run_unlink(struct player *p)
{
	return p->scene->subject->unlink(p->space, p->scene->name);
}

static int64_t run_remove(struct player *p)
{
	return p->scene->subject->remove(p->object);
}

static int64_t run_stat(struct player *p)
{
	return p->scene->subject->stat(p->object);
}

static int64_t run_clean(struct player *p)
{
	return stoa_space_clean(p->space, 0, NULL, NULL);
}

static int visit_user(const struct stoa_user *user, void *context)
{
	(void)user;
	(void)context;
	return 0;
}

static int64_t run_users(struct player *p)
{
	return stoa_space_each_user(p->space, p->scene->name, visit_user,
				    NULL);
}

const struct deed common_deeds[] = {
	{ "open", DEED_NAMED | DEED_REPAIRS, 0, NULL, run_open, NULL },
	{ "make", DEED_NAMED, 0, NULL, run_make, NULL },
	{ "close", DEED_CLOSES, 0, NULL, run_close, NULL },
	{ "unlink", DEED_NAMED | DEED_UNLINKS, 0, NULL, run_unlink, NULL },
	{ "remove", DEED_REMOVES | DEED_UNLINKS, 0, NULL, run_remove, NULL },
	{ "stat", 0, 0, NULL, run_stat, NULL },
	{ "users", DEED_NAMED, 0, NULL, run_users, NULL },
	{ "clean", DEED_NAMED | DEED_REPAIRS, 0, NULL, run_clean, NULL }
};

const uint32_t common_deeds_count =
	sizeof(common_deeds) / sizeof(common_deeds[0]);

/* ---- Names -------------------------------------------------------------------- */

static unsigned flags_of(const struct scene *s)
{
	unsigned flags = 0;

	for (uint32_t i = VICTIM; i <= SECOND; i++)
		flags |= s->deeds[i] != NULL ? s->deeds[i]->flags : 0;
	return flags;
}

static int returned_with(const struct scene *s, unsigned flag)
{
	for (uint32_t i = VICTIM; i <= SECOND; i++)
		if (note_done(s, i, NULL) && s->deeds[i]->flags & flag)
			return 1;
	return 0;
}

/* An object of that name can be made, works, and can be unlinked. */
static int check_makes(struct scene *s, const char *name)
{
	struct scene other = *s;
	void *object = NULL;
	int result;

	snprintf(other.name, sizeof(other.name), "%s", name);
	result = s->subject->make(&other, &object);
	if (result != 0)
		return trouble("make %s: %d %s", name, result,
			       stoa_last_error());
	result = s->subject->stat(object);
	s->subject->close(object);
	if (result < 0)
		return trouble("stat %s: %d", name, result);
	result = s->subject->unlink(s->space, name);
	return result == 0 ? 0 : trouble("unlink %s: %d", name, result);
}

/* The one that a victim may have been making is whole or not there. */
static int check_new(struct scene *s)
{
	void *object = NULL;
	int result = s->subject->open(s->space, SCENE_NEW_NAME, &object);

	if (result == -ENOENT)
		return check_makes(s, SCENE_NEW_NAME);
	if (result != 0)
		return trouble("open new: %d %s", result, stoa_last_error());
	result = s->subject->stat(object);
	s->subject->close(object);
	if (result < 0)
		return trouble("stat new: %d %s", result, stoa_last_error());
	result = s->subject->unlink(s->space, SCENE_NEW_NAME);
	if (result != 0)
		return trouble("unlink new: %d", result);
	return check_makes(s, SCENE_NEW_NAME);
}

/* The name is there and good, or gone and free. */
static int check_name(struct scene *s, int must_be_gone)
{
	void *object = NULL;
	int result = s->subject->open(s->space, s->name, &object);

	if (result == 0) {
		s->subject->close(object);
		return must_be_gone ? trouble("the name is still there") : 0;
	}
	if (result != -ENOENT && result != -EIDRM)
		return trouble("open: %d %s", result, stoa_last_error());
	if (result == -EIDRM && s->subject->unlink(s->space, s->name) != 0)
		return trouble("what is removed can't be unlinked");
	return check_makes(s, s->name);
}

/* 1: it is removed, and nothing else is to be checked. */
static int check_removal(struct scene *s)
{
	int removed = returned_with(s, DEED_REMOVES);
	int result = s->subject->stat(s->object);

	if (result < 0 && result != -EIDRM)
		return trouble("stat: %d %s", result, stoa_last_error());
	if (result == -EIDRM && !(flags_of(s) & DEED_REMOVES))
		return trouble("it is removed, but nobody removed it");
	if (result != -EIDRM && removed)
		return trouble("removed, but goes on");
	if (s->form == FORM_NAMED && flags_of(s) & DEED_UNLINKS &&
	    check_name(s, returned_with(s, DEED_UNLINKS)) != 0)
		return -1;
	return result == -EIDRM;
}

/* ---- The space ------------------------------------------------------------------ */

static int check_listing(struct scene *s)
{
	struct stoa_object_info info;
	int result = stoa_space_find(s->space, s->name, &info);

	if (result == -ENOENT && flags_of(s) & DEED_UNLINKS)
		return 0;
	if (result != 0)
		return trouble("find: %d %s", result, stoa_last_error());
	if (info.health != 0)
		return trouble("the space lists it with health %d",
			       info.health);
	if (info.users != 1 || info.dead != 0 || info.waiting != 0)
		return trouble("the space lists it with %u users, %u dead, %u "
			       "waiting", info.users, info.dead, info.waiting);
	return 0;
}

static int check_space(struct scene *s)
{
	int result = stoa_space_clean(s->space, 0, NULL, NULL);

	if (result < 0)
		return trouble("clean: %d %s", result, stoa_last_error());
	result = stoa_space_clean(s->space, 0, NULL, NULL);
	if (result != 0)
		return trouble("a second clean did %d things", result);
	if (s->form == FORM_NAMED && check_listing(s) != 0)
		return -1;
	if (count_files(s->path) > s->files + 1 + SPARE_FILES)
		return trouble("%u files are in the space, %u before",
			       count_files(s->path), s->files);
	return 0;
}

/* ---- All of it -------------------------------------------------------------------- */

/* Victims' calls succeed, or the noun's own oracle knows why not. */
static int check_common_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		int64_t result;

		if (note_done(s, i, &result) && result < 0 &&
		    s->deeds[i] >= common_deeds &&
		    s->deeds[i] < common_deeds + common_deeds_count)
			return trouble("the victim's %s gave %lld",
				       s->deeds[i]->name, (long long)result);
	}
	return 0;
}

/* Somebody else looks: another process, in the dead one's slot. */
static int check_as_newcomer(struct scene *s, uint32_t variant)
{
	pid_t pid = fork();
	int status = 0, result = 0;

	if (pid == 0) {
		survivor_start();
		prompt_begin(s);
		s->newcomer = 1;
		if (s->form == FORM_NAMED &&
		    s->subject->open(s->space, s->name, &s->eye) != 0)
			result = trouble("open: %s", stoa_last_error());
		if (result == 0)
			result = s->subject->check(s, variant);
		board->newcomer_ns = ready_ns(getpid());
		_exit(result == 0 ? 0 : STATUS_TROUBLE);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_TROUBLE)
		return -1;
	if (status != 0)
		survivor_ended(status);
	return 0;
}

/* 1: it is removed. */
static int check_inside(struct scene *s, uint32_t variant)
{
	int removed = check_removal(s), result;

	if (removed != 0)
		return removed;
	if (variant & 2 && stoa_space_clean(s->space, 0, NULL, NULL) < 0)
		return trouble("clean: %s", stoa_last_error());
	/* Without a name only those who inherit the handle can look. */
	if (variant & 1 && !(flags_of(s) & DEED_UNLINKS))
		result = check_as_newcomer(s, variant);
	else
		result = s->subject->check(s, variant);
	return result;
}

int scene_check(uint32_t variant, int thorough)
{
	struct scene *s = &scene;
	int64_t began = clock_ns(), spent;
	int result = check_common_results(s);

	board->newcomer_ns = 0;
	prompt_begin(s);
	if (result == 0)
		result = check_inside(s, variant);
	spent = clock_ns() - began - board->newcomer_ns -
		(ready_ns(getpid()) - s->ready_ns);
	if (spent > (int64_t)board->worst_ns)
		board->worst_ns = (uint64_t)spent;
	/* What is removed refuses the helpers, too. */
	if (result == 1)
		result = 0;
	else if (result == 0)
		result = scene_let_all_go(s);
	for (uint32_t i = 0; i < PLAYERS; i++)
		if (s->pids[i] > 0)
			trace_kill(s->pids[i]);
	memset(s->pids, 0, sizeof(s->pids));
	if (result == 0 && s->form == FORM_NAMED &&
	    (s->deeds[VICTIM] != NULL &&
	     strcmp(s->deeds[VICTIM]->name, "make") == 0))
		result = check_new(s);
	return result == 0 && thorough ? check_space(s) : result;
}
