/* SPDX-License-Identifier: BSD-2-Clause */
/* What a tree holds, by looking at every table of it. */
#include "engine.h"

static FMT_INLINE int count(const struct pt_fmt *f, const struct pt *pt, struct pt_counts *n)
{
    struct pt_table_iter it = { 0 };
    uint64_t pa;

    *n = (struct pt_counts){ 0 };
    while (pt->root != 0 && pt_next_table(pt, &it, &pa)) {
        bool root = pa - pt->root < pt->root_pages * PAGE_SIZE;
        unsigned h = root ? top_height(pt) : (unsigned)(3 - it.level);
        unsigned entries = root ? top_entries(f, pt) : hgt_entries(f);
        const uint64_t *t = port_table(pa);

        n->tables += root ? 0 : 1;
        for (unsigned i = 0; i < entries && (!root || pa == pt->root);) {
            uint64_t v = port_pte_load(&t[i]);
            bool leaf = ent_present(f, v) && ent_is_leaf(f, h, v);

            n->leaves[h < 3 ? 3 - h : 0] += leaf;
            i += 1u << (leaf ? ent_span(f, h, v) : 0);
        }
    }
    return 0;
}

int pt_count(const struct pt *pt, struct pt_counts *n)
{
    PT_SHARED(pt->cfg.format, -EINVAL, count, pt, n)
}
