/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each invalidation removes, and no more than it must:
 * - Arm: DDI0487 D8.17; SMMUv3 IHI0070 4.4
 * - x86: Intel SDM 325384 volume 3, 4.10.4.1 (INVLPG, INVPCID, MOV to CR3), 29.4.3 (INVEPT, INVVPID)
 * - VT-d: 6.5.2.3 (IOTLB), 6.5.2.4 (PASID-based IOTLB)
 * - AMD IOMMU: 48882, 2.4.3 (INVALIDATE_IOMMU_PAGES)
 * - RISC-V: volume II, SFENCE.VMA and HFENCE.GVMA; IOMMU, 3.1.1 (IOTINVAL)
 */
#include "tlb.h"

#define PAGE_BITS 12u

/* Does [ia, ia + len), or the single address, touch the entry? */
static bool overlaps(const struct model_inv *inv, const struct model_key *key)
{
    uint64_t last = inv->ia + (inv->len ? inv->len - 1 : 0);
    uint64_t key_last = key->ia + (((uint64_t)1 << key->shift) - 1);

    return inv->ia <= key_last && key->ia <= last;
}

/* Is the entry of a stage that the invalidation is about? Combined entries belong to stage 1, and
 * to stage 2 if the architecture says so. */
static enum model_verdict match_stage(const struct model_inv *inv, const struct model_key *key)
{
    if (inv->kind == MODEL_INV_S1_ADDR)
        return key->stage == MODEL_STAGE_2 ? MODEL_V_STALE : MODEL_V_OK;
    if (key->stage == MODEL_STAGE_2 || (key->stage == MODEL_STAGE_COMBINED && inv->combined))
        return MODEL_V_OK;
    return key->stage == MODEL_STAGE_COMBINED ? MODEL_V_WRONG_STAGE : MODEL_V_STALE;
}

static bool match_asid(const struct model_inv *inv, const struct model_key *key)
{
    if (key->global)
        return !inv->spare_global;
    return inv->any_asid || key->asid == inv->asid;
}

static enum model_verdict match_address(const struct model_inv *inv, const struct model_key *key)
{
    enum model_verdict v;

    if (!overlaps(inv, key))
        return MODEL_V_STALE;
    if (key->vmid != inv->vmid)
        return MODEL_V_WRONG_VMID;
    v = match_stage(inv, key);
    if (v != MODEL_V_OK)
        return v;
    if (inv->kind == MODEL_INV_S1_ADDR && !match_asid(inv, key))
        return MODEL_V_WRONG_ASID;
    if (key->table && inv->leaf_only)
        return MODEL_V_LEAF_ONLY;
    if (inv->level_hint) {
        if (key->table ? key->level >= inv->level_hint : key->level != inv->level_hint)
            return MODEL_V_HINT_EARLY;
        if (inv->len && inv->hint_shift && (inv->ia & (((uint64_t)1 << inv->hint_shift) - 1)))
            return MODEL_V_HINT_EARLY;
    }
    return MODEL_V_OK;
}

/* One page's leaves of this PCID and the global ones; every pointer of this PCID, wherever. */
static enum model_verdict match_invlpg(const struct model_inv *inv, const struct model_key *key)
{
    if (!key->table && !overlaps(inv, key))
        return MODEL_V_STALE;
    if (key->vmid != inv->vmid)
        return MODEL_V_WRONG_VMID;
    if (key->stage == MODEL_STAGE_2)
        return MODEL_V_WRONG_STAGE;
    if (key->asid == inv->asid || (key->global && !key->table))
        return MODEL_V_OK;
    return MODEL_V_WRONG_ASID;
}

static enum model_verdict match_vmid(const struct model_inv *inv, const struct model_key *key)
{
    return key->vmid == inv->vmid ? MODEL_V_OK : MODEL_V_WRONG_VMID;
}

