/* SPDX-License-Identifier: MIT */
/* topic.c: one who tells the news, and two who hear all of it. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void hear(struct stoa_topic *topic, int who)
{
	char text[64];

	for (int i = 0; i < 3; i++) {
		ssize_t got = stoa_topic_receive(topic, text, sizeof text,
		                                 STOA_FOREVER, NULL);

		if (got < 0)
			errx(1, "%s", stoa_last_error());
		printf("%d heard %.*s\n", who, (int)got, text);
	}
}

int main(void)
{
	static const char *const news[] = { "one", "two", "three" };
	struct stoa_topic *in = NULL, *out = NULL;
	struct stoa_space *space = NULL;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_topic_open(space, "news", STOA_WRITE | STOA_CREATE, 0600, NULL,
	                    &out) < 0 ||
	    stoa_topic_open(space, "news", STOA_READ, 0, NULL, &in) < 0)
		errx(1, "%s", stoa_last_error());
	for (int i = 0; i < 3; i++)
		if (stoa_topic_publish(out, news[i], strlen(news[i]),
		                       STOA_FOREVER) < 0)
			errx(1, "%s", stoa_last_error());
	/* Each child is a subscriber of its own, from where this handle is. */
	for (int who = 1; who <= 2; who++) {
		if (fork() == 0) {
			hear(in, who);
			return 0;
		}
		wait(NULL);
	}
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_topic_unlink(space, "news");
	stoa_space_close(space);
	return 0;
}
