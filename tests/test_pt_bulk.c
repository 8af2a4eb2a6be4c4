/* SPDX-License-Identifier: BSD-2-Clause */
/* Many tables in one call, over every format: those that were unlinked together, and those of a range
 * that was broken and is mapped again. */
#include "lib_pt.h"

#include <string.h>

/* --- sub-trees that were taken out wait as they are, and go without being written to --- */

#define TREES  11u /* more than a gather holds */
#define TABLES 60u

/* Which of the n tables is pa? */
static unsigned one_of(const uint64_t *table, unsigned n, uint64_t pa)
{
    unsigned i = 0;

    while (i < n && table[i] != pa) {
        i++;
    }
    tp_assert(i < n, "taken-twice: %#lx\n", (unsigned long)pa);
    return i;
}

static void take(struct tp *t, struct pt_gather *g)
{
    static uint64_t was[TABLES][65536 / 8];
    const uint32_t bytes = pt_table_bytes(t->pt.cfg.format);
    uint64_t table[TABLES], page[4] = { [3] = 1 }, pa, end = t->block;
    struct pt_table_iter it = { 0 };
    unsigned n = 0, got;

    tp_pool(t, TABLES);
    for (unsigned i = 0; i < TREES; i++) {
        /* Its first page, and of every other one its last. */
        for (uint64_t ia = i * t->big, k = 0; k <= (i & 1); k++, ia |= t->big - t->page) {
            if (ia < tp_top(t) && pt_map(&t->pt, ia, 0, t->page, RW | t->user, 0, &t->pool) == 0) {
                tp_map_add(&t->map, ia, ia + t->page - 1, 0, tp_reported(t, RW | t->user));
                end = (ia | (t->big - 1)) + 1;
            }
        }
    }
    tp_audit(t);
    while (pt_next_table(&t->pt, &it, &pa)) {
        if (pa - t->pt.root >= t->pt.root_pages * PAGE_SIZE) {
            memcpy(was[n], port_va(pa), bytes);
            table[n++] = pa;
        }
    }
    assert_int_equal(pt_unmap(&t->pt, 0, end < tp_top(t) ? end : tp_top(t), g), 0);
    tp_map_del(&t->map, 0, ~(uint64_t)0 >> 1);
    for (unsigned i = 0; i < g->held_n; i++) {
        pa = g->held[i] & ~(uint64_t)7;
        tp_assert(!memcmp(port_va(pa), was[one_of(table, n, pa)], bytes), "held-table-written\n");
    }
    while ((got = pt_gather_take(&t->pt, g, page, 3)) != 0) {
        tp_assert(got <= 3 && page[3] == 1, "taken-too-many\n");
        for (unsigned i = 0; i < got; i++) {
            unsigned k = one_of(table, n, page[i]);
            uint64_t *now = port_va(page[i]);

            /* Only links to tables that have tables are struck off. */
            for (unsigned j = 0; j < bytes / 8; j++) {
                tp_assert(now[j] == was[k][j] || now[j] == 0, "taken-table-written\n");
            }
            table[k] = 0;
            memset(now, 0, bytes);
            pt_pool_push(&t->pool, page[i]);
        }
    }
    pt_gather_done(&t->pt, g);
    while ((pa = pt_pool_pop(&g->freed)) != 0) {
        table[one_of(table, n, pa)] = 0;
        memset(port_va(pa), 0, bytes);
        pt_pool_push(&t->pool, pa);
    }
    tp_assert(t->pool.count + tp_count(&t->pt).tables == TABLES, "table-lost\n");
    tp_audit(t);
}

static void takes(void **state)
{
    (void)state;
    tp_each(1, take);
}

/* --- what was broken last is known to be empty until something is mapped there --- */

#define WAYS 9u

/* Maps a part of what was broken, at block 5, in one of the ways that there are. */
static int map_part(struct tp *t, unsigned way, struct pt_gather *g, uint64_t *ia, uint64_t *len)
{
    struct pt_cursor c = { 0 };
    uint32_t rw = RW | t->user;
    struct pt *pt = &t->pt;

    *ia = 5 * t->block + 3 * t->page;
    *len = t->page;
    if (way >= 7) {
        *ia = 5 * t->block;
        *len = t->block;
        assert_int_equal(pt_unmap(pt, *ia, *len, g), 0); /* no table there: as empty as before */
        tp_done(t, g);
    }
    switch (way) {
    case 0: /* the short way */
        return pt_map(pt, *ia, 0, *len, rw, 0, &t->pool);
    case 1: /* not that */
        return pt_map(pt, *ia, 0, *len, rw | PT_NC, 0, &t->pool);
    case 2: /* in one table */
        *len = 3 * t->page;
        return pt_map(pt, *ia, 0, *len, rw, 0, &t->pool);
    case 3: /* in two */
        *ia = 5 * t->block - t->page;
        *len = 2 * t->page;
        return pt_map(pt, *ia, 0, *len, rw, 0, &t->pool);
    case 4:
        return pt_map_list(pt, *ia, &(struct pt_sg){ 0, *len }, 1, rw, 0, &t->pool);
    case 5:
        return pt_map_at(pt, &c, *ia, 0, *len, rw, 0, &t->pool);
    case 6:
        return pt_map_leaf(pt, *ia, 0, 3, rw, &t->pool);
    case 7:
        return pt_map(pt, *ia, 0, *len, rw, 0, &t->pool);
    default:
        return pt_map_leaf(pt, *ia, 0, 2, rw, &t->pool);
    }
}

