/* SPDX-License-Identifier: MIT */
/*
 * topic_record.c: stoa topic record and replay.
 *
 * A recording begins with the 8 bytes "STOATOP1". Then each message: all
 * numbers are unsigned and little-endian, but for the time, which is signed:
 *
 *   offset  bytes
 *   0       4      bytes of the topic's name, n: 1 to 200
 *   4       4      bytes of the payload, b
 *   8       8      when it was received: nanoseconds since 1970, UTC
 *   16      8      sequence in its topic
 *   24      8      messages lost to the recorder just before it
 *   32      4      process that published it
 *   36      4      0
 *   40      n      the name
 *   40 + n  b      the payload
 *
 * and nothing between one and the next. A recording that was cut short ends
 * with a part of a message, which is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "topic.h"

#define MAGIC "STOATOP1"
#define MAGIC_BYTES 8
#define HEAD_BYTES 40
#define PAYLOAD_MAX (UINT32_C(1) << 30)
#define SECOND_NS INT64_C(1000000000)

struct head {
	uint32_t name_bytes, bytes;
	int64_t time_ns;
	uint64_t sequence, lost;
	uint32_t pid;
};

static void put(unsigned char *to, uint64_t number, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = (unsigned char)(number >> 8 * i);
}

static uint64_t get(const unsigned char *from, int bytes)
{
	uint64_t number = 0;

	for (int i = 0; i < bytes; i++)
		number |= (uint64_t)from[i] << 8 * i;
	return number;
}

/* ---- record ------------------------------------------------------------------- */

static const char record_help[] =
	"Usage: stoa topic record [OPTION]... NAME\n"
	"\n"
	"Writes what is published to topic NAME from now on, or to all topics\n"
	"that match the pattern, to a file, with times, until it is stopped.\n"
	"\n"
	" -f, --file FILE      write to FILE, not to standard output\n"
	" -c, --count N        end after N messages\n"
	"     --oldest         begin with the oldest that is kept\n"
	" -w, --timeout SEC    end when nothing comes for SEC seconds; the\n"
	"                      answer is no if nothing came\n"
	TOOL_HELP_COMMON;

enum { OPTION_OLDEST = TOOL_OPTION_FIRST };

static const struct option record_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "file", required_argument, NULL, 'f' },
	{ "count", required_argument, NULL, 'c' },
	{ "oldest", no_argument, NULL, OPTION_OLDEST },
	TOOL_LONG_END
};

struct record {
	struct tool_common common;
	struct tool_topics topics;
	struct tool_out out;
	const char *file;
	uint64_t count, done, lost;
	int place;
};

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void write_one(struct tool_out *out, const char *name,
                      const struct stoa_topic_message *message)
{
	unsigned char head[HEAD_BYTES] = { 0 };
	size_t name_bytes = strlen(name);

	put(head, name_bytes, 4);
	put(head + 4, message->bytes, 4);
	put(head + 8, (uint64_t)now_ns(CLOCK_REALTIME), 8);
	put(head + 16, message->sequence, 8);
	put(head + 24, message->lost, 8);
	put(head + 32, (uint64_t)message->sender_pid, 4);
	tool_out_put(out, head, sizeof head);
	tool_out_put(out, name, name_bytes);
	tool_out_put(out, message->data, message->bytes);
}

static int record_all(struct record *record)
{
	tool_out_put(&record->out, MAGIC, MAGIC_BYTES);
	while (!record->count || record->done < record->count) {
		struct stoa_topic_message message;
		const char *name;
		int result = tool_topics_next(&record->topics, STOA_NOW,
		                              &message, &name);

		if (result == -EAGAIN) {
			result = tool_out_flush(&record->out);
			if (result == 0)
				result = tool_topics_next(
					&record->topics,
					tool_deadline(&record->common),
					&message, &name);
		}
		if (result < 0)
			return result;
		write_one(&record->out, name, &message);
		record->lost += message.lost;
		record->done++;
		if (record->out.error)
			return record->out.error;
	}
	return 0;
}

static int record_option(struct record *record, int option)
{
	switch (option) {
	case 'f': record->file = optarg; return TOOL_GO_ON;
	case 'c':
		if (tool_parse_number(optarg, UINT64_MAX, &record->count) < 0 ||
		    !record->count)
			return tool_usage(&record->common,
			                  "'%s' is not a number of messages",
			                  optarg);
		return TOOL_GO_ON;
	case OPTION_OLDEST:
		record->place = STOA_TOPIC_OLDEST;
		return TOOL_GO_ON;
	default: return tool_common_option(&record->common, option);
	}
}

