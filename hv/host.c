/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host as EL2's first guest: identity stage 2 over its RAM and the devices that are its own,
 * the traps that keep the rest away, and the domains of its devices.
 */
#include "boot.h"
#include "sysreg.h"
#include "vm.h"

#define HOST_IA_BITS 40u

static const uint32_t ram_cpu = PT_READ | PT_WRITE | PT_EXEC;
static const uint32_t ram_io = PT_READ | PT_WRITE | PT_USER;
static const uint32_t regs_cpu = PT_READ | PT_WRITE | PT_DEVICE;

/* ---- registers of this CPU ---- */

#define FIELD(v, lsb) ((unsigned)((v) >> (lsb)) & 15u)

/* Features that stay hidden have their EL2 controls at "trap", which is not their reset value
 * (unknown). Encodings by number: the assembler's base architecture has no names for them. */
static void setup_optional(void)
{
    uint64_t mmfr0 = rd(id_aa64mmfr0_el1), mmfr1 = rd(id_aa64mmfr1_el1);
    uint64_t pfr0 = rd(id_aa64pfr0_el1), pfr1 = rd(id_aa64pfr1_el1);

    if (FIELD(mmfr0, 56) != 0) {
        /* Fine-grained traps: 0 traps what has negative polarity (SME, GCS, PIE, BRBE...). */
        wr(S3_4_C1_C1_4, 0); /* HFGRTR_EL2 */
        wr(S3_4_C1_C1_5, 0); /* HFGWTR_EL2 */
        wr(S3_4_C1_C1_6, 0); /* HFGITR_EL2 */
        wr(S3_4_C3_C1_4, 0); /* HDFGRTR_EL2 */
        wr(S3_4_C3_C1_5, 0); /* HDFGWTR_EL2 */
        if (FIELD(pfr0, 44) != 0) {
            wr(S3_4_C3_C1_6, 0); /* HAFGRTR_EL2 */
        }
        if (FIELD(mmfr0, 56) >= 2) {
            wr(S3_4_C3_C1_2, 0); /* HFGRTR2_EL2 */
            wr(S3_4_C3_C1_3, 0); /* HFGWTR2_EL2 */
            wr(S3_4_C3_C1_7, 0); /* HFGITR2_EL2 */
            wr(S3_4_C3_C1_0, 0); /* HDFGRTR2_EL2 */
            wr(S3_4_C3_C1_1, 0); /* HDFGWTR2_EL2 */
        }
    }
    if (FIELD(mmfr1, 40) != 0) {
        wr(HCRX_EL2, FIELD(pfr1, 36) != 0 ? 1ul << 6 : 0); /* TALLINT */
    }
    if (FIELD(pfr0, 40) != 0 || FIELD(pfr1, 16) != 0) {
        wr(S3_4_C10_C5_0, 3ul << 48); /* MPAM2_EL2: TRAPMPAM0EL1, TRAPMPAM1EL1 */
        if ((rd(S3_0_C10_C4_4) & 1ul << 17) != 0) {
            wr(S3_4_C10_C4_0, 1ul << 31); /* MPAMHCR_EL2: TRAP_MPAMIDR_EL1 */
        }
    }
}

static uint64_t host_hcr(void)
{
    uint64_t hcr = HCR_RW | HCR_VM | HCR_SWIO | HCR_TID3 | HCR_TSC | HCR_TIDCP;

    hcr |= FIELD(rd(id_aa64mmfr1_el1), 16) != 0 ? HCR_TLOR : 0;
    hcr |= FIELD(rd(id_aa64pfr0_el1), 28) != 0 ? HCR_TERR : 0;
    hcr |= hv.caps.pauth ? HCR_APK | HCR_API : 0;
    hcr |= hv.caps.mte ? HCR_TID5 : 0;
    /* ATA = 0: no allocation tags. E2H = TGE = 0. IMO, FMO, AMO = 0: interrupts are the host's. */
    return hcr;
}

