/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of pt_more.h, over every format: lists, cursors, refresh, tracking, joins, growing. */
#include "lib_pt.h"

#include <pthread.h>
#include <string.h>

static bool is_arm(const struct tp *t)
{
    return t->pt.cfg.format <= PT_ARM_S2_64K;
}

/* --- lists and cursors --- */

static void lists(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, n;
    const struct pt_sg sg[] = { { 8 * b, b }, { 9 * b, p }, { 3 * b, 2 * p }, { 0, p } };
    struct pt_sg bad[4];
    struct tp_snap snap;

    (void)g;
    assert_int_equal(pt_need_list(&t->pt, b, sg, 4, 0, &n), 0);
    assert_true(n <= t->pool.count);
    tp_snap(t, &snap);
    assert_int_equal(pt_map_list(&t->pt, b, sg, 0, RW | t->user, 0, &t->pool), -EINVAL);
    memcpy(bad, sg, sizeof(sg));
    bad[3].len = p / 2;
    assert_int_equal(pt_map_list(&t->pt, b, bad, 4, RW | t->user, 0, &t->pool), -EINVAL);
    bad[3] = (struct pt_sg){ (uint64_t)1 << t->pt.cfg.oa_bits, p };
    assert_int_equal(pt_map_list(&t->pt, b, bad, 4, RW | t->user, 0, &t->pool), -ERANGE);
    tp_assert_same(t, &snap);
    assert_int_equal(pt_map_list(&t->pt, b, sg, 4, RW | t->user, 0, &t->pool), 0);
    tp_map_add(&t->map, b, 2 * b + p - 1, 8 * b, tp_reported(t, RW | t->user));
    tp_map_add(&t->map, 2 * b + p, 2 * b + 3 * p - 1, 3 * b, tp_reported(t, RW | t->user));
    tp_map_add(&t->map, 2 * b + 3 * p, 2 * b + 4 * p - 1, 0, tp_reported(t, RW | t->user));
    tp_audit(t);
    /* The last piece meets something: nothing of the list is mapped. */
    tp_snap(t, &snap);
    assert_int_equal(pt_map_list(&t->pt, 2 * b - p, sg, 4, RW | t->user, 0, &t->pool), -EEXIST);
    tp_assert_same(t, &snap);
}

static void map_lists(void **state)
{
    (void)state;
    tp_each(1, lists);
}

static void cursors(struct tp *t, struct pt_gather *g)
{
    struct pt_cursor c = { 0 };
    uint64_t p = t->page;

    (void)g;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t ia = t->block - 4 * p + i * p;

        assert_int_equal(pt_map_at(&t->pt, &c, ia, 0, p, RW | t->user, 0, &t->pool), 0);
        tp_map_add(&t->map, ia, ia + p - 1, 0, tp_reported(t, RW | t->user));
        assert_non_null(c.table);
        assert_int_equal(c.base, ia & ~(t->block - 1));
        assert_int_equal(pt_map_at(&t->pt, &c, ia, 0, p, RW | t->user, 0, &t->pool), -EEXIST);
        tp_audit(t);
    }
}

static void map_by_cursor(void **state)
{
    (void)state;
    tp_each(1, cursors);
}

/* --- one leaf in tables that are there: the short ways refuse what the long ones do --- */

static uint8_t level_at(const struct tp *t, uint64_t ia)
{
    struct pt_leaf leaf;

    assert_int_equal(pt_lookup(&t->pt, ia, &leaf), 0);
    assert_true(leaf.present);
    return (uint8_t)leaf.level;
}

