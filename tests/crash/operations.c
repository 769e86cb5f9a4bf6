/* SPDX-License-Identifier: MIT */
/* operations.c: what victims do to the queue. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define SMALL_BYTES 40u
#define LARGE_BYTES 1000u /* four pieces of 256 bytes */
#define HUGE_BYTES 5000u  /* two pieces of 4 KiB */
#define SELECTED_TYPE 2
#define LOWEST_TYPE 3
#define POLLS 3
#define TIMED_NS INT64_C(60000000)
#define TINY_BUFFER 9u /* smaller than any letter */

static const struct letter *outgoing(const struct victim *v, uint32_t i)
{
	return &v->stage->ledger.letters[v->page->outgoing[i]];
}

/* The messages to send, written where a send by many finds them. */
static void write_outgoing(struct victim *v)
{
	for (uint32_t i = 0; i < v->page->outgoing_count; i++) {
		const struct letter *letter = outgoing(v, i);
		struct stoa_message *message = &v->page->messages[i];

		letter_write(letter, v->page->buffers[i]);
		message->data = v->page->buffers[i];
		message->bytes = letter->bytes;
		message->type = letter->type;
		message->priority = letter->priority;
	}
}

/* Sends give the number of messages sent. */
static int64_t sent(int result)
{
	return result == 0 ? 1 : result;
}

static void run_send(struct victim *v)
{
	v->page->result = sent(stoa_queue_send(v->queue, v->page->buffers[0],
					       v->page->messages[0].bytes,
					       STOA_NOW));
}

static void run_send_timed(struct victim *v)
{
	v->page->result = sent(stoa_queue_send(v->queue, v->page->buffers[0],
					       v->page->messages[0].bytes,
					       stoa_deadline_in(TIMED_NS)));
}

static void run_send_message(struct victim *v)
{
	v->page->result = sent(stoa_queue_send_message(v->queue,
						       &v->page->messages[0],
						       STOA_NOW));
}

static void run_send_many(struct victim *v)
{
	v->page->result = stoa_queue_send_many(v->queue, v->page->messages,
					       v->page->outgoing_count,
					       STOA_NOW);
}

static void run_reserve_small(struct victim *v)
{
	v->page->result = stoa_queue_reserve(v->queue, SMALL_BYTES, STOA_NOW,
					     &v->page->messages[0]);
}

static void run_reserve_large(struct victim *v)
{
	v->page->result = stoa_queue_reserve(v->queue, LARGE_BYTES, STOA_NOW,
					     &v->page->messages[0]);
}

static void reserve(struct victim *v, size_t bytes)
{
	struct stoa_message *message = &v->page->messages[0];

	if (stoa_queue_reserve(v->queue, bytes, STOA_NOW, message) != 0)
		_exit(TRACE_SKIP);
	if (v->page->outgoing_count == 0)
		return;
	letter_write(outgoing(v, 0), message->data);
	message->bytes = outgoing(v, 0)->bytes;
	message->type = outgoing(v, 0)->type;
	message->priority = outgoing(v, 0)->priority;
}

static void prepare_commit(struct victim *v)
{
	reserve(v, outgoing(v, 0)->bytes);
}

static void prepare_commit_lower(struct victim *v)
{
	reserve(v, HUGE_BYTES);
}

static void prepare_cancel_small(struct victim *v)
{
	reserve(v, SMALL_BYTES);
}

static void prepare_cancel_large(struct victim *v)
{
	reserve(v, LARGE_BYTES);
}

static void run_commit(struct victim *v)
{
	v->page->result = sent(stoa_queue_commit(v->queue,
						 &v->page->messages[0]));
}

static void run_cancel(struct victim *v)
{
	v->page->result = stoa_queue_cancel(v->queue, &v->page->messages[0]);
}

/* ---- Receiving ----------------------------------------------------------- */

/* Receives give the number of messages received, their sizes in messages. */
static void receive(struct victim *v, const struct stoa_selector *selector,
		    size_t room)
{
	ssize_t result = stoa_queue_receive(v->queue, selector,
					    v->page->buffers[0], room,
					    STOA_NOW, &v->page->messages[0]);

	v->page->result = result >= 0 ? 1 : result;
}

static void run_receive(struct victim *v)
{
	receive(v, NULL, LETTER_MAX_BYTES);
}

/* Asks again: the first time nothing was found, the dead are looked for. */
static void run_poll(struct victim *v)
{
	for (int i = 0; i < POLLS && v->page->result <= 0; i++)
		receive(v, NULL, LETTER_MAX_BYTES);
}

/* Longer than one slice of a sleep, so the patrol after it is swept, too. */
static void run_receive_timed(struct victim *v)
{
	ssize_t result = stoa_queue_receive(v->queue, NULL,
					    v->page->buffers[0],
					    LETTER_MAX_BYTES,
					    stoa_deadline_in(TIMED_NS),
					    &v->page->messages[0]);

	v->page->result = result >= 0 ? 1 : result;
}

static void run_receive_cut(struct victim *v)
{
	receive(v, NULL, TINY_BUFFER);
}

