/* SPDX-License-Identifier: BSD-2-Clause */
/* Entry, exceptions, calls. Arm ARM DDI0487 D1 (exceptions), D8 (translation). */

    .section .text.head, "ax"
    .global _start
_start:
    mov x19, x0
    msr daifset, #15
    adrp x0, stack_end
    add x0, x0, :lo12:stack_end
    mov sp, x0
    adrp x0, vectors
    add x0, x0, :lo12:vectors
    msr vbar_el1, x0
    mov x0, #(3 << 20) /* CPACR_EL1.FPEN: FP and SIMD do not trap */
    msr cpacr_el1, x0

    /* Stage 1, 4K granule, 39 bits, one to one in 1G blocks: [0, 1G) device, the next 4 memory. */
    adrp x0, table
    add x0, x0, :lo12:table
    mov x1, #0x405           /* block, AttrIndx 1, AF */
    movk x1, #0x60, lsl #48  /* UXN, PXN */
    str x1, [x0]
    mov x1, #0x701           /* block, AttrIndx 0, inner shareable, AF */
    movk x1, #0x40, lsl #48  /* UXN */
    mov x2, #0x40000000
    mov x5, x2
    mov x3, #1
1:  orr x4, x1, x2
    str x4, [x0, x3, lsl #3]
    add x2, x2, x5
    add x3, x3, #1
    cmp x3, #5
    b.ne 1b
    dsb sy
    msr ttbr0_el1, x0
    mov x1, #0x04ff          /* 0: normal write-back; 1: device nGnRE */
    msr mair_el1, x1
    /* T0SZ 25, IRGN0 and ORGN0 write-back, SH0 inner, EPD1, IPS 40 bits */
    mov x1, #(25 | 1 << 8 | 1 << 10 | 3 << 12)
    movk x1, #0x80, lsl #16
    movk x1, #2, lsl #32
    msr tcr_el1, x1
    isb
    tlbi vmalle1
    dsb nsh
    isb
    mrs x1, sctlr_el1
    mov x2, #0x1005          /* M, C, I */
    orr x1, x1, x2
    msr sctlr_el1, x1
    isb
    mov x0, x19
    bl payload_main
1:  wfi
    b 1b

    .text
    .balign 2048
vectors:
    .rept 16
    .balign 128
    b exception
    .endr

exception:
    sub sp, sp, #192
    stp x0, x1, [sp]
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x30, [sp, #144]
    mrs x0, esr_el1
    mrs x1, far_el1
    mrs x2, elr_el1
    bl payload_exception
    mrs x0, elr_el1
    add x0, x0, #4
    msr elr_el1, x0
    ldp x0, x1, [sp]
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x30, [sp, #144]
    add sp, sp, #192
    eret

    .macro call_by name, insn
    .global \name
\name:
    mov x9, x0
    ldp x0, x1, [x9]
    ldp x2, x3, [x9, #16]
    ldp x4, x5, [x9, #32]
    ldr x6, [x9, #48]
    \insn #0
    stp x0, x1, [x9]
    stp x2, x3, [x9, #16]
    stp x4, x5, [x9, #32]
    str x6, [x9, #48]
    ret
    .endm
    call_by hvc, hvc
    call_by smc, smc

    .global wait_for_owner
wait_for_owner:
    wfi
    ret

    .arch_extension fp
    .arch_extension simd

    /* uint64_t secret_yield(uint64_t pattern): every register says `pattern` while the owner looks. */
    .global secret_yield
secret_yield:
    stp x29, x30, [sp, #-112]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    str x0, [sp, #96]
    msr tpidr_el0, x0
    msr tpidr_el1, x0
    msr tpidrro_el0, x0
    msr contextidr_el1, x0
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    dup v\n\().2d, x0
    .endr
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    mov x\n, x0
    .endr
    movz x0, #0x0007
    movk x0, #0xc600, lsl #16 /* TN_GUEST_YIELD */
    hvc #0
    /* x0 is the result; all else must still be the pattern. */
    ldr x0, [sp, #96]
    eor x1, x1, x0
    .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    eor x\n, x\n, x0
    orr x1, x1, x\n
    .endr
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    mov x2, v\n\().d[1]
    eor x2, x2, x0
    orr x1, x1, x2
    .endr
    mrs x2, tpidr_el1
    eor x2, x2, x0
    orr x1, x1, x2
    mrs x2, tpidr_el0
    eor x2, x2, x0
    orr x0, x1, x2
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp x29, x30, [sp], #112
    ret

    .section .bss.tables, "aw", %nobits
    .balign 4096
table:
    .skip 4096
stack:
    .skip 65536
stack_end:
