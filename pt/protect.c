/* SPDX-License-Identifier: BSD-2-Clause */
/* Rights and tracking of live leaves: compare-exchange only. */
#include "run.h"
#include "tenon/pt_more.h"

/* What is to become of a leaf: new rights, or tracking switched on or off whatever the rights. */
struct change {
    uint64_t rights;
    bool track; /* leaves are tracked afterwards (those that are writable) */
    bool all;   /* rights are given; else only tracking changes */
};

/* What v becomes. The dirty state of a leaf that stays tracked is kept. */
static FMT_INLINE uint64_t changed(const struct pt_fmt *f, const struct pt *pt,
                                   const struct change *c, unsigned h, unsigned i, uint64_t v)
{
    uint64_t n, rights = c->rights;

    if (!c->all) {
        uint32_t prot = fmt_prot(f, pt, v);

        if (!(prot & PT_WRITE)) {
            return v;
        }
        prot &= ~(uint32_t)(PT_TRACK | PT_DIRTY);
        rights = fmt_attr(f, pt, prot | (c->track ? PT_TRACK : 0));
    }
    n = (v & ~f->rights) | (rights & f->rights);
    if (c->track && ent_dirty(f, v)) {
        n = (n & ~f->write_mask) | f->write_value;
    }
    /* A tracked leaf is of one entry: hardware then says dirty where it was written. */
    return f->spans && c->track && (n & f->track) != 0 ? ent_part(f, h, i, n) : n;
}

static FMT_INLINE int change(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                             const struct change *c, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos;
    struct pt_run r;
    int ret = whole_leaves(f, pt, ia, len);

    /* Memory type and ASID scope cannot change in place (break-before-make): refuse them first. */
    for (pos = ia; ret == 0 && next_run(f, pt, &pos, last, &r);) {
        for (unsigned i = 0; i < r.n; i++) {
            uint64_t v = port_pte_load(&r.e[i]), n;

            if (!ent_present(f, v)) {
                continue;
            }
            n = ent_part(f, r.h, hgt_index(f, r.h, run_at(f, &r, i)), v);
            if (c->all &&
                ((ent_attr(f, pt, r.h, n) ^ c->rights) & ~(f->rights | f->accessed)) != 0) {
                return -EINVAL;
            }
            if (n != v && c->track && !may_resize(f, pt, v)) {
                return -EOPNOTSUPP;
            }
        }
    }
    if (ret != 0) {
        return ret;
    }
    for (pos = ia; next_run(f, pt, &pos, last, &r);) {
        for (unsigned i = 0; i < r.n; i++) {
            uint64_t v = port_pte_load(&r.e[i]), n, at = run_at(f, &r, i);

            if (!ent_present(f, v)) {
                continue;
            }
            do {
                n = changed(f, pt, c, r.h, hgt_index(f, r.h, at), v);
            } while (n != v && !port_pte_cas(&r.e[i], &v, n));
            if (n == v) {
                continue;
            }
            clean(pt, &r.e[i], 1);
            /* Dirty, and no longer looks it: tell the owner. */
            if (ent_dirty(f, v) && (n & f->write_mask) != f->write_value) {
                g->dirty = true;
            }
            pt_gather_add(g, at, hgt_last(f, r.h, at), hgt_level(r.h), false);
        }
    }
    return 0;
}

static FMT_INLINE int protect(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                              uint32_t prot, struct pt_gather *g)
{
    struct change c = { .track = (prot & PT_TRACK) != 0, .all = true };
    int ret = range_check(f, pt, ia, len);
    int err = prot_check(f, pt, prot, &c.rights);

    if (ret != 0 || err != 0) {
        return ret != 0 ? ret : err;
    }
    return change(f, pt, ia, len, &c, g);
}

int pt_protect(struct pt *pt, uint64_t ia, uint64_t len, uint32_t prot, struct pt_gather *g)
{
    PT_SHARED(pt->cfg.format, -EINVAL, protect, pt, ia, len, prot, g)
}

int pt_track(struct pt *pt, uint64_t ia, uint64_t len, bool on, struct pt_gather *g)
{
    struct change c = { .track = on };

    if (on && !pt->cfg.live.hw_dirty) {
        return -EOPNOTSUPP;
    }
    PT_SHARED(pt->cfg.format, -EINVAL, change, pt, ia, len, &c, g)
}
