/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SMMUv3 driver against the fake SMMU (lib_smmu_fake.h): bring-up, streams, invalidation, the
 * command queue under every kind of trouble, events. DMA goes through real page-table trees and the
 * model TLB, so a missing or narrow command is a stale access here.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hw/smmuv3/desc.h"
#include "hw/smmuv3/queue.h"
#include "mem/frame_table.h"
#include "port/hosted/hosted.h"
#include "tenon/errno.h"
#include "tenon/frame.h"
#include "tenon/smmuv3.h"
#include "tests/lib_smmu_fake.h"

#define VMID_FIRST 10u
#define TABLES     256u
#define RW         (PT_READ | PT_WRITE)
#define SID        0x28u
#define DATA       ((uint64_t)0x150000000) /* frames that trees point at; nothing is read from them */

static struct smmu_fake fake;
static struct smmuv3 smmu;
static struct frame *frames;
static uint64_t mem, mem_pages;

static int start(void)
{
    struct smmuv3_mem need;
    int err = smmuv3_mem_need(FAKE_BASE, &need);
    if (err != 0) {
        return err;
    }
    assert_int_equal(need.align & (need.align - 1), 0);
    assert_true(need.align >= PAGE_SIZE && (need.bytes & (PAGE_SIZE - 1)) == 0);
    mem_pages = need.bytes >> PAGE_SHIFT;
    mem = hosted_alloc((uint32_t)mem_pages, need.align);
    assert_true(mem != 0);
    memset(port_va(mem), 0xee, need.bytes);
    err = smmuv3_init(&smmu, FAKE_BASE, mem, need.bytes, VMID_FIRST);
    smmu.timeout_ns = 60000000000u; /* a loaded machine is no dead SMMU */
    return err;
}

