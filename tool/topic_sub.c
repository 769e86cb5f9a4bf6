/* SPDX-License-Identifier: MIT */
/* topic_sub.c: stoa topic sub, echo and hz. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "topic.h"

#define ROOM_FIRST 65536
#define SECOND_NS INT64_C(1000000000)

/* ---- Subscriptions ----------------------------------------------------------- */

static bool is_pattern(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

static int open_one(struct tool_topics *topics, const char *name, int place)
{
	char buffer[STOA_NAME_MAX + 1];
	int result = tool_topic_open(topics->space, name,
	                             STOA_READ | STOA_INTERRUPTIBLE,
	                             &topics->one);

	if (result == 0 && place != STOA_TOPIC_NEXT)
		result = stoa_topic_seek(topics->one,
		                         (enum stoa_topic_place)place);
	if (result == 0)
		topics->name =
			strdup(tool_bare_name(name, TOPIC_KIND, buffer));
	return result == 0 && !topics->name ? -ENOMEM : result;
}

int tool_topics_open(struct tool_topics *topics,
                     const struct tool_common *common, const char *pattern,
                     int place)
{
	char buffer[STOA_NAME_MAX + 1];
	int result = tool_open_space(common, 0, &topics->space);

	if (result)
		return result;
	topics->room = ROOM_FIRST;
	topics->buffer = malloc(topics->room);
	if (!topics->buffer)
		result = -ENOMEM;
	else if (is_pattern(pattern))
		result = stoa_topic_set_open(
			topics->space,
			tool_bare_name(pattern, TOPIC_KIND, buffer),
			STOA_INTERRUPTIBLE, &topics->set);
	else
		result = open_one(topics, pattern, place);
	if (result < 0) {
		result = tool_failure(result, pattern);
		tool_topics_close(topics);
	}
	return result;
}

void tool_topics_close(struct tool_topics *topics)
{
	stoa_topic_set_close(topics->set);
	stoa_topic_close(topics->one);
	stoa_space_close(topics->space);
	free(topics->buffer);
	free((char *)topics->name);
	*topics = (struct tool_topics){ 0 };
}

static ssize_t receive_once(struct tool_topics *topics,
                            struct stoa_deadline deadline,
                            struct stoa_topic_message *message,
                            const char **ret_name)
{
	if (topics->set)
		return stoa_topic_set_receive(topics->set, topics->buffer,
		                              topics->room, deadline, message,
		                              ret_name);
	*ret_name = topics->name;
	return stoa_topic_receive(topics->one, topics->buffer, topics->room,
	                          deadline, message);
}

int tool_topics_next(struct tool_topics *topics, struct stoa_deadline deadline,
                     struct stoa_topic_message *message, const char **ret_name)
{
	for (;;) {
		ssize_t result;
		char *more;

		if (tool_stop_asked())
			return -EINTR;
		result = receive_once(topics, deadline, message, ret_name);
		if (result >= 0)
			return 0;
		if (result == -EINTR && !tool_stop_asked())
			continue;
		if (result != -EMSGSIZE)
			return (int)result;
		more = realloc(topics->buffer, message->bytes);
		if (!more)
			return -ENOMEM;
		topics->buffer = more;
		topics->room = message->bytes;
	}
}

int tool_topics_leave(struct tool_topics *topics,
                      const struct tool_common *common, int result,
                      uint64_t done)
{
	tool_topics_close(topics);
	tool_stop_die();
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return done ? TOOL_DONE : common->no_exit;
	if (result == -EPIPE)
		return TOOL_FAILED; /* who read it is gone, and knows */
	return result < 0 ? tool_failure(result, "receiving") : TOOL_DONE;
}

/* ---- sub and echo -------------------------------------------------------------- */

#define HELP_FROM                                                           \
	" -c, --count N        end after N messages\n"                      \
	"     --oldest         begin with the oldest that is kept\n"        \
	"     --last           begin with the newest that is kept\n"        \
	" -w, --timeout SEC    end when nothing comes for SEC seconds; the\n" \
	"                      answer is no if nothing came\n"

#define HELP_FORM                                                           \
	" -0, --null           end each message with NUL, not newline\n"    \
	" -r, --raw            the bytes of the message and nothing else\n" \
	" -J, --json           one JSON object a line: \"text\" if UTF-8,\n" \
	"                      else \"base64\"\n"

static const char sub_help[] =
	"Usage: stoa topic sub [OPTION]... NAME\n"
	"\n"
	"Prints what is published to topic NAME from now on, and a newline\n"
	"after each message. NAME may be a shell pattern: all topics that\n"
	"match, and those that come later. What was lost, as it came too fast\n"
	"to a topic that overwrites, is told on standard error.\n"
	"\n"
	HELP_FROM HELP_FORM
	"     --group ADDRESS  what members of the multicast group publish,\n"
	"                      239.1.2.3:5000 or [ff15::1]:5000, and not this\n"
	"                      space; what the network lost is told, too\n"
	"     --interface IF   the group's network interface\n"
	"     --largest N      bytes of the largest message; default 64K\n"
	"     --bridge         publish it to topic NAME of this space\n"
	TOOL_HELP_COMMON;

static const char echo_help[] =
	"Usage: stoa topic echo [OPTION]... NAME\n"
	"\n"
	"As sub, and says of each message when it was received, from which\n"
	"topic and process, its number and its size.\n"
	"\n"
	HELP_FROM " -J, --json           one JSON object a line\n"
	TOOL_HELP_COMMON;

enum { OPTION_OLDEST = TOOL_OPTION_FIRST, OPTION_LAST };

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "count", required_argument, NULL, 'c' },
	{ "oldest", no_argument, NULL, OPTION_OLDEST },
	{ "last", no_argument, NULL, OPTION_LAST },
	{ "null", no_argument, NULL, '0' },
	{ "raw", no_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'J' },
	TOPIC_LONG_GROUP,
	TOOL_LONG_END
};

