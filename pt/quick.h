/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commonest calls, one leaf of one entry in tables that are there, under a start table of height 2 or
 * 3: nothing but immediates, no stack frame. Whatever is not so simple, or is refused, takes the long way.
 * Included by the port_quick.h of the ports that want it.
 */
#ifndef PT_QUICK_H
#define PT_QUICK_H

#include "engine.h"

/* The low byte of pt->top, for a start table of height h; without such a number a tree knows no short
 * ways. */
#define QUICK_KIND(id, h) ((uint8_t)(((id) + 1u) << 3 | (h)))

static FMT_INLINE unsigned quick_kind(const struct pt_fmt *f, const struct pt *pt)
{
    return f->wide_at != 0 && pt->wide ? 0 : QUICK_KIND(f->id, 0);
}

/*
 * Returns `yes` if call(the constant format, the constant height of the start table, pt->top, ...) does it,
 * `no` otherwise. With four levels one comparison after the other, in the port's order of formats: for the
 * first few that is less than any other way to find the right one, and the empty statement keeps
 * compilers from making a table of jumps of them.
 */
#define PT_QUICK_3(id, fmt, prefix, top, yes, no, call, ...)     \
    __asm__ volatile("");                                        \
    if ((uint8_t)(top) == QUICK_KIND(id, 3)) {                   \
        return call(&(fmt), 3, top, __VA_ARGS__) ? (yes) : (no); \
    }
#define PT_QUICK_2(id, fmt, prefix, top, yes, no, call, ...) \
    case QUICK_KIND(id, 2):                                  \
        return call(&(fmt), 2, top, __VA_ARGS__) ? (yes) : (no);
#define PT_QUICK(pt, yes, no, ...)                               \
    do {                                                         \
        const uint64_t top_ = top_load(pt);                      \
                                                                 \
        PORT_FORMATS(PT_QUICK_3, top_, yes, no, __VA_ARGS__)     \
        switch ((uint8_t)top_) {                                 \
            PORT_FORMATS(PT_QUICK_2, top_, yes, no, __VA_ARGS__) \
        default:                                                 \
            return (no);                                         \
        }                                                        \
    } while (0);

/* Address bits of a link that lead to no table page of this port. */
static FMT_INLINE uint64_t link_bad(const struct pt_fmt *f)
{
    return ~(f->oa_mask & ~(PORT_NO_TABLE >> f->oa_shift));
}

static FMT_INLINE uint64_t link_bits(const struct pt_fmt *f, unsigned h)
{
    return f->table_bits | f->table_type | h * f->table_step;
}

/* Is v, of height h, a link as the engine makes them? One subtraction takes its bits away, and whatever
 * else it may be (a leaf, nothing) does not survive it. */
static FMT_INLINE bool is_link(const struct pt_fmt *f, unsigned h, uint64_t v)
{
    return ((v - link_bits(f, h)) & link_bad(f)) == 0;
}

/* Added up by itself. Compilers, left to themselves, take the parts of a sum in any order. */
static FMT_INLINE uint64_t apart(uint64_t sum)
{
    __asm__("" : "+r"(sum));
    return sum;
}

/* The entry for ia in the table that such a link, of height h, leads to. All that is known before v is added
 * up before: a walk waits for its loads and for nothing else. */
static FMT_INLINE uint64_t *link_entry(const struct pt_fmt *f, uint64_t origin, unsigned h,
                                       uint64_t v, uint64_t ia)
{
    uint64_t tables = apart(origin - (link_bits(f, h) << f->oa_shift));

    return (uint64_t *)((v << f->oa_shift) + apart(tables + hgt_index(f, h - 1, ia) * sizeof(v)));
}

/* *e: the entry for ia in the start table, of height h. */
static FMT_INLINE bool quick_start(const struct pt_fmt *f, unsigned h, uint64_t top,
                                   const struct pt *pt, uint64_t ia, uint64_t **e)
{
    *e = (uint64_t *)(top - QUICK_KIND(f->id, h)) + (ia >> hgt_shift(f, h));
    return ia <= pt->ia_max && !(f->grows && ia >> hgt_shift(f, h + 1) != 0);
}

/* *e, of height h, is a link: then on to the entry for ia in its table. */
static FMT_INLINE bool quick_step(const struct pt_fmt *f, uint64_t origin, uint64_t ia, unsigned h,
                                  uint64_t **e)
{
    uint64_t v = port_pte_load(*e);

    *e = link_entry(f, origin, h, v, ia);
    return is_link(f, h, v);
}

