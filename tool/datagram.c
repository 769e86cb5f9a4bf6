/* SPDX-License-Identifier: MIT */
/* datagram.c: stoa datagram: send, recv, rm. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "noun.h"

#define KIND "datagram"
#define ROOM_FIRST 65536
#define TTL_MOST 255

static int run_send(int argc, char **argv);
static int run_recv(int argc, char **argv);
static int run_rm(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "send", run_send, "send datagrams" },
	{ "recv", run_recv, "receive datagrams" },
	{ "rm", run_rm, "remove names that datagrams are sent to" },
	{ NULL, NULL, NULL }
};

int tool_datagram(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "datagram", verbs);
}

#define HELP_ADDRESS                                                         \
	"ADDRESS is a name in the space, or udp:192.0.2.1:5000,\n"          \
	"udp:[2001:db8::1]:5000, or a multicast group, udp:239.1.2.3:5000."

enum { OPTION_NO_LOOP = TOOL_OPTION_FIRST };

#define LONG_UDP                                                   \
	{ "interface", required_argument, NULL, 'i' },             \
	{ "ttl", required_argument, NULL, 't' },                   \
	{ "no-loop", no_argument, NULL, OPTION_NO_LOOP },          \
	{ "broadcast", no_argument, NULL, 'B' }

static int udp_option(const struct tool_common *common,
                      struct stoa_datagram_attributes *attributes, int option)
{
	uint64_t number;

	switch (option) {
	case 'i': attributes->interface = optarg; return TOOL_GO_ON;
	case 't':
		if (tool_parse_number(optarg, TTL_MOST, &number) < 0 || !number)
			return tool_usage(common,
			                  "'%s' is not a time to live, 1 to %d",
			                  optarg, TTL_MOST);
		attributes->ttl = (uint32_t)number;
		return TOOL_GO_ON;
	case OPTION_NO_LOOP:
		attributes->loop = STOA_DATAGRAM_NO_LOOP;
		return TOOL_GO_ON;
	default: attributes->broadcast = 1; return TOOL_GO_ON;
	}
}

static bool is_udp_option(int option)
{
	return option == 'i' || option == 't' || option == 'B' ||
	       option == OPTION_NO_LOOP;
}

/* ---- send ------------------------------------------------------------------ */

static const char send_help[] =
	"Usage: stoa datagram send [OPTION]... ADDRESS [MESSAGE]...\n"
	"\n"
	"Sends each MESSAGE, or else each line of standard input, as a datagram.\n"
	HELP_ADDRESS "\n"
	"Waits while the receiver by that name has no room.\n"
	"\n"
	" -a, --whole          all of standard input is one datagram\n"
	" -0, --null           messages end with NUL, not newline\n"
	" -s, --size N         each N bytes are a datagram; K, M, G are fine\n"
	" -p, --packets        over one connection, to who receives packets\n"
	" -i, --interface IF   send to groups there\n"
	" -t, --ttl N          machines that what goes to a group may pass;\n"
	"                      default 1\n"
	"     --no-loop        what goes to a group not to this machine, too\n"
	" -B, --broadcast      ADDRESS may be a broadcast address\n"
	" -W, --await          if nobody receives by that name, wait for somebody\n"
	"                      to\n"
	" -w, --timeout SEC    wait at most SEC seconds for that and for room; 0\n"
	"                      does not wait; decimals are fine\n"
	TOOL_HELP_COMMON;

static const struct option send_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	LONG_UDP,
	{ "whole", no_argument, NULL, 'a' },
	{ "null", no_argument, NULL, '0' },
	{ "size", required_argument, NULL, 's' },
	{ "packets", no_argument, NULL, 'p' },
	{ "await", no_argument, NULL, 'W' },
	TOOL_LONG_END
};

struct send {
	struct tool_common common;
	unsigned flags;
	struct stoa_datagram_attributes attributes;
	enum tool_cut cut;
	uint64_t size, sent;
	bool packets;
	struct stoa_datagram *datagram;
};

