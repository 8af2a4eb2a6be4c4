/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's common part: entries, heights, walks. Everything is always_inline over a constant
 * format; each operation's file (map.c, cut.c, ...) instantiates it once for each format that the
 * port lists (PT_SWITCH).
 *
 * A new format: one header in fmt/, and one line in the port_formats.h of the ports that want it.
 */
#ifndef PT_ENGINE_H
#define PT_ENGINE_H

#include "port_formats.h"
#include "port_pte.h"
#include "tenon/errno.h"
#include "tenon/port.h"
#include "tenon/pt.h"

/* Each operation's instances: PT_SWITCH(format, result for others, function, its arguments). */
#define PT_CASE(id, fmt, prefix, call, ...) \
    case id:                                \
        return call(&(fmt), __VA_ARGS__);
#define PT_SWITCH(format, miss, ...)       \
    switch (format) {                      \
        PORT_FORMATS(PT_CASE, __VA_ARGS__) \
    default:                               \
        return miss;                       \
    }

/* The same for calls that are rarely in anybody's way: one instance, that reads the format's numbers
 * from memory. */
const struct pt_fmt *pt_format(enum pt_format id);
#define PT_ONCE __attribute__((noinline))
#define PT_SHARED(format, miss, call, ...)          \
    do {                                            \
        const struct pt_fmt *f = pt_format(format); \
                                                    \
        return f ? call(f, __VA_ARGS__) : (miss);   \
    } while (0);

/* The format's own inlines, by the constant format. */
#define FMT_OF(ID, fmt, prefix, name, ...) f->id == (ID) ? prefix##_##name(__VA_ARGS__):

#define FMT_FN(type, fn, name, parameters, ...)           \
    static FMT_INLINE type fn parameters                  \
    {                                                     \
        return PORT_FORMATS(FMT_OF, name, __VA_ARGS__) 0; \
    }
FMT_FN(uint64_t, fmt_attr_all, attr, (const struct pt_fmt *f, const struct pt *pt, uint32_t prot),
       pt, prot)
FMT_FN(uint32_t, fmt_prot, prot, (const struct pt_fmt *f, const struct pt *pt, uint64_t e), pt, e)
/* --- entries --- */

static FMT_INLINE uint64_t oa_bits(const struct pt_fmt *f, const struct pt *pt)
{
    return f->wide_at != 0 && pt->wide ? FMT_MASK(f->wide_from - 1, f->page_shift) | f->wide_mask
                                       : f->oa_mask;
}

/* Of a leaf of several entries this is not all address (see ent_leaf_oa). */
static FMT_INLINE uint64_t ent_oa(const struct pt_fmt *f, const struct pt *pt, uint64_t v)
{
    if (f->wide_at != 0 && pt->wide) {
        return (v & FMT_MASK(f->wide_from - 1, f->page_shift)) |
               (v & f->wide_mask) >> f->wide_at << f->wide_from;
    }
    return (v & f->oa_mask) << f->oa_shift;
}

static FMT_INLINE uint64_t ent_of_oa(const struct pt_fmt *f, const struct pt *pt, uint64_t oa)
{
    if (f->wide_at != 0 && pt->wide) {
        return (oa & FMT_MASK(f->wide_from - 1, 0)) | oa >> f->wide_from << f->wide_at;
    }
    return oa >> f->oa_shift;
}

static FMT_INLINE uint64_t fmt_attr(const struct pt_fmt *f, const struct pt *pt, uint32_t prot)
{
    return fmt_attr_all(f, pt, prot) & ~(f->wide_at != 0 && pt->wide ? f->wide_mask : 0);
}

static FMT_INLINE bool ent_present(const struct pt_fmt *f, uint64_t v)
{
    return (v & f->present) != 0;
}

/* Of a present entry. At height 0 the same bits mean "page", never "table": reading it as the
 * latter would walk into data. */
static FMT_INLINE bool ent_is_leaf(const struct pt_fmt *f, unsigned h, uint64_t v)
{
    return h == 0 || (v & f->table_mask) != f->table_type + h * f->table_step;
}

static FMT_INLINE uint64_t ent_leaf_bits(const struct pt_fmt *f, unsigned h)
{
    return h == 0 ? f->page_bits : f->block_bits;
}

/* Attribute bits of a present leaf of one entry, access flag and dirty state included. */
static FMT_INLINE uint64_t ent_attr(const struct pt_fmt *f, const struct pt *pt, unsigned h,
                                    uint64_t v)
{
    return v & ~(oa_bits(f, pt) | ent_leaf_bits(f, h));
}

static FMT_INLINE uint64_t *ent_table(const struct pt_fmt *f, const struct pt *pt, uint64_t v)
{
    return port_table(ent_oa(f, pt, v));
}

/* An entry at height h for a table of height h - 1. */
static FMT_INLINE uint64_t ent_link(const struct pt_fmt *f, const struct pt *pt, unsigned h,
                                    uint64_t pa)
{
    return ent_of_oa(f, pt, pa) | (f->table_bits | f->table_type) | h * f->table_step;
}

