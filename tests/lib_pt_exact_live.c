/* SPDX-License-Identifier: BSD-2-Clause */
/* The exact oracle: what becomes of leaves that are there. */
#include "lib_pt_exact_int.h"

/* --- how leaves may change --- */

/* May leaves change their size under the walker's eyes: at all, and those with these rights? */
static bool resizes(const struct ex *x)
{
    return x->t.pt.cfg.live.bbm >= x->s->resize_bbm;
}

static bool may_resize(const struct ex *x, uint32_t prot)
{
    return resizes(x) && !(x->t.pt.cfg.live.exec_4k && (prot & PT_EXEC));
}

static bool is_set(const struct ex *x, const struct ex_leaf *l)
{
    return ex_leaf_size(l) != ex_size(x, l->h);
}

/* Leaf i becomes single entries of height h. */
static void part(struct ex *x, unsigned i, unsigned h)
{
    struct ex_leaf l = x->leaf[i], *to;
    unsigned n = (unsigned)(ex_leaf_size(&l) / ex_size(x, h));

    to = ex_splice(x, i, 1, n);
    l.shift = (uint8_t)(x->s->page + h * x->s->index);
    l.h = (uint8_t)h;
    for (unsigned k = 0; k < n; k++, l.ia += ex_size(x, h), l.oa += ex_size(x, h)) {
        to[k] = l;
    }
}

/* Height of the lowest table for ia. */
static unsigned lowest(const struct ex *x, uint64_t ia)
{
    unsigned h = x->top;

    while (h > 0 && ex_any_table(x, h - 1, ia, ia)) {
        h--;
    }
    return h;
}

/* --- cut, merge, join --- */

static bool stuck(const struct ex *x, uint64_t at)
{
    return ex_crosses(x, at) && !may_resize(x, x->leaf[ex_first(x, at)].prot);
}

static void boundary(struct ex *x, uint64_t at)
{
    while (ex_crosses(x, at)) {
        unsigned i = ex_first(x, at);
        struct ex_leaf *l = &x->leaf[i];

        ex_tell_leaf(x, l);
        if (is_set(x, l)) {
            part(x, i, l->h);
        } else {
            ex_add_table(x, l->h - 1u, l->ia);
            part(x, i, l->h - 1u);
        }
    }
}

int ex_do_cut(struct ex *x, uint64_t ia, uint64_t len)
{
    int ret = ex_range(x, ia, len);

    if (ret != 0 || stuck(x, ia) || stuck(x, ia + len)) {
        return ret != 0 ? ret : -EOPNOTSUPP;
    }
    boundary(x, ia);
    boundary(x, ia + len);
    return 0;
}

/* Do the leaves of [ia, ia + size) go on from each other, alike, as one leaf of this size would? */
static bool alike(const struct ex *x, uint64_t ia, uint64_t size)
{
    unsigned from = ex_first(x, ia);
    uint64_t at = ia;

    if (from == x->leaves || x->leaf[from].ia != ia || (x->leaf[from].oa & (size - 1)) != 0 ||
        (x->leaf[from].prot & PT_TRACK) ||
        (x->t.pt.cfg.live.exec_4k && (x->leaf[from].prot & PT_EXEC))) {
        return false;
    }
    for (unsigned i = from; at - ia < size; i++) {
        const struct ex_leaf *l = &x->leaf[i];

        if (i == x->leaves || l->ia != at || l->oa - x->leaf[from].oa != at - ia ||
            l->prot != x->leaf[from].prot) {
            return false;
        }
        at += ex_leaf_size(l);
    }
    return at - ia == size;
}

/* May all below the table's place be one leaf? Only tables that the range touches may go. */
static bool mergeable(const struct ex *x, const struct ex_table *t, uint64_t ia, uint64_t last,
                      uint64_t cap)
{
    if (!ex_may_be(x, t->h + 1, 0) || (cap != 0 && ex_table_size(x, t->h) > cap) ||
        !alike(x, t->ia, ex_table_size(x, t->h))) {
        return false;
    }
    for (unsigned i = 0; i < x->tables; i++) {
        const struct ex_table *in = &x->table[i];

        if (in->h <= t->h && in->ia >= t->ia && ex_table_last(x, in) <= ex_table_last(x, t) &&
            (in->ia > last || ex_table_last(x, in) < ia)) {
            return false;
        }
    }
    return true;
}

