/* SPDX-License-Identifier: MIT */
/* Making and opening ports; poll descriptors; waiting for several; callers. */
#include "port.h"

#include <data/port_internal.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

TEST(a_port_is_made_as_asked)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 7, 100, 1000), *again = NULL;
	struct stoa_port_status status = port_status(port);
	struct stat stat;

	assert_int_equal(status.calls, 7);
	assert_int_equal(status.copy_bytes, 100);
	assert_int_equal(status.grant_bytes, 1000);
	assert_system(lstat(case_path("p.port"), &stat));
	assert_int_equal(stat.st_mode & 07777, 0600);
	assert_result(stoa_port_open(space, "p",
	                             BOTH | STOA_CREATE | STOA_EXCLUSIVE, 0600,
	                             NULL, &again),
	              -EEXIST);
	assert_ok(stoa_port_open(space, "p", BOTH | STOA_CREATE, 0600, NULL,
	                         &again));
	assert_int_equal(port_status(again).calls, 7);
	assert_int_equal(port_status(again).generation, status.generation);
	stoa_port_close(again);
	assert_ok(stoa_port_unlink(space, "p"));
	assert_result(stoa_port_unlink(space, "p"), -ENOENT);
	assert_result(stoa_port_open(space, "p", BOTH, 0, NULL, &again),
	              -ENOENT);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_port_close(NULL);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(what_cant_be_is_refused)
{
	static const struct stoa_port_attributes wrong[] = {
		{ .size = 1 },
		{ .size = sizeof(wrong[0]), .calls = STOA_PORT_CALLS_MAX + 1 },
		{ .size = sizeof(wrong[0]), .copy_bytes = STOA_PORT_COPY_MAX + 1 },
		{ .size = sizeof(wrong[0]), .copy_bytes = 100, .grant_bytes = 99 },
		{ .size = sizeof(wrong[0]),
		  .grant_bytes = STOA_PORT_GRANT_MAX + 1 },
		{ .size = sizeof(wrong[0]), .reserved_word = 1 },
		{ .size = sizeof(wrong[0]), .reserved = { 0, 0, 0, 1 } },
	};
	static const unsigned flags[] = { 0, STOA_CREATE, BOTH | STOA_SHARED,
		                          BOTH | 0x8000 };
	struct stoa_space *space = open_space();
	struct stoa_port *port;

	for (size_t i = 0; i < LENGTH(wrong); i++)
		assert_result(stoa_port_open(space, "p", BOTH | STOA_CREATE,
		                             0600, &wrong[i], &port),
		              -EINVAL);
	for (size_t i = 0; i < LENGTH(flags); i++)
		assert_result(stoa_port_open(space, "p", flags[i], 0600, NULL,
		                             &port),
		              -EINVAL);
	assert_result(stoa_port_open(space, NULL, BOTH | STOA_CREATE, 0600,
	                             NULL, &port),
	              -EINVAL);
	assert_result(stoa_port_open(space, "a/b", BOTH | STOA_CREATE, 0600,
	                             NULL, &port),
	              -EINVAL);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(a_header_that_cant_be_true_is_damage)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	uint64_t calls = 5;
	int fd = open(case_path("p.port"), O_RDWR | O_CLOEXEC);

	stoa_port_close(port);
	assert_system(fd);
	assert_int_equal(pwrite(fd, &calls, sizeof(calls), 88), sizeof(calls));
	close(fd);
	assert_result(stoa_port_open(space, "p", BOTH, 0, NULL, &port),
	              -EUCLEAN);
	assert_sentence("can't be true");
	stoa_space_close(space);
}

static bool readable(int fd)
{
	struct pollfd poll_fd = { fd, POLLIN, 0 };

	return poll(&poll_fd, 1, 0) == 1;
}

static void fall_back(struct stoa_port *port)
{
	struct stoa_port_request request;

	assert_result(stoa_port_take(port, NULL, 0, STOA_NOW, &request),
	              -EAGAIN);
}

TEST(a_servers_poll_descriptor_tells_of_requests)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct stoa_port *client = join_port(space, STOA_WRITE);
	int fd = (int)assert_good(stoa_port_pollfd(port, STOA_READ));

	fall_back(port);
	assert_false(readable(fd));
	struct stoa_port_ticket ticket = start_text(client, "x");
	assert_true(readable(fd));
	serve_text(port, "x", NULL);
	fall_back(port);
	assert_false(readable(fd));
	finish_text(client, &ticket, "x");
	assert_result(stoa_port_pollfd(port, 3), -EINVAL);
	stoa_port_close(client);
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	stoa_space_close(space);
}

TEST(a_clients_poll_descriptor_tells_of_replies)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct stoa_port *client = join_port(space, STOA_WRITE);
	struct stoa_port_reply reply;

	for (int round = 0; round < 3; round++) {
		int fd = (int)assert_good(stoa_port_pollfd(client, STOA_READ));
		struct stoa_port_ticket ticket = start_text(client, "x");

		assert_result(stoa_port_wait(client, &ticket, STOA_NOW, &reply),
		              -EAGAIN);
		assert_false(readable(fd));
		serve_text(port, "x", NULL);
		assert_true(readable(fd));
		finish_text(client, &ticket, "x");
	}
	stoa_port_close(client);
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	stoa_space_close(space);
}

