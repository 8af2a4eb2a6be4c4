/* SPDX-License-Identifier: BSD-2-Clause */
/* One conversion, step by step: who may do what when, what it costs, and what is refused. */
#include "lib_space.h"

#include <stdlib.h>
#include <string.h>

/* ---- inside the change ---- */

static struct {
    uint64_t page, n;
    struct ts_frames before;
    unsigned waits, stores, drained_at_clean;
    bool to_shared;
} in;

/* Nobody has lost or gained a right before the last walker is done; faults in the range retry and
 * install nothing. */
static void while_waiting(struct ts *t, struct ts_walker *w)
{
    struct ts_frames copy = { .n = in.before.n, .f = malloc(in.before.n * sizeof(struct frame)) };
    struct ts_tree *vm = &t->tree[0];

    (void)w;
    in.waits++;
    memcpy(copy.f, in.before.f, copy.n * sizeof(struct frame));
    ts_frames_same(&copy, FRAME_HELD);
    /* One more at each side: where the whole leaf is out, its neighbours retry as well. */
    for (uint64_t p = in.page - 1; p <= in.page + in.n; p++) {
        uint64_t ia = TS_GUEST + (p << PAGE_SHIFT);

        if (ts_at(vm, ia, NULL) != 0) {
            continue; /* a wait for a cut, or of another tree: not broken yet */
        }
        int err = space_fault(&vm->s, ia, PT_READ);

        tp_assert(err == -EAGAIN, "fault-installed-in-change: page %lu: %d\n", (unsigned long)p,
                  err);
        tp_assert(ts_at(vm, ia, NULL) == 0, "fault-installed-in-change: page %lu\n",
                  (unsigned long)p);
    }
}

static int watched(struct ts *t, uint64_t page, uint64_t n, bool to_shared, enum gmem_policy policy)
{
    in.page = page;
    in.n = n;
    in.waits = 0;
    in.before = ts_frames();
    t->in_wait = while_waiting;
    int err = ts_convert(t, page, n, to_shared, policy);

    t->in_wait = NULL;
    free(in.before.f);
    return err;
}

static void order_of_steps(void **state)
{
    struct ts t;

    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        /* merge waits would see the new owners: pages that do not make a chunk uniform */
        ts_world(&t, 512 * 2, true, kind == 1, kind == 2 ? 0 : 2, 11);
        assert_int_equal(watched(&t, 5, 3, true, GMEM_KEEP), 0);
        assert_true(in.waits >= 2);
        ts_check(&t);
        assert_int_equal(watched(&t, 100, 1, true, GMEM_KEEP), 0);
        assert_int_equal(watched(&t, 5, 2, false, GMEM_KEEP), 0);
        ts_check(&t);
        ts_close(&t);
    }
}

/* A fault beside the change, in a block that nobody has touched yet, may be answered by a small leaf,
 * never by a large one that shows the page in change. */
static void beside(struct ts *t, struct ts_walker *w)
{
    (void)w;
    assert_int_equal(space_fault(&t->tree[2].s, TS_GUEST + ((in.page + 9) << 12), PT_READ), 0);
    tp_assert(ts_at(&t->tree[2], TS_GUEST + (in.page << 12), NULL) == 0,
              "fault-installed-in-change: by a large leaf beside it\n");
    in.waits++;
}

static void large_leaf_beside(void **state)
{
    struct pt_config cpu = ts_config(PT_ARM_S2_4K, 2, true), io = ts_config(PT_ARM_S2_4K, 2, false);
    struct ts t;

    (void)state;
    ts_open(&t, 512 * 2, true, 25);
    ts_tree(&t, 1, "io", TS_SMMU, &io);
    ts_tree(&t, 2, "lazy", TS_CPU, &cpu);
    assert_int_equal(space_bind(&t.tree[1].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 1024, RW, true), 0);
    assert_int_equal(space_bind(&t.tree[2].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 1024, RW, false), 0);
    t.in_wait = beside;
    in.waits = 0;
    in.page = 600;
    assert_int_equal(ts_convert(&t, 600, 1, true, GMEM_KEEP), 0);
    assert_true(in.waits != 0);
    t.in_wait = NULL;
    assert_int_equal(ts_at(&t.tree[2], TS_GUEST + (600 << 12), NULL), 0);
    ts_judge(&t);
    ts_close(&t);
}