static int setup(void **state)
{
    (void)state;
    hosted_log_quiet(true);
    fake_open(&fake);
    frames = calloc(FAKE_MEMORY >> PAGE_SHIFT, sizeof(*frames));
    frames_init(HOSTED_BASE, FAKE_MEMORY >> PAGE_SHIFT, frames, OWNER_HYP);
    frame_pools_reset();
    uint64_t pa = hosted_alloc(TABLES, TABLES * PAGE_SIZE);
    assert_int_equal(frame_pool_add_tables(pa, TABLES), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    const char *wrong = fake.wrong;
    fake_close(&fake);
    frame_pools_reset();
    free(frames);
    if (wrong) {
        fprintf(stderr, "the SMMU was asked something impossible: %s\n", wrong);
    }
    return wrong != NULL;
}

/* ---- trees and domains ---- */

static void tree(struct space *s, bool stage1)
{
    struct pt_config c = {
        .format = stage1 ? PT_ARM_S1_4K : PT_ARM_S2_4K,
        .ia_bits = 39,
        .oa_bits = smmu.im.caps.oa_bits,
        .start_level = 1,
        .live = smmu.im.caps.live,
        .incoherent = !smmu.im.caps.coherent,
    };
    memset(s, 0, sizeof(*s));
    int n = pt_root_pages(&c);
    assert_true(n > 0);
    uint64_t root = frame_tables_root((uint32_t)n);
    assert_true(root != 0);
    assert_int_equal(pt_init(&s->pt, &c, root), 0);
}

static void map(struct space *s, uint64_t ia, uint64_t oa, uint64_t len)
{
    struct pt_pool p = { 0 };
    uint32_t prot = RW | (s->pt.cfg.format == PT_ARM_S1_4K ? (uint32_t)PT_USER : 0u);
    uint32_t need;
    assert_int_equal(pt_need_map(&s->pt, ia, oa, len, 0, &need), 0);
    assert_int_equal(frame_tables_reserve(&p, need), 0);
    assert_int_equal(pt_map(&s->pt, ia, oa, len, prot, 0, &p), 0);
    frame_tables_release(&p);
}

static void unmap(struct iommu_domain *d, uint64_t ia, uint64_t len)
{
    struct pt_gather g;
    pt_gather_init(&g);
    assert_int_equal(pt_unmap(&d->space->pt, ia, len, &g), 0);
    d->inv.issue(&d->inv, &g);
    d->inv.wait(&d->inv);
    pt_gather_done(&d->space->pt, &g);
    frame_tables_release(&g.freed);
}

static int domain(struct iommu_domain *d, struct space *s, owner_t owner, uint16_t tag)
{
    memset(d, 0, sizeof(*d));
    d->space = s;
    d->owner = owner;
    d->tag = tag;
    return smmu.im.ops->domain_init(&smmu.im, d);
}

static bool dma(uint32_t sid, uint64_t iova, uint64_t *pa)
{
    *pa = ~(uint64_t)0;
    return fake_dma(&fake, sid, iova, true, pa);
}

#define GOES(sid, iova, want)              \
    do {                                   \
        uint64_t pa_;                      \
        assert_true(dma(sid, iova, &pa_)); \
        assert_int_equal(pa_, want);       \
    } while (0)
#define BLOCKED(sid, iova)                  \
    do {                                    \
        uint64_t pa_;                       \
        assert_false(dma(sid, iova, &pa_)); \
    } while (0)

static bool event(struct iommu_event *ev)
{
    return smmu.im.ops->next_event(&smmu.im, ev);
}

static int attach(uint32_t sid, struct iommu_domain *d)
{
    return smmu.im.ops->attach(&smmu.im, sid, d);
}

static void detach(uint32_t sid)
{
    smmu.im.ops->detach(&smmu.im, sid);
}

static void fini(struct iommu_domain *d)
{
    smmu.im.ops->domain_fini(&smmu.im, d);
}

/* ---- bring-up ---- */

static void starts_closed(void **state)
{
    (void)state;
    uint64_t pa;
    assert_true(dma(SID, 0x1000, &pa)); /* out of reset everything passes */
    assert_int_equal(start(), 0);
    assert_int_equal(fake.cr0, 13);
    assert_true(fake.gbpa & 1u << 20);
    assert_int_equal(fake.cr1, 0xd75);
    assert_int_equal(fake.cr2, 2);
    assert_int_equal(fake.irq_ctrl, 0);
    assert_true(fake.syncs > 0);
    struct iommu_event ev;
    assert_false(event(&ev));
    for (uint32_t sid = 0; sid < 0x10000; sid += 0x77) {
        BLOCKED(sid, 0x1000);
        assert_true(event(&ev));
        assert_int_equal(ev.type, 2);
        assert_int_equal(ev.sid, sid);
    }
    assert_false(event(&ev));
}

static void takes_over_a_running_one(void **state)
{
    (void)state;
    fake.cr0 = fake.cr0ack = 13;
    fake.irq_ctrl = 7;
    fake.gerror = 4; /* an old error */
    fake.evt_prod = 5;
    assert_int_equal(start(), 0);
    assert_int_equal(fake.gerror, fake.gerrorn);
    assert_int_equal(fake.irq_ctrl, 0);
    struct iommu_event ev;
    assert_false(event(&ev));
}

static void refuses_what_it_cannot_run(void **state)
{
    (void)state;
    struct smmuv3_mem need;
    assert_int_equal(smmuv3_mem_need(FAKE_BASE, &need), 0);
    uint64_t at = hosted_alloc((uint32_t)(2 * need.bytes >> PAGE_SHIFT), 2 * need.align);
    assert_int_equal(smmuv3_init(&smmu, FAKE_BASE, at, need.bytes - 1, 1), -EINVAL);
    assert_int_equal(smmuv3_init(&smmu, FAKE_BASE, at + PAGE_SIZE, need.bytes, 1), -EINVAL);
    assert_int_equal(smmuv3_init(&smmu, FAKE_BASE, at, need.bytes, 0), -EINVAL);
    assert_int_equal(smmuv3_init(&smmu, FAKE_BASE, at, need.bytes, SMMUV3_TAGS), -EINVAL);
    assert_int_equal(fake.writes, 0); /* a refused call touches nothing */
    fake.idr0 &= ~3u;
    assert_int_equal(smmuv3_mem_need(FAKE_BASE, &need), -ENODEV);
    assert_int_equal(smmuv3_init(&smmu, FAKE_BASE, at, need.bytes, 1), -ENODEV);
    assert_int_equal(fake.writes, 0);
}

/* ---- streams ---- */

static void one_stream(bool stage1)
{
    struct space s;
    struct iommu_domain d;
    struct iommu_event ev;
    assert_int_equal(start(), 0);
    tree(&s, stage1);
    map(&s, 0x100000, DATA, 0x4000);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
    assert_int_equal(d.stage1, stage1);
    BLOCKED(SID, 0x100000);
    assert_int_equal(attach(SID, &d), 0);
    GOES(SID, 0x101010, DATA + 0x1010);
    BLOCKED(SID, 0x104000);
    BLOCKED(SID + 1, 0x100000);     /* a neighbour in the same second-level table */
    BLOCKED(SID + 0x100, 0x100000); /* another bus: no table at all */
    static const unsigned types[] = { 2, 0x10, 4, 2 };
    for (unsigned i = 0; i < 4; i++) {
        assert_true(event(&ev));
        assert_int_equal(ev.type, types[i]);
    }
    assert_false(event(&ev));
    /* Unmapped: gone when wait returns; the rest stays. */
    GOES(SID, 0x102000, DATA + 0x2000);
    unmap(&d, 0x102000, 0x1000);
    BLOCKED(SID, 0x102000);
    GOES(SID, 0x101000, DATA + 0x1000);
    map(&s, 0x102000, DATA + 0x9000, 0x1000);
    GOES(SID, 0x102000, DATA + 0x9000);
    detach(SID);
    BLOCKED(SID, 0x101000);
    detach(SID); /* harmless */
    assert_int_equal(attach(SID, &d), 0);
    GOES(SID, 0x101000, DATA + 0x1000);
    detach(SID);
    fini(&d);
    assert_int_equal(smmu.cmd_errors, 0);
    assert_false(smmu.failed);
}

static void stream_stage2(void **state)
{
    (void)state;
    one_stream(false);
}

static void stream_stage1(void **state)
{
    (void)state;
    one_stream(true);
}

static void stream_only_stage2(void **state)
{
    (void)state;
    fake.idr0 &= ~2u;
    one_stream(false);
    struct space s;
    struct iommu_domain d;
    tree(&s, true);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), -EOPNOTSUPP);
}

