/* SPDX-License-Identifier: BSD-2-Clause */
/* Rights, dirty and accessed state of live leaves: compare-exchange only. */
#include "engine.h"

static FMT_INLINE bool crosses_end(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                   uint64_t last)
{
    struct pt_walk w;

    walk(f, pt, ia, &w);
    if (ent_present(f, w.v) && ia != lvl_base(f, w.level, ia)) {
        return true;
    }
    walk(f, pt, last, &w);
    return ent_present(f, w.v) && last != lvl_last(f, w.level, last);
}

/* What v becomes under new rights. The dirty state of a leaf that stays tracked is kept. */
static FMT_INLINE uint64_t protect_entry(const struct pt_fmt *f, uint64_t v, uint64_t rights,
                                         bool track)
{
    uint64_t n = (v & ~f->rights) | (rights & f->rights);

    if (track && ent_dirty(f, v)) {
        n = (n & ~f->write_mask) | f->write_value;
    }
    return n;
}

static FMT_INLINE int protect(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                              uint32_t prot, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos, rights;
    bool track = (prot & PT_TRACK) != 0;
    struct pt_walk w;
    int ret = range_check(pt, ia, len);

    if (ret == 0) {
        ret = prot_check(f, pt, prot);
    }
    if (ret != 0) {
        return ret;
    }
    if (crosses_end(f, pt, ia, last)) {
        return -EINVAL;
    }
    rights = fmt_attr(f, &pt->cfg, prot);
    /* Memory type and ASID scope cannot change in place (break-before-make): refuse them first. */
    for (pos = ia;; pos++) {
        walk(f, pt, pos, &w);
        if (ent_present(f, w.v) &&
            ((ent_attr(f, w.level, w.v) ^ rights) & ~(f->rights | f->accessed)) != 0) {
            return -EINVAL;
        }
        pos = lvl_last(f, w.level, pos);
        if (pos >= last) {
            break;
        }
    }
    for (pos = ia;; pos++) {
        walk(f, pt, pos, &w);
        if (ent_present(f, w.v)) {
            uint64_t v = w.v, n;

            do {
                n = protect_entry(f, v, rights, track);
            } while (n != v && !port_pte_cas(w.e, &v, n));
            if (n != v) {
                clean(pt, w.e, 1);
                /* Dirty, and no longer looks it: tell the owner. */
                if (ent_dirty(f, v) && (n & f->write_mask) != f->write_value) {
                    g->dirty = true;
                }
                pt_gather_add(g, lvl_base(f, w.level, pos), lvl_last(f, w.level, pos),
                              (uint8_t)w.level, false);
            }
        }
        pos = lvl_last(f, w.level, pos);
        if (pos >= last) {
            return 0;
        }
    }
}

int pt_protect(struct pt *pt, uint64_t ia, uint64_t len, uint32_t prot, struct pt_gather *g)
{
#define CALL(fmt) protect(&(fmt), pt, ia, len, prot, g)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}

static FMT_INLINE void bitmap_set(uint64_t *bitmap, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last;) {
        if ((i & 63) == 0 && last - i >= 63) {
            bitmap[i >> 6] = ~(uint64_t)0;
            i += 64;
        } else {
            bitmap[i >> 6] |= (uint64_t)1 << (i & 63);
            i++;
        }
    }
}

static FMT_INLINE int dirty_read_clear(const struct pt_fmt *f, struct pt *pt, uint64_t ia,
                                       uint64_t len, uint64_t *bitmap, uint64_t unit,
                                       struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos = ia;
    struct pt_walk w;
    int ret = range_check(pt, ia, len);

    if (unit < PAGE_SIZE || (unit & (unit - 1)) != 0) {
        ret = -EINVAL;
    }
    if (ret != 0) {
        return ret;
    }
    if (crosses_end(f, pt, ia, last)) {
        return -EINVAL;
    }
    for (;;) {
        uint64_t base;
        unsigned n;

        walk(f, pt, pos, &w);
        base = lvl_base(f, w.level, pos);
        n = ent_present(f, w.v) ? run_length(f, pt, w.level, pos, last) : 1;
        for (unsigned i = 0; i < n; i++) {
            uint64_t v = port_pte_load(&w.e[i]);
            uint64_t at = base + ((uint64_t)i << f->shift[w.level]);

            if (ent_present(f, v) && !ent_is_leaf(f, w.level, v)) {
                n = i; /* a table: walked into next */
                break;
            }
            if (!ent_present(f, v) || !ent_dirty(f, v)) {
                continue;
            }
            bitmap_set(bitmap, (at - ia) / unit, (lvl_last(f, w.level, at) - ia) / unit);
            if (!g) {
                continue;
            }
            while (!port_pte_cas(&w.e[i], &v, ent_clean(f, v))) {
            }
            clean(pt, &w.e[i], 1);
            pt_gather_add(g, at, lvl_last(f, w.level, at), (uint8_t)w.level, false);
        }
        pos = base + ((uint64_t)n << f->shift[w.level]) - 1;
        if (pos >= last) {
            return 0;
        }
        pos++;
    }
}

int pt_dirty_read_clear(struct pt *pt, uint64_t ia, uint64_t len, uint64_t *bitmap, uint64_t unit,
                        struct pt_gather *g)
{
#define CALL(fmt) dirty_read_clear(&(fmt), pt, ia, len, bitmap, unit, g)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}

static FMT_INLINE int age(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                          bool *young, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1);
    struct pt_walk w;
    int ret = range_check(pt, ia, len);

    if (ret == 0 && !pt->cfg.live.hw_af) {
        ret = -EOPNOTSUPP; /* a cleared flag would fault */
    }
    if (ret != 0) {
        return ret;
    }
    *young = false;
    for (uint64_t pos = ia;; pos++) {
        walk(f, pt, pos, &w);
        if (ent_present(f, w.v) && (w.v & f->accessed)) {
            while (!port_pte_cas(w.e, &w.v, w.v & ~f->accessed)) {
            }
            clean(pt, w.e, 1);
            *young = true;
            pt_gather_add(g, lvl_base(f, w.level, pos), lvl_last(f, w.level, pos), (uint8_t)w.level,
                          false);
        }
        pos = lvl_last(f, w.level, pos);
        if (pos >= last) {
            return 0;
        }
    }
}

int pt_age(struct pt *pt, uint64_t ia, uint64_t len, bool *young, struct pt_gather *g)
{
#define CALL(fmt) age(&(fmt), pt, ia, len, young, g)
    PT_SWITCH(pt->cfg.format, -EINVAL)
#undef CALL
}
