/* SPDX-License-Identifier: MIT */
/*
 * demo_roles.c: what the demo's processes do: feeder, worker, collector.
 *
 * Nothing lost, nothing doubled: a worker passes a result on and only then
 * acknowledges the message. Killed before the first, its message comes back
 * and somebody else does the work. Killed between the two, the message comes
 * back all the same, and its result is passed on a second time: no order of
 * two separate steps can avoid both loss and repetition. So the work has an
 * identity, its sequence number, and the collector keeps the first result of
 * each. A repetition is right only if the queue itself says (deliveries) that
 * the message had come back; any other is counted as doubled and fails.
 */

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"

#define DIGEST_CHECK_EVERY 64u /* results whose own hash the collector tries */
#define EXPONENT_MIN 6 /* DEMO_PIECE_MIN = 2^6 */
#define EXPONENTS 10   /* DEMO_PIECE_MAX = 2^16 */

/* ---- Cutting ----------------------------------------------------------- */

void demo_cutter_init(struct demo_cutter *cutter, uint32_t seed,
                      uint64_t total, size_t limit)
{
	*cutter = (struct demo_cutter){
		.random = { 0x330e, (uint16_t)seed, (uint16_t)(seed >> 16) },
		.total = total,
		.limit = limit,
	};
}

/* As many small ones as large ones: first the power of two, then within it. */
static uint32_t draw_size(struct demo_cutter *cutter)
{
	long exponent = EXPONENT_MIN + nrand48(cutter->random) % EXPONENTS;
	long low = 1l << exponent;

	return (uint32_t)(low + nrand48(cutter->random) % (low + 1));
}

size_t demo_cutter_next(struct demo_cutter *cutter)
{
	uint64_t left = cutter->total - cutter->offset;
	size_t size;

	if (!cutter->rest)
		cutter->rest = draw_size(cutter);
	size = cutter->rest;
	if (size > cutter->limit)
		size = cutter->limit;
	if (size > left)
		size = (size_t)left;
	cutter->rest -= (uint32_t)size;
	cutter->offset += size;
	return size;
}

/* ---- Common ------------------------------------------------------------ */

static int failed(const char *what, const struct demo_round *round, int result)
{
	demo_progress_clear();
	tool_error("%s, %s: %s", round->carrier.name, what,
	           demo_reason(&round->carrier, result));
	return EXIT_FAILURE;
}

static void hash(const void *data, size_t bytes, uint8_t *ret_digest)
{
	SHA256(data, bytes, ret_digest);
}

/* ---- Feeder ------------------------------------------------------------ */

