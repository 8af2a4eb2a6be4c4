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

void live_decode(const struct model_live *live, int level, uint64_t raw, struct model_desc *d)
{
    live->cfg.walk.fmt->decode(&live->cfg.walk, level, raw, d);
}

enum model_verdict live_compare(const struct model_live *live, const struct model_leaf *had,
                                const struct model_leaf *has)
{
    return live->cfg.walk.fmt->live(&live->cfg.walk, had, has);
}

uint64_t live_read(const struct model_live *live, uint64_t pa)
{
    bool ok;

    return live->cfg.mem->read64(live->cfg.mem->ctx, pa, &ok);
}

unsigned live_entries(const struct model_live *live, uint64_t table)
{
    unsigned n = model_root_entries(&live->cfg.walk);

    return n < live->entries && table == live->cfg.walk.root ? n : live->entries;
}

/* A table, and how it is reached. */
struct branch {
    uint64_t pa, ia;
    int level, parent; /* of its entries; of the entry that points to it */
    uint8_t limit;     /* permissions that the entries above leave */
    bool global;       /* an entry above says so for all below */
};

/* Visits what lies under a table. Stops early if leaf or hole says so (returns true). */
struct visit {
    bool (*leaf)(struct live_change *c, const struct model_leaf *leaf, uint64_t ia);
    bool (*hole)(struct live_change *c, uint64_t ia, uint8_t shift);
    void (*table)(struct live_change *c, const struct branch *b);
};

static bool is_table(const struct model_live *live, uint64_t pa)
{
    const struct model_mem *mem = live->cfg.mem;

    return !mem->table_gen || mem->table_gen(mem->ctx, pa) != 0;
}

static bool visit(struct live_change *c, const struct visit *how, const struct branch *b)
{
    const struct model_walk_cfg *walk = &c->live->cfg.walk;
    uint8_t shift = walk->fmt->shift(walk, b->level);

    if (how->table)
        how->table(c, b);
    if (!is_table(c->live, b->pa))
        return true;
    for (unsigned i = 0, n = live_entries(c->live, b->pa); i < n; i++) {
        uint64_t at = model_ia_extend(walk, b->ia + ((uint64_t)i << shift));
        struct model_desc d;
        bool stop = false;

        live_decode(c->live, b->level, live_read(c->live, b->pa + i * 8), &d);
        if (d.kind == MODEL_DESC_TABLE) {
            struct branch below = {
                d.pa, at, d.next_level, b->level, b->limit & d.limit, b->global || d.global
            };

            stop = visit(c, how, &below);
        } else if (d.kind == MODEL_DESC_INVALID) {
            stop = how->hole && how->hole(c, at, shift);
        } else if (how->leaf) {
            struct model_leaf leaf = model_leaf_of(walk, &d, at, b->level);

            leaf.perms &= b->limit;
            leaf.global |= b->global;
            stop = how->leaf(c, &leaf, at);
        }
        if (stop)
            return true;
    }
    return false;
}

/* What the store's entry points to: before it, or after it. */
static bool visit_entry(struct live_change *c, const struct visit *how, const struct model_desc *d)
{
    struct branch b = { d->pa, c->ia, d->next_level, c->level, d->limit, d->global };

    return visit(c, how, &b);
}

/* Linking: every table below becomes live, with its contents as they are now. */
static void link_table(struct live_change *c, const struct branch *b)
{
    struct model_live *live = c->live;
    struct live_table *t = live_table_find(&live->set, b->pa);

    if (!is_table(live, b->pa))
        live_violation(c, MODEL_V_DATA_AS_TABLE);
    if (t && t->linked)
        return;
    if (t) {
        if (t->pending)
            live_violation(c, MODEL_V_TABLE_FREED_EARLY);
        live_table_drop(&live->set, t);
    }
    t = live_table_add(&live->set, b->pa, b->ia, b->level, b->parent, live->entries);
    for (unsigned i = 0, n = live_entries(live, b->pa); i < n; i++)
        t->shadow[i] = live_read(live, b->pa + i * 8);
}

static void unlink_table(struct live_change *c, const struct branch *b)
{
    struct live_table *t = live_table_find(&c->live->set, b->pa);

    if (t && !t->root)
        live_table_unlink(&c->live->set, t);
}

struct make {
    struct live_change *c;
    const struct model_leaf *leaf;
};

