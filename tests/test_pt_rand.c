/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine against the oracle: every small range around every kind of boundary, and long random
 * sequences of all operations with random arguments, valid or not. After each call the whole tree,
 * its counts and its pages are audited; a refused call must have changed nothing.
 */
#include "lib_pt.h"

#include <stdlib.h>
#include <string.h>

#define STEPS 80u

static struct model_rng rng;

static uint64_t below(uint64_t n)
{
    return model_rng_below(&rng, n);
}

/* Pages at and beside boundaries of every level, in three places of the address space. */
static uint64_t point(const struct tp *t)
{
    const uint64_t size[] = { t->page, t->block, t->big };
    uint64_t top = tp_top(t), near[] = { 0, top / 2, top };
    uint64_t at = near[below(3)];
    uint64_t step = size[below(3)] * below(5);

    at = below(2) ? at + step : at - step;
    at += below(3) * t->page - t->page;
    return at & (top - 1);
}

static uint64_t length(const struct tp *t)
{
    switch (below(6)) {
    case 0:
        return t->page;
    case 1:
        return t->page * (1 + below(700));
    case 2:
        return t->block * (1 + below(3));
    case 3:
        return t->block * (1 + below(t->big / t->block + 90)) + t->page * (below(3) - 1);
    case 4:
        return t->big * (1 + below(2));
    default:
        return t->big + t->page * (below(1000) - 500);
    }
}

static uint32_t any_prot(const struct tp *t)
{
    static const uint32_t some[] = { PT_READ,           RW,
                                     RW | PT_EXEC,      RW | PT_TRACK,
                                     RW | PT_DEVICE,    RW | PT_NC,
                                     PT_READ | PT_EXEC, RW | PT_TRACK | PT_DIRTY };

    return some[below(8)] | t->user;
}

/* The oracle's view of "no leaf crosses this end", through the model's walker. */
static bool ends_fine(const struct tp *t, uint64_t ia, uint64_t len)
{
    return !tp_crosses(t, ia) && !tp_crosses(t, ia + len);
}

/* A leaf crosses this address and may not change its size. */
static bool size_fixed(const struct tp *t, uint64_t ia)
{
    return t->pt.cfg.live.exec_4k && tp_crosses(t, ia) &&
           (tp_map_at(&t->map, ia)->prot & PT_EXEC) != 0;
}

static bool in_space(const struct tp *t, uint64_t ia, uint64_t len)
{
    return ia < tp_top(t) && len <= tp_top(t) - ia;
}

static void do_map(struct tp *t)
{
    uint64_t ia = point(t), len = length(t), oa, cap = 0;
    uint32_t prot = any_prot(t), exact = 0, give;
    bool bound = t->pt.cfg.live.exec_4k && !(prot & PT_EXEC); /* then need_map says more */
    struct tp_snap snap;
    int want, ret;

    oa = below(2) ? (ia & (t->big - 1)) : point(t) & 0xffffffff & ~(t->page - 1);
    if (below(3) == 0) {
        cap = below(2) ? t->block : t->page;
        len = cap == t->page && len > 3 * t->block ? t->page * (1 + below(1500)) : len;
    }
    if (((oa - ia) & (t->block - 1)) != 0 && len > 3 * t->block) {
        len = t->page * (1 + below(1500)); /* all pages: keep the trees small */
    }
    if (!in_space(t, ia, len) || (oa + len - 1) >> t->pt.cfg.oa_bits != 0) {
        want = -ERANGE;
    } else {
        want = tp_map_any(&t->map, ia, ia + len - 1) ? -EEXIST : 0;
    }
    ret = pt_need_map(&t->pt, ia, oa, len, cap, &exact);
    assert_int_equal(ret, want);
    if (ret == 0) {
        assert_true(exact <= pt_need(&t->pt, ia, len));
    }
    give = below(4) || bound ? exact : (uint32_t)below(exact + 1);
    tp_pool(t, give);
    if (want == 0 && give < exact) {
        want = -ENOMEM;
    }
    tp_snap(t, &snap);
    ret = pt_map(&t->pt, ia, oa, len, prot, cap, &t->pool);
    assert_int_equal(ret, want);
    if (ret != 0) {
        tp_assert_same(t, &snap);
        return;
    }
    free(snap.words);
    assert_true(t->pool.count == 0 || bound);
    tp_map_add(&t->map, ia, ia + len - 1, oa, tp_reported(t, prot));
}

