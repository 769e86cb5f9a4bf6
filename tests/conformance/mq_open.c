/* SPDX-License-Identifier: MIT */
/* mq_open, mq_close, mq_unlink: names, flags, attributes, modes, limits. */
#include "conformance.h"

#include <limits.h>
#include <mqueue.h>
#include <sys/resource.h>

static struct mq_attr attributes(mqd_t queue)
{
	struct mq_attr attr;

	memset(&attr, 0, sizeof(attr));
	need("mq_getattr", mq_getattr(queue, &attr));
	return attr;
}

static mqd_t made(const char *name, int flags, mode_t mode, long messages,
                  long size)
{
	struct mq_attr attr = { .mq_maxmsg = messages, .mq_msgsize = size };

	return mq_open(name, flags | O_CREAT, mode, &attr);
}

static void names(void)
{
	char longest[NAME_MAX + 3];

	memset(longest, 'n', sizeof(longest));
	longest[0] = '/';
	longest[NAME_MAX + 2] = 0;
	FAILS("a name without a slash is invalid", mq_open("conform", O_RDWR),
	      EINVAL);
	FAILS("no name is invalid", mq_open("", O_RDWR), EINVAL);
	FAILS("a slash alone is no name", mq_open("/", O_RDWR), ENOENT);
	FAILS("nor one to make", mq_open("/", O_RDWR | O_CREAT, 0600, NULL),
	      ENOENT);
	FAILS("a second slash is refused",
	      mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
	FAILS("a second slash at the start is refused",
	      mq_open("//a", O_RDWR | O_CREAT, 0600, NULL), EACCES);
	FAILS("a point is refused", mq_open("/.", O_RDWR), EACCES);
	FAILS("two points are refused", mq_open("/..", O_RDWR), EACCES);
	FAILS("256 letters are too long",
	      mq_open(longest, O_RDWR | O_CREAT, 0600, NULL), ENAMETOOLONG);
	longest[NAME_MAX + 1] = 0;
	SUCCEEDS("255 letters are not",
	         mq_open(longest, O_RDWR | O_CREAT, 0600, NULL));
	GIVES("they can be unlinked", mq_unlink(longest), 0);
	FAILS("mq_unlink of a name without a slash is invalid",
	      mq_unlink("conform"), EINVAL);
	FAILS("mq_unlink of a slash", mq_unlink("/"), ENOENT);
	FAILS("mq_unlink of two slashes", mq_unlink("/a/b"), EACCES);
	longest[NAME_MAX + 1] = 'n';
	FAILS("mq_unlink of 256 letters", mq_unlink(longest), ENAMETOOLONG);
}

static void long_paths(void)
{
	char *path = malloc(PATH_MAX + 2);

	memset(path, 'p', PATH_MAX + 1);
	path[0] = '/';
	path[PATH_MAX + 1] = 0;
	FAILS("a path is too long", mq_open(path, O_RDWR), ENAMETOOLONG);
	FAILS("to unlink, too", mq_unlink(path), ENAMETOOLONG);
	free(path);
}

static void creation(void)
{
	const char *name = own_name("a");
	mqd_t queue;

	FAILS("a name that has no queue fails", mq_open(name, O_RDWR), ENOENT);
	FAILS("O_EXCL alone makes nothing", mq_open(name, O_RDWR | O_EXCL),
	      ENOENT);
	SUCCEEDS("O_CREAT makes a queue",
	         queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL));
	EQUAL("of 10 messages", attributes(queue).mq_maxmsg, 10);
	EQUAL("of 8192 bytes", attributes(queue).mq_msgsize, 8192);
	EQUAL("none is there", attributes(queue).mq_curmsgs, 0);
	EQUAL("it is one that waits", attributes(queue).mq_flags, 0);
	FAILS("O_EXCL refuses a queue that is there",
	      made(name, O_RDWR | O_EXCL, 0600, 1, 1), EEXIST);
	SUCCEEDS("O_CREAT finds a queue that is there",
	         made(name, O_RDWR, 0600, 3, 3));
	EQUAL("as it is", attributes(queue).mq_maxmsg, 10);
	SUCCEEDS("bad attributes don't matter then",
	         made(name, O_RDWR, 0600, -1, -1));
	FAILS("no such access", mq_open(name, O_RDWR | O_WRONLY), EINVAL);
	GIVES("it is closed", mq_close(queue), 0);
	FAILS("it can't be closed twice", mq_close(queue), EBADF);
	SUCCEEDS("it is there still", mq_open(name, O_RDONLY));
	GIVES("until it is unlinked", mq_unlink(name), 0);
	FAILS("which happens once", mq_unlink(name), ENOENT);
	FAILS("no descriptor is closed", mq_close(-1), EBADF);
}

