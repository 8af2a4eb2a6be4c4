/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMSAv8-64 descriptors, granules of 4, 16 and 64 KiB, from Arm ARM DDI0487 chapter D8: D8.2
 * (translation process, start levels, concatenated tables), D8.3 (descriptor formats), D8.4
 * (permissions), D8.5 (access flag, dirty state), D8.6 (memory attributes), D8.7.1 (contiguous bit),
 * and break-before-make with its levels (D8.16 in current issues). The SMMU uses the same formats
 * (SMMUv3 IHI0070 3.4, 3.21.1).
 *
 * Addresses of more than 48 bits: with 4K and 16K in the form of DS = 1 (FEAT_LPA2: bits 49:48 of an
 * address in place, 51:50 in bits 9:8, where the shareability was), with 64K in that of FEAT_LPA
 * (bits 51:48 in 15:12).
 */
#include "walk.h"

#include <stddef.h>
#include <string.h>

/* D8.3.1, D8.3.2: descriptor fields */
#define BIT(n)        ((uint64_t)1 << (n))
#define FIELD(hi, lo) ((BIT((hi) - (lo) + 1) - 1) << (lo))
#define DESC_VALID    BIT(0)
#define DESC_TABLE    BIT(1) /* table at levels 0 to 2, page at level 3 */
#define DESC_SH       FIELD(9, 8)
#define DESC_AF       BIT(10)
#define DESC_NT       BIT(16) /* block only */
#define DESC_DBM      BIT(51)
#define DESC_CONTIG   BIT(52)
#define DESC_SOFTWARE FIELD(58, 55)
#define DESC_OA       FIELD(47, 12)
#define DESC_OA_DS    FIELD(49, 12)
#define DESC_OA_51_50 FIELD(9, 8)   /* with DS */
#define DESC_OA_51_48 FIELD(15, 12) /* 64K, 52 bits */
#define DESC_RES0_OA  FIELD(49, 48)
/* stage 1 */
#define S1_ATTRINDX       FIELD(4, 2)
#define S1_NS             BIT(5)
#define S1_AP1_USER       BIT(6)
#define S1_AP2_RO         BIT(7)
#define S1_NG             BIT(11)
#define S1_PXN            BIT(53)
#define S1_UXN            BIT(54) /* XN in a regime of one privilege level */
#define S1_PXNTABLE       BIT(59)
#define S1_UXNTABLE       BIT(60)
#define S1_APTABLE_NOUSER BIT(61)
#define S1_APTABLE_RO     BIT(62)
/* stage 2 */
#define S2_MEMATTR    FIELD(5, 2)
#define S2_R          BIT(6)
#define S2_W          BIT(7)
#define S2_RES0       (BIT(11) | BIT(50))
#define S2_XN0        BIT(53)
#define S2_XN1        BIT(54)
#define S2_TABLE_RES0 FIELD(63, 59)

#define PRIV(p) ((uint8_t)(p))
#define USER(p) ((uint8_t)((p) << MODEL_USER_SHIFT))
#define BOTH(p) ((uint8_t)(PRIV(p) | USER(p)))

static uint8_t granule(const struct model_walk_cfg *cfg)
{
    return model_table_shift(cfg);
}

static uint8_t arm_shift(const struct model_walk_cfg *cfg, int level)
{
    /* D8.2.8 to D8.2.10: 4K 48, 39, 30, 21, 12; 16K 47, 36, 25, 14; 64K 42, 29, 16 */
    return (uint8_t)(granule(cfg) + (granule(cfg) - 3) * (MODEL_LAST_LEVEL - level));
}

static bool wide_64k(const struct model_walk_cfg *cfg)
{
    return granule(cfg) == 16 && cfg->oa_bits == 52;
}

static const char *check_sizes(const struct model_walk_cfg *cfg)
{
    bool wide = cfg->ds || granule(cfg) == 16;

    if (granule(cfg) != 12 && granule(cfg) != 14 && granule(cfg) != 16)
        return "granule is not 4, 16 or 64 KiB";
    if (cfg->ds && granule(cfg) == 16)
        return "DS is for 4K and 16K";
    if (cfg->oa_bits < 32 || cfg->oa_bits > (wide ? 52 : 48))
        return "output size is not 32 to 48 bits, 52 with DS or 64K";
    if (cfg->ia_bits < 16 || cfg->ia_bits > (wide ? 52 : 48))
        return "input size is not 16 to 48 bits, 52 with DS or 64K";
    return NULL;
}

