/* SPDX-License-Identifier: BSD-2-Clause */
/* Hand-built tables in simulated memory, for the tests of the model itself. */
#ifndef TESTS_LIB_MODEL_H
#define TESTS_LIB_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/dma.h"
#include "model/live.h"
#include "model/phys.h"
#include "model/tlb.h"
#include "model/walk.h"

/* One arena: tables from LM_TABLES on, data at LM_DATA. */
#define LM_TABLES 0x80000000u
#define LM_DATA   0x80400000u
#define LM_SIZE   0x00c00000u
#define LM_VMID   7
#define LM_OWNER  3

/* Stage 2 descriptors: write-back, inner shareable, accessed, readable and writable. */
#define LM_PAGE     0x7ffu
#define LM_BLOCK    0x7fdu
#define LM_TABLE    0x003u
#define LM_WRITE    ((uint64_t)1 << 7)
#define LM_READ     ((uint64_t)1 << 6)
#define LM_AF       ((uint64_t)1 << 10)
#define LM_NT       ((uint64_t)1 << 16)
#define LM_DBM      ((uint64_t)1 << 51)
#define LM_CONTIG   ((uint64_t)1 << 52)
#define LM_SOFTWARE ((uint64_t)1 << 55)
/* Stage 1: AttrIndx 1, AP[1], inner shareable, AF, nG. */
#define LM_S1_PAGE 0xf47u

#define LM_1G ((uint64_t)1 << 30)
#define LM_2M ((uint64_t)1 << 21)
#define LM_4K ((uint64_t)1 << 12)

struct lm {
    struct model_phys phys;
    struct model_mem mem;
    struct model_ctx ctx;
    uint64_t next_table;
    /* How an entry names a table: bits | (pa & mask) >> right. */
    uint64_t link, link_mask;
    unsigned link_right;
};

/* Kinds of access: not every test has all of them. */
#define LM_ACCESS static const struct model_access __attribute__((unused))
LM_ACCESS rd = { .what = MODEL_R };
LM_ACCESS wr = { .what = MODEL_W };
LM_ACCESS ex = { .what = MODEL_X };
LM_ACCESS user_rd = { .what = MODEL_R, .user = true };
LM_ACCESS user_wr = { .what = MODEL_W, .user = true };
LM_ACCESS user_ex = { .what = MODEL_X, .user = true };
LM_ACCESS spec_wr = { .what = MODEL_W, .spec = true };
LM_ACCESS peek_wr = { .what = MODEL_W, .peek = true };

/* The format's walker refuses the configuration `good` with this field changed. */
#define LM_BAD(good, field, value)                     \
    do {                                               \
        struct model_walk_cfg bad_cfg = (good);        \
        bad_cfg.field = (value);                       \
        assert_non_null(bad_cfg.fmt->check(&bad_cfg)); \
    } while (0)

/* The expected result of a walk. */
#define LM_WALK(m, ia, access, fault_, oa_)                           \
    do {                                                              \
        assert_int_equal(lm_walk(m, ia, access, &x), fault_);         \
        if (x.fault == MODEL_OK || x.fault == MODEL_FAULT_PERMISSION) \
            assert_int_equal(x.oa, oa_);                              \
    } while (0)

/* A tree of its own memory with an empty root. stage 2: 39 or 40 bits from level 1. */
void lm_init(struct lm *m, uint8_t stage, uint8_t ia_bits, uint8_t start_level);
/* Any format: cfg without its root; then lm_link_as, for tables that lm_entry makes. */
void lm_start(struct lm *m, const struct model_walk_cfg *cfg);
void lm_link_as(struct lm *m, uint64_t bits, uint64_t mask, unsigned right);
enum model_fault lm_walk(struct lm *m, uint64_t ia, struct model_access a, struct model_xlat *x);
void lm_destroy(struct lm *m);
uint64_t lm_new_table(struct lm *m); /* zeroed and tagged */
void lm_set(struct lm *m, uint64_t entry, uint64_t value);
uint64_t lm_get(struct lm *m, uint64_t entry);
/* The address of ia's entry at level; makes missing tables on the way, one a level. */
uint64_t lm_entry(struct lm *m, uint64_t ia, int level);
/* lm_set(lm_entry()) */
void lm_map(struct lm *m, uint64_t ia, int level, uint64_t value);
/* A full table of 512 entries of `level`, 4K or 2M each, from oa on. Not linked. */
uint64_t lm_full_table(struct lm *m, uint8_t level, uint64_t oa, uint64_t bits);

#endif
