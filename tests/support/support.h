/* SPDX-License-Identifier: MIT */
/*
 * support.h: what the tests share. Each case runs in a process of its own
 * with a fresh directory for its space; a hang, a crash, or anything left
 * behind (descriptors, mappings, processes, files) fails the case and not
 * the run.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define UNUSED __attribute__((unused))
#define MS 1000000LL /* nanoseconds */
#define SECOND (1000 * MS)
#define NOBODY 65534 /* a user and group that own nothing */

enum {
	HANG_LIMIT_SECONDS = 600, /* or $STOA_TEST_HANG_SECONDS */
	EXIT_SKIPPED = 77,
};

/* ---- Cases ------------------------------------------------------------ */

/* TEST(a_sentence_without_spaces) { body } and CASE(the_same) in the list. */
#define TEST(name) static void name(void **state UNUSED)
#define CASE(name)                            \
	{                                     \
#name, name, NULL, NULL, NULL \
	}
#define MAIN(cases)                                                 \
	int main(int argc, char **argv)                             \
	{                                                           \
		return run_cases(argc, argv, cases, LENGTH(cases)); \
	}

/* Runs the cases (all, or those whose names contain argv[1]). */
int run_cases(int argc, char **argv, const struct CMUnitTest *cases,
              size_t count);

/* The case can't be run here. */
void skip_case(const char *why) __attribute__((noreturn));
void skip_unless_root(void);

/* Checks the result of a stoa call, and that it left errno alone. */
#define assert_result(call, expected)                                     \
	do {                                                              \
		errno = ERRNO_MARK;                                       \
		long long result_ = (long long)(call);                    \
		check_result(result_, (expected), errno, #call, __FILE__, \
		             __LINE__);                                   \
	} while (0)
#define assert_ok(call) assert_result(call, 0)
/* The result is 0 or more; gives it. */
#define assert_good(call) \
	check_good((long long)(call), #call, __FILE__, __LINE__)
/* Of a system call: not -1. */
#define assert_system(call) \
	check_system((long long)(call), #call, __FILE__, __LINE__)
/* For threads, where cmocka's assertions can't be used. */
#define require(condition) \
	((condition) ? (void)0 : require_failed(#condition, __FILE__, __LINE__))

enum { ERRNO_MARK = 9999 };
void check_result(long long result, long long expected, int errno_after,
                  const char *what, const char *file, int line);
long long check_good(long long result, const char *what, const char *file,
                     int line);
long long check_system(long long result, const char *what, const char *file,
                       int line);
void require_failed(const char *what, const char *file, int line)
	__attribute__((noreturn));

/* The sentence on the last failure is there and contains `part`. */
void assert_sentence(const char *part);

/* ---- The case's directory and space ----------------------------------- */

/* The case's own directory: made before it, removed after it. */
const char *case_directory(void);
/* directory/name, in one of a few static buffers. */
const char *case_path(const char *name);

void remove_tree(const char *path);

struct stoa_space *open_space(void); /* the case's directory as a space */

/* Files in `directory` that aren't the library's own lasting ones. */
int count_stale_files(const char *directory, bool print);
int count_descriptors(void);
int count_mappings(const char *part); /* whose file's path has `part` in it */

/* ---- Queues ----------------------------------------------------------- */

struct queue_shape {
	enum stoa_queue_order order;
	uint64_t capacity, max_message_bytes, total_bytes;
};

/* Makes and opens for reading and writing; fails the case if it can't. */
struct stoa_queue *make_queue(struct stoa_space *space, const char *name,
                              struct queue_shape shape);
struct stoa_queue *join_queue(struct stoa_space *space, const char *name);
struct stoa_queue_attributes attributes_of(struct queue_shape shape);
struct stoa_queue_stat stat_of(struct stoa_queue *queue);

void send_text(struct stoa_queue *queue, const char *text);
void send_typed(struct stoa_queue *queue, int64_t type, const char *text);
void send_urgent(struct stoa_queue *queue, uint32_t priority, const char *text);
void assert_receives(struct stoa_queue *queue, const char *text);
void assert_receives_by(struct stoa_queue *queue, enum stoa_selection selection,
                        int64_t type, const char *text);
struct stoa_message take_text(struct stoa_queue *queue, const char *text);
void assert_empty(struct stoa_queue *queue);
/* Sends one-byte messages until there is no room; gives how many went. */
uint64_t fill_queue(struct stoa_queue *queue);
uint64_t drain_queue(struct stoa_queue *queue);
/* Empty, then takes exactly `capacity` messages, and is left empty again. */
void assert_capacity(struct stoa_queue *queue, uint64_t capacity);

/* ---- Patterns and chance ---------------------------------------------- */

void fill_pattern(void *data, size_t bytes, uint64_t seed);
bool has_pattern(const void *data, size_t bytes, uint64_t seed);
uint64_t run_seed(void); /* $STOA_TEST_SEED, or chance; printed */
uint64_t next_random(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t bound);

/* ---- Processes -------------------------------------------------------- */

struct child {
	pid_t pid;
	int reports; /* what the child reports */
	int orders; /* what it is told */
};

/* Forks a child that runs `run` and ends. It may use cmocka's assertions. */
struct child start_child(void (*run)(void *context), void *context);
struct child watch_child(pid_t pid); /* one forked otherwise: no pipes */
void report(int64_t value); /* in the child: tells the parent */
int64_t await_order(void); /* in the child: waits for the parent's word */
int64_t await_report(struct child *child);
bool has_report(struct child *child); /* or has ended */
void give_order(struct child *child, int64_t value);
void end_child(struct child *child); /* waits; it must have succeeded */
void kill_child(struct child *child); /* SIGKILL, and waits for its end */
void stop_child(struct child *child); /* SIGSTOP, and waits until stopped */
void continue_child(struct child *child);

/* Waits until the task is asleep in a futex or poll call. */
void until_blocked(pid_t task);
/* Sends the signal whenever the child is asleep, until it reports: a handler
 * that runs between two slices of a wait ends nothing. */
void signal_until_report(struct child *child, int number);
void until_waiting(struct stoa_queue *queue, uint32_t receivers,
                   uint32_t senders);
/* Becomes NOBODY for good. */
void become_nobody(void);
/* A tmpfs of `bytes` bytes on the case's directory, in a mount namespace of
 * the case's own; skips the case if that isn't allowed. */
void mount_small_space(const char *bytes);
int64_t now_ns(void); /* CLOCK_MONOTONIC */

#endif
