/* SPDX-License-Identifier: MIT */
/*
 * session.c: a peer that may write a terminal session's topics and queue
 * publishes and sends what no keeper and no client does (kernel/terminal_layout.h
 * says what they do): aimed, one by one; and at random without end. Clients,
 * the keeper, whoever lists, and the stoa command must go on, give nothing but
 * what is promised, and print nothing that a terminal would obey.
 * HOSTILE_SECONDS says how long the last takes, three times over.
 */
#include "hostile.h"

#include <kernel/terminal_layout.h>

#include <limits.h>
#include <signal.h>
#include <sys/mman.h>

enum {
	SECONDS_DEFAULT = 18,
	SHARE = 3, /* of HOSTILE_SECONDS */
	RUN_MS = 5, /* of the keeper, between two looks */
	CODE_MOST = 255,
	SIGNAL_MOST = 64,
};

static const char name[] = "s";

/* Copies all it reads, heeds no hang-up, and takes no byte for a command. */
static char *const copier[] = {
	"sh", "-c", "trap '' HUP; stty raw -echo; echo ready; exec cat", NULL
};

static struct stoa_space *space;
static struct stoa_terminal *terminal;
static struct stoa_terminal_client *client;
static char buffer[STOA_TERMINAL_CHUNK];
static bool own_bytes_alone; /* nothing but these tests' bytes is typed */

/* The peer's own handles. */
static struct stoa_topic *output, *states;
static struct stoa_queue *input;

static void open_as_peer(void)
{
	must(stoa_topic_open(space, "s" TERMINAL_SUFFIX, STOA_WRITE, 0, NULL,
	                     &output),
	     "open the output");
	must(stoa_topic_open(space, "s" TERMINAL_STATE_SUFFIX, STOA_WRITE, 0,
	                     NULL, &states),
	     "open the state");
	must(stoa_queue_open(space, "s" TERMINAL_SUFFIX, STOA_WRITE, 0, NULL,
	                     &input),
	     "open the input");
}

static void close_as_peer(void)
{
	stoa_topic_close(output);
	stoa_topic_close(states);
	stoa_queue_close(input);
}

/* ---- What is promised ----------------------------------------------------- */

/* The result is good, or one of these; they end with 0. */
static long long promised(const char *what, long long result, const int *errors)
{
	if (result >= 0)
		return result;
	for (; *errors; errors++)
		if (result == -*errors)
			return result;
	finding("%s answered %lld (%s)", what, result, strerror((int)-result));
}

static void check_window(const struct stoa_terminal_size *window)
{
	if (window->rows < 1 || window->rows > TERMINAL_SIDE_MOST ||
	    window->columns < 1 || window->columns > TERMINAL_SIDE_MOST)
		finding("a size of %u rows and %u columns is told",
		        window->rows, window->columns);
}

static void check_status(const struct stoa_terminal_status *status)
{
	if (status->ended > 1 || status->unknown > 1 || status->code < 0 ||
	    status->code > CODE_MOST || status->number < 0 ||
	    status->number > SIGNAL_MOST)
		finding("an end by code %d, signal %d, unknown %u is told",
		        status->code, status->number, status->unknown);
}

static void check_event(const struct stoa_terminal_event *event)
{
	switch (event->kind) {
	case STOA_TERMINAL_OUTPUT:
		if (event->data < buffer || event->bytes == 0 ||
		    event->data + event->bytes > buffer + sizeof(buffer))
			finding("%zu bytes of output outside the buffer",
			        event->bytes);
		sum_of(event->data, event->bytes);
		return;
	case STOA_TERMINAL_SIZE: check_window(&event->window); return;
	case STOA_TERMINAL_END:
		check_status(&event->status);
		if (!event->status.ended)
			finding("an end that is none");
		return;
	}
	finding("an event of kind %d", event->kind);
}

/* Ends within its room, and holds nothing that a terminal obeys. */
static void check_text(const char *what, const char *text, size_t room)
{
	size_t length = strnlen(text, room);

	if (length == room)
		finding("%s has no end", what);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f ||
		    ((unsigned char)text[i] == 0xc2 &&
		     (unsigned char)text[i + 1] < 0xa0))
			finding("%s has the byte 0x%02x", what,
			        (unsigned char)text[i]);
}