static int choose_cut(struct send *send, enum tool_cut cut)
{
	if (send->cut != TOOL_CUT_LINES && send->cut != cut)
		return tool_usage(&send->common, "--whole, --null and --size "
		                                 "exclude each other");
	send->cut = cut;
	return TOOL_GO_ON;
}

static int send_option(struct send *send, int option)
{
	switch (option) {
	case 'a': return choose_cut(send, TOOL_CUT_NONE);
	case '0': return choose_cut(send, TOOL_CUT_NULLS);
	case 'p': send->packets = true; return TOOL_GO_ON;
	case 'W': send->flags |= STOA_AWAIT; return TOOL_GO_ON;
	case 's':
		if (tool_parse_size(optarg, &send->size) < 0 || !send->size)
			return tool_usage(&send->common, "'%s' is not a size",
			                  optarg);
		return choose_cut(send, TOOL_CUT_SIZE);
	default:
		if (is_udp_option(option))
			return udp_option(&send->common, &send->attributes,
			                  option);
		return tool_common_option(&send->common, option);
	}
}

static int send_one(struct send *send, const void *data, size_t bytes)
{
	int result = stoa_datagram_send(send->datagram, NULL, data, bytes,
	                                tool_deadline(&send->common));

	if (result >= 0) {
		send->sent++;
		return TOOL_DONE;
	}
	if (result == -EPIPE)
		tool_error("the receiver has closed the connection");
	else if (result != -EAGAIN && result != -ETIMEDOUT)
		tool_failure(result, "sending");
	if (send->sent)
		tool_error("%" PRIu64 " were sent before that", send->sent);
	return result == -EAGAIN || result == -ETIMEDOUT ?
	               send->common.no_exit :
	               TOOL_FAILED;
}

static int send_input(struct send *send)
{
	struct tool_in in;
	int result = TOOL_DONE;

	tool_in_init(&in, STDIN_FILENO, send->cut, send->size, UINT32_MAX);
	while (!result) {
		size_t bytes;
		char *data;

		while (!result && tool_in_next(&in, &data, &bytes))
			result = send_one(send, data, bytes);
		if (result || in.ended)
			break;
		int error = tool_in_read(&in);
		if (error < 0)
			result = tool_error("reading standard input: %s",
			                    strerror(-error));
	}
	tool_in_fini(&in);
	return result;
}

static int send_all(struct send *send, const char *address, char **messages)
{
	char buffer[STOA_NAME_MAX + 1];
	struct stoa_space *space;
	int result = tool_open_space(&send->common,
	                             send->flags ? STOA_CREATE : 0, &space);

	if (result)
		return result;
	result = send->packets ?
	                 stoa_datagram_connect(
				 space, tool_bare_name(address, "packet", buffer),
				 send->flags, tool_deadline(&send->common),
				 &send->datagram) :
	                 stoa_datagram_open(
				 space, tool_bare_name(address, KIND, buffer),
				 STOA_WRITE | send->flags, 0, &send->attributes,
				 &send->datagram);
	if (result == -EAGAIN || result == -ETIMEDOUT) {
		result = send->common.no_exit;
	} else if (result < 0) {
		result = tool_failure(result, address);
	} else {
		if (!*messages)
			result = send_input(send);
		for (; *messages && !result; messages++)
			result = send_one(send, *messages, strlen(*messages));
		stoa_datagram_close(send->datagram);
	}
	stoa_space_close(space);
	return result;
}

static int run_send(int argc, char **argv)
{
	struct send send = {
		.common = TOOL_COMMON("datagram send", send_help),
		.attributes = { .size = sizeof send.attributes },
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "a0s:pWi:t:B",
	                             send_options, NULL)) != -1) {
		result = send_option(&send, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&send.common, "the address is missing");
	if (argc - optind > 1 && send.cut != TOOL_CUT_LINES)
		return tool_usage(&send.common,
		                  "--whole, --null and --size are for standard "
		                  "input, not for arguments");
	return send_all(&send, argv[optind], argv + optind + 1);
}

/* ---- recv ------------------------------------------------------------------ */

