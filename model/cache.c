/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#define FREE_STAGE 0xff /* key.stage of a slot that is not in use */

static uint32_t bucket_of(const struct model_cache *c, bool table, uint8_t shift, uint64_t ia)
{
    uint64_t h = (shift < 64 ? ia >> shift : 0) * 0x9e3779b97f4a7c15u;

    h ^= ((uint64_t)shift << 1 | table) * 0xc2b2ae3d27d4eb4fu;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return (uint32_t)((h >> 20) & (c->buckets - 1));
}

bool model_cache_init(struct model_cache *cache)
{
    memset(cache, 0, sizeof(*cache));
    cache->buckets = 1024;
    cache->bucket = malloc(cache->buckets * sizeof(*cache->bucket));
    cache->free_head = MODEL_CACHE_NONE;
    if (!cache->bucket)
        return false;
    memset(cache->bucket, 0xff, cache->buckets * sizeof(*cache->bucket));
    return true;
}

void model_cache_destroy(struct model_cache *cache)
{
    free(cache->pool);
    free(cache->bucket);
    memset(cache, 0, sizeof(*cache));
}

static void link_entry(struct model_cache *c, uint32_t slot)
{
    struct model_tlb_entry *e = &c->pool[slot];
    uint32_t b = bucket_of(c, e->key.table, e->key.shift, e->key.ia);

    e->next = c->bucket[b];
    c->bucket[b] = slot;
}

/* Keeps chains short: as many buckets as slots. */
static bool grow(struct model_cache *c)
{
    uint32_t capacity = c->capacity ? c->capacity * 2 : 1024;
    struct model_tlb_entry *pool = realloc(c->pool, capacity * sizeof(*pool));
    uint32_t *bucket;

    if (!pool)
        return false;
    c->pool = pool;
    c->capacity = capacity;
    if (capacity <= c->buckets)
        return true;
    bucket = malloc(capacity * sizeof(*bucket));
    if (!bucket)
        return true; /* slower, not wrong */
    free(c->bucket);
    c->bucket = bucket;
    c->buckets = capacity;
    memset(bucket, 0xff, capacity * sizeof(*bucket));
    for (uint32_t i = 0; i < c->used; i++)
        if (c->pool[i].key.stage != FREE_STAGE)
            link_entry(c, i);
    return true;
}

static bool same_place(const struct model_key *a, const struct model_key *b)
{
    return a->ia == b->ia && a->shift == b->shift && a->table == b->table && a->stage == b->stage &&
           a->vmid == b->vmid && a->asid == b->asid && a->level == b->level &&
           a->global == b->global;
}

static bool same_contents(const struct model_tlb_entry *a, const struct model_tlb_entry *b)
{
    return a->pa == b->pa && a->gen == b->gen && a->attr == b->attr && a->perms == b->perms &&
           a->clean == b->clean && a->dirty == b->dirty && a->span == b->span &&
           a->next_level == b->next_level;
}

bool model_cache_insert(struct model_cache *cache, const struct model_tlb_entry *e)
{
    uint32_t b = bucket_of(cache, e->key.table, e->key.shift, e->key.ia), slot;

    for (uint32_t i = cache->bucket[b]; i != MODEL_CACHE_NONE; i = cache->pool[i].next) {
        struct model_tlb_entry *old = &cache->pool[i];

        if (!same_place(&old->key, &e->key))
            continue;
        if (same_contents(old, e))
            return false;
        /* The hardware's own dirty update goes to the cached copy too. */
        if (!e->key.table && e->dirty && old->clean && old->pa == e->pa && old->attr == e->attr) {
            old->clean = false;
            old->dirty = true;
            old->perms = e->perms;
            old->raw = e->raw;
            return true;
        }
    }
    if (cache->free_head != MODEL_CACHE_NONE) {
        slot = cache->free_head;
        cache->free_head = cache->pool[slot].next;
    } else {
        if (cache->used == cache->capacity && !grow(cache))
            return false;
        slot = cache->used++;
    }
    cache->pool[slot] = *e;
    cache->pool[slot].seq = ++cache->seq;
    cache->pool[slot].spared = MODEL_V_OK;
    link_entry(cache, slot);
    cache->count[e->key.table][e->key.shift]++;
    cache->total++;
    return true;
}

