/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-d second-stage tables of 3, 4 or 5 levels, from Intel's Virtualization Technology for Directed
 * I/O specification: 3.7 (second-stage translation), 3.7.2 (accessed and dirty flags), 9.8
 * (entries), 7.1.3 (faults). First-stage tables are x86-64 ones (walk_x86.c).
 */
#include "walk.h"

#include <stddef.h>
#include <string.h>

#define BIT(n)        ((uint64_t)1 << (n))
#define FIELD(hi, lo) ((BIT((hi) - (lo) + 1) - 1) << (lo))

#define SS_R       BIT(0)
#define SS_W       BIT(1)
#define SS_PS      BIT(7) /* a leaf, at levels 2 and 1; must be 0 above */
#define SS_A       BIT(8)
#define SS_D       BIT(9)
#define SS_SNP     BIT(11)
#define SS_ADDRESS FIELD(51, 12)
#define SS_IGNORED (BIT(2) | BIT(10) | FIELD(63, 52))
/* Bits 6:3 of a leaf are the memory type of nested translation (ECAP.MTS), ignored without it. */
#define SS_EMT FIELD(6, 3)

#define USER(p) ((uint8_t)((p) << MODEL_USER_SHIFT))
#define BOTH(p) ((uint8_t)((p) | USER(p)))

static uint8_t vtd_shift(const struct model_walk_cfg *cfg, int level)
{
    (void)cfg;
    return (uint8_t)(12 + 9 * (MODEL_LAST_LEVEL - level));
}

static const char *vtd_check(const struct model_walk_cfg *cfg)
{
    if (cfg->stage != 2)
        return "stage is not 2";
    if (cfg->start_level < -1 || cfg->start_level > 1)
        return "second stage is not of 3, 4 or 5 levels";
    if (cfg->ia_bits != vtd_shift(cfg, cfg->start_level) + 9)
        return "the adjusted guest address width is 39, 48 or 57 bits, by levels";
    if (cfg->oa_bits < 32 || cfg->oa_bits > 52)
        return "host address width is not 32 to 52";
    if (cfg->ha != cfg->hd)
        return "accessed and dirty flags are enabled together (SSADE)";
    if (cfg->root & 0xfff)
        return "root is not aligned to 4K";
    return NULL;
}

/* No privilege and no execution at this stage; X counts as R. */
static uint8_t rights(uint64_t raw)
{
    uint8_t p = 0;

    if (raw & SS_R)
        p |= BOTH(MODEL_R | MODEL_X);
    if (raw & SS_W)
        p |= BOTH(MODEL_W);
    return p;
}

static bool is_leaf(const struct model_walk_cfg *cfg, int level, uint64_t raw, bool *reserved)
{
    if (level == MODEL_LAST_LEVEL)
        return true;
    if (!(raw & SS_PS))
        return false;
    *reserved = level < 1 || (level == 1 && !cfg->page1g) || (level == 2 && !cfg->page2m);
    return level >= 1;
}

static void vtd_decode(const struct model_walk_cfg *cfg, int level, uint64_t raw,
                       struct model_desc *out)
{
    uint64_t low;

    memset(out, 0, sizeof(*out));
    out->shift = out->span_shift = vtd_shift(cfg, level);
    if (!(raw & (SS_R | SS_W)))
        return; /* 9.8: both clear is not present */
    low = BIT(out->shift) - 1;
    out->af = !cfg->ha || (raw & SS_A);
    if (!is_leaf(cfg, level, raw, &out->reserved)) {
        out->kind = MODEL_DESC_TABLE;
        out->pa = raw & SS_ADDRESS;
        out->limit = rights(raw);
        out->next_level = (int16_t)(level + 1);
        out->reserved |= (raw & SS_SNP) || out->pa >> cfg->oa_bits;
        return;
    }
    out->kind = MODEL_DESC_LEAF;
    out->pa = raw & SS_ADDRESS & ~low;
    out->reserved |=
        (raw & SS_ADDRESS & low) || out->pa >> cfg->oa_bits || (!cfg->snoop && (raw & SS_SNP));
    out->attr = (uint32_t)(raw & (SS_SNP | SS_EMT));
    out->memtype = MODEL_MT_AS_S1;
    out->perms = rights(raw);
    out->global = true; /* no PASID at this stage */
    out->clean = cfg->hd && (raw & SS_W) && !(raw & SS_D);
    out->dirty = cfg->hd && (raw & SS_D);
}

static uint64_t vtd_set_af(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | SS_A;
}

static uint64_t vtd_set_dirty(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | SS_D;
}

static uint64_t vtd_live_mask(const struct model_walk_cfg *cfg)
{
    (void)cfg;
    return SS_R | SS_W | SS_A | SS_D | SS_IGNORED;
}

static uint64_t vtd_hw_mask(const struct model_walk_cfg *cfg)
{
    return cfg->ha ? SS_A | SS_D : 0;
}

const struct model_format model_vtd2 = {
    .name = "vtd-second-stage",
    .reserved_faults = true,
    .one_store = true,
    .check = vtd_check,
    .shift = vtd_shift,
    .decode = vtd_decode,
    .set_af = vtd_set_af,
    .set_dirty = vtd_set_dirty,
    .live_mask = vtd_live_mask,
    .hw_mask = vtd_hw_mask,
    .live = model_live_one_store,
};
