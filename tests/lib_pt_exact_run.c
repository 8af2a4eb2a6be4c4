/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of the engine, each held against the exact oracle: result, tables taken, records, every entry. */
#include "lib_pt_exact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX(n) ((unsigned long)(n))

/* --- what stands in the tables, read by the model --- */

struct seen {
    const struct ex *x;
    unsigned leaf; /* the next one, or the one that goes on */
    unsigned tables;
    uint64_t counts[4];
};

static void see_leaf(struct seen *s, const struct model_desc *d, unsigned h, uint64_t ia)
{
    const struct ex *x = s->x;
    const struct tp *t = &x->t;
    struct model_leaf got = model_leaf_of(&t->walk, d, ia, 3 - (int)h);
    const struct ex_leaf *l;
    bool arm = t->walk.fmt == &model_arm, dirty, clean;

    while (s->leaf < x->leaves &&
           x->leaf[s->leaf].ia + (((uint64_t)1 << x->leaf[s->leaf].shift) - 1) < ia) {
        s->leaf++;
    }
    l = &x->leaf[s->leaf];
    tp_assert(s->leaf < x->leaves && l->ia == got.ia && l->shift == got.shift && l->h == h,
              "exact-leaves: %s: %s: a leaf for %#lx of 2^%u bytes\n", x->name, x->call,
              HEX(got.ia), got.shift);
    tp_assert(l->oa == got.oa, "exact-leaves: %s: %s: %#lx goes to %#lx, not %#lx\n", x->name,
              x->call, HEX(l->ia), HEX(got.oa), HEX(l->oa));
    dirty = (l->prot & PT_DIRTY) && (!arm || (l->prot & PT_TRACK));
    clean = (l->prot & (PT_WRITE | PT_DIRTY)) == PT_WRITE;
    tp_assert((d->perms & (7 << MODEL_USER_SHIFT)) == tp_perms(t, l->prot) && d->dirty == dirty &&
                  d->clean == clean && d->af == l->young && d->memtype == tp_memtype(t, l->prot),
              "exact-leaves: %s: %s: %#lx has other rights or flags\n", x->name, x->call,
              HEX(l->ia));
    s->counts[h < 3 ? 3 - h : 0] += ia == l->ia;
}

static void see_table(struct seen *s, uint64_t pa, uint64_t ia, unsigned h, unsigned n)
{
    const struct model_walk_cfg *walk = &s->x->t.walk;
    const uint64_t *e = port_va(pa), size = ex_size(s->x, h);

    for (unsigned i = 0; i < n; i++, ia += size) {
        struct model_desc d;
        bool known = false;

        if (e[i] == 0) {
            continue;
        }
        walk->fmt->decode(walk, 3 - (int)h, e[i], &d);
        if (d.kind == MODEL_DESC_LEAF) {
            see_leaf(s, &d, h, ia);
            continue;
        }
        assert_int_equal(d.kind, MODEL_DESC_TABLE);
        for (unsigned k = 0; k < s->x->tables && !known; k++) {
            known = s->x->table[k].h == h - 1 && s->x->table[k].ia == ia;
        }
        tp_assert(known, "exact-counts: %s: %s: a table for %#lx, height %u\n", s->x->name,
                  s->x->call, HEX(ia), h - 1);
        s->tables++;
        see_table(s, d.pa, ia, h - 1, 1u << s->x->s->index);
    }
}

static void look(const struct ex *x)
{
    struct seen s = { .x = x };
    struct pt_counts n = tp_count(&x->t.pt);
    uint64_t want[4] = { 0 };

    for (unsigned i = 0; i < x->leaves; i++) {
        want[x->leaf[i].h < 3 ? 3 - x->leaf[i].h : 0]++;
    }
    see_table(&s, x->t.pt.root, 0, x->top, model_root_entries(&x->t.walk));
    tp_assert(s.tables == x->tables && n.tables == x->tables,
              "exact-counts: %s: %s: %u tables, counted %lu, must be %u\n", x->name, x->call,
              s.tables, HEX(n.tables), x->tables);
    for (unsigned i = 0; i < 4; i++) {
        tp_assert(s.counts[i] == want[i] && n.leaves[i] == want[i],
                  "exact-counts: %s: %s: level %u has %lu leaves, counted %lu, must be %lu\n",
                  x->name, x->call, i, HEX(s.counts[i]), HEX(n.leaves[i]), HEX(want[i]));
    }
}

/* --- the gather --- */

static void by_address(struct pt_inv *r, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        for (unsigned k = i; k > 0 && r[k].ia < r[k - 1].ia; k--) {
            struct pt_inv swap = r[k];

            r[k] = r[k - 1];
            r[k - 1] = swap;
        }
    }
}

