/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into a guest and out again. vcpu_enter() is an ordinary call: what the C side needs afterwards
 * (x19..x30 and the stack) waits on the EL2 stack of this CPU while the guest runs. Every other
 * register is the guest's on entry, so no value of EL2 or of the host is left in any.
 */
#include "vcpu.h"

    .text

    /* uint64_t vcpu_enter(struct vcpu *v) */
    .global vcpu_enter
    .type vcpu_enter, %function
    .balign 16
vcpu_enter:
    stp x29, x30, [sp, #-96]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]

    ldp x1, x2, [x0, #VCPU_ELR]
    msr elr_el2, x1
    msr spsr_el2, x2
    ldp x2, x3, [x0, #VCPU_X + 16]
    ldp x4, x5, [x0, #VCPU_X + 32]
    ldp x6, x7, [x0, #VCPU_X + 48]
    ldp x8, x9, [x0, #VCPU_X + 64]
    ldp x10, x11, [x0, #VCPU_X + 80]
    ldp x12, x13, [x0, #VCPU_X + 96]
    ldp x14, x15, [x0, #VCPU_X + 112]
    ldp x16, x17, [x0, #VCPU_X + 128]
    ldp x18, x19, [x0, #VCPU_X + 144]
    ldp x20, x21, [x0, #VCPU_X + 160]
    ldp x22, x23, [x0, #VCPU_X + 176]
    ldp x24, x25, [x0, #VCPU_X + 192]
    ldp x26, x27, [x0, #VCPU_X + 208]
    ldp x28, x29, [x0, #VCPU_X + 224]
    ldr x30, [x0, #VCPU_X + 240]
    ldp x0, x1, [x0, #VCPU_X]
    eret
    dsb nsh /* no speculation past the eret */
    isb

    /* From vectors.S: x1 = struct vcpu, the guest's x0 and x1 on the stack. */
    .macro exit_entry name, kind
    .global \name
    .type \name, %function
\name:
    str x2, [x1, #VCPU_X + 16]
    mov x2, #\kind
    b vcpu_exit
    .endm
    exit_entry vcpu_exit_sync, VCPU_TRAP_SYNC
    exit_entry vcpu_exit_irq, VCPU_TRAP_IRQ
    exit_entry vcpu_exit_serror, VCPU_TRAP_SERROR

vcpu_exit:
    str x3, [x1, #VCPU_X + 24]
    stp x4, x5, [x1, #VCPU_X + 32]
    stp x6, x7, [x1, #VCPU_X + 48]
    stp x8, x9, [x1, #VCPU_X + 64]
    stp x10, x11, [x1, #VCPU_X + 80]
    stp x12, x13, [x1, #VCPU_X + 96]
    stp x14, x15, [x1, #VCPU_X + 112]
    stp x16, x17, [x1, #VCPU_X + 128]
    stp x18, x19, [x1, #VCPU_X + 144]
    stp x20, x21, [x1, #VCPU_X + 160]
    stp x22, x23, [x1, #VCPU_X + 176]
    stp x24, x25, [x1, #VCPU_X + 192]
    stp x26, x27, [x1, #VCPU_X + 208]
    stp x28, x29, [x1, #VCPU_X + 224]
    str x30, [x1, #VCPU_X + 240]
    ldp x3, x4, [sp], #16
    stp x3, x4, [x1, #VCPU_X]
    mrs x3, elr_el2
    mrs x4, spsr_el2
    stp x3, x4, [x1, #VCPU_ELR]

    mov x0, x2
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp x29, x30, [sp], #96
    ret
    .size vcpu_enter, . - vcpu_enter

    .arch_extension fp
    .arch_extension simd

    /* void vcpu_fp_save(struct vcpu_fp *fp), void vcpu_fp_load(const struct vcpu_fp *fp) */
    .macro fp_all op
    \op q0, q1, [x0, #0]
    \op q2, q3, [x0, #32]
    \op q4, q5, [x0, #64]
    \op q6, q7, [x0, #96]
    \op q8, q9, [x0, #128]
    \op q10, q11, [x0, #160]
    \op q12, q13, [x0, #192]
    \op q14, q15, [x0, #224]
    \op q16, q17, [x0, #256]
    \op q18, q19, [x0, #288]
    \op q20, q21, [x0, #320]
    \op q22, q23, [x0, #352]
    \op q24, q25, [x0, #384]
    \op q26, q27, [x0, #416]
    \op q28, q29, [x0, #448]
    \op q30, q31, [x0, #480]
    .endm

    .global vcpu_fp_save
    .type vcpu_fp_save, %function
vcpu_fp_save:
    fp_all stp
    mrs x1, fpsr
    mrs x2, fpcr
    add x0, x0, #512
    stp x1, x2, [x0]
    ret
    .size vcpu_fp_save, . - vcpu_fp_save

    .global vcpu_fp_load
    .type vcpu_fp_load, %function
vcpu_fp_load:
    fp_all ldp
    add x0, x0, #512
    ldp x1, x2, [x0]
    msr fpsr, x1
    msr fpcr, x2
    ret
    .size vcpu_fp_load, . - vcpu_fp_load