/* ---- what it costs ---- */

static unsigned stores;

static void count_store(struct ts *t)
{
    (void)t;
    stores++;
}

static void one_page_costs(void **state)
{
    struct ts t;

    (void)state;
    ts_world(&t, 512 * 2, true, false, 2, 12);
    assert_int_equal(ts_convert(&t, 7, 1, true, GMEM_KEEP), 0);
    assert_int_equal(ts_convert(&t, 9, 1, true, GMEM_KEEP), 0);
    uint64_t free_pages = frame_tables_free();

    /* Inside a block that is cut already: break, make; one invalidation, one wait for each. The
     * host's window opens without any, and closes with one. */
    for (unsigned back = 0; back < 2; back++) {
        unsigned issued[TS_TREES], waited[TS_TREES];

        for (unsigned i = 0; i < TS_TREES; i++) {
            issued[i] = t.tree[i].w[0].issued;
            waited[i] = t.tree[i].w[0].waited;
        }
        stores = 0;
        t.after_store = count_store;
        assert_int_equal(ts_convert(&t, 8, 1, back == 0, GMEM_KEEP), 0);
        t.after_store = NULL;
        assert_int_equal(stores, 2 + 2 + 1 + 1);
        for (unsigned i = 0; i < TS_TREES; i++) {
            unsigned want = i < 2 || back ? 1 : 0;

            assert_int_equal(t.tree[i].w[0].issued - issued[i], want);
            assert_int_equal(t.tree[i].w[0].waited - waited[i], want);
        }
        assert_int_equal(frame_tables_free(), free_pages);
    }
    ts_check(&t);
    ts_close(&t);
}

static void in_place_leaves_the_guests_trees(void **state)
{
    struct ts t;
    struct ts_snap snap, now;

    (void)state;
    ts_world(&t, 512 * 3, true, false, 2, 13);
    assert_int_equal(ts_convert(&t, 3, 1, true, GMEM_KEEP), 0);
    ts_snap(&t, &snap);
    unsigned issued = t.tree[0].w[0].issued + t.tree[1].w[0].issued;

    assert_int_equal(ts_convert(&t, 700, 1, true, GMEM_INPLACE), 0);
    assert_int_equal(ts_convert(&t, 1024, 512, true, GMEM_INPLACE), 0);
    ts_check(&t);
    assert_int_equal(ts_convert(&t, 1100, 2, false, GMEM_INPLACE), 0);
    ts_check(&t);
    ts_snap(&t, &now);
    for (unsigned i = 0; i < 2; i++) {
        struct tp one = { .pt = t.tree[i].s.pt };

        tp_assert_same(&one, &snap.tree[i]);
        snap.tree[i].words = NULL;
    }
    tp_assert(t.tree[0].w[0].issued + t.tree[1].w[0].issued == issued,
              "in-place-touches-the-guest\n");
    assert_int_equal(t.gm.converted, 1);
    assert_int_equal(t.gm.converted_inplace, 3);
    ts_forget(&snap);
    ts_forget(&now);
    ts_close(&t);
}

/* ---- a device ---- */

static struct model_dma *dma;

static void owner_tag(struct ts *t, uint64_t pa)
{
    (void)t;
    /* The frame changes hands here: whatever is still in flight to it comes too late. */
    model_phys_mark(&ts_phys, pa, PAGE_SIZE, MODEL_PAGE_DATA, OWNER_HOST);
}

static void no_events(void)
{
    struct model_dma_event e;

    if (model_dma_event(dma, 0, &e)) {
        fail_msg("%s at %#lx", model_verdict_name(e.verdict), (unsigned long)e.ia);
    }
}

static void neighbour_dma(struct ts *t)
{
    uint64_t p = in.page + (ts_rand(t, 2) ? in.n : -1ull);
    uint8_t byte = 1;

    (void)model_dma_access(dma, TS_GUEST + (p << PAGE_SHIFT), true, &byte, 1);
}

