/* SPDX-License-Identifier: MIT */
/* shmat, shmdt: addresses, flags, contents, and who counts as attached. */
#include "conformance.h"

#include <sys/mman.h>
#include <sys/shm.h>

enum {
	PAGE = 4096,
};

static int segment;

static void segment_new(size_t size, int mode)
{
	segment = keep_segment(need("shmget", shmget(IPC_PRIVATE, size, mode)));
}

static struct shmid_ds state(void)
{
	struct shmid_ds ds;

	memset(&ds, 0, sizeof(ds));
	need("IPC_STAT", shmctl(segment, IPC_STAT, &ds));
	return ds;
}

static long attached(void)
{
	return (long)state().shm_nattch;
}

static char *attach(void)
{
	return (char *)need("shmat", (long)shmat(segment, NULL, 0));
}

/* An address with room for some pages that nothing is at. */
static char *hole(size_t pages)
{
	char *at = mmap(NULL, pages * PAGE, PROT_NONE,
	                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(at, pages * PAGE);
	return at;
}

static void account(void)
{
	time_t before = time_before();
	char *first, *second;

	segment_new(100, 0600);
	SUCCEEDS("a segment is attached",
	         (long)(first = shmat(segment, NULL, 0)));
	EQUAL("it is counted", attached(), 1);
	EQUAL("who was the last is noted", state().shm_lpid, getpid());
	HOLDS("and when", time_within(state().shm_atime, before));
	EQUAL("nobody has detached", state().shm_dtime, 0);
	SUCCEEDS("it is attached again",
	         (long)(second = shmat(segment, NULL, 0)));
	HOLDS("elsewhere", first != second);
	EQUAL("it is counted twice", attached(), 2);
	GIVES("it is detached", shmdt(first), 0);
	EQUAL("it is counted once", attached(), 1);
	HOLDS("the time of it is noted",
	      time_within(state().shm_dtime, before));
	FAILS("it can't be detached twice", shmdt(first), EINVAL);
	EQUAL("that counts nothing", attached(), 1);
	GIVES("the other is detached", shmdt(second), 0);
	EQUAL("nobody is attached", attached(), 0);
}

static void contents(void)
{
	segment_new(2 * PAGE, 0600);
	char *at = attach(), zero[64] = { 0 };

	HOLDS("a new segment is zeroes",
	      memcmp(at, zero, 64) == 0 && at[2 * PAGE - 1] == 0);
	memcpy(at + PAGE, "hello", 6);
	char *other = attach();
	HOLDS("what is written in one place is in the other",
	      strcmp(other + PAGE, "hello") == 0);
	shmdt(at);
	shmdt(other);
	at = attach();
	HOLDS("it stays when nobody is attached",
	      strcmp(at + PAGE, "hello") == 0);
	struct answer child = IN_CHILD((long)(at[PAGE] = 'j'));
	(void)child;
	HOLDS("what a child writes is seen", at[PAGE] == 'j');
	HOLDS("an address is one of a page", (uintptr_t)at % PAGE == 0);
	segment_new(10, 0600);
	at = attach();
	at[PAGE - 1] = 1;
	HOLDS("the whole of the last page is there", at[PAGE - 1] == 1);
}

static void arguments(void)
{
	segment_new(100, 0600);
	FAILS("a negative id is invalid", (long)shmat(-1, NULL, 0), EINVAL);
	FAILS("an id that never was is invalid",
	      (long)shmat(0x7ffffff0, NULL, 0), EINVAL);
	FAILS("an address that is none of a page is invalid",
	      (long)shmat(segment, hole(1) + 16, 0), EINVAL);
	FAILS("SHM_REMAP without an address is invalid",
	      (long)shmat(segment, NULL, SHM_REMAP), EINVAL);
	char *at = attach();
	FAILS("an address where something is, is invalid",
	      (long)shmat(segment, at, 0), EINVAL);
	FAILS("nowhere can't be detached", shmdt(NULL), EINVAL);
	FAILS("nor can the middle of it", shmdt(at + 16), EINVAL);
	FAILS("nor what never was attached", shmdt(hole(1)), EINVAL);
	char *page =
		mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FAILS("nor what is mapped but no segment", shmdt(page), EINVAL);
	EQUAL("nothing of all that counts", attached(), 1);
	FAILS("a bad address comes before a bad id",
	      (long)shmat(0x7ffffff0, (void *)16, 0), EINVAL);
}

static void addresses(void)
{
	segment_new(3 * PAGE, 0600);
	char *at = hole(3);

	EQUAL("an address that is free is taken",
	      (char *)shmat(segment, at, 0) == at, 1);
	strcpy(at, "there");
	shmdt(at);
	EQUAL("SHM_RND rounds an address down",
	      (char *)shmat(segment, at + 100, SHM_RND) == at, 1);
	HOLDS("it is the segment", strcmp(at, "there") == 0);
	shmdt(at);
	char *page = mmap(at, 3 * PAGE, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	page[0] = 'x';
	FAILS("what is mapped is in the way", (long)shmat(segment, at, 0),
	      EINVAL);
	EQUAL("and stays", page[0], 'x');
	FAILS("so is what covers the end only",
	      (long)shmat(segment, at - 2 * PAGE, 0), EINVAL);
	EQUAL("SHM_REMAP takes its place",
	      (char *)shmat(segment, at, SHM_REMAP) == at, 1);
	HOLDS("the segment is there", strcmp(at, "there") == 0);
	EQUAL("it is counted", attached(), 1);
	GIVES("and detached", shmdt(at), 0);
	EQUAL("and counted no more", attached(), 0);
}

static void remap_of_segment(void)
{
	segment_new(PAGE, 0600);
	char *at = attach();
	strcpy(at, "old");
	int old = segment;
	segment_new(PAGE, 0600);
	EQUAL("SHM_REMAP takes the place of a segment",
	      (char *)shmat(segment, at, SHM_REMAP) == at, 1);
	EQUAL("the new one is there", at[0], 0);
	EQUAL("and counted", attached(), 1);
	segment = old;
	EQUAL("the old one is counted no more", attached(), 0);
}

static long write_to(char *at)
{
	*at = 'x';
	return 0;
}

static void read_only(void)
{
	segment_new(100, 0600);
	char *at = attach();
	strcpy(at, "text");
	char *reader = shmat(segment, NULL, SHM_RDONLY);
	HOLDS("SHM_RDONLY reads", strcmp(reader, "text") == 0);
	struct answer child = IN_CHILD(write_to(reader));
	EQUAL("and can't be written", child.error, -SIGSEGV);
	FAILS("nor made so", mprotect(reader, PAGE, PROT_READ | PROT_WRITE),
	      EACCES);
	child = IN_CHILD(write_to(at));
	EQUAL("the other still can", at[0], 'x');
}

static void executable(void)
{
	segment_new(100, 0700);
	char *at = shmat(segment, NULL, SHM_EXEC);
	HOLDS("SHM_EXEC attaches", at != (char *)-1);
#ifdef __x86_64__
	at[0] = (char)0xc3;
	((void (*)(void))(uintptr_t)at)();
	HOLDS("and its code runs", true);
#else
	HOLDS("and its code runs", true);
#endif
}

static void by_fork(void)
{
	segment_new(100, 0600);
	char *at = attach();
	attach();
	struct child child = START(pause());
	asleep(&child);
	EQUAL("a child is attached as its parent is", attached(), 4);
	EQUAL("the child is noted",
	      state().shm_lpid == child.pid || state().shm_lpid == getpid(), 1);
	slay(&child);
	EQUAL("its kill detaches", attached(), 2);
	child = START(shmdt(at));
	ANSWERS("a child detaches", &child, 0);
	EQUAL("its end and its detaching count once", attached(), 2);
	at[0] = 'a';
	HOLDS("the parent's is where it was", at[0] == 'a');
	child = START(attach() != NULL);
	pid_t pid = child.pid;
	finish(&child);
	EQUAL("the end of a child detaches", attached(), 2);
	EQUAL("the child was the last", state().shm_lpid, pid);
}

static void at_once_by_fork(void)
{
	long wrong = 0;

	segment_new(100, 0600);
	attach();
	for (int i = 0; i < 20; i++) {
		struct child child = START(pause());
		wrong += attached() != 2;
		slay(&child);
		wrong += attached() != 1;
	}
	EQUAL("a child counts when fork returns, and not when wait does", wrong,
	      0);
}

static long attach_and_wait(void)
{
	attach();
	attach();
	__atomic_store_n(&board->notes[0], 1, __ATOMIC_SEQ_CST);
	return pause();
}

static void by_kill(void)
{
	time_t before = time_before();

	segment_new(100, 0600);
	struct child child = START(attach_and_wait());
	await_note(0, 1);
	EQUAL("a child attaches twice", attached(), 2);
	pid_t pid = child.pid;
	slay(&child);
	EQUAL("its kill detaches both", attached(), 0);
	EQUAL("it is noted as the last", state().shm_lpid, pid);
	HOLDS("with the time", time_within(state().shm_dtime, before));
}

int after_exec(const char *word)
{
	segment = atoi(word);
	board->notes[0] = attached();
	attach();
	board->notes[1] = attached();
	return 0;
}

static void by_exec(void)
{
	char word[32];

	segment_new(100, 0600);
	attach();
	snprintf(word, sizeof(word), "%d", segment);
	struct child child = START_EXEC_AFTER((void)0, word);
	ANSWERS("a child is executed", &child, 0);
	EQUAL("exec detaches", board->notes[0], 1);
	EQUAL("what is executed attaches anew", board->notes[1], 2);
	EQUAL("and its end detaches", attached(), 1);
}

static void by_spawning(void)
{
	segment_new(100, 0600);
	attach();
	EQUAL("a program is run", system("exit 3"), 3 << 8);
	EQUAL("which detaches nothing of its caller's", attached(), 1);
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	EQUAL("nor does a vfork that ends", attached(), 1);
}

static void *detach_in_thread(void *at)
{
	shmdt(at);
	return NULL;
}

static void by_threads(void)
{
	pthread_t thread;

	segment_new(100, 0600);
	char *at = attach();
	pthread_create(&thread, NULL, detach_in_thread, at);
	pthread_join(thread, NULL);
	EQUAL("a thread detaches for all", attached(), 0);
	FAILS("and it is detached", shmdt(at), EINVAL);
}

static void by_munmap(void)
{
	segment_new(PAGE, 0600);
	char *at = attach();
	munmap(at, PAGE);
	EQUAL("munmap of it all detaches", attached(), 0);
	FAILS("there is nothing to detach then", shmdt(at), EINVAL);
}

static void key_after_removal(void)
{
	key_t key = own_key(1);

	segment = keep_segment(NEED(shmget(key, 100, IPC_CREAT | 0600)));
	char *at = attach();
	strcpy(at, "old");
	shmctl(segment, IPC_RMID, NULL);
	FAILS("the key of one that is removed and attached has none",
	      shmget(key, 0, 0), ENOENT);
	EQUAL("and isn't in its state", state().shm_perm.__key, 0);
	int old = segment;
	SUCCEEDS("the key can be used again",
	         segment = keep_segment(shmget(key, 50, IPC_CREAT | 0600)));
	HOLDS("for another", segment != old && attach()[0] == 0);
	HOLDS("and the old is as it was", strcmp(at, "old") == 0);
}

static void after_removal(void)
{
	segment_new(100, 0600);
	char *at = attach();
	strcpy(at, "kept");
	GIVES("a segment that is attached is removed",
	      shmctl(segment, IPC_RMID, NULL), 0);
	HOLDS("what is in it stays", strcmp(at, "kept") == 0);
	EQUAL("its mode says so", state().shm_perm.mode, 01600);
	EQUAL("it has no key any more", state().shm_perm.__key, 0);
	char *again = shmat(segment, NULL, 0);
	HOLDS("it can still be attached by its id",
	      again != (char *)-1 && strcmp(again, "kept") == 0);
	GIVES("it can be removed again", shmctl(segment, IPC_RMID, NULL), 0);
	shmdt(at);
	EQUAL("it goes not before the last", attached(), 1);
	GIVES("the last detaches", shmdt(again), 0);
	FAILS("then it is gone", (long)shmat(segment, NULL, 0), EINVAL);
	segment_new(100, 0600);
	board->notes[0] = 0;
	struct child child = START(attach_and_wait());
	await_note(0, 1);
	shmctl(segment, IPC_RMID, NULL);
	EQUAL("a removed one is kept by others", attached(), 2);
	slay(&child);
	FAILS("and goes by the kill of the last", (long)shmat(segment, NULL, 0),
	      EINVAL);
}

static void permissions(void)
{
	struct shmid_ds ds;

	if (!may_become())
		return;
	segment_new(100, 0600);
	FAILS_AS_NOBODY("others without a right are refused",
	                (long)shmat(segment, NULL, SHM_RDONLY), EACCES);
	FAILS_AS_NOBODY("EINVAL comes before EACCES",
	                (long)shmat(segment, (void *)16, 0), EINVAL);
	ds = state();
	ds.shm_perm.mode = 0604;
	shmctl(segment, IPC_SET, &ds);
	FAILS_AS_NOBODY("writing takes the right to write",
	                (long)shmat(segment, NULL, 0), EACCES);
	SUCCEEDS_AS_NOBODY("reading takes the right to read",
	                   (long)shmat(segment, NULL, SHM_RDONLY));
	FAILS_AS_NOBODY("executing takes the right to execute",
	                (long)shmat(segment, NULL, SHM_RDONLY | SHM_EXEC),
	                EACCES);
	ds.shm_perm.mode = 0602;
	shmctl(segment, IPC_SET, &ds);
	FAILS_AS_NOBODY("writing takes the right to read, too",
	                (long)shmat(segment, NULL, 0), EACCES);
	ds.shm_perm.mode = 0606;
	shmctl(segment, IPC_SET, &ds);
	SUCCEEDS_AS_NOBODY("both are enough", (long)shmat(segment, NULL, 0));
	EQUAL("none of them is attached", attached(), 0);
}

static long keeps_when_become(void)
{
	char *at = attach();

	become(NOBODY, NOBODY);
	at[0] = 'n';
	return shmdt(at);
}

static void rights_kept(void)
{
	if (!may_become())
		return;
	segment_new(100, 0600);
	struct child child = START(keeps_when_become());
	ANSWERS("who is attached stays so as another user", &child, 0);
	EQUAL("and is counted no more", attached(), 0);
}

CONFORMANCE(GROUP(account), GROUP(contents), GROUP(arguments), GROUP(addresses),
            GROUP(remap_of_segment), GROUP(read_only), GROUP(executable),
            GROUP(by_fork), GROUP(at_once_by_fork), GROUP(by_kill), GROUP(by_exec), GROUP(by_spawning), GROUP(by_threads),
            GROUP(by_munmap), GROUP(key_after_removal), GROUP(after_removal), GROUP(permissions),
            GROUP(rights_kept))