static const char recv_help[] =
	"Usage: stoa datagram recv [OPTION]... ADDRESS\n"
	"\n"
	"Prints datagrams that come to ADDRESS, with a newline after each.\n"
	HELP_ADDRESS "\n"
	"udp:*:5000 and udp:[*]:5000 take what comes to any address of this\n"
	"machine.\n"
	"\n"
	" -c, --count N        end after N datagrams\n"
	" -p, --packets        of the first who connects, until he has closed\n"
	" -M, --mode OCTAL     who may send to a name; default 0600; set exactly\n"
	" -i, --interface IF   take part in the group there\n"
	" -w, --timeout SEC    end when nothing comes for SEC seconds; the\n"
	"                      answer is no if nothing came\n"
	" -0, --null           end each with NUL, not newline\n"
	" -r, --raw            the bytes and nothing else\n"
	" -J, --json           one JSON object a line, with the sender: \"text\"\n"
	"                      if UTF-8, else \"base64\"\n"
	TOOL_HELP_COMMON;

static const struct option recv_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "count", required_argument, NULL, 'c' },
	{ "packets", no_argument, NULL, 'p' },
	{ "mode", required_argument, NULL, 'M' },
	{ "interface", required_argument, NULL, 'i' },
	{ "null", no_argument, NULL, '0' },
	{ "raw", no_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'J' },
	TOOL_LONG_END
};

struct recv {
	struct tool_common common;
	struct stoa_datagram_attributes attributes;
	struct tool_style style;
	struct tool_out out;
	uint64_t count, done;
	mode_t mode;
	bool packets;
	struct stoa_datagram *listener, *datagram;
	char *buffer;
	size_t room;
};

static int recv_option(struct recv *recv, int option)
{
	switch (option) {
	case 'c':
		if (tool_parse_number(optarg, UINT64_MAX, &recv->count) < 0 ||
		    !recv->count)
			return tool_usage(&recv->common,
			                  "'%s' is not a number of datagrams",
			                  optarg);
		return TOOL_GO_ON;
	case 'p': recv->packets = true; return TOOL_GO_ON;
	case 'i': recv->attributes.interface = optarg; return TOOL_GO_ON;
	case 'M': return tool_parse_mode(&recv->common, optarg, &recv->mode);
	default:
		if (tool_style_option(&recv->style, option))
			return TOOL_GO_ON;
		return tool_common_option(&recv->common, option);
	}
}

static void print_json(struct recv *recv,
                       const struct stoa_datagram_message *message)
{
	char text[STOA_DATAGRAM_TEXT_MAX];
	struct tool_out *out = &recv->out;

	stoa_datagram_print(&message->from, text);
	tool_out_text(out, "{\"from\":");
	if (message->from.kind == STOA_DATAGRAM_NONE)
		tool_out_text(out, "null");
	else
		tool_out_json(out, text, strlen(text));
	if (message->has_sender)
		tool_out_format(out, ",\"pid\":%ld,\"uid\":%lu,\"gid\":%lu",
		                (long)message->pid, (unsigned long)message->uid,
		                (unsigned long)message->gid);
	tool_out_format(out, ",\"bytes\":%zu,", message->bytes);
	if (tool_is_utf8(recv->buffer, message->bytes)) {
		tool_out_text(out, "\"text\":");
		tool_out_json(out, recv->buffer, message->bytes);
	} else {
		tool_out_text(out, "\"base64\":");
		tool_out_base64(out, recv->buffer, message->bytes);
	}
	tool_out_text(out, "}\n");
}

/* The next one, whatever its size. 0 or -errno. */
static int next(struct recv *recv, struct stoa_deadline deadline,
                struct stoa_datagram_message *message)
{
	for (;;) {
		ssize_t result;
		char *more;

		if (tool_stop_asked())
			return -EINTR;
		result = stoa_datagram_receive(recv->datagram, recv->buffer,
		                               recv->room, deadline, message);
		if (result == -EINTR && !tool_stop_asked())
			continue;
		if (result != -EMSGSIZE)
			return result < 0 ? (int)result : 0;
		more = realloc(recv->buffer, message->bytes);
		if (!more)
			return -ENOMEM;
		recv->buffer = more;
		recv->room = message->bytes;
	}
}

