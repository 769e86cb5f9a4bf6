/* SPDX-License-Identifier: MIT */
/* space/seat.c: taking, giving up, watching and burying seats. */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <space/event.h>
#include <space/guard.h>
#include <space/object.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PATROL_SEATS 32u
#define BURY_TRIES 3
#define BURY_MAX 64 /* by one who only wants a seat */

#define OWNER(peer, generation) ((uint64_t)(peer) << 16 | (generation))
#define OWNER_PEER(owner) ((owner) >> 16)
#define OWNER_GENERATION(owner) ((uint32_t)(owner)&SEAT_GENERATION_MASK)

uint32_t stoa_seat_chunk_seats(uint32_t chunk)
{
	return SEAT_FIRST_CHUNK << chunk;
}

/* Chunks after the first follow the kind's bytes, page by page. */
uint64_t stoa_seat_chunk_offset(uint64_t file_bytes, uint32_t chunk)
{
	uint64_t offset = (file_bytes + 4095) & ~UINT64_C(4095);

	if (chunk == 0)
		return OBJECT_SEATS_OFFSET;
	for (uint32_t i = 1; i < chunk; i++)
		offset += stoa_seat_chunk_seats(i) * sizeof(struct stoa_seat);
	return offset;
}

static int file_size(struct stoa_object *object, uint64_t *ret_size)
{
	struct stat stat;
	int result = stoa_sys_fstat(object->fd, &stat);

	if (result < 0)
		return result;
	if (stat.st_ino != object->inode)
		return -EBADF; /* closed by the program: can't tell */
	*ret_size = (uint64_t)stat.st_size;
	return 0;
}

static int map_chunk(struct stoa_object *object, uint32_t chunk)
{
	size_t bytes = stoa_seat_chunk_seats(chunk) * sizeof(struct stoa_seat);
	struct stoa_seat *none = NULL;
	void *address;
	int result = stoa_sys_mmap(
	        NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, object->fd,
	        (off_t)stoa_seat_chunk_offset(object->copy.file_bytes, chunk),
	        &address);

	if (result < 0)
		return result;
	result = stoa_guard_add(address, bytes, &object->poisoned);
	if (result < 0)
		goto unmap;
	if (atomic_compare_exchange_strong_explicit(
	            &object->chunk[chunk], &none, address,
	            memory_order_acq_rel, memory_order_acquire))
		return 0;
	stoa_guard_remove(address);
unmap:
	stoa_sys_munmap(address, bytes);
	return result;
}

/* The chunk's seats, mapped at first use. -ENOENT: the file ends before it.
 * Else it's there, but can't be looked at. */
static int chunk_seats(struct stoa_object *object, uint32_t chunk,
                       struct stoa_seat **ret_seats)
{
	struct stoa_seat *seats = atomic_load_explicit(&object->chunk[chunk],
	                                               memory_order_acquire);

	if (!seats && chunk != 0) {
		uint64_t size;
		int result = file_size(object, &size);

		if (result < 0)
			return result;
		if (size < stoa_seat_chunk_offset(object->copy.file_bytes,
		                                  chunk + 1))
			return -ENOENT;
		result = map_chunk(object, chunk);
		if (result < 0)
			return result;
		seats = atomic_load_explicit(&object->chunk[chunk],
		                             memory_order_acquire);
	}
	*ret_seats = seats;
	return 0;
}

static int has_seats(const struct stoa_object *object)
{
	return object->header && !object->kind->each_user;
}

/* 0, -ENOENT: no such seat, or why it can't be looked at. */
static int find_seat(struct stoa_object *object, uint32_t index,
                     struct stoa_seat **ret_seat)
{
	uint32_t first = 0;

	if (!has_seats(object))
		return -ENOENT;
	for (uint32_t chunk = 0; chunk < SEAT_CHUNKS; chunk++) {
		uint32_t seats = stoa_seat_chunk_seats(chunk);
		struct stoa_seat *base;

		if (index >= first + seats) {
			first += seats;
			continue;
		}
		int result = chunk_seats(object, chunk, &base);
		if (result == 0)
			*ret_seat = base + (index - first);
		return result;
	}
	return -ENOENT;
}

struct stoa_seat *stoa_object_seat(struct stoa_object *object, uint32_t index)
{
	struct stoa_seat *seat;

	return find_seat(object, index, &seat) == 0 ? seat : NULL;
}

uint32_t stoa_object_seats(struct stoa_object *object)
{
	uint32_t seats = 0;

	if (!has_seats(object))
		return 0;
	for (uint32_t chunk = 0; chunk < SEAT_CHUNKS; chunk++) {
		struct stoa_seat *base;

		if (chunk_seats(object, chunk, &base) < 0)
			break;
		seats += stoa_seat_chunk_seats(chunk);
	}
	return seats;
}

