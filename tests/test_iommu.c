/* SPDX-License-Identifier: BSD-2-Clause */
/* Domains over a driver made for the test: what fits, streams, pinned maps, and who is refused. */
#include "lib_space.h"

#include <stdlib.h>
#include <string.h>

#include "tenon/iommu.h"

/* ---- a driver ---- */

static struct {
    unsigned attached, detached, issued, waited, whole;
    int fail_attach, fail_init;
    struct iommu_domain *at[4]; /* by stream, for the four lowest */
    bool flushed_before_attach;
} drv;

static struct ts_walker *behind; /* the model TLB that the domain's invalidations go to */

static void drv_issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    drv.issued++;
    drv.whole += g->all;
    if (behind != NULL) {
        behind->inv.issue(&behind->inv, g);
    }
}

static void drv_wait(struct invalidator *inv)
{
    (void)inv;
    drv.waited++;
    if (behind != NULL) {
        behind->inv.wait(&behind->inv);
    }
}

static int drv_attach(struct iommu *im, uint32_t sid, struct iommu_domain *d)
{
    (void)im;
    if (drv.fail_attach != 0) {
        return drv.fail_attach;
    }
    drv.attached++;
    drv.flushed_before_attach = drv.whole != 0;
    if (sid < 4) {
        drv.at[sid] = d;
    }
    return 0;
}

static void drv_detach(struct iommu *im, uint32_t sid)
{
    (void)im;
    drv.detached++;
    if (sid < 4) {
        drv.at[sid] = NULL;
    }
}

static int drv_init(struct iommu *im, struct iommu_domain *d)
{
    (void)im;
    if (drv.fail_init != 0) {
        return drv.fail_init;
    }
    d->tag = d->tag == 0 ? 99 : d->tag;
    d->inv = (struct invalidator){ .issue = drv_issue, .wait = drv_wait };
    return 0;
}

static void drv_fini(struct iommu *im, struct iommu_domain *d)
{
    (void)im;
    memset(&d->inv, 0, sizeof(d->inv));
}

static const struct iommu_ops ops = {
    .attach = drv_attach, .detach = drv_detach, .domain_init = drv_init, .domain_fini = drv_fini
};
static struct iommu im;

static void open_iommu(void)
{
    memset(&drv, 0, sizeof(drv));
    behind = NULL;
    im = (struct iommu){
        .ops = &ops,
        .caps = { .stage1 = true,
                  .stage2 = true,
                  .live = { .bbm = 2, .hw_af = true },
                  .ia_bits = 44,
                  .oa_bits = 44,
                  .vmid_bits = 16,
                  .asid_bits = 16,
                  .sid_bits = 8,
                  .coherent = true },
    };
}

/* ---- what fits ---- */

static void own_config(void **state)
{
    const uint8_t oas[] = { 32, 36, 40, 42, 44, 48 };
    struct pt_config cfg;

    (void)state;
    open_iommu();
    for (unsigned s = 1; s < 4; s++) {
        for (unsigned i = 0; i < 6; i++) {
            im.caps.stage1 = s & 1;
            im.caps.stage2 = s & 2;
            im.caps.oa_bits = oas[i];
            im.caps.ia_bits = s & 2 ? oas[i] : 48;
            im.caps.coherent = i & 1;
            assert_int_equal(iommu_own_config(&im, &cfg), 0);
            assert_int_equal(cfg.format, s & 2 ? PT_ARM_S2_4K : PT_ARM_S1_4K);
            tp_assert(pt_root_pages(&cfg) > 0, "ia %u oa %u level %u\n", cfg.ia_bits, cfg.oa_bits,
                      cfg.start_level);
            assert_true(cfg.ia_bits >= im.caps.oa_bits); /* identity maps fit */
            assert_int_equal(cfg.incoherent, !im.caps.coherent);
        }
    }
    im.caps.stage1 = im.caps.stage2 = false;
    assert_int_equal(iommu_own_config(&im, &cfg), -EOPNOTSUPP);
}