/* D8.2.8 to D8.2.10: which levels a walk may start from. */
static const char *check_start(const struct model_walk_cfg *cfg)
{
    int first = granule(cfg) == 16 ? 1 : granule(cfg) == 12 && cfg->ds ? -1 : 0;

    if (cfg->start_level < first || cfg->start_level > MODEL_LAST_LEVEL)
        return "start level is not one of the granule's";
    if (cfg->stage == 1)
        return NULL;
    if (granule(cfg) == 14 && cfg->start_level == 0 && !cfg->ds)
        return "stage 2 of 16K starts at level 0 without DS";
    if (granule(cfg) == 12 && cfg->start_level == 0 && cfg->oa_bits < 44)
        return "stage 2 starts at level 0 with less than 44 output bits";
    if (granule(cfg) == 14 && cfg->start_level == 1 && cfg->oa_bits <= 40)
        return "stage 2 of 16K starts at level 1 with no more than 40 output bits";
    if (granule(cfg) == 16 && cfg->start_level == 1 && cfg->oa_bits <= 42)
        return "stage 2 of 64K starts at level 1 with no more than 42 output bits";
    return NULL;
}

static const char *arm_check(const struct model_walk_cfg *cfg)
{
    unsigned shift, least, most, size;
    const char *wrong;

    if (cfg->stage != 1 && cfg->stage != 2)
        return "stage is neither 1 nor 2";
    if (cfg->hd && !cfg->ha)
        return "hardware dirty state without hardware access flag";
    wrong = check_sizes(cfg);
    if (!wrong)
        wrong = check_start(cfg);
    if (wrong)
        return wrong;
    /*
     * Stage 1: the start level follows from the input size alone (D8.2.8). Stage 2: SL0 and SL2
     * choose it, and up to 16 start tables are concatenated (D8.2.9), though not above level 0; a
     * start level and size that do not fit each other are a level 0 translation fault.
     */
    shift = arm_shift(cfg, cfg->start_level);
    least = shift + 1;
    most = shift + granule(cfg) - 3u + (cfg->stage == 2 && cfg->start_level >= 0 ? 4 : 0);
    if (cfg->ia_bits < least || cfg->ia_bits > most)
        return "start level does not fit the input size";
    size = cfg->ia_bits - shift + 3; /* log2 of the start tables' bytes */
    if (size < 6)
        size = 6;
    if (cfg->root & (BIT(size) - 1))
        return "root is not aligned to its size";
    return NULL;
}

/* D8.3: the address in a descriptor, down to bit `low`. */
static uint64_t address(const struct model_walk_cfg *cfg, uint64_t raw, unsigned low)
{
    uint64_t pa = raw & (cfg->ds ? DESC_OA_DS : DESC_OA) & ~(BIT(low) - 1);

    if (cfg->ds)
        pa |= (raw & DESC_OA_51_50) << (50 - 8);
    if (wide_64k(cfg))
        pa |= (raw & DESC_OA_51_48) << (48 - 12);
    return pa;
}

/* Its bits that must be zero. */
static uint64_t address_res0(const struct model_walk_cfg *cfg, unsigned low)
{
    uint64_t res0 = DESC_OA & (BIT(low) - 1);

    if (!cfg->ds)
        res0 |= DESC_RES0_OA;
    if (wide_64k(cfg))
        res0 &= ~DESC_OA_51_48;
    return res0;
}

/* D8.3.1: levels that have blocks. */
static bool block_level(const struct model_walk_cfg *cfg, int level)
{
    if (level == 2)
        return true;
    switch (granule(cfg)) {
    case 12:
        return level == 1 || (level == 0 && cfg->ds);
    case 14:
        return level == 1 && cfg->ds;
    default:
        return level == 1 && cfg->oa_bits == 52;
    }
}

/* D8.7.1: log2 of the entries of a contiguous set; 0: the level has none. */
static uint8_t contiguous(const struct model_walk_cfg *cfg, int level)
{
    switch (granule(cfg)) {
    case 12:
        return level >= 1 ? 4 : 0;
    case 14:
        return level == 3 ? 7 : level == 2 ? 5 : 0;
    default:
        return level >= 2 ? 5 : 0;
    }
}

/* D8.6.1: what a MAIR byte means. */
static enum model_memtype mair_type(uint8_t byte)
{
    uint8_t outer = byte >> 4, inner = byte & 15;

    if (outer == 0)
        return (inner & 3) == 0 ? MODEL_MT_DEVICE : MODEL_MT_RESERVED;
    if (inner == 0)
        return MODEL_MT_RESERVED;
    if (outer == 4 && inner == 4)
        return MODEL_MT_NC;
    if ((outer & 4) != 0 && outer != 4 && (inner & 4) != 0 && inner != 4)
        return MODEL_MT_WB;
    return MODEL_MT_WT;
}

