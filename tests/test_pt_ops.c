/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes call by call: what cut, break, merge, protect, dirty and age do exactly, and record. */
#include "lib_pt.h"

#include <stdlib.h>
#include <string.h>

static const struct pt_config s2 = { .format = PT_ARM_S2_4K,
                                     .ia_bits = 40,
                                     .oa_bits = 44,
                                     .start_level = 0,
                                     .live = { .bbm = 2, .hw_af = true, .hw_dirty = true } };
static const struct pt_config s1 = { .format = PT_ARM_S1_4K,
                                     .ia_bits = 48,
                                     .oa_bits = 44,
                                     .start_level = 0,
                                     .live = { .bbm = 2, .hw_af = true, .hw_dirty = true } };

/* A test on both formats; each test is given an empty tree with a pool of 16. */
static void both(void (*test)(struct tp *t, struct pt_gather *g))
{
    for (unsigned i = 0; i < 2; i++) {
        struct pt_gather g;
        struct tp t;

        pt_gather_init(&g);
        tp_open(&t, i ? &s1 : &s2);
        tp_pool(&t, 16);
        test(&t, &g);
        tp_done(&t, &g);
        tp_close(&t);
    }
}

static void leaves(const struct tp *t, uint64_t l1, uint64_t l2, uint64_t l3)
{
    struct pt_counts n = tp_count(&t->pt);

    tp_assert(n.leaves[1] == l1 && n.leaves[2] == l2 && n.leaves[3] == l3,
              "leaves: %lu 1G, %lu 2M, %lu 4K\n", (unsigned long)n.leaves[1],
              (unsigned long)n.leaves[2], (unsigned long)n.leaves[3]);
    tp_audit(t);
}

/* --- the gather --- */

static void gather_rules(void **state)
{
    struct pt_gather g;

    (void)state;
    pt_gather_init(&g);
    assert_true(pt_gather_empty(&g));
    /* Adjacent, same level: one record, from either side. */
    pt_gather_add(&g, 0x2000, 0x2fff, 3, false);
    pt_gather_add(&g, 0x3000, 0x3fff, 3, false);
    pt_gather_add(&g, 0x1000, 0x1fff, 3, false);
    assert_int_equal(g.n, 1);
    assert_true(tp_gathered(&g, 0x1000, 0x3fff, 3, false));
    /* Adjacent, another level or with tables: kept apart. */
    pt_gather_add(&g, 0x200000, 0x3fffff, 2, false);
    pt_gather_add(&g, 0x4000, 0x4fff, PT_LEVEL_ANY, true);
    assert_int_equal(g.n, 3);
    /* Fills a gap between two equal ones. */
    pt_gather_add(&g, 0x600000, 0x7fffff, 2, false);
    pt_gather_add(&g, 0x400000, 0x5fffff, 2, false);
    assert_true(tp_gathered(&g, 0x200000, 0x7fffff, 2, false));
    assert_int_equal(g.n, 3);
    /* Overlap: the hint is lost, also with an equal level; tables add up. */
    pt_gather_add(&g, 0x1000, 0x1fff, 3, false);
    assert_true(tp_gathered(&g, 0x1000, 0x3fff, PT_LEVEL_ANY, false));
    pt_gather_add(&g, 0x200000, 0x200fff, 3, true);
    assert_true(tp_gathered(&g, 0x200000, 0x7fffff, PT_LEVEL_ANY, true));
    assert_false(pt_gather_empty(&g));
    /* A record that joins two others swallows both. */
    pt_gather_init(&g);
    pt_gather_add(&g, 0x1000, 0x1fff, 3, false);
    pt_gather_add(&g, 0x5000, 0x5fff, 3, false);
    pt_gather_add(&g, 0x1000, 0x5fff, 3, false);
    assert_int_equal(g.n, 1);
    assert_true(tp_gathered(&g, 0x1000, 0x5fff, PT_LEVEL_ANY, false));
    /* The two ends of the 64-bit space are not neighbours. */
    pt_gather_init(&g);
    pt_gather_add(&g, 0, 0xfff, 3, false);
    pt_gather_add(&g, ~(uint64_t)0xfff, ~(uint64_t)0, 3, false);
    assert_int_equal(g.n, 2);
    /* Overflow: all. */
    pt_gather_init(&g);
    for (uint64_t i = 0; i < PT_GATHER_MAX; i++) {
        pt_gather_add(&g, i << 13, (i << 13) + 0xfff, 3, false);
        assert_false(g.all);
    }
    pt_gather_add(&g, 0x100000, 0x100fff, 3, false);
    assert_true(g.all && !pt_gather_empty(&g));
    pt_gather_add(&g, 0, 0xfff, 3, false);
    assert_true(g.all);
}

