/* SPDX-License-Identifier: BSD-2-Clause */
#include "tlb.h"

#include <stdlib.h>
#include <string.h>

#include "tlb_int.h"

struct model_tlb *model_tlb_new(const struct model_tlb_cfg *cfg)
{
    struct model_tlb *tlb = calloc(1, sizeof(*tlb));

    if (!tlb)
        return NULL;
    tlb->cfg = *cfg;
    model_rng_seed(&tlb->rng, cfg->seed);
    if (!model_cache_init(&tlb->cache) || pthread_mutex_init(&tlb->lock, NULL) != 0 ||
        pthread_mutex_init(&tlb->syncing, NULL) != 0) {
        model_cache_destroy(&tlb->cache);
        free(tlb);
        return NULL;
    }
    return tlb;
}

void model_tlb_free(struct model_tlb *tlb)
{
    if (!tlb)
        return;
    pthread_mutex_destroy(&tlb->lock);
    pthread_mutex_destroy(&tlb->syncing);
    model_cache_destroy(&tlb->cache);
    free(tlb->pending);
    free(tlb);
}

static void acquire(struct model_tlb *tlb)
{
    pthread_mutex_lock(&tlb->lock);
}

static void release(struct model_tlb *tlb)
{
    pthread_mutex_unlock(&tlb->lock);
}

bool model_tlb_speculate_in(struct model_tlb *tlb, const struct model_ctx *ctx, uint64_t ia,
                            uint64_t len)
{
    bool room;

    acquire(tlb);
    room = tlb->ranges < TLB_MAX_RANGES && len > 0;
    if (room)
        tlb->range[tlb->ranges++] = (struct tlb_range){ *ctx, ia, len };
    release(tlb);
    return room;
}

void model_tlb_speculate_nowhere(struct model_tlb *tlb)
{
    acquire(tlb);
    tlb->ranges = 0;
    for (unsigned i = TLB_TEST_WALKS; i < TLB_WALKS; i++)
        tlb->flight[i].used = false;
    release(tlb);
}

bool model_tlb_on_drain(struct model_tlb *tlb, model_inv_fn *drain, void *ctx)
{
    if (tlb->drains == TLB_MAX_HOOKS)
        return false;
    tlb->drain[tlb->drains++] = (struct tlb_hook){ drain, ctx };
    return true;
}

bool model_tlb_on_completed(struct model_tlb *tlb, model_inv_fn *completed, void *ctx)
{
    if (tlb->completeds == TLB_MAX_HOOKS)
        return false;
    tlb->completed[tlb->completeds++] = (struct tlb_hook){ completed, ctx };
    return true;
}

void model_tlb_tick(struct model_tlb *tlb)
{
    acquire(tlb);
    tlb_tick(tlb);
    release(tlb);
}

void model_tlb_speculate(struct model_tlb *tlb, unsigned n)
{
    acquire(tlb);
    while (n--)
        tlb_speculate(tlb);
    release(tlb);
}

void model_tlb_prefetch(struct model_tlb *tlb, const struct model_ctx *ctx, uint64_t ia)
{
    struct model_xlat x;

    acquire(tlb);
    model_walk(&ctx->walk, ctx->mem, ia, tlb_speculative, &x);
    tlb_fill(tlb, ctx, &x);
    tlb->stats.speculative++;
    release(tlb);
}

/* Two cached leaves for one address: which kind of contradiction? */
static enum model_verdict contradiction(const struct model_walk_cfg *walk,
                                        const struct model_tlb_entry *a,
                                        const struct model_tlb_entry *b, uint64_t ia)
{
    uint8_t code = a->perms & b->perms & (MODEL_X | MODEL_X << MODEL_USER_SHIFT);

    /* Where one store may replace a leaf, two of one size are an old and a new one. */
    if (a->key.stage != b->key.stage || (walk->fmt->one_store && a->span == b->span))
        return MODEL_V_OK;
    if (a->pa + (ia - a->key.ia) != b->pa + (ia - b->key.ia) || a->attr != b->attr ||
        a->key.global != b->key.global)
        return MODEL_V_CONFLICT_CONTENTS;
    /* And two sizes are no trouble, but for the multiple-hit erratum. */
    if (walk->fmt->one_store && !(walk->multihit && code))
        return MODEL_V_OK;
    return a->span != b->span ? MODEL_V_CONFLICT_SIZE : MODEL_V_OK;
}

