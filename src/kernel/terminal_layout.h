/* SPDX-License-Identifier: MIT */
/*
 * kernel/terminal_layout.h: the messages of a session. All of them are foreign
 * bytes to whoever receives them: copied by the topic or queue first, checked
 * for size and range then, and what makes no sense is passed over.
 *
 * NAME.terminal.topic, from the keeper to all clients:
 *
 *   byte 0    kind: 'o' output, 'r' size, 'x' end, enum
 *             stoa_terminal_event_kind
 *   1 ...     'o': 1 to 4,095 bytes that the command wrote
 *             'r': struct terminal_window   'x': struct terminal_end
 *
 * NAME.terminal.queue, from clients to the keeper: struct terminal_request,
 * and behind it, of kind 'i', 1 to 4,080 bytes that were typed.
 *
 * NAME.terminal-state.topic, from the keeper to whoever looks:
 * struct terminal_state. Only the latest counts.
 *
 * Who is the keeper is decided by NAME.terminal.range_lock alone: who has it
 * locked. The name of the state's topic is the commit point of a session: it is
 * made last, when the others are there, and taken away first.
 *
 *   dies                       leaves               mended by
 *   keeper, before the lock    a lock nobody has    } next start, or clean:
 *   before the state's name    queue, topic         } whoever gets the lock
 *   later                      all; END is missing  } removes what there is
 *   between END and the last   some, ENDED told     }
 *   client                     nothing
 *
 *   removal                            attaching
 *   1 state: name off, marked removed  1 opens state
 *   2 topic, queue: the same           2 opens topic, queue
 *   3 makes its own                    3 looks at the state again: not removed,
 *                                        not ended, keeper alive: all three are
 *                                        of one session, else begins anew
 */
#ifndef STOA_KERNEL_TERMINAL_LAYOUT_H
#define STOA_KERNEL_TERMINAL_LAYOUT_H

#include <stdint.h>

#define TERMINAL_SIDE_MOST 9999 /* rows and columns */
#define TERMINAL_CODE_MOST 255  /* of an exit */
#define TERMINAL_SIGNAL_MOST 64
#define TERMINAL_MESSAGE_MOST 4096
#define TERMINAL_TEXT_MOST 255

#define TERMINAL_SUFFIX ".terminal"
#define TERMINAL_STATE_SUFFIX ".terminal-state"

struct terminal_window {
	uint16_t rows, columns, width_pixels, height_pixels;
};

struct terminal_end {
	int32_t code, number;
	uint32_t unknown, zero;
};

struct terminal_request {
	uint8_t kind; /* 'i' typed, or enum stoa_terminal_request */
	uint8_t zero[7];
	struct terminal_window window; /* 0 rows: not told */
};

#define TERMINAL_MAGIC UINT64_C(0x31796c74616f7473) /* "stoatly1" */

struct terminal_state {
	uint64_t magic; /* and version */
	uint64_t keeper; /* stoa_peer */
	int64_t started_ns; /* CLOCK_REALTIME */
	int32_t pid, keeper_pid;
	struct terminal_window window;
	uint32_t ended;
	struct terminal_end end;
	uint32_t command_bytes, title_bytes;
	uint32_t zero;
	char command[TERMINAL_TEXT_MOST + 1];
	char title[TERMINAL_TEXT_MOST + 1];
};

_Static_assert(sizeof(struct terminal_window) == 8, "layout");
_Static_assert(sizeof(struct terminal_end) == 16, "layout");
_Static_assert(sizeof(struct terminal_request) == 16, "layout");
_Static_assert(sizeof(struct terminal_state) == 584, "layout");

#endif
