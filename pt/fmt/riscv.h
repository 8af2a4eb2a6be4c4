/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RISC-V Sv39, Sv48, Sv57 and, as second stage, Sv39x4, Sv48x4, Sv57x4: Privileged Architecture
 * 12.3 to 12.6 (tables), 18.5.1 (x4: a start table of 16 KiB, every leaf a user's), Svnapot (16
 * entries of the last level as one leaf of 64K), Svpbmt (memory types). The IOMMU walks the same
 * (RISC-V IOMMU 3.3).
 *
 * Live (12.3.2, 12.2.1 SFENCE.VMA, Svadu): entries are read whole, hardware that updates A and D
 * does so atomically; until the fence a hart may use the old translation or the new, each state of
 * a leaf of several entries translates alike.
 */
#ifndef PT_FMT_RISCV_H
#define PT_FMT_RISCV_H

#include "fmt.h"

#define RV_V     FMT_BIT(0)
#define RV_R     FMT_BIT(1)
#define RV_W     FMT_BIT(2)
#define RV_X     FMT_BIT(3)
#define RV_U     FMT_BIT(4)
#define RV_A     FMT_BIT(6)
#define RV_D     FMT_BIT(7)
#define RV_TRACK FMT_BIT(8) /* RSW: software's */
#define RV_PBMT  FMT_MASK(62, 61)
#define RV_NC    FMT_BIT(61)
#define RV_IO    FMT_BIT(62)
#define RV_N     FMT_BIT(63)
#define RV_NAPOT FMT_BIT(13) /* ppn[3:0] = 1000 */
#define RV_LOW   FMT_MASK(13, 10)

#define RV_COMMON                                                                                \
    .page_shift = 12, .index_bits = 9, .leaf_h = 4, .spans = true, .span_min = { 4 },            \
    .span_max = { 4 }, .swap_oa = true, .plain_clean = true, .present = RV_V,                    \
    .table_mask = RV_R | RV_W | RV_X, .page_bits = RV_V, .block_bits = RV_V, .table_bits = RV_V, \
    .oa_mask = FMT_MASK(53, 10), .oa_shift = 2, .accessed = RV_A, .track = RV_TRACK,             \
    .write_mask = RV_D, .write_value = RV_D, .rights = RV_R | RV_W | RV_X | RV_D | RV_TRACK

static const struct pt_fmt pt_fmt_riscv = { .id = PT_RISCV, RV_COMMON };
static const struct pt_fmt pt_fmt_riscv_x4 = { .id = PT_RISCV_X4, .root_more = 2, RV_COMMON };

static FMT_INLINE unsigned riscv_span(const struct pt_fmt *f, unsigned h, uint64_t e)
{
    (void)f, (void)h;
    return e & RV_N ? 4 : 0;
}

static FMT_INLINE uint64_t riscv_join(const struct pt_fmt *f, unsigned h, unsigned k, uint64_t e)
{
    (void)f, (void)h, (void)k;
    return (e & ~RV_LOW) | RV_N | RV_NAPOT;
}

static FMT_INLINE uint64_t riscv_part(const struct pt_fmt *f, unsigned h, unsigned i, uint64_t e)
{
    (void)f, (void)h;
    return e & RV_N ? (e & ~(RV_N | RV_LOW)) | (uint64_t)(i & 15) << 10 : e;
}

static inline int riscv_root(const struct pt_fmt *f, const struct pt_config *cfg)
{
    int h = (cfg->ia_bits - f->root_more - 12) / 9 - 1;

    return h < 2 || h > 4 || cfg->ia_bits != 12 + 9 * (h + 1) + f->root_more || cfg->oa_bits < 32 ||
                   cfg->oa_bits > 56 || cfg->start_level != 3 - h
               ? -EINVAL
               : h;
}

static FMT_INLINE uint64_t riscv_attr(const struct pt *pt, uint32_t prot)
{
    uint64_t a = RV_A | RV_R;

    if (!(prot & PT_READ)) {
        return 0; /* write-only is reserved; execute-only is not wanted */
    }
    a |= prot & PT_DEVICE ? RV_IO : prot & PT_NC ? RV_NC : 0;
    a |= prot & PT_EXEC ? RV_X : 0;
    a |= prot & PT_USER || pt->cfg.format == PT_RISCV_X4 ? RV_U : 0;
    if (prot & PT_WRITE) {
        a |= RV_W;
        a |= prot & PT_TRACK ? RV_TRACK | (prot & PT_DIRTY ? RV_D : 0) : RV_D;
    }
    return a;
}

static FMT_INLINE uint32_t riscv_prot(const struct pt *pt, uint64_t e)
{
    uint32_t prot = PT_READ | (e & RV_TRACK ? PT_TRACK : 0) | (e & RV_X ? PT_EXEC : 0);

    prot |= (e & RV_PBMT) == RV_IO ? PT_DEVICE : (e & RV_PBMT) == RV_NC ? PT_NC : 0;
    prot |= (e & RV_U) && pt->cfg.format != PT_RISCV_X4 ? PT_USER : 0;
    if (e & RV_W) {
        prot |= PT_WRITE | (e & RV_D ? PT_DIRTY : 0);
    }
    return prot;
}

#endif
