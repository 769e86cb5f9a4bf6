/* SPDX-License-Identifier: MIT */
/*
 * data/port_grant.c: the files that stand beside a port: making one's own,
 * mapping others', removing those of the dead. See GRANTS and ORPHANS in
 * port_layout.h.
 */
#include <base/error.h>
#include <data/port_internal.h>
#include <space/guard.h>

#include <stdio.h>
#include <sys/mman.h>

#define GRANT_UNIT UINT64_C(65536)

void port_companion_name(struct stoa_port *port,
                         const struct port_companion *companion, char name[64])
{
	snprintf(name, 64, ".port.%016llx.%012llx.%08x.%08x",
	         (unsigned long long)port->object.copy.generation,
	         (unsigned long long)AGENT_PEER(companion->peer),
	         companion->token, companion->number);
}

void port_unlink_companion(struct stoa_port *port,
                           const struct port_companion *companion)
{
	char name[64];

	port_companion_name(port, companion, name);
	stoa_sys_unlinkat(port->object.space->life.directory, name);
}

struct port_companion port_own(struct stoa_port *port, uint32_t number)
{
	return (struct port_companion){
		atomic_load_explicit(&port->object.peer, memory_order_relaxed),
		stoa_object_token(&port->object), number
	};
}

struct port_companion port_reply_grant(struct port_cell *cell)
{
	return (struct port_companion){ cell_get(cell, reply_peer),
		                        cell_get(cell, reply_owner),
		                        cell_get(cell, reply_grant) };
}

/* ---- One's own ------------------------------------------------------------- */

/* Who may use the port may read it, and nobody else but its owner write it. */
static void set_mode(struct stoa_port *port, int fd, mode_t mode)
{
	struct stat stat;

	if (mode == 0) {
		if (stoa_sys_fstat(port->object.fd, &stat) < 0 ||
		    stat.st_ino != port->object.inode)
			return;
		mode = 0600 | (stat.st_mode & 0444);
		/* To be read by the port's group, where that is allowed. */
		if (mode & 0040)
			stoa_system_call(SYS_fchown, fd, -1, stat.st_gid, 0, 0,
			                 0);
	}
	stoa_sys_fchmod(fd, mode);
}

static int no_room(struct stoa_port *port, uint64_t bytes, int result)
{
	return stoa_fail(result,
	                 "port %s needs %llu bytes in the space for a payload "
	                 "that is mapped: %s",
	                 port->object.name, (unsigned long long)bytes,
	                 strerror(-result));
}

int port_make_companion(struct stoa_port *port, uint32_t number, uint64_t bytes,
                        mode_t mode, int *ret_fd, char **ret_base)
{
	int directory = port->object.space->life.directory;
	int fd = stoa_sys_openat(directory, ".", O_TMPFILE | O_RDWR, 0600);
	char name[64];
	void *base = *ret_base; /* over this, if it isn't NULL */

	if (fd < 0)
		return no_room(port, bytes, fd);
	int result = stoa_sys_fallocate(fd, 0, (off_t)bytes);
	if (result < 0)
		goto close;
	set_mode(port, fd, mode);
	result = stoa_sys_mmap(base, bytes, PROT_READ | PROT_WRITE,
	                       MAP_SHARED | (base ? MAP_FIXED : 0), fd, 0,
	                       &base);
	if (result == -EAGAIN) /* which would mean: no room for a call */
		result = -ENOMEM;
	if (result < 0)
		goto close;
	struct port_companion own = port_own(port, number);
	port_companion_name(port, &own, name);
	result = stoa_sys_publish(fd, directory, name);
	if (result == -EEXIST) {
		/* Of a dead one that had this token before. */
		stoa_sys_unlinkat(directory, name);
		result = stoa_sys_publish(fd, directory, name);
	}
	if (result < 0)
		goto unmap;
	*ret_base = base;
	*ret_fd = fd;
	return 0;

unmap:
	if (!*ret_base)
		stoa_sys_munmap(base, bytes);
close:
	stoa_sys_close(fd);
	return no_room(port, bytes, result);
}

static void unmap_grant(struct port_grant *grant)
{
	if (grant->number == 0)
		return;
	grant->number = 0;
	stoa_guard_remove(grant->base);
	stoa_sys_munmap(grant->base, grant->bytes);
}