static void do_map_leaf(struct tp *t)
{
    int8_t level = (int8_t)below(5);
    unsigned shift = t->walk.fmt->shift(&t->walk, level <= 3 ? level : 3);
    uint64_t size = (uint64_t)1 << shift;
    uint64_t ia = point(t) & ~(size - 1), oa = point(t) & 0xffffffff & ~(size - 1);
    uint32_t prot = any_prot(t);
    struct tp_snap snap;
    int want = 0, ret;

    if (level > 3 || 3 - level > t->pt.leaf_h) {
        want = -EINVAL;
    } else if (!in_space(t, ia, size)) {
        want = -ERANGE;
    } else if ((oa + size - 1) >> t->pt.cfg.oa_bits != 0) {
        want = -ERANGE;
    } else if (t->pt.cfg.live.exec_4k && level < 3 && (prot & PT_EXEC)) {
        want = -EINVAL;
    } else if (tp_map_any(&t->map, ia, ia + size - 1)) {
        want = -EEXIST;
    }
    tp_pool(t, 5);
    tp_snap(t, &snap);
    ret = pt_map_leaf(&t->pt, ia, oa, level, prot, &t->pool);
    /* An empty table in the place of the leaf is also "something there". */
    tp_assert(ret == want || (want == 0 && ret == -EEXIST), "map_leaf gave %d\n", ret);
    if (ret != 0) {
        tp_assert_same(t, &snap);
        return;
    }
    free(snap.words);
    assert_int_equal(tp_leaf_shift(t, ia), shift);
    tp_map_add(&t->map, ia, ia + size - 1, oa, tp_reported(t, prot));
}

static void do_cut(struct tp *t)
{
    uint64_t ia = point(t), len = length(t);
    bool ok = in_space(t, ia, len), needed = ok && !ends_fine(t, ia, len);
    uint64_t tables = tp_count(&t->pt).tables, used;
    struct pt_gather g;
    struct tp_snap snap;
    int ret;

    pt_gather_init(&g);
    tp_pool(t, (uint32_t)below(6));
    tp_snap(t, &snap);
    t->pt.cfg.live.bbm = (uint8_t)below(3);
    if (!ok) {
        assert_int_equal(pt_cut_check(&t->pt, ia, len), -ERANGE);
        assert_int_equal(pt_cut(&t->pt, ia, len, &t->pool, &g), -ERANGE);
    } else if (needed && ((t->pt.cfg.live.bbm < 2 && t->walk.fmt == &model_arm) ||
                          size_fixed(t, ia) || size_fixed(t, ia + len))) {
        assert_int_equal(pt_cut_check(&t->pt, ia, len), -EOPNOTSUPP);
        assert_int_equal(pt_cut(&t->pt, ia, len, &t->pool, &g), -EOPNOTSUPP);
    } else if (!needed) {
        assert_int_equal(pt_cut_check(&t->pt, ia, len), 0);
        assert_int_equal(pt_cut(&t->pt, ia, len, &t->pool, &g), 0);
    } else {
        t->pt.cfg.live.bbm = 2;
        assert_int_equal(pt_cut_check(&t->pt, ia, len), 0);
        ret = pt_cut(&t->pt, ia, len, &t->pool, &g);
        if (ret == 0) {
            used = snap.pool.count - t->pool.count;
            assert_true(used <= pt_need(&t->pt, ia, len));
            assert_true(used > 0 || t->pt.cfg.live.contig);
            assert_int_equal(tp_count(&t->pt).tables, tables + used);
            assert_true(ends_fine(t, ia, len));
            assert_false(pt_gather_empty(&g));
            tp_done(t, &g);
            free(snap.words);
            return;
        }
        assert_int_equal(ret, -ENOMEM);
        assert_true(pt_need(&t->pt, ia, len) > snap.pool.count);
    }
    t->pt.cfg.live.bbm = 2;
    assert_true(pt_gather_empty(&g));
    tp_assert_same(t, &snap);
}

