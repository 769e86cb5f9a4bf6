/* SPDX-License-Identifier: MIT */
/* Recordings: what is written is read again, whatever the bytes and wherever
 * they were cut; and what others made, whole or hostile, gets its answer. */
#include "terminal.h"

#include <sys/mman.h>

static int make_file(const char *text, size_t bytes)
{
	int fd = memfd_create("cast", MFD_CLOEXEC);

	assert_system(fd);
	assert_int_equal(write(fd, text, bytes), bytes);
	assert_system(lseek(fd, 0, SEEK_SET));
	return fd;
}

static struct stoa_terminal_cast usual_cast(void)
{
	return (struct stoa_terminal_cast){
		.size = sizeof(struct stoa_terminal_cast),
		.window = { 24, 80, 0, 0 },
	};
}

static struct stoa_terminal_recorder *record_to(int fd)
{
	const struct stoa_terminal_cast cast = usual_cast();
	struct stoa_terminal_recorder *recorder = NULL;

	assert_ok(stoa_terminal_recorder_open(fd, &cast, &recorder));
	return recorder;
}

static void assert_file(int fd, const char *text)
{
	char got[4096];
	ssize_t bytes = assert_system(pread(fd, got, sizeof(got) - 1, 0));

	got[bytes] = '\0';
	assert_string_equal(got, text);
}

/* ---- Writing ------------------------------------------------------------------ */

TEST(a_recording_is_written_as_the_format_has_it)
{
	struct stoa_terminal_cast cast = usual_cast();
	const struct stoa_terminal_size size = { 50, 132, 0, 0 };
	struct stoa_terminal_recorder *recorder;
	int fd = make_file("", 0);

	cast.started_ns = 1504467315 * SECOND + 1;
	cast.idle_limit_ns = 1500 * MS;
	cast.command = "sh -c \"x\"";
	cast.title = "a\\b\303\244\377";
	cast.shell = "/bin/sh";
	cast.term = "xterm";
	assert_ok(stoa_terminal_recorder_open(fd, &cast, &recorder));
	assert_ok(stoa_terminal_recorder_put(recorder, 'o', 0, "a\r\n\033[1m",
	                                     7));
	assert_ok(stoa_terminal_recorder_put(recorder, 'i', 1234567890, "\177\t",
	                                     2));
	assert_ok(stoa_terminal_recorder_put(recorder, 'm', 1000000000, "", 0));
	assert_ok(stoa_terminal_recorder_resize(recorder, 2 * SECOND, &size));
	assert_ok(stoa_terminal_recorder_close(recorder));
	assert_file(fd,
	            "{\"version\": 2, \"width\": 80, \"height\": 24, "
	            "\"timestamp\": 1504467315, \"idle_time_limit\": 1.500000, "
	            "\"command\": \"sh -c \\\"x\\\"\", "
	            "\"title\": \"a\\\\b\303\244\357\277\275\", "
	            "\"env\": {\"SHELL\": \"/bin/sh\", \"TERM\": \"xterm\"}}\n"
	            "[0.000000, \"o\", \"a\\r\\n\\u001b[1m\"]\n"
	            "[1.234567, \"i\", \"\\u007f\\t\"]\n"
	            "[2.000000, \"r\", \"132x50\"]\n");
	close(fd);
}

