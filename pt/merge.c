/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merge: tables whose leaves form one larger leaf are replaced by it, hitlessly. One store per
 * merged block, at the highest level that is uniform; the old tables stay as they are (held) until
 * no walker can be inside them.
 */
#include "engine.h"

/* A block that may become one leaf: what it would be, and what it replaces. */
struct merge_job {
    uint64_t lo; /* the caller's range: only tables that touch it may vanish */
    uint64_t hi;
    uint64_t attr;
    uint64_t oa;
};

/*
 * Is everything below the table `top` (at `level`, covering [base, end]) one contiguous run of
 * equal leaves? Access flags may differ: a young page makes a young block.
 */
static FMT_INLINE bool uniform(const struct pt_fmt *f, uint64_t *top, unsigned level, uint64_t base,
                               struct merge_job *job)
{
    uint64_t end = lvl_last(f, level - 1, base);
    uint64_t pos = base;

    do {
        unsigned l = level, i;
        uint64_t *t = top;
        uint64_t v;

        for (;;) {
            i = lvl_index(f, l, pos);
            v = port_pte_load(&t[i]);
            if (!ent_present(f, v)) {
                return false;
            }
            if (ent_is_leaf(f, l, v)) {
                break;
            }
            if (lvl_last(f, l, pos) < job->lo || lvl_base(f, l, pos) > job->hi) {
                return false;
            }
            t = ent_table(f, v);
            l++;
        }
        if (pos == base) {
            job->attr = ent_attr(f, l, v) | f->accessed;
            job->oa = ent_oa(f, v);
            if ((job->oa & (lvl_size(f, level - 1) - 1)) != 0 || ent_tracked(f, v)) {
                return false;
            }
        }
        for (; i < lvl_entries(f); i++) {
            v = port_pte_load(&t[i]);
            if ((v | f->accessed) != ((job->oa + (pos - base)) | job->attr | ent_leaf_bits(f, l))) {
                break;
            }
            pos += lvl_size(f, l);
        }
        /* What stopped the run is a table (entered next), or not part of it. */
        if (i < lvl_entries(f) && (!ent_present(f, v) || ent_is_leaf(f, l, v))) {
            return false;
        }
    } while (pos <= end);
    return true;
}

static FMT_INLINE int merge(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                            uint64_t cap, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos = ia;
    struct merge_job job, best;
    int made = 0;
    int ret = range_check(pt, ia, len);

    if (ret == 0 && cap != 0 && (cap < PAGE_SIZE || (cap & (cap - 1)) != 0)) {
        ret = -EINVAL;
    }
    if (ret != 0) {
        return ret;
    }
    if (!may_resize(f, pt) && !pt->cfg.live.stalls) {
        return 0;
    }
    for (;;) {
        unsigned block = 0; /* level of the best block found, if `found` */
        bool found = false;
        struct pt_walk w;
        uint64_t end;

        walk(f, pt, pos, &w);
        end = lvl_last(f, w.level, pos);
        for (unsigned l = w.level; l > (unsigned)pt->cfg.start_level; l--) {
            uint64_t base = lvl_base(f, l - 1, pos);

            /* A block is looked at once, from its first address in the range. */
            if (pos != (base > ia ? base : ia)) {
                break;
            }
            if (!lvl_leaf_ok(f, l - 1) || (cap != 0 && lvl_size(f, l - 1) > cap)) {
                break;
            }
            job.lo = ia;
            job.hi = last;
            if (!uniform(f, w.tab[l], l, base, &job)) {
                break;
            }
            best = job;
            block = l - 1;
            found = true;
        }
        if (found) {
            uint64_t base = lvl_base(f, block, pos);
            uint64_t *e = &w.tab[block][tab_index(f, pt, block, pos)];

            if (!may_resize(f, pt)) {
                return -EOPNOTSUPP; /* there is work, and only breaking would do it */
            }
            if (g->held_n == PT_GATHER_HELD) {
                g->more = true;
                return made;
            }
            g->held[g->held_n++] = port_pa(w.tab[block + 1]) | (block + 1);
            port_pte_store(e, best.oa | best.attr | ent_leaf_bits(f, block));
            clean(pt, e, 1);
            end = lvl_last(f, block, pos);
            pt_gather_add(g, base, end, PT_LEVEL_ANY, true);
            made++;
        } else if (w.level == f->last_level) {
            end = lvl_last(f, w.level - 1u, pos); /* the rest of this table is no better */
        }
        if (end >= last) {
            return made;
        }
        pos = end + 1;
    }
}

int pt_merge(struct pt *pt, uint64_t ia, uint64_t len, uint64_t max_size, struct pt_gather *g)
{
#define CALL(fmt) merge(&(fmt), pt, ia, len, max_size, g)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}