/* --- cut and break --- */

static void cut_exact(struct tp *t, struct pt_gather *g)
{
    uint32_t had;

    tp_put(t, 0, 0, 2 * GIB, RW | PT_EXEC, 0);
    leaves(t, 2, 0, 0);
    /* A 4K page in the middle of a 1G leaf: two tables, one record, without a hint: a 2M leaf may be
     * cached too. */
    had = t->pool.count;
    assert_int_equal(pt_cut(&t->pt, 5 * MIB, PAGE_SIZE, &t->pool, g), 0);
    assert_int_equal(had - t->pool.count, 2);
    assert_int_equal(g->n, 1);
    assert_true(tp_gathered(g, 0, GIB - 1, PT_LEVEL_ANY, false));
    leaves(t, 1, 511, 512);
    /* There already: nothing. */
    pt_gather_done(&t->pt, g);
    assert_int_equal(pt_cut(&t->pt, 5 * MIB, PAGE_SIZE, &t->pool, g), 0);
    assert_true(pt_gather_empty(g));
    leaves(t, 1, 511, 512);
    /* Both ends cross, in leaves of different sizes. */
    had = t->pool.count;
    assert_int_equal(pt_cut(&t->pt, GIB - 3 * PAGE_SIZE, GIB + PAGE_SIZE, &t->pool, g), 0);
    assert_int_equal(had - t->pool.count, 3);
    assert_int_equal(g->n, 2);
    assert_true(tp_gathered(g, GIB - 2 * MIB, GIB - 1, 2, false));
    assert_true(tp_gathered(g, GIB, 2 * GIB - 1, PT_LEVEL_ANY, false));
    leaves(t, 0, 510 + 511, 3 * 512);
    /* Both ends in one leaf of 2M. */
    pt_gather_done(&t->pt, g);
    had = t->pool.count;
    assert_int_equal(pt_cut(&t->pt, GIB + PAGE_SIZE, 5 * PAGE_SIZE, &t->pool, g), 0);
    assert_int_equal(had - t->pool.count, 1);
    assert_int_equal(g->n, 1);
    leaves(t, 0, 510 + 510, 4 * 512);
    /* 2M-aligned ends in a 1G leaf need no 4K table. */
    tp_put(t, 3 * GIB, 3 * GIB, GIB, RW, 0);
    had = t->pool.count;
    assert_int_equal(pt_cut(&t->pt, 3 * GIB + 2 * MIB, 2 * MIB, &t->pool, g), 0);
    assert_int_equal(had - t->pool.count, 1);
    leaves(t, 0, 510 + 510 + 512, 4 * 512);
    /* The same with the ends in two leaves. */
    tp_put(t, 16 * GIB, 0, 2 * GIB, RW, 0);
    had = t->pool.count;
    assert_int_equal(pt_cut(&t->pt, 16 * GIB + 2 * MIB, GIB, &t->pool, g), 0);
    assert_int_equal(had - t->pool.count, 2);
    leaves(t, 0, 510 + 510 + 512 + 1024, 4 * 512);
    /* A hole needs no cut, whatever the hardware. */
    t->pt.cfg.live.bbm = 0;
    assert_int_equal(pt_cut_check(&t->pt, 8 * GIB + PAGE_SIZE, PAGE_SIZE), 0);
    assert_int_equal(pt_cut_check(&t->pt, GIB + PAGE_SIZE, 5 * PAGE_SIZE), 0);
    assert_int_equal(pt_cut_check(&t->pt, 3 * GIB + 5 * MIB, PAGE_SIZE), -EOPNOTSUPP);
    t->pt.cfg.live.bbm = 1;
    assert_int_equal(pt_cut_check(&t->pt, 3 * GIB + 5 * MIB, PAGE_SIZE), -EOPNOTSUPP);
    t->pt.cfg.live.bbm = 2;
}

