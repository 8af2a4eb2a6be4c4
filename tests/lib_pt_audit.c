/* SPDX-License-Identifier: BSD-2-Clause */
/* The oracle's list of ranges, and trees against it: audits, and what a refused call may not change. */
#include "lib_pt.h"

#include <stdlib.h>
#include <string.h>

/* --- oracle --- */

static unsigned first_run(const struct tp_map *m, uint64_t ia)
{
    unsigned lo = 0, hi = m->n;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;

        if (m->run[mid].last < ia) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

const struct tp_run *tp_map_at(const struct tp_map *m, uint64_t ia)
{
    unsigned i = first_run(m, ia);

    return i < m->n && m->run[i].ia <= ia ? &m->run[i] : NULL;
}

bool tp_map_any(const struct tp_map *m, uint64_t ia, uint64_t last)
{
    unsigned i = first_run(m, ia);

    return i < m->n && m->run[i].ia <= last;
}

static void insert(struct tp_map *m, unsigned at, struct tp_run r)
{
    if (m->n == m->max) {
        m->max = m->max ? 2 * m->max : 64;
        m->run = realloc(m->run, m->max * sizeof(*m->run));
        assert_non_null(m->run);
    }
    memmove(&m->run[at + 1], &m->run[at], (m->n - at) * sizeof(*m->run));
    m->run[at] = r;
    m->n++;
}

void tp_map_add(struct tp_map *m, uint64_t ia, uint64_t last, uint64_t oa, uint32_t prot)
{
    assert_false(tp_map_any(m, ia, last));
    insert(m, first_run(m, ia), (struct tp_run){ ia, last, oa, prot });
}

/* A run boundary at ia. */
static void split(struct tp_map *m, uint64_t ia)
{
    unsigned i = first_run(m, ia);

    if (i < m->n && m->run[i].ia < ia) {
        struct tp_run r = m->run[i];

        m->run[i].last = ia - 1;
        r.oa += ia - r.ia;
        r.ia = ia;
        insert(m, i + 1, r);
    }
}

void tp_map_del(struct tp_map *m, uint64_t ia, uint64_t last)
{
    unsigned i, j;

    split(m, ia);
    split(m, last + 1);
    i = first_run(m, ia);
    for (j = i; j < m->n && m->run[j].last <= last; j++) {
    }
    if (j > i) {
        memmove(&m->run[i], &m->run[j], (m->n - j) * sizeof(*m->run));
        m->n -= j - i;
    }
}

void tp_map_prot(struct tp_map *m, uint64_t ia, uint64_t last, uint32_t clear, uint32_t set)
{
    split(m, ia);
    split(m, last + 1);
    for (unsigned i = first_run(m, ia); i < m->n && m->run[i].last <= last; i++) {
        m->run[i].prot = (m->run[i].prot & ~clear) | set;
    }
}

/* --- audits --- */

struct counts {
    const struct tp *t;
    uint64_t leaves[4];
    uint64_t tables;
    unsigned at; /* the audit goes upwards: the first run that does not end before it */
};

/* The run that maps ia, for an ia that only grows. */
static const struct tp_run *run_at(struct counts *c, uint64_t ia)
{
    const struct tp_map *m = &c->t->map;

    while (c->at < m->n && m->run[c->at].last < ia) {
        c->at++;
    }
    return c->at < m->n && m->run[c->at].ia <= ia ? &m->run[c->at] : NULL;
}

static bool any_run(struct counts *c, uint64_t ia, uint64_t last)
{
    const struct tp_map *m = &c->t->map;

    return run_at(c, ia) || (c->at < m->n && m->run[c->at].ia <= last);
}

/* One entry of a leaf against the oracle: all it covers, in one run or several alike. */
static void audit_entry(struct counts *c, const struct model_desc *d, int level, uint64_t ia)
{
    const struct tp *t = c->t;
    struct model_leaf leaf = model_leaf_of(&t->walk, d, ia, level);
    uint64_t last = ia + (((uint64_t)1 << d->shift) - 1), pa = leaf.oa + (ia - leaf.ia);
    bool dirty = false, clean = false, arm = t->walk.fmt == &model_arm;

    tp_assert(!d->reserved && !d->address_size && !d->nt && (!d->contig || t->walk.contig),
              "%s: bad leaf for %#lx\n", model_verdict_name(MODEL_V_RESERVED_BITS),
              (unsigned long)ia);
    for (uint64_t at = ia; at <= last;) {
        const struct tp_run *r = run_at(c, at);
        uint32_t prot;
        uint8_t perms;

        tp_assert(r, "%#lx is mapped (level %d), and must not be\n", (unsigned long)at, level);
        prot = r->prot;
        tp_assert(pa + (at - ia) == r->oa + (at - r->ia),
                  "wrong-output-address: %#lx goes to %#lx, not %#lx\n", (unsigned long)at,
                  (unsigned long)(pa + (at - ia)), (unsigned long)(r->oa + (at - r->ia)));
        perms = tp_perms(t, prot);
        tp_assert((d->perms & (7 << MODEL_USER_SHIFT)) == perms,
                  "wrong-permissions: %#lx has %#x, not %#x\n", (unsigned long)at, d->perms, perms);
        tp_assert(d->memtype == tp_memtype(t, prot), "wrong-attributes: %#lx has type %d\n",
                  (unsigned long)at, d->memtype);
        tp_assert(!arm || (d->clean || d->dirty) == ((prot & PT_TRACK) != 0),
                  "wrong-attributes: tracking of %#lx\n", (unsigned long)at);
        dirty = dirty || ((prot & PT_DIRTY) && (!arm || (prot & PT_TRACK)));
        clean = clean || (prot & (PT_WRITE | PT_DIRTY)) == PT_WRITE;
        tp_assert(!arm || t->walk.stage == 2 || d->global == !(prot & PT_USER),
                  "wrong-attributes: nG of %#lx\n", (unsigned long)at);
        at = (r->last < last ? r->last : last) + 1;
    }
    tp_assert(d->dirty == dirty && d->clean == (clean && !dirty),
              "dirty-bit-lost: %#lx is %s, must be %s\n", (unsigned long)ia,
              d->dirty ? "dirty" : "clean", dirty ? "dirty" : "clean");
    tp_assert(leaf.shift == d->shift || !(d->clean || d->dirty) || !arm,
              "a tracked leaf of several entries at %#lx\n", (unsigned long)ia);
    c->leaves[level > 0 ? level : 0] += ia == leaf.ia;
}

static void audit_table(struct counts *c, uint64_t pa, uint64_t ia, int level, unsigned n)
{
    const struct model_format *fmt = c->t->walk.fmt;
    uint8_t shift = fmt->shift(&c->t->walk, level);

    for (unsigned i = 0; i < n; i++, pa += 8) {
        uint64_t at = ia + ((uint64_t)i << shift);
        bool ok = false;
        uint64_t raw = model_phys_read64(&tp_phys, pa, &ok);
        struct model_desc d;

        assert_true(ok);
        if (raw == 0) {
            tp_assert(!any_run(c, at, at + (((uint64_t)1 << shift) - 1)),
                      "a hole at %#lx (level %d) that must be mapped\n", (unsigned long)at, level);
            continue;
        }
        fmt->decode(&c->t->walk, level, raw, &d);
        tp_assert(d.kind != MODEL_DESC_INVALID, "an invalid entry for %#lx is not zero\n",
                  (unsigned long)at);
        if (d.kind == MODEL_DESC_LEAF) {
            audit_entry(c, &d, level, at);
        } else {
            tp_assert(!d.reserved, "reserved bits in a table entry for %#lx\n", (unsigned long)at);
            tp_assert(model_phys_kind(&tp_phys, d.pa) == MODEL_PAGE_TABLE,
                      "data-page-parsed-as-table: %#lx for %#lx\n", (unsigned long)d.pa,
                      (unsigned long)at);
            assert_int_equal(d.next_level, level + 1);
            c->tables++;
            audit_table(c, d.pa, at, level + 1, 1u << (model_table_shift(&c->t->walk) - 3));
        }
    }
}

static void audit_next(const struct tp *t)
{
    struct counts c = { .t = t };
    struct pt_leaf leaf;
    uint64_t ia = 0, from = 0;

    while (pt_next(&t->pt, &ia, tp_top(t) - 1, &leaf)) {
        assert_true(leaf.ia <= from && leaf.last >= from);
        assert_int_equal(ia, leaf.last + 1);
        if (leaf.present) {
            const struct tp_run *r = run_at(&c, leaf.ia);

            assert_non_null(r);
            assert_int_equal(leaf.oa, r->oa + (leaf.ia - r->ia));
            assert_int_equal(leaf.prot & ~(uint32_t)PT_DIRTY, r->prot & ~(uint32_t)PT_DIRTY);
            assert_int_equal(leaf.last - leaf.ia, ((uint64_t)1 << leaf.shift) - 1);
            assert_int_equal(leaf.shift, tp_leaf_shift(t, leaf.ia));
            assert_int_equal(pt_translate(&t->pt, leaf.last), leaf.oa + (leaf.last - leaf.ia));
        } else {
            assert_int_equal(pt_translate(&t->pt, leaf.ia), PT_NO_OA);
            assert_false(any_run(&c, leaf.ia, leaf.last));
            assert_int_equal(leaf.prot, 0);
        }
        from = ia;
    }
    assert_int_equal(ia, tp_top(t));
}

void tp_audit(const struct tp *t)
{
    struct counts c = { .t = t };
    struct pt_counts n = tp_count(&t->pt);
    struct pt_table_iter it = { 0 };
    uint64_t pa, pages = 0;

    audit_table(&c, t->pt.root, 0, t->pt.cfg.start_level, model_root_entries(&t->walk));
    for (unsigned l = 0; l < 4; l++) {
        tp_assert(c.leaves[l] == n.leaves[l], "level %u has %lu leaves, counted %lu\n", l,
                  (unsigned long)c.leaves[l], (unsigned long)n.leaves[l]);
    }
    tp_assert(c.tables == n.tables, "%lu tables, counted %lu\n", (unsigned long)c.tables,
              (unsigned long)n.tables);
    tp_assert(hosted_live() ==
                  t->live0 + t->pt.root_pages + (c.tables + t->pool.count) * tp_table_pages(t),
              "%lu pages allocated: a table page leaked\n", (unsigned long)hosted_live());
    while (pt_next_table(&t->pt, &it, &pa)) {
        assert_int_equal(model_phys_kind(&tp_phys, pa), MODEL_PAGE_TABLE);
        assert_true(pages >= t->pt.root_pages || pa == t->pt.root + pages * PAGE_SIZE);
        pages++;
    }
    assert_int_equal(pages, t->pt.root_pages + c.tables);
    audit_next(t);
}

/* One table page, or one 4 KiB page of the start tables. */
static void snap_page(struct tp_snap *s, uint64_t pa, size_t bytes)
{
    s->words[s->n++] = pa;
    memcpy(&s->words[s->n], port_va(pa), bytes);
    s->n += bytes / 8;
}

void tp_snap(const struct tp *t, struct tp_snap *s)
{
    struct pt_table_iter it = { 0 };
    size_t unit = pt_table_bytes(t->pt.cfg.format);
    uint64_t pa, tables;

    *s = (struct tp_snap){ .pt = t->pt, .pool = t->pool, .count = tp_count(&t->pt) };
    tables = s->count.tables + t->pool.count;
    s->words = malloc(tables * (unit + 8) + t->pt.root_pages * (PAGE_SIZE + 8));
    assert_non_null(s->words);
    for (unsigned i = 0; pt_next_table(&t->pt, &it, &pa); i++) {
        snap_page(s, pa, i < t->pt.root_pages ? PAGE_SIZE : unit);
    }
    /* Pool pages: the chain and that they are still zero. */
    for (pa = t->pool.head; pa != 0; pa = *(const uint64_t *)port_va(pa)) {
        snap_page(s, pa, unit);
    }
    assert_int_equal(s->n, tables * (unit / 8 + 1) + t->pt.root_pages * (PAGE_SIZE / 8 + 1));
}

void tp_assert_same(const struct tp *t, struct tp_snap *s)
{
    struct tp_snap now;

    tp_snap(t, &now);
    tp_assert(s->pt.root == now.pt.root && s->pt.root_pages == now.pt.root_pages &&
                  s->count.tables == now.count.tables &&
                  memcmp(s->count.leaves, now.count.leaves, sizeof(now.count.leaves)) == 0,
              "refused call changed struct pt\n");
    tp_assert(s->pool.head == now.pool.head && s->pool.count == now.pool.count,
              "refused call changed the pool\n");
    tp_assert(s->n == now.n && memcmp(s->words, now.words, now.n * 8) == 0,
              "refused call changed a table\n");
    free(s->words);
    free(now.words);
}