static void dma_is_drained(void **state)
{
    struct ts t;

    (void)state;
    for (unsigned share = 0; share < 2; share++) {
        ts_world(&t, 512 * 2, false, share != 0, 2, 14);
        struct ts_walker *w = share ? &t.tree[0].w[1] : &t.tree[1].w[0];

        w->dma = dma = model_dma_new(w->tlb, &w->ctx, &ts_phys, TS_VM, true);
        t.gm.uncached_window = true;
        t.on_clean = owner_tag;
        t.after_store = neighbour_dma;
        in.page = 33;
        in.n = 1;
        /* In place: the VM's device goes on using the page that is lent (its tag says so). */
        assert_int_equal(ts_convert(&t, 33, 1, true, GMEM_INPLACE), 0);
        model_phys_mark(&ts_phys, t.p0[33], PAGE_SIZE, MODEL_PAGE_DATA, TS_VM);
        no_events();
        ts_close(&t);

        /* Separate: a write is under way to the page that is given up. */
        ts_world(&t, 512 * 2, true, share != 0, 2, 15);
        w = share ? &t.tree[0].w[1] : &t.tree[1].w[0];
        w->dma = dma = model_dma_new(w->tlb, &w->ctx, &ts_phys, TS_VM, true);
        t.gm.uncached_window = true;
        t.on_clean = owner_tag;
        t.after_store = neighbour_dma;
        for (unsigned i = 0; i < 20; i++) {
            uint8_t byte = 2;

            in.page = 40 + 3 * i;
            assert_int_equal(ts_convert(&t, in.page, 1, true, GMEM_KEEP), 0);
            model_phys_mark(&ts_phys, t.p1[in.page], PAGE_SIZE, MODEL_PAGE_DATA, TS_VM);
            int h = model_dma_begin(dma, TS_GUEST + (in.page << PAGE_SHIFT), true, &byte, 1);

            assert_true(h >= 0);
            size_t drained = model_dma_drained(dma);

            assert_int_equal(ts_convert(&t, in.page, 1, false, GMEM_KEEP), 0);
            assert_int_equal(model_dma_drained(dma), drained + 1);
            assert_true(model_dma_complete(dma, h, NULL));
            no_events();
        }
        ts_check(&t);
        t.after_store = NULL;
        ts_close(&t);
    }
}

/* ---- refusals ---- */

#define REFUSED(call, want) TS_REFUSED(&t, call, want, ts_check)

static void refused_changes(void **state)
{
    struct ts t;

    (void)state;
    ts_world(&t, 512 * 2, true, false, 2, 16);
    REFUSED(ts_convert(&t, 0, 0, true, GMEM_KEEP), -EINVAL);
    REFUSED(ts_convert(&t, 1024, 1, true, GMEM_KEEP), -EFAULT);
    REFUSED(ts_convert(&t, 1023, 2, true, GMEM_KEEP), -EFAULT);
    REFUSED(ts_convert(&t, 5, ~0ull - 2, true, GMEM_KEEP), -EFAULT);
    REFUSED(ts_convert(&t, ~0ull, 2, true, GMEM_KEEP), -EFAULT);
    REFUSED(ts_convert(&t, 5, 1, true, (enum gmem_policy)7), -EINVAL);
    REFUSED(ts_convert(&t, 5, 1, false, GMEM_KEEP), -EALREADY);
    assert_int_equal(ts_convert(&t, 5, 1, true, GMEM_KEEP), 0);
    assert_int_equal(ts_convert(&t, 6, 1, true, GMEM_INPLACE), 0);
    REFUSED(ts_convert(&t, 5, 1, true, GMEM_KEEP), -EALREADY);
    REFUSED(ts_convert(&t, 5, 2, true, GMEM_KEEP), -EALREADY);
    REFUSED(ts_convert(&t, 5, 2, false, GMEM_KEEP), -EINVAL); /* two ways */
    REFUSED(ts_convert(&t, 4, 2, true, GMEM_KEEP), -EINVAL);
    REFUSED(ts_convert(&t, 4, 2, false, GMEM_KEEP), -EINVAL);
    ts_close(&t);
    ts_world(&t, 512, false, false, 2, 16);
    REFUSED(ts_convert(&t, 5, 1, true, GMEM_KEEP), -EINVAL); /* no other frame */
    ts_close(&t);
}

