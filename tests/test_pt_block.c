/* SPDX-License-Identifier: BSD-2-Clause */
/* One block and its pages: cut, merge, and whether either may be, with one table to look at. */
#include <string.h>

#include "lib_pt.h"

static bool resizes(const struct tp *t)
{
    /* Arm's rule is the only one; its formats are the first. */
    return t->pt.cfg.format > PT_ARM_S2_64K || t->pt.cfg.live.bbm == 2;
}

static bool blocks(const struct tp *t)
{
    return t->pt.leaf_h >= 1;
}

/* A merge that must find nothing to do. */
static void no_merge(struct tp *t, struct pt_gather *g)
{
    struct tp_snap snap;

    tp_snap(t, &snap);
    assert_int_equal(pt_merge(&t->pt, 4 * t->block, t->block, t->block, g), 0);
    tp_assert_same(t, &snap);
    assert_true(pt_gather_empty(g) && g->held_n == 0);
}

static void pages_at(struct tp *t, uint64_t oa, uint32_t prot)
{
    tp_put(t, 4 * t->block, oa, t->block, prot, t->page);
}

static void no_pages(struct tp *t, struct pt_gather *g)
{
    assert_int_equal(pt_break(&t->pt, 4 * t->block, t->block, g), 0);
    tp_map_del(&t->map, 4 * t->block, 5 * t->block - 1);
    pt_gather_done(&t->pt, g);
}

/* One page that is not there, leads elsewhere, or has other rights. */
static void one_differs(struct tp *t, struct pt_gather *g, uint64_t k)
{
    const uint64_t ia = 4 * t->block + k * t->page;

    assert_int_equal(pt_break(&t->pt, ia, t->page, g), 0);
    pt_gather_done(&t->pt, g);
    no_merge(t, g);
    assert_int_equal(pt_map(&t->pt, ia, ia + t->page, t->page, RW | t->user, 0, &t->pool), 0);
    no_merge(t, g);
    assert_int_equal(pt_break(&t->pt, ia, t->page, g), 0);
    pt_gather_done(&t->pt, g);
    assert_int_equal(pt_map(&t->pt, ia, ia, t->page, PT_READ | t->user, 0, &t->pool), 0);
    no_merge(t, g);
    assert_int_equal(pt_break(&t->pt, ia, t->page, g), 0);
    pt_gather_done(&t->pt, g);
    assert_int_equal(pt_map(&t->pt, ia, ia, t->page, RW | t->user, 0, &t->pool), 0);
}

static void merge_one(struct tp *t, struct pt_gather *g)
{
    const uint64_t b = t->block, n = b / t->page;
    const uint8_t leaf_h = t->pt.leaf_h;
    const bool exec = t->pt.cfg.live.exec_4k;

    pages_at(t, 4 * b + t->page, RW); /* not aligned */
    no_merge(t, g);
    no_pages(t, g);
    pages_at(t, 4 * b, RW | PT_TRACK);
    no_merge(t, g);
    no_pages(t, g);
    t->pt.cfg.live.exec_4k = true;
    pages_at(t, 4 * b, PT_READ | PT_EXEC);
    if (tp_reported(t, PT_READ | PT_EXEC | t->user) & PT_EXEC) {
        no_merge(t, g);
    }
    t->pt.cfg.live.exec_4k = exec;
    no_pages(t, g);
    pages_at(t, 4 * b, RW);
    t->pt.leaf_h = 0;
    no_merge(t, g);
    t->pt.leaf_h = leaf_h;
    for (unsigned i = 0; i < 12; i++) {
        one_differs(
            t, g, (const uint64_t[]){ 0, 1, 6, 7, 28, 29, 30, 31, 32, n / 2, n - 2, n - 1 }[i] % n);
    }
    tp_audit(t);
    if (!blocks(t) || !resizes(t)) {
        no_merge(t, g);
        return;
    }
    t->pt.cfg.live.bbm = 1;
    if (!resizes(t)) {
        no_merge(t, g);
    }
    t->pt.cfg.live.bbm = 2;
    g->held_n = PT_GATHER_HELD;
    assert_int_equal(pt_merge(&t->pt, 4 * b, b, b, g), 0);
    assert_true(g->more && g->held_n == PT_GATHER_HELD);
    g->held_n = 0, g->more = false;
    assert_int_equal(pt_merge(&t->pt, 4 * b, b, b, g), 1);
    assert_true(tp_gathered(g, 4 * b, 5 * b - 1, PT_LEVEL_ANY, true));
    assert_int_equal(g->held_n, 1);
    assert_true(tp_leaf_shift(t, 4 * b) == (unsigned)__builtin_ctzll(b));
    assert_int_equal(tp_done(t, g), 1);
    tp_audit(t);
}

