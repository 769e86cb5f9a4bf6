/* SPDX-License-Identifier: MIT */
/*
 * Every call of the drop-in while its n-th system call fails, for each n: the
 * errno is one of the call's manual, the same call then does what it does, and
 * there are no more descriptors, mappings and files than if nothing had failed.
 */
#include "inject.h"

#include <dirent.h>
#include <dropin/calls.h>
#include <dropin/posix_memory.h>
#include <dropin/posix_semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { KEY = 0x41, CALLS_MOST = 2000, ERRORS_MOST = 12, WAIT_MS = 2 };

static int id, mqd;
static void *at;
static sem_t *semaphore;

struct call {
	const char *name;
	void (*prepare)(void); /* or NULL: the process's first call */
	long (*run)(void);
	int errors
		[ERRORS_MOST]; /* of the manual; for ENOMEM see doc/dropin.md */
};

/* ---- Queues of System V -------------------------------------------------------- */

static struct {
	long type;
	char text[8];
} message = { 1, "text" };

static long run_msgget(void)
{
	return id = dropin_msgget(KEY, IPC_CREAT | 0600);
}

static void with_queue_made(void)
{
	assert_true(run_msgget() >= 0);
}

static long run_msgsnd(void)
{
	return dropin_msgsnd(id, &message, 8, IPC_NOWAIT);
}

static void with_message(void)
{
	with_queue_made();
	assert_true(run_msgsnd() == 0);
}

static long run_msgrcv(void)
{
	long result = dropin_msgrcv(id, &message, 8, 0, IPC_NOWAIT);

	return result > 0 ? 0 : result;
}

static long run_msgctl(void)
{
	struct msqid_ds ds;

	return dropin_msgctl(id, IPC_STAT, &ds);
}

static long run_msg_remove(void)
{
	return dropin_msgctl(id, IPC_RMID, NULL);
}

/* ---- Sets ------------------------------------------------------------------------ */

static long run_semget(void)
{
	return id = dropin_semget(KEY, 3, IPC_CREAT | 0600);
}

static void with_set(void)
{
	assert_true(run_semget() >= 0);
}

static long run_semop(void)
{
	struct sembuf change = { 1, 1, SEM_UNDO };

	return dropin_semtimedop(id, &change, 1, NULL);
}

static long run_semctl(void)
{
	return dropin_semctl(id, 1, SETVAL, 5);
}

static long run_sem_remove(void)
{
	return dropin_semctl(id, 0, IPC_RMID, 0);
}

/* ---- Segments --------------------------------------------------------------------- */

static long run_shmget(void)
{
	return id = dropin_shmget(KEY, 5000, IPC_CREAT | 0600);
}

static void with_memory(void)
{
	assert_true(run_shmget() >= 0);
}

static long run_shmat(void)
{
	return dropin_shmat(id, NULL, 0, &at);
}

static void with_attached(void)
{
	with_memory();
	assert_true(run_shmat() == 0);
}

static long run_shmdt(void)
{
	return dropin_shmdt(at);
}

static long run_shmctl(void)
{
	struct shmid_ds ds;

	return dropin_shmctl(id, IPC_STAT, &ds);
}

static long run_shm_remove(void)
{
	return dropin_shmctl(id, IPC_RMID, NULL);
}

/* ---- POSIX ------------------------------------------------------------------------- */

static long run_mq_open(void)
{
	return mqd = dropin_mq_open("q", O_RDWR | O_CREAT, 0600, NULL);
}

static void with_mq(void)
{
	assert_true(run_mq_open() >= 0);
}

static long run_mq_send(void)
{
	return dropin_mq_timedsend(mqd, "text", 4, 1, NULL);
}

static void with_mq_message(void)
{
	with_mq();
	assert_true(run_mq_send() == 0);
}

static long run_mq_receive(void)
{
	static char buffer[8192];
	long result =
		dropin_mq_timedreceive(mqd, buffer, sizeof(buffer), NULL, NULL);

	return result > 0 ? 0 : result;
}

