/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools of table pages, and the record of what must be invalidated. */
#include "engine.h"

void pt_pool_push(struct pt_pool *pool, uint64_t pa)
{
    uint64_t *page = port_va(pa);

    /* A page-aligned address: its present bits are clear in every format, so a walker that still
     * holds a pointer to this table reads a hole, never a translation. */
    port_pte_store(page, pool->head);
    pool->head = pa;
    pool->count++;
}

uint64_t pt_pool_pop(struct pt_pool *pool)
{
    uint64_t pa = pool->head;

    if (pa != 0) {
        uint64_t *page = port_va(pa);

        pool->head = port_pte_load(page);
        pool->count--;
        port_pte_store(page, 0);
    }
    return pa;
}

void pt_gather_init(struct pt_gather *g)
{
    *g = (struct pt_gather){ 0 };
}

static bool overlap(const struct pt_inv *r, uint64_t ia, uint64_t last)
{
    return ia <= r->last && r->ia <= last;
}

static bool adjacent(const struct pt_inv *r, uint64_t ia, uint64_t last)
{
    /* Inclusive ends: compare without adding to the top address. */
    return (ia != 0 && r->last == ia - 1) || (r->ia != 0 && last == r->ia - 1);
}

void pt_gather_add(struct pt_gather *g, uint64_t ia, uint64_t last, uint8_t level, bool tables)
{
    if (g->all) {
        return;
    }
    for (uint32_t i = 0; i < g->n;) {
        struct pt_inv *r = &g->inv[i];
        bool over = overlap(r, ia, last);

        if (!over && !(adjacent(r, ia, last) && r->level == level && r->tables == tables)) {
            i++;
            continue;
        }
        /* The same address twice: leaves of two sizes may be cached for it, so no hint is true. */
        level = over ? PT_LEVEL_ANY : level;
        tables = tables || r->tables;
        ia = ia < r->ia ? ia : r->ia;
        last = last > r->last ? last : r->last;
        *r = g->inv[--g->n];
        i = 0; /* the union may touch a record that was passed */
    }
    if (g->n == PT_GATHER_MAX) {
        g->all = true;
        g->n = 0;
        return;
    }
    g->inv[g->n++] = (struct pt_inv){ .ia = ia, .last = last, .level = level, .tables = tables };
}

void pt_free_subtree(const struct pt_fmt *f, const struct pt *pt, struct pt_pool *freed,
                     uint64_t pa, unsigned h)
{
    const uint64_t *t = port_table(pa);

    /* Children go first: pushing a page overwrites its first entry. At most five deep. */
    for (unsigned i = 0; h > 0 && i < hgt_entries(f); i++) {
        uint64_t v = port_pte_load(&t[i]);

        if (ent_present(f, v) && !ent_is_leaf(f, h, v)) {
            pt_free_subtree(f, pt, freed, ent_oa(f, pt, v), h - 1);
        }
    }
    pt_pool_push(freed, pa);
}