/* Several tables of pages held at once, and room for fewer. */
static void take_some(struct tp *t, struct pt_gather *g)
{
    const uint64_t b = t->block;
    uint64_t pa[3] = { 0, 0, 1 };
    unsigned got;

    if (!blocks(t) || !resizes(t)) {
        return;
    }
    tp_put(t, 4 * b, 4 * b, 3 * b, RW, t->page);
    assert_int_equal(pt_merge(&t->pt, 4 * b, 3 * b, b, g), 3);
    assert_int_equal(g->held_n, 3);
    for (unsigned left = 3; left > 0; left -= got) {
        got = pt_gather_take(&t->pt, g, pa, 2);
        assert_true(got > 0 && got <= 2 && got <= left && pa[2] == 1);
        for (unsigned i = 0; i < got; i++) {
            memset(port_va(pa[i]), 0, pt_table_bytes(t->pt.cfg.format));
            pt_pool_push(&t->pool, pa[i]);
        }
    }
    assert_int_equal(pt_gather_take(&t->pt, g, pa, 2), 0);
    tp_done(t, g);
    tp_audit(t);
}

static void takes(void **state)
{
    (void)state;
    tp_each(TP_CONF_STEP, take_some);
}

static void merges(void **state)
{
    (void)state;
    for (unsigned vector = 0; vector < 2; vector++) {
        hosted_set_vector(vector != 0);
        tp_each(TP_CONF_STEP, merge_one);
    }
}

static void no_cut(struct tp *t, struct pt_gather *g, uint64_t ia, uint64_t len, int err)
{
    struct tp_snap snap;

    tp_snap(t, &snap);
    assert_int_equal(pt_cut(&t->pt, ia, len, &t->pool, g), err);
    assert_int_equal(pt_cut_check(&t->pt, ia, len), err == -ENOMEM ? 0 : err);
    tp_assert_same(t, &snap);
    assert_true(pt_gather_empty(g));
}

/* A cut of len at `off` in the block, which then takes one table. */
static void cut_at(struct tp *t, struct pt_gather *g, uint64_t off, uint64_t len)
{
    const uint64_t b = t->block, ia = 4 * b + off;
    const uint32_t had = t->pool.count;

    tp_put(t, 4 * b, 4 * b, b, RW, 0);
    if (tp_leaf_shift(t, ia) == (unsigned)__builtin_ctzll(b)) {
        assert_int_equal(pt_cut_check(&t->pt, ia, len), 0);
        assert_int_equal(pt_cut(&t->pt, ia, len, &t->pool, g), 0);
        assert_true(tp_gathered(g, 4 * b, 5 * b - 1, 2, false));
        assert_int_equal(g->n, 1);
        assert_int_equal(t->pool.count, had - 1);
        assert_true(!tp_crosses(t, ia) && !tp_crosses(t, ia + len));
        pt_gather_done(&t->pt, g);
        no_cut(t, g, ia, len, 0);
    }
    tp_audit(t);
    assert_int_equal(pt_unmap(&t->pt, 4 * b, b, g), 0);
    tp_map_del(&t->map, 4 * b, 5 * b - 1);
    tp_done(t, g);
}

/* A leaf larger than a block: of several entries, or a table higher up. */
static void cut_large(struct tp *t, struct pt_gather *g)
{
    const uint64_t b = t->block, size = b * (b / t->page), half = size / 2;
    uint64_t leaf, len;

    if (tp_top(t) < 2 * size || (t->pt.cfg.oa_bits < 63 && 2 * size >> t->pt.cfg.oa_bits != 0)) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        len = i == 0 ? size : half;
        tp_put(t, size, size, len, RW, 0);
        leaf = (uint64_t)1 << tp_leaf_shift(t, size);
        no_cut(t, g, size, leaf, 0);
        assert_int_equal(pt_cut(&t->pt, size + b, i == 0 ? b : t->page, &t->pool, g), 0);
        assert_true(leaf == b || (tp_covered(g, size, size + leaf - 1) && g->n == 1));
        assert_true(!tp_crosses(t, size + b));
        assert_true(leaf == size || tp_leaf_shift(t, size) == (unsigned)__builtin_ctzll(b));
        pt_gather_done(&t->pt, g);
        tp_audit(t);
        assert_int_equal(pt_unmap(&t->pt, size, len, g), 0);
        tp_map_del(&t->map, size, size + len - 1);
        tp_done(t, g);
    }
}

