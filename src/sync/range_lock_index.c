/* SPDX-License-Identifier: MIT */
/*
 * sync/range_lock_index.c: two AVL trees over the ranges (Adelson-Velsky and
 * Landis, 1962), one of them an interval tree by the largest end of each
 * subtree (Cormen et al., Introduction to Algorithms, chapter 14). Links are
 * foreign: each is checked, and no path is longer than RANGE_DEPTH_MAX.
 */
#include <sync/range_lock_internal.h>

#include <errno.h>

#define FLAG (UINT32_C(1) << RANGE_LINK_BITS) /* in the right links */
/* One copy for each tree. */
#define ALWAYS static inline __attribute__((always_inline))

struct path {
	struct range_record *node[RANGE_DEPTH_MAX];
	int side[RANGE_DEPTH_MAX]; /* on which the path goes on */
	int depth;
	_Atomic uint32_t *root;
};

static inline uint32_t link_of(const struct range_record *node, int tree,
                               int side)
{
	return get(node->link[tree][side]) & RANGE_LINK_MASK;
}

static inline void set_link(struct range_record *node, int tree, int side,
                            uint32_t number)
{
	set(node->link[tree][side],
	    (get(node->link[tree][side]) & ~RANGE_LINK_MASK) | number);
}

static inline uint32_t height_of(const struct range_record *node, int tree)
{
	return node ? get(node->link[tree][0]) >> RANGE_LINK_BITS : 0;
}

static inline void set_flag(struct range_record *node, int tree, int flag)
{
	set(node->link[tree][1], link_of(node, tree, 1) | (flag ? FLAG : 0));
}

int range_index_listed(const struct range_record *record)
{
	return !!(get(record->link[RANGE_OWN][1]) & FLAG);
}

static inline int has_exclusive(const struct range_record *node)
{
	return !!(get(node->link[RANGE_PLACE][1]) & FLAG);
}

void range_index_clear(struct stoa_range_lock *lock)
{
	set(lock->control->place_root, 0);
	for (uint32_t i = 0; i < RANGE_YOUNG; i++)
		set(lock->control->young[i], 0);
	for (uint32_t i = 0; i < RANGE_OWN_TREES; i++)
		set(lock->control->own_root[i], 0);
}

ALWAYS _Atomic uint32_t *root_of(struct stoa_range_lock *lock, int tree,
                                 uint64_t owner)
{
	uint64_t hash = owner * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return tree == RANGE_PLACE ?
	               &lock->control->place_root :
	               &lock->control->own_root[hash % RANGE_OWN_TREES];
}

/* 0 and the child, which may be none (NULL). */
ALWAYS int child_of(struct stoa_range_lock *lock,
                           const struct range_record *node, int tree, int side,
                           struct range_record **ret_child)
{
	uint32_t number = link_of(node, tree, side);

	*ret_child = number ? range_at(lock, number) : NULL;
	return number && !*ret_child ? -EUCLEAN : 0;
}

/* Whether `a` stands before `b`. Without branches: which way a search goes
 * is not to be guessed. */
ALWAYS int before(const struct range_record *a, const struct range_record *b,
                  int tree)
{
	uint64_t start = get(a->start), other = get(b->start);
	int less = (start < other) | ((start == other) & (a < b));

	if (tree == RANGE_PLACE)
		return less;
	uint64_t owner = get(a->owner), other_owner = get(b->owner);
	return (owner < other_owner) | ((owner == other_owner) & less);
}

static inline uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What a node says of its subtree, from itself and its children. 1: it said
 * something else before. A subtree without an exclusive range has 0 in
 * most_exclusive. */
ALWAYS int refresh(struct range_record *node, int tree,
                   const struct range_record *left,
                   const struct range_record *right)
{
	uint32_t links[2] = { get(node->link[tree][0]),
		              get(node->link[tree][1]) };
	uint32_t low = height_of(left, tree), high = height_of(right, tree);
	uint32_t height = (low > high ? low : high) + 1;
	uint32_t first = (links[0] & RANGE_LINK_MASK) |
	                 (height & 63) << RANGE_LINK_BITS;
	int changed = first != links[0];

	if (changed)
		set(node->link[tree][0], first);
	if (tree == RANGE_OWN)
		return changed;
	uint64_t most = get(node->last);
	uint32_t flag = RANGE_WORD_MODE(get(node->word)) ==
	                                STOA_RANGE_EXCLUSIVE ?
	                        FLAG :
	                        0;
	uint64_t exclusive = flag ? most : 0;
	if (left) {
		most = larger(most, get(left->most));
		exclusive = larger(exclusive, get(left->most_exclusive));
		flag |= get(left->link[RANGE_PLACE][1]) & FLAG;
	}
	if (right) {
		most = larger(most, get(right->most));
		exclusive = larger(exclusive, get(right->most_exclusive));
		flag |= get(right->link[RANGE_PLACE][1]) & FLAG;
	}
	if (most == get(node->most) && exclusive == get(node->most_exclusive) &&
	    flag == (links[1] & FLAG))
		return changed;
	set(node->most, most);
	set(node->most_exclusive, exclusive);
	set(node->link[RANGE_PLACE][1], (links[1] & RANGE_LINK_MASK) | flag);
	return 1;
}