static int receive_all(struct recv *recv)
{
	while (!recv->count || recv->done < recv->count) {
		struct stoa_datagram_message message;
		int result = next(recv, STOA_NOW, &message);

		/* What has come goes out before more is waited for. */
		if (result == -EAGAIN) {
			result = tool_out_flush(&recv->out);
			if (result == 0)
				result = next(recv,
				              tool_deadline(&recv->common),
				              &message);
		}
		if (result < 0)
			return result;
		if (recv->style.form == TOOL_JSON)
			print_json(recv, &message);
		else
			tool_print_message(&recv->out, &recv->style,
			                   &(struct stoa_message){
			                           .data = recv->buffer,
			                           .bytes = message.bytes });
		recv->done++;
		if (recv->out.error)
			return recv->out.error;
	}
	return 0;
}

static int open_recv(struct recv *recv, struct stoa_space *space,
                     const char *address)
{
	char buffer[STOA_NAME_MAX + 1];
	int result;

	if (!recv->packets)
		return stoa_datagram_open(
			space, tool_bare_name(address, KIND, buffer),
			STOA_READ | STOA_INTERRUPTIBLE, recv->mode,
			&recv->attributes, &recv->datagram);
	result = stoa_datagram_listen(space,
	                              tool_bare_name(address, "packet", buffer),
	                              STOA_INTERRUPTIBLE, recv->mode,
	                              &recv->listener);
	while (result == 0 && !recv->datagram) {
		result = stoa_datagram_accept(recv->listener,
		                              tool_deadline(&recv->common),
		                              &recv->datagram);
		if (result == -EINTR && !tool_stop_asked())
			result = 0;
	}
	return result;
}

static int leave(struct recv *recv, int result)
{
	int flushed = tool_out_flush(&recv->out);

	if (result == 0)
		result = flushed;
	if (result == -EPIPE && recv->packets && !recv->out.error)
		result = 0; /* the sender has closed: that was all */
	if (result == -EINTR && tool_stop_asked())
		return TOOL_DONE; /* dies of the signal */
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return recv->done ? TOOL_DONE : recv->common.no_exit;
	if (result == -EPIPE)
		return TOOL_FAILED; /* who read it is gone, and knows */
	return result < 0 ? tool_failure(result, "receiving") : TOOL_DONE;
}

static int recv_from(struct recv *recv, const char *address)
{
	struct stoa_space *space;
	int result = tool_open_space(&recv->common, STOA_CREATE, &space);

	if (result)
		return result;
	tool_stop_install();
	tool_style_settle(&recv->style, STDOUT_FILENO);
	tool_out_init(&recv->out, STDOUT_FILENO);
	recv->room = ROOM_FIRST;
	recv->buffer = malloc(recv->room);
	result = recv->buffer ? open_recv(recv, space, address) : -ENOMEM;
	if (result == 0)
		result = receive_all(recv);
	result = leave(recv, result);
	stoa_datagram_close(recv->datagram);
	stoa_datagram_close(recv->listener);
	stoa_space_close(space);
	free(recv->buffer);
	tool_stop_die();
	return result;
}

static int run_recv(int argc, char **argv)
{
	static struct recv recv = {
		.common = TOOL_COMMON("datagram recv", recv_help),
		.attributes = { .size = sizeof recv.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "c:pM:i:0rJ",
	                             recv_options, NULL)) != -1) {
		result = recv_option(&recv, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&recv.common, "one address is wanted");
	return recv_from(&recv, argv[optind]);
}

/* ---- rm ---------------------------------------------------------------------- */

static const char rm_help[] =
	"Usage: stoa datagram rm [OPTION]... NAME...\n"
	"\n"
	"Removes names that datagrams are sent to. Who receives there is not\n"
	"told.\n"
	"\n"
	" -f, --force          say nothing of what isn't there\n"
	TOOL_HELP_COMMON;

static int run_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, KIND, "datagram rm", rm_help);
}
