/* SPDX-License-Identifier: MIT */
/* kernel/terminal_play.c: reads recordings: asciicast v2, every byte of which
 * is foreign. */
#include <base/error.h>
#include <base/system.h>
#include <kernel/terminal_json.h>
#include <kernel/terminal_layout.h>
#include <stoa/terminal.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST ((size_t)16 << 20)
#define ROOM_FIRST ((size_t)65536)
#define BILLION INT64_C(1000000000)
#define NS_MOST (INT64_C(1000000000) * BILLION) /* 31 years */

struct stoa_terminal_player {
	int fd;
	int at_end;   /* of the file */
	int cut;      /* the line in hand had no end */
	uint64_t line; /* number of the line in hand */
	int64_t last_ns;
	char *header; /* the first line, whose strings are told */
	/* room[begin .. end) was read and not given yet. */
	char *room;
	size_t size, begin, end;
};

/* ---- Lines -------------------------------------------------------------------- */

/* More room behind what was read. */
static int make_room(struct stoa_terminal_player *player)
{
	size_t used = player->end - player->begin, size = player->size;
	char *more;

	if (used > 0)
		memmove(player->room, player->room + player->begin, used);
	player->begin = 0;
	player->end = used;
	if (used < size)
		return 0;
	if (size >= LINE_MOST)
		return stoa_fail(-EBADMSG,
		                 "line %llu of the recording has over 16 MiB",
		                 (unsigned long long)player->line);
	size = size ? 2 * size : ROOM_FIRST;
	more = realloc(player->room, size);
	if (!more)
		return stoa_fail(-ENOMEM, "no memory to read the recording");
	player->room = more;
	player->size = size;
	return 0;
}

static int read_more(struct stoa_terminal_player *player)
{
	int result = player->end == player->size ? make_room(player) : 0;
	ssize_t got;

	if (result < 0)
		return result;
	do
		got = stoa_sys_read(player->fd, player->room + player->end,
		                    player->size - player->end);
	while (got == -EINTR);
	if (got < 0)
		return stoa_fail((int)got, "can't read the recording: %s",
		                 strerror((int)-got));
	player->end += (size_t)got;
	player->at_end = got == 0;
	return 0;
}

/* The next line, without its end. 1, or 0 at the end of the file. */
static int next_line(struct stoa_terminal_player *player, struct json *ret_line)
{
	size_t looked = 0;
	char *end = NULL, *begin;

	player->line++;
	for (;;) {
		begin = player->room + player->begin;
		if (player->end > player->begin)
			end = memchr(begin + looked, '\n',
			             player->end - player->begin - looked);
		if (end || player->at_end)
			break;
		looked = player->end - player->begin;
		int result = read_more(player);

		if (result < 0)
			return result;
	}
	player->cut = end == NULL;
	if (player->cut && player->end == player->begin)
		return 0;
	if (player->cut)
		end = player->room + player->end;
	*ret_line = (struct json){ begin, end, NULL };
	player->begin += (size_t)(end - begin) + !player->cut;
	return 1;
}

static int complain(const struct stoa_terminal_player *player, int result,
                    const struct json *json)
{
	if (result != -EBADMSG)
		return result;
	return stoa_fail(result, "line %llu of the recording can't be used: %s",
	                 (unsigned long long)player->line,
	                 json->wrong ? json->wrong : "it isn't JSON");
}

static int expect_end(struct json *json)
{
	json_peek(json);
	return json->at == json->end ?
	               0 :
	               json_wrong(json, "there is more than belongs there");
}

/* ---- The first line -------------------------------------------------------------- */

static int take_side(struct json *json, uint16_t *ret_side)
{
	int64_t value;
	int result = json_number(json, &value);

	if (result < 0)
		return result;
	if (value % BILLION != 0 || value < BILLION ||
	    value > TERMINAL_SIDE_MOST * BILLION)
		return json_wrong(json, "the size isn't 1 to 9999");
	*ret_side = (uint16_t)(value / BILLION);
	return 0;
}

