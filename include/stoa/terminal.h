/* SPDX-License-Identifier: MIT */
/*
 * stoa/terminal.h: pseudoterminals: a pair of descriptors, its size and modes;
 * a command that runs on one, its session seen and typed into by others in the
 * space, recorded, and replayed.
 *
 * A pair has two sides. A command runs on the *terminal*: for it that is a
 * terminal as any other, with a size, a line discipline and job control. Who
 * holds the *controller* sees what the command writes, and what he writes there
 * the command reads as typed.
 *
 * A session is a command on a terminal, and the process that holds the
 * controller: its *keeper*. There is no daemon. If the session has a name, the
 * space has these objects of it, which the keeper makes and takes away:
 *   NAME.terminal.range_lock    whoever has it locked is the keeper
 *   NAME.terminal.queue         what is typed: keeper receives, clients send
 *   NAME.terminal.topic         what the command writes: each client sees each
 *                               byte. It overwrites: a slow, stopped or dead
 *                               client holds nobody back, and is told how much
 *                               it lost
 *   NAME.terminal-state.topic   size, title, who keeps it: latest value
 * Who may write the queue may type. (Everyone who watches needs to read and
 * write the topics' files: see stoa/topic.h.)
 *
 * Death: a client killed at any instruction changes nothing for others. The
 * command's end is told to all, with its status. A keeper killed by kill -9
 * takes the controller with it: the command is hung up (SIGHUP) by the kernel;
 * clients get what was written until then, and -ECONNRESET within 100 ms of the
 * kernel's word; the names stay, until stoa_terminal_start() takes them over
 * or stoa_terminal_clean() takes them away.
 *
 *   who may run at once
 *   functions on descriptors     any thread; some are async-signal-safe
 *   a session, client, recorder
 *   or player                    one thread at a time each; any may be next
 *
 * Limits: 194 bytes for NAME; 4,096 bytes typed at once; rows and columns
 * 1 to 9,999 where foreign bytes say them, as an end by a code of 0 to 255 and
 * a signal of 0 to 64; what says otherwise is passed over, or -EPROTO. Fork: the keeper stays the keeper;
 * the child must leave the handles alone, but may close them. The library
 * changes no disposition of signals and waits for no child but its own.
 */
#ifndef STOA_TERMINAL_H
#define STOA_TERMINAL_H

#include <stoa/space.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- A pair, and its size ------------------------------------------------ */

/* In characters, and in pixels where somebody knows them (else 0). */
struct stoa_terminal_size {
	uint16_t rows, columns;
	uint16_t width_pixels, height_pixels;
};

/*
 * Makes a pair. `size` NULL: 24 rows of 80 columns. Both descriptors are
 * close-on-exec, neither becomes anybody's controlling terminal by it; the
 * caller closes them. The terminal is opened through the controller, not by a
 * path under /dev/pts, which in another mount namespace is another's. When the
 * last controller is closed, the session that has the terminal is hung up
 * (SIGHUP), also if kill -9 closed it. Does not block.
 * -EMFILE, -ENFILE, -ENOMEM; -ENOSPC: the system has no pair left
 * (/proc/sys/kernel/pty/max); -ENOENT, -EACCES: there is no /dev/ptmx to open.
 */
STOA_API int stoa_terminal_pair(const struct stoa_terminal_size *size,
                                int *ret_controller, int *ret_terminal);

/*
 * Makes the calling process the leader of a new session whose controlling
 * terminal is `terminal`: what a child does between fork and exec. It opens,
 * closes and duplicates nothing. Async-signal-safe.
 * -EPERM: the process leads a process group already, or the terminal is another
 * session's; -ENOTTY: not a terminal; -EBADF.
 */
STOA_API int stoa_terminal_lead(int terminal);

/* The size of the terminal `fd`, either side of a pair. 0 rows or columns:
 * nobody has ever said. -ENOTTY: not a terminal; -EBADF. */
STOA_API int stoa_terminal_get_size(int fd,
                                    struct stoa_terminal_size *ret_size);

