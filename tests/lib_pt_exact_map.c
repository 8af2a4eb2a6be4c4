/* SPDX-License-Identifier: BSD-2-Clause */
/* The exact oracle: what maps and unmaps make of the lists. */
#include "lib_pt_exact_int.h"

/* --- map --- */

/* All tables that are needed for a leaf of height h at ia. */
static void add_tables(struct ex *x, unsigned h, uint64_t ia)
{
    for (unsigned at = x->top; at-- > h;) {
        if (!ex_any_table(x, at, ia, ia)) {
            ex_add_table(x, at, ia);
        }
    }
}

/* One leaf of 2^k entries of height h: is there nothing in its way, and no table? */
static bool fits(const struct ex *x, unsigned h, unsigned k, uint64_t ia, uint64_t oa, uint64_t len,
                 uint64_t cap)
{
    uint64_t size = ex_size(x, h) << k;

    return ex_may_be(x, h, k) && ((ia | oa) & (size - 1)) == 0 && size <= len &&
           (cap == 0 || size <= cap) && (h == 0 || !ex_any_table(x, h - 1, ia, ia + (size - 1)));
}

int ex_do_map(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap)
{
    int ret = ex_range(x, ia, len);
    unsigned at;

    ret = ret == 0 ? ex_output(x, oa, len) : ret;
    if (ret != 0 || ex_any(x, ia, ia + (len - 1))) {
        return ret != 0 ? ret : -EEXIST;
    }
    if (x->t.pt.cfg.live.exec_4k && (prot & PT_EXEC)) {
        cap = ex_size(x, 0);
    }
    at = ex_first(x, ia);
    while (len > 0) {
        unsigned h = x->s->tall, k = x->s->set_max[h];
        struct ex_leaf *l;

        /* From the largest leaf down; tracked ones are of one entry. */
        while (!fits(x, h, k, ia, oa, len, cap) || (k != 0 && (prot & PT_TRACK))) {
            if (k != 0) {
                k--;
            } else {
                h--;
                k = x->s->set_max[h];
            }
        }
        add_tables(x, h, ia);
        l = ex_splice(x, at++, 0, 1);
        *l =
            (struct ex_leaf){ .ia = ia, .oa = oa, .prot = tp_reported(&x->t, prot), .young = true };
        l->h = (uint8_t)h;
        l->shift = (uint8_t)(x->s->page + h * x->s->index + k);
        ia += ex_leaf_size(l), oa += ex_leaf_size(l), len -= ex_leaf_size(l);
    }
    return 0;
}

int ex_do_map_leaf(struct ex *x, uint64_t ia, uint64_t oa, int lvl, uint32_t prot)
{
    unsigned h = (unsigned)(3 - lvl);
    uint64_t size = ex_size(x, h);
    int ret;

    if (lvl > 3 || !ex_may_be(x, h, 0) || ((ia | oa) & (size - 1)) != 0) {
        return -EINVAL;
    }
    ret = ex_range(x, ia, size);
    ret = ret == 0 ? ex_output(x, oa, size) : ret;
    if (ret != 0) {
        return ret;
    }
    if (h > 0 && x->t.pt.cfg.live.exec_4k && (prot & PT_EXEC)) {
        return -EINVAL;
    }
    if (ex_any(x, ia, ia) || (h > 0 && ex_any_table(x, h - 1, ia, ia))) {
        return -EEXIST;
    }
    add_tables(x, h, ia);
    *ex_splice(x, ex_first(x, ia), 0, 1) = (struct ex_leaf){
        ia, oa, tp_reported(&x->t, prot), (uint8_t)(x->s->page + h * x->s->index), (uint8_t)h, true
    };
    return 0;
}

/* --- break, unmap, trim --- */

/* Leaves of one table with no other table between them? They are one record, holes and all. */
static bool one_run(const struct ex *x, const struct ex_leaf *a, const struct ex_leaf *b)
{
    return a->h == b->h && (a->h == x->top || (a->ia ^ b->ia) < ex_table_size(x, a->h)) &&
           (a->h == 0 || !ex_any_table(x, a->h - 1u, a->ia, b->ia));
}

/* Tells of the leaves from number i up to `last`, as far as they are one run; the next one's number. */
static unsigned tell_run(struct ex *x, unsigned i, uint64_t last)
{
    unsigned from = i;

    while (i < x->leaves && x->leaf[i].ia <= last && one_run(x, &x->leaf[from], &x->leaf[i])) {
        uint32_t prot = x->leaf[i++].prot;

        x->told.dirty |= (prot & (PT_TRACK | PT_DIRTY)) == (PT_TRACK | PT_DIRTY);
    }
    ex_tell(x, x->leaf[from].ia, ex_leaf_last(&x->leaf[i - 1]), ex_level(x->leaf[from].h), false);
    return i;
}

