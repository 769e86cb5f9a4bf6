/* SPDX-License-Identifier: MIT */
/* inject.c: failing system calls, one at a time. */
#define STOA_TESTING /* shows the hook */
#include "inject.h"

#include <pthread.h>
#include <sys/syscall.h>

#include <base/system.h>

enum { CALLS_MAX = 5000, LARGE = 5000 };

const struct queue_shape fault_shape = { STOA_FIFO, 4, 8192, 1 << 16 };

/* ---- The hook --------------------------------------------------------- */

static struct {
	int error; /* 0: only counts */
	unsigned at; /* which of the calls that could give the error */
	bool lasting; /* all from that one on */
	unsigned seen;
	long number; /* of the call that failed */
} injection;

struct plausible {
	long number;
	int errors[7];
};

static const struct plausible plausible[] = {
	{ SYS_openat, { EMFILE, ENFILE, ENOMEM, ENOSPC, EACCES } },
	{ SYS_fallocate, { ENOSPC, EINTR, ENOMEM } },
	{ SYS_ftruncate, { EIO, ENOMEM } },
	{ SYS_pipe2, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_membarrier, { ENOMEM } },
	{ SYS_preadv2, { EIO, EAGAIN, EINTR } },
	{ SYS_pwritev2, { EIO, EAGAIN, EINTR } },
	{ SYS_ppoll, { EINTR, ENOMEM } },
	{ SYS_linkat, { ENOSPC, ENOMEM, EACCES } },
	{ SYS_mkdirat, { ENOSPC, ENOMEM, EACCES } },
	{ SYS_mknodat, { ENOSPC, ENOMEM, EACCES } },
	{ SYS_unlinkat, { ENOMEM, EACCES, EIO } },
	{ SYS_mmap, { ENOMEM, EAGAIN } },
	{ SYS_mprotect, { ENOMEM } },
	{ SYS_mremap, { ENOMEM, EAGAIN } },
	{ SYS_process_vm_readv, { ENOMEM } },
	{ SYS_fstat, { ENOMEM, EIO } },
	{ SYS_newfstatat, { ENOMEM, EIO, EACCES } },
	{ SYS_fstatfs, { ENOMEM, EIO } },
	{ SYS_fchmod, { EIO, ENOMEM } },
	{ SYS_fchmodat, { EIO, ENOMEM, EACCES } },
	{ SYS_pread64, { EIO, ENOMEM } },
	{ SYS_pwrite64, { EIO, ENOSPC, ENOMEM } },
	{ SYS_read, { EIO, EAGAIN, EINTR } },
	{ SYS_write, { EIO, EAGAIN, EINTR } },
	{ SYS_getdents64, { EIO, ENOMEM } },
	{ SYS_getrandom, { EAGAIN, EINTR } },
	{ SYS_fcntl, { ENOLCK, ENOMEM } },
	{ SYS_flock, { ENOLCK, ENOMEM, EINTR } },
	{ SYS_close_range, { ENOMEM } },
	{ SYS_setpgid, { EACCES } },
	{ SYS_chdir, { EACCES, ENOMEM, EIO } },
	{ SYS_execve, { EACCES, ENOMEM, EIO } },
	{ SYS_clone, { ENOMEM, EMFILE, ENFILE } },
	{ SYS_waitid, { EINTR } },
	{ SYS_kcmp, { EACCES, ENOMEM } },
	{ SYS_futex, { EAGAIN, EINTR } },
	{ SYS_rt_sigqueueinfo, { EAGAIN, ENOMEM } },
	{ SYS_rt_sigtimedwait, { EINTR } },
	{ SYS_pidfd_open, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_pidfd_send_signal, { EAGAIN, ENOMEM } },
	{ SYS_signalfd4, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_sched_getaffinity, { ENOMEM } },
	{ SYS_close, { EIO, EINTR } },
	{ SYS_socket, { EMFILE, ENFILE, ENOMEM, ENOBUFS } },
	{ SYS_socketpair, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_bind, { ENOMEM, ENOSPC, EACCES } },
	{ SYS_listen, { ENOBUFS } },
	{ SYS_connect, { ENOMEM, EAGAIN, EINTR, EACCES } },
	{ SYS_accept4, { EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR } },
	{ SYS_sendmsg, { ENOMEM, ENOBUFS, EAGAIN, EINTR, ECONNRESET } },
	{ SYS_recvmsg, { ENOMEM, ENOBUFS, EAGAIN, EINTR, ECONNRESET } },
	{ SYS_setsockopt, { ENOMEM, ENOBUFS } },
	{ SYS_getsockopt, { ENOMEM, ENOBUFS } },
	{ SYS_inotify_init1, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_inotify_add_watch, { ENOSPC, ENOMEM, EACCES } },
	{ SYS_memfd_create, { EMFILE, ENFILE, ENOMEM } },
	{ SYS_ioctl, { EMFILE, ENFILE, ENOMEM, EIO } },
};

