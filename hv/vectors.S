/* SPDX-License-Identifier: BSD-2-Clause */
/* EL2's exception vectors (DDI0487 D1.3.1). See asm.h for what each side promises the other. */
#include "asm.h"

    .macro vector target
    .balign 128
    b \target
    .endm

    /* An exception of EL2 itself: never expected, always the end. */
    .macro el2_vector kind
    .balign 128
    sub sp, sp, #REGS_SIZE
    /* Which half of its area does SP point into? Found out with no register to spare. */
    add sp, sp, x0
    sub x0, sp, x0
    tbz x0, #STACK_SHIFT, 1f
    sub x0, sp, x0
    sub sp, sp, x0
    stp x0, x1, [sp]
    mov x1, #\kind
    b el2_exception
1:  mov x1, #EL2_OVERFLOW
    b el2_overflow
    .endm

    .text
    .balign 2048
    .global vectors
vectors:
    /* Current EL with SP_EL0: not used. */
    el2_vector EL2_ODD
    el2_vector EL2_ODD
    el2_vector EL2_ODD
    el2_vector EL2_ODD
    /* Current EL with SP_EL2. */
    el2_vector EL2_SYNC
    el2_vector EL2_IRQ
    el2_vector EL2_IRQ
    el2_vector EL2_SERROR
    /* Lower EL, AArch64. */
    vector lower_sync
    vector lower_irq
    vector lower_irq
    vector lower_serror
    /* Lower EL, AArch32: EL1 is always AArch64 (HCR_EL2.RW), so these cannot be taken. */
    el2_vector EL2_ODD
    el2_vector EL2_ODD
    el2_vector EL2_ODD
    el2_vector EL2_ODD

    .macro to_guest_or_host guest, host
    stp x0, x1, [sp, #-16]!
    mrs x1, tpidr_el2
    ldr x1, [x1, #CPU_VCPU]
    cbz x1, \host
    b \guest
    .endm

lower_sync:
    to_guest_or_host vcpu_exit_sync, host_exit
lower_irq:
    to_guest_or_host vcpu_exit_irq, host_none
lower_serror:
    to_guest_or_host vcpu_exit_serror, host_none

    /* Interrupts and SErrors of the host go to EL1 without EL2: nothing to do but go back. */
host_none:
    ldp x0, x1, [sp], #16
    eret
    dsb nsh
    isb

    /* x2 to x29, to or from a struct regs on the stack. */
    .altmacro
    .macro pair op, n, m
    \op x\n, x\m, [sp, #8 * \n]
    .endm
    .macro x2_to_x29 op
    .set i, 2
    .rept 14
    pair \op, %i, %(i + 1)
    .set i, i + 2
    .endr
    .endm

    /* x0 and x1 of the interrupted context are on the stack already; the rest to struct regs. */
    .macro save_regs
    x2_to_x29 stp
    mrs x21, elr_el2
    mrs x22, spsr_el2
    mrs x23, esr_el2
    mrs x24, far_el2
    mrs x25, hpfar_el2
    stp x30, x21, [sp, #240]
    stp x22, x23, [sp, #256]
    stp x24, x25, [sp, #272]
    .endm

host_exit:
    ldp x0, x1, [sp], #16
    sub sp, sp, #REGS_SIZE
    stp x0, x1, [sp]
    save_regs
    mov x29, xzr
    mov x0, sp
    bl host_sync
    ldp x30, x21, [sp, #240]
    ldr x22, [sp, #256]
    msr elr_el2, x21
    msr spsr_el2, x22
    x2_to_x29 ldp
    ldp x0, x1, [sp]
    add sp, sp, #REGS_SIZE
    eret
    dsb nsh
    isb

el2_overflow:
    /* The stack is lost, and with it x0 and x1. */
    mrs x0, tpidr_el2
    cbz x0, .
    ldr x0, [x0, #CPU_EMERGENCY]
    mov sp, x0
    sub sp, sp, #REGS_SIZE
    stp xzr, xzr, [sp]
el2_exception:
    save_regs
    mov x0, sp
    bl el2_fault
    b .

    /* Until there is a vCPU at all. */
    .weak vcpu_exit_sync
    .weak vcpu_exit_irq
    .weak vcpu_exit_serror
