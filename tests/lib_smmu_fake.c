/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake SMMU: see lib_smmu_fake.h. Bit positions are IHI0070's, written as numbers on purpose. */
#include "tests/lib_smmu_fake_int.h"

#include <stdlib.h>
#include <string.h>

#include "hw/smmuv3/regs.h" /* only the prototypes of the register accesses are used */
#include "port/hosted/hosted.h"

static struct smmu_fake *fake;

void fake_wrong(struct smmu_fake *f, const char *what)
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

uint64_t fake_mem64(struct smmu_fake *f, uint64_t pa)
{
    bool ok;
    uint64_t v = model_phys_read64(&f->phys, pa, &ok);
    if (!ok) {
        fake_wrong(f, "fetch outside memory");
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
        if (f->cds[i].used && f->cds[i].sid >= first && f->cds[i].sid <= last) {
            f->cds[i].stale = true; /* 4.3.1: and every descriptor cached through it */
        }
        if (!leaf && f->l1[i].used && f->l1[i].index >= first >> 8 && f->l1[i].index <= last >> 8) {
            f->l1[i].stale = true;
        }
    }
}

static void cfgi_cd(struct smmu_fake *f, uint32_t sid, uint32_t ssid, bool all)
{
    for (unsigned i = 0; i < FAKE_CACHE; i++) {
        if (f->cfg[i].sid == sid && (all || ssid == 0)) {
            f->cfg[i].cd_stale = true;
        }
        if (f->cds[i].sid == sid && (all || f->cds[i].ssid == ssid)) {
            f->cds[i].stale = true;
        }
    }
}

static void sync(struct smmu_fake *f)
{
    f->syncs++;
    for (unsigned i = 0; i < FAKE_CACHE; i++) {
        f->cds[i].used = f->cds[i].used && !f->cds[i].stale;
        f->cfg[i].cd_read = f->cfg[i].cd_read && !f->cfg[i].cd_stale;
        f->cfg[i].cd_stale = false;
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
        fake_wrong(f, "reserved range invalidation");
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
        cfgi_cd(f, sid, (uint32_t)bits(w[0], 31, 12), op == 0x06);
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
        w[0] = fake_mem64(f, at);
        w[1] = fake_mem64(f, at + 8);
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
        fake_wrong(f, what);
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
        fake_wrong(f, "read of another register");
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
            fake_wrong(f, "enabled while GBPA lets everything pass");
        }
        if ((v & ~f->cr0 & 1) && f->syncs == 0) {
            fake_wrong(f, "enabled with old caches");
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
        fake_wrong(f, "write to another register");
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
        fake_wrong(f, "64-bit write to another register");
    }
    port_unlock(&f->lock);
}
