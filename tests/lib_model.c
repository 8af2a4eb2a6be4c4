/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_model.h"

#include <stdlib.h>
#include <string.h>

void lm_init(struct lm *m, uint8_t stage, uint8_t ia_bits, uint8_t start_level)
{
    memset(m, 0, sizeof(*m));
    model_phys_init(&m->phys);
    if (!model_phys_arena(&m->phys, LM_TABLES, LM_SIZE))
        abort();
    model_phys_mark(&m->phys, LM_DATA, LM_SIZE - (LM_DATA - LM_TABLES), MODEL_PAGE_DATA, LM_OWNER);
    m->mem = model_phys_mem(&m->phys, true);
    m->next_table = LM_TABLES;
    m->ctx = (struct model_ctx){
        .walk = {
            .fmt = &model_arm,
            .root = LM_TABLES,
            .mair = 0x04ff44, /* 0 non-cacheable, 1 write-back, 2 device */
            .stage = stage,
            .ia_bits = ia_bits,
            .oa_bits = 48,
            .start_level = start_level,
            .bbm = 2,
            .xnx = true,
            .two_priv = stage == 1,
        },
        .mem = &m->mem,
        .vmid = stage == 2 ? LM_VMID : 0,
        .asid = stage == 1 ? LM_VMID : 0,
    };
    for (unsigned n = model_root_entries(&m->ctx.walk), i = 0; i < n; i += 512)
        lm_new_table(m);
}

void lm_destroy(struct lm *m)
{
    model_phys_destroy(&m->phys);
}

uint64_t lm_new_table(struct lm *m)
{
    uint64_t pa = m->next_table;

    if (pa >= LM_DATA)
        abort();
    m->next_table += LM_4K;
    for (unsigned i = 0; i < 512; i++)
        lm_set(m, pa + i * 8, 0);
    model_phys_mark(&m->phys, pa, LM_4K, MODEL_PAGE_TABLE, 0);
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

uint64_t lm_entry(struct lm *m, uint64_t ia, uint8_t level)
{
    uint64_t table = m->ctx.walk.root, index, entry;

    for (uint8_t at = m->ctx.walk.start_level;; at++) {
        index = ia >> (39 - 9 * at);
        if (at > m->ctx.walk.start_level)
            index &= 511;
        entry = table + index * 8;
        if (at == level)
            return entry;
        if (!(lm_get(m, entry) & 1))
            lm_set(m, entry, lm_new_table(m) | LM_TABLE);
        table = lm_get(m, entry) & 0xfffffffff000;
    }
}

void lm_map(struct lm *m, uint64_t ia, uint8_t level, uint64_t value)
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
