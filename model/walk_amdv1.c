/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AMD IOMMU's host page tables ("v1"), from the AMD I/O Virtualization Technology (IOMMU)
 * specification 48882, 2.2.3 (I/O page tables for host translations): an entry names the level of
 * what it points to, so that levels may be skipped; next level 0 is a leaf of the level's own size,
 * 7 one whose size is in the address. Modes 1 to 6 of the device table entry choose the first level.
 * DTE.HAD enables the A and D bits.
 */
#include "walk.h"

#include <stddef.h>
#include <string.h>

#define BIT(n)        ((uint64_t)1 << (n))
#define FIELD(hi, lo) ((BIT((hi) - (lo) + 1) - 1) << (lo))

#define V1_PR          BIT(0)
#define V1_A           BIT(5)
#define V1_D           BIT(6) /* leaf */
#define V1_NEXT_LEVEL  FIELD(11, 9)
#define V1_ADDRESS     FIELD(51, 12)
#define V1_U           BIT(59)
#define V1_FC          BIT(60)
#define V1_IR          BIT(61)
#define V1_IW          BIT(62)
#define V1_IGNORED     (FIELD(4, 1) | FIELD(8, 7) | BIT(63))
#define V1_LEAF_RSVD   FIELD(58, 52)
#define V1_TABLE_RSVD  FIELD(60, 52)
#define NEXT_LEAF      0u
#define NEXT_LEAF_SIZE 7u

#define USER(p) ((uint8_t)((p) << MODEL_USER_SHIFT))
#define BOTH(p) ((uint8_t)((p) | USER(p)))

/* The specification's levels 1 to 6 from ours, 3 to -2. */
static unsigned v1_level(int level)
{
    return (unsigned)(4 - level);
}

static uint8_t v1_shift(const struct model_walk_cfg *cfg, int level)
{
    (void)cfg;
    return (uint8_t)(12 + 9 * (v1_level(level) - 1)); /* table 15 */
}

static const char *v1_check(const struct model_walk_cfg *cfg)
{
    unsigned bits;

    if (cfg->stage != 2)
        return "stage is not 2";
    if (cfg->start_level < MODEL_FIRST_LEVEL || cfg->start_level > MODEL_LAST_LEVEL)
        return "mode is not 1 to 6";
    bits = v1_shift(cfg, cfg->start_level) + 9u;
    if (cfg->ia_bits != (bits < 64 ? bits : 64))
        return "input size is not that of the mode: 21, 30, 39, 48, 57 or 64 bits";
    if (cfg->oa_bits < 32 || cfg->oa_bits > 52)
        return "output size is not 32 to 52 bits";
    if (cfg->hd && !cfg->ha)
        return "dirty bits without accessed bits";
    if (cfg->root & 0xfff)
        return "root is not aligned to 4K";
    return NULL;
}

static uint8_t rights(uint64_t raw)
{
    uint8_t p = 0;

    if (raw & V1_IR)
        p |= BOTH(MODEL_R | MODEL_X);
    if (raw & V1_IW)
        p |= BOTH(MODEL_W);
    return p;
}

/* Table 14: the lowest zero of the address, from bit 12, is half of the size. */
static uint8_t encoded_shift(uint64_t raw)
{
    uint8_t zero = 12;

    while (zero < 52 && raw >> zero & 1)
        zero++;
    return (uint8_t)(zero + 1);
}

static void leaf(const struct model_walk_cfg *cfg, int level, uint64_t raw, unsigned next,
                 struct model_desc *out)
{
    uint64_t address = raw & V1_ADDRESS;

    out->kind = MODEL_DESC_LEAF;
    out->reserved = (raw & V1_LEAF_RSVD) || level == MODEL_FIRST_LEVEL; /* none at level 6 */
    if (next != NEXT_LEAF && next != NEXT_LEAF_SIZE)
        out->reserved = true; /* a table below level 1 */
    if (next == NEXT_LEAF_SIZE) {
        out->whole = true;
        out->span_shift = encoded_shift(raw);
        /* More than the level's own size, less than that of the level above, in 52 bits. */
        if (out->span_shift <= out->shift || out->span_shift >= out->shift + 9 ||
            out->span_shift > 52) {
            out->reserved = true;
            out->span_shift = out->shift;
        }
        out->pa = address & ~(BIT(out->span_shift) - 1);
    } else {
        out->pa = address & ~(BIT(out->shift) - 1);
        out->reserved |= address != out->pa;
    }
    out->reserved |= out->pa >> cfg->oa_bits != 0;
    out->attr = (raw & V1_U ? 1u : 0) | (raw & V1_FC ? 2u : 0);
    out->memtype = MODEL_MT_AS_S1;
    out->perms = rights(raw);
    out->global = true; /* no PASID in these tables */
    out->clean = cfg->hd && (raw & V1_IW) && !(raw & V1_D);
    out->dirty = cfg->hd && (raw & V1_D);
}

static void v1_decode(const struct model_walk_cfg *cfg, int level, uint64_t raw,
                      struct model_desc *out)
{
    unsigned next = (unsigned)((raw & V1_NEXT_LEVEL) >> 9);

    memset(out, 0, sizeof(*out));
    out->shift = out->span_shift = v1_shift(cfg, level);
    if (!(raw & V1_PR))
        return;
    out->af = !cfg->ha || (raw & V1_A);
    if (next == NEXT_LEAF || next == NEXT_LEAF_SIZE || level == MODEL_LAST_LEVEL) {
        leaf(cfg, level, raw, next, out);
        return;
    }
    out->kind = MODEL_DESC_TABLE;
    out->pa = raw & V1_ADDRESS;
    out->limit = rights(raw);
    out->next_level = (int16_t)(4 - (int)next);
    out->reserved = (raw & V1_TABLE_RSVD) || out->pa >> cfg->oa_bits != 0;
    if (next >= v1_level(level)) {
        out->reserved = true; /* upward, or in a circle */
        out->next_level = (int16_t)(level + 1);
    }
}

static uint64_t v1_set_af(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | V1_A;
}

static uint64_t v1_set_dirty(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | V1_D;
}

static uint8_t v1_set_shift(const struct model_walk_cfg *cfg, int level)
{
    return (uint8_t)(v1_shift(cfg, level) + (level == MODEL_FIRST_LEVEL ? 0 : 8));
}

static uint64_t v1_live_mask(const struct model_walk_cfg *cfg)
{
    (void)cfg;
    return V1_IR | V1_IW | V1_A | V1_D | V1_IGNORED;
}

static uint64_t v1_hw_mask(const struct model_walk_cfg *cfg)
{
    return (cfg->ha ? V1_A : 0) | (cfg->hd ? V1_D : 0);
}

const struct model_format model_amdv1 = {
    .name = "amd-v1",
    .reserved_faults = true,
    .one_store = true,
    .check = v1_check,
    .shift = v1_shift,
    .decode = v1_decode,
    .set_af = v1_set_af,
    .set_dirty = v1_set_dirty,
    .set_shift = v1_set_shift,
    .live_mask = v1_live_mask,
    .hw_mask = v1_hw_mask,
    .live = model_live_one_store,
};
