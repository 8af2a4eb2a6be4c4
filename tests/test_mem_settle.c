/* SPDX-License-Identifier: BSD-2-Clause */
/* Merges that wait: blocks that were cut for a conversion stay cut until they are asked to be one again. */
#include "lib_space.h"

#include <string.h>

#include <tenon/discard.h>

enum { PAGES = 3 * 512 };
static struct ts t;

/* log2 of the leaf that the guest's trees have over a page; both agree. */
static unsigned leaf(uint64_t page)
{
    unsigned cpu = 0, io = 0;

    assert_int_not_equal(ts_at(&t.tree[0], TS_GUEST + (page << PAGE_SHIFT), &cpu), 0);
    assert_int_not_equal(ts_at(&t.tree[1], TS_GUEST + (page << PAGE_SHIFT), &io), 0);
    assert_int_equal(cpu, io);
    return cpu;
}

static void flip(uint64_t page)
{
    assert_int_equal(ts_convert(&t, page, 1, true, GMEM_KEEP), 0);
    assert_int_equal(ts_convert(&t, page, 1, false, GMEM_KEEP), 0);
    ts_judge(&t);
}

static void by_hand(void **state)
{
    (void)state;
    ts_world(&t, PAGES, true, false, 2, 1);
    assert_int_equal(leaf(5), 21);
    flip(5);
    assert_int_equal(leaf(5), 21);
    t.gm.merge_later = true;
    flip(5);
    flip(600);
    tp_assert(leaf(5) == 12 && leaf(600) == 12, "merged-early: %u %u\n", leaf(5), leaf(600));
    /* The table is there: neither a cut nor a table page, again and again. */
    uint64_t cuts = t.tree[0].s.cuts, tables = frame_tables_free();

    for (unsigned i = 0; i < 20; i++) {
        flip(5 + i);
    }
    tp_assert(t.tree[0].s.cuts == cuts && frame_tables_free() == tables,
              "merged-early: cut again\n");
    /* Exactly the blocks that were asked for; not one with a page elsewhere. */
    gmem_settle(&t.gm, 511, 1);
    tp_assert(leaf(5) == 21 && leaf(600) == 12, "not-merged: %u %u\n", leaf(5), leaf(600));
    assert_int_equal(ts_convert(&t, 700, 1, true, GMEM_KEEP), 0);
    gmem_settle(&t.gm, 0, PAGES);
    assert_int_equal(leaf(600), 12);
    assert_int_equal(ts_convert(&t, 700, 1, false, GMEM_KEEP), 0);
    gmem_settle(&t.gm, 0, PAGES);
    tp_assert(leaf(600) == 21 && t.gm.merge_later, "not-merged: %u\n", leaf(600));
    ts_check(&t);
    ts_close(&t);
}

/* The discarder remembers what waits, and merges it when it is time. */
static void by_time(void **state)
{
    struct gmem_discard d;

    (void)state;
    ts_world(&t, PAGES, true, false, 2, 2);
    t.gm.merge_later = true;
    assert_int_equal(gmem_discard_init(&d, &t.gm, NULL, 1000, ~0ull), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(gmem_discard_convert(&d, 510 + i, 1, true, GMEM_KEEP), 0);
        assert_int_equal(gmem_discard_convert(&d, 510 + i, 1, false, GMEM_KEEP), 0);
    }
    assert_true(leaf(0) == 12 && leaf(600) == 12 && leaf(1500) == 21);
    assert_int_equal(d.parted, 2);
    (void)gmem_discard_run(&d, 0);
    tp_assert(leaf(0) == 21 && leaf(600) == 21 && d.parted == 0, "not-merged: %lu blocks wait\n",
              (unsigned long)d.parted);
    d.max_ns = 0; /* as soon as the clock has moved on */
    for (unsigned i = 0; i < 1000 && leaf(1500) == 12; i++) {
        assert_int_equal(gmem_discard_convert(&d, 1500, 1, true, GMEM_KEEP), 0);
        assert_int_equal(gmem_discard_convert(&d, 1500, 1, false, GMEM_KEEP), 0);
    }
    tp_assert(leaf(1500) == 21, "not-merged: nobody looks at the time\n");
    /* No memory to remember by: merged at once. */
    gmem_discard_fini(&d);
    assert_int_equal(gmem_discard_init(&d, &t.gm, NULL, 1000, ~0ull), 0);
    flip(3); /* so that the conversion itself needs no table page */
    ts_drain(0);
    assert_int_equal(gmem_discard_convert(&d, 3, 1, true, GMEM_KEEP), 0);
    assert_int_equal(gmem_discard_convert(&d, 3, 1, false, GMEM_KEEP), 0);
    ts_refill();
    tp_assert(leaf(3) == 21 && d.parted == 0, "not-merged: %u\n", leaf(3));
    gmem_discard_fini(&d);
    ts_check(&t);
    ts_close(&t);
}

