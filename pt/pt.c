/* SPDX-License-Identifier: BSD-2-Clause */
/* Trees as a whole: configuration, start tables, what a call may need, teardown. */
#include "engine.h"

struct pt_live pt_live_meet(struct pt_live a, struct pt_live b)
{
    return (struct pt_live){
        .bbm = a.bbm < b.bbm ? a.bbm : b.bbm,
        .hw_af = a.hw_af && b.hw_af,
        .hw_dirty = a.hw_dirty && b.hw_dirty,
        .stalls = a.stalls && b.stalls,
        .contig = a.contig && b.contig,
        .exec_4k = a.exec_4k || b.exec_4k,
        .leaf_max = a.leaf_max != 0 && (b.leaf_max == 0 || a.leaf_max < b.leaf_max) ? a.leaf_max
                                                                                    : b.leaf_max,
    };
}

/* The format by number, for the calls that are not worth an instance of their own. */
static const struct pt_fmt *format(const struct pt_config *cfg)
{
#define CALL(fmt) &(fmt)
    PT_SWITCH(cfg->format, NULL)
#undef CALL
}

int pt_root_pages(const struct pt_config *cfg)
{
    const struct pt_fmt *f = format(cfg);
    unsigned min, max;

    if (!f || cfg->start_level < 0 || cfg->start_level > 2 || arm_ps(cfg->oa_bits) < 0) {
        return -EINVAL;
    }
    /* One bit at least is resolved at the start level, at most a full table; stage 2 may have four
     * bits more, as up to 16 concatenated tables (DDI0487 D8.2.9; AArch64.S2InconsistentSL). */
    min = f->shift[cfg->start_level] + 1u;
    max = f->shift[cfg->start_level] + f->index_bits + (f->id == PT_ARM_S2_4K ? 4u : 0u);
    min = min < 25 ? 25 : min;
    max = max > 48 ? 48 : max;
    if (cfg->ia_bits < min || cfg->ia_bits > max) {
        return -EINVAL;
    }
    /* SL0 for level 0 is reserved below 44 bits of physical address (DDI0487 D23.2.206). */
    if (f->id == PT_ARM_S2_4K && cfg->start_level == 0 && cfg->oa_bits < 44) {
        return -EINVAL;
    }
    max = f->shift[cfg->start_level] + f->index_bits;
    return cfg->ia_bits <= max ? 1 : 1 << (cfg->ia_bits - max);
}

int pt_init(struct pt *pt, const struct pt_config *cfg, uint64_t root)
{
    int pages = pt_root_pages(cfg);

    if (pages < 0 || root == 0 || (root & ((uint64_t)pages * PAGE_SIZE - 1)) != 0 ||
        root >> cfg->oa_bits != 0) {
        return -EINVAL;
    }
    *pt = (struct pt){ .cfg = *cfg, .root = root, .root_pages = (uint32_t)pages };
    return 0;
}

uint32_t pt_need(const struct pt *pt, uint64_t ia, uint64_t len)
{
    const struct pt_fmt *f = format(&pt->cfg);
    uint64_t last = ia + (len - 1);
    uint64_t n = 0;

    if (range_check(pt, ia, len) != 0) {
        return 0;
    }
    /* A table at level l+1 for every block of level l that the range touches. Cutting adds no
     * more: both ends are in the range's own blocks, except the end address of an aligned range,
     * which is a boundary already. */
    for (unsigned l = (unsigned)pt->cfg.start_level; l < f->last_level; l++) {
        n += (last >> f->shift[l]) - (ia >> f->shift[l]) + 1;
    }
    return (uint32_t)n;
}

void pt_clear(struct pt *pt, struct pt_gather *g)
{
    const struct pt_fmt *f = format(&pt->cfg);
    uint64_t *root = port_va(pt->root);
    unsigned n = root_entries(f, pt);

    for (unsigned i = 0; i < n; i++) {
        uint64_t v = port_pte_load(&root[i]);

        if (!ent_present(f, v)) {
            continue;
        }
        port_pte_store(&root[i], 0);
        if (!ent_is_leaf(f, (unsigned)pt->cfg.start_level, v)) {
            pt_free_subtree(f, &g->freed, ent_oa(f, v), (unsigned)pt->cfg.start_level + 1u);
        }
    }
    clean(pt, root, n);
    g->all = true;
    g->n = 0;
}

void pt_gather_done(const struct pt *pt, struct pt_gather *g)
{
    const struct pt_fmt *f = format(&pt->cfg);

    for (unsigned i = 0; i < g->held_n; i++) {
        pt_free_subtree(f, &g->freed, g->held[i] & ~(PAGE_SIZE - 1),
                        (unsigned)(g->held[i] & (PAGE_SIZE - 1)));
    }
    g->held_n = 0;
    g->n = 0;
    g->all = false;
    g->more = false;
}
