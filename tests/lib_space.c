/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_space.h"
#include "lib_pt_lab.h"

#include <stdlib.h>
#include <string.h>

struct ts *ts_now;
enum pt_format ts_io_format = PT_ARM_S2_4K;
struct model_phys ts_phys;
static struct model_mem mem;
static struct frame *frame_table;
static struct pt_pool drained;
static _Thread_local unsigned in_hook;

/* ---- memory ---- */

void ts_memory(uint64_t chunks, bool dirty)
{
    uint64_t n = ((TS_POOL - TS_BASE) >> PAGE_SHIFT) + chunks * CHUNK_PAGES;

    free(frame_table);
    frame_table = calloc(n, sizeof(*frame_table));
    assert_non_null(frame_table);
    frames_init(TS_BASE, n, frame_table, OWNER_HYP);
    frames_set_owner(TS_HOST, 8 * MIB >> PAGE_SHIFT, OWNER_HOST);
    assert_int_equal(frame_pool_add_tables(TS_BASE, TS_TABLES), 0);
    if (chunks != 0) {
        assert_int_equal(frame_pool_add_chunks(TS_POOL, chunks, dirty), 0);
    }
    assert_int_equal(drained.count, 0);
}

void ts_drain(uint64_t keep)
{
    uint64_t n = frame_tables_free();

    if (n > keep) {
        assert_int_equal(frame_tables_reserve(&drained, (uint32_t)(n - keep)), 0);
    }
}

void ts_refill(void)
{
    frame_tables_release(&drained);
}

struct ts_frames ts_frames(void)
{
    struct ts_frames s = { .n = frames_count() };

    s.f = malloc(s.n * sizeof(*s.f));
    assert_non_null(s.f);
    memcpy(s.f, frame_table, s.n * sizeof(*s.f));
    return s;
}

static bool equal(struct frame a, struct frame b, uint32_t ignore)
{
    return a.owner == b.owner && a.borrower == b.borrower && a.pins == b.pins &&
           a.borrower_pins == b.borrower_pins && a.state == b.state &&
           (a.flags & ~ignore) == (b.flags & ~ignore);
}

static void same_frame(uint64_t pa, struct frame is, struct frame want, uint32_t ignore)
{
    tp_assert(equal(is, want, ignore),
              "wrong-ownership: frame %#lx: owner %u borrower %u pins %u+%u state %u flags %u, not "
              "owner %u borrower %u pins %u+%u state %u flags %u\n",
              (unsigned long)pa, is.owner, is.borrower, is.pins, is.borrower_pins, is.state,
              is.flags, want.owner, want.borrower, want.pins, want.borrower_pins, want.state,
              want.flags);
}

void ts_frames_same(struct ts_frames *old, uint32_t ignore)
{
    assert_int_equal(old->n, frames_count());
    for (uint64_t i = 0; i < old->n; i++) {
        same_frame(TS_BASE + (i << PAGE_SHIFT), frame_table[i], old->f[i], ignore);
    }
    free(old->f);
    old->f = NULL;
}

struct frame ts_frame(owner_t owner, owner_t borrower)
{
    return (struct frame){ .owner = owner,
                           .borrower = borrower,
                           .state = borrower == OWNER_NONE ? FRAME_OWNED : FRAME_SHARED };
}

void ts_frame_is(uint64_t pa, struct frame want)
{
    same_frame(pa, frame_get(pa), want, 0);
}

/* ---- walkers ---- */

uint64_t ts_rand(struct ts *t, uint64_t below)
{
    t->rng = t->rng * 6364136223846793005u + 1442695040888963407u;
    return (t->rng >> 33) % below;
}

static void walker_issue(struct invalidator *inv, const struct pt_gather *g)
{
    struct ts_walker *w = (struct ts_walker *)inv;
    bool s1 = w->ctx.walk.stage == 1;

    __atomic_add_fetch(&w->issued, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < g->n; i++) {
        lab_issue(w->tlb, &w->ctx, &g->inv[i]);
    }
    if (g->all) {
        struct model_inv m = { .kind = s1 ? MODEL_INV_S1_VMID : MODEL_INV_VMID,
                               .vmid = w->ctx.vmid };

        model_tlb_invalidate(w->tlb, &m);
    }
}

static void walker_wait(struct invalidator *inv)
{
    struct ts_walker *w = (struct ts_walker *)inv;

    __atomic_add_fetch(&w->waited, 1, __ATOMIC_RELAXED);
    if (ts_now != NULL && ts_now->in_wait != NULL && in_hook == 0) {
        in_hook++;
        ts_now->in_wait(ts_now, w);
        in_hook--;
    }
    model_tlb_sync(w->tlb);
}

