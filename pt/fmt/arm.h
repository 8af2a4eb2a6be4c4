/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMSAv8-64 descriptors, 4K granule: the bits that stage 1 and stage 2 have in common.
 * Arm ARM DDI0487 D8.3 "Translation table descriptor formats".
 */
#ifndef PT_FMT_ARM_H
#define PT_FMT_ARM_H

#include <stdint.h>

#define ARM_VALID ((uint64_t)1 << 0)
#define ARM_TYPE \
    ((uint64_t)1 << 1) /* level < 3: 1 table, 0 block; level 3: 1 page (D8.3.1, D8.3.2) */
#define ARM_SH_INNER ((uint64_t)3 << 8)  /* SH[9:8] */
#define ARM_AF       ((uint64_t)1 << 10) /* access flag (D8.5.1) */
#define ARM_DBM      ((uint64_t)1 << 51) /* dirty bit modifier (D8.5.2) */
#define ARM_XN       ((uint64_t)1 << 54) /* stage 1 UXN/XN; stage 2 XN[1] */
#define ARM_OA       (((uint64_t)1 << 48) - ((uint64_t)1 << 12))

#define ARM_PAGE  (ARM_VALID | ARM_TYPE)
#define ARM_BLOCK ARM_VALID
#define ARM_TABLE (ARM_VALID | ARM_TYPE)

/*
 * Live-change rules (D8.16.1 "Using break-before-make when updating translation table entries").
 * Break-before-make is needed to change the output address, the memory type or the shareability of
 * a live entry, and to change the size of a leaf unless FEAT_BBM level 2 (SMMU_IDR3.BBML == 2) is
 * implemented. Rights, AF and the dirty state may change in place.
 */
#define ARM_RESIZE_BBM 2u

/* Physical address size field (TCR_ELx.PS, VTCR_EL2.PS, STE.S2PS: D23.2.206), or -1. */
static inline int arm_ps(unsigned oa_bits)
{
    switch (oa_bits) {
    case 32:
        return 0;
    case 36:
        return 1;
    case 40:
        return 2;
    case 42:
        return 3;
    case 44:
        return 4;
    case 48:
        return 5;
    }
    return -1;
}

#endif