TEST(characters_that_are_cut_are_put_together)
{
	static const char text[] = "\303\244\342\202\254\360\237\230\200z";
	struct stoa_terminal_recorder *recorder;
	int fd = make_file("", 0);

	recorder = record_to(fd);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		assert_ok(stoa_terminal_recorder_put(recorder, 'o', 0, text + i,
		                                     1));
	/* One that never ends, and one that another byte ends. */
	assert_ok(stoa_terminal_recorder_put(recorder, 'o', 0, "\342\202", 2));
	assert_ok(stoa_terminal_recorder_put(recorder, 'i', 0, "q", 1));
	assert_ok(stoa_terminal_recorder_put(recorder, 'o', 0, "A\360", 2));
	assert_ok(stoa_terminal_recorder_close(recorder));
	assert_file(fd, "{\"version\": 2, \"width\": 80, \"height\": 24}\n"
	                "[0.000000, \"o\", \"\303\244\"]\n"
	                "[0.000000, \"o\", \"\342\202\254\"]\n"
	                "[0.000000, \"o\", \"\360\237\230\200\"]\n"
	                "[0.000000, \"o\", \"z\"]\n"
	                "[0.000000, \"i\", \"q\"]\n"
	                "[0.000000, \"o\", \"\357\277\275A\"]\n"
	                "[0.000000, \"o\", \"\357\277\275\"]\n");
	close(fd);
}

TEST(a_time_never_goes_back)
{
	struct stoa_terminal_recorder *recorder;
	int fd = make_file("", 0);

	recorder = record_to(fd);
	assert_ok(stoa_terminal_recorder_put(recorder, 'o', 5 * SECOND, "a",
	                                     1));
	assert_ok(stoa_terminal_recorder_put(recorder, 'o', 3 * SECOND, "b",
	                                     1));
	assert_ok(stoa_terminal_recorder_close(recorder));
	assert_file(fd, "{\"version\": 2, \"width\": 80, \"height\": 24}\n"
	                "[5.000000, \"o\", \"a\"]\n"
	                "[5.000000, \"o\", \"b\"]\n");
	close(fd);
}

TEST(a_full_disk_ends_a_recording_and_is_told_from_then_on)
{
	const struct stoa_terminal_cast cast = usual_cast();
	struct stoa_terminal_recorder *recorder = NULL;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), pipe[2];

	assert_result(stoa_terminal_recorder_open(fd, &cast, &recorder),
	              -ENOSPC);
	assert_null(recorder);
	close(fd);
	signal(SIGPIPE, SIG_IGN);
	make_pipe(pipe);
	recorder = record_to(pipe[1]);
	close(pipe[0]);
	for (int i = 0; i < 2; i++)
		assert_result(stoa_terminal_recorder_put(recorder, 'o', 0, "a",
		                                         1),
		              -EPIPE);
	assert_result(stoa_terminal_recorder_close(recorder), -EPIPE);
	close(pipe[1]);
	assert_ok(stoa_terminal_recorder_close(NULL));
}

TEST(what_can_not_be_recorded_is_refused)
{
	struct stoa_terminal_cast cast = usual_cast();
	struct stoa_terminal_recorder *recorder = NULL;
	int fd = make_file("", 0);

	cast.window.rows = 0;
	assert_result(stoa_terminal_recorder_open(fd, &cast, &recorder),
	              -EINVAL);
	cast = usual_cast();
	cast.size--;
	assert_result(stoa_terminal_recorder_open(fd, &cast, &recorder),
	              -EINVAL);
	cast = usual_cast();
	cast.reserved[1] = 1;
	assert_result(stoa_terminal_recorder_open(fd, &cast, &recorder),
	              -EINVAL);
	recorder = record_to(fd);
	assert_result(stoa_terminal_recorder_put(recorder, 'r', 0, "1x1", 3),
	              -EINVAL);
	assert_ok(stoa_terminal_recorder_close(recorder));
	close(fd);
}

/* ---- Reading ------------------------------------------------------------------- */

#define HEADER "{\"version\": 2, \"width\": 80, \"height\": 24}\n"

static struct stoa_terminal_player *play(const char *text, int *ret_fd)
{
	struct stoa_terminal_cast cast = usual_cast();
	struct stoa_terminal_player *player = NULL;

	*ret_fd = make_file(text, strlen(text));
	assert_ok(stoa_terminal_player_open(*ret_fd, &cast, &player));
	return player;
}