/* What lies in memory behind the entries of the start table is none of the tree: here, the same again. */
static void behind_start(struct tp *t, struct pt_gather *g)
{
    const unsigned index_bits = (unsigned)__builtin_ctzll(t->page) - 3;
    const unsigned shift = index_bits + 3 + (unsigned)(3 - t->pt.cfg.start_level) * index_bits;
    const uint32_t pages = t->pt.root_pages;
    uint64_t root = hosted_alloc(2 * pages, pages * PAGE_SIZE), *e = port_va(root);
    uint64_t top = tp_top(t), n = top >> shift;
    struct pt twice;

    for (uint64_t i = 0; i < 2 * pages * PAGE_SIZE / sizeof(*e); i++) {
        e[i] = ((uint64_t *)port_va(t->pt.root))[i % n];
    }
    assert_int_equal(pt_init(&twice, &t->pt.cfg, root), 0);
    assert_int_equal(pt_translate(&twice, 0), pt_translate(&t->pt, 0));
    assert_int_equal(pt_translate(&twice, top), PT_NO_OA);
    assert_int_equal(pt_map(&twice, top + t->page, 0, t->page, RW | t->user, 0, &t->pool), -ERANGE);
    assert_int_equal(pt_break(&twice, top, t->page, g), -ERANGE);
    hosted_free(root, 2 * pages);
}

static void single(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, beyond = (uint64_t)1 << t->pt.cfg.oa_bits;
    const bool exec = t->pt.cfg.live.exec_4k;
    const uint8_t leaf_h = t->pt.leaf_h;
    struct tp_snap snap;

    tp_put(t, 0, b, p, RW, 0);
    tp_put(t, b, b, b, RW, 0);
    tp_snap(t, &snap);
    assert_int_equal(pt_map(&t->pt, 0, b, p, RW | t->user, 0, &t->pool), -EEXIST);
    assert_int_equal(pt_map(&t->pt, b, b, b, RW | t->user, 0, &t->pool), -EEXIST);
    assert_int_equal(pt_map(&t->pt, p, beyond, p, RW | t->user, 0, &t->pool), -ERANGE);
    assert_int_equal(pt_map(&t->pt, 2 * b, beyond, b, RW | t->user, 0, &t->pool), -ERANGE);
    assert_int_equal(pt_map(&t->pt, p, p / 2, p, RW | t->user, 0, &t->pool), -EINVAL);
    assert_int_equal(pt_map(&t->pt, p, 0, p, PT_WRITE | PT_EXEC | 1u << 8, 0, &t->pool), -EINVAL);
    assert_int_equal(pt_break(&t->pt, b, p, g), -EINVAL);
    assert_int_equal(pt_translate(&t->pt, p), PT_NO_OA);
    behind_start(t, g);
    tp_assert_same(t, &snap);
    assert_true(pt_gather_empty(g));

    tp_put(t, p, 0, p, RW | PT_TRACK, 0);
    tp_audit(t);
    t->pt.cfg.live.exec_4k = true;
    if (pt_map(&t->pt, 2 * b, 0, b, PT_READ | PT_EXEC | t->user, 0, &t->pool) == 0) {
        assert_int_equal(level_at(t, 2 * b), 3);
        assert_int_equal(pt_unmap(&t->pt, 2 * b, b, g), 0);
    }
    t->pt.cfg.live.exec_4k = exec;
    t->pt.leaf_h = 0; /* a walker that takes only pages */
    assert_int_equal(pt_map(&t->pt, 3 * b, 0, b, RW | t->user, 0, &t->pool), 0);
    assert_int_equal(level_at(t, 3 * b), 3);
    assert_int_equal(pt_unmap(&t->pt, 3 * b, b, g), 0);
    t->pt.leaf_h = leaf_h;
    tp_done(t, g);
    tp_audit(t);
}

static void singles(void **state)
{
    (void)state;
    tp_each(1, single);
}

/* --- refresh --- */

/* "Hardware" makes the page dirty just before the exchange. */
static void write_page(void *ctx, const struct hosted_store *s)
{
    struct tp *t = ctx;
    struct pt_gather g;

    if (s->kind == HOSTED_CAS) {
        pt_gather_init(&g);
        hosted_set_hook(NULL);
        assert_int_equal(
            pt_protect(&t->pt, 3 * t->block, t->page, RW | PT_TRACK | PT_DIRTY | t->user, &g), 0);
    }
}