static void stream_only_stage1(void **state)
{
    (void)state;
    fake.idr0 &= ~1u;
    one_stream(true);
    struct space s;
    struct iommu_domain d;
    tree(&s, false);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), -EOPNOTSUPP);
}

static void stream_no_ranges(void **state)
{
    (void)state;
    fake.idr3 &= ~(1u << 10);
    one_stream(false);
}

static void stream_linear_table(void **state)
{
    (void)state;
    struct space s;
    struct iommu_domain d;
    fake.idr0 &= ~(3u << 27);
    fake.idr1 = (fake.idr1 & ~0x3fu) | 10u;
    assert_int_equal(start(), 0);
    assert_int_equal(fake.strtab_cfg, 10);
    tree(&s, false);
    map(&s, 0, DATA, 0x1000);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
    uint64_t left = frame_tables_free();
    BLOCKED(1023, 0);
    assert_int_equal(attach(1023, &d), 0);
    GOES(1023, 0x10, DATA + 0x10);
    BLOCKED(1022, 0);
    assert_int_equal(attach(1024, &d), -ERANGE);
    detach(5000);
    assert_int_equal(frame_tables_free(), left); /* it has a table of its own */
}

/* Every stream of a bus, and a bus at each end. */
static void two_level_table(void **state)
{
    (void)state;
    struct space s;
    struct iommu_domain d;
    assert_int_equal(start(), 0);
    assert_int_equal(fake.strtab_cfg, 1u << 16 | 8u << 6 | 16u);
    tree(&s, false);
    map(&s, 0, DATA, 0x1000);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
    uint64_t left = frame_tables_free();
    static const uint32_t sids[] = { 0, 1, 255, 256, 0x7fff, 0xff00, 0xffff };
    for (unsigned i = 0; i < 7; i++) {
        BLOCKED(sids[i], 0);
        assert_int_equal(attach(sids[i], &d), 0);
        GOES(sids[i], 8, DATA + 8);
    }
    assert_int_equal(left - frame_tables_free(), 4 * 4); /* buses 0, 1, 7f, ff */
    assert_int_equal(attach(0x10000, &d), -ERANGE);
    for (unsigned i = 0; i < 7; i++) {
        detach(sids[i]);
        BLOCKED(sids[i], 8);
    }
    /* No table left for another bus: refused, and nothing changed. */
    while (frame_tables_root(4) != 0) {
    }
    assert_int_equal(attach(0x300, &d), -ENOMEM);
    BLOCKED(0x300, 0);
    assert_int_equal(attach(0x10, &d), 0);
}

