/* SPDX-License-Identifier: BSD-2-Clause */
/* Between live.c (the calls, what is reported) and live_rules.c (what a store may do). */
#ifndef MODEL_LIVE_INT_H
#define MODEL_LIVE_INT_H

#include <pthread.h>

#include "live.h"
#include "live_set.h"

#define LIVE_SCOPES 32u

struct live_agent {
    struct model_live *live;
    uint8_t number;
};

struct live_span {
    uint64_t ia, last;
};

struct model_live {
    pthread_mutex_t lock;
    struct model_live_cfg cfg;
    struct model_ctx ctx;
    struct live_set set;
    unsigned entries;    /* of a table below the root */
    uint64_t table_mask; /* of an address, the part inside its table */
    struct live_agent agent[8];
    struct live_span scope[LIVE_SCOPES];
    unsigned scopes;
    bool harvest;
    model_live_log *log;
    void *log_arg;
    size_t count[MODEL_V_COUNT];
    enum model_verdict first;
};

/* One store being judged. */
struct live_change {
    struct model_live *live;
    const struct model_store *store;
    uint64_t ia;
    int16_t level;
    enum model_verdict verdict; /* the first rule broken */
    struct model_desc old, now;
    struct model_leaf old_leaf, new_leaf;
};

void live_violation(struct live_change *c, enum model_verdict v);
/* Fills in the decoded sides from store, ia and level, and judges a store to a linked table, or to
 * one that a walker may still hold. */
void live_judge(struct live_change *c, bool linked);
/* The table at pa and all below become live, with their contents as they are now. */
void live_link_tree(struct live_change *c, uint64_t pa, uint64_t ia, int level);
/* The tree at live->cfg.walk is to be found at another root from now on. */
void live_reroot(struct live_change *c, const struct model_walk_cfg *walk);
/* How many entries the table has that walkers can reach: fewer in a small root. */
unsigned live_entries(const struct model_live *live, uint64_t table);
uint64_t live_read(const struct model_live *live, uint64_t pa);
void live_decode(const struct model_live *live, int level, uint64_t raw, struct model_desc *d);
/* May a walker hold both, `had` from before and `has` from now? OK; BBM_SKIPPED if they say
 * different things of one address; SIZE_NEEDS_BBM if only the size differs and may not. */
enum model_verdict live_compare(const struct model_live *live, const struct model_leaf *had,
                                const struct model_leaf *has);

#endif
