/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commonest calls, one leaf of one entry in tables that are there, under a start table of height 2 or
 * 3: nothing but immediates, no stack frame. Whatever is not so simple, or is refused, takes the long way.
 * Included by the port_quick.h of the ports that want it.
 */
#ifndef PT_QUICK_H
#define PT_QUICK_H

#include "engine.h"

/* Tries call(the constant format, ...): returns `result` if it says yes, goes on behind if no. */
#define PT_QUICK_CASE(id, fmt, prefix, result, call, ...) \
    case id:                                              \
        if (call(&(fmt), __VA_ARGS__)) {                  \
            return (result);                              \
        }                                                 \
        break;
#define PT_QUICK(format, ...)                    \
    switch (format) {                            \
        PORT_FORMATS(PT_QUICK_CASE, __VA_ARGS__) \
    default:                                     \
        break;                                   \
    }

/* Address bits of a link that lead to no table page of this port. */
static FMT_INLINE uint64_t link_bad(const struct pt_fmt *f)
{
    return ~(f->oa_mask & ~(PORT_NO_TABLE >> f->oa_shift));
}

/* *e at height h is a link as the engine makes them: then on to the entry for ia in its table. One
 * exclusive-or takes its bits away, and whatever else it may be (a leaf, nothing) does not survive it. */
static FMT_INLINE bool quick_step(const struct pt_fmt *f, uint64_t ia, unsigned h, uint64_t **e)
{
    uint64_t v = port_pte_load(*e) ^ (f->table_bits | f->table_type | h * f->table_step);

    if ((v & link_bad(f)) != 0) {
        return false;
    }
    *e = port_entry(v << f->oa_shift, hgt_index(f, h - 1, ia));
    return true;
}

/* *e is the entry for ia in the start table; its height, or 0 for the long way. */
static FMT_INLINE unsigned quick_start(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                       uint64_t **e)
{
    uint64_t top = top_load(pt);
    bool plain = ia <= pt->ia_max && !(f->wide_at != 0 && pt->wide) &&
                 !(f->grows && ia >> hgt_shift(f, 4) != 0);

    if (plain && (top & (PORT_NO_TABLE | 7)) == 3) {
        *e = port_entry(top - 3, ia >> hgt_shift(f, 3));
        return 3;
    }
    if (plain && !f->grows && (top & (PORT_NO_TABLE | 7)) == 2) {
        *e = port_entry(top - 2, ia >> hgt_shift(f, 2));
        return 2;
    }
    return 0;
}

/* The entry of height `to` for ia. */
static FMT_INLINE bool quick_walk(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                  unsigned to, uint64_t **e)
{
    unsigned h = quick_start(f, pt, ia, e);

    return h != 0 && (h == 2 || quick_step(f, ia, 3, e)) && quick_step(f, ia, 2, e) &&
           (to == 1 || quick_step(f, ia, 1, e));
}

/* Is the entry's store, and the first record, all that is left to do? Atomic loads: gcc would read both
 * fields as one word, which waits for a store of less than that. */
static FMT_INLINE bool quick_plain(const struct pt *pt, const struct pt_gather *g)
{
    return !PORT_WATCHED && !pt->cfg.incoherent && __atomic_load_n(&g->n, __ATOMIC_RELAXED) == 0 &&
           !__atomic_load_n(&g->all, __ATOMIC_RELAXED);
}

/* The leaf *e keeps the bits `keep` and gets `set`; if `plain`, no test is watching. */
static FMT_INLINE void quick_set(uint64_t *e, uint64_t keep, uint64_t set, bool plain)
{
    if (keep == 0) {
        port_quick_store(e, set, plain);
        return;
    }
    uint64_t v = port_pte_load(e);

    while (!port_quick_cas(e, &v, (v & keep) | set, plain)) {
    }
}

static PT_ONCE void quick_more(const struct pt *pt, uint64_t *e, uint64_t keep, uint64_t set,
                               uint64_t ia, uint64_t last, uint8_t level, struct pt_gather *g)
{
    quick_set(e, keep, set, false);
    clean(pt, e, 1);
    pt_gather_add(g, ia, last, level, false);
}

/* The end of a call that changes the leaf *e, which maps [ia, last]. What is rare is a call at the end: it
 * would cost the others a stack frame in the middle. */
static FMT_INLINE void quick_end(const struct pt *pt, uint64_t *e, uint64_t keep, uint64_t set,
                                 uint64_t ia, uint64_t last, uint8_t level, struct pt_gather *g)
{
    if (!quick_plain(pt, g)) {
        quick_more(pt, e, keep, set, ia, last, level, g);
        return;
    }
    quick_set(e, keep, set, true);
    g->n = 1;
    g->inv[0].ia = ia;
    g->inv[0].last = last;
    g->inv[0].level = level;
    g->inv[0].tables = false;
}

