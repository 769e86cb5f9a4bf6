/* SPDX-License-Identifier: MIT */
/*
 * data/queue_index.c: the index of ordered queues: a crit-bit tree over the
 * distinct keys, and under each leaf the cells with that key by position. Each
 * inner node knows the oldest position below it (by type only), so that "oldest
 * of any key" and "oldest of any key but one" are walks, too. Depth is at most 64, whatever
 * the keys, and nothing is ever rebalanced.
 * (Crit-bit trees: D. J. Bernstein; PATRICIA: D. R. Morrison, 1968.)
 *
 * Everything here is a hint in shared memory: numbers of nodes and cells are
 * checked before use, and every walk has an end.
 */
#include <data/queue_internal.h>

#define DEPTH_MAX 66
#define NEWEST UINT64_MAX
#define DEEP 256 /* so many messages may not stay in a near cache */

/* relaxed: changed under the selection lock only. */
#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), value, memory_order_relaxed)

/* Foreign: loaded once, into what is then checked and used. */
#define once(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* The way from the root to a leaf. */
struct way {
	uint32_t node[DEPTH_MAX + 1];
	uint32_t depth; /* nodes on it */
};

static struct queue_node *node_at(struct stoa_queue *queue, uint32_t number)
{
	if (number == 0 || number >= 2 * (uint64_t)queue->capacity)
		return NULL;
	return &queue->nodes[number];
}

static struct queue_entry *entry_at(struct stoa_queue *queue, uint32_t cell)
{
	return cell < queue->capacity ? &queue->entries[cell] : NULL;
}

void queue_index_clear(struct stoa_queue *queue)
{
	set(queue->control->root, 0);
	set(queue->control->spare, 0);
	set(queue->control->fresh, 1);
	set(queue->control->pending, 0);
	set(queue->control->listed, 0);
	set(queue->control->listed_bytes, 0);
	set(queue->control->level, 0);
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		queue->entries[i].listed = 0;
}

static uint32_t new_node(struct stoa_queue *queue)
{
	uint32_t number = get(queue->control->spare);
	struct queue_node *node = node_at(queue, number);

	if (node) {
		set(queue->control->spare, node->child[0]);
		return number;
	}
	number = get(queue->control->fresh) ?: 1; /* 0 in a new file */
	if (!node_at(queue, number))
		return 0;
	set(queue->control->fresh, number + 1);
	return number;
}

static void free_node(struct stoa_queue *queue, uint32_t number)
{
	struct queue_node *node = node_at(queue, number);

	node->child[0] = get(queue->control->spare);
	set(queue->control->spare, number);
}

static int side(uint64_t key, uint32_t bit)
{
	return (int)(key >> (bit & 63) & 1);
}

/* Walks towards `key`; the way ends at a leaf. */
static int walk(struct stoa_queue *queue, uint64_t key, struct way *way)
{
	uint32_t number = get(queue->control->root);

	way->depth = 0;
	while (way->depth < DEPTH_MAX) {
		struct queue_node *node = node_at(queue, number);

		if (!node)
			return -EUCLEAN;
		way->node[way->depth++] = number;
		uint32_t bit = once(node->bit);
		if (bit >= QUEUE_LEAF)
			return 0;
		number = once(node->child[side(key, bit)]);
	}
	return -EUCLEAN;
}

static uint64_t oldest_of(struct stoa_queue *queue, uint32_t number)
{
	struct queue_node *node = node_at(queue, number);

	return node ? node->oldest : NEWEST;
}

/* Mends `oldest` from the end of the way up, until it is as it was: then
 * everything above is, too. (But not at the end itself: it may be new.) Nobody
 * asks for the oldest where the least key is always meant. */
