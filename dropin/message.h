/* SPDX-License-Identifier: MIT */
/* dropin/message.h: what the files of the message queues share. */
#ifndef DROPIN_MESSAGE_H
#define DROPIN_MESSAGE_H

#include "handle.h"

#define MESSAGE_QBYTES 0 /* the slot's word: msg_qbytes as it was set */

extern struct handle_table message_handles;

#endif