static FMT_INLINE bool ent_dirty(const struct pt_fmt *f, uint64_t v)
{
    return (v & (f->track | f->write_mask)) == (f->track | f->write_value);
}

/* --- heights --- */

static FMT_INLINE unsigned hgt_shift(const struct pt_fmt *f, unsigned h)
{
    return f->page_shift + h * f->index_bits;
}

static FMT_INLINE uint64_t hgt_size(const struct pt_fmt *f, unsigned h)
{
    return (uint64_t)1 << hgt_shift(f, h);
}

static FMT_INLINE uint64_t hgt_base(const struct pt_fmt *f, unsigned h, uint64_t ia)
{
    return ia & ~(hgt_size(f, h) - 1);
}

static FMT_INLINE uint64_t hgt_last(const struct pt_fmt *f, unsigned h, uint64_t ia)
{
    return ia | (hgt_size(f, h) - 1);
}

/* Index within one table page; start tables, which may be larger, are indexed by all of ia. */
static FMT_INLINE unsigned hgt_index(const struct pt_fmt *f, unsigned h, uint64_t ia)
{
    return (unsigned)(ia >> hgt_shift(f, h)) & ((1u << f->index_bits) - 1);
}

static FMT_INLINE unsigned hgt_entries(const struct pt_fmt *f)
{
    return 1u << f->index_bits;
}

/* What invalidation records say: Arm's level; the few leaves above level 0 have none. */
static FMT_INLINE uint8_t hgt_level(unsigned h)
{
    return (uint8_t)(h <= 3 ? 3 - h : PT_LEVEL_ANY);
}

/* The start table(s), entries taken as one array: a pointer, and in its low bits the height, and above
 * that what the port's short ways know a tree by (quick.h). */
static FMT_INLINE uint64_t top_load(const struct pt *pt)
{
    return __atomic_load_n(&pt->top, __ATOMIC_ACQUIRE);
}

#define top_table(top) ((uint64_t *)((top) & ~(PAGE_SIZE - 1)))

static FMT_INLINE unsigned top_height(const struct pt *pt)
{
    return (unsigned)(top_load(pt) & 7);
}

static FMT_INLINE unsigned top_entries(const struct pt_fmt *f, const struct pt *pt)
{
    unsigned shift = hgt_shift(f, top_height(pt)), ia_bits = pt->cfg.ia_bits;

    if (f->grows && ia_bits > shift + f->index_bits) {
        ia_bits = shift + f->index_bits;
    }
    return 1u << (ia_bits > shift ? ia_bits - shift : 0);
}

static FMT_INLINE unsigned tab_entries(const struct pt_fmt *f, const struct pt *pt, unsigned h)
{
    return h == top_height(pt) ? top_entries(f, pt) : hgt_entries(f);
}

static FMT_INLINE unsigned tab_index(const struct pt_fmt *f, const struct pt *pt, unsigned h,
                                     uint64_t ia)
{
    return h == top_height(pt) ? (unsigned)(ia >> hgt_shift(f, h)) : hgt_index(f, h, ia);
}

/* --- the walk --- */

/* Where a walk for one address ended: at a leaf or at a hole. */
struct pt_walk {
    uint64_t *tab[PT_HEIGHTS]; /* the tables passed, by height; tab[h] is the last */
    uint64_t *e;
    uint64_t v;
    unsigned h;
};

static FMT_INLINE bool walk_step(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                 struct pt_walk *w, unsigned h)
{
    uint64_t *t = ent_table(f, pt, w->v);

    w->tab[h] = t;
    w->h = h;
    w->e = &t[hgt_index(f, h, ia)];
    w->v = port_pte_load(w->e);
    return !ent_present(f, w->v) || ent_is_leaf(f, h, w->v);
}

/* Straight down: every shift but the first is an immediate. */
static FMT_INLINE void walk(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                            struct pt_walk *w)
{
    uint64_t top = top_load(pt);
    unsigned h = (unsigned)(top & 7);
    uint64_t *t = top_table(top);

    w->tab[h] = t;
    w->h = h;
    w->e = &t[ia >> hgt_shift(f, h)];
    w->v = port_pte_load(w->e);
    (void)(!ent_present(f, w->v) || ent_is_leaf(f, h, w->v) ||
           (h > 4 && walk_step(f, pt, ia, w, 4)) || (h > 3 && walk_step(f, pt, ia, w, 3)) ||
           (h > 2 && walk_step(f, pt, ia, w, 2)) || (h > 1 && walk_step(f, pt, ia, w, 1)) ||
           walk_step(f, pt, ia, w, 0));
}

static FMT_INLINE void clean(const struct pt *pt, const uint64_t *e, unsigned n)
{
    if (pt->cfg.incoherent) {
        port_clean(e, n * sizeof(*e));
    }
}

#include "port_span.h" /* leaves of several entries, if the port wants them */

/* log2 of the leaf (all its entries) or hole where a walk ended. */
static FMT_INLINE unsigned walk_shift(const struct pt_fmt *f, const struct pt_walk *w)
{
    return hgt_shift(f, w->h) + (f->spans && ent_present(f, w->v) ? ent_span(f, w->h, w->v) : 0u);
}