/* The entry of height `to` for ia. */
static FMT_INLINE bool quick_walk(const struct pt_fmt *f, unsigned h, uint64_t top,
                                  const struct pt *pt, uint64_t ia, unsigned to, uint64_t **e)
{
    uint64_t origin = port_origin();

    return quick_start(f, h, top, pt, ia, e) && (h == 2 || quick_step(f, origin, ia, 3, e)) &&
           (to == 2 || quick_step(f, origin, ia, 2, e)) &&
           (to >= 1 || quick_step(f, origin, ia, 1, e));
}

/* Is the entry's store, and the first record, all that is left to do? Atomic loads: gcc would read both
 * fields as one word, which waits for a store of less than that. */
static FMT_INLINE bool quick_plain(const struct pt *pt, const struct pt_gather *g)
{
    return !PORT_WATCHED && !pt->cfg.incoherent && __atomic_load_n(&g->n, __ATOMIC_RELAXED) == 0 &&
           !__atomic_load_n(&g->all, __ATOMIC_RELAXED);
}

/* The leaf *e, which was v, keeps the bits `keep` and gets `set`; if `plain`, no test is watching. */
static FMT_INLINE void quick_set(uint64_t *e, uint64_t v, uint64_t keep, uint64_t set, bool plain)
{
    if (keep == 0) {
        port_quick_store(e, set, plain);
        return;
    }
    while (!port_quick_cas(e, &v, (v & keep) | set, plain)) {
    }
}

static PT_ONCE void quick_more(const struct pt *pt, uint64_t *e, uint64_t keep, uint64_t set,
                               uint64_t ia, uint64_t last, uint8_t level, struct pt_gather *g)
{
    quick_set(e, port_pte_load(e), keep, set, false);
    clean(pt, e, 1);
    pt_gather_add(g, ia, last, level, false);
}

/* The end of a call that changes the leaf *e, which maps [ia, last]. What is rare is a call at the end: it
 * would cost the others a stack frame in the middle. */
static FMT_INLINE void quick_end(const struct pt *pt, uint64_t *e, uint64_t v, uint64_t keep,
                                 uint64_t set, uint64_t ia, uint64_t last, uint8_t level,
                                 struct pt_gather *g)
{
    if (!quick_plain(pt, g)) {
        quick_more(pt, e, keep, set, ia, last, level, g);
        return;
    }
    quick_set(e, v, keep, set, true);
    g->n = 1;
    g->inv[0].ia = ia;
    g->inv[0].last = last;
    g->inv[0].level = level;
    g->inv[0].tables = false;
}

/* --- map --- */

static PT_ONCE void map_more(const struct pt *pt, uint64_t *e, uint64_t v)
{
    port_pte_store(e, v);
    clean(pt, e, 1);
    port_publish();
}

static FMT_INLINE bool map_leaf_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                      struct pt *pt, uint64_t ia, uint64_t oa, uint32_t prot,
                                      unsigned h)
{
    const uint32_t plain = PT_READ | PT_WRITE | PT_EXEC | PT_USER;
    uint64_t attr, *e;

    if ((prot & ~plain) != 0 || ((ia | oa) & (hgt_size(f, h) - 1)) != 0 || oa > pt->oa_max ||
        !quick_walk(f, from, top, pt, ia, h, &e) || port_pte_load(e) != 0) {
        return false;
    }
    attr = fmt_attr_all(f, pt, prot & plain);
    if (attr == 0) {
        return false;
    }
    attr |= oa >> f->oa_shift | ent_leaf_bits(f, h);
    if (PORT_WATCHED || pt->cfg.incoherent) {
        map_more(pt, e, attr);
        return true;
    }
    port_quick_store(e, attr, true);
    port_quick_publish();
    return true;
}

static FMT_INLINE bool map_quick(const struct pt_fmt *f, unsigned from, uint64_t top, struct pt *pt,
                                 uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
                                 uint64_t cap)
{
    if (cap != 0 || empty_noted(pt)) {
        return false;
    }
    if (len == hgt_size(f, 0)) {
        return map_leaf_quick(f, from, top, pt, ia, oa, prot, 0);
    }
    return len == hgt_size(f, 1) && pt->leaf_h >= 1 && !pt->cfg.live.exec_4k &&
           map_leaf_quick(f, from, top, pt, ia, oa, prot, 1);
}