static long run_mq_close(void)
{
	return dropin_mq_close(mqd);
}

static long run_mq_unlink(void)
{
	return dropin_mq_unlink("q");
}

static long run_sem_open(void)
{
	return dropin_sem_open("/s", O_CREAT, 0600, 1, &semaphore);
}

static void with_semaphore(void)
{
	assert_true(run_sem_open() == 0);
}

static long run_sem_close(void)
{
	return dropin_sem_close(semaphore);
}

static long run_sem_unlink(void)
{
	return dropin_sem_unlink("/s");
}

static sem_t own_semaphore;

static long run_sem_init(void)
{
	return dropin_sem_init(&own_semaphore, 1, 1);
}

static long run_shm_open(void)
{
	int fd = dropin_shm_open("/m", O_RDWR | O_CREAT, 0600);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static void with_shm(void)
{
	assert_true(run_shm_open() == 0);
}

static long run_shm_unlink(void)
{
	return dropin_shm_unlink("/m");
}

static void on_notice(union sigval value UNUSED)
{
}

static long run_mq_notify(void)
{
	const struct sigevent signal = { .sigev_notify = SIGEV_SIGNAL,
		                         .sigev_signo = SIGUSR1 };

	return dropin_mq_notify(mqd, &signal);
}

static long run_mq_notify_thread(void)
{
	const struct sigevent thread = { .sigev_notify = SIGEV_THREAD,
		                         .sigev_notify_function = on_notice };

	return dropin_mq_notify(mqd, &thread);
}

static void with_notification(void)
{
	with_mq();
	assert_true(run_mq_notify() == 0);
}

static long run_mq_unnotify(void)
{
	return dropin_mq_notify(mqd, NULL);
}

/* ---- Waits for what doesn't come ------------------------------------------------------ */

static struct timespec soon(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_nsec += WAIT_MS * MS;
	if (now.tv_nsec >= SECOND) {
		now.tv_nsec -= SECOND;
		now.tv_sec++;
	}
	return now;
}

/* It ran out: what it does. */
static long ran_out(long result, int error)
{
	return result == -error ? 0 : result == 0 ? -EPROTO : result;
}

static long wait_mq_receive(void)
{
	static char buffer[8192];
	const struct timespec deadline = soon();

	return ran_out(dropin_mq_timedreceive(mqd, buffer, sizeof(buffer), NULL,
	                                      &deadline),
	               ETIMEDOUT);
}

static void with_full_mq(void)
{
	const struct mq_attr one = { .mq_maxmsg = 1, .mq_msgsize = 8 };

	mqd = dropin_mq_open("full", O_RDWR | O_CREAT, 0600, &one);
	assert_true(mqd >= 0);
	assert_true(run_mq_send() == 0);
}

static long wait_mq_send(void)
{
	const struct timespec deadline = soon();

	return ran_out(dropin_mq_timedsend(mqd, "text", 4, 1, &deadline),
	               ETIMEDOUT);
}

static long wait_semop(void)
{
	struct sembuf change = { 0, -1, 0 };
	const struct timespec patience = { 0, WAIT_MS * MS };

	return ran_out(dropin_semtimedop(id, &change, 1, &patience), EAGAIN);
}

static void with_zero_semaphore(void)
{
	assert_true(dropin_sem_init(&own_semaphore, 1, 0) == 0);
}

static long wait_sem(void)
{
	const struct timespec deadline = soon();

	return ran_out(dropin_sem_wait(&own_semaphore, CLOCK_REALTIME,
	                               &deadline),
	               ETIMEDOUT);
}

static const struct call calls[] = {
	{ "msgget", NULL, run_msgget, { EACCES, EEXIST, ENOENT, ENOSPC } },
	{ "msgsnd",
	  with_queue_made,
	  run_msgsnd,
	  { EACCES, EAGAIN, EIDRM, EINTR, EINVAL } },
	{ "msgrcv",
	  with_message,
	  run_msgrcv,
	  { EACCES, EIDRM, EINTR, EINVAL, ENOMSG } },
	{ "msgctl",
	  with_queue_made,
	  run_msgctl,
	  { EACCES, EIDRM, EINVAL, EPERM } },
	{ "msgctl(IPC_RMID)",
	  with_message,
	  run_msg_remove,
	  { EACCES, EIDRM, EINVAL, EPERM } },
	{ "semget",
	  NULL,
	  run_semget,
	  { EACCES, EEXIST, EINVAL, ENOENT, ENOSPC } },
	{ "semop",
	  with_set,
	  run_semop,
	  { EACCES, EAGAIN, EIDRM, EINTR, EINVAL, ERANGE } },
	{ "semctl",
	  with_set,
	  run_semctl,
	  { EACCES, EIDRM, EINVAL, EPERM, ERANGE } },
	{ "semctl(IPC_RMID)",
	  with_set,
	  run_sem_remove,
	  { EACCES, EIDRM, EINVAL, EPERM } },
	{ "shmget",
	  NULL,
	  run_shmget,
	  { EACCES, EEXIST, EINVAL, ENFILE, ENOENT, ENOSPC, EPERM } },
	{ "shmat", with_memory, run_shmat, { EACCES, EIDRM, EINVAL } },
	{ "shmdt", with_attached, run_shmdt, { EINVAL } },
	{ "shmctl", with_attached, run_shmctl, { EACCES, EIDRM, EINVAL } },
	{ "shmctl(IPC_RMID)",
	  with_memory,
	  run_shm_remove,
	  { EIDRM, EINVAL, EPERM } },
	{ "mq_open",
	  NULL,
	  run_mq_open,
	  { EACCES, EEXIST, EINVAL, EMFILE, ENFILE, ENOENT, ENOSPC } },
	{ "mq_send", with_mq, run_mq_send, { EAGAIN, EBADF, EINTR } },
	{ "mq_receive",
	  with_mq_message,
	  run_mq_receive,
	  { EAGAIN, EBADF, EINTR } },
	{ "mq_close", with_mq, run_mq_close, { EBADF } },
	{ "mq_unlink", with_mq, run_mq_unlink, { EACCES, ENOENT } },
	{ "sem_open",
	  NULL,
	  run_sem_open,
	  { EACCES, EEXIST, EINTR, EINVAL, EMFILE, ENFILE, ENOENT, ENOSPC } },
	{ "sem_close", with_semaphore, run_sem_close, { EINVAL } },
	{ "sem_unlink", with_semaphore, run_sem_unlink, { EACCES, ENOENT } },
	{ "sem_init", NULL, run_sem_init, { EINVAL } },
	{ "shm_open",
	  NULL,
	  run_shm_open,
	  { EACCES, EEXIST, EINTR, EINVAL, EMFILE, ENFILE, ENOENT, ENOSPC } },
	{ "shm_unlink", with_shm, run_shm_unlink, { EACCES, ENOENT } },
	{ "mq_notify", with_mq, run_mq_notify, { EBADF, EBUSY } },
	{ "mq_notify(SIGEV_THREAD)",
	  with_mq,
	  run_mq_notify_thread,
	  { EBADF, EBUSY } },
	{ "mq_notify(NULL)", with_notification, run_mq_unnotify, { EBADF } },
	{ "mq_timedreceive, waiting",
	  with_mq,
	  wait_mq_receive,
	  { EBADF, EINTR } },
	{ "mq_timedsend, waiting",
	  with_full_mq,
	  wait_mq_send,
	  { EBADF, EINTR } },
	{ "semtimedop, waiting",
	  with_set,
	  wait_semop,
	  { EACCES, EIDRM, EINTR, EINVAL } },
	{ "sem_timedwait, waiting", with_zero_semaphore, wait_sem, { EINTR } },
};

/* ---- One failure --------------------------------------------------------------------- */

struct left {
	int descriptors, mappings, files;
};

/* What a child tells. */
static struct told {
	int hit; /* the n-th call came */
	long result, again;
	struct left left;
} * told;

static int count_files(void)
{
	DIR *directory = opendir(getenv("STOA_SPACE"));
	int count = 0;

	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count;
}

/* No system call fails, but an allocation: shown as this error. */
#define NO_ALLOCATION ENOMEDIUM

static void in_child(const struct call *call, int error, unsigned n)
{
	if (call->prepare)
		call->prepare();
	if (n > 0 && error == NO_ALLOCATION)
		inject_allocation_at(n);
	else if (n > 0)
		inject_at(error, n, false);
	told->result = call->run();
	if (n > 0)
		told->hit = error == NO_ALLOCATION ? allocation_injected()
		                                   : injected();
	told->again = told->result < 0 ? call->run() : told->result;
	told->left = (struct left){ count_descriptors(),
		                    count_mappings(case_directory()),
		                    count_files() };
}

static void remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' || entry->d_name[1] > '.')
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(path);
}

