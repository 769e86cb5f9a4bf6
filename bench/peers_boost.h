/* SPDX-License-Identifier: MIT */
/* Boost's message queue behind functions that C can call. */
#ifndef BENCH_PEERS_BOOST_H
#define BENCH_PEERS_BOOST_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

void *boost_queue_open(const char *name, size_t depth, size_t bytes);
ssize_t boost_queue_send(void *queue, const void *data, size_t bytes,
                         int sleeping);
ssize_t boost_queue_receive(void *queue, void *data, size_t bytes,
                            int sleeping);
void boost_queue_close(void *queue, const char *name);

#ifdef __cplusplus
}
#endif
#endif
