/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual CPU and its world switch. Running one is a plain call on the physical CPU whose host
 * rang the doorbell: the host's EL1 state is put away, the guest's is loaded, and the call returns
 * when the guest stops, asks for its owner, or the host is due (an interrupt, or its timer).
 *
 * Entry and exit in switch.S. vectors.S branches to vcpu_exit_{sync,irq,serror} for an exception
 * from a lower EL while this_cpu()->vcpu is set, with the guest's x0 and x1 at [sp], [sp, #8]
 * (pushed with `stp x0, x1, [sp, #-16]!`) and x1 = the struct vcpu; all else as the guest left it.
 */
#ifndef TENON_VCPU_H
#define TENON_VCPU_H

/* Offsets and numbers that switch.S uses; checked in vcpu.c. */
#define VCPU_X           0
#define VCPU_ELR         248
#define VCPU_SPSR        256
#define VCPU_FP          272 /* 16-byte aligned: q0..q31, FPSR, FPCR */
#define VCPU_FP_SIZE     528
#define VCPU_TRAP_SYNC   0
#define VCPU_TRAP_IRQ    1
#define VCPU_TRAP_SERROR 2
#define CPU_VCPU         0 /* struct cpu.vcpu */

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

struct vm;

/* EL1 and EL0 registers that belong to whoever runs, host or guest. Saved and loaded by vcpu.c in
 * this order; the timer's control comes last, when its comparison value is right. */
#define VCPU_SYSREGS(X) \
    X(cntv_cval_el0)    \
    X(cntkctl_el1)      \
    X(sctlr_el1)        \
    X(cpacr_el1)        \
    X(ttbr0_el1)        \
    X(ttbr1_el1)        \
    X(tcr_el1)          \
    X(mair_el1)         \
    X(amair_el1)        \
    X(vbar_el1)         \
    X(esr_el1)          \
    X(far_el1)          \
    X(afsr0_el1)        \
    X(afsr1_el1)        \
    X(contextidr_el1)   \
    X(tpidr_el0)        \
    X(tpidrro_el0)      \
    X(tpidr_el1)        \
    X(sp_el0)           \
    X(sp_el1)           \
    X(elr_el1)          \
    X(spsr_el1)         \
    X(par_el1)          \
    X(csselr_el1)       \
    X(mdscr_el1)        \
    X(cntv_ctl_el0)
/* Pointer authentication keys (FEAT_PAuth), in encodings that every assembler knows:
 * APIA, APIB, APDA, APDB, APGA, low and high halves. */
#define VCPU_PAUTHREGS(X) \
    X(S3_0_C2_C1_0)       \
    X(S3_0_C2_C1_1)       \
    X(S3_0_C2_C1_2)       \
    X(S3_0_C2_C1_3)       \
    X(S3_0_C2_C2_0)       \
    X(S3_0_C2_C2_1)       \
    X(S3_0_C2_C2_2)       \
    X(S3_0_C2_C2_3)       \
    X(S3_0_C2_C3_0)       \
    X(S3_0_C2_C3_1)

struct vcpu_fp {
    uint64_t q[64];
    uint64_t fpsr, fpcr;
};

struct vcpu_sys {
#define X(r) uint64_t r;
    VCPU_SYSREGS(X)
    VCPU_PAUTHREGS(X)
#undef X
};

struct vcpu {
    uint64_t x[31];
    uint64_t elr, spsr;
    uint64_t pad;
    struct vcpu_fp fp __attribute__((aligned(16)));
    struct vcpu_sys sys;
    struct vm *vm;
    uint64_t exits;
    uint64_t cntvoff;   /* its virtual counter starts at 0 when it is reset */
    uint32_t claimed;   /* 1 while some CPU runs it */
    uint32_t last_cpu;  /* physical CPU it ran on last, or ~0 */
    bool abort_pending; /* the owner let it run on after a fault: it takes an abort at abort_far */
    bool abort_fetch;
    uint64_t abort_far;
    bool off;
};

/* Architectural reset, then x0 and the entry given: EL1h, everything masked, MMU off. */
void vcpu_reset(struct vcpu *v, struct vm *vm, uint64_t entry, uint64_t x0);

/*
 * Run until an exit (enum tn_exit in *exit, its value in *value), at most `limit_us`. -EBUSY: another
 * CPU runs it. The caller keeps the VM from going away.
 */
int vcpu_run(struct vcpu *v, uint64_t limit_us, uint32_t *exit, uint64_t *value);

/* hvc.c: the guest's HVC or SMC, registers in v->x. True: leave to the owner with *exit, *value. */
bool hvc_guest(struct vcpu *v, bool smc, uint32_t *exit, uint64_t *value);

/* switch.S */
uint64_t vcpu_enter(struct vcpu *v); /* returns VCPU_TRAP_* */
void vcpu_fp_save(struct vcpu_fp *fp);
void vcpu_fp_load(const struct vcpu_fp *fp);
#endif

#endif