/* ---- every store ---- */

static void report(struct ts *t, const struct hosted_store *s)
{
    struct model_store m = {
        .entry = port_pa(s->e), .old = s->old, .value = s->new, .atomic = s->kind == HOSTED_CAS
    };

    for (unsigned i = 0; i < TS_TREES; i++) {
        if (t->tree[i].live != NULL) {
            enum model_verdict v = model_live_store(t->tree[i].live, &m);

            if (v != MODEL_V_OK) {
                print_error("%s: %s: entry %#lx from %#lx to %#lx\n", t->tree[i].name,
                            model_verdict_name(v), (unsigned long)m.entry, (unsigned long)m.old,
                            (unsigned long)m.value);
            }
        }
    }
}

static void hook_before(void *ctx, const struct hosted_store *s)
{
    (void)ctx;
    if (ts_now != NULL && s->kind != HOSTED_CAS) {
        report(ts_now, s);
    }
}

static void hook_after(void *ctx, const struct hosted_store *s)
{
    struct ts *t = ts_now;

    (void)ctx;
    if (t == NULL) {
        return;
    }
    if (s->kind == HOSTED_CAS) {
        report(t, s);
    }
    for (unsigned i = 0; i < TS_TREES; i++) {
        for (unsigned k = 0; k < t->tree[i].nw; k++) {
            model_tlb_tick(t->tree[i].w[k].tlb);
        }
    }
    if (t->after_store != NULL && in_hook == 0) {
        in_hook++;
        t->after_store(t);
        in_hook--;
    }
}

static void hook_clean(void *ctx, const void *va, size_t len)
{
    (void)ctx;
    (void)len;
    if (ts_now != NULL && ts_now->on_clean != NULL) {
        ts_now->on_clean(ts_now, port_pa(va));
    }
}

static const struct hosted_hook hook = { .before = hook_before,
                                         .after = hook_after,
                                         .clean = hook_clean };

/* ---- trees ---- */

struct pt_config ts_config(enum pt_format format, uint8_t bbm, bool stalls)
{
    return (struct pt_config){
        .format = format,
        .ia_bits = format == PT_ARM_S2_4K ? 40 : 39,
        .oa_bits = 40,
        .start_level = 1,
        .live = { .bbm = bbm, .hw_af = true, .hw_dirty = false, .stalls = stalls },
    };
}

struct ts_tree *ts_tree(struct ts *t, unsigned i, const char *name, unsigned who,
                        const struct pt_config *cfg)
{
    struct ts_tree *tree = &t->tree[i];

    memset(tree, 0, sizeof(*tree));
    tree->name = name;
    assert_int_equal(space_init(&tree->s, who & TS_SMMU ? SPACE_IO : SPACE_CPU, cfg), 0);
    if (who == (TS_CPU | TS_SMMU)) {
        tree->s.kind = SPACE_CPU;
    }
    tree->open = true;
    tree->hitless = cfg->live.bbm == 2;
    for (unsigned k = 0; k < 2; k++) {
        bool smmu = k == 1;
        struct ts_walker *w = &tree->w[tree->nw];

        if (!(who & (smmu ? TS_SMMU : TS_CPU))) {
            continue;
        }
        tree->nw++;
        *w = (struct ts_walker){ .tree = tree,
                                 .inv = { .issue = walker_issue, .wait = walker_wait },
                                 .ctx = { .walk = tp_walk_cfg(&tree->s.pt),
                                          .mem = &mem,
                                          .vmid = (uint16_t)(i + 1),
                                          .asid = 0 } };
        w->ctx.asid = w->ctx.walk.stage == 1;
        w->tlb = model_tlb_new(&(struct model_tlb_cfg){
            .mode = smmu ? MODEL_TLB_NEVER_EVICTS : MODEL_TLB_RANDOM,
            .apply = smmu ? MODEL_APPLY_AT_SYNC : MODEL_APPLY_RANDOM,
            .seed = t->rng + i * 2 + k,
            .spec_rate = 48,
            .evict_rate = 8,
        });
        assert_non_null(w->tlb);
        assert_int_equal(space_add_walker(&tree->s, &w->inv), 0);
    }
    tree->live = model_live_new(&(struct model_live_cfg){ .walk = tree->w[0].ctx.walk,
                                                          .mem = &mem,
                                                          .vmid = tree->w[0].ctx.vmid,
                                                          .asid = tree->w[0].ctx.asid,
                                                          .agents = (uint8_t)tree->nw });
    assert_non_null(tree->live);
    for (unsigned k = 0; k < tree->nw; k++) {
        assert_true(model_tlb_on_completed(tree->w[k].tlb, model_live_completed,
                                           model_live_agent(tree->live, k)));
    }
    return tree;
}