static void shapes(void)
{
	const char *name = own_name("b");
	mqd_t queue;

	FAILS("no messages are invalid", made(name, O_RDWR, 0600, 0, 8),
	      EINVAL);
	FAILS("no bytes are invalid", made(name, O_RDWR, 0600, 8, 0), EINVAL);
	FAILS("negative messages are invalid", made(name, O_RDWR, 0600, -1, 8),
	      EINVAL);
	FAILS("negative bytes are invalid", made(name, O_RDWR, 0600, 8, -1),
	      EINVAL);
	FAILS("no one makes so many messages",
	      made(name, O_RDWR, 0600, 65537, 1), EINVAL);
	FAILS("no one makes so many bytes",
	      made(name, O_RDWR, 0600, 1, 16777217), EINVAL);
	FAILS("nothing was made", mq_open(name, O_RDWR), ENOENT);
	SUCCEEDS("any shape within", queue = made(name, O_RDWR, 0600, 7, 33));
	EQUAL("has its messages", attributes(queue).mq_maxmsg, 7);
	EQUAL("and its bytes", attributes(queue).mq_msgsize, 33);
	struct mq_attr flags = { .mq_flags = O_NONBLOCK,
		                 .mq_maxmsg = 1,
		                 .mq_msgsize = 1 };
	mq_unlink(name);
	queue = mq_open(name, O_RDWR | O_CREAT, 0600, &flags);
	EQUAL("the flags of the shape don't matter", attributes(queue).mq_flags,
	      0);
}

static long flag_names(int flags)
{
	return mq_open(own_name("c"), flags);
}

