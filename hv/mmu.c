/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EL2's own stage 1: text read and execute, rodata read, all else read and write and never
 * executable; nothing is both writable and executable, and SCTLR_EL2.WXN says so again. Addresses
 * are physical ones. Guard pages lie under the stacks.
 */
#include "asm.h"
#include "boot.h"

_Static_assert(offsetof(struct cpu, vcpu) == CPU_VCPU, "asm.h");
_Static_assert(offsetof(struct cpu, stack_top) == CPU_STACK_TOP, "asm.h");
_Static_assert(offsetof(struct cpu, emergency) == CPU_EMERGENCY, "asm.h");
_Static_assert(offsetof(struct regs, elr) == REGS_ELR, "asm.h");
_Static_assert(offsetof(struct regs, esr) == REGS_ESR, "asm.h");
_Static_assert(offsetof(struct regs, hpfar) == REGS_HPFAR, "asm.h");
_Static_assert(sizeof(struct regs) == REGS_SIZE && REGS_SIZE % 16 == 0, "asm.h");
_Static_assert(HV_CPUS == 8, "boot.S has room for 8 stacks");

extern char image_start[], text_start[], text_end[], rodata_start[], rodata_end[], data_start[],
    data_end[], stacks[], emergency_stacks[], image_end[];

/* What a starting CPU loads before it has an MMU: cpu_entry in boot.S knows the order. */
struct mmu_boot {
    uint64_t ttbr0, tcr, sctlr;
};
extern struct mmu_boot mmu_boot;
struct mmu_boot mmu_boot;

static struct pt el2;

static void map(uint64_t pa, uint64_t end, uint32_t prot)
{
    struct pt_pool pool = { 0 };
    uint32_t need = 0;
    int err;

    if (pa == end) {
        return;
    }
    err = pt_need_map(&el2, pa, pa, end - pa, 0, &need);
    if (err == 0) {
        err = frame_tables_reserve(&pool, need);
    }
    if (err == 0) {
        err = pt_map(&el2, pa, pa, end - pa, prot, 0, &pool);
    }
    if (err != 0) {
        port_log("EL2 stage 1: [%lx, %lx): error %u", pa, end, (uint32_t)-err);
        port_panic("cannot map EL2's own memory");
    }
    frame_tables_release(&pool);
}

void mmu_map_device(uint64_t pa, uint64_t size)
{
    uint64_t end = (pa + size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    struct pt_leaf leaf;

    /* Page by page where part of it is there already (two devices in one page). */
    for (uint64_t p = pa & ~(PAGE_SIZE - 1); p < end;) {
        uint64_t stop = end;

        if (pt_lookup(&el2, p, &leaf) != 0) {
            return;
        }
        if (leaf.present) {
            p = leaf.last + 1;
            continue;
        }
        if (leaf.last + 1 < stop) {
            stop = leaf.last + 1;
        }
        map(p, stop, PT_READ | PT_WRITE | PT_DEVICE);
        p = stop;
    }
    port_publish();
    __asm__ volatile("isb" ::: "memory");
}

void mmu_init(void)
{
    const uint32_t rw = PT_READ | PT_WRITE;
    struct pt_config cfg = {
        .format = PT_ARM_S1_4K,
        .ia_bits = hv.caps.pa_bits > 40 ? hv.caps.pa_bits : 40,
        .oa_bits = hv.caps.pa_bits,
        .start_level = 0,
    };
    uint64_t root = frame_tables_root(1);

    if (root == 0 || pt_init(&el2, &cfg, root) != 0) {
        port_panic("EL2 stage 1: no root");
    }
    map(hv.ram_base, (uint64_t)image_start, rw);
    map((uint64_t)text_start, (uint64_t)text_end, PT_READ | PT_EXEC);
    map((uint64_t)rodata_start, (uint64_t)rodata_end, PT_READ);
    map((uint64_t)data_start, (uint64_t)data_end, rw);
    for (unsigned i = 0; i < HV_CPUS; i++) {
        struct cpu *c = &hv.cpu[i];

        c->stack_top = (uint64_t)stacks + (i + 1ul) * 2 * STACK_SIZE;
        c->emergency = (uint64_t)emergency_stacks + (i + 1ul) * 2 * EMERGENCY_SIZE;
        map(c->stack_top - STACK_SIZE, c->stack_top, rw);
        map(c->emergency - EMERGENCY_SIZE, c->emergency, rw);
    }
    /* The control region's slots: the host maps them as Device memory, so no line of them may be
     * in a cache on this side (DDI0487 B2.16, mismatched attributes). */
    map((uint64_t)image_end, hv.control_pa, rw);
    map(hv.control_pa, hv.control_pa + TN_SLOTS * TN_SLOT_SIZE, rw | PT_NC);
    map(hv.control_pa + TN_SLOTS * TN_SLOT_SIZE, hv.ram_base + hv.ram_size, rw);
    port_publish();

    mmu_boot.ttbr0 = el2.root;
    mmu_boot.tcr = pt_arm_tcr_el2(&el2);
    mmu_boot.sctlr = SCTLR_EL2_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | SCTLR_SA | SCTLR_WXN;
    port_clean(&mmu_boot, sizeof(mmu_boot));
    mmu_switch(mmu_boot.ttbr0, mmu_boot.tcr, mmu_boot.sctlr);
}