static void cut_one(struct tp *t, struct pt_gather *g)
{
    const uint64_t b = t->block, p = t->page;
    const uint8_t bbm = t->pt.cfg.live.bbm;
    const bool exec = t->pt.cfg.live.exec_4k;
    struct pt_pool pool = { 0 };

    tp_put(t, 3 * b, 3 * b, 2 * b, RW, 0);
    no_cut(t, g, 4 * b, b, 0);
    no_cut(t, g, 4 * b + p / 2, p, -EINVAL);
    no_cut(t, g, 4 * b, 0, -EINVAL);
    if (blocks(t)) {
        t->pt.cfg.live.bbm = 0;
        if (!resizes(t)) {
            no_cut(t, g, 4 * b + p, p, -EOPNOTSUPP);
            no_cut(t, g, 4 * b, p, -EOPNOTSUPP);
        }
        t->pt.cfg.live.bbm = bbm;
    }
    if (blocks(t) && resizes(t) && tp_leaf_shift(t, 4 * b) == (unsigned)__builtin_ctzll(b)) {
        tp_swap_pool(t, &pool);
        no_cut(t, g, 4 * b + p, p, -ENOMEM);
        tp_swap_pool(t, &pool);
        /* Over the border of two blocks: a table for each. */
        assert_int_equal(pt_cut(&t->pt, 4 * b - p, 2 * p, &t->pool, g), 0);
        assert_true(!tp_crosses(t, 4 * b - p) && !tp_crosses(t, 4 * b + p));
        pt_gather_done(&t->pt, g);
        tp_audit(t);
    }
    assert_int_equal(pt_unmap(&t->pt, 3 * b, 2 * b, g), 0);
    tp_map_del(&t->map, 3 * b, 5 * b - 1);
    tp_done(t, g);

    t->pt.cfg.live.exec_4k = false;
    tp_put(t, 4 * b, 4 * b, b, PT_READ | PT_EXEC, 0);
    t->pt.cfg.live.exec_4k = true;
    if (tp_crosses(t, 4 * b + p) && (tp_reported(t, PT_READ | PT_EXEC | t->user) & PT_EXEC)) {
        no_cut(t, g, 4 * b + p, p, -EOPNOTSUPP);
    }
    t->pt.cfg.live.exec_4k = exec;
    assert_int_equal(pt_unmap(&t->pt, 4 * b, b, g), 0);
    tp_map_del(&t->map, 4 * b, 5 * b - 1);
    tp_done(t, g);
    tp_put(t, 4 * b, 4 * b, b / 2, RW, 0);
    t->pt.cfg.live.bbm = 0;
    if (!resizes(t) && tp_crosses(t, 4 * b + p)) {
        no_cut(t, g, 4 * b, p, -EOPNOTSUPP);
        no_cut(t, g, 4 * b + p, p, -EOPNOTSUPP);
    }
    t->pt.cfg.live.bbm = bbm;
    assert_int_equal(pt_unmap(&t->pt, 4 * b, b, g), 0);
    tp_map_del(&t->map, 4 * b, 5 * b - 1);
    tp_done(t, g);
    if (resizes(t)) {
        cut_large(t, g);
    }
    for (unsigned i = 0; i < 3 && blocks(t) && resizes(t); i++) {
        cut_at(t, g, (uint64_t[]){ 0, b / 2, b - p }[i], p);
        cut_at(t, g, (uint64_t[]){ 0, p, b / 2 }[i], b / 2);
    }
}

static void cuts(void **state)
{
    (void)state;
    tp_each(TP_CONF_STEP, cut_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(merges), cmocka_unit_test(takes),
                                        cmocka_unit_test(cuts) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
