/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's common part: entries, levels, walks. Everything is always_inline over a constant
 * format; each operation's file (map.c, cut.c, ...) instantiates it once per format in a switch.
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

#define PT_LEVELS 4u

/* Each operation's instances: the caller defines CALL(fmt), the call for one format. */
#define PT_CASE(id, fmt, prefix) \
    case id:                     \
        return CALL(fmt);
#define PT_SWITCH(format, miss) \
    switch (format) {           \
        PORT_FORMATS(PT_CASE)   \
    default:                    \
        return miss;            \
    }

/* --- the format's own inlines --- */

static FMT_INLINE bool fmt_prot_ok(const struct pt_fmt *f, uint32_t prot)
{
#define CASE(id, fmt, prefix) \
    case id:                  \
        return prefix##_prot_ok(prot);
    switch (f->id) {
        PORT_FORMATS(CASE)
    default:
        return false;
    }
#undef CASE
}

/* Attribute bits of a leaf: everything but type and output address. */
static FMT_INLINE uint64_t fmt_attr(const struct pt_fmt *f, const struct pt_config *cfg,
                                    uint32_t prot)
{
#define CASE(id, fmt, prefix) \
    case id:                  \
        return prefix##_attr(cfg, prot);
    switch (f->id) {
        PORT_FORMATS(CASE)
    default:
        return 0;
    }
#undef CASE
}

static FMT_INLINE uint32_t fmt_prot(const struct pt_fmt *f, const struct pt_config *cfg, uint64_t e)
{
#define CASE(id, fmt, prefix) \
    case id:                  \
        return prefix##_prot(cfg, e);
    switch (f->id) {
        PORT_FORMATS(CASE)
    default:
        return 0;
    }
#undef CASE
}

/* --- entries --- */

static FMT_INLINE bool ent_present(const struct pt_fmt *f, uint64_t v)
{
    return (v & f->present) != 0;
}

/* Of a present entry. At the last level the type bit means "page", never "table": reading it as
 * the latter would walk into data. */
static FMT_INLINE bool ent_is_leaf(const struct pt_fmt *f, unsigned level, uint64_t v)
{
    return level == f->last_level || (v & f->block_mask) == f->block_value;
}

static FMT_INLINE uint64_t ent_leaf_bits(const struct pt_fmt *f, unsigned level)
{
    return level == f->last_level ? f->page_bits : f->block_bits;
}

static FMT_INLINE uint64_t ent_oa(const struct pt_fmt *f, uint64_t v)
{
    return v & f->oa_mask;
}

/* Attribute bits of a present leaf, access flag and dirty state included. */
static FMT_INLINE uint64_t ent_attr(const struct pt_fmt *f, unsigned level, uint64_t v)
{
    return v & ~(f->oa_mask | ent_leaf_bits(f, level));
}

static FMT_INLINE uint64_t *ent_table(const struct pt_fmt *f, uint64_t v)
{
    return port_va(ent_oa(f, v));
}

static FMT_INLINE uint64_t ent_link(const struct pt_fmt *f, uint64_t table_pa)
{
    return table_pa | f->table_bits;
}

static FMT_INLINE bool ent_tracked(const struct pt_fmt *f, uint64_t v)
{
    return (v & f->track) != 0;
}

static FMT_INLINE bool ent_dirty(const struct pt_fmt *f, uint64_t v)
{
    return ent_tracked(f, v) && (v & f->write_mask) == f->write_value;
}

static FMT_INLINE uint64_t ent_clean(const struct pt_fmt *f, uint64_t v)
{
    return (v & ~f->write_mask) | (f->write_mask & ~f->write_value);
}

/* --- levels --- */

static FMT_INLINE uint64_t lvl_size(const struct pt_fmt *f, unsigned level)
{
    return (uint64_t)1 << f->shift[level];
}

static FMT_INLINE uint64_t lvl_base(const struct pt_fmt *f, unsigned level, uint64_t ia)
{
    return ia & ~(lvl_size(f, level) - 1);
}

static FMT_INLINE uint64_t lvl_last(const struct pt_fmt *f, unsigned level, uint64_t ia)
{
    return ia | (lvl_size(f, level) - 1);
}

static FMT_INLINE bool lvl_leaf_ok(const struct pt_fmt *f, unsigned level)
{
    return (f->leaf_levels >> level & 1u) != 0;
}

