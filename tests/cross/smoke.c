/* SPDX-License-Identifier: MIT */
/*
 * cross/smoke.c: messages of all sizes between forked processes, one of which
 * is killed while it holds a message. Needs nothing but libstoa and an
 * emulator's system calls: run by scripts/check-cross for another processor.
 */
#include <stoa/stoa.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SENDERS = 2, MESSAGES = 300, LARGEST = 9000 };

static const char *doing = "beginning";

static void must(long long result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %lld (%s)\n", doing, result, stoa_last_error());
	exit(EXIT_FAILURE);
}

static void must_be(int true, const char *what)
{
	if (true)
		return;
	fprintf(stderr, "%s: %s\n", doing, what);
	exit(EXIT_FAILURE);
}

struct letter {
	int sender;
	int number;
	unsigned char rest[LARGEST];
};

/* The border of inline, pieces and blocks, and what is between. */
static size_t size_of(int number)
{
	static const size_t sizes[] = { 8, 80, 81, 256, 257, 3072, 3073, 8192 };

	return sizes[number % 8];
}

static void send_all(struct stoa_queue *queue, int sender)
{
	struct letter letter = { .sender = sender };

	for (letter.number = 0; letter.number < MESSAGES; letter.number++) {
		size_t bytes = size_of(letter.number);

		memset(letter.rest, letter.number & 0xff, bytes - 8);
		must(stoa_queue_send(queue, &letter, bytes,
		                     stoa_deadline_in(INT64_C(20000000000))));
	}
}

static void check_letter(const struct letter *letter, size_t bytes, int *next)
{
	must_be(letter->sender >= 0 && letter->sender < SENDERS,
	        "no such sender");
	must_be(letter->number == next[letter->sender]++, "out of order");
	must_be(bytes == size_of(letter->number), "another size");
	for (size_t i = 0; i < bytes - 8; i++)
		must_be(letter->rest[i] == (letter->number & 0xff),
		        "another content");
}

static void transfer(struct stoa_queue *queue)
{
	int next[SENDERS] = { 0 }, status;
	struct letter letter;

	doing = "transfer";
	for (int i = 0; i < SENDERS; i++)
		if (fork() == 0) {
			send_all(queue, i);
			_exit(0);
		}
	for (int i = 0; i < SENDERS * MESSAGES; i++) {
		ssize_t bytes = stoa_queue_receive(
		        queue, NULL, &letter, sizeof letter,
		        stoa_deadline_in(INT64_C(20000000000)), NULL);
		must(bytes);
		check_letter(&letter, (size_t)bytes, next);
	}
	for (int i = 0; i < SENDERS; i++)
		must_be(wait(&status) > 0 && status == 0, "a sender failed");
}

static void give_back(struct stoa_queue *queue)
{
	struct stoa_message message;
	int status;

	doing = "giving back";
	must(stoa_queue_send(queue, "left", 4, STOA_NOW));
	pid_t child = fork();
	if (child == 0) {
		must(stoa_queue_take(queue, NULL, STOA_NOW, &message));
		raise(SIGKILL);
	}
	must_be(waitpid(child, &status, 0) == child && WIFSIGNALED(status),
	        "the taker was to be killed");
	must(stoa_queue_take(queue, NULL,
	                     stoa_deadline_in(INT64_C(20000000000)),
	                     &message));
	must_be(message.bytes == 4 && memcmp(message.data, "left", 4) == 0 &&
	                message.deliveries == 1,
	        "another message came back");
	must(stoa_queue_acknowledge(queue, &message));
}

int main(int count, char **arguments)
{
	struct stoa_queue_attributes attributes = { .size = sizeof attributes,
		                                    .capacity = 16,
		                                    .max_message_bytes =
		                                            LARGEST };
	struct stoa_space *space;
	struct stoa_queue *queue;

	must_be(count == 2, "give the directory of a space");
	doing = "opening";
	must(stoa_space_open(arguments[1], 0, &space));
	must(stoa_queue_open(space, "smoke",
	                     STOA_CREATE | STOA_READ | STOA_WRITE, 0600,
	                     &attributes, &queue));
	transfer(queue);
	give_back(queue);
	stoa_queue_close(queue);
	must(stoa_queue_unlink(space, "smoke"));
	stoa_space_close(space);
	printf("%d messages, and one that came back\n", SENDERS * MESSAGES);
	return 0;
}
