/* SPDX-License-Identifier: BSD-2-Clause */
/* Grow: start tables on top of the tree, for formats whose walkers are told its height. */
#include "engine.h"
#include "tenon/pt_more.h"

static FMT_INLINE int grow(const struct pt_fmt *f, struct pt *pt, uint64_t last,
                           struct pt_pool *pool, struct pt_gather *g)
{
    unsigned h = top_height(pt), want = h, max = pt->cfg.live.leaf_max;

    if (last >> pt->cfg.ia_bits != 0) {
        return -ERANGE;
    }
    if (!f->grows) {
        return 0; /* it reaches as far as ia_bits from the start */
    }
    while (beyond_top(f, want, last)) {
        want++;
    }
    if (want - h > pool->count) {
        return -ENOMEM;
    }
    for (; h < want; h++) {
        uint64_t pa = pt_pool_pop(pool), *t = port_table(pa);

        port_pte_store(t, ent_link(f, pt, h + 1, pt->root));
        clean(pt, t, hgt_entries(f));
        port_publish();
        /* From here on calls find the new table; walkers, when they are told. */
        pt->root = pa;
        pt->cfg.start_level = (int8_t)(2 - (int)h);
        __atomic_store_n(&pt->top, (uintptr_t)t | ((pt->top & (PAGE_SIZE - 1)) + 1),
                         __ATOMIC_RELEASE);
        g->root = true;
        if (pt->leaf_h < f->leaf_h && (max == 0 || hgt_shift(f, pt->leaf_h + 1u) <= max)) {
            pt->leaf_h++;
        }
    }
    return 0;
}

int pt_grow(struct pt *pt, uint64_t last, struct pt_pool *pool, struct pt_gather *g)
{
    PT_SHARED(pt->cfg.format, -EINVAL, grow, pt, last, pool, g)
}
