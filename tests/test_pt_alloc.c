/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Table pages that are not there: every call that takes some, in every configuration, with a pool of
 * none, of one, and so on until it succeeds. A refused call has changed nothing; pt_need_map() said
 * when it would succeed. What takes no page does its work with an empty pool.
 */
#include "lib_pt.h"

#include <stdlib.h>
#include <string.h>

static void each(void (*test)(struct tp *t, struct pt_gather *g))
{
    for (unsigned c = 0; c < tp_conf_count; c += TP_CONF_STEP) {
        struct pt_gather g;
        struct tp t;

        pt_gather_init(&g);
        tp_open(&t, &tp_confs[c].cfg);
        test(&t, &g);
        tp_done(&t, &g);
        tp_pool(&t, 0);
        tp_close(&t);
    }
}

static bool untouched(const struct pt_gather *g)
{
    return pt_gather_empty(g) && g->freed.count == 0 && g->held_n == 0 && !g->dirty && !g->root &&
           !g->more;
}

/* Returns the number of pages with which it succeeded first. */
static unsigned sweep(struct tp *t, struct pt_gather *g, const char *what,
                      int (*call)(struct tp *t, struct pt_gather *g))
{
    for (unsigned n = 0;; n++) {
        struct tp_snap snap;
        int ret;

        tp_pool(t, n);
        tp_snap(t, &snap);
        ret = call(t, g);
        if (ret == 0) {
            free(snap.words);
            return n;
        }
        tp_assert(ret == -ENOMEM && n < 200, "%s with %u pages: %d\n", what, n, ret);
        tp_assert(untouched(g), "refused call changed the gather: %s\n", what);
        tp_assert_same(t, &snap);
        tp_audit(t);
    }
}

/* What the calls of a sweep are given. */
static struct {
    uint64_t ia, oa, len, cap;
    uint32_t prot;
    int8_t level;
    struct pt_cursor cursor;
    struct pt_sg sg[3];
} job;

static int call_map(struct tp *t, struct pt_gather *g)
{
    (void)g;
    return pt_map(&t->pt, job.ia, job.oa, job.len, job.prot, job.cap, &t->pool);
}

static int call_map_leaf(struct tp *t, struct pt_gather *g)
{
    (void)g;
    return pt_map_leaf(&t->pt, job.ia, job.oa, job.level, job.prot, &t->pool);
}

static int call_map_list(struct tp *t, struct pt_gather *g)
{
    (void)g;
    return pt_map_list(&t->pt, job.ia, job.sg, 3, job.prot, job.cap, &t->pool);
}

static int call_map_at(struct tp *t, struct pt_gather *g)
{
    int ret;

    (void)g;
    ret = pt_map_at(&t->pt, &job.cursor, job.ia, job.oa, job.len, job.prot, job.cap, &t->pool);
    assert_true(ret == 0 || job.cursor.table == NULL);
    return ret;
}

static int call_cut(struct tp *t, struct pt_gather *g)
{
    return pt_cut(&t->pt, job.ia, job.len, &t->pool, g);
}

static int call_grow(struct tp *t, struct pt_gather *g)
{
    return pt_grow(&t->pt, job.ia, &t->pool, g);
}

static void set(struct tp *t, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap)
{
    memset(&job, 0, sizeof(job));
    job.ia = ia, job.oa = oa, job.len = len, job.cap = cap;
    job.prot = prot | t->user;
}

static void mapped(struct tp *t)
{
    tp_map_add(&t->map, job.ia, job.ia + job.len - 1, job.oa, tp_reported(t, job.prot));
    tp_audit(t);
}

