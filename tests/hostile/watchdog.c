/* SPDX-License-Identifier: MIT */
/* watchdog.c: ends an operation that hangs, tells of one that is slow, and
 * says what was being tried when a sanitizer ends the process. */
#include "hostile.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { LINE_BYTES = 512 };

static char tried[LINE_BYTES] = "nothing yet";
static const char *volatile operation = "none";
static int64_t began_ns, began_cpu_ns, allowed_ns;
static int outer_stderr = STDERR_FILENO;
static unsigned computes_s = OPERATION_COMPUTES_S;
static unsigned hangs_s = OPERATION_HANGS_S;
static volatile sig_atomic_t computed_s;
static pid_t timed; /* the process that the processor's timer runs in */

/* Of the sanitizers' run time; an allocation too large fails, as malloc's. */
void __sanitizer_set_death_callback(void (*callback)(void))
	__attribute__((weak));
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "handle_abort=1:allocator_may_return_null=1:"
	       "detect_stack_use_after_return=0:exitcode=99";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1";
}

static void tell_trial(void)
{
	dprintf(STDERR_FILENO, "during %s; trial: %s; seed %llu\n", operation,
	        tried, (unsigned long long)run_seed());
}

static void on_alarm(int number)
{
	(void)number;
	dprintf(STDERR_FILENO, "no answer after %u s\n", hangs_s);
	tell_trial();
	abort();
}

static void on_second(int number)
{
	(void)number;
	if (++computed_s < (sig_atomic_t)computes_s)
		return;
	dprintf(STDERR_FILENO, "no answer after computing for %u s\n",
	        computes_s);
	tell_trial();
	abort();
}

/* Timers aren't inherited by a forked child. */
static void start_timer(void)
{
	const struct itimerval second = { { 1, 0 }, { 1, 0 } };

	timed = getpid();
	setitimer(ITIMER_PROF, &second, NULL);
}

/* Forged process ids then name nobody outside. The first child is the
 * namespace's init; this process waits for it. */
static void enter_own_pids(void)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0)
		return;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount("proc", "/proc", "proc", 0, NULL) != 0)
			remark("no /proc of one's own");
		return;
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		_exit(EXIT_FAILURE);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

void watchdog_start(void)
{
	const char *limit = getenv("HOSTILE_COMPUTE_SECONDS");
	const char *patience = getenv("HOSTILE_HANG_SECONDS");
	struct sigaction action;

	if (limit != NULL)
		computes_s = (unsigned)atoi(limit);
	if (patience != NULL)
		hangs_s = (unsigned)atoi(patience);
	enter_own_pids();
	outer_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	memset(&action, 0, sizeof(action));
	action.sa_flags = SA_RESTART;
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = on_second;
	sigaction(SIGPROF, &action, NULL);
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(tell_trial);
}

void trial(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(tried, sizeof(tried), format, arguments);
	va_end(arguments);
}

static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

void watch_operation(const char *name, int64_t patience_ns)
{
	operation = name;
	allowed_ns = patience_ns;
	if (timed != getpid())
		start_timer();
	computed_s = 0;
	alarm(hangs_s);
	began_cpu_ns = cpu_ns();
	began_ns = now_ns();
}

void operation_done(void)
{
	int64_t late_ns = now_ns() - began_ns - allowed_ns;
	int64_t computed_ns = cpu_ns() - began_cpu_ns;

	alarm(0);
	if (computed_ns > OPERATION_SLOW_MS * MS ||
	    late_ns > OPERATION_LATE_MS * MS)
		remark("slow: %s was %lld ms late and computed for %lld ms; "
		       "trial: %s",
		       operation, (long long)(late_ns / MS),
		       (long long)(computed_ns / MS), tried);
	operation = "none";
}

void finding(const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	dprintf(STDERR_FILENO, "%s (\"%s\")\n", line, stoa_last_error());
	tell_trial();
	abort();
}

void remark(const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	dprintf(outer_stderr, "  %s\n", line);
}