enum model_verdict model_inv_match(const struct model_inv *inv, const struct model_key *key)
{
    switch (inv->kind) {
    case MODEL_INV_ALL:
        return MODEL_V_OK;
    case MODEL_INV_VMID:
        return match_vmid(inv, key);
    case MODEL_INV_S1_VMID:
        return key->stage == MODEL_STAGE_2 ? MODEL_V_STALE : match_vmid(inv, key);
    case MODEL_INV_S2_VMID:
        return key->stage == MODEL_STAGE_1 ? MODEL_V_STALE : match_vmid(inv, key);
    case MODEL_INV_S1_ASID:
        if (key->stage == MODEL_STAGE_2)
            return MODEL_V_STALE;
        if (key->vmid != inv->vmid)
            return MODEL_V_WRONG_VMID;
        /* Global entries belong to no ASID. */
        if (key->global)
            return MODEL_V_STALE;
        return key->asid == inv->asid ? MODEL_V_OK : MODEL_V_WRONG_ASID;
    case MODEL_INV_INVLPG:
        return match_invlpg(inv, key);
    default:
        return match_address(inv, key);
    }
}

static struct model_inv by_address(enum model_inv_kind kind, uint16_t vmid, uint64_t ia,
                                   uint64_t len, bool leaf_only)
{
    return (struct model_inv){
        .kind = kind,
        .ia = ia,
        .len = len,
        .vmid = vmid,
        .leaf_only = leaf_only,
    };
}

static void set_hint(struct model_inv *inv, uint8_t level, uint8_t granule)
{
    inv->level_hint = level;
    if (level > 0 && level <= 3)
        inv->hint_shift = (uint8_t)(granule + (granule - 3u) * (3u - level));
}

struct model_inv model_inv_s2(uint16_t vmid, uint64_t ia, uint64_t len, uint8_t level_hint,
                              bool leaf_only)
{
    struct model_inv inv = by_address(MODEL_INV_S2_ADDR, vmid, ia, len, leaf_only);

    set_hint(&inv, level_hint, PAGE_BITS);
    return inv;
}

struct model_inv model_inv_s1(uint16_t vmid, uint16_t asid, uint64_t ia, uint64_t len,
                              uint8_t level_hint, bool leaf_only)
{
    struct model_inv inv = by_address(MODEL_INV_S1_ADDR, vmid, ia, len, leaf_only);

    inv.asid = asid;
    set_hint(&inv, level_hint, PAGE_BITS);
    return inv;
}

void model_inv_granule(struct model_inv *inv, uint8_t granule)
{
    set_hint(inv, inv->level_hint, granule);
}

struct model_inv model_inv_invlpg(uint16_t vmid, uint16_t pcid, uint64_t ia)
{
    struct model_inv inv = by_address(MODEL_INV_INVLPG, vmid, ia, 0, false);

    inv.asid = pcid;
    return inv;
}

struct model_inv model_inv_vtd_page(uint16_t did, uint64_t ia, uint8_t am, bool ih)
{
    uint64_t len = (uint64_t)1 << (PAGE_BITS + am);
    struct model_inv inv = by_address(MODEL_INV_S2_ADDR, did, ia & ~(len - 1), len, ih);

    inv.combined = true;
    return inv;
}

struct model_inv model_inv_vtd_pasid_page(uint16_t did, uint16_t pasid, uint64_t ia, uint8_t am,
                                          bool ih)
{
    uint64_t len = (uint64_t)1 << (PAGE_BITS + am);
    struct model_inv inv = by_address(MODEL_INV_S1_ADDR, did, ia & ~(len - 1), len, ih);

    inv.asid = pasid;
    return inv;
}

struct model_inv model_inv_amd_pages(uint16_t domain, uint64_t address, bool s, bool pde)
{
    uint8_t zero = PAGE_BITS;
    struct model_inv inv;

    while (s && zero < 63 && address >> zero & 1)
        zero++;
    if (s && zero == 63) {
        inv = by_address(MODEL_INV_S2_ADDR, domain, 0, UINT64_MAX, !pde);
    } else {
        uint64_t len = (uint64_t)1 << (s ? zero + 1u : PAGE_BITS);

        inv = by_address(MODEL_INV_S2_ADDR, domain, address & ~(len - 1), len, !pde);
    }
    inv.combined = true;
    return inv;
}

struct model_inv model_inv_riscv_vma(uint16_t vmid, uint16_t asid, bool any_asid, uint64_t va)
{
    struct model_inv inv = by_address(MODEL_INV_S1_ADDR, vmid, va, 0, true);

    inv.asid = asid;
    inv.any_asid = any_asid;
    inv.spare_global = !any_asid;
    return inv;
}

struct model_inv model_inv_riscv_gvma(uint16_t vmid, uint64_t gpa)
{
    struct model_inv inv = by_address(MODEL_INV_S2_ADDR, vmid, gpa, 0, true);

    inv.combined = true;
    return inv;
}