static void share_check(void **state)
{
    const struct {
        const char *word; /* in the reason */
        int field;
    } no[] = { { "stage 2", 0 }, { "input", 1 }, { "output", 2 },  { "FWB", 3 },
               { "XNX", 4 },     { "snoop", 5 }, { "break", 6 },   { "access", 7 },
               { "dirty", 8 },   { "wait", 9 },  { "stage-2", 10 } };

    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        struct pt_config cpu = ts_config(PT_ARM_S2_4K, 2, true);
        const char *why = "?";

        open_iommu();
        cpu.live = pt_live_meet(cpu.live, im.caps.live);
        switch (i < 11 ? no[i].field : -1) {
        case 0:
            im.caps.stage2 = false;
            break;
        case 1:
            im.caps.ia_bits = 39;
            break;
        case 2:
            im.caps.oa_bits = 36;
            break;
        case 3:
            cpu.fwb = true;
            break;
        case 4:
            cpu.xnx = true;
            break;
        case 5:
            im.caps.coherent = false;
            break;
        case 6:
            im.caps.live.bbm = 1;
            break;
        case 7:
            im.caps.live.hw_af = false;
            break;
        case 8:
            cpu.live.hw_dirty = true;
            break;
        case 9:
            cpu.live.stalls = true;
            break;
        case 10:
            cpu.format = PT_ARM_S1_4K;
            break;
        default:
            break;
        }
        int err = iommu_share_check(&im, &cpu, &why);

        if (i == 11) {
            assert_int_equal(err, 0);
            assert_null(why);
            continue;
        }
        assert_int_equal(err, -EOPNOTSUPP);
        tp_assert(why != NULL && strstr(why, no[i].word) != NULL, "%u: %s\n", i, why);
    }
}

/* ---- streams ---- */

static void streams(void **state)
{
    struct iommu_domain d, e;
    struct space s, s2;
    struct pt_config cfg;

    (void)state;
    ts_memory(0, false);
    open_iommu();
    assert_int_equal(iommu_own_config(&im, &cfg), 0);
    assert_int_equal(space_init(&s, SPACE_IO, &cfg), 0);
    assert_int_equal(space_init(&s2, SPACE_IO, &cfg), 0);
    /* Refused: nothing is left behind. */
    drv.fail_init = -ENOSPC;
    assert_int_equal(iommu_domain_init(&im, &d, &s, OWNER_HOST, -1), -ENOSPC);
    drv.fail_init = 0;
    im.caps.oa_bits = 36;
    assert_int_equal(iommu_domain_init(&im, &d, &s, OWNER_HOST, -1), -EOPNOTSUPP);
    im.caps.oa_bits = 44;
    assert_int_equal(iommu_domain_init(&im, &d, &s, OWNER_NONE, -1), -EINVAL);
    assert_int_equal(iommu_domain_init(&im, &d, &s, OWNER_HOST, 65536), -EINVAL);
    assert_null(s.walker[0]);
    assert_int_equal(iommu_domain_init(&im, &d, &s, OWNER_HOST, -1), 0);
    assert_int_equal(iommu_domain_init(&im, &e, &s2, OWNER_HOST, 7), 0);
    assert_true(d.tag == 99 && e.tag == 7);
    assert_ptr_equal(s.walker[0], &d.inv);

    /* No device: nobody is asked to forget anything. */
    assert_int_equal(space_map(&s, GIB, TS_HOST, 8192, RW | PT_USER), 0);
    assert_int_equal(space_unmap(&s, GIB, 4096), 0);
    assert_int_equal(drv.issued + drv.waited, 0);
    assert_null(iommu_domain_of(&im, 1));
    assert_int_equal(iommu_attach(&d, 256), -ERANGE);
    drv.fail_attach = -ENOMEM;
    assert_int_equal(iommu_attach(&d, 1), -ENOMEM);
    assert_null(iommu_domain_of(&im, 1));
    assert_int_equal(d.devices, 0);
    drv.fail_attach = 0;
    drv.whole = 0;
    assert_int_equal(iommu_attach(&d, 1), 0);
    tp_assert(drv.flushed_before_attach, "attached-with-stale-tag\n");
    assert_ptr_equal(iommu_domain_of(&im, 1), &d);
    unsigned issued = drv.issued;

    assert_int_equal(space_unmap(&s, GIB + 4096, 4096), 0);
    assert_int_equal(drv.issued, issued + 1);
    assert_int_equal(iommu_attach(&d, 1), -EBUSY);
    assert_int_equal(iommu_attach(&e, 1), -EBUSY);
    assert_int_equal(iommu_detach(&e, 1), -ENOENT);
    assert_int_equal(iommu_detach(&d, 2), -ENOENT);
    assert_int_equal(iommu_domain_fini(&d), -EBUSY);
    assert_int_equal(iommu_replace(&e, &d, 1), -ENOENT);
    drv.fail_attach = -EIO;
    assert_int_equal(iommu_replace(&d, &e, 1), -EIO);
    assert_ptr_equal(iommu_domain_of(&im, 1), &d);
    drv.fail_attach = 0;
    unsigned detached = drv.detached;

    assert_int_equal(iommu_replace(&d, &e, 1), 0);
    assert_int_equal(drv.detached, detached); /* no gap */
    assert_true(d.devices == 0 && e.devices == 1 && drv.at[1] == &e);
    for (uint32_t sid = 2; sid < 1 + IOMMU_STREAMS; sid++) {
        assert_int_equal(iommu_attach(&d, sid), 0);
    }
    assert_int_equal(iommu_attach(&d, 200), -ENOSPC);
    for (uint32_t sid = 2; sid < 1 + IOMMU_STREAMS; sid++) {
        assert_int_equal(iommu_detach(&d, sid), 0);
    }
    assert_int_equal(iommu_detach(&e, 1), 0);
    assert_int_equal(iommu_domain_fini(&d), 0);
    assert_int_equal(iommu_domain_fini(&e), 0);
    assert_null(s.walker[0]);
    space_destroy(&s);
    space_destroy(&s2);
    assert_int_equal(frame_tables_free(), TS_TABLES - 1);
}

