/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Share and mirror mode, and the way between them under DMA: a device with a model TLB reads and writes
 * between any two stores and inside every wait, and finds the right frame each time.
 */
#include "lib_space.h"

#include <string.h>

#include "tenon/iommu_mode.h"

enum { PAGES = 2 * 512, SIDS = 3 };
#define LEN ((uint64_t)PAGES << PAGE_SHIFT)

static struct ts t;
static struct iommu im;
static struct iommu_view view;
static uint64_t bits[PAGES / 64], io_bits[PAGES / 64], out[PAGES / 64];
static struct model_mem mem;

/* ---- a driver, and devices behind it ---- */

static struct {
    struct model_tlb *tlb; /* of the IOMMU */
    struct model_ctx ctx[SIDS];
    struct iommu_domain *at[SIDS];
    unsigned gaps, moves, fail_at; /* fail_at: that attach is refused */
    bool live;                     /* devices make accesses of their own */
    uint64_t page, n;              /* in change: may be out */
    uint64_t accesses, requests;
} dev;

static void drv_issue(struct invalidator *inv, const struct pt_gather *g)
{
    struct iommu_domain *d = (struct iommu_domain *)inv;

    for (uint32_t i = 0; i < g->n; i++) {
        const struct pt_inv *r = &g->inv[i];
        struct model_inv m =
            model_inv_s2(d->tag, r->ia, r->last - r->ia + 1,
                         r->level == PT_LEVEL_ANY ? 0 : (uint8_t)r->level, !r->tables);

        model_tlb_invalidate(dev.tlb, &m);
    }
    if (g->all) {
        model_tlb_invalidate(dev.tlb,
                             &(struct model_inv){ .kind = MODEL_INV_VMID, .vmid = d->tag });
    }
}

static void access_all(struct ts *world);

static void drv_wait(struct invalidator *inv)
{
    (void)inv;
    access_all(&t);
    model_tlb_sync(dev.tlb);
}

static int drv_attach(struct iommu *x, uint32_t sid, struct iommu_domain *d)
{
    (void)x;
    if (dev.fail_at != 0 && --dev.fail_at == 0) {
        return -ENOMEM;
    }
    /* One store, and then what is cached is flushed: both trees say the same. */
    dev.moves++;
    dev.at[sid] = d;
    dev.ctx[sid] =
        (struct model_ctx){ .walk = tp_walk_cfg(&d->space->pt), .mem = &mem, .vmid = d->tag };
    access_all(&t);
    model_tlb_invalidate(dev.tlb, &(struct model_inv){ .kind = MODEL_INV_VMID, .vmid = d->tag });
    model_tlb_sync(dev.tlb);
    return 0;
}

static void drv_detach(struct iommu *x, uint32_t sid)
{
    (void)x;
    dev.gaps++;
    dev.at[sid] = NULL;
}

static int drv_init(struct iommu *x, struct iommu_domain *d)
{
    (void)x;
    d->tag = d->tag == 0 ? 77 : d->tag;
    d->inv = (struct invalidator){ .issue = drv_issue, .wait = drv_wait };
    return 0;
}

static void drv_fini(struct iommu *x, struct iommu_domain *d)
{
    (void)x;
    memset(&d->inv, 0, sizeof(d->inv));
}

static const struct iommu_ops ops = {
    .attach = drv_attach, .detach = drv_detach, .domain_init = drv_init, .domain_fini = drv_fini
};

/* The device's access; a page that the object shows stands there, at whatever moment. */
static enum model_fault dma(uint32_t sid, uint64_t p, uint8_t what)
{
    struct model_xlat x;
    enum model_fault fault =
        model_tlb_translate(dev.tlb, &dev.ctx[sid], TS_GUEST + (p << PAGE_SHIFT),
                            (struct model_access){ .what = what, .user = true }, &x);

    dev.accesses++;
    if (fault == MODEL_OK) {
        uint64_t now = t.want[p] == GMEM_SHARED ? t.p1[p] : t.p0[p];

        tp_assert(x.oa == now || (p >= dev.page && p - dev.page < dev.n),
                  "wrong-frame: page %lu at %#lx\n", (unsigned long)p, (unsigned long)x.oa);
    }
    return fault;
}

static void access_all(struct ts *world)
{
    for (uint32_t sid = 0; dev.live && sid < SIDS; sid++) {
        uint64_t p = ts_rand(world, PAGES);

        if (dev.at[sid] != NULL && !(p >= dev.page && p - dev.page < dev.n)) {
            enum model_fault fault = dma(sid, p, ts_rand(world, 2) ? MODEL_W : MODEL_R);

            tp_assert(fault == MODEL_OK, "gap: stream %u, page %lu: %s\n", sid, (unsigned long)p,
                      model_fault_name(fault));
        }
    }
}

