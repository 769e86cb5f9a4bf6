/* SPDX-License-Identifier: MIT */
/*
 * space/object.h: object files and handles on them: making, opening, mapping,
 * seats, burial. A kind's handle begins with struct stoa_object.
 */
#ifndef STOA_SPACE_OBJECT_H
#define STOA_SPACE_OBJECT_H

#include <base/bug.h>
#include <base/cpu.h>
#include <base/private_lock.h>
#include <base/thread.h>
#include <base/yield.h>
#include <space/object_layout.h>
#include <space/space.h>
#include <stoa/wait.h>

#ifndef STOA_CONSTANT_TOKEN
#define STOA_CONSTANT_TOKEN 0
#endif

struct stoa_object;

#define STOA_READY_SOON 2

/* What floor 3 must know of a kind. */
struct stoa_object_kind {
	const char *name;
	/* Gives back whatever bears `token` in the object: its bearer is dead,
	 * or is this handle closing. Idempotent, may itself be killed.
	 * -EUCLEAN: the object is damaged. */
	int (*bury)(struct stoa_object *object, uint32_t token);
	uint16_t number; /* of kinds that stand in the caller's memory, too */
	/* 1: a receive (STOA_READ) or send (STOA_WRITE) would succeed; 0: not;
	 * STOA_READY_SOON: not yet, a change is being made; -errno. `wait`
	 * tells more of what is waited for; NULL: the least. */
	int (*ready)(struct stoa_object *object, unsigned direction,
	             const struct stoa_wait *wait);
	int (*open)(struct stoa_space *space, const char *name, unsigned flags,
	            struct stoa_object **ret_object);
	void (*close)(struct stoa_object *object);
	/* Each handle that polls must be told of what others have found, too:
	 * see bell.c. */
	int each_bell;
	/* Wakes all who sleep on words of the kind's own. NULL: nobody does. */
	void (*broadcast)(struct stoa_object *object);
	/* Who has the object file `fd` open: of kinds without seats, whose
	 * users are known otherwise. Visits as stoa_space_each_user does. NULL:
	 * they are the seats. */
	int (*each_user)(struct stoa_space *space, int fd,
	                 int (*visit)(const struct stoa_user *user,
	                              void *context),
	                 void *context);
};

/* All kinds, ended by NULL; floor 4 fills the table (data/kinds.c). */
extern const struct stoa_object_kind *const stoa_object_kinds[];

struct stoa_object {
	const struct stoa_object_kind *kind;
	struct stoa_space *space;
	unsigned flags;              /* as opened: never changes */
	_Atomic uint32_t directions; /* of them, those not shut down since */
	int fd;
	uint64_t inode; /* of fd; a program may close it under us */
	int created;    /* by this open */
	int read_only;  /* mapped so: nothing may be written */
	char *base;
	size_t bytes; /* mapped at base */
	struct stoa_object_header *header; /* NULL: in the caller's memory */
	struct stoa_events *events;
	struct stoa_object_header copy; /* checked at open */
	_Atomic uint32_t poisoned; /* a fault was met: see stoa_guard */
	struct stoa_seat *_Atomic chunk[SEAT_CHUNKS];

	/* This handle's seat, taken by the process `peer`. */
	_Atomic stoa_peer peer;
	_Atomic uint32_t token;
	struct stoa_seat *_Atomic seat;
	_Atomic int32_t pid;
	struct stoa_lock seat_lock; /* stoa_private_lock */

	_Atomic uint32_t patrol_cursor;
	_Atomic int64_t patrol_ns; /* CLOCK_MONOTONIC, of the last */
	_Atomic uint32_t spin_budget;
	_Atomic uint32_t waits; /* without a budget to spin */
	_Atomic uint32_t processors;
	struct stoa_yielding yielding;
	_Atomic int bell_fd[2];      /* reading, writing: 0 none, else fd + 1 */
	int poll_fd[2], timer_fd[2]; /* the same; under seat_lock */
	_Atomic uint32_t polled;     /* directions with a poll descriptor */
	char name[STOA_NAME_MAX + 1];
};

struct stoa_object_plan {
	const struct stoa_object_kind *kind;
	mode_t mode;
	uint64_t file_bytes;
	uint64_t geometry[OBJECT_GEOMETRY_WORDS];
	/* What the kind's bytes begin with; the rest is zeros. */
	const void *content;
	size_t content_bytes;
	/* A file with holes: so many bytes from its beginning get memory when
	 * it is made; so many are mapped, by openers too, and the rest is the
	 * kind's own affair. 0: all. With reserved_at the memory begins there,
	 * and the header has some, too. */
	uint64_t reserved_bytes;
	uint64_t reserved_at;
	uint64_t mapped_bytes;
	/* Called when the header's copy has been checked, before anything is
	 * mapped; may change how much will be (object->bytes). On a failure the
	 * descriptor is closed, and nothing else needs to be undone. */
	int (*prepare)(struct stoa_object *object);
	/* Opened, and its header mapped, to be read only. */
	int read_only;
	/* Open this one's file once more, instead of any by name. */
	const struct stoa_object *again;
};

/* Opens `name` of `kind` into *object (zeroed by the caller; on failure
 * nothing is left to undo). With STOA_CREATE in flags and no such object, makes
 * it after `plan`. Without a name (NULL, and STOA_CREATE) the file has none
 * either: the handle is all there is of it, for this process and those that it
 * forks. Takes no seat yet. */
int stoa_object_open(struct stoa_object *object, struct stoa_space *space,
                     const char *name, unsigned flags,
                     const struct stoa_object_kind *kind,
                     const struct stoa_object_plan *plan);