static void tree_close(struct ts_tree *tree)
{
    if (!tree->open) {
        return;
    }
    space_destroy(&tree->s);
    for (unsigned k = 0; k < tree->nw; k++) {
        struct model_dma *dma = tree->w[k].dma;

        model_tlb_free(tree->w[k].tlb);
        if (dma != NULL) {
            model_dma_free(dma);
        }
    }
    model_live_free(tree->live);
    memset(tree, 0, sizeof(*tree));
}

void ts_open(struct ts *t, uint64_t npages, bool separate, uint64_t seed)
{
    static bool once;

    if (!once) {
        model_phys_init(&ts_phys);
        assert_true(model_phys_attach(&ts_phys, HOSTED_BASE, hosted_arena(), HOSTED_SIZE));
        mem = model_phys_mem(&ts_phys, true);
        once = true;
    }
    memset(t, 0, sizeof(*t));
    t->rng = seed;
    /* From 1G on: room for runs that are aligned to it. */
    uint64_t chunks = npages / CHUNK_PAGES * (separate ? 2 : 1) + (npages >= GIB >> 12 ? 512 : 2);

    ts_memory(chunks, false);
    model_phys_mark(&ts_phys, TS_BASE, TS_TABLES * PAGE_SIZE, MODEL_PAGE_TABLE, 0);
    model_phys_mark(&ts_phys, TS_POOL, chunks * CHUNK_SIZE, MODEL_PAGE_DATA, TS_VM);
    t->tables = frame_tables_free();
    assert_int_equal(gmem_create(&t->gm, TS_VM, npages, separate), 0);

    uint64_t cursor = 0;

    while (gmem_scrub(&t->gm, &cursor, 64) != 0) {
    }
    t->want = calloc(npages, 1);
    t->p0 = calloc(npages, sizeof(uint64_t));
    t->p1 = calloc(npages, sizeof(uint64_t));
    for (uint64_t p = 0; p < npages; p++) {
        t->p0[p] = t->gm.priv[p / 512] + (p % 512) * 4096;
        t->p1[p] = separate ? t->gm.shared[p / 512] + (p % 512) * 4096 : 0;
    }
    ts_now = t;
    hosted_set_hook(&hook);
}

void ts_close(struct ts *t)
{
    uint64_t cursor = 0;
    int more;

    ts_judge(t);
    ts_now = NULL;
    hosted_set_hook(NULL);
    ts_refill();
    for (unsigned i = 0; i < TS_TREES; i++) {
        tree_close(&t->tree[i]);
    }
    while ((more = gmem_destroy_step(&t->gm, &cursor, 3)) > 0) {
    }
    assert_int_equal(more, 0);
    tp_assert(frame_tables_free() == t->tables, "table-lost: %lu of %lu table pages are back\n",
              (unsigned long)frame_tables_free(), (unsigned long)t->tables);
    for (uint64_t pa = TS_POOL; frame_valid(pa); pa += PAGE_SIZE) {
        struct frame f = frame_get(pa);

        tp_assert(f.owner == OWNER_NONE && f.borrower == OWNER_NONE, "frame-lost: %#lx is %u's\n",
                  (unsigned long)pa, f.owner);
    }
    free(t->want);
    free(t->p0);
    free(t->p1);
}

void ts_world(struct ts *t, uint64_t npages, bool separate, bool share, uint8_t cpu_bbm,
              uint64_t seed)
{
    struct pt_config cpu = ts_config(PT_ARM_S2_4K, cpu_bbm, true);
    struct pt_config io = ts_config(ts_io_format, 2, false);
    struct pt_config both = cpu;

    both.live = pt_live_meet(cpu.live, io.live);
    ts_open(t, npages, separate, seed);
    ts_tree(t, 0, share ? "vm shared tree" : "vm cpu", share ? TS_CPU | TS_SMMU : TS_CPU,
            share ? &both : &cpu);
    if (!share) {
        ts_tree(t, 1, "vm io", TS_SMMU, &io);
    }
    ts_tree(t, 2, "host cpu", TS_CPU, &cpu);
    ts_tree(t, 3, "host io", TS_SMMU, &io);
    for (unsigned i = 0; i < TS_TREES; i++) {
        struct ts_tree *tree = &t->tree[i];

        if (!tree->open) {
            continue;
        }
        assert_int_equal(space_bind(&tree->s, &t->gm, i < 2 ? VIEW_GUEST : VIEW_HOST,
                                    i < 2 ? TS_GUEST : 0, 0, npages, RW | (i == 0 ? PT_EXEC : 0),
                                    true),
                         0);
        for (unsigned k = 0; k < tree->nw && i < 2; k++) {
            assert_true(model_tlb_speculate_in(tree->w[k].tlb, &tree->w[k].ctx, TS_GUEST,
                                               npages << PAGE_SHIFT));
        }
        for (unsigned k = 0; k < tree->nw && i >= 2; k++) {
            assert_true(model_tlb_speculate_in(tree->w[k].tlb, &tree->w[k].ctx, TS_POOL,
                                               npages * 2 << PAGE_SHIFT));
        }
    }
}

