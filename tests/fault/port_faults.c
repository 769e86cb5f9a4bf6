/* SPDX-License-Identifier: MIT */
/* Every operation on ports while its n-th system call fails. */
#include "inject.h"

#include <glob.h>

enum { LARGE = 20000 };

#define BOTH (STOA_READ | STOA_WRITE)

static struct stoa_port *port, *other;
static struct stoa_port_ticket ticket;
static struct stoa_port_request request;
static char large[LARGE];

static void close_all(void)
{
	stoa_port_close(port);
	stoa_port_close(other);
	port = other = NULL;
}

static void after_all(struct stage *stage, long long result)
{
	(void)result;
	close_all();
	stoa_port_unlink(stage->space, "p");
	stoa_space_clean(stage->space, 0, NULL, NULL);
	/* What its removal failed for: a clean does that once this process is
	 * gone. */
	glob_t left;
	if (glob(case_path(".port.*"), 0, NULL, &left) == 0)
		for (size_t i = 0; i < left.gl_pathc; i++)
			unlink(left.gl_pathv[i]);
	globfree(&left);
}

static long long create(struct stage *stage)
{
	struct stoa_port_attributes attributes = { .size = sizeof(attributes),
		                                   .calls = 2,
		                                   .copy_bytes = 64 };
	struct stoa_port *made = (struct stoa_port *)&made;
	int result = stoa_port_open(stage->space, "p", BOTH | STOA_CREATE, 0640,
	                            &attributes, &made);

	if (result == 0)
		port = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static void after_create(struct stage *stage, long long result)
{
	if (result < 0 && access(case_path("p.port"), F_OK) == 0 &&
	    !stage->lasting)
		complain(stage, "left a stale name", 0);
	after_all(stage, result);
	assert_int_equal(create(stage), 0);
	after_all(stage, result);
}

static void with_port(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(create(stage), 0);
}

static long long open_other(struct stage *stage)
{
	return stoa_port_open(stage->space, "p", STOA_WRITE, 0, NULL, &other);
}

/* A call goes through, whatever failed. */
static void use(struct stage *stage, long long result)
{
	struct stoa_port_ticket one;
	struct stoa_port_request taken;
	struct stoa_port_reply reply;

	if (port && stoa_port_start(port, large, LARGE, STOA_NOW, &one) == 0) {
		do
			assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW,
			                         &taken));
		while (stoa_port_reply(port, &taken, 0, large, LARGE,
		                       STOA_NOW) < 0 ||
		       stoa_port_wait(port, &one, STOA_NOW, &reply) ==
		               -EAGAIN);
		assert_int_equal(reply.bytes, LARGE);
		assert_ok(stoa_port_finish(port, &one, &reply));
	} else {
		complain(stage, "a call can't be started any more", 0);
	}
	after_all(stage, result);
}

static void after_open(struct stage *stage, long long result)
{
	if (!other)
		assert_int_equal(open_other(stage), 0);
	use(stage, result);
}

static void with_everything(struct stage *stage)
{
	with_port(stage);
	assert_int_equal(open_other(stage), 0);
	assert_ok(stoa_port_start(other, large, LARGE, STOA_NOW, &ticket));
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_ok(stoa_port_start(port, large, LARGE, STOA_NOW, &ticket));
}

static long long close_everything(struct stage *stage)
{
	(void)stage;
	stoa_port_close(other);
	other = NULL;
	return 0;
}

static void after_close(struct stage *stage, long long result)
{
	assert_result(stoa_port_reply(port, &request, 0, "", 0, STOA_NOW),
	              -ECANCELED);
	use(stage, result);
}

/* ---- Use ------------------------------------------------------------------ */

static long long start_small(struct stage *stage)
{
	(void)stage;
	return stoa_port_start(port, "x", 1, STOA_NOW, &ticket);
}

static long long start_large(struct stage *stage)
{
	(void)stage;
	return stoa_port_start(port, large, LARGE, STOA_NOW, &ticket);
}

static long long reserve_large(struct stage *stage)
{
	void *data;

	(void)stage;
	return stoa_port_reserve(port, LARGE, 0, STOA_NOW, &ticket, &data);
}