/* What may be null, or of another type in some files, isn't told then. */
static int take_text(struct json *json, const char **ret_text)
{
	size_t bytes;

	if (json_peek(json) != '"')
		return json_skip(json);
	return json_string(json, ret_text, &bytes);
}

static int take_time(struct json *json, int64_t *ret_ns)
{
	char next = json_peek(json);
	int64_t ns;
	int result;

	if (next < '0' || next > '9')
		return json_skip(json);
	result = json_number(json, &ns);
	if (result == 0)
		*ret_ns = ns;
	return result;
}

static int take_environment(struct json *json, struct stoa_terminal_cast *cast)
{
	const char *name;
	int first = 1, result;

	if (!json_maybe(json, '{'))
		return json_skip(json);
	while ((result = json_member(json, &first, &name)) == 1) {
		if (strcmp(name, "SHELL") == 0)
			result = take_text(json, &cast->shell);
		else if (strcmp(name, "TERM") == 0)
			result = take_text(json, &cast->term);
		else
			result = json_skip(json);
		if (result < 0)
			break;
	}
	return result;
}

static int take_header_member(struct json *json, const char *name,
                              int64_t *version, struct stoa_terminal_cast *cast)
{
	if (strcmp(name, "version") == 0)
		return json_number(json, version);
	if (strcmp(name, "width") == 0)
		return take_side(json, &cast->window.columns);
	if (strcmp(name, "height") == 0)
		return take_side(json, &cast->window.rows);
	if (strcmp(name, "timestamp") == 0)
		return take_time(json, &cast->started_ns);
	if (strcmp(name, "idle_time_limit") == 0)
		return take_time(json, &cast->idle_limit_ns);
	if (strcmp(name, "command") == 0)
		return take_text(json, &cast->command);
	if (strcmp(name, "title") == 0)
		return take_text(json, &cast->title);
	if (strcmp(name, "env") == 0)
		return take_environment(json, cast);
	return json_skip(json);
}

static int take_header(struct json *json, struct stoa_terminal_cast *cast)
{
	int64_t version = 0;
	const char *name;
	int first = 1, result;

	if (!json_maybe(json, '{'))
		return stoa_fail(-EPROTO, "this isn't an asciicast v2: its "
		                          "first line is no JSON object");
	while ((result = json_member(json, &first, &name)) == 1) {
		result = take_header_member(json, name, &version, cast);
		if (version != 0 && version != 2 * BILLION)
			return stoa_fail(-EPROTO,
			                 "this isn't an asciicast v2: its "
			                 "version is another");
		if (result < 0)
			break;
	}
	if (result == 0)
		result = expect_end(json);
	if (result < 0)
		return result;
	if (version == 0)
		return stoa_fail(-EPROTO, "this isn't an asciicast v2: its "
		                          "first line tells no version");
	if (cast->window.rows == 0 || cast->window.columns == 0)
		return json_wrong(json, "it tells no width or height");
	return 0;
}

/* The line is copied: its strings outlive the room that it was read into. */
static int read_header(struct stoa_terminal_player *player,
                       struct stoa_terminal_cast *cast)
{
	struct json json;
	int result = next_line(player, &json);

	if (result < 0)
		return result;
	if (result == 0)
		return stoa_fail(-EPROTO, "this isn't an asciicast v2: it is "
		                          "empty");
	size_t bytes = (size_t)(json.end - json.at);

	player->header = malloc(bytes + 1);
	if (!player->header)
		return stoa_fail(-ENOMEM, "no memory to read the recording");
	memcpy(player->header, json.at, bytes);
	json.at = player->header;
	json.end = player->header + bytes;
	return complain(player, take_header(&json, cast), &json);
}

int stoa_terminal_player_open(int fd, struct stoa_terminal_cast *ret_cast,
                              struct stoa_terminal_player **ret_player)
{
	struct stoa_terminal_cast cast = { .size = sizeof(cast) };