/* In a process and a space of its own; its wait status. */
static int run_apart(const struct call *call, int error, unsigned n)
{
	char path[300];
	int status = -1;
	pid_t pid;

	snprintf(path, sizeof(path), "%s", case_path("space"));
	assert_int_equal(mkdir(path, 0700), 0);
	memset(told, 0, sizeof(*told));
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setenv("STOA_SPACE", path, 1);
		/* Why a space can't be opened is told, once. */
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		in_child(call, error, n);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	remove_directory(path);
	return status;
}

static bool allowed(const struct call *call, long result)
{
	if (result >= 0 || result == -ENOMEM ||
	    (!call->prepare && result == -ENOSYS))
		return true;
	for (int i = 0; i < ERRORS_MOST; i++)
		if (call->errors[i] != 0 && result == -call->errors[i])
			return true;
	return false;
}

static unsigned faults;

static void say(const struct call *call, int error, unsigned n,
                const char *what, long number)
{
	print_error("%s, call %u failing with %s: %s (%ld)\n", call->name, n,
	            strerrorname_np(error), what, number);
	faults++;
}

/* Whether there was an n-th call to fail. */
static bool fail_one(const struct call *call, int error, unsigned n,
                     const struct left *usual)
{
	int status = run_apart(call, error, n);

	if (status != 0) {
		say(call, error, n, "it ended with a status", status);
		return true;
	}
	if (!allowed(call, told->result))
		say(call, error, n, "not an errno of its manual", told->result);
	if (told->again < 0)
		say(call, error, n, "and fails again", told->again);
	if (told->left.descriptors > usual->descriptors)
		say(call, error, n, "descriptors",
		    told->left.descriptors - usual->descriptors);
	if (told->left.mappings > usual->mappings)
		say(call, error, n, "mappings",
		    told->left.mappings - usual->mappings);
	if (told->left.files > usual->files)
		say(call, error, n, "files", told->left.files - usual->files);
	return told->hit;
}

TEST(each_call_bears_each_failure)
{
	static const int errors[] = { EMFILE, ENOMEM, ENOSPC, EINTR,
		                      NO_ALLOCATION };
	unsigned failed = 0;

	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
	            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < LENGTH(calls); i++) {
		struct left usual;

		assert_int_equal(run_apart(&calls[i], 0, 0), 0);
		assert_true(told->result >= 0);
		usual = told->left;
		for (size_t e = 0; e < LENGTH(errors); e++)
			for (unsigned n = 1;
			     n < CALLS_MOST &&
			     fail_one(&calls[i], errors[e], n, &usual);
			     n++)
				failed++;
	}
	print_message("%u failures\n", failed);
	assert_true(failed > 200);
	assert_int_equal(faults, 0);
	munmap(told, sizeof(*told));
}

static const struct CMUnitTest cases[] = {
	CASE(each_call_bears_each_failure),
};

MAIN(cases)