/* Changes it, from either side. If it is another than it was, the foreground
 * process group of the terminal gets SIGWINCH. -ENOTTY, -EBADF; -EIO: the
 * terminal was hung up. */
STOA_API int stoa_terminal_set_size(int fd,
                                    const struct stoa_terminal_size *size);

/* ---- Modes ---------------------------------------------------------------- */

/* All of a terminal's settings. Private: only to be kept and given back. */
struct stoa_terminal_mode {
	uint32_t word[16];
};

/*
 * Raw: each byte is given as it was typed, none means anything to the kernel
 * (no lines, no echo, no ^C, no ^S), and what is written goes out unchanged.
 * Cooked: as a newly made terminal is; what the user had set otherwise isn't
 * known, so rather give back a mode that was kept.
 *
 * Nothing gives a mode back by itself: a terminal stays as it was put when the
 * process ends, however it ends. What can be done: stoa_terminal_set_mode() is
 * async-signal-safe, so a handler of SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGABRT
 * or SIGSEGV may call it before the process dies of that. What can't: kill -9
 * runs nothing; somebody else must have kept the mode: the parent, who sees the
 * child end, or the shell (those with job control give theirs back when a
 * command was killed).
 *
 * A process in the background of its session that changes its terminal's mode
 * is stopped by SIGTTOU, unless it blocks or ignores that.
 *
 * -ENOTTY: not a terminal; -EBADF; -EIO: hung up, or of a session whose
 * background this is and that nobody leads.
 */
STOA_API int stoa_terminal_get_mode(int fd,
                                    struct stoa_terminal_mode *ret_mode);

/* Takes effect at once: output not written yet isn't waited for, input that
 * was typed stays. Async-signal-safe. */
STOA_API int stoa_terminal_set_mode(int fd,
                                    const struct stoa_terminal_mode *mode);

/* Puts it into raw mode; `*ret_mode` (NULL: not wanted) is what it was in. */
STOA_API int stoa_terminal_raw(int fd, struct stoa_terminal_mode *ret_mode);

/* Puts it into cooked mode, the speed left as it is. */
STOA_API int stoa_terminal_cooked(int fd);

/* ---- A session: a command, and its keeper ---------------------------------- */

struct stoa_terminal;
struct stoa_terminal_recorder;

/* How a command ended. */
struct stoa_terminal_status {
	uint32_t ended; /* 0: it runs */
	int32_t code;   /* of its exit */
	int32_t number; /* of the signal that killed it, 0: none */
	/* 1: nobody knows how: the program ignores SIGCHLD, or reaped it */
	uint32_t unknown;
};

/* Zero fields take the default. */
struct stoa_terminal_attributes {
	uint32_t size; /* sizeof this struct */
	mode_t mode;   /* of the session's objects; default 0600 */
	mode_t type_mode; /* of the queue; default: as `mode` */
	uint32_t reserved_word; /* zero */
	struct stoa_terminal_size window; /* rows 0: 24 rows of 80 columns */
	const char *directory; /* the command's; NULL: the caller's */
	char *const *environment; /* NULL: the caller's */
	/* What the command writes and is kept for those who attach later;
	 * default 1 MiB, at least 64 KiB. */
	uint64_t history_bytes;
	uint64_t reserved[4]; /* zero */
};

/*
 * Runs `argv` (ended by NULL; found by $PATH) on a terminal of its own, as the
 * leader of a session of its own; the terminal is its input, output, error and
 * controlling terminal, and it has nothing else of the caller's: see
 * stoa/process.h. `name`
 * NULL (and `space`): for this process alone. `attributes` may be NULL.
 *
 * The caller is the keeper: the session lives as long as it calls
 * stoa_terminal_run(). -EEXIST: the session is kept by a living process. One
 * whose keeper died is taken over: what is left of it is removed.
 * -EINVAL: name, argv, attributes; -ENOENT, -EACCES, -ENOEXEC, ...: the command
 * or the directory; -ENOSPC: the tmpfs is too full, or as stoa_terminal_pair();
 * -EAGAIN: no process can be made; -EMFILE, -ENOMEM, -EUSERS.
 */
