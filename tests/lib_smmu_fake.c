/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake SMMU: see lib_smmu_fake.h. Bit positions are IHI0070's, written as numbers on purpose. */
#include "tests/lib_smmu_fake.h"

#include <stdlib.h>
#include <string.h>

#include "hw/smmuv3/regs.h" /* only the prototypes of the register accesses are used */
#include "port/hosted/hosted.h"

static struct smmu_fake *fake;

static uint64_t bits(uint64_t v, unsigned hi, unsigned lo)
{
    return hi - lo == 63 ? v : (v >> lo) & (((uint64_t)1 << (hi - lo + 1)) - 1);
}

static void wrong(struct smmu_fake *f, const char *what)
{
    if (!f->wrong) {
        f->wrong = what;
    }
}

void fake_decode_ste(const uint64_t w[8], struct fake_ste *o)
{
    memset(o, 0, sizeof(*o));
    uint64_t config = bits(w[0], 3, 1);
    if (!(w[0] & 1) || config == 0) {
        o->kind = FAKE_ABORT;
        return;
    }
    if (config < 4) {
        o->kind = FAKE_ILLEGAL;
        return;
    }
    o->shcfg = bits(w[1], 45, 44);
    if (config == 4) {
        o->kind = FAKE_BYPASS;
        return;
    }
    o->kind = config == 5 ? FAKE_S1 : config == 6 ? FAKE_S2 : FAKE_NESTED;
    o->vmid = bits(w[2], 15, 0);
    if (config & 1) {
        o->cd = w[0] & 0x000fffffffffffc0u;
        o->s1_attr = bits(w[0], 5, 4) << 16 | bits(w[0], 63, 59) << 8 | bits(w[1], 7, 0) |
                     bits(w[1], 31, 30) << 24 | bits(w[1], 27, 27) << 28;
    }
    if (config & 2) {
        o->t0sz = bits(w[2], 37, 32);
        o->sl0 = bits(w[2], 39, 38);
        o->walk_attr = bits(w[2], 45, 40);
        o->tg = bits(w[2], 47, 46);
        o->ps = bits(w[2], 50, 48);
        o->ttb = w[3] & 0x000ffffffffffff0u;
        o->fwb = bits(w[1], 25, 25);
        o->hd = bits(w[2], 55, 55);
        o->ha = bits(w[2], 56, 56);
        o->stall = bits(w[2], 57, 57);
        o->record = bits(w[2], 58, 58);
        if (!(w[2] >> 51 & 1) || o->tg != 0 || bits(w[2], 52, 52)) {
            o->kind = FAKE_ILLEGAL; /* not AArch64, not 4K, or big-endian */
        }
    }
}

static uint64_t mem64(struct smmu_fake *f, uint64_t pa)
{
    bool ok;
    uint64_t v = model_phys_read64(&f->phys, pa, &ok);
    if (!ok) {
        wrong(f, "fetch outside memory");
    }
    return v;
}

void fake_open(struct smmu_fake *f)
{
    memset(f, 0, sizeof(*f));
    /* S2P, S1P, TTF AArch64, COHACC, ASID16, VMID16, no stall, TERM_MODEL, 2-level */
    f->idr0 = 1u | 2u | 2u << 2 | 1u << 4 | 1u << 12 | 1u << 18 | 1u << 24 | 1u << 26 | 1u << 27;
    f->idr1 = 16u | 19u << 16 | 19u << 21;   /* SIDSIZE, EVENTQS, CMDQS */
    f->idr3 = 1u << 4 | 1u << 10 | 2u << 11; /* XNX, RIL, BBML 2 */
    f->idr5 = 4u | 7u << 4;                  /* 44 bits; 4K, 16K, 64K */
    f->aidr = 1;
    model_phys_init(&f->phys);
    if (!model_phys_attach(&f->phys, HOSTED_BASE, hosted_arena(), FAKE_MEMORY)) {
        abort();
    }
    f->mem = model_phys_mem(&f->phys, false);
    f->tlb = model_tlb_new(&(struct model_tlb_cfg){
        .mode = MODEL_TLB_NEVER_EVICTS, .apply = MODEL_APPLY_AT_SYNC, .seed = 1 });
    if (!f->tlb) {
        abort();
    }
    fake = f;
}

