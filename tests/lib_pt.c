/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_pt.h"

#include <stdlib.h>
#include <string.h>

#define LIVE_ALL                                  \
    {                                             \
        .bbm = 2, .hw_af = true, .hw_dirty = true \
    }

#define CONF(what, id, ia, oa, start, ...)                                                      \
    {                                                                                           \
        (what),                                                                                 \
        {                                                                                       \
            .format = (id), .ia_bits = (ia), .oa_bits = (oa), .start_level = (start), .live = { \
                .bbm = 2,                                                                       \
                .hw_af = true,                                                                  \
                .hw_dirty = true,                                                               \
                __VA_ARGS__                                                                     \
            }                                                                                   \
        }                                                                                       \
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
    CONF("s2 contiguous", PT_ARM_S2_4K, 40, 40, 1, .contig = true),
    CONF("s1 lpa2", PT_ARM_S1_4K, 52, 52, -1, .stalls = false),
    CONF("s2 lpa2 contiguous", PT_ARM_S2_4K, 52, 52, 0, .contig = true),
    CONF("s1 16K", PT_ARM_S1_16K, 48, 48, 0, .stalls = false),
    CONF("s2 16K, 2 start tables, contiguous", PT_ARM_S2_16K, 48, 48, 1, .contig = true),
    CONF("s2 16K lpa2", PT_ARM_S2_16K, 52, 52, 0, .stalls = false),
    CONF("s1 64K lpa contiguous", PT_ARM_S1_64K, 52, 52, 1, .contig = true),
    CONF("s2 64K, 4 start tables", PT_ARM_S2_64K, 44, 48, 2, .stalls = false),
    CONF("x86 4 levels", PT_X86_64, 48, 52, 0, .stalls = false),
    CONF("x86 5 levels", PT_X86_64, 57, 46, -1, .stalls = false),
    CONF("ept 4 levels", PT_EPT, 48, 46, 0, .stalls = false),
    CONF("ept 5 levels", PT_EPT, 57, 52, -1, .stalls = false),
    CONF("vtd 3 levels", PT_VTD_SS, 39, 39, 1, .stalls = false),
    CONF("vtd 4 levels", PT_VTD_SS, 48, 52, 0, .stalls = false),
    CONF("vtd 5 levels", PT_VTD_SS, 57, 46, -1, .stalls = false),
    CONF("amd mode 3, any size", PT_AMD_V1, 39, 52, 1, .contig = true),
    CONF("amd mode 4", PT_AMD_V1, 48, 48, 0, .stalls = false),
    CONF("amd mode 5, any size", PT_AMD_V1, 57, 52, -1, .contig = true),
    CONF("amd mode 6", PT_AMD_V1, 63, 52, -2, .stalls = false),
    CONF("sv39", PT_RISCV, 39, 56, 1, .stalls = false),
    CONF("sv48 svnapot", PT_RISCV, 48, 56, 0, .contig = true),
    CONF("sv57", PT_RISCV, 57, 46, -1, .stalls = false),
    CONF("sv39x4", PT_RISCV_X4, 41, 46, 1, .stalls = false),
    CONF("sv48x4 svnapot", PT_RISCV_X4, 50, 56, 0, .contig = true),
    CONF("sv57x4", PT_RISCV_X4, 59, 56, -1, .stalls = false),
    CONF("x86 exec_4k", PT_X86_64, 48, 46, 0, .exec_4k = true),
    CONF("ept exec_4k, leaves up to 2M", PT_EPT, 48, 46, 0, .exec_4k = true, .leaf_max = 21),
    CONF("amd leaves up to 16M", PT_AMD_V1, 48, 52, 0, .contig = true, .leaf_max = 24),
    CONF("s2 64K contiguous, leaves up to 512M", PT_ARM_S2_64K, 48, 48, 1, .contig = true,
         .leaf_max = 29),
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

static bool is_arm(const struct pt *pt)
{
    return pt->cfg.format <= PT_ARM_S2_64K;
}

static bool is_riscv(const struct pt *pt)
{
    return pt->cfg.format == PT_RISCV || pt->cfg.format == PT_RISCV_X4;
}

/* VT-d's second stage and AMD v1: neither memory types nor execution. */
static bool is_io(const struct pt *pt)
{
    return pt->cfg.format == PT_VTD_SS || pt->cfg.format == PT_AMD_V1;
}

static bool is_stage1(const struct pt *pt)
{
    enum pt_format f = pt->cfg.format;

    return f == PT_ARM_S1_4K || f == PT_ARM_S1_16K || f == PT_ARM_S1_64K || f == PT_X86_64 ||
           f == PT_RISCV;
}

struct model_walk_cfg tp_walk_cfg(const struct pt *pt)
{
    static const struct model_format *const other[] = {
        [PT_X86_64] = &model_x86,   [PT_EPT] = &model_ept,     [PT_VTD_SS] = &model_vtd2,
        [PT_AMD_V1] = &model_amdv1, [PT_RISCV] = &model_riscv, [PT_RISCV_X4] = &model_riscv,
    };
    const struct pt_config *c = &pt->cfg;
    uint8_t granule = (uint8_t)__builtin_ctz(pt_table_bytes(c->format));
    struct model_walk_cfg w = {
        .fmt = is_arm(pt) ? &model_arm : other[c->format],
        .root = pt->root,
        .mair = is_arm(pt) ? PT_ARM_MAIR : PT_X86_PAT,
        .stage = is_stage1(pt) ? 1 : 2,
        .granule = granule,
        .ds = granule != 16 && (c->oa_bits == 52 || c->ia_bits > 48) && is_arm(pt),
        .ia_bits = c->ia_bits,
        .oa_bits = c->oa_bits,
        .start_level = c->start_level,
        .bbm = c->live.bbm,
        .ha = c->live.hw_af,
        .hd = c->live.hw_dirty,
        .two_priv = true,
        .xnx = c->xnx,
        .fwb = c->fwb,
        .contig = c->live.contig,
        .canonical = c->format == PT_RISCV,
        .nx = true,
        .page1g = c->live.leaf_max == 0 || c->live.leaf_max >= 30,
        .page2m = true,
        .snoop = c->snoop,
        .multihit = c->live.exec_4k,
        .svnapot = c->live.contig,
        .svpbmt = true,
    };

    if (c->format == PT_AMD_V1) {
        w.ia_bits = c->start_level == -2 ? 64 : (uint8_t)(12 + 9 * (4 - c->start_level));
    }
    return w;
}

uint32_t tp_table_pages(const struct tp *t)
{
    return (uint32_t)(pt_table_bytes(t->pt.cfg.format) / PAGE_SIZE);
}

enum model_memtype tp_memtype(const struct tp *t, uint32_t prot)
{
    const struct pt *pt = &t->pt;
    bool intel = pt->cfg.format == PT_X86_64 || pt->cfg.format == PT_EPT;

    if (is_io(pt)) {
        return MODEL_MT_AS_S1;
    }
    if (prot & PT_DEVICE) {
        return intel ? MODEL_MT_UC : MODEL_MT_DEVICE;
    }
    if (prot & PT_NC) {
        return intel ? MODEL_MT_WC : MODEL_MT_NC;
    }
    return is_riscv(pt) ? MODEL_MT_AS_S1 : MODEL_MT_WB;
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
    tp_assert(!t->walk.fmt->check(&t->walk), "model: %s\n", t->walk.fmt->check(&t->walk));
    t->user = is_stage1(&t->pt) ? PT_USER : 0;
    t->page = (uint64_t)1 << t->walk.fmt->shift(&t->walk, 3);
    t->block = (uint64_t)1 << t->walk.fmt->shift(&t->walk, 2);
    t->big = t->page == PAGE_SIZE ? (uint64_t)1 << t->walk.fmt->shift(&t->walk, 1) : 16 * t->block;
}

void tp_pool(struct tp *t, uint32_t n)
{
    while (t->pool.count < n) {
        pt_pool_push(&t->pool, table_alloc(tp_table_pages(t)));
    }
    while (t->pool.count > n) {
        table_free(pt_pool_pop(&t->pool), tp_table_pages(t));
    }
    assert_true((t->pool.head == 0) == (n == 0));
}

void tp_swap_pool(struct tp *t, struct pt_pool *other)
{
    struct pt_pool own = t->pool;

    t->pool = *other;
    *other = own;
}

uint64_t tp_done(struct tp *t, struct pt_gather *g)
{
    static const unsigned few[] = { 0, 2, 3, 16 };
    uint64_t page[17], pa, all = 0;
    unsigned n = few[t->dones++ % 4], got;

    /* By pt_gather_take() three times of four; what was taken is poisoned at once. */
    page[n] = ~(uint64_t)0;
    while (n != 0 && (got = pt_gather_take(&t->pt, g, page, n)) != 0) {
        tp_assert(got <= n && page[n] == ~(uint64_t)0, "taken-too-many: %u of %u\n", got, n);
        for (unsigned i = 0; i < got; i++) {
            table_free(page[i], tp_table_pages(t));
        }
        all += got;
    }
    tp_assert(n == 0 || g->held_n == 0, "taken-too-few: %u are held\n", g->held_n);
    pt_gather_done(&t->pt, g);
    assert_true(pt_gather_empty(g));
    while ((pa = pt_pool_pop(&g->freed)) != 0) {
        table_free(pa, tp_table_pages(t));
        all++;
    }
    assert_int_equal(g->freed.count, 0);
    return all;
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
    return model_walk(&t->walk, &tp_mem, model_ia_extend(&t->walk, ia),
                      (struct model_access){ .what = MODEL_R, .peek = true }, x);
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

uint8_t tp_perms(const struct tp *t, uint32_t prot)
{
    unsigned perms = ((prot & PT_READ) ? MODEL_R : 0) | ((prot & PT_WRITE) ? MODEL_W : 0) |
                     ((prot & (is_io(&t->pt) ? PT_READ : PT_EXEC)) ? MODEL_X : 0);

    return (uint8_t)(perms << MODEL_USER_SHIFT);
}

uint32_t tp_reported(const struct tp *t, uint32_t prot)
{
    if (!is_stage1(&t->pt)) {
        prot &= ~(uint32_t)PT_USER;
    }
    if (is_io(&t->pt)) {
        prot &= ~(uint32_t)(PT_EXEC | PT_NC | PT_DEVICE);
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

void tp_each(unsigned step, void (*test)(struct tp *t, struct pt_gather *g))
{
    for (unsigned c = 0; c < tp_conf_count; c += step) {
        struct pt_gather g;
        struct tp t;

        pt_gather_init(&g);
        tp_open(&t, &tp_confs[c].cfg);
        tp_pool(&t, 24);
        test(&t, &g);
        tp_done(&t, &g);
        tp_close(&t);
    }
}

void tp_put(struct tp *t, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap)
{
    assert_int_equal(pt_map(&t->pt, ia, oa, len, prot | t->user, cap, &t->pool), 0);
    tp_map_add(&t->map, ia, ia + len - 1, oa, tp_reported(t, prot | t->user));
}
