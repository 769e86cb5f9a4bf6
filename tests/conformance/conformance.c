/* SPDX-License-Identifier: MIT */
/*
 * conformance.c: groups, children, and waiting without sleeping.
 */
#include "conformance.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
	KEPT_MAX = 64,
	ANSWER_FD = 200, /* of a child that is executed anew */
	GONE = -2, /* instead of a number of sleeps */
};

/* What the group's parent removes when the group has ended, however it did. */
struct kept {
	int queues[KEPT_MAX], sets[KEPT_MAX], segments[KEPT_MAX];
	char names[KEPT_MAX][64];
	int queue_count, set_count, segment_count, name_count;
};

struct board *board;
static struct kept *kept;
static const char *group_name;
static int rule_count;
static char *program;
static pid_t run_pid;

/* ---- lines ---- */

static const char *error_name(int error)
{
	static char text[32];
	const char *name = error > 0 ? strerrorname_np(error) : NULL;

	if (error == 0)
		return "success";
	if (name)
		return name;
	snprintf(text, sizeof(text), error < 0 ? "signal %d" : "errno %d",
	         abs(error));
	return text;
}

static void line_end(void)
{
	putchar('\n');
	fflush(stdout);
}

/* "WORD GROUP NUMBER: RULE", as each rule's line starts. */
static void line_start(const char *word, const char *rule)
{
	printf("%s %s %d: %s", word, group_name, ++rule_count, rule);
}

static void line_ok(const char *rule)
{
	line_start("ok", rule);
	line_end();
}

void tell_holds(const char *rule, bool holds)
{
	if (holds) {
		line_ok(rule);
		return;
	}
	line_start("not ok", rule);
	printf(": got no wanted yes");
	line_end();
}

void tell_equal(const char *rule, long got, long wanted)
{
	if (got == wanted) {
		line_ok(rule);
		return;
	}
	line_start("not ok", rule);
	printf(": got %ld wanted %ld", got, wanted);
	line_end();
}

void tell_failure(const char *rule, long value, int error, int wanted)
{
	int got = value == -1 ? error : 0;

	if (value == -1 && got == wanted) {
		line_ok(rule);
		return;
	}
	line_start("not ok", rule);
	printf(": got %s", error_name(got));
	printf(" wanted %s", error_name(wanted));
	line_end();
}

static void tell_touched(const char *rule, int error)
{
	line_start("not ok", rule);
	printf(": got success with errno %s wanted errno left alone",
	       error_name(error));
	line_end();
}

void tell_success(const char *rule, long value, int error)
{
	if (value == -1) {
		line_start("not ok", rule);
		printf(": got %s wanted success", error_name(error));
		line_end();
	} else if (error != UNTOUCHED) {
		tell_touched(rule, error);
	} else {
		line_ok(rule);
	}
}

void tell_value(const char *rule, long value, int error, long wanted)
{
	if (value != wanted && value == -1) {
		line_start("not ok", rule);
		printf(": got %s wanted %ld", error_name(error), wanted);
		line_end();
	} else if (value != wanted) {
		tell_equal(rule, value, wanted);
	} else if (error != UNTOUCHED) {
		tell_touched(rule, error);
	} else {
		line_ok(rule);
	}
}

void skip(const char *rule, const char *why)
{
	line_start("skip", rule);
	printf(": %s", why);
	line_end();
}

long need(const char *what, long value)
{
	int error = errno;

	if (value != -1)
		return value;
	line_start("not ok", what);
	printf(": got %s wanted success", error_name(error));
	line_end();
	_exit(1);
}

void *nowhere(void)
{
	return NULL;
}

/* ---- groups ---- */

static void *shared_page(size_t size)
{
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return page;
}

static void kept_remove(void)
{
	for (int i = 0; i < kept->queue_count; i++)
		msgctl(kept->queues[i], IPC_RMID, NULL);
	for (int i = 0; i < kept->set_count; i++)
		semctl(kept->sets[i], 0, IPC_RMID);
	for (int i = 0; i < kept->segment_count; i++)
		shmctl(kept->segments[i], IPC_RMID, NULL);
	for (int i = 0; i < kept->name_count && i < KEPT_MAX; i++) {
		mq_unlink(kept->names[i]);
		sem_unlink(kept->names[i]);
		shm_unlink(kept->names[i]);
	}
}

