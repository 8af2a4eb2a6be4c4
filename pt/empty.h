/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was broken last, if it was more than a table: until the next mapping it holds no leaf, and whoever
 * maps it again needs not read its tables to know. Included by the port_quick.h of the ports that want it.
 *
 * One word, pt->empty: the first block of height 1, and how many. To lose it is always safe, so it is
 * stored plainly. To keep it too long is not: it is said after the last leaf has gone, by the one who
 * breaks, beside whom nobody maps there; and taken back before the first leaf is stored, by whoever
 * maps anything. Of two who map different parts beside each other, one may still find it: his part is
 * empty all the same.
 */
#ifndef PT_EMPTY_H
#define PT_EMPTY_H

#include "engine.h"

#define EMPTY_BITS 21u /* of the number; 42 are left for the first */

static FMT_INLINE void empty_note(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t last)
{
    uint64_t max = FMT_MASK(EMPTY_BITS - 1, 0);
    uint64_t first = (ia + (hgt_size(f, 1) - 1)) >> hgt_shift(f, 1);
    uint64_t end = (last + 1) >> hgt_shift(f, 1);

    if (end > first + 1) {
        end = end - first < max ? end : first + max;
        __atomic_store_n(&pt->empty, first << EMPTY_BITS | (end - first), __ATOMIC_RELEASE);
    }
}

static FMT_INLINE bool empty_noted(const struct pt *pt)
{
    return __atomic_load_n(&pt->empty, __ATOMIC_RELAXED) != 0;
}

static FMT_INLINE void empty_forget(struct pt *pt)
{
    if (empty_noted(pt)) {
        __atomic_store_n(&pt->empty, 0, __ATOMIC_RELEASE);
    }
}

/* Is all of [ia, last] in it, and is there a table of the last level for ia? */
static FMT_INLINE bool empty_table(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                   uint64_t last)
{
    uint64_t v = __atomic_load_n(&pt->empty, __ATOMIC_ACQUIRE), first = v >> EMPTY_BITS;
    uint64_t n = v & FMT_MASK(EMPTY_BITS - 1, 0), *e;
    unsigned h = top_height(pt);

    if ((ia >> hgt_shift(f, 1)) - first >= n || (last >> hgt_shift(f, 1)) - first >= n || h == 0) {
        return false;
    }
    for (e = top_table(top_load(pt)) + (ia >> hgt_shift(f, h)); h > 1; h--) {
        v = port_pte_load(e);
        if (!ent_present(f, v)) {
            return false;
        }
        e = ent_table(f, pt, v) + hgt_index(f, h - 1, ia);
    }
    return ent_present(f, port_pte_load(e));
}

#endif