static void refresh_written(struct tp *t, struct pt_gather *g)
{
    const struct hosted_hook hook = { .ctx = t, .before = write_page };
    uint64_t p = t->page, b = t->block;

    tp_put(t, 3 * b, 0, p, RW | PT_TRACK, 0);
    hosted_set_hook(&hook);
    assert_int_equal(pt_replace(&t->pt, 3 * b, 4 * b, p, g), 0);
    hosted_set_hook(NULL);
    assert_true(tp_covered(g, 3 * b, 3 * b + p - 1));
    tp_map_del(&t->map, 3 * b, 3 * b + p - 1);
    tp_map_add(&t->map, 3 * b, 3 * b + p - 1, 4 * b,
               tp_reported(t, RW | PT_TRACK | PT_DIRTY | t->user));
    tp_audit(t);
}

static void refresh(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block;
    struct tp_snap snap;

    tp_put(t, 0, 0, 2 * b, RW, b);
    tp_put(t, 2 * b, 2 * b, p, RW, 0);
    tp_snap(t, &snap);
    if (is_arm(t)) {
        assert_int_equal(pt_replace_check(&t->pt, 0, 4 * b, b), -EOPNOTSUPP);
        assert_int_equal(pt_replace(&t->pt, 0, 4 * b, b, g), -EOPNOTSUPP);
        tp_assert_same(t, &snap);
        return;
    }
    assert_int_equal(pt_replace(&t->pt, 0, 4 * b, p, g), -EINVAL); /* inside a leaf */
    assert_int_equal(pt_replace(&t->pt, 0, 4 * b + p, b, g), -EOPNOTSUPP);
    assert_int_equal(pt_replace(&t->pt, 2 * b, 0, 2 * p, g), -ENOENT);
    assert_int_equal(pt_replace(&t->pt, 2 * b, p / 2, p, g), -EINVAL);
    assert_int_equal(pt_replace(&t->pt, 2 * b, (uint64_t)1 << t->pt.cfg.oa_bits, p, g), -ERANGE);
    tp_assert_same(t, &snap);
    assert_true(pt_gather_empty(g));
    assert_int_equal(pt_replace_check(&t->pt, b, 8 * b, b + p), 0);
    assert_int_equal(pt_replace(&t->pt, b, 8 * b, b + p, g), 0);
    assert_true(tp_covered(g, b, 2 * b + p - 1));
    tp_map_del(&t->map, b, 2 * b + p - 1);
    tp_map_add(&t->map, b, 2 * b + p - 1, 8 * b, tp_reported(t, RW | t->user));
    tp_audit(t);
    refresh_written(t, g);
}

static void replaces(void **state)
{
    (void)state;
    tp_each(1, refresh);
}

/* --- a walker that does not snoop --- */

static void count_clean(void *ctx, const void *va, size_t len)
{
    (void)va;
    *(unsigned *)ctx += (unsigned)(len / sizeof(uint64_t));
}

/* Nobody looks at the stores: the engine goes the way that it goes outside of tests. */
static void clean_single(struct tp *t, struct pt_gather *g)
{
    unsigned n = 0;
    const struct hosted_hook hook = { .ctx = &n, .clean = count_clean };
    const uint32_t dirty = RW | PT_TRACK | PT_DIRTY | t->user;
    uint64_t p = t->page, b = t->block, bits[1] = { 0 };

    tp_put(t, 2 * b, 2 * b, p, RW, 0);
    t->pt.cfg.incoherent = true;
    hosted_set_hook(&hook);
    assert_int_equal(pt_map(&t->pt, 2 * b + p, 0, p, RW | t->user, 0, &t->pool), 0);
    assert_int_equal(n, 1);
    assert_int_equal(pt_break(&t->pt, 2 * b + p, p, g), 0);
    assert_int_equal(pt_map(&t->pt, 2 * b + p, 0, 3 * p, dirty, 0, &t->pool), 0);
    n = 0;
    assert_int_equal(pt_dirty_read_clear(&t->pt, 2 * b + p, 3 * p, bits, p, g), 0);
    assert_int_equal(bits[0], 7);
    assert_int_equal(n, 3);
    assert_int_equal(pt_break(&t->pt, 2 * b + p, 3 * p, g), 0);
    pt_gather_done(&t->pt, g);
    n = 0;
    if (pt_replace(&t->pt, 2 * b, 3 * b, p, g) == 0) {
        assert_int_equal(n, 1);
    }
    pt_gather_done(&t->pt, g);
    n = 0;
    assert_int_equal(pt_break(&t->pt, 2 * b, p, g), 0);
    hosted_set_hook(NULL);
    assert_int_equal(n, 1);
    t->pt.cfg.incoherent = false;
    tp_map_del(&t->map, 2 * b, 2 * b + p - 1);
    tp_audit(t);
}

