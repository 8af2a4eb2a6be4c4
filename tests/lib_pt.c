/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_pt.h"

#include <stdlib.h>
#include <string.h>

#define LIVE_ALL                                  \
    {                                             \
        .bbm = 2, .hw_af = true, .hw_dirty = true \
    }

const struct tp_conf tp_confs[] = {
    { "s2 ia48 level 0", { PT_ARM_S2_4K, 48, 48, 0, false, false, false, false, LIVE_ALL } },
    { "s2 ia40 level 0 fwb xnx", { PT_ARM_S2_4K, 40, 44, 0, true, true, false, false, LIVE_ALL } },
    { "s2 ia39 level 1", { PT_ARM_S2_4K, 39, 40, 1, false, false, true, false, LIVE_ALL } },
    { "s2 ia40 level 1, 2 start tables",
      { PT_ARM_S2_4K, 40, 40, 1, true, false, false, false, LIVE_ALL } },
    { "s2 ia43 level 1, 16 start tables",
      { PT_ARM_S2_4K, 43, 48, 1, false, true, false, false, LIVE_ALL } },
    { "s2 ia31 level 1, 2 entries",
      { PT_ARM_S2_4K, 31, 36, 1, false, false, false, false, LIVE_ALL } },
    { "s2 ia34 level 2, 16 start tables",
      { PT_ARM_S2_4K, 34, 36, 2, false, false, false, false, LIVE_ALL } },
    { "s2 ia32 level 2, 4 start tables",
      { PT_ARM_S2_4K, 32, 48, 2, false, false, false, false, LIVE_ALL } },
    { "s2 ia25 level 2, 16 entries",
      { PT_ARM_S2_4K, 25, 32, 2, false, false, false, false, LIVE_ALL } },
    { "s1 ia48 level 0", { PT_ARM_S1_4K, 48, 48, 0, false, false, false, false, LIVE_ALL } },
    { "s1 ia39 level 1", { PT_ARM_S1_4K, 39, 42, 1, false, false, true, false, LIVE_ALL } },
    { "s1 ia30 level 2", { PT_ARM_S1_4K, 30, 40, 2, false, false, false, false, LIVE_ALL } },
};
const unsigned tp_conf_count = sizeof(tp_confs) / sizeof(tp_confs[0]);

struct model_phys tp_phys;
struct model_mem tp_mem;
void (*tp_on_free)(void *ctx, uint64_t pa);
void *tp_on_free_ctx;

static void phys_once(void)
{
    static bool done;

    if (!done) {
        model_phys_init(&tp_phys);
        assert_true(model_phys_attach(&tp_phys, HOSTED_BASE, hosted_arena(), HOSTED_SIZE));
        tp_mem = model_phys_mem(&tp_phys, true);
        done = true;
    }
}

static uint64_t table_alloc(uint32_t pages)
{
    uint64_t pa = hosted_alloc(pages, pages * PAGE_SIZE);

    assert_int_not_equal(pa, 0);
    model_phys_mark(&tp_phys, pa, pages * PAGE_SIZE, MODEL_PAGE_TABLE, 0);
    return pa;
}

static void table_free(uint64_t pa, uint32_t pages)
{
    if (tp_on_free) {
        tp_on_free(tp_on_free_ctx, pa);
    }
    model_phys_mark(&tp_phys, pa, pages * PAGE_SIZE, MODEL_PAGE_FREE, 0);
    hosted_free(pa, pages);
}

struct model_walk_cfg tp_walk_cfg(const struct pt *pt)
{
    return (struct model_walk_cfg){
        .fmt = &model_arm,
        .root = pt->root,
        .mair = PT_ARM_MAIR,
        .stage = pt->cfg.format == PT_ARM_S2_4K ? 2 : 1,
        .ia_bits = pt->cfg.ia_bits,
        .oa_bits = pt->cfg.oa_bits,
        .start_level = pt->cfg.start_level,
        .bbm = pt->cfg.live.bbm,
        .ha = pt->cfg.live.hw_af,
        .hd = pt->cfg.live.hw_dirty,
        .two_priv = true,
        .xnx = pt->cfg.xnx,
        .fwb = pt->cfg.fwb,
    };
}

void tp_open(struct tp *t, const struct pt_config *cfg)
{
    int pages = pt_root_pages(cfg);

    phys_once();
    *t = (struct tp){ .live0 = hosted_live() };
    tp_assert(pages > 0, "no root for ia %u level %u\n", cfg->ia_bits, cfg->start_level);
    assert_int_equal(pt_init(&t->pt, cfg, table_alloc((uint32_t)pages)), 0);
    assert_int_equal(t->pt.root_pages, pages);
    t->walk = tp_walk_cfg(&t->pt);
    t->user = cfg->format == PT_ARM_S1_4K ? PT_USER : 0;
}

void tp_pool(struct tp *t, uint32_t n)
{
    while (t->pool.count < n) {
        pt_pool_push(&t->pool, table_alloc(1));
    }
    while (t->pool.count > n) {
        table_free(pt_pool_pop(&t->pool), 1);
    }
    assert_true((t->pool.head == 0) == (n == 0));
}