static int refresh_from_links(struct stoa_range_lock *lock,
                              struct range_record *node, int tree)
{
	struct range_record *left, *right;
	int result = child_of(lock, node, tree, 0, &left) ?:
	             child_of(lock, node, tree, 1, &right);

	if (result == 0)
		refresh(node, tree, left, right);
	return result;
}

/* The child on `side` of *ret_node goes up into its place. */
static int rotate(struct stoa_range_lock *lock, int tree, int side,
                  struct range_record **ret_node)
{
	struct range_record *down = *ret_node, *up;
	int result = child_of(lock, down, tree, side, &up);

	if (result < 0 || !up || up == down)
		return -EUCLEAN;
	set_link(down, tree, side, link_of(up, tree, !side));
	set_link(up, tree, !side, range_number(lock, down));
	*ret_node = up;
	return refresh_from_links(lock, down, tree) ?:
	       refresh_from_links(lock, up, tree);
}

/* The side of *ret_node is too high: another comes into its place. */
static int restore_balance(struct stoa_range_lock *lock, int tree, int side,
                           struct range_record **ret_node)
{
	struct range_record *high, *inner, *outer;
	int result = child_of(lock, *ret_node, tree, side, &high);

	if (result < 0 || !high)
		return -EUCLEAN;
	result = child_of(lock, high, tree, !side, &inner) ?:
	         child_of(lock, high, tree, side, &outer);
	if (result == 0 && height_of(inner, tree) > height_of(outer, tree)) {
		result = rotate(lock, tree, !side, &high);
		set_link(*ret_node, tree, side, range_number(lock, high));
	}
	return result < 0 ? result : rotate(lock, tree, side, ret_node);
}

ALWAYS void relink(int tree, const struct path *path, int depth,
                   uint32_t number)
{
	if (depth == 0)
		set(*path->root, number);
	else
		set_link(path->node[depth - 1], tree, path->side[depth - 1],
		         number);
}

/* From the end of the path to the root, or to where nothing changes above
 * depth `all`: the node there is new to its place. */
ALWAYS int mend_upwards(struct stoa_range_lock *lock, int tree,
                        const struct path *path, int all)
{
	for (int depth = path->depth - 1; depth >= 0; depth--) {
		struct range_record *node = path->node[depth], *left, *right;

		if (stoa_unlikely(child_of(lock, node, tree, 0, &left) < 0 ||
		                  child_of(lock, node, tree, 1, &right) < 0))
			return -EUCLEAN;
		uint32_t low = height_of(left, tree);
		uint32_t high = height_of(right, tree);
		if (stoa_likely(low <= high + 1 && high <= low + 1)) {
			if (!refresh(node, tree, left, right) && depth < all)
				return 0;
			continue;
		}
		int result = restore_balance(lock, tree, high > low, &node);
		if (result < 0)
			return result;
		relink(tree, path, depth, range_number(lock, node));
	}
	return 0;
}

ALWAYS int push(struct path *path, struct range_record *node, int side)
{
	if (stoa_unlikely(!node || path->depth == RANGE_DEPTH_MAX))
		return -EUCLEAN;
	path->node[path->depth] = node;
	path->side[path->depth++] = side;
	return 0;
}

ALWAYS int insert(struct stoa_range_lock *lock, int tree,
                  struct range_record *record)
{
	_Atomic uint32_t *root = root_of(lock, tree, get(record->owner));
	uint32_t number = get(*root);
	struct path path;

