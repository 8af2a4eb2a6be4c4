/* SPDX-License-Identifier: BSD-2-Clause */
/* A tree of ours with what its calls need around it. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include <tenon/pt.h>

struct ours {
    struct pt *pt;
    struct pt own; /* *pt, unless the tree is another's: see subject.share */
    struct pt_pool pool;
    struct pt_gather gather;
    uint32_t prot;
};

struct ours *ours_open(const struct pt_config *cfg, uint32_t prot);
void ours_flush(const struct pt_gather *g);
void ours_tables_back(struct ours *o);
void ours_register(bool alone); /* all formats, as subjects; `alone`: those without a peer too */

/* The invalidation, after which the old tables go back. */
static inline void ours_sync(struct ours *o)
{
    ours_flush(&o->gather);
    if (o->gather.held_n != 0 || o->gather.freed.count != 0) {
        ours_tables_back(o);
    }
    pt_gather_done(o->pt, &o->gather);
}

#endif
