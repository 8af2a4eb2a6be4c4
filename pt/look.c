/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking without changing: lookups, and visitors without callbacks. */
#include "engine.h"

static FMT_INLINE int look(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                           struct pt_leaf *leaf)
{
    struct pt_walk w;

    if (ia >> pt->cfg.ia_bits != 0) {
        return -ERANGE;
    }
    walk(f, pt, ia, &w);
    leaf->present = ent_present(f, w.v);
    leaf->level = (int8_t)w.level;
    leaf->shift = f->shift[w.level];
    leaf->ia = lvl_base(f, w.level, ia);
    leaf->last = lvl_last(f, w.level, ia);
    leaf->oa = leaf->present ? ent_oa(f, w.v) : 0;
    leaf->prot = leaf->present ? fmt_prot(f, &pt->cfg, w.v) : 0;
    return 0;
}

int pt_lookup(const struct pt *pt, uint64_t ia, struct pt_leaf *leaf)
{
#define CALL(fmt) look(&(fmt), pt, ia, leaf)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
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
    uint64_t top = (uint64_t)1 << pt->cfg.ia_bits;

    /* Root pages: it->ia counts them while `level` is 0 and started is false. */
    if (!it->started) {
        *table_pa = pt->root + it->ia * PAGE_SIZE;
        if (++it->ia == pt->root_pages) {
            *it = (struct pt_table_iter){ .started = true, .level = pt->cfg.start_level };
        }
        return true;
    }
    /* In order of address, a table before those below it: it->level is the level of the entry that
     * is looked at next, for it->ia. */
    while (!it->done) {
        const uint64_t *t = port_va(pt->root);
        unsigned l = (unsigned)pt->cfg.start_level, i, n;

        while (l < (unsigned)it->level) {
            uint64_t v = port_pte_load(&t[tab_index(f, pt, l, it->ia)]);

            if (!ent_present(f, v) || ent_is_leaf(f, l, v)) {
                break; /* gone since the last call: go on beside it */
            }
            t = ent_table(f, v);
            l++;
        }
        i = tab_index(f, pt, l, it->ia);
        n = l < f->last_level ? tab_entries(f, pt, l) : i;
        for (; i < n; i++) {
            uint64_t v = port_pte_load(&t[i]);

            if (ent_present(f, v) && !ent_is_leaf(f, l, v)) {
                *table_pa = ent_oa(f, v);
                it->level = (int8_t)(l + 1);
                return true;
            }
            it->ia = lvl_last(f, l, it->ia) + 1;
        }
        /* The end of this table: upwards, to the next entry. */
        if (l == f->last_level) {
            it->ia = lvl_last(f, l - 1, it->ia) + 1;
        }
        while (l > (unsigned)pt->cfg.start_level && (it->ia & (lvl_size(f, l - 1) - 1)) == 0) {
            l--;
        }
        it->level = (int8_t)l;
        it->done = it->ia == top;
    }
    return false;
}

bool pt_next_table(const struct pt *pt, struct pt_table_iter *it, uint64_t *table_pa)
{
#define CALL(fmt) next_table(&(fmt), pt, it, table_pa)
    PT_SWITCH(pt->cfg.format, false)
#undef CALL
}