static void access_modes(void)
{
	char text[16];
	const char *name = own_name("c");
	mqd_t both = made(name, O_RDWR, 0600, 2, 16);
	mqd_t reader, writer;

	SUCCEEDS("O_RDONLY opens", reader = flag_names(O_RDONLY));
	SUCCEEDS("O_WRONLY opens", writer = flag_names(O_WRONLY));
	FAILS("a reader can't send", mq_send(reader, "x", 1, 0), EBADF);
	FAILS("a writer can't receive", mq_receive(writer, text, 16, NULL),
	      EBADF);
	GIVES("a writer sends", mq_send(writer, "x", 1, 0), 0);
	GIVES("a reader receives", mq_receive(reader, text, 16, NULL), 1);
	GIVES("who has both sends", mq_send(both, "x", 1, 0), 0);
	GIVES("and receives", mq_receive(both, text, 16, NULL), 1);
	EQUAL("a descriptor is closed at exec",
	      fcntl(both, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	mqd_t patient = flag_names(O_RDONLY | O_NONBLOCK);
	EQUAL("O_NONBLOCK is in the attributes", attributes(patient).mq_flags,
	      O_NONBLOCK);
	EQUAL("of its description only", attributes(reader).mq_flags, 0);
	HOLDS("each opening has its descriptor", patient != reader);
}

/* What mq_open() of two arguments is when it is compiled with fortification. */
mqd_t __mq_open_2(const char *name, int flags);

static void fortified(void)
{
	const char *name = own_name("l");
	mqd_t queue = made(name, O_RDWR, 0600, 2, 8), other;

	SUCCEEDS("__mq_open_2 opens", other = __mq_open_2(name, O_WRONLY));
	mq_send(other, "x", 1, 0);
	EQUAL("the queue that is there", attributes(queue).mq_curmsgs, 1);
	FAILS("and none that isn't", __mq_open_2("/conform-no", O_RDWR),
	      ENOENT);
}

static void modes(void)
{
	const char *name = own_name("d");

	umask(027);
	mqd_t queue = made(name, O_RDWR, 0, 1, 1);
	GIVES("a mode of none doesn't bind who makes it",
	      mq_send(queue, "", 0, 0), 0);
	if (!may_become())
		return;
	mq_unlink(name);
	made(name, O_RDWR, 0666, 1, 1);
	FAILS_AS_NOBODY("the umask is applied to others",
	                mq_open(name, O_RDONLY), EACCES);
	FAILS_AS(STRANGER, 0, "and to the group", mq_open(name, O_RDWR),
	         EACCES);
	SUCCEEDS_AS(STRANGER, 0, "which has what it leaves",
	            mq_open(name, O_RDONLY));
}

static void after_unlink(void)
{
	const char *name = own_name("e");
	char text[8];
	mqd_t old = made(name, O_RDWR, 0600, 2, 8);

	mq_send(old, "old", 3, 0);
	GIVES("an open queue is unlinked", mq_unlink(name), 0);
	FAILS("its name is gone", mq_open(name, O_RDWR), ENOENT);
	GIVES("who has it sends", mq_send(old, "more", 4, 0), 0);
	GIVES("and receives", mq_receive(old, text, 8, NULL), 3);
	mqd_t new = made(name, O_RDWR | O_EXCL, 0600, 2, 8);
	HOLDS("the name can be used again", new >= 0);
	EQUAL("for another queue", attributes(new).mq_curmsgs, 0);
	EQUAL("the old one has its message", attributes(old).mq_curmsgs, 1);
}

static void messages_stay(void)
{
	const char *name = own_name("f");
	char text[8];
	mqd_t queue = made(name, O_RDWR, 0600, 2, 8);

	mq_send(queue, "stay", 4, 9);
	mq_close(queue);
	queue = mq_open(name, O_RDWR);
	EQUAL("messages stay when nobody has it open",
	      attributes(queue).mq_curmsgs, 1);
	struct answer child =
		IN_CHILD(mq_receive(mq_open(name, O_RDONLY), text, 8, NULL));
	EQUAL("another process receives them", child.value, 4);
}

static void permissions(void)
{
	const char *name = own_name("g");

	if (!may_become())
		return;
	mqd_t queue = made(name, O_RDWR, 0640, 1, 1);
	FAILS_AS_NOBODY("others without a right are refused",
	                mq_open(name, O_RDONLY), EACCES);
	FAILS_AS_NOBODY("with O_CREAT, too",
	                mq_open(name, O_RDWR | O_CREAT, 0600, NULL), EACCES);
	FAILS_AS_NOBODY("EEXIST comes before EACCES",
	                mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL),
	                EEXIST);
	SUCCEEDS_AS(STRANGER, 0, "the group may read", mq_open(name, O_RDONLY));
	FAILS_AS(STRANGER, 0, "and not write", mq_open(name, O_WRONLY), EACCES);
	FAILS_AS(STRANGER, 0, "nor both", mq_open(name, O_RDWR), EACCES);
	FAILS_AS_NOBODY("another's queue can't be unlinked", mq_unlink(name),
	                EACCES);
	SUCCEEDS_AS_NOBODY("what is open is used by anyone",
	                   mq_send(queue, "", 0, 0));
	FAILS_AS_NOBODY("unlinking what isn't there", mq_unlink("/conform-no"),
	                ENOENT);
}

static long makes_own(const char *name)
{
	mqd_t queue = made(name, O_RDWR, 0600, 1, 1);

	if (queue < 0 || mq_send(queue, "x", 1, 0) != 0)
		return -1;
	return mq_close(queue);
}

static void of_others(void)
{
	const char *name = own_name("h");

	if (!may_become())
		return;
	SUCCEEDS_AS_NOBODY("nobody makes queues of his own", makes_own(name));
	SUCCEEDS("root opens it", mq_open(name, O_RDWR));
	FAILS_AS(STRANGER, STRANGER, "a stranger doesn't",
	         mq_open(name, O_RDWR), EACCES);
	FAILS_AS(STRANGER, STRANGER, "nor unlinks it", mq_unlink(name), EACCES);
	SUCCEEDS_AS_NOBODY("who made it unlinks it", mq_unlink(name));
	FAILS("then it is gone", mq_open(name, O_RDWR), ENOENT);
}

static void limits_of_others(void)
{
	const char *name = own_name("i");

	if (!may_become())
		return;
	FAILS_AS_NOBODY("others make no more than 10 messages",
	                made(name, O_RDWR, 0600, 11, 8), EINVAL);
	FAILS_AS_NOBODY("nor more than 8192 bytes",
	                made(name, O_RDWR, 0600, 1, 8193), EINVAL);
	SUCCEEDS_AS_NOBODY("but that many", made(name, O_RDWR, 0600, 10, 8192));
}

static long fill_names(void)
{
	char name[64];
	int count = 0;

	for (; count < 300; count++) {
		snprintf(name, sizeof(name), "/conform-%d-%d", getpid(), count);
		mqd_t queue = made(name, O_RDWR, 0600, 1, 1);
		if (queue < 0)
			break;
		mq_close(queue);
	}
	int error = errno;
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "/conform-%d-%d", getpid(), i);
		mq_unlink(name);
	}
	board->notes[0] = count;
	errno = error;
	return -1;
}

