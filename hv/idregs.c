/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Identification registers (DDI0487 D23.2, "ID_AA64..."): what EL2 reads of the CPU, and what the
 * host and VMs get to see. HCR_EL2.TID3 traps their reads; each field is shown only if it is on the
 * list below, and at most with the value given there: a feature that EL2 does not know to be
 * harmless, or would have to switch, does not exist for them. Accesses to what is hidden trap
 * (host_cpu_setup) and answer UNDEFINED.
 */
#include "boot.h"

#define FIELD(reg, lsb) ((unsigned)((reg) >> (lsb)) & 0xfu)

/* S3_0_C0_C<crm>_<op2>: the number is part of the instruction. */
#define READ(m, o)                                        \
    case (m)*8 + (o): {                                   \
        uint64_t v;                                       \
        __asm__("mrs %0, S3_0_C0_C" #m "_" #o : "=r"(v)); \
        return v;                                         \
    }
#define READ8(m) \
    READ(m, 0) READ(m, 1) READ(m, 2) READ(m, 3) READ(m, 4) READ(m, 5) READ(m, 6) READ(m, 7)

static uint64_t idreg_read(unsigned crm, unsigned op2)
{
    switch (crm * 8 + op2) {
        READ8(1)
        READ8(2)
        READ8(3)
        READ8(4)
        READ8(5)
        READ8(6)
        READ8(7)
    default:
        return 0;
    }
}

struct field {
    uint8_t crm, op2, lsb, max;
};
#define ALL 15u
static const struct field visible[] = {
    /* ID_AA64PFR0_EL1: EL0, EL1, FP and AdvSIMD (0xf: absent), GIC, DIT, CSV2 (without the
     * SCXTNUM registers), CSV3. Not EL2, EL3, RAS, SVE, SEL2, MPAM, AMU, RME. */
    { 4, 0, 0, 2 },
    { 4, 0, 4, 2 },
    { 4, 0, 16, ALL },
    { 4, 0, 20, ALL },
    { 4, 0, 24, 1 },
    { 4, 0, 48, 1 },
    { 4, 0, 56, 1 },
    { 4, 0, 60, ALL },
    /* ID_AA64PFR1_EL1: BT, SSBS. Not MTE, SME, RNDR_trap, NMI, GCS. */
    { 4, 1, 0, 1 },
    { 4, 1, 4, 2 },
    /* ID_AA64DFR0_EL1: DebugVer, BRPs, WRPs, CTX_CMPs, DoubleLock. Not trace, PMU, SPE, TRBE. */
    { 5, 0, 0, 9 },
    { 5, 0, 12, ALL },
    { 5, 0, 20, ALL },
    { 5, 0, 28, ALL },
    { 5, 0, 36, ALL },
    /* ID_AA64ISAR0_EL1: AES, SHA1, SHA2, CRC32, Atomic, RDM, SHA3, SM3, SM4, DP, FHM, TS, TLB,
     * RNDR. Not TME. */
    { 6, 0, 4, ALL },
    { 6, 0, 8, ALL },
    { 6, 0, 12, ALL },
    { 6, 0, 16, ALL },
    { 6, 0, 20, 2 },
    { 6, 0, 28, ALL },
    { 6, 0, 32, ALL },
    { 6, 0, 36, ALL },
    { 6, 0, 40, ALL },
    { 6, 0, 44, ALL },
    { 6, 0, 48, ALL },
    { 6, 0, 52, 2 },
    { 6, 0, 56, 2 },
    { 6, 0, 60, ALL },
    /* ID_AA64ISAR1_EL1: DPB, APA, API, JSCVT, FCMA, LRCPC, GPA, GPI, FRINTTS, SB, SPECRES, BF16,
     * DGH, I8MM. Not XS, LS64. */
    { 6, 1, 0, ALL },
    { 6, 1, 4, ALL },
    { 6, 1, 8, ALL },
    { 6, 1, 12, ALL },
    { 6, 1, 16, ALL },
    { 6, 1, 20, 3 },
    { 6, 1, 24, ALL },
    { 6, 1, 28, ALL },
    { 6, 1, 32, ALL },
    { 6, 1, 36, ALL },
    { 6, 1, 40, 1 },
    { 6, 1, 44, 1 },
    { 6, 1, 48, ALL },
    { 6, 1, 52, ALL },
    /* ID_AA64ISAR2_EL1: WFxT, RPRES, GPA3, APA3, BC, PAC_frac, CLRBHB, CSSC. Not MOPS. */
    { 6, 2, 0, 2 },
    { 6, 2, 4, 1 },
    { 6, 2, 8, ALL },
    { 6, 2, 12, ALL },
    { 6, 2, 20, 1 },
    { 6, 2, 24, 1 },
    { 6, 2, 28, 1 },
    { 6, 2, 52, 1 },
    /* ID_AA64MMFR0_EL1: PARange (48 bits at most), ASIDBits, BigEnd, SNSMem, BigEndEL0, TGran16
     * and TGran64 and TGran4 (0xf: absent; no 52-bit addresses), ECV without an offset. Not FGT. */
    { 7, 0, 0, 5 },
    { 7, 0, 4, ALL },
    { 7, 0, 8, ALL },
    { 7, 0, 12, ALL },
    { 7, 0, 16, ALL },
    { 7, 0, 20, 1 },
    { 7, 0, 24, 0 },
    { 7, 0, 28, 0 },
    { 7, 0, 60, 1 },
    /* ID_AA64MMFR1_EL1: HAFDBS, HPDS, PAN, ETS, nTLBPA, AFP, ECBHB. Not VH, LO, XNX, HCX. */
    { 7, 1, 0, 2 },
    { 7, 1, 12, 2 },
    { 7, 1, 20, 3 },
    { 7, 1, 36, ALL },
    { 7, 1, 44, 1 },
    { 7, 1, 48, 1 },
    { 7, 1, 60, 1 },
    /* ID_AA64MMFR2_EL1: CnP, UAO, LSM, CCIDX, AT, IDS, TTL, BBM, E0PD. Not IESB, NV, FWB, EVT. */
    { 7, 2, 0, 1 },
    { 7, 2, 4, 1 },
    { 7, 2, 8, 1 },
    { 7, 2, 20, 1 },
    { 7, 2, 32, 1 },
    { 7, 2, 36, 1 },
    { 7, 2, 48, 1 },
    { 7, 2, 52, 2 },
    { 7, 2, 60, 1 },
    /* AArch32, for 32-bit processes. ID_PFR0 State0-3, CSV2, DIT; ID_PFR1 all but virtualization
     * and security; ID_DFR0 the debug version; ID_MMFR0-3; ID_ISAR0-6; MVFR0-2; ID_PFR2 CSV3, SSBS;
     * ID_MMFR4, ID_MMFR5. */
    { 1, 0, 0, ALL },
    { 1, 0, 4, ALL },
    { 1, 0, 8, ALL },
    { 1, 0, 12, ALL },
    { 1, 0, 16, 1 },
    { 1, 0, 24, 1 },
    { 1, 1, 0, ALL },
    { 1, 1, 8, ALL },
    { 1, 1, 16, ALL },
    { 1, 1, 28, 1 },
    { 1, 2, 0, 9 },
    { 1, 2, 8, 9 },
    { 3, 4, 0, ALL },
    { 3, 4, 4, ALL },
};

/* Registers of which every field is shown: they describe instructions only. */
static bool all_visible(unsigned crm, unsigned op2)
{
    return (crm == 1 && op2 >= 4) || crm == 2 || (crm == 3 && (op2 <= 2 || op2 == 6));
}

/* Fields where 0xf says "absent" and any other value means more than a smaller one. */
static bool is_signed(const struct field *f)
{
    return (f->crm == 4 && f->op2 == 0 && (f->lsb == 16 || f->lsb == 20)) ||
           (f->crm == 7 && f->op2 == 0 && (f->lsb == 24 || f->lsb == 28)) ||
           (f->crm == 5 && f->lsb == 36);
}

uint64_t idreg_visible(unsigned crm, unsigned op2)
{
    uint64_t real = idreg_read(crm, op2);
    uint64_t shown = 0;

    if (all_visible(crm, op2)) {
        return real;
    }
    for (unsigned i = 0; i < sizeof(visible) / sizeof(visible[0]); i++) {
        const struct field *f = &visible[i];

        if (f->crm != crm || f->op2 != op2) {
            continue;
        }
        uint64_t v = FIELD(real, f->lsb);

        if (v > f->max && !(is_signed(f) && v == 0xf)) {
            v = f->max;
        }
        shown |= v << f->lsb;
    }
    return shown;
}

void caps_read(struct cpu_caps *c)
{
    static const uint8_t pa_bits[] = { 32, 36, 40, 42, 44, 48 };
    uint64_t mmfr0 = idreg_read(7, 0), mmfr1 = idreg_read(7, 1), mmfr2 = idreg_read(7, 2);
    uint64_t pfr0 = idreg_read(4, 0), pfr1 = idreg_read(4, 1);
    uint64_t isar0 = idreg_read(6, 0), isar1 = idreg_read(6, 1), isar2 = idreg_read(6, 2);
    unsigned range = FIELD(mmfr0, 0), pmu = FIELD(idreg_read(5, 0), 8);

    *c = (struct cpu_caps){
        /* 52 bits need other descriptors: 48 are used. */
        .pa_bits = pa_bits[range < 6 ? range : 5],
        .vmid_bits = FIELD(mmfr1, 4) == 2 ? 16 : 8,
        .bbm = (uint8_t)FIELD(mmfr2, 52),
        .hafdbs_af = FIELD(mmfr1, 0) >= 1,
        .hafdbs_dirty = FIELD(mmfr1, 0) >= 2,
        .xnx = FIELD(mmfr1, 28) != 0,
        .fwb = FIELD(mmfr2, 40) != 0,
        .ttl = FIELD(mmfr2, 48) != 0,
        .range_tlbi = FIELD(isar0, 56) >= 2,
        .vhe = FIELD(mmfr1, 8) != 0,
        .sve = FIELD(pfr0, 32) != 0,
        .sme = FIELD(pfr1, 24) != 0,
        .mte = FIELD(pfr1, 8) >= 2,
        .pauth = ((FIELD(isar1, 4) | FIELD(isar1, 8) | FIELD(isar2, 12)) & 0xfu) != 0,
        .pmu = pmu != 0 && pmu != 0xf,
    };
}
