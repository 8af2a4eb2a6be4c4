/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake SMMU's translation path. Bit positions are IHI0070's, written as numbers on purpose. */
#include "tests/lib_smmu_fake_int.h"

/* ---- transactions ---- */

static void record(struct smmu_fake *f, const uint64_t w[4])
{
    uint32_t log2 = (uint32_t)bits(f->evtq, 4, 0), mask = (2u << log2) - 1, half = 1u << log2;
    if (!(f->cr0ack & 4)) {
        return;
    }
    if (((f->evt_prod ^ f->evt_cons) & mask) == half) {
        if (((f->evt_prod ^ f->evt_cons) & 1u << 31) == 0) {
            f->evt_prod ^= 1u << 31; /* overflow, once until it is acknowledged */
        }
        return;
    }
    uint64_t at = (f->evtq & 0x000fffffffffffe0u) + 32 * (uint64_t)(f->evt_prod & (half - 1));
    for (unsigned i = 0; i < 4; i++) {
        model_phys_write64(&f->phys, at + 8 * i, w[i]);
    }
    f->evt_prod = (f->evt_prod & 1u << 31) | ((f->evt_prod + 1) & mask);
}

void fake_event(struct smmu_fake *f, const uint64_t w[4])
{
    port_lock(&f->lock);
    record(f, w);
    port_unlock(&f->lock);
}

static bool refuse(struct smmu_fake *f, unsigned type, uint32_t sid, bool write, bool s2,
                   uint64_t addr)
{
    uint64_t w[4] = { type | (uint64_t)sid << 32, 0, 0, 0 };
    if (type >= 0x10) {
        w[1] = (uint64_t)!write << 35 | (uint64_t)s2 << 39 | (uint64_t)2 << 40;
        w[2] = addr;
        w[3] = s2 ? addr & ~(uint64_t)0xfff : 0;
    }
    record(f, w);
    return false;
}

/* The level-1 descriptor and the entry come from the cache if they were ever read. -1: no entry. */
static int fetch(struct smmu_fake *f, uint32_t sid)
{
    int slot = -1;
    for (unsigned i = 0; i < FAKE_CACHE; i++) {
        if (f->cfg[i].used && f->cfg[i].sid == sid) {
            return (int)i;
        }
        if (!f->cfg[i].used && slot < 0) {
            slot = (int)i;
        }
    }
    uint64_t at = (f->strtab & 0x000fffffffffffc0u) + 64 * (uint64_t)sid;
    if (sid >> bits(f->strtab_cfg, 5, 0)) {
        return -1;
    }
    if (bits(f->strtab_cfg, 17, 16) == 1) {
        unsigned split = (unsigned)bits(f->strtab_cfg, 10, 6);
        uint32_t index = sid >> split;
        uint64_t desc = 0;
        int free_l1 = -1, hit = -1;
        for (unsigned i = 0; i < FAKE_CACHE; i++) {
            if (f->l1[i].used && f->l1[i].index == index) {
                hit = (int)i;
            } else if (!f->l1[i].used) {
                free_l1 = (int)i;
            }
        }
        if (hit >= 0) {
            desc = f->l1[hit].desc;
        } else {
            desc = fake_mem64(f, (f->strtab & 0x000fffffffffffc0u) + 8 * (uint64_t)index);
            if (free_l1 >= 0) {
                f->l1[free_l1].used = true;
                f->l1[free_l1].stale = false;
                f->l1[free_l1].index = index;
                f->l1[free_l1].desc = desc;
            }
        }
        uint64_t span = bits(desc, 4, 0), l2 = sid & ((1u << split) - 1);
        if (span == 0 || l2 >> (span - 1)) {
            return -1;
        }
        at = (desc & 0x000fffffffffffc0u) + 64 * l2;
    }
    if (slot < 0) {
        slot = 0;
    }
    f->cfg[slot].used = true;
    f->cfg[slot].stale = false;
    f->cfg[slot].cd_read = false;
    f->cfg[slot].sid = sid;
    for (unsigned i = 0; i < 8; i++) {
        f->cfg[slot].ste[i] = fake_mem64(f, at + 8 * i);
    }
    return slot;
}

static const uint8_t sizes[8] = { 32, 36, 40, 42, 44, 48, 52, 52 };

/* The descriptor of a transaction with a PASID: cached like an entry, valid or not. */
static const uint64_t *pasid_cd(struct smmu_fake *f, int slot, const struct fake_ste *e,
                                uint32_t ssid)
{
    unsigned at = 0;
    for (unsigned i = 0; i < FAKE_CACHE; i++) {
        if (f->cds[i].used && f->cds[i].sid == f->cfg[slot].sid && f->cds[i].ssid == ssid) {
            return f->cds[i].cd;
        }
        at = f->cds[i].used ? at : i;
    }
    f->cds[at].used = true;
    f->cds[at].stale = false;
    f->cds[at].sid = f->cfg[slot].sid;
    f->cds[at].ssid = ssid;
    for (unsigned i = 0; i < 8; i++) {
        f->cds[at].cd[i] = fake_mem64(f, e->cd + 64 * (uint64_t)ssid + 8 * i);
    }
    return f->cds[at].cd;
}