static void replace_in_one_store(void **state)
{
    (void)state;
    struct space a, b;
    struct iommu_domain da, db;
    assert_int_equal(start(), 0);
    tree(&a, false);
    tree(&b, false);
    map(&a, 0, DATA, 0x2000);
    map(&b, 0, DATA + 0x100000, 0x1000);
    assert_int_equal(domain(&da, &a, OWNER_HOST, 1), 0);
    assert_int_equal(da.tag, 1);
    assert_int_equal(domain(&db, &b, OWNER_VM0, 1), -EBUSY); /* another's VMID */
    assert_int_equal(domain(&db, &b, OWNER_HOST, SMMUV3_TAGS), -EINVAL);
    assert_int_equal(domain(&db, &b, OWNER_HOST, 1), 0);
    assert_int_equal(attach(SID, &da), 0);
    GOES(SID, 0, DATA);
    GOES(SID, 0x1000, DATA + 0x1000);
    assert_int_equal(attach(SID, &db), 0);
    assert_int_equal(smmu.hitless, 1);
    assert_int_equal(smmu.broken, 0);
    /* Nothing cached of the old tree is left. */
    GOES(SID, 0, DATA + 0x100000);
    BLOCKED(SID, 0x1000);
    /* Tag and root at once: through abort, and counted. */
    struct iommu_domain dc;
    assert_int_equal(domain(&dc, &a, OWNER_VM0, 0), 0);
    assert_int_equal(dc.tag, VMID_FIRST);
    assert_int_equal(attach(SID, &dc), 0);
    assert_int_equal(smmu.broken, 1);
    GOES(SID, 0, DATA);
    /* One user of the shared tag leaves: it stays taken. */
    fini(&db);
    assert_int_equal(domain(&db, &b, OWNER_VM0, 1), -EBUSY);
    fini(&da);
    assert_int_equal(domain(&db, &b, OWNER_VM0, 1), 0);
    fini(&db);
}

/* Stores to the entry as they happen, with the device trying at each: the real writer, in the real
 * order, against caches that keep all they may. */
static uint64_t watched_old, watched_new;
static bool watch_may_block;
static unsigned watch_seen;

static void try_dma(void *ctx, const struct hosted_store *st)
{
    (void)ctx, (void)st;
    uint64_t pa;
    watch_seen++;
    if (dma(SID, 0, &pa)) {
        if (pa != watched_old && pa != watched_new) {
            fail_msg("between two stores the device got to %#lx", (unsigned long)pa);
        }
    } else if (!watch_may_block) {
        fail_msg("between two stores the device was blocked");
    }
}

static void try_dma_published(void *ctx)
{
    try_dma(ctx, NULL);
}

static void replace_under_dma(void **state)
{
    (void)state;
    struct space s[4];
    struct iommu_domain d[4];
    assert_int_equal(start(), 0);
    for (unsigned i = 0; i < 4; i++) {
        tree(&s[i], i == 3);
        map(&s[i], 0, DATA + i * 0x100000, 0x1000);
        /* 0 and 1 share a tag, 2 and 3 have their own */
        assert_int_equal(domain(&d[i], &s[i], OWNER_HOST, i < 2 ? 1 : 0), 0);
    }
    static const struct hosted_hook hook = { .before = try_dma,
                                             .after = try_dma,
                                             .publish = try_dma_published };
    for (unsigned a = 0; a < 5; a++) {
        for (unsigned b = 0; b < 5; b++) {
            if (a == 4) {
                detach(SID);
            } else {
                assert_int_equal(attach(SID, &d[a]), 0);
            }
            watched_old = DATA + a * 0x100000;
            watched_new = DATA + b * 0x100000;
            /* In one step exactly between the two of one tag, and onto itself. */
            watch_may_block = !(a < 4 && (a == b || a + b == 1));
            uint64_t pa;
            (void)dma(SID, 0, &pa);
            hosted_set_hook(&hook);
            if (b == 4) {
                detach(SID);
            } else {
                assert_int_equal(attach(SID, &d[b]), 0);
            }
            hosted_set_hook(NULL);
            if (b == 4) {
                BLOCKED(SID, 0);
            } else {
                GOES(SID, 0, watched_new);
            }
        }
    }
    assert_true(watch_seen > 40);
    assert_false(smmu.failed);
}

static void tags(void **state)
{
    (void)state;
    static struct iommu_domain d[SMMUV3_TAGS + 1];
    struct space s2, s1;
    bool seen[SMMUV3_TAGS] = { false };
    assert_int_equal(start(), 0);
    tree(&s2, false);
    tree(&s1, true);
    unsigned n = 0;
    int err;
    while ((err = domain(&d[n], &s2, OWNER_VM0, 0)) == 0) {
        assert_true(d[n].tag >= VMID_FIRST && d[n].tag < SMMUV3_TAGS && !seen[d[n].tag]);
        seen[d[n].tag] = true;
        n++;
    }
    assert_int_equal(err, -ENOSPC);
    assert_int_equal(n, SMMUV3_TAGS - VMID_FIRST);
    fini(&d[5]);
    assert_int_equal(domain(&d[5], &s2, OWNER_VM0 + 1, 0), 0);
    while (n > 0) {
        fini(&d[--n]);
    }
    while ((err = domain(&d[n], &s1, OWNER_VM0, 0)) == 0) {
        assert_int_equal(d[n].tag, n + 1);
        n++;
    }
    assert_int_equal(err, -ENOSPC);
    assert_int_equal(n, SMMUV3_CDS);
    while (n > 0) {
        fini(&d[--n]);
    }
}