static void clean_singles(void **state)
{
    (void)state;
    tp_each(1, clean_single);
}

/* --- tracking --- */

static void track(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, bits[1] = { 0 };
    uint32_t ro = tp_reported(t, PT_READ | t->user), rw = tp_reported(t, RW | t->user);

    tp_put(t, 0, 0, b, RW, p);
    tp_put(t, b, b, b, PT_READ, 0);
    assert_int_equal(pt_track(&t->pt, 0, 2 * b, true, g), 0);
    assert_true(tp_covered(g, 0, b - 1));
    tp_map_prot(&t->map, 0, b - 1, ~0u, (rw & ~(uint32_t)PT_DIRTY) | PT_TRACK);
    tp_map_prot(&t->map, b, 2 * b - 1, ~0u, ro);
    tp_audit(t);
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, b, bits, b, g), 0);
    assert_true(bits[0] == 0);
    assert_int_equal(pt_protect(&t->pt, p, p, RW | PT_TRACK | PT_DIRTY | t->user, g), 0);
    assert_int_equal(pt_track(&t->pt, 0, 2 * b, true, g), 0); /* what is dirty stays so */
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, b, bits, b, g), 0);
    assert_true(bits[0] == 1);
    assert_int_equal(pt_track(&t->pt, 0, 2 * b, false, g), 0);
    tp_map_prot(&t->map, 0, b - 1, ~0u, rw);
    tp_audit(t);
    t->pt.cfg.live.hw_dirty = false;
    assert_int_equal(pt_track(&t->pt, 0, b, true, g), -EOPNOTSUPP);
    t->pt.cfg.live.hw_dirty = true;
    /* A break sees the dirty leaf between plain ones. */
    assert_int_equal(pt_protect(&t->pt, p, p, RW | PT_TRACK | PT_DIRTY | t->user, g), 0);
    assert_int_equal(pt_break(&t->pt, 0, 3 * p, g), 0);
    tp_map_del(&t->map, 0, 3 * p - 1);
    assert_true(g->dirty);
    tp_audit(t);
}

static void tracks(void **state)
{
    (void)state;
    tp_each(1, track);
}

/* --- leaves of several entries --- */

static void spans(struct tp *t, struct pt_gather *g)
{
    uint64_t b = t->block, p = t->page;
    struct pt_counts before, after;
    int made;

    tp_put(t, 0, 0, b, RW, p);
    before = tp_count(&t->pt);
    made = pt_join(&t->pt, 0, b, 0, g);
    after = tp_count(&t->pt);
    tp_audit(t);
    if (!t->pt.cfg.live.contig) {
        assert_int_equal(made, 0);
        assert_int_equal(after.leaves[3], before.leaves[3]);
        return;
    }
    assert_true(made > 0 && after.leaves[3] < before.leaves[3]);
    assert_true(tp_covered(g, 0, b - 1));
    assert_int_equal(pt_join(&t->pt, 0, b, 0, g), 0);
    /* A page inside: refused without a cut, and by Arm's rules; then cut, alone, with no table. */
    assert_int_equal(pt_break(&t->pt, p, p, g), -EINVAL);
    if (is_arm(t)) {
        t->pt.cfg.live.bbm = 1;
        assert_int_equal(pt_cut(&t->pt, p, p, &t->pool, g), -EOPNOTSUPP);
        assert_int_equal(pt_track(&t->pt, 0, b, true, g), -EOPNOTSUPP);
        t->pt.cfg.live.bbm = 2;
    } else {
        assert_int_equal(pt_replace(&t->pt, 0, b, b, g), -EOPNOTSUPP);
    }
    made = (int)t->pool.count;
    assert_int_equal(pt_cut(&t->pt, p, p, &t->pool, g), 0);
    assert_int_equal(t->pool.count, made);
    assert_false(tp_crosses(t, p) || tp_crosses(t, 2 * p));
    tp_audit(t);
    assert_int_equal(pt_break(&t->pt, p, p, g), 0);
    tp_map_del(&t->map, p, 2 * p - 1);
    tp_audit(t);
    tp_put(t, p, p, p, RW, 0);
    assert_true(pt_join(&t->pt, 0, b, 0, g) > 0);
    assert_int_equal(tp_count(&t->pt).leaves[3], after.leaves[3]);
    tp_audit(t);
    /* Tracking takes all of them apart. */
    assert_int_equal(pt_track(&t->pt, 0, b, true, g), 0);
    assert_int_equal(tp_count(&t->pt).leaves[3], before.leaves[3]);
    assert_int_equal(pt_join(&t->pt, 0, b, 0, g), 0);
    tp_map_prot(&t->map, 0, b - 1, PT_DIRTY, PT_TRACK);
    tp_audit(t);
}

