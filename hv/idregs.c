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

/* For each register the largest value of each field that is shown: 4 bits a field, 0 hides it.
 * `absent`: fields in which 0xf says "not there", and may say so. */
static const struct {
    uint8_t crm, op2;
    uint64_t most, absent;
} shown[] = {
    /* ID_AA64PFR0: EL0, EL1, FP, AdvSIMD, GIC, DIT, CSV2 (without the SCXTNUM registers), CSV3.
     * Not EL2, EL3, RAS, SVE, SEL2, MPAM, AMU, RME. */
    { 4, 0, 0xf101000001ff0022, 0 },
    /* ID_AA64PFR1: BT, SSBS. Not MTE, SME, RNDR_trap, NMI, GCS. */
    { 4, 1, 0x21, 0 },
    /* ID_AA64DFR0: DebugVer, BRPs, WRPs, CTX_CMPs, DoubleLock. Not trace, PMU, SPE, TRBE. */
    { 5, 0, 0xf0f0f0f009, 0 },
    /* ID_AA64ISAR0: all but TME; TLB: the ranges, not more. */
    { 6, 0, 0xf22ffffff02ffff0, 0 },
    /* ID_AA64ISAR1: all but XS and LS64. */
    { 6, 1, 0x00ff11ffff3fffff, 0 },
    /* ID_AA64ISAR2: WFxT, RPRES, GPA3, APA3, BC, PAC_frac, CLRBHB, CSSC. Not MOPS. */
    { 6, 2, 0x001000001110ff12, 0 },
    /* ID_AA64MMFR0: PARange (48 bits at most), ASIDBits, BigEnd, SNSMem, BigEndEL0, TGran16, TGran64
     * and TGran4 (no 52-bit addresses), ECV without an offset. Not FGT. */
    { 7, 0, 0x10000000001ffff5, 0xff000000 },
    /* ID_AA64MMFR1: HAFDBS, HPDS, PAN, ETS, AFP, nTLBPA, ECBHB. Not VH, LO, XNX, HCX. */
    { 7, 1, 0x100110f000302002, 0 },
    /* ID_AA64MMFR2: CnP, UAO, LSM, CCIDX, AT, IDS, TTL, BBM, E0PD. Not IESB, NV, FWB, EVT. */
    { 7, 2, 0x1021001100100111, 0 },
    /* For 32-bit processes. ID_PFR0: State0-3, CSV2, DIT. ID_PFR1: no virtualization, no security.
     * ID_DFR0: the debug versions. ID_MMFR0-3, ID_ISAR0-6, ID_MMFR4-5, MVFR0-2: as they are.
     * ID_PFR2: CSV3, SSBS. */
    { 1, 0, 0x0101ffff, 0 },
    { 1, 1, 0x100f0f0f, 0 },
    { 1, 2, 0x909, 0 },
    { 3, 4, 0xff, 0 },
};

static uint64_t limit(uint64_t real, uint64_t most, uint64_t absent)
{
    uint64_t v = 0;

    for (unsigned lsb = 0; lsb < 64; lsb += 4) {
        uint64_t field = real >> lsb & 15, max = most >> lsb & 15;
        bool keep = field <= max || (field == 15 && (absent >> lsb & 15) != 0);

        v |= (keep ? field : max) << lsb;
    }
    return v;
}

uint64_t idreg_visible(unsigned crm, unsigned op2)
{
    if ((crm == 1 && op2 >= 4) || crm == 2 || (crm == 3 && (op2 <= 2 || op2 == 6))) {
        return idreg_read(crm, op2);
    }
    for (unsigned i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        if (shown[i].crm == crm && shown[i].op2 == op2) {
            return limit(idreg_read(crm, op2), shown[i].most, shown[i].absent);
        }
    }
    return 0;
}

void caps_read(struct cpu_caps *c)
{
    static const uint8_t pa_bits[] = { 32, 36, 40, 42, 44, 48 };
    uint64_t mmfr0 = idreg_read(7, 0), mmfr1 = idreg_read(7, 1), mmfr2 = idreg_read(7, 2);
    uint64_t pfr1 = idreg_read(4, 1), isar1 = idreg_read(6, 1), isar2 = idreg_read(6, 2);
    unsigned range = FIELD(mmfr0, 0), pmu = FIELD(idreg_read(5, 0), 8);

    *c = (struct cpu_caps){
        /* 52 bits need other descriptors: 48 are used. */
        .pa_bits = pa_bits[range < 6 ? range : 5],
        .vmid_bits = FIELD(mmfr1, 4) == 2 ? 16 : 8,
        .bbm = (uint8_t)FIELD(mmfr2, 52),
        .hafdbs_af = FIELD(mmfr1, 0) >= 1,
        .hafdbs_dirty = FIELD(mmfr1, 0) >= 2,
        .xnx = FIELD(mmfr1, 28) != 0,
        .mte = FIELD(pfr1, 8) >= 2,
        .pauth = ((FIELD(isar1, 4) | FIELD(isar1, 8) | FIELD(isar2, 12)) & 0xfu) != 0,
        .pmu = pmu != 0 && pmu != 0xf,
    };
}
