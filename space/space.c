/* SPDX-License-Identifier: BSD-2-Clause */
/* Spaces: their life, their walkers, and explicit mappings. */
#include <stddef.h>

#include "space/internal.h"

#define FAULT_AROUND 16u /* pages: 64K, what a guest of either size of page touches together */

int space_init(struct space *s, enum space_kind kind, const struct pt_config *cfg)
{
    /* Tables come from the pool, page by page: granules of 16K and 64K have no place here. */
    bool wide = cfg->format >= PT_ARM_S1_16K && cfg->format <= PT_ARM_S2_64K;
    int n = wide ? -EINVAL : pt_root_pages(cfg);

    if (n < 0) {
        return n;
    }
    uint64_t root = frame_tables_root((uint32_t)n);

    if (root == 0) {
        return -ENOMEM;
    }
    *s = (struct space){ .kind = kind, .fault_around = FAULT_AROUND };
    int err = pt_init(&s->pt, cfg, root);

    if (err != 0) {
        frame_tables_put(root, (uint32_t)n);
    }
    return err;
}

/* Nobody is between an issue and its wait, so nobody looks at the walkers: lock held alone. */
static void lock_walkers(struct space *s)
{
    space_lock(s);
    while (__atomic_load_n(&s->waits, __ATOMIC_ACQUIRE) != 0) {
        space_unlock(s);
        port_relax();
        space_lock(s);
    }
}

int space_add_walker(struct space *s, struct invalidator *inv)
{
    int err = -ENOSPC;

    lock_walkers(s);
    for (unsigned i = 0; i < SPACE_WALKERS; i++) {
        if (s->walker[i] == inv) {
            space_unlock(s);
            return -EEXIST;
        }
    }
    for (unsigned i = 0; i < SPACE_WALKERS && err != 0; i++) {
        if (s->walker[i] == NULL) {
            s->walker[i] = inv;
            err = 0;
        }
    }
    space_unlock(s);
    return err;
}

int space_remove_walker(struct space *s, struct invalidator *inv)
{
    int err = -ENOENT;

    lock_walkers(s);
    for (unsigned i = 0; i < SPACE_WALKERS; i++) {
        if (s->walker[i] == inv) {
            s->walker[i] = NULL;
            err = 0;
        }
    }
    space_unlock(s);
    return err;
}

void space_destroy(struct space *s)
{
    struct pt_gather g;

    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        if (s->binding[i].space != NULL) {
            (void)space_unbind(s, s->binding[i].f.gm);
        }
    }
    space_lock(s);
    pt_gather_init(&g);
    pt_clear(&s->pt, &g);
    pt_gather_done(&s->pt, &g);
    frame_tables_release(&g.freed);
    frame_tables_put(s->pt.root, s->pt.root_pages);
    s->pt.root = 0;
    space_unlock(s);
}

/* ---- invalidation ---- */

bool space_issue(struct space *s, const struct pt_gather *g)
{
    if (pt_gather_empty(g)) {
        return false;
    }
    __atomic_add_fetch(&s->waits, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < SPACE_WALKERS; i++) {
        if (s->walker[i] != NULL) {
            s->walker[i]->issue(s->walker[i], g);
        }
    }
    return true;
}

void space_wait(struct space *s)
{
    /* Without the lock: walkers come and go only while nobody waits. */
    for (unsigned i = 0; i < SPACE_WALKERS; i++) {
        if (s->walker[i] != NULL) {
            s->walker[i]->wait(s->walker[i]);
        }
    }
    __atomic_sub_fetch(&s->waits, 1, __ATOMIC_RELEASE);
}

void space_reclaim(struct space *s, struct pt_gather *g)
{
    pt_gather_done(&s->pt, g);
    frame_tables_release(&g->freed);
}

void space_flush(struct space *s, struct pt_gather *g)
{
    if (space_issue(s, g)) {
        space_wait(s);
    }
    space_reclaim(s, g);
}

/* ---- explicit mappings ---- */

bool space_mapped(const struct space *s, uint64_t ia, uint64_t last)
{
    struct pt_leaf leaf;

    while (pt_next(&s->pt, &ia, last, &leaf)) {
        if (leaf.present) {
            return true;
        }
    }
    return false;
}

/* Is something bound in the range? */
static bool bound(const struct space *s, uint64_t ia, uint64_t len)
{
    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        if (s->binding[i].space != NULL && len != 0 &&
            binding_overlaps(&s->binding[i], ia, ia + (len - 1))) {
            return true;
        }
    }
    return false;
}