/* D8.6.6, and D8.6.8 with FWB. */
static enum model_memtype s2_type(const struct model_walk_cfg *cfg, uint64_t raw)
{
    unsigned attr = (unsigned)((raw & S2_MEMATTR) >> 2);

    if (cfg->fwb) {
        if (attr & 8)
            return MODEL_MT_RESERVED;
        if (!(attr & 4))
            return MODEL_MT_DEVICE;
        switch (attr & 3) {
        case 1:
            return MODEL_MT_NC;
        case 2:
            return MODEL_MT_WB;
        case 3:
            return MODEL_MT_AS_S1;
        default:
            return MODEL_MT_RESERVED;
        }
    }
    if ((attr & 12) == 0)
        return MODEL_MT_DEVICE;
    if ((attr & 3) == 0)
        return MODEL_MT_RESERVED;
    if ((attr >> 2) == 1 && (attr & 3) == 1)
        return MODEL_MT_NC;
    return (attr >> 2) == 3 && (attr & 3) == 3 ? MODEL_MT_WB : MODEL_MT_WT;
}

/* D8.4.1: direct permissions of stage 1. */
static uint8_t s1_perms(const struct model_walk_cfg *cfg, uint64_t raw, bool writable)
{
    uint8_t p = PRIV(MODEL_R);

    if (writable)
        p |= PRIV(MODEL_W);
    if (!cfg->two_priv) {
        if (!(raw & S1_UXN))
            p |= PRIV(MODEL_X);
        return p;
    }
    if (raw & S1_AP1_USER) {
        p |= USER(MODEL_R);
        if (writable)
            p |= USER(MODEL_W);
    }
    if (!(raw & S1_UXN))
        p |= USER(MODEL_X);
    /* What EL0 can write is never executable at EL1. */
    if (!(raw & S1_PXN) && !(p & USER(MODEL_W)))
        p |= PRIV(MODEL_X);
    return p;
}

/* D8.4.2: stage 2; XN[1:0] with FEAT_XNX: 00 all, 01 EL0 only, 10 none, 11 EL1 only. */
static uint8_t s2_perms(const struct model_walk_cfg *cfg, uint64_t raw, bool writable)
{
    uint8_t p = 0;
    bool xn0 = cfg->xnx && (raw & S2_XN0), xn1 = (raw & S2_XN1) != 0;

    if (raw & S2_R)
        p |= BOTH(MODEL_R);
    if (writable)
        p |= BOTH(MODEL_W);
    if (xn0 == xn1)
        p |= PRIV(MODEL_X);
    if (!xn1)
        p |= USER(MODEL_X);
    return p;
}

static void leaf(const struct model_walk_cfg *cfg, int level, uint64_t raw, struct model_desc *out)
{
    uint64_t res0 = address_res0(cfg, out->shift);
    uint64_t sh = cfg->ds ? 0 : DESC_SH; /* with DS the registers say it for all */
    bool managed = cfg->hd && (raw & DESC_DBM);
    bool writable;

    out->kind = MODEL_DESC_LEAF;
    out->pa = address(cfg, raw, out->shift);
    out->af = (raw & DESC_AF) != 0;
    out->contig = contiguous(cfg, level) && (raw & DESC_CONTIG);
    if (out->contig)
        out->span_shift = (uint8_t)(out->shift + contiguous(cfg, level));
    if (level < 3) {
        out->nt = cfg->bbm == 1 && (raw & DESC_NT); /* level 2 ignores it, level 0 has none */
        if (cfg->bbm > 0)
            res0 &= ~DESC_NT;
    }
    if (cfg->stage == 1) {
        uint8_t index = (uint8_t)((raw & S1_ATTRINDX) >> 2);

        writable = !(raw & S1_AP2_RO);
        out->clean = managed && !writable;
        out->attr = (uint32_t)(raw & (S1_ATTRINDX | S1_NS | sh));
        out->memtype = mair_type((uint8_t)(cfg->mair >> (8 * index)));
        out->global = !(raw & S1_NG);
        out->perms = s1_perms(cfg, raw, writable || out->clean);
    } else {
        writable = (raw & S2_W) != 0;
        out->clean = managed && !writable;
        out->attr = (uint32_t)(raw & (S2_MEMATTR | sh));
        out->memtype = s2_type(cfg, raw);
        out->global = true; /* no ASID at stage 2 */
        out->perms = s2_perms(cfg, raw, writable || out->clean);
        res0 |= S2_RES0;
        if (!cfg->xnx)
            res0 |= S2_XN0;
    }
    out->dirty = managed && writable;
    out->reserved = (raw & res0) || out->memtype == MODEL_MT_RESERVED;
}

