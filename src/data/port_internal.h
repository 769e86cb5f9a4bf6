/* SPDX-License-Identifier: MIT */
/* data/port_internal.h: what the port's sources share. Why it all holds is in
 * port_layout.h. */
#ifndef STOA_DATA_PORT_INTERNAL_H
#define STOA_DATA_PORT_INTERNAL_H

#include <base/bug.h>
#include <base/cpu.h>
#include <base/private_lock.h>
#include <base/system.h>
#include <data/port_layout.h>
#include <space/event.h>
#include <space/object.h>

#include <errno.h>
#include <string.h>
#include <sys/single_threaded.h>

/* What names a file beside the port. */
struct port_companion {
	stoa_peer peer;
	uint32_t token, number;
};

/* One of this handle's own grants. Under port->mutex. */
struct port_grant {
	uint32_t number; /* 0: there is none here */
	uint32_t token;  /* this handle's when it was made */
	char *base;
	uint64_t bytes;
	int held;     /* by a ticket or request, not given yet */
	int given;    /* with cell and serial: free when that is over */
	uint32_t cell, serial;
};

/* A grant of somebody else's, mapped read-only. Under port->mutex. */
struct port_view {
	uint32_t number, owner; /* 0: there is none here */
	const char *base;
	uint64_t bytes;
	uint32_t users;
	uint32_t uid; /* of the file */
	uint64_t used_at;  /* port->clock */
	_Atomic uint32_t poisoned;
};

struct stoa_port {
	struct stoa_object object;

	/* Checked at open, constant since; never read from the file again. */
	uint32_t calls;
	uint32_t cell_count;
	uint64_t copy_bytes, grant_bytes;
	uint64_t stride; /* between payloads */
	struct port_control *control;
	struct port_cell *cells;
	char *requests, *replies;

	/* The client's. relaxed throughout: hints, and what only says what the
	 * words say, too. */
	_Alignas(STOA_CACHE_LINE) _Atomic uint32_t kept; /* cell + 1 */
	_Atomic uint64_t stamp; /* not below any given before */
	struct port_passport *_Atomic passport; /* made under mutex */
	_Atomic uint32_t passport_token; /* whose it is; 0: there is none */

	/* The server's. */
	_Alignas(STOA_CACHE_LINE) _Atomic uint32_t idle_calls;

	struct stoa_lock mutex; /* private: what follows */
	struct stoa_port *next_passport; /* see ask_oneself() */
	int passport_fd, passport_pid;
	uint64_t passport_inode, passport_device;
	size_t passport_bytes;
	uint32_t next_grant;
	uint64_t clock;
	struct port_grant grants[STOA_PORT_GRANTS];
	struct port_view views[STOA_PORT_GRANTS];
};

/* relaxed: a foreign reader may load what the owner stores; its
 * compare-and-swap of the word then fails. */
#define cell_get(cell, field) __atomic_load_n(&(cell)->field, __ATOMIC_RELAXED)
#define cell_set(cell, field, value) \
	__atomic_store_n(&(cell)->field, value, __ATOMIC_RELAXED)

static inline int port_exchange(struct port_cell *cell, uint64_t expected,
                                uint64_t desired)
{
	/* seq_cst: EVENT_DEKKER, ORPHANS; as acq_rel it pairs with the acquire
	 * loads of the word everywhere. */
	return atomic_compare_exchange_strong_explicit(&cell->word, &expected,
	                                               desired,
	                                               memory_order_seq_cst,
	                                               memory_order_relaxed);
}

/* seq_cst: EVENT_DEKKER; an acquire load besides. */
static inline uint64_t port_word(struct port_cell *cell)
{
	return atomic_load_explicit(&cell->word, memory_order_seq_cst);
}

static inline uint64_t port_with(uint64_t word, enum port_phase phase,
                                 uint32_t token)
{
	return PORT_WORD(PORT_WORD_SERIAL(word), phase, token);
}

