/* SPDX-License-Identifier: BSD-2-Clause */
/* The exact oracle's lists, for those who change them. */
#ifndef TESTS_LIB_PT_EXACT_INT_H
#define TESTS_LIB_PT_EXACT_INT_H

#include "lib_pt_exact.h"

uint64_t ex_leaf_size(const struct ex_leaf *l);
uint64_t ex_leaf_last(const struct ex_leaf *l);
uint64_t ex_table_size(const struct ex *x, unsigned h); /* what one of height h translates */
uint64_t ex_table_last(const struct ex *x, const struct ex_table *t);
uint8_t ex_level(unsigned h); /* as invalidation knows levels */

/* The number of the first leaf that ends at or behind ia. */
unsigned ex_first(const struct ex *x, uint64_t ia);
bool ex_any(const struct ex *x, uint64_t ia, uint64_t last);
/* For each leaf that touches a range. */
#define EACH_LEAF(x, i, from, to) \
    for (unsigned i = ex_first(x, from); i < (x)->leaves && (x)->leaf[i].ia <= (to); i++)
/* n leaves from number `at` on go, and m come: the first of these. */
struct ex_leaf *ex_splice(struct ex *x, unsigned at, unsigned n, unsigned m);

/* A table of height h that translates some of the range? */
bool ex_any_table(const struct ex *x, unsigned h, uint64_t ia, uint64_t last);
void ex_add_table(struct ex *x, unsigned h, uint64_t ia);
void ex_drop_table(struct ex *x, unsigned i);

/* What the gather must have. Neighbours alike are one record; of what was recorded before, the leaf's
 * size is no longer sure. */
void ex_tell(struct ex *x, uint64_t ia, uint64_t last, uint8_t level, bool tables);
void ex_tell_leaf(struct ex *x, const struct ex_leaf *l);
void ex_tell_table(struct ex *x, const struct ex_table *t);

/* 0, or why it is refused: the range; the same and its ends, which may be inside no leaf; output
 * addresses. */
int ex_range(const struct ex *x, uint64_t ia, uint64_t len);
int ex_whole(const struct ex *x, uint64_t ia, uint64_t len);
int ex_output(const struct ex *x, uint64_t oa, uint64_t len);

#endif
