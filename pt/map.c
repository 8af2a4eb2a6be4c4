/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping: invalid entries become valid. Prepare looks and counts, commit cannot fail. */
#include "engine.h"

/* A range to map, checked. */
struct map_job {
    uint64_t ia;
    uint64_t last;
    uint64_t delta; /* oa - ia, modulo 2^64 */
    uint64_t attr;
    unsigned top; /* the largest leaf that alignment and cap allow anywhere in the range */
    bool one;     /* the whole range lies in one existing table at the last level: */
    uint64_t *e;  /*   here */
};

static inline int job_check(const struct pt_fmt *f, const struct pt *pt, uint64_t ia, uint64_t oa,
                            uint64_t len, uint64_t cap)
{
    int ret = range_check(pt, ia, len);

    if ((oa & (PAGE_SIZE - 1)) != 0) {
        return -EINVAL;
    }
    if (cap != 0 && (cap < lvl_size(f, f->last_level) || (cap & (cap - 1)) != 0)) {
        return -EINVAL;
    }
    if (ret == 0 && (oa + (len - 1) < oa || (oa + (len - 1)) >> pt->cfg.oa_bits != 0)) {
        ret = -ERANGE;
    }
    return ret;
}

static FMT_INLINE unsigned top_level(const struct pt_fmt *f, const struct pt *pt, uint64_t delta,
                                     uint64_t cap)
{
    unsigned top = f->last_level;

    while (top > (unsigned)pt->cfg.start_level && lvl_leaf_ok(f, top - 1) &&
           (delta & (lvl_size(f, top - 1) - 1)) == 0 && (cap == 0 || lvl_size(f, top - 1) <= cap)) {
        top--;
    }
    return top;
}

/* Tables needed below one hole at `level` to map [ia, last], which lies inside it. */
static FMT_INLINE uint64_t tables_below(const struct pt_fmt *f, unsigned level, uint64_t ia,
                                        uint64_t last, unsigned top)
{
    uint64_t n = 0;

    for (unsigned l = level; l < f->last_level; l++) {
        uint64_t first_block = ia >> f->shift[l];
        uint64_t last_block = last >> f->shift[l];

        if (l < top) {
            n += last_block - first_block + 1; /* no block here can be a leaf */
            continue;
        }
        /* Blocks that the range covers become leaves (or lie in a larger one): only its two ragged
         * ends need a table. */
        bool head = ia != lvl_base(f, l, ia);
        bool tail = last != lvl_last(f, l, last);

        n += (head ? 1u : 0u) + (tail && !(head && first_block == last_block) ? 1u : 0u);
    }
    return n;
}

/* Counts the tables that mapping the job needs. -EEXIST if anything is mapped in the range. */
static FMT_INLINE int map_prepare(const struct pt_fmt *f, const struct pt *pt, struct map_job *job,
                                  uint64_t *tables)
{
    uint64_t pos = job->ia;
    struct pt_walk w;

    *tables = 0;
    job->one = false;
    for (;;) {
        uint64_t end;

        walk(f, pt, pos, &w);
        if (ent_present(f, w.v)) {
            return -EEXIST;
        }
        if (w.level == f->last_level) {
            unsigned n = run_length(f, pt, w.level, pos, job->last);
            uint64_t any = 0;

            for (unsigned i = 0; i < n; i++) {
                any |= port_pte_load(&w.e[i]);
            }
            if (ent_present(f, any)) {
                return -EEXIST;
            }
            end = lvl_last(f, w.level, pos + ((uint64_t)(n - 1) << f->shift[w.level]));
            if (pos == job->ia && end == job->last) {
                job->one = true;
                job->e = w.e;
                return 0;
            }
        } else {
            end = lvl_last(f, w.level, pos);
            end = end < job->last ? end : job->last;
            *tables += tables_below(f, w.level, pos, end, job->top);
        }
        if (end == job->last) {
            return 0;
        }
        pos = end + 1;
    }
}

/* Leaves e[0..n) at `level` for `pos` onwards. */
static FMT_INLINE void map_fill(const struct pt_fmt *f, struct pt *pt, const struct map_job *job,
                                uint64_t *e, unsigned level, uint64_t pos, unsigned n)
{
    uint64_t first = (pos + job->delta) | job->attr | ent_leaf_bits(f, level);

    if (n == 1) {
        port_pte_store(e, first);
    } else {
        port_pte_fill(e, first, lvl_size(f, level), n);
    }
    clean(pt, e, n);
}

/*
 * New tables hang on a sub-tree that nobody sees yet, rooted at one pending link. The link is
 * stored when the range has left the sub-tree: filled, published, then linked.
 */
static FMT_INLINE void map_commit(const struct pt_fmt *f, struct pt *pt, const struct map_job *job,
                                  struct pt_pool *pool)
{
    uint64_t *pend = NULL;
    uint64_t pend_v = 0, pend_last = 0;
    uint64_t pos = job->ia;