/* A tag that is handed on has nothing cached under it. */
static void tag_reuse(void **state)
{
    (void)state;
    struct space a, b;
    struct iommu_domain d;
    assert_int_equal(start(), 0);
    for (unsigned stage1 = 0; stage1 < 2; stage1++) {
        tree(&a, stage1);
        tree(&b, stage1);
        map(&a, 0, DATA, 0x1000);
        map(&b, 0, DATA + 0x100000, 0x1000);
        assert_int_equal(domain(&d, &a, OWNER_VM0, 0), 0);
        uint16_t tag = d.tag;
        assert_int_equal(attach(SID, &d), 0);
        GOES(SID, 0, DATA);
        detach(SID);
        fini(&d);
        assert_int_equal(domain(&d, &b, OWNER_VM0 + 1, 0), 0);
        assert_int_equal(d.tag, tag);
        assert_int_equal(attach(SID, &d), 0);
        GOES(SID, 0, DATA + 0x100000);
        detach(SID);
        fini(&d);
    }
}

static void refuses_other_trees(void **state)
{
    (void)state;
    struct space s;
    struct iommu_domain d;
    assert_int_equal(start(), 0);
    for (unsigned i = 0; i < 7; i++) {
        tree(&s, false);
        struct pt_config *c = &s.pt.cfg;
        switch (i) {
        case 0:
            c->fwb = true;
            break;
        case 1:
            c->oa_bits = 48;
            break;
        case 2:
            c->ia_bits = 48;
            break;
        case 3:
            c->live.hw_af = true;
            break;
        case 4:
            c->live.hw_dirty = true;
            break;
        case 5:
            c->ia_bits = 24;
            break;
        default:
            c->live.bbm = 3;
            break;
        }
        assert_int_equal(domain(&d, &s, OWNER_VM0, 0), -EOPNOTSUPP);
    }
    fake_close(&fake);
    fake_open(&fake);
    fake.idr0 &= ~(1u << 4); /* does not snoop */
    assert_int_equal(start(), 0);
    assert_int_equal(fake.cr1, 0);
    tree(&s, false);
    s.pt.cfg.incoherent = false;
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), -EOPNOTSUPP);
    s.pt.cfg.incoherent = true;
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
}

/* ---- invalidation ---- */

/* Each kind of record does what the model TLB needs for it, and wait() makes it true. */
static void records(void **state)
{
    (void)state;
    struct space s;
    struct iommu_domain d;
    struct pt_pool pool = { 0 };
    struct pt_gather g;
    for (unsigned ril = 0; ril < 2; ril++) {
        if (ril == 0) {
            fake.idr3 &= ~(1u << 10);
        } else {
            fake.idr3 |= 1u << 10;
        }
        for (unsigned stage1 = 0; stage1 < 2; stage1++) {
            assert_int_equal(start(), 0);
            tree(&s, stage1);
            map(&s, 0x40000000, DATA & ~(uint64_t)0x3fffffff, 0x40000000); /* a 1G leaf */
            assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
            assert_int_equal(attach(SID, &d), 0);
            uint64_t base = DATA & ~(uint64_t)0x3fffffff;
            GOES(SID, 0x40003000, base + 0x3000);
            GOES(SID, 0x7ffff000, base + 0x3ffff000);
            /* cut: the 1G entry goes */
            pt_gather_init(&g);
            assert_int_equal(frame_tables_reserve(&pool, 4), 0);
            assert_int_equal(pt_cut(&s.pt, 0x40003000, 0x1000, &pool, &g), 0);
            d.inv.issue(&d.inv, &g);
            d.inv.wait(&d.inv);
            pt_gather_done(&s.pt, &g);
            GOES(SID, 0x40003000, base + 0x3000);
            /* break one page of it */
            assert_int_equal(pt_break(&s.pt, 0x40003000, 0x1000, &g), 0);
            d.inv.issue(&d.inv, &g);
            d.inv.wait(&d.inv);
            pt_gather_done(&s.pt, &g);
            BLOCKED(SID, 0x40003000);
            GOES(SID, 0x40002000, base + 0x2000);
            GOES(SID, 0x40004000, base + 0x4000);
            map(&s, 0x40003000, base + 0x3000, 0x1000);
            GOES(SID, 0x40003000, base + 0x3000);
            /* merge: table entries go, walk caches too */
            assert_true(pt_merge(&s.pt, 0x40003000, 0x1000, 0, &g) > 0);
            d.inv.issue(&d.inv, &g);
            d.inv.wait(&d.inv);
            uint64_t freed = g.freed.count;
            pt_gather_done(&s.pt, &g);
            assert_true(g.freed.count >= freed);
            while (g.freed.head != 0) { /* what a walker must never see again */
                memset(port_va(pt_pool_pop(&g.freed)), 0, PAGE_SIZE);
            }
            for (uint64_t ia = 0x40000000; ia < 0x40006000; ia += 0x1000) {
                GOES(SID, ia, base + ia - 0x40000000);
            }
            GOES(SID, 0x7ffff000, base + 0x3ffff000);
            /* everything */
            g.all = true;
            pt_gather_init(&g);
            pt_clear(&s.pt, &g);
            assert_true(g.all);
            d.inv.issue(&d.inv, &g);
            d.inv.wait(&d.inv);
            BLOCKED(SID, 0x40003000);
            BLOCKED(SID, 0x7ffff000);
            frame_tables_release(&pool);
            detach(SID);
            fini(&d);
        }
    }
}