static void do_remove(struct tp *t, bool tables)
{
    uint64_t ia = point(t), len = length(t), had = tp_count(&t->pt).tables;
    struct pt_gather g;
    struct tp_snap snap;
    int want = 0, ret;

    if (below(2) && in_space(t, ia, len) && !size_fixed(t, ia) && !size_fixed(t, ia + len)) {
        tp_pool(t, pt_need(&t->pt, ia, t->page) * 2);
        pt_gather_init(&g);
        assert_int_equal(pt_cut(&t->pt, ia, len, &t->pool, &g), 0);
        tp_done(t, &g);
        had = tp_count(&t->pt).tables;
    }
    if (!in_space(t, ia, len)) {
        want = -ERANGE;
    } else if (!ends_fine(t, ia, len)) {
        want = -EINVAL;
    }
    pt_gather_init(&g);
    tp_snap(t, &snap);
    ret = (tables ? pt_unmap : pt_break)(&t->pt, ia, len, &g);
    assert_int_equal(ret, want);
    if (ret != 0) {
        assert_true(pt_gather_empty(&g));
        tp_assert_same(t, &snap);
        return;
    }
    free(snap.words);
    for (unsigned i = 0; i < t->map.n; i++) {
        const struct tp_run *r = &t->map.run[i];

        if (r->ia <= ia + len - 1 && r->last >= ia) {
            uint64_t a = r->ia > ia ? r->ia : ia;
            uint64_t b = r->last < ia + len - 1 ? r->last : ia + len - 1;

            tp_assert(tp_covered(&g, a, b), "no record for %#lx..%#lx\n", (unsigned long)a,
                      (unsigned long)b);
        }
    }
    tp_map_del(&t->map, ia, ia + len - 1);
    had -= tp_count(&t->pt).tables;
    assert_int_equal(tp_done(t, &g), had);
    assert_true(tables || had == 0);
}

static void do_protect(struct tp *t)
{
    uint64_t ia = point(t), len = length(t);
    uint32_t prot = any_prot(t), fixed = PT_DEVICE | PT_NC;
    uint32_t type = tp_reported(t, prot) & fixed;
    struct pt_gather g;
    struct tp_snap snap;
    bool same = true;
    int want = 0, ret;

    for (unsigned i = 0; i < t->map.n; i++) {
        const struct tp_run *r = &t->map.run[i];

        if (r->ia <= ia + len - 1 && r->last >= ia && (r->prot & fixed) != type) {
            same = false;
        }
    }
    if (!in_space(t, ia, len)) {
        want = -ERANGE;
    } else if (!ends_fine(t, ia, len) || !same) {
        want = -EINVAL;
    }
    pt_gather_init(&g);
    tp_snap(t, &snap);
    ret = pt_protect(&t->pt, ia, len, prot, &g);
    assert_int_equal(ret, want);
    if (ret != 0) {
        assert_true(pt_gather_empty(&g));
        tp_assert_same(t, &snap);
        return;
    }
    free(snap.words);
    for (uint64_t at = ia; at <= ia + len - 1;) {
        const struct tp_run *r = tp_map_at(&t->map, at);
        uint32_t now = tp_reported(t, prot);
        uint64_t end = ia + len;

        if (!r) {
            at += t->page;
            at = tp_map_any(&t->map, at, end - 1) ? at : end;
            continue;
        }
        end = r->last + 1 < end ? r->last + 1 : end;
        if ((now & PT_TRACK) && (r->prot & PT_TRACK)) {
            now |= r->prot & PT_DIRTY; /* the state survives */
        }
        tp_map_prot(&t->map, at, end - 1, ~0u, now);
        at = end;
    }
    tp_done(t, &g);
}