    for (;;) {
        unsigned level = (unsigned)pt->cfg.start_level;
        uint64_t *t = port_va(pt->root);
        uint64_t *e;
        unsigned n;
        bool hidden = false;

        for (;;) {
            uint64_t v;

            e = &t[tab_index(f, pt, level, pos)];
            n = 0;
            if (level >= job->top && pos == lvl_base(f, level, pos) &&
                job->last - pos >= lvl_size(f, level) - 1) {
                unsigned max = run_length(f, pt, level, pos, job->last - (lvl_size(f, level) - 1));

                if (hidden || level == f->last_level) {
                    n = max; /* known to be empty */
                } else {
                    while (n < max && !ent_present(f, port_pte_load(&e[n]))) {
                        n++;
                    }
                }
            }
            if (n > 0) {
                break;
            }
            v = e == pend ? pend_v : port_pte_load(e);
            if (e == pend) {
                hidden = true;
            }
            if (!ent_present(f, v)) {
                uint64_t pa = pt_pool_pop(pool);

                v = ent_link(f, pa);
                clean(pt, port_va(pa), lvl_entries(f));
                if (hidden) {
                    port_pte_store(e, v);
                    clean(pt, e, 1);
                } else {
                    pend = e;
                    pend_v = v;
                    pend_last = lvl_last(f, level, pos);
                    hidden = true;
                }
            }
            t = ent_table(f, v);
            level++;
        }
        map_fill(f, pt, job, e, level, pos, n);
        pos += ((uint64_t)n << f->shift[level]) - 1;
        if (pend && pos >= (pend_last < job->last ? pend_last : job->last)) {
            port_publish();
            port_pte_store(pend, pend_v);
            clean(pt, pend, 1);
            pend = NULL;
        }
        if (pos == job->last) {
            break;
        }
        pos++;
    }
    port_publish();
}

static FMT_INLINE int map(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t oa,
                          uint64_t len, uint32_t prot, uint64_t cap, struct pt_pool *pool)
{
    struct map_job job = { .ia = ia, .last = ia + (len - 1), .delta = oa - ia };
    uint64_t tables;
    int ret = job_check(f, pt, ia, oa, len, cap);

    if (ret == 0) {
        ret = prot_check(f, pt, prot);
    }
    if (ret != 0) {
        return ret;
    }
    job.attr = fmt_attr(f, &pt->cfg, prot);
    job.top = top_level(f, pt, job.delta, cap);
    ret = map_prepare(f, pt, &job, &tables);
    if (ret != 0) {
        return ret;
    }
    if (job.one) {
        map_fill(f, pt, &job, job.e, f->last_level, ia, (unsigned)(len >> f->shift[f->last_level]));
        port_publish();
        return 0;
    }
    if (tables > pool->count) {
        return -ENOMEM;
    }
    map_commit(f, pt, &job, pool);
    return 0;
}

int pt_map(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
           uint64_t max_level_size, struct pt_pool *pool)
{
#define CALL(fmt) map(&(fmt), pt, ia, oa, len, prot, max_level_size, pool)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}

static FMT_INLINE int need_map(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                               uint64_t oa, uint64_t len, uint64_t cap, uint32_t *n)
{
    struct map_job job = { .ia = ia, .last = ia + (len - 1), .delta = oa - ia };
    uint64_t tables;
    int ret = job_check(f, pt, ia, oa, len, cap);

    if (ret != 0) {
        return ret;
    }
    job.top = top_level(f, pt, job.delta, cap);
    ret = map_prepare(f, pt, &job, &tables);
    if (ret == 0) {
        *n = (uint32_t)tables;
    }
    return ret;
}

int pt_need_map(const struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len,
                uint64_t max_level_size, uint32_t *n)
{
#define CALL(fmt) need_map(&(fmt), pt, ia, oa, len, max_level_size, n)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}

/*
 * The fault path. A chain of new tables with the leaf at its end is built unseen and linked by one
 * compare-exchange; whoever loses the race takes its chain apart again and looks anew.
 */
static FMT_INLINE int map_leaf(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t oa,
                               unsigned level, uint32_t prot, struct pt_pool *pool)
{
    struct pt_walk w;
    uint64_t leaf;
    int ret;

    if (level > f->last_level || level < (unsigned)pt->cfg.start_level || !lvl_leaf_ok(f, level) ||
        ((ia | oa) & (lvl_size(f, level) - 1)) != 0) {
        return -EINVAL;
    }
    ret = job_check(f, pt, ia, oa, lvl_size(f, level), 0);
    if (ret == 0) {
        ret = prot_check(f, pt, prot);
    }
    if (ret != 0) {
        return ret;
    }
    leaf = oa | fmt_attr(f, &pt->cfg, prot) | ent_leaf_bits(f, level);

    for (;;) {
        uint64_t chain[PT_LEVELS];
        uint64_t old = 0, v = leaf;

        walk(f, pt, ia, &w);
        if (ent_present(f, w.v) || w.level > level) {
            return -EEXIST; /* a leaf, or a table where the leaf should go */
        }
        if (level - w.level > pool->count) {
            return -ENOMEM;
        }
        for (unsigned l = level; l > w.level; l--) {
            uint64_t *t;

            chain[l] = pt_pool_pop(pool);
            t = port_va(chain[l]);
            port_pte_store(&t[lvl_index(f, l, ia)], v);
            clean(pt, t, lvl_entries(f));
            v = ent_link(f, chain[l]);
        }
        port_publish();
        if (port_pte_cas(w.e, &old, v)) {
            clean(pt, w.e, 1);
            port_publish();
            return 0;
        }
        for (unsigned l = w.level + 1; l <= level; l++) {
            uint64_t *t = port_va(chain[l]);

            port_pte_store(&t[lvl_index(f, l, ia)], 0);
            pt_pool_push(pool, chain[l]);
        }
    }
}

int pt_map_leaf(struct pt *pt, uint64_t ia, uint64_t oa, int8_t level, uint32_t prot,
                struct pt_pool *pool)
{
#define CALL(fmt) map_leaf(&(fmt), pt, ia, oa, (unsigned)level, prot, pool)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}