static int mend(struct stoa_queue *queue, const struct way *way)
{
	if (queue->order == STOA_PRIORITY)
		return 0;
	for (uint32_t i = way->depth; i-- > 0;) {
		struct queue_node *node = node_at(queue, way->node[i]);

		if (!node)
			return -EUCLEAN;
		if (node->bit >= QUEUE_LEAF) {
			struct queue_entry *entry =
			        entry_at(queue, once(node->first) - 1);

			if (!entry)
				return -EUCLEAN;
			node->oldest = entry->position;
			continue;
		}
		uint64_t left = oldest_of(queue, once(node->child[0]));
		uint64_t right = oldest_of(queue, once(node->child[1]));
		uint64_t oldest = left < right ? left : right;
		if (oldest == node->oldest && i + 1 < way->depth)
			break;
		node->oldest = oldest;
	}
	return 0;
}

/* ---- Inserting ------------------------------------------------------------ */

/* Into a leaf's list, by position: mostly at its end. */
static int insert_in_leaf(struct stoa_queue *queue, struct queue_node *leaf,
                          uint32_t cell)
{
	struct queue_entry *entry = entry_at(queue, cell);
	struct queue_entry *last = entry_at(queue, once(leaf->last) - 1);
	uint32_t *link = &leaf->first;

	if (!last)
		return -EUCLEAN;
	if (last->position < entry->position) {
		last->next = cell + 1;
		entry->next = 0;
		leaf->last = cell + 1;
		return 0;
	}
	for (uint32_t i = 0; i <= queue->capacity; i++) {
		struct queue_entry *here = entry_at(queue, once(*link) - 1);

		if (!here)
			return -EUCLEAN;
		if (here->position > entry->position) {
			entry->next = *link;
			*link = cell + 1;
			return 0;
		}
		link = &here->next;
	}
	return -EUCLEAN;
}

static uint32_t new_leaf(struct stoa_queue *queue, uint32_t cell, uint64_t key)
{
	struct queue_entry *entry = entry_at(queue, cell);
	uint32_t number = new_node(queue);

	if (!number)
		return 0;
	entry->next = 0;
	queue->nodes[number] = (struct queue_node){ .oldest = entry->position,
		                                    .key = key,
		                                    .first = cell + 1,
		                                    .last = cell + 1,
		                                    .bit = QUEUE_LEAF };
	return number;
}

/* A new inner node where the way of `key` leaves the tree at `bit`. */
static int branch(struct stoa_queue *queue, struct way *way, uint32_t bit,
                  uint64_t key, uint32_t leaf)
{
	uint32_t inner = new_node(queue);
	uint32_t i = 0;

	if (!inner)
		return -EUCLEAN;
	while (i < way->depth && queue->nodes[way->node[i]].bit < QUEUE_LEAF &&
	       queue->nodes[way->node[i]].bit > bit)
		i++;
	if (i >= way->depth)
		return -EUCLEAN;
	int right = side(key, bit);
	struct queue_node *node = &queue->nodes[inner];
	node->bit = bit;
	node->child[right] = leaf;
	node->child[!right] = way->node[i];
	if (i == 0)
		set(queue->control->root, inner);
	else {
		struct queue_node *above = &queue->nodes[way->node[i - 1]];

		above->child[side(key, above->bit)] = inner;
	}
	way->node[i] = inner;
	way->depth = i + 1;
	return mend(queue, way);
}

static int insert(struct stoa_queue *queue, uint32_t cell, uint64_t key)
{
	struct way way;

	if (get(queue->control->root) == 0) {
		uint32_t leaf = new_leaf(queue, cell, key);

		set(queue->control->root, leaf);
		return leaf ? 0 : -EUCLEAN;
	}
	int result = walk(queue, key, &way);
	if (result < 0)
		return result;
	struct queue_node *near = &queue->nodes[way.node[way.depth - 1]];
	uint64_t near_key = once(near->key);
	if (near_key == key) {
		result = insert_in_leaf(queue, near, cell);
		return result < 0 ? result : mend(queue, &way);
	}
	uint32_t leaf = new_leaf(queue, cell, key);
	if (!leaf)
		return -EUCLEAN;
	return branch(queue, &way,
	              63u - (uint32_t)__builtin_clzll(near_key ^ key), key,
	              leaf);
}