/* ---- pinned maps ---- */

static struct ts t;
static struct ts_tree *tree;

/* Refused, and no frame, pin, table or pool knows of it. */
#define REFUSED(call, want) TS_REFUSED(&t, call, want, ts_judge)

static void open_domain(struct iommu_domain *d, owner_t owner)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, false);

    ts_open(&t, 512 * 2, true, 60);
    open_iommu();
    tree = ts_tree(&t, 0, "domain", TS_SMMU, &cfg);
    /* The domain stands between the space and the model TLB. */
    behind = &tree->w[0];
    assert_int_equal(space_remove_walker(&tree->s, &behind->inv), 0);
    assert_int_equal(iommu_domain_init(&im, d, &tree->s, owner, -1), 0);
    assert_int_equal(iommu_attach(d, 1), 0);
}

static void close_domain(struct iommu_domain *d)
{
    assert_int_equal(iommu_detach(d, 1), 0);
    assert_int_equal(iommu_domain_fini(d), 0);
    ts_close(&t);
}

static unsigned pins(uint64_t pa)
{
    struct frame f = frame_get(pa);

    return f.pins + f.borrower_pins;
}

static void map_and_unmap(void **state)
{
    struct iommu_domain d;
    const uint64_t h = TS_HOST;
    uint64_t pa = 0;

    (void)state;
    open_domain(&d, OWNER_HOST);
    REFUSED(iommu_map(&d, GIB, h, 0, RW), -EINVAL);
    REFUSED(iommu_map(&d, GIB + 1, h, 4096, RW), -EINVAL);
    REFUSED(iommu_map(&d, GIB, h + 8, 4096, RW), -EINVAL);
    REFUSED(iommu_map(&d, GIB, h, 4095, RW), -EINVAL);
    REFUSED(iommu_map(&d, GIB, h, 4096, 0), -EINVAL);
    REFUSED(iommu_map(&d, GIB, h, 4096, RW | PT_EXEC), -EINVAL);
    REFUSED(iommu_map(&d, GIB, 0x9000000, 4096, RW), -EFAULT);         /* no memory */
    REFUSED(iommu_map(&d, GIB, TS_BASE, 4096, RW), -EPERM);            /* a table */
    REFUSED(iommu_map(&d, GIB, t.p0[0], 4096, RW), -EPERM);            /* the VM's */
    REFUSED(iommu_map(&d, GIB, h + 8 * MIB - 4096, 8192, RW), -EPERM); /* runs out of the host's */
    REFUSED(iommu_map(&d, GIB, h, ~0ull << 12, RW), -EFAULT);
    REFUSED(iommu_map(&d, (uint64_t)1 << 40, h, 4096, RW), -ERANGE);
    REFUSED(iommu_map(&d, ~0ull << 12, h, 8192, RW), -ERANGE);
    ts_drain(0);
    REFUSED(iommu_map(&d, GIB, h, 4096, RW), -ENOMEM);
    ts_refill();
    assert_int_equal(iommu_map(&d, GIB, h, 4 * MIB, RW), 0);
    assert_int_equal(tp_count(&tree->s.pt).leaves[2], 2);
    tp_assert(pins(h) == 1 && pins(h + 4 * MIB - 4096) == 1, "mapped-but-not-pinned\n");
    assert_int_equal(pins(h + 4 * MIB), 0);
    REFUSED(iommu_map(&d, GIB + 4096, h, 4096, RW), -EEXIST);
    assert_int_equal(iommu_map(&d, GIB + 4 * MIB, h, 4096, PT_READ), 0); /* twice: two pins */
    assert_int_equal(pins(h), 2);
    assert_int_equal(iommu_iova_to_phys(&d, GIB + 5000, &pa), 0);
    assert_int_equal(pa, h + 5000);
    assert_int_equal(iommu_iova_to_phys(&d, 5000, &pa), -ENOENT);
    assert_int_equal(iommu_iova_to_phys(&d, ~0ull, &pa), -ERANGE);
    /* What a pin is for. */
    REFUSED(frames_donate(h + 4096, 1, OWNER_HOST, TS_VM), -EBUSY);
    REFUSED(space_unmap(&tree->s, GIB, 4096), -EPERM);
    REFUSED(space_map(&tree->s, 3 * GIB, h, 4096, RW), -EPERM);

    REFUSED(iommu_unmap(&d, GIB, 0), -EINVAL);
    REFUSED(iommu_unmap(&d, GIB + 1, 4096), -EINVAL);
    REFUSED(iommu_unmap(&d, GIB, ~0ull << 12), -ERANGE);
    REFUSED(iommu_unmap(&d, (uint64_t)1 << 40, 4096), -ERANGE);
    REFUSED(iommu_unmap(&d, GIB - 4096, 8192), -ENOENT); /* a hole in it */
    REFUSED(iommu_unmap(&d, GIB, 4 * MIB + 8192), -ENOENT);
    ts_drain(0);
    REFUSED(iommu_unmap(&d, GIB + 8192, 4096), -ENOMEM);
    ts_refill();
    /* A part, cut live; then over all that is left, in several runs. */
    model_live_scope(tree->live, GIB + 8192, 4096);
    assert_int_equal(iommu_unmap(&d, GIB + 8192, 4096), 0);
    ts_judge(&t);
    assert_int_equal(pins(h + 8192), 0);
    assert_int_equal(pins(h + 4096), 1);
    assert_int_equal(pins(h + 3 * 4096), 1);
    REFUSED(iommu_unmap(&d, GIB, 4 * MIB), -ENOENT);
    assert_int_equal(iommu_map(&d, GIB + 8192, h + 6 * MIB, 4096, RW), 0);
    model_live_scope(tree->live, GIB, 8 * MIB);
    ts_drain(0); /* whole leaves: nothing is needed */
    assert_int_equal(iommu_unmap(&d, GIB, 4 * MIB + 4096), 0);
    ts_refill();
    for (uint64_t p = h; p < h + 8 * MIB; p += 4096) {
        tp_assert(pins(p) == 0, "pin-left-behind at %#lx\n", (unsigned long)p);
    }
    assert_int_equal(tp_count(&tree->s.pt).tables, 0);
    /* Device registers may stand beside, and are not the owner's to unmap. */
    assert_int_equal(space_map(&tree->s, 5 * GIB, 0x8020000, 4096, PT_WRITE | PT_DEVICE | PT_READ),
                     0);
    assert_int_equal(iommu_map(&d, 5 * GIB + 4096, h, 4096, RW), 0);
    REFUSED(iommu_unmap(&d, 5 * GIB, 8192), -EPERM);
    model_live_scope(tree->live, 5 * GIB, 8192);
    assert_int_equal(iommu_unmap(&d, 5 * GIB + 4096, 4096), 0);
    assert_int_equal(space_unmap(&tree->s, 5 * GIB, 4096), 0);
    close_domain(&d);
}