static void cut_is_exact(void **state)
{
    (void)state;
    both(cut_exact);
}

/* What went wrong in the field: a 4K unmap inside a 2M page; a block's device attributes lost on a split. */
static void field_regressions(struct tp *t, struct pt_gather *g)
{
    struct pt_leaf leaf;
    struct model_xlat x;

    tp_put(t, 2 * MIB, 4 * MIB, 2 * MIB, RW | PT_DEVICE, 0);
    assert_int_equal(pt_unmap(&t->pt, 2 * MIB + PAGE_SIZE, PAGE_SIZE, g), -EINVAL);
    assert_int_equal(pt_break(&t->pt, 2 * MIB + PAGE_SIZE, PAGE_SIZE, g), -EINVAL);
    leaves(t, 0, 1, 0);
    assert_int_equal(pt_cut(&t->pt, 2 * MIB + PAGE_SIZE, PAGE_SIZE, &t->pool, g), 0);
    for (uint64_t ia = 2 * MIB; ia < 4 * MIB; ia += PAGE_SIZE) {
        assert_int_equal(pt_lookup(&t->pt, ia, &leaf), 0);
        assert_int_equal(leaf.prot, tp_reported(t, RW | PT_DEVICE | t->user));
        assert_int_equal(tp_walk(t, ia, &x), MODEL_OK);
        assert_int_equal(x.memtype, MODEL_MT_DEVICE);
        assert_false(x.contig); /* a walker may not assume what another one was promised */
    }
    tp_done(t, g);
    assert_int_equal(pt_unmap(&t->pt, 2 * MIB + PAGE_SIZE, PAGE_SIZE, g), 0);
    assert_int_equal(g->n, 1);
    assert_true(tp_gathered(g, 2 * MIB + PAGE_SIZE, 2 * MIB + 2 * PAGE_SIZE - 1, 3, false));
    tp_map_del(&t->map, 2 * MIB + PAGE_SIZE, 2 * MIB + 2 * PAGE_SIZE - 1);
    leaves(t, 0, 0, 511);
}

static void field(void **state)
{
    (void)state;
    both(field_regressions);
}

