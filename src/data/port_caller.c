/* SPDX-License-Identifier: MIT */
/* data/port_caller.c: who called, as the kernel says. See CALLERS in
 * port_layout.h. */
#include <base/error.h>
#include <data/port_internal.h>
#include <space/guard.h>

#define PASSPORT_MODE 0644 /* serials: no secret */

/* Handles of this process with a passport: see ask_oneself(). */
static struct stoa_port *list;
static struct stoa_lock list_mutex;

/* The record lock whose holder the kernel names. It is the process's, and so
 * not a forked child's. */
static int lock_passport(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
		              .l_len = 1 };

	return (int)stoa_system_call(SYS_fcntl, fd, F_SETLK, (long)&lock, 0, 0,
	                             0);
}

static void enlist(struct stoa_port *port, const struct stat *stat)
{
	stoa_private_lock(&list_mutex);
	struct stoa_port *one = list;
	while (one && one != port)
		one = one->next_passport;
	if (!one) {
		port->next_passport = list;
		list = port;
	}
	port->passport_inode = stat->st_ino;
	port->passport_device = stat->st_dev;
	port->passport_pid = stoa_sys_getpid();
	stoa_private_unlock(&list_mutex);
}

static void delist(struct stoa_port *port)
{
	stoa_private_lock(&list_mutex);
	for (struct stoa_port **link = &list; *link;
	     link = &(*link)->next_passport)
		if (*link == port) {
			*link = port->next_passport;
			break;
		}
	stoa_private_unlock(&list_mutex);
}

static int adopt(struct stoa_port *port, int fd, char *base, size_t bytes,
                 int guarded)
{
	struct port_passport *passport = (struct port_passport *)base;
	struct stat stat;
	int result = stoa_sys_fstat(fd, &stat);

	if (result == 0)
		result = lock_passport(fd);
	if (result == 0 && !guarded)
		result = stoa_guard_add(base, bytes, &port->object.poisoned);
	if (result < 0)
		return result;
	passport->generation = port->object.copy.generation;
	passport->token = stoa_object_token(&port->object);
	passport->cells = port->cell_count;
	port->passport_fd = fd;
	port->passport_bytes = bytes;
	atomic_store_explicit(&port->passport, passport, memory_order_relaxed);
	enlist(port, &stat);
	/* release: pairs with the acquire in port_passport() */
	atomic_store_explicit(&port->passport_token,
	                      stoa_object_token(&port->object),
	                      memory_order_release);
	return 0;
}

/* A new one takes the place of one that a parent made, or that was made by
 * this process under another token: threads may be looking at it. */
static int make(struct stoa_port *port)
{
	struct port_passport *old = atomic_load_explicit(&port->passport,
	                                                 memory_order_relaxed);
	size_t bytes = sizeof(struct port_passport) +
	               port->cell_count * sizeof(uint32_t);
	char *base = (char *)old;
	int fd;

	bytes = (bytes + 4095) & ~(size_t)4095;
	if (old)
		stoa_sys_close_inode(port->passport_fd, port->passport_inode);
	port->passport_fd = -1;
	int result = port_make_companion(port, PORT_PASSPORT, bytes,
	                                 PASSPORT_MODE, &fd, &base);
	if (result < 0)
		return result;
	result = adopt(port, fd, base, bytes, old != NULL);
	if (result == 0)
		return 0;
	stoa_sys_close(fd);
	if (!old)
		stoa_sys_munmap(base, bytes);
	struct port_companion own = port_own(port, PORT_PASSPORT);
	port_unlink_companion(port, &own);
	return result;
}

int port_passport_make(struct stoa_port *port)
{
	int result = 0;

	stoa_private_lock(&port->mutex);
	if (atomic_load_explicit(&port->passport_token, memory_order_relaxed) !=
	    stoa_object_token(&port->object))
		result = make(port);
	stoa_private_unlock(&port->mutex);
	return result;
}

void port_passport_drop(struct stoa_port *port)
{
	struct port_passport *passport = atomic_load_explicit(
	        &port->passport, memory_order_relaxed);
	uint32_t token = atomic_load_explicit(&port->passport_token,
	                                      memory_order_relaxed);

	if (!passport)
		return;
	if (port->object.peer ==
	            atomic_load_explicit(&port->object.space->life.self->peer,
	                                 memory_order_relaxed) &&
	    token == stoa_object_token(&port->object)) {
		struct port_companion own = port_own(port, PORT_PASSPORT);

		port_unlink_companion(port, &own);
	}
	delist(port);
	stoa_guard_remove(passport);
	stoa_sys_munmap(passport, port->passport_bytes);
	stoa_sys_close_inode(port->passport_fd, port->passport_inode);
}