void tp_swap_pool(struct tp *t, struct pt_pool *other)
{
    struct pt_pool own = t->pool;

    t->pool = *other;
    *other = own;
}

void tp_done(struct tp *t, struct pt_gather *g)
{
    uint64_t pa;

    pt_gather_done(&t->pt, g);
    assert_true(pt_gather_empty(g));
    while ((pa = pt_pool_pop(&g->freed)) != 0) {
        table_free(pa, 1);
    }
    assert_int_equal(g->freed.count, 0);
}

void tp_close(struct tp *t)
{
    struct pt_gather g;

    pt_gather_init(&g);
    pt_clear(&t->pt, &g);
    assert_true(g.all);
    tp_done(t, &g);
    tp_pool(t, 0);
    table_free(t->pt.root, t->pt.root_pages);
    assert_int_equal(hosted_live(), t->live0);
    free(t->map.run);
}

struct pt_counts tp_count(const struct pt *pt)
{
    struct pt_counts n;

    assert_int_equal(pt_count(pt, &n), 0);
    return n;
}

uint64_t tp_top(const struct tp *t)
{
    return (uint64_t)1 << t->pt.cfg.ia_bits;
}

enum model_fault tp_walk(const struct tp *t, uint64_t ia, struct model_xlat *x)
{
    return model_walk(&t->walk, &tp_mem, ia, (struct model_access){ .what = MODEL_R, .peek = true },
                      x);
}

unsigned tp_leaf_shift(const struct tp *t, uint64_t ia)
{
    struct model_xlat x;
    enum model_fault fault = tp_walk(t, ia, &x);

    tp_assert(fault == MODEL_OK || fault == MODEL_FAULT_TRANSLATION ||
                  fault == MODEL_FAULT_PERMISSION,
              "walk of %#lx: %s\n", (unsigned long)ia, model_fault_name(fault));
    return fault == MODEL_FAULT_TRANSLATION ? 0 : x.shift;
}

bool tp_crosses(const struct tp *t, uint64_t ia)
{
    unsigned shift;

    if (ia >= tp_top(t)) {
        return false;
    }
    shift = tp_leaf_shift(t, ia);
    return shift != 0 && (ia & (((uint64_t)1 << shift) - 1)) != 0;
}

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

