/* SPDX-License-Identifier: MIT */
/* Boost.Interprocess message_queue: many senders, many receivers. */
#include "peers_boost.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>

using boost::interprocess::message_queue;

void *boost_queue_open(const char *name, size_t depth, size_t bytes)
{
	try {
		return new message_queue(boost::interprocess::create_only,
		                         name, depth, bytes);
	} catch (...) {
		return nullptr;
	}
}

ssize_t boost_queue_send(void *queue, const void *data, size_t bytes,
                         int sleeping)
{
	auto *to = static_cast<message_queue *>(queue);

	try {
		if (sleeping)
			to->send(data, bytes, 0);
		else if (!to->try_send(data, bytes, 0))
			return -EAGAIN;
		return static_cast<ssize_t>(bytes);
	} catch (...) {
		return -EIO;
	}
}

ssize_t boost_queue_receive(void *queue, void *data, size_t bytes,
                            int sleeping)
{
	auto *from = static_cast<message_queue *>(queue);
	message_queue::size_type got = 0;
	unsigned int priority;

	try {
		if (sleeping)
			from->receive(data, bytes, got, priority);
		else if (!from->try_receive(data, bytes, got, priority))
			return -EAGAIN;
		return static_cast<ssize_t>(got);
	} catch (...) {
		return -EIO;
	}
}

void boost_queue_close(void *queue, const char *name)
{
	delete static_cast<message_queue *>(queue);
	message_queue::remove(name);
}