static void joins(void **state)
{
    (void)state;
    tp_each(1, spans);
}

/* --- growing --- */

static void grows(void **state)
{
    struct pt_config cfg = { .format = PT_AMD_V1,
                             .ia_bits = 60,
                             .oa_bits = 52,
                             .start_level = 2,
                             .live = { .hw_af = true, .hw_dirty = true } };
    struct pt_gather g;
    struct tp t;
    struct pt_leaf leaf;
    uint64_t far = (uint64_t)1 << 50;
    struct tp_snap snap;

    (void)state;
    pt_gather_init(&g);
    tp_open(&t, &cfg);
    tp_pool(&t, 8);
    tp_put(&t, 0, GIB, GIB, RW, 0);
    assert_int_equal(pt_lookup(&t.pt, far, &leaf), 0);
    assert_false(leaf.present);
    tp_snap(&t, &snap);
    assert_int_equal(pt_map(&t.pt, far, 0, PAGE_SIZE, RW, 0, &t.pool), -ERANGE);
    assert_int_equal(pt_grow(&t.pt, (uint64_t)1 << 60, &t.pool, &g), -ERANGE);
    tp_assert_same(&t, &snap);
    assert_int_equal(pt_grow(&t.pt, far, &t.pool, &g), 0);
    assert_true(g.root && t.pt.cfg.start_level == -1);
    assert_int_equal(t.pool.count, 8 - 3);
    t.walk = tp_walk_cfg(&t.pt); /* the device table entry */
    tp_audit(&t);
    tp_put(&t, far, 0, PAGE_SIZE, RW, 0);
    tp_put(&t, 4 * GIB, 4 * GIB, GIB, RW, 0); /* leaves that the small tree did not have */
    assert_int_equal(tp_count(&t.pt).leaves[1], 1);
    tp_audit(&t);
    tp_done(&t, &g);
    assert_false(g.root);
    assert_int_equal(pt_grow(&t.pt, far, &t.pool, &g), 0);
    assert_false(g.root);
    tp_close(&t);
}

/* --- mappers beside each other --- */

struct rival {
    struct tp *t;
    struct pt_pool pool;
    unsigned times;
};

/* Just before the first store to the start table: somebody else maps the page beside. */
static void rival_maps(void *ctx, const struct hosted_store *s)
{
    struct rival *r = ctx;

    if (port_pa(s->e) - r->t->pt.root >= r->t->pt.root_pages * PAGE_SIZE || r->times++ != 0) {
        return;
    }
    hosted_set_hook(NULL);
    assert_int_equal(pt_map(&r->t->pt, r->t->page, 0, r->t->page, RW | r->t->user, 0, &r->pool), 0);
}

