/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What walkers of one tree may hold: its tables, linked or recently unlinked, and the leaves that
 * were live since the last invalidation of their address. Internal to live.c. No locking.
 */
#ifndef MODEL_LIVE_SET_H
#define MODEL_LIVE_SET_H

#include "tlb.h"

#define LIVE_NONE UINT32_MAX

/* A leaf of several entries is recorded entry by entry, as walkers may hold its pieces. */
struct live_stale {
    struct model_leaf leaf;
    uint64_t ia; /* of this entry */
    uint8_t shift;
    uint32_t next;
    uint8_t pending; /* agents that have not invalidated it */
    bool used;
    enum model_verdict spared;
};

struct live_table {
    uint64_t pa, ia;
    struct live_table *next; /* same hash */
    int16_t level, parent;   /* of its entries; of the entry that points to it */
    uint8_t pending;         /* agents that may still hold a pointer to an unlinked one */
    bool root, linked;
    enum model_verdict spared;
    uint64_t shadow[]; /* as the reported stores left it */
};

struct live_set {
    uint8_t all_agents;
    struct live_table **table_bucket;
    size_t linked, unlinked;
    struct live_table **dying; /* the unlinked ones */
    size_t dying_capacity;
    struct live_stale *stale;
    uint32_t *stale_bucket;
    uint32_t big_head, free_head, stale_used, stale_capacity, stales;
};

bool live_set_init(struct live_set *set, unsigned agents);
void live_set_destroy(struct live_set *set);

struct live_table *live_table_find(struct live_set *set, uint64_t pa); /* NULL: not known */
struct live_table *live_table_add(struct live_set *set, uint64_t pa, uint64_t ia, int level,
                                  int parent, unsigned entries);
void live_table_unlink(struct live_set *set, struct live_table *t);
void live_table_drop(struct live_set *set, struct live_table *t);
/* Iteration over all: NULL at first, NULL at the end. Do not drop while iterating. */
struct live_table *live_table_next(struct live_set *set, struct live_table *t);

/* Every agent may have this leaf cached from now on: the part of it that the entry at ia is. */
void live_stale_add(struct live_set *set, const struct model_leaf *leaf, uint64_t ia);
/* Calls fn for each recorded leaf that overlaps [ia, ia + 2^shift); stops if it says so. */
typedef bool live_stale_fn(void *arg, const struct live_stale *s);
void live_stale_each(struct live_set *set, uint64_t ia, uint8_t shift, live_stale_fn *fn,
                     void *arg);

/* One agent completed an invalidation. The walk configuration gives stage and table sizes. */
void live_set_completed(struct live_set *set, const struct model_ctx *ctx, uint8_t agent,
                        const struct model_inv *inv);

#endif
