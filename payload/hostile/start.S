/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry of both CPUs, and exceptions: each is counted and its instruction skipped, so that the
 * program can try anything. The MMU stays off: all accesses are to physical addresses of the host's.
 */

    .section .text.head, "ax"
    .global _start
_start:
    b 1f
    .word 0
    .quad 0          /* text offset; arm64 boot protocol, Documentation/arch/arm64/booting */
    .quad 0x200000   /* image size */
    .quad 2          /* flags: little endian, 4K */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .word 0
1:  mov x0, #0
    b enter

    .global second_start
second_start:
    mov x0, #1

enter:
    msr daifset, #15
    adrp x1, stacks
    add x1, x1, :lo12:stacks
    add x2, x0, #1
    add x1, x1, x2, lsl #16
    mov sp, x1
    adrp x1, vectors
    add x1, x1, :lo12:vectors
    msr vbar_el1, x1
    mov x1, #(3 << 20) /* CPACR_EL1.FPEN */
    msr cpacr_el1, x1
    isb
    bl hostile_main
1:  wfi
    b 1b

    .text
    .macro vector
    .balign 128
    stp x0, x1, [sp, #-16]!
    mrs x0, elr_el1
    add x0, x0, #4
    msr elr_el1, x0
    mrs x1, mpidr_el1
    and x1, x1, #1
    adrp x0, exceptions
    add x0, x0, :lo12:exceptions
    add x0, x0, x1, lsl #3
    ldr x1, [x0]
    add x1, x1, #1
    str x1, [x0]
    ldp x0, x1, [sp], #16
    eret
    .endm

    .balign 2048
vectors:
    .rept 16
    vector
    .endr

    .global call_smc
call_smc:
    smc #0
    ret

    .global call_hvc
call_hvc:
    hvc #0
    ret

    .bss
    .balign 65536
stacks:
    .space 2 * 65536
    .global exceptions
    .balign 8
exceptions:
    .space 16