static void break_and_unmap(struct tp *t, struct pt_gather *g)
{
    tp_put(t, GIB, 0, GIB, RW, 0);
    tp_put(t, 2 * GIB, 0, 4 * MIB, RW, 0);
    tp_put(t, 2 * GIB + 4 * MIB, 0, 8 * PAGE_SIZE, RW, 0);
    /* Leaves of three sizes: three records, hints kept. */
    assert_int_equal(pt_break(&t->pt, GIB, 2 * GIB, g), 0);
    assert_int_equal(g->n, 3);
    assert_true(tp_gathered(g, GIB, 2 * GIB - 1, 1, false));
    assert_true(tp_gathered(g, 2 * GIB, 2 * GIB + 4 * MIB - 1, 2, false));
    assert_true(tp_gathered(g, 2 * GIB + 4 * MIB, 2 * GIB + 4 * MIB + 8 * PAGE_SIZE - 1, 3, false));
    assert_int_equal(g->freed.count, 0);
    tp_map_del(&t->map, GIB, 3 * GIB - 1);
    assert_int_equal(tp_count(&t->pt).tables, 3);
    tp_done(t, g);
    leaves(t, 0, 0, 0);
    /* Again: holes are fine, and there is nothing to invalidate. */
    assert_int_equal(pt_break(&t->pt, GIB, 2 * GIB, g), 0);
    assert_true(pt_gather_empty(g));
    /* What break left is filled again without a table... */
    tp_pool(t, 0);
    tp_put(t, 2 * GIB + 4 * MIB, 0, 2 * MIB, RW, 0); /* ...and an empty table is not replaced */
    assert_int_equal(tp_count(&t->pt).leaves[3], 512);
    tp_pool(t, 16);
    assert_int_equal(pt_break(&t->pt, 2 * GIB + 4 * MIB, 2 * MIB, g), 0);
    tp_map_del(&t->map, 2 * GIB + 4 * MIB, 2 * GIB + 6 * MIB - 1);
    tp_done(t, g);
    /* Unmap frees what lies in the range, and nothing that reaches beyond it. */
    assert_int_equal(pt_unmap(&t->pt, 2 * GIB + 5 * MIB, PAGE_SIZE, g), 0);
    assert_true(pt_gather_empty(g) && g->freed.count == 0);
    assert_int_equal(pt_unmap(&t->pt, 2 * GIB + 4 * MIB, 2 * MIB, g), 0);
    assert_int_equal(g->freed.count, 1);
    assert_int_equal(g->n, 1);
    assert_true(tp_gathered(g, 2 * GIB + 4 * MIB, 2 * GIB + 6 * MIB - 1, PT_LEVEL_ANY, true));
    tp_done(t, g);
    /* Trim frees the empty tables around a hole: walk caches must go. */
    assert_int_equal(pt_trim(&t->pt, 2 * GIB + 5 * MIB, PAGE_SIZE, g), 0);
    assert_int_equal(g->freed.count, 2);
    assert_int_equal(g->n, 1);
    assert_true(tp_gathered(g, 0, 512 * GIB - 1, PT_LEVEL_ANY, true));
    tp_done(t, g);
    leaves(t, 0, 0, 0);
    /* A table stays as long as anything is in it, before or behind. */
    for (unsigned order = 0; order < 3; order++) {
        static const uint64_t page[3][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 511 } };

        tp_pool(t, 16);
        for (unsigned i = 0; i < 3; i++) {
            tp_put(t, page[order][i] * PAGE_SIZE, 0, PAGE_SIZE, RW, 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            uint64_t ia = page[order][i] * PAGE_SIZE;

            assert_int_equal(pt_unmap(&t->pt, ia, PAGE_SIZE, g), 0);
            assert_int_equal(g->freed.count, 0);
            assert_int_equal(pt_trim(&t->pt, ia, PAGE_SIZE, g), 0);
            assert_int_equal(g->freed.count, i < 2 ? 0 : 3);
            tp_map_del(&t->map, ia, ia + PAGE_SIZE - 1);
            tp_done(t, g);
            tp_audit(t);
        }
    }
}

static void break_unmap(void **state)
{
    (void)state;
    both(break_and_unmap);
}

/* --- merge --- */