int queue_index_insert(struct stoa_queue *queue, uint32_t cell,
                       uint64_t position, uint64_t key)
{
	struct queue_entry *entry = entry_at(queue, cell);

	entry->position = position;
	entry->key = key;
	int result = insert(queue, cell, key);
	if (result < 0)
		return result;
	entry->listed = 1;
	entry->bytes = cell_get(queue_cell_at(queue, cell), bytes);
	set(queue->control->listed, get(queue->control->listed) + 1);
	set(queue->control->listed_bytes,
	    get(queue->control->listed_bytes) + entry->bytes);
	return 0;
}

/* ---- Removing -------------------------------------------------------------- */

static int unlink_cell(struct stoa_queue *queue, struct queue_node *leaf,
                       uint32_t cell)
{
	uint32_t *link = &leaf->first;
	uint32_t before = 0;

	for (uint32_t i = 0; i <= queue->capacity; i++) {
		struct queue_entry *here = entry_at(queue, once(*link) - 1);

		if (!here)
			return -EUCLEAN;
		if (*link == cell + 1) {
			if (leaf->last == *link)
				leaf->last = before;
			*link = here->next;
			return 0;
		}
		before = *link;
		link = &here->next;
	}
	return -EUCLEAN;
}

/* Takes the empty leaf at the way's end out; its sibling takes the place of
 * their parent. */
static int prune(struct stoa_queue *queue, struct way *way)
{
	uint32_t leaf = way->node[--way->depth];

	free_node(queue, leaf);
	if (way->depth == 0) {
		set(queue->control->root, 0);
		return 0;
	}
	uint32_t parent = way->node[--way->depth];
	struct queue_node *node = &queue->nodes[parent];
	uint32_t sibling = node->child[node->child[0] == leaf];
	if (way->depth == 0)
		set(queue->control->root, sibling);
	else {
		struct queue_node *above =
		        &queue->nodes[way->node[way->depth - 1]];

		above->child[above->child[1] == parent] = sibling;
	}
	free_node(queue, parent);
	return mend(queue, way);
}

int queue_index_remove(struct stoa_queue *queue, uint32_t cell)
{
	struct queue_entry *entry = entry_at(queue, cell);
	struct way way;

	if (!entry || entry->listed != 1)
		return 0;
	int result = walk(queue, entry->key, &way);
	if (result < 0)
		return result;
	struct queue_node *leaf = &queue->nodes[way.node[way.depth - 1]];
	result = unlink_cell(queue, leaf, cell);
	if (result < 0)
		return result;
	entry->listed = 0;
	set(queue->control->listed, get(queue->control->listed) - 1);
	set(queue->control->listed_bytes,
	    get(queue->control->listed_bytes) - once(entry->bytes));
	return leaf->first == 0 ? prune(queue, &way) : mend(queue, &way);
}

/* ---- Picking ---------------------------------------------------------------- */

/* In a deep queue all of these are far away: let them come at once. */
static void fetch(struct stoa_queue *queue, uint32_t cell)
{
	struct queue_entry *entry = entry_at(queue, cell);

	if (!entry)
		return;
	struct queue_cell *message = queue_cell_at(queue, cell);
	stoa_cpu_prefetch_write(entry);
	stoa_cpu_prefetch_write(&message->word);
	stoa_cpu_prefetch(queue_inline(queue, message));
}

static int first_of(struct stoa_queue *queue, uint32_t number,
                    uint32_t *ret_cell)
{
	struct queue_node *leaf = node_at(queue, number);
	uint32_t cell = leaf ? once(leaf->first) - 1 : UINT32_MAX;

	struct queue_entry *entry = entry_at(queue, cell);

	if (!entry)
		return -EUCLEAN;
	fetch(queue, cell);
	/* The next of this key may be wanted next. */
	fetch(queue, once(entry->next) - 1);
	*ret_cell = cell;
	return 0;
}

