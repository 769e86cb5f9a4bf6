/* SPDX-License-Identifier: MIT */
/*
 * scribbler.c: victims use an object in every way there is while another process
 * overwrites its memory without end: each noun in each shape. In the end its
 * header is overwritten, too. HOSTILE_SECONDS says how long in all; the
 * bytes stored and the operations survived are printed.
 */
#include "hostile.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	SECONDS_DEFAULT = 18,
	VICTIMS = 2,
	KILL_EVERY_MS = 100, /* a victim dies with what it holds */
	SETTLE_MS = 5000, /* for leaving after the end */
	PATIENCE_US = 500,
	HEADER_PART = 4, /* of a round: its last quarter */
};

/* What all processes of a round see. */
struct board {
	_Atomic bool over;
	_Atomic uint64_t hostile_bytes;
	_Atomic uint64_t operations;
	_Atomic uint64_t answers[2]; /* good, errors */
};

struct round {
	const struct noun *noun;
	unsigned shape, number;
	int64_t header_ns; /* from here on the header isn't spared */
};

static struct board *board;
static char directory[] = "/dev/shm/stoa-test-XXXXXX";
static uint64_t total_bytes, total_operations;

/* ---- The processes ------------------------------------------------------ */

static uint64_t seed_of(unsigned round, unsigned process)
{
	return run_seed() * 1000003 + round * 1009 + process * 17 + 1;
}

static void keep_path(char *path, size_t bytes)
{
	snprintf(path, bytes, "%s/kept", directory);
}

/* An open that finds a scribbled "removed" takes the name away. */
static void restore_name(const struct victim *victim)
{
	char from[64], to[300];

	keep_path(from, sizeof(from));
	object_path(to, sizeof(to), victim->space, victim->noun, victim->name);
	if (link(from, to) != 0 && errno != EEXIST)
		finding("link: %s", strerror(errno));
}

static void be_victim(struct stoa_space *space, const struct round *round,
                      uint64_t seed)
{
	struct victim victim =
		victim_of(space, round->noun, round->shape, PATIENCE_US * 1000);
	long long result;

	victim.chance = seed;
	trial("%s, shape %u", round->noun->kind, round->shape);
	while (!atomic_load(&board->over)) {
		if (victim.handle == NULL)
			restore_name(&victim);
		result = operate_by_chance(&victim);
		atomic_fetch_add(&board->answers[result < 0], 1);
		atomic_fetch_add(&board->operations, 1);
	}
	watch_operation("close", SETTLE_MS * MS);
	victim_close(&victim);
	stoa_space_close(space);
	operation_done();
	exit(EXIT_SUCCESS);
}

static void be_scribbler(const struct image *image, const struct round *round,
                         uint64_t seed)
{
	struct scribbler scribbler;

	scribbler_init(&scribbler, image, seed);
	while (!atomic_load(&board->over)) {
		uint64_t before = scribbler.stored;

		scribbler.spare_header = now_ns() < round->header_ns;
		scribble(&scribbler);
		atomic_fetch_add(&board->hostile_bytes,
		                 scribbler.stored - before);
	}
	_exit(EXIT_SUCCESS);
}

static pid_t start_victim(struct stoa_space *space, const struct round *round,
                          unsigned number)
{
	uint64_t seed = seed_of(round->number, number);
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		be_victim(space, round, seed);
	}
	return pid;
}

static pid_t start_scribbler(const struct image *image,
                             const struct round *round)
{
	uint64_t seed = seed_of(round->number, 0);
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		be_scribbler(image, round, seed);
	}
	return pid;
}

/* ---- A round ------------------------------------------------------------ */

static void pause_ms(int64_t ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * MS };

	nanosleep(&pause, NULL);
}

/* The end of a victim: by our own SIGKILL, or well. */
static bool ended_well(pid_t pid, bool killed)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return false;
	if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	remark("a victim ended with status %#x", status);
	return false;
}

/* On a busy machine nobody may have had the processor in the time. */
static bool is_tried(void)
{
	return atomic_load(&board->operations) > 0 &&
	       atomic_load(&board->hostile_bytes) > 0;
}

