/* SPDX-License-Identifier: BSD-2-Clause */
/* Bring-up, stream table, domains: struct iommu_ops for the SMMUv3. */
#include <hw/smmuv3/queue.h>
#include <tenon/errno.h>
#include <tenon/frame.h>
#include <tenon/port.h>

#include "port_pte.h"

#define CMDQ_LOG2 8u
#define EVTQ_LOG2 10u
#define STE_BYTES 64u
#define L2_PAGES  4u /* 2^SMMUV3_SPLIT entries of 64 bytes */

_Static_assert(sizeof(struct ste) == STE_BYTES, "an entry is 64 bytes");
_Static_assert((STE_BYTES << SMMUV3_SPLIT) == L2_PAGES * PAGE_SIZE, "second-level table");
_Static_assert(SMMUV3_CDS *STE_BYTES == PAGE_SIZE, "context descriptors fill a page");
_Static_assert(offsetof(struct smmuv3, im) == 0, "found by its first member");
_Static_assert(offsetof(struct iommu_domain, inv) == 0, "found by its first member");

static struct smmuv3 *of(struct iommu *im)
{
    return (struct smmuv3 *)im;
}

/* ---- memory ---- */

struct layout { /* offsets; each part is aligned to its size when the whole is to the largest */
    bool two_level;
    uint8_t sid_bits, cmdq_log2, evtq_log2;
    uint64_t strtab_bytes, strtab, evtq, cmdq, cds, bytes, align;
};

static uint64_t page_up(uint64_t v)
{
    return (v + PAGE_SIZE - 1u) & ~(PAGE_SIZE - 1u);
}

static void lay_out(const struct smmuv3_features *f, struct layout *l)
{
    uint8_t sid = f->caps.sid_bits;
    l->two_level = f->caps.two_level && sid > SMMUV3_SPLIT;
    uint8_t most = l->two_level ? SMMUV3_SID_BITS : SMMUV3_LINEAR_BITS;
    l->sid_bits = sid < most ? sid : most;
    l->cmdq_log2 = f->cmdq_log2 < CMDQ_LOG2 ? f->cmdq_log2 : CMDQ_LOG2;
    l->evtq_log2 = f->evtq_log2 < EVTQ_LOG2 ? f->evtq_log2 : EVTQ_LOG2;
    l->strtab_bytes =
        l->two_level ? 8ull << (l->sid_bits - SMMUV3_SPLIT) : (uint64_t)STE_BYTES << l->sid_bits;
    uint64_t strtab = page_up(l->strtab_bytes);
    uint64_t evtq = page_up(32ull << l->evtq_log2), cmdq = page_up(16ull << l->cmdq_log2);
    /* Both sizes are powers of two: the larger one goes first. */
    l->strtab = strtab >= evtq ? 0 : evtq;
    l->evtq = strtab >= evtq ? strtab : 0;
    l->cmdq = strtab + evtq;
    l->cds = l->cmdq + cmdq;
    l->bytes = l->cds + PAGE_SIZE;
    l->align = strtab >= evtq ? strtab : evtq;
}

static int read_features(uint64_t base, struct smmuv3_features *f)
{
    struct smmuv3_idr r = {
        .idr0 = smmuv3_read32(base, R_IDR0),
        .idr1 = smmuv3_read32(base, R_IDR1),
        .idr3 = smmuv3_read32(base, R_IDR3),
        .idr5 = smmuv3_read32(base, R_IDR5),
        .aidr = smmuv3_read32(base, R_AIDR),
    };
    const char *why;
    int err = smmuv3_decode_idr(&r, f, &why);
    if (err != 0) {
        port_log("smmuv3: not usable: %s (%x %x %x %x)", why, r.idr0, r.idr1, r.idr3, r.idr5);
        return -ENODEV;
    }
    return 0;
}

int smmuv3_mem_need(uint64_t base, struct smmuv3_mem *need)
{
    struct smmuv3_features f;
    struct layout l;
    int err = read_features(base, &f);
    if (err != 0) {
        return err;
    }
    lay_out(&f, &l);
    need->bytes = l.bytes;
    need->align = l.align;
    return 0;
}

