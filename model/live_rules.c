/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one store to a live table may do: Arm ARM DDI0487 D8.16 (break-before-make and the levels
 * of FEAT_BBM), SMMUv3 IHI0070 3.21.1.
 */
#include <stddef.h>

#include "live_int.h"

void live_violation(struct live_change *c, enum model_verdict v)
{
    struct model_live *live = c->live;

    if (v == MODEL_V_OK || c->verdict == v)
        return;
    if (c->verdict == MODEL_V_OK)
        c->verdict = v;
    if (live->first == MODEL_V_OK)
        live->first = v;
    live->count[v]++;
    live->count[MODEL_V_OK]++;
    if (live->log)
        live->log(live->log_arg, v, c->store, c->ia, c->level);
}

/* Is all of [ia, ia + 2^shift) inside one scope? `empty`: the answer when there is no scope. */
static bool in_scope(const struct model_live *live, uint64_t ia, uint8_t shift, bool empty)
{
    uint64_t last = ia + (((uint64_t)1 << shift) - 1);

    for (unsigned i = 0; i < live->scopes; i++)
        if (ia >= live->scope[i].ia && last <= live->scope[i].last)
            return true;
    return live->scopes == 0 && empty;
}

void live_decode(const struct model_live *live, uint8_t level, uint64_t raw, struct model_desc *d)
{
    live->cfg.walk.fmt->decode(&live->cfg.walk, level, raw, d);
}

struct live_leaf live_leaf_of(const struct model_live *live, const struct model_desc *d,
                              uint64_t ia, uint8_t level)
{
    uint8_t span = live->cfg.walk.contig ? d->span_shift : d->shift;
    uint64_t mask = ((uint64_t)1 << span) - 1;

    return (struct live_leaf){
        .ia = ia & ~mask,
        .oa = d->pa & ~mask,
        .attr = d->attr,
        .shift = span,
        .level = level,
        .global = d->global,
        .nt = d->nt,
        .clean = d->clean,
        .dirty = d->dirty,
        .writable = (d->perms & (MODEL_W | MODEL_W << MODEL_USER_SHIFT)) != 0,
    };
}

enum model_verdict live_compare(const struct model_live *live, const struct live_leaf *had,
                                const struct live_leaf *has)
{
    uint8_t bbm = live->cfg.walk.bbm;

    if (had->oa - had->ia != has->oa - has->ia || had->attr != has->attr ||
        (!had->global && has->global))
        return MODEL_V_BBM_SKIPPED;
    if (had->shift == has->shift || bbm >= 2)
        return MODEL_V_OK;
    if (bbm == 1 && (had->level == has->level || had->nt || has->nt))
        return MODEL_V_OK; /* the contiguous bit alone, or a block that is not cached */
    return MODEL_V_SIZE_NEEDS_BBM;
}

uint64_t live_read(const struct model_live *live, uint64_t pa)
{
    bool ok;

    return live->cfg.mem->read64(live->cfg.mem->ctx, pa, &ok);
}

unsigned live_entries(const struct model_live *live, uint64_t table)
{
    unsigned n = model_root_entries(&live->cfg.walk);

    return n < LIVE_ENTRIES && table == live->cfg.walk.root ? n : LIVE_ENTRIES;
}

/* Visits what lies under a table page. Stops early if leaf or hole says so (returns true). */
struct visit {
    bool (*leaf)(struct live_change *c, const struct live_leaf *leaf);
    bool (*hole)(struct live_change *c, uint64_t ia, uint8_t shift);
    void (*table)(struct live_change *c, uint64_t pa, uint64_t ia, uint8_t level);
};

static bool is_table(const struct model_live *live, uint64_t pa)
{
    const struct model_mem *mem = live->cfg.mem;

    return !mem->table_gen || mem->table_gen(mem->ctx, pa) != 0;
}

static bool visit(struct live_change *c, const struct visit *how, uint64_t table, uint64_t ia,
                  uint8_t level)
{
    const struct model_walk_cfg *walk = &c->live->cfg.walk;
    uint8_t shift = walk->fmt->shift(walk, level);

    if (how->table)
        how->table(c, table, ia, level);
    if (!is_table(c->live, table))
        return true;
    for (unsigned i = 0, n = live_entries(c->live, table); i < n; i++) {
        uint64_t at = ia + ((uint64_t)i << shift);
        struct model_desc d;
        struct live_leaf leaf;
        bool stop = false;

        live_decode(c->live, level, live_read(c->live, table + i * 8), &d);
        if (d.kind == MODEL_DESC_TABLE) {
            stop = visit(c, how, d.pa, at, (uint8_t)(level + 1));
        } else if (d.kind == MODEL_DESC_INVALID) {
            stop = how->hole && how->hole(c, at, shift);
        } else if (how->leaf) {
            leaf = live_leaf_of(c->live, &d, at, level);
            stop = how->leaf(c, &leaf);
        }
        if (stop)
            return true;
    }
    return false;
}