/* More runs than one round takes; and the end of a domain gives every pin back. */
static void many_runs(void **state)
{
    struct iommu_domain d;

    (void)state;
    open_domain(&d, OWNER_HOST);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(iommu_map(&d, GIB + i * 4096, TS_HOST + (i * 37 % 101) * 8192, 4096, RW),
                         0);
    }
    model_live_scope(tree->live, GIB, MIB);
    assert_int_equal(iommu_unmap(&d, GIB + 4096, 90 * 4096), 0);
    ts_judge(&t);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(pins(TS_HOST + (i * 37 % 101) * 8192), i == 0 || i > 90);
    }
    close_domain(&d);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(pins(TS_HOST + (i * 37 % 101) * 8192), 0);
    }
}

static unsigned still_pinned;

static void pinned_until_done(struct ts *w, struct ts_walker *walker)
{
    (void)w;
    (void)walker;
    tp_assert(pins(TS_HOST) == 1, "unpinned-before-wait\n");
    still_pinned++;
}

static void unpinned_after_the_wait(void **state)
{
    struct iommu_domain d;
    uint8_t byte = 3;

    (void)state;
    open_domain(&d, OWNER_HOST);
    behind->dma = model_dma_new(behind->tlb, &behind->ctx, &ts_phys, OWNER_HOST, true);
    model_phys_mark(&ts_phys, TS_HOST, 8 * MIB, MODEL_PAGE_DATA, OWNER_HOST);
    assert_int_equal(iommu_map(&d, GIB, TS_HOST, 4096, RW), 0);
    int h = model_dma_begin(behind->dma, GIB, true, &byte, 1);

    assert_true(h >= 0);
    t.in_wait = pinned_until_done;
    still_pinned = 0;
    model_live_scope(tree->live, GIB, 4096);
    assert_int_equal(iommu_unmap(&d, GIB, 4096), 0);
    t.in_wait = NULL;
    assert_true(still_pinned > 0);
    assert_int_equal(model_dma_drained(behind->dma), 1);
    assert_true(model_dma_complete(behind->dma, h, NULL));
    assert_int_equal(model_dma_begin(behind->dma, GIB, true, &byte, 1), -1);
    close_domain(&d);
}