static void clean(const struct smmuv3 *s, const void *va, size_t len)
{
    if (!s->feat.caps.coherent) {
        port_clean(va, len);
    }
}

/* ---- invalidation ---- */

static struct tlbi_scope scope_of(const struct smmuv3 *s, const struct iommu_domain *d)
{
    struct tlbi_scope t = { .stage1 = d->stage1, .range = s->feat.caps.range_inv };
    if (d->stage1) {
        t.asid = d->tag; /* VMID 0: what stage-1 streams of ours are tagged with */
    } else {
        t.vmid = d->tag;
    }
    return t;
}

static void inv_issue(struct invalidator *inv, const struct pt_gather *g)
{
    const struct iommu_domain *d = (const struct iommu_domain *)inv;
    struct smmuv3 *s = of(d->im);
    struct tlbi_scope t = scope_of(s, d);
    bool all = g->all;
    struct cmd c[TLBI_MAX];
    for (uint32_t i = 0; i < g->n && !all; i++) {
        unsigned n = tlbi_commands(&t, &g->inv[i], c, TLBI_MAX);
        all = n == 0;
        cmdq_add(s, c, n);
    }
    if (all) {
        c[0] = tlbi_everything(&t);
        cmdq_add(s, c, 1);
    }
}

static void inv_wait(struct invalidator *inv)
{
    cmdq_sync(of(((struct iommu_domain *)inv)->im));
}

static void flush_tag(struct smmuv3 *s, const struct iommu_domain *d)
{
    struct tlbi_scope t = scope_of(s, d);
    struct cmd c = tlbi_everything(&t);
    cmdq_add(s, &c, 1);
    cmdq_sync(s);
}

/* ---- bring-up ---- */

static int bring_up(struct smmuv3 *s)
{
    uint32_t ones = ~0u;
    /* Blocked first: no transaction is bypassed while the SMMU is off (6.3.14), or ever. */
    if (!reg_gbpa_abort(s) || !reg_handshake(s, R_CR0, 0, R_CR0ACK, ones, 0) ||
        !reg_handshake(s, R_IRQ_CTRL, 0, R_IRQ_CTRLACK, ones, 0)) {
        return -ETIMEDOUT;
    }
    smmuv3_write32(s->base, R_GERRORN, smmuv3_read32(s->base, R_GERROR)); /* old errors */
    /* Everything that may only change while it is disabled (6.3.9 on), then the enables one by one. */
    smmuv3_write32(s->base, R_CR1, s->feat.caps.coherent ? CR1_COHERENT : 0);
    smmuv3_write32(s->base, R_CR2, CR2_RECINVSID | (s->feat.caps.btm ? CR2_PTM : 0u));
    smmuv3_write64(s->base, R_STRTAB_BASE, s->strtab_pa | BASE_RA_WA);
    smmuv3_write32(s->base, R_STRTAB_BASE_CFG,
                   s->two_level ? STRTAB_CFG_2LEVEL | SMMUV3_SPLIT << 6 | s->sid_bits
                                : s->sid_bits);
    smmuv3_write64(s->base, R_CMDQ_BASE, s->cmdq.pa | BASE_RA_WA | s->cmdq.log2);
    smmuv3_write32(s->base, R_CMDQ_PROD, 0);
    smmuv3_write32(s->base, R_CMDQ_CONS, 0);
    smmuv3_write64(s->base, R_EVENTQ_BASE, s->evtq.pa | BASE_RA_WA | s->evtq.log2);
    smmuv3_write32(s->base, R_EVENTQ_PROD, 0);
    smmuv3_write32(s->base, R_EVENTQ_CONS, 0);
    if (!reg_handshake(s, R_CR0, CR0_CMDQEN, R_CR0ACK, ones, CR0_CMDQEN)) {
        return -ETIMEDOUT;
    }
    /* Whatever ran before us may have left caches behind. */
    struct cmd c[3] = { cmd_cfgi_all(), cmd_tlbi_nsnh_all(), cmd_tlbi_el2_all() };
    cmdq_add(s, c, s->feat.hyp ? 3u : 2u);
    cmdq_sync(s);
    uint32_t on = CR0_CMDQEN | CR0_EVENTQEN | (s->feat.ats ? CR0_ATSCHK : 0u);
    if (s->failed || !reg_handshake(s, R_CR0, on, R_CR0ACK, ones, on)) {
        return -ETIMEDOUT;
    }
    on |= CR0_SMMUEN;
    return reg_handshake(s, R_CR0, on, R_CR0ACK, ones, on) ? 0 : -ETIMEDOUT;
}

