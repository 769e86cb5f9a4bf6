/* SPDX-License-Identifier: MIT */
/* tool.h: what the verbs of the stoa command share. */
#ifndef STOA_TOOL_H
#define STOA_TOOL_H

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stoa/stoa.h>

/* ---- Exit codes ---------------------------------------------------------- */

enum tool_exit {
	TOOL_DONE = 0,
	TOOL_NO = 1,     /* timed out, empty, full, none */
	TOOL_USAGE = 2,
	TOOL_FAILED = 3
};

#define TOOL_SIGNAL_EXIT 128 /* a child killed by signal N: 128 + N */

/* ---- Verbs --------------------------------------------------------------- */

struct tool_verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

int stoa_tool_demo(int argc, char **argv);

int tool_ls(int argc, char **argv);
int tool_stat(int argc, char **argv);
int tool_rm(int argc, char **argv);
int tool_clean(int argc, char **argv);
int tool_queue(int argc, char **argv);
int tool_stream(int argc, char **argv);
int tool_terminal(int argc, char **argv);
int tool_topic(int argc, char **argv);
int tool_queue_create(int argc, char **argv);
int tool_queue_send(int argc, char **argv);
int tool_queue_recv(int argc, char **argv);
int tool_queue_take(int argc, char **argv);
int tool_queue_peek(int argc, char **argv);
int tool_queue_purge(int argc, char **argv);
int tool_queue_stat(int argc, char **argv);
int tool_queue_bench(int argc, char **argv);
int tool_barrier(int argc, char **argv);
int tool_fifo(int argc, char **argv);
int tool_datagram(int argc, char **argv);
int tool_descriptor(int argc, char **argv);
int tool_heap(int argc, char **argv);
int tool_mutex(int argc, char **argv);
int tool_pool(int argc, char **argv);
int tool_port(int argc, char **argv);
int tool_process(int argc, char **argv);
int tool_sem(int argc, char **argv);
int tool_segment(int argc, char **argv);
int tool_mapping(int argc, char **argv);
int tool_semset(int argc, char **argv);
int tool_signal(int argc, char **argv);
int tool_lock(int argc, char **argv);
int tool_dropin_run(int argc, char **argv);
int tool_ipcs(int argc, char **argv);
int tool_ipcmk(int argc, char **argv);
int tool_ipcrm(int argc, char **argv);

/* Runs the verb named by argv[0]; NULL-named last entry ends `verbs`. */
const struct tool_verb *tool_find_verb(const struct tool_verb *verbs,
                                       const char *name);
void tool_print_verbs(const struct tool_verb *verbs);

/* ---- Options that all verbs have ----------------------------------------- */

struct tool_common {
	const char *verb; /* "queue recv", for messages */
	const char *help;
	const char *space; /* NULL: the default */
	int no_exit;       /* exit code of "no" */
	int64_t timeout_ns; /* TOOL_NO_TIMEOUT: wait forever */
};

#define TOOL_NO_TIMEOUT (-1)
#define TOOL_COMMON(verb_name, help_text) \
	{ verb_name, help_text, NULL, TOOL_NO, TOOL_NO_TIMEOUT }

#define TOOL_SHORT "S:E:hV"
#define TOOL_LONG                                                  \
	{ "space", required_argument, NULL, 'S' },                 \
	{ "no-exit-code", required_argument, NULL, 'E' },          \
	{ "help", no_argument, NULL, 'h' },                        \
	{ "version", no_argument, NULL, 'V' }
#define TOOL_SHORT_WAIT "w:"
#define TOOL_LONG_WAIT { "timeout", required_argument, NULL, 'w' }
#define TOOL_LONG_END { NULL, 0, NULL, 0 }

/* Values of options that have no letter. */
enum tool_long_option { TOOL_OPTION_FIRST = 256 };

/* The space given before the verb, which -S after it overrides. */
extern const char *tool_space_path;

/* Handles a common option. TOOL_GO_ON, or the exit code to leave with. */
#define TOOL_GO_ON (-1)
int tool_common_option(struct tool_common *common, int option);

/* Opens the space, or explains. 0 or an exit code. */
int tool_open_space(const struct tool_common *common, unsigned flags,
                    struct stoa_space **ret_space);

/* The instant at which the wait that starts now ends. */
struct stoa_deadline tool_deadline(const struct tool_common *common);

/* ---- Complaints: one sentence on standard error -------------------------- */

