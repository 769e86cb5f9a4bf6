/* SPDX-License-Identifier: MIT */
/*
 * data/port_layout.h: the shared bytes of a port, after the object's own
 * (header, seats; see space/object_layout.h).
 *
 *   control    4 KiB
 *   cells      256 bytes each, twice as many as calls
 *   requests   for each cell copy_bytes, up to the next 128, and 128 apart
 *   replies    the same
 *
 * and beside it, in the space, the companions: files of one handle each,
 *
 *   .port.GENERATION.PEER.TOKEN.0   its passport: see CALLERS
 *   .port.GENERATION.PEER.TOKEN.N   a grant: payloads that are mapped
 *
 * TRUTH: the words of the cells, nothing else. A cell carries one call, there
 * and back. A word is
 *
 *     63      36  35          34   31 30      0
 *     | serial  | cancelled | phase  | token  |
 *
 * The serial counts the calls of the cell. Phases, whom the token names, and
 * the compare-and-swap that leads on from each (never a store):
 *
 *   FREE      nobody. -> WRITING by a client
 *   WRITING   client, which fills the request. -> READY: THE COMMIT POINT of a
 *             call; -> FREE by cancel, or by burial of the client
 *   READY     client. -> TAKEN: THE COMMIT POINT of a take; -> FREE by cancel,
 *             burial of the client, or for want of servers (STOA_REFUSE)
 *   TAKEN     server, which has the request and makes the reply.
 *             -> REPLIED: THE COMMIT POINT of a reply; -> REPLYING;
 *             -> READY when the server returns it; -> RESET by burial or close
 *             of the server. cancelled is set by the client, or by its burial;
 *             then each of these is -> FREE instead
 *   REPLYING  server, whose reply goes in rounds. -> REPLIED, RESET, FREE as
 *             TAKEN
 *   REPLIED   client, which has the reply. -> FREE when it has read it, or by
 *             burial; -> READY, with the next serial: its next call (KEPT)
 *   RESET     client: its server died. -> FREE by the client, or by burial
 *
 *   FREE has the serial after that of the call. As the serial is in every word,
 *   no word comes twice within 2^28 calls in a cell, and a compare-and-swap by
 *   someone who slept is in vain, or as valid as a fresh one.
 *
 * Who writes: a word is changed by its token's seat alone while its peer lives,
 * but for READY -> TAKEN, and for the bit `cancelled`. The rest of a cell, and
 * the request, belong to the client from WRITING to READY, and while it keeps
 * the cell; they are constant from READY on. reply_*, status and the reply
 * belong to the server while TAKEN or REPLYING, and are constant in REPLIED.
 * What goes in rounds: see ROUNDS.
 *
 * States a death may leave, and who repairs them (whoever meets them, patrols,
 * joins or cleans; one compare-and-swap of the exact word each):
 *
 *   a client's   WRITING, READY, REPLIED, RESET with its token -> FREE
 *                TAKEN, REPLYING where `client` is its token -> cancelled
 *   a server's   TAKEN, REPLYING with its token -> RESET for the client; if
 *                cancelled -> FREE
 *   both         in either order: burial of the client first leaves
 *                cancelled, then FREE; of the server first RESET, then FREE
 *   companions   removed with their seat (ORPHANS)
 *   between a commit and its wake: sleepers look after a slice; a client also
 *   sleeps on its server's pidfd.
 *
 * `client` of a TAKEN cell may be loaded and believed by whoever then changes
 * the very word that it saw before: it is constant for that serial.
 *
 * KEPT. A client that has read a reply may keep the cell as it is, REPLIED,
 * and fill and commit its next request there: two transfers of the line less in
 * each call. Only cells with an index below `calls` are kept, and each handle
 * keeps one; so idle clients leave as many others as `calls` free.
 *
 * FINDING. `used` is a hint: cells from there on were never claimed. It only
 * rises, and is raised before the claim. Servers look at all words below it:
 * for one client that is one line, the one that the request comes in. They
 * take the READY cell with the least `stamp`, the processor's counter at
 * commit; after a first look they look again, as a request that was committed
 * behind the first look may be an older one of the same thread; and again, if
 * what they then find is younger (PORT_ORDER).
 * The stamp is a hint as well: a lie changes the order, and nothing else.
 *
 * EVENTS. The object's readable event: a request has come; observers and bells
 * of clients are on it, too: an answer has. writable: a cell was freed. A
 * client waits on client_event of its cell, and a server in rounds on
 * server_event, both by the event's protocol (EVENT_DEKKER).
 *
 * GRANTS. A grant is a whole file with no header, made by whoever sends,
 * which alone has it mapped writable; others map it read-only, through a
 * descriptor that is, and keep it mapped. Numbers are not used again by a
 * token. A handle uses its grants again and again; a grant that was given with
 * cell and serial is free when the cell's word is of another serial: so a
 * death leaves nothing to give back but files.
 *   They are not segments, which have seats, headers and lives of their own:
 *   what a grant needs is an owner that the kernel vouches for, and to be gone
 *   with its seat.
 *
 * ORPHANS. Whoever buries a token (or closes its handle) removes its
 * companions, but not a grant that is named by a REPLIED cell: the reply
 * was committed. That one is left to whoever frees the cell:
 *
 *     burier, for the grant            client
 *     W orphan = serial (seq_cst)      W word: FREE (CAS, seq_cst)
 *     R word: still that REPLIED?      R orphan == serial (seq_cst)?
 *       then leave it; else remove       then remove it
 *
 *   One of the two sees the other; both may. States a death may leave: a file
 *   whose token is nobody's, removed by who opens the port next. Beside a port
 *   that has no name any more, whoever cleans removes those of dead peers, and
 *   a reply in one of them that nobody has looked at is lost: -ECONNRESET.
 *
 * ROUNDS. What is larger than grant_bytes goes in parts through one grant.
 *   The words of line 1 hold the serial above a count of parts, so that who
 *   lost the cell can't speak for another. asked and put are the server's, given
 *   and got the client's; each is raised by an exchange (seq_cst, then the
 *   other's event).
 *     request:  the server has part k (the first by taking), and asks for
 *               k + 1: asked = k + 1; the client fills the grant, then given =
 *               k + 1. The grant is the client's while given < asked, and
 *               the server's to read while given == asked.
 *     reply:    the server fills the grant, then put = k; the client copies
 *               it out, then got = k. The last part is there with REPLIED;
 *               all others are of grant_bytes. A part of the request that
 *               was asked for, and not waited for, may be given meanwhile.
 *   A death on either side is that of a TAKEN or REPLYING cell.
 *
 * CALLERS. A passport is a file that the client's process made; its owner is
 * what the kernel says. It holds, for each cell, the serial of the last request
 * that the client made there, written before the commit, and taken away when
 * the call is over: else somebody could set the word back, and have another
 * request executed in its name. (Of a call that it gave up when a server had
 * it, it stays: that one may ask.) A server that wants to know who called opens
 * it read-only and looks whether it has the cell's serial. Only that user can
 * write it. Its process holds a POSIX record lock on
 * it, whose holder's process id the kernel tells to others.
 */
