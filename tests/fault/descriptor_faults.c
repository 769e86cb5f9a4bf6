/* SPDX-License-Identifier: MIT */
/* Every operation on descriptors while its n-th system call fails: nothing of a
 * message is left open, and the next goes. */
#include "descriptor.h"
#include "inject.h"

#include <signal.h>
#include <sys/mman.h>

enum { RUNS_MAX = 300, COUNT = 300 };

static struct stoa_space *space;
static struct stoa_offer *offer;
static int sockets[2], files[COUNT], got[COUNT];
static char buffer[16];
static struct stoa_descriptor_message message;

struct case_ {
	const char *name;
	long long (*run)(void);
};

static const int errors[] = { EMFILE, ENFILE, ENOMEM, EINTR, EAGAIN, EIO,
	                      EACCES, ENOSPC, ENOBUFS, ECONNRESET, ENOLCK };

/* The other side of what may have failed. */
static void kill_or_end(struct child *child)
{
	int status;

	kill(child->pid, SIGKILL);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	close(child->reports);
	close(child->orders);
}

/* ---- Operations --------------------------------------------------------------- */

static long long make_pair(void)
{
	int pair[2];
	int result = stoa_descriptor_pair(pair);

	if (result == 0)
		close_pair(pair);
	return result;
}

static long long pass(void)
{
	int result = stoa_descriptor_send(sockets[0], files, COUNT, "hello", 5,
	                                  stoa_deadline_in(AMPLE_MS * MS));

	if (result < 0)
		return result;
	ssize_t bytes = stoa_descriptor_receive(sockets[1], got, COUNT, buffer,
	                                        5,
	                                        stoa_deadline_in(AMPLE_MS * MS),
	                                        &message);
	if (bytes < 0)
		return bytes;
	assert_int_equal(message.descriptors, COUNT);
	close_files(got, COUNT);
	return 0;
}

static long long look(void)
{
	int result = stoa_descriptor_send(sockets[0], files, 1, "x", 1,
	                                  STOA_FOREVER);

	if (result == 0)
		result = stoa_descriptor_peek(sockets[1], STOA_FOREVER,
		                              &message);
	return result;
}

static long long ask_who(void)
{
	struct stoa_descriptor_peer peer;

	return stoa_descriptor_peer(sockets[0], &peer);
}

static long long make_offer(void)
{
	struct stoa_offer *other;
	int result = stoa_descriptor_offer(space, "new", 0, 0600, NULL, files,
	                                   3, "hello", 5, &other);

	if (result == 0)
		stoa_descriptor_withdraw(other);
	return result;
}

static void serve(void *context)
{
	(void)context;
	injected(); /* not in this process, which would drop the fetcher */
	stoa_descriptor_serve(offer, STOA_FOREVER, NULL);
}

static long long fetch(void)
{
	struct child child = start_child(serve, NULL);
	ssize_t result = stoa_descriptor_fetch(space, "box", 0, got, COUNT,
	                                       buffer, 5,
	                                       stoa_deadline_in(AMPLE_MS * MS),
	                                       &message);

	kill_or_end(&child);
	if (result < 0)
		return result;
	close_files(got, message.descriptors);
	return 0;
}

static void fetch_here(void *context)
{
	(void)context;
	stoa_descriptor_fetch(space, "box", 0, got, COUNT, buffer, 5,
	                      STOA_FOREVER, &message);
	_exit(0);
}

static long long serve_one(void)
{
	struct child child = start_child(fetch_here, NULL);
	int result = stoa_descriptor_serve(offer, stoa_deadline_in(SECOND / 10),
	                                   NULL);

	kill_or_end(&child);
	/* The call that failed was the fetcher's, or cost him the fetch. */
	return result > 0 || result == -ETIMEDOUT ? 0 : result;
}

static long long make_memory(void)
{
	int fd = stoa_descriptor_memory("hello", 5);
	uint64_t bytes;
	void *address;

	if (fd < 0)
		return fd;
	int result = stoa_descriptor_map(fd, STOA_READ, 5, &address, &bytes);
	close(fd);
	if (result == 0)
		munmap(address, bytes);
	return result;
}

static long long list(void)
{
	struct stoa_object_info info;

	return stoa_space_find(space, "box", &info);
}

static long long await_nobody(void)
{
	ssize_t result = stoa_descriptor_fetch(space, "nobody", STOA_AWAIT, got,
	                                       COUNT, buffer, 5,
	                                       stoa_deadline_in(MS), &message);

	return result == -ETIMEDOUT ? 0 : result;
}

static const struct case_ operations[] = {
	{ "pair", make_pair },     { "pass", pass },
	{ "peek", look },          { "peer", ask_who },
	{ "offer", make_offer },   { "fetch", fetch },
	{ "serve", serve_one },    { "memory", make_memory },
	{ "list", list },          { "await", await_nobody },
};

/* ---- The sweep ---------------------------------------------------------------- */

static void begin(void)
{
	/* Nobody loses patience because the machine is busy. */
	struct stoa_offer_attributes attributes = {
		.size = sizeof(attributes), .patience_ns = AMPLE_MS * MS
	};

	space = open_space();
	assert_ok(stoa_descriptor_pair(sockets));
	assert_ok(stoa_descriptor_offer(space, "box", 0, 0600, &attributes,
	                                files, 20, "hello", 5, &offer));
}

/* What is left of a message that failed is passed over, and another goes. */
static void drain_and_pass(void)
{
	ssize_t result;

	do {
		result = stoa_descriptor_receive(sockets[1], got, COUNT, buffer,
		                                 5, STOA_NOW, &message);
		if (result >= 0)
			close_files(got, message.descriptors);
	} while (result != -EAGAIN);
	assert_ok(pass());
}

static void end(void)
{
	stoa_descriptor_withdraw(offer);
	close_pair(sockets);
	stoa_space_clean(space, 0, NULL, NULL);
	stoa_space_close(space);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
}

/* Whether there was an n-th call to fail. */
static bool run_failing(const struct case_ *operation, int error, unsigned n)
{
	bool hit;

	begin();
	int before = count_descriptors();
	inject_at(error, n, false);
	long long result = operation->run();
	hit = injected();
	if (result != 0 && result != -error &&
	    !(error == ECONNRESET && result == -EPIPE) &&
	    !(error == EACCES && result == -EBUSY))
		fail_msg("%s, call %u failing with %d: %lld (%s)",
		         operation->name, n, error, result, stoa_last_error());
	if (error == EINTR && result != 0)
		fail_msg("%s, call %u interrupted: %lld", operation->name, n,
		         result);
	if (count_descriptors() != before)
		fail_msg("%s, call %u failing with %d: left %d descriptors",
		         operation->name, n, error,
		         count_descriptors() - before);
	drain_and_pass();
	end();
	return hit;
}

TEST(no_failing_call_leaves_a_descriptor_open)
{
	unsigned failed = 0;

	number_files(files, COUNT, 0);
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			for (unsigned n = 1; n < RUNS_MAX; n++) {
				if (!run_failing(&operations[i], errors[e], n))
					break;
				failed++;
			}
	assert_true(failed > 100);
	close_files(files, COUNT);
}

static const struct CMUnitTest cases[] = {
	CASE(no_failing_call_leaves_a_descriptor_open),
};

MAIN(cases)
