/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all kinds of mapping share. Mappers of disjoint ranges run beside each other without a lock:
 * each writes only entries of its own range, and new tables come in by compare-exchange. A table
 * that reaches beyond a mapper's range may meanwhile have been linked by somebody else: then what
 * was built is taken apart and its part of the range is mapped into the table that is there now.
 */
#ifndef PT_MAP_H
#define PT_MAP_H

#include "port_quick.h"

/* A range to map, checked. */
struct map_job {
    uint64_t ia;
    uint64_t last;
    uint64_t delta; /* oa - ia, modulo 2^64 */
    uint64_t cap;   /* largest leaf, or 0 */
    uint64_t attr;
    unsigned top; /* the tallest leaf that alignment and cap allow anywhere in the range */
    bool spans;   /* leaves of several entries may be used */
};

static FMT_INLINE int job_check(const struct pt_fmt *f, const struct pt *pt, uint64_t oa,
                                uint64_t len, const struct map_job *job)
{
    int ret = range_check(f, pt, job->ia, len);

    if ((oa & (hgt_size(f, 0) - 1)) != 0 ||
        (job->cap != 0 && (job->cap < hgt_size(f, 0) || (job->cap & (job->cap - 1)) != 0))) {
        return -EINVAL;
    }
    if (ret == 0 && (oa + (len - 1) < oa || (oa + (len - 1)) >> pt->cfg.oa_bits != 0)) {
        ret = -ERANGE;
    }
    return ret;
}

static FMT_INLINE void job_limits(const struct pt_fmt *f, const struct pt *pt, uint32_t prot,
                                  struct map_job *job)
{
    if (pt->cfg.live.exec_4k && (prot & PT_EXEC)) {
        job->cap = hgt_size(f, 0);
    }
    job->spans = f->spans && pt->cfg.live.contig && !(prot & PT_TRACK);
    job->top = 0;
    while (job->top < pt->leaf_h && (job->delta & (hgt_size(f, job->top + 1) - 1)) == 0 &&
           (job->cap == 0 || hgt_size(f, job->top + 1) <= job->cap)) {
        job->top++;
    }
}

/* Tables needed below one hole at height `h` to map [ia, last], which lies inside it. */
static FMT_INLINE uint64_t tables_below(const struct pt_fmt *f, unsigned h, uint64_t ia,
                                        uint64_t last, unsigned top)
{
    uint64_t n = 0;

    for (; h > 0; h--) {
        uint64_t first_block = ia >> hgt_shift(f, h);
        uint64_t last_block = last >> hgt_shift(f, h);

        if (h > top) {
            n += last_block - first_block + 1; /* no block here can be a leaf */
            continue;
        }
        /* Blocks that the range covers become leaves (or lie in a larger one): only its two ragged
         * ends need a table. */
        bool head = ia != hgt_base(f, h, ia);
        bool tail = last != hgt_last(f, h, last);

        n += (head ? 1u : 0u) + (tail && !(head && first_block == last_block) ? 1u : 0u);
    }
    return n;
}

/* Counts the tables that mapping the job needs. -EEXIST if anything is mapped in the range. */
static FMT_INLINE int map_prepare(const struct pt_fmt *f, const struct pt *pt,
                                  const struct map_job *job, uint64_t *tables)
{
    uint64_t pos = job->ia;
    struct pt_walk w;

    *tables = 0;
    for (;;) {
        uint64_t end = hgt_last(f, 1, pos);

        if (!empty_table(f, pt, pos, job->last)) {
            walk(f, pt, pos, &w);
            if (ent_present(f, w.v) ||
                (w.h == 0 &&
                 ent_present(f, port_pte_or(w.e, run_length(f, pt, 0, pos, job->last))))) {
                return -EEXIST;
            }
            if (w.h != 0) {
                end = hgt_last(f, w.h, pos);
                end = end < job->last ? end : job->last;
                *tables += tables_below(f, w.h, pos, end, job->top);
            }
        }
        if (end >= job->last) {
            return 0;
        }
        pos = end + 1;
    }
}