int smmuv3_init(struct smmuv3 *s, uint64_t base, uint64_t mem, uint64_t mem_size,
                uint16_t vmid_first)
{
    struct smmuv3_features f;
    struct layout l;
    int err = read_features(base, &f);
    if (err != 0) {
        return err;
    }
    lay_out(&f, &l);
    if (mem_size < l.bytes || (mem & (l.align - 1u)) != 0 || vmid_first == 0 ||
        vmid_first >= SMMUV3_TAGS) {
        return -EINVAL;
    }
    __builtin_memset(s, 0, sizeof(*s));
    s->base = base;
    s->feat = f;
    s->im.ops = &smmuv3_ops;
    s->im.caps = f.caps;
    s->im.caps.sid_bits = l.sid_bits;
    s->two_level = l.two_level;
    s->sid_bits = l.sid_bits;
    s->strtab_pa = mem + l.strtab;
    s->strtab_bytes = l.strtab_bytes;
    s->cmdq.pa = mem + l.cmdq;
    s->cmdq.va = port_va(s->cmdq.pa);
    s->cmdq.log2 = l.cmdq_log2;
    s->evtq.pa = mem + l.evtq;
    s->evtq.va = port_va(s->evtq.pa);
    s->evtq.log2 = l.evtq_log2;
    s->cd_pa = mem + l.cds;
    s->vmid_first = vmid_first;
    s->timeout_ns = SMMUV3_TIMEOUT_NS;
    /* All zero: every stream table entry is invalid, every level-1 descriptor empty. */
    __builtin_memset(port_va(mem), 0, l.bytes);
    clean(s, port_va(mem), l.bytes);
    port_publish();
    err = bring_up(s);
    if (err != 0) {
        /* ABORT came first: what did take effect blocks everything. */
        port_log("smmuv3: no answer while starting");
        s->failed = true;
        smmuv3_write32(base, R_CR0, 0);
        return err;
    }
    port_log("smmuv3: stages %s%s, %u-bit output, BBML %u, HTTU %u, %s, %u stream id bits",
             f.caps.stage1 ? "1" : "", f.caps.stage2 ? "2" : "", f.caps.oa_bits, f.bbml, f.httu,
             f.caps.range_inv ? "range invalidation" : "no range invalidation", s->sid_bits);
    return 0;
}

/* ---- stream table ---- */

/* NULL: there is no second-level table (yet). */
static uint64_t *ste_of(struct smmuv3 *s, uint32_t sid)
{
    if (!s->two_level) {
        return (uint64_t *)port_va(s->strtab_pa) + (uint64_t)sid * STE_WORDS;
    }
    uint64_t l2 = s->l2_pa[sid >> SMMUV3_SPLIT];
    uint64_t index = sid & ((1u << SMMUV3_SPLIT) - 1u);
    return l2 == 0 ? NULL : (uint64_t *)port_va(l2) + index * STE_WORDS;
}