/* E2: the window that the host's device uses cannot be closed under it. */
static void window_in_use(void **state)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);
    struct iommu_domain d;

    (void)state;
    open_domain(&d, OWNER_HOST);
    ts_tree(&t, 1, "vm", TS_CPU, &cfg);
    assert_int_equal(space_bind(&t.tree[1].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 1024, RW, true), 0);
    assert_int_equal(gmem_convert(&t.gm, 40, 2, true, GMEM_KEEP), 0);
    REFUSED(iommu_map(&d, GIB, t.p1[39], 8192, RW), -EPERM); /* one page of it is lent */
    assert_int_equal(iommu_map(&d, GIB, t.p1[40], 8192, RW), 0);
    REFUSED(gmem_convert(&t.gm, 41, 1, false, GMEM_KEEP), -EBUSY);
    REFUSED(gmem_convert(&t.gm, 40, 2, false, GMEM_KEEP), -EBUSY);
    REFUSED(space_bind(&tree->s, &t.gm, VIEW_HOST, 0, 0, 1024, RW, true), -EBUSY);
    model_live_scope(tree->live, GIB, 8192);
    assert_int_equal(iommu_unmap(&d, GIB, 4096), 0);
    assert_int_equal(gmem_convert(&t.gm, 40, 1, false, GMEM_KEEP), 0);
    REFUSED(gmem_convert(&t.gm, 41, 1, false, GMEM_KEEP), -EBUSY);
    assert_int_equal(iommu_unmap(&d, GIB + 4096, 4096), 0);
    assert_int_equal(gmem_convert(&t.gm, 41, 1, false, GMEM_KEEP), 0);
    close_domain(&d);
    /* A tree that follows takes no explicit maps. */
    open_domain(&d, TS_VM);
    assert_int_equal(space_bind(&tree->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 1024, RW, true), 0);
    REFUSED(iommu_map(&d, 4 * GIB, t.p0[0], 4096, RW), -EPERM);
    REFUSED(iommu_unmap(&d, TS_GUEST, 4096), -EPERM);
    close_domain(&d);
}