TEST(what_is_recorded_is_read_again_byte_by_byte)
{
	uint64_t seed = run_seed();

	for (int round = 0; round < 50; round++) {
		struct stoa_terminal_recorder *recorder;
		struct stoa_terminal_player *player;
		struct stoa_terminal_cast cast = usual_cast();
		struct stoa_terminal_frame frame;
		char text[20000], got[60000];
		size_t bytes = 0, have = 0;
		int fd = make_file("", 0);

		/* ASCII of all kinds, and characters of each length. */
		while (bytes < sizeof(text) - 4) {
			static const char *const some[] = {
				"\303\277", "\340\240\200", "\364\217\277\277",
				"\355\237\277",
			};
			const char *add = some[random_below(&seed, 4)];

			if (random_below(&seed, 2)) {
				text[bytes++] =
				        (char)random_below(&seed, 128);
				continue;
			}
			memcpy(text + bytes, add, strlen(add));
			bytes += strlen(add);
		}
		recorder = record_to(fd);
		for (size_t at = 0; at < bytes;) {
			size_t piece = 1 + random_below(&seed, 9000);

			if (piece > bytes - at)
				piece = bytes - at;
			assert_ok(stoa_terminal_recorder_put(
			        recorder, 'o', (int64_t)at * MS, text + at,
			        piece));
			at += piece;
		}
		assert_ok(stoa_terminal_recorder_close(recorder));
		assert_system(lseek(fd, 0, SEEK_SET));
		assert_ok(stoa_terminal_player_open(fd, &cast, &player));
		while (stoa_terminal_player_next(player, &frame) == 1) {
			assert_true(have + frame.bytes <= sizeof(got));
			memcpy(got + have, frame.data, frame.bytes);
			have += frame.bytes;
		}
		assert_int_equal(have, bytes);
		assert_memory_equal(got, text, bytes);
		stoa_terminal_player_close(player);
		close(fd);
	}
}

TEST(the_first_line_is_understood)
{
	static const char text[] =
	        "{\"width\":1.0e2, \"height\":5,\"version\":2e0,\r\t"
	        "\"env\":{\"X\":[1,{\"a\":null}],\"SHELL\":\"\\/b\\u0069n\"},"
	        "\"theme\":{\"fg\":\"#fff\",\"x\":[[],{}]},\"title\":null,"
	        "\"command\":\"\\ud83d\\ude00\\ud83d\","
	        "\"idle_time_limit\":2.5,\"timestamp\":10}\r\n";
	struct stoa_terminal_cast cast = usual_cast();
	struct stoa_terminal_player *player;
	struct stoa_terminal_frame frame;
	int fd = make_file(text, sizeof(text) - 1);

	assert_ok(stoa_terminal_player_open(fd, &cast, &player));
	assert_int_equal(cast.window.columns, 100);
	assert_int_equal(cast.window.rows, 5);
	assert_int_equal(cast.idle_limit_ns, 2500 * MS);
	assert_int_equal(cast.started_ns, 10 * SECOND);
	assert_string_equal(cast.shell, "/bin");
	assert_string_equal(cast.command, "\360\237\230\200\357\277\275");
	assert_null(cast.title);
	assert_null(cast.term);
	assert_result(stoa_terminal_player_next(player, &frame), 0);
	assert_result(stoa_terminal_player_next(player, &frame), 0);
	stoa_terminal_player_close(player);
	close(fd);
}

