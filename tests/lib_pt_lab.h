/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tree under observation: every store of the engine is judged by the model's live rules, and
 * between any two stores a CPU and an SMMU (model TLBs) translate, write, walk and speculate. What
 * they must see at every moment is the oracle; only the running operation's scope may be missing.
 */
#ifndef TESTS_LIB_PT_LAB_H
#define TESTS_LIB_PT_LAB_H

#include "lib_pt.h"
#include "model/live.h"
#include "model/tlb.h"

#define LAB_AGENTS 2u

struct lab {
    struct tp t;
    struct model_ctx ctx;
    struct model_tlb *tlb[LAB_AGENTS]; /* 0: a CPU that combines stages, 1: an SMMU */
    struct model_live *live;
    struct hosted_hook hook;
    struct model_rng rng;
    uint64_t window, window_len; /* where the observers look */
    uint64_t focus, focus_last;  /* what is being changed: they look around it more often */
    bool missing;                /* the focus may be non-present, or have two kinds of rights */
    unsigned stores, probes, writes;
    bool unpublished; /* stores since the last port_publish() */
};

/* mode and apply: enum model_tlb_mode, enum model_tlb_apply. */
void lab_open(struct lab *l, const struct pt_config *cfg, int mode, int apply, uint64_t seed);
void lab_close(struct lab *l);
void lab_watch(struct lab *l, uint64_t ia, uint64_t len);

/* Each does the operation with exact table pages, watched, and all that must follow it: the
 * invalidation as the gather says it, the freeing, the audit, the judge's verdict. */
/* lab_map of what is mapped already is refused: break comes before make. */
void lab_refuse_map(struct lab *l, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot);
void lab_map(struct lab *l, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap);
void lab_cut(struct lab *l, uint64_t ia, uint64_t len);
void lab_break(struct lab *l, uint64_t ia, uint64_t len);
/* Cut and break with one gather and one invalidation after both. */
void lab_cut_break(struct lab *l, uint64_t ia, uint64_t len);
void lab_unmap(struct lab *l, uint64_t ia, uint64_t len);
void lab_merge(struct lab *l, uint64_t ia, uint64_t len);
void lab_protect(struct lab *l, uint64_t ia, uint64_t len, uint32_t prot);
void lab_harvest(struct lab *l, uint64_t ia, uint64_t len);
/* Refresh, where one store may: between the first and the invalidation either address is right. */
void lab_replace(struct lab *l, uint64_t ia, uint64_t oa, uint64_t len);
int lab_join(struct lab *l, uint64_t ia, uint64_t len); /* how many leaves were made */
/* A higher start table (AMD v1): walkers go on by the old one, then are told of the new one. */
void lab_grow(struct lab *l, uint64_t last);
void lab_age(struct lab *l, uint64_t ia, uint64_t len);

/* One record as the family's own invalidation commands. */
void lab_issue(struct model_tlb *tlb, const struct model_ctx *ctx, const struct pt_inv *r);

/* Around the call of an operation: what it changes, and is it missing meanwhile? Afterwards the
 * invalidation, the freeing, the audit, the verdict. Observers look once more at any time. */
void lab_begin(struct lab *l, uint64_t ia, uint64_t len, bool missing);
void lab_end(struct lab *l, struct pt_gather *g);
void lab_probe(struct lab *l);

uint64_t lab_below(struct lab *l, uint64_t n);

#endif