/* FREE, after the call that `word` is of. */
static inline uint64_t port_freed(uint64_t word)
{
	return PORT_WORD(PORT_WORD_SERIAL(word) + 1, PORT_FREE, 0);
}

static inline char *port_request_at(struct stoa_port *port, uint32_t cell)
{
	return port->requests + cell * port->stride;
}

static inline char *port_reply_at(struct stoa_port *port, uint32_t cell)
{
	return port->replies + cell * port->stride;
}

/* How many cells to look at: checked. */
static inline uint32_t port_used(struct stoa_port *port)
{
	uint32_t used = atomic_load_explicit(&port->control->used,
	                                     memory_order_seq_cst);

	return used < port->cell_count ? used : port->cell_count;
}

/* ---- What calls have in common (port.c) ---------------------------------- */

int port_refuse(struct stoa_port *port, unsigned direction);
int port_stale(struct stoa_port *port);

static inline int port_begin(struct stoa_port *port, unsigned direction)
{
	int result = stoa_object_enter(&port->object);

	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(!(port->object.flags & direction)))
		return port_refuse(port, direction);
	return stoa_object_healthy(&port->object) ?
	               0 :
	               stoa_object_health(&port->object);
}

/* Every call that has touched the mapping ends so: a fault in it makes zeros
 * of all that was read since. */
static inline int64_t port_end(struct stoa_port *port, int64_t result)
{
	if (stoa_likely(!atomic_load_explicit(&port->object.poisoned,
	                                      memory_order_relaxed)))
		return result;
	return stoa_object_health(&port->object);
}

/* relaxed: for people. Threads that share a handle share the seat. */
static inline void port_count(_Atomic uint64_t *counter, uint64_t amount)
{
	if (__libc_single_threaded)
		atomic_store_explicit(counter,
		                      atomic_load_explicit(
		                              counter, memory_order_relaxed) +
		                              amount,
		                      memory_order_relaxed);
	else
		atomic_fetch_add_explicit(counter, amount,
		                          memory_order_relaxed);
}

/* messages_in: calls made; messages_out: requests taken; bytes of requests in,
 * of replies out. */
static inline struct stoa_seat *port_seat(struct stoa_port *port)
{
	return atomic_load_explicit(&port->object.seat, memory_order_relaxed);
}

/* So that those who never sleep meet the dead, too. */
void port_patrol_seldom(struct stoa_port *port);
/* A call with STOA_NOW found nothing. */
void port_idle(struct stoa_port *port, unsigned direction);

/* A request came, an answer came, a cell was freed. */
static inline void port_tell_servers(struct stoa_port *port)
{
	if (stoa_unlikely(stoa_event_asked(&port->object, STOA_READ) != 0))
		stoa_event_raise(&port->object, STOA_READ, 1);
}

void port_tell_slowly(_Atomic uint32_t *event);

static inline void port_tell_word(_Atomic uint32_t *event)
{
	/* seq_cst: EVENT_DEKKER */
	if (stoa_unlikely(atomic_load_explicit(event, memory_order_seq_cst) &
	                  EVENT_ANYBODY))
		port_tell_slowly(event);
}

static inline void port_tell_client(struct stoa_port *port,
                                    struct port_cell *cell)
{
	port_tell_word(&cell->client_event);
	if (stoa_unlikely(stoa_event_asked(&port->object, STOA_READ) &
	                  (EVENT_OBSERVERS | EVENT_BELL)))
		stoa_event_raise(&port->object, STOA_READ, INT32_MAX);
}

static inline void port_tell_freed(struct stoa_port *port)
{
	if (stoa_unlikely(stoa_event_asked(&port->object, STOA_WRITE) != 0))
		stoa_event_raise(&port->object, STOA_WRITE, 1);
}

/* One compare-and-swap to FREE; sees to a grant that only the cell still named.
 * 1 done. */
int port_free_cell(struct stoa_port *port, uint32_t index, uint64_t word);

/* The peer that bears the token, or 0. */
stoa_peer port_bearer(struct stoa_port *port, uint32_t token);

