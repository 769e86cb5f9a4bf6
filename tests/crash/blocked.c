/* SPDX-License-Identifier: MIT */
/*
 * blocked.c: deaths around waiting. One waits and is killed asleep, or just
 * woken, or the one who should wake others is killed at each instruction; a
 * second waiter, alive, must always come to its end.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include "sweep.h"

#define WAITER_PAGE 2u
#define LETTER_BYTES 32u
#define PLACES_STRIDE 3u /* outside the full portion */
#define ROUNDS_DEFAULT 4u
#define ROUNDS_MUTANT 2u
#define ROUNDS_FULL 300u
#define PATIENCE_MS 200 /* then the victim sleeps again: a place missed */
#define WOKEN_MAX 2000u /* places after the waking that are tried */

/* ---- Waiters: the operation blocks --------------------------------------- */

static void wait_to_receive(struct victim *v)
{
	ssize_t result = stoa_queue_receive(v->queue, NULL,
					    v->page->buffers[0],
					    LETTER_MAX_BYTES, STOA_FOREVER,
					    &v->page->messages[0]);

	v->page->result = result >= 0 ? 1 : result;
}

static void wait_to_take(struct victim *v)
{
	v->page->result = stoa_queue_take(v->queue, NULL, STOA_FOREVER,
					  &v->page->messages[0]);
	if (v->page->result >= 0)
		v->page->taken_id = letter_id(v->page->messages[0].data);
}

static void prepare_to_send(struct victim *v)
{
	const struct letter *letter =
		&v->stage->ledger.letters[v->page->outgoing[0]];

	letter_write(letter, v->page->buffers[0]);
}

static void wait_to_send(struct victim *v)
{
	int result = stoa_queue_send(v->queue, v->page->buffers[0],
				     LETTER_BYTES, STOA_FOREVER);

	v->page->result = result == 0 ? 1 : result;
}

static const struct operation waits[] = {
	{ "wait-receive", OP_RECEIVE, 0, 0, NULL, wait_to_receive },
	{ "wait-take", OP_TAKE, 0, 0, NULL, wait_to_take },
	{ "wait-send", OP_SEND, 1, LETTER_BYTES, prepare_to_send,
	  wait_to_send }
};

#define WAITS (sizeof(waits) / sizeof(waits[0]))
#define WAIT_SEND (&waits[2])

/* ---- The scene ----------------------------------------------------------- */

struct scene {
	const struct operation *wait;    /* of the living waiter */
	const struct operation *victims; /* operation */
	const struct state *state;
	pid_t waiter;
};

static void await_waiters(uint32_t count)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	do {
		if (stoa_queue_stat(stage.queue, &stat) != 0)
			broken("stat while waiting");
	} while (stat.senders_waiting + stat.receivers_waiting < count);
}

static void await_asleep(const struct scene *scene, uint32_t count)
{
	await_waiters(count);
	if (trace_await_sleep(scene->waiter) != 0)
		broken("%s does not sleep", scene->wait->name);
}

static pid_t start_waiter(const struct operation *wait, uint32_t page)
{
	struct act act = {
		.stage = &stage, .operation = wait, .page = page, .untraced = 1
	};

	return trace_fork(act_body, &act);
}

static void set_up(struct scene *scene)
{
	stage_make(&stage, scene->state);
	stage_announce(&stage, 0, scene->victims);
	stage_announce(&stage, WAITER_PAGE, scene->wait);
	stage.concurrent = 1;
	for (uint32_t i = 0; i < stage.ledger.count; i++) {
		stage.ledger.letters[i].deliveries_max++;
		stage.ledger.letters[i].loose =
			stage.ledger.letters[i].fate == FATE_GONE;
	}
}

/* A letter for a waiting receiver, or room for a waiting sender. */
static int give(const struct operation *wait)
{
	static unsigned char buffer[LETTER_MAX_BYTES];
	struct letter *letter;
	ssize_t got;

	if (wait->flags & OP_SEND) {
		got = stoa_queue_receive(stage.queue, NULL, buffer,
					 sizeof(buffer), STOA_NOW, NULL);
		letter = got < 0 ? NULL
				 : ledger_find(&stage.ledger,
					       letter_id(buffer));
		if (letter == NULL)
			return trouble("no letter to receive: %zd", got);
		letter->fate = FATE_GONE;
		return 0;
	}
	letter = ledger_add(&stage.ledger, LETTER_BYTES);
	letter->deliveries_max = 2;
	got = letter_send(stage.queue, letter, STOA_NOW);
	return got == 0 ? 0 : trouble("no room for a letter: %zd", got);
}

/* The waiter must end by itself; the hang limit is the worker's. */
static int await_waiter(struct scene *scene)
{
	int status = trace_reap(scene->waiter);

	scene->waiter = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return trouble("the waiter ended with status %x", status);
	if (!stage.pages[WAITER_PAGE].returned ||
	    stage.pages[WAITER_PAGE].result < 0)
		return trouble("the waiter's call gave %lld",
			       (long long)stage.pages[WAITER_PAGE].result);
	return 0;
}