void fake_close(struct smmu_fake *f)
{
    model_tlb_free(f->tlb);
    model_phys_destroy(&f->phys);
    fake = NULL;
}

/* ---- commands ---- */

static void cfgi(struct smmu_fake *f, uint32_t first, uint32_t last, bool leaf)
{
    for (unsigned i = 0; i < FAKE_CACHE; i++) {
        if (f->cfg[i].used && f->cfg[i].sid >= first && f->cfg[i].sid <= last) {
            f->cfg[i].stale = true;
        }
        if (!leaf && f->l1[i].used && f->l1[i].index >= first >> 8 && f->l1[i].index <= last >> 8) {
            f->l1[i].stale = true;
        }
    }
}

static void sync(struct smmu_fake *f)
{
    f->syncs++;
    for (unsigned i = 0; i < FAKE_CACHE; i++) {
        f->cfg[i].used = f->cfg[i].used && !f->cfg[i].stale;
        f->l1[i].used = f->l1[i].used && !f->l1[i].stale;
    }
    model_tlb_sync(f->tlb);
}

static void tlbi_addr(struct smmu_fake *f, const uint64_t w[2], bool s2)
{
    uint64_t tg = bits(w[1], 11, 10), num = bits(w[0], 16, 12), scale = bits(w[0], 24, 20);
    uint64_t ttl = bits(w[1], 9, 8), ia = w[1] & ~(uint64_t)0xfff;
    bool leaf = w[1] & 1, ril = f->idr3 >> 10 & 1;
    if ((!ril && (tg | num | scale | ttl)) || (tg == 0 && (num | scale | ttl)) ||
        (tg != 0 && num == 0 && scale == 0 && ttl == 0) || tg > 1) {
        wrong(f, "reserved range invalidation");
    }
    uint64_t len = tg ? (num + 1) << scale << 12 : 0;
    uint16_t vmid = (uint16_t)bits(w[0], 47, 32), asid = (uint16_t)bits(w[0], 63, 48);
    struct model_inv inv = s2 ? model_inv_s2(vmid, ia, len, (uint8_t)ttl, leaf)
                              : model_inv_s1(vmid, asid, ia, len, (uint8_t)ttl, leaf);
    model_tlb_invalidate(f->tlb, &inv);
}

/* False: illegal. */
static bool execute(struct smmu_fake *f, const uint64_t w[2])
{
    uint32_t op = (uint32_t)(w[0] & 0xff), sid = (uint32_t)(w[0] >> 32);
    bool s1 = f->idr0 & 2, s2 = f->idr0 & 1;
    struct model_inv inv = { 0 };
    if (op == f->ill_op && f->ill_times > 0) {
        f->ill_times--;
        return false;
    }
    inv.vmid = (uint16_t)bits(w[0], 47, 32);
    inv.asid = (uint16_t)bits(w[0], 63, 48);
    switch (op) {
    case 0x03:
        cfgi(f, sid, sid, w[1] & 1);
        return true;
    case 0x04: {
        uint64_t n = (uint64_t)2 << bits(w[1], 4, 0);
        uint32_t first = (uint32_t)(sid & ~(n - 1));
        cfgi(f, first, (uint32_t)(first + (n - 1)), false);
        return true;
    }
    case 0x05:
    case 0x06:
        cfgi(f, sid, sid, true); /* more than it must: CDs are cached with the entry here */
        return s1;
    case 0x10:
        inv.kind = MODEL_INV_S1_VMID;
        break;
    case 0x11:
        inv.kind = MODEL_INV_S1_ASID;
        break;
    case 0x12:
        tlbi_addr(f, w, false);
        return s1;
    case 0x28:
        inv.kind = MODEL_INV_VMID;
        if (!s2) {
            return false;
        }
        break;
    case 0x2a:
        tlbi_addr(f, w, true);
        return s2;
    case 0x30:
        inv.kind = MODEL_INV_ALL;
        break;
    case 0x46:
        sync(f);
        return true;
    default:
        return false;
    }
    model_tlb_invalidate(f->tlb, &inv);
    return true;
}

