/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merge: tables whose leaves form one larger leaf are replaced by it, hitlessly. One store per
 * merged block, at the highest level that is uniform; the old tables stay as they are (held) until
 * no walker can be inside them.
 */
#include "port_quick.h"

/* A block that may become one leaf: what it would be. */
struct merge_job {
    uint64_t lo; /* the caller's range: only tables that touch it may vanish */
    uint64_t hi;
    uint64_t attr;
    uint64_t oa;
};

/*
 * Is everything below the table `top` (of height h, covering [base, end]) one contiguous run of
 * equal leaves? Access flags may differ: a young page makes a young block.
 */
static FMT_INLINE bool uniform(const struct pt_fmt *f, const struct pt *pt, uint64_t *top,
                               unsigned top_h, uint64_t base, struct merge_job *job)
{
    uint64_t end = hgt_last(f, top_h + 1, base);
    uint64_t pos = base;

    do {
        unsigned h = top_h, i;
        uint64_t *t = top;
        uint64_t v;

        for (;;) {
            i = hgt_index(f, h, pos);
            v = port_pte_load(&t[i]);
            if (!ent_present(f, v)) {
                return false;
            }
            if (ent_is_leaf(f, h, v)) {
                break;
            }
            if (hgt_last(f, h, pos) < job->lo || hgt_base(f, h, pos) > job->hi) {
                return false;
            }
            t = ent_table(f, pt, v);
            h--;
        }
        if (pos == base) {
            v = ent_part(f, h, i, v);
            job->attr = ent_attr(f, pt, h, v) | f->accessed;
            job->oa = ent_oa(f, pt, v);
            if ((job->oa & (hgt_size(f, top_h + 1) - 1)) != 0 || (v & f->track) != 0 ||
                size_fixed(f, pt, v)) {
                return false;
            }
        }
        for (unsigned n; i < hgt_entries(f); i += n, pos += (uint64_t)n << hgt_shift(f, h)) {
            uint64_t want =
                ent_of_oa(f, pt, job->oa + (pos - base)) | job->attr | ent_leaf_bits(f, h);

            n = port_pte_same(&t[i], hgt_entries(f) - i, want, ent_of_oa(f, pt, hgt_size(f, h)),
                              f->accessed);
            if (n == 0) {
                v = port_pte_load(&t[i]);
                if ((ent_part(f, h, i, v) | f->accessed) != want) {
                    break;
                }
                n = 1;
            }
        }
        /* What stopped the run is a table (entered next), or not part of it. */
        if (i < hgt_entries(f) && (!ent_present(f, v) || ent_is_leaf(f, h, v))) {
            return false;
        }
    } while (pos <= end);
    return true;
}

static FMT_INLINE int merge(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                            uint64_t cap, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos = ia;
    bool allowed = pt->cfg.live.bbm >= f->resize_bbm;
    struct merge_job job = { .lo = ia, .hi = last }, best = { 0 };
    int made = 0;
    int ret = range_check(f, pt, ia, len);

    if (ret == 0 && cap != 0 && (cap < PAGE_SIZE || (cap & (cap - 1)) != 0)) {
        ret = -EINVAL;
    }
    if (ret != 0 || (!allowed && !pt->cfg.live.stalls)) {
        return ret;
    }
    for (;;) {
        unsigned block = 0; /* height of the best block found; 0: none */
        struct pt_walk w;
        uint64_t end;

        walk(f, pt, pos, &w);
        end = hgt_last(f, w.h, pos);
        for (unsigned h = w.h; h < pt->leaf_h; h++) {
            uint64_t base = hgt_base(f, h + 1, pos);

            /* A block is looked at once, from its first address in the range. */
            if (pos != (base > ia ? base : ia) || (cap != 0 && hgt_size(f, h + 1) > cap) ||
                !uniform(f, pt, w.tab[h], h, base, &job)) {
                break;
            }
            best = job;
            block = h + 1;
        }
        if (block != 0) {
            uint64_t base = hgt_base(f, block, pos);
            uint64_t *e = &w.tab[block][tab_index(f, pt, block, pos)];

            g->more = allowed && g->held_n == PT_GATHER_HELD;
            if (g->more || !allowed) { /* there is work, and only breaking would do it */
                return allowed ? made : -EOPNOTSUPP;
            }
            g->held[g->held_n++] = port_pa(w.tab[block - 1]) | (block - 1);
            port_pte_store(e, ent_of_oa(f, pt, best.oa) | best.attr | ent_leaf_bits(f, block));
            clean(pt, e, 1);
            end = hgt_last(f, block, pos);
            pt_gather_add(g, base, end, PT_LEVEL_ANY, true);
            made++;
        } else if (w.h == 0) {
            end = hgt_last(f, 1, pos); /* the rest of this table is no better */
        }
        if (end >= last) {
            return made;
        }
        pos = end + 1;
    }
}

static PT_ONCE int merge_any(struct pt *pt, uint64_t ia, uint64_t len, uint64_t max_size,
                             struct pt_gather *g)
{
    PT_SWITCH(pt->cfg.format, -EINVAL, merge, pt, ia, len, max_size, g)
}

int pt_merge(struct pt *pt, uint64_t ia, uint64_t len, uint64_t max_size, struct pt_gather *g)
{
    PT_QUICK(pt, 1, merge_any(pt, ia, len, max_size, g), merge_quick, pt, ia, len, max_size, g)
}
