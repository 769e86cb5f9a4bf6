/* SPDX-License-Identifier: MIT */
/*
 * port.c: the port as a subject. The survivor has calls under way, one of
 * which a victim takes, answers, returns; victims have calls of their own. At
 * the end each of the survivor's requests was executed at most once, and
 * answered exactly once or reset; of the dead's nothing is left; and as many
 * calls can be started as ever.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define CALLS 3u
#define CELLS (2 * CALLS)
#define COPY_BYTES 128u
#define SMALL 24u
#define MAPPED 300u
#define TICKETS 2u
#define GIFTS 4u
#define OF_PLAYER(number) (100u + (number))
#define OF_GIFT 200u
#define BY_EYE 99u
#define OPEN_FLAGS (STOA_READ | STOA_WRITE)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

HANDLE_PLUMBING(port)

enum situation_number {
	EMPTY, WAITING, TAKEN_DEAD, ANSWERED_DEAD, CALLER_DEAD, KEPT_DEAD,
	CALLER_TAKEN
};

#define IN(state) (UINT64_C(1) << (state))
#define WITH_CALLS (IN(WAITING) | IN(TAKEN_DEAD) | IN(ANSWERED_DEAD))

/* The survivor's calls, in its own memory. */
static struct stoa_port_ticket tickets[TICKETS + GIFTS];
static uint32_t ids[TICKETS + GIFTS];
static uint32_t tickets_count;

static int plumb_stat(void *object)
{
	struct stoa_port_status status = { .size = sizeof(status) };

	return stoa_port_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_port_attributes attributes = {
		.size = sizeof(attributes),
		.calls = CALLS,
		.copy_bytes = COPY_BYTES,
		.grant_bytes = 4096
	};
	struct stoa_port *port;
	int result = stoa_port_open(s->space, s->name,
				    OPEN_FLAGS | STOA_CREATE | STOA_EXCLUSIVE,
				    0600, &attributes, &port);

	if (result != 0)
		return result;
	if (s->object == NULL) /* the scene's own */
		tickets_count = 0;
	*ret_object = port;
	return 0;
}

/* ---- Deeds -------------------------------------------------------------------- */

static unsigned char pattern[MAPPED];

static int start(void *object, uint32_t id, size_t bytes,
		 struct stoa_port_ticket *ticket)
{
	memset(pattern, (int)id, bytes);
	return stoa_port_start(object, pattern, bytes, STOA_NOW, ticket);
}

/* What a player is about; it is one process, and does one deed. */
static struct stoa_port_ticket own;
static struct stoa_port_request taken;
static struct stoa_port_reply answer;
static void *place;

static void note_taken(struct player *p)
{
	const unsigned char *data = taken.data;

	atomic_store(&p->note->words[0], data[0]);
}

static int64_t run_start(struct player *p)
{
	return start(p->object, OF_PLAYER(p->number), SMALL, &own);
}

static int64_t run_start_mapped(struct player *p)
{
	return start(p->object, OF_PLAYER(p->number), MAPPED, &own);
}

static int64_t run_reserve(struct player *p)
{
	return stoa_port_reserve(p->object, MAPPED, 0, STOA_NOW, &own, &place);
}

static void prepare_reserved(struct player *p)
{
	if (run_reserve(p) != 0)
		player_skip();
	memset(place, (int)OF_PLAYER(p->number), MAPPED);
}

static int64_t run_commit(struct player *p)
{
	return stoa_port_commit(p->object, &own, MAPPED);
}

static void prepare_started(struct player *p)
{
	if (run_start(p) != 0)
		player_skip();
}

static int64_t run_cancel(struct player *p)
{
	return stoa_port_cancel(p->object, &own);
}

static int64_t run_take(struct player *p)
{
	int result = stoa_port_take(p->object, NULL, 0, STOA_NOW, &taken);

	if (result == 0)
		note_taken(p);
	return result;
}

static void prepare_taken(struct player *p)
{
	if (run_take(p) != 0)
		player_skip();
}

static int64_t reply_with(struct player *p, size_t bytes)
{
	memset(pattern, (int)OF_PLAYER(p->number), bytes);
	return stoa_port_reply(p->object, &taken, 0, pattern, bytes, STOA_NOW);
}

static int64_t run_reply(struct player *p)
{
	return reply_with(p, SMALL);
}

