/* SPDX-License-Identifier: MIT */
/* demo_report.c: the demo's progress bar, table and sentences. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"

#define BAR "########################################"
#define BAR_WIDTH ((int)sizeof(BAR) - 1)
#define MEGA 1e6
#define NS_PER_S 1e9
#define NS_PER_MS 1e6

/* ---- Progress ----------------------------------------------------------- */

void demo_progress(const struct demo_round *round)
{
	uint64_t bytes = atomic_load(&round->board->bytes);
	int64_t started = atomic_load(&round->board->started_ns);
	double seconds = (double)(demo_now_ns() - started) / NS_PER_S;
	double part = (double)bytes / (double)round->total;

	if (!started || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r%-18s [%-*.*s] %3d %% %6.0f MB/s%s",
	        round->carrier.name, BAR_WIDTH, (int)(part * BAR_WIDTH), BAR,
	        (int)(part * 100), (double)bytes / MEGA / seconds,
	        round->killed_pid ? "  one killed" : "");
}

void demo_progress_clear(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* ---- Table -------------------------------------------------------------- */

enum column {
	THROUGH, ROOM, MESSAGES, BYTES, SECONDS, RATE, RATIO, STREAM,
	SEED, WORKERS, KILLED, RETURNED, RETURNED_BYTES, REPEATED, AFTER,
	DIGEST, NOTE, COLUMNS
};

static const struct tool_column columns[COLUMNS] = {
	[THROUGH] = { "THROUGH", TOOL_TEXT, "what carries the messages" },
	[ROOM] = { "ROOM", TOOL_TEXT, "messages or bytes x largest message" },
	[MESSAGES] = { "MESSAGES", TOOL_NUMBER, "that the input was cut into" },
	[BYTES] = { "BYTES", TOOL_NUMBER, "of input" },
	[SECONDS] = { "SECONDS", TOOL_NUMBER, "from first cut to last result" },
	[RATE] = { "MB/S", TOOL_NUMBER, "millions of bytes a second" },
	[RATIO] = { "RATIO", TOOL_NUMBER, "stoa's MB/s without a kill, by this" },
	[STREAM] = { "STREAM", TOOL_TEXT, "whole, NOT WHOLE or not run" },
	[SEED] = { "SEED", TOOL_NUMBER, "for --seed" },
	[WORKERS] = { "WORKERS", TOOL_NUMBER, "processes that hash" },
	[KILLED] = { "KILLED", TOOL_NUMBER, "workers killed" },
	[RETURNED] = { "RETURNED", TOOL_NUMBER, "messages given back" },
	[RETURNED_BYTES] = { "RETURNED-BYTES", TOOL_NUMBER, "in these" },
	[REPEATED] = { "REPEATED", TOOL_NUMBER,
	               "given back though passed on already" },
	[AFTER] = { "AFTER-MS", TOOL_NUMBER,
	            "from the kill to the last of these" },
	[DIGEST] = { "SHA256", TOOL_TEXT, "of the stream as collected" },
	[NOTE] = { "NOTE", TOOL_TEXT, "why not whole or not run" },
};

static double rate(const struct demo_round *round)
{
	return round->seconds > 0
		? (double)round->total / MEGA / round->seconds : 0;
}

static double redelivery_ms(const struct demo_board *board)
{
	if (!board->last_redelivery_ns)
		return 0;
	return (double)(board->last_redelivery_ns - board->killed_ns)
	       / NS_PER_MS;
}

static const char *stream_text(const struct demo_round *round)
{
	if (round->result < 0)
		return "not run";
	return round->result ? "NOT WHOLE" : "whole";
}

static const char *digest_text(const uint8_t *digest)
{
	static char text[2 * DEMO_DIGEST_BYTES + 1];

	for (int i = 0; i < DEMO_DIGEST_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

static void add_death(struct tool_table *table, const struct demo_round *round)
{
	if (!round->killed_pid)
		return;
	tool_table_number(table, RETURNED, round->returned);
	tool_table_number(table, RETURNED_BYTES,
	                  round->board->redelivered_bytes);
	tool_table_number(table, REPEATED, round->board->repeated);
	tool_table_real(table, AFTER, 3, redelivery_ms(round->board));
}

static void add_round(struct tool_table *table,
                      const struct demo_round *round, double stoa_rate)
{
	double own = rate(round);

	tool_table_line(table);
	tool_table_text(table, THROUGH, round->carrier.name);
	tool_table_text(table, STREAM, stream_text(round));
	tool_table_number(table, SEED, round->seed);
	tool_table_number(table, WORKERS, round->workers);
	tool_table_number(table, KILLED, round->killed_pid ? 1 : 0);
	add_death(table, round);
	tool_table_text(table, NOTE, round->note);
	if (round->result)
		tool_table_alert(table, STREAM);
	if (round->result < 0)
		return;
	tool_table_text(table, ROOM, round->carrier.limits);
	tool_table_number(table, MESSAGES, round->messages);
	tool_table_number(table, BYTES, round->total);
	if (own <= 0)
		return;
	tool_table_real(table, SECONDS, 3, round->seconds);
	tool_table_real(table, RATE, 0, own);
	tool_table_real(table, RATIO, 2, stoa_rate / own);
	tool_table_text(table, DIGEST, digest_text(round->board->digest));
}

int demo_table_init(struct tool_table *table,
                    const struct tool_common *common,
                    struct tool_table_options *options)
{
	*table = (struct tool_table){ .name = "demo", .columns = columns,
		.count = COLUMNS, .options = options };
	if (options->json && !options->output)
		options->all = true;
	return tool_table_init(table, common,
	                       "THROUGH,ROOM,MESSAGES,BYTES,SECONDS,MB/S,"
	                       "RATIO,STREAM");
}

/* ---- Sentences ---------------------------------------------------------- */

static void print_kill(const struct demo_round *round)
{
	const struct demo_board *board = round->board;

	if (!round->killed_pid)
		return;
	printf("Worker %u (process %d) was killed, SIGKILL, around message "
	       "%" PRIu64 " of %" PRIu64 ".\n",
	       round->killed_worker + 1, (int)round->killed_pid,
	       round->kill_sequence + 1, round->messages);
	printf("Given back: %" PRIu64 " messages, %" PRIu64 " bytes; the last "
	       "done by another %.1f ms after the kill.\n",
	       round->returned, board->redelivered_bytes,
	       redelivery_ms(board));
	if (board->repeated)
		printf("Of these %" PRIu64 " had been passed on already; the "
		       "collector knew it by its sequence.\n",
		       board->repeated);
}

static void print_outcome(const struct demo_round *round)
{
	if (round->result)
		printf("NOT WHOLE: %s.\n", round->note);
	else
		printf("Whole, nothing lost, nothing doubled. SHA-256 of the "
		       "input and of what arrived:\n%s\n",
		       digest_text(round->board->digest));
}

static void print_notes(const struct demo_round *rounds, size_t count,
                        size_t runs)
{
	if (count > 1)
		printf("Larger pieces are cut to fit each room. RATIO: MB/s of "
		       "stoa without a kill, by this.\n");
	if (count > 1 && runs > 1)
		printf("SECONDS: median of %zu runs, but for the kill.\n",
		       runs);
	for (size_t i = 1; i < count; i++)
		if (*rounds[i].note)
			printf("%s: %s.\n", rounds[i].carrier.name,
			       rounds[i].note);
}

int demo_report_print(struct tool_table *table,
                      const struct demo_round *rounds, size_t count,
                      size_t runs, const char *input)
{
	bool talk = !table->options->json && !table->options->raw;
	int status;

	for (size_t i = 0; i < count; i++)
		add_round(table, &rounds[i], rate(&rounds[count > 1]));
	if (talk) {
		printf("%s: %" PRIu64 " bytes, %u workers, seed %" PRIu32
		       ".\n", input, rounds->total, rounds->workers,
		       rounds->seed);
		print_kill(rounds);
		print_outcome(rounds);
		putchar('\n');
	}
	status = tool_table_print(table);
	if (talk)
		print_notes(rounds, count, runs);
	return status;
}
