/* SPDX-License-Identifier: MIT */
/*
 * topic.c: the topic as a subject. Each message is of one byte value, its id,
 * so that what a subscriber gets shows which are whole; and its sequence shows
 * whether one is missing. A living subscriber sees each committed message once,
 * in order, or a counted loss where the oldest is overwritten; of the dead, no
 * message that they had not committed; and all places and slots are whole again.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define KEPT 4u
#define PLACES 8u
#define SLOTS 4u
#define SMALL 60u
#define LARGE 300u
#define OVER_COUNT 40u
#define OF_STATE(sequence) (1u + (uint32_t)(sequence) % 90u)
#define OF_PLAYER(number) (100u + (number))
#define OF_GIFT 200u
#define MANY 64u
#define OPEN_FLAGS (STOA_READ | STOA_WRITE)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

HANDLE_PLUMBING(topic)

enum situation_number {
	EMPTY, SOME, FULL, DEAD_OWNER, DEAD_SLOW, HELD, OVER, OVER_DEAD
};

#define IN(state) (UINT64_C(1) << (state))
#define OVERWRITES (IN(OVER) | IN(OVER_DEAD))
#define THERE_IS (IN(SOME) | IN(FULL) | IN(DEAD_SLOW) | OVERWRITES)

static int overwrites(const struct scene *s)
{
	return (IN(s->state_number) & OVERWRITES) != 0;
}

static int plumb_stat(void *object)
{
	struct stoa_topic_stat stat = { .size = sizeof(stat) };

	return stoa_topic_stat(object, &stat);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_topic_attributes attributes = {
		.size = sizeof(attributes),
		.overrun = overwrites(s) ? STOA_TOPIC_OVERWRITE :
					   STOA_TOPIC_WAIT,
		.capacity = KEPT,
		.max_message_bytes = LARGE,
		.total_bytes = SLOTS * LARGE
	};
	struct stoa_topic *topic;
	int result = stoa_topic_open(s->space, s->name,
				     OPEN_FLAGS | STOA_CREATE | STOA_EXCLUSIVE,
				     0600, &attributes, &topic);

	if (result == 0)
		*ret_object = topic;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static unsigned char pattern[LARGE];

static int64_t publish(void *object, uint32_t id, size_t bytes,
		       struct stoa_deadline deadline)
{
	memset(pattern, (int)id, bytes);
	return stoa_topic_publish(object, pattern, bytes, deadline);
}

static int64_t run_publish(struct player *p)
{
	return publish(p->object, OF_PLAYER(p->number), SMALL, STOA_NOW);
}

static int64_t run_publish_large(struct player *p)
{
	return publish(p->object, OF_PLAYER(p->number), LARGE, STOA_NOW);
}

static struct stoa_topic_message reserved[PLAYERS], taken[PLAYERS];

static int64_t reserve(struct player *p, size_t bytes)
{
	struct stoa_topic_message *message = &reserved[p->number];
	int result = stoa_topic_reserve(p->object, bytes, STOA_NOW, message);

	if (result == 0)
		memset(message->data, (int)OF_PLAYER(p->number), bytes);
	return result;
}

static int64_t run_reserve(struct player *p)
{
	return reserve(p, SMALL);
}

static int64_t run_reserve_large(struct player *p)
{
	return reserve(p, LARGE);
}

static void prepare_small(struct player *p)
{
	if (reserve(p, SMALL) != 0)
		player_skip();
}

static void prepare_large(struct player *p)
{
	if (reserve(p, LARGE) != 0)
		player_skip();
}

static int64_t run_commit(struct player *p)
{
	return stoa_topic_commit(p->object, &reserved[p->number], STOA_NOW);
}

static int64_t run_cancel(struct player *p)
{
	return stoa_topic_cancel(p->object, &reserved[p->number]);
}

static void finish_commit(struct player *p)
{
	if (stoa_topic_commit(p->object, &reserved[p->number],
			      stoa_deadline_in(patient_ns())) != 0)
		_exit(1);
}

static void prepare_oldest(struct player *p)
{
	if (stoa_topic_seek(p->object, STOA_TOPIC_OLDEST) != 0)
		player_skip();
}

static int64_t run_receive(struct player *p)
{
	return stoa_topic_receive(p->object, p->note->bytes, LARGE, STOA_NOW,
				  NULL);
}

static int64_t run_receive_all(struct player *p)
{
	int64_t result;

	while ((result = run_receive(p)) >= 0)
		;
	return result == -EAGAIN ? 0 : result;
}

static int64_t run_take(struct player *p)
{
	struct stoa_topic_message *message = &taken[p->number];
	int result = stoa_topic_take(p->object, STOA_NOW, message);

	if (result == 0)
		memcpy(p->note->bytes, message->data, message->bytes);
	return result;
}

static void prepare_taken(struct player *p)
{
	prepare_oldest(p);
	if (run_take(p) != 0)
		player_skip();
}

static int64_t run_release(struct player *p)
{
	return stoa_topic_release(p->object, &taken[p->number]);
}

static int64_t run_latest(struct player *p)
{
	return stoa_topic_latest(p->object, p->note->bytes, LARGE, NULL);
}

static int64_t run_seek(struct player *p)
{
	return stoa_topic_seek(p->object, STOA_TOPIC_OLDEST);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait waits[] = {
		{ .kind = STOA_READABLE,
		  .object = stoa_topic_object(p->object) },
		{ .kind = STOA_WRITABLE,
		  .object = stoa_topic_object(p->object) }
	};

	return stoa_wait_any(waits, ARRAY_SIZE(waits), STOA_NOW);
}

static int64_t wait_receive(struct player *p)
{
	return stoa_topic_receive(p->object, p->note->bytes, LARGE,
				  STOA_FOREVER, NULL);
}

static int64_t wait_publish(struct player *p)
{
	return publish(p->object, OF_PLAYER(p->number), SMALL, STOA_FOREVER);
}

/* Helpers of states; some die, some wait until they are let go. */
static const struct deed own_small = { "own-small", 0, 0, NULL, run_reserve,
				       finish_commit };