static int64_t run_reply_mapped(struct player *p)
{
	return reply_with(p, MAPPED);
}

static int64_t run_return(struct player *p)
{
	return stoa_port_return(p->object, &taken);
}

static int64_t run_serve(struct player *p)
{
	int64_t result = run_take(p);

	return result ? result : run_reply(p);
}

static int64_t run_pass_on(struct player *p)
{
	int64_t result = run_take(p);

	return result ? result : run_return(p);
}

static int64_t run_close(struct player *p)
{
	stoa_port_close(p->object);
	return 0;
}

/* A call of its own, which it answers itself, so that there is no other. */
static void prepare_answered(struct player *p)
{
	prepare_started(p);
	for (uint32_t i = 0; i <= CELLS; i++) {
		const unsigned char *data;

		prepare_taken(p);
		data = taken.data;
		if (data[0] == OF_PLAYER(p->number))
			break;
		if (stoa_port_return(p->object, &taken) != 0)
			player_skip();
	}
	if (run_reply_mapped(p) != 0)
		player_skip();
}

static int64_t run_wait(struct player *p)
{
	return stoa_port_wait(p->object, &own, STOA_NOW, &answer);
}

static void prepare_waited(struct player *p)
{
	prepare_answered(p);
	if (run_wait(p) != 0)
		player_skip();
}

static int64_t run_finish(struct player *p)
{
	return stoa_port_finish(p->object, &own, &answer);
}

static int64_t run_caller(struct player *p)
{
	struct stoa_port_caller caller;

	return stoa_port_caller(p->object, &taken, &caller);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait wait = {
		.kind = STOA_READABLE,
		.object = stoa_port_object(p->object)
	};

	return stoa_wait_any(&wait, 1, STOA_NOW);
}

static int64_t wait_take(struct player *p)
{
	int result = stoa_port_take(p->object, NULL, 0, STOA_FOREVER, &taken);

	if (result == 0)
		note_taken(p);
	return result;
}

static int64_t wait_call(struct player *p)
{
	unsigned char reply[SMALL];

	memset(pattern, (int)OF_PLAYER(p->number), SMALL);
	return stoa_port_call(p->object, pattern, SMALL, reply, sizeof(reply),
			      STOA_FOREVER);
}

enum deed_number {
	START, START_MAPPED, RESERVE, COMMIT, CANCEL, TAKE, REPLY,
	REPLY_MAPPED, RETURN, SERVE, PASS_ON, CLOSE_TAKEN, CLOSE_STARTED, WAIT, FINISH,
	ASK_CALLER, WAIT_TAKE, WAIT_CALL, DEEDS
};

#define OFTEN (DEED_CORE | DEED_REPAIRS)

static const struct deed deeds[] = {
	[START] = { "start", OFTEN, 0, NULL, run_start, NULL },
	[START_MAPPED] = { "start-mapped", DEED_CORE, 0, NULL,
			   run_start_mapped, NULL },
	[RESERVE] = { "reserve", 0, IN(EMPTY), NULL, run_reserve, NULL },
	[COMMIT] = { "commit", DEED_CORE, IN(EMPTY) | IN(WAITING),
		     prepare_reserved, run_commit, NULL },
	[CANCEL] = { "cancel", DEED_CORE, IN(EMPTY) | IN(WAITING),
		     prepare_started, run_cancel, NULL },
	[TAKE] = { "take", OFTEN, 0, NULL, run_take, NULL },
	[REPLY] = { "reply", DEED_CORE, WITH_CALLS, prepare_taken, run_reply,
		    NULL },
	[REPLY_MAPPED] = { "reply-mapped", DEED_CORE,
			   IN(WAITING) | IN(TAKEN_DEAD),
			   prepare_taken, run_reply_mapped, NULL },
	[RETURN] = { "return", DEED_CORE, WITH_CALLS, prepare_taken, run_return,
		     NULL },
	[SERVE] = { "serve", 0, IN(EMPTY), NULL, run_serve, NULL },
	[PASS_ON] = { "pass-on", 0, IN(EMPTY), NULL, run_pass_on, NULL },
	[CLOSE_TAKEN] = { "close-taken", DEED_CORE | DEED_CLOSES, WITH_CALLS,
			  prepare_taken, run_close, NULL },
	[CLOSE_STARTED] = { "close-started", DEED_CORE | DEED_CLOSES,
			    IN(EMPTY), prepare_started, run_close, NULL },
	[WAIT] = { "wait", DEED_CORE, IN(EMPTY), prepare_answered, run_wait,
		   NULL },
	[FINISH] = { "finish", DEED_CORE, IN(EMPTY), prepare_waited, run_finish,
		     NULL },
	[WAIT_TAKE] = { "take-forever", DEED_WAITS, 0, NULL, wait_take, NULL },
	[WAIT_CALL] = { "call-forever", DEED_WAITS, 0, NULL, wait_call, NULL },
	[ASK_CALLER] = { "caller", 0, IN(WAITING), prepare_taken, run_caller,
			 NULL },
	[DEEDS] = { "wait-any", 0, 0, NULL, run_wait_any, NULL }
};

