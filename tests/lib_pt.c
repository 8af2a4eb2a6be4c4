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
