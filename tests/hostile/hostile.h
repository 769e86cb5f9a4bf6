/* SPDX-License-Identifier: MIT */
/*
 * hostile.h: what the hostile tests share. A *victim* uses the library as any
 * program does while its memory and its files are overwritten. It must never
 * crash, touch memory out of bounds, answer an error that isn't promised, or
 * come back long after its deadline. Whatever is wrong ends the process with
 * a sentence that names the operation and the trial.
 *
 * ONE MORE NOUN costs one file here, <noun>.c, with a struct noun (see below,
 * and barrier.c, the smallest), and a line in nouns.c. It gives
 *   - how its objects are made in every state, opened and closed;
 *   - its operations, each of which does something sensible by chance, with
 *     buffers as long as the library was told, and checks what it was given;
 *   - where its parts are in the file, and which words of them mean what.
 * The programs do the rest, for every noun of the list: bytes.c sets each byte
 * and word to false values, files.c cuts and replaces files, mapped.c cuts and
 * punches them under a mapping, aimed.c keeps each word false in many ways
 * while all operations run, scribbler.c does all of that at random and at full
 * speed, tool.c has the command look at it, fuzz_*.c are libFuzzer's targets
 * (STOA_FUZZ_NOUN says which noun). And give mutants.sh a check to take out of
 * the noun's source, which these must notice.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <support.h>

#include <space/object.h>

/* ---- The watchdog (watchdog.c) ------------------------------------------ */

/* An operation hangs when it takes so long; or computes for so long, which a
 * busy machine doesn't change. What is slow, but ends, is reported. */
enum {
	OPERATION_HANGS_S = 300, /* or $HOSTILE_HANG_SECONDS */
	OPERATION_COMPUTES_S = 20, /* or $HOSTILE_COMPUTE_SECONDS */
	OPERATION_SLOW_MS = 1000, /* of computing */
	OPERATION_LATE_MS = 30000, /* past its deadline */
};

/* Once for a program: a PID namespace of its own, if that is allowed, and a
 * copy of stderr for what must be seen whatever becomes of the case. */