/* A4: a tree that CPU and device share, filled by whoever comes first; requests are answered by the
 * CPU's fault path. */
static void page_requests(void **state)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);
    struct pt_config io = ts_config(PT_ARM_S2_4K, 2, false);
    struct iommu_domain d;
    uint64_t oa;

    (void)state;
    open_iommu();
    ts_open(&t, 512 * 2, true, 61);
    cfg.live = pt_live_meet(cfg.live, io.live);
    tree = ts_tree(&t, 0, "shared", TS_CPU | TS_SMMU, &cfg);
    behind = &tree->w[1];
    assert_int_equal(space_remove_walker(&tree->s, &behind->inv), 0);
    assert_int_equal(iommu_domain_init(&im, &d, &tree->s, TS_VM, 1), 0);
    assert_int_equal(iommu_attach(&d, 1), 0);
    assert_int_equal(space_bind(&tree->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 1024, RW, false), 0);
    behind->dma = model_dma_new(behind->tlb, &behind->ctx, &ts_phys, TS_VM, true);
    uint8_t byte = 1;

    assert_false(model_dma_access(behind->dma, TS_GUEST + 5, true, &byte, 1)); /* not there yet */
    assert_int_equal(iommu_page_request(&d, TS_GUEST + 5, PT_WRITE), IOMMU_RESPONSE_SUCCESS);
    assert_true(model_dma_access(behind->dma, TS_GUEST + 5, true, &byte, 1));
    assert_int_equal(ts_at(tree, TS_GUEST, NULL), t.p0[0]); /* and the CPU has it too */
    assert_int_equal(space_fault(&tree->s, TS_GUEST + (512 << 12), PT_READ), 0);
    assert_true(model_dma_access(behind->dma, TS_GUEST + (600 << 12), true, &byte, 1));
    assert_int_equal(ts_convert(&t, 600, 1, true, GMEM_KEEP), 0);
    assert_false(model_dma_access(behind->dma, TS_GUEST + (600 << 12), true, &byte, 1));
    assert_int_equal(iommu_page_request(&d, TS_GUEST + (600 << 12), PT_READ),
                     IOMMU_RESPONSE_SUCCESS);
    assert_true(model_dma_access(behind->dma, TS_GUEST + (600 << 12), true, &byte, 1));
    oa = ts_at(tree, TS_GUEST + (600 << 12), NULL);
    assert_int_equal(oa, t.p1[600]);
    /* Never lost: each has an answer. */
    assert_int_equal(iommu_page_request(&d, TS_GUEST, 0), IOMMU_RESPONSE_INVALID);
    assert_int_equal(iommu_page_request(&d, TS_GUEST, 64), IOMMU_RESPONSE_INVALID);
    assert_int_equal(iommu_page_request(&d, TS_GUEST, PT_EXEC), IOMMU_RESPONSE_INVALID);
    assert_int_equal(iommu_page_request(&d, 0, PT_READ), IOMMU_RESPONSE_INVALID);
    assert_int_equal(iommu_page_request(&d, ~0ull, PT_READ), IOMMU_RESPONSE_INVALID);
    model_live_scope(tree->live, TS_GUEST, 1024 << 12);
    assert_int_equal(space_unbind(&tree->s, &t.gm), 0);
    assert_int_equal(space_bind(&tree->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 1024, RW, false), 0);
    ts_drain(0);
    assert_int_equal(iommu_page_request(&d, TS_GUEST, PT_READ), IOMMU_RESPONSE_FAILURE);
    ts_refill();
    ts_judge(&t);
    close_domain(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_config),    cmocka_unit_test(share_check),
        cmocka_unit_test(streams),       cmocka_unit_test(map_and_unmap),
        cmocka_unit_test(many_runs),     cmocka_unit_test(unpinned_after_the_wait),
        cmocka_unit_test(window_in_use), cmocka_unit_test(page_requests),
    };

    return cmocka_run_group_tests_name("iommu", tests, NULL, NULL);
}
