/* SPDX-License-Identifier: BSD-2-Clause */
/* Trim: lower tables that are empty go, whether or not a range covered them. */
#include "engine.h"

static FMT_INLINE int trim(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                           struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), end;
    unsigned top = top_height(pt), h;
    struct pt_walk w;
    int ret = range_check(f, pt, ia, len);

    for (uint64_t pos = ia; ret == 0; pos = end + 1) {
        walk(f, pt, pos, &w);
        /* A page in this table: all of the table is looked at once. Else on to the next entry. */
        end = w.h == 0 && top != 0 ? hgt_last(f, 1, pos) : hgt_last(f, w.h, pos);
        for (h = w.h; h < top && !ent_present(f, port_pte_or(w.tab[h], hgt_entries(f))); h++) {
            uint64_t *link = &w.tab[h + 1][tab_index(f, pt, h + 1, pos)];

            end = hgt_last(f, h + 1, pos);
            port_pte_store(link, 0);
            clean(pt, link, 1);
            /* All of it is a hole, so the list may be threaded through the page at once. */
            pt_pool_push(&g->freed, port_pa(w.tab[h]));
            pt_gather_add(g, hgt_base(f, h + 1, pos), end, PT_LEVEL_ANY, true);
        }
        if (end >= last) {
            break;
        }
    }
    return ret;
}

int pt_trim(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    PT_SHARED(pt->cfg.format, -EINVAL, trim, pt, ia, len, g)
}
