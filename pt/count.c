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
        unsigned level = (unsigned)(root ? pt->cfg.start_level : it.level);
        unsigned entries = root ? root_entries(f, pt) : lvl_entries(f);
        const uint64_t *t = port_va(pa);

        n->tables += root ? 0 : 1;
        for (unsigned i = 0; i < entries && i < lvl_entries(f); i++) {
            uint64_t v = port_pte_load(&t[i]);

            n->leaves[level] += ent_present(f, v) && ent_is_leaf(f, level, v);
        }
    }
    return 0;
}

int pt_count(const struct pt *pt, struct pt_counts *n)
{
#define CALL(fmt) count(&(fmt), pt, n)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}
