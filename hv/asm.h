/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers that assembly and C share; checked against the structures in mmu.c.
 *
 * An exception from a lower EL while cpu->vcpu is set: vectors.S pushes the guest's x0 and x1
 * (`stp x0, x1, [sp, #-16]!`) and branches to vcpu_exit_{sync,irq,serror} with x1 = cpu->vcpu and
 * every other register as the guest left it. Otherwise the host was interrupted: a struct regs is
 * built on the stack and host_sync() is called.
 *
 * A CPU's stack is STACK_SIZE bytes at the upper end of an area of twice that, aligned to its own
 * size: the lower half is not mapped, and one bit of SP tells which half it points into.
 */
#ifndef TENON_HV_ASM_H
#define TENON_HV_ASM_H

#ifndef CPU_VCPU
#define CPU_VCPU 0
#endif
#define CPU_STACK_TOP 8
#define CPU_EMERGENCY 16

#define REGS_ELR   248
#define REGS_ESR   264
#define REGS_HPFAR 280
#define REGS_SIZE  288

#define STACK_SHIFT    14
#define STACK_SIZE     (1 << STACK_SHIFT)
#define EMERGENCY_SIZE 4096

/* Kinds of exceptions of EL2 itself. */
#define EL2_SYNC     0
#define EL2_IRQ      1
#define EL2_SERROR   2
#define EL2_ODD      3 /* a vector that nothing should use */
#define EL2_OVERFLOW 4 /* the stack ran into its guard */

/* SCTLR_EL2, E2H = 0 (DDI0487 D23.2.145): RES1 bits 4, 5, 11, 16, 18, 22, 23, 28, 29. */
#define SCTLR_EL2_RES1 0x30c50830
#define SCTLR_M        (1 << 0)
#define SCTLR_C        (1 << 2)
#define SCTLR_SA       (1 << 3)
#define SCTLR_I        (1 << 12)
#define SCTLR_WXN      (1 << 19)

#endif
