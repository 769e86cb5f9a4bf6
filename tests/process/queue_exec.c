/* SPDX-License-Identifier: MIT */
/* Programs that exec: the new program is another peer, and what the old one
 * held comes back. Programs that close all descriptors go on. */
#include "support.h"

#include <fcntl.h>
#include <sys/syscall.h>

static const struct queue_shape tiny = { STOA_FIFO, 8, 5000, 1 << 17 };

/* What the program does when it is started with an argument of its own. */
static int answer(const char *directory)
{
	struct stoa_space *space;
	struct stoa_queue *queue;
	char buffer[64];
	ssize_t bytes;

	if (stoa_space_open(directory, 0, &space) != 0 ||
	    stoa_queue_open(space, "q", STOA_READ | STOA_WRITE, 0, NULL,
	                    &queue) != 0)
		return 1;
	bytes = stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                           STOA_FOREVER, NULL);
	if (bytes < 0 ||
	    stoa_queue_send(queue, buffer, (size_t)bytes, STOA_FOREVER) != 0)
		return 1;
	/* Nothing of a space was inherited but what was just opened. */
	stoa_queue_close(queue);
	stoa_space_close(space);
	return 0;
}

static void exec_answer(void *context)
{
	struct stoa_queue *queue = context;

	if (queue != NULL) {
		take_text(queue, "held over exec");
		assert_good(stoa_queue_pollfd(queue, STOA_READ));
		report(0);
		await_order();
	}
	execl("/proc/self/exe", "queue_exec", "--answer", case_directory(),
	      NULL);
	fail_msg("exec: %s", strerror(errno));
}

