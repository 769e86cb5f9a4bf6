/* SPDX-License-Identifier: MIT */
/*
 * account.c: what a victim's page proves about the letters. What returned has
 * happened; what did not return may have happened; and a letter that is whole
 * in a dead receiver's buffer need not be in the queue.
 */
#include <errno.h>
#include <string.h>

#include "oracle.h"

struct letter *ledger_find(struct ledger *ledger, uint64_t id)
{
	for (uint32_t i = 0; i < ledger->count; i++)
		if (ledger->letters[i].id == id)
			return &ledger->letters[i];
	return NULL;
}

int letter_before(const struct ledger *ledger, const struct letter *a,
		  const struct letter *b)
{
	if (ledger->order == STOA_PRIORITY && a->priority != b->priority)
		return a->priority > b->priority;
	return a->id < b->id && !(a->loose && b->loose);
}

static uint32_t count_present(const struct ledger *ledger)
{
	uint32_t present = 0;

	for (uint32_t i = 0; i < ledger->count; i++)
		present += ledger->letters[i].fate != FATE_GONE;
	return present;
}

/* Opening a handle buries the dead. Who had one open already may pass by what
 * is in dead hands still. */
static int is_passed_by(const struct letter *letter, unsigned flags)
{
	return flags & OP_FIRST && letter->deliveries_max > 0;
}

/* Is it the one that the queue's own order gives next? */
static int check_first(struct ledger *ledger, const struct letter *letter,
		       unsigned flags)
{
	for (uint32_t i = 0; i < ledger->count; i++) {
		const struct letter *other = &ledger->letters[i];

		if (other == letter || other->fate != FATE_STAYS ||
		    other->held || other->copied || is_passed_by(other, flags))
			continue;
		if (letter_before(ledger, other, letter))
			return trouble("the victim got letter %llu before %llu",
				       (unsigned long long)letter->id,
				       (unsigned long long)other->id);
	}
	return 0;
}

static int check_refusal(struct stage *s, const struct operation *operation,
			 int64_t result)
{
	const struct ledger *ledger = &s->ledger;

	if (result == -EMSGSIZE && operation->flags & OP_RECEIVE)
		return 0;
	if (result == -ENOMSG && !(operation->flags & (OP_SEND | OP_TAKE)))
		return 0;
	if (result != -EAGAIN && result != -ETIMEDOUT)
		return trouble("the victim's call gave %lld",
			       (long long)result);
	if (s->concurrent)
		return 0;
	if (operation->flags & OP_SEND && !(s->state->tags & STATE_LARGE) &&
	    count_present(ledger) < CAPACITY)
		return trouble("the victim's send found no room among %u of %u",
			       count_present(ledger), CAPACITY);
	if (!(operation->flags & (OP_RECEIVE | OP_TAKE)) ||
	    operation->flags & OP_TYPE)
		return 0;
	for (uint32_t i = 0; i < ledger->count; i++) {
		const struct letter *letter = &ledger->letters[i];

		if (letter->fate == FATE_STAYS && !letter->held &&
		    !letter->copied &&
		    !is_passed_by(letter, operation->flags))
			return trouble("the victim found nothing, but letter "
				       "%llu was there",
				       (unsigned long long)letter->id);
	}
	return 0;
}

static int account_sent(struct stage *s, const struct page *page)
{
	for (uint32_t i = 0; i < page->outgoing_count; i++) {
		struct letter *letter = &s->ledger.letters[page->outgoing[i]];

		if (!page->returned)
			letter->fate = FATE_MAYBE;
		else
			letter->fate = (int64_t)i < page->result ? FATE_STAYS
								 : FATE_GONE;
	}
	return 0;
}