/* Rule of E2: what is pinned for DMA, by either side, does not go. */
static void pinned_is_busy(void **state)
{
    struct ts t;

    (void)state;
    ts_world(&t, 512 * 2, true, false, 2, 17);
    assert_int_equal(ts_convert(&t, 500, 30, true, GMEM_KEEP), 0);
    assert_int_equal(frames_pin(t.p1[520], 1, OWNER_HOST), 0);
    {
        struct ts_frames f = ts_frames();

        tp_assert(gmem_convert(&t.gm, 500, 30, false, GMEM_KEEP) == -EBUSY,
                  "pinned-frame-taken-away\n");
        ts_frames_same(&f, 0);
    }
    assert_int_equal(ts_convert(&t, 500, 20, false, GMEM_KEEP), 0);
    assert_int_equal(frames_unpin(t.p1[520], 1, OWNER_HOST), 0);
    assert_int_equal(ts_convert(&t, 520, 10, false, GMEM_KEEP), 0);
    ts_check(&t);
    /* The owner's own pin: an explicit mapping of its device would go on using the old frame. */
    assert_int_equal(frames_pin(t.p0[3], 1, TS_VM), 0);
    assert_int_equal(gmem_convert(&t.gm, 3, 1, true, GMEM_KEEP), -EBUSY);
    assert_int_equal(gmem_convert(&t.gm, 2, 2, true, GMEM_INPLACE), -EBUSY);
    assert_int_equal(frames_unpin(t.p0[3], 1, TS_VM), 0);
    ts_check(&t);
    ts_close(&t);
}

static unsigned pin_tries;

static void pin_while_waiting(struct ts *t, struct ts_walker *w)
{
    (void)w;
    /* After the check, before the commit: the frame is held. */
    assert_int_equal(frames_pin(t->p1[9], 1, OWNER_HOST), -EBUSY);
    assert_int_equal(frames_donate(t->p1[9], 1, TS_VM, OWNER_HOST), -EBUSY);
    assert_int_equal(frames_unshare(t->p1[9], 1, TS_VM, OWNER_HOST), -EBUSY);
    pin_tries++;
}

static void no_pin_slips_in(void **state)
{
    struct ts t;

    (void)state;
    ts_world(&t, 512 * 2, true, false, 2, 18);
    assert_int_equal(ts_convert(&t, 8, 3, true, GMEM_KEEP), 0);
    t.in_wait = pin_while_waiting;
    pin_tries = 0;
    assert_int_equal(ts_convert(&t, 9, 1, false, GMEM_KEEP), 0);
    assert_true(pin_tries >= 3);
    t.in_wait = NULL;
    ts_check(&t);
    ts_close(&t);
}

/* Every number of table pages that may be left when a change begins. */
static void no_memory(void **state)
{
    struct ts t;

    (void)state;
    for (unsigned share = 0; share < 2; share++) {
        unsigned failed = 0, done = 0;

        ts_world(&t, 512 * 3, true, share != 0, 2, 19);
        /* Under TSan, where one thread has nothing to show, every third. */
        for (uint64_t left = 0; left<40; left += TP_STEPS(20)> 2 ? 1 : 3) {
            ts_drain(left);
            struct ts_snap snap;
            bool to_shared = t.want[300] == GMEM_PRIVATE;

            ts_snap(&t, &snap);
            uint64_t free_pages = frame_tables_free();
            int err = ts_convert(&t, 300, 600, to_shared, GMEM_KEEP);

            assert_true(err == 0 || err == -ENOMEM);
            if (err != 0) {
                failed++;
                ts_same(&t, &snap);
                tp_assert(frame_tables_free() == free_pages, "refused-call-kept-tables\n");
            } else {
                ts_forget(&snap);
                done++;
            }
            ts_check(&t);
            ts_refill();
        }
        assert_true(failed != 0 && done != 0);
        /* One page needs nothing but what a binding keeps. */
        ts_drain(0);
        assert_int_equal(ts_convert(&t, 1400, 1, true, GMEM_KEEP), 0);
        assert_int_equal(ts_convert(&t, 1400, 1, false, GMEM_KEEP), 0);
        ts_refill();
        ts_check(&t);
        ts_close(&t);
    }
}