/* Ragged at both ends, over an existing table or none, executable or not: as many as was said. */
static void maps(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, far = tp_top(t) / 2;

    for (unsigned i = 0; i < 6; i++) {
        uint32_t said = 0, used;

        set(t, (i / 2 * 4 + 1) * b - p, 4 * b - p, i % 2 ? p : b + 2 * p, i % 2 ? RW | PT_EXEC : RW,
            i == 4 ? p : 0);
        job.ia += i % 2 ? far - 5 * b : 0;
        if (i == 5) {
            set(t, far + far / 2 - b, 4 * b, 2 * b, RW | PT_EXEC, 0);
        }
        assert_int_equal(pt_need_map(&t->pt, job.ia, job.oa, job.len, job.cap, &said), 0);
        assert_true(said <= pt_need(&t->pt, job.ia, job.len));
        used = sweep(t, g, "map", call_map);
        tp_assert(used == said || (used < said && t->pt.cfg.live.exec_4k),
                  "need_map said %u pages, map took %u\n", said, used);
        assert_int_equal(t->pool.count, 0);
        mapped(t);
    }
    assert_true(untouched(g));
}

static void map(void **state)
{
    (void)state;
    each(maps);
}

/* The fault path: one leaf of each size at the end of a chain of new tables. */
static void map_leaves(struct tp *t, struct pt_gather *g)
{
    for (unsigned h = 0; h <= t->pt.leaf_h; h++) {
        uint64_t size = (uint64_t)1 << t->walk.fmt->shift(&t->walk, 3 - (int)h);
        uint64_t at = tp_top(t) / 8 * h;
        unsigned chain = (unsigned)(3 - t->pt.cfg.start_level) - h;

        if (size > tp_top(t) / 8 || size >> (t->pt.cfg.oa_bits - 1) != 0) {
            continue;
        }
        set(t, at, size, size, RW, 0);
        job.level = (int8_t)(3 - (int)h);
        assert_in_range(sweep(t, g, "map_leaf", call_map_leaf), 0, chain);
        assert_int_equal(t->pool.count, 0);
        mapped(t);
    }
}

static void map_leaf(void **state)
{
    (void)state;
    each(map_leaves);
}

/* Three pieces, the last in other tables; and a cursor, which stands nowhere until it succeeds. */
static void lists(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, said = 0;

    set(t, b - 2 * p, 0, p + b + 2 * p, RW, 0);
    job.sg[0] = (struct pt_sg){ 8 * b, p };
    job.sg[1] = (struct pt_sg){ 4 * b - p, b };
    job.sg[2] = (struct pt_sg){ 2 * b, 2 * p };
    assert_int_equal(pt_need_list(&t->pt, job.ia, job.sg, 3, 0, &said), 0);
    assert_int_equal(sweep(t, g, "map_list", call_map_list), said);
    tp_map_add(&t->map, job.ia, job.ia + p - 1, 8 * b, tp_reported(t, job.prot));
    tp_map_add(&t->map, job.ia + p, job.ia + p + b - 1, 4 * b - p, tp_reported(t, job.prot));
    tp_map_add(&t->map, job.ia + p + b, job.ia + job.len - 1, 2 * b, tp_reported(t, job.prot));
    tp_audit(t);
    tp_pool(t, 0);
    set(t, tp_top(t) - 2 * p, 0, 2 * p, RW, 0);
    (void)sweep(t, g, "map_at", call_map_at);
    assert_non_null(job.cursor.table);
    mapped(t);
}

static void list_and_cursor(void **state)
{
    (void)state;
    each(lists);
}

/* Both ends inside the largest leaves: in one of them, in two, in leaves of several entries. */
static void cuts(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, len = 2 * t->big <= tp_top(t) ? 2 * t->big : 4 * b;

    for (unsigned i = 0; i < 3; i++) {
        uint64_t from[] = { p, b + p, len / 2 - p }, to[] = { 3 * p, 2 * b, len / 2 + b + p };
        unsigned used;

        tp_pool(t, 40);
        set(t, 0, 4 * len, len, RW, 0);
        assert_int_equal(call_map(t, g), 0);
        mapped(t);
        tp_pool(t, 0);
        job.ia = from[i], job.len = to[i] - from[i];
        used = sweep(t, g, "cut", call_cut);
        assert_int_equal(t->pool.count, 0);
        assert_true(used <= pt_need(&t->pt, job.ia, job.len));
        assert_true(used != 0 || t->pt.cfg.live.contig);
        assert_false(tp_crosses(t, job.ia) || tp_crosses(t, job.ia + job.len));
        tp_audit(t);
        tp_done(t, g);
        assert_int_equal(pt_unmap(&t->pt, 0, len, g), 0);
        assert_int_equal(pt_trim(&t->pt, 0, len, g), 0);
        tp_map_del(&t->map, 0, len - 1);
        tp_done(t, g);
        tp_audit(t);
    }
}

