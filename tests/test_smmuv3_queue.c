/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SMMUv3 driver against the fake SMMU: invalidation by every kind of record, the command queue
 * under every kind of trouble, the event queue.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib_smmu_rig.h"

#include "hw/smmuv3/desc.h"
#include "hw/smmuv3/queue.h"
#include "port/hosted/hosted.h"
#include "tenon/errno.h"

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
            assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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
    assert_int_equal(rig_start(), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
