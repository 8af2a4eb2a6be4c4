/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMSAv8-64 descriptors: the bits that stage 1 and stage 2 and the three granules have in common.
 * Arm ARM DDI0487 D8.3 "Translation table descriptor formats".
 */
#ifndef PT_FMT_ARM_H
#define PT_FMT_ARM_H

#include "fmt.h"

#define ARM_VALID    FMT_BIT(0)
#define ARM_TYPE     FMT_BIT(1) /* level < 3: 1 table, 0 block; level 3: 1 page (D8.3.1, D8.3.2) */
#define ARM_SH_INNER FMT_MASK(9, 8) /* SH[9:8]; with DS = 1 output address bits 51:50 */
#define ARM_AF       FMT_BIT(10)    /* access flag (D8.5.1) */
#define ARM_DBM      FMT_BIT(51)    /* dirty bit modifier (D8.5.2) */
#define ARM_CONTIG   FMT_BIT(52)    /* D8.7.1 */
#define ARM_XN       FMT_BIT(54)    /* stage 1 UXN/XN; stage 2 XN[1] */

/*
 * Live-change rules (D8.16.1 "Using break-before-make when updating translation table entries").
 * Break-before-make is needed to change the output address, the memory type or the shareability of
 * a live entry, and to change the size of a leaf or its Contiguous bit unless FEAT_BBM level 2
 * (SMMU_IDR3.BBML == 2) is implemented. Rights, AF and the dirty state may change in place.
 *
 * Contiguous sets (D8.7.1): 16 entries with 4K; 128 at level 3 and 32 at level 2 with 16K; 32 with
 * 64K. Output address above bit 47 (D8.3.1, D8.3.2): 16K and 4K tables with DS = 1 hold bits 49:48
 * in place and 51:50 in [9:8]; 64K tables hold 51:48 in [15:12].
 */
#define ARM_COMMON(PAGE_SHIFT, LEAF_H, WIDE_MASK, WIDE_FROM, WIDE_AT)                             \
    .page_shift = (PAGE_SHIFT), .index_bits = (PAGE_SHIFT)-3, .leaf_h = (LEAF_H), .spans = true,  \
    .span_steps = true, .resize_bbm = 2, .present = ARM_VALID, .table_mask = ARM_TYPE,            \
    .table_type = ARM_TYPE, .page_bits = ARM_VALID | ARM_TYPE, .block_bits = ARM_VALID,           \
    .table_bits = ARM_VALID | ARM_TYPE, .oa_mask = FMT_MASK(47, (PAGE_SHIFT)),                    \
    .wide_mask = (WIDE_MASK), .wide_from = (WIDE_FROM), .wide_at = (WIDE_AT), .accessed = ARM_AF, \
    .track = ARM_DBM
#define ARM_4K            ARM_COMMON(12, 2, FMT_MASK(9, 8), 50, 8), ARM_SETS(4, 4, 4), ARM_ROOT(3, 4, 44)
#define ARM_SETS(A, B, C) .span_min = { (A), (B), (C) }, .span_max = { (A), (B), (C) }
/* The highest start table, the same with 52 bits, and the output size that stage 2 wants for it. */
#define ARM_ROOT(H, WIDE, OA) .root_h = (H), .root_h_wide = (WIDE), .root_oa = (OA)

/* Physical address size field (TCR_ELx.PS, VTCR_EL2.PS, STE.S2PS: D23.2.206), or -1. */
static inline int arm_ps(unsigned oa_bits)
{
    static const uint8_t bits[] = { 32, 36, 40, 42, 44, 48, 52 };

    for (int i = 0; i < 7; i++) {
        if (bits[i] == oa_bits) {
            return i;
        }
    }
    return -1;
}

/* Is this a legal start level? Its height, or -EINVAL. */
static inline int arm_root(const struct pt_fmt *f, const struct pt_config *cfg)
{
    unsigned h = (unsigned)(3 - cfg->start_level), shift = f->page_shift + h * f->index_bits;
    bool wide = cfg->oa_bits > 48 || cfg->ia_bits > 48;
    unsigned max = shift + f->index_bits + f->root_more, limit = wide ? 52 : 48;

    /* One bit at least is resolved at the start level, at most a full table; stage 2 may have four
     * bits more, as up to 16 concatenated tables (DDI0487 D8.2.9; AArch64.S2InconsistentSL). Stage 2
     * wants a physical address size that is worth the start level (AArch64.S2InvalidSL). */
    return arm_ps(cfg->oa_bits) < 0 || h < 1 || h > (wide ? f->root_h_wide : f->root_h) ||
                   cfg->ia_bits < 25 || cfg->ia_bits < shift + 1 ||
                   cfg->ia_bits > (max < limit ? max : limit) ||
                   (cfg->ia_bits > 48 && f->page_shift == 16 && cfg->oa_bits < 52) ||
                   (f->root_more != 0 && h == f->root_h && cfg->oa_bits < f->root_oa)
               ? -EINVAL
               : (int)h;
}

#endif
