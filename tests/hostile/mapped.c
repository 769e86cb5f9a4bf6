/* SPDX-License-Identifier: MIT */
/*
 * Files that are cut or punched while they are mapped. With stoa_guard() the
 * call that meets the hole answers -EIO and the program lives; without it the
 * program dies by SIGBUS, which shows that the holes are real.
 */
#include "hostile.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <data/queue_internal.h>

enum {
	PAGE_BYTES = 4096,
	WAITERS = 4,
	FILL_BYTES = 1 << 16,
	PREPARED = 12,
	TIMES = 8
};

/* Of the queue's shapes: all sizes by order of sending. */
enum { IN_ORDER = 1 };

static struct victim victim_to_cut(struct stoa_space *space,
                                   const struct noun *noun, unsigned shape)
{
	struct victim victim = victim_of(space, noun, shape, MS);

	victim.may_be_cut = true;
	return victim;
}

/* Runs `run` in a process of its own; gives its wait status. */
static int in_child(void (*run)(void *context), void *context)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		run(context);
		_exit(EXIT_SUCCESS);
	}
	assert_system(pid);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- Cut while mapped --------------------------------------------------- */

struct cut {
	struct image image;
	struct stoa_space *space;
	size_t bytes;
	const struct operation *operation;
	unsigned trials;
};

static uint32_t is_poisoned(const struct victim *victim)
{
	return atomic_load(&victim->object->poisoned);
}

/* Some operations first, so that all have something to do. */
static void prepare(struct victim *victim)
{
	const size_t count = operations_of(victim->noun);

	for (size_t i = 0; i < count && i < PREPARED; i++)
		operate(victim, &victim->noun->operations[i]);
}

/* One operation on the cut file: if it met the hole, it must say so. */
static void meet_hole(struct victim *victim, const struct operation *operation)
{
	uint32_t before = is_poisoned(victim);
	long long result;

	victim->whole_at_loan = false;
	result = operate(victim, operation);
	if (before == 0 && is_poisoned(victim) && !victim->whole_at_loan &&
	    result != -EIO && result != -EINVAL /* what was asked for */)
		finding("%s met the hole and gave %lld", operation->name,
		        result);
}

static void meet_hole_in_all(struct victim *victim)
{
	for (const struct operation *operation = victim->noun->operations;
	     operation->name != NULL; operation++)
		meet_hole(victim, operation);
}

static void cut_then_operate(void *context)
{
	struct cut *cut = context;
	struct stoa_space *space;
	struct victim victim;

	assert_int_equal(stoa_guard(), 0);
	if (stoa_space_open(case_directory(), 0, &space) != 0)
		_exit(EXIT_FAILURE);
	victim = victim_to_cut(space, cut->image.noun, cut->image.shape);
	if (victim_open(&victim) != 0)
		finding("can't open");
	victim.chance += cut->trials;
	prepare(&victim);
	trial("%s after a cut to %zu bytes",
	      cut->operation != NULL ? cut->operation->name : "all",
	      cut->bytes);
	assert_system(ftruncate(cut->image.fd, (off_t)cut->bytes));
	if (cut->operation != NULL) {
		for (int i = 0; i < TIMES; i++)
			meet_hole(&victim, cut->operation);
	} else {
		meet_hole_in_all(&victim);
		for (size_t i = 0; i < space_operation_count; i++)
			operate(&victim, &space_operations[i]);
	}
	victim_close(&victim);
	stoa_space_close(space);
}

static void set_up(struct cut *cut, const struct noun *noun, unsigned shape)
{
	memset(cut, 0, sizeof(*cut));
	cut->space = open_space();
	noun->populate(cut->space, "q", shape);
	image_open(&cut->image, cut->space, noun, "q", shape);
}

static void set_up_queue(struct cut *cut)
{
	set_up(cut, find_noun("queue"), IN_ORDER);
}

static void mend(struct cut *cut)
{
	assert_system(ftruncate(cut->image.fd, (off_t)cut->image.bytes));
	image_restore(&cut->image);
}

static void tear_down(struct cut *cut)
{
	image_close(&cut->image);
	stoa_space_close(cut->space);
	remove_tree(case_directory());
	assert_system(mkdir(case_directory(), 0700));
}