static bool has_ended(pid_t pid)
{
	siginfo_t end = { 0 };

	return waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) !=
	               0 ||
	       end.si_pid != 0;
}

/* Starts, kills and starts again, until the time is over. */
static bool torment(struct stoa_space *space, const struct round *round,
                    pid_t scribbler, int64_t until_ns)
{
	unsigned number = 1;
	pid_t victims[VICTIMS];
	bool good = true;

	for (int i = 0; i < VICTIMS; i++)
		victims[i] = start_victim(space, round, number++);
	while (good && (now_ns() < until_ns || !is_tried())) {
		pause_ms(KILL_EVERY_MS);
		kill(victims[0], SIGKILL);
		good = ended_well(victims[0], true);
		victims[0] = start_victim(space, round, number++);
		good = good && !has_ended(victims[1]) && !has_ended(scribbler);
	}
	atomic_store(&board->over, true);
	for (int i = 0; i < VICTIMS; i++)
		good = ended_well(victims[i], false) && good;
	return good;
}

static void make_round(struct stoa_space **ret_space, const struct round *round,
                       struct image *image)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/space", directory);
	if (stoa_space_open(path, STOA_CREATE, ret_space) != 0)
		finding("no space");
	round->noun->populate(*ret_space, "q", round->shape);
	image_open(image, *ret_space, round->noun, "q", round->shape);
	keep_path(path, sizeof(path));
	if (link(image->path, path) != 0)
		finding("link: %s", strerror(errno));
}

static bool run_round(struct round *round, int64_t ns)
{
	int64_t until_ns = now_ns() + ns;
	struct stoa_space *space;
	struct image image;
	pid_t scribbler;
	bool good;

	strcpy(directory + sizeof("/dev/shm/stoa-test-") - 1, "XXXXXX");
	if (mkdtemp(directory) == NULL)
		finding("no directory");
	memset(board, 0, sizeof(*board));
	make_round(&space, round, &image);
	round->header_ns = until_ns - ns / HEADER_PART;
	scribbler = start_scribbler(&image, round);
	good = torment(space, round, scribbler, until_ns);
	good = ended_well(scribbler, false) && good && is_tried();
	image_close(&image);
	stoa_space_close(space);
	remove_tree(directory);
	printf("  %-7s %s, shape %u: %.1f MB stored, %llu operations, "
	       "%llu errors\n",
	       good ? "ok" : "FAILED", round->noun->kind, round->shape,
	       (double)board->hostile_bytes / 1e6,
	       (unsigned long long)board->operations,
	       (unsigned long long)board->answers[1]);
	total_bytes += board->hostile_bytes;
	total_operations += board->operations;
	return good;
}

/* How many shapes the nouns have whose kinds begin with `part`. */
static int64_t rounds_of(const char *part)
{
	int64_t rounds = 0;

	for (size_t i = 0; i < noun_count; i++)
		if (strncmp(nouns[i]->kind, part, strlen(part)) == 0)
			rounds += nouns[i]->shapes;
	return rounds > 0 ? rounds : 1;
}

int main(int argc, char **argv)
{
	const char *given = getenv("HOSTILE_SECONDS");
	const char *part = argc > 1 ? argv[1] : "";
	int64_t ns = (given != NULL ? atoi(given) : SECONDS_DEFAULT) * SECOND /
	             rounds_of(part);
	unsigned passed = 0, failed = 0, number = 0;

	watchdog_start();
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; i < noun_count; i++) {
		struct round round = { .noun = nouns[i] };

		if (strncmp(nouns[i]->kind, part, strlen(part)) != 0)
			continue;
		for (; round.shape < nouns[i]->shapes; round.shape++) {
			round.number = number++;
			if (run_round(&round, ns))
				passed++;
			else
				failed++;
		}
	}
	printf("tests/hostile/scribbler: %u passed, %u failed "
	       "(%.2f GB stored, %.2f million operations, seed %llu)\n",
	       passed, failed, (double)total_bytes / 1e9,
	       (double)total_operations / 1e6, (unsigned long long)run_seed());
	return failed == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