static int add_l2(struct smmuv3 *s, uint32_t sid)
{
    uint64_t l2 = frame_tables_root(L2_PAGES);
    if (l2 == 0) {
        return -ENOMEM;
    }
    /* Filled (zero: all invalid) before it is linked. */
    clean(s, port_va(l2), L2_PAGES * PAGE_SIZE);
    port_publish();
    uint64_t *l1 = (uint64_t *)port_va(s->strtab_pa) + (sid >> SMMUV3_SPLIT);
    port_pte_store(l1, (l2 & L1STD_L2PTR) | L1STD_SPAN(SMMUV3_SPLIT + 1u));
    clean(s, l1, 8);
    port_publish();
    s->l2_pa[sid >> SMMUV3_SPLIT] = l2;
    /* An empty level-1 descriptor may be cached: Leaf = 0 drops that too (4.3.1). */
    struct cmd c = cmd_cfgi_ste(sid, false);
    cmdq_add(s, &c, 1);
    cmdq_sync(s);
    return 0;
}

/* The one writer of stream table entries. True: without an aborting moment. */
static bool write_ste(struct smmuv3 *s, uint32_t sid, const struct ste *tgt)
{
    uint64_t *e = ste_of(s, sid);
    struct ste cur;
    for (unsigned i = 0; i < STE_WORDS; i++) {
        cur.w[i] = port_pte_load(&e[i]);
    }
    struct entry_plan p;
    entry_plan(&p, ENTRY_STE, &cur, tgt);
    for (unsigned i = 0; i < p.n; i++) {
        if (p.step[i].word == ENTRY_SYNC) {
            clean(s, e, STE_BYTES);
            port_publish();
            /* The range form too: QEMU 10 looks CFGI_STE's stream up by bus number, keeps the first
             * answer for ever, and so ignores it for functions of bus 0 when a bridge had the same
             * (reset) bus number at that time. It costs one command more. */
            struct cmd c[2] = { cmd_cfgi_ste(sid, true), cmd_cfgi_ste_range(sid & ~1u, 1) };
            cmdq_add(s, c, 2);
            cmdq_sync(s);
        } else {
            port_pte_store(&e[p.step[i].word], p.step[i].value);
        }
    }
    return p.hitless;
}

static void domain_ste(struct smmuv3 *s, const struct iommu_domain *d, struct ste *e)
{
    const struct pt *pt = &d->space->pt;
    if (d->stage1) {
        ste_stage1(e, s->cd_pa + (uint64_t)(d->tag - 1u) * STE_BYTES, s->feat.caps.coherent);
        return;
    }
    struct ste_s2 s2 = {
        .vmid = d->tag,
        .vtcr = pt_arm_ste_s2vtcr(pt),
        .ttb = pt->root,
        .fwb = pt->cfg.fwb,
        .hw_af = pt->cfg.live.hw_af,
        .hw_dirty = pt->cfg.live.hw_dirty,
    };
    ste_stage2(e, &s2);
}

static int smmuv3_attach(struct iommu *im, uint32_t sid, struct iommu_domain *d)
{
    struct smmuv3 *s = of(im);
    if (sid >> s->sid_bits != 0) {
        return -ERANGE;
    }
    if (s->failed) {
        return -EIO;
    }
    if (ste_of(s, sid) == NULL) {
        int err = add_l2(s, sid);
        if (err != 0) {
            return err;
        }
    }
    const uint64_t *e = ste_of(s, sid);
    bool live = (port_pte_load(&e[0]) & STE0_V) != 0;
    struct ste tgt;
    domain_ste(s, d, &tgt);
    /* Two trees under one VMID: what the other one left in the TLB must neither greet this stream
     * (flush before) nor, where it moves from one to the other in a store, outlive the move. */
    bool mixed = !d->stage1 && s->vmid[d->tag].users > 1u;
    if (mixed) {
        flush_tag(s, d);
    }
    bool hitless = write_ste(s, sid, &tgt);
    if (mixed) {
        flush_tag(s, d);
    }
    if (live) {
        s->hitless += hitless ? 1u : 0u;
        s->broken += hitless ? 0u : 1u;
    }
    return s->failed ? -EIO : 0;
}

static void smmuv3_detach(struct iommu *im, uint32_t sid)
{
    struct smmuv3 *s = of(im);
    if (sid >> s->sid_bits != 0 || ste_of(s, sid) == NULL) {
        return; /* it never was attached */
    }
    struct ste none;
    ste_abort(&none);
    (void)write_ste(s, sid, &none);
}

/* ---- domains ---- */

