/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bare machine (QEMU virt, EL1) for counting instructions: memory one to one and cacheable, so that
 * exclusives and DC ZVA do what they do at EL2. Arm ARM DDI0487 D8.3, D23.2.
 */
    .section .text.head, "ax"
    .global _start
_start:
    msr daifset, #15
    adrp x0, stack_end
    add x0, x0, :lo12:stack_end
    mov sp, x0
    adrp x0, table
    add x0, x0, :lo12:table
    mov x1, #0x405              /* [0, 1G): block, AttrIndx 1, AF */
    str x1, [x0]
    mov x1, #0x701              /* [1G, 2G): block, AttrIndx 0, inner shareable, AF */
    movk x1, #0x4000, lsl #16
    str x1, [x0, #8]
    dsb sy
    msr ttbr0_el1, x0
    mov x1, #0x04ff             /* 0: normal write-back; 1: device nGnRE */
    msr mair_el1, x1
    mov x1, #(25 | 1 << 8 | 1 << 10 | 3 << 12)
    movk x1, #0x80, lsl #16     /* T0SZ 25, walks cacheable, no upper half */
    msr tcr_el1, x1
    isb
    tlbi vmalle1
    dsb nsh
    isb
    mrs x1, sctlr_el1
    mov x2, #0x1005             /* M, C, I */
    orr x1, x1, x2
    msr sctlr_el1, x1
    isb
    bl bench_main
    b .

/* uint64_t semihosting(uint64_t operation, const void *argument) */
    .global semihosting
semihosting:
    hlt #0xf000
    ret

    .bss
    .balign 4096
table:
    .space 4096
    .space 65536
stack_end:
