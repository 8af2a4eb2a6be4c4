/* SPDX-License-Identifier: BSD-2-Clause */
#include "live_set.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_BUCKETS 4096u
#define STALE_BUCKETS 4096u
#define REGION_SHIFT  21u /* leaves up to this size are hashed by region, larger ones listed */

static uint32_t hash(uint64_t x, uint32_t buckets)
{
    x *= 0x9e3779b97f4a7c15u;
    return (uint32_t)((x >> 32) & (buckets - 1));
}

/* A judge that forgets is worse than none: no memory ends the test. */
static void *need(void *p)
{
    if (!p)
        abort();
    return p;
}

bool live_set_init(struct live_set *set, unsigned agents)
{
    memset(set, 0, sizeof(*set));
    set->all_agents = (uint8_t)((1u << agents) - 1);
    set->table_bucket = calloc(TABLE_BUCKETS, sizeof(struct live_table *));
    set->stale_bucket = malloc(STALE_BUCKETS * sizeof(*set->stale_bucket));
    if (!set->table_bucket || !set->stale_bucket) {
        live_set_destroy(set);
        return false;
    }
    memset(set->stale_bucket, 0xff, STALE_BUCKETS * sizeof(*set->stale_bucket));
    set->big_head = set->free_head = LIVE_NONE;
    return true;
}

void live_set_destroy(struct live_set *set)
{
    for (uint32_t b = 0; set->table_bucket && b < TABLE_BUCKETS; b++)
        while (set->table_bucket[b]) {
            struct live_table *t = set->table_bucket[b];

            set->table_bucket[b] = t->next;
            free(t);
        }
    free(set->table_bucket);
    free(set->stale_bucket);
    free(set->stale);
    free(set->dying);
    memset(set, 0, sizeof(*set));
}

struct live_table *live_table_find(struct live_set *set, uint64_t pa)
{
    struct live_table *t = set->table_bucket[hash(pa >> 12, TABLE_BUCKETS)];

    while (t && t->pa != pa)
        t = t->next;
    return t;
}

struct live_table *live_table_add(struct live_set *set, uint64_t pa, uint64_t ia, int level,
                                  int parent, unsigned entries)
{
    struct live_table *t = need(calloc(1, sizeof(*t) + entries * sizeof(t->shadow[0])));
    struct live_table **b = &set->table_bucket[hash(pa >> 12, TABLE_BUCKETS)];

    t->pa = pa;
    t->ia = ia;
    t->level = (int16_t)level;
    t->parent = (int16_t)parent;
    t->linked = true;
    t->next = *b;
    *b = t;
    set->linked++;
    return t;
}

void live_table_unlink(struct live_set *set, struct live_table *t)
{
    if (!t->linked)
        return;
    t->linked = false;
    t->pending = set->all_agents;
    t->spared = MODEL_V_OK;
    set->linked--;
    if (set->unlinked == set->dying_capacity) {
        set->dying_capacity = set->dying_capacity ? set->dying_capacity * 2 : 64;
        set->dying = need(realloc(set->dying, set->dying_capacity * sizeof(*set->dying)));
    }
    set->dying[set->unlinked++] = t;
}

static void remove_dying(struct live_set *set, const struct live_table *t)
{
    for (size_t i = 0; i < set->unlinked; i++)
        if (set->dying[i] == t) {
            set->dying[i] = set->dying[--set->unlinked];
            return;
        }
}

void live_table_drop(struct live_set *set, struct live_table *t)
{
    struct live_table **link = &set->table_bucket[hash(t->pa >> 12, TABLE_BUCKETS)];

    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    if (t->linked)
        set->linked--;
    else
        remove_dying(set, t);
    free(t);
}

struct live_table *live_table_next(struct live_set *set, struct live_table *t)
{
    uint32_t b = 0;

    if (t) {
        if (t->next)
            return t->next;
        b = hash(t->pa >> 12, TABLE_BUCKETS) + 1;
    }
    for (; b < TABLE_BUCKETS; b++)
        if (set->table_bucket[b])
            return set->table_bucket[b];
    return NULL;
}

static uint32_t *list_of(struct live_set *set, uint64_t ia, uint8_t shift)
{
    if (shift > REGION_SHIFT)
        return &set->big_head;
    return &set->stale_bucket[hash(ia >> REGION_SHIFT, STALE_BUCKETS)];
}

static bool same_translation(const struct model_leaf *a, const struct model_leaf *b)
{
    return a->ia == b->ia && a->oa == b->oa && a->shift == b->shift && a->attr == b->attr &&
           a->level == b->level && a->global == b->global;
}

