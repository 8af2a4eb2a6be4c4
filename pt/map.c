/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping: invalid entries become valid. Prepare looks and counts, commit cannot fail. */
#include "map.h"

/* The commonest call, one page in a table that is there. 1: it is not so simple, or refused. */
static FMT_INLINE int map_page(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t oa,
                               uint32_t prot)
{
    uint64_t size = hgt_size(f, 0), attr;
    struct pt_walk w;

    if ((oa & (size - 1)) != 0 || oa >> pt->cfg.oa_bits != 0 || range_check(f, pt, ia, size) != 0 ||
        prot_check(f, pt, prot, &attr) != 0) {
        return 1;
    }
    walk(f, pt, ia, &w);
    if (w.h != 0) {
        return 1;
    }
    if (ent_present(f, w.v)) {
        return -EEXIST;
    }
    empty_forget(pt);
    port_pte_store(w.e, ent_of_oa(f, pt, oa) | attr | ent_leaf_bits(f, 0));
    clean(pt, w.e, 1);
    port_publish();
    return 0;
}

static FMT_INLINE int map(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t oa,
                          uint64_t len, uint32_t prot, uint64_t cap, struct pt_pool *pool)
{
    struct map_job job = { .ia = ia, .last = ia + (len - 1), .delta = oa - ia, .cap = cap };
    struct pt_walk w;
    int ret, err;

    if (len == hgt_size(f, 0) && cap == 0 && (ret = map_page(f, pt, ia, oa, prot)) <= 0) {
        return ret;
    }
    ret = job_check(f, pt, oa, len, &job);
    err = prot_check(f, pt, prot, &job.attr);
    if (ret != 0 || err != 0) {
        return ret != 0 ? ret : err;
    }
    job_limits(f, pt, prot, &job);
    walk(f, pt, ia, &w);
    /* Most calls: pages of one table, or one block where there was nothing. */
    if (w.h == 0 && ((ia ^ job.last) >> hgt_shift(f, 1)) == 0) {
        unsigned n = (unsigned)(len >> f->page_shift);

        if (ent_present(f, w.v) || (n > 1 && ent_present(f, port_pte_or(w.e, n)))) {
            return -EEXIST;
        }
        map_fill(f, pt, &job, w.e, 0, ia, n);
        port_publish();
        return 0;
    }
    if (w.h != 0 && w.h <= job.top && !ent_present(f, w.v) && len == hgt_size(f, w.h) &&
        (ia & (len - 1)) == 0) {
        map_fill(f, pt, &job, w.e, w.h, ia, 1);
        port_publish();
        return 0;
    }
    return map_long(f, pt, &job, pool);
}

static PT_ONCE int map_any(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
                           uint64_t cap, struct pt_pool *pool){
    PT_SWITCH(pt->cfg.format, -EINVAL, map, pt, ia, oa, len, prot, cap, pool)
}

PT_QUICK_MOST(map_any) int pt_map(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len,
                                  uint32_t prot, uint64_t max_level_size, struct pt_pool *pool)
{
    PT_QUICK_MAP(map_any, pt, ia, oa, len, prot, max_level_size, pool)
}

static FMT_INLINE int need_map(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                               uint64_t oa, uint64_t len, uint64_t cap, uint32_t *n)
{
    struct map_job job = { .ia = ia, .last = ia + (len - 1), .delta = oa - ia, .cap = cap };
    uint64_t tables;
    int ret = job_check(f, pt, oa, len, &job);

    if (ret != 0) {
        return ret;
    }
    job_limits(f, pt, PT_EXEC, &job);
    ret = map_prepare(f, pt, &job, &tables);
    if (ret == 0) {
        *n = (uint32_t)tables;
    }
    return ret;
}

int pt_need_map(const struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len,
                uint64_t max_level_size, uint32_t *n)
{
    PT_SHARED(pt->cfg.format, -EINVAL, need_map, pt, ia, oa, len, max_level_size, n)
}

/*
 * The fault path. A chain of new tables with the leaf at its end is built unseen and linked by one
 * compare-exchange; whoever loses the race takes its chain apart again and looks anew.
 */
static FMT_INLINE int map_leaf(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t oa,
                               int level, uint32_t prot, struct pt_pool *pool)
{
    unsigned h = (unsigned)(3 - level);
    struct map_job job = { .ia = ia, .delta = oa - ia };
    struct pt_walk w;
    uint64_t leaf;
    int ret, err;

    if (level > 3 || level < -2 || h > pt->leaf_h || ((ia | oa) & (hgt_size(f, h) - 1)) != 0) {
        return -EINVAL;
    }
    job.last = hgt_last(f, h, ia);
    ret = job_check(f, pt, oa, hgt_size(f, h), &job);
    err = prot_check(f, pt, prot, &job.attr);
    if (ret != 0 || err != 0) {
        return ret != 0 ? ret : err;
    }
    if (h > 0 && pt->cfg.live.exec_4k && (prot & PT_EXEC)) {
        return -EINVAL;
    }
    leaf = ent_of_oa(f, pt, oa) | job.attr | ent_leaf_bits(f, h);

    for (;;) {
        uint64_t chain[PT_HEIGHTS];
        uint64_t old = 0, v = leaf;

        walk(f, pt, ia, &w);
        if (ent_present(f, w.v) || w.h < h) {
            return -EEXIST; /* a leaf, or a table where the leaf should go */
        }
        if (w.h - h > pool->count) {
            return -ENOMEM;
        }
        for (unsigned l = h; l < w.h; l++) {
            uint64_t *t;

            chain[l] = pt_pool_pop(pool);
            t = port_table(chain[l]);
            port_pte_store(&t[hgt_index(f, l, ia)], v);
            clean(pt, t, hgt_entries(f));
            v = ent_link(f, pt, l + 1, chain[l]);
        }
        empty_forget(pt);
        port_publish();
        if (port_pte_cas(w.e, &old, v)) {
            clean(pt, w.e, 1);
            port_publish();
            return 0;
        }
        for (unsigned l = w.h; l-- > h;) {
            uint64_t *t = port_table(chain[l]);

            port_pte_store(&t[hgt_index(f, l, ia)], 0);
            pt_pool_push(pool, chain[l]);
        }
    }
}

int pt_map_leaf(struct pt *pt, uint64_t ia, uint64_t oa, int8_t level, uint32_t prot,
                struct pt_pool *pool)
{
    PT_SWITCH(pt->cfg.format, -EINVAL, map_leaf, pt, ia, oa, level, prot, pool)
}