static void print_records(const char *who, const struct pt_inv *r, unsigned n, bool all)
{
    print_error("%s:%s", who, all ? " all" : "");
    for (unsigned i = 0; i < n; i++) {
        print_error(" [%#lx, %#lx] level %d%s", HEX(r[i].ia), HEX(r[i].last),
                    r[i].level == PT_LEVEL_ANY ? -99 : r[i].level, r[i].tables ? " tables" : "");
    }
    print_error("\n");
}

static void records(const struct ex *x)
{
    struct pt_inv got[PT_GATHER_MAX], want[PT_GATHER_MAX];
    const struct ex_told *told = &x->told;
    bool same = x->g.n == told->n && x->g.all == told->all;

    memcpy(got, x->g.inv, sizeof(got));
    memcpy(want, told->inv, sizeof(want));
    by_address(got, x->g.n);
    by_address(want, told->n);
    for (unsigned i = 0; same && i < told->n; i++) {
        same = got[i].ia == want[i].ia && got[i].last == want[i].last &&
               got[i].level == want[i].level && got[i].tables == want[i].tables;
    }
    if (!same) {
        print_records("recorded", got, x->g.n, x->g.all);
        print_records("must be", want, told->n, told->all);
    }
    tp_assert(same, "exact-records: %s: %s\n", x->name, x->call);
    tp_assert(x->g.dirty == told->dirty && x->g.more == told->more && x->g.root == told->root,
              "exact-records: %s: %s: dirty %d, more %d, root %d\n", x->name, x->call, x->g.dirty,
              x->g.more, x->g.root);
}

void ex_settle(struct ex *x)
{
    struct tp *t = &x->t;
    uint64_t back = tp_done(t, &x->g);

    tp_assert(back == x->told.freed, "exact-counts: %s: %s: %lu tables came back, must be %u\n",
              x->name, x->call, HEX(back), x->told.freed);
    pt_gather_init(&x->g);
    x->told = (struct ex_told){ 0 };
    tp_assert(hosted_live() ==
                  t->live0 + t->pt.root_pages + (x->tables + t->pool.count) * tp_table_pages(t),
              "exact-counts: %s: %s: %lu pages allocated\n", x->name, x->call, HEX(hosted_live()));
}

/* --- calls --- */

static void begin(struct ex *x, const char *call, uint64_t ia, uint64_t len, uint64_t arg)
{
    snprintf(x->call, sizeof(x->call), "%s of %#lx, %#lx bytes, %#lx", call, HEX(ia), HEX(len),
             HEX(arg));
    x->need = 0;
}

static int end(struct ex *x, int ret, int want)
{
    tp_assert(ret == want, "exact-result: %s: %s: %d, must be %d\n", x->name, x->call, ret, want);
    records(x);
    look(x);
    if (!x->hold) {
        ex_settle(x);
    }
    return ret;
}

/* The call with one table too few, which must change nothing (the look at the end would see it), and
 * then with as many as it takes. */
#define WITH_TABLES(x, want, ret, run)                                                  \
    do {                                                                                \
        if ((want) == 0 && (x)->need != 0) {                                            \
            tp_pool(&(x)->t, (x)->need - 1);                                            \
            assert_int_equal((run), -ENOMEM);                                           \
        }                                                                               \
        tp_pool(&(x)->t, (want) == 0 ? (x)->need : 4);                                  \
        (ret) = (run);                                                                  \
        tp_assert((x)->t.pool.count == ((want) == 0 ? 0 : 4),                           \
                  "exact-counts: %s: %s: %u of %u tables left\n", (x)->name, (x)->call, \
                  (x)->t.pool.count, (x)->need);                                        \
    } while (0)

int ex_map(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap)
{
    bool bound = x->t.pt.cfg.live.exec_4k && !(prot & PT_EXEC); /* then need_map may say more */
    struct pt *pt = &x->t.pt;
    uint32_t need = 0;
    int ret, want, asked = pt_need_map(pt, ia, oa, len, cap, &need);

    begin(x, "map", ia, len, cap);
    prot |= x->t.user;
    want = ex_do_map(x, ia, oa, len, prot, cap);
    tp_assert(asked == want && (need == x->need || (bound && need > x->need)),
              "exact-counts: %s: %s: needs %u tables, not %u\n", x->name, x->call, x->need, need);
    WITH_TABLES(x, want, ret, pt_map(pt, ia, oa, len, prot, cap, &x->t.pool));
    return end(x, ret, want);
}

