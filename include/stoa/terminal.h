/* SPDX-License-Identifier: MIT */
/*
 * stoa/terminal.h: pseudoterminals: a pair of descriptors, its size, raw mode
 * and the way back.
 *
 * A pair has two sides. A command runs on the *terminal*: for it that is a
 * terminal as any other, with a size, a line discipline and job control. Who
 * holds the *controller* sees what the command writes, and what he writes there
 * the command reads as typed.
 *
 * Threads: functions on descriptors may be called by any thread. Those that say
 * so are async-signal-safe.
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

#ifdef __cplusplus
}
#endif
#endif
