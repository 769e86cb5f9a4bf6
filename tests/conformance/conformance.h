/* SPDX-License-Identifier: MIT */
/*
 * conformance.h: what the conformance programs have in common. A program is
 * a row of groups; each group is a process of its own with a time limit, and
 * prints one line per rule: "ok RULE", or "not ok RULE: got X wanted Y" where
 * Y is what Linux gives. The lines of a run on the kernel and of a run under
 * the drop-in must be equal, so nothing that differs from run to run (ids,
 * pids, addresses) may be in a line that is well.
 *
 * Nobody sleeps for a while here: a child that shall be asleep says ready()
 * and is then watched through /proc until it is; an answer is waited for.
 */
#ifndef STOA_TESTS_CONFORMANCE_H
#define STOA_TESTS_CONFORMANCE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Who the permission tests become: nobody, and a stranger to nobody. */
enum {
	NOBODY = 65534,
	STRANGER = 54321,
};

/* No call may leave this in errno, and a call that succeeds must. */
#define UNTOUCHED 4095

struct rule_group {
	const char *name;
	void (*run)(void);
};

/* clang-format off */
#define GROUP(name) { #name, name }
/* clang-format on */

/* Defines main(): runs the groups given, or those named by arguments. */
#define CONFORMANCE(...)                                                   \
	int main(int argc, char **argv)                                    \
	{                                                                  \
		static const struct rule_group groups[] = { __VA_ARGS__ }; \
		return conformance_run(argc, argv, groups, COUNT(groups)); \
	}

int conformance_run(int argc, char **argv, const struct rule_group *groups,
                    size_t count);

/* What main() does with "--exec WORD" (see START_EXEC()); weak, does nothing. */
int after_exec(const char *word);

/* ---- assertions ---- */

void tell_holds(const char *rule, bool holds);
void tell_equal(const char *rule, long got, long wanted);
void tell_failure(const char *rule, long value, int error, int wanted);
void tell_success(const char *rule, long value, int error);
void tell_value(const char *rule, long value, int error, long wanted);
void skip(const char *rule, const char *why);
/* Ends the group, aloud, if setting up has not worked. */
long need(const char *what, long value);

#define HOLDS(rule, condition) tell_holds(rule, condition)
#define EQUAL(rule, got, wanted) tell_equal(rule, (long)(got), (long)(wanted))

/* The call returns -1, with this errno. */
#define FAILS(rule, call, wanted)                          \
	do {                                               \
		errno = 0;                                 \
		long value_ = (long)(call);                \
		tell_failure(rule, value_, errno, wanted); \
	} while (0)

/* The call doesn't return -1, and leaves errno alone. */
#define SUCCEEDS(rule, call)                       \
	do {                                       \
		errno = UNTOUCHED;                 \
		long value_ = (long)(call);        \
		tell_success(rule, value_, errno); \
	} while (0)

/* The call returns this, and leaves errno alone. */
#define GIVES(rule, call, wanted)                                \
	do {                                                     \
		errno = UNTOUCHED;                               \
		long value_ = (long)(call);                      \
		tell_value(rule, value_, errno, (long)(wanted)); \
	} while (0)

/* What must work for the rest to mean anything. */
#define NEED(call) need(#call, (long)(call))

/* NULL, in a way that compilers don't see. */
void *nowhere(void);

/* ---- children ---- */

/* What children and their parent share: one page per group. */
struct board {
	int ready; /* of the child that was started last */
	int handled; /* signals handled */
	long notes[32];
};
extern struct board *board;

struct answer {
	long value;
	int error;
};

struct child {
	pid_t pid;
	int answer; /* pipe: one struct answer, or its end by death */
};

struct child child_fork(void); /* pid is 0 in the child */
_Noreturn void child_answer(struct child *child, long value, int error);
/* Waits for the answer and the end; error -signal if it was killed first. */
struct answer finish(struct child *child);
/* Waits until the child has said ready() and is asleep. */
void asleep(struct child *child);
void thread_asleep(pid_t tid);
void ready(void);
/* Kills and reaps. */
void slay(struct child *child);
/* Becomes this user and group, with no other groups and no capability. */
void become(uid_t uid, gid_t gid);
/* Counts signals on the board; flags are sa_flags. */
void handle(int signal, int flags);
/* Sends the signal until the child answers. */
struct answer interrupt(struct child *child, int signal);
/* Sends the signal, waits until it was handled and the child sleeps again. */
void disturb(struct child *child, int signal);
/* Waits until a child has set a note to this. */
void await_note(size_t note, long value);