/* ---- conversions and checks ---- */

static void scopes(struct ts *t, uint64_t page, uint64_t n)
{
    for (unsigned i = 0; i < TS_TREES; i++) {
        struct ts_tree *tree = &t->tree[i];

        if (!tree->open) {
            continue;
        }
        model_live_scope_clear(tree->live);
        if (!tree->hitless) {
            continue; /* a CPU waits: anything may go for a while */
        }
        if (i < 2) {
            model_live_scope(tree->live, TS_GUEST + (page << PAGE_SHIFT), n << PAGE_SHIFT);
            continue;
        }
        for (uint64_t p = page; p < page + n;) {
            uint64_t m = 512 - p % 512 < page + n - p ? 512 - p % 512 : page + n - p;

            model_live_scope(tree->live, t->p0[p], m << PAGE_SHIFT);
            if (t->gm.separate) {
                model_live_scope(tree->live, t->p1[p], m << PAGE_SHIFT);
            }
            p += m;
        }
    }
}

int ts_convert(struct ts *t, uint64_t page, uint64_t n, bool to_shared, enum gmem_policy policy)
{
    if (page < t->gm.npages && n != 0 && n <= t->gm.npages - page) {
        scopes(t, page, n);
    }
    int err = gmem_convert(&t->gm, page, n, to_shared, policy);

    if (err == 0) {
        uint8_t s = !to_shared ? GMEM_PRIVATE
                               : (policy == GMEM_INPLACE ? GMEM_SHARED_INPLACE : GMEM_SHARED);

        memset(t->want + page, s, n);
    }
    return err;
}

uint64_t ts_at(const struct ts_tree *tree, uint64_t ia, unsigned *shift)
{
    struct model_xlat x;
    enum model_fault fault =
        model_walk(&tree->w[0].ctx.walk, &mem, ia,
                   (struct model_access){ .what = MODEL_R, .user = true, .peek = true }, &x);

    tp_assert(fault == MODEL_OK || fault == MODEL_FAULT_TRANSLATION, "%s: walk of %#lx: %s\n",
              tree->name, (unsigned long)ia, model_fault_name(fault));
    if (shift != NULL) {
        *shift = fault == MODEL_OK ? x.shift : 0;
    }
    return fault == MODEL_OK ? x.oa : 0;
}

void ts_judge(struct ts *t)
{
    for (unsigned i = 0; i < TS_TREES; i++) {
        struct ts_tree *tree = &t->tree[i];

        if (!tree->open) {
            continue;
        }
        enum model_verdict v = model_live_first(tree->live);

        tp_assert(v == MODEL_V_OK, "%s: %s\n", tree->name, model_verdict_name(v));
        v = model_live_audit(tree->live);
        tp_assert(v == MODEL_V_OK, "%s: audit: %s\n", tree->name, model_verdict_name(v));
        for (unsigned k = 0; k < tree->nw; k++) {
            v = model_tlb_check(tree->w[k].tlb, &tree->w[k].ctx);
            tp_assert(v == MODEL_V_OK, "%s: walker %u: %s\n", tree->name, k, model_verdict_name(v));
        }
    }
}

static void check_frames(struct ts *t)
{
    for (uint64_t p = 0; p < t->gm.npages; p++) {
        uint8_t s = t->want[p];

        ts_frame_is(t->p0[p], ts_frame(TS_VM, s == GMEM_SHARED_INPLACE ? OWNER_HOST : OWNER_NONE));
        if (t->gm.separate) {
            ts_frame_is(t->p1[p], ts_frame(TS_VM, s == GMEM_SHARED ? OWNER_HOST : OWNER_NONE));
        }
    }
}

static bool chunk_like(struct ts *t, uint64_t chunk, bool guest)
{
    for (uint64_t p = chunk * 512; p < chunk * 512 + 512; p++) {
        bool same = guest ? (t->want[p] == GMEM_SHARED) == (t->want[chunk * 512] == GMEM_SHARED)
                          : t->want[p] == t->want[chunk * 512];

        if (!same) {
            return false;
        }
    }
    return true;
}