static enum model_verdict conflict(struct model_tlb *tlb, const struct model_walk_cfg *walk,
                                   struct model_tlb_entry **leaf, unsigned n, uint64_t ia)
{
    enum model_verdict worst = MODEL_V_OK;

    for (unsigned i = 0; i < n; i++)
        for (unsigned j = i + 1; j < n; j++) {
            enum model_verdict v = contradiction(walk, leaf[i], leaf[j], ia);

            if (v == MODEL_V_CONFLICT_CONTENTS || worst == MODEL_V_OK)
                worst = v;
        }
    tlb->stats.conflicts_size += worst == MODEL_V_CONFLICT_SIZE;
    tlb->stats.conflicts_contents += worst == MODEL_V_CONFLICT_CONTENTS;
    return worst;
}

static enum model_fault from_leaf(const struct model_tlb_entry *e, uint64_t ia,
                                  struct model_access access, struct model_xlat *out)
{
    unsigned need = (unsigned)access.what << (access.user ? MODEL_USER_SHIFT : 0);

    memset(out, 0, sizeof(*out));
    out->ia = ia;
    out->oa = e->pa + (ia - e->key.ia);
    out->raw = e->raw;
    out->leaf_ia = e->key.ia;
    out->leaf_oa = e->pa;
    out->attr = e->attr;
    out->memtype = e->memtype;
    out->level = e->key.level;
    out->shift = e->key.shift;
    out->entry_shift = e->key.shift;
    out->perms = e->perms;
    out->global = e->key.global;
    out->clean = e->clean;
    out->dirty = e->dirty;
    out->contig = e->contig;
    out->source = MODEL_FROM_LEAF;
    out->stale_why = e->spared;
    out->fault = (need & e->perms) == need ? MODEL_OK : MODEL_FAULT_PERMISSION;
    return out->fault;
}

/* Oldest leaf; for pointers, the deepest first. */
static struct model_tlb_entry *oldest(struct model_tlb_entry **c, unsigned n)
{
    struct model_tlb_entry *best = NULL;

    for (unsigned i = 0; i < n; i++)
        if (!best || (c[i]->key.table && c[i]->key.level > best->key.level) ||
            (c[i]->key.level == best->key.level && c[i]->seq < best->seq) ||
            (!c[i]->key.table && c[i]->seq < best->seq))
            best = c[i];
    return best;
}

enum model_fault model_tlb_translate(struct model_tlb *tlb, const struct model_ctx *ctx,
                                     uint64_t ia, struct model_access access,
                                     struct model_xlat *out)
{
    struct model_tlb_entry *c[2 * TLB_MAX_CANDIDATES], *use = NULL;
    enum model_verdict clash, why = MODEL_V_OK;
    unsigned leaves, n;
    struct model_walk w;