static void only_its_own_tag(void **state)
{
    (void)state;
    struct space a, b;
    struct iommu_domain da, db;
    assert_int_equal(start(), 0);
    tree(&a, false);
    tree(&b, false);
    map(&a, 0, DATA, 0x1000);
    map(&b, 0, DATA + 0x100000, 0x1000);
    assert_int_equal(domain(&da, &a, OWNER_VM0, 0), 0);
    assert_int_equal(domain(&db, &b, OWNER_VM0 + 1, 0), 0);
    assert_int_equal(attach(SID, &da), 0);
    assert_int_equal(attach(SID + 8, &db), 0);
    GOES(SID, 0, DATA);
    GOES(SID + 8, 0, DATA + 0x100000);
    struct pt_gather g;
    pt_gather_init(&g);
    g.all = true;
    uint64_t before = fake.cmds;
    da.inv.issue(&da.inv, &g);
    assert_int_equal(fake.cmds, before); /* queued only: no register is touched */
    da.inv.wait(&da.inv);
    assert_int_equal(fake.cmds, before + 2);
    assert_int_equal(fake.log[before].w[0], 0x28 | (uint64_t)da.tag << 32);
    assert_int_equal(fake.log[before + 1].w[0], 0x46);
}

/* ---- the queue ---- */

static void one_doorbell_a_batch(void **state)
{
    (void)state;
    struct space s;
    struct iommu_domain d;
    struct pt_gather g;
    assert_int_equal(start(), 0);
    tree(&s, false);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
    uint64_t rings = fake.prod_writes, reads = fake.reads, cmds = fake.cmds;
    pt_gather_init(&g);
    pt_gather_add(&g, 0x1000, 0x1fff, 3, false);
    pt_gather_add(&g, 0x200000, 0x3fffff, 2, false);
    d.inv.issue(&d.inv, &g);
    d.inv.wait(&d.inv);
    assert_int_equal(fake.prod_writes - rings, 1);
    assert_int_equal(fake.reads - reads, 1); /* CONS, once */
    assert_int_equal(fake.cmds - cmds, 3);
}

static void queue_wraps_and_fills(void **state)
{
    (void)state;
    struct space s;
    struct iommu_domain d;
    struct pt_gather g;
    fake.idr1 = (fake.idr1 & ~(0x1fu << 21)) | 3u << 21; /* 8 commands */
    fake.lag = 3;
    assert_int_equal(start(), 0);
    assert_int_equal(smmu.cmdq.log2, 3);
    tree(&s, false);
    map(&s, 0, DATA, 0x100000);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
    assert_int_equal(attach(SID, &d), 0);
    uint64_t before = fake.cmds, added = smmu.cmds;
    for (unsigned i = 0; i < 300; i++) {
        uint64_t ia = (uint64_t)(i % 200) << 12;
        GOES(SID, ia, DATA + ia);
        pt_gather_init(&g);
        assert_int_equal(pt_break(&s.pt, ia, 0x1000, &g), 0);
        d.inv.issue(&d.inv, &g);
        for (unsigned k = 0; k < i % 4; k++) { /* more than the queue holds, before any sync */
            pt_gather_init(&g);
            for (uint64_t j = 0; j < 5; j++) {
                pt_gather_add(&g, 0x10000000 + j * 0x3000, 0x10000fff + j * 0x3000, 3, false);
            }
            d.inv.issue(&d.inv, &g);
        }
        d.inv.wait(&d.inv);
        BLOCKED(SID, ia);
        map(&s, ia, DATA + ia, 0x1000);
    }
    assert_int_equal(fake.cmds - before, smmu.cmds - added); /* none lost, none doubled */
    assert_false(smmu.failed);
    assert_null(fake.wrong);
}