static int limit_seconds(void)
{
	const char *text = getenv("CONFORMANCE_LIMIT");
	int seconds = text ? atoi(text) : 0;

	return seconds > 0 ? seconds : 250;
}

static void group_end(int status, bool late)
{
	const char *why = late ? "it hung" : "it died";

	if (!late && WIFEXITED(status))
		return;
	printf("not ok %s: got %s (signal %d) wanted its end", group_name, why,
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	line_end();
}

/* One group, in a process group of its own that ends with it. */
static void group_run(const struct rule_group *group)
{
	struct timespec limit = { .tv_sec = limit_seconds() };
	sigset_t child;
	int status = 0;
	bool late = false;

	group_name = group->name;
	memset(board, 0, sizeof(*board));
	memset(kept, 0, sizeof(*kept));
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		sigprocmask(SIG_UNBLOCK, &child, NULL);
		group->run();
		exit(0);
	}
	setpgid(pid, pid);
	while (!late && waitpid(pid, &status, WNOHANG) == 0)
		late = sigtimedwait(&child, NULL, &limit) < 0 &&
		       errno == EAGAIN;
	kill(-pid, SIGKILL);
	if (late)
		waitpid(pid, &status, 0);
	group_end(status, late);
	kept_remove();
}

static bool named(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

__attribute__((weak)) int after_exec(const char *word)
{
	(void)word;
	return -1;
}

/* What start_exec() has started: answers where its parent listens. */
static int run_executed(char **argv)
{
	struct answer answer;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
	             ANSWER_FD + 1, 0);
	if (board == MAP_FAILED)
		return 2;
	errno = 0;
	answer.value = after_exec(argv[2]);
	answer.error = errno;
	return write(ANSWER_FD, &answer, sizeof(answer)) != sizeof(answer);
}

static void board_make(void)
{
	int fd = memfd_create("board", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, sizeof(*board)) != 0)
		exit(2);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
	             fd, 0);
	if (board == MAP_FAILED || dup2(fd, ANSWER_FD + 1) < 0)
		exit(2);
	fcntl(ANSWER_FD + 1, F_SETFD, FD_CLOEXEC);
	close(fd);
}

/*
 * Has the kernel refuse its own calls with an error that none of them knows:
 * so nothing passes under the drop-in that the drop-in hasn't answered.
 */
static void kernel_refuse(void)
{
	static const int calls[] = {
		SYS_msgget,          SYS_msgsnd,    SYS_msgrcv,
		SYS_msgctl,          SYS_semget,    SYS_semop,
		SYS_semtimedop,      SYS_semctl,    SYS_shmget,
		SYS_shmat,           SYS_shmdt,     SYS_shmctl,
		SYS_mq_open,         SYS_mq_unlink, SYS_mq_timedsend,
		SYS_mq_timedreceive, SYS_mq_notify, SYS_mq_getsetattr,
	};
	struct sock_filter filter[2 * COUNT(calls) + 2];
	struct sock_fprog whole = { .filter = filter };
	size_t n = 0;

	filter[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < COUNT(calls); i++) {
		filter[n++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
		                                     (unsigned int)calls[i], 0,
		                                     1);
		filter[n++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTO);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
	                                           SECCOMP_RET_ALLOW);
	whole.len = (unsigned short)n;
	if (geteuid() != 0)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) != 0)
		perror("conformance: no filter");
}

int conformance_run(int argc, char **argv, const struct rule_group *groups,
                    size_t count)
{
	sigset_t child;

	program = argv[0];
	run_pid = getpid();
	umask(022);
	if (argc == 3 && strcmp(argv[1], "--exec") == 0)
		return run_executed(argv);
	if (getenv("CONFORMANCE_NO_KERNEL"))
		kernel_refuse();
	/* A namespace of our own where we may: totals are then ours alone. */
	if (unshare(CLONE_NEWIPC) != 0 && geteuid() == 0)
		fprintf(stderr, "no IPC namespace of our own\n");
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	board_make();
	kept = shared_page(sizeof(*kept));
	for (size_t i = 0; i < count; i++)
		if (named(argc, argv, groups[i].name))
			group_run(&groups[i]);
	return 0;
}

