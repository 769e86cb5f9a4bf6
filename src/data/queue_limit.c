/* SPDX-License-Identifier: MIT */
/* data/queue_limit.c: limits in bytes and messages. */
#include <base/error.h>
#include <data/queue_internal.h>

int stoa_queue_set_limit(struct stoa_queue *queue, uint64_t bytes,
                         uint64_t messages)
{
	(void)bytes;
	(void)messages;
	return stoa_fail(-EINVAL, "queue %s was made without limits",
	                 queue->object.name);
}

int stoa_queue_count(struct stoa_queue *queue,
                     struct stoa_queue_count *ret_count)
{
	struct stoa_queue_stat stat = { .size = sizeof stat };

	if (ret_count->size != sizeof *ret_count)
		return stoa_fail(-EINVAL,
		                 "count of queue %s: size must be "
		                 "sizeof(struct stoa_queue_count)",
		                 queue->object.name);
	int result = stoa_queue_stat(queue, &stat);
	if (result < 0)
		return result;
	*ret_count = (struct stoa_queue_count){
		.size = sizeof *ret_count,
		.messages = stat.messages,
		.bytes = stat.bytes,
		.limit_bytes = STOA_QUEUE_UNLIMITED,
		.limit_messages = STOA_QUEUE_UNLIMITED,
		.last_sender_pid = stat.last_sender_pid,
		.last_receiver_pid = stat.last_receiver_pid,
		.last_send_ns = stat.last_send_ns,
		.last_receive_ns = stat.last_receive_ns,
	};
	return 0;
}
