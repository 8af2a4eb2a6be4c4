/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-64 paging, 4 and 5 levels: Intel SDM 325384 volume 3, 4.5 (tables 4-14 to 4-20). Also AMD
 * nested paging (APM 24593 volume 2, 15.25.5: accesses are user accesses, so PT_USER) and VT-d
 * first stage (VT-d 9.7). The page attribute table must be PT_X86_PAT.
 *
 * Live (SDM 4.10.4, 4.8): an aligned 64-bit store is seen whole; processors set A and D by locked
 * updates, and may go on using what they cached until it is invalidated. So one store may cut, merge
 * or exchange a leaf; every copy that was cached translates as before or as after. With the erratum
 * of pt_live.exec_4k executable leaves do not change their size (4.10.2.3, update SKX102).
 */
#ifndef PT_FMT_X86_64_H
#define PT_FMT_X86_64_H

#include "fmt.h"

/* For formats whose leaves are single entries. */
static FMT_INLINE unsigned fmt_one_span(const struct pt_fmt *f, unsigned h, uint64_t e)
{
    (void)f, (void)h, (void)e;
    return 0;
}

static FMT_INLINE uint64_t fmt_one_join(const struct pt_fmt *f, unsigned h, unsigned k, uint64_t e)
{
    (void)f, (void)h, (void)k;
    return e;
}

#define fmt_one_part fmt_one_join

#define X86_P     FMT_BIT(0)
#define X86_RW    FMT_BIT(1)
#define X86_US    FMT_BIT(2)
#define X86_PWT   FMT_BIT(3)
#define X86_PCD   FMT_BIT(4)
#define X86_A     FMT_BIT(5)
#define X86_D     FMT_BIT(6)
#define X86_PS    FMT_BIT(7)
#define X86_TRACK FMT_BIT(9) /* one of the bits that software may use: [11:9] */
#define X86_XD    FMT_BIT(63)

/* A in table entries is set from the start: nobody looks at it, and hardware need not write. */
static const struct pt_fmt pt_fmt_x86_64 = {
    .id = PT_X86_64,
    .page_shift = 12,
    .index_bits = 9,
    .leaf_h = 2,
    .swap_oa = true,
    .plain_clean = true,
    .present = X86_P,
    .table_mask = X86_PS,
    .page_bits = X86_P,
    .block_bits = X86_P | X86_PS,
    .table_bits = X86_P | X86_RW | X86_US | X86_A,
    .oa_mask = FMT_MASK(51, 12),
    .accessed = X86_A,
    .track = X86_TRACK,
    .write_mask = X86_D,
    .write_value = X86_D,
    .rights = X86_RW | X86_D | X86_TRACK | X86_XD,
};

#define x86_span fmt_one_span
#define x86_join fmt_one_join
#define x86_part fmt_one_part

/* Tables of 4 or 5 full levels, as x86-64, EPT and VT-d have them; `least`: the lowest start. */
static inline int x86_levels(const struct pt_config *cfg, int least)
{
    int h = (cfg->ia_bits - 12) / 9 - 1;

    if (h < least || h > 4 || cfg->ia_bits != 12 + 9 * (h + 1) || cfg->oa_bits < 32 ||
        cfg->oa_bits > 52 || cfg->start_level != 3 - h) {
        return -EINVAL;
    }
    return h;
}

static inline int x86_root(const struct pt_fmt *f, const struct pt_config *cfg)
{
    (void)f;
    return x86_levels(cfg, 3);
}

static FMT_INLINE uint64_t x86_attr(const struct pt *pt, uint32_t prot)
{
    uint64_t a = X86_A;

    (void)pt;
    if (!(prot & PT_READ)) {
        return 0;
    }
    if (prot & PT_DEVICE) {
        a |= X86_PCD | X86_PWT;
    } else if (prot & PT_NC) {
        a |= X86_PWT;
    }
    a |= (prot & PT_USER ? X86_US : 0) | (prot & PT_EXEC ? 0 : X86_XD);
    /* Not writable and dirty would be a shadow stack (4.6, CR4.CET): D comes with RW only. */
    if (prot & PT_WRITE) {
        a |= X86_RW;
        a |= prot & PT_TRACK ? X86_TRACK | (prot & PT_DIRTY ? X86_D : 0) : X86_D;
    }
    return a;
}

static FMT_INLINE uint32_t x86_prot(const struct pt *pt, uint64_t e)
{
    uint32_t prot = PT_READ;

    (void)pt;
    if (e & X86_PWT) {
        prot |= e & X86_PCD ? PT_DEVICE : PT_NC;
    }
    prot |= (e & X86_US ? PT_USER : 0) | (e & X86_XD ? 0 : PT_EXEC);
    prot |= (e & X86_TRACK ? PT_TRACK : 0);
    if (e & X86_RW) {
        prot |= PT_WRITE | (e & X86_D ? PT_DIRTY : 0);
    }
    return prot;
}

#endif