/*
 * The same for an object of `needed` bytes in `memory`, which begin with a
 * struct stoa_place. With STOA_CREATE they are made afresh: cleared, and
 * `make` (may be NULL) called before anybody can find them whole. Otherwise they are checked.
 * -EINVAL: too few bytes, or not aligned to 8. -EPROTO, -EXDEV: another kind,
 * another space.
 */
int stoa_object_place(struct stoa_object *object, struct stoa_space *space,
                      void *memory, size_t bytes, size_t needed, unsigned flags,
                      const struct stoa_object_kind *kind,
                      void (*make)(void *memory, const void *context),
                      const void *context);

/* Open flags of what is neither read nor written. 0; -EINVAL: another flag. */
int stoa_object_check_flags(const struct stoa_object_kind *kind,
                            const char *name, unsigned flags);

/* Cleared memory for a handle, in cache lines of its own; the caller frees it.
 * NULL, with a sentence: there is none. */
void *stoa_object_allocate(const struct stoa_object_kind *kind,
                           const char *name, size_t bytes);

/* Takes away the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
int stoa_object_unlink(struct stoa_space *space, const char *name,
                       const struct stoa_object_kind *kind);

/* Removes the object itself: whoever waits is told -EIDRM. -EIDRM when it was
 * removed before. */
int stoa_object_remove(struct stoa_object *object);

/* The opening failed after all: a name that it made is taken back. */
void stoa_object_abandon(struct stoa_object *object);

/* Gives up the seat, unmaps, closes. The kind has given back what it held. */
void stoa_object_close(struct stoa_object *object);

/* Checks a header against what this build knows. 0, -EPROTO, -EUCLEAN. */
int stoa_object_check(const char *name, const struct stoa_object_header *header,
                      uint64_t file_bytes);

/* Marks the object removed or damaged and wakes everyone; not by who may only
 * read it. */
void stoa_object_mark(struct stoa_object *object, uint32_t state_bit);

/* -EUCLEAN, with the object marked damaged. */
int stoa_object_damaged(struct stoa_object *object, const char *what);

/* 0, or why no call can go on: -EIDRM, -EUCLEAN, -EIO. */
int stoa_object_health(struct stoa_object *object);

/* The state first: its load may be what meets a hole. */
static inline int stoa_object_healthy(struct stoa_object *object)
{
	uint32_t state = atomic_load_explicit(&object->events->state,
	                                      memory_order_relaxed);

	atomic_signal_fence(memory_order_seq_cst);
	return stoa_likely(state == 0 &&
	                   !atomic_load_explicit(&object->poisoned,
	                                         memory_order_relaxed));
}

/* ---- Seats (seat.c) ----------------------------------------------------- */

int stoa_object_sit(struct stoa_object *object);
void stoa_object_stand(struct stoa_object *object);

/* Every call on a handle starts here: 0 when this process has its seat. */
static inline int stoa_object_enter(struct stoa_object *object)
{
	/* acquire: pairs with the release in sit(); the token is then set */
	stoa_peer peer = atomic_load_explicit(&object->peer,
	                                      memory_order_acquire);

	if (stoa_likely(peer ==
	                        atomic_load_explicit(
	                                &object->space->life.self->peer,
	                                memory_order_relaxed) &&
	                peer != 0) ||
	    (STOA_BUG(40) && peer != 0))
		return 0;
	return stoa_object_sit(object);
}

/*
 * Who the calling thread is, for words that say whose something is without a
 * seat: peer below, thread number (15 bits) above; the highest bit is free.
 * 0: the process has too many threads. After stoa_object_enter().
 */
#define AGENT_PEER(agent) ((agent)&UINT64_C(0xffffffffffff))
#define AGENT_THREAD(agent) ((uint32_t)((agent) >> 48) & STOA_THREAD_MAX)

static inline uint64_t stoa_object_agent(struct stoa_object *object)
{
	struct stoa_thread *thread = stoa_thread_self();

	if (stoa_unlikely(!thread))
		return 0;
	return atomic_load_explicit(&object->peer, memory_order_relaxed) |
	       (uint64_t)thread->number << 48;
}

static inline uint32_t stoa_object_token(struct stoa_object *object)
{
	if (STOA_CONSTANT_TOKEN)
		return SEAT_TOKEN(0, 1);
	return atomic_load_explicit(&object->token, memory_order_relaxed);
}

/* The seat with this index, or NULL when the file has no such chunk. */
struct stoa_seat *stoa_object_seat(struct stoa_object *object, uint32_t index);

/* The only living peer that has a seat with one of these flags, or 0: there
 * are none or several. A hint. */
stoa_peer stoa_object_sole(struct stoa_object *object, unsigned flags);

/* Number of seats that the file has. */
uint32_t stoa_object_seats(struct stoa_object *object);

/* 1: the token's bearer lives. 0: it is dead or the token is nobody's. */
int stoa_object_alive(struct stoa_object *object, uint32_t token);

/* The same, and a dead bearer is buried. */
int stoa_object_alive_or_bury(struct stoa_object *object, uint32_t token);

/* Looks at the life of some other seats, in turn, and buries the dead. */
void stoa_object_patrol(struct stoa_object *object);

/* Looks at all, and buries up to `most` of the dead. Returns how many were
 * buried, or -errno. */
int stoa_object_bury(struct stoa_object *object, int most);

/* Where chunk `chunk` of seats stands in the file, and how large it is. */
uint64_t stoa_seat_chunk_offset(uint64_t file_bytes, uint32_t chunk);
uint32_t stoa_seat_chunk_seats(uint32_t chunk);

#endif