/* Linking: every page below becomes live, with its contents as they are now. */
static void link_table(struct live_change *c, uint64_t pa, uint64_t ia, uint8_t level)
{
    struct model_live *live = c->live;
    struct live_table *t = live_table_find(&live->set, pa);

    if (!is_table(live, pa))
        live_violation(c, MODEL_V_DATA_AS_TABLE);
    if (t && t->linked)
        return;
    if (t) {
        if (t->pending)
            live_violation(c, MODEL_V_TABLE_FREED_EARLY);
        live_table_drop(&live->set, t);
    }
    t = live_table_add(&live->set, pa, ia, level);
    for (unsigned i = 0; i < LIVE_ENTRIES; i++)
        t->shadow[i] = live_read(live, pa + i * 8);
}

static void unlink_table(struct live_change *c, uint64_t pa, uint64_t ia, uint8_t level)
{
    struct live_table *t = live_table_find(&c->live->set, pa);

    (void)ia;
    (void)level;
    if (t && !t->root)
        live_table_unlink(&c->live->set, t);
}

struct make {
    struct live_change *c;
    const struct live_leaf *leaf;
};

/* A translation that becomes valid against one that an agent may still hold. */
static bool check_stale(void *arg, const struct live_stale *s)
{
    struct make *m = arg;
    enum model_verdict v = live_compare(m->c->live, &s->leaf, m->leaf);

    if (v == MODEL_V_BBM_SKIPPED || v == MODEL_V_SIZE_NEEDS_BBM) {
        live_violation(m->c, s->spared != MODEL_V_OK ? s->spared : MODEL_V_MAKE_EARLY);
        return true;
    }
    return false;
}

static bool check_make(struct live_change *c, const struct live_leaf *leaf)
{
    struct make m = { c, leaf };

    if (c->live->set.stales)
        live_stale_each(&c->live->set, leaf->ia, leaf->shift, check_stale, &m);
    return false;
}

/* A level 1 walker does not keep a block with nT. */
static void remember(struct live_change *c, const struct live_leaf *leaf)
{
    if (!leaf->nt)
        live_stale_add(&c->live->set, leaf);
}

static bool break_leaf(struct live_change *c, const struct live_leaf *leaf)
{
    if (!in_scope(c->live, leaf->ia, leaf->shift, !c->live->cfg.strict))
        live_violation(c, MODEL_V_NEIGHBOUR_BROKEN);
    remember(c, leaf);
    return false;
}

/* Hardware may be setting it dirty at this moment. */
static void check_cas(struct live_change *c)
{
    if (c->old.kind == MODEL_DESC_LEAF && c->old.clean && !c->store->atomic)
        live_violation(c, MODEL_V_NOT_CAS);
}

static void leaf_to_leaf(struct live_change *c)
{
    const struct model_walk_cfg *walk = &c->live->cfg.walk;
    enum model_verdict v = live_compare(c->live, &c->old_leaf, &c->new_leaf);
    uint64_t rest = (c->store->old ^ c->store->value) & ~walk->fmt->live_mask(walk);

    check_cas(c);
    /* Two read-only pages of one content may be exchanged. */
    if (v == MODEL_V_BBM_SKIPPED && c->store->same_contents && !c->old_leaf.writable &&
        !c->new_leaf.writable && c->old_leaf.attr == c->new_leaf.attr &&
        (c->old_leaf.global || !c->new_leaf.global))
        v = MODEL_V_OK;
    else if (v == MODEL_V_OK && rest && walk->bbm == 0)
        v = MODEL_V_BBM_SKIPPED;
    live_violation(c, v);
    if (c->old_leaf.dirty && c->new_leaf.clean && !c->live->harvest)
        live_violation(c, MODEL_V_DIRTY_LOST);
    check_make(c, &c->new_leaf);
    if (rest)
        remember(c, &c->old_leaf);
}

static bool filled_leaf(struct live_change *c, const struct live_leaf *leaf)
{
    enum model_verdict v = live_compare(c->live, &c->old_leaf, leaf);

    if (v == MODEL_V_BBM_SKIPPED)
        live_violation(c, MODEL_V_TABLE_DIFFERS);
    else
        live_violation(c, v);
    if (c->old_leaf.dirty && leaf->clean && !c->live->harvest)
        live_violation(c, MODEL_V_DIRTY_LOST);
    check_make(c, leaf);
    return false;
}

static bool filled_hole(struct live_change *c, uint64_t ia, uint8_t shift)
{
    if (in_scope(c->live, ia, shift, false))
        return false;
    live_violation(c, MODEL_V_TABLE_NOT_FILLED);
    return true;
}

static void leaf_to_table(struct live_change *c)
{
    static const struct visit filled = { filled_leaf, filled_hole, link_table };

    check_cas(c);
    visit(c, &filled, c->now.pa, c->ia, (uint8_t)(c->level + 1));
    remember(c, &c->old_leaf);
}

static bool merged_leaf(struct live_change *c, const struct live_leaf *leaf)
{
    enum model_verdict v = live_compare(c->live, leaf, &c->new_leaf);

    if (v == MODEL_V_BBM_SKIPPED)
        live_violation(c, MODEL_V_MERGE_DIFFERS);
    else
        live_violation(c, v);
    if (leaf->dirty && c->new_leaf.clean && !c->live->harvest)
        live_violation(c, MODEL_V_DIRTY_LOST);
    remember(c, leaf);
    return false;
}

