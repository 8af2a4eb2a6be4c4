/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uint64_t canary_ring(volatile uint64_t *bell)
 *
 * Fills every register that a program has with a pattern, rings the doorbell (which may run a VM),
 * and returns how many registers came back changed: none may hold anything of a VM's, nor lose what
 * was ours. x18 too: nobody reserves it in a static program of ours.
 */
        .text
        .global canary_ring
        .type   canary_ring, %function
canary_ring:
        sub     sp, sp, #160
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]

        movz    x1, #0xca11
        movk    x1, #0xab1e, lsl #16
        movk    x1, #0x0dd5, lsl #32
        .irp    n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        add     x\n, x1, #\n
        .endr
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        dup     v\n\().2d, x1
        .endr
        dsb     sy
        str     x1, [x0]
        dsb     sy

        /* x0 and x1 first: the rest is judged by them. */
        movz    x0, #0xca11
        movk    x0, #0xab1e, lsl #16
        movk    x0, #0x0dd5, lsl #32
        cmp     x0, x1
        cset    x1, ne
        .irp    n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        sub     x\n, x\n, #\n
        cmp     x\n, x0
        cinc    x1, x1, ne
        .endr
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        mov     x2, v\n\().d[0]
        cmp     x2, x0
        cinc    x1, x1, ne
        mov     x2, v\n\().d[1]
        cmp     x2, x0
        cinc    x1, x1, ne
        .endr
        mov     x0, x1

        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #160
        ret
        .size   canary_ring, . - canary_ring
        .section .note.GNU-stack, "", %progbits