/* A translation that becomes valid against one that an agent may still hold. */
static bool check_stale(void *arg, const struct live_stale *s)
{
    struct make *m = arg;
    struct model_leaf had = s->leaf;
    enum model_verdict v;

    had.perms = m->leaf->perms; /* rights that are stale contradict nothing */
    v = live_compare(m->c->live, &had, m->leaf);

    if (v == MODEL_V_BBM_SKIPPED || v == MODEL_V_SIZE_NEEDS_BBM) {
        live_violation(m->c, s->spared != MODEL_V_OK ? s->spared : MODEL_V_MAKE_EARLY);
        return true;
    }
    return false;
}

static bool check_make(struct live_change *c, const struct model_leaf *leaf, uint64_t ia)
{
    struct make m = { c, leaf };

    (void)ia;
    if (c->live->set.stales)
        live_stale_each(&c->live->set, leaf->ia, leaf->shift, check_stale, &m);
    return false;
}

/* A level 1 walker does not keep a block with nT. */
static void remember(struct live_change *c, const struct model_leaf *leaf, uint64_t ia)
{
    if (!leaf->nt)
        live_stale_add(&c->live->set, leaf, ia);
}

static bool break_leaf(struct live_change *c, const struct model_leaf *leaf, uint64_t ia)
{
    if (!in_scope(c->live, leaf->ia, leaf->shift, !c->live->cfg.strict))
        live_violation(c, MODEL_V_NEIGHBOUR_BROKEN);
    remember(c, leaf, ia);
    return false;
}

/* May a walker that caches a leaf of several entries whole, from either entry, hold both? */
static bool set_agrees(const struct live_change *c, const struct model_leaf *entry, uint64_t at)
{
    struct model_leaf now = c->new_leaf;
    uint64_t mine = c->ia >> now.shift, other = at >> now.shift;
    bool covered = now.entry_shift < now.shift && mine == other;

    if (!covered)
        covered = entry->entry_shift < entry->shift && c->ia >> entry->shift == at >> entry->shift;
    now.perms = entry->perms;
    return !covered || live_compare(c->live, entry, &now) != MODEL_V_BBM_SKIPPED;
}

/* The new leaf against the other entries of the largest leaf that it could be part of. */
static void check_set(struct live_change *c)
{
    const struct model_walk_cfg *walk = &c->live->cfg.walk;
    uint8_t shift = walk->fmt->shift(walk, c->level), set = shift;
    uint64_t first, table, n;

    if (walk->fmt->set_shift)
        set = walk->fmt->set_shift(walk, c->level);
    if (set == shift)
        return;
    n = (uint64_t)1 << (set - shift);
    table = c->store->entry & ~c->live->table_mask;
    if (n > live_entries(c->live, table))
        n = live_entries(c->live, table);
    first = c->store->entry / 8 & (c->live->table_mask / 8) & ~(n - 1);
    for (uint64_t i = first; i < first + n; i++) {
        uint64_t at = (c->ia >> set << set) + ((i - first) << shift);
        struct model_desc d;
        struct model_leaf leaf;

        if (table + i * 8 == c->store->entry)
            continue;
        live_decode(c->live, c->level, live_read(c->live, table + i * 8), &d);
        if (d.kind != MODEL_DESC_LEAF)
            continue;
        leaf = model_leaf_of(walk, &d, at, c->level);
        if (!set_agrees(c, &leaf, at)) {
            live_violation(c, MODEL_V_SET_DIFFERS);
            return;
        }
    }
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
    else if (v == MODEL_V_OK && rest && !walk->fmt->one_store && walk->bbm == 0)
        v = MODEL_V_BBM_SKIPPED;
    live_violation(c, v);
    if (c->old_leaf.dirty && c->new_leaf.clean && !c->live->harvest)
        live_violation(c, MODEL_V_DIRTY_LOST);
    check_make(c, &c->new_leaf, c->ia);
    check_set(c);
    if (rest)
        remember(c, &c->old_leaf, c->ia);
}

static bool filled_leaf(struct live_change *c, const struct model_leaf *leaf, uint64_t ia)
{
    enum model_verdict v = live_compare(c->live, &c->old_leaf, leaf);

    if (v == MODEL_V_BBM_SKIPPED)
        live_violation(c, MODEL_V_TABLE_DIFFERS);
    else
        live_violation(c, v);
    if (c->old_leaf.dirty && leaf->clean && !c->live->harvest)
        live_violation(c, MODEL_V_DIRTY_LOST);
    check_make(c, leaf, ia);
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
    visit_entry(c, &filled, &c->now);
    remember(c, &c->old_leaf, c->ia);
}