static void table_to_leaf(struct live_change *c)
{
    static const struct visit merged = { merged_leaf, NULL, unlink_table };

    check_make(c, &c->new_leaf);
    visit(c, &merged, c->old.pa, c->ia, (uint8_t)(c->level + 1));
}

/* Another table in place of one: each address it translated goes on as it was. */
static bool swapped_leaf(struct live_change *c, const struct live_leaf *leaf)
{
    struct model_live *live = c->live;
    const struct model_walk_cfg *walk = &live->cfg.walk;
    uint64_t table = c->now.pa;
    uint8_t level = (uint8_t)(c->level + 1);
    struct model_desc d;
    struct live_leaf now;
    enum model_verdict v;

    for (;; level++) {
        uint8_t shift = walk->fmt->shift(walk, level);
        uint64_t index = leaf->ia >> shift & (LIVE_ENTRIES - 1);

        live_decode(live, level, live_read(live, table + index * 8), &d);
        if (d.kind != MODEL_DESC_TABLE)
            break;
        table = d.pa;
    }
    if (d.kind == MODEL_DESC_INVALID) {
        if (!in_scope(live, leaf->ia, leaf->shift, false))
            live_violation(c, MODEL_V_TABLE_NOT_FILLED);
    } else {
        now = live_leaf_of(live, &d, leaf->ia >> d.shift << d.shift, level);
        v = live_compare(live, leaf, &now);
        live_violation(c, v == MODEL_V_BBM_SKIPPED ? MODEL_V_TABLE_DIFFERS : v);
        if (leaf->dirty && now.clean && !live->harvest)
            live_violation(c, MODEL_V_DIRTY_LOST);
    }
    remember(c, leaf);
    return false;
}

static void table_to_table(struct live_change *c)
{
    static const struct visit leaving = { swapped_leaf, NULL, unlink_table };
    static const struct visit coming = { check_make, NULL, link_table };

    if (c->old.pa == c->now.pa)
        return; /* limits of permissions only */
    visit(c, &leaving, c->old.pa, c->ia, (uint8_t)(c->level + 1));
    visit(c, &coming, c->now.pa, c->ia, (uint8_t)(c->level + 1));
}

static void to_invalid(struct live_change *c)
{
    static const struct visit gone = { break_leaf, NULL, unlink_table };

    check_cas(c);
    if (c->old.kind == MODEL_DESC_LEAF)
        break_leaf(c, &c->old_leaf);
    else
        visit(c, &gone, c->old.pa, c->ia, (uint8_t)(c->level + 1));
}

static void from_invalid(struct live_change *c)
{
    static const struct visit coming = { check_make, NULL, link_table };

    if (c->now.kind == MODEL_DESC_LEAF)
        check_make(c, &c->new_leaf);
    else
        visit(c, &coming, c->now.pa, c->ia, (uint8_t)(c->level + 1));
}

static void judge_linked(struct live_change *c)
{
    enum model_desc_kind from = c->old.kind, to = c->now.kind;

    if (c->now.reserved)
        live_violation(c, MODEL_V_RESERVED_BITS);
    if (from == MODEL_DESC_INVALID && to == MODEL_DESC_INVALID)
        return;
    if (from == MODEL_DESC_INVALID)
        from_invalid(c);
    else if (to == MODEL_DESC_INVALID)
        to_invalid(c);
    else if (from == MODEL_DESC_LEAF && to == MODEL_DESC_LEAF)
        leaf_to_leaf(c);
    else if (from == MODEL_DESC_LEAF)
        leaf_to_table(c);
    else if (to == MODEL_DESC_LEAF)
        table_to_leaf(c);
    else
        table_to_table(c);
}

/* A walker may still read an unlinked table: its translations must stay what they were. */
static void judge_unlinked(struct live_change *c)
{
    if (c->old.kind == MODEL_DESC_INVALID && c->now.kind == MODEL_DESC_INVALID)
        return;
    check_cas(c);
    if (c->old.kind == MODEL_DESC_LEAF && c->now.kind == MODEL_DESC_LEAF &&
        live_compare(c->live, &c->old_leaf, &c->new_leaf) == MODEL_V_OK)
        return;
    live_violation(c, MODEL_V_TABLE_FREED_EARLY);
}

void live_judge(struct live_change *c, bool linked)
{
    live_decode(c->live, c->level, c->store->old, &c->old);
    live_decode(c->live, c->level, c->store->value, &c->now);
    if (c->old.kind == MODEL_DESC_LEAF)
        c->old_leaf = live_leaf_of(c->live, &c->old, c->ia, c->level);
    if (c->now.kind == MODEL_DESC_LEAF)
        c->new_leaf = live_leaf_of(c->live, &c->now, c->ia, c->level);
    if (linked)
        judge_linked(c);
    else
        judge_unlinked(c);
}

void live_link_tree(struct live_change *c, uint64_t pa, uint64_t ia, uint8_t level)
{
    static const struct visit coming = { NULL, NULL, link_table };

    visit(c, &coming, pa, ia, level);
}