static const struct deed own_large = { "own-large", 0, 0, NULL,
				       run_reserve_large, finish_commit };
static const struct deed be_slow = { "be-slow", 0, 0, prepare_oldest,
				     run_latest, NULL };

enum deed_number {
	PUBLISH, PUBLISH_LARGE, RESERVE, RESERVE_LARGE, COMMIT, COMMIT_LARGE,
	CANCEL, CANCEL_LARGE, RECEIVE, RECEIVE_ALL, TAKE, RELEASE, LATEST, SEEK,
	WAIT_ANY, WAIT_RECEIVE, WAIT_PUBLISH, DEEDS
};

#define OFTEN (DEED_CORE | DEED_REPAIRS)

static const struct deed deeds[] = {
	[PUBLISH] = { "publish", OFTEN, 0, NULL, run_publish, NULL },
	[PUBLISH_LARGE] = { "publish-large", OFTEN, 0, NULL, run_publish_large,
			    NULL },
	[RESERVE] = { "reserve", 0, 0, NULL, run_reserve, NULL },
	[RESERVE_LARGE] = { "reserve-large", DEED_REPAIRS, 0, NULL,
			    run_reserve_large, NULL },
	[COMMIT] = { "commit", DEED_CORE, ~IN(FULL), prepare_small, run_commit,
		     NULL },
	[COMMIT_LARGE] = { "commit-large", DEED_CORE, ~IN(FULL), prepare_large,
			   run_commit, NULL },
	[CANCEL] = { "cancel", DEED_CORE, ~IN(FULL), prepare_small, run_cancel,
		     NULL },
	[CANCEL_LARGE] = { "cancel-large", 0, ~IN(FULL), prepare_large,
			   run_cancel, NULL },
	[RECEIVE] = { "receive", OFTEN, 0, prepare_oldest, run_receive, NULL },
	[RECEIVE_ALL] = { "receive-all", DEED_CORE, THERE_IS, prepare_oldest,
			  run_receive_all, NULL },
	[TAKE] = { "take", DEED_CORE, 0, prepare_oldest, run_take, NULL },
	[RELEASE] = { "release", DEED_CORE, THERE_IS, prepare_taken,
		      run_release, NULL },
	[LATEST] = { "latest", 0, THERE_IS, NULL, run_latest, NULL },
	[SEEK] = { "seek", DEED_CORE, 0, NULL, run_seek, NULL },
	[WAIT_ANY] = { "wait-any", 0, 0, NULL, run_wait_any, NULL },
	[WAIT_RECEIVE] = { "wait-receive", DEED_WAITS, 0, NULL, wait_receive,
			   NULL },
	[WAIT_PUBLISH] = { "wait-publish", DEED_WAITS, 0, NULL, wait_publish,
			   NULL }
};