void host_cpu_setup(void)
{
    uint64_t dfr0 = rd(id_aa64dfr0_el1), pfr0 = rd(id_aa64pfr0_el1);
    uint64_t cptr, mdcr = 0;

    /* CPTR_EL2, E2H = 0: RES1 bits, with TZ (8) and TSM (12) among them; TTA (20), TAM (30). */
    cptr = 0x33ff | (FIELD(dfr0, 4) != 0 ? 1ul << 20 : 0) | (FIELD(pfr0, 44) != 0 ? 1ul << 30 : 0);
    wr(cptr_el2, cptr);
    /* MDCR_EL2: TPM (6), TPMCR (5), TPMS (14), TTRF (19); E2PB, E2TB = 0 keep buffers EL2's. */
    mdcr |= 1ul << 6 | 1ul << 5;
    mdcr |= FIELD(dfr0, 32) != 0 ? 1ul << 14 : 0;
    mdcr |= FIELD(dfr0, 40) != 0 ? 1ul << 19 : 0;
    if (hv.caps.pmu) {
        mdcr |= rd(pmcr_el0) >> 11 & 31; /* HPMN: all counters EL1's, none of them reachable */
    }
    wr(mdcr_el2, mdcr);
    setup_optional();

    wr(hstr_el2, 0);
    wr(cnthctl_el2, 3); /* the host may use the physical timer and counter */
    wr(cntvoff_el2, 0);
    wr(cnthp_ctl_el2, 0);
    wr(vpidr_el2, rd(midr_el1));
    wr(vmpidr_el2, rd(mpidr_el1));
    wr(ICC_SRE_EL2, 0xf); /* system registers, for EL1 too */
    isb();
    wr(ICH_HCR_EL2, 0);
    wr(vtcr_el2, hv.host_walker.vtcr);
    wr(vttbr_el2, hv.host_walker.vttbr);
    wr(hcr_el2, host_hcr());
    isb();
}

/* ---- the host's trees ---- */

static void must(int err, const char *what, uint64_t pa)
{
    if (err != 0) {
        port_log("host: %s at %lx: error %u", what, pa, (uint32_t)-err);
        port_panic("the host's stage 2");
    }
}

static bool is_ram(uint64_t pa, uint64_t len)
{
    return frame_valid(pa) && frame_valid(pa + (len - 1));
}

/* Devices' registers are in the CPU's tree only: no device of the host needs another's. */
int host_map(uint64_t pa, uint64_t len, uint32_t prot)
{
    int err = space_map(&hv.host_cpu, pa, pa, len, prot);

    if (err == 0 && hv.has_smmu && is_ram(pa, len) && (prot & PT_DEVICE) == 0) {
        err = space_map(&hv.host_io, pa, pa, len, (prot & ~(uint32_t)PT_EXEC) | PT_USER);
        if (err != 0) {
            space_unmap(&hv.host_cpu, pa, len); /* whole leaves just made: cannot fail */
        }
    }
    return err;
}

int host_unmap(uint64_t pa, uint64_t len)
{
    bool ram = is_ram(pa, len);
    int err = 0;

    if (hv.has_smmu && ram) {
        err = space_unmap(&hv.host_io, pa, len);
    }
    if (err == 0) {
        err = space_unmap(&hv.host_cpu, pa, len);
        if (err != 0 && hv.has_smmu && ram && space_map(&hv.host_io, pa, pa, len, ram_io) != 0) {
            /* Others took the tables that the first step freed: the host's devices go without. */
            port_log("host: I/O map of %lx + %lx is lost", pa, len);
        }
    }
    return err;
}