/* Everything of the table's place becomes one leaf; the tables below go with it. */
static void merge_one(struct ex *x, struct ex_table t)
{
    unsigned from = ex_first(x, t.ia), n = 0;
    struct ex_leaf l = x->leaf[from];

    while (from + n < x->leaves && x->leaf[from + n].ia <= ex_table_last(x, &t)) {
        n++;
    }
    l.h = (uint8_t)(t.h + 1);
    l.shift = (uint8_t)(x->s->page + l.h * x->s->index);
    l.young = true;
    *ex_splice(x, from, n, 1) = l;
    ex_tell_table(x, &t);
    x->told.merged++;
    for (unsigned i = x->tables; i-- > 0;) {
        if (x->table[i].h <= t.h && x->table[i].ia >= t.ia &&
            ex_table_last(x, &x->table[i]) <= ex_table_last(x, &t)) {
            ex_drop_table(x, i);
            x->told.freed++;
        }
    }
}

int ex_do_merge(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap)
{
    uint64_t last = ia + (len - 1);
    int made = 0, ret = ex_range(x, ia, len);

    while (ret == 0) {
        const struct ex_table *best = NULL;

        /* In order of address, and of two at one the taller. */
        for (unsigned i = 0; i < x->tables; i++) {
            const struct ex_table *t = &x->table[i];

            if ((!best || t->ia < best->ia || (t->ia == best->ia && t->h > best->h)) &&
                t->ia <= last && ex_table_last(x, t) >= ia && mergeable(x, t, ia, last, cap)) {
                best = t;
            }
        }
        if (!best) {
            return made;
        }
        if (!resizes(x)) {
            return x->t.pt.cfg.live.stalls ? -EOPNOTSUPP : 0; /* the owner may break instead */
        }
        if (x->told.merged == PT_GATHER_HELD) {
            x->told.more = true;
            return made;
        }
        merge_one(x, *best);
        made++;
    }
    return ret;
}

/* The entries from `at` on as one leaf: 1 done, 0 not; -1 they are one as large. */
static int join_one(struct ex *x, uint64_t at, uint64_t last, unsigned h, unsigned k, uint64_t cap)
{
    unsigned from = ex_first(x, at), n = 0;
    uint64_t size = ex_size(x, h) << k;
    struct ex_leaf l;
    bool young = false;

    if (!resizes(x) || !ex_may_be(x, h, k) || (at & (size - 1)) != 0 || last - at < size - 1 ||
        (cap != 0 && size > cap) || from == x->leaves || x->leaf[from].ia != at) {
        return 0;
    }
    l = x->leaf[from];
    if (ex_leaf_size(&l) >= size && l.h == h) {
        return -1;
    }
    if (!alike(x, at, size)) {
        return 0;
    }
    for (; from + n < x->leaves && x->leaf[from + n].ia - at < size; n++) {
        if (x->leaf[from + n].h != h) {
            return 0;
        }
        young = young || x->leaf[from + n].young;
    }
    l.shift = (uint8_t)(x->s->page + h * x->s->index + k);
    l.young = young;
    *ex_splice(x, from, n, 1) = l;
    ex_tell_leaf(x, &l);
    return 1;
}

int ex_do_join(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap)
{
    uint64_t last = ia + (len - 1), at = ia;
    int made = 0, ret = ex_range(x, ia, len);

    while (ret == 0 && at <= last) {
        unsigned h = lowest(x, at), k = h <= x->s->tall ? x->s->set_max[h] : 0;
        int done = 0;

        while (k > 0 && (done = join_one(x, at, last, h, k, cap)) == 0) {
            k--;
        }
        made += done > 0;
        at += ex_size(x, h) << k;
    }
    return ret != 0 ? ret : made;
}

/* --- leaves in place --- */

