/* SPDX-License-Identifier: MIT */
/*
 * space/inspect.c: what is in a space, seen without disturbing it: files are
 * read, not mapped, and nothing is written. And removing and cleaning.
 */
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <space/event.h>
#include <space/object.h>
#include <space/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define GONE_PREFIX ".gone."
#define GONE_NAME_MAX 48

typedef int (*user_visit)(const struct stoa_user *user, void *context);

static void describe_user(struct stoa_space *space, struct stoa_seat *seat,
                          struct stoa_user *ret_user)
{
	uint64_t owner = atomic_load(&seat->owner);

	*ret_user = (struct stoa_user){
		.peer = owner >> 16,
		.pid = atomic_load(&seat->pid),
		.uid = atomic_load(&seat->uid),
		.alive = stoa_life_alive(&space->life, owner >> 16),
		.opened_ns = atomic_load(&seat->opened_ns),
		.flags = atomic_load(&seat->flags),
		.messages_in = atomic_load(&seat->messages_in) -
		               atomic_load(&seat->first_messages_in),
		.messages_out = atomic_load(&seat->messages_out) -
		                atomic_load(&seat->first_messages_out),
		.bytes_in = atomic_load(&seat->bytes_in) -
		            atomic_load(&seat->first_bytes_in),
		.bytes_out = atomic_load(&seat->bytes_out) -
		             atomic_load(&seat->first_bytes_out),
	};
	if (atomic_load(&seat->readers_waiting))
		ret_user->waiting |= STOA_READ;
	if (atomic_load(&seat->writers_waiting))
		ret_user->waiting |= STOA_WRITE;
	if (ret_user->waiting)
		ret_user->waiting_since_ns =
		        atomic_load(&seat->waiting_since_ns);
}

/* Visits the seats of an object file that somebody sits on. */
static int each_seat(struct stoa_space *space, int fd, uint64_t file_bytes,
                     user_visit visit, void *context)
{
	int visited = 0;

	for (uint32_t chunk = 0; chunk < SEAT_CHUNKS; chunk++) {
		uint64_t offset = stoa_seat_chunk_offset(file_bytes, chunk);

		for (uint32_t i = 0; i < stoa_seat_chunk_seats(chunk); i++) {
			struct stoa_seat seat;
			struct stoa_user user;
			ssize_t got = stoa_sys_pread(
			        fd, &seat, sizeof seat,
			        (off_t)(offset + i * sizeof seat));

			if (got < 0)
				return (int)got;
			if (got != sizeof seat)
				return visited;
			if (atomic_load(&seat.owner) >> 16 == 0)
				continue;
			describe_user(space, &seat, &user);
			int result = visit(&user, context);
			if (result != 0)
				return result;
			visited++;
		}
	}
	return visited;
}

static int each_user(struct stoa_space *space, int fd,
                     const struct stoa_object_header *header, user_visit visit,
                     void *context)
{
	for (int i = 0; stoa_object_kinds[i]; i++)
		if (stoa_object_kinds[i]->each_user &&
		    strcmp(stoa_object_kinds[i]->name, header->kind) == 0)
			return stoa_object_kinds[i]->each_user(space, fd, visit,
			                                       context);
	return each_seat(space, fd, header->file_bytes, visit, context);
}

static int count_user(const struct stoa_user *user, void *context)
{
	struct stoa_object_info *info = context;

	info->users += user->alive ? 1 : 0;
	info->dead += user->alive ? 0 : 1;
	info->waiting += user->alive && user->waiting ? 1 : 0;
	return 0;
}

static int read_header(int fd, const char *file, uint64_t size,
                       struct stoa_object_header *ret_header)
{
	ssize_t got = stoa_sys_pread(fd, ret_header, sizeof *ret_header, 0);

	if (got < 0)
		return (int)got;
	if (got != sizeof *ret_header)
		return stoa_fail(-EPROTO, "%s is not a stoa object; remove it",
		                 file);
	return stoa_object_check(file, ret_header, size);
}

static int state_health(uint32_t state)
{
	return state & OBJECT_REMOVED ? -EIDRM :
	       state & OBJECT_DAMAGED ? -EUCLEAN :
	                                0;
}