struct sub {
	struct tool_common common;
	struct tool_topics topics;
	struct tool_style style;
	struct tool_out out;
	uint64_t count, done, lost;
	int place;
	bool describe;
	struct tool_group group;
};

static int sub_option(struct sub *sub, int option)
{
	switch (option) {
	case 'c':
		if (tool_parse_number(optarg, UINT64_MAX, &sub->count) < 0 ||
		    !sub->count)
			return tool_usage(&sub->common,
			                  "'%s' is not a number of messages",
			                  optarg);
		return TOOL_GO_ON;
	case OPTION_OLDEST: sub->place = STOA_TOPIC_OLDEST; return TOOL_GO_ON;
	case OPTION_LAST: sub->place = STOA_TOPIC_LAST; return TOOL_GO_ON;
	default:
		if (option >= TOPIC_GROUP && option < TOPIC_LAST)
			return tool_group_option(&sub->common, &sub->group,
			                         option);
		if (tool_style_option(&sub->style, option))
			return TOOL_GO_ON;
		return tool_common_option(&sub->common, option);
	}
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void print_json(struct sub *sub, const char *name,
                       const struct stoa_topic_message *message)
{
	struct tool_out *out = &sub->out;

	tool_out_text(out, "{\"topic\":");
	tool_out_json(out, name, strlen(name));
	tool_out_format(out,
	                ",\"sequence\":%" PRIu64 ",\"lost\":%" PRIu64
	                ",\"received_ns\":%" PRId64
	                ",\"sender_pid\":%ld,\"bytes\":%zu,",
	                message->sequence, message->lost, now_ns(),
	                (long)message->sender_pid, message->bytes);
	if (tool_is_utf8(message->data, message->bytes)) {
		tool_out_text(out, "\"text\":");
		tool_out_json(out, message->data, message->bytes);
	} else {
		tool_out_text(out, "\"base64\":");
		tool_out_base64(out, message->data, message->bytes);
	}
	tool_out_text(out, "}\n");
}

static void print_one(struct sub *sub, const char *name,
                      const struct stoa_topic_message *message)
{
	char text[TOOL_TEXT_MAX];

	if (sub->style.form == TOOL_JSON) {
		print_json(sub, name, message);
		return;
	}
	if (sub->describe)
		tool_out_format(&sub->out, "%s %s %" PRIu64 " %ld %zu ",
		                tool_iso_time(now_ns(), text), name,
		                message->sequence, (long)message->sender_pid,
		                message->bytes);
	tool_print_message(&sub->out, &sub->style,
	                   &(struct stoa_message){
	                           .data = message->data,
	                           .bytes = message->bytes });
}

static int subscribe(struct sub *sub)
{
	while (!sub->count || sub->done < sub->count) {
		struct stoa_topic_message message;
		const char *name;
		int result = tool_topics_next(&sub->topics, STOA_NOW, &message,
		                              &name);

		/* What has come goes out before more is waited for. */
		if (result == -EAGAIN) {
			result = tool_out_flush(&sub->out);
			if (result == 0)
				result = tool_topics_next(
					&sub->topics,
					tool_deadline(&sub->common), &message,
					&name);
		}
		if (result < 0)
			return result;
		if (message.lost)
			tool_error("%" PRIu64 " messages of topic '%s' were "
			           "lost before %" PRIu64,
			           message.lost, name, message.sequence);
		print_one(sub, name, &message);
		sub->done++;
		if (sub->out.error)
			return sub->out.error;
	}
	return 0;
}

static int run_sub(int argc, char **argv, struct sub *sub, const char *letters)
{
	int option, result, flushed;

	while ((option = getopt_long(argc, argv, letters, options, NULL)) !=
	       -1) {
		result = sub_option(sub, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&sub->common,
		                  "the name of one topic, or one pattern, is "
		                  "needed");
	if (sub->group.address)
		return tool_topic_group_sub(&sub->common, &sub->group,
		                            argv[optind], &sub->style,
		                            sub->count);
	result = tool_topics_open(&sub->topics, &sub->common, argv[optind],
	                          sub->place);
	if (result)
		return result;
	tool_stop_install();
	tool_out_init(&sub->out, STDOUT_FILENO);
	tool_style_settle(&sub->style, STDOUT_FILENO);
	result = subscribe(sub);
	flushed = tool_out_flush(&sub->out);
	if (result == 0 || result == -EAGAIN || result == -ETIMEDOUT)
		result = flushed < 0 ? flushed : result;
	/* So many were asked for. */
	return tool_topics_leave(&sub->topics, &sub->common, result,
	                         sub->count ? 0 : sub->done);
}

int tool_topic_sub(int argc, char **argv)
{
	static struct sub sub = {
		.common = TOOL_COMMON("topic sub", sub_help),
	};

	return run_sub(argc, argv, &sub, TOOL_SHORT TOOL_SHORT_WAIT "c:0rJ");
}

int tool_topic_echo(int argc, char **argv)
{
	static struct sub sub = {
		.common = TOOL_COMMON("topic echo", echo_help),
		.describe = true,
	};

	return run_sub(argc, argv, &sub, TOOL_SHORT TOOL_SHORT_WAIT "c:J");
}

/* ---- hz --------------------------------------------------------------------------- */

static const char hz_help[] =
	"Usage: stoa topic hz [OPTION]... NAME\n"
	"\n"
	"Says once a second how much was published to topic NAME, or to all\n"
	"that match the pattern: messages and bytes a second, and how many\n"
	"were lost to this command itself.\n"
	"\n"
	" -c, --count N        end after N reports\n"
	" -i, --interval SEC   a report each SEC seconds; decimals are fine\n"
	" -J, --json           one JSON object a line\n"
	TOOL_HELP_COMMON;

static const struct option hz_options[] = {
	TOOL_LONG,
	{ "count", required_argument, NULL, 'c' },
	{ "interval", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'J' },
	TOOL_LONG_END
};

struct hz {
	struct tool_common common;
	struct tool_topics topics;
	struct tool_out out;
	uint64_t count;
	int64_t interval_ns;
	bool json;
};

static int hz_option(struct hz *hz, int option)
{
	switch (option) {
	case 'c':
		if (tool_parse_number(optarg, UINT64_MAX, &hz->count) < 0 ||
		    !hz->count)
			return tool_usage(&hz->common,
			                  "'%s' is not a number of reports",
			                  optarg);
		return TOOL_GO_ON;
	case 'i':
		if (tool_parse_seconds(optarg, &hz->interval_ns) < 0 ||
		    hz->interval_ns <= 0)
			return tool_usage(&hz->common,
			                  "'%s' is not an interval", optarg);
		return TOOL_GO_ON;
	case 'J': hz->json = true; return TOOL_GO_ON;
	default: return tool_common_option(&hz->common, option);
	}
}

static int print_rate(struct hz *hz, double seconds, uint64_t messages,
                      uint64_t bytes, uint64_t lost)
{
	char text[TOOL_TEXT_MAX];

	if (hz->json)
		tool_out_format(&hz->out,
		                "{\"messages_per_second\":%.1f,"
		                "\"bytes_per_second\":%.1f,\"lost\":%" PRIu64
		                "}\n",
		                (double)(messages + lost) / seconds,
		                (double)bytes / seconds, lost);
	else
		tool_out_format(&hz->out,
		                "%.1f messages/s  %s/s  %" PRIu64 " lost\n",
		                (double)(messages + lost) / seconds,
		                tool_human_size((uint64_t)((double)bytes /
		                                           seconds),
		                                text),
		                lost);
	return tool_out_flush(&hz->out);
}

static int report_once(struct hz *hz)
{
	struct stoa_deadline end = stoa_deadline_in(hz->interval_ns);
	int64_t begin = now_ns();
	uint64_t messages = 0, bytes = 0, lost = 0;
	int result;

	for (;;) {
		struct stoa_topic_message message;
		const char *name;

		result = tool_topics_next(&hz->topics, end, &message, &name);
		if (result < 0)
			break;
		messages++;
		bytes += message.bytes;
		lost += message.lost;
		/* Who is never without a message looks at the clock, too. */
		if (messages % 64 == 0 && now_ns() - begin >= hz->interval_ns) {
			result = -ETIMEDOUT;
			break;
		}
	}
	if (result != -ETIMEDOUT)
		return result;
	return print_rate(hz, (double)(now_ns() - begin) / 1e9, messages, bytes,
	                  lost);
}

int tool_topic_hz(int argc, char **argv)
{
	static struct hz hz = {
		.common = TOOL_COMMON("topic hz", hz_help),
		.interval_ns = SECOND_NS,
	};
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "c:i:J", hz_options,
	                             NULL)) != -1) {
		result = hz_option(&hz, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&hz.common,
		                  "the name of one topic, or one pattern, is "
		                  "needed");
	result = tool_topics_open(&hz.topics, &hz.common, argv[optind],
	                          STOA_TOPIC_NEXT);
	if (result)
		return result;
	tool_stop_install();
	tool_out_init(&hz.out, STDOUT_FILENO);
	for (uint64_t i = 0; result == 0 && (!hz.count || i < hz.count); i++)
		result = report_once(&hz);
	return tool_topics_leave(&hz.topics, &hz.common, result, 1);
}