/* A child that does the call and answers what it returned. */
#define START_AFTER(preparation, call)                        \
	({                                                    \
		struct child child_ = child_fork();           \
		if (child_.pid == 0) {                        \
			preparation;                          \
			ready();                              \
			errno = 0;                            \
			long value_ = (long)(call);           \
			child_answer(&child_, value_, errno); \
		}                                             \
		child_;                                       \
	})
#define START(call) START_AFTER((void)0, call)
#define START_HANDLING(flags, call) START_AFTER(handle(SIGUSR1, flags), call)
/* A child that is executed anew, and answers what after_exec(word) returns. */
struct child start_exec(struct child child, const char *word);
#define START_EXEC_AFTER(preparation, word)         \
	({                                          \
		struct child child_ = child_fork(); \
		if (child_.pid == 0) {              \
			preparation;                \
			start_exec(child_, word);   \
		}                                   \
		child_;                             \
	})
#define IN_CHILD(call)                            \
	({                                        \
		struct child done_ = START(call); \
		finish(&done_);                   \
	})
#define AS(uid, gid, call)                                                \
	({                                                                \
		struct child done_ = START_AFTER(become(uid, gid), call); \
		finish(&done_);                                           \
	})

#define ANSWERS(rule, child, wanted)                             \
	do {                                                     \
		struct answer answer_ = finish(child);           \
		tell_equal(rule, answer_.value, (long)(wanted)); \
	} while (0)
#define ANSWERS_ERROR(rule, child, wanted)                                \
	do {                                                              \
		struct answer answer_ = finish(child);                    \
		tell_failure(rule, answer_.value, answer_.error, wanted); \
	} while (0)
#define FAILS_AS(uid, gid, rule, call, wanted)                            \
	do {                                                              \
		struct answer answer_ = AS(uid, gid, call);               \
		tell_failure(rule, answer_.value, answer_.error, wanted); \
	} while (0)
#define FAILS_AS_NOBODY(rule, call, wanted) \
	FAILS_AS(NOBODY, NOBODY, rule, call, wanted)
#define SUCCEEDS_AS(uid, gid, rule, call)                                      \
	do {                                                                   \
		struct answer answer_ = AS(uid, gid, call);                    \
		tell_success(rule, answer_.value,                              \
		             answer_.value == -1 ? answer_.error : UNTOUCHED); \
	} while (0)
#define SUCCEEDS_AS_NOBODY(rule, call) SUCCEEDS_AS(NOBODY, NOBODY, rule, call)

/* Prints why and is false if this process can't become others. */
bool may_become(void);
/* True if this process has CAP_SYS_RESOURCE, which not every root has. */
bool may_exceed(void);

/* ---- threads and cancellation ---- */

/* A thread that sleeps in work() ends when it is cancelled. */
void cancelled_asleep(const char *rule, void (*work)(void));
/* A thread with a pending cancellation that enters work() ends (or doesn't). */
void cancelled_on_entry(const char *rule, void (*work)(void), bool wanted);

/* ---- names, keys and times ---- */

/* "/conform-PID-NAME", of this group; its objects go when the group ends. */
const char *own_name(const char *name);
/* A key that no other run uses. */
key_t own_key(int number);
/* System V ids that go when the group ends. */
int keep_queue(long id);
int keep_set(long id);
int keep_segment(long id);

/* Seconds that a time taken between two calls must lie within. */
time_t time_before(void);
bool time_within(time_t when, time_t before);
/* Waits until the clock has come to another second, and returns it: what is
 * done then is told from what was done before. */
time_t next_second(void);
/* CLOCK, so many milliseconds from now. */
struct timespec from_now(clockid_t clock, long milliseconds);
long elapsed_ms(const struct timespec *since);

#endif
