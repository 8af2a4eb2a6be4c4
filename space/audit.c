/* SPDX-License-Identifier: BSD-2-Clause */
/* A tree against the frame table: does it show only what its user may use? */
#include <stddef.h>

#include "space/internal.h"

static void report(struct space_audit *a, const char *what, uint64_t ia, uint64_t pa)
{
    if (a->violations++ == 0) {
        a->first = what;
        a->first_ia = ia;
        a->first_pa = pa;
    }
}

/* Runs of equal frames, so that a 1G leaf of one owner costs one look at each frame and no more. */
static void check_leaf(const struct pt_leaf *leaf, owner_t user, struct space_audit *a)
{
    uint64_t end = leaf->oa + (leaf->last - leaf->ia);

    for (uint64_t pa = leaf->oa; pa < end;) {
        struct frame f;
        uint64_t last;

        if (!frames_run_within(pa, end, &f, &last)) {
            report(a, "leaf reaches outside memory", leaf->ia + (pa - leaf->oa), pa);
            return;
        }
        uint64_t stop = last < end ? last : end;

        if ((f.flags & FRAME_TABLE) != 0) {
            report(a, "leaf maps a table page", leaf->ia + (pa - leaf->oa), pa);
        } else if (!frame_may_use(pa, user)) {
            report(a, "leaf maps a frame of another owner", leaf->ia + (pa - leaf->oa), pa);
        }
        pa = stop + 1;
    }
}

void space_audit(struct space *s, owner_t user, space_audit_fn device, void *ctx,
                 struct space_audit *a)
{
    struct pt_table_iter it = { 0 };
    struct pt_leaf leaf;
    uint64_t table;
    uint64_t last = ((uint64_t)1 << s->pt.cfg.ia_bits) - 1;

    space_share_lock(s);
    for (uint64_t ia = 0; pt_next(&s->pt, &ia, last, &leaf);) {
        if (!leaf.present) {
            continue;
        }
        a->leaves++;
        a->pages += (leaf.last - leaf.ia + 1) >> PAGE_SHIFT;
        if (frame_valid(leaf.oa)) {
            check_leaf(&leaf, user, a);
        } else {
            const char *why = device == NULL ? "leaf maps no memory" : device(ctx, &leaf, leaf.oa);

            if (why != NULL) {
                report(a, why, leaf.ia, leaf.oa);
            }
        }
    }
    while (pt_next_table(&s->pt, &it, &table)) {
        a->tables++;
        struct frame f = { 0 };

        if (frame_valid(table)) {
            f = frame_get(table);
        }
        if (f.owner != OWNER_HYP || (f.flags & FRAME_TABLE) == 0) {
            report(a, "table page is not the hypervisor's", 0, table);
        }
    }
    space_share_unlock(s);
}