static FMT_INLINE uint64_t walk_last(const struct pt_fmt *f, const struct pt_walk *w, uint64_t ia)
{
    return ia | (((uint64_t)1 << walk_shift(f, w)) - 1);
}

/* A boundary at `at`, next to what was walked to: is it inside the leaf? */
static FMT_INLINE bool crosses(const struct pt_fmt *f, const struct pt_walk *w, uint64_t at)
{
    return ent_present(f, w->v) && (at & (((uint64_t)1 << walk_shift(f, w)) - 1)) != 0;
}

/* Neither end is inside a leaf? `w` is the walk for ia. */
static FMT_INLINE bool ends_ok(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                               uint64_t last, const struct pt_walk *w)
{
    struct pt_walk end;

    if (crosses(f, w, ia)) {
        return false;
    }
    if (last <= walk_last(f, w, ia)) {
        return !crosses(f, w, last + 1);
    }
    if (!f->spans && w->h == 0 && ((ia ^ last) >> hgt_shift(f, 1)) == 0) {
        return true; /* pages of one table */
    }
    walk(f, pt, last, &end);
    return !crosses(f, &end, last + 1);
}

/* Entries of one table, from the one for `ia`, that the range up to `last` reaches. */
static FMT_INLINE unsigned run_length(const struct pt_fmt *f, const struct pt *pt, unsigned h,
                                      uint64_t ia, uint64_t last)
{
    uint64_t left = (last >> hgt_shift(f, h)) - (ia >> hgt_shift(f, h)) + 1;
    unsigned room = tab_entries(f, pt, h) - tab_index(f, pt, h, ia);

    return left < room ? (unsigned)left : room;
}

/* --- argument checks --- */

/* Formats that grow: is it more than the start table reaches? */
static FMT_INLINE bool beyond_top(const struct pt_fmt *f, unsigned top_h, uint64_t last)
{
    unsigned shift = hgt_shift(f, top_h) + f->index_bits;

    return f->grows && shift < 64 && last >> shift != 0;
}

/* A page-aligned, non-empty range inside the input address space and under the start table. */
static FMT_INLINE int range_check(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                  uint64_t len)
{
    uint64_t last = ia + (len - 1);

    if (len == 0 || ((ia | len) & (hgt_size(f, 0) - 1)) != 0) {
        return -EINVAL;
    }
    if (last < ia || last >> pt->cfg.ia_bits != 0 || beyond_top(f, top_height(pt), last)) {
        return -ERANGE;
    }
    return 0;
}

/* 0 and the attribute bits, or an error. */
static FMT_INLINE int prot_check(const struct pt_fmt *f, const struct pt *pt, uint32_t prot,
                                 uint64_t *attr)
{
    const uint32_t all =
        PT_READ | PT_WRITE | PT_EXEC | PT_USER | PT_NC | PT_DEVICE | PT_TRACK | PT_DIRTY;

    *attr = fmt_attr(f, pt, prot);
    if ((prot & ~all) != 0 || *attr == 0 || (prot & (PT_NC | PT_DEVICE)) == (PT_NC | PT_DEVICE) ||
        (prot & (PT_TRACK | PT_WRITE)) == PT_TRACK) {
        return -EINVAL;
    }
    if ((prot & PT_TRACK) && !pt->cfg.live.hw_dirty) {
        return -EOPNOTSUPP; /* such a leaf would look read-only to this walker, or never dirty */
    }
    return 0;
}

/* A leaf whose size the walker may never see change? */
static FMT_INLINE bool size_fixed(const struct pt_fmt *f, const struct pt *pt, uint64_t v)
{
    return pt->cfg.live.exec_4k && (fmt_prot(f, pt, v) & PT_EXEC) != 0;
}

/* Can the size of this live leaf be changed in place? */
static FMT_INLINE bool may_resize(const struct pt_fmt *f, const struct pt *pt, uint64_t v)
{
    return pt->cfg.live.bbm >= f->resize_bbm && !size_fixed(f, pt, v);
}

/* One level: the leaf's own attributes and addresses in a table. Hardware may set the access flag or
 * the dirty state at any moment until the exchange: the copies then are out of date, and are made
 * again. */
static FMT_INLINE void split(const struct pt_fmt *f, struct pt *pt, const struct pt_walk *w,
                             uint64_t pa)
{
    uint64_t v = w->v, *t = port_table(pa);
    unsigned h = w->h - 1;

    do {
        uint64_t bits = ent_attr(f, pt, w->h, v) | ent_leaf_bits(f, h);

        port_pte_fill(t, ent_of_oa(f, pt, ent_oa(f, pt, v)) | bits,
                      ent_of_oa(f, pt, hgt_size(f, h)), hgt_entries(f));
        clean(pt, t, hgt_entries(f));
        port_publish();
    } while (!port_pte_cas(w->e, &v, ent_link(f, pt, w->h, pa)));
    clean(pt, w->e, 1);
}

/* Puts every table page of the sub-tree under `pa` (a table of height h) on the list. */
void pt_free_subtree(const struct pt_fmt *f, const struct pt *pt, struct pt_pool *freed,
                     uint64_t pa, unsigned h);

#endif
