/* SPDX-License-Identifier: MIT */
/*
 * dropin/calls.h: every call that the drop-in answers, by its own name: as
 * libc's, but the result is 0 or more, or -errno. The libc names are in the
 * <noun>_symbols.c; syscall() and the `stoa` command call these.
 */
#ifndef DROPIN_CALLS_H
#define DROPIN_CALLS_H

#include <mqueue.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

/* ---- System V: message.c, semaphore_set.c, memory.c ------------------------ */

int dropin_msgget(key_t key, int flags);
int dropin_msgsnd(int id, const void *message, size_t bytes, int flags);
ssize_t dropin_msgrcv(int id, void *message, size_t bytes, long type,
                      int flags);
int dropin_msgctl(int id, int command, struct msqid_ds *ds);

int dropin_semget(key_t key, int count, int flags);
/* `timeout` is a length of time, as semtimedop() has it; NULL: for ever. */
int dropin_semtimedop(int id, struct sembuf *operations, size_t count,
                      const struct timespec *timeout);
/* `argument` is the fourth, as the union's bits. */
int dropin_semctl(int id, int semaphore, int command, unsigned long argument);

int dropin_shmget(key_t key, size_t bytes, int flags);
int dropin_shmat(int id, const void *address, int flags, void **ret_address);
int dropin_shmdt(const void *address);
int dropin_shmctl(int id, int command, struct shmid_ds *ds);

/* ---- POSIX: mq.c ------------------------------------------------------------- */

/* Names are the kernel's here, without the slash. */
int dropin_mq_open(const char *name, int flags, mode_t mode,
                   const struct mq_attr *attributes);
int dropin_mq_unlink(const char *name);
int dropin_mq_close(mqd_t queue);
int dropin_mq_timedsend(mqd_t queue, const char *data, size_t bytes,
                        unsigned priority, const struct timespec *deadline);
ssize_t dropin_mq_timedreceive(mqd_t queue, char *buffer, size_t bytes,
                               unsigned *ret_priority,
                               const struct timespec *deadline);
int dropin_mq_notify(mqd_t queue, const struct sigevent *notification);
int dropin_mq_getsetattr(mqd_t queue, const struct mq_attr *attributes,
                         struct mq_attr *ret_before);

#endif
