/* SPDX-License-Identifier: BSD-2-Clause */
/* How far nothing is mapped: entry by entry within a table, from table to table without the root. */
#include "tenon/pt_more.h"

#include "engine.h"

static FMT_INLINE uint64_t hole_end(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                    uint64_t last, uint32_t budget)
{
    struct pt_walk w;
    unsigned top = top_height(pt);

    if (ia > last || ia >> pt->cfg.ia_bits != 0) {
        return ia;
    }
    if (beyond_top(f, top, ia)) {
        return last + 1;
    }
    walk(f, pt, ia, &w);
    for (unsigned h = w.h;;) {
        const uint64_t *t = w.tab[h];
        unsigned i = tab_index(f, pt, h, ia), n = tab_entries(f, pt, h);
        uint64_t v = 0;

        for (; i < n && budget != 0; i++, budget--) {
            v = port_pte_load(&t[i]);
            if (ent_present(f, v)) {
                break;
            }
            ia = hgt_last(f, h, ia) + 1;
        }
        if (ia > last || (i == n && h == top)) {
            return last + 1;
        }
        if (i == n) {
            h++;
        } else if (budget == 0 || ent_is_leaf(f, h, v)) {
            return ia;
        } else {
            w.tab[--h] = ent_table(f, pt, v);
        }
    }
}

uint64_t pt_hole_end(const struct pt *pt, uint64_t ia, uint64_t last, uint32_t budget)
{
    PT_SWITCH(pt->cfg.format, ia, hole_end, pt, ia, last, budget)
}
