/* SPDX-License-Identifier: BSD-2-Clause */
#include "walk.h"

#include <string.h>

enum { WALK_FETCH, WALK_UPDATE, WALK_DONE };

#define MAX_RESTARTS 100000u

static bool finish(struct model_walk *w, enum model_fault fault, uint8_t level)
{
    w->out.fault = fault;
    w->out.level = level;
    w->state = WALK_DONE;
    return true;
}

unsigned model_root_entries(const struct model_walk_cfg *cfg)
{
    uint8_t shift = cfg->fmt->shift(cfg, cfg->start_level);

    return cfg->ia_bits > shift ? 1u << (cfg->ia_bits - shift) : 1u;
}

static uint32_t generation(const struct model_walk *w, uint64_t pa)
{
    return w->mem->table_gen ? w->mem->table_gen(w->mem->ctx, pa) : 0;
}

static void rewind_walk(struct model_walk *w)
{
    w->table = w->first_table;
    w->gen = w->first_gen;
    w->level = w->first_level;
    w->limit = w->first_limit;
    w->out.depth = 0;
    w->state = WALK_FETCH;
}

void model_walk_resume(struct model_walk *w, const struct model_walk_cfg *cfg,
                       const struct model_mem *mem, uint64_t ia, struct model_access access,
                       uint8_t level, uint64_t table, uint32_t gen, uint8_t limit)
{
    memset(w, 0, sizeof(*w));
    w->cfg = cfg;
    w->mem = mem;
    w->access = access;
    w->out.ia = ia;
    w->first_table = table;
    w->first_gen = gen;
    w->first_level = level;
    w->first_limit = limit;
    rewind_walk(w);
    if (cfg->fmt->check(cfg) != NULL) {
        finish(w, MODEL_FAULT_BAD_CONFIG, cfg->start_level);
    } else if (cfg->ia_bits < 64 && ia >> cfg->ia_bits != 0) {
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

static void take_leaf(struct model_walk *w, const struct model_desc *d, uint64_t raw)
{
    struct model_xlat *out = &w->out;
    uint8_t span = w->cfg->contig ? d->span_shift : d->shift;
    uint64_t mask = ((uint64_t)1 << span) - 1;

    out->raw = raw;
    out->shift = span;
    out->leaf_ia = out->ia & ~mask;
    out->leaf_oa = d->pa & ~mask;
    out->oa = out->leaf_oa | (out->ia & mask);
    out->attr = d->attr;
    out->memtype = d->memtype;
    out->perms = d->perms & w->limit;
    out->af = d->af;
    out->global = d->global;
    out->clean = d->clean;
    out->dirty = d->dirty;
    out->contig = d->contig;
    out->nt = d->nt;
}

/* Fault priority at one leaf: translation, address size, access flag, permission. */
static bool leaf(struct model_walk *w, const struct model_desc *d, uint64_t raw)
{
    const struct model_format *fmt = w->cfg->fmt;
    unsigned need = (unsigned)w->access.what << (w->access.user ? MODEL_USER_SHIFT : 0);
    uint64_t update = raw;

    if (d->address_size)
        return finish(w, MODEL_FAULT_ADDRESS_SIZE, w->level);
    if (d->nt && w->cfg->nt_faults && !w->access.peek)
        return finish(w, MODEL_FAULT_TRANSLATION, w->level);
    take_leaf(w, d, raw);
    if (w->access.peek)
        return finish(w, MODEL_OK, w->level);
    if (!d->af) {
        if (!w->cfg->ha)
            return finish(w, MODEL_FAULT_ACCESS_FLAG, w->level);
        update = fmt->set_af(w->cfg, update);
    }
    if (!w->access.spec) {
        if ((need & w->out.perms) != need)
            return finish(w, MODEL_FAULT_PERMISSION, w->level);
        if ((w->access.what & MODEL_W) && d->clean)
            update = fmt->set_dirty(w->cfg, update);
    }
    if (update == raw)
        return finish(w, MODEL_OK, w->level);
    w->update = update;
    w->state = WALK_UPDATE;
    return false;
}

static bool fetch(struct model_walk *w)
{
    const struct model_format *fmt = w->cfg->fmt;
    uint8_t shift = fmt->shift(w->cfg, w->level);
    uint64_t entries = w->level == w->cfg->start_level ? model_root_entries(w->cfg) : 512;
    uint64_t entry = w->table + ((w->out.ia >> shift) & (entries - 1)) * 8;
    struct model_step *step;
    struct model_desc d;
    uint64_t raw;
    uint32_t gen;
    bool ok = true;

    if (w->mem->table_gen) {
        gen = generation(w, entry);
        if (gen == 0 || (w->gen != 0 && gen != w->gen)) {
            w->out.verdict = gen == 0 ? MODEL_V_DATA_AS_TABLE : MODEL_V_TABLE_REUSED;
            w->out.entry = entry;
            return finish(w, MODEL_FAULT_BAD_TABLE, w->level);
        }
        w->gen = gen;
    }
    raw = w->mem->read64(w->mem->ctx, entry, &ok);
    w->out.entry = entry;
    w->out.raw = raw;
    if (!ok)
        return finish(w, MODEL_FAULT_EXTERNAL, w->level);
    if (w->out.depth < MODEL_MAX_DEPTH) {
        step = &w->out.chain[w->out.depth++];
        step->table = w->table;
        step->entry = entry;
        step->raw = raw;
        step->gen = w->gen;
        step->level = w->level;
        step->limit = w->limit;
    }
    fmt->decode(w->cfg, w->level, raw, &d);
    if (d.kind == MODEL_DESC_INVALID)
        return finish(w, MODEL_FAULT_TRANSLATION, w->level);
    if (d.kind == MODEL_DESC_LEAF)
        return leaf(w, &d, raw);
    if (d.address_size)
        return finish(w, MODEL_FAULT_ADDRESS_SIZE, w->level);
    w->table = d.pa;
    w->limit &= d.limit;
    /* Which life of the page this pointer meant: another one by the next fetch is an error. */
    w->gen = generation(w, d.pa);
    w->level++;
    return false;
}

static bool update(struct model_walk *w)
{
    uint64_t expected = w->out.raw;
    struct model_desc d;

    if (!w->mem->cas64(w->mem->ctx, w->out.entry, &expected, w->update)) {
        /* Somebody changed the descriptor: the walk starts again. */
        if (++w->restarts > MAX_RESTARTS)
            return finish(w, MODEL_FAULT_EXTERNAL, w->level);
        rewind_walk(w);
        return false;
    }
    w->cfg->fmt->decode(w->cfg, w->level, w->update, &d);
    take_leaf(w, &d, w->update);
    if (w->out.depth > 0)
        w->out.chain[w->out.depth - 1].raw = w->update;
    w->out.updated = true;
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
    };
    unsigned i = (unsigned)fault;

    return i < sizeof(names) / sizeof(names[0]) ? names[i] : "?";
}