/* ---- States ------------------------------------------------------------------- */

enum word { GIVEN, GIVEN_TAKEN };

static void put_calls(struct scene *s)
{
	for (tickets_count = 0; tickets_count < TICKETS; tickets_count++) {
		ids[tickets_count] = 1 + tickets_count;
		if (start(s->object, 1 + tickets_count, SMALL,
			  &tickets[tickets_count]) != 0)
			broken("start: %s", stoa_last_error());
	}
}

static int64_t take_and_reply(struct player *p)
{
	int64_t result = run_take(p);

	return result ? result : run_reply_mapped(p);
}

static const struct deed taking = { "taking", 0, 0, NULL, run_take, NULL };
static const struct deed answering = {
	"answering", 0, 0, NULL, take_and_reply, NULL
};
static const struct deed calling = {
	"calling", 0, 0, NULL, run_start_mapped, NULL
};

static void set_taken_dead(struct scene *s)
{
	put_calls(s);
	scene_dead(s, &taking);
}

static void set_answered_dead(struct scene *s)
{
	put_calls(s);
	scene_dead(s, &answering);
}

static void set_caller_dead(struct scene *s)
{
	scene_dead(s, &calling);
}

/* One that called, was answered, and keeps its place. */
static int64_t call_and_keep(struct player *p)
{
	prepare_answered(p);
	return run_wait(p);
}

static const struct deed keeping = {
	"keeping", 0, 0, NULL, call_and_keep, NULL
};

static void set_kept_dead(struct scene *s)
{
	scene_dead(s, &keeping);
}

/* The survivor has the request of one that died since. */
static struct stoa_port_request survivors;

static void set_caller_taken(struct scene *s)
{
	uint32_t helper = scene_helper(s, &calling);
	int result = stoa_port_take(s->object, NULL, 0, STOA_NOW, &survivors);

	if (result != 0)
		broken("take: %d %s", result, stoa_last_error());
	trace_kill(s->pids[helper]);
	s->pids[helper] = 0;
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[WAITING] = { "waiting", put_calls },
	[TAKEN_DEAD] = { "taken-dead", set_taken_dead },
	[ANSWERED_DEAD] = { "answered-dead", set_answered_dead },
	[CALLER_DEAD] = { "caller-dead", set_caller_dead },
	[KEPT_DEAD] = { "kept-dead", set_kept_dead },
	[CALLER_TAKEN] = { "caller-taken", set_caller_taken }
};

/* ---- Oracle ------------------------------------------------------------------- */

struct tally {
	uint32_t served[256]; /* by the eye */
};

static int all_are(const unsigned char *data, uint64_t bytes)
{
	for (uint64_t i = 1; i < bytes; i++)
		if (data[i] != data[0])
			return 0;
	return bytes > 0;
}

/* Serves all that there is: whole, and each once. */
static int drain(struct scene *s, struct tally *tally)
{
	struct stoa_port_request request;
	int result;

	while ((result = stoa_port_take(s->eye, NULL, 0, STOA_NOW, &request)) ==
	       0) {
		const unsigned char *data = request.data;
		uint32_t id = data[0];

		if (!all_are(data, request.bytes) ||
		    request.bytes != (request.mapped ? MAPPED : SMALL))
			return trouble("request %u has %llu bytes or is torn",
				       id, (unsigned long long)request.bytes);
		if (++tally->served[id] > 1)
			return trouble("request %u came twice", id);
		memset(pattern, BY_EYE, SMALL);
		result = stoa_port_reply(s->eye, &request, 0, pattern, SMALL,
					 STOA_NOW);
		if (result != 0 && result != -ECANCELED)
			return trouble("reply: %d %s", result,
				       stoa_last_error());
	}
	return result == -EAGAIN ? 0 : trouble("take: %d %s", result,
					       stoa_last_error());
}