/* Returns what mapping returns: by map_most(), which PT_QUICK_MOST() has made, and that by `no`, the long
 * way. One page is apart, with constants: then the commonest call has registers enough. */
#define PT_QUICK_MAP(no, pt, ia, oa, len, prot, cap, pool)                               \
    if ((len) == PAGE_SIZE && (cap) == 0) {                                              \
        PT_QUICK(pt, 0, no(pt, ia, oa, PAGE_SIZE, prot, 0, pool), map_quick, pt, ia, oa, \
                 PAGE_SIZE, prot, 0)                                                     \
    }                                                                                    \
    return map_most(pt, ia, oa, len, prot, cap, pool);
#define PT_QUICK_MOST(no)                                                                       \
    static PT_ONCE int map_most(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len,          \
                                uint32_t prot, uint64_t cap, struct pt_pool *pool)              \
    {                                                                                           \
        PT_QUICK(pt, 0, no(pt, ia, oa, len, prot, cap, pool), map_quick, pt, ia, oa, len, prot, \
                 cap)                                                                           \
    }

/* --- break, unmap --- */

static FMT_INLINE bool remove_leaf_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                         struct pt *pt, uint64_t ia, struct pt_gather *g,
                                         unsigned h)
{
    uint64_t *e, v;

    if ((ia & (hgt_size(f, h) - 1)) != 0 || !quick_walk(f, from, top, pt, ia, h, &e)) {
        return false;
    }
    v = port_pte_load(e);
    if (!ent_present(f, v) || !ent_is_leaf(f, h, v) || (v & f->track) != 0 ||
        ent_span(f, h, v) != 0) {
        return false;
    }
    quick_end(pt, e, v, 0, 0, ia, hgt_last(f, h, ia), hgt_level(h), g);
    return true;
}

static FMT_INLINE bool remove_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                    struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    if (len == hgt_size(f, 0)) {
        return remove_leaf_quick(f, from, top, pt, ia, g, 0);
    }
    return len == hgt_size(f, 1) && remove_leaf_quick(f, from, top, pt, ia, g, 1);
}

/* --- translate --- */

/* Of several entries that say each their own address, each is as good as one alone. */
static FMT_INLINE bool leaf_oa_quick(const struct pt_fmt *f, uint64_t v, unsigned h, uint64_t ia,
                                     uint64_t *oa)
{
    uint64_t inside = hgt_size(f, h) - 1;

    *oa = ((v & f->oa_mask) << f->oa_shift & ~inside) | (ia & inside);
    return ent_present(f, v) && ent_is_leaf(f, h, v) && (f->span_steps || ent_span(f, h, v) == 0);
}

static FMT_INLINE bool translate_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                       const struct pt *pt, uint64_t ia, uint64_t *oa)
{
    uint64_t origin = port_origin(), v, *e;

    if (!quick_start(f, from, top, pt, ia, &e)) {
        return false;
    }
    v = port_pte_load(e);
    if (from == 3) {
        if (__builtin_expect(!is_link(f, 3, v), 0)) {
            return leaf_oa_quick(f, v, 3, ia, oa);
        }
        v = port_pte_load(link_entry(f, origin, 3, v, ia));
    }
    if (__builtin_expect(!is_link(f, 2, v), 0)) {
        return leaf_oa_quick(f, v, 2, ia, oa);
    }
    v = port_pte_load(link_entry(f, origin, 2, v, ia));
    if (__builtin_expect(!is_link(f, 1, v), 0)) {
        return leaf_oa_quick(f, v, 1, ia, oa);
    }
    return leaf_oa_quick(f, port_pte_load(link_entry(f, origin, 1, v, ia)), 0, ia, oa);
}

/* --- replace --- */

static FMT_INLINE bool replace_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                     struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len,
                                     struct pt_gather *g)
{
    uint64_t *e, v;

    if (!f->swap_oa || len != hgt_size(f, 0) || ((ia | oa) & (len - 1)) != 0 || oa > pt->oa_max ||
        !quick_walk(f, from, top, pt, ia, 0, &e)) {
        return false;
    }
    v = port_pte_load(e);
    if (!ent_present(f, v) || ent_span(f, 0, v) != 0) {
        return false;
    }
    quick_end(pt, e, v, ~f->oa_mask, oa >> f->oa_shift, ia, hgt_last(f, 0, ia), hgt_level(0), g);
    return true;
}