/* The leaf with the least key. */
static int least_key(struct stoa_queue *queue, uint32_t *ret_leaf)
{
	struct way way;
	int result = walk(queue, 0, &way);

	if (result == 0)
		*ret_leaf = way.node[way.depth - 1];
	return result;
}

void queue_index_prefetch(struct stoa_queue *queue)
{
	uint32_t leaf;

	if (queue->order == STOA_PRIORITY &&
	    get(queue->control->listed) >= DEEP &&
	    least_key(queue, &leaf) == 0)
		fetch(queue, once(queue->nodes[leaf].first) - 1);
}

/* Goes down from `number` to the leaf with the oldest cell. */
static int oldest_leaf(struct stoa_queue *queue, uint32_t number,
                       uint32_t *ret_leaf)
{
	for (int i = 0; i < DEPTH_MAX; i++) {
		struct queue_node *node = node_at(queue, number);

		if (!node)
			return -EUCLEAN;
		if (once(node->bit) >= QUEUE_LEAF) {
			*ret_leaf = number;
			return 0;
		}
		uint32_t left = once(node->child[0]);
		uint32_t right = once(node->child[1]);
		number = oldest_of(queue, right) < oldest_of(queue, left) ?
		                 right :
		                 left;
	}
	return -EUCLEAN;
}

/* The subtree with the oldest cell of any key but `key`, or 0. */
static int oldest_except(struct stoa_queue *queue, uint64_t key,
                         uint32_t *ret_subtree)
{
	uint64_t oldest = NEWEST;
	struct way way;
	int result = walk(queue, key, &way);

	if (result < 0)
		return result;
	*ret_subtree = 0;
	if (queue->nodes[way.node[way.depth - 1]].key != key) {
		*ret_subtree = way.node[way.depth - 1];
		oldest = oldest_of(queue, *ret_subtree);
	}
	for (uint32_t i = 0; i + 1 < way.depth; i++) {
		struct queue_node *node = &queue->nodes[way.node[i]];
		uint32_t other = node->child[node->child[0] == way.node[i + 1]];

		if (oldest_of(queue, other) < oldest) {
			oldest = oldest_of(queue, other);
			*ret_subtree = other;
		}
	}
	return 0;
}

static int pick_leaf(struct stoa_queue *queue, enum stoa_selection selection,
                     uint64_t key, uint32_t *ret_leaf)
{
	uint32_t root = get(queue->control->root);
	struct way way;
	int result;

	switch (selection) {
	case STOA_EXACTLY:
		result = walk(queue, key, &way);
		if (result < 0)
			return result;
		*ret_leaf = way.node[way.depth - 1];
		return queue->nodes[*ret_leaf].key == key ? 0 : -EAGAIN;
	case STOA_LOWEST:
		result = least_key(queue, ret_leaf);
		if (result < 0)
			return result;
		return queue->nodes[*ret_leaf].key <= key ? 0 : -EAGAIN;
	case STOA_EXCEPT:
		result = oldest_except(queue, key, &root);
		if (result < 0)
			return result;
		return root ? oldest_leaf(queue, root, ret_leaf) : -EAGAIN;
	default:
		return queue->order == STOA_PRIORITY ?
		               least_key(queue, ret_leaf) :
		               oldest_leaf(queue, root, ret_leaf);
	}
}

int queue_index_pick(struct stoa_queue *queue,
                     const struct stoa_selector *selector, uint32_t *ret_cell)
{
	enum stoa_selection selection =
	        selector ? selector->selection : STOA_ANY;
	uint64_t key = selector ? (uint64_t)selector->type : 0;
	uint32_t leaf = 0;

	if (get(queue->control->root) == 0)
		return -EAGAIN;
	int result = pick_leaf(queue, selection, key, &leaf);
	return result < 0 ? result : first_of(queue, leaf, ret_cell);
}
