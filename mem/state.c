/* SPDX-License-Identifier: BSD-2-Clause */
/* What the store of states says of pages, runs and blocks. */
#include <stddef.h>

#include "mem/state.h"

enum gmem_state gmem_state(const struct gmem *gm, uint64_t page)
{
    return (enum gmem_state)range_state(&gm->states, page);
}

uint64_t gmem_frame(const struct gmem *gm, uint64_t page)
{
    enum gmem_state s = gmem_state(gm, page);

    return s == GMEM_LOST ? GMEM_HOLE : gmem_at(s == GMEM_SHARED ? gm->shared : gm->priv, page);
}

enum gmem_state gmem_look(struct gmem *gm, uint64_t page, uint64_t *pa)
{
    port_lock(&gm->lock);
    enum gmem_state s = gmem_state(gm, page);

    if (pa != NULL) {
        *pa = gmem_frame(gm, page);
    }
    port_unlock(&gm->lock);
    return s;
}

bool gmem_uniform(const struct gmem *gm, uint64_t page, uint64_t n, bool guest_view)
{
    uint64_t end = page + n;
    enum gmem_state seen = gmem_seen(gmem_state(gm, page));

    page = gmem_run_until(gm, page, end);
    while (guest_view && page < end && gmem_seen(gmem_state(gm, page)) == seen) {
        page = gmem_run_until(gm, page, end);
    }
    return page == end;
}

bool gmem_any(const struct gmem *gm, uint64_t page, uint64_t n, enum gmem_state s)
{
    uint64_t end = page + n;

    while (page < end && gmem_state(gm, page) != s) {
        page = gmem_run_until(gm, page, end);
    }
    return page < end;
}
