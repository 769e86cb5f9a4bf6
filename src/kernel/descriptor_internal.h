/* SPDX-License-Identifier: MIT */
/* kernel/descriptor_internal.h: messages of descriptors, between its files. */
#ifndef STOA_KERNEL_DESCRIPTOR_INTERNAL_H
#define STOA_KERNEL_DESCRIPTOR_INTERNAL_H

#include <kernel/descriptor_layout.h>
#include <stoa/descriptor.h>

/* As the public ones, with STOA_INTERRUPTIBLE, and the message's identity. The
 * socket is known to be one of ours. */
int stoa_rounds_send(int socket, unsigned flags, const int *descriptors,
                     size_t count, const void *data, size_t bytes,
                     uint64_t identity, struct stoa_deadline deadline);
ssize_t stoa_rounds_receive(int socket, unsigned flags, int *ret_descriptors,
                            size_t most, void *ret_data, size_t room,
                            struct stoa_deadline deadline,
                            struct stoa_descriptor_message *ret_message,
                            uint64_t *ret_identity);

/* "Taken", to the sender of the message `identity`; and waiting for that. */
int stoa_rounds_thank(int socket, uint64_t identity);
int stoa_rounds_await_thanks(int socket, unsigned flags, uint64_t identity,
                             struct stoa_deadline deadline);

void stoa_descriptors_close(const int *descriptors, size_t count);

#endif