/* Leaves e[0..n) at height h for `pos` onwards. */
static FMT_INLINE void map_fill(const struct pt_fmt *f, struct pt *pt, const struct map_job *job,
                                uint64_t *e, unsigned h, uint64_t pos, unsigned n)
{
    uint64_t bits = job->attr | ent_leaf_bits(f, h);

    empty_forget(pt);
    if (!job->spans && !(f->wide_at != 0 && pt->wide)) {
        port_pte_fill(e, ent_of_oa(f, pt, pos + job->delta) | bits,
                      ent_of_oa(f, pt, hgt_size(f, h)), n);
        clean(pt, e, n);
        return;
    }
    for (unsigned i = 0; i < n;) {
        uint64_t at = pos + ((uint64_t)i << hgt_shift(f, h)), step, v;
        unsigned run = 1;
        unsigned k = job->spans ? span_for(f, pt, h, at | job->delta, n - i, job->cap) : 0;

        v = ent_of_oa(f, pt, at + job->delta) | bits;
        step = span_run(f, pt, h, k, n - i, &v, &run);
        if (run == 1) {
            port_pte_store(&e[i], v);
        } else {
            port_pte_fill(&e[i], v, step, run);
        }
        i += run;
    }
    clean(pt, e, n);
}

/* A sub-tree that nobody has seen goes back to the pool: zero again. */
static FMT_INLINE void take_apart(const struct pt_fmt *f, struct pt *pt, uint64_t pa, unsigned h,
                                  struct pt_pool *pool)
{
    struct pt_pool own = { 0 };

    pt_free_subtree(f, pt, &own, pa, h);
    while ((pa = pt_pool_pop(&own)) != 0) {
        port_pte_fill(port_table(pa), 0, 0, hgt_entries(f));
        pt_pool_push(pool, pa);
    }
}

/*
 * New tables hang on a sub-tree that nobody sees yet, rooted at one pending link. The link is
 * stored when the range has left the sub-tree: filled, published, then linked.
 */
static FMT_INLINE void map_commit(const struct pt_fmt *f, struct pt *pt, const struct map_job *job,
                                  struct pt_pool *pool)
{
    uint64_t *pend = NULL;
    uint64_t pend_v = 0, pend_first = 0, pend_last = 0;
    unsigned pend_h = 0;
    uint64_t pos = job->ia;

    for (;;) {
        uint64_t top = top_load(pt);
        unsigned h = (unsigned)(top & 7), n;
        uint64_t *t = top_table(top), *e;
        bool hidden = false;

        for (;;) {
            uint64_t v;

            e = &t[tab_index(f, pt, h, pos)];
            n = 0;
            if (h <= job->top && pos == hgt_base(f, h, pos) &&
                job->last - pos >= hgt_size(f, h) - 1) {
                unsigned max = run_length(f, pt, h, pos, job->last - (hgt_size(f, h) - 1));

                if (hidden || h == 0) {
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
            hidden = hidden || e == pend;
            if (!ent_present(f, v)) {
                uint64_t pa = pt_pool_pop(pool);

                v = ent_link(f, pt, h, pa);
                clean(pt, port_table(pa), hgt_entries(f));
                if (hidden) {
                    port_pte_store(e, v);
                    clean(pt, e, 1);
                } else {
                    pend = e;
                    pend_v = v;
                    pend_h = h - 1;
                    pend_first = pos;
                    pend_last = hgt_last(f, h, pos);
                    pend_last = pend_last < job->last ? pend_last : job->last;
                    hidden = true;
                }
            }
            t = ent_table(f, pt, v);
            h--;
        }
        map_fill(f, pt, job, e, h, pos, n);
        pos += ((uint64_t)n << hgt_shift(f, h)) - 1;
        if (pend && pos >= pend_last) {
            uint64_t old = 0;

            port_publish();
            if (port_pte_cas(pend, &old, pend_v)) {
                clean(pt, pend, 1);
            } else {
                take_apart(f, pt, ent_oa(f, pt, pend_v), pend_h, pool);
                pos = pend_first - 1; /* once more, into the table that is there now */
            }
            pend = NULL;
        }
        if (pos == job->last) {
            break;
        }
        pos++;
    }
    port_publish();
}

static PT_ONCE int map_long(const struct pt_fmt *f, struct pt *pt, const struct map_job *job,
                            struct pt_pool *pool)
{
    uint64_t tables;
    int ret = map_prepare(f, pt, job, &tables);

    if (ret != 0) {
        return ret;
    }
    if (tables > pool->count) {
        return -ENOMEM;
    }
    map_commit(f, pt, job, pool);
    return 0;
}

#endif
