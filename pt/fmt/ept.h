/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended page tables, 4 and 5 levels: Intel SDM 325384 volume 3, 29.3.2 (tables 29-1 to 29-7).
 * pt_config.snoop sets "ignore PAT" (29.3.7.2): the guest cannot weaken the memory type.
 *
 * Live: as x86-64 (29.4.2, 29.4.3); accessed and dirty flags if EPTP bit 6 enables them (29.3.5).
 * Executable leaves do not change their size with the erratum of pt_live.exec_4k.
 */
#ifndef PT_FMT_EPT_H
#define PT_FMT_EPT_H

#include "x86_64.h"

#define EPT_R     FMT_BIT(0)
#define EPT_W     FMT_BIT(1)
#define EPT_X     FMT_BIT(2)
#define EPT_TYPE  FMT_MASK(5, 3) /* 0 UC, 1 WC, 6 WB */
#define EPT_WC    ((uint64_t)1 << 3)
#define EPT_WB    ((uint64_t)6 << 3)
#define EPT_IPAT  FMT_BIT(6)
#define EPT_PS    FMT_BIT(7)
#define EPT_A     FMT_BIT(8)
#define EPT_D     FMT_BIT(9)
#define EPT_TRACK FMT_BIT(52) /* ignored by hardware: [56:52] */

static const struct pt_fmt pt_fmt_ept = {
    .id = PT_EPT,
    .page_shift = 12,
    .index_bits = 9,
    .leaf_h = 2,
    .swap_oa = true,
    .plain_clean = true,
    .present = EPT_R | EPT_W | EPT_X,
    .table_mask = EPT_PS,
    .block_bits = EPT_PS,
    .table_bits = EPT_R | EPT_W | EPT_X | EPT_A,
    .oa_mask = FMT_MASK(51, 12),
    .accessed = EPT_A,
    .track = EPT_TRACK,
    .write_mask = EPT_D,
    .write_value = EPT_D,
    .rights = EPT_R | EPT_W | EPT_X | EPT_D | EPT_TRACK,
};

#define ept_root x86_root
#define ept_span fmt_one_span
#define ept_join fmt_one_join
#define ept_part fmt_one_part

static FMT_INLINE uint64_t ept_attr(const struct pt *pt, uint32_t prot)
{
    uint64_t a = EPT_A | EPT_R | (pt->cfg.snoop ? EPT_IPAT : 0);

    /* Writable and not readable is a misconfiguration (29.3.3.1). */
    if (!(prot & PT_READ)) {
        return 0;
    }
    if (!(prot & PT_DEVICE)) {
        a |= prot & PT_NC ? EPT_WC : EPT_WB;
    }
    a |= prot & PT_EXEC ? EPT_X : 0;
    if (prot & PT_WRITE) {
        a |= EPT_W;
        a |= prot & PT_TRACK ? EPT_TRACK | (prot & PT_DIRTY ? EPT_D : 0) : EPT_D;
    }
    return a;
}

static FMT_INLINE uint32_t ept_prot(const struct pt *pt, uint64_t e)
{
    uint32_t prot = PT_READ;

    (void)pt;
    if ((e & EPT_TYPE) != EPT_WB) {
        prot |= (e & EPT_TYPE) == EPT_WC ? PT_NC : PT_DEVICE;
    }
    prot |= (e & EPT_X ? PT_EXEC : 0) | (e & EPT_TRACK ? PT_TRACK : 0);
    if (e & EPT_W) {
        prot |= PT_WRITE | (e & EPT_D ? PT_DIRTY : 0);
    }
    return prot;
}

#endif