static void illegal_command_is_made_good(void **state)
{
    (void)state;
    struct space s;
    struct iommu_domain d;
    assert_int_equal(start(), 0);
    tree(&s, false);
    map(&s, 0, DATA, 0x10000);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
    /* A refused CFGI_STE: the entry still takes effect, by CFGI_ALL. */
    BLOCKED(SID, 0);
    fake.ill_op = 0x03;
    fake.ill_times = 2;
    assert_int_equal(attach(SID, &d), 0);
    assert_int_equal(smmu.cmd_errors, 2);
    GOES(SID, 0x3000, DATA + 0x3000);
    /* A refused TLBI: what it was to invalidate is invalidated all the same. */
    fake.ill_op = 0x2a;
    fake.ill_times = 1;
    unmap(&d, 0x3000, 0x1000);
    assert_int_equal(smmu.cmd_errors, 3);
    BLOCKED(SID, 0x3000);
    assert_int_equal(fake.gerror & 1, fake.gerrorn & 1);
    assert_false(smmu.failed);
    /* The stale reason in CONS.ERR misleads nobody. */
    GOES(SID, 0x4000, DATA + 0x4000);
    unmap(&d, 0x4000, 0x1000);
    BLOCKED(SID, 0x4000);
    assert_int_equal(smmu.cmd_errors, 3);
    /* A failing fetch of commands is tried again. */
    fake.abort_times = 3;
    GOES(SID, 0x5000, DATA + 0x5000);
    unmap(&d, 0x5000, 0x1000);
    BLOCKED(SID, 0x5000);
    assert_int_equal(smmu.cmd_errors, 6);
    assert_false(smmu.failed);
}

/* What cannot be invalidated ends with nothing getting through, and no wait that hangs. */
static void closes_when(void (*trouble)(void))
{
    struct space s;
    struct iommu_domain d;
    struct pt_gather g;
    assert_int_equal(start(), 0);
    tree(&s, false);
    map(&s, 0, DATA, 0x10000);
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
    assert_int_equal(attach(SID, &d), 0);
    GOES(SID, 0x3000, DATA + 0x3000);
    trouble();
    smmu.timeout_ns = 2000000; /* what never comes need not be waited for */
    pt_gather_init(&g);
    assert_int_equal(pt_break(&s.pt, 0x3000, 0x1000, &g), 0);
    d.inv.issue(&d.inv, &g);
    d.inv.wait(&d.inv);
    assert_true(smmu.failed);
    BLOCKED(SID, 0x3000);
    BLOCKED(SID, 0x4000);
    assert_int_equal(fake.cr0, 0);
    assert_true(fake.gbpa & 1u << 20);
    /* It stays so. */
    assert_int_equal(attach(SID, &d), -EIO);
    struct iommu_domain other;
    assert_int_equal(domain(&other, &s, OWNER_VM0, 0), -EIO);
    for (unsigned i = 0; i < 1000; i++) {
        d.inv.issue(&d.inv, &g);
        d.inv.wait(&d.inv);
    }
    detach(SID);
    fini(&d);
    BLOCKED(SID, 0x4000);
}

static void never_consumes(void)
{
    fake.stuck = true;
}
static void refuses_the_substitute(void)
{
    fake.ill_op = 0x46;
    fake.ill_times = 100;
}
static void cannot_fetch(void)
{
    fake.abort_times = ~0u;
}
static void consumes_too_much(void)
{
    fake.lost_cons = 100;
}

static void closes_if_stuck(void **state)
{
    (void)state;
    closes_when(never_consumes);
}
static void closes_if_sync_is_illegal(void **state)
{
    (void)state;
    closes_when(refuses_the_substitute);
}
static void closes_if_commands_cannot_be_read(void **state)
{
    (void)state;
    closes_when(cannot_fetch);
}
static void closes_if_cons_is_mad(void **state)
{
    (void)state;
    closes_when(consumes_too_much);
}