/* ---- children ---- */

struct child child_fork(void)
{
	struct child child;
	int ends[2];

	fflush(stdout);
	__atomic_store_n(&board->ready, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&board->handled, 0, __ATOMIC_SEQ_CST);
	if (pipe2(ends, O_CLOEXEC) != 0)
		need("pipe", -1);
	child.pid = need("fork", fork());
	child.answer = ends[child.pid == 0];
	close(ends[child.pid != 0]);
	return child;
}

_Noreturn void child_answer(struct child *child, long value, int error)
{
	struct answer answer = { value, error };

	if (write(child->answer, &answer, sizeof(answer)) != sizeof(answer))
		_exit(1);
	_exit(0);
}

struct child start_exec(struct child child, const char *word)
{
	char self[] = "/proc/self/exe", option[] = "--exec";
	char *argv[] = { program, option, strdup(word), NULL };

	dup2(child.answer, ANSWER_FD);
	fcntl(ANSWER_FD + 1, F_SETFD, 0);
	execv(self, argv);
	_exit(127);
}

struct answer finish(struct child *child)
{
	struct answer answer = { -1, 0 };
	int status;
	bool answered =
		read(child->answer, &answer, sizeof(answer)) == sizeof(answer);

	close(child->answer);
	waitpid(child->pid, &status, 0);
	if (!answered) {
		answer.value = -1;
		answer.error = WIFSIGNALED(status) ? -WTERMSIG(status) : 0;
	}
	return answer;
}

void slay(struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	close(child->answer);
}

void ready(void)
{
	__atomic_store_n(&board->ready, 1, __ATOMIC_SEQ_CST);
}

/*
 * How often a task has gone to sleep, if it is asleep now; else -1. Asleep
 * twice with the same count is asleep all the time between.
 */
static long sleep_count(pid_t tid)
{
	char path[64], line[128], state = '?';
	long count = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	FILE *status = fopen(path, "re");
	if (!status)
		return GONE;
	while (fgets(line, sizeof(line), status)) {
		sscanf(line, "State: %c", &state);
		sscanf(line, "voluntary_ctxt_switches: %ld", &count);
	}
	fclose(status);
	return state == 'S' ? count : -1;
}

void thread_asleep(pid_t tid)
{
	long before = -1, now = -1;

	do {
		sched_yield();
		before = now;
		now = sleep_count(tid);
	} while (now != GONE && (now < 0 || now != before));
}

static bool answered(struct child *child, int milliseconds)
{
	struct pollfd end = { .fd = child->answer, .events = POLLIN };

	return poll(&end, 1, milliseconds) > 0;
}

void asleep(struct child *child)
{
	long before = -1, now = -1;

	while (!__atomic_load_n(&board->ready, __ATOMIC_SEQ_CST) &&
	       !answered(child, 0))
		sched_yield();
	do {
		sched_yield();
		before = now;
		now = sleep_count(child->pid);
	} while ((now < 0 || now != before) && !answered(child, 0));
	__atomic_store_n(&board->ready, 0, __ATOMIC_SEQ_CST);
}

struct answer interrupt(struct child *child, int signal)
{
	asleep(child);
	do
		kill(child->pid, signal);
	while (!answered(child, 100));
	return finish(child);
}

void disturb(struct child *child, int signal)
{
	asleep(child);
	kill(child->pid, signal);
	while (!__atomic_load_n(&board->handled, __ATOMIC_SEQ_CST))
		sched_yield();
	ready();
	asleep(child);
}

void await_note(size_t note, long value)
{
	while (__atomic_load_n(&board->notes[note], __ATOMIC_SEQ_CST) != value)
		sched_yield();
}

