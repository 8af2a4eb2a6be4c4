/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaves of several entries: reading, making and taking apart. Included by the port_span.h of the
 * ports that want them, from engine.h; the others take span_none.h.
 */
#ifndef PT_SPAN_H
#define PT_SPAN_H

FMT_FN(unsigned, ent_span, span, (const struct pt_fmt *f, unsigned h, uint64_t e), f, h, e)
FMT_FN(uint64_t, ent_join, join, (const struct pt_fmt *f, unsigned h, unsigned k, uint64_t e), f, h,
       k, e)
FMT_FN(uint64_t, ent_part, part, (const struct pt_fmt *f, unsigned h, unsigned i, uint64_t e), f, h,
       i, e)

/* log2 of the entries that one leaf at height h may have: `at` has all bits that must be aligned, n
 * entries are to be filled, `cap` is the largest leaf or 0. */
static FMT_INLINE unsigned span_for(const struct pt_fmt *f, const struct pt *pt, unsigned h,
                                    uint64_t at, unsigned n, uint64_t cap)
{
    unsigned max = pt->cfg.live.leaf_max;

    for (unsigned k = f->span_max[h]; k != 0 && k >= f->span_min[h]; k--) {
        uint64_t size = hgt_size(f, h) << k;

        if (n >> k != 0 && (at & (size - 1)) == 0 && (cap == 0 || size <= cap) &&
            (max == 0 || hgt_shift(f, h) + k <= max)) {
            return k;
        }
    }
    return 0;
}

/* *v is a leaf of one entry, n entries are to be filled from there on, with leaves of 2^k entries:
 * what the first is, how many go on in equal steps (*run), and the step. */
static FMT_INLINE uint64_t span_run(const struct pt_fmt *f, const struct pt *pt, unsigned h,
                                    unsigned k, unsigned n, uint64_t *v, unsigned *run)
{
    if (k != 0) {
        *v = ent_join(f, h, k, *v);
        *run = f->span_steps ? n >> k << k : 1u << k; /* as many sets as there are */
    }
    /* Addresses of the wide form have a gap in them; within a set they have not. */
    if (k != 0 && pt->wide && f->wide_at != 0) {
        *run = 1u << k;
    }
    return k != 0 && f->span_steps ? ent_of_oa(f, pt, hgt_size(f, h)) : 0;
}

/*
 * A leaf of several entries becomes as many leaves of one, entry by entry: a walker finds the same
 * translation in whichever it reads. One that was used was all used.
 */
static FMT_INLINE void span_part(const struct pt_fmt *f, struct pt *pt, const struct pt_walk *w)
{
    unsigned n = 1u << ent_span(f, w->h, w->v);
    uint64_t *e = (uint64_t *)((uintptr_t)w->e & ~(uintptr_t)(n * sizeof(*e) - 1));
    uint64_t used = port_pte_or(e, n) & f->accessed;

    for (unsigned i = 0; i < n; i++) {
        uint64_t v = port_pte_load(&e[i]);

        while (!port_pte_cas(&e[i], &v, ent_part(f, w->h, i, v) | used)) {
        }
    }
    clean(pt, e, n);
}

#endif