TEST(events_are_understood)
{
	struct stoa_terminal_frame frame;
	int fd;
	struct stoa_terminal_player *player =
	        play(HEADER "\n [1.5, \"o\", \"x\\u0000\\\"\"] \r\n"
	                    "[1, \"zz\", {\"any\": [true, false]}]\n"
	                    "[0.25E+1,\"r\",\"132x50\"]\n"
	                    "[0.1, \"m\", \"\"]",
	             &fd);

	assert_result(stoa_terminal_player_next(player, &frame), 1);
	assert_int_equal(frame.kind, 'o');
	assert_int_equal(frame.ns, 1500 * MS);
	assert_int_equal(frame.bytes, 3);
	assert_memory_equal(frame.data, "x\0\"", 3);
	assert_int_equal(frame.line, 3);
	assert_result(stoa_terminal_player_next(player, &frame), 1);
	assert_int_equal(frame.kind, 'r');
	assert_int_equal(frame.window.columns, 132);
	assert_int_equal(frame.window.rows, 50);
	assert_int_equal(frame.ns, 2500 * MS);
	assert_result(stoa_terminal_player_next(player, &frame), 1);
	assert_int_equal(frame.kind, 'm');
	assert_int_equal(frame.ns, 2500 * MS); /* never back */
	assert_result(stoa_terminal_player_next(player, &frame), 0);
	stoa_terminal_player_close(player);
	close(fd);
}

TEST(a_line_that_was_cut_is_told_after_all_before_it)
{
	static const char last[] = "[1.5, \"o\", \"\\u00e9 \303\251\"]";

	for (size_t cut = 1; cut < sizeof(last) - 1; cut++) {
		struct stoa_terminal_player *player;
		struct stoa_terminal_frame frame;
		char text[256];
		int fd;

		snprintf(text, sizeof(text), HEADER "[0, \"o\", \"a\"]\n%.*s",
		         (int)cut, last);
		player = play(text, &fd);
		assert_result(stoa_terminal_player_next(player, &frame), 1);
		assert_result(stoa_terminal_player_next(player, &frame),
		              -ENODATA);
		assert_sentence("line 3");
		stoa_terminal_player_close(player);
		close(fd);
	}
}

TEST(what_is_no_recording_is_refused)
{
	static const struct {
		const char *text;
		int result;
	} bad[] = {
		{ "", -EPROTO },
		{ "\n", -EPROTO },
		{ "hello\n", -EPROTO },
		{ "[1, \"o\", \"a\"]\n", -EPROTO },
		{ "{}\n", -EPROTO },
		{ "{\"version\": 1, \"width\": 80, \"height\": 24}\n",
		  -EPROTO },
		{ "{\"version\": 3, \"term\": {\"cols\": 80}}\n", -EPROTO },
		{ "{\"version\": \"2\"}\n", -EBADMSG },
		{ "{\"version\": 2, \"width\": 80}\n", -EBADMSG },
		{ "{\"version\": 2, \"width\": 0, \"height\": 1}\n",
		  -EBADMSG },
		{ "{\"version\": 2, \"width\": -1, \"height\": 1}\n",
		  -EBADMSG },
		{ "{\"version\": 2, \"width\": 1.5, \"height\": 1}\n",
		  -EBADMSG },
		{ "{\"version\": 2, \"width\": 10000, \"height\": 1}\n",
		  -EBADMSG },
		{ "{\"version\": 2, \"width\": 1e999999999999, \"height\": 1}",
		  -EBADMSG },
		{ "{\"version\": 2, \"width\": 80, \"height\": 24,}\n",
		  -EBADMSG },
		{ "{\"version\": 2, \"width\": 80, \"height\": 24\n",
		  -EBADMSG },
		{ "{\"version\": 2, \"width\": 80, \"height\": 24} x\n",
		  -EBADMSG },
		{ "{\"version\": 2, \"x\": \"\377\"}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": \"\001\"}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": \"\\q\"}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": \"\\u12\"}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": \"\\", -EBADMSG },
		{ "{\"version\": 2, \"x\": truth}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": 01}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": 1.}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": 1e}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": -}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": [1,]}\n", -EBADMSG },
		{ "{\"version\": 2, \"x\": [}]}\n", -EBADMSG },
	};

	for (size_t i = 0; i < LENGTH(bad); i++) {
		struct stoa_terminal_cast cast = usual_cast();
		struct stoa_terminal_player *player = NULL;
		int fd = make_file(bad[i].text, strlen(bad[i].text));
		int result = stoa_terminal_player_open(fd, &cast, &player);

		if (result != bad[i].result)
			fail_msg("'%s' gave %d", bad[i].text, result);
		assert_null(player);
		assert_int_equal(cast.window.rows, 24);
		close(fd);
	}
}