uint32_t tp_reported(const struct tp *t, uint32_t prot)
{
    if (t->pt.cfg.format == PT_ARM_S2_4K) {
        prot &= ~(uint32_t)PT_USER;
    }
    if (!(prot & PT_WRITE)) {
        prot &= ~(uint32_t)PT_DIRTY;
    } else if (!(prot & PT_TRACK)) {
        prot |= PT_DIRTY;
    }
    return prot;
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

/* The leaf against the oracle: the whole of it, in one run or several with equal contents. */
static void audit_leaf(struct counts *c, const struct model_desc *d, uint8_t level, uint64_t ia)
{
    const struct tp *t = c->t;
    uint64_t last = ia + (((uint64_t)1 << d->shift) - 1);
    bool dirty = false;

    tp_assert(!d->reserved && !d->address_size && !d->contig && !d->nt, "%s: bad leaf for %#lx\n",
              model_verdict_name(MODEL_V_RESERVED_BITS), (unsigned long)ia);
    for (uint64_t at = ia; at <= last;) {
        const struct tp_run *r = run_at(c, at);
        uint32_t prot;
        uint8_t perms;

        tp_assert(r, "%#lx is mapped (level %u), and must not be\n", (unsigned long)at, level);
        prot = r->prot;
        tp_assert(d->pa + (at - ia) == r->oa + (at - r->ia),
                  "wrong-output-address: %#lx goes to %#lx, not %#lx\n", (unsigned long)at,
                  (unsigned long)(d->pa + (at - ia)), (unsigned long)(r->oa + (at - r->ia)));
        perms = (uint8_t)(((prot & PT_READ) ? MODEL_R : 0) | ((prot & PT_WRITE) ? MODEL_W : 0) |
                          ((prot & PT_EXEC) ? MODEL_X : 0));
        perms = (uint8_t)(perms << MODEL_USER_SHIFT);
        tp_assert((d->perms & (7 << MODEL_USER_SHIFT)) == perms,
                  "wrong-permissions: %#lx has %#x, not %#x\n", (unsigned long)at, d->perms, perms);
        tp_assert(d->memtype == ((prot & PT_DEVICE) ? MODEL_MT_DEVICE
                                 : (prot & PT_NC)   ? MODEL_MT_NC
                                                    : MODEL_MT_WB),
                  "wrong-attributes: %#lx has type %d\n", (unsigned long)at, d->memtype);
        tp_assert((d->clean || d->dirty) == ((prot & PT_TRACK) != 0),
                  "wrong-attributes: tracking of %#lx\n", (unsigned long)at);
        dirty = dirty || ((prot & PT_TRACK) && (prot & PT_DIRTY));
        tp_assert(t->walk.stage == 2 || d->global == !(prot & PT_USER),
                  "wrong-attributes: nG of %#lx\n", (unsigned long)at);
        at = (r->last < last ? r->last : last) + 1;
    }
    tp_assert(d->dirty == dirty, "dirty-bit-lost: %#lx is %s, must be %s\n", (unsigned long)ia,
              d->dirty ? "dirty" : "clean", dirty ? "dirty" : "clean");
}

static void audit_table(struct counts *c, uint64_t pa, uint64_t ia, uint8_t level, unsigned n)
{
    uint8_t shift = model_arm.shift(&c->t->walk, level);

    for (unsigned i = 0; i < n; i++, pa += 8) {
        uint64_t at = ia + ((uint64_t)i << shift);
        bool ok = false;
        uint64_t raw = model_phys_read64(&tp_phys, pa, &ok);
        struct model_desc d;

        assert_true(ok);
        model_arm.decode(&c->t->walk, level, raw, &d);
        if (d.kind == MODEL_DESC_INVALID) {
            tp_assert(raw == 0, "an invalid entry for %#lx is not zero\n", (unsigned long)at);
            tp_assert(!any_run(c, at, at + (((uint64_t)1 << shift) - 1)),
                      "a hole at %#lx (level %u) that must be mapped\n", (unsigned long)at, level);
        } else if (d.kind == MODEL_DESC_LEAF) {
            c->leaves[level]++;
            audit_leaf(c, &d, level, at);
        } else {
            tp_assert(!d.reserved, "reserved bits in a table entry for %#lx\n", (unsigned long)at);
            tp_assert(model_phys_kind(&tp_phys, d.pa) == MODEL_PAGE_TABLE,
                      "data-page-parsed-as-table: %#lx for %#lx\n", (unsigned long)d.pa,
                      (unsigned long)at);
            c->tables++;
            audit_table(c, d.pa, at, (uint8_t)(level + 1), 512);
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
            assert_int_equal(leaf.last - leaf.ia,
                             ((uint64_t)1 << model_arm.shift(&t->walk, (uint8_t)leaf.level)) - 1);
        } else {
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

    audit_table(&c, t->pt.root, 0, (uint8_t)t->pt.cfg.start_level, model_root_entries(&t->walk));
    for (unsigned l = 0; l < 4; l++) {
        tp_assert(c.leaves[l] == n.leaves[l], "level %u has %lu leaves, counted %lu\n", l,
                  (unsigned long)c.leaves[l], (unsigned long)n.leaves[l]);
    }
    tp_assert(c.tables == n.tables, "%lu tables, counted %lu\n", (unsigned long)c.tables,
              (unsigned long)n.tables);
    tp_assert(hosted_live() == t->live0 + t->pt.root_pages + c.tables + t->pool.count,
              "%lu pages allocated: a table page leaked\n", (unsigned long)hosted_live());
    while (pt_next_table(&t->pt, &it, &pa)) {
        assert_int_equal(model_phys_kind(&tp_phys, pa), MODEL_PAGE_TABLE);
        assert_true(pages >= t->pt.root_pages || pa == t->pt.root + pages * PAGE_SIZE);
        pages++;
    }
    assert_int_equal(pages, t->pt.root_pages + c.tables);
    audit_next(t);
}

void tp_snap(const struct tp *t, struct tp_snap *s)
{
    struct pt_table_iter it = { 0 };
    uint64_t pa, tables;

    *s = (struct tp_snap){ .pt = t->pt, .pool = t->pool, .count = tp_count(&t->pt) };
    tables = t->pt.root_pages + s->count.tables + t->pool.count;
    s->words = malloc(tables * (PAGE_SIZE + 8));
    assert_non_null(s->words);
    while (pt_next_table(&t->pt, &it, &pa)) {
        s->words[s->n++] = pa;
        memcpy(&s->words[s->n], port_va(pa), PAGE_SIZE);
        s->n += 512;
    }
    /* Pool pages: the chain and that they are still zero. */
    for (pa = t->pool.head; pa != 0; pa = *(const uint64_t *)port_va(pa)) {
        s->words[s->n++] = pa;
        memcpy(&s->words[s->n], port_va(pa), PAGE_SIZE);
        s->n += 512;
    }
    assert_int_equal(s->n, tables * 513);
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

bool tp_covered(const struct pt_gather *g, uint64_t ia, uint64_t last)
{
    uint64_t at = ia;

    if (g->all) {
        return true;
    }
    while (at <= last) {
        uint64_t next = at;

        for (uint32_t i = 0; i < g->n; i++) {
            if (g->inv[i].ia <= at && g->inv[i].last >= at) {
                next = g->inv[i].last + 1;
            }
        }
        if (next == at) {
            return false;
        }
        at = next;
    }
    return true;
}

bool tp_gathered(const struct pt_gather *g, uint64_t ia, uint64_t last, uint8_t level, bool tables)
{
    for (uint32_t i = 0; i < g->n; i++) {
        const struct pt_inv *r = &g->inv[i];

        if (r->ia == ia && r->last == last && r->level == level && r->tables == tables) {
            return true;
        }
    }
    return false;
}