static void do_merge(struct tp *t)
{
    uint64_t ia = point(t), len = length(t);
    uint64_t had = tp_count(&t->pt).tables;
    uint64_t cap = below(3) == 0 ? t->block : 0;
    struct pt_gather g;
    bool more;
    int ret;

    pt_gather_init(&g);
    if (!in_space(t, ia, len)) {
        assert_int_equal(pt_merge(&t->pt, ia, len, cap, &g), -ERANGE);
        return;
    }
    do {
        ret = pt_merge(&t->pt, ia, len, cap, &g);
        assert_true(ret >= 0);
        assert_true((ret == 0) == (g.held_n == 0));
        more = g.more;
        assert_true(!more || ret > 0);
        had -= tp_done(t, &g);
    } while (more);
    assert_int_equal(had, tp_count(&t->pt).tables);
}

static void do_dirty(struct tp *t)
{
    uint64_t ia = point(t), len = length(t);
    uint64_t *bits, dirty = 0;
    struct pt_gather g;
    int ret;

    pt_gather_init(&g);
    if (!in_space(t, ia, len)) {
        assert_int_equal(pt_dirty_read_clear(&t->pt, ia, len, NULL, PAGE_SIZE, &g), -ERANGE);
        return;
    }
    bits = calloc((len / t->page + 63) / 64, 8);
    assert_non_null(bits);
    ret = pt_dirty_read_clear(&t->pt, ia, len, bits, t->page, &g);
    assert_int_equal(ret, ends_fine(t, ia, len) ? 0 : -EINVAL);
    for (uint64_t at = ia; ret == 0 && at < ia + len;) {
        const struct tp_run *r = tp_map_at(&t->map, at);
        bool want = r && (r->prot & (PT_TRACK | PT_DIRTY)) == (PT_TRACK | PT_DIRTY);
        uint64_t i = (at - ia) / t->page;

        /* A leaf that joins clean and dirty pages counts as dirty whole; none does here. */
        tp_assert((bits[i / 64] >> (i % 64) & 1) == want, "dirty bit of %#lx\n", (unsigned long)at);
        dirty += want;
        at += t->page;
    }
    if (ret == 0) {
        for (uint64_t at = ia; at < ia + len;) {
            const struct tp_run *r = tp_map_at(&t->map, at);
            uint64_t end = r && r->last + 1 < ia + len ? r->last + 1 : ia + len;

            if (!r) {
                at += PAGE_SIZE;
                continue;
            }
            if (r->prot & PT_TRACK) {
                tp_map_prot(&t->map, at, end - 1, PT_DIRTY, 0);
            }
            at = end;
        }
        assert_true((dirty == 0) == pt_gather_empty(&g));
    } else {
        assert_true(pt_gather_empty(&g));
    }
    tp_done(t, &g);
    free(bits);
}

/* One operation with arguments of its own choice (tests/fuzz/ has the choices made by its input). */
static void any_op(struct tp *t)
{
    switch (below(10)) {
    case 0:
    case 1:
    case 2:
        do_map(t);
        break;
    case 3:
        do_map_leaf(t);
        break;
    case 4:
        do_cut(t);
        break;
    case 5:
        do_remove(t, false);
        break;
    case 6:
        do_remove(t, true);
        break;
    case 7:
        do_protect(t);
        break;
    case 8:
        do_merge(t);
        break;
    default:
        do_dirty(t);
        break;
    }
    tp_audit(t);
}

static void random_ops(void **state)
{
    (void)state;
    for (unsigned c = 0; c < tp_conf_count; c++) {
        struct tp t;

        model_rng_seed(&rng, 1000 + c);
        tp_open(&t, &tp_confs[c].cfg);
        for (unsigned i = 0; i < TP_STEPS(STEPS); i++) {
            any_op(&t);
        }
        tp_close(&t);
    }
}

/* --- exhaustive --- */