/* ---- States ------------------------------------------------------------------- */

enum word { THERE, GIVEN };

/* Ids follow the sequence; large and small ones take turns. */
static int64_t put_one(struct scene *s, struct stoa_deadline deadline)
{
	uint64_t sequence = atomic_load(&s->words[THERE]);
	int64_t result = publish(s->object, OF_STATE(sequence),
				 sequence % 2 ? LARGE : SMALL, deadline);

	if (result == 0)
		atomic_store(&s->words[THERE], sequence + 1);
	return result;
}

static void put(struct scene *s, uint32_t count)
{
	while (count--)
		if (put_one(s, STOA_NOW) != 0)
			broken("publish: %s", stoa_last_error());
}

static void set_some(struct scene *s)
{
	put(s, 3);
}

static void set_full(struct scene *s)
{
	for (uint32_t i = 0; put_one(s, STOA_NOW) == 0; i++)
		if (i > MANY)
			broken("it never gets full");
	while (publish(s->object, OF_STATE(atomic_load(&s->words[THERE])), SMALL,
		       STOA_NOW) == 0)
		atomic_fetch_add(&s->words[THERE], 1);
}

static void set_dead_owner(struct scene *s)
{
	put(s, 2);
	scene_dead(s, &own_small);
	scene_dead(s, &own_large);
}

static void set_dead_slow(struct scene *s)
{
	put(s, 2);
	scene_dead(s, &be_slow);
}

static void set_held(struct scene *s)
{
	scene_helper(s, &own_small);
	scene_helper(s, &own_large);
}

static void set_over(struct scene *s)
{
	put(s, OVER_COUNT);
}

static void set_over_dead(struct scene *s)
{
	put(s, OVER_COUNT);
	scene_dead(s, &own_small);
	scene_dead(s, &own_large);
	scene_dead(s, &be_slow);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[SOME] = { "some", set_some },
	[FULL] = { "full", set_full },
	[DEAD_OWNER] = { "dead-owner", set_dead_owner },
	[DEAD_SLOW] = { "dead-slow", set_dead_slow },
	[HELD] = { "held", set_held },
	[OVER] = { "over", set_over },
	[OVER_DEAD] = { "over-dead", set_over_dead }
};

/* ---- Oracle ------------------------------------------------------------------- */

static int is_one_of(const struct deed *deed, uint64_t numbers)
{
	return deed >= deeds && deed < &deeds[DEEDS] &&
	       IN(deed - deeds) & numbers;
}

#define PUBLISHES (IN(PUBLISH) | IN(PUBLISH_LARGE) | IN(COMMIT) | \
		   IN(COMMIT_LARGE) | IN(WAIT_PUBLISH))
#define READS (IN(RECEIVE) | IN(TAKE) | IN(LATEST) | IN(WAIT_RECEIVE))

struct tally {
	uint32_t seen[256], least[256], most[256];
	uint64_t next, lost;
};

static int is_whole(const unsigned char *data, size_t bytes)
{
	if (bytes != SMALL && bytes != LARGE)
		return 0;
	for (size_t i = 1; i < bytes; i++)
		if (data[i] != data[0])
			return 0;
	return data[0] != 0;
}

/* One message as it came: in order, whole, and what was published there. */
static int count(struct scene *s, struct tally *tally,
		 const struct stoa_topic_message *message)
{
	const unsigned char *data = message->data;

	if (message->sequence != tally->next + message->lost)
		return trouble("message %llu came after %llu, with %llu lost",
			       (unsigned long long)message->sequence,
			       (unsigned long long)tally->next,
			       (unsigned long long)message->lost);
	if (message->lost != 0 && !overwrites(s))
		return trouble("%llu were lost",
			       (unsigned long long)message->lost);
	if (!is_whole(data, message->bytes))
		return trouble("message %llu is torn",
			       (unsigned long long)message->sequence);
	if (message->sequence < atomic_load(&s->words[THERE]) &&
	    data[0] != OF_STATE(message->sequence))
		return trouble("message %llu has id %u",
			       (unsigned long long)message->sequence, data[0]);
	if (message->sequence >= atomic_load(&s->words[THERE]))
		tally->seen[data[0]]++;
	tally->lost += message->lost;
	tally->next = message->sequence + 1;
	return 0;
}

