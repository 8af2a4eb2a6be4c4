/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page-table trees under test: configurations, pools that are accounted for, an oracle that knows
 * what must be mapped (a list of ranges: no tables, no levels), and audits through the model's
 * decoder, which shares nothing with the engine.
 */
#ifndef TESTS_LIB_PT_H
#define TESTS_LIB_PT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "model/phys.h"
#include "model/rng.h"
#include "model/walk.h"
#include "port/hosted/hosted.h"
#include "tenon/errno.h"
#include "tenon/port.h"
#include "tenon/pt.h"
#include "tenon/pt_more.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define RW  (PT_READ | PT_WRITE)

/* Every format, start levels, concatenated and short start tables, leaves of several entries. The
 * first TP_ARM_4K are Arm with a 4K granule. */
#define TP_ARM_4K 12u
struct tp_conf {
    const char *name;
    struct pt_config cfg;
};
extern const struct tp_conf tp_confs[];
extern const unsigned tp_conf_count;
#define TP_FUZZED 37u /* so many there were when the fuzzer's kept inputs were found */

/* The oracle: sorted, disjoint ranges, with what each must translate to. */
struct tp_run {
    uint64_t ia, last, oa;
    uint32_t prot; /* as pt_lookup reports it; PT_DIRTY of tracked ranges included */
};
struct tp_map {
    struct tp_run *run;
    unsigned n, max;
};

struct tp {
    struct pt pt;
    struct pt_pool pool;
    struct tp_map map;
    struct model_walk_cfg walk;
    uint64_t live0;            /* pages allocated before this tree */
    uint32_t user;             /* PT_USER for stage 1, 0 for stage 2: goes into every prot */
    uint64_t page, block, big; /* the smallest leaf, the next, and a size with many of these */
    unsigned dones;            /* calls of tp_done() */
};

/* The model's memory over the whole arena; tables are tagged there. */
extern struct model_phys tp_phys;
extern struct model_mem tp_mem;

void tp_open(struct tp *t, const struct pt_config *cfg);
/* Clears the tree, frees all, and fails if a page is missing. */
void tp_close(struct tp *t);
/* The pool has exactly n pages. */
void tp_pool(struct tp *t, uint32_t n);
/* A test on every step-th configuration, with an empty tree and a pool of 24. */
void tp_each(unsigned step, void (*test)(struct tp *t, struct pt_gather *g));
/* pt_map(), which must do it, and the oracle knows. */
void tp_put(struct tp *t, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap);
/* Exchanges the tree's pool for another, which then has to be exchanged back. */
void tp_swap_pool(struct tp *t, struct pt_pool *other);
/* The invalidation of g is over: frees what it holds, in both ways that there are. Returns how many tables. */
uint64_t tp_done(struct tp *t, struct pt_gather *g);
/* Called with each table page just before it is freed; NULL: nothing. */
extern void (*tp_on_free)(void *ctx, uint64_t pa);
extern void *tp_on_free_ctx;
struct model_walk_cfg tp_walk_cfg(const struct pt *pt);
struct pt_counts tp_count(const struct pt *pt);
/* What the model's walker finds, without touching anything. */
enum model_fault tp_walk(const struct tp *t, uint64_t ia, struct model_xlat *x);
uint64_t tp_top(const struct tp *t); /* first address beyond the input address space */
/* log2 of the model's leaf that maps ia, 0 for a hole. */
unsigned tp_leaf_shift(const struct tp *t, uint64_t ia);
/* Does a leaf cross the address (lie on both sides of it)? */
bool tp_crosses(const struct tp *t, uint64_t ia);

/* Compares the tree with the oracle in full, through pt_next and through the model's decoder; the
 * counts with the entries; the pages with the allocator. */
void tp_audit(const struct tp *t);

/* Everything a refused call may not have changed. */
struct tp_snap {
    struct pt pt;
    struct pt_counts count;
    struct pt_pool pool;
    uint64_t *words;
    size_t n;
};
void tp_snap(const struct tp *t, struct tp_snap *s);
void tp_assert_same(const struct tp *t, struct tp_snap *s); /* and frees it */

/* Oracle operations: they do what the contract says, to the list. */
bool tp_map_any(const struct tp_map *m, uint64_t ia, uint64_t last); /* is anything mapped there? */
void tp_map_add(struct tp_map *m, uint64_t ia, uint64_t last, uint64_t oa, uint32_t prot);
void tp_map_del(struct tp_map *m, uint64_t ia, uint64_t last);
const struct tp_run *tp_map_at(const struct tp_map *m, uint64_t ia); /* NULL: hole */
/* Calls for every run in the range with its ends clipped: prot = (prot & ~clear) | set. */
void tp_map_prot(struct tp_map *m, uint64_t ia, uint64_t last, uint32_t clear, uint32_t set);
/* 4 KiB pages of one table page. */
uint32_t tp_table_pages(const struct tp *t);
/* What the model says of memory types and rights of a leaf with this (reported) prot. */
enum model_memtype tp_memtype(const struct tp *t, uint32_t prot);
/* The same as the model's permission bits of unprivileged code. */
uint8_t tp_perms(const struct tp *t, uint32_t prot);
/* What pt_lookup reports for pages mapped with `prot`. */
uint32_t tp_reported(const struct tp *t, uint32_t prot);

/* Records that cover [ia, last] at all, and with level and tables as given? */
bool tp_gathered(const struct pt_gather *g, uint64_t ia, uint64_t last, uint8_t level, bool tables);
bool tp_covered(const struct pt_gather *g, uint64_t ia, uint64_t last);

/* A single thread has little to show to TSan, which makes it 15 times slower. */
#ifdef __SANITIZE_THREAD__
#define TP_STEPS(n)  ((n) / 20 + 1)
#define TP_CONF_STEP 7u /* tests that go over all configurations, one after the other */
#else
#define TP_STEPS(n)  (n)
#define TP_CONF_STEP 1u
#endif

#define tp_assert(cond, ...)          \
    do {                              \
        if (!(cond)) {                \
            print_error(__VA_ARGS__); \
            fail_msg("%s", #cond);    \
        }                             \
    } while (0)

#endif
