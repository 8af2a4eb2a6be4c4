/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_pt_lab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LAB_VMID 5u
#define LAB_ASID 9u

uint64_t lab_below(struct lab *l, uint64_t n)
{
    return model_rng_below(&l->rng, n);
}

/* The address as hardware is given it: with its sign, where the format has one. */
static uint64_t hw(const struct lab *l, uint64_t ia)
{
    return model_ia_extend(&l->t.walk, ia);
}

static struct model_access reads(const struct lab *l)
{
    return (struct model_access){ .what = MODEL_R, .user = l->t.user != 0 };
}

/* What an agent found for an address that must be there. */
static void expect(const struct lab *l, const char *who, uint64_t ia, const struct model_xlat *x)
{
    const struct tp_run *r = tp_map_at(&l->t.map, ia);

    tp_assert(x->fault == MODEL_OK, "%s: %s at %#lx: %s, level %u, %s\n",
              model_verdict_name(x->verdict != MODEL_V_OK ? x->verdict : MODEL_V_TRANSIENT_FAULT),
              who, (unsigned long)ia, model_fault_name(x->fault), x->level,
              model_verdict_name(x->stale_why));
    tp_assert(x->oa == r->oa + (ia - r->ia), "%s: %s at %#lx: %#lx, not %#lx (%s)\n",
              model_verdict_name(MODEL_V_WRONG_OUTPUT), who, (unsigned long)ia,
              (unsigned long)x->oa, (unsigned long)(r->oa + (ia - r->ia)),
              model_verdict_name(x->stale_why));
    tp_assert(x->memtype == tp_memtype(&l->t, r->prot), "%s: %s at %#lx\n",
              model_verdict_name(MODEL_V_WRONG_ATTRIBUTES), who, (unsigned long)ia);
    tp_assert(x->conflict != MODEL_V_CONFLICT_CONTENTS, "%s: %s at %#lx\n",
              model_verdict_name(x->conflict), who, (unsigned long)ia);
}

/* A mapped address that must translate now, or false. Near the focus more often than not. */
static bool pick(struct lab *l, uint64_t *ia)
{
    uint64_t page = l->t.page, block = l->t.block;
    uint64_t at = l->window + lab_below(l, l->window_len / page) * page;

    switch (lab_below(l, 5)) {
    case 0:
        at = l->focus - page;
        break;
    case 1:
        at = l->focus_last + 1;
        break;
    case 2:
        at = (l->focus & ~(block - 1)) + lab_below(l, block / page) * page;
        break;
    case 3:
        at = l->focus + lab_below(l, (l->focus_last - l->focus) / page + 1) * page;
        break;
    }
    if (l->missing && at >= l->focus && at <= l->focus_last) {
        return false;
    }
    *ia = at + lab_below(l, page / 8) * 8;
    return at < tp_top(&l->t) && tp_map_at(&l->t.map, at);
}