static int grow_seats(struct stoa_object *object)
{
	for (uint32_t chunk = 1; chunk < SEAT_CHUNKS; chunk++) {
		struct stoa_seat *base;
		int result = chunk_seats(object, chunk, &base);

		if (result == 0)
			continue;
		if (result != -ENOENT)
			return result;
		uint64_t offset = stoa_seat_chunk_offset(
		        object->copy.file_bytes, chunk);
		result = stoa_sys_fallocate(
		        object->fd, (off_t)offset,
		        (off_t)(stoa_seat_chunk_seats(chunk) *
		                sizeof(struct stoa_seat)));
		if (result < 0)
			stoa_fail(result,
			          "%s can't grow for one more handle: %s; close "
			          "some, or make the tmpfs larger",
			          object->name, strerror(-result));
		return result;
	}
	return stoa_fail(-EUSERS, "%s has %d handles open, and no more are "
	                          "possible; close some",
	                 object->name, SEAT_MAX);
}

/*
 * Everything that bears the token is given back first; only then is the seat
 * free for another. A burier killed in between leaves the seat to the next.
 */
static int bury_seat(struct stoa_object *object, uint32_t index, uint64_t owner)
{
	struct stoa_seat *seat = stoa_object_seat(object, index);
	uint64_t freed = OWNER(0, OWNER_GENERATION(owner));
	uint32_t token = SEAT_TOKEN(index, OWNER_GENERATION(owner));
	int result = 0;

	if (!seat)
		return 0;
	if (!STOA_BUG(8))
		result = object->kind->bury(object, token);
	if (result < 0)
		return result;
	/* acq_rel: a new owner sees what was given back */
	atomic_compare_exchange_strong_explicit(&seat->owner, &owner, freed,
	                                        memory_order_acq_rel,
	                                        memory_order_relaxed);
	stoa_event_broadcast(object);
	return 0;
}

static int take_seat(struct stoa_object *object, stoa_peer peer, uint32_t index)
{
	struct stoa_seat *seat = stoa_object_seat(object, index);
	uint64_t owner = atomic_load_explicit(&seat->owner,
	                                      memory_order_acquire);
	uint32_t generation = (OWNER_GENERATION(owner) + 1) &
	                      SEAT_GENERATION_MASK;

	if (OWNER_PEER(owner) != 0)
		return 0;
	if (generation == 0)
		generation = 1;
	/* acq_rel: pairs with the burier's that freed it */
	if (!atomic_compare_exchange_strong_explicit(
	            &seat->owner, &owner, OWNER(peer, generation),
	            memory_order_acq_rel, memory_order_relaxed))
		return 0;
	atomic_store(&seat->pid, stoa_sys_getpid());
	atomic_store(&seat->uid, (uint32_t)stoa_sys_getuid());
	atomic_store(&seat->opened_ns, stoa_sys_clock_ns(CLOCK_REALTIME));
	atomic_store(&seat->flags, atomic_load(&object->directions));
	atomic_store(&seat->readers_waiting, 0);
	atomic_store(&seat->writers_waiting, 0);
	atomic_store(&seat->waiting_since_ns, 0);
	atomic_store(&seat->first_messages_in, atomic_load(&seat->messages_in));
	atomic_store(&seat->first_bytes_in, atomic_load(&seat->bytes_in));
	atomic_store(&seat->first_messages_out,
	             atomic_load(&seat->messages_out));
	atomic_store(&seat->first_bytes_out, atomic_load(&seat->bytes_out));
	atomic_store_explicit(&object->pid, stoa_sys_getpid(),
	                      memory_order_relaxed);
	atomic_store_explicit(&object->seat, seat, memory_order_relaxed);
	atomic_store_explicit(&object->token, SEAT_TOKEN(index, generation),
	                      memory_order_relaxed);
	/* release: pairs with the acquire in enter() */
	atomic_store_explicit(&object->peer, peer, memory_order_release);
	return 1;
}

static int take_any_seat(struct stoa_object *object, stoa_peer peer)
{
	uint32_t seats = stoa_object_seats(object);

	for (uint32_t i = 0; i < seats; i++)
		if (take_seat(object, peer, i))
			return 1;
	return 0;
}

int stoa_object_sit(struct stoa_object *object)
{
	stoa_peer peer;
	int result = stoa_life_join(&object->space->life, &peer);

	if (result < 0)
		return result;
	if (!has_seats(object)) { /* see struct stoa_place */
		atomic_store_explicit(&object->pid, stoa_sys_getpid(),
		                      memory_order_relaxed);
		atomic_store_explicit(&object->peer, peer,
		                      memory_order_release);
		return 0;
	}
	stoa_private_lock(&object->seat_lock);
	if (atomic_load_explicit(&object->peer, memory_order_relaxed) == peer)
		goto unlock;
	/* Bounded: a peer could fill seats with the dead faster than they are
	 * buried. */
	for (int tries = 0; !take_any_seat(object, peer); tries++) {
		result = tries < BURY_TRIES ?
		                 stoa_object_bury(object, BURY_MAX) :
		                 0;
		if (result == 0)
			result = grow_seats(object);
		if (result < 0)
			break;
	}
unlock:
	stoa_private_unlock(&object->seat_lock);
	return result < 0 ? result : 0;
}