static void in_wait(struct ts *world, struct ts_walker *w)
{
    (void)w;
    access_all(world);
}

/* ---- set-up ---- */

static struct ts_tree *open_world(struct pt_live cpu, struct pt_live io, bool prefill,
                                  uint64_t seed)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, cpu.bbm, true);

    cfg.live = cpu;
    ts_open(&t, PAGES, true, seed);
    mem = model_phys_mem(&ts_phys, true);
    memset(&dev, 0, sizeof(dev));
    dev.tlb = model_tlb_new(&(struct model_tlb_cfg){
        .mode = MODEL_TLB_NEVER_EVICTS, .apply = MODEL_APPLY_AT_SYNC, .seed = seed });
    im = (struct iommu){ .ops = &ops,
                         .caps = { .stage2 = true,
                                   .live = io,
                                   .ia_bits = 44,
                                   .oa_bits = 44,
                                   .vmid_bits = 16,
                                   .sid_bits = 8,
                                   .coherent = true } };
    struct ts_tree *a = ts_tree(&t, 0, "cpu", TS_CPU, &cfg);

    model_live_harvest(a->live, true);
    a->hitless = false;
    assert_int_equal(
        space_bind(&a->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW | PT_EXEC, prefill), 0);
    return a;
}

static void attach_all(void)
{
    for (uint32_t sid = 0; sid < SIDS; sid++) {
        assert_int_equal(iommu_view_attach(&view, sid), 0);
    }
    t.in_wait = in_wait;
    t.after_store = access_all;
    dev.live = true;
}

static void close_world(void)
{
    dev.live = false;
    t.in_wait = NULL;
    t.after_store = NULL;
    tp_assert(dev.gaps == 0, "gap: a stream was detached\n");
    for (uint32_t sid = 0; sid < SIDS; sid++) {
        if (dev.at[sid] != NULL) {
            assert_int_equal(iommu_view_fini(&view), -EBUSY);
            assert_int_equal(iommu_view_detach(&view, sid), 0);
        }
    }
    assert_int_equal(iommu_view_fini(&view), 0);
    assert_null(t.tree[0].s.walker[1]);
    ts_close(&t);
    model_tlb_free(dev.tlb);
}

static int convert(uint64_t p, uint64_t n)
{
    dev.page = p;
    dev.n = n;
    int err = ts_convert(&t, p, n, t.want[p] == GMEM_PRIVATE, GMEM_KEEP);

    dev.n = 0;
    if (err == 0) {
        for (uint32_t sid = 0; sid < SIDS; sid++) {
            /* In its new frame. */
            tp_assert(dma(sid, p, MODEL_R) == MODEL_OK, "gap: page %lu after a change\n",
                      (unsigned long)p);
        }
    }
    return err;
}

static const struct pt_live cpu_all = { .bbm = 2, .hw_af = true, .hw_dirty = true, .stalls = true };
static const struct pt_live io_plain = { .bbm = 2, .hw_af = true };
static const struct pt_live io_dirty = { .bbm = 2, .hw_af = true, .hw_dirty = true };

/* ---- tests ---- */

static void back_and_forth(void **state)
{
    (void)state;
    struct ts_tree *a = open_world(cpu_all, io_plain, true, 300);

    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_SHARE), 0);
    assert_int_equal(view.mode, IOMMU_SHARE);
    assert_null(view.why);
    assert_false(a->s.pt.cfg.live.stalls || a->s.pt.cfg.live.hw_dirty);
    attach_all();
    for (unsigned i = 0; i < 24; i++) {
        uint64_t p = ts_rand(&t, PAGES - 2);

        assert_int_equal(convert(p, 1 + (t.want[p] == t.want[p + 1])), 0);
        assert_int_equal(iommu_view_set(&view, i % 2 == 0 ? IOMMU_MIRROR : IOMMU_SHARE), 0);
        assert_int_equal(view.mode, i % 2 == 0 ? IOMMU_MIRROR : IOMMU_SHARE);
        assert_int_equal(iommu_view_domain(&view)->devices, SIDS);
        assert_int_equal(a->s.pt.cfg.live.stalls, i % 2 == 0);
        p = ts_rand(&t, PAGES);
        assert_int_equal(convert(p, 1), 0);
        assert_int_equal(model_tlb_check(dev.tlb, &dev.ctx[0]), MODEL_V_OK);
    }
    assert_int_equal(iommu_view_set(&view, IOMMU_SHARE), 0); /* is already */
    assert_int_equal(view.switches, 24);
    assert_true(dev.accesses > 5000);
    close_world();
}