static const int all_errors[] = { ENOSPC, EMFILE, ENFILE, ENOMEM, EINTR,
	                          EAGAIN, EIO,    EACCES, ENOLCK };

static bool could_give(long number, int error)
{
	for (size_t i = 0; i < LENGTH(plausible); i++) {
		if (plausible[i].number != number)
			continue;
		for (size_t e = 0; e < LENGTH(plausible[i].errors); e++)
			if (plausible[i].errors[e] == error)
				return true;
		return false;
	}
	return false;
}

/* A close that reports an error has closed all the same. */
static long fail_close(const long argument[6])
{
	close((int)argument[0]);
	return -injection.error;
}

static long inject(long number, const long argument[6], int *ret_handled)
{
	if (!could_give(number, injection.error))
		return 0;
	injection.seen++;
	if (injection.lasting ? injection.seen < injection.at
	                      : injection.seen != injection.at)
		return 0;
	injection.number = number;
	*ret_handled = 1;
	return number == SYS_close ? fail_close(argument) : -injection.error;
}

void inject_at(int error, unsigned at, bool lasting)
{
	memset(&injection, 0, sizeof(injection));
	injection.lasting = lasting;
	injection.error = error;
	injection.at = at;
	stoa_system_hook = inject;
}

bool injected(void)
{
	stoa_system_hook = NULL;
	return injection.seen >= injection.at;
}

/* ---- Allocations ------------------------------------------------------ */

/* The linker leads the library's calls here (--wrap). */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *context);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *context);

static unsigned allocations_left; /* 0: no failure */
static bool allocation_failed;

static bool fails_now(void)
{
	if (allocations_left == 0 || --allocations_left > 0)
		return false;
	allocation_failed = true;
	return true;
}

void *__wrap_malloc(size_t bytes)
{
	return fails_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails_now() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	return fails_now() ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *text)
{
	return fails_now() ? NULL : __real_strdup(text);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *context)
{
	return fails_now() ? EAGAIN
	                   : __real_pthread_create(thread, attributes, run,
	                                           context);
}

void inject_allocation_at(unsigned n)
{
	allocation_failed = false;
	allocations_left = n;
}

bool allocation_injected(void)
{
	allocations_left = 0;
	return allocation_failed;
}

/* ---- Stages ----------------------------------------------------------- */

void with_nothing(struct stage *stage)
{
	(void)stage;
}

void with_space(struct stage *stage)
{
	stage->space = open_space();
}

void with_empty_queue(struct stage *stage)
{
	struct queue_shape shape = fault_shape;

	shape.order = stage->order;
	with_space(stage);
	stage->queue = make_queue(stage->space, "q", shape);
}

void with_queue(struct stage *stage)
{
	with_empty_queue(stage);
	send_text(stage->queue, "one");
}

void with_full_queue(struct stage *stage)
{
	with_empty_queue(stage);
	assert_int_equal(fill_queue(stage->queue), fault_shape.capacity);
}

static void take_and_wait(void *context)
{
	struct stoa_message message;

	assert_ok(stoa_queue_take(context, NULL, STOA_NOW, &message));
	report(0);
	await_order();
}

void with_dead_taker(struct stage *stage)
{
	with_queue(stage);
	stage->child = start_child(take_and_wait, stage->queue);
	await_report(&stage->child);
	kill_child(&stage->child);
}

/* What is left of the queue must be in order, and empty in the end. */
static void assert_usable(struct stage *stage)
{
	static char data[LARGE];

	assert_good(stoa_space_clean(stage->space, 0, NULL, NULL));
	drain_queue(stage->queue);
	assert_capacity(stage->queue, fault_shape.capacity);
	fill_pattern(data, LARGE, 1);
	assert_ok(stoa_queue_send(stage->queue, data, LARGE, STOA_NOW));
	memset(data, 0, LARGE);
	assert_result(stoa_queue_receive(stage->queue, NULL, data, LARGE,
	                                 STOA_NOW, NULL),
	              LARGE);
	assert_true(has_pattern(data, LARGE, 1));
}

static void finish(struct stage *stage)
{
	if (stage->queue != NULL)
		assert_usable(stage);
	stoa_queue_close(stage->other);
	stoa_queue_close(stage->queue);
	if (stage->space != NULL) {
		int result = stoa_queue_unlink(stage->space, "q");

		assert_true(result == 0 || result == -ENOENT);
	}
	stoa_space_close(stage->space);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
}

/* ---- The sweep -------------------------------------------------------- */

static bool is_allowed(long long result, long long usual, int error)
{
	if (result == usual)
		return true;
	/* mmap's EAGAIN (memory can't be locked) may be told so that nobody
	 * takes it for "nothing there". */
	if (result == -ENOMEM && error == EAGAIN)
		return true;
	/* A handle not opened STOA_INTERRUPTIBLE never shows -EINTR. */
	return result == -error && error != EINTR;
}

