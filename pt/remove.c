/* SPDX-License-Identifier: BSD-2-Clause */
/* Break, unmap and clear: exactly one range, or all, becomes non-present. Nothing here allocates. */
#include "port_quick.h"

/* Clears the leaves among e[0..n) that hardware may be marking dirty: what it set must not be
 * overwritten unseen. True if one was. */
static FMT_INLINE bool clear_tracked(const struct pt_fmt *f, uint64_t *e, unsigned n)
{
    bool dirty = false;

    for (unsigned i = 0; i < n; i++) {
        uint64_t v = port_pte_load(&e[i]);

        if ((v & f->track) != 0) {
            while (!port_pte_cas(&e[i], &v, 0)) {
            }
            dirty = dirty || ent_dirty(f, v);
        }
    }
    return dirty;
}

/*
 * Clears the leaves among e[0..n), which are for `pos` onwards, and records them. Returns how many
 * entries were looked at: it stops at a table.
 */
static FMT_INLINE unsigned clear_run(const struct pt_fmt *f, struct pt *pt, uint64_t *e, unsigned h,
                                     uint64_t pos, unsigned n, struct pt_gather *g)
{
    uint64_t any = 0, base = hgt_base(f, h, pos);
    unsigned first = 0, end;

    if (h == 0) {
        /* Without tracked leaves there is no need to look between two that are there. */
        any = pt->cfg.live.hw_dirty ? 0 : port_pte_load(&e[0]) & port_pte_load(&e[n - 1]);
        any = ent_present(f, any) ? any : port_pte_or(e, n);
    } else {
        for (end = 0; end < n; end++) {
            uint64_t v = port_pte_load(&e[end]);

            if (ent_present(f, v) && !ent_is_leaf(f, h, v)) {
                break;
            }
            any |= v;
        }
        n = end;
    }
    if (!ent_present(f, any)) {
        return n;
    }
    for (; !ent_present(f, port_pte_load(&e[first])); first++) {
    }
    for (end = n; !ent_present(f, port_pte_load(&e[end - 1])); end--) {
    }
    if (pt->cfg.live.hw_dirty && (any & f->track) != 0) {
        g->dirty |= clear_tracked(f, &e[first], end - first);
    }
    port_pte_fill(&e[first], 0, 0, end - first);
    clean(pt, &e[first], end - first);
    pt_gather_add(g, base + ((uint64_t)first << hgt_shift(f, h)),
                  base + ((uint64_t)end << hgt_shift(f, h)) - 1, hgt_level(h), false);
    return n;
}

/*
 * All of a range. With `tables` those that lie wholly in it are unlinked, each with all that is below
 * it, in one store. Their leaves are left as they are: a walker that still holds a pointer to such a
 * table is no worse off than one that holds the leaf. What has tables below is held as a whole while there
 * is room: to go through it is left to pt_gather_done() or pt_gather_take().
 */
static PT_ONCE int clear_range(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t last,
                               bool tables, struct pt_gather *g)
{
    for (uint64_t pos = ia;; pos++) {
        uint64_t top = top_load(pt);
        unsigned h = (unsigned)(top & 7), n = 1;
        uint64_t *e = top_table(top) + (pos >> hgt_shift(f, h));
        uint64_t v = port_pte_load(e);

        while (ent_present(f, v) && !ent_is_leaf(f, h, v) &&
               (!tables || hgt_base(f, h, pos) < ia || hgt_last(f, h, pos) > last)) {
            h--;
            e = ent_table(f, pt, v) + hgt_index(f, h, pos);
            v = port_pte_load(e);
        }
        if (ent_present(f, v) && !ent_is_leaf(f, h, v)) {
            port_pte_store(e, 0);
            clean(pt, e, 1);
            if (h > 1 && g->held_n < PT_GATHER_HELD) {
                g->held[g->held_n++] = ent_oa(f, pt, v) | (h - 1);
            } else {
                pt_free_subtree(f, pt, &g->freed, ent_oa(f, pt, v), h - 1);
            }
            pt_gather_add(g, hgt_base(f, h, pos), hgt_last(f, h, pos), PT_LEVEL_ANY, true);
        } else {
            n = clear_run(f, pt, e, h, pos, run_length(f, pt, h, pos, last), g);
        }
        pos = hgt_base(f, h, pos) + ((uint64_t)n << hgt_shift(f, h)) - 1;
        if (pos >= last) {
            empty_note(f, pt, tables ? last : ia, last);
            return 0;
        }
    }
}

static FMT_INLINE int remove(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                             struct pt_gather *g, bool tables)
{
    uint64_t last = ia + (len - 1);
    struct pt_walk w;
    int ret = range_check(f, pt, ia, len);

    if (ret != 0) {
        return ret;
    }
    walk(f, pt, ia, &w);
    if (!ends_ok(f, pt, ia, last, &w)) {
        return -EINVAL;
    }
    /* Pages of one table; or one block: it begins at ia, or crossed it. */
    if (w.h == 0 ? ((ia ^ last) >> hgt_shift(f, 1)) == 0 && !(tables && len == hgt_size(f, 1))
                 : ent_present(f, w.v) && len == hgt_size(f, w.h)) {
        (void)clear_run(f, pt, w.e, w.h, ia, (unsigned)(len >> hgt_shift(f, w.h)), g);
        return 0;
    }
    if (tables && pt->cfg.live.hw_dirty) {
        (void)clear_range(f, pt, ia, last, false, g); /* leaf by leaf: no dirty state is missed */
    }
    return clear_range(f, pt, ia, last, tables, g);
}

static PT_ONCE int remove_any(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g,
                              bool tables)
{
    PT_SWITCH(pt->cfg.format, -EINVAL, remove, pt, ia, len, g, tables)
}

int pt_break(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    PT_QUICK(pt, 0, remove_any(pt, ia, len, g, false), remove_quick, pt, ia, len, g)
}

int pt_unmap(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    PT_QUICK(pt, 0, remove_any(pt, ia, len, g, true), remove_quick, pt, ia, len, g)
}

void pt_clear(struct pt *pt, struct pt_gather *g)
{
    const struct pt_fmt *f = pt_format(pt->cfg.format);
    uint64_t end = (uint64_t)top_entries(f, pt) << hgt_shift(f, top_height(pt));

    g->all = true;
    g->n = 0;
    (void)clear_range(f, pt, 0, end - 1, true, g);
}