TEST(a_full_ports_poll_descriptor_tells_of_room)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 1, 0, 0);
	int fd = (int)assert_good(stoa_port_pollfd(port, STOA_WRITE));
	struct stoa_port_ticket one = start_text(port, "x");
	struct stoa_port_ticket two = start_text(port, "y"), more;

	assert_result(stoa_port_start(port, "z", 1, STOA_NOW, &more), -EAGAIN);
	assert_false(readable(fd));
	assert_ok(stoa_port_cancel(port, &two));
	assert_true(readable(fd));
	assert_ok(stoa_port_cancel(port, &one));
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	stoa_space_close(space);
}

TEST(several_conditions_are_waited_for)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port *client = join_port(space, STOA_WRITE);
	struct stoa_port_ticket a = start_text(client, "a");
	struct stoa_port_ticket b = start_text(client, "b");
	struct stoa_wait waits[] = {
		{ .kind = STOA_READABLE,
		  .object = stoa_port_object(client),
		  .detail = &a },
		{ .kind = STOA_READABLE,
		  .object = stoa_port_object(client),
		  .detail = &b },
		{ .kind = STOA_READABLE, .object = stoa_port_object(client) },
		{ .kind = STOA_READABLE, .object = stoa_port_object(port) },
		{ .kind = STOA_WRITABLE, .object = stoa_port_object(client) },
	};
	struct stoa_port_request first, second;

	assert_result(stoa_wait_any(waits, 3, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(waits, 5, STOA_NOW), 3);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &first));
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &second));
	assert_result(stoa_wait_any(waits, 4, STOA_NOW), -EAGAIN);
	assert_ok(stoa_port_reply(port, &second, 0, "b", 1, STOA_NOW));
	assert_result(stoa_wait_any(waits, 4, STOA_FOREVER), 1);
	assert_result(stoa_wait_any(waits + 2, 2, STOA_FOREVER), 0);
	finish_text(client, &b, "b");
	assert_result(stoa_wait_any(waits + 2, 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(waits + 4, 1, STOA_NOW), 0);
	assert_ok(stoa_port_return(port, &first));
	serve_text(port, "a", NULL);
	finish_text(client, &a, "a");
	stoa_port_close(client);
	stoa_port_close(port);
	stoa_space_close(space);
}

/* ---- Callers ------------------------------------------------------------- */

static struct stoa_port_caller who(struct stoa_port *port, const char *text)
{
	struct stoa_port_request request;
	struct stoa_port_caller caller = { 0 };

	assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER, &request));
	assert_ok(stoa_port_caller(port, &request, &caller));
	assert_ok(stoa_port_reply(port, &request, 0, text, strlen(text),
	                          STOA_NOW));
	return caller;
}

TEST(a_process_that_calls_itself_is_told_itself_and_keeps_its_lock)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct stoa_port *other = join_port(space, STOA_WRITE);

	for (int i = 0; i < 2; i++) {
		struct stoa_port_ticket mine = start_text(port, "x");
		struct stoa_port_caller caller = who(port, "x");

		assert_int_equal(caller.pid, getpid());
		assert_int_equal(caller.uid, geteuid());
		assert_int_equal(caller.gid, getegid());
		finish_text(port, &mine, "x");
		mine = start_text(other, "x");
		assert_int_equal(who(port, "x").pid, getpid());
		finish_text(other, &mine, "x");
	}
	stoa_port_close(other);
	stoa_port_close(port);
	stoa_space_close(space);
}

static void call_twice(void *context)
{
	struct stoa_port *port = context;
	char reply[8];

	for (int i = 0; i < 2; i++)
		assert_result(stoa_port_call(port, "x", 1, reply, 8,
		                             STOA_FOREVER),
		              1);
	stoa_port_close(port);
}

