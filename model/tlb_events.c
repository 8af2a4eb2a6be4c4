/* SPDX-License-Identifier: BSD-2-Clause */
/* What a TLB does on its own: fills, speculation, evictions, the effect of invalidations. */
#include "tlb_int.h"

static void insert(struct model_tlb *tlb, const struct model_tlb_entry *e)
{
    if (model_cache_insert(&tlb->cache, e))
        tlb->stats.fills++;
}

/* Of a leaf of several entries only a piece is kept: the one that was read; or any, where one entry
 * speaks for all (Svnapot: "for any or all j"). */
static void take_piece(struct model_tlb *tlb, const struct model_xlat *x, struct model_tlb_entry *e)
{
    uint64_t pieces = (uint64_t)1 << (x->shift - x->entry_shift), piece;

    if (x->whole && model_rng_chance(&tlb->rng, 128))
        piece = model_rng_below(&tlb->rng, pieces);
    else
        piece = (x->ia - x->leaf_ia) >> x->entry_shift;
    e->key.ia += piece << x->entry_shift;
    e->pa += piece << x->entry_shift;
    e->key.shift = x->entry_shift;
}

static void fill_leaf(struct model_tlb *tlb, const struct model_ctx *ctx,
                      const struct model_xlat *x)
{
    struct model_tlb_entry e = {
        .key = {
            .ia = x->leaf_ia,
            .vmid = ctx->vmid,
            .asid = ctx->asid,
            .stage = ctx->walk.stage,
            .level = x->level,
            .shift = x->shift,
            .global = x->global,
        },
        .pa = x->leaf_oa,
        .raw = x->raw,
        .attr = x->attr,
        .memtype = x->memtype,
        .perms = x->perms,
        .span = x->shift,
        .clean = x->clean,
        .dirty = x->dirty,
        .contig = x->contig,
    };

    if (x->nt || !x->af)
        return; /* nT: not in a way that could conflict; AF clear: never cached */
    if (x->entry_shift < x->shift && model_rng_chance(&tlb->rng, 192))
        take_piece(tlb, x, &e);
    insert(tlb, &e);
    if (tlb->cfg.combined && ctx->walk.stage == 2) {
        e.key.stage = MODEL_STAGE_COMBINED;
        insert(tlb, &e);
    }
}

void tlb_fill(struct model_tlb *tlb, const struct model_ctx *ctx, const struct model_xlat *x)
{
    if (x->fault == MODEL_FAULT_BAD_TABLE)
        tlb->stats.bad_tables++;
    if (tlb->cfg.mode == MODEL_TLB_NONE)
        return;
    for (unsigned i = 0; !tlb->cfg.no_pointers && i + 1 < x->depth; i++) {
        const struct model_step *at = &x->chain[i], *below = &x->chain[i + 1];
        uint8_t shift = model_pointer_shift(&ctx->walk, at->level, below->level);
        struct model_tlb_entry e = {
            .key = {
                .ia = x->ia >> shift << shift,
                .vmid = ctx->vmid,
                .asid = ctx->asid,
                .stage = ctx->walk.stage,
                .level = at->level,
                .shift = shift,
                .table = true,
                .global = below->global,
            },
            .pa = below->table,
            .raw = at->raw,
            .gen = below->gen,
            .perms = below->limit,
            .next_level = below->level,
        };

        insert(tlb, &e);
    }
    if (x->fault == MODEL_OK || x->fault == MODEL_FAULT_PERMISSION)
        fill_leaf(tlb, ctx, x);
}

void tlb_finish(struct model_tlb *tlb, struct tlb_flight *f)
{
    while (!model_walk_step(&f->walk))
        ;
    if (!f->finished)
        tlb_fill(tlb, &f->ctx, &f->walk.out);
    f->finished = true;
}

struct model_tlb_entry *tlb_random_pointer(struct model_tlb *tlb, const struct model_ctx *ctx,
                                           uint64_t ia)
{
    struct model_tlb_entry *c[TLB_MAX_CANDIDATES];
    unsigned n = model_cache_find(&tlb->cache, ctx, true, ia, c, TLB_MAX_CANDIDATES);
    uint64_t pick = model_rng_below(&tlb->rng, n + 1);

    return pick < n ? c[pick] : NULL;
}

void tlb_begin_at(struct model_walk *w, const struct model_ctx *ctx, uint64_t ia,
                  struct model_access access, const struct model_tlb_entry *pointer)
{
    if (pointer) {
        model_walk_resume(w, &ctx->walk, ctx->mem, ia, access, pointer->next_level, pointer->pa,
                          pointer->gen, pointer->perms);
        if (pointer->key.global)
            model_walk_global(w);
    } else {
        model_walk_begin(w, &ctx->walk, ctx->mem, ia, access);
    }
}

static const struct tlb_range *random_place(struct model_tlb *tlb, uint64_t *ia)
{
    const struct tlb_range *r;

    if (tlb->ranges == 0 || tlb->cfg.mode == MODEL_TLB_NONE)
        return NULL;
    r = &tlb->range[model_rng_below(&tlb->rng, tlb->ranges)];
    *ia = r->ia + model_rng_below(&tlb->rng, r->len);
    return r;
}