static void check_child(struct cut *cut)
{
	int status = in_child(cut_then_operate, cut);

	cut->trials++;
	if (status != 0)
		fail_msg("the victim ended with status %#x", status);
	mend(cut);
}

static void a_file_cut_at_any_page_is_eio(const struct noun *noun)
{
	struct cut cut;

	for (unsigned i = 0; i < noun->shapes; i++) {
		set_up(&cut, noun, i);
		for (cut.bytes = 0; cut.bytes < cut.image.bytes;
		     cut.bytes += PAGE_BYTES)
			check_child(&cut);
		tear_down(&cut);
	}
}

static void each_operation_that_meets_the_hole_says_so(const struct noun *noun)
{
	struct cut cut;

	for (unsigned i = 0; i < noun->shapes; i++) {
		set_up(&cut, noun, i);
		for (size_t j = 0; j < operations_of(noun); j++) {
			const size_t own = OBJECT_KIND_OFFSET;
			const size_t sizes[] = { 0, PAGE_BYTES, own,
				                 own + PAGE_BYTES };

			cut.operation = &noun->operations[j];
			for (size_t k = 0; k < LENGTH(sizes); k++) {
				cut.bytes = sizes[k];
				check_child(&cut);
			}
		}
		tear_down(&cut);
	}
}

static void use_without_guard(void *context)
{
	struct cut *cut = context;
	struct stoa_queue *queue = join_queue(cut->space, "q");

	signal(SIGBUS, SIG_DFL);
	assert_system(ftruncate(cut->image.fd, 0));
	stoa_queue_send(queue, "x", 1, STOA_NOW);
}

TEST(without_the_guard_the_program_dies_by_sigbus)
{
	struct cut cut;
	int status;

	set_up_queue(&cut);
	status = in_child(use_without_guard, &cut);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	tear_down(&cut);
}

/* ---- Cut while somebody waits ------------------------------------------- */

struct waiter {
	pthread_t thread;
	struct stoa_queue *queue;
	unsigned number;
	long long result;
};

static void *wait_in_thread(void *context)
{
	struct waiter *waiter = context;
	struct stoa_message message;
	struct stoa_wait condition = { .kind = STOA_READABLE,
		                       .object = stoa_queue_object(
					       waiter->queue) };
	char buffer[64];

	switch (waiter->number % 3) {
	case 0:
		waiter->result =
			stoa_queue_receive(waiter->queue, NULL, buffer,
		                           sizeof(buffer), STOA_FOREVER, NULL);
		break;
	case 1:
		waiter->result = stoa_queue_take(waiter->queue, NULL,
		                                 STOA_FOREVER, &message);
		break;
	default:
		waiter->result = stoa_wait_any(&condition, 1, STOA_FOREVER);
		break;
	}
	return NULL;
}

static void cut_under_waiters(void *context)
{
	struct cut *cut = context;
	struct stoa_queue *queue = join_queue(cut->space, "q");
	struct waiter waiters[WAITERS];

	assert_ok(stoa_guard());
	stoa_queue_purge(queue);
	for (unsigned i = 0; i < WAITERS; i++) {
		waiters[i] = (struct waiter){ .queue = queue, .number = i };
		assert_int_equal(pthread_create(&waiters[i].thread, NULL,
		                                wait_in_thread, &waiters[i]),
		                 0);
	}
	until_waiting(queue, WAITERS - 1, 0);
	assert_system(ftruncate(cut->image.fd, (off_t)cut->bytes));
	watch_operation("waiting", 0);
	for (unsigned i = 0; i < WAITERS; i++) {
		pthread_join(waiters[i].thread, NULL);
		if (waiters[i].result != -EIO)
			finding("waiter %u got %lld", i, waiters[i].result);
	}
	operation_done();
	stoa_queue_close(queue);
}

TEST(those_who_wait_on_a_cut_file_get_eio)
{
	struct cut cut;

	set_up_queue(&cut);
	for (cut.bytes = 0; cut.bytes <= 4 * PAGE_BYTES;
	     cut.bytes += 2 * PAGE_BYTES) {
		trial("cut to %zu bytes", cut.bytes);
		assert_int_equal(in_child(cut_under_waiters, &cut), 0);
		mend(&cut);
	}
	tear_down(&cut);
}