/* All of [ia, ia + len) cannot be mapped: something is there. */
static void occupied(struct tp *t, uint64_t ia, uint64_t len, const char *what, unsigned way)
{
    struct tp_snap snap;
    uint32_t n;

    tp_snap(t, &snap);
    tp_assert(pt_need_map(&t->pt, ia, 0, len, t->page, &n) == -EEXIST &&
                  pt_map(&t->pt, ia, 0, len, RW | t->user, t->page, &t->pool) == -EEXIST,
              "mapped-over: %s %u\n", what, way);
    tp_assert_same(t, &snap);
}

/* Blocks 2 to 9 have a table with a page in it each, but for 8, if anything is there at all. */
static bool fill(struct tp *t)
{
    uint32_t n;

    if (tp_top(t) < 12 * t->block || pt_need_map(&t->pt, 11 * t->block, 0, t->page, 0, &n) != 0) {
        return false;
    }
    tp_pool(t, 24);
    for (unsigned i = 2; i < 10; i++) {
        if (i != 8) {
            tp_put(t, i * t->block + i * t->page, 0, t->page, RW | t->user, 0);
        }
    }
    return true;
}

static void empty(struct tp *t, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    assert_int_equal(pt_break(&t->pt, ia, len, g), 0);
    tp_map_del(&t->map, ia, ia + len - 1);
    tp_done(t, g);
    tp_assert(t->pt.empty != 0, "forgotten-at-once\n");
}

static void clear(struct tp *t, struct pt_gather *g)
{
    assert_int_equal(pt_unmap(&t->pt, 0, 12 * t->block, g), 0);
    tp_map_del(&t->map, 0, 12 * t->block - 1);
    tp_done(t, g);
    tp_audit(t);
}

static void again(struct tp *t, struct pt_gather *g)
{
    uint64_t b = t->block, p = t->page, ia, len;
    uint32_t n, had;

    for (unsigned way = 0; way < WAYS && fill(t); way++) {
        empty(t, 2 * b, 8 * b, g);
        if (map_part(t, way, g, &ia, &len) == 0) {
            tp_map_add(&t->map, ia, ia + len - 1, 0,
                       tp_reported(t, RW | t->user | (way == 1 ? PT_NC : 0)));
            occupied(t, 2 * b, 8 * b, "way", way);
        }
        clear(t, g);
    }
    if (!fill(t)) {
        return;
    }
    /* What stays at either edge is seen, and what is beyond. */
    empty(t, 2 * b + 3 * p, 7 * b - 3 * p, g);
    occupied(t, 2 * b, 4 * b, "first", 0);
    occupied(t, 4 * b, 6 * b, "beyond", 0);
    empty(t, 3 * b, 6 * b + p, g);
    occupied(t, 4 * b, 5 * b + 10 * p, "last", 0);
    empty(t, 2 * b, 8 * b, g);
    /* It is mapped again in full; one table is missing. */
    had = t->pool.count;
    assert_int_equal(pt_need_map(&t->pt, 2 * b, 0, 8 * b, p, &n), 0);
    assert_int_equal(n, 1);
    tp_put(t, 2 * b, 0, 8 * b, RW | t->user, p);
    assert_int_equal(t->pool.count, had - 1);
    tp_assert(t->pt.empty == 0, "mapped-over: not forgotten\n");
    tp_audit(t);
    clear(t, g);
}

static void maps_again(void **state)
{
    (void)state;
    tp_each(1, again);
}

/* --- runs of dirty leaves --- */

/* Pages 1 to 4 and 6 to 10 of a table are dirty, 5 is not; with `aged` no access flag is set. */
static void harvest_run(struct tp *t, bool aged, struct pt_gather *g)
{
    uint64_t b = 2 * t->block, p = t->page, bits = 0;
    uint32_t prot = RW | t->user | PT_TRACK;
    bool young;

    tp_pool(t, 24);
    tp_put(t, b + p, 0, 4 * p, prot | PT_DIRTY, 0);
    tp_put(t, b + 5 * p, 8 * p, p, prot, 0);
    tp_put(t, b + 6 * p, 32 * p, 5 * p, prot | PT_DIRTY, 0);
    if (aged) {
        assert_int_equal(pt_age(&t->pt, b, 16 * p, &young, g), 0);
        tp_done(t, g);
    }
    assert_int_equal(pt_dirty_read_clear(&t->pt, b, 16 * p, &bits, p, NULL), 0);
    tp_assert(bits == 0x7de, "harvest: %#lx is dirty\n", (unsigned long)bits);
    tp_audit(t); /* as dirty as before */
    bits = 0;
    assert_int_equal(pt_dirty_read_clear(&t->pt, b, 16 * p, &bits, p, g), 0);
    tp_assert(bits == 0x7de, "harvest: %#lx was dirty\n", (unsigned long)bits);
    tp_assert(tp_covered(g, b + p, b + 5 * p - 1) && tp_covered(g, b + 6 * p, b + 11 * p - 1),
              "harvest: not recorded\n");
    tp_done(t, g);
    tp_map_prot(&t->map, b + p, b + 11 * p - 1, PT_DIRTY, 0);
    tp_audit(t);
    assert_int_equal(pt_unmap(&t->pt, b, t->block, g), 0);
    tp_map_del(&t->map, b, b + t->block - 1);
    tp_done(t, g);
}

static void harvest(struct tp *t, struct pt_gather *g)
{
    for (unsigned aged = 0; aged <= t->pt.cfg.live.hw_af && t->pt.cfg.live.hw_dirty; aged++) {
        harvest_run(t, aged != 0, g);
    }
}

static void harvests(void **state)
{
    (void)state;
    tp_each(1, harvest);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(takes), cmocka_unit_test(maps_again),
                                        cmocka_unit_test(harvests) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
