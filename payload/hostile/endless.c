/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that never gives the CPU back. EL2 promises an end after the time asked for, and the interrupt
 * that ends it goes through a controller that is the host's: whatever state the host left it in, the
 * run ends, or was refused beforehand.
 */
#include "hostile.h"

#include <tenon/control.h>
#include <tenon/errno.h>

#define GUEST_RAM      0x40000000ul
#define BRANCH_TO_SELF 0x14000000u
#define EL2_TIMER      26u /* CNTHP's PPI */
#define GICR_SIZE      0x20000ul

/* GICv3 (IHI0069 12): offsets in the distributor, in RD_base, and in SGI_base. */
#define GICD_CTLR       0x0000u
#define GICR_WAKER      0x0014u
#define GICR_IGROUPR0   0x10080u
#define GICR_IPRIORITYR 0x10400u
#define GICR_ICFGR1     0x10c04u
#define ARE_AND_GRP1A   0x12u
#define CHILDREN_ASLEEP 4u

enum { PATIENCE = 30 }; /* seconds */
static const char ends[] = "an endless guest ends in time";

static void gic_on(bool on)
{
    uint64_t waker = GICR + this_cpu() * GICR_SIZE + GICR_WAKER;

    store(GICD + GICD_CTLR, 2, on ? ARE_AND_GRP1A : 0x10);
    store(waker, 2, 0);
    while (load(waker, 2) & CHILDREN_ASLEEP) {
    }
}

/* Nothing of this host's helps EL2's timer to be heard. */
static void deafen(void)
{
    uint64_t gicr = GICR + this_cpu() * GICR_SIZE;

    store(gicr + GICR_IGROUPR0, 2, load(gicr + GICR_IGROUPR0, 2) & ~(1ul << EL2_TIMER));
    store(gicr + GICR_IPRIORITYR + EL2_TIMER, 0, 0xff);
    store(gicr + GICR_ICFGR1, 2, 0xaaaaaaaa);
    /* ICC_PMR_EL1, ICC_IGRPEN1_EL1 */
    __asm__ volatile("msr s3_0_c4_c6_0, xzr\n\tmsr s3_0_c12_c12_7, xzr\n\tisb");
}

/* A VM of one instruction, run for 1 ms: what TN_VM_RUN said, or what went wrong before. */
static int64_t run(uint64_t *exit)
{
    uint64_t out[8] = { 0 }, id;
    int64_t r = control_finish(TN_VM_CREATE, (uint64_t[6]){ 0x200000 }, 0, out);

    if (r != 0) {
        return r;
    }
    id = out[0];
    r = control_finish(TN_VM_PREPARE, (uint64_t[6]){ id }, 0, out);
    if (r == 0) {
        control_data()[0] = BRANCH_TO_SELF;
        r = control_finish(TN_VM_POPULATE, (uint64_t[6]){ id, GUEST_RAM }, 4096, out);
    }
    if (r == 0) {
        r = control_finish(TN_VM_SEAL, (uint64_t[6]){ id, GUEST_RAM }, 0, out);
    }
    if (r == 0) {
        r = control_finish(TN_VM_RUN, (uint64_t[6]){ id, 0, 1000 }, 0, out);
        *exit = out[0];
    }
    (void)control_finish(TN_VM_DESTROY, (uint64_t[6]){ id }, 0, out);
    return r;
}

static volatile bool watching, done;

bool watch_endless_guest(void)
{
    uint64_t now, hz, end;

    if (!watching) {
        return false;
    }
    __asm__ volatile("mrs %0, cntvct_el0\n\tmrs %1, cntfrq_el0" : "=r"(now), "=r"(hz));
    for (end = now + PATIENCE * hz; !done && now < end;) {
        __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now)::"memory");
    }
    if (!done) {
        check(false, ends, "it still runs after seconds:", PATIENCE);
        verdict();
    }
    call_smc(PSCI_CPU_OFF, 0, 0, 0);
    return true;
}

void survive_endless_guest(void)
{
    uint64_t exit;

    gic_on(true);
    deafen();
    (void)run(&exit);
}

void try_endless_guest(void)
{
    uint64_t exit = ~0ul;
    int64_t r;

    watching = true;
    r = (int64_t)call_smc(PSCI_CPU_ON, 1, (uint64_t)second_start, 0);
    check(r == 0, "the second CPU watches", "PSCI said", (uint64_t)r);
    gic_on(false);
    r = run(&exit);
    check(r == -EOPNOTSUPP, "no guest runs where nothing can end it", "answered", (uint64_t)-r);
    gic_on(true);
    deafen();
    r = run(&exit);
    check(r == 0 && exit == TN_EXIT_INTERRUPTED, ends, r ? "answered" : "exit",
          r ? (uint64_t)-r : exit);
    done = true;
    while (call_smc(PSCI_AFFINITY_INFO, 1, 0, 0) != 1) {
        /* 1: off */
    }
    watching = false;
}
