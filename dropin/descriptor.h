/* SPDX-License-Identifier: MIT */
/*
 * dropin/descriptor.h: libc's calls on descriptors that queues of POSIX take
 * part in. Each is libc's own but for what it means to queues, and costs one
 * load in a process without any. 0 or more, or -1 and errno.
 */
#ifndef DROPIN_DESCRIPTOR_H
#define DROPIN_DESCRIPTOR_H

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>

/* libc's own `name`, looked for once; `type` is a pointer to it. */
#define LIBC_REAL(type, name)                                               \
	({                                                                  \
		static void *_Atomic real_;                                 \
		/* relaxed: whoever finds it finds the same */              \
		void *known_ = atomic_load_explicit(&real_,                 \
		                                    memory_order_relaxed);  \
		if (__builtin_expect(!known_, 0)) {                         \
			known_ = dlsym(RTLD_NEXT, #name);                   \
			atomic_store_explicit(&real_, known_,               \
			                      memory_order_relaxed);        \
		}                                                           \
		(type)known_;                                               \
	})

#endif