#ifndef STOA_DATA_PORT_LAYOUT_H
#define STOA_DATA_PORT_LAYOUT_H

#include <space/object_layout.h>
#include <stoa/port.h>

#define PORT_CONTROL_BYTES 4096
#define PORT_CELLS_OFFSET (OBJECT_KIND_OFFSET + PORT_CONTROL_BYTES)
#define PORT_APART 128
#define PORT_PASSPORT 0u /* number of that companion */

/* Words of the object's geometry. */
enum { PORT_GEOMETRY_CALLS, PORT_GEOMETRY_COPY, PORT_GEOMETRY_GRANT };

enum port_phase {
	PORT_FREE,
	PORT_WRITING,
	PORT_READY,
	PORT_TAKEN,
	PORT_REPLYING,
	PORT_REPLIED,
	PORT_RESET
};

#define PORT_SERIAL_MASK 0xfffffffu
#define PORT_TOKEN_MASK 0x7fffffffu
#define PORT_CANCELLED (UINT64_C(1) << 35)
#define PORT_WORD(serial, phase, token)                                       \
	((uint64_t)((serial)&PORT_SERIAL_MASK) << 36 | (uint64_t)(phase) << 31 | \
	 (token))
#define PORT_WORD_SERIAL(word) ((uint32_t)((word) >> 36))
#define PORT_WORD_PHASE(word) ((enum port_phase)((word) >> 31 & 15))
#define PORT_WORD_TOKEN(word) ((uint32_t)(word)&PORT_TOKEN_MASK)

/* asked, given, put, got: the serial, and how many parts. */
#define PORT_PARTS(serial, parts) ((uint64_t)(serial) << 32 | (parts))

struct port_control {
	_Alignas(128) _Atomic uint32_t used; /* hint; only rises */
};

struct port_cell {
	/* Line 0 goes there and back with each call. */
	_Alignas(256) _Atomic uint64_t word;
	uint64_t stamp;
	uint32_t client; /* token */
	int32_t status;
	uint64_t request_bytes; /* of the first part */
	uint64_t reply_bytes;   /* of the last part */
	uint32_t request_grant; /* number; 0: copied */
	uint32_t reply_grant;
	uint32_t reply_owner; /* token of whose the reply's grant is */
	_Atomic uint32_t client_event;
	_Atomic uint32_t server_event;
	_Atomic uint32_t orphan; /* serial of which the reply's grant is one */

	/* Line 1: of what is mapped, or goes in rounds. */
	uint64_t request_total;
	uint64_t reply_total; /* 0: in one part */
	_Atomic uint64_t asked, given, put, got;
	uint64_t part_bytes; /* of the part last given: the client's */
	_Atomic uint64_t done; /* for people */
	uint64_t reply_peer;   /* of reply_owner */
	uint64_t unused[15];
};

/* A passport: serials by cell. */
struct port_passport {
	uint64_t generation; /* of the port */
	uint32_t token;
	uint32_t cells;
	_Atomic uint32_t serial[]; /* + 1 above, so that 0 is none */
};

AT(port_control, used, 0);
AT(port_cell, word, 0);
AT(port_cell, stamp, 8);
AT(port_cell, client, 16);
AT(port_cell, status, 20);
AT(port_cell, request_bytes, 24);
AT(port_cell, reply_bytes, 32);
AT(port_cell, request_grant, 40);
AT(port_cell, reply_grant, 44);
AT(port_cell, reply_owner, 48);
AT(port_cell, client_event, 52);
AT(port_cell, server_event, 56);
AT(port_cell, orphan, 60);
AT(port_cell, request_total, 64);
AT(port_cell, reply_total, 72);
AT(port_cell, asked, 80);
AT(port_cell, given, 88);
AT(port_cell, put, 96);
AT(port_cell, got, 104);
AT(port_cell, part_bytes, 112);
AT(port_cell, done, 120);
AT(port_cell, reply_peer, 128);
AT(port_passport, serial, 16);
_Static_assert(sizeof(struct port_cell) == 256, "cell size");
_Static_assert(sizeof(struct port_control) <= PORT_CONTROL_BYTES, "control");
_Static_assert(PORT_CELLS_OFFSET % 256 == 0, "cells are aligned");

#endif