static bool merged_leaf(struct live_change *c, const struct model_leaf *leaf, uint64_t ia)
{
    enum model_verdict v = live_compare(c->live, leaf, &c->new_leaf);

    if (v == MODEL_V_BBM_SKIPPED)
        live_violation(c, MODEL_V_MERGE_DIFFERS);
    else
        live_violation(c, v);
    if (leaf->dirty && c->new_leaf.clean && !c->live->harvest)
        live_violation(c, MODEL_V_DIRTY_LOST);
    remember(c, leaf, ia);
    return false;
}

static void table_to_leaf(struct live_change *c)
{
    static const struct visit merged = { merged_leaf, NULL, unlink_table };

    check_make(c, &c->new_leaf, c->ia);
    visit_entry(c, &merged, &c->old);
}

/* What the new table makes of an address. */
static void look_below(struct live_change *c, uint64_t ia, struct model_desc *d,
                       struct model_leaf *leaf)
{
    const struct model_live *live = c->live;
    const struct model_walk_cfg *walk = &live->cfg.walk;
    uint8_t limit = MODEL_RWX_ALL;
    int level = c->level;

    for (*d = c->now; d->kind == MODEL_DESC_TABLE;) {
        uint64_t index;

        limit &= d->limit;
        level = d->next_level;
        index = ia >> walk->fmt->shift(walk, level) & (live->entries - 1);
        live_decode(live, level, live_read(live, d->pa + index * 8), d);
    }
    if (d->kind == MODEL_DESC_LEAF) {
        *leaf = model_leaf_of(walk, d, ia >> d->shift << d->shift, level);
        leaf->perms &= limit;
    }
}

/* Another table in place of one: each address it translated goes on as it was. */
static bool swapped_leaf(struct live_change *c, const struct model_leaf *leaf, uint64_t ia)
{
    struct model_live *live = c->live;
    struct model_desc d;
    struct model_leaf now;
    enum model_verdict v;

    look_below(c, ia, &d, &now);
    if (d.kind == MODEL_DESC_INVALID) {
        if (!in_scope(live, leaf->ia, leaf->shift, false))
            live_violation(c, MODEL_V_TABLE_NOT_FILLED);
    } else {
        v = live_compare(live, leaf, &now);
        live_violation(c, v == MODEL_V_BBM_SKIPPED ? MODEL_V_TABLE_DIFFERS : v);
        if (leaf->dirty && now.clean && !live->harvest)
            live_violation(c, MODEL_V_DIRTY_LOST);
    }
    remember(c, leaf, ia);
    return false;
}

static void table_to_table(struct live_change *c)
{
    static const struct visit leaving = { swapped_leaf, NULL, unlink_table };
    static const struct visit coming = { check_make, NULL, link_table };

    if (c->old.pa == c->now.pa && c->old.next_level == c->now.next_level)
        return; /* limits of permissions only */
    visit_entry(c, &leaving, &c->old);
    visit_entry(c, &coming, &c->now);
}

static void to_invalid(struct live_change *c)
{
    static const struct visit gone = { break_leaf, NULL, unlink_table };

    check_cas(c);
    if (c->old.kind == MODEL_DESC_LEAF)
        break_leaf(c, &c->old_leaf, c->ia);
    else
        visit_entry(c, &gone, &c->old);
}

