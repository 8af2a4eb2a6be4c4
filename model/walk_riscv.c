/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RISC-V Sv39, Sv48 and Sv57, and as G-stage or second stage Sv39x4, Sv48x4 and Sv57x4, from the
 * RISC-V Instruction Set Manual volume II: "Supervisor-Level ISA", 10.3.2 (the address translation
 * process) and 10.4 to 10.6 (formats), "Hypervisor Extension", 15.5.1 (guest physical addresses are
 * 2 bits wider, every access counts as user's), "Svnapot", "Svpbmt", "Svadu" and "Svade". The RISC-V
 * IOMMU specification uses the same tables.
 *
 * mstatus.MXR is taken as 0.
 */
#include "walk.h"

#include <stddef.h>
#include <string.h>

#define BIT(n)        ((uint64_t)1 << (n))
#define FIELD(hi, lo) ((BIT((hi) - (lo) + 1) - 1) << (lo))

#define PTE_V        BIT(0)
#define PTE_R        BIT(1)
#define PTE_W        BIT(2)
#define PTE_X        BIT(3)
#define PTE_U        BIT(4)
#define PTE_G        BIT(5)
#define PTE_A        BIT(6)
#define PTE_D        BIT(7)
#define PTE_RSW      FIELD(9, 8)
#define PTE_PPN      FIELD(53, 10)
#define PTE_RESERVED FIELD(60, 54)
#define PTE_PBMT     FIELD(62, 61)
#define PTE_N        BIT(63)

#define USER(p) ((uint8_t)((p) << MODEL_USER_SHIFT))
#define BOTH(p) ((uint8_t)((p) | USER(p)))

static uint8_t riscv_shift(const struct model_walk_cfg *cfg, int level)
{
    (void)cfg;
    return (uint8_t)(12 + 9 * (MODEL_LAST_LEVEL - level));
}

static const char *riscv_check(const struct model_walk_cfg *cfg)
{
    unsigned extra = cfg->stage == 2 ? 2 : 0;

    if (cfg->stage != 1 && cfg->stage != 2)
        return "stage is neither 1 nor 2";
    if (cfg->start_level < -1 || cfg->start_level > 1)
        return "tables are not of 3, 4 or 5 levels";
    if (cfg->ia_bits != riscv_shift(cfg, cfg->start_level) + 9 + extra)
        return "input size is not 39, 48 or 57 bits by levels, and 2 more for x4";
    if (cfg->oa_bits < 32 || cfg->oa_bits > 56)
        return "output size is not 32 to 56 bits";
    if (cfg->canonical != (cfg->stage == 1))
        return "addresses have a sign at stage 1, and none at stage 2";
    if (cfg->ha != cfg->hd)
        return "accessed and dirty flags are updated together (ADUE, GADE, SADE)";
    if (cfg->root & (((uint64_t)0x1000 << extra) - 1))
        return "root is not aligned to 4K, or to 16K for x4";
    return NULL;
}

static uint8_t rights(const struct model_walk_cfg *cfg, uint64_t raw)
{
    uint8_t p = 0;

    if (raw & PTE_R)
        p |= MODEL_R;
    /* Svade: a write to what is not dirty yet is a page fault. */
    if ((raw & PTE_W) && (cfg->hd || (raw & PTE_D)))
        p |= MODEL_W;
    if (raw & PTE_X)
        p |= MODEL_X;
    if (cfg->stage == 2)
        return (uint8_t)(raw & PTE_U ? BOTH(p) : 0); /* 15.5.1: as if in U-mode */
    if (!(raw & PTE_U))
        return p;
    return (uint8_t)(USER(p) | (cfg->sum ? p & (MODEL_R | MODEL_W) : 0));
}

static void leaf(const struct model_walk_cfg *cfg, int level, uint64_t raw, struct model_desc *out)
{
    uint64_t pa = (raw & PTE_PPN) << 2, pbmt = (raw & PTE_PBMT) >> 61;

    out->kind = MODEL_DESC_LEAF;
    if (raw & PTE_N) { /* only 64 KiB is defined: PPN[3:0] is 0b1000, at the last level */
        if (!cfg->svnapot || level != MODEL_LAST_LEVEL || (pa >> 12 & 15) != 8) {
            out->reserved = true;
        } else {
            out->whole = true;
            out->span_shift = 16;
        }
    }
    out->pa = pa & ~(BIT(out->span_shift) - 1);
    if (!out->whole && out->pa != pa)
        out->reserved = true; /* a misaligned superpage */
    if ((raw & PTE_W) && !(raw & PTE_R))
        out->reserved = true;
    if (pbmt == 3 || (pbmt != 0 && !cfg->svpbmt))
        out->reserved = true;
    out->attr = (uint32_t)pbmt;
    out->memtype = pbmt == 0 ? MODEL_MT_AS_S1 : pbmt == 1 ? MODEL_MT_NC : MODEL_MT_DEVICE;
    out->perms = rights(cfg, raw);
    out->af = (raw & PTE_A) != 0;
    out->global = cfg->stage == 2 || (raw & PTE_G);
    out->clean = cfg->hd && (raw & PTE_W) && !(raw & PTE_D);
    out->dirty = cfg->hd && (raw & PTE_D);
}

static void riscv_decode(const struct model_walk_cfg *cfg, int level, uint64_t raw,
                         struct model_desc *out)
{
    memset(out, 0, sizeof(*out));
    out->shift = out->span_shift = riscv_shift(cfg, level);
    if (!(raw & PTE_V))
        return;
    out->reserved = (raw & PTE_RESERVED) != 0;
    if (raw & (PTE_R | PTE_W | PTE_X)) {
        leaf(cfg, level, raw, out);
    } else if (level == MODEL_LAST_LEVEL) {
        return; /* a pointer where no table can follow: a page fault, as if not valid */
    } else {
        out->kind = MODEL_DESC_TABLE;
        out->pa = (raw & PTE_PPN) << 2;
        out->limit = MODEL_RWX_ALL;
        out->next_level = (int16_t)(level + 1);
        out->af = true; /* A, D and U are reserved in a pointer */
        out->global = cfg->stage == 1 && (raw & PTE_G);
        out->reserved |= (raw & (PTE_N | PTE_PBMT | PTE_U | PTE_A | PTE_D)) != 0;
    }
    out->address_size = out->pa >> cfg->oa_bits != 0;
}

static uint64_t riscv_set_af(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | PTE_A;
}

static uint64_t riscv_set_dirty(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | PTE_D;
}

static uint8_t riscv_set_shift(const struct model_walk_cfg *cfg, int level)
{
    return cfg->svnapot && level == MODEL_LAST_LEVEL ? 16 : riscv_shift(cfg, level);
}

static uint64_t riscv_live_mask(const struct model_walk_cfg *cfg)
{
    (void)cfg;
    return PTE_R | PTE_W | PTE_X | PTE_U | PTE_A | PTE_D | PTE_RSW;
}

static uint64_t riscv_hw_mask(const struct model_walk_cfg *cfg)
{
    return cfg->ha ? PTE_A | PTE_D : 0;
}

/*
 * A hart uses the old or the new translation until SFENCE.VMA (volume II, 10.2.1). The IOMMU
 * specification promises less, "Accessed (A)/Dirty (D) bit updates and page promotions": without
 * V = 0 and an invalidation between, only a change of size is supported.
 */
static enum model_verdict riscv_live(const struct model_walk_cfg *cfg, const struct model_leaf *had,
                                     const struct model_leaf *has)
{
    if (cfg->replace_breaks && (had->oa - had->ia != has->oa - has->ia || had->attr != has->attr))
        return MODEL_V_BBM_SKIPPED;
    return model_live_one_store(cfg, had, has);
}

const struct model_format model_riscv = {
    .name = "riscv",
    .reserved_faults = true,
    .one_store = true,
    .check = riscv_check,
    .shift = riscv_shift,
    .decode = riscv_decode,
    .set_af = riscv_set_af,
    .set_dirty = riscv_set_dirty,
    .set_shift = riscv_set_shift,
    .live_mask = riscv_live_mask,
    .hw_mask = riscv_hw_mask,
    .live = riscv_live,
};