static void start_times_out(void **state)
{
    (void)state;
    fake.deaf = true;
    struct smmuv3_mem need;
    assert_int_equal(smmuv3_mem_need(FAKE_BASE, &need), 0);
    uint64_t at = hosted_alloc((uint32_t)(need.bytes >> PAGE_SHIFT), need.align);
    assert_int_equal(smmuv3_init(&smmu, FAKE_BASE, at, need.bytes, 1), -ETIMEDOUT);
    assert_true(smmu.failed);
}

/* Several CPUs at once: each sees its own page gone when its own wait is over. */
#define THREADS 3
static struct iommu_domain shared_domain;
static struct port_lock shared_lock; /* the space's */

static void *worker(void *arg)
{
    uint64_t me = (uint64_t)(uintptr_t)arg, pa;
    for (unsigned i = 0; i < 150; i++) {
        uint64_t ia = (me * 200 + i) << 12;
        struct pt_gather g;
        if (!dma(SID, ia, &pa) || pa != DATA + ia) {
            return (void *)"lost a mapping";
        }
        port_lock(&shared_lock);
        pt_gather_init(&g);
        int err = pt_break(&shared_domain.space->pt, ia, 0x1000, &g);
        shared_domain.inv.issue(&shared_domain.inv, &g);
        port_unlock(&shared_lock);
        shared_domain.inv.wait(&shared_domain.inv);
        if (err != 0 || dma(SID, ia, &pa)) {
            return (void *)"stale after wait";
        }
    }
    return NULL;
}

static void many_cpus(void **state)
{
    (void)state;
    struct space s;
    pthread_t t[THREADS];
    fake.idr1 = (fake.idr1 & ~(0x1fu << 21)) | 4u << 21;
    fake.lag = 2;
    assert_int_equal(start(), 0);
    tree(&s, false);
    struct pt_pool pool = { 0 };
    assert_int_equal(frame_tables_reserve(&pool, 8), 0);
    assert_int_equal(pt_map(&s.pt, 0, DATA, THREADS * 200 << 12, RW, PAGE_SIZE, &pool), 0);
    frame_tables_release(&pool);
    assert_int_equal(domain(&shared_domain, &s, OWNER_VM0, 0), 0);
    assert_int_equal(attach(SID, &shared_domain), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, worker, (void *)i), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *why;
        pthread_join(t[i], &why);
        if (why) {
            fail_msg("%s", (const char *)why);
        }
    }
    assert_false(smmu.failed);
    assert_int_equal(smmu.cmds, fake.cmds);
}

/* ---- events ---- */

static void event_queue_overflows(void **state)
{
    (void)state;
    struct iommu_event ev;
    assert_int_equal(start(), 0);
    uint64_t w[4] = { 0x10, 0, 0, 0 };
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 1500; i++) { /* the queue holds 1024 */
            w[2] = i;
            fake_event(&fake, w);
        }
        unsigned n = 0, overflows = 0;
        while (event(&ev)) {
            assert_int_equal(ev.addr, n);
            overflows += ev.overflow;
            n++;
        }
        assert_int_equal(n, 1024);
        assert_int_equal(overflows, 1);
        assert_int_equal(fake.evt_prod, fake.evt_cons); /* acknowledged, flag too */
        assert_int_equal(smmu.evt_overflows, round + 1);
        /* Between overflows it works as before. */
        w[2] = 77;
        fake_event(&fake, w);
        assert_true(event(&ev));
        assert_int_equal(ev.addr, 77);
        assert_false(ev.overflow);
        assert_false(event(&ev));
    }
    assert_int_equal(smmu.im.events, 3 * 1025);
    fake.gerror ^= 4; /* event write aborted */
    assert_false(event(&ev));
    assert_int_equal(fake.gerror, fake.gerrorn);
    assert_int_equal(smmu.gerrors, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(starts_closed),
        T(takes_over_a_running_one),
        T(refuses_what_it_cannot_run),
        T(stream_stage2),
        T(stream_stage1),
        T(stream_only_stage2),
        T(stream_only_stage1),
        T(stream_no_ranges),
        T(stream_linear_table),
        T(two_level_table),
        T(replace_in_one_store),
        T(replace_under_dma),
        T(tags),
        T(tag_reuse),
        T(refuses_other_trees),
        T(records),
        T(only_its_own_tag),
        T(one_doorbell_a_batch),
        T(queue_wraps_and_fills),
        T(illegal_command_is_made_good),
        T(closes_if_stuck),
        T(closes_if_sync_is_illegal),
        T(closes_if_commands_cannot_be_read),
        T(closes_if_cons_is_mad),
        T(start_times_out),
        T(many_cpus),
        T(event_queue_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