static int drain(struct scene *s, struct tally *tally, uint32_t *ret_count)
{
	static unsigned char buffer[LARGE];
	struct stoa_topic_message message;
	uint32_t came = 0;
	ssize_t got;

	while ((got = stoa_topic_receive(s->eye, buffer, sizeof(buffer),
					 STOA_NOW, &message)) >= 0) {
		if (count(s, tally, &message) != 0)
			return -1;
		came++;
	}
	if (ret_count != NULL)
		*ret_count = came;
	return got == -EAGAIN ? 0 : trouble("receive: %zd %s", got,
					    stoa_last_error());
}

static void account(const struct scene *s, struct tally *tally)
{
	for (uint32_t i = VICTIM; i < PLAYERS; i++) {
		const struct deed *deed = s->deeds[i];
		uint32_t id = OF_PLAYER(i);
		int64_t result = 0;
		int done = note_done(s, i, &result);

		if (is_one_of(deed, PUBLISHES)) {
			tally->most[id] = !done || result == 0;
			tally->least[id] = done && result == 0;
		} else if (s->state_number == HELD && i >= HELPERS_FROM &&
			   i < HELPERS_FROM + s->helpers) {
			tally->most[id] = tally->least[id] = 1;
		}
	}
	tally->least[OF_GIFT] = tally->most[OF_GIFT] =
		(uint32_t)atomic_load(&s->words[GIVEN]);
}

static int settle(const struct scene *s, const struct tally *tally)
{
	for (uint32_t id = 0; id < 256; id++)
		if (tally->seen[id] < tally->least[id] ||
		    tally->seen[id] > tally->most[id])
			return trouble("id %u came %u times, not %u to %u", id,
				       tally->seen[id], tally->least[id],
				       tally->most[id]);
	if (tally->next < atomic_load(&s->words[THERE]))
		return trouble("only %llu of %llu came",
			       (unsigned long long)tally->next,
			       (unsigned long long)atomic_load(
				       &s->words[THERE]));
	return 0;
}

static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (!is_one_of(deed, ~UINT64_C(0)) ||
		    !note_done(s, i, &result))
			continue;
		if (result >= 0 && is_one_of(deed, READS) &&
		    !is_whole(s->notes[i].bytes, s->notes[i].bytes[SMALL] ?
							 LARGE : SMALL))
			return trouble("the victim's %s read what is torn",
				       deed->name);
		if (result >= 0 || result == -EAGAIN)
			continue; /* whether it was right is seen below */
		if (result == -ENOMSG && is_one_of(deed, IN(LATEST)))
			continue;
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

/* A refusal is right only if somebody else was in the way. */
static int check_refusals(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (!is_one_of(deed, PUBLISHES) || !note_done(s, i, &result) ||
		    result != -EAGAIN || s->state_number == FULL ||
		    s->deeds[SECOND] != NULL)
			continue;
		return trouble("the victim's %s found no room", deed->name);
	}
	return 0;
}

/* So many of that size go in at once, and come out again. */
static int check_fill(struct scene *s, struct tally *tally, size_t bytes,
		      uint32_t wanted)
{
	uint32_t went = 0, came = 0;
	uint64_t lost = tally->lost;
	int64_t result;

	/* The dead are met on the way: the first may wait for a patrol. */
	while (went < wanted &&
	       publish(s->eye, OF_GIFT, bytes, stoa_deadline_in(patient_ns())) == 0)
		went++;
	if (went < wanted)
		return trouble("only %u of %u messages of %zu fit", went,
			       wanted, bytes);
	while (!overwrites(s) && went < MANY &&
	       (result = publish(s->eye, OF_GIFT, bytes, STOA_NOW)) == 0)
		went++;
	if (!overwrites(s) && (went == MANY || result != -EAGAIN))
		return trouble("%u messages of %zu fit: %lld", went, bytes,
			       (long long)result);
	if (drain(s, tally, &came) != 0)
		return -1;
	return came + (tally->lost - lost) == went
		       ? 0
		       : trouble("%u went in, %u came out", went, came);
}