/* All page-aligned points that matter in the first blocks and at their ends. */
#define EDGES 9u
#define OA(t) ((t)->pt.cfg.oa_bits > 40 && (t)->page > PAGE_SIZE ? (uint64_t)1 << 40 : 0x40000000)
static uint64_t edge(const struct tp *t, unsigned i)
{
    const uint64_t at[EDGES] = { 0,
                                 t->page,
                                 t->block - t->page,
                                 t->block,
                                 t->block + t->page,
                                 2 * t->block,
                                 3 * t->block,
                                 4 * t->block - t->page,
                                 4 * t->block };

    return at[i];
}

/* One leaf size everywhere, every [a, b) cut out of it, removed or kept, then mapped back and
 * merged: exact ranges, and the tree in the end as it was in the beginning. */
static void every_small_range(void **state)
{
    (void)state;
    for (unsigned c = 0; c < tp_conf_count; c++) {
        struct tp t;
        uint64_t base;

        tp_open(&t, &tp_confs[c].cfg);
        base = tp_top(&t) >= 4 * t.big ? tp_top(&t) - t.big : tp_top(&t) / 2;
        for (unsigned n = 0; n < TP_STEPS(EDGES * EDGES * 2); n++) {
            unsigned i = n * 163 % (EDGES * EDGES * 2); /* coprime: each once */
            unsigned a = i / 2 % EDGES, b = i / 2 / EDGES;
            bool tables = i % 2;
            uint64_t size = base % t.big == 0 && i % 3 == 0 ? t.big : 4 * t.block;
            uint64_t ia = base + edge(&t, a), len = edge(&t, b) - edge(&t, a);
            uint32_t prot = RW | t.user;
            struct pt_gather g;
            struct pt_counts before, now;

            /* For each of the many others a quarter of them. */
            if (a >= b || (c >= TP_ARM_4K && n % 4 != c % 4)) {
                continue;
            }
            pt_gather_init(&g);
            tp_pool(&t, 12);
            assert_int_equal(pt_map(&t.pt, base, OA(&t), size, prot, 0, &t.pool), 0);
            tp_map_add(&t.map, base, base + size - 1, OA(&t), tp_reported(&t, prot));
            before = tp_count(&t.pt);

            assert_int_equal(pt_cut(&t.pt, ia, len, &t.pool, &g), 0);
            tp_audit(&t);
            tp_done(&t, &g);

            assert_int_equal((tables ? pt_unmap : pt_break)(&t.pt, ia, len, &g), 0);
            assert_true(tp_covered(&g, ia, ia + len - 1));
            tp_map_del(&t.map, ia, ia + len - 1);
            tp_done(&t, &g);
            tp_audit(&t);

            tp_pool(&t, 12);
            assert_int_equal(pt_map(&t.pt, ia, OA(&t) + edge(&t, a), len, prot, 0, &t.pool), 0);
            tp_map_add(&t.map, ia, ia + len - 1, OA(&t) + edge(&t, a), tp_reported(&t, prot));
            tp_audit(&t);

            assert_true(pt_merge(&t.pt, ia, len, 0, &g) >= 0);
            tp_done(&t, &g);
            tp_audit(&t);
            assert_true(pt_join(&t.pt, base, size, 0, &g) >= 0);
            tp_done(&t, &g);
            tp_audit(&t);
            now = tp_count(&t.pt);
            tp_assert(memcmp(before.leaves, now.leaves, sizeof(before.leaves)) == 0,
                      "not merged back: %lu 1G, %lu 2M, %lu 4K\n", (unsigned long)now.leaves[1],
                      (unsigned long)now.leaves[2], (unsigned long)now.leaves[3]);
            assert_int_equal(now.tables, before.tables);

            assert_int_equal(pt_unmap(&t.pt, base, size, &g), 0);
            assert_int_equal(pt_trim(&t.pt, base, size, &g), 0);
            tp_map_del(&t.map, base, base + size - 1);
            tp_done(&t, &g);
            assert_int_equal(tp_count(&t.pt).tables, 0);
        }
        tp_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_small_range),
        cmocka_unit_test(random_ops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
