/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mistakes that other page-table code was known for, one after the other in every configuration and
 * for every size of leaf: an unmap of one page inside a larger leaf; attributes lost in a split;
 * what one walker may assume of a leaf of several entries, shown to another; a mapping over a
 * mapping. (Tables linked early, neighbours missing, invalidations forgotten: test_pt_live.c.)
 */
#include "lib_pt.h"

#include <stdlib.h>

static void unmap(struct tp *t, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    tp_done(t, g);
    assert_int_equal(pt_unmap(&t->pt, ia, len, g), 0);
    tp_map_del(&t->map, ia, ia + len - 1);
    tp_audit(t);
}

static void all_gone(struct tp *t, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    tp_done(t, g);
    assert_int_equal(pt_unmap(&t->pt, ia, len, g), 0);
    tp_map_del(&t->map, ia, ia + len - 1);
    assert_int_equal(pt_trim(&t->pt, ia, len, g), 0);
    tp_done(t, g);
    assert_int_equal(tp_count(&t->pt).tables, 0);
    tp_audit(t);
    tp_pool(t, 24);
}

/* Whatever is done to a part of a leaf is refused, and nothing has changed. */
static void part_refused(struct tp *t, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    uint64_t bits[1] = { 0 };
    struct tp_snap snap;

    tp_done(t, g);
    tp_snap(t, &snap);
    assert_int_equal(pt_unmap(&t->pt, ia, len, g), -EINVAL);
    assert_int_equal(pt_break(&t->pt, ia, len, g), -EINVAL);
    assert_int_equal(pt_protect(&t->pt, ia, len, PT_READ | t->user, g), -EINVAL);
    assert_int_equal(pt_track(&t->pt, ia, len, true, g), -EINVAL);
    assert_int_equal(pt_dirty_read_clear(&t->pt, ia, len, bits, t->block, g), -EINVAL);
    assert_int_equal(pt_replace(&t->pt, ia, 0, len, g), -EINVAL);
    assert_int_equal(pt_map(&t->pt, ia, 0, len, RW | t->user, 0, &t->pool), -EEXIST);
    assert_true(pt_gather_empty(g));
    tp_assert_same(t, &snap);
}

/* The only leaf left is one entry of the smallest size. */
static void single(struct tp *t, uint64_t ia)
{
    tp_assert((uint64_t)1 << tp_leaf_shift(t, ia) == t->page,
              "%#lx is still a part of a larger leaf\n", (unsigned long)ia);
}

/* One page out of a leaf of each height: the walker must never read its data as a table, and what
 * stays keeps rights and memory type. */
static void inside_leaf(struct tp *t, struct pt_gather *g)
{
    static const uint32_t prot[] = { RW | PT_DEVICE, PT_READ | PT_NC, RW | PT_EXEC, RW | PT_TRACK,
                                     PT_READ };
    uint64_t p = t->page, b = t->block;

    for (unsigned h = 1; h <= t->pt.leaf_h; h++) {
        uint64_t size = (uint64_t)1 << t->walk.fmt->shift(&t->walk, 3 - (int)h);

        if (size > tp_top(t) / 2 || size >> (t->pt.cfg.oa_bits - 1) != 0) {
            continue;
        }
        for (unsigned i = 0; i < sizeof(prot) / sizeof(prot[0]); i++) {
            uint64_t at[] = { size, size + 3 * p, size + b - p, size + size - p };
            uint64_t ia = at[(i + h) % 4];

            if (t->pt.cfg.live.exec_4k && (prot[i] & PT_EXEC)) {
                continue; /* there is no such leaf */
            }
            if (size == tp_top(t) / 2 && i > 1) {
                continue;
            }
            tp_put(t, size, size, size, prot[i], size);
            assert_int_equal(tp_count(&t->pt).leaves[h < 3 ? 3 - h : 0], 1);
            part_refused(t, ia, p, g);
            assert_int_equal(pt_cut(&t->pt, ia, p, &t->pool, g), 0);
            assert_true(tp_covered(g, size, size + (size - 1)));
            tp_audit(t);
            single(t, ia);
            unmap(t, ia, p, g);
            assert_int_equal(g->n, 1);
            assert_true(tp_gathered(g, ia, ia + (p - 1), 3, false));
            assert_int_equal(g->freed.count, 0);
            all_gone(t, size, size, g);
        }
    }
}