static void with_large(struct stage *stage)
{
	with_port(stage);
	assert_int_equal(start_large(stage), 0);
}

/* A grant that may not be opened is its owner's fault: the call is reset, and
 * there is no other. */
static long long take(struct stage *stage)
{
	int result = stoa_port_take(port, NULL, 0, STOA_NOW, &request);

	(void)stage;
	return result == -EAGAIN ? -EACCES : result;
}

static void with_taken(struct stage *stage)
{
	with_large(stage);
	assert_int_equal(take(stage), 0);
}

static long long reply_large(struct stage *stage)
{
	(void)stage;
	return stoa_port_reply(port, &request, 0, large, LARGE, STOA_NOW);
}

static long long ask_caller(struct stage *stage)
{
	struct stoa_port_caller caller;

	(void)stage;
	return stoa_port_caller(port, &request, &caller);
}

static long long ask_cancelled(struct stage *stage)
{
	(void)stage;
	return stoa_port_cancelled(port, &request);
}

static void with_answer(struct stage *stage)
{
	with_taken(stage);
	assert_int_equal(reply_large(stage), 0);
}

static long long wait_for_answer(struct stage *stage)
{
	struct stoa_port_reply reply;
	int result = stoa_port_wait(port, &ticket, STOA_NOW, &reply);

	(void)stage;
	if (result == -ECONNRESET)
		return -EACCES;
	return result < 0 ? result : stoa_port_finish(port, &ticket, &reply);
}

static long long call_shortly(struct stage *stage)
{
	char answer[8];
	long long result = stoa_port_call(port, "x", 1, answer, 8,
	                                  stoa_deadline_in(SHORT_MS * MS));

	(void)stage;
	return result;
}

static long long cancel(struct stage *stage)
{
	(void)stage;
	return stoa_port_cancel(port, &ticket);
}

static long long poll_descriptor(struct stage *stage)
{
	(void)stage;
	return stoa_port_pollfd(port, STOA_READ);
}

static long long look(struct stage *stage)
{
	struct stoa_port_status status = { .size = sizeof(status) };

	(void)stage;
	return stoa_port_stat(port, &status);
}

/* ---- The dead ------------------------------------------------------------- */

static void take_and_die(void *context)
{
	(void)context;
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	report(1);
	await_order();
}

static void with_dead_server(struct stage *stage)
{
	with_large(stage);
	struct child child = start_child(take_and_die, NULL);
	assert_int_equal(await_report(&child), 1);
	kill_child(&child);
}

static long long wait_after_death(struct stage *stage)
{
	struct stoa_port_reply reply;

	(void)stage;
	return stoa_port_wait(port, &ticket, stoa_deadline_in(AMPLE_MS * MS),
	                      &reply);
}

/* Whether or not it could be told then, it can be now. */
static void after_death(struct stage *stage, long long result)
{
	if (result != -ECONNRESET)
		assert_result(wait_after_death(stage), -ECONNRESET);
	use(stage, result);
}

static const struct operation operations[] = {
	OPERATION_AFTER(create, with_space, after_create),
	OPERATION_AFTER(open_other, with_port, after_open),
	OPERATION_AFTER(close_everything, with_everything, after_close),
	OPERATION_AFTER(start_small, with_port, after_all),
	OPERATION_AFTER(start_large, with_port, after_all),
	OPERATION_AFTER(reserve_large, with_port, use),
	OPERATION_AFTER(take, with_large, after_all),
	OPERATION_AFTER(reply_large, with_taken, use),
	OPERATION_AFTER(ask_caller, with_taken, after_all),
	OPERATION_AFTER(ask_cancelled, with_taken, use),
	OPERATION_AFTER(wait_for_answer, with_answer, use),
	OPERATION_AFTER(call_shortly, with_port, use),
	OPERATION_AFTER(cancel, with_large, use),
	OPERATION_AFTER(poll_descriptor, with_port, use),
	OPERATION_AFTER(look, with_port, use),
	/* Who can't be asked about may live. */
	{ "wait_after_death", with_dead_server, wait_after_death, after_death,
	  true },
};

TEST(each_operation_survives_the_failure_of_each_call)
{
	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(each_operation_survives_the_failure_of_each_call),
};

MAIN(cases)