/* The program's own look at what it was loaned is no call of the library. */
static void read_loan_of_cut_file(void *context)
{
	struct cut *cut = context;
	struct stoa_queue *queue = join_queue(cut->space, "q");
	struct stoa_message message;
	char byte = 'x';

	assert_ok(stoa_guard());
	assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &message));
	assert_system(ftruncate(cut->image.fd, 0));
	if (message.bytes > 0)
		byte = *(volatile char *)message.data;
	assert_int_equal(byte, 0);
	assert_result(stoa_queue_acknowledge(queue, &message), -EIO);
	assert_result(stoa_queue_send(queue, "x", 1, STOA_FOREVER), -EIO);
	stoa_queue_close(queue);
}

TEST(a_loan_from_a_cut_file_reads_as_zeros)
{
	struct cut cut;

	set_up_queue(&cut);
	assert_int_equal(in_child(read_loan_of_cut_file, &cut), 0);
	tear_down(&cut);
}

/* ---- Faults that aren't the library's ----------------------------------- */

static volatile sig_atomic_t own_faults;
static void *volatile own_address;
static sigjmp_buf back;

static void on_own_fault(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	own_faults++;
	own_address = info->si_addr;
	siglongjmp(back, 1);
}

static void on_plain_fault(int number)
{
	(void)number;
	own_faults++;
	siglongjmp(back, 1);
}

static char *map_hole(void)
{
	int fd = memfd_create("hole", MFD_CLOEXEC);
	char *hole;

	assert_system(fd);
	assert_system(ftruncate(fd, PAGE_BYTES));
	hole = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	            0);
	assert_ptr_not_equal(hole, MAP_FAILED);
	assert_system(ftruncate(fd, 0));
	close(fd);
	return hole;
}

static void fault(char *hole)
{
	if (sigsetjmp(back, 1) == 0)
		*(volatile char *)hole = 1;
}

/* A fault that is mended in vain comes again, for ever. */
static void limit_computing(void)
{
	struct rusage usage;
	struct rlimit limit;

	assert_system(getrusage(RUSAGE_SELF, &usage));
	limit.rlim_cur = (rlim_t)usage.ru_utime.tv_sec +
	                 (rlim_t)usage.ru_stime.tv_sec + 5;
	limit.rlim_max = RLIM_INFINITY;
	assert_system(setrlimit(RLIMIT_CPU, &limit));
}

static void use_cut_queue(struct cut *cut)
{
	struct stoa_queue *queue = join_queue(cut->space, "q");

	assert_system(ftruncate(cut->image.fd, 0));
	assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW), -EIO);
	stoa_queue_close(queue);
	mend(cut);
}

TEST(the_programs_own_handler_is_called_for_its_own_faults)
{
	struct sigaction action;
	char *hole = map_hole();
	struct stoa_queue *sound; /* a mapping that the fault isn't in */
	struct cut cut;

	set_up_queue(&cut);
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_own_fault;
	action.sa_flags = SA_SIGINFO;
	assert_system(sigaction(SIGBUS, &action, NULL));
	assert_ok(stoa_guard());
	use_cut_queue(&cut);
	assert_int_equal(own_faults, 0);
	fault(hole + 100);
	assert_int_equal(own_faults, 1);
	assert_ptr_equal(own_address, hole + 100);
	use_cut_queue(&cut);
	sound = join_queue(cut.space, "q");
	limit_computing();
	fault(hole);
	assert_int_equal(own_faults, 2);
	assert_int_equal(atomic_load(&sound->object.poisoned), 0);
	stoa_queue_close(sound);
	munmap(hole, PAGE_BYTES);
	tear_down(&cut);
}

TEST(a_plain_handler_is_called_for_the_programs_own_faults)
{
	char *hole = map_hole();
	struct cut cut;

	set_up_queue(&cut);
	signal(SIGBUS, on_plain_fault);
	assert_ok(stoa_guard());
	use_cut_queue(&cut);
	assert_int_equal(own_faults, 0);
	fault(hole);
	assert_int_equal(own_faults, 1);
	munmap(hole, PAGE_BYTES);
	tear_down(&cut);
}

static void fault_by_default(void *context)
{
	char *hole = map_hole();

	signal(SIGBUS, context);
	assert_ok(stoa_guard());
	*(volatile char *)hole = 1;
}