STOA_API int
stoa_terminal_start(struct stoa_space *space, const char *name,
                    const struct stoa_terminal_attributes *attributes,
                    char *const argv[], struct stoa_terminal **ret_terminal);

/* What is typed at `input_fd` goes to the command, too, and what it writes goes
 * to `output_fd`, too: -1 for none. They stay the caller's. End of file at
 * input_fd is typed as ^D, as script(1) does. A failure of either only ends
 * that; there is no SIGPIPE. A blocking output_fd that takes nothing holds all
 * up. */
STOA_API void stoa_terminal_join(struct stoa_terminal *terminal, int input_fd,
                                 int output_fd);

/* What it writes is recorded from now on (with `input`, what is typed, too),
 * and changes of the size; NULL ends that. The recorder stays the caller's. */
STOA_API void stoa_terminal_record(struct stoa_terminal *terminal,
                                   struct stoa_terminal_recorder *recorder,
                                   int input);

/*
 * Keeps the session: moves bytes between command, clients, descriptors and
 * recorder. 0: the command has ended, and all that it wrote has gone where it
 * goes; its clients are told, and the names are free. 1: `wake_fd` (-1: none)
 * is readable. -EAGAIN (STOA_NOW): there is nothing more to do now, or some
 * megabytes were moved and there is more; -ETIMEDOUT, whatever there is to do.
 * Other errors: of the session's objects (-EIDRM: somebody removed them;
 * -EUCLEAN, -EIO) or the recorder (-EFBIG: no SIGXFSZ); the command runs on.
 */
STOA_API int stoa_terminal_run(struct stoa_terminal *terminal, int wake_fd,
                               struct stoa_deadline deadline);

/* Types for the command, as a client does: returns how many bytes went, 1 or
 * more. -EAGAIN, -ETIMEDOUT: it reads nothing; -EIO: it has ended. */
STOA_API ssize_t stoa_terminal_type(struct stoa_terminal *terminal,
                                    const void *data, size_t bytes,
                                    struct stoa_deadline deadline);

/* The terminal's size, told to clients and to the recorder. -EINVAL: 0, or over
 * 9,999. */
STOA_API int stoa_terminal_resize(struct stoa_terminal *terminal,
                                  const struct stoa_terminal_size *size);

/* How the command ended, or that it hasn't. */
STOA_API void stoa_terminal_status(struct stoa_terminal *terminal,
                                   struct stoa_terminal_status *ret_status);

/* The controller, the handle's own: to look at its size and mode. */
STOA_API int stoa_terminal_controller(struct stoa_terminal *terminal);

/* Sends the signal to the command, by its pidfd. -ESRCH: it has ended. */
STOA_API int stoa_terminal_signal(struct stoa_terminal *terminal, int number);

/* Frees the handle. A command that still runs is hung up, as when a terminal's
 * window is closed; if it is not gone by `deadline`, it is killed. Takes the
 * names away. NULL is fine. */
STOA_API void stoa_terminal_close(struct stoa_terminal *terminal,
                                  struct stoa_deadline deadline);

/* ---- A client: who watches, and types ---------------------------------------- */

struct stoa_terminal_client;

#define STOA_TERMINAL_CHUNK 4096 /* bytes in one event, at most */

enum stoa_terminal_event_kind {
	STOA_TERMINAL_OUTPUT = 'o', /* the command wrote this */
	STOA_TERMINAL_SIZE = 'r',   /* the size is another now */
	STOA_TERMINAL_END = 'x'     /* the command has ended: the last event */
};

struct stoa_terminal_event {
	enum stoa_terminal_event_kind kind;
	uint32_t old; /* 1: from before this client attached */
	const char *data; /* OUTPUT: in the caller's buffer. As it was written:
	                     it may hold anything, cut anywhere */
	size_t bytes;
	struct stoa_terminal_size window;   /* SIZE */
	struct stoa_terminal_status status; /* END */
	uint64_t lost; /* events lost to this client just before this one */
};