void lab_probe(struct lab *l)
{
    for (unsigned i = 0; i < LAB_AGENTS; i++) {
        struct model_xlat x;
        uint64_t ia;

        model_tlb_tick(l->tlb[i]);
        if (pick(l, &ia)) {
            model_tlb_translate(l->tlb[i], &l->ctx, hw(l, ia), reads(l), &x);
            expect(l, i ? "SMMU" : "CPU", ia, &x);
            l->probes++;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        struct model_xlat x;
        uint64_t ia;

        if (pick(l, &ia)) {
            tp_walk(&l->t, ia, &x);
            expect(l, "walker", ia, &x);
        }
    }
}

/* A device or CPU writes: hardware makes a tracked leaf dirty, at this very moment. */
static void hardware_write(struct lab *l, uint64_t ia)
{
    const struct tp_run *r = tp_map_at(&l->t.map, ia);
    struct model_access access = { .what = MODEL_W, .user = l->t.user != 0 };
    struct model_xlat x;

    if (!r || (r->prot & (PT_TRACK | PT_WRITE)) != (PT_TRACK | PT_WRITE)) {
        return;
    }
    model_tlb_translate(l->tlb[lab_below(l, LAB_AGENTS)], &l->ctx, hw(l, ia), access, &x);
    if (x.updated && x.dirty) {
        uint64_t first = x.leaf_ia & (tp_top(&l->t) - 1);

        tp_map_prot(&l->t.map, first, first + (((uint64_t)1 << x.shift) - 1), 0, PT_DIRTY);
        l->writes++;
    }
}

/* --- what a walker that does not snoop sees: memory as it was last cleaned --- */

static unsigned char *cleaned;

static void clean(void *ctx, const void *va, size_t len)
{
    size_t off = (size_t)((const unsigned char *)va - (const unsigned char *)hosted_arena());

    (void)ctx;
    memcpy(cleaned + off, va, len);
}

static void check_clean(const struct lab *l, uint64_t table, unsigned bytes)
{
    const uint64_t *now = port_va(table);
    const uint64_t *seen = (const uint64_t *)(const void *)(cleaned + (table - HOSTED_BASE));
    uint64_t hardware = l->t.walk.fmt->hw_mask(&l->t.walk); /* what it sets needs no cleaning */

    for (unsigned i = 0; i < bytes / 8 && l->t.pt.cfg.incoherent; i++) {
        tp_assert(((now[i] ^ seen[i]) & ~hardware) == 0, "not-cleaned: entry %u of table %#lx\n", i,
                  (unsigned long)table);
    }
}

/* --- order of stores --- */

static void publish(void *ctx)
{
    struct lab *l = ctx;

    l->unpublished = false;
}

/* The level of the table of the live tree that holds an entry, NO_LEVEL if none does. */
#define NO_LEVEL 4
static int live_level(const struct lab *l, uint64_t entry)
{
    uint64_t table = entry & ~((uint64_t)pt_table_bytes(l->t.pt.cfg.format) - 1);
    struct pt_table_iter it = { 0 };
    uint64_t pa;

    if (entry - l->t.pt.root < l->t.pt.root_pages * PAGE_SIZE) {
        return l->t.pt.cfg.start_level;
    }
    while (pt_next_table(&l->t.pt, &it, &pa)) {
        if (pa == table) {
            return it.level;
        }
    }
    return NO_LEVEL;
}

static bool filled(const struct lab *l, const struct model_desc *link)
{
    for (unsigned i = 0; i < pt_table_bytes(l->t.pt.cfg.format) / 8; i++) {
        struct model_desc d;

        l->t.walk.fmt->decode(&l->t.walk, link->next_level,
                              ((const uint64_t *)port_va(link->pa))[i], &d);
        if (d.kind != MODEL_DESC_INVALID) {
            return true;
        }
    }
    return false;
}

/* A table goes into a live tree: filled, published, and for some walkers cleaned, all before. */
static void check_link(struct lab *l, const struct hosted_store *s)
{
    const struct model_format *fmt = l->t.walk.fmt;
    int level;
    struct model_desc d;

    if (s->kind == HOSTED_FILL) {
        return;
    }
    fmt->decode(&l->t.walk, l->t.pt.cfg.start_level, s->new, &d);
    if (d.kind != MODEL_DESC_TABLE || model_phys_kind(&tp_phys, d.pa) != MODEL_PAGE_TABLE) {
        return; /* no link, at whatever level */
    }
    level = live_level(l, port_pa(s->e));
    if (level == NO_LEVEL) {
        return; /* not in a table that a walker can see */
    }
    fmt->decode(&l->t.walk, level, s->new, &d);
    if (d.kind != MODEL_DESC_TABLE) {
        return;
    }
    tp_assert(filled(l, &d), "%s: %#lx is empty\n", model_verdict_name(MODEL_V_TABLE_NOT_FILLED),
              (unsigned long)d.pa);
    tp_assert(!l->unpublished, "link-before-publish: %#lx\n", (unsigned long)d.pa);
    check_clean(l, d.pa, pt_table_bytes(l->t.pt.cfg.format));
}

static void judge(struct lab *l, const struct hosted_store *s)
{
    struct model_store m = {
        .entry = port_pa(s->e), .old = s->old, .value = s->new, .atomic = s->kind == HOSTED_CAS
    };

    l->stores++;
    model_live_store(l->live, &m);
}

static void before(void *ctx, const struct hosted_store *s)
{
    struct lab *l = ctx;

    check_link(l, s);
    if (s->kind != HOSTED_CAS) {
        l->unpublished = true;
        judge(l, s);
        return;
    }
    /* Just before the exchange, inside and beside what is being changed. */
    if (lab_below(l, 2)) {
        uint64_t page = l->t.page;
        uint64_t at = l->window + lab_below(l, l->window_len / page) * page;

        if (lab_below(l, 4)) {
            at = l->focus + lab_below(l, (l->focus_last - l->focus) / page + 1) * page;
        }
        hardware_write(l, at);
    }
}

static void after(void *ctx, const struct hosted_store *s)
{
    struct lab *l = ctx;

    if (s->kind == HOSTED_CAS) {
        l->unpublished = true;
        judge(l, s);
    }
    if (s->kind != HOSTED_FILL || lab_below(l, 32) == 0) {
        lab_probe(l);
    }
}

static void violated(void *arg, enum model_verdict v, const struct model_store *s, uint64_t ia,
                     int level)
{
    (void)arg;
    print_error("%s: level %d, for %#lx: %#lx -> %#lx%s\n", model_verdict_name(v), level,
                (unsigned long)ia, (unsigned long)s->old, (unsigned long)s->value,
                s->atomic ? " (exchange)" : "");
}

static void freeing(void *ctx, uint64_t pa)
{
    struct lab *l = ctx;

    model_live_table_free(l->live, pa);
}

/* A CPU whose guest has its stage 1 off (Arm). */
static bool combines(const struct lab *l)
{
    return l->t.walk.stage == 2 && l->t.walk.fmt == &model_arm;
}

void lab_open(struct lab *l, const struct pt_config *cfg, int mode, int apply, uint64_t seed)
{
    struct model_live_cfg live;

    *l = (struct lab){ 0 };
    model_rng_seed(&l->rng, seed);
    if (!cleaned) {
        cleaned = mmap(NULL, HOSTED_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert_true(cleaned != MAP_FAILED);
    }
    tp_open(&l->t, cfg);
    for (unsigned i = 0; i < l->t.pt.root_pages; i++) {
        clean(l, port_va(l->t.pt.root + i * PAGE_SIZE), PAGE_SIZE);
    }
    l->ctx =
        (struct model_ctx){ .walk = l->t.walk, .mem = &tp_mem, .vmid = LAB_VMID, .asid = LAB_ASID };
    live = (struct model_live_cfg){ .walk = l->t.walk,
                                    .mem = &tp_mem,
                                    .vmid = LAB_VMID,
                                    .asid = LAB_ASID,
                                    .agents = LAB_AGENTS,
                                    .strict = true };
    l->live = model_live_new(&live);
    assert_non_null(l->live);
    model_live_on_violation(l->live, violated, l);
    for (unsigned i = 0; i < LAB_AGENTS; i++) {
        l->tlb[i] = model_tlb_new(&(struct model_tlb_cfg){
            .mode = (enum model_tlb_mode)mode,
            .apply = (enum model_tlb_apply)apply,
            .seed = seed + i,
            .spec_rate = 64,
            .evict_rate = 8,
            .combined = i == 0 && combines(l),
        });
        assert_non_null(l->tlb[i]);
        model_tlb_on_completed(l->tlb[i], model_live_completed, model_live_agent(l->live, i));
    }
    tp_on_free_ctx = l;
    tp_on_free = freeing;
}

void lab_watch(struct lab *l, uint64_t ia, uint64_t len)
{
    l->window = ia;
    l->window_len = len;
    for (unsigned i = 0; i < LAB_AGENTS; i++) {
        assert_true(model_tlb_speculate_in(l->tlb[i], &l->ctx, hw(l, ia), len));
    }
    l->hook = (struct hosted_hook){
        .ctx = l, .before = before, .after = after, .publish = publish, .clean = clean
    };
    hosted_set_hook(&l->hook);
}

static void invalidate(struct lab *l, const struct pt_gather *g)
{
    for (unsigned a = 0; a < LAB_AGENTS; a++) {
        struct model_inv all = { .kind = MODEL_INV_VMID, .vmid = LAB_VMID };

        for (unsigned i = 0; i < g->n; i++) {
            lab_issue(l->tlb[a], &l->ctx, &g->inv[i]);
        }
        if (g->all) {
            model_tlb_invalidate(l->tlb[a], &all);
        }
        model_tlb_sync(l->tlb[a]);
        if (a == 0 && combines(l) && g->n > 0) {
            /* A CPU's combined entries: by IPA first, then all of stage 1 (DDI0487 D8.17). */
            struct model_inv s1 = { .kind = MODEL_INV_S1_VMID, .vmid = LAB_VMID };

            model_tlb_invalidate(l->tlb[a], &s1);
            model_tlb_sync(l->tlb[a]);
        }
    }
}

/* Entries that the coming change makes stale are cached for certain. */
void lab_begin(struct lab *l, uint64_t ia, uint64_t len, bool missing)
{
    uint64_t last = ia + len - 1;
    uint64_t page = l->t.page;
    uint64_t at[] = { ia, last & ~(page - 1), ia - page, last + 1,
                      ia + lab_below(l, len / page) * page };

    for (unsigned a = 0; a < LAB_AGENTS; a++) {
        for (unsigned i = 0; i < 5; i++) {
            if (at[i] < tp_top(&l->t)) {
                model_tlb_prefetch(l->tlb[a], &l->ctx, hw(l, at[i]));
            }
        }
    }
    model_live_scope_clear(l->live);
    model_live_scope(l->live, hw(l, ia), missing ? len : 0);
    l->focus = ia;
    l->focus_last = last;
    l->missing = missing;
}

void lab_end(struct lab *l, struct pt_gather *g)
{
    uint64_t had = hosted_live(), pa;
    uint64_t tables = (l->t.pool.count + tp_count(&l->t.pt).tables) * tp_table_pages(&l->t);
    unsigned n = 0;
    struct pt_table_iter it = { 0 };

    invalidate(l, g);
    l->missing = false;
    for (unsigned a = 0; a < LAB_AGENTS; a++) {
        enum model_verdict v = model_tlb_check(l->tlb[a], &l->ctx);

        tp_assert(v == MODEL_V_OK, "%s: %s\n", model_verdict_name(v), a ? "SMMU" : "CPU");
    }
    tp_done(&l->t, g);
    assert_true(hosted_live() <= had);
    assert_int_equal(hosted_live(), l->t.live0 + l->t.pt.root_pages + tables);
    model_live_audit(l->live);
    tp_assert(model_live_violations(l->live, MODEL_V_OK) == 0, "%s\n",
              model_verdict_name(model_live_first(l->live)));
    assert_int_equal(model_live_waiting(l->live), 0);
    model_live_scope_clear(l->live);
    while (pt_next_table(&l->t.pt, &it, &pa)) {
        check_clean(l, pa,
                    n++ < l->t.pt.root_pages ? PAGE_SIZE : pt_table_bytes(l->t.pt.cfg.format));
    }
    tp_audit(&l->t);
    for (unsigned i = 0; i < 8; i++) {
        lab_probe(l);
    }
}

void lab_close(struct lab *l)
{
    hosted_set_hook(NULL);
    tp_on_free = NULL;
    model_live_free(l->live);
    for (unsigned i = 0; i < LAB_AGENTS; i++) {
        model_tlb_free(l->tlb[i]);
    }
    tp_close(&l->t);
}