/* Whether a cell in REPLIED names it: then it is left to whoever frees that. */
static int left_to_cell(struct stoa_port *port,
                        const struct port_companion *companion)
{
	uint32_t used = port_used(port);

	for (uint32_t i = 0; i < used; i++) {
		struct port_cell *cell = &port->cells[i];
		uint64_t word = port_word(cell);

		if (PORT_WORD_PHASE(word) != PORT_REPLIED ||
		    cell_get(cell, reply_owner) != companion->token ||
		    cell_get(cell, reply_grant) != companion->number)
			continue;
		/* seq_cst: ORPHANS */
		atomic_store_explicit(&cell->orphan, PORT_WORD_SERIAL(word) + 1,
		                      memory_order_seq_cst);
		if (port_word(cell) == word)
			return 1;
	}
	return 0;
}

static void remove_companion(struct stoa_port *port,
                             const struct port_companion *companion)
{
	if (companion->number == PORT_PASSPORT ||
	    !left_to_cell(port, companion))
		port_unlink_companion(port, companion);
}

static int ours(struct stoa_port *port, const struct port_grant *grant)
{
	return grant->number != 0 &&
	       grant->token == stoa_object_token(&port->object);
}

/* What was given is free when the call is over. */
static int is_free(struct stoa_port *port, struct port_grant *grant)
{
	if (grant->given &&
	    PORT_WORD_SERIAL(port_word(&port->cells[grant->cell])) !=
	            grant->serial)
		grant->given = 0;
	return !grant->held && !grant->given;
}

static void forget_grant(struct stoa_port *port, struct port_grant *grant)
{
	struct port_companion own = port_own(port, grant->number);

	if (ours(port, grant))
		remove_companion(port, &own);
	unmap_grant(grant);
}

/* The smallest free one with room; else one that may be made anew. */
static struct port_grant *choose(struct stoa_port *port, uint64_t bytes,
                                 int *ret_fits)
{
	struct port_grant *best = NULL, *other = NULL;

	for (uint32_t i = 0; i < STOA_PORT_GRANTS; i++) {
		struct port_grant *grant = &port->grants[i];

		/* Inherited by fork: the parent's. */
		if (grant->number != 0 && !ours(port, grant))
			unmap_grant(grant);
		if (grant->number == 0) {
			if (!other || other->number != 0)
				other = grant;
		} else if (!is_free(port, grant)) {
			continue;
		} else if (grant->bytes >= bytes) {
			if (!best || grant->bytes < best->bytes)
				best = grant;
		} else if (!other || (other->number != 0 &&
		                      grant->bytes < other->bytes)) {
			other = grant;
		}
	}
	*ret_fits = best != NULL;
	return best ? best : other;
}

static void forget_free(struct stoa_port *port)
{
	for (uint32_t i = 0; i < STOA_PORT_GRANTS; i++)
		if (port->grants[i].number != 0 &&
		    is_free(port, &port->grants[i]))
			forget_grant(port, &port->grants[i]);
}

static int make_grant(struct stoa_port *port, struct port_grant *grant,
                      uint64_t bytes)
{
	uint64_t unit = bytes < GRANT_UNIT ? 4096 : GRANT_UNIT;
	char *base = NULL;
	int fd;

	bytes = (bytes + unit - 1) & ~(unit - 1);
	if (++port->next_grant == PORT_PASSPORT)
		port->next_grant = 1;
	int result = port_make_companion(port, port->next_grant, bytes, 0, &fd,
	                                 &base);
	if (result < 0)
		return result;
	stoa_sys_close(fd);
	result = stoa_guard_add(base, bytes, &port->object.poisoned);
	if (result < 0) {
		struct port_companion own = port_own(port, port->next_grant);

		port_unlink_companion(port, &own);
		stoa_sys_munmap(base, bytes);
		return result;
	}
	*grant = (struct port_grant){ .number = port->next_grant,
		                      .token = stoa_object_token(&port->object),
		                      .base = base,
		                      .bytes = bytes };
	return 0;
}

int port_grant_take(struct stoa_port *port, uint64_t bytes,
                    uint32_t *ret_number, char **ret_data)
{
	int result = 0, fits;

	stoa_private_lock(&port->mutex);
	struct port_grant *grant = choose(port, bytes, &fits);
	if (!grant) {
		result = stoa_fail(-ENOBUFS,
		                   "%d mapped payloads of one handle on port "
		                   "%s are in use; finish or answer some",
		                   STOA_PORT_GRANTS, port->object.name);
	} else if (!fits) {
		forget_grant(port, grant);
		result = make_grant(port, grant, bytes);
		if (result == -ENOSPC) {
			forget_free(port);
			result = make_grant(port, grant, bytes);
		}
	}
	if (result == 0) {
		grant->held = 1;
		*ret_number = grant->number;
		*ret_data = grant->base;
	}
	stoa_private_unlock(&port->mutex);
	return result;
}

