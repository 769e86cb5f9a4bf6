/* SPDX-License-Identifier: MIT */
/* The guard: faults in stoa's own mappings become -EIO, all others go to the
 * handler that was there before. */
#include "support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096 };

static const struct queue_shape tiny = { STOA_FIFO, 4, 5000, 1 << 16 };
static sigjmp_buf after_fault;
static void *volatile fault_address;

/* A mapping whose file has been cut: reading it raises SIGBUS. */
static volatile char *map_cut_file(void)
{
	int fd = open(case_path("cut"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char *address;

	assert_system(fd);
	assert_system(ftruncate(fd, PAGE));
	address = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(address != MAP_FAILED);
	assert_system(ftruncate(fd, 0));
	close(fd);
	unlink(case_path("cut"));
	return address;
}

static void catch_fault(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	fault_address = info->si_addr;
	siglongjmp(after_fault, 1);
}

static void catch_plainly(int number)
{
	(void)number;
	siglongjmp(after_fault, 1);
}

static void touch(volatile char *address)
{
	if (sigsetjmp(after_fault, 1) == 0) {
		(void)*address;
		fail_msg("no fault");
	}
}

TEST(a_fault_elsewhere_goes_to_the_handler_that_was_there)
{
	struct sigaction action = { .sa_sigaction = catch_fault,
		                    .sa_flags = SA_SIGINFO };
	volatile char *address = map_cut_file();

	assert_system(sigaction(SIGBUS, &action, NULL));
	assert_ok(stoa_guard());
	fault_address = NULL;
	touch(address);
	assert_ptr_equal(fault_address, address);
	munmap((void *)(uintptr_t)address, PAGE);
}

TEST(a_plain_handler_is_called_as_well)
{
	struct sigaction action = { .sa_handler = catch_plainly };
	volatile char *address = map_cut_file();

	assert_system(sigaction(SIGBUS, &action, NULL));
	assert_ok(stoa_guard());
	touch(address);
	munmap((void *)(uintptr_t)address, PAGE);
}

static void assert_ends_by(void (*run)(void *), void *context, int number)
{
	struct child child = start_child(run, context);
	int status;

	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	close(child.reports);
	close(child.orders);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != number)
		fail_msg("ended with status %#x", status);
}

static void fault_without_handler(void *context)
{
	signal(SIGBUS, SIG_DFL);
	assert_ok(stoa_guard());
	(void)*(volatile char *)context;
}

TEST(without_another_handler_a_fault_elsewhere_ends_the_process)
{
	volatile char *address = map_cut_file();

	assert_ends_by(fault_without_handler, (void *)(uintptr_t)address,
	               SIGBUS);
	munmap((void *)(uintptr_t)address, PAGE);
}

static void use_unguarded(void *context)
{
	signal(SIGBUS, SIG_DFL);
	stoa_queue_send(context, "x", 1, STOA_NOW);
}

TEST(without_the_guard_a_cut_object_ends_the_process)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);

	assert_system(truncate(case_path("q.queue"), 0));
	assert_ends_by(use_unguarded, queue, SIGBUS);
	assert_ok(stoa_guard());
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void cut_to(off_t bytes)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = make_queue(space, "other", tiny);
	static char data[5000];
	struct stoa_message held;
	ssize_t result;

	assert_ok(stoa_queue_send(queue, data, sizeof(data), STOA_NOW));
	assert_ok(stoa_queue_send(queue, data, sizeof(data), STOA_NOW));
	assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &held));
	assert_system(truncate(case_path("q.queue"), bytes));
	result = stoa_queue_receive(queue, NULL, data, sizeof(data), STOA_NOW,
	                            NULL);
	if (result != -EIO && result != -EUCLEAN)
		fail_msg("cut to %ld bytes: %zd", (long)bytes, result);
	assert_sentence("q");
	result = stoa_queue_send(queue, data, sizeof(data), STOA_NOW);
	assert_true(result == -EIO || result == -EUCLEAN);
	send_text(other, "unharmed");
	assert_receives(other, "unharmed");
	stoa_queue_close(other);
	stoa_queue_close(queue);
	assert_good(stoa_space_remove(space, "q", 0));
	assert_good(stoa_space_remove(space, "other", 0));
	stoa_space_close(space);
}

/* Header, seats, control, cells and the start of the arena are all there. */
TEST(an_object_cut_at_any_page_is_eio_and_others_go_on)
{
	assert_ok(stoa_guard());
	for (off_t page = 0; page < 4; page++)
		cut_to(page * PAGE);
}

static const struct CMUnitTest cases[] = {
	CASE(a_fault_elsewhere_goes_to_the_handler_that_was_there),
	CASE(a_plain_handler_is_called_as_well),
	CASE(without_another_handler_a_fault_elsewhere_ends_the_process),
	CASE(without_the_guard_a_cut_object_ends_the_process),
	CASE(an_object_cut_at_any_page_is_eio_and_others_go_on),
};

MAIN(cases)