/* --- map --- */

static FMT_INLINE bool map_leaf_quick(const struct pt_fmt *f, struct pt *pt, uint64_t ia,
                                      uint64_t oa, uint32_t prot, unsigned h)
{
    const uint32_t plain = PT_READ | PT_WRITE | PT_EXEC | PT_USER;
    uint64_t attr = fmt_attr_all(f, pt, prot & plain), *e;

    if ((prot & ~plain) != 0 || attr == 0 || ((ia | oa) & (hgt_size(f, h) - 1)) != 0 ||
        oa > pt->oa_max || !quick_walk(f, pt, ia, h, &e) || port_pte_load(e) != 0) {
        return false;
    }
    port_pte_store(e, oa >> f->oa_shift | attr | ent_leaf_bits(f, h));
    clean(pt, e, 1);
    port_publish();
    return true;
}

static FMT_INLINE bool map_quick(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t oa,
                                 uint64_t len, uint32_t prot, uint64_t cap)
{
    if (cap != 0) {
        return false;
    }
    if (len == hgt_size(f, 0)) {
        return map_leaf_quick(f, pt, ia, oa, prot, 0);
    }
    return len == hgt_size(f, 1) && pt->leaf_h >= 1 && !pt->cfg.live.exec_4k &&
           map_leaf_quick(f, pt, ia, oa, prot, 1);
}

/* --- break, unmap --- */

static FMT_INLINE bool remove_leaf_quick(const struct pt_fmt *f, struct pt *pt, uint64_t ia,
                                         struct pt_gather *g, unsigned h)
{
    uint64_t *e, v;

    if ((ia & (hgt_size(f, h) - 1)) != 0 || !quick_walk(f, pt, ia, h, &e)) {
        return false;
    }
    v = port_pte_load(e);
    if (!ent_present(f, v) || !ent_is_leaf(f, h, v) || (v & f->track) != 0 ||
        ent_span(f, h, v) != 0) {
        return false;
    }
    quick_end(pt, e, 0, 0, ia, hgt_last(f, h, ia), hgt_level(h), g);
    return true;
}

static FMT_INLINE bool remove_quick(const struct pt_fmt *f, struct pt *pt, uint64_t ia,
                                    uint64_t len, struct pt_gather *g)
{
    if (len == hgt_size(f, 0)) {
        return remove_leaf_quick(f, pt, ia, g, 0);
    }
    return len == hgt_size(f, 1) && remove_leaf_quick(f, pt, ia, g, 1);
}

/* --- translate --- */

static FMT_INLINE bool leaf_oa_quick(const struct pt_fmt *f, const uint64_t *e, unsigned h,
                                     uint64_t ia, uint64_t *oa)
{
    uint64_t v = port_pte_load(e), inside = hgt_size(f, h) - 1;

    *oa = ((v & f->oa_mask) << f->oa_shift & ~inside) | (ia & inside);
    return ent_present(f, v) && ent_is_leaf(f, h, v) && ent_span(f, h, v) == 0;
}

static FMT_INLINE bool translate_quick(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                       uint64_t *oa)
{
    uint64_t *e;
    unsigned h = quick_start(f, pt, ia, &e);

    if (h == 0) {
        return false;
    }
    if (h == 3 && !quick_step(f, ia, 3, &e)) {
        return leaf_oa_quick(f, e, 3, ia, oa);
    }
    if (!quick_step(f, ia, 2, &e)) {
        return leaf_oa_quick(f, e, 2, ia, oa);
    }
    return quick_step(f, ia, 1, &e) ? leaf_oa_quick(f, e, 0, ia, oa)
                                    : leaf_oa_quick(f, e, 1, ia, oa);
}

/* --- replace --- */

static FMT_INLINE bool replace_quick(const struct pt_fmt *f, struct pt *pt, uint64_t ia,
                                     uint64_t oa, uint64_t len, struct pt_gather *g)
{
    uint64_t *e, v;

    if (!f->swap_oa || len != hgt_size(f, 0) || ((ia | oa) & (len - 1)) != 0 || oa > pt->oa_max ||
        !quick_walk(f, pt, ia, 0, &e)) {
        return false;
    }
    v = port_pte_load(e);
    if (!ent_present(f, v) || ent_span(f, 0, v) != 0) {
        return false;
    }
    quick_end(pt, e, ~f->oa_mask, oa >> f->oa_shift, ia, hgt_last(f, 0, ia), hgt_level(0), g);
    return true;
}

#endif