/* Returns TOOL_FAILED. */
int tool_error(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* What stoa says of the failure, else `what: strerror`. TOOL_FAILED. */
int tool_failure(int error, const char *what);

/* Returns TOOL_USAGE. */
int tool_usage(const struct tool_common *common, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Flushes standard output; says so if that failed. */
int tool_close_stdout(int code);

/* ---- Numbers ------------------------------------------------------------- */

/* "64", "64K", "64KiB", "64KB" (1,000), "1.5M". 0 or -EINVAL, -ERANGE. */
int tool_parse_size(const char *text, uint64_t *ret_size);
int tool_parse_number(const char *text, uint64_t most, uint64_t *ret_number);
/* "0", "2.5": nanoseconds. */
int tool_parse_seconds(const char *text, int64_t *ret_ns);

#define TOOL_TEXT_MAX 64
/* Into `text`, of TOOL_TEXT_MAX. Returns text. */
const char *tool_human_size(uint64_t bytes, char *text);
const char *tool_iso_time(int64_t ns, char *text);
const char *tool_short_time(int64_t ns, char *text);
const char *tool_permissions(mode_t mode, char *text);
const char *tool_user_name(uid_t uid, char *text);
const char *tool_group_name(gid_t gid, char *text);
const char *tool_health(int health);
const char *tool_order(unsigned order);
int tool_parse_order(const char *text, uint32_t *ret_order);

/* ---- Tables, by libsmartcols --------------------------------------------- */

enum tool_column_type { TOOL_TEXT, TOOL_NUMBER, TOOL_SIZE, TOOL_TIME };

struct tool_column {
	const char *name;
	enum tool_column_type type;
	const char *help;
};

struct tool_table_options {
	const char *output;
	bool all, json, raw, no_headings, bytes, list;
};

#define TOOL_SHORT_TABLE "o:OJrnbH"
#define TOOL_LONG_TABLE                                            \
	{ "output", required_argument, NULL, 'o' },                \
	{ "output-all", no_argument, NULL, 'O' },                  \
	{ "json", no_argument, NULL, 'J' },                        \
	{ "raw", no_argument, NULL, 'r' },                         \
	{ "noheadings", no_argument, NULL, 'n' },                  \
	{ "bytes", no_argument, NULL, 'b' },                       \
	{ "list-columns", no_argument, NULL, 'H' }
#define TOOL_HELP_TABLE                                                   \
	" -o, --output LIST    columns to show; +LIST adds to the usual\n" \
	" -O, --output-all     show all columns\n"                         \
	" -J, --json           as JSON: sizes in bytes, times as ISO 8601\n" \
	" -r, --raw            columns divided by one space, no padding\n"  \
	" -n, --noheadings     no headings\n"                              \
	" -b, --bytes          sizes in bytes, not with K, M, G\n"         \
	" -H, --list-columns   list the columns there are\n"
#define TOOL_HELP_COMMON                                                \
	" -S, --space DIR      the space; default $STOA_SPACE, else\n"   \
	"                      /dev/shm/stoa-UID\n"                      \
	" -E, --no-exit-code N exit with N, not 1, if the answer is no\n" \
	" -h, --help           this text\n"                              \
	" -V, --version        the version\n"
#define TOOL_HELP_WAIT                                                    \
	" -w, --timeout SEC    wait at most SEC seconds for each message;\n" \
	"                      0 does not wait; decimals are fine\n"

/* True: the option was one of the table's. */
bool tool_table_option(struct tool_table_options *options, int option);

#define TOOL_COLUMNS_MAX 48

struct tool_table {
	const char *name; /* of the array in JSON */
	const struct tool_column *columns;
	size_t count;
	const struct tool_table_options *options;
	unsigned shown[TOOL_COLUMNS_MAX];
	size_t shown_count;
	void *scols;
	void *line;
};

/* Chooses the columns; prints them if that was asked. TOOL_GO_ON, or an exit
 * code. `usual` names the columns shown by default. */
int tool_table_init(struct tool_table *table, const struct tool_common *common,
                    const char *usual);
bool tool_table_shows(const struct tool_table *table, unsigned column);
void tool_table_line(struct tool_table *table);
/* Each does nothing for a column that isn't shown. */
void tool_table_text(struct tool_table *table, unsigned column,
                     const char *text);
void tool_table_number(struct tool_table *table, unsigned column,
                       uint64_t number);
void tool_table_real(struct tool_table *table, unsigned column,
                     int decimals, double number);
void tool_table_size(struct tool_table *table, unsigned column,
                     uint64_t bytes);
void tool_table_time(struct tool_table *table, unsigned column, int64_t ns);
/* Marks the cell where colour is wanted. */
void tool_table_alert(struct tool_table *table, unsigned column);
int tool_table_print(struct tool_table *table);
/* The last line, one "NAME value" below another, or as members of a JSON
 * object; an empty cell is left out, or null. */
struct tool_out;
void tool_table_print_down(struct tool_table *table, struct tool_out *out);
void tool_table_print_members(struct tool_table *table, struct tool_out *out);
void tool_table_fini(struct tool_table *table);

/* ---- Inside an object: for stoa stat ------------------------------------- */

struct tool_people {
	struct tool_table table;
	struct tool_out *out;
	size_t printed;
	bool started;
};

/* The options for users, without those for columns. */
struct tool_table_options
tool_inside_options(const struct tool_table_options *given);
/* A table of one line: its values, one below another; in JSON a member. */
void tool_inside_print(struct tool_table *table, const char *member,
                       struct tool_out *out);
/* A table of threads that have something or wait for it. */
void tool_people_start(struct tool_people *people, const char *member,
                       const struct tool_table_options *options,
                       struct tool_out *out);
void tool_people_add(struct tool_people *people, const char *does, pid_t pid,
                     pid_t tid, bool alive, int64_t since_ns);
void tool_people_end(struct tool_people *people);

/* An exit code each. */
int tool_heap_inside(struct stoa_space *space, const char *name,
                     const struct tool_table_options *given,
                     struct tool_out *out);
int tool_barrier_inside(struct stoa_space *space, const char *name,
                        const struct tool_table_options *given,
                        struct tool_out *out);
int tool_mutex_inside(struct stoa_space *space, const char *name,
                      const struct tool_table_options *given,
                      struct tool_out *out);
int tool_pool_inside(struct stoa_space *space, const char *name,
                     const struct tool_table_options *given,
                     struct tool_out *out);
int tool_port_inside(struct stoa_space *space, const char *name,
                     const struct tool_table_options *given,
                     struct tool_out *out);
int tool_condition_inside(struct stoa_space *space, const char *name,
                          const struct tool_table_options *given,
                          struct tool_out *out);
int tool_sem_inside(struct stoa_space *space, const char *name,
                    const struct tool_table_options *given,
                    struct tool_out *out);
int tool_semset_inside(struct stoa_space *space, const char *name,
                       const struct tool_table_options *given,
                       struct tool_out *out);
int tool_segment_inside(struct stoa_space *space, const char *name,
                        const struct tool_table_options *given,
                        struct tool_out *out);
int tool_rwlock_inside(struct stoa_space *space, const char *name,
                       const struct tool_table_options *given,
                       struct tool_out *out);

/* ---- Objects ------------------------------------------------------------- */

struct tool_objects {
	struct stoa_object_info *list;
	size_t count, room;
};

/* All objects of the space, sorted by name and kind. 0 or -errno. */
int tool_objects_read(struct stoa_space *space, struct tool_objects *objects);
void tool_objects_free(struct tool_objects *objects);
/* Does `pattern` (a shell pattern or a name, with or without the kind) mean
 * this object? */
bool tool_object_matches(const struct stoa_object_info *object,
                         const char *pattern);

/* Opens a queue whose name may carry ".queue". 0 or -errno. */
int tool_queue_open(struct stoa_space *space, const char *name, unsigned flags,
                    struct stoa_queue **ret_queue);
/* For stoa stat: tables of who holds the range lock, and of who waits for the
 * object, in JSON a member each. An exit code. */
struct tool_out;
int tool_stat_holders(struct stoa_space *space,
                      const struct stoa_object_info *info,
                      const struct tool_table_options *options,
                      struct tool_out *out);
int tool_stat_waiting(struct stoa_space *space,
                      const struct stoa_object_info *info,
                      const struct tool_table_options *options,
                      struct tool_out *out);
/* The numbers of one queue. 0 or -errno. */
int tool_queue_numbers(struct stoa_space *space, const char *name,
                       struct stoa_queue_stat *ret_stat);
/* Columns for objects and for the numbers of a queue. */
#define TOOL_OBJECT_USUAL \
	"NAME,KIND,PERMS,OWNER,SIZE,USERS,WAITING,DEAD,CREATED,CREATOR,HEALTH"
#define TOOL_OBJECT_FULL                                                   \
	"NAME,KIND,PERMS,OWNER,GROUP,UID,GID,SIZE,USERS,WAITING,DEAD,"      \
	"CREATED,CREATOR,GENERATION,HEALTH"
#define TOOL_NUMBERS_FULL                                                   \
	"ORDER,MSGS,CAPACITY,USEDBYTES,TOTALBYTES,MAXMESSAGE,TAKEN,RESERVED," \
	"HIGHWATER,MSGSIN,BYTESIN,MSGSOUT,BYTESOUT,RETURNED,SENDERS,"        \
	"RECEIVERS,LSPID,LRPID,SEND,RECV"
void tool_object_table(struct tool_table *table,
                       const struct tool_table_options *options);
void tool_object_fill(struct tool_table *table,
                      const struct stoa_object_info *info);
void tool_numbers_table(struct tool_table *table,
                        const struct tool_table_options *options);
void tool_numbers_fill(struct tool_table *table,
                       const struct stoa_queue_stat *numbers);

/* Prints the numbers of a stream. 0 or an exit code. */
int tool_stream_inside(struct stoa_space *space, const char *name,
                       const struct tool_table_options *options,
                       struct tool_out *out);

/* Prints the numbers of a topic. 0 or an exit code. */
int tool_topic_inside(struct stoa_space *space, const char *name,
                      const struct tool_table_options *options,
                      struct tool_out *out);

/* Its name without ".queue", in `buffer` of STOA_NAME_MAX + 1; NULL: no. */
const char *tool_queue_name(const char *name, char *buffer);

/* Runs the command, as flock(1) does, and gives its status: that of its exit,
 * or 128 + N when signal N killed it. Signals are handed on to it. */
int tool_run(char **command);

/* ---- Leaving on a signal: finish the message in hand, then die of it ----- */

void tool_stop_install(void);
bool tool_stop_asked(void);
int tool_stop_signal(void);
/* Dies of the signal that asked; returns if none did. */
void tool_stop_die(void);

/* ---- Bytes out ----------------------------------------------------------- */

#define TOOL_OUT_ROOM 65536

struct tool_out {
	int fd;
	int error; /* first failure, -errno; -EINTR: stop was asked for */
	size_t used;
	char room[TOOL_OUT_ROOM];
};

void tool_out_init(struct tool_out *out, int fd);
void tool_out_put(struct tool_out *out, const void *data, size_t bytes);
void tool_out_text(struct tool_out *out, const char *text);
void tool_out_format(struct tool_out *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* 0 or the first failure. */
int tool_out_flush(struct tool_out *out);
/* As a JSON string; the bytes must be UTF-8. */
void tool_out_json(struct tool_out *out, const void *data, size_t bytes);
void tool_out_base64(struct tool_out *out, const void *data, size_t bytes);
/* What a terminal can't show, or would obey, as \xHH. */
void tool_out_visible(struct tool_out *out, const void *data, size_t bytes);
bool tool_is_utf8(const void *data, size_t bytes);

enum tool_form { TOOL_LINES, TOOL_NULLS, TOOL_RAW, TOOL_JSON };

struct tool_style {
	enum tool_form form;
	bool priority; /* the priority and a tab before each message */
	bool visible;  /* for eyes: the output is a terminal */
};

#define TOOL_SHORT_STYLE "0rJp"
#define TOOL_LONG_STYLE                                            \
	{ "null", no_argument, NULL, '0' },                        \
	{ "raw", no_argument, NULL, 'r' },                         \
	{ "json", no_argument, NULL, 'J' },                        \
	{ "priority", no_argument, NULL, 'p' }
#define TOOL_HELP_STYLE                                                     \
	" -p, --priority       print the priority and a tab before each\n"   \
	" -0, --null           end each message with NUL, not newline\n"     \
	" -r, --raw            the bytes of the message and nothing else\n"  \
	" -J, --json           one JSON object a line: \"text\" if UTF-8,\n"  \
	"                      else \"base64\"\n"

bool tool_style_option(struct tool_style *style, int option);
void tool_style_settle(struct tool_style *style, int fd);
void tool_print_message(struct tool_out *out, const struct tool_style *style,
                        const struct stoa_message *message);

/* ---- Bytes in ------------------------------------------------------------ */

enum tool_cut { TOOL_CUT_LINES, TOOL_CUT_NULLS, TOOL_CUT_SIZE, TOOL_CUT_NONE };

struct tool_in {
	int fd;
	enum tool_cut cut;
	uint64_t size;  /* TOOL_CUT_SIZE */
	uint64_t limit; /* a record over this is -EMSGSIZE */
	char *room;
	size_t room_bytes, start, end, seen;
	bool ended, gave_whole;
};

void tool_in_init(struct tool_in *in, int fd, enum tool_cut cut, uint64_t size,
                  uint64_t limit);
/* 1 and a record if a whole one has been read already, else 0. Records stay
 * where they are until tool_in_read. */
int tool_in_next(struct tool_in *in, char **ret_data, size_t *ret_bytes);
/* Reads more. 0, or -errno; sets `ended` at the end. */
int tool_in_read(struct tool_in *in);
void tool_in_fini(struct tool_in *in);

/* ---- A command for each message ------------------------------------------ */

/* Runs `command` by the shell with the message on its standard input.
 * Returns its exit code, or -errno if it couldn't be started. */
int tool_run_command(const char *command, const char *queue,
                     const struct stoa_message *message);

#endif
