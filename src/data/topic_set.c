/* SPDX-License-Identifier: MIT */
/*
 * data/topic_set.c: many topics by pattern, as one. A set is private to its
 * process: subscriptions of its own to topics as any other, an epoll descriptor
 * over their poll descriptors, and an inotify descriptor on the directory.
 *
 * Who is there is told by looking (readdir), never by inotify's events: these
 * only say that it's time to look. So an event that is lost to a full queue
 * loses nothing.
 */
#include <base/deadline.h>
#include <base/error.h>
#include <data/topic_internal.h>

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#define KIND_SUFFIX ".topic"
#define TURN_WAIT_NS STOA_SLICE_NS
#define NOTICE (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)

struct member {
	struct stoa_topic *topic;
	uint64_t generation;
	int seen; /* in the look under way */
	char name[STOA_NAME_MAX + 1];
};

struct stoa_topic_set {
	struct stoa_space *space;
	unsigned flags;
	int notice; /* inotify */
	int poll;   /* epoll over it and the members */
	int changed;
	int open;   /* members found from now on came later */
	struct member *members;
	size_t count, room, turn;
	char pattern[STOA_NAME_MAX + 1];
	char told[STOA_NAME_MAX + 1]; /* the name that was returned last */
};

/* ---- Members -------------------------------------------------------------------- */

static int watch(struct stoa_topic_set *set, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return (int)stoa_system_call(SYS_epoll_ctl, set->poll, EPOLL_CTL_ADD,
	                             fd, (long)&event, 0, 0);
}

/* Closing takes its poll descriptor out of the set's. */
static void drop(struct stoa_topic_set *set, size_t index)
{
	stoa_topic_close(set->members[index].topic);
	memmove(&set->members[index], &set->members[index + 1],
	        (set->count - index - 1) * sizeof *set->members);
	set->count--;
	if (set->turn > index)
		set->turn--;
}

static struct member *find_member(struct stoa_topic_set *set, const char *name,
                                  uint64_t generation)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->members[i].generation == generation &&
		    strcmp(set->members[i].name, name) == 0)
			return &set->members[i];
	return NULL;
}

static int make_room(struct stoa_topic_set *set)
{
	size_t room = set->room ? 2 * set->room : 8;
	struct member *members;

	if (set->count < set->room)
		return 0;
	members = realloc(set->members, room * sizeof *members);
	if (!members)
		return stoa_fail(-ENOMEM, "no memory for one more topic");
	set->members = members;
	set->room = room;
	return 0;
}

static int subscribe(struct stoa_topic_set *set, const char *name)
{
	struct stoa_topic *topic;
	int result = make_room(set);

	if (result == 0)
		result = stoa_topic_open(set->space, name,
		                         STOA_READ | set->flags, 0, NULL,
		                         &topic);
	if (result < 0)
		return result;
	if (set->open)
		result = stoa_topic_seek(topic, STOA_TOPIC_OLDEST);
	if (result == 0)
		result = stoa_topic_pollfd(topic, STOA_READ);
	if (result >= 0)
		result = watch(set, result);
	if (result < 0) {
		stoa_topic_close(topic);
		return result;
	}
	struct member *member = &set->members[set->count++];
	*member = (struct member){
		.topic = topic,
		.generation = topic->object.copy.generation,
		.seen = 1,
	};
	snprintf(member->name, sizeof member->name, "%s", name);
	return 0;
}

/* What would make every further one fail, too, is told; a single topic that
 * can't be opened is left out. */
static int look_at(const char *file, void *context)
{
	struct stoa_topic_set *set = context;
	char name[STOA_NAME_MAX + 1], kind[STOA_KIND_MAX + 1];
	struct stoa_object_info info;
	struct member *member;

	if (!stoa_name_split(file, name, kind) || strcmp(kind, "topic") != 0 ||
	    fnmatch(set->pattern, name, 0) != 0 ||
	    stoa_space_find(set->space, file, &info) < 0 || info.health != 0)
		return 0;
	member = find_member(set, name, info.generation);
	if (member) {
		member->seen = 1;
		return 0;
	}
	int result = subscribe(set, name);
	return result == -EMFILE || result == -ENFILE || result == -ENOMEM ?
	               result :
	               0;
}

/* Subscribes to those that are there and not in the set. Those whose name is
 * gone stay as long as they have messages: see receive_from(). */
static int look(struct stoa_topic_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		set->members[i].seen = 0;
	set->changed = 0;
	int result = stoa_directory_each(set->space->life.directory, look_at,
	                                 set);
	if (result < 0)
		set->changed = 1;
	return result;
}

/* Whether it's time to look. */
static void notice(struct stoa_topic_set *set)
{
	_Alignas(struct inotify_event) char events[4096];

	while (stoa_sys_read(set->notice, events, sizeof events) > 0)
		set->changed = 1;
}

/* ---- Lifecycle -------------------------------------------------------------------- */