/* ---- hardware that cannot ---- */

static void refused_by_hardware(void **state)
{
    struct pt_config cpu = ts_config(PT_ARM_S2_4K, 2, true);
    struct ts t;

    (void)state;
    for (uint8_t bbm = 0; bbm < 2; bbm++) {
        struct pt_config io = ts_config(PT_ARM_S2_4K, bbm, false);

        ts_open(&t, 512 * 3, true, 20);
        ts_tree(&t, 0, "cpu", TS_CPU, &cpu);
        ts_tree(&t, 1, "io", TS_SMMU, &io);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(
                space_bind(&t.tree[i].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 512 * 3, RW, true), 0);
        }
        REFUSED(ts_convert(&t, 5, 1, true, GMEM_KEEP), -EOPNOTSUPP);
        REFUSED(ts_convert(&t, 0, 513, true, GMEM_KEEP), -EOPNOTSUPP);
        REFUSED(ts_convert(&t, 511, 513, true, GMEM_KEEP), -EOPNOTSUPP);
        /* Whole leaves, and in place, are no cut. */
        assert_int_equal(ts_convert(&t, 512, 512, true, GMEM_KEEP), 0);
        assert_int_equal(ts_convert(&t, 9, 1, true, GMEM_INPLACE), 0);
        ts_check(&t);
        ts_close(&t);

        /* Cut beforehand. */
        ts_open(&t, 512 * 3, true, 21);
        ts_tree(&t, 0, "cpu", TS_CPU, &cpu);
        ts_tree(&t, 1, "io", TS_SMMU, &io);
        t.tree[0].s.max_leaf = t.tree[1].s.max_leaf = 4096;
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(
                space_bind(&t.tree[i].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 512 * 3, RW, true), 0);
        }
        t.tree[1].hitless = true; /* no cut, no fault beside */
        assert_int_equal(ts_convert(&t, 5, 1, true, GMEM_KEEP), 0);
        assert_int_equal(ts_convert(&t, 300, 800, true, GMEM_KEEP), 0);
        ts_check(&t);
        assert_int_equal(ts_convert(&t, 300, 800, false, GMEM_KEEP), 0);
        assert_int_equal(tp_count(&t.tree[1].s.pt).leaves[2], 0);
        ts_check(&t);
        ts_close(&t);
    }
}

/* ---- 1G ---- */