static void race(struct tp *t, struct pt_gather *g)
{
    struct rival r = { .t = t };
    struct hosted_hook hook = { .ctx = &r, .before = rival_maps };
    uint32_t rw = tp_reported(t, RW | t->user);

    (void)g;
    r.pool = t->pool;
    t->pool = (struct pt_pool){ 0 };
    tp_pool(t, 8);
    hosted_set_hook(&hook);
    assert_int_equal(pt_map(&t->pt, 0, 0, t->page, RW | t->user, 0, &t->pool), 0);
    hosted_set_hook(NULL);
    assert_true(r.times > 0);
    for (uint64_t pa; (pa = pt_pool_pop(&r.pool)) != 0;) {
        pt_pool_push(&t->pool, pa);
    }
    tp_map_add(&t->map, 0, t->page - 1, 0, rw);
    tp_map_add(&t->map, t->page, 2 * t->page - 1, 0, rw);
    tp_audit(t);
}

static void lost_links(void **state)
{
    (void)state;
    tp_each(1, race);
}

#define MAPPERS 3u

struct mapper {
    struct tp *t;
    struct pt_pool pool;
    struct pt_gather g;
    uint64_t me;
    bool bad;
};

static pthread_barrier_t start;

/* Every third page is one mapper's: all of them need the same tables at the same time. */
static void *map_own(void *arg)
{
    struct mapper *m = arg;
    struct tp *t = m->t;

    for (unsigned round = 0; round < 20; round++) {
        uint64_t base = round * t->block;

        pthread_barrier_wait(&start);
        for (uint64_t i = m->me; i < 96; i += MAPPERS) {
            uint64_t ia = base + i * t->page;

            m->bad = m->bad || pt_map(&t->pt, ia, ia, t->page, RW | t->user, 0, &m->pool) != 0;
        }
        for (uint64_t i = m->me; i < 96; i += 2 * MAPPERS) {
            m->bad = m->bad || pt_unmap(&t->pt, base + i * t->page, t->page, &m->g) != 0;
        }
    }
    return NULL;
}

static void parallel_mappers(void **state)
{
    static const unsigned confs[] = { 0, 20, 25, 31, 33 };

    (void)state;
    for (unsigned c = 0; c < sizeof(confs) / sizeof(confs[0]); c++) {
        struct mapper who[MAPPERS];
        pthread_t thread[MAPPERS];
        uint64_t pages = 0, left = 0, pa;
        struct tp t;

        tp_open(&t, &tp_confs[confs[c]].cfg);
        pthread_barrier_init(&start, NULL, MAPPERS);
        for (uint64_t i = 0; i < MAPPERS; i++) {
            tp_pool(&t, 32);
            who[i] = (struct mapper){ .t = &t, .pool = t.pool, .me = i };
            pt_gather_init(&who[i].g);
            t.pool = (struct pt_pool){ 0 };
        }
        for (unsigned i = 0; i < MAPPERS; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, map_own, &who[i]), 0);
        }
        for (unsigned i = 0; i < MAPPERS; i++) {
            pthread_join(thread[i], NULL);
            assert_false(who[i].bad);
            assert_int_equal(who[i].g.freed.count, 0);
            left += who[i].pool.count;
            while ((pa = pt_pool_pop(&who[i].pool)) != 0) {
                for (unsigned k = 0; k < pt_table_bytes(t.pt.cfg.format) / 8; k++) {
                    assert_int_equal(((const uint64_t *)port_va(pa))[k], 0);
                }
                pt_pool_push(&t.pool, pa);
            }
        }
        pthread_barrier_destroy(&start);
        for (uint64_t page = 0; page < 20 * 96; page++) {
            uint64_t ia = page / 96 * t.block + page % 96 * t.page;

            /* Mapper i unmapped its first page and every second one after that. */
            if (page % 96 / MAPPERS % 2 == 1) {
                tp_map_add(&t.map, ia, ia + t.page - 1, ia, tp_reported(&t, RW | t.user));
                pages++;
            }
        }
        assert_int_equal(tp_count(&t.pt).leaves[3], pages);
        assert_int_equal(left + tp_count(&t.pt).tables, MAPPERS * 32);
        tp_audit(&t);
        tp_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_lists),  cmocka_unit_test(map_by_cursor),
        cmocka_unit_test(singles),    cmocka_unit_test(replaces),
        cmocka_unit_test(tracks),     cmocka_unit_test(joins),
        cmocka_unit_test(grows),      cmocka_unit_test(clean_singles),
        cmocka_unit_test(lost_links), cmocka_unit_test(parallel_mappers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