static int take_tag(struct smmuv3_tag *tags, uint32_t n, uint32_t first, uint16_t want,
                    owner_t owner)
{
    if (want != 0) {
        if (want >= n) {
            return -EINVAL;
        }
        if (tags[want].users != 0 && tags[want].owner != owner) {
            return -EBUSY;
        }
        tags[want].users++;
        tags[want].owner = owner;
        return want;
    }
    for (uint32_t i = first; i < n; i++) {
        if (tags[i].users == 0) {
            tags[i].users = 1;
            tags[i].owner = owner;
            return (int)i;
        }
    }
    return -ENOSPC;
}

/* Does this SMMU walk such a tree as its owner means it? */
static bool fits(const struct smmuv3 *s, const struct pt_config *c)
{
    const struct iommu_caps *caps = &s->feat.caps;
    bool s1 = c->format == PT_ARM_S1_4K;
    return (s1 ? caps->stage1 : caps->stage2 && c->format == PT_ARM_S2_4K) &&
           c->oa_bits <= caps->oa_bits && c->ia_bits <= (s1 ? 48u : caps->oa_bits) &&
           c->ia_bits >= 25u && !(c->fwb && !caps->fwb) && !(c->xnx && !caps->xnx) &&
           !(c->live.hw_af && !caps->live.hw_af) && !(c->live.hw_dirty && !caps->live.hw_dirty) &&
           c->live.bbm <= caps->live.bbm && (caps->coherent || c->incoherent);
}

static int smmuv3_domain_init(struct iommu *im, struct iommu_domain *d)
{
    struct smmuv3 *s = of(im);
    const struct pt *pt = &d->space->pt;
    bool s1 = pt->cfg.format == PT_ARM_S1_4K;
    if (s->failed) {
        return -EIO;
    }
    if (!fits(s, &pt->cfg)) {
        return -EOPNOTSUPP;
    }
    int tag = s1 ? take_tag(s->asid, SMMUV3_CDS + 1u, 1, 0, d->owner)
                 : take_tag(s->vmid, SMMUV3_TAGS, s->vmid_first, d->tag, d->owner);
    if (tag < 0) {
        return tag;
    }
    d->im = im;
    d->tag = (uint16_t)tag;
    d->stage1 = s1;
    d->inv.issue = inv_issue;
    d->inv.wait = inv_wait;
    if (s1) {
        /* No stream points at this descriptor yet: plain stores do. */
        struct cd_s1 c = {
            .asid = d->tag,
            .ia_bits = pt->cfg.ia_bits,
            .oa_bits = pt->cfg.oa_bits,
            .ttb = pt->root,
            .hw_af = pt->cfg.live.hw_af,
            .hw_dirty = pt->cfg.live.hw_dirty,
            .coherent = s->feat.caps.coherent,
        };
        struct ste *cd = (struct ste *)port_va(s->cd_pa) + (tag - 1);
        cd_stage1(cd, &c);
        clean(s, cd, STE_BYTES);
        port_publish();
    }
    return 0;
}

static void smmuv3_domain_fini(struct iommu *im, struct iommu_domain *d)
{
    struct smmuv3 *s = of(im);
    struct smmuv3_tag *t = d->stage1 ? &s->asid[d->tag] : &s->vmid[d->tag];
    /* The tag goes to someone else next, and the tree's pages too: nothing may be cached of it. */
    flush_tag(s, d);
    if (d->stage1) {
        struct ste *cd = (struct ste *)port_va(s->cd_pa) + (d->tag - 1);
        ste_abort(cd);
        clean(s, cd, STE_BYTES);
        port_publish();
    }
    if (t->users != 0) {
        t->users--;
    }
    d->tag = 0;
    d->inv.issue = NULL;
    d->inv.wait = NULL;
}

const struct iommu_ops smmuv3_ops = {
    .attach = smmuv3_attach,
    .detach = smmuv3_detach,
    .domain_init = smmuv3_domain_init,
    .domain_fini = smmuv3_domain_fini,
    .next_event = smmuv3_next_event,
};