int ex_map_leaf(struct ex *x, uint64_t ia, uint64_t oa, unsigned h, uint32_t prot)
{
    int ret, want;

    begin(x, "map of a leaf", ia, ex_size(x, h), h);
    prot |= x->t.user;
    want = ex_do_map_leaf(x, ia, oa, 3 - (int)h, prot);
    WITH_TABLES(x, want, ret,
                pt_map_leaf(&x->t.pt, ia, oa, (int8_t)(3 - (int)h), prot, &x->t.pool));
    return end(x, ret, want);
}

int ex_break(struct ex *x, uint64_t ia, uint64_t len)
{
    begin(x, "break", ia, len, 0);
    return end(x, pt_break(&x->t.pt, ia, len, &x->g), ex_do_break(x, ia, len));
}

int ex_unmap(struct ex *x, uint64_t ia, uint64_t len)
{
    begin(x, "unmap", ia, len, 0);
    return end(x, pt_unmap(&x->t.pt, ia, len, &x->g), ex_do_unmap(x, ia, len));
}

int ex_trim(struct ex *x, uint64_t ia, uint64_t len)
{
    begin(x, "trim", ia, len, 0);
    return end(x, pt_trim(&x->t.pt, ia, len, &x->g), ex_do_trim(x, ia, len));
}

int ex_cut(struct ex *x, uint64_t ia, uint64_t len)
{
    int ret, want, asked = pt_cut_check(&x->t.pt, ia, len);

    begin(x, "cut", ia, len, 0);
    want = ex_do_cut(x, ia, len);
    assert_int_equal(asked, want);
    WITH_TABLES(x, want, ret, pt_cut(&x->t.pt, ia, len, &x->t.pool, &x->g));
    return end(x, ret, want);
}

int ex_merge(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap)
{
    begin(x, "merge", ia, len, cap);
    return end(x, pt_merge(&x->t.pt, ia, len, cap, &x->g), ex_do_merge(x, ia, len, cap));
}

int ex_join(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap)
{
    begin(x, "join", ia, len, cap);
    return end(x, pt_join(&x->t.pt, ia, len, cap, &x->g), ex_do_join(x, ia, len, cap));
}

int ex_replace(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len)
{
    int asked = pt_replace_check(&x->t.pt, ia, oa, len), want;

    begin(x, "refresh", ia, len, oa);
    want = ex_do_replace(x, ia, oa, len);
    assert_int_equal(asked, want);
    return end(x, pt_replace(&x->t.pt, ia, oa, len, &x->g), want);
}

int ex_protect(struct ex *x, uint64_t ia, uint64_t len, uint32_t prot)
{
    begin(x, "protect", ia, len, prot);
    prot |= x->t.user;
    return end(x, pt_protect(&x->t.pt, ia, len, prot, &x->g), ex_do_protect(x, ia, len, prot));
}

int ex_track(struct ex *x, uint64_t ia, uint64_t len, bool on)
{
    begin(x, on ? "start of tracking" : "end of tracking", ia, len, 0);
    return end(x, pt_track(&x->t.pt, ia, len, on, &x->g), ex_do_track(x, ia, len, on));
}

int ex_harvest(struct ex *x, uint64_t ia, uint64_t len)
{
    size_t words = len / ex_size(x, 0) / 64 + 1;
    uint64_t *want = calloc(words, 8), *got = calloc(words, 8);
    int ret;

    assert_true(want && got);
    begin(x, "harvest", ia, len, 0);
    ret = pt_dirty_read_clear(&x->t.pt, ia, len, got, ex_size(x, 0), &x->g);
    ret = end(x, ret, ex_do_harvest(x, ia, len, want));
    tp_assert(memcmp(want, got, words * 8) == 0, "exact-records: %s: %s: other bits\n", x->name,
              x->call);
    free(want);
    free(got);
    return ret;
}

int ex_age(struct ex *x, uint64_t ia, uint64_t len)
{
    bool young = false, want;
    int ret;

    begin(x, "age", ia, len, 0);
    ret = pt_age(&x->t.pt, ia, len, &young, &x->g);
    ret = end(x, ret, ex_do_age(x, ia, len, &want));
    assert_int_equal(young, want);
    return ret;
}

int ex_grow(struct ex *x, uint64_t last)
{
    int ret, want;

    begin(x, "growing", 0, last + 1, 0);
    want = ex_do_grow(x, last);
    WITH_TABLES(x, want, ret, pt_grow(&x->t.pt, last, &x->t.pool, &x->g));
    x->t.walk = tp_walk_cfg(&x->t.pt);
    return end(x, ret, want);
}

void ex_clear(struct ex *x)
{
    begin(x, "clear", 0, ex_reach(x), 0);
    ex_do_clear(x);
    pt_clear(&x->t.pt, &x->g);
    (void)end(x, 0, 0);
}
