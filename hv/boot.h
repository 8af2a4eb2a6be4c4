/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boot files tell each other: memory, device tree, EL2's own tables, the host's start. */
#ifndef TENON_HV_BOOT_H
#define TENON_HV_BOOT_H

#include "hv.h"
#include "pci.h"

#define HYP_SIZE  ((uint64_t)128 << 20) /* EL2's memory, from the base of RAM */
#define LOG_BYTES ((uint64_t)512 << 10) /* its last part: found again after a warm reset */

/* A range of device registers that the host may use directly. */
struct dt_range {
    uint64_t base, size;
    const char *what;
};
#define DT_RANGES 24u

struct dt {
    struct dt_range
        allow[DT_RANGES]; /* not GIC or ITS, ECAM or SMMU: those have rules of their own */
    uint32_t nallow;
    uint64_t gicd_size, gicr_stride, its_size;
    struct pci_host pci;
    bool has_pci;
    uint64_t initrd, initrd_end;
    uint64_t mpidr[HV_CPUS];
    uint32_t ncpus;
};
extern struct dt dt;

/* ---- dt.c ---- */
/* One more range that the host may use. Panics when there is no room. */
void dt_allow(uint64_t base, uint64_t size, const char *what);
/* Copies the tree at `pa` into EL2's memory and reads it into hv and dt. Panics if it makes no sense:
 * nothing of the host runs yet. */
void dt_read(uint64_t pa, void *work, uint64_t work_size);
/* The tree as the host may see it, written over the one at `pa`. */
void dt_write_host(uint64_t pa);
/* `name=` on the command line: is it there with this value; its value as a number, decimal or 0x..,
 * with an optional K, M or G behind it. */
bool dt_option_is(const char *name, const char *value);
uint64_t dt_number(const char *name, uint64_t otherwise);

/* ---- mmu.c ---- */
void mmu_init(void); /* EL2's final stage 1; before this only the image's own GiB is mapped */
void mmu_map_device(uint64_t pa, uint64_t size); /* boot only; one to one; twice is fine */
void mmu_switch(uint64_t ttbr0, uint64_t tcr, uint64_t sctlr);

/* ---- main.c ---- */
/* Boot only: zeroed memory of EL2's own, never given back. Panics when there is none. */
uint64_t hyp_alloc(uint64_t size, uint64_t align);
void hv_main(uint64_t dtb);
_Noreturn void hv_cpu_main(struct cpu *c); /* a further CPU, on its own stack */
void cpu_entry(void);
_Noreturn void host_enter(uint64_t pc, uint64_t x0);

/* ---- host.c ---- */
void host_init(uint32_t mode); /* both trees, every device's stream; mode as hv.host_mode */

/* ---- idregs.c ---- */
void caps_read(struct cpu_caps *c);
/* What the host (and a VM) may know of the identification register S3_0_C0_C<crm>_<op2>. */
uint64_t idreg_visible(unsigned crm, unsigned op2);

/* ---- psci.c ---- */
void host_smc(struct regs *r);
uint64_t smc_call(uint64_t fn, uint64_t a, uint64_t b, uint64_t c);
_Noreturn void psci_system(bool off);

/* ---- gic.c, its.c ---- */
static inline uint32_t mmio_read32(uint64_t pa)
{
    return *(volatile uint32_t *)pa;
}
static inline uint64_t mmio_read64(uint64_t pa)
{
    return *(volatile uint64_t *)pa;
}
static inline void mmio_write32(uint64_t pa, uint32_t v)
{
    *(volatile uint32_t *)pa = v;
}
static inline void mmio_write64(uint64_t pa, uint64_t v)
{
    *(volatile uint64_t *)pa = v;
}
void gic_init(void);
bool gic_is_redist(uint64_t pa); /* the base of a redistributor */
uint32_t gic_redists(void);
void its_init(void);

/* ---- trap.c ---- */
/* Where a stage-2 fault happened, by HPFAR_EL2. That is not valid for a permission fault other than of
 * a table walk (DDI0487 D23.2.56): ~0, an address that nobody has. Such a fault is final, for nothing
 * is mapped with less than its right; and to ask with AT would let EL1's tables, which may lie in
 * device registers, raise an external abort at EL2. */
uint64_t fault_ipa(uint64_t esr, uint64_t far, uint64_t hpfar);
_Noreturn void el2_fault(struct regs *r, uint64_t kind);

#endif
