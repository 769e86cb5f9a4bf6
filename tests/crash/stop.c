/* SPDX-License-Identifier: MIT */
/*
 * stop.c: the victim is stopped, not killed, at every instruction of a
 * lock-free operation. All others must get on meanwhile with all but what it
 * has in its hands. Then it goes on to its end, and nothing may be lost.
 */
#include <errno.h>

#include "oracle.h"
#include "sweep.h"

#define SMALL_BYTES 32u
#define LAPS 3u

/* What the victim finds when it goes on. */
enum ending {
	ENDING_EMPTY,
	ENDING_FULL,
	ENDING_ONE,
	ENDING_LARGE, /* all pieces are in use, too */
	ENDINGS
};

/* What the survivor saw, in order. */
struct witness {
	struct survivor survivor;
	uint32_t letters_back; /* what the victim may have in hand */
	uint32_t cells_back;
};

static uint32_t count_here(const struct stage *s)
{
	uint32_t here = 0;

	for (uint32_t i = 0; i < s->ledger.count; i++) {
		const struct letter *letter = &s->ledger.letters[i];

		here += letter->fate == FATE_STAYS && letter->seen == 0 &&
			!letter->held;
	}
	return here;
}

static uint32_t count_held(const struct stage *s)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < s->ledger.count; i++)
		held += s->ledger.letters[i].held;
	return held;
}

/* Fills; at least what must fit, and no more than the capacity. */
static int fill(struct witness *w, uint32_t bytes)
{
	struct stage *s = w->survivor.stage;
	uint32_t here = count_here(s), held = count_held(s), sent = 0;

	if (survivor_fill(&w->survivor, bytes, &sent) != 0)
		return -1;
	if (here + held + sent + w->cells_back < CAPACITY)
		return trouble("only %u letters fit beside %u and %u held", sent,
			       here, held);
	if (sent > CAPACITY)
		return trouble("%u letters fit into %u", sent, CAPACITY);
	return 0;
}

static int drain(struct witness *w)
{
	uint32_t before = w->survivor.drained;
	uint32_t here = count_here(w->survivor.stage);

	if (survivor_drain(&w->survivor) != 0)
		return -1;
	if (w->survivor.drained - before + w->letters_back < here)
		return trouble("only %u of %u letters can be received",
			       w->survivor.drained - before, here);
	return 0;
}

static int take_and_acknowledge(struct witness *w)
{
	struct stage *s = w->survivor.stage;
	struct stoa_message message;
	struct letter *letter;
	int result = stoa_queue_take(w->survivor.queue, NULL, STOA_NOW,
				     &message);

	if (result == -EAGAIN && count_here(s) <= w->letters_back)
		return 0;
	if (result < 0)
		return trouble("take with %u letters there: %d",
			       count_here(s), result);
	letter = ledger_find(&s->ledger, letter_id(message.data));
	if (letter == NULL || !letter_whole(letter, message.data))
		return trouble("what was taken is not whole");
	letter->seen++;
	result = stoa_queue_acknowledge(w->survivor.queue, &message);
	return result == 0 ? 0 : trouble("acknowledge: %d", result);
}

static int lap(struct witness *w)
{
	for (uint32_t i = 0; i < LAPS * CAPACITY; i++) {
		struct letter *letter =
			ledger_add(&w->survivor.stage->ledger, SMALL_BYTES);
		int result = letter_send(w->survivor.queue, letter, STOA_NOW);

		if (result != 0)
			return trouble("send in lap %u: %d", i / CAPACITY,
				       result);
		if (survivor_receive(&w->survivor) < 0)
			return -1;
		if (letter->seen != 1)
			return trouble("letter %u of the laps did not come", i);
	}
	return 0;
}

/* While the victim stands still. */
static int get_on(struct witness *w, enum ending ending)
{
	struct stage *s = w->survivor.stage;
	struct survivor *v = &w->survivor;
	uint32_t here = count_here(s), sent;

	if (here > w->letters_back && survivor_receive(v) != 1)
		return trouble("no receive with %u letters there", here);
	if (take_and_acknowledge(w) != 0 || fill(w, SMALL_BYTES) != 0 ||
	    drain(w) != 0)
		return -1;
	/* With all held back there is no lap to be made. */
	if (count_held(s) + w->cells_back < CAPACITY && lap(w) != 0)
		return -1;
	if (ending == ENDING_FULL)
		return fill(w, SMALL_BYTES);
	if (ending == ENDING_LARGE)
		return survivor_fill(v, stage_sizes[SIZES - 1], &sent);
	if (ending == ENDING_ONE && count_held(s) + w->cells_back < CAPACITY &&
	    letter_send(v->queue, ledger_add(&s->ledger, SMALL_BYTES),
			STOA_NOW) != 0)
		return trouble("no room for one letter");
	return 0;
}

