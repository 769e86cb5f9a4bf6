/* SPDX-License-Identifier: MIT */
/*
 * base/system_clone.c: a child that goes on in another function, on another
 * stack. libc's clone() is more than the call: sanitizers take it for a fork,
 * and change their state twice, in the memory that the two share.
 *
 * What the child is to do is put on its stack, since the kernel gives it all
 * registers but the stack's and the result's. Its frame pointer is 0: the
 * walk of a stack ends there.
 */
#include <base/system.h>

#if defined(__x86_64__)
__asm__(".text\n"
        ".hidden stoa_system_clone\n"
        ".globl stoa_system_clone\n"
        ".type stoa_system_clone, @function\n"
        "stoa_system_clone:\n"
        "	.cfi_startproc\n"
        "	andq	$-16, %rsi\n"
        "	subq	$16, %rsi\n"
        "	movq	%rcx, 0(%rsi)\n" /* run */
        "	movq	%r8, 8(%rsi)\n" /* its context */
        "	xorl	%r10d, %r10d\n" /* no child's thread id */
        "	xorl	%r8d, %r8d\n" /* no other thread's storage */
        "	movl	$56, %eax\n" /* SYS_clone */
        "	syscall\n"
        "	testq	%rax, %rax\n"
        "	jz	1f\n"
        "	ret\n"
        "1:	.cfi_undefined rip\n"
        "	xorl	%ebp, %ebp\n"
        "	popq	%rax\n"
        "	popq	%rdi\n"
        "	call	*%rax\n"
        "	movl	%eax, %edi\n"
        "	movl	$60, %eax\n" /* SYS_exit */
        "	syscall\n"
        "	hlt\n"
        "	.cfi_endproc\n"
        ".size stoa_system_clone, . - stoa_system_clone\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".hidden stoa_system_clone\n"
        ".globl stoa_system_clone\n"
        ".type stoa_system_clone, %function\n"
        "stoa_system_clone:\n"
        "	.cfi_startproc\n"
        "	hint	34\n" /* bti c */
        "	and	x1, x1, #-16\n"
        "	stp	x3, x4, [x1, #-16]!\n" /* run and its context */
        "	mov	x3, #0\n" /* no other thread's storage */
        "	mov	x4, #0\n" /* no child's thread id */
        "	mov	x8, #220\n" /* SYS_clone */
        "	svc	#0\n"
        "	cbz	x0, 1f\n"
        "	ret\n"
        "1:	.cfi_undefined x30\n"
        "	mov	x29, #0\n"
        "	ldp	x1, x0, [sp], #16\n"
        "	blr	x1\n"
        "	mov	x8, #93\n" /* SYS_exit */
        "	svc	#0\n"
        "	brk	#0\n"
        "	.cfi_endproc\n"
        ".size stoa_system_clone, . - stoa_system_clone\n");
#endif