TEST(deep_nesting_is_refused)
{
	struct stoa_terminal_cast cast = usual_cast();
	struct stoa_terminal_player *player = NULL;
	char text[100100] = "{\"version\": 2, \"x\": ";
	int fd;

	memset(text + strlen(text), '[', 100000);
	fd = make_file(text, strlen(text));
	assert_result(stoa_terminal_player_open(fd, &cast, &player), -EBADMSG);
	close(fd);
}

TEST(events_that_can_not_be_are_refused)
{
	static const char *const bad[] = {
		"hello",
		"{}",
		"[]",
		"[1]",
		"[1, \"o\"]",
		"[1, \"o\", 1]",
		"[1, \"o\", \"a\", 1]",
		"[1, \"o\", \"a\"",
		"[1, \"o\", \"a\"] x",
		"[-1, \"o\", \"a\"]",
		"[1e30, \"o\", \"a\"]",
		"[\"1\", \"o\", \"a\"]",
		"[1, o, \"a\"]",
		"[1, \"o\", \"\355\240\200\"]",
		"[1, \"o\", \"\300\200\"]",
		"[1, \"o\", \"\360\200\200\200\"]",
		"[1, \"o\", \"\364\220\200\200\"]",
		"[1, \"o\", \"\033\"]",
		"[1, \"r\", \"80\"]",
		"[1, \"r\", \"80x\"]",
		"[1, \"r\", \"x24\"]",
		"[1, \"r\", \"0x24\"]",
		"[1, \"r\", \"80x24x1\"]",
		"[1, \"r\", \"99999999999999999999x1\"]",
		"[1, \"r\", \"\"]",
	};

	for (size_t i = 0; i < LENGTH(bad); i++) {
		struct stoa_terminal_player *player;
		struct stoa_terminal_frame frame = { .line = 77 };
		char text[256];
		int fd, result;

		snprintf(text, sizeof(text), HEADER "%s\n", bad[i]);
		player = play(text, &fd);
		result = stoa_terminal_player_next(player, &frame);
		if (result != -EBADMSG)
			fail_msg("'%s' gave %d", bad[i], result);
		assert_sentence("line 2");
		assert_int_equal(frame.line, 77);
		stoa_terminal_player_close(player);
		close(fd);
	}
}

TEST(an_endless_line_is_refused)
{
	struct stoa_terminal_player *player;
	struct stoa_terminal_frame frame;
	char *text = malloc((20 << 20) + 1);
	int fd;

	memset(text, ' ', 20 << 20);
	memcpy(text, HEADER, strlen(HEADER));
	text[20 << 20] = '\0';
	player = play(text, &fd);
	assert_result(stoa_terminal_player_next(player, &frame), -EBADMSG);
	stoa_terminal_player_close(player);
	close(fd);
	free(text);
}