static int read_all(int descriptor, uint8_t *data, size_t bytes,
                    uint64_t offset)
{
	while (bytes) {
		ssize_t got = pread(descriptor, data, bytes, (off_t)offset);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (!got)
			return -ESTALE;
		if (got < 0)
			continue;
		data += got;
		bytes -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

static int feed_one(struct demo_round *round, uint64_t sequence,
                    uint64_t offset, size_t bytes)
{
	const struct demo_operations *operations = round->carrier.operations;
	struct demo_channel *work = &round->carrier.channel[DEMO_WORK];
	struct demo_parcel parcel;
	int result = operations->reserve(work, bytes, &parcel);

	if (result < 0)
		return result;
	*parcel.header = (struct demo_header){
		.sequence = sequence,
		.bytes = (uint32_t)bytes,
		.kind = DEMO_DATA,
	};
	result = read_all(round->input, parcel.data, bytes, offset);
	if (result < 0)
		return result;
	return operations->commit(work, &parcel);
}

int demo_feeder(struct demo_round *round)
{
	struct demo_cutter cutter;
	uint64_t offset = 0, sequence = 0;
	size_t bytes;

	demo_cutter_init(&cutter, round->seed, round->total,
	                 round->carrier.piece_max);
	atomic_store(&round->board->started_ns, demo_now_ns());
	while ((bytes = demo_cutter_next(&cutter))) {
		int result = feed_one(round, sequence++, offset, bytes);

		if (result < 0)
			return failed("feeding", round, result);
		offset += bytes;
		atomic_store_explicit(&round->board->fed, sequence,
		                      memory_order_relaxed);
	}
	return EXIT_SUCCESS;
}

/* ---- Worker ------------------------------------------------------------ */

static int pass_on(struct demo_round *round, const struct demo_parcel *parcel)
{
	const struct demo_operations *operations = round->carrier.operations;
	struct demo_channel *results = &round->carrier.channel[DEMO_RESULTS];
	struct demo_parcel out;
	size_t bytes = parcel->header->bytes;
	int result;

	if (bytes > round->carrier.piece_max)
		return -EBADMSG;
	result = operations->reserve(results, bytes, &out);
	if (result < 0)
		return result;
	*out.header = *parcel->header;
	out.header->deliveries = (uint16_t)parcel->message.deliveries;
	memcpy(out.data, parcel->data, bytes);
	hash(out.data, bytes, out.header->digest);
	return operations->commit(results, &out);
}

static int finish(struct demo_round *round, const struct demo_parcel *parcel)
{
	int result = pass_on(round, parcel);

	if (result < 0)
		return result;
	return round->carrier.operations->acknowledge(
		&round->carrier.channel[DEMO_WORK], parcel);
}

/*
 * The worker that meets the round's kill_sequence for the first time is the
 * victim. It tells the parent, who kills it a random while later, and until
 * then it works on as before, but never acknowledges this one message: so it
 * surely holds one, and at whatever instruction of whatever operation.
 */
static int become_victim(struct demo_round *round, unsigned index,
                         const struct demo_parcel *parcel)
{
	unsigned char byte = (unsigned char)index;

	if (round->pass_on_first) {
		int result = pass_on(round, parcel);

		if (result < 0)
			return result;
	}
	return write(round->tell[1], &byte, sizeof(byte)) < 0 ? -errno : 0;
}

static int is_kill(const struct demo_round *round,
                   const struct demo_parcel *parcel)
{
	return round->kill && parcel->header->kind == DEMO_DATA &&
	       parcel->header->sequence == round->kill_sequence &&
	       !parcel->message.deliveries;
}

/* Takes one message, waiting for it, and what else is there at once. Stops at
 * a stop: it's for one worker, and comes after all data. */
static int fill_hand(struct demo_round *round, struct demo_parcel *hand)
{
	unsigned count = 0;

	while (count < round->carrier.hand) {
		int result = round->carrier.operations->take(
			&round->carrier.channel[DEMO_WORK], !count,
			&hand[count]);

		if (result == -EAGAIN && count)
			break;
		if (result < 0)
			return result;
		if (hand[count++].header->kind == DEMO_STOP)
			break;
	}
	return (int)count;
}

int demo_worker(struct demo_round *round, unsigned index)
{
	struct demo_parcel hand[DEMO_HAND];

	for (;;) {
		int count = fill_hand(round, hand);

		if (count < 0)
			return failed("taking", round, count);
		for (int i = 0; i < count; i++) {
			int result = is_kill(round, &hand[i])
				? become_victim(round, index, &hand[i])
				: finish(round, &hand[i]);

			if (result < 0)
				return failed("passing on", round, result);
		}
		if (hand[count - 1].header->kind == DEMO_STOP)
			return EXIT_SUCCESS;
	}
}

/* ---- Collector --------------------------------------------------------- */

/* A result that arrived before its turn. */
struct early {
	uint8_t *data; /* NULL: not arrived */
	size_t bytes;
};

/* The window of results from `next` on: a ring that grows. */
struct collection {
	struct demo_round *round;
	EVP_MD_CTX *stream;
	struct early *early;
	uint64_t window; /* entries of early: a power of two */
	uint64_t next;   /* sequence of the first that's missing */
};

#define WINDOW_FIRST 1024u

static struct early *place(const struct collection *collection,
                           uint64_t sequence)
{
	return &collection->early[sequence & (collection->window - 1)];
}

static int widen(struct collection *collection, uint64_t sequence)
{
	struct collection wide = *collection;

	while (sequence - collection->next >= wide.window)
		wide.window *= 2;
	if (wide.window == collection->window)
		return 0;
	wide.early = calloc(wide.window, sizeof(*wide.early));
	if (!wide.early)
		return -ENOMEM;
	for (uint64_t i = 0; i < collection->window; i++)
		*place(&wide, collection->next + i) =
			*place(collection, collection->next + i);
	free(collection->early);
	*collection = wide;
	return 0;
}

static int keep_early(struct collection *collection,
                      const struct demo_parcel *parcel)
{
	struct early *early = place(collection, parcel->header->sequence);

	early->bytes = parcel->header->bytes;
	early->data = malloc(early->bytes ? early->bytes : 1);
	if (!early->data)
		return -ENOMEM;
	memcpy(early->data, parcel->data, early->bytes);
	return 0;
}

static void append(struct collection *collection, const void *data,
                   size_t bytes)
{
	EVP_DigestUpdate(collection->stream, data, bytes);
	collection->next++;
}

static void append_early(struct collection *collection)
{
	for (;;) {
		struct early *early = place(collection, collection->next);

		if (!early->data)
			return;
		append(collection, early->data, early->bytes);
		free(early->data);
		early->data = NULL;
	}
}

static int is_known(const struct collection *collection, uint64_t sequence)
{
	return sequence < collection->next ||
	       (sequence - collection->next < collection->window &&
	        place(collection, sequence)->data);
}

static void check_digest(struct demo_board *board,
                         const struct demo_parcel *parcel)
{
	uint8_t digest[DEMO_DIGEST_BYTES];

	if (parcel->header->sequence % DIGEST_CHECK_EVERY &&
	    !parcel->header->deliveries)
		return;
	hash(parcel->data, parcel->header->bytes, digest);
	if (memcmp(digest, parcel->header->digest, sizeof(digest)))
		board->bad_digest++;
}

static void count_redelivery(struct demo_board *board,
                             const struct demo_header *header, int known)
{
	if (!header->deliveries) {
		board->doubled += (unsigned)known;
		return;
	}
	board->redelivered++;
	board->redelivered_bytes += header->bytes;
	board->repeated += (unsigned)known;
	board->last_redelivery_ns = demo_now_ns();
}

static int collect(struct collection *collection,
                   const struct demo_parcel *parcel)
{
	struct demo_board *board = collection->round->board;
	const struct demo_header *header = parcel->header;
	int known, result;

	if (header->sequence >= collection->round->messages ||
	    header->bytes > collection->round->carrier.piece_max)
		return -EBADMSG;
	known = is_known(collection, header->sequence);
	check_digest(board, parcel);
	count_redelivery(board, header, known);
	if (known)
		return 0;
	if (header->sequence == collection->next) {
		append(collection, parcel->data, header->bytes);
		append_early(collection);
	} else {
		result = widen(collection, header->sequence);
		if (result < 0)
			return result;
		result = keep_early(collection, parcel);
		if (result < 0)
			return result;
	}
	atomic_fetch_add(&board->messages, 1);
	atomic_fetch_add(&board->bytes, header->bytes);
	return 0;
}

static int send_stops(struct demo_round *round, unsigned count)
{
	const struct demo_operations *operations = round->carrier.operations;
	struct demo_channel *work = &round->carrier.channel[DEMO_WORK];

	while (count--) {
		struct demo_parcel parcel;
		int result = operations->reserve(work, 0, &parcel);

		if (result < 0)
			return result;
		*parcel.header = (struct demo_header){ .kind = DEMO_STOP };
		result = operations->commit(work, &parcel);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Takes results until all are here and, if somebody was killed, something has
 * come back; then tells the living workers to stop, and takes their answers.
 */
static int collect_all(struct collection *collection)
{
	struct demo_round *round = collection->round;
	struct demo_channel *results = &round->carrier.channel[DEMO_RESULTS];
	const struct demo_operations *operations = round->carrier.operations;
	unsigned living = round->workers - (round->kill ? 1 : 0);
	int stopping = 0;

	while (!stopping || living) {
		struct demo_parcel parcel;
		int result = operations->take(results, 1, &parcel);

		if (result < 0)
			return result;
		if (parcel.header->kind == DEMO_STOP)
			living--;
		else
			result = collect(collection, &parcel);
		if (result < 0)
			return result;
		result = operations->acknowledge(results, &parcel);
		if (result < 0)
			return result;
		if (stopping || collection->next < round->messages)
			continue;
		if (!round->board->finished_ns)
			round->board->finished_ns = demo_now_ns();
		if (round->kill && !round->board->redelivered)
			continue;
		stopping = 1;
		result = send_stops(round, living);
		if (result < 0)
			return result;
	}
	return 0;
}

int demo_collector(struct demo_round *round)
{
	struct collection collection = {
		.round = round,
		.stream = EVP_MD_CTX_new(),
		.early = calloc(WINDOW_FIRST, sizeof(struct early)),
		.window = WINDOW_FIRST,
	};
	int result;

	if (!collection.stream || !collection.early ||
	    !EVP_DigestInit_ex(collection.stream, EVP_sha256(), NULL))
		return failed("collecting", round, -ENOMEM);
	result = collect_all(&collection);
	if (result < 0)
		return failed("collecting", round, result);
	EVP_DigestFinal_ex(collection.stream, round->board->digest, NULL);
	EVP_MD_CTX_free(collection.stream);
	free(collection.early);
	return EXIT_SUCCESS;
}