TEST(a_program_that_is_executed_joins_by_name)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child children[5];

	for (size_t i = 0; i < LENGTH(children); i++)
		children[i] = start_child(exec_answer, NULL);
	for (size_t i = 0; i < LENGTH(children); i++)
		send_text(queue, "ping");
	for (size_t i = 0; i < LENGTH(children); i++)
		end_child(&children[i]);
	for (size_t i = 0; i < LENGTH(children); i++)
		assert_receives(queue, "ping");
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(what_was_held_over_an_exec_comes_back)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child;

	send_text(queue, "held over exec");
	child = start_child(exec_answer, queue);
	await_report(&child);
	assert_empty(queue);
	give_order(&child, 0);
	/* The new program receives what the old one held, and sends it on. */
	end_child(&child);
	assert_receives(queue, "held over exec");
	assert_capacity(queue, tiny.capacity);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(no_descriptor_of_the_library_is_inherited)
{
	struct stoa_space *space;
	struct stoa_queue *queue;
	bool before[256];
	int opened = 0;

	for (int fd = 0; fd < (int)LENGTH(before); fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	space = open_space();
	queue = make_queue(space, "q", tiny);
	assert_good(stoa_queue_pollfd(queue, STOA_READ));
	assert_good(stoa_queue_pollfd(queue, STOA_WRITE));
	send_text(queue, "x");
	for (int fd = 0; fd < (int)LENGTH(before); fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && !before[fd]) {
			assert_true(flags & FD_CLOEXEC);
			opened++;
		}
	}
	assert_true(opened >= 3);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* ---- Closing all descriptors ------------------------------------------ */

enum { FIRST_OWN = 20 }; /* descriptors of the test's own, moved up here */

struct closing {
	struct stoa_space *space;
	struct stoa_queue *queue;
};

static void close_all(void)
{
	assert_system(syscall(SYS_close_range, 3, FIRST_OWN - 1, 0));
	assert_system(syscall(SYS_close_range, FIRST_OWN + 10, ~0U, 0));
}

static void close_and_go_on(void *context)
{
	struct closing *closing = context;
	stoa_peer peer;
	char buffer[16];

	send_text(closing->queue, "before");
	close_all();
	assert_ok(stoa_space_self(closing->space, &peer));
	report((int64_t)peer);
	await_order();
	send_text(closing->queue, "after");
	assert_result(stoa_queue_receive(closing->queue, NULL, buffer, 16,
	                                 STOA_FOREVER, NULL),
	              6);
	assert_result(stoa_queue_receive(closing->queue, NULL, buffer, 16,
	                                 STOA_FOREVER, NULL),
	              5);
	report(0);
	assert_result(stoa_queue_receive(closing->queue, NULL, buffer, 16,
	                                 STOA_FOREVER, NULL),
	              4);
	assert_ok(stoa_space_self(closing->space, &peer));
	report((int64_t)peer);
	await_order();
	take_text(closing->queue, "kept");
	report(0);
	await_order();
}

/* The pipes of a child have the numbers that close_all() spares. */
static struct child start_above(void (*run)(void *), void *context)
{
	int filler[FIRST_OWN];
	int count = 0;
	struct child child;

	while (count < FIRST_OWN) {
		filler[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_system(filler[count]);
		if (filler[count++] >= FIRST_OWN - 1)
			break;
	}
	child = start_child(run, context);
	while (count > 0)
		close(filler[--count]);
	return child;
}

TEST(a_process_that_closed_all_descriptors_goes_on)
{
	struct closing closing = { .space = open_space() };
	struct child child;
	stoa_peer peer;

	closing.queue = make_queue(closing.space, "q", tiny);
	child = start_above(close_and_go_on, &closing);
	peer = (stoa_peer)await_report(&child);
	assert_result(stoa_space_alive(closing.space, peer), 1);
	give_order(&child, 0);
	await_report(&child);
	until_waiting(closing.queue, 1, 0);
	until_blocked(child.pid);
	send_text(closing.queue, "wake");
	peer = (stoa_peer)await_report(&child);
	assert_result(stoa_space_alive(closing.space, peer), 1);
	send_text(closing.queue, "kept");
	give_order(&child, 0);
	await_report(&child);
	assert_result(stoa_space_clean(closing.space, 0, NULL, NULL), 0);
	assert_int_equal(stat_of(closing.queue).taken, 1);
	stoa_queue_close(closing.queue);
	stoa_space_close(closing.space);
	kill_child(&child);
}

static void close_while_holding(void *context)
{
	struct closing *closing = context;
	struct stoa_message message = take_text(closing->queue, "held");
	stoa_peer peer;
	int result;

	close_all();
	assert_ok(stoa_space_self(closing->space, &peer));
	report((int64_t)peer);
	await_order();
	result = stoa_queue_acknowledge(closing->queue, &message);
	assert_true(result == 0 || result == -ESTALE);
	report(result);
}

/* The message is acknowledged once, or given back once: never both. */
TEST(what_was_held_when_all_was_closed_is_neither_lost_nor_doubled)
{
	struct closing closing = { .space = open_space() };

	closing.queue = make_queue(closing.space, "q", tiny);
	for (int round = 0; round < 2; round++) {
		struct child child;
		int64_t result;

		send_text(closing.queue, "held");
		child = start_above(close_while_holding, &closing);
		await_report(&child);
		if (round == 1)
			assert_good(
				stoa_space_clean(closing.space, 0, NULL, NULL));
		give_order(&child, 0);
		result = await_report(&child);
		end_child(&child);
		assert_good(stoa_space_clean(closing.space, 0, NULL, NULL));
		if (result == 0)
			assert_empty(closing.queue);
		else
			assert_receives(closing.queue, "held");
		assert_capacity(closing.queue, tiny.capacity);
	}
	stoa_queue_close(closing.queue);
	stoa_space_close(closing.space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_program_that_is_executed_joins_by_name),
	CASE(what_was_held_over_an_exec_comes_back),
	CASE(no_descriptor_of_the_library_is_inherited),
	CASE(a_process_that_closed_all_descriptors_goes_on),
	CASE(what_was_held_when_all_was_closed_is_neither_lost_nor_doubled),
};

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--answer") == 0)
		return answer(argv[2]);
	return run_cases(argc, argv, cases, LENGTH(cases));
}