/* Mends what names the token in one cell. Returns whether it was changed. */
int port_bury_cell(struct stoa_port *port, uint32_t index, uint32_t token);
/* In all; returns in how many. */
int port_bury(struct stoa_object *object, uint32_t token);
/* The same, and removes its companions. */
int port_bury_dead(struct stoa_object *object, uint32_t token);
int port_ready(struct stoa_object *object, unsigned direction,
               const struct stoa_wait *wait);

/* ---- Finding a request (port_serve.c) ------------------------------------ */

struct port_found {
	uint64_t word;
	uint32_t cell;
};

/* The oldest request that waits. 0, -EAGAIN. */
int port_find(struct stoa_port *port, struct port_found *ret_found);

/* ---- Calling (port_call.c) ------------------------------------------------ */

/* A cell whose call is in `phase`, and this process's, by the ticket's word. */
struct port_cell *port_cell_of(struct stoa_port *port, uint32_t index,
                               uint64_t word);
/* 1: a claim would succeed. */
int port_has_room(struct stoa_port *port);
/* 1: the call of this cell has ended and was not collected. */
int port_has_ended(struct stoa_port *port, uint32_t index);

struct port_rounds;
/* Waits until the call has ended, and does this side's part of its rounds.
 * `rounds` NULL: none can be. -EFBIG: there are. */
int port_await(struct stoa_port *port, struct stoa_port_ticket *ticket,
               struct port_rounds *rounds, struct stoa_deadline deadline,
               uint64_t *ret_word);
/* Copies it out and gives the place back, whatever it comes to. */
int port_read_reply(struct stoa_port *port, struct stoa_port_ticket *ticket,
                    uint64_t word, struct stoa_port_exchange *exchange);
/* As stoa_port_commit, of a request with more to come. */
int port_commit_rounds(struct stoa_port *port, struct stoa_port_ticket *ticket,
                       uint64_t bytes, uint64_t total);
/* The reply that an ended call's cell has, checked. */
int port_look(struct stoa_port *port, struct stoa_port_ticket *ticket,
              uint64_t word, struct stoa_port_reply *ret_reply);

/* ---- Rounds (port_rounds.c) ------------------------------------------------ */

/* A client's exchange that may go in parts. */
struct port_rounds {
	const char *request;
	uint64_t request_bytes, given; /* bytes of it that were given */
	char *reply;
	uint64_t room, got; /* bytes of the reply that came */
	uint32_t parts_given, parts_got;
	uint64_t reply_total;
	void (*progress)(uint64_t done, uint64_t total, void *context);
	void *context;
};

/* Commits the first part. */
int port_rounds_start(struct stoa_port *port, struct port_rounds *rounds,
                      struct stoa_deadline deadline,
                      struct stoa_port_ticket *ret_ticket);
/* The call has ended: its last part. */
int port_rounds_end(struct stoa_port *port, struct stoa_port_ticket *ticket,
                    uint64_t word, struct port_rounds *rounds,
                    struct stoa_port_exchange *exchange);
/* What the server asks for, or has put. 1: done something. 0. -errno. */
int port_rounds_step(struct stoa_port *port, struct stoa_port_ticket *ticket,
                     uint64_t word, struct port_rounds *rounds);
/* A reply larger than grant_bytes: all parts but the last. */
int port_rounds_reply(struct stoa_port *port, struct stoa_port_request *request,
                      const char **data, uint64_t *bytes,
                      struct stoa_deadline deadline);

/* ---- Grants and views (port_grant.c) -------------------------------------- */

/* A grant for `bytes`, held until given or dropped. *ret_number, *ret_data. */
int port_grant_take(struct stoa_port *port, uint64_t bytes,
                    uint32_t *ret_number, char **ret_data);
/* It goes with this cell and serial: see GRANTS. */
void port_grant_give(struct stoa_port *port, uint32_t number, uint32_t cell,
                     uint32_t serial);