static int check_info(const struct stoa_terminal_info *info, void *context)
{
	static const int healths[] = { ECONNRESET, EPROTO, 0 };

	++*(int *)context;
	check_text("a name", info->name, sizeof(info->name));
	check_text("a command", info->command, sizeof(info->command));
	check_text("a title", info->title, sizeof(info->title));
	check_status(&info->status);
	promised("health", info->health, healths);
	if (info->started_ns != 0)
		check_window(&info->window);
	if (info->pid < 0 || info->keeper_pid < 0)
		finding("the processes %d and %d are told", info->pid,
		        info->keeper_pid);
	return 0;
}

/* ---- Operations ------------------------------------------------------------- */

/* One event, if there is one: the result of next. */
static int see_next(void)
{
	static const int errors[] = { EAGAIN, ETIMEDOUT, EPIPE, ECONNRESET, 0 };
	struct stoa_terminal_event event;
	long long result;

	watch_operation("next", 0);
	result = promised("next",
	                  stoa_terminal_next(client, buffer, sizeof(buffer),
	                                     STOA_NOW, &event),
	                  errors);
	operation_done();
	if (result == 0)
		check_event(&event);
	return result == 0 ? (int)event.kind : (int)result;
}

static int attach(void)
{
	static const int errors[] = { ENOENT, ECONNRESET, EPROTO, 0 };
	long long result;

	watch_operation("attach", 2 * SECOND);
	result = promised("attach",
	                  stoa_terminal_attach(space, name,
	                                       STOA_READ | STOA_WRITE, &client),
	                  errors);
	operation_done();
	return (int)result;
}

static void detach(void)
{
	stoa_terminal_detach(client);
	client = NULL;
}

static void look_around(void)
{
	static const int errors[] = { ENOENT, 0 },
			 busy[] = { EBUSY, ENOENT, 0 };
	struct stoa_terminal_info info;
	int seen = 0;

	watch_operation("find", 0);
	if (promised("find", stoa_terminal_find(space, name, &info), errors) ==
	    0)
		check_info(&info, &seen);
	watch_operation("each", 0);
	promised("each", stoa_terminal_each(space, check_info, &seen), errors);
	watch_operation("clean", 0);
	if (stoa_terminal_clean(space, 0, NULL, NULL) != 0)
		finding("a session whose keeper lives is cleaned away");
	watch_operation("remove", 0);
	if (promised("remove", stoa_terminal_remove(space, name), busy) == 0)
		finding("a session whose keeper lives is removed");
	operation_done();
}

static void keep(struct stoa_deadline deadline, int64_t patience_ns)
{
	static const int errors[] = { EAGAIN, ETIMEDOUT, 0 };
	struct stoa_terminal_size size;

	watch_operation("run", patience_ns);
	if (promised("run", stoa_terminal_run(terminal, -1, deadline),
	             errors) == 0)
		finding("the session has ended");
	operation_done();
	must(stoa_terminal_get_size(stoa_terminal_controller(terminal), &size),
	     "the terminal's size");
	check_window(&size);
}

/* ---- A session --------------------------------------------------------------- */

static void begin_session(void)
{
	find_command();
	space = open_space();
	must(stoa_terminal_start(space, name, NULL, copier, &terminal),
	     "start");
	open_as_peer();
	must(stoa_terminal_attach(space, name, STOA_READ | STOA_WRITE, &client),
	     "attach");
}