static int is_one_of(const struct deed *deed, uint64_t numbers)
{
	return deed >= deeds && deed < &deeds[DEEDS] &&
	       IN(deed - deeds) & numbers;
}

#define TAKES (IN(TAKE) | IN(REPLY) | IN(REPLY_MAPPED) | IN(RETURN) | \
	       IN(CLOSE_TAKEN) | IN(ASK_CALLER) | IN(WAIT_TAKE))

/* What a player may have made of the request `id`: it is known to have taken
 * that one, or may have. */
struct share {
	int took;    /* certainly, and didn't return it */
	int maybe;   /* or may have */
	int replied; /* certainly */
	int may_reply;
};

static void add_share(const struct scene *s, uint32_t player, uint32_t id,
		      struct share *share)
{
	const struct deed *deed = s->deeds[player];
	uint64_t which = atomic_load(&s->notes[player].words[0]);
	int64_t result = 0;
	int done = note_done(s, player, &result);
	int other = which != 0 && which != id;

	if (deed == &taking || deed == &answering) {
		share->took |= which == id;
		share->replied |= which == id && deed == &answering;
		return;
	}
	if (other || !is_one_of(deed, TAKES))
		return;
	share->maybe |= !done || result == 0;
	if (is_one_of(deed, IN(REPLY) | IN(REPLY_MAPPED))) {
		share->may_reply = 1;
		share->replied |= done && result == 0;
		share->took = 1;
	} else if (is_one_of(deed, IN(TAKE) | IN(WAIT_TAKE))) {
		share->took |= which == id;
	} else if (is_one_of(deed, IN(CLOSE_TAKEN) | IN(ASK_CALLER))) {
		share->took = 1;
	}
}

/* Then a clean may remove a mapped reply of the dead, which is a reset. */
static int name_gone(const struct scene *s)
{
	struct stoa_object_info info;

	return stoa_space_find(s->space, s->name, &info) == -ENOENT;
}

/* A call that ended in `result`, with a reply by `by`. */
static int settle(const struct scene *s, uint32_t id, int result, uint32_t by,
		  const struct tally *tally)
{
	struct share share = { 0 };

	for (uint32_t i = 0; i < PLAYERS; i++)
		if (s->deeds[i] != NULL)
			add_share(s, i, id, &share);
	if (tally->served[id] && (share.took || share.replied))
		return trouble("request %u was served twice", id);
	if (result == -ECONNRESET)
		return share.replied && !name_gone(s) ? trouble("call %u: its reply is lost", id)
		       : share.took || share.maybe
			       ? 0
			       : trouble("call %u was reset by nobody", id);
	if (by == BY_EYE)
		return tally->served[id] ? 0 : trouble("call %u: a wrong reply",
						       id);
	return (share.replied || share.may_reply) && !tally->served[id]
		       ? 0
		       : trouble("call %u: a reply of %u", id, by);
}

static int collect(struct scene *s, const struct tally *tally)
{
	for (uint32_t i = 0; i < tickets_count; i++) {
		struct stoa_port_reply reply;
		uint32_t by = 0;
		int result = stoa_port_wait(s->object, &tickets[i],
					    stoa_deadline_in(patient_ns()),
					    &reply);

		if (result == 0) {
			const unsigned char *data = reply.data;

			by = data[0];
			if (!all_are(data, reply.bytes))
				return trouble("call %u: a torn reply",
					       ids[i]);
			result = stoa_port_finish(s->object, &tickets[i],
						  &reply);
			if (result != 0)
				return trouble("finish: %d", result);
		} else if (result != -ECONNRESET) {
			return trouble("call %u ended with %d %s", ids[i],
				       result, stoa_last_error());
		}
		if (settle(s, ids[i], result, by, tally) != 0)
			return -1;
	}
	return 0;
}

static int count_dead(const struct stoa_port_under_way *call, void *context)
{
	struct scene *s = context;

	if (call->phase == 2 && !stoa_space_alive(s->space, call->server))
		return trouble("a dead server has a request still");
	if (s->state_number != CALLER_TAKEN &&
	    !stoa_space_alive(s->space, call->client))
		return trouble("a dead client's call is there still");
	return 0;
}

