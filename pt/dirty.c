/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty and accessed state, which hardware sets meanwhile. */
#include "port_find.h"
#include "run.h"

static FMT_INLINE void bitmap_set(uint64_t *bitmap, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last;) {
        uint64_t n = 64 - (i & 63);

        n = last - i + 1 < n ? last - i + 1 : n;
        bitmap[i >> 6] |= ~(uint64_t)0 >> (64 - n) << (i & 63);
        i += n;
    }
}

static FMT_INLINE uint64_t ent_clean(const struct pt_fmt *f, uint64_t v)
{
    return (v & ~f->write_mask) | (f->write_mask & ~f->write_value);
}

/* Makes clean the dirty ones from e[0] on, and says how many. Where both flags are set hardware has nothing
 * left to change, so a plain store loses nothing. */
static FMT_INLINE unsigned make_clean(const struct pt_fmt *f, struct pt *pt, uint64_t *e,
                                      unsigned n)
{
    unsigned i = 0;
    uint64_t v;

    while (i < n && ent_dirty(f, v = port_pte_load(&e[i]))) {
        if (f->plain_clean && (v & f->accessed) != 0) {
            port_pte_store(&e[i++], ent_clean(f, v));
        } else {
            i += port_pte_flip(&e[i], f->plain_clean ? 1 : n - i, f->track | f->write_mask,
                               f->track | f->write_value, f->write_mask);
        }
    }
    clean(pt, e, i);
    return i;
}

static FMT_INLINE int dirty_read_clear(const struct pt_fmt *f, struct pt *pt, uint64_t ia,
                                       uint64_t len, uint64_t *bitmap, uint64_t unit,
                                       struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos = ia;
    unsigned unit_shift = (unsigned)__builtin_ctzll(unit | FMT_BIT(63));
    struct pt_run r;
    int ret = whole_leaves(f, pt, ia, len);

    if (unit < PAGE_SIZE || (unit & (unit - 1)) != 0) {
        ret = -EINVAL;
    }
    while (ret == 0 && next_run(f, pt, &pos, last, &r)) {
        unsigned i = 0;

        while (i < r.n) {
            unsigned first;

            i += port_pte_find(&r.e[i], r.n - i, f->track | f->write_mask,
                               f->track | f->write_value);
            /* A run of dirty ones: one record, few bitmap words. */
            first = i;
            if (g) {
                i += make_clean(f, pt, &r.e[i], r.n - i);
            } else {
                for (; i < r.n && ent_dirty(f, port_pte_load(&r.e[i])); i++) {
                }
            }
            if (i > first) {
                uint64_t at = run_at(f, &r, first), end = run_at(f, &r, i) - 1;

                bitmap_set(bitmap, (at - ia) >> unit_shift, (end - ia) >> unit_shift);
                if (g) {
                    pt_gather_add(g, at, end, hgt_level(r.h), false);
                }
            } else {
                i++;
            }
        }
    }
    return ret;
}

int pt_dirty_read_clear(struct pt *pt, uint64_t ia, uint64_t len, uint64_t *bitmap, uint64_t unit,
                        struct pt_gather *g)
{
    PT_SWITCH(pt->cfg.format, -EINVAL, dirty_read_clear, pt, ia, len, bitmap, unit, g)
}

static FMT_INLINE int age(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                          bool *young, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos = ia;
    struct pt_run r;
    struct pt_walk w;
    int ret = range_check(f, pt, ia, len);

    if (ret == 0 && !pt->cfg.live.hw_af) {
        ret = -EOPNOTSUPP; /* a cleared flag would fault, or nobody would set it again */
    }
    if (ret != 0) {
        return ret;
    }
    *young = false;
    if (f->spans) {
        /* Hardware may note the use of a leaf of several entries in any of them. */
        walk(f, pt, ia, &w);
        pos = ent_present(f, w.v) ? ia & ~(((uint64_t)1 << walk_shift(f, &w)) - 1) : ia;
        walk(f, pt, last, &w);
        last = ent_present(f, w.v) ? walk_last(f, &w, last) : last;
    }
    while (next_run(f, pt, &pos, last, &r)) {
        for (unsigned i = 0; i < r.n; i++) {
            uint64_t v = port_pte_load(&r.e[i]), at = run_at(f, &r, i);

            if (!ent_present(f, v) || !(v & f->accessed)) {
                continue;
            }
            while (!port_pte_cas(&r.e[i], &v, v & ~f->accessed)) {
            }
            clean(pt, &r.e[i], 1);
            *young = true;
            pt_gather_add(g, at, hgt_last(f, r.h, at), hgt_level(r.h), false);
        }
    }
    return 0;
}

int pt_age(struct pt *pt, uint64_t ia, uint64_t len, bool *young, struct pt_gather *g)
{
    PT_SHARED(pt->cfg.format, -EINVAL, age, pt, ia, len, young, g)
}