static void run_receive_exactly(struct victim *v)
{
	const struct stoa_selector selector = { STOA_EXACTLY, SELECTED_TYPE };

	receive(v, &selector, LETTER_MAX_BYTES);
}

static void run_receive_except(struct victim *v)
{
	const struct stoa_selector selector = { STOA_EXCEPT, SELECTED_TYPE };

	receive(v, &selector, LETTER_MAX_BYTES);
}

static void run_receive_lowest(struct victim *v)
{
	const struct stoa_selector selector = { STOA_LOWEST, LOWEST_TYPE };

	receive(v, &selector, LETTER_MAX_BYTES);
}

static void prepare_receive_many(struct victim *v)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		v->page->messages[i].data = v->page->buffers[i];
		v->page->messages[i].buffer_bytes = LETTER_MAX_BYTES;
	}
}

static void run_receive_many(struct victim *v)
{
	v->page->result = stoa_queue_receive_many(v->queue, NULL,
						  v->page->messages, BATCH,
						  STOA_NOW);
}

static void run_take(struct victim *v)
{
	struct stoa_message *message = &v->page->messages[0];

	v->page->result = stoa_queue_take(v->queue, NULL, STOA_NOW, message);
	if (v->page->result >= 0)
		v->page->taken_id = letter_id(message->data);
}

static void run_take_lowest(struct victim *v)
{
	const struct stoa_selector selector = { STOA_LOWEST, LOWEST_TYPE };
	struct stoa_message *message = &v->page->messages[0];

	v->page->result = stoa_queue_take(v->queue, &selector, STOA_NOW,
					  message);
	if (v->page->result >= 0)
		v->page->taken_id = letter_id(message->data);
}

static void prepare_taken(struct victim *v)
{
	struct stoa_message *message = &v->page->messages[0];

	if (stoa_queue_take(v->queue, NULL, STOA_NOW, message) < 0)
		_exit(TRACE_SKIP);
	v->page->held_id = letter_id(message->data);
}

static void run_acknowledge(struct victim *v)
{
	v->page->result = stoa_queue_acknowledge(v->queue,
						 &v->page->messages[0]);
}

static void run_return(struct victim *v)
{
	v->page->result = stoa_queue_return(v->queue, &v->page->messages[0]);
}

static void prepare_close(struct victim *v)
{
	struct stoa_message reserved;

	if (stoa_queue_reserve(v->queue, LARGE_BYTES, STOA_NOW, &reserved) != 0)
		(void)stoa_queue_reserve(v->queue, SMALL_BYTES, STOA_NOW,
					 &reserved);
	if (stoa_queue_take(v->queue, NULL, STOA_NOW,
			    &v->page->messages[0]) >= 0)
		v->page->held_id = letter_id(v->page->messages[0].data);
}

static void run_close(struct victim *v)
{
	stoa_queue_close(v->queue);
}

/* ---- The rest ------------------------------------------------------------ */

static void run_peek(struct victim *v)
{
	v->page->result = stoa_queue_peek(v->queue, NULL, 1,
					  v->page->buffers[0],
					  LETTER_MAX_BYTES,
					  &v->page->messages[0]);
}

static void run_purge(struct victim *v)
{
	v->page->result = stoa_queue_purge(v->queue);
}

static void run_stat(struct victim *v)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	v->page->result = stoa_queue_stat(v->queue, &stat);
}

static void run_open(struct victim *v)
{
	struct stoa_queue *queue;

	v->page->result = stoa_queue_open(v->space, v->stage->name,
					  STOA_READ | STOA_WRITE, 0, NULL,
					  &queue);
}

static void run_unlink(struct victim *v)
{
	v->page->result = stoa_queue_unlink(v->space, v->stage->name);
}

static void run_remove(struct victim *v)
{
	v->page->result = stoa_queue_remove(v->queue);
}

static void run_notify(struct victim *v)
{
	const struct stoa_notification notification = {
		.size = sizeof(notification)
	};

	v->page->result = stoa_queue_notify(v->queue, &notification);
}

static void prepare_notified(struct victim *v)
{
	const struct stoa_notification notification = {
		.size = sizeof(notification),
		.signal_number = SIGURG /* ignored unless handled */
	};

	write_outgoing(v);
	if (stoa_queue_notify(v->queue, &notification) != 0)
		_exit(TRACE_SKIP);
}

static void run_notify_drop(struct victim *v)
{
	v->page->result = stoa_queue_notify(v->queue, NULL);
}

static void run_pollfd(struct victim *v)
{
	v->page->result = stoa_queue_pollfd(v->queue, STOA_READ);
}

/* The sender has a bell of its own to ring. */
static void prepare_belled(struct victim *v)
{
	write_outgoing(v);
	if (stoa_queue_pollfd(v->queue, STOA_READ) < 0)
		_exit(TRACE_SKIP);
}

static void run_wait_any(struct victim *v)
{
	const struct stoa_wait conditions[] = {
		{ .kind = STOA_READABLE, .object = stoa_queue_object(v->queue) },
		{ .kind = STOA_WRITABLE, .object = stoa_queue_object(v->queue) }
	};

	v->page->result = stoa_wait_any(conditions, 2, STOA_NOW);
}

