/* SPDX-License-Identifier: BSD-2-Clause */
/* The TLB's store of entries: a hash over (kind, size, address); internal to tlb.c. No locking. */
#ifndef MODEL_CACHE_H
#define MODEL_CACHE_H

#include "tlb.h"

#define MODEL_CACHE_NONE UINT32_MAX
#define MODEL_SHIFTS     64u

struct model_cache {
    struct model_tlb_entry *pool;
    uint32_t *bucket;
    uint32_t capacity, buckets, used, free_head;
    uint32_t count[2][MODEL_SHIFTS]; /* leaves and tables by size */
    uint32_t total;
    uint64_t seq;
};

bool model_cache_init(struct model_cache *cache);
void model_cache_destroy(struct model_cache *cache);

/* Copies e in, unless an equal entry is there. False: was there already (or no memory). */
bool model_cache_insert(struct model_cache *cache, const struct model_tlb_entry *e);
/* Up to max entries of this kind that translate ia for these tags. Returns how many. */
unsigned model_cache_find(struct model_cache *cache, const struct model_ctx *ctx, bool table,
                          uint64_t ia, struct model_tlb_entry **out, unsigned max);
/* Removes what inv must remove and notes on the rest why it was spared. Returns how many. */
uint32_t model_cache_apply(struct model_cache *cache, const struct model_inv *inv);
/* The n-th slot in use at or after a position, for eviction and audits; NULL at the end. */
struct model_tlb_entry *model_cache_at(struct model_cache *cache, uint32_t slot);
void model_cache_remove(struct model_cache *cache, struct model_tlb_entry *e);

#endif