static void check_guest(struct ts *t, const struct ts_tree *tree)
{
    unsigned shift;

    for (uint64_t p = 0; p < t->gm.npages; p++) {
        uint64_t want = t->want[p] == GMEM_SHARED ? t->p1[p] : t->p0[p];
        uint64_t is = ts_at(tree, TS_GUEST + (p << PAGE_SHIFT), &shift);

        tp_assert(is == want, "%s: wrong-output-address: page %lu at %#lx, not %#lx\n", tree->name,
                  (unsigned long)p, (unsigned long)is, (unsigned long)want);
        if (p % 512 == 0 && tree->s.max_leaf == 0) {
            tp_assert((shift >= 21) == chunk_like(t, p / 512, true),
                      "%s: leaf-size: chunk %lu has leaves of 2^%u\n", tree->name,
                      (unsigned long)(p / 512), shift);
        }
    }
}

static void check_host(struct ts *t, const struct ts_tree *tree)
{
    unsigned shift;

    for (uint64_t p = 0; p < t->gm.npages; p++) {
        uint64_t is = ts_at(tree, t->p0[p], &shift);
        uint64_t want = t->want[p] == GMEM_SHARED_INPLACE ? t->p0[p] : 0;

        tp_assert(is == want, "%s: host-window: private frame of page %lu maps to %#lx, not %#lx\n",
                  tree->name, (unsigned long)p, (unsigned long)is, (unsigned long)want);
        if (!t->gm.separate) {
            continue;
        }
        is = ts_at(tree, t->p1[p], &shift);
        want = t->want[p] == GMEM_SHARED ? t->p1[p] : 0;
        tp_assert(is == want, "%s: host-window: shared frame of page %lu maps to %#lx, not %#lx\n",
                  tree->name, (unsigned long)p, (unsigned long)is, (unsigned long)want);
        if (p % 512 == 0 && want != 0) {
            tp_assert((shift == 21) == chunk_like(t, p / 512, false),
                      "%s: leaf-size: window of chunk %lu has leaves of 2^%u\n", tree->name,
                      (unsigned long)(p / 512), shift);
        }
    }
}

void ts_check(struct ts *t)
{
    /* What the counts and tables of every tree, reserves included, add up to. */
    uint64_t tables = frame_tables_free() + drained.count + t->gm.meta_pages + t->gm.states.nodes;

    ts_judge(t);
    check_frames(t);
    for (uint64_t p = 0; p < t->gm.npages; p++) {
        assert_int_equal(gmem_state(&t->gm, p), t->want[p]);
    }
    for (unsigned i = 0; i < TS_TREES; i++) {
        struct ts_tree *tree = &t->tree[i];
        struct space_audit a = { 0 };

        if (!tree->open) {
            continue;
        }
        tables += space_tables(&tree->s);
        if (i < 2) {
            check_guest(t, tree);
        } else {
            check_host(t, tree);
        }
        space_audit(&tree->s, i < 2 ? TS_VM : OWNER_HOST, NULL, NULL, &a);
        tp_assert(a.violations == 0, "%s: audit: %s: %#lx -> %#lx\n", tree->name, a.first,
                  (unsigned long)a.first_ia, (unsigned long)a.first_pa);
        assert_int_equal(a.tables, tp_count(&tree->s.pt).tables + tree->s.pt.root_pages);
    }
    tp_assert(tables == t->tables, "table-lost: %lu of %lu table pages accounted for\n",
              (unsigned long)tables, (unsigned long)t->tables);
}

void ts_snap(struct ts *t, struct ts_snap *s)
{
    memset(s, 0, sizeof(*s));
    s->frames = ts_frames();
    for (unsigned i = 0; i < TS_TREES; i++) {
        if (t->tree[i].open) {
            struct tp one = { .pt = t->tree[i].s.pt };

            tp_snap(&one, &s->tree[i]);
        }
    }
}

void ts_same(struct ts *t, struct ts_snap *s)
{
    ts_frames_same(&s->frames, 0);
    for (unsigned i = 0; i < TS_TREES; i++) {
        if (t->tree[i].open) {
            struct tp one = { .pt = t->tree[i].s.pt };

            tp_assert_same(&one, &s->tree[i]);
        }
    }
}

void ts_forget(struct ts_snap *s)
{
    for (unsigned i = 0; i < TS_TREES; i++) {
        free(s->tree[i].words);
    }
    free(s->frames.f);
}