static void number_of_queues(void)
{
	if (!may_become())
		return;
	FAILS_AS_NOBODY("others make no more than 256 queues", fill_names(),
	                ENOSPC);
	HOLDS("and no less, but for those of others",
	      board->notes[0] > 200 && board->notes[0] <= 256);
}

static long bytes_limited(void)
{
	struct rlimit limit = { 1000, 1000 };

	setrlimit(RLIMIT_MSGQUEUE, &limit);
	become(NOBODY, NOBODY);
	return made(own_name("j"), O_RDWR, 0600, 10, 1000);
}

static void bytes_of_queues(void)
{
	if (!may_become())
		return;
	struct child child = START(bytes_limited());
	ANSWERS_ERROR("RLIMIT_MSGQUEUE is a limit", &child, EMFILE);
}

static long descriptors_limited(void)
{
	struct rlimit limit = { 0, 0 };

	setrlimit(RLIMIT_NOFILE, &limit);
	return mq_open(own_name("k"), O_RDWR);
}

static void number_of_descriptors(void)
{
	made(own_name("k"), O_RDWR, 0600, 1, 1);
	struct child child = START(descriptors_limited());
	ANSWERS_ERROR("RLIMIT_NOFILE is a limit", &child, EMFILE);
}

/* Of the process's first call. */
static void lowest_number(void)
{
	int lowest = need("open", open("/dev/null", O_RDONLY));

	close(lowest);
	EQUAL("the descriptor is the lowest",
	      made(own_name("l"), O_RDWR, 0600, 1, 8), lowest);
	mq_unlink(own_name("l"));
}

CONFORMANCE(GROUP(lowest_number), GROUP(names), GROUP(long_paths), GROUP(creation), GROUP(shapes),
            GROUP(access_modes), GROUP(fortified), GROUP(modes),
            GROUP(after_unlink), GROUP(messages_stay), GROUP(permissions),
            GROUP(of_others), GROUP(limits_of_others), GROUP(number_of_queues),
            GROUP(bytes_of_queues), GROUP(number_of_descriptors))