TEST(a_forked_child_calls_as_itself)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct stoa_port_ticket mine = start_text(port, "x");

	assert_int_equal(who(port, "x").pid, getpid());
	finish_text(port, &mine, "x");
	struct child child = start_child(call_twice, port);
	assert_int_equal(who(port, "y").pid, child.pid);
	assert_int_equal(who(port, "y").pid, child.pid);
	end_child(&child);
	mine = start_text(port, "x");
	assert_int_equal(who(port, "x").pid, getpid());
	finish_text(port, &mine, "x");
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static void call_as_nobody(void *context UNUSED)
{
	struct stoa_space *space = NULL;
	struct stoa_port *port = NULL;
	struct stoa_port_ticket ticket;
	char reply[8];
	void *data;

	become_nobody();
	assert_ok(stoa_space_open(case_directory(), 0, &space));
	assert_ok(stoa_port_open(space, "p", STOA_WRITE, 0, NULL, &port));
	assert_result(stoa_port_call(port, "x", 1, reply, 8, STOA_FOREVER), 1);
	assert_ok(stoa_port_reserve(port, 5000, STOA_PORT_MAPPED, STOA_NOW,
	                            &ticket, &data));
	assert_ok(stoa_port_commit(port, &ticket, 5000));
	finish_text(port, &ticket, "y");
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(another_user_is_told_as_the_kernel_knows_it)
{
	struct stoa_space *space = NULL;
	struct stoa_port *port = NULL;
	struct stoa_port_attributes attributes = { .size = sizeof(attributes) };

	skip_unless_root();
	assert_system(chmod(case_directory(), 01777));
	assert_ok(stoa_space_open(case_directory(), 0, &space));
	assert_ok(stoa_port_open(space, "p", BOTH | STOA_CREATE, 0666,
	                         &attributes, &port));
	struct child child = start_child(call_as_nobody, NULL);
	struct stoa_port_caller caller = who(port, "x");
	assert_int_equal(caller.uid, NOBODY);
	assert_int_equal(caller.gid, NOBODY);
	assert_int_equal(caller.pid, child.pid);
	assert_int_equal(caller.bytes_checked, 0);
	caller = who(port, "y");
	assert_int_equal(caller.uid, NOBODY);
	assert_int_equal(caller.bytes_checked, 1);
	end_child(&child);
	stoa_port_close(port);
	stoa_space_close(space);
}

/* The passport of the handle whose token is written there. */
static void find_passport(char *path, size_t room)
{
	char command[512];

	snprintf(command, sizeof(command), "ls -a %s | grep '00000000$'",
	         case_directory());
	FILE *list = popen(command, "re");
	assert_non_null(list);
	char name[128] = { 0 };
	assert_int_equal(fscanf(list, "%127s", name), 1);
	pclose(list);
	snprintf(path, room, "%s/%s", case_directory(), name);
}

/* By one who may write the port: the words of a call that is over say READY
 * again. */
static void forge(struct stoa_port *port, struct stoa_port_ticket ticket)
{
	struct stoa_port_request request;
	struct stoa_port_caller caller;
	_Atomic uint64_t *word = &port->cells[ticket.cell].word;
	uint64_t was = atomic_exchange(word, ticket.word);

	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_caller(port, &request, &caller), -EPERM);
	atomic_store(word, was);
}

TEST(nobody_vouches_for_a_call_that_is_over)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct stoa_port_ticket kept = start_text(port, "x"), is_kept = kept;
	struct stoa_port_ticket freed = start_text(port, "x"), is_freed = freed;
	struct stoa_port_ticket given_up = start_text(port, "x");
	struct stoa_port_ticket is_given_up = given_up;

	assert_ok(stoa_port_cancel(port, &given_up));
	serve_text(port, "x", "y");
	serve_text(port, "x", "y");
	finish_text(port, &kept, "y");
	finish_text(port, &freed, "y");
	forge(port, is_kept);
	forge(port, is_freed);
	forge(port, is_given_up);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(nobody_vouches_for_what_a_passport_doesnt_name)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct stoa_port_ticket ticket = start_text(port, "x");
	struct stoa_port_request request;
	struct stoa_port_caller caller;
	char path[256], copy[300];

	find_passport(path, sizeof(path));
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	/* Two names: it may be a link to somebody else's. */
	snprintf(copy, sizeof(copy), "%s.link", path);
	assert_system(link(path, copy));
	assert_result(stoa_port_caller(port, &request, &caller), -EPERM);
	assert_sentence("vouches");
	assert_system(unlink(copy));
	assert_ok(stoa_port_caller(port, &request, &caller));
	/* Another file in its place, which names no request. */
	assert_system(unlink(path));
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	assert_system(fd);
	assert_system(ftruncate(fd, 4096));
	close(fd);
	assert_result(stoa_port_caller(port, &request, &caller), -EPERM);
	/* None. */
	assert_system(unlink(path));
	assert_result(stoa_port_caller(port, &request, &caller), -EPERM);
	assert_ok(stoa_port_reply(port, &request, 0, "x", 1, STOA_NOW));
	assert_result(stoa_port_caller(port, &request, &caller), -ESTALE);
	finish_text(port, &ticket, "x");
	stoa_port_close(port);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_port_is_made_as_asked),
	CASE(what_cant_be_is_refused),
	CASE(a_header_that_cant_be_true_is_damage),
	CASE(a_servers_poll_descriptor_tells_of_requests),
	CASE(a_clients_poll_descriptor_tells_of_replies),
	CASE(a_full_ports_poll_descriptor_tells_of_room),
	CASE(several_conditions_are_waited_for),
	CASE(a_process_that_calls_itself_is_told_itself_and_keeps_its_lock),
	CASE(a_forked_child_calls_as_itself),
	CASE(another_user_is_told_as_the_kernel_knows_it),
	CASE(nobody_vouches_for_a_call_that_is_over),
	CASE(nobody_vouches_for_what_a_passport_doesnt_name),
};

MAIN(cases)