int ex_do_replace(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len)
{
    uint64_t last = ia + (len - 1), at = ia;
    int ret = ex_whole(x, ia, len);

    ret = ret == 0 ? ex_output(x, oa, len) : ret;
    if (ret == 0 && !x->s->swap) {
        ret = -EOPNOTSUPP;
    }
    if (ret != 0) {
        return ret;
    }
    EACH_LEAF(x, i, ia, last)
    {
        const struct ex_leaf *l = &x->leaf[i];

        if (l->ia != at) {
            return -ENOENT;
        }
        if (is_set(x, l) || ((oa - ia) & (ex_leaf_size(l) - 1)) != 0) {
            return -EOPNOTSUPP;
        }
        at += ex_leaf_size(l);
    }
    if (at <= last) {
        return -ENOENT;
    }
    EACH_LEAF(x, i, ia, last)
    {
        x->leaf[i].oa = oa + (x->leaf[i].ia - ia);
        ex_tell_leaf(x, &x->leaf[i]);
    }
    return 0;
}

/* New rights for leaf i: recorded if anything changes, as it was before. */
static void become(struct ex *x, unsigned i, uint32_t prot)
{
    struct ex_leaf *l = &x->leaf[i];
    uint32_t was = l->prot;

    if ((prot & PT_TRACK) && (was & PT_TRACK)) {
        prot |= was & PT_DIRTY;
    }
    if (prot == was) {
        return;
    }
    ex_tell_leaf(x, l);
    x->told.dirty |= (was & PT_TRACK) && (was & PT_DIRTY) && !(prot & PT_WRITE);
    l->prot = prot;
    if ((prot & PT_TRACK) && is_set(x, l)) {
        part(x, i, l->h);
    }
}

int ex_do_protect(struct ex *x, uint64_t ia, uint64_t len, uint32_t prot)
{
    const uint32_t type = PT_NC | PT_DEVICE | PT_USER;
    uint64_t last = ia + (len - 1);
    int ret = ex_whole(x, ia, len);

    prot = tp_reported(&x->t, prot);
    if (ret != 0) {
        return ret;
    }
    EACH_LEAF(x, i, ia, last)
    {
        const struct ex_leaf *l = &x->leaf[i];

        if (((l->prot ^ prot) & type) != 0) {
            return -EINVAL;
        }
        if ((prot & PT_TRACK) && is_set(x, l) && !may_resize(x, l->prot)) {
            return -EOPNOTSUPP;
        }
    }
    EACH_LEAF(x, i, ia, last)
    {
        become(x, i, prot);
    }
    return 0;
}

int ex_do_track(struct ex *x, uint64_t ia, uint64_t len, bool on)
{
    uint64_t last = ia + (len - 1);
    int ret = ex_whole(x, ia, len);

    EACH_LEAF(x, i, ia, last)
    {
        const struct ex_leaf *l = &x->leaf[i];

        if (ret == 0 && on && (l->prot & PT_WRITE) && is_set(x, l) && !may_resize(x, l->prot)) {
            ret = -EOPNOTSUPP;
        }
    }
    if (ret != 0) {
        return ret;
    }
    EACH_LEAF(x, i, ia, last)
    {
        uint32_t prot = x->leaf[i].prot & ~(uint32_t)(PT_TRACK | PT_DIRTY);

        if (prot & PT_WRITE) {
            become(x, i, prot | (on ? PT_TRACK : PT_DIRTY));
        }
    }
    return 0;
}

int ex_do_harvest(struct ex *x, uint64_t ia, uint64_t len, uint64_t *bits)
{
    int ret = ex_whole(x, ia, len);

    if (ret != 0) {
        return ret;
    }
    EACH_LEAF(x, i, ia, ia + (len - 1))
    {
        struct ex_leaf *l = &x->leaf[i];

        if ((l->prot & PT_TRACK) && (l->prot & PT_DIRTY)) {
            l->prot &= ~(uint32_t)PT_DIRTY;
            ex_tell_leaf(x, l);
            for (uint64_t at = l->ia - ia; at <= ex_leaf_last(l) - ia; at += ex_size(x, 0)) {
                bits[at / ex_size(x, 0) / 64] |= (uint64_t)1 << (at / ex_size(x, 0) % 64);
            }
        }
    }
    return 0;
}

int ex_do_age(struct ex *x, uint64_t ia, uint64_t len, bool *young)
{
    int ret = ex_range(x, ia, len);

    *young = false;
    if (ret != 0) {
        return ret;
    }
    EACH_LEAF(x, i, ia, ia + (len - 1))
    {
        struct ex_leaf *l = &x->leaf[i];

        if (l->young) {
            l->young = false;
            ex_tell_leaf(x, l);
            *young = true;
        }
    }
    return 0;
}