static void error(struct smmu_fake *f, uint32_t code)
{
    f->cmd_cons = (f->cmd_cons & 0xffffff) | code << 24;
    f->gerror ^= 1;
}

static void consume(struct smmu_fake *f)
{
    uint32_t log2 = (uint32_t)bits(f->cmdq, 4, 0), mask = (2u << log2) - 1;
    while (!f->stuck && (f->cr0ack & 8) && ((f->gerror ^ f->gerrorn) & 1) == 0 &&
           (f->cmd_cons & mask) != (f->cmd_prod & mask)) {
        uint64_t at = (f->cmdq & 0x000fffffffffffe0u) + 16 * (f->cmd_cons & (mask >> 1)), w[2];
        if (f->abort_times > 0) {
            f->abort_times--;
            error(f, 2);
            return;
        }
        w[0] = mem64(f, at);
        w[1] = mem64(f, at + 8);
        f->log[f->cmds % FAKE_LOG].w[0] = w[0];
        f->log[f->cmds % FAKE_LOG].w[1] = w[1];
        if (!execute(f, w)) {
            error(f, 1);
            return;
        }
        f->cmds++;
        f->cmd_cons = (f->cmd_cons & ~mask) | ((f->cmd_cons + 1) & mask);
    }
}

/* ---- registers ---- */

static void off_only(struct smmu_fake *f, uint32_t enable, const char *what)
{
    if (f->cr0 & enable) {
        wrong(f, what);
    }
}

uint32_t smmuv3_read32(uint64_t base, uint32_t off)
{
    struct smmu_fake *f = fake;
    uint32_t v = 0;
    if (base != FAKE_BASE) {
        abort();
    }
    port_lock(&f->lock);
    f->reads++;
    switch (off) {
    case 0x00:
        v = f->idr0;
        break;
    case 0x04:
        v = f->idr1;
        break;
    case 0x0c:
        v = f->idr3;
        break;
    case 0x14:
        v = f->idr5;
        break;
    case 0x1c:
        v = f->aidr;
        break;
    case 0x20:
        v = f->cr0;
        break;
    case 0x24:
        v = f->cr0ack;
        break;
    case 0x44:
        v = f->gbpa;
        break;
    case 0x50:
        v = f->irq_ctrl;
        break;
    case 0x54:
        v = f->irq_ctrl;
        break;
    case 0x60:
        v = f->gerror;
        break;
    case 0x64:
        v = f->gerrorn;
        break;
    case 0x98:
        v = f->cmd_prod;
        break;
    case 0x9c:
        if (f->waited++ >= f->lag) {
            f->waited = 0;
            consume(f);
        }
        v = f->cmd_cons + f->lost_cons;
        break;
    case 0x100a8:
        v = f->evt_prod;
        break;
    case 0x100ac:
        v = f->evt_cons;
        break;
    default:
        wrong(f, "read of another register");
    }
    port_unlock(&f->lock);
    return v;
}