static void merge_rules(struct tp *t, struct pt_gather *g)
{
    tp_put(t, 0, 0, GIB, RW, 0);
    assert_int_equal(pt_cut(&t->pt, 0, PAGE_SIZE, &t->pool, g), 0);
    tp_done(t, g);
    /* Rules of the hardware: nothing, or the hint that breaking would do it. */
    t->pt.cfg.live.bbm = 1;
    assert_int_equal(pt_merge(&t->pt, 0, PAGE_SIZE, 0, g), 0);
    t->pt.cfg.live.stalls = true;
    assert_int_equal(pt_merge(&t->pt, 0, PAGE_SIZE, 0, g), -EOPNOTSUPP);
    assert_int_equal(pt_merge(&t->pt, 4 * GIB, PAGE_SIZE, 0, g), 0); /* nothing there to merge */
    t->pt.cfg.live.bbm = 2;
    assert_true(pt_gather_empty(g));
    leaves(t, 0, 511, 512);
    /* The cap. */
    assert_int_equal(pt_merge(&t->pt, 0, PAGE_SIZE, PAGE_SIZE, g), 0);
    assert_int_equal(pt_merge(&t->pt, 0, PAGE_SIZE, 2 * MIB, g), 1);
    assert_int_equal(g->held_n, 1);
    assert_int_equal(g->freed.count, 0);
    assert_true(tp_gathered(g, 0, 2 * MIB - 1, PT_LEVEL_ANY, true));
    tp_done(t, g);
    leaves(t, 0, 512, 0);
    assert_int_equal(pt_merge(&t->pt, GIB - PAGE_SIZE, PAGE_SIZE, 0, g), 1);
    tp_done(t, g);
    leaves(t, 1, 0, 0);
    /* Two levels in one store; a table that the range does not touch is left alone. */
    assert_int_equal(pt_cut(&t->pt, 4 * MIB, PAGE_SIZE, &t->pool, g), 0);
    assert_int_equal(pt_cut(&t->pt, 8 * MIB, PAGE_SIZE, &t->pool, g), 0);
    tp_done(t, g);
    leaves(t, 0, 510, 1024);
    assert_int_equal(pt_merge(&t->pt, 4 * MIB, PAGE_SIZE, 0, g), 1);
    tp_done(t, g);
    leaves(t, 0, 511, 512);
    assert_int_equal(pt_merge(&t->pt, 9 * MIB, PAGE_SIZE, 0, g), 1);
    tp_done(t, g);
    leaves(t, 1, 0, 0);
}

static void merge_is_exact(void **state)
{
    (void)state;
    both(merge_rules);
}

/* Each way in which a table is not one leaf. */
static void merge_refusals(struct tp *t, struct pt_gather *g)
{
    for (unsigned i = 0; i < 9; i++) {
        static const uint64_t at[] = { 0, 511, 200 };
        uint64_t ia = 2 * MIB + at[i % 3] * PAGE_SIZE, oa = 6 * MIB + at[i % 3] * PAGE_SIZE;

        tp_pool(t, 16);
        tp_put(t, 2 * MIB, 6 * MIB, 2 * MIB, RW, PAGE_SIZE);
        assert_int_equal(pt_break(&t->pt, ia, PAGE_SIZE, g), 0);
        tp_map_del(&t->map, ia, ia + PAGE_SIZE - 1);
        if (i / 3 == 1) {
            tp_put(t, ia, oa + PAGE_SIZE, PAGE_SIZE, RW, 0); /* another address */
        } else if (i / 3 == 2) {
            tp_put(t, ia, oa, PAGE_SIZE, PT_READ, 0); /* other rights */
        }
        tp_done(t, g);
        assert_int_equal(pt_merge(&t->pt, 2 * MIB, 2 * MIB, 0, g), 0);
        assert_true(pt_gather_empty(g));
        tp_audit(t);
        assert_int_equal(pt_unmap(&t->pt, 0, 4 * MIB, g), 0);
        tp_map_del(&t->map, 0, 4 * MIB - 1);
        tp_done(t, g);
    }
    /* Contiguous, but not aligned to the larger leaf. */
    tp_put(t, 2 * MIB, 6 * MIB + PAGE_SIZE, 2 * MIB, RW, PAGE_SIZE);
    assert_int_equal(pt_merge(&t->pt, 2 * MIB, 2 * MIB, 0, g), 0);
    /* Under dirty tracking hardware may be changing them. */
    tp_put(t, 4 * MIB, 4 * MIB, 2 * MIB, RW | PT_TRACK, PAGE_SIZE);
    tp_put(t, 6 * MIB, 6 * MIB, 2 * MIB, RW | PT_TRACK | PT_DIRTY, PAGE_SIZE);
    assert_int_equal(pt_merge(&t->pt, 0, 8 * MIB, 0, g), 0);
    leaves(t, 0, 0, 3 * 512);
}

static void merge_refuses(void **state)
{
    (void)state;
    both(merge_refusals);
}