int space_map_raw(struct space *s, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot)
{
    struct pt_pool pool = { 0 };
    uint32_t need = 0;

    space_lock(s);
    int err = pt_need_map(&s->pt, ia, oa, len, s->max_leaf, &need);

    if (err == 0) {
        err = frame_tables_reserve(&pool, need);
    }
    if (err == 0 && bound(s, ia, len)) {
        err = -EEXIST;
    }
    if (err == 0 && space_log_crossed(s, ia, ia + (len - 1))) {
        err = -EBUSY;
    }
    if (err == 0 && s->log.kind == SPACE_LOG_WRITE_PROTECT && space_log_prot(s, ia, prot) != prot) {
        err = -EBUSY; /* nobody would remember that it is writable */
    }
    if (err == 0) {
        err = pt_map(&s->pt, ia, oa, len, space_log_prot(s, ia, prot), s->max_leaf, &pool);
    }
    space_unlock(s);
    frame_tables_release(&pool);
    return err;
}

static bool any_memory(uint64_t oa, uint64_t len)
{
    uint64_t base = frames_base();
    uint64_t size = frames_count() << PAGE_SHIFT;

    /* Overlap of two ranges, neither of which wraps. */
    return len != 0 && oa + (len - 1) >= base && oa - base < size;
}

int space_map(struct space *s, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot)
{
    if (len == 0 || oa + (len - 1) < oa) {
        return len == 0 ? -EINVAL : -ERANGE;
    }
    bool memory = oa < frames_base() ? any_memory(oa, len) : frame_valid(oa);
    int err = 0;

    port_lock(&s->map_lock);
    if (memory && s->use == SPACE_PINNED) {
        err = -EPERM; /* nobody would hold a pin for it */
    }
    if (err == 0) {
        err = space_map_raw(s, ia, oa, len, prot);
    }
    if (err == 0 && memory) {
        s->use = SPACE_FOLLOWS;
    }
    port_unlock(&s->map_lock);
    return err;
}

/*
 * Where a leaf may not be cut live but every walker can wait: break the whole leaf and put back
 * what is not meant. The lock is held alone all the while, so a fault in between waits for it.
 */
static int unmap_stalling(struct space *s, uint64_t ia, uint64_t len, struct pt_pool *pool)
{
    struct pt_leaf lo = { 0 }, hi = { 0 };
    struct pt_gather g;
    uint64_t last = ia + (len - 1);

    (void)pt_lookup(&s->pt, ia, &lo);
    (void)pt_lookup(&s->pt, last, &hi);
    uint64_t from = lo.present ? lo.ia : ia;
    uint64_t to = hi.present ? hi.last : last;

    pt_gather_init(&g);
    space_log_collect(s, from, to, &g);
    int err = pt_unmap(&s->pt, from, to - from + 1, &g);

    if (err != 0) {
        return err;
    }
    space_log_broken(s, &g, from, to);
    space_flush(s, &g);
    if (from != ia) {
        err = pt_map(&s->pt, from, lo.oa, ia - from, lo.prot & ~(uint32_t)PT_DIRTY, s->max_leaf,
                     pool);
    }
    if (err == 0 && to != last) {
        err = pt_map(&s->pt, last + 1, hi.oa + (last + 1 - hi.ia), to - last,
                     hi.prot & ~(uint32_t)PT_DIRTY, s->max_leaf, pool);
    }
    if (err != 0) {
        port_panic("space: a broken neighbour cannot be put back");
    }
    return 0;
}

void space_widen(const struct space *s, uint64_t *ia, uint64_t *last)
{
    struct pt_leaf lo = { 0 }, hi = { 0 };

    (void)pt_lookup(&s->pt, *ia, &lo);
    (void)pt_lookup(&s->pt, *last, &hi);
    *ia = lo.present && lo.ia < *ia ? lo.ia : *ia;
    *last = hi.present && hi.last > *last ? hi.last : *last;
}

/* Tables for both ends of a cut, if there is one. Lock held alone. */
static int reserve_cut(struct space *s, uint64_t ia, uint64_t len, struct pt_pool *pool)
{
    uint64_t last = ia + (len - 1), from = ia, to = last;

    space_widen(s, &from, &to);
    if (from == ia && to == last) {
        return 0; /* no leaf crosses an end: nothing is needed, and nothing can fail */
    }
    return frame_tables_reserve(pool, pt_need(&s->pt, ia, PAGE_SIZE) +
                                          pt_need(&s->pt, last & ~(PAGE_SIZE - 1), PAGE_SIZE));
}

