/* SPDX-License-Identifier: MIT */
/*
 * arch.h: what the tracer must know of the processor: the program counter, the
 * system-call instruction, and the debug registers.
 */
#ifndef CRASH_ARCH_H
#define CRASH_ARCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

#if defined(__x86_64__)

#define ARCH_BREAKPOINTS 1
/* Debug register 7: enable register 0 for this task; type "execute" is 0. */
#define ARCH_DR7_LOCAL_0 1ul
#define ARCH_SYSCALL_BYTES "\x0f\x05"
#define ARCH_SYSCALL_SIZE 2

static inline uint64_t arch_pc(pid_t pid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid,
				offsetof(struct user_regs_struct, rip), 0);
}

/* Of the system call that the victim stopped at. */
static inline long arch_call_number(pid_t pid)
{
	return ptrace(PTRACE_PEEKUSER, pid,
		      offsetof(struct user_regs_struct, orig_rax), 0);
}

static inline long arch_poke_debug(pid_t pid, int index, unsigned long value)
{
	size_t at = offsetof(struct user, u_debugreg) +
		    (size_t)index * sizeof(unsigned long);

	return ptrace(PTRACE_POKEUSER, pid, at, value);
}

static inline int arch_breakpoint(pid_t pid, uint64_t pc)
{
	if (arch_poke_debug(pid, 0, pc) != 0)
		return -1;
	return arch_poke_debug(pid, 7, ARCH_DR7_LOCAL_0) == 0 ? 0 : -1;
}

static inline void arch_breakpoint_clear(pid_t pid)
{
	arch_poke_debug(pid, 7, 0);
}

/* The place after a string instruction that repeats; 0: it is none. Victims are
 * forks of the reader. */
static inline uint64_t arch_repeat_end(uint64_t pc)
{
	const uint8_t *code = (const uint8_t *)(uintptr_t)pc;
	uint64_t at = 1;

	if (code[0] != 0xf3)
		return 0;
	at += (code[at] & 0xf0) == 0x40; /* operands of 64 bits */
	switch (code[at]) {
	case 0xa4: /* movs */
	case 0xa5:
	case 0xaa: /* stos */
	case 0xab: return pc + at + 1;
	default: return 0;
	}
}

#elif defined(__aarch64__)

#include <elf.h>

/* Victims are single-stepped: no breakpoint registers are used here. */
#define ARCH_BREAKPOINTS 0
#define ARCH_SYSCALL_BYTES "\x01\x00\x00\xd4"
#define ARCH_SYSCALL_SIZE 4

static inline uint64_t arch_pc(pid_t pid)
{
	struct user_regs_struct registers;
	struct iovec io = { &registers, sizeof(registers) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) != 0)
		return 0;
	return registers.pc;
}

static inline long arch_call_number(pid_t pid)
{
	struct user_regs_struct registers;
	struct iovec io = { &registers, sizeof(registers) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) != 0)
		return -1;
	return (long)registers.regs[8];
}

static inline int arch_breakpoint(pid_t pid, uint64_t pc)
{
	(void)pid;
	(void)pc;
	return -1;
}

static inline void arch_breakpoint_clear(pid_t pid)
{
	(void)pid;
}

static inline uint64_t arch_repeat_end(uint64_t pc)
{
	(void)pc;
	return 0;
}

#else
#error "the crash harness knows x86-64 and aarch64"
#endif

/* Victims are forks of the reader, so their text is the reader's own. */
static inline int arch_is_syscall(uint64_t pc)
{
	return memcmp((const void *)(uintptr_t)pc, ARCH_SYSCALL_BYTES,
		      ARCH_SYSCALL_SIZE) == 0;
}

#endif