void watchdog_start(void);
/* Names what is being tried, for the report of a failure. */
void trial(const char *format, ...) __attribute__((format(printf, 1, 2)));
void watch_operation(const char *name, int64_t patience_ns);
void operation_done(void);
/* Something is wrong: tells, and ends the process with a stack. */
void finding(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
/* Prints a line that is seen whatever becomes of the case. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Walls around the library (walls.c) --------------------------------- */

/* Signals that the library was about to send to somebody outside this process
 * group, or with a number that no test asks for. They are not sent. */
unsigned forged_signals(void);

/* ---- Nouns (nouns.c) ---------------------------------------------------- */

struct place {
	void *memory;
	size_t bytes;
};

struct victim {
	struct stoa_space *space;
	const struct noun *noun;
	const char *name;
	unsigned shape;
	/* Both set by the noun's open(); NULL: it couldn't be opened. */
	void *handle; /* the noun's own */
	struct stoa_object *object;
	struct place place; /* of a placed noun: mapped before open() */
	uint64_t chance;
	unsigned flags; /* for open(), besides: STOA_CREATE, or 0 */
	int64_t patience_ns; /* longest wait of an operation; 0: none */
	bool may_be_cut; /* -EIO is expected */
	bool whole_at_loan; /* the last loan was made before any fault */
};

struct operation {
	const char *name;
	/* 0 or more, or -errno; also 0 when there is nothing to do. */
	long long (*run)(struct victim *victim);
	unsigned weight; /* how often, by chance */
	bool opens; /* may answer what opening files answers */
	bool on_space; /* needs no handle */
};

struct image;
struct scribbler;

/* What a word means, so that false ones can look true. */
enum meaning {
	MEANS_ANYTHING,
	MEANS_NUMBER, /* up to one of image.numbers */
	MEANS_POSITION, /* near the one that is there */
	MEANS_TOKEN, /* of a seat */
	MEANS_PEER,
	MEANS_AGENT, /* peer and thread */
	MEANS_EVENT,
	MEANS_OWN /* noun->word() knows */
};

struct field {
	const char *name; /* NULL ends the table */
	unsigned region; /* of the noun's own, from 0 in order of locate() */
	size_t offset; /* in each item of the region */
	unsigned bytes; /* 4 or 8 */
	enum meaning meaning;
	uint64_t flags; /* bits that may be set besides */
};

#define FIELD(region, type, member, meaning, flags)                        \
	{                                                                  \
#member, region, offsetof(struct type, member),            \
			sizeof(((struct type *)0)->member), meaning, flags \
	}

/* An attack that the fields don't tell of. */
struct attack {
	const char *name; /* NULL ends the table */
	void (*store)(struct scribbler *scribbler); /* again and again */
	int times; /* that the victim opens and works */
};

struct noun {
	const char *kind; /* of the file, NAME.kind */
	/* It stands in the caller's memory: in a mapping of NAME.kind, which
	 * is no object. */
	bool placed;
	unsigned shapes; /* that populate() makes: 0 .. shapes - 1 */
	const struct operation *operations; /* the last has no name */
	const int *errors; /* that these answer, too; the last is 0 */
	const struct field *fields;
	/* Makes NAME.kind in every state there is: used by the living and by
	 * processes that died with what they held. */
	void (*populate)(struct stoa_space *space, const char *name,
	                 unsigned shape);
	/* 0, with victim->handle and object set, or -errno. */
	int (*open)(struct victim *victim);
	void (*close)(struct victim *victim);
	/* Calls image_region() and image_number() for what it has. */
	void (*locate)(struct image *image, const struct victim *victim);
	/* The rest may be NULL. */
	uint64_t (*word)(struct scribbler *scribbler,
	                 const struct field *field);
	void (*forge)(struct scribbler *scribbler); /* a burst of stores */
	int (*pollfd)(struct victim *victim, unsigned direction);
	const struct attack *attacks;
};

extern const struct noun *const nouns[];
extern const size_t noun_count;
/* Of the kind, or NULL. */
const struct noun *find_noun(const char *kind);

/* A program whose cases are tried on every noun (the placed ones, too, or
 * not); `argv[1]` is a part of a case's name, "stream: a_file_cut". */
struct noun_case {
	const char *name;
	void (*run)(const struct noun *noun);
};
int run_noun_cases(int argc, char **argv, const struct noun_case *cases,
                   size_t count, bool placed, const struct CMUnitTest *more,
                   size_t more_count);

/* For populate(): ends the process if the call failed. */
void must(long long result, const char *what);
/* Runs `hold` on the handle in a process that ends without closing anything. */
void hold_and_die(void (*hold)(void *handle), void *handle);

/* For placed nouns: the memory, mapped anew; `bytes` 0: as it is. */
struct place map_place(struct stoa_space *space, const struct noun *noun,
                       const char *name, size_t bytes);
void unmap_place(struct place *place);

/* ---- Operations (operations.c) ------------------------------------------ */

extern const struct operation space_operations[];
extern const size_t space_operation_count;
size_t operations_of(const struct noun *noun); /* how many */
const struct operation *operation_of(const struct noun *noun, const char *name);

struct victim victim_of(struct stoa_space *space, const struct noun *noun,
                        unsigned shape, int64_t patience_ns);
/* Runs one operation under the watchdog and checks what it answers. */
long long operate(struct victim *victim, const struct operation *operation);
long long operate_by_chance(struct victim *victim);
/* Every operation once, in the tables' order, and those on the space too. */
void operate_all(struct victim *victim);
void operate_on_object(struct victim *victim);

long long victim_open(struct victim *victim);
void victim_close(struct victim *victim);
/* Signals that notifications raise in tests are caught and counted. */
void catch_notifications(void);

/* For the operations themselves. */
bool one_in(struct victim *victim, unsigned n);
uint64_t some(struct victim *victim, uint64_t bound);
struct stoa_deadline soon(struct victim *victim);
/* Of exactly so many bytes: the sanitizer sees one more. The caller frees. */
void *exact(size_t bytes);
unsigned sum_of(const void *data, size_t bytes);
/* What was loaned lies in these bytes, whatever the memory says. */
void check_loan(struct victim *victim, const void *data, size_t bytes,
                const void *base, size_t base_bytes);
/* stoa_wait_any() on the object, by chance for `detail`. */
long long wait_for(struct victim *victim, uint64_t amount, const void *detail);
long long poll_descriptor(int fd);

/* ---- The stoa command (command.c) --------------------------------------- */

/* Once for a case, before it is run. */
void find_command(void);
/* It must end in one of the ways it promises, and print nothing that a terminal
 * would obey. `arguments` end with NULL. */
void run_command(const char *const *arguments);
/* It must exit with `code`; what it prints is another's, and passes through. */
void run_command_to(const char *const *arguments, int code);

/* ---- Images of object files (image.c) ----------------------------------- */

enum {
	REGION_HEADER,
	REGION_STATE,
	REGION_SEATS,
	REGION_OWN, /* the noun's first */
	REGIONS_MAX = 16,
	NUMBERS_MAX = 8
};

struct region {
	const char *name;
	size_t offset, bytes; /* 0: it has none */
	size_t item; /* bytes of each of many alike; 0: it is one thing */
	bool idle; /* decides nothing: content */
};

/* A populated object's file: mapped as an attacker maps it, and a copy. */
struct image {
	const struct noun *noun;
	unsigned shape;
	char path[256];
	int fd;
	char *base;
	char *copy;
	size_t bytes;
	_Atomic uint32_t *state; /* removed, damaged */
	struct region regions[REGIONS_MAX];
	unsigned region_count;
	uint64_t numbers[NUMBERS_MAX]; /* that bound something */
	unsigned number_count;
};

void object_path(char *path, size_t bytes, struct stoa_space *space,
                 const struct noun *noun, const char *name);
/* Opens what populate() has made. */
void image_open(struct image *image, struct stoa_space *space,
                const struct noun *noun, const char *name, unsigned shape);
void image_restore(struct image *image);
void image_close(struct image *image);
/* Not removed nor damaged any more. */
void image_revive(struct image *image);

/* For locate(): `first` lies in the victim's mapping. */
void image_region(struct image *image, const char *name,
                  const struct victim *victim, const void *first, size_t bytes,
                  size_t item);
void image_idle_region(struct image *image, const char *name,
                       const struct victim *victim, const void *first,
                       size_t bytes);
void image_number(struct image *image, uint64_t number);

/* ---- Hostile stores (scribble.c) ---------------------------------------- */

enum { TOKENS_MAX = 16 };

struct scribbler {
	const struct image *image;
	const struct noun *noun;
	char *base;
	bool spare_header; /* identity and geometry are left alone */
	uint64_t chance;
	uint64_t stored; /* bytes */
	uint32_t tokens[TOKENS_MAX]; /* as found in the seats */
	uint64_t owners[TOKENS_MAX];
	uint64_t agents[TOKENS_MAX]; /* and in the noun's words */
	/* Of a living seat that isn't the victim's, if there is one. */
	uint32_t living_token;
	uint64_t living_owner;
};

void scribbler_init(struct scribbler *scribbler, const struct image *image,
                    uint64_t seed);
/* Some hundred stores of one kind, chosen by chance. */
void scribble(struct scribbler *scribbler);
/* Who has a seat now. */
void learn_tokens(struct scribbler *scribbler);
void revive(struct scribbler *scribbler);

/* For noun->forge() and ->word(). */
uint64_t below(struct scribbler *scribbler, uint64_t bound); /* 0 of 0 */
void put32(struct scribbler *scribbler, size_t offset, uint32_t value);
void put64(struct scribbler *scribbler, size_t offset, uint64_t value);
uint64_t get64(struct scribbler *scribbler, size_t offset);
uint32_t some_token(struct scribbler *scribbler);
uint64_t some_agent(struct scribbler *scribbler);
uint32_t some_number(struct scribbler *scribbler, uint32_t bound);
/* One of the noun's own regions, and an item of it. */
const struct region *own_region(const struct scribbler *scribbler,
                                unsigned number);
size_t some_item(struct scribbler *scribbler, unsigned number);
/* A value for the field that could be true, by its meaning. `at`: where. */
uint64_t field_value(struct scribbler *scribbler, const struct field *field,
                     size_t at);
void put_field(struct scribbler *scribbler, const struct field *field,
               size_t item, uint64_t value);

#endif