static void cut(void **state)
{
    (void)state;
    each(cuts);
}

static void grow(void **state)
{
    struct pt_config cfg = { .format = PT_AMD_V1, .ia_bits = 60, .oa_bits = 52, .start_level = 2 };
    struct pt_gather g;
    struct tp t;

    (void)state;
    pt_gather_init(&g);
    tp_open(&t, &cfg);
    set(&t, (uint64_t)1 << 50, 0, 0, 0, 0);
    assert_int_equal(sweep(&t, &g, "grow", call_grow), 3);
    assert_true(g.root);
    t.walk = tp_walk_cfg(&t.pt);
    tp_audit(&t);
    tp_done(&t, &g);
    tp_close(&t);
}

/* Everything else takes none: from pages to one leaf and back to nothing, with an empty pool. */
static void without(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, bits[1] = { 0 };
    bool young, arm = t->walk.fmt == &model_arm;
    uint32_t rw = RW | t->user;

    tp_pool(t, 12);
    set(t, b, 4 * b, 2 * b, RW, p);
    assert_int_equal(call_map(t, g), 0);
    mapped(t);
    tp_pool(t, 0);
    assert_true(pt_join(&t->pt, b, 2 * b, 0, g) >= 0);
    tp_audit(t);
    assert_int_equal(pt_age(&t->pt, b, 2 * b, &young, g), 0);
    assert_true(young);
    assert_int_equal(pt_track(&t->pt, b, 2 * b, true, g), 0);
    assert_int_equal(pt_dirty_read_clear(&t->pt, b, 2 * b, bits, 2 * b, g), 0);
    assert_true(bits[0] == 0);
    assert_int_equal(pt_protect(&t->pt, b, 2 * b, PT_READ | t->user, g), 0);
    tp_map_prot(&t->map, b, 3 * b - 1, ~0u, tp_reported(t, PT_READ | t->user));
    tp_audit(t);
    assert_int_equal(pt_protect(&t->pt, b, 2 * b, rw, g), 0);
    tp_map_prot(&t->map, b, 3 * b - 1, ~0u, tp_reported(t, rw));
    tp_audit(t);
    if (!arm) {
        assert_int_equal(pt_replace(&t->pt, b, 0, b, g), 0);
        assert_int_equal(pt_replace(&t->pt, b, 4 * b, b, g), 0);
        tp_audit(t);
    }
    tp_done(t, g);
    assert_int_equal(pt_break(&t->pt, 2 * b + p, p, g), 0);
    tp_map_del(&t->map, 2 * b + p, 2 * b + 2 * p - 1);
    tp_audit(t);
    assert_int_equal(pt_merge(&t->pt, b, 2 * b, 0, g), t->pt.leaf_h != 0);
    assert_int_equal(g->held_n, t->pt.leaf_h != 0);
    tp_done(t, g);
    tp_audit(t);
    assert_int_equal(pt_unmap(&t->pt, b, 2 * b, g), 0);
    assert_int_equal(pt_trim(&t->pt, b, 2 * b, g), 0);
    tp_map_del(&t->map, b, 3 * b - 1);
    tp_done(t, g);
    assert_int_equal(tp_count(&t->pt).tables, 0);
    tp_audit(t);
}

static void none_taken(void **state)
{
    (void)state;
    each(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map), cmocka_unit_test(map_leaf), cmocka_unit_test(list_and_cursor),
        cmocka_unit_test(cut), cmocka_unit_test(grow),     cmocka_unit_test(none_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
