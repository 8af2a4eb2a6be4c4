/* SPDX-License-Identifier: BSD-2-Clause */
/* Trees as a whole: configuration, start tables, what a call may need, teardown. */
#include "engine.h"
#include "port_quick.h"

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
const struct pt_fmt *pt_format(enum pt_format id)
{
#define FORMAT(ID, fmt, prefix, none) (ID) == id ? &(fmt):
    return PORT_FORMATS(FORMAT, ) NULL;
}

static int root_height(const struct pt_fmt *f, const struct pt_config *cfg)
{
    return PORT_FORMATS(FMT_OF, root, f, cfg) - EINVAL;
}

int pt_root_pages(const struct pt_config *cfg)
{
    const struct pt_fmt *f = pt_format(cfg->format);
    int h = f ? root_height(f, cfg) : -EINVAL;
    struct pt pt = { .cfg = *cfg, .top = (uint64_t)h };

    if (h < 0) {
        return -EINVAL;
    }
    return (int)((top_entries(f, &pt) * 8u + PAGE_SIZE - 1) >> PAGE_SHIFT);
}

int pt_init(struct pt *pt, const struct pt_config *cfg, uint64_t root)
{
    int pages = pt_root_pages(cfg);
    const struct pt_fmt *f = pt_format(cfg->format);
    uint64_t size = pages > 1 ? (uint64_t)pages * PAGE_SIZE : PAGE_SIZE;
    unsigned max;

    if (pages < 0 || root == 0 || (root & (size - 1)) != 0 || root >> cfg->oa_bits != 0) {
        return -EINVAL;
    }
    *pt = (struct pt){ .cfg = *cfg, .root = root, .root_pages = (uint32_t)pages };
    pt->ia_max = ((uint64_t)1 << cfg->ia_bits) - 1;
    pt->oa_max = ((uint64_t)1 << cfg->oa_bits) - 1;
    pt->wide = cfg->oa_bits > 48 || cfg->ia_bits > 48; /* for formats that have two forms */
    pt->top = (uintptr_t)port_table(root) | quick_kind(f, pt) | (unsigned)root_height(f, cfg);
    max = cfg->live.leaf_max != 0 ? cfg->live.leaf_max : 63;
    pt->leaf_h = f->leaf_h;
    while (pt->leaf_h > 0 && (pt->leaf_h > top_height(pt) || hgt_shift(f, pt->leaf_h) > max)) {
        pt->leaf_h--;
    }
    return 0;
}

uint32_t pt_need(const struct pt *pt, uint64_t ia, uint64_t len)
{
    const struct pt_fmt *f = pt_format(pt->cfg.format);
    uint64_t last = ia + (len - 1);
    uint64_t n = 0;

    if (range_check(f, pt, ia, len) != 0) {
        return 0;
    }
    /* A table of height h-1 for every block of height h that the range touches. Cutting adds no
     * more: both ends are in the range's own blocks, except the end address of an aligned range,
     * which is a boundary already. */
    for (unsigned h = top_height(pt); h > 0; h--) {
        n += (last >> hgt_shift(f, h)) - (ia >> hgt_shift(f, h)) + 1;
    }
    return (uint32_t)n;
}

/* Out of line, so that the others, who hold nothing, have one store to make. */
void pt_gather_free(const struct pt *pt, struct pt_gather *g)
{
    while (g->held_n != 0) {
        uint64_t pa = g->held[--g->held_n], h = pa & (PAGE_SIZE - 1);

        pt_free_subtree(pt_format(pt->cfg.format), pt, &g->freed, pa - h, (unsigned)h);
    }
}
