/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small machine for tests of memory, spaces and conversions: frames, a guest memory object, its
 * followers, and behind each tree model TLBs as CPU and SMMU, with every store judged.
 */
#ifndef TESTS_LIB_SPACE_H
#define TESTS_LIB_SPACE_H

#include "lib_pt.h"

#include "model/dma.h"
#include "model/live.h"
#include "model/tlb.h"
#include "tenon/gmem.h"
#include "tenon/space.h"

#define TS_BASE   HOSTED_BASE          /* first frame; tables from here */
#define TS_TABLES 1536u                /* table pages */
#define TS_HOST   (TS_BASE + 8 * MIB)  /* 8 MiB of the host's */
#define TS_POOL   (TS_BASE + 16 * MIB) /* chunks */
#define TS_GUEST  ((uint64_t)1 << 30)  /* where the guest sees page 0 */
#define TS_VM     OWNER_VM0

/* ---- memory ---- */

/* Frame table and pools: `chunks` chunks from TS_POOL on. */
void ts_memory(uint64_t chunks, bool dirty);
/* Leaves only `keep` table pages in the pool; ts_refill gives the others back. */
void ts_drain(uint64_t keep);
void ts_refill(void);
/* The whole frame table, as it is. */
struct ts_frames {
    uint64_t n;
    struct frame *f;
};
struct ts_frames ts_frames(void);
/* Equal but for the flags in `ignore`; else fails, naming frame and word. Frees *old. */
void ts_frames_same(struct ts_frames *old, uint32_t ignore);
struct frame ts_frame(owner_t owner, owner_t borrower); /* what a frame at rest looks like */
void ts_frame_is(uint64_t pa, struct frame want);

/* ---- trees with walkers ---- */

struct ts_walker {
    struct invalidator inv; /* first */
    struct ts_tree *tree;
    struct model_tlb *tlb;
    struct model_ctx ctx;
    struct model_dma *dma; /* of an SMMU, when a test asks for it */
    unsigned issued, waited;
};

struct ts_tree {
    struct space s;
    const char *name;
    bool open;
    bool hitless; /* neighbours of a change never fault */
    struct model_live *live;
    struct ts_walker w[2];
    unsigned nw;
};

#define TS_TREES 4u
struct ts {
    struct gmem gm;
    struct ts_tree tree[TS_TREES];
    /* Called inside every wait of any walker, before it completes. */
    void (*in_wait)(struct ts *t, struct ts_walker *w);
    /* After every store to any table. */
    void (*after_store)(struct ts *t);
    /* When the cleaning of a frame that changes hands is asked for (uncached_window). */
    void (*on_clean)(struct ts *t, uint64_t pa);
    uint64_t rng;
    uint64_t tables;   /* frame_tables_free() + all in use: constant */
    uint8_t *want;     /* oracle: each page's state */
    uint64_t *p0, *p1; /* oracle: private and shared frame of each page */
};
extern struct ts *ts_now;
extern struct model_phys ts_phys;

enum { TS_CPU = 1, TS_SMMU = 2 };
uint64_t ts_rand(struct ts *t, uint64_t below);
struct pt_config ts_config(enum pt_format format, uint8_t bbm, bool stalls);
/* A space with the walkers in `who`, each with a model TLB; vmid: its index + 1. */
struct ts_tree *ts_tree(struct ts *t, unsigned i, const char *name, unsigned who,
                        const struct pt_config *cfg);
void ts_open(struct ts *t, uint64_t npages, bool separate, uint64_t seed);
void ts_close(struct ts *t); /* unbinds, destroys, and wants every frame and table back */

/* What device trees of ts_world are made of: stage 2, or stage 1 as on an SMMU that has no other. */
extern enum pt_format ts_io_format;
/* Common set-ups. mirror: trees 0 vm cpu, 1 vm io; share: 0 both. Always 2 host cpu, 3 host io. */
void ts_world(struct ts *t, uint64_t npages, bool separate, bool share, uint8_t cpu_bbm,
              uint64_t seed);

/* gmem_convert, and when it succeeded the oracle with it. */
int ts_convert(struct ts *t, uint64_t page, uint64_t n, bool to_shared, enum gmem_policy policy);
/* Everything: states, owners, every page in every tree, leaf sizes, stale entries, verdicts. */
void ts_check(struct ts *t);
/* Only the judge and the TLBs. */
void ts_judge(struct ts *t);
/* What a tree maps at ia, through the model: 0 if nothing; *shift: log2 of the leaf. */
uint64_t ts_at(const struct ts_tree *tree, uint64_t ia, unsigned *shift);

/* Table contents of all trees, bit by bit. */
struct ts_snap {
    struct tp_snap tree[TS_TREES];
    struct ts_frames frames;
};
void ts_snap(struct ts *t, struct ts_snap *s);
void ts_same(struct ts *t, struct ts_snap *s); /* and frees it, as ts_forget */
void ts_forget(struct ts_snap *s);
/* `call` answers `want`, and no frame, table or pool knows of it; `check` judges the rest. */
#define TS_REFUSED(ts, call, want, check)                                      \
    do {                                                                       \
        struct ts_snap snap_;                                                  \
        ts_snap(ts, &snap_);                                                   \
        uint64_t free_ = frame_tables_free();                                  \
        int err_ = (call);                                                     \
        tp_assert(err_ == (want), "%s: %d, not %d\n", #call, err_, (want));    \
        ts_same(ts, &snap_);                                                   \
        tp_assert(frame_tables_free() == free_, "refused-call-kept-tables\n"); \
        check(ts);                                                             \
    } while (0)

#endif
