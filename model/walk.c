/* SPDX-License-Identifier: BSD-2-Clause */
#include "walk.h"

#include <string.h>

enum { WALK_FETCH, WALK_UPDATE, WALK_DONE };

#define MAX_RESTARTS 100000u

static bool finish(struct model_walk *w, enum model_fault fault, int level)
{
    w->out.fault = fault;
    w->out.level = (int16_t)level;
    w->state = WALK_DONE;
    return true;
}

uint8_t model_table_shift(const struct model_walk_cfg *cfg)
{
    return cfg->granule ? cfg->granule : 12;
}

uint8_t model_pointer_shift(const struct model_walk_cfg *cfg, int parent, int level)
{
    uint8_t entry = cfg->fmt->shift(cfg, parent);
    unsigned below = cfg->fmt->shift(cfg, level) + model_table_shift(cfg) - 3u;

    return below < entry ? (uint8_t)below : entry;
}

unsigned model_root_entries(const struct model_walk_cfg *cfg)
{
    uint8_t shift = cfg->fmt->shift(cfg, cfg->start_level);

    return cfg->ia_bits > shift ? 1u << (cfg->ia_bits - shift) : 1u;
}

uint64_t model_ia_extend(const struct model_walk_cfg *cfg, uint64_t ia)
{
    uint64_t above;

    if (!cfg->canonical || cfg->ia_bits >= 64)
        return ia;
    above = ~(uint64_t)0 << cfg->ia_bits;
    return ia >> (cfg->ia_bits - 1) & 1 ? ia | above : ia & ~above;
}

/* The generation of a table is that of its first page. */
static uint32_t generation(const struct model_walk *w, uint64_t pa)
{
    uint64_t table = pa >> model_table_shift(w->cfg) << model_table_shift(w->cfg);

    return w->mem->table_gen ? w->mem->table_gen(w->mem->ctx, table) : 0;
}

static void rewind_walk(struct model_walk *w)
{
    w->table = w->first_table;
    w->gen = w->first_gen;
    w->level = w->first_level;
    w->limit = w->first_limit;
    w->global = w->first_global;
    w->out.depth = 0;
    w->state = WALK_FETCH;
}

void model_walk_resume(struct model_walk *w, const struct model_walk_cfg *cfg,
                       const struct model_mem *mem, uint64_t ia, struct model_access access,
                       int level, uint64_t table, uint32_t gen, uint8_t limit)
{
    memset(w, 0, sizeof(*w));
    w->cfg = cfg;
    w->mem = mem;
    w->access = access;
    w->out.ia = ia;
    w->first_table = table;
    w->first_gen = gen;
    w->first_level = (int16_t)level;
    w->first_limit = limit;
    rewind_walk(w);
    if (cfg->fmt->check(cfg) != NULL) {
        finish(w, MODEL_FAULT_BAD_CONFIG, cfg->start_level);
    } else if (cfg->canonical && model_ia_extend(cfg, ia) != ia) {
        finish(w, MODEL_FAULT_CANONICAL, cfg->start_level);
    } else if (!cfg->canonical && cfg->ia_bits < 64 && ia >> cfg->ia_bits != 0) {
        /* Out of range: a translation fault of level 0 (Arm ARM DDI0487 D8.2). */
        finish(w, MODEL_FAULT_TRANSLATION, 0);
    } else if (cfg->oa_bits < 64 && table >> cfg->oa_bits != 0) {
        finish(w, MODEL_FAULT_ADDRESS_SIZE, 0);
    }
}

void model_walk_begin(struct model_walk *w, const struct model_walk_cfg *cfg,
                      const struct model_mem *mem, uint64_t ia, struct model_access access)
{
    model_walk_resume(w, cfg, mem, ia, access, cfg->start_level, cfg->root, 0, MODEL_RWX_ALL);
}

struct model_leaf model_leaf_of(const struct model_walk_cfg *cfg, const struct model_desc *d,
                                uint64_t ia, int level)
{
    uint8_t span = cfg->contig || d->whole ? d->span_shift : d->shift;
    uint64_t mask = ((uint64_t)1 << span) - 1;

    return (struct model_leaf){
        .ia = ia & ~mask,
        .oa = d->pa & ~mask,
        .attr = d->attr,
        .shift = span,
        .entry_shift = d->shift < span ? d->shift : span,
        .perms = d->perms,
        .level = (int16_t)level,
        .global = d->global,
        .nt = d->nt,
        .clean = d->clean,
        .dirty = d->dirty,
        .writable = (d->perms & (MODEL_W | MODEL_W << MODEL_USER_SHIFT)) != 0,
    };
}

