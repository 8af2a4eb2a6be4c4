/* SPDX-License-Identifier: BSD-2-Clause */
/* The lab's operations: each call of the engine, watched, and what must be true of it. */
#include "lib_pt_lab.h"

#include <stdlib.h>

void lab_map(struct lab *l, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap)
{
    struct pt_gather g;
    uint32_t need;

    pt_gather_init(&g);
    assert_int_equal(pt_need_map(&l->t.pt, ia, oa, len, cap, &need), 0);
    tp_pool(&l->t, need);
    lab_begin(l, ia, len, false);
    assert_int_equal(pt_map(&l->t.pt, ia, oa, len, prot | l->t.user, cap, &l->t.pool), 0);
    tp_map_add(&l->t.map, ia, ia + len - 1, oa, tp_reported(&l->t, prot | l->t.user));
    lab_end(l, &g);
}

void lab_refuse_map(struct lab *l, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot)
{
    lab_begin(l, ia, len, false);
    tp_pool(&l->t, 6);
    assert_int_equal(pt_map(&l->t.pt, ia, oa, len, prot | l->t.user, 0, &l->t.pool), -EEXIST);
}

void lab_cut(struct lab *l, uint64_t ia, uint64_t len)
{
    bool crossed = tp_crosses(&l->t, ia) || tp_crosses(&l->t, ia + len);
    struct pt_gather g;

    pt_gather_init(&g);
    tp_pool(&l->t, 6);
    lab_begin(l, ia, len, false);
    assert_int_equal(pt_cut(&l->t.pt, ia, len, &l->t.pool, &g), 0);
    tp_assert(crossed != pt_gather_empty(&g), "%s: cut of %#lx..\n",
              model_verdict_name(MODEL_V_STALE_SIZE), (unsigned long)ia);
    assert_false(tp_crosses(&l->t, ia) || tp_crosses(&l->t, ia + len));
    lab_end(l, &g);
}

static bool tracked_dirty(const struct lab *l, uint64_t ia, uint64_t last)
{
    for (unsigned i = 0; i < l->t.map.n; i++) {
        const struct tp_run *r = &l->t.map.run[i];

        if (r->ia <= last && r->last >= ia &&
            (r->prot & (PT_TRACK | PT_DIRTY)) == (PT_TRACK | PT_DIRTY)) {
            return true;
        }
    }
    return false;
}

static void gone(struct lab *l, uint64_t ia, uint64_t len, bool tables)
{
    struct pt_gather g;

    pt_gather_init(&g);
    lab_begin(l, ia, len, true);
    assert_int_equal((tables ? pt_unmap : pt_break)(&l->t.pt, ia, len, &g), 0);
    tp_assert(g.dirty == tracked_dirty(l, ia, ia + len - 1), "%s: in a break\n",
              model_verdict_name(MODEL_V_DIRTY_LOST));
    tp_map_del(&l->t.map, ia, ia + len - 1);
    lab_end(l, &g);
    if (tables) {
        pt_gather_init(&g);
        lab_begin(l, ia, len, false);
        assert_int_equal(pt_trim(&l->t.pt, ia, len, &g), 0);
        lab_end(l, &g);
    }
}

void lab_break(struct lab *l, uint64_t ia, uint64_t len)
{
    gone(l, ia, len, false);
}

void lab_cut_break(struct lab *l, uint64_t ia, uint64_t len)
{
    struct pt_gather g;

    pt_gather_init(&g);
    tp_pool(&l->t, 6);
    lab_begin(l, ia, len, false);
    assert_int_equal(pt_cut(&l->t.pt, ia, len, &l->t.pool, &g), 0);
    lab_begin(l, ia, len, true);
    assert_int_equal(pt_break(&l->t.pt, ia, len, &g), 0);
    tp_map_del(&l->t.map, ia, ia + len - 1);
    lab_end(l, &g);
}

void lab_unmap(struct lab *l, uint64_t ia, uint64_t len)
{
    gone(l, ia, len, true);
}

static void merge(struct lab *l, uint64_t ia, uint64_t len, uint64_t cap)
{
    struct pt_gather g;
    bool more;

    do {
        pt_gather_init(&g);
        lab_begin(l, ia, len, false);
        assert_true(pt_merge(&l->t.pt, ia, len, cap, &g) >= 0);
        more = g.more;
        lab_end(l, &g);
    } while (more);
}

/* For half of the pages their block alone comes first, as conversions do it. */
void lab_merge(struct lab *l, uint64_t ia, uint64_t len)
{
    const uint64_t b = l->t.block;

    if (len <= b && ia / l->t.page % 2 == 0) {
        merge(l, ia & ~(b - 1), b, b);
    }
    merge(l, ia, len, 0);
}

