/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures: what is equal, and for how far. */
#include <stddef.h>

#include "mem/state.h"
#include "space/internal.h"

#include <tenon/snapshot.h>

static void shorten(uint64_t *n, uint64_t bytes)
{
    uint64_t pages = bytes >> PAGE_SHIFT;

    *n = pages < *n ? pages : *n;
}

/* Fills `run` with what is true of `page`, and of so many pages from there as one lookup of each kind
 * says. Bounded by the chunk, so that the frames are in one line. */
static void describe(struct gmem *gm, const struct snapshot_view *view, unsigned views,
                     uint64_t page, uint64_t end, struct snapshot_run *run)
{
    uint64_t n = gmem_in_chunk(page, end - page), last;
    struct frame f = { 0 };

    *run = (struct snapshot_run){ .page = page,
                                  .pa = gmem_frame(gm, page),
                                  .state = gmem_state(gm, page) };
    n = gmem_run_until(gm, page, page + n) - page;
    if (frames_run_within(run->pa, run->pa + (n << PAGE_SHIFT) - 1, &f, &last)) {
        shorten(&n, last - run->pa + 1);
    }
    run->owner = f.owner;
    run->borrower = f.borrower;
    run->pins = (uint16_t)(f.pins + f.borrower_pins);
    for (unsigned i = 0; i < views; i++) {
        uint64_t ia = view[i].by_frame ? run->pa : view[i].ia + (page << PAGE_SHIFT);
        struct pt_leaf leaf;

        if (view[i].space == NULL || space_lookup(view[i].space, ia, &leaf) != 0) {
            continue;
        }
        shorten(&n, leaf.last - ia + 1);
        if (leaf.present) {
            /* leaves are powers of two (several entries that are one, too) */
            run->shift[i] = (uint8_t)(63 - __builtin_clzll(leaf.last - leaf.ia + 1));
        }
    }
    run->n = n == 0 ? 1 : n;
}

static bool alike(const struct snapshot_run *a, const struct snapshot_run *b)
{
    for (unsigned i = 0; i < SNAPSHOT_VIEWS; i++) {
        if (a->shift[i] != b->shift[i]) {
            return false;
        }
    }
    return a->pa + (a->n << PAGE_SHIFT) == b->pa && a->state == b->state && a->owner == b->owner &&
           a->borrower == b->borrower && a->pins == b->pins;
}

void snapshot_run(struct gmem *gm, const struct snapshot_view *view, unsigned views, uint64_t page,
                  uint64_t end, struct snapshot_run *run)
{
    struct snapshot_run next;

    describe(gm, view, views, page, end, run);
    while (run->page + run->n < end) {
        describe(gm, view, views, run->page + run->n, end, &next);
        if (!alike(run, &next)) {
            return;
        }
        run->n += next.n;
    }
}

void snapshot_space(struct space *s, struct snapshot_space *out)
{
    struct pt_counts n = { 0 };

    space_share_lock(s);
    (void)pt_count(&s->pt, &n);
    *out = (struct snapshot_space){ .tables = n.tables + s->pt.root_pages,
                                    .cuts = s->cuts,
                                    .merges = s->merges,
                                    .refreshes = s->refreshes,
                                    .faults = __atomic_load_n(&s->faults, __ATOMIC_RELAXED) };
    for (unsigned i = 0; i < 4; i++) {
        out->leaves[i] = n.leaves[i];
    }
    space_share_unlock(s);
}