void stoa_object_stand(struct stoa_object *object)
{
	stoa_peer peer = atomic_load_explicit(&object->peer,
	                                      memory_order_relaxed);
	struct stoa_seat *seat = atomic_load_explicit(&object->seat,
	                                              memory_order_relaxed);
	uint32_t token = atomic_load_explicit(&object->token,
	                                      memory_order_relaxed);

	if (!peer || !seat)
		return;
	if (peer != atomic_load_explicit(&object->space->life.self->peer,
	                                 memory_order_relaxed))
		return; /* forked: the seat is the parent's */
	uint64_t owner = OWNER(peer, SEAT_GENERATION(token));
	/* release: pairs with the next taker's acquire */
	atomic_compare_exchange_strong_explicit(
	        &seat->owner, &owner, OWNER(0, SEAT_GENERATION(token)),
	        memory_order_release, memory_order_relaxed);
	atomic_store_explicit(&object->peer, 0, memory_order_relaxed);
}

/* A seat that can't be looked at, as its file descriptor is gone, may well be
 * a living one's. */
#define OWNER_UNKNOWN UINT64_MAX

static uint64_t owner_of(struct stoa_object *object, uint32_t index)
{
	struct stoa_seat *seat;
	int result = find_seat(object, index, &seat);

	if (result == 0)
		return atomic_load_explicit(&seat->owner, memory_order_acquire);
	return result == -ENOENT ? 0 : OWNER_UNKNOWN;
}

static int owner_alive(struct stoa_object *object, uint64_t owner)
{
	return stoa_life_alive(&object->space->life, OWNER_PEER(owner));
}

stoa_peer stoa_object_sole(struct stoa_object *object, unsigned flags)
{
	uint32_t seats = stoa_object_seats(object);
	stoa_peer sole = 0;

	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(object, i);
		uint64_t owner = owner_of(object, i);

		if (!seat || OWNER_PEER(owner) == 0 || owner == OWNER_UNKNOWN ||
		    !(atomic_load_explicit(&seat->flags, memory_order_relaxed) &
		      flags) ||
		    OWNER_PEER(owner) == sole || !owner_alive(object, owner))
			continue;
		if (sole != 0)
			return 0;
		sole = OWNER_PEER(owner);
	}
	return sole;
}

int stoa_object_alive(struct stoa_object *object, uint32_t token)
{
	uint64_t owner = owner_of(object, SEAT_INDEX(token));

	if (owner == OWNER_UNKNOWN)
		return 1;
	return OWNER_PEER(owner) != 0 &&
	       OWNER_GENERATION(owner) == SEAT_GENERATION(token) &&
	       owner_alive(object, owner);
}

int stoa_object_alive_or_bury(struct stoa_object *object, uint32_t token)
{
	uint64_t owner = owner_of(object, SEAT_INDEX(token));

	if (STOA_CONSTANT_TOKEN || owner == OWNER_UNKNOWN)
		return 1;
	if (OWNER_PEER(owner) == 0 ||
	    OWNER_GENERATION(owner) != SEAT_GENERATION(token)) {
		object->kind->bury(object, token); /* nobody's: a forgery */
		return 0;
	}
	if (owner_alive(object, owner))
		return 1;
	bury_seat(object, SEAT_INDEX(token), owner);
	return 0;
}

void stoa_object_patrol(struct stoa_object *object)
{
	uint32_t seats = stoa_object_seats(object);
	uint32_t first = atomic_fetch_add_explicit(
	        &object->patrol_cursor, PATROL_SEATS, memory_order_relaxed);
	uint32_t asked = 0;

	atomic_store_explicit(&object->patrol_ns,
	                      stoa_sys_clock_ns(CLOCK_MONOTONIC),
	                      memory_order_relaxed);
	/* Free seats cost a load each; only PATROL_SEATS lives are asked. */
	for (uint32_t i = 0; i < seats && asked < PATROL_SEATS; i++) {
		uint32_t index = (first + i) % seats;
		uint64_t owner = owner_of(object, index);

		if (OWNER_PEER(owner) == 0 || owner == OWNER_UNKNOWN)
			continue;
		asked++;
		if (!owner_alive(object, owner))
			bury_seat(object, index, owner);
	}
}

int stoa_object_bury(struct stoa_object *object, int most)
{
	uint32_t seats = stoa_object_seats(object);
	int buried = 0;

	for (uint32_t i = 0; i < seats && buried < most; i++) {
		uint64_t owner = owner_of(object, i);

		if (OWNER_PEER(owner) == 0 || owner == OWNER_UNKNOWN ||
		    owner_alive(object, owner))
			continue;
		int result = bury_seat(object, i, owner);
		if (result < 0)
			return result;
		buried++;
	}
	return buried;
}