void lab_protect(struct lab *l, uint64_t ia, uint64_t len, uint32_t prot)
{
    uint32_t now = tp_reported(&l->t, prot | l->t.user);
    struct pt_gather g;
    bool lost;

    pt_gather_init(&g);
    lab_begin(l, ia, len, false);
    /* What was not tracked is dirty to most hardware; tracking starts with it clean. (That nothing
     * is lost of what was tracked before is in the oracle.) */
    model_live_harvest(l->live, (prot & PT_TRACK) != 0 && l->t.walk.fmt != &model_arm);
    /* Which pages were dirty is only known after the call: writes go on inside it. */
    assert_int_equal(pt_protect(&l->t.pt, ia, len, prot | l->t.user, &g), 0);
    model_live_harvest(l->live, false);
    lost = tracked_dirty(l, ia, ia + len - 1) && !(now & PT_WRITE);
    tp_assert(g.dirty == lost, "%s: in a protect\n", model_verdict_name(MODEL_V_DIRTY_LOST));
    for (uint64_t at = ia; at < ia + len;) {
        const struct tp_run *r = tp_map_at(&l->t.map, at);
        uint32_t keep = r && (r->prot & now & PT_TRACK) ? r->prot & PT_DIRTY : 0;
        uint64_t next = !r ? at + l->t.page : r->last < ia + len ? r->last + 1 : ia + len;

        if (r) {
            tp_map_prot(&l->t.map, at, next - 1, ~0u, now | keep);
        }
        at = next;
    }
    lab_end(l, &g);
}

void lab_harvest(struct lab *l, uint64_t ia, uint64_t len)
{
    uint64_t *bits = calloc((len / l->t.page + 63) / 64, 8);
    struct pt_gather g;

    assert_non_null(bits);
    pt_gather_init(&g);
    lab_begin(l, ia, len, false);
    model_live_harvest(l->live, true);
    assert_int_equal(pt_dirty_read_clear(&l->t.pt, ia, len, bits, l->t.page, &g), 0);
    model_live_harvest(l->live, false);
    for (uint64_t at = ia; at < ia + len;) {
        const struct tp_run *r = tp_map_at(&l->t.map, at);
        unsigned shift = tp_leaf_shift(&l->t, at);
        struct model_xlat x;
        uint64_t next = at + (shift ? (uint64_t)1 << shift : l->t.page);
        bool dirty, got = true, none = true;

        for (uint64_t i = (at - ia) / l->t.page; i < (next - ia) / l->t.page; i++) {
            bool bit = (bits[i / 64] >> (i % 64) & 1) != 0;

            got = got && bit;
            none = none && !bit;
        }
        assert_true(got || none);
        if (r && (r->prot & PT_TRACK)) {
            tp_walk(&l->t, at, &x);
            dirty = x.dirty;
            tp_assert(((r->prot & PT_DIRTY) != 0) == (got || dirty), "%s: harvest of %#lx\n",
                      model_verdict_name(MODEL_V_DIRTY_LOST), (unsigned long)at);
            tp_map_prot(&l->t.map, at, next - 1, PT_DIRTY, dirty ? PT_DIRTY : 0);
        } else {
            assert_true(none);
        }
        at = next;
    }
    free(bits);
    lab_end(l, &g);
}

void lab_age(struct lab *l, uint64_t ia, uint64_t len)
{
    struct pt_gather g;
    bool young;

    pt_gather_init(&g);
    lab_begin(l, ia, len, false);
    assert_int_equal(pt_age(&l->t.pt, ia, len, &young, &g), 0);
    tp_assert(!young || !pt_gather_empty(&g), "no record for an aged leaf\n");
    lab_end(l, &g);
}

void lab_replace(struct lab *l, uint64_t ia, uint64_t oa, uint64_t len)
{
    uint32_t prot = tp_map_at(&l->t.map, ia)->prot;
    struct pt_gather g;

    pt_gather_init(&g);
    lab_begin(l, ia, len, false);
    l->missing = true; /* either address, until the invalidation completed */
    assert_int_equal(pt_replace(&l->t.pt, ia, oa, len, &g), 0);
    tp_assert(tp_covered(&g, ia, ia + len - 1), "%s: no record of a refresh\n",
              model_verdict_name(MODEL_V_STALE));
    tp_map_del(&l->t.map, ia, ia + len - 1);
    tp_map_add(&l->t.map, ia, ia + len - 1, oa, prot);
    lab_end(l, &g);
}

int lab_join(struct lab *l, uint64_t ia, uint64_t len)
{
    struct pt_gather g;
    int made;

    pt_gather_init(&g);
    lab_begin(l, ia, len, false);
    made = pt_join(&l->t.pt, ia, len, 0, &g);
    assert_true(made >= 0);
    tp_assert((made == 0) == pt_gather_empty(&g), "%s: no record of a join\n",
              model_verdict_name(MODEL_V_STALE_SIZE));
    lab_end(l, &g);
    return made;
}

void lab_grow(struct lab *l, uint64_t last)
{
    struct model_walk_cfg walk;
    struct pt_gather g;

    pt_gather_init(&g);
    tp_pool(&l->t, 6);
    lab_begin(l, l->window, l->window_len, false);
    assert_int_equal(pt_grow(&l->t.pt, last, &l->t.pool, &g), 0);
    assert_true(g.root);
    walk = tp_walk_cfg(&l->t.pt);
    for (unsigned i = 0; i < 4; i++) {
        lab_probe(l); /* by the old root */
    }
    assert_int_equal(model_live_root(l->live, &walk), MODEL_V_OK);
    l->t.walk = walk;
    l->ctx.walk = walk;
    lab_end(l, &g);
}
