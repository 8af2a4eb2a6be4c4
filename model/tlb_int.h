/* SPDX-License-Identifier: BSD-2-Clause */
/* Between tlb.c (the calls) and tlb_events.c (what may happen at any moment). */
#ifndef MODEL_TLB_INT_H
#define MODEL_TLB_INT_H

#include <pthread.h>

#include "cache.h"
#include "rng.h"
#include "tlb.h"

#define TLB_MAX_CANDIDATES 32u
#define TLB_MAX_RANGES     16u
#define TLB_MAX_HOOKS      8u
#define TLB_TEST_WALKS     8u
#define TLB_OWN_WALKS      4u /* speculative ones that take their time */
#define TLB_WALKS          (TLB_TEST_WALKS + TLB_OWN_WALKS)

struct tlb_range {
    struct model_ctx ctx;
    uint64_t ia, len;
};

struct tlb_flight {
    struct model_walk walk;
    struct model_ctx ctx;
    bool used, finished;
};

struct tlb_pending {
    struct model_inv inv;
    bool applied;
};

struct tlb_hook {
    model_inv_fn *fn;
    void *ctx;
};

struct model_tlb {
    pthread_mutex_t lock;
    pthread_mutex_t
        syncing; /* a sync ends when those before it have: what they took is over by then */
    struct model_tlb_cfg cfg;
    struct model_rng rng;
    struct model_cache cache;
    struct model_tlb_stats stats;
    struct tlb_range range[TLB_MAX_RANGES];
    unsigned ranges;
    struct tlb_flight flight[TLB_WALKS];
    struct tlb_pending *pending; /* since the last sync */
    size_t pendings, capacity, unapplied;
    struct tlb_hook drain[TLB_MAX_HOOKS], completed[TLB_MAX_HOOKS];
    unsigned drains, completeds;
};

static const struct model_access tlb_speculative = { .what = MODEL_R, .spec = true };

/* All with the lock held. */

/* What a finished walk leaves behind. A table pointer is cached whatever lies below it. */
void tlb_fill(struct model_tlb *tlb, const struct model_ctx *ctx, const struct model_xlat *x);
/* Runs a walk under way to its end and keeps what it leaves. */
void tlb_finish(struct model_tlb *tlb, struct tlb_flight *f);
/* Stage 1 is off: a cached stage 2 leaf is all it takes to make a combined entry. */
void tlb_combine(struct model_tlb *tlb, const struct model_tlb_entry *leaf);
/* A walk from a cached pointer, or from the root without one. */
void tlb_begin_at(struct model_walk *w, const struct model_ctx *ctx, uint64_t ia,
                  struct model_access access, const struct model_tlb_entry *pointer);
/* Any cached pointer that serves ia, or NULL: the root. */
struct model_tlb_entry *tlb_random_pointer(struct model_tlb *tlb, const struct model_ctx *ctx,
                                           uint64_t ia);
void tlb_speculate(struct model_tlb *tlb);
/* An invalidation takes effect: this one; any one that has not yet. */
void tlb_apply(struct model_tlb *tlb, struct tlb_pending *p);
void tlb_apply_any(struct model_tlb *tlb);
/* Something happens, or nothing. */
void tlb_tick(struct model_tlb *tlb);

#endif