    acquire(tlb);
    tlb_tick(tlb);
    tlb->stats.translations++;
    leaves = model_cache_find(&tlb->cache, ctx, false, ia, c, TLB_MAX_CANDIDATES);
    n = leaves + model_cache_find(&tlb->cache, ctx, true, ia, c + leaves, TLB_MAX_CANDIDATES);
    clash = conflict(tlb, &ctx->walk, c, leaves, ia);
    if (tlb->cfg.mode == MODEL_TLB_RANDOM) {
        uint64_t pick = model_rng_below(&tlb->rng, n + 1);

        use = pick < n ? c[pick] : NULL;
    } else {
        use = leaves ? oldest(c, leaves) : oldest(c + leaves, n - leaves);
    }
    if (use && !use->key.table) {
        bool dirties = (access.what & MODEL_W) && !access.spec && use->clean;

        if (from_leaf(use, ia, access, out) != MODEL_OK || !dirties) {
            tlb->stats.leaf_hits++;
            if (tlb->cfg.combined && use->key.stage == MODEL_STAGE_2)
                tlb_combine(tlb, use);
            goto done;
        }
        /* Hardware has to set the dirty state in the table itself: it walks. */
        use = tlb->cfg.mode == MODEL_TLB_RANDOM ? tlb_random_pointer(tlb, ctx, ia)
                                                : oldest(c + leaves, n - leaves);
    }
    tlb->stats.pointer_hits += use != NULL;
    tlb->stats.root_walks += use == NULL;
    if (use)
        why = use->spared;
    tlb_begin_at(&w, ctx, ia, access, use);
    while (!model_walk_step(&w))
        ;
    *out = w.out;
    out->source = use ? MODEL_FROM_POINTER : MODEL_FROM_TABLES;
    out->stale_why = why;
    tlb_fill(tlb, ctx, out);
done:
    out->conflict = clash;
    release(tlb);
    return out->fault;
}

int model_tlb_walk_begin(struct model_tlb *tlb, const struct model_ctx *ctx, uint64_t ia,
                         struct model_access access)
{
    int handle = -1;

    acquire(tlb);
    for (unsigned i = 0; i < TLB_TEST_WALKS && handle < 0; i++) {
        struct tlb_flight *f = &tlb->flight[i];

        if (f->used)
            continue;
        f->used = true;
        f->finished = false;
        f->ctx = *ctx;
        tlb_begin_at(&f->walk, &f->ctx, ia, access, NULL);
        handle = (int)i;
    }
    release(tlb);
    return handle;
}

bool model_tlb_walk_step(struct model_tlb *tlb, int handle)
{
    struct tlb_flight *f = &tlb->flight[handle];
    bool done;

    acquire(tlb);
    if (!f->finished && model_walk_step(&f->walk))
        tlb_finish(tlb, f);
    done = f->finished;
    release(tlb);
    return done;
}

enum model_fault model_tlb_walk_end(struct model_tlb *tlb, int handle, struct model_xlat *out)
{
    struct tlb_flight *f = &tlb->flight[handle];

    acquire(tlb);
    tlb_finish(tlb, f);
    *out = f->walk.out;
    f->used = false;
    release(tlb);
    return out->fault;
}

void model_tlb_invalidate(struct model_tlb *tlb, const struct model_inv *inv)
{
    acquire(tlb);
    if (tlb->pendings == tlb->capacity) {
        size_t capacity = tlb->capacity ? tlb->capacity * 2 : 64;
        struct tlb_pending *p = realloc(tlb->pending, capacity * sizeof(*p));

        if (!p)
            abort(); /* a judge that forgets is worse than none */
        tlb->pending = p;
        tlb->capacity = capacity;
    }
    tlb->pending[tlb->pendings] = (struct tlb_pending){ *inv, false };
    tlb->unapplied++;
    tlb->pendings++;
    if (tlb->cfg.apply == MODEL_APPLY_AT_ONCE) {
        tlb_apply(tlb, &tlb->pending[tlb->pendings - 1]);
        tlb->stats.applied_early++;
    }
    tlb_tick(tlb);
    release(tlb);
}