void smmuv3_write32(uint64_t base, uint32_t off, uint32_t v)
{
    struct smmu_fake *f = fake;
    if (base != FAKE_BASE) {
        abort();
    }
    port_lock(&f->lock);
    f->writes++;
    switch (off) {
    case 0x20:
        if ((v & 1) && !(f->gbpa & 1u << 20)) {
            wrong(f, "enabled while GBPA lets everything pass");
        }
        if ((v & ~f->cr0 & 1) && f->syncs == 0) {
            wrong(f, "enabled with old caches");
        }
        f->cr0 = v;
        if (!f->deaf) {
            f->cr0ack = v;
        }
        consume(f);
        break;
    case 0x28:
        off_only(f, 13, "CR1 while enabled");
        f->cr1 = v;
        break;
    case 0x2c:
        off_only(f, 13, "CR2 while enabled");
        f->cr2 = v;
        break;
    case 0x44:
        f->gbpa = f->deaf ? v : v & ~(1u << 31);
        break;
    case 0x50:
        f->irq_ctrl = v;
        break;
    case 0x64:
        f->gerrorn = v;
        consume(f);
        break;
    case 0x88:
        off_only(f, 1, "STRTAB_BASE_CFG while enabled");
        f->strtab_cfg = v;
        break;
    case 0x98:
        f->cmd_prod = v;
        f->prod_writes++;
        if (f->lag == 0) {
            consume(f);
        }
        break;
    case 0x9c:
        off_only(f, 8, "CMDQ_CONS while enabled");
        f->cmd_cons = v;
        break;
    case 0x100a8:
        off_only(f, 4, "EVENTQ_PROD while enabled");
        f->evt_prod = v;
        break;
    case 0x100ac:
        f->evt_cons = v;
        break;
    default:
        wrong(f, "write to another register");
    }
    port_unlock(&f->lock);
}

void smmuv3_write64(uint64_t base, uint32_t off, uint64_t v)
{
    struct smmu_fake *f = fake;
    if (base != FAKE_BASE) {
        abort();
    }
    port_lock(&f->lock);
    f->writes++;
    switch (off) {
    case 0x80:
        off_only(f, 1, "STRTAB_BASE while enabled");
        f->strtab = v;
        break;
    case 0x90:
        off_only(f, 8, "CMDQ_BASE while enabled");
        f->cmdq = v;
        break;
    case 0xa0:
        off_only(f, 4, "EVENTQ_BASE while enabled");
        f->evtq = v;
        break;
    default:
        wrong(f, "64-bit write to another register");
    }
    port_unlock(&f->lock);
}

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
            desc = mem64(f, (f->strtab & 0x000fffffffffffc0u) + 8 * (uint64_t)index);
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
        f->cfg[slot].ste[i] = mem64(f, at + 8 * i);
    }
    return slot;
}

static const uint8_t sizes[8] = { 32, 36, 40, 42, 44, 48, 52, 52 };

static bool stage1_ctx(struct smmu_fake *f, int slot, const struct fake_ste *e, struct model_ctx *c)
{
    if (!f->cfg[slot].cd_read) {
        for (unsigned i = 0; i < 8; i++) {
            f->cfg[slot].cd[i] = mem64(f, e->cd + 8 * i);
        }
        f->cfg[slot].cd_read = true;
    }
    const uint64_t *w = f->cfg[slot].cd;
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

static bool translate(struct smmu_fake *f, uint32_t sid, uint64_t iova, bool write, uint64_t *pa)
{
    if (!(f->cr0ack & 1)) {
        *pa = iova;
        return !(f->gbpa & 1u << 20);
    }
    int slot = fetch(f, sid);
    if (slot < 0) {
        return f->cr2 & 2 ? refuse(f, 0x02, sid, write, false, iova) : false;
    }
    struct fake_ste e;
    fake_decode_ste(f->cfg[slot].ste, &e);
    struct model_ctx c;
    switch (e.kind) {
    case FAKE_ABORT:
        return f->cfg[slot].ste[0] & 1 ? false : refuse(f, 0x04, sid, write, false, iova);
    case FAKE_BYPASS:
        wrong(f, "a stream is bypassed");
        *pa = iova;
        return true;
    case FAKE_S1:
        if (!stage1_ctx(f, slot, &e, &c)) {
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
        wrong(f, "an entry that is illegal");
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
        wrong(f, "a walk configuration that is illegal");
        return refuse(f, 0x04, sid, write, s2, iova);
    default:
        return refuse(f, 0x0b, sid, write, s2, iova);
    }
}

bool fake_dma(struct smmu_fake *f, uint32_t sid, uint64_t iova, bool write, uint64_t *pa)
{
    port_lock(&f->lock);
    bool ok = translate(f, sid, iova, write, pa);
    port_unlock(&f->lock);
    return ok;
}
