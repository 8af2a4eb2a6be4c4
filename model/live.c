/* SPDX-License-Identifier: BSD-2-Clause */
#include "live.h"

#include <stdlib.h>
#include <string.h>

#include "live_int.h"

enum model_verdict model_live_store(struct model_live *live, const struct model_store *store)
{
    const struct model_walk_cfg *walk = &live->cfg.walk;
    struct live_change c = { .live = live, .store = store };
    unsigned index = (unsigned)((store->entry & live->table_mask) / 8);
    uint64_t software = ~walk->fmt->hw_mask(walk), seen;
    struct live_table *t;

    pthread_mutex_lock(&live->lock);
    t = live_table_find(&live->set, store->entry & ~live->table_mask);
    if (!t || (!t->linked && !t->pending))
        goto out;
    c.level = t->level;
    c.ia = model_ia_extend(walk, t->ia + ((uint64_t)index << walk->fmt->shift(walk, t->level)));
    seen = t->shadow[index];
    /* The report of a store that another one overtook is no lie. */
    if (((seen ^ store->old) & software) && ((seen ^ store->value) & software))
        live_violation(&c, MODEL_V_UNLOGGED);
    t->shadow[index] = store->value;
    if (store->old != store->value)
        live_judge(&c, t->linked);
out:
    pthread_mutex_unlock(&live->lock);
    return c.verdict;
}

struct model_live *model_live_new(const struct model_live_cfg *cfg)
{
    struct model_live *live = calloc(1, sizeof(*live));
    struct live_change c = { .live = live };
    unsigned roots = model_root_entries(&cfg->walk);
    unsigned entries = 1u << (model_table_shift(&cfg->walk) - 3);
    unsigned tables = roots > entries ? roots / entries : 1;

    if (!live || cfg->agents == 0 || cfg->agents > 8) {
        free(live);
        return NULL;
    }
    live->cfg = *cfg;
    live->entries = entries;
    live->table_mask = entries * (uint64_t)8 - 1;
    live->ctx = (struct model_ctx){ cfg->walk, cfg->mem, cfg->vmid, cfg->asid };
    if (pthread_mutex_init(&live->lock, NULL) != 0) {
        free(live);
        return NULL;
    }
    if (!live_set_init(&live->set, cfg->agents)) {
        model_live_free(live);
        return NULL;
    }
    for (uint8_t i = 0; i < 8; i++)
        live->agent[i] = (struct live_agent){ live, i };
    for (unsigned p = 0; p < tables; p++) {
        uint8_t shift = cfg->walk.fmt->shift(&cfg->walk, cfg->walk.start_level);
        uint64_t pa = cfg->walk.root + p * (live->table_mask + 1);

        live_link_tree(&c, pa, (uint64_t)p * entries << shift, cfg->walk.start_level);
        live_table_find(&live->set, pa)->root = true;
    }
    return live;
}

enum model_verdict model_live_root(struct model_live *live, const struct model_walk_cfg *walk)
{
    struct model_store none = { .entry = walk->root };
    struct live_change c = { .live = live, .store = &none, .level = walk->start_level };

    pthread_mutex_lock(&live->lock);
    live_reroot(&c, walk);
    pthread_mutex_unlock(&live->lock);
    return c.verdict;
}

void model_live_free(struct model_live *live)
{
    if (!live)
        return;
    pthread_mutex_destroy(&live->lock);
    live_set_destroy(&live->set);
    free(live);
}

void model_live_on_violation(struct model_live *live, model_live_log *log, void *arg)
{
    live->log = log;
    live->log_arg = arg;
}

void model_live_scope(struct model_live *live, uint64_t ia, uint64_t len)
{
    pthread_mutex_lock(&live->lock);
    if (live->scopes == LIVE_SCOPES)
        abort();
    /* A length of nothing is a scope too: one that holds no address. */
    live->scope[live->scopes++] = (struct live_span){ len ? ia : 1, len ? ia + len - 1 : 0 };
    pthread_mutex_unlock(&live->lock);
}

void model_live_scope_clear(struct model_live *live)
{
    pthread_mutex_lock(&live->lock);
    live->scopes = 0;
    pthread_mutex_unlock(&live->lock);
}

void model_live_harvest(struct model_live *live, bool on)
{
    pthread_mutex_lock(&live->lock);
    live->harvest = on;
    pthread_mutex_unlock(&live->lock);
}

void *model_live_agent(struct model_live *live, unsigned agent)
{
    return agent < live->cfg.agents ? &live->agent[agent] : NULL;
}

void model_live_completed(void *arg, const struct model_inv *inv, size_t count)
{
    struct live_agent *agent = arg;
    struct model_live *live = agent->live;

    pthread_mutex_lock(&live->lock);
    for (size_t i = 0; i < count; i++)
        live_set_completed(&live->set, &live->ctx, agent->number, &inv[i]);
    pthread_mutex_unlock(&live->lock);
}

/* The leaf that translates ia now, if any. */
static bool present(struct model_live *live, uint64_t ia, struct model_leaf *leaf)
{
    static const struct model_access peek = { .what = MODEL_R, .peek = true };
    struct model_xlat x;

    if (model_walk(&live->cfg.walk, live->cfg.mem, ia, peek, &x) != MODEL_OK)
        return false;
    *leaf = (struct model_leaf){ .ia = x.leaf_ia, .clean = x.clean, .dirty = x.dirty };
    return true;
}

/*
 * Walkers could set dirty state in an unlinked table until their invalidation completed. Whoever
 * frees it must have carried that over: what is dirty in it is not clean in the tree.
 */
