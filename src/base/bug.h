/* SPDX-License-Identifier: MIT */
/*
 * base/bug.h: seeded bugs. A build with -DSTOA_SEEDED_BUG=n is wrong in one
 * known way, and tests/crash must notice. Zero, the default, is stoa.
 *
 *  1  send commits before the payload is copied
 *  2  receive frees an inline message before it is copied out
 *  3  take by a plain receive of a large message frees it at once
 *  4  a dead sender's claim is never repaired
 *  5  a dead taker's message is dropped instead of given back
 *  6  a dead taker's message comes back without its delivery count raised
 *  7  the returned hint is raised only after the message came back
 *  8  burial frees the seat before the messages are given back
 *  9  a send that skips a held cell does not publish the mark
 * 10  pieces of a payload count as free while the message is being written
 * 11  the dead owner's selection lock is taken over without rebuilding
 * 12  an index that is rebuilt leaves out what came back
 * 13  objects are published before their header is complete
 * 14  cancel leaves the cell reserved
 * 15  a returned message goes to the end of the queue
 * 16  life is judged by the slot alone, without its generation
 * 20  semaphore: a post whose poster died with the turn is not made known
 * 21  semaphore: what a dead one held is forgotten, and does not come back
 * 22  mutex: who takes over a dead owner's is told, but the word does not say so
 * 23  mutex: a dead owner's depth is left to the next owner
 * 24  condition: what a dead waiter was told is not passed on
 * 25  condition: the records of the dead are not used again
 * 26  semaphore_set: what a dead one had committed is not made
 * 27  semaphore_set: a dead one's undo is done, and kept
 * 28  rwlock: who has it after a dead writer is not told
 * 29  rwlock: a dead writer that only waited counts as one that wrote
 * 30  range_lock: a table left in the midst of a change is believed
 * 31  range_lock: what burial freed is not used again
 * 32  barrier: a round breaks that should forget the dead
 * 33  barrier: the dead who came are waited for
 * 34  stream: bytes are consumed before they are copied out
 * 35  stream: bytes are committed before they are copied in
 * 36  stream: bytes from a descriptor are committed before they are there
 * 37  stream: bytes are consumed before a descriptor has them
 * 38  stream: the kernel's word of who has an end is believed for a second
 * 39  stream: one of a pair is closed without its other half
 * 40  object: a forked child goes on as its parent
 * 41  waits: the dead count in a circle
 * 42  bell: a poll descriptor has no clock, and the dead ring none
 * 43  queue: what a dead sender was let in with counts for ever
 * 44  queue: a message is taken off what is in before it is gone
 * 45  queue: what a dead receiver freed is not taken off what is in
 * 46  queue: a message is let in after it was sent
 * 60  segment: a grow takes effect before there is memory for it
 * 61  segment: memory is given back before a shrink takes effect
 * 62  segment: what the dead and strays have left is not given back
 * 63  segment: a forked child has no lock of its own
 * 64  segment: the lock of who forks stays with what is mapped
 * 65  pool: a segment counts as one with memory before it has it
 * 66  pool: a discarded segment counts as one with memory until it is released
 * 90  topic: a message is committed before its bytes are there
 * 91  topic: what a dead publisher had reserved is never given back
 * 92  topic: the slot of a message stays its publisher's after the commit
 * 93  topic: burial leaves a dead subscriber's cursor
 * 50  port: a dead client's request that is served is not given up
 * 51  port: a dead server's client is not told
 * 70  pool: a dead one's part of the pool is nobody's for ever
 * 71  pool: a block that was given comes back when the giver dies
 * 72  pool: what the dead held does not come back
 * 73  heap: what the dead used is not free when nothing else keeps it
 * 74  heap: what a dead one's turn left is not mended
 * 75  heap: the rest of a run that is cut is not there before it is cut
 * 76  heap: what was under a root before is kept for ever
 * 100  dropin_registry: what a dead one was making or removing is left
 * 101  dropin_registry: a change half made by a dead one is told to nobody
 * 102  dropin_registry: an identifier is free before its object is removed
 * 140  semaphore_set: what others would undo is forgotten before a value is set
 * 141  semaphore_set: a change and its undo are not written down first
 * 142  dropin_attach: a segment that is removed loses its key first
 * 143  dropin_attach: a segment is removed before it is looked for
 * 144  dropin_attach: who forks waits for a child that is dead
 * 145  dropin_semaphore: a permit is added, and then somebody woken
 * 146  dropin_semaphore: who sleeps does not look again
 * 114  descriptor: what came with a packet that is refused stays open
 * 115  descriptor: what had come of a message that fails stays open
 * 116  descriptor: memory is passed without its seals
 * 117  descriptor: memory without its seals is mapped
 * 118  datagram: one that doesn't fit is received all the same
 * 119  group: what was lost isn't counted
 * 110  signal: sent by number, not by descriptor
 * 111  signal: taken from the kernel before the queue has room
 * 120  process: a command has all descriptors that are not close-on-exec
 * 121  process: a command ignores what its parent ignores
 * 122  process: that a command ran out of time isn't told
 * 123  process: of several commands the first that failed is told
 * 124  terminal: the end of a command isn't told to those who watch
 * 125  terminal: what a dead keeper left is in its successor's way
 * 126  terminal: texts of others are told with what a terminal obeys
 * 127  terminal: its descriptor goes through exec
 * 128  file_lock: that a whole was let go for an instant isn't told
 * 129  file_lock: a whole that was unlocked counts as had
 * 147  dropin_semaphore: who sleeps alone isn't seen to be alone
 * 130  fifo: a write that nobody reads sends SIGPIPE
 * 131  fifo: at end of file it isn't opened anew
 * 160  queue: the oldest is received, whatever has come since
 * 161  queue: what is being written hides what comes after it
 * 162  queue: what others have sent since isn't counted
 * 163  queue: who sleeps for room hasn't made sure that there is none
 * 150  queue: what a dead sender was about to notify is forgotten
 */
#ifndef STOA_BASE_BUG_H
#define STOA_BASE_BUG_H

#ifndef STOA_SEEDED_BUG
#define STOA_SEEDED_BUG 0
#endif

#define STOA_BUG(n) (STOA_SEEDED_BUG == (n))

#endif