static void end_session(void)
{
	detach();
	close_as_peer();
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

#define TYPED '\377'

static void check_typed(char c)
{
	if (own_bytes_alone && c != TYPED && !strchr("<honest 0123456789>", c))
		finding("the byte 0x%02x was typed by nobody",
		        (unsigned char)c);
}

/* Keeps the session until the client is given `text` by the command, whatever
 * there was before. */
static void until_seen(const char *text)
{
	char window[64] = { 0 };
	size_t length = strlen(text);
	struct stoa_terminal_event event;

	for (;;) {
		int result = stoa_terminal_next(client, buffer, sizeof(buffer),
		                                STOA_NOW, &event);

		if (result == -EAGAIN) {
			keep(stoa_deadline_in(RUN_MS * MS), RUN_MS * MS);
			continue;
		}
		if (result != 0)
			finding("next answered %d", result);
		check_event(&event);
		for (size_t i = 0;
		     event.kind == STOA_TERMINAL_OUTPUT && i < event.bytes;
		     i++) {
			memmove(window, window + 1, length - 1);
			window[length - 1] = event.data[i];
			check_typed(event.data[i]);
			if (memcmp(window, text, length) == 0)
				return;
		}
	}
}

/* What an honest client types comes back: nothing has come to harm. */
static void assert_works(void)
{
	static unsigned count;
	char text[32];

	snprintf(text, sizeof(text), "<honest %u>", count++);
	watch_operation("send", 0);
	must(stoa_terminal_send(client, text, strlen(text), NULL, STOA_FOREVER),
	     "type");
	until_seen(text);
}

/* ---- Aimed at clients ----------------------------------------------------------- */

static void publish(const void *message, size_t bytes)
{
	must(stoa_topic_publish(output, message, bytes, STOA_FOREVER),
	     "publish");
}

/* The kind of the event that the client makes of it; -EAGAIN: of none. */
static int told_of(char kind, const void *rest, size_t bytes)
{
	char message[TERMINAL_MESSAGE_MOST];

	message[0] = kind;
	memcpy(message + 1, rest, bytes);
	trial("an event of kind %d and %zu bytes", kind, bytes);
	publish(message, 1 + bytes);
	return see_next();
}

static int told_of_end(struct terminal_end end)
{
	return told_of('x', &end, sizeof(end));
}

static void attach_anew(void)
{
	detach();
	if (attach() < 0)
		finding("can't attach any more");
	must(stoa_terminal_skip(client), "skip");
}

TEST(a_client_takes_events_of_the_right_kind_and_size_alone)
{
	static const size_t sizes[] = { 0,  1,  7,   8,   9,    15,
		                        16, 17, 239, 240, 4094, 4095 };
	static const char rest[TERMINAL_MESSAGE_MOST] = { 1, 0, 1, 0 };
	static const char good_end[TERMINAL_MESSAGE_MOST] = { 7 };

	begin_session();
	until_seen("ready");
	for (int kind = CHAR_MIN; kind <= CHAR_MAX; kind++)
		for (size_t i = 0; i < LENGTH(sizes); i++) {
			bool whole = kind == 'o' ? sizes[i] > 0
			             : kind == 'r'
			                     ? sizes[i] == 8
			                     : kind == 'x' && sizes[i] == 16;
			int result = told_of((char)kind,
			                     kind == 'x' ? good_end : rest,
			                     sizes[i]);

			if (result != (whole ? kind : -EAGAIN))
				finding("it became %d", result);
			if (result == 'x')
				attach_anew();
		}
	publish("", 0);
	assert_result(see_next(), -EAGAIN);
	assert_works();
	end_session();
}

TEST(a_client_is_told_no_size_and_no_end_that_cannot_be)
{
	static const uint16_t sides[] = { 0, 1, 9999, 10000, 32768, 65535 };
	static const int32_t numbers[] = { 0,   1,    64,      65, 255,
		                           256, 1000, INT_MAX, -1, INT_MIN };

	begin_session();
	until_seen("ready");
	for (size_t i = 0; i < LENGTH(sides); i++)
		for (size_t j = 0; j < LENGTH(sides); j++) {
			struct terminal_window window = { sides[i], sides[j],
				                          sides[j], sides[i] };

			told_of('r', &window, sizeof(window));
		}
	for (size_t i = 0; i < LENGTH(numbers); i++)
		for (size_t j = 0; j < LENGTH(numbers); j++) {
			struct terminal_end end = { numbers[i], numbers[j],
				                    (uint32_t)numbers[j],
				                    (uint32_t)numbers[i] };

			if (told_of_end(end) == 'x')
				attach_anew();
		}
	assert_works();
	end_session();
}

/* One that sees no event among any number of others' still keeps its time. */
TEST(a_client_of_nothing_but_nonsense_keeps_its_deadline)
{
	struct stoa_terminal_event event;

	begin_session();
	until_seen("ready");
	for (int i = 0; i < 1000; i++)
		publish("?", 1);
	watch_operation("next", 20 * MS);
	assert_result(stoa_terminal_next(client, buffer, sizeof(buffer),
	                                 stoa_deadline_in(20 * MS), &event),
	              -ETIMEDOUT);
	operation_done();
	assert_works();
	end_session();
}

/* ---- Aimed at the keeper ---------------------------------------------------------- */

static void put_request(const void *message, size_t bytes)
{
	trial("a request of kind %d and %zu bytes",
	      bytes > 0 ? *(const unsigned char *)message : -1, bytes);
	must(stoa_queue_send(input, message, bytes, STOA_FOREVER), "send");
	keep(STOA_NOW, 0);
}

TEST(a_keeper_obeys_requests_of_the_right_kind_and_size_alone)
{
	static const size_t sizes[] = { 0, 1, 8, 15, 16, 17, 4095, 4096 };
	char message[TERMINAL_MESSAGE_MOST];

	begin_session();
	until_seen("ready\n");
	own_bytes_alone = true;
	for (int kind = 0; kind <= UCHAR_MAX; kind++)
		for (size_t i = 0; i < LENGTH(sizes); i++) {
			memset(message, TYPED, sizeof(message));
			message[0] = (char)kind;
			put_request(message, sizes[i]);
		}
	assert_works();
	end_session();
}

/* What the last one left in the keeper's buffer isn't taken for its rest. */
TEST(a_request_that_is_cut_asks_for_nothing)
{
	const struct stoa_terminal_size other = { 24, 80, 0, 0 };
	const struct terminal_request request = { .kind = 'r',
		                                  .window = { 30, 90, 0, 0 } };
	struct stoa_terminal_size size;

	begin_session();
	until_seen("ready");
	for (size_t bytes = 0; bytes < sizeof(request); bytes++) {
		put_request(&request, sizeof(request));
		must(stoa_terminal_resize(terminal, &other), "resize");
		put_request(&request, bytes);
		must(stoa_terminal_get_size(stoa_terminal_controller(terminal),
		                            &size),
		     "the terminal's size");
		if (memcmp(&size, &other, sizeof(size)) != 0)
			finding("%zu bytes of a request made it %ux%u", bytes,
			        size.rows, size.columns);
	}
	assert_works();
	end_session();
}

TEST(a_keeper_takes_no_size_that_cannot_be)
{
	static const uint16_t sides[] = { 0, 1, 9999, 10000, 65535 };
	static const char kinds[] = { 'i', 'r', 'd', 0, '?' };

	begin_session();
	until_seen("ready");
	for (size_t i = 0; i < LENGTH(sides); i++)
		for (size_t j = 0; j < LENGTH(sides); j++)
			for (size_t k = 0; k < LENGTH(kinds); k++) {
				struct terminal_request request = {
					.kind = (uint8_t)kinds[k],
					.zero = { 255, 255 },
					.window = { sides[i], sides[j], 65535,
					            65535 },
				};

				put_request(&request, sizeof(request));
			}
	assert_works();
	end_session();
}

/* ---- Aimed at whoever looks --------------------------------------------------------- */

static struct terminal_state honest(void)
{
	struct terminal_state copy;
	struct stoa_topic *reader;

	must(stoa_topic_open(space, "s" TERMINAL_STATE_SUFFIX, STOA_READ, 0,
	                     NULL, &reader),
	     "open the state");
	if (stoa_topic_latest(reader, &copy, sizeof(copy), NULL) !=
	    (ssize_t)sizeof(copy))
		finding("no state");
	stoa_topic_close(reader);
	return copy;
}

static void look_by_command(void)
{
	static const char *const commands[][4] = {
		{ "terminal", "ls", NULL },
		{ "terminal", "ls", "--json", NULL },
		{ "terminal", "size", "s", NULL },
		{ "terminal", "rm", "s", NULL },
	};

	for (size_t i = 0; i < LENGTH(commands); i++)
		run_command(commands[i]);
}

static void try_state(const void *message, size_t bytes)
{
	must(stoa_topic_publish(states, message, bytes, STOA_FOREVER),
	     "publish");
	look_around();
	detach();
	attach();
	if (client != NULL)
		see_next();
}

static const char evil[] = "\033]0;x\a\033[2J\x9b"
			   "5n\xc2\x9b"
			   "6n\r\n\b\x7f\xe2\x80\xae\xff\xf4\x90\x80\x80";

static void fill_text(char text[TERMINAL_TEXT_MOST + 1])
{
	for (size_t i = 0; i <= TERMINAL_TEXT_MOST; i++)
		text[i] = evil[i % (sizeof(evil) - 1)];
}

/* A lie of its own for each number; false: there is no such. */
static bool lie(struct terminal_state *lying, unsigned number)
{
	static const uint32_t odd[] = {
		0, 1, 254, 255, 256, INT_MAX, UINT_MAX
	};
	static const int64_t times[] = { INT64_MIN,        -1,       0, 1,
		                         INT64_C(1) << 62, INT64_MAX };

	if (number < LENGTH(odd)) {
		fill_text(lying->command);
		lying->command_bytes = odd[number];
		return true;
	}
	number -= LENGTH(odd);
	if (number < LENGTH(odd)) {
		fill_text(lying->title);
		lying->title_bytes = odd[number];
		return true;
	}
	number -= LENGTH(odd);
	if (number < LENGTH(odd)) {
		lying->window =
			(struct terminal_window){ (uint16_t)odd[number],
			                          (uint16_t)odd[number], 0, 0 };
		return true;
	}
	number -= LENGTH(odd);
	if (number < LENGTH(odd)) {
		lying->pid = lying->keeper_pid = (int32_t)odd[number];
		return true;
	}
	number -= LENGTH(odd);
	if (number < LENGTH(odd)) {
		lying->keeper = (uint64_t)odd[number] << 32 | odd[number];
		return true;
	}
	number -= LENGTH(odd);
	if (number < LENGTH(odd)) {
		lying->ended = odd[number];
		lying->end = (struct terminal_end){ (int32_t)odd[number],
			                            (int32_t)odd[number],
			                            odd[number], 1 };
		return true;
	}
	number -= LENGTH(odd);
	if (number < LENGTH(times)) {
		lying->started_ns = times[number];
		return true;
	}
	number -= LENGTH(times);
	if (number == 0)
		lying->magic ^= 1;
	else if (number == 1)
		lying->zero = UINT_MAX;
	return number <= 1;
}

TEST(whoever_looks_is_told_nothing_that_cannot_be)
{
	static const size_t sizes[] = { 0, 1, 583 };
	struct terminal_state good, lying;

	begin_session();
	until_seen("ready");
	good = lying = honest();
	for (unsigned i = 0; lie(&lying, i); lying = good, i++) {
		trial("lie %u of a state", i);
		try_state(&lying, sizeof(lying));
		look_by_command();
	}
	for (size_t i = 0; i < LENGTH(sizes); i++) {
		trial("%zu bytes of a state", sizes[i]);
		try_state(&good, sizes[i]);
		look_by_command();
	}
	try_state(&good, sizeof(good));
	if (client == NULL)
		finding("can't attach any more");
	assert_works();
	end_session();
}

/* Nonsense, then the end that counts. */
TEST(the_command_attached_to_a_session_exits_as_the_true_end_says)
{
	static const char *const arguments[] = { "terminal", "attach", "s",
		                                 "--read-only", NULL };
	static const int32_t numbers[] = { INT_MAX, INT_MIN, 65, -129, 127 };

	begin_session();
	until_seen("ready");
	publish("?nonsense", 9);
	for (size_t i = 0; i < LENGTH(numbers); i++) {
		struct terminal_end end = { 256, numbers[i], 0, 0 };
		char message[1 + sizeof(end)] = { 'x' };

		memcpy(message + 1, &end, sizeof(end));
		publish(message, sizeof(message));
	}
	publish("x\007\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
	run_command_to(arguments, 7);
	end_session();
}

/* ---- At random, without end ---------------------------------------------------------- */

static struct board {
	_Atomic bool over;
	_Atomic uint64_t published, kept, seen, attached;
} * board;

/* Bytes of some kind, or something true with a few of its bits turned. */
static size_t some_bytes(uint64_t *chance, char *message, size_t most)
{
	static const char kinds[] = "oirxdh";
	size_t bytes = 1 + random_below(chance, most);

	if (random_below(chance, 4) != 0)
		bytes = 1 + random_below(chance, 32);
	for (size_t i = 0; i < bytes; i++)
		message[i] = random_below(chance, 3) == 0
		                     ? 0
		                     : (char)next_random(chance);
	if (random_below(chance, 4) != 0)
		message[0] = kinds[random_below(chance, sizeof(kinds) - 1)];
	return bytes;
}

static void forge_state(uint64_t *chance, const struct terminal_state *good)
{
	struct terminal_state lying = *good;

	if (random_below(chance, 3) == 0) {
		fill_text(lying.title);
		lying.title_bytes = (uint32_t)random_below(chance, 300);
	}
	for (uint64_t i = random_below(chance, 4); i > 0; i--)
		((char *)&lying)[random_below(chance, 80)] =
			(char)next_random(chance);
	stoa_topic_publish(states, &lying,
	                   random_below(chance, 8)
	                           ? sizeof(lying)
	                           : random_below(chance, sizeof(lying)),
	                   STOA_NOW);
}

static void forge(void *context)
{
	const struct terminal_state *good = context;
	uint64_t chance = run_seed() + 1;
	char message[TERMINAL_MESSAGE_MOST];

	while (!atomic_load(&board->over)) {
		size_t bytes = some_bytes(&chance, message, sizeof(message));

		switch (random_below(&chance, 4)) {
		case 0:
			stoa_topic_publish(output, message, bytes, STOA_NOW);
			break;
		case 1: forge_state(&chance, good); break;
		default: stoa_queue_send(input, message, bytes, STOA_NOW);
		}
		atomic_fetch_add(&board->published, 1);
	}
}

static void be_keeper(void *context)
{
	(void)context;
	space = open_space();
	must(stoa_terminal_start(space, name, NULL, copier, &terminal),
	     "start");
	must(stoa_terminal_attach(space, name, STOA_READ, &client), "attach");
	until_seen("ready"); /* from here on no byte is a signal */
	detach();
	report(0);
	while (!atomic_load(&board->over)) {
		keep(stoa_deadline_in(RUN_MS * MS), RUN_MS * MS);
		atomic_fetch_add(&board->kept, 1);
	}
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

/* A client for some events. */
static void watch_and_type(uint64_t *chance)
{
	static const int errors[] = { EAGAIN, ECONNRESET, 0 };
	struct stoa_terminal_size size = { 30, 90, 0, 0 };

	if (attach() < 0)
		return;
	atomic_fetch_add(&board->attached, 1);
	for (uint64_t i = random_below(chance, 100); i > 0; i--) {
		int result = see_next();

		if (result == -EPIPE || result == -ECONNRESET)
			break;
		atomic_fetch_add(&board->seen, result > 0);
		watch_operation("send", 0);
		promised("send",
		         stoa_terminal_send(client, "typed", 5, &size,
		                            STOA_NOW),
		         errors);
		promised("ask",
		         stoa_terminal_ask(client, STOA_TERMINAL_REDRAW, NULL,
		                           STOA_NOW),
		         errors);
		operation_done();
	}
	detach();
}

/* On a busy machine somebody may not have had the processor in the time. */
static bool is_tried(void)
{
	return atomic_load(&board->published) > 0 &&
	       atomic_load(&board->kept) > 0 &&
	       atomic_load(&board->attached) > 0 &&
	       atomic_load(&board->seen) > 0;
}

static int64_t share_ns(void)
{
	const char *given = getenv("HOSTILE_SECONDS");

	return (given != NULL ? atoi(given) : SECONDS_DEFAULT) * SECOND / SHARE;
}

TEST(everybody_goes_on_while_a_peer_sends_whatever_it_likes)
{
	static const char *const list[] = { "terminal", "ls", NULL };
	int64_t until_ns = now_ns() + share_ns();
	uint64_t chance = run_seed();
	struct terminal_state good;
	struct child keeper, forger;

	find_command();
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	keeper = start_child(be_keeper, NULL);
	await_report(&keeper);
	space = open_space();
	open_as_peer();
	good = honest();
	forger = start_child(forge, &good);
	trial("at random");
	while (now_ns() < until_ns || !is_tried()) {
		if (has_report(&keeper) || has_report(&forger))
			finding("the keeper or the peer has ended");
		look_around();
		watch_and_type(&chance);
		if (random_below(&chance, 16) == 0)
			run_command(list);
	}
	atomic_store(&board->over, true);
	end_child(&forger);
	end_child(&keeper);
	remark("session: %llu messages, %llu rounds kept, %llu events seen by "
	       "%llu clients",
	       (unsigned long long)board->published,
	       (unsigned long long)board->kept, (unsigned long long)board->seen,
	       (unsigned long long)board->attached);
	close_as_peer();
	stoa_space_close(space);
	munmap(board, sizeof(*board));
}

static const struct CMUnitTest cases[] = {
	CASE(a_client_takes_events_of_the_right_kind_and_size_alone),
	CASE(a_client_is_told_no_size_and_no_end_that_cannot_be),
	CASE(a_client_of_nothing_but_nonsense_keeps_its_deadline),
	CASE(a_keeper_obeys_requests_of_the_right_kind_and_size_alone),
	CASE(a_request_that_is_cut_asks_for_nothing),
	CASE(a_keeper_takes_no_size_that_cannot_be),
	CASE(whoever_looks_is_told_nothing_that_cannot_be),
	CASE(the_command_attached_to_a_session_exits_as_the_true_end_says),
	CASE(everybody_goes_on_while_a_peer_sends_whatever_it_likes),
};

int main(int argc, char **argv)
{
	watchdog_start();
	return run_cases(argc, argv, cases, LENGTH(cases));
}
