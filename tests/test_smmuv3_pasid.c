/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PASIDs on the SMMUv3 driver, on the fake SMMU: between any two stores, and at every command, the stream's
 * own DMA goes on; a PASID reaches its domain's tree and nothing else.
 */
#include "tests/lib_smmu_rig.h"

#include <string.h>

#include "port/hosted/hosted.h"
#include "tests/lib_pt.h"
#include "tenon/frame.h"
#include "tenon/smmuv3_pasid.h"

enum { IDS = 40, OWN = 0x1000, PAGE_A = 0x200000 };

static struct space space[3], s2;
static struct iommu_domain dom[3], dom2;
static struct pasid_set set;
static struct pasid *slots[IDS];
static struct pasid p[IDS];
static struct pasid_control control;
static bool watch;
static unsigned stores;
static uint64_t tables_before;

static bool goes(uint32_t pasid, uint64_t iova, uint64_t *pa)
{
    *pa = 0;
    return fake_dma_pasid(&fake, SID, (int)pasid, iova, true, pa);
}

/* The stream's own traffic never stops for the sake of a PASID. */
static void after(void *ctx, const struct hosted_store *s)
{
    uint64_t pa;

    (void)ctx;
    (void)s;
    if (watch) {
        stores++;
        for (unsigned i = 0; i < FAKE_CACHE; i++) {
            /* As long as it may read the table it is nobody else's. */
            bool table =
                fake.cfg[i].used && fake.cfg[i].sid == SID && fake.cfg[i].ste[0] >> 59 != 0;

            tp_assert(!table || frame_tables_free() < tables_before, "table-freed-early\n");
        }
        tp_assert(dma(SID, OWN, &pa) && pa == DATA, "stream-stopped\n");
        (void)goes(1, PAGE_A, &pa); /* whatever it reads it keeps */
        (void)goes(2, PAGE_A, &pa);
    }
}

static const struct hosted_hook hook = { .after = after };

/* Domain i has its own page at PAGE_A; where the PASID goes by that. -1: nowhere. */
static void reaches(uint32_t pasid, int i, const char *when)
{
    uint64_t pa;
    bool ok = goes(pasid, PAGE_A, &pa);

    tp_assert(ok == (i >= 0), "pasid-%s: PASID %u, %s\n", ok ? "stale" : "blocked", pasid, when);
    tp_assert(!ok || pa == DATA + (uint64_t)i * MIB, "pasid-wrong-tree: PASID %u, %s\n", pasid,
              when);
}

static void open_world(unsigned ssid_bits)
{
    fake.idr1 |= ssid_bits << 6;
    assert_int_equal(rig_start(), 0);
    for (unsigned i = 0; i < 3; i++) {
        tree(&space[i], true);
        map(&space[i], PAGE_A, DATA + i * MIB, 2 * PAGE_SIZE); /* the second keeps the table */
        assert_int_equal(iommu_domain_init(&smmu.im, &dom[i], &space[i], OWNER_VM0, -1), 0);
    }
    map(&space[0], OWN, DATA, PAGE_SIZE);
    assert_int_equal(pasid_set_init(&set, &smmuv3_pasid_ops, slots, IDS), 0);
    assert_int_equal(pasid_control_open(&control, &set, OWNER_VM0, IDS), 0);
    for (unsigned i = 0; i < IDS; i++) {
        assert_int_equal(pasid_control_alloc(&control, &p[i]), 0);
        assert_int_equal(pasid_control_shape(&control, p[i].id, &dom[1 + i % 2]), 0);
    }
    hosted_set_hook(&hook);
}

static void close_world(void)
{
    watch = false;
    pasid_control_close(&control);
    hosted_set_hook(NULL);
    (void)iommu_detach(&dom[0], SID);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(iommu_domain_fini(&dom[i]), 0);
    }
}

#define ON(i)  pasid_attach(&set, &smmu.im, SID, OWNER_VM0, p[i].id)
#define OFF(i) pasid_detach(&set, &smmu.im, SID, OWNER_VM0, p[i].id)