/* The old leaf is forgotten at once: what follows may then carry its own level. */
static int cut_now(struct space *s, uint64_t ia, uint64_t len, struct pt_pool *pool)
{
    struct pt_gather g;

    pt_gather_init(&g);
    int err = pt_cut(&s->pt, ia, len, pool, &g);

    if (err == 0 && !pt_gather_empty(&g)) {
        s->cuts++;
        space_flush(s, &g);
    }
    return err;
}

int space_cut_locked(struct space *s, uint64_t ia, uint64_t len)
{
    struct pt_pool pool = { 0 };
    int err = pt_cut_check(&s->pt, ia, len);

    if (err == 0) {
        err = reserve_cut(s, ia, len, &pool);
    }
    if (err == 0) {
        err = cut_now(s, ia, len, &pool);
    }
    frame_tables_release(&pool);
    return err;
}

int space_cut_raw(struct space *s, uint64_t ia, uint64_t len)
{
    space_lock(s);
    int err = bound(s, ia, len) ? -EBUSY : space_cut_locked(s, ia, len);

    space_unlock(s);
    return err;
}

int space_unmap_raw(struct space *s, uint64_t ia, uint64_t len)
{
    struct pt_pool pool = { 0 };
    struct pt_gather g;
    bool issued = false;

    pt_gather_init(&g);
    space_lock(s);
    int err = bound(s, ia, len) ? -EBUSY : pt_cut_check(&s->pt, ia, len);
    bool stall = err == -EOPNOTSUPP && s->pt.cfg.live.stalls;

    if (err == 0 || stall) {
        err = reserve_cut(s, ia, len, &pool);
    }
    if (err == 0 && stall) {
        err = unmap_stalling(s, ia, len, &pool);
    } else if (err == 0) {
        err = cut_now(s, ia, len, &pool);
        if (err == 0) {
            space_log_collect(s, ia, ia + (len - 1), &g);
            err = pt_unmap(&s->pt, ia, len, &g);
            space_log_broken(s, &g, ia, ia + (len - 1));
            err = err == 0 ? pt_trim(&s->pt, ia, len, &g) : err;
        }
        issued = err == 0 && space_issue(s, &g);
    }
    space_unlock(s);
    if (issued) {
        space_wait(s);
    }
    space_reclaim(s, &g);
    frame_tables_release(&pool);
    return err;
}

int space_unmap(struct space *s, uint64_t ia, uint64_t len)
{
    int err = 0;

    port_lock(&s->map_lock);
    if (s->use == SPACE_PINNED) {
        /* Only registers may go this way; memory has pins that iommu_unmap gives back. */
        struct pt_leaf leaf;

        space_share_lock(s);
        for (uint64_t at = ia; len != 0 && pt_next(&s->pt, &at, ia + (len - 1), &leaf);) {
            if (leaf.present && frame_valid(leaf.oa)) {
                err = -EPERM;
                break;
            }
        }
        space_share_unlock(s);
    }
    if (err == 0) {
        err = space_unmap_raw(s, ia, len);
    }
    port_unlock(&s->map_lock);
    return err;
}

void space_merge(struct space *s, uint64_t ia, uint64_t len)
{
    struct pt_gather g;
    int made;

    port_lock(&s->map_lock);
    space_lock(s);
    /* A merge works on whole blocks: no binding may stand in any block that it could touch. */
    uint64_t from = ia & ~(SIZE_1G - 1);
    uint64_t span = len == 0 ? 0 : ((ia + (len - 1)) | (SIZE_1G - 1)) - from + 1;

    pt_gather_init(&g);
    do {
        /* Nor where a log wants to know pages apart. */
        bool leave = bound(s, from, span) || (s->log.kind != SPACE_LOG_OFF && from <= s->log.last &&
                                              from + (span - 1) >= s->log.ia);

        made = leave ? 0 : pt_merge(&s->pt, ia, len, s->max_leaf, &g);
        bool more = g.more;

        if (made > 0) {
            s->merges += (uint64_t)made;
        }
        space_flush(s, &g);
        if (!more) {
            break;
        }
    } while (made > 0);
    space_unlock(s);
    port_unlock(&s->map_lock);
}

int space_lookup(struct space *s, uint64_t ia, struct pt_leaf *leaf)
{
    space_share_lock(s);
    int err = pt_lookup(&s->pt, ia, leaf);
    space_share_unlock(s);
    return err;
}

void space_count(struct space *s, struct pt_counts *n)
{
    *n = (struct pt_counts){ 0 };
    if (s->pt.root == 0) {
        return;
    }
    space_share_lock(s);
    (void)pt_count(&s->pt, n);
    space_share_unlock(s);
    n->tables += s->pt.root_pages;
}