static void be_sent_sigbus(void *context)
{
	signal(SIGBUS, context);
	assert_ok(stoa_guard());
	raise(SIGBUS);
}

TEST(without_a_handler_its_own_fault_ends_the_program)
{
	int status = in_child(fault_by_default, SIG_DFL);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	status = in_child(fault_by_default, SIG_IGN);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

TEST(sigbus_sent_by_somebody_does_what_it_did)
{
	int status = in_child(be_sent_sigbus, SIG_DFL);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	assert_int_equal(in_child(be_sent_sigbus, SIG_IGN), 0);
}

/* ---- Holes -------------------------------------------------------------- */

static void punch(struct cut *cut, size_t offset, size_t bytes)
{
	assert_system(fallocate(cut->image.fd,
	                        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                        (off_t)offset, (off_t)bytes));
}

static void a_punched_file_is_as_if_zeroed(const struct noun *noun)
{
	struct cut cut;

	for (unsigned i = 0; i < noun->shapes; i++) {
		set_up(&cut, noun, i);
		for (size_t at = 0; at < cut.image.bytes; at += PAGE_BYTES) {
			struct victim victim =
				victim_to_cut(cut.space, noun, i);

			trial("a hole at %zu", at);
			must(victim_open(&victim), "open");
			prepare(&victim);
			punch(&cut, at, PAGE_BYTES);
			operate_all(&victim);
			victim_close(&victim);
			image_restore(&cut.image);
		}
		tear_down(&cut);
	}
}

static void fill_file_system(void)
{
	static const char bytes[FILL_BYTES];
	int fd =
		open(case_path("filler"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	size_t part = sizeof(bytes);

	assert_system(fd);
	while (part > 0)
		if (write(fd, bytes, part) <= 0)
			part /= 2;
	close(fd);
}

/* Even a load of a hole needs a page, and there is none. */
static void operate_on_holes(void *context)
{
	struct cut *cut = context;
	struct victim victim =
		victim_to_cut(cut->space, cut->image.noun, cut->image.shape);

	assert_ok(stoa_guard());
	must(victim_open(&victim), "open");
	prepare(&victim);
	punch(cut, cut->bytes, PAGE_BYTES);
	fill_file_system();
	trial("a hole at %zu of a full file system", cut->bytes);
	meet_hole_in_all(&victim);
	for (size_t i = 0; i < space_operation_count; i++)
		operate(&victim, &space_operations[i]);
	victim_close(&victim);
}

static void a_punched_file_on_a_full_tmpfs_is_eio(const struct noun *noun)
{
	struct cut cut;

	mount_small_space("2m");
	set_up(&cut, noun, noun->shapes - 1);
	for (size_t at = 0; at < cut.image.bytes; at += PAGE_BYTES) {
		cut.bytes = at;
		assert_int_equal(in_child(operate_on_holes, &cut), 0);
		unlink(case_path("filler"));
		image_restore(&cut.image);
	}
	image_close(&cut.image);
	stoa_space_close(cut.space);
	remove_tree(case_directory());
}

static const struct noun_case cases[] = {
	{ "a_file_cut_at_any_page_is_eio", a_file_cut_at_any_page_is_eio },
	{ "each_operation_that_meets_the_hole_says_so",
	  each_operation_that_meets_the_hole_says_so },
	{ "a_punched_file_is_as_if_zeroed", a_punched_file_is_as_if_zeroed },
	{ "a_punched_file_on_a_full_tmpfs_is_eio",
	  a_punched_file_on_a_full_tmpfs_is_eio },
};

static const struct CMUnitTest more[] = {
	CASE(without_the_guard_the_program_dies_by_sigbus),
	CASE(those_who_wait_on_a_cut_file_get_eio),
	CASE(a_loan_from_a_cut_file_reads_as_zeros),
	CASE(the_programs_own_handler_is_called_for_its_own_faults),
	CASE(a_plain_handler_is_called_for_the_programs_own_faults),
	CASE(without_a_handler_its_own_fault_ends_the_program),
	CASE(sigbus_sent_by_somebody_does_what_it_did),
};

int main(int argc, char **argv)
{
	return run_noun_cases(argc, argv, cases, LENGTH(cases), false, more,
	                      LENGTH(more));
}