/* A6: a kind of logging that the device's walker cannot honour. */
static void logs(void **state)
{
    static const struct {
        struct pt_live io;
        enum space_log_kind kind;
        bool moves, io_logged;
    } c[] = {
        { { .bbm = 2, .hw_af = true }, SPACE_LOG_WRITE_PROTECT, true, false },
        { { .bbm = 2, .hw_af = true }, SPACE_LOG_DIRTY_BIT, true, false },
        { { .bbm = 2, .hw_af = true, .hw_dirty = true }, SPACE_LOG_DIRTY_BIT, false, true },
        { { .bbm = 2, .hw_af = true, .hw_dirty = true }, SPACE_LOG_WRITE_PROTECT, true, true }
    };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct ts_tree *a = open_world(cpu_all, c[i].io, true, 310 + i);

        assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_SHARE), 0);
        attach_all();
        int err = iommu_view_log_start(&view, c[i].kind, TS_GUEST, LEN, bits, io_bits);

        tp_assert(err == 0 && view.mode == (c[i].moves ? IOMMU_MIRROR : IOMMU_SHARE),
                  "case %u, %d: not moved\n", i, err);
        assert_int_equal(view.io_logged, c[i].io_logged);
        dev.live = false;
        memset(out, 0, sizeof(out));
        assert_int_equal(iommu_view_log_read_clear(&view, TS_GUEST, LEN, out), 0);
        assert_int_equal(dma(0, 700, MODEL_W), MODEL_OK);
        memset(out, 0, sizeof(out));
        assert_int_equal(iommu_view_log_read_clear(&view, TS_GUEST, LEN, out), 0);
        tp_assert(!c[i].io_logged || (out[700 / 64] >> (700 % 64) & 1) != 0,
                  "write-lost: of a device, case %u\n", i);
        if (c[i].io_logged) {
            assert_int_equal(
                iommu_view_set(&view, view.mode == IOMMU_SHARE ? IOMMU_MIRROR : IOMMU_SHARE),
                -EBUSY);
        }
        dev.live = true;
        assert_int_equal(convert(11, 3), 0);
        assert_int_equal(iommu_view_log_stop(&view), 0);
        assert_int_equal(view.mode, IOMMU_SHARE); /* as it was */
        assert_int_equal(iommu_view_log_stop(&view), -ENOENT);
        /* What cannot start does not leave anybody moved. */
        assert_int_equal(iommu_view_log_start(&view, c[i].kind, TS_GUEST, LEN / 2, bits, NULL),
                         -EINVAL);
        assert_int_equal(view.mode, IOMMU_SHARE);
        close_world();
    }
}

/* Formats or rules that do not agree. */
static void mirrored(void **state)
{
    struct pt_live old = { .bbm = 0, .hw_af = true, .stalls = true };

    (void)state;
    struct ts_tree *a = open_world(cpu_all, io_plain, true, 320);

    im.caps.oa_bits = 36; /* frames of the CPU's tree may be beyond */
    im.caps.ia_bits = 36;
    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_SHARE), 0);
    assert_int_equal(view.mode, IOMMU_MIRROR);
    assert_non_null(strstr(view.why, "wider"));
    attach_all();
    assert_int_equal(convert(5, 1), 0);
    assert_int_equal(iommu_view_set(&view, IOMMU_SHARE), -EOPNOTSUPP);
    assert_int_equal(iommu_view_set(&view, (enum iommu_mode)5), -EINVAL);
    close_world();

    /* In share mode a CPU without break-before-make level stops live cuts; in mirror mode it waits. */
    a = open_world(old, io_plain, true, 321);
    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_SHARE), 0);
    assert_int_equal(view.mode, IOMMU_SHARE);
    attach_all();
    assert_int_equal(convert(5, 1), -EOPNOTSUPP);
    assert_int_equal(t.gm.loners, 0);
    assert_int_equal(iommu_view_set(&view, IOMMU_MIRROR), 0);
    assert_int_equal(t.gm.loners, 1);
    assert_int_equal(convert(5, 1), 0);
    close_world();
}