/* Never a hole under a page that anybody can reach, by a tree or by what a TLB still holds. */
static uint64_t punched;

static void punch(uint64_t pa, uint64_t len)
{
    for (unsigned i = 0; i < TS_TREES; i++) {
        const struct ts_tree *tree = &t.tree[i];

        for (uint64_t p = 0; p < PAGES; p++) {
            uint64_t ia = i < 2 ? TS_GUEST + (p << PAGE_SHIFT) : pa + (p << PAGE_SHIFT);
            unsigned shift;
            uint64_t oa = i < 2 || p < len >> PAGE_SHIFT ? ts_at(tree, ia, &shift) : 0;

            tp_assert(oa < pa || oa >= pa + len, "punched-while-mapped: %s, page %lu\n", tree->name,
                      (unsigned long)p);
        }
        for (unsigned k = 0; k < tree->nw; k++) {
            for (uint64_t p = 0; i < 2 && p < PAGES; p++) {
                struct model_xlat x = { 0 };
                enum model_fault fault = model_tlb_translate(
                    tree->w[k].tlb, &tree->w[k].ctx, TS_GUEST + (p << PAGE_SHIFT),
                    (struct model_access){ .what = MODEL_R, .user = true }, &x);

                tp_assert(fault != MODEL_OK || x.oa < pa || x.oa >= pa + len,
                          "punched-while-mapped: a TLB of %s, page %lu\n", tree->name,
                          (unsigned long)p);
            }
        }
    }
    punched += len >> PAGE_SHIFT;
}

static void no_hole_under_a_page(void **state)
{
    static const int policies[] = { GMEM_DISCARD, GMEM_LAZY };
    struct gmem_discard d;

    (void)state;
    ts_world(&t, PAGES, true, false, 2, 4);
    assert_int_equal(gmem_discard_init(&d, &t.gm, punch, 2, ~0ull), 0);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < 3; k++) {
            assert_int_equal(gmem_discard_convert(&d, 500 + 9 * k, 5, true, policies[i]), 0);
            assert_int_equal(gmem_discard_convert(&d, 500 + 9 * k, 5, false, policies[i]), 0);
        }
    }
    (void)gmem_discard_run(&d, ~0ull);
    assert_int_equal(punched, d.punched);
    assert_true(punched >= 45);
    gmem_discard_fini(&d);
    ts_check(&t);
    ts_close(&t);
}

/* A long range in steps: each of them bounded, none over a block's end, the edges alone cut. */
static void in_steps(void **state)
{
    uint64_t page = 100, last = page, steps = 0;
    int more = 1;

    (void)state;
    ts_world(&t, PAGES, true, false, 2, 3);
    while (more == 1) {
        memset(t.want + page, GMEM_SHARED, (1400 - page < 512 ? 1400 - page : 512 - page % 512));
        more = gmem_convert_step(&t.gm, &page, 1400, true, GMEM_KEEP, 512);
        tp_assert(more >= 0 && page - last <= 512, "step-too-long: %lu pages, %d\n",
                  (unsigned long)(page - last), more);
        tp_assert(page % 512 == 0 || page == 1400, "step-cuts-a-block: at page %lu\n",
                  (unsigned long)page);
        last = page;
        steps++;
    }
    assert_true(more == 0 && page == 1400 && steps == 3);
    assert_int_equal(leaf(600), 21);
    assert_int_equal(gmem_convert_step(&t.gm, &page, 1400, true, GMEM_KEEP, 512), -EINVAL);
    page = 0;
    assert_int_equal(gmem_convert_step(&t.gm, &page, 1400, true, GMEM_KEEP, 0), -EINVAL);
    /* Fewer than a block: as many as it may. */
    assert_int_equal(gmem_convert_step(&t.gm, &page, 100, true, GMEM_KEEP, 64), 1);
    assert_int_equal(page, 64);
    memset(t.want, GMEM_SHARED, 64);
    assert_int_equal(gmem_convert_step(&t.gm, &page, 200, true, GMEM_KEEP, 64),
                     -EINVAL); /* mixed */
    assert_int_equal(page, 64);
    ts_check(&t);
    ts_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(by_hand), cmocka_unit_test(by_time),
                                        cmocka_unit_test(no_hole_under_a_page),
                                        cmocka_unit_test(in_steps) };

    return cmocka_run_group_tests_name("mem_settle", tests, NULL, NULL);
}