/*
 * Formats where one aligned 64-bit store may replace an entry. What a walker cached of the old one
 * is stale until invalidated, which is no contradiction as long as both have one size. Not so:
 * - A size change together with anything else. Both entries may then be cached for one address, and
 *   which one serves it is undefined (Intel SDM 25366x volume 3, 4.10.2.3).
 * - A leaf of several entries, but for its rights: no store changes them all.
 */
enum model_verdict model_live_one_store(const struct model_walk_cfg *cfg,
                                        const struct model_leaf *had, const struct model_leaf *has)
{
    bool same = had->oa - had->ia == has->oa - has->ia && had->attr == has->attr &&
                had->global == has->global;
    bool sets = had->shift != had->entry_shift || has->shift != has->entry_shift;

    (void)cfg;
    if (had->shift == has->shift)
        return same || !sets ? MODEL_V_OK : MODEL_V_BBM_SKIPPED;
    return same && had->perms == has->perms ? MODEL_V_OK : MODEL_V_BBM_SKIPPED;
}

void model_walk_global(struct model_walk *w)
{
    w->global = w->first_global = true;
}

static void take_leaf(struct model_walk *w, const struct model_desc *d, uint64_t raw)
{
    struct model_leaf leaf = model_leaf_of(w->cfg, d, w->out.ia, w->level);
    struct model_xlat *out = &w->out;

    out->raw = raw;
    out->shift = leaf.shift;
    out->entry_shift = leaf.entry_shift;
    out->leaf_ia = leaf.ia;
    out->leaf_oa = leaf.oa;
    out->oa = leaf.oa + (out->ia - leaf.ia);
    out->attr = d->attr;
    out->memtype = d->memtype;
    out->perms = d->perms & w->limit;
    out->af = d->af;
    out->global = d->global || w->global;
    out->clean = d->clean;
    out->dirty = d->dirty;
    out->contig = d->contig;
    out->nt = d->nt;
    out->whole = d->whole;
}

/* Hardware wants to change the entry: a compare-exchange, as an access of its own. */
static bool want_update(struct model_walk *w, uint64_t value)
{
    w->update = value;
    w->state = WALK_UPDATE;
    return false;
}

/* Fault priority at one leaf: translation, address size, access flag, permission. */
static bool leaf(struct model_walk *w, const struct model_desc *d, uint64_t raw)
{
    const struct model_format *fmt = w->cfg->fmt;
    unsigned need = (unsigned)w->access.what << (w->access.user ? MODEL_USER_SHIFT : 0);
    uint64_t update = raw;
    bool permitted;

    if (d->address_size)
        return finish(w, MODEL_FAULT_ADDRESS_SIZE, w->level);
    if (d->nt && w->cfg->nt_faults && !w->access.peek)
        return finish(w, MODEL_FAULT_TRANSLATION, w->level);
    take_leaf(w, d, raw);
    if (w->access.peek)
        return finish(w, MODEL_OK, w->level);
    permitted = w->access.spec || (need & w->out.perms) == need;
    if (!d->af) {
        if (!w->cfg->ha)
            return finish(w, MODEL_FAULT_ACCESS_FLAG, w->level);
        update = fmt->set_af(w->cfg, update);
    }
    if (!permitted)
        return finish(w, MODEL_FAULT_PERMISSION, w->level);
    if (!w->access.spec && (w->access.what & MODEL_W) && d->clean)
        update = fmt->set_dirty(w->cfg, update);
    return update == raw ? finish(w, MODEL_OK, w->level) : want_update(w, update);
}

/* On to the next table, unless levels are skipped and the address needs them. */
static bool descend(struct model_walk *w, const struct model_desc *d)
{
    const struct model_walk_cfg *cfg = w->cfg;
    uint8_t covered = model_pointer_shift(cfg, w->level, d->next_level);

    if (w->out.ia & (((uint64_t)1 << d->shift) - 1) & ~(((uint64_t)1 << covered) - 1))
        return finish(w, MODEL_FAULT_TRANSLATION, w->level);
    w->table = d->pa;
    w->limit &= d->limit;
    w->global |= d->global;
    /* Which life of the page this pointer meant: another one by the next fetch is an error. */
    w->gen = generation(w, d->pa);
    w->level = d->next_level;
    w->state = WALK_FETCH;
    return false;
}

static bool table(struct model_walk *w, const struct model_desc *d, uint64_t raw)
{
    if (d->address_size)
        return finish(w, MODEL_FAULT_ADDRESS_SIZE, w->level);
    if (!d->af && w->cfg->ha && !w->access.peek)
        return want_update(w, w->cfg->fmt->set_af(w->cfg, raw));
    return descend(w, d);
}

