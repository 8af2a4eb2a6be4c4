/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The freestanding library with no C library at all: builds tables, changes one page, and ends with
 * 0 if they say what they should. Linked with the port beside it:
 *
 *   pkg-config --define-variable=arch=x86_64 --cflags --libs tenon-free     (or arch=aarch64)
 *
 * For x86-64 it is a Linux program; for aarch64 the only program of a bare machine of QEMU's.
 */
#include <tenon/pt.h>

static uint8_t pages[16][4096] __attribute__((aligned(8192)));

int example(void);
int example(void)
{
    struct pt_config cfg = { PT_ARM_S2_4K, .ia_bits = 40, .oa_bits = 40, .start_level = 1,
                             .live.bbm = 2 };
    struct pt_pool pool = { 0 };
    struct pt_gather gone;
    struct pt_leaf leaf;
    struct pt pt;

    pt_gather_init(&gone);
    if (pt_init(&pt, &cfg, (uint64_t)pages) != 0) { /* the first two are the start tables */
        return 1;
    }
    for (int i = 2; i < 16; i++) {
        pt_pool_push(&pool, (uint64_t)pages[i]);
    }
    if (pt_map(&pt, 1ul << 30, 2ul << 30, 1ul << 30, PT_READ | PT_WRITE, 0, &pool) != 0 ||
        pt_cut(&pt, 0x40005000, 4096, &pool, &gone) != 0 ||
        pt_break(&pt, 0x40005000, 4096, &gone) != 0 ||
        pt_map(&pt, 0x40005000, 0xc0000000, 4096, PT_READ | PT_WRITE, 0, &pool) != 0) {
        return 2;
    }
    if (pt_lookup(&pt, 0x40005000, &leaf) != 0 || leaf.oa != 0xc0000000 || leaf.level != 3) {
        return 3;
    }
    if (pt_lookup(&pt, 0x40006000, &leaf) != 0 || leaf.oa != 0x80006000) {
        return 4;
    }
    return gone.n != 0 ? 0 : 5;
}

#ifdef __aarch64__
/* Semihosting (Arm): SYS_EXIT with ADP_Stopped_ApplicationExit and the code. */
uint64_t stack[2048] __attribute__((aligned(4096))), leaving[2] = { 0x20026 };
__asm__(".globl _start\n_start: adrp x0, stack + 16384\n mov sp, x0\n bl example\n"
        " adrp x1, leaving\n add x1, x1, :lo12:leaving\n str x0, [x1, #8]\n"
        " mov w0, #0x18\n hlt #0xf000\n");
#else
/* Linux: exit(code). */
__asm__(".globl _start\n_start: and $-16, %rsp\n call example\n mov %eax, %edi\n mov $60, %eax\n"
        " syscall\n");
#endif
