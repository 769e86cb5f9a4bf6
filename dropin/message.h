/* SPDX-License-Identifier: MIT */
/* dropin/message.h: what the files of the message queues share. */
#ifndef DROPIN_MESSAGE_H
#define DROPIN_MESSAGE_H

#include "handle.h"

/* Words of the slot. */
#define MESSAGE_QBYTES 0 /* msg_qbytes as it was set */
#define MESSAGE_SENT 1   /* by who is to send, without the mutex: not 0, if ever
                            anything may have been sent to it; then it stays */

extern struct handle_table message_handles;

#endif