	if (ret_cast->size != sizeof(cast))
		return stoa_fail(-EINVAL, "recording: size must be "
		                          "sizeof(struct stoa_terminal_cast)");
	struct stoa_terminal_player *player = calloc(1, sizeof(*player));

	if (!player)
		return stoa_fail(-ENOMEM, "no memory to read the recording");
	player->fd = fd;
	int result = make_room(player);

	if (result == 0)
		result = read_header(player, &cast);

	if (result < 0) {
		stoa_terminal_player_close(player);
		return result;
	}
	*ret_cast = cast;
	*ret_player = player;
	return 0;
}

void stoa_terminal_player_close(struct stoa_terminal_player *player)
{
	if (!player)
		return;
	free(player->header);
	free(player->room);
	free(player);
}

/* ---- Events ------------------------------------------------------------------------ */

/* "80x24". */
static int read_size(struct json *json, const char *text, size_t bytes,
                     struct stoa_terminal_size *ret_size)
{
	unsigned side[2] = { 0, 0 };
	int which = 0;

	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == 'x' && which == 0 && side[0] > 0)
			which = 1;
		else if (text[i] >= '0' && text[i] <= '9' &&
		         side[which] <= TERMINAL_SIDE_MOST)
			side[which] = side[which] * 10 +
			              (unsigned)(text[i] - '0');
		else
			return json_wrong(json, "the size isn't WIDTHxHEIGHT");
	}
	if (side[0] < 1 || side[0] > TERMINAL_SIDE_MOST || side[1] < 1 ||
	    side[1] > TERMINAL_SIDE_MOST)
		return json_wrong(json, "the size isn't 1 to 9999");
	ret_size->columns = (uint16_t)side[0];
	ret_size->rows = (uint16_t)side[1];
	return 0;
}

static int take_start(struct json *json, int64_t *ret_ns, char *ret_kind)
{
	const char *kind;
	size_t bytes;
	int result = json_take(json, '[');

	if (result == 0)
		result = json_number(json, ret_ns);
	if (result == 0 && (*ret_ns < 0 || *ret_ns > NS_MOST))
		result = json_wrong(json, "its time can't be");
	if (result == 0)
		result = json_take(json, ',');
	if (result == 0)
		result = json_string(json, &kind, &bytes);
	if (result == 0)
		result = json_take(json, ',');
	if (result == 0)
		*ret_kind = bytes == 1 ? kind[0] : '\0';
	return result;
}

/* 1: an event; 0: one of a kind that we pass over. */
static int take_event(struct json *json, struct stoa_terminal_frame *frame)
{
	int result = take_start(json, &frame->ns, &frame->kind), known;

	if (result < 0)
		return result;
	known = frame->kind && strchr("oirm", frame->kind) != NULL;
	result = known ? json_string(json, &frame->data, &frame->bytes) :
	                 json_skip(json);
	if (result == 0)
		result = json_take(json, ']');
	if (result == 0)
		result = expect_end(json);
	if (result == 0 && frame->kind == 'r')
		result = read_size(json, frame->data, frame->bytes,
		                   &frame->window);
	return result < 0 ? result : known;
}

int stoa_terminal_player_next(struct stoa_terminal_player *player,
                              struct stoa_terminal_frame *ret_frame)
{
	for (;;) {
		struct stoa_terminal_frame frame = { .kind = 0 };
		struct json json;
		int result = next_line(player, &json);

		if (result <= 0)
			return result;
		if (json_peek(&json) == '\0' && json.at == json.end)
			continue; /* blank */
		result = take_event(&json, &frame);
		if (result == -EBADMSG && player->cut)
			return stoa_fail(-ENODATA,
			                 "the recording was cut short in its "
			                 "line %llu",
			                 (unsigned long long)player->line);
		if (result < 0)
			return complain(player, result, &json);
		if (result == 0)
			continue;
		if (frame.ns < player->last_ns)
			frame.ns = player->last_ns;
		player->last_ns = frame.ns;
		frame.line = player->line;
		*ret_frame = frame;
		return 1;
	}
}
