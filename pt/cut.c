/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cut: leaf boundaries where the caller needs them, without a moment in which any other address is
 * missing. Each leaf that crosses a boundary gets one sub-tree, filled in full before anyone can
 * see it, and one compare-exchange swaps it in: one store and one invalidation, however many
 * levels.
 */
#include "engine.h"

#define CUT_NODES \
    (1u + 2u * (PT_LEVELS - 2u)) /* one table per level and boundary, the top shared */

struct cut_node {
    uint64_t base; /* first ia */
    uint64_t *tab;
    uint64_t pa;
    uint8_t level;
    uint8_t parent;
};

/* One crossing leaf and its sub-tree. */
struct cut_plan {
    struct pt_walk w;
    uint64_t base;
    unsigned n;
    struct cut_node node[CUT_NODES];
};

/* Adds the tables that make a boundary at `at`, strictly inside the plan's leaf. */
static FMT_INLINE void plan_boundary(const struct pt_fmt *f, struct cut_plan *p, uint64_t at)
{
    unsigned cur = 0;

    if (p->n == 0) {
        p->node[0] = (struct cut_node){ .base = p->base, .level = (uint8_t)(p->w.level + 1) };
        p->n = 1;
    }
    for (unsigned l = p->w.level + 1; at != lvl_base(f, l, at); l++) {
        uint64_t base = lvl_base(f, l, at);
        unsigned i = 1;

        while (i < p->n && !(p->node[i].level == l + 1 && p->node[i].base == base)) {
            i++;
        }
        if (i == p->n) {
            p->node[i] = (struct cut_node){ .base = base,
                                            .level = (uint8_t)(l + 1),
                                            .parent = (uint8_t)cur };
            p->n++;
        }
        cur = i;
    }
}

/* The leaves to cut for boundaries at ia and last + 1: at most two. Changes nothing. */
static FMT_INLINE unsigned cut_plan(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                    uint64_t last, struct cut_plan p[2])
{
    unsigned n = 0;
    bool same;

    p[0].n = 0;
    walk(f, pt, ia, &p[0].w);
    p[0].base = lvl_base(f, p[0].w.level, ia);
    same = last <= lvl_last(f, p[0].w.level, ia);
    if (ent_present(f, p[0].w.v)) {
        if (ia != p[0].base) {
            plan_boundary(f, &p[0], ia);
        }
        if (same && last != lvl_last(f, p[0].w.level, ia)) {
            plan_boundary(f, &p[0], last + 1);
        }
        n = p[0].n ? 1 : 0;
    }
    if (same) {
        return n;
    }
    p[n].n = 0;
    walk(f, pt, last, &p[n].w);
    p[n].base = lvl_base(f, p[n].w.level, last);
    if (ent_present(f, p[n].w.v) && last != lvl_last(f, p[n].w.level, last)) {
        plan_boundary(f, &p[n], last + 1);
        n++;
    }
    return n;
}

/* Fills the sub-tree with the leaf's own attributes and addresses, then ties it together. */
static FMT_INLINE void cut_fill(const struct pt_fmt *f, struct pt *pt, const struct cut_plan *p,
                                uint64_t v)
{
    uint64_t attr = ent_attr(f, p->w.level, v);

    for (unsigned i = 0; i < p->n; i++) {
        const struct cut_node *c = &p->node[i];
        uint64_t first = (ent_oa(f, v) + (c->base - p->base)) | attr | ent_leaf_bits(f, c->level);

        port_pte_fill(c->tab, first, lvl_size(f, c->level), lvl_entries(f));
    }
    for (unsigned i = 1; i < p->n; i++) {
        const struct cut_node *c = &p->node[i];
        const struct cut_node *up = &p->node[c->parent];

        port_pte_store(&up->tab[lvl_index(f, up->level, c->base)], ent_link(f, c->pa));
    }
    for (unsigned i = 0; i < p->n; i++) {
        clean(pt, p->node[i].tab, lvl_entries(f));
    }
}

static FMT_INLINE void cut_commit(const struct pt_fmt *f, struct pt *pt, struct cut_plan *p,
                                  struct pt_pool *pool, struct pt_gather *g)
{
    uint64_t v = p->w.v;

    for (unsigned i = 0; i < p->n; i++) {
        p->node[i].pa = pt_pool_pop(pool);
        p->node[i].tab = port_va(p->node[i].pa);
    }
    /* Hardware may set the access flag or the dirty state at any moment until the exchange: the
     * copies then are out of date, and are made again. */
    do {
        cut_fill(f, pt, p, v);
        port_publish();
    } while (!port_pte_cas(p->w.e, &v, ent_link(f, p->node[0].pa)));
    clean(pt, p->w.e, 1);

    pt_gather_add(g, p->base, lvl_last(f, p->w.level, p->base), (uint8_t)p->w.level, false);
}

static FMT_INLINE int cut_check(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                uint64_t len, struct cut_plan p[2], unsigned *n)
{
    int ret = range_check(pt, ia, len);

    if (ret != 0) {
        return ret;
    }
    *n = cut_plan(f, pt, ia, ia + (len - 1), p);
    return *n == 0 || may_resize(f, pt) ? 0 : -EOPNOTSUPP;
}

static FMT_INLINE int cut(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                          struct pt_pool *pool, struct pt_gather *g)
{
    struct cut_plan p[2];
    unsigned n, need = 0;
    int ret = cut_check(f, pt, ia, len, p, &n);

    if (ret != 0) {
        return ret;
    }
    for (unsigned i = 0; i < n; i++) {
        need += p[i].n;
    }
    if (need > pool->count) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        cut_commit(f, pt, &p[i], pool, g);
    }
    return 0;
}

int pt_cut_check(const struct pt *pt, uint64_t ia, uint64_t len)
{
    struct cut_plan p[2];
    unsigned n;

#define CALL(fmt) cut_check(&(fmt), pt, ia, len, p, &n)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}

int pt_cut(struct pt *pt, uint64_t ia, uint64_t len, struct pt_pool *pool, struct pt_gather *g)
{
#define CALL(fmt) cut(&(fmt), pt, ia, len, pool, g)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}
