/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD IOMMU host page tables ("v1"), modes 1 to 6: AMD I/O Virtualization Technology specification
 * (48882) 2.2.3, figures 8 to 10. A table of height h (mode h + 1) has entries whose NextLevel is h
 * (a table), 0 (a leaf of the level's own size) or 7 (a leaf of any power of two: the address has
 * ones up to below the highest bit under the size, all its entries are equal). pt_config.snoop sets
 * FC in leaves.
 *
 * Live (2.2.3.2, 2.2.7): entries are read whole; with DTE.HAD hardware sets A and D by atomic
 * updates. One store may cut, merge or exchange a leaf of one entry; leaves of several entries are
 * taken apart and put together entry by entry, each state of which translates alike.
 */
#ifndef PT_FMT_AMD_V1_H
#define PT_FMT_AMD_V1_H

#include "fmt.h"

#define AMD_PR    FMT_BIT(0)
#define AMD_TRACK FMT_BIT(1) /* ignored by hardware: [4:1] */
#define AMD_A     FMT_BIT(5)
#define AMD_D     FMT_BIT(6)
#define AMD_NEXT  FMT_MASK(11, 9)
#define AMD_FC    FMT_BIT(60)
#define AMD_IR    FMT_BIT(61)
#define AMD_IW    FMT_BIT(62)
#define AMD_OA    FMT_MASK(51, 12)

static const struct pt_fmt pt_fmt_amd_v1 = {
    .id = PT_AMD_V1,
    .page_shift = 12,
    .index_bits = 9,
    .leaf_h = 4, /* 256T leaves; whoever has 2^57 bytes of memory in one piece? */
    .grows = true,
    .spans = true,
    .span_min = { 1, 1, 1, 1 },
    .span_max = { 8, 8, 8, 8 },
    .swap_oa = true,
    .plain_clean = true,
    .present = AMD_PR,
    .table_mask = AMD_NEXT,
    .table_step = FMT_BIT(9),
    .page_bits = AMD_PR,
    .block_bits = AMD_PR,
    .table_bits = AMD_PR | AMD_IR | AMD_IW,
    .oa_mask = AMD_OA,
    .accessed = AMD_A,
    .track = AMD_TRACK,
    .write_mask = AMD_D,
    .write_value = AMD_D,
    .rights = AMD_IR | AMD_IW | AMD_D | AMD_TRACK,
};

/* log2 of a leaf with NextLevel 7: the lowest zero from bit 12 up is half of the size. */
static FMT_INLINE unsigned amd_shift(uint64_t e)
{
    return 13u + (unsigned)__builtin_ctzll(~(e >> 12));
}

static FMT_INLINE unsigned amd_v1_span(const struct pt_fmt *f, unsigned h, uint64_t e)
{
    return (e & AMD_NEXT) == AMD_NEXT ? amd_shift(e) - f->page_shift - h * f->index_bits : 0;
}

static FMT_INLINE uint64_t amd_v1_join(const struct pt_fmt *f, unsigned h, unsigned k, uint64_t e)
{
    uint64_t size = (uint64_t)1 << (f->page_shift + h * f->index_bits + k);

    return (e & ~(AMD_OA & (size - 1))) | ((size / 2 - 1) & AMD_OA) | AMD_NEXT;
}

static FMT_INLINE uint64_t amd_v1_part(const struct pt_fmt *f, unsigned h, unsigned i, uint64_t e)
{
    unsigned shift = f->page_shift + h * f->index_bits, k = amd_v1_span(f, h, e);

    if (k == 0) {
        return e;
    }
    e &= ~(AMD_NEXT | (AMD_OA & (((uint64_t)1 << (shift + k)) - 1)));
    return e | (uint64_t)(i & ((1u << k) - 1)) << shift;
}

static inline int amd_v1_root(const struct pt_fmt *f, const struct pt_config *cfg)
{
    int h = 3 - cfg->start_level;

    (void)f;
    return h < 0 || h > 5 || cfg->ia_bits < 12 || cfg->ia_bits > 63 || cfg->oa_bits < 32 ||
                   cfg->oa_bits > 52
               ? -EINVAL
               : h;
}

static FMT_INLINE uint64_t amd_v1_attr(const struct pt *pt, uint32_t prot)
{
    uint64_t a = AMD_A | (pt->cfg.snoop ? AMD_FC : 0);

    if (!(prot & (PT_READ | PT_WRITE))) {
        return 0;
    }
    a |= prot & PT_READ ? AMD_IR : 0;
    if (prot & PT_WRITE) {
        a |= AMD_IW;
        a |= prot & PT_TRACK ? AMD_TRACK | (prot & PT_DIRTY ? AMD_D : 0) : AMD_D;
    }
    return a;
}

static FMT_INLINE uint32_t amd_v1_prot(const struct pt *pt, uint64_t e)
{
    uint32_t prot = (e & AMD_IR ? PT_READ : 0) | (e & AMD_TRACK ? PT_TRACK : 0);

    (void)pt;
    if (e & AMD_IW) {
        prot |= PT_WRITE | (e & AMD_D ? PT_DIRTY : 0);
    }
    return prot;
}

#endif