static void clear(struct stage *stage, const struct operation *operation,
                  enum stoa_queue_order order)
{
	memset(stage, 0, sizeof(*stage));
	stage->operation = operation->name;
	stage->descriptors = count_descriptors();
	stage->order = order;
}

static long long run_usual(const struct operation *operation,
                           enum stoa_queue_order order)
{
	struct stage stage;
	long long result;

	clear(&stage, operation, order);
	operation->prepare(&stage);
	result = operation->run(&stage);
	if (operation->after != NULL)
		operation->after(&stage, result);
	finish(&stage);
	return result;
}

static unsigned complaints;

void complain(const struct stage *stage, const char *format, long long got)
{
	print_error("%s, order %d, call %u%s (number %ld) failing with %s: ",
	            stage->operation, stage->order, injection.at,
	            injection.lasting ? " on" : "", injection.number,
	            strerrorname_np(injection.error));
	print_error(format, got);
	print_error(" (\"%s\")\n", stoa_last_error());
	complaints++;
}

/* What a step printed is forgotten when it was in order. */
static off_t begin_step(const struct stage *stage, const char *what, unsigned n,
                        int error)
{
	off_t mark;

	fflush(stdout);
	mark = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	print_message("%s, order %d, %s %u%s fails with %s\n", stage->operation,
	              stage->order, what, n, stage->lasting ? " on" : "",
	              strerrorname_np(error));
	return mark;
}

static void end_step(off_t mark, unsigned complaints_before)
{
	fflush(stdout);
	if (mark < 0 || complaints != complaints_before)
		return;
	if (ftruncate(STDOUT_FILENO, mark) == 0)
		lseek(STDOUT_FILENO, mark, SEEK_SET);
}

static void end_stage(const struct operation *operation, struct stage *stage,
                      long long result)
{
	if (operation->after != NULL)
		operation->after(stage, result);
	finish(stage);
	if (count_descriptors() != stage->descriptors)
		complain(stage, "left %lld descriptors",
		         count_descriptors() - stage->descriptors);
	if (count_mappings("stoa-test-") != 0)
		complain(stage, "left %lld mappings",
		         count_mappings("stoa-test-"));
}

/* Whether there was an n-th call to fail. */
static bool run_failing(const struct operation *operation,
                        enum stoa_queue_order order, int error, unsigned n,
                        bool lasting, long long usual)
{
	unsigned before = complaints;
	struct stage stage;
	long long result;
	off_t mark;
	bool hit;

	clear(&stage, operation, order);
	stage.lasting = lasting;
	mark = begin_step(&stage, "call", n, error);
	operation->prepare(&stage);
	inject_at(error, n, lasting);
	result = operation->run(&stage);
	hit = injected();
	if (!is_allowed(result, usual, hit ? error : 0))
		complain(&stage, "gave %lld", result);
	end_stage(operation, &stage, result);
	end_step(mark, before);
	return hit;
}

/* Whether there was an n-th allocation to fail. */
static bool run_without_memory(const struct operation *operation,
                               enum stoa_queue_order order, unsigned n,
                               long long usual)
{
	unsigned before = complaints;
	struct stage stage;
	long long result;
	off_t mark;

	clear(&stage, operation, order);
	mark = begin_step(&stage, "allocation", n, ENOMEM);
	operation->prepare(&stage);
	memset(&injection, 0, sizeof(injection));
	injection.at = n;
	inject_allocation_at(n);
	result = operation->run(&stage);
	allocation_injected();
	if (result != usual && result != -ENOMEM && result != -EAGAIN)
		complain(&stage, "without memory gave %lld", result);
	end_stage(operation, &stage, result);
	end_step(mark, before);
	return allocation_failed;
}

static unsigned sweep_one(const struct operation *operation,
                          enum stoa_queue_order order)
{
	long long usual = run_usual(operation, order);
	unsigned failed = 0;

	for (size_t i = 0; i < 2 * LENGTH(all_errors); i++) {
		bool lasting = i % 2 == 1;
		unsigned n = 1;

		/* No signal comes for ever. */
		if (lasting && (operation->once || all_errors[i / 2] == EINTR))
			continue;
		while (run_failing(operation, order, all_errors[i / 2], n,
		                   lasting, usual)) {
			assert_true(n < CALLS_MAX);
			n++;
			failed++;
		}
	}
	for (unsigned n = 1; run_without_memory(operation, order, n, usual);
	     n++)
		failed++;
	return failed;
}

void sweep(const struct operation *operations, size_t count, int last_order)
{
	unsigned failed = 0;

	for (size_t i = 0; i < count; i++)
		for (int order = STOA_FIFO; order <= last_order; order++)
			failed += sweep_one(&operations[i],
			                    (enum stoa_queue_order)order);
	assert_true(failed > 0);
	assert_int_equal(complaints, 0);
}
