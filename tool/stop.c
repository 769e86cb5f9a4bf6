/* SPDX-License-Identifier: MIT */
/*
 * stop.c: leaving on SIGINT, SIGTERM, SIGHUP or a broken pipe with the message
 * in hand either done with or given back, and then dying of that signal, so
 * that the shell sees why.
 */
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "tool.h"

#define NUDGE_SECONDS 1

static const int stop_signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t stop_signal;

/* The signal may arrive between the look at stop_signal and the wait that
 * follows; alarms go on interrupting until somebody has looked. */
static void on_stop(int number)
{
	stop_signal = number;
	alarm(NUDGE_SECONDS);
}

static void on_nudge(int number)
{
	(void)number;
	alarm(NUDGE_SECONDS);
}

/* A signal that was ignored from the start stays so, as nohup wants. */
static void handle(int number, void (*handler)(int))
{
	struct sigaction action = { 0 }, before;

	sigaction(number, NULL, &before);
	if (before.sa_handler == SIG_IGN)
		return;
	action.sa_handler = handler;
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

void tool_stop_install(void)
{
	for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++)
		handle(stop_signals[i], on_stop);
	/* The write fails with EPIPE as well, and that is where it's seen. */
	handle(SIGPIPE, on_stop);
	handle(SIGALRM, on_nudge);
}

bool tool_stop_asked(void)
{
	return stop_signal != 0;
}

int tool_stop_signal(void)
{
	return stop_signal;
}

void tool_stop_die(void)
{
	int number = stop_signal;

	if (!number)
		return;
	signal(number, SIG_DFL);
	raise(number);
}
