/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arm stage 1: bits and rules. DDI0487 D8.3.2 (stage 1 attribute fields). Two regimes
 * share it: with PT_USER a two-privilege regime (an SMMU's NS-EL1 context descriptor: EL0 may use
 * it, nG = 1, so that entries belong to the ASID); without PT_USER EL2's own (E2H = 0), where AP[1]
 * is RES1 and nG and PXN are RES0 (D8.4.1).
 */
#ifndef PT_FMT_ARM_S1_H
#define PT_FMT_ARM_S1_H

#include "arm.h"

/* AttrIndx, bits [4:2]: the entries of PT_ARM_MAIR. */
#define S1_ATTR     ((uint64_t)7 << 2)
#define S1_ATTR_NC  ((uint64_t)0 << 2)
#define S1_ATTR_WB  ((uint64_t)1 << 2)
#define S1_ATTR_DEV ((uint64_t)2 << 2)
/* AP[2:1], bits [7:6] (D8.4.1). */
#define S1_AP1    FMT_BIT(6)
#define S1_RDONLY FMT_BIT(7)
#define S1_NG     FMT_BIT(11)
#define S1_PXN    FMT_BIT(53)

#define S1_COMMON                                                                                \
    .write_mask = S1_RDONLY, .write_value = 0, /* writable-clean: DBM = 1, AP[2] = 1 (D8.5.2) */ \
        .rights = S1_RDONLY | ARM_XN | ARM_DBM

static const struct pt_fmt pt_fmt_arm_s1_4k = { .id = PT_ARM_S1_4K, ARM_4K, S1_COMMON };

#define arm_s1_root arm_root

static FMT_INLINE uint64_t arm_s1_attr(const struct pt *pt, uint32_t prot)
{
    uint64_t a = ARM_AF | S1_AP1;

    (void)pt;
    if (!(prot & PT_READ)) {
        return 0; /* no encoding for an unreadable page */
    }
    if (prot & PT_DEVICE) {
        a |= S1_ATTR_DEV;
    } else if (prot & PT_NC) {
        a |= S1_ATTR_NC | ARM_SH_INNER;
    } else {
        a |= S1_ATTR_WB | ARM_SH_INNER;
    }
    if (prot & PT_USER) {
        a |= S1_NG | S1_PXN; /* never executable by the privileged side */
    }
    if (prot & PT_TRACK) {
        a |= ARM_DBM | ((prot & PT_DIRTY) ? 0 : S1_RDONLY);
    } else if (!(prot & PT_WRITE)) {
        a |= S1_RDONLY;
    }
    if (!(prot & PT_EXEC)) {
        a |= ARM_XN;
    }
    return a;
}

static FMT_INLINE uint32_t arm_s1_prot(const struct pt *pt, uint64_t e)
{
    uint32_t prot = PT_READ;

    (void)pt;
    if ((e & S1_ATTR) == S1_ATTR_DEV) {
        prot |= PT_DEVICE;
    } else if ((e & S1_ATTR) == S1_ATTR_NC) {
        prot |= PT_NC;
    }
    if (e & S1_NG) {
        prot |= PT_USER;
    }
    if (e & ARM_DBM) {
        prot |= PT_WRITE | PT_TRACK;
    }
    if (!(e & S1_RDONLY)) {
        prot |= PT_WRITE | PT_DIRTY;
    }
    if (!(e & ARM_XN)) {
        prot |= PT_EXEC;
    }
    return prot;
}

#endif
