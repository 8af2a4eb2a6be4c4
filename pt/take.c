/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking held sub-trees apart page by page, without a store to what is handed out. */
#include "engine.h"
#include "tenon/pt_more.h"

/*
 * The last of g->held is under way: pa | index of the entry to look at next << 3 | height. What is below
 * a table goes before it, as its caller may overwrite it at once.
 */
static FMT_INLINE unsigned take(const struct pt_fmt *f, const struct pt *pt, struct pt_gather *g,
                                uint64_t *pa, unsigned n)
{
    const uint64_t low = ((uint64_t)1 << f->page_shift) - 1;
    unsigned got = 0;

    while (got < n && g->held_n != 0) {
        unsigned held = g->held_n;
        uint64_t *at = &g->held[held - 1], *t = port_table(*at & ~low);
        unsigned h = (unsigned)(*at & 7), i = (unsigned)((*at & low) >> 3);

        /* The table itself must find room behind its last one. */
        for (; h == 1 && i < hgt_entries(f) && got + 1 < n; i++) {
            uint64_t v = port_pte_load(&t[i]);

            if (ent_present(f, v) && !ent_is_leaf(f, 1, v)) {
                pa[got++] = ent_oa(f, pt, v);
            }
        }
        for (; h > 1 && i < hgt_entries(f) && g->held_n == held; i++) {
            uint64_t v = port_pte_load(&t[i]);

            if (ent_present(f, v) && !ent_is_leaf(f, h, v)) {
                /* Taken apart next, then on from this index. Struck off: it will be gone by then. */
                port_pte_store(&t[i], 0);
                *at = (*at & ~low) | (uint64_t)i << 3 | h;
                g->held[g->held_n++] = ent_oa(f, pt, v) | (h - 1);
            }
        }
        if (g->held_n != held) {
            continue;
        }
        if (h != 0 && i < hgt_entries(f)) {
            *at = (*at & ~low) | (uint64_t)i << 3 | h;
            break;
        }
        pa[got++] = *at & ~low;
        g->held_n--;
    }
    return got;
}

unsigned pt_gather_take(const struct pt *pt, struct pt_gather *g, uint64_t *pa, unsigned n)
{
    unsigned got = 0;

    /* What a merge of pages replaced: nothing is below (height 0, and no index yet). */
    while (got < n && g->held_n != 0 && (g->held[g->held_n - 1] & (PAGE_SIZE - 1)) == 0) {
        pa[got++] = g->held[--g->held_n];
    }
    if (got != 0) {
        return got;
    }
    PT_SWITCH(pt->cfg.format, 0, take, pt, g, pa, n)
}
