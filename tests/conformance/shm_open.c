/* SPDX-License-Identifier: MIT */
/* shm_open, shm_unlink: names, flags, modes, and what is shared. */
#include "conformance.h"

#include <limits.h>
#include <sys/mman.h>

static int fd;

static long opened(const char *name, int flags, mode_t mode)
{
	fd = shm_open(name, flags, mode);
	return fd;
}

static struct stat state(void)
{
	struct stat file;

	memset(&file, 0, sizeof(file));
	need("fstat", fstat(fd, &file));
	return file;
}

static char *mapped(int protection)
{
	return mmap(NULL, 4096, protection, MAP_SHARED, fd, 0);
}

static void names(void)
{
	char longest[NAME_MAX + 3];

	FAILS("no name is invalid", opened("", O_CREAT | O_RDWR, 0600), EINVAL);
	FAILS("a slash alone is invalid", opened("/", O_CREAT | O_RDWR, 0600),
	      EINVAL);
	FAILS("a second slash is invalid",
	      opened("/a/b", O_CREAT | O_RDWR, 0600), EINVAL);
	FAILS("a point is invalid", opened("/.", O_CREAT | O_RDWR, 0600),
	      EINVAL);
	FAILS("two points are invalid", opened("/..", O_CREAT | O_RDWR, 0600),
	      EINVAL);
	memset(longest, 'n', sizeof(longest));
	longest[0] = '/';
	longest[NAME_MAX + 2] = 0;
	FAILS("256 letters are too long",
	      opened(longest, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
	FAILS("to unlink, too", shm_unlink(longest), ENAMETOOLONG);
	longest[NAME_MAX] = 0;
	FAILS("254 letters that aren't there", opened(longest, O_RDWR, 0),
	      ENOENT);
	FAILS("a slash can't be unlinked", shm_unlink("/"), ENOENT);
	FAILS("nor two", shm_unlink("/a/b"), ENOENT);
	FAILS("nor what isn't there", shm_unlink(own_name("none")), ENOENT);
}

static void more_slashes(void)
{
	const char *name = own_name("w");
	char two[80];

	snprintf(two, sizeof(two), "/%s", name);
	SUCCEEDS("a name needs no slash",
	         opened(name + 1, O_CREAT | O_RDWR, 0600));
	EQUAL("it is the same with one", opened(name, O_RDWR, 0) >= 0, 1);
	EQUAL("it is the same with two", opened(two, O_RDWR, 0) >= 0, 1);
	GIVES("and can be unlinked so", shm_unlink(two), 0);
}

static void creation(void)
{
	const char *name = own_name("a");

	FAILS("a name that isn't there fails", opened(name, O_RDWR, 0), ENOENT);
	FAILS("O_EXCL alone makes nothing", opened(name, O_RDWR | O_EXCL, 0),
	      ENOENT);
	SUCCEEDS("O_CREAT makes it", opened(name, O_RDWR | O_CREAT, 0600));
	EQUAL("of no size", state().st_size, 0);
	HOLDS("it is a regular file", S_ISREG(state().st_mode));
	EQUAL("it is closed at exec", fcntl(fd, F_GETFD) & FD_CLOEXEC,
	      FD_CLOEXEC);
	EQUAL("its access is that of the call", fcntl(fd, F_GETFL) & O_ACCMODE,
	      O_RDWR);
	FAILS("O_EXCL refuses what is there",
	      opened(name, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	SUCCEEDS("O_CREAT finds what is there",
	         opened(name, O_RDWR | O_CREAT, 0600));
	GIVES("it is given a size", ftruncate(fd, 5000), 0);
	EQUAL("which it has", state().st_size, 5000);
	SUCCEEDS("it is opened again", opened(name, O_RDWR, 0));
	EQUAL("with the size", state().st_size, 5000);
	SUCCEEDS("O_TRUNC takes its size",
	         opened(name, O_RDWR | O_TRUNC, 0600));
	EQUAL("and it is none", state().st_size, 0);
	GIVES("it is unlinked", shm_unlink(name), 0);
	FAILS("once", shm_unlink(name), ENOENT);
	FAILS("and can't be found", opened(name, O_RDWR, 0), ENOENT);
}

static void contents(void)
{
	const char *name = own_name("b");

	opened(name, O_RDWR | O_CREAT, 0600);
	need("ftruncate", ftruncate(fd, 4096));
	char *at = mapped(PROT_READ | PROT_WRITE);
	HOLDS("what is new is zeroes", at[0] == 0 && at[4095] == 0);
	strcpy(at, "shared");
	opened(name, O_RDONLY, 0);
	char *reader = mapped(PROT_READ);
	HOLDS("what is written is read elsewhere",
	      strcmp(reader, "shared") == 0);
	FAILS("a reader can't map to write",
	      (long)mapped(PROT_READ | PROT_WRITE), EACCES);
	FAILS("nor give a size", ftruncate(fd, 1), EINVAL);
	struct child child = START((long)strcpy(at, "child"));
	finish(&child);
	HOLDS("a child's writing is seen", strcmp(reader, "child") == 0);
	shm_unlink(name);
	HOLDS("it stays when the name has gone", strcmp(at, "child") == 0);
	opened(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	EQUAL("the name can be used again, for another", state().st_size, 0);
}

static long write_elsewhere(const char *name)
{
	if (opened(name, O_RDWR, 0) < 0)
		return -1;
	char *at = mapped(PROT_READ | PROT_WRITE);
	strcpy(at, "elsewhere");
	return 0;
}

static void between_processes(void)
{
	const char *name = own_name("c");

	opened(name, O_RDWR | O_CREAT, 0600);
	need("ftruncate", ftruncate(fd, 4096));
	char *at = mapped(PROT_READ | PROT_WRITE);
	struct answer child = IN_CHILD(write_elsewhere(name));
	EQUAL("another process opens it", child.value, 0);
	HOLDS("and writes to the same", strcmp(at, "elsewhere") == 0);
	EQUAL("read gives what is mapped", read(fd, at + 100, 9), 9);
	HOLDS("which is that", memcmp(at + 100, "elsewhere", 9) == 0);
}

int after_exec(const char *word)
{
	return write_elsewhere(word) == 0 ? 0 : errno;
}

static void over_exec(void)
{
	const char *name = own_name("d");

	opened(name, O_RDWR | O_CREAT, 0600);
	need("ftruncate", ftruncate(fd, 4096));
	char *at = mapped(PROT_READ | PROT_WRITE);
	struct child child = START_EXEC_AFTER((void)0, name);
	ANSWERS("what is executed opens it by its name", &child, 0);
	HOLDS("and writes to the same", strcmp(at, "elsewhere") == 0);
}

static void permissions(void)
{
	const char *name = own_name("e");

	umask(022);
	opened(name, O_RDWR | O_CREAT, 0666);
	EQUAL("the umask is applied", state().st_mode & 0777, 0644);
	EQUAL("the owner is the effective user", state().st_uid, geteuid());
	if (!may_become())
		return;
	fchmod(fd, 0640);
	FAILS_AS_NOBODY("others without a right are refused",
	                opened(name, O_RDONLY, 0), EACCES);
	FAILS_AS_NOBODY("with O_CREAT, too",
	                opened(name, O_RDWR | O_CREAT, 0600), EACCES);
	FAILS_AS_NOBODY("EEXIST comes before EACCES",
	                opened(name, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	SUCCEEDS_AS(STRANGER, 0, "the group may read",
	            opened(name, O_RDONLY, 0));
	FAILS_AS(STRANGER, 0, "and not write", opened(name, O_RDWR, 0), EACCES);
	FAILS_AS_NOBODY("another's can't be unlinked", shm_unlink(name),
	                EACCES);
	SUCCEEDS_AS_NOBODY("nobody makes his own",
	                   opened(own_name("f"), O_RDWR | O_CREAT, 0600));
	FAILS_AS(STRANGER, STRANGER, "a stranger doesn't open it",
	         opened(own_name("f"), O_RDONLY, 0), EACCES);
	SUCCEEDS_AS_NOBODY("who made it unlinks it", shm_unlink(own_name("f")));
}

/* Of the process's first call. */
static void lowest_number(void)
{
	int lowest = need("open", open("/dev/null", O_RDONLY));

	close(lowest);
	EQUAL("the descriptor is the lowest",
	      opened(own_name("l"), O_CREAT | O_RDWR, 0600), lowest);
	shm_unlink(own_name("l"));
}

CONFORMANCE(GROUP(lowest_number), GROUP(names), GROUP(more_slashes), GROUP(creation), GROUP(contents),
            GROUP(between_processes), GROUP(over_exec), GROUP(permissions))