static void run_clean(struct victim *v)
{
	v->page->result = stoa_space_clean(v->space, 0, NULL, NULL);
}

const struct operation operations[] = {
	{ "send", OP_SEND | OP_LOCK_FREE | OP_CORE | OP_BURY, 1, SMALL_BYTES,
	  write_outgoing, run_send },
	{ "send-large", OP_SEND | OP_LOCK_FREE | OP_CORE | OP_BURY, 1,
	  LARGE_BYTES, write_outgoing, run_send },
	{ "send-huge", OP_SEND | OP_LOCK_FREE, 1, HUGE_BYTES, write_outgoing,
	  run_send },
	{ "send-message", OP_SEND | OP_MESSAGE | OP_LOCK_FREE, 1,
	  STOA_QUEUE_INLINE, write_outgoing, run_send_message },
	{ "send-many", OP_SEND | OP_MESSAGE, BATCH, SMALL_BYTES,
	  write_outgoing, run_send_many },
	{ "send-many-large", OP_SEND | OP_MESSAGE, BATCH, LARGE_BYTES,
	  write_outgoing, run_send_many },
	{ "send-timed", OP_SEND, 1, SMALL_BYTES, write_outgoing,
	  run_send_timed },
	{ "send-first", OP_SEND | OP_FIRST, 1, SMALL_BYTES, write_outgoing,
	  run_send },
	{ "reserve", 0, 0, 0, NULL, run_reserve_small },
	{ "reserve-large", OP_CORE, 0, 0, NULL, run_reserve_large },
	{ "commit", OP_SEND | OP_MESSAGE, 1, SMALL_BYTES, prepare_commit,
	  run_commit },
	{ "commit-large", OP_SEND | OP_MESSAGE | OP_CORE, 1, LARGE_BYTES,
	  prepare_commit, run_commit },
	{ "commit-lower", OP_SEND | OP_MESSAGE, 1, LARGE_BYTES,
	  prepare_commit_lower, run_commit },
	{ "cancel", 0, 0, 0, prepare_cancel_small, run_cancel },
	{ "cancel-large", OP_CORE, 0, 0, prepare_cancel_large, run_cancel },
	{ "receive", OP_RECEIVE | OP_LOCK_FREE | OP_CORE | OP_BURY, 0, 0, NULL,
	  run_receive },
	{ "poll", OP_RECEIVE | OP_BURY, 0, 0, NULL, run_poll },
	{ "receive-timed", OP_RECEIVE, 0, 0, NULL, run_receive_timed },
	{ "receive-cut", OP_RECEIVE, 0, 0, NULL, run_receive_cut },
	{ "receive-exactly", OP_RECEIVE | OP_TYPE, 0, 0, NULL,
	  run_receive_exactly },
	{ "receive-except", OP_RECEIVE | OP_TYPE, 0, 0, NULL,
	  run_receive_except },
	{ "receive-lowest", OP_RECEIVE | OP_TYPE | OP_CORE, 0, 0, NULL,
	  run_receive_lowest },
	{ "receive-many", OP_RECEIVE, 0, 0, prepare_receive_many,
	  run_receive_many },
	{ "receive-first", OP_RECEIVE | OP_FIRST, 0, 0, NULL, run_receive },
	{ "take", OP_TAKE | OP_LOCK_FREE | OP_CORE | OP_BURY, 0, 0, NULL,
	  run_take },
	{ "take-lowest", OP_TAKE | OP_TYPE, 0, 0, NULL, run_take_lowest },
	{ "acknowledge", OP_ACK | OP_LOCK_FREE | OP_CORE, 0, 0, prepare_taken,
	  run_acknowledge },
	{ "return", OP_RETURN | OP_LOCK_FREE | OP_CORE, 0, 0, prepare_taken,
	  run_return },
	{ "peek", 0, 0, 0, NULL, run_peek },
	{ "purge", OP_PURGE, 0, 0, NULL, run_purge },
	{ "stat", 0, 0, 0, NULL, run_stat },
	{ "open", OP_BURY, 0, 0, NULL, run_open },
	{ "close", OP_CLOSE | OP_CORE, 0, 0, prepare_close, run_close },
	{ "unlink", OP_UNLINK, 0, 0, NULL, run_unlink },
	{ "remove", OP_REMOVE | OP_UNLINK, 0, 0, NULL, run_remove },
	{ "notify", 0, 0, 0, NULL, run_notify },
	{ "notify-drop", 0, 0, 0, prepare_notified, run_notify_drop },
	{ "send-notified", OP_SEND, 1, SMALL_BYTES, prepare_notified,
	  run_send },
	{ "pollfd", 0, 0, 0, NULL, run_pollfd },
	{ "send-belled", OP_SEND, 1, SMALL_BYTES, prepare_belled, run_send },
	{ "wait-any", 0, 0, 0, NULL, run_wait_any },
	{ "clean", OP_BURY, 0, 0, NULL, run_clean }
};

const size_t operations_count = sizeof(operations) / sizeof(operations[0]);