static void judge(struct scene *scene, int so_far, uint32_t variant)
{
	board->counts.blocked++;
	if (so_far == 0 && oracle_account(&stage, 0, scene->victims) == 0 &&
	    oracle_account(&stage, WAITER_PAGE, scene->wait) == 0 &&
	    oracle_check(&stage, 0, variant, 1) == 0)
		experiment_passed();
	else
		experiment_failed();
	if (scene->waiter > 0)
		trace_kill(scene->waiter);
}

static pid_t spawn_victim(const struct scene *scene)
{
	struct act act = {
		.stage = &stage, .operation = scene->victims, .page = 0
	};
	pid_t pid = trace_spawn(act_body, &act);

	if (pid <= 0)
		broken("the victim of %s did not begin", scene->victims->name);
	return pid;
}

/* ---- Killed asleep, and just woken --------------------------------------- */

/* Two wait for one letter; the first is killed asleep. */
static void kill_asleep(struct scene *scene, uint32_t round)
{
	pid_t victim;
	int result;

	if (!experiment("%s in %s killed asleep, round %u",
			scene->victims->name, scene->state->name, round))
		return;
	set_up(scene);
	victim = spawn_victim(scene);
	if (trace_run_to_sleep(victim) != 0)
		broken("%s does not sleep", scene->victims->name);
	scene->waiter = start_waiter(scene->wait, WAITER_PAGE);
	await_asleep(scene, 2);
	if (round % 2) {
		trace_kill(victim);
		result = give(scene->wait);
	} else {
		result = give(scene->wait);
		trace_kill(victim);
	}
	board->counts.kills++;
	if (result == 0 && stage.pages[0].returned == 0)
		result = await_waiter(scene);
	judge(scene, result, round);
}

/* Brings the first waiter to where it comes back from its sleep. */
static pid_t wake_victim(struct scene *scene)
{
	pid_t victim;

	set_up(scene);
	victim = spawn_victim(scene);
	if (trace_run_to_sleep(victim) != 0)
		broken("%s does not sleep", scene->victims->name);
	scene->waiter = start_waiter(scene->wait, WAITER_PAGE);
	await_asleep(scene, 2);
	if (give(scene->wait) != 0 || trace_run_to_return(victim) != 0)
		broken("%s is not woken", scene->victims->name);
	return victim;
}

/* Is there nothing for the waiter, so that it waits rightly? A letter in dead
 * hands comes back, and is something. */
static int nothing_for(const struct operation *wait)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	if (stoa_queue_stat(stage.queue, &stat) != 0)
		broken("stat while waiting");
	if (wait->flags & OP_SEND)
		return stat.messages + stat.taken >= CAPACITY;
	return stat.messages + stat.taken + stat.reserved == 0;
}

/* The waiter ends by itself, or rightly waits and ends when it is given what
 * it waits for. */
static int satisfy(struct scene *scene)
{
	siginfo_t info;

	for (;;) {
		memset(&info, 0, sizeof(info));
		if (waitid(P_PID, (id_t)scene->waiter, &info,
			   WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid != 0)
			return await_waiter(scene);
		if (nothing_for(scene->wait))
			break;
		sched_yield();
	}
	return give(scene->wait) == 0 ? await_waiter(scene) : -1;
}

/* The victim brought up and run to that place; 0: missed. */
static pid_t to_place(struct scene *scene, pid_t (*bring)(struct scene *),
		      const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t victim = bring(scene);

		trace_set_patience(PATIENCE_MS);
		if (trace_run_to(victim, &aim) == 0)
			return victim;
		trace_kill(scene->waiter);
		scene->waiter = 0;
	}
	return 0;
}

static void kill_woken(struct scene *scene, const struct trace *trace,
		       size_t n)
{
	pid_t victim;

	if (!experiment("%s in %s killed at place %zu of %zu after waking",
			scene->victims->name, scene->state->name, n,
			trace->count))
		return;
	board->pc = trace->points[n].pc;
	victim = to_place(scene, wake_victim, &trace->points[n]);
	if (victim == 0) {
		experiment_missed();
		return;
	}
	trace_kill(victim);
	board->counts.kills++;
	judge(scene, scene->victims->flags & OP_TAKE ? await_waiter(scene) :
		     satisfy(scene), (uint32_t)n);
}

static void sweep_woken(struct scene *scene)
{
	struct trace trace;
	size_t turn = 0;
	pid_t victim;

	/* Nobody else is there, so that the victim comes to its end. */
	set_up(scene);
	victim = spawn_victim(scene);
	if (trace_run_to_sleep(victim) != 0 || give(scene->wait) != 0 ||
	    trace_run_to_return(victim) != 0)
		broken("%s is not woken", scene->victims->name);
	stage_observe(&stage);
	if (trace_record(victim, stage_observe, &stage, &trace) != 0)
		broken("can't trace %s after waking", scene->victims->name);
	trace_kill(victim);
	for (size_t n = 0; n < trace.count && n < WOKEN_MAX; n++)
		if (portion_wants(&trace.points[n], n) &&
		    portion_turn(turn++, PLACES_STRIDE))
			kill_woken(scene, &trace, n);
	trace_free(&trace);
}