/* Checks the page, and notes which life of it this walk uses. */
static bool good_table(struct model_walk *w, uint64_t entry)
{
    uint32_t gen;

    if (!w->mem->table_gen)
        return true;
    gen = w->mem->table_gen(w->mem->ctx, entry) ? generation(w, entry) : 0;
    if (gen == 0 || (w->gen != 0 && gen != w->gen)) {
        w->out.verdict = gen == 0 ? MODEL_V_DATA_AS_TABLE : MODEL_V_TABLE_REUSED;
        w->out.entry = entry;
        return false;
    }
    w->gen = gen;
    return true;
}

static void note_step(struct model_walk *w, uint64_t entry, uint64_t raw)
{
    struct model_step *step;

    if (w->out.depth == MODEL_MAX_DEPTH)
        return;
    step = &w->out.chain[w->out.depth++];
    step->table = w->table;
    step->entry = entry;
    step->raw = raw;
    step->gen = w->gen;
    step->level = w->level;
    step->limit = w->limit;
    step->global = w->global;
}

static bool fetch(struct model_walk *w)
{
    const struct model_walk_cfg *cfg = w->cfg;
    const struct model_format *fmt = cfg->fmt;
    uint64_t entries = w->level == cfg->start_level ? model_root_entries(cfg)
                                                    : (uint64_t)1 << (model_table_shift(cfg) - 3);
    uint64_t entry = w->table + ((w->out.ia >> fmt->shift(cfg, w->level)) & (entries - 1)) * 8;
    struct model_desc *d = &w->desc;
    bool ok = true;
    uint64_t raw;

    if (!good_table(w, entry))
        return finish(w, MODEL_FAULT_BAD_TABLE, w->level);
    raw = w->mem->read64(w->mem->ctx, entry, &ok);
    w->out.entry = entry;
    w->out.raw = raw;
    if (!ok)
        return finish(w, MODEL_FAULT_EXTERNAL, w->level);
    note_step(w, entry, raw);
    fmt->decode(cfg, w->level, raw, d);
    if (d->kind == MODEL_DESC_INVALID)
        return finish(w, MODEL_FAULT_TRANSLATION, w->level);
    if (d->reserved && fmt->reserved_faults)
        return finish(w, MODEL_FAULT_RESERVED, w->level);
    return d->kind == MODEL_DESC_LEAF ? leaf(w, d, raw) : table(w, d, raw);
}

static bool update(struct model_walk *w)
{
    uint64_t expected = w->out.raw;
    struct model_desc *d = &w->desc;

    if (!w->mem->cas64(w->mem->ctx, w->out.entry, &expected, w->update)) {
        /* Somebody changed the descriptor: the walk starts again. */
        if (++w->restarts > MAX_RESTARTS)
            return finish(w, MODEL_FAULT_EXTERNAL, w->level);
        rewind_walk(w);
        return false;
    }
    w->cfg->fmt->decode(w->cfg, w->level, w->update, d);
    w->out.raw = w->update;
    w->out.updated = true;
    if (w->out.depth > 0)
        w->out.chain[w->out.depth - 1].raw = w->update;
    if (d->kind == MODEL_DESC_TABLE)
        return descend(w, d);
    take_leaf(w, d, w->update);
    return finish(w, MODEL_OK, w->level);
}

bool model_walk_step(struct model_walk *w)
{
    switch (w->state) {
    case WALK_FETCH:
        return fetch(w);
    case WALK_UPDATE:
        return update(w);
    default:
        return true;
    }
}

enum model_fault model_walk(const struct model_walk_cfg *cfg, const struct model_mem *mem,
                            uint64_t ia, struct model_access access, struct model_xlat *out)
{
    struct model_walk w;

    model_walk_begin(&w, cfg, mem, ia, access);
    while (!model_walk_step(&w))
        ;
    *out = w.out;
    return out->fault;
}

const char *model_fault_name(enum model_fault fault)
{
    static const char *const names[] = {
        [MODEL_OK] = "ok",
        [MODEL_FAULT_TRANSLATION] = "translation",
        [MODEL_FAULT_PERMISSION] = "permission",
        [MODEL_FAULT_ACCESS_FLAG] = "access-flag",
        [MODEL_FAULT_ADDRESS_SIZE] = "address-size",
        [MODEL_FAULT_EXTERNAL] = "external",
        [MODEL_FAULT_BAD_TABLE] = "bad-table",
        [MODEL_FAULT_BAD_CONFIG] = "bad-config",
        [MODEL_FAULT_RESERVED] = "reserved",
        [MODEL_FAULT_CANONICAL] = "non-canonical",
    };
    unsigned i = (unsigned)fault;

    return i < sizeof(names) / sizeof(names[0]) ? names[i] : "?";
}