static void gigabyte(void **state)
{
    struct ts t;
    unsigned shift;

    (void)state;
    for (uint8_t bbm = 0; bbm <= 2; bbm += 2) {
        ts_world(&t, 512 * 512, false, false, bbm, 22);
        /* The pool's run is 1G-aligned; so is the guest's address. */
        assert_int_equal(t.p0[0] & (GIB - 1), 0);
        assert_true(ts_at(&t.tree[0], TS_GUEST, &shift) != 0 && shift == 30);
        assert_true(ts_at(&t.tree[1], TS_GUEST, &shift) != 0 && shift == 30);
        ts_close(&t);
    }
    /* Separate backing, changed within. */
    struct pt_config cpu = ts_config(PT_ARM_S2_4K, 2, true);
    struct pt_config io = ts_config(PT_ARM_S2_4K, 2, false);
    struct pt_config n1 = ts_config(PT_ARM_S2_4K, 0, true);

    ts_open(&t, 512 * 512, true, 23);
    ts_tree(&t, 0, "cpu", TS_CPU, &cpu);
    ts_tree(&t, 1, "io", TS_SMMU, &io);
    ts_tree(&t, 2, "cpu, no bbm", TS_CPU, &n1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(
            space_bind(&t.tree[i].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 512 * 512, RW, true), 0);
        assert_int_equal(tp_count(&t.tree[i].s.pt).leaves[1], 1);
    }
    const struct {
        uint64_t page, n;
    } change[] = { { 77777, 1 }, { 512 * 100, 512 }, { 512 * 512 - 1, 1 }, { 0, 512 * 512 } };

    for (unsigned c = 0; c < 4; c++) {
        assert_int_equal(ts_convert(&t, change[c].page, change[c].n, true, GMEM_KEEP), 0);
        for (unsigned i = 0; i < 3; i++) {
            uint64_t edge[] = { change[c].page, change[c].page + change[c].n - 1,
                                change[c].page - 1, change[c].page + change[c].n };

            for (unsigned k = 0; k < 4; k++) {
                if (edge[k] < t.gm.npages) {
                    uint64_t want = t.want[edge[k]] == GMEM_SHARED ? t.p1[edge[k]] : t.p0[edge[k]];

                    assert_int_equal(ts_at(&t.tree[i], TS_GUEST + (edge[k] << 12), NULL), want);
                }
            }
            /* As large as can be: 511 blocks and 512 pages, or 512 blocks, or one. */
            struct pt_counts n = tp_count(&t.tree[i].s.pt);
            const uint64_t *l = n.leaves;

            assert_int_equal(l[1], c == 3);
            assert_int_equal(l[2], c == 3 ? 0 : (c == 1 ? 512 : 511));
            assert_int_equal(l[3], c == 0 || c == 2 ? 512 : 0);
        }
        ts_judge(&t);
        assert_int_equal(ts_convert(&t, change[c].page, change[c].n, false, GMEM_KEEP), 0);
        for (unsigned i = 0; i < 3; i++) {
            struct pt_counts n = tp_count(&t.tree[i].s.pt);
            const uint64_t *l = n.leaves;

            tp_assert(l[1] == 1 && l[2] == 0 && l[3] == 0, "%s: not merged: %lu %lu %lu\n",
                      t.tree[i].name, (unsigned long)l[1], (unsigned long)l[2],
                      (unsigned long)l[3]);
        }
        ts_judge(&t);
    }
    ts_close(&t);
}

/* The shared copy of one chunk and the private frame of the next happen to be neighbours in memory,
 * and together they would make a leaf: the border must stay. */
static void no_leaf_over_a_border(void **state)
{
    struct pt_config cpu = ts_config(PT_ARM_S2_4K, 2, true);
    struct ts t;

    (void)state;
    ts_open(&t, 512 * 512, true, 24);
    /* private [A, A+1G), shared [B, B+1G): swap so that shared chunks 0..255 continue in private
     * chunks 256..511. */
    for (uint64_t k = 0; k < 256; k++) {
        uint64_t pa = t.gm.shared[k];

        t.gm.shared[k] = t.gm.priv[k];
        t.gm.priv[k] = pa;
    }
    for (uint64_t p = 0; p < 256 * 512; p++) {
        uint64_t pa = t.p0[p];

        t.p0[p] = t.p1[p];
        t.p1[p] = pa;
    }
    ts_tree(&t, 0, "cpu", TS_CPU, &cpu);
    assert_int_equal(space_bind(&t.tree[0].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, 512 * 512, RW, true),
                     0);
    /* Shared in two calls, the first half of 1G: its frames are followed by the private half's. */
    assert_int_equal(ts_convert(&t, 0, 100 * 512, true, GMEM_KEEP), 0);
    assert_int_equal(ts_convert(&t, 100 * 512, 156 * 512, true, GMEM_KEEP), 0);
    tp_assert(tp_count(&t.tree[0].s.pt).leaves[1] == 0, "leaf-over-a-border\n");
    assert_int_equal(tp_count(&t.tree[0].s.pt).leaves[2], 512);
    ts_judge(&t);
    ts_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_steps),
        cmocka_unit_test(large_leaf_beside),
        cmocka_unit_test(one_page_costs),
        cmocka_unit_test(in_place_leaves_the_guests_trees),
        cmocka_unit_test(dma_is_drained),
        cmocka_unit_test(refused_changes),
        cmocka_unit_test(pinned_is_busy),
        cmocka_unit_test(no_pin_slips_in),
        cmocka_unit_test(refused_by_hardware),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(gigabyte),
        cmocka_unit_test(no_leaf_over_a_border),
    };

    return cmocka_run_group_tests_name("space_steps", tests, NULL, NULL);
}