void live_stale_add(struct live_set *set, const struct model_leaf *leaf, uint64_t at)
{
    uint64_t ia = at >> leaf->entry_shift << leaf->entry_shift;
    uint32_t *list = list_of(set, ia, leaf->entry_shift), slot;
    struct live_stale *s;

    for (uint32_t i = *list; i != LIVE_NONE; i = set->stale[i].next)
        if (set->stale[i].ia == ia && same_translation(&set->stale[i].leaf, leaf)) {
            set->stale[i].pending = set->all_agents;
            set->stale[i].spared = MODEL_V_OK;
            return;
        }
    if (set->free_head != LIVE_NONE) {
        slot = set->free_head;
        set->free_head = set->stale[slot].next;
    } else {
        if (set->stale_used == set->stale_capacity) {
            set->stale_capacity = set->stale_capacity ? set->stale_capacity * 2 : 256;
            set->stale = need(realloc(set->stale, set->stale_capacity * sizeof(*set->stale)));
        }
        slot = set->stale_used++;
    }
    s = &set->stale[slot];
    memset(s, 0, sizeof(*s));
    s->leaf = *leaf;
    s->ia = ia;
    s->shift = leaf->entry_shift;
    s->pending = set->all_agents;
    s->used = true;
    s->spared = MODEL_V_OK;
    s->next = *list;
    *list = slot;
    set->stales++;
}

static bool touches(const struct live_stale *s, uint64_t ia, uint8_t shift)
{
    return s->ia <= ia + (((uint64_t)1 << shift) - 1) &&
           ia <= s->ia + (((uint64_t)1 << s->shift) - 1);
}

void live_stale_each(struct live_set *set, uint64_t ia, uint8_t shift, live_stale_fn *fn, void *arg)
{
    if (shift > REGION_SHIFT) {
        for (uint32_t i = 0; i < set->stale_used; i++)
            if (set->stale[i].used && touches(&set->stale[i], ia, shift) && fn(arg, &set->stale[i]))
                return;
        return;
    }
    for (uint32_t i = *list_of(set, ia, shift); i != LIVE_NONE; i = set->stale[i].next)
        if (touches(&set->stale[i], ia, shift) && fn(arg, &set->stale[i]))
            return;
    for (uint32_t i = set->big_head; i != LIVE_NONE; i = set->stale[i].next)
        if (touches(&set->stale[i], ia, shift) && fn(arg, &set->stale[i]))
            return;
}

struct completion {
    const struct model_ctx *ctx;
    const struct model_inv *inv;
    uint8_t agent;
};

/* True if no agent holds it any more. */
static bool complete_leaf(const struct completion *c, struct live_stale *s)
{
    struct model_key key = {
        .ia = s->ia,
        .vmid = c->ctx->vmid,
        .asid = c->ctx->asid,
        .stage = c->ctx->walk.stage,
        .level = s->leaf.level,
        .shift = s->shift,
        .global = c->ctx->walk.stage == 1 && s->leaf.global,
    };
    enum model_verdict v = model_inv_match(c->inv, &key);

    if (v == MODEL_V_OK)
        s->pending &= (uint8_t) ~(1u << c->agent);
    else if (v != MODEL_V_STALE && (s->pending & (1u << c->agent)))
        s->spared = v;
    return s->pending == 0;
}

static void complete_list(struct live_set *set, const struct completion *c, uint32_t *link)
{
    while (*link != LIVE_NONE) {
        uint32_t slot = *link;
        struct live_stale *s = &set->stale[slot];

        if (!complete_leaf(c, s)) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        s->used = false;
        s->next = set->free_head;
        set->free_head = slot;
        set->stales--;
    }
}

/* Walkers find an unlinked table through the pointer that its parent held. */
static void complete_table(const struct completion *c, struct live_table *t)
{
    const struct model_walk_cfg *walk = &c->ctx->walk;
    uint8_t shift = model_pointer_shift(walk, t->parent, t->level);
    struct model_key key = {
        .ia = t->ia >> shift << shift,
        .vmid = c->ctx->vmid,
        .asid = c->ctx->asid,
        .stage = walk->stage,
        .level = t->parent,
        .shift = shift,
        .table = true,
    };
    enum model_verdict v = model_inv_match(c->inv, &key);

    if (v == MODEL_V_OK)
        t->pending &= (uint8_t) ~(1u << c->agent);
    else if (v != MODEL_V_STALE && (t->pending & (1u << c->agent)))
        t->spared = v;
}

void live_set_completed(struct live_set *set, const struct model_ctx *ctx, uint8_t agent,
                        const struct model_inv *inv)
{
    struct completion c = { ctx, inv, agent };
    uint64_t last = inv->ia + (inv->len ? inv->len - 1 : 0);
    uint64_t first_region = inv->ia >> REGION_SHIFT, regions;
    bool by_address = inv->kind == MODEL_INV_S1_ADDR || inv->kind == MODEL_INV_S2_ADDR;

    for (size_t i = 0; i < set->unlinked; i++)
        complete_table(&c, set->dying[i]);
    if (set->stales == 0)
        return;
    complete_list(set, &c, &set->big_head);
    regions = (last >> REGION_SHIFT) - first_region + 1;
    if (!by_address || regions >= STALE_BUCKETS) {
        for (uint32_t b = 0; b < STALE_BUCKETS; b++)
            complete_list(set, &c, &set->stale_bucket[b]);
        return;
    }
    for (uint64_t r = 0; r < regions; r++)
        complete_list(set, &c, list_of(set, (first_region + r) << REGION_SHIFT, 0));
}