static void merge_more(struct tp *t, struct pt_gather *g)
{
    uint32_t n = PT_GATHER_HELD + 3;

    /* 2M blocks with gaps between them: no 1G leaf can come of it. */
    tp_pool(t, 3 * n);
    for (uint32_t i = 0; i < n; i++) {
        tp_put(t, i * 4 * MIB, i * 4 * MIB, 2 * MIB, RW, PAGE_SIZE);
    }
    assert_int_equal(pt_merge(&t->pt, 0, GIB, 0, g), PT_GATHER_HELD);
    assert_true(g->more);
    assert_int_equal(pt_merge(&t->pt, 0, GIB, 0, g), 0);
    assert_true(g->more);
    tp_done(t, g);
    assert_false(g->more);
    assert_int_equal(pt_merge(&t->pt, 0, GIB, 0, g), 3);
    assert_false(g->more);
    tp_done(t, g);
    leaves(t, 0, n, 0);
}

static void merge_in_parts(void **state)
{
    (void)state;
    both(merge_more);
}

/* --- attributes --- */

static uint32_t prot_at(const struct tp *t, uint64_t ia)
{
    struct pt_leaf leaf;

    assert_int_equal(pt_lookup(&t->pt, ia, &leaf), 0);
    assert_true(leaf.present);
    return leaf.prot & ~(uint32_t)PT_USER;
}

static void protect(struct tp *t, struct pt_gather *g)
{
    uint32_t u = t->user;

    tp_put(t, 0, 0, 4 * MIB, RW | PT_EXEC, 0);
    tp_put(t, 4 * MIB, 4 * MIB, PAGE_SIZE, RW, 0);
    assert_int_equal(pt_protect(&t->pt, 0, 8 * MIB, PT_READ | u, g), 0);
    assert_int_equal(g->n, 2);
    assert_true(tp_gathered(g, 0, 4 * MIB - 1, 2, false));
    assert_true(tp_gathered(g, 4 * MIB, 4 * MIB + PAGE_SIZE - 1, 3, false));
    assert_false(g->dirty); /* nothing was tracked */
    pt_gather_done(&t->pt, g);
    assert_int_equal(prot_at(t, 0), PT_READ);
    /* Nothing to do: nothing to invalidate. */
    assert_int_equal(pt_protect(&t->pt, 0, 8 * MIB, PT_READ | u, g), 0);
    assert_true(pt_gather_empty(g));
    /* Tracking starts clean, or dirty if so asked; survives; ends plain. */
    assert_int_equal(pt_protect(&t->pt, 0, 2 * MIB, RW | PT_TRACK | u, g), 0);
    assert_int_equal(pt_protect(&t->pt, 2 * MIB, 2 * MIB, RW | PT_TRACK | PT_DIRTY | u, g), 0);
    assert_int_equal(prot_at(t, 0), RW | PT_TRACK);
    assert_int_equal(prot_at(t, 2 * MIB), RW | PT_TRACK | PT_DIRTY);
    assert_int_equal(pt_protect(&t->pt, 0, 4 * MIB, RW | PT_EXEC | PT_TRACK | u, g), 0);
    assert_int_equal(prot_at(t, 0), RW | PT_EXEC | PT_TRACK);
    assert_int_equal(prot_at(t, 2 * MIB), RW | PT_EXEC | PT_TRACK | PT_DIRTY);
    assert_false(g->dirty);
    assert_int_equal(pt_protect(&t->pt, 0, 2 * MIB, PT_READ | u, g), 0);
    assert_false(g->dirty); /* was clean */
    assert_int_equal(pt_protect(&t->pt, 2 * MIB, 2 * MIB, PT_READ | u, g), 0);
    assert_true(g->dirty); /* and this is the last one to know */
    pt_gather_init(g);
    assert_int_equal(pt_protect(&t->pt, 0, 4 * MIB, RW | u, g), 0);
    assert_int_equal(prot_at(t, 0), RW | PT_DIRTY);
    /* The whole type is fixed, PT_USER too. */
    assert_int_equal(pt_protect(&t->pt, 0, 4 * MIB, RW | PT_NC | u, g), -EINVAL);
    if (u) {
        assert_int_equal(pt_protect(&t->pt, 0, 4 * MIB, RW, g), -EINVAL);
    }
    /* Refused for the second leaf: the first is as it was. */
    tp_put(t, 6 * MIB, 0, 2 * MIB, RW | PT_DEVICE, 0);
    assert_int_equal(pt_protect(&t->pt, 0, 8 * MIB, PT_READ | u, g), -EINVAL);
    assert_int_equal(prot_at(t, 0), RW | PT_DIRTY);
    tp_map_del(&t->map, 0, 8 * MIB - 1);
    assert_int_equal(pt_unmap(&t->pt, 0, 8 * MIB, g), 0);
}