static void table(const struct model_walk_cfg *cfg, int level, uint64_t raw, struct model_desc *out)
{
    out->kind = MODEL_DESC_TABLE;
    out->pa = address(cfg, raw, granule(cfg));
    out->limit = MODEL_RWX_ALL;
    out->next_level = (int16_t)(level + 1);
    out->af = true; /* no flag in table descriptors */
    out->reserved =
        (raw & address_res0(cfg, granule(cfg))) || (cfg->stage == 2 && (raw & S2_TABLE_RES0));
    if (cfg->stage == 2 || cfg->hpd)
        return;
    if (raw & S1_APTABLE_RO)
        out->limit &= (uint8_t)~BOTH(MODEL_W);
    if (cfg->two_priv && (raw & S1_APTABLE_NOUSER))
        out->limit &= (uint8_t)~USER(MODEL_R | MODEL_W);
    if (raw & S1_UXNTABLE)
        out->limit &= (uint8_t) ~(cfg->two_priv ? USER(MODEL_X) : PRIV(MODEL_X));
    if (cfg->two_priv && (raw & S1_PXNTABLE))
        out->limit &= (uint8_t)~PRIV(MODEL_X);
}

static void arm_decode(const struct model_walk_cfg *cfg, int level, uint64_t raw,
                       struct model_desc *out)
{
    memset(out, 0, sizeof(*out));
    out->shift = out->span_shift = arm_shift(cfg, level);
    if (!(raw & DESC_VALID))
        return;
    if (level == 3) {
        if (!(raw & DESC_TABLE))
            return; /* 0b01 is reserved at level 3 */
        leaf(cfg, level, raw, out);
    } else if (raw & DESC_TABLE) {
        table(cfg, level, raw, out);
    } else {
        if (!block_level(cfg, level))
            return;
        leaf(cfg, level, raw, out);
    }
    out->address_size = out->pa >> cfg->oa_bits != 0;
}

static uint64_t arm_set_af(const struct model_walk_cfg *cfg, uint64_t raw)
{
    (void)cfg;
    return raw | DESC_AF;
}

static uint64_t arm_set_dirty(const struct model_walk_cfg *cfg, uint64_t raw)
{
    return cfg->stage == 1 ? raw & ~S1_AP2_RO : raw | S2_W;
}

/*
 * Changes of permission, access flag, dirty management and software bits need no
 * break-before-make; a new memory type, shareability, output address, size or a step from
 * non-global to global does (the last one is the caller's to check: it depends on direction).
 */
static uint8_t arm_set_shift(const struct model_walk_cfg *cfg, int level)
{
    return (uint8_t)(arm_shift(cfg, level) + (cfg->contig ? contiguous(cfg, level) : 0));
}

static uint64_t arm_live_mask(const struct model_walk_cfg *cfg)
{
    uint64_t common = DESC_AF | DESC_DBM | DESC_SOFTWARE;

    if (cfg->stage == 1)
        return common | S1_AP1_USER | S1_AP2_RO | S1_NG | S1_PXN | S1_UXN;
    return common | S2_R | S2_W | S2_XN1 | (cfg->xnx ? S2_XN0 : 0);
}

static uint64_t arm_hw_mask(const struct model_walk_cfg *cfg)
{
    uint64_t mask = cfg->ha ? DESC_AF : 0;

    if (cfg->hd)
        mask |= cfg->stage == 1 ? S1_AP2_RO : S2_W;
    return mask;
}

/*
 * D8.16: between two translations that a walker can hold at once, output address, memory type,
 * shareability and globalness are the same; the size only if the level permits.
 */
static enum model_verdict arm_live(const struct model_walk_cfg *cfg, const struct model_leaf *had,
                                   const struct model_leaf *has)
{
    if (had->oa - had->ia != has->oa - has->ia || had->attr != has->attr ||
        (!had->global && has->global))
        return MODEL_V_BBM_SKIPPED;
    if (had->shift == has->shift || cfg->bbm >= 2)
        return MODEL_V_OK;
    if (cfg->bbm == 1 && (had->level == has->level || had->nt || has->nt))
        return MODEL_V_OK; /* the contiguous bit alone, or a block that is not cached */
    return MODEL_V_SIZE_NEEDS_BBM;
}

const struct model_format model_arm = {
    .name = "arm",
    .check = arm_check,
    .shift = arm_shift,
    .decode = arm_decode,
    .set_af = arm_set_af,
    .set_dirty = arm_set_dirty,
    .set_shift = arm_set_shift,
    .live_mask = arm_live_mask,
    .hw_mask = arm_hw_mask,
    .live = arm_live,
};