	path.depth = 0;
	path.root = root;
	while (number) {
		struct range_record *node = range_at(lock, number);

		if (stoa_unlikely(!node || node == record))
			return -EUCLEAN;
		int side = before(node, record, tree);
		if (stoa_unlikely(push(&path, node, side) < 0))
			return -EUCLEAN;
		number = link_of(node, tree, side);
	}
	set(record->link[tree][0], 0);
	set_link(record, tree, 1, 0);
	refresh(record, tree, NULL, NULL);
	relink(tree, &path, path.depth, range_number(lock, record));
	return mend_upwards(lock, tree, &path, path.depth);
}

ALWAYS int find(struct stoa_range_lock *lock, int tree,
                       struct range_record *record, struct path *path)
{
	uint32_t number;

	path->depth = 0;
	path->root = root_of(lock, tree, get(record->owner));
	number = get(*path->root);
	for (;;) {
		struct range_record *node = range_at(lock, number);

		if (stoa_unlikely(!node))
			return -EUCLEAN;
		if (node == record)
			return 0;
		int side = before(node, record, tree);
		if (stoa_unlikely(push(path, node, side) < 0))
			return -EUCLEAN;
		number = link_of(node, tree, side);
	}
}

/* The record has two children: its successor takes its place. */
static int replace(struct stoa_range_lock *lock, int tree,
                   struct range_record *record, struct path *path)
{
	int at = path->depth;
	struct range_record *next = NULL;
	uint32_t number = link_of(record, tree, 1);
	int result = push(path, record, 1);

	while (result == 0 && number) {
		next = range_at(lock, number);
		result = push(path, next, 0);
		if (result == 0)
			number = link_of(next, tree, 0);
	}
	if (result < 0 || !next)
		return -EUCLEAN;
	path->depth--;
	relink(tree, path, path->depth, link_of(next, tree, 1));
	set_link(next, tree, 0, link_of(record, tree, 0));
	set_link(next, tree, 1, link_of(record, tree, 1));
	path->node[at] = next;
	relink(tree, path, at, range_number(lock, next));
	return 0;
}

ALWAYS int remove_from(struct stoa_range_lock *lock, int tree,
                              struct range_record *record)
{
	struct path path;
	int result = find(lock, tree, record, &path);

	if (stoa_unlikely(result < 0))
		return result;
	uint32_t left = link_of(record, tree, 0);
	uint32_t right = link_of(record, tree, 1);
	int all = path.depth;
	if (left && right)
		result = replace(lock, tree, record, &path);
	else
		relink(tree, &path, path.depth, left ? left : right);
	return result < 0 ? result : mend_upwards(lock, tree, &path, all);
}

/* ---- The young ------------------------------------------------------------- */

/* Where `number` stands among them, or NULL. Of 0: where there is room. */
static inline _Atomic uint32_t *young_place(struct stoa_range_lock *lock,
                                            uint32_t number)
{
	_Atomic uint32_t *young = lock->control->young;

	for (int i = 0; i < RANGE_YOUNG; i++)
		if (get(young[i]) == number)
			return &young[i];
	return NULL;
}

static inline int is_young(struct stoa_range_lock *lock,
                           const struct range_record *record)
{
	return !!young_place(lock, range_number(lock, record));
}

/* One of them goes into the trees. 0 and its place, -EUCLEAN. */
static int make_room(struct stoa_range_lock *lock,
                     _Atomic uint32_t **ret_place)
{
	uint32_t next = get(lock->control->young_next) % RANGE_YOUNG;
	_Atomic uint32_t *place = &lock->control->young[next];
	struct range_record *record = range_at(lock, get(*place));
	int result = -EUCLEAN;

	if (record)
		result = insert(lock, RANGE_PLACE, record) ?:
		         insert(lock, RANGE_OWN, record);
	set(lock->control->young_next, (next + 1) % RANGE_YOUNG);
	*ret_place = place;
	return result;
}

/* ---- All ------------------------------------------------------------------- */

int range_index_insert_place(struct stoa_range_lock *lock,
                             struct range_record *record)
{
	return is_young(lock, record) ? 0 : insert(lock, RANGE_PLACE, record);
}

int range_index_remove_place(struct stoa_range_lock *lock,
                             struct range_record *record)
{
	return is_young(lock, record) ?
	               0 :
	               remove_from(lock, RANGE_PLACE, record);
}

int range_index_insert(struct stoa_range_lock *lock,
                       struct range_record *record)
{
	_Atomic uint32_t *place = young_place(lock, 0);
	int result = stoa_likely(place) ? 0 : make_room(lock, &place);

	if (stoa_unlikely(result < 0))
		return result;
	set(*place, range_number(lock, record));
	set_flag(record, RANGE_OWN, 1);
	return 0;
}

