/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking without changing: lookups, and visitors without callbacks. */
#include "engine.h"

static FMT_INLINE int look(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                           struct pt_leaf *leaf)
{
    struct pt_walk w;
    unsigned shift;

    if (ia >> pt->cfg.ia_bits != 0) {
        return -ERANGE;
    }
    if (beyond_top(f, top_height(pt), ia)) {
        *leaf = (struct pt_leaf){ .ia = ia, .last = ((uint64_t)1 << pt->cfg.ia_bits) - 1 };
        return 0; /* the tree does not reach that far yet */
    }
    walk(f, pt, ia, &w);
    shift = walk_shift(f, &w);
    leaf->present = ent_present(f, w.v);
    leaf->level = (int8_t)(3 - (int)w.h);
    leaf->shift = (uint8_t)shift;
    leaf->ia = ia & ~(((uint64_t)1 << shift) - 1);
    leaf->last = ia | (((uint64_t)1 << shift) - 1);
    leaf->oa = leaf->present ? ent_oa(f, pt, w.v) & ~(((uint64_t)1 << shift) - 1) : 0;
    leaf->prot = leaf->present ? fmt_prot(f, pt, w.v) : 0;
    return 0;
}

int pt_lookup(const struct pt *pt, uint64_t ia, struct pt_leaf *leaf)
{
    PT_SWITCH(pt->cfg.format, -EINVAL, look, pt, ia, leaf)
}

bool pt_next(const struct pt *pt, uint64_t *ia, uint64_t last, struct pt_leaf *leaf)
{
    if (*ia > last || pt_lookup(pt, *ia, leaf) != 0) {
        return false;
    }
    /* The address space ends below 2^64, so this cannot wrap. */
    *ia = leaf->last + 1;
    return true;
}

static FMT_INLINE bool next_table(const struct pt_fmt *f, const struct pt *pt,
                                  struct pt_table_iter *it, uint64_t *table_pa)
{
    unsigned top = top_height(pt);

    /* Root pages: index[0] counts them. */
    if (!it->started) {
        *table_pa = pt->root + it->index[0] * PAGE_SIZE;
        if (++it->index[0] == pt->root_pages) {
            *it = (struct pt_table_iter){ .started = true, .level = (int8_t)(3 - (int)top) };
            it->table[top] = port_table(pt->root);
        }
        return true;
    }
    /* A table before those below it. Tables of height 0 have none. */
    for (unsigned h = (unsigned)(3 - it->level); h <= top; h++) {
        while (h != 0 && it->index[h] < tab_entries(f, pt, h)) {
            uint64_t v = port_pte_load(&it->table[h][it->index[h]++]);

            if (ent_present(f, v) && !ent_is_leaf(f, h, v)) {
                *table_pa = ent_oa(f, pt, v);
                it->table[h - 1] = port_table(*table_pa);
                it->index[h - 1] = 0;
                it->level = (int8_t)(4 - (int)h);
                return true;
            }
        }
    }
    return false;
}

bool pt_next_table(const struct pt *pt, struct pt_table_iter *it, uint64_t *table_pa)
{
    PT_SHARED(pt->cfg.format, false, next_table, pt, it, table_pa)
}