/* Under the mutex. */
static struct port_grant *find_grant(struct stoa_port *port, uint32_t number)
{
	for (uint32_t i = 0; i < STOA_PORT_GRANTS; i++)
		if (port->grants[i].number == number &&
		    ours(port, &port->grants[i]))
			return &port->grants[i];
	return NULL;
}

void port_grant_give(struct stoa_port *port, uint32_t number, uint32_t cell,
                     uint32_t serial)
{
	stoa_private_lock(&port->mutex);
	struct port_grant *grant = number ? find_grant(port, number) : NULL;
	if (grant) {
		grant->held = 0;
		grant->given = 1;
		grant->cell = cell;
		grant->serial = serial;
	}
	stoa_private_unlock(&port->mutex);
}

void port_grant_drop(struct stoa_port *port, uint32_t number)
{
	if (number == 0)
		return;
	stoa_private_lock(&port->mutex);
	struct port_grant *grant = find_grant(port, number);
	if (grant)
		grant->held = grant->given = 0;
	stoa_private_unlock(&port->mutex);
}

char *port_grant_at(struct stoa_port *port, uint32_t number,
                    uint64_t *ret_bytes)
{
	char *base = NULL;

	stoa_private_lock(&port->mutex);
	struct port_grant *grant = number ? find_grant(port, number) : NULL;
	if (grant) {
		base = grant->base;
		*ret_bytes = grant->bytes;
	}
	stoa_private_unlock(&port->mutex);
	return base;
}

/* ---- Others' ---------------------------------------------------------------- */

static void unmap_view(struct port_view *view)
{
	if (view->number == 0)
		return;
	/* First: a fork in between leaves a mapping, not a view of nothing. */
	view->number = 0;
	stoa_guard_remove((void *)view->base);
	stoa_sys_munmap((void *)view->base, view->bytes);
}

