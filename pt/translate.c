/* SPDX-License-Identifier: BSD-2-Clause */
/* Where an address goes, and nothing else: the shortest walk. */
#include "port_quick.h"

static FMT_INLINE uint64_t translate(const struct pt_fmt *f, const struct pt *pt, uint64_t ia)
{
    uint64_t page = hgt_base(f, 0, ia), inside;
    struct pt_walk w;

    if (range_check(f, pt, page, hgt_size(f, 0)) != 0) {
        return PT_NO_OA;
    }
    walk(f, pt, ia, &w);
    if (!ent_present(f, w.v)) {
        return PT_NO_OA;
    }
    inside = ((uint64_t)1 << walk_shift(f, &w)) - 1;
    return (ent_oa(f, pt, w.v) & ~inside) | (ia & inside);
}

static PT_ONCE uint64_t translate_any(const struct pt *pt, uint64_t ia){
    PT_SWITCH(pt->cfg.format, PT_NO_OA, translate, pt, ia)
}

uint64_t pt_translate(const struct pt *pt, uint64_t ia)
{
    uint64_t oa;

    (void)oa;
    PT_QUICK(pt, oa, translate_any(pt, ia), translate_quick, pt, ia, &oa)
}