static uint32_t rounds_wanted(void)
{
	switch (settings.portion) {
	case PORTION_MUTANT:
		return ROUNDS_MUTANT;
	case PORTION_FULL:
		return ROUNDS_FULL;
	default:
		return ROUNDS_DEFAULT;
	}
}

static void run_waiter_dies(const struct job *job)
{
	struct scene scene = {
		.wait = job->extra,
		.victims = job->extra,
		.state = job->state
	};

	for (uint32_t round = 0; round < rounds_wanted(); round++)
		kill_asleep(&scene, round);
	sweep_woken(&scene);
}

/* ---- The one who should wake dies ---------------------------------------- */

/* What returned has given the waiter what it waits for, and so has a return,
 * by death if not by call. */
static int help_waiter(struct scene *scene)
{
	if (stage.pages[0].returned || scene->victims->flags & OP_RETURN)
		return await_waiter(scene);
	return satisfy(scene);
}

/* The one who is to wake others at its beginning, and the waiter asleep. */
static pid_t bring_waker(struct scene *scene)
{
	pid_t victim;

	set_up(scene);
	victim = spawn_victim(scene);
	scene->waiter = start_waiter(scene->wait, WAITER_PAGE);
	await_asleep(scene, 1);
	return victim;
}

static void kill_waker(struct scene *scene, const struct trace *trace,
		       size_t n)
{
	pid_t victim;

	if (!experiment("%s waits in %s, %s killed at place %zu of %zu",
			scene->wait->name, scene->state->name,
			scene->victims->name, n, trace->count))
		return;
	board->pc = trace->points[n].pc;
	victim = to_place(scene, bring_waker, &trace->points[n]);
	if (victim == 0) {
		experiment_missed();
		return;
	}
	trace_kill(victim);
	board->counts.kills++;
	judge(scene, help_waiter(scene), (uint32_t)n);
}

static void run_waker_dies(const struct job *job)
{
	struct scene scene = {
		.wait = job->extra,
		.victims = job->operation,
		.state = job->state
	};
	struct trace trace;
	size_t turn = 0;
	pid_t victim;

	victim = bring_waker(&scene);
	stage_observe(&stage);
	if (trace_record(victim, stage_observe, &stage, &trace) != 0)
		broken("can't trace %s", scene.victims->name);
	trace_kill(victim);
	trace_kill(scene.waiter);
	for (size_t n = 0; n < trace.count; n++)
		if (portion_wants(&trace.points[n], n) &&
		    portion_turn(turn++, PLACES_STRIDE))
			kill_waker(&scene, &trace, n);
	trace_free(&trace);
}

/* ---- Jobs ---------------------------------------------------------------- */

static const struct state *find_state(const char *prefix, const char *name)
{
	char full[64];

	snprintf(full, sizeof(full), "%s/%s", prefix, name);
	for (size_t i = 0; i < states_count; i++)
		if (strcmp(states[i].name, full) == 0)
			return &states[i];
	broken("no state %s", full);
}

static const struct operation *find_operation(const char *name)
{
	for (size_t i = 0; i < operations_count; i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	broken("no operation %s", name);
}

/* Who waits for what, and who should have given it. */
static const struct {
	const char *waker, *state;
	size_t wait;
} wakings[] = {
	{ "send", "empty", 0 },	       { "send", "empty", 1 },
	{ "send-large", "empty", 0 },  { "commit-large", "empty", 0 },
	{ "send-many", "empty", 0 },   { "return", "one", 0 },
	{ "receive", "full", 2 },      { "receive-many", "full", 2 },
	{ "acknowledge", "full", 2 },  { "purge", "full", 2 }
};

static size_t list_order(struct job *jobs, size_t room, const char *prefix)
{
	size_t count = 0;

	for (size_t i = 0; i < WAITS && count < room; i++)
		jobs[count++] = (struct job){
			.suite = "blocked",
			.operation = &waits[i],
			.state = find_state(prefix, &waits[i] == WAIT_SEND
							    ? "full"
							    : "empty"),
			.extra = &waits[i],
			.run = run_waiter_dies
		};
	for (size_t i = 0; i < sizeof(wakings) / sizeof(wakings[0]) &&
			   count < room; i++)
		jobs[count++] = (struct job){
			.suite = "blocked",
			.operation = find_operation(wakings[i].waker),
			.state = find_state(prefix, wakings[i].state),
			.extra = &waits[wakings[i].wait],
			.run = run_waker_dies
		};
	return count;
}

size_t list_blocked_jobs(struct job *jobs, size_t room)
{
	static const char *const orders[] = { "fifo", "priority", "type" };
	size_t count = 0;

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		count += list_order(jobs + count, room - count, orders[i]);
	return count;
}
