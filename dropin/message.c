/* SPDX-License-Identifier: MIT */
/* dropin/message.c: sending to and receiving from System V's message queues.
 * Each is a queue of libstoa ordered by type; its registry slot's word 0 is
 * msg_qbytes. Order of checks: as ipc/msg.c of Linux has it. */
#include "message.h"

#include "calls.h"
#include "cancel.h"
#include "fault.h"
#include "memory_probe.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <stoa/queue.h>

/* The caller's buffer: struct msgbuf with any number of bytes. */
struct envelope {
	long type;
	char text[];
};

/* ---- The queues that this process has open ------------------------------------ */

static int open_queue(struct stoa_space *space, const char *name,
                      const struct registry_slot *slot, void **ret_object)
{
	struct stoa_queue *queue;
	int result = stoa_queue_open(
	        space, name, STOA_READ | STOA_WRITE | STOA_INTERRUPTIBLE, 0,
	        NULL, &queue);

	(void)slot;
	if (result == 0)
		*ret_object = queue;
	return result;
}

static void close_queue(void *object)
{
	stoa_queue_close(object);
}

static const struct handle_kind kind = { REGISTRY_MESSAGE, open_queue,
	                                 close_queue };
struct handle_table message_handles = { .kind = &kind };

/* ---- Waiting, as a cancellation point ------------------------------------------- */

#define LOOK_AGAIN_NS INT64_C(50000000)

static void put(void *handle)
{
	handle_put(handle);
}

/* After a part of a wait: IPC_SET may have taken the right. Rather than to wake
 * all who sleep for that, each looks from time to time. */
static int still_may(int id, unsigned wanted)
{
	struct handle *handle;
	int result = handle_get(&message_handles, id, wanted, &handle);

	if (result < 0)
		return result == -EINVAL ? -EIDRM : result;
	handle_put(handle);
	return 0;
}

static int wait_to_send(int id, struct handle *handle,
                        const struct stoa_message *message)
{
	struct dropin_wait wait = { .let_go = put, .context = handle };
	int again, result;

	do {
		dropin_cancel_begin(&wait);
		result = stoa_queue_send_message(
		        handle->object, message,
		        stoa_deadline_in(LOOK_AGAIN_NS));
		again = dropin_cancel_end(&wait, result) ||
		        (DROPIN_FAULT(20) && result == -EINTR);
		if (result == -ETIMEDOUT) {
			result = still_may(id, HANDLE_WRITE);
			again = result == 0;
		}
	} while (again);
	return result;
}

struct receipt {
	int id;
	struct handle *handle;
	struct stoa_selector selector;
	void *buffer;
	size_t bytes;
	int owns; /* the buffer: see receive_aside() */
	int cuts; /* MSG_NOERROR */
	struct stoa_message message;
};

static ssize_t receive(struct receipt *receipt, struct stoa_deadline deadline)
{
	return receipt->cuts ?
	               stoa_queue_receive_cut(receipt->handle->object,
	                                      &receipt->selector,
	                                      receipt->buffer, receipt->bytes,
	                                      deadline, &receipt->message) :
	               stoa_queue_receive(receipt->handle->object,
	                                  &receipt->selector, receipt->buffer,
	                                  receipt->bytes, deadline,
	                                  &receipt->message);
}

static void let_go(void *context)
{
	struct receipt *receipt = context;

	handle_put(receipt->handle);
	if (receipt->owns)
		free(receipt->buffer);
}

static ssize_t wait_to_receive(struct receipt *receipt)
{
	struct dropin_wait wait = { .let_go = let_go, .context = receipt };
	ssize_t result;
	int again;

	do {
		dropin_cancel_begin(&wait);
		result = receive(receipt, stoa_deadline_in(LOOK_AGAIN_NS));
		again = dropin_cancel_end(&wait, result) ||
		        (DROPIN_FAULT(21) && result == -EINTR);
		if (result == -ETIMEDOUT) {
			result = still_may(receipt->id, HANDLE_READ);
			again = result == 0;
		}
	} while (again);
	return result;
}