/* Lazy trees: filled before a device walks them, or by its page requests. */
static void lazy(void **state)
{
    (void)state;
    struct ts_tree *a = open_world(cpu_all, io_plain, false, 330);

    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_SHARE), 0);
    attach_all();
    assert_int_equal(convert(600, 1), 0);
    assert_int_equal(iommu_view_set(&view, IOMMU_MIRROR), 0);
    close_world();

    for (unsigned i = 0; i < 2; i++) {
        a = open_world(cpu_all, io_plain, false, 331);
        im.caps.stall = true;
        assert_int_equal(
            iommu_view_init(&view, &im, &a->s, TS_VM, 1, i == 0 ? IOMMU_SHARE : IOMMU_MIRROR), 0);
        attach_all();
        dev.live = false;
        for (uint64_t p = 0; p < PAGES; p += 111) {
            while (dma(1, p, MODEL_W) != MODEL_OK) {
                assert_int_equal(
                    iommu_view_page_request(&view, TS_GUEST + (p << PAGE_SHIFT), PT_WRITE),
                    IOMMU_RESPONSE_SUCCESS);
                dev.requests++;
            }
        }
        assert_in_range(dev.requests, 1, 2);
        assert_int_equal(iommu_view_page_request(&view, TS_GUEST + LEN, PT_READ),
                         IOMMU_RESPONSE_INVALID);
        close_world();
    }
    /* No tables to fill it with: it stays as it was. */
    a = open_world(cpu_all, io_plain, false, 333);
    assert_int_equal(ts_convert(&t, 0, 1, true, GMEM_KEEP), 0);
    ts_drain(1);
    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_SHARE), -ENOMEM);
    ts_refill();
    assert_false(a->s.binding[0].prefill);
    assert_true(a->s.pt.cfg.live.stalls);
    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_MIRROR), 0);
    close_world();
}

/* A device that does not set the access flag, after the CPU's flags were cleared. */
static void access_flags(void **state)
{
    struct pt_live io = { .bbm = 2, .hw_af = false };
    bool young;

    (void)state;
    struct ts_tree *a = open_world(cpu_all, io, true, 340);

    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_MIRROR), 0);
    attach_all();
    assert_int_equal(convert(9, 1), 0);
    assert_int_equal(space_age(&a->s, TS_GUEST, LEN, &young), 0);
    assert_true(young);
    assert_int_equal(iommu_view_set(&view, IOMMU_SHARE), 0);
    dev.live = false;
    for (uint64_t p = 0; p < PAGES; p++) {
        enum model_fault fault = dma(0, p, MODEL_R);

        tp_assert(fault == MODEL_OK, "gap: page %lu: %s\n", (unsigned long)p,
                  model_fault_name(fault));
    }
    assert_int_equal(space_age(&a->s, TS_GUEST, LEN, &young), -EOPNOTSUPP);
    close_world();
}

/* An error leaves the mode, and every stream where it was. */
static void refused(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= SIDS; at++) {
        for (unsigned back = 0; back < 2; back++) {
            struct ts_tree *a = open_world(cpu_all, io_plain, true, 350 + at);
            enum iommu_mode from = back ? IOMMU_MIRROR : IOMMU_SHARE;
            enum iommu_mode to = back ? IOMMU_SHARE : IOMMU_MIRROR;

            assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, from), 0);
            attach_all();
            dev.fail_at = at;
            assert_int_equal(iommu_view_set(&view, to), -ENOMEM);
            assert_int_equal(view.mode, from);
            assert_int_equal(iommu_view_domain(&view)->devices, SIDS);
            assert_int_equal(convert(100, 1), 0);
            if (!back) {
                ts_drain(2);
                assert_int_equal(iommu_view_set(&view, to), -ENOMEM);
                ts_refill();
            }
            assert_int_equal(iommu_view_set(&view, to), 0);
            close_world();
        }
    }
    struct ts_tree *a = open_world(cpu_all, io_dirty, true, 360);
    struct pt_live none = { .bbm = 2 };

    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, (enum iommu_mode)7), -EINVAL);
    assert_int_equal(iommu_view_init(&view, &im, &a->s, TS_VM, 1, IOMMU_MIRROR), 0);
    space_stop(&a->s);
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_DIRTY_BIT, TS_GUEST, LEN, bits), 0);
    assert_int_equal(space_set_live(&a->s, none), -EBUSY);
    assert_int_equal(space_log_stop(&a->s), 0);
    space_go(&a->s);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(back_and_forth), cmocka_unit_test(logs),
        cmocka_unit_test(mirrored),       cmocka_unit_test(lazy),
        cmocka_unit_test(access_flags),   cmocka_unit_test(refused),
    };

    return cmocka_run_group_tests_name("iommu_mode", tests, NULL, NULL);
}
