/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the boot loader into C, and from EL2 into the host. The image is an arm64 Linux Image
 * (Documentation/arch/arm64/booting of Linux: header of 64 bytes, x0 = device tree, MMU off).
 */
#include "asm.h"

    .section .text.head, "ax"
    .global _start
_start:
    b boot_primary
    .word 0
    .quad 0          /* text_offset */
    .quad image_size /* with .bss and stacks */
    .quad 0x2        /* little endian, 4K pages, near the base of RAM */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .word 0

    /*
     * A first stage 1: one table of 1 GiB blocks, with the blocks of this image and of the device
     * tree only. Everything up to the switch in mmu.c runs on it. x19 device tree.
     */
boot_primary:
    mov x19, x0
    mrs x0, CurrentEL
    cmp x0, #(2 << 2)
    b.ne boot_dead
    msr daifset, #0xf
    adr x0, _start
    ldr x1, =image_start
    cmp x0, x1
    b.ne boot_dead /* loaded elsewhere than linked: nothing below would be true */
    ldr x0, =(SCTLR_EL2_RES1)
    msr sctlr_el2, x0
    isb

    /* The table may have stale lines in the cache, which the MMU would read. */
    adrp x1, boot_table
    add x2, x1, #4096
1:  str xzr, [x1], #8
    cmp x1, x2
    b.lo 1b
    adrp x1, boot_table
    ldr x3, =0x745 /* a valid block: AttrIndx 1, AP[1] (RES1 here), inner shareable, AF */
    adrp x0, _start
    bl boot_block
    mov x0, x19
    bl boot_block
    dsb sy
2:  dc ivac, x1
    add x1, x1, #16 /* no line is shorter */
    cmp x1, x2
    b.lo 2b
    dsb sy

    adrp x0, boot_table
    mrs x2, id_aa64mmfr0_el1
    and x2, x2, #0xf
    cmp x2, #5
    mov x3, #5
    csel x2, x2, x3, ls
    ldr x1, =0x80803519 /* T0SZ 25, write-back inner shareable walks, RES1 bits 31 and 23 */
    orr x1, x1, x2, lsl #16
    ldr x2, =(SCTLR_EL2_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | SCTLR_SA)
    bl mmu_switch

    adrp x0, bss_start
    adrp x1, bss_end
3:  stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 3b
    /* The stack is in no table of guards yet, but where it will be. */
    adrp x0, stacks_start + 2 * STACK_SIZE
    mov sp, x0
    adr x0, vectors
    msr vbar_el2, x0
    mov x0, x19
    mov x29, xzr
    mov x30, xzr
    bl hv_main
boot_dead:
    wfe
    b boot_dead

    /* Enter the 1 GiB block around x0 in the table at x1 (attributes x3). Uses x4, x5. */
boot_block:
    lsr x4, x0, #30
    and x5, x4, #0x1ff
    lsl x4, x4, #30
    orr x4, x4, x3
    str x4, [x1, x5, lsl #3]
    ret

    .text
    /*
     * void mmu_switch(ttbr0, tcr, sctlr): off, forget, on. Runs from memory that the old and the new
     * tables map one to one, and touches no other meanwhile: no break-before-make rule is broken.
     */
    .global mmu_switch
    .type mmu_switch, %function
mmu_switch:
    mrs x3, sctlr_el2
    bic x3, x3, #SCTLR_M
    msr sctlr_el2, x3
    isb
    ldr x3, =0x000000000004ff44 /* PT_ARM_MAIR; a literal beside the code: read before it matters */
    msr mair_el2, x3
    msr tcr_el2, x1
    msr ttbr0_el2, x0
    isb
    tlbi alle2
    ic iallu
    dsb nsh
    isb
    msr sctlr_el2, x2
    isb
    ret
    .ltorg

    /* PSCI CPU_ON brings a CPU here: MMU off, x0 = its struct cpu. mmu_boot was cleaned to memory. */
    .global cpu_entry
cpu_entry:
    msr daifset, #0xf
    mov x19, x0
    ldr x0, =(SCTLR_EL2_RES1)
    msr sctlr_el2, x0
    isb
    adrp x3, mmu_boot
    add x3, x3, #:lo12:mmu_boot
    ldp x0, x1, [x3]
    ldr x2, [x3, #16]
    bl mmu_switch
    ldr x0, [x19, #CPU_STACK_TOP]
    mov sp, x0
    msr tpidr_el2, x19
    adr x0, vectors
    msr vbar_el2, x0
    isb
    mov x0, x19
    mov x29, xzr
    mov x30, xzr
    bl hv_cpu_main
    b boot_dead

    /* _Noreturn void host_enter(pc, x0): this CPU's host starts, with nothing of EL2 in a register. */
    .global host_enter
host_enter:
    msr elr_el2, x0
    mov x0, #0x3c5 /* EL1h, DAIF masked */
    msr spsr_el2, x0
    ldr x0, =0x30d00800 /* SCTLR_EL1: MMU and caches off; RES1 bits */
    msr sctlr_el1, x0
    mov x0, x1
    mrs x1, tpidr_el2
    ldr x1, [x1, #CPU_STACK_TOP]
    mov sp, x1
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    mov x\n, xzr
    .endr
    eret
    dsb nsh
    isb

    .ltorg

    /* uint64_t smc_call(f, a, b, c): SMCCC 1.0 to the firmware; x0 is the answer. */
    .global smc_call
    .type smc_call, %function
smc_call:
    stp x29, x30, [sp, #-16]!
    smc #0
    ldp x29, x30, [sp], #16
    ret

    .section .data.boot, "aw", %progbits
    .balign 4096
boot_table:
    .space 4096

    .section .stacks, "aw", %nobits
    .balign 2 * STACK_SIZE
    .global stacks
stacks:
    .space 8 * 2 * STACK_SIZE
    /* Emergency stacks: a guard page, then the stack, for each CPU. */
    .global emergency_stacks
emergency_stacks:
    .space 8 * 2 * EMERGENCY_SIZE