void model_tlb_sync(struct model_tlb *tlb)
{
    struct model_inv *batch = NULL;
    size_t count;

    pthread_mutex_lock(&tlb->syncing);
    acquire(tlb);
    tlb_tick(tlb);
    while (tlb->unapplied) {
        tlb_apply_any(tlb);
        tlb->stats.applied_at_sync++;
        /* Walks go on between the effects of one batch. */
        for (uint64_t n = model_rng_below(&tlb->rng, 4); tlb->unapplied && n > 0; n--)
            tlb_tick(tlb);
    }
    count = tlb->pendings;
    if (count && tlb->drains + tlb->completeds > 0) {
        batch = malloc(count * sizeof(*batch));
        if (!batch)
            abort();
        for (size_t i = 0; i < count; i++)
            batch[i] = tlb->pending[i].inv;
    }
    tlb->pendings = 0;
    tlb->stats.syncs++;
    release(tlb);
    for (unsigned i = 0; batch && i < tlb->drains; i++)
        tlb->drain[i].fn(tlb->drain[i].ctx, batch, count);
    for (unsigned i = 0; batch && i < tlb->completeds; i++)
        tlb->completed[i].fn(tlb->completed[i].ctx, batch, count);
    pthread_mutex_unlock(&tlb->syncing);
    free(batch);
}

size_t model_tlb_entries(struct model_tlb *tlb)
{
    size_t n;

    acquire(tlb);
    n = tlb->cache.total;
    release(tlb);
    return n;
}

struct model_tlb_stats model_tlb_stats(struct model_tlb *tlb)
{
    struct model_tlb_stats s;

    acquire(tlb);
    s = tlb->stats;
    release(tlb);
    return s;
}

static enum model_verdict audit_table(const struct model_tlb_entry *e, const struct model_xlat *now)
{
    for (unsigned i = 0; i + 1 < now->depth; i++)
        if (now->chain[i].level == e->key.level)
            return now->chain[i + 1].table == e->pa && now->chain[i + 1].gen == e->gen
                       ? MODEL_V_OK
                       : MODEL_V_STALE_TABLE;
    return MODEL_V_STALE_TABLE;
}

static enum model_verdict audit_leaf(const struct model_tlb_entry *e, const struct model_xlat *now)
{
    if (now->fault != MODEL_OK)
        return MODEL_V_STALE;
    if (now->leaf_oa + (e->key.ia - now->leaf_ia) != e->pa || now->attr != e->attr ||
        now->global != e->key.global)
        return MODEL_V_STALE;
    if (now->shift != e->span)
        return MODEL_V_STALE_SIZE;
    if (e->dirty && now->clean)
        return MODEL_V_STALE_DIRTY;
    return e->perms != now->perms ? MODEL_V_STALE_PERMISSION : MODEL_V_OK;
}

size_t model_tlb_audit(struct model_tlb *tlb, const struct model_ctx *ctx, model_tlb_found *found,
                       void *arg)
{
    static const struct model_access peek = { .what = MODEL_R, .peek = true };
    struct model_tlb_entry *e;
    size_t bad = 0;

    acquire(tlb);
    for (uint32_t i = 0; (e = model_cache_at(&tlb->cache, i)) != NULL;) {
        enum model_verdict v;
        struct model_xlat now;

        i = (uint32_t)(e - tlb->cache.pool) + 1;
        if (e->key.vmid != ctx->vmid || (e->key.stage == MODEL_STAGE_1) != (ctx->walk.stage == 1) ||
            (ctx->walk.stage == 1 && !e->key.global && e->key.asid != ctx->asid))
            continue;
        model_walk(&ctx->walk, ctx->mem, e->key.ia, peek, &now);
        v = e->key.table ? audit_table(e, &now) : audit_leaf(e, &now);
        if (v == MODEL_V_OK)
            continue;
        bad++;
        /* If an invalidation of this address did complete, its fault is the better name. */
        if (found)
            found(arg, e->spared != MODEL_V_OK ? e->spared : v, e);
    }
    release(tlb);
    return bad;
}

static void first(void *arg, enum model_verdict v, const struct model_tlb_entry *e)
{
    enum model_verdict *out = arg;

    (void)e;
    if (*out == MODEL_V_OK)
        *out = v;
}

enum model_verdict model_tlb_check(struct model_tlb *tlb, const struct model_ctx *ctx)
{
    enum model_verdict v = MODEL_V_OK;

    model_tlb_audit(tlb, ctx, first, &v);
    return v;
}