static void on_and_off(void **state)
{
    (void)state;
    open_world(20);
    assert_int_equal(iommu_attach(&dom[0], SID), 0);
    uint64_t tables = frame_tables_free(), syncs = smmu.syncs;

    tables_before = tables;
    watch = true;
    reaches(1, -1, "before");
    assert_int_equal(ON(0), 0);
    reaches(1, 1, "on");
    reaches(2, -1, "another's");
    assert_int_equal(frame_tables_free(), tables - 1);
    assert_int_equal(ON(1), 0);
    reaches(2, 2, "on");
    assert_int_equal(ON(IDS - 1), 0);
    reaches(IDS, 2, "on");
    /* What it shows is invalidated, though no stream is attached to it. */
    assert_int_equal(space_unmap(&space[1], PAGE_A, PAGE_SIZE), 0);
    reaches(1, -1, "unmapped");
    map(&space[1], PAGE_A, DATA + MIB, PAGE_SIZE);
    reaches(1, 1, "mapped again");
    assert_int_equal(iommu_domain_fini(&dom[1]), -EBUSY);
    assert_int_equal(pasid_control_shape(&control, p[0].id, &dom[2]), 0);
    reaches(1, 2, "moved");
    assert_int_equal(pasid_control_shape(&control, p[0].id, &dom[1]), 0);
    reaches(1, 1, "moved back");
    assert_int_equal(OFF(0), 0);
    reaches(1, -1, "off");
    reaches(2, 2, "its neighbour is off");
    assert_int_equal(OFF(IDS - 1), 0);
    assert_int_equal(OFF(1), 0);
    reaches(2, -1, "off");
    assert_int_equal(frame_tables_free(), tables);
    assert_true(stores > 20 && smmu.syncs > syncs);
    /* The stream is as it was: it moves to another domain, and ends. */
    watch = false;
    assert_int_equal(iommu_replace(&dom[0], &dom[1], SID), 0);
    GOES(SID, PAGE_A, DATA + MIB);
    assert_int_equal(iommu_detach(&dom[1], SID), 0);
    BLOCKED(SID, PAGE_A);
    close_world();
}

/* A table is given to somebody else: the SMMU does not look into it any more. */
static void table_is_given_back(void **state)
{
    (void)state;
    open_world(5);
    assert_int_equal(iommu_attach(&dom[0], SID), 0);
    tables_before = frame_tables_free();
    watch = true;
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(ON(0), 0);
        reaches(1, 1, "on");
        assert_int_equal(OFF(0), 0);
        uint64_t pa = frame_tables_root(1);

        memset(port_va(pa), 0xff, PAGE_SIZE);
        reaches(1, -1, "table given back");
        assert_true(dma(SID, OWN, &(uint64_t){ 0 }));
        frame_tables_put(pa, 1);
    }
    close_world();
}

static void refused(void **state)
{
    (void)state;
    open_world(4);
    tree(&s2, false);
    assert_int_equal(iommu_domain_init(&smmu.im, &dom2, &s2, OWNER_VM0, -1), 0);
    assert_int_equal(ON(0), -ENODEV); /* no domain of the stream's own */
    assert_int_equal(iommu_attach(&dom2, SID), 0);
    uint64_t tables = frame_tables_free();

    assert_int_equal(ON(0), -ENODEV); /* of stage 2 */
    assert_int_equal(iommu_detach(&dom2, SID), 0);
    assert_int_equal(iommu_attach(&dom[0], SID), 0);
    assert_int_equal(pasid_control_shape(&control, p[2].id, &dom2), 0);
    assert_int_equal(ON(2), -EOPNOTSUPP);
    assert_int_equal(ON(15), -ERANGE); /* PASID 16, of 4 bits */
    struct pt_pool all = { 0 };

    assert_int_equal(frame_tables_reserve(&all, (uint32_t)frame_tables_free()), 0);
    assert_int_equal(ON(0), -ENOMEM);
    frame_tables_release(&all);
    assert_int_equal(frame_tables_free(), tables);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(dom[i].devices, i == 0);
    }
    GOES(SID, OWN, DATA);
    assert_int_equal(pasid_control_shape(&control, p[2].id, NULL), 0);
    assert_int_equal(iommu_domain_fini(&dom2), 0);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = { T(on_and_off), T(table_is_given_back), T(refused) };

    return cmocka_run_group_tests_name("smmuv3_pasid", tests, NULL, NULL);
}