/*
 * Attaches to session `name`. `flags`: STOA_READ, to watch; with STOA_WRITE, to
 * type as well. The first events are the oldest kept. -ENOENT: there is no such
 * session; -ECONNRESET: its keeper is dead; -EACCES; -EINVAL; -EPROTO: not such
 * a session, or of another version; -EMFILE, -ENOMEM, -EUSERS.
 */
STOA_API int stoa_terminal_attach(struct stoa_space *space, const char *name,
                                  unsigned flags,
                                  struct stoa_terminal_client **ret_client);

/* Leaves the session, which goes on. NULL is fine. */
STOA_API void stoa_terminal_detach(struct stoa_terminal_client *client);

/*
 * The next event; `buffer` has room for STOA_TERMINAL_CHUNK bytes (else
 * -EINVAL). Blocks while there is none. -EPIPE: the last was END.
 * -ECONNRESET: the keeper died, or the session was removed; all that it wrote
 * before was given. -EAGAIN, -ETIMEDOUT.
 */
STOA_API int stoa_terminal_next(struct stoa_terminal_client *client,
                                void *buffer, size_t buffer_bytes,
                                struct stoa_deadline deadline,
                                struct stoa_terminal_event *ret_event);

/* Goes to what comes from now on: old events aren't wanted. */
STOA_API int stoa_terminal_skip(struct stoa_terminal_client *client);

/* Types: returns how many bytes went, 1 or more. `window` (may be NULL): the
 * size of the terminal at which it was typed; if that isn't the session's, it
 * becomes it: the size is that of who typed or resized last. -EBADF: attached
 * without STOA_WRITE. -ECONNRESET, -EAGAIN, -ETIMEDOUT. */
STOA_API ssize_t stoa_terminal_send(struct stoa_terminal_client *client,
                                    const void *data, size_t bytes,
                                    const struct stoa_terminal_size *window,
                                    struct stoa_deadline deadline);

enum stoa_terminal_request {
	STOA_TERMINAL_RESIZE = 'r', /* to `window` */
	STOA_TERMINAL_REDRAW = 'd', /* to `window`, if it's another (NULL:
	                               none); else the command is told of a
	                               size that changes and changes back */
	STOA_TERMINAL_HANG_UP = 'h' /* SIGHUP: ends most commands */
};

/* Asks the keeper for something. Errors as stoa_terminal_send. -EINVAL. */
STOA_API int stoa_terminal_ask(struct stoa_terminal_client *client,
                               enum stoa_terminal_request request,
                               const struct stoa_terminal_size *window,
                               struct stoa_deadline deadline);

/* For poll and epoll, the handle's own: readable while there may be an event,
 * or the keeper's end (direction STOA_READ), or while it would take what is
 * typed (STOA_WRITE). Level-triggered, until the call with STOA_NOW has
 * answered -EAGAIN; readable once a slice of 50 ms, too, as deaths ring no
 * bell. */
STOA_API int stoa_terminal_pollfd(struct stoa_terminal_client *client,
                                  unsigned direction);

/* ---- Sessions of a space ------------------------------------------------------ */

#define STOA_TERMINAL_TEXT 255

struct stoa_terminal_info {
	char name[STOA_NAME_MAX + 1];
	int health; /* 0; -ECONNRESET: its keeper is dead; -EACCES, -EPROTO */
	struct stoa_terminal_size window;
	struct stoa_terminal_status status;
	pid_t pid, keeper_pid; /* as the keeper saw them */
	stoa_peer keeper;
	int64_t started_ns; /* CLOCK_REALTIME */
	uint32_t clients;   /* attached now */
	uint32_t reserved;
	/* Foreign: control characters, and what isn't UTF-8, come as "?". */
	char command[STOA_TERMINAL_TEXT + 1];
	char title[STOA_TERMINAL_TEXT + 1]; /* as the command has set it */
};

/* Calls `visit` for each session, in no order; stops at its first non-zero
 * result and returns that; else returns the number visited. Disturbs nobody. */
STOA_API int
stoa_terminal_each(struct stoa_space *space,
                   int (*visit)(const struct stoa_terminal_info *info,
                                void *context),
                   void *context);