static void check_dirty(struct live_change *c, const struct live_table *t)
{
    struct model_live *live = c->live;
    const struct model_walk_cfg *walk = &live->cfg.walk;
    uint8_t shift = walk->fmt->shift(walk, t->level);

    for (unsigned i = 0; walk->hd && !live->harvest && i < live->entries; i++) {
        uint64_t ia = model_ia_extend(walk, t->ia + ((uint64_t)i << shift));
        struct model_leaf now;
        struct model_desc d;

        live_decode(live, t->level, live_read(live, t->pa + i * 8), &d);
        if (d.kind == MODEL_DESC_LEAF && d.dirty && present(live, ia, &now) && now.clean) {
            c->ia = ia;
            live_violation(c, MODEL_V_DIRTY_LOST);
            return;
        }
    }
}

enum model_verdict model_live_table_free(struct model_live *live, uint64_t pa)
{
    struct model_store none = { .entry = pa };
    struct live_change c = { .live = live, .store = &none };
    struct live_table *t;

    pthread_mutex_lock(&live->lock);
    t = live_table_find(&live->set, pa & ~live->table_mask);
    if (!t)
        goto out;
    c.level = t->level;
    c.ia = t->ia;
    if (t->linked) {
        live_violation(&c, MODEL_V_TABLE_FREED_LIVE);
        goto out;
    }
    if (t->pending)
        live_violation(&c, t->spared != MODEL_V_OK ? t->spared : MODEL_V_TABLE_FREED_EARLY);
    check_dirty(&c, t);
    live_table_drop(&live->set, t);
out:
    pthread_mutex_unlock(&live->lock);
    return c.verdict;
}

/* Do entry i and its neighbours in the same leaf of several entries say the same? */
static bool set_whole(const struct model_live *live, const struct live_table *t, unsigned i,
                      const struct model_leaf *leaf)
{
    const struct model_walk_cfg *walk = &live->cfg.walk;
    unsigned n = 1u << (leaf->shift - leaf->entry_shift), first = i & ~(n - 1);

    for (unsigned k = i > first ? i - 1 : i; k <= i + 1 && k < first + n; k++) {
        struct model_desc d;
        struct model_leaf other;

        live_decode(live, t->level, live_read(live, t->pa + k * 8), &d);
        if (d.kind != MODEL_DESC_LEAF)
            return false;
        other = model_leaf_of(walk, &d, leaf->ia + ((uint64_t)(k - first) << leaf->entry_shift),
                              t->level);
        if (other.ia != leaf->ia || other.oa != leaf->oa || other.shift != leaf->shift ||
            other.attr != leaf->attr || other.perms != leaf->perms)
            return false;
    }
    return true;
}

/* Has a page that walkers can reach changed behind the judge's back? */
static void audit_table(struct live_change *c, struct live_table *t)
{
    struct model_live *live = c->live;
    const struct model_walk_cfg *walk = &live->cfg.walk;
    uint64_t software = ~walk->fmt->hw_mask(walk);
    unsigned n = live_entries(live, t->pa);

    for (unsigned i = 0; i < n; i++) {
        uint64_t raw = live_read(live, t->pa + i * 8);
        struct model_desc d, was;

        c->level = t->level;
        c->ia = model_ia_extend(walk, t->ia + ((uint64_t)i << walk->fmt->shift(walk, t->level)));
        live_decode(live, t->level, raw, &d);
        live_decode(live, t->level, t->shadow[i], &was);
        if (d.kind != MODEL_DESC_INVALID && d.reserved)
            live_violation(c, MODEL_V_RESERVED_BITS);
        if (d.kind == MODEL_DESC_LEAF && t->linked) {
            struct model_leaf leaf = model_leaf_of(walk, &d, c->ia, t->level);

            if (leaf.entry_shift < leaf.shift && !set_whole(live, t, i, &leaf))
                live_violation(c, MODEL_V_SET_DIFFERS);
        }
        if (((raw ^ t->shadow[i]) & software) == 0)
            continue;
        if (d.kind == MODEL_DESC_INVALID && was.kind == MODEL_DESC_INVALID)
            continue; /* software's own notes */
        live_violation(c, t->linked ? MODEL_V_UNLOGGED : MODEL_V_TABLE_FREED_EARLY);
    }
}

enum model_verdict model_live_audit(struct model_live *live)
{
    struct model_store none = { 0 };
    struct live_change c = { .live = live, .store = &none };

    pthread_mutex_lock(&live->lock);
    for (struct live_table *t = live_table_next(&live->set, NULL); t;
         t = live_table_next(&live->set, t))
        if (t->linked || t->pending)
            audit_table(&c, t);
    pthread_mutex_unlock(&live->lock);
    return c.verdict;
}

size_t model_live_violations(struct model_live *live, enum model_verdict v)
{
    size_t n;

    pthread_mutex_lock(&live->lock);
    n = live->count[v];
    pthread_mutex_unlock(&live->lock);
    return n;
}

enum model_verdict model_live_first(struct model_live *live)
{
    enum model_verdict v;

    pthread_mutex_lock(&live->lock);
    v = live->first;
    pthread_mutex_unlock(&live->lock);
    return v;
}

void model_live_forget(struct model_live *live)
{
    pthread_mutex_lock(&live->lock);
    memset(live->count, 0, sizeof(live->count));
    live->first = MODEL_V_OK;
    pthread_mutex_unlock(&live->lock);
}

size_t model_live_tables(struct model_live *live)
{
    size_t n;

    pthread_mutex_lock(&live->lock);
    n = live->set.linked;
    pthread_mutex_unlock(&live->lock);
    return n;
}

size_t model_live_waiting(struct model_live *live)
{
    size_t n;

    pthread_mutex_lock(&live->lock);
    n = live->set.stales;
    for (size_t i = 0; i < live->set.unlinked; i++)
        n += live->set.dying[i]->pending != 0;
    pthread_mutex_unlock(&live->lock);
    return n;
}
