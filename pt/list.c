/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping by lists of physical ranges, and by a cursor: calls that do not start at the root. */
#include "map.h"
#include "tenon/pt_more.h"

/* The pieces of a list as jobs: neighbours that go on where the one before ends are one piece. */
struct pieces {
    const struct pt_sg *sg;
    uint32_t n, at;
    uint64_t ia;
};

static bool next_piece(struct pieces *p, uint64_t *ia, uint64_t *oa, uint64_t *len)
{
    if (p->at == p->n) {
        return false;
    }
    *ia = p->ia;
    *oa = p->sg[p->at].oa;
    *len = p->sg[p->at].len;
    while (++p->at < p->n && p->sg[p->at].oa == *oa + *len && p->sg[p->at].len != 0) {
        *len += p->sg[p->at].len;
    }
    p->ia += *len;
    return true;
}

static FMT_INLINE int list_prepare(const struct pt_fmt *f, const struct pt *pt, struct pieces p,
                                   uint64_t cap, uint32_t prot, uint64_t *tables)
{
    struct map_job job = { .cap = cap };
    uint64_t len, oa, n, before = p.ia;

    *tables = 0;
    if (p.n == 0) {
        return -EINVAL;
    }
    while (next_piece(&p, &job.ia, &oa, &len)) {
        int ret = job.ia < before ? -ERANGE : 0; /* the list wraps */

        job.last = job.ia + (len - 1);
        job.delta = oa - job.ia;
        job.cap = cap;
        before = job.ia;
        ret = ret != 0 ? ret : job_check(f, pt, oa, len, &job);
        if (ret == 0) {
            job_limits(f, pt, prot, &job);
            ret = map_prepare(f, pt, &job, &n);
        }
        if (ret != 0) {
            return ret;
        }
        *tables += n;
    }
    return 0;
}

static FMT_INLINE int map_list(const struct pt_fmt *f, struct pt *pt, struct pieces p,
                               uint32_t prot, uint64_t cap, struct pt_pool *pool)
{
    struct map_job job = { 0 };
    uint64_t tables, oa, len;
    int ret = list_prepare(f, pt, p, cap, prot, &tables);
    int err = prot_check(f, pt, prot, &job.attr);

    if (ret != 0 || err != 0) {
        return ret != 0 ? ret : err;
    }
    if (tables > pool->count) {
        return -ENOMEM;
    }
    while (next_piece(&p, &job.ia, &oa, &len)) {
        job.last = job.ia + (len - 1);
        job.delta = oa - job.ia;
        job.cap = cap;
        job_limits(f, pt, prot, &job);
        map_commit(f, pt, &job, pool);
    }
    return 0;
}

int pt_map_list(struct pt *pt, uint64_t ia, const struct pt_sg *sg, uint32_t n, uint32_t prot,
                uint64_t max_level_size, struct pt_pool *pool)
{
    struct pieces p = { .sg = sg, .n = n, .ia = ia };

    PT_SHARED(pt->cfg.format, -EINVAL, map_list, pt, p, prot, max_level_size, pool)
}

int pt_need_list(const struct pt *pt, uint64_t ia, const struct pt_sg *sg, uint32_t n,
                 uint64_t max_level_size, uint64_t *tables)
{
    struct pieces p = { .sg = sg, .n = n, .ia = ia };

    PT_SHARED(pt->cfg.format, -EINVAL, list_prepare, pt, p, max_level_size, PT_EXEC, tables)
}

/* Lets the cursor stand in the table of the last level for ia, if there is one. */
static FMT_INLINE void stand(const struct pt_fmt *f, const struct pt *pt, struct pt_cursor *c,
                             uint64_t ia, struct pt_walk *w)
{
    walk(f, pt, ia, w);
    c->table = w->h == 0 && top_height(pt) != 0 ? w->tab[0] : NULL;
    c->base = hgt_base(f, 1, ia);
}

static FMT_INLINE int map_at(const struct pt_fmt *f, struct pt *pt, struct pt_cursor *c,
                             uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap,
                             struct pt_pool *pool)
{
    struct map_job job = { .ia = ia, .last = ia + (len - 1), .delta = oa - ia, .cap = cap };
    struct pt_walk w;
    int ret = job_check(f, pt, oa, len, &job);
    int err = prot_check(f, pt, prot, &job.attr);

    if (ret != 0 || err != 0) {
        return ret != 0 ? ret : err;
    }
    job_limits(f, pt, prot, &job);
    if (c->table && hgt_base(f, 1, ia) == c->base && hgt_base(f, 1, job.last) == c->base) {
        uint64_t *e = c->table + hgt_index(f, 0, ia);
        unsigned n = (unsigned)(len >> f->page_shift);

        if (ent_present(f, port_pte_or(e, n))) {
            return -EEXIST;
        }
        map_fill(f, pt, &job, e, 0, ia, n);
        port_publish();
        return 0;
    }
    ret = map_long(f, pt, &job, pool);
    stand(f, pt, c, job.last, &w);
    return ret;
}

int pt_map_at(struct pt *pt, struct pt_cursor *c, uint64_t ia, uint64_t oa, uint64_t len,
              uint32_t prot, uint64_t max_level_size, struct pt_pool *pool)
{
    PT_SHARED(pt->cfg.format, -EINVAL, map_at, pt, c, ia, oa, len, prot, max_level_size, pool)
}
