/* SPDX-License-Identifier: BSD-2-Clause */
/* The exact oracle: lists of leaves and tables, and what each call does to them. */
#include "lib_pt_exact_int.h"

#include <stdlib.h>
#include <string.h>

/* Arm DDI0487 D8.2 (granules), D8.7.1 (Contiguous: entries of one leaf), D8.16.1 (live changes);
 * Intel SDM 4.5, 29.3, VT-d 3.7; AMD 48882 2.2.3; RISC-V Privileged 12.3 to 12.6, Svnapot. */
#define ARM_4K  12, 9, 2, { 4, 4, 4 }, { 4, 4, 4 }, 2, false
#define ARM_16K 14, 11, 1, { 7, 5 }, { 7, 5 }, 2, false
#define ARM_64K 16, 13, 1, { 5, 5 }, { 5, 5 }, 2, false
#define INTEL   12, 9, 2, { 0 }, { 0 }, 0, true
#define RISCV   12, 9, 4, { 4 }, { 4 }, 0, true
static const struct ex_shape shapes[] = {
    [PT_ARM_S1_4K] = { ARM_4K },
    [PT_ARM_S2_4K] = { ARM_4K },
    [PT_ARM_S1_16K] = { ARM_16K },
    [PT_ARM_S2_16K] = { ARM_16K },
    [PT_ARM_S1_64K] = { ARM_64K },
    [PT_ARM_S2_64K] = { ARM_64K },
    [PT_X86_64] = { INTEL },
    [PT_EPT] = { INTEL },
    [PT_VTD_SS] = { INTEL },
    [PT_AMD_V1] = { 12, 9, 4, { 1, 1, 1, 1 }, { 8, 8, 8, 8 }, 0, true },
    [PT_RISCV] = { RISCV },
    [PT_RISCV_X4] = { RISCV },
};

void ex_open(struct ex *x, const struct tp_conf *c)
{
    *x = (struct ex){ .name = c->name, .s = &shapes[c->cfg.format], .leaf_room = 1024 };
    x->leaf = malloc(x->leaf_room * sizeof(*x->leaf));
    assert_non_null(x->leaf);
    tp_open(&x->t, &c->cfg);
    pt_gather_init(&x->g);
    x->top = (unsigned)(3 - c->cfg.start_level);
}

void ex_close(struct ex *x)
{
    tp_close(&x->t);
    free(x->leaf);
    free(x->table);
}

/* --- sizes --- */

uint64_t ex_size(const struct ex *x, unsigned h)
{
    return (uint64_t)1 << (x->s->page + h * x->s->index);
}

uint64_t ex_reach(const struct ex *x)
{
    unsigned shift = x->s->page + (x->top + 1) * x->s->index;
    uint64_t top = tp_top(&x->t);

    return x->t.pt.cfg.format == PT_AMD_V1 && shift < 63 && (uint64_t)1 << shift < top
               ? (uint64_t)1 << shift
               : top;
}

bool ex_may_be(const struct ex *x, unsigned h, unsigned k)
{
    const struct pt_live *live = &x->t.pt.cfg.live;
    unsigned shift = x->s->page + h * x->s->index + k;

    return h <= x->s->tall && h <= x->top && (live->leaf_max == 0 || shift <= live->leaf_max) &&
           (k == 0 || (live->contig && k >= x->s->set_min[h] && k <= x->s->set_max[h]));
}

uint64_t ex_leaf_size(const struct ex_leaf *l)
{
    return (uint64_t)1 << l->shift;
}

uint64_t ex_leaf_last(const struct ex_leaf *l)
{
    return l->ia + (ex_leaf_size(l) - 1);
}

uint8_t ex_level(unsigned h)
{
    /* Invalidation knows four. */
    return h <= 3 ? (uint8_t)(3 - h) : PT_LEVEL_ANY;
}

/* --- the lists --- */

