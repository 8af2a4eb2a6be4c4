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
void ours_sync(struct ours *o); /* a flush, and the old tables are free */
void ours_register(bool alone); /* all formats, as subjects; `alone`: those without a peer too */

#endif
