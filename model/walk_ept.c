/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended page tables of 4 or 5 levels, from Intel SDM 325384 volume 3: 29.3.2 (entries), 29.3.3.1
 * (misconfigurations), 29.3.3.2 (violations), 29.3.5 (accessed and dirty flags, EPTP bit 6), 29.3.7
 * (memory types), and 29.4 (what is cached).
 */
#include "walk.h"

#include <stddef.h>
#include <string.h>

#define BIT(n)        ((uint64_t)1 << (n))
#define FIELD(hi, lo) ((BIT((hi) - (lo) + 1) - 1) << (lo))

#define EPT_R          BIT(0)
#define EPT_W          BIT(1)
#define EPT_X          BIT(2)
#define EPT_TYPE       FIELD(5, 3) /* leaf */
#define EPT_IPAT       BIT(6)      /* leaf: the guest's PAT is ignored */
#define EPT_PS         BIT(7)
#define EPT_A          BIT(8)
#define EPT_D          BIT(9)
#define EPT_XU         BIT(10) /* mode-based execute control: execute, user-mode addresses */
#define EPT_ADDRESS    FIELD(51, 12)
#define EPT_IGNORED    (BIT(11) | FIELD(63, 52))
#define EPT_TABLE_RSVD FIELD(6, 3)

#define USER(p) ((uint8_t)((p) << MODEL_USER_SHIFT))
#define BOTH(p) ((uint8_t)((p) | USER(p)))

static uint8_t ept_shift(const struct model_walk_cfg *cfg, int level)
{
    (void)cfg;
    return (uint8_t)(12 + 9 * (MODEL_LAST_LEVEL - level));
}

static const char *ept_check(const struct model_walk_cfg *cfg)
{
    if (cfg->stage != 2)
        return "stage is not 2";
    if (cfg->start_level != 0 && cfg->start_level != -1)
        return "the page-walk length is neither 4 nor 5";
    if (cfg->ia_bits != (cfg->start_level == 0 ? 48 : 57))
        return "4 levels have 48 bits of input address, 5 have 57";
    if (cfg->oa_bits < 32 || cfg->oa_bits > 52)
        return "MAXPHYADDR is not 32 to 52";
    if (cfg->ha != cfg->hd)
        return "accessed and dirty flags are enabled together (EPTP bit 6)";
    if (cfg->root & 0xfff)
        return "root is not aligned to 4K";
    return NULL;
}

static enum model_memtype type_of(uint64_t raw)
{
    switch ((raw & EPT_TYPE) >> 3) {
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
    default:
        return MODEL_MT_RESERVED;
    }
}

static uint8_t rights(const struct model_walk_cfg *cfg, uint64_t raw)
{
    uint8_t p = 0;

    if (raw & EPT_R)
        p |= BOTH(MODEL_R);
    if (raw & EPT_W)
        p |= BOTH(MODEL_W);
    if (raw & EPT_X)
        p |= MODEL_X;
    if (raw & (cfg->mbec ? EPT_XU : EPT_X))
        p |= USER(MODEL_X);
    return p;
}

/* 29.3.3.1: what makes any present entry a misconfiguration, its rights and address. */
static bool misconfigured(const struct model_walk_cfg *cfg, uint64_t raw)
{
    uint64_t execute = EPT_X | (cfg->mbec ? EPT_XU : 0);

    if (!(raw & EPT_R) && (raw & EPT_W))
        return true;
    if (!(raw & EPT_R) && (raw & execute) && !cfg->exec_only)
        return true;
    return (raw & EPT_ADDRESS) >> cfg->oa_bits != 0;
}

static bool is_leaf(int level, uint64_t raw)
{
    return level == MODEL_LAST_LEVEL || (level >= 1 && (raw & EPT_PS));
}

static void ept_decode(const struct model_walk_cfg *cfg, int level, uint64_t raw,
                       struct model_desc *out)
{
    uint64_t low;

    memset(out, 0, sizeof(*out));
    out->shift = out->span_shift = ept_shift(cfg, level);
    if (!(raw & (EPT_R | EPT_W | EPT_X | (cfg->mbec ? EPT_XU : 0))))
        return;
    low = BIT(out->shift) - 1;
    out->af = !cfg->ha || (raw & EPT_A);
    out->reserved = misconfigured(cfg, raw);
    if (!is_leaf(level, raw)) {
        out->kind = MODEL_DESC_TABLE;
        out->pa = raw & EPT_ADDRESS;
        out->limit = rights(cfg, raw);
        out->next_level = (int16_t)(level + 1);
        out->reserved |= (raw & EPT_TABLE_RSVD) || (level < 1 && (raw & EPT_PS));
        return;
    }
    out->kind = MODEL_DESC_LEAF;
    out->pa = raw & EPT_ADDRESS & ~low;
    out->attr = (uint32_t)(raw & (EPT_TYPE | EPT_IPAT));
    out->memtype = type_of(raw);
    out->reserved |= (raw & EPT_ADDRESS & low) || out->memtype == MODEL_MT_RESERVED ||
                     (level == 1 && !cfg->page1g) || (level == 2 && !cfg->page2m);
    out->perms = rights(cfg, raw);
    out->global = true; /* no PCID at this stage */
    out->clean = cfg->hd && (raw & EPT_W) && !(raw & EPT_D);
    out->dirty = cfg->hd && (raw & EPT_D);
}

static uint64_t ept_set_af(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | EPT_A;
}

static uint64_t ept_set_dirty(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | EPT_D;
}

static uint64_t ept_live_mask(const struct model_walk_cfg *cfg)
{
    (void)cfg;
    return EPT_R | EPT_W | EPT_X | EPT_XU | EPT_A | EPT_D | EPT_IGNORED;
}

static uint64_t ept_hw_mask(const struct model_walk_cfg *cfg)
{
    return cfg->ha ? EPT_A | EPT_D : 0;
}

const struct model_format model_ept = {
    .name = "ept",
    .reserved_faults = true,
    .one_store = true,
    .check = ept_check,
    .shift = ept_shift,
    .decode = ept_decode,
    .set_af = ept_set_af,
    .set_dirty = ept_set_dirty,
    .live_mask = ept_live_mask,
    .hw_mask = ept_hw_mask,
    .live = model_live_multihit,
};