/* Not needed any more. */
void port_grant_drop(struct stoa_port *port, uint32_t number);
char *port_grant_at(struct stoa_port *port, uint32_t number,
                    uint64_t *ret_bytes);

/* Maps a grant. -ENOENT: it isn't there, or too small; -ENOBUFS, -EMFILE,
 * -ENOMEM ... *ret_view is 1 or more. */
int port_view_take(struct stoa_port *port,
                   const struct port_companion *companion, uint64_t bytes,
                   const char **ret_data, uint64_t *ret_view);
/* How many bytes are mapped; 0: no such view. */
uint64_t port_view_bytes(struct stoa_port *port, uint64_t view);
int port_view_poisoned(struct stoa_port *port, uint64_t view);
/* Returns whether a fault was met in it. */
int port_view_drop(struct stoa_port *port, uint64_t view);
void port_view_owner(struct stoa_port *port, uint64_t view, uint32_t *ret_uid);

void port_companion_name(struct stoa_port *port,
                         const struct port_companion *companion, char name[64]);
void port_unlink_companion(struct stoa_port *port,
                           const struct port_companion *companion);
/* Says whose the grant of the cell's reply is. */
static inline void port_name_reply(struct stoa_port *port,
                                   struct port_cell *cell)
{
	cell_set(cell, reply_owner, stoa_object_token(&port->object));
	cell_set(cell, reply_peer,
	         atomic_load_explicit(&port->object.peer,
	                              memory_order_relaxed));
}

/* One of this handle's own. */
struct port_companion port_own(struct stoa_port *port, uint32_t number);
/* The grant of the reply that a cell names. */
struct port_companion port_reply_grant(struct port_cell *cell);
/* Removes a token's companions: see ORPHANS. */
void port_remove_companions(struct stoa_port *port, uint32_t token);
/* Those of tokens that are nobody's. */
void port_sweep_companions(struct stoa_port *port);
/* This handle's own memory, at close. */
void port_drop_grants(struct stoa_port *port);
int port_make_companion(struct stoa_port *port, uint32_t number, uint64_t bytes,
                        mode_t mode, int *ret_fd, char **ret_base);

/* ---- Passports (port_caller.c) --------------------------------------------- */

int port_passport_make(struct stoa_port *port);
void port_passport_drop(struct stoa_port *port);

/* This process's, for what it calls next. 0, -errno. */
static inline int port_passport(struct stoa_port *port)
{
	/* acquire: pairs with the release in port_passport_make() */
	if (stoa_likely(atomic_load_explicit(&port->passport_token,
	                                     memory_order_acquire) ==
	                stoa_object_token(&port->object)))
		return 0;
	return port_passport_make(port);
}

/* The client vouches for the request that it is going to commit. relaxed: the
 * commit releases it. */
static inline void port_vouch(struct stoa_port *port, uint32_t cell,
                              uint32_t serial)
{
	struct port_passport *passport = atomic_load_explicit(
	        &port->passport, memory_order_relaxed);

	atomic_store_explicit(&passport->serial[cell],
	                      (serial & PORT_SERIAL_MASK) + 1,
	                      memory_order_relaxed);
}

/* The call is over, and its cell still this handle's: who writes the request
 * anew does that in nobody's name. */
static inline void port_forswear(struct stoa_port *port, uint32_t cell)
{
	struct port_passport *passport = atomic_load_explicit(
	        &port->passport, memory_order_relaxed);

	atomic_store_explicit(&passport->serial[cell], 0, memory_order_relaxed);
}

/* The same once the cell is free: another thread may have it by now. */
static inline void port_forswear_freed(struct stoa_port *port, uint32_t cell,
                                       uint32_t serial)
{
	struct port_passport *passport = atomic_load_explicit(
	        &port->passport, memory_order_relaxed);
	uint32_t said = (serial & PORT_SERIAL_MASK) + 1;

	atomic_compare_exchange_strong_explicit(&passport->serial[cell], &said,
	                                        0, memory_order_relaxed,
	                                        memory_order_relaxed);
}

#endif