/* ---- Asking ------------------------------------------------------------------ */

static int vouched(int fd, uint32_t cell, uint32_t serial)
{
	uint32_t said = 0;
	ssize_t got = stoa_sys_pread(
	        fd, &said, sizeof said,
	        (off_t)(sizeof(struct port_passport) + cell * sizeof said));

	return got == sizeof said && said == (serial & PORT_SERIAL_MASK) + 1;
}

static pid_t holder_of(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
		              .l_len = 1 };

	if (stoa_system_call(SYS_fcntl, fd, F_GETLK, (long)&lock, 0, 0, 0) < 0 ||
	    lock.l_type != F_WRLCK || lock.l_pid < 0)
		return 0;
	return lock.l_pid;
}

/*
 * Closing any descriptor of a passport of this process's own would drop the
 * lock on it, and its lock is no answer to itself. So handles with a passport
 * are in a list, and their passports are not opened. 1: it was one of them.
 */
static int ask_oneself(const struct stat *stat, uint32_t cell, uint32_t serial,
                       int *ret_vouched)
{
	int found = 0, pid = stoa_sys_getpid();

	stoa_private_lock(&list_mutex);
	for (struct stoa_port *one = list; one && !found;
	     one = one->next_passport) {
		if (one->passport_inode != stat->st_ino ||
		    one->passport_device != stat->st_dev ||
		    one->passport_pid != pid)
			continue;
		struct port_passport *passport = atomic_load_explicit(
		        &one->passport, memory_order_relaxed);
		*ret_vouched = cell < one->cell_count &&
		               atomic_load_explicit(&passport->serial[cell],
		                                    memory_order_relaxed) ==
		                       (serial & PORT_SERIAL_MASK) + 1;
		found = 1;
	}
	stoa_private_unlock(&list_mutex);
	return found;
}

/* A link to somebody else's file would have two names. */
static int genuine(const struct stat *stat)
{
	return S_ISREG(stat->st_mode) && stat->st_nlink == 1 &&
	       !(stat->st_mode & 022);
}

/* 1: the file vouches for the request; 0: it doesn't; -errno. */
static int look_at_file(struct stoa_port *port, const char *name,
                        const struct stoa_port_request *request,
                        struct stat *stat, pid_t *ret_pid)
{
	int directory = port->object.space->life.directory, says = 0;
	uint32_t serial = PORT_WORD_SERIAL(request->word);
	int result = stoa_sys_fstatat(directory, name, stat,
	                              AT_SYMLINK_NOFOLLOW);

	if (result < 0)
		return result;
	if (ask_oneself(stat, request->cell, serial, &says)) {
		*ret_pid = stoa_sys_getpid();
		return says && genuine(stat);
	}
	int fd = stoa_sys_openat(directory, name,
	                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd == -EACCES || fd == -ELOOP || fd == -ENXIO ? 0 : fd;
	result = stoa_sys_fstat(fd, stat);
	if (result == 0)
		result = genuine(stat) && vouched(fd, request->cell, serial);
	*ret_pid = holder_of(fd);
	stoa_sys_close(fd);
	return result;
}

int stoa_port_caller(struct stoa_port *port,
                     const struct stoa_port_request *request,
                     struct stoa_port_caller *ret_caller)
{
	struct stoa_port_caller caller = { 0 };
	struct stat stat = { 0 };
	char name[64];
	uint32_t uid;
	int result = port_begin(port, STOA_READ);

	if (result < 0)
		return result;
	if (!port_cell_of(port, request->cell, request->word))
		return port_stale(port);
	struct port_companion passport = { port_bearer(port, request->client),
		                           request->client, PORT_PASSPORT };
	port_companion_name(port, &passport, name);
	result = look_at_file(port, name, request, &stat, &caller.pid);
	if (result == -ENOENT)
		result = stoa_object_alive(&port->object, request->client) ?
		                 0 :
		                 -ECONNRESET;
	int health = (int)port_end(port, 0);
	if (health < 0)
		return health;
	if (result <= 0)
		return result < 0 ? result :
		                    stoa_fail(-EPERM,
		                              "nobody vouches for a request on "
		                              "port %s: don't trust it",
		                              port->object.name);
	caller.peer = passport.peer;
	caller.uid = stat.st_uid;
	caller.gid = stat.st_gid;
	if (request->mapped) {
		port_view_owner(port, request->view, &uid);
		caller.bytes_checked = uid == caller.uid;
	}
	*ret_caller = caller;
	return 0;
}
