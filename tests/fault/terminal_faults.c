/* SPDX-License-Identifier: MIT */
/* Every operation on terminals while its n-th system call fails: no descriptor,
 * mapping, process or name is left, and the next goes. */
#include "inject.h"
#include "terminal.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { RUNS_MAX = 3000 };

static struct stoa_space *space;
static struct stoa_terminal *kept;
static struct stoa_terminal_client *attached;

struct case_ {
	const char *name;
	long long (*run)(void);
};

static char *const true_argv[] = { "true", NULL };

static long long make_pair(void)
{
	int controller, terminal;
	int result = stoa_terminal_pair(NULL, &controller, &terminal);

	if (result == 0) {
		close(controller);
		close(terminal);
	}
	return result;
}

/* Started, but whether it is kept to its end is another's case: the signal that
 * it is closed by may be what fails. */
static long long start_one(const char *name)
{
	struct stoa_terminal *terminal;
	int result = stoa_terminal_start(name ? space : NULL, name, NULL,
	                                 true_argv, &terminal);

	if (result == 0)
		stoa_terminal_close(terminal,
		                    stoa_deadline_in(AMPLE_MS * MS));
	return result;
}

static long long start_without_name(void)
{
	return start_one(NULL);
}

static long long start_with_name(void)
{
	return start_one("new");
}

static long long run_for_a_while(void)
{
	int result = stoa_terminal_run(kept, -1, stoa_deadline_in(2 * MS));

	return result == -ETIMEDOUT ? 0 : result;
}

static long long attach_one(void)
{
	struct stoa_terminal_client *client;
	int result = stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                                  &client);

	if (result < 0)
		return result;
	result = stoa_terminal_pollfd(client, STOA_READ);
	stoa_terminal_detach(client);
	return result < 0 ? result : 0;
}

static long long wait_for_nothing(void)
{
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];
	int result = stoa_terminal_next(attached, buffer, sizeof(buffer),
	                                stoa_deadline_in(2 * MS), &event);

	return result == -ETIMEDOUT || result == -EAGAIN ? 0 : result;
}

static long long type_something(void)
{
	ssize_t got = stoa_terminal_send(attached, "x", 1, NULL, STOA_NOW);

	/* The keeper takes it, or the queue would be full soon. */
	stoa_terminal_run(kept, -1, STOA_NOW);
	return got < 0 ? got : 0;
}

static long long list_all(void)
{
	int count = 0;
	int result = stoa_terminal_each(space, count_session, &count);

	return result < 0 ? result : 0;
}

static long long describe_one(void)
{
	struct stoa_terminal_info info;

	return stoa_terminal_find(space, "t", &info);
}

static long long remove_living(void)
{
	int result = stoa_terminal_remove(space, "t");

	return result == -EBUSY ? 0 : result == 0 ? -EINVAL : result;
}

static long long record_something(void)
{
	const struct stoa_terminal_cast cast = {
		.size = sizeof(cast), .window = { 24, 80, 0, 0 }
	};
	struct stoa_terminal_recorder *recorder;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int result = stoa_terminal_recorder_open(fd, &cast, &recorder);

	if (result == 0) {
		result = stoa_terminal_recorder_put(recorder, 'o', 0, "a", 1);
		stoa_terminal_recorder_close(recorder);
	}
	close(fd);
	return result;
}

static long long replay_something(void)
{
	static const char text[] =
	        "{\"version\": 2, \"width\": 80, \"height\": 24}\n"
	        "[0, \"o\", \"a\"]\n";
	struct stoa_terminal_cast cast = { .size = sizeof(cast) };
	struct stoa_terminal_player *player;
	struct stoa_terminal_frame frame;
	int fd = memfd_create("cast", MFD_CLOEXEC);
	int result;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_system(lseek(fd, 0, SEEK_SET));
	result = stoa_terminal_player_open(fd, &cast, &player);
	if (result == 0) {
		result = stoa_terminal_player_next(player, &frame);
		stoa_terminal_player_close(player);
	}
	close(fd);
	return result < 0 ? result : 0;
}

static const struct case_ operations[] = {
	{ "pair", make_pair },
	{ "start without a name", start_without_name },
	{ "start with a name", start_with_name },
	{ "run", run_for_a_while },
	{ "attach", attach_one },
	{ "next", wait_for_nothing },
	{ "send", type_something },
	{ "each", list_all },
	{ "find", describe_one },
	{ "remove", remove_living },
	{ "record", record_something },
	{ "replay", replay_something },
};

static const int errors[] = { ENOSPC, EMFILE, ENFILE, ENOMEM, EINTR,
	                      EAGAIN, EIO,    EACCES, ENOLCK };

static void check_left(const struct case_ *operation, int error, unsigned n,
                       int descriptors)
{
	if (count_descriptors() != descriptors)
		fail_msg("%s: error %d at call %u leaks a descriptor",
		         operation->name, error, n);
	if (waitpid(-1, NULL, WNOHANG) > 0)
		fail_msg("%s: error %d at call %u leaves a child",
		         operation->name, error, n);
}

static void run_one(const struct case_ *operation, int error)
{
	/* What the library opens once and keeps. */
	assert_int_equal(operation->run(), 0);
	for (unsigned n = 1; n < RUNS_MAX; n++) {
		int descriptors = count_descriptors();
		long long result;
		bool came;

		inject_at(error, n, false);
		result = operation->run();
		came = injected();
		if (result > 0)
			fail_msg("%s gave %lld", operation->name, result);
		check_left(operation, error, n, descriptors);
		if (!came) {
			if (result < 0)
				fail_msg("%s: %lld without an error",
				         operation->name, result);
			return;
		}
		/* It goes on. */
		result = operation->run();
		if (result != 0)
			fail_msg("%s: %lld after error %d at call %u",
			         operation->name, result, error, n);
	}
	fail_msg("%s has no end", operation->name);
}

TEST(every_operation_survives_every_failing_call)
{
	space = open_space();
	kept = start_session(space, "t", "stty raw -echo; echo ready; cat");
	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                               &attached));
	run_until_seen(kept, attached, "ready");
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			run_one(&operations[i], errors[e]);
	stoa_terminal_detach(attached);
	stoa_terminal_close(kept, stoa_deadline_in(AMPLE_MS * MS));
	assert_int_equal(count_sessions(space), 0);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_survives_every_failing_call),
};

MAIN(cases)
