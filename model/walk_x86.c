/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-64 4-level and 5-level paging, from Intel SDM 325384 volume 3, chapter 4: 4.5 (formats), 4.6
 * (access rights), 4.7 (reserved bits), 4.8 (accessed and dirty flags), 4.9.2 (memory types), 4.10
 * (what is cached). The same tables serve AMD nested paging (APM 24593 volume 2, 15.25: every
 * access of a guest counts as user's, G is ignored, the address has no sign) and VT-d first stage
 * (spec 3.6, 9.7: PCD, PWT, PAT index the PASID entry's PAT).
 *
 * CR0.WP is taken as 1, CR4.SMEP, SMAP and PKE as 0.
 */
#include "walk.h"

#include <stddef.h>
#include <string.h>

#define BIT(n)        ((uint64_t)1 << (n))
#define FIELD(hi, lo) ((BIT((hi) - (lo) + 1) - 1) << (lo))

/* Tables 4-14 to 4-20 */
#define PTE_P         BIT(0)
#define PTE_RW        BIT(1)
#define PTE_US        BIT(2)
#define PTE_PWT       BIT(3)
#define PTE_PCD       BIT(4)
#define PTE_A         BIT(5)
#define PTE_D         BIT(6)
#define PTE_PS        BIT(7) /* at levels 2 and 1; must be 0 above */
#define PTE_PAT_4K    BIT(7)
#define PTE_G         BIT(8)
#define PTE_IGNORED   (FIELD(11, 9) | FIELD(62, 52))
#define PTE_PAT_LARGE BIT(12)
#define PTE_ADDRESS   FIELD(51, 12)
#define PTE_XD        BIT(63)

#define USER(p) ((uint8_t)((p) << MODEL_USER_SHIFT))
#define BOTH(p) ((uint8_t)((p) | USER(p)))

static uint8_t x86_shift(const struct model_walk_cfg *cfg, int level)
{
    (void)cfg;
    return (uint8_t)(12 + 9 * (MODEL_LAST_LEVEL - level)); /* 4.5: 12, 21, 30, 39, 48 */
}

static const char *x86_check(const struct model_walk_cfg *cfg)
{
    if (cfg->stage != 1 && cfg->stage != 2)
        return "stage is neither 1 nor 2";
    if (cfg->start_level != 0 && cfg->start_level != -1)
        return "paging is neither of 4 nor of 5 levels";
    if (cfg->ia_bits != (cfg->start_level == 0 ? 48 : 57))
        return "4 levels have 48 bits of input address, 5 have 57";
    if (cfg->oa_bits < 32 || cfg->oa_bits > 52)
        return "MAXPHYADDR is not 32 to 52";
    if (!cfg->ha || !cfg->hd)
        return "paging always maintains accessed and dirty flags";
    if (cfg->root & 0xfff)
        return "root is not aligned to 4K";
    return NULL;
}

/* 4.9.2 and table 12-10: what a byte of the PAT means. */
static enum model_memtype pat_type(uint8_t byte)
{
    switch (byte) {
    case 0:
        return MODEL_MT_UC;
    case 1:
        return MODEL_MT_WC;
    case 4:
        return MODEL_MT_WT;
    case 5:
        return MODEL_MT_WP;
    case 6:
        return MODEL_MT_WB;
    case 7:
        return MODEL_MT_UC_MINUS;
    default:
        return MODEL_MT_RESERVED;
    }
}

/* 4.6: what an entry of any level leaves of the access rights; they add up to the strictest. */
static uint8_t rights(uint64_t raw)
{
    uint8_t p = MODEL_RWX_ALL;

    if (!(raw & PTE_RW))
        p &= (uint8_t)~BOTH(MODEL_W);
    if (!(raw & PTE_US))
        p &= (uint8_t)~USER(MODEL_R | MODEL_W | MODEL_X);
    if (raw & PTE_XD)
        p &= (uint8_t)~BOTH(MODEL_X);
    return p;
}

static void leaf(const struct model_walk_cfg *cfg, uint64_t raw, struct model_desc *out)
{
    uint64_t pat = out->shift == 12 ? PTE_PAT_4K : PTE_PAT_LARGE;
    uint64_t low = BIT(out->shift) - 1;

    out->kind = MODEL_DESC_LEAF;
    out->pa = raw & PTE_ADDRESS & ~low;
    if (raw & PTE_ADDRESS & low & ~(out->shift == 12 ? 0 : PTE_PAT_LARGE))
        out->reserved = true; /* 20:13 or 29:13 */
    out->attr = (raw & PTE_PWT ? 1u : 0) | (raw & PTE_PCD ? 2u : 0) | (raw & pat ? 4u : 0);
    out->memtype = pat_type((uint8_t)(cfg->mair >> (8 * out->attr)));
    out->perms = rights(raw);
    out->global = cfg->pge && (raw & PTE_G);
    out->clean = (raw & PTE_RW) && !(raw & PTE_D);
    out->dirty = (raw & PTE_D) != 0;
}

static void x86_decode(const struct model_walk_cfg *cfg, int level, uint64_t raw,
                       struct model_desc *out)
{
    memset(out, 0, sizeof(*out));
    out->shift = out->span_shift = x86_shift(cfg, level);
    if (!(raw & PTE_P))
        return;
    out->af = (raw & PTE_A) != 0;
    out->reserved = (raw & PTE_ADDRESS) >> cfg->oa_bits != 0 || (!cfg->nx && (raw & PTE_XD)) ||
                    (level < 1 && (raw & PTE_PS)) || (level == 1 && (raw & PTE_PS) && !cfg->page1g);
    if (level == MODEL_LAST_LEVEL || (level >= 1 && (raw & PTE_PS))) {
        leaf(cfg, raw, out);
        return;
    }
    out->kind = MODEL_DESC_TABLE;
    out->pa = raw & PTE_ADDRESS;
    out->limit = rights(raw);
    out->next_level = (int16_t)(level + 1);
}

static uint64_t x86_set_af(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | PTE_A;
}

static uint64_t x86_set_dirty(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | PTE_D;
}

static uint64_t x86_live_mask(const struct model_walk_cfg *cfg)
{
    (void)cfg;
    return PTE_RW | PTE_US | PTE_A | PTE_D | PTE_IGNORED | PTE_XD;
}

static uint64_t x86_hw_mask(const struct model_walk_cfg *cfg)
{
    (void)cfg;
    return PTE_A | PTE_D;
}

/*
 * Intel's "machine check error on page size change": an instruction fetch that finds the same code
 * in two sizes, both cached, stops the machine. There, no executable leaf changes its size without
 * an invalidation between the two.
 */
enum model_verdict model_live_multihit(const struct model_walk_cfg *cfg,
                                       const struct model_leaf *had, const struct model_leaf *has)
{
    enum model_verdict v = model_live_one_store(cfg, had, has);

    if (v == MODEL_V_OK && cfg->multihit && had->shift != has->shift &&
        (had->perms & has->perms & BOTH(MODEL_X)))
        return MODEL_V_SIZE_NEEDS_BBM;
    return v;
}

const struct model_format model_x86 = {
    .name = "x86-64",
    .reserved_faults = true,
    .one_store = true,
    .check = x86_check,
    .shift = x86_shift,
    .decode = x86_decode,
    .set_af = x86_set_af,
    .set_dirty = x86_set_dirty,
    .live_mask = x86_live_mask,
    .hw_mask = x86_hw_mask,
    .live = model_live_multihit,
};