static void protects(void **state)
{
    (void)state;
    both(protect);
}

static void dirty(struct tp *t, struct pt_gather *g)
{
    uint64_t bits[32] = { 0 }, none[32] = { 0 };
    uint32_t u = t->user;

    /* 0..2M tracked dirty, then 4K pages: dirty, clean, plain, hole, dirty. */
    tp_put(t, 0, 0, 2 * MIB, RW | PT_TRACK | PT_DIRTY, 0);
    tp_put(t, 2 * MIB, 2 * MIB, PAGE_SIZE, RW | PT_TRACK | PT_DIRTY, 0);
    tp_put(t, 2 * MIB + PAGE_SIZE, 0, PAGE_SIZE, RW | PT_TRACK, 0);
    tp_put(t, 2 * MIB + 2 * PAGE_SIZE, 0, PAGE_SIZE, RW, 0);
    tp_put(t, 2 * MIB + 4 * PAGE_SIZE, 0, PAGE_SIZE, RW | PT_TRACK | PT_DIRTY, 0);
    /* Only reading; in units of 64K, then of 2M; units that are none. */
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, 4 * MIB, bits, 16 * PAGE_SIZE, NULL), 0);
    assert_true(bits[0] == 0x1ffffffff && bits[1] == 0);
    memset(bits, 0, sizeof(bits));
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, 4 * MIB, bits, 2 * MIB, NULL), 0);
    assert_true(bits[0] == 3);
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, 4 * MIB, bits, 2048, g), -EINVAL);
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, 4 * MIB, bits, 3 * PAGE_SIZE, g), -EINVAL);
    memset(bits, 0, sizeof(bits));
    bits[16] = (uint64_t)1 << 63; /* a bit of the caller's own stays */
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, 4 * MIB, bits, PAGE_SIZE, g), 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(bits[i] == ~(uint64_t)0);
    }
    assert_true(bits[8] == 0x11);
    assert_true(bits[9] == 0 && bits[16] == (uint64_t)1 << 63);
    assert_int_equal(g->n, 3);
    assert_true(tp_gathered(g, 0, 2 * MIB - 1, 2, false));
    assert_true(tp_gathered(g, 2 * MIB, 2 * MIB + PAGE_SIZE - 1, 3, false));
    assert_int_equal(prot_at(t, 0), RW | PT_TRACK);
    assert_int_equal(prot_at(t, 2 * MIB + 2 * PAGE_SIZE), RW | PT_DIRTY);
    pt_gather_done(&t->pt, g);
    memset(bits, 0, sizeof(bits));
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, 4 * MIB, bits, PAGE_SIZE, g), 0);
    assert_memory_equal(bits, none, sizeof(bits));
    assert_true(pt_gather_empty(g));
    tp_map_prot(&t->map, 0, 4 * MIB - 1, 0, 0);
    /* An unaligned start: bits count from the range's own first page. */
    assert_int_equal(
        pt_protect(&t->pt, 2 * MIB + PAGE_SIZE, PAGE_SIZE, RW | PT_TRACK | PT_DIRTY | u, g), 0);
    assert_int_equal(pt_protect(&t->pt, 2 * MIB + 2 * PAGE_SIZE, PAGE_SIZE, RW | u, g), 0);
    assert_int_equal(
        pt_dirty_read_clear(&t->pt, 2 * MIB + PAGE_SIZE, 7 * PAGE_SIZE, bits, PAGE_SIZE, g), 0);
    assert_true(bits[0] == 1);
    assert_int_equal(prot_at(t, 2 * MIB + PAGE_SIZE), RW | PT_TRACK);
    /* Breaking a dirty one says so. */
    assert_false(g->dirty);
    tp_put(t, 4 * MIB, 0, PAGE_SIZE, RW | PT_TRACK | PT_DIRTY, 0);
    assert_int_equal(pt_break(&t->pt, 2 * MIB, PAGE_SIZE, g), 0);
    assert_false(g->dirty);
    assert_int_equal(pt_break(&t->pt, 4 * MIB, PAGE_SIZE, g), 0);
    assert_true(g->dirty);
    assert_int_equal(pt_unmap(&t->pt, 0, GIB, g), 0);
    tp_map_del(&t->map, 0, GIB - 1);
}