static int open_descriptors(struct stoa_topic_set *set)
{
	char path[64];
	int result;

	set->poll = (int)stoa_system_call(SYS_epoll_create1, EPOLL_CLOEXEC, 0,
	                                  0, 0, 0, 0);
	if (set->poll < 0)
		return set->poll;
	set->notice = (int)stoa_system_call(SYS_inotify_init1,
	                                    IN_CLOEXEC | IN_NONBLOCK, 0, 0, 0,
	                                    0, 0);
	if (set->notice < 0)
		return set->notice;
	snprintf(path, sizeof path, "/proc/self/fd/%d",
	         set->space->life.directory);
	result = (int)stoa_system_call(SYS_inotify_add_watch, set->notice,
	                               (long)path, NOTICE, 0, 0, 0);
	return result < 0 ? result : watch(set, set->notice);
}

int stoa_topic_set_open(struct stoa_space *space, const char *pattern,
                        unsigned flags, struct stoa_topic_set **ret_set)
{
	struct stoa_topic_set *set;
	int result;

	if (!pattern || !*pattern || strlen(pattern) > STOA_NAME_MAX ||
	    (flags & ~(unsigned)STOA_INTERRUPTIBLE))
		return stoa_fail(-EINVAL,
		                 "a set of topics needs a pattern of 1 to %d "
		                 "characters, as prices.*, and no flags but "
		                 "STOA_INTERRUPTIBLE",
		                 STOA_NAME_MAX);
	set = calloc(1, sizeof *set);
	if (!set)
		return stoa_fail(-ENOMEM, "no memory for a set of topics");
	*set = (struct stoa_topic_set){ .space = space, .flags = flags,
		                        .notice = -1, .poll = -1 };
	snprintf(set->pattern, sizeof set->pattern, "%s",
	         *pattern == '/' ? pattern + 1 : pattern);
	result = open_descriptors(set);
	if (result < 0)
		stoa_fail(result, "can't watch the space %s for topics: %s",
		          space->path, strerror(-result));
	if (result >= 0)
		result = look(set);
	if (result < 0) {
		stoa_topic_set_close(set);
		return result;
	}
	set->open = 1;
	*ret_set = set;
	return 0;
}

void stoa_topic_set_close(struct stoa_topic_set *set)
{
	if (!set)
		return;
	while (set->count > 0)
		drop(set, set->count - 1);
	if (set->notice >= 0)
		stoa_sys_close(set->notice);
	if (set->poll >= 0)
		stoa_sys_close(set->poll);
	free(set->members);
	free(set);
}

int stoa_topic_set_count(struct stoa_topic_set *set)
{
	notice(set);
	int result = set->changed ? look(set) : 0;

	return result < 0 ? result : (int)set->count;
}

int stoa_topic_set_pollfd(struct stoa_topic_set *set)
{
	return set->poll;
}

/* ---- Receiving ---------------------------------------------------------------------- */

/* One turn of all; who had a message comes last the next time. */
static ssize_t receive_once(struct stoa_topic_set *set, void *buffer,
                            size_t buffer_bytes,
                            struct stoa_topic_message *message)
{
	for (size_t i = 0; i < set->count;) {
		size_t index = (set->turn + i) % set->count;
		struct member *member = &set->members[index];
		ssize_t result = stoa_topic_receive(member->topic, buffer,
		                                    buffer_bytes, STOA_NOW,
		                                    message);

		if (result == -EIDRM || result == -EUCLEAN || result == -EIO) {
			drop(set, index);
			continue;
		}
		if (result != -EAGAIN) {
			snprintf(set->told, sizeof set->told, "%s",
			         member->name);
			if (result >= 0)
				set->turn = index + 1;
			return result;
		}
		/* Its name is gone, and all it had was received. */
		if (!member->seen)
			drop(set, index);
		else
			i++;
	}
	return -EAGAIN;
}

/* Nothing was to be had: until something may be. */
static int wait_for_more(struct stoa_topic_set *set,
                         struct stoa_deadline deadline)
{
	int64_t left = stoa_deadline_left(deadline);
	struct epoll_event event;
	int result;

	if (left == 0)
		return stoa_deadline_result(deadline);
	if (left > TURN_WAIT_NS)
		left = TURN_WAIT_NS;
	result = (int)stoa_system_call(SYS_epoll_pwait, set->poll,
	                               (long)&event, 1,
	                               (left + 999999) / 1000000, 0, 0);
	if (result == -EINTR && !(set->flags & STOA_INTERRUPTIBLE))
		result = 0;
	return result < 0 ? result : 0;
}

ssize_t stoa_topic_set_receive(struct stoa_topic_set *set, void *buffer,
                               size_t buffer_bytes,
                               struct stoa_deadline deadline,
                               struct stoa_topic_message *ret_message,
                               const char **ret_name)
{
	struct stoa_topic_message message = { 0 };
	ssize_t result;

	for (;;) {
		notice(set);
		result = set->changed ? look(set) : 0;
		if (result >= 0)
			result = receive_once(set, buffer, buffer_bytes,
			                      &message);
		if (result == -EAGAIN)
			result = wait_for_more(set, deadline);
		else
			break;
		if (result < 0)
			return result;
	}
	if (result == -EMSGSIZE && ret_message)
		ret_message->bytes = message.bytes;
	if (result < 0)
		return result;
	if (ret_message)
		*ret_message = message;
	if (ret_name)
		*ret_name = set->told;
	return result;
}