static int open_output(const struct record *record)
{
	if (!record->file)
		return isatty(STDOUT_FILENO) ?
		               -ENOTTY :
		               STDOUT_FILENO;
	int fd = open(record->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	              0666);
	return fd < 0 ? -errno : fd;
}

static int record_to(struct record *record, int fd)
{
	int result, flushed;

	tool_stop_install();
	tool_out_init(&record->out, fd);
	result = record_all(record);
	flushed = tool_out_flush(&record->out);
	if (flushed < 0 && flushed != -EINTR)
		result = flushed;
	if (fd != STDOUT_FILENO && close(fd) < 0 && result >= 0)
		result = -errno;
	if (record->lost)
		tool_error("%" PRIu64 " messages were lost: they came faster "
		           "than they could be written",
		           record->lost);
	return tool_topics_leave(&record->topics, &record->common, result,
	                         record->count ? 0 : record->done);
}

int tool_topic_record(int argc, char **argv)
{
	static struct record record = {
		.common = TOOL_COMMON("topic record", record_help),
	};
	int option, result, fd;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "f:c:",
	                             record_options, NULL)) != -1) {
		result = record_option(&record, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&record.common,
		                  "the name of one topic, or one pattern, is "
		                  "needed");
	result = tool_topics_open(&record.topics, &record.common, argv[optind],
	                          record.place);
	if (result)
		return result;
	fd = open_output(&record);
	if (fd >= 0)
		return record_to(&record, fd);
	tool_topics_close(&record.topics);
	if (fd == -ENOTTY)
		return tool_usage(&record.common,
		                  "a recording is no text for a terminal: give "
		                  "--file, or redirect the output");
	return tool_error("can't write '%s': %s", record.file, strerror(-fd));
}

/* ---- replay -------------------------------------------------------------------- */

static const char replay_help[] =
	"Usage: stoa topic replay [OPTION]... [FILE]\n"
	"\n"
	"Publishes what was recorded in FILE, or comes on standard input, to\n"
	"the topics that it came from, at the pace it came.\n"
	"\n"
	" -t, --topic NAME     publish all of it to topic NAME\n"
	" -r, --rate N         N times as fast; decimals are fine; 0: without\n"
	"                      waiting\n"
	" -p, --print          only say what is in it, a line for each message\n"
	" -w, --timeout SEC    wait at most SEC seconds for room; 0 does not\n"
	"                      wait; decimals are fine\n"
	TOOL_HELP_COMMON;

static const struct option replay_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "topic", required_argument, NULL, 't' },
	{ "rate", required_argument, NULL, 'r' },
	{ "print", no_argument, NULL, 'p' },
	TOOL_LONG_END
};

struct replay {
	struct tool_common common;
	struct stoa_space *space;
	FILE *in;
	const char *file, *topic;
	double rate;
	bool print;
	struct stoa_topic *open;
	char open_name[STOA_NAME_MAX + 1];
	char name[STOA_NAME_MAX + 1];
	unsigned char *data;
	size_t room;
	uint64_t done;
	int64_t first_ns, began_ns;
};

static int bad_file(const struct replay *replay, const char *what)
{
	return tool_error("'%s' %s", replay->file, what);
}

/* 1: a message; 0: the end; else an exit code, negative. */
static int read_head(struct replay *replay, struct head *head)
{
	unsigned char bytes[HEAD_BYTES];
	size_t got = fread(bytes, 1, sizeof bytes, replay->in);

	if (got == 0)
		return 0;
	if (got < sizeof bytes)
		return -bad_file(replay, "is cut short");
	*head = (struct head){
		.name_bytes = (uint32_t)get(bytes, 4),
		.bytes = (uint32_t)get(bytes + 4, 4),
		.time_ns = (int64_t)get(bytes + 8, 8),
		.sequence = get(bytes + 16, 8),
		.lost = get(bytes + 24, 8),
		.pid = (uint32_t)get(bytes + 32, 4),
	};
	if (head->name_bytes == 0 || head->name_bytes > STOA_NAME_MAX ||
	    head->bytes > PAYLOAD_MAX)
		return -bad_file(replay, "is no recording, or was damaged");
	return 1;
}