static int account_got(struct stage *s, struct letter *letter,
		       const struct stoa_message *message, unsigned flags)
{
	if (letter->fate == FATE_GONE)
		return trouble("the victim got letter %llu, which was gone",
			       (unsigned long long)letter->id);
	if (message->bytes != letter->bytes)
		return trouble("the victim got %zu bytes of letter %llu's %u",
			       message->bytes, (unsigned long long)letter->id,
			       letter->bytes);
	if (message->deliveries < letter->deliveries_min ||
	    message->deliveries > letter->deliveries_max)
		return trouble("the victim got letter %llu with %u deliveries, "
			       "not %u to %u", (unsigned long long)letter->id,
			       message->deliveries, letter->deliveries_min,
			       letter->deliveries_max);
	if (flags & OP_TYPE || s->concurrent)
		return 0;
	return check_first(&s->ledger, letter, flags);
}

static int account_received(struct stage *s, const struct page *page,
			    unsigned flags)
{
	for (int64_t i = 0; i < page->result; i++) {
		struct letter *letter =
			ledger_find(&s->ledger, letter_id(page->buffers[i]));

		if (letter == NULL || !letter_whole(letter, page->buffers[i]))
			return trouble("what the victim received is not whole");
		if (account_got(s, letter, &page->messages[i], flags) != 0)
			return -1;
		letter->fate = FATE_GONE;
	}
	return 0;
}

/* It did not return, but may have received what is whole in its buffers. */
static void account_copied(struct stage *s, const struct page *page)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		struct letter *letter =
			ledger_find(&s->ledger, letter_id(page->buffers[i]));

		if (letter != NULL && letter_whole(letter, page->buffers[i]))
			letter->copied++;
	}
}

/* Whatever it could have claimed may have come back once more. */
static void raise_deliveries(struct stage *s)
{
	for (uint32_t i = 0; i < s->ledger.count; i++)
		if (!s->ledger.letters[i].held)
			s->ledger.letters[i].deliveries_max++;
}

static int account_held(struct stage *s, const struct page *page,
			unsigned flags)
{
	struct letter *letter = ledger_find(&s->ledger, page->held_id);

	if (letter == NULL)
		return trouble("the victim held no letter that exists");
	letter->deliveries_min++;
	letter->deliveries_max++;
	if (flags & OP_ACK)
		letter->fate = page->returned ? FATE_GONE : FATE_MAYBE;
	return 0;
}

static int account_taken(struct stage *s, const struct page *page,
			 unsigned flags)
{
	struct letter *letter = ledger_find(&s->ledger, page->taken_id);

	if (letter == NULL)
		return trouble("what the victim took is no letter");
	if (account_got(s, letter, &page->messages[0], flags) != 0)
		return -1;
	/* If another was at it too, it may have had it before. */
	if (!s->concurrent)
		letter->deliveries_min++;
	return 0;
}

static int account_purged(struct stage *s, const struct page *page)
{
	int64_t purged = 0;
	int exact = 1;

	for (uint32_t i = 0; i < s->ledger.count; i++) {
		struct letter *letter = &s->ledger.letters[i];

		if (letter->fate == FATE_GONE || letter->held)
			continue;
		exact &= letter->fate == FATE_STAYS && !letter->copied;
		letter->fate = page->returned ? FATE_GONE : FATE_MAYBE;
		purged++;
	}
	if (page->returned && exact && !s->concurrent && page->result != purged)
		return trouble("the victim purged %lld of %lld",
			       (long long)page->result, (long long)purged);
	return 0;
}

int oracle_account(struct stage *s, uint32_t index,
		   const struct operation *operation)
{
	const struct page *page = &s->pages[index];
	unsigned flags = operation->flags;
	int result = 0;

	if (page->returned && page->result < 0)
		result = check_refusal(s, operation, page->result);
	if (flags & OP_SEND)
		result |= account_sent(s, page);
	if (flags & OP_RECEIVE && page->returned)
		result |= account_received(s, page, flags);
	else if (flags & OP_RECEIVE)
		account_copied(s, page);
	if (flags & OP_TAKE && page->returned && page->result >= 0)
		result |= account_taken(s, page, flags);
	if (flags & OP_PURGE)
		result |= account_purged(s, page);
	if (flags & (OP_RECEIVE | OP_TAKE | OP_PURGE))
		raise_deliveries(s);
	if (page->held_id != 0)
		result |= account_held(s, page, flags);
	return result;
}