int range_index_remove(struct stoa_range_lock *lock,
                       struct range_record *record)
{
	_Atomic uint32_t *place = young_place(lock, range_number(lock, record));
	int result = 0;

	if (place)
		set(*place, 0);
	else
		result = remove_from(lock, RANGE_PLACE, record) ?:
		         remove_from(lock, RANGE_OWN, record);
	set_flag(record, RANGE_OWN, 0);
	return result;
}

static struct range_record *own_in_tree(struct stoa_range_lock *lock,
                                        uint64_t owner, uint64_t from)
{
	uint32_t number = get(*root_of(lock, RANGE_OWN, owner));
	struct range_record *found = NULL;

	for (int depth = 0; number && depth < RANGE_DEPTH_MAX; depth++) {
		struct range_record *node = range_at(lock, number);

		if (stoa_unlikely(!node))
			return NULL; /* an insert or removal will tell */
		uint64_t other = get(node->owner);
		int right = other != owner ? other < owner :
		                             get(node->last) < from;
		if (other == owner && !right)
			found = node;
		number = link_of(node, RANGE_OWN, right);
	}
	return found;
}

struct range_record *range_index_own(struct stoa_range_lock *lock,
                                     uint64_t owner, uint64_t from)
{
	struct range_record *found = own_in_tree(lock, owner, from);

	for (int i = 0; i < RANGE_YOUNG; i++) {
		struct range_record *young =
		        range_at(lock, get(lock->control->young[i]));

		if (young && get(young->owner) == owner &&
		    get(young->last) >= from &&
		    (!found || get(young->start) < get(found->start)))
			found = young;
	}
	return found;
}

/* ---- Conflicts --------------------------------------------------------------- */

static inline int may_conflict(const struct range_record *node,
                               const struct range_request *request)
{
	if (request->mode == STOA_RANGE_EXCLUSIVE)
		return get(node->most) >= request->start;
	return has_exclusive(node) &&
	       get(node->most_exclusive) >= request->start;
}

/* Whether the request can't be granted while the node is there. */
static inline int is_in_the_way(const struct range_record *node,
                                const struct range_request *request)
{
	uint64_t word = get(node->word);

	if (word == 0 || get(node->owner) == request->owner ||
	    get(node->last) < request->start ||
	    get(node->start) > request->last)
		return 0;
	return request->mode == STOA_RANGE_EXCLUSIVE ||
	       RANGE_WORD_MODE(word) == STOA_RANGE_EXCLUSIVE;
}

/* In their order by start; the last is left out if there are too many. */
static void note_blocker(const struct range_record *node,
                         struct range_request *request)
{
	struct range_blocker blocker = { get(node->word), get(node->start),
		                         get(node->last), 0 };
	uint32_t at = request->blockers;

	if (at == RANGE_BLOCKERS) {
		if (request->blocker[--at].start <= blocker.start)
			return;
	} else {
		request->blockers++;
	}
	for (; at > 0 && request->blocker[at - 1].start > blocker.start; at--)
		request->blocker[at] = request->blocker[at - 1];
	request->blocker[at] = blocker;
}

static int conflicts_in_tree(struct stoa_range_lock *lock,
                             struct range_request *request)
{
	uint32_t number = get(lock->control->place_root);
	struct path path;

	path.depth = 0;
	for (uint32_t steps = 0; steps <= lock->capacity; steps++) {
		while (number) {
			struct range_record *node = range_at(lock, number);

			if (stoa_unlikely(!node))
				return -EUCLEAN;
			if (!may_conflict(node, request))
				break;
			if (stoa_unlikely(push(&path, node, 0) < 0))
				return -EUCLEAN;
			number = link_of(node, RANGE_PLACE, 0);
		}
		if (path.depth == 0)
			return 0;
		struct range_record *node = path.node[--path.depth];
		if (get(node->start) > request->last)
			return 0;
		if (is_in_the_way(node, request))
			note_blocker(node, request);
		if (request->blockers == RANGE_BLOCKERS)
			return 0;
		number = link_of(node, RANGE_PLACE, 1);
	}
	return -EUCLEAN;
}

int range_index_conflicts(struct stoa_range_lock *lock,
                          struct range_request *request)
{
	int result = conflicts_in_tree(lock, request);

	for (int i = 0; i < RANGE_YOUNG; i++) {
		struct range_record *young =
		        range_at(lock, get(lock->control->young[i]));

		if (young && is_in_the_way(young, request))
			note_blocker(young, request);
	}
	return result;
}