/* Index within one table page; the start tables are indexed by lvl_root_index. */
static FMT_INLINE unsigned lvl_index(const struct pt_fmt *f, unsigned level, uint64_t ia)
{
    return (unsigned)(ia >> f->shift[level]) & ((1u << f->index_bits) - 1);
}

static FMT_INLINE unsigned lvl_entries(const struct pt_fmt *f)
{
    return 1u << f->index_bits;
}

/* Entries of the start tables taken as one array (concatenated tables are contiguous). */
static FMT_INLINE unsigned root_entries(const struct pt_fmt *f, const struct pt *pt)
{
    return 1u << (pt->cfg.ia_bits - f->shift[pt->cfg.start_level]);
}

static FMT_INLINE unsigned tab_entries(const struct pt_fmt *f, const struct pt *pt, unsigned level)
{
    return level == (unsigned)pt->cfg.start_level ? root_entries(f, pt) : lvl_entries(f);
}

static FMT_INLINE unsigned tab_index(const struct pt_fmt *f, const struct pt *pt, unsigned level,
                                     uint64_t ia)
{
    return level == (unsigned)pt->cfg.start_level ? (unsigned)(ia >> f->shift[level])
                                                  : lvl_index(f, level, ia);
}

/* --- the walk --- */

/* Where a walk for one address ended: at a leaf or at a hole. */
struct pt_walk {
    uint64_t *tab[PT_LEVELS]; /* the tables passed, by level; tab[level] is the last */
    uint64_t *e;
    uint64_t v;
    unsigned level;
};

static FMT_INLINE void walk(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                            struct pt_walk *w)
{
    unsigned level = (unsigned)pt->cfg.start_level;
    uint64_t *t = port_va(pt->root);
    uint64_t *e = &t[ia >> f->shift[level]];
    uint64_t v;

    for (;;) {
        w->tab[level] = t;
        v = port_pte_load(e);
        if (!ent_present(f, v) || ent_is_leaf(f, level, v)) {
            break;
        }
        t = ent_table(f, v);
        level++;
        e = &t[lvl_index(f, level, ia)];
    }
    w->e = e;
    w->v = v;
    w->level = level;
}

/* Entries of one table, from the one for `ia`, that the range up to `last` reaches. */
static FMT_INLINE unsigned run_length(const struct pt_fmt *f, const struct pt *pt, unsigned level,
                                      uint64_t ia, uint64_t last)
{
    uint64_t left = (last >> f->shift[level]) - (ia >> f->shift[level]) + 1;
    unsigned room = tab_entries(f, pt, level) - tab_index(f, pt, level, ia);

    return left < room ? (unsigned)left : room;
}

static FMT_INLINE void clean(const struct pt *pt, const uint64_t *e, unsigned n)
{
    if (pt->cfg.incoherent) {
        port_clean(e, n * sizeof(*e));
    }
}

/* --- argument checks --- */

/* A 4K-aligned, non-empty range inside the input address space. */
static inline int range_check(const struct pt *pt, uint64_t ia, uint64_t len)
{
    if (len == 0 || ((ia | len) & (PAGE_SIZE - 1)) != 0) {
        return -EINVAL;
    }
    if (ia + (len - 1) < ia || (ia + (len - 1)) >> pt->cfg.ia_bits != 0) {
        return -ERANGE;
    }
    return 0;
}

static inline int prot_check(const struct pt_fmt *f, const struct pt *pt, uint32_t prot)
{
    const uint32_t all =
        PT_READ | PT_WRITE | PT_EXEC | PT_USER | PT_NC | PT_DEVICE | PT_TRACK | PT_DIRTY;

    if ((prot & ~all) != 0 || !fmt_prot_ok(f, prot)) {
        return -EINVAL;
    }
    if ((prot & (PT_NC | PT_DEVICE)) == (PT_NC | PT_DEVICE)) {
        return -EINVAL;
    }
    if ((prot & PT_TRACK) && !(prot & PT_WRITE)) {
        return -EINVAL;
    }
    if ((prot & PT_TRACK) && !pt->cfg.live.hw_dirty) {
        return -EOPNOTSUPP; /* such a leaf would look read-only to this walker */
    }
    return 0;
}

/* Puts every table page of the sub-tree under `pa` (a table at `level`) on the list. */
void pt_free_subtree(const struct pt_fmt *f, struct pt_pool *freed, uint64_t pa, unsigned level);
/* Can this leaf size change be done in place? */
static FMT_INLINE bool may_resize(const struct pt_fmt *f, const struct pt *pt)
{
    return pt->cfg.live.bbm >= f->resize_bbm;
}

#endif