/* The victim is at its end; what it has in its buffers it has. */
static int conserve(struct witness *w, const struct play *play)
{
	struct stage *s = w->survivor.stage;
	const struct page *page = &s->pages[0];
	const unsigned flags = play->operation->flags;

	if (!page->returned)
		return trouble("the victim did not come to its end");
	if (page->result < 0 && page->result != -EAGAIN)
		return trouble("the victim's call gave %lld",
			       (long long)page->result);
	if (oracle_account(s, 0, play->operation) != 0)
		return -1;
	if (flags & OP_SEND && page->result < 0)
		s->ledger.letters[page->outgoing[0]].fate = FATE_GONE;
	/* It ended without closing, so what it took comes back. */
	w->survivor.patient = 1;
	if (survivor_drain(&w->survivor) != 0)
		return -1;
	if (stoa_space_clean(s->space, 0, NULL, NULL) < 0)
		return trouble("clean: %s", stoa_last_error());
	w->survivor.patient = 0;
	if (survivor_drain(&w->survivor) != 0)
		return -1;
	return oracle_settle(s);
}

static int give_back(struct witness *w)
{
	struct stage *s = w->survivor.stage;
	struct letter *letter = ledger_find(&s->ledger, s->held_id);

	if (letter == NULL)
		return 0;
	if (stoa_queue_return(w->survivor.queue, &s->held) != 0)
		return trouble("return of what the survivor holds failed");
	s->held_id = 0;
	letter->held = 0;
	return 0;
}

/*
 * Before the victim is run to its place the letter it may send is "maybe"; a
 * letter that it receives or takes may be missing until it goes on.
 */
static int check(const struct play *play, pid_t pid, enum ending ending)
{
	struct witness w = {
		.survivor = { .stage = &stage, .queue = stage.queue,
			      .unordered = 1 },
		.letters_back = play->operation->flags & OP_SEND ? 0 : 1,
		.cells_back = 1
	};
	int status, result;

	stage.concurrent = 1;
	for (uint32_t i = 0; i < stage.ledger.count; i++)
		if (!stage.ledger.letters[i].held)
			stage.ledger.letters[i].deliveries_max++;
	result = get_on(&w, ending);
	trace_release(pid);
	status = trace_reap(pid);
	if (result != 0)
		return -1;
	if (status != 0)
		return trouble("the victim ended with status %x", status);
	if (give_back(&w) != 0 || conserve(&w, play) != 0)
		return -1;
	w.survivor.unordered = 0;
	return survivor_refill(&w.survivor);
}

static void stop_at(struct play *play, size_t n, enum ending ending)
{
	pid_t pid;

	if (!experiment("stop %s in %s at place %zu of %zu",
			play->operation->name, play->state->name, n,
			play->trace.count))
		return;
	board->pc = play->trace.points[n].pc;
	pid = play_to(play, &play->trace.points[n]);
	if (pid == 0)
		return;
	board->counts.stops++;
	if (check(play, pid, ending) == 0)
		experiment_passed();
	else
		experiment_failed();
}

static void run_stop(const struct job *job)
{
	struct play play = {
		.operation = job->operation, .state = job->state
	};
	uint64_t turn = settings.seed;

	if (play_record(&play) != 0) {
		board->counts.skipped++;
		return;
	}
	for (size_t n = 0; n < play.trace.count; n++)
		if (portion_wants(&play.trace.points[n], n))
			stop_at(&play, n, (enum ending)(turn++ % ENDINGS));
	trace_free(&play.trace);
}

/* In the other orders, receivers take turns, and only sends are lock-free. */
static int wanted(const struct operation *operation, const struct state *state)
{
	if (!(operation->flags & OP_LOCK_FREE))
		return 0;
	if (state->order != STOA_FIFO && !(operation->flags & OP_SEND))
		return 0;
	return settings.portion == PORTION_FULL ||
	       (operation->flags & OP_CORE && state->tags & STATE_CORE);
}

size_t list_stop_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < states_count; i++)
		for (size_t k = 0; k < operations_count && count < room; k++)
			if (wanted(&operations[k], &states[i]))
				jobs[count++] = (struct job){
					.suite = "stop",
					.operation = &operations[k],
					.state = &states[i],
					.run = run_stop
				};
	return count;
}