void model_cache_remove(struct model_cache *cache, struct model_tlb_entry *e)
{
    uint32_t slot = (uint32_t)(e - cache->pool);
    uint32_t *link = &cache->bucket[bucket_of(cache, e->key.table, e->key.shift, e->key.ia)];

    while (*link != slot)
        link = &cache->pool[*link].next;
    *link = e->next;
    cache->count[e->key.table][e->key.shift]--;
    cache->total--;
    e->key.stage = FREE_STAGE;
    e->next = cache->free_head;
    cache->free_head = slot;
}

struct model_tlb_entry *model_cache_at(struct model_cache *cache, uint32_t slot)
{
    for (; slot < cache->used; slot++)
        if (cache->pool[slot].key.stage != FREE_STAGE)
            return &cache->pool[slot];
    return NULL;
}

static bool serves(const struct model_key *key, const struct model_ctx *ctx)
{
    if (key->vmid != ctx->vmid)
        return false;
    if (ctx->walk.stage == 1)
        return key->stage == MODEL_STAGE_1 && (key->global || key->asid == ctx->asid);
    return key->stage == MODEL_STAGE_2 || key->stage == MODEL_STAGE_COMBINED;
}

unsigned model_cache_find(struct model_cache *cache, const struct model_ctx *ctx, bool table,
                          uint64_t ia, struct model_tlb_entry **out, unsigned max)
{
    unsigned n = 0;

    for (uint8_t shift = 0; shift < MODEL_SHIFTS; shift++) {
        uint64_t base;

        if (cache->count[table][shift] == 0)
            continue;
        base = ia >> shift << shift;
        for (uint32_t i = cache->bucket[bucket_of(cache, table, shift, base)];
             i != MODEL_CACHE_NONE && n < max; i = cache->pool[i].next) {
            struct model_tlb_entry *e = &cache->pool[i];

            if (e->key.table == table && e->key.shift == shift && e->key.ia == base &&
                serves(&e->key, ctx))
                out[n++] = e;
        }
    }
    return n;
}

/* True if the entry went. */
static bool apply_one(struct model_cache *c, const struct model_inv *inv, uint32_t slot)
{
    struct model_tlb_entry *e = &c->pool[slot];
    enum model_verdict v = model_inv_match(inv, &e->key);

    if (v == MODEL_V_OK) {
        model_cache_remove(c, e);
        return true;
    }
    if (v != MODEL_V_STALE)
        e->spared = v;
    return false;
}

uint32_t model_cache_apply(struct model_cache *cache, const struct model_inv *inv)
{
    bool by_address = inv->kind == MODEL_INV_S1_ADDR || inv->kind == MODEL_INV_S2_ADDR;
    uint64_t last = inv->ia + (inv->len ? inv->len - 1 : 0);
    uint32_t removed = 0;
    bool scan = !by_address;

    for (uint8_t shift = 0; by_address && shift < MODEL_SHIFTS; shift++) {
        for (unsigned table = 0; table < 2; table++) {
            uint64_t first = inv->ia >> shift, end = last >> shift;

            if (cache->count[table][shift] == 0)
                continue;
            if (end - first >= cache->used / 2) {
                scan = true;
                continue;
            }
            for (uint64_t k = first; k <= end; k++) {
                uint32_t i = cache->bucket[bucket_of(cache, table != 0, shift, k << shift)];

                while (i != MODEL_CACHE_NONE) {
                    uint32_t next = cache->pool[i].next;

                    if (cache->pool[i].key.shift == shift && cache->pool[i].key.table == table)
                        removed += apply_one(cache, inv, i);
                    i = next;
                }
            }
        }
    }
    for (uint32_t i = 0; scan && i < cache->used; i++)
        if (cache->pool[i].key.stage != FREE_STAGE)
            removed += apply_one(cache, inv, i);
    return removed;
}
