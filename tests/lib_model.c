/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_model.h"

#include <stdlib.h>
#include <string.h>

void lm_start(struct lm *m, const struct model_walk_cfg *cfg)
{
    unsigned bytes;

    memset(m, 0, sizeof(*m));
    model_phys_init(&m->phys);
    if (!model_phys_arena(&m->phys, LM_TABLES, LM_SIZE))
        abort();
    model_phys_mark(&m->phys, LM_DATA, LM_SIZE - (LM_DATA - LM_TABLES), MODEL_PAGE_DATA, LM_OWNER);
    m->mem = model_phys_mem(&m->phys, true);
    m->next_table = LM_TABLES;
    m->ctx = (struct model_ctx){
        .walk = *cfg,
        .mem = &m->mem,
        .vmid = cfg->stage == 2 ? LM_VMID : 0,
        .asid = cfg->stage == 1 ? LM_VMID : 0,
    };
    m->ctx.walk.root = LM_TABLES;
    bytes = model_root_entries(&m->ctx.walk) * 8;
    for (unsigned i = 0; i < bytes; i += 1u << model_table_shift(cfg))
        lm_new_table(m);
}

void lm_link_as(struct lm *m, uint64_t bits, uint64_t mask, unsigned right)
{
    m->link = bits;
    m->link_mask = mask;
    m->link_right = right;
}

void lm_init(struct lm *m, uint8_t stage, uint8_t ia_bits, uint8_t start_level)
{
    const struct model_walk_cfg cfg = {
        .fmt = &model_arm,
        .mair = 0x04ff44, /* 0 non-cacheable, 1 write-back, 2 device */
        .stage = stage,
        .ia_bits = ia_bits,
        .oa_bits = 48,
        .start_level = (int16_t)start_level,
        .bbm = 2,
        .xnx = true,
        .two_priv = stage == 1,
    };

    lm_start(m, &cfg);
    lm_link_as(m, LM_TABLE, 0xfffffffff000, 0);
}

enum model_fault lm_walk(struct lm *m, uint64_t ia, struct model_access a, struct model_xlat *x)
{
    return model_walk(&m->ctx.walk, &m->mem, ia, a, x);
}

void lm_destroy(struct lm *m)
{
    model_phys_destroy(&m->phys);
}

uint64_t lm_new_table(struct lm *m)
{
    uint64_t pa = m->next_table, size = (uint64_t)1 << model_table_shift(&m->ctx.walk);

    if (pa + size > LM_DATA)
        abort();
    m->next_table += size;
    for (uint64_t i = 0; i < size; i += 8)
        lm_set(m, pa + i, 0);
    model_phys_mark(&m->phys, pa, size, MODEL_PAGE_TABLE, 0);
    return pa;
}

void lm_set(struct lm *m, uint64_t entry, uint64_t value)
{
    if (!model_phys_write64(&m->phys, entry, value))
        abort();
}

uint64_t lm_get(struct lm *m, uint64_t entry)
{
    return model_phys_read64(&m->phys, entry, NULL);
}

uint64_t lm_entry(struct lm *m, uint64_t ia, int level)
{
    const struct model_walk_cfg *walk = &m->ctx.walk;
    uint64_t table = walk->root, index, entry, raw;
    unsigned bits = model_table_shift(walk) - 3u;

    for (int at = walk->start_level;; at++) {
        unsigned shift = model_table_shift(walk) + bits * (unsigned)(MODEL_LAST_LEVEL - at);
        uint64_t n = at == walk->start_level ? model_root_entries(walk) : (uint64_t)1 << bits;

        index = ia >> shift & (n - 1);
        entry = table + index * 8;
        if (at == level)
            return entry;
        raw = lm_get(m, entry);
        if (raw == 0) {
            raw = m->link | (lm_new_table(m) & m->link_mask) >> m->link_right;
            lm_set(m, entry, raw);
        }
        table = raw << m->link_right & m->link_mask;
    }
}

void lm_map(struct lm *m, uint64_t ia, int level, uint64_t value)
{
    lm_set(m, lm_entry(m, ia, level), value);
}

uint64_t lm_full_table(struct lm *m, uint8_t level, uint64_t oa, uint64_t bits)
{
    uint64_t pa = lm_new_table(m);

    for (unsigned i = 0; i < 512; i++)
        lm_set(m, pa + i * 8, (oa + ((uint64_t)i << (39 - 9 * level))) | bits);
    return pa;
}