static int read_body(struct replay *replay, const struct head *head)
{
	if (fread(replay->name, 1, head->name_bytes, replay->in) !=
	    head->name_bytes)
		return -bad_file(replay, "is cut short");
	replay->name[head->name_bytes] = '\0';
	if (replay->room < head->bytes) {
		unsigned char *more = realloc(replay->data, head->bytes);

		if (!more)
			return -tool_failure(-ENOMEM, "memory for a message");
		replay->data = more;
		replay->room = head->bytes;
	}
	if (fread(replay->data, 1, head->bytes, replay->in) != head->bytes)
		return -bad_file(replay, "is cut short");
	return 1;
}

/* Until as long after the first as it was then. */
static void keep_pace(struct replay *replay, int64_t time_ns)
{
	int64_t due;

	if (replay->done == 0) {
		replay->first_ns = time_ns;
		replay->began_ns = now_ns(CLOCK_MONOTONIC);
	}
	if (replay->rate <= 0)
		return;
	due = replay->began_ns +
	      (int64_t)((double)(time_ns - replay->first_ns) / replay->rate);
	while (now_ns(CLOCK_MONOTONIC) < due && !tool_stop_asked()) {
		struct timespec until = { due / SECOND_NS, due % SECOND_NS };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
}

static int open_target(struct replay *replay)
{
	const char *name = replay->topic ? replay->topic : replay->name;
	int result;

	if (replay->open && !strcmp(name, replay->open_name))
		return 0;
	stoa_topic_close(replay->open);
	replay->open = NULL;
	result = tool_topic_open(replay->space, name, STOA_WRITE,
	                         &replay->open);
	if (result == 0)
		snprintf(replay->open_name, sizeof replay->open_name, "%s",
		         name);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

static void print_head(const struct replay *replay, const struct head *head)
{
	char text[TOOL_TEXT_MAX];

	printf("%s %s %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRIu64 "\n",
	       tool_iso_time(head->time_ns, text), replay->name, head->sequence,
	       head->pid, head->bytes, head->lost);
}

static int replay_one(struct replay *replay, const struct head *head)
{
	int result;

	if (replay->print) {
		print_head(replay, head);
		return TOOL_DONE;
	}
	result = open_target(replay);
	if (result)
		return result;
	keep_pace(replay, head->time_ns);
	result = stoa_topic_publish(replay->open, replay->data, head->bytes,
	                            tool_deadline(&replay->common));
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return replay->common.no_exit;
	return result < 0 ? tool_failure(result, replay->name) : TOOL_DONE;
}

static int replay_all(struct replay *replay)
{
	char magic[MAGIC_BYTES];
	struct head head = { 0 };
	int result;

	if (fread(magic, 1, sizeof magic, replay->in) != sizeof magic ||
	    memcmp(magic, MAGIC, sizeof magic) != 0)
		return bad_file(replay, "is no recording of topics");
	while ((result = read_head(replay, &head)) > 0 &&
	       (result = read_body(replay, &head)) > 0) {
		result = replay_one(replay, &head);
		if (result != TOOL_DONE)
			return result;
		if (tool_stop_asked())
			tool_stop_die();
		replay->done++;
	}
	return -result;
}

static int replay_option(struct replay *replay, int option)
{
	char *end;

	switch (option) {
	case 't': replay->topic = optarg; return TOOL_GO_ON;
	case 'r':
		replay->rate = strtod(optarg, &end);
		if (end == optarg || *end || !(replay->rate >= 0))
			return tool_usage(&replay->common, "'%s' is not a rate",
			                  optarg);
		return TOOL_GO_ON;
	case 'p': replay->print = true; return TOOL_GO_ON;
	default: return tool_common_option(&replay->common, option);
	}
}

int tool_topic_replay(int argc, char **argv)
{
	static struct replay replay = {
		.common = TOOL_COMMON("topic replay", replay_help),
		.rate = 1,
		.file = "standard input",
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "t:r:p",
	                             replay_options, NULL)) != -1) {
		result = replay_option(&replay, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind > 1)
		return tool_usage(&replay.common, "one file at a time");
	replay.in = stdin;
	if (optind < argc) {
		replay.file = argv[optind];
		replay.in = fopen(replay.file, "re");
	}
	if (!replay.in)
		return tool_error("can't read '%s': %s", replay.file,
		                  strerror(errno));
	result = tool_open_space(&replay.common, 0, &replay.space);
	if (result == TOOL_DONE) {
		tool_stop_install();
		result = replay_all(&replay);
		stoa_topic_close(replay.open);
		stoa_space_close(replay.space);
	}
	free(replay.data);
	if (replay.in != stdin)
		fclose(replay.in);
	return result;
}
