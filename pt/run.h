/* SPDX-License-Identifier: BSD-2-Clause */
/* Going over the entries of a range, table by table. */
#ifndef PT_RUN_H
#define PT_RUN_H

#include "engine.h"

/* Neighbouring entries of one table: leaves and holes, for ia onwards. */
struct pt_run {
    uint64_t *e;
    uint64_t ia;
    unsigned h, n;
};

/* The next of them in [*pos, last]; *pos moves past. */
static FMT_INLINE bool next_run(const struct pt_fmt *f, const struct pt *pt, uint64_t *pos,
                                uint64_t last, struct pt_run *r)
{
    struct pt_walk w;
    unsigned max;

    if (*pos > last) {
        return false;
    }
    walk(f, pt, *pos, &w);
    r->e = w.e;
    r->h = w.h;
    r->ia = hgt_base(f, w.h, *pos);
    r->n = max = run_length(f, pt, w.h, *pos, last);
    if (w.h != 0) {
        for (r->n = 1; r->n < max; r->n++) {
            uint64_t v = port_pte_load(&r->e[r->n]);

            if (ent_present(f, v) && !ent_is_leaf(f, w.h, v)) {
                break;
            }
        }
    }
    *pos = r->ia + ((uint64_t)r->n << hgt_shift(f, w.h));
    return true;
}

static FMT_INLINE uint64_t run_at(const struct pt_fmt *f, const struct pt_run *r, unsigned i)
{
    return r->ia + ((uint64_t)i << hgt_shift(f, r->h));
}

/* A range whose ends are in no leaf. */
static FMT_INLINE int whole_leaves(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                   uint64_t len)
{
    struct pt_walk w;
    int ret = range_check(f, pt, ia, len);

    if (ret != 0) {
        return ret;
    }
    walk(f, pt, ia, &w);
    return ends_ok(f, pt, ia, ia + (len - 1), &w) ? 0 : -EINVAL;
}

#endif
