/* SPDX-License-Identifier: BSD-2-Clause */
/* Break and unmap: exactly one range becomes non-present. Nothing here allocates. */
#include "engine.h"

/* Both ends on leaf boundaries? Holes are boundaries everywhere. */
static FMT_INLINE bool ends_ok(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                               uint64_t last)
{
    struct pt_walk w;

    walk(f, pt, ia, &w);
    if (ent_present(f, w.v) && ia != lvl_base(f, w.level, ia)) {
        return false;
    }
    if (w.level == f->last_level && ia >> f->shift[w.level] == last >> f->shift[w.level]) {
        return true; /* one page */
    }
    walk(f, pt, last, &w);
    return !ent_present(f, w.v) || last == lvl_last(f, w.level, last);
}

/* Clears one leaf that hardware may be marking dirty: what it set must not be overwritten unseen.
 */
static FMT_INLINE bool clear_tracked(const struct pt_fmt *f, uint64_t *e, uint64_t v)
{
    while (!port_pte_cas(e, &v, 0)) {
    }
    return ent_dirty(f, v);
}

/*
 * Clears the leaves among e[0..n). Returns how many there were; *first and *end bound them.
 * Stops at a table entry (*stop < n), which is the caller's to enter.
 */
static FMT_INLINE unsigned clear_run(const struct pt_fmt *f, struct pt *pt, uint64_t *e,
                                     unsigned level, unsigned n, unsigned *first, unsigned *end,
                                     unsigned *stop, bool *dirty)
{
    unsigned leaves = 0, i;

    *first = n;
    *end = 0;
    for (i = 0; i < n; i++) {
        uint64_t v = port_pte_load(&e[i]);

        if (!ent_present(f, v)) {
            continue;
        }
        if (!ent_is_leaf(f, level, v)) {
            break;
        }
        if (leaves++ == 0) {
            *first = i;
        }
        *end = i + 1;
        if (pt->cfg.live.hw_dirty && ent_tracked(f, v) && clear_tracked(f, &e[i], v)) {
            *dirty = true;
        }
    }
    *stop = i;
    if (leaves == 1) {
        port_pte_store(&e[*first], 0);
    } else if (leaves > 1) {
        port_pte_fill(&e[*first], 0, 0, *end - *first);
    }
    if (leaves > 0) {
        clean(pt, &e[*first], *end - *first);
    }
    return leaves;
}

static FMT_INLINE bool table_empty(const struct pt_fmt *f, const uint64_t *t, unsigned hint)
{
    /* Neighbours of what was just cleared are the likeliest to be in use. */
    for (unsigned i = hint; i < lvl_entries(f); i++) {
        if (ent_present(f, port_pte_load(&t[i]))) {
            return false;
        }
    }
    for (unsigned i = hint; i-- > 0;) {
        if (ent_present(f, port_pte_load(&t[i]))) {
            return false;
        }
    }
    return true;
}

/*
 * The range has been cleared up to `pos` (inclusive) in w->tab[w->level]. Unlinks that table and
 * those above it as far as they are finished and empty.
 */
static FMT_INLINE void free_empty(const struct pt_fmt *f, struct pt *pt, struct pt_walk *w,
                                  uint64_t pos, uint64_t ia, uint64_t last, struct pt_gather *g)
{
    for (unsigned l = w->level; l > (unsigned)pt->cfg.start_level; l--) {
        uint64_t base = lvl_base(f, l - 1, pos);
        uint64_t end = lvl_last(f, l - 1, pos);
        uint64_t *link = &w->tab[l - 1][tab_index(f, pt, l - 1, pos)];

        if (pos != last && pos != end) {
            return;
        }
        if (!(base >= ia && end <= last) && !table_empty(f, w->tab[l], lvl_index(f, l, pos))) {
            return;
        }
        port_pte_store(link, 0);
        clean(pt, link, 1);
        /* All of it is a hole by now, so the list may be threaded through the page at once. */
        pt_pool_push(&g->freed, port_pa(w->tab[l]));
        pt_gather_add(g, base, end, PT_LEVEL_ANY, true);
    }
}

static FMT_INLINE int remove(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                             struct pt_gather *g, bool tables)
{
    uint64_t last = ia + (len - 1), pos = ia;
    struct pt_walk w;
    int ret = range_check(pt, ia, len);

    if (ret != 0) {
        return ret;
    }
    if (!ends_ok(f, pt, ia, last)) {
        return -EINVAL;
    }
    for (;;) {
        unsigned n, first, end, stop, leaves;
        uint64_t base;

        walk(f, pt, pos, &w);
        base = lvl_base(f, w.level, pos);
        n = run_length(f, pt, w.level, pos, last);
        leaves = clear_run(f, pt, w.e, w.level, n, &first, &end, &stop, &g->dirty);
        if (leaves > 0) {
            pt_gather_add(g, base + ((uint64_t)first << f->shift[w.level]),
                          base + ((uint64_t)end << f->shift[w.level]) - 1, (uint8_t)w.level, false);
        }
        /* stop >= 1: the walk ended at a leaf or a hole. */
        pos = base + ((uint64_t)stop << f->shift[w.level]) - 1;
        pos = pos < last ? pos : last;
        if (tables) {
            free_empty(f, pt, &w, pos, ia, last, g);
        }
        if (pos == last) {
            return 0;
        }
        pos++;
    }
}

int pt_break(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g)
{
#define CALL(fmt) remove(&(fmt), pt, ia, len, g, false)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}

int pt_unmap(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g)
{
#define CALL(fmt) remove(&(fmt), pt, ia, len, g, true)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}