/* Changes bytes of a good recording by chance: there is always an answer. */
TEST(hostile_bytes_do_no_harm)
{
	static const char good[] =
	        "{\"version\": 2, \"width\": 80, \"height\": 24, \"env\": "
	        "{\"SHELL\": \"/bin/sh\"}, \"x\": [1, {\"y\": null}]}\n"
	        "[0.5, \"o\", \"a\\u00e9\\ud83d\\ude00\303\251\\n\"]\n"
	        "[1e0, \"r\", \"100x30\"]\n[2.25, \"i\", \"\\\"\\\\\"]\n";
	static const char liked[] = "\"\\u[]{},:0e-\xff\xc3\n\0";
	uint64_t seed = run_seed();

	for (int round = 0; round < 20000; round++) {
		struct stoa_terminal_cast cast = usual_cast();
		struct stoa_terminal_player *player;
		struct stoa_terminal_frame frame;
		char text[sizeof(good)];
		uint64_t changes = 1 + random_below(&seed, 4);
		int fd, result;

		memcpy(text, good, sizeof(good));
		for (uint64_t i = 0; i < changes; i++)
			text[random_below(&seed, sizeof(good) - 1)] =
			        random_below(&seed, 2) ?
			                liked[random_below(&seed,
			                                   sizeof(liked) - 1)] :
			                (char)random_below(&seed, 256);
		fd = make_file(text, 1 + random_below(&seed, sizeof(good) - 1));
		result = stoa_terminal_player_open(fd, &cast, &player);
		assert_true(result == 0 || result == -EPROTO ||
		            result == -EBADMSG);
		if (result == 0) {
			do
				result = stoa_terminal_player_next(player,
				                                   &frame);
			while (result == 1);
			assert_true(result == 0 || result == -EBADMSG ||
			            result == -ENODATA);
			stoa_terminal_player_close(player);
		}
		close(fd);
	}
}

TEST(a_session_is_recorded_and_read_again)
{
	struct stoa_terminal *terminal =
	        start_alone("stty -echo; echo ready; read a; stty size; echo $a");
	struct stoa_terminal_size size = { 30, 90, 0, 0 };
	struct stoa_terminal_cast cast = usual_cast();
	struct stoa_terminal_recorder *recorder;
	struct stoa_terminal_player *player;
	struct stoa_terminal_frame frame;
	struct seen all = { .bytes = 0 }, typed = { .bytes = 0 };
	int fd = make_file("", 0), pipe[2], sizes = 0, input[2];

	make_pipe(pipe);
	make_pipe(input);
	recorder = record_to(fd);
	stoa_terminal_join(terminal, input[0], pipe[1]);
	stoa_terminal_record(terminal, recorder, 1);
	run_until(terminal, pipe[0], "ready\r\n");
	assert_ok(stoa_terminal_resize(terminal, &size));
	assert_int_equal(write(input[1], "word\n", 5), 5);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	stoa_terminal_close(terminal, STOA_NOW);
	assert_ok(stoa_terminal_recorder_close(recorder));
	assert_system(lseek(fd, 0, SEEK_SET));
	assert_ok(stoa_terminal_player_open(fd, &cast, &player));
	while (stoa_terminal_player_next(player, &frame) == 1) {
		if (frame.kind == 'o')
			see(&all, frame.data, frame.bytes);
		if (frame.kind == 'i')
			see(&typed, frame.data, frame.bytes);
		sizes += frame.kind == 'r' && frame.window.rows == 30;
	}
	assert_string_equal(all.text, "ready\r\n30 90\r\nword\r\n");
	assert_string_equal(typed.text, "word\n");
	assert_int_equal(sizes, 1);
	stoa_terminal_player_close(player);
	for (int i = 0; i < 2; i++) {
		close(pipe[i]);
		close(input[i]);
	}
	close(fd);
}

static const struct CMUnitTest cases[] = {
	CASE(a_recording_is_written_as_the_format_has_it),
	CASE(characters_that_are_cut_are_put_together),
	CASE(a_time_never_goes_back),
	CASE(a_full_disk_ends_a_recording_and_is_told_from_then_on),
	CASE(what_can_not_be_recorded_is_refused),
	CASE(what_is_recorded_is_read_again_byte_by_byte),
	CASE(the_first_line_is_understood),
	CASE(events_are_understood),
	CASE(a_line_that_was_cut_is_told_after_all_before_it),
	CASE(what_is_no_recording_is_refused),
	CASE(deep_nesting_is_refused),
	CASE(events_that_can_not_be_are_refused),
	CASE(an_endless_line_is_refused),
	CASE(hostile_bytes_do_no_harm),
	CASE(a_session_is_recorded_and_read_again),
};

MAIN(cases)
