/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SMMUv3 driver against the fake SMMU (lib_smmu_fake.h): bring-up, streams, domains. DMA goes
 * through real page-table trees and the model TLB, so a missing command is a stale access here.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/lib_smmu_rig.h"

#include "hw/smmuv3/desc.h"
#include "hw/smmuv3/queue.h"
#include "port/hosted/hosted.h"
#include "tenon/errno.h"

/* ---- bring-up ---- */

static void starts_closed(void **state)
{
    (void)state;
    uint64_t pa;
    assert_true(dma(SID, 0x1000, &pa)); /* out of reset everything passes */
    assert_int_equal(rig_start(), 0);
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
    fake.idr0 |= 1u << 10; /* it knows ATS: what devices call translated is checked */
    assert_int_equal(rig_start(), 0);
    assert_int_equal(fake.cr0, 13 | 16);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
    assert_int_equal(fake.cr1, 0);
    tree(&s, false);
    s.pt.cfg.incoherent = false;
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), -EOPNOTSUPP);
    s.pt.cfg.incoherent = true;
    assert_int_equal(domain(&d, &s, OWNER_VM0, 0), 0);
}

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