/* ---- Sending ------------------------------------------------------------------------ */

/* Before the first message: what was never sent to isn't looked into by
 * MSG_INFO. relaxed: who knows of the message by any other way is ordered after
 * it by that. */
static void note_sending(struct registry_slot *slot)
{
	_Atomic uint64_t *sent = &slot->word[MESSAGE_SENT];

	if (__builtin_expect(
	            !atomic_load_explicit(sent, memory_order_relaxed), 0))
		atomic_store_explicit(sent, 1, memory_order_relaxed);
}

/* What the size says before anything else is looked at. */
static int check_size(size_t bytes)
{
	const struct registry *registry;
	int result = registry_open(&registry);

	if (result < 0)
		return result;
	return bytes > atomic_load_explicit(&registry->header->limits.msgmax,
	                                    memory_order_relaxed) ?
	               (DROPIN_FAULT(22) ? -E2BIG : -EINVAL) :
	               0;
}

static int send_result(int result)
{
	switch (result) {
	case -EMSGSIZE:
		return DROPIN_FAULT(22) ? -E2BIG : -EINVAL;
	case -ENOSPC: /* the tmpfs is full */
		return -ENOMEM;
	default:
		return result;
	}
}

int dropin_msgsnd(int id, const void *envelope, size_t bytes, int flags)
{
	const struct envelope *given = envelope;
	struct stoa_message message;
	struct handle *handle;
	int result;

	dropin_cancel_point();
	if (!probe_readable(given, sizeof(long)))
		return -EFAULT;
	if ((ssize_t)bytes < 0 || id < 0 || given->type < 1)
		return -EINVAL;
	if (!probe_readable(given->text, bytes)) {
		result = check_size(bytes);
		return result < 0 ? result : -EFAULT;
	}
	result = handle_get(&message_handles, id, HANDLE_WRITE, &handle);
	if (__builtin_expect(result < 0, 0)) {
		int size = check_size(bytes);

		return size < 0 ? size : result;
	}
	message.data = (void *)given->text;
	message.bytes = bytes;
	message.type = given->type;
	message.priority = 0;
	note_sending(handle->slot);
	result = stoa_queue_send_message(handle->object, &message,
	                                 flags & IPC_NOWAIT ? STOA_NOW :
	                                                      DROPIN_SOON);
	if (result == -ETIMEDOUT)
		result = wait_to_send(id, handle, &message);
	handle_put(handle);
	return send_result(result);
}

/* ---- Receiving ------------------------------------------------------------------------ */

static struct stoa_selector selector_of(long type, int flags)
{
	if (type == 0)
		return (struct stoa_selector){ STOA_ANY, 0 };
	if (type < 0)
		return (struct stoa_selector){
			STOA_LOWEST, type == LONG_MIN    ? LONG_MAX :
			             DROPIN_FAULT(23)    ? -type - 1 :
			                                   -type
		};
	if (flags & MSG_EXCEPT && !DROPIN_FAULT(24))
		return (struct stoa_selector){ STOA_EXCEPT, type };
	return (struct stoa_selector){ STOA_EXACTLY, type };
}

static ssize_t receive_result(ssize_t result)
{
	switch (result) {
	case -EAGAIN:
		return DROPIN_FAULT(25) ? -EAGAIN : -ENOMSG;
	case -EMSGSIZE:
		return DROPIN_FAULT(26) ? -EMSGSIZE : -E2BIG;
	default:
		return result;
	}
}

/* What was received or copied to elsewhere goes to the caller's buffer, as far
 * as it can be written. */
static ssize_t deliver(struct envelope *to, const void *text, ssize_t bytes,
                       long type)
{
	if (!probe_writable(to, sizeof(long)) ||
	    !probe_writable(to->text, (size_t)bytes))
		return -EFAULT;
	to->type = type;
	memcpy(to->text, text, (size_t)bytes);
	return bytes;
}