unsigned ex_first(const struct ex *x, uint64_t ia)
{
    unsigned lo = 0, hi = x->leaves;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;

        if (ex_leaf_last(&x->leaf[mid]) < ia) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool ex_any(const struct ex *x, uint64_t ia, uint64_t last)
{
    unsigned i = ex_first(x, ia);

    return i < x->leaves && x->leaf[i].ia <= last;
}

bool ex_crosses(const struct ex *x, uint64_t at)
{
    unsigned i = ex_first(x, at);

    return i < x->leaves && x->leaf[i].ia < at;
}

struct ex_leaf *ex_splice(struct ex *x, unsigned at, unsigned n, unsigned m)
{
    if (x->leaves - n + m > x->leaf_room) {
        x->leaf_room = 2 * (x->leaves - n + m);
        x->leaf = realloc(x->leaf, x->leaf_room * sizeof(*x->leaf));
        assert_non_null(x->leaf);
    }
    memmove(&x->leaf[at + m], &x->leaf[at + n], (x->leaves - at - n) * sizeof(*x->leaf));
    x->leaves += m - n;
    return &x->leaf[at];
}

uint64_t ex_table_size(const struct ex *x, unsigned h)
{
    return ex_size(x, h + 1);
}

uint64_t ex_table_last(const struct ex *x, const struct ex_table *t)
{
    return t->ia + (ex_table_size(x, t->h) - 1);
}

bool ex_any_table(const struct ex *x, unsigned h, uint64_t ia, uint64_t last)
{
    for (unsigned i = 0; i < x->tables; i++) {
        const struct ex_table *t = &x->table[i];

        if (t->h == h && t->ia <= last && ex_table_last(x, t) >= ia) {
            return true;
        }
    }
    return false;
}

void ex_add_table(struct ex *x, unsigned h, uint64_t ia)
{
    if (x->tables == x->table_room) {
        x->table_room = x->table_room ? 2 * x->table_room : 16;
        x->table = realloc(x->table, x->table_room * sizeof(*x->table));
        assert_non_null(x->table);
    }
    x->table[x->tables++] = (struct ex_table){ ia & ~(ex_table_size(x, h) - 1), h };
    x->need++;
}

void ex_drop_table(struct ex *x, unsigned i)
{
    x->table[i] = x->table[--x->tables];
}

/* --- records --- */

static bool one_record(const struct pt_inv *a, const struct pt_inv *b)
{
    return a->level == b->level && a->tables == b->tables &&
           (a->last + 1 == b->ia || b->last + 1 == a->ia);
}

void ex_tell(struct ex *x, uint64_t ia, uint64_t last, uint8_t lvl, bool tables)
{
    struct pt_inv r = { ia, last, lvl, tables };
    struct ex_told *told = &x->told;

    for (unsigned i = 0; i < told->n;) {
        struct pt_inv *o = &told->inv[i];
        bool again = o->ia <= r.last && r.ia <= o->last;

        if (!again && !one_record(o, &r)) {
            i++;
            continue;
        }
        if (again) {
            r.level = PT_LEVEL_ANY;
            r.tables = r.tables || o->tables;
        }
        r.ia = o->ia < r.ia ? o->ia : r.ia;
        r.last = o->last > r.last ? o->last : r.last;
        *o = told->inv[--told->n];
        i = 0;
    }
    if (told->all || told->n == PT_GATHER_MAX) {
        told->all = true;
        told->n = 0;
        return;
    }
    told->inv[told->n++] = r;
}

void ex_tell_leaf(struct ex *x, const struct ex_leaf *l)
{
    ex_tell(x, l->ia, ex_leaf_last(l), ex_level(l->h), false);
}

void ex_tell_table(struct ex *x, const struct ex_table *t)
{
    ex_tell(x, t->ia, ex_table_last(x, t), PT_LEVEL_ANY, true);
}

/* --- refusals --- */

int ex_range(const struct ex *x, uint64_t ia, uint64_t len)
{
    if (len == 0 || ((ia | len) & (ex_size(x, 0) - 1)) != 0) {
        return -EINVAL;
    }
    return ia >= ex_reach(x) || len > ex_reach(x) - ia ? -ERANGE : 0;
}

int ex_whole(const struct ex *x, uint64_t ia, uint64_t len)
{
    int ret = ex_range(x, ia, len);

    return ret == 0 && (ex_crosses(x, ia) || ex_crosses(x, ia + len)) ? -EINVAL : ret;
}

int ex_output(const struct ex *x, uint64_t oa, uint64_t len)
{
    uint64_t end = (uint64_t)1 << x->t.pt.cfg.oa_bits;

    return oa >= end || len > end - oa ? -ERANGE : 0;
}