void tlb_combine(struct model_tlb *tlb, const struct model_tlb_entry *leaf)
{
    struct model_tlb_entry e = *leaf; /* the insertion may move the entries */

    e.key.stage = MODEL_STAGE_COMBINED;
    insert(tlb, &e);
}

static void combine_any(struct model_tlb *tlb)
{
    struct model_tlb_entry *c[TLB_MAX_CANDIDATES];
    const struct tlb_range *r;
    unsigned n;
    uint64_t ia;

    r = random_place(tlb, &ia);
    n = r ? model_cache_find(&tlb->cache, &r->ctx, false, ia, c, TLB_MAX_CANDIDATES) : 0;
    for (uint64_t i = 0, from = n ? model_rng_below(&tlb->rng, n) : 0; i < n; i++)
        if (c[(from + i) % n]->key.stage == MODEL_STAGE_2) {
            tlb_combine(tlb, c[(from + i) % n]);
            return;
        }
}

void tlb_speculate(struct model_tlb *tlb)
{
    const struct tlb_range *r;
    struct model_walk w;
    uint64_t ia;

    r = random_place(tlb, &ia);
    if (!r)
        return;
    tlb_begin_at(&w, &r->ctx, ia, tlb_speculative, tlb_random_pointer(tlb, &r->ctx, ia));
    while (!model_walk_step(&w))
        ;
    tlb_fill(tlb, &r->ctx, &w.out);
    tlb->stats.speculative++;
}

/* Begins, or moves on, a speculative walk that spans several events. */
static void slow_speculate(struct model_tlb *tlb)
{
    struct tlb_flight *f = &tlb->flight[TLB_TEST_WALKS + model_rng_below(&tlb->rng, TLB_OWN_WALKS)];

    if (!f->used) {
        uint64_t ia;
        const struct tlb_range *r = random_place(tlb, &ia);

        if (!r)
            return;
        f->used = true;
        f->finished = false;
        f->ctx = r->ctx;
        tlb_begin_at(&f->walk, &f->ctx, ia, tlb_speculative, tlb_random_pointer(tlb, &f->ctx, ia));
        tlb->stats.speculative++;
    } else if (model_walk_step(&f->walk)) {
        tlb_finish(tlb, f);
        f->used = false;
    }
}

static void evict(struct model_tlb *tlb)
{
    uint32_t slot;
    struct model_tlb_entry *e;

    if (tlb->cache.total == 0)
        return;
    slot = (uint32_t)model_rng_below(&tlb->rng, tlb->cache.used);
    e = model_cache_at(&tlb->cache, slot);
    if (!e)
        e = model_cache_at(&tlb->cache, 0);
    model_cache_remove(&tlb->cache, e);
    tlb->stats.evictions++;
}

/*
 * The invalidation takes effect. Walks under way either end before it (and what they leave is
 * then subject to it) or start again after it: nothing that was read before may be cached after.
 */
void tlb_apply(struct model_tlb *tlb, struct tlb_pending *p)
{
    for (unsigned i = 0; i < TLB_WALKS; i++) {
        struct tlb_flight *f = &tlb->flight[i];

        if (!f->used || f->finished)
            continue;
        if (model_rng_chance(&tlb->rng, 128))
            tlb_finish(tlb, f);
        else
            tlb_begin_at(&f->walk, &f->ctx, f->walk.out.ia, f->walk.access, NULL);
        if (i >= TLB_TEST_WALKS && f->finished)
            f->used = false;
    }
    tlb->stats.removed += model_cache_apply(&tlb->cache, &p->inv);
    p->applied = true;
    tlb->unapplied--;
}

/* One of those that are issued but not in effect. */
void tlb_apply_any(struct model_tlb *tlb)
{
    uint64_t skip = model_rng_below(&tlb->rng, tlb->unapplied);

    for (size_t i = 0; i < tlb->pendings; i++)
        if (!tlb->pending[i].applied && skip-- == 0) {
            tlb_apply(tlb, &tlb->pending[i]);
            return;
        }
}

void tlb_tick(struct model_tlb *tlb)
{
    if (tlb->unapplied && tlb->cfg.apply == MODEL_APPLY_RANDOM && model_rng_chance(&tlb->rng, 32)) {
        tlb_apply_any(tlb);
        tlb->stats.applied_early++;
    }
    if (tlb->ranges && model_rng_chance(&tlb->rng, tlb->cfg.spec_rate)) {
        uint64_t what = model_rng_below(&tlb->rng, 4);

        if (what == 0)
            tlb_speculate(tlb);
        else if (what == 1 && tlb->cfg.combined)
            combine_any(tlb);
        else
            slow_speculate(tlb);
    }
    if (tlb->cfg.mode == MODEL_TLB_RANDOM && model_rng_chance(&tlb->rng, tlb->cfg.evict_rate))
        evict(tlb);
}