/* MSG_COPY: the type is the number of the message in the order of sending. */
static ssize_t copy(struct handle *handle, struct envelope *to, size_t bytes,
                    long number, int flags)
{
	const struct registry *registry;
	struct stoa_message message;
	ssize_t result = registry_open(&registry);

	if (result < 0)
		return result;
	if (number < 0)
		return -ENOMSG;
	size_t most = atomic_load_explicit(&registry->header->limits.msgmax,
	                                   memory_order_relaxed);
	size_t room = bytes < most ? bytes : most;
	char *text = malloc(room ?: 1);
	if (!text)
		return -ENOMEM;
	result = stoa_queue_peek_at(handle->object,
	                            (uint64_t)number + DROPIN_FAULT(27), text,
	                            room, &message);
	if (result > (ssize_t)room)
		result = flags & MSG_NOERROR ? -EINVAL : -E2BIG;
	if (result >= 0)
		result = deliver(to, text, result, message.type);
	free(text);
	return result;
}

/* Into a buffer that can't be written, as a whole. What the kernel gives is
 * E2BIG, ENOMSG and the like first; and then a message is lost to EFAULT. */
static ssize_t receive_aside(struct receipt *receipt, struct envelope *to,
                             int flags)
{
	const struct registry *registry;
	ssize_t result = registry_open(&registry);

	if (result < 0)
		return result;
	size_t most = atomic_load_explicit(&registry->header->limits.msgmax,
	                                   memory_order_relaxed);
	if (receipt->bytes > most)
		receipt->bytes = most;
	receipt->buffer = malloc(receipt->bytes ?: 1);
	if (!receipt->buffer)
		return -ENOMEM;
	receipt->owns = 1;
	result = receive(receipt, flags & IPC_NOWAIT ? STOA_NOW : DROPIN_SOON);
	if (result == -ETIMEDOUT)
		result = wait_to_receive(receipt);
	if (result > (ssize_t)receipt->bytes)
		result = (ssize_t)receipt->bytes;
	if (result >= 0)
		result = deliver(to, receipt->buffer, result,
		                 receipt->message.type);
	free(receipt->buffer);
	return result;
}

static ssize_t receive_into(struct receipt *receipt, struct envelope *to,
                            int flags)
{
	ssize_t result;

	if (__builtin_expect(!probe_writable(to, sizeof(long)) ||
	                             !probe_writable(to->text, receipt->bytes),
	                     0))
		return receive_aside(receipt, to, flags);
	receipt->buffer = to->text;
	result = receive(receipt, flags & IPC_NOWAIT ? STOA_NOW : DROPIN_SOON);
	if (result == -ETIMEDOUT)
		result = wait_to_receive(receipt);
	if (result < 0)
		return result;
	to->type = receipt->message.type;
	return result < (ssize_t)receipt->bytes ? result :
	                                          (ssize_t)receipt->bytes;
}

ssize_t dropin_msgrcv(int id, void *envelope, size_t bytes, long type,
                      int flags)
{
	struct receipt receipt;
	ssize_t result;

	dropin_cancel_point();
	if (id < 0 || (ssize_t)bytes < 0)
		return -EINVAL;
	if (flags & MSG_COPY && (flags & MSG_EXCEPT || !(flags & IPC_NOWAIT)))
		return -EINVAL;
	result = handle_get(&message_handles, id, HANDLE_READ, &receipt.handle);
	if (__builtin_expect(result < 0, 0))
		return result;
	if (__builtin_expect(flags & MSG_COPY, 0)) {
		result = copy(receipt.handle, envelope, bytes, type, flags);
	} else {
		receipt.id = id;
		receipt.selector = selector_of(type, flags);
		receipt.bytes = bytes;
		receipt.owns = 0;
		receipt.cuts = flags & MSG_NOERROR;
		result = receive_into(&receipt, envelope, flags);
	}
	handle_put(receipt.handle);
	return receive_result(result);
}