static int open_for_look(struct stoa_space *space, const char *file)
{
	int fd = stoa_sys_openat(space->life.directory, file,
	                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

	return fd == -ELOOP || fd == -ENXIO ? -EPROTO : fd;
}

/* Kinds that the drop-in keeps in a space: the file is the memory, and has no
 * header. */
static int is_plain(const char *kind)
{
	return strcmp(kind, "shared_memory") == 0 ||
	       strcmp(kind, "posix_semaphore") == 0;
}

static int is_directory(struct stoa_space *space, const char *file)
{
	struct stat stat;

	return stoa_sys_fstatat(space->life.directory, file, &stat,
	                        AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(stat.st_mode);
}

/* A socket's name says who has it, and nothing else: see socket.h. One that is
 * left empty is no name. */
static int describe_socket(struct stoa_space *space, const char *file,
                           struct stoa_object_info *info)
{
	int directory = space->life.directory;
	struct stat stat;
	int result = stoa_socket_stat(directory, file, &stat);

	info->health = result == -ENOTSOCK ? -EPROTO : result;
	if (result < 0)
		return result == -ENOENT ? result : 0;
	info->mode = stat.st_mode & 07777;
	info->uid = stat.st_uid;
	info->gid = stat.st_gid;
	result = stoa_socket_bound(directory, file);
	info->health = result < 0 ? result : 0;
	info->users = result > 0;
	info->dead = result == 0;
	return result == -ENOENT ? result : 0;
}

/* Fills *info from the file; trouble with it is told as info->health. */
static int describe(struct stoa_space *space, const char *file,
                    struct stoa_object_info *info)
{
	struct stoa_object_header header;
	struct stat stat;

	memset(info, 0, sizeof *info);
	if (!stoa_name_split(file, info->name, info->kind))
		return -EINVAL;
	int result = stoa_sys_fstatat(space->life.directory, file, &stat,
	                              AT_SYMLINK_NOFOLLOW);
	info->health = result;
	if (result < 0)
		return result == -ENOENT ? result : 0;
	if (S_ISDIR(stat.st_mode))
		return describe_socket(space, file, info);
	info->mode = stat.st_mode & 07777;
	info->uid = stat.st_uid;
	info->gid = stat.st_gid;
	/* Not the holes. */
	info->size_bytes = (uint64_t)stat.st_blocks * 512;
	if (info->size_bytes > (uint64_t)stat.st_size)
		info->size_bytes = (uint64_t)stat.st_size;
	if (S_ISREG(stat.st_mode) && is_plain(info->kind))
		return 0;
	int fd = S_ISREG(stat.st_mode) ? open_for_look(space, file) : -EPROTO;
	if (fd < 0) {
		info->health = fd;
		return fd == -ENOENT ? fd : 0;
	}
	info->health = read_header(fd, file, (uint64_t)stat.st_size, &header);
	if (info->health == 0 && strcmp(header.kind, info->kind) != 0)
		info->health = -EPROTO;
	if (info->health == 0) {
		info->generation = header.generation;
		info->created_ns = header.created_ns;
		info->creator_pid = header.creator_pid;
		info->health = state_health(atomic_load(&header.events.state));
		each_user(space, fd, &header, count_user, info);
	}
	stoa_sys_close(fd);
	return 0;
}

struct listing {
	struct stoa_space *space;
	int (*visit)(const struct stoa_object_info *, void *);
	void *context;
	int visited;
};

static int list_one(const char *file, void *context)
{
	struct listing *listing = context;
	struct stoa_object_info info;

	if (file[0] == '.' || describe(listing->space, file, &info) < 0)
		return 0;
	listing->visited++;
	return listing->visit(&info, listing->context);
}

int stoa_space_each(struct stoa_space *space,
                    int (*visit)(const struct stoa_object_info *, void *),
                    void *context)
{
	struct listing listing = { space, visit, context, 0 };
	int result = stoa_directory_each(space->life.directory, list_one, &listing);

	return result != 0 ? result : listing.visited;
}

struct search {
	const char *name;
	char file[STOA_FILE_NAME_MAX + 1];
	int exact; /* the name was the file's, with its kind */
	int found;
};

static int match_file(const char *file, void *context)
{
	char stem[STOA_NAME_MAX + 1], kind[STOA_KIND_MAX + 1];
	struct search *search = context;

	if (!stoa_name_split(file, stem, kind))
		return 0;
	if (strcmp(file, search->name) == 0)
		search->exact = 1;
	else if (strcmp(stem, search->name) != 0 || search->exact)
		return 0;
	if (search->exact)
		search->found = 0;
	snprintf(search->file, sizeof search->file, "%s", file);
	search->found++;
	return search->exact;
}

/* Finds the file that a user's name means: with its kind, or of the one kind
 * that has it. */
static int find_file(struct stoa_space *space, const char *name,
                     char file[STOA_FILE_NAME_MAX + 1])
{
	struct search search = { .name = name };
	char stem[STOA_NAME_MAX + 1], kind[STOA_KIND_MAX + 1];
	struct stat stat;

	if (name && name[0] == '/')
		search.name = ++name;
	/* A longest name with its kind is too long for a name. */
	if (!name || !stoa_name_split(name, stem, kind)) {
		int result = stoa_name_check(name, &name);
		if (result < 0)
			return result;
	} else if (stoa_sys_fstatat(space->life.directory, name, &stat,
	                            AT_SYMLINK_NOFOLLOW) == 0) {
		/* No other file can be meant: spare a look at all of them. */
		strcpy(file, name);
		return 0;
	}
	int result = stoa_directory_each(space->life.directory, match_file, &search);
	if (result < 0)
		return result;
	if (search.found > 1)
		return stoa_fail(-ENOTUNIQ,
		                 "several kinds of object are named %s; give "
		                 "the kind, too, as in %s.queue",
		                 name, name);
	if (search.found == 0)
		return stoa_fail(-ENOENT, "there is no %s in the space %s",
		                 name, space->path);
	snprintf(file, STOA_FILE_NAME_MAX + 1, "%s", search.file);
	return 0;
}

static int describe_found(struct stoa_space *space, const char *file,
                          struct stoa_object_info *info)
{
	int result = describe(space, file, info);

	if (result == -ENOENT)
		return stoa_fail(result, "there is no %s in the space %s", file,
		                 space->path);
	return result;
}

int stoa_space_find(struct stoa_space *space, const char *name,
                    struct stoa_object_info *ret_info)
{
	char file[STOA_FILE_NAME_MAX + 1];
	struct stoa_object_info info;
	int result = find_file(space, name, file);

	if (result == 0)
		result = describe_found(space, file, &info);
	if (result == 0)
		*ret_info = info;
	return result;
}

int stoa_space_each_user(struct stoa_space *space, const char *name,
                         int (*visit)(const struct stoa_user *, void *),
                         void *context)
{
	char file[STOA_FILE_NAME_MAX + 1];
	struct stoa_object_header header;
	struct stat stat;
	int result = find_file(space, name, file);

	if (result < 0)
		return result;
	if (is_directory(space, file))
		return 0; /* the kernel doesn't say who */
	int fd = open_for_look(space, file);
	if (fd < 0)
		return stoa_fail(fd, "can't read %s: %s", file, strerror(-fd));
	result = stoa_sys_fstat(fd, &stat);
	if (result == 0 && !S_ISREG(stat.st_mode))
		result = stoa_fail(-EPROTO, "%s is not a stoa object", file);
	if (result == 0)
		result = read_header(fd, file, (uint64_t)stat.st_size, &header);
	if (result == 0)
		result = each_user(space, fd, &header, visit, context);
	stoa_sys_close(fd);
	return result;
}

/* Marks a named object removed and wakes whoever waits on it. */
static int wake_removed(struct stoa_space *space, const char *name,
                        const char *kind)
{
	for (int i = 0; stoa_object_kinds[i]; i++) {
		struct stoa_object *object;
		int result;

		if (strcmp(stoa_object_kinds[i]->name, kind) != 0)
			continue;
		result = stoa_object_kinds[i]->open(
		        space, name, STOA_READ | STOA_WRITE, &object);
		if (result == -EPROTO || result == -EUCLEAN ||
		    result == -EIDRM || result == -ENOENT)
			return 0; /* nobody can wait on what can't be opened */
		if (result < 0)
			return result;
		stoa_object_mark(object, OBJECT_REMOVED);
		stoa_object_kinds[i]->close(object);
		return 0;
	}
	return 0;
}

/* The generation of the object file `file`; 0: none to be read. */
static int read_generation(struct stoa_space *space, const char *file,
                           uint64_t *ret_generation)
{
	struct stoa_object_header header = { 0 };
	int fd = open_for_look(space, file);

	if (fd < 0)
		return fd;
	ssize_t got = stoa_sys_pread(fd, &header, sizeof header, 0);
	stoa_sys_close(fd);
	if (got < 0 && got != -EISDIR)
		return (int)got;
	*ret_generation = got == sizeof header ? header.generation : 0;
	return 0;
}

/* Whether the name leads to that object: its file's inode says so, as long as
 * somebody holds that; else what is in it. 1, 0, -errno. */
static int leads_to(struct stoa_space *space, const char *file,
                    uint64_t generation, uint64_t inode)
{
	uint64_t found = 0;
	struct stat stat;
	int result;

	if (inode) {
		result = stoa_sys_fstatat(space->life.directory, file, &stat,
		                          AT_SYMLINK_NOFOLLOW);
		return result < 0 ? result : stat.st_ino == inode;
	}
	result = read_generation(space, file, &found);
	return result < 0 ? result : found == generation;
}

/*
 * Two who remove, and one who makes in between: the second must not remove the
 * new one. Renaming takes whatever has the name now, atomically; only then is
 * it looked at, and given its name back if it's another. No lock, so a stopped
 * process hinders nobody.
 */
static int unlink_generation(struct stoa_space *space, const char *file,
                             uint64_t generation, uint64_t inode)
{
	char gone[GONE_NAME_MAX];
	int directory = space->life.directory;
	int result = leads_to(space, file, generation, inode);

	if (result <= 0)
		return result;
	snprintf(gone, sizeof gone, GONE_PREFIX "%016llx.%d",
	         (unsigned long long)generation, stoa_life_pid(&space->life));
	result = (int)stoa_system_call(SYS_renameat2, directory, (long)file,
	                               directory, (long)gone, RENAME_NOREPLACE,
	                               0);
	if (result < 0)
		return result;
	result = leads_to(space, gone, generation, inode);
	if (result == 0)
		stoa_system_call(SYS_renameat2, directory, (long)gone,
		                 directory, (long)file, RENAME_NOREPLACE, 0);
	result = stoa_sys_unlinkat(directory, gone);
	if (result < 0 && result != -ENOENT)
		stoa_system_call(SYS_renameat2, directory, (long)gone,
		                 directory, (long)file, RENAME_NOREPLACE, 0);
	return result == -ENOENT ? 0 : result;
}

int stoa_space_unlink(struct stoa_space *space, const char *file,
                      uint64_t generation, uint64_t inode)
{
	int result = generation ?
	                     unlink_generation(space, file, generation,
	                                       inode) :
	                     stoa_sys_unlinkat(space->life.directory, file);

	if (result == -ENOENT)
		return 0;
	if (result == -EPERM) /* somebody else's, in a sticky directory */
		result = -EACCES;
	if (result < 0)
		return stoa_fail(result, "can't remove %s from %s: %s", file,
		                 space->path, strerror(-result));
	return 0;
}

static int remove_socket(struct stoa_space *space, const char *file, int dead)
{
	int result = stoa_socket_remove(space->life.directory, file, 0, dead);

	if (result == -ENOENT)
		return 0;
	if (result == -EPERM)
		result = -EACCES;
	if (result < 0)
		return stoa_fail(result, "can't remove %s from %s: %s", file,
		                 space->path, strerror(-result));
	return 0;
}

int stoa_space_remove(struct stoa_space *space, const char *name, int wake)
{
	char file[STOA_FILE_NAME_MAX + 1];
	struct stoa_object_info info;
	int result = find_file(space, name, file);

	if (result < 0)
		return result;
	result = describe_found(space, file, &info);
	if (result < 0)
		return result;
	if (wake)
		result = wake_removed(space, info.name, info.kind);
	if (result < 0)
		return result;
	if (is_directory(space, file))
		return remove_socket(space, file, 0);
	result = stoa_space_unlink(space, file, info.generation, 0);
	if (result < 0)
		return result;
	if (info.users == 0)
		stoa_bell_remove(space->life.directory, info.generation);
	return 0;
}

/* ---- Cleaning ----------------------------------------------------------- */

struct clean {
	struct stoa_space *space;
	int dry_run;
	void (*visit)(const struct stoa_cleaning *, void *);
	void *context;
	const char *file;
	int done;
	uint64_t bell; /* whose object is being looked for */
	int bell_has_object;
};

static void tell(struct clean *clean, const char *name, const char *action,
                 pid_t pid, int result)
{
	struct stoa_cleaning cleaning = { name, action, pid, result };

	clean->done++;
	if (clean->visit)
		clean->visit(&cleaning, clean->context);
}

static int tell_dead(const struct stoa_user *user, void *context)
{
	struct clean *clean = context;

	if (!user->alive)
		tell(clean, clean->file, "bury", user->pid, 0);
	return 0;
}

static int bury_in(struct clean *clean, const struct stoa_object_info *info)
{
	for (int i = 0; stoa_object_kinds[i]; i++) {
		struct stoa_object *object;
		int result;

		if (strcmp(stoa_object_kinds[i]->name, info->kind) != 0)
			continue;
		result = stoa_object_kinds[i]->open(clean->space, info->name,
		                                    STOA_READ | STOA_WRITE,
		                                    &object);
		if (result < 0)
			return result;
		result = stoa_object_bury(object, SEAT_MAX);
		stoa_object_kinds[i]->close(object);
		return result < 0 ? result : 0;
	}
	return 0;
}

static int clean_object(const struct stoa_object_info *info, void *context)
{
	struct clean *clean = context;
	char file[STOA_FILE_NAME_MAX + 1];

	if (info->dead == 0)
		return 0;
	stoa_name_join(info->name, info->kind, file);
	clean->file = file;
	if (is_directory(clean->space, file))
		return 0; /* a dead socket's: clean_socket() */
	stoa_space_each_user(clean->space, file, tell_dead, clean);
	int result = clean->dry_run ? 0 : bury_in(clean, info);
	if (result < 0)
		tell(clean, file, "bury", 0, result);
	return 0;
}

static int match_bell(const struct stoa_object_info *info, void *context)
{
	struct clean *clean = context;

	clean->bell_has_object |= info->generation == clean->bell ||
	                          info->health != 0;
	return 0;
}

/* The files that stand beside an object, hidden: its bells, and what handles on
 * a port keep there (data/port_layout.h), which say whose they are. 1 and the
 * object's generation, unless whose it is lives. */
static int beside_name(struct stoa_space *space, const char *file,
                       uint64_t *ret_generation)
{
	unsigned long long generation, peer;
	unsigned token, number;
	int end = 0;

	if (stoa_bell_name(file, ret_generation))
		return 1;
	if (sscanf(file, ".port.%16llx.%12llx.%8x.%8x%n", &generation, &peer,
	           &token, &number, &end) != 4 ||
	    (size_t)end != strlen(file) || stoa_life_alive(&space->life, peer))
		return 0;
	*ret_generation = generation;
	return 1;
}

/* What the dead left, and binders in the making: see socket.h. Others' directories
 * are left alone. */
static int clean_socket(struct clean *clean, const char *file)
{
	char stem[STOA_NAME_MAX + 1], kind[STOA_KIND_MAX + 1];

	if (strncmp(file, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) != 0 &&
	    !stoa_name_split(file, stem, kind))
		return 0;
	if (stoa_socket_stale(clean->space->life.directory, file) <= 0)
		return 0;
	tell(clean, file, "remove", 0,
	     clean->dry_run ? 0 : remove_socket(clean->space, file, 1));
	return 0;
}

/* A bell whose object has no name any more may still be rung by those who
 * have both open; it does them no harm to lose the name. */
static int clean_beside(const char *file, void *context)
{
	struct clean *clean = context;
	int gone = strncmp(file, GONE_PREFIX, strlen(GONE_PREFIX)) == 0;

	if (is_directory(clean->space, file))
		return clean_socket(clean, file);
	if (!gone && !beside_name(clean->space, file, &clean->bell))
		return 0;
	clean->bell_has_object = 0;
	if (!gone)
		stoa_space_each(clean->space, match_bell, clean);
	if (clean->bell_has_object)
		return 0;
	int result = clean->dry_run ?
	                     0 :
	                     stoa_sys_unlinkat(clean->space->life.directory, file);
	tell(clean, file, "remove", 0, result);
	return 0;
}

int stoa_space_clean(struct stoa_space *space, int dry_run,
                     void (*visit)(const struct stoa_cleaning *, void *),
                     void *context)
{
	struct clean clean = { .space = space,
		               .dry_run = dry_run,
		               .visit = visit,
		               .context = context };
	int result = stoa_space_each(space, clean_object, &clean);

	if (result >= 0)
		result = stoa_directory_each(space->life.directory, clean_beside,
		                             &clean);
	return result < 0 ? result : clean.done;
}