static void map_device(const struct dt_range *d)
{
    uint64_t end = 1ul << hv.host_cpu.pt.cfg.ia_bits;
    uint64_t base = d->base & ~(PAGE_SIZE - 1);
    uint64_t last = (d->base + d->size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

    if (base >= end || last > end) {
        port_log("host: %s at %lx is beyond the host's address size: left out", d->what, d->base);
        return;
    }
    must(space_map(&hv.host_cpu, base, base, last - base, regs_cpu), d->what, base);
}

static uint8_t host_ia_bits(void)
{
    uint8_t bits = HOST_IA_BITS;

    for (uint32_t i = 0; i < dt.nallow; i++) {
        while (bits < 48 && (dt.allow[i].base + dt.allow[i].size - 1) >> bits != 0) {
            bits++;
        }
    }
    return bits < hv.caps.pa_bits ? bits : hv.caps.pa_bits;
}

static void init_cpu_tree(const struct pt_config *cfg)
{
    must(space_init(&hv.host_cpu, SPACE_CPU, cfg), "space", 0);
    cpu_walker_init(&hv.host_walker, &hv.host_cpu.pt, HV_VMID_HOST);
    must(space_add_walker(&hv.host_cpu, &hv.host_walker.inv), "walker", 0);
    must(space_map(&hv.host_cpu, hv.host_base, hv.host_base, hv.host_size, ram_cpu), "RAM",
         hv.host_base);
    for (uint32_t i = 0; i < dt.nallow; i++) {
        map_device(&dt.allow[i]);
    }
    must(space_map(&hv.host_cpu, hv.control, hv.control_pa, TN_SLOTS * TN_SLOT_SIZE, regs_cpu),
         "control region", hv.control);
}

/* ---- its devices ---- */

static void init_smmu(void)
{
    struct smmuv3_mem need;

    if (!hv.has_smmu) {
        return;
    }
    mmu_map_device(hv.smmu_base, 0x20000);

    int err = smmuv3_mem_need(hv.smmu_base, &need);

    if (err == 0) {
        /* VMIDs of the CPU's own: 1 the host, then one for each VM slot. */
        err = smmuv3_init(&hv.smmu, hv.smmu_base, hyp_alloc(need.bytes, need.align), need.bytes,
                          2 + HV_VMS);
    }
    if (err != 0) {
        port_log("SMMU at %lx: error %u", hv.smmu_base, (uint32_t)-err);
        hv.has_smmu = false;
    }
}

/* MSIs of devices: a store to GITS_TRANSLATER, the second 64 KiB of an ITS (IHI0069 12.1). */
static int map_doorbell(struct space *s)
{
    uint64_t page = hv.its + 0x10000;

    return hv.its == 0
               ? 0
               : space_map(s, page, page, PAGE_SIZE, PT_READ | PT_WRITE | PT_DEVICE | PT_USER);
}

/* In share mode the one tree has the doorbell for the devices, and so for the CPUs too: a host that
 * writes to it raises an interrupt of its own. In mirror mode the CPUs' tree does without. */
int host_share_doorbell(bool on)
{
    int err;

    if (hv.its == 0) {
        return 0;
    }
    if (!on) {
        return space_unmap(&hv.host_cpu, hv.its + 0x10000, PAGE_SIZE);
    }
    err = map_doorbell(&hv.host_cpu);
    return err == -EEXIST ? 0 : err;
}

static void init_io_tree(bool share)
{
    struct iommu *im = &hv.smmu.im;
    struct pt_config cfg;

    must(iommu_own_config(im, &cfg), "I/O tree", 0);
    must(space_init(&hv.host_io, SPACE_IO, &cfg), "I/O tree", 0);
    must(space_map(&hv.host_io, hv.host_base, hv.host_base, hv.host_size, ram_io), "RAM for I/O",
         hv.host_base);
    must(map_doorbell(&hv.host_io), "ITS doorbell", hv.its);
    must(iommu_domain_init(im, &hv.host_mirror, &hv.host_io, OWNER_HOST, -1), "mirror domain", 0);
    if (share) {
        must(iommu_domain_init(im, &hv.host_share, &hv.host_cpu, OWNER_HOST, HV_VMID_HOST),
             "share domain", 0);
        if (hv.host_mode == 1) {
            must(host_share_doorbell(true), "ITS doorbell", hv.its);
        }
    } else if (hv.host_mode == 1) {
        hv.host_mode = 2;
    }
}

/* Every function of the host that has no domain gets the host's: at boot, and when a bridge got a bus
 * number and functions behind it their stream ids. */
static void attach_streams(void)
{
    struct pci_func f;

    for (uint32_t i = 0, n = pci_count(); i < n && pci_get(i, &f); i++) {
        if (f.owner != OWNER_HOST || f.taken || iommu_domain_of(&hv.smmu.im, f.sid) != NULL) {
            continue;
        }
        int err = iommu_attach(host_domain(), f.sid);

        if (err != 0) {
            port_log("device %x: stream %x stays blocked: error %u", f.bdf, f.sid, (uint32_t)-err);
        }
    }
}

static int host_ecam(uint64_t off, bool write, unsigned size, uint64_t *val)
{
    int err = pci_cfg_access(off, write, size, val);
    uint64_t reg = off & 0xfffu;

    /* Bus numbers of a bridge are at 18h to 1ah. */
    if (err == 0 && write && hv.has_smmu && reg < 0x1cu && reg + size > 0x18u) {
        uint64_t until = port_now() + 4000000000ul;

        /* Not while a device changes hands: it is without a domain for a moment. */
        while (!vm_devices_enter()) {
            if (port_now() > until) {
                port_log("PCI: streams not looked through: a device is busy");
                return 0;
            }
            port_relax();
        }
        attach_streams();
        vm_devices_leave();
    }
    return err;
}

static void init_pci(void)
{
    if (!dt.has_pci) {
        return;
    }
    mmu_map_device(hv.ecam, hv.ecam_size);
    /* Taking and returning a device stops it through its own registers. */
    for (uint32_t i = 0; i < dt.pci.nwin; i++) {
        mmu_map_device(dt.pci.win[i].base, dt.pci.win[i].size);
    }
    must(pci_init(&dt.pci), "PCI", hv.ecam);
    must(host_mmio_register(hv.ecam, hv.ecam_size, host_ecam, "ECAM"), "ECAM", hv.ecam);
    if (hv.has_smmu) {
        attach_streams();
    }
    port_log("PCI: %u functions, stream ids from %x", pci_count(), dt.pci.sid_base);
}

void host_init(uint32_t mode)
{
    uint8_t bits = host_ia_bits();
    struct pt_config cfg = {
        .format = PT_ARM_S2_4K,
        .ia_bits = bits,
        .oa_bits = hv.caps.pa_bits,
        .start_level = bits > 43 ? 0 : 1,
        .xnx = hv.caps.xnx,
        .live = { .bbm = hv.caps.bbm,
                  .hw_af = hv.caps.hafdbs_af,
                  .hw_dirty = hv.caps.hafdbs_dirty,
                  .stalls = true },
    };
    struct pt_config met = cfg;
    struct pt_counts n;
    bool share = false;
    const char *why = "no SMMU";

    hv.host_mode = mode;
    init_smmu();
    if (hv.has_smmu) {
        if (hv.smmu.im.caps.oa_bits < cfg.oa_bits && hv.smmu.im.caps.oa_bits >= bits) {
            /* Nothing lies above: a tree that both can walk. */
            cfg.oa_bits = hv.smmu.im.caps.oa_bits;
            met.oa_bits = cfg.oa_bits;
        }
        met.live = pt_live_meet(cfg.live, hv.smmu.im.caps.live);
        share = iommu_share_check(&hv.smmu.im, &met, &why) == 0;
        if (share && met.live.bbm < 2) {
            share = false;
            why = hv.caps.bbm < 2 ? "the CPU has no break-before-make level 2"
                                  : "the SMMU has no break-before-make level 2";
        }
    }
    hv.share_why = share ? "" : why;
    init_cpu_tree(share ? &met : &cfg);
    if (hv.has_smmu) {
        init_io_tree(share);
    } else {
        port_log("NO SMMU: DMA of the host's devices is NOT checked, no device can go to a VM");
    }
    init_pci();
    space_count(&hv.host_cpu, &n);
    port_log("host: stage 2 of %u bits, leaves 1G %lu 2M %lu 4K %lu; %s mode%s%s",
             hv.host_cpu.pt.cfg.ia_bits, n.leaves[1], n.leaves[2], n.leaves[3],
             hv.host_mode == 1 ? "share" : "mirror", share ? "" : "; share mode: ", hv.share_why);
}
