/* SPDX-License-Identifier: MIT */
/* group.c: a topic over a network, whose loss is counted. Publisher and
 * subscriber are on one machine here. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>

int main(void)
{
	struct stoa_group_attributes how = { .size = sizeof how,
		                             .interface = "lo" };
	struct stoa_group *subscriber, *publisher;
	struct stoa_group_message message;
	const char *where = "udp:239.192.7.7:5007";
	char text[100];

	if (stoa_group_open(where, "news", STOA_READ, &how, &subscriber) < 0 ||
	    stoa_group_open(where, "news", STOA_WRITE, &how, &publisher) < 0 ||
	    stoa_group_publish(publisher, "hello, network", 14,
	                       STOA_FOREVER) < 0)
		errx(1, "%s", stoa_last_error());
	ssize_t bytes = stoa_group_receive(subscriber, text, sizeof text,
	                                   STOA_FOREVER, &message);
	if (bytes < 0)
		errx(1, "%s", stoa_last_error());
	printf("%d: %.*s, %d lost\n", (int)message.sequence, (int)bytes, text,
	       (int)message.lost);
	stoa_group_close(publisher);
	stoa_group_close(subscriber);
	return 0;
}