static void dirty_state(void **state)
{
    (void)state;
    both(dirty);
}

static void age(struct tp *t, struct pt_gather *g)
{
    struct model_xlat x;
    bool young;

    tp_put(t, 0, 0, 2 * MIB, RW, 0);
    tp_put(t, 2 * MIB, 0, 4 * PAGE_SIZE, RW, 0);
    assert_int_equal(pt_age(&t->pt, 0, 4 * MIB, &young, g), 0);
    assert_true(young);
    assert_int_equal(g->n, 2);
    pt_gather_done(&t->pt, g);
    assert_int_equal(pt_age(&t->pt, 0, 4 * MIB, &young, g), 0);
    assert_false(young);
    assert_true(pt_gather_empty(g));
    /* The walker uses one page; only that leaf is young again. */
    assert_int_equal(model_walk(&t->walk, &tp_mem, 2 * MIB + PAGE_SIZE,
                                (struct model_access){ .what = MODEL_R, .user = t->user != 0 }, &x),
                     MODEL_OK);
    assert_int_equal(pt_age(&t->pt, 0, 2 * MIB, &young, g), 0);
    assert_false(young);
    /* A cut keeps the flag as it is; a merge of young and old is young. */
    assert_int_equal(pt_cut(&t->pt, 0, PAGE_SIZE, &t->pool, g), 0);
    assert_int_equal(pt_age(&t->pt, 0, 2 * MIB, &young, g), 0);
    assert_false(young);
    assert_int_equal(model_walk(&t->walk, &tp_mem, PAGE_SIZE,
                                (struct model_access){ .what = MODEL_R, .user = t->user != 0 }, &x),
                     MODEL_OK);
    assert_int_equal(pt_merge(&t->pt, 0, 2 * MIB, 0, g), 1);
    assert_int_equal(pt_age(&t->pt, 0, 2 * MIB, &young, g), 0);
    assert_true(young);
    assert_int_equal(pt_age(&t->pt, 2 * MIB, 4 * PAGE_SIZE, &young, g), 0);
    assert_true(young);
}

static void aging(void **state)
{
    (void)state;
    both(age);
}

static void clear(struct tp *t, struct pt_gather *g)
{
    tp_put(t, 0, 0, GIB, RW, 0);
    tp_put(t, GIB, 0, 2 * MIB, RW, PAGE_SIZE);
    tp_put(t, 600 * GIB, 0, PAGE_SIZE, RW, 0);
    pt_clear(&t->pt, g);
    assert_true(g->all);
    tp_map_del(&t->map, 0, ~(uint64_t)0 >> 1);
    assert_int_equal(tp_done(t, g), 2 + 1 + 2 + 1);
    leaves(t, 0, 0, 0);
    assert_int_equal(tp_count(&t->pt).tables, 0);
}

static void clears(void **state)
{
    (void)state;
    both(clear);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_rules),   cmocka_unit_test(cut_is_exact),
        cmocka_unit_test(field),          cmocka_unit_test(break_unmap),
        cmocka_unit_test(merge_is_exact), cmocka_unit_test(merge_refuses),
        cmocka_unit_test(merge_in_parts), cmocka_unit_test(protects),
        cmocka_unit_test(dirty_state),    cmocka_unit_test(aging),
        cmocka_unit_test(clears),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