static int check_room(struct scene *s, struct tally *tally)
{
	uint32_t more = overwrites(s) ? 3 * PLACES : 0;

	for (int round = 0; round < 2; round++)
		if (check_fill(s, tally, SMALL, KEPT + more) != 0 ||
		    check_fill(s, tally, LARGE, SLOTS + more) != 0)
			return -1;
	struct stoa_topic_stat stat = { .size = sizeof(stat) };
	if (stoa_topic_stat(s->eye, &stat) != 0)
		return trouble("stat: %s", stoa_last_error());
	return stat.published == tally->next
		       ? 0
		       : trouble("%llu were published, %llu came",
				 (unsigned long long)stat.published,
				 (unsigned long long)tally->next);
}

/* After a clean: others may have all that is free, and nothing else, before
 * what was committed is read. */
static void crowd(struct scene *s)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		if (publish(s->eye, OF_GIFT, LARGE, STOA_NOW) == 0)
			atomic_fetch_add(&s->words[GIVEN], 1);
}

static int check(struct scene *s, uint32_t variant)
{
	struct tally tally = { 0 };

	if (check_results(s) != 0 || check_refusals(s) != 0)
		return -1;
	if (variant & 2 && !s->newcomer && !overwrites(s) &&
	    s->state_number != HELD)
		crowd(s);
	account(s, &tally);
	if (s->newcomer && stoa_topic_seek(s->eye, STOA_TOPIC_OLDEST) != 0)
		return trouble("seek: %s", stoa_last_error());
	if (s->newcomer && overwrites(s)) {
		struct stoa_topic_stat stat = { .size = sizeof(stat) };

		if (stoa_topic_stat(s->eye, &stat) != 0)
			return trouble("stat: %s", stoa_last_error());
		tally.next = stat.oldest;
	}
	/* Whoever is let go commits what it has, and subscribes no more. */
	if (!s->newcomer && drain(s, &tally, NULL) != 0)
		return -1;
	if (scene_let_all_go(s) != 0 || drain(s, &tally, NULL) != 0 ||
	    settle(s, &tally) != 0)
		return -1;
	/* The survivor, who has received nothing, is waited for. */
	if (s->newcomer && !overwrites(s))
		return 0;
	return check_room(s, &tally);
}

/* ---- Blocked -------------------------------------------------------------------- */

static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_topic_stat stat = { .size = sizeof(stat) };

	if (stoa_topic_stat(s->object, &stat) != 0)
		return 0;
	return wait == &deeds[WAIT_PUBLISH] || stat.published == 0;
}

/* What a waiting publisher waits for is the survivor, who takes one at least;
 * the oracle then goes on from there. */
static int give(struct scene *s, const struct deed *wait)
{
	if (wait == &deeds[WAIT_PUBLISH])
		return stoa_topic_seek(s->object, STOA_TOPIC_NEXT) == 0
			       ? 0
			       : trouble("give: %s", stoa_last_error());
	atomic_fetch_add(&s->words[GIVEN], 1);
	return publish(s->object, OF_GIFT, SMALL, STOA_NOW) == 0
		       ? 0
		       : trouble("give: %s", stoa_last_error());
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_RECEIVE], NULL, EMPTY, NULL },
	{ &deeds[WAIT_RECEIVE], &deeds[PUBLISH], EMPTY, NULL },
	{ &deeds[WAIT_RECEIVE], &deeds[PUBLISH_LARGE], EMPTY, NULL },
	{ &deeds[WAIT_RECEIVE], &deeds[COMMIT], EMPTY, NULL }
};

const struct subject topic_subject = {
	.name = "topic",
	.states = situations,
	.states_count = ARRAY_SIZE(situations),
	.deeds = deeds,
	.deeds_count = ARRAY_SIZE(deeds),
	.wakings = wakings,
	.wakings_count = ARRAY_SIZE(wakings),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_topic_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