static void count_signal(int signal)
{
	(void)signal;
	__atomic_add_fetch(&board->handled, 1, __ATOMIC_SEQ_CST);
}

void handle(int signal, int flags)
{
	struct sigaction action = { .sa_handler = count_signal,
		                    .sa_flags = flags };

	sigaction(signal, &action, NULL);
}

void become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
		_exit(126);
}

bool may_become(void)
{
	if (geteuid() == 0)
		return true;
	skip("permissions between users", "it takes root to become others");
	return false;
}

bool may_exceed(void)
{
	enum { SYS_RESOURCE = 24 };

	return geteuid() == 0 && prctl(PR_CAPBSET_READ, SYS_RESOURCE) == 1;
}

/* ---- threads ---- */

struct cancelled {
	void (*work)(void);
	pid_t tid;
	int survived;
};

static void *work_asleep(void *argument)
{
	struct cancelled *thread = argument;

	__atomic_store_n(&thread->tid, (pid_t)syscall(SYS_gettid),
	                 __ATOMIC_SEQ_CST);
	thread->work();
	thread->survived = 1;
	return NULL;
}

static void *work_pending(void *argument)
{
	struct cancelled *thread = argument;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	thread->work();
	thread->survived = 1;
	return NULL;
}

void cancelled_asleep(const char *rule, void (*work)(void))
{
	struct cancelled thread = { .work = work };
	pthread_t id;
	void *result = NULL;

	pthread_create(&id, NULL, work_asleep, &thread);
	while (!__atomic_load_n(&thread.tid, __ATOMIC_SEQ_CST))
		sched_yield();
	thread_asleep(thread.tid);
	pthread_cancel(id);
	pthread_join(id, &result);
	tell_holds(rule, result == PTHREAD_CANCELED && !thread.survived);
}

void cancelled_on_entry(const char *rule, void (*work)(void), bool wanted)
{
	struct cancelled thread = { .work = work };
	pthread_t id;

	pthread_create(&id, NULL, work_pending, &thread);
	pthread_join(id, NULL);
	tell_equal(rule, !thread.survived, wanted);
}

/* ---- names, keys and times ---- */

const char *own_name(const char *name)
{
	char *text = kept->names[kept->name_count % KEPT_MAX];

	snprintf(text, sizeof(kept->names[0]), "/conform-%d-%s", (int)run_pid,
	         name);
	kept->name_count++;
	return text;
}

key_t own_key(int number)
{
	return 0x43000000 | (run_pid & 0xffff) << 8 | (number & 0xff);
}

int keep_queue(long id)
{
	if (id >= 0 && kept->queue_count < KEPT_MAX)
		kept->queues[kept->queue_count++] = (int)id;
	return (int)id;
}

int keep_set(long id)
{
	if (id >= 0 && kept->set_count < KEPT_MAX)
		kept->sets[kept->set_count++] = (int)id;
	return (int)id;
}

int keep_segment(long id)
{
	if (id >= 0 && kept->segment_count < KEPT_MAX)
		kept->segments[kept->segment_count++] = (int)id;
	return (int)id;
}

/* The coarse clock may be a tick behind the fine one: take both. */
time_t time_before(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now.tv_sec;
}

bool time_within(time_t when, time_t before)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return when >= before && when <= now.tv_sec;
}

time_t next_second(void)
{
	struct timespec next = { .tv_sec = time_before() + 1 };

	/* The coarse clock may come a tick later. */
	while (time_before() < next.tv_sec)
		if (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &next,
		                    NULL) == 0)
			sched_yield();
	return next.tv_sec;
}

struct timespec from_now(clockid_t clock, long milliseconds)
{
	struct timespec when;

	clock_gettime(clock, &when);
	when.tv_sec += milliseconds / 1000;
	when.tv_nsec += milliseconds % 1000 * 1000000;
	when.tv_sec += when.tv_nsec / 1000000000;
	when.tv_nsec %= 1000000000;
	return when;
}

long elapsed_ms(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000 +
	       (now.tv_nsec - since->tv_nsec) / 1000000;
}
