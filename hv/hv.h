/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own pieces and how they meet. One CPU is in EL2 code at a time per physical CPU;
 * EL2 is never preempted and never takes an interrupt (they stay pending for the host).
 *
 * EL2 maps memory one to one (virtual == physical): its image W^X, RAM and the device registers it
 * uses read-write, never executable.
 */
#ifndef TENON_HV_H
#define TENON_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tenon/control.h>
#include <tenon/errno.h>
#include <tenon/frame.h>
#include <tenon/gmem.h>
#include <tenon/iommu.h>
#include <tenon/port.h>
#include <tenon/smmuv3.h>
#include <tenon/space.h>

#include "log.h"

#define HV_CPUS      8u
#define HV_VMS       8u
#define HV_VMID_HOST 1u /* VM slot i uses VMID 2 + i */

/* Registers of the interrupted host context, saved on the EL2 stack by vectors.S in this order. */
struct regs {
    uint64_t x[31];
    uint64_t elr, spsr, esr, far, hpfar;
};

struct vcpu;

struct cpu { /* one per physical CPU; TPIDR_EL2 points at it. Offsets used by assembly: asm.h */
    struct vcpu *vcpu; /* the vCPU that is running on this CPU, or NULL: the host is */
    uint64_t stack_top;
    uint64_t emergency; /* stack for the report that the stack ran out */
    uint64_t mpidr;
    uint32_t id;
    bool online;
    uint64_t gicr;           /* its redistributor's RD_base */
    struct regs *host_regs;  /* of the host's trap being handled */
    uint64_t entry, context; /* PSCI CPU_ON: where the host wants this CPU to start */
};
static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    __asm__("mrs %0, tpidr_el2" : "=r"(c));
    return c;
}

/* CPU side of a stage-2 tree: TLBI by VMID. See port/el2 or hv/tlb.c. */
struct cpu_walker {
    struct invalidator inv;
    uint64_t vttbr; /* root | VMID << 48; BADDR per VTTBR_EL2 */
    uint64_t vtcr;
};
void cpu_walker_init(struct cpu_walker *w, const struct pt *pt, uint16_t vmid);

struct cpu_caps { /* from the CPUs' identification registers, the same on all (checked at boot) */
    uint8_t pa_bits, vmid_bits, bbm;
    bool hafdbs_af, hafdbs_dirty, xnx, mte, pauth, pmu;
};

struct hv {
    uint64_t ram_base, ram_size;   /* all of RAM, from the device tree */
    uint64_t hyp_base, hyp_size;   /* EL2's own: image, tables, frame table, log */
    uint64_t host_base, host_size; /* the host's System RAM */
    uint64_t pool_base, pool_size; /* guest memory: absent from the host's memory map */
    uint64_t control;              /* host physical address of the control region (control.h) */
    uint64_t control_pa;           /* EL2-owned memory behind its slots: TN_SLOTS * TN_SLOT_SIZE */
    uint64_t uart, gicd, gicr, gicr_size, its, smmu_base, ecam, ecam_size;
    uint32_t cpus;
    struct cpu cpu[HV_CPUS];
    struct cpu_caps caps;
    /* The host: its CPU tree, and in mirror mode its own I/O tree. */
    struct space host_cpu, host_io;
    struct cpu_walker host_walker;
    struct iommu_domain host_share, host_mirror; /* over host_cpu, over host_io */
    uint32_t host_mode;                          /* 1 share, 2 mirror */
    const char *share_why; /* why no tree that both walk can change live; "": it can */
    struct smmuv3 smmu;
    bool has_smmu;
};
extern struct hv hv;
/* Where devices of the host belong that it has in no domain of its own. */
static inline struct iommu_domain *host_domain(void)
{
    return hv.host_mode == 1 ? &hv.host_share : &hv.host_mirror;
}

/* ---- trap.c: host traps ---- */
/* A trapped access of the host. size 1/2/4/8; on read *val is the answer. Not 0: the access is
 * answered with an abort (host_inject_abort). Runs with nothing locked. */
typedef int (*mmio_fn)(uint64_t offset, bool write, unsigned size, uint64_t *val);
int host_mmio_register(uint64_t base, uint64_t size, mmio_fn fn, const char *name);
/* vectors.S calls this for every synchronous exception from the host. */
void host_sync(struct regs *r);
/* The host touched what it may not: EL0 gets a synchronous external abort (SIGBUS), EL1 an alignment
 * fault (found in the exception tables: EFAULT). Logged. */
void host_inject_abort(struct regs *r, uint64_t ipa);
void host_inject_undef(struct regs *r);

/* ---- vm.c, vcpu.c, ctl.c ---- */
void ctl_init(void); /* registers the doorbell */
void vm_init(void);
/* A CPU comes (back) up or its EL2 state must be programmed for the host. */
void host_cpu_setup(void); /* HCR, VTTBR, VTCR, CPTR, MDCR, CNTHCTL.. for the host */

/* ---- host.c ---- */
/* Both of the host's trees at once: unmap live (BARs, donated memory) and map back. */
int host_unmap(uint64_t pa, uint64_t len);
int host_map(uint64_t pa, uint64_t len, uint32_t prot);
/* The ITS's MSI doorbell in host_cpu: before the first stream moves to host_share, and off after the
 * last one has left. */
int host_share_doorbell(bool on);

/* ---- audit.c ---- */
struct audit {
    uint64_t violations, digest, frames, leaves, tables;
    char first[120];
};
void audit_run(struct audit *a); /* ownership against every table there is */

#endif