/* NULL: no descriptor for it (5.2: S1CDMax, S1Fmt, S1DSS). */
static const uint64_t *cd_of(struct smmu_fake *f, int slot, const struct fake_ste *e, int pasid)
{
    uint64_t max = bits(f->cfg[slot].ste[0], 63, 59), dss = bits(f->cfg[slot].ste[1], 1, 0);
    if (max > bits(f->idr1, 10, 6) || (max != 0 && (dss == 1 || dss == 3)) ||
        (max != 0 && bits(f->cfg[slot].ste[0], 5, 4) != 0)) {
        fake_wrong(f, "a table of descriptors of another shape");
        return NULL;
    }
    if (pasid >= 0) {
        return max == 0 || (uint32_t)pasid >> max ? NULL : pasid_cd(f, slot, e, (uint32_t)pasid);
    }
    if (max != 0 && dss == 0) {
        return NULL;
    }
    if (!f->cfg[slot].cd_read) {
        for (unsigned i = 0; i < 8; i++) {
            f->cfg[slot].cd[i] = fake_mem64(f, e->cd + 8 * i);
        }
        f->cfg[slot].cd_read = true;
        f->cfg[slot].cd_stale = false;
    }
    return f->cfg[slot].cd;
}

static bool stage1_ctx(struct smmu_fake *f, const uint64_t *w, const struct fake_ste *e,
                       struct model_ctx *c)
{
    /* V, AA64, little-endian, second table off, A where TERM_MODEL = 1, no stall */
    if (!(w[0] >> 31 & 1) || !(w[0] >> 41 & 1) || (w[0] >> 15 & 1) || !(w[0] >> 30 & 1) ||
        !(w[0] >> 46 & 1) || (w[0] >> 44 & 1) || bits(w[0], 7, 6) != 0) {
        return false;
    }
    uint8_t ia = (uint8_t)(64 - bits(w[0], 5, 0));
    *c = (struct model_ctx){
        .walk = { .fmt = &model_arm,
                  .stage = 1,
                  .root = w[1] & 0x000ffffffffffff0u,
                  .mair = w[3],
                  .ia_bits = ia,
                  .oa_bits = sizes[bits(w[0], 34, 32)],
                  .start_level = ia > 39   ? 0
                                 : ia > 30 ? 1
                                           : 2,
                  .bbm = (uint8_t)bits(f->idr3, 12, 11),
                  .ha = w[0] >> 43 & 1,
                  .hd = w[0] >> 42 & 1,
                  .two_priv = true },
        .mem = &f->mem,
        .vmid = (uint16_t)e->vmid,
        .asid = (uint16_t)(w[0] >> 48),
    };
    return true;
}

static bool translate(struct smmu_fake *f, uint32_t sid, int pasid, uint64_t iova, bool write,
                      uint64_t *pa)
{
    if (!(f->cr0ack & 1)) {
        *pa = iova;
        return !(f->gbpa & 1u << 20);
    }
    int slot = fetch(f, sid);
    if (slot < 0) {
        return f->cr2 & 2 ? refuse(f, 0x02, sid, write, false, iova) : false;
    }
    const uint64_t *cd;
    struct fake_ste e;
    fake_decode_ste(f->cfg[slot].ste, &e);
    struct model_ctx c;
    switch (e.kind) {
    case FAKE_ABORT:
        return f->cfg[slot].ste[0] & 1 ? false : refuse(f, 0x04, sid, write, false, iova);
    case FAKE_BYPASS:
        fake_wrong(f, "a stream is bypassed");
        *pa = iova;
        return true;
    case FAKE_S1:
        cd = cd_of(f, slot, &e, pasid);
        if (cd == NULL) {
            return refuse(f, 0x08, sid, write, false, iova); /* C_BAD_SUBSTREAMID */
        }
        if (!stage1_ctx(f, cd, &e, &c)) {
            return refuse(f, 0x0a, sid, write, false, iova);
        }
        break;
    case FAKE_S2:
        c = (struct model_ctx){
            .walk = { .fmt = &model_arm,
                      .stage = 2,
                      .root = e.ttb,
                      .ia_bits = (uint8_t)(64 - e.t0sz),
                      .oa_bits = sizes[e.ps],
                      .start_level = (int8_t)(2 - e.sl0),
                      .bbm = (uint8_t)bits(f->idr3, 12, 11),
                      .ha = e.ha,
                      .hd = e.hd,
                      .xnx = f->idr3 >> 4 & 1,
                      .fwb = e.fwb },
            .mem = &f->mem,
            .vmid = (uint16_t)e.vmid,
        };
        break;
    default:
        fake_wrong(f, "an entry that is illegal");
        return refuse(f, 0x04, sid, write, false, iova);
    }
    struct model_xlat x;
    enum model_fault fault = model_tlb_translate(
        f->tlb, &c, iova, (struct model_access){ .what = write ? MODEL_W : MODEL_R, .user = true },
        &x);
    bool s2 = e.kind == FAKE_S2;
    switch (fault) {
    case MODEL_OK:
        *pa = x.oa;
        return true;
    case MODEL_FAULT_PERMISSION:
        return refuse(f, 0x13, sid, write, s2, iova);
    case MODEL_FAULT_ACCESS_FLAG:
        return refuse(f, 0x12, sid, write, s2, iova);
    case MODEL_FAULT_ADDRESS_SIZE:
        return refuse(f, 0x11, sid, write, s2, iova);
    case MODEL_FAULT_TRANSLATION:
        return refuse(f, 0x10, sid, write, s2, iova);
    case MODEL_FAULT_BAD_CONFIG:
        fake_wrong(f, "a walk configuration that is illegal");
        return refuse(f, 0x04, sid, write, s2, iova);
    default:
        return refuse(f, 0x0b, sid, write, s2, iova);
    }
}

bool fake_dma_pasid(struct smmu_fake *f, uint32_t sid, int pasid, uint64_t iova, bool write,
                    uint64_t *pa)
{
    port_lock(&f->lock);
    bool ok = translate(f, sid, pasid, iova, write, pa);
    port_unlock(&f->lock);
    return ok;
}

bool fake_dma(struct smmu_fake *f, uint32_t sid, uint64_t iova, bool write, uint64_t *pa)
{
    return fake_dma_pasid(f, sid, -1, iova, write, pa);
}