static int map_view(struct stoa_port *port, struct port_view *view,
                    const struct port_companion *companion)
{
	struct stat stat;
	char name[64];
	void *base;

	port_companion_name(port, companion, name);
	int fd = stoa_sys_openat(port->object.space->life.directory, name,
	                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	/* No file, or none that may be read, is its owner's fault. */
	if (fd == -EACCES || fd == -ELOOP || fd == -ENXIO || fd == -EISDIR)
		return -ENOENT;
	if (fd < 0)
		return fd;
	int result = stoa_sys_fstat(fd, &stat);
	if (result == 0 && (!S_ISREG(stat.st_mode) || stat.st_size <= 0))
		result = -ENOENT;
	if (result == 0)
		result = stoa_sys_mmap(NULL, (size_t)stat.st_size, PROT_READ,
		                       MAP_SHARED, fd, 0, &base);
	stoa_sys_close(fd);
	if (result == -EAGAIN) /* which would mean: no request */
		result = -ENOMEM;
	if (result < 0)
		return result;
	atomic_store_explicit(&view->poisoned, 0, memory_order_relaxed);
	result = stoa_guard_add(base, (size_t)stat.st_size, &view->poisoned);
	if (result < 0) {
		stoa_sys_munmap(base, (size_t)stat.st_size);
		return result;
	}
	view->owner = companion->token;
	view->base = base;
	view->bytes = (uint64_t)stat.st_size;
	view->uid = stat.st_uid;
	view->users = 0;
	view->number = companion->number; /* it's whole */
	return 0;
}

static struct port_view *find_view(struct stoa_port *port, uint32_t owner,
                                   uint32_t number)
{
	struct port_view *oldest = NULL;

	for (uint32_t i = 0; i < STOA_PORT_GRANTS; i++) {
		struct port_view *view = &port->views[i];

		if (view->number == number && view->owner == owner &&
		    !atomic_load_explicit(&view->poisoned,
		                          memory_order_relaxed))
			return view;
		if (view->number == 0) {
			if (!oldest || oldest->number != 0)
				oldest = view;
		} else if (view->users == 0 &&
		           (!oldest || (oldest->number != 0 &&
		                        view->used_at < oldest->used_at))) {
			oldest = view;
		}
	}
	if (oldest)
		unmap_view(oldest);
	return oldest;
}

int port_view_take(struct stoa_port *port,
                   const struct port_companion *companion, uint64_t bytes,
                   const char **ret_data, uint64_t *ret_view)
{
	int result = 0;

	/* Not a grant's number; and the mark of a view that isn't there. */
	if (companion->number == PORT_PASSPORT)
		return -ENOENT;
	stoa_private_lock(&port->mutex);
	struct port_view *view = find_view(port, companion->token,
	                                   companion->number);
	if (!view)
		result = -ENOBUFS;
	else if (view->number == 0)
		result = map_view(port, view, companion);
	if (result == 0 && view->bytes < bytes)
		result = -ENOENT;
	if (result == 0) {
		view->users++;
		view->used_at = ++port->clock;
		*ret_data = view->base;
		*ret_view = (uint64_t)(view - port->views) + 1;
	}
	stoa_private_unlock(&port->mutex);
	return result;
}

static struct port_view *view_of(struct stoa_port *port, uint64_t view)
{
	return view >= 1 && view <= STOA_PORT_GRANTS ? &port->views[view - 1] :
	                                               NULL;
}

uint64_t port_view_bytes(struct stoa_port *port, uint64_t number)
{
	struct port_view *view = view_of(port, number);

	/* In use, so constant. */
	return view ? view->bytes : 0;
}

int port_view_poisoned(struct stoa_port *port, uint64_t number)
{
	struct port_view *view = view_of(port, number);

	return view && atomic_load_explicit(&view->poisoned,
	                                    memory_order_relaxed);
}

int port_view_drop(struct stoa_port *port, uint64_t number)
{
	struct port_view *view = view_of(port, number);
	int poisoned = 0;

	if (!view)
		return 0;
	stoa_private_lock(&port->mutex);
	poisoned = (int)atomic_load_explicit(&view->poisoned,
	                                     memory_order_relaxed);
	if (view->users > 0)
		view->users--;
	stoa_private_unlock(&port->mutex);
	return poisoned;
}

void port_view_owner(struct stoa_port *port, uint64_t number, uint32_t *ret_uid)
{
	struct port_view *view = view_of(port, number);

	stoa_private_lock(&port->mutex);
	*ret_uid = view ? view->uid : UINT32_MAX;
	stoa_private_unlock(&port->mutex);
}

/* ---- Of the dead ------------------------------------------------------------ */

struct sweep {
	struct stoa_port *port;
	uint32_t token; /* whose; 0: of all that are nobody's */
};

static int sweep_one(const char *file, void *context)
{
	struct sweep *sweep = context;
	struct stoa_port *port = sweep->port;
	unsigned long long generation, peer;
	unsigned token, number;
	int end = 0;

	if (file[0] != '.' ||
	    sscanf(file, ".port.%16llx.%12llx.%8x.%8x%n", &generation, &peer,
	           &token, &number, &end) != 4 ||
	    (size_t)end != strlen(file) ||
	    generation != port->object.copy.generation)
		return 0;
	struct port_companion companion = { peer, token, number };
	if (sweep->token ? token == sweep->token :
	                   !stoa_object_alive(&port->object, token))
		remove_companion(port, &companion);
	return 0;
}

static void drop_views_of(struct stoa_port *port, uint32_t token)
{
	stoa_private_lock(&port->mutex);
	for (uint32_t i = 0; i < STOA_PORT_GRANTS; i++)
		if (port->views[i].number != 0 &&
		    port->views[i].owner == token && port->views[i].users == 0)
			unmap_view(&port->views[i]);
	stoa_private_unlock(&port->mutex);
}

void port_remove_companions(struct stoa_port *port, uint32_t token)
{
	struct sweep sweep = { port, token };

	stoa_directory_each(port->object.space->life.directory, sweep_one,
	                    &sweep);
	drop_views_of(port, token);
}

void port_sweep_companions(struct stoa_port *port)
{
	struct sweep sweep = { port, 0 };

	stoa_directory_each(port->object.space->life.directory, sweep_one,
	                    &sweep);
}

void port_drop_grants(struct stoa_port *port)
{
	for (uint32_t i = 0; i < STOA_PORT_GRANTS; i++) {
		if (port->object.peer ==
		    atomic_load_explicit(&port->object.space->life.self->peer,
		                         memory_order_relaxed))
			forget_grant(port, &port->grants[i]);
		else
			unmap_grant(&port->grants[i]);
		unmap_view(&port->views[i]);
	}
}