static void from_invalid(struct live_change *c)
{
    static const struct visit coming = { check_make, NULL, link_table };

    if (c->now.kind == MODEL_DESC_LEAF) {
        check_make(c, &c->new_leaf, c->ia);
        check_set(c);
    } else {
        visit_entry(c, &coming, &c->now);
    }
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

static bool same_place(const struct model_leaf *a, const struct model_leaf *b)
{
    return a->oa - a->ia == b->oa - b->ia && a->attr == b->attr;
}

/* Does the tree, as it is now, map anything of what the old entry covered? */
static bool any_mapped(const struct live_change *c)
{
    const struct model_walk_cfg *walk = &c->live->cfg.walk;
    struct model_access access = { .what = MODEL_R, .peek = true };
    uint64_t last = c->ia + (((uint64_t)1 << c->old.shift) - 1);
    struct model_xlat x;

    for (uint64_t ia = c->ia;;) {
        if (model_walk(walk, c->live->cfg.mem, ia, access, &x) != MODEL_FAULT_TRANSLATION)
            return true;
        ia |= ((uint64_t)1 << walk->fmt->shift(walk, x.level)) - 1; /* all of that hole */
        if (ia >= last)
            return false;
        ia++;
    }
}

/* A walker may still read an unlinked table: its translations must stay what they were. */
static void judge_unlinked(struct live_change *c)
{
    if (c->old.kind == MODEL_DESC_INVALID && c->now.kind == MODEL_DESC_INVALID)
        return;
    check_cas(c);
    if (c->old.kind == MODEL_DESC_LEAF && c->now.kind == MODEL_DESC_LEAF &&
        same_place(&c->old_leaf, &c->new_leaf) &&
        live_compare(c->live, &c->old_leaf, &c->new_leaf) == MODEL_V_OK)
        return;
    /*
     * An old table's entry may go where nothing at all is mapped any more: who unlinks a table
     * threads lists through it. That a walker which still holds a pointer to it then faults is what
     * it would find in the tree too, and was judged when the leaves below were broken.
     */
    if (c->now.kind == MODEL_DESC_INVALID && !any_mapped(c))
        return;
    live_violation(c, MODEL_V_TABLE_FREED_EARLY);
}

void live_judge(struct live_change *c, bool linked)
{
    live_decode(c->live, c->level, c->store->old, &c->old);
    live_decode(c->live, c->level, c->store->value, &c->now);
    if (c->old.kind == MODEL_DESC_LEAF)
        c->old_leaf = model_leaf_of(&c->live->cfg.walk, &c->old, c->ia, c->level);
    if (c->now.kind == MODEL_DESC_LEAF)
        c->new_leaf = model_leaf_of(&c->live->cfg.walk, &c->now, c->ia, c->level);
    if (linked)
        judge_linked(c);
    else
        judge_unlinked(c);
}

void live_link_tree(struct live_change *c, uint64_t pa, uint64_t ia, int level)
{
    static const struct visit coming = { NULL, NULL, link_table };
    struct branch b = { pa, ia, level, level, MODEL_RWX_ALL, false };

    visit(c, &coming, &b);
}

static bool rooted_leaf(struct live_change *c, const struct model_leaf *leaf, uint64_t ia)
{
    struct model_desc d;
    struct model_leaf now = { 0 };

    look_below(c, ia, &d, &now);
    if (d.kind == MODEL_DESC_INVALID)
        live_violation(c, MODEL_V_TABLE_NOT_FILLED);
    else if (now.oa - now.ia != leaf->oa - leaf->ia || now.shift != leaf->shift ||
             now.attr != leaf->attr || now.perms != leaf->perms)
        live_violation(c, MODEL_V_TABLE_DIFFERS);
    return false;
}

/* Where the old root is in the new tree. */
static void find_root(struct live_change *c, const struct branch *b)
{
    struct live_table *t = live_table_find(&c->live->set, b->pa);

    link_table(c, b);
    if (!t || !t->root)
        return;
    t->root = false;
    t->parent = (int16_t)b->parent;
}

void live_reroot(struct live_change *c, const struct model_walk_cfg *walk)
{
    static const struct visit was = { rooted_leaf, NULL, NULL };
    static const struct visit is = { check_make, NULL, find_root };
    struct model_live *live = c->live;
    struct branch old = {
        live->cfg.walk.root, 0,    live->cfg.walk.start_level, live->cfg.walk.start_level,
        MODEL_RWX_ALL,       false
    };
    struct branch new = {
        walk->root, 0, walk->start_level, walk->start_level, MODEL_RWX_ALL, false
    };
    struct live_table *t;

    c->now = (struct model_desc){ .kind = MODEL_DESC_TABLE,
                                  .pa = walk->root,
                                  .next_level = walk->start_level,
                                  .limit = MODEL_RWX_ALL };
    visit(c, &was, &old);
    live->cfg.walk = live->ctx.walk = *walk;
    visit(c, &is, &new);
    t = live_table_find(&live->set, old.pa);
    if (t && t->root) {
        live_violation(c, MODEL_V_TABLE_FREED_LIVE);
        t->root = false;
    }
    t = live_table_find(&live->set, new.pa);
    if (t)
        t->root = true;
}
