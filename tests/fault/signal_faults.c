/* SPDX-License-Identifier: MIT */
/* Every operation on signals while its n-th system call fails: nothing leaks, no
 * signal is lost, and the thread blocks what it blocked before. */
#include "inject.h"
#include "signals.h"

#include <sys/mman.h>

enum { RUNS_MAX = 200 };

static struct stoa_space *space;
static struct stoa_queue *queue;
static struct stoa_signal_target *self, *target;
static struct stoa_signal *standing, *signal_;
static stoa_peer peer;

struct case_ {
	const char *name;
	long long (*run)(void);
	void (*undo)(void); /* after a success */
	bool waits;         /* the signal stays if it fails */
};

static long long open_process(void)
{
	return stoa_signal_target_open(getpid(), STOA_SIGNAL_PROCESS, &target);
}

static long long open_thread(void)
{
	return stoa_signal_target_open(getpid(), STOA_SIGNAL_THREAD, &target);
}

static long long open_pidfd(void)
{
	return stoa_signal_target_pidfd(stoa_signal_target_pollfd(self),
	                                STOA_SIGNAL_PROCESS, &target);
}

static long long open_peer(void)
{
	return stoa_signal_target_peer(space, peer, &target);
}

static void close_target(void)
{
	stoa_signal_target_close(target);
}

static long long ask(void)
{
	return stoa_signal_send(self, 0);
}

static long long open_signal(void)
{
	return stoa_signal_open(STOA_SIGNAL(SIGUSR2), 0, &signal_);
}

static void close_signal(void)
{
	stoa_signal_close(signal_);
}

static long long take(void)
{
	long long result = stoa_signal_wait(STOA_SIGNAL(RT), 0, STOA_FOREVER,
	                                    NULL);

	return result == RT ? 0 : result;
}

static long long read_one(void)
{
	struct stoa_signal_info info;
	long long result = stoa_signal_read(standing, &info, 1, STOA_FOREVER);

	return result == 1 ? 0 : result;
}

static long long forward(void)
{
	long long result = stoa_signal_forward(standing, queue, 1,
	                                       STOA_FOREVER);

	return result == 1 ? 0 : result;
}

static void undo_forward(void)
{
	struct stoa_signal_info info;

	assert_result(stoa_queue_receive(queue, NULL, &info, sizeof(info),
	                                 STOA_NOW, NULL),
	              sizeof(info));
	assert_int_equal(info.number, RT);
}

static long long look(void)
{
	struct stoa_signal_state state = { .size = sizeof(state) };

	return stoa_signal_look(0, 0, &state);
}

static int count_one(const struct stoa_signal_state *state, void *context)
{
	(void)state, (void)context;
	return 0;
}

static long long each_thread(void)
{
	long long result = stoa_signal_each_thread(0, count_one, NULL);

	return result >= 1 ? 0 : result;
}

static const struct case_ operations[] = {
	{ "open a process", open_process, close_target, false },
	{ "open a thread", open_thread, close_target, false },
	{ "open a pidfd", open_pidfd, close_target, false },
	{ "open a peer", open_peer, close_target, false },
	{ "ask", ask, NULL, false },
	{ "open", open_signal, close_signal, false },
	{ "wait", take, NULL, true },
	{ "read", read_one, NULL, true },
	{ "forward", forward, undo_forward, true },
	{ "look", look, NULL, false },
	{ "each thread", each_thread, NULL, false },
};

static void check_after(const struct case_ *operation, int error, unsigned n,
                        long long result, int descriptors,
                        stoa_signal_set blocked)
{
	stoa_signal_set now = 0, pending = 0;

	assert_ok(stoa_signal_blocked(&now));
	assert_ok(stoa_signal_pending(&pending));
	if (result > 0 || (result < 0 && error == EINTR))
		fail_msg("%s: error %d at call %u gave %lld", operation->name,
		         error, n, result);
	if (now != blocked)
		fail_msg("%s: error %d at call %u left a mask",
		         operation->name, error, n);
	if (count_descriptors() != descriptors)
		fail_msg("%s: error %d at call %u leaks a descriptor",
		         operation->name, error, n);
	bool lost = !(pending & STOA_SIGNAL(RT));
	if (operation->waits && lost != (result == 0))
		fail_msg("%s: error %d at call %u: %lld, and the signal %s",
		         operation->name, error, n, result,
		         lost ? "is gone" : "waits");
}

static void run_one(const struct case_ *operation, int error)
{
	/* What the library opens once and keeps. */
	if (!operation->waits) {
		assert_int_equal(operation->run(), 0);
		if (operation->undo)
			operation->undo();
	}
	for (unsigned n = 1; n < RUNS_MAX; n++) {
		int descriptors = count_descriptors();
		stoa_signal_set blocked = 0;
		long long result;
		bool came;

		assert_ok(stoa_signal_blocked(&blocked));
		if (operation->waits)
			assert_ok(stoa_signal_queue(self, RT, value_of(n)));
		inject_at(error, n, false);
		result = operation->run();
		came = injected();
		if (result == 0 && operation->undo)
			operation->undo();
		check_after(operation, error, n, result, descriptors, blocked);
		if (operation->waits && result < 0)
			assert_int_equal(take(), 0);
		if (!came) {
			assert_int_equal(result, 0);
			return;
		}
	}
	fail_msg("%s has no end", operation->name);
}

TEST(every_operation_survives_every_failing_call)
{
	static const int errors[] = { EMFILE, ENFILE, ENOMEM, EINTR,
		                      EAGAIN, EIO,    EACCES };
	struct queue_shape shape = { STOA_FIFO, 4, 64, 4096 };

	space = open_space();
	assert_ok(stoa_space_self(space, &peer));
	queue = make_queue(space, "q", shape);
	self = target_of(getpid());
	assert_ok(stoa_signal_open(STOA_SIGNAL(RT), 0, &standing));
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			run_one(&operations[i], errors[e]);
	stoa_signal_close(standing);
	stoa_signal_target_close(self);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* As a process without room for descriptors sees it. */
TEST(walls_are_told)
{
	struct rlimit none, before;

	self = target_of(getpid());
	assert_system(getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = (rlim_t)stoa_signal_target_pollfd(self) + 1;
	assert_system(setrlimit(RLIMIT_NOFILE, &none));
	assert_result(open_process(), -EMFILE);
	assert_sentence("can't be held");
	assert_result(open_pidfd(), -EMFILE);
	assert_result(open_signal(), -EMFILE);
	assert_sentence("open files");
	assert_result(look(), -EMFILE);
	assert_ok(stoa_signal_send(self, 0));
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	stoa_signal_target_close(self);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_survives_every_failing_call),
	CASE(walls_are_told),
};

MAIN(cases)