/* --- cut, merge --- */

/* A live leaf of one entry, whose size may change. */
static FMT_INLINE bool quick_resize(const struct pt_fmt *f, const struct pt *pt, unsigned h,
                                    uint64_t v)
{
    return ent_present(f, v) && ent_is_leaf(f, h, v) && ent_span(f, h, v) == 0 &&
           may_resize(f, pt, v);
}

/* One page. */
static FMT_INLINE bool cut_check_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                       const struct pt *pt, uint64_t ia, uint64_t len)
{
    uint64_t *e;

    if (len != hgt_size(f, 0) || (ia & (len - 1)) != 0 ||
        !quick_walk(f, from, top, pt, ia, 1, &e)) {
        return false;
    }
    return quick_resize(f, pt, 1, port_pte_load(e)) ||
           (quick_step(f, port_origin(), ia, 1, &e) && ent_span(f, 0, port_pte_load(e)) == 0);
}

/* Inside a leaf of height h, so that one table is needed. */
static FMT_INLINE bool cut_leaf_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                      struct pt *pt, uint64_t ia, uint64_t len,
                                      struct pt_pool *pool, struct pt_gather *g, unsigned h)
{
    struct pt_walk w = { .h = h };

    if (pool->count == 0 || len >= hgt_size(f, h) ||
        ((ia ^ (ia + len - 1)) & ~(hgt_size(f, h) - 1)) != 0 ||
        !quick_walk(f, from, top, pt, ia, h, &w.e)) {
        return false;
    }
    w.v = port_pte_load(w.e);
    if (!quick_resize(f, pt, h, w.v)) {
        return false;
    }
    pt_gather_add(g, hgt_base(f, h, ia), hgt_last(f, h, ia), hgt_level(h), false);
    split(f, pt, &w, pt_pool_pop(pool));
    return true;
}

static FMT_INLINE bool cut_quick(const struct pt_fmt *f, unsigned from, uint64_t top, struct pt *pt,
                                 uint64_t ia, uint64_t len, struct pt_pool *pool,
                                 struct pt_gather *g)
{
    uint64_t at = ia | len;

    if (len == 0 || (at & (hgt_size(f, 0) - 1)) != 0) {
        return false;
    }
    return (at & (hgt_size(f, 1) - 1)) == 0 ? cut_leaf_quick(f, from, top, pt, ia, len, pool, g, 2)
                                            : cut_leaf_quick(f, from, top, pt, ia, len, pool, g, 1);
}

/* One table of pages, all of them leaves of one entry. */
static FMT_INLINE bool merge_quick(const struct pt_fmt *f, unsigned from, uint64_t top,
                                   struct pt *pt, uint64_t ia, uint64_t len, uint64_t cap,
                                   struct pt_gather *g)
{
    const uint64_t size = hgt_size(f, 1);
    uint64_t *e, *t, v, leaf;

    if (len != size || cap != size || (ia & (size - 1)) != 0 || pt->leaf_h < 1 ||
        g->held_n == PT_GATHER_HELD || !quick_walk(f, from, top, pt, ia, 1, &e)) {
        return false;
    }
    t = e;
    if (!quick_step(f, port_origin(), ia, 1, &t)) {
        return false;
    }
    v = port_pte_load(t) | f->accessed;
    if (!ent_present(f, v) || ent_span(f, 0, v) != 0 || (v & f->track) != 0 ||
        (ent_oa(f, pt, v) & (size - 1)) != 0 || !may_resize(f, pt, v) ||
        port_pte_same(t, hgt_entries(f), v, ent_of_oa(f, pt, hgt_size(f, 0)), f->accessed) !=
            hgt_entries(f)) {
        return false;
    }
    leaf = ent_of_oa(f, pt, ent_oa(f, pt, v)) | ent_attr(f, pt, 0, v) | ent_leaf_bits(f, 1);
    g->held[g->held_n++] = port_pa(t);
    port_pte_store(e, leaf);
    clean(pt, e, 1);
    pt_gather_add(g, ia, ia + (size - 1), PT_LEVEL_ANY, true);
    return true;
}

#endif
