/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arm stage 2: bits and rules. DDI0487 D8.3.2 (stage 2 attribute fields); the SMMU
 * walks the same format (IHI0070 3.4, 5.2 STE.S2*).
 */
#ifndef PT_FMT_ARM_S2_H
#define PT_FMT_ARM_S2_H

#include "arm.h"

/* MemAttr[3:0], bits [5:2]. D8.6.6 without FWB, D8.6.7 with FWB. */
#define S2_MEMATTR    ((uint64_t)0xf << 2)
#define S2_DEV_NGNRE  ((uint64_t)0x1 << 2) /* both encodings */
#define S2_NORMAL_NC  ((uint64_t)0x5 << 2) /* both encodings */
#define S2_NORMAL_WB  ((uint64_t)0xf << 2) /* outer and inner write-back */
#define S2_FWB_NORMAL ((uint64_t)0x6 << 2) /* FWB: write-back, whatever stage 1 says */
/* S2AP[1:0], bits [7:6] (D8.4.3). */
#define S2_READ  FMT_BIT(6)
#define S2_WRITE FMT_BIT(7)
/* XN[1:0], bits [54:53]: 0b10 never, 0b00 always, with or without FEAT_XNX (D8.4.3). FEAT_XNX adds
 * 0b01 (EL0 only) and 0b11 (EL1 only), which are never written here. */
#define S2_XN_MASK ((uint64_t)3 << 53)

#define S2_COMMON                                                                \
    .root_more = 4, .write_mask = S2_WRITE,                                      \
    .write_value = S2_WRITE, /* writable-clean: DBM = 1, S2AP[1] = 0 (D8.5.2) */ \
        .rights = S2_READ | S2_WRITE | S2_XN_MASK | ARM_DBM

static const struct pt_fmt pt_fmt_arm_s2_4k = { .id = PT_ARM_S2_4K, ARM_4K, S2_COMMON };

#define arm_s2_root arm_root

static FMT_INLINE uint64_t arm_s2_attr(const struct pt *pt, uint32_t prot)
{
    uint64_t a = ARM_AF;

    /* Hardware would allow execute-only and write-only-tracked; nothing here wants them. */
    if (!(prot & (PT_READ | PT_WRITE)) ||
        (!(prot & PT_READ) && (prot & (PT_EXEC | PT_TRACK)) != 0)) {
        return 0;
    }
    if (prot & PT_DEVICE) {
        a |= S2_DEV_NGNRE; /* SH has no meaning for Device memory (D8.6.2) */
    } else if (prot & PT_NC) {
        a |= S2_NORMAL_NC | ARM_SH_INNER;
    } else {
        a |= (pt->cfg.fwb ? S2_FWB_NORMAL : S2_NORMAL_WB) | ARM_SH_INNER;
    }
    if (prot & PT_READ) {
        a |= S2_READ;
    }
    if (prot & PT_TRACK) {
        a |= ARM_DBM | ((prot & PT_DIRTY) ? S2_WRITE : 0);
    } else if (prot & PT_WRITE) {
        a |= S2_WRITE;
    }
    if (!(prot & PT_EXEC)) {
        a |= ARM_XN;
    }
    return a;
}

static FMT_INLINE uint32_t arm_s2_prot(const struct pt *pt, uint64_t e)
{
    uint32_t prot = 0;

    (void)pt;
    if ((e & S2_MEMATTR) == S2_DEV_NGNRE) {
        prot |= PT_DEVICE;
    } else if ((e & S2_MEMATTR) == S2_NORMAL_NC) {
        prot |= PT_NC;
    }
    if (e & S2_READ) {
        prot |= PT_READ;
    }
    if (e & ARM_DBM) {
        prot |= PT_WRITE | PT_TRACK;
    }
    if (e & S2_WRITE) {
        prot |= PT_WRITE | PT_DIRTY;
    }
    if ((e & S2_XN_MASK) == 0) {
        prot |= PT_EXEC;
    }
    return prot;
}

#endif