static void page_inside_leaf(void **state)
{
    (void)state;
    tp_each(TP_CONF_STEP, inside_leaf);
}

/* Leaves of several entries: none for a walker that was not promised to be fine with them; else no
 * page of one goes alone, and after a cut nobody is told of the others that they belong together. */
static void inside_set(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, len = b, at = 0, shift, ia;

    tp_put(t, b, b, len, RW, p);
    assert_true((pt_join(&t->pt, b, len, 0, g) != 0) == t->pt.cfg.live.contig);
    tp_audit(t);
    if (!t->pt.cfg.live.contig) {
        for (ia = b; ia < b + len; ia += p) {
            single(t, ia);
        }
        return;
    }
    tp_done(t, g);
    shift = tp_leaf_shift(t, b);
    assert_true((uint64_t)1 << shift > p);
    ia = b + ((uint64_t)1 << shift) - p;
    part_refused(t, ia, p, g);
    assert_int_equal(pt_cut(&t->pt, ia, p, &t->pool, g), 0);
    assert_true(tp_covered(g, b, ia + (p - 1)));
    tp_audit(t);
    for (at = b; at < b + ((uint64_t)1 << shift); at += p) {
        single(t, at);
    }
    unmap(t, ia, p, g);
    assert_int_equal(g->n, 1);
    assert_true(tp_gathered(g, ia, ia + (p - 1), 3, false));
    for (at = b; at < ia; at += p) {
        single(t, at);
    }
}

static void page_inside_set(void **state)
{
    (void)state;
    tp_each(TP_CONF_STEP, inside_set);
}

/* The same for what pt_map makes itself, and a set that its cap or leaf_max forbids. */
static void map_sets(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block;
    unsigned max = t->pt.cfg.live.leaf_max;

    tp_put(t, 0, 0, b, RW, p);
    for (uint64_t ia = 0; ia < b; ia += p) {
        single(t, ia);
    }
    if (tp_top(t) < 17 * b) {
        return;
    }
    tp_put(t, 4 * b, 4 * b, 4 * b, RW, 0);
    for (uint64_t ia = 4 * b; ia < 8 * b; ia += b) {
        unsigned shift = tp_leaf_shift(t, ia);

        assert_true((uint64_t)1 << shift == b || t->pt.cfg.live.contig);
        assert_true(max == 0 || shift <= max);
    }
    /* Many pages at once, and many blocks joined afterwards. */
    tp_put(t, 16 * b, 16 * b, b / 2, RW, 0);
    for (uint64_t ia = 16 * b; ia < 16 * b + b / 2; ia += p) {
        assert_true((uint64_t)1 << tp_leaf_shift(t, ia) == p || t->pt.cfg.live.contig);
    }
    tp_audit(t);
    if (tp_top(t) >= 64 * b && 64 * b >> t->pt.cfg.oa_bits == 0 && t->pt.leaf_h > 0) {
        tp_put(t, 32 * b, 32 * b, 32 * b, RW, b);
        assert_true(pt_join(&t->pt, 32 * b, 32 * b, 0, g) >= 0);
        assert_true(max == 0 || tp_leaf_shift(t, 32 * b) <= max);
        tp_audit(t);
    }
}

static void sets_as_asked(void **state)
{
    (void)state;
    tp_each(TP_CONF_STEP, map_sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_inside_leaf),
        cmocka_unit_test(page_inside_set),
        cmocka_unit_test(sets_as_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