/* As many calls as ever, but for those that the survivor has. */
static int check_capacity(struct scene *s)
{
	struct stoa_port_ticket all[CELLS + 1];
	uint32_t started = 0, wanted = CELLS;
	struct tally tally = { 0 };

	if (s->newcomer)
		wanted -= tickets_count +
			  (s->state_number == CALLER_TAKEN);
	while (started <= CELLS &&
	       start(s->eye, 150 + started, SMALL, &all[started]) == 0)
		started++;
	if (started < wanted || started > CELLS)
		return trouble("%u calls can be started, not %u", started,
			       wanted);
	if (drain(s, &tally) != 0)
		return -1;
	for (uint32_t i = 0; i < started; i++) {
		struct stoa_port_reply reply;
		int result = stoa_port_wait(s->eye, &all[i], STOA_NOW, &reply);

		if (result == 0)
			result = stoa_port_finish(s->eye, &all[i], &reply);
		if (result != 0 || tally.served[150 + i] != 1)
			return trouble("call %u of all: %d", i, result);
	}
	return 0;
}

static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (!is_one_of(deed, ~UINT64_C(0)) ||
		    !note_done(s, i, &result) || result >= 0)
			continue;
		if (result == -EAGAIN &&
		    is_one_of(deed, IN(TAKE) | IN(SERVE) | IN(PASS_ON)))
			continue;
		if (result == -ECONNRESET && is_one_of(deed, IN(WAIT_CALL)))
			continue;
		if (s->deeds[SECOND] != NULL)
			continue;
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

static int check(struct scene *s, uint32_t variant)
{
	struct tally tally = { 0 };
	int result;

	if (check_results(s) != 0)
		return -1;
	/* Some meet the dead one by one, others after a burial of all. */
	if (variant & 1 && drain(s, &tally) != 0)
		return -1;
	result = stoa_space_clean(s->space, 0, NULL, NULL);
	if (result < 0)
		return trouble("clean: %d", result);
	if (drain(s, &tally) != 0)
		return -1;
	if (stoa_port_each_call(s->eye, count_dead, s) < 0)
		return -1;
	if (!s->newcomer && collect(s, &tally) != 0)
		return -1;
	if (!s->newcomer && s->state_number == CALLER_TAKEN) {
		result = stoa_port_reply(s->object, &survivors, 0, "", 0,
					 STOA_NOW);
		if (result != -ECANCELED)
			return trouble("reply to the dead: %d", result);
	}
	return check_capacity(s);
}

/* ---- Blocked -------------------------------------------------------------------- */

static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_port_status status = { .size = sizeof(status) };

	if (stoa_port_stat(s->object, &status) != 0)
		return 0;
	return wait == &deeds[WAIT_TAKE] ? status.waiting == 0 :
	                                   status.waiting != 0;
}

static int give(struct scene *s, const struct deed *wait)
{
	struct stoa_port_request request;
	int result;

	if (wait == &deeds[WAIT_TAKE]) {
		uint32_t n = tickets_count++;

		ids[n] = OF_GIFT + n;
		result = start(s->object, ids[n], SMALL, &tickets[n]);
		return result == 0 ? 0 : trouble("give: %d", result);
	}
	result = stoa_port_take(s->object, NULL, 0, STOA_NOW, &request);
	if (result == 0) {
		memset(pattern, OF_GIFT, SMALL);
		result = stoa_port_reply(s->object, &request, 0, pattern, SMALL,
					 STOA_NOW);
	}
	return result == 0 ? 0 : trouble("give: %d", result);
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_TAKE], NULL, EMPTY, NULL },
	{ &deeds[WAIT_CALL], NULL, EMPTY, NULL },
	{ &deeds[WAIT_TAKE], &deeds[START], EMPTY, NULL },
	{ &deeds[WAIT_CALL], &deeds[TAKE], EMPTY, NULL },
	{ &deeds[WAIT_CALL], &deeds[SERVE], EMPTY, NULL },
	{ &deeds[WAIT_CALL], &deeds[PASS_ON], EMPTY, NULL }
};

const struct subject port_subject = {
	.name = "port",
	.states = situations,
	.states_count = ARRAY_SIZE(situations),
	.deeds = deeds,
	.deeds_count = ARRAY_SIZE(deeds),
	.wakings = wakings,
	.wakings_count = ARRAY_SIZE(wakings),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_port_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
