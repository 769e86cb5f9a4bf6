/* SPDX-License-Identifier: MIT */
/* Segments and mappings in a PID namespace of their own. */
#include "segment.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

static void attach_as_first(void)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one = join_segment(space, "s", STOA_WRITE);
	struct stoa_mapping_attributes attributes = {
		.size = sizeof(attributes),
		.file = open(case_path("s.segment"), O_RDONLY | O_CLOEXEC),
		.protection = STOA_READ
	};
	struct stoa_mapping *mapping;
	char magic[8];

	assert_int_equal(getpid(), 1);
	assert_ok(stoa_mapping_map(&attributes, &mapping));
	assert_result(stoa_mapping_read(mapping, 0, magic, 8), 8);
	assert_string_equal(magic, "stoaobj");
	stoa_mapping_unmap(mapping);
	close(attributes.file);
	report(stoa_segment_attached(one));
	await_order();
	stoa_segment_close(one);
	stoa_space_close(space);
}

static void become_namespace(void *context)
{
	pid_t pid;
	int status;

	(void)context;
	if (unshare(CLONE_NEWPID) != 0) {
		report(0);
		return;
	}
	pid = fork();
	if (pid == 0) {
		attach_as_first();
		_exit(EXIT_SUCCESS);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

TEST(who_is_in_another_namespace_counts)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct child child = start_child(become_namespace, NULL);
	int64_t attached = await_report(&child);

	if (attached == 0) {
		end_child(&child);
		close_segment(space, one, "s");
		skip_case("no PID namespace allowed");
	}
	/* This one, the child and the inner one by inheritance, its own. */
	assert_int_equal(attached, 4);
	assert_result(stoa_segment_attached(one), 4);
	give_order(&child, 0);
	end_child(&child);
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, "s");
}

static const struct CMUnitTest cases[] = {
	CASE(who_is_in_another_namespace_counts),
};

MAIN(cases)