/* Describes one. -ENOENT, -EINVAL. */
STOA_API int stoa_terminal_find(struct stoa_space *space, const char *name,
                                struct stoa_terminal_info *ret_info);

/* Takes away what a dead keeper left of session `name`. -EBUSY: it lives;
 * -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_terminal_remove(struct stoa_space *space, const char *name);

/* The same for all sessions with dead keepers. `visit` (may be NULL) is told
 * each; `dry_run` only tells. Returns how many. */
STOA_API int stoa_terminal_clean(struct stoa_space *space, int dry_run,
                                 void (*visit)(const char *name, int result,
                                               void *context),
                                 void *context);

/* ---- Recordings: asciicast v2 -------------------------------------------------- */

/*
 * A file of lines, each of JSON: first an object with the size, then an array
 * for each event: seconds since the beginning, its kind, its text. What isn't
 * UTF-8 is written as U+FFFD, as JSON can't say it otherwise; characters that
 * come in parts are put together.
 */
struct stoa_terminal_cast {
	uint32_t size; /* sizeof this struct */
	uint32_t reserved_word;
	struct stoa_terminal_size window; /* pixels aren't kept */
	int64_t started_ns;   /* CLOCK_REALTIME; seconds are kept. 0: not said */
	int64_t idle_limit_ns; /* 0: not said */
	/* NULL: not said. Reading: good until the player is closed. */
	const char *command, *title, *term, *shell;
	uint64_t reserved[4];
};

/* Writes the first line to `fd`, which stays the caller's. -EINVAL: size,
 * window; what write(2) says: -ENOSPC, -EPIPE (no SIGPIPE is kept off),
 * -EBADF. -ENOMEM. */
STOA_API int
stoa_terminal_recorder_open(int fd, const struct stoa_terminal_cast *cast,
                            struct stoa_terminal_recorder **ret_recorder);

/* An event, 'o' (output), 'i' (input) or 'm' (a marker), at `ns` since the
 * beginning; never earlier than the last. -EINVAL, and write(2)'s. After a
 * failure the recorder writes nothing more and says that again: no line is
 * behind a cut one. */
STOA_API int stoa_terminal_recorder_put(struct stoa_terminal_recorder *recorder,
                                        char kind, int64_t ns, const void *data,
                                        size_t bytes);
STOA_API int
stoa_terminal_recorder_resize(struct stoa_terminal_recorder *recorder,
                              int64_t ns,
                              const struct stoa_terminal_size *size);

/* Writes what is held back for the rest of a character, and frees it. The first
 * failure, or 0. NULL is fine. */
STOA_API int
stoa_terminal_recorder_close(struct stoa_terminal_recorder *recorder);

struct stoa_terminal_player;

struct stoa_terminal_frame {
	char kind;  /* 'o', 'i', 'r', 'm'; others there may be are passed over */
	int64_t ns; /* since the beginning; never less than the last */
	const char *data; /* until the next call */
	size_t bytes;
	struct stoa_terminal_size window; /* 'r' */
	uint64_t line; /* of the file, from 1 */
};

/* Reads the first line from `fd`, which stays the caller's. Every byte is
 * foreign: -EPROTO: not an asciicast, or of another version; -EBADMSG: the line
 * isn't JSON, or what it says can't be: stoa_last_error() tells. -ENOMEM, and
 * what read(2) says. */
STOA_API int
stoa_terminal_player_open(int fd, struct stoa_terminal_cast *ret_cast,
                          struct stoa_terminal_player **ret_player);

/* The next event. 1: there was one. 0: the end of the file. -EBADMSG: the line
 * can't be an event; or has over 16 MiB. -ENODATA: the last line was cut short,
 * as a death may: all before it was given. */
STOA_API int stoa_terminal_player_next(struct stoa_terminal_player *player,
                                       struct stoa_terminal_frame *ret_frame);
STOA_API void stoa_terminal_player_close(struct stoa_terminal_player *player);

#ifdef __cplusplus
}
#endif
#endif
