/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-d second-stage tables of 3, 4 and 5 levels: Intel VT-d specification (D51397) 3.7, 9.8.
 * pt_config.snoop sets SNP. Memory types and execution are not this table's business.
 *
 * Live (3.7.2, 6.2.3): entries are read whole; remapping hardware sets A and D by atomic updates,
 * if the PASID entry's SSADE says so; cached translations of old and new leaf agree in everything
 * that cut, merge and refresh keep.
 */
#ifndef PT_FMT_VTD_SS_H
#define PT_FMT_VTD_SS_H

#include "x86_64.h"

#define SS_R     FMT_BIT(0)
#define SS_W     FMT_BIT(1)
#define SS_PS    FMT_BIT(7)
#define SS_A     FMT_BIT(8)
#define SS_D     FMT_BIT(9)
#define SS_SNP   FMT_BIT(11)
#define SS_TRACK FMT_BIT(52) /* ignored by hardware */

static const struct pt_fmt pt_fmt_vtd_ss = {
    .id = PT_VTD_SS,
    .page_shift = 12,
    .index_bits = 9,
    .leaf_h = 2,
    .swap_oa = true,
    .plain_clean = true,
    .present = SS_R | SS_W,
    .table_mask = SS_PS,
    .block_bits = SS_PS,
    .table_bits = SS_R | SS_W | SS_A,
    .oa_mask = FMT_MASK(51, 12),
    .accessed = SS_A,
    .track = SS_TRACK,
    .write_mask = SS_D,
    .write_value = SS_D,
    .rights = SS_R | SS_W | SS_D | SS_TRACK,
};

#define vtd_ss_span fmt_one_span
#define vtd_ss_join fmt_one_join
#define vtd_ss_part fmt_one_part

static inline int vtd_ss_root(const struct pt_fmt *f, const struct pt_config *cfg)
{
    (void)f;
    return x86_levels(cfg, 2);
}

static FMT_INLINE uint64_t vtd_ss_attr(const struct pt *pt, uint32_t prot)
{
    uint64_t a = SS_A | (pt->cfg.snoop ? SS_SNP : 0);

    if (!(prot & (PT_READ | PT_WRITE))) {
        return 0;
    }
    a |= prot & PT_READ ? SS_R : 0;
    if (prot & PT_WRITE) {
        a |= SS_W;
        a |= prot & PT_TRACK ? SS_TRACK | (prot & PT_DIRTY ? SS_D : 0) : SS_D;
    }
    return a;
}

static FMT_INLINE uint32_t vtd_ss_prot(const struct pt *pt, uint64_t e)
{
    uint32_t prot = (e & SS_R ? PT_READ : 0) | (e & SS_TRACK ? PT_TRACK : 0);

    (void)pt;
    if (e & SS_W) {
        prot |= PT_WRITE | (e & SS_D ? PT_DIRTY : 0);
    }
    return prot;
}

#endif