static void tell_runs(struct ex *x, uint64_t ia, uint64_t last)
{
    unsigned i = ex_first(x, ia);

    while (i < x->leaves && x->leaf[i].ia <= last) {
        i = tell_run(x, i, last);
    }
}

static void drop_leaves(struct ex *x, uint64_t ia, uint64_t last)
{
    unsigned from = ex_first(x, ia), n = 0;

    while (from + n < x->leaves && x->leaf[from + n].ia <= last) {
        n++;
    }
    (void)ex_splice(x, from, n, 0);
}

int ex_do_break(struct ex *x, uint64_t ia, uint64_t len)
{
    int ret = ex_whole(x, ia, len);

    if (ret == 0) {
        tell_runs(x, ia, ia + (len - 1));
        drop_leaves(x, ia, ia + (len - 1));
    }
    return ret;
}

/* The tallest table that has `at` in it and lies in the range, or NULL. */
static const struct ex_table *table_inside(const struct ex *x, uint64_t at, uint64_t ia,
                                           uint64_t last)
{
    const struct ex_table *best = NULL;

    for (unsigned i = 0; i < x->tables; i++) {
        const struct ex_table *t = &x->table[i];

        if (t->ia >= ia && ex_table_last(x, t) <= last && t->ia <= at &&
            ex_table_last(x, t) >= at && (!best || t->h > best->h)) {
            best = t;
        }
    }
    return best;
}

/* The first address from `at` on that a table inside the range begins with, or `last` + 1. */
static uint64_t next_inside(const struct ex *x, uint64_t at, uint64_t ia, uint64_t last)
{
    uint64_t best = last + 1;

    for (unsigned i = 0; i < x->tables; i++) {
        const struct ex_table *t = &x->table[i];

        if (t->ia >= ia && ex_table_last(x, t) <= last && t->ia >= at && t->ia < best) {
            best = t->ia;
        }
    }
    return best;
}

int ex_do_unmap(struct ex *x, uint64_t ia, uint64_t len)
{
    uint64_t last = ia + (len - 1), at = ia;
    int ret = ex_whole(x, ia, len);

    if (ret != 0) {
        return ret;
    }
    /* Where hardware may be making leaves dirty each is looked at; else tables go as they are. */
    if (x->t.pt.cfg.live.hw_dirty) {
        tell_runs(x, ia, last);
        drop_leaves(x, ia, last);
    }
    while (at <= last) {
        const struct ex_table *t = table_inside(x, at, ia, last);
        unsigned i = ex_first(x, at);

        if (t) {
            ex_tell_table(x, t);
            at = ex_table_last(x, t) + 1;
        } else {
            at = next_inside(x, at, ia, last);
            while (i < x->leaves && x->leaf[i].ia < at) {
                i = tell_run(x, i, at - 1);
            }
        }
    }
    drop_leaves(x, ia, last);
    for (unsigned i = x->tables; i-- > 0;) {
        if (x->table[i].ia >= ia && ex_table_last(x, &x->table[i]) <= last) {
            ex_drop_table(x, i);
            x->told.freed++;
        }
    }
    return 0;
}

int ex_do_trim(struct ex *x, uint64_t ia, uint64_t len)
{
    uint64_t last = ia + (len - 1);
    int ret = ex_range(x, ia, len);

    for (unsigned h = 0; ret == 0 && h < x->top; h++) {
        for (unsigned i = x->tables; i-- > 0;) {
            struct ex_table t = x->table[i];

            if (t.h == h && t.ia <= last && ex_table_last(x, &t) >= ia &&
                !ex_any(x, t.ia, ex_table_last(x, &t)) &&
                (h == 0 || !ex_any_table(x, h - 1, t.ia, ex_table_last(x, &t)))) {
                ex_tell_table(x, &t);
                ex_drop_table(x, i);
                x->told.freed++;
            }
        }
    }
    return ret;
}

/* --- the tree as a whole --- */

int ex_do_grow(struct ex *x, uint64_t last)
{
    if (last >= tp_top(&x->t)) {
        return -ERANGE;
    }
    while (last >= ex_reach(x)) {
        ex_add_table(x, x->top++, 0); /* the start table becomes one like others */
        x->told.root = true;
    }
    return 0;
}

void ex_do_clear(struct ex *x)
{
    x->told.freed += x->tables;
    x->told.all = true;
    x->told.n = 0;
    x->tables = 0;
    x->leaves = 0;
}
