/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cut: leaf boundaries where the caller needs them, without a moment in which any other address is
 * missing. Level by level, each leaf that crosses a boundary is exchanged for a table that is filled
 * in full before anyone can see it. A leaf of several entries becomes leaves of one entry first.
 */
#include "port_quick.h"

/* Tables that boundaries at ia and last + 1 need, or why they cannot be made; the walks to both. */
static FMT_INLINE int cut_check(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                uint64_t len, uint32_t *need, struct pt_walk *a, struct pt_walk *b)
{
    uint64_t last = ia + (len - 1);
    int ret = range_check(f, pt, ia, len);

    *need = 0;
    if (ret != 0) {
        return ret;
    }
    walk(f, pt, ia, a);
    walk(f, pt, last, b);
    if ((crosses(f, a, ia) && !may_resize(f, pt, a->v)) ||
        (crosses(f, b, last + 1) && !may_resize(f, pt, b->v))) {
        return -EOPNOTSUPP;
    }
    for (unsigned h = 1; h <= a->h || h <= b->h; h++) {
        bool first = h <= a->h && ent_present(f, a->v) && hgt_base(f, h, ia) != ia;
        bool second = h <= b->h && ent_present(f, b->v) && hgt_last(f, h, last) != last;

        *need += first + second;
        *need -= first && second && hgt_base(f, h, ia) == hgt_base(f, h, last); /* the same one */
    }
    return 0;
}

/* A boundary at `at`: before the leaf that maps `in`, to which w walked, or behind it. What w stands on
 * may have been cut since. */
static FMT_INLINE void boundary(const struct pt_fmt *f, struct pt *pt, struct pt_walk *w,
                                uint64_t in, uint64_t at, struct pt_pool *pool, struct pt_gather *g)
{
    for (;;) {
        w->v = port_pte_load(w->e);
        while (ent_present(f, w->v) && !ent_is_leaf(f, w->h, w->v)) {
            (void)walk_step(f, pt, in, w, w->h - 1);
        }
        if (!crosses(f, w, at)) {
            return;
        }
        uint64_t last = walk_last(f, w, in);

        pt_gather_add(g, last + 1 - ((uint64_t)1 << walk_shift(f, w)), last, hgt_level(w->h),
                      false);
        if (ent_span(f, w->h, w->v) != 0) {
            span_part(f, pt, w);
        } else {
            split(f, pt, w, pt_pool_pop(pool));
        }
    }
}

static FMT_INLINE int cut(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                          struct pt_pool *pool, struct pt_gather *g)
{
    struct pt_walk w[2];
    uint32_t need;
    int ret = cut_check(f, pt, ia, len, &need, &w[0], &w[1]);

    ret = ret == 0 && need > pool->count ? -ENOMEM : ret;
    for (unsigned i = 0; i < 2 && ret == 0; i++) {
        boundary(f, pt, &w[i], ia + (i ? len - 1 : 0), ia + (i ? len : 0), pool, g);
    }
    return ret;
}

static PT_ONCE int check_any(const struct pt *pt, uint64_t ia, uint64_t len)
{
    struct pt_walk a, b;
    uint32_t need;

    PT_SWITCH(pt->cfg.format, -EINVAL, cut_check, pt, ia, len, &need, &a, &b)
}

int pt_cut_check(const struct pt *pt, uint64_t ia, uint64_t len)
{
    PT_QUICK(pt, 0, check_any(pt, ia, len), cut_check_quick, pt, ia, len)
}

static PT_ONCE int cut_any(struct pt *pt, uint64_t ia, uint64_t len, struct pt_pool *pool,
                           struct pt_gather *g)
{
    PT_SWITCH(pt->cfg.format, -EINVAL, cut, pt, ia, len, pool, g)
}

int pt_cut(struct pt *pt, uint64_t ia, uint64_t len, struct pt_pool *pool, struct pt_gather *g)
{
    PT_QUICK(pt, 0, cut_any(pt, ia, len, pool, g), cut_quick, pt, ia, len, pool, g)
}
